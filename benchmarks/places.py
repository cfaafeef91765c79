"""Where a benchmark's tables are: in a temporary folder, or in a bucket of a real S3 server on loopback."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gold_assets_tests.object_store.s3_server import S3Server


@dataclass(frozen=True)
class Place:
    """A folder, and the path or URI by which tables in it are named. ``requests`` counts those that a store has answered."""

    root: str
    folder: Path
    requests: Callable[[], int]


@contextmanager
def place(*, on_s3: bool) -> Iterator[Place]:
    """A place that is gone when the block ends."""
    with tempfile.TemporaryDirectory() as scratch:
        if not on_s3:
            yield Place(scratch, Path(scratch), lambda: 0)
            return
        server = S3Server(Path(scratch))
        server.start()
        try:
            os.environ.update(server.env)
            bucket = server.make_bucket("benchmark")
            yield Place(bucket, server.folder(bucket), server.requests)
        finally:
            server.kill()
