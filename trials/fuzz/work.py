"""One process's share of the cases."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from random import Random

from . import asking, encoding

KINDS: dict[str, Callable[[asking.World, Random], None]] = {**asking.KINDS, **encoding.KINDS}

LARGEST = 64 * 1024
"""KiB by which a case may let the process grow."""


def kind_of(number: int) -> str:
    names = list(KINDS)
    return names[number % len(names)]


@dataclass(frozen=True, slots=True)
class Played:
    """How a case went.

    Attributes:
        fault: what it found, or nothing.
        late: seconds by which its latest call was late; of kinds that ask nobody, which it took.
        grown: KiB that the process had more at its peak than before.
    """

    number: int
    fault: str = ""
    seconds: float = 0.0
    late: float = 0.0
    grown: int = 0
    calls: int = 0
    refused: int = 0
    rested: int = 0


def play(world: asking.World, seed: int, number: int) -> Played:
    world.calls = world.refused = world.rested = 0
    world.late = 0.0
    before, began, fault = _forget_peak(), time.monotonic(), ""
    try:
        KINDS[kind_of(number)](world, Random(f"{seed}/{number}"))
    except asking.Fault as found:
        fault = str(found)
    grown = _peak() - before
    if grown > LARGEST and not fault:
        fault = f"grew by {grown // 1024} MiB"
    return Played(number, fault, time.monotonic() - began, world.late, grown, world.calls, world.refused, world.rested)


def work(seed: int, numbers: Iterable[int], to: Connection) -> None:
    """Plays these cases and tells of each: its number before it, how it went after it, and at last what is left."""
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = os.path.dirname(__file__)  # reading all roots for nothing would take half of the time
    world = asking.World()
    first = None
    for done, number in enumerate(numbers):
        to.send(number)
        to.send(play(world, seed, number))
        if done == 300:
            first = _left()
    gc.collect()
    to.send((first, _left()))
    to.close()


def _left() -> tuple[int, int]:
    """KiB that the process holds, and its open files."""
    gc.collect()
    return _status("VmRSS"), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _status(name: str) -> int:
    with suppress(OSError), open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _forget_peak() -> int:
    """What the process holds now; its peak counts from here on, where the system can do that."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")
