"""Millions of messages by native code, with every kind of error between them: is memory flat, is no reference lost?"""

from __future__ import annotations

import argparse
import gc
import sys
import tracemalloc
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, time, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from fastavro import parse_schema

from kafka_sr_retry.avro import _native
from kafka_sr_retry.avro._native import Program
from kafka_sr_retry.avro.attributes import are_fields
from kafka_sr_retry.avro.native import _OPS, _Nodes

MAYBE = {"name": "b", "type": ["null", "string"], "default": None}
ITEM = {"type": "record", "name": "I", "fields": [{"name": "a", "type": "long"}, MAYBE]}
MONEY = {"logicalType": "decimal", "precision": 18, "scale": 2}
FIELDS: dict[str, Any] = {
    "id": "long", "i": "int", "f": "float", "n": "null", "b": "boolean", "y": "bytes",
    "x": {"type": "fixed", "name": "X", "size": 4},
    "s": ["null", "string"],
    "l": {"type": "array", "items": "string"},
    "m": {"type": "map", "values": "double"},
    "e": {"type": "enum", "name": "E", "symbols": ["A", "B"]},
    "d": {"type": "bytes", **MONEY}, "p": {"type": "fixed", "name": "P", "size": 2, **MONEY, "precision": 4},
    "u": {"type": "string", "logicalType": "uuid"},
    "t": {"type": "long", "logicalType": "timestamp-millis"},
    "o": {"type": "long", "logicalType": "time-micros"}, "q": {"type": "long", "logicalType": "local-timestamp-micros"},
    "ev": ["null", {"type": "record", "name": "EA", "fields": [{"name": "a", "type": "long"}]},
           {"type": "record", "name": "EB", "fields": [{"name": "a", "type": ["int", "long"]}, MAYBE]}],
    "ad": {"type": "array", "items": "double"}, "al": {"type": "array", "items": "long"},
    "ae": {"type": "array", "items": "E"}, "ai": {"type": "array", "items": ITEM},
    "mi": {"type": "map", "values": "I"},
    "v": ["null", "long", "boolean", {"type": "array", "items": ["null", {"type": "int", "logicalType": "date"}]}],
    "w": ["null", {"type": "map", "values": "string"}],
    "r": ["null", "R"],
}  # fmt: skip
_ALL = [{"name": name, "type": kind} for name, kind in FIELDS.items()]
SCHEMA = {"type": "record", "name": "R", "fields": _ALL}
FLAT = {**SCHEMA, "fields": [field for field in _ALL if field["name"] != "r"]}
"""Records that may hold themselves take no tuples and no missing keys."""
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
FITS: dict[str, Any] = {
    "id": 1, "i": 2, "f": 1.5, "n": None, "b": True, "y": b"y", "x": b"1234", "s": "x", "l": ["a", "b"],
    "m": {"k": 1.5}, "e": "A", "d": Decimal("1.25"), "p": Decimal("-3.5"), "u": UUID(int=5), "t": MOMENT,
    "o": time(1, 2), "q": MOMENT.replace(tzinfo=None), "ev": {"a": 2**40, "b": None},
    "ad": [1.0, 2], "al": [1, 2**40], "ae": ["A", "B"], "ai": [{"a": 1}, {"a": 2, "b": "x"}],
    "mi": {"k": {"a": 1}},
    "v": [None, date(2026, 1, 1)], "w": {"k": "x"}, "r": None,
}  # fmt: skip
OTHER = b"other"
ERRORS = (KeyboardInterrupt, MemoryError, RuntimeError, AttributeError, KeyError, ValueError, TypeError)

Some: Any = make_dataclass("Some", list(FITS))


@dataclass
class Item:
    a: Any
    b: Any = None


