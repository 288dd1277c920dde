"""What the client does with each thing that a registry, or the way to it, can answer: on real sockets."""

from __future__ import annotations

import base64
import errno
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from email.utils import formatdate
from typing import Any

import pytest
from clocks import FastClock
from urllib3.connectionpool import HTTPConnectionPool
from waiting import until

from kafka_sr_retry import RegisteredSchema, Schema, SchemaRegistryClient
from kafka_sr_retry.errors import (
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    RegistryUnavailableError,
    SchemaNotFoundError,
    SchemaRegistryError,
)
from kafka_sr_retry.events import (
    AttemptEvent,
    AttemptStartEvent,
    BodyLostEvent,
    BreakerEvent,
    CallStartEvent,
    Event,
    FailoverEvent,
    GiveUpEvent,
    RefusalEvent,
    RetryEvent,
    SuccessEvent,
)
from kafka_sr_retry.testing import (
    Exchange,
    Fault,
    SchemaRegistryServer,
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

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
STRING = Schema('"string"')


class Registries:
    """Two registries, whose ids tell who answered, and what their client told."""

    def __init__(self) -> None:
        self.a = SchemaRegistryServer(first_id=100)
        self.b = SchemaRegistryServer(first_id=200)
        self.events: list[Event] = []
        self.stack = ExitStack()

    def client(self, *urls: str, **conf: Any) -> SchemaRegistryClient:
        named = {key if key == "event_cb" else key.replace("_", "."): value for key, value in conf.items()}
        return self.stack.enter_context(
            SchemaRegistryClient(
                {
                    "url": list(urls) or [self.a.url, self.b.url],
                    "event_cb": self.events.append,
                    "total.timeout.ms": 600_000,
                    "ssl.ca.location": False,  # loading the system's takes time, and there is no TLS here
                    **named,
                },
                clock=FastClock(30),
            )
        )

    @property
    def counts(self) -> tuple[int, int]:
        return len(self.a.requests), len(self.b.requests)

    def kinds(self) -> list[type[Event]]:
        """Of the events, but for the breaker's, lost bodies and those that only tell of a start."""
        others = BreakerEvent | BodyLostEvent | CallStartEvent | AttemptStartEvent
        return [type(event) for event in self.events if not isinstance(event, others)]

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, AttemptEvent)]


@pytest.fixture
def two() -> Iterator[Registries]:
    registries = Registries()
    with registries.stack:
        registries.stack.enter_context(registries.a)
        registries.stack.enter_context(registries.b)
        yield registries


