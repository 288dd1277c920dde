"""Known ids are looked up again in the background: what a wiped registry costs a process that lives for long."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from clocks import ShiftedClock
from confluent_kafka.serialization import MessageField, SerializationContext
from forking import ENV
from waiting import LONG, until

from kafka_sr_retry import (
    AvroSerializer,
    RegisteredSchema,
    Schema,
    SchemaNotFoundError,
    SchemaReference,
    SchemaRegistryClient,
)
from kafka_sr_retry.events import Event, GiveUpEvent, IdChangedEvent, RefusalEvent, SuccessEvent
from kafka_sr_retry.registry import again
from kafka_sr_retry.testing import SchemaRegistryServer
from kafka_sr_retry.testing.faults import Exchange, Fault, answer, error, hang, html

ORDER = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
REGISTER, LOOK_UP = "POST /subjects/orders-value/versions", "POST /subjects/orders-value"
CONTEXT = SerializationContext("orders", MessageField.VALUE)
DAY = 86400.0


class Producer:
    """One that lives for long."""

    def __init__(self, registry: SchemaRegistryServer, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.clock = ShiftedClock()
        self.events: list[Event] = []
        self.clients: list[SchemaRegistryClient] = []

    def serializer(self, schema: Any = ORDER, register: bool = True, **conf: Any) -> AvroSerializer:
        given = {"url": self.registry.url, "retries.wait.ms": 10, "event_cb": self.events.append} | conf
        self.clients.append(SchemaRegistryClient(given, clock=self.clock))
        return AvroSerializer(self.clients[-1], schema, conf={"auto.register.schemas": register})

    def later(self, seconds: float) -> None:
        """The thread that asks again sleeps by the machine's clock: it is woken."""
        self.clock.later(seconds)
        for client in self.clients:
            again.attend(client._asking, 0.0)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.registry.requests]

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def delete(self) -> None:
        for query in ("", "?permanent=true"):
            assert requests.delete(f"{self.registry.url}/subjects/orders-value{query}", timeout=20).ok


@pytest.fixture
def producer(schema_registry: SchemaRegistryServer, tmp_path: Path) -> Iterator[Producer]:
    producer = Producer(schema_registry, tmp_path)
    yield producer
    for client in producer.clients:
        client.close()


def test_some_are_asked_for_sooner_than_others(producer: Producer) -> None:
    serializer = producer.serializer()
    topics = [f"t{number}" for number in range(16)]
    serializer.warm_up(topics)
    producer.later(0.98 * DAY)
    until(lambda: len(producer.asked) > len(topics))
    assert producer.asked[-1].startswith("POST /subjects/t")


@pytest.mark.parametrize("register", [True, False])
def test_a_known_id_is_looked_up_again_and_serves_on(producer: Producer, register: bool) -> None:
    producer.registry.register("orders-value", ORDER)
    serializer = producer.serializer(register=register)
    message = serializer({"id": 1}, CONTEXT)
    asked = [REGISTER if register else LOOK_UP]
    for _ in range(3):
        producer.later(DAY)
        asked.append(LOOK_UP)
        until(lambda: len(producer.told(SuccessEvent)) >= len(asked))
        assert serializer({"id": 1}, CONTEXT) == message
    assert producer.asked == asked
    assert producer.told(IdChangedEvent) == []


def test_the_thread_sleeps_until_the_next_is_due(producer: Producer) -> None:
    serializer = producer.serializer(**{"cache.id.ttl.sec": 1})
    message = serializer({"id": 1}, CONTEXT)
    until(lambda: producer.asked[1:4] == [LOOK_UP] * 3)
    assert serializer({"id": 1}, CONTEXT) == message


def test_before_its_time_nothing_is_asked(producer: Producer) -> None:
    serializer = producer.serializer()
    serializer({"id": 1}, CONTEXT)
    producer.later(0.74 * DAY)
    producer.serializer()({"id": 1}, SerializationContext("others", MessageField.VALUE))
    until(lambda: len(producer.asked) == 2)
    producer.later(0.27 * DAY)
    until(lambda: LOOK_UP in producer.asked)
    assert producer.asked == [REGISTER, "POST /subjects/others-value/versions", LOOK_UP]


