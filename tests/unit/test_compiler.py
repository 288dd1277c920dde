"""The compiled function and fastavro write the same bytes, or both refuse."""

from __future__ import annotations

import copy
import gc
import json
import linecache
import logging
import re
import string
import sys
import threading
import uuid
from array import array
from collections import ChainMap, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from io import BytesIO
from itertools import count
from keyword import iskeyword
from random import Random
from types import MappingProxyType
from typing import Any

import fastavro.write
import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafka_sr_retry import AvroEncodingError, ConfigurationError
from kafka_sr_retry.avro import compiler
from kafka_sr_retry.avro.compiler import Unsuitable, source_of
from kafka_sr_retry.avro.encoder import AvroSchema
from kafka_sr_retry.avro.objects import Copy, Plainness, Unfit
from kafka_sr_retry.avro.pieces import shared_scope, varint

PREFIX = b"\0\0\0\1\2"
LONG = {"min_value": -(2**63), "max_value": 2**63 - 1}
INT = {"min_value": -(2**31), "max_value": 2**31 - 1}

thorough = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


class FellBack(Exception):  # noqa: N818
    """The compiled function has given a value to fastavro."""


def falls_back(value: Any, prefix: bytes) -> bytes:
    raise FellBack


def compiled(schema: Any, other: Any = falls_back) -> compiler.Write:
    """A function alone, without the serializer's way for objects and errors."""
    named: dict[str, Any] = {}
    return compiler.compiled(parse_schema(copy.deepcopy(schema), named_schemas=named), named).writer(PREFIX, other)


def by_fastavro(schema: Any, value: Any, **options: bool) -> bytes | None:
    """What fastavro writes, ``None`` where it refuses."""
    out = BytesIO()
    try:
        schemaless_writer(out, parse_schema(copy.deepcopy(schema)), value, **options)
    except Exception:  # noqa: BLE001 it raises what it meets
        return None
    return PREFIX + out.getvalue()


def by_serializer(schema: Any, value: Any) -> bytes | None:
    try:
        return AvroSchema(json.dumps(schema)).writer(PREFIX)(value, None)
    except AvroEncodingError:
        return None


# -- schemas, each with a strategy for the values that fit it ------------------------------------


@dataclass(frozen=True)
class Drawn:
    schema: Any
    values: st.SearchStrategy[Any]
    types: frozenset[type]
    """The exact Python types that fastavro takes for it in a union."""


def drawn(schema: Any, values: st.SearchStrategy[Any], *types: type) -> Drawn:
    return Drawn(schema, values, frozenset(types))


NAMES = st.text(string.ascii_letters, min_size=1, max_size=5) | st.sampled_from(
    [
        "class",
        "value",
        "p",
        "T",
        "other",
        "ctx",
        "join",
        "naïve",
        "a b",
        "x'",
        'y"',
        "z\n",
        "\\",
        "{k}",
        "%s",
        "\u2028",
        "",
    ]
)
UTC = st.just(timezone.utc)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))

PRIMITIVES = [
    drawn("null", st.none(), type(None)),
    drawn("boolean", st.booleans(), bool),
    drawn("int", st.integers(**INT), int),
    drawn("long", st.integers(**LONG) | st.integers(-9000, 9000), int),
    drawn("float", st.floats(width=32), float, int),
    drawn("double", st.floats() | st.integers(-(2**70), 2**70), float, int),
    drawn("string", st.text() | st.text(min_size=60, max_size=70), str),
    drawn("bytes", st.binary(), bytes),
]


def logical(base: str, name: str, values: st.SearchStrategy[Any], *types: type, **more: Any) -> Drawn:
    return drawn({"type": base, "logicalType": name, **more}, values, *types)


LOGICAL = [
    logical("int", "date", st.dates() | st.integers(0, 9), date, datetime, str, int),
    logical("int", "time-millis", st.times() | st.integers(0, 9), time, int),
    logical("long", "time-micros", st.times() | st.integers(0, 9), time, int),
    logical("long", "timestamp-millis", st.datetimes(timezones=UTC) | MOMENTS, datetime, int),
    logical("long", "timestamp-micros", st.datetimes(timezones=UTC) | st.integers(**LONG), datetime, int),
    logical("long", "local-timestamp-millis", MOMENTS, datetime, int),
    logical("long", "local-timestamp-micros", MOMENTS, datetime, int),
    logical("string", "uuid", st.uuids() | st.text(), uuid.UUID, str),
    logical("bytes", "decimal", st.decimals(-999, 999, places=2), Decimal, bytes, precision=8, scale=2),
    logical("string", "of-nobody", st.text(), str),
]


@st.composite
def schemas(draw: st.DrawFn, *, decided: bool = False) -> Drawn:
    """A schema as people write them and as nobody should; ``decided``: with unions that the exact type decides."""
    numbers = iter(range(1_000))
    named: dict[str, Drawn] = {}

    def any_type(depth: int) -> Drawn:
        leaves = ["primitive", "primitive", "logical", "enum", "fixed", *(["named"] if named else [])]
        kind = draw(st.sampled_from(leaves + ["record", "array", "map", "union", "union"] * (depth > 0)))
        if kind == "named":
            name = draw(st.sampled_from(sorted(named)))
            return Drawn(name, named[name].values, named[name].types)
        return {
            "primitive": lambda: draw(st.sampled_from(PRIMITIVES)),
            "logical": lambda: draw(st.sampled_from(LOGICAL)),
            "enum": enum,
            "fixed": fixed,
            "record": lambda: record(depth),
            "array": lambda: array(any_type(depth - 1)),
            "map": lambda: mapping(any_type(depth - 1)),
            "union": lambda: union(depth),
        }[kind]()

    def new_name(kind: str) -> str:
        return f"{draw(st.sampled_from(['ns.', 'a.b.']))}{kind}{next(numbers)}"

    def enum() -> Drawn:
        symbols = draw(st.lists(st.sampled_from(["A", "B", "None", "class", "_x"]), min_size=1, unique=True))
        name = new_name("E")
        named[name] = drawn({"type": "enum", "name": name, "symbols": symbols}, st.sampled_from(symbols), str)
        return named[name]

    def fixed() -> Drawn:
        name, size = new_name("F"), draw(st.integers(0, 20))
        named[name] = drawn(
            {"type": "fixed", "name": name, "size": size}, st.binary(min_size=size, max_size=size), bytes
        )
        return named[name]

    def array(items: Drawn) -> Drawn:
        return drawn({"type": "array", "items": items.schema}, st.lists(items.values, max_size=4), list, bytes)

    def mapping(values: Drawn) -> Drawn:
        return drawn(
            {"type": "map", "values": values.schema}, st.dictionaries(st.text(), values.values, max_size=3), dict
        )

    def record(depth: int) -> Drawn:
        name = new_name("R")
        fields = {field: any_type(depth - 1) for field in draw(st.lists(NAMES, max_size=4, unique=True))}
        schema = {
            "type": "record",
            "name": name,
            "doc": "'''\n\"\"\"{name} import os",
            "fields": [{"name": field, "type": kind.schema} for field, kind in fields.items()],
        }
        values = {field: kind.values for field, kind in fields.items()}
        if draw(st.booleans()):  # it holds itself
            own = draw(st.sampled_from(["again", "more"]))
            schema["fields"].append(
                {"name": own, "type": ["null", name] if own == "again" else {"type": "array", "items": name}}
            )  # type: ignore[attr-defined]
            deferred = st.deferred(lambda: complete)
            values[own] = st.none() | deferred if own == "again" else st.lists(deferred, max_size=2)
        complete = st.fixed_dictionaries(values)
        named[name] = drawn(schema, complete, dict)
        return named[name]

    def union(depth: int) -> Drawn:
        branches: list[Drawn] = []
        names: set[str] = set()
        for _ in range(draw(st.integers(1, 4))):
            before = set(named)
            branch = any_type(depth - 1)
            kind = branch.schema["type"] if isinstance(branch.schema, dict) else branch.schema
            kind = kind if kind not in ("record", "enum", "fixed") else branch.schema["name"]
            taken = frozenset().union(*(b.types for b in branches))
            if isinstance(branch.schema, list) or kind in names or (decided and taken & branch.types):
                for name in set(named) - before:
                    del named[name]
                continue
            names.add(kind)
            branches.append(branch)
        if not branches:
            return PRIMITIVES[0]
        return Drawn(
            [branch.schema for branch in branches],
            st.one_of([branch.values for branch in branches]),
            frozenset().union(*(branch.types for branch in branches)),
        )

    return any_type(draw(st.integers(0, 3)))


