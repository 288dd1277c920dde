"""What this process holds: threads, Python's and others, and open files and sockets. Linux only."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

SETTLE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Footprint:
    """Names and how often each is there.

    Attributes:
        threads: of the system, by name; Python's own by theirs.
        files: open descriptors, by what they lead to.
    """

    threads: Counter[str]
    files: Counter[str]

    def __str__(self) -> str:
        return f"{self.threads.total()} thread(s), {self.files.total()} open files"

    def beyond(self, other: Footprint) -> list[str]:
        """What is here and not there."""
        return [*(self.threads - other.threads).elements(), *(self.files - other.files).elements()]


def footprint() -> Footprint:
    gc.collect()
    python = {thread.native_id: thread.name for thread in threading.enumerate()}
    tasks = (python.get(int(task)) or _native(task) for task in os.listdir("/proc/self/task"))
    return Footprint(Counter(filter(None, tasks)), Counter(_files()))


def settled(before: Footprint) -> list[str]:
    """What is left beyond ``before``, once that has had its time to go."""
    end = time.monotonic() + SETTLE_SECONDS
    while (left := footprint().beyond(before)) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def _native(task: str) -> str:
    try:
        with open(f"/proc/self/task/{task}/comm") as name:
            return name.read().strip()
    except OSError:
        return ""  # it has ended meanwhile


def _files() -> list[str]:
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            found.append("socket" if target.startswith("socket:") else target.split(":")[0])
    return found
