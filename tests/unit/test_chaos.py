"""The parts of the chaos trial that ask nobody: what it takes for a fault, and its schedules."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from trials.chaos.judge import CONFIRMED, FAILED, REFUSED, Arrived, Report, Sent, judge
from trials.chaos.schedule import DOWN, KILL, LEAST_CHANGES, PARTS, load, make, save

SCHEMA, OTHER_SCHEMA = {"name": "a"}, {"name": "b"}


def sent(*outcomes: str, uid: str = "1", seconds: float = 0.1, expected: bool = True) -> Sent:
    reports = tuple(Report(outcome, expected=expected) for outcome in outcomes)
    return Sent(uid, SCHEMA, {"uid": uid}, reports, seconds, limit=2)


def arrived(uid: str = "1", **unlike: Any) -> Arrived:
    return Arrived(**{"uid": uid, "place": "topic@0", "schema": SCHEMA, "record": {"uid": uid}, **unlike})


def kinds(message: Sent, *came: Arrived) -> list[str]:
    return [fault.kind for fault in judge([message], came, latest=2)]


@pytest.mark.parametrize(
    ("message", "came"),
    [
        (sent(CONFIRMED), [arrived()]),
        (sent(REFUSED), []),
        (sent(FAILED), []),
        (sent(FAILED), [arrived()]),
        (sent(CONFIRMED, seconds=3.9), [arrived()]),
    ],
    ids=["confirmed", "refused", "failed", "failed, but there", "hardly late"],
)
def test_what_may_be_is_no_fault(message: Sent, came: list[Arrived]) -> None:
    assert kinds(message, *came) == []


@pytest.mark.parametrize(
    ("kind", "message", "came"),
    [
        ("lost", sent(CONFIRMED), []),
        ("doubled", sent(CONFIRMED), [arrived(), arrived()]),
        ("doubled", sent(FAILED), [arrived(), arrived()]),
        ("altered", sent(CONFIRMED), [arrived(record={"uid": "2"})]),
        ("altered", sent(FAILED), [arrived(record={"uid": "2"})]),
        ("wrong schema", sent(CONFIRMED), [arrived(schema=OTHER_SCHEMA)]),
        ("unreadable", sent(CONFIRMED), [arrived(problem="no magic byte")]),
        ("sent though refused", sent(REFUSED), [arrived()]),
        ("unreported", sent(), []),
        ("unreported", sent(), [arrived()]),
        ("reported twice", sent(REFUSED, CONFIRMED), [arrived()]),
        ("wrong error", sent(REFUSED, expected=False), []),
        ("late", sent(REFUSED, seconds=4.1), []),
        ("stranger", sent(REFUSED), [arrived(uid="2")]),
    ],
)
def test_each_fault_is_found_once(kind: str, message: Sent, came: list[Arrived]) -> None:
    assert kinds(message, *came) == [kind]


@pytest.mark.parametrize("seconds", [20, 120, 600])
def test_a_schedule_is_made_from_its_seed_alone_and_ends_in_time(seconds: float) -> None:
    changes = make(1, seconds)
    assert changes == make(1, seconds) != make(2, seconds)
    assert sum(change.action != KILL for change in changes) >= LEAST_CHANGES
    assert {change.part for change in changes if change.action == KILL} == set(PARTS)
    assert all(change.at >= 0 for change in changes)
    assert all(change.at + change.lasts <= seconds for change in changes if change.action != KILL)


def test_no_two_toxics_of_a_stream_overlap() -> None:
    toxics = [change for change in make(1, 120) if change.action not in {DOWN, KILL}]
    for lane in {(change.part, change.stream) for change in toxics}:
        own = [change for change in toxics if (change.part, change.stream) == lane]
        assert all(one.at + one.lasts < after.at for one, after in pairwise(own))


def test_a_saved_schedule_is_read_as_it_was(tmp_path: Path) -> None:
    changes = make(7, 30)
    save(tmp_path / "schedule.jsonl", changes)
    assert load(tmp_path / "schedule.jsonl") == changes
