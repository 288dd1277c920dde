"""An outage as a value; the call that asks, and what it may be told to do."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

from .policy import OPENS_AFTER

WRITES = "writes"
"""Name of the cluster's writes among the endpoints' URLs."""

FORGOTTEN_AFTER = 60.0
"""Seconds: an outage whose next probe has been due for so long tells nothing about the age of the next failure."""

WHOLE = 0.9
"""Share of ``total.timeout.ms`` that a call must have had to say for all how long an outage is."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Of an endpoint, of a question at an endpoint, or of the cluster's writes; healthy when it has no failures.

    Attributes:
        failures: attempts that failed since the last success.
        waits: how often that moved ``not_before``: many that fail together are one.
        since: when the first of them ended.
        last: when the latest of them ended.
        not_before: no probe earlier than this.
        resting: whether the server asked for that.
        prober: the call that is probing now.
        spent: when a call had used up its whole time in this outage, or ``None``.
    """

    failures: int = 0
    waits: int = 0
    since: float = 0.0
    last: float = 0.0
    not_before: float = 0.0
    resting: bool = False
    prober: Call | None = None
    spent: float | None = None

    @property
    def open(self) -> bool:
        """Whether it is known to last: one call probes, the others wait."""
        return self.failures >= OPENS_AFTER or self.resting or self.spent is not None

    def over(self, now: float) -> bool:
        """Whether it tells nothing any more, as nobody has asked for long."""
        return not self.failures or now - max(self.last, self.not_before) > FORGOTTEN_AFTER

    def admits(self, now: float) -> bool:
        return not self.open or (now >= self.not_before and self.prober is None)

    def failed(
        self,
        now: float,
        wait: Callable[[int, float], float],
        *,
        call: Call,
        began: float,
        rest: float | None = None,
    ) -> Outage:
        """After one more failure of ``call``. An attempt that ``began`` before the latest failure, and was no probe,
        tells nothing new about time: it counts, and leaves the next probe where it is.

        Args:
            wait: (waits, age in seconds) -> seconds until the next probe.
            rest: seconds for which the server asked to be left alone.
        """
        fresh = self.over(now)
        failures = 1 if fresh else self.failures + 1
        since = now if fresh else self.since
        waits, not_before = 0 if fresh else self.waits, self.not_before
        if fresh or self.prober is call or began >= self.last or rest is not None:
            waits += 1
            not_before = now + (rest or 0.0) + wait(waits, now - since)
        return Outage(
            failures=failures,
            waits=waits,
            since=since,
            last=now,
            not_before=max(not_before, self.not_before if self.resting else 0.0),
            resting=rest is not None or (self.resting and now < self.not_before),
            prober=None if self.prober is call else self.prober,
            spent=None if fresh else self.spent,
        )

    def spend(self, now: float, wait: Callable[[int, float], float]) -> Outage:
        """After a call that has waited for its end in vain. How long a rest is that was asked for is known."""
        if self.over(now) or self.spent is not None or (self.resting and now < self.not_before):
            return self
        until = now + wait(max(self.waits, OPENS_AFTER + 1), now - self.since)
        return replace(self, spent=now, not_before=max(self.not_before, until))


HEALTHY = Outage()


def joined(outages: Sequence[Outage], now: float, wait: Callable[[int, float], float]) -> Outage:
    """One of all their failures, the last of which was now."""
    since, waits = min(outage.since for outage in outages), max(outage.waits for outage in outages)
    spent = min((outage.spent for outage in outages if outage.spent is not None), default=None)
    return Outage(
        failures=sum(outage.failures for outage in outages),
        waits=waits,
        since=since,
        last=now,
        not_before=now + wait(waits if spent is None else max(waits, OPENS_AFTER + 1), now - since),
        spent=spent,
    )


@dataclass(frozen=True, slots=True)
class Trouble:
    """A question's failures at one endpoint.

    Attributes:
        successes: of others there, by the time of its last failure: since then the endpoint has been well.
        own: whether the endpoint was well between its failures, so that they are its own.
    """

    outage: Outage
    successes: int
    own: bool


@dataclass(slots=True)
class Endpoint:
    """An endpoint, as its attempts left it.

    Attributes:
        successes: answers that were no failures.
        suspects: questions that have failed since the last of them.
        soft: whether only their failures took it down.
        told: whether a ``Change`` has told of its outage.
        up: whether the last attempt did not fail.
        words: what it answered to the last attempt, if that failed, and when.
        fresh: the call that makes a question's first attempt there although it is down.
        fresh_at: when the next may.
    """

    outage: Outage = HEALTHY
    successes: int = 0
    suspects: set[Hashable] = field(default_factory=set)
    soft: bool = False
    told: bool = False
    up: bool = True
    words: tuple[str, float] = ("", 0.0)
    fresh: Call | None = None
    fresh_at: float = 0.0


@dataclass(eq=False, slots=True)
class Call:
    """One question's walk through the endpoints.

    Attributes:
        question: stands for what is asked, and does not hold it: what has failed is remembered for long.
        registers: whether a new schema needs the cluster's leader.
        began: when.
        deadline: when it ends; a caller who joins can move it.
        whole: seconds that calls have: one that ends in vain after so many tells the others not to wait as long.
        rounds: over the endpoints, that brought nothing.
        asked, skipped: endpoints of this round; those of no use.
        refused: endpoints whose registry has refused.
        turned_away: whether anybody has, so that this round is the last.
        failed: endpoints whose failure was theirs.
    """

    question: Hashable
    registers: bool
    began: float
    deadline: float
    whole: float = 0.0
    rounds: int = 0
    asked: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    again: str | None = None
    no_leader: bool = False
    refused: set[str] = field(default_factory=set)
    turned_away: bool = False

    @property
    def had_time(self) -> bool:
        """Whether it had as much as calls have."""
        return self.deadline - self.began >= WHOLE * self.whole and not self.turned_away


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the request to this endpoint now."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until``, or until ``Outages.stirred`` changes.

    Attributes:
        until: when.
        for_others: whether other calls will bring the change about, and ``until`` is only the deadline.
    """

    until: float
    for_others: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """The call is over.

    Attributes:
        why: in words.
        retry_after: seconds until another makes sense, ``None`` where that is unknown.
        late: whether its time is over, or will be before the next attempt is due.
    """

    why: str
    retry_after: float | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """An outage began to be shared, or ended."""

    endpoint: str
    open: bool
    failures: int
    seconds: float

    @classmethod
    def of(cls, name: str, outage: Outage, now: float, *, ended: bool = False) -> Change:
        return cls(name, not ended, outage.failures, now - outage.since)


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint as its last attempts left it; well again once nobody has asked for a minute after a probe was due.

    Attributes:
        endpoint: the URL, or ``writes`` for the cluster's leader.
        up: whether its last attempt did not fail.
        open: whether calls, or those of one question, wait for one probe.
    """

    endpoint: str
    up: bool
    open: bool
