"""What a strange server, a signal or a shutting interpreter must not do."""

from __future__ import annotations

import _thread
import contextvars
import json
import logging
import os
import random
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from servers import RawServer

from kafka_sr_retry import (
    AvroSerializer,
    ConfigurationError,
    RegistryUnavailableError,
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
)
from kafka_sr_retry.events import AttemptEvent, Event
from kafka_sr_retry.testing import SchemaRegistryServer, faults

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def serve(stack: ExitStack, answers: Callable[[bytes], bytes]) -> SchemaRegistryClient:
    server = RawServer(lambda _, body: answers(body))
    stack.callback(server.close)
    conf = {"url": server.url, "request.timeout.ms": 2000, "total.timeout.ms": 6000}
    return stack.enter_context(SchemaRegistryClient(conf))


def ok(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Whatever"])
def test_an_interim_answer_is_not_taken_for_the_answer(stack: ExitStack, interim: bytes) -> None:
    ids: dict[str, int] = {}

    def answers(body: bytes) -> bytes:
        schema_id = ids.setdefault(json.loads(body)["schema"], len(ids) + 1)
        return b"HTTP/1.1 " + interim + b"\r\nLink: </x>\r\n\r\n" + ok(b'{"id":%d}' % schema_id)

    client = serve(stack, answers)
    for number in range(5):
        schema = Schema(f'{{"type":"fixed","name":"F","size":{number + 1}}}')
        assert client.register_schema(f"subject-{number}", schema) == ids[schema.schema_str]


def test_switching_protocols_is_no_answer(stack: ExitStack) -> None:
    answers = iter([b"HTTP/1.1 101 Switching Protocols\r\n\r\n", ok(b'{"id":5}')])
    client = serve(stack, lambda body: next(answers))
    assert client.register_schema("s", ORDER) == 5


def test_a_long_retry_after_of_a_plain_error_is_not_obeyed(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(faults.error(500, 50001, headers={"Retry-After": "999999999"}))
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        assert client.register_schema("s", ORDER) == 1


def test_what_a_server_says_cannot_forge_a_line_of_a_log(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(faults.error(422, 42201, "x\nERROR root: all is lost\x1b[2J" + "y" * 100_000))
    heard: list[Event] = []
    conf = {"url": schema_registry.url, "event_cb": heard.append}
    with SchemaRegistryClient(conf) as client, pytest.raises(Exception, match="all is lost") as caught:
        client.register_schema("s", ORDER)
    (attempt,) = [event for event in heard if isinstance(event, AttemptEvent)]
    for text in (str(caught.value), attempt.detail):
        assert text.isprintable()
        assert len(text) < 3000


@pytest.mark.parametrize(
    "more", [{"schemaType": "PROTOBUF"}, {"schema": '{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}'}]
)
def test_the_id_of_another_kind_of_schema_is_no_answer(stack: ExitStack, more: dict[str, str]) -> None:
    answers = iter([ok(json.dumps({"id": 41, **more}).encode()), ok(b'{"id":5}')])
    client = serve(stack, lambda body: next(answers))
    schema = Schema('{"type":"bytes","logicalType":"decimal","precision":9,"scale":4}')
    assert client.register_schema("s", schema) == 5


def test_a_listener_that_exits_breaks_nothing(schema_registry: SchemaRegistryServer) -> None:
    def listener(event: Event) -> None:
        raise SystemExit

    schema_registry.fail_next(faults.no_leader())
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": listener}) as client:
        assert client.register_schema("s", ORDER) == 1


def test_an_auth_that_exits_leaves_no_socket_open(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = []
    real = socket.fromfd

    def keeps(*given: Any) -> socket.socket:
        watched.append(real(*given))
        return watched[-1]

    def exits(*_: Any, **__: Any) -> None:
        raise SystemExit

    def auth(request: Any) -> Any:
        request.register_hook("response", exits)
        return request

    monkeypatch.setattr(socket, "fromfd", keeps)
    with SchemaRegistryClient({"url": schema_registry.url, "http.auth": auth}) as client:
        with pytest.raises(SchemaRegistryError, match="SystemExit"):
            client.register_schema("s", ORDER)
        assert [sock.fileno() for sock in watched] == [-1]


def test_a_listener_may_ask_its_client_another_question(schema_registry: SchemaRegistryServer) -> None:
    """Although it has the only place among the attempts."""
    inner = []

    def listener(event: Event) -> None:
        if isinstance(event, AttemptEvent) and "'outer'" in event.asked:
            inner.append(client.register_schema("inner", ORDER))

    conf = {"url": schema_registry.url, "event_cb": listener, "max.in.flight": 1}
    schema_registry.fail_next(faults.error(500))
    with SchemaRegistryClient(conf) as client:
        assert client.register_schema("outer", ORDER) == 1
    assert inner == [1, 1]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_while_a_thread_is_started_is_the_callers(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """As a signal handler's exception is, whose class may be the one that is raised where no thread can be started."""
    real = _thread.start_new_thread
    calls = iter([interrupt("a handler's")])

    def handler() -> None:
        for error in calls:
            raise error

    def start(*given: Any) -> int:
        handler()
        return real(*given)

    monkeypatch.setattr(_thread, "start_new_thread", start)
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        with pytest.raises(interrupt, match="a handler's"):
            client.register_schema("s", ORDER)
        assert client.register_schema("s", ORDER) == 1


def test_where_no_thread_can_be_started_a_message_goes_out_all_the_same(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = (
        contextvars.copy_context()
    )  # entered twice it raises a RuntimeError, as starting a thread does: without a frame

    def produce() -> int:
        monkeypatch.setattr(_thread, "start_new_thread", inside.run)
        return client.register_schema("s", ORDER)

    schema_registry.fail_next(faults.no_leader(), faults.reset())
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        assert inside.run(produce) == 1
        monkeypatch.undo()
    assert [len(request.body) for request in schema_registry.requests if request.body] == [
        len(schema_registry.requests[0].body)
    ] * 3


def test_where_no_thread_can_be_started_for_a_token_a_message_goes_out_all_the_same(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a limit of threads, with a worker at hand for the registry and none for the token."""
    start, workers = threading.Thread.start, []

    def start_one_worker(thread: threading.Thread) -> None:
        if thread.name == "kafka-sr-retry-worker":
            workers.append(thread)
            if len(workers) > 1:
                raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one_worker)
    conf = {
        "url": schema_registry.url,
        "bearer.auth.credentials.source": "CUSTOM",
        "bearer.auth.custom.provider.function": lambda _: {
            "bearer.auth.token": "token",
            "bearer.auth.logical.cluster": "lsrc-1",
            "bearer.auth.identity.pool.id": "pool-1",
        },
        "bearer.auth.custom.provider.config": {},
        "event_cb": lambda _: None,  # the first worker's
    }
    with SchemaRegistryClient(conf) as client:
        assert client.register_schema("s", ORDER) == 1
    assert len(workers) > 1


def fail(client: SchemaRegistryClient) -> None:
    with pytest.raises(RegistryUnavailableError):
        client.register_schema("s", ORDER, timeout=0.5)


def test_a_caller_with_time_left_does_not_inherit_anothers_end(schema_registry: SchemaRegistryServer) -> None:
    gave_up, go_on = threading.Event(), threading.Event()

    def slow_listener(event: Event) -> None:
        if type(event).__name__ == "GiveUpEvent" and not gave_up.is_set():
            gave_up.set()
            go_on.wait(30)

    schema_registry.fail_always(faults.error(503))
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": slow_listener}) as client:
        first = threading.Thread(target=fail, args=(client,))
        first.start()
        assert gave_up.wait(30)
        schema_registry.recover()
        threading.Timer(0.1, go_on.set).start()
        assert client.register_schema("s", ORDER) == 1
        first.join(30)


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ({"X Team": "a"}, "'X' with more behind it"),
        ({"X-Team": "a\r\nX: y"}, "X-Team"),
        ({"X-Team": " a"}, "X-Team"),
        ({"X-Team": "€"}, "X-Team"),
        ({"Content-Length": "0"}, "Content-Length"),
        ({"transfer-encoding": "chunked"}, "transfer-encoding"),
    ],
)
def test_a_header_that_would_spoil_a_request_is_refused(headers: dict[str, str], part: str) -> None:
    with pytest.raises(ConfigurationError, match=part):
        SchemaRegistryClient({"url": "http://localhost:1", "http.headers": headers})


@pytest.mark.parametrize(
    "url", ["http://user:topsecret,x@host:8081", "http://user:/topsecret@host:8081", "http://user:12/topsecret@h"]
)
def test_a_password_that_breaks_its_url_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SchemaRegistryClient({"url": url})
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("subject", [".", "..", "", None, 5, b"s", "\ud800"])
def test_a_subject_that_cannot_be_asked_for_is_refused(subject: Any) -> None:
    with SchemaRegistryClient({"url": "http://localhost:1"}) as client:
        with pytest.raises(ConfigurationError, match="subject"):
            client.register_schema(subject, ORDER)
        with pytest.raises(ConfigurationError, match="subject"):
            client.get_schema(1, subject or "")


CIRCULAR: dict[str, Any] = {}
CIRCULAR["a"] = CIRCULAR
WRONG: list[tuple[str, Callable[[SchemaRegistryClient, Any], Any], list[Any]]] = [
    ("version", lambda c, odd: c.get_version("s", odd), [0, -2, True, 1.0, 2**31, "0", "x", "", None, [1], "9" * 5000]),
    ("version", lambda c, odd: c.test_compatibility("s", ORDER, odd), [0, "all", None]),
    ("schema_id", lambda c, odd: c.get_schema(odd), [0, -1, True, 7.9, "7", None, 2**31]),
    ("timeout", lambda c, odd: c.get_schema(1, timeout=odd), [float("nan"), "5", True, [], 10**400]),
    ("fmt", lambda c, odd: c.get_schema(1, fmt=odd), [5, True, []]),
    ("JSON", lambda c, odd: c.get_schema(1, fmt=odd), ["\ud800"]),
    ("reference_format", lambda c, odd: c.get_schema(1, reference_format=odd), [5]),
    ("metadata", lambda c, odd: c.get_latest_with_metadata("s", odd), [None, "x", ["x"], {"a": 1}, {1: "a"}]),
    ("JSON", lambda c, odd: c.get_latest_with_metadata("s", odd), [{"\ud800": "a"}, {"a": "\ud800"}]),
    ("schema", lambda c, odd: c.lookup_schema("s", odd), ["{}", None, {}, Schema(5), Schema("{}", metadata=5)]),  # type: ignore[arg-type]
    (
        "JSON",
        lambda c, odd: c.register_schema("s", Schema("{}", metadata=odd)),
        [{"a": {1}}, {"a": b"x"}, {"a": float("nan")}, {"a": "\ud800"}, CIRCULAR],
    ),
    ("JSON", lambda c, odd: c.register_schema("s", Schema(odd)), ["\ud800"]),
    ("request", lambda c, odd: c.get_associated_subjects(odd, "id", "value"), ["\ud800", None]),
]


@pytest.mark.parametrize(("word", "call", "odd"), [(word, call, odd) for word, call, all_ in WRONG for odd in all_])
def test_an_argument_that_cannot_work_is_told_before_any_request(
    schema_registry: SchemaRegistryServer, word: str, call: Callable[[SchemaRegistryClient, Any], Any], odd: Any
) -> None:
    with (
        SchemaRegistryClient({"url": schema_registry.url}) as client,
        pytest.raises(ConfigurationError, match=word),
    ):
        call(client, odd)
    assert schema_registry.requests == []


RECORD = ORDER.schema_str
STORED = {"id": 7, "subject": "t-value", "version": 1, "schema": RECORD, "schemaType": "AVRO", "references": []}
ODD: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        2**31,
        10**4000,
        1.5,
        float("nan"),
        float("inf"),
        "",
        "x",
        "..",
        "\ud800",
        "a\0b",
        "x" * 20_000,
    ),
    *([], [None], ["x"], [[]], {}, {"": None}, [{}], {"domainRules": 5}, {"encodingRules": [None]}, "[" * 2000, "{}"),
    *({"domainRules": [{"mode": mode, "name": "\x1b"}]} for mode in ("WRITE", ["WRITE"], None)),
    *([{"name": "N", "subject": odd, "version": 1}] for odd in (5, "..", ["x"], "\ud800")),
    *([{"name": "N", "subject": "x", "version": odd}] for odd in ({}, True, 0, -1)),
]
FROM = {"auto.register.schemas": False}
READERS: dict[str, tuple[dict[str, Any], str | None]] = {
    "register": ({}, RECORD),
    "look up": (FROM, RECORD),
    "latest": ({**FROM, "use.latest.version": True}, None),
    "id": ({**FROM, "use.schema.id": 7}, None),
    "metadata": ({**FROM, "use.latest.with.metadata": {"a": "b"}}, None),
}


@pytest.mark.parametrize("reader", READERS)
def test_an_odd_answer_is_told_in_documented_errors_and_the_next_one_is_read(
    schema_registry: SchemaRegistryServer, reader: str
) -> None:
    conf, text = READERS[reader]
    draw = random.Random(reader)
    good = faults.answer(200, json.dumps(STORED))
    schema_registry.fail_always(good)
    for _ in range(100):
        names = draw.sample([*STORED, "ruleSet", "metadata", "guid"], draw.choice([1, 1, 2]))
        odd = STORED | {name: draw.choice(ODD) for name in names}
        schema_registry.fail_next(faults.answer(200, json.dumps(odd)))
        with AvroSerializer({"url": schema_registry.url, "retries.wait.ms": 1}, text, conf=conf) as serializer:
            told = [outcome(serializer) for _ in range(2)]
        schema_registry.recover()
        schema_registry.fail_always(good)
        assert all(isinstance(each, (bytes, ConfigurationError, SchemaRegistryError)) for each in told), odd
        assert isinstance(told[1], bytes) or {"ruleSet", "schemaType", "references"} & set(names), (odd, told)
        assert all(str(each).isprintable() for each in told)


def outcome(serializer: AvroSerializer) -> Any:
    try:
        return serializer({"id": 1}, SerializationContext("t", MessageField.VALUE))
    except SerializationError as error:
        return error


def test_many_odd_subjects_of_a_topic_are_told_in_one_short_line(schema_registry: SchemaRegistryServer) -> None:
    named = [{"subject": f"s\x1b[2J\n{number}"} for number in range(3000)]
    schema_registry.fail_always(faults.answer(200, json.dumps(named)))
    conf = {"subject.name.strategy.type": "ASSOCIATED"}
    with AvroSerializer({"url": schema_registry.url}, RECORD, conf=conf) as serializer:
        told = str(outcome(serializer))
    assert "and 2995 more" in told
    assert told.isprintable()
    assert len(told) < 3000


def run(code: str, url: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-W", "error::RuntimeWarning", "-c", textwrap.dedent(code)]
    return subprocess.run(program, env={**os.environ, "URL": url}, capture_output=True, text=True, timeout=60)


PRELUDE = """
    import atexit, os, threading
    from kafka_sr_retry import Schema, SchemaRegistryClient, SchemaRegistryError
    client = SchemaRegistryClient({"url": os.environ["URL"], "total.timeout.ms": 2000})
    def ask(subject):
        try:
            client.register_schema(subject, Schema('"string"'))
            print("registered", flush=True)
        except SchemaRegistryError as error:
            print(type(error).__name__, flush=True)
"""


def test_asking_while_the_interpreter_shuts_down_ends(schema_registry: SchemaRegistryServer) -> None:
    late = """
    class Late:
        def __del__(self):
            ask("late")
    late = Late()
    atexit.register(ask, "at exit")
    """
    done = run(PRELUDE + late, schema_registry.url)
    assert done.returncode == 0
    assert set(done.stdout.split()) <= {"registered", "RegistryUnavailableError"}
    assert len(done.stdout.split()) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_during_the_first_request_leaves_the_child_a_client(schema_registry: SchemaRegistryServer) -> None:
    fork = """
    import time, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    threading.Thread(target=ask, args=("parent",)).start()
    time.sleep(0.005)
    pid = os.fork()
    if pid == 0:
        ask("child")
        os._exit(0)
    os.waitpid(pid, 0)
    """
    done = run(PRELUDE + fork, schema_registry.url)
    assert done.stdout.split() == ["registered", "registered"], done.stderr


SECRET = "hunter2-secret"


def told(answer: bytes, caplog: pytest.LogCaptureFixture) -> list[str]:
    """All that a client tells of a server that answers so and knows the password."""
    heard: list[Event] = []
    caplog.set_level(logging.DEBUG, "kafka_sr_retry")
    server = RawServer(lambda *_: answer)
    url = server.url.replace("//", f"//user:{SECRET}@")
    conf = {"url": url, "event_cb": heard.append, "max.retries": 0}
    with closing(server), SchemaRegistryClient(conf) as client, pytest.raises(SchemaRegistryError) as caught:
        client.register_schema("s", ORDER, timeout=10)
    events = [getattr(event, name) for event in heard for name in ("detail", "url", "endpoint") if hasattr(event, name)]
    return [str(caught.value), *(record.getMessage() for record in caplog.records), *events]


HOSTILE = f"\x1b[31mRED\nFORGED {SECRET} "


@pytest.mark.parametrize(
    "answer",
    [
        ok(json.dumps({"id": 1, "schemaType": HOSTILE + "x" * 100_000}).encode()),
        ok(json.dumps({"id": 1, "subject": [HOSTILE + "x" * 100_000]}).encode()),
        ok(json.dumps({"id": 1, "schema": HOSTILE + "x" * 100_000}).encode()),
        f"GARBAGE {HOSTILE}".encode() + b"x" * 60_000 + b"\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}{'x' * 60_000}\r\n".encode(),
        b"HTTP/1.1 500 X\r\nContent-Length: 4329\r\n\r\n" + b'{"error_code":' + b"7" * 4300 + b',"message":"m"}',
        b"HTTP/1.1 307 X\r\nLocation: /x\x1b[31mY?tok=" + SECRET.encode() + b"\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["type", "subject", "schema", "status line", "chunk", "error_code", "redirect"],
)
def test_no_word_of_a_server_is_told_raw(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for text in told(answer, caplog):
        assert text.isprintable()
        assert SECRET not in text
        assert len(text) < 1500


def test_a_logging_filter_that_raises_breaks_no_call(schema_registry: SchemaRegistryServer) -> None:
    def raises(_: logging.LogRecord) -> bool:
        raise RuntimeError("filter")

    logger = logging.getLogger("kafka_sr_retry")
    conf = {"url": schema_registry.url, "max.in.flight": 1, "retries.wait.ms": 1, "event_cb": lambda event: 1 / 0}
    with SchemaRegistryClient(conf) as client:
        logger.addFilter(raises)
        try:
            schema_registry.fail_next(*[faults.error(500)] * 3)
            assert client.register_schema("s", ORDER) == 1
        finally:
            logger.removeFilter(raises)


def test_a_listener_that_raises_does_not_fill_the_disk(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": lambda event: 1 / 0}) as client:
        for number in range(20):
            client.register_schema(f"s{number}", ORDER)
    assert len(caplog.records) == 10
    assert caplog.records[0].exc_info
