"""Every way in which Spark cannot start is one sentence, within a minute, and never a stack trace."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pyspark
import pytest
from pyspark.sql import SparkSession

from gold_assets.delta.errors import UserError
from gold_assets.engines import spark_jars
from gold_assets.engines import spark_runtime as runtime
from gold_assets.engines.spark import SparkEngine
from gold_assets_tests.engines.processes import clean_environment, free_port

pytestmark = pytest.mark.spark


def sentence_of(engine: SparkEngine) -> str:
    with pytest.raises(UserError) as failure:
        _ = engine.session
    sentence = str(failure.value)
    assert "\n" not in sentence
    assert "\tat " not in sentence
    assert sentence.endswith(".")
    return sentence


def test_without_java_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sentence_of(SparkEngine()) == (
        "Spark needs Java 17 or newer, and there is none on the PATH: install a Java 17 or newer (Debian: apt-get install "
        "openjdk-17-jre-headless), or set JAVA_HOME to one; GOLD_ENGINE=sail needs no Java."
    )


def test_a_java_home_without_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert f"there is none in JAVA_HOME ({tmp_path})" in sentence_of(SparkEngine())


@pytest.mark.parametrize(("says", "version"), [('openjdk version "11.0.28"', "11"), ('java version "1.8.0_402"', "8")])
def test_a_java_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, version: str) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'Picked up JAVA_TOOL_OPTIONS: -Dx=1' >&2\necho '{says}' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert f"and {java} is Java {version}: install" in sentence_of(SparkEngine())


def test_a_pyspark_that_does_not_match_delta_spark_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    metadata = tmp_path / "delta_spark-3.2.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(
        "Metadata-Version: 2.1\nName: delta-spark\nVersion: 3.2.0\nRequires-Dist: pyspark<3.6.0,>=3.5.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert sentence_of(SparkEngine()) == (
        f"pyspark {pyspark.__version__} does not fit delta-spark 3.2.0, which expects pyspark<3.6.0,>=3.5.0: "
        "install a pair that fits, for example pip install 'delta-spark==3.2.0'."
    )


def test_the_coordinates_are_those_of_the_installed_versions() -> None:
    assert spark_jars.coordinates()["spark.jars.packages"] == "io.delta:delta-spark_4.2_2.13:4.4.0"


def test_jars_that_cannot_be_resolved_name_the_repository(tmp_path: Path) -> None:
    repositories = _ivy_settings(f"http://127.0.0.1:{free_port()}/", tmp_path)
    conf = tmp_path / "spark.conf"
    conf.write_text(f"spark.jars.ivySettings={repositories}\nspark.jars.ivy={tmp_path}/ivy\n")
    sentence = sentence_of(SparkEngine(conf_file=str(conf)))
    assert sentence.startswith(f"Spark's JARs could not be fetched from {repositories} (")
    assert "Connection refused" in sentence
    assert "set GOLD_SPARK_JARS to it" in sentence


def _ivy_settings(address: str, folder: Path) -> Path:
    settings = folder / "ivysettings.xml"
    settings.write_text(
        '<ivysettings><settings defaultResolver="ours"/><resolvers><ibiblio name="ours" m2compatible="true" '
        f'root="{address}"/></resolvers></ivysettings>'
    )
    return settings


def test_a_half_filled_local_maven_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    group, artifact, version = spark_jars.coordinates()["spark.jars.packages"].split(":")
    half = tmp_path / ".m2" / "repository" / group.replace(".", "/") / artifact / version
    half.mkdir(parents=True)
    (half / f"{artifact}-{version}.pom").write_text(
        f"<project><modelVersion>4.0.0</modelVersion><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></project>"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Duser.home={tmp_path}")
    conf = tmp_path / "spark.conf"
    conf.write_text(f"spark.jars.ivy {tmp_path}/ivy\n")
    sentence = sentence_of(SparkEngine(conf_file=str(conf)))
    assert sentence.startswith("The local Maven cache is half-filled")
    assert f"delete the folder {half}" in sentence


def test_a_repository_that_falls_silent_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spark_jars, "_FETCH_SECONDS", 10)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(UserError) as failure:
        repositories = _ivy_settings(f"http://127.0.0.1:{mute.getsockname()[1]}/", tmp_path)
        spark_jars.fetch_jars(
            {
                "spark.jars.packages": "org.example:large:1",
                "spark.jars.ivySettings": str(repositories),
                "spark.jars.ivy": str(tmp_path / "ivy"),
            }
        )
    assert str(failure.value).startswith(
        f"Spark's JARs could not be fetched from {repositories} (not there after 10 s): let this machine"
    )


def test_two_that_fetch_the_jars_at_once_both_get_them(tmp_path: Path) -> None:
    conf = tmp_path / "spark.conf"
    conf.write_text(f"spark.jars.ivy {tmp_path}/ivy\n")
    fetch = f"""
