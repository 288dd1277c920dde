"""What the functions of all schemas share: tables of numbers, and small functions that write them."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from operator import countOf
from typing import Any

from kafka_sr_retry.errors import AvroEncodingError

from .parts import NONE, SURPRISES, WHOLE, Other, refuse_decimals, write_data, written

NO = b"\0"

LARGE = 1 << 27
"""Integers from here on are fastavro's, where several are together."""

FEW = 8
"""Integers in an array that are looked up one by one."""


def varint(number: int) -> bytes:
    """Avro's variable-length zig-zag integer (Avro 1.12 specification, binary encoding)."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_scopes: dict[str, dict[str, Any]] = {}


def shared_scope() -> dict[str, Any]:
    """The globals of functions that need none of their own: always the same dict, made when it is asked for."""
    return _scopes.get("shared") or _scopes.setdefault("shared", _scope())


def shared_set(*types: type) -> str:
    """The name of a constant in it that holds these of Python's own types."""
    name = "_OR_".join(python_type.__name__.upper() for python_type in types)
    shared_scope().setdefault(name, frozenset(types))
    return name


def number_of(kind: str, value: str) -> str:
    return f"T[{value}] if -8192 <= {value} < 8192 else write_{kind}({value})"


def run_of(first: str, last: str, one_by_one: str, by_fastavro: str) -> str:
    """An expression for integers of which the first and last tell how large all are."""
    return f"{one_by_one} if -8192 <= {first} < {LARGE} and -8192 <= {last} < {LARGE} else {by_fastavro}"


def not_all(items: str, held_by: str, types: tuple[type, ...]) -> str:
    """Whether not all of these items have one of the types, as an expression."""
    if types[0].__module__ == "builtins" and types[0] is not type(None) and len(types) == 1:
        return f"count_of(map(type, {items}), {types[0].__name__}) != len({held_by})"  # in half the time
    return f"not {shared_set(*types)}.issuperset(map(type, {items}))"


def _scope() -> dict[str, Any]:
    """Varints are put together from tables of two bytes."""
    low = bytes(range(128, 256)) * 128
    more = _pairs(low, b"".join(bytes((high | 128,)) * 128 for high in range(128)))
    last = _pairs(low, b"".join(bytes((high,)) * 128 for high in range(128)))
    last[:128] = [bytes((z,)) for z in range(128)]
    even = more[0::2]
    small = (*last[0::2], *last[:0:-2])  # 0 .. 8191, and -8192 .. -1 by their negative indices
    join = b"".join

    def write_long(number: int) -> bytes | bytearray:
        """One that is not small."""
        if 8192 <= number < 1 << 41:
            if number < 1 << 27:
                return even[number & 8191] + last[number >> 13]
            return even[number & 8191] + more[number >> 13 & 16383] + last[number >> 27]  # times, mostly
        return written(number, "int")

    def write_int(number: int) -> bytes | bytearray:
        if -(1 << 31) <= number < 1 << 31:
            return write_long(number)
        raise OverflowError

    def write_longs(numbers: Sequence[int]) -> bytes | bytearray:
        """An array. fastavro writes many or large ones faster, and many small ones from an ``array``."""
        size = len(numbers)
        if not size:
            return NO
        first, last = numbers[0], numbers[-1]
        if type(first) is type(last) is int and -8192 <= first < 8192 and -8192 <= last < 8192:
            if countOf(map(type, numbers), int) != size:
                raise Other
            if size < FEW:
                pieces = [small[i] if -8192 <= i < 8192 else write_long(i) for i in numbers]
                return join([small[len(pieces)], *pieces, NO])
            numbers = array("q", numbers)
        else:
            refuse_decimals(*numbers)
        out = bytearray()  # as ``written`` does, without a call
        write_data(out, numbers, WHOLE, NONE, "", NONE)
        return out

    def write_run(numbers: tuple[int, ...], start: int) -> bytearray:
        """Large ones, as an array without its size of ``start`` bytes and its end."""
        return written(numbers, WHOLE)[start:-1]

    return {
        "T": small,
        "write_long": write_long,
        "write_int": write_int,
        "write_longs": write_longs,
        "write_run": write_run,
        "count_of": countOf,
        "pack": struct.pack,
        "pack_float": struct.Struct("<f").pack,
        "pack_double": struct.Struct("<d").pack,
        "join": join,
        "YES": b"\1",
        "NO": NO,
        "Other": Other,
        "AvroEncodingError": AvroEncodingError,
        "SURPRISES": SURPRISES,
    }


def _pairs(first: bytes, second: bytes) -> list[bytes]:
    both = bytearray(2 * len(first))
    both[0::2], both[1::2] = first, second
    return [pair for (pair,) in struct.iter_unpack("2s", both)]
