"""A pool's one slot, for one process at a time."""

from abc import abstractmethod
from contextlib import AbstractContextManager

from gold_assets.instance.dagster_internals import ConcurrencyClaimStatus, SqlEventLogStorage


class LockedSlotClaims(SqlEventLogStorage):
    """To be inherited from before one of Dagster's: a lock of all processes around whatever claims or frees a slot.

    Dagster looks for a free slot in one statement and takes it in another, and neither on SQLite nor on PostgreSQL (where it lets
    each statement commit) does a lock hold from the one to the other. So a second process finds the same slot free, and a step that
    begins to wait while another ends may be overlooked, and wait for ever.
    """

    @abstractmethod
    def claims_lock(self) -> AbstractContextManager[object]: ...

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
