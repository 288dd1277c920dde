"""What is told of an answer: its words, within bounds and without secrets; and the bounds of what is taken."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from kafka_sr_retry.registry import answers
from kafka_sr_retry.registry.masking import BEGINNING
from kafka_sr_retry.registry.policy import Break, Outcome
from kafka_sr_retry.registry.request import BadAnswer, RegistryRequest, Reply
from kafka_sr_retry.schema import Schema

SCHEMA = '{"type":"long"}'
STORED = {"id": 7, "subject": "orders-value", "version": 1, "schema": SCHEMA}
PROXY = "http://proxy:3128"
Expects = Callable[[], Callable[[Any], Any]]


def read(status: int, content: Any, expects: Expects = lambda: answers.schema_with_id(7), **of: Any) -> Outcome:
    request = RegistryRequest.build("POST", "/x", asked="ask", operation="register", content={}, expects=expects())
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    secrets = of.pop("hidden", ())
    return answers.read(Reply("http://a", status=status, body=body, **of), request, secrets=secrets)


def token(status: int, content: Any, **of: Any) -> Outcome:
    request = RegistryRequest.build("POST", "/x", asked="ask", operation="token", expects=answers.access_token)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return answers.read_token(Reply("http://idp", status=status, body=body, **of), request)


def registered() -> Callable[[Any], Any]:
    return answers.registered("orders-value", Schema(SCHEMA), normalized=False)


@pytest.mark.parametrize(
    ("expects", "content", "words"),
    [
        (registered, [], "it is not a JSON object"),
        (registered, {"id": 0}, "its id is not a positive int32"),
        (registered, {"id": 7, "schema": '"string"'}, "it returns another schema than the one that was sent"),
        (registered, {"id": 7, "schema": SCHEMA, "schemaType": "JSON"}, "it returns a schema of type JSON"),
        (registered, {"id": 7, "schema": 5}, "its schema is not a text"),
        (registered, {"id": 7, "subject": ""}, "its subject is none"),
        (registered, {"id": 7, "ruleSet": 5}, "its ruleSet is not a JSON object of at most 64 levels"),
        (lambda: answers.version_of("s", 2), STORED, "it is version 1"),
        (lambda: answers.version_of("s"), STORED | {"schemaType": "A VRO"}, "its schemaType is not a name"),
        (lambda: answers.version_of("s"), STORED | {"references": 5}, "its references cannot be read"),
        (lambda: answers.version_of("s"), STORED | {"references": ["x"]}, "its references cannot be read"),
        (
            lambda: answers.version_of("s"),
            STORED | {"metadata": 5},
            "its metadata is not a JSON object of at most 64 levels",
        ),
        (lambda: answers.schema_with_id(7), {}, "it holds no schema"),
        (lambda: answers.schema_with_id(7), {"schema": "{"}, "its schema is not Avro's"),
        (lambda: answers.associated_subjects, {}, "it is not a JSON array"),
        (lambda: answers.associated_subjects, [{}], "an association names no subject"),
        (lambda: answers.is_compatible, {"is_compatible": 1}, "its is_compatible is neither true nor false"),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_a_bad_answer_says_what_is_wrong_and_quotes_it(expects: Any, content: Any, words: str) -> None:
    outcome = read(201, content, expects)

    assert (outcome.broke, outcome.status) == (Break.BAD_ANSWER, 201)
    assert outcome.detail == f"201, but {words}: {json.dumps(content)}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "there is no access_token in it"),
        ({"access_token": ""}, "there is no access_token in it"),
        ({"access_token": "a b"}, "its access_token cannot stand in a header"),
        ({"access_token": "t", "token_type": "mac"}, "its token_type is not Bearer"),
        ({"access_token": "t", "token_type": 5}, "its token_type is not Bearer"),
        ([], "it is not a JSON object"),
    ],
    ids=str,
)
def test_of_an_answer_to_a_question_for_a_token_nothing_is_quoted(content: Any, words: str) -> None:
    outcome = token(200, content, proxy=PROXY)

    assert (outcome.broke, outcome.status) == (Break.BAD_ANSWER, 200)
    assert outcome.detail == f"200, but {words} (from the proxy {PROXY}, or from behind it)"


def test_a_good_answer_tells_its_status() -> None:
    assert read(200, STORED).detail == "200"
    assert token(201, {"access_token": "t"}).detail == "201"


@pytest.mark.parametrize(
    ("status", "content", "detail"),
    [
        (500, {"error_code": 50001, "message": "Kafka is away"}, "500/50001 Kafka is away"),
        (422, {"error_code": 422, "message": "no"}, "422 no"),
        (404, {"message": "no route"}, "404 no route"),
        (502, b"<h1>Bad Gateway</h1>", "502 <h1>Bad Gateway</h1>"),
        (502, b"", "502"),
        (404, {"error_code": 40401, "message": 5}, '404/40401 {"error_code": 40401, "message": 5}'),
        (500, {"error_code": 2**31, "message": "m"}, "500 m"),
        (500, {"error_code": -(2**31) + 1, "message": "m"}, f"500/{-(2**31) + 1} m"),
    ],
    ids=str,
)
def test_an_error_tells_its_status_its_code_and_its_words(status: int, content: Any, detail: str) -> None:
    assert read(status, content).detail == detail


@pytest.mark.parametrize(
    ("status", "content", "way"),
    [
        (407, b"no", f" (from the proxy {PROXY})"),
        (502, b"no", f" (from the proxy {PROXY}, or from behind it)"),
        (500, {"error_code": 500, "message": "no"}, ""),
    ],
    ids=str,
)
def test_a_proxy_is_named_where_it_may_have_answered(status: int, content: Any, way: str) -> None:
    assert read(status, content, proxy=PROXY).message == f"no{way}"


def test_a_proxy_is_named_where_it_may_have_brought_a_bad_answer() -> None:
    assert read(200, b"no", proxy=PROXY).detail.endswith(f": no (from the proxy {PROXY}, or from behind it)")


@pytest.mark.parametrize(
    ("status", "content", "detail"),
    [
        (400, {"error": "invalid_client", "error_description": "who?"}, "400 invalid_client: who?"),
        (400, {"error": "invalid_client", "error_description": 5}, "400 invalid_client"),
        (400, {"message": "no"}, '400 {"message": "no"} (from the proxy http://proxy:3128, or from behind it)'),
        (407, b"", "407 (from the proxy http://proxy:3128)"),
    ],
    ids=str,
)
def test_a_token_server_is_quoted_by_oauths_words(status: int, content: Any, detail: str) -> None:
    assert token(status, content, proxy=PROXY).detail == detail


def test_what_another_origin_answered_is_not_told() -> None:
    assert read(200, b"private", away=True).detail == f"200, but {answers.ANOTHERS}"
    assert read(500, {"error_code": 1, "message": "private"}, away=True).detail == f"500/1 {answers.ANOTHERS}"
    assert token(400, {"error": "private"}, away=True).detail == f"400 {answers.ANOTHERS}"


def test_an_empty_body_is_noticed_where_another_origin_answered() -> None:
    assert read(
        422, {"error_code": 422, "message": "register.request must not be null (was null)"}, away=True
    ).says_empty


def test_a_secret_is_told_in_no_place_and_the_longest_goes_first() -> None:
    hidden = ("", "pass", "password")
    assert read(500, {"message": "a password, a pass"}, hidden=hidden).detail == "500 a ***, a ***"
    assert read(500, {"message": "key"}, secrets=("key",)).detail == "500 ***"
    assert read(200, b"password", hidden=hidden).detail.endswith(": ***")
    assert read(500, b"password", hidden=hidden).detail == "500 ***"
    assert read(200, {"schema": SCHEMA, "schemaType": "password"}, registered, hidden=hidden).detail.count("***") == 2
    assert token(400, {"error": "key"}, secrets=("key",)).detail == "400 ***"
    assert read(500, {"message": "zz and yzz"}, hidden=("zz", "yzz")).detail == "500 *** and ***"


@pytest.mark.parametrize(
    ("length", "told"), [(1999, 1999), (2000, 2000), (2001, 2001), (9000, 2001)], ids=lambda value: str(value)
)
def test_words_are_told_up_to_a_length(length: int, told: int) -> None:
    message = read(500, {"message": "x" * length}).message

    assert len(message) == told
    assert message.endswith("…") == (length > 2000)


def test_a_page_is_told_up_to_its_first_200_characters() -> None:
    assert read(500, b"x" * 201).message == "x" * 200 + "…"
    assert read(200, b"x" * 200).detail.endswith(": " + "x" * 200)
    assert read(500, b" " * 500 + b"x").message == "x"
    assert read(500, b" " * 900 + b"x").message == ""


def test_what_breaks_lines_or_terminals_is_a_space() -> None:
    assert read(500, {"message": " a\r\nb\t\x1b[31mc\u202ed "}).message == "a b [31mc d"


def test_how_an_exchange_broke_is_told_in_300_characters() -> None:
    reply = Reply("http://a", Break.RESET, "x" * 400)
    request = RegistryRequest.build("GET", "/x", asked="ask", operation="other", expects=answers.is_compatible)

    assert answers.read(reply, request).detail == "x" * 300 + "…"
    assert answers.read_token(reply, request).detail == "x" * 300 + "…"


@pytest.mark.parametrize(
    ("given", "lifetime"),
    [
        ({"expires_in": 3600}, 3600.0),
        ({"expires_in": "3599"}, 3599.0),
        ({"expires_in": 0}, 0.0),
        ({"expires_in": -1}, None),
        ({"expires_in": "soon"}, None),
        ({"expires_in": True}, None),
        ({"expires_in": 10**400}, None),
        ({"expires_in": []}, None),
        ({"expires_in": 5, "expires_on": 1}, 5.0),
        ({"expires_on": 1}, 0.0),
        ({}, None),
    ],
    ids=str,
)
def test_a_lifetime_is_a_number_of_seconds(given: Any, lifetime: float | None) -> None:
    assert token(200, {"access_token": "t"} | given).value == ("t", lifetime)


def test_a_moment_of_expiry_counts_from_now() -> None:
    _, lifetime = token(200, {"access_token": "t", "expires_on": str(int(time.time()) + 5000)}).value

    assert 4000 < lifetime <= 5000


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("3600", 3600), ("3601", 3600), ("999999999", 3600), ("1" + 9 * "0", 3600), ("²", None), ("59", 59)],
)
def test_no_rest_is_longer_than_an_hour(given: str, seconds: float | None) -> None:
    assert read(429, b"", headers={"retry-after": given}).retry_after == seconds


def test_a_date_without_a_zone_is_utc() -> None:
    headers = {"retry-after": "Wed, 21 Oct 2015 07:28:07 -0000", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}

    assert read(429, b"", headers=headers).retry_after == 7
    assert read(429, b"", headers=headers | {"retry-after": "Wed, 21 Oct 2015 09:28:00 GMT"}).retry_after == 3600


def test_a_date_is_measured_against_our_clock_where_the_answer_has_none() -> None:
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2000))

    assert 1000 < (read(429, b"", headers={"retry-after": at}).retry_after or 0) <= 2001


def levels(count: int) -> Any:
    value: Any = {}
    for number in range(count - 1):
        value = {"a": value} if number % 2 else [value]
    return {"a": value}


def reference(**given: Any) -> dict[str, Any]:
    return STORED | {"references": [{"name": "N", "subject": "s", "version": 1, **given}]}


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (STORED | {"metadata": levels(63)}, True),
        (STORED | {"metadata": levels(64)}, False),
        (STORED | {"metadata": {"a": "x" * 1000}}, True),
        (STORED | {"schemaType": "A" * 99, "schema": "anything"}, True),
        (STORED | {"schemaType": "A" * 100, "schema": "anything"}, False),
        (STORED | {"references": None}, True),
        (reference(), True),
        (STORED | {"references": ["x"]}, False),
        (reference(version=-1), True),
        (reference(version=-1.0), False),
        (reference(version=2**31 - 1), True),
        (reference(name=""), True),
        (reference(name="N" * 9_999), True),
        (reference(name="N" * 10_000), False),
        (reference(name="N" * 5_000, subject="s" * 5_000), True),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_what_is_taken_has_bounds(content: Any, good: bool) -> None:
    assert (read(200, content).broke is None) is good


@pytest.mark.parametrize(("length", "good"), [(10_000, True), (10_001, False)])
def test_the_subject_of_an_association_has_a_bound(length: int, good: bool) -> None:
    assert (read(200, [{"subject": "s" * length}], lambda: answers.associated_subjects).broke is None) is good


def test_a_stored_schema_is_read_whole() -> None:
    guid = "0c9ee0ab-f9c6-4b1c-9d2e-1f6f0b3f6c55"
    content = reference(version=3) | {"metadata": {"owners": []}, "guid": guid}
    found = read(200, content, lambda: answers.version_of("an-alias", 1)).value

    assert (found.schema_id, found.guid, found.subject, found.version) == (7, guid, "orders-value", 1)
    assert found.schema == answers.Schema(
        SCHEMA, "AVRO", (answers.SchemaReference("N", "s", 3),), {"owners": []}, found.schema.rule_set
    )
    by_id = read(200, content).value
    assert (by_id.schema_id, by_id.guid, by_id.subject, by_id.version) == (7, guid, None, None)
    assert by_id.schema == found.schema


def test_rules_that_the_registry_adds_are_part_of_the_schema() -> None:
    rules = {"migrationRules": [], "domainRules": [{"name": "r", "kind": "TRANSFORM", "mode": "WRITE", "type": "E"}]}
    stored = read(200, {"id": 7, "ruleSet": rules}, registered).value.schema

    assert stored.rule_set is not None
    assert stored.schema_str == SCHEMA
    added = {"id": 7, "ruleSet": {"domainRules": []}}
    assert read(200, added, lambda: answers.registered("s", stored, normalized=False)).value.schema == stored


def test_an_accident_while_an_answer_is_read_is_a_bad_answer() -> None:
    def expects(content: Any) -> Any:
        raise RecursionError("too deep")

    assert read(200, {}, lambda: expects).detail == "200, but too deep: {}"


def test_an_outcome_tells_what_was_asked_and_as_whom() -> None:
    def asked(operation: str, **more: Any) -> Outcome:
        request = RegistryRequest.build(
            "POST", "/x", asked="ask", operation=operation, expects=answers.schema_with_id(7), **more
        )  # type: ignore[arg-type]
        return answers.read(Reply("http://a", status=404), request)

    plain, registers, optional = asked("other"), asked("register"), asked("other", optional=True)
    assert [each.registering for each in (plain, registers, optional)] == [False, True, False]
    assert [each.optional for each in (plain, registers, optional)] == [False, False, True]
    assert not plain.renewable
    assert not token(401, {}).renewable


def test_a_300_is_no_success() -> None:
    assert read(300, STORED).value is None
    assert token(300, {"access_token": "t"}).value is None


def test_what_is_wrong_is_told_in_200_characters() -> None:
    def expects(content: Any) -> Any:
        raise BadAnswer("x" * 300)

    assert read(200, {}, lambda: expects).detail == "200, but " + "x" * 200 + "…: {}"


def test_an_outcome_of_a_token_server_is_a_whole_one() -> None:
    refused = token(401, {"error": "invalid_client"}, headers={"retry-after": "5"})

    assert (refused.status, refused.from_registry, refused.message, refused.retry_after) == (
        401,
        True,
        "invalid_client",
        5,
    )
    assert not token(401, b"").from_registry
    assert token(500, b"key", secrets=("key",)).message == "***"
    assert token(400, {"error": "x" * 2001}).message == "x" * 2000 + "…"
    request = RegistryRequest.build("POST", "/x", asked="ask", operation="token", expects=answers.access_token)
    assert answers.read_token(Reply("http://idp", status=401), request, renewable=True).renewable


def test_a_token_that_is_in_an_error_too_is_not_told() -> None:
    content = {"error": "invalid_grant", "error_description": "r3fr3sh-it", "device_token": "r3fr3sh-it"}

    assert token(400, content).detail == "400 invalid_grant: ***"
    assert token(400, content | {"device_token": 5}).detail == "400 invalid_grant: r3fr3sh-it"


def test_a_text_that_is_cut_ends_with_no_beginning_of_a_secret() -> None:
    secret = "".join(f"{number:05}" for number in range(1000))[:4999]
    assert set(answers.told(5 * secret, (secret,), 1000)) == {"*"}
    for size, left in ((20_000, 20_000), (20_001, 20_000 - BEGINNING)):
        assert answers.told("x" * size, (), 30_000) == "x" * left
