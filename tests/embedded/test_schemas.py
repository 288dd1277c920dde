"""Schemas of every shape: references, unions, recursion, logical types; and rules, which are refused."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import confluent_kafka.schema_registry as confluent
import fastavro
import pytest
from clocks import ShiftedClock
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import (
    AvroEncodingError,
    AvroSerializer,
    ConfigurationError,
    InvalidSchemaError,
    RegisteredSchema,
    RegistryUnavailableError,
    Schema,
    SchemaNotFoundError,
    SchemaReference,
    SchemaRegistryClient,
)
from kafka_sr_retry.testing import Exchange, Fault, SchemaRegistryServer, faults

VALUE = SerializationContext("orders", MessageField.VALUE)
LATEST = {"auto.register.schemas": False, "use.latest.version": True}


def record(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def logical(base: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "logicalType": kind, **more}


def written(registry: SchemaRegistryServer, schema: Any, one: Any, **conf: Any) -> bytes:
    """The message without its five bytes of prefix."""
    with AvroSerializer({"url": registry.url}, schema, None, conf) as serializer:
        message = serializer(one, VALUE)
    assert message is not None
    return message[5:]


def read_back(registry: SchemaRegistryServer, message: bytes | None) -> Any:
    """As Confluent's deserializer reads it."""
    with confluent.SchemaRegistryClient({"url": registry.url}) as client:
        return AvroDeserializer(client)(message, VALUE)


# -- references --------------------------------------------------------------------------------

MONEY = record("Money", cents="long") | {"namespace": "shop.money"}
ITEM = record("Item", price="shop.money.Money") | {"namespace": "shop"}
GIFT = record("Gift", worth="shop.money.Money", note="string") | {"namespace": "shop"}
ORDER = record("Order", item="shop.Item", gift=["null", "shop.Gift"]) | {"namespace": "orders"}
NESTED = {"item": {"price": {"cents": 1}}, "gift": {"worth": {"cents": 2}, "note": "a"}}
NESTED_BYTES = b"\2\2\4\2a"


def refer(name: str, subject: str | None = None, version: int = 1) -> SchemaReference:
    return SchemaReference(name, subject or name, version)


def wire(*references: SchemaReference) -> list[dict[str, Any]]:
    return [reference.to_dict() for reference in references]


@pytest.fixture
def shop(schema_registry: SchemaRegistryServer) -> SchemaRegistryServer:
    """One with a diamond: an order refers to an item and a gift, and both to money."""
    money = wire(refer("shop.money.Money"))
    schema_registry.register("shop.money.Money", json.dumps(MONEY))
    schema_registry.register("shop.Item", json.dumps(ITEM), money)
    schema_registry.register("shop.Gift", json.dumps(GIFT), money)
    return schema_registry


DIAMOND = Schema(json.dumps(ORDER), references=(refer("shop.Item"), refer("shop.Gift")))


def fetched(registry: SchemaRegistryServer) -> list[str]:
    return [request.path.split("/")[2] for request in registry.requests if request.method == "GET"]


