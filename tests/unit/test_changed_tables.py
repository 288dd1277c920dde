"""Each change of a row of ``policy.TABLE`` and ``TOKENS`` is seen by a case of tests/spec/answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from test_spec import ANSWERS, judged, read

from kafka_sr_retry.errors import SchemaRegistryError
from kafka_sr_retry.registry.policy import TABLE, TOKENS, Action, Blame, Outcome, Row

Table = tuple[Row, ...]

SETS = ("broke", "status", "error_code", "says")
FLAGS = ("from_registry", "says_empty", "rests", "renewable", "optional", "registering")
ENDS = (Action.REFUSE, Action.ELSEWHERE, Action.SKIP)

UNSEEN = {
    "body_lost: any status": "only a 422 says so: answers.py",
    "read_only: says without read only": "spelt as a registry might that nobody has seen",
    "read_only: says without readonly": "the same",
    "not_permitted: says without read-write mode": "the next row differs in its advice alone, see test_policy.py",
    "refused after not_a_registry": "what both fit is a row's before them",
    "token_refused: status without 400": "the next row does the same",
    "token_refused after token_refused": "the same",
}
"""Changes that no case sees, and why."""


def changed_rows(row: Row) -> Iterator[tuple[str, Row]]:
    """One condition left out, narrowed or turned round, or one consequence another."""
    for name in SETS:
        given = getattr(row, name)
        yield f"any {name}", replace(row, **{name: ()})
        if len(given) > 1 and name != "broke":
            for each in given if len(given) < 10 else (min(given), max(given)):
                yield f"{name} without {each}", replace(row, **{name: [other for other in given if other != each]})
    for name in FLAGS:
        given = getattr(row, name)
        if given is not None:
            yield f"any {name}", replace(row, **{name: None})
            yield f"{name} is {not given}", replace(row, **{name: not given})
    for action in Action:
        yield f"{action}", replace(row, action=action)
    for blame in Blame:
        yield f"{blame}", replace(row, blame=blame)
    yield "look_up", replace(row, look_up=not row.look_up)
    yield "remembered_for", replace(row, remembered_for=row.remembered_for + 1)
    if row.action in ENDS:
        yield "error", replace(row, error=type("Another", (SchemaRegistryError,), {}))


def changed(table: Table, outcomes: list[Outcome]) -> Iterator[tuple[str, Table]]:
    for place, row in enumerate(table):
        before, after = table[:place], table[place + 1 :]
        yield f"no {row.name}", (*before, *after)
        if after and any(row.fits(outcome) and after[0].fits(outcome) for outcome in outcomes):
            yield f"{row.name} after {after[0].name}", (*before, after[0], row, *after[1:])
        for what, new in changed_rows(row):
            if new != row:
                yield f"{row.name}: {what}", (*before, new, *after)


def agrees(case: dict[str, Any], outcome: Outcome, row: Row | None) -> bool:
    """Whether a row makes of an answer what the case says."""
    if row is None or (row.action in ENDS and row.error.__name__ != case["means"].get("error")):
        return False
    told = {name: value for name, value in case["means"].items() if name not in ("error", "gives")}
    return judged(case, outcome, row) == told


@pytest.mark.parametrize("table", [TABLE, TOKENS], ids=["TABLE", "TOKENS"])
def test_a_changed_row_is_seen(table: Table) -> None:
    found = [(case, *read(case)) for case in ANSWERS]
    mine = [(case, outcome) for case, outcome, its in found if its is table]
    tables = list(changed(table, [outcome for _, outcome in mine]))
    unseen = {
        what
        for what, new in tables
        if all(agrees(case, outcome, next((row for row in new if row.fits(outcome)), None)) for case, outcome in mine)
    }

    assert len(tables) > 250
    assert unseen - UNSEEN.keys() == set()
