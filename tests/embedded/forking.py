"""Forks that run none of Python's at-fork hooks, as programs make them that embed Python, such as uWSGI."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

TASKS = Path("/proc/self/task")
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
"""Of a program that imports this."""


def fork() -> int:
    """C's, from the main thread, once all others rest.

    One that waits for the interpreter's lock at such a fork breaks that lock in the child, whatever they do: CPython's
    condition variable counts it.
    """
    before: list[tuple[str, ...]] | None = None
    end = time.monotonic() + 60
    while (now := others()) != before or any("R" in each for each in now):
        assert time.monotonic() < end, f"they never rest: {now}"
        before = now
        time.sleep(0.05)  # it lets go of that lock
    return ctypes.PyDLL(None).fork()


def others() -> list[tuple[str, ...]]:
    """Of each other thread its number, its state, and how often it has been off and on."""
    if not TASKS.is_dir():  # no Linux: it has to do without
        time.sleep(0.3)
        return []
    found = []
    for task in sorted(os.listdir(TASKS)):
        if task != str(os.getpid()):
            with suppress(OSError):  # it has ended since
                status = (TASKS / task / "status").read_text()
                found.append((task, *re.findall(r"^(?:State|\w*voluntary_ctxt_switches):\s+(\w+)", status, re.M)))
    return found
