"""What came of each file: values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from kafka_sr_retry.avro.compatibility import Clash

from .plan import Planned

Result = Literal["new subject", "new version", "unchanged", "incompatible", "failed", "not tried"]

RESULTS: tuple[Result, ...] = ("new subject", "new version", "unchanged", "incompatible", "failed", "not tried")
GOOD = ("new subject", "new version", "unchanged")

INTERRUPTED = "interrupted"
"""Why a file was not tried."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a file, or would come.

    Attributes:
        version, schema_id: as far as they are known.
        why: it failed, or was not tried.
        level: of compatibility, where that was asked.
        clashes: where our own rules say the same as the registry, what does not fit.
    """

    planned: Planned
    result: Result
    version: int | None = None
    schema_id: int | None = None
    why: str = ""
    level: str | None = None
    clashes: Sequence[Clash] = field(default=())

    @property
    def is_good(self) -> bool:
        return self.result in GOOD


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all of them.

    Attributes:
        kind: what was done: ``register``, ``dry run`` or ``offline``.
        interrupted: by which signal, 0 where by none.
    """

    outcomes: Sequence[Outcome]
    kind: Literal["register", "dry run", "offline"]
    seconds: float
    interrupted: int = 0

    @property
    def is_good(self) -> bool:
        return not self.interrupted and all(outcome.is_good for outcome in self.outcomes)
