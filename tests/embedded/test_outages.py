"""Many threads, one sick registry: one probes, the others wait, and all go on together."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from clocks import FastClock
from waiting import until

from kafka_sr_retry import RegistryUnavailableError, Schema, SchemaRegistryClient
from kafka_sr_retry.events import AttemptEvent, BreakerEvent, Event, FailoverEvent
from kafka_sr_retry.registry.request import RegistryRequest
from kafka_sr_retry.registry.timers import Timers
from kafka_sr_retry.testing import SchemaRegistryServer, faults

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')


class Listener(list[Event]):
    """Keeps the events, and waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.append(event)
            self._changed.notify_all()

    def until(self, kind: type[Event], count: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: sum(isinstance(e, kind) for e in self) >= count, 30)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def client(schema_registry: SchemaRegistryServer, listener: Listener) -> Iterator[SchemaRegistryClient]:
    conf = {"url": schema_registry.url, "event_cb": listener, "retries.max.wait.ms": 1000}
    with SchemaRegistryClient(conf, clock=FastClock()) as client:
        yield client


def test_while_a_registry_is_down_32_threads_probe_like_one(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, listener: Listener
) -> None:
    schema_registry.fail_always(faults.error(503))
    with ThreadPoolExecutor(32) as threads:
        ids = [threads.submit(client.register_schema, f"subject-{n}", ORDER, timeout=600) for n in range(32)]
        listener.until(BreakerEvent)
        listener.until(AttemptEvent, 32 + 40)
        schema_registry.recover()
        assert {future.result(60) for future in ids} == {1}

    failed = [event for event in listener if isinstance(event, AttemptEvent) and event.status == 503]
    assert len({event.asked for event in failed[-36:]}) == 32, "probes go round"
    assert [event.open for event in listener if isinstance(event, BreakerEvent)] == [True, False]
    assert sum(request.answer == 200 for request in schema_registry.requests) == 32


def test_a_known_schema_is_answered_while_others_wait_for_a_leader(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, listener: Listener
) -> None:
    known = [schema_registry.register(f"known-{n}", f'{{"type":"fixed","name":"F","size":{n + 1}}}') for n in range(5)]
    schema_registry.lose_leader()
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(client.register_schema, f"new-{n}", ORDER, timeout=600) for n in range(8)]
        listener.until(BreakerEvent)
        for number, schema_id in enumerate(known):
            schema = Schema(f'{{"type":"fixed","name":"F","size":{number + 1}}}')
            assert client.register_schema(f"known-{number}", schema) == schema_id
            assert client.get_latest_version(f"known-{number}").schema_id == schema_id
        assert not any(future.done() for future in waiting)
        schema_registry.elect_leader()
        assert len({future.result(60) for future in waiting}) == 1


def test_once_an_outage_has_cost_a_call_its_time_later_ones_fail_at_once_and_tell_when_to_come_back(
    schema_registry: SchemaRegistryServer,
) -> None:
    schema_registry.fail_always(faults.error(503))
    attempts = []
    with SchemaRegistryClient({"url": schema_registry.url}, clock=FastClock(20)) as client:
        with pytest.raises(RegistryUnavailableError):
            client.register_schema("orders-value", ORDER)
        while not {0, 1} <= set(attempts):
            with pytest.raises(RegistryUnavailableError) as caught:
                client.register_schema("orders-value", ORDER)
            attempts.append(caught.value.attempts)
            assert caught.value.attempts or caught.value.retry_after is not None
    assert set(attempts) == {0, 1}, "most fail at once, and one that comes when it is time probes once"


def test_a_known_subject_is_not_delayed_by_one_that_hangs(
    client: SchemaRegistryClient, schema_registry: SchemaRegistryServer, listener: Listener
) -> None:
    assert client.register_schema("known", ORDER) == 1
    schema_registry.fail_always(faults.hang(), matching=lambda request: "hanging" in request.path)
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(client.register_schema, "hanging", ORDER)
        until(lambda: len(schema_registry.requests) >= 2)
        assert client.register_schema("known", ORDER) == 1
        assert client.register_schema("another", ORDER) == 1
        assert not hanging.done()
        client.close()
        with pytest.raises(RegistryUnavailableError, match="closed"):
            hanging.result(60)


def test_times_that_are_set_anew_take_no_memory() -> None:
    timers: Timers[str] = Timers()
    for at in range(10_000):
        timers.set("first", 0.0)
        timers.set("call", 1.0 + at)
    assert len(timers._heap) < 100
    assert timers.due(10_000.0) == ["first", "call"]


def test_the_good_endpoint_is_asked_first_from_then_on(schema_registry: SchemaRegistryServer) -> None:
    listener = Listener()
    with SchemaRegistryServer() as dead:
        dead.fail_always(faults.reset())
        conf = {"url": [dead.url, schema_registry.url], "event_cb": listener}
        with SchemaRegistryClient(conf, clock=FastClock()) as client:
            for number in range(10):
                assert client.register_schema(f"subject-{number}", ORDER) == 1
        assert len(dead.requests) == 1
    assert sum(isinstance(event, FailoverEvent) for event in listener) == 1


@pytest.mark.parametrize("fault", [faults.no_leader(), faults.error(500)], ids=lambda fault: fault.name)
def test_what_failed_is_remembered_and_not_held(schema_registry: SchemaRegistryServer, fault: faults.Fault) -> None:
    schema_registry.fail_always(fault, matching=lambda request: "/unheld-" in request.path)
    with SchemaRegistryClient({"url": schema_registry.url, "max.retries": 0}) as client:
        for number in range(3):
            with pytest.raises(RegistryUnavailableError):
                client.register_schema(f"unheld-{number}", ORDER)
            assert client.register_schema(f"good-{number}", ORDER) == 1
        until(lambda: not [each for each in requests_held() if "/unheld-" in each.path])


def requests_held() -> list[RegistryRequest[Any]]:
    return [each for each in gc.get_objects() if type(each) is RegistryRequest]  # whatever others have left there
