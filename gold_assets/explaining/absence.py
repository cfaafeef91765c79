"""Why a table has no such row, and what is nearest to one that nobody ever had."""

from deltalake import DeltaTable

from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.delta.plural import plural
from gold_assets.delta.query import query
from gold_assets.explaining.history import History
from gold_assets.explaining.origin import Origin
from gold_assets.explaining.question import Question, quoted
from gold_assets.silver.pin import Silver


def why_absent(question: Question, origin: Origin, history: History) -> str:
    """Why the table has no such row."""
    broken = origin.count - origin.valid
    rows = plural(origin.count, "row")
    at = f"Silver's version {origin.version}"
    if origin.used:
        why = f"{plural(origin.used, 'row')} of {at} should be in it: materialize the date again"
    elif not origin.count:
        why = f"{at} has no row of it"
    elif question.table.is_quarantine:
        why = f"its {rows} in {at} break no rule"
    elif not origin.valid:
        why = f"its {rows} in {at} break a rule and {'is' if origin.count == 1 else 'are'} in the quarantine"
    else:
        unmet = ", ".join(f"{name} is not true of {count}" for name, count in origin.unmet.items() if count)
        quarantined = f"; {broken} more in the quarantine" if broken else ""
        why = f"none of its {plural(origin.valid, 'valid row')} in {at} belongs there: {unmet}{quarantined}"
    if history.waiting:
        versions = ", ".join(str(commit.info.version) for commit in history.waiting)
        why += f"; later commits of Silver that touched the date are not in the table yet: {versions}"
    return f"{question.table.name} has no such row, for {why}."


def not_there(question: Question, gold: DeltaTable, silver: Silver) -> UserError:
    """That neither Silver nor the table has such a row, nor ever had one that the logs tell of; and what is nearest."""
    if question.date is not None:
        dates = {date for date in FileDates(gold).dates() | silver.dates() if date is not None}
        if question.date not in dates:
            date = question.date
            nearest = min(dates, key=lambda other: (abs(other - date), other), default=None)
            found = "neither has any date" if nearest is None else f"the nearest date that either has is {nearest}"
            return UserError(
                f"Neither Silver nor {question.table.name} has rows on {question.date}; {found}: ask for another."
            )
    view = question.silver_rows(silver)
    for name, condition in question.in_silver.items():
        value, column = question.values[name], f"CAST({question.source_sql(name)} AS VARCHAR)"
        [counted] = query(f"SELECT count(*) AS n FROM silver WHERE {condition}", silver=view)
        if not counted["n"]:
            distance = f"levenshtein({column}, {quoted(value)})"
            values = query(
                f"SELECT {column} AS value FROM silver WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY {distance}, 1 LIMIT 1",
                silver=view,
            )
            near = f"the nearest is {values[0]['value']}" if values else "it has no value at all"
            return UserError(
                f"Neither Silver nor {question.table.name} has {name}={value} on {question.date or 'no date'}; {near}: ask for another."
            )
    return UserError(
        f"Neither Silver nor {question.table.name} has a row with {question}, though one with each of the values: leave out one."
    )
