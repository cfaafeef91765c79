"""Publishing versions again that were published before: what maintenance left of them, and what a person puts readers back to."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

from gold_assets.delta.commit_races import until_committed
from gold_assets.delta.errors import UserError
from gold_assets.gold.publication import Publication, Publications


def move_on(uri: str, open_publications: Callable[[], Publications]) -> None:
    """Publish newer versions of the same rows, which maintenance leaves: a publication that nothing follows must not grow old.

    Where the last attempt to publish was held back, the publication stays as it is. ``uri`` is the place of the table
    of publications.
    """

    def attempt() -> None:
        publications = open_publications()
        last = publications.last_attempt()
        if last is None or last.failures:
            return
        tables = {name: table.moved_on() for name, table in last.tables.items()}
        if tables != last.tables:
            _as_of_now(publications, last, tables=tables)

    until_committed("publications", uri, attempt)


def put_back(uri: str, to: Publication, by: str, because: str) -> Publication:
    """Let readers go by the versions of an earlier publication again, which can all be read.

    ``uri`` is the place of the table of publications.
    """

    def attempt() -> Publication:
        said = {"put_back_to": to.at, "put_back_by": by, "put_back_because": because}
        return _as_of_now(Publications(uri), to, **said)

    return until_committed("publications", uri, attempt)


def resume(uri: str, by: str, because: str) -> Publication:
    """Let publishing go on from what readers were put back to. Raises ``UserError`` where they were not."""

    def attempt() -> Publication:
        publications = Publications(uri)
        newest = publications.newest()
        if newest is None or newest.put_back_to is None:
            raise UserError(
                f"Readers are not put back: the newest of the publications at {uri} is one that was verified, so that there is nothing to resume."
            )
        return _as_of_now(publications, newest, put_back_to=None, put_back_by=by, put_back_because=because)

    return until_committed("publications", uri, attempt)


def _as_of_now(publications: Publications, publication: Publication, **said: Any) -> Publication:
    """Publish the versions of a publication once more."""
    now = dt.datetime.now(dt.timezone.utc)
    made = dataclasses.replace(publication, at=now, dates_verified=0, run_id="", **said)
    publications.append(made)
    return made
