"""Delta's types: their names, what is within them, and what each can become."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deltalake import Field
from deltalake.schema import ArrayType, MapType, PrimitiveType, StructType, VariantType

Type = PrimitiveType | StructType | ArrayType | MapType | VariantType

CHAR_TYPE = "__CHAR_VARCHAR_TYPE_STRING"
"""Where a column's metadata has what Spark declared it as, whose text is a string to Delta."""

PHYSICAL_NAME = "delta.columnMapping.physicalName"
"""Where a column's metadata has its name in the files, where that is another."""

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_INTEGERS = {"byte": 3, "short": 5, "integer": 10, "long": 19}
"""By type, the digits of its largest number."""


def physical_name(name: str, metadata: Mapping[str, Any]) -> str:
    """What logs, files and paths call a column of this name and metadata: another name where columns are mapped."""
    return str(metadata.get(PHYSICAL_NAME, name))


def type_name(field: Field) -> str:
    """The type as Delta names it: ``decimal(28,4)``, ``array<string>`` and so on; JSON for other nested types."""
    if isinstance(field.type, PrimitiveType):
        return field.type.type
    if isinstance(field.type, ArrayType) and isinstance(field.type.element_type, PrimitiveType):
        return f"array<{field.type.element_type.type}>"
    return plain(field.type).to_json()


def plain(type: Type) -> Type:
    """The type with what it holds and no more: any part may be NULL, and no feature of Delta says anything of one."""
    if isinstance(type, StructType):
        return StructType([Field(field.name, plain(field.type)) for field in type.fields])
    if isinstance(type, ArrayType):
        return ArrayType(plain(type.element_type))
    if isinstance(type, MapType):
        return MapType(plain(type.key_type), plain(type.value_type))
    return type


def parts(type: Type) -> Iterator[str]:
    """The names of the plain types that it is made of."""
    if isinstance(type, StructType):
        for field in type.fields:
            yield from parts(field.type)
    elif isinstance(type, ArrayType):
        yield from parts(type.element_type)
    elif isinstance(type, MapType):
        yield from parts(type.key_type)
        yield from parts(type.value_type)
    elif isinstance(type, PrimitiveType):
        yield type.type


def can_become(type: Type, other: Type, *, widened: bool = True) -> bool:
    """Whether each value of the type is one of the other: the same, a struct with more fields at its end, or, if ``widened``, a wider one."""
    if isinstance(type, StructType) and isinstance(other, StructType):
        first = other.fields[: len(type.fields)]
        return len(first) == len(type.fields) and all(
            old.name == new.name and can_become(old.type, new.type, widened=widened)
            for old, new in zip(type.fields, first, strict=True)
        )
    if isinstance(type, ArrayType) and isinstance(other, ArrayType):
        return can_become(type.element_type, other.element_type, widened=widened)
    if isinstance(type, MapType) and isinstance(other, MapType):
        return can_become(type.key_type, other.key_type, widened=widened) and can_become(
            type.value_type, other.value_type, widened=widened
        )
    if isinstance(type, PrimitiveType) and isinstance(other, PrimitiveType):
        return type.type == other.type or (widened and _is_wider(type.type, other.type))
    return type == other


def _is_wider(name: str, other: str) -> bool:
    if name in _INTEGERS:
        if other == "double":
            return name != "long"
        if other in _INTEGERS:
            return _INTEGERS[other] > _INTEGERS[name]
    digits, wider = _digits(name), _digits(other)
    if digits is not None and wider is not None:
        return wider[0] >= digits[0] and wider[1] >= digits[1]
    return (name, other) in (("float", "double"), ("date", "timestamp_ntz"))


def _digits(name: str) -> tuple[int, int] | None:
    """Of a decimal, and of an integer as one, the digits before the point and after it."""
    if name in _INTEGERS:
        return _INTEGERS[name] + (name == "long"), 0
    found = _DECIMAL.fullmatch(name)
    return None if found is None else (int(found[1]) - int(found[2]), int(found[2]))
