"""Read Avro with Confluent's deserializer over this client's retries: ``python examples/consumer.py``.

Produces an order, and reads it back. Needs ``pip install 'confluent-kafka[avro,schemaregistry]'``, a Kafka broker and a
Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import os
import sys

from confluent_kafka import DeserializingConsumer, KafkaException, SerializingProducer
from confluent_kafka.schema_registry.avro import AvroDeserializer

from kafka_sr_retry import AvroSerializer
from kafka_sr_retry.confluent import SchemaRegistryClient

ORDER = """{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}"""
SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")

client = SchemaRegistryClient({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")})
outcomes = []
producer = SerializingProducer(
    {
        "bootstrap.servers": SERVERS,
        "delivery.timeout.ms": 10_000,
        "on_delivery": lambda error, message: outcomes.append(error and error.str()),
        "value.serializer": AvroSerializer(client, ORDER),
    }
)
with producer:
    producer.produce("orders", value={"id": 1})
if outcomes != [None]:
    sys.exit(f"not delivered: {outcomes}")

consumer = DeserializingConsumer(
    {
        "bootstrap.servers": SERVERS,
        "group.id": "example",
        "auto.offset.reset": "earliest",
        "value.deserializer": AvroDeserializer(client),
    }
)
consumer.subscribe(["orders"])
message = consumer.poll(30)
if message is None:
    sys.exit("no message came in 30 s")
if message.error():
    raise KafkaException(message.error())
print(f"read {message.value()!r}")
consumer.close()
