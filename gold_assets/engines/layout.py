"""How OPTIMIZE lays out files, on either engine."""

TARGET_FILE_BYTES = 100 << 20
"""A date that is larger becomes several files, and a look-up opens those that may hold its key."""

ROWS_A_ROW_GROUP = 8_192
"""A look-up reads whole row groups. Ordered and this small, it reads a seventh of what one row group a file costs it."""
