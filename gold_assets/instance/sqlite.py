"""Dagster's storage on SQLite, over files that stay open."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from gold_assets.instance.dagster_internals import (
    SQLITE_BUSY_TIMEOUT_SECONDS,
    ConfigurableClassData,
    DagsterSqliteStorage,
    SqliteEventLogStorage,
    SqliteRunStorage,
    event_logs_directory,
    runs_directory,
)
from gold_assets.instance.event_log import SharedEventLog

_FILES_OPEN = 8
"""The index of events, and the newest runs: each has a file of its own."""


class PooledSqliteStorage(DagsterSqliteStorage):
    """``DagsterSqliteStorage``, with files that stay open, and a pool's slot that one process claims at a time.

    Dagster opens its files anew for each event, of which a backfill of a year has thousands, and waits for the disk each time.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = _Events(event_logs_directory(base_dir))
        self._run_storage = _Runs.from_local(runs_directory(base_dir))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledSqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)


class _Events(SharedEventLog, SqliteEventLogStorage):
    def __init__(self, base_dir: str) -> None:
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        super().__init__(base_dir)
        self._claims = FileLock(Path(base_dir) / "claims.lock")

    def claims_lock(self) -> FileLock:
        return self._claims

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._engines.get(shard) or _engine(self.conn_string_for_shard(shard))
            self._engines[shard] = engine
            self._engines.move_to_end(shard)
            if len(self._engines) > _FILES_OPEN:
                _, oldest = self._engines.popitem(last=False)
                oldest.dispose()
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def dispose(self) -> None:
        super().dispose()
        for engine in list(self._engines.values()):  # another thread may be about to open one
            engine.dispose()


class _Runs(SqliteRunStorage):
    _engine: sa.Engine | None = None

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        if self._engine is None:
            self._engine = _engine(self._conn_string)
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        super().dispose()
        if self._engine is not None:
            self._engine.dispose()


def _engine(address: str) -> sa.Engine:
    engine = sa.create_engine(address, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

    # Dagster's files have a write-ahead log, which makes this safe against a process that is killed; a machine that loses its
    # power may lose the last events. By default each event waits for the disk.
    @sa.event.listens_for(engine, "connect")
    def do_not_wait_for_the_disk(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine
