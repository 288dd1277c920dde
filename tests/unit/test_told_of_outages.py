"""What the outages tell of themselves: last words, when the next attempt is due, states; and two of them made one."""

from __future__ import annotations

import pytest
from test_whose_failure import A, B, C, World

from kafka_sr_retry.registry.outage import FORGOTTEN_AFTER, WRITES, EndpointState, Outage, Stop, Wait, joined
from kafka_sr_retry.registry.policy import OPENS_AFTER, SHORT_WAIT, Action, Blame


def told(world: World, endpoint: str, words: str, action: Action = Action.NEXT, question: str = "q") -> None:
    """One attempt there, in words."""
    call = world.call(question)
    world.outages.report(call, endpoint, action, world.now, began=world.now, blame=Blame.QUESTION, words=words)
    world.leave(call)


def states(world: World) -> list[tuple[bool, bool]]:
    """``up`` and ``open`` of A, B and the cluster's writes."""
    found = world.outages.states(world.now)
    assert [state.endpoint for state in found] == [A, B, WRITES]
    return [(state.up, state.open) for state in found]


def test_the_last_words_are_those_of_failures_with_their_age() -> None:
    world = World(A, B, C)
    told(world, A, "500 of old")
    told(world, A, "503 busy")
    told(world, B, "200", Action.ACCEPT)
    world.now += 2.5

    assert world.outages.heard(world.now) == ((A, "503 busy (2.5 s ago)"),)


def test_an_endpoint_that_said_nothing_is_not_quoted() -> None:
    world = World(A, B)
    told(world, A, "")

    assert world.outages.heard(world.now) == ()


def test_an_attempt_is_due_where_the_first_of_all_waits_is_over() -> None:
    world = World(A, B)
    call = world.call()
    world.try_once(call, Action.REST, rest=9)
    world.try_once(call, Action.REST, rest=5)

    assert 5 <= world.outages.due(call) - world.now <= 5.2


def test_an_attempt_is_due_after_the_endpoints_wait_the_questions_and_the_quiet() -> None:
    world = World(A, B)
    rests, fails, hangs = world.call("rests"), world.call("fails"), world.call("hangs")
    world.try_once(rests, Action.REST, rest=9)
    world.try_once(rests, Action.REST, rest=9)
    assert world.outages.due(world.call("another")) == world.outages.outage(A).not_before >= world.now + 9

    world = World()
    world.try_once(fails, Action.NEXT, blame=Blame.ALONE)
    assert world.outages.due(fails) == world.outages.trouble("fails", A).not_before > world.now
    assert world.outages.due(world.call("another")) <= world.now

    world = World(A, B)
    hangs = world.call("hangs", seconds=100)
    world.hang(hangs, 10.0)
    told(world, B, "no answer", Action.REST)
    world.outages.report(
        world.call("rests"), B, Action.REST, world.now, began=world.now, blame=Blame.ENDPOINT, rest=60, silent=True
    )
    assert world.outages.due(hangs) == world.now + 10


def test_the_next_attempt_of_a_call_without_a_leader_is_due_with_the_writes() -> None:
    world = World()
    call = world.call()
    world.try_once(call, Action.NO_LEADER)

    assert world.outages.due(call) == world.outages.outage(WRITES).not_before > world.now


def test_a_state_is_that_of_the_last_attempt_and_of_the_questions_there() -> None:
    world = World(A, B)
    assert states(world) == [(True, False), (True, False), (True, False)]
    told(world, A, "500")
    assert states(world) == [(False, False), (True, False), (True, False)]
    for _ in range(OPENS_AFTER - 1):
        told(world, A, "500")
    assert not world.outages.outage(A).failures
    assert states(world) == [(False, True), (True, False), (True, False)]
    told(world, A, "200", Action.ACCEPT)
    assert states(world) == [(True, False), (True, False), (True, False)]


def test_a_question_with_only_itself_to_blame_makes_no_endpoint_look_down() -> None:
    world = World(A, B)
    for _ in range(OPENS_AFTER):
        told(world, A, "500")
        told(world, A, "200", Action.ACCEPT, question="a good one")

    assert states(world)[0] == (True, False)
    told(world, A, "500")
    world.now += FORGOTTEN_AFTER
    assert states(world)[0] == (False, False)
    world.now += 0.1
    assert states(world)[0] == (True, False)