@contextmanager
def listening(serve: Callable[[socket.socket], None] | None = None, *, backlog: int = 16) -> Iterator[str]:
    """The URL of a server that does with each connection what ``serve`` does."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)  # type: ignore[misc]

        thread = threading.Thread(target=accept, daemon=True)
        if serve is not None:
            thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        if serve is not None:
            thread.join(10)


@contextmanager
def full() -> Iterator[str]:
    """The URL of a server that takes no more connections, and says so to nobody."""
    with listening(backlog=0) as url, ExitStack() as stack:
        for _ in range(16):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            assert filler.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) in (0, errno.EINPROGRESS)
        yield url


def closed() -> str:
    """The URL of a port on which nobody listens."""
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


# -- no answer ------------------------------------------------------------------------------------


def test_a_refused_connection_goes_to_the_next_endpoint_which_is_remembered(two: Registries) -> None:
    client = two.client(closed(), two.b.url)

    assert client.register_schema("s", ORDER) == 200
    assert client.register_schema("t", ORDER) == 200
    assert two.outcomes() == ["connection", "success", "success"]
    assert not [event for event in two.events if isinstance(event, RetryEvent)]


def test_where_nobody_answered_there_is_no_status(two: Registries) -> None:
    client = two.client(two.a.url, max_retries=0)
    two.a.close()
    with pytest.raises(RegistryUnavailableError) as caught:
        client.register_schema("s", ORDER)
    assert (caught.value.http_status_code, caught.value.retriable) == (None, True)


def test_each_client_begins_at_a_random_url_if_it_is_told_to(two: Registries) -> None:
    def ask(**conf: Any) -> None:
        urls = [two.a.url, two.b.url]
        with SchemaRegistryClient({"url": urls, "ssl.ca.location": False, **conf}) as client:
            client.register_schema("s", ORDER)

    for _ in range(30):
        ask(**{"url.randomize": True})
    assert min(two.counts) > 0

    before = two.counts
    for _ in range(5):
        ask()
    assert two.counts == (before[0] + 5, before[1])


def test_a_name_that_is_not_found_goes_to_the_next_endpoint(two: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "sr.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    assert two.client("http://sr.invalid:8081", two.b.url).register_schema("s", ORDER) == 200
    (failed, _) = [event for event in two.events if isinstance(event, AttemptEvent)]
    assert (failed.outcome, failed.detail) == ("connection", "the name look-up failed: Name or service not known")


def test_a_connection_that_is_not_made_in_time_goes_to_the_next_endpoint(two: Registries) -> None:
    with full() as url:
        client = two.client(url, two.b.url, connect_timeout_ms=100)
        assert client.register_schema("s", ORDER) == 200
        assert client.register_schema("t", ORDER) == 200

    assert two.outcomes() == ["timeout", "success", "success"]
    told = next(event for event in two.events if isinstance(event, AttemptEvent))
    assert "connect.timeout.ms" in told.detail


def test_the_connect_timeout_is_for_all_addresses_together(two: Registries, monkeypatch: pytest.MonkeyPatch) -> None:
    with full() as url:
        port = int(url.rpartition(":")[2])

        def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
            found = real(host, *args, **kwargs)
            return [(*entry[:4], ("127.0.0.1", port)) for entry in found] * 3 + found if host == "localhost" else found

        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        client = two.client(f"http://localhost:{two.a.port}", two.b.url, connect_timeout_ms=400)
        assert client.register_schema("s", ORDER) == 100


FAILED_ENDPOINTS = [
    reset(),
    close_connection(),
    swallow(),
    truncate(0),
    truncate(5),
    hang(),
    drip(0.3),
    drip(0.1, head=True),
    error(500, 50001),
    error(500, 50002),
    error(500),
    html(500),
    answer(500, "Internal Server Error", "text/plain"),
    html(502),
    html(503),
    error(503),
    html(504),
    error(501),
    answer(599, ""),
    error(408),
    html(408),
    answer(425, ""),
    no_leader(),
    error(500, 50004),
    retry_after(2),
    retry_after(2, 503),
    error(429),
    html(303),
    answer(303, "", headers={"Location": "/elsewhere"}),
    answer(304, ""),
    answer(307, ""),
    answer(200, "{}"),
    answer(200, "null"),
    answer(200, "true"),
    answer(200, '{"id":-5}'),
    answer(200, '{"id":0}'),
    answer(200, '{"id":4294967296}'),
    answer(200, '{"id":2147483648}'),
    answer(200, '{"id":"7"}'),
    answer(200, '{"id":true}'),
    answer(200, '{"id":7.0}'),
    answer(200, '{"id":7'),
    answer(200, ""),
    answer(204, ""),
    html(200),
    answer(200, '{"id":7,"subject":5}'),
    answer(200, '{"id":7,"ruleSet":["x"]}'),
    answer(200, '{"id":7,"schema":"\\"string\\""}'),
]


def attempt_ms(fault: Fault) -> int:
    """Of time where the fault is one of time; else a healthy node has all that it may need on a busy machine."""
    return 2000 if fault.name.startswith(("hang", "drip", "swallow")) else 30_000


@pytest.mark.parametrize("fault", FAILED_ENDPOINTS, ids=lambda fault: fault.name)
def test_a_failed_endpoint_hands_on_to_the_next_at_once(two: Registries, fault: Fault) -> None:
    two.a.fail_next(fault)
    client = two.client(request_timeout_ms=attempt_ms(fault))

    assert client.register_schema("s", ORDER) == 200
    assert two.counts == (1, 1)
    assert two.kinds() == [AttemptEvent, FailoverEvent, AttemptEvent, SuccessEvent]


@pytest.mark.parametrize("fault", FAILED_ENDPOINTS, ids=lambda fault: fault.name)
def test_a_failed_endpoint_that_is_alone_is_asked_again(two: Registries, fault: Fault) -> None:
    two.a.fail_next(fault)
    client = two.client(two.a.url, request_timeout_ms=attempt_ms(fault))

    assert client.register_schema("s", ORDER) == 100
    assert two.counts == (2, 0)
    assert two.kinds() == [AttemptEvent, RetryEvent, AttemptEvent, SuccessEvent]


@pytest.mark.parametrize(
    "fault",
    [truncate(0), truncate(5), truncate(1), drip(0.3), drip(0.1, head=True), hang(), html(502), answer(200, "{}")],
    ids=lambda fault: fault.name,
)
def test_what_comes_over_a_kept_alive_connection_is_no_excuse(two: Registries, fault: Fault) -> None:
    client = two.client(request_timeout_ms=attempt_ms(fault))
    client.register_schema("first", ORDER)
    two.a.fail_next(fault)

    assert client.register_schema("s", ORDER) == 200
    assert two.counts == (2, 1)


def test_an_answer_of_more_than_a_mib_is_a_failed_endpoint(two: Registries) -> None:
    two.a.fail_next(answer(200, b'{"id":7,"x":"' + b"x" * (1024 * 1024) + b'"}'))

    assert two.client().register_schema("s", ORDER) == 200
    assert two.outcomes() == ["bad_answer", "success"]


def test_an_answer_of_nearly_a_mib_is_read(two: Registries) -> None:
    two.a.fail_next(answer(200, b'{"id":7,"x":"' + b"x" * (1024 * 1024 - 100) + b'"}'))

    assert two.client().register_schema("s", ORDER) == 7


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{",
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"id":7}\r\n0\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\n{"id":7}',
        b'HTTP/1.1 200 OK\r\n\r\n{"id"',
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b'\r\n{"id":7}',
    ],
    ids=lambda sent: repr(sent[:60]),
)
def test_an_answer_that_is_not_http_is_a_failed_endpoint(two: Registries, sent: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(sent)

    with listening(serve) as url:
        assert two.client(url, two.b.url).register_schema("s", ORDER) == 200


# -- subject aliases and versions -----------------------------------------------------------------

ASKS: dict[str, Callable[[SchemaRegistryClient], RegisteredSchema]] = {
    "register": lambda client: client.register_schema_full_response("an-alias", ORDER),
    "look up": lambda client: client.lookup_schema("an-alias", ORDER),
    "latest": lambda client: client.get_latest_version("an-alias"),
    "version": lambda client: client.get_version("an-alias", 1),
    "metadata": lambda client: client.get_latest_with_metadata("an-alias", {}),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_an_alias_is_answered_with_the_subject_that_it_stands_for(
    ask: Callable[[SchemaRegistryClient], RegisteredSchema],
) -> None:
    with SchemaRegistryServer(full_answers=True) as registry, SchemaRegistryClient({"url": registry.url}) as client:
        registry.alias("an-alias", "shop-order")
        registry.register("shop-order", ORDER.schema_str)
        for _ in range(2):
            found = ask(client)
            assert found.subject == ("an-alias" if registry.registrations else "shop-order")
            assert (found.version, found.schema_id) == (1, 1)
        assert len(registry.requests) == 1


@pytest.mark.parametrize("version", ["latest", -1, "-1"])
def test_the_latest_version_is_asked_for_each_time_whatever_it_is_called(two: Registries, version: Any) -> None:
    two.a.check_compatibility = False
    client, seen = two.client(two.a.url), []
    for schema in (ORDER, STRING):
        two.a.register("s", schema.schema_str)
        seen.append(client.get_version("s", version).version)

    assert seen == [1, 2]
    assert {request.path for request in two.a.requests} == {"/subjects/s/versions/latest"}


@pytest.mark.parametrize("version", [1, "1", "01"])
def test_a_version_by_its_number_is_asked_for_once(two: Registries, version: Any) -> None:
    two.a.register("s", ORDER.schema_str)
    client = two.client(two.a.url)
    assert {client.get_version("s", each).version for each in (version, 1, version)} == {1}
    assert two.counts == (1, 0)


# -- connections that were kept alive -------------------------------------------------------------


@pytest.mark.parametrize("fault", [close_connection(), reset(), swallow()], ids=lambda fault: fault.name)
def test_a_stale_connection_costs_one_more_request_and_nobody_is_blamed(two: Registries, fault: Fault) -> None:
    client = two.client()
    client.register_schema("first", ORDER)
    two.a.fail_next(fault)
    two.events.clear()

    assert client.register_schema("s", STRING) == 101
    assert two.counts == (3, 0)
    assert two.outcomes() == ["stale_connection", "success"]
    assert all(endpoint.up for endpoint in client.state().endpoints)


def test_one_stale_connection_is_told_for_all_of_them(two: Registries) -> None:
    both, seen = threading.Barrier(2, timeout=10), set()

    def play(exchange: Exchange) -> None:
        if exchange.connection in seen:
            exchange.connection.end()
            return
        seen.add(exchange.connection)
        if len(seen) <= 2:
            both.wait()
        exchange.send(exchange.real_answer())

    two.a.fail_always(Fault("serves one request a connection", play))
    client = two.client()
    warm = [threading.Thread(target=client.register_schema, args=(name, ORDER), daemon=True) for name in "pq"]
    for thread in warm:
        thread.start()
    for thread in warm:
        thread.join(10)

    assert client.register_schema("s", STRING) == 101
    assert two.outcomes() == ["success", "success", "stale_connection", "success"]


def test_stale_connections_never_open_the_breaker(two: Registries) -> None:
    client = two.client()
    client.register_schema("first", ORDER)
    for number in range(6):
        two.a.fail_next(close_connection())
        client.register_schema(f"s{number}", ORDER)

    assert two.counts == (13, 0)
    assert not [event for event in two.events if isinstance(event, BreakerEvent)]


def test_a_registry_that_ends_fresh_connections_too_has_failed(two: Registries) -> None:
    client = two.client()
    client.register_schema("first", ORDER)
    two.a.fail_next(close_connection(), close_connection())

    assert client.register_schema("s", ORDER) == 200
    assert two.counts == (3, 1)
    assert two.outcomes() == ["success", "stale_connection", "connection", "success"]


def test_a_stale_connection_to_the_second_endpoint_is_no_failover(two: Registries) -> None:
    client = two.client()
    two.a.fail_next(error(503))
    client.register_schema("first", ORDER)
    client.register_schema("second", ORDER)
    two.b.fail_next(error(503), matching=lambda request: "/third/" in request.path)
    client.register_schema("third", ORDER)
    two.events.clear()
    two.a.fail_next(error(503))
    two.b.fail_next(close_connection())

    assert client.register_schema("s", ORDER) == 200
    failovers = [(e.failed, e.next) for e in two.events if isinstance(e, FailoverEvent)]
    assert failovers == [(two.a.url, two.b.url)]


def test_idle_connections_that_a_restart_closed_are_not_failures(two: Registries) -> None:
    client = two.client()
    client.register_schema("first", ORDER)
    two.a.close()
    two.a.start()

    assert client.register_schema("s", STRING) == 101
    assert set(two.outcomes()) <= {"success", "stale_connection"}


def test_connections_forgotten_by_one_request_fail_no_other_on_its_way(
    two: Registries, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = two.client()
    client.register_schema("first", ORDER)
    send = HTTPConnectionPool.urlopen
    meanwhile = [client._asking._here().transport.forget_connections]

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        while meanwhile:
            meanwhile.pop()()
        return send(*args, **kwargs)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", overtaken)

    assert client.register_schema("s", STRING) == 101
    assert set(two.outcomes()) <= {"success", "stale_connection"}


# -- no leader ------------------------------------------------------------------------------------


def test_without_a_leader_every_node_is_asked_and_then_the_cluster_is_waited_for(two: Registries) -> None:
    for registry in (two.a, two.b):
        registry.fail_next(no_leader(), error(500, 50004), no_leader())

    assert two.client().register_schema("s", ORDER) in (100, 200)
    assert sorted(two.counts) in ([3, 4],)
    assert two.outcomes() == ["no_leader"] * 6 + ["success"]
    assert [(e.endpoint, e.open) for e in two.events if isinstance(e, BreakerEvent)] == [
        ("writes", True),
        ("writes", False),
    ]


def test_while_there_is_no_leader_known_schemas_and_reads_are_served(two: Registries) -> None:
    two.a.register("known", ORDER.schema_str)
    client = two.client(two.a.url)
    released = threading.Event()
    with two.a.leaderless():
        waiting = threading.Thread(target=lambda: (client.register_schema("new", ORDER), released.set()), daemon=True)
        waiting.start()
        until(lambda: [event for event in two.events if isinstance(event, BreakerEvent)])
        two.a.clear_requests()
        assert client.register_schema("known", ORDER) == 100
        assert client.get_schema(100).schema_str == ORDER.schema_str
        assert client.get_latest_version("known").version == 1
        assert len([r for r in two.a.requests if "/new/" not in r.path]) == 3
        assert not released.is_set()
    assert released.wait(20)


# -- redirects ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed_with_method_and_body(two: Registries, status: int) -> None:
    two.a.fail_next(redirect(two.b.url, status))

    assert two.client(two.a.url).register_schema("s", ORDER) == 200
    first, second = two.a.requests[0], two.b.requests[0]
    assert (second.method, second.path, second.body) == ("POST", first.path, first.body)
    assert two.outcomes() == ["success"]


def test_a_redirect_whose_own_body_has_no_end_is_a_failed_endpoint(two: Registries) -> None:
    def redirects(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 307 Elsewhere\r\nLocation: {two.b.url}/subjects/s/versions\r\n\r\n".encode())
        with suppress(OSError):
            while True:
                connection.sendall(bytes(65536))

    with listening(redirects) as url:
        conf = {"url": [url, two.a.url], "ssl.ca.location": False, "event_cb": two.events.append}
        with SchemaRegistryClient(conf) as client:
            assert client.register_schema("s", ORDER) == 100
    assert two.outcomes() == ["bad_answer", "success"]
    assert two.counts == (1, 0)


def test_a_relative_redirect_is_followed(two: Registries) -> None:
    two.a.fail_next(answer(308, "", headers={"Location": "/subjects/t/versions"}))

    assert two.client(two.a.url).register_schema("s", ORDER) == 100
    assert [request.path for request in two.a.requests] == ["/subjects/s/versions", "/subjects/t/versions"]


@pytest.mark.parametrize(("hops", "served_by"), [(5, 100), (6, 200)])
def test_at_most_five_redirects_are_followed(two: Registries, hops: int, served_by: int) -> None:
    two.a.fail_next(*[redirect(two.a.url)] * hops)

    assert two.client().register_schema("s", ORDER) == served_by
    assert two.counts == ((6, 0) if served_by == 100 else (6, 1))


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "file:///etc/hostname", "http://[", "http://a:b/"])
def test_a_redirect_to_nowhere_is_a_failed_endpoint(two: Registries, location: str) -> None:
    two.a.fail_next(answer(307, "", headers={"Location": location}))

    assert two.client().register_schema("s", ORDER) == 200


def test_a_redirect_to_a_registry_that_is_down_fails_the_endpoint(two: Registries) -> None:
    two.a.fail_next(redirect(closed()))

    assert two.client().register_schema("s", ORDER) == 200


def test_another_origin_gets_neither_credentials_nor_extra_headers(two: Registries) -> None:
    def sign(request: Any) -> Any:
        request.headers["X-Signed"] = "secret-signature"
        return request

    for conf in ({"basic.auth.user.info": "user:secret"}, {"http.auth": sign}):
        for registry in (two.a, two.b):
            registry.clear_requests()
        two.a.fail_next(redirect(two.a.url), redirect(two.b.url))
        two.b.fail_next(redirect(two.a.url))
        client = two.client(two.a.url, **conf, **{"http.headers": {"X-Tenant": "secret-tenant"}})
        client.register_schema("s", ORDER)

        home, away = two.a.requests, two.b.requests
        assert (len(home), len(away)) == (3, 1)
        proof = "Authorization" if "http.auth" not in conf else "X-Signed"
        assert all({"X-Tenant", proof} <= set(request.headers) for request in home)
        assert "secret" not in str(away[0].headers)
        assert "Authorization" not in away[0].headers


def test_credentials_in_a_redirect_are_not_used_and_not_told(two: Registries) -> None:
    two.a.fail_next(redirect(two.b.url.replace("http://", "http://user:secret@")))
    two.client(two.a.url).register_schema("s", ORDER)

    assert "Authorization" not in two.b.requests[0].headers
    assert "secret" not in repr(two.events)


# -- Retry-After ----------------------------------------------------------------------------------


def rested(two: Registries) -> float:
    """Seconds of the client's clock between the first and the last request."""
    requests = two.a.requests
    return (requests[-1].time - requests[0].time) * 30


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_rest_is_kept_and_a_date_is_measured_against_the_answers_own(two: Registries, status: int, form: str) -> None:
    wrong_time = 1_000_000_000
    headers = {"Date": formatdate(wrong_time, usegmt=True)}
    headers["Retry-After"] = "9" if form == "seconds" else formatdate(wrong_time + 9, usegmt=True)
    two.a.fail_next(error(status, headers=headers))

    assert two.client(two.a.url).register_schema("s", ORDER) == 100
    assert two.counts == (2, 0)
    assert rested(two) >= 9


