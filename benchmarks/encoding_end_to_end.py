"""What a message costs whoever produces it, with each serializer and through each of confluent-kafka's producers.

CPU of the calling thread while it hands messages over. With asyncio that is the loop's thread, until all are
delivered, as it also takes what comes back. ``process``: CPU of all threads until all are delivered, those of
librdkafka and of ``AIOProducer``'s executor too. The brokers and the registry are in another process.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import repeat
from typing import Any

from confluent_kafka import Producer, SerializingProducer
from confluent_kafka.aio import AIOProducer, AsyncSerializingProducer
from confluent_kafka.schema_registry import AsyncSchemaRegistryClient
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry.avro import AsyncAvroSerializer as AsyncConfluentSerializer
from confluent_kafka.schema_registry.avro import AvroSerializer as ConfluentSerializer
from encoding_contenders import CONFLUENT, CONFLUENTS, CONTEXT, TOPIC, framed, ours, text
from encoding_shapes import Shape
from produce import servers

from kafka_sr_retry import AsyncAvroSerializer

MESSAGES = 10_000
BYTES = "bytes"
PLAIN = {"SerializingProducer": "Producer", "AsyncSerializingProducer": "AIOProducer"}
"""What is beneath each."""

Took = tuple[float, float]
"""Microseconds of a message: of the calling thread, of the process."""


def end_to_end(shape: Shape, rounds: int, kinds: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """By producer and serializer: microseconds, the ratio to bytes by the plain producer in the same round, and what it
    takes more than that with the same serializer."""
    with servers() as environment, contenders(shape, environment["SCHEMA_REGISTRY_URL"], kinds) as found:
        times: dict[tuple[str, str], list[Took]] = {name: [] for name in found}
        for turn in range(rounds + 1):
            for name, produced in found.items():
                gc.collect()
                took = produced(environment["KAFKA_BOOTSTRAP_SERVERS"])
                if turn:  # the first is a warm-up
                    times[name].append(took)
    shown: dict[str, dict[str, dict[str, float]]] = {}
    for (producer, serializer), each in times.items():
        plain = PLAIN.get(producer, producer)
        encoded, beneath = times[plain, BYTES], times[plain, serializer]
        shown.setdefault(producer, {})[serializer] = {
            "us": statistics.median(thread for thread, _ in each),
            "ratio": statistics.median(one[0] / other[0] for one, other in zip(each, encoded, strict=True)),
            "more_us": statistics.median(one[0] - other[0] for one, other in zip(each, beneath, strict=True)),
            "process_us": statistics.median(process for _, process in each),
        }
    return shown


@contextmanager
def contenders(shape: Shape, url: str, kinds: list[str]) -> Iterator[dict[tuple[str, str], Callable[[str], Took]]]:
    message, best = framed(shape.schema)(shape.record, None), kinds[0]
    with ExitStack() as stack:
        client = stack.enter_context(ConfluentClient({"url": url}))
        serializers: dict[str, Any] = {kind: stack.enter_context(ours(kind, shape, {"url": url})) for kind in kinds}
        serializers[CONFLUENT] = ConfluentSerializer(client, json.dumps(shape.schema), conf=CONFLUENTS)
        shorter = {name: serializers[name] for name in (best, CONFLUENT)}
        written = text(best, shape)
        found = {("Producer", BYTES): partial(produced, _bytes, message, None)}
        for name, serializer in serializers.items():
            found["Producer", name] = partial(produced, _plain, shape.record, serializer)
        for name, serializer in shorter.items():
            found["SerializingProducer", name] = partial(produced, _serializing, shape.record, serializer)
        found["AIOProducer", BYTES] = partial(produced_async, _async_bytes, message, None, "", url)
        for name in shorter:
            found["AIOProducer", name] = partial(produced_async, _async_plain, shape.record, name, written, url)
        for name in shorter:
            found["AsyncSerializingProducer", name] = partial(
                produced_async, _async_serializing, shape.record, name, written, url
            )
        yield found


def conf(kafka: str) -> dict[str, Any]:
    return {"bootstrap.servers": kafka, "linger.ms": 5}


# -- threads --------------------------------------------------------------------------------------


def produced(hand_over: Callable[[Any, Any, Any, int], None], value: Any, serializer: Any, kafka: str) -> Took:
    producer: Any
    if hand_over is _serializing:
        producer = SerializingProducer({**conf(kafka), "value.serializer": serializer})
    else:
        producer = Producer(conf(kafka))
    hand_over(producer, value, serializer, 1)
    assert producer.flush(60) == 0
    process, thread = time.process_time(), time.thread_time()
    hand_over(producer, value, serializer, MESSAGES)
    thread = time.thread_time() - thread
    assert producer.flush(60) == 0
    return _each(thread, time.process_time() - process)


def _bytes(producer: Producer, message: bytes, _: None, number: int) -> None:
    for _ in repeat(None, number):
        producer.produce(TOPIC, message)


def _plain(producer: Producer, record: Any, serializer: Any, number: int) -> None:
    for _ in repeat(None, number):
        producer.produce(TOPIC, serializer(record, CONTEXT))


def _serializing(producer: SerializingProducer, record: Any, _: Any, number: int) -> None:
    for _ in repeat(None, number):
        producer.produce(TOPIC, value=record)


# -- asyncio --------------------------------------------------------------------------------------


def produced_async(hand_over: Any, value: Any, name: str | None, written: str, url: str, kafka: str) -> Took:
    return asyncio.run(_produced_async(hand_over, value, name, written, url, kafka))


async def _produced_async(hand_over: Any, value: Any, name: str | None, written: str, url: str, kafka: str) -> Took:
    serializer: Any = None
    if name == CONFLUENT:
        client = AsyncSchemaRegistryClient({"url": url})
        serializer = await AsyncConfluentSerializer(client, written, conf=CONFLUENTS)
    elif name is not None:
        serializer = AsyncAvroSerializer({"url": url}, written)
    producer: Any
    if hand_over is _async_serializing:
        producer = await AsyncSerializingProducer({**conf(kafka), "value.serializer": serializer})
    else:
        producer = AIOProducer(conf(kafka))
    async with producer:
        await hand_over(producer, value, serializer, 1)
        await producer.flush()
        process, thread = time.process_time(), time.thread_time()
        sent = await hand_over(producer, value, serializer, MESSAGES)
        await producer.flush()
        await asyncio.wait(sent[-1:])
        took = _each(time.thread_time() - thread, time.process_time() - process)
        await asyncio.gather(*sent)  # raises what one of them does
    if isinstance(serializer, AsyncAvroSerializer):
        await serializer.aclose()
    return took


async def _async_bytes(producer: Any, message: bytes, _: None, number: int) -> list[asyncio.Future[Any]]:
    return [await producer.produce(TOPIC, message) for _ in repeat(None, number)]


async def _async_plain(producer: Any, record: Any, serializer: Any, number: int) -> list[asyncio.Future[Any]]:
    return [await producer.produce(TOPIC, await serializer(record, CONTEXT)) for _ in repeat(None, number)]


async def _async_serializing(producer: Any, record: Any, _: Any, number: int) -> list[asyncio.Future[Any]]:
    return [await producer.produce(TOPIC, value=record) for _ in repeat(None, number)]


def _each(thread: float, process: float) -> Took:
    return thread * 1e6 / MESSAGES, process * 1e6 / MESSAGES
