"""The reference is written from the code, and lacks nothing of it."""

import re

import pytest

import gold_assets
from docs import hooks
from gold_assets.commands.gold import SUB_COMMANDS
from gold_assets_tests.docs.pages import REPOSITORY

pytestmark = pytest.mark.sail


def test_every_public_name_has_its_place_on_the_page_of_names() -> None:
    page = (REPOSITORY / "docs" / "reference" / "names.md").read_text()
    assert set(re.findall(r"(?m)^::: gold_assets\.(\w+)$", page)) == set(gold_assets.__all__)


def test_every_setting_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLD_ENGINE", "nothing of the site's")
    kind = hooks.of_transactions().__class__
    assert [name for name, field in kind.model_fields.items() if not field.description] == []
    written = hooks.settings()
    assert [name for name in kind.model_fields if f"| `{kind.setting(name)}` |" not in written] == []


def test_every_command_and_every_check_is_told() -> None:
    told = hooks.commands()
    assert re.findall(r"(?m)^## gold (\w+)$", told) == list(SUB_COMMANDS)
    assert "| `--from DATE` | First date; by default the window's. |" in told
    checks = hooks.checks()
    assert re.search(r"\| `is_current` \| `published_gold` \| .* \| the whole \| warning \|", checks)
    assert re.search(
        r"\| `reconciles` \| `quarantined_txns` \| .* \| each date \| error, blocks what is downstream \|", checks
    )
    assert not re.search(r"\| *\|", checks), "a check says nothing of itself"
