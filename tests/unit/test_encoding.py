"""An object becomes fastavro's bytes, or an error that names the field and never its content."""

from __future__ import annotations

import datetime
import decimal
import json
import subprocess
import sys
import uuid
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import make_dataclass
from io import BytesIO
from typing import Any

import fastavro.write
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafka_sr_retry import (
    AvroEncodingError,
    AvroSerializer,
    ConfigurationError,
    RegisteredSchema,
    Schema,
    record_subject_name_strategy,
)
from kafka_sr_retry.avro.encoder import AvroSchema, full_name
from kafka_sr_retry.avro.misfit import Judge, TooMuch

PREFIX = b"\0\0\0\0\7"
SECRET = "hunter2"


def serializer(schema: Any, **conf: Any) -> AvroSerializer:
    """One that knows its id, and asks nobody."""
    known = RegisteredSchema(7, None, None, None, Schema(json.dumps(schema)))
    conf = {"subject.name.strategy": lambda ctx, name: "subject"} | conf
    return AvroSerializer({"url": "http://127.0.0.1:1"}, known, None, conf)


def misfit(schema: Any, value: Any, **conf: Any) -> AvroEncodingError:
    with pytest.raises(AvroEncodingError) as caught:
        serializer(schema, **conf)(value)
    return caught.value


def record(name: str = "R", **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def logical(base: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": name, **more}


ENUM = {"type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"]}
FIXED = {"type": "fixed", "name": "Hash", "size": 4}
ITEM = record("Item", price="double")
CARD = record("Card", number="string")
CASH = record("Cash", cents="long")

# -- where, what, instead of what --------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "path", "expected", "actual"),
    [
        (record(id="long"), {"id": SECRET}, "id", "long", "str"),
        (record(id="string"), {"id": 5}, "id", "string", "int"),
        (record(id="bytes"), {"id": SECRET}, "id", "bytes", "str"),
        (record(id="long"), {"id": None}, "id", "long", "None"),
        (record(id="long"), {}, "id", "long", "missing"),
        (record(id="long"), {"di": 1}, "id", "long", "missing"),
        (record(a=record("Inner", b="long")), {"a": {"b": SECRET}}, "a.b", "long", "str"),
        (record(a=record("Inner", b="long")), {"a": {}}, "a.b", "long", "missing"),
        (record(a=record("Inner", b="long")), {"a": [SECRET]}, "a", "Inner", "list"),
        (record(items=array(ITEM)), {"items": 3 * [{"price": 1}] + [{"price": ""}]}, "items[3].price", "double", "str"),
        (record(items=array(ITEM)), {"items": 5}, "items", "array", "int"),
        (record(items=array(array("long"))), {"items": [[1], [2, SECRET]]}, "items[1][1]", "long", "str"),
        (record(prices=mapping(ITEM)), {"prices": {"EUR": {"price": SECRET}}}, "prices['EUR'].price", "double", "str"),
        (record(prices=mapping("long")), {"prices": {5: 5}}, "prices", "string keys", "int"),
        (record(prices=mapping("long")), {"prices": [1]}, "prices", "map", "list"),
        (record(suit=ENUM), {"suit": SECRET}, "suit", "HEARTS, SPADES", "str"),
        (record(suit=ENUM), {"suit": 0}, "suit", "HEARTS, SPADES", "int"),
        (record(hash=FIXED), {"hash": b"12345"}, "hash", "4 bytes", "bytes"),
        (record(hash=FIXED), {"hash": "1234"}, "hash", "4 bytes", "str"),
        (record(note=["null", "long"]), {"note": SECRET}, "note", "null, long", "str"),
        (record(paid=["null", CASH]), {"paid": {"cents": SECRET}}, "paid.cents", "long", "str"),
        (record(paid=["null", array("long")]), {"paid": [1, SECRET]}, "paid[1]", "long", "str"),
        (record(paid=[CARD, CASH]), {"paid": {"number": 5}}, "paid", "Card", "dict"),
        (record(n="long"), {"n": 2**63}, "n", "long", "int"),
        (record(n="double"), {"n": SECRET}, "n", "double", "str"),
        (record(n="long"), {"n": 2**63}, "n", "long", "-9223372036854775808 to 9223372036854775807"),
        (record(n=["null", "int"]), {"n": 2**31}, "n", "null, int", "range of int, -2147483648 to 2147483647"),
        (record(n="double"), {"n": 10**400}, "n", "double", "int out of the range of double"),
        (record(n=["null", "double"]), {"n": 10**400}, "n", "double", "out of the range"),
        (record(ok="boolean"), {}, "ok", "boolean", "missing"),
        (record(rows=array(record("I", ok="boolean"))), {"rows": [{"ok": 1}, {}]}, "rows[1].ok", "boolean", "missing"),
        (record(raw="bytes"), {}, "raw", "bytes", "missing"),
        (record(s="string"), {"s": "\ud800"}, "s", "string", "surrogate"),
        (record(s=["null", "string"]), {"s": "\ud800"}, "s", "string", "surrogate"),
        (record(m=mapping("long")), {"m": {"\ud800": 1}}, "m", "string keys", "surrogate"),
        (record(u=["null", "long"]), {"u": (1, 2, 3)}, "u", "null, long", "tuple"),
        (record(hash=["null", FIXED]), {"hash": b"12345"}, "hash", "null, 4 bytes", "bytes of 5 bytes"),
        (record(prices=mapping("long")), {"prices": {"k" * 1000: SECRET}}, f"prices['{'k' * 50}'...]", "long", "str"),
        (record(e=["null", ENUM]), {"e": SECRET}, "e", "HEARTS", "str"),
    ],
)  # fmt: skip
def test_a_misfit_names_its_place(schema: Any, value: Any, path: str, expected: str, actual: str) -> None:
    error = misfit(schema, value)
    assert error.field_path == path
    assert expected in error.expected
    assert actual in error.actual
    assert path in str(error)
    assert "Nothing was sent" in str(error)
    assert SECRET not in str(error)


