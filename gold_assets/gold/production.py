"""Production's tables in a branch: those that the branch does not change, at the versions that are published there. Nothing there is ever written."""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gold_assets.delta.errors import UserError
from gold_assets.gold.publication import Publication, Publications
from gold_assets.silver.changes import SilverChanges


@dataclass(frozen=True)
class Production:
    """What is published in production, as a branch reads it.

    Attributes:
        published: the place of production's table of publications.
        code_versions: by name of a table that the branch does not change, the version of it that is declared.
    """

    published: str
    code_versions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def newest(self) -> Publication:
        """Production's newest publication. Raises ``UserError`` where nothing is published there, or it cannot be read."""
        # Without places, as readers find its tables.
        if (newest := Publications(self.published).newest()) is None:
            raise UserError(
                f"Nothing is published in production, at {self.published}: publish there first, or correct the settings of production."
            )
        return newest

    def unchanged(self) -> Publication:
        """The same, of the unchanged tables alone.

        Raises ``UserError`` as well where production has another version of one by now.
        """
        newest = self.newest()
        for name, version in self.code_versions.items():
            if (there := newest.code_versions.get(name)) != version:
                if newest.put_back:
                    raise UserError(
                        f"In production {newest.put_back}. There {name} is another than this branch declares: wait until production has "
                        f"published again, or load the branch again to make {name} in it."
                    )
                raise UserError(
                    f"Production has published {name} made by {f'version {there}' if there else 'several versions'} of it, and this branch "
                    f"declares version {version}: merge what production has into the branch, and load it again."
                )
        return dataclasses.replace(
            newest,
            tables={name: newest.tables[name] for name in self.code_versions},
            code_versions=dict(self.code_versions),
        )


def without(publication: Publication, unchanged: Publication) -> Publication:
    """What a publication of a branch says of the branch's own tables.

    A date that production excepts now is excepted in the next publication whatever the branch's own tables hold of it.
    """
    return dataclasses.replace(
        publication,
        tables={name: table for name, table in publication.tables.items() if name not in unchanged.tables},
        dates_behind=tuple(date for date in publication.dates_behind if date not in unchanged.dates_behind),
        dates_kept=tuple(date for date in publication.dates_kept if date not in unchanged.dates_kept),
    )


def together(own: Publication, unchanged: Publication, changes: SilverChanges) -> Publication:
    """The publication of a branch: its ``own`` tables and production's, and what holds of both."""
    version, reason = _of_both(own, unchanged, changes)
    return dataclasses.replace(
        own,
        tables={**own.tables, **unchanged.tables},
        code_versions={**own.code_versions, **unchanged.code_versions},
        silver_version=version,
        reason=reason,
        dates_behind=_either(own.dates_behind, unchanged.dates_behind),
        dates_kept=_either(own.dates_kept, unchanged.dates_kept),
    )


def _of_both(own: Publication, unchanged: Publication, changes: SilverChanges) -> tuple[int | None, str]:
    """The newest version of Silver whose rows the dates of both hold; None where there is none, and why."""
    if not unchanged.tables or own.silver_version is None:
        return own.silver_version, own.reason
    if unchanged.silver_version is None:
        return None, f"in production, {unchanged.reason}"
    if not own.tables:
        return unchanged.silver_version, ""
    if unchanged.silver_table_id != own.silver_table_id:
        return None, "production's tables are made from another Silver table"
    older, newer = sorted((own.silver_version, unchanged.silver_version))
    if older == newer or (newer <= changes.to and not _changed_between(older, newer, changes)):
        return newer, ""
    return None, (
        f"production's tables are true to Silver's version {unchanged.silver_version}, the branch's to version {own.silver_version}"
    )


def _changed_between(older: int, newer: int, changes: SilverChanges) -> bool:
    """Whether a commit after the ``older`` version changed rows, up to the ``newer`` one; true where nothing tells."""
    if changes.every_date_after(older):
        return True
    first = [changes.first_after(date, older) for date in changes.dates_after(older)]
    return any(version is not None and version <= newer for version in first)


def _either(dates: Iterable[dt.date], others: Iterable[dt.date]) -> tuple[dt.date, ...]:
    return tuple(sorted({*dates, *others}))
