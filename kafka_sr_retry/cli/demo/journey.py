"""There and back: our serializer to Kafka, an independent decoder from it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import avro.io
import avro.schema
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Message,
    SerializingProducer,
    TopicPartition,
    serialization,
)
from confluent_kafka.error import ValueSerializationError
from confluent_kafka.serialization import StringSerializer

from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder
from kafka_sr_retry.events import Event

from .readings import SCHEMA, Reading
from .servers import QUIET, DemoError, Servers, fetch

_PATIENCE = 30.0


def send(servers: Servers, topic: str, readings: Iterable[Reading], event_cb: Callable[[Event], object]) -> None:
    """Produce each reading under its day, until Kafka has acknowledged all."""
    producer = _producer(
        {
            "bootstrap.servers": servers.bootstrap_servers,
            "enable.idempotence": True,
            "message.timeout.ms": int(_PATIENCE * 1000),
            "key.serializer": StringSerializer(),
            "schema.registry.url": servers.faulty.url,
            "schema.registry.event_cb": event_cb,
            **QUIET,
        }
    )
    undelivered: list[KafkaError] = []

    def delivered(failure: KafkaError | None, _message: Message) -> None:
        if failure is not None:
            undelivered.append(failure)

    try:
        for reading in readings:
            producer.produce(topic, reading.day, asdict(reading), on_delivery=delivered)
            producer.poll(0)
    except ValueSerializationError as failure:
        raise DemoError(str(failure.exception)) from failure
    left = producer.flush(_PATIENCE)
    if left or undelivered:
        raise DemoError(f"Kafka took all but {left + len(undelivered)} messages: {[e.str() for e in undelivered[:1]]}")


def _producer(conf: dict[str, Any]) -> SerializingProducer:
    if hasattr(serialization, "SerializerBuilder"):
        return SerializingProducer({**conf, "value.serializer.builder": AvroSerializerBuilder(schema=SCHEMA)})
    serializer, kafka_conf = AvroSerializer.from_config(conf, SCHEMA)
    return SerializingProducer({**kafka_conf, "value.serializer": serializer})


def read_back(servers: Servers, topic: str) -> Iterator[tuple[str, Reading]]:
    """Each message of the topic, decoded: (key, reading), in order within a partition."""
    decoder = Decoder(servers.registry_url)
    for message in _messages(servers.bootstrap_servers, topic):
        key, value = message.key(), message.value()
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            raise DemoError(f"a message without key or value at offset {message.offset()}")
        yield key.decode(), decoder.decode(value)


def _messages(bootstrap_servers: str, topic: str) -> Iterator[Message]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": topic, "enable.partition.eof": True, **QUIET}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=_PATIENCE).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        unfinished = set(partitions)
        while unfinished:
            message = consumer.poll(_PATIENCE)
            if message is None:
                raise DemoError(f"Kafka gave no message of {topic} for {_PATIENCE:.0f} s")
            failure = message.error()
            if failure is None:
                yield message
            elif failure.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                raise DemoError(f"Kafka, on reading {topic}: {failure.str()}")
    finally:
        consumer.close()


class Decoder:
    """Apache's ``avro`` and ``urllib``: nothing of what wrote the messages."""

    def __init__(self, registry_url: str) -> None:
        self._registry_url = registry_url
        self._readers: dict[int, avro.io.DatumReader] = {}

    def decode(self, value: bytes) -> Reading:
        """Magic byte 0, the schema's id in four bytes, Avro to the last byte."""
        magic, schema_id = value[0], int.from_bytes(value[1:5], "big")
        if magic != 0:
            raise DemoError(f"a message begins with {magic}, not with 0")
        if schema_id not in self._readers:
            schema = json.loads(fetch(self._registry_url, f"/schemas/ids/{schema_id}"))["schema"]
            self._readers[schema_id] = avro.io.DatumReader(avro.schema.parse(schema))
        body = io.BytesIO(value[5:])
        fields: Any = self._readers[schema_id].read(avro.io.BinaryDecoder(body))
        if body.read():
            raise DemoError("a message goes on after its Avro")
        return Reading(**fields)