DECIMAL = logical("bytes", "decimal", precision=4, scale=2)
FIXED_DECIMAL = {**FIXED, "size": 1, "logicalType": "decimal", "precision": 2, "scale": 0}


@pytest.mark.parametrize("nullable", [lambda kind: kind, lambda kind: ["null", kind]], ids=["", "nullable"])
@pytest.mark.parametrize(
    ("kind", "value", "cause"),
    [
        (DECIMAL, decimal.Decimal("123.45"), "more digits than its precision, 4"),
        (DECIMAL, decimal.Decimal("1.234"), "more digits after the point than its scale, 2"),
        (DECIMAL, decimal.Decimal("NaN"), "no finite number"),
        (FIXED_DECIMAL, decimal.Decimal("5E+2"), "its 1 bytes do not hold"),
        (logical("int", "date"), "2026-13-01", "str"),
        (logical("long", "timestamp-millis"), SECRET, "str"),
    ],
)  # fmt: skip
def test_a_logical_type_tells_its_place_and_why(nullable: Any, kind: Any, value: Any, cause: str) -> None:
    error = misfit(record(rows=array(record("Row", price=nullable(kind)))), {"rows": [{"price": value}]})
    assert error.field_path == "rows[0].price"
    assert cause in error.actual
    assert kind["logicalType"] in error.expected
    assert str(value) not in repr(error)


class Money:
    def as_tuple(self) -> Any:
        return decimal.Decimal(1).as_tuple()


ERROR = {**record("E", a="long"), "type": "error"}
INT_RANGE = "int out of the range of int, -2147483648 to 2147483647"
LONG_RANGE = "int out of the range of long, -9223372036854775808 to 9223372036854775807"


@pytest.mark.parametrize(
    ("kind", "value", "place", "expected", "actual"),
    [
        ("int", 1j, "", "int", "complex"),
        ("long", 2**63, "", "long", LONG_RANGE),
        ("long", -(2**63) - 1, "", "long", LONG_RANGE),
        ("double", 10**400, "", "double", "int out of the range of double"),
        ("float", SECRET, "", "float", "str"),
        (["null", "float"], 10**400, "", "float", "int out of the range of float"),
        ("string", "\ud800", "", "string", "str with a surrogate, which UTF-8 does not hold"),
        ("string", b"x", "", "string", "bytes"),
        (FIXED, b"123", "", "4 bytes of fixed Hash", "bytes of 3 bytes"),
        (FIXED, bytearray(5), "", "4 bytes of fixed Hash", "bytearray of 5 bytes"),
        (FIXED, "1234", "", "4 bytes of fixed Hash", "str"),
        (ENUM, SECRET, "", "one of the symbols HEARTS, SPADES of enum Suit", "str"),
        (DECIMAL, 5, "", "bytes (decimal, precision 4, scale 2)", "int"),
        (
            logical("bytes", "decimal", precision=4), decimal.Decimal("1.5"), "",
            "bytes (decimal, precision 4, scale 0)",
            "Decimal with more digits after the point than its scale, 0",
        ),
        (
            FIXED_DECIMAL, decimal.Decimal(990), "", "fixed of 1 bytes (decimal, precision 2, scale 0)",
            "Decimal with more digits than its precision, 2",
        ),
        (
            FIXED_DECIMAL, decimal.Decimal("5E+2"), "", "fixed of 1 bytes (decimal, precision 2, scale 0)",
            "Decimal that its 1 bytes do not hold",
        ),
        (DECIMAL, decimal.Decimal("-Infinity"), "", "bytes (decimal, precision 4, scale 2)",
            "Decimal that is no finite number"),
        (logical("long", "timestamp-millis"), SECRET, "", "long (timestamp-millis)", "str"),
        (logical("int", "of-nobody"), SECRET, "", "int (of-nobody)", "str"),
        (ITEM, 5, "", "record Item", "int"),
        (ERROR, 5, "", "error E", "int"),
        (ITEM, {"price": SECRET}, ".price", "double", "str"),
        (ERROR, {}, ".a", "long", "nothing: the field is missing"),
        (record("Item", a=["null", "long"], b="double"), {}, ".b", "double", "nothing: the field is missing"),
        (array("long"), {"k": 1}, "[0]", "long", "str"),
        (array("long"), "xy", "", "array", "str"),
        (array("string"), b"xy", "", "array", "bytes"),
        (array("string"), bytearray(b"xy"), "", "array", "bytearray"),
        (array(array("long")), [[1], [2, SECRET]], "[1][1]", "long", "str"),
        (mapping("long"), {5: 1}, "", "a map with string keys", "a key of type int"),
        (mapping("long"), {"\ud800": 1}, "", "a map with string keys",
            "a key: str with a surrogate, which UTF-8 does not hold"),
        (mapping("long"), {"k": 1, "l": SECRET}, "['l']", "long", "str"),
        (mapping("long"), {"k" * 50: SECRET}, f"['{'k' * 50}']", "long", "str"),
        (mapping("long"), {"k" * 51: SECRET}, f"['{'k' * 50}'...]", "long", "str"),
        (["null", mapping("long")], {5: 1}, "", "one of null, map", "a key of type int"),
        (["null", array("string")], b"xy", "", "one of null, array", "bytes"),
        (["null", array("string")], {"x"}, "", "one of null, array", "set"),
        (["null", CARD], ("Card",), "", "one of null, record Card", "tuple, which in a union must be (name, value)"),
        (["null", CARD], ("Cash", {}), "", "one of null, record Card", "a hint that names none of them"),
        (["null", CARD], {"-type": "Cash"}, "", "one of null, record Card", "a hint that names none of them"),
        (["null", CARD], {"-type": "Card", "number": 5}, ".number", "string", "int"),
        (["null", "int"], ("int", SECRET), "", "int", "str"),
        (["null", ITEM], {"price": "1.5"}, ".price", "double", "str"),
        ("long", None, "", "long", "None"),
        ("bytes", decimal.Decimal(1), "", "bytes", "Decimal"),
        (DECIMAL, decimal.Decimal("1.234"), "", "bytes (decimal, precision 4, scale 2)",
            "Decimal with more digits after the point than its scale, 2"),
        (DECIMAL, Money(), "", "bytes (decimal, precision 4, scale 2)", "Money that its type does not hold"),
        ({**FIXED_DECIMAL, "scale": 2}, decimal.Decimal("9.9"), "", "fixed of 1 bytes (decimal, precision 2, scale 2)",
            "Decimal that its 1 bytes do not hold"),
        (array("long"), 5, "", "array", "int"),
        (["null", CARD], {}, ".number", "string", "nothing: the field is missing"),
        (["null", array("long")], [1, 1.5], "[1]", "long", "float"),
        (["null", mapping("long")], {"k": 1.5}, "['k']", "long", "float"),
        (["null", array("long")], ("array", [SECRET]), "[0]", "long", "str"),
        (["null", record("A", u=["null", "long"])], {"u": ("long", 1.5)}, ".u", "long", "float"),
        # where fastavro gives up, it looks at no other branch
        ([record("A", u=["null", "int"]), record("B", u=array("int"))], {"u": (1, 2, 3)}, ".u", "one of null, int",
            "tuple, which in a union must be (name, value)"),
        ([logical("int", "date"), "string"], SECRET, "", "int (date)", "str"),
        ([CARD, mapping("long")], {5: 1, "-type": "map"}, "", "one of record Card, map", "a key of type int"),
        # of two that fit, it takes the first with most of the fields
        ([record("A", a="string"), record("B", b="double", c=["null", "long"])], {"a": "\ud800", "b": 10**400}, ".a",
            "string", "str with a surrogate, which UTF-8 does not hold"),
        (["null", ITEM], {"price": decimal.Decimal(1)}, ".price", "double", "Decimal"),
        ([CARD, CASH], {"number": 1}, "", "one of record Card, record Cash", "dict"),
        ([CARD, "int"], {"number": 1}, ".number", "string", "int"),
        ([CARD, "int"], 2**31, "", "one of record Card, int", INT_RANGE),
        (["int", "long"], 2**63, "", "one of int, long", INT_RANGE),
        (["null", DECIMAL], SECRET, "", "one of null, bytes (decimal, precision 4, scale 2)", "str"),
    ],
)  # fmt: skip
def test_what_a_misfit_says(kind: Any, value: Any, place: str, expected: str, actual: str) -> None:
    """The same in a field, in an array, and at the top, where bytes are no decimal, and ``None`` is no object."""
    wholes: list[Any] = [(record(f=kind), {"f": value}, "f" + place), (array(kind), [value], "[0]" + place)]
    if value is not None and kind != "bytes" and not (isinstance(kind, dict) and kind["type"] == "bytes"):
        wholes.append((kind, value, place.removeprefix(".")))
    for schema, whole, path in wholes:
        error = misfit(schema, whole)
        assert (error.field_path, error.expected, error.actual) == (path, expected, actual)
        where = f"field {path}" if path else "the object"
        told = f"{where} does not fit the schema: expected {expected}, got {actual}. Nothing was sent."
        assert str(error) == told


