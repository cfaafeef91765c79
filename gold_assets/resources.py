"""What the assets run on: the lake's tables, and the engine that computes them."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from gold_assets.config import Settings
from gold_assets.engines import Engine
from gold_assets.engines.sail import SailEngine
from gold_assets.lakehouse.errors import UserError
from gold_assets.lakehouse.refresh import Lake, Refreshed, refresh
from gold_assets.lakehouse.tables import TABLES, Table


class Lakehouse(dg.ConfigurableResource):
    """Silver's place, the places of the tables made from it, and the engine, which starts on first use."""

    silver: str
    tables: dict[str, str]
    engine: str
    _engine: Engine | None = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, settings: Settings) -> "Lakehouse":
        return cls(silver=settings.lake.silver, tables=dict(settings.lake.tables), engine=settings.engine)

    @property
    def lake(self) -> Lake:
        return Lake(silver=self.silver, tables=self.tables)

    def started_engine(self) -> Engine:
        """The engine of this run."""
        if self._engine is None:
            self._engine = SailEngine()
        return self._engine

    def refresh(self, dates: Sequence[dt.date], tables: Sequence[Table] = TABLES) -> Refreshed:
        """``lakehouse.refresh`` from Silver's newest version."""
        return refresh(self.lake, self.started_engine(), dates, tables=tables)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


@contextmanager
def one_sentence_failures() -> Iterator[None]:
    """Let a step fail with the sentence of a ``UserError`` in place of its stack trace."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
