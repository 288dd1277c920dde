"""Reads what came with nothing of what is tried: a plain consumer, fastavro, and HTTP to the registry itself."""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from .judge import Arrived

READ_SECONDS = 120


def read(bootstrap_servers: str, topics: Sequence[str], registry_url: str) -> list[Arrived]:
    """All messages of these topics, of one partition each."""
    schema_of = lru_cache(maxsize=None)(lambda schema_id: _schema(registry_url, schema_id))
    return [_decoded(message, schema_of) for message in _messages(bootstrap_servers, topics)]


def _messages(bootstrap_servers: str, topics: Sequence[str]) -> Iterator[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
    left, end = set(topics), time.monotonic() + READ_SECONDS
    try:
        while left:
            if time.monotonic() > end:
                raise TimeoutError(f"Kafka did not give all messages back within {READ_SECONDS} s: {sorted(left)}")
            message = consumer.poll(1)
            if message is None:
                continue
            if (error := message.error()) is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.topic())
            elif error.fatal():
                raise KafkaException(error)
    finally:
        consumer.close()


def _decoded(message: Message, schema_of: Any) -> Arrived:
    uid = (message.key() or b"").decode(errors="replace")
    place = f"{message.topic()}@{message.offset()}"
    payload = message.value() or b""
    if len(payload) < 5 or payload[0]:
        return Arrived(uid, place, problem=f"no magic byte and id before it: {payload[:20]!r}")
    schema_id = int.from_bytes(payload[1:5], "big")
    try:
        schema = schema_of(schema_id)
    except (OSError, ValueError, LookupError) as error:
        return Arrived(uid, place, problem=f"the registry has no schema of its id {schema_id}: {error}")
    try:
        body = io.BytesIO(payload[5:])
        record = fastavro.schemaless_reader(body, fastavro.parse_schema(schema), None)
        rest = len(body.read())
    except Exception as error:  # noqa: BLE001 - whatever fastavro finds in bytes that are not of this schema
        return Arrived(uid, place, problem=f"not of the schema of its id {schema_id}: {error!r}")
    if rest:
        return Arrived(uid, place, problem=f"{rest} bytes more than the schema of its id {schema_id} has")
    return Arrived(uid, place, schema, record)


def _schema(registry_url: str, schema_id: int) -> Any:
    with urllib.request.urlopen(f"{registry_url}/schemas/ids/{schema_id}", timeout=30) as answer:
        return json.loads(json.load(answer)["schema"])
