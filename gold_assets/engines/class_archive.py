"""The classes of Spark's JVM as it has them in memory, kept in a file: a JVM that maps it need not load thousands of them one by one."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

_WHAT_MUST_BE_ALIKE = ("spark.jars", "spark.driver.extraClassPath", "spark.driver.memory")
_QUIET = "-Xlog:cds=off -Xlog:cds+dynamic=off"
"""Without an archive that fits a JVM starts as ever, and the warnings would be for whoever reads Spark's output."""


def options(java: str, conf: Mapping[str, str]) -> str:
    """The JVM's options by which a start with ``conf`` uses the archive of an earlier one like it, or leaves one when it ends.

    Args:
        java: what ``java -version`` says, 17 or newer.

    Empty where the user's folder for caches cannot be written.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gold_assets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # a JVM runs what is in there
    except OSError:
        return ""
    starts_alike = (java, *(f"{key}={conf.get(key)}" for key in _WHAT_MUST_BE_ALIKE))
    archive = folder / f"spark-{hashlib.sha256(repr(starts_alike).encode()).hexdigest()[:16]}.jsa"
    how = "SharedArchiveFile" if _is_whole(archive) else "ArchiveClassesAtExit"
    return f'"-XX:{how}={archive}" {_QUIET}'  # a home may have a blank in its name


def _is_whole(archive: Path) -> bool:
    """Whether there is one that was written to its end: its header is written last."""
    try:
        with archive.open("rb") as file:
            return any(file.read(4))
    except OSError:
        return False
