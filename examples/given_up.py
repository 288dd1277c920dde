"""What to do with a message that was given up: ``python examples/given_up.py pause``.

Reads orders in JSON from the topic ``raw-orders``, and writes them in Avro to ``customer-orders``. While the Schema
Registry is away for longer than a call may take, ``keep`` holds them in memory, ``pause`` leaves them in Kafka, and
``dead-letter`` puts them into a topic of their own: nothing is lost, and orders of one key stay in order. ``fill``
writes some to begin with; without a word it fills, and then pauses. Ends when all are written. Needs a Kafka broker and
a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, RegistryUnavailableError

SOURCE, TARGET, DEAD_LETTERS = "raw-orders", "customer-orders", "orders-dead-letters"
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "customer", "type": "string"}, {"name": "number", "type": "long"}],
}
KAFKA = {"bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")}
PRODUCER: dict[str, Any] = {**KAFKA, "enable.idempotence": True, "delivery.timeout.ms": 10_000}
CONSUMER: dict[str, Any] = {
    **KAFKA,
    "group.id": "orders-in-avro",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,  # what was read is committed once its order is in Kafka
    "enable.partition.eof": True,
    "session.timeout.ms": 6_000,  # a dead process has another in its place soon
}


class Sender:
    """Writes orders in Avro, and knows up to where what was read is done."""

    def __init__(self) -> None:
        conf = {
            **PRODUCER,
            "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
            "schema.registry.total.timeout.ms": int(os.environ.get("REGISTRY_TIMEOUT_MS", "10000")),
        }
        self.serializer, rest = AvroSerializer.from_config(conf, ORDER)
        self.producer = Producer(rest)
        self.done: dict[TopicPartition, TopicPartition] = {}
        self.written = 0
        self.failed: list[str] = []

    def send(self, message: Message) -> None:
        """Raises RegistryUnavailableError: then nothing of it was sent."""
        order = json.loads(message.value() or b"")
        content = self.serializer(order, SerializationContext(TARGET, MessageField.VALUE))
        self.produce(message, TARGET, value=content)

    def produce(self, message: Message, topic: str, **given: Any) -> None:
        self.producer.produce(topic, key=message.key(), on_delivery=self.delivered, **given)
        self.done[place(message)] = place(message, 1)

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error:
            self.failed.append(error.str())
        elif message.topic() == TARGET:
            self.written += 1

    def commit(self, consumer: Consumer) -> None:
        """What was sent is in Kafka; or the program ends, and reads it again when it is started."""
        self.producer.flush()
        if self.failed:
            sys.exit(f"not delivered: {self.failed}")
        if self.done:
            consumer.commit(offsets=list(self.done.values()), asynchronous=False)
            self.done.clear()


class Keep:
    """In memory, in one line. Here Kafka has them too; what came by HTTP is lost if the process dies."""

    most = int(os.environ.get("KEEP_AT_MOST", "10000"))

    def __init__(self, sender: Sender, consumer: Consumer) -> None:
        self.sender, self.consumer = sender, consumer
        self.line: deque[Message] = deque()
        self.paused: list[TopicPartition] = []
        self.again_at = 0.0

    def take(self, message: Message) -> None:
        self.line.append(message)
        self.go_on()

    def go_on(self) -> None:
        while self.line and time.monotonic() >= self.again_at:
            try:
                self.sender.send(self.line[0])
            except RegistryUnavailableError as error:
                self.again_at = told("kept", error)
                break
            self.line.popleft()
        if len(self.line) >= self.most:  # who sends by HTTP gets a 503 then, with Retry-After
            if not self.paused:
                print(f"{len(self.line)} kept: reads no more", flush=True)
            self.paused = self.consumer.assignment()
            self.consumer.pause(self.paused)
        elif self.paused:
            self.consumer.resume(self.paused)
            self.paused = []

    def waits(self) -> bool:
        return bool(self.line)

    def forget(self, partitions: Sequence[TopicPartition]) -> None:
        self.line = deque(message for message in self.line if place(message) not in partitions)
        self.paused = [each for each in self.paused if each not in partitions]


class Pause:
    """In Kafka, where they are: their partition is read again from there when the registry may be asked again."""

    def __init__(self, sender: Sender, consumer: Consumer) -> None:
        self.sender, self.consumer = sender, consumer
        self.again_at: dict[TopicPartition, float] = {}

    def take(self, message: Message) -> None:
        here = place(message)
        if here in self.again_at:
            return  # it comes again, behind the one that was given up
        try:
            self.sender.send(message)
        except RegistryUnavailableError as error:
            self.again_at[here] = told(f"paused at {here.partition}:{here.offset}", error)
            self.consumer.seek(here)
            self.consumer.pause([here])  # and go on polling: a group takes who does not for dead

    def go_on(self) -> None:
        for partition in [each for each, due in self.again_at.items() if time.monotonic() >= due]:
            del self.again_at[partition]
            self.consumer.resume([partition])

    def waits(self) -> bool:
        return bool(self.again_at)

    def forget(self, partitions: Sequence[TopicPartition]) -> None:
        for each in partitions:
            self.again_at.pop(each, None)


class DeadLetter:
    """In a topic of their own, as they came, with the reason in headers. What comes goes behind them until all of them
    were sent, so that orders of one key stay in order. One process at a time."""

    def __init__(self, sender: Sender, consumer: Consumer) -> None:
        self.sender = sender
        self.letters = Consumer({**CONSUMER, "group.id": CONSUMER["group.id"] + "-dead-letters"})
        partitions = self.letters.list_topics(DEAD_LETTERS, timeout=10).topics[DEAD_LETTERS].partitions
        if not partitions:
            sys.exit(f"make the topic {DEAD_LETTERS} first")
        self.places = [TopicPartition(DEAD_LETTERS, number) for number in partitions]
        self.letters.assign(self.letters.committed(self.places, timeout=10))
        self.behind = True  # of an earlier run, perhaps
        self.again_at = 0.0
        self.error = RegistryUnavailableError("behind those of an earlier run")

    def take(self, message: Message) -> None:
        if not self.behind:
            try:
                return self.sender.send(message)
            except RegistryUnavailableError as error:
                self.put_off(error)
        came_from = place(message)
        headers = {
            "source.topic": came_from.topic,
            "source.partition": came_from.partition,
            "source.offset": came_from.offset,
            "error.class": type(self.error).__name__,
            "error.message": self.error,
        }
        content = {"value": message.value(), "headers": [(name, str(each)) for name, each in headers.items()]}
        return self.sender.produce(message, DEAD_LETTERS, **content)

    def go_on(self) -> None:
        for _ in range(100):  # then those who wait for the source have their turn
            if not self.behind or time.monotonic() < self.again_at:
                break
            letter = self.letters.poll(0.5)
            if letter is None or at_end(letter):
                self.sender.commit(self.letters)
                self.behind = not all(map(self.is_read, self.letters.committed(self.places, timeout=10)))
                continue
            try:
                self.sender.send(letter)
            except RegistryUnavailableError as error:
                self.put_off(error)
                self.letters.seek(place(letter))
        self.sender.commit(self.letters)

    def is_read(self, partition: TopicPartition) -> bool:
        first, end = self.letters.get_watermark_offsets(partition, timeout=10)
        return partition.offset >= end or first == end

    def put_off(self, error: RegistryUnavailableError) -> None:
        self.behind, self.error, self.again_at = True, error, told("to the dead letters", error)

    def waits(self) -> bool:
        return self.behind

    def forget(self, partitions: Sequence[TopicPartition]) -> None: ...


def told(what: str, error: RegistryUnavailableError) -> float:
    """When to try again."""
    rest = error.retry_after or 1.0
    print(f"{what}, again in {rest:.1f} s", flush=True)
    return time.monotonic() + rest


def place(message: Message, ahead: int = 0) -> TopicPartition:
    """Equal for all messages of a partition."""
    return TopicPartition(message.topic() or "", message.partition() or 0, (message.offset() or 0) + ahead)


def at_end(message: Message) -> bool:
    error = message.error()
    if error and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return bool(error)


def fill() -> None:
    sender = Sender()
    for number in range(1, 9):
        for customer in ("Ann", "Bob", "Eve"):
            content = json.dumps({"customer": customer, "number": number})
            sender.producer.produce(SOURCE, content, customer, on_delivery=sender.delivered)
    sender.commit(Consumer(CONSUMER))
    sender.producer.list_topics(DEAD_LETTERS, timeout=10)  # makes it, where brokers make topics


def main(kind: type[Keep | Pause | DeadLetter]) -> None:
    sender = Sender()
    with sender.serializer, closing(Consumer(CONSUMER)) as consumer:
        way = kind(sender, consumer)
        consumer.subscribe([SOURCE], on_revoke=lambda _, partitions: way.forget(partitions))
        ended: set[TopicPartition] = set()
        while way.waits() or not ended or len(ended) < len(consumer.assignment()):  # a service would go on for ever
            way.go_on()
            for message in consumer.consume(100, timeout=0.5):
                if at_end(message):
                    ended.add(place(message))
                else:
                    ended.discard(place(message))
                    way.take(message)
            sender.commit(consumer)
    print(f"delivered {sender.written} orders")


WAYS: dict[str, type[Keep | Pause | DeadLetter]] = {"": Pause, "pause": Pause, "keep": Keep, "dead-letter": DeadLetter}

if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in ("", "fill"):
        fill()
    if word != "fill":
        main(WAYS[word])