def test_a_default_that_fastavro_does_not_write_is_named() -> None:
    schema = record(raw="bytes")
    schema["fields"][0]["default"] = "\u00ff"
    for whole, value, path in ((schema, {}, "raw"), (array(schema), [{"raw": b""}, {}], "[1].raw")):
        error = misfit(whole, value)
        assert (error.field_path, error.expected) == (path, "bytes")
        assert error.actual == "nothing, and a default that fastavro does not write"


def test_an_error_has_an_end() -> None:
    long = record(**{"f" * 2000: {**ENUM, "symbols": [f"S{n}" for n in range(1000)]}})
    error = misfit(long, {"f" * 2000: type("C" * 2000, (), {})()})
    assert str(error) == f"field {'f' * 994}…, got {'C' * 1000}…. Nothing was sent."


def test_one_value_in_two_unions_is_looked_at_for_each() -> None:
    schema = record(a=["null", "int"], b=["null", "string"], c=["null", "int"])
    assert misfit(schema, {"a": 5, "b": 5, "c": 5}).field_path == "b"
    assert misfit(array(["null", "int"]), [1, SECRET]).field_path == "[1]"


def lenient(schema: Any, **limits: Any) -> Any:
    parsed = AvroSchema(json.dumps(schema))._parsed
    assert parsed is not None
    return parsed.top, Judge(parsed.named, {"strict": False, "strict_allow_default": False}, **limits)


@pytest.mark.parametrize(
    ("schema", "make"),
    [
        (array(array("long")), lambda places: [[]] * (places - 1)),
        (array(mapping("long")), lambda places: [{}] * (places - 1)),
        (record(rows=array(record("Row"))), lambda places: {"rows": [{}] * (places - 2)}),
    ],
)
def test_a_search_has_so_many_places_and_no_more(schema: Any, make: Any) -> None:
    top, judge = lenient(schema, places=9)
    assert judge.find(top, make(9)) is None
    top, judge = lenient(schema, places=9)
    with pytest.raises(TooMuch):
        judge.find(top, make(10))


@pytest.mark.parametrize("deepest", [99, 100])
def test_a_search_goes_as_deep_as_is_written(deepest: int) -> None:
    value: Any = {"next": None}
    for _ in range(deepest):
        value = {"next": value}
    top, judge = lenient(LIST)
    if deepest < 100:
        assert judge.find(top, {"next": {"next": 5}}) is not None
        assert judge.find(top, value) is None
        assert judge.find(top, value) is None  # and may do so again
    else:
        assert judge.find(top, {"next": {"next": None}}) is None
        with pytest.raises(TooMuch):
            judge.find(top, value)


