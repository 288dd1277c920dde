"""Two nodes of a registry whose leader can be killed: embedded ones, or those that the environment names.

Real ones need their two URLs in SCHEMA_REGISTRY_URL, and a shell command each to print a node's log, to kill it and to
bring it back. A command finds the node in $NODE: 1 for the first URL, 2 for the second.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import Request, urlopen

from kafka_sr_retry.testing import SchemaRegistryCluster

from .process import StackError

URLS = "SCHEMA_REGISTRY_URL"
COMMANDS = "REGISTRY_LOG_COMMAND", "REGISTRY_KILL_COMMAND", "REGISTRY_RESTART_COMMAND"
PATIENCE = 120.0

_SCHEMA = json.dumps({"type": "record", "name": "Elected", "fields": []})

_ELECTED = re.compile(r"(?:leader|master) election result: Assignment\{.*?\b(?:leader|master)='?([^',]*)")
_MEMBER = re.compile(r"memberId='([^']*)'")


@dataclass(frozen=True)
class Nodes:
    """``kill_leader`` gives the node for ``restart``."""

    urls: tuple[str, ...]
    kill_leader: Callable[[], int]
    restart: Callable[[int], object]

    def elected(self) -> float:
        """Waits until a new subject can be registered at some node, and gives that moment."""
        path = f"/subjects/{uuid.uuid4()}/versions"
        body = json.dumps({"schema": _SCHEMA}).encode()
        _wait_until(lambda: any(_ok(url + path, body) for url in self.urls), "a new subject can be registered")
        return time.monotonic()

    def bring_back(self, node: int) -> None:
        """Restarts what was killed, and waits until all nodes answer and there is a leader."""
        self.restart(node)
        _wait_until(lambda: all(_ok(url + "/subjects") for url in self.urls), "all nodes answer")
        self.elected()


def are_real(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names both nodes, and what kills them."""
    commands = [name for name in COMMANDS if environment.get(name)]
    if not commands:
        return False
    if len(commands) < len(COMMANDS) or len(_urls(environment)) != 2:
        raise StackError(f"a cluster of your own needs two URLs in {URLS}, and {', '.join(COMMANDS)}")
    return True


@contextmanager
def running(environment: Mapping[str, str] = os.environ) -> Iterator[Nodes]:
    """Those that the environment names, else embedded ones."""
    if are_real(environment):
        yield _real(environment)
        return
    with SchemaRegistryCluster() as cluster:
        yield Nodes(
            tuple(node.url for node in cluster.nodes),
            lambda: cluster.nodes.index(cluster.kill_leader()) + 1,
            lambda node: cluster.restart(cluster.nodes[node - 1]),
        )


def _real(environment: Mapping[str, str]) -> Nodes:
    log, kill, restart = (environment[name] for name in COMMANDS)

    def run(command: str, node: int) -> str:
        told = subprocess.run(
            command, shell=True, check=True, stdout=subprocess.PIPE, text=True, errors="replace",
            env={**environment, "NODE": str(node)},
        )  # fmt: skip
        return told.stdout

    def kill_leader() -> int:
        found: list[int] = []

        def agreed() -> bool:
            leads = leader([run(log, 1), run(log, 2)])
            found.extend([] if leads is None else [leads])
            return bool(found)

        _wait_until(agreed, "both nodes' logs name the same leader")
        run(kill, found[0])
        return found[0]

    return Nodes(_urls(environment), kill_leader, lambda node: run(restart, node))


def leader(logs: Sequence[str]) -> int | None:
    """Which of the nodes leads, from 1, by their logs; ``None`` while these do not agree.

    After each election a node of Confluent's registry logs the id of the member that leads, and before that its own.
    """
    elected = {_last(_ELECTED, log) for log in logs}
    members = [_last(_MEMBER, log) for log in logs]
    leads = elected.pop()
    return members.index(leads) + 1 if not elected and leads and leads in members else None


def _last(pattern: re.Pattern[str], log: str) -> str | None:
    found = pattern.findall(log)
    return found[-1] if found else None


def _urls(environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(url.strip().rstrip("/") for url in environment.get(URLS, "").split(",") if url.strip())


def _wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise StackError(f"waited {PATIENCE:.0f} s in vain until {what}")
        time.sleep(0.05)


def _ok(url: str, body: bytes | None = None) -> bool:
    request = Request(url, body, {"Content-Type": "application/vnd.schemaregistry.v1+json"})
    try:
        with urlopen(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
