"""A lake in a bucket of a real S3 server."""

import itertools
from collections.abc import Iterator

import pytest

from gold_assets import transactions
from gold_assets.delta import storage
from gold_assets.gold.lake import Lake
from gold_assets.transactions.tables import TABLES
from gold_assets_tests.object_store.s3_server import S3Server, executable

ODD_KEY = "my 100% lake é+ü"
"""A key of an object store, of signs that a URI escapes, or might."""

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server, for all tests."""
    if executable() is None:
        pytest.skip("versitygw is missing: make test builds it where Go is installed")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, which this process finds by its environment."""
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    storage.use({})
    return s3_server


@pytest.fixture
def lake(s3: S3Server) -> Lake:
    """Places in a new bucket."""
    return new_lake(s3)


def new_lake(server: S3Server, key: str = "lake") -> Lake:
    """Places under a key of a new bucket for Silver and the tables made from it, with nothing there."""
    root = f"{server.make_bucket(f'lake-{next(_numbers)}')}/{key}"
    places = {table.name: f"{root}/gold/{table.name}" for table in TABLES}
    return Lake(transactions.project, f"{root}/silver", places, published=f"{root}/published")
