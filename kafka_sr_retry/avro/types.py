"""The types of a schema, their names resolved, and what Python types each is written from, as fastavro has it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
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

_PASSED_BY = frozenset(("int", "enum", "fixed"))
"""Branches that fastavro passes by for some values of their Python types."""

DIGITS = 10_000
"""Exponent of a ``Decimal`` for bytes or a whole number: fastavro writes out what ``1E+999999999`` stands for."""

LARGEST = 150_000
"""Characters of a function that is still compiled."""

WIDE = 16
"""Fields of a record from which on one call gets them all: no faster, but quicker compiled."""

LONG = 128
"""Fields of a schema beyond which it is made of loops and functions, which cost a message a little: to compile a
thousand fields one by one would hold up all other threads for a tenth of a second."""

LOOP = 8
"""Fields of one type in a record for a loop."""

SHORT = 3
"""Integers in a map that are fastavro's, whose C writes large ones in half the time."""

MANY = 256
"""Texts in an array, or what a map holds, that are fastavro's: it copies them no slower."""

RUN = 4
"""Fields of one type, one behind another, that are written as if they were an array."""

NESTED = 16
"""Arrays and maps within one another that are given to fastavro."""

OWN = 4
"""Fields of a record for a function."""

_WHOLE, _FLOATS = ("int", "long"), ("float", "double")

_OF_A_PART = frozenset((*_WHOLE, *_FLOATS, "string", "bytes", "boolean"))

_HOLDERS = frozenset(("record", "array", "map"))

_WORDS = frozenset((*_TAKES, "union", "error", "error_union", "request"))


class Unsuitable(Exception):  # noqa: N818
    """The schema is better left to fastavro."""


@dataclass(eq=False)
class Type:
    """A type of the schema, its names resolved.

    It has no ``cached_property``: until Python 3.12 that has a lock, which a fork could leave held in the child.

    Attributes:
        kind: ``union``, ``record`` for errors too, or the Avro type.
        schema: as parsed.
        inner: types of its fields, items, values or branches.
        logical: fastavro's name of its logical type, where it has a writer for it.
        uses: how often a record stands in the schema.
        is_apart: whether a record has a function of its own wherever it stands.
        in_union: whether a record stands within a union somewhere, however deep.
        nullable: the other branch of a union with null, where that is written as one expression of a checked type.
    """

    kind: str
    schema: Any
    inner: list[Type] = field(default_factory=list)
    logical: str = ""
    uses: int = 1
    is_apart: bool = False
    in_union: bool = False
    nullable: Type | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        kinds = [branch.kind for branch in self.inner] if self.kind == "union" else []
        if len(kinds) == 2 and "null" in kinds:
            other = self.inner[1 - kinds.index("null")]
            if other.is_plain and other.kind not in ("null", "fixed"):
                self.nullable = other

    @property
    def takes(self) -> tuple[type, ...]:
        nullable = self.nullable
        return _TAKES[self.kind] if nullable is None else (type(None), *nullable.takes)

    @property
    def is_plain(self) -> bool:
        """Whether a value's type is all that is to be checked before it is written."""
        return self.kind not in _HOLDERS and self.kind != "union" and not self.logical

    @property
    def is_exact(self) -> bool:
        """The same, or that of a union with null."""
        return self.is_plain or self.nullable is not None

    @property
    def holds(self) -> bool:
        """Whether it holds other types, whose pieces are added to ``p``."""
        return self.kind in _HOLDERS or (self.kind == "union" and any(branch.kind in _HOLDERS for branch in self.inner))

    @property
    def fastavros_from(self) -> int | None:
        """How many items an array or map has from which on fastavro writes it as fast."""
        if self.kind not in ("array", "map"):
            return None
        items = self.inner[0]
        if items.kind in ("array", "map"):
            return 0 if items._holds_plain(2) else None
        if items.logical:
            return None
        if items.kind in _WHOLE:
            return SHORT
        return MANY if items.kind == "string" or (self.kind == "map" and items.kind in _FLOATS) else None

    def _holds_plain(self, depth: int) -> bool:
        """Where arrays of floats are whole vectors, Python is faster."""
        items = self.inner[0]
        if items.kind in ("array", "map"):
            return depth < NESTED and items._holds_plain(depth + 1)
        is_vector = self.kind == "array" and items.kind in _FLOATS
        return items.kind in _OF_A_PART and not items.logical and not is_vector

    @property
    def is_run(self) -> bool:
        """Whether fastavro writes fields of it faster as an array."""
        return (self.kind in _WHOLE and not self.logical) or (self.kind in ("array", "map") and self._holds_plain(1))

    def runs(self) -> list[range]:
        """Places of a record's fields that are such a run."""
        found, start = list[range](), 0
        alike = ["long" if each.kind in _WHOLE and not each.logical else each.shape for each in self.inner]
        for place in range(1, len(alike) + 1):
            if place == len(alike) or alike[place] != alike[start]:
                if place - start >= RUN and self.inner[start].is_run:
                    found.append(range(start, place))
                start = place
        return found

    @property
    def are_longs(self) -> bool:
        return self.kind == "array" and self.inner[0].kind in _WHOLE and not self.inner[0].logical

    @property
    def is_function(self) -> bool:
        """Whether a record has a function of its own, which checks everything."""
        return self.kind == "record" and (self.uses > 1 or self.is_apart)

    @property
    def shape(self) -> Hashable:
        """Equal for types that are written alike."""
        if self.kind == "union":
            return "union", *(branch.shape for branch in self.inner)
        if self.kind in ("array", "map"):
            return self.kind, self.inner[0].shape
        if self.kind == "record":
            fields = zip(self.schema["fields"], self.inner, strict=True)
            shapes = ((each["name"], kind.shape) for each, kind in fields)
            return self.schema["name"] if self.uses > 1 else ("record", *shapes)
        return (self.kind, repr(self.schema)) if self.logical or self.kind in ("enum", "fixed") else self.kind


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
                if any(record.schema[key] != schema[key] for key in ("type", "fields")):
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

    def are_long(self) -> bool:
        """Whether their function is to be made of loops."""
        return sum(len(record.inner) for record in self.records.values()) > LONG

    def mark(self, whole: Type) -> None:
        """Tells the records that stand within a union."""
        left, seen = [(whole, False)], set[tuple[int, bool]]()
        while left:
            kind, within = left.pop()
            if (id(kind), within) not in seen:
                seen.add((id(kind), within))
                kind.in_union = kind.in_union or (within and kind.kind == "record")
                left += [(each, within or kind.kind == "union") for each in kind.inner]