def test_a_diamond_of_references_across_namespaces(shop: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": shop.url}, DIAMOND) as serializer:
        message = serializer(NESTED, VALUE)
        assert message is not None
        assert message[5:] == NESTED_BYTES
        for topic in ("orders", "other"):
            serializer(NESTED, SerializationContext(topic, MessageField.VALUE))
    assert sorted(fetched(shop)) == ["shop.Gift", "shop.Item", "shop.money.Money"]
    gets = [request.path for request in shop.requests if request.method == "GET"]
    assert all(path.endswith("/versions/1?deleted=true") for path in gets)
    (registration, *_) = shop.registrations
    assert json.loads(registration.body)["references"] == wire(*DIAMOND.references)
    assert read_back(shop, message) == NESTED


def test_an_object_that_does_not_fit_is_found_inside_a_reference(shop: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": shop.url}, DIAMOND) as serializer, pytest.raises(AvroEncodingError) as caught:
        serializer({"item": {"price": {"cents": "x"}}, "gift": None}, VALUE)
    assert caught.value.field_path == "item.price.cents"


def test_references_of_a_version_from_the_registry(shop: SchemaRegistryServer) -> None:
    shop.register("orders-value", DIAMOND.schema_str, wire(*DIAMOND.references))
    assert written(shop, None, NESTED, **LATEST) == NESTED_BYTES
    assert written(shop, None, NESTED, **{"use.schema.id": 4}) == NESTED_BYTES


def test_references_of_confluents_schema(shop: SchemaRegistryServer) -> None:
    references = [confluent.SchemaReference(name, name, 1) for name in ("shop.Item", "shop.Gift")]
    assert written(shop, confluent.Schema(DIAMOND.schema_str, "AVRO", references), NESTED) == NESTED_BYTES


def test_references_of_a_registered_schema_are_asked_for_and_nothing_else(shop: SchemaRegistryServer) -> None:
    assert written(shop, RegisteredSchema(9, None, None, None, DIAMOND), NESTED) == NESTED_BYTES
    assert len(fetched(shop)) == len(shop.requests) == 3


def test_a_client_resolves_a_reference_once_for_all_its_serializers(shop: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": shop.url}) as client:
        for topic in ("a", "b"):
            AvroSerializer(client, DIAMOND)(NESTED, SerializationContext(topic, MessageField.VALUE))
    assert len(fetched(shop)) == 3


def test_a_shared_reference_is_followed_once(schema_registry: SchemaRegistryServer) -> None:
    """Forty diamonds on top of each other: 2**40 ways to the bottom."""
    depth = 40
    schema_registry.register("L0a", json.dumps(record("L0a", n="long")))
    schema_registry.register("L0b", json.dumps(record("L0b", n="long")))
    for level in range(1, depth):
        below = [f"L{level - 1}a", f"L{level - 1}b"]
        for side in "ab":
            schema = record(f"L{level}{side}", a=["null", below[0]], b=["null", below[1]])
            text, references = json.dumps(schema), wire(*map(refer, below))
            answer = {"subject": f"L{level}{side}", "id": 1, "version": 1, "schema": text, "references": references}
            schema_registry.fail_always(
                faults.answer(200, json.dumps(answer)),
                matching=lambda request, name=f"L{level}{side}": f"/{name}/" in request.path,
            )
    top = f"L{depth - 1}a"
    known = RegisteredSchema(9, None, None, None, Schema(json.dumps(top), references=(refer(top),)))
    with AvroSerializer({"url": schema_registry.url}, known) as serializer, ThreadPoolExecutor(1) as pool:
        assert pool.submit(serializer, {"a": None, "b": None}, VALUE).result(60) == b"\0\0\0\0\x09\0\0"
    assert len(schema_registry.requests) == 2 * depth - 1


def test_the_same_type_under_two_subjects(shop: SchemaRegistryServer) -> None:
    shop.register("copy", json.dumps(MONEY))
    shop.register("shop.Gift-2", json.dumps(GIFT), wire(refer("shop.money.Money", "copy")))
    schema = Schema(DIAMOND.schema_str, references=(refer("shop.Item"), refer("shop.Gift", "shop.Gift-2")))
    known = RegisteredSchema(9, None, None, None, schema)
    assert written(shop, known, NESTED) == NESTED_BYTES


def test_a_reference_is_the_whole_schema(shop: SchemaRegistryServer) -> None:
    known = RegisteredSchema(9, None, None, None, Schema('"shop.Item"', references=(refer("shop.Item"),)))
    assert written(shop, known, NESTED["item"]) == b"\2"


def test_a_reference_in_a_top_level_union(shop: SchemaRegistryServer) -> None:
    union = Schema('["null","shop.Item","shop.Gift"]', references=DIAMOND.references)
    assert written(shop, union, ("shop.Gift", NESTED["gift"])) == b"\4\4\2a"
    assert written(shop, union, {"-type": "shop.Item", **NESTED["item"]}) == b"\2\2"


def test_a_reference_that_does_not_exist_is_named(schema_registry: SchemaRegistryServer) -> None:
    known = RegisteredSchema(9, None, None, None, Schema('"a.B"', references=(refer("a.B", "lost", 7),)))
    with AvroSerializer({"url": schema_registry.url}, known) as serializer:
        for _ in range(2):
            with pytest.raises(SchemaNotFoundError, match="version 7 of subject 'lost'"):
                serializer({}, VALUE)


def test_a_registration_with_a_reference_that_does_not_exist_is_the_registrys_to_refuse(
    schema_registry: SchemaRegistryServer,
) -> None:
    schema = Schema(json.dumps(record("R", a="a.B")), references=(refer("a.B", "lost", 7),))
    with pytest.raises(InvalidSchemaError, match="lost"):
        written(schema_registry, schema, {"a": {}})


def version_of(subject: str, schema: Any, *references: SchemaReference) -> Fault:
    answer = {"subject": subject, "id": 1, "version": 1, "schema": json.dumps(schema), "references": wire(*references)}
    return faults.answer(200, json.dumps(answer))


def test_references_that_form_a_loop_are_named(schema_registry: SchemaRegistryServer) -> None:
    for one, other in ("ab", "ba"):
        fault = version_of(one, record(one, f=["null", other]), refer(other))
        schema_registry.fail_always(fault, matching=lambda request, one=one: f"/{one}/" in request.path)
    known = RegisteredSchema(9, None, None, None, Schema('"a"', references=(refer("a"),)))
    with pytest.raises(ConfigurationError, match="'a' version 1 -> 'b' version 1 -> 'a' version 1"):
        written(schema_registry, known, {"f": None})
    assert sorted(fetched(schema_registry)) == ["a", "b"]


def test_references_are_bounded_in_depth(schema_registry: SchemaRegistryServer) -> None:
    def deeper(exchange: Exchange) -> None:
        level = int(exchange.request.path.split("/")[2])
        version_of(str(level), record(f"L{level}"), refer("L", str(level + 1))).play(exchange)

    schema_registry.fail_always(Fault("deeper", deeper))
    known = RegisteredSchema(9, None, None, None, Schema('"a"', references=(refer("a", "1"),)))
    with pytest.raises(ConfigurationError, match=r"100 levels.* of subject '101'"):
        written(schema_registry, known, {})
    assert len(schema_registry.requests) == 100


def test_references_are_bounded_in_number(schema_registry: SchemaRegistryServer) -> None:
    def wide(exchange: Exchange) -> None:
        name = exchange.request.path.split("/")[2]
        more = [refer("L", f"{name}-{number}") for number in range(40)]
        version_of(name, record("L"), *more).play(exchange)

    schema_registry.fail_always(Fault("wide", wide))
    known = RegisteredSchema(9, None, None, None, Schema('"a"', references=(refer("a", "1"),)))
    with pytest.raises(ConfigurationError, match="1000 schemas"):
        written(schema_registry, known, {})
    assert len(schema_registry.requests) <= 1000


def test_references_are_bounded_in_size(schema_registry: SchemaRegistryServer) -> None:
    large = record("L") | {"doc": "x" * 1_000_000}
    references = tuple(refer("L", f"s{number}") for number in range(50))
    schema_registry.fail_always(version_of("s", large))
    known = RegisteredSchema(9, None, None, None, Schema('"L"', references=references))
    with pytest.raises(ConfigurationError, match="16777216 characters"):
        written(schema_registry, known, {})
    assert len(schema_registry.requests) == 17


def test_a_reference_without_the_type_that_is_needed_is_an_error(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("other", json.dumps(record("Other")))
    known = RegisteredSchema(9, None, None, None, Schema('["null","a.B"]', references=(refer("a.B", "other"),)))
    with pytest.raises(ConfigurationError, match=r"a\.B"):
        written(schema_registry, known, {})


def test_a_reference_that_is_away_for_a_while_is_asked_for_again(shop: SchemaRegistryServer) -> None:
    shop.fail_next(faults.error(503), faults.reset(), matching=lambda request: "/shop.Gift/" in request.path)
    assert written(shop, DIAMOND, NESTED) == NESTED_BYTES
    assert fetched(shop).count("shop.Gift") == 3
    assert fetched(shop).count("shop.Item") == 1


def test_references_are_inside_the_calls_deadline(shop: SchemaRegistryServer) -> None:
    clock = ShiftedClock()
    hour = 3600.0

    def late(exchange: Exchange) -> None:
        clock.shift = hour - 0.3
        exchange.send(exchange.real_answer())

    shop.fail_next(Fault("late", late), matching=lambda request: request.method == "POST")
    shop.fail_always(faults.hang(), matching=lambda request: request.method == "GET")
    conf = {"url": shop.url, "total.timeout.ms": hour * 1000, "request.timeout.ms": hour * 1000}
    with ThreadPoolExecutor(1) as pool, SchemaRegistryClient(conf, clock=clock) as client:  # which ends all waits first
        waiting = pool.submit(AvroSerializer(client, DIAMOND), NESTED, VALUE)
        with pytest.raises(RegistryUnavailableError, match="version 1 of subject"):
            waiting.result(30)


def test_references_under_a_client_wide_context(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register(":.lab:shop.money.Money", json.dumps(MONEY))
    schema = Schema(json.dumps(record("R", m="shop.money.Money")), references=(refer("shop.money.Money"),))
    known = RegisteredSchema(9, None, None, None, schema)
    with AvroSerializer({"url": schema_registry.url, "context": "lab"}, known) as serializer:
        assert serializer({"m": {"cents": 1}}, VALUE) == b"\0\0\0\0\x09\2"
    assert fetched(schema_registry) == ["%3A.lab%3Ashop.money.Money"]


# -- unions and primitives at the top ------------------------------------------------------------

CARD, CASH = record("Card", number="string"), record("Cash", cents="long")
FAR = record("Far", n="long") | {"namespace": "a.b"}


@pytest.mark.parametrize(
    ("schema", "one", "expected"),
    [
        ('"string"', "ü", b"\4\xc3\xbc"),
        ('"long"', -1, b"\1"),
        ('"double"', 1, b"\0\0\0\0\0\0\xf0?"),
        ('"boolean"', False, b"\0"),
        ('{"type":"int"}', 0, b"\0"),
        ('"bytes"', b"raw", b"raw"),
        ('"bytes"', b"", b""),
        ('{"type":"bytes"}', "ü", b"\xc3\xbc"),
        (["null", "string"], "a", b"\2\2a"),
        (["null", "bytes"], b"a", b"\2\2a"),
        (["long", "string"], "a", b"\2\2a"),
        ([CARD, CASH], {"cents": 1}, b"\2\2"),
        ([CARD, CASH], ("Cash", {"cents": 1}), b"\2\2"),
        ([CARD, CASH], {"-type": "Cash", "cents": 1}, b"\2\2"),
        ([CARD, FAR], ("a.b.Far", {"n": 1}), b"\2\2"),
        ([CARD, FAR], {"-type": "a.b.Far", "n": 1}, b"\2\2"),
        (["string", {"type": "enum", "name": "E", "symbols": ["A"]}], ("E", "A"), b"\2\0"),
        (["null", {"type": "array", "items": CASH}], [{"cents": 1}], b"\2\2\2\0"),
        ({"type": "array", "items": "long"}, [1, 2], b"\4\2\4\0"),
        ({"type": "array", "items": "long"}, [], b"\0"),
        ({"type": "map", "values": "long"}, {"a": 1}, b"\2\2a\2\0"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", b"\2"),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab", b"ab"),
        ({"type": "error", "name": "E", "fields": []}, {}, b""),
    ],
)
def test_what_stands_at_the_top(schema: Any, one: Any, expected: bytes, schema_registry: SchemaRegistryServer) -> None:
    assert written(schema_registry, schema, one) == expected


def test_a_misfit_of_a_top_level_union_shows_the_types_by_their_own_names(
    schema_registry: SchemaRegistryServer,
) -> None:
    with pytest.raises(AvroEncodingError) as caught:
        written(schema_registry, ["null", CARD, CASH], 5)
    assert caught.value.expected == "one of null, record Card, record Cash"


def test_none_is_a_tombstone_even_where_the_schema_has_null(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url}, '["null","string"]') as serializer:
        assert serializer(None, VALUE) is None


# -- types -------------------------------------------------------------------------------------

_UTC = datetime.timezone.utc
NODE = record("Node", value="long", next=["null", "Node"]) | {"namespace": "tree"}
FOREST = record("Tree", value="long", branches={"type": "array", "items": "Tree"})
EVEN = record("Even", odd=["null", record("Odd", even=["null", "Even"])])
WITH_DEFAULTS = {
    "type": "record",
    "name": "Defaults",
    "fields": [
        {"name": "n", "type": "long", "default": 7},
        {"name": "s", "type": "string", "default": "ü"},
        {"name": "o", "type": ["null", "string"], "default": None},
        {"name": "l", "type": {"type": "array", "items": "int"}, "default": [1]},
    ],
}
ALIASED = {
    "type": "record",
    "name": "New",
    "aliases": ["Old", "a.b.Old"],
    "fields": [{"name": "n", "aliases": ["was"], "type": "long"}],
}
INHERITING = record("Outer", a=FAR, b=record("Inner", n="int"), c="x.Inner", d="a.b.Far") | {"namespace": "x"}


@pytest.mark.parametrize(
    ("schema", "one"),
    [
        (NODE, {"value": 1, "next": {"value": 2, "next": {"value": 3, "next": None}}}),
        (FOREST, {"value": 1, "branches": [{"value": 2, "branches": []}, {"value": 3, "branches": []}]}),
        (EVEN, {"odd": {"even": {"odd": None}}}),
        (ALIASED, {"n": 1}),
        (INHERITING, {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}, "d": {"n": 4}}),
        (record("R", m={"type": "map", "values": {"type": "map", "values": "bytes"}}), {"m": {"ü": {"": b"\0"}}}),
        (record("R", e={"type": "enum", "name": "E", "symbols": ["A", "_b"]}, again="E"), {"e": "_b", "again": "A"}),
        (record("R", f={"type": "fixed", "name": "F", "size": 2}, again="F"), {"f": b"ab", "again": b"cd"}),
        (record("R", f="float", d="double"), {"f": 1.5, "d": -0.1}),
        (record("R", i="int", l="long"), {"i": -(2**31), "l": 2**63 - 1}),
        (record("R"), {}),
    ],
)
def test_a_record_comes_back_as_it_went(schema: Any, one: Any, schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url}, schema) as serializer:
        message = serializer(one, VALUE)
    assert message is not None
    reader = BytesIO(message[5:])
    assert fastavro.schemaless_reader(reader, schema, None) == one
    assert not reader.read()


def test_defaults_fill_what_is_missing(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url}, WITH_DEFAULTS) as serializer:
        message = serializer({}, VALUE)
    assert read_back(schema_registry, message) == {"n": 7, "s": "ü", "o": None, "l": [1]}


MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=_UTC)
LOGICAL: list[tuple[Any, Any, Any]] = [
    (logical("int", "date"), datetime.date(2024, 2, 29), datetime.date(2024, 2, 29)),
    (logical("int", "date"), 19782, datetime.date(2024, 2, 29)),
    (logical("int", "time-millis"), datetime.time(1, 2, 3, 4000), datetime.time(1, 2, 3, 4000)),
    (logical("long", "time-micros"), datetime.time(1, 2, 3, 4), datetime.time(1, 2, 3, 4)),
    (logical("long", "timestamp-millis"), MOMENT, MOMENT.replace(microsecond=123000)),
    (logical("long", "timestamp-micros"), MOMENT, MOMENT),
    (
        logical("long", "timestamp-micros"),
        MOMENT.astimezone(datetime.timezone(datetime.timedelta(hours=5))),
        MOMENT,
    ),
    (logical("long", "local-timestamp-millis"), MOMENT.replace(microsecond=0, tzinfo=None), ...),
    (logical("long", "local-timestamp-micros"), MOMENT.replace(tzinfo=None), ...),
    (logical("string", "uuid"), uuid.UUID(int=5), uuid.UUID(int=5)),
    (logical("bytes", "decimal", precision=9, scale=2), decimal.Decimal("-12.30"), decimal.Decimal("-12.30")),
    (
        logical("fixed", "decimal", precision=9, scale=2, name="Amount", size=5),
        decimal.Decimal("12.3"),
        decimal.Decimal("12.30"),
    ),
    (logical("fixed", "duration", name="Duration", size=12), b"\1\0\0\0\2\0\0\0\3\0\0\0", ...),
    (logical("string", "unheard-of"), "as it is", ...),
]


