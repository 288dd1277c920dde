"""The two programs of the stack: how each is started, and when it is ready."""

from __future__ import annotations

import random
import shlex
import socket
import urllib.request
from itertools import islice
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from . import process

_JAVA = 'java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.io.tmpdir="$PWD"'

_CLUSTER_ID = "integration-stack-test"
_SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
controller.listener.names=CONTROLLER
log.dirs=data
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""

IN_A_FILE = (
    "-Dquarkus.datasource.jdbc.url='jdbc:h2:file:./registry;WRITE_DELAY=0' -Dquarkus.datasource.jdbc.initial-size=1"
    " -Dquarkus.datasource.jdbc.min-size=1 -Dquarkus.datasource.jdbc.max-size=1"
)
"""Flags for a registry whose schemas survive a SIGKILL: by default H2 writes half a second after a commit.

It has one connection: over more, registrations at the same time lock each other out for ten seconds, or get a 409.
"""


def free_ports(count: int) -> list[int]:
    """Free ports of 127.0.0.1, below those that systems give to outgoing connections.

    So no connection of this machine takes one between this look and the start of its service.
    """
    candidates = range(20_000, 32_000)
    return list(islice(filter(_is_free, random.sample(candidates, len(candidates))), count))


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def start_kafka(folder: Path, libs: Path, port: int, controller_port: int, advertised_port: int | None = None) -> str:
    """Start a broker that is its own controller, anew or on what its folder holds; returns its bootstrap servers.

    Clients are sent on to `advertised_port`, where a proxy may stand.
    """
    folder.mkdir(parents=True, exist_ok=True)
    properties = _SERVER_PROPERTIES.format(broker=port, controller=controller_port, advertised=advertised_port or port)
    (folder / "server.properties").write_text(properties)
    java = f"{_JAVA} -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp {shlex.quote(str(libs / 'kafka'))}/'*'"
    process.start(
        folder,
        f"{{ test -e data/meta.properties"
        f" || {java} kafka.tools.StorageTool format --cluster-id {_CLUSTER_ID} --config server.properties; }}"
        f" && exec {java} kafka.Kafka server.properties",
    )
    return f"127.0.0.1:{port}"


def kafka_is_ready(bootstrap_servers: str) -> bool:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def start_registry(folder: Path, libs: Path, port: int, flags: str = "") -> str:
    """Start a registry, anew or on what its folder holds; returns its URL.

    It keeps its schemas in memory, or with the `flags` of `IN_A_FILE` in its folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (jar,) = (libs / "registry").glob("*-runner.jar")
    java = f"{_JAVA} -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port={port} {flags}"
    process.start(folder, f"exec {java} -jar {shlex.quote(str(jar))}")
    return f"http://127.0.0.1:{port}/apis/ccompat/v7"


def registry_is_ready(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/subjects", timeout=1).close()
    except OSError:
        return False
    return True
