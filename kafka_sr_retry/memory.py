"""A bounded memory whose hits cost what a dict's cost."""

from __future__ import annotations

from contextlib import suppress
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Memory(Generic[_K, _V]):
    """Keeps at most ``capacity`` entries; the oldest goes first, so that a hit changes nothing and needs no lock.

    Attributes:
        entries: what is remembered, always the same dict, to be read.
    """

    __slots__ = ("__weakref__", "_capacity", "entries", "get")

    def __init__(self, capacity: int) -> None:
        self.entries: dict[_K, _V] = {}
        self.get = self.entries.get
        self._capacity = capacity

    def __len__(self) -> int:
        return len(self.entries)

    def remember(self, key: _K, value: _V) -> None:
        self.entries[key] = value
        while len(self.entries) > self._capacity:
            # another thread may be doing the same; a lock would have to be renewed in each fork's child
            with suppress(KeyError, RuntimeError, StopIteration):
                del self.entries[next(iter(self.entries))]

    def clear(self) -> None:
        self.entries.clear()