class Liar(str):
    """Its own ``encode`` is not what fastavro writes."""

    def encode(self, *_: Any) -> bytes:
        return b"a lie"


class Mood(str, Enum):
    GOOD = "A"


ODD: list[Any] = [
    None, True, 0, -1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1,
    1.5, float("nan"), float("inf"), 1e39, "", "A", "é", "\ud800",
    b"", b"1234", bytearray(b"x"), memoryview(b"xy"), [], [None], (), ("string", "x"), ("int", 1), {}, {"a": 1}, {1: 2},
    {"-type": "string"}, {"-type": "ns.R0", "a": 1}, OrderedDict(a=1),
    {"x"}, Mood.GOOD, Decimal("1.234"), Decimal("1"), date(2020, 1, 2),
    datetime(2020, 1, 2), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    time(1, 2, 3), uuid.UUID(int=5), object(), 1j,
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The value with something wrong, or right after all, at some depth."""
    change = draw(st.sampled_from(["replace", "lose", "add", "hint"]))
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: draw(mutated(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(mutated(value[at])), *value[at + 1 :]]
    if isinstance(value, dict) and change == "lose" and value:
        key = draw(st.sampled_from(sorted(value)))
        return {name: item for name, item in value.items() if name != key}
    if isinstance(value, dict) and change == "add":
        return {**value, "one more": 1}
    if isinstance(value, dict) and change == "hint":
        return {**value, "-type": draw(st.sampled_from(["R0", "ns.R1", "map", ""]))}
    return draw(st.sampled_from(ODD))


# -- the same bytes ------------------------------------------------------------------------------


@thorough
@given(st.data())
def test_what_fits_is_written_without_fastavro_and_as_by_fastavro(data: st.DataObject) -> None:
    found = data.draw(schemas(decided=True))
    value = data.draw(found.values)
    expected = by_fastavro(found.schema, value)
    write = compiled(found.schema, lambda *_: b"fell back")
    assert write(value, None) == (b"fell back" if expected is None else expected)


@thorough
@given(st.data())
def test_whatever_is_given_ours_and_fastavro_agree(data: st.DataObject) -> None:
    found = data.draw(schemas())
    value = data.draw(found.values)
    for _ in range(data.draw(st.integers(0, 2))):
        value = data.draw(mutated(value))
    if found.schema == "bytes" or (isinstance(found.schema, dict) and found.schema["type"] == "bytes"):
        return  # written raw at the top
    assert by_serializer(found.schema, value) == by_fastavro(found.schema, value)


@given(
    st.integers(-(2**70), 2**70)
    | st.sampled_from([s * 2**n + d for n in range(66) for s in (1, -1) for d in (-1, 0, 1)])
)
@settings(max_examples=1000, deadline=None)
def test_integers_of_every_size(number: int) -> None:
    for kind, bits in (("int", 31), ("long", 63)):
        write = compiled(kind)
        if -(2**bits) <= number < 2**bits:
            assert write(number, None) == by_fastavro(kind, number) == PREFIX + varint(number)
        else:
            with pytest.raises(FellBack):
                write(number, None)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 2047, 2048, 8191, 8192, 2**20, 2**21])
@pytest.mark.parametrize("kind", ["string", "bytes"])
def test_sizes(kind: str, size: int) -> None:
    value = "é" * (size // 2) if kind == "string" else b"x" * size
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]}
    assert compiled(schema)({"a": value}, None) == by_fastavro(schema, {"a": value})


def test_every_primitive_in_every_container() -> None:
    for leaf in PRIMITIVES + LOGICAL:
        for schema in (leaf.schema, {"type": "array", "items": leaf.schema}, {"type": "map", "values": leaf.schema}):
            compiled(schema)


@pytest.mark.parametrize("fields", [1, compiler.WIDE - 1, compiler.WIDE, 300])
@pytest.mark.parametrize("kind", ["record", "array"])
def test_records_narrow_and_wide(fields: int, kind: str) -> None:
    record: Any = {"type": "record", "name": "R", "fields": [{"name": f"f'{n}", "type": "int"} for n in range(fields)]}
    value: Any = {f"f'{n}": n for n in range(fields)}
    schema = record if kind == "record" else {"type": "array", "items": record}
    assert compiled(schema)(value if kind == "record" else [value], None) == by_fastavro(
        schema, value if kind == "record" else [value]
    )
    del value["f'0"]
    with pytest.raises(FellBack):
        compiled(schema)(value | {"another": 1} if kind == "record" else [value], None)


# -- what is fastavro's --------------------------------------------------------------------------

RECORD = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "i", "type": "int", "default": 7},
        {"name": "s", "type": ["null", "string"]},
        {
            "name": "r",
            "type": ["null", {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "double"}]}],
        },
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "m", "type": {"type": "map", "values": "long"}},
        {"name": "a", "type": {"type": "array", "items": "string"}},
        {"name": "u", "type": ["null", {"type": "map", "values": "string"}]},
    ],
}
FITS = {"i": 1, "s": "x", "r": {"x": 1.0}, "e": "B", "f": b"12", "m": {"k": 1}, "a": ["x"], "u": {"k": "x"}}


@pytest.mark.parametrize(
    "change",
    [
        {"i": True}, {"i": 2**31}, {"i": 1.0}, {"s": b"x"},
        {"s": Mood.GOOD}, {"s": ("string", "x")}, {"r": {"x": True}},
        {"r": {"x": 1.0, "-type": "Inner"}}, {"r": OrderedDict(x=1.0)},
        {"r": {}}, {"e": "C"}, {"e": Mood.GOOD}, {"f": b"1"}, {"f": b"123"},
        {"f": bytearray(b"12")}, {"m": {1: 1}},
        {"m": {Liar("k"): 1}}, {"a": [Liar("x")]}, {"u": {"-type": "map"}}, {"m": {"k": "1"}},
        {"m": {"k": True}}, {"m": {"k": 1.0}}, {"m": [("k", 1)]}, {"a": ("x",)}, {"a": [1]}, {"a": "x"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_that_is_not_sure_goes_to_fastavro_whole(change: dict[str, Any]) -> None:
    value = FITS | change
    given: list[Any] = []

    def other(value: Any, prefix: bytes) -> bytes:
        given.append((value, prefix))
        return b"by fastavro"

    assert compiled(RECORD)(FITS, None) == by_fastavro(RECORD, FITS)
    assert compiled(RECORD, other)(value, None) == b"by fastavro"
    assert given == [(value, PREFIX)]
    assert given[0][0] is value


@pytest.mark.parametrize("key", list(FITS))
def test_a_missing_key_goes_to_fastavro(key: str) -> None:
    value = {name: item for name, item in FITS.items() if name != key}
    for short_or_not in (value, value | {"another": 1}):
        with pytest.raises(FellBack):
            compiled(RECORD)(short_or_not, None)
        assert by_serializer(RECORD, short_or_not) == by_fastavro(RECORD, short_or_not)


def test_what_fastavro_refuses_is_asked_for_once() -> None:
    calls: list[Any] = []

    def refuses(value: Any, prefix: bytes) -> bytes:
        calls.append(value)
        raise AvroEncodingError("no", "", "", "")

    for value in ({"i": "no"}, FITS | {"i": "no"}, FITS | {"r": {"y": 1}}):
        calls.clear()
        with pytest.raises(AvroEncodingError):
            compiled(RECORD, refuses)(value, None)
        assert calls == [value]


def record_of(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in fields.items()]}


def listed(kind: Any) -> Any:
    return {"type": "array", "items": kind}


def mapped(kind: Any) -> Any:
    return {"type": "map", "values": kind}


UUIDS, DATES = ({"type": base, "logicalType": name} for base, name in (("string", "uuid"), ("int", "date")))
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}
ONE, ANY, VAST, DAY = uuid.UUID(int=1), Decimal(1), Decimal("1E+10001"), date(2026, 1, 2)
TEXTS, WHOLE = record_of("S", a="string"), record_of("L", a="long")
CHAIN = record_of("N", next=["null", "N"])
INNER = record_of("Inner", x="int")
HINTED = {"x": 1, "-type": "wrong"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (["null", record_of("Outer", i=INNER)], {"i": HINTED}),
        (["null", {"type": "array", "items": INNER}], [HINTED]),
        (["null", record_of("Outer", u=["null", record_of("X", z="int")], i=INNER)], {"u": {"z": 1}, "i": HINTED}),
        (["null", {"type": "map", "values": INNER}], {"k": HINTED}),
        (
            record_of("L", x="int", more=["null", {"type": "array", "items": "L"}]),
            {"more": [HINTED | {"more": None}], "x": 1},
        ),
        (record_of("R", a={"type": "enum", "name": "string", "symbols": ["A"]}, b="string"), {"a": "A", "b": "A"}),
        (record_of("R", a=record_of("null", z="int"), c="null"), {"a": {"z": 1}, "c": {"z": 1}}),
        (record_of("R", u=["null", ["int", "string"]]), {"u": 1}),
        ({"type": "fixed", "name": "F", "size": "4"}, b"1234"),
        ({"type": "enum", "name": "E", "symbols": {"A": 1}}, "A"),
    ],
    ids=repr,
)
def test_odd_schemas_and_hints_are_fastavros(schema: Any, value: Any) -> None:
    assert by_serializer(schema, value) == by_fastavro(schema, value)


def test_two_records_of_one_name_in_references_are_each_their_own() -> None:
    first, second = record_of("A", r=record_of("Q", x="double")), record_of("B", r=record_of("Q", x="long"))
    schema = AvroSchema(json.dumps(record_of("Top", a="A", b="B")), [json.dumps(first), json.dumps(second)])
    value = {"a": {"r": {"x": 1}}, "b": {"r": {"x": 1}}}
    assert schema.writer(b"")(value, None) == b"\0\0\0\0\0\0\xf0\x3f\2"
    with pytest.raises(Unsuitable, match=r"^two records Q$"):
        schema.source()


@pytest.mark.parametrize("kind", ["record", "array", "map"])
def test_a_writer_of_somebodys_own_for_a_type_that_holds_others(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, f"{kind}-empty", lambda value, schema: type(value)())
    schema = {
        "array": {"type": "array", "items": "int"},
        "map": {"type": "map", "values": "int"},
        "record": record_of("R"),
    }
    value: Any = [1] if kind == "array" else {"k": 1}
    odd = {**schema[kind], "logicalType": "empty"}
    assert by_serializer(odd, value) == by_fastavro(odd, value)


def test_a_schema_cannot_pass_for_one_that_fastavro_has_parsed() -> None:
    hidden = {"__fastavro_parsed": True, "__named_schemas": {"A": "A"}}
    with pytest.raises(ConfigurationError, match="unknown type 'A'"):
        AvroSchema(json.dumps({**record_of("R", x="A"), **hidden}))


def test_an_enum_that_is_used_often_is_kept_once() -> None:
    enum = {"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(100)]}
    fields = {"f0": enum, **{f"f{n}": "E" for n in range(1, 50)}}
    source = compiler._Source(*parsed(record_of("R", **fields)))
    assert sum(isinstance(constant, dict) for constant in source.constants.values()) == 1


def test_a_list_that_another_thread_changes_is_written_whole() -> None:
    schema = {"type": "array", "items": "string"}
    write, changing, done = compiled(schema, lambda *_: b""), ["x"] * 50, threading.Event()

    def change() -> None:
        while not done.is_set():
            changing.append("x")
            changing.pop()

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        written = {write(changing, None) for _ in range(20_000)}
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert written <= {by_fastavro(schema, ["x"] * 50), by_fastavro(schema, ["x"] * 51)}


def test_the_error_of_a_value_has_no_context_that_shows_it() -> None:
    writer = AvroSchema(json.dumps(record_of("R", e={"type": "enum", "name": "E", "symbols": ["A"]}))).writer(PREFIX)
    with pytest.raises(AvroEncodingError) as caught:
        writer({"e": "SECRET"}, None)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


class Nowhere(tzinfo):
    def utcoffset(self, when: Any) -> Any:
        raise OddError("SECRET")


class OddError(Exception):
    """None of those that a value is expected to raise."""


class Sizeless:
    def __len__(self) -> int:
        raise OddError("SECRET")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            record_of("R", t={"type": "long", "logicalType": "timestamp-millis"}),
            {"t": datetime(2026, 1, 2, tzinfo=Nowhere())},
        ),
        (record_of("R", n="int", more=["null", "R"]), Sizeless()),
    ],
)
def test_nor_has_that_of_a_value_whose_own_methods_raise(schema: Any, value: Any) -> None:
    with pytest.raises(AvroEncodingError) as caught:
        AvroSchema(json.dumps(schema)).writer(PREFIX)(value, None)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "union",
    [
        [],
        ["null", {"type": "record", "name": "A", "fields": []}, {"type": "record", "name": "B", "fields": []}],
        ["null", {"type": "map", "values": "int"}, {"type": "record", "name": "A", "fields": []}],
        ["int", "long"],
        ["float", "double"],
        [{"type": "array", "items": "int"}, "bytes"],
        [{"type": "int", "logicalType": "date"}, "string"],
        [{"type": "int", "logicalType": "date"}, {"type": "long", "logicalType": "timestamp-millis"}],
        [{"type": "enum", "name": "E", "symbols": ["A"]}, "string"],
        [{"type": "long", "logicalType": "timestamp-millis"}, "double"],
    ],
    ids=repr,
)
def test_a_union_that_the_exact_type_does_not_decide_is_not_compiled(union: list[Any]) -> None:
    with pytest.raises(Unsuitable):
        compiled({"type": "record", "name": "R", "fields": [{"name": "u", "type": union}]})


def test_the_first_branch_that_takes_every_value_of_a_type_is_sure() -> None:
    for union, value in ((["double", "long"], 5), (["string", {"type": "enum", "name": "E", "symbols": ["A"]}], "A")):
        assert compiled(union)(value, None) == by_fastavro(union, value)


def test_a_logical_type_with_a_writer_of_somebodys_own_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, "string-shout", lambda value, schema: value.upper())
    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, "int-date", lambda value, schema: 7)
    for schema, value in (
        ({"type": "string", "logicalType": "shout"}, "a"),
        ({"type": "int", "logicalType": "date"}, 1),
        (["null", {"type": "int", "logicalType": "date"}], 1),
    ):
        with pytest.raises(Unsuitable):
            compiled(schema)
        assert by_serializer(schema, value) == by_fastavro(schema, value)


def test_a_schema_that_python_does_not_compile_tells_what_python_says() -> None:
    with pytest.raises(Unsuitable, match="nested"):
        compiled(nested(40, "array"))


EACH = {
    "null": None, "boolean": True, "int": 5, "long": -5, "float": 1.5, "double": 2, "string": "é", "bytes": b"x",
}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        *EACH.items(),
        *((listed(kind), 2 * [value]) for kind, value in EACH.items()),
        *((mapped(kind), {"k": value}) for kind, value in EACH.items()),
        *((["null", kind], value) for kind, value in EACH.items() if kind != "null"),
        *(([kind, "null"], value) for kind, value in EACH.items() if kind != "null"),
        *((["null", kind, mapped(kind)], {"k": value}) for kind, value in EACH.items() if kind != "null"),
        (listed(UUIDS), [ONE, "x"]),
        (mapped(MONEY), {"k": ANY, "l": b"x"}),
        (CHAIN, {"next": {"next": {"next": None}}}),
        (listed(CHAIN), [{"next": {"next": None}}]),
        (record_of("R", a=CHAIN, b=["null", "N"], c=listed("N")), {"a": {"next": None}, "b": {"next": None}, "c": []}),
        (record_of("R", u=["null", TEXTS], i=INNER), {"u": {"a": "x"}, "i": HINTED}),
        (listed(record_of("R", a="null")), [{"a": None}]),
        (record_of("R"), {}),
        (listed(listed(listed("long"))), [[[1], []], []]),
        (["null", WHOLE, listed("L")], [{"a": 1}]),
        ({**WHOLE, "type": "error"}, {"a": 1}),
    ],
    ids=repr,
)
def test_a_value_of_each_type_is_written_without_fastavro(schema: Any, value: Any) -> None:
    assert compiled(schema)(value, None) == by_fastavro(schema, value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (listed(WHOLE), [OrderedDict(a=1)]),
        (listed(WHOLE), [{"a": 1}, {"a": True}]),
        (mapped(WHOLE), {"k": OrderedDict(a=1)}),
        (mapped(["null", "long"]), {"k": True}),
        (listed(["null", "long"]), [True]),
        (listed(listed("long")), [(1,)]),
        (mapped("long"), {"k": True}),
        (listed("float"), [True]),
    ],
    ids=repr,
)
def test_what_does_not_fit_in_a_list_or_a_map_goes_to_fastavro(schema: Any, value: Any) -> None:
    with pytest.raises(FellBack):
        compiled(schema)(value, None)


def test_nothing_is_written_for_nothing() -> None:
    for schema, value in (("null", None), (record_of("R"), {}), (record_of("R", a="null"), {"a": None})):
        assert compiled(schema)(value, None) == PREFIX
    assert compiled(CHAIN)({"next": {"next": None}}, None) == PREFIX + b"\2\0"


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (-64, "7f"), (64, "8001"), (-65, "8101"), (8191, "fe7f"),
        (-8192, "ff7f"), (8192, "808001"), (2**31 - 1, "feffffff0f"), (-(2**63), "ffffffffffffffffff01"),
    ],
)  # fmt: skip
def test_known_numbers_have_known_bytes(number: int, written: str) -> None:
    assert varint(number).hex() == written
    assert compiled("long")(number, None) == PREFIX + bytes.fromhex(written)


def test_a_value_that_does_not_fit_within_a_record_that_holds_itself_goes_to_fastavro() -> None:
    for odd in ({"next": 5}, {"next": {}}, {"next": {"next": OrderedDict(next=None)}}, [], OrderedDict(next=None)):
        assert compiled(CHAIN, lambda *_: b"fastavro's")(odd, None) == b"fastavro's"


def nested(depth: int, kind: str) -> Any:
    schema: Any = "int"
    for _ in range(depth):
        schema = {"type": kind, "items" if kind == "array" else "values": schema}
    return schema


@pytest.mark.parametrize("kind", ["array", "map"])
@pytest.mark.parametrize("depth", [5, 19, 40, 90])
def test_a_schema_nested_deeper_than_python_compiles_is_fastavros(kind: str, depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "array" else {"k": value}
    schema = nested(depth, kind)
    assert by_serializer(schema, value) == by_fastavro(schema, value)


UNDECIDED = "a union that no exact type decides"


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (record_of("R", a=record_of("null", z="int")), "a type that is called like one of Avro's own"),
        (record_of("R", a=record_of("union")), "a type that is called like one of Avro's own"),
        (record_of("R", a=record_of("request")), "a type that is called like one of Avro's own"),
        (record_of("R", u=["null", ["int", "string"]]), "a union in a union"),
        (["int", "long"], UNDECIDED),
        ([{"type": "array", "items": "int"}, "bytes"], UNDECIDED),
        ([DATES, {"type": "long", "logicalType": "timestamp-micros"}], UNDECIDED),
        ([DATES, UUIDS], UNDECIDED),
        ([{"type": "enum", "name": "E", "symbols": ["A"]}, UUIDS], UNDECIDED),
        (["float", "double"], UNDECIDED),
        (["float", "int"], UNDECIDED),
        ({"type": "string", "logicalType": "shout"},
            "the logical type string-shout, which somebody has given fastavro a writer for"),
        ({"type": "fixed", "name": "F", "size": "4"}, "an odd fixed"),
        ({"type": "enum", "name": "E", "symbols": {"A": 1}}, "an odd enum"),
        ({"type": "error_union"}, "type error_union"),
        ({"type": "map"}, "KeyError: 'values'"),
        ("nothing", "type nothing"),
        (record_of("R", **{str(n): ["null", "string"] for n in range(2000)}),
            "a function of more than 150000 characters"),
    ],
    ids=lambda given: repr(given)[:80],
)  # fmt: skip
def test_why_a_schema_is_left_to_fastavro(schema: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, "string-shout", lambda value, schema: value.upper())
    odd = schema == "nothing" or (
        isinstance(schema, dict) and schema["type"] in ("fixed", "enum", "error_union", "map")
    )
    with pytest.raises(Unsuitable) as caught:
        source_of(*((schema, {}) if odd else parsed(schema)))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("union", "values"),
    [
        (["null", "long", "double"], [None, 5, 5.5]),
        (["double", "long"], [5, 5.5]),
        (["double", "int", "string"], [5, 5.5, "x"]),
        (["string", {"type": "enum", "name": "E", "symbols": ["A"]}], ["A"]),
        (["bytes", {"type": "array", "items": "int"}, "boolean"], [b"x", [1], True]),
        (["bytes", {"type": "fixed", "name": "F", "size": 1}], [b"x"]),
        ([UUIDS, "null", MONEY], [ONE, "x", None, ANY, b"x"]),
        ([MONEY, {"type": "long", "logicalType": "local-timestamp-micros"}], [ANY, datetime(2026, 1, 2), 5]),
        ([{"type": "int", "logicalType": "time-millis"}, "boolean"], [time(1, 2, 3), 5, False]),
        ([mapped("int"), listed("int"), "null"], [{"k": 1}, [1], None, {}]),
        (["string", WHOLE], ["x", {"a": 1}]),
    ],
    ids=repr,
)  # fmt: skip
def test_a_union_that_the_exact_type_decides_is_compiled(union: list[Any], values: list[Any]) -> None:
    write = compiled(union)
    for value in values:
        assert write(value, None) == by_fastavro(union, value)


def test_a_schema_that_is_left_to_fastavro_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    AvroSchema(json.dumps(["int", "long"])).writer(b"")
    assert "is left to fastavro: " in caplog.text


def test_a_schema_too_large_is_fastavros() -> None:
    fields = [{"name": f"f{n}", "type": ["null", "string"]} for n in range(1000)]
    with pytest.raises(Unsuitable, match="characters"):
        compiled({"type": "record", "name": "R", "fields": fields})


def test_a_schema_too_large_to_be_looked_at_by_a_function_is_written_all_the_same() -> None:
    kind = ["int", "string", {"type": "array", "items": "long"}]
    schema = record_of("R", **{f"f{n}": kind for n in range(3000)})
    value = {f"f{n}": [1] if n % 2 else "x" for n in range(3000)}
    writer = AvroSchema(json.dumps(schema)).writer(PREFIX)
    assert writer(value, None) == by_fastavro(schema, value)
    assert Plainness(*parsed(schema)).deep(value, 0) is False


def test_a_value_deeper_than_the_function_recurses_is_refused() -> None:
    schema = {"type": "record", "name": "L", "fields": [{"name": "more", "type": {"type": "array", "items": "L"}}]}
    value: Any = {"more": []}
    for _ in range(2 * sys.getrecursionlimit()):  # which other tests may have raised
        value = {"more": [value]}
    with pytest.raises(FellBack):
        compiled(schema)(value, None)
    assert by_serializer(schema, value) is None


# -- what can be read again is not copied ----------------------------------------------------------


def chain(length: int) -> Any:
    value: Any = None
    for _ in range(length):
        value = {"next": value}
    return value


def stack(height: int) -> Any:
    value: Any = [[]]
    for _ in range(height - 1):
        value = [value]
    return value


UNKNOWN = [type("Odd", (), {name: None})() for name in ("__iter__", "__getitem__", "get", "items")]
"""Objects that may hold others."""


class OwnDict(dict[Any, Any]):
    pass


class OwnList(list[Any]):
    pass


@pytest.mark.parametrize(
    ("schema", "plain", "others"),
    [
        ("long", [1, Decimal("1E+10000"), "x", object()], [VAST, [1], (), *UNKNOWN]),
        (DATES, [DAY, 5], [VAST, [1], iter([1])]),
        ({"type": "fixed", "name": "F", "size": 2}, [b"12", bytearray(2), Mood.GOOD, VAST], [[1, 2], iter([1])]),
        (listed("string"), [["x"], ("x",), b"", 5], [{"x"}, iter("x"), OwnList("x"), {}, deque("x")]),
        (mapped("string"), [{"k": "x"}, 5], [OwnDict(k="x"), [], OrderedDict()]),
        (listed("long"), [[1, 1.5, None], (1,), b"12"], [[VAST], [1, [1]], OwnList(), {}, (1, VAST)]),
        (mapped("long"), [{"k": 1}, 5], [{"k": VAST}, OwnDict(), {"k": 1, "l": ()}, []]),
        (listed(UUIDS), [(ONE,)], [[ONE], [], (ONE, VAST)]),
        (listed(record_of("B", **{f"f{n}": record_of(f"I{n}", x="long") for n in range(250)})), [()], [[]]),
        (mapped(UUIDS), [{"k": ONE}], [{"k": VAST}]),
        (listed(MONEY), [[ANY], (ANY,)], [[ANY, VAST]]),
        (listed(["null", DATES]), [[DAY, None]], [[VAST]]),
        (listed(["null", UUIDS]), [(ONE,)], [[ONE]]),
        (listed(listed(UUIDS)), [((ONE,),)], [[(ONE,)], ([ONE],)]),
        (listed(mapped(UUIDS)), [({"k": ONE},)], [[{"k": ONE}]]),
        (listed(record_of("R", t="string", a=UUIDS)), [({"a": ONE},)], [[{"a": ONE}]]),
        (listed(record_of("R", a=record_of("Q", b=UUIDS))), [({"a": {"b": ONE}},)], [[{"a": {"b": ONE}}]]),
        (TEXTS, [{"a": "x"}, 5, {"b": [1]}], [OwnDict(a="x"), [1]]),
        (WHOLE, [{"a": 1}, {}, 5], [{"a": VAST}, OwnDict(a=1), {"a": [1]}, [1]]),
        (record_of("R", a="long", b="string", c=DATES), [{"a": 1, "c": DAY}], [{"a": 1, "c": VAST}, {"a": VAST}]),
        (listed(TEXTS), [[{"a": "x"}, 5]], [[OwnDict(a="x")], [[1]]]),
        (listed(WHOLE), [[{"a": 1}, 5], ({},)], [[{"a": 1}, {"a": VAST}], [OwnDict(a=1)], [[1]], [{"a": [1]}]]),
        (record_of("R", l=WHOLE), [{"l": {"a": 1}}, {"l": 5}], [{"l": {"a": VAST}}, {"l": OwnDict(a=1)}]),
        (record_of("R", s=TEXTS, t="S"), [{"s": {}, "t": {}}], [{"s": OwnDict()}, {"t": OwnDict()}]),
        (record_of("R", l=WHOLE, m="L"), [{"l": {}, "m": {}}], [{"l": {"a": VAST}}, {"m": {"a": VAST}}]),
        (CHAIN, [chain(30), {"next": ("N", {})}], [chain(31), {"next": OwnDict()}, {"next": ("N", OwnDict())}]),
        (record_of("T", more=listed("T")), [{"more": [{"more": []}]}], [{"more": [{"more": OwnList()}]}]),
        (record_of("R", a=["null", "string"]), [{"a": OwnList()}], [OwnDict()]),
        (record_of("R", a=listed(CHAIN), b=listed(record_of("M", m=["null", "M"]))),
            [{"b": [{"m": {"m": None}}], "a": []}], [[1]]),
        (["null", TEXTS], [{"a": "x"}, ("S", {"a": "x"})], [OwnDict(), ("S", OwnDict())]),
        (["null", WHOLE], [{"a": 1}, ("L", {"a": 1})], [{"a": VAST}, ("L", {"a": VAST})]),
        (["int", "long", WHOLE], [{"a": 1}], [{"a": VAST}]),
        ([TEXTS, WHOLE], [{"a": "x"}, None, [1, ("x",)]], [OwnDict(a=1), {"a": VAST}, VAST, [OwnDict()]]),
        ([TEXTS, listed("long")], [[1], {"a": "x"}, stack(30)], [[VAST], [[OwnList()]], stack(31)]),
        ([TEXTS, listed(UUIDS)], ["x", ANY], [[ONE], {"a": "x"}, VAST]),
        ([DATES, MONEY], [DAY, ANY], [VAST, OwnList()]),
    ],
    ids=lambda given: repr(given)[:80],
)  # fmt: skip
def test_what_can_be_read_again_is_not_copied(schema: Any, plain: list[Any], others: list[Any]) -> None:
    deep = Plainness(*parsed(schema)).deep
    assert [deep(value, 0) for value in plain] == [True] * len(plain)
    assert [deep(value, 0) for value in others] == [False] * len(others)


# -- a value is read once ------------------------------------------------------------------------


class Resuming:
    """Goes on where it stopped."""

    def __init__(self, items: Any) -> None:
        self.iterator = iter(items)

    def __iter__(self) -> Any:
        return self.iterator


class Failing(Resuming):
    """Breaks off, and then is at its end."""

    def __init__(self, items: Any, error: Exception) -> None:
        super().__init__(self.some(items, error))

    def some(self, items: Any, error: Exception) -> Iterator[Any]:
        yield from items[: len(items) // 2]
        raise error


class OnceSequence(Sequence[Any]):
    def __init__(self, items: Any, size: int = 0) -> None:
        self.given, self.iterator, self.size = items, iter(items), len(items) + size

    def __iter__(self) -> Any:
        return self.iterator

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> Any:
        return self.given[index]


class OnceMapping(Mapping[Any, Any]):
    def __init__(self, given: Any, size: int = 0) -> None:
        self.given, self.iterator, self.size = given, iter(given), len(given) + size

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return self.iterator

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: Any) -> Any:
        return self.given[key]


class LazyList(list[Any]):
    """Its items come when it is read."""

    def __init__(self, items: Any) -> None:
        self.later = items

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(self.later)


LISTS: list[Any] = [
    iter, lambda items: (item for item in items), Resuming, OnceSequence, lambda items: OnceSequence(items, 1),
    lambda items: Failing(items, RuntimeError("SECRET")), lambda items: Failing(items, KeyError("SECRET")),
    deque, UserList, LazyList, list,
]  # fmt: skip
MAPPINGS: list[Any] = [
    OrderedDict, lambda given: defaultdict(list, given), MappingProxyType, UserDict, ChainMap, OnceMapping,
    lambda given: OnceMapping(given, -1), dict,
]  # fmt: skip


def oddly(choose: Random, value: Any) -> Any:
    """The same value, held by other things than lists and dicts, as true as these: fastavro takes any for a boolean."""
    if not value:
        return value
    if type(value) is list:
        return choose.choice(LISTS)([oddly(choose, item) for item in value])
    if type(value) is dict:
        inner = {key: oddly(choose, item) for key, item in value.items()}
        names = [str(key).isascii() and str(key).isidentifier() and not iskeyword(key) for key in inner]
        if inner and all(names) and not any(str(key).startswith("__") for key in inner) and not choose.randrange(3):
            return make_dataclass("Object", list(inner))(**inner)
        return choose.choice(MAPPINGS)(inner)
    return value


@settings(thorough, max_examples=1000)
@given(st.data())
def test_what_is_written_is_what_one_pass_gave(data: st.DataObject) -> None:
    found = data.draw(schemas())
    value = data.draw(found.values)
    if not data.draw(st.integers(0, 4)):
        value = data.draw(mutated(value))
    if found.schema == "bytes" or (isinstance(found.schema, dict) and found.schema["type"] == "bytes"):
        return  # written raw at the top
    choose = Random(data.draw(st.integers(0, 2**32)))
    for options in ({}, {"strict": True}, {"strict_allow_default": True}):
        expected = by_fastavro(found.schema, value, **options)
        refused: AvroEncodingError | None = None
        try:
            written = AvroSchema(json.dumps(found.schema)).writer(PREFIX, **options)(oddly(choose, value), None)
        except AvroEncodingError as error:
            refused = error
        assert refused or written == expected
        assert refused is None or ("SECRET" not in repr(refused) and refused.__context__ is None)


IDS = record_of("R", ids={"type": "array", "items": "long"})


@pytest.mark.parametrize("make", LISTS)
def test_an_array_is_written_whole_or_refused(make: Any) -> None:
    failing = isinstance(make([1, 2]), Failing)
    assert by_serializer(IDS, {"ids": make([1, 2])}) == (None if failing else by_fastavro(IDS, {"ids": [1, 2]}))
    assert by_serializer(IDS, {"ids": make([1, 2, None, 4])}) is None


def test_an_iterator_that_stands_twice_in_a_value_is_read_once() -> None:
    both = record_of("R", a={"type": "array", "items": "long"}, b={"type": "array", "items": "long"})
    numbers = iter([1, 2])
    assert by_serializer(both, {"a": numbers, "b": numbers}) == by_fastavro(both, {"a": [1, 2], "b": [1, 2]})


def test_a_mapping_is_read_once_for_all_branches_of_a_union() -> None:
    union = [record_of("A", k={"type": "enum", "name": "E", "symbols": ["x"]}), {"type": "map", "values": "null"}]
    for options in ({}, {"strict": True}):
        write = AvroSchema(json.dumps(union)).writer(PREFIX, **options)
        assert write(OnceMapping({"k": "x"}), None) == by_fastavro(union, {"k": "x"}, **options)


def test_an_iterator_that_no_array_is_written_from_is_not_touched() -> None:
    for kind in (
        "long",
        ["null", "string"],
        ["null", {"type": "array", "items": "long"}],
        {"type": "map", "values": "long"},
    ):
        endless = count()
        assert by_serializer(record_of("R", a=kind), {"a": endless}) is None
        assert next(endless) == 0


LONGS, MAP_OF_LONGS = {"type": "array", "items": "long"}, {"type": "map", "values": "long"}


OTHER = {"type": "record", "name": "Other", "fields": [{"name": "y", "type": "long"}]}


class Unreadable(Mapping[Any, Any]):
    def __getitem__(self, key: Any) -> Any:
        raise ConnectionError("SECRET")

    __iter__ = __len__ = __getitem__  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (LONGS, iter([1])),
        (LONGS, (n for n in [1])),
        (LONGS, {1}),
        (LONGS, {1: 2}.keys()),
        (["null", LONGS], iter([1])),
        (["null", LONGS], {1}),
        (MAP_OF_LONGS, iter({"a": 1})),
        (MAP_OF_LONGS, Unreadable()),
        (["null", MAP_OF_LONGS], Unreadable()),
        ("long", Decimal("1E+999999999")),
    ],
)  # fmt: skip
def test_what_a_union_cannot_read_makes_it_no_smaller_branch(kind: Any, value: Any) -> None:
    smaller = {"type": "record", "name": "Smaller", "fields": [{"name": "a", "type": "long"}]}
    larger = {"type": "record", "name": "Larger", "fields": [*smaller["fields"], {"name": "b", "type": kind}]}
    with pytest.raises(AvroEncodingError) as refused:
        AvroSchema(json.dumps([smaller, larger])).writer(PREFIX)({"a": 1, "b": value}, None)
    assert refused.value.field_path == "b"
    assert "SECRET" not in str(refused.value)


@dataclass
class Empty:
    pass


@dataclass
class HasQ:
    q: int


@pytest.mark.parametrize("wrap", [lambda kind: kind, lambda kind: ["null", kind], lambda kind: [OTHER, kind]])
def test_an_object_that_lacks_a_field_makes_it_no_smaller_branch(wrap: Any) -> None:
    inner = record_of("Inner", x=["null", "long"])
    union = [record_of("Smaller", a="long"), record_of("Larger", a="long", b=wrap(inner))]
    with pytest.raises(AvroEncodingError) as refused:
        AvroSchema(json.dumps(union)).writer(PREFIX)({"a": 1, "b": Empty()}, None)
    assert refused.value.field_path == "b.x"


def test_a_list_whose_items_come_later_is_no_empty_map() -> None:
    field = record_of("R", m={"type": "map", "values": "null"})
    assert by_serializer(field, {"m": LazyList([])}) == by_fastavro(field, {"m": []})
    assert by_serializer(field, {"m": LazyList([None])}) is None


def test_an_object_is_refused_where_fastavro_looks_at_no_other_branch_for_a_dict() -> None:
    dates = {"type": "map", "values": {"type": "int", "logicalType": "date"}}
    union = [dates, record_of("R", q="string")]
    assert by_fastavro(union, {"q": "no date"}) is None
    assert by_serializer(union, HasQ("no date")) is None  # type: ignore[arg-type]


def test_an_object_goes_to_the_branch_of_its_fields_though_another_may_lack_all_of_its() -> None:
    union = [record_of("A", p=["null", "long"]), record_of("B", q="long")]
    expected = by_fastavro(union, {"q": 1})
    assert AvroSchema(json.dumps(union)).writer(PREFIX)(HasQ(1), None) == expected


def test_an_interrupt_while_an_iterator_is_read_is_the_callers() -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_serializer(IDS, {"ids": interrupted()})


class Headers:
    """As a message's: no mapping, and a name may come twice."""

    def __init__(self, *pairs: Any) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def items(self) -> Any:
        return self.pairs


class Gets:
    """No mapping, but a record's fields can be read from it as from one."""

    def __contains__(self, name: Any) -> bool:
        return name in ("a", "-type", "another")

    def get(self, name: Any) -> Any:
        return 5


class OnlyGets(Gets):
    pass


class Broken:
    def __iter__(self) -> Any:
        raise RuntimeError("SECRET")


class BrokenIterator(Broken):
    def __next__(self) -> Any:
        raise AssertionError


class BrokenList(list[Any]):
    __iter__ = Broken.__iter__  # type: ignore[assignment]


class Indexed:
    def __getitem__(self, index: int) -> int:
        return [7, 8][index]


HASH, TWO = {"type": "fixed", "name": "F", "size": 4}, record_of("T", a="long", b=["null", "long"])
HasAB = make_dataclass("HasAB", ["a", "b"])
HALF = HasAB(1, 2)
del HALF.b


def copied(schema: Any, value: Any, **options: bool) -> Any:
    top, named = parsed(schema)
    return Copy(named, {"strict": False, "strict_allow_default": False} | options).of(top, value)


def as_it_is(value: Any) -> Any:
    return value, value


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ("long", *as_it_is(iter([1]))),
        ("string", *as_it_is(VAST)),
        ("double", *as_it_is(VAST)),
        (listed("long"), iter([1, 2]), [1, 2]),
        (listed("long"), {3}, [3]),
        (listed("long"), {1: 2}, [1]),
        (listed("long"), OwnList([1]), [1]),
        (listed("long"), Indexed(), [7, 8]),
        (listed("long"), *as_it_is(b"12")),
        (listed("long"), *as_it_is(array("i", [1]))),
        (listed("long"), *as_it_is(memoryview(b"12"))),
        (listed("long"), *as_it_is(object())),
        (listed("long"), *as_it_is(UNKNOWN[2])),
        (listed("string"), iter(["x", VAST]), ["x", VAST]),
        (listed(["null", "long"]), iter([1, None]), [1, None]),
        (listed(listed("long")), iter([iter([1]), (2,)]), [[1], [2]]),
        (HASH, array("H", [1, 2]), b"\1\0\2\0"),
        (HASH, *as_it_is([1])),
        (listed("long"), *as_it_is(type("Bytes", (bytes,), {})(b"12"))),
        (listed(["null", WHOLE]), [HasAB(1, 2), HasAB(3, 4)], [("L", {"a": 1}), ("L", {"a": 3})]),
        (listed(HASH), iter([memoryview(b"1234"), "1234", [1]]), [b"1234", "1234", [1]]),
        (DATES, iter([DAY]), [DAY]),
        (DATES, *as_it_is(OwnList([1]))),
        (listed(DATES), [iter([DAY])], [[DAY]]),
        (WHOLE, OwnDict(a=1, b=2), {"a": 1}),
        (WHOLE, OwnDict({"a": 1, "-type": "L"}), {"a": 1, "-type": "L"}),
        (WHOLE, {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (WHOLE, Gets(), {"a": 5, "-type": 5}),
        (WHOLE, HasAB(1, 2), {"a": 1}),
        (WHOLE, *as_it_is([1])),
        (record_of("R", l=listed("long")), OwnDict(l=iter([1])), {"l": [1]}),
        (mapped("long"), OwnDict(k=1), {"k": 1}),
        (mapped("long"), HasAB(1, 2), {"a": 1, "b": 2}),
        (mapped("long"), Headers(("k", 1)), {"k": 1}),
        (mapped("long"), OwnList([]), []),
        (mapped("long"), *as_it_is(iter([]))),
        (mapped("long"), *as_it_is(object())),
        (mapped(listed("long")), {"k": iter([1]), "l": (2,)}, {"k": [1], "l": [2]}),
        (["null", WHOLE], OwnDict(a=1), {"a": 1}),
        (["null", WHOLE], HasAB(1, 2), ("L", {"a": 1})),
        (["null", {**WHOLE, "type": "error"}], HasAB(1, 2), {"a": 1}),
        (["null", WHOLE], ("L", OwnDict(a=1, b=2)), ("L", {"a": 1})),
        (["null", WHOLE], ("L", HasAB(1, 2)), ("L", {"a": 1})),
        (["null", WHOLE], *as_it_is(("Q", OwnDict(a=1)))),
        (["null", WHOLE], *as_it_is(("L", OwnDict(a=1), 3))),
        (["null", WHOLE], *as_it_is(Gets())),
        (["null", WHOLE], *as_it_is(iter([1]))),
        (["null", TEXTS, WHOLE], HasAB(1, 2), ("L", {"a": 1})),
        (["null", TEXTS, WHOLE], OwnDict(a=1), ("L", {"a": 1})),
        ([WHOLE, TWO], HasAB(1, 2), ("T", {"a": 1, "b": 2})),
        ([TWO, WHOLE], HasAB(1, 2), ("T", {"a": 1, "b": 2})),
        ([WHOLE, {**WHOLE, "name": "M"}], HasAB(1, 2), ("L", {"a": 1})),
        ([WHOLE, TWO], HasQ(1), None),
        ([WHOLE, mapped("long")], HasAB(1, 2), {"a": 1, "b": 2}),
        ([mapped("long"), TWO], HasAB(1, 2), {"a": 1, "b": 2}),
        ([mapped("string"), WHOLE], HasAB(1, 2), ("L", {"a": 1})),
        (["null", listed("long")], UserList([1]), [1]),
        (["null", listed("long")], *as_it_is({1})),
        (["null", listed("long")], *as_it_is(array("i", [1]))),
        (["null", listed("long")], deque([1]), [1]),
        (["null", listed(WHOLE)], [HasAB(1, 2), OwnDict(a=2, b=3)], [{"a": 1}, {"a": 2}]),
        (["null", mapped("long")], OwnDict(k=1), {"k": 1}),
        (["null", mapped("long")], *as_it_is(Headers(("k", 1)))),
        (["null", mapped("long")], HasAB(1, 2), {"a": 1, "b": 2}),
        (["null", record_of("R", f=HASH)], OwnDict(f=array("i", [1])), {"f": array("i", [1])}),
        (["null", record_of("R", f=HASH)], HasQ(1), None),
        (["null", record_of("R", l=WHOLE, m=["null", "L"])], OwnDict(l=HasAB(1, 2), m=OwnDict(a=3, b=4)),
            {"l": {"a": 1}, "m": {"a": 3}}),
        (["null", record_of("R", l=listed("long"))], OwnDict(l=UserList([1])), {"l": [1]}),
        (["null", record_of("R", m=mapped("long"))], OwnDict(m=HasAB(1, 2)), {"m": {"a": 1, "b": 2}}),
    ],
)  # fmt: skip
def test_a_copy_has_what_the_schema_asks_for(schema: Any, value: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(Unfit):
            copied(schema, value)
    else:
        copy = copied(schema, value)
        assert (type(copy), repr(copy)) == (type(expected), repr(expected))
        assert copy is value or copy is not expected


@pytest.mark.parametrize(
    ("schema", "value", "place", "expected", "actual"),
    [
        ("long", VAST, "", "long", "Decimal of more than 10000 digits"),
        ("int", VAST, "", "int", "Decimal of more than 10000 digits"),
        ("bytes", VAST, "", "bytes", "Decimal of more than 10000 digits"),
        (HASH, VAST, "", "4 bytes of fixed F", "Decimal of more than 10000 digits"),
        (["null", "string"], VAST, "", "one of null, string", "Decimal of more than 10000 digits"),
        (listed("long"), [1, VAST], "[1]", "long", "Decimal of more than 10000 digits"),
        (mapped("long"), {"k": VAST}, "['k']", "long", "Decimal of more than 10000 digits"),
        (listed("long"), Broken(), "", "array", "Broken, which raised RuntimeError"),
        (listed(listed("long")), [[1], Broken()], "[1]", "array", "Broken, which raised RuntimeError"),
        (mapped(listed("long")), {"k": Broken()}, "['k']", "array", "Broken, which raised RuntimeError"),
        (record_of("R", l=listed("long")), OwnDict(l=Broken()), "l", "array",
            "Broken, which raised RuntimeError"),
        (WHOLE, Unreadable(), "", "record L", "Unreadable, which raised ConnectionError"),
        (mapped("long"), Unreadable(), "", "map", "Unreadable, which raised TypeError"),
        (listed("long"), Unreadable(), "", "array", "Unreadable, which raised TypeError"),
        (DATES, BrokenIterator(), "", "int (date)", "BrokenIterator, which raised RuntimeError"),
        (mapped("long"), BrokenList(), "", "map", "BrokenList, which raised RuntimeError"),
        (mapped("long"), HALF, "b", "map", "HasAB, which raised AttributeError"),
        (WHOLE, Empty(), "a", "long", "nothing: the field is missing"),
        (TWO, HasQ(1), "a", "long", "nothing: the field is missing"),
        (record_of("R", t=TWO), {"t": HasQ(1)}, "t.a", "long", "nothing: the field is missing"),
        (record_of("R", b=["null", "long"]), Empty(), "b", "one of null, long", "nothing: the field is missing"),
        (mapped(WHOLE), HasAB(HasAB(1, 2), Empty()), "['b'].a", "long", "nothing: the field is missing"),
        (mapped("long"), Headers(("k", 1), ("k", 2)), "", "map", "Headers that has a key twice"),
        (["null", WHOLE], Empty(), "a", "long", "nothing: the field is missing"),
        (["null", TEXTS, WHOLE], HasAB(None, 2), "", "one of null, record S, record L", "HasAB"),
        (["null", record_of("R", b=["null", "long"])], Empty(), "b", "one of null, long",
            "nothing: the field is missing"),
        (["null", listed(listed("long"))], [{1}], "[0]", "array", "set: within a union give a list or a dict"),
        (["null", mapped(listed("long"))], {"k": iter([1])}, "['k']", "array",
            "list_iterator: within a union give a list or a dict"),
        (["null", record_of("R", m=mapped("long"))], OwnDict(m=Headers()), "m", "map",
            "Headers: within a union give a list or a dict"),
        (["null", record_of("R", m=WHOLE)], OwnDict(m=UNKNOWN[2]), "m", "record L",
            "Odd: within a union give a list or a dict"),
    ],
)  # fmt: skip
def test_what_cannot_be_copied_is_told_with_its_place(
    schema: Any, value: Any, place: str, expected: str, actual: str
) -> None:
    inside = f"f.{place}" if place and place[0] != "[" else "f" + place
    for kind, one, path in ((schema, value, place), (record_of("Outer", f=schema), OwnDict(f=value), inside)):
        with pytest.raises(Unfit) as caught:
            copied(kind, one)
        misfit = caught.value.misfit
        assert (misfit.path, misfit.expected, misfit.actual) == (path, expected, actual)


@pytest.mark.parametrize("strict", ["strict", "strict_allow_default"])
def test_a_strict_copy_has_the_names_of_all_there_is(strict: str) -> None:
    options = {strict: True}
    assert copied(WHOLE, OwnDict(a=1, b=2), **options) == {"a": 1, "b": None}
    assert copied(WHOLE, HasAB(1, 2), **options) == {"a": 1, "b": None}
    assert copied(["null", WHOLE], {"a": 1, "b": OwnDict()}, **options) == {"a": 1, "b": OwnDict()}
    with pytest.raises(Unfit) as caught:
        copied(WHOLE, OnlyGets(), **options)
    misfit = caught.value.misfit
    assert (misfit.expected, misfit.actual) == ("record L", "OnlyGets, which raised AttributeError")


def test_a_map_with_a_key_twice_is_refused() -> None:
    schema = {"type": "map", "values": "string"}
    assert by_serializer(schema, Headers(("a", "1"))) == by_fastavro(schema, {"a": "1"})
    with pytest.raises(AvroEncodingError, match="a key twice"):
        AvroSchema(json.dumps(schema)).writer(b"")(Headers(("a", "1"), ("a", "2")), None)


@pytest.mark.parametrize(
    "value",
    [bytearray(b"abc"), array("B", b"abc"), array("i", [1, 2, 3]), memoryview(array("i", [1, 2, 3])), [1, 2, 3], "abc"],
)
def test_a_fixed_is_written_with_its_size_or_refused(value: Any) -> None:
    written = by_serializer({"type": "fixed", "name": "F", "size": 3}, value)
    assert written == (PREFIX + b"abc" if not isinstance(value, str) and bytes(value) == b"abc" else None)


# -- safety --------------------------------------------------------------------------------------

NASTY = [
    "'", '"', "\\", "\n", "'''", '"""', "{0}", "%s", "#", "\r", "\t", "\0", "\u2028", "\u0085", "é", "😀",
    "class", "None", "ctx", "value", "p", "T", "other", "__import__('os').abort()",
    "']; __import__('os').abort() #", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY, ids=repr)
def test_no_text_of_a_schema_becomes_code(name: str) -> None:
    field = {"name": name, "doc": name, "aliases": [name], "default": name, name: name}
    schema = {"type": "record", "name": "R", "fields": [{**field, "type": "string"}]}
    assert compiled(schema)({name: "x"}, None) == by_fastavro(schema, {name: "x"})


@pytest.mark.parametrize("symbol", NASTY, ids=repr)
def test_no_symbol_of_an_enum_becomes_code(symbol: str) -> None:
    enum = {"type": "enum", "name": "E", "symbols": ["A", symbol]}
    named: dict[str, Any] = {}
    write = compiler.compiled(enum, named).writer(PREFIX, falls_back)  # not parsed: fastavro may not allow the symbol
    assert write(symbol, None) == PREFIX + b"\2"


@pytest.mark.parametrize("size", ["__import__('os')", "4", 4.7, None, [4]], ids=repr)
def test_the_size_of_a_fixed_is_a_number_or_fastavros_matter(size: Any) -> None:
    with pytest.raises(Unsuitable):
        source_of({"type": "fixed", "name": "F", "size": size}, {})


@thorough
@given(st.data())
def test_the_code_of_any_schema_names_only_what_it_was_given(data: st.DataObject) -> None:
    found = data.draw(schemas(decided=True))
    source = compiler._Source(*parsed(found.schema))
    names = set(names_in(compile(source.text, "x", "exec").co_consts))
    builtin = {"type", "len", "map", "dict", "list", "str", "bytes", "int", "float", "bool", "Exception"}
    methods = {"encode", "items", "values", "issuperset", "copy", "adjusted"}
    given_to_it = {*shared_scope(), *source.constants, "other", "prefix"}
    others = names - builtin - methods - given_to_it
    assert not [name for name in others if not re.fullmatch(r"write_\d+", name)]


def parsed(schema: Any) -> tuple[Any, dict[str, Any]]:
    named: dict[str, Any] = {}
    return parse_schema(copy.deepcopy(schema), named_schemas=named), named


def names_in(constants: tuple[Any, ...]) -> Iterator[str]:
    for code in constants:
        if hasattr(code, "co_names"):
            yield from code.co_names
            yield from names_in(code.co_consts)


# -- the text ------------------------------------------------------------------------------------


def test_the_text_can_be_read() -> None:
    types = {
        "a": ["null", "double"],
        "b": ["null", "boolean", "string"],
        "c": ["null", {"type": "array", "items": "bytes"}],
    }
    schema = {"type": "record", "name": "R", "fields": [{"name": key, "type": kind} for key, kind in types.items()]}
    assert (
        source_of(*parsed(schema))
        == r"""def write(value, ctx):
    try:
        p = []
        if type(value) is not dict or len(value) < 3: return other(value, prefix)
        v1 = value['a']
        v2 = value['b']
        v3 = value['c']
        if type(v1) not in NONETYPE_OR_FLOAT_OR_INT: return other(value, prefix)
        if v2 is None:
            u4 = b'\x00'
        elif type(v2) is bool:
            u4 = b'\x02' + (YES if v2 else NO)
        elif type(v2) is str:
            u4 = b'\x04' + (T[n6] if (n6 := len(s5 := v2.encode())) < 8192 else write_long(n6)) + (s5)
        else: return other(value, prefix)
        p += (prefix, b'\x00' if v1 is None else b'\x02' + (pack_double(v1)), u4,)
        if v3 is None:
            p += (b'\x00',)
        elif type(v3) is list:
            if not BYTES.issuperset(map(type, v3)): return other(value, prefix)
            c8 = v3.copy()
            p += (b'\x02', T[n9] if (n9 := len(c8)) < 8192 else write_long(n9),)
            for v10 in c8:
                p += (T[n11] if (n11 := len(v10)) < 8192 else write_long(n11), v10,)
            p += (NO if c8 else EMPTY,)
        else: return other(value, prefix)
        return join(p)
    except AvroEncodingError:
        raise
    except SURPRISES:
        raised = []
    except Exception as error:  # a signal handler's, unless the value is at fault
        raised = [error]
    message = other(value, prefix)
    if raised: raise raised[0]
    return message
"""
    )


class Zone(tzinfo):
    """Raises what it is given, as a signal handler may at any moment."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def utcoffset(self, when: Any) -> timedelta:
        if self.errors:
            raise self.errors.pop()
        return timedelta()


def test_what_the_value_is_not_at_fault_for_is_not_swallowed() -> None:
    schema = {"type": "long", "logicalType": "timestamp-millis"}

    def moment(*errors: Exception) -> datetime:
        return datetime(2026, 11, 26, tzinfo=Zone(*errors))

    write = AvroSchema(json.dumps(schema)).writer(PREFIX)
    expected = write(moment(), None)
    with pytest.raises(RuntimeError, match="once"):
        write(moment(RuntimeError("once")), None)
    assert write(moment(ValueError("once")), None) == expected
    with pytest.raises(AvroEncodingError):
        write(moment(*[RuntimeError("always")] * 100), None)


def test_tracebacks_show_the_text_as_long_as_the_function_lives() -> None:
    write = AvroSchema('"string"').writer(PREFIX)
    code = write.__code__  # type: ignore[attr-defined]
    filename, line = code.co_filename, code.co_firstlineno
    del code
    assert linecache.getline(filename, line) == "    def write(value, ctx):\n"
    linecache.checkcache()
    assert linecache.getline(filename, line)
    del write
    gc.collect()
    assert filename not in linecache.cache


def test_functions_share_nothing_that_changes() -> None:
    """Threads write at the same time, each its own bytes."""
    write = compiled(RECORD)
    expected = {n: by_fastavro(RECORD, FITS | {"i": n * 1000}) for n in range(8)}
    wrong: list[int] = []

    def work(n: int) -> None:
        wrong.extend(n for _ in range(2000) if write(FITS | {"i": n * 1000}, None) != expected[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
