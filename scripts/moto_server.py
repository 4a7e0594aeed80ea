"""Serves S3 on a free loopback port until its input ends; see `moto` beside it.

moto looks whether an object is there and writes it in two steps, so two conditional
writes at once can both succeed, which S3 promises not to happen. Here one request is
answered at a time.
"""

import logging
import sys
import threading
import urllib.request

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def one_at_a_time(environ, start_response):
    with turn:
        return moto(environ, start_response)


server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_address[1]
create = urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT")
# The signature tells moto which service is meant; it does not check it.
create.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/s3/aws4_request")
urllib.request.urlopen(create).close()
print(port, flush=True)
sys.stdin.read()
server.shutdown()
