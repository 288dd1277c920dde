"""What is measured, and by which event: the same in every back end, under labels with few values.

OpenTelemetry's names are ``kafka_sr_retry.`` and a metric's name; Prometheus writes ``_`` for each dot and adds
``_seconds`` and ``_total``, as its exporters for OpenTelemetry do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from kafka_sr_retry.events import (
    AttemptEvent,
    BodyLostEvent,
    Event,
    FailoverEvent,
    GiveUpEvent,
    IdChangedEvent,
    MessageFailedEvent,
    RefusalEvent,
    RetryEvent,
    StaleEvent,
    StoredIdEvent,
    SuccessEvent,
)
from kafka_sr_retry.registry.living import Living
from kafka_sr_retry.registry.outage import WRITES
from kafka_sr_retry.registry.policy import TABLE, TOKENS, Action

if TYPE_CHECKING:
    from kafka_sr_retry.registry.client import SchemaRegistryClient

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
"""Seconds: from a registry on the same machine to well over the default ``total.timeout.ms``."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: behind ``kafka_sr_retry.``.
        unit: as UCUM writes it; ``s`` makes a histogram of a counter.
        labels: names of its labels.
        meaning: for the operator who meets it.
    """

    name: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


CALL_DURATION = Metric(
    "call.duration",
    "s",
    ("operation", "result"),
    "Time of a call to the registry with all its attempts and waits; the count is the number of calls. A message whose "
    "schema id is known makes none. Result look_up: the schema may not be registered, so it is looked up in a call of "
    "its own. Result served: given up, while what was known before stays in use.",
)
ATTEMPTS = Metric(
    "attempts",
    "{attempt}",
    ("endpoint", "status", "error_code", "outcome"),
    "HTTP requests to the registry or the token server, by how they ended. Status none: no answer came; a status that "
    "HTTP does not define counts as its class, such as 500 for 599. Error_code other: none that is known for its "
    "status.",
)
ATTEMPT_DURATION = Metric(
    "attempt.duration",
    "s",
    ("endpoint",),
    "Time of one HTTP request, from the name look-up to the last byte of the answer, or to its failure.",
)
RETRIES = Metric(
    "retries",
    "{retry}",
    ("reason",),
    "Rounds over the endpoints that were begun anew after a wait, because the round before brought no answer; by the "
    "outcome of its last attempt.",
)
FAILOVERS = Metric(
    "failovers",
    "{failover}",
    ("endpoint", "reason"),
    "Times that the next endpoint was asked at once because this one did not serve.",
)
LOST_BODIES = Metric(
    "lost_bodies",
    "{request}",
    ("endpoint",),
    "Requests that arrived empty at the registry though a body was sent. Anything above 0: a proxy or gateway on the "
    "way drops request bodies.",
)
FAILED_REGISTRATIONS = Metric(
    "failed_registrations",
    "{call}",
    ("reason",),
    "Registrations of a schema that failed for the caller: refused for good, or given up. Their messages were not "
    "sent to Kafka.",
)
FAILED_MESSAGES = Metric(
    "failed_messages",
    "{message}",
    ("reason",),
    "Messages that a serializer has refused, or given up waiting for: they were not sent to Kafka. Each one counts, "
    "also where a refusal is remembered and the registry is not asked. Reason misfit: the object does not fit the "
    "schema.",
)
STALE_READS = Metric(
    "stale_reads",
    "{refresh}",
    (),
    "Times that what was known serves on, as the registry did not answer: a subject's latest version that could not be "
    "refreshed, or an id of the file under cache.path.",
)
CHANGED_IDS = Metric(
    "changed_ids",
    "{id}",
    ("change",),
    "Known ids that the registry no longer tells for the same schema. Anything above 0: it was wiped or restored, or a "
    "subject was deleted; messages since then may have ids that readers do not find. Change gone: it does not know the "
    "schema, another: it tells another id.",
)
COUNTED = (
    CALL_DURATION,
    ATTEMPTS,
    ATTEMPT_DURATION,
    RETRIES,
    FAILOVERS,
    LOST_BODIES,
    FAILED_REGISTRATIONS,
    FAILED_MESSAGES,
    STALE_READS,
    CHANGED_IDS,
)

BREAKER_OPEN = Metric(
    "breaker.open",
    "",
    ("endpoint",),
    "1 while calls wait for one probe of this endpoint, else 0. Endpoint writes: the cluster has no leader for new "
    "schemas.",
)
ENDPOINT_UP = Metric(
    "endpoint.up",
    "",
    ("endpoint",),
    "0 after an attempt at this endpoint has failed, until one succeeds or it was left alone for a minute; else 1.",
)
KNOWN_IDS = Metric("known_ids", "", (), "Answers of the registry that are remembered, and so need no request.")
CALLS_WAITING = Metric("calls_waiting", "", (), "Calls to the registry that are under way, their waits included.")
GAUGES = (BREAKER_OPEN, ENDPOINT_UP, KNOWN_IDS, CALLS_WAITING)

Labels = tuple[str, ...]
"""Values, in the order of ``Metric.labels``."""

Measured = tuple[Metric, Labels, float]

_GOES_ON = (Action.NEXT, Action.REST, Action.NO_LEADER, Action.SKIP, Action.ELSEWHERE)
_FAILOVER_REASONS = {row.name for row in TABLE if row.action in _GOES_ON}
_RETRY_REASONS = _FAILOVER_REASONS | {row.name for row in TOKENS if row.action in _GOES_ON}
_FAILURES = {row.name for row in TABLE if row.action is not Action.ACCEPT} | {"outage", "credentials"}
_NOT_SENT = _FAILURES | {row.name for row in TOKENS if row.action is not Action.ACCEPT}
_NOT_SENT |= {"misfit", "configuration", "other"}
_FAILED = ("refusal", "give_up")
_RESULTS = ("success", *_FAILED, "look_up", "served")

# nginx's, and those of Cloudflare, which Confluent Cloud and others stand behind
_STATUSES = {*map(int, HTTPStatus), 499, *range(520, 528), 530}

# Confluent's Errors.java, of which Karapace and Apicurio speak a part, and Confluent Cloud's 40101 and 40301
_ERROR_CODES = {40101, 40301, *range(40401, 40410), 40901, *range(42201, 42212), *range(50001, 50005)}


def measured(event: Event) -> Iterator[Measured]:
    """What an event adds to which metrics."""
    match event:
        case AttemptEvent():
            status = "none" if event.status is None else str(known_status(event.status))
            error_code = _error_code_label(event.status, event.error_code)
            yield ATTEMPTS, (event.endpoint, status, error_code, event.outcome), 1
            yield ATTEMPT_DURATION, (event.endpoint,), event.seconds
        case SuccessEvent() | RefusalEvent() | GiveUpEvent():
            result = result_of(event)
            yield CALL_DURATION, (event.operation, result), event.seconds
            if event.operation == "register" and not isinstance(event, SuccessEvent) and result in _FAILED:
                yield FAILED_REGISTRATIONS, (event.reason,), 1
        case RetryEvent():
            yield RETRIES, (event.reason,), 1
        case FailoverEvent():
            yield FAILOVERS, (event.failed, event.reason), 1
        case BodyLostEvent():
            yield LOST_BODIES, (event.endpoint,), 1
        case MessageFailedEvent():
            yield FAILED_MESSAGES, (event.reason if event.reason in _NOT_SENT else "other",), 1
        case StaleEvent() | StoredIdEvent():
            yield STALE_READS, (), 1
        case IdChangedEvent():
            yield CHANGED_IDS, ("gone" if event.new_id is None else "another",), 1


def series_at_zero(client: SchemaRegistryClient) -> Iterator[tuple[Metric, Labels]]:
    """The series that exist from the client's construction on, as a rate over a series misses what made it appear."""
    yield from ((CALL_DURATION, ("register", result)) for result in _RESULTS)
    yield from ((RETRIES, (reason,)) for reason in sorted(_RETRY_REASONS))
    yield from ((FAILED_REGISTRATIONS, (reason,)) for reason in sorted(_FAILURES))
    yield from ((FAILED_MESSAGES, (reason,)) for reason in sorted(_NOT_SENT))
    yield STALE_READS, ()
    yield from ((CHANGED_IDS, (change,)) for change in ("another", "gone"))
    urls = [state.endpoint for state in client.state().endpoints if state.endpoint != WRITES]
    yield from ((LOST_BODIES, (url,)) for url in urls)
    if len(urls) > 1:
        yield from ((FAILOVERS, (url, reason)) for url in urls for reason in sorted(_FAILOVER_REASONS))


