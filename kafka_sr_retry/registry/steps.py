"""What a call's walk wants next, and what it is sent for that."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

from kafka_sr_retry.errors import Failure
from kafka_sr_retry.events import AttemptStartEvent

from .access import Access
from .outage import Call
from .policy import Outcome
from .request import RegistryRequest


@dataclass(frozen=True, slots=True)
class Turn:
    """A place among the attempts, before it is decided whether to make one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at ``endpoint`` of at most ``seconds``, and not beyond ``call.deadline``.

    Attributes:
        start: the event of its beginning, with the headers that listeners give it.
        read: what a reply says, for the caller that ``access`` shows.
    """

    call: Call
    endpoint: str
    request: RegistryRequest[Any]
    seconds: float
    access: Access
    start: AttemptStartEvent
    read: Callable[..., Outcome]
    renewable: bool


@dataclass(frozen=True, slots=True)
class Until:
    """Nothing before that time, unless waiting calls are stirred."""

    at: float


def follows_a_round(step: object) -> bool:
    """Whether all endpoints that could be asked have been, in vain."""
    return isinstance(step, Until) or (isinstance(step, Attempt) and step.call.rounds > 0)


@dataclass(frozen=True, slots=True)
class Need:
    """Access, another than was ``denied``: a call of its own; ``waits``: whether for its end."""

    denied: Access | None
    waits: bool


class Done(NamedTuple):
    """How an attempt went; ``outcome`` is ``None`` where no time was left to make it."""

    outcome: Outcome | None
    url: str
    began: float
    ended: float
    seconds: float


Step = Turn | Attempt | Until | Need
Steps = Generator[Step, Any, "Answered | Failure"]
"""Sent is (now, value): a ``Done`` for an ``Attempt``, ``Access`` or a ``Failure`` for a ``Need``, else nothing."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The call's result."""

    value: Any
