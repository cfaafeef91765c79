"""What the assets run on: the lake's tables, and the engine that computes them."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr, TypeAdapter
from pyspark.sql import SparkSession
from sqlalchemy.exc import IntegrityError

from gold_assets.config import Settings, is_catalog_name
from gold_assets.declaring.project import Project
from gold_assets.delta.errors import UserError, store_failures_told
from gold_assets.delta.storage import without_credentials, without_secrets
from gold_assets.engines import Engine
from gold_assets.engines.sail import SailEngine
from gold_assets.environment import default_project
from gold_assets.gold.lake import Lake
from gold_assets.gold.production import Production
from gold_assets.gold.safeguards import Safeguards

GOLD_STEP = "gold_tables"
"""The step of a run that makes the tables."""

_LAKEHOUSE = "lakehouse"
GOLD_WRITERS_POOL = "gold_writers"
"""Whatever writes the Gold of a project takes the one slot of its pool."""

_SPARK_REMOTES: dict[str, str] = {}
"""The address of a Spark Connect server by what the UI may show of it: a resource's configuration is on a page, and the address has a token."""

_LOCATIONS: dict[tuple[object, str], str] = {}
"""Where a catalog had a table when it was first asked for. A sensor's tick has no time to ask each time."""


def key_prefix(project: Project) -> list[str]:
    """What tells a project's things from another's: its name. The default project's have no prefix."""
    return [] if project.name == default_project().name else [project.name]


def asset_key(project: Project, name: str) -> dg.AssetKey:
    """The key of a project's asset: ``web/views_by_page``."""
    return dg.AssetKey([*key_prefix(project), name])


def named(project: Project, name: str) -> str:
    """The name of a project's job, sensor, op, pool or the like: ``web_maintenance``."""
    return "_".join([*key_prefix(project), name])


def on_lakehouse(project: Project, *, writes: bool = False) -> dict[str, Any]:
    """What Dagster is told of a step or a sensor that needs the project's lakehouse; of one that ``writes`` Gold its pool, too."""
    pool = {"pool": named(project, GOLD_WRITERS_POOL)} if writes else {}
    return {"required_resource_keys": {named(project, _LAKEHOUSE)}, **pool}


def lakehouse_of(context: Any, project: Project) -> "Lakehouse":
    """The project's lakehouse, which a step or a tick is given."""
    lakehouse: Lakehouse = getattr(context.resources, named(project, _LAKEHOUSE))
    return lakehouse


def is_of(project: Project, run: dg.DagsterRun, instance: dg.DagsterInstance) -> bool:
    """Whether a step of the run needs the project's lakehouse."""
    ops = instance.get_job_snapshot(run.job_snapshot_id).node_defs_snapshot.op_def_snaps if run.job_snapshot_id else []
    return any(named(project, _LAKEHOUSE) in op.required_resource_keys for op in ops)


_SAFEGUARDS = TypeAdapter(Safeguards)


class Lakehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Silver's place, the places of the tables made from it, and the engine, which starts on first use."""

    silver: str
    places: dict[str, str]
    silver_columns: dict[str, str] = Field(default_factory=dict)
    published: str
    safeguards: dict[str, Any] = Field(default_factory=dict)
    production: str | None = None
    unchanged: dict[str, str] = Field(default_factory=dict)
    engine: str
    checkpoint: str | None = None
    spark_master: str | None = None
    spark_remote: str | None = None
    spark_conf: str | None = None
    spark_jars: str | None = None
    pool: str = GOLD_WRITERS_POOL
    _engine: Engine | None = PrivateAttr(default=None)

    @classmethod
    def by_key(cls, settings: Settings) -> dict[str, "Lakehouse"]:
        """The lakehouse of the settings, under the key that its project has in Dagster."""
        return {named(settings.project, _LAKEHOUSE): cls.from_settings(settings)}

    @classmethod
    def from_settings(cls, settings: Settings) -> "Lakehouse":
        production = settings.production
        remote = None if settings.spark_remote is None else settings.spark_remote.get_secret_value()
        shown = None if remote is None else without_credentials(remote)
        if remote is not None and shown is not None:
            _SPARK_REMOTES[shown] = remote
        return cls(
            silver=settings.lake.silver,
            places=dict(settings.lake.places),
            silver_columns=dict(settings.lake.silver_columns),
            published=settings.published_path,
            safeguards=as_config(settings.safeguards),
            production=production.published if production else None,
            unchanged=dict(production.code_versions) if production else {},
            checkpoint=settings.checkpoint_path,
            engine=settings.engine,
            spark_master=settings.spark_master,
            spark_remote=shown,
            spark_conf=settings.spark_conf,
            spark_jars=settings.spark_jars,
            pool=named(settings.project, GOLD_WRITERS_POOL),
        )

    def lake(self, project: Project) -> Lake:
        """The project's lake. Dagster copies a resource by its configuration, of which a declaration can be no part.

        Where they are named as in Spark's catalog, Spark is started once in a process to find them.
        """
        places = {name: self._located(place) for name, place in self.places.items()}
        safeguards = _SAFEGUARDS.validate_python(self.safeguards)
        production = None if self.production is None else Production(self.production, self.unchanged)
        silver = self._located(self.silver)
        return Lake(project, silver, places, self.silver_columns, self.published, safeguards, production)

    def _located(self, place: str) -> str:
        if not is_catalog_name(place):
            return place
        catalog = (self.spark_master, self.spark_remote, self.spark_conf)
        if (catalog, place) not in _LOCATIONS:
            from gold_assets.engines.spark import SparkEngine

            engine = self.started_engine()
            assert isinstance(engine, SparkEngine)  # the settings take a name for a path on another engine
            _LOCATIONS[catalog, place] = engine.location_of(place)
        return _LOCATIONS[catalog, place]

    def started_engine(self) -> Engine:
        """The engine of this run."""
        if self._engine is None:
            self._engine = self._spark_engine() if self.engine == "spark" else SailEngine()
        return self._engine

    def _spark_engine(self) -> Engine:
        from gold_assets.engines.spark import SparkEngine

        return SparkEngine(
            master=self.spark_master,
            remote=None if self.spark_remote is None else _SPARK_REMOTES.get(self.spark_remote, self.spark_remote),
            conf_file=self.spark_conf,
            jars=self.spark_jars,
            places=[self.silver, *self.places.values(), *([self.checkpoint] if self.checkpoint else [])],
            open=_open_with_dagster,
        )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if context.instance is not None and context.run is not None:  # a sensor's tick writes nothing
            _declare_pool(context.instance, self.pool)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def as_config(safeguards: Safeguards) -> dict[str, Any]:
    """Safeguards as the configuration of a ``Lakehouse`` has them."""
    return {
        name: value for name, value in _SAFEGUARDS.dump_python(safeguards, mode="json").items() if value is not None
    }


def _declare_pool(instance: dg.DagsterInstance, name: str) -> None:
    """Give the pool its one slot, unless it has it or its owner gave it another number.

    Dagster would take the instance's default limit when the first step asks. On PostgreSQL that fails for all but one of those
    that ask at once: an insert is refused, and the transaction goes on. And an instance may have no default.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    if name not in {pool.name for pool in storage.get_pool_limits()}:
        with suppress(IntegrityError):  # another process gave it the slot in the same moment
            storage.set_concurrency_slots(name, 1)


def _open_with_dagster(conf: dict[str, Any]) -> SparkSession:
    session: SparkSession = LazyPySparkResource(spark_config=conf).spark_session
    return session


@contextmanager
def one_sentence_failures() -> Iterator[None]:
    """Let a step fail with the sentence of a ``UserError`` in place of its stack trace, and with no secret in what Dagster records."""
    try:
        with store_failures_told():
            yield
    except UserError as error:
        raise dg.Failure(description=without_secrets(str(error)), allow_retries=False) from None
    except Exception as error:
        told = "".join(traceback.format_exception(error))
        if (safe := without_secrets(told)) != told:
            raise dg.Failure(description=safe) from None
        raise
