"""Registries beside the stack's own. Each runs for its tests alone, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import HOME, LIBS, READY_SECONDS, _locked, own_folder, process, services
from .install import install_apicurio

APICURIO = ("2.6.13.Final", "3.0.9")
"""The newest of their lines that Java 17 runs."""


@dataclass(frozen=True)
class OnKafka:
    """A registry whose schemas are in Kafka, and the folders of the two processes."""

    url: str
    registry: Path
    kafka: Path


@contextmanager
def apicurio_on_kafka(version: str) -> Iterator[OnKafka]:
    """An Apicurio Registry from 3.0 on, and a broker of its own, for the time of the `with` block."""
    libs = HOME / f"apicurio-{version}"
    with own_folder() as own:
        with _locked(HOME / "lock"):
            install_apicurio(libs, version)
        broker, controller, port = services.free_ports(3)
        brokers = services.start_kafka(own / "kafka", LIBS, broker, controller)
        process.await_ready(own / "kafka", partial(services.kafka_is_ready, brokers), READY_SECONDS)
        flags = f"-Dapicurio.storage.kind=kafkasql -Dapicurio.kafkasql.bootstrap.servers={brokers}"
        url = services.start_registry(own / "registry", libs, port, flags)
        process.await_ready(own / "registry", partial(services.registry_is_ready, url), READY_SECONDS)
        yield OnKafka(url, own / "registry", own / "kafka")


@contextmanager
def apicurio(version: str) -> Iterator[str]:
    """An Apicurio Registry for the time of the `with` block; yields its URL."""
    libs = HOME / f"apicurio-{version}"
    with own_folder() as own:
        with _locked(HOME / "lock"):
            install_apicurio(libs, version)
        folder = own / "registry"
        (port,) = services.free_ports(1)
        url = services.start_registry(folder, libs, port)
        process.await_ready(folder, partial(services.registry_is_ready, url), READY_SECONDS)
        yield url