def test_a_value_for_a_writer_of_somebodys_own_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(value: Any, schema: Any) -> Any:
        raise ValueError(SECRET)

    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, "array-odd", refuses)
    error = misfit(record(a=logical("array", "odd", items="long")), {"a": [1, SECRET]})
    assert (error.field_path, error.expected, error.actual) == ("a", "array (odd)", "list")
    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, "int-odd", refuses)
    for value in (-(2**31), 2**31 - 1):
        assert misfit(logical("int", "odd"), value).actual == "int"


def test_a_writer_of_somebodys_own_may_take_named_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, "array-even", lambda value, schema: value)
    schema = record(a=CARD, b=logical("array", "even", items="Card"), c="long")
    card = {"number": "1"}
    assert misfit(schema, {"a": card, "b": [card], "c": SECRET}).field_path == "c"


def test_a_key_that_is_no_string_has_no_place_of_its_own() -> None:
    assert misfit(mapping(record("I", x="long")), {5: Node(1)}).field_path == "[...].x"


@pytest.mark.parametrize("depth", [10, 60])
def test_a_misfit_deep_in_unions_of_records_costs_no_more_each_level(depth: int) -> None:
    """Each level would double the places to look at."""
    two = {**record("B", n=["null", "A", "B"])}
    parsed = AvroSchema(json.dumps(record("A", n=["null", "A", two])))._parsed
    assert parsed is not None
    value: Any = {"n": SECRET}
    for _ in range(depth):
        value = {"n": value}
    judge = Judge(parsed.named, {"strict": False, "strict_allow_default": False}, places=depth * 20)
    assert judge.find(parsed.top, value) is not None


def test_a_search_that_would_be_too_long_ends_without_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge.__init__, "__defaults__", (10,))
    error = misfit(record(rows=array(ITEM)), {"rows": 100 * [{"price": 1.0}] + [{"price": SECRET}]})
    assert (error.field_path, error.expected, error.actual) == ("", "record R", "dict, which raised ValueError")


@pytest.mark.parametrize(
    ("schema", "value", "expected", "actual"),
    [
        ("long", SECRET, "long", "str"),
        (record(id="long"), SECRET, "record R", "str"),
        (record(id="long"), [1], "record R", "list"),
        (ENUM, SECRET, "HEARTS", "str"),
        (FIXED, b"1", "4 bytes", "bytes"),
        (["null", "long"], SECRET, "null, long", "str"),
        (array("long"), 5, "array", "int"),
        ("bytes", 5, "bytes", "int"),
        ("bytes", "\ud800", "bytes", "str with a surrogate, which UTF-8 does not hold"),
    ],
)
def test_a_misfit_of_the_object_itself_has_an_empty_path(schema: Any, value: Any, expected: str, actual: str) -> None:
    error = misfit(schema, value)
    assert error.field_path == ""
    assert expected in error.expected
    assert actual == error.actual.removesuffix(" of 1 bytes")
    assert schema != "bytes" or error.expected == "bytes"
    assert SECRET not in str(error)


def test_a_misfit_in_a_top_level_array_has_its_index() -> None:
    assert misfit(array(ITEM), [{"price": 1.0}, {"price": SECRET}]).field_path == "[1].price"


def test_the_first_misfit_in_the_schemas_order_is_named() -> None:
    assert misfit(record(a="long", b="long"), {"b": "x", "a": "y"}).field_path == "a"


def test_a_recursive_type_is_followed() -> None:
    node = record("Node", value="long", next=["null", "Node"])
    assert misfit(node, {"value": 1, "next": {"value": 2, "next": {"value": SECRET}}}).field_path == "next.next.value"


def test_a_named_type_of_a_namespace_is_followed() -> None:
    schema = record("R", a={"type": "record", "name": "I", "fields": [{"name": "n", "type": "long"}]}, b="I")
    assert misfit(schema | {"namespace": "shop"}, {"a": {"n": 1}, "b": {"n": SECRET}}).field_path == "b.n"


@pytest.mark.parametrize(
    ("field", "good"),
    [
        (array("string"), {"a", "b"}),
        (array("string"), deque(["a"])),
        (array("string"), dict.fromkeys("ab").keys()),
        ([CARD, CASH], ("Cash", {"cents": 1})),
        ([CARD, CASH], {"-type": "Cash", "cents": 1}),
        (logical("int", "date"), "2024-02-29"),
        ("float", 1),
        ("float", "1.5"),
        ("double", "1.5"),
        ("double", decimal.Decimal("1.5")),
        ("string", "ü"),
        (["null", "double"], 1),
    ],
)
def test_what_fastavro_takes_is_not_blamed_for_another_fields_misfit(field: Any, good: Any) -> None:
    schema = record(good=field, bad="long")
    assert serializer(schema)({"good": good, "bad": 1})
    assert misfit(schema, {"good": good, "bad": SECRET}).field_path == "bad"


def test_a_missing_field_with_a_default_is_not_blamed() -> None:
    schema = record(good="long", bad="long")
    schema["fields"][0]["default"] = 3
    assert misfit(schema, {"bad": SECRET}).field_path == "bad"


@pytest.mark.parametrize("value", [("Cash", {"cents": SECRET}), {"-type": "Cash", "cents": SECRET}])
def test_a_misfit_inside_a_named_branch_of_a_union_has_its_path(value: Any) -> None:
    assert misfit(record(paid=[CARD, CASH]), {"paid": value}).field_path == "paid.cents"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (logical("int", "date"), SECRET),
        (logical("long", "timestamp-millis"), SECRET),
        (logical("int", "time-millis"), SECRET),
        (logical("bytes", "decimal", precision=3, scale=2), SECRET),
        (logical("bytes", "decimal", precision=3, scale=2), decimal.Decimal("123.45")),
        (logical("bytes", "decimal", precision=3, scale=2), decimal.Decimal("1.234")),
        (logical("string", "uuid"), 5),
        (logical("long", "timestamp-millis"), datetime.time(1)),
    ],
)
def test_a_misfit_of_a_logical_type_names_it_and_its_field(schema: dict[str, Any], value: Any) -> None:
    error = misfit(record(a=record("Inner", when=schema)), {"a": {"when": value}})
    assert error.field_path == "a.when"
    assert schema["logicalType"] in error.expected
    assert type(value).__name__ in error.actual
    assert SECRET not in str(error)
    assert "123.45" not in str(error)


