"""What PySpark keeps private and the project cannot do without. A comment says which public door is missing, and where it was read."""

import logging
import weakref
from collections.abc import Callable
from typing import Any

from pyspark.sql import DataFrame, SparkSession


def call_when_gone(rows: DataFrame, action: Callable[..., Any], *arguments: Any) -> None:
    """Call the action once neither ``rows`` nor anything made from it is left."""
    # A DataFrame made from another one holds its plan, not itself: there is no public object that lives as long. pyspark 4.2.0
    weakref.finalize(rows._plan, action, *arguments)


def silence(session: SparkSession, logger: str) -> None:
    """Let the JVM of a classic session log nothing under this name, nor py4j what a function of ours raised that the JVM had called."""
    # setLogLevel is that of all there is, and Spark has no setting for one name. pyspark 4.2.0, Log4j 2
    jvm: Any = session._jvm
    log4j = jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel(logger, log4j.Level.OFF)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
