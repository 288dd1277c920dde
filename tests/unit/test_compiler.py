"""The native writer, the compiled function and fastavro write the same bytes, or all refuse. Each test is run for both
of ours, and those of the function's own text once.
"""

from __future__ import annotations

import copy
import gc
import json
import linecache
import logging
import os
import re
import string
import sys
import threading
import uuid
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from io import BytesIO
from itertools import count
from keyword import iskeyword
from random import Random
from types import MappingProxyType, ModuleType
from typing import Any

import fastavro.write
import pytest
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import SchemaParseException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafka_sr_retry import AvroEncodingError, ConfigurationError
from kafka_sr_retry.avro import compiler, parts
from kafka_sr_retry.avro import types as avro_types
from kafka_sr_retry.avro.compiler import Unsuitable, source_of
from kafka_sr_retry.avro.encoder import ENCODER, AvroSchema
from kafka_sr_retry.avro.objects import Copy, Plainness, Unfit
from kafka_sr_retry.avro.pieces import shared_scope, varint
from kafka_sr_retry.avro.text import Write

PREFIX = b"\0\0\0\1\2"
LONG = {"min_value": -(2**63), "max_value": 2**63 - 1}
INT = {"min_value": -(2**31), "max_value": 2**31 - 1}

thorough = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


class FellBack(Exception):  # noqa: N818
    """The compiled function has given a value to fastavro."""


def falls_back(value: Any, prefix: bytes) -> bytes:
    raise FellBack


