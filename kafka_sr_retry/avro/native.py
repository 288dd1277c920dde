"""A schema as a program for the native writer, whose contract is that of the compiled Python function.

It takes more than that: missing keys that have a default, tuples, objects with attributes, classes of
``str`` and ``int``, unions whose branch the value decides and not its type alone. What it writes is what fastavro
writes, too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from datetime import date, datetime, time, timezone
from typing import Any
from uuid import UUID

from fastavro.write import LOGICAL_WRITERS

from ._native import Program
from .attributes import are_fields
from .types import OBJECTS, Type, Types, Unsuitable, branches

_OPS = {
    name: number
    for number, name in enumerate(
        ("null", "boolean", "int", "long", "float", "double", "string", "bytes", "fixed", "enum")
        + ("array", "map", "record", "union", "logical", "date", "time", "moment", "decimal", "uuid")
    )
}

_Node = tuple[int, bool, int, tuple[Any, ...], tuple[int, ...], tuple[int, ...]]
"""(op, whether it is within a union, or an enum in it, size, objects, numbers of nodes, other numbers)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_OF_OBJECTS, _OF_TEXTS = OBJECTS.keys() - {"string-uuid"}, {"int-date"}
"""Logical types at which fastavro may raise for an object, or a text, that is none of theirs."""

_MOST = 1 << 16
"""Precision and scale of a decimal that may be the native writer's."""


def program(schema: Any, named: Mapping[str, Any]) -> Program:
    """What writes values of a schema.

    Args:
        schema: as ``fastavro.parse_schema`` gives it; a list for a union.
        named: its named types, parsed too.

    Raises:
        Unsuitable: the schema is odd, or has a union that is not decided for any type.
    """
    try:
        return Program(tuple(_Nodes(schema, named).all), are_fields)
    except Unsuitable:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Unsuitable(f"{type(error).__name__}: {error}") from error


class _Nodes:
    """The nodes of a schema, as they are found; the whole schema's is the first."""

    def __init__(self, schema: Any, named: Mapping[str, Any]) -> None:
        self.all: list[_Node] = []
        self._records: dict[str, int] = {}
        whole = Types(named).of(schema)
        self._add(whole, within=False)

    def _add(self, kind: Type, *, within: bool) -> int:
        """The number of a type's node.

        Args:
            within: a union: fastavro looks for hints in all records of its branches.
        """
        if kind.uses > 1:  # it may hold itself
            if kind.schema["name"] in self._records:
                return self._records[kind.schema["name"]]
            within = True
            self._records[kind.schema["name"]] = len(self.all)
        at = len(self.all)
        self.all.append((0, within, 0, (), (), ()))
        self.all[at] = self._logical(kind) if kind.logical else self._node(kind, within)
        return at

    def _logical(self, kind: Type) -> _Node:
        schema, of, is_millis = kind.schema, OBJECTS[kind.logical], kind.logical.endswith("-millis")
        objects: list[Any] = [of, LOGICAL_WRITERS[kind.logical], schema]
        op, numbers = "logical", tuple[int, ...]()
        if of is UUID:
            op = "uuid"
        elif of is date:
            op = "date"
        elif of is time:
            op, numbers = "time", (is_millis,)
        elif of is datetime:
            is_local = kind.logical.startswith("long-local-")
            op, numbers = "moment", (is_millis, is_local)
            objects.append(_EPOCH.replace(tzinfo=None) if is_local else _EPOCH)
        else:
            given = schema["precision"], schema.get("scale", 0)
            if all(type(number) is int and 0 <= number < _MOST for number in given):
                op, numbers = "decimal", given
        base = self._add(Type(kind.kind, schema), within=False)
        return _OPS[op], False, 0, tuple(objects), (base,), numbers

    def _node(self, kind: Type, within: bool) -> _Node:
        op = _OPS[kind.kind]
        match kind.kind:
            case "fixed":
                return op, within, kind.schema["size"], (), (), ()
            case "enum":
                symbols = {symbol: index for index, symbol in reversed(list(enumerate(kind.schema["symbols"])))}
                return op, within, 0, (symbols,), (), ()
            case "array" | "map":
                return op, within, 0, (), (self._add(kind.inner[0], within=within),), ()
            case "record":
                names = tuple(field["name"] for field in kind.schema["fields"])
                defaults = tuple(_default(field) for field in kind.schema["fields"])
                inner = tuple(self._add(each, within=within) for each in kind.inner)
                return op, within, len(names), (*names, *defaults), inner, ()
            case "union":
                return self._union(kind)
        return op, within, 0, (), (), ()

    def _union(self, union: Type) -> _Node:
        known = branches(union)
        if not _are_told_apart([union.inner[index] for index in known.get(dict, ())]):
            known[dict] = []
        taken = [(python_type, index) for python_type, indices in known.items() for index in indices]
        if not taken:
            raise Unsuitable("a union that no exact type decides")
        objects: list[type | None] = [python_type for python_type, _ in taken]
        numbers = [index for _, index in taken]
        records = [index for index, branch in enumerate(union.inner) if branch.kind in ("record", "map")]
        if len(records) == 1 and union.inner[records[0]].kind == "record":
            objects.append(None)  # for objects with attributes
            numbers.append(records[0])
        added = {index: self._add(union.inner[index], within=True) for index in dict.fromkeys(numbers)}
        inner = tuple(added[index] for index in numbers)
        has_enum = any(branch.kind == "enum" for branch in union.inner)
        return _OPS["union"], has_enum, len(objects), tuple(objects), inner, tuple(numbers)


def _are_told_apart(records: Sequence[Type]) -> bool:
    """Whether fastavro's look at one record never ends in an error for a dict that is another's, without more keys."""
    if len(records) < 2:
        return True
    fields = [dict(zip([each["name"] for each in one.schema["fields"]], one.inner, strict=True)) for one in records]
    if any(len(types) < len(one.inner) for types, one in zip(fields, records, strict=True)):
        return False
    for one, types in zip(records, fields, strict=True):
        defaults = {each["name"]: each.get("default") for each in one.schema["fields"]}
        texts = [name for name, default in defaults.items() if isinstance(default, (str, list, dict))]
        if any(_holds(types[name], _OF_TEXTS, set()) for name in texts):
            return False
    alike: dict[str, dict[Hashable, Type]] = {}
    for types in fields:
        for name, kind in types.items():
            alike.setdefault(name, {})[kind.shape] = kind
    return not any(
        _holds(kind, _OF_OBJECTS, set()) for kinds in alike.values() if len(kinds) > 1 for kind in kinds.values()
    )


def _holds(kind: Type, logical: Set[str], seen: set[int]) -> bool:
    """Whether it is, or holds, one of these logical types."""
    if id(kind) in seen:
        return False
    seen.add(id(kind))
    return kind.logical in logical or any(_holds(each, logical, seen) for each in kind.inner)


def _default(field: Mapping[str, Any]) -> Any:
    """What fastavro writes where the key is missing; ``...`` for an error."""
    if "default" in field:
        return field["default"]
    return None if "null" in field["type"] else ...
