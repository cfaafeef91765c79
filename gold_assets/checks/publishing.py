"""Publishing: every date that has changed since the last publication is compared with Silver, whoever changed it, and then all are named."""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gold_assets.checks.catalogue import gold_checks, run
from gold_assets.checks.findings import Check, Finding, Limits
from gold_assets.checks.inspection import Inspection
from gold_assets.checks.promise import Changes, Holdings
from gold_assets.declaring.table import Table
from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import store_failures_told
from gold_assets.delta.plural import plural
from gold_assets.gold.lake import Lake
from gold_assets.gold.moment import Moment
from gold_assets.gold.production import together, without
from gold_assets.gold.publication import OF_ONE_VERSION, PUT_BACK, Failure, Publication, PublishedTable

_PROMISED = ("tables", "silver_version", "reason", "dates_behind", "dates_kept", "code_versions", "failures")
"""By what one publication says more than another."""

_REASONS_KEPT = 50
_LETTERS_KEPT = 300


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


@store_failures_told()
def publish(lake: Lake, limits: Limits, checked: Checked | None = None, *, run_id: str = "") -> Outcome:
    """Publish the tables of the lake as they are, where every date that has changed since the last attempt passes its checks at error level.

    The lake has a place for publications.
    What the step that calls has ``checked`` is not compared again. Where a date does not pass, the publication before stands, and
    the attempt is kept with what it found. Raises ``UserError`` where a table or Silver is not what it must be.
    """
    uri = lake.published
    assert uri is not None

    def attempt() -> Outcome:
        publications = lake.publications()
        last = publications.last_attempt()
        current = publications.newest() if last is not None and last.failures else last
        at_hand = checked
        if at_hand is None or (last is not None and _is_older(at_hand.inspection.moment, last)):
            at_hand = Checked(Inspection(lake, [], limits), [])
        if missing := [table.name for table in lake.tables if at_hand.inspection.moment.gold(table) is None]:
            return Outcome(current, None, f"Nothing is published before all tables are made: {', '.join(missing)}.")
        made = _attempt(at_hand, last, run_id) if lake.production is None else _of_branch(at_hand, last, run_id)
        if made is not None and current is not None and current.put_back_to is not None:
            made = _unless_put_back(made, current, publications.before_putting_back())
        if made is None:
            assert current is not None
            return Outcome(
                current, None, f"Nothing has changed since the publication of {current.at:%Y-%m-%d %H:%M:%S} UTC."
            )
        publications.append(made)
        return Outcome(made if not made.failures else current, made, _summary(made, current))

    return until_committed("publications", uri, attempt)


def _of_branch(checked: Checked, last: Publication | None, run_id: str) -> Publication | None:
    """The same in a branch, whose publications name production's tables beside its own."""
    moment = checked.inspection.moment
    assert moment.lake.production is not None
    unchanged = moment.lake.production.unchanged()
    own = _attempt(checked, None if last is None else without(last, unchanged), run_id)
    assert own is not None
    made = together(own, unchanged, moment.changes)
    says_more = last is None or any(getattr(made, name) != getattr(last, name) for name in _PROMISED)
    return made if says_more or made.failures or made.dates_verified else None


