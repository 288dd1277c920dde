"""Nothing holds a caller longer than it allowed: not a dripping answer, not a resolver, not Ctrl-C, not the exit."""

from __future__ import annotations

import gc
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from clocks import FastClock
from urllib3.connectionpool import HTTPConnectionPool
from waiting import until

from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.errors import RegistryUnavailableError
from kafka_sr_retry.events import AttemptEvent, BreakerEvent, GiveUpEvent
from kafka_sr_retry.registry.clock import Clock
from kafka_sr_retry.registry.connections import Adapter
from kafka_sr_retry.testing import Fault, SchemaRegistryServer, drip, error, hang, no_leader, redirect

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
GUARD = 20.0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def slow(stack: ExitStack) -> SchemaRegistryServer:
    return stack.enter_context(SchemaRegistryServer(first_id=100))


@pytest.fixture
def good(stack: ExitStack) -> SchemaRegistryServer:
    return stack.enter_context(SchemaRegistryServer(first_id=200))


def client_of(
    stack: ExitStack, *urls: str, events: list[Any] | None = None, clock: Clock | None = None, **conf: Any
) -> SchemaRegistryClient:
    named = {key.replace("_", "."): value for key, value in conf.items()}
    settings = {"url": list(urls), "ssl.ca.location": False, **named}
    if events is not None:
        settings["event_cb"] = events.append
    return stack.enter_context(SchemaRegistryClient(settings, clock=clock))


def outcomes(events: list[Any]) -> list[str]:
    return [event.outcome for event in events if isinstance(event, AttemptEvent)]