from gold_assets.engines import spark_jars
from gold_assets.engines.spark import SparkEngine
spark_jars.fetch_jars(SparkEngine(conf_file={str(conf)!r}).conf())
"""
    processes = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", fetch], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert list((tmp_path / "ivy").glob("gold_assets-*/io.delta_delta-spark_*.jar"))


def test_spark_starts_with_the_files_that_were_fetched_and_resolves_nothing() -> None:
    started_with: dict[str, str] = {}

    def open_(conf: Mapping[str, str]) -> SparkSession:
        started_with.update(conf)
        raise UserError("The settings are enough.")

    assert sentence_of(SparkEngine(open=open_)) == "The settings are enough."
    assert "spark.jars.packages" not in started_with
    jars = [Path(jar) for jar in started_with["spark.jars"].split(",")]
    assert all(jar.exists() for jar in jars)
    assert all(any(name in jar.name for jar in jars) for name in ("delta-spark", "delta-storage", "local-fs"))


def test_a_folder_without_the_delta_jars_is_named(tmp_path: Path) -> None:
    (tmp_path / "delta-storage-4.4.0.jar").touch()
    sentence = sentence_of(SparkEngine(jars=str(tmp_path)))
    assert sentence.startswith(
        f"The folder of Spark's JARs, {tmp_path}, holds no delta-spark JAR: put io.delta:delta-spark"
    )


def test_a_master_that_does_not_answer_is_named() -> None:
    master = f"spark://127.0.0.1:{free_port()}"
    sentence = sentence_of(SparkEngine(master=master))
    assert sentence.startswith(f"GOLD_SPARK_MASTER is {master} and does not answer (127.0.0.1:")
    assert "Connection refused" in sentence


def test_a_connect_server_that_does_not_answer_is_named() -> None:
    remote = f"sc://127.0.0.1:{free_port()}/;user_id=ann"
    sentence = sentence_of(SparkEngine(remote=remote))
    assert sentence.startswith(f"GOLD_SPARK_REMOTE is {remote} and does not answer (127.0.0.1:")


@pytest.mark.parametrize("setting", ["master", "remote"])
def test_something_that_listens_and_is_not_spark_is_named_within_a_minute(setting: str) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(64)
        url = f"{'spark' if setting == 'master' else 'sc'}://127.0.0.1:{mute.getsockname()[1]}"
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                f"""
from gold_assets.engines.spark import SparkEngine
from gold_assets.delta.errors import UserError
try:
    SparkEngine({setting}={url!r}).session
except UserError as error:
    print(error)
""",
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert f"GOLD_SPARK_{setting.upper()} is {url}, where something listens and does not answer as Spark" in done.stdout


def test_a_master_that_makes_no_sense_is_one_sentence() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            """
from gold_assets.engines.spark import SparkEngine
from gold_assets.delta.errors import UserError
try:
    SparkEngine(master="sprak://somewhere").session
except UserError as error:
    print(error)
