"""The JARs that Spark starts with: Delta's, and what reaches the tables' files. From a folder, or fetched once."""

import hashlib
import importlib.metadata
import logging
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import pyspark
from filelock import FileLock

from gold_assets.delta.errors import UserError

logger = logging.getLogger(__name__)

_FETCH_SECONDS = 300
_SHIPPED_WITH_PYSPARK = "org.apache.hadoop:hadoop-client-*,org.apache.logging.*:*,org.apache.parquet:*,org.apache.spark:*,com.fasterxml.*:*,org.slf4j:*,org.xerial.snappy:*,com.github.luben:*,org.locationtech.*:*"
"""What delta-spark depends on and pyspark brings: 74 of 87 MB, copied at every start if it were resolved again."""
_CONNECTORS = {
    "s3a": "org.apache.hadoop:hadoop-aws",
    "abfss": "org.apache.hadoop:hadoop-azure",
    "gs": "org.apache.hadoop:hadoop-gcp",
}
"""Hadoop's connectors to object stores, of the version of Hadoop that pyspark brings."""
_LOCAL_FILE_SYSTEM = "com.globalmentor:hadoop-bare-naked-local-fs:0.1.0"
"""Hadoop's local file system in plain Java. Without native Hadoop its own starts a chmod process for every file and folder."""


def coordinates(schemes: Collection[str] = (), *, local_files: bool = False) -> dict[str, str]:
    """The Spark settings that name the JARs: Delta's, made for the installed pyspark, and what reaches the tables' files."""
    # As delta's configure_spark_with_delta_pip names it, which takes and gives the builder of a session alone.
    spark = ".".join(pyspark.__version__.split(".")[:2])
    [hadoop] = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    hadoop_version = hadoop.stem.removeprefix("hadoop-client-api-")
    packages = [f"io.delta:delta-spark_{spark}_2.13:{importlib.metadata.version('delta-spark')}"]
    packages += [f"{_CONNECTORS[scheme]}:{hadoop_version}" for scheme in sorted(schemes) if scheme in _CONNECTORS]
    packages += [_LOCAL_FILE_SYSTEM] if local_files else []
    return {"spark.jars.packages": ",".join(packages), "spark.jars.excludes": _SHIPPED_WITH_PYSPARK}


def jars_in(folder: str) -> dict[str, str]:
    """The Spark settings that take the Delta JARs from a local folder, for machines without a registry."""
    jars = sorted(Path(folder).expanduser().absolute().glob("*.jar"))
    missing = [name for name in ("delta-spark", "delta-storage") if not any(name in jar.name for jar in jars)]
    if missing:
        raise UserError(
            f"The folder of Spark's JARs, {folder}, holds no {' and no '.join(missing)} JAR: put "
            f"{coordinates()['spark.jars.packages']} and what it depends on there, or unset GOLD_SPARK_JARS to have them fetched."
        )
    return {"spark.jars": ",".join(map(str, jars))}


def file_system(conf: Mapping[str, str]) -> dict[str, str]:
    """The Spark settings for the files of this machine, with the file system that is among the JARs of ``conf``, if it is."""
    _, artifact, version = _LOCAL_FILE_SYSTEM.split(":")
    jars = conf.get("spark.jars", "").split(",")
    if _LOCAL_FILE_SYSTEM in conf.get("spark.jars.packages", ""):
        jars.append(str(_folder(conf) / f"com.globalmentor_{artifact}-{version}.jar"))
    for jar in jars:
        if artifact in Path(jar).name:  # Spark opens files before it adds its JARs
            naked = "com.globalmentor.apache.hadoop.fs.NakedLocalFileSystem"
            return {"spark.hadoop.fs.file.impl": naked, "spark.driver.extraClassPath": jar}
    # Without checksum files, which would be as many processes again.
    return {"spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem"}


def fetch_jars(conf: Mapping[str, str]) -> dict[str, str]:
    """``conf`` with files in place of the JARs that it names by coordinates, fetched unless they are there.

    Spark would resolve them whenever its JVM starts, and Ivy, which does that, fails now and then where two ask at once.
    Raises ``UserError`` where they cannot be fetched.
    """
    if not conf.get("spark.jars.packages"):
        return dict(conf)
    folder = _folder(conf)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            logger.info("Fetching the JARs that Spark needs to %s, once", folder)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                _resolve({**conf, "spark.jars.ivy": scratch})
                (Path(scratch) / "jars").rename(folder)
    jars = ",".join(filter(None, [conf.get("spark.jars"), *sorted(map(str, folder.glob("*.jar")))]))
    return {**{key: value for key, value in conf.items() if key != "spark.jars.packages"}, "spark.jars": jars}


def _folder(conf: Mapping[str, str]) -> Path:
    """Where the JARs with these coordinates are kept, and no others: in the folder in which Spark would keep them."""
    wanted = f"{conf['spark.jars.packages']} {conf.get('spark.jars.excludes')}"
    ivy = Path(conf.get("spark.jars.ivy") or Path.home() / ".ivy2.5.2")
    return ivy / f"gold_assets-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"


def _resolve(conf: Mapping[str, str]) -> None:
    """Let the Ivy that is in Spark fetch the JARs into the folder ``jars`` in its own."""
    how = {key: value for key, value in conf.items() if key.startswith(("spark.jars.", "spark.driver.extraJava"))}
    settings = [part for key, value in how.items() for part in ("--conf", f"{key}={value}")]
    submit = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
    # A program that ends at once: the JARs are fetched before it starts.
    nothing = ["--class", "org.apache.ivy.Main", "spark-internal", "-version"]
    try:
        done = subprocess.run([submit, *settings, *nothing], capture_output=True, text=True, timeout=_FETCH_SECONDS)
        if done.returncode == 0:
            return
        found = next((line.strip() for line in done.stderr.splitlines() if "Exception" in line), done.stderr.strip())
    except subprocess.TimeoutExpired:
        found = f"not there after {_FETCH_SECONDS} s"
    for package in conf["spark.jars.packages"].split(","):
        group, artifact, version = package.strip().split(":")
        half = Path.home() / ".m2" / "repository" / group.replace(".", "/") / artifact / version
        if half.exists() and not list(half.glob("*.jar")):
            raise UserError(
                f"The local Maven cache is half-filled: it describes a JAR of Spark's and lacks it: delete the folder {half}, "
                "and the JAR is fetched."
            )
    where = conf.get("spark.jars.ivySettings") or conf.get("spark.jars.repositories") or "Maven Central"
    raise UserError(
        f"Spark's JARs could not be fetched from {where} ({found}): let this machine reach it, name another in "
        "spark.jars.repositories in the file of GOLD_SPARK_CONF, or put the JARs in a folder and set GOLD_SPARK_JARS to it."
    )
