"""Objects that hold their fields as attributes, as dicts: dataclasses, attrs and pydantic, at any depth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any


def as_record(value: Any) -> Any:
    """``value`` with each such object as a dict by its field names; ``value`` itself where there is none."""
    names = _field_names(value)
    if names is not None:
        return {name: as_record(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        converted = {key: as_record(item) for key, item in value.items()}
        return value if all(converted[key] is value[key] for key in converted) else converted
    if type(value) in (list, tuple):
        items = [as_record(item) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
    return value


def _field_names(value: Any) -> Iterable[str] | None:
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__]
    # pydantic 2's and 1's; 2 warns of the older one
    fields = kind.model_fields if hasattr(kind, "model_fields") else getattr(kind, "__fields__", None)
    return list(fields) if isinstance(fields, Mapping) else None
