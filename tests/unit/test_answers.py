"""What a reply says: ids, schemas, errors and Retry-After, and what is never taken for an id."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_sr_retry.registry import answers
from kafka_sr_retry.registry.policy import Action, Break, Outcome, decide
from kafka_sr_retry.registry.request import RegistryRequest, Reply
from kafka_sr_retry.schema import RegisteredSchema, Schema

SCHEMA = Schema('{"type": "record", "name": "n.Order", "fields": [{"name": "id", "type": "long", "doc": "d"}]}')
URL = "http://registry"


def registration(subject: str = "orders-value", *, normalized: bool = False) -> RegistryRequest[RegisteredSchema]:
    return RegistryRequest.build(
        "POST",
        "/subjects/x/versions",
        asked="register",
        operation="register",
        content=SCHEMA.to_dict(),
        expects=answers.registered(subject, SCHEMA, normalized=normalized),
    )


def read(status: int, content: Any, headers: dict[str, str] | None = None, **of: Any) -> Outcome:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return answers.read(Reply(URL, status=status, headers=headers or {}, body=body), registration(**of))


@pytest.mark.parametrize("schema_id", [1, 7, 2**31 - 1])
def test_a_positive_int32_is_an_id(schema_id: int) -> None:
    assert read(200, {"id": schema_id}).value.schema_id == schema_id


@pytest.mark.parametrize(
    "content",
    [
        {},
        None,
        True,
        7,
        "7",
        [],
        [{"id": 7}],
        *({"id": wrong} for wrong in (-5, 0, 2**31, 2**32, "7", True, 7.0, None, [7], {"id": 7})),
        b"",
        b'{"id":',
        b'{"id":7',
        b"<html><body>7</body></html>",
        b"7",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"id":' + b"9" * 5000 + b"}",
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("status", [200, 201, 204])
def test_whatever_is_no_id_is_a_bad_answer(status: int, content: Any) -> None:
    outcome = read(status, content)

    assert (outcome.broke, outcome.value) == (Break.BAD_ANSWER, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(["id", "schema", "subject", "version", "guid", "error_code", "message", "references"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@given(st.integers(100, 599), json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_answer_at_all_becomes_an_outcome(status: int, body: bytes) -> None:
    outcome = read(status, body)

    if decide(outcome).action is Action.ACCEPT:
        assert type(outcome.value.schema_id) is int
        assert 0 < outcome.value.schema_id < 2**31


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"fixed","name":"f","size":1e999}',
        '{"type":"fixed","name":"f","size":NaN}',
        '{"type":"record","name":"r"}',
        '{"type":7}',
        "[" * 100_000,
        "",
        "null",
        '"',
        "7",
    ],
    ids=lambda text: text[:20],
)
def test_a_returned_schema_of_any_shape_is_read_without_an_accident(text: str) -> None:
    assert read(200, {"id": 7, "schema": text}).status == 200


OTHER = '{"type":"record","name":"n.Order","fields":[{"name":"other","type":"long"}]}'
REFORMATTED = '{"fields":[{"type":{"type":"long"},"name":"id"}],"namespace":"n","name":"Order","type":"record"}'


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"subject": "orders-value"}, True),
        ({"subject": ":.context:orders-value"}, True),
        ({"subject": "the-alias-of-orders"}, True),
        ({"schemaType": None}, True),
        ({"subject": "other-value", "schema": OTHER}, False),
        ({"subject": None}, True),
        ({"schema": SCHEMA.schema_str, "version": 3, "guid": "g"}, True),
        ({"schema": REFORMATTED}, True),
        ({"schema": OTHER}, False),
        ({"schema": '"string"'}, False),
        ({"schema": "{}"}, False),
    ],
    ids=str,
)
def test_an_answer_returns_the_schema_that_was_asked_for_under_whatever_subject(
    more: dict[str, Any], good: bool
) -> None:
    assert (read(200, {"id": 7, **more}).broke is None) is good


NESTED: dict[str, Any] = {}
for _ in range(100):
    NESTED = {"a": NESTED}

REFERENCE = {"name": "N", "subject": "s", "version": 1}
ODD: list[dict[str, Any]] = [
    *({"schema": odd} for odd in (5, "", [], {}, True, "\ud800")),
    *({"schemaType": odd} for odd in (5, "", [], True)),
    *({"subject": odd} for odd in (5, "", "..", [], {}, True, "\ud800")),
    *({"ruleSet": odd} for odd in ("x", ["x"], 5, True, NESTED, {"domainRules": 5}, {"encodingRules": [None]})),
]
ODD_SCHEMAS: list[dict[str, Any]] = [
    *ODD,
    *({"schema": odd} for odd in ("{", "{}", "text", '{"type":5}', '{"type":"record"}', "[" * 1000)),
    *({"metadata": odd} for odd in ("x", ["x"], 5, True, NESTED)),
    *({"references": odd} for odd in ("x", {"a": 1}, 5, True, [None], [[]], ["x"], [{}])),
    *(
        {"references": [REFERENCE | odd]}
        for odd in (
            *({"subject": subject} for subject in (5, "", "..", ["x"], None, "\ud800", "x" * 20_000)),
            *({"version": version} for version in (0, -2, "1", 1.0, True, None, {}, 2**31)),
            *({"name": name} for name in (5, None, [], "\ud800")),
        )
    ),
]
STORED = {"id": 7, "subject": "orders-value", "version": 1, "schema": SCHEMA.schema_str}


@pytest.mark.parametrize(
    ("expects", "odd"),
    [
        *((answers.registered("orders-value", SCHEMA, normalized=False), odd) for odd in ODD),
        *((answers.registered("orders-value", SCHEMA, normalized=True), odd) for odd in ODD),
        *((answers.version_of("orders-value"), odd) for odd in ODD_SCHEMAS),
        *((answers.schema_with_id(7), odd) for odd in ODD_SCHEMAS if "subject" not in odd),
        *((answers.associated_subjects, [{"subject": odd}]) for odd in (5, "", "..", None, [], "\ud800")),
    ],
    ids=lambda value: str(value)[:60] if not callable(value) else value.__qualname__.partition(".")[0],
)
def test_an_answer_that_cannot_be_used_is_a_bad_one(expects: Any, odd: Any) -> None:
    request: RegistryRequest[Any] = RegistryRequest.build("GET", "/x", asked="get", operation="other", expects=expects)
    body = json.dumps(STORED | odd if isinstance(odd, dict) else odd).encode()

    assert answers.read(Reply(URL, status=200, body=json.dumps(STORED).encode()), request).broke is None or isinstance(
        odd, list
    )
    assert answers.read(Reply(URL, status=200, body=body), request).broke is Break.BAD_ANSWER


@pytest.mark.parametrize("odd", [0, -1, "3", True, 1.5, 2**31, {}, float("nan")])
def test_an_odd_version_is_one_that_was_not_told(odd: Any) -> None:
    assert read(200, {"id": 7, "version": odd, "guid": odd}).value == RegisteredSchema(
        7, None, "orders-value", None, SCHEMA
    )


def test_the_subject_of_a_version_is_the_one_that_the_registry_names() -> None:
    expects = answers.version_of("an-alias")

    assert expects(STORED).subject == "orders-value"
    assert expects(STORED | {"subject": None}).subject == "an-alias"


@pytest.mark.parametrize(("number", "told", "good"), [(1, 1, True), (2, 1, False), (2, None, True), (None, 1, True)])
def test_a_version_is_the_one_that_was_asked_for(number: int | None, told: int | None, good: bool) -> None:
    expects = answers.version_of("orders-value", number)
    request: RegistryRequest[Any] = RegistryRequest.build("GET", "/x", asked="get", operation="other", expects=expects)
    body = json.dumps(STORED | {"version": told}).encode()

    assert (answers.read(Reply(URL, status=200, body=body), request).broke is None) is good


def test_with_normalization_the_registry_may_return_another_text() -> None:
    assert read(200, {"id": 7, "schema": OTHER}, normalized=True).value.schema_id == 7


def test_the_answer_of_a_newer_registry_is_read_whole() -> None:
    guid = "0c9ee0ab-f9c6-4b1c-9d2e-1f6f0b3f6c55"
    value = read(200, {"id": 7, "version": 3, "guid": guid, "subject": "orders-value"}).value

    assert (value.schema_id, value.version, value.guid, value.subject) == (7, 3, guid, "orders-value")
    assert value.schema == SCHEMA


@pytest.mark.parametrize(
    ("status", "content", "code", "from_registry"),
    [
        (500, {"error_code": 50003, "message": "m"}, 50003, True),
        (404, {"error_code": 0, "message": "m"}, 0, True),
        (404, {"error_code": None}, None, True),
        (404, {"error_code": "40401"}, None, True),
        (404, {"error_code": True}, None, True),
        (404, {"message": "m"}, None, False),
        (404, b"<html>", None, False),
        (404, b"", None, False),
        (502, b"\xff" * 1000, None, False),
    ],
    ids=str,
)
def test_an_error_tells_its_code_and_whether_a_registry_wrote_it(
    status: int, content: Any, code: int | None, from_registry: bool
) -> None:
    outcome = read(status, content)

    assert (outcome.status, outcome.error_code, outcome.from_registry) == (status, code, from_registry)


def missing(*place: str | int) -> list[dict[str, Any]]:
    """As Karapace tells what it misses."""
    return [{"type": "missing", "loc": list(place), "msg": "Field required", "input": None}]


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("register.request must not be null (was null)", True),
        ("register.arg4 must not be null (was null)", True),
        ("lookUpSchemaUnderSubject.request must not be null (was null)", True),
        ("register.request must not be null (was null); error code: 422", True),
        ("The schema provided is null.", True),
        ("Invalid schema", False),
        (missing("body"), True),
        (missing("body", "schema"), True),
        ([{"type": "extra"}, *missing("body")], True),
        (missing("body", "references", 0, "name"), False),
        (missing("query", "schema"), False),
        ([{"type": "json_invalid", "loc": ["body", 11], "msg": "JSON decode error"}], True),
        ([{"type": "string_type", "loc": ["body", "schema"]}], False),
        ([{"type": ["missing"], "loc": "body"}, None, "missing", [["body"]]], False),
        ({"type": "missing", "loc": ["body"]}, False),
    ],
)
@pytest.mark.parametrize("status", [422, 400])
def test_a_422_that_calls_a_sent_body_null_is_a_lost_body(status: int, message: Any, lost: bool) -> None:
    assert read(status, {"error_code": 422, "message": message}).says_empty is (lost and status == 422)


def test_a_422_for_a_request_without_a_body_lost_nothing() -> None:
    request = RegistryRequest.build("GET", "/x", asked="get", operation="other", expects=answers.schema_with_id(7))
    body = b'{"error_code":422,"message":"register.request must not be null (was null)"}'

    assert not answers.read(Reply(URL, status=422, body=body), request).says_empty


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after": " 120 "}, 120),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:07 GMT", "date": DATE}, 7),
        ({"retry-after": "Wed, 21 Oct 2015 09:28:07 +0200", "date": DATE}, 7),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:00 GMT"}, 0),
        ({"retry-after": "Wed, 99 Oct 2015 07:27:00 GMT", "date": DATE}, None),
    ],
    ids=str,
)
def test_retry_after_is_seconds_or_a_date_beside_the_answers_own(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert read(429, b"", headers).retry_after == seconds


@pytest.mark.parametrize("date", [DATE, "", "nonsense"])
@given(given=st.text(max_size=40) | st.from_regex(r"Wed, \d{1,9} Oct \d{1,20} \d+:\d+:\d+ [+-]?\w{0,30}"))
def test_any_retry_after_at_all_is_read_without_an_accident(date: str, given: str) -> None:
    seconds = read(503, b"", {"retry-after": given, "date": date}).retry_after

    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    "given", ["Wed, 21 Oct 2015 07:28:00 +99999999999999999", "Wed, 21 Oct 99999999 07:28:00 GMT", "9" * 400]
)
def test_a_retry_after_out_of_all_bounds_is_no_accident(given: str) -> None:
    seconds = read(503, b"", {"retry-after": given, "date": DATE}).retry_after

    assert seconds is None or seconds < float("inf")


@pytest.mark.parametrize("broke", Break)
def test_an_exchange_without_an_answer_stays_what_it_is(broke: Break) -> None:
    outcome = answers.read(Reply(URL, broke, "words"), registration())

    assert (outcome.broke, outcome.detail, outcome.value) == (broke, "words", None)


@pytest.mark.parametrize("content", [{}, {"schema": 7}, {"schema": "x", "references": 7}, None, [], b"<html>"], ids=str)
@pytest.mark.parametrize("expects", [answers.schema_with_id(7), answers.version_of("s"), answers.is_compatible])
def test_other_questions_check_their_answers_too(expects: Any, content: Any) -> None:
    request: RegistryRequest[Any] = RegistryRequest.build("GET", "/x", asked="get", operation="other", expects=expects)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    assert answers.read(Reply(URL, status=200, body=body), request).broke is Break.BAD_ANSWER
