"""The native encoder with programs that no schema makes, and values that do what they like while they are written.

A fault here ends the process, or is seen by ``make sanitize``. Each value is written as fastavro writes it, refused,
or left to ``other``.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest

_native = pytest.importorskip("kafka_sr_retry.avro._native", reason="not built here: it needs a C compiler")
from fastavro import parse_schema  # noqa: E402

from kafka_sr_retry.avro.attributes import are_fields  # noqa: E402
from kafka_sr_retry.avro.native import _OPS, _Nodes, program  # noqa: E402

PREFIX = b"\0\0\0\1\2"
OTHER = b"by another"
STRINGS = {"type": "array", "items": "string"}


def writer(schema: Any, other: Callable[[Any, bytes], bytes] = lambda value, prefix: OTHER) -> Callable[[Any], bytes]:
    named: dict[str, Any] = {}
    write = program(parse_schema(schema, named_schemas=named), named).writer(PREFIX, other)
    return lambda value: write(value, None)


def record(**fields: Any) -> Any:
    return {"type": "record", "name": "R", "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


@dataclass
class One:
    a: Any


# -- programs --------------------------------------------------------------------------------------


class Hostile:
    def __call__(self, *_: Any) -> Any:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return hash("a")

    def __str__(self) -> str:
        return "-1" * 40

    def __bool__(self) -> bool:
        return True


def values(draw: Random, depth: int = 4) -> Any:
    some = [
        None,
        True,
        5,
        -(2**63),
        2**63,
        1.5,
        10**400,
        "a",
        "\ud800",
        b"abc",
        Decimal("-1.23"),
        UUID(int=7),
        date(2026, 1, 2),
        time(1, 2, 3, 4),
        datetime(2026, 1, 2),
        datetime(2026, 1, 2, tzinfo=timezone.utc),
        Hostile(),
    ]
    if depth and draw.random() < 0.6:
        inside = [values(draw, depth - 1) for _ in range(draw.randrange(4))]
        return draw.choice([inside, tuple(inside), dict(zip("abc", inside, strict=False)), One(inside)])
    return draw.choice(some)


def any_node(draw: Random, count: int) -> Any:
    """Of the right sizes, mostly."""
    op = draw.randrange(-1, len(_OPS) + 1) if draw.random() < 0.1 else draw.randrange(len(_OPS))
    name, fields = {number: name for name, number in _OPS.items()}.get(op, ""), draw.randrange(4)
    what: Any = [
        None,
        ...,
        dict,
        list,
        str,
        int,
        One,
        Decimal,
        UUID,
        date,
        time,
        datetime,
        datetime(1970, 1, 1),
        Hostile(),
        Hostile,
        str.upper,
        "a",
        {},
        lambda v, s: v,
    ]
    objects: list[Any] = []
    if name == "record":
        objects = ["abcd"[n] for n in range(fields)] + draw.choices(what, k=fields)
    elif name == "union":
        objects = draw.choices(what, k=fields)
    elif name == "enum":
        objects = [draw.choice([{}, {"a": 0, "b": 1}, {"a": 2**70}, {"a": Hostile()}, {Hostile(): 1}])]
    elif op >= _OPS["logical"]:
        objects = draw.choices(what, k=3 + (name == "moment"))
    inner = fields if name in ("record", "union") else int(name in ("array", "map") or op >= _OPS["logical"])
    numbers = fields if name == "union" else {"decimal": 2, "moment": 2, "time": 1}.get(name, 0)
    node: list[Any] = [
        op,
        draw.choice([False, True, Hostile()]),
        draw.choice([fields] * 20 + [-1, 2**40, 2**63 - 1]),
        tuple(objects),
        tuple(draw.randrange(count) for _ in range(inner)),
        tuple(draw.randrange(30) for _ in range(numbers)),
    ]
    if draw.random() < 0.05:
        node[draw.randrange(6)] = draw.choice(
            [None, -1, 2**70, (), (0,), (-1,), (count,), (2**70,), ("a",), "a", (None,) * 9]
        )
    return tuple(node) if draw.random() < 0.99 else draw.choice([None, (), node, tuple(node[:5])])


def test_no_program_leads_outside_itself() -> None:
    draw, made = Random(16), 0
    for _ in range(3000):
        count = draw.randrange(1, 6)
        try:
            built = _native.Program(tuple(any_node(draw, count) for _ in range(count)), lambda kind, names: kind is One)
        except (ValueError, TypeError, OverflowError, MemoryError):
            continue
        made += 1
        write = built.writer(PREFIX, lambda value, prefix: OTHER)
        for _ in range(5):
            with suppress(RuntimeError):
                assert type(write(values(draw), None)) is bytes
    assert made > 300


@pytest.mark.parametrize("wrong", [(), ((0, False, 0, (), ()),), ([0, False, 0, (), (), ()],), (None,)], ids=repr)
def test_what_is_no_program_is_refused(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        _native.Program(wrong, print)
    with pytest.raises(TypeError):
        _native.Program(((0, False, 0, (), (), ()),), print, more=1)


def test_a_program_is_not_to_be_found_before_it_is_checked() -> None:
    found: list[Any] = []

    class Looks:
        def __bool__(self) -> bool:
            found.extend(each for each in gc.get_objects() if type(each) is _native.Program and each not in before)
            return True

    before = [each for each in gc.get_objects() if type(each) is _native.Program]
    _native.Program(((0, Looks(), 0, (), (), ()),), print)
    assert not found


def test_types_cannot_be_changed_or_made_without_a_program() -> None:
    write = _native.Program(((0, False, 0, (), (), ()),), print).writer(b"", print)
    kind = type(write.__self__)
    for change in (kind, lambda: object.__new__(kind), lambda: setattr(_native.Program, "writer", None)):
        with pytest.raises(TypeError):
            change()


# -- code that runs while a value is written -------------------------------------------------------


@pytest.fixture
def collected_often() -> Iterator[None]:
    """Python before 3.12 collects garbage where a container is made, in the midst of C code."""
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)


class Empties:
    """Garbage that empties a list when it is collected."""

    def __init__(self, items: Any) -> None:
        self.items, self.itself = items, self

    def __del__(self) -> None:
        self.items.clear()


@pytest.mark.usefixtures("collected_often")
@pytest.mark.parametrize("schema", [STRINGS, {"type": "map", "values": "string"}, {"type": "array", "items": "double"}])
def test_what_is_raised_may_collect_what_is_written(schema: Any) -> None:
    write = writer(schema)
    for _ in range(200):
        wrong = [f"{n}\ud800" for n in range(3)] if "string" in str(schema) else [10**400 + n for n in range(3)]
        items: Any = dict.fromkeys("abc", "\ud800") if schema["type"] == "map" else wrong
        del wrong
        Empties(items)
        assert write(items) in (OTHER, PREFIX + b"\0")


def test_a_property_may_empty_what_holds_it() -> None:
    items: list[Any] = []

    @dataclass
    class Clears:
        a: Any = 1

        def __getattribute__(self, name: str) -> Any:
            items.clear()
            return 1

    items.extend(Clears() for _ in range(5))
    assert writer({"type": "array", "items": record(a="long")})(items) == OTHER


@pytest.mark.parametrize("change", ["clear", "grow"])
@pytest.mark.parametrize("kind", ["array", "map", "record"])
def test_a_text_may_change_what_holds_it_when_it_is_encoded(kind: str, change: str) -> None:
    class Encodes(str):
        def encode(self, *_: Any) -> bytes:
            items.clear()
            if change == "grow":
                items.update(dict.fromkeys(range(999))) if isinstance(items, dict) else items.extend("x" * 999)
            return b"y"

    items: Any = [Encodes("x") for _ in range(5)] if kind == "array" else {key: Encodes("x") for key in "abc"}
    schema = record(a="string", b="string", c="string") if kind == "record" else {"type": kind, "items": "string"}
    schema = schema if kind != "map" else {"type": "map", "values": "string"}
    assert writer(schema)(items) == OTHER


@pytest.mark.parametrize("kind", ["double", "float"])
def test_a_float_may_empty_what_holds_it(kind: str) -> None:
    class Clears(float):
        def __float__(self) -> float:
            items.clear()
            return 1.0

    items: list[Any] = [1.0, *(Clears(1) for _ in range(5))]
    assert writer({"type": "array", "items": kind})(items) == OTHER


def test_what_a_text_is_encoded_to_is_looked_at() -> None:
    class Encodes(str):
        def encode(self, *_: Any) -> Any:
            return given.pop()

    class Other(bytes):
        pass

    given = [None, 5, "x", bytearray(b"x"), Other(b"x")]
    while given:
        assert writer("string")(Encodes("x")) == OTHER


def test_a_foreign_key_may_empty_its_dict() -> None:
    value: dict[Any, Any] = {}

    class Key:
        def __hash__(self) -> int:
            return hash("a")

        def __eq__(self, other: object) -> bool:
            if armed:
                value.clear()
            return False

    armed: list[int] = []
    value |= {Key(): 1, "a": "x" * 10}
    armed.append(1)
    assert writer(record(a="string"))(value) == OTHER
    assert value == {}


def test_classes_are_told_apart_by_what_they_are() -> None:
    class Same(type):
        def __hash__(cls) -> int:
            return 1

        def __eq__(cls, other: object) -> bool:
            return True

    @dataclass
    class Has(metaclass=Same):
        """Or else its signature would be looked for."""

        a: int = 1

    class HasNot(metaclass=Same):
        a = 2

    write = writer(record(a="long"))
    assert [write(each) for each in (Has(), HasNot())] == [OTHER, OTHER]
    assert write(One(3)) == PREFIX + b"\6"


def test_an_object_may_change_its_class_while_it_is_looked_at() -> None:
    value: list[Any] = []

    class Leaves(type):
        def __getattribute__(cls, name: str) -> Any:
            if value:
                value.pop().__class__ = One
                gc.collect()
            return super().__getattribute__(name)

    def made() -> Any:
        return dataclass(Leaves("Gone", (), {"__annotations__": {"a": int}}))(1)

    one = made()
    value.append(one)
    assert type(writer(record(a="long"))(one)) is bytes


def test_a_value_that_writes_values_ends_by_the_recursion_limit() -> None:
    schema = {"type": "record", "name": "R", "fields": [
        {"name": "a", "type": "long"}, {"name": "r", "type": ["null", "R"], "default": None}]}  # fmt: skip
    depths: list[int] = []

    @dataclass
    class Writes:
        a: int = 1
        r: Any = None

        def __getattribute__(self, name: str) -> Any:
            if name == "a":
                depths.append(len(depths))
                write(nested())
            return object.__getattribute__(self, name)

    def nested() -> Any:
        value: Any = Writes()
        for _ in range(90):
            value = {"a": 1, "r": value}
        return value

    write = writer(schema)
    assert type(write(nested())) is bytes
    assert 1 < len(depths) < sys.getrecursionlimit()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_nobodys_fault_goes_on(error: type[BaseException]) -> None:
    @dataclass
    class Raises:
        a: int = 1

        def __getattribute__(self, name: str) -> Any:
            raise error

    with pytest.raises(error):
        writer(record(a="long"))(Raises())


@pytest.mark.skipif(not importlib.util.find_spec("_testcapi"), reason="this Python has no _testcapi")
def test_no_memory_is_an_error_and_no_more() -> None:
    """Each allocation of a writing, and of a program's making, fails once."""
    import _testcapi

    named: dict[str, Any] = {}
    kinds = record(a={"type": "array", "items": record(a="long") | {"name": "I"}}, b={"type": "map", "values": STRINGS},
                   c=STRINGS, d="string")  # fmt: skip
    parsed = parse_schema(kinds, named_schemas=named)
    nodes = tuple(_Nodes(parsed, named).all)
    value = {"a": [One(1), One(2)], "b": {"k": ["é"] * 9}, "c": ("x" * 3000,), "d": "é" * 700}
    expected = writer(kinds)(value)
    assert expected != OTHER
    failed = 0

    def attempt(what: Callable[[], Any], start: int) -> Any:
        _testcapi.set_nomemory(start, start + 1)
        try:
            return what()
        except MemoryError:
            return None
        finally:
            _testcapi.remove_mem_hooks()

    for start in range(1, 60):
        write = _native.Program(nodes, are_fields).writer(PREFIX, lambda value, prefix: OTHER)
        fresh = {**value, "d": "é" * (700 + start)}
        told = attempt(lambda write=write, fresh=fresh: write(fresh, None), start)
        assert told in (None, OTHER) or len(told) == len(expected) + 2 * start
        failed += told in (None, OTHER)
        attempt(lambda: _native.Program(nodes, are_fields), start)
    assert failed > 3


