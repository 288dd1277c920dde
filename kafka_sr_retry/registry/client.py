"""The registry client: what a producer's serializer needs to ask, and the memory of the answers."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from numbers import Real
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable
from urllib.parse import quote

from kafka_sr_retry.config import ClientSettings, parse
from kafka_sr_retry.errors import ConfigurationError, RegistryAuthError, SchemaNotFoundError
from kafka_sr_retry.schema import MAX_ID, RegisteredSchema, Schema, is_subject

from . import answers
from .asking import FOR_EVER, Asking
from .clock import Clock
from .outage import EndpointState
from .request import RegistryRequest
from .tls import contexts_of

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


class SchemaRegistryClient:
    """A Schema Registry client under Confluent's method, parameter and attribute names.

    Any number of threads may share one. Answers are kept in memory, so a schema is registered once for each subject.
    After a fork the child starts with fresh connections and locks and keeps the memory; a pickled client is its
    configuration.

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
        self._settings = parse(ClientSettings, self._conf, prefix)
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
        subject = self._subject(subject_name)
        request = RegistryRequest.build(
            "POST",
            f"/subjects/{_quoted(subject)}/versions",
            query={"normalize": bool(normalize_schemas) or None},
            content=_wire(schema),
            asked=f"register a schema under subject {subject!r}",
            operation="register",
            expects=answers.registered(subject, schema, normalized=normalize_schemas),
            registers=True,
            or_else=partial(_look_up, subject, schema, normalize_schemas, instead=True),
        )
        return self._ask(request, timeout)

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
        request = _look_up(self._subject(subject_name), schema, normalize_schemas, fmt, deleted)
        return self._ask(request, timeout)

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
        schema_id = _number(schema_id, "schema_id")
        subject = self._settings.context if subject_name is None else self._subject(subject_name)
        request = RegistryRequest.build(
            "GET",
            f"/schemas/ids/{schema_id}",
            query={
                "subject": subject,
                "format": _format(fmt, "fmt"),
                "referenceFormat": _format(reference_format, "reference_format"),
            },
            asked=f"get the schema with id {schema_id}",
            operation="get_schema",
            expects=answers.schema_with_id(schema_id),
        )
        return self._ask(request, timeout)

    def get_associated_subjects(
        self, topic: str, cluster_id: str, field: str, *, timeout: float | None = None
    ) -> tuple[str, ...]:
        """The subjects associated with a topic's ``key`` or ``value``; none where the registry knows no associations or
        does not let this caller read them."""
        request = RegistryRequest.build(
            "GET",
            f"/associations/resources/{_quoted(cluster_id)}/{_quoted(topic)}",
            query={"resourceType": "topic", "associationType": [field]},
            asked=f"get the associations of topic {topic!r}",
            operation="associations",
            expects=answers.associated_subjects,
            optional=True,
        )
        try:
            return self._ask(request, timeout)
        except (SchemaNotFoundError, RegistryAuthError) as error:
            if error.http_status_code == 401:
                raise
            return ()

    def get_latest_version(
        self, subject_name: str, fmt: str | None = None, *, timeout: float | None = None
    ) -> RegisteredSchema:
        """The newest version under ``subject_name``.

        It is kept for ``cache.latest.ttl.sec``, or until ``clear_caches``. After that time the old one is given until
        one request has fetched the new one, also while the registry is away.
        """
        return self._ask(self._version(subject_name, "latest", fmt=fmt), timeout, ttl=self._asking.latest_ttl)

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
        subject = self._subject(subject_name)
        if not isinstance(metadata, Mapping) or not all(
            isinstance(text, str) for pair in metadata.items() for text in pair
        ):
            raise ConfigurationError("metadata must be a dict of texts, such as {'owner': 'shop'}", "metadata")
        request = RegistryRequest.build(
            "GET",
            f"/subjects/{_quoted(subject)}/metadata",
            query={
                "key": list(metadata),
                "value": list(metadata.values()),
                "deleted": bool(deleted) or None,
                "format": _format(fmt, "fmt"),
            },
            asked=f"get the latest version with metadata under subject {subject!r}",
            operation="get_version",
            expects=answers.version_of(subject),
        )
        return self._ask(request, timeout, ttl=self._asking.latest_ttl)

    def get_version(
        self,
        subject_name: str,
        version: int | Literal["latest"] = "latest",
        deleted: bool = False,
        fmt: str | None = None,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """A version under ``subject_name``; the latest (-1 too) is asked for each time, as in Confluent's client."""
        version = _version(version)
        request = self._version(subject_name, version, deleted, fmt)
        return self._ask(request, timeout, keep=version != "latest")

    def test_compatibility(
        self,
        subject_name: str,
        schema: Schema,
        version: int | Literal["latest"] = "latest",
        *,
        timeout: float | None = None,
    ) -> bool:
        """Whether ``schema`` could follow ``version`` under ``subject_name``."""
        version = _version(version)
        subject = self._subject(subject_name)
        request = RegistryRequest.build(
            "POST",
            f"/compatibility/subjects/{_quoted(subject)}/versions/{version}",
            content=_wire(schema),
            asked=f"test a schema against version {version} of subject {subject!r}",
            operation="compatibility",
            expects=answers.is_compatible,
        )
        return self._ask(request, timeout, keep=False)

    def clear_caches(self) -> None:
        """Forgets all answers, those that serializers hold too."""
        self._asking.forget()

    def close(self) -> None:
        """Ends all waits with a ``RegistryUnavailableError`` and closes the connections. What is known stays known."""
        self._asking.close()

    def __enter__(self) -> SchemaRegistryClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._conf,)

    def state(self) -> ClientState:
        """How it is now, for gauges and health checks; asks nobody."""
        known, waiting, endpoints = self._asking.state()
        return ClientState(known=known, waiting=waiting, endpoints=endpoints)

    def _subject(self, name: str) -> str:
        if not is_subject(name):
            raise ConfigurationError(f"a subject must be a text that is more than dots, not {name!r}", "subject_name")
        return name if name.startswith(":.") else (self._settings.context or "") + name

    def _version(
        self, subject_name: str, version: int | str, deleted: bool = False, fmt: str | None = None
    ) -> RegistryRequest[RegisteredSchema]:
        subject = self._subject(subject_name)
        return RegistryRequest.build(
            "GET",
            f"/subjects/{_quoted(subject)}/versions/{version}",
            query={"deleted": bool(deleted) or None, "format": _format(fmt, "fmt")},
            asked=f"get version {version} of subject {subject!r}",
            operation="get_version",
            expects=answers.version_of(subject, version if isinstance(version, int) else None),
        )

    def _ask(
        self, request: RegistryRequest[_T], timeout: float | None = None, *, keep: bool = True, ttl: float = FOR_EVER
    ) -> _T:
        return self._asking.ask(request, None if timeout is None else _checked(timeout), keep=keep, ttl=ttl)


