"""The JARs that Spark starts with: Delta's, and what reaches the tables' files. From a folder, or fetched once."""

import hashlib
import importlib.metadata
import logging
import os
import queue
import re
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyspark
from filelock import FileLock

from gold_assets.delta.errors import UserError

logger = logging.getLogger(__name__)

_SILENCE_SECONDS = 45
"""How long resolving the JARs may say and receive nothing before it counts as hung."""

_SHIPPED_WITH_PYSPARK = "org.apache.hadoop:hadoop-client-*,org.apache.logging.*:*,org.apache.parquet:*,org.apache.spark:*,com.fasterxml.*:*,org.slf4j:*,org.xerial.snappy:*,com.github.luben:*,org.locationtech.*:*"
"""What delta-spark depends on and pyspark brings: 74 of 87 MB, copied at every start if it were resolved again."""

_IVY = str(Path.home() / ".ivy2.5.2")
"""Where Spark keeps fetched JARs by default, but for the home that the environment names."""

_CONNECTORS = {
    "s3a": "org.apache.hadoop:hadoop-aws",
    "abfss": "org.apache.hadoop:hadoop-azure",
    "gs": "org.apache.hadoop:hadoop-gcp",
}
"""Hadoop's connectors to object stores, of the version of Hadoop that pyspark brings."""

_LOCAL_FILE_SYSTEM = "com.globalmentor:hadoop-bare-naked-local-fs:0.1.0"
"""Hadoop's local file system in plain Java. Without native Hadoop its own starts a chmod process for every file and folder."""

_PACKAGES = "spark.jars.packages"
_FILE_SYSTEM = "spark.hadoop.fs.file.impl"


def coordinates(schemes: Collection[str] = (), *, local_files: bool = False) -> dict[str, str]:
    """The Spark settings that fetch the JARs: Delta's, made for the installed pyspark, and what reaches the tables' files."""
    spark = ".".join(pyspark.__version__.split(".")[:2])
    packages = [f"io.delta:delta-spark_{spark}_2.13:{delta_version()}"]
    packages += [f"{_CONNECTORS[scheme]}:{_hadoop_version()}" for scheme in sorted(schemes) if scheme in _CONNECTORS]
    if local_files:
        packages.append(_LOCAL_FILE_SYSTEM)
    return {
        _PACKAGES: ",".join(packages),
        "spark.jars.excludes": _SHIPPED_WITH_PYSPARK,
        "spark.jars.ivy": _IVY,
    }


def jars_in(folder: str) -> dict[str, str]:
    """The Spark settings that take the Delta JARs from a local folder, for machines without a registry."""
    jars = sorted(Path(folder).expanduser().absolute().glob("*.jar"))
    missing = [name for name in ("delta-spark", "delta-storage") if not any(name in jar.name for jar in jars)]
    if missing:
        wanted = coordinates()[_PACKAGES]
        raise UserError(
            f"The folder of Spark's JARs, {folder}, holds no {' and no '.join(missing)} JAR: put {wanted} and what it "
            "depends on there, or unset GOLD_SPARK_JARS to have them fetched."
        )
    return {"spark.jars": ",".join(map(str, jars))}


def local_files(conf: Mapping[str, str]) -> dict[str, str]:
    """The Spark settings for the files of this machine, with the file system that is among the JARs of ``conf``.

    A folder of JARs may lack it; Hadoop's own then does without checksum files, which would be as many processes again.
    """
    jars = [*map(Path, conf.get("spark.jars", "").split(",")), *_fetched_jars(conf)]
    for jar in jars:
        if _LOCAL_FILE_SYSTEM.split(":")[1] in jar.name:
            # Spark opens files before it adds its JARs.
            classes = {"spark.driver.extraClassPath": str(jar)}
            return {_FILE_SYSTEM: "com.globalmentor.apache.hadoop.fs.NakedLocalFileSystem", **classes}
    return {_FILE_SYSTEM: "org.apache.hadoop.fs.RawLocalFileSystem"}


def fetch_jars(conf: Mapping[str, str]) -> dict[str, str]:
    """``conf`` with files in place of the JARs that it names by coordinates, which are fetched unless they are there.

    Spark would have them resolved whenever its JVM starts. All that Python hears of a failure there is that the JVM ended,
    and Ivy, which resolves them, fails now and then where two ask at once, even for what is there.
    """
    if _PACKAGES not in conf:
        return dict(conf)
    ivy = _ivy(conf)
    ivy.mkdir(parents=True, exist_ok=True)
    wanted = "\n".join(conf.get(key, "") for key in (_PACKAGES, "spark.jars.excludes"))
    resolved = ivy / f"gold_assets-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}.txt"
    with FileLock(ivy / "gold_assets.lock"):
        jars = resolved.read_text().splitlines() if resolved.exists() else []
        if not jars or not all(map(os.path.exists, jars)):
            logger.info("Fetching the JARs that Spark needs from %s to %s, once", _repository(conf), ivy)
            # Without the file system that is to be fetched, and without JARs that are files already.
            jars = _jars_of(explain_start({k: v for k, v in conf.items() if k not in (_FILE_SYSTEM, "spark.jars")}))
            written = resolved.with_suffix(".new")
            written.write_text("\n".join(jars))
            written.replace(resolved)
    settings = {key: value for key, value in conf.items() if key != _PACKAGES}
    return {**settings, "spark.jars": ",".join(filter(None, [conf.get("spark.jars"), *jars]))}


