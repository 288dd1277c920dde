"""Fixtures for tests of producers; pytest loads them wherever this package is installed.

Their imports are their own: this module is loaded in every test run, whether it uses them or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .kafka import KafkaMockCluster
    from .registry import SchemaRegistryServer


@pytest.fixture
def schema_registry() -> Iterator[SchemaRegistryServer]:
    """An empty Schema Registry of this test's own."""
    from .registry import SchemaRegistryServer

    with SchemaRegistryServer() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaMockCluster]:
    """A Kafka cluster with one broker for the whole session: use topics of your own."""
    from .kafka import KafkaMockCluster

    with KafkaMockCluster() as cluster:
        yield cluster
