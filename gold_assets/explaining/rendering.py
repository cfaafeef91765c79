"""An explanation as people read it in a terminal and in the UI, and as JSON."""

import dataclasses
import datetime as dt
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from tabulate import tabulate

from gold_assets.delta.plural import plural
from gold_assets.explaining.explanation import Explanation, Held
from gold_assets.explaining.history import Change, History, SilverCommit
from gold_assets.explaining.origin import Origin
from gold_assets.explaining.rows import Rows
from gold_assets.reading.answers import plain, shown, table_of

_INDENT = "  "
_ROWS_OF_A_COMMIT = 3


@dataclass(frozen=True)
class _Part:
    """A sentence, how deep it is in the list of what changed, and rows that it is about."""

    said: str
    depth: int = 0
    rows: Rows = dataclasses.field(default_factory=list)


def as_text(found: Explanation, width: int) -> str:
    """For a terminal of ``width`` characters."""
    lines: list[str] = []
    for part in _parts(found):
        first, rest = _INDENT * part.depth, _INDENT * (part.depth + 1)
        if not part.depth and lines:
            lines.append("")
        lines.append(
            textwrap.fill(part.said, width, initial_indent=first, subsequent_indent=rest, break_long_words=False)
        )
        if part.rows:
            rows = [list(row.values()) for row in part.rows]
            lines.append(textwrap.indent(table_of(list(part.rows[0]), rows, width - len(_INDENT)), _INDENT))
    return "\n".join(lines)


def as_markdown(found: Explanation) -> str:
    """For the UI."""
    lines: list[str] = []
    for part in _parts(found):
        said = escape(part.said, quote=False)
        lines += [_INDENT * (part.depth - 1) + f"- {said}"] if part.depth else ["", said]
        if part.rows:
            cells = [
                [escape(shown(value), quote=False).replace("|", "\\|") for value in row.values()] for row in part.rows
            ]
            lines += ["", tabulate(cells, list(part.rows[0]), "github", disable_numparse=True)]
    return "\n".join(lines)


def as_json(found: Explanation) -> dict[str, Any]:
    """The same. Numbers that need every digit are text, as are dates, times, NaN and the infinities."""
    made, origin, opinion, history = found.made, found.origin, found.second_opinion, found.history
    whole = {
        "table": found.question.table.name,
        "date": found.question.date,
        "key": dict(found.question.values),
        "now": dataclasses.asdict(found.now),
        "absent_because": found.absent or None,
        "published": found.published and {**dataclasses.asdict(found.published), "at": found.published_at},
        "unpublished_because": found.unpublished or None,
        "made": made
        and {
            "silver_version": made.source.silver_version,
            "how": "patched" if made.source.patches else "recomputed",
            "patches": made.source.patches,
            "by": made.source.by or made.commit.by,
            "at": made.commit.at,
            "table_version": made.commit.version,
            "overwritten_in": made.source.overwritten_in,
        },
        "silver": {
            "version": origin.version,
            "doubt": origin.doubt or None,
            "rows": origin.count,
            "valid_rows": origin.valid,
            "used_rows": origin.used,
            "valid_rows_that_miss": dict(origin.unmet),
            "numbers": dict(origin.numbers),
            "sample": origin.sample,
            "quarantined": origin.quarantined,
        },
        "second_opinion": {"agrees": opinion.agrees, "exact": opinion.is_exact, "pairs": opinion.pairs},
        "history": {
            "changes": list(map(_change_as_json, history.changes)),
            "not_in_the_table_yet": list(map(_commit_as_json, history.waiting)),
            "ends_because": history.ends or None,
            "silver_ends_because": history.silver_ends or None,
        },
    }
    return {name: plain(value) for name, value in whole.items()}


def _change_as_json(change: Change) -> dict[str, Any]:
    said = _commit_as_json(change)
    said["table_version"], said["since_silver_version"] = said.pop("version"), said.pop("since")
    del said["silver"]
    return {**said, "silver_commits": list(map(_commit_as_json, change.silver))}


def _commit_as_json(commit: Change | SilverCommit) -> dict[str, Any]:
    said = dataclasses.asdict(commit)
    return {**said.pop("info"), **said}


def _parts(found: Explanation) -> Iterator[_Part]:
    now, before = found.now, found.published
    yield _Part(f"{found.question.table.name}, {found.question}")
    yield _held(now, found.absent, f"Now, in version {now.table_version}")
    if before is None:
        yield _Part(f"As published: {found.unpublished}")
    else:
        published = f"As published at {_time(found.published_at)}, in version {before.table_version}"
        is_same = (before.count, before.rows) == (now.count, now.rows)
        yield _Part(f"{published}: the same") if is_same else _held(before, "no such row", published)
    yield from _made(found)
    yield from _origin(found.origin)
    yield from _second_opinion(found)
    yield _Part("History, newest first:")
    yield from _history(found.history)