def test_a_registry_that_lost_it_is_told_and_the_schema_is_registered_again(
    producer: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    serializer = producer.serializer()
    serializer({"id": 1}, CONTEXT)
    producer.delete()
    producer.registry.clear_requests()
    with caplog.at_level(logging.ERROR, "kafka_sr_retry"):
        producer.later(DAY)
        until(lambda: producer.told(IdChangedEvent))
    (event,) = producer.told(IdChangedEvent)
    assert (event.schema_id, event.new_id, event.operation) == (1, None, "look_up")
    assert event.age >= DAY
    (line,) = [r.getMessage() for r in caplog.records]
    assert "it was id 1" in line
    assert "is not there any more" in line
    assert serializer({"id": 1}, CONTEXT)
    assert producer.asked == [LOOK_UP, REGISTER]


def test_without_the_right_to_register_a_message_fails_after_that(producer: Producer) -> None:
    producer.registry.register("orders-value", ORDER)
    serializer = producer.serializer(register=False)
    serializer({"id": 1}, CONTEXT)
    producer.delete()
    producer.later(DAY)
    until(lambda: producer.told(IdChangedEvent))
    with pytest.raises(SchemaNotFoundError):
        serializer({"id": 1}, CONTEXT)
    assert REGISTER not in producer.asked


def test_another_id_is_told_and_used_by_the_next_message(producer: Producer) -> None:
    serializer = producer.serializer(**{"cache.path": producer.folder / "ids"})
    serializer({"id": 1}, CONTEXT)
    producer.registry.fail_next(answer(200, b'{"id": 99, "subject": "orders-value", "version": 1}'))
    producer.later(DAY)
    until(lambda: producer.told(IdChangedEvent))
    (event,) = producer.told(IdChangedEvent)
    assert (event.schema_id, event.new_id) == (1, 99)
    message = serializer({"id": 1}, CONTEXT)
    assert message is not None
    assert message[4] == 99
    assert producer.asked == [REGISTER, LOOK_UP]


@pytest.mark.parametrize("fault", [error(503), error(403), error(401), html(404)], ids=str)
def test_a_look_up_that_fails_leaves_the_old_id_and_is_tried_later(producer: Producer, fault: Any) -> None:
    serializer = producer.serializer(**{"total.timeout.ms": 300})
    message = serializer({"id": 1}, CONTEXT)
    producer.registry.fail_always(fault)
    producer.later(DAY)
    until(lambda: producer.told(GiveUpEvent) or producer.told(RefusalEvent))
    assert serializer({"id": 1}, CONTEXT) == message
    assert producer.told(IdChangedEvent) == []
    assert all(event.served for event in producer.told(GiveUpEvent))
    producer.registry.recover()
    producer.registry.clear_requests()
    producer.later(DAY)
    until(lambda: producer.asked == [LOOK_UP])
    assert serializer({"id": 1}, CONTEXT) == message


def test_a_given_id_is_never_asked_about(producer: Producer) -> None:
    given = RegisteredSchema(7, None, "orders-value", 1, Schema(ORDER))
    serializer = producer.serializer(given, **{"cache.id.ttl.sec": 1})
    assert serializer({"id": 1}, CONTEXT)
    producer.later(10 * DAY)
    producer.serializer()({"id": 1}, SerializationContext("others", MessageField.VALUE))
    assert serializer({"id": 1}, CONTEXT)
    assert producer.asked == ["POST /subjects/others-value/versions"]


def test_a_latest_version_is_not_looked_up(producer: Producer) -> None:
    """It is asked for anew after a time of its own, and without one never."""
    producer.registry.register("orders-value", ORDER)
    others = producer.serializer()
    latest = {"auto.register.schemas": False, "use.latest.version": True}
    serializer = AvroSerializer(producer.clients[0], None, conf=latest)
    message = serializer({"id": 1}, CONTEXT)
    others({"id": 1}, SerializationContext("others", MessageField.VALUE))
    producer.later(10 * DAY)
    until(lambda: "POST /subjects/others-value" in producer.asked)
    assert serializer({"id": 1}, CONTEXT) == message
    assert [asked for asked in producer.asked if "orders-value" in asked] == [
        "GET /subjects/orders-value/versions/latest"
    ]


def test_many_ids_are_not_asked_for_at_once(producer: Producer) -> None:
    serializer = producer.serializer()
    serializer.warm_up([f"t{number}" for number in range(40)])
    producer.registry.fail_always(hang())
    producer.clock.later(DAY)
    for client in producer.clients:
        assert client._asking.ask_again()
    until(lambda: [client.state().waiting for client in producer.clients] == [16])


# -- the thread --------------------------------------------------------------------------------------


THREADS = """
    import os, sys, time
    from kafka_sr_retry import Schema, SchemaRegistryClient

    def wait_for(threads):
        end = time.monotonic() + 60
        while len(os.listdir("/proc/self/task")) != threads and time.monotonic() < end:
            time.sleep(0.01)
        print(len(os.listdir("/proc/self/task")))

    clients = [SchemaRegistryClient({"url": sys.argv[1], "ssl.ca.location": False}) for _ in range(100)]
    for client in clients:
        client.register_schema("s", Schema('"string"'))
    wait_for(2)
    for client in clients:
        client.close()
    wait_for(1)
"""

linux = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="only Linux counts threads there")


