"""What is asked, and one attempt at it, as a worker makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kafka_sr_retry.errors import Failure
from kafka_sr_retry.events import Event

from .call import World
from .clock import Clock
from .policy import Break
from .request import RegistryRequest, Reply
from .steps import Answered, Attempt, Done

NUMBER_HEADER = "Kafka-Sr-Retry-Attempt"
"""Tells a server the attempt's number in its call, from 1: what is a retry, and what a first request."""


class Exchange(Protocol):
    """An attempt under way.

    Attributes:
        began: in the clock's seconds.
        seconds: its limit.
    """

    began: float
    seconds: float

    def run(self) -> Reply:
        """Makes it, on a worker; raises nothing."""

    def due(self, now: float) -> float:
        """When to look at it next, in ``time.monotonic``'s seconds; not after ``now`` where a limit has passed."""

    def gave_up(self) -> Reply:
        """What stands for its reply once its limit has passed."""

    def end(self) -> None:
        """Shuts its connection down, from any thread."""


class Transport(Protocol):
    """What makes attempts."""

    def begin(
        self,
        request: RegistryRequest[Any],
        endpoint: str,
        headers: Mapping[str, str],
        *,
        request_id: str,
        seconds: float,
    ) -> Exchange: ...

    def forget_connections(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What a caller asks.

    Attributes:
        request: equal for the same question, which is asked once for all its callers.
        world: where its walk goes.
        transport: makes its attempts.
        emit: tells an event, on a worker; raises nothing.
        wants: whether anybody listens to an event.
        known: the result that memory has: another call may have ended since the caller looked.
        settle: remembers a result; gives what the callers get.
        at_hand: gives what serves in an answer's place, where there is something, once the way so far has brought none.
        left: whether who asks it has been closed meanwhile.
        access: the question for a token, where there is one.
        is_token: whether it is that question.
    """

    request: RegistryRequest[Any]
    world: World
    transport: Transport
    emit: Callable[[Event], None]
    wants: Callable[[Event], bool]
    known: Callable[[float], Any]
    settle: Callable[[Answered | Failure, float], Any]
    at_hand: Callable[[Failure, float], Answered | None] | None = None
    left: Callable[[], bool] = lambda: False
    access: Question | None = None
    is_token: bool = False


def attempt(
    question: Question, step: Attempt, clock: Clock, hold: Callable[[Exchange], object] = lambda _: None
) -> Done:
    """Makes the attempt that a call wants.

    Args:
        hold: is given the exchange before it runs.
    """
    began = clock.now()
    seconds = min(step.seconds, step.call.deadline - began)
    if seconds <= 0:
        return Done(None, step.start.url, began, began, 0.0)
    headers = {NUMBER_HEADER: str(step.start.number), **step.start.headers, **step.access.headers}
    transport = question.transport
    exchange = transport.begin(step.request, step.endpoint, headers, request_id=step.start.request_id, seconds=seconds)
    exchange.began = began
    hold(exchange)
    reply = exchange.run()
    outcome = step.read(reply, step.request, renewable=step.renewable, secrets=step.access.secrets)
    reply.done(outcome.understood)
    if outcome.broke is Break.STALE:
        transport.forget_connections()
    return Done(outcome, reply.url, began, clock.now(), seconds)
