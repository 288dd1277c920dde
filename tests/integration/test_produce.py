"""Messages through a real Kafka and a real registry, with faults put on the wire between them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, SerializingProducer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.error import ValueSerializationError
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder, IncompatibleSchemaError
from kafka_sr_retry.testing import SchemaRegistryServer, faults

ORDERS = [{"id": f"order-{number}", "amount": number} for number in range(20)]


def order_schema(kind: str = "long") -> dict[str, Any]:
    fields = [{"name": "id", "type": "string"}, {"name": "amount", "type": kind}]
    return {"type": "record", "name": "Order", "namespace": "shop", "fields": fields}


@pytest.fixture
def topic(kafka_bootstrap_servers: str) -> str:
    name = f"orders-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap_servers})
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name


@pytest.fixture
def proxy(registry_url: str) -> Iterator[SchemaRegistryServer]:
    """The real registry, behind a door where faults can be put."""
    with SchemaRegistryServer(upstream=registry_url) as server:
        yield server


def read_back(bootstrap_servers: str, registry_url: str, topic: str, count: int) -> list[tuple[Any, Any]]:
    """Keys and values as Confluent's own deserializer sees them, asking the registry itself."""
    client = ConfluentClient({"url": registry_url})
    deserialize = AvroDeserializer(client)
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    read = []
    try:
        while len(read) < count:
            message = consumer.poll(30)
            assert message is not None, f"{len(read)} of {count} messages came"
            if message.error():
                raise KafkaException(message.error())
            key = deserialize(message.key(), SerializationContext(topic, MessageField.KEY))
            read.append((key, deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))))
    finally:
        consumer.close()
        client.close()
    return read


FAULTS = {
    "no leader twice": ([faults.no_leader(), faults.no_leader()], {}),
    "unavailable": ([faults.error(503), faults.html(502)], {}),
    "reset": ([faults.reset(), faults.close_connection()], {}),
    "hang": ([faults.hang()], {"request.timeout.ms": 500}),
    "done, but the answer is lost": ([faults.swallow()], {}),
    "truncated": ([faults.truncate()], {}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_message_arrives_although_the_registry_failed_first(
    fault: str, kafka_bootstrap_servers: str, registry_url: str, proxy: SchemaRegistryServer, topic: str
) -> None:
    injected, conf = FAULTS[fault]
    proxy.fail_next(*injected)
    producer = SerializingProducer(
        {
            "bootstrap.servers": kafka_bootstrap_servers,
            "key.serializer": AvroSerializer({"url": proxy.url, **conf}, '"string"'),
            "value.serializer": AvroSerializer({"url": proxy.url, **conf}, order_schema()),
        }
    )
    for order in ORDERS:
        producer.produce(topic, order["id"], order)
    assert producer.flush(30) == 0

    assert read_back(kafka_bootstrap_servers, registry_url, topic, len(ORDERS)) == [(o["id"], o) for o in ORDERS]
    assert len(proxy.registrations) == 2 + len(injected)
    for path in {request.path for request in proxy.registrations}:
        bodies = {request.body for request in proxy.registrations if request.path == path}
        assert len(bodies) == 1
        assert json.loads(bodies.pop())["schema"]


def test_the_builder_reads_the_producers_own_dict(
    kafka_bootstrap_servers: str, registry_url: str, proxy: SchemaRegistryServer, topic: str
) -> None:
    proxy.fail_next(faults.no_leader())
    with SerializingProducer(
        {
            "bootstrap.servers": kafka_bootstrap_servers,
            "schema.registry.url": proxy.url,
            "key.serializer.builder": AvroSerializerBuilder(schema='"string"'),
            "value.serializer.builder": AvroSerializerBuilder(schema=order_schema()),
        }
    ) as producer:
        producer.produce(topic, "order-0", ORDERS[0])
        assert producer.flush(30) == 0
    assert read_back(kafka_bootstrap_servers, registry_url, topic, 1) == [("order-0", ORDERS[0])]


def test_the_second_registry_serves_while_the_first_hangs(
    kafka_bootstrap_servers: str, registry_url: str, proxy: SchemaRegistryServer, topic: str
) -> None:
    proxy.fail_always(faults.hang())
    serializer, conf = AvroSerializer.from_config(
        {
            "bootstrap.servers": kafka_bootstrap_servers,
            "schema.registry.url": [proxy.url, registry_url],
            "schema.registry.request.timeout.ms": 500,
        },
        order_schema(),
    )
    producer = Producer(conf)
    for order in ORDERS:
        producer.produce(topic, serializer(order, SerializationContext(topic, MessageField.VALUE)))
    assert producer.flush(30) == 0
    serializer.close()
    assert [value for _, value in read_back(kafka_bootstrap_servers, registry_url, topic, len(ORDERS))] == ORDERS
    assert len(proxy.requests) == 1


def test_a_schema_that_breaks_the_real_rules_is_refused_and_sends_nothing(
    kafka_bootstrap_servers: str, registry_url: str, topic: str
) -> None:
    subject = f"{topic}-value"
    client = ConfluentClient({"url": registry_url})
    AvroSerializer({"url": registry_url}, order_schema())(ORDERS[0], SerializationContext(topic, MessageField.VALUE))
    client.set_compatibility(subject, "BACKWARD")
    client.close()
    producer = SerializingProducer(
        {
            "bootstrap.servers": kafka_bootstrap_servers,
            "value.serializer": AvroSerializer({"url": registry_url}, order_schema("string")),
        }
    )
    with pytest.raises(ValueSerializationError) as raised:
        producer.produce(topic, None, {"id": "a", "amount": "1"})
    assert isinstance(raised.value.exception, IncompatibleSchemaError)
    assert raised.value.exception.http_status_code == 409
    assert producer.flush(30) == 0
    assert len(producer) == 0
