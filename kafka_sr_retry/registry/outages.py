"""Whom a call asks next, and when; and whose failure it was.

A failure is evidence against the question that was asked, against the endpoint that was asked, or against the cluster's
writes (50003, 50004: no leader); ``policy.Blame`` says which. What failed is in an outage: one frozen value, whose
``not_before`` is backoff, breaker, ``Retry-After`` and the spacing of probes in one.

* A refused connection is the endpoint's failure at once.
* A 500, a hang or a broken answer is the **question's** failure at that endpoint, as one subject may be bad for ever
  where all others are well. Once failures without a success between them came from two questions, it is the endpoint's.
* A question that failed, saw others succeed, and failed again, has only itself to blame from then on.

Times are seconds of the caller's clock, which this module never reads; it has no thread, no lock and no wait.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

from .holds import Holds
from .line import Line
from .outage import (
    FORGOTTEN_AFTER,
    HEALTHY,
    WRITES,
    Ask,
    Call,
    Change,
    Endpoint,
    EndpointState,
    Outage,
    Stop,
    Trouble,
    Wait,
    joined,
)
from .policy import LEADER_WAIT, SHORT_WAIT, Action, Blame, wait_after

QUESTIONS = 10_000
"""How many questions are remembered as failing, and how many as unknown to a cluster without a leader."""

FRESH_WAIT = 0.25
"""Seconds for each question that has failed, or as long as the last attempt took if that is more, between the first
attempts of questions at an endpoint that is down only because others failed there."""


class Outages:
    """The URLs of one registry cluster, what has failed there, and the calls that wait for it.

    Args:
        urls: of one cluster, tried in this order from ``first`` on; the one that answered last comes first.
        random: gives a number in [0, 1).
        base, cap: ``retries.wait.ms`` and ``retries.max.wait.ms`` in seconds.
        max_retries: rounds after a call's first, ``None`` for as many as its deadline allows.

    Attributes:
        stirred: changes when waiting calls should plan anew before their time.
        holds: which endpoints hold what is written.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        *,
        random: Callable[[], float],
        base: float,
        cap: float,
        max_retries: int | None = None,
        first: int = 0,
    ) -> None:
        self._given: dict[str, Any] = {"random": random, "base": base, "cap": cap, "max_retries": max_retries}
        self.urls = urls
        self.stirred = 0
        self.holds = Holds(urls)
        self._wait: Callable[..., float] = lambda failures, age, longest=SHORT_WAIT: wait_after(
            failures, age, random(), base=base, cap=cap, longest=longest
        )
        self._for_leader: Callable[[int, float], float] = lambda failures, age: self._wait(failures, age, LEADER_WAIT)
        self._max_retries = max_retries
        self._first = first
        self._endpoints = {url: Endpoint() for url in urls}
        self._writes = HEALTHY
        self._troubles: dict[Hashable, dict[str, Trouble]] = {}
        self._leaderless: set[Hashable] = set()
        self._line = Line(self._never_failed)
        self._closed = False

    def anew(self) -> Outages:
        """Others for the same URLs, which know of no failure."""
        return Outages(self.urls, **self._given, first=self._first)

    def outage(self, name: str) -> Outage:
        """Of an endpoint's URL, or of ``WRITES``."""
        return self._writes if name == WRITES else self._endpoints[name].outage

    def trouble(self, question: Hashable, url: str) -> Outage:
        """Of a question at an endpoint."""
        found = self._troubles.get(question, {}).get(url)
        return found.outage if found else HEALTHY

    def states(self, now: float) -> tuple[EndpointState, ...]:
        """Of all endpoints and of the cluster's writes."""
        troubles: dict[str, list[Outage]] = {url: [] for url in self.urls}
        for places in tuple(self._troubles.values()):
            for url, trouble in tuple(places.items()):
                if not trouble.own and not trouble.outage.over(now):
                    troubles[url].append(trouble.outage)
        found = []
        for url, state in self._endpoints.items():
            outages = [state.outage, *troubles[url]]
            over = all(outage.over(now) for outage in outages) and now - state.words[1] > FORGOTTEN_AFTER
            is_open = any(outage.open and not outage.over(now) for outage in outages)
            found.append(EndpointState(url, state.up or over, is_open))
        over = self._writes.over(now)
        return (*found, EndpointState(WRITES, over, self._writes.open and not over))

    def plan(self, call: Call, now: float) -> Ask | Wait | Stop:
        """What the call does now. After an ``Ask`` comes ``report``, or ``leave``."""
        step = self.look(call, now)
        if isinstance(step, Ask):
            was_open = self._line.leave(call) and self.outage(step.endpoint).open
            self._stir(was_open and len(self.urls) > 1)  # it may have been the first in line for another endpoint too
            self._take(call, step.endpoint, now)
        elif isinstance(step, Stop) and step.late and call.had_time:
            self._spend(call, now)
        return step

    def report(
        self,
        call: Call,
        endpoint: str,
        action: Action,
        now: float,
        *,
        began: float,
        blame: Blame,
        rest: float | None = None,
        answered: bool = True,
        silent: bool = False,
        hung: bool = False,
        words: str = "",
    ) -> list[Change]:
        """Takes in what an attempt that ``began`` then brought.

        Args:
            blame: against whom it counts.
            rest: seconds the server asked to be left alone.
            answered: whether a registry wrote the answer.
            silent: whether no answer came in time; ``hung``: though it was waited for long enough.
            words: the answer or failure, for people.
        """
        self._line.look_again()
        state = self._endpoints[endpoint]
        state.words = words, now
        self._stir(self.holds.heard(endpoint, now, silent=silent))
        if state.fresh is call:
            state.fresh = None
            self._stir()
        call.again = endpoint if action is Action.AGAIN else None
        if action is Action.AGAIN:
            return []
        call.asked.add(endpoint)
        if action in (Action.SKIP, Action.ELSEWHERE):
            call.skipped.add(endpoint)
        if action is Action.ELSEWHERE:
            call.turned_away = True
            if blame is Blame.ALONE:
                return self._failed(call, endpoint, blame, now, began, None)
            if not answered:
                self._release_probe(call, state)
                return []
            call.refused.add(endpoint)
            return self._recovered(call, endpoint, now)
        if action is Action.NO_LEADER and not call.registers:
            action, blame = Action.NEXT, Blame.QUESTION  # a read needs no leader: a node that says so is not well
        if action in (Action.NEXT, Action.REST, Action.SKIP):
            found = self._failed(call, endpoint, blame, now, began, rest)
            if call.registers and blame is not Blame.ALONE:
                own = blame is Blame.QUESTION and self._troubles[call.question][endpoint].own
                self._stir(self.holds.failed(endpoint, now, began, hung=hung, is_open=state.outage.open, own=own))
            return found
        changes = self._recovered(call, endpoint, now)
        if action is Action.NO_LEADER:
            call.no_leader = True
            call.failed.add(WRITES)
            if len(self._leaderless) < QUESTIONS:
                self._leaderless.add(call.question)
            before, self._writes = self._writes, self._writes.failed(now, self._for_leader, call=call, began=began)
            self._stir(before.prober is call)
            if self._writes.open and not before.open:
                changes.append(Change.of(WRITES, self._writes, now))
            return changes
        self._first = self.urls.index(endpoint)
        self._troubles.pop(call.question, None)
        # a known schema is answered without a leader too: only one that was unknown tells of a new leader
        if action is Action.ACCEPT and self._held(call):
            self._leaderless.clear()
            if self._writes.open:
                changes.append(Change.of(WRITES, self._writes, now, ended=True))
            self._writes = HEALTHY
            self._stir()
        return changes

    def leave(self, call: Call) -> None:
        """The call is over, however it ended."""
        self._stir(self._line.leave(call))  # it may have been the first in line
        for state in self._endpoints.values():
            if state.fresh is call:
                state.fresh = None
                self._stir()
            self._release_probe(call, state)
        self._release_writes(call)

    def heard(self, now: float) -> tuple[tuple[str, str], ...]:
        """The last words of the endpoints whose last attempt failed, as (url, text)."""
        failing = [(url, *state.words) for url, state in self._endpoints.items() if not state.up and state.words[0]]
        return tuple((url, f"{words} ({now - at:.1f} s ago)") for url, words, at in failing)

    def due(self, call: Call) -> float:
        """When an endpoint may be asked for the call again."""
        if self._held(call):
            return self._writes.not_before
        return min(
            max(state.outage.not_before, self.trouble(call.question, url).not_before, self._quiet_until(call, url))
            for url, state in self._endpoints.items()
        )

    def close(self) -> None:
        """Ends every call at its next ``plan``."""
        self._closed = True
        self._stir()

    # -- plans --------------------------------------------------------------------------------

    def look(self, call: Call, now: float) -> Ask | Wait | Stop:
        """What the call would do now."""
        if self._closed:
            return Stop("the client was closed")
        held = self._held(call) and not self._ready(call, WRITES, now)
        urls = self._candidates(call)
        gates = [tuple(self._gates(call, name, now)) for name in ((WRITES,) if held else urls)]
        due = [max((g.not_before for g in gate), default=now) for gate in gates if all(g.prober is None for g in gate)]
        retry_after = max(0.0, min(due) - now) if due else SHORT_WAIT
        if len(call.refused) > 1:
            return Stop("two endpoints have refused")
        if now >= call.deadline:
            return Stop("total.timeout.ms is over", retry_after, late=True)
        if call.again is not None:
            return Ask(call.again)
        if call.asked:
            for url in urls:
                admitted = self.outage(url).admits(now) or self._is_fresh(call, url, now)
                if admitted and self._own(call, url).admits(now) and now >= self._quiet_until(call, url):
                    return Ask(url)
            if call.turned_away:
                return Stop("no other endpoint serves")
            self._release_writes(call)
            call.asked.clear()
            call.rounds += 1
            return self.look(call, now)
        if len(call.skipped) == len(self.urls):
            return Stop("no endpoint is of use")
        if self._max_retries is not None and call.rounds > self._max_retries:
            return Stop("max.retries is used up", retry_after)
        if call.rounds and all(self._lasts(call, name) for name in ((WRITES,) if held else urls)):
            return Stop("the outage goes on", retry_after)
        for url in () if held else urls:
            if self._ready(call, url, now):
                return Ask(url)
        if all(any(g.spent is not None and call.began >= g.spent for g in gate) for gate in gates):
            return Stop("the outage goes on", retry_after)
        if len(due) == len(gates) and min(due) >= call.deadline:
            return Stop("the next attempt would come after total.timeout.ms", retry_after, late=True)
        self._line.join(call, (WRITES,) if held else tuple(urls))
        times = [at for at in due if at > now]
        if not held:
            times += [at for url in urls if (at := self._fresh_at(call, url)) > now]
        return Wait(min(times)) if times else Wait(call.deadline, for_others=True)

    def _candidates(self, call: Call) -> list[str]:
        """The endpoints that this round has not asked, the one that answered last first."""
        order = self.urls[self._first :] + self.urls[: self._first]
        return [url for url in order if url not in call.asked and url not in call.skipped]

    def _held(self, call: Call) -> bool:
        """Whether the call waits for a leader. A question's first attempt never does: its schema may be known."""
        return call.registers and (call.no_leader or call.question in self._leaderless)

    def _gates(self, call: Call, name: str, now: float) -> Iterator[Outage]:
        """The outages that a round of the call there has to wait for."""
        outage = self.outage(name)
        quiet = self._quiet_until(call, name)
        if now < quiet:
            yield replace(outage, not_before=max(outage.not_before, quiet), prober=None)
        elif outage.failures and not self._passes(call, name, outage, now):
            yield outage
        own = self._own(call, name)
        if own.failures and not _begins(call, own, now):
            yield own

    def _quiet_until(self, call: Call, name: str) -> float:
        """When an endpoint that hung may be written to again: at once where no other can be reached, and so lead."""
        if name == WRITES or not call.registers:
            return 0.0
        others = (url for url in self.urls if url != name)
        may_lead = any(self._endpoints[url].up or self.holds.is_silent(url) for url in others)
        return self.holds.until(name, failed=not self._never_failed(call, name)) if may_lead else 0.0

    def _own(self, call: Call, name: str) -> Outage:
        """What the call's question has to wait for by its own failures there."""
        trouble = self._troubles.get(call.question, {}).get(name)
        if trouble is None or (not trouble.own and trouble.successes != self._endpoints[name].successes):
            return HEALTHY
        return trouble.outage

    def _lasts(self, call: Call, name: str) -> bool:
        """Whether an outage there was known to last when the call began: it asks in one round alone."""
        found = (self.outage(name).spent, self._own(call, name).spent)
        return any(spent is not None and call.began >= spent for spent in found)

    def _ready(self, call: Call, name: str, now: float) -> bool:
        """Whether a round may begin there."""
        return next(self._gates(call, name, now), None) is None

    def _passes(self, call: Call, name: str, outage: Outage, now: float) -> bool:
        """A first round passes an outage that is not known to last. Probes of one that is go round: to a question that
        has never failed there, else to the call that has waited longest."""
        if not outage.open:
            return now >= outage.not_before or (call.rounds == 0 and name != WRITES)
        if self._is_fresh(call, name, now):
            return True
        return outage.admits(now) and self._line.first(call, name) is call

    def _never_failed(self, call: Call, name: str) -> bool:
        return name not in self._troubles.get(call.question, ())

    def _fresh_at(self, call: Call, name: str) -> float:
        """When the question may make its first attempt at an endpoint that is down because others failed there; 0 where
        it may not."""
        state = self._endpoints.get(name)
        if state is None or not state.soft or state.fresh is not None:
            return 0.0
        return max(state.fresh_at, self._quiet_until(call, name)) if self._never_failed(call, name) else 0.0

    def _is_fresh(self, call: Call, name: str, now: float) -> bool:
        return 0.0 < self._fresh_at(call, name) <= now

    # -- what is taken and given back ---------------------------------------------------------

    def _take(self, call: Call, url: str, now: float) -> None:
        state = self._endpoints[url]
        if state.outage.open:
            if now >= state.outage.not_before and state.outage.prober is None:
                state.outage = replace(state.outage, prober=call)
            elif state.fresh is None and self._never_failed(call, url):
                state.fresh = call
        if self._held(call) and self._writes.open and self._writes.prober is None:
            self._writes = replace(self._writes, prober=call)

    def _stir(self, may_go: bool = True) -> None:
        self.stirred += may_go

    def _release_probe(self, call: Call, state: Endpoint) -> None:
        if state.outage.prober is call:
            state.outage = replace(state.outage, prober=None)
            self._stir()

    def _release_writes(self, call: Call) -> None:
        if self._writes.prober is call:
            self._writes = replace(self._writes, prober=None)
            self._stir()

    # -- evidence -----------------------------------------------------------------------------

    def _failed(self, call: Call, url: str, blame: Blame, now: float, began: float, rest: float | None) -> list[Change]:
        state = self._endpoints[url]
        state.up = state.up and blame is Blame.ALONE
        self._stir(state.outage.prober is call)
        if blame is Blame.ENDPOINT:
            call.failed.add(url)
            state.outage = state.outage.failed(now, self._wait, call=call, began=began, rest=rest)
            state.soft = False
            return self._opened(state, url, state.outage, now)
        trouble = self._question_failed(state, call, url, now, began)
        if blame is Blame.ALONE or trouble.own:
            self._release_probe(call, state)
            return []
        state.suspects.add(call.question)
        if len(state.suspects) < 2 and not state.outage.failures:
            return self._opened(state, url, trouble.outage, now)
        if not state.outage.failures:
            self._inherit(state, url, now)
        else:
            state.outage = state.outage.failed(now, self._wait, call=call, began=began)
        return self._opened(state, url, state.outage, now)

    def _question_failed(self, state: Endpoint, call: Call, url: str, now: float, began: float) -> Trouble:
        places = self._troubles.pop(call.question, {})
        before = places.get(url)
        if before is None:
            state.fresh_at = now + max(FRESH_WAIT * max(1, len(state.suspects)), now - began)
        outage = before.outage if before else HEALTHY
        own = before is not None and not outage.over(now) and (before.own or before.successes != state.successes)
        places[url] = Trouble(outage.failed(now, self._wait, call=call, began=began), state.successes, own)
        self._troubles[call.question] = places
        if len(self._troubles) > QUESTIONS:
            del self._troubles[next(iter(self._troubles))]
        return places[url]

    def _inherit(self, state: Endpoint, url: str, now: float) -> None:
        """Two questions have failed: all their failures were the endpoint's."""
        places = [self._troubles.get(question, {}) for question in state.suspects]
        state.soft = True
        state.outage = joined([place[url].outage for place in places if url in place], now, self._wait)

    def _opened(self, state: Endpoint, url: str, outage: Outage, now: float) -> list[Change]:
        if state.told or not outage.open:
            return []
        state.told = True
        return [Change.of(url, outage, now)]

    def _recovered(self, call: Call, url: str, now: float) -> list[Change]:
        """Any answer of the endpoint that is no failure."""
        state = self._endpoints[url]
        before = state.outage if state.outage.failures else self.trouble(call.question, url)
        changes = [Change.of(url, before, now, ended=True)] if state.told else []
        self._stir(bool(state.outage.failures or state.suspects))
        state.outage, state.up, state.told = HEALTHY, True, False
        state.suspects.clear()
        if call.registers:
            self.holds.answered(url, now)
        state.successes += 1
        self._troubles.get(call.question, {}).pop(url, None)
        return changes

    def _spend(self, call: Call, now: float) -> None:
        """The call has waited for the end of these outages in vain."""
        if self._held(call):
            self._writes = self._writes.spend(now, self._for_leader)
        places = self._troubles.get(call.question, {})
        for url, state in self._endpoints.items():
            if state.outage.open or url in call.failed or call.question in state.suspects:
                state.outage = state.outage.spend(now, self._wait)
            if url in places:
                places[url] = replace(places[url], outage=places[url].outage.spend(now, self._wait))


def _begins(call: Call, outage: Outage, now: float) -> bool:
    return now >= outage.not_before or (call.rounds == 0 and not outage.open)
