"""Test your producers: an embedded Schema Registry whose failures are asked for, and a Kafka mock cluster.

pytest users have them as fixtures: ``schema_registry``, ``kafka_cluster`` and more.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._messages import Answer, Headers, RecordedRequest
    from .cluster import SchemaRegistryCluster
    from .faults import (
        Exchange,
        Fault,
        answer,
        close_connection,
        drip,
        drop_body,
        error,
        hang,
        html,
        no_leader,
        redirect,
        reset,
        retry_after,
        swallow,
        truncate,
    )
    from .kafka import KafkaMockCluster
    from .reading import ReceivedMessage, read_messages
    from .registry import SchemaRegistryServer

__all__ = [
    "Answer",
    "Exchange",
    "Fault",
    "Headers",
    "KafkaMockCluster",
    "ReceivedMessage",
    "RecordedRequest",
    "SchemaRegistryCluster",
    "SchemaRegistryServer",
    "answer",
    "close_connection",
    "drip",
    "drop_body",
    "error",
    "hang",
    "html",
    "no_leader",
    "read_messages",
    "redirect",
    "reset",
    "retry_after",
    "swallow",
    "truncate",
]


def __getattr__(name: str) -> Any:
    # On demand, because pytest imports this package, for its plugin, in every test run.
    if name in __all__:
        for module in ("faults", "registry", "cluster", "kafka", "reading", "_messages"):
            found = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
