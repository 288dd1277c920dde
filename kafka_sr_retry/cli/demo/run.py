"""The demo from beginning to end."""

from __future__ import annotations

import hashlib
import time
import uuid
from http.client import HTTPException

from confluent_kafka import KafkaException
from confluent_kafka.serialization import SerializationError

from .journey import read_back, send
from .naive import naive_loop
from .readings import SOURCE, Reading, compare, load
from .screen import Attempt, Screen
from .servers import FAULTS, FAULTS_IN_WORDS, DemoError, Servers, ensure_topic, servers


def run(rows: int | None, bootstrap_servers: str | None, registry_url: str | None) -> int:
    """Show everything; the exit code."""
    screen = Screen()
    topic = f"seattle-temps-{uuid.uuid4().hex[:8]}"
    try:
        readings = load(rows)
        with servers(bootstrap_servers, registry_url) as there:
            ensure_topic(there.bootstrap_servers, topic)
            return _run(screen, there, topic, readings)
    except (DemoError, KafkaException, SerializationError, HTTPException, OSError) as failure:
        screen.fail(f"The demo failed: {failure}")
        return 1


def _run(screen: Screen, there: Servers, topic: str, readings: list[Reading]) -> int:
    subject, naive_subject = f"{topic}-value", f"{topic}-naive-value"
    screen.say(f"{len(readings):,} {SOURCE}, one Avro message each.")
    if there.embedded:
        screen.say(
            "Both servers run in this process: librdkafka's mock broker, and the registry of kafka_sr_retry.testing."
        )
    else:
        screen.say(
            f"Kafka {there.bootstrap_servers}, registry {there.registry_url} behind a proxy that injects faults."
        )
        screen.say(f"This leaves behind: topic {topic}, subject {subject}.")
    screen.say(
        f"Injected on purpose, for each sender: its first {len(FAULTS)} registrations are answered {FAULTS_IN_WORDS}. "
        "All other answers are the registry's own."
    )

    screen.title("A naive loop, whose attempts share one reader of the body")
    there.fail_registrations(naive_subject)
    screen.attempts()
    for number, answer in enumerate(naive_loop(there.faulty.url, naive_subject), 1):
        body = there.registrations(naive_subject)[-1].body
        digest = hashlib.sha256(body).hexdigest()
        screen.attempt(Attempt(number, there.faulty.url, len(body), digest, answer.waited, answer.status, answer.text))

    screen.title("AvroSerializer, which encodes the body once and sends all of it each time")
    there.fail_registrations(subject)
    screen.attempts()
    began = time.monotonic()
    send(there, topic, screen.progress("sent", readings, len(readings)), screen.on_event)
    received = list(screen.progress("read back", read_back(there, topic), len(readings)))
    seconds = time.monotonic() - began

    screen.title("Result")
    ours, naive = there.registrations(subject), there.registrations(naive_subject)
    comparison = compare(readings, received)
    screen.requests(ours, naive)
    screen.rows(comparison, seconds)
    if comparison.differences:
        screen.fail(f"Rows are missing or differ, at {len(comparison.differences)} places.")
        return 1
    if len({request.body for request in ours}) != 1:
        screen.fail("AvroSerializer's registrations did not all carry the same body.")
        return 1
    screen.say(
        f"All {comparison.equal:,} rows came back equal. The registry failed on purpose, and each of AvroSerializer's "
        f"{len(ours)} requests carried all {len(ours[0].body)} bytes; the naive loop's carried "
        f"{', '.join(str(len(request.body)) for request in naive)}, and its last answer was: {answer.text}",
        "bold",
    )
    return 0
