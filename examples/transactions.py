"""Produce in a transaction that never waits for the registry: ``python examples/transactions.py``.

A transaction's time runs while a message waits for its schema id. So learn the ids first: what is known asks nobody.
Needs a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import os
import sys

from confluent_kafka import KafkaException, Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, SchemaRegistryClient

ORDER = """{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}"""
TOPICS = ["orders", "audit"]

client = SchemaRegistryClient({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")})
serializer = AvroSerializer(client, ORDER)
warmed = serializer.warm_up(TOPICS)
if warmed.failed:
    sys.exit(f"not delivered: {[(outcome.topic, str(outcome.error)) for outcome in warmed.failed]}")

producer = Producer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        "transactional.id": "example",
        "transaction.timeout.ms": 10_000,
    }
)
try:
    producer.init_transactions(10)
    producer.begin_transaction()
    for topic in TOPICS:
        producer.produce(topic, serializer({"id": 1}, SerializationContext(topic, MessageField.VALUE)))
    producer.commit_transaction(10)
except KafkaException as failed:
    sys.exit(f"not delivered: {failed}")
print("delivered 2 orders in one transaction")
