"""Write a Dask bag to Kafka from its workers: ``python examples/dask_bag.py``.

Each task brings the serializer, pickled. In a worker all of them share one client: a subject is asked for once for each
worker. A task that was lost with its worker is run again, so a record may be sent twice. Needs ``pip install
'dask[distributed]'``, a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and
SCHEMA_REGISTRY_URL, and which scheduler with DASK_SCHEDULER.
"""

import os
import sys
from collections.abc import Sequence
from functools import partial

import dask.bag
from confluent_kafka.serialization import MessageField, SerializationContext
from distributed import Client

from kafka_sr_retry import AvroSerializer

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
TO = SerializationContext("orders", MessageField.VALUE)


def send(serializer: AvroSerializer, servers: str, numbers: Sequence[int]) -> int:
    """Runs in a worker, once for each partition."""
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
    with Client(os.environ.get("DASK_SCHEDULER"), n_workers=2, threads_per_worker=4) as client:
        orders = dask.bag.from_sequence(range(1000), npartitions=100)
        try:
            delivered = sum(orders.map_partitions(partial(send, serializer, servers)).compute())
        except RuntimeError as error:
            sys.exit(f"not delivered: {error}")
    print(f"delivered {delivered} orders")
