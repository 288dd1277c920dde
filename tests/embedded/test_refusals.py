"""A final refusal answers the same question again for a while; a latest version outlives its registry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clocks import ShiftedClock, StandingClock
from confluent_kafka.serialization import MessageField, SerializationContext
from waiting import until

from kafka_sr_retry import (
    AvroSerializer,
    ConfigurationError,
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    Schema,
    SchemaNotFoundError,
    SchemaRegistryClient,
    SchemaRegistryError,
)
from kafka_sr_retry.events import Event, StaleEvent, SuccessEvent
from kafka_sr_retry.testing import SchemaRegistryServer, faults

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
LATER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"string"}]}')
VALUE = SerializationContext("orders", MessageField.VALUE)


class World:
    def __init__(self, registry: SchemaRegistryServer, **conf: Any) -> None:
        self.registry = registry
        self.clock = ShiftedClock()
        self.events: list[Event] = []
        self.heard = threading.Condition()
        self.client = SchemaRegistryClient({"url": registry.url, "event_cb": self.hear} | conf, clock=self.clock)

    def hear(self, event: Event) -> None:
        with self.heard:
            self.events.append(event)
            self.heard.notify_all()

    def await_event(self, kind: type[Event], count: int) -> None:
        def enough() -> bool:
            return sum(isinstance(event, kind) for event in self.events) >= count

        with self.heard:
            assert self.heard.wait_for(enough, 30)


@pytest.fixture
def world(schema_registry: SchemaRegistryServer) -> Iterator[World]:
    world = World(schema_registry)
    with world.client:
        yield world


def refused(world: World, subject: str = "orders-value") -> SchemaRegistryError:
    with pytest.raises(SchemaRegistryError) as caught:
        world.client.register_schema(subject, ORDER)
    return caught.value


def test_300_messages_with_a_refused_schema_are_one_request(world: World) -> None:
    world.registry.incompatible("orders-value")
    serializer = AvroSerializer(world.client, ORDER)
    errors = []
    for _ in range(300):
        with pytest.raises(IncompatibleSchemaError) as caught:
            serializer({"id": 1}, VALUE)
        errors.append(caught.value)

    assert len(world.registry.requests) == 1
    assert len(set(map(id, errors))) == 300
    assert "remembered" not in str(errors[0])
    assert all("remembered refusal" in str(error) for error in errors[1:])
    assert {error.http_status_code for error in errors} == {409}


REMEMBERED = [
    (faults.error(409), IncompatibleSchemaError, 30),
    (faults.error(422, 42201), InvalidSchemaError, 30),
    (faults.error(404, 40401), SchemaNotFoundError, 5),
]


@pytest.mark.parametrize(("fault", "error", "seconds"), REMEMBERED)
def test_a_refusal_is_remembered_for_its_time_and_no_longer(
    world: World, fault: faults.Fault, error: type[SchemaRegistryError], seconds: float
) -> None:
    world.registry.fail_next(fault)
    assert isinstance(refused(world), error)
    world.clock.shift = seconds - 1
    assert "remembered" in str(refused(world))
    assert len(world.registry.requests) == 1
    world.clock.shift = seconds + 1
    assert world.client.register_schema("orders-value", ORDER) == 1


def test_403_is_remembered_after_one_look_up(world: World) -> None:
    world.registry.fail_next(faults.error(403), faults.error(403))
    assert isinstance(refused(world), RegistryAuthError)
    assert isinstance(refused(world), RegistryAuthError)
    assert [request.path for request in world.registry.requests] == [
        "/subjects/orders-value/versions",
        "/subjects/orders-value",
    ]


@pytest.mark.parametrize(
    "fault", [faults.drop_body(), faults.html(413), faults.html(404)], ids=["lost body", "413", "page"]
)
def test_what_may_be_the_questions_own_is_remembered_until_it_may_be_asked_again(
    fault: faults.Fault, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_always(fault)
    with SchemaRegistryClient({"url": schema_registry.url}, clock=StandingClock()) as client:
        for _ in range(5):
            with pytest.raises(SchemaRegistryError) as caught:
                client.register_schema("orders-value", ORDER)
        assert "a remembered refusal" in str(caught.value)
        assert len(schema_registry.requests) == 1

    world = World(schema_registry)
    with world.client:
        for number in range(1, 4):
            refused(world)
            assert len(schema_registry.requests) == 1 + number
            world.clock.shift += 25
        schema_registry.recover()
        assert world.client.register_schema("orders-value", ORDER) == 1


def test_401_is_never_remembered(world: World) -> None:
    world.registry.fail_next(faults.error(401))
    assert isinstance(refused(world), RegistryAuthError)
    assert world.client.register_schema("orders-value", ORDER) == 1


def test_a_refusal_belongs_to_its_subject_and_schema(world: World) -> None:
    world.registry.fail_next(faults.error(409))
    refused(world)
    assert world.client.register_schema("other-value", ORDER)
    assert world.client.register_schema("orders-value", LATER)
    assert "remembered" in str(refused(world))


def test_clear_caches_forgets_refusals(world: World) -> None:
    world.registry.fail_next(faults.error(409))
    refused(world)
    world.client.clear_caches()
    assert world.client.register_schema("orders-value", ORDER) == 1


def test_a_ttl_of_zero_remembers_no_refusal(schema_registry: SchemaRegistryServer) -> None:
    world = World(schema_registry, **{"refusal.cache.ttl.ms": 0})
    schema_registry.fail_next(faults.error(409))
    with world.client:
        refused(world)
        assert world.client.register_schema("orders-value", ORDER) == 1


def test_refusals_are_bounded(schema_registry: SchemaRegistryServer) -> None:
    world = World(schema_registry, **{"cache.capacity": 2})
    schema_registry.fail_always(faults.error(409))
    with world.client:
        for subject in "abca":
            refused(world, subject)
    assert len(schema_registry.requests) == 4


# -- use.latest.version ------------------------------------------------------------------------


LATEST = {"auto.register.schemas": False, "use.latest.version": True}


def test_the_latest_version_is_written_whatever_the_given_schema_says(world: World) -> None:
    world.registry.check_compatibility = False
    world.registry.register("orders-value", ORDER.schema_str)
    latest = world.registry.register("orders-value", LATER.schema_str)
    for schema in (ORDER, None):
        serialize = AvroSerializer(world.client, schema, None, LATEST)
        assert serialize({"id": "ab"}, VALUE) == b"\0\0\0\0" + bytes([latest]) + b"\4ab"
    assert len(world.registry.requests) == 1


def test_what_a_client_was_asked_for_at_start_serves_its_serializers(world: World) -> None:
    world.registry.register("orders-value", ORDER.schema_str)
    world.client.get_latest_version("orders-value", timeout=60)
    serialize = AvroSerializer(world.client, None, None, LATEST)
    assert serialize({"id": 1}, VALUE) == b"\0\0\0\0\1\2"
    assert len(world.registry.requests) == 1


def test_use_latest_version_contradicts_registering() -> None:
    with pytest.raises(ConfigurationError, match=r"auto\.register\.schemas"):
        AvroSerializer({"url": "http://localhost:1"}, ORDER, None, {"use.latest.version": True})


def test_the_old_version_serves_while_one_request_refreshes_it(schema_registry: SchemaRegistryServer) -> None:
    world = World(schema_registry, **{"cache.latest.ttl.sec": 60})
    schema_registry.register("orders-value", '"string"')
    serialize = AvroSerializer(world.client, None, None, LATEST)
    assert serialize("a", VALUE) == b"\0\0\0\0\1\2a"
    schema_registry.register("orders-value", '["null","string"]')
    for _ in range(20):
        assert serialize("a", VALUE) == b"\0\0\0\0\1\2a"
    assert len(schema_registry.requests) == 1

    schema_registry.delay = 0.2
    world.clock.shift = 61
    assert [serialize("a", VALUE) for _ in range(20)] == 20 * [b"\0\0\0\0\1\2a"]
    world.await_event(SuccessEvent, 2)
    until(lambda: serialize("a", VALUE) != b"\0\0\0\0\1\2a")
    assert serialize("a", VALUE) == b"\0\0\0\0\2\2\2a"
    assert len(schema_registry.requests) == 2
    world.client.close()


def test_the_old_version_goes_on_serving_while_the_registry_is_down(schema_registry: SchemaRegistryServer) -> None:
    world = World(schema_registry, **{"cache.latest.ttl.sec": 60, "max.retries": 0})
    schema_registry.register("orders-value", '"string"')
    serialize = AvroSerializer(world.client, None, None, LATEST)
    serialize("a", VALUE)
    schema_registry.fail_always(faults.error(503))
    for number, world.clock.shift in enumerate((61.0, 67.0, 181.0), 1):
        assert serialize("a", VALUE) == b"\0\0\0\0\1\2a"
        world.await_event(StaleEvent, number)
        assert serialize("a", VALUE) == b"\0\0\0\0\1\2a"
    assert len(schema_registry.requests) == 4
    stale = [event for event in world.events if isinstance(event, StaleEvent)]
    assert [(event.version, int(event.age) // 60) for event in stale] == [(1, 1), (1, 1), (1, 3)]
    assert "503" in stale[0].reason
    world.client.close()


def test_without_a_ttl_the_latest_version_is_asked_for_once(world: World) -> None:
    world.registry.register("orders-value", '"string"')
    serialize = AvroSerializer(world.client, None, None, LATEST)
    serialize("a", VALUE)
    world.clock.shift = 1e6
    serialize("a", VALUE)
    assert len(world.registry.requests) == 1


def test_no_latest_version_is_an_error_that_names_the_subject(world: World) -> None:
    with pytest.raises(SchemaNotFoundError, match="orders-value"):
        AvroSerializer(world.client, None, None, LATEST)("a", VALUE)


class Late(float):
    """A timeout of a caller who is held up between looking into the memory and asking."""

    meanwhile: Callable[[], object]

    def __new__(cls, meanwhile: Callable[[], object]) -> Late:
        late = super().__new__(cls, 30)
        late.meanwhile = meanwhile
        return late

    def __radd__(self, began: float) -> float:
        self.meanwhile()
        return began + 30


def test_a_caller_who_comes_just_after_the_answer_does_not_ask_again(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        late = Late(lambda: client.register_schema("s", ORDER))
        assert client.register_schema("s", ORDER, timeout=late) == 1
    assert len(schema_registry.requests) == 1


def test_a_caller_who_comes_just_after_the_refusal_does_not_ask_again(schema_registry: SchemaRegistryServer) -> None:
    def refused() -> None:
        with pytest.raises(IncompatibleSchemaError):
            client.register_schema("s", ORDER)

    schema_registry.incompatible("s")
    with SchemaRegistryClient({"url": schema_registry.url}) as client, pytest.raises(IncompatibleSchemaError):
        client.register_schema("s", ORDER, timeout=Late(refused))
    assert len(schema_registry.requests) == 1
