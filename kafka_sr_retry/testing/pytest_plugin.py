"""Fixtures for tests of producers; pytest loads them wherever this package is installed.

Their imports are their own: this module is loaded in every test run, whether it uses them or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

import kafka_sr_retry

if TYPE_CHECKING:
    from .cluster import SchemaRegistryCluster
    from .kafka import KafkaMockCluster
    from .reading import ReceivedMessage
    from .registry import SchemaRegistryServer


_BEFORE = pytest.StashKey[bool]()


def _is_testing() -> bool:
    """Without loading what nobody has asked for."""
    return "set_testing" in vars(kafka_sr_retry) and kafka_sr_retry.is_testing()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_BEFORE] = _is_testing()


def pytest_unconfigure(config: pytest.Config) -> None:
    """What a suite has switched on ends with it: the process may go on."""
    if _is_testing():
        kafka_sr_retry.set_testing(config.stash[_BEFORE])


@pytest.fixture
def no_waits() -> Iterator[None]:
    """Clients do not wait between attempts; for all tests: ``usefixtures = no_waits`` in pytest's configuration."""
    with kafka_sr_retry.set_testing():
        yield


@pytest.fixture
def schema_registry() -> Iterator[SchemaRegistryServer]:
    """An empty Schema Registry of this test's own."""
    from .registry import SchemaRegistryServer

    with SchemaRegistryServer(check_compatibility=True) as server:
        yield server


@pytest.fixture
def schema_registries() -> Iterator[tuple[SchemaRegistryServer, SchemaRegistryServer]]:
    """Two empty registries that know nothing of each other: ids of the first begin with 1, of the second with 1001."""
    from .registry import SchemaRegistryServer

    with (
        SchemaRegistryServer(check_compatibility=True) as first,
        SchemaRegistryServer(check_compatibility=True, first_id=1001) as second,
    ):
        yield first, second


@pytest.fixture
def schema_registry_cluster() -> Iterator[SchemaRegistryCluster]:
    """Two nodes of one registry, of this test's own: a leader that can be killed, and a follower."""
    from .cluster import SchemaRegistryCluster

    with SchemaRegistryCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaMockCluster]:
    """A Kafka cluster with one broker for the whole session: use topics of your own."""
    from .kafka import KafkaMockCluster

    with KafkaMockCluster() as cluster:
        yield cluster


@pytest.fixture
def kafka_messages(
    kafka_cluster: KafkaMockCluster, schema_registry: SchemaRegistryServer
) -> Callable[[str], list[ReceivedMessage]]:
    """What is in a topic of `kafka_cluster`, decoded with the schemas of `schema_registry`."""
    return lambda topic: kafka_cluster.messages(topic, schema_registry)
