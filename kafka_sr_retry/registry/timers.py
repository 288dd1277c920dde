"""Times for many things, the earliest first."""

from __future__ import annotations

import heapq
import itertools
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Timers(Generic[_T]):
    """One time for each of many items."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _T]] = []
        self._times: dict[_T, tuple[float, int]] = {}
        self._order = itertools.count()

    def set(self, item: _T, at: float) -> None:
        if item in self._times and self._times[item][0] == at:
            return
        order = next(self._order)
        self._times[item] = at, order
        heapq.heappush(self._heap, (at, order, item))
        self._sweep()

    def cancel(self, item: _T) -> None:
        self._times.pop(item, None)
        self._sweep()

    def _sweep(self) -> None:
        """So that items whose time was set anew, or that have none, take no memory."""
        if len(self._heap) > 64 + 2 * len(self._times):
            self._heap = [(at, order, item) for item, (at, order) in self._times.items()]
            heapq.heapify(self._heap)

    def items(self) -> list[_T]:
        return list(self._times)

    def first(self) -> float | None:
        """The earliest time."""
        while self._heap:
            at, order, item = self._heap[0]
            if self._times.get(item) == (at, order):
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[_T]:
        """The items whose time has come, and that have none any more."""
        found: list[_T] = []
        while (at := self.first()) is not None and at <= now:
            item = heapq.heappop(self._heap)[2]
            del self._times[item]
            found.append(item)
        return found
