"""Who waits for the end of an outage, in the order in which they began to."""

from __future__ import annotations

from collections.abc import Callable

from .outage import Call


class Line:
    """Calls, each with the names that it waits for.

    Args:
        goes_before: (call, name) -> whether it comes before those that have waited longer.
    """

    def __init__(self, goes_before: Callable[[Call, str], bool]) -> None:
        self._goes_before = goes_before
        self._waiting: dict[Call, tuple[str, ...]] = {}
        self._firsts: dict[str, Call | None] = {}  # until something changes: all who wait ask for them

    def first(self, call: Call, name: str) -> Call:
        """Of those in line for a name and the call."""
        if name not in self._firsts:
            line = [one for one, names in self._waiting.items() if name in names]
            self._firsts[name] = next((one for one in line if self._goes_before(one, name)), line[0] if line else None)
        first = self._firsts[name]
        if first is None or (self._goes_before(call, name) and not self._goes_before(first, name)):
            return call
        return first

    def join(self, call: Call, names: tuple[str, ...]) -> None:
        if self._waiting.get(call) != names:
            self._waiting[call] = names
            self._firsts.clear()

    def leave(self, call: Call) -> bool:
        """Whether it was in it."""
        self._firsts.clear()
        return self._waiting.pop(call, None) is not None

    def look_again(self) -> None:
        """Who goes before others may have changed."""
        self._firsts.clear()
