"""One case: what bytes have decided is given to native code, and what comes of it is judged."""

from __future__ import annotations

import ctypes
import gc
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from operator import is_not
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from kafka_sr_retry.avro import _native
from kafka_sr_retry.avro._native import Program
from kafka_sr_retry.avro.attributes import are_fields
from kafka_sr_retry.avro.native import _Nodes
from kafka_sr_retry.avro.types import Unsuitable

try:
    import _testcapi
except ImportError:  # allocations do not fail, then
    _testcapi = None  # type: ignore[assignment]

from .drawn import (
    ERRORS,
    ODD,
    WHAT,
    Bytes,
    Schemas,
    Stage,
    Values,
    any_node,
    any_value,
    crowd_of,
    deepened,
    iterate,
    spoilt,
)

PREFIX = b"\0\0\0\1\2"
OTHER = b"by another"

counts: Counter[str] = Counter()
"""What came of the cases."""


class Fault(Exception):  # noqa: N818
    """Native code has done what it may not."""


class Left(Exception):  # noqa: N818
    """It has left the value to another."""


@dataclass(frozen=True)
class Known:
    """A schema, or ``why`` native code never has it."""

    raw: Any
    parsed: Any
    named: dict[str, Any]
    nodes: tuple[Any, ...] = ()


@lru_cache(maxsize=200)
def known(data: bytes) -> Known | None:
    raw = Schemas(Bytes(data)).of()
    named: dict[str, Any] = {}
    try:
        parsed = parse_schema(raw, named_schemas=named)
        return Known(raw, parsed, named, tuple(_Nodes(parsed, named).all))
    except (Unsuitable, Exception):  # noqa: BLE001 fastavro raises what it meets in a schema
        return None


@lru_cache(maxsize=200)
def plain(data: bytes) -> tuple[Any, dict[str, Any]]:
    """The schema without logical types, whose objects a reader may not have."""
    found = known(data)
    assert found is not None

    def without(schema: Any) -> Any:
        if isinstance(schema, list):
            return [without(each) for each in schema]
        if isinstance(schema, dict):
            return {key: without(each) for key, each in schema.items() if key not in ("logicalType", "default")}
        return schema

    named: dict[str, Any] = {}
    return parse_schema(without(found.raw), named_schemas=named), named


def by_fastavro(schema: Any, value: Any) -> bytes | None:
    out = BytesIO(PREFIX)
    out.seek(0, 2)
    try:
        schemaless_writer(out, schema, value)
    except Exception:  # noqa: BLE001 it raises what it meets
        return None
    return out.getvalue()


def leaves(value: Any, prefix: bytes) -> bytes:
    raise Left


def answers(value: Any, prefix: bytes) -> bytes:
    return OTHER


def called(write: Callable[..., Any], value: Any, stage: Stage) -> Any:
    """What it gives, or ``None`` where the value is left, or something has been raised that may be."""
    try:
        stage.armed = True
        message = write(value, None)
    except Left:
        counts["left"] += 1
        return None
    except BaseException as error:
        if any(error is each for each in stage.raised):
            counts["raised"] += 1
            return None
        raise Fault(f"raised {error!r:.300}") from error
    finally:
        stage.armed = False
    if type(message) is not bytes:
        raise Fault(f"gave {message!r:.300}")
    return message


def of_a_schema(data: bytes) -> None:
    """Bytes: how odd, whose schema's length, the schema, the value."""
    mode, size = data[0], data[1] % 64
    found = known(data[2 : 2 + size])
    if found is None:
        counts["schemas left out"] += 1
        return
    rest, odd, acts = data[2 + size :], (0, 24, 6)[mode % 3], mode & 8 and mode % 3

    def value_of(draw: Bytes, stage: Stage | None, *, as_dicts: bool = False) -> Any:
        value = Values(draw, found.named, stage, odd, as_dicts).of(found.parsed)
        return deepened(draw, found.parsed, value)

    stage = Stage(draw := Bytes(rest))
    try:
        asked = are_fields

        def acting(kind: type, names: tuple[str, ...]) -> bool:
            stage.act()
            return are_fields(kind, names)

        if acts and mode & 16:
            asked = acting
            stage.acted = True
        other = answers if mode & 32 else leaves
        write = Program(found.nodes, asked).writer(PREFIX, other)
        stage.write = write
        value = value_of(draw, stage if acts else None)
        message = called(write, value, stage)
        if message is None or message == OTHER:
            return
        counts["written"] += 1
        if stage.acted:
            counts["written while acting"] += 1
            read(message, data[2 : 2 + size])
            return
        same = Stage(Bytes(rest))
        theirs = by_fastavro(found.parsed, value_of(same.draw, same if acts else None, as_dicts=True))
        same.forget()
        if theirs != message:
            both = f"native {message!r:.300}\nfastavro {theirs!r:.300}"
            raise Fault(f"{both}\nvalue {value!r:.600}\nschema {found.raw!r:.900}")
        crowd = crowd_of(value) if mode & 128 else []  # whose classes may have other fields, and be left
        if called(write, value, stage) != message or any(
            called(write, each, stage) not in (message, OTHER, None) for each in crowd
        ):
            raise Fault("another time other bytes")
    finally:
        stage.forget()


def read(message: bytes, schema: bytes) -> None:
    if not message.startswith(PREFIX):
        raise Fault("another prefix")
    parsed, _ = plain(schema)
    rest = BytesIO(message[len(PREFIX) :])
    try:
        schemaless_reader(rest, parsed, None)
    except Exception as error:
        raise Fault(f"nobody reads {message!r:.300}: {error!r:.300}") from error
    if rest.read(1):
        raise Fault(f"{message!r:.300} has more than a value")


