"""Publishing: every date that has changed since the last publication is compared with Silver, whoever changed it, and then all are named."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deltalake import DeltaTable

from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.dates import dates_text
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.words import count_of
from gold_assets.gold.lake import Lake
from gold_assets.gold.provenance import made_from
from gold_assets.gold.publication import Failure, Publication, Publications
from gold_assets.gold.published_table import PublishedTable

_REASONS_KEPT = 50
_LETTERS_KEPT = 300

Changes = Mapping[str, Mapping[dt.date | None, int] | None]
"""By table, how many commits since the last attempt changed the rows of each date; None where its log does not tell."""


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt to publish.

    Attributes:
        publication: what readers go by now, None before the first.
        attempt: the row that was written; None where there was nothing to publish.
        summary: that, in a sentence.
    """

    publication: Publication | None
    attempt: Publication | None
    summary: str

    @property
    def is_held(self) -> bool:
        """Whether something was found wrong, so that the publication before stands."""
        return self.attempt is not None and bool(self.attempt.failures)


@dataclass(frozen=True)
class Checked:
    """What a step has found already, of the tables as its inspection opened them."""

    inspection: Inspection
    findings: Sequence[Finding]


def publish(lake: Lake, limits: Limits, checked: Checked | None = None, *, run_id: str = "") -> Outcome:
    """Publish the tables of the lake as they are, where every date that has changed since the last attempt passes its checks at error level.

    The lake has a place for publications.
    What the step that calls has ``checked`` is not compared again. Where a date does not pass, the publication before stands, and
    the attempt is kept with what it found. Raises ``UserError`` where a table or Silver is not what it must be.
    """
    uri = lake.published
    assert uri is not None

    def attempt() -> Outcome:
        publications = Publications(uri, lake.places)
        last = publications.last_attempt()
        current = publications.newest() if last is not None and last.failures else last
        at_hand = checked or Checked(Inspection(lake, [], limits), [])
        if last is not None and _is_older(at_hand.inspection, last):
            at_hand = Checked(Inspection(lake, [], limits), [])
        if missing := [table.name for table in lake.tables if at_hand.inspection.gold(table) is None]:
            return Outcome(current, None, f"Nothing is published before all tables are made: {', '.join(missing)}.")
        made = _attempt(at_hand, current, last, run_id)
        if made is None:
            assert current is not None
            return Outcome(
                current, None, f"Nothing has changed since the publication of {current.at:%Y-%m-%d %H:%M:%S} UTC."
            )
        publications.append(made)
        return Outcome(made if not made.failures else current, made, _summary(made, current))

    return until_committed("publications", uri, attempt)


def _attempt(
    checked: Checked, current: Publication | None, last: Publication | None, run_id: str
) -> Publication | None:
    inspection = checked.inspection
    changes, tables = _changes(inspection, last), _tables(inspection)
    failed_before = {failure.date for failure in last.failures} if last else set()
    of_gold = [finding for finding in checked.findings if finding.check.table in tables]  # not Silver's own
    failed_now = {finding.date for finding in of_gold if not finding.passed and finding.severity == "error"}
    dates = _dates(inspection, changes) | failed_before | failed_now
    if last is not None and not dates and not last.failures and last.tables == tables:
        return None
    findings = _verified(checked, changes, dates, failed_before)
    failures = [
        Failure(finding.date, f"{finding.check.table}:{finding.check.name}", _shortened(finding.summary, n))
        for n, finding in enumerate(
            finding for finding in findings if not finding.passed and finding.severity == "error"
        )
    ]
    now = dt.datetime.now(dt.timezone.utc)
    version, reason = _silver_version(inspection, changes, dates, last)
    return Publication(
        at=now,
        tables=tables,
        silver_uri=inspection.lake.silver,
        silver_table_id=inspection.silver.table_id,
        silver_version=version,
        reason=reason,
        dates_verified=len(dates - {None}),
        run_id=run_id,
        failures=failures,
        held_since=((last.held_since if last else None) or now) if failures else None,
    )


def _is_older(inspection: Inspection, last: Publication) -> bool:
    """Whether a table was opened before the last attempt saw a newer version of it."""
    for table in inspection.lake.tables:
        gold, seen = inspection.gold(table), last.tables.get(table.name)
        if (
            gold is not None
            and seen is not None
            and seen.id == str(gold.metadata().id)
            and gold.version() < seen.version
        ):
            return True
    return False


def _tables(inspection: Inspection) -> dict[str, PublishedTable]:
    opened = {table.name: inspection.gold(table) for table in inspection.lake.tables}
    return {
        name: PublishedTable.of(name, inspection.lake.places[name], gold)
        for name, gold in opened.items()
        if gold is not None
    }


def _changes(inspection: Inspection, last: Publication | None) -> Changes:
    changes: dict[str, Mapping[dt.date | None, int] | None] = {}
    for table in inspection.lake.tables:
        gold, seen = inspection.gold(table), last.tables.get(table.name) if last else None
        assert gold is not None
        changes[table.name] = None if seen is None else seen.changes(gold)
    return changes


