"""The registry client: what a producer's serializer needs to ask, and the memory of the answers."""

from __future__ import annotations

import math
import operator
import os
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from numbers import Real
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable
from urllib.parse import quote

from kafka_sr_retry.config import ClientSettings, header_mapping, parse
from kafka_sr_retry.errors import (
    ConfigurationError,
    Failure,
    RegistryAuthError,
    RegistryUnavailableError,
    SchemaNotFoundError,
)
from kafka_sr_retry.events import AttemptStartEvent, Event, StaleEvent
from kafka_sr_retry.schema import MAX_ID, RegisteredSchema, Schema, is_subject

from . import answers
from .clock import Clock
from .credentials import Credentials, credentials
from .endpoints import Call, Endpoints, EndpointState
from .flights import Flight, Flights, Overdue
from .living import Living
from .log import Log
from .memory import Memory
from .request import RegistryRequest
from .retrying import Answered, Retrying, SoFar, without_token
from .tls import RotatingTls

_T = TypeVar("_T")

_MARGIN = 0.05
"""Seconds, or a twentieth of the time if less: a flight ends so much before its callers, so that they hear how."""

_FOR_EVER = float("inf")

_GOES_ON = "The time given for this call is over; the request goes on"
_CLOSED = "The client was closed: use a new one, or close it after the last message"

_REFRESH_AGAIN = 5.0
"""Seconds until the next try to refresh a latest version after one that failed, unless its time to live is shorter."""


_REFUSALS = 1000
"""Refusals that are remembered at most: each holds its schema and the registry's words."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer or a refusal that is remembered: since when, and until when it needs no question."""

    value: Any
    at: float
    due: float


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