@pytest.fixture(scope="module", params=["native", "python"], autouse=True)
def encoder(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which of ours it is."""
    if request.param == "native":
        pytest.importorskip("kafka_sr_retry.avro._native", reason="not built here: it needs a C compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENCODER, request.param)
        yield request.param


of_the_function = pytest.mark.parametrize("encoder", ["python"], indirect=True)
of_native_code = pytest.mark.parametrize("encoder", ["native"], indirect=True)


def is_native() -> bool:
    return os.environ[ENCODER] == "native"


def compiled(schema: Any, other: Any = falls_back) -> Write:
    """A writer alone, without the serializer's way for objects and errors."""
    named: dict[str, Any] = {}
    parsed = parse_schema(copy.deepcopy(schema), named_schemas=named)
    if is_native():
        from kafka_sr_retry.avro.native import program

        return program(parsed, named).writer(PREFIX, other)
    return compiler.compiled(parsed, named).writer(PREFIX, other)


def assert_is_not_sure(schema: Any, value: Any) -> None:
    """The function gives it to fastavro; native code may know what that writes."""
    try:
        written = compiled(schema)(value, None)
    except FellBack:
        return
    assert is_native()
    assert written == by_fastavro(schema, value)


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


class Sly(list):  # type: ignore[type-arg]
    """Its own ``copy`` is not what it holds."""

    def copy(self) -> list[Any]:
        return ["a lie"]


class Veiled(list):  # type: ignore[type-arg]
    """It shows other items than it stores."""

    def __iter__(self) -> Iterator[Any]:
        return iter([7, 7])


class OnlyIndex:
    """fastavro takes no such integer."""

    def __index__(self) -> int:
        return 5


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


@st.composite
def long_schemas(draw: st.DrawFn) -> tuple[Any, Any]:
    """A record of more fields than are compiled one by one, somewhere, and a value that fits."""
    kinds = [
        draw(schemas(decided=True)),
        *draw(st.lists(st.sampled_from(PRIMITIVES + LOGICAL), min_size=2, max_size=4)),
    ]
    if draw(st.booleans()):
        kinds += [Drawn(["null", kind.schema], st.none() | kind.values, kind.types) for kind in kinds[1:2]]
    names_anew = draw(st.booleans())
    values = [[draw(kind.values) for _ in range(2)] for kind in kinds]
    fields, value = [], {}
    places = list(range(avro_types.LONG + 1 + draw(st.integers(0, 3))))
    Random(draw(st.integers(0, 9))).shuffle(places)
    for place in range(len(places)):
        which = places[place] % len(kinds)
        schema, first = kinds[which].schema, which == 0 and places[place] == 0
        if not first:
            schema = renamed(schema, place) if names_anew else schema
        fields.append({"name": f"f{place}", "type": schema})
        value[f"f{place}"] = values[which][places[place] % 7 % 2]
    if not names_anew:
        fields = once(fields, set())
    record = {"type": "record", "name": "Long", "fields": fields}
    around = draw(st.sampled_from(["nothing", "array", "union", "record"]))
    if around == "array":
        return {"type": "array", "items": record}, [value, value]
    if around == "union":
        return ["null", record], value
    if around == "record":
        return {"type": "record", "name": "Outer", "fields": [{"name": "inner", "type": record}]}, {"inner": value}
    return record, value


def renamed(schema: Any, number: int) -> Any:
    return json.loads(re.sub(r'"(ns|a\.b)\.([REF]\d+)"', rf'"\1.\2_{number}"', json.dumps(schema)))


def once(schema: Any, known: set[str]) -> Any:
    """Named types are defined where they stand first."""
    if isinstance(schema, list):
        return [once(each, known) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "fields" in schema or "symbols" in schema or "size" in schema:
        if schema["name"] in known:
            return schema["name"]
        known.add(schema["name"])
    return {
        key: once(each, known) if key in ("type", "items", "values", "fields") else each for key, each in schema.items()
    }


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_what_has_many_fields_is_written_as_by_fastavro(data: st.DataObject) -> None:
    schema, value = data.draw(long_schemas())
    expected = by_fastavro(schema, value)
    write = compiled(schema, lambda *_: b"fell back")
    assert write(value, None) == (b"fell back" if expected is None else expected)
    value = data.draw(mutated(value))
    assert by_serializer(schema, value) == by_fastavro(schema, value)


@pytest.mark.parametrize(
    ("kind", "fits"),
    [
        ("long", 5),
        ("null", None),
        (["string", "null"], "x"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B"),
        ({"type": "fixed", "name": "F", "size": 2}, b"12"),
        ({"type": "int", "logicalType": "date"}, date(2020, 1, 2)),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}], None),
        (["null", "string", "double"], 0.5),
        ({"type": "array", "items": "string"}, ["x"]),
        ({"type": "array", "items": "long"}, [5, -5]),
        (["null", {"type": "array", "items": ["null", "int"]}], [None, 5]),
        ({"type": "map", "values": "bytes"}, {"k": b"x"}),
        (["null", {"type": "record", "name": "ns.R0", "fields": [{"name": "a", "type": "int"}]}], {"a": 1}),
        ({"type": "record", "name": "ns.R0", "fields": [{"name": c, "type": "string"} for c in "abcde"]},
            dict.fromkeys("abcde", "x")),
    ],
    ids=repr,
)  # fmt: skip
def test_a_field_among_many_that_does_not_fit_is_fastavros(kind: Any, fits: Any) -> None:
    count = 2 * avro_types.LONG
    fields = [{"name": f"f{n}", "type": renamed(kind, n % 3) if n % 2 else "int"} for n in range(count)]
    fields = [{"name": "first", "type": "string"}, *once(fields, set())]
    schema = {"type": "record", "name": "Long", "fields": fields}
    value = {"first": "x", **{f"f{n}": fits if n % 2 else n for n in range(count)}}
    assert compiled(schema)(value, None) == by_fastavro(schema, value)
    write = AvroSchema(json.dumps(schema)).writer(PREFIX)
    if isinstance(fits, list):  # it is written as it shows itself
        assert write({**value, f"f{count // 2 + 1}": Sly(fits)}, None) == by_fastavro(schema, value)
    for odd in ODD:
        value[f"f{count // 2 + 1}"] = odd
        expected = by_fastavro(schema, value)
        if expected is not None:
            assert write(value, None) == expected
        else:
            with pytest.raises(AvroEncodingError):
                write(value, None)


@of_the_function
@pytest.mark.parametrize("of", ["four types", "records", "a record twice"])
def test_what_is_compiled_at_once_is_short(of: str) -> None:
    """All other threads wait for Python's compiler."""
    types = ["long", "string", ["null", "double"], {"type": "array", "items": "int"}]

    def record(name: str, first: int, count: int) -> Any:
        fields = [{"name": f"f{n}", "type": types[n % 4]} for n in range(first, first + count)]
        return {"type": "record", "name": name, "fields": fields}

    schema = record("Long", 0, 1000)
    if of == "records":
        fields = [{"name": f"r{n}", "type": ["null", record(f"R{n}", n, 40)]} for n in range(25)]
        schema = {"type": "record", "name": "Outer", "fields": fields}
    elif of == "a record twice":
        before = {"name": "before", "type": ["null", record("Row", 0, 1000)]}
        schema = {"type": "record", "name": "Change", "fields": [before, {"name": "after", "type": ["null", "Row"]}]}
    assert max(len(text) for text in compiler._Source(*parsed(schema)).within_make()) < 10_000


