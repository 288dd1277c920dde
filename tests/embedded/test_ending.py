"""A client's end and a process's end, while the registry is away: nothing waits on, nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from servers import TokenServer
from waiting import LONG, until

from kafka_sr_retry import RegistryUnavailableError, Schema, SchemaRegistryClient
from kafka_sr_retry.testing import SchemaRegistryServer, drip, error, hang, no_leader, retry_after

TEXT = Schema('"string"')
HOURS = {"total.timeout.ms": 7_200_000, "request.timeout.ms": 7_200_000, "connect.timeout.ms": 7_200_000}
FAULTS = {
    "hangs": hang(),
    "drips": drip(5),
    "503": error(503),
    "no leader": no_leader(),
    "rests": retry_after(3600),
}


@contextmanager
def full_queue() -> Iterator[str]:
    """The URL of a port that takes no more connections, as where packets are dropped."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


# -- close ----------------------------------------------------------------------------------------


def who_wait(client: SchemaRegistryClient, callers: int) -> tuple[list[threading.Thread], list[Any]]:
    """Threads of which each two ask one question, and what they hear."""
    heard: list[Any] = []

    def ask(number: int) -> None:
        try:
            heard.append(client.register_schema(f"s{number // 2}", TEXT))
        except Exception as error:  # noqa: BLE001 it is what is tested
            heard.append(error)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(callers)]
    for thread in threads:
        thread.start()
    return threads, heard


def assert_all_hear_of_the_end(threads: list[threading.Thread], heard: list[Any]) -> None:
    for thread in threads:
        thread.join(LONG)
    assert len(heard) == len(threads)
    assert all(isinstance(each, RegistryUnavailableError) and "The client was closed" in str(each) for each in heard)


@pytest.mark.parametrize("fault", FAULTS)
def test_close_releases_all_whatever_they_wait_for(schema_registry: SchemaRegistryServer, fault: str) -> None:
    schema_registry.fail_always(FAULTS[fault])
    client = SchemaRegistryClient({"url": schema_registry.url, "max.in.flight": 2, "ssl.ca.location": False, **HOURS})
    threads, heard = who_wait(client, 40)
    until(lambda: client.state().waiting == 20 and schema_registry.requests)
    assert not heard

    client.close()
    assert_all_hear_of_the_end(threads, heard)
    asked = len(schema_registry.requests)
    with pytest.raises(RegistryUnavailableError, match="closed"):
        client.register_schema("late", TEXT)
    assert len(schema_registry.requests) == asked, "it asked although it was closed"


def test_close_releases_who_waits_for_a_connection() -> None:
    with full_queue() as url, SchemaRegistryClient({"url": url, "ssl.ca.location": False, **HOURS}) as client:
        threads, heard = who_wait(client, 4)
        until(lambda: client.state().waiting == 2)
        client.close()
        assert_all_hear_of_the_end(threads, heard)


def test_close_releases_who_waits_for_a_token(schema_registry: SchemaRegistryServer) -> None:
    with TokenServer() as tokens:
        tokens.fail_always(hang())
        client = SchemaRegistryClient(
            {
                "url": schema_registry.url,
                "bearer.auth.credentials.source": "OAUTHBEARER",
                "bearer.auth.client.id": tokens.ID,
                "bearer.auth.client.secret": tokens.SECRET,
                "bearer.auth.scope": "all",
                "bearer.auth.issuer.endpoint.url": tokens.endpoint,
                **HOURS,
            }
        )
        threads, heard = who_wait(client, 4)
        until(lambda: tokens.requests)
        client.close()
        assert_all_hear_of_the_end(threads, heard)
        assert not schema_registry.requests