class Treacherous(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError(SECRET)

    __getitem__ = get


def test_an_object_whose_own_methods_raise_is_a_misfit_that_shows_nothing() -> None:
    error = misfit(record(id="long"), Treacherous(id=1))
    assert (error.field_path, error.expected) == ("", "record R")
    assert error.actual == "Treacherous, which raised RuntimeError"
    assert SECRET not in str(error)


def test_a_misfit_too_deep_to_follow_is_still_a_misfit() -> None:
    value: Any = SECRET
    for _ in range(2_000):
        value = {"next": value}
    assert SECRET not in str(misfit(record("Node", next=["null", "Node"]), value))


# -- validate.strict ---------------------------------------------------------------------------

STRICT = {"validate.strict": True}
ALLOW_DEFAULT = {"validate.strict.allow.default": True}


def test_an_additional_field_passes_unless_strict() -> None:
    order = {"id": 1, "extra": SECRET}
    assert serializer(record(id="long"))(order) == PREFIX + b"\2"
    for conf in (STRICT, ALLOW_DEFAULT):
        assert "extra" in str(misfit(record(id="long"), order, **conf))


@pytest.mark.parametrize("conf", [STRICT, ALLOW_DEFAULT], ids=str)
def test_an_additional_field_is_named(conf: Any) -> None:
    error = misfit(record(id="long"), {"id": 1, "extra": SECRET}, **conf)
    assert (error.field_path, error.expected, error.actual) == (
        "extra",
        "no such field",
        "one more than the schema has",
    )
    assert SECRET not in str(error)
    assert misfit(record(id="long"), {"id": 1, 5: SECRET}, **conf).field_path == ""
    assert misfit(record(id="long"), {"id": SECRET, "extra": 1}, **conf).field_path == "id"


def test_a_nested_additional_field_has_its_path() -> None:
    value = {"items": [{"price": 1.0}, {"price": 1.0, "extra": SECRET}]}
    assert misfit(record(items=array(ITEM)), value, **STRICT).field_path == "items[1].extra"


def test_a_missing_field_that_may_be_null_is_refused_if_strict() -> None:
    schema = record(items=array(record("Item", note=["null", "string"])))
    value = {"items": [{"note": None}, {}]}
    assert serializer(schema)(value)
    error = misfit(schema, value, **STRICT)
    assert error.field_path == "items[1].note"
    assert "missing" in error.actual


def test_strict_that_allows_defaults() -> None:
    schema = record(id="long", n="long")
    schema["fields"][1]["default"] = 3
    assert serializer(schema, **ALLOW_DEFAULT)({"id": 1}) == PREFIX + b"\2\6"
    assert misfit(schema, {"id": 1}, **STRICT).field_path == "n"
    assert misfit(schema, {"n": 1}, **ALLOW_DEFAULT).field_path == "id"


def test_a_default_fills_a_missing_field() -> None:
    schema = record(id="long", n="long")
    schema["fields"][1]["default"] = 3
    assert serializer(schema)({"id": 1}) == PREFIX + b"\2\6"


# -- bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["bytes", {"type": "bytes"}])
@pytest.mark.parametrize("value", [b"", b"raw", bytearray(b"raw"), memoryview(b"raw")])
def test_top_level_bytes_are_written_raw(schema: Any, value: Any) -> None:
    assert serializer(schema)(value) == PREFIX + bytes(value)


class Shy:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise OSError(SECRET)


class Odd(bytes):
    def __bytes__(self) -> bytes:
        raise OSError(SECRET)


class Text(str):
    def encode(self, *_: Any) -> Any:
        return 5


def gone() -> Any:
    return weakref.proxy(Text())


def released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


@pytest.mark.parametrize("make", [Shy, Odd, gone, released])
def test_what_is_no_bytes_is_a_misfit_whatever_it_raises(make: Any) -> None:
    error = misfit("bytes", make())
    assert (error.field_path, error.expected) == ("", "bytes")
    assert "which raised" in error.actual
    assert not error.actual.startswith("None")
    assert SECRET not in str(error)
    assert serializer("bytes")(Text("raw")) == PREFIX + b"raw"


@pytest.mark.parametrize("forged", ["x\nERROR root: all is lost", "\x1b[2J", "\ud800"])
def test_a_schema_forges_no_line_of_a_log(forged: str) -> None:
    """It may be a registry's."""
    odd = record(**{forged: {"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(5000)]}})
    error = misfit(odd, {forged: 5})
    assert str(error).isprintable()
    assert len(str(error)) < 3000
    assert error.field_path == forged
    endless = {"type": "record", "name": "R", "fields": [{"name": forged, "type": "R", "default": {}}]}
    with pytest.raises(ConfigurationError) as refused:
        AvroSchema(json.dumps(endless))
    assert str(refused.value).isprintable()


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        raise OSError(SECRET)


class Hidden(metaclass=Nameless):
    pass


class Shut(Hidden):
    def __iter__(self) -> Any:
        return iter([1])

    def __len__(self) -> int:
        return 1


def test_what_cannot_be_looked_at_is_not_written() -> None:
    error = misfit(array("long"), Shut())
    assert (error.field_path, error.expected, error.actual) == ("", "array", "Shut, which raised OSError")
    assert SECRET not in str(error)


@pytest.mark.parametrize("schema", ["long", "bytes", array("long"), mapping("long"), record(id="long")])
def test_a_class_that_does_not_tell_its_name_is_named_all_the_same(schema: Any) -> None:
    assert misfit(schema, Hidden()).actual.startswith("Hidden")


def test_bytes_in_a_record_have_avros_length() -> None:
    assert serializer(record(data="bytes"))({"data": b"raw"}) == PREFIX + b"\6raw"


def test_a_known_record_has_known_bytes() -> None:
    schema = record(id="long", note="string", paid="boolean")
    assert serializer(schema)({"id": 1, "note": "ab", "paid": True}) == PREFIX + b"\2\4ab\1"


# -- the same bytes as fastavro ----------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_PRIMITIVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    ("null", st.none()),
    ("boolean", st.booleans()),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("long", st.integers(-(2**63), 2**63 - 1)),
    ("float", st.floats(width=32)),
    ("double", st.floats()),
    ("string", _TEXT),
    ({"type": "string"}, _TEXT),
    (logical("int", "date"), st.dates()),
    (logical("long", "timestamp-micros"), st.datetimes(timezones=st.just(datetime.timezone.utc))),
    (logical("string", "uuid"), st.uuids()),
    (logical("bytes", "decimal", precision=9, scale=2), st.decimals(-9999, 9999, places=2)),
]


@st.composite
def _schemas(draw: st.DrawFn, names: list[int], depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """A schema and the objects that fit it."""
    kinds = ["primitive", "enum", "fixed"] + (["record", "array", "map", "optional"] if depth else [])
    kind = draw(st.sampled_from(kinds))
    inner = _schemas(names, depth - 1)
    if kind == "primitive":
        return draw(st.sampled_from(_PRIMITIVES))
    if kind == "array":
        schema, values = draw(inner)
        return array(schema), st.lists(values, max_size=3)
    if kind == "map":
        schema, values = draw(inner)
        return mapping(schema), st.dictionaries(_TEXT, values, max_size=3)
    if kind == "optional":
        schema, values = draw(inner.filter(lambda drawn: drawn[0] != "null" and not isinstance(drawn[0], list)))
        return ["null", schema], st.none() | values
    names.append(len(names))
    name = f"T{len(names)}"
    if kind == "enum":
        return {"type": "enum", "name": name, "symbols": ["A", "B", "C"]}, st.sampled_from("ABC")
    if kind == "fixed":
        return {"type": "fixed", "name": name, "size": 3}, st.binary(min_size=3, max_size=3)
    fields = draw(st.lists(inner, min_size=1, max_size=4))
    schema = record(name, **{f"f{i}": schema for i, (schema, _) in enumerate(fields)})
    return schema, st.fixed_dictionaries({f"f{i}": values for i, (_, values) in enumerate(fields)})


def fastavros(schema: Any, value: Any) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_bytes_are_fastavros_behind_the_prefix(data: st.DataObject) -> None:
    schema, values = data.draw(_schemas([]))
    value = data.draw(values.filter(lambda value: value is not None))
    if isinstance(schema, dict) and schema["type"] == "bytes":
        schema = record("Wrapped", decimal=schema)
        value = {"decimal": value}
    assert serializer(schema)(value) == PREFIX + fastavros(schema, value)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_an_intruder_in_any_field_is_found_there(data: st.DataObject) -> None:
    schema, values = data.draw(_schemas([]).filter(lambda drawn: isinstance(drawn[0], dict) and "fields" in drawn[0]))
    value = data.draw(values)
    field = data.draw(st.sampled_from(schema["fields"]).filter(lambda field: field["type"] not in ("null", "boolean")))
    error = misfit(schema, value | {field["name"]: object()})
    assert error.field_path == field["name"]
    assert "object" in error.actual


# -- what is no Avro schema --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "42",
        "null",
        "true",
        "string",
        '"nope"',
        "{}",
        '{"type":"recrd"}',
        '{"type":"record"}',
        '{"type":"record","name":"R","fields":{"a":"long"}}',
        '{"type":"record","name":"R","fields":[{"name":"a"}]}',
        '{"type":"record","name":"R","fields":[{"name":"a","type":"Missing"}]}',
        '{"type":"record","name":"R","fields":[{"name":"a","type":"long","default":"x"}]}',
        '{"type":"enum","name":"E","symbols":["A","A"]}',
        '{"type":"fixed","name":"F"}',
        '{"type":"array"}',
        '{"type":"map"}',
        '{"type":"object","properties":{}}',
        'syntax = "proto3";',
        "[" * 100_000,
    ],
)
def test_what_is_no_avro_schema_is_refused_at_construction(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AvroSerializer({"url": "http://127.0.0.1:1"}, text)
    assert caught.value.key == "schema_str"
    assert "schema" in str(caught.value)


def test_an_unknown_type_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"shop\.Missing"):
        serializer(record(a="shop.Missing"))


# -- what would end the process ----------------------------------------------------------------

KEPT = """
import json, sys, threading
from dataclasses import make_dataclass
from kafka_sr_retry import AvroEncodingError, ConfigurationError
from kafka_sr_retry.avro.encoder import AvroSchema

def nested(make, inner, depth=20_000):
    for _ in range(depth):
        inner = make(inner)
    return inner

def held(value, key):
    value[key] = value
    return value

def main():
    try:
        AvroSchema(SCHEMA).writer(b"")(VALUE, None)
    except (AvroEncodingError, ConfigurationError) as error:
        print(type(error).__name__, error)

if sys.version_info >= (3, 11):  # its calls take no C stack
    sys.setrecursionlimit(5_000)

class Odd(dict): pass
Node = make_dataclass("Node", ["next"])
SELF = Node(None)
SELF.next = SELF
SCHEMA = {schema}
VALUE = {value}
threading.stack_size(512 * 1024)
thread = threading.Thread(target=main)
thread.start()
thread.join()
sys.stdout.flush()
__import__("os")._exit(0)  # the interpreter's own end would follow VALUE down
"""


def ended(schema: str, value: str) -> str:
    """What a process of its own says of them: one that dies is seen to."""
    code = KEPT.replace("{schema}", schema).replace("{value}", value)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


LIST = record("N", next=["null", "N"])
TREE = record("T", next=array("T"))
MAPS = record("M", next=["null", mapping("M")])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (LIST, "nested(lambda v: {'next': v}, None)"),
        (LIST, "nested(lambda v: Odd(next=v), None)"),
        (LIST, "nested(lambda v: Odd(next=v), None, 300)"),
        (LIST, "nested(lambda v: {'next': v and ('N', v)}, None)"),
        (LIST, "nested(Node, None)"),
        (LIST, "SELF"),
        (LIST, "held({}, 'next')"),
        (record("S", next="S"), "held({}, 'next')"),
        (record("A", next=["null", "A", record("B", next=["null", "A", "B"])]), "SELF"),
        (record("A", next=["null", "A", record("B", next=["null", "A", "B"])]), "held({}, 'next')"),
        # CPython 3.13 itself frees deeper iterators beyond a small stack's end
        (TREE, "nested(lambda v: {'next': iter([v])}, {'next': []}, 1_000)"),
        (TREE, "nested(lambda v: {'next': (v,)}, {'next': []})"),
        (TREE, "nested(lambda v: {'next': [v]}, {'next': ()}, 300)"),
        (MAPS, "nested(lambda v: {'next': {'k': v}}, {'next': None})"),
    ],
)
def test_a_value_without_end_is_a_misfit(schema: Any, value: str) -> None:
    assert "at most 100 records, arrays and maps within one another" in ended(repr(json.dumps(schema)), value)


