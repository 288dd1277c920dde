"""What the functions of all schemas share: tables of numbers, and small functions that write them."""

from __future__ import annotations

import struct
from typing import Any

from kafka_sr_retry.errors import AvroEncodingError


class Other(Exception):  # noqa: N818
    """A record's own function has met a value that is ``other``'s."""


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


def _scope() -> dict[str, Any]:
    """Varints are put together from tables of two bytes."""
    low = bytes(range(128, 256)) * 128
    more = _pairs(low, b"".join(bytes((high | 128,)) * 128 for high in range(128)))
    last = _pairs(low, b"".join(bytes((high,)) * 128 for high in range(128)))
    last[:128] = [bytes((z,)) for z in range(128)]

    def write_long(number: int) -> bytes:
        z = number << 1 if number >= 0 else ~(number << 1)
        if z < 1 << 28:
            return more[z & 16383] + last[z >> 14] if z >> 14 else last[z]
        if z < 1 << 42:
            return more[z & 16383] + more[z >> 14 & 16383] + last[z >> 28]
        if z >= 1 << 64:
            raise OverflowError
        start = more[z & 16383] + more[z >> 14 & 16383] + more[z >> 28 & 16383]
        return start + last[z >> 42] if z < 1 << 56 else start + more[z >> 42 & 16383] + last[z >> 56]

    def write_int(number: int) -> bytes:
        if -(1 << 31) <= number < 1 << 31:
            return write_long(number)
        raise OverflowError

    return {
        "T": (*last[0::2], *last[:0:-2]),  # 0 .. 8191, and -8192 .. -1 by their negative indices
        "write_long": write_long,
        "write_int": write_int,
        "pack": struct.pack,
        "pack_float": struct.Struct("<f").pack,
        "pack_double": struct.Struct("<d").pack,
        "join": b"".join,
        "YES": b"\1",
        "NO": b"\0",
        "EMPTY": b"",
        "Other": Other,
        "AvroEncodingError": AvroEncodingError,
        "SURPRISES": (Other, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
        + (struct.error,),
    }


def _pairs(first: bytes, second: bytes) -> list[bytes]:
    both = bytearray(2 * len(first))
    both[0::2], both[1::2] = first, second
    return [pair for (pair,) in struct.iter_unpack("2s", both)]