def test_the_writes_are_open_as_long_as_there_is_no_leader() -> None:
    world = World(A, B)
    told(world, A, "500/50003", Action.NO_LEADER)
    assert states(world)[2] == (False, False)
    world.open(WRITES)
    assert states(world)[2] == (False, True)
    world.until_probe(WRITES)
    world.now += FORGOTTEN_AFTER
    assert states(world)[2] == (False, True)
    world.now += 0.1
    assert states(world) == [(True, False), (True, False), (True, False)]


def test_an_endpoint_is_well_again_once_nobody_has_asked_for_a_minute() -> None:
    world = World(A, B)
    world.open(A)
    assert states(world)[0] == (False, True)
    world.until_probe(A)
    world.now += FORGOTTEN_AFTER
    assert states(world)[0] == (False, True)
    world.now += 0.1
    assert states(world)[0] == (True, False)


def test_a_failure_that_makes_no_outage_is_told_for_a_minute() -> None:
    world = World(A, B)
    call = world.call()
    world.try_once(call, Action.ELSEWHERE, blame=Blame.ALONE)
    told(world, A, "413", Action.SKIP)
    world.now += FORGOTTEN_AFTER
    assert states(world)[0] == (False, False)
    world.now += 1.5
    assert states(world)[0] == (True, False)


def test_outages_made_anew_have_the_same_urls_and_settings_and_know_of_no_failure() -> None:
    world = World(A, B, random=0.5, base=2.0, cap=8.0, max_retries=0)
    first = world.call()
    world.try_once(first, Action.NEXT)
    world.end(first, world.ask(first), Action.ACCEPT)

    world.outages = world.outages.anew()
    call = world.call("next")

    assert [world.try_once(call, Action.NEXT) for _ in range(2)] == [B, A]
    assert world.outages.outage(A).not_before == world.now + 1.0
    assert world.stop(call).why == "max.retries is used up"


def plain(waits: int, age: float) -> float:
    return 100.0 * waits + age


def test_two_outages_make_one_with_all_their_failures_since_the_first() -> None:
    first, second = (
        Outage(failures=2, waits=2, since=10.0, last=20.0),
        Outage(failures=1, waits=1, since=15.0, last=30.0),
    )

    assert joined([first, second], 40.0, plain) == Outage(
        failures=3, waits=2, since=10.0, last=40.0, not_before=40.0 + 200.0 + 30.0
    )


def test_an_outage_made_of_one_that_is_spent_is_spent_since_then_and_its_probes_are_rare() -> None:
    first, second = (
        Outage(failures=1, waits=1, since=10.0, spent=35.0),
        Outage(failures=1, waits=1, since=15.0, spent=32.0),
    )

    whole = joined([first, second, Outage(failures=1, waits=1, since=16.0)], 40.0, plain)

    assert whole.spent == 32.0
    assert whole.not_before == 40.0 + 100.0 * (OPENS_AFTER + 1) + 30.0


def test_a_state_is_a_value() -> None:
    assert World().outages.states(0.0) == (EndpointState(A, True, False), EndpointState(WRITES, True, False))


def test_a_probes_failure_moves_the_next_probe_though_another_failed_meanwhile() -> None:
    probe, other = World().call("probe"), World().call("other")
    outage = Outage(failures=3, waits=3, since=10.0, last=20.0, not_before=15.0, prober=probe)

    assert outage.failed(21.0, plain, call=probe, began=19.0).not_before == 21.0 + 400.0 + 11.0
    assert outage.failed(21.0, plain, call=other, began=19.0).not_before == 15.0
    assert outage.failed(21.0, plain, call=other, began=20.0).not_before == 21.0 + 400.0 + 11.0


def test_a_shorter_wait_counts_but_no_shorter_rest() -> None:
    call = World().call()
    waits, rests = (
        Outage(failures=1, last=1.0, since=1.0, not_before=5000.0, resting=rests) for rests in (False, True)
    )

    assert waits.failed(2.0, plain, call=call, began=2.0).not_before == 2.0 + 100.0 + 1.0
    assert rests.failed(2.0, plain, call=call, began=2.0).not_before == 5000.0


def test_a_rest_is_over_at_its_end() -> None:
    call = World().call()
    rests = Outage(failures=1, last=1.0, since=1.0, not_before=10.0, resting=True)

    assert rests.failed(9.9, plain, call=call, began=9.0).resting
    assert not rests.failed(10.0, plain, call=call, began=9.0).resting
    assert rests.spend(9.9, plain) is rests
    assert rests.spend(10.0, plain).spent == 10.0


