"""Every date of every table, from a Silver of real transactions: this project beside the same job written by hand.

``python -m benchmarks.backfill --copies 14`` builds a Silver of 14 times 1,469,307 rows and lets each contender, in a
process of its own, make the tables from it:

- ``gold_assets on Sail`` and ``on Spark``: ``refresh`` of all dates, contract and quarantine on board;
- ``in SQL on Sail`` and ``in SQL on Spark``: the same with each of the three tables declared as one SELECT in place of PySpark. What
  that costs is the ratio of ``--only "gold_assets on Sail" "in SQL on Sail"``;
- ``on Sail, no partitions`` and ``on Spark, no partitions``: the same from a Silver that is not partitioned, of the same rows in files of a month each;
- ``DuckDB + delta-rs``: the three tables and the quarantine by the same contract, a query and a write each;
- ``DuckDB + delta-rs, bare``: the three tables of every row, no contract, no quarantine;
- ``PySpark + Delta``: the same job as ``DuckDB + delta-rs``, on a local Spark with its default settings;
- ``PySpark + Delta, bare``: the three tables of every row there, no contract, no quarantine.

Seconds are the job's alone, once the engine runs; process seconds include the start and the imports.
"""

import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from benchmarks.contenders import compare, measure, parser, table
from gold_assets import Project, Table, transactions
from gold_assets.silver.pin import pin_silver
from gold_assets.transactions.source import source
from gold_assets.transactions.tables import QUARANTINED_TXNS

_DATES_A_FILE = 31

_RULES = """coalesce(
    {user_id} <> '' AND {product_id} <> ''
    AND abs(amount) < 1e14
    AND (usage_cost_ratio IS NULL OR abs(usage_cost_ratio) < {infinity})
    AND (risk_level IS NULL OR risk_level IN ('low', 'medium', 'high'))
    AND event_date IS NOT NULL, false)"""
_CONTRACT_IN_DUCKDB = _RULES.format(
    user_id=r"trim(user_id, e' \t\r\n')", product_id=r"trim(product_id, e' \t\r\n')", infinity="'Infinity'::DOUBLE"
)
_CONTRACT_IN_SPARK = _RULES.format(
    user_id=r"trim(BOTH ' \t\r\n' FROM user_id)",
    product_id=r"trim(BOTH ' \t\r\n' FROM product_id)",
    infinity="double('Infinity')",
)
_TABLES = (
    """SELECT user_id, CAST(sum(CAST(amount AS DECIMAL(18, 4))) AS DECIMAL(28, 4)) AS total_spend,
        count(*) AS transaction_count, event_date FROM silver WHERE {valid} GROUP BY ALL""",
    """SELECT product_id, avg(usage_cost_ratio) AS avg_usage_cost_ratio, count(usage_cost_ratio) AS rated_count,
        count(*) AS transaction_count, event_date FROM silver WHERE {valid} GROUP BY ALL""",
    """SELECT *, true AS is_high_risk FROM silver WHERE risk_level = 'high' AND usage_cost_ratio < 0.2 AND {valid}""",
)
_QUARANTINE = "SELECT *, {broken} AS violations FROM silver WHERE NOT {valid}"


IN_SQL = Project(
    "transactions",
    source,
    (
        Table(
            "user_spend_summary",
            sql="""
                SELECT user_id, sum(amount) AS total_spend, count(*) AS transaction_count, event_date
                FROM transactions GROUP BY user_id, event_date""",
        ),
        Table(
            "product_usage_metrics",
            sql="""
                SELECT product_id, avg(usage_cost_ratio) AS avg_usage_cost_ratio, count(usage_cost_ratio) AS rated_count,
                    count(*) AS transaction_count, event_date
                FROM transactions GROUP BY product_id, event_date""",
        ),
        Table(
            "high_risk_txns",
            sql="""
                SELECT *, true AS is_high_risk FROM transactions
                WHERE risk_level = 'high' AND usage_cost_ratio < 0.2""",
            zorder_by=["user_id"],
        ),
        QUARANTINED_TXNS,
    ),
)
"""The project with its tables in SQL. ``*`` is the declared columns there, and all of Silver's in PySpark."""