def test_a_resting_endpoint_is_left_alone_while_another_serves(two: Registries) -> None:
    two.a.fail_next(retry_after(3600))
    client = two.client()

    assert [client.register_schema(f"s{n}", ORDER) for n in range(5)] == [200] * 5
    assert two.counts == (1, 5)


@pytest.mark.parametrize("status", [429, 503])
def test_a_rest_beyond_the_deadline_fails_at_once_and_says_when(two: Registries, status: int) -> None:
    two.a.fail_next(retry_after(3600, status))
    with pytest.raises(RegistryUnavailableError) as caught:
        two.client(two.a.url).register_schema("s", ORDER)

    assert two.counts == (1, 0)
    assert caught.value.retry_after == pytest.approx(3600, abs=30)
    assert (caught.value.http_status_code, caught.value.retriable) == (status, True)


# -- final answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected", "code"),
    [
        (error(409), IncompatibleSchemaError, 409),
        (error(422, 42201), InvalidSchemaError, 42201),
        (error(422, 422, "some other words"), InvalidSchemaError, 422),
        (error(400), SchemaRegistryError, 400),
        (error(415), SchemaRegistryError, 415),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_refusal_is_final(two: Registries, fault: Fault, expected: type[SchemaRegistryError], code: int) -> None:
    two.a.fail_next(fault)
    with pytest.raises(expected) as caught:
        two.client().register_schema("s", ORDER)

    assert type(caught.value).__name__ == expected.__name__
    assert (caught.value.error_code, caught.value.attempts, caught.value.retriable) == (code, 1, False)
    assert caught.value.url == two.a.url
    assert two.counts == (1, 0)
    assert two.kinds() == [AttemptEvent, RefusalEvent]


OF_ONE_NODE = [
    (error(404, 40401), SchemaNotFoundError, 40401),
    (error(404, 0, "no such artifact"), SchemaNotFoundError, 0),
    (error(401), RegistryAuthError, 401),
    (error(403), RegistryAuthError, 403),
    (html(401), RegistryAuthError, -1),
    (html(403), RegistryAuthError, -1),
    (html(404), SchemaNotFoundError, -1),
    (answer(404, "{}"), SchemaNotFoundError, -1),
    (html(400), SchemaRegistryError, -1),
    (html(409), SchemaRegistryError, -1),
    (html(422), SchemaRegistryError, -1),
    (html(413), SchemaRegistryError, -1),
    (error(413), SchemaRegistryError, 413),
    (html(431), SchemaRegistryError, -1),
    (drop_body(), InvalidSchemaError, 422),
]
of_one_node = pytest.mark.parametrize(
    ("fault", "expected", "code"), OF_ONE_NODE, ids=lambda value: getattr(value, "name", str(value))
)


@of_one_node
def test_a_refusal_that_may_be_one_nodes_is_final_where_there_is_no_other(
    two: Registries, fault: Fault, expected: type[SchemaRegistryError], code: int
) -> None:
    two.a.fail_always(fault)
    with pytest.raises(expected) as caught:
        two.client(two.a.url).test_compatibility("s", ORDER)

    assert type(caught.value).__name__ == expected.__name__
    assert (caught.value.error_code, caught.value.attempts, caught.value.retriable) == (code, 1, False)
    assert two.counts == (1, 0)


@of_one_node
def test_the_next_node_is_asked_before_such_a_refusal_is_final(
    two: Registries, fault: Fault, expected: type[SchemaRegistryError], code: int
) -> None:
    two.a.fail_always(fault)
    client = two.client()

    assert client.register_schema("s", ORDER) == 200
    assert client.register_schema("t", ORDER) == 200
    assert two.counts == (1, 2)
    assert two.kinds()[:4] == [AttemptEvent, FailoverEvent, AttemptEvent, SuccessEvent]
    assert all(endpoint.up for endpoint in client.state().endpoints)


@of_one_node
@pytest.mark.parametrize("other", [None, error(503), reset()], ids=str)
def test_such_a_refusal_is_final_after_the_round_whatever_the_other_node_does(
    two: Registries, fault: Fault, expected: type[SchemaRegistryError], code: int, other: Fault | None
) -> None:
    two.a.fail_always(fault)
    two.b.fail_always(other or fault)
    with pytest.raises(expected) as caught:
        two.client().test_compatibility("s", ORDER)

    assert (caught.value.error_code, caught.value.attempts, caught.value.retriable) == (code, 2, False)
    assert two.counts == (1, 1)
    for url in (two.a.url, two.b.url):
        assert url in str(caught.value)
    assert two.kinds() == [AttemptEvent, FailoverEvent, AttemptEvent, RefusalEvent]


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (error(404, 40401), error(401), 401),
        (error(401), error(404, 40401), 404),
        (error(404, 40401), html(400), 404),
        (html(400), error(404, 40401), 404),
        (error(403), error(404, 40401), 403),
        (error(404, 40401), error(409), 409),
    ],
    ids=str,
)
def test_of_two_refusals_the_more_telling_one_is_told(
    two: Registries, first: Fault, second: Fault, status: int
) -> None:
    two.a.fail_always(first)
    two.b.fail_always(second)
    with pytest.raises(SchemaRegistryError) as caught:
        two.client().lookup_schema("s", ORDER)

    assert caught.value.http_status_code == status
    assert two.counts == (1, 1)


