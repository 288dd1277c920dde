"""A Kafka cluster for tests, without a download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .reading import ReceivedMessage
    from .registry import SchemaRegistryServer


class KafkaMockCluster:
    """librdkafka's mock cluster: brokers on loopback in this process, which any Kafka client can use.

    Topics are created when they are first asked for, with 4 partitions. kafka-python 3 needs
    ``api_version=(2, 3)``: left to itself it asks for the brokers' versions in a way that they do not know.
    Source: ``test.mock.num.brokers`` in librdkafka's CONFIGURATION.md; what the brokers support stands in its
    ``rdkafka_mock.h``.
    """

    def __init__(self, brokers: int = 1) -> None:
        self._brokers = brokers
        self._holder: Any = None
        self._bootstrap_servers = ""

    def start(self) -> KafkaMockCluster:
        """Start the brokers."""
        if self._holder is None:
            from confluent_kafka import Producer

            self._holder = Producer({"test.mock.num.brokers": self._brokers, "log_level": 4})
            brokers = self._holder.list_topics(timeout=10).brokers.values()
            self._bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        return self

    def close(self) -> None:
        """End the brokers, with all their messages."""
        self._holder, self._bootstrap_servers = None, ""

    def __enter__(self) -> KafkaMockCluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of each broker, with commas between them; empty while it does not run."""
        return self._bootstrap_servers

    def messages(self, topic: str, registry: SchemaRegistryServer) -> list[ReceivedMessage]:
        """All messages that ``topic`` has now, decoded with the schemas of ``registry``; see `read_messages`.

        A producer's are there once it has flushed. Of each partition the brokers keep the last 5 MB.

        Raises:
            RuntimeError: the cluster is not started, or closed.
        """
        if not self._bootstrap_servers:
            raise RuntimeError("KafkaMockCluster does not run: start() it, and read its messages before it is closed")
        from .reading import read_messages

        return read_messages(self._bootstrap_servers, topic, registry)