def later(call: Any) -> tuple[threading.Thread, list[Any]]:
    """``call`` on a thread of its own, and what comes of it."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:  # noqa: BLE001 it is what is tested
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


SLOW = [hang(), drip(0.5), drip(0.1, head=True)]


@pytest.mark.parametrize("fault", SLOW, ids=lambda fault: fault.name)
def test_the_request_timeout_bounds_the_whole_answer(
    stack: ExitStack, slow: SchemaRegistryServer, good: SchemaRegistryServer, fault: Fault
) -> None:
    slow.fail_always(fault)
    events: list[Any] = []
    client = client_of(stack, slow.url, good.url, events=events, request_timeout_ms=2000)

    assert client.register_schema("s", ORDER) == 200
    assert client.register_schema("t", ORDER) == 200
    assert outcomes(events) == ["timeout", "success", "success"]


def test_a_drip_that_ends_in_time_is_an_answer(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    slow.fail_next(drip(0.001, head=True))

    assert client_of(stack, slow.url).register_schema("s", ORDER) == 100
    assert len(slow.requests) == 1


def test_redirects_share_the_attempts_time(
    stack: ExitStack, slow: SchemaRegistryServer, good: SchemaRegistryServer
) -> None:
    away = stack.enter_context(SchemaRegistryServer())
    slow.fail_always(redirect(away.url))
    away.fail_always(hang())
    events: list[Any] = []
    client = client_of(stack, slow.url, good.url, events=events, request_timeout_ms=2000)

    assert client.register_schema("s", ORDER) == 200
    assert outcomes(events) == ["timeout", "success"]
    assert (len(slow.requests), len(away.requests)) == (1, 1)


@pytest.mark.parametrize("fault", [*SLOW, error(503), error(429), no_leader()], ids=lambda fault: fault.name)
def test_the_total_timeout_ends_a_call(stack: ExitStack, slow: SchemaRegistryServer, fault: Fault) -> None:
    slow.fail_always(fault)
    events: list[Any] = []
    client = client_of(stack, slow.url, events=events, total_timeout_ms=2000)
    with pytest.raises(RegistryUnavailableError, match=r"total\.timeout\.ms") as caught:
        client.register_schema("orders-value", ORDER)

    assert 1 <= len(slow.requests) <= caught.value.attempts  # the last may end before the server has read it
    assert (caught.value.retriable, caught.value.url) == (True, slow.url)
    assert "orders-value" in str(caught.value)
    until(lambda: any(isinstance(event, GiveUpEvent) for event in events))  # who waits may leave before the call ends
    (given_up,) = [event.attempts for event in events if isinstance(event, GiveUpEvent)]
    assert given_up >= caught.value.attempts


@pytest.mark.parametrize("fault", SLOW, ids=lambda fault: fault.name)
def test_the_time_of_one_call_can_be_given(stack: ExitStack, slow: SchemaRegistryServer, fault: Fault) -> None:
    slow.fail_always(fault)
    with pytest.raises(RegistryUnavailableError):
        client_of(stack, slow.url).get_schema(1, timeout=0.2)

    assert len(slow.requests) == 1


def test_no_time_at_all_asks_nobody(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    with pytest.raises(RegistryUnavailableError):
        client_of(stack, slow.url).register_schema("s", ORDER, timeout=0)

    assert not slow.requests


def test_a_call_that_was_given_little_time_shortens_no_others(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    slow.fail_always(error(503), matching=lambda request: "/hasty/" in request.path)
    slow.fail_next(error(503), matching=lambda request: "/patient/" in request.path)
    client = client_of(stack, slow.url)
    with pytest.raises(RegistryUnavailableError):
        client.register_schema("hasty", ORDER, timeout=0.3)

    assert client.register_schema("patient", ORDER) == 100


def test_an_outage_is_shared_by_all_calls_and_its_end_releases_them(
    stack: ExitStack, slow: SchemaRegistryServer
) -> None:
    slow.fail_always(error(503))
    events: list[Any] = []
    client = client_of(stack, slow.url, events=events, clock=FastClock(30), total_timeout_ms=600_000)
    calls = [later(lambda n=n: client.register_schema(f"s{n}", ORDER)) for n in range(16)]
    until(lambda: [event for event in events if isinstance(event, BreakerEvent)])
    until(lambda: len(slow.requests) >= 16 and all(request.answer for request in slow.requests))
    until(lambda: len(slow.requests) >= 18)
    slow.recover()
    for thread, _ in calls:
        thread.join(GUARD)

    assert [found for _, found in calls] == [[100]] * 16
    attempts = [event for event in events if isinstance(event, AttemptEvent)]
    first_good = next(number for number, event in enumerate(attempts) if event.status == 200)
    assert all(event.status == 200 for event in attempts[first_good:])


def test_a_name_look_up_that_hangs_goes_on_with_the_next_endpoint(
    stack: ExitStack, good: SchemaRegistryServer, slow: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, looked_up = threading.Event(), threading.Event()

    def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
        if host != "slow.invalid":
            return real(host, *args, **kwargs)
        let_go.wait(GUARD)
        looked_up.set()
        return real("127.0.0.1", *args, **kwargs)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    events: list[Any] = []
    url = f"http://slow.invalid:{slow.port}"
    client = client_of(stack, url, good.url, events=events, request_timeout_ms=2000)

    assert client.register_schema("s", ORDER) == 200
    assert client.register_schema("t", ORDER) == 200
    assert outcomes(events) == ["timeout", "success", "success"]
    let_go.set()
    assert looked_up.wait(GUARD)
    until(lambda: "kafka-sr-retry-attempt" not in [thread.name for thread in threading.enumerate()])
    assert not slow.requests, "a request was sent after its attempt's end"


def test_one_hanging_question_does_not_delay_another(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    slow.register("known", ORDER.schema_str)
    client = client_of(stack, slow.url)
    client.register_schema("known", ORDER)
    slow.fail_next(hang(), matching=lambda request: "/hangs/" in request.path)
    thread, found = later(lambda: client.register_schema("hangs", ORDER))
    until(lambda: len(slow.requests) >= 2)

    assert client.register_schema("known", ORDER) == 100
    assert client.register_schema("other", ORDER) == 100
    assert not found
    client.close()
    thread.join(GUARD)
    assert "closed" in str(found[0])


def test_more_calls_than_max_in_flight_take_turns(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    under_way = [0]
    most = [0]
    lock = threading.Lock()

    def play(exchange: Any) -> None:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        exchange.wait(0.02)
        answer = exchange.real_answer()
        with lock:
            under_way[0] -= 1
        exchange.send(answer)

    slow.fail_always(Fault("counted", play))
    client = client_of(stack, slow.url, max_in_flight=2)
    calls = [later(lambda n=n: client.register_schema(f"s{n}", ORDER)) for n in range(8)]
    for thread, _ in calls:
        thread.join(GUARD)

    assert [found for _, found in calls] == [[100]] * 8
    assert most == [2]


@pytest.mark.parametrize("fault", [hang(), drip(1), error(503), no_leader()], ids=lambda fault: fault.name)
def test_close_ends_all_waits_with_a_clear_error(stack: ExitStack, slow: SchemaRegistryServer, fault: Fault) -> None:
    slow.fail_always(fault)
    client = client_of(stack, slow.url, total_timeout_ms=600_000, request_timeout_ms=600_000)
    calls = [later(lambda n=n: client.register_schema(f"s{n}", ORDER)) for n in range(4)]
    until(lambda: len(slow.requests) >= 4)
    client.close()
    for thread, _ in calls:
        thread.join(GUARD)

    assert all(isinstance(f, RegistryUnavailableError) and "closed" in str(f) for _, (f,) in calls)
    with pytest.raises(RegistryUnavailableError, match="closed"):
        client.register_schema("another", ORDER)


def test_who_is_ended_by_close_hears_what_was_answered(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    slow.fail_always(error(503))
    client = client_of(stack, slow.url, total_timeout_ms=600_000)
    thread, found = later(lambda: client.register_schema("s", ORDER))
    until(lambda: len(slow.requests) >= 2)
    client.close()
    thread.join(GUARD)

    assert isinstance(found[0], RegistryUnavailableError)
    assert f"{slow.url} answered 503" in str(found[0])
    assert "The client was closed" in str(found[0])


def test_close_ends_a_wait_for_a_listener_that_hangs(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    told, let_go = threading.Event(), threading.Event()

    def listen(_: Any) -> None:
        told.set()
        let_go.wait(GUARD)

    client = stack.enter_context(SchemaRegistryClient({"url": slow.url, "ssl.ca.location": False, "event_cb": listen}))
    thread, found = later(lambda: client.register_schema("s", ORDER))
    assert told.wait(GUARD)
    client.close()
    thread.join(GUARD / 2)
    let_go.set()

    assert "closed" in str(found[0])


def test_close_ends_the_connections_too(stack: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(GUARD)
        client = client_of(
            stack,
            f"http://127.0.0.1:{server.getsockname()[1]}",
            total_timeout_ms=600_000,
            request_timeout_ms=600_000,
        )
        thread, found = later(lambda: client.register_schema("s", ORDER))
        connection, _ = server.accept()
        with connection:
            connection.settimeout(3)
            while b'"Order' not in connection.recv(65536):
                pass
            client.close()
            thread.join(GUARD)
            assert "closed" in str(found[0])
            assert connection.recv(65536) == b""


def connections_to(server: SchemaRegistryServer) -> list[socket.socket]:
    found = []
    for each in gc.get_objects():
        if issubclass(type(each), socket.socket):  # isinstance would ask the object, which may be a dead proxy
            with suppress(OSError):
                found += [each] if each.getpeername()[1:2] == (server.port,) else []
    return found


def test_close_ends_idle_connections_whoever_holds_their_pool(stack: ExitStack, good: SchemaRegistryServer) -> None:
    client = client_of(stack, good.url)
    client.register_schema("s", ORDER)
    held = [each for each in gc.get_objects() if issubclass(type(each), HTTPConnectionPool)]
    assert held
    assert connections_to(good)
    client.close()
    until(lambda: not connections_to(good))


def test_who_has_a_pool_when_it_is_closed_gets_a_connection_from_it(good: SchemaRegistryServer) -> None:
    adapter = Adapter(ssl.create_default_context(), ssl.create_default_context(), 4)
    pool = adapter.poolmanager.connection_from_url(good.url)
    adapter.close()
    assert pool._get_conn().port == good.port


def test_an_attempt_whose_time_is_over_ends_its_connection(stack: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(GUARD)
        client = client_of(stack, f"http://127.0.0.1:{server.getsockname()[1]}", total_timeout_ms=300)
        thread, found = later(lambda: client.register_schema("s", ORDER))
        connection, _ = server.accept()
        with connection:
            connection.settimeout(GUARD)
            while connection.recv(65536):
                pass
        thread.join(GUARD)

    assert isinstance(found[0], RegistryUnavailableError)


def test_no_thread_is_left_behind(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    slow.fail_always(hang())
    client = client_of(stack, slow.url, total_timeout_ms=300, request_timeout_ms=100)
    with pytest.raises(RegistryUnavailableError):
        client.register_schema("s", ORDER)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("kafka-sr-retry")])


# -- processes ------------------------------------------------------------------------------------

WAITING = """
import sys, threading
from kafka_sr_retry import Schema, SchemaRegistryClient

