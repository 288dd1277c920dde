"""Under the hosts that fork or patch: uWSGI, whose workers run none of Python's at-fork hooks, and gunicorn.

Each subject's id is its number, so that an answer to another process's question shows. All hosts that were selected run
at the same time, a few at once, as they mostly wait. uWSGI, which comes from its sources alone and needs a C compiler,
is installed into an environment of its own, for the session.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import kafka_sr_retry

LONG = 60.0
WAY = "a question under way"
KNOWN = 1
PROCESSES = 2
WHILE_AWAY = range(200, 204)
AT_THE_END = 400
NEW = 1000
"""From here on."""

APP = """
import os, threading, time
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka_sr_retry import AvroSerializer, SchemaRegistryClient
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

client = SchemaRegistryClient({
    "url": os.environ["REGISTRY"], "total.timeout.ms": 20000, "request.timeout.ms": 5000,
    "event_cb": PrometheusInstrumentation(),
})
serializer = AvroSerializer(client, '"string"')

def number_of(topic):
    message = serializer("x", SerializationContext(topic, MessageField.VALUE))
    return int.from_bytes(message[1:5], "big")

def tell(topic):
    try:
        return f"{number_of(topic)} {os.getpid()}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

if os.environ["BEFORE"] != "nothing":
    number_of("s1")
