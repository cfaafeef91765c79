"""The job of docs/changing_tables.md, step by step, in a clone of a repository with a commit that changes a table."""

import datetime as dt
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from deltalake import write_deltalake

from gold_assets_tests.docs.pages import REPOSITORY, blocks_of
from gold_assets_tests.end_to_end.command_line import BIN, environment, run

pytestmark = [pytest.mark.sail, pytest.mark.end_to_end, pytest.mark.timeout(1_200)]

DECLARES = """
from gold_assets import Column, Project, Source, Table

orders = Source("orders", date="at", columns=[Column("customer", "string"), Column("amount", "double")])
spent = Table(
    "spent_by_customer",
    sql="SELECT customer, event_date, sum(amount) AS spent, count(*) AS orders FROM orders GROUP BY customer, event_date",
)
project = Project("shop", orders, [spent])
"""
CHANGED = DECLARES.replace(", count(*) AS orders FROM orders", " FROM orders WHERE amount > 1")
GH = """#!/bin/sh
cp told.md "$POSTED"
echo "$@" >> "$POSTED"
"""


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=dev", "-c", "user.email=dev@shop")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_job_posts_what_a_commit_changes_and_fails_where_it_breaks_readers(tmp_path: Path) -> None:
    day = dt.datetime(2026, 1, 2, 9, tzinfo=dt.timezone.utc)
    rows = [
        {"customer": name, "amount": amount, "at": day} for name, amount in (("ann", 2.5), ("ann", 0.5), ("bob", 0.25))
    ]
    write_deltalake(tmp_path / "orders", pa.Table.from_pylist(rows))
    env = environment(
        tmp_path,
        GOLD_SOURCE_PATH=str(tmp_path / "orders"),
        GOLD_PARTITIONS_START="2026-01-01",
        PATH=f"{tmp_path}:{BIN}:/usr/bin:/bin",
        POSTED=str(tmp_path / "posted.md"),
        PULL_REQUEST="https://github.com/shop/shop/pull/1",
    )
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    main, checkout = tmp_path / "main", tmp_path / "checkout"
    git(tmp_path, "init", "-q", str(main))
    (main / "shop.py").write_text(DECLARES)
    (main / "pyproject.toml").write_text('[tool.gold_assets]\nproject = "shop:project"\n')
    for command in (("gold", "stream"), ("gold", "contract", "--output", "contract.odcs.yaml")):
        done = run(*command, env=env, folder=main)
        assert done.returncode == 0, done.stderr
    git(main, "add", ".")
    git(main, "commit", "-q", "-m", "What customers spend")
    git(tmp_path, "clone", "-q", str(main), str(checkout))
    (checkout / "shop.py").write_text(CHANGED)
    git(checkout, "commit", "-q", "-a", "-m", "Small orders do not count")

    [job] = [
        block
        for block in blocks_of(REPOSITORY / "docs" / "changing_tables.md")
        if block.said.endswith(Path(__file__).name)
    ]
    steps = {step.get("name"): step.get("run") for step in yaml.safe_load(job.text)["jobs"]["gold-try"]["steps"]}
    codes = {
        name: subprocess.run(["bash", "-e", "-c", steps[name]], cwd=checkout, env=env, timeout=300).returncode
        for name in ("Try the change", "Keep the contract", "Post it")
    }
    assert codes == {"Try the change": 0, "Keep the contract": 1, "Post it": 0}
    posted = (tmp_path / "posted.md").read_text()
    assert "**spent_by_customer**: 1 date, 2 customers\n" in posted
    assert "| orders   | went | long   |" in posted
    assert "0 keys came, 1 key went; on 2026-01-02" in posted
    assert "- **breaks readers** The column spent_by_customer.orders is gone." in posted
    assert "ann" not in posted.replace("quarantined_orders", "")
    assert posted.endswith(
        "pr comment https://github.com/shop/shop/pull/1 --body-file told.md --edit-last --create-if-none\n"
    )