def _jars_of(said: list[str]) -> list[str]:
    """The files that ``spark-submit`` says it would start with."""
    [line] = [line for line in said if line.startswith("(spark.jars,")]
    return [unquote(urlsplit(uri).path) for uri in line.removeprefix("(spark.jars,").removesuffix(")").split(",")]


def _fetched_jars(conf: Mapping[str, str]) -> list[Path]:
    """Where Spark puts the JARs that ``conf`` names by coordinates."""
    packages = [package.strip() for package in conf.get(_PACKAGES, "").split(",") if package.strip()]
    return [_ivy(conf) / "jars" / f"{package.replace(':', '_', 1).replace(':', '-')}.jar" for package in packages]


def _ivy(conf: Mapping[str, str]) -> Path:
    return Path(conf.get("spark.jars.ivy", _IVY))


def explain_start(conf: Mapping[str, str]) -> list[str]:
    """What ``spark-submit`` says of a start with ``conf``, fetching JARs. Raises ``UserError`` where it cannot prepare one."""
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    settings = [part for key, value in conf.items() for part in ("--conf", f"{key}={value}")]
    # The only purpose of the main class is to end at once.
    nothing = ["--class", "org.apache.ivy.Main", "spark-internal", "-version"]
    process = subprocess.Popen(
        [str(submit), "--verbose", *settings, *nothing], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said = list(_lines_of(process, _ivy(conf)))
        failed = process.wait(timeout=_SILENCE_SECONDS) != 0
    except (queue.Empty, subprocess.TimeoutExpired):
        raise UserError(
            f"The Delta JARs could not be fetched: nothing was heard for {_SILENCE_SECONDS} s from {_repository(conf)}; {_JARS_HELP}."
        ) from None
    finally:
        process.kill()
        process.wait()
    if failed:
        raise UserError(_explanation(conf, said))
    return said


_JARS_HELP = (
    "let this machine reach it, name another in spark.jars.repositories in the file of GOLD_SPARK_CONF, "
    "or put the JARs in a folder and set GOLD_SPARK_JARS to it"
)


def _explanation(conf: Mapping[str, str], said: list[str]) -> str:
    text = "\n".join(said)
    if failed := re.search(r"RuntimeException: \[(download failed: .*)\]", text):
        if tried := re.search(r"local-m2-cache: tried\s+file:(\S+)", text):
            return (
                f"The local Maven cache is half-filled: it describes a Delta JAR and lacks the file {tried[1]}: "
                f"delete the folder {Path(tried[1]).parent}, and the JAR is fetched."
            )
        return f"The Delta JARs could not be fetched from {_repository(conf)} ({failed[1]}): {_JARS_HELP}."
    if unresolved := re.search(r"RuntimeException: \[(unresolved dependency: .*)\]", text):
        return f"The Delta JARs could not be resolved at {_repository(conf)} ({unresolved[1]}): {_JARS_HELP}."
    errors = [line for line in said if re.search(r"^(Error|Exception|Caused by)|Error:", line)]
    last = (errors or said or ["it said nothing"])[0]
    return f"Spark's JVM ended before it was ready ({last}): correct GOLD_SPARK_MASTER or the file of GOLD_SPARK_CONF."


def _repository(conf: Mapping[str, str]) -> str:
    if settings := conf.get("spark.jars.ivySettings"):
        return f"the repositories of {settings}"
    return ", ".join(filter(None, ["Maven Central", conf.get("spark.jars.repositories")]))


def _lines_of(process: subprocess.Popen[str], ivy: Path) -> Iterator[str]:
    """What the process says, line by line. Raises ``queue.Empty`` where it says nothing for too long and fetches nothing."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    last_sign, fetched = time.monotonic(), _bytes_in(ivy)
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            if (now := _bytes_in(ivy)) == fetched:
                if time.monotonic() - last_sign > _SILENCE_SECONDS:
                    raise
                continue
            fetched = now
        else:
            if line is None:
                return
            yield line
        last_sign = time.monotonic()


def _bytes_in(folder: Path) -> int:
    """The size of all files in a folder, where Ivy says nothing while a large JAR grows."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it has its final name by now
            size += file.stat().st_size
    return size


def _hadoop_version() -> str:
    (jar,) = (Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar")
    return jar.stem.removeprefix("hadoop-client-api-")


def delta_version() -> str:
    try:
        return importlib.metadata.version("delta-spark")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "delta-spark is not installed, which Spark needs to read Delta tables: pip install delta-spark."
        ) from None
