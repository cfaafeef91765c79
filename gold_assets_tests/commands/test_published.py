"""``gold published`` and ``gold sql``: what they answer is published, and what they cannot answer is one sentence."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from gold_assets.checks.publishing import publish
from gold_assets.commands.gold import gold
from gold_assets.engines import Engine
from gold_assets.gold.lake import Lake
from gold_assets.gold.publication import Publication
from gold_assets.reading.published import text_of
from gold_assets_tests.conftest import CopyOf
from gold_assets_tests.corruptions import HIGH_RISK, ON_TUESDAY, QUARANTINE, SPEND
from gold_assets_tests.reading.lakes import LIMITS, USERS, add, publish_in, published_lake

pytestmark = pytest.mark.sail

JOINED = (
    f"SELECT user_id, total_spend, violations, event_date FROM {SPEND} "
    f"JOIN {HIGH_RISK} USING (user_id, event_date) JOIN {QUARANTINE} q USING (event_date) ORDER BY event_date"
)


@pytest.fixture
def lake(copy_of: CopyOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lake:
    lake = copy_of(published_lake)
    assert lake.published is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", lake.published)
    monkeypatch.setenv("COLUMNS", "120")
    return lake


@pytest.fixture
def publication(lake: Lake) -> Publication:
    return publish_in(lake)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> "Said":
    return Said(capsys)


class Said:
    """What a command prints. It must end with exit code 0, and ``sentence`` with 2."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> str:
        gold(list(arguments), prog_name="gold", standalone_mode=False)
        return self._capsys.readouterr().out

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json", "-"))

    def sentence(self, *arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            self(*arguments)
        said = self._capsys.readouterr()
        assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
        return said.err


def test_what_is_published_is_told_with_the_ways_to_read_it(
    lake: Lake, publication: Publication, engine: Engine, said: Said
) -> None:
    add(lake, engine, "new")
    told, version = said("published"), publication.versions[SPEND]
    assert told.startswith(f"Published at {text_of(publication.at)}, outside Dagster\n")
    assert "True to version 2 of Silver" in told and "Held back" not in told
    found = said.json("published")
    assert (found["published_at"], found["silver_version"], found["held_back"]) == (text_of(publication.at), 2, None)
    [spend] = [table for table in found["tables"] if table["name"] == SPEND]
    assert spend["version"] == version
    assert spend["spark_sql"] == f"SELECT * FROM delta.`file://{lake.places[SPEND]}` VERSION AS OF {version}"
    assert spend["duckdb"] == f"SELECT * FROM delta_scan('file://{lake.places[SPEND]}', version => {version})"
    assert all(spend[reader] in told for reader in ("spark_sql", "duckdb", "polars"))


def test_what_holds_a_publication_back_is_told(lake: Lake, publication: Publication, said: Said) -> None:
    DeltaTable(lake.places[SPEND]).update({"total_spend": "total_spend + 1"}, predicate=ON_TUESDAY)
    held = publish(lake, LIMITS).attempt
    assert held is not None and held.held_since is not None
    assert f"\nHeld back since {text_of(held.held_since)} by {SPEND}:reconciles: 2024-01-02\n" in said("published")
    assert [failure["check"] for failure in said.json("published")["held_back"]["failures"]] == [f"{SPEND}:reconciles"]
    assert said("sql", f"SELECT sum(total_spend) AS spent FROM {SPEND}", "--csv", "-") == "spent\n15.0000\n"


def test_the_history_is_the_last_publications(lake: Lake, publication: Publication, engine: Engine, said: Said) -> None:
    add(lake, engine, "new")
    second = publish_in(lake)
    moments = [each["published_at"] for each in said.json("published", "--history", "2")]
    assert moments == [text_of(second.at), text_of(publication.at)]
    assert said("published", "--history", "2").count("\n") == 3
    for at in moments:  # what is printed can be asked for
        assert said.json("published", "--at", at)["published_at"] == at


def test_sql_answers_from_the_publication_and_from_earlier_ones(
    lake: Lake, publication: Publication, engine: Engine, said: Said
) -> None:
    add(lake, engine, "new")
    assert said.json("sql", USERS) == [{"user_id": "ann"}]
    publish_in(lake)
    assert said.json("sql", USERS) == [{"user_id": "ann"}, {"user_id": "new"}]
    assert said.json("sql", USERS, "--at", text_of(publication.at)) == [{"user_id": "ann"}]


def test_an_answer_is_a_table_or_blocks_or_csv_or_json(
    lake: Lake, publication: Publication, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = said("sql", JOINED).splitlines()
    assert wide[0].split() == ["user_id", "total_spend", "violations", "event_date"]
    assert wide[2].split() == ["ann", "5.0000", '["user_id_is_missing"]', "2024-01-01"]
    assert wide[-1] == "(3 rows)"
    monkeypatch.setenv("COLUMNS", "40")
    assert said("sql", JOINED).splitlines()[:3] == ["-- row 1 --", "user_id      ann", "total_spend  5.0000"]
    expected = {"user_id": "ann", "total_spend": "5.0000", "event_date": "2024-01-01"}
    assert said.json("sql", JOINED)[0] == {**expected, "violations": ["user_id_is_missing"]}
    said("sql", JOINED, "--csv", "answer.csv")
    with Path("answer.csv").open() as file:
        assert next(iter(csv.DictReader(file))) == {**expected, "violations": '["user_id_is_missing"]'}


def test_more_rows_than_a_terminal_wants_are_not_printed(lake: Lake, publication: Publication, said: Said) -> None:
    many = f"SELECT unnest(range(201)) AS n FROM {SPEND} WHERE {ON_TUESDAY}"
    assert said("sql", many).endswith("199\n(the first 200 rows; --csv and --json have all)\n")
    assert len(said.json("sql", many)) == 201


def test_readers_are_put_back_to_a_moment_or_a_number_and_it_is_told(
    lake: Lake, publication: Publication, engine: Engine, said: Said
) -> None:
    add(lake, engine, "new")
    second = publish_in(lake)
    reason = ("--reason", "a shop was loaded twice", "--by", "ann")
    told = said("published", "--back-to", text_of(publication.at), *reason)
    assert told.startswith(f"ann put readers back to the publication of {publication.at:%Y-%m-%d %H:%M:%S} UTC: a shop")
    assert ": a shop was loaded twice.\nTrue to version 2 of Silver at " in told
    assert said("sql", f"SELECT count(DISTINCT user_id) AS users FROM {SPEND}", "--csv", "-") == "users\n1\n"
    add(lake, engine, "newer")
    publish(lake, LIMITS)
    assert "by published_gold:put_back: ann put readers back to the publication of " in said("published")
    found = said.json("published")
    assert (found["put_back_by"], found["put_back_because"]) == ("ann", "a shop was loaded twice")
    [newest, *_] = said.json("published", "--history", "9")
    assert newest["put_back_to"] == text_of(publication.at)
    number = next(
        each["number"]
        for each in said.json("published", "--history", "9")
        if each["published_at"] == text_of(second.at)
    )
    assert "ann put readers back" in said("published", "--history", "1")
    assert said.json("published", "--back-to", str(number), *reason)["put_back_to"] == text_of(second.at)
    assert said.json("published")["silver_version"] == second.silver_version
    assert said("published", "--resume", *reason).startswith(
        "Publishing goes on from what is true to version 3 of Silver"
    )
    publish(lake, LIMITS)
    assert said("sql", f"SELECT count(DISTINCT user_id) AS users FROM {SPEND}", "--csv", "-") == "users\n3\n"


def test_readers_are_not_put_back_to_what_cannot_be_read(
    lake: Lake, publication: Publication, engine: Engine, said: Said
) -> None:
    add(lake, engine, "new")
    newest = publish_in(lake)
    DeltaTable(lake.places[SPEND]).vacuum(0, dry_run=False, enforce_retention_duration=False)
    for to, sentence in {
        text_of(publication.at): "of its files to VACUUM",
        "2020-01-01": "Nothing was published by 2020-01-01",
        "4711": "There is no publication 4711: ask for one that",
        "yesterday": "yesterday is no moment",
        "9999-12-31": "9999-12-31 is a moment to come",
    }.items():
        assert sentence in said.sentence("published", "--back-to", to, "--reason", "to try")
    assert "there is nothing to resume" in said.sentence("published", "--resume", "--reason", "to try")
    assert "--back-to and --resume want a --reason" in said.sentence("published", "--back-to", "1")
    assert "say why" in said.sentence("published", "--resume", "--reason", " ")
    assert "--at and --resume are given together" in said.sentence("published", "--at", "2020-01-01", "--resume")
    assert said.json("published")["published_at"] == text_of(newest.at)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    {
        "selec": 'The SQL cannot be answered (Parser Error: syntax error at or near "selec"): correct it; the tables are ',
        "SELECT mood FROM user_spend_summary": 'The SQL cannot be answered (Binder Error: Referenced column "mood" not found',
        "DELETE FROM user_spend_summary": "The SQL is no question, expected one SELECT over user_spend_summary, ",
        "SELECT 1; SELECT 2": "The SQL is no question, expected one SELECT over user_spend_summary, ",
        "SELECT * FROM 'silver/*/*.parquet'": "The SQL cannot be answered (Permission Error: ",
        "SELECT CAST(user_id AS INT) FROM user_spend_summary": "The SQL cannot be answered (Conversion Error: ",
    }.items(),
)
def test_sql_that_cannot_be_answered_is_one_sentence(
    lake: Lake, publication: Publication, said: Said, sql: str, sentence: str
) -> None:
    assert said.sentence("sql", sql).startswith(sentence)


def test_what_is_published_in_the_last_year_that_there_is_is_what_is_published_now(
    lake: Lake, publication: Publication, said: Said
) -> None:
    assert said("published", "--at", "9999-12-31") == said("published")


def test_what_the_user_can_put_right_is_one_sentence(
    lake: Lake, publication: Publication, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "JSON cannot tell apart" in said.sentence("sql", "SELECT 1 AS a, 2 AS a", "--json", "-")
    assert "expected one of the two" in said.sentence("sql", "SELECT 1", "--json", "-", "--csv", "-")
    assert "--csv nowhere/a cannot be written" in said.sentence("sql", "SELECT 1", "--csv", "nowhere/a")
    for at in ("2020-01-01", "0001-01-01"):
        assert said.sentence("published", "--at", at).startswith(f"Nothing was published by {at}T00")
    for at in ("0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"):
        for command in (
            ("sql", "SELECT 1", "--at", at),
            ("published", "--at", at),
            ("diff", "--from", f"published@{at}"),
        ):
            assert "is before the year 1 or after 9999 in UTC" in said.sentence(*command)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert said.sentence("sql", "SELECT 1").startswith("DuckDB is not installed")
    monkeypatch.setenv("GOLD_PUBLISHED_PATH", "nothing")
    assert said.sentence("published").startswith("Nothing is published at ")