def test_threads_share_lists_that_change() -> None:
    kinds = record(
        a={"type": "array", "items": record(a="string") | {"name": "I"}}, b={"type": "map", "values": STRINGS}
    )
    write = writer(kinds)
    value: dict[str, Any] = {"a": [{"a": "x"}], "b": {"k": ["x"]}}
    done, failed = threading.Event(), list[BaseException]()

    class Odd:
        def __hash__(self) -> int:
            return hash("a")

        def __eq__(self, other: object) -> bool:
            return False

    def change() -> None:
        draw = Random(1)
        while not done.is_set():
            value["a"][:] = [
                draw.choice([{"a": "y" * 99}, One("z" * 99), {Odd(): 1, "a": "v"}]) for _ in range(draw.randrange(5))
            ]
            value["b"] = {str(n): ["w" * n] * draw.randrange(4) for n in range(draw.randrange(5))}

    def work() -> None:
        try:
            for _ in range(10_000):
                assert type(write(value)) is bytes
        except BaseException as error:  # noqa: BLE001 told below
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    mutator = threading.Thread(target=change)
    workers = [threading.Thread(target=work) for _ in range(4)]
    mutator.start()
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    mutator.join()
    sys.setswitchinterval(before)
    assert failed == []


def test_what_holds_itself_is_collected() -> None:
    class Holds:
        write: Any

        def __call__(self, value: Any, prefix: bytes) -> bytes:
            return OTHER

    holds = Holds()
    holds.write = writer("long", holds)
    gone = weakref.ref(holds)
    del holds
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("letter", "more"), [("a", 0), ("ä", 2 * 1000 + 1)])
def test_a_text_beyond_ascii_keeps_its_utf8(letter: str, more: int) -> None:
    text = letter * 1000
    before = sys.getsizeof(text)
    writer("string")(text)
    assert sys.getsizeof(text) - before == more
