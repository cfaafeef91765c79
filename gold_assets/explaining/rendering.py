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
from gold_assets.explaining.explanation import Explanation, Held, Made, OfSilver
from gold_assets.explaining.history import Change, History, SilverCommit
from gold_assets.explaining.question import Rows
from gold_assets.reading.answers import shown, table_of

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
    """The same."""
    whole = dataclasses.asdict(found)
    for change in whole["history"]["changes"]:
        change["table_version"] = change.pop("version")
    return whole


def _parts(found: Explanation) -> Iterator[_Part]:
    now, before = found.now, found.published
    key = " ".join(f"{name}={value}" for name, value in found.key.items())
    yield _Part(f"{found.table}, {key} on {found.date or 'no date'}")
    yield _held(now, found.absent_because, f"Now, in version {now.table_version}")
    if found.held_because:
        yield _Part(found.held_because.rstrip("."))
    if before is None:
        yield _Part(f"As published: {found.unpublished_because}")
    else:
        published = f"As published at {_time(before.at)}, in version {before.table_version}"
        is_same = (before.count, before.rows) == (now.count, now.rows)
        yield _Part(f"{published}: the same") if is_same else _held(before, "no such row", published)
    yield from _made(found.made)
    yield from _silver(found.silver)
    opinion, version = found.second_opinion, found.silver.version
    if opinion.agrees:
        digits = "to the last digit" if opinion.exact else "but for the last digits of an average"
        yield _Part(f"An independent computation in SQL finds the same in version {version}, {digits}")
    else:
        yield _Part(f"An independent computation in SQL finds something else in version {version}:", rows=opinion.pairs)
    yield _Part("History, newest first:")
    yield from _history(found.history)


def _held(held: Held, absent: str | None, where: str) -> _Part:
    if not held.count:
        return _Part(f"{where}: {absent}")
    more = f", the first {len(held.rows)} of {held.count:,} rows" if held.count > len(held.rows) else ""
    return _Part(f"{where}{more}:", rows=held.rows)


def _made(made: Made | None) -> Iterator[_Part]:
    if made is None:
        yield _Part("How it was made, the table's log does not tell")
        return
    patches = f", the {plural(made.patches, 'patch')} since it was recomputed" if made.patches else ""
    said = f"Made from Silver's version {made.silver_version}, {made.how}{patches}, in version {made.table_version}"
    yield _Part(f"{said} at {_time(made.at)}{_by(made.by)}")
    if made.overwritten_in is not None:
        yield _Part(f"Somebody else changed rows of the date in version {made.overwritten_in}")


def _silver(silver: OfSilver) -> Iterator[_Part]:
    doubt = f", Silver's newest, for {silver.doubt}" if silver.doubt else ""
    numbers = "".join(f", {name} {shown(value)}" for name, value in silver.numbers.items())
    whole = silver.used_rows or silver.rows
    more = f"; the first {len(silver.sample)} of {whole:,}" if whole > len(silver.sample) else ""
    yield _Part(
        f"In version {silver.version} of Silver{doubt}: {plural(silver.rows, 'row')}, {silver.valid_rows} valid and "
        f"{silver.rows - silver.valid_rows} quarantined; made from {silver.used_rows}{numbers}{more}",
        rows=silver.sample,
    )
    if silver.quarantined:
        yield _Part("Quarantined:", rows=silver.quarantined)


def _history(history: History) -> Iterator[_Part]:
    if history.not_in_the_table_yet:
        yield _Part("Not in the table yet:", 1)
        for commit in reversed(history.not_in_the_table_yet):
            yield from _silver_commit(commit)
    for change in history.changes:
        yield from _change(change)
    if not history.changes:
        yield _Part("The logs tell of no change", 1)
    ends = history.ends_because
    yield _Part(f"Further back: {ends}" if ends else "That is all since the table was made", 1)
    if history.silver_ends_because:
        yield _Part(f"Commits of Silver further back: {history.silver_ends_because}", 1)


def _change(change: Change) -> Iterator[_Part]:
    yield _Part(f"Version {change.version}, {_time(change.at)}, {change.how}{_by(change.by)} ({change.operation})", 1)
    if change.before is None or change.after is None:
        yield _Part("whether it changed is not known: files of before or after are gone, as VACUUM takes them", 2)
    else:
        yield from (_Part(line, 2) for line in _moved(change.before, change.after))
    if change.silver_version is not None:
        version = change.since_silver_version
        since = f", after {version}" if version is not None and version >= 0 else ""
        yield _Part(f"from Silver's version {change.silver_version}{since}", 2)
    for commit in reversed(change.silver_commits):
        yield from _silver_commit(commit)


def _silver_commit(commit: SilverCommit) -> Iterator[_Part]:
    said = f"Silver {commit.version}, {_time(commit.at)}, {commit.operation}{_by(commit.by)}"
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
