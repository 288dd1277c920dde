"""A bounded dict whose hits cost what a dict's cost."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Memory(dict[_K, _V]):
    """Keeps at most ``capacity`` entries; the oldest goes first, so that a hit changes nothing and needs no lock.

    A memory is equal to itself alone, and so can stand in a set.
    """

    __slots__ = ("__weakref__", "_capacity")

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def remember(self, key: _K, value: _V) -> None:
        self[key] = value
        while len(self) > self._capacity:
            # another thread may be doing the same; a lock would have to be renewed in each fork's child
            with suppress(KeyError, RuntimeError, StopIteration):
                del self[next(iter(self))]
