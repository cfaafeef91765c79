"""A real S3 server on loopback: versitygw over a folder, where each bucket is a folder and each object a file."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from gold_assets_tests.engines.processes import free_port, listens

ACCESS_KEY = "gold-assets-tests"
SECRET_KEY = "not-so-secret-key-of-the-tests"


def executable() -> str | None:
    """The server's program: beside this Python, where ``make test`` puts it, or on the PATH."""
    beside = Path(sys.executable).parent / "versitygw"
    return str(beside) if beside.exists() else shutil.which("versitygw")


class S3Server:
    """The server, with its buckets in a folder. Its port stays the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._buckets = folder / "buckets"
        self._buckets.mkdir(parents=True, exist_ok=True)
        self._access_log = folder / "access.log"
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment variables by which clients find it."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def make_bucket(self, name: str) -> str:
        """A new bucket. Returns its URI."""
        (self._buckets / name).mkdir()
        return f"s3://{name}"

    def folder(self, uri: str) -> Path:
        """Where the objects below ``uri`` are files."""
        return self._buckets / uri.removeprefix("s3://")

    def objects(self, uri: str) -> set[str]:
        """The names of the objects below ``uri``."""
        folder = self.folder(uri)
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    def start(self) -> None:
        program = executable()
        assert program is not None
        self._process = subprocess.Popen(
            [
                program,
                f"--port=127.0.0.1:{self._port}",
                f"--access={ACCESS_KEY}",
                f"--secret={SECRET_KEY}",
                f"--access-log={self._access_log}",
                "--quiet",
                "posix",
                str(self._buckets),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 30
        while not listens(self._port):
            assert self._process.poll() is None, "the S3 server ended"
            assert time.monotonic() < until, "the S3 server does not listen"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def requests(self) -> int:
        """How many requests it has answered since it was first started."""
        return len(self._access_log.read_text().splitlines()) if self._access_log.exists() else 0
