"""Every public name says what it takes, gives and raises, with an example; and the examples run."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

from gold_assets.gold.safeguards import Safeguards
from gold_assets_tests.docs.pages import REPOSITORY

pytestmark = pytest.mark.sail

NAMES = re.findall(r"(?m)^::: ([\w.]+)$", (REPOSITORY / "docs" / "reference" / "names.md").read_text())
"""As the page of names has them."""

MADE_FOR_PEOPLE = ("gold_assets.testing.Case", "gold_assets.delta.errors.UserError")
"""Nobody makes one by hand."""

WITHOUT_EXAMPLE = (*MADE_FOR_PEOPLE, "gold_assets.gold.refresh.Refreshed", "gold_assets.gold.maintenance.Maintained")
"""The example is with the function that gives one."""

EXAMPLES = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def _named(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", [*NAMES, f"{Safeguards.__module__}.Safeguards"])
def test_its_examples_run(name: str, folder: Path) -> None:
    named = _named(name)
    module = importlib.import_module(named.__module__)
    failed = []
    for test in doctest.DocTestFinder(recurse=inspect.isclass(named)).find(named, name, module):
        out: list[str] = []
        doctest.DocTestRunner(optionflags=EXAMPLES).run(test, out=out.append)
        failed += out
    assert not failed, "".join(failed)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_EXAMPLE])
def test_it_has_an_example(name: str) -> None:
    assert ">>> " in str(_named(name).__doc__)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MADE_FOR_PEOPLE])
def test_it_tells_of_each_parameter(name: str) -> None:
    named = _named(name)
    fields = vars(named).get("__annotations__", {}) if inspect.isclass(named) else {}
    names = fields or inspect.signature(named).parameters  # type: ignore[arg-type]
    public = [each for each in names if not each.startswith("_") and each != "storage_options"]
    assert [each for each in public if not re.search(rf"(?m)^ *{each}: ", str(named.__doc__))] == []
