"""Published tables as inputs of other assets, by dagster-deltalake."""

import datetime as dt
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pyarrow.dataset as ds
from dagster_deltalake import DeltaLakePyarrowIOManager, DeltaLakePyArrowTypeHandler, LocalConfig
from pydantic import Field

from gold_assets.delta.dataset import dataset_of
from gold_assets.delta.dates import EVENT_DATE
from gold_assets.delta.errors import UserError
from gold_assets.reading.published import Published, published, text_of
from gold_assets.resources import one_sentence_failures


class PublishedIOManager(DeltaLakePyarrowIOManager):
    """Hands an asset the rows of a table as they are published, of the partitions that it depends on, and writes nothing.

    An input is a ``pyarrow.Table``, a ``pyarrow.RecordBatchReader`` or a ``pyarrow.dataset.Dataset``, as it is annotated; of an
    asset without partitions it has all dates of the window. The inputs of a run are of one publication. Where nothing is
    published, or VACUUM took the table's files, the step fails with one sentence.

    Attributes:
        root_uri: where the publications are: ``GOLD_PUBLISHED_PATH``.

    Examples:
        >>> import pyarrow as pa
        >>> @dg.asset(ins={"user_spend_summary": dg.AssetIn(input_manager_key="published")})
        ... def spenders(user_spend_summary: pa.Table) -> None:
        ...     print(user_spend_summary.num_rows, "rows")
        >>> summary = dg.AssetSpec("user_spend_summary", metadata={"partition_expr": "event_date"})
        >>> published_tables = PublishedIOManager(root_uri="data/published")
        >>> with dg.DagsterInstance.ephemeral() as instance:
        ...     done = dg.materialize([summary, spenders], instance=instance, resources={"published": published_tables})
        2 rows
    """

    root_uri: str = Field(description="Where the publications are: GOLD_PUBLISHED_PATH.")
    # delta-rs finds a store's credentials in the environment, as everywhere in this project.
    storage_options: LocalConfig = LocalConfig()

    @staticmethod
    def type_handlers() -> list[Any]:
        """What reads a table; dagster-deltalake asks for it."""
        return [_AsPublished()]

    def create_io_manager(self, context: dg.InitResourceContext) -> Any:
        """What Dagster asks for inputs."""
        return _ReadOnly(super().create_io_manager(context))


class _ReadOnly(dg.IOManager):
    def __init__(self, tables: dg.IOManager) -> None:
        self._tables = tables

    def load_input(self, context: dg.InputContext) -> object:
        with one_sentence_failures():
            return self._tables.load_input(context)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        with one_sentence_failures():
            raise UserError(
                f"{context.asset_key.to_user_string() if context.has_asset_key else context.name} is given to PublishedIOManager, which "
                "reads published tables and writes nothing: give it another io_manager_key."
            )


class _AsPublished(DeltaLakePyArrowTypeHandler):
    _reader: Published | None = None

    def load_input(self, context: dg.InputContext, table_slice: Any, connection: Any) -> Any:
        if self._reader is None:
            self._reader = published(lake=(context.resource_config or {})["root_uri"])
        table = self._reader.delta(table_slice.table)
        at = text_of(self._reader.publication.at)
        context.log.info(f"{table_slice.table} is read at version {table.version()}, as published at {at}")
        rows = dataset_of(table)
        for dimension in table_slice.partition_dimensions:
            window = dimension.partitions or (dt.datetime.max, dt.datetime.min)  # without partitions, no dates
            first, end = (moment.date() for moment in window)
            rows = rows.filter((pc.field(EVENT_DATE) >= first) & (pc.field(EVENT_DATE) < end))
        if context.dagster_type.typing_type == ds.Dataset:
            return rows
        return self.from_arrow(rows.scanner(columns=table_slice.columns).to_reader(), context.dagster_type.typing_type)
