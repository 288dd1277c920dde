"""What goes wrong, and when: made from a seed alone, or read from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from random import Random

PARTS = ("kafka", "registry")
LEAST_CHANGES = 100
CHANGES_A_SECOND = 1
LONGEST_SECONDS = 3
SECONDS_FOR_EACH_KILL = 60
RESTART_SECONDS = 30
"""A part is not killed again so soon after: it shall serve between two deaths."""

_LANES = list(product(PARTS, ["upstream", "downstream"]))

DOWN, KILL = "down", "kill"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that goes wrong, and is put right again.

    Attributes:
        at: seconds since the beginning.
        lasts: seconds until it is put right.
        part: whose proxy it is put on, or who is killed.
        action: a kind of toxic, ``down`` (the proxy takes no connections) or ``kill`` (SIGKILL, then a restart).
        stream: of a toxic: to the part (``upstream``) or from it.
        attributes: of a toxic, as Toxiproxy names them.
    """

    at: float
    lasts: float
    part: str
    action: str
    stream: str = ""
    attributes: dict[str, int] = field(default_factory=dict)


_TOXICS: dict[str, Callable[[Random], dict[str, int]]] = {
    "latency": lambda rng: {"latency": rng.randint(1, 1500), "jitter": rng.randint(0, 500)},
    "bandwidth": lambda rng: {"rate": rng.randint(1, 20)},
    "slow_close": lambda rng: {"delay": rng.randint(1, 3000)},
    "slicer": lambda rng: {"average_size": rng.randint(1, 50), "size_variation": 0, "delay": rng.randint(0, 5000)},
    "timeout": lambda rng: {"timeout": rng.choice([0, rng.randint(1, 3000)])},
    "reset_peer": lambda rng: {"timeout": rng.choice([0, rng.randint(1, 1000)])},
    "limit_data": lambda rng: {"bytes": rng.choice([0, rng.randint(1, 400), rng.randint(400, 5000)])},
}


def make(seed: int, seconds: float) -> list[Change]:
    """A schedule of so many seconds: a change of the proxies each second, and deaths of both parts.

    Each stream of each proxy has one change after the other: toxics of one stream that overlap make Toxiproxy panic.
    """
    rng = Random(seed)
    slots = math.ceil(max(LEAST_CHANGES, seconds * CHANGES_A_SECOND) / len(_LANES))
    kills = max(1, round(seconds / SECONDS_FOR_EACH_KILL))
    changes = [_change(rng, *lane, seconds * slot / slots, seconds / slots) for lane in _LANES for slot in range(slots)]
    changes += [_kill(rng, part, number, seconds / kills) for part in PARTS for number in range(kills)]
    return sorted(changes, key=lambda change: change.at)


def _change(rng: Random, part: str, stream: str, begin: float, slot: float) -> Change:
    lasts = round(rng.uniform(0.1, 0.9) * min(LONGEST_SECONDS, slot), 3)
    at = round(begin + rng.uniform(0, 0.95 * slot - lasts), 3)
    action = rng.choice([*_TOXICS, DOWN])
    if action == DOWN:
        return Change(at, lasts, part, action)
    return Change(at, lasts, part, action, stream, _TOXICS[action](rng))


def _kill(rng: Random, part: str, number: int, window: float) -> Change:
    at = number * window + rng.uniform(0, max(0, window - RESTART_SECONDS))
    return Change(round(at, 3), round(rng.uniform(0, 2), 3), part, KILL)


def save(path: Path, changes: Iterable[Change]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(change)) + "\n" for change in changes))


def load(path: Path) -> list[Change]:
    return [Change(**json.loads(line)) for line in path.read_text().splitlines() if line.strip()]
