"""Objects for as long as somebody else holds them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Living(Generic[_T]):
    """A set that keeps nothing alive, and that threads may add to while others walk through it.

    A ``WeakSet`` raises then. This one has no lock, which a fork could leave held in the child: each thing it does to
    its set is atomic.
    """

    def __init__(self) -> None:
        self._references: set[weakref.ref[_T]] = set()
        self._discard = self._references.discard  # one for all

    def add(self, one: _T) -> None:
        self._references.add(weakref.ref(one, self._discard))

    def __iter__(self) -> Iterator[_T]:
        """Those of now."""
        return iter([one for reference in list(self._references) if (one := reference()) is not None])
