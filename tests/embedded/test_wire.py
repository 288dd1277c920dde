"""What an answer may cost, and which connection may serve again after it."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from servers import RawServer

from kafka_sr_retry import Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import AttemptEvent
from kafka_sr_retry.testing import SchemaRegistryServer, answer

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
MIB = 1024 * 1024
RIGHT, STRAY = 5, 666

Answers = Callable[[bytes, bytes], "bytes | Iterable[bytes]"]


class World:
    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.outcomes: list[str] = []

    def serve(self, answers: Answers, greeting: bytes = b"") -> RawServer:
        server = RawServer(answers, greeting)
        self.stack.callback(server.close)
        return server

    def client(self, url: str, **conf: object) -> SchemaRegistryClient:
        given = {"url": url, "retries.wait.ms": 1, "event_cb": self._hear, "total.timeout.ms": 20_000}
        return self.stack.enter_context(SchemaRegistryClient({**given, **conf}))

    def _hear(self, event: object) -> None:
        if isinstance(event, AttemptEvent):
            self.outcomes.append(event.outcome)


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def ok(schema_id: int = RIGHT) -> bytes:
    return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{"id":%d}' % (len(str(schema_id)) + 7, schema_id)


def endless(head: bytes, part: bytes) -> Iterator[bytes]:
    return itertools.chain([head], itertools.repeat(part * (1 + 65536 // len(part))))


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(200 * MIB))

FLOODS = {
    "a body": lambda: endless(OK + b"\r\n", b" "),
    "a body of a known length": lambda: endless(OK + b"Content-Length: 999999999999\r\n\r\n", b" "),
    "a chunk of -1": lambda: endless(CHUNKED + b"-1\r\n", b" "),
    "a chunk of 2**60": lambda: endless(CHUNKED + b"1000000000000000\r\n", b" "),
    "small chunks": lambda: endless(CHUNKED, b"1\r\n \r\n"),
    "chunk extensions": lambda: endless(CHUNKED, b"1;" + b"x" * 60_000 + b"\r\n \r\n"),
    "a chunk's size": lambda: endless(CHUNKED, b"0"),
    "trailers": lambda: endless(CHUNKED + b"0\r\n", b"X: x\r\n"),
    "headers": lambda: endless(OK, b"X: x\r\n"),
    "a header": lambda: endless(OK + b"X: ", b"x"),
    "a status line": lambda: endless(b"HTTP/1.1 200 ", b"x"),
    "interim answers": lambda: endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "nonsense": lambda: endless(b"", b"x"),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_an_answer_without_end_is_left_at_once(world: World, flood: Callable[[], Iterator[bytes]]) -> None:
    floods = iter([flood()])
    server = world.serve(lambda *_: next(floods, ok()))

    assert world.client(server.url).register_schema("s", ORDER) == RIGHT
    assert len(world.outcomes) == 2
    assert world.outcomes[0] in ("bad_answer", "connection")
    assert server.sent < 24 * MIB  # most of it into the sockets' buffers


@pytest.mark.parametrize(("size", "outcomes"), [(63, ["success"]), (65, ["bad_answer", "success"])])
def test_a_head_of_64_kib_is_read_and_a_larger_one_is_not(world: World, size: int, outcomes: list[str]) -> None:
    line = b"X: " + b"x" * 1019 + b"\r\n"
    large = ok().replace(b"Content", line * size + b"Content")
    answers = iter([large])
    assert world.client(world.serve(lambda *_: next(answers, ok())).url).register_schema("s", ORDER) == RIGHT
    assert world.outcomes == outcomes


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", BOMB),
        ("deflate", zlib.compress(bytes(200 * MIB))),
        ("gzip", gzip.compress(BOMB)),
        ("br", b"x"),
        ("gzip", gzip.compress(b'{"id":666}')[:-3]),
        ("gzip", gzip.compress(b'{"id":666}') + b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(b'{"id":666}'))),
    ],
)
def test_a_bomb_is_not_unpacked(schema_registry: SchemaRegistryServer, world: World, coding: str, body: bytes) -> None:
    schema_registry.fail_next(answer(200, body, headers={"Content-Encoding": coding}))
    client = world.client(schema_registry.url)
    tracemalloc.start()
    try:
        assert client.register_schema("s", ORDER) == 1
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert world.outcomes == ["bad_answer", "success"]


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_packed_answer_is_read(
    schema_registry: SchemaRegistryServer, world: World, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    schema_registry.fail_next(answer(200, pack(b'{"id":7}'), headers={"Content-Encoding": coding}))
    assert world.client(schema_registry.url).register_schema("s", ORDER) == 7


BODY = b'{"id":%d}' % STRAY
LAST = b"Content-Length: %d\r\n\r\n" % len(BODY)
UNFIT = {
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a body": b"HTTP/1.1 204 No Content\r\n" + LAST + BODY,
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "a page": OK + b"Content-Length: 4\r\n\r\n<ok>",
    "a page of a gateway": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\n<no>",
    "another schema": OK + b'Content-Length: 24\r\n\r\n{"id":1,"schema":"\\"int"}',
    "no id": OK + b"Content-Length: 2\r\n\r\n{}",
    "two lengths": OK + b"Content-Length: 1\r\n" + LAST + BODY,
    "no number": OK + b"Content-Length: +10\r\n\r\n" + BODY,
    "a list": OK + b"Content-Length: 10, 10\r\n\r\n" + BODY,
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n" + LAST + BODY,
    "headers of no name": OK + b"nonsense\r\n" + LAST + BODY,
}


@pytest.mark.parametrize("pause", [0, 0.02], ids=["one segment", "later"])
@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT.keys())
def test_a_connection_that_brought_no_answer_of_a_registry_is_not_used_again(
    world: World, unfit: bytes, pause: float
) -> None:
    asked: set[bytes] = set()

    def answers(head: bytes, body: bytes) -> Iterator[bytes]:
        if asked:
            yield ok()
            return
        asked.add(head)
        if pause:
            yield unfit
            time.sleep(pause)
            yield ok(STRAY)
        else:
            yield unfit + ok(STRAY)

    server = world.serve(answers)
    client = world.client(server.url)
    assert [client.register_schema(name, ORDER) for name in "ab"] == [RIGHT, RIGHT]
    assert server.connections == 2


CHUNKS = CHUNKED + b'8\r\n{"id":5}\r\n0\r\n\r\n'
DOUBTFUL = {
    "more than its length": ok() + ok(STRAY),
    "half an answer behind it": ok() + ok(STRAY)[:20],
    "a length and chunks": OK + b'Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"id":5}\r\n0\r\n\r\n',
    "HTTP/1.0": ok().replace(b"1.1", b"1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"),
}


@pytest.mark.parametrize(
    ("first", "connections"),
    [(ok(), 1), (CHUNKS, 1), *((doubtful, 2) for doubtful in DOUBTFUL.values())],
    ids=["a length", "chunks", *DOUBTFUL],
)
def test_a_good_answer_keeps_its_connection_unless_more_comes_with_it(
    world: World, first: bytes, connections: int
) -> None:
    answers = iter([first])
    server = world.serve(lambda *_: next(answers, ok()))
    client = world.client(server.url)

    assert [client.register_schema(name, ORDER) for name in "ab"] == [RIGHT, RIGHT]
    assert server.connections == connections


@pytest.mark.parametrize(
    "first",
    [
        ok().replace(b"\r\n\r\n", b" \t\r\n\r\n"),
        ok().replace(b"Length: ", b"Length:"),
        b"HTTP/1.1 307 There\r\nContent-Length: 0 \r\nLocation:  /subjects/s/versions \t\r\n\r\n",
    ],
    ids=["a length", "a length without a blank", "a redirect"],
)
def test_blanks_around_a_header_are_not_of_its_value(world: World, first: bytes) -> None:
    answers = iter([first])
    paths: list[bytes] = []

    def told(head: bytes, body: bytes) -> bytes:
        paths.append(head.split()[1])
        return next(answers, ok())

    assert world.client(world.serve(told).url).register_schema("s", ORDER) == RIGHT
    assert world.outcomes == ["success"]
    assert set(paths) == {b"/subjects/s/versions"}


def test_a_refusal_of_the_registry_keeps_its_connection(world: World) -> None:
    text = json.dumps({"error_code": 40403, "message": "Schema not found"}).encode()
    server = world.serve(lambda *_: b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    client = world.client(server.url)
    for name in "ab":
        with pytest.raises(SchemaRegistryError):
            client.lookup_schema(name, ORDER)
    assert server.connections == 1


def test_an_answer_before_the_question_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket.connect

    def connect(sock: socket.socket, address: Any) -> None:
        real(sock, address)
        time.sleep(0.1)  # so that it is there

    monkeypatch.setattr(socket.socket, "connect", connect)
    server = world.serve(lambda *_: ok(), greeting=ok(STRAY))
    with pytest.raises(SchemaRegistryError):
        world.client(server.url, **{"max.retries": 2}).register_schema("s", ORDER)
    assert set(world.outcomes) == {"bad_answer"}
