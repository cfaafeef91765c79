"""The archive of Spark's classes: left by the first JVM of its kind, used by the next, and never in the way."""

import os
import time
from pathlib import Path

import pytest

from gold_assets.engines import class_archive

pytestmark = pytest.mark.sail

JAVA = 'openjdk version "17.0.15"'
CONF = {"spark.jars": "/jars/delta.jar", "spark.app.name": "gold_assets"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gold_assets"


def archive_of(options: str) -> Path:
    return Path(options.split('"')[1].partition("=")[2])


def test_the_first_start_leaves_an_archive_that_the_next_uses(cache: Path) -> None:
    first = class_archive.options(JAVA, CONF)
    assert first.startswith(f'"-XX:ArchiveClassesAtExit={cache}/spark-')
    assert cache.stat().st_mode & 0o077 == 0
    archive_of(first).write_bytes(b"\0\0\0\0 what a JVM has written by the time it is killed")
    assert class_archive.options(JAVA, CONF) == first
    archive_of(first).write_bytes(b"\xa8\xab\x0b\xf0 its header, and the rest")
    assert class_archive.options(JAVA, CONF).startswith(f'"-XX:SharedArchiveFile={archive_of(first)}" ')


def test_starts_that_differ_in_java_jars_or_memory_have_archives_of_their_own() -> None:
    starts = [
        (JAVA, CONF),
        ('openjdk version "21.0.7"', CONF),
        (JAVA, {**CONF, "spark.jars": "/jars/newer.jar"}),
        (JAVA, {**CONF, "spark.driver.memory": "64g"}),
        (JAVA, {**CONF, "spark.app.name": "another"}),
    ]
    archives = [archive_of(class_archive.options(java, conf)) for java, conf in starts]
    assert len(set(archives)) == 4 and archives[-1] == archives[0]


def test_an_archive_that_was_not_used_for_a_month_goes_when_another_comes(cache: Path) -> None:
    archives = {
        jar: archive_of(class_archive.options(JAVA, {**CONF, "spark.jars": jar})) for jar in ("old", "in_use", "new")
    }
    a_month_ago = time.time() - 31 * 86_400
    for jar, archive in archives.items():
        archive.write_bytes(b"\xa8\xab\x0b\xf0 its header, and the rest")
        if jar != "new":
            os.utime(archive, (a_month_ago, a_month_ago))
    class_archive.options(JAVA, {**CONF, "spark.jars": "in_use"})
    class_archive.options(JAVA, {**CONF, "spark.jars": "newer"})
    assert set(cache.iterdir()) == {archives["in_use"], archives["new"]}


def test_without_a_folder_for_caches_spark_starts_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert class_archive.options(JAVA, CONF) == ""
