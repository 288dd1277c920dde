"""What of a schema is refused before anything is written, wherever in it that stands, and what is said of it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from kafka_sr_retry.avro.compiler import DIGITS, Unsuitable
from kafka_sr_retry.avro.encoder import LARGEST_DECIMAL, AvroSchema, full_name
from kafka_sr_retry.errors import ConfigurationError


def record(*fields: Any, name: str = "R") -> dict[str, Any]:
    named = [field if isinstance(field, dict) and "name" in field else {"name": "f", "type": field} for field in fields]
    return {"type": "record", "name": name, "fields": named}


def decimal(scale: int, kind: str = "decimal") -> dict[str, Any]:
    return {"type": "bytes", "logicalType": kind, "precision": 20_000, "scale": scale}


@pytest.mark.parametrize(
    "held",
    [
        lambda kind: kind,
        lambda kind: {"type": "array", "items": kind},
        lambda kind: {"type": "map", "values": kind},
        lambda kind: ["null", kind],
        record,
        lambda kind: record({"name": "a", "type": kind}, {"name": "b", "type": "long"}),
        lambda kind: record({"name": "a", "type": "long"}, {"name": "b", "type": ["null", kind, "string"]}),
        lambda kind: record({"name": "a", "type": record(kind, name="S")}, {"name": "b", "type": ["null", "R"]}),
    ],
    ids=["itself", "array", "map", "union", "record", "first field", "second field", "record in a record"],
)
def test_a_scale_has_a_limit_wherever_it_stands(held: Any) -> None:
    AvroSchema(json.dumps(held(decimal(DIGITS))))
    AvroSchema(json.dumps(held(decimal(DIGITS + 1, "another"))))
    with pytest.raises(ConfigurationError, match=f"it has a decimal with a scale of more than {DIGITS}") as caught:
        AvroSchema(json.dumps(held(decimal(DIGITS + 1))))
    assert caught.value.key == "schema_str"


def test_a_scale_has_a_limit_however_it_is_spelt_and_in_a_reference_too() -> None:
    spelt = json.dumps(record(decimal(DIGITS + 1))).replace("scale", "\\u0073cale")
    for texts in ((spelt,), ('["null", "R"]', [spelt]), ('["null", "R"]', [json.dumps(record(decimal(DIGITS + 1)))])):
        with pytest.raises(ConfigurationError, match="it has a decimal with a scale of more than"):
            AvroSchema(*texts)


def test_a_decimal_of_fixed_size_has_a_limit() -> None:
    fixed = {"type": "fixed", "name": "n.F", "logicalType": "decimal", "precision": 4, "scale": 0}
    AvroSchema(json.dumps({**fixed, "size": LARGEST_DECIMAL}))
    with pytest.raises(ConfigurationError, match=f"n[.]F is a decimal of more than {LARGEST_DECIMAL} bytes"):
        AvroSchema(json.dumps({"type": "array", "items": {**fixed, "size": LARGEST_DECIMAL + 1}}))


def test_a_default_that_leads_to_itself_is_named_whichever_field_it_is_of() -> None:
    plain = {"name": "a", "type": "long", "default": 1}
    endless = {"name": "next", "type": "R", "default": {}}
    with pytest.raises(ConfigurationError) as caught:
        AvroSchema(json.dumps(record(plain, endless)))
    assert "the default of field next of R leads to itself, or with those before it to more than" in str(caught.value)
    assert str(caught.value).count(" values") == 1
    AvroSchema(json.dumps(record(plain, {"name": "m", "type": {"type": "map", "values": "R"}, "default": {}})))


def test_what_the_defaults_of_all_fields_come_to_has_one_limit() -> None:
    """Each of them alone is far below it; together they would keep whoever parses a hostile schema for minutes."""
    wide = {"type": "array", "items": "long"}
    fields = [{"name": f"f{n}", "type": wide, "default": [0] * 10_000} for n in range(20)]
    AvroSchema(json.dumps({"type": "record", "name": "R", "fields": fields[:8]}))
    with pytest.raises(ConfigurationError, match="of field f10 of R leads to itself, or with those before it to more"):
        AvroSchema(json.dumps({"type": "record", "name": "R", "fields": fields}))


HELD = {
    "itself": ("R", {}),
    "first branch": (["R", "null"], {}),
    "second branch": (["null", "R"], {}),
    "array": ({"type": "array", "items": "R"}, [{}]),
    "map": ({"type": "map", "values": "R"}, {"k": {}}),
    "another's branch": ([record(name="Leaf"), "R"], {}),  # fastavro 1.8 takes the second
}


@pytest.mark.parametrize(
    ("first", "value", "how"),
    [
        *(("null", None, how) for how in HELD),
        *(("boolean", 5, how) for how in ("itself", "array", "map")),  # is written, and does not validate
        *(("string", "\ud800", how) for how in list(HELD)[:5]),  # validates, and is not written
    ],
)
def test_a_default_without_end_is_refused_however_fastavro_comes_to_it(first: str, value: Any, how: str) -> None:
    """Defaults are written, and looked into for a union's branch."""
    held, default = HELD[how]

    def filled(one: Any) -> Any:
        if isinstance(one, list):
            return [filled(item) for item in one]
        return {key: filled(item) for key, item in one.items()} or {"a": value}

    endless = {"name": "f", "type": held, "default": filled(default)}
    with pytest.raises(ConfigurationError, match="leads to itself"):
        AvroSchema(json.dumps(record({"name": "a", "type": first}, endless)))


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ('"long"', "long"),
        ('{"type":"string"}', "string"),
        ('["null","long"]', None),
        ('{"type":"fixed","name":"F","size":1}', "F"),
        ('{"type":"fixed","name":"F","namespace":"n","size":1}', "n.F"),
        ('{"type":"fixed","name":"m.F","namespace":"n","size":1}', "m.F"),
        ('{"type":"fixed","name":"F","namespace":"","size":1}', "F"),
    ],
)
def test_a_schema_has_the_full_name_of_its_type(schema: str, name: str | None) -> None:
    assert AvroSchema(schema).name == name


