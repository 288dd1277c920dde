"""Clocks that tests give to a client, so that its waits take no time."""

from __future__ import annotations

import queue
import time
from typing import TypeVar

from kafka_sr_retry.registry.clock import Clock

_T = TypeVar("_T")


class ShiftedClock(Clock):
    """The machine's, and what a test adds."""

    def __init__(self) -> None:
        self.shift = 0.0

    def now(self) -> float:
        return time.monotonic() + self.shift

    def wall(self) -> float:
        return time.time() + self.shift

    def later(self, seconds: float) -> None:
        self.shift += seconds


class SkippingClock(ShiftedClock):
    """Waits are over at once where nothing else is under way; so time passes by waits, and as on the machine."""

    def take(self, inbox: queue.SimpleQueue[_T], seconds: float, *, idle: bool) -> _T:
        if idle and inbox.empty():
            self.later(seconds)
            raise queue.Empty
        return super().take(inbox, seconds, idle=idle)


class StandingClock(SkippingClock):
    """Time passes by waits alone."""

    def now(self) -> float:
        return 1000.0 + self.shift


class FastClock(ShiftedClock):
    """Many seconds pass in one."""

    def __init__(self, speed: float = 100) -> None:
        super().__init__()
        self._speed = speed

    def now(self) -> float:
        return time.monotonic() * self._speed + self.shift

    def take(self, inbox: queue.SimpleQueue[_T], seconds: float, *, idle: bool) -> _T:
        return super().take(inbox, seconds / self._speed, idle=idle)