def test_records_of_many_shapes_among_many_fields() -> None:
    kinds = ["int", "string", ["null", "int"], {"type": "array", "items": "int"}]
    values = [5, "x", None, [7]]
    fields, value = [], {}
    for n in range(2 * avro_types.LONG):
        of = n % len(kinds)
        inner = [{"name": f"a{n // 4 % 2}", "type": kinds[of]}]
        inner += [{"name": f"more{each}", "type": "long"} for each in range(n % 3 * 2)]
        kind = {"type": "record", "name": f"R{n}", "fields": inner}
        fields.append({"name": f"f{n}", "type": ["null", kind] if n % 5 else kind})
        value[f"f{n}"] = {f"a{n // 4 % 2}": values[of], **{f"more{each}": n for each in range(n % 3 * 2)}}
    schema = {"type": "record", "name": "Long", "fields": fields}
    assert compiled(schema)(value, None) == by_fastavro(schema, value)


@pytest.mark.parametrize("of", ["union", "record"])
def test_a_record_whose_fields_are_called_like_types_is_none_of_these(of: str) -> None:
    kinds: list[Any] = [record_of(f"R{n}", array="int", map="int") for n in range(avro_types.LONG)]
    kinds.insert(0 if of == "union" else 1, [listed("int"), mapped("int")])
    schema = record_of("Long", **{f"f{n}": kind for n, kind in enumerate(kinds)})
    value = {f"f{n}": {"array": 1, "map": 2} for n in range(len(kinds))}
    assert by_serializer(schema, value) == by_fastavro(schema, value)


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


@pytest.mark.parametrize("fields", [1, avro_types.WIDE - 1, avro_types.WIDE, 300])
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
    written = compiled(RECORD, other)(value, None)
    if is_native() and not given:
        assert written == by_fastavro(RECORD, value)
        return
    assert written == b"by fastavro"
    assert given == [(value, PREFIX)]
    assert given[0][0] is value


@pytest.mark.parametrize("key", list(FITS))
def test_a_missing_key_goes_to_fastavro(key: str) -> None:
    value = {name: item for name, item in FITS.items() if name != key}
    for short_or_not in (value, value | {"another": 1}):
        assert_is_not_sure(RECORD, short_or_not)
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


def test_an_error_and_a_record_of_one_name_in_references_are_each_their_own() -> None:
    error, more = {**record_of("X", a="int"), "type": "error"}, record_of("More", a="int", b="int")
    first = record_of("Q", u=[error, more])
    schema = AvroSchema(json.dumps(record_of("Top", x=record_of("X", a="int"), q="Q")), [json.dumps(first)])
    value = {"x": {"a": 1}, "q": {"u": {"a": 1, "b": 2}}}
    assert schema.writer(b"")(value, None) == b"\2\0\2"  # the first error that fits, whatever record does
    assert schema.encoder().why == "two records X"


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


def outcome(write: Any, schema: Any, value: Any) -> bytes | None:
    try:
        return write(schema, value)
    except (FellBack, OverflowError, ValueError):
        return None


@of_the_function
@pytest.mark.parametrize("kind", ["int", "long"])
@pytest.mark.parametrize(
    "number", [1, 8191, 8192, 1 << 27, (1 << 31) - 1, -(1 << 31), 1 << 31, 1_700_000_000_123, -(1 << 63), 1 << 63]
)
@pytest.mark.parametrize("many", [7, 8, 300])
def test_many_integers_are_as_fastavro_has_them(kind: str, number: int, many: int) -> None:
    """From eight on it writes them itself; what it refuses is whole its own."""
    for schema, value in ((listed(kind), [number] * many), (mapped(kind), {f"k{n}": number for n in range(many)})):
        for whole in (schema, ["null", schema]):
            expected, got = [
                outcome(write, whole, value) for write in (by_fastavro, lambda kind, each: compiled(kind)(each, None))
            ]
            assert got in (expected, None)
            assert got == expected or not -(1 << 31) <= number < 1 << 31


NESTS = [
    *(listed(listed("long")), listed(listed(listed("int"))), listed(mapped("long")), mapped(listed("int"))),
    *(mapped(mapped("string")), listed(listed("string")), mapped(listed("double")), listed(mapped("boolean"))),
]