if os.environ["BEFORE"] == "a question under way":
    threading.Thread(target=number_of, args=("s2-slow",), daemon=True).start()
    time.sleep(0.2)

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [tell(environ["PATH_INFO"].strip("/")).encode()]
"""


# -- the registry ---------------------------------------------------------------------------------


class Registry(ThreadingHTTPServer):
    """Gives each subject the id that is its number; counts what it has refused while it was away."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.away = False
        self.refused: set[int] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        found = re.search(r"/s(\d+)(-slow)?-value/", self.path)
        assert found
        time.sleep(1.5 if found[2] else 0.02)
        if self.server.away:
            self.server.refused.add(int(found[1]))
        content = b'{"id":%d}' % int(found[1])
        self.send_response(503 if self.server.away else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


# -- how a host is asked --------------------------------------------------------------------------

Ask = Callable[[int], str]


@dataclass(frozen=True)
class Host:
    """How it is started and what its end does to a question that waits.

    Attributes:
        finishes: whether what waits when it is told to end is answered first.
    """

    command: tuple[str, ...]
    before: str = WAY
    finishes: bool = True


class Running:
    """A host with its registry: the questions of all tests, in their order."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.registry = Registry()
        (folder / "fleet.py").write_text(APP)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        paths = [str(folder), str(Path(kafka_sr_retry.__file__).parents[1]), *filter(None, sys.path)]
        self.environment = {
            **os.environ,
            "REGISTRY": self.registry.url,
            "BEFORE": host.before,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self) -> None:
        with self.started() as process, self.asking(process) as ask, ThreadPoolExecutor(8) as pool:

            def answers(numbers: range) -> set[str]:
                """Of which processes, if all are right."""
                told = list(zip(numbers, pool.map(ask, numbers), strict=True))
                assert [each for each in told if each[1].split()[0] != str(each[0])] == [], self.log()
                return {text.split()[-1] for _, text in told}

            fresh = (range(start, start + 10) for start in itertools.count(NEW, 10))
            first = answers(range(KNOWN, KNOWN + 1))
            for _ in range(5):
                first |= answers(next(fresh))
            # one may have begun later, or have been quicker at each connection
            self.until(lambda: len(first) >= PROCESSES or first.update(answers(next(fresh))))

            self.registry.away = True
            waiting = pool.submit(answers, WHILE_AWAY)
            self.until(lambda: self.registry.refused)
            self.registry.away = False
            waiting.result()

            process.send_signal(signal.SIGHUP)  # others take their place
            self.until(lambda: not answers(next(fresh)) & first)

            self.registry.away = True
            last = pool.submit(ask, AT_THE_END)
            self.until(lambda: AT_THE_END in self.registry.refused)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            self.registry.away = False
            if self.host.finishes:
                assert last.result(LONG).split()[0] == str(AT_THE_END), self.log()
            process.wait(LONG)

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [word.replace("ADDRESS", self.address) for word in self.host.command]
        with (self.folder / "log").open("w") as output:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self.registry.shutdown()
            self.registry.server_close()

    @contextmanager
    def asking(self, process: subprocess.Popen[bytes]) -> Iterator[Ask]:
        """By HTTP; a server that is just being replaced is asked again."""

        def ask(number: int) -> str:
            until = time.monotonic() + LONG
            while True:
                try:
                    with closing(HTTPConnection(self.address, timeout=LONG)) as connection:
                        connection.request("GET", f"/s{number}", headers={"Connection": "close"})
                        return connection.getresponse().read().decode() or "nothing"
                except (OSError, HTTPException) as error:
                    if number == AT_THE_END:
                        return f"{type(error).__name__}: {error}"
                    assert process.poll() is None, f"the server has ended: {self.log()}"
                    assert time.monotonic() < until, f"the server does not answer: {self.log()}"
                    time.sleep(0.1)

        yield ask

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)


# -- the hosts ------------------------------------------------------------------------------------


def uwsgi(*options: str, before: str = WAY) -> Host:
    return Host(
        ("uwsgi", "--http-socket", "ADDRESS", "--master", "--processes", str(PROCESSES), "--die-on-term", "--need-app",
         "--home", sys.prefix, "--module", "fleet:app", "--listen", "64", *options),
        before, finishes=False,
    )  # fmt: skip


def gunicorn(*options: str) -> Host:
    return Host(
        (sys.executable, "-m", "gunicorn", "--bind", "ADDRESS", "--workers", str(PROCESSES), *options, "fleet:app")
    )


UWSGI = {
    "nothing before": uwsgi(before="nothing"),
    "threads off": uwsgi(),
    "threads on": uwsgi("--enable-threads"),
    "threads": uwsgi("--threads", "4"),
    "lazy apps": uwsgi("--lazy-apps", "--enable-threads"),
    "gevent": uwsgi("--gevent", "20", "--gevent-monkey-patch"),
}
GUNICORN = {
    "sync": gunicorn(),
    "sync, preload": gunicorn("--preload"),
    "gthread": gunicorn("--worker-class", "gthread", "--threads", "4"),
    "gthread, preload": gunicorn("--worker-class", "gthread", "--threads", "4", "--preload"),
    "gevent": gunicorn("--worker-class", "gevent"),
    "gevent, preload": gunicorn("--worker-class", "gevent", "--preload"),
}


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("cc") and not shutil.which("gcc"):
        pytest.skip("uWSGI needs a C compiler")
    folder = tmp_path_factory.mktemp("hosts")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "uwsgi"], check=True)
    return folder / "bin"


@pytest.fixture(scope="session")
def results(
    request: pytest.FixtureRequest, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Host, Future[None]]]:
    hosts = [
        item.callspec.params["host"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "results" in item.fixturenames
    ]

    def run(host: Host) -> None:
        name, *words = host.command
        known = host if name != "uwsgi" else replace(host, command=(str(programs / name), *words))
        Running(known, tmp_path_factory.mktemp("host")).run()

    with ThreadPoolExecutor(4) as pool:
        yield {host: pool.submit(run, host) for host in hosts}


@pytest.mark.parametrize("host", UWSGI.values(), ids=UWSGI)
def test_uwsgi(results: dict[Host, Future[None]], host: Host) -> None:
    results[host].result()


@pytest.mark.parametrize("host", GUNICORN.values(), ids=GUNICORN)
def test_gunicorn(results: dict[Host, Future[None]], host: Host) -> None:
    results[host].result()
