"""Keep changing the demo's Silver, so that a person with the UI open sees Gold follow.

``python -m gold_assets.transactions.sample.live`` commits every few seconds: mostly a small batch of today's transactions, now and then late
rows, a correction, a deletion. Ctrl-C ends it.
"""

import argparse
import datetime as dt
import random
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from gold_assets.config import default_project, load_settings, read_env_file
from gold_assets.delta.errors import UserError
from gold_assets.delta.file_dates import FileDates
from gold_assets.silver.pin import pin_silver
from gold_assets.transactions.sample.complete_journey import is_sample
from gold_assets.transactions.source import source


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
        changes = LiveSilver(
            settings.source_path, min(today, settings.partitions_end or today), random.Random(given.seed)
        )
        if not is_sample(settings.source_path):
            raise UserError(
                f"Silver at {settings.source_path} is not the demo's, which alone is changed here: set GOLD_SOURCE_PATH to the demo's, "
                "or leave it out."
            )
        number = 0
        while given.times is None or number < given.times:
            if number:
                time.sleep(given.every)
            print(changes.commit(), flush=True)
            number += 1
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
        kind = self._kind()
        if kind == "late":
            said = self._append(silver, date, self.choice.randint(1, 3), "late rows for")
        elif kind == "correct":
            said = self._correct(silver, date)
        elif kind == "delete":
            said = self._delete(silver, date)
        else:
            said = self._append(silver, self.today, self.choice.randint(5, 20), "rows for")
        return f"Silver version {DeltaTable(self.uri).version()}: {said}"

    def _kind(self) -> str:
        return self.choice.choices(["today", "late", "correct", "delete"], weights=[7, 1, 1, 1])[0]

    def _append(self, silver: DeltaTable, date: dt.date, rows: int, what: str) -> str:
        source = self._rows_of(silver, self.choice.choice([d for d in FileDates(silver).dates() if d is not None]))
        drawn = source.take([self.choice.randrange(source.num_rows) for _ in range(rows)])
        batch = _on(date, drawn, self.choice)
        write_deltalake(silver, batch, mode="append")
        return f"{rows} {what} {date}"

    def _correct(self, silver: DeltaTable, date: dt.date) -> str:
        user = self._user_on(silver, date)
        silver.update(predicate=_rows_of_user(user, date), updates={"amount": "amount + 1"})
        return f"the amounts of user {user} on {date} corrected"

    def _delete(self, silver: DeltaTable, date: dt.date) -> str:
        user = self._user_on(silver, date)
        silver.delete(_rows_of_user(user, date))
        return f"the rows of user {user} on {date} deleted"

    def _user_on(self, silver: DeltaTable, date: dt.date) -> str:
        users = [user for user in self._rows_of(silver, date)["user_id"].unique().to_pylist() if user]
        return self.choice.choice(sorted(users)) if users else "nobody"

    def _rows_of(self, silver: DeltaTable, date: dt.date) -> pa.Table:
        return silver.to_pyarrow_table(filters=[("event_date", "=", date)])


def _rows_of_user(user: str, date: dt.date) -> str:
    return f"event_date = '{date}' AND user_id = '{user.replace(chr(39), chr(39) * 2)}'"


def _on(date: dt.date, rows: pa.Table, choice: random.Random) -> pa.Table:
    """The rows as if they had happened on ``date``."""
    index = rows.schema.get_field_index("event_date")
    rows = rows.set_column(index, rows.schema.field(index), pa.array([date] * rows.num_rows, pa.date32()))
    index = rows.schema.get_field_index("event_ts")
    if index >= 0 and pa.types.is_timestamp(rows.schema.field(index).type):
        midnight = dt.datetime.combine(date, dt.time(), dt.timezone.utc)
        moments = [midnight + dt.timedelta(seconds=choice.randrange(86_400)) for _ in range(rows.num_rows)]
        times = pc.cast(pa.array(moments, pa.timestamp("us", tz="UTC")), rows.schema.field(index).type)
        rows = rows.set_column(index, rows.schema.field(index), times)
    return rows


if __name__ == "__main__":
    sys.exit(main())
