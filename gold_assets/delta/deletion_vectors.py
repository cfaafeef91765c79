"""Deletion vectors: the positions of the rows of a file that are hidden, as Delta's protocol keeps them.

https://github.com/delta-io/delta/blob/master/PROTOCOL.md#deletion-vector-format. In a file, or in the log itself, is a magic number
and a 64-bit Roaring bitmap in its portable form.
"""

import functools
import struct
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable
from pyroaring import BitMap64

from gold_assets.delta.delta_rs_internals import files_of

_MAGIC = 1681511377
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_VERSION = b"\x01"
_UUID_CHARACTERS = 20


def relative_path(encoded: str) -> str:
    """The path of a vector's file below its table: a prefix, and 20 characters that are a UUID."""
    prefix, name = encoded[:-_UUID_CHARACTERS], encoded[-_UUID_CHARACTERS:]
    name = f"deletion_vector_{uuid.UUID(bytes=_from_z85(name))}.bin"
    return f"{prefix}/{name}" if prefix else name


def positions(table: DeltaTable, vector: Mapping[str, Any] | None) -> BitMap64:
    """Which rows of a file of ``table`` a vector hides, counted from 0, as an action of the log names it; none where it names none.

    Raises ``OSError`` or ``DeltaError`` where it cannot be read, ``ValueError`` where it is of a form that Delta's protocol does not have.
    """
    if vector is None:
        return BitMap64()
    size, place = vector["sizeInBytes"], vector["pathOrInlineDv"]
    if vector["storageType"] == "i":
        data = _from_z85(place)[:size]
    else:
        files, path = files_of(table), relative_path(place) if vector["storageType"] == "u" else place
        if vector["storageType"] == "p":
            root, path = unquote(place).rsplit("/", 1)
            files = files_of(root)
        with files.open_input_file(path) as file:
            file.seek((vector.get("offset") or 0) + 4)
            data = file.read(size)
    if len(data) != size or struct.unpack("<I", data[:4]) != (_MAGIC,):
        raise ValueError(f"the deletion vector {place} of {table.table_uri} is none that Delta's protocol has")
    return BitMap64.deserialize(data[4:])


def written(hidden: BitMap64, folder: Path) -> dict[str, Any]:
    """A vector that hides these rows, in a file of a local folder, as an action names it."""
    hidden.run_optimize()
    data = struct.pack("<I", _MAGIC) + hidden.serialize()
    path = folder / f"deletion_vector_{uuid.uuid4()}.bin"
    path.write_bytes(_VERSION + struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data)))
    place = {"storageType": "p", "pathOrInlineDv": path.as_uri(), "offset": len(_VERSION)}
    return {**place, "sizeInBytes": len(data), "cardinality": len(hidden)}


def _from_z85(text: str) -> bytes:
    """Bytes of which five characters of Z85 stand for four each."""
    numbers = (
        functools.reduce(lambda n, digit: n * 85 + _Z85.index(digit), text[at : at + 5], 0)
        for at in range(0, len(text), 5)
    )
    return b"".join(struct.pack(">I", number) for number in numbers)