class Key:
    """Raises where it is compared, once it stands in a dict."""

    def __init__(self, like: str, error: type[BaseException]) -> None:
        self.like, self.error, self.is_armed = like, error, False

    def __hash__(self) -> int:
        return hash(self.like)

    def __eq__(self, other: object) -> bool:
        if self.is_armed:
            raise self.error
        return False


def foreign(like: str, error: type[BaseException], rest: dict[str, Any]) -> dict[Any, Any]:
    key = Key(like, error)
    made = {key: 1, **rest}
    key.is_armed = True
    return made


def raises(error: type[BaseException], name: str = "m") -> Any:
    class Raises(Some):  # type: ignore[misc]
        def __getattribute__(self, asked: str) -> Any:
            if asked == name:
                raise error
            return super().__getattribute__(asked)

    return dataclass(Raises)(**FITS)


class Text(str):
    """Of which something is encoded, or raised."""

    encoded: Any

    def encode(self, *_: Any) -> Any:
        if isinstance(self.encoded, type):
            raise self.encoded
        return self.encoded


def text(encoded: Any) -> Text:
    made = Text("x")
    made.encoded = encoded
    return made


class Real(float):
    """Of another worth than it holds, or none."""

    worth: Any = 2.0

    def __float__(self) -> float:
        if isinstance(self.worth, type):
            raise self.worth
        return self.worth


class Unreal(Real):
    worth = KeyError


class Plain(float):
    pass


class Compares(str):
    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class Member(str, Enum):
    A = "A"
    C = "C"


class Number(IntEnum):
    ONE = 1
    LARGE = 2**40


class Moment(datetime):
    pass


class Zone(tzinfo):
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def utcoffset(self, when: Any) -> Any:
        raise self.error


class Undecided(type):
    """A class that raises where it is looked at, or calls itself equal to others."""

    def __getattribute__(cls, name: str) -> Any:
        raise KeyError(name)


class Equal(type):
    def __eq__(cls, other: object) -> bool:
        return True

    def __hash__(cls) -> int:
        return 1


@dataclass
class ChangesItems(Item):
    items: Any = None

    def __getattribute__(self, name: str) -> Any:
        if name == "a":
            items = object.__getattribute__(self, "items")
            items[:] = items[:1] * (2 + len(items) % 2)
        return object.__getattribute__(self, name)


def uuid_of(number: Any) -> UUID:
    made = UUID(int=0)
    object.__setattr__(made, "int", number)
    return made


def without_number() -> UUID:
    made = UUID(int=0)
    object.__delattr__(made, "int")
    return made


def deep() -> dict[str, Any]:
    value = FITS
    for _ in range(150):
        value = {**FITS, "r": value}
    return value


def changing() -> dict[str, Any]:
    items: list[Any] = [ChangesItems(1), Item(2)]
    items[0].items = items
    return {**FITS, "ai": items}


