"""Schemas: their JSON, what counts as the same one, and all that may be given as one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import confluent_kafka.schema_registry as confluent
import pytest
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import (
    AvroSerializer,
    ConfigurationError,
    Metadata,
    RegisteredSchema,
    RuleSet,
    Schema,
    SchemaReference,
)
from kafka_sr_retry.schema import is_avro, same_schema, write_rules
from kafka_sr_retry.testing import SchemaRegistryServer

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [{"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None}],
}
TEXT = json.dumps(ORDER)
VALUE = SerializationContext("orders", MessageField.VALUE)

# -- the registry's JSON -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        Schema(TEXT),
        Schema("{}", "JSON"),
        Schema(TEXT, "AVRO", (SchemaReference("shop.Item", "items-value", 3),)),
        Schema(TEXT, metadata={"properties": {"owner": "shop"}}, rule_set={"domainRules": []}),
    ],
)
def test_a_schema_survives_its_json(schema: Schema) -> None:
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    assert pickle.loads(pickle.dumps(schema)) == schema


def test_a_schemas_json_has_the_registrys_names() -> None:
    schema = Schema(TEXT, "AVRO", (SchemaReference("shop.Item", "items-value", 3),), {"a": 1}, {"b": 2})
    assert schema.to_dict() == {
        "schema": TEXT,
        "schemaType": "AVRO",
        "references": [{"name": "shop.Item", "subject": "items-value", "version": 3}],
        "metadata": {"a": 1},
        "ruleSet": {"b": 2},
    }


RULE = {"name": "upgrade", "kind": "TRANSFORM", "mode": "UPGRADE", "type": "JSONATA", "expr": "$"}
RULES = {"migrationRules": [RULE], "domainRules": [], "enableAt": "2030-01-01"}
OWNER = {"tags": {"**.mail": ["PII"]}, "properties": {"owner": "shop"}, "sensitive": ["owner"]}


def in_any_form() -> list[tuple[Any, Any]]:
    forms: list[tuple[Any, Any]] = [
        (OWNER, RULES),
        (Metadata({"**.mail": ["PII"]}, {"owner": "shop"}, ["owner"]), RuleSet([RULE], [], None, "2030-01-01")),
    ]
    if not hasattr(confluent, "RuleSet"):
        return forms
    rule = confluent.Rule.from_dict(RULE)
    tags, properties = confluent.MetadataTags({"**.mail": ["PII"]}), confluent.MetadataProperties({"owner": "shop"})
    ours: Any = Metadata
    return [
        *forms,
        (confluent.Metadata.from_dict(OWNER), RuleSet([rule], [], enable_at="2030-01-01")),
        (ours(tags, properties, ("owner",)), RuleSet((rule,), (), enable_at="2030-01-01")),
    ]


@pytest.mark.parametrize(("metadata", "rule_set"), in_any_form())
def test_metadata_and_rules_are_given_in_any_form(metadata: Any, rule_set: Any) -> None:
    schema = Schema(TEXT, "AVRO", [], metadata, rule_set)

    assert schema.to_dict()["metadata"] == OWNER
    assert schema.to_dict()["ruleSet"] == RULES
    assert json.loads(json.dumps(schema.to_dict())) == schema.to_dict()
    assert schema == Schema.from_dict(schema.to_dict()) == pickle.loads(pickle.dumps(schema))
    assert schema.metadata is not None
    assert (schema.metadata.tags, schema.metadata.sensitive) == (OWNER["tags"], ["owner"])
    assert schema.metadata.properties == {"owner": "shop"}
    assert schema.rule_set is not None
    assert (schema.rule_set.migration_rules, schema.rule_set.domain_rules) == ([RULE], [])
    assert (schema.rule_set.encoding_rules, schema.rule_set.enable_at) == (None, "2030-01-01")


@pytest.mark.skipif(not hasattr(confluent, "RuleSet"), reason="this confluent-kafka knows no rules")
def test_confluents_rules_are_given() -> None:
    rules = confluent.RuleSet([confluent.Rule.from_dict(RULE)], [])
    assert Schema(TEXT, rule_set=rules).to_dict()["ruleSet"] == {"migrationRules": [RULE], "domainRules": []}  # type: ignore[arg-type]


def test_what_is_not_known_of_metadata_and_rules_is_kept() -> None:
    wire = {"schema": TEXT, "metadata": {"new": 1}, "ruleSet": {"newRules": [RULE]}}
    sent = Schema.from_dict(wire).to_dict()
    assert (sent["metadata"], sent["ruleSet"]) == ({"new": 1}, {"newRules": [RULE]})


def test_metadata_is_a_value() -> None:
    given = {"owner": "shop"}
    metadata = Metadata(properties=given)
    given["owner"] = "somebody"
    assert metadata == {"properties": {"owner": "shop"}} == Metadata.from_dict(metadata)
    with pytest.raises(AttributeError):
        metadata.properties = {}  # type: ignore[misc]
    assert repr(metadata) == "Metadata.from_dict({'properties': {'owner': 'shop'}})"


def test_an_answer_without_a_type_is_avro() -> None:
    assert Schema.from_dict({"schema": TEXT}) == Schema(TEXT)
    assert Schema.from_dict({"schema": TEXT, "schemaType": None, "references": None}) == Schema(TEXT)


def test_schemas_are_values() -> None:
    references = [SchemaReference("a", "b", 1)]
    assert {Schema(TEXT), Schema(TEXT)} == {Schema(TEXT)}
    assert Schema(TEXT, references=references) == Schema(TEXT, references=tuple(references))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Schema(TEXT).schema_str = "x"  # type: ignore[misc]


# -- the same schema ---------------------------------------------------------------------------


def changed(**changes: Any) -> str:
    return json.dumps(ORDER | changes)


FIELDS = ORDER["fields"]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ORDER, indent=4),
        json.dumps(dict(reversed(ORDER.items()))),
        changed(doc="An order", aliases=["Purchase"]),
        changed(name="shop.Order", namespace="ignored.because.the.name.is.full"),
        changed(fields=[FIELDS[0] | {"type": {"type": "long"}}, FIELDS[1]]),
        changed(fields=[FIELDS[0], {"name": "note", "type": ["null", "string"]}]),
    ],
)
def test_a_schema_is_the_same_however_a_registry_formats_it(text: str) -> None:
    assert same_schema(Schema(TEXT), text)
    assert same_schema(Schema(text), TEXT)


@pytest.mark.parametrize(
    "text",
    [
        '"string"',
        "[]",
        changed(name="Purchase"),
        changed(namespace="store"),
        changed(fields=[]),
        changed(fields=FIELDS[:1]),
        changed(fields=FIELDS[::-1]),
        changed(fields=[FIELDS[0] | {"type": "int"}, FIELDS[1]]),
        changed(fields=[FIELDS[0], FIELDS[1] | {"type": ["string", "null"]}]),
        changed(fields=[FIELDS[0], FIELDS[1] | {"name": "memo"}]),
        changed(fields=[FIELDS[0] | {"type": {"type": "long", "logicalType": "timestamp-millis"}}, FIELDS[1]]),
    ],
)
def test_another_schema_is_not_the_same(text: str) -> None:
    assert not same_schema(Schema(TEXT), text)
    assert not same_schema(Schema(text), TEXT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"type":"enum","name":"E","symbols":["A","B"]}', '{"type":"enum","name":"E","symbols":["B","A"]}'),
        ('{"type":"fixed","name":"F","size":2}', '{"type":"fixed","name":"F","size":3}'),
        ('{"type":"array","items":"int"}', '{"type":"array","items":"long"}'),
        ('{"type":"map","values":"int"}', '{"type":"array","items":"int"}'),
        ('"int"', '"long"'),
    ],
)
def test_other_kinds_are_told_apart(one: str, other: str) -> None:
    assert same_schema(Schema(one), one)
    assert not same_schema(Schema(one), other)


def test_a_nested_name_inherits_its_namespace() -> None:
    def nested(name: str, namespace: str | None = None) -> str:
        inner: dict[str, Any] = {"type": "fixed", "name": name, "size": 2}
        if namespace is not None:
            inner["namespace"] = namespace
        fields = [{"name": "f", "type": inner}, {"name": "g", "type": name}]
        return json.dumps({"type": "record", "name": "R", "namespace": "a.b", "fields": fields})

    assert same_schema(Schema(nested("F")), nested("a.b.F"))
    assert not same_schema(Schema(nested("F")), nested("a.c.F"))
    assert not same_schema(Schema(nested("F")), nested("F", namespace=""))


DECIMAL: dict[str, Any] = {"type": "bytes", "logicalType": "decimal", "precision": 9}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DECIMAL, DECIMAL | {"scale": 0}),
        (DECIMAL | {"scale": None}, DECIMAL | {"precision": "9", "scale": 0.0}),
        (DECIMAL | {"precision": "many"}, "bytes"),
        ({"type": "long", "logicalType": "ours"}, "long"),
        ({"type": "long", "logicalType": "date"}, "long"),
        ({"type": "long", "logicalType": ["date"]}, "long"),
        ({"type": "int", "logicalType": "date", "scale": 3}, {"type": "int", "logicalType": "date"}),
        ({"type": "fixed", "name": "F", "size": "2"}, {"type": "fixed", "name": "F", "size": 2}),
        ({"type": "fixed", "name": "F", "namespace": None, "size": 2}, {"type": "fixed", "name": ".F", "size": 2}),
        (
            ORDER | {"fields": [FIELDS[0] | {"order": "ignore", "doc": "d", "aliases": ["n"], "default": 1}]},
            ORDER | {"fields": FIELDS[:1]},
        ),
        (
            [{"type": "fixed", "name": "F", "size": 2}, ORDER | {"fields": [{"name": "f", "type": "F"}]}],
            [{"type": "fixed", "name": "F", "size": 2}, ORDER | {"fields": [{"name": "f", "type": ".F"}]}],
        ),
    ],
    ids=str,
)
def test_what_changes_nothing_in_what_is_written_is_the_same(one: Any, other: Any) -> None:
    assert same_schema(Schema(json.dumps(one)), json.dumps(other))
    assert same_schema(Schema(json.dumps(other)), json.dumps(one))


@pytest.mark.parametrize(
    "other",
    [DECIMAL | {"scale": 1}, DECIMAL | {"precision": 8}, {"type": "bytes"}, DECIMAL | {"type": "string"}],
    ids=str,
)
def test_another_decimal_is_another_schema(other: Any) -> None:
    assert not same_schema(Schema(json.dumps(DECIMAL)), json.dumps(other))


@pytest.mark.parametrize("text", ["{", "{}", '{"type":"record"}', "[" * 100_000, "text"])
def test_what_cannot_be_read_is_another_schema_than_one_that_can(text: str) -> None:
    assert not same_schema(Schema(TEXT), text)
    assert same_schema(Schema(text), TEXT)
    assert not is_avro(text)


def test_a_primitives_bare_name_is_the_primitive() -> None:
    assert same_schema(Schema('"string"'), "string")


@pytest.mark.parametrize(
    "rules",
    [
        "x",
        ["x"],
        {"domainRules": 5},
        {"domainRules": "x"},
        {"encodingRules": [None]},
        {"domainRules": [{"mode": ["WRITE"]}]},
        {"domainRules": [{"disabled": "no"}]},
    ],
    ids=str,
)
def test_rules_that_cannot_be_read_are_refused(rules: Any) -> None:
    with pytest.raises(ConfigurationError, match="rule set"):
        write_rules(Schema(TEXT, rule_set=rules))


def test_other_languages_are_not_compared() -> None:
    assert same_schema(Schema('{"type":"object"}', "JSON"), '{"type":"string"}')


# -- what may be given as a schema -------------------------------------------------------------


def test_every_form_of_a_schema_registers_the_same(schema_registry: SchemaRegistryServer, tmp_path: Path) -> None:
    path = tmp_path / "order.avsc"
    path.write_text(TEXT, encoding="utf-8")
    forms = [TEXT, ORDER, Schema(TEXT), confluent.Schema(TEXT, "AVRO"), path]
    messages = set()
    for form in forms:
        with AvroSerializer({"url": schema_registry.url}, form) as serializer:  # type: ignore[arg-type]
            messages.add(serializer({"id": 1}, VALUE))
    assert messages == {b"\0\0\0\0\1\2\0"}
    assert {json.loads(request.body)["schema"] for request in schema_registry.registrations} == {TEXT}
    assert len(schema_registry.registrations) == len(forms)


def test_a_text_is_registered_as_it_was_written(schema_registry: SchemaRegistryServer) -> None:
    text = '{ "type" : "long",   "doc":"\\u00fc ü" }'
    with AvroSerializer({"url": schema_registry.url}, text) as serializer:
        serializer(1, VALUE)
    (request,) = schema_registry.registrations
    assert json.loads(request.body)["schema"] == text


def test_a_list_is_a_union(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url}, ["null", "long"]) as serializer:
        assert serializer(1, VALUE) == b"\0\0\0\0\1\2\2"


def test_confluents_references_and_metadata_are_registered(schema_registry: SchemaRegistryServer) -> None:
    item = '{"type":"record","name":"Item","namespace":"shop","fields":[]}'
    schema_registry.register("items-value", item)
    theirs = confluent.Schema(
        TEXT,
        "AVRO",
        [confluent.SchemaReference("shop.Item", "items-value", 1)],
        confluent.Metadata(None, confluent.MetadataProperties({"owner": "shop"}), None),
    )
    with AvroSerializer({"url": schema_registry.url}, theirs) as serializer:  # type: ignore[arg-type]
        serializer({"id": 1}, VALUE)
    (request,) = schema_registry.registrations
    content = json.loads(request.body)
    assert content["references"] == [{"name": "shop.Item", "subject": "items-value", "version": 1}]
    assert content["metadata"]["properties"] == {"owner": "shop"}


@pytest.mark.parametrize(
    "registered",
    [
        RegisteredSchema(42, None, None, None, Schema(TEXT)),
        confluent.RegisteredSchema(subject="s", version=1, schema_id=42, guid=None, schema=confluent.Schema(TEXT)),
    ],
)
def test_a_registered_schema_carries_its_id(registered: Any) -> None:
    with AvroSerializer({"url": "http://127.0.0.1:1"}, registered) as serializer:
        assert serializer({"id": 1}, VALUE) == b"\0\0\0\0\x2a\2\0"


@pytest.mark.parametrize("schema_id", [0, -1, 2**31, "7", True, None])
def test_a_registered_schema_needs_an_id_that_a_message_can_carry(schema_id: Any) -> None:
    with pytest.raises(ConfigurationError):
        AvroSerializer({"url": "http://127.0.0.1:1"}, RegisteredSchema(schema_id, None, None, None, Schema(TEXT)))


def test_a_schema_of_another_language_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        AvroSerializer({"url": "http://127.0.0.1:1"}, Schema('"string"', "PROTOBUF"))


def test_an_avsc_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "order.avsc"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"order\.avsc"):
        AvroSerializer({"url": "http://127.0.0.1:1"}, path)
    with pytest.raises(ConfigurationError, match="missing"):
        AvroSerializer({"url": "http://127.0.0.1:1"}, tmp_path / "missing.avsc")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_not_is_refused(number: float) -> None:
    for schema in ({"type": "string", "most": number}, ORDER | {"fields": [FIELDS[0] | {"default": number}]}):
        with pytest.raises(ConfigurationError) as caught:
            AvroSerializer({"url": "http://127.0.0.1:1"}, schema)
        assert caught.value.key == "schema_str"
