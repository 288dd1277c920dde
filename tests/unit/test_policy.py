"""What an outcome means, and how long to wait: the table and the backoff, by properties."""

from __future__ import annotations

import ast
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_sr_retry.errors import (
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    SchemaNotFoundError,
    SchemaRegistryError,
)
from kafka_sr_retry.registry import policy
from kafka_sr_retry.registry.policy import OPENS_AFTER, SHORT_WAIT, TABLE, Action, Break, Outcome, decide, wait_after

FINAL = {Action.REFUSE, Action.ELSEWHERE}

outcomes = st.builds(
    Outcome,
    broke=st.none() | st.sampled_from(Break),
    status=st.integers(100, 599),
    error_code=st.none() | st.integers(-(10**6), 10**6) | st.sampled_from([50001, 50002, 50003, 50004, 42201, 42205]),
    from_registry=st.booleans(),
    says_empty=st.booleans(),
    retry_after=st.none() | st.floats(0, 1e6),
    renewable=st.booleans(),
)


def answer(status: int, error_code: int | None = None, **more: object) -> Outcome:
    return Outcome(status=status, error_code=error_code, from_registry=error_code is not None, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "action", "error", "remembered_for"),
    [
        *(
            (Outcome(broke=broke), Action.NEXT, SchemaRegistryError, 0)
            for broke in (
                Break.REFUSED,
                Break.NAME,
                Break.CONNECT_TIMEOUT,
                Break.TIMEOUT,
                Break.RESET,
                Break.BAD_ANSWER,
                Break.BAD_REDIRECT,
            )
        ),
        (Outcome(broke=Break.STALE), Action.AGAIN, SchemaRegistryError, 0),
        (Outcome(broke=Break.TLS), Action.SKIP, SchemaRegistryError, 0),
        (Outcome(broke=Break.BAD_ANSWER, status=200), Action.NEXT, SchemaRegistryError, 0),
        (answer(200), Action.ACCEPT, SchemaRegistryError, 0),
        *(
            (answer(status, code), Action.NEXT, SchemaRegistryError, 0)
            for status, code in (
                (500, 50001),
                (500, 50002),
                (500, 500),
                (500, None),
                (502, None),
                (503, None),
                (503, 503),
                (504, None),
                (408, None),
                (408, 408),
                (425, None),
                (501, None),
                (599, None),
            )
        ),
        (answer(500, 50003), Action.NO_LEADER, SchemaRegistryError, 0),
        (answer(500, 50004), Action.NO_LEADER, SchemaRegistryError, 0),
        (answer(503, None, retry_after=1.0), Action.REST, SchemaRegistryError, 0),
        (answer(429, 429), Action.REST, SchemaRegistryError, 0),
        (answer(429, None, retry_after=1.0), Action.REST, SchemaRegistryError, 0),
        *((answer(status), Action.NEXT, SchemaRegistryError, 0) for status in (100, 301, 302, 303, 304, 307, 308)),
        (answer(401, 401, renewable=True), Action.AGAIN, SchemaRegistryError, 0),
        (answer(401, 401), Action.ELSEWHERE, RegistryAuthError, 0),
        (answer(401), Action.ELSEWHERE, RegistryAuthError, 0),
        (answer(403), Action.ELSEWHERE, RegistryAuthError, 1 / 6),
        (answer(403, 403), Action.ELSEWHERE, RegistryAuthError, 1 / 6),
        (answer(422, 42206), Action.REFUSE, InvalidSchemaError, 1),
        (answer(422, 42205), Action.REFUSE, InvalidSchemaError, 1),
        (answer(409, 409), Action.REFUSE, IncompatibleSchemaError, 1),
        (answer(422, 42201), Action.REFUSE, InvalidSchemaError, 1),
        (answer(422, 0), Action.REFUSE, InvalidSchemaError, 1),
        (answer(404, 40401, registering=True), Action.ELSEWHERE, SchemaNotFoundError, 1 / 6),
        (answer(404, 40408), Action.ELSEWHERE, SchemaNotFoundError, 1 / 6),
        (answer(404, 40401), Action.ELSEWHERE, SchemaNotFoundError, 1 / 6),
        (answer(404, 0), Action.ELSEWHERE, SchemaNotFoundError, 1 / 6),
        (answer(400, 400), Action.REFUSE, SchemaRegistryError, 0),
        (answer(415, 415), Action.REFUSE, SchemaRegistryError, 0),
        *(
            (answer(status, code), Action.ELSEWHERE, SchemaRegistryError, 0)
            for status in (413, 414, 431)
            for code in (None, status)
        ),
        (answer(404), Action.ELSEWHERE, SchemaNotFoundError, 0),
        (answer(400), Action.ELSEWHERE, SchemaRegistryError, 0),
        (answer(409), Action.ELSEWHERE, SchemaRegistryError, 0),
        (answer(422), Action.ELSEWHERE, SchemaRegistryError, 0),
        (answer(422, 422, says_empty=True), Action.ELSEWHERE, InvalidSchemaError, 0),
        (answer(422, 42201, says_empty=True), Action.ELSEWHERE, InvalidSchemaError, 0),
    ],
    ids=str,
)
def test_each_outcome_has_its_row(
    outcome: Outcome, action: Action, error: type[SchemaRegistryError], remembered_for: float
) -> None:
    row = decide(outcome)

    assert (row.action, row.error, row.remembered_for) == (action, error, remembered_for)


