"""Every serializer key: what it asks the registry for, what it writes, and which keys contradict each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import confluent_kafka.schema_registry as confluent
import pytest
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.common.serde import SubjectNameStrategyType
from confluent_kafka.schema_registry.serde import AssociatedNameStrategy
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from kafka_sr_retry import (
    AvroEncodingError,
    AvroSerializer,
    AvroSerializerBuilder,
    ConfigurationError,
    RegisteredSchema,
    RegistryAuthError,
    RegistryUnavailableError,
    Schema,
    SchemaNotFoundError,
    SchemaRegistryClient,
    header_schema_id_serializer,
)
from kafka_sr_retry.testing import RecordedRequest, SchemaRegistryServer, faults

ORDER = '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"}]}'
WITH_NOTE = ORDER.replace("]}", ',{"name":"note","type":"string","default":"-"}]}')
ONE = {"id": 1}


def value(topic: str = "orders", headers: Any = None) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE, headers)


def key(topic: str = "orders") -> SerializationContext:
    return SerializationContext(topic, MessageField.KEY)


def under(*parts: str) -> Callable[[RecordedRequest], bool]:
    return lambda request: any(request.path.startswith(part) for part in parts)


def asked(registry: SchemaRegistryServer) -> list[str]:
    return [f"{request.method} {request.path}" for request in registry.requests]


def schema_id(message: bytes | None) -> int:
    assert message is not None
    assert message[0] == 0
    return int.from_bytes(message[1:5], "big")


Make = Callable[..., AvroSerializer]


@pytest.fixture
def make(schema_registry: SchemaRegistryServer) -> Iterator[Make]:
    """An ``AvroSerializer`` for orders with these keys; ``client=`` are the client's, ``schema=`` another schema."""
    made: list[AvroSerializer] = []

    def new(conf: dict[str, Any] | None = None, *, schema: Any = ORDER, **client: Any) -> AvroSerializer:
        given = {"url": schema_registry.url, "max.retries": 3, "retries.wait.ms": 1} | client.get("client", {})
        made.append(AvroSerializer(given, schema, None, conf))
        return made[-1]

    yield new
    for one in made:
        one.close()


@pytest.fixture
def newer_registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer(full_answers=True) as server:
        yield server


# -- auto.register.schemas, normalize.schemas ----------------------------------------------------


