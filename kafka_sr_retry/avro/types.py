"""The types of a schema, their names resolved, and what Python types each is written from, as fastavro has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from fastavro.write import LOGICAL_WRITERS

_TAKES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "string": (str,),
    "enum": (str,),
    "bytes": (bytes,),
    "fixed": (bytes,),
    "array": (list,),
    "map": (dict,),
    "record": (dict,),
}
"""The exact Python types that are written for a type."""

OBJECTS: dict[str, type] = {
    "int-date": date,
    "int-time-millis": time,
    "long-time-micros": time,
    "long-timestamp-millis": datetime,
    "long-timestamp-micros": datetime,
    "long-local-timestamp-millis": datetime,
    "long-local-timestamp-micros": datetime,
    "string-uuid": UUID,
    "bytes-decimal": Decimal,
    "fixed-decimal": Decimal,
}
"""The objects that are written as logical types, by fastavro's names of these."""

_TAKES_TOO: dict[str, tuple[type, ...]] = {"array": (bytes,), "int-date": (datetime, str)}
"""What fastavro takes for a union's branch besides: bytes as an array of integers, a date's text."""

_TAKES_ALL = frozenset(("null", "boolean", "long", "double", "string", "bytes"))
"""Branches that fastavro takes for every value of their Python types, but for numbers that no branch takes."""

_HOLDERS = frozenset(("record", "array", "map"))

_WORDS = frozenset((*_TAKES, "union", "error", "error_union", "request"))


class Unsuitable(Exception):  # noqa: N818
    """The schema is better left to fastavro."""


@dataclass(eq=False)
class Type:
    """A type of the schema, its names resolved.

    Nothing is cached: until Python 3.12 ``cached_property`` has a lock, which a fork could leave held in the child.

    Attributes:
        kind: ``union``, ``record`` for errors too, or the Avro type.
        schema: as parsed.
        inner: types of its fields, items, values or branches.
        logical: fastavro's name of its logical type, where it has a writer for it.
        uses: how often a record stands in the schema.
    """

    kind: str
    schema: Any
    inner: list[Type] = field(default_factory=list)
    logical: str = ""
    uses: int = 1

    @property
    def takes(self) -> tuple[type, ...]:
        return _TAKES[self.kind]

    @property
    def is_plain(self) -> bool:
        """Whether a value's type is all that is to be checked before it is written."""
        return self.kind not in _HOLDERS and self.kind != "union" and not self.logical

    @property
    def holds(self) -> bool:
        """Whether it holds other types, whose pieces are added to ``p``."""
        return self.kind in _HOLDERS or (self.kind == "union" and any(branch.kind in _HOLDERS for branch in self.inner))

    @property
    def is_function(self) -> bool:
        """Whether a record has a function of its own, which checks everything."""
        return self.kind == "record" and self.uses > 1

    @property
    def nullable(self) -> Type | None:
        """The other branch of a union with null, where that is written as one expression of a checked type."""
        if self.kind != "union" or len(self.inner) != 2:
            return None
        kinds = [branch.kind for branch in self.inner]
        if "null" not in kinds:
            return None
        other = self.inner[1 - kinds.index("null")]
        return other if other.is_plain and other.kind not in ("null", "fixed") else None


PRIMITIVES = {kind: Type(kind, kind) for kind in _TAKES.keys() - _HOLDERS - {"enum", "fixed"}}


class Types:
    """The types of one schema.

    Args:
        named: its named types, parsed.

    Attributes:
        records: by their names.

    Raises:
        Unsuitable: a type that is odd, or that somebody has given fastavro a writer for.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        if not named.keys().isdisjoint(_WORDS):
            raise Unsuitable("a type that is called like one of Avro's own")
        self._named = named
        self.records: dict[str, Type] = {}

    def of(self, schema: Any) -> Type:
        while True:
            if isinstance(schema, str) and schema in self._named:
                schema = self._named[schema]
            elif isinstance(schema, dict) and isinstance(schema["type"], (list, dict)):
                schema = schema["type"]
            else:
                break
        if isinstance(schema, list):
            return Type("union", schema, [self.of(branch) for branch in schema])
        if isinstance(schema, str):
            if schema not in PRIMITIVES:
                raise Unsuitable(f"type {schema}")
            return PRIMITIVES[schema]
        kind = "record" if schema["type"] == "error" else schema["type"]
        if kind not in _TAKES:
            raise Unsuitable(f"type {kind}")
        logical = _logical(schema)
        if kind == "record":
            record = self.records.get(schema["name"])
            if record is not None:
                if record.schema["fields"] != schema["fields"]:
                    raise Unsuitable(f"two records {schema['name']}")  # each in a reference of its own
                record.uses += 1
                return record
            record = self.records[schema["name"]] = Type(kind, schema)
            record.inner = [self.of(each["type"]) for each in schema["fields"]]
            return record
        if kind in _HOLDERS:
            return Type(kind, schema, [self.of(schema["items" if kind == "array" else "values"])])
        if (kind == "fixed" and type(schema["size"]) is not int) or (
            kind == "enum" and type(schema["symbols"]) is not list
        ):
            raise Unsuitable(f"an odd {kind}")
        return Type(kind, schema, logical=logical)


def branches(union: Type) -> dict[type, int]:
    """The index of the branch that fastavro writes, for each exact Python type."""
    if any(branch.kind == "union" for branch in union.inner):
        raise Unsuitable("a union in a union")
    takers: dict[type, list[int]] = {}
    names = [branch.logical or branch.kind for branch in union.inner]
    written = [branch.takes + ((OBJECTS[branch.logical],) if branch.logical else ()) for branch in union.inner]
    for index, name in enumerate(names):
        for python_type in written[index] + _TAKES_TOO.get(name, ()):
            takers.setdefault(python_type, []).append(index)
    if not takers or any(len(indices) > 1 and names[indices[0]] not in _TAKES_ALL for indices in takers.values()):
        raise Unsuitable("a union that no exact type decides")
    return {python_type: first for python_type, (first, *_) in takers.items() if python_type in written[first]}


def _logical(schema: Mapping[str, Any]) -> str:
    """fastavro's name of a logical type for which it has a writer of its own, else nothing."""
    name = f"{schema['type']}-{schema.get('logicalType')}"
    writer = LOGICAL_WRITERS.get(name)
    if writer is not None and not (name in OBJECTS and str(writer.__module__).startswith("fastavro.")):
        raise Unsuitable(f"the logical type {name}, which somebody has given fastavro a writer for")
    return name if writer else ""
