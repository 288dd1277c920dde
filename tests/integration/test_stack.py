"""What a real registry and a real Kafka answer: what the client and the embedded registry are built on.

The tests hold for Confluent's and for Apicurio's registry, so they also run against docker-compose.yml. What all
registries have in common is in test_registries.py.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer
from stack import StackError, process


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


class Registry:
    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))

    def post_schema(self, path: str, schema: str) -> Answer:
        return self.ask("POST", path, json.dumps({"schema": schema}).encode())

    def register(self, subject: str, schema: str) -> Answer:
        return self.post_schema(f"/subjects/{subject}/versions", schema)

    def look_up(self, subject: str, schema: str) -> Answer:
        return self.post_schema(f"/subjects/{subject}", schema)


def order(**fields: str) -> str:
    """The Avro schema of an order with these fields."""
    typed = [{"name": name, "type": kind} for name, kind in fields.items()]
    return json.dumps({"type": "record", "name": "Order", "fields": typed})


ORDER = order(id="string")
INCOMPATIBLE_ORDER = order(id="string", amount="long")


@pytest.fixture
def registry(registry_url: str) -> Registry:
    return Registry(registry_url)


@pytest.fixture
def subject() -> str:
    return f"orders-{uuid.uuid4()}-value"


def test_registering_again_gives_the_same_id(registry: Registry, subject: str) -> None:
    first = registry.register(subject, ORDER)
    assert first.status == 200
    assert first.body["id"] > 0
    assert registry.register(subject, ORDER).body["id"] == first.body["id"]


def test_look_up_tells_subject_version_and_id(registry: Registry, subject: str) -> None:
    schema_id = registry.register(subject, ORDER).body["id"]
    status, found = registry.look_up(subject, ORDER)
    assert status == 200
    assert (found["subject"], found["version"], found["id"]) == (subject, 1, schema_id)
    assert json.loads(found["schema"]) == json.loads(ORDER)


def test_latest_and_by_id_give_the_registered_schema(registry: Registry, subject: str) -> None:
    schema_id = registry.register(subject, ORDER).body["id"]
    latest = registry.ask("GET", f"/subjects/{subject}/versions/latest")
    by_id = registry.ask("GET", f"/schemas/ids/{schema_id}")
    assert (latest.status, latest.body["id"]) == (200, schema_id)
    assert (by_id.status, json.loads(by_id.body["schema"])) == (200, json.loads(ORDER))


def test_incompatible_schema_is_a_409(registry: Registry, subject: str) -> None:
    registry.register(subject, ORDER)
    configured = registry.ask("PUT", f"/config/{subject}", b'{"compatibility": "BACKWARD"}')
    refused = registry.register(subject, INCOMPATIBLE_ORDER)
    assert configured.status == 200
    assert (refused.status, refused.body["error_code"]) == (409, 409)
    assert "ncompatible" in refused.body["message"]


def test_compatible_schema_becomes_the_next_version(registry: Registry, subject: str) -> None:
    registry.register(subject, INCOMPATIBLE_ORDER)
    registry.ask("PUT", f"/config/{subject}", b'{"compatibility": "BACKWARD"}')
    assert registry.register(subject, ORDER).status == 200
    assert registry.look_up(subject, ORDER).body["version"] == 2


def test_invalid_schema_is_a_42201(registry: Registry, subject: str) -> None:
    status, body = registry.register(subject, '{"type": "no such type"}')
    assert (status, body["error_code"]) == (422, 42201)


@pytest.mark.parametrize("body", [b"", b"null"], ids=["no bytes", "null"])
def test_empty_body_is_a_422_that_says_null(registry: Registry, subject: str, body: bytes) -> None:
    """The error that a retry without its body gets: this project's reason to be."""
    status, answer = registry.ask("POST", f"/subjects/{subject}/versions", body)
    assert status == 422
    assert answer["error_code"] in {422, 42201}
    assert "null" in answer["message"]


def test_unknown_subject_is_a_40401(registry: Registry, subject: str) -> None:
    status, body = registry.look_up(subject, ORDER)
    assert (status, body["error_code"]) == (404, 40401)


def test_unknown_version_is_a_40402(registry: Registry, subject: str) -> None:
    registry.register(subject, ORDER)
    status, body = registry.ask("GET", f"/subjects/{subject}/versions/99")
    assert (status, body["error_code"]) == (404, 40402)


def test_unknown_id_and_foreign_schema_are_a_40403(registry: Registry, subject: str) -> None:
    registry.register(subject, ORDER)
    for status, body in (
        registry.ask("GET", f"/schemas/ids/{2**31 - 1}"),
        registry.look_up(subject, INCOMPATIBLE_ORDER),
    ):
        assert (status, body["error_code"]) == (404, 40403)


def test_kafka_gives_back_what_was_produced(kafka_bootstrap_servers: str) -> None:
    topic = f"orders-{uuid.uuid4()}"
    producer = Producer({"bootstrap.servers": kafka_bootstrap_servers})
    producer.produce(topic, key=b"key", value=b"\x00\x00\x00\x00\x01value")
    assert producer.flush(30) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka_bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest"}
    )
    try:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        assert (message.key(), message.value()) == (b"key", b"\x00\x00\x00\x00\x01value")
    finally:
        consumer.close()


def test_a_process_is_ended_by_its_folder_alone(tmp_path: Path) -> None:
    process.start(tmp_path, "exec sleep 60")
    assert process.is_alive(tmp_path)
    process.stop(tmp_path)
    assert not process.is_alive(tmp_path)


def test_a_killed_process_starts_again_in_its_folder_and_log(tmp_path: Path) -> None:
    for count in (1, 2):
        process.start(tmp_path, "trap '' TERM; echo here; sleep 60")
        process.await_ready(tmp_path, lambda count=count: (tmp_path / "log").read_text() == count * "here\n", 30)
        process.kill(tmp_path)
        assert not process.is_alive(tmp_path)


def test_a_process_that_ends_early_shows_the_end_of_its_log(tmp_path: Path) -> None:
    process.start(tmp_path, "echo no luck today; exit 1")
    with pytest.raises(StackError, match="no luck today"):
        process.await_ready(tmp_path, lambda: False, seconds=10)