@pytest.mark.parametrize(("schema", "one", "back"), LOGICAL)
def test_a_logical_type_alone_in_a_field_and_in_a_union(
    schema: Any, one: Any, back: Any, schema_registry: SchemaRegistryServer
) -> None:
    again = schema.get("name", schema)
    outer = record("R", plain=schema, maybe=["null", again], many={"type": "array", "items": again})
    value = {"plain": one, "maybe": one, "many": [one, one]}
    expected = one if back is ... else back
    with AvroSerializer({"url": schema_registry.url}, outer) as serializer:
        message = serializer(value, VALUE)
    assert message is not None
    read = fastavro.schemaless_reader(BytesIO(message[5:]), outer, None)
    assert read == {"plain": expected, "maybe": expected, "many": [expected, expected]}


# -- the registered text -----------------------------------------------------------------------

ODD_TEXT = '{ "type":"record","name" : "Order", "doc":"\\u00fc ü", "extra": [1, 2.50, 1e3],\n "fields":[]}'
AS_DICT = {"type": "record", "name": "Order", "extra": {"é": "ü"}, "fields": []}


def sent(registry: SchemaRegistryServer) -> str:
    (request,) = registry.registrations
    return str(json.loads(request.body)["schema"])


def test_a_text_is_sent_as_it_was_given(schema_registry: SchemaRegistryServer) -> None:
    written(schema_registry, ODD_TEXT, {})
    assert sent(schema_registry) == ODD_TEXT