def _attempt(checked: Checked, last: Publication | None, run_id: str) -> Publication | None:
    """The row that this attempt writes; None where nothing has changed since the ``last``, which in a branch these tables alone do not tell."""
    inspection, moment = checked.inspection, checked.inspection.moment
    lake, limits = inspection.lake, inspection.limits
    tables = {
        table.name: PublishedTable.of(table.name, lake.place(table.name), moment.log(table)) for table in lake.tables
    }
    changes: Changes = {
        table.name: last.tables[table.name].changes(moment.log(table)) if last and table.name in last.tables else None
        for table in lake.tables
    }
    failed_before = {each.date for each in last.failures if not each.waits} if last else set()
    failed_now = {finding.date for finding in _failed(checked.findings) if finding.check.table in tables}
    dates = _changed(moment, changes) | failed_before | failed_now
    holdings = Holdings(moment, limits, changes, dates, last)
    dates |= holdings.to_compare
    is_as_it_was = last is not None and last.tables == tables and holdings.kept == set(last.dates_kept)
    if lake.production is None and is_as_it_was and not dates and last is not None and not last.failures:
        return None
    failed = _failed(_verified(checked, _known(checked, changes, failed_before), dates))
    untrue = {finding.date for finding in failed}
    # No run can mend a date outside the window. It is named, and holds nothing back.
    deciding = [finding for finding in failed if finding.date is None or finding.date in limits]
    failures = [
        Failure(finding.date, f"{finding.check.table}:{finding.check.name}", _shortened(finding.summary, n))
        for n, finding in enumerate(deciding)
    ]
    code_versions, mixed = _code_versions(moment, limits, last)
    failures += mixed
    now = dt.datetime.now(dt.timezone.utc)
    promise = holdings.promise(dates, untrue)
    if not deciding:  # what is rolled out has been compared, too
        holdings.note(dates - untrue)
    return Publication(
        at=now,
        tables=tables,
        silver_uri=lake.silver,
        silver_table_id=moment.silver.table_id,
        silver_version=promise.version,
        reason=promise.reason,
        dates_verified=len(dates - {None}),
        run_id=run_id,
        failures=failures,
        held_since=((last.held_since if last else None) or now) if failures else None,
        dates_behind=promise.dates_behind,
        dates_kept=tuple(sorted(holdings.kept)),
        code_versions=code_versions,
    )


def _code_versions(moment: Moment, limits: Limits, last: Publication | None) -> tuple[dict[str, str], list[Failure]]:
    """By table, the version of it that made all its dates in the window; and those of which several versions made some.

    Readers get one definition of a table at a time: the one before, until all dates are made by the new one.
    """
    versions: dict[str, str] = {}
    mixed = []
    for table in moment.lake.tables:
        if found := _found_lacking(moment, table, limits):
            mixed.append(Failure(None, f"{table.name}:{OF_ONE_VERSION}", found))
            continue
        # Nothing else has made dates since, but where readers were put back: then the table is newer than that publication.
        if last and not last.put_back_by and last.code_versions.get(table.name) == table.code_version:
            versions[table.name] = table.code_version
            continue
        made = moment.made_by(table, [date for date in moment.dates if date is not None and date in limits])
        if len(made) <= 1:
            versions[table.name] = next(iter(made), table.code_version)
            continue
        if limits.publish_while_rolling_out:
            continue
        done, of_all = len(made.get(table.code_version, ())), sum(map(len, made.values()))
        found = f"{done} of {of_all} dates are made by version {table.code_version} of the table, the others by earlier ones"
        mixed.append(Failure(None, f"{table.name}:{OF_ONE_VERSION}", found))
    return versions, mixed


def _found_lacking(moment: Moment, table: Table, limits: Limits) -> str:
    """What the table's next place has not got of what readers have, for people; empty where it has all."""
    if not (lacking := set(moment.lacks(table))):
        return ""
    to_make, in_silver, place = (
        set(moment.to_make(table)),
        moment.silver.file_dates.dates(),
        moment.lake.place(table.name),
    )
    if left := {date for date in to_make if date in limits}:
        return f"{place} has not got {plural(len(left), 'date')} yet that readers have"
    gone = lacking - in_silver
    if kept := lacking - gone - to_make:
        return (
            f"readers have {dates_text(kept, 5)}, sealed or held, as Silver had them then, and {place} has Silver's rows of now: with gold "
            "approve readers get these"
        )
    if limits.publish_while_rolling_out:
        return ""
    why = {"of which Silver has no rows any more": gone, "outside the window of partitions": to_make}
    told = " and ".join(f"{dates_text(dates, 5)}, {which}" for which, dates in why.items() if dates)
    return (
        f"readers have {told}, so that {place} cannot get them: with "
        f"{moment.lake.project.env_prefix}PUBLISH_WHILE_ROLLING_OUT=on readers get it without them"
    )


