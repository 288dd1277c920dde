"""Messages that were not sent, each counted once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from prometheus_client import CollectorRegistry
from waiting import until

from kafka_sr_retry import AsyncAvroSerializer, AvroSerializer, SchemaRegistryClient
from kafka_sr_retry.events import Event, MessageFailedEvent, RefusalEvent
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
from kafka_sr_retry.testing import SchemaRegistryServer, error

ORDER = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
VALUE = SerializationContext("orders", MessageField.VALUE)
KEY = SerializationContext("orders", MessageField.KEY)


class World:
    def __init__(self, server: SchemaRegistryServer) -> None:
        self.server = server
        self.metrics = CollectorRegistry()
        self.events: list[Event] = []
        listeners = [PrometheusInstrumentation(self.metrics), self.events.append]
        self.client = SchemaRegistryClient({"url": server.url, "event_cb": listeners, "max.retries": 0})

    def failed(self) -> dict[str, float]:
        """By reason."""
        samples = [sample for family in self.metrics.collect() for sample in family.samples]
        found = [each for each in samples if each.name == "kafka_sr_retry_failed_messages_total" and each.value]
        return {each.labels["reason"]: each.value for each in found}


@pytest.fixture
def world(schema_registry: SchemaRegistryServer) -> Iterator[World]:
    world = World(schema_registry)
    with world.client:
        yield world


def test_a_thousand_messages_of_one_remembered_refusal_count_as_a_thousand(world: World) -> None:
    world.server.fail_always(error(409))
    serializer = AvroSerializer(world.client, ORDER)
    for _ in range(1000):
        with pytest.raises(SerializationError):
            serializer({"id": 1}, VALUE)

    assert world.failed() == {"incompatible": 1000}
    assert len(world.server.requests) == len([each for each in world.events if isinstance(each, RefusalEvent)]) == 1


def test_a_message_that_is_sent_tells_nothing(world: World) -> None:
    serializer = AvroSerializer(world.client, ORDER)
    for _ in range(3):
        serializer({"id": 1}, VALUE)
        serializer(None, VALUE)
    known = len(world.events)
    serializer({"id": 1}, VALUE)

    assert len(world.events) == known
    assert world.failed() == {}


def to_dict_that_fails(*_: object) -> Any:
    raise RuntimeError("no dict")


def test_each_reason_has_its_name(world: World) -> None:
    def fail(obj: Any, ctx: Any = VALUE, **more: Any) -> None:
        with pytest.raises((SerializationError, RuntimeError)):
            AvroSerializer(world.client, ORDER, **more)(obj, ctx)

    fail({"id": "a text"})
    fail({"id": 1}, KEY, to_dict=to_dict_that_fails)
    fail({"id": 1}, conf={"subject.name.strategy": lambda *_: ""})
    world.server.fail_next(error(503))
    fail({"id": 1}, SerializationContext("given-up", MessageField.VALUE))

    assert world.failed() == {"misfit": 1, "other": 2, "server_error": 1}
    told = [each for each in world.events if isinstance(each, MessageFailedEvent)]
    assert [(each.topic, each.field, each.reason) for each in told] == [
        ("orders", "value", "misfit"),
        ("orders", "key", "other"),
        ("orders", "value", "other"),
        ("given-up", "value", "server_error"),
    ]
    assert told[0].asked == "serialize the value of a message to topic 'orders'"


def test_so_do_messages_of_an_awaited_serializer(world: World) -> None:
    async def main() -> None:
        serializer = AsyncAvroSerializer(world.client, ORDER)
        with pytest.raises(SerializationError):
            serializer.bind("unknown")({"id": 1})
        await serializer({"id": 1}, VALUE)
        for write in (lambda: serializer({"id": "a text"}, VALUE), lambda: serializer({"id": 1}, KEY)):
            world.server.fail_always(error(422, 42201))
            with pytest.raises(SerializationError):
                await write()
        with pytest.raises(SerializationError):
            serializer.bind("orders")({"id": "a text"})

    asyncio.run(main())
    assert world.failed() == {"other": 1, "misfit": 2, "invalid": 1}


def test_a_bound_serializer_counts_once(world: World) -> None:
    bound = AvroSerializer(world.client, ORDER).bind("orders")
    with pytest.raises(SerializationError):
        bound({"id": "a text"})
    with pytest.raises(SerializationError):
        bound.serialize("orders", {"id": "a text"})

    assert world.failed() == {"misfit": 2}


def test_a_task_that_is_cancelled_has_not_failed(world: World) -> None:
    world.server.delay = 1

    async def main() -> None:
        task = asyncio.create_task(AsyncAvroSerializer(world.client, ORDER)({"id": 1}, VALUE))
        while not world.server.requests and not task.done():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    until(lambda: world.client.state().waiting == 0)  # the question goes on for others
    assert world.failed() == {}