def test_a_schemas_text_is_sent_as_it_was_given(schema_registry: SchemaRegistryServer) -> None:
    written(schema_registry, Schema(ODD_TEXT), {})
    assert sent(schema_registry) == ODD_TEXT


def test_a_files_text_is_sent_as_it_stands_there(schema_registry: SchemaRegistryServer, tmp_path: Path) -> None:
    path = tmp_path / "order.avsc"
    path.write_text(ODD_TEXT, encoding="utf-8")
    written(schema_registry, path, {})
    assert sent(schema_registry) == ODD_TEXT


def test_a_dict_is_sent_as_json(schema_registry: SchemaRegistryServer) -> None:
    written(schema_registry, AS_DICT, {})
    assert json.loads(sent(schema_registry)) == AS_DICT


def test_a_primitive_stays_bare(schema_registry: SchemaRegistryServer) -> None:
    written(schema_registry, '"string"', "a")
    assert sent(schema_registry) == '"string"'


def test_a_dict_that_changes_later_changes_nothing(schema_registry: SchemaRegistryServer) -> None:
    schema = record("R", n="long")
    with AvroSerializer({"url": schema_registry.url}, schema) as serializer:
        schema["fields"][0]["type"] = "string"
        assert serializer({"n": 1}, VALUE) == b"\0\0\0\0\1\2"


