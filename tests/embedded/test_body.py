"""Every attempt carries the whole body: what this package exists for."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.errors import ConfigurationError, InvalidSchemaError
from kafka_sr_retry.events import AttemptEvent, BodyLostEvent
from kafka_sr_retry.testing import (
    Fault,
    SchemaRegistryServer,
    close_connection,
    drop_body,
    error,
    no_leader,
    redirect,
    reset,
    swallow,
    truncate,
)


def record(fields: int, doc: str = "") -> Schema:
    columns = [{"name": f"f{number}", "type": "long", "doc": doc} for number in range(fields)]
    return Schema(json.dumps({"type": "record", "name": "Order", "fields": columns}, ensure_ascii=False))


ORDER = record(3)


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through a proxy"])
@pytest.mark.parametrize(
    "schema",
    [ORDER, record(3, "Größe, 大きさ, \N{HAMSTER FACE}"), record(20_000, "x" * 100)],
    ids=["small", "unicode", "huge"],
)
def test_after_50003_twice_three_requests_carry_the_same_bytes(schema: Schema, proxied: bool) -> None:
    events: list[Any] = []
    with SchemaRegistryServer() as registry, SchemaRegistryServer(upstream=registry.url) as proxy:
        server = proxy if proxied else registry
        server.fail_next(no_leader(), no_leader())
        with SchemaRegistryClient({"url": server.url, "event_cb": events.append}) as client:
            schema_id = client.register_schema("orders-value", schema)
        requests = server.requests
        assert registry.requests[-1].body == requests[-1].body

    body = requests[0].body
    assert [request.answer for request in requests] == [500, 500, 200]
    assert [request.body for request in requests] == [body] * 3
    assert [request.headers["Content-Length"] for request in requests] == [str(len(body))] * 3
    assert all("Transfer-Encoding" not in request.headers for request in requests)
    assert json.loads(body)["schema"] == schema.schema_str
    assert schema_id == 1
    attempts = [event for event in events if isinstance(event, AttemptEvent)]
    assert {(e.bytes_sent, e.body_sha256) for e in attempts} == {(len(body), hashlib.sha256(body).hexdigest())}


@pytest.mark.parametrize(
    "fault",
    [error(503), error(500, 50002), reset(), close_connection(), swallow(), truncate(3), error(429)],
    ids=lambda fault: fault.name,
)
def test_every_retry_carries_the_whole_body(schema_registry: SchemaRegistryServer, fault: Fault) -> None:
    schema_registry.fail_next(fault, fault)
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        client.register_schema("orders-value", ORDER)
        body = json.dumps(ORDER.to_dict()).encode()

    assert [request.body for request in schema_registry.requests] == [body] * 3
    assert {request.headers["Content-Length"] for request in schema_registry.requests} == {str(len(body))}


def test_a_redirected_request_carries_the_whole_body() -> None:
    with SchemaRegistryServer() as home, SchemaRegistryServer() as away:
        home.fail_next(redirect(away.url), no_leader(), redirect(away.url))
        away.fail_next(no_leader())
        with SchemaRegistryClient({"url": home.url}) as client:
            client.register_schema("orders-value", ORDER)
        bodies = {request.body for request in (*home.requests, *away.requests)}

    assert bodies == {json.dumps(ORDER.to_dict()).encode()}
    assert (len(home.requests), len(away.requests)) == (3, 2)


def test_a_body_reader_shared_by_attempts_is_caught_with_the_registrys_422(
    schema_registry: SchemaRegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kafka_sr_retry.registry import transport

    readers: dict[bytes, io.BytesIO] = {}
    prepare_body = transport.requests.PreparedRequest.prepare_body

    def shares_a_reader(prepared: Any, data: bytes, files: None) -> None:
        prepare_body(prepared, readers.setdefault(data, io.BytesIO(data)), files)

    monkeypatch.setattr(transport.requests.PreparedRequest, "prepare_body", shares_a_reader)
    schema_registry.fail_next(no_leader())
    with (
        SchemaRegistryClient({"url": schema_registry.url}) as client,
        pytest.raises(InvalidSchemaError, match=r"register\.request must not be null \(was null\)") as caught,
    ):
        client.register_schema("orders-value", ORDER)

    assert caught.value.http_status_code == 422
    assert [len(request.body) > 0 for request in schema_registry.requests] == [True, False]


def test_each_subject_has_the_body_of_its_own_schema(schema_registry: SchemaRegistryServer) -> None:
    class Changes:
        schema_type, references = "AVRO", ()
        text = ORDER.schema_str

        def to_dict(self) -> dict[str, Any]:
            return {"schema": self.text}

    other, changes = record(2), Changes()
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        with pytest.raises(ConfigurationError, match="schema must be"):
            client.register_schema("none-value", None)  # type: ignore[arg-type]
        ids = [client.register_schema(f"{n}-value", schema) for n, schema in enumerate([ORDER, ORDER, other, ORDER])]
        mine: Any = changes
        ids.append(client.register_schema("a-value", mine))
        changes.text = other.schema_str
        ids.append(client.register_schema("b-value", mine))
    assert ids == [1, 1, 2, 1, 1, 2]
    sent = [json.loads(request.body)["schema"] for request in schema_registry.requests]
    texts = [ORDER.schema_str, other.schema_str]
    assert sent == [texts[number - 1] for number in ids]


def test_a_body_that_was_lost_on_the_way_goes_to_the_next_endpoint() -> None:
    events: list[Any] = []
    with SchemaRegistryServer() as drops, SchemaRegistryServer(first_id=9) as serves:
        drops.fail_always(drop_body())
        with SchemaRegistryClient({"url": [drops.url, serves.url], "event_cb": events.append}) as client:
            assert client.register_schema("orders-value", ORDER) == 9
            attempt = next(event for event in events if isinstance(event, AttemptEvent))
        assert (len(drops.requests), len(serves.requests)) == (1, 1)

        (lost,) = [event for event in events if isinstance(event, BodyLostEvent)]
        assert (lost.endpoint, lost.request_id) == (drops.url, attempt.request_id)
        assert lost.bytes_sent == len(drops.requests[0].body)


def test_a_body_that_is_lost_on_the_way_to_every_endpoint_is_final_and_explained() -> None:
    events: list[Any] = []
    with SchemaRegistryServer() as first, SchemaRegistryServer() as second:
        for registry in (first, second):
            registry.fail_always(drop_body())
        with (
            SchemaRegistryClient({"url": [first.url, second.url], "event_cb": events.append}) as client,
            pytest.raises(InvalidSchemaError, match="drops request bodies") as caught,
        ):
            client.register_schema("orders-value", ORDER)
        assert (len(first.requests), len(second.requests)) == (1, 1)

    assert caught.value.attempts == 2
    assert sum(isinstance(event, BodyLostEvent) for event in events) == 2
