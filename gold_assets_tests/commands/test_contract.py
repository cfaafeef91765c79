"""``gold contract`` and ``gold try --contract``: the file is one of the Open Data Contract Standard, and what breaks readers fails."""

import dataclasses
import importlib.resources
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gold_assets import transactions
from gold_assets.commands.gold import gold
from gold_assets.declaring.column import Column
from gold_assets.declaring.project import Project
from gold_assets.declaring.table import Table
from gold_assets.gold.lake import Lake
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import USER_SPEND_SUMMARY
from gold_assets.trying.contract import contract_of
from gold_assets_tests.corruptions import SPEND
from gold_assets_tests.small_silver import row, write_silver

pytestmark = pytest.mark.sail

FILE = "contract.odcs.yaml"


@pytest.fixture
def lake(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A Silver from which nothing is made yet, and a working folder with the contract of its tables."""
    write_silver(lake, [row(colour="red")])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOLD_SOURCE_PATH", lake.silver)
    run("contract", "--output", FILE)
    return lake


def run(*arguments: str, project: Project = transactions.project, exit_code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        gold(list(arguments), prog_name="gold", obj=project)
    assert (ended.value.code or 0) == exit_code


def written() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(FILE).read_text())
    return found


def validated(contract: dict[str, Any]) -> None:
    """By the JSON schema of the standard, v3.1.0, as a package of the standard's own people ships it."""
    schema = json.loads(importlib.resources.files("open_data_contract_standard").joinpath("schema.json").read_text())
    assert "v3.1.0" in schema["properties"]["apiVersion"]["enum"]
    jsonschema.Draft201909Validator(schema).validate(contract)


def test_the_contract_is_one_of_the_standard(lake: Lake) -> None:
    contract = written()
    validated(contract)
    with pytest.raises(jsonschema.ValidationError):
        validated({**contract, "schema": [{**contract["schema"][0], "key": ["user_id"]}]})
    spend, _, high_risk, _ = contract["schema"]
    user, total, *_ = spend["properties"]
    assert (user["physicalType"], user["primaryKey"], user["required"]) == ("string", True, True)
    assert (total["logicalType"], total["physicalType"]) == ("number", "decimal(28,4)")
    assert total["description"] == "Sum of amount over the user's transactions of the day, exact."
    assert [rule["name"] for rule in spend["quality"]][:3] == [
        "key_is_unique",
        "transaction_counts_below_one",
        "totals_without_value",
    ]
    # What a kept column is, Silver tells; a further one of Silver's is no promise.
    types = {column["name"]: column["physicalType"] for column in high_risk["properties"]}
    assert (types["amount"], types["is_high_risk"]) == ("double", "boolean")
    assert "colour" not in types


def test_a_table_in_sql_has_a_contract_too(lake: Lake) -> None:
    tables = [
        Table(
            "latest",
            sql="SELECT user_id, event_date, max(amount) AS most, count(*) AS n FROM transactions GROUP BY user_id, event_date",
        )
    ]
    project = Project("shop", source, tables)
    contract = contract_of(project, lake.pin().fields)
    validated(contract)
    assert [column["physicalType"] for column in contract["schema"][0]["properties"]] == [
        "string",
        "date",
        "decimal(18,4)",
        "long",
    ]


def test_what_else_the_file_says_stays(lake: Lake) -> None:
    Path(FILE).write_text(yaml.safe_dump({**written(), "version": "2.1.0", "team": {"name": "sales"}, "schema": []}))
    run("contract", "--output", FILE)
    contract = written()
    validated(contract)
    assert (contract["version"], contract["team"]["name"], len(contract["schema"])) == ("2.1.0", "sales", 4)


def test_a_contract_that_is_kept_ends_with_0(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    run("try", "--contract")
    assert capsys.readouterr().out == f"The tables are what {FILE} says.\n"


def with_spend(**changes: Any) -> Project:
    """The transactions with another declaration of what users spend."""
    spend, *others = transactions.project.tables
    return dataclasses.replace(transactions.project, tables=(dataclasses.replace(spend, **changes), *others))


def columns(**types: str) -> list[Column]:
    """Its columns with other types, and without those whose type is empty."""
    kept = [column for column in USER_SPEND_SUMMARY.columns if types.get(column.name) != ""]
    return [dataclasses.replace(column, type=types.get(column.name, column.type)) for column in kept]


WITHOUT_COUNT = "SELECT user_id, sum(amount) AS total_spend, event_date FROM transactions GROUP BY user_id, event_date"
BY_DAY = "SELECT max(user_id) AS user_id, sum(amount) AS total_spend, count(*) AS transaction_count, event_date FROM transactions GROUP BY event_date"


@pytest.mark.parametrize(
    ("project", "breaks"),
    [
        (
            with_spend(columns=columns(transaction_count=""), reference=WITHOUT_COUNT),
            [f"The column {SPEND}.transaction_count is gone."],
        ),
        (
            with_spend(columns=columns(transaction_count="integer")),
            [f"The column {SPEND}.transaction_count is integer, it was long, which does not fit into that."],
        ),
        (
            with_spend(reference=BY_DAY, key=("event_date",)),
            [
                f"The key of {SPEND} is event_date, it was event_date, user_id.",
                f"The column {SPEND}.user_id may be NULL, which it never was.",
            ],
        ),
        (
            dataclasses.replace(transactions.project, tables=transactions.project.tables[1:]),
            [f"The table {SPEND} is gone."],
        ),
        (with_spend(columns=columns(total_spend="decimal(30,4)")), []),
        (with_spend(description="What users spend.", invariants={}), []),
    ],
    ids=["a column gone", "a narrower type", "another key", "a table gone", "a wider type", "another description"],
)
def test_what_breaks_readers_ends_with_1_and_nothing_else(
    project: Project, breaks: list[str], lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        "try",
        "--contract",
        "--json",
        "changes.json",
        "--markdown",
        "changes.md",
        project=project,
        exit_code=int(bool(breaks)),
    )
    told = json.loads(Path("changes.json").read_text())
    assert told["breaks"] == breaks
    assert breaks or told["others"]
    printed = capsys.readouterr().out
    assert all(f"Breaks readers: {said}\n" in printed for said in breaks)
    assert Path("changes.md").read_text().count("**breaks readers**") == len(breaks)
    run("contract", "--output", FILE, project=project)
    run("try", "--contract", project=project)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, f"There is no contract {FILE}, expected the one that readers know: "),
        ("kind: [", f"The contract {FILE} cannot be read ("),
        ("kind: DataContract", f"{FILE} is no contract of the Open Data Contract Standard, "),
    ],
)
def test_a_file_that_is_no_contract_is_one_sentence(
    text: str | None, sentence: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(FILE).unlink()
    if text is not None:
        Path(FILE).write_text(text)
    run("try", "--contract", exit_code=2)
    told = capsys.readouterr().err.strip()
    assert (
        told.startswith(sentence)
        and told.endswith("gold contract --output contract.odcs.yaml" + (", and commit it." if text is None else "."))
        and "\n" not in told
    )
