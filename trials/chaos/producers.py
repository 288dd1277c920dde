"""Threads that send: each with a new producer, serializer and schema again and again, some over one client."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from random import Random
from typing import Any

from confluent_kafka import KafkaError, KafkaException, SerializingProducer
from confluent_kafka.error import ValueSerializationError
from confluent_kafka.serialization import StringSerializer

from kafka_sr_retry import AvroSerializerBuilder, RegistryUnavailableError, SchemaRegistryClient

from .judge import CONFIRMED, FAILED, REFUSED, Report, Sent
from .messages import Kind
from .stand import Stand

SHARED_SECONDS = 5
"""``total.timeout.ms`` of the client that is shared."""

OWN_SECONDS = [1, 3, 8]
REQUEST_MS = [500, 3_000, 14_000]
DELIVERY_MS = 60_000
MOST_OPEN = 3
"""Producers of a thread that still deliver while the next one sends."""

WELL_AGAIN_SECONDS = 90
"""Within this time a message must go out once all is well again."""

PACE_SECONDS, REFUSED_PACE_SECONDS = 0.03, 1
"""At most so long from one message to the next; while a registry is away calls fail at once."""


class Sender(threading.Thread):
    """Sends until ``end`` is set; once ``healed`` is, sends until one message is confirmed, and closes all.

    Args:
        name: of the thread, and in each message's uid.
        seed: of all that is sent.
        stand: where to.
        topics: one of its own for each new subject.
        client: one to share; without it each producer has its own.
    """

    def __init__(
        self, name: str, seed: int, stand: Stand, topics: Sequence[str], client: SchemaRegistryClient | None = None
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.end, self.healed = threading.Event(), threading.Event()
        self.broke: Exception | None = None
        self.recovered = False
        self._rng = Random(f"{seed} {name}")
        self._stand, self._topics, self._client = stand, topics, client
        self._rounds = 0
        self._open: list[SerializingProducer] = []
        self._sent: list[tuple[str, Any, Any, list[Report], float, float]] = []
        self.subjects = 0

    @property
    def sent(self) -> list[Sent]:
        return [
            Sent(uid, schema, record, tuple(reports), seconds, limit)
            for uid, schema, record, reports, seconds, limit in self._sent
        ]

    def run(self) -> None:
        try:
            while not self.end.is_set():
                self._round(self._rng.sample(self._topics, self._rng.randint(1, len(self._topics))))
                self._close_those_done()
            self.healed.wait()
            until = time.monotonic() + WELL_AGAIN_SECONDS
            while not self.recovered and time.monotonic() < until:
                self._round(self._topics[:1])
                self._open[-1].flush(WELL_AGAIN_SECONDS)
                self.recovered = self._sent[-1][3] == [Report(CONFIRMED)]
            self._close_those_done(most=0)
        except Exception as error:  # noqa: BLE001 - a thread's last words are a fault of the run
            self.broke = error

    def _round(self, topics: Sequence[str]) -> None:
        """A new producer and schema, for a few messages to each topic: each topic is a new subject."""
        self._rounds += 1
        kind = Kind(self._rng, f"{self.name}_{self._rounds}")
        seconds, conf = self._registry()
        producer = SerializingProducer(
            {
                "bootstrap.servers": self._stand.bootstrap_servers,
                "enable.idempotence": True,
                "delivery.timeout.ms": DELIVERY_MS,
                "log_level": 0,
                "key.serializer": StringSerializer(),
                "value.serializer.builder": AvroSerializerBuilder(
                    schema=kind.schema, schema_registry_client=self._client
                ),
                "value.subject.name.strategy.type": "TOPIC_RECORD",
                **conf,
            }
        )
        self._open.append(producer)
        for topic in topics:
            self.subjects += 1
            for _ in range(self._rng.randint(1, 8)):
                refused = self._send(producer, topic, kind, seconds)
                producer.poll(0)
                time.sleep(self._rng.uniform(0, REFUSED_PACE_SECONDS if refused else PACE_SECONDS))
            if self.end.is_set() and not self.healed.is_set():
                return

    def _registry(self) -> tuple[float, dict[str, Any]]:
        if self._client is not None:
            return SHARED_SECONDS, {}
        seconds, request = self._rng.choice(OWN_SECONDS), self._rng.choice(REQUEST_MS)
        return seconds, {
            "schema.registry.url": self._stand.registry_url,
            "schema.registry.total.timeout.ms": seconds * 1000,
            "schema.registry.request.timeout.ms": request,
        }

    def _send(self, producer: SerializingProducer, topic: str, kind: Kind, limit: float) -> bool:
        """Whether it was refused."""
        uid = f"{self.name}-{len(self._sent)}"
        record, reports = kind.record(self._rng, uid), []
        begin = time.monotonic()
        try:
            producer.produce(topic, uid, record, on_delivery=lambda error, _: reports.append(_delivered(error)))
        except Exception as error:  # noqa: BLE001 - the judge tells which may come
            reports.append(_refused(error))
        self._sent.append((uid, kind.schema, record, reports, time.monotonic() - begin, limit))
        return any(report.outcome == REFUSED for report in reports)

    def _close_those_done(self, most: int = MOST_OPEN) -> None:
        for producer in self._open:
            producer.poll(0)
        while len(self._open) > most:
            producer = self._open.pop(0)
            producer.flush(DELIVERY_MS / 1000 + 10)
            producer.close()


def _delivered(error: KafkaError | None) -> Report:
    return Report(CONFIRMED) if error is None else Report(FAILED, error.name())


def _refused(error: Exception) -> Report:
    if not isinstance(error, ValueSerializationError):
        return Report(REFUSED, repr(error), expected=isinstance(error, (BufferError, KafkaException)))
    ours = error.exception
    if isinstance(ours, RegistryUnavailableError):
        return Report(REFUSED, f"{type(ours).__name__}, HTTP {ours.http_status_code}")
    return Report(REFUSED, repr(ours), expected=False)
