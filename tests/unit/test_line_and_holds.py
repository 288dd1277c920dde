"""Who is first in line for an endpoint, and which endpoints hold what is written: each on its own."""

from __future__ import annotations

import pytest

from kafka_sr_retry.registry.holds import HANGS_AFTER, QUIET, Holds
from kafka_sr_retry.registry.line import Line
from kafka_sr_retry.registry.outage import Call

A, B = "http://a", "http://b"


def call(question: str) -> Call:
    return Call(question, True, 0.0, 30.0)


def goes_before(call: Call, name: str) -> bool:
    return call.question == "new"


def test_who_has_waited_longest_for_a_name_is_first() -> None:
    line = Line(goes_before)
    early, late, elsewhere = call("early"), call("late"), call("elsewhere")
    assert line.first(late, A) is late
    line.join(elsewhere, (B,))
    line.join(early, (A,))
    line.join(late, (A, B))

    assert line.first(late, A) is early
    assert line.first(late, B) is elsewhere
    assert line.leave(early)
    assert not line.leave(early)
    assert line.first(early, A) is late


def test_who_joins_for_another_name_keeps_its_place_and_is_no_more_in_line_for_the_first() -> None:
    line = Line(goes_before)
    early, late = call("early"), call("late")
    line.join(early, (A,))
    line.join(late, (A, B))
    assert line.first(late, A) is early
    line.join(early, (B,))

    assert line.first(early, A) is late
    assert line.first(late, B) is early


def test_who_goes_before_others_is_first_though_it_came_later_or_has_not_joined() -> None:
    line = Line(goes_before)
    early, new = call("early"), call("new")
    line.join(early, (A,))
    assert line.first(early, A) is early
    assert line.first(new, A) is new
    line.join(new, (A,))
    assert line.first(early, A) is new
    assert line.first(call("new"), A) is new


def hang(holds: Holds, *, now: float = 110.0, is_open: bool = False, own: bool = False) -> bool:
    """A registration that began at 100 has waited in vain."""
    holds.heard(A, now, silent=True)
    return holds.failed(A, now, 100.0, hung=True, is_open=is_open, own=own)


@pytest.mark.parametrize(("is_open", "seconds"), [(False, HANGS_AFTER), (True, 0.0)])
def test_where_one_hangs_others_end_after_a_while_or_at_once(is_open: bool, seconds: float) -> None:
    holds = Holds((A, B))

    assert hang(holds, is_open=is_open)
    assert holds.hanging == {A: seconds}


def test_nobody_ends_where_the_question_alone_is_to_blame_or_others_were_answered() -> None:
    holds = Holds((A, B))
    assert not hang(holds, own=True)
    holds.answered(A, 100.0)
    assert not hang(holds)
    assert holds.hanging == {}
    holds.answered(A, 99.9)
    assert hang(holds)


def test_the_quiet_is_as_long_as_the_wait_was_and_has_a_bound() -> None:
    holds = Holds((A, B))
    hang(holds)
    assert holds.until(A, failed=True) == 120.0
    assert holds.until(A, failed=False) == 0.0
    hang(holds, now=200.0, is_open=True)
    assert holds.until(A, failed=False) == 200.0 + QUIET


def test_an_answer_lets_others_go_as_long_as_something_is_quiet() -> None:
    holds = Holds((A, B))
    assert not holds.heard(B, 105.0, silent=False)
    hang(holds)

    assert not holds.heard(B, 115.0, silent=True)
    assert holds.heard(B, 119.9, silent=False)
    assert not holds.heard(B, 120.0, silent=False)
