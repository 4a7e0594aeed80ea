"""Serves S3 on a free loopback port until its input ends; see `moto` beside it."""

import logging
import sys
import urllib.request

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
create = urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT")
# The signature tells moto which service is meant; it does not check it.
create.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request")
urllib.request.urlopen(create).close()
print(port, flush=True)
sys.stdin.read()
server.stop()
