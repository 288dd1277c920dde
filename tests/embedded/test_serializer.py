"""The serializer against a registry over real HTTP."""

from __future__ import annotations

import base64
import copy
import json
import linecache
import os
import pickle
import subprocess
import sys
import threading
import types
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import confluent_kafka.schema_registry as confluent
import pytest
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError as ConfluentError
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from kafka_sr_retry import (
    AvroEncodingError,
    AvroSerializer,
    AvroSerializerBuilder,
    ConfigurationError,
    Encoder,
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegisteredSchema,
    RegistryAuthError,
    RegistryUnavailableError,
    Schema,
    SchemaNotFoundError,
    SchemaRegistryClient,
    SchemaRegistryError,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
    record_subject_name_strategy,
    topic_record_subject_name_strategy,
    topic_subject_name_strategy,
)
from kafka_sr_retry.binding import BoundSerializer
from kafka_sr_retry.testing import Exchange, Fault, SchemaRegistryServer, answer, error, no_leader, redirect, reset

ORDER = '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"}]}'
ONE = {"id": 1}


def value(topic: str, headers: Any = None) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE, headers)


def key(topic: str) -> SerializationContext:
    return SerializationContext(topic, MessageField.KEY)


def schema_id(message: bytes | None) -> int:
    assert message is not None
    assert message[0] == 0
    assert message[5:] == b"\2"
    return int.from_bytes(message[1:5], "big")


def subjects(registry: SchemaRegistryServer) -> list[str]:
    return [request.path.split("/")[2] for request in registry.requests]


def unpickled(given: Any) -> Any:
    return pickle.loads(pickle.dumps(given))


COPIES: list[Callable[[Any], Any]] = [unpickled, copy.copy, copy.deepcopy]


@pytest.fixture
def serializer(schema_registry: SchemaRegistryServer) -> Iterator[AvroSerializer]:
    with AvroSerializer({"url": schema_registry.url}, ORDER) as made:
        yield made


@pytest.fixture
def make(schema_registry: SchemaRegistryServer) -> Iterator[Callable[..., AvroSerializer]]:
    """An ``AvroSerializer`` for orders with these serializer keys."""
    made: list[AvroSerializer] = []

    def new(**conf: Any) -> AvroSerializer:
        made.append(AvroSerializer({"url": schema_registry.url}, ORDER, None, conf))
        return made[-1]

    yield new
    for one in made:
        one.close()


# -- ids ---------------------------------------------------------------------------------------


def test_the_id_belongs_to_the_subject(schema_registry: SchemaRegistryServer, serializer: AvroSerializer) -> None:
    def of(topic: str) -> Callable[[Any], bool]:
        return lambda request: topic in request.path

    schema_registry.fail_next(answer(200, '{"id":11}'), matching=of("a-value"))
    schema_registry.fail_next(answer(200, '{"id":22}'), matching=of("b-value"))
    assert [schema_id(serializer(ONE, value(topic))) for topic in "aba"] == [11, 22, 11]
    assert subjects(schema_registry) == ["a-value", "b-value"]


def test_a_subject_is_registered_once(schema_registry: SchemaRegistryServer, serializer: AvroSerializer) -> None:
    for _ in range(100):
        serializer(ONE, value("orders"))
    (request,) = schema_registry.requests
    assert request.path == "/subjects/orders-value/versions"
    assert json.loads(request.body)["schema"] == ORDER
    assert request.headers["Content-Length"] == str(len(request.body))


def test_key_and_value_are_subjects_of_their_own(
    schema_registry: SchemaRegistryServer, serializer: AvroSerializer
) -> None:
    serializer(ONE, key("orders"))
    serializer(ONE, value("orders"))
    assert subjects(schema_registry) == ["orders-key", "orders-value"]


def test_confluents_deserializer_reads_it(schema_registry: SchemaRegistryServer, serializer: AvroSerializer) -> None:
    message = serializer(ONE, value("orders"))
    with confluent.SchemaRegistryClient({"url": schema_registry.url}) as client:
        assert AvroDeserializer(client)(message, value("orders")) == ONE


def test_a_tombstone_asks_nobody(schema_registry: SchemaRegistryServer, serializer: AvroSerializer) -> None:
    assert serializer(None, value("orders")) is None
    assert serializer(None) is None
    assert schema_registry.requests == []


def test_a_registered_schema_asks_nobody(schema_registry: SchemaRegistryServer) -> None:
    known = RegisteredSchema(42, None, None, None, Schema(ORDER))
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        serializer = AvroSerializer(client, known)
        client.clear_caches()
        assert [schema_id(serializer(ONE, value(topic))) for topic in "aba"] == [42, 42, 42]
    assert schema_registry.requests == []


