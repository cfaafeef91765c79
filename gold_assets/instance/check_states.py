"""What the user interface asks of the checks every few seconds, worked out again only where there is something new."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence

import dagster as dg

from gold_assets.instance.dagster_internals import AssetCheckPartitionInfo, AssetCheckState, EventLogStorage

_Key = tuple[dg.AssetCheckKey, dg.PartitionsDefinition | None]


class CachedCheckStates(EventLogStorage):
    """To be inherited from before one of Dagster's: on which partitions a check passed, failed or is on its way.

    Dagster unites the partitions of each check one by one, for each query, and finds out for each of them which is the first and
    the last of all: with 3,650 dates that is a second of a processor for each check.
    """

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
