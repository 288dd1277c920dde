"""A bounded memory whose hits cost what a dict's cost."""

from __future__ import annotations

from contextlib import suppress
from typing import Generic, Protocol, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")

MOST_CHARACTERS = 128 * 1024 * 1024
"""Of what one memory holds, by the weights that it is told: a hostile registry's answers are large, not many."""


class Clears(Protocol):
    """A memory, or what has some."""

    def clear(self) -> None: ...


class Memory(Generic[_K, _V]):
    """Keeps at most ``capacity`` entries; the oldest goes first, so that a hit changes nothing and needs no lock.

    It has none for changes either, as that would have to be renewed in each fork's child: each step is atomic, and
    another thread may be doing the same.

    Args:
        capacity: in entries.
        most: in characters.

    Attributes:
        entries: what is remembered, always the same dict, to be read.
        era: another after each ``clear``.
    """

    __slots__ = ("__weakref__", "_added", "_capacity", "_most", "_weights", "entries", "era", "get")

    def __init__(self, capacity: int, most: int = MOST_CHARACTERS) -> None:
        self.entries: dict[_K, _V] = {}
        self.get = self.entries.get
        self._capacity = capacity
        self._most = most
        self._weights: dict[_K, int] = {}
        self._added = 0
        self.era = 0

    def __len__(self) -> int:
        return len(self.entries)

    def remember(self, key: _K, value: _V, weight: int = 0) -> None:
        """``weight``: characters that ``value`` and ``key`` hold, where they may be many."""
        self.entries[key] = value
        if weight:
            self._weights[key] = weight
            self._added += weight
        while len(self.entries) > self._capacity:
            self._forget_oldest()
        if self._added > self._most // 8:  # counted now and then, as a sum that threads keep together goes astray
            self._added = 0
            self._weights = {key: weight for key, weight in list(self._weights.items()) if key in self.entries}
            total = sum(list(self._weights.values()))
            while self.entries and total > self._most - self._most // 8:
                total -= self._forget_oldest()

    def weight(self, key: _K) -> int:
        """As it was told."""
        return self._weights.get(key, 0)

    def forget(self, key: _K) -> None:
        self.entries.pop(key, None)
        self._weights.pop(key, None)

    def clear(self) -> None:
        self.era += 1
        self.entries.clear()
        self._weights.clear()

    def _forget_oldest(self) -> int:
        """Its weight."""
        with suppress(KeyError, RuntimeError, StopIteration):
            key = next(iter(self.entries))
            del self.entries[key]
            return self._weights.pop(key, 0)
        return 0