def test_a_registrys_own_answer_can_be_given_as_the_schema(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("orders-value", ORDER)
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        serializer = AvroSerializer(client, client.get_latest_version("orders-value"))
        assert schema_id(serializer(ONE, value("other"))) == 1
    assert len(schema_registry.requests) == 1


def test_a_guid_that_is_none_does_not_stop_messages_that_carry_an_id(
    schema_registry: SchemaRegistryServer, serializer: AvroSerializer
) -> None:
    schema_registry.fail_next(answer(200, '{"id":5,"guid":"not-a-uuid"}'))
    assert schema_id(serializer(ONE, value("orders"))) == 5


# -- without registering -----------------------------------------------------------------------

LOOK_UP = {"auto.register.schemas": False}


def test_without_registering_the_schema_is_looked_up(
    schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    schema_registry.register("other", '"long"')
    schema_registry.register("orders-value", ORDER)
    serializer = make(**LOOK_UP)
    assert [schema_id(serializer(ONE, value("orders"))) for _ in range(3)] == [2, 2, 2]
    (request,) = schema_registry.requests
    assert (request.method, request.path) == ("POST", "/subjects/orders-value")
    assert schema_registry.registrations == []


def test_without_registering_an_unknown_schema_is_not_found(
    schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    with pytest.raises(SchemaNotFoundError, match=r"auto\.register\.schemas") as caught:
        make(**LOOK_UP)(ONE, value("orders"))
    assert (caught.value.http_status_code, caught.value.error_code) == (404, 40401)
    assert schema_registry.registrations == []


def test_normalization_is_asked_for(schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]) -> None:
    make(**{"normalize.schemas": True})(ONE, value("orders"))
    make(**{"normalize.schemas": True} | LOOK_UP)(ONE, value("orders"))
    assert [request.path for request in schema_registry.requests] == [
        "/subjects/orders-value/versions?normalize=true",
        "/subjects/orders-value?normalize=true",
    ]


# -- subjects ----------------------------------------------------------------------------------

STRATEGIES = [
    ({}, "orders-value"),
    ({"subject.name.strategy.type": "TOPIC"}, "orders-value"),
    ({"subject.name.strategy.type": "RECORD"}, "shop.Order"),
    ({"subject.name.strategy.type": "TOPIC_RECORD"}, "orders-shop.Order"),
    ({"subject.name.strategy": topic_subject_name_strategy}, "orders-value"),
    ({"subject.name.strategy": record_subject_name_strategy}, "shop.Order"),
    ({"subject.name.strategy": topic_record_subject_name_strategy}, "orders-shop.Order"),
    ({"subject.name.strategy": confluent.topic_subject_name_strategy}, "orders-value"),
    ({"subject.name.strategy": confluent.record_subject_name_strategy}, "shop.Order"),
    ({"subject.name.strategy": confluent.topic_record_subject_name_strategy}, "orders-shop.Order"),
    ({"subject.name.strategy": lambda ctx, name: f"{ctx.field}.{name}"}, "value.shop.Order"),
    ({"subject.name.strategy": lambda ctx, name: "mine", "subject.name.strategy.type": "RECORD"}, "mine"),
]


@pytest.mark.parametrize(("conf", "subject"), STRATEGIES)
def test_a_strategy_names_the_subject(
    conf: dict[str, Any], subject: str, schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    serializer = make(**conf)
    for _ in range(2):
        serializer(ONE, value("orders"))
    assert subjects(schema_registry) == [subject]


def test_a_strategy_is_asked_for_each_message(
    schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    names = iter(["one", "two", "two", "one"])
    serializer = make(**{"subject.name.strategy": lambda ctx, name: next(names)})
    for _ in range(4):
        serializer(ONE, value("orders"))
    assert subjects(schema_registry) == ["one", "two"]


def test_a_context_may_be_left_out_where_no_strategy_needs_it(
    schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    assert schema_id(make(**{"subject.name.strategy.type": "RECORD"})(ONE)) == 1
    assert subjects(schema_registry) == ["shop.Order"]


NEEDS_A_CONTEXT: list[dict[str, Any]] = [
    {},
    {"subject.name.strategy.type": "TOPIC"},
    {"subject.name.strategy.type": "TOPIC_RECORD"},
    {"subject.name.strategy.type": "ASSOCIATED"},
    {"subject.name.strategy": topic_subject_name_strategy},
    {"subject.name.strategy": confluent.topic_subject_name_strategy},
    {"subject.name.strategy": confluent.topic_record_subject_name_strategy},
]


@pytest.mark.parametrize("conf", NEEDS_A_CONTEXT)
@pytest.mark.parametrize(
    "ctx",
    [
        None,
        "orders",
        {"topic": "orders"},
        value(""),
        value(None),  # type: ignore[arg-type]
        value(b"orders"),  # type: ignore[arg-type]
        value(["orders"]),  # type: ignore[arg-type]
        SerializationContext("orders", None),  # type: ignore[arg-type]
        SerializationContext("orders", ["value"]),  # type: ignore[arg-type]
        SerializationContext("orders", "values"),  # type: ignore[arg-type]
    ],
)
def test_a_strategy_that_needs_a_context_says_so(
    conf: dict[str, Any], ctx: Any, schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    with pytest.raises(ConfigurationError, match="SerializationContext") as caught:
        make(**conf)(ONE, ctx)
    assert caught.value.key == "ctx"
    assert schema_registry.requests == []


def test_a_field_may_be_named_by_a_text(schema_registry: SchemaRegistryServer, serializer: AvroSerializer) -> None:
    for field in ("key", "value"):
        serializer(ONE, SerializationContext("orders", field))  # type: ignore[arg-type]
    assert subjects(schema_registry) == ["orders-key", "orders-value"]


@pytest.mark.parametrize("given", [None, "", "..", 5, b"orders", ["orders"]])
def test_a_strategy_that_names_no_subject_is_an_error(
    given: Any, schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    serializer = make(**{"subject.name.strategy": lambda ctx, name: given})
    with pytest.raises(SerializationError, match="subject"):
        serializer(ONE, value("orders"))
    assert schema_registry.requests == []


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, TypeError, AttributeError])
@pytest.mark.parametrize("context", [key("orders"), value("orders"), None], ids=["key", "value", "no context"])
def test_a_strategy_that_raises_is_asked_once_and_heard(
    kind: type[Exception], context: Any, schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    asked = []

    def strategy(ctx: Any, name: Any) -> str:
        asked.append(name)
        raise kind("mine")

    with pytest.raises(kind, match="mine"):
        make(**{"subject.name.strategy": strategy})(ONE, context)
    assert asked == ["shop.Order"]
    assert schema_registry.requests == []


def test_a_context_of_the_registry_goes_before_each_subject(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url, "context": "lab"}, ORDER) as serializer:
        serializer(ONE, value("orders"))
    assert subjects(schema_registry) == ["%3A.lab%3Aorders-value"]


def test_a_subject_of_any_characters_reaches_the_registry_whole(
    schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    name = "a/b ?#%ü"
    make(**{"subject.name.strategy": lambda ctx, record: name})(ONE)
    with confluent.SchemaRegistryClient({"url": schema_registry.url}) as client:
        assert client.get_subjects() == [name]


# -- ids in headers ----------------------------------------------------------------------------

HEADER = {"schema.id.serializer": header_schema_id_serializer}


@pytest.fixture
def newer_registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer(full_answers=True) as server:
        yield server


@pytest.mark.parametrize("write", [header_schema_id_serializer, confluent.header_schema_id_serializer])
@pytest.mark.parametrize("kind", [list, dict])
def test_a_guid_goes_into_the_header(newer_registry: SchemaRegistryServer, kind: Any, write: Any) -> None:
    headers = kind()
    order = {"id": 2**50}
    with AvroSerializer({"url": newer_registry.url}, ORDER, None, {"schema.id.serializer": write}) as serializer:
        message = serializer(order, value("orders", headers))
    assert message is not None
    assert message[0] != 0
    ((name, guid),) = headers.items() if isinstance(headers, dict) else headers
    assert name == "__value_schema_id"
    assert guid[:1] == b"\1"
    assert uuid.UUID(bytes=guid[1:])
    with confluent.SchemaRegistryClient({"url": newer_registry.url}) as client:
        assert AvroDeserializer(client)(message, value("orders", headers)) == order


def test_a_keys_guid_goes_into_a_header_of_its_own(newer_registry: SchemaRegistryServer) -> None:
    headers: list[Any] = [("mine", b"1")]
    with AvroSerializer({"url": newer_registry.url}, ORDER, None, HEADER) as serializer:
        serializer(ONE, SerializationContext("orders", MessageField.KEY, headers))
    assert [name for name, _ in headers] == ["mine", "__key_schema_id"]


@pytest.mark.parametrize("write", [header_schema_id_serializer, confluent.header_schema_id_serializer])
@pytest.mark.parametrize("kind", [list, dict])
def test_a_guid_stands_in_place_of_one_that_is_there(
    newer_registry: SchemaRegistryServer, kind: Any, write: Any
) -> None:
    order = {"id": 2**50}
    headers = kind([("trace", b"1"), ("__value_schema_id", b"of another message")])
    with AvroSerializer({"url": newer_registry.url}, ORDER, None, {"schema.id.serializer": write}) as serializer:
        for topic in ("orders", "orders", "payments"):
            message = serializer(order, value(topic, headers))
    assert sorted(dict(headers)) == ["__value_schema_id", "trace"]
    assert len(headers) == 2
    with confluent.SchemaRegistryClient({"url": newer_registry.url}) as client:
        assert AvroDeserializer(client)(message, value("payments", headers)) == order


def test_headers_of_no_shape_are_left_to_the_producer(newer_registry: SchemaRegistryServer) -> None:
    headers: list[Any] = [5, (), None]
    with AvroSerializer({"url": newer_registry.url}, ORDER, None, HEADER) as serializer:
        serializer(ONE, value("orders", headers))
    assert headers[:3] == [5, (), None]


def test_without_headers_to_write_to_the_error_says_how(newer_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": newer_registry.url}, ORDER, None, HEADER) as serializer:
        with pytest.raises(SerializationError, match=r"headers=\[\]"):
            serializer(ONE, value("orders"))
        with pytest.raises(AvroEncodingError):
            serializer({"id": "x"}, value("orders", headers := []))
        assert headers == []


def test_a_registry_without_guids_cannot_serve_headers(make: Callable[..., AvroSerializer]) -> None:
    headers: list[Any] = []
    with pytest.raises(SerializationError, match="guid"):
        make(**HEADER)(ONE, value("orders", headers))
    assert headers == []


def test_an_id_serializer_of_ones_own(make: Callable[..., AvroSerializer]) -> None:
    def backwards(payload: bytes, ctx: Any, known: Any) -> bytes:
        return payload + bytes(known.id_to_bytes())

    assert make(**{"schema.id.serializer": backwards})(ONE, value("orders")) == b"\2\0\0\0\0\1"
    assert make(**{"schema.id.serializer": prefix_schema_id_serializer})(ONE, value("orders")) == b"\0\0\0\0\1\2"
    assert (
        make(**{"schema.id.serializer": confluent.prefix_schema_id_serializer})(ONE, value("orders")) == b"\0\0\0\0\1\2"
    )


@pytest.mark.parametrize("given", [None, "text", 5])
def test_an_id_serializer_that_gives_no_bytes_sends_nothing(given: Any, make: Callable[..., AvroSerializer]) -> None:
    with pytest.raises(SerializationError, match=r"schema\.id\.serializer"):
        make(**{"schema.id.serializer": lambda payload, ctx, known: given})(ONE, value("orders"))


# -- bind --------------------------------------------------------------------------------------


def test_bind_takes_only_the_object(schema_registry: SchemaRegistryServer, serializer: AvroSerializer) -> None:
    bound = [serializer.bind("orders"), serializer.bind("orders", MessageField.KEY)]
    assert [schema_id(one(ONE)) for one in bound] == [1, 1]
    assert [one(None) for one in bound] == [None, None]
    assert subjects(schema_registry) == ["orders-value", "orders-key"]


@pytest.mark.parametrize("write", [header_schema_id_serializer, confluent.header_schema_id_serializer])
def test_bind_with_an_id_in_a_header_is_refused(
    write: Any, schema_registry: SchemaRegistryServer, make: Callable[..., AvroSerializer]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(**{"schema.id.serializer": write}).bind("orders")
    assert caught.value.key == "schema.id.serializer"
    assert schema_registry.requests == []


def kafka_python_2(bound: Any, topic: str, data: Any) -> Any:
    return bound.serialize(topic, data)


def kafka_python_3(bound: Any, topic: str, data: Any) -> Any:
    try:
        return bound.serialize(topic, [("trace", b"1")], data)
    except TypeError:
        return bound.serialize(topic, data)


PROTOCOLS = pytest.mark.parametrize("send", [kafka_python_2, kafka_python_3])


@PROTOCOLS
def test_what_is_bound_to_a_topic_refuses_another(
    send: Any, schema_registry: SchemaRegistryServer, serializer: AvroSerializer
) -> None:
    bound = serializer.bind("orders")
    for data in (ONE, None):
        with pytest.raises(ConfigurationError, match=r"'orders'.*'payments'") as caught:
            send(bound, "payments", data)
        assert caught.value.key == "topic"
    assert schema_registry.requests == []
    assert schema_id(send(bound, "orders", ONE)) == 1
    assert send(bound, "orders", None) is None


@PROTOCOLS
def test_what_is_bound_to_no_topic_writes_for_each(
    send: Any, schema_registry: SchemaRegistryServer, serializer: AvroSerializer
) -> None:
    schema_registry.check_compatibility = False
    schema_registry.register("payments-key", '"string"')
    schema_registry.register("payments-key", ORDER)
    bound = serializer.bind(field=MessageField.KEY)
    assert [schema_id(send(bound, topic, ONE)) for topic in ("orders", "payments", "orders")] == [2, 2, 2]
    assert subjects(schema_registry) == ["orders-key", "payments-key"]
    with pytest.raises(ConfigurationError, match="bind"):
        bound(ONE)


def test_where_no_topic_is_needed_none_need_be_bound(make: Callable[..., AvroSerializer]) -> None:
    assert schema_id(make(**{"subject.name.strategy.type": "RECORD"}).bind()(ONE)) == 1


@pytest.mark.parametrize("topic", ["", 5, b"orders", ["orders"]])
def test_what_is_no_topic_cannot_be_bound(topic: Any, serializer: AvroSerializer) -> None:
    with pytest.raises(ConfigurationError, match="topic"):
        serializer.bind(topic)


def test_a_second_try_of_the_producer_does_not_read_an_object_again(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url}, ORDER, lambda ids, ctx: {"id": next(ids)}) as serializer:
        bound = serializer.bind("orders")
        ids = iter(["one", 2])
        with pytest.raises(AvroEncodingError):
            kafka_python_3(bound, "orders", ids)
        assert list(ids) == [2]
        try:
            raise TypeError("another's")
        except TypeError:
            assert schema_id(kafka_python_3(bound, "orders", iter([1]))) == 1
            assert schema_id(kafka_python_2(serializer.bind("orders"), "orders", iter([1]))) == 1


def test_headers_that_the_producer_tells_are_in_the_context(schema_registry: SchemaRegistryServer) -> None:
    contexts = []

    def to_dict(order: Any, ctx: Any) -> Any:
        contexts.append((ctx.topic, ctx.field, ctx.headers))
        return order

    with AvroSerializer({"url": schema_registry.url}, ORDER, to_dict) as serializer:
        kafka_python_3(serializer.bind(), "orders", ONE)
        kafka_python_2(serializer.bind(), "orders", ONE)
    assert contexts == [("orders", "value", [("trace", b"1")]), ("orders", "value", None)]


def test_what_bind_gives_is_kafka_pythons_serializer_once_that_is_loaded(
    serializer: AvroSerializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = serializer.bind("orders")
    kafka_python = types.ModuleType("kafka.serializer")
    monkeypatch.setitem(sys.modules, "kafka.serializer", kafka_python)
    assert isinstance(bound, BoundSerializer)
    theirs = vars(kafka_python)["Serializer"] = type("Serializer", (), {})
    assert isinstance(bound, theirs)
    assert isinstance(bound, BoundSerializer)
    monkeypatch.delitem(sys.modules, "kafka.serializer")
    assert not isinstance(bound, theirs)


@pytest.mark.parametrize("topic", ["orders", None])
def test_what_bind_gives_can_be_copied_and_closes_nothing(topic: str | None, serializer: AvroSerializer) -> None:
    for copied in COPIES:
        bound = copied(serializer.bind(topic, MessageField.KEY))
        bound.close()
        assert isinstance(bound, BoundSerializer)
        assert schema_id(bound.serialize("orders", ONE)) == 1
        assert repr(bound).endswith(f".bind({topic!r}, {MessageField.KEY!r})")
        bound._serializer.close()


# -- to_dict -----------------------------------------------------------------------------------


def test_to_dict_gets_the_object_and_its_context(schema_registry: SchemaRegistryServer) -> None:
    contexts = []

    def to_dict(number: int, ctx: Any) -> dict[str, int]:
        contexts.append((ctx.topic, ctx.field))
        return {"id": number}

    with AvroSerializer({"url": schema_registry.url}, ORDER, to_dict) as serializer:
        assert schema_id(serializer(1, value("orders"))) == 1
        assert serializer(None, value("orders")) is None
    assert contexts == [("orders", "value")]


# -- failures ----------------------------------------------------------------------------------


REFUSALS: list[tuple[Fault, type[SchemaRegistryError]]] = [
    (error(409), IncompatibleSchemaError),
    (error(422, 42201), InvalidSchemaError),
    (error(404, 40401), SchemaNotFoundError),
    (error(401), RegistryAuthError),
    (error(400), SchemaRegistryError),
    (error(429, headers={"Retry-After": "3600"}), RegistryUnavailableError),
    (no_leader(), RegistryUnavailableError),
    (reset(), RegistryUnavailableError),
]


@pytest.mark.parametrize(("fault", "kind"), REFUSALS, ids=[kind.__name__ for _, kind in REFUSALS])
def test_after_a_failure_the_caller_still_has_its_object(
    fault: Fault, kind: type[SchemaRegistryError], schema_registry: SchemaRegistryServer
) -> None:
    order = dict(ONE)
    schema_registry.fail_always(fault)
    with AvroSerializer({"url": schema_registry.url, "max.retries": 0}, ORDER) as serializer:
        with pytest.raises(kind, match="orders-value") as caught:
            serializer(order, value("orders"))
        assert type(caught.value).__name__ == kind.__name__
        assert isinstance(caught.value, ConfluentError)
        assert not isinstance(caught.value, (ValueError, TypeError))
        assert order == ONE


@pytest.mark.parametrize("fault", [no_leader(), reset(), error(503)], ids=["no leader", "reset", "503"])
def test_after_a_failure_the_next_call_works_once_the_registry_does(
    fault: Fault, schema_registry: SchemaRegistryServer
) -> None:
    order = dict(ONE)
    schema_registry.fail_next(fault, fault)
    with AvroSerializer({"url": schema_registry.url, "max.retries": 1}, ORDER) as serializer:
        with pytest.raises(RegistryUnavailableError) as caught:
            serializer(order, value("orders"))
        assert caught.value.retriable
        assert caught.value.attempts == 2
        assert schema_id(serializer(order, value("orders"))) == 1


def test_retries_carry_the_whole_body(schema_registry: SchemaRegistryServer, serializer: AvroSerializer) -> None:
    schema_registry.fail_next(no_leader(), no_leader())
    assert schema_id(serializer(ONE, value("orders"))) == 1
    bodies = [request.body for request in schema_registry.requests]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert json.loads(bodies[0])["schema"] == ORDER


def test_an_object_that_does_not_fit_leaves_the_serializer_well(serializer: AvroSerializer) -> None:
    with pytest.raises(AvroEncodingError):
        serializer({"id": "x"}, value("orders"))
    assert schema_id(serializer(ONE, value("orders"))) == 1


def test_no_event_and_no_error_shows_a_credential() -> None:
    seen: list[Any] = []
    expected = "Basic " + base64.b64encode(b"user:hunter2").decode()
    with SchemaRegistryServer(authorize=lambda headers: headers.get("Authorization") == expected) as registry:
        url = registry.url.replace("http://", "http://user:hunter2@")
        conf = {"url": url, "max.retries": 1, "event_cb": seen.append}
        with AvroSerializer(conf, ORDER) as serializer:
            assert schema_id(serializer(ONE, value("a"))) == 1
            registry.fail_next(error(503), error(503), redirect(registry.url), error(409))
            errors = []
            for _ in range(2):
                with pytest.raises(SchemaRegistryError) as caught:
                    serializer(ONE, value("b"))
                errors.append(caught.value)
    assert seen
    for each in [*seen, *errors, *[vars(one) for one in errors], *map(str, errors)]:
        assert "hunter2" not in repr(each)
        assert expected not in repr(each)


# -- life --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["native", "python", "fastavro"])
def test_it_tells_what_writes_a_topics_messages(
    schema_registry: SchemaRegistryServer, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if encoder == "native":
        pytest.importorskip("kafka_sr_retry.avro._native", reason="not built here: it needs a C compiler")
    monkeypatch.setenv("KAFKA_SR_RETRY_ENCODER", encoder)
    schema = ORDER.replace("Order", f"Order_{encoder}")  # what another test has made is kept as long as it is used
    with AvroSerializer({"url": schema_registry.url}, schema) as serializer:
        assert serializer.encoder("orders") is None
        serializer(ONE, value("orders"))
        why = "" if encoder == "native" else "KAFKA_SR_RETRY_ENCODER says so"
        assert serializer.encoder("orders") == Encoder(encoder, why)  # type: ignore[arg-type]
        assert serializer.encoder("orders", MessageField.KEY) is None
        serializer(ONE, SerializationContext("orders", MessageField.KEY))
        assert serializer.encoder("orders", MessageField.KEY) == Encoder(encoder, why)  # type: ignore[arg-type]
        assert len(schema_registry.requests) == 2


def test_it_tells_why_fastavro_writes(schema_registry: SchemaRegistryServer) -> None:
    conf = {"validate.strict.allow.default": True}
    with AvroSerializer({"url": schema_registry.url}, ORDER, conf=conf) as serializer:
        serializer(ONE, value("orders"))
        assert serializer.encoder("orders") == Encoder("fastavro", "validate.strict is set")


def test_a_closed_serializer_still_writes_what_it_knows(
    schema_registry: SchemaRegistryServer, serializer: AvroSerializer
) -> None:
    serializer(ONE, value("a"))
    serializer.close()
    serializer.close()
    assert schema_id(serializer(ONE, value("a"))) == 1
    with pytest.raises(RegistryUnavailableError, match="closed"):
        serializer(ONE, value("b"))
    assert subjects(schema_registry) == ["a-value"]


def test_a_shared_client_stays_open(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        with AvroSerializer(client, ORDER) as serializer:
            serializer(ONE, value("a"))
        assert schema_id(AvroSerializer(client, ORDER)(ONE, value("b"))) == 1
    with pytest.raises(RegistryUnavailableError):
        serializer(ONE, value("c"))


def test_serializers_of_one_client_share_what_it_knows(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        for _ in range(3):
            AvroSerializer(client, ORDER)(ONE, value("orders"))
    assert len(schema_registry.requests) == 1


def test_closing_ends_a_wait_at_once(schema_registry: SchemaRegistryServer) -> None:
    arrived = threading.Event()

    def never(exchange: Exchange) -> None:
        arrived.set()
        exchange.wait(None)

    schema_registry.fail_always(Fault("never", never))
    serializer = AvroSerializer({"url": schema_registry.url, "request.timeout.ms": 600_000}, ORDER)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(serializer, ONE, value("orders"))
        assert arrived.wait(30)
        serializer.close()
        with pytest.raises(RegistryUnavailableError, match="closed"):
            waiting.result(20)


def test_clear_caches_asks_again(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        serializer = AvroSerializer(client, ORDER)
        for _ in range(2):
            serializer(ONE, value("orders"))
            client.clear_caches()
            serializer(ONE, value("orders"))
    assert len(schema_registry.requests) == 3


def test_the_oldest_subject_is_forgotten_at_capacity(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url, "cache.capacity": 1}, ORDER) as serializer:
        for topic in "aabba":
            assert schema_id(serializer(ONE, value(topic))) == 1
    assert subjects(schema_registry) == ["a-value", "b-value", "a-value"]


def test_only_the_oldest_subject_is_forgotten(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url, "cache.capacity": 2}, ORDER) as serializer:
        for topic in "abcbca":
            serializer(ONE, value(topic))
    assert subjects(schema_registry) == [f"{topic}-value" for topic in "abca"]


# -- pickling ----------------------------------------------------------------------------------


def test_a_pickled_client_is_its_configuration(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": schema_registry.url, "context": "lab"}) as client:
        client.register_schema("a", Schema(ORDER))
        client.close()
        with pickle.loads(pickle.dumps(client)) as copied:
            assert copied.register_schema("b", Schema(ORDER)) == 1
    assert subjects(schema_registry) == ["%3A.lab%3Aa", "%3A.lab%3Ab"]


class OfOrders(AvroSerializer):
    """A subclass with a constructor of its own, as users write them."""

    def __init__(self, url: str) -> None:
        self.before = "before"
        super().__init__({"url": url}, ORDER, conf={"subject.name.strategy.type": "RECORD"})
        self.sent = 0

    def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes | None:
        self.sent += 1
        return super().__call__(obj, ctx)


OWNING: dict[str, Callable[[str], AvroSerializer]] = {
    "a dict": lambda url: AvroSerializer({"url": url}, ORDER, None, {"subject.name.strategy.type": "RECORD"}),
    "from_config": lambda url: AvroSerializer.from_config(
        {"schema.registry.url": url, "subject.name.strategy.type": "RECORD"}, ORDER
    )[0],
    "a builder": lambda url: AvroSerializerBuilder({"url": url}, schema=ORDER).build(
        {"value.subject.name.strategy.type": "RECORD"}, False
    )[0],
    "a subclass": OfOrders,
}


@pytest.mark.parametrize("made", OWNING.values(), ids=OWNING)
@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_is_its_configuration_and_closes_the_client_that_it_owns(
    made: Callable[[str], AvroSerializer], copied: Callable[[Any], Any], schema_registry: SchemaRegistryServer
) -> None:
    with made(schema_registry.url) as first:
        second = copied(copied(first))
        assert type(second) is type(first)
        second.close()
        second.close()
        with pytest.raises(RegistryUnavailableError, match="closed"):
            second(ONE)
        with copied(first) as third:
            assert first(ONE) == third(ONE)
    assert subjects(schema_registry) == ["shop.Order"]


def test_a_builder_builds_as_often_as_it_is_asked(schema_registry: SchemaRegistryServer) -> None:
    builder = AvroSerializerBuilder({"url": schema_registry.url}, schema=ORDER)
    (keys, _), (values, _) = (builder.build({}, is_key) for is_key in (True, False))
    keys.close()
    with pytest.raises(RegistryUnavailableError, match="closed"):
        keys(ONE, key("orders"))
    with values:
        assert schema_id(values(ONE, value("orders"))) == 1


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_a_subclass_keeps_what_that_added(
    copied: Callable[[Any], Any], schema_registry: SchemaRegistryServer
) -> None:
    with OfOrders(schema_registry.url) as first:
        first(ONE)
        first.before = "afterwards"
        second = copied(first)
        assert (second.before, second.sent) == ("afterwards", 1)


def test_a_pickled_serializer_leaves_a_client_that_was_given_open_and_shared(
    schema_registry: SchemaRegistryServer, tmp_path: Path
) -> None:
    path = tmp_path / "order.avsc"
    path.write_text(ORDER)
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        keys, values = unpickled((AvroSerializer(client, '"long"'), AvroSerializer(client, path)))
    path.unlink()  # where it is unpickled there may be none
    keys.close()
    assert schema_id(values(ONE, value("orders"))) == 1


# -- threads -----------------------------------------------------------------------------------


def test_threads_share_a_serializer_and_a_registration(
    schema_registry: SchemaRegistryServer, serializer: AvroSerializer
) -> None:
    threads = 16
    together = threading.Barrier(threads)
    topics = ["a", "b", "c"]

    def work(number: int) -> list[int]:
        together.wait(30)
        return [schema_id(serializer(ONE, value(topics[(number + i) % 3]))) for i in range(60)]

    with ThreadPoolExecutor(threads) as pool:
        assert {one for ids in pool.map(work, range(threads)) for one in ids} == {1}
    assert sorted(subjects(schema_registry)) == ["a-value", "b-value", "c-value"]


def test_threads_at_the_same_first_message_make_one_request(
    schema_registry: SchemaRegistryServer, serializer: AvroSerializer
) -> None:
    threads = 8
    asked = threading.Event()
    released = threading.Event()

    def hold(exchange: Exchange) -> None:
        asked.set()
        assert released.wait(30)
        exchange.send(exchange.real_answer())

    schema_registry.fail_next(Fault("hold", hold))
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(serializer, ONE, value("orders")) for _ in range(threads)]
        assert asked.wait(30)
        released.set()
        assert {schema_id(one.result(30)) for one in waiting} == {1}
    assert len(schema_registry.requests) == 1


def test_threads_under_a_small_capacity_never_miss(schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url, "cache.capacity": 1}, ORDER) as serializer:
        contexts = [value(f"t{i}") for i in range(4)]

        def work(number: int) -> set[int]:
            return {schema_id(serializer(ONE, contexts[(number + i) % 4])) for i in range(20)}

        with ThreadPoolExecutor(8) as pool:
            assert set().union(*pool.map(work, range(8))) == {1}


# -- fork --------------------------------------------------------------------------------------

FORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from confluent_kafka.serialization import SerializationContext
from kafka_sr_retry import AvroSerializer
serializer = AvroSerializer({"url": sys.argv[1]}, '{"type":"long"}')
serializer(1, SerializationContext("parent", "value"))
child = os.fork()
if not child:
    message = serializer(1, SerializationContext("parent", "value"))
    message += serializer(1, SerializationContext("child", "value"))
    os._exit(0 if message == 2 * bytes([0, 0, 0, 0, 1, 2]) else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
serializer(1, SerializationContext("afterwards", "value"))
sys.exit(status)
"""

FORK_IN_A_REQUEST = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from confluent_kafka.serialization import SerializationContext
from kafka_sr_retry import AvroSerializer
serializer = AvroSerializer({"url": sys.argv[1], "max.in.flight": 1}, '{"type":"long"}')
serializer(1, SerializationContext("parent", "value"))
waiting = threading.Thread(target=serializer, args=(1, SerializationContext("held", "value")), daemon=True)
waiting.start()
sys.stdin.readline()
child = os.fork()
if not child:
    message = serializer(1, SerializationContext("child", "value"))
    message += serializer(1, SerializationContext("held", "value"))
    os._exit(0 if message == 2 * bytes([0, 0, 0, 0, 1, 2]) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

# A subject's hash is taken while the serializer's memory is locked: there another thread stands still at the fork.
FORK_IN_A_LOCK = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from confluent_kafka.serialization import SerializationContext
from kafka_sr_retry import AvroSerializer
inside = threading.Event()
class Subject(str):
    def __hash__(self):
        if sys._getframe(1).f_code.co_name == "remember":
            inside.set()
            threading.Event().wait()
        return str.__hash__(self)
serializer = AvroSerializer({"url": sys.argv[1]}, '{"type":"long"}', None,
                            {"subject.name.strategy": lambda ctx, name: ctx.topic})
def stand_still():
    serializer(1, SerializationContext(Subject("held"), "value"))
threading.Thread(target=stand_still, daemon=True).start()
inside.wait()
child = os.fork()
if not child:
    signal.alarm(10)
    message = serializer(1, SerializationContext("child", "value"))
    os._exit(0 if message == bytes([0, 0, 0, 0, 1, 2]) else 1)
os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def run(code: str, url: str) -> int:
    return subprocess.run([sys.executable, "-c", code, url], timeout=60, check=False).returncode


@forks
def test_a_forked_child_knows_and_learns(schema_registry: SchemaRegistryServer) -> None:
    assert run(FORK, schema_registry.url) == 0
    assert subjects(schema_registry) == ["parent-value", "child-value", "afterwards-value"]


@forks
def test_a_fork_during_a_request_does_not_hold_the_child(schema_registry: SchemaRegistryServer) -> None:
    arrived = threading.Event()

    def never(exchange: Exchange) -> None:
        arrived.set()
        exchange.wait(None)

    schema_registry.fail_next(Fault("never", never), matching=lambda request: "held" in request.path)
    parent = subprocess.Popen(
        [sys.executable, "-c", FORK_IN_A_REQUEST, schema_registry.url], stdin=subprocess.PIPE, text=True
    )
    assert arrived.wait(60)
    parent.communicate("go\n", timeout=60)
    assert parent.returncode == 0
    assert subjects(schema_registry) == ["parent-value", "held-value", "child-value", "held-value"]


@forks
def test_a_lock_held_at_the_fork_does_not_hold_the_child(schema_registry: SchemaRegistryServer) -> None:
    assert run(FORK_IN_A_LOCK, schema_registry.url) == 0
    assert "child" in subjects(schema_registry)


def test_a_schema_of_many_topics_is_compiled_once(schema_registry: SchemaRegistryServer) -> None:
    def compiled() -> int:
        return sum(name.startswith("<writer") for name in linecache.cache)

    with AvroSerializer({"url": schema_registry.url}, ORDER) as serializer:
        before = compiled()
        written = {serializer(ONE, context(topic)) for topic in "abcde" for context in (key, value)}
        assert compiled() <= before + 1  # another test's serializer may have it still
    assert written == {b"\0\0\0\0\1\2"}
    assert len(schema_registry.registrations) == 10


def test_a_schema_with_another_id_elsewhere_is_written_with_that(schema_registry: SchemaRegistryServer) -> None:
    def its_own(exchange: Exchange) -> None:
        answer(200, f'{{"id":{ord(exchange.request.path[10])}}}').play(exchange)

    schema_registry.fail_always(Fault("an id for each topic", its_own))
    with AvroSerializer({"url": schema_registry.url}, ORDER) as serializer:
        assert [serializer(ONE, value(topic)) for topic in "ab"] == [b"\0\0\0\0\x61\2", b"\0\0\0\0\x62\2"]


# The registry is another process, whose memory is not counted.
MEMORY = """
import gc, json, sys, tracemalloc
from confluent_kafka.serialization import SerializationContext
from kafka_sr_retry import AvroSerializer
fields = [{"name": f"field_{number:02}", "type": "long", "doc": "d" * 34} for number in range(12)]
schema = json.dumps({"type": "record", "name": "Order", "fields": fields})
order = {field["name"]: 1 for field in fields}
serializer = AvroSerializer({"url": sys.argv[1]}, schema)
def known(numbers):
    for number in numbers:
        serializer(order, SerializationContext(f"topic-{number}", "value"))
    gc.collect()
known(range(50))
tracemalloc.start()
known(range(50, 350))
print(len(schema), tracemalloc.get_traced_memory()[0] / 300)
"""


def test_what_a_known_subject_takes(schema_registry: SchemaRegistryServer) -> None:
    command = [sys.executable, "-c", MEMORY, schema_registry.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    characters, taken = map(float, done.stdout.split())
    assert 1000 < characters < 1100
    assert 300 < taken < 1800, "0.9 KB, as docs/operations.md has it"


WITHOUT = """
import sys
missing = ["attr", "authlib", "cachetools", "confluent_kafka.schema_registry", "httpx", "httpx2"]
sys.modules |= dict.fromkeys(missing)  # to import them fails
from kafka_sr_retry import AvroSerializer
from confluent_kafka.serialization import SerializationContext
LATEST = {"auto.register.schemas": False, "use.latest.version": True}
for schema, conf in ('{"type":"long"}', None), (None, LATEST):
    serializer = AvroSerializer({"url": sys.argv[1]}, schema, None, conf)
    assert serializer(1, SerializationContext("orders", "value")) == bytes([0, 0, 0, 0, 1, 2])
"""


def test_a_message_needs_nothing_of_confluents_extra(schema_registry: SchemaRegistryServer) -> None:
    assert run(WITHOUT, schema_registry.url) == 0
