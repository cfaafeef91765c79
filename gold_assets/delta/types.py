"""Delta's types by their names."""

from deltalake import Field
from deltalake.schema import ArrayType, PrimitiveType


def type_name(field: Field) -> str:
    """The type as Delta names it: ``decimal(28,4)``, ``array<string>`` and so on; JSON for other nested types."""
    if isinstance(field.type, PrimitiveType):
        return field.type.type
    if isinstance(field.type, ArrayType) and isinstance(field.type.element_type, PrimitiveType):
        return f"array<{field.type.element_type.type}>"
    return field.type.to_json()
