"""The demo: real Silver, all its dates materialized by Dagster, the checks, and what came out of it."""

import datetime as dt
import os
import sys
import time
from pathlib import Path

import dagster as dg
from deltalake import DeltaTable

from gold_assets.code_location import definitions
from gold_assets.commands.checks import as_text, check_lake
from gold_assets.config import Settings
from gold_assets.delta.errors import UserError
from gold_assets.delta.query import query
from gold_assets.environment import default_project, load_settings, read_env_file
from gold_assets.gold.gold_log import GoldLog
from gold_assets.transactions.sample.complete_journey import bad_rows, is_sample, transactions, write_silver
from gold_assets.transactions.tables import USER_SPEND_SUMMARY

_LOGS_ERRORS_ONLY = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def main() -> int:
    """Run the demo. Returns the exit code: 0 when every date is materialized, and no error-level check fails."""
    started = time.perf_counter()
    try:
        read_env_file()
        settings = load_settings(default_project())
        first, last = build_silver(settings)
        if "partitions_start" not in settings.model_fields_set:  # the window of the demo begins with its data
            settings = settings.model_copy(update={"partitions_start": first})
        if "examples" not in settings.model_fields_set and is_sample(settings.source_path):
            settings = settings.model_copy(update={"examples": True})
        if not materialize(settings, first, last):
            raise UserError("Not every date was materialized: see the error above, mend it and run again.")
        print_outcome(settings)
        print("\nEvery check of every date, by gold checks:\n")
        report = check_lake(settings)
        print(as_text(report))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\nThat took {time.perf_counter() - started:.0f} s. Next: make ui, then open the page it names.")
    return 0 if report.exit_code == 0 else 1


def build_silver(settings: Settings) -> tuple[dt.date, dt.date]:
    """Build Silver where there is none, ending yesterday; return its first and last date."""
    if not DeltaTable.is_deltatable(settings.source_path):
        yesterday = dt.datetime.now(dt.timezone.utc).date() - dt.timedelta(days=1)
        year = transactions(until=yesterday)
        print(f"Building Silver from {year.num_rows:,} real transactions at {settings.source_path}")
        write_silver(settings.source_path, until=yesterday, extra_rows=bad_rows(year))
    dates = [date for date in settings.lake.pin().file_dates.dates() if date is not None]
    first, last = min(dates), max(dates)
    if home := os.environ.get("DAGSTER_HOME"):  # for the make targets
        of_sample = ["GOLD_EXAMPLES ?= on"] if is_sample(settings.source_path) else []
        root = os.environ.get("GOLD_LAKE_ROOT", "data")
        known = [f"ifeq ($(GOLD_LAKE_ROOT),{root})", f"GOLD_PARTITIONS_START ?= {first}", *of_sample, "endif"]
        Path(home, "demo.mk").write_text("\n".join(known) + "\n")
    return first, last


def materialize(settings: Settings, first: dt.date, last: dt.date) -> bool:
    """Observe Silver, then materialize and check the range of dates in one run. Returns whether the run succeeded."""
    repository = definitions(settings.project, settings).get_repository_def()
    range_of_dates = {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }
    with dg.DagsterInstance.get() as instance:
        observed = repository.get_job("observe_silver").execute_in_process(
            instance=instance, run_config=_LOGS_ERRORS_ONLY
        )
        print(f"Materializing {first} to {last}: {', '.join(settings.lake.places)}")
        job = repository.get_implicit_global_asset_job_def().get_subset(
            asset_selection={dg.AssetKey(table.name) for table in settings.tables},
            asset_check_selection=set(repository.asset_checks_defs_by_key),
        )
        result = job.execute_in_process(
            instance=instance, run_config=_LOGS_ERRORS_ONLY, tags=range_of_dates, raise_on_error=False
        )
        return observed.success and result.success


def print_outcome(settings: Settings) -> None:
    """Per table its rows, dates, Silver version and path; then the five largest spenders' days."""
    print(f"\n{'table':<24}{'rows':>11}{'dates':>7}{'Silver version':>16}  path")
    for table in settings.tables:
        path = settings.lake.place(table.name)
        delta_table = DeltaTable(path)
        [counted] = query("SELECT count(*) AS rows, count(DISTINCT event_date) AS dates FROM t", t=delta_table)
        stamp = GoldLog(delta_table).commit(delta_table.version()).said
        made = f"{counted['rows']:>11,}{counted['dates']:>7}{stamp['silver_version']:>16}"
        print(f"{table.name:<24}{made}  {path}")
    print("\nThe five largest spenders' days:")
    top = "SELECT * FROM t ORDER BY total_spend DESC, user_id LIMIT 5"
    for row in query(top, t=DeltaTable(settings.lake.place(USER_SPEND_SUMMARY.name))):
        print(
            f"  user {row['user_id']:>5} on {row['event_date']}: {row['total_spend']:>12,.2f} in {row['transaction_count']} transactions"
        )


if __name__ == "__main__":
    sys.exit(main())
