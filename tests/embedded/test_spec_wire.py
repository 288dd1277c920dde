"""The answers of tests/spec on the wire: the client takes each for what the file says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from clocks import StandingClock

sys.path.insert(0, str(Path(__file__).parents[2]))

from kafka_sr_retry import Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import AttemptEvent, Event
from kafka_sr_retry.testing import RecordedRequest, SchemaRegistryServer, answer
from tests.spec import ORDER, SUBJECT, cases, survival
from tests.spec.wire import REFUSED, attempts, fault, on_the_wire

ROOT = Path(__file__).parents[2]
SCHEMA = Schema(ORDER)
ASKS: dict[str, Callable[[SchemaRegistryClient], Any]] = {
    "register": lambda client: client.register_schema(SUBJECT, SCHEMA),
    "look_up": lambda client: client.lookup_schema(SUBJECT, SCHEMA).schema_id,
    "get_version": lambda client: client.get_version(SUBJECT, 1).schema_id,
    "get_latest": lambda client: client.get_latest_version(SUBJECT).schema_id,
    "get_schema": lambda client: client.get_registered(1).schema_id,
    "associations": lambda client: list(client.get_associated_subjects("orders", "cluster", "value")),
    "compatibility": lambda client: client.test_compatibility(SUBJECT, SCHEMA),
}
ASKS["token"] = ASKS["register"]
OAUTH = {
    "bearer.auth.credentials.source": "OAUTHBEARER",
    "bearer.auth.client.id": "id",
    "bearer.auth.client.secret": "secret",
}


@pytest.fixture(scope="module")
def registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        yield server


class Client:
    """A client, and what it did."""

    def __init__(self, *urls: str, tokens: str | None = None, **conf: Any) -> None:
        given = {"url": list(urls), "event_cb": self._hear, "ssl.ca.location": False, "request.timeout.ms": 1000}
        given |= {name.replace("_", "."): value for name, value in conf.items()}
        if tokens is not None:
            given |= {**OAUTH, "bearer.auth.issuer.endpoint.url": f"{tokens}/token"}
        self.attempts: list[AttemptEvent] = []
        self.client = SchemaRegistryClient(given, clock=StandingClock())

    def _hear(self, event: Event) -> None:
        if isinstance(event, AttemptEvent):
            self.attempts.append(event)

    def ask(self, ask: str) -> dict[str, Any]:
        """What the caller gets."""
        try:
            return {"gives": ASKS[ask](self.client)}
        except SchemaRegistryError as failed:
            return {"error": type(failed).__name__, "wait": failed.retry_after}


def is_token(request: RecordedRequest) -> bool:
    return request.path.startswith("/token")


@contextmanager
def playing(case: dict[str, Any], registry: SchemaRegistryServer) -> Iterator[Client]:
    """A client whose registry, or token's server, answers as ``case`` says, each time."""
    played = fault(case)
    of_tokens = case["ask"] == "token"
    refused = case["answer"].get("broke") == "refused"
    tokens = (REFUSED if refused else registry.url) if of_tokens or case.get("renewable") else None
    url = REFUSED if refused and not of_tokens else registry.url
    client = Client(url, tokens=tokens, max_retries=0)
    if case["answer"].get("broke") == "stale":
        words = '{"error_code":40401,"error":"invalid_client"}'
        registry.fail_next(answer(401 if of_tokens else 404, words))  # its connection is kept
        client.ask("get_version")
        client.attempts.clear()
    if played is not None:
        registry.fail_always(played, matching=is_token if of_tokens else lambda request: not is_token(request))
    registry.fail_always(answer(200, '{"access_token":"t","expires_in":3600}'), matching=is_token)
    with client.client:
        yield client
    registry.recover()


PLAYABLE = [case for case in cases("answers") if fault(case) or case["answer"].get("broke") == "refused"]


@pytest.mark.parametrize("case", PLAYABLE, ids=lambda case: case["id"])
def test_an_answer_on_the_wire_means_the_same(case: dict[str, Any], registry: SchemaRegistryServer) -> None:
    means = case["means"]
    registry.clear_requests()
    with playing(case, registry) as client:
        found = client.ask(case["ask"])
        first = next(event for event in client.attempts if (event.operation == "token") == (case["ask"] == "token"))
        asked = len(client.attempts)
        again = client.ask(case["ask"])

    assert first.outcome == means["row"]
    if "caller" in case:
        assert found == again == {"gives": case["caller"]}
    elif "gives" in means and case["ask"] != "token":
        assert found == again == {"gives": means["gives"]}
    elif "error" in means:
        assert found["error"] == means["error"]
        assert means.get("wait", 0) < 30 or found["wait"] >= means["wait"]
    if means["action"] in ("refuse", "elsewhere") and "blame" not in means and case["ask"] != "token":
        assert (len(client.attempts) > asked) == ("remembered" not in means)


TRANSCRIPTS = [case for case in cases("transcripts") if on_the_wire(case) is not None]


@pytest.mark.parametrize("case", TRANSCRIPTS, ids=lambda case: case["id"])
def test_a_transcript_on_the_wire_is_the_same(case: dict[str, Any]) -> None:
    world = case.get("world", {})
    conf = {"max_retries": world["max_retries"]} if "max_retries" in world else {}
    names: dict[str, str] = {}
    with ExitStack() as stack:
        for name, faults in zip(case["nodes"], on_the_wire(case) or [], strict=True):
            if faults is None:
                names[REFUSED] = name
            else:
                server = stack.enter_context(SchemaRegistryServer())
                server.fail_next(*(how for _, how in faults))
                names[server.url] = name
        client = Client(*names, total_timeout_ms=int(world.get("total", 30) * 1000), **conf)
        stack.enter_context(client.client)
        (call,) = [line for line in case["play"] if "call" in line]
        found = client.ask(call.get("ask", "register"))

    assert [names[event.endpoint] for event in client.attempts] == [node for node, _ in attempts(case)]
    end = case["play"][-1]
    assert found == {"gives": end["gets"]} if "gets" in end else found["error"] == end["fails"]


@pytest.mark.skipif(
    os.environ.get("CI") != "true" and f"client {survival.VERSION}." not in survival.PAGE.read_text(encoding="utf-8"),
    reason="the table is of another version of Confluent's client",
)
def test_the_table_of_who_survives_what_is_up_to_date() -> None:
    # on its own: other tests may have raised the interpreter's limit of recursion, at which Confluent's client fails
    code = "import sys; from tests.spec.survival import written; sys.stdout.buffer.write(written().encode())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=120, check=True)
    assert done.stdout.decode() == survival.PAGE.read_text(encoding="utf-8")