# -- rules -------------------------------------------------------------------------------------

RULED = '{"type":"record","name":"Secret","fields":[{"name":"s","type":"string"}]}'
SECRET = {"s": "hunter2"}


def rule(mode: str, **more: Any) -> dict[str, Any]:
    return {"name": "encrypt", "kind": "TRANSFORM", "mode": mode, "type": "ENCRYPT", **more}


WRITING: list[Mapping[str, Any]] = [
    {"domainRules": [rule("WRITE")]},
    {"domainRules": [rule("WRITEREAD")]},
    {"encodingRules": [rule("WRITE")]},
    {"encodingRules": [rule("WRITEREAD")]},
    {"domainRules": [rule("READ"), rule("WRITE")]},
    {"migrationRules": [rule("UPGRADE")], "domainRules": [rule("WRITE", disabled=False)]},
]
NOT_WRITING: list[Mapping[str, Any]] = [
    {},
    {"domainRules": [], "encodingRules": None, "migrationRules": []},
    {"domainRules": [rule("READ")]},
    {"encodingRules": [rule("READ")]},
    {"migrationRules": [rule("UPGRADE"), rule("DOWNGRADE"), rule("UPDOWN")]},
    {"domainRules": [rule("WRITE", disabled=True), rule("WRITEREAD", disabled=True)]},
]


