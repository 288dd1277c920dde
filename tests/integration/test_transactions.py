"""Transactions of a real Kafka while the registry hangs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, RegistryUnavailableError, Schema, SchemaRegistryClient
from kafka_sr_retry.testing import SchemaRegistryServer, faults

TOTAL = 2000
"""total.timeout.ms; three new schemas fit into the transactions' time."""

TRANSACTION = 9000
"""transaction.timeout.ms; Kafka looks each ten seconds for transactions that have outlasted it."""


@pytest.fixture
def topics(kafka_bootstrap_servers: str) -> list[str]:
    names = [f"transaction-{uuid.uuid4().hex[:8]}" for _ in range(4)]
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap_servers})
    for created in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        created.result(30)
    return names


@pytest.fixture
def proxy(registry_url: str) -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer(upstream=registry_url) as server:
        yield server


def committed(bootstrap_servers: str, topics: list[str], count: int) -> list[str]:
    """Topics of the messages that one who reads what is committed sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": topics[0],
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(topics)
    read = []
    try:
        while len(read) < count:
            message = consumer.poll(30)
            assert message is not None, f"{len(read)} of {count} messages came"
            if message.error():
                raise KafkaException(message.error())
            read.append(str(message.topic()))
        assert consumer.poll(1) is None
    finally:
        consumer.close()
    return sorted(read)


def test_a_transaction_over_three_new_subjects_can_be_aborted_and_the_next_one_works(
    kafka_bootstrap_servers: str, proxy: SchemaRegistryServer, topics: list[str]
) -> None:
    known, *new = topics
    conf = {"url": proxy.url, "total.timeout.ms": TOTAL, "request.timeout.ms": 500}
    producer = Producer(
        {
            "bootstrap.servers": kafka_bootstrap_servers,
            "transactional.id": known,
            "transaction.timeout.ms": TRANSACTION,
        }
    )
    producer.init_transactions(30)
    with SchemaRegistryClient(conf) as client:
        serializer = AvroSerializer(client, '"string"')

        def produce(topic: str) -> None:
            producer.produce(topic, serializer("x", SerializationContext(topic, MessageField.VALUE)))

        client.register_schema(f"{known}-value", Schema('"string"'), timeout=60)  # a busy registry takes longer
        proxy.fail_always(faults.hang())
        producer.begin_transaction()
        produce(known)
        assert producer.flush(30) == 0  # from here on the transaction's time runs
        for topic in new:
            with pytest.raises(RegistryUnavailableError):
                produce(topic)
        producer.abort_transaction(30)

        proxy.recover()
        while True:  # what follows a failure is refused at once until the next attempt is due
            producer.begin_transaction()
            try:
                for topic in topics:
                    produce(topic)
                break
            except RegistryUnavailableError as error:
                producer.abort_transaction(30)
                time.sleep(error.retry_after or 0.1)
        producer.commit_transaction(30)
    assert committed(kafka_bootstrap_servers, topics, 4) == sorted(topics)


def test_a_transaction_that_outlasts_its_time_costs_the_producer(
    kafka_bootstrap_servers: str, proxy: SchemaRegistryServer, topics: list[str]
) -> None:
    """What the page about transactions warns of."""
    known, new = topics[:2]
    producer = Producer(
        {"bootstrap.servers": kafka_bootstrap_servers, "transactional.id": known, "transaction.timeout.ms": 1000}
    )
    producer.init_transactions(30)
    with AvroSerializer({"url": proxy.url, "total.timeout.ms": 15_000}, '"string"') as serializer:
        proxy.fail_always(faults.hang())
        producer.begin_transaction()
        producer.produce(known, b"x")
        assert producer.flush(30) == 0
        with pytest.raises(RegistryUnavailableError):
            serializer("x", SerializationContext(new, MessageField.VALUE))
    with pytest.raises(KafkaException) as raised:
        producer.commit_transaction(30)
    assert raised.value.args[0].code() == KafkaError._FENCED
    assert raised.value.args[0].fatal()
    after = Producer({"bootstrap.servers": kafka_bootstrap_servers})
    after.produce(known, b"after")
    assert after.flush(30) == 0
    assert committed(kafka_bootstrap_servers, [known], 1) == [known]
