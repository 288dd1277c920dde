"""From JSON and cells to what is written: what each value becomes, and what is refused."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Any

import pytest
from confluent_kafka.serialization import MessageField
from fastavro import json_writer as avro_json
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kafka_sr_retry.avro.encoder import AvroSchema
from kafka_sr_retry.cli.produce.coercing import Coercer, NoFit, Rules, parse
from kafka_sr_retry.cli.produce.messages import Failed, Maker, Shape, Writer
from kafka_sr_retry.cli.produce.quick import quick

unhurried = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def read(schema: Any, text: str, form: str = "json", **rules: Any) -> Any:
    named: dict[str, Any] = {}
    parsed = parse_schema(schema, named_schemas=named)
    one = Coercer(named, Rules(form, **rules)).of(parsed)
    return one(text if form == "csv" else parse(text))


DATE = logical("int", "date")
MILLIS = logical("long", "timestamp-millis")
MICROS = logical("long", "timestamp-micros")
LOCAL = logical("long", "local-timestamp-millis")
MONEY = logical("bytes", "decimal", precision=6, scale=2)
COLOUR = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
TWO = {"type": "fixed", "name": "Two", "size": 2}
POINT = {
    "type": "record",
    "name": "Point",
    "fields": [{"name": "x", "type": "long"}, {"name": "y", "type": "long", "default": 7}],
}
PLACE = {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "long"}]}

BECOMES: list[tuple[Any, str, Any]] = [
    ("long", "5", 5),
    ("long", "5.0", 5),
    ("long", "1e3", 1000),
    ("long", "9007199254740993.0", 9007199254740993),
    ("long", str(2**63 - 1), 2**63 - 1),
    ("long", str(-(2**63)), -(2**63)),
    ("double", "5", 5.0),
    ("double", "0.1", 0.1),
    ("double", '"NaN"', math.nan),
    ("double", '"-Infinity"', -math.inf),
    ("float", "3.4028234663852886e38", 3.4028234663852886e38),
    ("boolean", "true", True),
    ("string", '"5"', "5"),
    ("bytes", '"AP8="', b"\0\xff"),
    (TWO, '"AP8="', b"\0\xff"),
    (COLOUR, '"RED"', "RED"),
    (DATE, '"2026-11-27"', 20784),
    (DATE, "20784", 20784),
    (DATE, '"0001-01-01"', -719162),
    (logical("int", "time-millis"), '"09:30:00.5"', 34_200_500),
    (logical("long", "time-micros"), '"09:30"', 34_200_000_000),
    (MILLIS, '"2026-11-27T09:30:00.123Z"', 1795771800123),
    (MILLIS, '"2026-11-27 10:30:00.123+01:00"', 1795771800123),
    (MILLIS, '"2026-11-27T04:00:00.123-05:30"', 1795771800123),
    (MILLIS, '"2026-11-27T09:30:00.123000Z"', 1795771800123),
    (MILLIS, "1795771800123", 1795771800123),
    (MICROS, '"1969-12-31T23:59:59.999999Z"', -1),
    (logical("long", "timestamp-nanos"), '"1970-01-01T00:00:00.000000001Z"', 1),
    (LOCAL, '"1970-01-01T00:00:01"', 1000),
    (MONEY, "12.34", Decimal("12.34")),
    (MONEY, '"12.34"', Decimal("12.34")),
    (MONEY, "12", Decimal("12.00")),
    (MONEY, "12.3400", Decimal("12.34")),
    (MONEY, "-9999.99", Decimal("-9999.99")),
    (logical("string", "uuid"), '"f81d4fae-7dec-11d0-a765-00a0c91e6bf6"', "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
    (POINT, '{"x": 1}', {"x": 1, "y": 7}),
    ({"type": "array", "items": "long"}, "[1, 2.0]", [1, 2]),
    ({"type": "map", "values": DATE}, '{"a": "1970-01-02"}', {"a": 1}),
    (["null", "long"], "null", None),
    (["null", DATE], '"1970-01-02"', 1),
    (["int", "long"], "5", ("int", 5)),
    (["int", "long"], str(2**31), ("long", 2**31)),
    (["double", "long"], "5", ("long", 5)),
    (["long", "double"], "5.5", ("double", 5.5)),
    (["null", "long", "double"], "9007199254740993.0", ("long", 9007199254740993)),
    (["long", "float"], "16777217.0", ("long", 16777217)),
    (["double", "int"], "1e3", ("int", 1000)),
    (["double", MONEY], "1e3", ("bytes", Decimal("1000.00"))),
    (["float", "double", "long"], "1e30", ("double", 1e30)),
    (["float", "double"], "0.1", ("double", 0.1)),
    (["double", MONEY], "0.1", ("bytes", Decimal("0.10"))),
    (["string", DATE], '"1970-01-02"', ("string", "1970-01-02")),
    (["long", DATE], '"1970-01-02"', ("int", 1)),
    ([COLOUR, "string"], '"RED"', ("string", "RED")),
    (["null", POINT, PLACE], '{"x": 1, "y": 2}', ("Point", {"x": 1, "y": 2})),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "text", "value"), BECOMES)
def test_plain_json_becomes(schema: Any, text: str, value: Any) -> None:
    made = read(schema, text)
    assert type(made) is type(value)
    assert made == value or math.isnan(made)


REFUSED: list[tuple[Any, str, str]] = [
    ("long", str(2**63), "out of the range of long"),
    ("int", str(2**31), "out of the range of int"),
    ("long", '"5"', "got a text"),
    ("long", "5.5", "a number with a fraction"),
    ("long", "true", "a boolean"),
    ("long", "null", "null"),
    ("long", "1e999999999", "a number"),
    ("double", "1e400", "out of the range of double"),
    ("double", "1" + "0" * 400, "out of the range of double"),
    ("float", "3.5e38", "out of the range of float"),
    ("double", "true", "a boolean"),
    ("double", '"5"', "a text"),
    ("boolean", "1", "a number"),
    ("boolean", '"true"', "a text"),
    ("string", "5", "a number"),
    ("bytes", '"AP8"', "not base64"),
    ("bytes", '"A P8="', "not base64"),
    (TWO, '"AA=="', "1 bytes"),
    (COLOUR, '"GREEN"', "none of them"),
    (DATE, '"20261127"', "no date such as"),
    (DATE, '"2026-02-30"', "no date"),
    (DATE, "20261127", "out of the range of date"),
    (MILLIS, '"2026-11-27T09:30:00"', "without a zone"),
    (MILLIS, '"2026-11-27T09:30:00.1234Z"', "more digits"),
    (MILLIS, '"2026-11-27T24:00:00Z"', "no time of a day"),
    (MILLIS, '"2026-11-27"', "no timestamp such as"),
    (MILLIS, "1795771800123000", "out of the range of timestamp-millis"),
    (LOCAL, '"1970-01-01T00:00:01Z"', "with a zone"),
    (MONEY, "12.345", "after the point"),
    (MONEY, "12345.6", "before the point"),
    (MONEY, '"1,50"', "a text"),
    (MONEY, '"NaN"', "a text"),
    (logical("string", "uuid"), '"f81d4fae7dec11d0a76500a0c91e6bf6"', "no UUID"),
    (POINT, "{}", "the key is missing"),
    (POINT, '{"x": 1, "z": 2}', "no such field"),
    (POINT, "[]", "a list"),
    ({"type": "array", "items": "long"}, '{"a": 1}', "an object"),
    (["null", "long"], '"x"', "a text"),
    (["bytes", TWO], '"AAA="', "fits bytes and Two"),
    ([{"type": "map", "values": "long"}, PLACE], '{"x": 1}', "fits map and Place"),
    (["null", "string", "long"], "true", "a boolean"),
]


@pytest.mark.parametrize(("schema", "text", "why"), REFUSED)
def test_plain_json_is_refused(schema: Any, text: str, why: str) -> None:
    with pytest.raises(NoFit, match=why.replace("(", r"\(")):
        read(schema, text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "is no JSON"),
        ("-Infinity", "is no JSON"),
        ('{"a": 1, "a": 1}', "twice"),
        ('{"x": {"a": 1, "a": 2}}', "twice"),
        ("{'a': 1}", "Expecting property name"),
        ("1 2", "Extra data"),
        ("", "Expecting value"),
        ('"\t"', "Invalid control character"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "limit"),
    ],
)
def test_what_is_no_json(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


@pytest.mark.parametrize(
    ("bytes_as", "text", "value"), [("hex", "00fF", b"\0\xff"), ("utf-8", "é", b"\xc3\xa9"), ("latin-1", "é", b"\xe9")]
)
def test_bytes_in_other_writings(bytes_as: str, text: str, value: bytes) -> None:
    assert read("bytes", json.dumps(text), bytes_as=bytes_as) == value


@pytest.mark.parametrize(("bytes_as", "text"), [("hex", "0 0"), ("hex", "0"), ("latin-1", "€"), ("utf-8", "\ud800")])
def test_a_text_that_stands_for_no_bytes(bytes_as: str, text: str) -> None:
    with pytest.raises(NoFit, match=f"not {bytes_as}"):
        read("bytes", json.dumps(text), bytes_as=bytes_as)


def test_a_timestamp_without_a_zone_is_utc_where_that_is_said() -> None:
    assert read(MILLIS, '"1970-01-01T00:00:01"', assume_utc=True) == 1000


def test_a_path_leads_to_what_does_not_fit() -> None:
    items = {"type": "record", "name": "R", "fields": [{"name": "items", "type": {"type": "array", "items": POINT}}]}
    with pytest.raises(NoFit) as caught:
        read(items, '{"items": [{"x": 1}, {"x": "one"}]}')
    assert caught.value.path == "items[1].x"
    assert "one" not in str(caught.value)


CELLS: list[tuple[Any, str, Any]] = [
    ("long", " 5 ", 5),
    ("double", "1e3", 1000.0),
    ("boolean", "True", True),
    ("string", "", ""),
    ("string", " a ", " a "),
    (["null", "string"], "", None),
    (["null", "long"], "", None),
    (["null", "long"], "007", 7),
    ("bytes", "1234", b"\xd7\x6d\xf8"),
    (["null", "bytes"], "", None),
    (["bytes", "string"], "", ("string", "")),
    (DATE, "1970-01-02", 1),
    (MONEY, "12.3", Decimal("12.30")),
    (["null", "long", "double"], "5.5", ("double", 5.5)),
    (["null", "long", "double"], "9007199254740993.0", ("long", 9007199254740993)),
    (["double", "int"], "1e3", ("int", 1000)),
    (["string", "long"], "abc", ("string", "abc")),
    ({"type": "array", "items": "long"}, "[1,2]", [1, 2]),
    (POINT, '{"x": 1}', {"x": 1, "y": 7}),
]


@pytest.mark.parametrize(("schema", "cell", "value"), CELLS)
def test_a_cell_becomes(schema: Any, cell: str, value: Any) -> None:
    made = read(schema, cell, "csv")
    assert (type(made), made) == (type(value), value)


@pytest.mark.parametrize(
    ("schema", "cell"),
    [
        ("long", ""),
        ("long", "1_000"),
        ("long", "\u0661"),
        ("long", "0x10"),
        ("long", "1,5"),
        ("double", "1_0.0"),
        ("boolean", "yes"),
        ("boolean", ""),
        (["string", "long"], "5"),
        (POINT, "x"),
        ("bytes", ""),
        (MONEY, ""),
        (COLOUR, ""),
        ({"type": "fixed", "name": "None", "size": 0}, ""),
    ],
)
def test_a_cell_is_refused(schema: Any, cell: str) -> None:
    with pytest.raises(NoFit):
        read(schema, cell, "csv")


# -- Avro's JSON encoding ---------------------------------------------------------------------------

WIDE = {
    "type": "record",
    "name": "shop.Wide",
    "fields": [
        {"name": "i", "type": "int"},
        {"name": "d", "type": "double"},
        {"name": "b", "type": "bytes"},
        {"name": "f", "type": TWO},
        {"name": "e", "type": COLOUR},
        {"name": "m", "type": {"type": "map", "values": "long"}},
        {"name": "u", "type": ["null", "string", "long", "Two", PLACE, {"type": "array", "items": "int"}]},
        {"name": "n", "type": ["null", "boolean"]},
    ],
}  # fmt: skip
VALUES = st.fixed_dictionaries(
    {
        "i": st.integers(-(2**31), 2**31 - 1),
        "d": st.floats(allow_nan=False, allow_infinity=False),
        "b": st.binary(max_size=5),
        "f": st.binary(min_size=2, max_size=2),
        "e": st.sampled_from(["RED", "BLUE"]),
        "m": st.dictionaries(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=3), st.integers(-5, 5), max_size=3
        ),
        "u": st.none()
        | st.text(st.characters(codec="utf-8"), max_size=3)
        | st.integers(-5, 5)
        | st.lists(st.integers(-5, 5), max_size=3)
        | st.fixed_dictionaries({"x": st.integers(-5, 5)}),
        "n": st.none() | st.booleans(),
    }
)


@unhurried
@given(VALUES)
def test_avros_own_json_is_read_as_fastavro_writes_it(value: Any) -> None:
    out, binary = StringIO(), BytesIO()
    parsed = parse_schema(WIDE)
    avro_json(out, parsed, [value])
    schemaless_writer(binary, parsed, value)

    made = read(WIDE, out.getvalue(), "avro-json")
    assert AvroSchema(json.dumps(WIDE)).writer(b"")(made, None) == binary.getvalue()


@pytest.mark.parametrize(
    ("schema", "text"),
    [(["null", "long"], "5"), (["null", "long"], '{"int": 5}'), (["null", "long"], '{"long": 5, "int": 5}')],
)
def test_avros_own_json_names_the_branch(schema: Any, text: str) -> None:
    with pytest.raises(NoFit):
        read(schema, text, "avro-json")


def test_defaults_are_read_as_the_schema_writes_them() -> None:
    fields = [
        {"name": "b", "type": "bytes", "default": "\u00ff"},
        {"name": "u", "type": [COLOUR, "null"], "default": "RED"},
        {"name": "d", "type": MONEY, "default": "\u0001"},
    ]
    schema = {"type": "record", "name": "R", "fields": fields}
    assert read(schema, "{}") == {"b": b"\xff", "u": "RED", "d": b"\1"}


# -- the quick way is the exact one -------------------------------------------------------------------

FLAT = {
    "type": "record",
    "name": "Flat",
    "fields": [
        {"name": "l", "type": "long"},
        {"name": "d", "type": "double"},
        {"name": "s", "type": "string"},
        {"name": "b", "type": "boolean", "default": True},
        {"name": "n", "type": ["null", "long"], "default": None},
        {"name": "day", "type": ["null", DATE], "default": None},
        {"name": "u", "type": ["null", "string", "double", "long"], "default": None},
        {"name": "p", "type": ["null", POINT], "default": None},
        {"name": "a", "type": {"type": "array", "items": ["null", "double"]}, "default": []},
    ],
}  # fmt: skip
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["1970-01-02", "NaN", "5", "", "\ud800", 2**63, 5.0, 1e400, 2.0**60 + 1])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y", "z"]), inner, max_size=2),
    max_leaves=4,
)
LIKELY = {
    "l": st.integers(-(2**63), 2**63 - 1),
    "d": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
    "s": st.text(max_size=3),
    "b": st.booleans(),
    "n": st.none() | st.integers(-5, 5),
    "day": st.none() | st.just("1970-01-02"),
    "u": st.none() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=2),
    "p": st.none() | st.fixed_dictionaries({"x": st.integers(-5, 5), "y": st.integers(-5, 5)}),
    "a": st.lists(st.none() | st.floats(allow_nan=False), max_size=2),
}


def bytes_or_none(make: Any) -> Any:
    try:
        return make()
    except Exception:  # noqa: BLE001
        return None


@unhurried
@given(st.data(), st.booleans())
@example(None, True)
def test_whatever_the_quick_way_takes_the_exact_one_writes_alike(data: Any, with_decimals: bool) -> None:
    schema = FLAT
    if with_decimals:
        extra = {"name": "money", "type": ["null", MONEY], "default": None}
        schema = {**FLAT, "fields": [*FLAT["fields"], extra]}  # type: ignore[misc]
    if data is None:
        record = {"l": 1, "d": 1, "s": "", "b": True, "n": None, "day": None, "u": 5, "p": None, "a": [], "money": 1}
    else:
        odd = data.draw(st.sampled_from([*LIKELY, ""]))
        record = {name: data.draw(ANY if name == odd else likely) for name, likely in LIKELY.items()}
        if with_decimals:
            record["money"] = data.draw(st.none() | st.sampled_from([0.5, 12, "12.34", 1.234]))
    text = json.dumps(record)
    named: dict[str, Any] = {}
    parsed = parse_schema(schema, named_schemas=named)
    exact = Coercer(named, Rules("json"))
    fast = quick(parsed, named, exact)
    write = AvroSchema(json.dumps(schema)).writer(b"")
    assert fast is not None

    quickly = bytes_or_none(lambda: write(fast(text), None))
    exactly = bytes_or_none(lambda: write(exact.of(parsed)(parse(text)), None))
    if quickly is not None:
        assert quickly == exactly
    if data is None:
        assert quickly is not None


@pytest.mark.parametrize("text", ["5.0", "1e3", "9007199254740993.0", "9007199254740993.5", "0.99999999999999999999"])
def test_the_quick_way_takes_no_float_for_a_whole_number(text: str) -> None:
    union = ["double", "long"]
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": {"type": "array", "items": union}}]}
    named: dict[str, Any] = {}
    parsed = parse_schema(schema, named_schemas=named)
    read_quickly = quick(parsed, named, Coercer(named, Rules("json")))
    assert read_quickly is not None
    with pytest.raises(NoFit):
        read_quickly(f'{{"n":[{text}]}}')
    assert read_quickly('{"n":[5,0.5]}') == {"n": [("long", 5), ("double", 0.5)]}


def test_beside_a_decimal_the_quick_way_rounds_no_number() -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": ["double", MONEY]}]}
    named: dict[str, Any] = {}
    parsed = parse_schema(schema, named_schemas=named)
    read_quickly = quick(parsed, named, Coercer(named, Rules("json")))
    assert read_quickly is not None
    assert read_quickly('{"n":0.1}') == {"n": ("bytes", Decimal("0.10"))}


# -- messages ---------------------------------------------------------------------------------------


def maker(schema: Any = PLACE, key: Any = None, form: str = "json", header: Any = None, **shape: Any) -> Maker:
    def writer(given: Any, field: MessageField) -> Writer:
        write = AvroSchema(json.dumps(given)).writer(b"")
        return Writer(write, "t", field, json.dumps(given), [], Rules(form))

    return Maker(
        writer(schema, MessageField.VALUE),
        None if key is None else writer(key, MessageField.KEY),
        Shape(**shape),
        rules=Rules(form),
        header=header,
    )


def test_a_line_holds_headers_key_and_value() -> None:
    made = maker(key_separator="|", headers_separator="\t", headers=(("all", b"1"),), null_marker="NULL")
    message = made.of_line(b'a:b,c:NULL\tk|{"x": 1}')
    assert (message.key, message.headers) == (b"k", [("all", b"1"), ("a", b"b"), ("c", None)])
    assert schemaless_reader(BytesIO(message.value or b""), parse_schema(PLACE), None) == {"x": 1}
    assert made.of_line(b"NULL\tNULL|NULL").value is None


def test_fields_give_key_header_and_time_and_go_where_the_schema_has_none() -> None:
    made = maker(key_field="id", header_fields=("x",), timestamp_field="at")
    message = made.of_line(b'{"id": 7, "x": 1, "at": "1970-01-01T00:00:01Z"}')
    assert (message.key, message.headers, message.timestamp, message.value) == (b"7", [("x", b"1")], 1000, b"\x02")


@pytest.mark.parametrize(
    ("line", "path", "why"),
    [
        (b'{"a|b": 1}', "", "the key: |Expecting|Unterminated"),
        (b'{"x": 1}', "", "no separator behind its key"),
        (b"k|null", "", "--null-marker null"),
        (b'k|{"x": "a"}', "x", "expected long, got a text"),
        (b"k|\xff", "", "not UTF-8, from byte 3"),
    ],
)
def test_a_line_with_a_key_is_refused(line: bytes, path: str, why: str) -> None:
    with pytest.raises(Failed, match=why) as caught:
        maker(key_separator="|").of_line(line)
    assert caught.value.path == path


def test_a_key_with_a_schema_says_that_it_is_the_key_that_does_not_fit() -> None:
    with pytest.raises(Failed, match="the key: expected long, got a text"):
        maker(key="long", key_separator="|").of_line(b'"a"|{"x": 1}')
    with pytest.raises(Failed, match="the key") as caught:
        maker(key="long", key_field="id").of_line(b'{"id": "a", "x": 1}')
    assert caught.value.path == "id"


@pytest.mark.parametrize("key", ["long", ["null", "string"]])
@pytest.mark.parametrize("form", ["json", "avro-json"])
def test_null_is_no_key(key: Any, form: str) -> None:
    assert maker(key=key, form=form, key_separator="|").of_line(b' null |{"x": 1}').key is None
    assert maker(key=key, form=form, key_field="id").of_line(b'{"id": null, "x": 1}').key is None
    assert maker(key=key, form="csv", header=["id", "x"], key_field="id").of_row(["", "1"]).key is None


def test_without_a_schema_the_text_null_is_a_key_and_the_field_null_is_none() -> None:
    assert maker(key_separator="|").of_line(b'null|{"x": 1}').key == b"null"
    assert maker(key_field="id").of_line(b'{"id": null, "x": 1}').key is None


@pytest.mark.parametrize(
    ("header", "why"),
    [(["x", "z"], "column 'z' is no field"), (["y", "id"], "no column for field 'x'"), (["x", "y"], "no column 'id'")],
)
def test_columns_are_fields(header: list[str], why: str) -> None:
    with pytest.raises(Failed, match=why):
        maker(POINT, form="csv", header=header, key_field="id")


def test_a_row_with_a_cell_too_many_is_refused() -> None:
    with pytest.raises(Failed, match="it has 2 cells, and the first line 1"):
        maker(form="csv", header=["x"]).of_row(["1", "2"])