def test_two_registries_that_refuse_are_enough_and_two_pages_are_not(two: Registries) -> None:
    with SchemaRegistryServer(first_id=300) as c:
        for fault, counts in ((html(404), (1, 1, 1)), (error(404, 40401), (1, 1, 0))):
            for registry in (two.a, two.b, c):
                registry.recover()
                registry.clear_requests()
            two.a.fail_always(fault)
            two.b.fail_always(fault)
            client = two.client(two.a.url, two.b.url, c.url)
            if fault.name == html(404).name:
                assert client.register_schema("s", ORDER) == 300
            else:
                with pytest.raises(SchemaNotFoundError):
                    client.register_schema("s", ORDER)
            assert (*two.counts, len(c.requests)) == counts


def test_a_node_that_catches_up_after_its_start_loses_no_message(two: Registries) -> None:
    two.b.register("s", ORDER.schema_str)
    client = two.client(**{"refusal.cache.ttl.ms": 30_000})

    assert client.lookup_schema("s", ORDER).schema_id == 200
    assert client.get_latest_version("s").schema_id == 200
    assert two.counts == (1, 2)


def test_a_refusal_of_all_nodes_is_remembered(two: Registries) -> None:
    client = two.client()
    for _ in range(3):
        with pytest.raises(SchemaNotFoundError):
            client.get_latest_version("s")

    assert two.counts == (1, 1)


