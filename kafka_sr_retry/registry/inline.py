"""Moves one call on, on the caller's own thread: where no thread can be started, as in exit handlers on Python 3.12.

Less than the driver gives, and more than a lost message: a call has outages of its own, shares nothing, and an attempt
is ended by requests' own timeouts, which a server that sends byte after byte can outlast.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kafka_sr_retry.events import Event

from .attempts import Question, attempt
from .call import Walk
from .clock import Clock
from .steps import Attempt, Need, Until, follows_a_round


def ask(question: Question, until: float, clock: Clock) -> Any:
    """What ``question.settle`` makes of the answer, or of the failure that ``until`` has brought."""
    now = clock.now()
    known = question.known(now)
    if known is not None:
        return known
    events: list[Event] = []
    alone = replace(question.world, outages=question.world.outages.anew())
    walk = Walk(question.request, alone, now, events.append, served=question.at_hand is not None)
    walk.last_until(until)
    steps = walk.steps(now)
    value: Any = None
    try:
        step = next(steps)
        while True:
            if follows_a_round(step):
                found = question.at_hand and question.at_hand(walk.so_far(now, clock.now() - now, ""), clock.now())
                if found is not None:
                    _tell(question, events)
                    return found
            match step:
                case Attempt():
                    _tell(question, events)
                    value = attempt(question, step, clock)
                case Until(at=at):
                    clock.sleep(max(0.0, min(at, walk.deadline) - clock.now()))
                case Need() if question.access is not None:
                    value = ask(question.access, walk.deadline, clock) if step.waits else None
            step = steps.send((clock.now(), value))
    except StopIteration as end:
        _tell(question, events)
        return question.settle(end.value, clock.now())


def _tell(question: Question, events: list[Event]) -> None:
    for event in events:
        if question.wants(event):
            question.emit(event)
    events.clear()
