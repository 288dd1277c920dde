"""Produce from a pool of processes: ``python examples/process_pool.py``.

Each task brings the serializer, pickled. In a process all of them share one client: a subject is asked for once for
each process. Needs a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and
SCHEMA_REGISTRY_URL.
"""

import multiprocessing
import os
import sys
from functools import cache, partial

from confluent_kafka import Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
TO = SerializationContext("orders", MessageField.VALUE)


@cache
def producer() -> Producer:
    """One for each process: it cannot be pickled, and does not live through a fork."""
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
    return Producer({"bootstrap.servers": servers, "delivery.timeout.ms": 10_000})


def send(serializer: AvroSerializer, numbers: range) -> int:
    """One task."""
    failed: list[str] = []
    for number in numbers:
        producer().produce(
            TO.topic,
            serializer({"id": number}, TO),
            on_delivery=lambda error, message: failed.append(error.str()) if error else None,
        )
    producer().flush()
    if failed:
        raise RuntimeError(f"{len(failed)} orders, such as: {failed[0]}")
    return len(numbers)


if __name__ == "__main__":
    serializer = AvroSerializer({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}, ORDER)
    tasks = [range(first, first + 10) for first in range(0, 1000, 10)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        try:
            delivered = sum(pool.imap_unordered(partial(send, serializer), tasks))
        except RuntimeError as error:
            sys.exit(f"not delivered: {error}")
    print(f"delivered {delivered} orders")
