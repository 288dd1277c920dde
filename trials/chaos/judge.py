"""Is what came what was sent? Pure: it asks nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

CONFIRMED = "confirmed"
FAILED = "failed"
"""The delivery report has an error: the message may be there all the same."""
REFUSED = "refused"
"""``produce()`` raised: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the producer was told of a message.

    Attributes:
        outcome: ``CONFIRMED``, ``FAILED`` or ``REFUSED``.
        error: of what class or code.
        expected: whether what was done to the wire and the servers explains it.
    """

    outcome: str
    error: str = ""
    expected: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that was given to ``produce()``, and all that was said of it.

    Attributes:
        uid: no two messages have one.
        schema: that it was to be written with.
        record: what was given.
        reports: one, if all is well.
        seconds: how long ``produce()`` took.
        limit: its ``total.timeout.ms``, in seconds.
    """

    uid: str
    schema: Any
    record: Any
    reports: tuple[Report, ...]
    seconds: float
    limit: float

    @property
    def outcomes(self) -> set[str]:
        return {report.outcome for report in self.reports}

    @property
    def late(self) -> float:
        """Seconds beyond its deadline; below 0 where it was in time."""
        return self.seconds - self.limit


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that was read, and what the id in it led to.

    Attributes:
        uid: of the message's key, which the serializer has no part in.
        place: topic, partition and offset.
        schema: the registry's, of the id.
        record: as that schema reads it.
        problem: why there is no schema or record.
    """

    uid: str
    place: str
    schema: Any = None
    record: Any = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be.

    Attributes:
        kind: one word or two.
        uid: of which message, or whose.
        detail: what was seen.
    """

    kind: str
    uid: str
    detail: str


def judge(sent: Iterable[Sent], arrived: Iterable[Arrived], latest: float) -> Iterator[Fault]:
    """All faults of a run; ``latest`` is how many seconds beyond its deadline a call may end."""
    by_uid: dict[str, list[Arrived]] = defaultdict(list)
    for each in arrived:
        by_uid[each.uid].append(each)
    for message in sent:
        yield from _told(message, latest)
        came = by_uid.pop(message.uid, [])
        yield from _counted(message, came)
        for each in came:
            yield from _compared(message, each)
    for uid, strangers in by_uid.items():
        yield Fault("stranger", uid, f"nobody sent it: {_places(strangers)}")


def _told(sent: Sent, latest: float) -> Iterator[Fault]:
    if len(sent.reports) != 1:
        said = ", ".join(report.outcome for report in sent.reports) or "nothing"
        yield Fault("reported twice" if sent.reports else "unreported", sent.uid, f"its producer was told: {said}")
    for report in sent.reports:
        if not report.expected:
            yield Fault("wrong error", sent.uid, f"{report.outcome}: {report.error}")
    if sent.late > latest:
        yield Fault("late", sent.uid, f"produce() took {sent.seconds:.2f} s, its deadline was {sent.limit:.2f} s")


def _counted(sent: Sent, came: list[Arrived]) -> Iterator[Fault]:
    if len(came) > 1:
        yield Fault("doubled", sent.uid, _places(came))
    if not came and CONFIRMED in sent.outcomes:
        yield Fault("lost", sent.uid, "it was confirmed, and is not there")
    if came and sent.outcomes == {REFUSED}:
        yield Fault("sent though refused", sent.uid, _places(came))


def _compared(sent: Sent, came: Arrived) -> Iterator[Fault]:
    if came.problem:
        yield Fault("unreadable", sent.uid, f"{came.place}: {came.problem}")
    elif came.schema != sent.schema:
        yield Fault("wrong schema", sent.uid, f"{came.place}: its id is that of {came.schema}, not of {sent.schema}")
    elif came.record != sent.record:
        yield Fault("altered", sent.uid, f"{came.place}: {came.record}, not {sent.record}")


def _places(came: list[Arrived]) -> str:
    return ", ".join(each.place for each in came)
