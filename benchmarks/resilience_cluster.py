"""The cases that need a real registry of two nodes, and commands that crash it and bring it back."""

from __future__ import annotations

import functools
import json
import math
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.request import Request, urlopen

from resilience_driver import SCHEMA, Contender, Driver

SUBJECTS = 137
A_SECOND = 4
PATIENCE = 120.0


@dataclass(frozen=True)
class Cluster:
    """A running registry; ``kill_leader`` and ``restart`` are shell commands."""

    urls: tuple[str, ...]
    kill_leader: str
    restart: str

    def crash(self) -> None:
        """Kills the leader."""
        subprocess.run(self.kill_leader, shell=True, check=True)

    def elected(self) -> float:
        """Waits until a new subject can be registered at some node, and gives that moment."""
        path = f"/subjects/{uuid.uuid4()}/versions"
        body = json.dumps({"schema": SCHEMA}).encode()
        _wait_until(lambda: any(_ok(url + path, body) for url in self.urls), "a new subject can be registered")
        return time.monotonic()

    def recover(self) -> None:
        """Brings back what was killed, and waits until all nodes answer and there is a leader."""
        subprocess.run(self.restart, shell=True, check=True)
        _wait_until(lambda: all(_ok(url + "/subjects") for url in self.urls), "all nodes answer")
        self.elected()


@functools.cache
def cluster() -> Cluster | None:
    """The one that the environment names."""
    urls = tuple(url.strip().rstrip("/") for url in os.environ.get("SCHEMA_REGISTRY_URL", "").split(",") if url)
    kill, restart = os.environ.get("KILL_LEADER_COMMAND"), os.environ.get("RESTART_COMMAND")
    return Cluster(urls, kill, restart) if len(urls) == 2 and kill and restart else None


def crash_the_leader(driver: Driver, contender: Contender) -> dict[str, float | str]:
    """Five producers, each a process with one new schema, at the moment the leader is gone."""
    nodes = _given()
    elections: list[float] = []
    watch = threading.Thread(target=lambda: elections.append(nodes.elected()))

    def start() -> None:
        nodes.crash()
        watch.start()

    lanes = [[(0.0, topic)] for topic in _topics(5)]
    done = driver.drive(contender, {"url": ",".join(nodes.urls)}, lanes, spread=True, start=start)
    watch.join()
    nodes.recover()
    after = [one.ended - elections[0] for one in done if one.schema_id]
    lost = [one for one in done if one.schema_id is None]
    return {
        "lost": len(lost),
        "after_s": max(after, default=math.nan),
        "gave_up_s": min((one.seconds for one in lost), default=math.nan),
        "errors": "; ".join(sorted({one.error for one in lost})),
    }


def crash_them_all(driver: Driver, contender: Contender) -> dict[str, float | str]:
    """Each leader crashes in turn and is brought back, while new subjects come, each on a thread of its own."""
    nodes = _given()
    crashes: list[float] = []

    def crash() -> None:
        began = time.monotonic()
        for _ in nodes.urls:
            time.sleep(2)
            nodes.crash()
            nodes.elected()
            nodes.recover()
        crashes.append(time.monotonic() - began)

    crashing = threading.Thread(target=crash)
    lanes = [[(number / A_SECOND, topic)] for number, topic in enumerate(_topics(SUBJECTS))]
    done = driver.drive(contender, {"url": ",".join(nodes.urls)}, lanes, start=crashing.start)
    crashing.join()
    lost = [one for one in done if one.schema_id is None]
    return {
        "sent": len(lanes),
        "lost": len(lost),
        "slowest_s": max(one.seconds for one in done),
        "crashes_s": crashes[0],
        "errors": "; ".join(sorted({one.error for one in lost})),
    }


def _given() -> Cluster:
    found = cluster()
    assert found is not None
    return found


def _topics(number: int) -> list[str]:
    run = uuid.uuid4().hex[:8]
    return [f"resilience-{run}-{one}" for one in range(number)]


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE:.0f} s in vain until {what}")
        time.sleep(0.05)


def _ok(url: str, body: bytes | None = None) -> bool:
    request = Request(url, body, {"Content-Type": "application/vnd.schemaregistry.v1+json"})
    try:
        with urlopen(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
