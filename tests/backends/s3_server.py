# An S3 server in memory: moto, with one request at a time, so that its conditional puts, which look and then write, are
# atomic. A request waits for its turn when it is there whole: a client that is stopped holds up nobody. Prints its port, and
# each request to standard error.
import io
import threading

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def one_at_a_time(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    with turn:
        return list(moto(environ, start_response))


s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket("treering-tests", "us-east-1")
server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
print(server.port, flush=True)
server.serve_forever()
