"""How a run ended."""

from __future__ import annotations

from dataclasses import dataclass

from .account import Counts


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        resumed_after: number of the last line that a former run had done, ``None`` without ``--resume``.
        ended: ``input`` where all was read, ``signal``, or ``failure``.
        why: of ``failure``.
        signal: its number.
    """

    topic: str
    counts: Counts
    seconds: float
    resumed_after: int | None
    ended: str
    why: str = ""
    signal: int = 0

    @property
    def rate(self) -> int:
        return round(self.counts.delivered / max(self.seconds, 0.001))

    @property
    def exit_code(self) -> int:
        if self.signal:
            return 128 + self.signal
        return 3 if self.ended == "failure" else 1 if self.counts.failed else 0