def test_a_probe_that_is_refused_by_a_page_leaves_the_next_one_to_others(two: Registries) -> None:
    client = two.client(two.a.url, max_retries=0)
    two.a.fail_next(*[error(503)] * 3)
    for number in range(3):
        with pytest.raises(RegistryUnavailableError):
            client.register_schema(f"s{number}", ORDER)
    two.a.fail_next(html(413))
    with pytest.raises(SchemaRegistryError):
        client.register_schema("large", ORDER)

    assert client.state().endpoints[0].open
    assert client.register_schema("s", ORDER) == 100


REFUSED_WRITES = [error(403), html(403), error(422, 42205)]


@pytest.mark.parametrize("fault", REFUSED_WRITES, ids=lambda fault: fault.name)
def test_who_may_only_read_still_gets_the_id_of_a_schema_that_is_there(two: Registries, fault: Fault) -> None:
    two.a.register("s", ORDER.schema_str)
    two.a.fail_always(fault, matching=lambda request: request.path.endswith("/versions"))
    client = two.client(two.a.url)

    assert [client.register_schema("s", ORDER) for _ in range(2)] == [100, 100]
    registration, look_up = two.a.requests
    assert look_up.path == "/subjects/s"
    assert json.loads(look_up.body) == json.loads(registration.body)
    assert two.counts == (2, 0)