@given(outcomes)
def test_every_outcome_is_decided_and_the_same_each_time(outcome: Outcome) -> None:
    assert decide(outcome) is decide(outcome)
    assert decide(outcome) in TABLE


@given(outcomes)
def test_only_an_unbroken_success_is_accepted(outcome: Outcome) -> None:
    success = outcome.broke is None and outcome.status is not None and 200 <= outcome.status < 300

    assert (decide(outcome).action is Action.ACCEPT) == success


@given(outcomes)
def test_what_the_registry_refused_is_never_asked_again(outcome: Outcome) -> None:
    refused = (
        outcome.broke is None
        and outcome.from_registry
        and 400 <= (outcome.status or 0) < 500
        and outcome.status not in (401, 408, 425, 429)
        and not outcome.says_empty
    )
    if refused:
        assert decide(outcome).action in FINAL
    if outcome.broke is not None or not 400 <= (outcome.status or 0) < 500:
        assert decide(outcome).action not in FINAL


@given(outcomes)
def test_a_refusal_is_remembered_only_where_it_is_final(outcome: Outcome) -> None:
    row = decide(outcome)

    assert 0 <= row.remembered_for <= 1
    assert row.remembered_for == 0 or row.action in FINAL
    assert row.action not in FINAL or row.advice
    assert not row.look_up or row.action in FINAL


@pytest.mark.parametrize(
    ("outcome", "name", "words", "never"),
    [
        (answer(422, 42205, message="Subject x is in read-only mode"), "read_only", "is read-only", "IMPORT"),
        (answer(422, 42205, message="Subject x is in import mode"), "not_permitted", "IMPORT", "read-only"),
        (answer(422, 42205, message="Subject x is not in read-write mode"), "not_permitted", "IMPORT", "read-only"),
        (answer(422, 42205, message="Subject x is not in import mode"), "not_permitted", "IMPORT", "read-only"),
        (answer(422, 42205, message="Overwrite schema with id 7 is not permitted."), "not_permitted", "id", "read-"),
        (answer(422, 42205), "not_permitted", "registry's words", "read-only"),
        (answer(422, 42206), "invalid", "registry's words", "schema"),
        (answer(404, 404, registering=True), "not_found", "URL's path", "Register it first"),
        (answer(404, 40401, registering=True), "not_found", "refers to", "Register it first"),
        (answer(404, 40403), "not_found", "Register it first", "refers to"),
        (answer(404, 40408), "not_found", "asked for", "Register it first"),
        (answer(404), "not_a_registry", "URL and its path", "gateway"),
        (answer(400), "not_a_registry", "gateway", "does not look like"),
        (answer(405, 405), "refused", "path", "not change its mind"),
        (answer(413), "too_large", "body", "URL"),
        (answer(414), "too_large", "URL", "body"),
        (answer(431), "too_large", "headers", "body"),
        (answer(401), "unauthorized", "gateway", "on the subject"),
        (answer(403), "forbidden", "gateway", "on the subject"),
        (answer(403, 403), "forbidden", "rights on the subject", "gateway"),
    ],
    ids=str,
)
def test_the_advice_is_true_for_each_cause_of_its_row(outcome: Outcome, name: str, words: str, never: str) -> None:
    row = decide(outcome)

    assert row.name == name
    assert words in row.advice
    assert never not in row.advice


