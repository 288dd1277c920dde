"""Produce Avro with aiokafka: ``pip install aiokafka`` and ``python examples/aiokafka_producer.py``.

aiokafka calls its ``value_serializer`` on the event loop, with the object alone. What ``bind`` gives there writes what
is known, and raises rather than hold the loop: so warm up first. Without ``value_serializer``, send what ``await
serializer(object, context)`` gives, as ``fastapi_service.py`` does. Needs a Kafka broker and a Schema Registry; say
where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import asyncio
import os
import sys

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from kafka_sr_retry import AsyncAvroSerializer

READING = {"type": "record", "name": "Reading", "fields": [{"name": "celsius", "type": "double"}]}


async def main() -> None:
    registry = {"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}
    async with AsyncAvroSerializer(registry, READING) as serializer:
        warmed = await serializer.warm_up(["readings"])
        for outcome in warmed.failed:
            sys.exit(f"not delivered: {outcome.error}")
        producer = AIOKafkaProducer(
            bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
            value_serializer=serializer.bind("readings"),
        )
        try:
            await producer.start()
            delivered = await producer.send_and_wait("readings", {"celsius": 21.5})
        except KafkaError as error:
            sys.exit(f"not delivered: {error}")
        finally:
            await producer.stop()
    print(f"delivered one reading, offset {delivered.offset}")


asyncio.run(main())
