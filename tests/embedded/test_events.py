"""What listeners are told, in which order and on which thread, and what they may do to a request."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from clocks import FastClock
from confluent_kafka.serialization import MessageField, SerializationContext
from waiting import until

from kafka_sr_retry import AvroSerializer, Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import (
    AttemptEvent,
    AttemptStartEvent,
    CallStartEvent,
    Event,
    GiveUpEvent,
    RefusalEvent,
    RetryEvent,
    SuccessEvent,
)
from kafka_sr_retry.registry.client import ClientState
from kafka_sr_retry.registry.outages import EndpointState
from kafka_sr_retry.testing import SchemaRegistryServer, error, no_leader, reset

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
OTHER = Schema('"string"')
VALUE = SerializationContext("orders", MessageField.VALUE)
ENDS = SuccessEvent | RefusalEvent | GiveUpEvent


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def clock() -> FastClock:
    return FastClock()


@pytest.fixture
def make(
    schema_registry: SchemaRegistryServer, heard: list[Event], clock: FastClock
) -> Iterator[Callable[..., SchemaRegistryClient]]:
    made = []

    def make(**conf: Any) -> SchemaRegistryClient:
        conf = {"url": schema_registry.url, "event_cb": heard.append, **conf}
        made.append(SchemaRegistryClient({k.replace("__", "."): v for k, v in conf.items()}, clock=clock))
        return made[-1]

    yield make
    for client in made:
        client.close()


Make = Callable[..., SchemaRegistryClient]


def test_once_its_end_was_told_a_call_holds_nothing_of_its_callers(make: Make) -> None:
    class Big:
        pass

    def produce() -> weakref.ref[Big]:
        big = Big()
        contextvars.ContextVar[Big]("big").set(big)
        assert client.register_schema("s", ORDER) == 1
        return weakref.ref(big)

    client = make(total__timeout__ms=86_400_000)
    held = contextvars.Context().run(produce)
    until(lambda: gc.collect() >= 0 and held() is None)


@pytest.mark.parametrize(
    ("faults", "conf", "end"),
    [
        ([], {}, SuccessEvent),
        ([no_leader(), error(503)], {}, SuccessEvent),
        ([error(409)], {}, RefusalEvent),
        ([error(503)] * 2, {"max__retries": 1}, GiveUpEvent),
        ([], {"total__timeout__ms": 1}, GiveUpEvent),
    ],
    ids=["success", "retries", "refusal", "give-up", "no time"],
)
def test_a_call_and_each_of_its_attempts_begins_and_ends_once(
    make: Make,
    schema_registry: SchemaRegistryServer,
    heard: list[Event],
    faults: list[Any],
    conf: dict[str, Any],
    end: type[Event],
) -> None:
    schema_registry.fail_next(*faults)
    client = make(**{"total__timeout__ms": 600_000, **conf})
    with suppress(SchemaRegistryError):
        client.register_schema("s", ORDER)
    for _ in range(3000):  # a caller whose time is over leaves before its call ends
        if client.state().waiting == 0 and isinstance(heard[-1] if heard else None, ENDS):
            break
        threading.Event().wait(0.01)

    assert [type(event) for event in heard if isinstance(event, CallStartEvent | ENDS)] == [CallStartEvent, end]
    assert len({event.call for event in heard}) == 1
    assert {event.operation for event in heard} == {"register"}
    pairs = [event for event in heard if isinstance(event, AttemptStartEvent | AttemptEvent)]
    for number, (started, ended) in enumerate(zip(pairs[::2], pairs[1::2], strict=True), 1):
        assert (type(started), type(ended)) == (AttemptStartEvent, AttemptEvent)
        assert (started.number, started.request_id, started.url, started.endpoint) == (
            *(number, ended.request_id, ended.url, schema_registry.url),
        )


def test_the_numbers_of_calls_are_unique_among_the_clients_of_a_process(make: Make, heard: list[Event]) -> None:
    for number, client in enumerate((make(), make(), make())):
        client.register_schema(f"s{number}", ORDER)
    assert len({event.call for event in heard if isinstance(event, CallStartEvent)}) == 3


def test_each_of_several_listeners_hears_all_though_another_raises(make: Make) -> None:
    first: list[Event] = []
    second: list[Event] = []

    def raises(_: Event) -> None:
        raise RuntimeError("listener")

    make(event_cb=[first.append, raises, second.append]).register_schema("s", ORDER)
    assert first == second
    assert [type(event) for event in first] == [CallStartEvent, AttemptStartEvent, AttemptEvent, SuccessEvent]


def test_a_refused_registration_that_is_looked_up_is_not_the_end(
    make: Make, schema_registry: SchemaRegistryServer, heard: list[Event]
) -> None:
    schema_registry.register("s", ORDER.schema_str)
    schema_registry.fail_next(error(403))
    assert make().register_schema("s", ORDER) == 1

    refusal, success = [event for event in heard if isinstance(event, ENDS)]
    assert isinstance(refusal, RefusalEvent)
    assert (refusal.look_up, refusal.operation, success.operation) == (True, "register", "register")
    assert success.call != refusal.call


def test_a_refusal_with_nothing_to_look_up_is_the_end(
    make: Make, schema_registry: SchemaRegistryServer, heard: list[Event]
) -> None:
    schema_registry.fail_next(error(403))
    with pytest.raises(SchemaRegistryError):
        make().get_schema(1)
    (refusal,) = [event for event in heard if isinstance(event, RefusalEvent)]
    assert (refusal.look_up, refusal.operation) == (False, "get_schema")


def test_every_kind_of_question_has_its_operation(
    make: Make, schema_registry: SchemaRegistryServer, heard: list[Event]
) -> None:
    client = make()
    asked = {
        "register": lambda: client.register_schema("s", ORDER),
        "look_up": lambda: client.lookup_schema("s", ORDER),
        "get_schema": lambda: client.get_schema(1),
        "get_version": lambda: client.get_latest_version("s"),
        "compatibility": lambda: client.test_compatibility("s", ORDER),
        "associations": lambda: client.get_associated_subjects("t", "-", "value"),
    }
    for operation, ask in asked.items():
        before = max((event.call for event in heard), default=0)  # the last one's success may be told later
        ask()
        assert {event.operation for event in heard if event.call > before} == {operation}


# -- headers ---------------------------------------------------------------------------------------


def test_a_listener_gives_each_attempt_its_own_headers(make: Make, schema_registry: SchemaRegistryServer) -> None:
    def gives(event: Event) -> None:
        if isinstance(event, AttemptStartEvent):
            event.headers["traceparent"] = f"attempt-{event.number}"

    schema_registry.fail_next(no_leader(), reset())
    make(event_cb=gives).register_schema("s", ORDER)
    given = [request.headers.get("traceparent") for request in schema_registry.requests]
    assert given == ["attempt-1", "attempt-2", "attempt-3"]


def test_a_listener_cannot_take_the_place_of_credentials(make: Make, schema_registry: SchemaRegistryServer) -> None:
    def gives(event: Event) -> None:
        if isinstance(event, AttemptStartEvent):
            event.headers["authorization"] = "Basic forged"

    make(event_cb=gives, basic__auth__user__info="user:password").register_schema("s", ORDER)
    (request,) = schema_registry.requests
    assert request.headers["Authorization"] == "Basic dXNlcjpwYXNzd29yZA=="


@pytest.mark.parametrize(
    "headers",
    [{"Content-Length": "0"}, {"transfer-encoding": "chunked"}, {"X": "a\r\nb: c"}, {"X\n": "a"}, {"X": 1}, {1: "x"}],
    ids=str,
)
def test_headers_that_could_harm_a_request_are_left_out_and_logged(
    make: Make, schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture, headers: dict[Any, Any]
) -> None:
    def gives(event: Event) -> None:
        if isinstance(event, AttemptStartEvent):
            event.headers.update(headers)

    assert make(event_cb=gives).register_schema("s", ORDER) == 1
    (request,) = schema_registry.requests
    assert request.body
    assert not {"X", "x"} & set(request.headers)
    assert [record.message for record in caplog.records] == ["event_cb raised on AttemptStartEvent"]


# -- threads ---------------------------------------------------------------------------------------

caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


def test_listeners_have_the_context_variables_of_the_caller(make: Make) -> None:
    seen: list[tuple[str, str, int]] = []
    client = make(event_cb=lambda event: seen.append((event.asked, caller.get(), threading.get_ident())))

    def ask(name: str) -> None:
        caller.set(name)
        client.register_schema(name, ORDER)

    for name in ("one", "two"):
        contextvars.copy_context().run(ask, name)
    assert {(asked, name) for asked, name, _ in seen} == {
        (f"register a schema under subject '{name}'", name) for name in ("one", "two")
    }
    assert threading.get_ident() not in {thread for *_, thread in seen}


# -- messages --------------------------------------------------------------------------------------


def test_a_message_whose_id_is_known_causes_no_event(schema_registry: SchemaRegistryServer, heard: list[Event]) -> None:
    conf = {"url": schema_registry.url, "event_cb": heard.append}
    with SchemaRegistryClient(conf) as client:
        serializer = AvroSerializer(client, ORDER.schema_str)
        serializer({"id": 1}, VALUE)
        assert heard
        heard.clear()
        for number in range(1000):
            serializer({"id": number}, VALUE)
        assert heard == []


# -- state -----------------------------------------------------------------------------------------


class Watcher:
    def __init__(self) -> None:
        self.clients: list[SchemaRegistryClient] = []

    def __call__(self, event: Event) -> None:
        pass

    def watch(self, client: SchemaRegistryClient) -> None:
        self.clients.append(client)


def test_a_listener_that_watches_is_given_each_client_once(make: Make) -> None:
    watcher = Watcher()
    clients = [make(event_cb=watcher), make(event_cb=[watcher])]
    clients[0].register_schema("s", ORDER)
    assert watcher.clients == clients


def test_a_clients_state_tells_what_is_known_and_who_is_well(make: Make, schema_registry: SchemaRegistryServer) -> None:
    client = make()
    url, well = schema_registry.url, (True, False)
    assert client.state() == ClientState(0, 0, (EndpointState(url, *well), EndpointState("writes", *well)))
    client.register_schema("s", ORDER)
    client.register_schema("s2", ORDER)
    assert client.state().known == 2
    client.clear_caches()
    assert client.state().known == 0


def test_a_state_shows_an_outage_until_it_is_over(schema_registry: SchemaRegistryServer) -> None:
    opened = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, RetryEvent) and event.round > 3:
            opened.set()

    schema_registry.lose_leader()
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": listen}, clock=FastClock()) as client:
        asking = threading.Thread(target=client.register_schema, args=("s", ORDER), kwargs={"timeout": 6000})
        asking.start()
        assert opened.wait(30)
        (node, writes), waiting = client.state().endpoints, client.state().waiting
        assert (node.up, node.open, writes.up, writes.open, waiting) == (True, False, False, True, 1)
        schema_registry.elect_leader()
        asking.join(30)
        assert [(e.up, e.open) for e in client.state().endpoints] == [(True, False)] * 2
        assert client.state().waiting == 0


def test_an_outage_that_nobody_asks_about_any_more_is_not_shown(
    make: Make, schema_registry: SchemaRegistryServer, clock: FastClock
) -> None:
    schema_registry.fail_always(error(500))
    client = make(max__retries=4, total__timeout__ms=6_000_000)
    with pytest.raises(SchemaRegistryError):
        client.register_schema("s", ORDER)
    assert [(e.up, e.open) for e in client.state().endpoints] == [(False, True), (True, False)]
    clock.later(200)
    assert [(e.up, e.open) for e in client.state().endpoints] == [(True, False)] * 2
