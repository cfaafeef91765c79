"""What stands between a client and a store, and fails as networks and lesser stores do.

It runs in a process of its own: delta-rs holds the interpreter while it waits for some of a store's answers.
"""

import http.client
import re
import subprocess
import sys
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


def forbidden_gold_commits(request: BaseHTTPRequestHandler) -> bool:
    """Of Gold, checkpoints can be read, by which tables are opened; commits cannot."""
    if re.search(r"/gold/.*_delta_log/\d{20}\.json", request.path) is None:
        return False
    _refuse(request, 403, "AccessDenied", "Access Denied.")
    return True


_requests = 0


def now_and_then(request: BaseHTTPRequestHandler) -> bool:
    """Every answer is slow, and every third connection ends without one."""
    global _requests
    _requests += 1
    time.sleep(0.01)
    return _requests % 3 == 0 and dropped(request)


@contextmanager
def faulty_proxy(endpoint: str, fault: Fault) -> Iterator[str]:
    """A proxy to the store at ``endpoint`` until the block ends. Gives its own address."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, urlsplit(endpoint).netloc, fault.__name__], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: str
    fault: Fault

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if type(self).fault(self):
            return
        # The signature covers the host that the client asked for, so it is passed on as it is.
        store = http.client.HTTPConnection(self.store, timeout=60)
        try:
            store.request(self.command, self.path, body, dict(self.headers))
            answer = store.getresponse()
            content = answer.read()
        finally:
            store.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def _refuse(request: BaseHTTPRequestHandler, status: int, code: str, message: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/xml")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


if __name__ == "__main__":
    _Proxy.store, _Proxy.fault = sys.argv[1], staticmethod(globals()[sys.argv[2]])
    with ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