client = SchemaRegistryClient({{
    "url": sys.argv[1], "ssl.ca.location": False, "total.timeout.ms": 600000, "request.timeout.ms": 600000,
}})
def ask():
    client.register_schema("s", Schema('"string"'))
{main}
"""


def run(main: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WAITING.format(main=main), url],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("fault", [hang(), drip(5), error(503)], ids=lambda fault: fault.name)
def test_ctrl_c_ends_a_wait_at_once(slow: SchemaRegistryServer, fault: Fault) -> None:
    slow.fail_always(fault)
    main = "try:\n    ask()\nexcept KeyboardInterrupt:\n    print('interrupted', flush=True)"
    with run(main, slow.url) as process:
        until(lambda: slow.requests)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=GUARD)

    assert (out, err, process.returncode) == ("interrupted\n", "", 0)


def test_a_hanging_request_does_not_delay_the_exit(slow: SchemaRegistryServer) -> None:
    slow.fail_always(hang())
    with run("threading.Thread(target=ask, daemon=True).start()\nsys.stdin.readline()", slow.url) as process:
        until(lambda: slow.requests)
        out, err = process.communicate("go\n", timeout=GUARD)

    assert (out, err, process.returncode) == ("", "", 0)


def test_an_interrupted_caller_leaves_the_flight_to_its_joiners(stack: ExitStack, slow: SchemaRegistryServer) -> None:
    slow.delay = 3
    client = client_of(stack, slow.url)
    with pytest.raises(RegistryUnavailableError):
        client.register_schema("s", ORDER, timeout=1)
    hasty, found = later(lambda: client.register_schema("t", ORDER, timeout=1))
    until(lambda: len(slow.requests) >= 2)

    assert client.register_schema("t", ORDER) == 100
    hasty.join(GUARD)
    assert isinstance(found[0], (int, RegistryUnavailableError))