def result_of(event: SuccessEvent | RefusalEvent | GiveUpEvent) -> str:
    """How a call ended."""
    if isinstance(event, RefusalEvent):
        return "look_up" if event.look_up else "refusal"
    if isinstance(event, GiveUpEvent):
        return "served" if event.served else "give_up"
    return "success"


def known_status(status: int) -> int:
    """The status, or its class where HTTP defines no such status (RFC 9110, section 15)."""
    return status if status in _STATUSES else min(status // 100, 5) * 100


def _error_code_label(status: int | None, error_code: int | None) -> str:
    if status is None or error_code is None:
        return "none"
    own = error_code in _ERROR_CODES and error_code // 100 == status
    return str(error_code) if own or error_code == status == known_status(status) else "other"


def read_gauges(*watched: Living[SchemaRegistryClient]) -> Iterator[Measured]:
    """The gauges as they are now. Where clients share an endpoint, the one that it fares worst with counts."""
    states = [client.state() for client in set().union(*watched)]
    endpoints = [endpoint for state in states for endpoint in state.endpoints]
    for name in dict.fromkeys(endpoint.endpoint for endpoint in endpoints):
        yield BREAKER_OPEN, (name,), int(any(each.open for each in endpoints if each.endpoint == name))
        if name != WRITES:
            yield ENDPOINT_UP, (name,), int(all(each.up for each in endpoints if each.endpoint == name))
    yield KNOWN_IDS, (), sum(state.known for state in states)
    yield CALLS_WAITING, (), sum(state.waiting for state in states)