_clients: Living[SchemaRegistryClient] = Living()


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
                f"{type(conf).__name__}; Confluent's client cannot stand in for kafka_sr_retry.SchemaRegistryClient",
                "schema_registry_client",
            )
        self._conf = dict(conf)
        self._settings = parse(ClientSettings, self._conf, prefix)
        # requests: neither with kafka_sr_retry nor with the first message, when another thread may fork half-way
        import_module(f"{__package__}.transport")
        # a file of no use is an error now, not at the first message
        self._contexts = self._settings.tls.contexts()
        if self._settings.asks_for_tokens:
            self._settings.token_tls.contexts()
        self.clock = clock or Clock()
        ttl = self._settings.cache_latest_ttl
        self._latest_ttl = _FOR_EVER if ttl is None else ttl
        self._memories: Living[Memory[Any, Any]] = Living()
        self._known: Memory[RegistryRequest[Any], _Known] = self.memory()
        self._refused: Memory[RegistryRequest[Any], _Known] = self.memory(_REFUSALS)
        self._closed = False
        self._log = Log(self.clock)
        self._start()
        _clients.add(self)
        for listener in self._settings.event_cb:
            if isinstance(listener, Watching):
                listener.watch(self)

    def _start(self) -> None:
        """Connections, locks and the state of the endpoints, all new."""
        settings = self._settings
        self._starting = threading.Lock()
        self._loop: Retrying | None = None
        self._transport: Any = None
        self._credentials: Credentials | None = None
        self._flights: Flights[Answered | Failure] = Flights(self.clock)
        urls = settings.urls.urls
        self._endpoints = Endpoints(
            urls,
            random=random.random,
            base=settings.retries_wait,
            cap=settings.retries_max_wait,
            max_retries=settings.max_retries,
            max_in_flight=settings.max_in_flight,
            first=random.randrange(len(urls)) if settings.randomize else 0,
        )

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
            or_else=self._look_up(subject, schema, normalize_schemas, instead=True),
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
        request = self._look_up(self._subject(subject_name), schema, normalize_schemas, fmt, deleted)
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
        return self._ask(self._version(subject_name, "latest", fmt=fmt), timeout, ttl=self._latest_ttl)

    def asking_for_latest(self, subject_name: str) -> Callable[[], RegisteredSchema]:
        """``get_latest_version`` for one subject, prepared for being called with each message."""
        request = self._version(subject_name, "latest")
        return lambda: self._ask(request, ttl=self._latest_ttl)

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
        return self._ask(request, timeout, ttl=self._latest_ttl)

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
        for memory in self._memories:
            memory.clear()

    def close(self) -> None:
        """Ends all waits with a ``RegistryUnavailableError`` and closes the connections. What is known stays known."""
        self._closed = True
        with self._endpoints.changed:
            self._endpoints.close()
        self._flights.end_all(lambda request, so_far: self._left(request, self.clock.now(), so_far, _CLOSED))
        with self._starting:
            if self._transport is not None:
                self._transport.close()
            if self._credentials is not None:
                self._credentials.close()

    def __enter__(self) -> SchemaRegistryClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._conf,)

    def deadline(self) -> float:
        """When a call that begins now ends, in seconds of ``clock``."""
        return self.clock.now() + self._settings.total_timeout

    def state(self) -> ClientState:
        """How it is now, for gauges and health checks; asks nobody."""
        with self._endpoints.changed:
            endpoints = self._endpoints.states(self.clock.now())
        return ClientState(known=len(self._known), waiting=len(self._flights), endpoints=endpoints)

    @property
    def latest_expires(self) -> bool:
        """Whether ``cache.latest.ttl.sec`` is set."""
        return self._latest_ttl < _FOR_EVER

    def memory(self, most: int | None = None) -> Memory[Any, Any]:
        """A memory of this client's capacity, or of ``most`` if that is less, that ``clear_caches`` clears too."""
        capacity = self._settings.cache_capacity
        memory: Memory[Any, Any] = Memory(capacity if most is None else min(most, capacity))
        self._memories.add(memory)
        return memory

    def _subject(self, name: str) -> str:
        if not is_subject(name):
            raise ConfigurationError(f"a subject must be a text that is more than dots, not {name!r}", "subject_name")
        return name if name.startswith(":.") else (self._settings.context or "") + name

    def _look_up(
        self,
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
        self, request: RegistryRequest[_T], timeout: float | None = None, *, keep: bool = True, ttl: float = _FOR_EVER
    ) -> _T:
        """The one way to the registry: memory, then the flight that asks this question."""
        seconds = self._settings.total_timeout if timeout is None else _checked(timeout)
        began = self.clock.now()
        known = self._known.get(request) if keep else None
        if known is not None:
            if began >= known.due:
                self._refresh(request, known, began, ttl)
            value: _T = known.value
            return value
        refused = self._refused.get(request)
        if refused is not None and began < refused.due:
            raise refused.value.exception(began - refused.at)
        result = self._join(request, began, seconds, ttl if keep else None)
        if isinstance(result, Failure):
            raise result.exception()
        answer: _T = result.value
        return answer

    def _join(
        self, request: RegistryRequest[Any], began: float, seconds: float, ttl: float | None
    ) -> Answered | Failure:
        own: list[Flight[Any]] = []

        def fly(flight: Flight[Any]) -> Answered | Failure:
            own.append(flight)
            # another flight may have landed since this caller looked into the memory
            now, known, refused = self.clock.now(), self._known.get(request), self._refused.get(request)
            if known is not None and ttl is not None and now < known.due:
                return Answered(known.value)
            if refused is not None and now < refused.due:
                refusal: Failure = refused.value
                return refusal
            return self._fly(flight, request, began, seconds, ttl)

        so_far: SoFar | None = None
        while not self._closed:
            try:
                result = self._flights.join(request, fly, began + seconds)
            except Overdue as overdue:
                return self._left(request, began, overdue.so_far, _GOES_ON)
            except RuntimeError as error:
                return self._left(request, began, None, f"No thread can be started: {error}")
            # another caller's flight may have been giving up already, by a deadline earlier than this one's
            now = self.clock.now()
            if isinstance(result, Answered):
                return result
            if own or result.error is not RegistryUnavailableError or now + _MARGIN >= began + seconds:
                return replace(result, seconds=now - began)
            so_far = SoFar(result, 0.0)
        return self._left(request, began, so_far, _CLOSED)

    def _left(self, request: RegistryRequest[Any], began: float, so_far: SoFar | None, why: str) -> Failure:
        """For a caller whose call goes on, or never began."""
        now = self.clock.now()
        if so_far is None:
            so_far = SoFar(Failure(RegistryUnavailableError, request.asked, (), 0, 0.0, ""), 0.0)
        token = self._credentials.so_far() if self._credentials else None
        known = so_far.at(now, now - began, why)
        return known if token is None else without_token(known, token.at(now, 0.0, why))

    def _refresh(self, request: RegistryRequest[Any], known: _Known, now: float, ttl: float) -> None:
        """One flight asks again; whoever asks meanwhile has the old answer."""
        seconds = self._settings.total_timeout
        weight = self._known.weight(request)
        self._known.remember(request, _Known(known.value, known.at, now + seconds), weight)

        def refresh(flight: Flight[Answered | Failure]) -> Answered | Failure:
            result = self._fly(flight, request, now, seconds, ttl)
            if isinstance(result, Failure):
                then = self.clock.now()
                due = then + min(ttl, _REFRESH_AGAIN)
                self._known.remember(request, _Known(known.value, known.at, due), weight)
                self._emit(
                    StaleEvent(
                        call=0,
                        operation=request.operation,
                        asked=request.asked,
                        version=known.value.version,
                        age=then - known.at,
                        reason=result.told,
                    )
                )
            return result

        with suppress(RuntimeError):  # no thread can be started: the old one serves on
            self._flights.start(request, refresh, now + seconds)

    def _fly(
        self, flight: Flight[Any], request: RegistryRequest[Any], began: float, seconds: float, ttl: float | None
    ) -> Answered | Failure:
        """Asks, and remembers the answer for ``ttl`` seconds, unless that is ``None``."""
        margin = min(_MARGIN, seconds / 20)
        spends = seconds >= self._settings.total_timeout

        def send(question: RegistryRequest[Any], refused: Failure | None = None) -> Answered | Failure:
            call = Call(question, question.registers, began, lambda: flight.deadline - margin, spends)
            return self._retrying().send(question, call, refused, flight.publish)

        result = send(request)
        if isinstance(result, Failure) and result.look_up and request.or_else is not None:
            found = send(request.or_else, result)
            result = found if isinstance(found, Answered) else result
        now = self.clock.now()
        if isinstance(result, Answered):
            if ttl is not None:
                weight = len(request.body or b"") + len(repr(result.value))
                self._known.remember(request, _Known(result.value, now, now + ttl), weight)
        elif result.remembered_for:
            due = now + result.remembered_for * self._settings.refusal_cache_ttl
            self._refused.remember(request, _Known(result, now, due))
        return result

    def _retrying(self) -> Retrying:
        with self._starting:
            if self._loop is None:
                from .transport import Transport

                settings, clock = self._settings, self.clock
                tls = RotatingTls(settings.tls, self._contexts)
                self._transport = Transport(settings, tls)
                self._credentials = credentials(settings, clock, self._emit)
                self._loop = Retrying(
                    self._endpoints,
                    self._transport,
                    clock,
                    settings.request_timeout,
                    self._emit,
                    self._credentials,
                )
            return self._loop

    def _emit(self, event: Event) -> None:
        """A listener never breaks a message, not even by SystemExit, and a logging filter that raises is one too."""
        with suppress(BaseException):
            self._log(event)
        for listener in self._settings.event_cb:
            try:
                listener(event)
                if isinstance(event, AttemptStartEvent):
                    header_mapping("a listener's headers", event.headers)
            except BaseException:  # noqa: BLE001
                if isinstance(event, AttemptStartEvent):
                    event.headers.clear()
                with suppress(BaseException):
                    self._log.raised(event)


def _quoted(part: str) -> str:
    try:
        return quote(part, safe="")
    except (UnicodeEncodeError, TypeError) as error:
        raise ConfigurationError(f"{part!r} cannot stand in a request to the registry: {error}") from None


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


def _start_afresh_in_child() -> None:
    for client in _clients:
        client._start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_in_child)
