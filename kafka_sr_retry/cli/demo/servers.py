"""The broker, and the registry that fails on purpose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from urllib.request import urlopen

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_sr_retry.config import ClientSettings, parse
from kafka_sr_retry.testing import KafkaMockCluster, RecordedRequest, SchemaRegistryServer, error, no_leader

FAULTS = (no_leader(), no_leader(), error(503))
FAULTS_IN_WORDS = "500/50003 (no leader), 500/50003, 503"

QUIET = {"log_level": 2}
"""librdkafka's own log would run through the tables; what matters in it comes back as an exception too."""

_PATIENCE = 10.0


class DemoError(Exception):
    """Why the demo could not go on, in words for its user."""


@dataclass(frozen=True)
class Servers:
    """What the demo talks to.

    Attributes:
        registry_url: the registry itself.
        faulty: what producers are given as the registry: itself if embedded, else a proxy before it.
    """

    bootstrap_servers: str
    registry_url: str
    faulty: SchemaRegistryServer
    embedded: bool

    def fail_registrations(self, subject: str) -> None:
        """The next registrations under ``subject`` meet ``FAULTS``."""
        self.faulty.fail_next(*FAULTS, matching=lambda request: _is_under(subject, request))

    def registrations(self, subject: str) -> list[RecordedRequest]:
        """The registrations under ``subject`` that arrived so far."""
        return [request for request in self.faulty.registrations if _is_under(subject, request)]


def _is_under(subject: str, request: RecordedRequest) -> bool:
    return f"/{subject}/" in request.path


def reach_loopback() -> None:
    """What fails on purpose is on loopback, whatever proxy the environment names."""
    os.environ["no_proxy"] = f"{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')},127.0.0.1"


@contextmanager
def servers(bootstrap_servers: str | None, registry_url: str | None) -> Iterator[Servers]:
    """The real ones where they are given, else embedded ones."""
    reach_loopback()
    if bootstrap_servers is None or registry_url is None:
        with KafkaMockCluster() as kafka, SchemaRegistryServer() as registry:
            yield Servers(kafka.bootstrap_servers, registry.url, registry, embedded=True)
        return
    urls = parse(ClientSettings, {"url": registry_url}).urls
    if len(urls.urls) > 1 or urls.user_info:
        raise DemoError("--registry-url takes one URL without credentials")
    fetch(urls.urls[0], "/subjects")
    with SchemaRegistryServer(upstream=urls.urls[0]) as proxy:
        yield Servers(bootstrap_servers, urls.urls[0], proxy, embedded=False)


def fetch(registry_url: str, path: str) -> bytes:
    """What the registry answers to a GET, over plain HTTP."""
    try:
        with urlopen(registry_url + path, timeout=_PATIENCE) as answer:
            content: bytes = answer.read()
            return content
    except (OSError, HTTPException) as failure:
        raise DemoError(f"the registry did not answer GET {registry_url}{path}: {failure}") from failure


def ensure_topic(bootstrap_servers: str, topic: str) -> None:
    """Create ``topic``, unless brokers do so when they are asked for it."""
    try:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, **QUIET})
        if admin.list_topics(topic, timeout=_PATIENCE).topics[topic].error:
            admin.create_topics([NewTopic(topic, num_partitions=3)])[topic].result(_PATIENCE)
    except KafkaException as failure:
        if failure.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise DemoError(f"Kafka at {bootstrap_servers}: {failure.args[0].str()}") from failure
