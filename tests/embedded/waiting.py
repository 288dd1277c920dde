"""How a test waits for what another thread or process does: for long, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

DEAF = ("sh", "-c", 'trap "" INT TERM; exec "$@"', "sh")
"""Begins a command line: it is to hear neither Ctrl-C nor SIGTERM, as a script's ``&`` has it for the first."""

LONG = 60.0
"""Seconds: no busy machine needs so many."""


def until(condition: Callable[[], object]) -> None:
    """Fails where ``condition`` never holds."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
