"""Write to Kafka from Ray's tasks: ``python examples/ray_tasks.py``.

The serializer is put into Ray's store once, and each task takes it from there, pickled. In a worker's process all of
them share one client: a subject is asked for once for each process. A task whose worker was lost is run again, so a
record may be sent twice. Needs ``pip install ray``, a Kafka broker and a Schema Registry; say where with
KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL, and which cluster with RAY_ADDRESS.
"""

import os
import sys

import ray
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
TO = SerializationContext("orders", MessageField.VALUE)


def send(serializer: AvroSerializer, servers: str, numbers: range) -> int:
    """Runs in a worker's process."""
    from confluent_kafka import Producer  # here: cloudpickle cannot take its class to another process

    failed: list[str] = []
    producer = Producer({"bootstrap.servers": servers, "delivery.timeout.ms": 10_000})
    for number in numbers:
        producer.produce(
            TO.topic,
            serializer({"id": number}, TO),
            on_delivery=lambda error, message: failed.append(error.str()) if error else None,
        )
    producer.flush()
    if failed:
        raise RuntimeError(f"{len(failed)} orders, such as: {failed[0]}")
    return len(numbers)


if __name__ == "__main__":
    serializer = AvroSerializer({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}, ORDER)
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
    ray.init()
    shipped = ray.put(serializer)
    task = ray.remote(send)
    tasks = [task.remote(shipped, servers, range(first, first + 10)) for first in range(0, 1000, 10)]
    try:
        delivered = sum(ray.get(tasks))
    except RuntimeError as error:
        sys.exit(f"not delivered: {error}")
    finally:
        ray.shutdown()
    print(f"delivered {delivered} orders")
