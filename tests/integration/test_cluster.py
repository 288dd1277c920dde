"""The death of a registry's leader, between a producer and a real Kafka.

The two nodes are embedded, unless the environment names real ones: ``stack/nodes.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import SerializingProducer
from confluent_kafka.admin import AdminClient, NewTopic
from stack import nodes
from test_produce import ORDERS, order_schema, read_back

from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder


@pytest.fixture
def registry() -> Iterator[nodes.Nodes]:
    with nodes.running() as found:
        yield found


@pytest.fixture
def topics(kafka_bootstrap_servers: str) -> list[str]:
    names = [f"orders-{uuid.uuid4().hex[:8]}" for _ in range(6)]
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap_servers})
    for created in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        created.result(30)
    return names


def test_every_message_arrives_although_the_leader_died(
    kafka_bootstrap_servers: str, registry: nodes.Nodes, topics: list[str]
) -> None:
    known = topics[0]
    url = ",".join(registry.urls)
    conf = {
        "bootstrap.servers": kafka_bootstrap_servers,
        "schema.registry.url": url,
        "key.serializer": AvroSerializer({"url": url}, '"string"'),
        "value.serializer.builder": AvroSerializerBuilder(schema=order_schema()),
    }
    with SerializingProducer(conf) as producer, ThreadPoolExecutor() as threads:

        def produce(topic: str) -> None:
            for order in ORDERS:
                producer.produce(topic, order["id"], order)

        produce(known)
        killed = registry.kill_leader()
        for produced in [threads.submit(produce, topic) for topic in topics]:
            produced.result(60)
        registry.bring_back(killed)
        for topic in topics:
            produce(topic)
        assert producer.flush(30) == 0

    for topic in topics:
        times = 3 if topic == known else 2
        read = read_back(kafka_bootstrap_servers, url, topic, times * len(ORDERS))
        assert read == times * [(order["id"], order) for order in ORDERS]
