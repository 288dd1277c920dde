"""Whom a call asks, and when: the state machine, driven in one thread at times of our own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_sr_retry.registry.holds import HANGS_AFTER, QUIET, Holds
from kafka_sr_retry.registry.outages import FORGOTTEN_AFTER, WRITES, Ask, Call, Change, Outages, Stop, Wait
from kafka_sr_retry.registry.policy import OPENS_AFTER, Action, Blame

A, B, C = "http://a", "http://b", "http://c"


class World:
    """Endpoints, a time of their own, and the calls on their way; each wait is as long as it can be."""

    def __init__(self, *urls: str, random: float = 0.999999, base: float = 0.1, cap: float = 20.0, **more: Any) -> None:
        self.outages = Outages(urls or (A,), random=lambda: random, base=base, cap=cap, **more)
        self.now = 1000.0
        self._began: dict[Call, float] = {}

    def call(self, question: str = "q", *, seconds: float = 30.0, registers: bool = True, whole: float = 30.0) -> Call:
        return Call(question, registers, self.now, self.now + seconds, whole)

    def plan(self, call: Call) -> Ask | Wait | Stop:
        step = self.outages.plan(call, self.now)
        if isinstance(step, Ask):
            self._began[call] = self.now
        return step

    def ask(self, call: Call) -> str:
        step = self.plan(call)
        assert isinstance(step, Ask), step
        return step.endpoint

    def wait(self, call: Call) -> float:
        step = self.plan(call)
        assert isinstance(step, Wait), step
        assert step.until > self.now
        return step.until - self.now

    def stop(self, call: Call) -> Stop:
        step = self.plan(call)
        assert isinstance(step, Stop), step
        self.leave(call)
        return step

    def report(
        self,
        call: Call,
        endpoint: str,
        action: Action,
        rest: float | None = None,
        blame: Blame = Blame.ENDPOINT,
        *,
        hung: bool = False,
    ) -> list[Change]:
        began = self._began[call]
        return self.outages.report(
            call, endpoint, action, self.now, began=began, blame=blame, rest=rest, silent=hung, hung=hung
        )

    def hang(self, call: Call, seconds: float) -> str:
        """An attempt that has no answer in so many."""
        endpoint = self.ask(call)
        self.now += seconds
        self.report(call, endpoint, Action.NEXT, blame=Blame.QUESTION, hung=True)
        return endpoint

    def end(self, call: Call, endpoint: str, action: Action) -> list[Change]:
        """The attempt ends the call."""
        changes = self.report(call, endpoint, action)
        self.leave(call)
        return changes

    def leave(self, call: Call) -> None:
        self.outages.leave(call)

    def try_once(self, call: Call, action: Action, rest: float | None = None, blame: Blame = Blame.ENDPOINT) -> str:
        endpoint = self.ask(call)
        self.report(call, endpoint, action, rest, blame)
        return endpoint

    def open(self, name: str = A) -> None:
        """Opens the outage of ``name``, by calls that have no time to spend."""
        action = Action.NO_LEADER if name == WRITES else Action.NEXT
        for number in range(OPENS_AFTER):
            call = self.call(f"opens {number}", whole=600.0)
            while (asked := self.ask(call)) != name and name != WRITES:
                self.report(call, asked, Action.SKIP)
            self.report(call, asked, action)
            self.leave(call)
            self.now += 0.001
        assert self.outages.outage(name).open

    def until_probe(self, name: str = A) -> None:
        self.now = self.outages.outage(name).not_before


def test_a_round_asks_every_endpoint_once_without_a_wait() -> None:
    world = World(A, B, C)
    call = world.call()

    assert [world.try_once(call, Action.NEXT) for _ in range(3)] == [A, B, C]
    assert world.wait(call) == pytest.approx(0.1, abs=0.001)


def test_the_second_round_begins_after_the_wait() -> None:
    world = World(A, B)
    call = world.call()
    for _ in range(2):
        world.try_once(call, Action.NEXT)
    world.now += world.wait(call)

    assert [world.try_once(call, Action.NEXT) for _ in range(2)] == [A, B]
    assert call.rounds == 1


def test_the_good_endpoint_is_remembered() -> None:
    world = World(A, B)
    first = world.call()
    assert [world.try_once(first, Action.NEXT), world.ask(first)] == [A, B]
    world.end(first, B, Action.ACCEPT)

    assert world.ask(world.call("next")) == B


def test_an_endpoint_that_refuses_a_request_is_a_good_one() -> None:
    world = World(A, B)
    first = world.call()
    world.try_once(first, Action.NEXT)
    world.end(first, world.ask(first), Action.REFUSE)

    assert world.ask(world.call("next")) == B


def test_a_client_may_begin_elsewhere() -> None:
    world = World(A, B, C, first=1)
    call = world.call()

    assert [world.try_once(call, Action.NEXT) for _ in range(3)] == [B, C, A]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_young_outage_holds_no_first_attempt_up(failures: int) -> None:
    world = World()
    for number in range(failures):
        world.try_once(world.call(str(number)), Action.NEXT)

    assert world.ask(world.call("next")) == A


def test_an_outage_opens_after_three_failures_and_says_so() -> None:
    world = World()
    changes: list[Change] = []
    for number in range(4):
        call = world.call(str(number))
        if number == 3:
            world.until_probe()
        changes += world.report(call, world.ask(call), Action.NEXT)

    assert changes == [Change(A, True, 3, 0.0)]
    assert world.wait(world.call("next")) > 0


def test_a_success_between_failures_keeps_an_outage_closed() -> None:
    world = World()
    for action in [Action.NEXT, Action.NEXT, Action.ACCEPT, Action.NEXT, Action.NEXT]:
        call = world.call()
        world.report(call, world.ask(call), action)
        world.leave(call)

    assert not world.outages.outage(A).open


def test_one_call_probes_and_the_others_wait_until_its_success_releases_them() -> None:
    world = World()
    world.open()
    calls = [world.call(str(number)) for number in range(4)]
    for call in calls:
        assert world.wait(call) > 0
    world.until_probe()
    assert world.ask(calls[0]) == A
    for call in calls[1:]:
        assert world.wait(call) > 0

    (change,) = world.end(calls[0], A, Action.ACCEPT)

    assert (change.endpoint, change.open, change.failures) == (A, False, 3)
    assert [world.ask(call) for call in calls[1:]] == [A, A, A]


@pytest.mark.parametrize("name", [A, WRITES])
def test_probes_go_round_the_waiting_calls_in_their_order(name: str) -> None:
    world = World()
    world.open(name)
    action = Action.NO_LEADER if name == WRITES else Action.NEXT
    calls = [world.call(str(number), seconds=1e6) for number in range(3)]
    if name == WRITES:
        for call in calls:
            world.try_once(call, Action.NO_LEADER)  # the first attempt, which always passes
    for call in calls:
        world.wait(call)
    probed = []
    for _ in range(7):
        world.until_probe(name)
        for call in reversed(calls):
            step = world.plan(call)
            if isinstance(step, Ask):
                probed.append(call.question)
                world.report(call, step.endpoint, action)
        for call in calls:
            world.wait(call)

    assert probed == ["0", "1", "2", "0", "1", "2", "0"]


def test_probes_come_no_closer_than_a_second() -> None:
    world = World(random=0.0)
    world.open()
    world.until_probe()
    call = world.call(seconds=1e6)
    waits = []
    for _ in range(5):
        world.try_once(call, Action.NEXT)
        waits.append(world.wait(call))
        world.now += waits[-1]

    assert min(waits) >= 1


def test_a_failure_of_an_attempt_from_before_the_last_one_does_not_move_the_next_probe() -> None:
    world = World()
    late = world.call("late")
    world.ask(late)
    world.now += 1
    world.open()
    due = world.outages.outage(A).not_before
    world.now += 0.05
    world.report(late, A, Action.NEXT)

    assert world.outages.outage(A).not_before == due


def test_an_endpoint_that_asked_for_rest_is_left_alone_so_long() -> None:
    world = World(A, B)
    call = world.call()
    assert world.try_once(call, Action.REST, rest=5) == A
    world.end(call, world.ask(call), Action.ACCEPT)
    for _ in range(2):
        following = world.call()
        assert world.try_once(following, Action.NEXT) == B
        assert 0 < world.wait(following) <= 5
        world.leave(following)

    world.now += 5.2
    following = world.call()
    assert {world.try_once(following, Action.NEXT), world.ask(following)} == {A, B}


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999999])
def test_a_rest_is_not_shorter_than_asked(random: float) -> None:
    world = World(A, B, random=random)
    call = world.call()
    world.try_once(call, Action.REST, rest=7)
    world.try_once(call, Action.REST, rest=3)

    assert 3 <= world.wait(call) <= 3.2
    assert world.outages.outage(A).not_before >= world.now + 7


def test_a_later_failure_does_not_shorten_a_rest() -> None:
    world = World()
    early, late = world.call("early"), world.call("late")
    world.ask(early)
    world.ask(late)
    world.report(early, A, Action.REST, rest=9)
    world.now += 1
    world.report(late, A, Action.NEXT)

    assert world.outages.outage(A).not_before >= 1009


def test_a_rest_beyond_the_deadline_ends_the_call_at_once_with_retry_after() -> None:
    world = World(A, B)
    call = world.call(seconds=30)
    world.try_once(call, Action.REST, rest=60)
    world.try_once(call, Action.REST, rest=90)
    stop = world.stop(call)

    assert stop.retry_after is not None
    assert 60 <= stop.retry_after <= 60.2


def test_a_rest_that_one_call_could_not_wait_for_is_waited_for_by_one_that_can() -> None:
    world = World()
    hasty = world.call("hasty", seconds=30)
    world.try_once(hasty, Action.REST, rest=60)
    world.stop(hasty)

    assert 60 <= world.wait(world.call("patient", seconds=120)) <= 60.2


# -- a cluster without a leader -------------------------------------------------------------------


def test_50003_asks_the_next_node_at_once_and_then_waits() -> None:
    world = World(A, B)
    call = world.call()

    assert [world.try_once(call, Action.NO_LEADER) for _ in range(2)] == [A, B]
    assert world.wait(call) > 0
    assert not world.outages.outage(A).failures
    assert not world.outages.outage(B).failures


def test_a_wait_for_a_leader_is_half_a_second_at_most() -> None:
    world = World()
    call = world.call()

    waits = []
    for _ in range(6):
        world.try_once(call, Action.NO_LEADER)
        waits.append(world.wait(call))
        world.now += waits[-1]
    assert waits[:2] == pytest.approx([0.1, 0.2], rel=0.01)
    assert waits[2:] == pytest.approx([0.5] * 4, rel=0.01)


def test_a_read_that_is_told_of_no_leader_waits_like_after_any_failure() -> None:
    world = World(A, B)
    read = world.call("read", registers=False)

    assert [world.try_once(read, Action.NO_LEADER) for _ in range(2)] == [A, B]
    assert world.wait(read) > 0
    assert not world.outages.outage(WRITES).failures


def test_50003_closes_writes_together_but_no_reads_and_no_first_attempt() -> None:
    world = World(A, B)
    world.open(WRITES)
    waiting = world.call("opens 0")

    assert world.wait(waiting) > 0
    assert world.ask(world.call("a read", registers=False)) == A
    assert world.ask(world.call("never asked before")) == A


def test_a_question_that_was_answered_50003_waits_at_the_gate_next_time() -> None:
    world = World()
    world.open(WRITES)
    first = world.call("new")
    world.try_once(first, Action.NO_LEADER)
    world.leave(first)

    assert world.wait(world.call("new")) > 0


def test_the_answer_for_a_known_schema_does_not_open_the_writes() -> None:
    world = World()
    world.open(WRITES)
    known = world.call("known")
    assert world.end(known, world.ask(known), Action.ACCEPT) == []

    assert world.outages.outage(WRITES).open
    assert world.wait(world.call("opens 0")) > 0


def test_the_answer_for_a_schema_that_was_unknown_opens_the_writes_for_all() -> None:
    world = World()
    world.open(WRITES)
    probe, other = world.call("opens 0"), world.call("opens 1")
    world.wait(probe)
    world.wait(other)
    world.until_probe(WRITES)
    (change,) = world.end(probe, world.ask(probe), Action.ACCEPT)

    assert (change.endpoint, change.open) == (WRITES, False)
    assert world.ask(other) == A
    assert world.ask(world.call("opens 2")) == A


def test_a_node_without_a_leader_is_a_healthy_node() -> None:
    world = World()
    for action in [Action.NEXT, Action.NEXT]:
        world.try_once(world.call(), action)
    world.try_once(world.call("write"), Action.NO_LEADER)

    assert not world.outages.outage(A).failures


# -- a lasting outage -----------------------------------------------------------------------------


def spend(world: World, call: Call) -> None:
    """Lets ``call`` use up its time."""
    while not isinstance(step := world.plan(call), Stop):
        if isinstance(step, Ask):
            world.report(call, step.endpoint, Action.NEXT)
        else:
            world.now = max(world.now, step.until)
    world.leave(call)


@pytest.mark.parametrize("urls", [(A,), (A, B)])
def test_after_a_call_has_spent_its_time_later_ones_fail_at_once_until_the_probe_is_due(urls: tuple[str, ...]) -> None:
    world = World(*urls)
    spend(world, world.call(seconds=30))
    assert world.now > 1025
    stop = world.stop(world.call("later"))
    due = min(world.outages.outage(url).not_before for url in urls)

    assert stop.retry_after == pytest.approx(due - world.now)
    assert stop.retry_after


def test_the_call_that_comes_when_the_probe_is_due_probes_with_one_attempt() -> None:
    world = World()
    spend(world, world.call(seconds=30))
    world.until_probe()
    probe = world.call("probe")
    world.ask(probe)
    meanwhile = world.stop(world.call("meanwhile"))
    world.report(probe, A, Action.NEXT)

    assert meanwhile.retry_after
    assert world.stop(probe).retry_after == pytest.approx(world.outages.outage(A).not_before - world.now)


def test_a_success_ends_a_spent_outage() -> None:
    world = World()
    spend(world, world.call(seconds=30))
    world.until_probe()
    probe = world.call("probe")
    world.end(probe, world.ask(probe), Action.ACCEPT)
    later = world.call("later")
    world.try_once(later, Action.NEXT)

    assert world.wait(later) > 0


def test_calls_that_began_before_the_outage_was_spent_keep_their_time() -> None:
    world = World()
    first, second = world.call("first", seconds=30), world.call("second", seconds=60)
    world.try_once(second, Action.NEXT)
    spend(world, first)

    assert not isinstance(world.plan(second), Stop)


def test_a_call_with_less_than_the_usual_time_spends_nothing_for_others() -> None:
    world = World()
    spend(world, world.call(seconds=3, whole=600.0))

    assert world.wait(world.call("later", seconds=30)) > 0


def test_a_call_that_used_its_retries_up_has_not_spent_its_time() -> None:
    world = World(max_retries=1)
    first = world.call("first", seconds=30)
    world.try_once(first, Action.NEXT)
    world.now += world.wait(first)
    world.try_once(first, Action.NEXT)
    assert "max.retries" in world.stop(first).why
    second = world.call("second", seconds=30)
    world.try_once(second, Action.NEXT)

    assert world.wait(second) > 0


@pytest.mark.parametrize("max_retries", [0, 1, 4])
def test_max_retries_counts_rounds_after_the_first(max_retries: int) -> None:
    world = World(A, B, max_retries=max_retries)
    call = world.call(seconds=1e6)
    asked = []
    while not isinstance(step := world.plan(call), Stop):
        if isinstance(step, Ask):
            asked.append(step.endpoint)
            world.report(call, step.endpoint, Action.NEXT)
        else:
            world.now = step.until

    assert asked == [A, B] * (max_retries + 1)
    assert "max.retries" in step.why


def test_an_endpoint_of_no_use_is_not_asked_again_by_the_same_call() -> None:
    world = World(A, B)
    call = world.call(seconds=1e6)
    asked = []
    for _ in range(4):
        asked.append(world.try_once(call, Action.NEXT if asked else Action.SKIP))
        step = world.plan(call) if len(asked) > 1 else None
        if isinstance(step, Wait):
            world.now = step.until

    assert asked == [A, B, B, B]


def test_a_call_is_over_when_no_endpoint_is_of_use() -> None:
    world = World(A, B)
    call = world.call()
    for _ in range(2):
        world.try_once(call, Action.SKIP)

    assert isinstance(world.plan(call), Stop)
    assert call.skipped == {A, B}


def test_an_outage_that_nobody_looked_at_for_a_minute_is_forgotten() -> None:
    world = World()
    world.open()
    world.now += FORGOTTEN_AFTER + 1
    world.try_once(world.call(), Action.NEXT)

    assert world.outages.outage(A).failures == 1
    assert not world.outages.outage(A).open


def test_an_outage_whose_probes_are_more_than_a_minute_apart_is_not_forgotten() -> None:
    world = World(cap=300)
    call = world.call(seconds=1e6)
    waits = []
    for _ in range(100):
        world.try_once(call, Action.NEXT)
        waits.append(world.wait(call))
        world.now += waits[-1]

    assert world.outages.outage(A).failures == 100
    assert max(waits) == pytest.approx(300, abs=0.01)


def test_a_probe_that_met_a_stale_connection_is_still_the_only_one() -> None:
    world = World()
    world.open()
    probe, other = world.call("probe"), world.call("other")
    world.wait(probe)
    world.wait(other)
    world.until_probe()
    world.ask(probe)
    assert world.report(probe, A, Action.AGAIN) == []

    assert isinstance(world.plan(other), Wait)
    assert world.ask(probe) == A


def test_a_stale_connection_counts_against_nobody() -> None:
    world = World(A, B)
    call = world.call()

    assert [world.try_once(call, Action.AGAIN), world.ask(call)] == [A, A]
    assert not world.outages.outage(A).failures


@pytest.mark.parametrize("name", [A, WRITES])
def test_a_call_that_leaves_gives_its_probe_back(name: str) -> None:
    world = World()
    world.open(name)
    probe, other = world.call("opens 0"), world.call("opens 1")
    world.wait(probe)
    world.wait(other)
    world.until_probe(name)
    endpoint = world.ask(probe)
    assert isinstance(world.plan(other), Wait)
    world.report(probe, endpoint, Action.AGAIN)
    world.leave(probe)

    assert world.ask(other) == A


def test_a_call_that_leaves_the_line_does_not_hold_it_up() -> None:
    world = World()
    world.open()
    first, second = world.call("first"), world.call("second")
    world.wait(first)
    world.wait(second)
    world.leave(first)
    world.until_probe()

    assert world.ask(second) == A


def test_a_probe_from_an_outage_that_is_over_is_none_of_the_next() -> None:
    world = World()
    older = world.call("older")
    world.ask(older)
    world.open()
    world.until_probe()
    slow_probe = world.call("slow probe")
    world.ask(slow_probe)
    world.end(older, A, Action.ACCEPT)
    world.open()
    world.until_probe()
    probe = world.call("probe")
    world.ask(probe)
    world.report(slow_probe, A, Action.NEXT)
    world.leave(slow_probe)
    world.now += 100

    assert isinstance(world.plan(world.call("third")), Wait)


def test_after_the_deadline_nobody_is_asked() -> None:
    world = World(A, B)
    call = world.call(seconds=1)
    world.try_once(call, Action.NEXT)
    world.now += 1

    assert "total.timeout.ms" in world.stop(call).why


def test_a_deadline_that_was_moved_counts() -> None:
    world = World()
    call = world.call(seconds=1)
    world.try_once(call, Action.NEXT)
    call.deadline += 10
    world.now += 2

    assert world.ask(call) == A


def test_close_ends_every_call() -> None:
    world = World()
    call = world.call()
    world.try_once(call, Action.NEXT)
    world.outages.close()

    assert "closed" in world.stop(call).why
    assert "closed" in world.stop(world.call("other")).why


def test_whatever_may_let_others_go_stirs_them() -> None:
    world = World()
    world.open()
    stirred = [world.outages.stirred]
    for action in (Action.NEXT, Action.ACCEPT):
        world.until_probe()
        call = world.call(action.name)
        world.report(call, world.ask(call), action)
        stirred.append(world.outages.stirred)
    world.open()
    world.until_probe()
    prober = world.call("prober")
    world.ask(prober)
    world.leave(prober)
    stirred.append(world.outages.stirred)
    world.outages.close()
    stirred.append(world.outages.stirred)

    assert len(set(stirred)) == len(stirred)


def test_a_probe_of_one_endpoint_lets_the_next_in_line_probe_another() -> None:
    """Both are due, and who looks first is not the first in line."""
    world = World(A, B)
    for name in (A, B):
        world.open(name)
    first, second = world.call("first"), world.call("second")
    for call in (first, second):
        world.wait(call)
    world.now += 2
    assert world.wait(second)
    stirred = world.outages.stirred

    assert world.ask(first) == A
    assert world.outages.stirred != stirred
    assert world.ask(second) == B


def test_who_is_first_in_line_is_found_once_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    real = Outages._never_failed

    def counts(*given: Any) -> bool:
        nonlocal looked
        looked += 1
        return real(*given)

    monkeypatch.setattr(Outages, "_never_failed", counts)
    world = World()
    calls = [world.call(f"fails {n}", seconds=600.0) for n in range(100)]
    for call in calls:
        world.ask(call)
    for call in calls:
        world.report(call, A, Action.NEXT, blame=Blame.QUESTION)
    for call in calls:
        world.outages.look(call, world.now)
    world.until_probe()
    looked = 0
    for call in reversed(calls):
        world.outages.look(call, world.now)

    assert looked < 10 * len(calls)


# -- whose failure it was -------------------------------------------------------------------------


class Subject:
    """Produces a message as soon as the one before has failed; each request of it fails after ``takes`` seconds."""

    def __init__(self, world: World, question: str, blame: Blame, *, takes: float = 0.0, whole: float = 30.0) -> None:
        self.world = world
        self.question, self.blame, self.takes, self.whole = question, blame, takes, whole
        self.asked: list[tuple[str, float]] = []

    def fails_until(self, end: float, others: Callable[[], object] = lambda: None) -> None:
        """``others`` do what they do, once a round."""
        world = self.world
        while world.now < end:
            call = world.call(self.question, seconds=self.whole, whole=self.whole)
            while not isinstance(step := world.plan(call), Stop) and world.now < end:
                if isinstance(step, Ask):
                    self.asked.append((step.endpoint, world.now))
                    world.now += self.takes
                    world.report(call, step.endpoint, Action.NEXT, blame=self.blame)
                    others()
                else:
                    world.now = step.until
            world.leave(call)
            world.now += 0.05

    def gaps(self, endpoint: str, after: float) -> list[float]:
        times = [at for url, at in self.asked if url == endpoint and at >= after]
        return [b - a for a, b in itertools.pairwise(times)]


KINDS = pytest.mark.parametrize("blame", [Blame.QUESTION, Blame.ALONE], ids=lambda blame: blame.name)
WHOLES = pytest.mark.parametrize("whole", [30.0, 2.0])


@KINDS
@WHOLES
def test_one_bad_subject_holds_no_other_up_and_asks_less_and_less(blame: Blame, whole: float) -> None:
    world = World(A, B, random=0.0)
    bad = Subject(world, "bad", blame, takes=0.005, whole=whole)
    numbers = itertools.count()

    def a_good_one_is_new() -> None:
        good = world.call(f"good {next(numbers)}", seconds=whole, whole=whole)
        world.end(good, world.ask(good), Action.ACCEPT)

    for others in (lambda: None, a_good_one_is_new):
        begin = world.now
        bad.fails_until(begin + 400, others)
        for endpoint in (A, B):
            assert min(bad.gaps(endpoint, begin + 63)) >= 2.99
            assert min(bad.gaps(endpoint, begin + 205)) >= 9.99
    a_good_one_is_new()


@WHOLES
def test_two_bad_subjects_hold_no_other_up(whole: float) -> None:
    world = World(A, random=0.0)
    bad = [Subject(world, name, Blame.QUESTION, takes=0.005, whole=whole) for name in ("key", "value")]
    for _ in range(20):
        for one in bad:
            one.fails_until(world.now + 3)
    world.now += 1
    for number in range(3):
        good = world.call(f"good {number}", seconds=whole, whole=whole)
        world.end(good, world.ask(good), Action.ACCEPT)
    begin = world.now
    for _ in range(40):
        for one in bad:
            one.fails_until(world.now + 3)
    assert all(min(one.gaps(A, begin + 60)) >= 2.99 for one in bad)


def waits_in_vain(world: World, question: str, *, takes: float, blame: Blame = Blame.QUESTION) -> float:
    """A call to which nobody answers until its time is over: how long it took."""
    call = world.call(question, seconds=30)
    while not isinstance(step := world.plan(call), Stop):
        if isinstance(step, Ask):
            world.now += min(takes, call.deadline - world.now)
            world.report(call, step.endpoint, Action.NEXT, blame=blame)
        else:
            world.now = step.until
    world.leave(call)
    return world.now - call.began


@pytest.mark.parametrize("takes", [0.001, 10.0, 30.0, 100.0])
def test_once_a_call_has_waited_its_time_the_same_question_fails_at_once_and_the_third_of_others(takes: float) -> None:
    world = World(random=0.5)
    assert waits_in_vain(world, "first", takes=takes) >= 26
    assert waits_in_vain(world, "first", takes=takes) == 0
    assert waits_in_vain(world, "second", takes=takes) == pytest.approx(min(takes, 30))
    assert waits_in_vain(world, "third", takes=takes) == 0
    assert waits_in_vain(world, "first", takes=takes) == 0


def test_first_attempts_at_an_endpoint_that_is_down_get_rarer_the_more_questions_fail() -> None:
    world = World(random=1.0)
    began = []
    for number in range(30):
        step = world.plan(call := world.call(f"new {number}", seconds=600))
        while isinstance(step, Wait):
            world.now = step.until
            step = world.plan(call)
        began.append(world.now)
        world.report(call, A, Action.NEXT, blame=Blame.QUESTION)
        world.leave(call)

    assert sum(at < began[0] + 10 for at in began) <= 15


@pytest.mark.parametrize("takes", [0.001, 5.0, 10.0])
@pytest.mark.parametrize("blame", [Blame.QUESTION, Blame.ENDPOINT])
def test_a_probe_of_a_spent_outage_asks_each_node_once(takes: float, blame: Blame) -> None:
    world = World(A, B, random=0.5)
    assert waits_in_vain(world, "first", takes=takes, blame=blame) >= 26
    for _ in range(5):
        probe = world.call("first", seconds=30)
        world.now = max(world.now, world.outages.due(probe))
        assert waits_in_vain(world, "first", takes=takes, blame=blame) <= 2 * takes + 0.001


def test_a_probe_that_is_due_is_made_for_a_question_that_never_failed_first() -> None:
    world = World(random=0.5)
    for question in ("first", "second"):
        waits_in_vain(world, question, takes=10.0)
    old = world.call("first", seconds=60)
    world.until_probe()
    world.now -= 0.001
    world.outages.plan(old, world.now)
    new = world.call("new", seconds=60)
    world.now += 0.001
    assert isinstance(world.plan(new), Ask)
    assert isinstance(world.plan(old), Wait | Stop)


def test_a_success_tells_that_the_endpoint_was_never_down() -> None:
    world = World()
    world.try_once(world.call("bad"), Action.NEXT, blame=Blame.QUESTION)
    world.end(good := world.call("good"), world.ask(good), Action.ACCEPT)
    world.try_once(world.call("worse"), Action.NEXT, blame=Blame.QUESTION)

    assert not world.outages.outage(A).failures


def test_failures_of_two_questions_are_the_endpoints_with_all_that_came_before() -> None:
    world = World()
    for _ in range(2):
        world.try_once(world.call("first"), Action.NEXT, blame=Blame.QUESTION)
    assert not world.outages.outage(A).failures
    world.try_once(world.call("second"), Action.NEXT, blame=Blame.QUESTION)

    assert world.outages.outage(A).failures == 3
    assert world.outages.outage(A).open


# -- any order of events --------------------------------------------------------------------------


class ManyCalls(RuleBasedStateMachine):
    """Calls come, ask, wait and leave in any order; a waiting call looks again only when it is woken."""

    @initialize(
        urls=st.sampled_from([(A,), (A, B), (A, B, C)]),
        max_retries=st.sampled_from([None, None, 3]),
        seed=st.randoms(use_true_random=False),
    )
    def begin(self, urls: tuple[str, ...], max_retries: int | None, seed: Any) -> None:
        self.outages = Outages(urls, random=seed.random, base=0.1, cap=5, max_retries=max_retries)
        self.now = 1000.0
        self.idle: dict[Call, tuple[float, int]] = {}
        self.asking: dict[Call, tuple[str, float]] = {}
        self.probes: dict[Call, tuple[str, float]] = {}
        self.soft: dict[str, bool] = {}

    def woken(self) -> list[Call]:
        return [call for call, (until, seen) in self.idle.items() if self.now >= until or self.outages.stirred > seen]

    def look(self, call: Call) -> Ask | Wait | Stop:
        before = {name: self.outages.outage(name) for name in (*self.outages.urls, WRITES)}
        again = call.again
        step = self.outages.plan(call, self.now)
        if isinstance(step, Ask):
            outage = before[step.endpoint]
            assert self.now < call.deadline, "asked after its deadline"
            assert step.endpoint not in call.skipped, "asked an endpoint of no use"
            assert step.endpoint not in call.asked, "asked twice in a round"
            fresh = not self.outages.trouble(call.question, step.endpoint).failures
            if outage.open and again is None and not (fresh and self.soft.get(step.endpoint)):
                assert self.now >= outage.not_before, "asked before the probe was due"
                mine = (step.endpoint, outage.since)
                assert mine not in self.probes.values(), "two probes at once"
                self.probes[call] = mine
            self.idle.pop(call)
            self.asking[call] = step.endpoint, self.now
        elif isinstance(step, Wait):
            assert step.until > self.now, "a wait that is over"
            self.idle[call] = step.until, self.outages.stirred
        else:
            self.leave(call)
        return step

    def leave(self, call: Call) -> None:
        self.idle.pop(call, None)
        self.probes.pop(call, None)
        self.outages.leave(call)

    def report(self, call: Call, action: Action, rest: float | None = None, blame: Blame = Blame.QUESTION) -> None:
        endpoint, began = self.asking.pop(call)
        if action is not Action.AGAIN:
            self.probes.pop(call, None)
        if action in (Action.NEXT, Action.REST, Action.SKIP):
            self.soft[endpoint] = blame is not Blame.ENDPOINT
        self.outages.report(call, endpoint, action, self.now, began=began, blame=blame, rest=rest)
        if action in (Action.ACCEPT, Action.REFUSE):
            self.leave(call)
        else:
            self.idle[call] = 0.0, 0

    @rule(
        question=st.sampled_from("pqrst"),
        registers=st.booleans(),
        seconds=st.sampled_from([1.0, 20.0, 40.0]),
        whole=st.sampled_from([1.0, 20.0, 600.0]),
    )
    def come(self, question: str, registers: bool, seconds: float, whole: float) -> None:
        if any(call.question == question for call in (*self.idle, *self.asking)):
            return  # it would join that call
        call = Call(question, registers, self.now, self.now + seconds, whole)
        self.idle[call] = 0.0, 0
        self.look(call)

    @rule(data=st.data())
    def wake_one(self, data: st.DataObject) -> None:
        if woken := self.woken():
            self.look(data.draw(st.sampled_from(woken)))

    @rule(
        data=st.data(),
        action=st.sampled_from(Action),
        rest=st.none() | st.floats(0, 10),
        blame=st.sampled_from(Blame),
    )
    @precondition(lambda self: self.asking)
    def an_attempt_ends(self, data: st.DataObject, action: Action, rest: float | None, blame: Blame) -> None:
        call = data.draw(st.sampled_from(list(self.asking)))
        if action is Action.NO_LEADER and not call.registers:
            action = Action.NEXT
        resting = action is Action.REST
        self.report(call, action, rest if resting else None, Blame.ENDPOINT if resting else blame)

    @rule(
        action=st.sampled_from([Action.NEXT, Action.NO_LEADER, Action.REST]),
        blame=st.sampled_from(Blame),
        rounds=st.integers(1, 4),
    )
    def the_registry_fails_for_a_while(self, action: Action, blame: Blame, rounds: int) -> None:
        resting = action is Action.REST
        for _ in range(rounds):
            for call in list(self.asking):
                done = action if call.registers or resting else Action.NEXT
                self.report(call, done, 1.0 if resting else None, Blame.ENDPOINT if resting else blame)
            for call in self.woken():
                if call in self.idle:
                    self.look(call)
            self.time_passes_until_the_next_wake_up()

    @rule(data=st.data())
    @precondition(lambda self: self.idle)
    def one_leaves(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(list(self.idle))))

    @rule(seconds=st.sampled_from([0.001, 0.1, 1.0, 10.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def time_passes_until_the_next_wake_up(self) -> None:
        self.now = max(self.now, min((until for until, _ in self.idle.values()), default=self.now))

    @rule()
    def the_registry_recovers_and_nobody_is_left_behind(self) -> None:
        healthy_since = self.now
        for _ in range(1000):
            for call in list(self.asking):
                self.report(call, Action.ACCEPT)
            for call in self.woken():
                step = self.look(call)
                if isinstance(step, Stop) and "total.timeout" in step.why:
                    assert call.deadline < healthy_since + 16, "slept while everything was healthy"
            if not self.asking and not self.woken():
                if not self.idle:
                    return
                self.now = min(until for until, _ in self.idle.values())
        raise AssertionError("calls that never end")

    @invariant()
    def nothing_is_left_of_calls_that_left(self) -> None:
        if not hasattr(self, "outages") or self.idle or self.asking:
            return
        assert all(self.outages.outage(name).prober is None for name in (*self.outages.urls, WRITES))


ManyCalls.TestCase.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
TestManyCalls = ManyCalls.TestCase


def test_a_wait_for_anothers_probe_tells_no_time() -> None:
    world = World()
    for number in range(3):
        world.try_once(world.call(str(number)), Action.NEXT)
    world.now += 30
    prober, waiting = world.call("prober", seconds=60), world.call("waiting", seconds=60)
    world.ask(prober)
    step = world.plan(waiting)
    assert step == Wait(waiting.deadline, for_others=True)
    world.end(prober, A, Action.NEXT)
    step = world.plan(waiting)
    assert isinstance(step, Wait)
    assert not step.for_others
    assert step.until < waiting.deadline


# -- endpoints that hang ---------------------------------------------------------------------------


def test_an_endpoint_that_hung_is_left_alone_as_long_as_it_was_waited_for() -> None:
    world = World(A, B)
    call = world.call(seconds=60.0)
    assert [world.hang(call, 12.0), world.hang(call, 9.0)] == [A, B]
    assert world.wait(call) == pytest.approx(3.0)
    world.now += 3.0
    assert world.hang(call, 14.0) == A
    assert world.ask(call) == B, "its nine seconds are over"


def test_nobody_asks_an_endpoint_where_two_questions_hung_before_its_quiet_is_over() -> None:
    world = World(A, B)
    calls = [world.call(question) for question in "pqr"]
    for call in calls:
        assert world.ask(call) == A
    world.now += 12.0
    for call in calls:
        world.report(call, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
        assert world.ask(call) == B
    fresh = world.call("fresh", seconds=60.0)
    assert world.ask(fresh) == B
    world.now += 10.0
    world.report(fresh, B, Action.NEXT, blame=Blame.QUESTION, hung=True)
    assert world.wait(fresh) == pytest.approx(2.0)
    world.now += 2.0
    assert world.ask(fresh) == A


def test_a_client_that_stood_still_leaves_no_endpoint_alone_for_as_long() -> None:
    world = World(A, B)
    call = world.call(seconds=4000.0)
    assert [world.hang(call, 3600.0), world.hang(call, 1.0)] == [A, B]
    world.now += world.wait(call)
    assert world.hang(call, QUIET - 2.0) == B
    assert world.ask(call) == A


def test_who_waits_hears_that_there_is_no_leader_to_wait_for() -> None:
    world = World(A, B)
    waits, other = world.call("waits", seconds=60.0), world.call("other")
    assert [world.hang(waits, 12.0), world.hang(waits, 6.0)] == [A, B]
    assert world.wait(waits) == pytest.approx(6.0)
    assert world.ask(other) == A
    stirred = world.outages.stirred
    world.report(other, A, Action.NEXT)
    assert world.outages.stirred != stirred
    assert world.wait(waits) < 1.0


def test_a_leader_that_takes_no_connection_may_lead_again() -> None:
    world = World(A, B)
    call = world.call(seconds=60.0)
    assert world.hang(call, 12.0) == A
    assert world.ask(call) == B
    world.outages.report(call, B, Action.NEXT, world.now, began=world.now, blame=Blame.ENDPOINT, silent=True)
    world.now += world.wait(call)
    assert world.ask(call) == B, "A is left alone"


def test_a_question_with_only_itself_to_blame_ends_no_other() -> None:
    world = World(A, B)
    bad, well = world.call("bad", seconds=600.0), world.call("well")
    assert world.hang(bad, 14.0) == A
    assert world.ask(well) == A
    world.end(well, A, Action.ACCEPT)
    assert world.hang(bad, 1.0) == B
    world.now += 1.0
    world.outages.holds.hanging.clear()
    assert world.hang(bad, 14.0) == A
    assert not world.outages.holds.hanging


def test_only_a_hang_or_an_answer_changes_when_an_endpoint_is_written_to() -> None:
    holds = Holds((A, B))

    def fails(now: float, began: float, *, silent: bool, hung: bool) -> float:
        holds.heard(A, now, silent=silent)
        holds.failed(A, now, began, hung=hung, is_open=False, own=False)
        return holds.until(A, failed=True)

    assert fails(1012.0, 1000.0, silent=True, hung=True) == 1024.0
    assert fails(1013.0, 1012.9, silent=True, hung=False) == 1024.0, "it was cut short"
    assert holds.until(A, failed=False) == 0.0
    assert fails(1014.0, 1013.9, silent=False, hung=False) == 0.0, "it has answered"
    assert fails(1026.0, 1014.0, silent=True, hung=True) == 1038.0
    holds.answered(A, 1027.0)
    assert holds.until(A, failed=True) == 0.0


def test_one_question_that_hangs_keeps_no_other_from_the_endpoint() -> None:
    world = World(A, B)
    bad = world.call("bad")
    assert world.hang(bad, 14.0) == A
    assert world.ask(world.call("other")) == A


def test_an_endpoint_that_hung_is_asked_at_once_where_no_other_can_be_reached() -> None:
    world = World(A, B)
    call = world.call()
    assert world.hang(call, 14.0) == A
    assert world.try_once(call, Action.NEXT) == B
    world.now += world.wait(call)
    assert world.ask(call) == A
    assert world.now < 1000.0 + 15.0
    alone = World(A)
    call = alone.call()
    alone.hang(call, 14.0)
    assert alone.wait(call) < 1.0


def test_what_hangs_for_writers_serves_readers() -> None:
    world = World(A, B)
    for question in "pqr":
        call = world.call(question)
        assert world.ask(call) == A
        world.now += 14.0
        world.report(call, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
        world.leave(call)
    reader = world.call("reader", registers=False)
    assert world.hang(reader, 1.0) == B
    while (asked := world.plan(reader)) != Ask(A):
        assert not isinstance(asked, Stop)
        if isinstance(asked, Ask):
            world.report(reader, asked.endpoint, Action.NEXT, blame=Blame.QUESTION, hung=True)
        else:
            world.now = asked.until
    assert world.now < 1000.0 + 3 * 14.0 + 5.0
    world.end(reader, A, Action.ACCEPT)
    writer = world.call("writer")
    assert world.hang(writer, 1.0) == B
    world.now += world.wait(writer)
    assert world.ask(writer) == B, "that readers are answered tells nothing of a leader"


def test_a_reader_that_hangs_is_no_hold() -> None:
    world = World(A, B)
    for question in "pqr":
        reader = world.call(question, registers=False)
        assert world.ask(reader) == A
        world.now += 14.0
        world.report(reader, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
        world.leave(reader)
    assert not world.outages.holds.hanging
    writer = world.call("writer")
    assert world.hang(writer, 5.0) == B
    assert world.ask(writer) == A


def test_an_answer_ends_the_quiet() -> None:
    world = World(A, B)
    slow, well = world.call("slow", seconds=60.0), world.call("well")
    assert [world.ask(slow), world.ask(well)] == [A, A]
    world.now += 14.0
    world.report(slow, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
    world.end(well, A, Action.ACCEPT)
    assert world.hang(slow, 1.0) == B
    assert world.ask(slow) == A


def test_where_one_hangs_others_that_have_waited_too_are_ended() -> None:
    world = World(A, B)
    first, second = world.call("first"), world.call("second")
    assert world.ask(first) == world.ask(second) == A
    world.now += 14.0
    world.report(first, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
    assert world.outages.holds.hanging == {A: HANGS_AFTER}, "one that has just begun may be well"
    world.report(second, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
    third = world.call("third")
    while world.ask(third) != A:
        world.report(third, B, Action.NEXT)
        world.now += world.wait(third)
    world.now += 14.0
    world.report(third, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
    assert world.outages.holds.hanging == {A: 0.0}, "all of them, once it is known to last"


@pytest.mark.parametrize("urls", [(A,), (A, B)])
def test_none_is_ended_where_something_was_answered_meanwhile_or_there_is_no_other(urls: tuple[str, ...]) -> None:
    world = World(*urls)
    bad, well = world.call("bad"), world.call("well")
    assert world.ask(bad) == A
    world.now += 13.0
    if len(urls) > 1:
        assert world.ask(well) == A
        world.end(well, A, Action.ACCEPT)
    world.now += 1.0
    world.report(bad, A, Action.NEXT, blame=Blame.QUESTION, hung=True)
    assert not world.outages.holds.hanging


@pytest.mark.parametrize("total", [0.8, 1.0, 1.5, 30.0])
@pytest.mark.parametrize("random", [number / 20 for number in range(20)])
def test_a_call_that_ends_before_the_next_attempt_is_due_has_waited_its_time(random: float, total: float) -> None:
    world = World(A, random=random)

    def in_vain() -> float:
        call, began = world.call(seconds=0.95 * total, whole=total), world.now
        while not isinstance(step := world.plan(call), Stop):
            if isinstance(step, Ask):
                world.report(call, A, Action.NEXT, blame=Blame.QUESTION)
            else:
                world.now = step.until
        world.leave(call)
        return world.now - began

    assert in_vain() > 0.0
    assert in_vain() == 0.0
