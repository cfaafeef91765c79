"""The engine under test, and an empty lake.

``GOLD_ENGINE`` names the engine (``sail`` by default, or ``spark``). One process tests one engine: pyspark dispatches its
functions to classic or to Connect once per process. Tests marked ``sail`` or ``spark`` run on that engine only.
"""

import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from gold_assets import transactions
from gold_assets.declaring.table import Table
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.transactions.tables import QUARANTINED_TXNS, TABLES, USER_SPEND_SUMMARY

if TYPE_CHECKING:
    from gold_assets_tests.alerts.test_alerts import Chat

SMALL_TABLES = str(Path(__file__).parent / "engines" / "small_tables.conf")
"""Spark settings for tables of a few rows."""

MakeLake = Callable[[Lake, Engine], None]
CopyOf = Callable[[MakeLake], Lake]

JVMS_OF_THEIR_OWN = ("/object_store/", "/commands/", "/engines/test_spark_cluster", "/engines/test_spark_start")
"""The tests of which Spark runs in processes that they start."""

WITH_STREAMS = ("/gold/test_streaming", "/engines/test_silvers_that_people_have")
"""Half of what is left, by how long it takes."""

ENGINE = os.environ.get("GOLD_ENGINE") or "sail"

TABLES_OF_A_TEST = TABLES if ENGINE == "sail" else (USER_SPEND_SUMMARY, QUARANTINED_TXNS)
"""Spark takes half a second for each table of a refresh, so there is one of each kind there, of keys and of rows."""

# A lake of the user's own, or the window that the demo made known to make, is none of the tests' business.
for _setting in [name for name in os.environ if name.startswith(("GOLD_", "DAGSTER_")) and name != "GOLD_ENGINE"]:
    del os.environ[_setting]

hypothesis.settings.register_profile(
    "gold_assets",
    max_examples=8 if ENGINE == "sail" else 4,
    deadline=None,
    print_blob=True,
    # The engine and tmp_path live longer than an example; every example gets a lake of its own in them.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
# pytest --hypothesis-profile nightly: what there is time for while nobody waits.
hypothesis.settings.register_profile("nightly", hypothesis.settings.get_profile("gold_assets"), max_examples=48)
# pytest --hypothesis-profile thorough: for when the contract, the transformations or an engine's version change.
hypothesis.settings.register_profile("thorough", hypothesis.settings.get_profile("gold_assets"), max_examples=600)
# pytest --hypothesis-profile quick: while code is written; a failure is shown as it was found, without minutes of shrinking.
hypothesis.settings.register_profile(
    "quick",
    hypothesis.settings.get_profile("gold_assets"),
    max_examples=40,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.load_profile("gold_assets")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sail: runs on Sail only")
    config.addinivalue_line("markers", "spark: runs on Spark only")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for name in {"sail", "spark"} - {ENGINE}:
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"for GOLD_ENGINE={name}"))


class FewSessions(LoadFileScheduling):  # type: ignore[misc]
    """Of Spark's tests, those that need a session share two workers, so that there are two JVMs and not one for each worker.

    With its start a JVM takes nearly 50 s of a processor for the first five refreshes of all tables, and after sixty 13.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        if any(name in file for name in JVMS_OF_THEIR_OWN):
            return file
        return "streams" if any(name in file for name in WITH_STREAMS) else "refreshes"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return FewSessions(config, log) if ENGINE == "spark" else None


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that ``GOLD_ENGINE`` names, started once and stopped at the end."""
    started = new_engine()
    yield started
    started.close()


def new_engine() -> Engine:
    """An engine of the kind that ``GOLD_ENGINE`` names."""
    if ENGINE == "spark":
        from gold_assets.engines.spark import SparkEngine

        return SparkEngine(conf_file=SMALL_TABLES)
    from gold_assets.engines.sail import SailEngine

    sail = SailEngine()
    sail.few_rows = 0  # as it reads large tables; Dagster's and the commands' engines copy the tests' few rows
    return sail


@contextmanager
def few_rows(engine: Engine, rows: int) -> Iterator[None]:
    """Where Sail would read so many rows itself, let it copy them while the block runs."""
    before = getattr(engine, "few_rows", None)
    engine.few_rows = rows  # type: ignore[attr-defined]
    try:
        yield
    finally:
        engine.few_rows = before  # type: ignore[attr-defined]


@contextmanager
def compiled_queries(engine: Engine) -> Iterator[None]:
    """Where Spark interprets its queries, for tables of a few rows, let it compile them while the block runs, for a large one."""
    if ENGINE == "spark":
        conf = engine.session.conf  # type: ignore[attr-defined]
        interpreted = {
            name: conf.get(name) for name in ("spark.sql.codegen.wholeStage", "spark.sql.codegen.factoryMode")
        }
        conf.set("spark.sql.codegen.wholeStage", "true")
        conf.set("spark.sql.codegen.factoryMode", "FALLBACK")
        try:
            yield
        finally:
            for name, value in interpreted.items():
                conf.set(name, value)
    else:
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Callable[[MakeLake], Path]:
    """The folder of the lake that a function makes, which it does when it is first asked for."""

    @functools.cache
    def folder_of(make: MakeLake) -> Path:
        folder = tmp_path_factory.mktemp(make.__name__)
        make(lake_in(folder, TABLES_OF_A_TEST), engine)
        return folder

    return folder_of


@pytest.fixture
def copy_of(made_once: Callable[[MakeLake], Path], tmp_path: Path) -> CopyOf:
    """A test's own copy of the lake that a function makes. It is sooner there than a new one."""

    def copy(make: MakeLake) -> Lake:
        shutil.copytree(made_once(make), tmp_path, dirs_exist_ok=True)
        return lake_in(tmp_path, TABLES_OF_A_TEST)

    return copy


@pytest.fixture
def chat() -> Iterator["Chat"]:
    """What hears alerts, on loopback."""
    from gold_assets_tests.alerts.test_alerts import Chat

    chat = Chat()
    chat.open()
    yield chat
    chat.close()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Places for Silver and the tables made from it, with nothing there."""
    return lake_in(tmp_path, TABLES_OF_A_TEST)


NO_TABLES = dataclasses.replace(transactions.project, tables=())
"""For a Silver from which nothing is made."""


def lake_in(folder: Path, tables: Sequence[Table] = TABLES) -> Lake:
    """A lake with its tables under ``folder``."""
    places = {table.name: str(folder / table.name) for table in tables}
    return Lake(
        dataclasses.replace(transactions.project, tables=tuple(tables)),
        str(folder / "silver"),
        places,
        published=str(folder / "published"),
    )