@pytest.mark.parametrize("value", ["nested(lambda v: Odd(next=v), None, 99)", "nested(Node, None, 99)"])
def test_a_value_at_the_limit_is_written(value: str) -> None:
    assert ended(repr(json.dumps(LIST)), value) == ""


class OwnDict(dict[str, Any]):
    pass


Node = make_dataclass("Node", ["next"])


@pytest.mark.parametrize(
    ("schema", "make"),
    [
        (LIST, lambda inner: OwnDict(next=inner)),
        (record("N", next=["null", "N", record("Other", y="long")]), Node),  # of which none of ours writes an object
        (LIST, lambda inner: OwnDict(next=inner and ("N", inner))),
        (record("E", next=["null", mapping("E")]), lambda inner: OwnDict(next=inner and {"k": inner})),
        (record("E", next=["null", array("E")]), lambda inner: OwnDict(next=inner and [inner])),
    ],
    ids=["mapping", "object", "hint", "map", "array"],
)
def test_a_hundred_within_one_another_are_written(schema: Any, make: Any) -> None:
    each = 2 if schema["name"] == "E" else 1
    fits: Any = None
    for _ in range(100 // each):
        fits = make(fits)
    assert serializer(schema)(fits)
    error = misfit(schema, make(make(fits)))
    assert error.expected == "at most 100 records, arrays and maps within one another"
    assert (error.field_path, error.actual) == ("", "more")


def with_default(kind: Any, default: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    schema = record(name, **more, f=kind)
    schema["fields"][-1]["default"] = default
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """An empty record comes to twice as much with each level."""
    schema = record("R0", x="null")
    for level in range(1, levels):
        schema = record(f"R{level}", a=schema, b=f"R{level - 1}")
        for field in schema["fields"]:
            field["default"] = {}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        with_default("R", {"id": 1}, id="long"),
        with_default("R", {}),
        with_default(["R", "null"], {}),
        with_default(["null", "R"], {}),
        with_default([record("Leaf"), "R"], {}),  # fastavro 1.8 takes the second
        with_default(array("R"), [{}]),
        with_default(mapping("R"), {"k": {}}),
        with_default(with_default("R", {}, "Q"), {}),
        {**with_default("R", {}), "type": "error"},
        doubling(18),
    ],
)
def test_a_default_without_end_is_refused(schema: Any) -> None:
    assert ended(repr(json.dumps(schema)), "{}").startswith("ConfigurationError")


