"""What a message costs on a good day: the schema's id is known, no request is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry.avro import AvroSerializer as ConfluentSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro import parse_schema, schemaless_writer

from kafka_sr_retry import AvroSerializer
from kafka_sr_retry.testing import SchemaRegistryServer

SCHEMA = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "station", "type": "string"},
        {"name": "date", "type": "string"},
        {"name": "count", "type": "long"},
    ],
}
RECORD = {"station": "Seattle-Tacoma", "date": "2010-01-01 00:00", "count": 39_300}
CONTEXT = SerializationContext("readings", MessageField.VALUE)

pytestmark = pytest.mark.benchmark(group="a record of two strings and a long", warmup=True, min_rounds=50)


@pytest.fixture
def registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        yield server


def measure(benchmark: Any, serialize: Callable[[], bytes]) -> None:
    assert serialize() == b"\0\0\0\0\1" + framed(b"", parse_schema(SCHEMA))
    benchmark.pedantic(serialize, rounds=200, iterations=1000, warmup_rounds=5)


def framed(prefix: bytes, schema: Any) -> bytes:
    out = BytesIO()
    out.write(prefix)
    schemaless_writer(out, schema, RECORD)
    return out.getvalue()


def test_fastavro_behind_a_prefix(benchmark: Any) -> None:
    schema = parse_schema(SCHEMA)

    def serialize() -> bytes:
        out = BytesIO()
        out.write(b"\0\0\0\0\1")
        schemaless_writer(out, schema, RECORD)
        return out.getvalue()

    measure(benchmark, serialize)


def test_confluent(benchmark: Any, registry: SchemaRegistryServer) -> None:
    client = ConfluentClient({"url": registry.url})
    conf = {"subject.name.strategy.type": "TOPIC"}
    serializer = ConfluentSerializer(client, json.dumps(SCHEMA), conf=conf)
    measure(benchmark, lambda: serializer(RECORD, CONTEXT))
    client.close()


def test_ours(benchmark: Any, registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": registry.url}, SCHEMA) as serializer:
        measure(benchmark, lambda: serializer(RECORD, CONTEXT))