@pytest.mark.parametrize("fault", REFUSED_WRITES, ids=lambda fault: fault.name)
@pytest.mark.parametrize("look_up", [None, error(403), error(401)], ids=str)
def test_who_may_only_read_gets_the_first_answer_for_a_schema_that_is_not_there(
    two: Registries, fault: Fault, look_up: Fault | None
) -> None:
    two.a.fail_next(fault)
    if look_up is not None:
        two.a.fail_next(look_up)
    with pytest.raises(SchemaRegistryError) as caught:
        two.client(two.a.url).register_schema("s", ORDER)

    assert caught.value.http_status_code in (403, 422)
    assert caught.value.error_code in (403, 42205, -1)
    assert two.counts == (2, 0)


def test_the_look_up_comes_after_the_next_node_was_asked(two: Registries) -> None:
    two.b.register("s", ORDER.schema_str)
    for registry in (two.a, two.b):
        registry.fail_always(error(403), matching=lambda request: request.path.endswith("/versions"))

    assert two.client().register_schema("s", ORDER) == 200
    asked = [event.url.removeprefix(event.endpoint) for event in two.events if isinstance(event, AttemptEvent)]
    assert asked == ["/subjects/s/versions"] * 2 + ["/subjects/s"] * 2


def test_a_read_that_is_forbidden_is_not_looked_up(two: Registries) -> None:
    two.a.fail_next(error(403))
    with pytest.raises(RegistryAuthError):
        two.client(two.a.url).get_schema(1)

    assert two.counts == (1, 0)