def of_a_program(data: bytes) -> None:
    """Bytes: how, a schema's length, the schema, what is changed of its program, a value."""
    mode, size = data[0], data[1] % 64
    found = None if mode & 4 else known(data[2 : 2 + size])
    draw = Bytes(data[2 + size :])
    stage = Stage(draw)
    short = draw.choice((1, 2, 3, 5, 8, 12, 20, 40)) + draw.below(8) if mode & 128 else 0
    try:
        count = draw.below(6) + 1
        nodes = found.nodes if found is not None else tuple(any_node(draw, count) for _ in range(count))
        acts = stage if mode & 8 and not short else None  # CPython's own code loses errors where memory fails
        spoiled = spoilt(draw, nodes, acts)
        stage.armed = True
        try:
            with failing(short):
                made = Program(spoiled, is_not if short else are_fields)
        except (ValueError, TypeError, OverflowError, MemoryError):
            counts["programs refused"] += 1
            return
        except BaseException as error:
            if any(error is each for each in stage.raised):
                return
            raise Fault(f"raised {error!r:.300}") from error
        finally:
            stage.armed = False
        counts["programs made"] += 1
        prefix: Any = draw.choice((PREFIX, b"", bytes(1020), bytes(1024), bytes(3000), "a", None))
        try:
            holds = Holds()
            holds.write = write = made.writer(prefix, holds if mode & 32 else answers)
            if mode & 16:
                write(*[5] * draw.choice((0, 1, 3)))
        except TypeError:
            return
        stage.write = write
        value = any_value(draw) if found is None else Values(draw, found.named, acts, 12).of(found.parsed)
        with failing(short):
            raises_own(write, value, stage)
    finally:
        stage.forget()
        if mode & 32:
            made = write = holds = None  # type: ignore[assignment]
            gc.collect(0)


class Holds:
    """Writes no value, and holds the writer that asks it to."""

    write: Any

    def __call__(self, value: Any, prefix: bytes) -> bytes:
        return OTHER


@contextmanager
def failing(number: int) -> Iterator[None]:
    """The allocation of this number fails; none for 0."""
    if number and _testcapi is not None:
        _testcapi.set_nomemory(number, number + 1)
    try:
        yield
    finally:
        if number and _testcapi is not None:
            _testcapi.remove_mem_hooks()


def raises_own(write: Callable[..., Any], value: Any, stage: Stage) -> None:
    """A program that no schema makes has functions of others, which may raise; a ``SystemError`` none of them does."""
    try:
        called(write, value, stage)
    except Fault as fault:
        if not isinstance(fault.__cause__, Exception) or isinstance(fault.__cause__, SystemError):
            raise


def once(data: bytes) -> None:
    (of_a_program if data[0] & 64 else of_a_schema)(data)


# -- what it leaves behind -------------------------------------------------------------------------

try:
    allocated: Callable[[], int] | None = ctypes.CDLL(None).__sanitizer_get_current_allocated_bytes
    allocated.restype = ctypes.c_size_t  # type: ignore[attr-defined]
except AttributeError:
    allocated = None

ALWAYS = [are_fields, leaves, answers, OTHER, PREFIX, "-type", "int", _native, Program, *iterate(WHAT), *ODD, *ERRORS]


def watched(data: bytes) -> list[Any]:
    """What outlives a case, and must be referred to as often as before."""
    found = known(data[2 : 2 + data[1] % 64])
    inside = [*ALWAYS, *(iterate(found.nodes) if found is not None else ())]
    return [*{id(each): each for each in inside if type(each) is not int or not -6 < each < 257}.values()]


def look(into: array[int], some: list[Any]) -> None:
    for at, each in enumerate(some):
        into[at] = sys.getrefcount(each)
    into[-1] = allocated() if allocated is not None else 0


def fill() -> None:
    """CPython keeps so many objects for later, and a dict's keys: some are made anew, and kept all the same."""
    [({"a": 1}, [1]) for _ in range(80)]


LOOKS = 6


def play(data: bytes) -> None:
    """Raises ``Fault``: also where references or memory are lost, each time the case is played again."""
    if len(data) < 4:
        return
    some = watched(data)
    looks = [array("q", bytes(8 * (len(some) + 1))) for _ in range(LOOKS)]
    fill()
    look(looks[0], some)
    for number in (1, 2, 3):
        once(data)
        look(looks[number], some)
        if looks[number] == looks[number - 1]:
            return
    grown: list[str] = []
    for generation in (0, 2):  # a full collection, which takes long, also empties CPython's lists of free objects
        grown = grows(data, some, looks, generation)
        if not grown:
            return
    raise Fault("; ".join(grown))


def grows(data: bytes, some: list[Any], looks: list[array[int]], generation: int) -> list[str]:
    """What is more, or less, by the same each time that the case is played."""
    counts["looked at again"] += 1
    for into in looks:
        once(data)
        gc.collect(generation)
        sys._clear_type_cache()  # it keeps names that C has made, such as "utcoffset"
        look(into, some)
    grown: list[str] = []
    for at in range(len(some) + 1):
        steps = {looks[number][at] - looks[number - 1][at] for number in range(3, LOOKS)}
        if len(steps) == 1 and steps != {0}:
            what = "bytes of memory" if at == len(some) else f"references to {some[at]!r:.200}"
            grown.append(f"each time {steps.pop():+} {what}")
    return grown
