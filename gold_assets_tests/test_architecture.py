"""The house: packages that import from below alone, one door to each library's private rooms, and a public one of our own."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[1] / "gold_assets"
MODULES = sorted(PACKAGE.rglob("*.py"))

PRIVATE_ROOMS = {
    "instance/dagster_internals.py": "Dagster",
    "delta/delta_rs_internals.py": "delta-rs",
    "engines/pyspark_internals.py": "PySpark",
}


def name_of(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def test_every_import_goes_down_and_the_kernel_knows_no_business() -> None:
    """The contracts are in ``pyproject.toml``."""
    lint_imports = Path(sys.executable).with_name("lint-imports")
    subprocess.run([lint_imports, "--no-logo", "--no-cache"], cwd=PACKAGE.parent, check=True)


def test_the_kernel_names_the_transactions_in_the_public_door_and_where_the_default_project_is_loaded_alone() -> None:
    naming = {name_of(module) for module in MODULES if "gold_assets.transactions" in module.read_text()}
    assert {name for name in naming if not name.startswith("transactions/")} == {"__init__.py", "environment.py"}


def test_a_long_module_has_one_subject() -> None:
    long = {name_of(module) for module in MODULES if len(module.read_text().splitlines()) > 350}
    assert long <= {"declaring/select.py"}, "only what three engines' SQL means is one subject of this length"


def private_names(tree: ast.AST) -> Iterator[str]:
    """What is imported from a private module or under a private name, and private attributes of other objects than our own."""
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("gold_assets"):
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            is_own = owner in ("self", "cls", *classes)
            names = [] if is_own else [node.attr]
        else:
            continue
        yield from (name for name in names if name.startswith("_") and not name.startswith("__"))


def test_a_librarys_private_names_are_used_in_its_own_module_alone() -> None:
    found = {
        name_of(module): sorted(names)
        for module in MODULES
        if name_of(module) not in PRIVATE_ROOMS and (names := set(private_names(ast.parse(module.read_text()))))
    }
    assert found == {}


def comment_above(lines: list[str], line: int) -> str:
    """The comment before the paragraph that holds this line, counted from 1."""
    paragraph = line - 1
    while paragraph > 0 and lines[paragraph - 1].strip():
        paragraph -= 1
    return " ".join(text.strip("# ") for text in lines[paragraph:line] if text.strip().startswith("#"))


def test_each_private_name_of_dagster_is_there_and_says_why() -> None:
    source = (
        PACKAGE / "instance" / "dagster_internals.py"
    ).read_text()  # not imported: it is to fail here, with the comment
    lines, tree = source.splitlines(), ast.parse(source)
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    uses = [node for node in tree.body if isinstance(node, ast.Assign)]
    assert len(uses) > 10
    for use in uses:
        assert isinstance(use.value, ast.Attribute) and isinstance(use.value.value, ast.Name)
        why = comment_above(lines, use.lineno)
        assert why.endswith("1.13.27"), (
            f"{use.value.attr}: no comment says which public door is missing, and where that was read"
        )
        try:
            found: ModuleType = importlib.import_module(modules[use.value.value.id])
            getattr(found, use.value.attr)
        except (ImportError, AttributeError) as gone:
            pytest.fail(f"{gone}. It was used for this: {why}")


@pytest.mark.parametrize("room", [room for room in PRIVATE_ROOMS if room != "instance/dagster_internals.py"])
def test_each_private_use_of_the_other_libraries_says_why(room: str) -> None:
    lines = (PACKAGE / room).read_text().splitlines()
    functions = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        comments = [
            line.strip() for line in lines[function.lineno : function.end_lineno] if line.strip().startswith("#")
        ]
        assert comments and comments[-1][-1].isdigit(), (
            f"{function.name}: which public door is missing, and where was that read?"
        )


_ASKS = """
import sys
import gold_assets

door = {"dagster", "deltalake", "pysail", "pyspark"}
assert not door & set(sys.modules), door & set(sys.modules)
from gold_assets import published
assert not {"dagster", "pysail", "pyspark"} & set(sys.modules)
from gold_assets import Lake, SailEngine, SparkEngine, maintain, refresh, write_to_gold
loaded = {"dagster", "pysail", "grpc", "delta"} & set(sys.modules)
assert not loaded, loaded
assert set(gold_assets.__all__) <= set(dir(gold_assets))
"""


def test_the_public_door_opens_neither_dagster_nor_an_engine() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", _ASKS], check=True)


def test_the_public_door_has_no_other_names_and_no_module_stands_for_one() -> None:
    import gold_assets
    import gold_assets.transactions.definitions

    modules = {module.stem for module in PACKAGE.iterdir()}
    assert not modules & {*gold_assets.__all__}
    assert gold_assets.definitions(gold_assets.transactions.project).resources

    with pytest.raises(AttributeError, match="no attribute 'Silver'"):
        gold_assets.Silver  # noqa: B018