class Beneath(Protocol):
    """A client that asks through ours: that of ``kafka_sr_retry.confluent``."""

    _ours: SchemaRegistryClient


AnyClient = SchemaRegistryClient | Beneath


def ours(client: object) -> SchemaRegistryClient | None:
    """Our client, given itself or one that asks through it; ``None`` for anything else."""
    found = getattr(client, "_ours", client)
    return found if isinstance(found, SchemaRegistryClient) else None


def _quoted(part: str) -> str:
    try:
        return quote(part, safe="")
    except (UnicodeEncodeError, TypeError) as error:
        raise ConfigurationError(f"{part!r} cannot stand in a request to the registry: {error}") from None


def _look_up(
    subject: str,
    schema: Schema,
    normalize: bool,
    fmt: str | None = None,
    deleted: bool = False,
    *,
    instead: bool = False,
) -> RegistryRequest[RegisteredSchema]:
    """``instead``: of a registration, and so a part of it."""
    return RegistryRequest.build(
        "POST",
        f"/subjects/{_quoted(subject)}",
        query={
            "normalize": bool(normalize) or None,
            "deleted": bool(deleted) or None,
            "format": _format(fmt, "fmt"),
        },
        content=_wire(schema),
        asked=f"look a schema up under subject {subject!r}",
        operation="register" if instead else "look_up",
        expects=answers.registered(subject, schema, normalized=normalize or fmt is not None),
    )


def _wire(schema: Schema) -> dict[str, Any]:
    """The registry's JSON for a schema; Confluent's have it too."""
    try:
        wire: dict[str, Any] = schema.to_dict()
        good = isinstance(wire["schema"], str)
    except (AttributeError, KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise ConfigurationError(
            f"schema must be a kafka_sr_retry.Schema, whole, not {type(schema).__name__}", "schema"
        )
    return wire


def _format(given: str | None, name: str) -> str | None:
    if given is not None and not isinstance(given, str):
        raise ConfigurationError(f"{name} must be a text, not {given!r}", name)
    return given


def _version(given: Any) -> int | Literal["latest"]:
    """One form for each question: the registry takes -1 for the latest version."""
    if isinstance(given, str) and given == "latest":
        return "latest"
    number = given
    if isinstance(given, str) and given.isascii() and given.removeprefix("-").isdigit():
        number = int(given[:20])
    with suppress(TypeError):
        if operator.index(number) == -1:
            return "latest"
    return _number(number, "version", ', -1 or "latest"')


def _number(given: Any, name: str, other: str = "") -> int:
    with suppress(TypeError, ValueError):
        number = operator.index(given)
        if not isinstance(given, bool) and 0 < number <= MAX_ID:
            return number
    raise ConfigurationError(f"{name} must be a positive int32{other}, not {given!r}", name)


def _checked(timeout: float) -> float:
    with suppress(OverflowError):
        if isinstance(timeout, Real) and not isinstance(timeout, bool) and not math.isnan(timeout):
            return timeout
    raise ConfigurationError(f"timeout must be a number of seconds, not {timeout!r}", "timeout")
