"""Which Silver something was made from, as readers of what was made can tell without an engine."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SilverVersion:
    """Which version of which Silver something was made from.

    Attributes:
        silver_table_id, silver_version, silver_commit, silver_uri: the Silver table's id, its version, the fingerprint of
            that one's commit, and its place; empty where an earlier release did not say.
    """

    silver_table_id: str
    silver_version: int
    silver_commit: str = ""
    silver_uri: str = ""