def test_a_refusal_after_failures_is_final_too(two: Registries) -> None:
    two.a.fail_next(error(503), error(409))
    with pytest.raises(IncompatibleSchemaError) as caught:
        two.client(two.a.url).register_schema("s", ORDER)

    assert caught.value.attempts == 2


# -- what is told ---------------------------------------------------------------------------------


def test_each_attempt_has_a_request_id_of_its_own_that_its_event_tells(two: Registries) -> None:
    two.a.fail_next(error(503), error(500))
    two.client(two.a.url).register_schema("s", ORDER)
    sent = [request.headers["X-Request-ID"] for request in two.a.requests]

    assert len(set(sent)) == 3
    assert [e.request_id for e in two.events if isinstance(e, AttemptEvent)] == sent


def test_each_attempt_tells_the_registry_its_number(two: Registries) -> None:
    two.a.fail_next(error(503), error(500))
    client = two.client(two.a.url)
    client.register_schema("s", ORDER)
    client.register_schema("another", ORDER)

    assert [request.headers["Kafka-Sr-Retry-Attempt"] for request in two.a.requests] == ["1", "2", "3", "1"]


@pytest.mark.parametrize(
    "fault", [hang(), reset(), error(503), error(409), truncate(), html(404)], ids=lambda fault: fault.name
)
def test_every_attempts_event_tells_the_requests_url(two: Registries, fault: Fault) -> None:
    two.a.fail_next(fault)
    client = two.client(two.a.url, request_timeout_ms=200, max_retries=0)
    with pytest.raises(SchemaRegistryError):
        client.register_schema("s", ORDER)

    told = next(event for event in two.events if isinstance(event, AttemptEvent))
    assert (told.method, told.url) == ("POST", f"{two.a.url}/subjects/s/versions")
    assert (told.endpoint, told.number) == (two.a.url, 1)


