"""Which endpoint a call asks next, and when.

An outage is one state, of an endpoint or of the cluster's writes (50003, 50004: no leader). Backoff, breaker,
``Retry-After`` and the spacing of probes are all its ``not_before``. Times are seconds of the caller's clock, which
this module never reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from .policy import OPENS_AFTER, SHORT_WAIT, Action, wait_after

WRITES = "writes"
"""Name of the cluster's writes among the endpoints' URLs."""

FORGOTTEN_AFTER = 60.0
"""Seconds: an outage whose next probe has been due for so long tells nothing about the age of the next failure."""

LEADERLESS_QUESTIONS = 10_000
"""How many questions are remembered as unknown to a cluster without a leader."""


@dataclass(frozen=True, slots=True)
class Outage:
    """State of an endpoint or of the cluster's writes; healthy when it has no failures.

    Attributes:
        failures: attempts that failed since the last success.
        since: when the first of them ended.
        last: when the latest of them ended.
        not_before: no probe earlier than this.
        resting: whether the server asked for that.
        prober: the call that is probing now.
        spent: when a call had used up its whole time in this outage, or ``None``.
    """

    failures: int = 0
    since: float = 0.0
    last: float = 0.0
    not_before: float = 0.0
    resting: bool = False
    prober: Call | None = None
    spent: float | None = None

    @property
    def open(self) -> bool:
        """Whether it is shared: one call probes, the others wait."""
        return self.failures >= OPENS_AFTER or self.resting

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
            wait: (failures, age in seconds) -> seconds until the next probe.
            rest: seconds for which the server asked to be left alone.
        """
        fresh = self.over(now)
        failures = 1 if fresh else self.failures + 1
        since = now if fresh else self.since
        not_before = self.not_before
        if fresh or self.prober is call or began >= self.last or rest is not None:
            not_before = now + (rest or 0.0) + wait(failures, now - since)
        return Outage(
            failures=failures,
            since=since,
            last=now,
            not_before=max(not_before, self.not_before if self.resting else 0.0),
            resting=rest is not None or (self.resting and now < self.not_before),
            prober=None if self.prober is call else self.prober,
            spent=None if fresh else self.spent,
        )


_HEALTHY = Outage()


@dataclass(eq=False, slots=True)
class Call:
    """One question's walk through the endpoints.

    Attributes:
        question: what is asked; equal for the same question.
        registers: whether a new schema needs the cluster's leader.
        began: when.
        until: its deadline; a caller who joins can move it.
        spends: whether it has the whole time that calls have: if that runs out, later calls need not wait as long.
        rounds: over the endpoints, that brought nothing.
        asked, skipped: endpoints of this round; those of no use.
        refused: endpoints whose registry has refused.
        turned_away: whether anybody has, so that this round is the last.
    """

    question: Hashable
    registers: bool
    began: float
    until: Callable[[], float]
    spends: bool = True
    rounds: int = 0
    asked: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    turned_away: bool = False
    again: str | None = None
    no_leader: bool = False
    placed: bool = False

    @property
    def deadline(self) -> float:
        return self.until()


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the request to this endpoint now."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until``, or until something changes.

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
        waited_out: whether the call has waited for the outage's end in vain.
    """

    why: str
    retry_after: float | None = None
    waited_out: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """An outage began to be shared, or ended."""

    endpoint: str
    open: bool
    failures: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint as its last attempts left it; well again once nobody has asked for a minute after a probe was due.

    Attributes:
        endpoint: the URL, or ``writes`` for the cluster's leader.
        up: whether its last attempt did not fail.
        open: whether calls wait for one probe.
    """

    endpoint: str
    up: bool
    open: bool