def gold_assets_on(engine_name: str, silver: str, out: str, project: Project = transactions.project) -> None:
    """This project's refresh of every date Silver has."""
    from gold_assets.delta.dates import days
    from gold_assets.engines.sail import SailEngine
    from gold_assets.gold.lake import Lake
    from gold_assets.gold.refresh import refresh

    if engine_name == "spark":
        from gold_assets.engines.spark import SparkEngine

        engine: SailEngine | SparkEngine = SparkEngine()
    else:
        engine = SailEngine()
    lake = Lake(project, silver, {declared.name: f"{out}/{declared.name}" for declared in project.tables})
    engine.session  # noqa: B018 - starts it
    dates = [date for date in pin_silver(silver, source).file_dates.dates() if date is not None]
    measure(lambda: refresh(lake, engine, days(min(dates), max(dates))))
    engine.close()


def not_partitioned(silver: str) -> str:
    """A Silver of the same rows, appended a month at a time, without partitions; made when it is first asked for."""
    flat = f"{silver}_not_partitioned"
    if not DeltaTable.is_deltatable(flat):
        rows = DeltaTable(silver).to_pyarrow_dataset()
        dates = sorted(date for date in pin_silver(silver, source).file_dates.dates() if date is not None)
        for start in range(0, len(dates), _DATES_A_FILE):
            month = rows.scanner(filter=pc.field("event_date").isin(dates[start : start + _DATES_A_FILE]))
            write_deltalake(flat, month.to_table().sort_by("event_ts"), mode="append")
    return flat


def job_queries(*, bare: bool) -> list[str]:
    """DuckDB's queries over a view ``silver``: the three tables and the quarantine; only the tables where ``bare``."""
    return _queries(_CONTRACT_IN_DUCKDB, "['broken']", bare=bare)


def _queries(contract: str, broken: str, *, bare: bool) -> list[str]:
    if bare:
        return [query.format(valid="true") for query in _TABLES]
    return [query.format(valid=contract, broken=broken) for query in (*_TABLES, _QUARANTINE)]


def duckdb_by_hand(silver: str, out: str, *, bare: bool) -> None:
    """A query and a Delta write for each table."""
    import duckdb

    connection = duckdb.connect()

    def job() -> None:
        files = DeltaTable(silver).file_uris()
        connection.read_parquet(files, hive_partitioning=True).create_view("silver")
        for number, query in enumerate(job_queries(bare=bare)):
            rows = connection.sql(query).to_arrow_table()
            write_deltalake(f"{out}/{number}", rows, mode="overwrite", partition_by=["event_date"])

    measure(job)


def pyspark_by_hand(silver: str, out: str, *, bare: bool) -> None:
    """A local Spark as its quick start says: default settings, a query and a write for each table."""
    from delta import configure_spark_with_delta_pip
    from pyspark.sql import SparkSession

    builder = (
        SparkSession.builder.master("local[*]")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    )
    spark = configure_spark_with_delta_pip(builder).getOrCreate()

    def job() -> None:
        spark.read.format("delta").load(silver).createOrReplaceTempView("silver")
        for number, query in enumerate(_queries(_CONTRACT_IN_SPARK, "array('broken')", bare=bare)):
            spark.sql(query).write.format("delta").partitionBy("event_date").save(f"{out}/{number}")

    measure(job)
    spark.stop()


CONTENDERS = {
    "gold_assets on Sail": lambda silver, out: gold_assets_on("sail", silver, out),
    "in SQL on Sail": lambda silver, out: gold_assets_on("sail", silver, out, IN_SQL),
    "on Sail, no partitions": lambda silver, out: gold_assets_on("sail", not_partitioned(silver), out),
    "gold_assets on Spark": lambda silver, out: gold_assets_on("spark", silver, out),
    "in SQL on Spark": lambda silver, out: gold_assets_on("spark", silver, out, IN_SQL),
    "on Spark, no partitions": lambda silver, out: gold_assets_on("spark", not_partitioned(silver), out),
    "DuckDB + delta-rs": lambda silver, out: duckdb_by_hand(silver, out, bare=False),
    "DuckDB + delta-rs, bare": lambda silver, out: duckdb_by_hand(silver, out, bare=True),
    "PySpark + Delta": lambda silver, out: pyspark_by_hand(silver, out, bare=False),
    "PySpark + Delta, bare": lambda silver, out: pyspark_by_hand(silver, out, bare=True),
}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    arguments = options.parse_args()
    if arguments.contender:
        CONTENDERS[arguments.contender](arguments.silver, arguments.out)
        return
    medians = compare("benchmarks.backfill", arguments.only, arguments, anew=arguments.only)
    print(table(medians, baseline="DuckDB + delta-rs" if "DuckDB + delta-rs" in medians else arguments.only[0]))


if __name__ == "__main__":
    main()