def test_any_number_of_threads_may_close_any_number_of_times(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(hang())
    client = SchemaRegistryClient({"url": schema_registry.url, "ssl.ca.location": False, **HOURS})
    threads, heard = who_wait(client, 4)
    until(lambda: len(schema_registry.requests) == 2)
    closing = [threading.Thread(target=lambda: [client.close() for _ in range(50)], daemon=True) for _ in range(8)]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join(LONG)
        assert not thread.is_alive()
    assert_all_hear_of_the_end(threads, heard)
    client.close()


# -- processes ------------------------------------------------------------------------------------

PRELUDE = """
    import atexit, os, signal, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import suppress
    from confluent_kafka import SerializingProducer
    from confluent_kafka.serialization import MessageField, SerializationContext
    from kafka_sr_retry import AvroSerializer, RegistryUnavailableError, SchemaRegistryClient
    client = SchemaRegistryClient({
        "url": os.environ["URL"], "ssl.ca.location": False,
        "total.timeout.ms": int(os.environ["MS"]), "request.timeout.ms": int(os.environ["ATTEMPT_MS"]),
    })
    serializer = AvroSerializer(client, '"string"')

    def produce(topic="orders"):
        return serializer("x", SerializationContext(topic, MessageField.VALUE))

    def say(*words):
        os.write(1, (" ".join(map(str, words)) + "\\n").encode())

    def attempt(topic="orders"):
        try:
            produce(topic)
            say("sent")
        except RegistryUnavailableError as error:
            say("closed" if "closed" in str(error) else "given up")
"""


@contextmanager
def program(
    code: str, url: str, milliseconds: int = 7_200_000, attempt: int = 7_200_000
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code)],
        env={**os.environ, "URL": url, "MS": str(milliseconds), "ATTEMPT_MS": str(attempt)},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_ends(process: subprocess.Popen[str], *lines: str, code: int = 0, given: str | None = None) -> None:
    out, err = process.communicate(given, timeout=LONG)
    told = [line for line in err.splitlines() if not line.startswith(("register a schema", "<frozen"))]
    assert (sorted(out.split("\n")[:-1]), told, process.returncode) == (sorted(lines), [], code), err


LEFT = """
    def left():
        threads = [each.name for each in threading.enumerate() if each is not threading.main_thread()]
        files = []
        for each in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # a thread has closed it since the list was made
                files.append(os.readlink(f"/proc/self/fd/{each}"))
        return threads, sorted(files)
    before = left()
    callers = [threading.Thread(target=attempt, args=(f"t{number}",), daemon=True) for number in range(6)]
    for each in callers:
        each.start()
    sys.stdin.readline()
    during = left()
    assert len(during[0]) >= 7, during
    client.close()
    for each in callers:
        each.join()
    end = time.monotonic() + 50
    while left() != before and time.monotonic() < end:
        time.sleep(0.01)
    say(left() == before or left())
    say(len(os.listdir(os.environ["HOME"])))
"""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells what is open")
signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals for one process")


