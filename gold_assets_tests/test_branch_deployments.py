"""A branch makes the tables that it changes on a scratch of its own, reads the others from production, and writes nothing there."""

import datetime as dt
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner, Result
from deltalake import DeltaTable

from gold_assets import Project, Table, published
from gold_assets.checks.publishing import publish
from gold_assets.commands.gold import gold
from gold_assets.delta.errors import UserError
from gold_assets.engines import Engine
from gold_assets.environment import load_settings
from gold_assets.gold.publication import Publication
from gold_assets.gold.refresh import refresh
from gold_assets_tests.docs.pages import REPOSITORY, blocks_of
from gold_assets_tests.shop import AFTER, BEFORE, DATES, QUIET, Deployed, click, project

pytestmark = pytest.mark.sail

BY_SECONDS = Table(
    "by_seconds", sql="SELECT seconds, event_date, count(*) AS views FROM clicks GROUP BY seconds, event_date"
)
UNCHANGED, CHANGED = project(BEFORE, BY_SECONDS), project(AFTER, BY_SECONDS)
SETTINGS = {
    "SHOP_LAKE_ROOT": "production",
    "SHOP_PARTITIONS_START": "2024-01-01",
    "SHOP_PARTITIONS_END": "2024-01-05",
}


@dataclass
class Production:
    """A lake of five dates that is published, its settings in a file, and a branch beside it."""

    deployed: Deployed
    engine: Engine
    root: Path

    @property
    def file(self) -> Path:
        return self.root / "production.env"

    def make(self, *, seconds: int, dates: Sequence[dt.date] = DATES) -> Publication:
        """Silver gains a click on each of the dates, and all is made and published."""
        click(self.deployed.settings, dates, seconds)
        return self.follow()

    def follow(self) -> Publication:
        refresh(self.deployed.settings.lake, self.engine, DATES)
        publish(self.deployed.settings.lake, self.deployed.settings.limits)
        return self.deployed.published()

    def digests(self) -> dict[str, str]:
        files = sorted(path for path in (self.root / "production").rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def production_in(folder: Path, engine: Engine, project: Project = UNCHANGED) -> Production:
    with pytest.MonkeyPatch.context() as there:
        there.chdir(folder)
        there.delenv("SHOP_READ_FROM", raising=False)
        for name, value in SETTINGS.items():
            there.setenv(name, value)
        return Production(Deployed(project, dg.DagsterInstance.ephemeral()), engine, folder)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    made = production_in(tmp_path_factory.mktemp("lakes"), engine)
    made.file.write_text("".join(f"{name}='{value}'\n" for name, value in SETTINGS.items()))
    made.make(seconds=7)
    return made.root


@pytest.fixture
def production(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Production:
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_READ_FROM", "production.env")
    monkeypatch.setenv("SHOP_LAKE_ROOT", "branch")
    return production_in(tmp_path, engine)


def deploy(project: Project = CHANGED) -> Deployed:
    return Deployed(project, dg.DagsterInstance.ephemeral())


def materialize(branch: Deployed, name: str) -> bool:
    job = branch.repository.get_implicit_global_asset_job_def()
    subset = job.get_subset(asset_selection={dg.AssetKey(["shop", name])})
    return subset.execute_in_process(QUIET, instance=branch.instance, raise_on_error=False).success


def run_gold(*arguments: str, obj: Project = CHANGED) -> Result:
    return CliRunner().invoke(gold, arguments, obj=obj)


def where(publication: Publication) -> dict[str, str]:
    """By table, whose folder it is in."""
    return {
        name: next(part for part in Path(table.uri).parts if part in ("production", "branch"))
        for name, table in publication.tables.items()
    }


def test_a_branch_makes_what_it_changes_reads_the_rest_from_production_and_writes_nothing_there(
    production: Production,
) -> None:
    before = production.digests()
    branch = deploy()
    assert [table.name for table in branch.settings.tables] == ["by_page"]
    graph = branch.repository.asset_graph
    made = {key.path[-1] for key in graph.materializable_asset_keys}
    assert made == {"by_page", "published_gold"}
    assert {key.path[-1] for key in graph.external_asset_keys} == {"silver_clicks", "by_seconds", "quarantined_clicks"}
    branch.follow()
    assert branch.longest() == [7] * 5 and branch.failures() == []
    assert where(branch.published()) == {
        "by_page": "branch",
        "by_seconds": "production",
        "quarantined_clicks": "production",
    }
    assert branch.published().silver_version == production.deployed.published().silver_version == 0
    assert branch.tick() == [], "what is not the branch's is not rolled out"
    for job in ("shop_maintenance", "shop_plan"):
        done = branch.repository.get_job(job).execute_in_process(QUIET, instance=branch.instance)
        assert done.success
    assert materialize(branch, "published_gold")
    reader = published(lake="branch/published")
    assert {name: reader.arrow(name).num_rows for name in reader.names} == {
        "by_page": 5,
        "by_seconds": 5,
        "quarantined_clicks": 0,
    }
    for arguments in (
        ["plan"],
        ["checks", "--publish"],
        ["diff"],
        ["try"],
        ["stream"],
        ["published"],
        ["sql", "SELECT longest, by_seconds.views FROM by_page JOIN by_seconds USING (event_date)"],
    ):
        told = run_gold(*arguments)
        assert told.exit_code == 0, told.output
    assert [path.name for path in (production.root / "branch" / "gold").iterdir()] == ["by_page"]
    assert production.digests() == before


def test_the_job_of_the_page_makes_the_tables_of_a_branch_and_publishes_them(production: Production) -> None:
    page = REPOSITORY / "docs" / "changing_tables.md"
    [block] = [block for block in blocks_of(page) if block.said.endswith(Path(__file__).name)]
    [job] = yaml.safe_load(block.text)["jobs"].values()
    commands = [step["run"] for step in job["steps"] if step.get("run", "").startswith("gold ")]
    assert len(commands) == 3
    for command in commands:
        told = run_gold(*command.split()[1:])
        assert told.exit_code == 0, told.output
    assert "branch/gold/by_page" in told.stdout and "production/gold/by_seconds" in told.stdout
    assert published(lake="branch/published").arrow("by_page")["longest"].to_pylist() == [7] * 5


def test_a_branch_that_changes_no_table_loads_and_says_so(
    production: Production, caplog: pytest.LogCaptureFixture
) -> None:
    branch = deploy(UNCHANGED)
    [said] = [record.message for record in caplog.records if "changes no table" in record.message]
    assert (
        said == "This branch changes no table: all are read from production, by_page, by_seconds, quarantined_clicks."
    )
    assert materialize(branch, "published_gold")
    assert set(where(branch.published()).values()) == {"production"}
    assert branch.published().silver_version == 0
    assert run_gold("sql", "SELECT count(*) FROM by_page", obj=UNCHANGED).exit_code == 0
    for arguments in (["plan"], ["checks"], ["try"], ["stream"]):
        told = run_gold(*arguments, obj=UNCHANGED)
        assert told.exit_code == 0 and said in told.stderr, told.output


def test_what_production_publishes_later_the_next_publication_of_the_branch_names(production: Production) -> None:
    branch = deploy()
    silver = DeltaTable(branch.settings.lake.silver)
    silver.alter.set_table_properties({"delta.logRetentionDuration": "interval 60 days"})
    branch.follow()
    assert (branch.published().silver_version, production.deployed.published().silver_version) == (1, 0)
    assert "Nothing has changed" in publish(branch.settings.lake, branch.settings.limits).summary
    newer = production.make(seconds=9, dates=DATES[:1])
    publish(branch.settings.lake, branch.settings.limits)
    then = branch.published()
    assert then.tables["by_seconds"] == newer.tables["by_seconds"]
    assert (
        then.silver_version is None
        and "production's tables are true to Silver's version 2, the branch's to version 1" in then.reason
    )
    branch.follow()
    assert branch.published().silver_version == 2
    click(branch.settings, DATES[1:2], 3)
    branch.follow()
    assert branch.published().silver_version is None
    production.follow()
    publish(branch.settings.lake, branch.settings.limits)
    assert (branch.published().silver_version, branch.published().reason) == (3, "")


def test_dates_that_production_keeps_the_branch_excepts_and_looks_at_once(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_SEALED_BEFORE", str(DATES[1]))
    sealed = production_in(production.root, production.engine)
    click(sealed.deployed.settings, DATES[:1], 9)
    assert sealed.follow().dates_kept == (DATES[0],)
    branch = deploy()
    branch.follow()
    then = branch.published()
    assert (then.silver_version, then.dates_kept) == (1, (DATES[0],))
    assert "Nothing has changed" in publish(branch.settings.lake, branch.settings.limits).summary


def test_a_table_changes_hands_as_the_branch_changes_it_and_takes_the_change_back(production: Production) -> None:
    branch = deploy(UNCHANGED)
    assert materialize(branch, "published_gold")
    changed = branch.deploy(CHANGED)
    assert run_gold("try").exit_code == 1, "what the branch published of production is there to be compared with"
    changed.follow()
    assert where(changed.published())["by_page"] == "branch"
    back = changed.deploy(UNCHANGED)
    assert materialize(back, "published_gold")
    assert where(back.published())["by_page"] == "production"


def test_a_table_that_production_has_of_another_version_by_now_is_one_sentence(
    production: Production,
) -> None:
    branch = deploy()
    other = Table("by_seconds", sql=BY_SECONDS.sql.replace("count(*)", "sum(1)"))
    production_in(production.root, production.engine, project(BEFORE, other)).follow()
    refresh(branch.settings.lake, production.engine, DATES)
    with pytest.raises(
        UserError, match=r"Production has published by_seconds made by version .*: merge what production has"
    ):
        publish(branch.settings.lake, branch.settings.limits)
    assert [table.name for table in branch.deploy(CHANGED).settings.tables] == ["by_page", "by_seconds"]


def _gone(production: Production) -> None:
    production.file.unlink()


def _senseless(production: Production) -> None:
    production.file.write_text("SHOP_PARTITIONS_START=yesterday\n")


def _nothing_published(production: Production) -> None:
    (production.root / "production" / "published").rename(production.root / "away")


def _nothing(production: Production) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "settings", "sentence"),
    [
        (_gone, {}, "SHOP_READ_FROM is production.env, which cannot be read"),
        (_senseless, {}, "by which production cannot be read: SHOP_PARTITIONS_START is 'yesterday', expected a date"),
        (_nothing_published, {}, "by which production cannot be read: Nothing is published in production, at "),
        (_nothing, {"SHOP_LAKE_ROOT": "production"}, "which is production's, expected a place of the branch's own"),
        (
            _nothing,
            {"SHOP_WRITE_PATH_BY_PAGE": "production/gold/by_page"},
            "This branch would write by_page at {root}/production/gold/by_page, where production has by_page",
        ),
        (
            _nothing,
            {"SHOP_PUBLISHED_PATH": "production/gold"},
            "This branch would write published at {root}/production/gold, where production has by_page",
        ),
        (_nothing, {"SHOP_SOURCE_PATH": "silver"}, "SHOP_SOURCE_PATH is {root}/silver, and production's tables"),
    ],
)
def test_a_branch_that_cannot_be_is_one_sentence(
    production: Production,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Production], None],
    settings: dict[str, str],
    sentence: str,
) -> None:
    spoil(production)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as raised:
        load_settings(CHANGED)
    assert sentence.format(root=production.root) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_branch_has_productions_settings_but_for_those_it_sets_and_those_that_say_where_to_write_and_whom_to_tell(
    production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    with production.file.open("a") as file:
        file.write("SHOP_FRESH_BY_HOUR=3\nSHOP_ALERT_URLS=json://localhost\nSHOP_PUBLISHED_PATH=production/published\n")
        file.write("SHOP_WRITE_PATH_BY_PAGE=production/gold/by_page\nGOLD_SPARK_MASTER=yarn\n")
    monkeypatch.setenv("SHOP_PARTITIONS_END", "2024-01-03")
    settings = load_settings(CHANGED)
    assert (str(settings.partitions_start), str(settings.partitions_end)) == ("2024-01-01", "2024-01-03")
    assert (settings.fresh_by_hour, settings.spark_master, settings.alert_addresses()) == (3, "yarn", [])
    branch = production.root / "branch"
    assert settings.published_path == str(branch / "published")
    assert settings.lake.places == {"by_page": str(branch / "gold" / "by_page")}
    assert settings.source_path == str(production.root / "production" / "silver" / "clicks")