def test_an_outage_that_is_over_or_spent_is_not_spent_again() -> None:
    old, spent = Outage(failures=1, last=10.0, not_before=20.0), Outage(failures=1, last=10.0, spent=15.0)

    assert old.spend(20.0 + FORGOTTEN_AFTER, plain).spent == 80.0
    assert old.spend(20.1 + FORGOTTEN_AFTER, plain) is old
    assert spent.spend(20.0, plain) is spent


def test_that_there_is_no_leader_is_told_once_and_its_end_too() -> None:
    world = World(A, B)
    changes = []
    for number in range(OPENS_AFTER + 1):
        call = world.call(str(number))
        changes += world.report(call, world.ask(call), Action.NO_LEADER)
        world.leave(call)
    assert [(change.endpoint, change.open, change.failures) for change in changes] == [(WRITES, True, OPENS_AFTER)]

    world.until_probe(WRITES)
    probe = world.call("0")
    (change,) = world.end(probe, world.ask(probe), Action.ACCEPT)
    assert (change.endpoint, change.open, change.failures) == (WRITES, False, OPENS_AFTER + 1)


def test_a_question_that_was_answered_has_no_troubles_left_anywhere() -> None:
    world = World(A, B)
    call = world.call()
    world.try_once(call, Action.NEXT, blame=Blame.QUESTION)
    assert world.outages.trouble("q", A).failures == 1
    world.end(call, world.ask(call), Action.ACCEPT)

    assert world.outages.trouble("q", A).failures == 0


# -- why a call stops ------------------------------------------------------------------------------


def stop_after(*actions: Action, **settings: int) -> Stop:
    """What a call of two endpoints ends with."""
    world = World(A, B, **settings)
    call = world.call()
    for action in actions:
        world.try_once(call, action)
    return world.stop(call)


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ((Action.ELSEWHERE, Action.ELSEWHERE), "two endpoints have refused"),
        ((Action.ELSEWHERE, Action.NEXT), "no other endpoint serves"),
        ((Action.SKIP, Action.SKIP), "no endpoint is of use"),
    ],
)
def test_a_call_stops_where_nobody_is_left_to_ask(actions: tuple[Action, ...], why: str) -> None:
    assert stop_after(*actions) == Stop(why)


def test_a_call_stops_after_its_rounds_and_tells_when_another_makes_sense() -> None:
    stop = stop_after(Action.NEXT, Action.NEXT, max_retries=0)

    assert (stop.why, stop.late) == ("max.retries is used up", False)
    assert stop.retry_after == pytest.approx(0.1, abs=0.001)


def test_a_call_stops_when_the_client_is_closed() -> None:
    world = World(A)
    call = world.call()
    world.outages.close()

    assert world.stop(call) == Stop("the client was closed")


def test_a_call_stops_when_its_time_is_over() -> None:
    world = World(A)
    call = world.call(seconds=5)
    world.try_once(call, Action.REST, rest=4.0)
    world.now = call.deadline

    assert world.stop(call) == Stop("total.timeout.ms is over", SHORT_WAIT, late=True)


def test_a_call_stops_where_its_time_ends_with_the_wait() -> None:
    world = World(A)
    call = world.call()
    world.try_once(call, Action.REST, rest=4.0)
    due = call.deadline = world.outages.outage(A).not_before
    why = "the next attempt would come after total.timeout.ms"
    assert world.outages.look(call, world.now) == Stop(why, due - world.now, late=True)

    call.deadline = due + 0.001
    assert world.outages.look(call, world.now) == Wait(due)


def test_a_call_stops_where_others_have_waited_in_vain() -> None:
    world = World(A)
    world.open()
    patient = world.call("patient")
    world.wait(patient)
    world.now = patient.deadline
    world.stop(patient)
    due = world.outages.outage(A).not_before
    assert world.stop(world.call("next")) == Stop("the outage goes on", due - world.now)

    world.until_probe()
    probe = world.call("probe")
    world.try_once(probe, Action.NEXT)
    due = world.outages.outage(A).not_before
    assert world.stop(probe) == Stop("the outage goes on", due - world.now)


def test_who_is_not_the_first_in_line_waits_for_the_others_when_a_probe_is_due() -> None:
    world = World(A)
    world.open()
    first, second = world.call("first"), world.call("second")
    for call in (first, second):
        world.wait(call)
    world.until_probe()

    assert world.outages.look(second, world.now) == Wait(second.deadline, for_others=True)


# -- whose turn it is where an endpoint is down only because others failed there -------------------


