"""Dagster's storage on PostgreSQL, over connections that stay open."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage, PostgresRunStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config

from gold_assets.delta.errors import UserError
from gold_assets.delta.storage import hide
from gold_assets.instance.dagster_internals import ConfigurableClassData
from gold_assets.instance.event_log import SharedEventLog

_EVENTS_AT_ONCE = "100"


class PooledPostgresStorage(DagsterPostgresStorage):
    """``DagsterPostgresStorage``, with a connection that stays open for the runs and one for their events, and a pool's slot that one
    process claims at a time.

    Dagster connects anew for each statement, of which a backfill of a year has tens of thousands.
    """

    def __init__(self, postgres_url: str, should_autocreate_tables: bool = True, **rest: Any) -> None:
        super().__init__(postgres_url, should_autocreate_tables, **rest)
        provider = rest.get("token_provider")
        self._run_storage = _Runs(postgres_url, should_autocreate_tables, provider)
        self._event_log_storage = _Events(postgres_url, should_autocreate_tables, provider)
        # Of a range's materializations of a table, so many are one statement. Dagster looks for this with each event, in the
        # process of the run; a run that is killed meanwhile loses those it had not written, as it does without.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _EVENTS_AT_ONCE)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "PooledPostgresStorage":
        address = pg_url_from_config(config_value)
        _check(address)
        return cls(
            address,
            config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )


class _Pooled:
    """To be inherited from before one of Dagster's storages."""

    def __init__(self, postgres_url: str, should_autocreate_tables: bool, token_provider: Any) -> None:
        super().__init__(postgres_url, should_autocreate_tables, token_provider=token_provider)  # type: ignore[call-arg]
        self._engine = _engine(postgres_url, token_provider)

    def dispose(self) -> None:
        super().dispose()  # type: ignore[misc]
        self._engine.dispose()


class _Runs(_Pooled, PostgresRunStorage):
    pass


class _Events(_Pooled, SharedEventLog, PostgresEventLogStorage):
    @contextmanager
    def claims_lock(self) -> Iterator[None]:
        with self.index_transaction() as connection:  # whose end frees the lock, also where the process is killed
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('gold_assets.claims'))"))
            yield

    def dispose(self) -> None:
        super().dispose()
        self._engine.dispose()


def _check(address: str) -> None:
    """Raise ``UserError`` where the address cannot be read, or a part of its password would count as the host, which errors name."""
    try:
        url = sa.make_url(address)
        is_read = "@" not in (url.host or "")
    except (sa.exc.ArgumentError, ValueError):
        is_read = False
    if not is_read:
        raise UserError(
            "The address of PostgreSQL, DAGSTER_POSTGRES_URL, is none as expected, postgresql://user:password@host:5432/name: "
            "percent-encode what its password has of : / @ and the like (%3A, %2F, %40)."
        )
    if url.password:
        hide(str(url.password))


def _engine(address: str, token_provider: Any) -> sa.Engine:
    """One connection is kept, and asked whether it lives before each use: the database may have been away. Threads get more."""
    return create_pg_engine(
        address, token_provider, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=-1, pool_pre_ping=True
    )
