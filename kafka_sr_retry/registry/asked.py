"""A question that memory could not answer, and what is remembered once it is answered."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Generic, TypeVar

from kafka_sr_retry.errors import ConfigurationError, Failure
from kafka_sr_retry.schema import Schema

from . import inline
from .attempts import Question
from .clock import Clock
from .driver import Driver
from .request import RegistryRequest

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Remembered(Generic[_T]):
    """An answer or a refusal that is remembered: since when, and until when it needs no question."""

    value: _T
    at: float
    due: float


@dataclass(frozen=True, slots=True, eq=False)
class Asked(Generic[_T]):
    """A question that memory could not answer.

    Attributes:
        driver: moves its call on.
        began, until: when its caller came, and leaves, in seconds of the clock.
    """

    question: Question
    driver: Driver
    clock: Clock
    began: float
    until: float

    def inline(self) -> Any:
        """Asks on this thread, where no other can be started; gives what the driver would."""
        return inline.ask(self.question, self.until, self.clock)

    def told(self, result: Any) -> _T:
        """What its caller gets, or has raised."""
        if isinstance(result, Failure):
            failure = replace(result, seconds=self.clock.now() - self.began)
            self.clock.refused(failure.retry_after)
            raise failure.exception()
        answer: _T = result.value
        return answer


def checked_timeout(timeout: float) -> float:
    with suppress(OverflowError):
        if isinstance(timeout, (float, Real)) and not isinstance(timeout, bool) and not math.isnan(timeout):
            return timeout
    raise ConfigurationError(f"timeout must be a number of seconds, not {timeout!r}", "timeout")


def weight_of(request: RegistryRequest[Any], known: Remembered[Any]) -> int:
    """In characters, of what can be long."""
    value, held = known.value, len(request.body or b"")
    schema = getattr(value, "schema", None)
    if type(schema) is not Schema:  # Confluent's may come back too
        return held + len(repr(value))
    more = (value.subject, schema.references, schema.metadata, schema.rule_set)
    return held + len(schema.schema_str) + len(repr(more))


def about(request: RegistryRequest[Any]) -> dict[str, Any]:
    """What an event tells that is of no call."""
    return {"call": 0, "operation": request.operation, "asked": request.asked}
