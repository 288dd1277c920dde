"""What was produced: messages, read back and decoded by fastavro with the registry's schemas."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .registry import SchemaRegistryServer

_PATIENCE = 20.0
"""Seconds that a broker on a busy machine may take."""


@dataclass(frozen=True)
class Decoded:
    """A key or a value.

    ``value`` is what was encoded; the bytes themselves where they name no schema or could not be decoded: ``problem``
    tells why. ``subject`` is the topic's own where the schema has it.
    """

    value: Any
    schema_id: int | None = None
    subject: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class ReceivedMessage:
    """A message of a topic, with its key and its value decoded: ``None`` for null, bytes where they name no schema.

    ``timestamp`` is in milliseconds, ``None`` where there is none; a header comes with its name, as often as it was
    given.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    key: Any
    value: Any
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key_schema_id: int | None = None
    value_schema_id: int | None = None
    decoded: tuple[Decoded, Decoded] = field(default=(Decoded(None), Decoded(None)), repr=False, compare=False)


class Decoder:
    """Decodes what is in Confluent's wire format, with the id before the payload or in a header."""

    def __init__(self, registry: SchemaRegistryServer) -> None:
        if not isinstance(registry, SchemaRegistryServer):
            raise TypeError(f"a registry is a SchemaRegistryServer, as a cluster's nodes[0] is, not {registry!r}")
        self._registry = registry
        self._known: dict[object, tuple[Mapping[str, Any], Any]] = {}
        self._own: set[tuple[str, int]] = set()

    def message(self, message: Any) -> ReceivedMessage:
        """Of Confluent's ``Message``; never raises for what is in it."""
        headers = tuple(message.headers() or ())
        key = self._decode(message.topic(), "key", message.key(), headers)
        value = self._decode(message.topic(), "value", message.value(), headers)
        kind, timestamp = message.timestamp()
        return ReceivedMessage(
            message.topic(),
            message.partition(),
            message.offset(),
            timestamp if kind else None,
            key.value,
            value.value,
            headers,
            key.schema_id,
            value.schema_id,
            (key, value),
        )

    def _decode(self, topic: str, part: str, data: bytes | None, headers: tuple[tuple[str, Any], ...]) -> Decoded:
        if data is None:
            return Decoded(None)
        named = dict(reversed(headers)).get(f"__{part}_schema_id")
        name, payload = (named, data) if named is not None else (data[:5], data[5:])
        try:
            if name[:1] == b"\0" and len(name) == 5:
                schema = self._schema(int.from_bytes(name[1:], "big"))
            elif name[:1] == b"\1" and len(name) == 17 and named is not None:
                schema = self._schema(uuid.UUID(bytes=name[1:]))
            else:
                return Decoded(data)
        except LookupError as error:
            return Decoded(data, problem=f"its schema: {error.args[0]}")
        except Exception as error:  # noqa: BLE001 a schema that fastavro does not take, and its references
            return Decoded(data, problem=f"its schema: {error!r}")
        fields, parsed = schema
        subject = self._subject(f"{topic}-{part}", fields["id"])
        try:
            return Decoded(_read(fields, parsed, payload), fields["id"], subject)
        except Exception as error:  # noqa: BLE001 bytes may be anything, and so may what a reader says of them
            return Decoded(data, fields["id"], subject, f"not of its schema: {error!r}")

    def _schema(self, name: int | uuid.UUID) -> tuple[Mapping[str, Any], Any]:
        if name not in self._known:
            by = f"/schemas/{'ids' if isinstance(name, int) else 'guids'}/{name}"
            fields = self._registry.get(by)
            parsed = None
            if fields.get("schemaType", "AVRO") == "AVRO":
                import fastavro

                parsed = fastavro.parse_schema(json.loads(fields["schema"]), named_schemas=self._named(fields))
            # a guid's id is not told
            self._known[name] = {**fields, "id": name if isinstance(name, int) else None}, parsed
        return self._known[name]

    def _subject(self, own: str, schema_id: int | None) -> str | None:
        """The topic's own where the schema has it, else the first of its subjects; it may get more at any time."""
        if schema_id is None or (own, schema_id) in self._own:
            return None if schema_id is None else own
        subjects: list[str] = self._registry.get(f"/schemas/ids/{schema_id}/subjects")
        if own in subjects:
            self._own.add((own, schema_id))
            return own
        return subjects[0] if subjects else None

    def _named(self, fields: Mapping[str, Any], named: dict[str, Any] | None = None) -> dict[str, Any]:
        """The types of all schemas that this one uses; each after those that it uses itself."""
        import fastavro

        named = {} if named is None else named
        for reference in fields.get("references", ()):
            if reference["name"] not in named:
                used = self._registry.get(f"/subjects/{reference['subject']}/versions/{reference['version']}")
                self._named(used, named)
                fastavro.parse_schema(json.loads(used["schema"]), named_schemas=named)
        return named


def _read(fields: Mapping[str, Any], parsed: Any, payload: bytes) -> Any:
    kind = fields.get("schemaType", "AVRO")
    if kind == "JSON":
        return json.loads(payload)
    if kind != "AVRO":
        raise ValueError(f"{kind} is not decoded here")
    import fastavro

    stream = io.BytesIO(payload)
    value = fastavro.schemaless_reader(stream, parsed, None)
    if left := len(payload) - stream.tell():
        raise ValueError(f"{left} bytes are left over")
    return value


def read_messages(bootstrap_servers: str, topic: str, registry: SchemaRegistryServer) -> list[ReceivedMessage]:
    """All messages that ``topic`` has now, those of a partition in their order.

    Raises ``ValueError`` where one names a schema that the registry does not have, or is not of its schema.
    """
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

    decoder, found = Decoder(registry), []
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "kafka-sr-retry-testing", "enable.partition.eof": True}
        | {"enable.auto.commit": False, "log_level": 2}
    )
    try:
        left = set(consumer.list_topics(topic, timeout=_PATIENCE).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        while left:
            message = consumer.poll(_PATIENCE)
            if message is None:
                raise TimeoutError(f"Kafka at {bootstrap_servers} gave nothing for {_PATIENCE:.0f} s")
            error = message.error()
            if error is None:
                found.append(_sound(decoder.message(message)))
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise KafkaException(error)
    finally:
        consumer.close()
    return sorted(found, key=lambda message: (message.partition, message.offset))


def _sound(message: ReceivedMessage) -> ReceivedMessage:
    for part, decoded in zip(("key", "value"), message.decoded, strict=True):
        if decoded.problem:
            raise ValueError(f"the {part} of {message.topic}[{message.partition}]@{message.offset}: {decoded.problem}")
    return message
