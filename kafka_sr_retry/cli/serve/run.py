"""Everything from beginning to end."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from confluent_kafka import KafkaException

from kafka_sr_retry.cli.signals import heard
from kafka_sr_retry.cli.terminal import SIGPIPE, printable, write_no_more
from kafka_sr_retry.testing import KafkaMockCluster, ReceivedMessage, SchemaRegistryCluster, SchemaRegistryServer

from .faults import PATH, Planned, Switch, plan
from .ports import HOST, Doorway, PortError, opened
from .show import Tail, as_json, line

_LOOK = 0.2
"""Seconds between looks at whether somebody still reads."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asked for."""

    faults: list[Planned]
    show: frozenset[str]
    nodes: int
    kafka_port: int | None
    registry_port: int | None
    as_json: bool


class _Ended(BaseException):
    """By Ctrl-C or SIGTERM."""


def run(wanted: Wanted) -> int:
    """Serve until a signal comes; the exit code."""
    _allow_many_files()
    try:
        with _until_a_signal(), ExitStack() as stack:
            with _signals_held():
                nodes, tail = _started(wanted, stack)
            _serve(nodes, tail, as_json if wanted.as_json else line)
    except _Ended:
        return 0
    except (PortError, KafkaException) as error:
        _say(str(error.args[0]))
        return 2 if isinstance(error, PortError) else 1
    except BrokenPipeError:
        write_no_more(sys.stdout)
        return 128 + SIGPIPE
    except OSError as error:
        write_no_more(sys.stdout)
        _say(f"cannot go on: {error.strerror}")
        return 2
    return 0


def _started(wanted: Wanted, stack: ExitStack) -> tuple[tuple[SchemaRegistryServer, ...], Tail | None]:
    kafka = stack.enter_context(KafkaMockCluster())
    door, word = opened(lambda port: Doorway(port, kafka.bootstrap_servers), "broker", wanted.kafka_port, usual=9092)
    stack.callback(door.close)
    cluster, nodes, other_word = _registry(wanted, stack)
    for node in nodes:
        Switch(node, cluster)
        plan(node, wanted.faults)
    _begin(wanted, f"{HOST}:{door.port}", [node.url for node in nodes], [word, other_word])
    tail = None
    if wanted.show:
        tail = Tail(kafka.bootstrap_servers, wanted.show, nodes[0])
        stack.callback(tail.close)
    return nodes, tail


def _serve(
    nodes: tuple[SchemaRegistryServer, ...], tail: Tail | None, shown: Callable[[ReceivedMessage], str]
) -> NoReturn:
    while True:
        if tail is None:
            time.sleep(_LOOK)
        else:
            for message in tail.batch(_LOOK):
                if isinstance(message, str):
                    _say(message)
                else:
                    sys.stdout.write(shown(message) + "\n")
            sys.stdout.flush()
        for node in nodes:
            node.clear_requests()
        _look_for_reader()


def _registry(
    wanted: Wanted, stack: ExitStack
) -> tuple[SchemaRegistryCluster | None, tuple[SchemaRegistryServer, ...], str]:
    def one(port: int) -> SchemaRegistryServer:
        return SchemaRegistryServer(port=port, check_compatibility=True).start()

    def two(port: int) -> SchemaRegistryCluster:
        return SchemaRegistryCluster(ports=(port, port + 1 if port else 0)).__enter__()

    if wanted.nodes == 1:
        registry, word = opened(one, "registry", wanted.registry_port, usual=8081)
        stack.callback(registry.close)
        return None, (registry,), word
    cluster, word = opened(two, "registry", wanted.registry_port, usual=8081, count=2)
    stack.callback(cluster.__exit__)
    return cluster, cluster.nodes, word


def _begin(wanted: Wanted, kafka: str, urls: list[str], words: list[str]) -> None:
    for word in filter(None, words):
        _say(word)
    url = ",".join(urls)
    if wanted.as_json:
        told = json.dumps({"bootstrap.servers": kafka, "schema.registry.url": url})
    else:
        told = f"export KAFKA_BOOTSTRAP_SERVERS={kafka}\nexport SCHEMA_REGISTRY_URL={url}"
    sys.stdout.write(told + "\n")
    sys.stdout.flush()
    if sys.stderr is not None and sys.stderr.isatty():
        faults = ", ".join(each.words for each in wanted.faults)
        sys.stderr.write(
            "\nRunning, in memory. Paste these lines into another terminal. Ctrl-C ends it.\n"
            + (f"The next registrations meet: {printable(faults)}.\n" if faults else "")
            + f"More faults while it runs: curl -d 50003:3 {urls[0]}{PATH}\n\n"
        )
        sys.stderr.flush()


# -- the process ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _until_a_signal() -> Iterator[None]:
    """`_Ended` is raised at the first; the second ends the process as it does by default."""
    caught = heard()

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
        raise _Ended

    before = {number: signal.signal(number, end) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Until the end of the block, and for ever in threads that begin in it: the mock broker's does not survive one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    ours = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _look_for_reader() -> None:
    """Raise ``BrokenPipeError`` where the reader of the standard output has left: a quiet server would not notice."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            raise BrokenPipeError


def _allow_many_files() -> None:
    """Each connection takes up to three."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _say(text: str) -> None:
    with contextlib.suppress(OSError, AttributeError):  # nobody hears it: the exit code still tells
        sys.stderr.write(f"kafka-sr-retry serve: {printable(text)}\n")
        sys.stderr.flush()
