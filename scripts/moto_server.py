"""Serves S3 on a free loopback port until its input ends; see `moto` beside it.

moto looks whether an object is there and writes it in two steps, so two conditional
writes at once can both succeed, which S3 promises not to happen. Here one request is
answered at a time. And it fails itself when an upload is completed that it does not
know, where S3 says just that.
"""

import logging
import sys
import threading
import urllib.request

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()
complete_upload = S3Backend.complete_multipart_upload


def complete_known_upload(backend, bucket, upload, body):
    if upload not in backend.get_bucket(bucket).multiparts:
        raise NoSuchUpload(upload_id=upload)
    return complete_upload(backend, bucket, upload, body)


S3Backend.complete_multipart_upload = complete_known_upload


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