@pytest.mark.parametrize(
    "schema",
    [
        with_default(["null", "R"], None),
        with_default(array("R"), []),
        with_default("R", {"f": {"f": []}}) | {"fields": [{"name": "f", "type": array("R"), "default": []}]},
        doubling(10),
    ],
)
def test_a_default_with_an_end_is_none_of_those(schema: Any) -> None:
    assert AvroSchema(json.dumps(schema)).writer(b"")({}, None) == fastavros(schema, {})


@pytest.mark.parametrize(
    "text",
    [
        'nested(lambda s: \'{"type":"array","items":%s}\' % s, \'"long"\')',
        "nested(lambda s: '{\"type\":%s}' % s, '\"long\"')",
        "'[' * 20_000 + '\"long\"' + ']' * 20_000",
        '\'{"type":"record","name":"R","fields":[],"doc":\' + \'[\' * 20_000 + \']\' * 20_000 + \'}\'',
    ],
)
def test_a_schema_nested_without_end_is_refused(text: str) -> None:
    assert "nested more than 500 levels deep" in ended(text, "{}")


def test_brackets_in_a_schemas_texts_are_not_counted() -> None:
    texts = ["[" * 1000, "]" * 1000, '"[' * 1000, "\\" * 3 + '"{', "\\"]
    for text in texts:
        AvroSchema(json.dumps({**record(id="long"), "doc": text}))
        with pytest.raises(ConfigurationError, match="nested"):
            AvroSchema(json.dumps({**record(id="long"), "doc": text, "x": "X"}).replace('"X"', "[" * 600 + "]" * 600))


def test_a_decimal_of_enormous_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="10000 bytes"):
        AvroSchema(json.dumps({**FIXED_DECIMAL, "size": 10**10}))


def test_a_union_cannot_pass_for_types_that_fastavro_has_parsed() -> None:
    hidden = {"__fastavro_parsed": True, "__named_schemas": {"A": "A"}}
    with pytest.raises(ConfigurationError, match="unknown type 'A'"):
        AvroSchema(json.dumps(record(a="A")), [json.dumps([{**record("Z"), **hidden}])])


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000])
def test_what_is_no_json_has_no_name(text: str) -> None:
    assert full_name('{"type":["null","long"]}') is None
    with pytest.raises(ConfigurationError, match=r"^schema_str is not an Avro schema: ") as caught:
        full_name(text)
    assert caught.value.key == "schema_str"


