"""What people have decided of dates that Gold does not follow by itself: to let Silver's change through, or to keep what Gold has."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from deltalake import DeltaTable

from gold_assets.delta.dates import dates_text
from gold_assets.delta.log import CommitFile, DeltaLog, end_after
from gold_assets.gold.ledger import Ledger
from gold_assets.silver.version import SilverVersion

Verdict = Literal["approve", "keep"]

_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("decided_at", pa.timestamp("us", "UTC")),
        ("verdict", pa.string()),
        ("dates", pa.list_(pa.struct({"event_date": pa.date32(), "silver_rows": pa.int64()}))),
        ("by", pa.string()),
        ("reason", pa.string()),
        *(
            (field.name, pa.int64() if field.type is int else pa.string())
            for field in dataclasses.fields(SilverVersion)
        ),
    ]
)


@dataclass(frozen=True)
class Decision:
    """A person's word on some dates, of Silver as it was then.

    Attributes:
        verdict: ``approve``: Gold is to follow Silver; ``keep``: it is to keep what it has, and the dates are sealed.
        dates: with the rows that Silver had of each, None where its log did not tell.
        silver: the version that was looked at. What changes a date after it is decided anew.
        at: when, UTC.
    """

    verdict: Verdict
    dates: Mapping[dt.date, int | None]
    silver: SilverVersion
    by: str
    reason: str
    at: dt.datetime

    def __str__(self) -> str:
        did = "approved" if self.verdict == "approve" else "kept"
        return f"{did} by {self.by} on {self.at:%Y-%m-%d}: {self.reason}"

    @property
    def summary(self) -> str:
        """The decision in a sentence."""
        what = (
            f"Gold follows Silver's version {self.silver.silver_version} on"
            if self.verdict == "approve"
            else "Gold keeps what it has, and follows Silver no more, on"
        )
        return f"{what} {dates_text(self.dates, 5)}, by the word of {self.by}: {self.reason}"


class Decisions:
    """The decisions at ``uri``, as they are when this is made; there may be none yet. ``setting`` gives the place, for people.

    Raises ``UserError`` where something else is there.
    """

    def __init__(self, uri: str, setting: str) -> None:
        self._ledger = Ledger(uri, "decisions", _SCHEMA, setting)

    def all(self) -> Sequence[Decision]:
        """The newest first."""
        return [_decision(record) for record in self._ledger.rows()]

    def append(self, decision: Decision) -> None:
        """Keep it for good. Raises as ``Ledger.append`` does."""
        dates = [{"event_date": date, "silver_rows": rows} for date, rows in sorted(decision.dates.items())]
        said = {"verdict": decision.verdict, "by": decision.by, "reason": decision.reason, "decided_at": decision.at}
        self._ledger.append({**said, "dates": dates, **vars(decision.silver)})


def end_of_decisions(place: str | None, before: CommitFile | None) -> CommitFile | None:
    """Where the log of the decisions at a place ends, which ended ``before`` when it was last looked at; None where there is none."""
    if place is None:
        return None
    if (end := end_after(place, before)) is None and DeltaTable.is_deltatable(place):
        table = DeltaTable(place)
        end = DeltaLog(table).file_of(table.version())
    return end


def _decision(record: Mapping[str, Any]) -> Decision:
    return Decision(
        record["verdict"],
        {each["event_date"]: each["silver_rows"] for each in record["dates"]},
        SilverVersion(**{field.name: record[field.name] for field in dataclasses.fields(SilverVersion)}),
        record["by"],
        record["reason"],
        record["decided_at"],
    )
