"""Who writes a shape, and how long each takes beside fastavro."""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from typing import Any
from unittest.mock import patch

from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry.avro import AvroSerializer as ConfluentSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from encoding_peers import PEERS, NotWritten, peer
from encoding_shapes import Shape
from fastavro import parse_schema, schemaless_writer

from kafka_sr_retry import AvroSerializer
from kafka_sr_retry.avro.compiler import compiled
from kafka_sr_retry.avro.dicts import by_dicts
from kafka_sr_retry.avro.dicts import maker as dicts
from kafka_sr_retry.avro.encoder import ENCODER
from kafka_sr_retry.avro.types import Unsuitable
from kafka_sr_retry.testing import SchemaRegistryServer

PREFIX = b"\0\0\0\0\1"
TOPIC = "readings"
CONTEXT = SerializationContext(TOPIC, MessageField.VALUE)
CONFLUENTS = {"subject.name.strategy.type": "TOPIC"}
"""The default asks for the subject's name."""

SECONDS = 0.02
"""That one contender is measured for in a round."""

FASTAVRO, NATIVE, WRITER, PYTHON, CONFLUENT = "fastavro", "native", "its writer alone", "Python", "Confluent's"
COPY = "memory copy"

Encode = Callable[[Any, Any], bytes | None]
"""A serializer, or what stands for one."""


@dataclass(frozen=True)
class Contender:
    """What is called, and with what.

    Attributes:
        ctx: ``None`` where the call has one argument.
        left: whether ours leaves the value to fastavro, which is beneath it.
    """

    encode: Callable[..., Any]
    value: Any
    ctx: SerializationContext | None = CONTEXT
    left: bool = False


# -- who writes -----------------------------------------------------------------------------------


@contextmanager
def contenders(
    shape: Shape, absent: dict[str, dict[str, str]], peers: Iterable[str] = PEERS
) -> Iterator[dict[str, Contender]]:
    """All that write this shape; why others do not goes to ``absent``, by their names and the shape's."""
    by_fastavro = framed(shape.schema)
    message = by_fastavro(shape.record, None)
    found = {FASTAVRO: Contender(by_fastavro, shape.record)}
    with ExitStack() as stack:
        url = stack.enter_context(SchemaRegistryServer()).url
        for name in (NATIVE, PYTHON):
            try:
                writer = alone(name, shape.schema)
            except ImportError as error:
                absent.setdefault(name, {})[shape.name] = f"not there: {error}"
                continue
            left = writer is None or writer(shape.object, CONTEXT) != message
            found[name] = Contender(stack.enter_context(ours(name, shape, {"url": url})), shape.object, left=left)
            if name == NATIVE and not left:
                found[WRITER] = Contender(writer, shape.object)
        client = stack.enter_context(ConfluentClient({"url": url}))
        theirs = ConfluentSerializer(client, json.dumps(shape.schema), shape.to_dict, conf=CONFLUENTS)
        found[CONFLUENT] = Contender(theirs, shape.object)
        for name, each in found.items():
            assert each.encode(each.value, each.ctx) == message, name
        for name in peers:
            try:
                found[name] = Contender(*peer(name, shape, message), None)
            except NotWritten as error:
                absent.setdefault(name, {})[shape.name] = str(error)
        found[COPY] = Contender(bytes, bytearray(message), None)
        yield found


def framed(schema: Any) -> Encode:
    """fastavro at its best: a union goes within a record, as it would be parsed for each message."""
    is_union = isinstance(schema, list)
    top = {"type": "record", "name": "Top", "fields": [{"name": "value", "type": schema}]} if is_union else schema
    parsed = parse_schema(top)

    def encode(record: Any, ctx: Any) -> bytes:
        out = BytesIO()
        out.write(PREFIX)
        schemaless_writer(out, parsed, {"value": record} if is_union else record)
        return out.getvalue()

    return encode


@contextmanager
def ours(name: str, shape: Shape, conf: Mapping[str, Any]) -> Iterator[AvroSerializer]:
    """A serializer whose first message is made: with that the process chooses the encoder of a schema's text."""
    with AvroSerializer(conf, text(name, shape)) as serializer:
        with patch.dict(os.environ, {ENCODER: name.lower()}):
            serializer(shape.object, CONTEXT)
        encoder = serializer.encoder(TOPIC)
        assert encoder is not None
        assert encoder.kind in (name.lower(), "fastavro"), encoder
        yield serializer


def text(name: str, shape: Shape) -> str:
    """Of its schema: another one for each encoder."""
    return json.dumps(shape.schema) + " " * (name == PYTHON)


def alone(name: str, schema: Any) -> Encode | None:
    """What writes the values beneath the serializer: no bytes for one that is fastavro's. ``None`` where the schema is.

    Raises:
        ImportError: there is no native code.
    """
    make, named = maker(name), dict[str, Any]()
    parsed = parse_schema(schema, named_schemas=named)
    try:
        write: Callable[..., Encode] = make(parsed, named).writer
        return write(PREFIX, by_dicts(write, dicts(parsed, named), _nothing) if name == PYTHON else _nothing)
    except Unsuitable:
        return None


def _nothing(value: Any, prefix: bytes) -> bytes:
    return b""


def maker(name: str) -> Callable[..., Any]:
    """What makes an encoder of a parsed schema and its named types.

    Raises:
        ImportError: there is no native code.
    """
    if name == PYTHON:
        return compiled
    from kafka_sr_retry.avro.native import program

    return program


# -- how long it takes ----------------------------------------------------------------------------


def measured(found: Mapping[str, Contender], reference: str, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds, and the ratio to the reference."""
    times: dict[str, list[float]] = {name: [] for name in found}
    numbers = {name: calibrated(each) for name, each in found.items()}
    names = list(found)
    gc.collect()
    gc.freeze()
    gc.disable()
    for turn in range(rounds):
        for n in range(len(names)):
            name = names[(n + turn) % len(names)]
            times[name].append(seconds(found[name], numbers[name]) / numbers[name])
        gc.collect()
    gc.enable()
    gc.unfreeze()
    return {
        name: {
            "us": statistics.median(each) * 1e6,
            "ratio": statistics.median(a / b for a, b in zip(each, times[reference], strict=True)),
        }
        for name, each in times.items()
    }


def calibrated(one: Contender) -> int:
    """Calls that take ``SECONDS``."""
    number = 1
    while (took := min(seconds(one, number) for _ in range(3))) < SECONDS / 10:
        number *= 4
    return max(1, round(SECONDS * number / took))


def seconds(one: Contender, number: int) -> float:
    """CPU of this thread."""
    encode, value, ctx = one.encode, one.value, one.ctx
    if ctx is None:
        began = time.thread_time()
        for _ in repeat(None, number):
            encode(value)
        return time.thread_time() - began
    began = time.thread_time()
    for _ in repeat(None, number):
        encode(value, ctx)
    return time.thread_time() - began
