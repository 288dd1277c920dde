"""Produce Avro with FastStream: ``pip install 'faststream[confluent]'`` and ``python examples/faststream_service.py``.

FastStream writes JSON before a producer's own ``value_serializer`` would see the object. A middleware is earlier, and
knows the topic. It is the same for the broker over aiokafka: import ``KafkaBroker`` from ``faststream.kafka``, and
leave ``config`` out. Needs FastStream 0.6 or newer, a Kafka broker and a Schema Registry; say where with
KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.serialization import MessageField, SerializationContext
from faststream import BaseMiddleware
from faststream.confluent import KafkaBroker
from pydantic import BaseModel

from kafka_sr_retry import AsyncAvroSerializer, SchemaRegistryClient

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
REGISTRY = SchemaRegistryClient({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")})
SERIALIZERS = {"orders": AsyncAvroSerializer(REGISTRY, ORDER)}  # other topics stay FastStream's


class Order(BaseModel):
    id: int


class Avro(BaseMiddleware[Any, Any]):
    """What is published to a topic of ``SERIALIZERS`` is Avro, each message of a batch too."""

    async def publish_scope(self, call_next: Callable[[Any], Awaitable[Any]], cmd: Any) -> Any:
        serializer = SERIALIZERS.get(cmd.destination)
        if serializer is not None:
            ctx = SerializationContext(cmd.destination, MessageField.VALUE)
            cmd.body = await serializer(cmd.body, ctx)
            cmd.extra_bodies = [await serializer(body, ctx) for body in cmd.extra_bodies]
        return await call_next(cmd)


broker = KafkaBroker(
    os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    config={"delivery.timeout.ms": 10_000},
    middlewares=[Avro],
)


async def main() -> None:
    try:
        async with broker:
            await broker.publish(Order(id=1), "orders")
    except KafkaException as error:
        sys.exit(f"not delivered: {error}")
    print("delivered one order")


asyncio.run(main())