def _held(held: Held, absent: str, where: str) -> _Part:
    if not held.count:
        return _Part(f"{where}: {absent}")
    more = f", the first {len(held.rows)} of {held.count:,} rows" if held.count > len(held.rows) else ""
    return _Part(f"{where}{more}:", rows=held.rows)


def _made(found: Explanation) -> Iterator[_Part]:
    if found.made is None:
        yield _Part("How it was made, the table's log does not tell")
        return
    source, commit = found.made.source, found.made.commit
    yield _Part(
        f"Made from Silver's version {source.silver_version}, {found.made.how}, in version {commit.version} at {_time(commit.at)}"
        + _by(source.by or commit.by)
    )
    if source.overwritten_in is not None:
        yield _Part(f"Somebody else changed rows of the date in version {source.overwritten_in}")


def _origin(origin: Origin) -> Iterator[_Part]:
    doubt = f", Silver's newest, for {origin.doubt}" if origin.doubt else ""
    numbers = "".join(f", {name} {shown(value)}" for name, value in origin.numbers.items())
    whole = origin.used or origin.count
    more = f"; the first {len(origin.sample)} of {whole:,}" if whole > len(origin.sample) else ""
    yield _Part(
        f"In version {origin.version} of Silver{doubt}: {plural(origin.count, 'row')}, {origin.valid} valid and "
        f"{origin.count - origin.valid} quarantined; made from {origin.used}{numbers}{more}",
        rows=origin.sample,
    )
    if origin.quarantined:
        yield _Part("Quarantined:", rows=origin.quarantined)


def _second_opinion(found: Explanation) -> Iterator[_Part]:
    opinion, version = found.second_opinion, found.origin.version
    if opinion.agrees:
        digits = "to the last digit" if opinion.is_exact else "but for the last digits of an average"
        yield _Part(f"An independent computation in SQL finds the same in version {version}, {digits}")
    else:
        yield _Part(f"An independent computation in SQL finds something else in version {version}:", rows=opinion.pairs)


def _history(history: History) -> Iterator[_Part]:
    if history.waiting:
        yield _Part("Not in the table yet:", 1)
        for commit in reversed(history.waiting):
            yield from _silver_commit(commit)
    for change in history.changes:
        yield from _change(change)
    if not history.changes:
        yield _Part("The logs tell of no change", 1)
    yield _Part(f"Further back: {history.ends}" if history.ends else "That is all since the table was made", 1)
    if history.silver_ends:
        yield _Part(f"Commits of Silver further back: {history.silver_ends}", 1)


def _change(change: Change) -> Iterator[_Part]:
    info = change.info
    yield _Part(f"Version {info.version}, {_time(info.at)}, {change.how}{_by(change.by)} ({info.operation})", 1)
    if change.before is None or change.after is None:
        yield _Part("whether it changed is not known: files of before or after are gone, as VACUUM takes them", 2)
    else:
        yield from (_Part(line, 2) for line in _moved(change.before, change.after))
    if change.silver_version is not None:
        since = f", after {change.since}" if change.since is not None and change.since >= 0 else ""
        yield _Part(f"from Silver's version {change.silver_version}{since}", 2)
    for commit in reversed(change.silver):
        yield from _silver_commit(commit)


def _silver_commit(commit: SilverCommit) -> Iterator[_Part]:
    said = f"Silver {commit.info.version}, {_time(commit.info.at)}, {commit.info.operation}{_by(commit.info.by)}"
    added, removed = (
        "an unknown number of" if count is None else f"{count:,}" for count in (commit.added, commit.removed)
    )
    yield _Part(f"{said}: {added} rows of the date added, {removed} removed", 3)
    if commit.came is None or commit.went is None:
        yield _Part(f"which of them are meant here is not known: {commit.unknown}", 4)
    elif not commit.came and not commit.went:
        yield _Part("none of them is meant here", 4)
    else:
        yield from (_Part(line, 4) for line in _moved(commit.went, commit.came))


def _moved(before: Rows, after: Rows) -> Iterator[str]:
    """What changed, a line for each value of one row, or for each row that came or went."""
    if len(before) == 1 and len(after) == 1:
        for name, value in after[0].items():
            if before[0].get(name) != value:
                yield f"{name} {shown(before[0].get(name))} -> {shown(value)}"
        return
    for moved, rows in (("went", before), ("came", after)):
        for row in rows[:_ROWS_OF_A_COMMIT]:
            yield f"{moved}: {', '.join(f'{name} {shown(value)}' for name, value in row.items())}"
        if len(rows) > _ROWS_OF_A_COMMIT:
            yield f"{moved}: {len(rows) - _ROWS_OF_A_COMMIT:,} more"


def _by(whom: str) -> str:
    return f" by {whom}" if whom else ""


def _time(moment: dt.datetime | None) -> str:
    if moment is None:
        return "an unknown time"
    return moment.astimezone(dt.timezone.utc).isoformat(sep=" ", timespec="seconds").replace("+00:00", "Z")
