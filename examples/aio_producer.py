"""Produce Avro from asyncio with AIOProducer: ``python examples/aio_producer.py``.

AIOProducer takes no serializer: give it what ``await serializer(object, context)`` gives. Needs confluent-kafka 2.13 or
newer, a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import asyncio
import os
import sys

from confluent_kafka.aio import AIOProducer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AsyncAvroSerializer

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
CONTEXT = SerializationContext("orders", MessageField.VALUE)


async def main() -> None:
    producer = AIOProducer(
        {
            "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
            "delivery.timeout.ms": 10_000,
        }
    )
    registry = {"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}
    async with producer, AsyncAvroSerializer(registry, ORDER) as serializer:
        sent = [await producer.produce("orders", await serializer({"id": number}, CONTEXT)) for number in range(1, 4)]
        await producer.flush()
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failed:
        sys.exit(f"not all delivered: {failed}")
    print(f"delivered {len(outcomes)} orders")


asyncio.run(main())
