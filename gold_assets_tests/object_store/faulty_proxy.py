"""What stands between a client and a store, and fails as networks and lesser stores do."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = Callable[[BaseHTTPRequestHandler], bool]
"""Called with each request. True where it has dealt with it, so that the store does not see it."""


def no_conditional_put(request: BaseHTTPRequestHandler) -> bool:
    """A store that knows no ``If-None-Match`` says so."""
    if "If-None-Match" not in request.headers:
        return False
    _refuse(request, 501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
    return True


def forbidden_writes(request: BaseHTTPRequestHandler) -> bool:
    """Read, but do not write."""
    if request.command in ("GET", "HEAD"):
        return False
    _refuse(request, 403, "AccessDenied", "Access Denied.")
    return True


def expired(request: BaseHTTPRequestHandler) -> bool:
    """The credentials were right once."""
    _refuse(request, 400, "ExpiredToken", "The provided token has expired.")
    return True


def dropped(request: BaseHTTPRequestHandler) -> bool:
    """The connection ends without an answer."""
    request.close_connection = True
    request.connection.close()
    return True


class DroppedNowAndThen:
    """Every third connection ends without an answer, and each answer is slow."""

    def __init__(self) -> None:
        self._requests = 0

    def __call__(self, request: BaseHTTPRequestHandler) -> bool:
        self._requests += 1
        time.sleep(0.05)
        return self._requests % 3 == 0 and dropped(request)


@contextmanager
def faulty_proxy(endpoint: str, fault: Fault) -> Iterator[str]:
    """A proxy to the store at ``endpoint`` until the block ends. Gives its own address."""
    to = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault(self):
                return
            # The signature covers the host that the client asked for, so it is passed on as it is.
            store = http.client.HTTPConnection(to, timeout=60)
            try:
                store.request(self.command, self.path, body, dict(self.headers))
                answer = store.getresponse()
                content = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
                if length is not None:
                    self.send_header("Content-Length", length)
                self.end_headers()
                self.wfile.write(content)
            finally:
                store.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _refuse(request: BaseHTTPRequestHandler, status: int, code: str, message: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/xml")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