def test_the_policy_does_no_io_and_has_no_clock_or_randomness_of_its_own() -> None:
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(inspect.getsource(policy)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }

    assert imported <= {"__future__", "collections.abc", "dataclasses", "enum", "typing", "kafka_sr_retry.errors"}


failures = st.integers(1, 10_000)
ages = st.floats(0, 1e7)
randoms = st.floats(0, 1, exclude_max=True)
bases = st.floats(0.001, 100)
caps = st.floats(0.001, 1000)


@given(failures, ages, randoms, bases, caps)
def test_a_wait_is_never_negative_nor_above_the_cap(
    failed: int, age: float, random: float, base: float, cap: float
) -> None:
    wait = wait_after(failed, age, random, base=base, cap=cap)

    assert 0 <= wait <= cap
    assert wait == wait_after(failed, age, random, base=base, cap=cap)


@given(st.integers(1, OPENS_AFTER - 1), ages, randoms)
def test_the_first_waits_have_full_jitter_that_doubles(failed: int, age: float, random: float) -> None:
    longest = 0.1 * 2 ** (failed - 1)

    assert wait_after(failed, age, random, base=0.1, cap=20) == pytest.approx(random * longest)


@given(st.integers(OPENS_AFTER + 1, 10_000), ages, randoms)
def test_a_longer_outage_waits_at_least_half_a_tenth_of_its_age(failed: int, age: float, random: float) -> None:
    longest = max(SHORT_WAIT, min(20, age / 10))

    assert longest / 2 <= wait_after(failed, age, random, base=0.1, cap=20) <= longest


@given(st.integers(OPENS_AFTER + 1, 10_000), st.floats(0, 10), randoms)
def test_a_fleet_that_starts_in_an_outage_asks_less_than_once_a_second(failed: int, age: float, random: float) -> None:
    assert wait_after(failed, age, random, base=0.1, cap=20) > 1


@given(failures, st.floats(0, 11), randoms)
def test_no_wait_is_much_above_a_second_in_the_first_ten_seconds(failed: int, age: float, random: float) -> None:
    assert wait_after(failed, age, random, base=0.1, cap=20) <= SHORT_WAIT


@given(failures, st.tuples(ages, ages), randoms, bases, caps)
def test_a_wait_never_shrinks_as_the_outage_ages(
    failed: int, two_ages: tuple[float, float], random: float, base: float, cap: float
) -> None:
    younger, older = (wait_after(failed, age, random, base=base, cap=cap) for age in sorted(two_ages))

    assert younger <= older
    assert older <= wait_after(failed + 1, max(two_ages), random, base=base, cap=cap) or failed <= OPENS_AFTER


@pytest.mark.parametrize(
    ("failed", "age", "random", "base", "cap", "longest", "seconds"),
    [
        (1, 0.0, 0.5, 0.1, 20.0, 1.15, 0.05),
        (2, 0.0, 0.5, 0.1, 20.0, 1.15, 0.1),
        (2, 0.0, 0.5, 0.1, 0.15, 1.15, 0.075),  # never above the cap
        (2, 0.0, 0.5, 1.0, 20.0, 1.15, 0.575),  # nor above the longest of a young outage
        (2, 0.0, 0.5, 3.0, 20.0, 1.15, 1.5),  # unless the base is longer
        (3, 0.0, 0.0, 0.1, 20.0, 1.15, 0.5),
        (3, 0.0, 0.5, 0.1, 20.0, 1.15, 0.75),
        (4, 0.0, 0.0, 0.1, 20.0, 1.15, 0.87 * 1.15),
        (4, 0.0, 0.5, 0.01, 20.0, 1.15, 0.935 * 0.2),  # it doubles
        (4, 0.0, 0.5, 0.1, 0.05, 1.15, 0.935 * 0.05),
        (4, 0.0, 0.5, 0.1, 20.0, 0.5, 0.935 * 0.5),
        (9, 60.0, 0.0, 0.1, 20.0, 1.15, 3.0),
        (9, 60.0, 0.5, 0.1, 20.0, 1.15, 4.5),
        (9, 600.0, 0.5, 0.1, 20.0, 1.15, 15.0),
    ],
)
def test_how_long_to_wait(
    failed: int, age: float, random: float, base: float, cap: float, longest: float, seconds: float
) -> None:
    assert wait_after(failed, age, random, base=base, cap=cap, longest=longest) == pytest.approx(seconds)