def test_what_is_left_to_fastavro_is_logged_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    schema = AvroSchema(json.dumps(record(["null", ["int", "long"]], name="n.Odd")))
    with caplog.at_level(logging.DEBUG):
        write = schema.writer(b"\x00")

    (logged,) = caplog.records
    assert logged.getMessage() == "schema n.Odd is left to fastavro: a union in a union"
    assert write({"f": 7}, None) == b"\x00\x02\x00\x0e"
    with pytest.raises(Unsuitable, match="a union in a union"):
        schema.source()


def test_the_source_of_a_schema_is_its_functions() -> None:
    source = AvroSchema(json.dumps(record("long"))).source()

    assert source.startswith("def write(value, ctx):")
    assert "join" in source
    assert "b'" not in source
    with pytest.raises(Unsuitable, match=r"^bytes are written raw$"):
        AvroSchema('"bytes"').source()


@pytest.mark.parametrize(("depth", "cause"), [(202, SyntaxError), (450, RecursionError)])
@pytest.mark.parametrize(
    "held",
    ["%s", '{"type":"array","items":%s}', '{"type":"record","name":"R","fields":[{"name":"f","type":%s}]}'],
    ids=["itself", "array", "record"],
)
def test_unions_in_unions_that_cpython_does_not_compile_are_refused(held: str, depth: int, cause: type) -> None:
    unions = "[" * depth + '{"type":"array","items":"string"}' + "]" * depth
    with pytest.raises(ConfigurationError, match=r"^schema_str is nested too deep to be followed$") as caught:
        AvroSchema(held % unions).writer(b"")
    assert caught.value.key == "schema_str"
    assert isinstance(caught.value.__cause__, cause)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("[" * 500 + "]" * 500, True),
        ("[" * 501 + "]" * 501, False),
        ("{" + '"a":{' * 499 + "}" * 500, True),
        ("{" + '"a":{' * 500 + "}" * 501, False),
        ("[" + "[]," * 600 + "[" * 499 + "]" * 500, True),
        ("[" + "[]," * 600 + "[" * 500 + "]" * 501, False),
    ],
    ids=["500", "501", "500 objects", "501 objects", "500 after many", "501 after many"],
)
def test_a_text_is_nested_500_levels_deep_and_no_deeper(text: str, fits: bool) -> None:
    if fits:
        assert full_name(text) is None
    else:
        with pytest.raises(ConfigurationError) as caught:
            full_name(text)
        assert str(caught.value) == "schema_str is not an Avro schema: it is nested more than 500 levels deep"
        assert caught.value.key == "schema_str"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("text", ['["null", "n.A"]', '"n.A"'])
def test_a_union_or_a_name_at_the_top_may_mean_a_references_type(text: str, strict: bool) -> None:
    reference = {"type": "record", "name": "n.A", "fields": [{"name": "x", "type": "long"}]}
    write = AvroSchema(text, [json.dumps(reference)]).writer(b"", strict=strict)
    assert write({"x": 1}, None) == (b"\2\2" if "null" in text else b"\2")