def a_nest(schema: Any, leaf: Any, sizes: Any) -> Any:
    """A value of arrays and maps within one another."""
    if isinstance(schema, str):
        return leaf
    items = [a_nest(schema.get("items", schema.get("values")), leaf, sizes) for _ in range(next(sizes))]
    return items if schema["type"] == "array" else {f"k{n}": item for n, item in enumerate(items)}


LEAVES = {"string": "xé", "double": 0.5, "boolean": True}


@of_the_function
@pytest.mark.parametrize("number", [0, -8192, 8192, 1 << 27, 1 << 41, -(1 << 41), (1 << 63) - 1, -(1 << 63)])
@pytest.mark.parametrize("around", ["nothing", "fields", "many fields", "union", "a record twice"])
def test_numbers_and_what_is_nested_are_as_fastavro_has_them(number: int, around: str) -> None:
    draw = Random(number)
    for schema in [*NESTS, "int", "long", listed("int"), listed("long"), mapped("int"), mapped("long")]:
        leaf = next((LEAVES[kind] for kind in LEAVES if kind in json.dumps(schema)), number)
        count = {"nothing": 1, "many fields": 150}.get(around, 10)
        values = [a_nest(schema, leaf, iter(lambda: draw.choice((0, 1, 2, 7, 9)), None)) for _ in range(count)]
        fields = {f"f{n}": schema for n in range(count)}
        record = record_of("R", **fields)
        whole, value = record, {f"f{n}": each for n, each in enumerate(values)}
        if around == "union":
            whole = record_of("Top", a=["null", record])
            value = {"a": value}
        elif around == "a record twice":
            whole = record_of("Top", a=record, b="R")
            value = {"a": value, "b": value}
        expected = by_fastavro(whole, value)
        got = compiled(whole, lambda *_: b"other")(value, None)
        fits = "int" not in json.dumps(schema) or -(1 << 31) <= number < 1 << 31
        assert got == expected or (not fits and got == b"other")
        assert by_serializer(whole, value) == expected


@of_the_function
@pytest.mark.parametrize("schema", [*NESTS, listed("long"), mapped("int"), mapped("string"), listed("string")], ids=str)
@pytest.mark.parametrize("fields", [1, 4])
def test_what_is_odd_among_them_is_fastavros_whole_or_as_it_has_it(schema: Any, fields: int) -> None:
    record = record_of("R", **{f"f{n}": schema for n in range(fields)})
    leaf = next((LEAVES[kind] for kind in LEAVES if kind in json.dumps(schema)), 1 << 40)
    write, sizes = compiled(record, lambda *_: b"other"), (1, 3) if schema in NESTS else (3, 300)
    depth = json.dumps(schema).count("type")
    leaf = 5 if fields == 1 and leaf == 1 << 40 else leaf
    for odd in [*ODD, Sly([1]), Veiled([1]), OrderedDict(a=[1]), iter([1]), OnlyIndex()]:
        for size, at in ((size, at) for size in sizes for at in range(1 + depth)):
            value = {f"f{n}": a_nest(schema, leaf, iter([size] + [2] * 50)) for n in range(fields)}
            holder, key = value, "f0"
            for _ in range(at):
                holder, key = holder[key], next(iter(holder[key])) if isinstance(holder[key], dict) else -1
            holder[key] = odd
            if isinstance(holder, list) and len(holder) > 2:
                holder[1], holder[-1] = odd, holder[0]
            got = write(value, None)
            assert got in (b"other", by_fastavro(record, value))
            assert got == b"other" or at == depth or not isinstance(odd, (Sly, Veiled, OrderedDict, Iterator))


@of_the_function
def test_no_decimal_is_given_to_fastavro_as_an_integer() -> None:
    """One may stand for more digits than there is memory for."""
    vast = Decimal("1E+999999999")
    for schema, value in (
        (listed("long"), [1 << 40] * 20 + [vast, 1]),
        (listed("long"), [1] * 20 + [vast, 1]),
        (mapped("long"), dict.fromkeys("abcdefghi", 1) | {"x": vast}),
        (listed(listed("int")), [[1], [2, vast]]),
        (listed(mapped("int")), [{"a": vast}]),
        (mapped(listed(listed("int"))), {"a": [[1], [vast]]}),
        (record_of("R", **dict.fromkeys("abcdef", "long")), dict.fromkeys("abcde", 1 << 50) | {"f": vast}),
        (
            record_of("R", **dict.fromkeys("abcdef", listed("long"))),
            {name: list[int]() for name in "abcde"} | {"f": [vast]},
        ),
    ):
        with pytest.raises(FellBack):
            compiled(schema)(value, None)


