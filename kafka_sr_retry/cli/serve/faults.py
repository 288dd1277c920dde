"""What is to go wrong, in words: ``50003:3,503,hang=5``; at the start, and as ``POST /faults`` while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from kafka_sr_retry import testing
from kafka_sr_retry.testing import Answer, Exchange, Fault, RecordedRequest, SchemaRegistryCluster, SchemaRegistryServer

PATH = "/faults"
_MOST = 10_000
_PASS = Fault("pass", lambda exchange: exchange.send(exchange.real_answer()))

_NAMES: dict[str, Callable[[Any], Any] | None] = {
    "no_leader": None,
    "hang": float,
    "reset": None,
    "close_connection": None,
    "swallow": None,
    "truncate": int,
    "drip": float,
    "drop_body": None,
    "html": int,
}
"""Those of `kafka_sr_retry.testing` that take no value, or a number."""

_OF_ONE = ("lose_leader", "elect_leader")
_ENDING = ("kill_leader", "terminate_leader")
"""Those that would end the connection on which they were asked for."""
_GOING_ON = ("pause_leader", "resume_leader", "stop_kafka", "pause_kafka", "start_kafka")
_OF_TWO = (*_ENDING, *_GOING_ON, "restart")


class FaultError(ValueError):
    """Words that name no fault, told with what would."""


@dataclass(frozen=True)
class Planned:
    """``times`` is ``None`` for always."""

    words: str
    fault: Fault
    times: int | None


def planned(text: str, switches: Collection[str] = ()) -> list[Planned]:
    """What ``text`` asks for; raises `FaultError`.

    Args:
        switches: the node's other words, which stand alone; none before it runs.
    """
    return [_one(words, switches) for each in text.split(",") if (words := each.strip())]


def _one(words: str, switches: Collection[str]) -> Planned:
    rest, colon, times = words.partition(":")
    name, equals, value = rest.partition("=")
    always = times == "always"
    count = int(times) if len(times) < 6 and times.isascii() and times.isdigit() else 0
    if colon and not always and not 1 <= count <= _MOST:
        raise FaultError(f"{words!r}: behind the colon stands how often, 1 to {_MOST}, or always")
    fault = _fault(words, name.replace("-", "_"), value if equals else None, switches)
    return Planned(words, fault, None if always else count or 1)


def _fault(words: str, name: str, value: str | None, switches: Collection[str]) -> Fault:
    if name.isascii() and name.isdigit():
        status = int(name[:3])
        if len(name) not in (3, 5) or not 400 <= status <= 599:
            raise FaultError(f"{words!r}: neither an HTTP status from 400 to 599 nor one of the registry's error codes")
        if value is None:
            return testing.error(status, int(name))
        if len(name) == 3:
            return testing.retry_after(_number(words, value, int), status)
        raise FaultError(f"{words!r}: takes no value")
    if name == "pass" and value is None:
        return _PASS
    if name not in _NAMES:
        raise FaultError(f"{words!r}: {_instead(name, switches)}")
    takes = _NAMES[name]
    if value is not None and takes is None:
        raise FaultError(f"{words!r}: takes no value")
    made: Fault = getattr(testing, name)(*(() if value is None or takes is None else (_number(words, value, takes),)))
    return made


def _instead(name: str, switches: Collection[str]) -> str:
    if name in switches:
        return "stands alone"
    if name in ("recover", *_OF_ONE, *_OF_TWO):
        needs = {**dict.fromkeys(_OF_ONE, "--nodes 1"), **dict.fromkeys(_OF_TWO, "--nodes 2")}.get(name)
        later = "" if switches else f"is for a server that runs: curl -d {name} $SCHEMA_REGISTRY_URL{PATH}"
        return " and ".join(filter(None, (needs and f"needs {needs}", later)))
    names = [*_NAMES, "pass", *switches]
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"known are statuses, error codes, {', '.join(names)}"


def _number(words: str, value: str, kind: Callable[[Any], Any]) -> Any:
    try:
        number = kind(value)
    except ValueError:
        number = -1
    if not 0 <= number < 1e6:
        raise FaultError(f"{words!r}: {value!r} is no number from 0 to a million")
    return number


def plan(node: SchemaRegistryServer, faults: Sequence[Planned]) -> None:
    """The next registrations at ``node`` meet ``faults``."""
    for each in faults:
        if each.times is None:
            node.fail_always(each.fault, matching=_registers)
        else:
            node.fail_next(*[each.fault] * each.times, matching=_registers)


def _registers(request: RecordedRequest) -> bool:
    path = request.path.partition("?")[0].rstrip("/")
    return request.method == "POST" and path.startswith("/subjects/") and path.endswith("/versions")


class Switch:
    """``POST /faults`` at a node: more faults, or a word that changes how it stands."""

    def __init__(self, node: SchemaRegistryServer, cluster: SchemaRegistryCluster | None) -> None:
        self._node = node
        self._now: dict[str, Callable[[], object]] = {"recover": self._recover}
        self._later: dict[str, Callable[[], object]] = {}
        if cluster is None:
            self._now |= {name: getattr(node, name) for name in _OF_ONE}
        else:
            self._later |= {name: getattr(cluster, name) for name in _ENDING}
            self._now |= {name: getattr(cluster, name) for name in _GOING_ON}
            self._now["restart"] = lambda: _restart(cluster)
        self._install()

    def _install(self) -> None:
        self._node.fail_always(Fault("switch", self._play), matching=lambda request: request.path == PATH)

    def _recover(self) -> None:
        self._node.recover()
        self._install()

    def _play(self, exchange: Exchange) -> None:
        request, later = exchange.request, None
        try:
            if request.method != "POST":
                raise FaultError(f"POST the faults, as in: curl -d 50003:3 {self._node.url}{PATH}")
            words = request.body.decode(errors="replace").strip()
            name = words.replace("-", "_")
            if name in self._now:
                self._now[name]()
            elif name in self._later:
                later = threading.Thread(target=self._later[name], daemon=True)
            else:
                faults = planned(words, (*self._now, *self._later))
                if not faults:
                    raise FaultError(f"nothing was asked for; also known: {', '.join([*self._now, *self._later])}")
                plan(self._node, faults)
            status, told = 200, f"{words}: done"
        except (FaultError, RuntimeError) as error:
            status, told = 400, str(error)
        exchange.send(Answer(status, f"{told}\n".encode(), (("Content-Type", "text/plain; charset=utf-8"),)))
        if later:
            later.start()


def _restart(cluster: SchemaRegistryCluster) -> None:
    for node in cluster.nodes:
        cluster.restart(node)
