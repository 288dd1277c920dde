"""What a call tells: its events, one after another, and how it ended in words. Played as in test_spec.py."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from test_spec import SUBJECT, TOKEN, Play, Renewed, request_for, tokens

from kafka_sr_retry.errors import (
    Failure,
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    RegistryUnavailableError,
    SchemaRegistryError,
)
from kafka_sr_retry.events import (
    AttemptEvent,
    AttemptStartEvent,
    BodyLostEvent,
    BreakerEvent,
    CallStartEvent,
    Event,
    FailoverEvent,
    GiveUpEvent,
    RefusalEvent,
    RetryEvent,
    SuccessEvent,
)
from kafka_sr_retry.registry.access import Access
from kafka_sr_retry.registry.call import Walk
from kafka_sr_retry.registry.steps import Need, Turn

A, B = "http://a", "http://b"
ASKED = f"register a schema under subject {SUBJECT!r}"
GOOD = {"status": 200, "json": {"id": 7}}
BUSY = {"status": 503, "text": "busy"}
NO_LEADER = {"status": 500, "json": {"error_code": 50003, "message": "no leader"}}
FORBIDDEN = {"status": 403, "json": {"error_code": 40301, "message": "denied"}}
AGAIN = "Nothing was sent to Kafka: produce the object again later."


def play(*answers: dict[str, Any], nodes: list[str] | None = None, ask: str = "register", **more: Any) -> Play:
    """One call, whose attempts get these answers, one after another; the last of them again and again."""
    left = list(answers)
    played = Play(nodes or [A], lambda *_: left.pop(0) if len(left) > 1 else left[0], **more)
    played.now = 100.0
    played.ask("it", request_for(ask))
    played.ends()
    return played


def of(events: list[Event], *kinds: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


def without(event: Event, *names: str) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__ if name not in (*names, "call")}


def test_a_call_tells_each_step_in_its_order() -> None:
    events = play(BUSY | {"takes": 2.0}, {"broke": "reset"}, GOOD | {"takes": 1.0}, nodes=[A, B]).events

    assert [type(event) for event in events] == [
        CallStartEvent,
        *(AttemptStartEvent, AttemptEvent, FailoverEvent),
        *(AttemptStartEvent, AttemptEvent, RetryEvent),
        *(AttemptStartEvent, AttemptEvent, SuccessEvent),
    ]
    assert {(event.operation, event.asked) for event in events} == {("register", ASKED)}
    assert len({event.call for event in events}) == 1
    start, failover, retry, success = of(events, CallStartEvent, FailoverEvent, RetryEvent, SuccessEvent)
    assert start.instead_of is None
    assert (failover.failed, failover.next, failover.reason) == (A, B, "server_error")
    assert (retry.round, retry.reason) == (1, "connection")
    assert retry.wait == pytest.approx(0.1)
    assert (success.endpoint, success.attempts) == (A, 3)
    assert success.seconds == pytest.approx(3.1)


def test_an_attempt_tells_what_was_sent_and_what_came() -> None:
    events = play(NO_LEADER | {"takes": 2.0}, GOOD).events
    body = request_for("register").body
    assert body is not None
    path = f"/subjects/{SUBJECT}/versions"

    first, second = of(events, AttemptStartEvent)
    assert without(first, "request_id") == {
        "operation": "register",
        "asked": ASKED,
        "method": "POST",
        "url": A + path,
        "endpoint": A,
        "number": 1,
        "headers": {},
    }
    assert (first.number, second.number) == (1, 2)
    assert len({first.request_id, second.request_id}) == 2
    done, good = of(events, AttemptEvent)
    assert without(done) == {
        "operation": "register",
        "asked": ASKED,
        "method": "POST",
        "url": "",
        "endpoint": A,
        "number": 1,
        "request_id": first.request_id,
        "status": 500,
        "error_code": 50003,
        "outcome": "no_leader",
        "detail": "500/50003 no leader",
        "seconds": 2.0,
        "bytes_sent": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
    assert (good.number, good.status, good.outcome, good.request_id) == (2, 200, "success", second.request_id)


def test_a_question_without_a_body_has_no_hash() -> None:
    (done,) = of(play({"status": 200, "json": {"schema": '"long"'}}, ask="get_schema").events, AttemptEvent)

    assert (done.bytes_sent, done.body_sha256) == (0, "")


def test_calls_are_numbered() -> None:
    first, second = (play(GOOD).events[0].call for _ in range(2))

    assert second == first + 1


def test_an_outage_is_told_when_it_opens_and_when_it_ends() -> None:
    events = play(*3 * [BUSY], GOOD).events
    opened, ended = of(events, BreakerEvent)

    assert (opened.endpoint, opened.open, opened.failures) == (A, True, 3)
    assert (ended.endpoint, ended.open, ended.failures) == (A, False, 3)
    assert 0 < opened.seconds < ended.seconds
    kinds = [type(event) for event in events]
    assert kinds[-3:] == [AttemptEvent, BreakerEvent, SuccessEvent]


def test_a_lost_body_is_told_with_what_was_sent() -> None:
    lost = {"status": 422, "json": {"error_code": 422, "message": "register.request must not be null (was null)"}}
    played = play(lost)
    (told,) = of(played.events, BodyLostEvent)
    (start,) = of(played.events, AttemptStartEvent)

    assert (told.endpoint, told.request_id, told.operation) == (A, start.request_id, "register")
    assert told.bytes_sent == len(request_for("register").body or b"")
    (failure,) = played.results
    assert failure.error is InvalidSchemaError
    assert failure.not_before > 0  # asked again no earlier than the question may be
    assert failure.remembered_for == 0


def test_a_refusal_is_told_and_is_the_end() -> None:
    refused = {"status": 409, "json": {"error_code": 409, "message": "incompatible"}}
    played = play(BUSY, refused | {"takes": 1.0}, nodes=[A, B])
    told = played.events[-1]
    (failure,) = played.results

    assert isinstance(told, RefusalEvent)
    assert without(told) == {
        "operation": "register",
        "asked": ASKED,
        "endpoint": B,
        "status": 409,
        "error_code": 409,
        "reason": "incompatible",
        "attempts": 2,
        "seconds": 1.0,
        "look_up": False,
        "detail": f"{A} answered 503 busy; {B} answered 409 incompatible",
        "request_id": told.request_id,
    }
    assert told.request_id == of(played.events, AttemptStartEvent)[-1].request_id
    assert failure == Failure(
        error=IncompatibleSchemaError,
        asked=ASKED,
        answers=((A, "503 busy"), (B, "409 incompatible")),
        attempts=2,
        seconds=1.0,
        advice="Make the schema compatible, or change the subject's compatibility level.",
        reason="incompatible",
        http_status_code=409,
        error_code=409,
        error_message="incompatible",
        url=B,
        remembered_for=1,
    )


def test_a_refusal_without_a_code_tells_none() -> None:
    played = play({"status": 400, "text": "no"})

    assert (played.events[-1].status, played.events[-1].error_code) == (400, None)  # type: ignore[attr-defined]
    assert played.results[0].error_code == SchemaRegistryError.UNKNOWN
    assert played.results[0].error_message == "no"


def test_a_look_up_in_place_of_a_registration_is_a_call_of_its_own() -> None:
    found = {"status": 200, "json": {"id": 9, "version": 1, "subject": SUBJECT, "schema": request_schema()}}
    played = play(FORBIDDEN | {"takes": 1.0}, found | {"takes": 2.0})
    first, second = of(played.events, CallStartEvent)
    refusal, success = of(played.events, RefusalEvent, SuccessEvent)

    assert (first.instead_of, second.instead_of) == (None, first.call)
    assert (refusal.call, refusal.look_up, refusal.seconds, refusal.attempts) == (first.call, True, 1.0, 1)
    assert (success.call, success.operation, success.attempts, success.seconds) == (second.call, "register", 1, 3.0)
    assert played.results[0].value.schema_id == 9


def request_schema() -> str:
    return str(json.loads(request_for("register").body or b"")["schema"])


@pytest.mark.parametrize(
    "then",
    [{"status": 404, "json": {"error_code": 40403, "message": "not there"}}, BUSY],
    ids=["not there", "the node fails"],
)
def test_where_the_look_up_brings_nothing_the_refusal_is_what_is_told(then: dict[str, Any]) -> None:
    played = play(FORBIDDEN, then)
    (failure,) = played.results
    *_, last = played.events

    assert (failure.error, failure.reason, failure.answers) == (
        RegistryAuthError,
        "forbidden",
        ((A, "403/40301 denied"),),
    )
    assert isinstance(last, RefusalEvent)
    assert (last.endpoint, last.status, last.error_code, last.reason) == (A, 403, 40301, "forbidden")
    assert (last.asked, last.operation, last.look_up) == (ASKED, "register", False)


def test_of_two_refusals_the_one_that_tells_more_is_told() -> None:
    page = {"status": 404, "text": "default backend"}
    missing = {"status": 404, "json": {"error_code": 40403, "message": "not there"}}

    def url(*answers: dict[str, Any]) -> str:
        return str(play(*answers, nodes=[A, B], ask="look_up").results[0].url)

    assert url(missing, page) == A
    assert url(page, missing) == B
    assert url(missing, missing) == B
    assert str(play(FORBIDDEN, page, nodes=[A, B]).results[0].url) == A


def test_a_call_gives_up_in_words() -> None:
    played = play(BUSY, total=30.0, max_retries=1)
    told = played.events[-1]
    (failure,) = played.results

    assert isinstance(told, GiveUpEvent)
    assert (told.reason, told.attempts) == ("server_error", 2)
    assert told.seconds == failure.seconds == pytest.approx(0.1)
    assert told.retry_after == failure.retry_after == pytest.approx(0.2)
    assert failure.error is RegistryUnavailableError
    assert failure.advice == (f"Gave up because max.retries is used up. The next attempt is due in 0.2 s. {AGAIN}")
    assert (failure.answers, failure.reason, failure.url) == (((A, "503 busy"),), "server_error", A)
    assert (failure.http_status_code, failure.error_message, failure.attempts) == (503, "busy", 2)


def test_a_call_that_asks_nobody_tells_what_others_heard() -> None:
    played = Play([A], lambda *_: {"status": 429, "text": "slow down", "headers": {"Retry-After": "60"}})
    played.ask("first", request_for("register", "first"))
    played.ends()
    played.now += 3
    played.ask("second", request_for("register", "second"), 5.0)
    played.ends()
    failure = played.results[-1]

    assert (failure.attempts, failure.reason, failure.url) == (0, "outage", "")
    assert failure.answers == ((A, "429 slow down (33.0 s ago)"),)
    assert failure.http_status_code is None
    assert of(played.events, GiveUpEvent)[-1].reason == "outage"


def test_a_client_that_is_closed_has_no_time_for_the_next_attempt() -> None:
    played = Play([A], lambda *_: BUSY)
    played.ask("it", request_for("register"))
    played.at(0.05, played.close)
    played.ends()
    (failure,) = played.results

    assert failure.advice.startswith("Gave up because the client was closed.")


def left_after(seconds: float, *answers: dict[str, Any], nodes: list[str] | None = None) -> Failure:
    """What a caller hears who leaves the call then."""
    left = iter(answers)
    heard: list[Failure] = []
    played = Play(nodes or [A], lambda *_: next(left, GOOD))
    played.ask("it", request_for("register"))
    (run,) = played._runs.values()
    played.at(seconds, lambda: heard.append(run.walk.so_far(played.now, seconds, "You left")))
    played.ends()
    return heard[0]


HANGS = {"broke": "timeout"}


def test_who_leaves_during_an_attempt_hears_of_it() -> None:
    first = left_after(0.5, HANGS)
    assert (first.answers, first.attempts, first.reason, first.retry_after) == (
        ((A, "no answer yet"),),
        1,
        "outage",
        None,
    )

    failure = left_after(1.0, BUSY, HANGS, nodes=[A, B])

    assert (failure.answers, failure.attempts) == (((A, "503 busy"), (B, "no answer yet")), 2)
    assert (failure.error, failure.reason, failure.seconds) == (RegistryUnavailableError, "server_error", 1.0)
    assert (failure.advice, failure.retry_after) == (f"You left. {AGAIN}", None)


def test_who_leaves_during_a_second_attempt_hears_of_the_first_ones_answer() -> None:
    failure = left_after(1.0, BUSY, HANGS)

    assert (failure.answers, failure.attempts) == (((A, "503 busy"),), 2)


def test_who_leaves_between_two_attempts_hears_when_the_next_is_due() -> None:
    failure = left_after(0.13, BUSY, BUSY)

    assert (failure.answers, failure.attempts) == (((A, "503 busy"),), 2)
    assert failure.retry_after == pytest.approx(0.17)
    assert failure.advice == f"You left. The next attempt is due in 0.2 s. {AGAIN}"


def test_who_leaves_during_a_look_up_hears_of_the_refusal() -> None:
    failure = left_after(2.0, FORBIDDEN | {"takes": 1.0}, HANGS)

    assert (failure.error, failure.reason, failure.seconds) == (RegistryUnavailableError, "forbidden", 2.0)
    assert failure.answers == ((A, "403/40301 denied"),)
    assert (failure.attempts, failure.remembered_for) == (2, 0.0)
    assert left_after(2.0, FORBIDDEN, BUSY, HANGS).attempts == 3


def test_what_a_node_answered_tells_more_than_that_time_was_over() -> None:
    played = play(BUSY, {"broke": "timeout"}, total=5.0, request=10.0)
    (failure,) = played.results

    assert (failure.answers, failure.reason, failure.attempts) == (((A, "503 busy"),), "server_error", 2)


def test_a_second_stale_connection_is_a_failure() -> None:
    played = play({"broke": "stale"}, {"broke": "stale"}, GOOD)

    assert [event.outcome for event in of(played.events, AttemptEvent)] == ["stale_connection", "connection", "success"]


def test_a_token_that_was_refused_is_renewed_once() -> None:
    asked: list[Access | None] = []

    class Shown(Renewed):
        def at_hand(self, now: float, denied: Access | None) -> Access:
            asked.append(denied)
            return Access()

    denied = {"status": 401, "json": {"error_code": 401, "message": "expired"}}
    played = play(denied, denied, credentials=Shown(Access()))

    assert [event.outcome for event in of(played.events, AttemptEvent)] == ["token_expired", "unauthorized"]
    assert asked[0] is None
    assert isinstance(asked[1], Access)


@pytest.mark.parametrize(
    ("answer", "error", "last"),
    [
        ({"status": 400, "json": {"error": "invalid_client"}}, RegistryAuthError, RefusalEvent),
        ({"broke": "refused"}, RegistryUnavailableError, GiveUpEvent),
    ],
    ids=["refused", "away"],
)
def test_a_call_without_a_token_tells_what_the_tokens_server_said(
    answer: dict[str, Any], error: type[SchemaRegistryError], last: type[Event]
) -> None:
    shown = tokens()
    played = Play([A], lambda *_: answer, credentials=shown, token=shown.question, total=5.0)
    played.at(1.0, lambda: played.ask("it", request_for("register")))
    played.ends()
    failure = played.results[0]
    mine = [event for event in played.events if event.operation == "register"]

    assert failure.error is error
    assert failure.asked == ASKED
    assert failure.advice.startswith("No access token could be had. ")
    assert failure.answers[0][0] == TOKEN["issuer.endpoint.url"]
    assert failure.attempts > 0
    assert [type(event) for event in mine] == [CallStartEvent, last]
    told: Any = mine[-1]
    assert (told.reason, told.attempts) == ("credentials", 0)
    assert told.seconds == failure.seconds
    if isinstance(told, RefusalEvent):
        assert (told.endpoint, told.status, told.error_code, told.look_up) == (failure.url, 400, None, False)
    else:
        assert told.retry_after == failure.retry_after is not None


def test_a_token_servers_url_is_told_without_its_query() -> None:
    shown = tokens()
    question = replace(shown.question, request=replace(shown.question.request, path="?key=a?b"))
    played = Play([A], lambda *_: {"broke": "refused"}, token=question, total=1.0)
    played._join(
        "token", mock.Mock(request=question.request, world=played.world, settle=lambda result, now: result), 1.0, print
    )
    played.ends()

    assert {event.url for event in of(played.events, AttemptStartEvent)} == {TOKEN["issuer.endpoint.url"]}


def test_a_walk_ends_a_little_before_its_last_caller() -> None:
    world, request = Play([A], lambda *_: GOOD).world, request_for("register")

    def lasts(*until: float) -> float:
        walk = Walk(request, world, 10.0, lambda event: None)
        for each in until:
            walk.last_until(each)
        return walk.deadline

    assert lasts() == 10.0
    assert lasts(40.0) == pytest.approx(39.9)
    assert lasts(10.5) == pytest.approx(10.475)
    assert lasts(40.0, 20.0) == lasts(20.0, 40.0) == lasts(40.0)


def test_a_question_is_told_with_its_query() -> None:
    (start,) = of(play({"status": 200, "json": []}, ask="associations").events, AttemptStartEvent)

    assert "?" in start.url


def test_a_call_whose_token_could_not_be_renewed_tells_of_both_servers() -> None:
    left = {
        "register": [{"status": 401, "json": {"error_code": 401, "message": "expired"}, "takes": 1.0}],
        "token": [
            {"status": 200, "json": {"access_token": "t"}, "takes": 2.0},
            {"status": 400, "json": {"error": "invalid_client"}, "takes": 3.0},
        ],
    }
    shown = tokens()
    played = Play(
        [A], lambda _, attempt, now: left[attempt.request.operation].pop(0), credentials=shown, token=shown.question
    )
    played.now = 100.0
    played.ask("it", request_for("register"))
    played.ends()
    failure = played.results[0]
    told = played.events[-1]

    assert failure.answers == ((A, "401 expired"), (TOKEN["issuer.endpoint.url"], "400 invalid_client"))
    assert (failure.attempts, failure.seconds) == (2, 6.0)
    assert isinstance(told, RefusalEvent)
    assert (told.reason, told.attempts, told.seconds) == ("credentials", 1, 6.0)


def test_two_gateways_that_refuse_are_not_two_registries() -> None:
    page = {"status": 401, "text": "who are you?"}
    played = play(page, page, GOOD, nodes=[A, B, "http://c"])

    assert played.results[0].value.schema_id == 7


def test_a_refusal_that_is_not_the_questions_own_may_be_asked_again_at_any_time() -> None:
    assert play(BUSY, {"status": 401, "text": "who are you?"}).results[0].not_before == 0


def test_only_who_is_overloaded_rests_as_long_as_it_asks() -> None:
    headers = {"Retry-After": "60"}
    assert not play({"status": 407, "headers": headers}).world.outages.outage(A).resting
    assert play({"status": 429, "headers": headers}).world.outages.outage(A).resting


def test_a_round_tells_how_long_it_waits_unless_another_call_ends_the_wait() -> None:
    played = Play([A], lambda *_: {"broke": "refused", "takes": 2.0}, random=0.5)
    played.ask("one", request_for("register", "one"), 20.0)
    played.at(0.7, lambda: played.ask("two", request_for("register", "two"), 20.0))
    played.ends()
    waits = [event.wait for event in of(played.events, RetryEvent)]

    assert 0.0 in waits
    assert 1.0 not in waits


@pytest.mark.parametrize(("seconds", "spent"), [(30.0, True), (20.0, False)])
def test_only_a_call_that_had_its_whole_time_tells_how_long_an_outage_is(seconds: float, spent: bool) -> None:
    played = Play([A], lambda *_: {"broke": "refused"})
    played.ask("it", request_for("register"), seconds)
    played.ends()

    assert (played.world.outages.outage(A).spent is not None) is spent


@pytest.mark.parametrize(
    ("answer", "silent", "quiet"),
    [
        ({"broke": "timeout"}, True, True),
        ({"broke": "connect_timeout", "takes": 9.0}, True, False),
        ({"broke": "reset", "takes": 9.0}, False, False),
        (BUSY | {"takes": 9.0}, False, False),
    ],
    ids=["hangs", "no connection", "reset", "an answer"],
)
def test_a_node_where_a_registration_hung_is_left_alone(answer: dict[str, Any], silent: bool, quiet: bool) -> None:
    """Where another node can be reached."""
    played = play(answer, GOOD, nodes=[A, B])
    holds = played.world.outages.holds

    assert holds.is_silent(A) is silent
    assert (holds.until(A, failed=True) > 0) is quiet


@pytest.mark.parametrize(("total", "quiet"), [(2.0, False), (5.0, True)])
def test_a_registration_hangs_after_three_seconds(total: float, quiet: bool) -> None:
    played = play({"broke": "timeout"}, nodes=[A, B], total=total)
    assert (played.world.outages.holds.until(A, failed=True) > 0) is quiet


@pytest.mark.parametrize("renews", [True, False])
def test_a_token_that_is_about_to_expire_is_renewed_beside_the_call(renews: bool) -> None:
    renewed: list[bool] = []

    class Expiring(Renewed):
        def renews(self, now: float) -> bool:
            renewed.append(renews)
            return renews

    world = replace(Play([A], lambda *_: GOOD).world, credentials=Expiring(Access()))
    walk = Walk(request_for("register"), world, 10.0, lambda event: None)
    walk.last_until(40.0)
    step = next(walk.steps(10.0))

    assert (type(step), getattr(step, "waits", None)) == ((Need, False) if renews else (Turn, None))