@of_the_function
@pytest.mark.parametrize(
    "schema",
    [listed(listed("long")), listed(mapped("long")), record_of("R", **dict.fromkeys("abcdef", listed("long")))],
    ids=["arrays", "maps", "fields"],
)
def test_what_another_thread_changes_within_is_written_whole(schema: Any) -> None:
    """Read again, it has as many items as its sizes say."""
    inner: Any = {} if "map" in json.dumps(schema) else []
    value: Any = dict.fromkeys("abcdef", inner) if schema["type"] == "record" else [inner] * 50
    write = compiled(schema, lambda value, prefix: by_fastavro(schema, value))
    done, read = threading.Event(), parse_schema(copy.deepcopy(schema))

    def change() -> None:
        while not done.is_set():
            if isinstance(inner, dict):
                inner["k"] = 5
                inner.clear()
            else:
                inner.append(5)
                inner.pop()

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        written = {write(value, None) for _ in range(6_000)}
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    for message in written:
        data = BytesIO(message[len(PREFIX) :])
        fastavro.schemaless_reader(data, read)
        assert not data.read()


def test_without_fastavros_inner_function_its_public_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastavro._write", None)
    assert parts._write_data() is parts._by_file
    other = ModuleType("_write")
    other.write_data = lambda out, *_: out.append(0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastavro._write", other)
    assert parts._write_data() is parts._by_file
    record, out = parse_schema(record_of("R", a=["null", "long"], b=listed("string"))), bytearray(PREFIX)
    parts._by_file(out, {"a": 5, "b": ["x"]}, record, {}, "", {"strict": True})
    assert bytes(out) == by_fastavro(record_of("R", a=["null", "long"], b=listed("string")), {"a": 5, "b": ["x"]})


@of_the_function
def test_a_decimal_on_fixed_is_the_functions() -> None:
    money = {"type": "fixed", "name": "M", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 4}
    for schema, value in ((money, Decimal("12.3456")), (["null", money], Decimal("-1.5")), (money, b"12345678")):
        assert compiled(schema)(value, None) == by_fastavro(schema, value)


@of_the_function
def test_an_enum_that_is_used_often_is_kept_once() -> None:
    enum = {"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(100)]}
    fields = {"f0": enum, **{f"f{n}": "E" for n in range(1, 50)}}
    source = compiler._Source(*parsed(record_of("R", **fields)))
    assert sum(isinstance(constant, dict) for constant in source.constants.values()) == 1


@pytest.mark.parametrize(("items", "item"), [("string", "x"), ("long", 1_700_000_000_123)])
def test_a_list_that_another_thread_changes_is_written_whole(items: str, item: Any) -> None:
    schema = {"type": "array", "items": items}
    write = compiled(schema, lambda value, prefix: by_fastavro(schema, value))
    changing, done = [item] * 50, threading.Event()

    def change() -> None:
        while not done.is_set():
            changing.append(item)
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
    assert written <= {by_fastavro(schema, [item] * 50), by_fastavro(schema, [item] * 51)}


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
        [{"type": "array", "items": "int"}, "bytes"],
        [{"type": "int", "logicalType": "date"}, "string"],
        [{"type": "int", "logicalType": "date"}, {"type": "long", "logicalType": "timestamp-millis"}],
        [{"type": "enum", "name": "E", "symbols": ["A"]}, "string"],
        [{"type": "long", "logicalType": "timestamp-millis"}, "double"],
    ],
    ids=repr,
)
def test_a_union_that_the_exact_type_does_not_decide_is_not_compiled(union: list[Any]) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "u", "type": union}]}
    if is_native() and union:  # whose branch the value decides, or it is left to fastavro with its value
        compiled(schema)
        return
    with pytest.raises(Unsuitable):
        compiled(schema)


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


@of_the_function
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
        (listed("null"), [5]),
        (["int", listed("null")], [5]),
        (mapped("null"), {"k": 5}),
    ],
    ids=repr,
)
def test_what_does_not_fit_in_a_list_or_a_map_goes_to_fastavro(schema: Any, value: Any) -> None:
    assert_is_not_sure(schema, value)


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


def enumerated(number: int) -> Any:
    return {"type": "enum", "name": f"E{number}", "symbols": ["A"]}