class Endpoints:
    """The URLs of one registry cluster, their outages, and the calls that wait for them.

    It decides and never waits: hold ``changed`` around each method, and wait on it as ``plan`` says.

    Args:
        urls: of one cluster, tried in this order from ``first`` on; the one that answered last comes first.
        random: gives a number in [0, 1).
        base, cap: ``retries.wait.ms`` and ``retries.max.wait.ms`` in seconds.
        max_retries: rounds after a call's first, ``None`` for as many as its deadline allows.
        max_in_flight: attempts under way at once.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        *,
        random: Callable[[], float],
        base: float,
        cap: float,
        max_retries: int | None = None,
        max_in_flight: int = 64,
        first: int = 0,
    ) -> None:
        self.urls = urls
        self.changed = threading.Condition()
        self._wait = lambda failures, age: wait_after(failures, age, random(), base=base, cap=cap)
        self._max_retries = max_retries
        self._room = max_in_flight
        self._first = first
        self._outages = dict.fromkeys((*urls, WRITES), _HEALTHY)
        self._leaderless: set[Hashable] = set()
        self._line: dict[Call, tuple[str, ...]] = {}
        self._closed = False

    def outage(self, name: str) -> Outage:
        """Of an endpoint's URL, or of ``WRITES``."""
        return self._outages[name]

    def states(self, now: float) -> tuple[EndpointState, ...]:
        """Of all endpoints and of the cluster's writes."""
        seen = [(name, outage, outage.over(now)) for name, outage in self._outages.items()]
        return tuple(EndpointState(name, over, outage.open and not over) for name, outage, over in seen)

    def plan(self, call: Call, now: float) -> Ask | Wait | Stop:
        """What the call does now. ``Ask`` takes a place, which ``report`` gives back."""
        step = self._step(call, now)
        if isinstance(step, Ask):
            if self._room <= 0:
                return Wait(call.deadline, for_others=True)
            self._room -= 1
            call.placed = True
            self._line.pop(call, None)
            self._take_probe(call, step.endpoint)
            if self._held(call):
                self._take_probe(call, WRITES)
        elif isinstance(step, Stop) and step.waited_out and call.spends:
            for name in self._blockers(call, now):
                if self._outages[name].spent is None:
                    self._outages[name] = replace(self._outages[name], spent=now)
        return step

    def report(
        self,
        call: Call,
        endpoint: str,
        action: Action,
        now: float,
        *,
        began: float,
        rest: float | None = None,
        answered: bool = True,
    ) -> list[Change]:
        """Takes in what an attempt that ``began`` then brought.

        Args:
            rest: seconds the server asked to be left alone.
            answered: whether a registry wrote the answer.
        """
        self._give_back(call)
        self.changed.notify_all()
        call.again = endpoint if action is Action.AGAIN else None
        if action is Action.AGAIN:
            return []
        call.asked.add(endpoint)
        if action in (Action.SKIP, Action.ELSEWHERE):
            call.skipped.add(endpoint)
        if action is Action.ELSEWHERE:
            call.turned_away = True
            if not answered:
                self._release_probe(call, endpoint)
                return []
            call.refused.add(endpoint)
            return self._recovered(endpoint, now)
        if action is Action.NO_LEADER and not call.registers:
            action = Action.NEXT  # a read needs no leader: a node that says so is not well
        if action in (Action.NEXT, Action.REST, Action.SKIP):
            return self._failed(call, endpoint, now, began, rest)
        changes = self._recovered(endpoint, now)
        if action is Action.NO_LEADER:
            call.no_leader = True
            if len(self._leaderless) < LEADERLESS_QUESTIONS:
                self._leaderless.add(call.question)
            return changes + self._failed(call, WRITES, now, began, None)
        self._first = self.urls.index(endpoint)
        # a known schema is answered without a leader too: only one that was unknown tells of a new leader
        if action is Action.ACCEPT and self._held(call):
            self._leaderless.clear()
            changes += self._recovered(WRITES, now)
        return changes

    def due(self, call: Call) -> float:
        """When an endpoint may be asked for the call again."""
        names = (WRITES,) if self._held(call) else [url for url in self.urls if url not in call.skipped]
        return min((self._outages[name].not_before for name in names), default=0.0)

    def leave(self, call: Call) -> None:
        """The call is over, however it ended."""
        self._give_back(call)
        self._line.pop(call, None)
        for name in self._outages:
            self._release_probe(call, name)
        self.changed.notify_all()

    def _give_back(self, call: Call) -> None:
        """Its place among the attempts under way."""
        self._room += call.placed
        call.placed = False

    def close(self) -> None:
        """Ends every call at its next ``plan``."""
        self._closed = True
        self.changed.notify_all()

    def _step(self, call: Call, now: float) -> Ask | Wait | Stop:
        if self._closed:
            return Stop("the client was closed")
        blockers = self._blockers(call, now)
        outages = [self._outages[name] for name in blockers]
        due = [outage.not_before for outage in outages if outage.prober is None]
        retry_after = max(0.0, min(due) - now) if due else SHORT_WAIT
        if len(call.refused) > 1:
            return Stop("two endpoints have refused")
        if now >= call.deadline:
            return Stop("total.timeout.ms is over", retry_after, waited_out=not call.turned_away)
        if call.again is not None:
            return Ask(call.again)
        if call.asked:
            for url in self._candidates(call):
                if self._outages[url].admits(now):
                    return Ask(url)
            if call.turned_away:
                return Stop("no other endpoint serves")
            self._release_probe(call, WRITES)
            call.asked.clear()
            call.rounds += 1
            return self._step(call, now)
        if len(call.skipped) == len(self.urls):
            return Stop("no endpoint is of use")
        if self._max_retries is not None and call.rounds > self._max_retries:
            return Stop("max.retries is used up", retry_after)
        for url in () if WRITES in blockers else self._candidates(call):
            if self._ready(call, url, now):
                return Ask(url)
        if all(outage.spent is not None and call.began >= outage.spent for outage in outages):
            return Stop("the outage goes on", retry_after)
        if len(due) == len(outages) and min(due) >= call.deadline:
            waited_out = now - call.began > call.deadline - now
            return Stop("the next attempt would come after total.timeout.ms", retry_after, waited_out)
        self._line[call] = blockers
        times = [at for at in due if at > now]
        return Wait(min(times)) if times else Wait(call.deadline, for_others=True)

    def _candidates(self, call: Call) -> list[str]:
        """The endpoints that this round has not asked, the one that answered last first."""
        order = self.urls[self._first :] + self.urls[: self._first]
        return [url for url in order if url not in call.asked and url not in call.skipped]

    def _blockers(self, call: Call, now: float) -> tuple[str, ...]:
        """Whose outage a round of the call has to wait for, if for any."""
        if self._held(call) and not self._ready(call, WRITES, now):
            return (WRITES,)
        return tuple(self._candidates(call))

    def _held(self, call: Call) -> bool:
        """Whether the call waits for a leader. A question's first attempt never does: its schema may be known."""
        return call.registers and (call.no_leader or call.question in self._leaderless)

    def _ready(self, call: Call, name: str, now: float) -> bool:
        """Whether a round may begin there: a first one passes an outage that is not shared yet; probes of a shared one
        go round, to the call that has waited longest."""
        outage = self._outages[name]
        if not outage.open:
            return now >= outage.not_before or (call.rounds == 0 and name != WRITES)
        return outage.admits(now) and next((c for c, names in self._line.items() if name in names), call) is call

    def _take_probe(self, call: Call, name: str) -> None:
        if self._outages[name].open and self._outages[name].prober is None:
            self._outages[name] = replace(self._outages[name], prober=call)

    def _release_probe(self, call: Call, name: str) -> None:
        if self._outages[name].prober is call:
            self._outages[name] = replace(self._outages[name], prober=None)

    def _failed(self, call: Call, name: str, now: float, began: float, rest: float | None) -> list[Change]:
        before = self._outages[name]
        after = self._outages[name] = before.failed(now, self._wait, call=call, began=began, rest=rest)
        return [] if before.open or not after.open else [Change(name, True, after.failures, now - after.since)]

    def _recovered(self, name: str, now: float) -> list[Change]:
        before = self._outages[name]
        self._outages[name] = _HEALTHY
        return [Change(name, False, before.failures, now - before.since)] if before.open else []
