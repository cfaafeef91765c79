"""Dagster's storage on SQLite, in which two processes that ask at once do not both get the one slot of a pool."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from gold_assets.dagster_internals import (
    ConcurrencyClaimStatus,
    ConfigurableClassData,
    DagsterSqliteStorage,
    SqliteEventLogStorage,
    event_logs_directory,
)


class OneClaimAtATimeSqliteStorage(DagsterSqliteStorage):
    """``DagsterSqliteStorage``, with a lock file around whatever claims or frees a slot.

    Dagster looks for a free slot in one statement and takes it in another. PostgreSQL and MySQL lock the row in
    between; SQLite cannot, so a second process finds the same slot free, and a step that begins to wait while another
    ends may be overlooked, and wait for ever.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = _OneClaimAtATime(event_logs_directory(base_dir))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "OneClaimAtATimeSqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)


class _OneClaimAtATime(SqliteEventLogStorage):
    def __init__(self, base_dir: str) -> None:
        super().__init__(base_dir)
        self._claims = FileLock(Path(base_dir) / "claims.lock")

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        with self._claims:
            return super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)

    def free_concurrency_slot_for_step(self, run_id: str, step_key: str) -> None:
        with self._claims:
            super().free_concurrency_slot_for_step(run_id, step_key)

    def free_concurrency_slots_for_run(self, run_id: str) -> None:
        with self._claims:
            super().free_concurrency_slots_for_run(run_id)
