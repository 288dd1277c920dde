"""A real Kafka and a real registry on this machine, without containers. POSIX only; needs Java and Maven.

All of it lives in the project's `.stack/`: `libs/` and `toxiproxy-*` (the programs), `run-*/` (a stack that ends with
whoever started it) and `up/` (the one that `python -m tests.integration.stack up` leaves running). What a killed run
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

__all__ = [
    "HOME",
    "LIBS",
    "VARIABLES",
    "StackError",
    "down",
    "missing_programs",
    "own_folder",
    "running",
    "status",
    "up",
]

VARIABLES = ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")
READY_SECONDS = 60

HOME = Path(__file__).resolve().parents[3] / ".stack"
LIBS = HOME / "libs"
_UP = HOME / "up"


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """A stack for the time of the `with` block; yields the environment variables that lead to it."""
    with own_folder() as own:
        yield _start(own)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for the time of the `with` block; each process that owns a folder in it ends with the block."""
    with ExitStack() as run:
        with _locked(HOME / "lock"):
            _remove_abandoned()
            install(LIBS)
            own = Path(tempfile.mkdtemp(prefix="run-", dir=HOME))
            run.enter_context(_locked(own / "owner"))
        run.callback(_stop, own)
        yield own


def up() -> dict[str, str]:
    """Start the stack that stays, unless it is up already; returns its environment variables."""
    with _locked(HOME / "lock"):
        if environment := status():
            return environment
        _remove(_UP)
        install(LIBS)
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
    with _locked(HOME / "lock"):
        _remove(_UP)
        _remove_abandoned()


def _services(folder: Path) -> tuple[Path, Path]:
    return folder / "kafka", folder / "registry"


def _start(folder: Path) -> dict[str, str]:
    kafka, registry = _services(folder)
    broker_port, controller_port, registry_port = services.free_ports(3)
    servers = services.start_kafka(kafka, LIBS, broker_port, controller_port)
    url = services.start_registry(registry, LIBS, registry_port)
    process.await_ready(kafka, partial(services.kafka_is_ready, servers), READY_SECONDS)
    process.await_ready(registry, partial(services.registry_is_ready, url), READY_SECONDS)
    environment = dict(zip(VARIABLES, (servers, url), strict=True))
    (folder / "environment.json").write_text(json.dumps(environment))
    return environment


def _stop(folder: Path) -> None:
    for pid in folder.glob("*/pid"):
        process.stop(pid.parent)


def _remove(folder: Path) -> None:
    _stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    for folder in HOME.glob("run-*"):
        if not process.is_locked(folder / "owner"):
            _remove(folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
