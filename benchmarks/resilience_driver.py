"""A client in a process of its own: it does what a case asks, and can be ended when it takes too long."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext

SCHEMA = json.dumps({"type": "record", "name": "Reading", "fields": [{"name": "count", "type": "long"}]})
STILL_WAITING = "still waiting"
CHILD_SECONDS = 60
"""After which a forked child ends, whatever it is at."""

Serialize = Callable[[Any, SerializationContext], bytes | None]
Lane = Sequence[tuple[float, str]]
"""What one thread does: (seconds of pause, topic of the message that it then serializes)."""


@dataclass(frozen=True)
class Contender:
    """A client under test. ``limit``: seconds after which it is no longer waited for."""

    name: str
    limit: float


@dataclass(frozen=True)
class Done:
    """A message that was serialized, or failed; times by ``time.monotonic()``, which all processes share."""

    topic: str
    began: float
    ended: float = math.inf
    schema_id: int | None = None
    error: str = STILL_WAITING

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Driver:
    """Runs contenders.

    Args:
        healthy_url: a registry that each process uses once before it begins, so that no case measures imports.
    """

    def __init__(self, healthy_url: str) -> None:
        self._healthy_url = healthy_url

    def drive(
        self,
        contender: Contender,
        conf: Mapping[str, str],
        lanes: Sequence[Lane],
        *,
        known: Sequence[str] = (),
        spread: bool = False,
        start: Callable[[], object] = lambda: None,
        heard: Callable[[Done], object] = lambda done: None,
    ) -> list[Done]:
        """What became of each message, in the order in which they ended.

        Args:
            lanes: one thread each, in one process with one serializer; with ``spread``, one process each.
            known: topics whose schema the process has registered before it starts.
            start: called when all processes are ready, right before they start.
            heard: called with each message that ended.
        """
        programs = [[lane] for lane in lanes] if spread else [lanes]
        with contextlib.ExitStack() as stack:
            pipes = [
                stack.enter_context(self._process(_perform, contender, conf, known, program)) for program in programs
            ]
            for pipe in pipes:
                pipe.recv()
            start()
            began = time.monotonic()
            for pipe in pipes:
                pipe.send("go")
            longest = max(sum(pause for pause, _ in lane) for lane in lanes)
            done = []
            for one in _listen(pipes, began + longest + contender.limit):
                done.append(one)
                heard(one)
        return done + _missing(lanes, done, began)

    def fork(
        self, contender: Contender, conf: Mapping[str, str], known: Sequence[str], lanes: Sequence[Lane]
    ) -> list[Done]:
        """The same with each lane in a child of one process, forked in C, which runs none of Python's hooks."""
        began = time.monotonic()
        with self._process(_fork, contender, conf, known, lanes) as pipe:
            done = list(_listen([pipe], began + contender.limit))
        return done + _missing(lanes, done, began)

    @contextlib.contextmanager
    def _process(
        self,
        perform: Callable[..., None],
        contender: Contender,
        conf: Mapping[str, str],
        known: Sequence[str],
        lanes: Sequence[Lane],
    ) -> Iterator[Connection]:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        arguments = there, contender.name, self._healthy_url, dict(conf), known, lanes
        process = context.Process(target=perform, args=arguments, daemon=True)
        process.start()
        there.close()
        try:
            yield here
        finally:
            process.kill()
            process.join()
            here.close()


def _missing(lanes: Sequence[Lane], done: Sequence[Done], began: float) -> list[Done]:
    missing = Counter(topic for lane in lanes for _, topic in lane) - Counter(one.topic for one in done)
    return [Done(topic, began) for topic in missing.elements()]


def _listen(pipes: Sequence[Connection], until: float) -> Iterator[Done]:
    """What the processes tell, until all have ended or time is over."""
    talking = set(pipes)
    while talking and (left := until - time.monotonic()) > 0:
        for pipe in wait(list(talking), left):
            assert isinstance(pipe, Connection)
            message = pipe.recv()
            if isinstance(message, Done):
                yield message
            else:
                talking.discard(pipe)


def _prepared(contender: str, healthy_url: str, conf: Mapping[str, str], known: Sequence[str]) -> Serialize:
    """A serializer that knows these topics, after all imports."""
    make = {"confluent": _confluent, "ours": _ours}[contender]
    _call(make({"url": healthy_url}), "imports")
    serialize = make(conf)
    for topic in known:
        _call(serialize, topic)
    return serialize


def _perform(
    pipe: Connection,
    contender: str,
    healthy_url: str,
    conf: Mapping[str, str],
    known: Sequence[str],
    lanes: Sequence[Lane],
) -> None:
    """The process: ready, go, one `Done` for each message, the end."""
    serialize = _prepared(contender, healthy_url, conf, known)
    pipe.send("ready")
    pipe.recv()
    telling = threading.Lock()

    def run(lane: Lane) -> None:
        for pause, topic in lane:
            time.sleep(pause)
            done = _call(serialize, topic)
            with telling:
                pipe.send(done)

    threads = [threading.Thread(target=run, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send("end")


def _fork(
    pipe: Connection,
    contender: str,
    healthy_url: str,
    conf: Mapping[str, str],
    known: Sequence[str],
    lanes: Sequence[Lane],
) -> None:
    """The process whose children make the messages: one `Done` for each, the end."""
    serialize = _prepared(contender, healthy_url, conf, known)
    fork = ctypes.PyDLL(None).fork
    children = []
    for lane in lanes:
        child = fork()
        if child == 0:
            signal.alarm(CHILD_SECONDS)
            for _, topic in lane:
                pipe.send(_call(serialize, topic))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    pipe.send("end")


def _call(serialize: Serialize, topic: str) -> Done:
    context = SerializationContext(topic, MessageField.VALUE)
    began = time.monotonic()
    try:
        message = serialize({"count": 1}, context) or b""
    except Exception as error:  # noqa: BLE001 what comes out of the client is what is measured
        ended = time.monotonic()
        name = type(error).__name__ if type(error).__name__ != "error" else f"{type(error).__module__}.error"
        return Done(topic, began, ended, None, f"{name}: {error}")
    return Done(topic, began, time.monotonic(), int.from_bytes(message[1:5], "big"), "")


def _confluent(conf: Mapping[str, str]) -> Serialize:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer

    return AvroSerializer(SchemaRegistryClient(dict(conf)), SCHEMA, conf={"subject.name.strategy.type": "TOPIC"})


def _ours(conf: Mapping[str, str]) -> Serialize:
    from kafka_sr_retry import AvroSerializer

    return AvroSerializer(conf, SCHEMA)
