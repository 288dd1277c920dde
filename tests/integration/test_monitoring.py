"""The rules of examples/monitoring: what promtool says of them, and each alert on a real Prometheus that scrapes real
producers, whose registries fail and recover."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from stack import StackError, process, prometheus
from stack.services import free_ports

from kafka_sr_retry.testing import RecordedRequest, SchemaRegistryServer, drop_body, error

MONITORING = Path(__file__).parents[2] / "examples/monitoring"
RULES = MONITORING / "rules.yml"

SECONDS = 60
"""For all alerts to fire, and again for all to clear: a guard."""

PRODUCER = """\
import itertools, json, sys, threading

from confluent_kafka.serialization import MessageField, SerializationContext
from prometheus_client import start_http_server

from kafka_sr_retry import AvroSerializer, Schema, SchemaRegistryClient
from kafka_sr_retry.errors import RegistryUnavailableError, SchemaRegistryError
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

port, conf = int(sys.argv[1]), json.loads(sys.argv[2])
client = SchemaRegistryClient({**conf, "event_cb": PrometheusInstrumentation()})
topics = itertools.count()
pace = threading.Event()

def produce(serializer):
    sent = True
    while not pace.wait(1):
        if sent:
            context = SerializationContext(f"orders-{next(topics)}", MessageField.VALUE)
        try:
            serializer("an order", context)
            sent = True
        except SchemaRegistryError as error:
            sent = not isinstance(error, RegistryUnavailableError)

def look_up(_, context):
    client.lookup_schema(f"{context.topic}-value", Schema('"string"'))

start_http_server(port, "127.0.0.1")
for serializer in [AvroSerializer(client, '"string"')] * 8 + [look_up] * 2:
    threading.Thread(target=produce, args=[serializer], daemon=True).start()
