"""What a user can put right: one sentence that says what was found, what was expected and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import DeltaError

from gold_assets.delta import storage


class UserError(Exception):
    """A failure that the person who runs the project can cause and mend. Its text is the whole message."""


_EXTRAS = {
    "duckdb": ("DuckDB", "read"),
    "pyspark": ("PySpark", "sail"),
    "pysail": ("Sail", "sail"),
    "sqlglot": ("sqlglot", "sail"),
    "filelock": ("filelock", "spark"),
    "dagster": ("Dagster", "dagster"),
}
"""By module, the library and the extra that brings it."""


def missing_extra(error: ModuleNotFoundError) -> UserError:
    """That a library is not installed, and which extra brings it. Raises the error again where no extra does."""
    if (found := _EXTRAS.get(str(error.name).partition(".")[0].partition("_")[0])) is None:
        raise error
    library, extra = found
    return UserError(
        f"{library} is not installed, which this needs: install the extra that brings it, pip install 'gold-assets[{extra}]'."
    )


def reason(error: Exception) -> str:
    """What a library says of a failure, on one line, to stand inside a sentence."""
    text = storage.without_secrets(str(error))
    if (known := _known(text)) is not None:
        return known[0]
    lines = [line.strip().removeprefix(": ") for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("An error occurred while calling")]  # py4j, of any failure
    if not lines:
        return type(error).__name__
    said = lines[0].rstrip(".!")
    cause = re.search(r'message: "([^"]+)"', text)  # delta-rs, of what the operating system answered
    if cause is not None and cause[1] not in said:
        said = f"{said}: {cause[1]}"
    causes = [line.removeprefix("Caused by: ") for line in lines[1:] if line.startswith("Caused by: ")]  # Java
    return " <- ".join([said, *causes[-1:]])


def remedy(error: Exception, otherwise: str) -> str:
    """What to do about a failure, to end a sentence with: what mends its cause where its text tells it, else ``otherwise``."""
    known = _known(str(error))
    if known is not None:
        return known[1]
    return remedy(error.__cause__, otherwise) if isinstance(error.__cause__, Exception) else otherwise


def failed(what: str, error: Exception, otherwise: str, then: str = "") -> UserError:
    """That ``what``, such as ``x cannot be read``, why, and what to do about it, as ``remedy`` has it, and ``then``."""
    return UserError(f"{what} ({reason(error)}): {remedy(error, otherwise)}{then}.")


@contextmanager
def store_failures_told() -> Iterator[None]:
    """Let what a store's client fails with in the block be a ``UserError``, wherever it comes from: a store may go away at any read."""
    try:
        yield
    except (DeltaError, OSError) as error:
        if storage.explanation(str(error)) is None:
            raise
        what = "What is kept in the store could not be read or written"
        raise failed(what, error, otherwise="", then=", then run again; what was committed is whole") from error


def _known(text: str) -> tuple[str, str] | None:
    """Of a failure that a library's text tells: what it is, in our words where it has no good ones, and what mends it."""
    if found := _UNKNOWN_FEATURES.search(text):
        names = [_as_delta_names(name) for name in found.expand(r"\1\2\3").split(", ")]
        return (
            f"it asks for the table feature {', '.join(names)}, which delta-rs does not know",
            "drop the feature from the table, use a copy of it without the feature, or upgrade deltalake",
        )
    for pattern, (what, to_do) in _TOLD.items():
        if found := re.search(pattern, text):
            return found.expand(what), to_do
    return storage.explanation(text)


_UNKNOWN_FEATURES = re.compile(
    r"Feature '([^']+)' is not supported|Unsupported table features required: \[(.*)\]|(catalog-managed table)"
)


def _as_delta_names(feature: str) -> str:
    name = re.sub(r'Unknown\("(.*)"\)', r"\1", feature)
    if name == "ClusteredTable":
        return "clustering"
    if name == "catalog-managed table":
        return "catalogManaged, or catalogOwned-preview as it was called before"
    return re.sub("Preview$", "-preview", name[:1].lower() + name[1:])


_LET_IN = "let this process read there, and write where the tables made from Silver are"

_TOLD = {
    r"found gap: .*?\bversion: (\d+).*-> .*?\bversion: (\d+)": (
        r"its log has version \1 and version \2 and none between them",
        "put the commits that are missing in _delta_log back, or make the table anew",
    ),
    r"No table metadata or protocol found in delta log": (
        "its log does not begin with a whole table",
        "put the commits or the checkpoint that are missing in _delta_log back, or make the table anew",
    ),
    r"LogSegment end version (\d+) not the same as": (
        r"its newest version is \1",
        "ask for a version that it has",
    ),
    r"Delta table is append-only|DELTA_CANNOT_MODIFY_APPEND_ONLY": (
        "the table's property delta.appendOnly is set, and a refresh replaces rows",
        "set the property to false (ALTER TABLE … SET TBLPROPERTIES ('delta.appendOnly' = 'false'))",
    ),
    r"Column mapping is not supported for write operation": (
        "the table has column mapping (delta.columnMapping.mode), with which delta-rs does not do this",
        "set GOLD_ENGINE=spark, or take column mapping from the table (ALTER TABLE … SET TBLPROPERTIES "
        "('delta.columnMapping.mode' = 'none'))",
    ),
    r"Object at location (.+?) not found|Encountered error while reading file (\S.*?)\. File does not exist": (
        r"the file \1\2 is not there",
        "run again, for a VACUUM may have taken it meanwhile; where the table's newest version names it too, put it back or take it "
        "out of the table's log (FSCK REPAIR TABLE of Spark on Databricks, DeltaTable.repair() of deltalake)",
    ),
    r"Answer from Java side is empty|Error while (sending|receiving)|trying to connect to the Java server": (
        "Spark's JVM has ended",
        "find out why, and where its memory ran out, give it more (spark.driver.memory in the file of GOLD_SPARK_CONF)",
    ),
    r"Permission denied": ("permission denied", _LET_IN),
    r"Read-only file system": ("read-only file system", _LET_IN),
    r"index overflow decoding byte array": (
        "rows are so large that 8,192 of them, which Sail reads at once, hold more than 2 GiB of one column",
        "set SAIL_EXECUTION__BATCH_SIZE=512 in the environment, or make the largest texts or binaries of Silver smaller",
    ),
    r"(?i)offset overflow|negative offsets in binary array|input array too large": (
        "rows are so large that those which are handled at once hold more than 2 GiB of one column",
        "make the largest texts or binaries of Silver smaller, or keep them elsewhere",
    ),
    r"No space left on device": (
        "the disk is full",
        "make room on the disks of the lake and of the temporary files, which TMPDIR places",
    ),
}
"""By what a library's text says. Texts of delta-rs, of the Delta kernel in it, and of Spark."""
