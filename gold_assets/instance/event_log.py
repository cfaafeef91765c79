"""Dagster's log of events, where it asks in one statement and takes in another, and where the user interface asks anew for what is known."""

import datetime as dt
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import dagster as dg

from gold_assets.instance.dagster_internals import (
    AssetCheckPartitionInfo,
    AssetCheckState,
    ConcurrencyClaimStatus,
    SqlEventLogStorage,
)

_Key = tuple[dg.AssetCheckKey, dg.PartitionsDefinition | None]


class SharedEventLog(SqlEventLogStorage):
    """To be inherited from before one of Dagster's: a pool's slot that one process claims at a time, and checks' states that are remembered.

    Dagster looks for a free slot in one statement and takes it in another, and neither on SQLite nor on PostgreSQL (where it lets
    each statement commit) does a lock hold from the one to the other. So a second process finds the same slot free, and a step that
    begins to wait while another ends may be overlooked, and wait for ever.

    For each query of the user interface, of which there is one every few seconds, Dagster unites the partitions on which each check
    passed, failed or is on its way one by one, and finds out for each of them which is the first and the last of all: with 3,650
    dates that is a second of a processor for each check.
    """

    @abstractmethod
    def claims_lock(self) -> AbstractContextManager[object]:
        """A lock of all processes, around whatever claims or frees a slot."""

    def claim_concurrency_slot(
        self, concurrency_key: str, run_id: str, step_key: str, priority: int | None = None
    ) -> ConcurrencyClaimStatus:
        with self.claims_lock():
            return super().claim_concurrency_slot(concurrency_key, run_id, step_key, priority)

    def free_concurrency_slot_for_step(self, run_id: str, step_key: str) -> None:
        with self.claims_lock():
            super().free_concurrency_slot_for_step(run_id, step_key)

    def free_concurrency_slots_for_run(self, run_id: str) -> None:
        with self.claims_lock():
            super().free_concurrency_slots_for_run(run_id)

    def set_concurrency_slots(self, concurrency_key: str, num: int) -> None:
        with self.claims_lock():
            super().set_concurrency_slots(concurrency_key, num)

    def get_asset_check_state(self, keys: Sequence[_Key]) -> Mapping[dg.AssetCheckKey, AssetCheckState]:
        known: dict[dg.AssetCheckKey, tuple[object, AssetCheckState]] = self.__dict__.setdefault("_known_states", {})
        records: dict[dg.AssetCheckKey, list[AssetCheckPartitionInfo]] = defaultdict(list)
        for record in self.get_asset_check_partition_info([key for key, _ in keys]):
            records[record.check_key].append(record)
        seen = {key: (partitions, records[key]) for key, partitions in keys}
        new = [(key, partitions) for key, partitions in keys if key not in known or known[key][0] != seen[key]]
        # Of one moment: the first and the last partition are then worked out once.
        with dg.partition_loading_context(dt.datetime.now(dt.timezone.utc)):
            states = dict(super().get_asset_check_state(new)) if new else {}
        # What is on its way may end without a record.
        known.update({key: (seen[key], state) for key, state in states.items() if not state.in_progress_runs})
        return {key: states[key] if key in states else known[key][1] for key, _ in keys}