def all_values() -> list[Any]:
    wrong: dict[str, list[Any]] = {
        "id": ["no", 2**70, Number.LARGE], "i": [2**31, True, Number.ONE],
        "f": ["no", 10**400, Real(1), Unreal(1), Plain(1)],
        "n": [0], "b": [1], "y": ["y"], "x": [b"123"],
        "s": ["x" * 2000, 5, Member.A, *map(text, (b"y", 5, KeyError))],
        "l": [("a", "b"), ["é" * 9, "\ud800"], ["a"] * 5000, ["a", 5], [], "no"],
        "m": [{"k": 10**400}, {1: 1.5}, {"\ud800": 1.0}, {"k": "no"}, {}],
        "e": ["C", 5, "\ud800", Member.A, Member.C, Compares("A")],
        "d": [*map(Decimal, ("NaN", "1.23456", "-0", "1E5", "9" * 19, "-0.01", "1" * 18, "0.001", "1" * 17))],
        "p": [Decimal("400"), Decimal("-400"), b"12", 5],
        "u": [5, uuid_of(-1), uuid_of(2**200), uuid_of("5"), without_number(), str(UUID(int=7))],
        "t": [object(), 5, MOMENT.replace(tzinfo=None), Moment(2026, 1, 1),
              *(MOMENT.replace(tzinfo=Zone(error)) for error in ERRORS)],
        "q": [MOMENT, "no", Moment(2026, 1, 1)], "o": ["no", 5], "ad": [["no"], [10**400], (1.0, 2), [Real(1)],
               [Plain(1)]],
        "ev": [{"a": 1}, {"a": "no", "b": None}, {"a": 1, "c": 1}, {"b": None}, {"a": 2**70, "b": "x"}, Item(1),
               foreign("a", KeyError, {"b": None}), {"a": 1, "-type": "EA"}],
        "al": [[2**70], ["no"], (1, 2)], "ae": [["C"], ["A", 5]],
        "ai": [(Item(1), {"a": 2}), [{"b": 1}], [Item("no")], [foreign("a", RuntimeError, {"a": 1})],
               [Equal("E", (), {})()]],
        "mi": [{1: {}}, {"k": Item(1)}, {"k": 5}, {"\ud800": {}}, {"k": Undecided("U", (), {})()}],
        "v": [5, True, "no", ["no"], (None,), [MOMENT], [None, date(2026, 1, 1), Zone(KeyError)]],
        "w": [{"-type": "map"}, foreign("-type", KeyError, {"k": "x"}), {"k": 5}, ("map", {}), {"k" * 900: "v" * 900}],
        "r": [{**FITS, "r": 5}, Some(**FITS), {"-type": "R", **FITS}, foreign("-type", RuntimeError, FITS), {"id": 1}],
    }  # fmt: skip
    large = {**FITS, "l": ["a"] * 5000}
    others = [Some(**FITS), deep(), foreign("l", KeyError, FITS), foreign("s", KeyboardInterrupt, FITS), changing(), {},
              None, 5, object(), {**large, "r": 5}, {**large, "m": {"k": 10**400}}, *map(raises, ERRORS)]  # fmt: skip
    return [FITS] * 5 + others + [{**FITS, name: item} for name, items in wrong.items() for item in items]


def no_programs() -> list[Any]:
    """Each is refused at another place."""
    node = (3, False, 0, (), (), ())
    return [
        (), None, (None,), ((3, False),), ((99, False, 0, (), (), ()),), ((3, False, -1, (), (), ()),),
        ((3, False, 0, (1,), (), ()),), ((12, False, 1, (5, ...), (1,), ()), node), ((9, False, 0, (5,), (), ()),),
        ((9, False, 0, ({"a": "no"},), (), ()),), ((12, False, 1, ("a", ...), (7,), ()), node),
        ((12, False, 1, ("a", ...), ("no",), ()), node), ((13, False, 1, (int,), (1,), (2**21,)), node),
        ((13, False, 1, (int,), (0,), (0,)),), ((14, False, 0, (int, int, {}), (0,), ()),),
        ((_OPS["decimal"], False, 0, (int, 1, 1), (1,), (1, 1)), node),
        ((_OPS["uuid"], False, 0, (int, 1, 1), (1,), ()), node),
        ((_OPS["moment"], False, 0, (int, 1, 1), (1,), (1, 1)), node),
        ((10, False, 0, (), (1,), ()), (9, False, 0, ({"a": 1, 5: 1},), (), ())),
    ]  # fmt: skip


def inside(*values: Any) -> list[Any]:
    """All that they hold, of which references may be lost."""
    found, left = dict[int, Any](), [*values]
    while left:
        value = left.pop()
        if id(value) in found:
            continue
        found[id(value)] = value
        if type(value) is list or type(value) is tuple:
            left += value
        elif type(value) is dict:
            left += [*value, *value.values()]
        elif isinstance(value, (Some, Item)):
            left += [type(value), *object.__getattribute__(value, "__dict__").values()]
        elif type(value) is UUID:
            left.append(getattr(value, "int", None))
    return [*found.values()]


