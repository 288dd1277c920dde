"""A real Kafka and a real registry on this machine, without containers. POSIX only; needs Java and Maven.

All of it lives in the project's `.stack/`: `libs/` (the programs), `run-*/` (a stack that ends with whoever
started it) and `up/` (the one that `python -m tests.integration.stack up` leaves running). What a killed run
left behind is ended by the next one; the logs of a run stay until then.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from . import process, services
from .install import install, missing_programs
from .process import StackError

__all__ = ["VARIABLES", "StackError", "down", "missing_programs", "running", "status", "up"]

VARIABLES = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")
READY_SECONDS = 60

_HOME = Path(__file__).resolve().parents[3] / ".stack"
_LIBS = _HOME / "libs"
_UP = _HOME / "up"


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """A stack for the time of the `with` block; yields the environment variables that lead to it."""
    with ExitStack() as run:
        with _locked(_HOME / "lock"):
            _remove_abandoned()
            install(_LIBS)
            folder = Path(tempfile.mkdtemp(prefix="run-", dir=_HOME))
            run.enter_context(_locked(folder / "owner"))
        run.callback(_stop, folder)
        yield _start(folder)


def up() -> dict[str, str]:
    """Start the stack that stays, unless it is up already; returns its environment variables."""
    with _locked(_HOME / "lock"):
        if environment := status():
            return environment
        _remove(_UP)
        install(_LIBS)
        try:
            return _start(_UP)
        except BaseException:
            _stop(_UP)
            raise


def status() -> dict[str, str]:
    """The environment variables of the stack that stays; none if it is not up."""
    saved = _UP / "environment.json"
    up = saved.exists() and all(map(process.is_alive, _services(_UP)))
    return dict(json.loads(saved.read_text())) if up else {}


def down() -> None:
    """End the stack that stays, and what killed runs left behind."""
    with _locked(_HOME / "lock"):
        _remove(_UP)
        _remove_abandoned()


def _services(folder: Path) -> tuple[Path, Path]:
    return folder / "kafka", folder / "registry"


def _start(folder: Path) -> dict[str, str]:
    kafka, registry = _services(folder)
    broker_port, controller_port, registry_port = services.free_ports(3)
    servers = services.start_kafka(kafka, _LIBS, broker_port, controller_port)
    url = services.start_registry(registry, _LIBS, registry_port)
    process.await_ready(kafka, partial(services.kafka_is_ready, servers), READY_SECONDS)
    process.await_ready(registry, partial(services.registry_is_ready, url), READY_SECONDS)
    environment = dict(zip(VARIABLES, (servers, url), strict=True))
    (folder / "environment.json").write_text(json.dumps(environment))
    return environment


def _stop(folder: Path) -> None:
    for part in _services(folder):
        process.stop(part)


def _remove(folder: Path) -> None:
    _stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    for folder in _HOME.glob("run-*"):
        if not process.is_locked(folder / "owner"):
            _remove(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
