"""The registry client: what a producer's serializer needs to ask, and the memory of the answers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from kafka_sr_retry.config import ClientSettings, parse
from kafka_sr_retry.errors import ConfigurationError, RegistryAuthError, SchemaNotFoundError
from kafka_sr_retry.schema import RegisteredSchema, Schema

from . import sharing
from .asking import Asking
from .clock import Clock
from .outage import EndpointState
from .questions import Questions, Version
from .request import RegistryRequest
from .tls import contexts_of
from .ways import Blocking, Way, at_once

__all__ = ["SchemaRegistryClient"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ClientState:
    """A client as it is now.

    Attributes:
        known: answers it remembers.
        waiting: calls under way.
        endpoints: each URL, and the cluster's ``writes``.
    """

    known: int
    waiting: int
    endpoints: tuple[EndpointState, ...]


@runtime_checkable
class Watching(Protocol):
    """A listener that reads the state of the clients it listens to."""

    def watch(self, client: SchemaRegistryClient) -> None:
        """Given each new client once, before its first call."""


class SchemaRegistryClient(sharing.Shared):
    """A Schema Registry client under Confluent's method, parameter and attribute names.

    Any number of threads may share one. Answers are kept in memory, so a schema is registered once for each subject.
    After a fork the child starts with fresh connections and locks and keeps the memory. A pickled client is its
    configuration; where it is unpickled it shares memory and connections with one of the same that is there.

    Args:
        conf: configuration keys without the ``schema.registry.`` prefix; see docs/configuration.md.
        prefix: what stood before each key, for the texts of errors.
        clock: time; given in tests only.

    Raises:
        ConfigurationError: a key or value that cannot work; no request has been made then.

    All requests take ``timeout`` in seconds for this call (default ``total.timeout.ms``) and raise
    ``SchemaRegistryError`` or one of its subclasses: a final refusal at once, ``RegistryUnavailableError`` once the
    time is over. Arguments that cannot work raise ``ConfigurationError`` before any request.
    """

    def __init__(self, conf: Mapping[str, Any], *, prefix: str = "", clock: Clock | None = None) -> None:
        if not isinstance(conf, Mapping):
            raise ConfigurationError(
                f"the client's configuration must be a dict such as {{'url': 'http://localhost:8081'}}, not "
                f"{type(conf).__name__}; of Confluent's clients the one of kafka_sr_retry.confluent can stand in",
                "schema_registry_client",
            )
        self._conf = dict(conf)
        self._origin = uuid.uuid4().hex
        self._settings = parse(ClientSettings, self._conf, prefix)
        self._questions = Questions(self._settings.context)
        # requests: neither with kafka_sr_retry nor with the first message, when another thread may fork half-way
        import_module(f"{__package__}.transport")
        # a file of no use is an error now, not at the first message
        contexts = contexts_of(self._settings.tls)
        if self._settings.asks_for_tokens:
            contexts_of(self._settings.token_tls)
        self._asking = Asking(self._settings, clock or Clock(), contexts)
        for listener in self._settings.event_cb:
            if isinstance(listener, Watching):
                listener.watch(self)
        sharing.living.add(self)

    if not TYPE_CHECKING:  # for a type checker all names would be there

        def __getattr__(self, name: str) -> Any:
            told = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                told += ": kafka_sr_retry.confluent.SchemaRegistryClient has all of Confluent's, and the same retries"
            raise AttributeError(told, name=name, obj=self)

    def config(self) -> dict[str, Any]:
        """The configuration it was given."""
        return dict(self._conf)

    def register_schema(
        self,
        subject_name: str,
        schema: Schema,
        normalize_schemas: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Registers ``schema`` under ``subject_name``, or finds it there; gives its id."""
        return self.register_schema_full_response(subject_name, schema, normalize_schemas, timeout=timeout).schema_id

    def register_schema_full_response(
        self,
        subject_name: str,
        schema: Schema,
        normalize_schemas: bool = False,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """Like ``register_schema``; gives all that the registry told (older ones tell the id alone).

        Credentials that may only read, and a registry that is read-only, still give the id of a schema that is there.
        """
        return self._ask(self._questions.register(subject_name, schema, normalize_schemas), timeout)

    def lookup_schema(
        self,
        subject_name: str,
        schema: Schema,
        normalize_schemas: bool = False,
        fmt: str | None = None,
        deleted: bool = False,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """Where ``schema`` is registered under ``subject_name``; ``SchemaNotFoundError`` where it is not."""
        return self._ask(self._questions.look_up(subject_name, schema, normalize_schemas, fmt, deleted), timeout)

    def get_schema(
        self,
        schema_id: int,
        subject_name: str | None = None,
        fmt: str | None = None,
        reference_format: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Schema:
        """The schema with this id."""
        return self.get_registered(schema_id, subject_name, fmt, reference_format, timeout=timeout).schema

    def get_registered(
        self,
        schema_id: int,
        subject_name: str | None = None,
        fmt: str | None = None,
        reference_format: str | None = None,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """``get_schema`` with all that the registry tells. Needs no right on any subject unless one is named."""
        return self._ask(self._questions.schema(schema_id, subject_name, fmt, reference_format), timeout)

    def get_associated_subjects(
        self, topic: str, cluster_id: str, field: str, *, timeout: float | None = None
    ) -> tuple[str, ...]:
        """The subjects associated with a topic's ``key`` or ``value``; none where the registry knows no associations or
        does not let this caller read them."""
        request = self._questions.associations(topic, cluster_id, field)
        return at_once(associated(Blocking(self._asking), request, timeout))

    def get_latest_version(
        self, subject_name: str, fmt: str | None = None, *, timeout: float | None = None
    ) -> RegisteredSchema:
        """The newest version under ``subject_name``.

        It is kept for ``cache.latest.ttl.sec``, or until ``clear_caches``. After that time the old one is given until
        one request has fetched the new one, also while the registry is away.
        """
        return self._ask(self._questions.latest(subject_name, fmt), timeout)

    def get_latest_with_metadata(
        self,
        subject_name: str,
        metadata: Mapping[str, str],
        deleted: bool = False,
        fmt: str | None = None,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """The newest version whose metadata hold these properties; kept like ``get_latest_version``'s."""
        return self._ask(self._questions.latest_with_metadata(subject_name, metadata, deleted, fmt), timeout)

    def get_version(
        self,
        subject_name: str,
        version: Version = "latest",
        deleted: bool = False,
        fmt: str | None = None,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """A version under ``subject_name``; the latest (-1 too) is asked for each time, as in Confluent's client."""
        return self._ask(self._questions.version(subject_name, version, deleted, fmt), timeout)

    def test_compatibility(
        self,
        subject_name: str,
        schema: Schema,
        version: Version = "latest",
        *,
        timeout: float | None = None,
    ) -> bool:
        """Whether ``schema`` could follow ``version`` under ``subject_name``."""
        return self._ask(self._questions.compatibility(subject_name, schema, version), timeout)

    def clear_caches(self) -> None:
        """Forgets all answers, those that serializers hold and those in the file under ``cache.path`` too."""
        self._asking.forget()

    def close(self) -> None:
        """Ends all waits with a ``RegistryUnavailableError`` and closes the connections. What is known stays known."""
        self._asking.close()

    def __enter__(self) -> SchemaRegistryClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return sharing.pickled(self)

    def state(self) -> ClientState:
        """How it is now, for gauges and health checks; asks nobody."""
        known, waiting, endpoints = self._asking.state()
        return ClientState(known=known, waiting=waiting, endpoints=endpoints)

    def _ask(self, request: RegistryRequest[_T], timeout: float | None = None) -> _T:
        return self._asking.ask(request, timeout)


async def associated(way: Way, request: RegistryRequest[tuple[str, ...]], timeout: float | None) -> tuple[str, ...]:
    """None where the registry knows no associations, or does not let this caller read them."""
    try:
        return await way.ask(request, timeout)
    except (SchemaNotFoundError, RegistryAuthError) as error:
        if error.http_status_code == 401:
            raise
        return ()


class Beneath(Protocol):
    """A client that asks through ours: that of ``kafka_sr_retry.confluent``."""

    _ours: SchemaRegistryClient


AnyClient = SchemaRegistryClient | Beneath


def ours(client: object) -> SchemaRegistryClient | None:
    """Our client, given itself or one that asks through it; ``None`` for anything else."""
    found = getattr(client, "_ours", client)
    return found if isinstance(found, SchemaRegistryClient) else None
