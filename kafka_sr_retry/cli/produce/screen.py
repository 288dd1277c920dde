"""What is shown: progress on a terminal, failed lines, and the sum at the end."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kafka_sr_retry.cli.terminal import write_error

from .account import Counts, Failure
from .outcome import Outcome

_EVERY = 0.2


class Screen:
    """The standard error. What cannot be written there stops nothing.

    Args:
        say: says a line there.
    """

    def __init__(self, say: Callable[[str], bool]) -> None:
        self._say = say
        self._shows = False
        self._line = ""
        self._began = self._next = 0.0

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Shows it where the standard error is a terminal."""
        self._began = time.monotonic()
        self._shows = sys.stderr is not None and sys.stderr.isatty()
        try:
            yield
        finally:
            self._clear()
            self._shows = False

    def show(self, counts: Counts, waiting: int) -> None:
        now = time.monotonic()
        if not self._shows or now < self._next:
            return
        self._next = now + _EVERY
        rate = counts.delivered / max(now - self._began, 0.001)
        told = f"{counts.read:,} read  {counts.delivered:,} delivered  {counts.failed:,} failed  {rate:,.0f}/s"
        if waiting:
            told += f"  {waiting:,} wait"
        self._clear()
        self._line = told[: _columns() - 1]
        write_error(self._line)

    def _clear(self) -> None:
        if self._line:
            write_error(f"\r{' ' * len(self._line)}\r")
            self._line = ""

    def failure(self, number: int, failure: Failure) -> bool:
        """Whether it could be said."""
        where = f", field {failure.path}" if failure.path else ""
        return self.say(f"line {number}{where}: {failure.why}")

    def say(self, text: str) -> bool:
        """Whether it could be said."""
        self._clear()
        return self._say(text)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def summary(outcome: Outcome) -> str:
    counts = outcome.counts
    told = f"{counts.read:,} read, {counts.delivered:,} delivered, {counts.failed:,} failed"
    return f"{told}, in {outcome.seconds:.1f} s ({outcome.rate:,} a second)"


def as_json(outcome: Outcome) -> str:
    counts = outcome.counts
    return json.dumps(
        {
            "topic": outcome.topic,
            "read": counts.read,
            "delivered": counts.delivered,
            "failed": counts.failed,
            "seconds": round(outcome.seconds, 3),
            "rate": outcome.rate,
            "resumed_after": outcome.resumed_after,
            "ended": outcome.ended,
            "why": outcome.why,
        }
    )
