"""Time, as something that can be given; and the switch that takes the waits out of a test suite."""

from __future__ import annotations

import queue
import time
from typing import TypeVar

__all__ = ["is_testing", "set_testing"]

_T = TypeVar("_T")

_testing = False


class set_testing:  # noqa: N801 called like a function; with ``with``, until the end of the block
    """Whether the clients of this process skip their waits, as tests want it; also ``with set_testing(): ...``.

    A wait between attempts is over at once, and counts as if it had taken its time: so deadlines, attempts and errors
    are those of a real outage. So does the wait that an error asks for: the next call after it makes an attempt. An
    attempt takes as long as it takes. While one is under way in a client, others of that client wait as usual.
    Processes that are started later are not told, save for forks.
    """

    def __init__(self, testing: bool = True) -> None:
        global _testing
        self._before, _testing = _testing, testing

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc_info: object) -> None:
        global _testing
        _testing = self._before


def is_testing() -> bool:
    """Whether `set_testing` is on."""
    return _testing


class Clock:
    """The machine's clocks, in seconds; ``now`` is ahead by the waits that were skipped."""

    _skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self._skipped

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        if _testing:
            self._skipped += seconds
        else:
            time.sleep(seconds)

    def refused(self, retry_after: float | None) -> None:
        """A caller is told to come back after so many seconds; in tests it has, and a little late, as programs do: by
        then a later probe may be due than was told."""
        if _testing and retry_after is not None:
            self._skipped += 2 * retry_after

    def take(self, inbox: queue.SimpleQueue[_T], seconds: float, *, idle: bool) -> _T:
        """What comes in within ``seconds``, else ``queue.Empty`` is raised.

        Args:
            idle: whether nothing is under way but time; then it may pass at once.
        """
        if _testing and idle and inbox.empty():
            self._skipped += seconds
            raise queue.Empty
        return inbox.get(timeout=seconds)