def names(record: Any) -> list[str]:
    return [each["name"] for each in record["fields"]]


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
        ([{"type": "int", "logicalType": "date"}, "double"], UNDECIDED),
        ({"type": "string", "logicalType": "shout"},
            "the logical type string-shout, which somebody has given fastavro a writer for"),
        ({"type": "fixed", "name": "F", "size": "4"}, "an odd fixed"),
        ({"type": "enum", "name": "E", "symbols": {"A": 1}}, "an odd enum"),
        ({"type": "error_union"}, "type error_union"),
        ({"type": "map"}, "KeyError: 'values'"),
        ("nothing", "type nothing"),
        (record_of("R", **{str(n): ["null", enumerated(n)] for n in range(2000)}),
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
        (["float", "string", "double"], [5, 5.5, 1e300, "x"]),
        (["null", "float", "int"], [5, 5.5, None, 2**40]),
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


class Level(IntEnum):
    LOW = 1
    HIGH = 2**40


class Celsius(float):
    pass


class Warmer(float):
    """What it holds is not what it says that it is."""

    def __float__(self) -> float:
        return self + 1.0


class Near(float):
    """It calls all equal."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = float.__hash__


class Moment(datetime):
    pass


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


class Shout(str):
    """It compares as it likes."""

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, str(other).lower())

    __hash__ = str.__hash__


E, F = enumerated(0), {"type": "fixed", "name": "F", "size": 2}
PAID, SENT = (
    record_of("Paid", order="long", cents="long"),
    record_of("Sent", order="long", to=["null", "string"], at=DATES),
)
CALLED = {**record_of("Called", order="long"), "type": "error"}
NEVER = {**record_of("B"), "fields": [{"name": "when", "type": ["null", DATES], "default": "never"}]}


@of_native_code
@pytest.mark.parametrize(
    ("union", "values"),
    [
        (["null", "int", "long"], [0, 2**31 - 1, 2**31, -(2**31) - 1, None, Level.LOW, Level.HIGH]),
        (["int", "double"], [5, 2**31, -(2**31) - 1, 1.5]),
        (["null", E, "string"], ["A", "B", None, Mood.GOOD]),
        ([enumerated(1), {**enumerated(2), "symbols": ["A", "B"]}, "string"], ["A", "B", "C"]),
        ([F, {**F, "name": "G", "size": 3}, "bytes"], [b"12", b"123", b"1", b""]),
        ([PAID, SENT, "null"], [{"order": 1, "cents": 2}, {"order": 1, "to": None, "at": DAY}, None]),
        ([record_of("A"), record_of("B")], [{}]),
        ([record_of("A", x="int"), record_of("B", y="int")], [{"y": 1}, {"x": 1}]),
        ([record_of("A", x="int"), record_of("B", x="string")], [{"x": 1}]),
        ([record_of("A", x="int"), "null", record_of("B", x="int", y=["null", "int"])], [{"x": 1}, {"x": 1, "y": 2}]),
    ],
    ids=repr,
)
def test_a_union_that_the_value_decides_is_written(union: list[Any], values: list[Any]) -> None:
    schema = record_of("Top", u=union)
    for value in values:
        expected = by_fastavro(schema, {"u": value})
        assert expected is not None
        assert compiled(schema)({"u": value}, None) == expected


@of_native_code
@pytest.mark.parametrize(
    ("union", "value"),
    [
        ([record_of("A", x="int"), record_of("B", x="string")], {"x": "y"}),
        ([record_of("A", x="int"), record_of("B", y="int")], {"y": 1, "z": 2}),
        ([record_of("A", x="int"), record_of("B", x="int", y="int")], {"x": 1, "-type": "B"}),
        ([record_of("A", when=DATES), record_of("B", when="string", more="int")], {"when": "never", "more": 1}),
        ([record_of("A", in_=listed(DATES)), record_of("B", in_=listed("string"), n="int")], {"in_": ["no"], "n": 1}),
        ([record_of("A", a=MONEY), record_of("B", a={**MONEY, "scale": 3}, n="int")], {"a": Decimal("0.125"), "n": 1}),
        ([record_of("A", x="int"), mapped("int")], {"x": 1}),
        ([record_of("A", x="int"), CALLED], {"order": 1}),
        ([record_of("A", x="int", y="int"), {**CALLED, "name": "B"}], {"order": 1, "x": 1, "y": 1}),
        ([DATES, "string"], "2026-01-02"),
        ([DATES, "string"], "x"),
        ([E, "string"], Shout("a")),
        (["double", "string"], Warmer(1.5)),
        ([E, "double"], Near(1.5)),
        ([E, "float", "string"], Near(1.5)),
        ([DATES, "string"], Moment(2026, 1, 2)),
        ([{"type": "int", "logicalType": "time-millis"}, DATES], Moment(2026, 1, 2)),
        ([E, "string"], Shout("A")),
        (["int", "long"], True),
        (["int", "long"], 2**63),
        ([DATES, {"type": "long", "logicalType": "timestamp-millis"}, record_of("D", year="int")],
            datetime(2026, 1, 2)),
        ([{**record_of("A"), "fields": [{"name": "x", "type": "int"}] * 2}, record_of("B", x="int", y="int")],
            {"x": 1, "y": 1}),
        ([record_of("A", x="int"), NEVER], {"x": 1}),
        ([record_of("A", x="int"), {**record_of("C"), "fields": [{"name": "in", "type": NEVER, "default": {}}]}],
            {"x": 1}),
    ],
    ids=repr,
)  # fmt: skip
def test_a_union_that_is_not_sure_is_fastavros(union: list[Any], value: Any) -> None:
    schema = record_of("Top", u=[*union, "null"])
    try:
        parse_schema(copy.deepcopy(schema))
    except SchemaParseException:  # a default that older versions of fastavro do not take
        with pytest.raises(ConfigurationError, match="schema_str is not an Avro schema"):
            AvroSchema(json.dumps(schema))
        return
    with pytest.raises(FellBack):
        compiled(schema)({"u": value}, None)
    assert by_serializer(schema, {"u": value}) == by_fastavro(schema, {"u": value})


@of_native_code
def test_a_union_of_many_records_is_looked_at_once() -> None:
    many, calls = 200, Counter[str]()
    union = [record_of(f"R{n}", at=DATES, order=record_of(f"O{n}", id="long")) for n in range(many)]
    sys.setprofile(lambda frame, event, _: calls.update([frame.f_code.co_name] if event == "call" else []))
    try:
        compiled(union)
    finally:
        sys.setprofile(None)
    assert 2 * many <= calls["shape"] < 10 * many


EVENT_KINDS = [
    "int",
    "long",
    "string",
    ["null", "int"],
    ["int", "string"],
    E,
    DATES,
    UUIDS,
    MONEY,
    listed("int"),
    "double",
    {"type": "long", "logicalType": "timestamp-millis"},
    mapped("long"),
    listed(DATES),
]
EVENT_VALUES = st.sampled_from([
    1, 2**40, "A", "x", "2026-01-02", None, 1.5, Decimal("1.25"), Decimal("1.2345"), DAY, ONE, [1], [DAY], ["x"], {},
    {"k": 1}, datetime(2026, 1, 2, tzinfo=timezone.utc), datetime(1, 1, 1), Moment(2026, 1, 2), Celsius(1.5), Mood.GOOD,
    Level.HIGH, Level.LOW, b"x", True,
])  # fmt: skip


@of_native_code
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_unions_of_records_with_the_same_names_agree(data: st.DataObject) -> None:
    fields = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(EVENT_KINDS), max_size=3)
    union = [record_of(f"R{n}", **each) for n, each in enumerate(data.draw(st.lists(fields, min_size=2, max_size=4)))]
    schema = ["null", *once(union, set())]
    for _ in range(8):
        value = data.draw(st.dictionaries(st.sampled_from("abcde"), EVENT_VALUES, max_size=3))
        assert by_serializer(schema, value) == by_fastavro(schema, value)


@of_native_code
@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("string", Mood.GOOD), ("string", Liar("x")), (E, Mood.GOOD), ("long", Level.HIGH), ("int", Level.LOW),
        (UUIDS, Mood.GOOD), (listed("string"), ["x", Mood.GOOD]), (mapped("string"), {Mood.GOOD: Mood.GOOD}),
        (listed("long"), [1, Level.HIGH]), (DATES, Level.LOW), (listed(E), [Mood.GOOD]),
        ("double", Celsius(1.5)), ("float", Celsius(1.5)), (listed("double"), [1.5, Celsius(2)]),
        (["null", "double"], Celsius(float("nan"))), (["null", "float"], Celsius(0)),
        (MILLIS, Moment(2026, 1, 2)), (["null", MILLIS], Moment(2026, 1, 2, tzinfo=timezone.utc)),
        (["null", record_of("R", s="string", n="long")], {"s": Mood.GOOD, "n": Level.HIGH}),
    ],
    ids=repr,
)  # fmt: skip
def test_classes_of_what_is_written_are_written(schema: Any, value: Any) -> None:
    assert compiled(record_of("Top", f=schema))({"f": value}, None) == by_fastavro(
        record_of("Top", f=schema), {"f": value}
    )


def test_a_schema_that_is_left_to_fastavro_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    AvroSchema(json.dumps(["null", ["int", "long"]])).writer(b"")
    assert "schema None is left to fastavro: a union in a union" in caplog.text
    AvroSchema('"long"').writer(b"")
    assert f"schema long is written by {'native code' if is_native() else 'a Python function: '}" in caplog.text


@of_the_function
def test_a_schema_too_large_is_fastavros() -> None:
    with pytest.raises(Unsuitable, match="characters"):
        compiled(record_of("R", **{f"f{n}": ["null", enumerated(n)] for n in range(2000)}))
    schema = record_of("R", **{f"f{n}": ["null", "string"] for n in range(2000)})  # one loop
    assert compiled(schema)(dict.fromkeys(names(schema), "x"), None) == by_fastavro(
        schema, dict.fromkeys(names(schema), "x")
    )


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


def test_a_field_that_a_record_has_twice_counts_once() -> None:
    twice = {"name": "a", "type": "Inner"}
    union = [{**record_of("A"), "fields": [{**twice, "type": record_of("Inner", q="long")}, twice]}]
    union.append(record_of("B", a="Inner", b="string"))
    assert by_serializer(union, {"a": HasQ(1), "b": "x"}) == by_fastavro(union, {"a": {"q": 1}, "b": "x"})
    with pytest.raises(AvroEncodingError) as refused:
        AvroSchema(json.dumps(union)).writer(PREFIX)({"a": {"q": 1}, "b": "\ud800"}, None)
    assert refused.value.field_path == "b"


@of_native_code
@pytest.mark.parametrize("kind", [list, UserList, array])
def test_a_list_with_attributes_is_no_record_in_a_union(kind: Any) -> None:
    schema = ["null", record_of("R", q="long")]
    odd = make_dataclass("Odd", ["q"], bases=(kind,))
    value = odd.__new__(odd, "b") if kind is array else odd(1)
    value.q = 1
    for _ in range(2):
        assert_is_not_sure(schema, value)


@pytest.mark.parametrize("order", ["the error first", "the record first"])
def test_an_object_goes_to_the_first_error_that_fits_whatever_record_does(order: str) -> None:
    union = [
        record_of("A", q="long"),
        {**record_of("B", q="long"), "type": "error"},
        {**record_of("C"), "type": "error"},
    ]
    union = union if order == "the record first" else union[::-1]
    expected = by_fastavro(union, {"q": 1})
    for value in (HasQ(1), OrderedDict(q=1)):
        assert by_serializer(union, value) == expected


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


@of_the_function
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


@of_the_function
@thorough
@given(st.data())
def test_the_code_of_any_schema_names_only_what_it_was_given(data: st.DataObject) -> None:
    found = data.draw(schemas(decided=True))
    source = compiler._Source(*parsed(found.schema))
    names = set(names_in(compile(source.text, "x", "exec").co_consts))
    builtin = {"type", "len", "map", "dict", "list", "str", "bytes", "int", "float", "bool", "Exception", "min", "max"}
    methods = {"encode", "items", "values", "issuperset", "copy", "adjusted", "clear"}
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


@of_the_function
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
            p += (b'\x02',)
            c8 = v3.copy()
            if c8:
                p += (T[n10] if (n10 := len(c8)) < 8192 else write_long(n10),)
                for v9 in c8:
                    if type(v9) is not bytes: return other(value, prefix)
                    p += (T[n11] if (n11 := len(v9)) < 8192 else write_long(n11), v9,)
            p += (NO,)
        else: return other(value, prefix)
        return join(p)
    except AvroEncodingError:
        raise
    except SURPRISES:
        raised = []
    except Exception as error:  # a signal handler's, unless the value is at fault
        raised = [error]
    try:
        message = other(value, prefix)
        if raised: raise raised[0]
        return message
    finally: raised.clear()  # an error holds this frame, and so would hold itself
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


@of_the_function
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


@of_the_function
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
