"""What settings there are: each with its type, its default and what it is, from which the site's page of settings is written. ``config.py`` reads them."""

import datetime as dt
from typing import Literal

from pydantic import Field, Json, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from gold_assets.gold.safeguards import Safeguards

PREFIX = "GOLD_"
_READ = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)


class ReadingFields(BaseSettings):
    """What readers need."""

    model_config = _READ

    lake_root: str = Field(default="data", description="Where everything has its default place; a path or a URI.")
    published_path: str = Field(default="{lake_root}/published", description="The table of publications.")
    storage_options: SecretStr | None = Field(
        default=None,
        description="A JSON object of an object store's `AWS_…`, `AZURE_…` or `GOOGLE_…` variables, which win over those in the "
        "environment.",
    )


class Fields(BaseSettings):
    """All else."""

    model_config = _READ

    read_from: str | None = Field(
        default=None,
        description="In [a branch](../changing_tables.md#a-deployment-for-each-branch), a file as `.env` is, with production's settings: what "
        "the branch does not set itself, it takes from there, and tables that it does not change it reads there.",
    )
    source_path: str = Field(
        default="{lake_root}/silver",
        description=(
            "Silver, a Delta table: a path or a URI; on Spark also its name in the catalog, such as `main.sales.transactions`."
        ),
    )
    silver_columns: Json[dict[str, str]] | None = Field(
        default=None,
        description="A JSON object from our name of a column to Silver's, for those that have another there.",
    )
    checkpoint_path: str = Field(
        default="{lake_root}/checkpoints/write_to_gold", description="On Spark, the checkpoint of `gold stream`."
    )
    partitions_start: dt.date = Field(
        default=dt.date(2017, 1, 1), description="The first date that is a partition, UTC."
    )
    partitions_end: dt.date | None = Field(
        default=None, description="The last one; without it the window is open and includes today."
    )
    publish_within_minutes: int = Field(
        default=60,
        ge=1,
        description="The check `is_current` warns when a change of Silver is older than this and not yet published.",
    )
    examples: bool = Field(
        default=False,
        description="`on` lets Dagster's records hold rows of Silver and Gold: example rows, the keys of failed checks, the job `explain`. "
        "They stay there past every deletion in Silver. Without it records, messages and logs hold dates, counts, totals and names of "
        "columns. Who asks a command sees rows in any case. `make demo` sets it for its own Silver.",
    )
    sealed_before: dt.date | None = Field(
        default=None,
        description="Dates before this one are sealed: Gold keeps what it has of them until a person decides.",
    )
    seal_after_days: int | None = Field(
        default=None, ge=1, description="Dates that lie more than so many days back are sealed."
    )
    fuse_lost_share: float = Field(
        default=Safeguards.lost_share,
        gt=0,
        le=1,
        description="A date before yesterday that would lose at least this share of Silver's rows is held until a person decides; `1` holds "
        "those that would lose all.",
    )
    fuse_gained_share: float = Field(
        default=Safeguards.gained_share,
        gt=0,
        description="One that would gain at least this share of them is held, too; `1` holds those that would double.",
    )
    fuse_least_rows: int = Field(
        default=Safeguards.least_rows,
        ge=1,
        description="A date that Gold was made of with fewer rows of Silver is never held.",
    )
    quarantined_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="The check `share` warns of a date of which more than this is quarantined.",
    )
    fresh_by_hour: int = Field(default=6, ge=0, le=23, description="The hour, UTC, by which yesterday is due.")
    roll_out: bool = Field(
        default=True,
        description="After a change of a table's declaration, `off` leaves the dates that earlier versions made until somebody "
        "materializes them; by default a sensor makes them anew, the newest first.",
    )
    publish_while_rolling_out: bool = Field(
        default=False,
        description="`on` publishes dates of a new version of a table as they are made; by default readers keep the publication of the "
        "earlier one until all dates are made by the new one.",
    )
    alert_urls: SecretStr = Field(
        default=SecretStr(""),
        description="Who is told what goes wrong: [URLs of apprise](https://appriseit.com/services/), which knows Slack, Teams, mail and a "
        "hundred more, with blanks or commas between them: `slack://…`, `mailtos://user:password@host:587?to=a@example.com`; a password "
        "percent-encoded.",
    )
    alert_lag_minutes: int = Field(
        default=60, ge=1, description="For so long Gold may lack what Silver has before somebody is told."
    )
    ui_url: str = Field(default="http://localhost:3000", description="Where messages link to.")
    engine: Literal["sail", "spark"] = Field(default="sail", description="`sail`, embedded, or `spark`.")
    spark_master: str | None = Field(
        default=None, description="`spark://…`, `yarn`, `k8s://…`; by default `local[*]`, a Spark on this machine."
    )
    spark_remote: SecretStr | None = Field(
        default=None, description="A running Spark Connect server, `sc://…`, in place of a master."
    )
    spark_conf: str | None = Field(
        default=None, description="A file of further Spark settings, as `spark-defaults.conf` has them."
    )
    spark_jars: str | None = Field(
        default=None, description="A folder with the Delta JARs, for machines without a registry."
    )