@linux
@pytest.mark.parametrize("fault", FAULTS)
def test_close_leaves_no_thread_no_socket_and_no_file(
    schema_registry: SchemaRegistryServer, fault: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    schema_registry.fail_always(FAULTS[fault])
    with program(LEFT, schema_registry.url) as process:
        until(lambda: schema_registry.requests)
        assert_ends(process, *["closed"] * 6, "True", "0", given="go\n")


PRODUCING = """
    producer = SerializingProducer({
        "bootstrap.servers": "127.0.0.1:1", "log_level": 0, "value.serializer": serializer,
        "on_delivery": lambda error, message: reported.append(message),
    })
    def reports():
        global reported
        reported = []
        producer.purge()
        producer.flush()
        return len(reported)
    try:
        producer.produce("orders", value="x")
    except KeyboardInterrupt:
        say("interrupted", reports())
    sys.stdin.readline()
    producer.produce("orders", value="x")
    say("produced", reports())
"""
IN_THREADS = """
    callers = [threading.Thread(target=attempt, args=(f"t{number}",)) for number in range(3)]
    for each in callers:
        each.start()
    try:
        produce()
    except KeyboardInterrupt:
        say("interrupted")
    client.close()
"""
IN_A_POOL = """
    try:
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(attempt, f"t{number}") for number in range(4)]
            try:
                asked[0].result()
            finally:
                client.close()  # before the pool waits for its threads
    except KeyboardInterrupt:
        say("interrupted")
"""
HANDLED = """
    signal.signal(signal.SIGTERM, lambda *_: client.close())
    attempt()
    say("goes on")
"""


@signals
@pytest.mark.parametrize("fault", ["hangs", "503", "no leader", "rests"])
def test_ctrl_c_in_produce_stops_at_once_and_the_producer_serves_on(
    schema_registry: SchemaRegistryServer, fault: str
) -> None:
    schema_registry.fail_always(FAULTS[fault] if fault != "rests" else retry_after(1))
    with program(
        PRODUCING, schema_registry.url, attempt=2_000
    ) as process:  # the one that hangs has the schema for itself
        until(lambda: schema_registry.requests)
        process.send_signal(signal.SIGINT)
        assert process.stdout
        assert process.stdout.readline() == "interrupted 0\n"
        schema_registry.recover()
        assert_ends(process, "produced 1", given="go\n")


@signals
@pytest.mark.parametrize(
    ("code", "calls", "lines"),
    [
        (IN_THREADS, 4, ["closed"] * 3 + ["interrupted"]),
        (IN_A_POOL, 3, ["closed"] * 4 + ["interrupted"]),
    ],
    ids=["threads", "a pool"],
)
@pytest.mark.parametrize("fault", ["hangs", "503"])
def test_ctrl_c_and_close_end_all_threads(
    schema_registry: SchemaRegistryServer, fault: str, code: str, calls: int, lines: list[str]
) -> None:
    schema_registry.fail_always(FAULTS[fault])
    with program(code, schema_registry.url) as process:
        until(lambda: len({each.path for each in schema_registry.requests}) == calls)
        process.send_signal(signal.SIGINT)
        assert_ends(process, *lines)


@signals
@pytest.mark.parametrize("fault", ["hangs", "503"])
def test_a_handler_of_sigterm_may_close(schema_registry: SchemaRegistryServer, fault: str) -> None:
    schema_registry.fail_always(FAULTS[fault])
    with program(HANDLED, schema_registry.url) as process:
        until(lambda: schema_registry.requests)
        process.send_signal(signal.SIGTERM)
        assert_ends(process, "closed", "goes on")


# -- the end of a process without a close -----------------------------------------------------------

DAEMONS = """
    for number in range(8):
        threading.Thread(target=attempt, args=(f"t{number}",), daemon=True).start()
    sys.stdin.readline()
"""
IN_THE_BACKGROUND = """
    threading.Thread(target=attempt).start()
    sys.stdin.readline()
"""
AT_EXIT = """
    atexit.register(attempt)
    sys.stdin.readline()
"""
AFTER_A_FAILURE = """
    attempt()
    sys.stdin.readline()
"""
AT_EXIT_WITH_OTHERS = """
    threading.Thread(target=attempt, args=("other",), daemon=True).start()
    atexit.register(attempt)
    sys.stdin.readline()
"""
CLOSED_AT_EXIT = """
    atexit.register(client.close)
    threading.Thread(target=attempt, daemon=True).start()
    sys.stdin.readline()
"""
SOON = 700
ENDS: dict[str, tuple[str, int, Callable[[list[str]], bool]]] = {
    "daemon threads wait": (DAEMONS, 7_200_000, lambda told: set(told) <= {"given up"}),
    "a thread waits": (IN_THE_BACKGROUND, SOON, lambda told: told == ["given up"]),
    "an exit handler asks": (AT_EXIT, SOON, lambda told: told == ["given up"]),
    "a call has failed": (AFTER_A_FAILURE, SOON, lambda told: told == ["given up"]),
    "an exit handler asks, and a daemon thread": (AT_EXIT_WITH_OTHERS, SOON, lambda told: "given up" in told),
    "an exit handler closes": (CLOSED_AT_EXIT, 7_200_000, lambda told: set(told) <= {"closed"}),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("fault", ["hangs", "503"])
def test_a_process_ends_without_a_close(schema_registry: SchemaRegistryServer, fault: str, end: str) -> None:
    """At once where only daemon threads wait; else when the deadline of those who wait is over."""
    code, milliseconds, is_right = ENDS[end]
    schema_registry.fail_always(FAULTS[fault])
    with program(code, schema_registry.url, milliseconds) as process:
        if end != "an exit handler asks":
            until(lambda: schema_registry.requests)
        out, err = process.communicate("go\n", timeout=LONG)
    assert is_right(out.split("\n")[:-1]), out
    assert process.returncode == 0
    assert [line for line in err.splitlines() if not line.startswith("register a schema")] == []
