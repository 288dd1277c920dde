"""An embedded Schema Registry over real HTTP, whose failures are asked for."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from . import _api
from ._http import Connection, HttpServer
from ._messages import Answer, Headers, RecordedRequest, error_answer
from ._store import NO_LEADER, SchemaStore
from ._upstream import forward
from .faults import Exchange, Fault

Matching = Callable[[RecordedRequest], bool]


@dataclass(frozen=True)
class _Planned:
    fault: Fault
    matching: Matching | None

    def __post_init__(self) -> None:
        if not isinstance(self.fault, Fault):  # else a test of it would pass, whatever it tests
            raise TypeError(f"a fault is what no_leader() or error(503) gives, a Fault, not {self.fault!r}")

    def meets(self, request: RecordedRequest) -> bool:
        return self.matching is None or self.matching(request)


class SchemaRegistryServer:
    """A Schema Registry in this process, with the paths, answers and error codes of Confluent's version 7.9.

    ::

        with SchemaRegistryServer() as registry:
            registry.fail_next(no_leader(), reset())
            client = SchemaRegistryClient({"url": registry.url})

    It keeps its schemas in memory. Avro schemas are checked to be valid, and to be compatible with those before
    them, as the subject's level asks (``PUT /config``; BACKWARD at first). JSON Schema and Protobuf are not. A context
    (``:.name:subject``) is a part of the subject's name, and ids are global.

    :param port: 0 takes a free one.
    :param upstream: URL of a real registry, whose path is kept. Then this server is a proxy before it, with
        the same recording and faults, and has no schemas of its own.
    :param delay: seconds before each answer; an attribute of the same name changes it.
    :param ssl_context: serve HTTPS.
    :param authorize: gets the headers (whatever the case of their names); ``False`` answers 401.
    :param full_answers: answers with ``guid``, and registrations with ``version`` and ``schema``, like newer
        versions.
    :param first_id: the id of the first schema.
    :param check_compatibility: whether an incompatible Avro schema is answered 409; an attribute of the same name
        changes it. The fixtures of pytest and ``kafka-sr-retry serve`` have it on.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        upstream: str | None = None,
        delay: float = 0.0,
        ssl_context: ssl.SSLContext | None = None,
        authorize: Callable[[Mapping[str, str]], bool] | None = None,
        full_answers: bool = False,
        first_id: int = 1,
        check_compatibility: bool = False,
    ) -> None:
        self.delay = delay
        self._host = host
        self._port = port
        self._upstream = upstream
        self._ssl_context = ssl_context
        self._authorize = authorize
        self._full_answers = full_answers
        self._store = SchemaStore(first_id, check_compatibility)
        self._lock = threading.RLock()  # `matching` may look at `requests`
        self._server: HttpServer | None = None
        self._kept_port: socket.socket | None = None
        self._numbers = itertools.count()
        self._recorded: dict[int, RecordedRequest] = {}
        self._next: list[_Planned] = []
        self._always: list[_Planned] = []

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> SchemaRegistryServer:
        """Listen. After a `close` it is the same registry again: same port, same schemas, same plans."""
        if self._server is None:
            self._give_port_back()
            self._server = HttpServer(self._host, self._port, self._ssl_context, self._serve)
            self._port = self._server.port
        return self

    def close(self) -> None:
        """Stop listening, end hanging faults at once, and close all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._give_port_back()

    def kill(self) -> None:
        """End as SIGKILL ends a process: connections are reset, requests under way get no answer, and the port refuses
        until `start`."""
        if self._server is not None:
            self._server.close(kill=True)
            self._server = None
            # Bound, but not listening: it refuses, and nobody else is given it.
            self._kept_port = socket.socket()
            self._kept_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._kept_port.bind((self._host, self._port))

    def _give_port_back(self) -> None:
        if self._kept_port is not None:
            self._kept_port.close()
            self._kept_port = None

    def __enter__(self) -> SchemaRegistryServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port; known once it was started, unless it was given."""
        return self._port

    @property
    def url(self) -> str:
        """What belongs into ``schema.registry.url``."""
        return f"{'https' if self._ssl_context else 'http'}://{self._host}:{self._port}"

    # -- what was asked ---------------------------------------------------------------------------

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order of their arrival."""
        with self._lock:
            return list(self._recorded.values())

    @property
    def registrations(self) -> list[RecordedRequest]:
        """Those of `requests` that register a schema."""
        return [request for request in self.requests if _is_registration(request)]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._recorded.clear()

    # -- what goes wrong --------------------------------------------------------------------------

    def fail_next(self, *faults: Fault, matching: Matching | None = None) -> None:
        """Each fault happens once, in order, to the next requests, or to those ``matching``."""
        with self._lock:
            self._next += [_Planned(fault, matching) for fault in faults]

    def fail_always(self, fault: Fault, matching: Matching | None = None) -> None:
        """``fault`` happens to every (matching) request that `fail_next` leaves, until `recover`."""
        with self._lock:
            self._always.append(_Planned(fault, matching))

    def recover(self) -> None:
        """Forget all faults that `fail_next` and `fail_always` planned."""
        with self._lock:
            self._next.clear()
            self._always.clear()

    def lose_leader(self) -> None:
        """From now on the cluster has no leader: what would change it is answered 500 with 50003, while reads
        and registrations of a schema that its subject has already go on."""
        with self._schemas() as store:
            store.failure = NO_LEADER

    def elect_leader(self) -> None:
        """End what `lose_leader` began."""
        with self._schemas() as store:
            store.failure = None

    @contextlib.contextmanager
    def leaderless(self) -> Iterator[None]:
        """`lose_leader`, and `elect_leader` at the end of the block."""
        self.lose_leader()
        try:
            yield
        finally:
            self.elect_leader()

    @property
    def check_compatibility(self) -> bool:
        """Whether an incompatible Avro schema is answered 409."""
        with self._schemas() as store:
            return store.checks

    @check_compatibility.setter
    def check_compatibility(self, checks: bool) -> None:
        with self._schemas() as store:
            store.checks = checks

    def incompatible(self, subject: str) -> None:
        """From now on a new schema for ``subject`` is answered 409, whatever it is."""
        with self._schemas() as store:
            store.refuse_changes(subject)

    def alias(self, name: str, subject: str) -> None:
        """From now on what is asked for ``name`` is answered for ``subject``, and names that one, as in Confluent's
        from 7.5 on. ``PUT /config/{name}`` with ``{"alias": subject}`` does the same."""
        with self._schemas() as store:
            store.set_config(name, {"alias": subject})

    # -- what is there ----------------------------------------------------------------------------

    def register(self, subject: str, schema: str, references: Sequence[Mapping[str, Any]] = ()) -> int:
        """Register an Avro schema without HTTP and return its id. ``references`` as in the registry's JSON:
        ``name``, ``subject``, ``version``. Raises ``ValueError`` for what the registry refuses."""
        with self._schemas() as store:
            return store.register(subject, {"schema": schema, "references": list(references)}).schema.id

    def get(self, path: str) -> Any:
        """What the registry answers to ``GET path``, without HTTP: not among `requests`, and no fault happens to it.
        Raises ``LookupError`` with the registry's words for any answer but a 200."""
        request = RecordedRequest("GET", path, Headers([]), b"", time.monotonic())
        answer = forward(self._upstream, request) if self._upstream is not None else self._known_answer(request)
        if answer.status != 200:
            raise LookupError(answer.body.decode(errors="replace"))
        return json.loads(answer.body)

    @contextlib.contextmanager
    def _schemas(self) -> Iterator[SchemaStore]:
        if self._upstream is not None:
            raise RuntimeError(f"This server stands before {self._upstream} and has no schemas of its own")
        with self._lock:
            yield self._store

    # ---------------------------------------------------------------------------------------------

    def _serve(self, connection: Connection, request: RecordedRequest) -> None:
        with self._lock:
            number = next(self._numbers)
            self._recorded[number] = request
            fault = self._take_fault(request)

        def note(status: int) -> None:
            with self._lock:
                if number in self._recorded:
                    self._recorded[number] = replace(request, answer=status)

        exchange = Exchange(request, connection, connection.server.closing, self._answer, note)
        if self.delay:
            exchange.wait(self.delay)
        (fault.play if fault else self._play)(exchange)

    def _take_fault(self, request: RecordedRequest) -> Fault | None:
        for position, planned in enumerate(self._next):
            if planned.meets(request):
                return self._next.pop(position).fault
        return next((planned.fault for planned in self._always if planned.meets(request)), None)

    def _play(self, exchange: Exchange) -> None:
        exchange.send(exchange.real_answer())

    def _answer(self, request: RecordedRequest) -> Answer:
        if self._authorize and not self._authorize(request.headers):
            return error_answer(401, 401, "Unauthorized")
        if self._upstream is not None:
            return forward(self._upstream, request)
        return self._known_answer(request)

    def _known_answer(self, request: RecordedRequest) -> Answer:
        with self._lock:
            return _api.answer(self._store, request, self._full_answers)


def _is_registration(request: RecordedRequest) -> bool:
    parts = unquote(request.path.partition("?")[0]).strip("/").split("/")
    return request.method == "POST" and parts[0] == "subjects" and parts[-1] == "versions"