@linux
def test_idle_clients_have_one_thread_together_and_closed_ones_none(schema_registry: SchemaRegistryServer) -> None:
    command = [sys.executable, "-c", textwrap.dedent(THREADS), schema_registry.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * LONG)
    assert (done.stdout.split(), done.stderr) == (["2", "1"], "")


def test_it_keeps_no_client_alive(producer: Producer) -> None:
    serializer: Any = producer.serializer()
    serializer({"id": 1}, CONTEXT)
    gone = weakref.ref(producer.clients[0]._asking)
    del serializer
    producer.clients.clear()
    until(lambda: gc.collect() >= 0 and gone() is None)


FORKS = """
    import os, sys, time
    import forking
    from confluent_kafka.serialization import MessageField, SerializationContext
    from kafka_sr_retry import AvroSerializer
    from kafka_sr_retry.events import AttemptEvent

    looked_up = []

    def listen(event):
        if isinstance(event, AttemptEvent) and event.operation == "look_up":
            looked_up.append(event)

    def wait():
        end = time.monotonic() + 60
        looked_up.clear()
        while len(looked_up) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        return len(looked_up) >= 3

    conf = {"url": sys.argv[1], "cache.id.ttl.sec": 4, "event_cb": listen, "ssl.ca.location": False}
    serializer = AvroSerializer(conf, '"string"')
    serializer("x", SerializationContext("orders", MessageField.VALUE))
    time.sleep(2.5)  # the client's own threads have ended
    pid = os.fork() if sys.argv[2] == "hooks" else forking.fork()
    if not pid:
        if sys.argv[2] == "no hooks":  # it has to ask something itself
            serializer("x", SerializationContext("child", MessageField.VALUE))
        os._exit(0 if wait() else 1)
    print(wait(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@linux
@pytest.mark.parametrize("how", ["hooks", "no hooks"])
def test_a_child_of_a_fork_asks_again_too(schema_registry: SchemaRegistryServer, how: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKS), schema_registry.url, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * LONG, env=ENV)
    assert (done.stdout.split(), done.stderr) == (["True", "0"], "")


def meanwhile(happens: Callable[[], object], then: Fault | None = None) -> Fault:
    """An answer, before which something happens."""

    def play(exchange: Exchange) -> None:
        happens()
        if then is None:
            exchange.send(exchange.real_answer())
        else:
            then.play(exchange)

    return Fault("meanwhile", play)


def test_an_answer_that_was_put_in_doubt_on_its_way_is_not_remembered(producer: Producer) -> None:
    serializer = producer.serializer()
    (client,) = producer.clients
    producer.registry.fail_next(meanwhile(client.clear_caches))
    message = serializer({"id": 1}, CONTEXT)
    assert not serializer.knows("orders")
    assert serializer({"id": 1}, CONTEXT) == message
    assert serializer.knows("orders")
    assert producer.asked == [REGISTER, REGISTER]


def test_what_was_learned_before_a_change_is_not_remembered_after_it(producer: Producer) -> None:
    """The id is known, and the schemas that it refers to are on their way, when another subject's id has changed."""
    producer.registry.register("item", '{"type":"record","name":"Item","fields":[]}')
    cart = '{"type":"record","name":"Cart","fields":[{"name":"item","type":"Item"}]}'
    serializer = producer.serializer(Schema(cart, "AVRO", [SchemaReference("Item", "item", 1)]))
    (client,) = producer.clients
    producer.registry.fail_next(meanwhile(client.clear_caches), matching=lambda request: request.method == "GET")
    serializer({"item": {}}, CONTEXT)
    assert not serializer.knows("orders")
    producer.registry.fail_next(answer(200, b'{"id": 99}'), matching=lambda request: request.method == "POST")
    message = serializer({"item": {}}, CONTEXT)
    assert message is not None
    assert message[:5] == b"\0\0\0\0\x63"


def test_a_failed_look_up_does_not_bring_back_what_has_changed_meanwhile(producer: Producer) -> None:
    serializer, sent = producer.serializer(), []
    serializer({"id": 1}, CONTEXT)
    (client,) = producer.clients

    def changes() -> None:
        client.clear_caches()
        sent.append(serializer({"id": 1}, CONTEXT))

    looks_up = lambda request: request.path == "/subjects/orders-value"  # noqa: E731
    producer.registry.fail_next(answer(200, b'{"id": 99}'), matching=lambda request: not looks_up(request))
    producer.registry.fail_next(meanwhile(changes, error(503)), matching=looks_up)
    producer.later(DAY)
    until(lambda: producer.told(GiveUpEvent) or len(producer.told(SuccessEvent)) == 3)
    assert sent == [serializer({"id": 1}, CONTEXT)]
    assert sent[0][:5] == b"\0\0\0\0\x63"
    assert client.register_schema("orders-value", Schema(ORDER)) == 99
