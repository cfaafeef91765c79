"""The Gold tables and the quarantine, one multi-asset over their declarations."""

import datetime as dt
import inspect
from collections.abc import Iterator
from typing import Any, Literal

import dagster as dg

from gold_assets.assets.events import materializations
from gold_assets.assets.metadata import declared_metadata, metadata_by_date, refreshed_numbers
from gold_assets.config import Settings
from gold_assets.declaring.table import Table
from gold_assets.delta.dates import dates_text
from gold_assets.delta.errors import UserError, store_failures_told
from gold_assets.gold.commits import Steps
from gold_assets.gold.plan import by_step
from gold_assets.gold.refresh import refresh
from gold_assets.instance.dagster_internals import report_materializations_oneself
from gold_assets.partitions import GOLD_STEP_CONFIG, daily_partitions, freshness, opened_dates, touched_dates
from gold_assets.resources import GOLD_STEP, asset_key, lakehouse_of, named, on_lakehouse, one_sentence_failures


def gold_assets(settings: Settings) -> dg.AssetsDefinition:
    """The tables as assets, of which a run materializes any, on any dates."""
    project = settings.project

    @dg.multi_asset(
        name=named(project, GOLD_STEP),
        **on_lakehouse(project, writes=True),
        specs=[_spec(table, settings, settings.lake.places[table.name]) for table in settings.tables],
        can_subset=True,
        partitions_def=daily_partitions(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        config_schema=GOLD_STEP_CONFIG,
    )
    def gold_tables(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        """Recompute the asked dates of the selected tables from Silver's newest version; patch what the sensor asks for."""
        asked = [dt.date.fromisoformat(key) for key in context.partition_keys]
        touched = touched_dates(context.run)
        dates = asked if touched is None else [date for date in asked if date in touched]
        if between := sorted(set(asked) - set(dates)):
            context.log.info("Left as they are, for Silver has not touched them: %s", dates_text(between))
        with one_sentence_failures():
            opened, by = opened_dates(context.op_execution_context.op_config)
            lakehouse = lakehouse_of(context, project)
            lake = lakehouse.lake(project)
            selected = lake.named([key.path[-1] for key in context.selected_asset_keys])
            how: Literal["recompute", "patch"] = "recompute" if touched is None else "patch"
            refreshed = refresh(
                lake,
                lakehouse.started_engine(),
                dates,
                tables=selected,
                how=how,
                by="; ".join(filter(None, [f"run {context.run.run_id}", by])),
                opened=opened,
            )
        as_a_whole = all(refreshed.dates[table.name].keys() == set(asked) for table in selected)
        if not as_a_whole:
            report_materializations_oneself(context)
        for table in selected:
            key, current = asset_key(project, table.name), refreshed.current[table.name]
            written: dict[dt.date, dict[str, Any]]
            try:
                with store_failures_told():
                    written = metadata_by_date(table, lake, refreshed, examples=settings.examples)
            except UserError as error:  # it is written, whatever can be told of it
                context.log.warning("Of %s no more is told than what was written: %s", table.name, error)
                written = {
                    date: dict(refreshed_numbers(table, date, refreshed)) for date in refreshed.dates[table.name]
                }
            if as_a_whole:
                for date, metadata in written.items():
                    context.add_asset_metadata(metadata, key, str(date))
            else:
                for event in materializations(context.instance, project, table, written, current):
                    context.log_event(event)
            for said, on in by_step(current).items():
                context.log.info("%s, %s: %s", table.name, on, said)
            _tell_held(context, key, refreshed.held[table.name])
            yield dg.MaterializeResult(key)

    return gold_tables


def unchanged_assets(settings: Settings) -> list[dg.AssetSpec]:
    """In a branch, the tables that it does not change, which production makes."""
    if settings.production is None:
        return []
    there = settings.production.unchanged().tables
    return [
        _spec(table, settings, there[table.name].uri).replace_attributes(
            partitions_def=daily_partitions(settings), freshness_policy=None
        )
        for table in settings.declared.tables
        if table.name in there
    ]


def _tell_held(context: dg.AssetExecutionContext, key: dg.AssetKey, held: Steps) -> None:
    for said, on in by_step(held).items():
        left = f"{on}: left as it is, {said}"
        context.log.warning("%s, %s", key.path[-1], left)
        context.log_event(dg.AssetObservation(key, description=left))


def _spec(table: Table, settings: Settings, uri: str) -> dg.AssetSpec:
    project = settings.project
    return dg.AssetSpec(
        asset_key(project, table.name),
        deps=[asset_key(project, table.source.asset)],
        description="\n\n".join(filter(None, [table.description, _select_of(table)])),
        group_name=named(project, "quarantine" if table.is_quarantine else "gold"),
        kinds={"sql" if table.sql else "pyspark", "deltalake"},
        owners=["team:data-engineering"],
        code_version=table.code_version,
        freshness_policy=freshness(settings),
        metadata=declared_metadata(table, uri),
    )


def _select_of(table: Table) -> str:
    """In Markdown, what the table is made by, where that is one SELECT; else the step would describe it."""
    return f"```sql\n{inspect.cleandoc(table.sql)}\n```" if table.sql else ""