@pytest.mark.parametrize("registers", [True, False])
@pytest.mark.parametrize("normalizes", [True, False])
def test_registering_or_looking_up_normalized_or_not(
    registers: bool, normalizes: bool, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    schema_registry.register("orders-value", ORDER)
    serializer = make({"auto.register.schemas": registers, "normalize.schemas": normalizes})
    for _ in range(3):
        assert serializer(ONE, value()) == b"\0\0\0\0\1\2"
    path = "/subjects/orders-value" + ("/versions" if registers else "") + ("?normalize=true" if normalizes else "")
    assert asked(schema_registry) == [f"POST {path}"]


def test_a_schema_that_another_subject_has_is_not_taken(schema_registry: SchemaRegistryServer, make: Make) -> None:
    schema_registry.register("payments-value", ORDER)
    with pytest.raises(SchemaNotFoundError, match="orders-value"):
        make({"auto.register.schemas": False})(ONE, value())
    assert schema_registry.registrations == []


def test_a_normalized_answer_may_return_the_schema_in_another_form(
    newer_registry: SchemaRegistryServer,
) -> None:
    other = {"id": 9, "version": 1, "schema": WITH_NOTE}
    newer_registry.fail_always(faults.answer(200, json.dumps(other)))
    conf = {"url": newer_registry.url, "max.retries": 0}
    with AvroSerializer(conf, ORDER, None, {"normalize.schemas": True}) as normalizing:
        assert normalizing(ONE, value()) == b"\0\0\0\0\x09\2"
    with AvroSerializer(conf, ORDER) as exact, pytest.raises(RegistryUnavailableError, match="another schema"):
        exact(ONE, value())


# -- use.schema.id -----------------------------------------------------------------------------


def test_a_fixed_id_needs_no_right_on_the_subject(schema_registry: SchemaRegistryServer, make: Make) -> None:
    schema_registry.register("another", '"string"')
    fixed = schema_registry.register("elsewhere", WITH_NOTE)
    schema_registry.fail_always(faults.error(403), matching=under("/subjects"))
    serializer = make({"use.schema.id": fixed})
    for topic in ("orders", "payments", "orders"):
        assert serializer({"id": 1, "note": "a"}, value(topic)) == b"\0\0\0\0\2\2\2a"
    assert serializer({"id": 1, "note": "a"}, key()) == b"\0\0\0\0\2\2\2a"
    assert asked(schema_registry) == ["GET /schemas/ids/2"]


@pytest.mark.parametrize("schema", [ORDER, None])
@pytest.mark.parametrize("registers", [True, False])
def test_a_fixed_id_goes_before_the_given_schema(
    schema: Any, registers: bool, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    fixed = schema_registry.register("elsewhere", WITH_NOTE)
    serializer = make({"use.schema.id": fixed, "auto.register.schemas": registers}, schema=schema)
    assert serializer(ONE, value()) == b"\0\0\0\0\1\2\2-"
    assert schema_registry.registrations == []


def test_a_fixed_id_under_a_client_wide_context(schema_registry: SchemaRegistryServer, make: Make) -> None:
    fixed = schema_registry.register(":.lab:orders-value", ORDER)
    schema_registry.fail_always(faults.error(403), matching=under("/subjects"))
    serializer = make({"use.schema.id": fixed}, client={"context": "lab"})
    assert serializer(ONE, value()) == b"\0\0\0\0\1\2"
    (request,) = schema_registry.requests
    target = urlsplit(request.path)
    assert target.path == "/schemas/ids/1"
    assert parse_qs(target.query) == {"subject": [":.lab:"]}


def test_a_fixed_id_that_nobody_knows_is_not_found(schema_registry: SchemaRegistryServer, make: Make) -> None:
    serializer = make({"use.schema.id": 77})
    with pytest.raises(SchemaNotFoundError, match="77") as caught:
        serializer(ONE, value())
    assert caught.value.error_code == 40403


def test_a_fixed_id_of_a_schema_that_is_not_avro_is_refused(schema_registry: SchemaRegistryServer, make: Make) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        number = client.register_schema("json", Schema('{"type":"object"}', "JSON"))
    with pytest.raises(ConfigurationError):
        make({"use.schema.id": number})(ONE, value())


def test_a_fixed_id_in_a_header(newer_registry: SchemaRegistryServer) -> None:
    fixed = newer_registry.register("elsewhere", ORDER)
    conf = {"use.schema.id": fixed, "schema.id.serializer": header_schema_id_serializer}
    headers: list[Any] = []
    order = {"id": 2**50}
    with AvroSerializer({"url": newer_registry.url}, None, None, conf) as serializer:
        message = serializer(order, value(headers=headers))
    with confluent.SchemaRegistryClient({"url": newer_registry.url}) as client:
        assert AvroDeserializer(client)(message, value(headers=headers)) == order


# -- use.latest.version, use.latest.with.metadata ------------------------------------------------

LATEST = {"auto.register.schemas": False, "use.latest.version": True}


def test_the_latest_version_of_each_subject(schema_registry: SchemaRegistryServer, make: Make) -> None:
    schema_registry.register("orders-value", ORDER)
    schema_registry.register("orders-value", WITH_NOTE)
    schema_registry.register("payments-value", ORDER)
    serializer = make(LATEST)
    assert [serializer(ONE, value(topic)) for topic in ("orders", "payments", "orders")] == [
        b"\0\0\0\0\2\2\2-",
        b"\0\0\0\0\1\2",
        b"\0\0\0\0\2\2\2-",
    ]
    assert asked(schema_registry) == [
        "GET /subjects/orders-value/versions/latest",
        "GET /subjects/payments-value/versions/latest",
    ]


def register_with(registry: SchemaRegistryServer, subject: str, schema: str, **properties: str) -> int:
    with SchemaRegistryClient({"url": registry.url}) as client:
        return client.register_schema(subject, Schema(schema, metadata={"properties": properties}))


@pytest.mark.parametrize("registers", [True, False])
@pytest.mark.parametrize("schema", [ORDER, None])
def test_the_latest_version_with_metadata(
    registers: bool, schema: Any, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    schema_registry.check_compatibility = False
    register_with(schema_registry, "orders-value", ORDER, app="1")
    wanted = register_with(schema_registry, "orders-value", WITH_NOTE, app="2", owner="me & you")
    register_with(schema_registry, "orders-value", '"string"', app="3")
    schema_registry.clear_requests()
    properties = {"app": "2", "owner": "me & you"}
    serializer = make({"use.latest.with.metadata": properties, "auto.register.schemas": registers}, schema=schema)
    for _ in range(3):
        assert serializer(ONE, value()) == b"\0\0\0\0" + bytes([wanted]) + b"\2\2-"
    (request,) = schema_registry.requests
    target = urlsplit(request.path)
    assert target.path == "/subjects/orders-value/metadata"
    assert parse_qs(target.query) == {"key": ["app", "owner"], "value": ["2", "me & you"], "deleted": ["true"]}


def test_no_version_with_these_metadata(schema_registry: SchemaRegistryServer, make: Make) -> None:
    register_with(schema_registry, "orders-value", ORDER, app="1")
    with pytest.raises(SchemaNotFoundError, match="orders-value"):
        make({"use.latest.with.metadata": {"app": "2"}})(ONE, value())


# -- validate.strict ---------------------------------------------------------------------------

MISSING, ADDITIONAL = {"id": 1}, {"id": 1, "note": "a", "more": 1}


@pytest.mark.parametrize(
    ("conf", "taken"),
    [
        ({}, [True, True]),
        ({"validate.strict": False, "validate.strict.allow.default": False}, [True, True]),
        ({"validate.strict": True}, [False, False]),
        ({"validate.strict.allow.default": True}, [True, False]),
        ({"validate.strict": True, "validate.strict.allow.default": True}, [False, False]),
    ],
)
def test_strictness(conf: dict[str, Any], taken: list[bool], make: Make) -> None:
    serializer = make(conf, schema=WITH_NOTE)
    assert serializer({"id": 1, "note": "a"}, value()) == b"\0\0\0\0\1\2\2a"
    for one, is_taken, path in zip((MISSING, ADDITIONAL), taken, ("note", "more"), strict=True):
        if is_taken:
            assert serializer(one, value())
        else:
            with pytest.raises(AvroEncodingError) as caught:
                serializer(one, value())
            assert caught.value.field_path == path


def test_a_default_that_may_be_missing_is_not_blamed(make: Make) -> None:
    backwards = WITH_NOTE.replace('{"name":"id","type":"long"}', '{"name":"first","type":"long","default":1}')
    with pytest.raises(AvroEncodingError) as caught:
        make({"validate.strict.allow.default": True}, schema=backwards)({"note": 5}, value())
    assert caught.value.field_path == "note"


def test_strictness_holds_for_a_schema_from_the_registry_too(schema_registry: SchemaRegistryServer, make: Make) -> None:
    schema_registry.register("orders-value", WITH_NOTE)
    with pytest.raises(AvroEncodingError):
        make(LATEST | {"validate.strict": True}, schema=None)(MISSING, value())


# -- subject.name.strategy ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "subject"),
    [("TOPIC", "orders-value"), ("RECORD", "shop.Order"), ("TOPIC_RECORD", "orders-shop.Order")],
)
@pytest.mark.parametrize("spell", [str, str.lower, str.title, SubjectNameStrategyType])
def test_a_strategys_type_in_any_spelling(
    kind: str, subject: str, spell: Callable[[str], Any], schema_registry: SchemaRegistryServer, make: Make
) -> None:
    make({"subject.name.strategy.type": spell(kind)})(ONE, value())
    assert asked(schema_registry) == [f"POST /subjects/{subject}/versions"]


@pytest.mark.parametrize(
    ("schema", "one", "name"),
    [
        ('"string"', "a", "string"),
        ('{"type":"string"}', "a", "string"),
        ('{"type":"array","items":"long"}', [1], "array"),
        ('{"type":"map","values":"long"}', {"a": 1}, "map"),
        ('{"type":"enum","name":"Suit","symbols":["A"]}', "A", "Suit"),
        ('{"type":"fixed","name":"a.b.Hash","namespace":"ignored","size":1}', b"a", "a.b.Hash"),
    ],
)
def test_the_record_name_of_other_schemas(
    schema: str, one: Any, name: str, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    make({"subject.name.strategy.type": "RECORD"}, schema=schema)(one)
    assert asked(schema_registry) == [f"POST /subjects/{name}/versions"]


@pytest.mark.parametrize("kind", ["RECORD", "TOPIC_RECORD"])
def test_a_union_has_no_name_to_make_a_subject_of(kind: str, make: Make) -> None:
    with pytest.raises(ConfigurationError, match="TOPIC") as caught:
        make({"subject.name.strategy.type": kind}, schema='["null","string"]')
    assert caught.value.key == "subject.name.strategy.type"


@pytest.mark.parametrize("kind", ["RECORD", "TOPIC_RECORD"])
def test_without_a_schema_of_ones_own_there_is_no_record_name(
    kind: str, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    serializer = make(LATEST | {"subject.name.strategy.type": kind}, schema=None)
    with pytest.raises(SerializationError, match="strategy"):
        serializer(ONE, value())
    assert schema_registry.requests == []


class Named:
    """A strategy with a state of its own."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def __call__(self, ctx: SerializationContext, record_name: str) -> str:
        self.seen.append((ctx.topic, ctx.field, record_name))
        return f"eu.{ctx.topic}"

    def method(self, ctx: SerializationContext, name: str) -> str:
        return self(ctx, name)


@pytest.mark.parametrize("pick", [lambda named: named, lambda named: named.method], ids=["object", "bound method"])
def test_a_strategy_of_ones_own_gets_context_and_record_name(
    pick: Any, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    named = Named()
    serializer = make({"subject.name.strategy": pick(named), "subject.name.strategy.type": "RECORD"})
    serializer(ONE, value())
    serializer(ONE, key())
    assert named.seen == [("orders", "value", "shop.Order"), ("orders", "key", "shop.Order")]
    assert asked(schema_registry) == ["POST /subjects/eu.orders/versions"]


def test_a_strategys_context_is_the_callers_own(make: Make) -> None:
    seen: list[Any] = []
    context = value(headers=[("a", b"1")])
    make({"subject.name.strategy": lambda ctx, name: (seen.append(ctx), "s")[1]})(ONE, context)
    assert seen == [context]


# -- contexts of the registry ------------------------------------------------------------------


def test_a_context_for_one_subject(schema_registry: SchemaRegistryServer, make: Make) -> None:
    serializer = make(
        {"subject.name.strategy": lambda ctx, name: f":.lab:{ctx.topic}" if ctx.topic == "new" else ctx.topic}
    )
    for topic in ("new", "old", "new"):
        serializer(ONE, value(topic))
    assert asked(schema_registry) == ["POST /subjects/%3A.lab%3Anew/versions", "POST /subjects/old/versions"]


CONFS: list[tuple[dict[str, Any], str]] = [
    ({}, "POST /subjects/%3A.lab%3Aorders-value/versions"),
    ({"auto.register.schemas": False}, "POST /subjects/%3A.lab%3Aorders-value"),
    (LATEST, "GET /subjects/%3A.lab%3Aorders-value/versions/latest"),
    ({"use.latest.with.metadata": {"a": "b"}}, "GET /subjects/%3A.lab%3Aorders-value/metadata?key=a&value=b"),
]


@pytest.mark.parametrize(("conf", "path"), CONFS)
def test_a_client_wide_context_is_in_every_question(
    conf: dict[str, Any], path: str, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    register_with(schema_registry, ":.lab:orders-value", ORDER, a="b")
    schema_registry.register(":.lab:orders-value", ORDER)
    schema_registry.clear_requests()
    make(conf, client={"context": "lab"})(ONE, value())
    (one,) = asked(schema_registry)
    assert one.startswith(path)


def test_a_subjects_own_context_goes_before_the_clients(schema_registry: SchemaRegistryServer, make: Make) -> None:
    make({"subject.name.strategy": lambda ctx, name: ":.own:orders"}, client={"context": "lab"})(ONE, value())
    assert asked(schema_registry) == ["POST /subjects/%3A.own%3Aorders/versions"]


# -- ASSOCIATED --------------------------------------------------------------------------------

ASSOCIATED = {"subject.name.strategy.type": "ASSOCIATED"}
ASSOCIATIONS = under("/associations/")
CONF = "subject.name.strategy.conf"
FALLBACK = "subject.name.strategy.fallback.type"
CLUSTER = "subject.name.strategy.kafka.cluster.id"


def associate(registry: SchemaRegistryServer, *subjects: str, matching: Any = ASSOCIATIONS) -> None:
    found = [{"subject": subject, "resourceName": "orders", "associationType": "value"} for subject in subjects]
    registry.fail_always(faults.answer(200, json.dumps(found)), matching=matching)


def questions(registry: SchemaRegistryServer) -> list[str]:
    return [one for one in asked(registry) if "/associations/" in one]


def writes(registry: SchemaRegistryServer) -> list[str]:
    return [one for one in asked(registry) if "/associations/" not in one]


@pytest.mark.parametrize("spelling", ["ASSOCIATED", "associated", SubjectNameStrategyType.ASSOCIATED])
def test_an_associated_subject_is_asked_for_once(
    spelling: Any, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    associate(schema_registry, "theirs")
    serializer = make({"subject.name.strategy.type": spelling})
    for _ in range(5):
        assert schema_id(serializer(ONE, value())) == 1
    (question,) = questions(schema_registry)
    target = urlsplit(question.partition(" ")[2])
    assert target.path == "/associations/resources/-/orders"
    assert parse_qs(target.query) == {"resourceType": ["topic"], "associationType": ["value"]}
    assert writes(schema_registry) == ["POST /subjects/theirs/versions"]


def test_confluents_own_strategy_object_means_the_same(schema_registry: SchemaRegistryServer, make: Make) -> None:
    associate(schema_registry, "theirs")
    assert make({"subject.name.strategy": AssociatedNameStrategy()})(ONE, value())
    assert writes(schema_registry) == ["POST /subjects/theirs/versions"]


def test_keys_and_values_and_topics_have_associations_of_their_own(
    schema_registry: SchemaRegistryServer, make: Make
) -> None:
    associate(schema_registry, "k", matching=lambda request: "associationType=key" in request.path)
    associate(schema_registry, "v", matching=lambda request: "/orders?" in request.path)
    serializer = make(ASSOCIATED)
    for _ in range(2):
        serializer(ONE, key())
        serializer(ONE, value())
        serializer(ONE, value("other"))
    assert len(questions(schema_registry)) == 3
    assert writes(schema_registry) == [f"POST /subjects/{one}/versions" for one in ("k", "v", "other-value")]


def test_a_topic_of_any_characters_is_quoted(schema_registry: SchemaRegistryServer, make: Make) -> None:
    associate(schema_registry, "theirs")
    make(ASSOCIATED | {CONF: {CLUSTER: "lkc/1"}})(ONE, value("a/b ?"))
    assert questions(schema_registry)[0].startswith("GET /associations/resources/lkc%2F1/a%2Fb%20%3F?")


def test_more_than_one_associated_subject_is_an_error_that_names_them(
    schema_registry: SchemaRegistryServer, make: Make
) -> None:
    associate(schema_registry, "one", "two")
    with pytest.raises(SerializationError, match=r"orders.*one, two"):
        make(ASSOCIATED)(ONE, value())
    assert writes(schema_registry) == []


FALLBACKS = [
    ({}, "orders-value"),
    ({CONF: {}}, "orders-value"),
    ({CONF: {FALLBACK: "TOPIC"}}, "orders-value"),
    ({CONF: {FALLBACK: "RECORD"}}, "shop.Order"),
    ({CONF: {FALLBACK: "record"}}, "shop.Order"),
    ({CONF: {FALLBACK: SubjectNameStrategyType.TOPIC_RECORD}}, "orders-shop.Order"),
    ({CONF: {FALLBACK: "topic_record"}}, "orders-shop.Order"),
]
NONE_THERE = {
    "an empty list": faults.answer(200, "[]"),
    "Confluent's 404": faults.error(404),
    "an empty 404": faults.answer(404, b""),
    "error_code 0": faults.answer(404, '{"error_code":0,"message":"x"}'),
    "bare text": faults.answer(404, "Not Found", "text/plain"),
    "an HTML page": faults.html(404),
    "405": faults.answer(405, b""),
    "501": faults.answer(501, b""),
    "denied": faults.error(403, 40301),
}


@pytest.mark.parametrize(("conf", "subject"), FALLBACKS)
def test_without_an_association_the_fallback_decides(
    conf: dict[str, Any], subject: str, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    serializer = make(ASSOCIATED | conf)
    for _ in range(3):
        serializer(ONE, value())
    assert len(questions(schema_registry)) == 1
    assert writes(schema_registry) == [f"POST /subjects/{subject}/versions"]


@pytest.mark.parametrize("fault", NONE_THERE.values(), ids=NONE_THERE)
def test_a_registry_that_has_or_shows_no_associations(
    fault: faults.Fault, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    schema_registry.fail_always(fault, matching=ASSOCIATIONS)
    serializer = make(ASSOCIATED)
    for _ in range(3):
        serializer(ONE, value())
    assert len(questions(schema_registry)) == 1
    assert writes(schema_registry) == ["POST /subjects/orders-value/versions"]


@pytest.mark.parametrize("fault", NONE_THERE.values(), ids=NONE_THERE)
def test_a_fallback_of_none_is_an_error_that_names_the_topic(
    fault: faults.Fault, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    schema_registry.fail_always(fault, matching=ASSOCIATIONS)
    with pytest.raises(SerializationError, match=f"'orders'.*{FALLBACK}"):
        make(ASSOCIATED | {CONF: {FALLBACK: "NONE"}})(ONE, value())
    assert writes(schema_registry) == []


@pytest.mark.parametrize(
    "conf",
    [{FALLBACK: "ASSOCIATED"}, {FALLBACK: "topics"}, {"fallback": "TOPIC"}, {CLUSTER: 5}, "TOPIC", {FALLBACK: None}],
)
def test_a_strategys_conf_is_checked_at_construction(conf: Any, make: Make) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(ASSOCIATED | {CONF: conf})
    assert caught.value.key == CONF


def test_a_registry_that_does_not_know_us_is_an_error(schema_registry: SchemaRegistryServer, make: Make) -> None:
    schema_registry.fail_always(faults.error(401), matching=ASSOCIATIONS)
    with pytest.raises(RegistryAuthError, match="associations of topic 'orders'"):
        make(ASSOCIATED)(ONE, value())
    assert writes(schema_registry) == []


TEMPORARY = {"503": faults.error(503), "50003": faults.no_leader(), "reset": faults.reset()}


@pytest.mark.parametrize("fault", TEMPORARY.values(), ids=TEMPORARY)
def test_an_answer_that_does_not_come_is_asked_for_again(
    fault: faults.Fault, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    associate(schema_registry, "theirs")
    schema_registry.fail_next(fault, fault, matching=ASSOCIATIONS)
    make(ASSOCIATED)(ONE, value())
    assert len(questions(schema_registry)) == 3
    assert writes(schema_registry) == ["POST /subjects/theirs/versions"]


@pytest.mark.parametrize(
    "fault",
    [faults.error(503), faults.answer(200, "{}"), faults.answer(200, '[{"subject":5}]'), faults.answer(200, "[5]")],
    ids=["503", "no array", "no subject", "no association"],
)
def test_no_answer_is_an_error_and_never_the_fallback(
    fault: faults.Fault, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    schema_registry.fail_always(fault, matching=ASSOCIATIONS)
    serializer = make(ASSOCIATED)
    with pytest.raises(RegistryUnavailableError, match="associations of topic 'orders'"):
        serializer(ONE, value())
    assert writes(schema_registry) == []
    schema_registry.recover()
    associate(schema_registry, "theirs")


def test_after_an_outage_the_association_is_asked_for_again(schema_registry: SchemaRegistryServer, make: Make) -> None:
    schema_registry.fail_next(faults.error(503), matching=ASSOCIATIONS)
    associate(schema_registry, "theirs")
    serializer = make(ASSOCIATED, client={"max.retries": 0})
    with pytest.raises(RegistryUnavailableError):
        serializer(ONE, value())
    assert schema_id(serializer(ONE, value())) == 1
    assert writes(schema_registry) == ["POST /subjects/theirs/versions"]


def test_threads_share_one_question(schema_registry: SchemaRegistryServer, make: Make) -> None:
    associate(schema_registry, "theirs")
    schema_registry.delay = 0.05
    serializer = make(ASSOCIATED)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: serializer(ONE, value()), range(8))) == {b"\0\0\0\0\1\2"}
    assert len(asked(schema_registry)) == 2


def test_clear_caches_forgets_associations(schema_registry: SchemaRegistryServer) -> None:
    associate(schema_registry, "first")
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        serializer = AvroSerializer(client, ORDER, None, ASSOCIATED)
        serializer(ONE, value())
        schema_registry.recover()
        associate(schema_registry, "second")
        serializer(ONE, value())
        client.clear_caches()
        serializer(ONE, value())
    assert writes(schema_registry) == ["POST /subjects/first/versions", "POST /subjects/second/versions"]


def test_associations_in_memory_are_bounded(schema_registry: SchemaRegistryServer, make: Make) -> None:
    associate(schema_registry, "theirs")
    serializer = make(ASSOCIATED, client={"cache.capacity": 2})
    for topic in "abca":
        serializer(ONE, value(topic))
    assert [question.split("/")[4][0] for question in questions(schema_registry)] == list("abca")


def test_clear_caches_between_threads_never_loses_a_message(schema_registry: SchemaRegistryServer) -> None:
    associate(schema_registry, "theirs")
    done = threading.Event()
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        serializer = AvroSerializer(client, ORDER, None, ASSOCIATED)

        def clear() -> None:
            while not done.is_set():
                client.clear_caches()

        with ThreadPoolExecutor(3) as pool:
            clearing = pool.submit(clear)
            written = pool.map(lambda _: serializer(ONE, value()), range(60))
            assert set(written) == {b"\0\0\0\0\1\2"}
            done.set()
            clearing.result(30)


def test_the_producers_builder_takes_the_strategy_from_the_dict(schema_registry: SchemaRegistryServer) -> None:
    associate(schema_registry, "theirs")
    conf = {"schema.registry.url": schema_registry.url, "value.subject.name.strategy.type": "ASSOCIATED"}
    serializer, rest = AvroSerializerBuilder(schema=ORDER).build(conf, False)
    with serializer:
        serializer.set_cluster_id_resolver(lambda: "lkc-9")
        serializer(ONE, value())
    assert rest == {}
    assert questions(schema_registry)[0].startswith("GET /associations/resources/lkc-9/orders?")


# -- the Kafka cluster's id --------------------------------------------------------------------


def test_the_cluster_id_is_asked_for_late_and_once(schema_registry: SchemaRegistryServer, make: Make) -> None:
    associate(schema_registry, "theirs")
    calls: list[int] = []
    serializer = make(ASSOCIATED)
    serializer.set_cluster_id_resolver(lambda: (calls.append(1), "lkc-1")[1])
    assert calls == []
    for _ in range(3):
        serializer(ONE, value())
    assert calls == [1]
    assert questions(schema_registry)[0].startswith("GET /associations/resources/lkc-1/orders?")


def test_the_newest_resolver_counts(schema_registry: SchemaRegistryServer, make: Make) -> None:
    serializer = make(ASSOCIATED)
    for name in ("old", "new"):
        serializer.set_cluster_id_resolver(lambda name=name: name)
    serializer(ONE, value())
    assert questions(schema_registry)[0].startswith("GET /associations/resources/new/orders?")


def test_a_configured_cluster_id_goes_before_the_producers(schema_registry: SchemaRegistryServer, make: Make) -> None:
    serializer = make(ASSOCIATED | {CONF: {CLUSTER: "mine"}})
    serializer.set_cluster_id_resolver(lambda: pytest.fail("asked"))
    serializer(ONE, value())
    assert questions(schema_registry)[0].startswith("GET /associations/resources/mine/orders?")


@pytest.mark.parametrize("kind", ["TOPIC", "RECORD"])
def test_other_strategies_ask_for_no_cluster_id(kind: str, schema_registry: SchemaRegistryServer, make: Make) -> None:
    serializer = make({"subject.name.strategy.type": kind})
    serializer.set_cluster_id_resolver(lambda: pytest.fail("asked"))
    assert serializer(ONE, value())
    assert questions(schema_registry) == []


def test_many_threads_ask_for_the_cluster_id_once(schema_registry: SchemaRegistryServer, make: Make) -> None:
    associate(schema_registry, "theirs")
    threads = 8
    calls: list[int] = []
    entered, released = threading.Event(), threading.Event()

    def resolve() -> str:
        calls.append(1)
        entered.set()
        assert released.wait(30)
        return "lkc-1"

    serializer = make(ASSOCIATED)
    serializer.set_cluster_id_resolver(resolve)
    started = threading.Barrier(threads + 1)

    def produce(_: int) -> bytes | None:
        started.wait(30)
        return serializer(ONE, value())

    with ThreadPoolExecutor(threads) as pool:
        messages = [pool.submit(produce, i) for i in range(threads)]
        started.wait(30)
        assert entered.wait(30)
        threading.Event().wait(0.3)  # the others join the flight meanwhile
        released.set()
        assert {message.result(30) for message in messages} == {b"\0\0\0\0\1\2"}
    assert calls == [1]
    assert len(questions(schema_registry)) == 1


def test_a_resolver_that_hangs_ends_at_the_deadline(schema_registry: SchemaRegistryServer, make: Make) -> None:
    released = threading.Event()
    serializer = make(ASSOCIATED, client={"total.timeout.ms": 200})
    serializer.set_cluster_id_resolver(lambda: (released.wait(60), "late")[1])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(serializer, ONE, value())
        with pytest.raises(SerializationError, match=CLUSTER):
            waiting.result(30)
    assert schema_registry.requests == []
    released.set()


@pytest.mark.parametrize("resolve", [lambda: "", lambda: None, lambda: 1 / 0], ids=["empty", "None", "raises"])
def test_a_cluster_id_that_cannot_be_had_is_an_error_and_asked_for_again(
    resolve: Any, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    associate(schema_registry, "theirs")
    serializer = make(ASSOCIATED)
    serializer.set_cluster_id_resolver(resolve)
    with pytest.raises(SerializationError, match=CLUSTER):
        serializer(ONE, value())
    assert schema_registry.requests == []
    serializer.set_cluster_id_resolver(lambda: "lkc-1")
    assert schema_id(serializer(ONE, value())) == 1


FORK = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from confluent_kafka.serialization import SerializationContext
from kafka_sr_retry import AvroSerializer
inside = threading.Event()
def hang():
    inside.set()
    threading.Event().wait()
serializer = AvroSerializer({"url": sys.argv[1]}, '"long"', None, {"subject.name.strategy.type": "ASSOCIATED"})
serializer.set_cluster_id_resolver(hang)
ctx = SerializationContext("orders", "value")
threading.Thread(target=serializer, args=(1, ctx), daemon=True).start()
inside.wait()
child = os.fork()
if not child:
    signal.alarm(20)
    serializer.set_cluster_id_resolver(lambda: "lkc-1")
    os._exit(0 if serializer(1, ctx) == bytes([0, 0, 0, 0, 1, 2]) else 1)
os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_wait_for_its_parents_flight(schema_registry: SchemaRegistryServer) -> None:
    run = subprocess.run([sys.executable, "-c", FORK, schema_registry.url], timeout=60, check=False)
    assert run.returncode == 0
    assert "/lkc-1/" in questions(schema_registry)[0]


# -- schema.id.serializer ----------------------------------------------------------------------


@pytest.mark.parametrize("conf", [{}, {"auto.register.schemas": False}, LATEST], ids=["register", "look up", "latest"])
def test_a_header_carries_the_guid_however_the_schema_was_found(
    conf: dict[str, Any], newer_registry: SchemaRegistryServer
) -> None:
    newer_registry.register("orders-value", ORDER)
    headers: dict[str, Any] = {}
    given = conf | {"schema.id.serializer": header_schema_id_serializer}
    with AvroSerializer({"url": newer_registry.url}, ORDER, None, given) as serializer:
        assert serializer(ONE, value(headers=headers)) == b"\2"
        assert len(newer_registry.requests) == 1
        with SchemaRegistryClient({"url": newer_registry.url}) as client:
            guid = client.get_registered(1).guid
    assert headers == {"__value_schema_id": b"\1" + uuid.UUID(guid).bytes}


def test_an_id_serializer_gets_payload_context_and_both_ids(newer_registry: SchemaRegistryServer) -> None:
    seen: list[Any] = []

    def write(payload: bytes, ctx: Any, known: Any) -> bytes:
        seen.append((payload, ctx.topic, known.id, known.guid, known.schema_type))
        return b"mine:" + payload

    with AvroSerializer({"url": newer_registry.url}, ORDER, None, {"schema.id.serializer": write}) as serializer:
        assert serializer(ONE, value()) == b"mine:\2"
        assert serializer(None, value()) is None
    ((payload, topic, number, guid, kind),) = seen
    assert (payload, topic, number, kind) == (b"\2", "orders", 1, "AVRO")
    assert isinstance(guid, uuid.UUID)


def test_an_id_serializer_that_raises_is_heard_and_nothing_is_written(make: Make) -> None:
    def write(payload: bytes, ctx: Any, known: Any) -> bytes:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        make({"schema.id.serializer": write})(ONE, value())


# -- a RegisteredSchema ------------------------------------------------------------------------

NOWHERE = {"url": "http://127.0.0.1:1", "max.retries": 0}
KNOWN = RegisteredSchema(42, "00000000-0000-0000-0000-000000000007", None, None, Schema(ORDER))


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"auto.register.schemas": False},
        {"normalize.schemas": True},
        {"validate.strict": True},
        {"subject.name.strategy.type": "RECORD"},
        {"subject.name.strategy": lambda ctx, name: "any"},
    ],
)
def test_a_known_id_asks_nobody_whatever_the_keys(conf: dict[str, Any]) -> None:
    with AvroSerializer(NOWHERE, KNOWN, None, conf) as serializer:
        for ctx in (value(), key(), value("other")):
            assert serializer(ONE, ctx) == b"\0\0\0\0\x2a\2"


def test_a_known_guid_goes_into_the_header_and_asks_nobody() -> None:
    headers: list[Any] = []
    conf = {"schema.id.serializer": header_schema_id_serializer}
    with AvroSerializer(NOWHERE, KNOWN, None, conf) as serializer:
        assert serializer(ONE, value(headers=headers)) == b"\2"
    assert headers == [("__value_schema_id", b"\1" + uuid.UUID(int=7).bytes)]


# -- contradictions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "key"),
    [
        ({"use.latest.version": True}, "use.latest.version"),
        ({"use.latest.version": True, "auto.register.schemas": True}, "use.latest.version"),
        (LATEST | {"use.schema.id": 1}, "use.latest.version"),
        (LATEST | {"use.latest.with.metadata": {"a": "b"}}, "use.latest.with.metadata"),
        ({"use.schema.id": 1, "use.latest.with.metadata": {"a": "b"}}, "use.latest.with.metadata"),
        ({CONF: {CLUSTER: "a"}}, CONF),
        ({CONF: {CLUSTER: "a"}, "subject.name.strategy": lambda ctx, name: "a"}, CONF),
    ],
)
def test_keys_that_contradict_each_other_are_refused(
    conf: dict[str, Any], key: str, schema_registry: SchemaRegistryServer, make: Make
) -> None:
    with pytest.raises(ConfigurationError, match="contradict") as caught:
        make(conf)
    assert caught.value.key == key
    assert schema_registry.requests == []


WRONG: list[tuple[str, list[Any]]] = [
    ("auto.register.schemas", ["true", 1]),
    ("normalize.schemas", ["true", 0]),
    ("use.schema.id", ["7", 0, -1, 2**31, 1.5, True]),
    ("use.latest.version", ["true", 1]),
    ("use.latest.with.metadata", ["owner", ["owner"], {}, {"owner": 5}, {5: "owner"}]),
    ("subject.name.strategy", ["TOPIC", 5]),
    ("subject.name.strategy.type", ["NONE", "topics", 5, SubjectNameStrategyType.NONE]),
    ("subject.name.strategy.conf", ["x", [1]]),
    ("schema.id.serializer", ["prefix", 5]),
    ("validate.strict", ["yes", 1]),
    ("validate.strict.allow.default", ["yes", 1]),
]


@pytest.mark.parametrize(("name", "given"), [(name, value) for name, values in WRONG for value in values])
def test_a_wrong_type_names_its_key(name: str, given: Any, schema_registry: SchemaRegistryServer, make: Make) -> None:
    with pytest.raises(ConfigurationError, match=name.replace(".", r"\.")) as caught:
        make({name: given})
    assert caught.value.key == name
    assert schema_registry.requests == []


def test_no_schema_and_nothing_that_would_fetch_one(make: Make) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make({}, schema=None)
    assert caught.value.key == "schema_str"
