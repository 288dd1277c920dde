"""What is shown: progress on a terminal, failed lines, and the sum at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .account import Counts, Failure
from .outcome import Outcome

SHOWN = 20
"""Failed lines on the standard error, where no file takes them."""

_EVERY = 0.2


class Screen:
    """The standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._began = self._next = 0.0
        self._failures = 0

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Shows it where the standard error is a terminal."""
        self._began = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False) as self._live:
            yield
        self._live = None

    def show(self, counts: Counts, waiting: int) -> None:
        now = time.monotonic()
        if self._live is None or now < self._next:
            return
        self._next = now + _EVERY
        rate = counts.delivered / max(now - self._began, 0.001)
        told = f"{counts.read:,} read  {counts.delivered:,} delivered  {counts.failed:,} failed  {rate:,.0f}/s"
        if waiting:
            told += f"  {waiting:,} wait"
        self._live.update(Text(told, no_wrap=True, overflow="ellipsis"), refresh=True)

    def failure(self, number: int, failure: Failure) -> None:
        self._failures += 1
        if self._failures <= SHOWN:
            where = f", field {failure.path}" if failure.path else ""
            self.say(f"line {number}{where}: {failure.why}")
        elif self._failures == SHOWN + 1:
            self.say("more lines failed; --errors FILE takes them all")

    def say(self, text: str) -> None:
        self._console.print(f"kafka-sr-retry produce: {text}", markup=False, soft_wrap=True)


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
