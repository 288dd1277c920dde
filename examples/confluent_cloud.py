"""Produce Avro to Confluent Cloud: ``python examples/confluent_cloud.py``.

Needs confluent-kafka 2.16 or newer. Say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL, and give the API
keys: KAFKA_API_KEY and KAFKA_API_SECRET of the cluster, SR_API_KEY and SR_API_SECRET of the Schema Registry.
"""

import os
import sys

from confluent_kafka import SerializingProducer

from kafka_sr_retry import AvroSerializerBuilder

ORDER = """{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}"""


def given(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"not delivered: {name} is not set")


outcomes = []
producer = SerializingProducer(
    {
        "bootstrap.servers": given("KAFKA_BOOTSTRAP_SERVERS"),
        "security.protocol": os.environ.get("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        "sasl.mechanisms": "PLAIN",
        "sasl.username": given("KAFKA_API_KEY"),
        "sasl.password": given("KAFKA_API_SECRET"),
        "schema.registry.url": given("SCHEMA_REGISTRY_URL"),
        "schema.registry.basic.auth.user.info": f"{given('SR_API_KEY')}:{given('SR_API_SECRET')}",
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
