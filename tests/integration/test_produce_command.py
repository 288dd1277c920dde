"""``kafka-sr-retry produce`` to a real Kafka and a real registry."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from typer.testing import CliRunner

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.testing import SchemaRegistryServer, no_leader

ORDER = {
    "type": "record",
    "name": "shop.Order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ],
}


@pytest.fixture
def topic(kafka_bootstrap_servers: str) -> str:
    name = f"orders-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap_servers})
    admin.create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": "200000"})])[name].result(30)
    return name


def run(servers: str, registry: str, *args: object) -> tuple[int, Any, str]:
    environment = {"KAFKA_BOOTSTRAP_SERVERS": servers, "SCHEMA_REGISTRY_URL": registry}
    result = CliRunner().invoke(app, ["produce", "--json", *map(str, args)], env=environment)
    told = json.loads(result.stdout) if result.stdout else None
    if told:
        assert told["read"] == told["delivered"] + told["failed"]
    return result.exit_code, told, result.stderr


def test_a_file_arrives_through_an_election_as_confluents_deserializer_reads_it(
    tmp_path: Path, kafka_bootstrap_servers: str, registry_url: str, proxy: SchemaRegistryServer, topic: str
) -> None:
    schema, data = tmp_path / "order.avsc", tmp_path / "orders.jsonl"
    schema.write_text(json.dumps(ORDER))
    lines = [{"id": f"o{n}", "at": "2026-11-27T09:30:00Z", "total": n / 4} for n in range(5000)]
    lines[7] = {**lines[7], "id": "x" * 300_000}  # librdkafka takes it, the broker does not
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    proxy.fail_next(no_leader(), no_leader())

    options = ("--topic", topic, "--schema", schema, "--key-field", "id", "--errors", tmp_path / "errors", data)
    resume = ("--resume", tmp_path / "state")
    code, told, err = run(kafka_bootstrap_servers, proxy.url, *options, *resume)
    assert (code, told["ended"]) == (3, "failure")  # with that message the broker has refused others
    assert "-X message.max.bytes=NUMBER" in err
    done = json.loads((tmp_path / "state").read_text())["lines"]
    assert done <= 7

    (tmp_path / "errors").unlink()
    code, told, _ = run(kafka_bootstrap_servers, proxy.url, *options, *resume, "-X", "message.max.bytes=200000")
    assert (code, told["read"], told["failed"]) == (1, 5000 - done, 1)
    assert json.loads((tmp_path / "errors").read_text())["line"] == 8

    client = SchemaRegistryClient({"url": registry_url})
    deserialize = AvroDeserializer(client)
    consumer = Consumer({"bootstrap.servers": kafka_bootstrap_servers, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        missing = {*range(5000)} - {7}
        while missing:
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            value = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
            assert isinstance(value, dict)
            assert message.key() == value["id"].encode()
            number = int(value["id"][1:])
            assert float(value["total"]) == number / 4
            assert value["at"].isoformat() == "2026-11-27T09:30:00+00:00"
            missing -= {number}
    finally:
        consumer.close()
        client._rest_client.session.close()


def test_a_topic_that_does_not_exist_ends_it_with_every_line_reported(
    tmp_path: Path, kafka_bootstrap_servers: str, registry_url: str
) -> None:
    schema, data = tmp_path / "text.avsc", tmp_path / "texts.jsonl"
    schema.write_text('"string"')
    data.write_text('"a"\n' * 10)
    name = f"no/topic-{uuid.uuid4().hex[:8]}"  # no broker makes one of this name
    options = ("--topic", name, "--schema", schema, "--errors", tmp_path / "errors")
    code, told, err = run(kafka_bootstrap_servers, registry_url, *options, "-X", "message.timeout.ms=20000", data)
    assert (code, told["delivered"], told["failed"]) == (3, 0, 10)
    assert "stopped: Kafka: " in err
    assert len((tmp_path / "errors").read_text().splitlines()) == 10
