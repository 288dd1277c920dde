"""The mock cluster is a Kafka that other clients can use."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from kafka_sr_retry.testing import KafkaMockCluster, SchemaRegistryServer


def consume(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(4)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    value = message.value()
    assert value is None or isinstance(value, bytes)
    return value


def test_a_cluster_that_does_not_run_says_so_at_once(schema_registry: SchemaRegistryServer) -> None:
    cluster = KafkaMockCluster()
    for _ in range(2):
        assert cluster.bootstrap_servers == ""
        with pytest.raises(RuntimeError, match="does not run"):
            cluster.messages("orders", schema_registry)
        with cluster:
            assert cluster.messages("orders", schema_registry) == []


def test_confluents_clients(kafka_cluster: KafkaMockCluster) -> None:
    producer = Producer({"bootstrap.servers": kafka_cluster.bootstrap_servers})
    producer.produce("confluent", b"one")
    assert producer.flush(20) == 0
    assert consume(kafka_cluster.bootstrap_servers, "confluent") == b"one"


def test_kafka_python(kafka_cluster: KafkaMockCluster) -> None:
    # In a process of its own: kafka-python is not free of the warnings that are errors here.
    send = (
        "import sys, kafka\n"
        "with kafka.KafkaProducer(bootstrap_servers=sys.argv[1], api_version=(2, 3)) as producer:\n"
        "    producer.send('kafka-python', b'two').get(timeout=20)"
    )
    subprocess.run([sys.executable, "-c", send, kafka_cluster.bootstrap_servers], check=True, timeout=60)
    assert consume(kafka_cluster.bootstrap_servers, "kafka-python") == b"two"


def test_aiokafka(kafka_cluster: KafkaMockCluster) -> None:
    async def round_trip() -> bytes | None:
        async with AIOKafkaProducer(bootstrap_servers=kafka_cluster.bootstrap_servers) as producer:
            await producer.send_and_wait("aiokafka", b"three")
        async with AIOKafkaConsumer(
            "aiokafka", bootstrap_servers=kafka_cluster.bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer:
            message = await asyncio.wait_for(consumer.getone(), 20)
            value: bytes | None = message.value
            return value

    assert asyncio.run(round_trip()) == b"three"


def test_a_cluster_of_several_brokers() -> None:
    with KafkaMockCluster(brokers=3) as cluster:
        assert len(cluster.bootstrap_servers.split(",")) == 3
