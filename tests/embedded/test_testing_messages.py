"""What was produced is read back, decoded; and what is not decodable is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, Schema, SchemaReference, header_schema_id_serializer
from kafka_sr_retry.testing import (
    KafkaMockCluster,
    ReceivedMessage,
    SchemaRegistryCluster,
    SchemaRegistryServer,
    hang,
    read_messages,
)

ITEM = '{"type": "record", "name": "shop.Item", "fields": [{"name": "name", "type": "string"}]}'
ORDER = '{"type": "record", "name": "shop.Order", "fields": [{"name": "item", "type": "shop.Item"}]}'


def send(cluster: KafkaMockCluster, topic: str, *messages: tuple[bytes | None, bytes | None]) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})
    for key, value in messages:
        producer.produce(topic, value, key, partition=2)
    assert producer.flush(20) == 0


def test_messages_come_back_decoded_in_their_order(
    kafka_cluster: KafkaMockCluster,
    schema_registry: SchemaRegistryServer,
    kafka_messages: Callable[[str], list[ReceivedMessage]],
) -> None:
    schema_registry.register("shop-item", ITEM)
    order = Schema(ORDER, references=[SchemaReference("shop.Item", "shop-item", 1)])
    with AvroSerializer({"url": schema_registry.url}, order) as serializer:
        ctx = SerializationContext("decoded", MessageField.VALUE)
        values = [serializer({"item": {"name": name}}, ctx) for name in ("tea", "coffee")]
    asked = len(schema_registry.requests)
    schema_registry.fail_always(hang())  # what reads asks nobody over HTTP
    send(kafka_cluster, "decoded", (b"plain", values[0]), (None, values[1]), (b"gone", None))

    found = kafka_messages("decoded")

    assert [(m.key, m.value) for m in found] == [
        (b"plain", {"item": {"name": "tea"}}),
        (None, {"item": {"name": "coffee"}}),
        (b"gone", None),
    ]
    assert [(m.topic, m.partition, m.offset, m.value_schema_id) for m in found] == [
        ("decoded", 2, 0, 2),
        ("decoded", 2, 1, 2),
        ("decoded", 2, 2, None),
    ]
    assert found[0].decoded[1].subject == "decoded-value"
    assert len(schema_registry.requests) == asked


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"\0\0\0\0\7\6tea", r"the value of wrong-9\[2\]@0: its schema: .*40403"),
        (b"\0\0\0\0\1\6te", r"not of its schema"),
        (b"\0\0\0\0\1\6teas", r"1 bytes are left over"),
    ],
)
def test_what_cannot_be_decoded_is_an_error_that_names_the_message(
    value: bytes, told: str, kafka_cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer
) -> None:
    topic = f"wrong-{len(value)}"
    schema_registry.register(f"{topic}-value", '"string"')
    send(kafka_cluster, topic, (None, value))
    with pytest.raises(ValueError, match=told):
        kafka_cluster.messages(topic, schema_registry)


def test_ids_in_headers_and_a_registry_behind_a_proxy_are_read_too(kafka_cluster: KafkaMockCluster) -> None:
    with SchemaRegistryServer(full_answers=True) as real, SchemaRegistryServer(upstream=real.url) as proxy:
        conf = {"schema.id.serializer": header_schema_id_serializer}
        headers: list[tuple[str, bytes]] = []
        with AvroSerializer({"url": real.url}, '"string"', conf=conf) as serializer:
            value = serializer("tea", SerializationContext("in-headers", MessageField.VALUE, headers))
        producer = Producer({"bootstrap.servers": kafka_cluster.bootstrap_servers})
        producer.produce("in-headers", value, headers=headers)
        assert producer.flush(20) == 0
        for registry in (real, proxy):
            (message,) = read_messages(kafka_cluster.bootstrap_servers, "in-headers", registry)
            assert message.value == "tea"
            assert message.headers == tuple(headers)


def test_two_registries_give_different_ids(
    schema_registries: tuple[SchemaRegistryServer, SchemaRegistryServer],
) -> None:
    assert [each.register("orders-value", '"string"') for each in schema_registries] == [1, 1001]


def test_two_nodes_know_the_same(schema_registry_cluster: SchemaRegistryCluster) -> None:
    schema_registry_cluster.leader.register("orders-value", '"string"')
    assert schema_registry_cluster.follower.get("/subjects") == ["orders-value"]
    with pytest.raises(LookupError, match="40401"):
        schema_registry_cluster.follower.get("/subjects/none/versions")


def test_an_empty_topic_has_no_messages(
    kafka_messages: Callable[[str], list[ReceivedMessage]], schema_registry: SchemaRegistryServer
) -> None:
    assert kafka_messages("empty") == []


def test_json_schema_is_decoded_and_protobuf_is_not(
    kafka_cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer
) -> None:
    for number, (kind, text) in enumerate((("JSON", "{}"), ("PROTOBUF", 'syntax = "proto3"; message M {}')), 1):
        schema = {"schema": text, "schemaType": kind}
        body = json.dumps(schema).encode()
        url = f"{schema_registry.url}/subjects/{kind}/versions"
        urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=20).close()
        send(kafka_cluster, f"kind-{number}", (None, b"\0\0\0\0" + bytes([number]) + b'{"id": 1}'))
    (message,) = kafka_cluster.messages("kind-1", schema_registry)
    assert message.value == {"id": 1}
    with pytest.raises(ValueError, match="PROTOBUF is not decoded here"):
        kafka_cluster.messages("kind-2", schema_registry)


def test_what_is_no_registry_is_refused_before_anything_is_read() -> None:
    with pytest.raises(TypeError, match="a registry is a SchemaRegistryServer, as a cluster's nodes"):
        read_messages("127.0.0.1:1", "topic", "http://127.0.0.1:1")  # type: ignore[arg-type]
