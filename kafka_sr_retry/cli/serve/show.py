"""Messages decoded as they come, one line each."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from kafka_sr_retry.cli.terminal import printable
from kafka_sr_retry.testing import SchemaRegistryServer
from kafka_sr_retry.testing.reading import Decoded, Decoder, ReceivedMessage

ALL = "*"
_LOOK = 1.0
"""Seconds between looks for new topics."""
_BATCH = 500
_LONGEST = 2_000
"""Characters of a key or a value that a person is shown."""


class TopicError(ValueError):
    """What is no topic's name."""


def checked(topics: list[str]) -> frozenset[str]:
    """``topics`` as they are; raises `TopicError`."""
    for topic in topics:
        if topic != ALL and not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
            raise TopicError(f"--show {topic!r}: no topic has this name; '*' is all topics")
    return frozenset(topics)


class Tail:
    """The messages of topics from their beginning on, also of topics that come to be later."""

    def __init__(self, bootstrap_servers: str, topics: frozenset[str], registry: SchemaRegistryServer) -> None:
        self._topics = topics
        self._decoder = Decoder(registry)
        self._next: dict[tuple[str, int], int] = {}
        self._looked = -math.inf
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "kafka-sr-retry-serve",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
                "log_level": 2,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def batch(self, seconds: float) -> Iterator[ReceivedMessage | str]:
        """What came within ``seconds``; a text where the broker kept messages no longer than it took to come here."""
        if time.monotonic() > self._looked + _LOOK:
            self._look()
        lows: dict[tuple[str, int], int] = {}
        for message in self._consumer.consume(_BATCH, seconds):
            if message.error():
                continue  # the consumer goes on by itself
            received = self._decoder.message(message)
            place = received.topic, received.partition
            due = self._next.get(place, 0)
            if received.offset > due:
                if place not in lows:
                    lows[place] = self._low(place)
                told = dropped(due, received.offset, lows[place])
                if told:
                    yield f"{place[0]}[{place[1]}]: {told}"
            self._next[place] = received.offset + 1
            yield received

    def _low(self, place: tuple[str, int]) -> int:
        try:
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=5)
        except KafkaException:
            return 0
        return low

    def _look(self) -> None:
        try:
            topics = self._consumer.list_topics(timeout=5).topics
        except KafkaException:
            return
        self._looked = time.monotonic()
        new = [
            (name, partition)
            for name, topic in topics.items()
            if name in self._topics or (ALL in self._topics and not name.startswith("__"))
            for partition in topic.partitions
            if (name, partition) not in self._next
        ]
        if new:
            self._next |= dict.fromkeys(new, 0)
            self._consumer.incremental_assign([TopicPartition(*place, OFFSET_BEGINNING) for place in new])


def dropped(due: int, offset: int, low: int) -> str:
    """What lies between the offset that was due and one that came: messages below the low watermark. The others are
    markers of transactions, or were aborted.
    """
    missing = min(low, offset) - due
    if missing <= 0:
        return ""
    messages = "1 message before it" if missing == 1 else f"{missing:,} messages before they"
    return f"the broker has dropped {messages} could be shown"


# -- as lines ------------------------------------------------------------------------------------


def line(message: ReceivedMessage) -> str:
    """For people: nothing in it moves a terminal's cursor."""
    key, value = message.decoded
    parts = [f"{message.topic}[{message.partition}]@{message.offset}"]
    if message.key is not None:
        parts += [f"key {_text(key)}", "value"]
    return printable(" ".join([*parts, _text(value)]))


def _text(part: Decoded) -> str:
    named = f"id {part.schema_id} {part.subject or '(no subject)'} " if part.schema_id is not None else ""
    if part.value is None and not part.problem:
        return f"{named}null"
    if part.problem or (isinstance(part.value, bytes) and not named):
        told = f"{len(part.value)} bytes {_cut(_bytes(part.value))}"
        return f"{named}{told}" + (f" ({_cut(part.problem)})" if part.problem else "")
    return named + _cut(json.dumps(plain(part.value), ensure_ascii=False))


def _bytes(data: bytes) -> str:
    """As text where it is some, else in hexadecimal digits."""
    try:
        text = data[: 4 * _LONGEST].decode()
    except UnicodeDecodeError:
        text = ""
    return json.dumps(text, ensure_ascii=False) if text and text.isprintable() else "0x" + data[:_LONGEST].hex()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"


def as_json(message: ReceivedMessage) -> str:
    """For programs."""
    key, value = message.decoded
    return json.dumps(
        {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp": message.timestamp,
            "key": _json(key),
            "value": _json(value),
        }
    )


def _json(part: Decoded) -> dict[str, Any] | None:
    if part.schema_id is None and part.value is None:
        return None
    named = {"id": part.schema_id, "subject": part.subject} if part.schema_id is not None else {}
    if part.problem:
        return {**named, "hex": part.value.hex(), "problem": part.problem}
    if isinstance(part.value, bytes) and not named:
        return {"hex": part.value.hex()}
    return {**named, "record": plain(part.value)}


def plain(value: Any) -> Any:
    """``value`` as JSON has it: bytes as Avro's JSON encoding writes them, what JSON has not as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
