"""Forks that run none of Python's at-fork hooks, as programs make them that embed Python, such as uWSGI.

Each subject's id is its number, so that an answer to another process's question shows.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from forking import ENV
from servers import RawServer
from waiting import LONG

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no fork on this system")

PRELUDE = """
    import json, os, sys, threading, time, warnings
    warnings.simplefilter("ignore")
    from forking import fork
    from kafka_sr_retry import Schema, SchemaRegistryClient
    conf = json.loads(sys.argv[1])
    results = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def ask(client, number):
        try:
            got = client.register_schema(f"s{number}", Schema('"string"'))
        except BaseException as error:
            got = f"{type(error).__name__}: {error}"
        os.write(results, (json.dumps([number, got]) + "\\n").encode())

    def wait_for(*children):
        for child in children:
            assert os.waitpid(child, 0)[1] == 0, "a child has ended badly"
"""


class Asked:
    """A registry, the processes that ask it, and what they got."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._results = folder / "results"
        self.conf: dict[str, Any] = {"total.timeout.ms": 8000, "request.timeout.ms": 4000}
        self.serve()

    def serve(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._server = RawServer(answer, ssl_context=ssl_context)
        self._stack.callback(self._server.close)
        self.conf["url"] = self._server.url

    def serve_tls(self, folder: Path) -> None:
        ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.serve(context)
        self.conf["ssl.ca.location"] = str(folder / "ca.pem")

    @property
    def connections(self) -> int:
        return self._server.connections

    def by(self, code: str, *arguments: str) -> list[int]:
        """The numbers asked for, each of which was answered with itself."""
        program = textwrap.dedent(PRELUDE) + textwrap.dedent(code)
        command = [sys.executable, "-c", program, json.dumps(self.conf), str(self._results), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * LONG, check=False, env=ENV)
        assert done.returncode == 0, done.stderr
        pairs = [json.loads(line) for line in self._results.read_text().splitlines()]
        assert [(number, got) for number, got in pairs if number != got] == []
        return sorted(number for number, _ in pairs)


def answer(head: bytes, body: bytes) -> bytes:
    found = re.search(rb"/subjects/s(\d+)/", head)
    assert found
    time.sleep(0.9 if 10 <= int(found[1]) < 100 else 0.01)
    content = b'{"id":%s}' % found[1]
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    with ExitStack() as stack:
        yield Asked(stack, tmp_path)


CHILDREN = """
    client = SchemaRegistryClient(conf)
    before = sys.argv[3]
    if before != "nothing":
        ask(client, 1)
    asking = [threading.Thread(target=ask, args=(client, number)) for number in (10, 11, 12)]
    if before == "questions under way":
        for each in asking:
            each.start()
        time.sleep(0.3)
    children = []
    for base in (1000, 2000, 3000):
        children.append(fork())
        if not children[-1]:
            for number in (*range(base, base + 10), 10):
                ask(client, number)
            client.close()
            os._exit(0)
    for number in range(500, 510):
        ask(client, number)
    wait_for(*children)
    if before == "questions under way":
        for each in asking:
            each.join()
    ask(client, 2)
"""


@pytest.mark.parametrize("before", ["nothing", "a question", "questions under way"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_children_and_their_parent_get_their_own_answers(asked: Asked, tmp_path: Path, before: str, tls: bool) -> None:
    if tls:
        asked.serve_tls(tmp_path)
    children = [number for base in (1000, 2000, 3000) for number in (*range(base, base + 10), 10)]
    known = {"nothing": [], "a question": [1], "questions under way": [1, 10, 11, 12]}[before]
    assert asked.by(CHILDREN, before) == sorted([*known, *children, *range(500, 510), 2])


GENERATIONS = """
    client = SchemaRegistryClient(conf)
    ask(client, 1)
    for generation in range(1, 5):
        child = fork()
        if child:
            for number in range(1000 * generation, 1000 * generation + 5):
                ask(client, number)
            wait_for(child)
            if generation > 1:
                os._exit(0)
            break
    else:
        ask(client, 5000)
        client.close()
        os._exit(0)
    ask(client, 2)
"""


def test_a_childs_children_get_their_own_answers(asked: Asked) -> None:
    own = [1000 * generation + n for generation in range(1, 5) for n in range(5)]
    assert asked.by(GENERATIONS) == [1, 2, *own, 5000]


ENDS = """
    client = SchemaRegistryClient(conf)
    ask(client, 1)
    under_way = threading.Thread(target=ask, args=(client, 10), daemon=True)
    under_way.start()
    time.sleep(0.3)
    child = fork()
    if not child:
        if sys.argv[3] == "asks":
            ask(client, 1000)
        if sys.argv[3] == "closes":
            client.close()
        if sys.argv[3] == "forgets":
            import gc
            del client
            gc.collect()
        sys.exit(0)  # with all that the interpreter does at its end
    wait_for(child)
    under_way.join()
    ask(client, 2)
"""


@pytest.mark.parametrize("child", ["asks", "closes", "forgets", "ends"])
def test_a_child_that_ends_leaves_its_parents_connections_alone(asked: Asked, child: str) -> None:
    assert asked.by(ENDS, child) == [1, 2, 10] + [1000] * (child == "asks")
    assert asked.connections == 1 + (child == "asks")


# A series' key is hashed under our lock and the official client's: there another thread stands still for ever.
HELD = """
    from prometheus_client import REGISTRY
    from kafka_sr_retry.events import RetryEvent
    from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
    inside = threading.Event()
    class Reason(str):
        def __str__(self):
            return self
        def __hash__(self):
            inside.set()
            threading.Event().wait()
    listen = PrometheusInstrumentation()
    client = SchemaRegistryClient({**conf, "event_cb": listen})
    ask(client, 1)
    if sys.argv[3] == "held":
        held = RetryEvent(call=0, operation="register", asked="", round=1, wait=0.0, reason=Reason())
        threading.Thread(target=listen, args=(held,), daemon=True).start()
        inside.wait()
    child = fork()
    if not child:
        ask(client, 1000)
        labels = {"operation": "register", "result": "success"}
        counted = REGISTRY.get_sample_value("kafka_sr_retry_call_duration_seconds_count", labels)
        os._exit(0 if counted == (1 if sys.argv[3] == "held" else 2) else 1)
    wait_for(child)
    os._exit(0)
"""


@pytest.mark.parametrize("lock", ["held", "free"])
def test_a_metric_that_was_locked_at_the_fork_does_not_hold_the_child(asked: Asked, lock: str) -> None:
    assert asked.by(HELD, lock) == [1, 1000]


UNREADABLE = """
    client = SchemaRegistryClient(conf)
    ask(client, 1)
    os.rename(conf["ssl.ca.location"], conf["ssl.ca.location"] + ".away")
    child = fork()
    if not child:
        ask(client, 1000)
        os._exit(0)
    wait_for(child)
"""


def test_a_child_that_may_not_read_the_tls_files_uses_what_its_parent_read(asked: Asked, tmp_path: Path) -> None:
    asked.serve_tls(tmp_path)
    assert asked.by(UNREADABLE) == [1, 1000]


CHANCE = """
    from kafka_sr_retry.events import RetryEvent
    def heard(event):
        if isinstance(event, RetryEvent):
            os.write(results, json.dumps([event.wait, event.wait]).encode() + b"\\n")
    conf = {**conf, "url": "http://127.0.0.1:1", "event_cb": heard, "max.retries": 3, "retries.wait.ms": 1}
    client = SchemaRegistryClient(conf)
    for _ in range(2):
        child = fork()
        if not child:
            try:
                client.register_schema("s1", Schema('"string"'))
            finally:
                os._exit(0)
        wait_for(child)
"""


def test_children_do_not_wait_for_the_same_times(asked: Asked) -> None:
    waits = [wait for wait in asked.by(CHANCE) if wait]
    assert len(waits) >= 4
    assert len(set(waits)) == len(waits)
