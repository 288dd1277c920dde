"""Produce Avro keys and values with the plain Producer: ``python examples/plain_producer.py``.

Works with every supported confluent-kafka. Needs a Kafka broker and a Schema Registry; say where with
KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import os
import sys

from confluent_kafka import Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, SchemaRegistryClient

CUSTOMER = {"type": "record", "name": "Customer", "fields": [{"name": "number", "type": "long"}]}
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}

outcomes = []
conf = {
    "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    "delivery.timeout.ms": 10_000,
    "on_delivery": lambda error, message: outcomes.append(error and error.str()),
    "key.subject.name.strategy.type": "RECORD",  # for keys only; values keep the default, TOPIC
}
registry = SchemaRegistryClient({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")})

# Twice on the same dict; both share the client's connections. Either rest is the producer's own configuration.
key_serializer, kafka_conf = AvroSerializer.from_config(conf, CUSTOMER, is_key=True, schema_registry_client=registry)
value_serializer, _ = AvroSerializer.from_config(conf, ORDER, schema_registry_client=registry)

producer = Producer(kafka_conf)
for customer, order in [(1, 7), (2, 8)]:
    producer.produce(
        "orders",
        key=key_serializer({"number": customer}, SerializationContext("orders", MessageField.KEY)),
        value=value_serializer({"id": order}, SerializationContext("orders", MessageField.VALUE)),
    )
producer.flush()  # calls on_delivery for each; what it returns does not tell those that failed
registry.close()
if outcomes != [None] * 2:
    sys.exit(f"not all delivered: {outcomes}")
print("delivered 2 orders")
