"""Time, as something that can be given."""

from __future__ import annotations

import queue
import time
from typing import TypeVar

_T = TypeVar("_T")


class Clock:
    """The machine's monotonic clock, in seconds."""

    def now(self) -> float:
        return time.monotonic()

    def take(self, inbox: queue.SimpleQueue[_T], seconds: float, *, idle: bool) -> _T:
        """What comes in within ``seconds``, else ``queue.Empty`` is raised.

        Args:
            idle: whether nothing is under way but time; a clock of a test may let it pass at once.
        """
        return inbox.get(timeout=seconds)
