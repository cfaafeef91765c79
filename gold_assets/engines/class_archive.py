"""The classes of Spark's JVM as it has them in memory, kept in a file: a JVM that maps it need not load thousands of them one by one."""

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_WHAT_MUST_BE_ALIKE = ("spark.jars", "spark.driver.extraClassPath", "spark.driver.memory")
_UNUSED_DAYS = 30
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
    if _is_whole(archive):
        with suppress(OSError):  # of another user
            archive.touch()
        how = "SharedArchiveFile"
    else:
        _delete_unused(folder)
        how = "ArchiveClassesAtExit"
    return f'"-XX:{how}={archive}" {_QUIET}'  # a home may have a blank in its name


def _delete_unused(folder: Path) -> None:
    """Delete the archives that no start has used for long, such as those of an earlier version's JARs."""
    for archive in folder.glob("spark-*.jsa"):
        with suppress(FileNotFoundError):
            if time.time() - archive.stat().st_mtime > _UNUSED_DAYS * 86_400:
                archive.unlink()


def _is_whole(archive: Path) -> bool:
    """Whether there is one that was written to its end: its header is written last."""
    try:
        with archive.open("rb") as file:
            return any(file.read(4))
    except OSError:
        return False