def fails(world: World, question: str, blame: Blame = Blame.QUESTION) -> None:
    call = world.call(question, whole=600.0)
    world.try_once(call, Action.NEXT, blame=blame)
    world.leave(call)


def down_by_others() -> World:
    """A is down by four questions, and it is time for another's first attempt there, and for no probe."""
    world = World()
    for question in ("one", "two", "three", "four"):
        world.now += 1.5
        fails(world, question)
    world.now += 0.8
    assert world.outages.outage(A).open
    assert world.now < world.outages.outage(A).not_before
    return world


def test_one_first_attempt_is_made_at_a_time() -> None:
    world = down_by_others()
    first, second = world.call("new"), world.call("newer")
    assert world.ask(first) == A
    world.wait(second)
    world.leave(first)
    assert world.ask(second) == A


def test_a_question_that_has_failed_there_waits_for_its_probe() -> None:
    world = down_by_others()
    world.wait(world.call("one"))


def test_a_failure_of_the_endpoint_itself_ends_first_attempts() -> None:
    world = World()
    for question in ("one", "two", "three"):
        world.now += 1.5
        fails(world, question)
    world.now += 1.5
    fails(world, "four", Blame.ENDPOINT)
    world.now += 0.8
    world.wait(world.call("new"))


def test_a_first_attempt_takes_no_probe_over() -> None:
    world = down_by_others()
    world.until_probe()
    probe, first = world.call("one"), world.call("new")
    assert world.ask(probe) == A
    assert world.ask(first) == A
    world.leave(first)
    world.wait(world.call("two"))


# -- whose fault it is ----------------------------------------------------------------------------


def test_a_question_is_at_fault_where_others_were_well_meanwhile_however_often() -> None:
    world = World()
    for _ in range(3):
        world.end(well := world.call("well"), world.ask(well), Action.ACCEPT)
    fails(world, "bad")
    world.end(well := world.call("well"), world.ask(well), Action.ACCEPT)
    fails(world, "bad")
    fails(world, "another")

    assert not world.outages.outage(A).failures, "the first only has itself to blame, and the second is alone"


def test_a_call_without_a_leader_has_no_trouble_of_its_own_left() -> None:
    world = World()
    fails(world, "q")
    world.try_once(world.call("q"), Action.NO_LEADER)

    assert not world.outages.trouble("q", A).failures


def test_who_has_waited_in_vain_spends_an_outage_that_it_is_suspected_of() -> None:
    world = World(random=0.0)
    call = world.call("one")
    world.try_once(call, Action.NEXT, blame=Blame.QUESTION)
    fails(world, "two")
    assert not world.outages.outage(A).open
    world.now = call.deadline
    world.stop(call)

    assert world.outages.outage(A).spent == call.deadline


# -- who is let through ----------------------------------------------------------------------------


def test_a_first_attempt_waits_for_its_time_and_no_longer() -> None:
    world = World()
    for question in ("one", "two", "three", "four"):
        world.now += 1.5
        fails(world, question)
    new = world.call("new")
    wait = world.wait(new)
    assert wait < world.outages.outage(A).not_before - world.now
    world.now += wait
    assert world.ask(new) == A


def test_where_nothing_is_written_for_a_while_nobody_waits_for_a_probe_under_way() -> None:
    world = World(A, B)
    slow = world.call("slow", seconds=100)
    assert world.ask(slow) == A
    world.open(A)
    world.until_probe(A)
    probe = world.call("probe", seconds=100)
    probe.skipped.add(B)
    assert world.ask(probe) == A
    world.report(slow, A, Action.NEXT, hung=True)
    next_one = world.call("next", seconds=100)
    next_one.skipped.add(B)
    assert world.wait(next_one) == world.outages.holds.until(A, failed=True) - world.now


def test_an_attempt_that_is_made_again_keeps_no_first_attempt_from_its_turn() -> None:
    world = World()
    fails(world, "one")
    world.now += 1.0
    again = world.call("one")
    assert world.ask(again) == A
    for question in ("two", "three", "four"):
        world.now += 1.5
        fails(world, question)
    world.report(again, A, Action.AGAIN)
    assert world.ask(again) == A
    assert world.wait(world.call("new")) < world.outages.outage(A).not_before - world.now


def test_a_question_that_needs_no_leader_takes_no_turn_to_look_for_one() -> None:
    world = World()
    world.open(WRITES)
    reads, writes = world.call("reads", registers=False), world.call("opens 0")
    assert world.ask(reads) == A
    world.until_probe(WRITES)
    assert world.ask(writes) == A