pace.wait()
"""
"""Each message has a subject of its own, so each asks the registry; what was not sent in an outage is sent again."""


@pytest.fixture(autouse=True)
def programs() -> None:
    """A machine without them fails in one line: a skip would hide that nothing was tested."""
    try:
        for program in ("prometheus", "promtool"):
            prometheus.required(program)
    except StackError as missing:
        raise pytest.fail.Exception(str(missing), pytrace=False) from None


# -- promtool -----------------------------------------------------------------------------------------


def test_the_rules_are_valid() -> None:
    checked = prometheus.promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout


def test_the_scrape_config_is_valid() -> None:
    checked = prometheus.promtool("check", "config", MONITORING / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout


def test_the_rules_pass_their_tests() -> None:
    tested = prometheus.promtool("test", "rules", MONITORING / "rules_test.yml")
    assert tested.returncode == 0, tested.stdout


MUTATIONS = [
    ("kafka_sr_retry_lost_bodies_total", "kafka_sr_retry_lost_body_total"),
    ("or increase(kafka_sr_retry_lost_bodies_total[10m])", ""),
    ("max_over_time(kafka_sr_retry_lost_bodies_total[10m])", "kafka_sr_retry_lost_bodies_total"),
    ("present_over_time(kafka_sr_retry_lost_bodies_total[10m] offset 10m)",
     "kafka_sr_retry_lost_bodies_total offset 10m"),
    ("kafka_sr_retry_lost_bodies:increase10m > 0", "kafka_sr_retry_lost_bodies:increase10m > 2"),
    ("kafka_sr_retry_failed_messages:increase10m > 0", "kafka_sr_retry_failed_messages:increase10m > 1000"),
    ("kafka_sr_retry_failed_registrations:increase10m > 0", "kafka_sr_retry_failed_registrations:increase10m > 1"),
    ('{operation!="register"} > 0', "> 0"),
    ('result="give_up"', 'result="refusal"'),
    ('{endpoint="writes"}', ""),
    ('{endpoint!="writes"}', ""),
    ("for: 2m", "for: 1m"),
    ("for: 5m", "for: 7m"),
    ("for: 15m", "for: 5m"),
    ('increase5m{outcome="success"} > 0', 'increase5m{outcome="success"} > 100'),
    ("p99_10m > 5\n", "p99_10m > 4.9\n"),
    ('{le="+Inf"} >= 5', '{le="+Inf"} >= 4'),
    ("ratio5m > 0.05", "ratio5m > 0.049"),
    ('{status="422"}) >= 3', '{status="422"}) >= 2'),
    ("severity: critical", "severity: warning"),
    ("docs/failures.md#no-leader", "docs/failures.md#leader"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), MUTATIONS)
def test_a_broken_rule_fails_their_tests(old: str, new: str, tmp_path: Path) -> None:
    rules = RULES.read_text()
    assert old in rules
    shutil.copy(MONITORING / "rules_test.yml", tmp_path)
    (tmp_path / "rules.yml").write_text(rules.replace(old, new))
    assert prometheus.promtool("check", "rules", tmp_path / "rules.yml").returncode == 0
    assert prometheus.promtool("test", "rules", tmp_path / "rules_test.yml").returncode == 1


def dashboard_queries(window: str) -> list[tuple[str, str]]:
    """(panel, query) with what Grafana puts for its variables."""
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    found = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
    for variable, value in {"$job": ".+", "$__rate_interval": window, "$__range": window}.items():
        found = [(title, query.replace(variable, value)) for title, query in found]
    return found


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    queries = [query for _, query in dashboard_queries("5m")]
    rules = [{"record": f"panel:query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = prometheus.promtool("check", "rules", tmp_path / "queries.yml")
    assert checked.returncode == 0, checked.stdout
    assert not [query for query in queries if "$" in query]


# -- a real Prometheus --------------------------------------------------------------------------------


def minutes_as_seconds(rules: str) -> str:
    """Each ``[10m]``, ``offset 10m`` and ``for: 10m`` in seconds, and nothing else."""
    return re.sub(r"\b(\d+)m\b", r"\1s", rules)


def test_minutes_become_seconds_in_ranges_and_durations_only() -> None:
    assert minutes_as_seconds("x:increase10m{} > increase(y[10m] offset 5m)") == (
        "x:increase10m{} > increase(y[10s] offset 5s)"
    )
    assert minutes_as_seconds("for: 15m") == "for: 15s"


@dataclass
class Job:
    """A producer process that has a registry of its own, and the trouble that comes and goes.

    Attributes:
        alerts: that fire meanwhile.
    """

    name: str
    alerts: set[str]
    trouble: Callable[[Job], object] = lambda job: None
    recovery: Callable[[Job], object] = lambda job: job.registry.recover()
    conf: dict[str, int] = field(default_factory=lambda: {"total.timeout.ms": 1000})
    registry: SchemaRegistryServer = field(default_factory=SchemaRegistryServer)
    folder: Path = Path()

    def start(self, folder: Path, port: int) -> None:
        self.folder = folder / self.name
        self.folder.mkdir()
        (self.folder / "producer.py").write_text(PRODUCER)
        conf = json.dumps({"url": self.registry.url, **self.conf})
        process.start(self.folder, f"exec {sys.executable} producer.py {port} {shlex.quote(conf)}")


def registers(request: RecordedRequest) -> bool:
    return request.path.endswith("/versions")


def make_slow(job: Job) -> None:
    job.registry.delay = 6


def make_fast(job: Job) -> None:
    job.registry.delay = 0


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[list[Job]]:
    jobs = [
        Job("well", set()),
        Job(
            "leaderless",
            {"KafkaSrRetryNoLeader", "KafkaSrRetryRegistrationFailed", "KafkaSrRetryMessagesFailed"},
            lambda job: job.registry.lose_leader(),
            lambda job: job.registry.elect_leader(),
        ),
        Job(
            "bodiless",
            {"KafkaSrRetryBodyLost", "KafkaSrRetryRegistrationFailed", "KafkaSrRetryMessagesFailed"},
            lambda job: job.registry.fail_next(drop_body(), matching=registers),
        ),
        Job(
            "refused",
            {"KafkaSrRetryManyAnswers422", "KafkaSrRetryRegistrationFailed", "KafkaSrRetryMessagesFailed"},
            lambda job: job.registry.fail_always(error(422, 42201), matching=registers),
        ),
        Job(
            "down",
            {
                "KafkaSrRetryBreakerOpen",
                "KafkaSrRetryEndpointDown",
                "KafkaSrRetryGaveUp",
                "KafkaSrRetryRegistrationFailed",
                "KafkaSrRetryMessagesFailed",
            },
            lambda job: job.registry.close(),
            lambda job: job.registry.start(),
        ),
        Job(
            "gone",
            {
                "KafkaSrRetryBreakerOpen",
                "KafkaSrRetryEndpointDown",
                "KafkaSrRetryGaveUp",
                "KafkaSrRetryRegistrationFailed",
                "KafkaSrRetryMessagesFailed",
            },
            lambda job: job.registry.close(),
            lambda job: process.stop(job.folder),
        ),
        Job("slow", {"KafkaSrRetrySlowRegistrations"}, make_slow, make_fast, {"total.timeout.ms": 30_000}),
    ]
    with ExitStack() as stack:
        for job in jobs:
            stack.enter_context(job.registry)
        yield jobs


def test_each_alert_fires_in_trouble_and_clears_after_it(jobs: list[Job], tmp_path: Path) -> None:
    ports = dict(zip((job.name for job in jobs), free_ports(len(jobs)), strict=True))
    expected = {(job.name, alert) for job in jobs for alert in job.alerts}
    seen: set[tuple[str, str]] = set()

    def firing() -> set[tuple[str, str]]:
        alerts = [alert["labels"] for alert in prometheus.alerts(url) if alert["state"] == "firing"]
        found = {(labels["job"], labels["alertname"]) for labels in alerts}
        seen.update(found)
        return found

    queries, shown = dashboard_queries("20s"), set[str]()

    def look() -> None:
        """Notes which panels show something: some do at the trouble's beginning alone."""
        shown.update(title for title, query in queries if prometheus.query(url, query))

    with ExitStack() as stack:
        for job in jobs:
            job.start(tmp_path, ports[job.name])
            stack.callback(process.stop, job.folder)
        url = stack.enter_context(
            prometheus.running(tmp_path / "prometheus", minutes_as_seconds(RULES.read_text()), ports)
        )
        await_that(lambda: {job for job, health in prometheus.targets(url).items() if health != "up"}, "scraped")
        assert firing() == set()
        measured = "count by (job) (kafka_sr_retry_retries_total offset 2s)"  # a rate begins with the second sample
        await_that(lambda: ports.keys() - {one["metric"]["job"] for one in prometheus.query(url, measured)}, "measured")
        for job in jobs:
            job.trouble(job)
        await_that(lambda: look() or expected - (firing() and seen), "firing")
        for job in jobs:
            job.recovery(job)
        await_that(firing, "cleared")
    assert seen == expected
    # each producer has one URL
    assert {title for title, _ in queries} - shown == {"Failovers"}


def await_that(missing: Callable[[], set[object]], what: str) -> None:
    """Wait until nothing is missing."""
    end = time.monotonic() + SECONDS
    while left := missing():
        assert time.monotonic() < end, f"not {what} after {SECONDS} s: {left}"
        time.sleep(0.2)