def test_an_error_says_what_was_asked_what_each_endpoint_answered_and_how_often(two: Registries) -> None:
    two.a.fail_always(html(502))
    two.b.fail_always(error(500, 50002))
    with pytest.raises(RegistryUnavailableError) as caught:
        two.client(max_retries=1).register_schema("orders-value", ORDER)

    for word in ("orders-value", two.a.url, "502", two.b.url, "500/50002", "4 attempts"):
        assert word in str(caught.value)
    (gave_up,) = [event for event in two.events if isinstance(event, GiveUpEvent)]
    assert (gave_up.attempts, gave_up.reason) == (4, "server_error")


@pytest.mark.parametrize("fault", [error(401), error(403), html(404), html(502), reset(), hang(), retry_after(9999)])
def test_no_credential_ever_stands_in_an_event_or_an_error(two: Registries, fault: Fault) -> None:
    secrets = ["pa55-word", "t0ken", base64.b64encode(b"me:pa55-word").decode()]
    two.a.fail_always(fault)
    url = two.a.url.replace("//", "//me:pa55-word@")
    client = two.client(url, **{"http.headers": {"X-Key": "t0ken"}}, max_retries=0, request_timeout_ms=200)
    with pytest.raises(SchemaRegistryError) as caught:
        client.register_schema("s", ORDER)

    assert two.a.requests[0].headers["Authorization"] == f"Basic {secrets[2]}"
    told = f"{caught.value} {vars(caught.value)} {two.events} {client!r}"
    assert not [secret for secret in secrets if secret in told]


@pytest.mark.parametrize("value", [" t0ken", "t0ken\x00", "t0ken\u20ac"], ids=ascii)
def test_a_header_that_cannot_be_sent_is_not_told_either(two: Registries, value: str) -> None:
    told = ""
    try:
        client = two.client(two.a.url, **{"http.headers": {"X-Key": value}}, max_retries=0)
        client.register_schema("s", ORDER)
    except (SchemaRegistryError, ValueError) as refused:
        told = f"{refused} {vars(refused)}"

    assert "t0ken" not in f"{told} {two.events}"


def test_neither_netrc_nor_cookies_change_what_is_sent(
    two: Registries, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    two.a.fail_next(answer(503, "", headers={"Set-Cookie": "session=1; Path=/"}))
    two.client(two.a.url, **{"basic.auth.user.info": "me:right"}).register_schema("s", ORDER)

    assert {r.headers["Authorization"] for r in two.a.requests} == {f"Basic {base64.b64encode(b'me:right').decode()}"}
    assert all("Cookie" not in request.headers for request in two.a.requests)


def test_a_path_in_the_url_is_kept(two: Registries) -> None:
    two.a.fail_next(error(503), answer(200, '{"id":7}'))

    assert two.client(two.a.url + "/apis/ccompat/v7/").register_schema("s/ü", ORDER) == 7
    assert {request.path for request in two.a.requests} == {"/apis/ccompat/v7/subjects/s%2F%C3%BC/versions"}


def test_a_listener_that_raises_breaks_no_message(two: Registries, caplog: pytest.LogCaptureFixture) -> None:
    def raises(_: Event) -> None:
        raise RuntimeError("listener")

    client = two.client(two.a.url, event_cb=raises)

    assert isinstance(client.register_schema_full_response("s", ORDER), RegisteredSchema)
    assert "event_cb raised on AttemptStartEvent" in caplog.text
    assert "RuntimeError: listener" in caplog.text
