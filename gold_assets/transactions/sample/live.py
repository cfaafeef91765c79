"""Keep changing the demo's Silver, so that a person with the UI open sees Gold follow.

``python -m gold_assets.transactions.sample.live`` commits every few seconds: mostly a small batch of today's transactions, now and then late
rows, a correction, a deletion. Ctrl-C ends it.
"""

import argparse
import datetime as dt
import itertools
import random
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.environment import default_project, load_settings, read_env_file
from gold_assets.silver.pin import pin_silver
from gold_assets.transactions.sample.complete_journey import is_sample
from gold_assets.transactions.source import source

_KINDS = {"today": 7, "late": 1, "correct": 1, "delete": 1}
"""What a commit does, and how often beside the others."""


def main(arguments: list[str] | None = None) -> int:
    """Change Silver until interrupted. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gold_assets.transactions.sample.live", description=__doc__)
    parser.add_argument("--every", type=float, default=10, metavar="SECONDS", help="pause between commits (default 10)")
    parser.add_argument("--times", type=int, metavar="N", help="end after N commits")
    parser.add_argument("--seed", type=int, help="make the choices repeatable")
    given = parser.parse_args(arguments)
    today = dt.datetime.now(dt.timezone.utc).date()
    try:
        read_env_file()
        settings = load_settings(default_project())
        last = min(today, settings.partitions_end or today)
        changes = LiveSilver(settings.source_path, last, random.Random(given.seed))
        if not is_sample(settings.source_path):
            raise UserError(
                f"Silver at {settings.source_path} is not the demo's, which alone is changed here: set GOLD_SOURCE_PATH to the demo's, "
                "or leave it out."
            )
        for number in itertools.count() if given.times is None else range(given.times):
            if number:
                time.sleep(given.every)
            print(changes.commit(), flush=True)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
    return 0


class LiveSilver:
    """Commits to Silver as its sources would. Rows are drawn from Silver's own, so they are as real as those."""

    def __init__(self, uri: str, today: dt.date, choice: random.Random) -> None:
        self.uri = uri
        self.today = today
        self.choice = choice
        pin_silver(uri, source)  # says in one sentence what is wrong with it

    def commit(self) -> str:
        """Make one commit, and say what it was."""
        silver = DeltaTable(self.uri)
        dates = sorted(date for date in FileDates(silver).dates() if date is not None)
        if not dates:
            raise UserError(f"Silver at {self.uri} has no rows to draw from: build the demo's with make demo.")
        date = self.choice.choice(dates)
        [kind] = self.choice.choices([*_KINDS], [*_KINDS.values()])
        rows = silver.to_pyarrow_table(filters=[("event_date", "=", date)])
        users = sorted(filter(None, rows["user_id"].unique().to_pylist()))
        user = self.choice.choice(users) if users else "nobody"
        of_user = f"event_date = '{date}' AND user_id = '{user.replace(chr(39), chr(39) * 2)}'"
        if kind == "correct":
            silver.update(predicate=of_user, updates={"amount": "amount + 1"})
            said = f"the amounts of user {user} on {date} corrected"
        elif kind == "delete":
            silver.delete(of_user)
            said = f"the rows of user {user} on {date} deleted"
        else:
            on, few, what = (date, (1, 3), "late rows") if kind == "late" else (self.today, (5, 20), "rows")
            drawn = rows.take([self.choice.randrange(rows.num_rows) for _ in range(self.choice.randint(*few))])
            write_deltalake(silver, _on(on, drawn, self.choice), mode="append")
            said = f"{drawn.num_rows} {what} for {on}"
        return f"Silver version {silver.version()}: {said}"


def _on(date: dt.date, rows: pa.Table, choice: random.Random) -> pa.Table:
    """The rows as if they had happened on ``date``."""
    midnight = dt.datetime.combine(date, dt.time(), dt.timezone.utc)
    moments = [midnight + dt.timedelta(seconds=choice.randrange(86_400)) for _ in range(rows.num_rows)]
    for name, values in (("event_date", [date] * rows.num_rows), ("event_ts", moments)):
        index = rows.schema.get_field_index(name)
        if index >= 0:
            kind = rows.schema.field(index)
            rows = rows.set_column(index, kind, pc.cast(pa.array(values), kind.type))
    return rows


if __name__ == "__main__":
    sys.exit(main())
