"""Produce although one of two Schema Registry nodes is down: ``python examples/two_registries.py``.

Give both nodes, with a comma between them, in SCHEMA_REGISTRY_URL, and the broker in KAFKA_BOOTSTRAP_SERVERS. The other
node is asked at once, without a wait; what happens on the way is printed.
"""

import os
import sys

from confluent_kafka import SerializingProducer

from kafka_sr_retry import AvroSerializerBuilder
from kafka_sr_retry.events import AttemptEvent, Event, FailoverEvent

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}


def show(event: Event) -> None:
    """Called for each thing that happens on the way to the registry; never for a message whose id is known."""
    if isinstance(event, AttemptEvent):
        print(f"asked {event.endpoint}: {event.detail}")
    elif isinstance(event, FailoverEvent):
        print(f"failover from {event.failed} to {event.next}")


outcomes = []
producer = SerializingProducer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081,http://localhost:8082"),
        "schema.registry.event_cb": show,
        "delivery.timeout.ms": 10_000,
        "on_delivery": lambda error, message: outcomes.append(error and error.str()),
        "value.serializer.builder": AvroSerializerBuilder(schema=ORDER),
    }
)
with producer:
    for number in range(1, 4):
        producer.produce("orders", value={"id": number})
if outcomes != [None] * 3:
    sys.exit(f"not all delivered: {outcomes}")
print("delivered 3 orders")
