"""The asset ``published_gold``: what readers should read, downstream of all tables, and how far that is behind."""

import math
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from gold_assets.assets.metadata import table_of
from gold_assets.checks.publishing import Outcome, publish
from gold_assets.config import Settings
from gold_assets.declaring.project import Project
from gold_assets.delta.dates import dates_text
from gold_assets.gold.held import held_dates
from gold_assets.gold.moment import Moment
from gold_assets.gold.publication import Publication
from gold_assets.resources import asset_key, lakehouse_of, named, on_lakehouse, one_sentence_failures

_MINUTES_BEHIND = "minutes_behind_silver"
_FAILURES_SHOWN = 50
_DATES_SHOWN = 20


def published_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset, whose materialization publishes. A run that checks the tables does so too, and reports it."""
    project = settings.project
    needs = on_lakehouse(project, writes=True)

    @dg.asset(
        key=published_key(project),
        deps=[asset_key(project, table.name) for table in settings.declared.tables],
        group_name=named(project, "published"),
        kinds={"deltalake"},
        owners=["team:data-engineering"],
        required_resource_keys=needs["required_resource_keys"],
        pool=needs["pool"],
        # As the tables have it: else a backfill of all of them together would be a run for each date.
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=f"The versions of the tables that readers should read: all their dates were compared with Silver and passed. {settings.of_branch}".rstrip(),
        metadata={"dagster/uri": settings.published_path},
    )
    def published_gold(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """Compare what has changed since the last publication with Silver, and publish it where it passes."""
        with one_sentence_failures():
            lake = lakehouse_of(context, project).lake(project)
            outcome = publish(lake, settings.limits, run_id=context.run.run_id)
            if outcome.publication is None or outcome.is_held:
                raise dg.Failure(outcome.summary, metadata=_of_attempt(outcome), allow_retries=False)
            context.log.info(outcome.summary)
            return dg.MaterializeResult(metadata=_metadata(Moment(lake), settings, outcome.publication))

    return published_gold


def published_key(project: Project) -> dg.AssetKey:
    """The asset's key."""
    return asset_key(project, "published_gold")


def is_current_spec(settings: Settings) -> dg.AssetCheckSpec:
    """The asset's check."""
    within = settings.setting("publish_within_minutes")
    return dg.AssetCheckSpec(
        "is_current",
        asset=published_key(settings.project),
        description=f"Readers have what Silver has had for {within}, on the dates that are partitions.",
    )


def is_current(moment: Moment, settings: Settings) -> dg.AssetCheckEvaluation:
    """Whether the publication is behind, and what holds it back."""
    lake, key = moment.lake, published_key(settings.project)
    assert lake.published is not None
    publications = lake.publications()
    newest, last = publications.newest(), publications.last_attempt()
    metadata = {} if newest is None else _metadata(moment.now(), settings, newest)
    minutes = metadata.get(_MINUTES_BEHIND, math.inf)
    passed = minutes < settings.publish_within_minutes
    description = "Readers have what is due to them."
    if newest is None:
        description = f"Nothing is published yet: materialize all tables, then {key.to_user_string()}."
    elif not passed:
        description = f"Readers lack what Silver has had for {minutes:.0f} min."
    if last is not None and last.held_since is not None:
        failed = ", ".join(sorted({failure.check for failure in last.failures}))
        description += f" Since {last.held_since:%Y-%m-%d %H:%M} UTC publishing is held back by {failed}."
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name="is_current",
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def events_of(
    outcome: Outcome, moment: Moment, settings: Settings
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """What the page of ``published_gold`` is to show of an attempt, at a moment of the lake."""
    key = published_key(settings.project)
    if outcome.is_held:
        yield dg.AssetObservation(key, description=outcome.summary, metadata=_of_attempt(outcome))
    elif outcome.attempt is not None and outcome.publication is not None:
        metadata = _metadata(moment, settings, outcome.publication)
        yield dg.AssetMaterialization(key, description=outcome.summary, metadata=metadata)


def _metadata(moment: Moment, settings: Settings, publication: Publication) -> dict[str, Any]:
    """What the page shows of the publication, and plots."""
    silver, limits = moment.silver, settings.limits
    held = publication.silver_version if publication.silver_table_id == silver.table_id else None
    after = -1 if held is None else held
    behind = moment.lag(after=after, first=limits.first_date, last=limits.end, publication=publication)
    dates_kept = [date for date in publication.dates_kept if date in limits]
    minutes = 0.0 if behind is None else behind.seconds(time.time()) / 60
    newer = [
        gold.version() - publication.versions[name]
        for name, gold in moment.opened.items()
        if gold is not None and name in publication.versions
    ]
    return {
        "published_at": dg.MetadataValue.timestamp(publication.at),
        "tables": table_of([{"table": name, "version": version} for name, version in publication.versions.items()]),
        "dates_verified": publication.dates_verified,
        "silver_versions_behind": 0 if behind is None else silver.version - behind.version + 1,
        _MINUTES_BEHIND: round(minutes, 1),
        "dates_held": dates_text([held.date for held in held_dates(moment, dates_kept)], _DATES_SHOWN) or "none",
        "gold_versions_behind": sum(newer),
        "published_by_run": publication.run_id or "outside Dagster",
        **({"put_back": publication.put_back} if publication.put_back else {}),
        "silver_version": publication.reason if publication.silver_version is None else publication.silver_version,
    }


def _of_attempt(outcome: Outcome) -> dict[str, Any]:
    attempt = outcome.attempt
    if attempt is None or attempt.held_since is None:
        return {}
    failures = [
        {"event_date": str(failure.date or ""), "check": failure.check, "found": failure.found}
        for failure in attempt.failures[:_FAILURES_SHOWN]
    ]
    return {
        "held_since": dg.MetadataValue.timestamp(attempt.held_since),
        "dates_verified": attempt.dates_verified,
        "failures": table_of(failures),
    }
