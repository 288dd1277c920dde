"""Avro's rules of compatibility. ``trials/compatibility.py`` compares them with Java's and a real registry's."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from kafka_sr_retry.avro.compatibility import LEVELS, clashes, parse, unread


def record(*fields: Any, **other: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Order", "namespace": "shop", "fields": list(fields), **other}


def field(of: Any, name: str = "f", **other: Any) -> dict[str, Any]:
    return {"name": name, "type": of, **other}


def found(reader: Any, writer: Any) -> list[tuple[str, str]]:
    return [(each.rule, each.path) for each in unread(parse(json.dumps(reader)), parse(json.dumps(writer)))]


COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
ONLY_RED = {**COLOUR, "symbols": ["RED"]}
FOUR = {"type": "fixed", "name": "Four", "size": 4}
MISSING, TYPE, BRANCH = "READER_FIELD_MISSING_DEFAULT_VALUE", "TYPE_MISMATCH", "MISSING_UNION_BRANCH"
NAME, SYMBOLS, SIZE = "NAME_MISMATCH", "MISSING_ENUM_SYMBOLS", "FIXED_SIZE_MISMATCH"

FITS = {
    "a field that is gone": (record(), record(field("int"))),
    "a new field with a default": (record(field("int", default=0)), record()),
    "null is a default": (record(field(["null", "int"], default=None)), record()),
    "int to long": (record(field("long")), record(field("int"))),
    "long to float": ("float", "long"),
    "string to bytes": ("bytes", "string"),
    "bytes to string": ("string", "bytes"),
    "a type in a union": (["null", "long"], "int"),
    "all of a union": ("double", ["int", "float"]),
    "a field's alias": (record(field("int", "g", aliases=["f"])), record(field("int"))),
    "a record's alias with its namespace": (record(name="Sale", aliases=["shop.Order"]), record()),
    "a record's alias of the same namespace": (record(name="Sale", aliases=["Order"]), record()),
    "another namespace": (record(namespace="warehouse"), record()),
    "an enum with a default": ({**ONLY_RED, "default": "RED"}, COLOUR),
    "more symbols": (COLOUR, ONLY_RED),
    "another order": (record(field("int"), field("long", "g")), record(field("long", "g"), field("int"))),
    "a record that holds itself": (record(field(["null", "Order"])), record(field(["null", "Order"]))),
    "another logical type": ({"type": "long", "logicalType": "timestamp-millis"}, "long"),
    "an error is a record": ({**record(), "type": "error"}, record()),
}


@pytest.mark.parametrize("case", FITS)
def test_what_fits(case: str) -> None:
    assert found(*FITS[case]) == []


MISFITS = {
    "a new field": (record(field("int")), record(), [(MISSING, "Order.f")]),
    "long to int": (record(field("int")), record(field("long")), [(TYPE, "Order.f")]),
    "an array's items": (
        record(field({"type": "array", "items": record(field("int", "price"), name="Item")}, "items")),
        record(field({"type": "array", "items": record(name="Item")}, "items")),
        [(MISSING, "Order.items[].price")],
    ),
    "a map's values": ({"type": "map", "values": "int"}, {"type": "map", "values": "string"}, [(TYPE, "{}")]),
    "not every branch": ("int", ["int", "null"], [(TYPE, "(the schema)")]),
    "a branch too few": (record(field(["int"])), record(field(["int", "null"])), [(BRANCH, "Order.f")]),
    "no branch": (record(field(["null", "int"])), record(field("string")), [(BRANCH, "Order.f")]),
    "another name": (record(name="Sale"), record(), [(NAME, "Sale")]),
    "an alias of another namespace": (record(name="Sale", aliases=["x.Order"]), record(), [(NAME, "Sale")]),
    "an alias of the writer's": (record(), record(name="Sale", aliases=["Order"]), [(NAME, "Order")]),
    "a field's alias of the writer's": (
        record(field("int")),
        record(field("int", "g", aliases=["f"])),
        [(MISSING, "Order.f")],
    ),
    "fewer symbols": (ONLY_RED, COLOUR, [(SYMBOLS, "Colour")]),
    "a field with a default of its own is no enum with one": (
        record(field(ONLY_RED, default="RED")),
        record(field(COLOUR)),
        [(SYMBOLS, "Order.f")],
    ),
    "an enum's default is not its field's": (
        record(field({**COLOUR, "default": "RED"})),
        record(),
        [(TYPE, "Order.f")],
    ),
    "another size": (FOUR, {**FOUR, "size": 8}, [(SIZE, "Four")]),
    "two fields for one": (
        record(field("int", aliases=["g"])),
        record(field("int"), field("int", "g")),
        [("AMBIGUOUS_FIELD", "Order.f")],
    ),
    "all that is wrong": (
        record(field("int"), field("int", "g"), name="Sale"),
        record(field("string")),
        [(NAME, "Sale"), (TYPE, "Sale.f"), (MISSING, "Sale.g")],
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_and_where(case: str) -> None:
    reader, writer, expected = MISFITS[case]
    assert found(reader, writer) == expected


def test_what_is_wrong_within_a_branch_is_told() -> None:
    item = record(field("int", "price"), name="Item")
    reader, writer = (record(field(["null", of], "item")) for of in (item, record(name="Item")))
    (branch,) = unread(parse(json.dumps(reader)), parse(json.dumps(writer)))
    assert (branch.rule, branch.pointer) == (BRANCH, "/fields/0/type/1")
    assert [(each.rule, each.path) for each in branch.inside] == [(MISSING, "Order.item.price")]


def test_what_a_schema_refers_to_is_read_with_it() -> None:
    item = json.dumps(record(field("int", "price"), name="Item"))
    order = json.dumps(record(field("Item", "item")))
    newer = json.dumps(record(field("string", "price"), name="Item"))
    assert not unread(parse(order, [item]), parse(order, [item]))
    (told,) = unread(parse(order, [newer]), parse(order, [item]))
    assert (told.path, told.reader, told.writer) == ("Order.item.price", "string", "int")


@pytest.mark.parametrize(
    ("versions", "new", "refusing"),
    [
        (["int"], "long", {"FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}),
        (["long"], "int", {"BACKWARD", "BACKWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"}),
        (["string", "int"], "long", {*LEVELS} - {"NONE", "BACKWARD"}),
        (["string", "long"], "int", {*LEVELS} - {"NONE", "FORWARD"}),
        (["string"], "int", {*LEVELS} - {"NONE"}),
        (["int", "int"], "int", set()),
        ([], "int", set()),
    ],
)
def test_which_versions_each_level_compares(versions: list[str], new: str, refusing: set[str]) -> None:
    earlier = [(number, parse(text)) for number, text in enumerate(versions, 1)]
    assert {level for level in LEVELS if list(clashes(parse(new), earlier, level))} == refusing


def test_a_clash_names_version_and_direction() -> None:
    earlier = [(1, parse("string")), (2, parse("long"))]
    told = [(clash.version, clash.new_reads) for clash in clashes(parse("int"), earlier, "FULL_TRANSITIVE")]
    assert told == [(2, True), (1, False), (1, True)]


@pytest.mark.parametrize(
    "text", ["", "nope", "{}", "3", '{"type":"record","name":"R","fields":[{"name":"a"}]}', '"shop.X"']
)
def test_what_is_no_schema_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


REFUSED = {
    "aliases of a field": (record(field("int", aliases=1)), "aliases is no list"),
    "an alias of a field": (record(field("int", aliases=[1])), "1 is no text"),
    "aliases of a type": (record(aliases=None), "aliases is no list"),
    "an alias of a type": (record(aliases=["a b"]), "'a b' is no name"),
    "numbers for symbols": ({**COLOUR, "symbols": [1, 2]}, "1 is no text"),
    "a text for symbols": ({**COLOUR, "symbols": "AB"}, "symbols is no list"),
    "a symbol that is no name": ({**COLOUR, "symbols": ["A-B"]}, "'A-B' is no name"),
    "a symbol twice": ({**COLOUR, "symbols": ["A", "A"]}, "the symbol A is there twice"),
    "a default that is no symbol": ({**COLOUR, "default": "X"}, "the enum's default X is none of its symbols"),
    "a size below 0": ({**FOUR, "size": -1}, "the size of Four"),
    "a size that is a text": ({**FOUR, "size": "4"}, "the size of Four"),
    "a size that is true": ({**FOUR, "size": True}, "the size of Four"),
    "a size with a fraction": ({**FOUR, "size": 4.0}, "the size of Four"),
    "a branch twice": (["int", "int"], "the branch int is there twice"),
    "two arrays": ([{"type": "array", "items": of} for of in ("int", "long")], "the branch array is there twice"),
    "a type and its name": ([FOUR, "Four"], "the branch Four is there twice"),
    "a union in a union": (["int", ["long"]], "a union stands in a union"),
    "a union for a type's type": ({"type": ["int"]}, "is no text"),
    "a field twice": (record(field("int"), field("long")), "the field f is there twice"),
    "a field's name with a space": (record(field("int", "a b")), "'a b' is no name"),
    "a field's name with a dot": (record(field("int", "a.b")), "'a.b' is no name"),
    "a number for a field's name": (record(field("int", 1)), "1 is no text"),  # type: ignore[arg-type]
    "a field's order": (record(field("int", order="up")), "the order of field f"),
    "fields that are no list": ({**record(), "fields": {}}, "fields is no list"),
    "a name with slashes": (record(name="E/../x"), "'/x' is no name"),
    "a name with a digit in front": (record(name="1E"), "'1E' is no name"),
    "half a character": (record(name="R\ud800"), "is no name"),
    "a letter of two UTF-16 units": (record(name="\U0001d400"), "is no name"),
    "a number for a name": (record(name=1), "1 is no text"),
    "Avro's own name": ({"type": "record", "name": "int", "fields": []}, "a type of one's own is called int"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_java_refuses_is_a_value_error(case: str) -> None:
    schema, words = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(words)):
        parse(json.dumps(schema))


TAKEN = {
    "any alias of a field": record(field("int", aliases=["x y"])),
    "names of other alphabets": record(field("int", "größe٣"), name="Größe"),
    "no symbols": {**COLOUR, "symbols": []},
    "an enum's default that is no text": {**COLOUR, "default": 1},
    "no bytes": {**FOUR, "size": 0},
    "no branches": [],
    "branches of one short name": [FOUR, {**FOUR, "name": "x.Four"}],
    "a namespace of Java 1.11": record(namespace="my-company.a b"),
    "a namespace that is no text": record(namespace=1),
    "an order in capitals": record(field("int", order="Ascending")),
    "an alias of another field's name": record(field("int", aliases=["g"]), field("int", "g")),
    "an empty namespace's int": record(name="x.int"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_java_takes_is_a_schema(case: str) -> None:
    parse(json.dumps(TAKEN[case]))


def nested(levels: int) -> str:
    return '{"type":"array","items":' * levels + '"int"' + "}" * levels


def test_what_is_nested_too_deep_is_a_value_error() -> None:
    assert not unread(parse(nested(100)), parse(nested(100)))
    with pytest.raises(ValueError, match="nested too deep"):
        unread(parse(nested(400)), parse(nested(400)))


def test_findings_of_types_that_are_used_often_do_not_multiply() -> None:
    """Each record uses the next one twice: 2**60 places."""

    def chain(last: str) -> str:
        schema: Any = record(field(last), name="R60")
        for number in reversed(range(60)):
            schema = record(field(schema, "a"), field(f"R{number + 1}", "b"), name=f"R{number}")
        return json.dumps(schema)

    assert len(unread(parse(chain("int")), parse(chain("string")))) == 1