def _unless_put_back(made: Publication, current: Publication, undone: Publication | None) -> Publication:
    """The attempt, held back until a person lets it go on, or no definition is there that readers were put back from.

    Where they were put back to the same definitions, it was not these that were wrong.
    """
    before = {} if undone is None else undone.code_versions
    bad = {name: version for name, version in before.items() if current.code_versions.get(name) != version}
    if bad and all(made.code_versions.get(name, version) != version for name, version in bad.items()):
        return made
    another = f"once all dates are made by another version of {' and '.join(bad)}, or " if bad else ""
    found = f"{current.put_back}. It goes on {another}with gold published --resume"
    waits = Failure(None, f"published_gold:{PUT_BACK}", found)
    return dataclasses.replace(made, failures=[*made.failures, waits], held_since=made.held_since or made.at)


def _failed(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.passed and finding.severity == "error"]


def _is_older(moment: Moment, last: Publication) -> bool:
    """Whether a table was opened before the last attempt saw a newer version of it."""
    return any(
        gold is not None
        and (seen := last.tables.get(name))
        and seen.id == str(gold.metadata().id)
        and gold.version() < seen.version
        for name, gold in moment.opened.items()
    )


def _changed(moment: Moment, changes: Changes) -> set[dt.date | None]:
    """The dates of which rows have changed since the last attempt; all where a log does not tell."""
    dates: set[dt.date | None] = set()
    for table in moment.lake.tables:
        counted = changes[table.name]
        dates |= counted.keys() if counted is not None else {*moment.held(table), None}
    return dates


def _deciding(checked: Checked) -> list[Check]:
    return [check for check in gold_checks(checked.inspection.lake.tables) if check.severity == "error"]


def _known(checked: Checked, changes: Changes, failed_before: Collection[dt.date | None]) -> set[dt.date | None]:
    """The dates of which the step that calls has found all that decides."""
    inspection = checked.inspection
    by_date = {check for check in _deciding(checked) if check.by_date}
    if not {finding.check for finding in checked.findings} >= by_date:
        return set()
    looked_at: set[dt.date | None] = {*inspection.dates, None}
    if not inspection.patches:
        return looked_at
    # Of a date that was patched, no more than the newest patch has been compared.
    changed_once = {
        date
        for date in looked_at
        if all(counted is not None and counted.get(date, 0) <= 1 for counted in changes.values())
    }
    return changed_once - set(failed_before)


def _verified(checked: Checked, known: Collection[dt.date | None], dates: Collection[dt.date | None]) -> list[Finding]:
    """What the deciding checks find on the dates: found already where they are ``known``, else compared now, as a whole."""
    again = checked.inspection.on({date for date in dates if date is not None and date not in known})
    findings: list[Finding] = []
    for check in _deciding(checked):
        found = [finding for finding in checked.findings if finding.check == check]
        if check.by_date:
            findings += [finding for finding in found if finding.date in known]
            findings += run([check], again) if again.dates else []
        elif check.name == "schema":
            findings += found or run([check], again)
        elif None in dates:  # the rows without a date
            findings += found if found and None in known else run([check], again)
    return findings


def _shortened(summary: str, n: int) -> str:
    return "" if n >= _REASONS_KEPT else summary[:_LETTERS_KEPT]


def _summary(made: Publication, current: Publication | None) -> str:
    verified = plural(made.dates_verified, "date")
    if not made.failures:
        of = (
            f"Silver's version {made.silver_version}" if made.silver_version is not None else "no one version of Silver"
        )
        return f"Published, as of {of}{made.exceptions}: {verified} verified."
    stands = (
        "nothing is published yet"
        if current is None
        else f"the publication of {current.at:%Y-%m-%d %H:%M:%S} UTC stands"
    )
    if wrong := [failure for failure in made.failures if not failure.waits]:
        dates = dates_text({failure.date for failure in wrong}, 5)
        return (
            f"Not published, since {made.held_since:%Y-%m-%d %H:%M:%S} UTC: of {verified} looked at, {dates} failed "
            f"{', '.join(sorted({failure.check for failure in wrong}))}; {stands}. Materialize what failed again."
        )
    if told := [failure.found for failure in made.failures if failure.check.endswith(f":{PUT_BACK}")]:
        return f"Not published, for {told[0]}."
    found = "; ".join(f"{failure.check.partition(':')[0]}: {failure.found}" for failure in made.failures)
    return f"Not published before all dates are made anew: {found}; {stands}."
