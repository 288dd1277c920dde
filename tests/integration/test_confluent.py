"""Confluent's serializers and admin calls on our transport, with a real registry behind the faults."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import confluent_kafka.schema_registry as confluent
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.schema_registry.rules.cel.cel_executor import CelExecutor
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import kafka_sr_retry
from kafka_sr_retry.confluent import SchemaRegistryClient
from kafka_sr_retry.testing import Exchange, Fault, SchemaRegistryServer, error, html, no_leader, reset, swallow

AVRO = '{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"long"}]}'
JSON = '{"type":"object","title":"Order","properties":{"id":{"type":"integer"}},"required":["id"]}'
ONE = {"id": 1}
TOPIC = {"subject.name.strategy": confluent.topic_subject_name_strategy}
ASKED = {**TOPIC, "auto.register.schemas": False}

FAULTS: dict[str, list[Fault]] = {
    "no leader twice": [no_leader(), no_leader()],
    "unavailable twice": [error(503), html(503)],
    "done, but the answers are lost": [swallow(), swallow()],
    "resets": [reset(), reset()],
}


@pytest.fixture
def proxy(registry_url: str) -> Iterator[SchemaRegistryServer]:
    """The real registry, behind a door where faults can be put."""
    with SchemaRegistryServer(upstream=registry_url) as server:
        yield server


@pytest.fixture
def client(proxy: SchemaRegistryServer) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": proxy.url, "retries.wait.ms": 5}) as made:
        yield made


@pytest.fixture
def orders() -> SerializationContext:
    return SerializationContext(f"orders-{uuid.uuid4().hex[:8]}", MessageField.VALUE)


@pytest.fixture(params=FAULTS)
def faults(request: pytest.FixtureRequest) -> list[Fault]:
    return FAULTS[request.param]


def json_case(client: SchemaRegistryClient) -> tuple[Any, Any, Any]:
    return JSONSerializer(JSON, client, conf=TOPIC), JSONDeserializer(JSON), ONE


def avro_case(client: SchemaRegistryClient) -> tuple[Any, Any, Any]:
    return AvroSerializer(client, AVRO, conf=TOPIC), AvroDeserializer(client, conf=TOPIC), ONE


def protobuf_case(client: SchemaRegistryClient) -> tuple[Any, Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    field = file.message_type.add(name="Order").field.add(name="id", number=1)
    field.type, field.label = field.TYPE_INT64, field.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    order = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))
    conf = {"use.deprecated.format": False}
    return ProtobufSerializer(order, client, TOPIC | conf), ProtobufDeserializer(order, conf), order(id=1)


def assert_whole(proxy: SchemaRegistryServer, sent: int) -> None:
    """The same request went out so often, with the same whole body."""
    assert len(proxy.requests) == sent
    assert len({(r.method, r.path, r.body) for r in proxy.requests}) == 1
    assert proxy.requests[0].method in ("GET", "DELETE") or json.loads(proxy.requests[0].body)


@pytest.mark.parametrize("case", [json_case, avro_case, protobuf_case])
def test_a_message_of_every_format_arrives(
    kafka_bootstrap_servers: str,
    proxy: SchemaRegistryServer,
    client: SchemaRegistryClient,
    orders: SerializationContext,
    faults: list[Fault],
    case: Callable[..., Any],
) -> None:
    serializer, deserializer, order = case(client)
    proxy.fail_next(*faults)
    message = serializer(order, orders)
    assert_whole(proxy, sent=3)
    producer = Producer({"bootstrap.servers": kafka_bootstrap_servers})
    producer.produce(orders.topic, message)
    assert producer.flush(30) == 0
    conf = {"bootstrap.servers": kafka_bootstrap_servers, "group.id": orders.topic, "auto.offset.reset": "earliest"}
    consumer = Consumer(conf)
    try:
        consumer.subscribe([orders.topic])
        received = consumer.poll(30)
        assert received is not None
        assert received.error() is None
        assert deserializer(received.value(), orders) == order
    finally:
        consumer.close()


@pytest.mark.parametrize("conf", [{}, {"use.latest.version": True}])
def test_what_is_registered_is_found(
    proxy: SchemaRegistryServer,
    client: SchemaRegistryClient,
    orders: SerializationContext,
    faults: list[Fault],
    conf: dict[str, Any],
) -> None:
    known = client.register_schema(f"{orders.topic}-value", confluent.Schema(AVRO, "AVRO"))
    proxy.clear_requests()
    serializer = AvroSerializer(client, AVRO, conf=ASKED | conf)
    proxy.fail_next(*faults)
    assert serializer(ONE, orders) == b"\0" + known.to_bytes(4, "big") + b"\2"
    assert_whole(proxy, sent=3)


def test_use_schema_id(
    proxy: SchemaRegistryServer, client: SchemaRegistryClient, orders: SerializationContext, faults: list[Fault]
) -> None:
    known = client.register_schema(f"{orders.topic}-value", confluent.Schema(AVRO, "AVRO"))
    client.clear_caches()
    serializer = AvroSerializer(client, conf=ASKED | {"use.schema.id": known})
    proxy.fail_next(*faults)
    assert serializer(ONE, orders) == b"\0" + known.to_bytes(4, "big") + b"\2"


def test_a_condition_of_the_schema_is_applied(
    proxy: SchemaRegistryServer, client: SchemaRegistryClient, orders: SerializationContext, faults: list[Fault]
) -> None:
    CelExecutor.register()
    rule = {"name": "check", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": "message.id > 0"}
    schema = confluent.Schema.from_dict({"schema": AVRO, "ruleSet": {"domainRules": [rule]}})
    known = client.register_schema(f"{orders.topic}-value", schema)
    proxy.clear_requests()

    def add_rules(exchange: Exchange) -> None:
        """Not every real registry keeps rules."""
        real = exchange.real_answer()
        body = json.loads(real.body) | {"ruleSet": {"domainRules": [rule]}}
        exchange.send(type(real)(real.status, json.dumps(body).encode()))

    proxy.fail_next(*faults, Fault("add_rules()", add_rules))
    serializer = AvroSerializer(client, conf=ASKED | {"use.latest.version": True})
    assert serializer(ONE, orders) == b"\0" + known.to_bytes(4, "big") + b"\2"
    assert_whole(proxy, sent=3)
    with pytest.raises(SerializationError) as caught:
        serializer({"id": -1}, orders)
    assert "message.id > 0" in str(caught.value.__cause__)


def test_admin_calls_get_through(
    proxy: SchemaRegistryServer, client: SchemaRegistryClient, orders: SerializationContext
) -> None:
    subject = f"{orders.topic}-value"
    schema = confluent.Schema(AVRO, "AVRO")
    known = client.register_schema(subject, schema)
    calls: list[tuple[Callable[[], Any], Any]] = [
        (lambda: subject in client.get_subjects(), True),
        (lambda: client.get_versions(subject), [1]),
        (lambda: client.get_version(subject, 1).schema_id, known),
        (lambda: [v.subject for v in client.get_schema_versions(known)].count(subject), 1),
        (lambda: "AVRO" in client.get_schema_types(), True),
        (lambda: "FULL" in client.set_compatibility(subject, "FULL").values(), True),
        (lambda: client.get_compatibility(subject), "FULL"),
        (lambda: client.test_compatibility(subject, schema), True),
        (lambda: client.delete_subject(subject), [1]),
    ]
    for call, expected in calls:
        proxy.clear_requests()
        proxy.fail_next(no_leader(), error(503))
        assert call() == expected
        assert_whole(proxy, sent=3)
    with pytest.raises(confluent.SchemaRegistryError) as caught:
        client.get_versions(subject)
    assert isinstance(caught.value, kafka_sr_retry.SchemaNotFoundError)
    assert (caught.value.http_status_code, caught.value.error_code) == (404, 40401)


def test_a_final_409_keeps_confluents_attributes(
    proxy: SchemaRegistryServer, client: SchemaRegistryClient, orders: SerializationContext, faults: list[Fault]
) -> None:
    client.register_schema(f"{orders.topic}-value", confluent.Schema('"string"', "AVRO"))
    client.set_compatibility(f"{orders.topic}-value", "BACKWARD")
    proxy.clear_requests()
    proxy.fail_next(*faults)
    with pytest.raises(confluent.SchemaRegistryError) as caught:
        AvroSerializer(client, AVRO, conf=TOPIC)(ONE, orders)
    assert isinstance(caught.value, kafka_sr_retry.IncompatibleSchemaError)
    assert (caught.value.http_status_code, caught.value.error_code, caught.value.attempts) == (409, 409, 3)
    assert "ncompatible" in caught.value.error_message
    assert_whole(proxy, sent=3)
