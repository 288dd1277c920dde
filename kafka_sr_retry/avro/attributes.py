"""Objects that hold their fields as attributes: dataclasses, attrs, pydantic 1 and 2."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

_NOTHING = object()

_T = TypeVar("_T")

_MOST = 512
"""Classes that something is known of: they may be made without end."""


def by_class(found: Callable[[type], _T], most: int = _MOST) -> Callable[[type], _T]:
    """Asks once for each class, told by what it is: a metaclass may call two of them equal."""
    known: dict[int, tuple[type, _T]] = {}

    def look(kind: type) -> _T:
        entry = known.get(id(kind))
        if entry is None:
            if len(known) >= most:
                known.clear()
            entry = known[id(kind)] = kind, found(kind)
        return entry[1]

    return look


class Attributes:
    """The names of an object's fields.

    Attributes:
        own: names that it was declared with, or was given besides (pydantic's extra fields).
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        kind = type(value)
        declared = _declared(kind)
        extra: Mapping[str, Any] = getattr(value, "__pydantic_extra__", None) or {}
        if _is_of_pydantic_1(kind):  # which keeps them with the fields
            extra = vars(value)
        self.own = list(dict.fromkeys((*(declared or ()), *extra)))
        self._extra = extra

    def attribute(self, name: str) -> str | None:
        """The attribute that holds a schema's field, ``None`` where there is none."""
        if name in self.own or name in getattr(self.value, "__dict__", ()) or self._is_managed(name):
            return name
        alias = _aliases(type(self.value)).get(name)
        return name if alias is None and self._is_of_class(name) else alias

    def read(self, name: str) -> Any:
        """An attribute's value. pydantic 2 keeps an extra field where a method of its name hides it."""
        if name in self._extra and not self._is_managed(name):
            return self._extra[name]
        return getattr(self.value, name)

    def _is_managed(self, name: str) -> bool:
        """Whether its class computes or keeps an attribute: a property, a slot, a column of an ORM."""
        found = self._in_class(name)
        return isinstance(found, cached_property) or (
            hasattr(type(found), "__get__") and hasattr(type(found), "__set__")
        )

    def _is_of_class(self, name: str) -> bool:
        """Whether all its class's objects share one value, such as a ``ClassVar``."""
        found = self._in_class(name)
        return found is not _NOTHING and not callable(found) and not hasattr(type(found), "__get__")

    def _in_class(self, name: str) -> Any:
        return next((vars(base)[name] for base in type(self.value).__mro__ if name in vars(base)), _NOTHING)


def is_record(kind: type) -> bool:
    return _declared(kind) is not None


def are_fields(kind: type, names: tuple[str, ...]) -> bool:
    """Whether all its objects hold these as attributes, and nothing else of them decides what is read."""
    declared = _declared(kind)
    if declared is None or not {*declared}.issuperset(names) or issubclass(kind, _NO_OBJECTS) or "-type" in names:
        return False
    return not (_is_of_pydantic_1(kind) or getattr(kind, "__pydantic_root_model__", False) or _may_hide(kind))


def _may_hide(kind: type) -> bool:
    """Whether an extra field of its objects may have the name of a declared one, whose value comes by an alias."""
    config, fields = getattr(kind, "model_config", None), _pydantic(kind)
    allows = isinstance(config, Mapping) and isinstance(fields, Mapping) and config.get("extra") == "allow"
    return allows and any(getattr(field, "validation_alias", None) for field in fields.values())


_NO_OBJECTS = (str, bytes, bytearray, int, float, array, Mapping, Sequence)
"""What some place of a schema takes for something else."""


def _found_fields(kind: type) -> list[str] | None:
    """Names of the fields that a class of such objects declares; ``None`` for other classes."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [attribute.name for attribute in kind.__attrs_attrs__]
    fields = _pydantic(kind)
    return list(fields) if isinstance(fields, Mapping) else None


_declared = by_class(_found_fields)


_is_of_pydantic_1 = by_class(lambda kind: "__fields__" in dir(kind) and not hasattr(kind, "model_fields"))


def _pydantic(kind: type) -> Any:
    """pydantic 2's fields and 1's; 2 warns of the older one."""
    return kind.model_fields if hasattr(kind, "model_fields") else getattr(kind, "__fields__", None)


def _found_aliases(kind: type) -> dict[str, str]:
    """Attributes by the names under which pydantic writes them."""
    fields = getattr(kind, "__pydantic_fields__", None) or _pydantic(kind)
    fields = {**fields} if isinstance(fields, Mapping) else {}
    computed = getattr(kind, "model_computed_fields", None)
    fields |= {**computed} if isinstance(computed, Mapping) else {}
    found = {
        getattr(field, "serialization_alias", None) or getattr(field, "alias", None): name
        for name, field in fields.items()
    }
    return {alias: name for alias, name in found.items() if isinstance(alias, str)}


_aliases = by_class(_found_aliases)
