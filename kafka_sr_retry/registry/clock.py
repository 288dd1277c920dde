"""Time, as something that can be given; and the switch that takes the waits out of a test suite."""

from __future__ import annotations

import queue
import time
from typing import TypeVar

__all__ = ["is_testing", "set_testing"]

_T = TypeVar("_T")


class _Switch:
    def __init__(self, testing: bool) -> None:
        self.testing = testing


_switches = [_Switch(False)]
"""What plain calls said last, then a switch for each block that is under way; the last one counts. Threads may leave
their blocks in any order. It needs no lock, which a fork could leave held."""


class set_testing:  # noqa: N801 called like a function; with ``with``, until the end of the block
    """Whether the clients of this process skip their waits, as tests want it; also ``with set_testing(): ...``.

    A wait between attempts is over at once, and counts as if it had taken its time: so deadlines, attempts and errors
    are those of a real outage. So does the wait that an error asks for: the next call after it makes an attempt. An
    attempt takes as long as it takes. While one is under way in a client, others of that client wait as usual.
    Of blocks that overlap, as in several threads, the one that began last counts for all. Processes that are started
    later are not told, save for forks.
    """

    def __init__(self, testing: bool = True) -> None:
        self._is_block = False
        self._switch = _Switch(testing)
        _switches.append(self._switch)

    def __enter__(self) -> None:
        if self._is_block:  # once more
            _switches.append(self._switch)
        self._is_block = True

    def __exit__(self, *exc_info: object) -> None:
        _switches.remove(self._switch)

    def __del__(self, switches: list[_Switch] = _switches) -> None:
        """A plain call has no block to end with: what it said goes to the one that it stands in, or stays."""
        if not self._is_block:
            switches[switches.index(self._switch) - 1].testing = self._switch.testing
            switches.remove(self._switch)


def is_testing() -> bool:
    """Whether `set_testing` is on."""
    return _switches[-1].testing


class Clock:
    """The machine's clocks, in seconds; ``now`` is ahead by the waits that were skipped."""

    _skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self._skipped

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        if is_testing():
            self._skipped += seconds
        else:
            time.sleep(seconds)

    def refused(self, retry_after: float | None) -> None:
        """A caller is told to come back after so many seconds; in tests it has, and a little late, as programs do: by
        then a later probe may be due than was told."""
        if is_testing() and retry_after is not None:
            self._skipped += 2 * retry_after

    def take(self, inbox: queue.SimpleQueue[_T], seconds: float, *, idle: bool) -> _T:
        """What comes in within ``seconds``, else ``queue.Empty`` is raised.

        Args:
            idle: whether nothing is under way but time; then it may pass at once.
        """
        if is_testing() and idle and inbox.empty():
            self._skipped += seconds
            raise queue.Empty
        return inbox.get(timeout=seconds)
