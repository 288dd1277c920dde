"""Signal handlers, finalizers and a limit of threads: nothing hangs, nothing is lost, and no call has a thread."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from kafka_sr_retry import AvroSerializer, RegistryUnavailableError, Schema, SchemaRegistryClient
from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
from kafka_sr_retry.testing import SchemaRegistryServer, faults

TEXT = Schema('"string"')

PRELUDE = """
    import atexit, os, random, signal, sys, threading, time
    from confluent_kafka.serialization import MessageField, SerializationContext
    from kafka_sr_retry import AvroSerializer, SchemaRegistryClient, SchemaRegistryError
    CONF = {"url": os.environ["REGISTRY"], "total.timeout.ms": 5000, "ssl.ca.location": False}

    def begin():
        global client, serializer
        client = SchemaRegistryClient(CONF)
        serializer = AvroSerializer(client, '"string"')

    def produce(topic):
        return serializer("x", SerializationContext(topic, MessageField.VALUE))
    begin()
"""


def run(code: str, registry: SchemaRegistryServer, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code), *arguments]
    environment = {**os.environ, "REGISTRY": registry.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- signals -----------------------------------------------------------------------------------

# Each round has a new client, so that the signal comes while its threads are started, too.
RAISING = """
    class Mine(Exception):
        pass
    what = {"KeyboardInterrupt": KeyboardInterrupt, "RuntimeError": RuntimeError, "Mine": Mine}[sys.argv[1]]
    raised = heard = 0
    def handler(*_):
        global raised
        raised += 1
        raise what("the handler's")
    for _ in range(120):
        begin()
        signal.signal(signal.SIGALRM, handler)
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00002, 0.003))
                produce("second")
            finally:
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
        except what as error:
            assert error.args == ("the handler's",), error
            heard += 1
        began = time.monotonic()
        assert produce("third")
        assert time.monotonic() - began < 3
        client.close()
    print(raised - heard, raised > 30)
"""
ASKING = """
    def handler(*_):
        try:
            produce("last") if sys.argv[1] == "produces" else client.close()
        except SchemaRegistryError as error:
            assert "closed" in str(error), error
    signal.signal(signal.SIGALRM, handler)
    for _ in range(120):
        begin()
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00002, 0.003))
        began = time.monotonic()
        try:
            assert produce("second")
        except SchemaRegistryError as error:
            assert sys.argv[1] == "closes" and "closed" in str(error), error
        assert time.monotonic() - began < 3
        time.sleep(0.001)
        client.close()
"""

timers = pytest.mark.skipif(sys.platform == "win32", reason="no timers that signal")


@timers
@pytest.mark.parametrize("what", ["KeyboardInterrupt", "RuntimeError", "Mine"])
def test_what_a_signal_handler_raises_is_never_lost(schema_registry: SchemaRegistryServer, what: str) -> None:
    assert run(RAISING, schema_registry, what) == "0 True\n"


@timers
@pytest.mark.parametrize("handler", ["produces", "closes"])
def test_a_signal_handler_may_ask_and_close(schema_registry: SchemaRegistryServer, handler: str) -> None:
    run(ASKING, schema_registry, handler)


BOOT = """
    import _thread
    real = _thread.start_new_thread
    def start(*args):
        _thread.start_new_thread = real
        if sys.argv[1] == "after":
            real(*args)
        raise KeyboardInterrupt
    assert produce("first")
    time.sleep(3)  # until the threads have ended
    import kafka_sr_retry.registry.asking as asking
    place = asking.here()
    asking.here = lambda: place
    _thread.start_new_thread = start
    try:
        produce("second")
    except KeyboardInterrupt:
        print("interrupted")
    for topic in ("second", "third"):
        assert produce(topic)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_the_thread_is_started_reaches_its_caller(
    schema_registry: SchemaRegistryServer, when: str
) -> None:
    assert run(BOOT, schema_registry, when) == "interrupted\n"


# -- where no thread can be started -----------------------------------------------------------

LIMIT = """
    if sys.argv[1] == "none":
        threading.stack_size(2**46)  # more than there is
    else:
        def start(self):
            raise RuntimeError("can't start new thread")
        threading.Thread.start = start
    assert produce("first") and produce("second")
    print("sent")
"""
AT_THE_END = """
    class Late:
        def __del__(self):
            print("sent" if produce("finalizer") else "")
    def at_exit():
        print("sent" if produce("exit handler") else "")
    if sys.argv[1] == "asked before":
        produce("before")
    atexit.register(at_exit)
    late = Late()
    del late
"""


@pytest.mark.parametrize("threads", ["none", "one"])
def test_without_threads_messages_go_out(schema_registry: SchemaRegistryServer, threads: str) -> None:
    assert run(LIMIT, schema_registry, threads) == "sent\n"


