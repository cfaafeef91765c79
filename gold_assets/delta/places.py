"""Places of tables, paths and URIs: which names are one place, and which place lies within another."""

import os
import posixpath
import re
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from urllib.parse import quote

from gold_assets.delta.errors import UserError
from gold_assets.delta.storage import located

_URI = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_NEXT = "_layout"
_A_NEXT = re.compile(rf"{_NEXT}\d+$")
_ONE_STORE = {"s3a": "s3", "s3n": "s3", "abfs": "abfss", "gcs": "gs"}
"""Schemes by which Spark and delta-rs name the same store."""
_HADOOPS = {"s3": "s3a"}
"""By scheme, the one that Hadoop has for it."""


def absolute(place: str) -> str:
    """The place as it is told to others: a path from the root on, a URI as it is, neither with a slash at its end."""
    return place.rstrip("/") if _URI.match(place) else str(Path(place).expanduser().absolute())


def resolved(place: str) -> str:
    """The same text for whatever names the same place: by symlinks, ``..``, slashes, ``file://`` or another scheme of the store."""
    store, path = _store_and_path(place)
    return f"{store.lower()}{posixpath.normpath(path)}".rstrip("/") if store else os.path.realpath(path)


def spark_path(place: str) -> str:
    """The place as Spark names it: unescaped, local ones with ``file:``, whatever the cluster's own file system."""
    scheme, rest = located(place)
    return f"{_HADOOPS.get(scheme, scheme)}://{rest}"


def next_place(place: str, number: int) -> str:
    """The place of a table by its number, where another key or other columns have made it another table: the first at its own."""
    return place if number == 1 else f"{place.rstrip('/')}{_NEXT}{number}"


def beside(place: str, recorded: str) -> str:
    """The place that was ``recorded`` of a table as it is now, whose declared ``place`` is given: that, or a next one."""
    then = posixpath.basename(recorded.rstrip("/"))
    found = None if then == posixpath.basename(place.rstrip("/")) else _A_NEXT.search(then)
    return place if found is None else f"{place.rstrip('/')}{found[0]}"


def refuse_overlaps(places: Mapping[str, str]) -> None:
    """Raise ``UserError`` where two of the places, by the names that people have for them, are one or one lies within the other.

    VACUUM and whoever empties a table's folder would take what lies in it.
    """
    at = {name: resolved(place) for name, place in places.items()}
    for name, other in permutations(at, 2):
        if at[name] == at[other]:
            raise UserError(
                f"{other} and {name} are both {places[name]}, expected a place of its own for every table: "
                f"set {other} to another path."
            )
        if at[name].startswith(at[other].rstrip("/") + "/"):
            raise UserError(
                f"{name} is {places[name]}, within {other}, {places[other]}, expected a place of its own for every table: "
                f"set {other} to another path."
            )


def overlap(place: str, other: str) -> bool:
    """Whether the two are one place, or one lies within the other."""
    one, two = (f"{resolved(each).rstrip('/')}/" for each in (place, other))
    return one.startswith(two) or two.startswith(one)


def seen_from(now: str, place: str, then: str) -> str:
    """Where a place is that was moved along with a table, from ``then`` to ``now``; unchanged where it is in another store than ``then``."""
    (root, path), (root_then, path_then), (root_now, path_now) = map(_store_and_path, (place, then, now))
    if root != root_then or (root_now, path_now) == (root_then, path_then):
        return place
    moved = posixpath.normpath(posixpath.join(path_now, posixpath.relpath(path, path_then)))
    return f"{root_now}{quote(moved)}" if root_now else moved


def _store_and_path(place: str) -> tuple[str, str]:
    """The store of a place, empty for this machine, and the path in it."""
    scheme, path = located(place)
    if scheme == "file":
        return "", path
    bucket, _, key = path.partition("/")
    return f"{_ONE_STORE.get(scheme.lower(), scheme)}://{bucket}", f"/{key.lstrip('/')}"