def resident() -> int:
    """KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def refuses(value: Any, prefix: bytes) -> bytes:
    raise ValueError


def answers(value: Any, prefix: bytes) -> bytes:
    return OTHER


class Holds:
    """Writes nothing, and holds the writer that asks it to."""

    write: Any = None

    def __call__(self, value: Any, prefix: bytes) -> bytes:
        return b""


def class_of_its_own() -> Any:
    return dataclass(type("Own", (Some,), {}))


def of_its_own(nodes: Any, write: Callable[[Any, Any], bytes], kind: Any) -> None:
    """A program and writers, of which one holds itself; what makes none of these."""
    made, holds = Program(nodes, are_fields), Holds()
    holds.write = made.writer(bytes(50), holds)
    for each in (write, holds.write):
        attempt(each, kind(**FITS), None)
    for wrong in no_programs():
        attempt(Program, wrong, are_fields)
    attempt(made.writer, "no", answers)
    attempt(write)


def nodes_of(schema: Any) -> tuple[Any, ...]:
    named: dict[str, Any] = {}
    return tuple(_Nodes(parse_schema(schema, named_schemas=named), named).all)


def attempt(call: Callable[..., Any], *given: Any) -> None:
    with suppress(Exception, KeyboardInterrupt):
        call(*given)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m trials.native_leaks", description=__doc__)
    arguments.add_argument("--messages", type=int, default=10_000_000)
    arguments.add_argument(
        "--rounds", type=int, default=1120, help="of all values, with memory traced: 280, or times that"
    )
    given = arguments.parse_args()
    messages = given.messages

    nodes = [nodes_of(schema) for schema in (SCHEMA, FLAT)]
    writers = [Program(each, are_fields).writer(b"\0", other) for each in nodes for other in (answers, refuses)]
    kinds, samples = all_values(), list[int]()
    for number in range(messages):
        attempt(writers[number // len(kinds) % 4], kinds[number % len(kinds)], None)
        if number % 200 == 0:
            of_its_own(nodes[0], writers[0], class_of_its_own())  # the last 512 of which are remembered
        if number % max(messages // 10, 1) == 0:
            gc.collect()
            samples.append(resident())
            print(f"{number:>12,} messages {samples[-1]:>9,} KiB", flush=True)

    some = inside(
        nodes, kinds, ERRORS, OTHER, _native, Program, are_fields, answers, refuses, type(writers[0].__self__)
    )  # type: ignore[attr-defined]
    tracemalloc.start()
    classes = [class_of_its_own() for _ in range(70)]  # a program remembers 64
    held, referred = [0, 0, 0], [array("q", bytes(8 * len(some))) for _ in range(3)]
    for turn in range(3):
        crowded = Program(nodes[0], are_fields).writer(b"\0", answers)
        for number in range(given.rounds * len(kinds)):
            attempt(writers[number // len(kinds) % 4], kinds[number % len(kinds)], None)
            if number % len(kinds) == 0:
                of_its_own(nodes[0], crowded, classes[number // len(kinds) % 70])
        crowded = answers
        gc.collect()
        for at, each in enumerate(some):
            referred[turn][at] = sys.getrefcount(each)
        held[turn] = tracemalloc.get_traced_memory()[0]
    print(f"tracemalloc, bytes more in {given.rounds * len(kinds):,} messages: {held[2] - held[1]}")
    lost = [(after - before, each) for before, after, each in zip(referred[1], referred[2], some, strict=True)]
    lost = [(more, each) for more, each in lost if abs(more) >= given.rounds / 10]
    print(f"objects of {len(some)} that are referred to more often, or less: {len(lost)}")
    for more, each in lost[:5]:
        print(f"  {more:+} {each!r:.60}")
    grew = samples[-1] - samples[len(samples) // 2]
    return 1 if grew > 1024 or held[2] - held[1] > 6 * given.rounds or lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
