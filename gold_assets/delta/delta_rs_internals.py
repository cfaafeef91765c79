"""What delta-rs keeps private and the project cannot do without. A comment says which public door is missing, and where it was read."""

import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler


def files_of(place: DeltaTable | str) -> pafs.FileSystem:
    """A table's place as a file system, with the credentials that the table was opened with; or that of a path or URI."""
    if isinstance(place, str):
        return pafs.PyFileSystem(DeltaStorageHandler(place))
    # DeltaStorageHandler.from_table is public and takes the table's inner object alone. deltalake 1.6.6
    return pafs.PyFileSystem(DeltaStorageHandler.from_table(place._table))
