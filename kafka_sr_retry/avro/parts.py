"""What is fastavro's: a whole value, or a part of one within a compiled function."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from itertools import chain
from math import gcd
from operator import countOf
from typing import Any

from fastavro import parse_schema, schemaless_writer

from .types import Type

WriteData = Callable[[bytearray, Any, Any, Mapping[str, Any], str, Mapping[str, bool]], None]
"""(what it adds to, value, schema as parsed, named types, nothing, options)."""


class Other(Exception):  # noqa: N818
    """A part of the value is not for the compiled function, so the whole is not."""


SURPRISES = (Other, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error)
"""What a value raises that is not for the compiled function. Anything else may be a signal handler's."""


def _by_file(
    out: bytearray, value: Any, schema: Any, named: Mapping[str, Any], _: str, options: Mapping[str, bool]
) -> None:
    file = BytesIO()
    schemaless_writer(file, schema, value, **options)
    out += file.getvalue()


def _write_data() -> WriteData:
    """What fastavro writes types within others with. It spares a parsed schema's look-up and a file's copies; its
    public function does where it is not the one that is known."""
    expected, value = b"x\2a\2\3\0", {"a": "a", "b": [-2]}
    fields = [{"name": "a", "type": "string"}, {"name": "b", "type": {"type": "array", "items": "long"}}]
    out = bytearray(b"x")
    try:
        from fastavro._write import write_data  # type: ignore[attr-defined]

        write_data(out, value, {"type": "record", "name": "R", "fields": fields}, {}, "", {})
    except Exception:  # noqa: BLE001 it has no promise of being there, or as it was
        return _by_file
    return write_data if out == expected else _by_file


write_data = _write_data()

NONE: dict[str, Any] = {}

WHOLE = parse_schema({"type": "array", "items": "int"})
"""fastavro writes a long alike, whatever its size, and asks for this first."""

refuse_decimals = partial(gcd, 1)
"""Of integers it has nothing to find out. It takes no ``Decimal``, which may stand for more digits than there is memory
for, and no float."""


def written(value: Any, schema: Any) -> bytearray:
    """By fastavro, for a schema without names."""
    out = bytearray()
    write_data(out, value, schema, NONE, "", NONE)
    return out


def part_of(kind: Type) -> Callable[[Any], bytearray]:
    """The function that writes a type's values by fastavro, for which see ``Type.fastavros_from``. A tuple may stand
    for an array. What fastavro would not take at once is found first, by few calls.
    """
    depth, whole = 0, kind
    while whole.kind == "array":
        depth, whole = depth + 1, whole.inner[0]
    if whole.kind in ("int", "long"):
        return lambda value: _write_whole([*value], depth)
    schema, held = parse_schema(_bare(kind)), kind.inner[0]
    levels: list[tuple[type, Callable[[Any], Any]]] = []
    while held.inner:
        levels.append((list, _flat) if held.kind == "array" else (dict, _flat_values))
        held = held.inner[0]
    are_whole = held.kind in ("int", "long")

    def write_map(value: dict[str, int]) -> bytearray:
        refuse_decimals(*value.values())
        out = bytearray()
        write_data(out, value, schema, NONE, "", NONE)
        return out

    if are_whole and not levels:
        return write_map

    def write_part(value: Any) -> bytearray:
        inner = value.values() if type(value) is dict else value
        for number, (python_type, flat) in enumerate(levels):
            if number:
                inner = [*inner]
            if countOf(map(type, inner), python_type) != len(inner):
                raise Other
            inner = flat(inner)
        if are_whole:
            refuse_decimals(*inner)
        return written(value, schema)

    return write_part


def _write_whole(value: Any, depth: int) -> bytearray:
    """Arrays of arrays of integers. Sizes and ends are integers too, so that all is one array."""
    flat: list[int] = []
    _flatten([value], depth, flat)
    refuse_decimals(*flat)
    return written(flat, WHOLE)[_size(len(flat)) : -1]


def _flatten(arrays: Iterable[Any], depth: int, flat: list[int]) -> None:
    for array in arrays:
        if type(array) is not list:
            raise Other
        items = array.copy()  # another thread may change it between its size and its items
        if items:
            flat.append(len(items))
            if depth > 1:
                _flatten(items, depth - 1, flat)
            else:
                flat += items
        flat.append(0)


def _size(number: int) -> int:
    return max(number.bit_length(), 1) // 7 + 1


_flat = chain.from_iterable


def _flat_values(maps: list[dict[str, Any]]) -> Any:
    return _flat(map(dict.values, maps))


def _bare(kind: Type) -> Any:
    if not kind.inner:
        return "int" if kind.kind == "long" else kind.kind
    return {"type": kind.kind, "items" if kind.kind == "array" else "values": _bare(kind.inner[0])}