def branches(union: Type) -> dict[type, list[int]]:
    """The branches that fastavro may write, for each exact Python type, in its order; none where that is not known.

    The first that fits is written; where all are records, that of them with most of the value's keys.
    """
    if any(branch.kind == "union" for branch in union.inner):
        raise Unsuitable("a union in a union")
    takers: dict[type, list[int]] = {}
    names = [
        branch.logical or (branch.schema["type"] if branch.kind == "record" else branch.kind) for branch in union.inner
    ]
    written = [branch.takes + ((OBJECTS[branch.logical],) if branch.logical else ()) for branch in union.inner]
    for index, name in enumerate(names):
        for python_type in written[index] + _TAKES_TOO.get(name, ()):
            taken = takers.setdefault(python_type, [])
            before = names[taken[-1]] if taken else ""
            if before == "float" and name == "double":  # which is preferred, wherever it stands
                taken[-1] = index
            elif before != "float" and before not in _TAKES_ALL:
                taken.append(index)
    known: dict[type, list[int]] = {}
    for python_type, indices in takers.items():
        *before, last = [names[index] for index in indices]
        if python_type in written[indices[-1]]:
            is_known = _PASSED_BY.issuperset(before) or {*before, last} == {"record"}
            known[python_type] = indices if is_known else []
        elif before:
            known[python_type] = []
    return known


def decided(union: Type) -> dict[type, int]:
    """The index of the branch that fastavro writes, for each exact Python type."""
    taken = branches(union)
    if not taken or any(len(indices) != 1 for indices in taken.values()):
        raise Unsuitable("a union that no exact type decides")
    return {python_type: index for python_type, [index] in taken.items()}


def _logical(schema: Mapping[str, Any]) -> str:
    """fastavro's name of a logical type for which it has a writer of its own, else nothing."""
    name = f"{schema['type']}-{schema.get('logicalType')}"
    writer = LOGICAL_WRITERS.get(name)
    if writer is not None and not (name in OBJECTS and str(writer.__module__).startswith("fastavro.")):
        raise Unsuitable(f"the logical type {name}, which somebody has given fastavro a writer for")
    return name if writer else ""
