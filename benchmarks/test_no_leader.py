"""What the first message waits when the registry answers 50003 twice and then serves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry.avro import AvroSerializer as ConfluentSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer
from kafka_sr_retry.testing import SchemaRegistryServer, faults

SCHEMA = {"type": "record", "name": "Reading", "fields": [{"name": "count", "type": "long"}]}
ROUNDS = 20

pytestmark = pytest.mark.benchmark(group="50003 twice, then 200")


def measure(benchmark: Any, serializer_for: Callable[[str], Any]) -> None:
    with SchemaRegistryServer() as registry:
        serialize = serializer_for(registry.url)
        topics = (f"topic-{number}" for number in itertools.count())

        def one_more() -> tuple[Any, ...]:
            registry.fail_next(faults.no_leader(), faults.no_leader())
            return ({"count": 1}, SerializationContext(next(topics), MessageField.VALUE)), {}

        benchmark.pedantic(serialize, setup=one_more, rounds=ROUNDS, iterations=1)
        assert len(registry.requests) == 3 * ROUNDS
        assert all(len(request.body) == int(request.headers["Content-Length"]) > 0 for request in registry.requests)


def test_confluent(benchmark: Any) -> None:
    with ExitStack() as closing:

        def serializer_for(url: str) -> ConfluentSerializer:
            client = closing.enter_context(ConfluentClient({"url": url}))
            return ConfluentSerializer(client, json.dumps(SCHEMA), conf={"subject.name.strategy.type": "TOPIC"})

        measure(benchmark, serializer_for)


def test_ours(benchmark: Any) -> None:
    with ExitStack() as closing:
        measure(benchmark, lambda url: closing.enter_context(AvroSerializer({"url": url}, SCHEMA)))
