"""Produce Avro from asyncio with one configuration dict: ``python examples/async_serializing_producer.py``.

Needs confluent-kafka 2.16 or newer, a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and
SCHEMA_REGISTRY_URL.
"""

import asyncio
import os
import sys

from confluent_kafka import KafkaException
from confluent_kafka.aio import AsyncSerializingProducer

from kafka_sr_retry import AsyncAvroSerializerBuilder

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}


async def main() -> None:
    producer = await AsyncSerializingProducer(  # pyright: ignore[reportGeneralTypeIssues]
        {
            "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
            "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
            "delivery.timeout.ms": 10_000,
            "value.serializer.builder": AsyncAvroSerializerBuilder(schema=ORDER),
        }
    )
    async with producer:
        sent = await producer.produce("orders", value={"id": 1})
        await producer.flush()
        try:
            message = await sent
        except KafkaException as error:
            sys.exit(f"not delivered: {error}")
    print(f"delivered one order, offset {message.offset()}")


asyncio.run(main())
