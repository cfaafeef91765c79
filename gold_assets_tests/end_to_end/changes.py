"""``python -m gold_assets_tests.end_to_end.changes``: three changes of code in a row, each from ``gold try`` to publication.

A real daemon rolls them out, while Silver goes on and somebody reads what is published. What ``gold try`` said beforehand
must be what ``gold diff`` says of the publications before and after, and each publication must be of one definition.
"""

import dataclasses
import datetime as dt
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gold_assets import Project, transactions
from gold_assets.code_location import definitions
from gold_assets.delta.dates import days
from gold_assets.gold.publication import Publication
from gold_assets.reading.published import published
from gold_assets_tests.changes_of_code import A_COLUMN_MORE, below, with_another_rule
from gold_assets_tests.end_to_end.command_line import run
from gold_assets_tests.instance.dagster_dev import DagsterDev
from gold_assets_tests.small_silver import MONDAY, high_risk_row, row, write_silver

FILE = "CHANGES_DEPLOYED"
DATES = days(MONDAY, MONDAY + dt.timedelta(days=39))
PROJECT = ("--project", "gold_assets_tests.end_to_end.changes:project")


def project_of(number: int) -> Project:
    """The transactions after so many of the changes: a column more, a rule more, another threshold."""
    base = with_another_rule() if number > 1 else transactions.project
    changed = {}
    for change, table in enumerate((A_COLUMN_MORE, below("0.25")), start=1):
        if number >= 2 * change - 1:
            changed[table.name] = dataclasses.replace(table, source=base.source)
    return dataclasses.replace(base, tables=tuple(changed.get(table.name, table) for table in base.tables))


if FILE in os.environ:
    project = project_of(int(Path(os.environ[FILE]).read_text()))
    defs = definitions(project)


class Changes:
    def __init__(self, folder: Path) -> None:
        self.deployed, self.tried = folder / "deployed", folder / "tried"
        self.deployed.write_text("0")
        window = {"GOLD_PARTITIONS_START": str(DATES[0]), "GOLD_PARTITIONS_END": str(DATES[-1])}
        self.dev = DagsterDev(folder, module=PROJECT[1].partition(":")[0], **{FILE: str(self.deployed)}, **window)
        self.read: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._ended = threading.Event()

    def run(self) -> list[str]:
        """What went wrong."""
        rows = [row(event_date=date, user_id=user, amount=3.0) for date in DATES for user in ("ann", "bob")]
        rows += [row(event_date=date, user_id="zoe", amount=amount) for date in DATES for amount in (0.0, 7.5)]
        rows += [high_risk_row(event_date=date, usage_cost_ratio=ratio) for date in DATES for ratio in (0.1, 0.2, 0.22)]
        write_silver(self.dev.lake, rows)
        with self.dev:
            self._wait(0)
            beside = [threading.Thread(target=each) for each in (self._go_on, self._read)]
            for thread in beside:
                thread.start()
            try:
                for number in (1, 2, 3):
                    self._change(number)
            finally:
                self._ended.set()
                for thread in beside:
                    thread.join()
        return self.wrong

    def _change(self, number: int) -> None:
        self.tried.write_text(str(number))
        env = self.dev.env | {FILE: str(self.tried)}
        tried = run("gold", *PROJECT, "try", "--json", "-", env=env)
        beforehand = json.loads(tried.stdout)
        moment, began = dt.datetime.now(dt.timezone.utc).isoformat(), time.monotonic()
        self.deployed.write_text(str(number))
        self.dev.stop()
        self.dev.start()
        newest = self._wait(number)
        diff = run(
            "gold", *PROJECT, "diff", "--from", f"published@{moment}", "--to", "published", "--json", "-", env=env
        )
        said, found = changes_of(beforehand), changes_of(json.loads(diff.stdout))
        of_each = {table: len(changes) for table, changes in found.items()}
        print(
            f"change {number}: published after {time.monotonic() - began:.0f} s, as number {newest.number}; changed {of_each}",
            flush=True,
        )
        if said != found:
            self.wrong.append(f"change {number}: gold try said {said}, and gold diff {found}")

    def _wait(self, number: int) -> Publication:
        """Until all is published as the change ``number`` declares it."""
        expected = {table.name: table.code_version for table in project_of(number).tables}
        found: list[Publication] = []

        def is_published() -> bool:
            newest = self.dev.lake.publications().newest()
            if newest is None or dict(newest.code_versions) != expected or newest.silver_version is None:
                return False
            found.append(newest)
            return True

        self.dev.wait_for(f"change {number} is published", 600, is_published)
        return found[-1]

    def _go_on(self) -> None:
        """Silver gains rows of the last date."""
        while not self._ended.wait(3):
            write_silver(self.dev.lake, [row(event_date=DATES[-1], user_id="new")])

    def _read(self) -> None:
        """Read what is published, again and again."""
        while not self._ended.wait(0.2):
            reader = published(lake=self.dev.lake)
            publication = reader.publication
            self.read[str(publication.number)] += 1
            spend = reader.arrow("user_spend_summary")
            if "largest_amount" in spend.column_names and spend["largest_amount"].null_count:
                self.wrong.append(f"publication {publication.number} has dates with and without largest_amount")
            if len(set(reader.arrow("quarantined_txns")["event_date"].to_pylist())) not in (0, len(DATES)):
                self.wrong.append(f"publication {publication.number} has dates by one rule and by another")
            if publication.code_versions.keys() != {*reader.names}:
                self.wrong.append(f"publication {publication.number} is of {publication.code_versions}")


def changes_of(told: Any) -> dict[str, list[str]]:
    """By table each change, but those of the date that Silver goes on with."""
    return {
        table["table"]: found
        for table in told["tables"]
        if (found := sorted(str(each) for each in table["changes"] if str(DATES[-1]) not in str(each)))
    }


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="gold_assets-changes-") as folder:
        changes = Changes(Path(folder))
        wrong = changes.run()
        print(f"read {sum(changes.read.values())} times, {len(changes.read)} publications; wrong: {wrong or 'nothing'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
