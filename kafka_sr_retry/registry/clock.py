"""Time, as something that can be given."""

from __future__ import annotations

import threading
import time


class Clock:
    """The machine's monotonic clock, in seconds."""

    def now(self) -> float:
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Until ``condition`` is notified, which the caller holds, or ``seconds`` are over."""
        condition.wait(min(seconds, threading.TIMEOUT_MAX))
