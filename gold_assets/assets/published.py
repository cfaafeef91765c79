"""The asset ``published_gold``: what readers should read, downstream of all tables, and how far that is behind."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from gold_assets.assets.metadata import table_of
from gold_assets.checks.publishing import Outcome, publish
from gold_assets.config import Settings
from gold_assets.gold.moment import Moment
from gold_assets.gold.publication import Publication, Publications
from gold_assets.resources import GOLD_WRITERS_POOL, Lakehouse, one_sentence_failures

PUBLISHED = dg.AssetKey("published_gold")

_MINUTES_BEHIND = "minutes_behind_silver"
_FAILURES_SHOWN = 50


def published_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset, whose materialization publishes. A run that checks the tables does so too, and reports it."""

    @dg.asset(
        key=PUBLISHED,
        deps=[table.name for table in settings.tables],
        group_name="published",
        kinds={"deltalake"},
        owners=["team:data-engineering"],
        pool=GOLD_WRITERS_POOL,
        # As the tables have it: else a backfill of all of them together would be a run for each date.
        backfill_policy=dg.BackfillPolicy.single_run(),
        description="The versions of the tables that readers should read: all their dates were compared with Silver and passed.",
        metadata={"dagster/uri": settings.published_path},
    )
    def published_gold(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> dg.MaterializeResult[Any]:
        """Compare what has changed since the last publication with Silver, and publish it where it passes."""
        with one_sentence_failures():
            lake = lakehouse.lake(settings.project)
            outcome = publish(lake, settings.limits, run_id=context.run.run_id)
            if outcome.publication is None or outcome.is_held:
                raise dg.Failure(outcome.summary, metadata=_of_attempt(outcome), allow_retries=False)
            context.log.info(outcome.summary)
            return dg.MaterializeResult(metadata=_metadata(Moment(lake), settings, outcome.publication))

    return published_gold


IS_CURRENT = dg.AssetCheckSpec(
    "is_current",
    asset=PUBLISHED,
    description="Readers have what Silver has had for GOLD_PUBLISH_WITHIN_MINUTES, on the dates that are partitions.",
)


def is_current(moment: Moment, settings: Settings) -> dg.AssetCheckEvaluation:
    """Whether the publication is behind, and what holds it back."""
    lake = moment.lake
    assert lake.published is not None
    publications = Publications(lake.published, lake.places)
    newest, last = publications.newest(), publications.last_attempt()
    metadata = {} if newest is None else _metadata(moment.now(), settings, newest)
    if newest is None:
        passed, description = False, "Nothing is published yet: materialize all tables, then published_gold."
    else:
        minutes = metadata[_MINUTES_BEHIND].value
        assert isinstance(minutes, float)
        passed = minutes < settings.publish_within_minutes
        description = (
            "Readers have what is due to them."
            if passed
            else f"Readers lack what Silver has had for {minutes:.0f} min."
        )
    if last is not None and last.held_since is not None:
        failed = ", ".join(sorted({failure.check for failure in last.failures}))
        description += f" Since {last.held_since:%Y-%m-%d %H:%M} UTC publishing is held back by {failed}."
    return dg.AssetCheckEvaluation(
        asset_key=PUBLISHED,
        check_name=IS_CURRENT.name,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def events_of(
    outcome: Outcome, moment: Moment, settings: Settings
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """What the page of ``published_gold`` is to show of an attempt, at a moment of the lake."""
    if outcome.is_held:
        yield dg.AssetObservation(PUBLISHED, description=outcome.summary, metadata=_of_attempt(outcome))
    elif outcome.attempt is not None and outcome.publication is not None:
        metadata = _metadata(moment, settings, outcome.publication)
        yield dg.AssetMaterialization(PUBLISHED, description=outcome.summary, metadata=metadata)


def _metadata(moment: Moment, settings: Settings, publication: Publication) -> dict[str, dg.MetadataValue]:
    """What the page shows of the publication, and plots."""
    silver, limits = moment.silver, settings.limits
    held = publication.silver_version if publication.silver_table_id == silver.table_id else None
    after = -1 if held is None else held
    behind = moment.lag(after=after, first=limits.first_date, last=limits.end, publication=publication)
    minutes = 0.0 if behind is None else behind.seconds(time.time()) / 60
    newer = [
        gold.version() - publication.versions[name]
        for name, gold in moment.opened.items()
        if gold is not None and name in publication.versions
    ]
    return {
        "published_at": dg.MetadataValue.timestamp(publication.at),
        "tables": table_of([{"table": name, "version": version} for name, version in publication.versions.items()]),
        "dates_verified": dg.MetadataValue.int(publication.dates_verified),
        "silver_versions_behind": dg.MetadataValue.int(0 if behind is None else silver.version - behind.version + 1),
        _MINUTES_BEHIND: dg.MetadataValue.float(round(minutes, 1)),
        "gold_versions_behind": dg.MetadataValue.int(sum(newer)),
        "published_by_run": dg.MetadataValue.text(publication.run_id or "outside Dagster"),
        "silver_version": dg.MetadataValue.text(publication.reason)
        if publication.silver_version is None
        else dg.MetadataValue.int(publication.silver_version),
    }


def _of_attempt(outcome: Outcome) -> dict[str, dg.MetadataValue]:
    attempt = outcome.attempt
    if attempt is None or attempt.held_since is None:
        return {}
    failures = [
        {"event_date": str(failure.date or ""), "check": failure.check, "found": failure.found}
        for failure in attempt.failures[:_FAILURES_SHOWN]
    ]
    return {
        "held_since": dg.MetadataValue.timestamp(attempt.held_since),
        "dates_verified": dg.MetadataValue.int(attempt.dates_verified),
        "failures": table_of(failures),
    }
