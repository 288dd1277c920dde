"""What Prometheus scrapes is what the registry saw, under labels that nobody outside can multiply."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from clocks import SkippingClock
from confluent_kafka import SerializingProducer
from confluent_kafka.serialization import MessageField, SerializationContext
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from servers import TokenServer

from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder, Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import BreakerEvent, Event, StaleEvent
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
from kafka_sr_retry.testing import (
    Answer,
    Exchange,
    Fault,
    KafkaMockCluster,
    SchemaRegistryServer,
    drop_body,
    error,
    no_leader,
    reset,
)

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
OTHER = Schema('"string"')
ATTEMPTS = "kafka_sr_retry_attempts_total"
CALLS = "kafka_sr_retry_call_duration_seconds_count"
FAILED = "kafka_sr_retry_failed_registrations_total"
LABELS = ("operation", "result", "endpoint", "status", "error_code", "outcome", "reason", "change", "le")
GUARD = 20
"""Seconds until a wait that should be short has failed."""


class Metrics:
    """A registry of metrics, and clients that are counted there."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instrumentation = PrometheusInstrumentation(self.registry)
        self.clock = SkippingClock()
        self.stack = ExitStack()

    def client(self, *urls: str, hear: Callable[[Event], object] | None = None, **conf: Any) -> SchemaRegistryClient:
        listeners = [self.instrumentation, *([] if hear is None else [hear])]
        named = {key.replace("_", "."): value for key, value in conf.items()}
        made = SchemaRegistryClient({"url": list(urls), "event_cb": listeners, **named}, clock=self.clock)
        self.stack.callback(made.close)
        return made

    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def scrape(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Samples by name and label values."""
        return parsed(self.text())

    def counted(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of one name that are not 0."""
        return {labels: value for labels, value in self.scrape().get(name, {}).items() if value}


def parsed(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name and label values, in the order of ``LABELS``."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values = tuple(sample.labels[name] for name in LABELS if name in sample.labels)
            found.setdefault(sample.name, {})[values] = sample.value
    return found


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    made = Metrics()
    with made.stack:
        yield made


def fails(ask: Callable[[], object]) -> None:
    with pytest.raises(SchemaRegistryError):
        ask()


# -- the numbers -------------------------------------------------------------------------------


def test_a_scrape_tells_what_the_registry_saw(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    client = metrics.client(schema_registry.url)
    schema_registry.fail_next(reset(), no_leader(), error(503))
    client.register_schema("orders-value", ORDER)
    client.get_latest_version("orders-value")
    fails(lambda: client.lookup_schema("orders-value", OTHER))

    server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics.registry)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=GUARD) as answer:
        scraped = parsed(str(answer.read(), "utf-8"))
    server.shutdown()
    server.server_close()
    thread.join(GUARD)

    seen = Counter("none" if r.answer is None else str(r.answer) for r in schema_registry.requests)
    assert seen == {"500": 1, "503": 1, "none": 1, "200": 2, "404": 1}
    by_status: Counter[str] = Counter()
    for labels, value in scraped[ATTEMPTS].items():
        by_status[labels[1]] += int(value)
    assert by_status == seen
    url = schema_registry.url
    assert scraped[ATTEMPTS] == {
        (url, "500", "50003", "no_leader"): 1,
        (url, "503", "503", "server_error"): 1,
        (url, "none", "none", "connection"): 1,
        (url, "200", "none", "success"): 2,
        (url, "404", "40403", "not_found"): 1,
    }
    assert scraped["kafka_sr_retry_attempt_duration_seconds_count"] == {(url,): len(schema_registry.requests)}
    calls = {labels: value for labels, value in scraped[CALLS].items() if value}
    assert calls == {("register", "success"): 1, ("get_version", "success"): 1, ("look_up", "refusal"): 1}
    retries = {labels: value for labels, value in scraped["kafka_sr_retry_retries_total"].items() if value}
    assert retries == {("no_leader",): 1, ("server_error",): 1, ("connection",): 1}
    attempts_time = scraped["kafka_sr_retry_attempt_duration_seconds_sum"][(url,)]
    assert 0 < attempts_time <= sum(scraped["kafka_sr_retry_call_duration_seconds_sum"].values())


def test_the_labels_have_the_names_that_rules_and_dashboards_use(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(error(503))
    metrics.client(schema_registry.url, "http://127.0.0.1:9").register_schema("orders-value", ORDER)
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text()):
        assert len(family.documentation) > 40
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                labels.setdefault(sample.name, set()).update(sample.labels)
    histograms = {
        f"kafka_sr_retry_{name}_seconds_{part}": names | ({"le"} if part == "bucket" else set())
        for name, names in (("call_duration", {"operation", "result"}), ("attempt_duration", {"endpoint"}))
        for part in ("bucket", "count", "sum")
    }
    assert labels == {
        **histograms,
        ATTEMPTS: {"endpoint", "status", "error_code", "outcome"},
        FAILED: {"reason"},
        "kafka_sr_retry_failed_messages_total": {"reason"},
        "kafka_sr_retry_retries_total": {"reason"},
        "kafka_sr_retry_failovers_total": {"endpoint", "reason"},
        "kafka_sr_retry_lost_bodies_total": {"endpoint"},
        "kafka_sr_retry_stale_reads_total": set(),
        "kafka_sr_retry_changed_ids_total": {"change"},
        "kafka_sr_retry_breaker_open": {"endpoint"},
        "kafka_sr_retry_endpoint_up": {"endpoint"},
        "kafka_sr_retry_known_ids": set(),
        "kafka_sr_retry_calls_waiting": set(),
    }


def test_the_buckets_reach_from_milliseconds_over_a_minute(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    metrics.client(schema_registry.url).register_schema("orders-value", ORDER)
    scraped = metrics.scrape()
    for name in ("call_duration", "attempt_duration"):
        labels = scraped[f"kafka_sr_retry_{name}_seconds_bucket"]
        edges = sorted({float(values[-1]) for values in labels})
        assert edges[0] == 0.005
        assert 30 in edges  # the default of total.timeout.ms
        assert edges[-2] >= 60


def test_a_failover_is_counted_at_the_endpoint_that_failed(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    with SchemaRegistryServer() as first:
        first.fail_next(error(500))
        metrics.client(first.url, schema_registry.url).register_schema("orders-value", ORDER)
    assert metrics.counted("kafka_sr_retry_failovers_total") == {(first.url, "server_error"): 1}
    assert metrics.counted("kafka_sr_retry_retries_total") == {}


def test_a_lost_body_is_counted(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(drop_body())
    fails(lambda: metrics.client(schema_registry.url).register_schema("orders-value", ORDER))
    assert metrics.counted("kafka_sr_retry_lost_bodies_total") == {(schema_registry.url,): 1}
    assert metrics.counted(FAILED) == {("body_lost",): 1}


def test_a_read_that_stays_stale_is_counted(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    told = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, StaleEvent):
            told.set()

    schema_registry.register("orders-value", ORDER.schema_str or "")
    client = metrics.client(schema_registry.url, hear=hear, cache_latest_ttl_sec=60, max_retries=0)
    client.get_latest_version("orders-value")
    assert metrics.scrape()["kafka_sr_retry_stale_reads_total"] == {(): 0}
    metrics.clock.later(61)
    schema_registry.fail_always(error(500))
    assert client.get_latest_version("orders-value").version == 1
    assert told.wait(GUARD)
    assert metrics.scrape()["kafka_sr_retry_stale_reads_total"] == {(): 1}


# -- registrations that fail -------------------------------------------------------------------


def test_a_refused_registration_has_failed(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.register("orders-value", OTHER.schema_str or "")
    schema_registry.incompatible("orders-value")
    fails(lambda: metrics.client(schema_registry.url).register_schema("orders-value", ORDER))
    assert metrics.counted(FAILED) == {("incompatible",): 1}
    assert metrics.counted(CALLS) == {("register", "refusal"): 1}


def test_a_registration_given_up_has_failed(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(no_leader())
    fails(lambda: metrics.client(schema_registry.url, max_retries=1).register_schema("orders-value", ORDER))
    assert metrics.counted(FAILED) == {("no_leader",): 1}
    assert metrics.counted(CALLS) == {("register", "give_up"): 1}


def test_a_schema_found_in_place_of_its_registration_has_not_failed(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.register("orders-value", ORDER.schema_str or "")
    schema_registry.fail_next(error(403))
    metrics.client(schema_registry.url).register_schema("orders-value", ORDER)
    assert metrics.counted(FAILED) == {}
    assert metrics.counted(CALLS) == {("register", "look_up"): 1, ("register", "success"): 1}


def test_a_schema_not_found_in_place_of_its_registration_has_failed_once(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(error(422, 42205))
    fails(lambda: metrics.client(schema_registry.url).register_schema("orders-value", ORDER))
    assert metrics.counted(FAILED) == {("read_only",): 1}
    assert metrics.counted(CALLS) == {("register", "look_up"): 1, ("register", "refusal"): 1}


def test_other_calls_that_fail_are_no_failed_registrations(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    fails(lambda: metrics.client(schema_registry.url).get_latest_version("absent"))
    assert metrics.counted(FAILED) == {}
    assert metrics.counted(CALLS) == {("get_version", "refusal"): 1}


def test_the_token_server_is_an_endpoint_without_its_query(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    with TokenServer() as tokens:
        client = metrics.client(
            schema_registry.url,
            bearer_auth_credentials_source="OAUTHBEARER",
            bearer_auth_client_id=tokens.ID,
            bearer_auth_client_secret="wrong",
            bearer_auth_issuer_endpoint_url=f"{tokens.endpoint}?key=s3cret",
        )
        fails(lambda: client.register_schema("orders-value", ORDER))
    assert metrics.counted(ATTEMPTS) == {(tokens.endpoint, "401", "none", "token_refused"): 1}
    assert metrics.counted(FAILED) == {("credentials",): 1}
    assert metrics.counted(CALLS) == {("token", "refusal"): 1, ("register", "refusal"): 1}
    assert "s3cret" not in metrics.text()


# -- labels ------------------------------------------------------------------------------------


def hostile(codes: Iterator[int], statuses: list[int]) -> Fault:
    """Each answer has another error code, and another of the statuses."""

    def play(exchange: Exchange) -> None:
        code = next(codes)
        body = b'{"error_code":%d,"message":"no"}' % code
        exchange.send(Answer(statuses[code % len(statuses)], body, (("Content-Type", "application/json"),)))

    return Fault("hostile", play)


def test_a_hostile_registry_cannot_multiply_the_series(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    client = metrics.client(schema_registry.url, total_timeout_ms=86_400_000, refusal_cache_ttl_ms=0)
    schema_registry.fail_next(*[hostile(count(49_000), list(range(500, 1000)))] * 1000)
    fails(lambda: client.get_version("absent"))  # in one call, until the faults are used up
    schema_registry.fail_next(*[hostile(count(40_000), list(range(400, 500)))] * 1000)
    for _ in range(1000):
        metrics.clock.later(120)
        fails(lambda: client.get_version("absent"))
    assert len(schema_registry.requests) >= 2000
    attempts = metrics.counted(ATTEMPTS)
    assert sum(attempts.values()) == len(schema_registry.requests)
    assert len(attempts) < 150
    assert all(len(status) == 3 and status.isdigit() for _, status, _, _ in attempts)
    assert {code for _, _, code, _ in attempts} <= {"other", *map(str, (40101, 40301, *range(40401, 40410)))}


@pytest.mark.parametrize(
    ("status", "code", "labels"),
    [
        (422, 42201, ("422", "42201")),
        (409, 409, ("409", "409")),
        (404, 40403, ("404", "40403")),
        (403, 40301, ("403", "40301")),
        (400, 42201, ("400", "other")),
        (422, 42299, ("422", "other")),
        (422, -1, ("422", "other")),
        (499, 2**31 - 1, ("499", "other")),
        (499, 10**40, ("499", "none")),
        (432, 432, ("400", "other")),
    ],
)
def test_known_statuses_and_codes_are_told(
    status: int, code: int, labels: tuple[str, str], metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(error(status, code, "no"))
    fails(lambda: metrics.client(schema_registry.url).lookup_schema("orders-value", ORDER))
    assert [(told, known) for _, told, known, _ in metrics.counted(ATTEMPTS)] == [labels]


def test_no_credential_is_in_what_is_scraped(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    url = schema_registry.url.replace("://", "://someone:s3cret@")
    schema_registry.fail_next(error(401), matching=lambda request: "refused" in request.path)
    client = metrics.client(url)
    client.register_schema("orders-value", ORDER)
    fails(lambda: client.register_schema("refused", ORDER))
    assert all(request.headers["Authorization"].startswith("Basic ") for request in schema_registry.requests)
    text = metrics.text()
    assert f'endpoint="{schema_registry.url}"' in text
    assert "s3cret" not in text
    assert "someone" not in text


def test_series_exist_before_the_first_request(metrics: Metrics) -> None:
    client = metrics.client("http://127.0.0.1:9", "http://127.0.0.2:9")
    scraped = metrics.scrape()
    urls = {("http://127.0.0.1:9",), ("http://127.0.0.2:9",)}
    results = ("success", "refusal", "give_up", "look_up", "served")
    assert {("register", result) for result in results} == scraped[CALLS].keys()
    assert urls == scraped["kafka_sr_retry_lost_bodies_total"].keys()
    assert {("no_leader",), ("incompatible",), ("outage",), ("credentials",)} <= scraped[FAILED].keys()
    assert {("another",), ("gone",)} == scraped["kafka_sr_retry_changed_ids_total"].keys()
    assert ("success",) not in scraped[FAILED]
    assert {("no_leader",), ("connection",), ("credentials",)} <= scraped["kafka_sr_retry_retries_total"].keys()
    assert ("incompatible",) not in scraped["kafka_sr_retry_retries_total"]
    assert {(*url, "connection") for url in urls} <= scraped["kafka_sr_retry_failovers_total"].keys()
    counters = [name for name in scraped if name.endswith(("_total", "_count"))]
    assert len(counters) == 8
    assert not any(value for name in counters for value in scraped[name].values())
    assert scraped["kafka_sr_retry_endpoint_up"] == dict.fromkeys(urls, 1)
    assert scraped["kafka_sr_retry_breaker_open"] == dict.fromkeys([*urls, ("writes",)], 0)
    client.close()


# -- gauges ------------------------------------------------------------------------------------

OPEN = "kafka_sr_retry_breaker_open"
UP = "kafka_sr_retry_endpoint_up"
KNOWN = "kafka_sr_retry_known_ids"
WAITING = "kafka_sr_retry_calls_waiting"


def test_an_outage_shows_until_it_is_over(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    client = metrics.client(schema_registry.url, max_retries=4)
    schema_registry.fail_next(*[error(502)] * 5)
    fails(lambda: client.register_schema("orders-value", ORDER))
    scraped = metrics.scrape()
    assert scraped[UP] == {(schema_registry.url,): 0}
    assert scraped[OPEN] == {(schema_registry.url,): 1, ("writes",): 0}
    client.register_schema("orders-value", ORDER)
    scraped = metrics.scrape()
    assert scraped[UP] == {(schema_registry.url,): 1}
    assert scraped[OPEN] == {(schema_registry.url,): 0, ("writes",): 0}


def test_a_cluster_without_a_leader_shows_at_writes(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.lose_leader()
    fails(lambda: metrics.client(schema_registry.url, max_retries=4).register_schema("orders-value", ORDER))
    scraped = metrics.scrape()
    assert scraped[UP] == {(schema_registry.url,): 1}
    assert scraped[OPEN] == {(schema_registry.url,): 0, ("writes",): 1}


def test_clients_count_together_for_as_long_as_they_live(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    url = schema_registry.url
    well = metrics.client(url)
    for subject in ("a", "b"):
        well.register_schema(subject, ORDER)
    ill = SchemaRegistryClient({"url": url, "event_cb": metrics.instrumentation, "max.retries": 4}, clock=metrics.clock)
    ill.register_schema("c", ORDER)
    schema_registry.fail_next(*[error(502)] * 5)
    with pytest.raises(SchemaRegistryError):
        ill.register_schema("d", ORDER)
    scraped = metrics.scrape()
    assert (scraped[KNOWN][()], scraped[UP][(url,)], scraped[OPEN][(url,)]) == (3, 0, 1)
    ill.close()
    del ill
    gc.collect()
    scraped = metrics.scrape()
    assert (scraped[KNOWN][()], scraped[UP][(url,)], scraped[OPEN][(url,)]) == (2, 1, 0)
    well.close()


def test_calls_under_way_show(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    arrived, go = threading.Semaphore(0), threading.Event()

    def wait(exchange: Exchange) -> None:
        arrived.release()
        go.wait(GUARD)
        exchange.send(exchange.real_answer())

    client = metrics.client(schema_registry.url)
    schema_registry.fail_always(Fault("wait", wait))
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(client.register_schema, f"s{number}", ORDER) for number in range(3)]
        assert all(arrived.acquire(timeout=GUARD) for _ in asked)
        assert metrics.scrape()[WAITING] == {(): 3}
        go.set()
        assert [future.result() for future in asked] == [1, 1, 1]
    assert metrics.scrape()[WAITING] == {(): 0}
    assert metrics.scrape()[KNOWN] == {(): 3}


# -- threads, processes, producers -------------------------------------------------------------


def test_many_threads_lose_no_count(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    clients = [metrics.client(schema_registry.url) for _ in range(2)]
    sums = []
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(clients[n % 2].register_schema, f"s{n}", ORDER) for n in range(200)]
        sums = [sum(metrics.counted(ATTEMPTS).values()) for _ in range(10)]  # scraped meanwhile
        assert {future.result() for future in asked} == {1}
    assert sums == sorted(sums)
    assert len(schema_registry.requests) == 200
    assert metrics.counted(ATTEMPTS) == {(schema_registry.url, "200", "none", "success"): 200}
    assert metrics.counted(CALLS) == {("register", "success"): 200}


def test_two_with_one_registry_count_together(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    other = PrometheusInstrumentation(metrics.registry)
    apart = PrometheusInstrumentation(CollectorRegistry())
    metrics.client(schema_registry.url).register_schema("a", ORDER)
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": [other, apart]}) as client:
        client.register_schema("b", ORDER)
        assert metrics.counted(CALLS) == {("register", "success"): 2}
        assert metrics.scrape()[KNOWN] == {(): 2}


def test_two_with_one_registry_at_one_client_count_once(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    apart = Metrics()
    other = PrometheusInstrumentation(metrics.registry)
    both_threads = threading.Barrier(2, timeout=GUARD)
    listeners = [metrics.instrumentation, lambda _: both_threads.wait(), other, other, apart.instrumentation]
    clients = [SchemaRegistryClient({"url": schema_registry.url, "event_cb": listeners}) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for number in range(5):
            assert list(pool.map(lambda client, n=number: client.register_schema(f"s{n}", ORDER), clients)) == [1, 1]
    for each in (metrics, apart):
        assert each.counted(ATTEMPTS) == {(schema_registry.url, "200", "none", "success"): 10}
        assert each.counted(CALLS) == {("register", "success"): 10}
        assert each.scrape()[KNOWN] == {(): 10}
    for client in clients:
        client.close()


def test_a_new_one_shows_again_what_was_unregistered(metrics: Metrics, schema_registry: SchemaRegistryServer) -> None:
    class Registry(CollectorRegistry):
        def register(self, collector: Collector) -> None:
            super().register(collector)
            registered.append(collector)

    registered: list[Collector] = []
    metrics.registry = Registry()
    metrics.instrumentation = PrometheusInstrumentation(metrics.registry)
    metrics.client(schema_registry.url).register_schema("a", ORDER)
    PrometheusInstrumentation(metrics.registry)
    (collector,) = registered
    metrics.registry.unregister(collector)
    assert metrics.scrape() == {}
    metrics.instrumentation = PrometheusInstrumentation(metrics.registry)
    metrics.client(schema_registry.url).register_schema("b", ORDER)
    assert metrics.counted(CALLS) == {("register", "success"): 2}


def test_names_that_somebody_else_has_registered_are_an_error() -> None:
    registry = CollectorRegistry()
    Gauge("kafka_sr_retry_known_ids", "somebody else's", registry=registry)
    for _ in range(2):
        with pytest.raises(ValueError, match="kafka_sr_retry_known_ids"):
            PrometheusInstrumentation(registry)


def test_a_known_id_calls_no_listener_in_a_thousand_messages(
    metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    heard: list[Event] = []
    serializer = AvroSerializer(metrics.client(schema_registry.url, hear=heard.append), ORDER.schema_str)
    context = SerializationContext("orders", MessageField.VALUE)
    serializer({"id": 0}, context)
    assert heard
    heard.clear()
    before = metrics.text()
    for number in range(1000):
        serializer({"id": number}, context)
    assert heard == []
    assert metrics.text() == before
    assert len(schema_registry.requests) == 1


def test_a_producer_is_counted_by_its_configuration(
    metrics: Metrics, schema_registry: SchemaRegistryServer, kafka_cluster: KafkaMockCluster
) -> None:
    schema_registry.fail_next(no_leader(), error(503))
    topic = f"orders-{uuid.uuid4().hex}"
    delivered: list[Any] = []
    producer = SerializingProducer(
        {
            "bootstrap.servers": kafka_cluster.bootstrap_servers,
            "schema.registry.url": schema_registry.url,
            "schema.registry.event_cb": metrics.instrumentation,
            "key.serializer.builder": AvroSerializerBuilder(schema='"string"'),
            "value.serializer.builder": AvroSerializerBuilder(schema=ORDER.schema_str),
        }
    )
    with producer:
        producer.produce(topic, key="a", value={"id": 0}, on_delivery=lambda failed, _: delivered.append(failed))
        before = metrics.text()
        for number in range(99):
            producer.produce(
                topic, key="b", value={"id": number}, on_delivery=lambda failed, _: delivered.append(failed)
            )
        assert metrics.text() == before
    assert delivered == [None] * 100
    assert len(schema_registry.requests) == 4
    assert sum(metrics.counted(ATTEMPTS).values()) == 4
    assert metrics.counted(CALLS) == {("register", "success"): 2}
    assert metrics.scrape()[KNOWN] == {(): 2}


# A series' key is hashed under our lock and the official client's: there another thread stands still until the fork
# begins, and a while longer.
FORK = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from prometheus_client import REGISTRY
from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.events import RetryEvent
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
inside, forking = threading.Event(), threading.Event()
class Reason(str):
    def __str__(self):
        return self
    def __hash__(self):
        inside.set()
        forking.wait()
        threading.Event().wait(0.3)
        return str.__hash__(self)
listen = PrometheusInstrumentation()
client = SchemaRegistryClient({"url": sys.argv[1], "event_cb": listen})
held = RetryEvent(call=0, operation="register", asked="", round=1, wait=0.0, reason=Reason("held"))
threading.Thread(target=listen, args=(held,), daemon=True).start()
inside.wait()
os.register_at_fork(before=forking.set)
child = os.fork()
if not child:
    signal.alarm(10)
    client.register_schema("child", Schema('"string"'))
    listen(RetryEvent(call=0, operation="register", asked="", round=1, wait=0.0, reason="connection"))
    done = REGISTRY.get_sample_value("kafka_sr_retry_retries_total", {"reason": "connection"})
    os._exit(0 if done == 1 else 1)
sys.exit(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_a_metric_is_locked_does_not_hold_the_child(schema_registry: SchemaRegistryServer) -> None:
    done = run(FORK, schema_registry.url)
    assert done.returncode == 0, done.stderr
    assert [request.path for request in schema_registry.requests] == ["/subjects/child/versions"]


MULTIPROCESS = """
import os, sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
client = SchemaRegistryClient({"url": sys.argv[1], "event_cb": PrometheusInstrumentation()})
client.register_schema("parent", Schema('"string"'))
child = os.fork()
if not child:
    client.register_schema("child", Schema('"string"'))
    os._exit(0)
os.waitpid(child, 0)
registry = CollectorRegistry()
MultiProcessCollector(registry)
sys.stdout.write(generate_latest(registry).decode())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_processes_with_one_folder_are_added_up(schema_registry: SchemaRegistryServer, tmp_path: Path) -> None:
    done = run(MULTIPROCESS, schema_registry.url, PROMETHEUS_MULTIPROC_DIR=str(tmp_path), PYTHONWARNINGS="ignore")
    assert f'{CALLS}{{operation="register",result="success"}} 2.0' in done.stdout, done.stderr
    assert "breaker_open" not in done.stdout
    assert "endpoint_up" not in done.stdout


def test_it_can_be_pickled_with_its_client(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url, "event_cb": PrometheusInstrumentation()})
    labels = {"operation": "register", "result": "success"}
    before = REGISTRY.get_sample_value(CALLS, labels)
    assert before is not None
    with client, pickle.loads(pickle.dumps(client)) as copy:
        copy.register_schema("orders-value", ORDER)
    assert REGISTRY.get_sample_value(CALLS, labels) == before + 1


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_configuration_counts_at_the_same_registry(
    copied: Callable[[Any], Any], metrics: Metrics, schema_registry: SchemaRegistryServer
) -> None:
    conf = {"url": schema_registry.url, "event_cb": copied(metrics.instrumentation)}
    with SchemaRegistryClient(copied(conf)) as client:
        client.register_schema("orders-value", ORDER)
    assert metrics.counted(CALLS) == {("register", "success"): 1}


def test_one_with_a_registry_of_its_own_says_why_it_cannot_be_pickled(metrics: Metrics) -> None:
    with pytest.raises(TypeError, match="a registry of its own cannot be pickled"):
        pickle.dumps(metrics.instrumentation)


# -- the extra ---------------------------------------------------------------------------------


def test_the_package_does_without_the_back_ends(schema_registry: SchemaRegistryServer) -> None:
    code = """
import sys
from kafka_sr_retry import Schema, SchemaRegistryClient
with SchemaRegistryClient({"url": sys.argv[1]}) as client:
    client.register_schema("orders-value", Schema('"string"'))
print([name for name in sys.modules if name.partition(".")[0] in ("prometheus_client", "opentelemetry")])
"""
    assert run(code, schema_registry.url).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "package"), [("prometheus", "prometheus_client"), ("opentelemetry", "opentelemetry")]
)
def test_a_missing_extra_is_named(module: str, package: str) -> None:
    code = f"import sys; sys.modules['{package}'] = None; import kafka_sr_retry.instrumentation.{module}"
    last = run(code).stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"needs {package}: pip install 'kafka-sr-retry[{module}]'" in last


def test_a_breaker_event_alone_changes_no_counter(metrics: Metrics) -> None:
    before = metrics.text()
    metrics.instrumentation(
        BreakerEvent(call=1, operation="register", asked="", endpoint="http://a", open=True, failures=3, seconds=1.0)
    )
    assert metrics.text() == before