""",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == (
        "Spark did not start on sprak://somewhere (its JVM ended before it was ready, and said why above): correct "
        "GOLD_SPARK_MASTER or the file of GOLD_SPARK_CONF.\n"
    )
    assert "Master must" in done.stderr


def test_the_file_of_settings_is_read_in_the_properties_form(tmp_path: Path) -> None:
    conf = tmp_path / "spark.conf"
    conf.write_text(
        "# memory\n\nspark.executor.memory 2g\nspark.driver.memory=3g\n! old\n"
        "spark.driver.extraJavaOptions  -Dx=1 -Dy=2\nspark.hadoop.fs.s3a.endpoint: http://127.0.0.1:9000\n"
    )
    assert runtime.read_properties(str(conf)) == {
        "spark.executor.memory": "2g",
        "spark.driver.memory": "3g",
        "spark.driver.extraJavaOptions": "-Dx=1 -Dy=2",
        "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9000",
    }


@pytest.mark.parametrize("line", ["executor.memory 2g", "spark.executor.memory"])
def test_a_line_that_is_no_setting_is_named(tmp_path: Path, line: str) -> None:
    conf = tmp_path / "spark.conf"
    conf.write_text(f"# ours\n{line}\n")
    assert f"Line 2 of {conf} (GOLD_SPARK_CONF) is no setting such as " in sentence_of(SparkEngine(conf_file=str(conf)))


def test_a_file_of_settings_that_is_not_there_is_named(tmp_path: Path) -> None:
    sentence = sentence_of(SparkEngine(conf_file=str(tmp_path / "none.conf")))
    assert sentence.startswith(f"GOLD_SPARK_CONF names {tmp_path}/none.conf, which cannot be read")


def test_the_users_settings_come_before_ours_and_their_lists_stand_beside_deltas(tmp_path: Path) -> None:
    conf = tmp_path / "spark.conf"
    conf.write_text(
        "spark.sql.shuffle.partitions 16\nspark.jars.packages org.example:more:1.0\n"
        "spark.sql.extensions org.example.More\nspark.sql.session.timeZone Europe/Madrid\n"
        "spark.driver.extraClassPath /more/classes\nspark.authenticate false\n"
    )
    made = SparkEngine(conf_file=str(conf)).conf()
    assert made["spark.sql.shuffle.partitions"] == "16"
    assert made["spark.authenticate"] == "false"
    assert made["spark.jars.packages"] == (
        "io.delta:delta-spark_4.2_2.13:4.4.0,com.globalmentor:hadoop-bare-naked-local-fs:0.1.0,org.example:more:1.0"
    )
    assert made["spark.sql.extensions"] == "io.delta.sql.DeltaSparkSessionExtension,org.example.More"
    assert made["spark.sql.session.timeZone"] == "UTC"
    file_system, theirs = made["spark.driver.extraClassPath"].split(os.pathsep)
    assert "hadoop-bare-naked-local-fs" in file_system
    assert theirs == "/more/classes"


def test_a_file_system_of_the_users_comes_before_ours(tmp_path: Path) -> None:
    conf = tmp_path / "spark.conf"
    conf.write_text("spark.hadoop.fs.file.impl org.example.Files\n")
    assert SparkEngine(conf_file=str(conf)).conf()["spark.hadoop.fs.file.impl"] == "org.example.Files"


def test_the_settings_of_a_small_machine_are_for_a_local_master_only() -> None:
    assert SparkEngine().conf()["spark.sql.shuffle.partitions"] == "4"
    assert "spark.sql.shuffle.partitions" not in SparkEngine(master="yarn").conf()
    assert "spark.driver.host" not in SparkEngine(master="spark://example:7077").conf()
    assert "spark.authenticate" not in SparkEngine(master="spark://example:7077").conf()


def test_a_connect_server_gets_no_settings_that_only_its_start_can_take() -> None:
    assert all(
        key.startswith("spark.sql.") or key == "spark.remote" or "delta" in key
        for key in SparkEngine(remote="sc://x").conf()
    )


def test_a_local_folder_of_jars_needs_no_registry_nor_the_quick_file_system(
    tmp_path: Path, fetched_jars: list[Path]
) -> None:
    for jar in fetched_jars:
        shutil.copy(jar, tmp_path)
    [file_system] = tmp_path.glob("*local-fs*")
    assert str(file_system) in SparkEngine(jars=str(tmp_path)).conf()["spark.driver.extraClassPath"]
    file_system.unlink()
    assert _written_by(f"SparkEngine(jars={str(tmp_path)!r})", tmp_path / "table") == ["3", "False"]


def test_the_files_of_a_local_table_cost_no_process_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    chmod = tmp_path / "bin" / "chmod"
    chmod.parent.mkdir()
    chmod.write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexec {shutil.which("chmod")} "$@"\n')
    chmod.chmod(0o755)
    monkeypatch.setenv("PATH", f"{chmod.parent}:{os.environ['PATH']}")
    assert _written_by("SparkEngine()", tmp_path / "table") == ["3", "True"]
    assert list((tmp_path / "table").glob("id=*/*.parquet"))
    assert asked.exists(), "Spark has no use for chmod any more, and neither has this test"
    assert [line for line in asked.read_text().splitlines() if "/id=" in line] == []


def _written_by(engine: str, place: Path) -> list[str]:
    """What a process prints that writes a partitioned table: its rows, and whether the JARs come by coordinates."""
    write = f"""
from gold_assets.engines.spark import SparkEngine
engine = {engine}
engine.session.range(3).selectExpr("id", "id AS n").write.format("delta").partitionBy("id").save({str(place)!r})
print(engine.session.read.format("delta").load({str(place)!r}).count(), "spark.jars.packages" in engine.conf())
engine.close()
"""
    command = [sys.executable, "-W", "ignore", "-c", write]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=clean_environment())
    return done.stdout.split()


@pytest.fixture
def fetched_jars() -> list[Path]:
    return [Path(jar) for jar in spark_jars.fetch_jars(SparkEngine().conf())["spark.jars"].split(",")]
