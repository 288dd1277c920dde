"""Produce Avro with one configuration dict: ``python examples/config_dict_producer.py``.

Needs confluent-kafka 2.16 or newer, a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and
SCHEMA_REGISTRY_URL.
"""

import os
import sys

from confluent_kafka import SerializingProducer

from kafka_sr_retry import AvroSerializerBuilder

ORDER = """{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}"""

outcomes = []
producer = SerializingProducer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
        "delivery.timeout.ms": 10_000,
        "on_delivery": lambda error, message: outcomes.append(error and error.str()),
        "value.serializer.builder": AvroSerializerBuilder(schema=ORDER),
    }
)
with producer:
    producer.produce("orders", value={"id": 1})
if outcomes != [None]:
    sys.exit(f"not delivered: {outcomes}")
print("delivered one order")
