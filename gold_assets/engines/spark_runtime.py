"""What Spark needs before it starts: Java, a pyspark and a delta-spark that fit, a cluster that answers."""

import atexit
import functools
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pyspark
from packaging.requirements import Requirement
from pyspark.errors import PySparkException

from gold_assets.delta import storage
from gold_assets.delta.errors import UserError

_OLDEST_JAVA = 17
_SECRET_KEY = re.compile(r"secret|password|token|access[.]?key|account[.]key", re.IGNORECASE)
"""Of a Spark setting whose value is not shown: Spark's own pattern for its UI, and Azure's keys."""
_PORTS = {"spark": 7077, "sc": 15002, "k8s": 443, "https": 443, "http": 80}
"""What listens there by default."""
_CONNECT_SECONDS = 5
_CONNECT_SERVER_SECONDS = 20

_S3_CREDENTIALS = ",".join(
    (
        "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider",
        "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
    )
)
"""What Spark has taken from the driver's environment, for its executors too; else what AWS's own tools would find."""


def check_java() -> None:
    """Raise ``UserError`` where the Java that Spark will use is missing or older than 17."""
    install = "install a Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless), or set JAVA_HOME to one"
    otherwise = "GOLD_ENGINE=sail needs no Java"
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else shutil.which("java")
    where = f"in JAVA_HOME ({home})" if home else "on the PATH"
    try:
        if java is None:
            raise FileNotFoundError
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired):
        raise UserError(
            f"Spark needs Java {_OLDEST_JAVA} or newer, and there is none {where}: {install}; {otherwise}."
        ) from None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found and int(found[1]) < _OLDEST_JAVA:
        raise UserError(
            f"Spark needs Java {_OLDEST_JAVA} or newer, and {java} is Java {found[1]}: {install}; {otherwise}."
        )


def check_versions() -> None:
    """Raise ``UserError`` where the installed delta-spark is missing or was not made for the installed pyspark."""
    try:
        delta = importlib.metadata.version("delta-spark")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "delta-spark is not installed, which Spark needs to read Delta tables: pip install delta-spark."
        ) from None
    for requirement in map(Requirement, importlib.metadata.requires("delta-spark") or []):
        if requirement.name == "pyspark" and not requirement.specifier.contains(pyspark.__version__):
            raise UserError(
                f"pyspark {pyspark.__version__} does not fit delta-spark {delta}, which expects pyspark"
                f"{requirement.specifier}: install a pair that fits, for example pip install 'delta-spark=={delta}'."
            )


@functools.cache
def folder_for_spills() -> str:
    """A folder for what Spark shuffles and spills, which only this user can read; goes with the process.

    Spark's own are open to whoever may read the temporary folder. A JVM keeps to the first it was given.
    """
    folder = tempfile.mkdtemp(prefix="gold_assets-spark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def s3_settings() -> dict[str, str]:
    """Hadoop's settings for the S3 that the environment's AWS variables name. Spark takes the keys themselves from there."""
    settings = {"spark.hadoop.fs.s3a.aws.credentials.provider": _S3_CREDENTIALS}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        virtual = os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() == "true"
        settings["spark.hadoop.fs.s3a.endpoint"] = endpoint
        settings["spark.hadoop.fs.s3a.path.style.access"] = str(not virtual).lower()
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        settings["spark.hadoop.fs.s3a.endpoint.region"] = region
    return settings


def check_answers(url: str, setting: str) -> None:
    """Raise ``UserError`` where nothing listens at any address of a master or a Connect server, in a few seconds."""
    try:
        addresses = _addresses(url)
    except ValueError:
        raise not_an_address(url, setting) from None
    problems = []
    for host, port in addresses:
        try:
            with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
                return
        except OSError as error:
            problems.append(f"{host}:{port}: {error.strerror or error}")
    if problems:
        shown = storage.without_credentials(url)
        raise UserError(f"{setting} is {shown} and does not answer ({', '.join(problems)}): {_start_it(url)}.")


def check_speaks_connect(remote: str) -> None:
    """Raise ``UserError`` where what listens at ``remote`` is no gRPC server. The client itself would ask for ten minutes."""
    import grpc  # type: ignore[import-untyped]  # comes with pyspark[connect]
    from pyspark.sql.connect.client import DefaultChannelBuilder

    try:
        opened = DefaultChannelBuilder(remote).toChannel()
    except PySparkException:  # its text has the address, and so the token
        raise not_an_address(remote, "GOLD_SPARK_REMOTE") from None
    with opened as channel:
        try:
            grpc.channel_ready_future(channel).result(_CONNECT_SERVER_SECONDS)
        except grpc.FutureTimeoutError:
            raise UserError(not_spark(remote, "GOLD_SPARK_REMOTE", _CONNECT_SERVER_SECONDS)) from None


def not_an_address(url: str, setting: str) -> UserError:
    """That the setting does not tell where a master or a Connect server is."""
    form = "sc://host:15002/;use_ssl=true" if setting == "GOLD_SPARK_REMOTE" else "spark://host:7077"
    return UserError(
        f"{setting} is {storage.without_credentials(url)}, expected an address such as {form}: correct it or unset it."
    )


def not_spark(url: str, setting: str, seconds: int) -> str:
    """The sentence about an address where something listens that does not talk as Spark does."""
    shown = storage.without_credentials(url)
    return f"{setting} is {shown}, where something listens and does not answer as Spark within {seconds} s: {_start_it(url)}."


def _start_it(url: str) -> str:
    """What to do about a master or a Connect server that does not answer."""
    what = "Spark Connect server" if url.startswith("sc://") else "Spark master"
    return f"start the {what}, correct the address, or unset it to run Spark on this machine"


def _addresses(url: str) -> list[tuple[str, int]]:
    """The addresses that must answer, none where Spark finds the cluster by other means."""
    scheme, _, rest = url.partition("://")
    if scheme not in _PORTS:
        return []
    masters = rest.split(",") if scheme == "spark" else [rest]  # a token of the others may have a comma
    parts = [urlsplit(master if "://" in master else f"//{master}") for master in masters]
    return [(part.hostname or "", part.port or _PORTS[part.scheme or scheme]) for part in parts]


def read_properties(path: str) -> dict[str, str]:
    """Spark settings from a file in the form of ``spark-defaults.conf``: a key and its value a line, # for comments."""
    try:
        lines = Path(path).expanduser().read_text().splitlines()
    except OSError as error:
        raise UserError(
            f"GOLD_SPARK_CONF names {path}, which cannot be read ({error.strerror}): correct the path or unset it."
        ) from None
    settings = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line[0] in "#!":
            continue
        key, *value = re.split(r"\s*[=:\s]\s*", line, maxsplit=1)
        if not key.startswith("spark.") or not value:
            raise UserError(
                f"Line {number} of {path} (GOLD_SPARK_CONF) is no setting such as spark.executor.memory 2g: correct the line."
            )
        settings[key] = value[0]
    storage.hide(*(value for key, value in settings.items() if _SECRET_KEY.search(key)))
    return settings