def test_who_waits_for_a_worker_hears_that_none_can_be_started(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, looked_up = threading.Event(), threading.Event()
    real, start = socket.getaddrinfo, threading.Thread.start

    def hangs_once(*given: Any, **named: Any) -> Any:
        if not looked_up.is_set():
            looked_up.set()
            over.wait(60)
        return real(*given, **named)

    def start_no_more(thread: threading.Thread) -> None:
        if looked_up.is_set() and thread.name == "kafka-sr-retry-worker":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(socket, "getaddrinfo", hangs_once)
    monkeypatch.setattr(threading.Thread, "start", start_no_more)
    conf = {"url": schema_registry.url, "max.in.flight": 1, "request.timeout.ms": 500, "total.timeout.ms": 10_000}
    with SchemaRegistryClient(conf) as client, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.register_schema, subject, TEXT) for subject in ("first", "second")]
        assert sorted(one.result(30) for one in asked) == [1, 1]
        over.set()


@pytest.mark.parametrize("before", ["nothing asked before", "asked before"])
def test_finalizers_and_exit_handlers_produce(schema_registry: SchemaRegistryServer, before: str) -> None:
    assert run(AT_THE_END, schema_registry, before) == "sent\nsent\n"


# -- how many threads -------------------------------------------------------------------------


def ours() -> int:
    return sum(thread.name.startswith("kafka-sr-retry-") for thread in threading.enumerate())


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def fail(client: SchemaRegistryClient, subject: str) -> int:
    """How many of our threads there are when it has failed."""
    with pytest.raises(RegistryUnavailableError):
        client.register_schema(subject, TEXT, timeout=2)
    return ours()


@pytest.mark.parametrize("hangs", ["the look-up", "the registry"])
def test_waiting_calls_have_no_threads(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    over = threading.Event()

    def never(*_: object) -> None:
        over.wait(60)
        raise socket.gaierror

    assert within(20, lambda: ours() == 0), "threads of another test"
    conf = {"url": schema_registry.url, "max.in.flight": 3, "connect.timeout.ms": 300}
    conf |= {"request.timeout.ms": 1000, "retries.wait.ms": 1}
    if hangs == "the look-up":
        monkeypatch.setattr(socket, "getaddrinfo", never)
    else:
        schema_registry.fail_always(faults.hang())
    with SchemaRegistryClient(conf) as client, ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(fail, client, f"s{number}") for number in range(100)]
        assert max(one.result(30) for one in asked) <= 2 * 3 + 3
        monkeypatch.undo()
        over.set()
        schema_registry.recover()
        assert client.register_schema("well", TEXT, timeout=20)


def test_idle_clients_have_no_threads(schema_registry: SchemaRegistryServer) -> None:
    clients = [SchemaRegistryClient({"url": schema_registry.url, "ssl.ca.location": False}) for _ in range(50)]
    for client in clients:
        client.register_schema("s", TEXT)
    assert within(20, lambda: ours() == 0)
    assert clients[0].register_schema("other", TEXT)
    for client in clients:
        client.close()


# -- locks ---------------------------------------------------------------------------------------

LOCKS = (type(threading.Lock()), type(threading.RLock()))


def locks_of(thing: object) -> Iterator[Any]:
    """Those that can be reached from it, but for whole modules and classes."""
    seen, found = set(), [thing]
    while found:
        one = found.pop()
        if isinstance(one, LOCKS):
            yield one
        if not isinstance(one, type | ModuleType) and not (isinstance(one, dict) and "__builtins__" in one):
            found += [each for each in gc.get_referents(one) if id(each) not in seen]
            seen.update(map(id, found))


def test_a_message_whose_id_is_known_takes_no_lock(schema_registry: SchemaRegistryServer) -> None:
    listeners = [PrometheusInstrumentation(CollectorRegistry()), OpenTelemetryInstrumentation(TracerProvider())]
    conf = {"url": schema_registry.url, "ssl.ca.location": False, "event_cb": listeners}
    with SchemaRegistryClient(conf) as client, ExitStack() as stack:
        serializer = AvroSerializer(client, TEXT.schema_str)
        context = SerializationContext("orders", MessageField.VALUE)
        message = serializer("x", context)
        assert within(20, lambda: ours() == 0), "the client's threads hold locks of their own"
        held = [lock for lock in locks_of(serializer) if lock.acquire(blocking=False)]
        for lock in held:
            stack.callback(lock.release)
        assert len(held) >= 5

        written: list[object] = []
        thread = threading.Thread(target=lambda: written.append(serializer("x", context)), daemon=True)
        thread.start()
        thread.join(20)
        assert written == [message]