@pytest.mark.parametrize("kind", ["record", "map", "enum", "fixed"])
def test_a_type_named_like_a_kind_cannot_be_referred_to(kind: str) -> None:
    schema = AvroSchema(json.dumps(record(one=record(kind), other=kind)))
    with pytest.raises(AvroEncodingError):
        schema.writer(PREFIX)({"one": {}, "other": {}}, None)


# -- to_dict and names -------------------------------------------------------------------------


def test_to_dict_turns_an_object_into_its_record() -> None:
    known = RegisteredSchema(7, None, None, None, Schema(json.dumps(record(id="string"))))
    conf = {"subject.name.strategy": record_subject_name_strategy}
    to_dict = AvroSerializer({"url": "http://127.0.0.1:1"}, known, lambda obj, ctx: {"id": obj.hex}, conf)
    assert to_dict(uuid.UUID(int=0)) == PREFIX + b"\x40" + b"0" * 32


def test_an_error_is_the_callers_own_each_time() -> None:
    serialize = serializer(record(id="long"))
    errors = []
    for _ in range(2):
        with pytest.raises(AvroEncodingError) as caught:
            serialize({"id": "x"})
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert serialize({"id": 1}) == PREFIX + b"\2"


VAST = [decimal.Decimal("1E+999999999"), decimal.Decimal("0E+999999999"), decimal.Decimal("-1E+10001")]


@pytest.mark.parametrize("vast", VAST, ids=str)
@pytest.mark.parametrize("base", [{"type": "bytes"}, {"type": "fixed", "name": "F", "size": 8}], ids=["bytes", "fixed"])
def test_a_decimal_whose_exponent_stands_for_too_many_digits_is_refused_at_once(base: Any, vast: Any) -> None:
    kind = base | {"logicalType": "decimal", "precision": 4, "scale": 2}
    for schema, value, path in (
        (record(a=kind), {"a": vast}, "a"),
        (record(a=kind, b=["null", "long"]), {"a": vast}, "a"),  # fastavro's
        (record(a=["null", kind]), {"a": vast}, "a"),
        (record(a=array(kind)), {"a": [1, vast]}, "a[1]"),
        (record(a=array(kind)), {"a": iter([vast])}, "a[0]"),
        (record(a=mapping(["null", kind])), {"a": {"k": vast}}, "a['k']"),
        (["null", record(a=kind), record("S", b="long")], ("R", {"a": vast}), "a"),
    ):
        error = misfit(schema, value)
        assert error.actual == "Decimal of more than 10000 digits"
        assert error.field_path == path
        assert "(decimal, precision 4, scale 2)" in error.expected


@pytest.mark.parametrize("vast", VAST, ids=str)
@pytest.mark.parametrize("kind", ["int", "long", logical("int", "date"), logical("long", "timestamp-millis")], ids=str)
def test_the_same_for_a_whole_number(kind: Any, vast: Any) -> None:
    for schema, value in (
        (record(a=kind), {"a": vast}),
        (kind, vast),
        (array(kind), [1, vast]),
        (array(kind), iter([1, vast])),
        (mapping(kind), {"k": vast}),
        (["null", kind, array(kind)], [vast]),
        (["null", kind], vast),
    ):
        assert "Decimal" in misfit(schema, value).actual


def test_a_decimals_scale_has_a_limit() -> None:
    for scale, fits in ((10_000, True), (10_001, False), (10**30, False)):
        schema = record(a=array({"type": "bytes", "logicalType": "decimal", "precision": 10**31, "scale": scale}))
        if fits:
            assert serializer(schema)({"a": [decimal.Decimal(1)]})
        else:
            with pytest.raises(ConfigurationError, match="scale of more than 10000"):
                serializer(schema)


@pytest.mark.parametrize("name", ["NaN", "1e999", "5", "null", '["x"]', "true"])
def test_a_fields_name_is_a_string(name: str) -> None:
    text = '{"type":"record","name":"R","fields":[{"name":' + name + ',"type":"long"}]}'
    with pytest.raises(ConfigurationError, match="not an Avro schema: R has a field whose name is no string"):
        AvroSchema(text)


@pytest.mark.parametrize(
    "text",
    ['["null",' * 240 + '"int"' + "]" * 240, "[" * 490 + '"long"' + "]" * 490, '{"type":' * 490 + '"long"' + "}" * 490],
)
def test_types_that_are_nested_too_deep_to_follow_are_no_error_of_the_interpreters(text: str) -> None:
    with suppress(ConfigurationError):  # a RecursionError is no documented one
        AvroSchema(text).writer(PREFIX)


@pytest.mark.parametrize("union", [False, True])
def test_a_list_that_grows_while_fastavro_writes_it_has_the_items_it_had(union: bool) -> None:
    class Growing(uuid.UUID):
        def __str__(self) -> str:
            ids.append(self)  # as another thread may, where Python runs
            return super().__str__()

    ids: list[Any] = []
    ids.append(Growing(int=1))
    kind = array(logical("string", "uuid"))
    schema = record(ids=["null", record("Other", x="long"), kind] if union else kind)
    message = serializer(schema)({"ids": ids})
    assert message is not None
    read = fastavro.schemaless_reader(BytesIO(message[5:]), fastavro.parse_schema(schema))
    assert read == {"ids": [uuid.UUID(int=1)]}


class Late(Exception):  # noqa: N818
    """As a signal handler raises it."""


def test_what_is_raised_while_a_value_is_looked_at_is_not_lost() -> None:
    """Where the value is not at fault: fastavro writes it."""

    class Seven(int):
        @property
        def __class__(self) -> Any:
            if raises:
                raise raises.pop()
            return int

    raises: list[Exception] = []
    write = serializer(record("R", f="long"), **{"validate.strict": True})
    assert write({"f": Seven(7)}) == b"\0\0\0\0\7\x0e"
    raises.append(Late())
    with pytest.raises(Late):
        write({"f": Seven(7)})
    raises.append(ValueError())
    assert write({"f": Seven(7)}) == b"\0\0\0\0\7\x0e"