def confluents(rules: Mapping[str, Any]) -> confluent.Schema:
    return confluent.Schema.from_dict({"schema": RULED, "schemaType": "AVRO", "ruleSet": dict(rules)})


@pytest.mark.parametrize("rules", WRITING)
def test_rules_for_writing_are_refused_at_construction(
    rules: Mapping[str, Any], schema_registry: SchemaRegistryServer
) -> None:
    ours = Schema(RULED, rule_set=rules)
    for schema in (ours, confluents(rules), RegisteredSchema(1, None, None, None, ours)):
        with pytest.raises(ConfigurationError, match=r"encrypt.*kafka_sr_retry\.confluent") as caught:
            AvroSerializer({"url": schema_registry.url}, schema)  # type: ignore[arg-type]
        assert caught.value.key == "schema_str"
    assert schema_registry.requests == []


@pytest.fixture
def ruled(schema_registry: SchemaRegistryServer) -> SchemaRegistryServer:
    """One whose schema has rules for writing."""
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        properties = {"properties": {"app": "1"}}
        client.register_schema("orders-value", Schema(RULED, metadata=properties, rule_set=WRITING[0]))
    schema_registry.clear_requests()
    return schema_registry


@pytest.mark.parametrize(
    "conf", [LATEST, {"use.schema.id": 1}, {"use.latest.with.metadata": {"app": "1"}}], ids=["latest", "id", "metadata"]
)
@pytest.mark.parametrize("schema", [RULED, None])
def test_rules_that_come_from_the_registry_are_refused_at_the_first_message(
    conf: dict[str, Any], schema: Any, ruled: SchemaRegistryServer
) -> None:
    with AvroSerializer({"url": ruled.url}, schema, None, conf) as serializer:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="encrypt") as caught:
                serializer(SECRET, VALUE)
            assert "hunter2" not in str(caught.value)
    assert len(ruled.requests) == 1


@pytest.mark.parametrize("conf", [{}, {"auto.register.schemas": False}], ids=["register", "look up"])
def test_rules_that_the_registry_adds_to_our_schema_are_refused(
    conf: dict[str, Any], schema_registry: SchemaRegistryServer
) -> None:
    answer = {"id": 1, "version": 1, "subject": "orders-value", "schema": RULED, "ruleSet": WRITING[0]}
    schema_registry.fail_always(faults.answer(200, json.dumps(answer)))
    with pytest.raises(ConfigurationError, match="encrypt"):
        written(schema_registry, RULED, SECRET, **conf)


@pytest.mark.parametrize("rules", NOT_WRITING)
def test_other_rules_are_no_matter_of_the_serializer(
    rules: Mapping[str, Any], schema_registry: SchemaRegistryServer
) -> None:
    for schema in (Schema(RULED, rule_set=rules), confluents(rules)):
        assert written(schema_registry, schema, SECRET) == b"\x0ehunter2"
    assert written(schema_registry, None, SECRET, **LATEST) == b"\x0ehunter2"
    for request in schema_registry.registrations:
        assert "ruleSet" in json.loads(request.body)
