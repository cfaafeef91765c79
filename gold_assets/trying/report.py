"""A trial as people read it, in a terminal and in a pull request, and as JSON."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import indent
from typing import Any

from tabulate import tabulate

from gold_assets.delta.dates import EVENT_DATE, dates_text
from gold_assets.delta.plural import duration, plural
from gold_assets.explaining.differences import Difference, Total, totals_as_json
from gold_assets.explaining.numbers import Number, short, signed
from gold_assets.reading.answers import shown, table_of
from gold_assets.trying.table_trial import TableTrial
from gold_assets.trying.trial import Trial

_DATES_SHOWN = 10


@dataclass(frozen=True)
class _Part:
    """A sentence, of which table it begins to tell, and rows under names of columns; whether these are rows of a table."""

    said: str
    table: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    are_examples: bool = False


def as_text(trial: Trial, width: int) -> str:
    """For a terminal of ``width`` characters."""
    lines: list[str] = []
    for part in _parts(trial):
        if part.table:
            lines.append(f"\n{part.table}: {part.said}")
        elif part.said:
            lines.append(f"  {part.said}")
        if part.rows:
            lines.append(indent(table_of(part.columns, part.rows, width - 2), "  "))
    return "\n".join([_summary(trial), *_remarks(trial), *lines, *_roll_out(trial)])


def as_markdown(trial: Trial, *, examples: bool) -> str:
    """For a pull request, where rows stay past every deletion in Silver: they are there as ``examples`` if that is asked for."""
    lines = ["### gold try", "", escape(_summary(trial), quote=False), *(f"\n{said}" for said in _remarks(trial))]
    for part in _parts(trial):
        if part.are_examples and not examples:
            continue
        said = escape(part.said, quote=False)
        if part.table:
            lines += ["", f"**{part.table}**: {said}"]
        elif said:
            lines += ["", said]
        if part.rows:
            cells = [[escape(shown(value), quote=False).replace("|", "\\|") for value in row] for row in part.rows]
            lines += ["", tabulate(cells, list(part.columns), "github", disable_numparse=True)]
    return "\n".join([*lines, *(f"\n{said}" for said in _roll_out(trial) if said)])


def as_json(trial: Trial) -> dict[str, Any]:
    """All of it, every change among it, as ``gold diff --json`` has it."""
    return {
        "compared_with": trial.compared_with,
        "silver_versions": list(trial.silver_versions),
        "dates": list(trial.dates),
        "dates_there": trial.asked,
        "kept": list(trial.kept),
        "unchanged": list(trial.unchanged),
        "differs": trial.differs,
        "tables": [_table_as_json(table) for table in trial.tables],
        "doubts": {why: [str(date) for date in dates] for why, dates in trial.doubts.items()},
        "seconds": trial.seconds,
        "rows": trial.rows,
        "roll_out": {"dates": trial.all_dates, "rows": trial.all_rows, "seconds": trial.roll_out_seconds},
    }


def same_or_not(trial: Trial) -> str:
    """In one sentence, whether a refactoring is one."""
    told = [f"{table.table.name} ({_in_short(table)})" for table in trial.tables if table.differs]
    if told:
        return f"This is no refactoring: {', '.join(told)} would not be what {_be(told)} now."
    names = ", ".join(table.table.name for table in trial.tables) or "no table"
    return f"Nothing differs: on {plural(len(trial.dates), 'date')} {names} would be the same, compared with {trial.compared_with}."


def _be(names: Sequence[str]) -> str:
    return "it is" if len(names) == 1 else "they are"


def _summary(trial: Trial) -> str:
    if not trial.tables:
        return (
            "Nothing was tried, for no table is new or was made by another code version than it has now, compared with "
            f"{trial.compared_with}: name a table with --table, or ask for all with --assert-same."
        )
    names = ", ".join(table.table.name for table in trial.tables)
    dates = (
        f"{len(trial.dates)} of {trial.asked} dates" if len(trial.dates) < trial.asked else plural(trial.asked, "date")
    )
    versions = " and ".join(map(str, trial.silver_versions))
    return (
        f"Made {names} on {dates}, from Silver's version {versions}, in {trial.seconds:.1f} s; compared with "
        f"{trial.compared_with}."
    )


def _remarks(trial: Trial) -> list[str]:
    said = (
        [f"Not tried, for the code that made them has not changed: {', '.join(trial.unchanged)}."]
        if trial.tables and trial.unchanged
        else []
    )
    if trial.kept:
        said.append(f"Left out, for Gold keeps what it has of them: {dates_text(trial.kept, 3)}.")
    return said + [
        f"What differs on {dates_text(dates, 3)} may be Silver's doing, for {why}."
        for why, dates in trial.doubts.items()
    ]


def _roll_out(trial: Trial) -> list[str]:
    if not trial.tables:
        return []
    if (seconds := trial.roll_out_seconds) is None:
        return ["", "How long a roll-out takes cannot be told, for Silver's log does not count the rows of a date."]
    return [
        "",
        f"To make {plural(len(trial.tables), 'table')} on all dates of the window, {trial.all_dates}, from {trial.all_rows:,} rows, takes "
        f"about {duration(seconds)} at this rate, without checks and publishing.",
    ]


def _in_short(table: TableTrial) -> str:
    if table.differences is None:
        return table.why_not
    columns = [f"{name} came" for name in table.came] + [f"{name} went" for name in table.went]
    columns += [f"{name} is {after}, was {before}" for name, (before, after) in table.retyped.items()]
    return ", ".join([*columns, table.differences.summary] if table.differences.count else columns)


def _parts(trial: Trial) -> Iterator[_Part]:
    for table in trial.tables:
        yield _Part(_headline(table), table.table.name)
        if table.before is not None:
            columns = [
                *((name, "came", type) for name, type in table.came.items()),
                *((name, "went", type) for name, type in table.went.items()),
                *((name, "changed", f"{before} to {after}") for name, (before, after) in table.retyped.items()),
            ]
            yield _Part("", columns=("column", "", "type"), rows=columns)
        if table.differences is not None and table.differences.count:
            yield from _changes(table)


def _headline(table: TableTrial) -> str:
    if table.before is None:
        return f"{table.why_not}; {plural(table.rows, 'row')} on these dates"
    if table.differences is None:
        return f"its rows cannot be compared, for {table.why_not}; {plural(table.rows, 'row')} on these dates"
    if table.differences.count:
        return table.differences.summary
    return "nothing changes in the columns that were there" if table.differs else "nothing changes"


def _changes(table: TableTrial) -> Iterator[_Part]:
    found, (came, went) = table.differences, table.keys_moved
    assert found is not None
    what = "key" if table.table.key else "row"
    yield _Part(f"{plural(came, what)} came, {plural(went, what)} went; on {dates_text(found.dates, 5)}")
    yield _Part(
        "",
        columns=("column", "values changed", "median change", "largest change"),
        rows=[(each.name, each.values, _size(each.median), _moved(each.largest)) for each in table.columns],
    )
    examples = [
        (each.name, of.date, of.key, of.before, of.after, _moved(of.change))
        for each in table.columns
        for of in each.examples
    ]
    yield _Part(
        "Those that changed most:" if examples else "",
        columns=("column", EVENT_DATE, "key", "before", "after", "change"),
        rows=examples,
        are_examples=True,
    )
    if table.moved:
        rows = [_moved_row(each, is_by_key=bool(table.table.key)) for each in table.moved]
        names = list(dict.fromkeys(name for row in rows for name in row))
        told = [[row.get(name) for name in names] for row in rows]
        yield _Part("Some of them:", columns=names, rows=told, are_examples=True)
    yield from _by_date(table)


def _moved_row(moved: Difference, *, is_by_key: bool) -> dict[str, Any]:
    """A key with its values, or a row, and whether it came or went."""
    if is_by_key:
        is_new = moved.before.get("rows") == 0 or all(value is None for value in moved.before.values())
    else:
        is_new = moved.after["rows"] > moved.before["rows"]
    values = {name: value for name, value in (moved.after if is_new else moved.before).items() if name != "rows"}
    return {"": "came" if is_new else "went", EVENT_DATE: moved.date, **moved.key, **values}


def _by_date(table: TableTrial) -> Iterator[_Part]:
    found = table.differences
    assert found is not None
    totals = found.totals_by_date
    names = [name for name in next(iter(totals.values())) if any(of[name].change for of in totals.values())]
    by = table.table.measure if table.table.measure in names else next(iter(names), "")
    sizes = {date: (abs(float(of[by].change)) if by else 0.0, found.dates[date]) for date, of in totals.items()}
    most = sorted(sizes, key=lambda date: sizes[date], reverse=True)[:_DATES_SHOWN]
    rows = [
        (date, found.dates[date], *(_before_and_after(totals[date][name]) for name in names))
        for date in totals
        if date in most
    ]
    more = len(totals) - len(rows)
    yield _Part(
        f"The {len(rows)} dates on which most changes; --json has {more} more:" if more else "By date:",
        columns=(EVENT_DATE, "changed", *names),
        rows=rows,
    )


def _before_and_after(total: Total) -> str:
    return (
        f"{short(total.before)} -> {short(total.after)} ({signed(total.change)})"
        if total.change
        else str(short(total.after))
    )


def _size(number: Number | None) -> str:
    return "" if number is None else signed(number).lstrip("+")


def _moved(number: Number | None) -> str:
    return "" if number is None else signed(number)


def _table_as_json(table: TableTrial) -> dict[str, Any]:
    told: dict[str, Any] = {
        "table": table.table.name,
        "differs": table.differs,
        "rows": table.rows,
        "columns_came": dict(table.came),
        "columns_went": dict(table.went),
        "columns_retyped": {name: list(types) for name, types in table.retyped.items()},
        "not_compared": table.why_not,
    }
    if table.differences is None:
        return told
    came, went = table.keys_moved
    return {
        **told,
        "came": came,
        "went": went,
        "columns": [dataclasses.asdict(column) for column in table.columns],
        "by_date": {str(date): totals_as_json(totals) for date, totals in table.differences.totals_by_date.items()},
        **table.differences.as_json(),
    }