def _dates(inspection: Inspection, changes: Changes) -> set[dt.date | None]:
    dates: set[dt.date | None] = set()
    for table in inspection.lake.tables:
        counted, gold = changes[table.name], inspection.gold(table)
        assert gold is not None
        dates |= counted.keys() if counted is not None else {*FileDates(gold).dates(), None}
    return dates


def _verified(
    checked: Checked, changes: Changes, dates: Collection[dt.date | None], failed_before: Collection[dt.date | None]
) -> list[Finding]:
    """What the deciding checks find on the dates: found already, or compared now, as a whole."""
    inspection = checked.inspection
    deciding = [check for check in gold_checks(inspection.lake.tables) if check.severity == "error"]
    found = [finding for finding in checked.findings if finding.check in deciding]
    known: set[dt.date | None] = set()
    if {finding.check for finding in found} >= {check for check in deciding if check.by_date}:
        known = {
            date
            for date in {*inspection.dates, None}
            # Of a date that was patched, no more than the newest patch has been compared.
            if not inspection.patches or (date not in failed_before and _changed_at_most_once(changes, date))
        }
    rest = set(dates) - known
    again = inspection.on({date for date in rest if date is not None})
    findings: list[Finding] = []
    for check in deciding:
        of_check = [finding for finding in found if finding.check == check]
        if check.by_date:
            findings += [finding for finding in of_check if finding.date in known]
            findings += run([check], again) if again.dates else []
        elif check.name == "schema":
            findings += of_check or run([check], again)
        elif None in dates:  # the rows without a date
            findings += of_check if of_check and None in known else run([check], again)
    return findings


def _changed_at_most_once(changes: Changes, date: dt.date | None) -> bool:
    return all(counted is not None and counted.get(date, 0) <= 1 for counted in changes.values())


def _silver_version(
    inspection: Inspection, changes: Changes, dates: Collection[dt.date | None], last: Publication | None
) -> tuple[int | None, str]:
    """The newest version of Silver whose rows every date holds; where there is none, None and why.

    A date holds the rows of every version from the one that last changed it before it was made to the one before the next that changes it.
    """
    silver = inspection.silver
    goes_on = (
        last is not None
        and last.silver_version is not None
        and last.silver_table_id == silver.table_id
        and last.silver_version <= silver.version
        and all(counted is not None for counted in changes.values())
        and not inspection.silver_changes.every_date_after(last.silver_version)
    )
    asked = (
        set(dates)
        if goes_on
        else {*(date for table in inspection.lake.tables for date in _held(inspection.gold(table))), None}
    )
    made: dict[tuple[str, dt.date | None], int] = {}
    for table in inspection.lake.tables:
        gold = inspection.gold(table)
        assert gold is not None
        for date, source in made_from(gold, asked if table.is_quarantine else asked - {None}).items():
            if source.silver_table_id != silver.table_id:
                return None, f"{date} of {table.name} was made from another Silver table"
            made[table.name, date] = source.silver_version
    since = last.silver_version if goes_on and last is not None and last.silver_version is not None else silver.version
    of_silver = inspection.silver_changes
    if gap := of_silver.gap_after(min([since, *made.values()])):
        return None, gap
    newest = silver.version
    for (_, date), version in made.items():
        if (later := of_silver.first_after(date, version)) is not None:
            newest = min(newest, later - 1)
    if goes_on:
        first, end = inspection.limits.first_date, inspection.limits.end
        for date in of_silver.dates_after(since) - asked:
            if (date is None or first <= date <= end) and (later := of_silver.first_after(date, since)) is not None:
                newest = min(newest, later - 1)
    ahead = {
        date
        for (_, date), version in made.items()
        if (later := of_silver.first_after(date, newest)) is not None and later <= version
    }
    if ahead or (goes_on and newest < since):
        return None, f"some dates lack Silver's version {newest + 1}, others have a later one: {dates_text(ahead, 5)}"
    return newest, ""


def _held(gold: DeltaTable | None) -> Iterable[dt.date | None]:
    return FileDates(gold).dates() if gold is not None else ()


def _shortened(summary: str, n: int) -> str:
    return "" if n >= _REASONS_KEPT else summary[:_LETTERS_KEPT]


def _summary(made: Publication, current: Publication | None) -> str:
    verified = count_of(made.dates_verified, "date")
    if not made.failures:
        of = (
            f"Silver's version {made.silver_version}" if made.silver_version is not None else "no one version of Silver"
        )
        return f"Published, as of {of}: {verified} verified."
    stands = (
        "nothing is published yet"
        if current is None
        else f"the publication of {current.at:%Y-%m-%d %H:%M:%S} UTC stands"
    )
    dates = dates_text({failure.date for failure in made.failures}, 5)
    return (
        f"Not published, since {made.held_since:%Y-%m-%d %H:%M:%S} UTC: of {verified} looked at, {dates} failed "
        f"{', '.join(sorted({failure.check for failure in made.failures}))}; {stands}. Materialize what failed again."
    )
