"""Opening a Delta table, or saying why not."""

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from gold_assets.delta.errors import UserError, failed


def opened(
    what: str,
    uri: str,
    version: int | None = None,
    *,
    otherwise: str,
    then: str = "",
    newer: str = "ask for a newer version",
) -> DeltaTable | None:
    """The table at ``version``, by default its newest; None where there is none.

    Raises ``UserError``, which says that ``what`` cannot be read, why, and what to do: what mends the cause, else what is told
    ``otherwise``; and ``then``. ``newer`` is what to do where the version is gone for good.
    """
    try:
        return DeltaTable(uri, version=version)
    except TableNotFoundError:
        if version is None or not DeltaTable.is_deltatable(uri):
            return None
        raise UserError(
            f"{what} cannot be read at version {version}, of which log clean-up has taken what makes it: {newer}."
        ) from None
    except (DeltaError, OSError) as error:
        at = "its newest version" if version is None else f"version {version}"
        raise failed(f"{what} cannot be read at {at}", error, otherwise, then) from error
