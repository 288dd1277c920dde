"""Under the servers that fork: uWSGI, whose workers run none of Python's at-fork hooks, and gunicorn.

Each subject's id is its number, so that an answer to another process's question shows. uWSGI comes from its sources
alone and needs a C compiler: it is installed into an environment of its own, for the session.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import kafka_sr_retry

APP = """
import os, threading, time
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka_sr_retry import AvroSerializer, SchemaRegistryClient
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

client = SchemaRegistryClient({
    "url": os.environ["REGISTRY"], "total.timeout.ms": 5000, "request.timeout.ms": 2000,
    "event_cb": PrometheusInstrumentation(),
})
serializer = AvroSerializer(client, '"string"')

def number_of(topic):
    message = serializer("x", SerializationContext(topic, MessageField.VALUE))
    return int.from_bytes(message[1:5], "big")

if os.environ["BEFORE"] != "nothing":
    number_of("s1")
if os.environ["BEFORE"] == "a question under way":
    threading.Thread(target=number_of, args=("s2-slow",), daemon=True).start()
    time.sleep(0.2)

def app(environ, start_response):
    topic = environ["PATH_INFO"].strip("/")
    try:
        told = f"{number_of(topic)} {os.getpid()}"
    except BaseException as error:
        told = f"{type(error).__name__}: {error}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [told.encode()]
"""


class Registry(BaseHTTPRequestHandler):
    """Gives each subject the id that is its number."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        found = re.search(r"/s(\d+)(-slow)?-value/", self.path)
        assert found
        time.sleep(1.5 if found[2] else 0.02)
        content = b'{"id":%d}' % int(found[1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def uwsgi(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = shutil.which("uwsgi")
    if found:
        return found
    if not shutil.which("cc") and not shutil.which("gcc"):
        pytest.skip("uWSGI needs a C compiler")
    folder = tmp_path_factory.mktemp("uwsgi")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "uwsgi"], check=True)
    return str(folder / "bin/uwsgi")


Run = Callable[..., None]


@pytest.fixture
def run(registry: str, tmp_path: Path) -> Run:
    """Starts a server with two processes, has it asked by many at once, and ends it."""

    def run(before: str, *command: str) -> None:
        (tmp_path / "fleet.py").write_text(APP)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        paths = [str(tmp_path), str(Path(kafka_sr_retry.__file__).parents[1]), *filter(None, sys.path)]
        environment = {**os.environ, "REGISTRY": registry, "BEFORE": before, "PYTHONPATH": os.pathsep.join(paths)}
        log = tmp_path / "log"
        with log.open("w") as output:
            server = subprocess.Popen(
                [each.replace("ADDRESS", address) for each in command],
                env=environment, cwd=tmp_path, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        try:
            told = ask(address, server)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait()
        wrong = [(number, text) for number, text in told if text.split()[0] != str(number)]
        assert wrong == [], log.read_text()
        assert len({text.split()[-1] for _, text in told}) == 2, "one process has answered everything"

    return run


def ask(address: str, server: subprocess.Popen[bytes]) -> list[tuple[int, str]]:
    def one(number: int) -> tuple[int, str]:
        with closing(HTTPConnection(address, timeout=20)) as connection:
            connection.request("GET", f"/s{number}", headers={"Connection": "close"})
            return number, connection.getresponse().read().decode()

    until = time.monotonic() + 20
    while True:
        try:
            one(1)
            break
        except (OSError, HTTPException):
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.1)
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(100, 180)))


WAY = "a question under way"


@pytest.mark.parametrize(
    ("before", "options"),
    [("nothing", []), (WAY, []), (WAY, ["--enable-threads"]), (WAY, ["--threads", "4"]), (WAY, ["--lazy-apps"])],
)
def test_uwsgi(uwsgi: str, run: Run, before: str, options: list[str]) -> None:
    run(before, uwsgi, "--http-socket", "ADDRESS", "--master", "--processes", "2", "--die-on-term", "--need-app",
        "--home", sys.prefix, "--module", "fleet:app", "--listen", "64", *options)  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        ["--preload"],
        ["--preload", "--worker-class", "gthread", "--threads", "4"],
        ["--preload", "--worker-class", "gevent"],
        ["--worker-class", "gevent"],
    ],
)
def test_gunicorn(run: Run, options: list[str]) -> None:
    for module in ("gunicorn", "gevent"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is needed")
    run(WAY, sys.executable, "-m", "gunicorn", "--bind", "ADDRESS", "--workers", "2", *options, "fleet:app")
