"""What a process knows from the file that one before it has left."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from errno import EINPROGRESS
from pathlib import Path
from typing import Any

import pytest
from clocks import ShiftedClock
from confluent_kafka.serialization import MessageField, SerializationContext
from prometheus_client import CollectorRegistry, generate_latest
from servers import TokenServer
from waiting import LONG, until

from kafka_sr_retry import (
    AsyncAvroSerializer,
    AvroSerializer,
    ConfigurationError,
    IncompatibleSchemaError,
    RegistryUnavailableError,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
)
from kafka_sr_retry.events import (
    AttemptEvent,
    CacheFileEvent,
    Event,
    GiveUpEvent,
    IdChangedEvent,
    StoredIdEvent,
    SuccessEvent,
)
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation
from kafka_sr_retry.testing import SchemaRegistryServer
from kafka_sr_retry.testing.faults import Fault, answer, error, hang, html, reset

ORDER = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}'
ITEM = '{"type":"record","name":"Item","fields":[{"name":"name","type":"string"}]}'
DAY = 86400.0


def context(topic: str = "orders") -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE)


class Service:
    """A producer that is started again and again, with one file."""

    def __init__(self, registry: SchemaRegistryServer, path: Path) -> None:
        self.registry = registry
        self.path = path
        self.clock = ShiftedClock()
        self.events: list[Event] = []
        self.serializer_conf: dict[str, Any] = {}
        self.conf: dict[str, Any] = {
            "url": registry.url,
            "cache.path": path,
            "cache.mode": "first",
            "retries.wait.ms": 10,
            "event_cb": self.events.append,
        }
        self._clients: list[SchemaRegistryClient] = []

    def client(self, **conf: Any) -> SchemaRegistryClient:
        client = SchemaRegistryClient(self.conf | conf, clock=self.clock)
        self._clients.append(client)
        return client

    def stop(self) -> None:
        while self._clients:
            self._clients.pop().close()

    def start(self, schema: Any = ORDER, **conf: Any) -> AvroSerializer:
        """Anew."""
        self.stop()
        return AvroSerializer(self.client(**conf), schema, conf=self.serializer_conf)

    def asked(self, work: Callable[[], object]) -> list[str]:
        """The requests that it makes."""
        before = len(self.registry.requests)
        work()
        return [f"{request.method} {request.path}" for request in self.registry.requests[before:]]


@pytest.fixture
def service(schema_registry: SchemaRegistryServer, tmp_path: Path) -> Iterator[Service]:
    service = Service(schema_registry, tmp_path / "ids")
    yield service
    service.stop()


def nobody() -> str:
    """URL of a port on which nobody listens."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


REGISTER = ["POST /subjects/orders-value/versions"]


# -- first -----------------------------------------------------------------------------------------


def test_what_the_process_before_knew_is_not_asked_for(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []
    assert serializer({"id": 1}, context()) == message


def test_with_the_registry_away_the_first_message_goes_out_all_the_same(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.registry.fail_always(error(503))
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []
    assert serializer({"id": 1}, context()) == message


def test_another_process_finds_it(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    code = """
        import sys
        from confluent_kafka.serialization import MessageField, SerializationContext
        from kafka_sr_retry import AvroSerializer
        serializer = AvroSerializer({"url": sys.argv[1], "cache.path": sys.argv[2], "cache.mode": "first"}, sys.argv[3])
        print(serializer({"id": 1}, SerializationContext("orders", MessageField.VALUE)).hex())
    """
    command = [sys.executable, "-c", textwrap.dedent(code), service.registry.url, str(service.path), ORDER]
    before = len(service.registry.requests)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    assert (done.stdout.strip(), done.stderr) == (message.hex(), "")
    assert len(service.registry.requests) == before


def test_a_process_that_ends_without_close_has_left_what_it_learned(service: Service) -> None:
    code = """
        import sys
        from kafka_sr_retry import Schema, SchemaRegistryClient
        client = SchemaRegistryClient({"url": sys.argv[1], "cache.path": sys.argv[2]})
        client.register_schema("orders-value", Schema(sys.argv[3]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), service.registry.url, str(service.path), ORDER]
    for _ in range(5):
        service.path.unlink(missing_ok=True)
        assert subprocess.run(command, timeout=LONG).returncode == 0
        serializer = service.start()
        assert service.asked(lambda ready=serializer: ready({"id": 1}, context())) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": '{"type":"record","name":"Order","fields":[{"name":"id","type":"double"}]}'},
        {"topic": "others"},
        {"conf": {"context": "test"}},
        {"conf": {"basic.auth.user.info": "tenant:password"}},
        {"conf": {"http.headers": {"X-Tenant": "other"}}},
        {"conf": {"url": [nobody()]}},
        {"serializer": {"normalize.schemas": True}},
    ],
    ids=str,
)
def test_what_is_asked_otherwise_is_another_question(service: Service, changed: dict[str, Any]) -> None:
    service.start()({"id": 1}, context())
    service.serializer_conf = changed.get("serializer", {})
    conf = changed.get("conf", {})
    conf |= {"url": [*conf["url"], service.registry.url]} if "url" in conf else {}
    serializer = service.start(changed.get("schema", ORDER), **conf)
    assert len(service.asked(lambda: serializer({"id": 1}, context(changed.get("topic", "orders"))))) == 1


@pytest.mark.parametrize(
    "same",
    [
        {"basic.auth.user.info": "service:rotated"},
        {"http.headers": {"User-Agent": "service/2", "X-Api-Key": "rotated"}},
        {"max.retries": 3},
    ],
    ids=str,
)
def test_a_rotated_secret_or_a_new_version_changes_nothing(service: Service, same: dict[str, Any]) -> None:
    service.conf |= {"basic.auth.user.info": "service:secret", "http.headers": {"User-Agent": "service/1"}}
    service.start()({"id": 1}, context())
    serializer = service.start(**same)
    assert service.asked(lambda: serializer({"id": 1}, context())) == []


def test_a_clusters_urls_stand_for_one_in_any_order(service: Service) -> None:
    away = nobody()
    service.start(url=[service.registry.url, away])({"id": 1}, context())
    serializer = service.start(url=[away, service.registry.url])
    assert service.asked(lambda: serializer({"id": 1}, context())) == []


def test_a_registration_and_a_look_up_share_what_they_learned(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.serializer_conf = {"auto.register.schemas": False}
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []
    assert serializer({"id": 1}, context()) == message


def test_what_a_schema_refers_to_is_kept_too(service: Service) -> None:
    service.registry.register("item", ITEM)
    lines = '{"type":"record","name":"Lines","fields":[{"name":"first","type":"Item"}]}'
    schema = Schema(lines, references=[SchemaReference("Item", "item", 1)])
    value = {"first": {"name": "tea"}}
    message = service.start(schema)(value, context())
    service.registry.fail_always(error(503))
    serializer = service.start(schema)
    assert service.asked(lambda: serializer(value, context())) == []
    assert serializer(value, context()) == message


def test_a_given_id_is_kept_with_its_schema(service: Service) -> None:
    service.serializer_conf = {"use.schema.id": service.registry.register("any", ORDER), "auto.register.schemas": False}
    service.start()({"id": 1}, context())
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []


def test_what_is_old_is_asked_for(service: Service) -> None:
    service.start()({"id": 1}, context())
    service.clock.later(DAY + 1)
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == REGISTER
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []


def test_what_the_clock_has_not_come_to_is_asked_for(service: Service) -> None:
    service.clock.later(DAY + 1)
    service.start()({"id": 1}, context())
    service.clock.later(-DAY - 1)
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == REGISTER


@pytest.mark.parametrize(("ttl", "asked"), [(None, 1), (300, 0)])
def test_a_latest_version_is_as_good_as_its_own_time_to_live(service: Service, ttl: int | None, asked: int) -> None:
    service.registry.register("orders-value", ORDER)
    service.serializer_conf = {"use.latest.version": True, "auto.register.schemas": False}
    service.conf |= {"cache.latest.ttl.sec": ttl} if ttl else {}
    service.start()({"id": 1}, context())
    service.clock.later(200)
    serializer = service.start()
    assert len(service.asked(lambda: serializer({"id": 1}, context()))) == asked
    service.clock.later(200)
    serializer = service.start()
    assert len(service.asked(lambda: serializer({"id": 1}, context()))) == 1


def test_a_latest_version_of_the_file_is_refreshed_unasked_only_until_the_registry_has_confirmed_it(
    service: Service,
) -> None:
    service.registry.register("orders-value", ORDER)
    service.serializer_conf = {"use.latest.version": True, "auto.register.schemas": False}
    service.conf |= {"cache.latest.ttl.sec": 300}
    service.start()({"id": 1}, context())
    service.stop()
    client = service.client(**{"cache.mode": "fallback"})
    serializer = AvroSerializer(client, ORDER, conf=service.serializer_conf)
    assert len(service.asked(lambda: serializer({"id": 1}, context()))) == 1
    assert client._asking.ask_again() is None


def test_a_registrys_rules_for_writing_are_not_forgotten(service: Service) -> None:
    rules = {"domainRules": [{"name": "r", "kind": "TRANSFORM", "mode": "WRITE", "type": "ENCRYPT"}]}
    service.client(**{"cache.mode": "fallback"}).register_schema("orders-value", Schema(ORDER, rule_set=rules))
    service.serializer_conf = {"use.latest.version": True, "auto.register.schemas": False}
    service.conf["cache.latest.ttl.sec"] = 300
    for requests in (1, 0):
        serializer = service.start()
        before = len(service.registry.requests)
        with pytest.raises(ConfigurationError, match="rules"):
            serializer({"id": 1}, context())
        assert len(service.registry.requests) == before + requests


def test_on_an_event_loop(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.stop()

    async def produce() -> bytes | None:
        return await AsyncAvroSerializer(service.client(), ORDER)({"id": 1}, context())

    before = len(service.registry.requests)
    assert asyncio.run(produce()) == message
    assert len(service.registry.requests) == before


def test_warming_up_asks_for_what_is_new_alone(service: Service) -> None:
    service.start().warm_up(["a", "b"])
    serializer = service.start()
    asked = service.asked(lambda: serializer.warm_up(["a", "b", "c"]))
    assert asked == ["POST /subjects/c-value/versions"]


def test_cleared_caches_forget_the_file_too(service: Service) -> None:
    client = service.client()
    serializer = AvroSerializer(client, ORDER)
    serializer({"id": 1}, context("a"))
    serializer({"id": 1}, context())
    client.clear_caches()
    assert service.asked(lambda: serializer({"id": 1}, context())) == REGISTER
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []
    assert len(service.asked(lambda: serializer({"id": 1}, context("a")))) == 1


def test_what_is_old_serves_when_nobody_answers(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.clock.later(30 * DAY)
    service.registry.fail_always(error(503))
    serializer = service.start(**AWAY | {"cache.mode": "first"})
    assert service.asked(lambda: serializer({"id": 1}, context())) == REGISTER
    assert serializer({"id": 1}, context()) == message


# -- fallback --------------------------------------------------------------------------------------

AWAY: dict[str, Any] = {"cache.mode": "fallback", "retries.wait.ms": 3_600_000, "total.timeout.ms": 86_400_000}
"""The second round comes much later than a test ends."""


def told(service: Service, kind: type[Event]) -> list[Any]:
    return [event for event in service.events if isinstance(event, kind)]


def test_where_connections_are_refused_one_round_is_asked(service: Service) -> None:
    service.conf["url"] = urls = [service.registry.url, nobody()]
    message = service.start()({"id": 1}, context())
    service.registry.kill()
    service.events.clear()
    assert service.start(**AWAY)({"id": 1}, context()) == message
    until(lambda: told(service, StoredIdEvent) and len(told(service, AttemptEvent)) >= len(urls))
    assert sorted(event.endpoint for event in told(service, AttemptEvent)) == sorted(urls)
    (event,) = told(service, StoredIdEvent)
    assert (event.operation, event.schema_id) == ("register", 1)
    assert all(url in event.reason for url in urls)


@pytest.mark.parametrize("fault", [error(503), error(500, 50003), html(502), html(404), reset(), html(200)], ids=str)
def test_whatever_is_no_answer_of_a_registry_one_round_is_asked(service: Service, fault: Fault) -> None:
    message = service.start()({"id": 1}, context())
    service.registry.fail_always(fault)
    serializer = service.start(**AWAY)
    assert service.asked(lambda: serializer({"id": 1}, context())) == REGISTER
    assert serializer({"id": 1}, context()) == message


def dropping(stack: ExitStack, port: int = 0) -> str:
    """URL of a port that takes no more connections."""
    full = stack.enter_context(socket.create_server(("127.0.0.1", port), backlog=0))
    for _ in range(16):
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        assert filler.connect_ex(full.getsockname()) in (0, EINPROGRESS)
    return "http://{}:{}".format(*full.getsockname())


def test_where_packets_are_dropped_one_connect_timeout_is_waited_for(service: Service) -> None:
    with ExitStack() as stack:
        service.conf |= {"url": [service.registry.url, dropping(stack)], "connect.timeout.ms": 100}
        message = service.start()({"id": 1}, context())
        service.registry.kill()
        service.events.clear()
        assert service.start(**AWAY)({"id": 1}, context()) == message
        until(lambda: len(told(service, AttemptEvent)) == 2)
        assert [event.outcome for event in told(service, AttemptEvent)] == ["connection", "timeout"]


@pytest.mark.parametrize("inline", [False, True])
def test_a_round_that_took_longer_than_the_wait_after_it_is_one_all_the_same(service: Service, inline: bool) -> None:
    with ExitStack() as stack:
        urls = [dropping(stack), service.registry.url]
        service.conf |= {"url": urls, "connect.timeout.ms": 100, "retries.max.wait.ms": 10, "total.timeout.ms": 10_000}
        message = service.start()({"id": 1}, context())
        service.registry.kill()
        dropping(stack, int(service.registry.url.rpartition(":")[2]))
        service.events.clear()
        serializer = service.start(**{"cache.mode": "fallback"})
        if inline:
            stack.callback(threading.stack_size, threading.stack_size(2**46))  # more than there is: no thread starts
        assert serializer({"id": 1}, context()) == message
        assert len(told(service, AttemptEvent)) < 30, "then its whole time would have been waited for"


def test_without_a_file_and_without_a_row_it_fails_as_ever(service: Service) -> None:
    service.start()({"id": 1}, context())
    service.registry.fail_always(error(503))
    serializer = service.start(**{"cache.mode": "fallback", "total.timeout.ms": 300})
    with pytest.raises(RegistryUnavailableError):
        serializer({"id": 1}, context("others"))
    assert serializer({"id": 1}, context())


def test_where_it_hangs_one_attempt_is_waited_for(service: Service) -> None:
    with SchemaRegistryServer() as second:
        service.conf |= {"url": [service.registry.url, second.url], "request.timeout.ms": 300}
        message = service.start()({"id": 1}, context())
        for each in (service.registry, second):
            each.fail_always(hang())
        serializer = service.start(**AWAY)
        assert serializer({"id": 1}, context()) == message
        until(lambda: told(service, StoredIdEvent))
        (event,) = told(service, StoredIdEvent)
        assert service.registry.url in event.reason
        assert second.url not in event.reason
        service.stop()


def test_a_call_that_is_shorter_than_an_attempt_has_it_at_its_end(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.registry.fail_always(hang())
    serializer = service.start(**{"cache.mode": "fallback", "total.timeout.ms": 300})
    assert service.asked(lambda: serializer({"id": 1}, context())) == REGISTER
    assert serializer({"id": 1}, context()) == message


def test_a_caller_with_less_time_than_others_has_it_at_its_own_end(service: Service) -> None:
    service.start()({"id": 1}, context())
    service.registry.fail_always(hang())
    client = service.start(**{"cache.mode": "fallback"}) and service.client(**{"cache.mode": "fallback"})
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(client.register_schema, "orders-value", Schema(ORDER))
        until(lambda: service.registry.requests[1:])
        assert client.register_schema("orders-value", Schema(ORDER), timeout=0.2) == 1
        service.registry.recover()
        assert long.result(LONG) == 1


def test_in_an_outage_that_is_known_it_comes_at_once(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.registry.fail_always(error(503))
    client = service.client(**{"cache.mode": "fallback", "total.timeout.ms": 400})
    for subject in ("a", "b"):
        with pytest.raises(RegistryUnavailableError):
            client.register_schema(subject, Schema(ORDER))
    serializer = AvroSerializer(client, ORDER)
    assert len(service.asked(lambda: serializer({"id": 1}, context()))) <= 1
    assert serializer({"id": 1}, context()) == message


def test_what_a_registry_refuses_is_refused(service: Service) -> None:
    service.start()({"id": 1}, context())
    service.registry.fail_always(error(409))
    serializer = service.start(**{"cache.mode": "fallback"})
    with pytest.raises(IncompatibleSchemaError):
        serializer({"id": 1}, context())
    assert told(service, StoredIdEvent) == []


def test_it_is_asked_on_behind_the_message_until_the_registry_confirms(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.registry.fail_next(error(503), error(503))
    service.events.clear()
    serializer = service.start(**{"cache.mode": "fallback"})
    assert serializer({"id": 1}, context()) == message
    until(lambda: told(service, SuccessEvent))
    assert [event.attempts for event in told(service, SuccessEvent)] == [3]
    assert serializer({"id": 1}, context()) == message
    assert told(service, IdChangedEvent) == []


def test_a_call_that_is_given_up_behind_a_message_has_lost_none(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.start()({"id": 1}, context())
    service.registry.fail_always(error(503))
    metrics = CollectorRegistry()
    conf = {"event_cb": [service.events.append, PrometheusInstrumentation(metrics)], "total.timeout.ms": 300}
    with caplog.at_level(logging.WARNING, "kafka_sr_retry"):
        service.start(**conf, **{"cache.mode": "fallback"})({"id": 1}, context())
        until(lambda: told(service, GiveUpEvent))
        service.stop()
    assert [event.served for event in told(service, GiveUpEvent)] == [True]
    assert [r.levelname for r in caplog.records if r.levelno > logging.WARNING] == []
    assert any("what was known serves on" in r.getMessage() for r in caplog.records)
    shown = generate_latest(metrics).decode()
    assert "kafka_sr_retry_stale_reads_total 1.0" in shown
    assert re.findall(r"failed_registrations_total.* [1-9]", shown) == []


def test_on_an_event_loop_and_in_a_warm_up_too(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.registry.fail_always(error(503))
    service.stop()

    async def produce() -> bytes | None:
        return await AsyncAvroSerializer(service.client(**AWAY), ORDER)({"id": 1}, context())

    assert asyncio.run(produce()) == message
    warmed = service.start(**AWAY).warm_up(["orders"])
    assert [outcome.error for outcome in warmed.outcomes] == [None]


def test_many_threads_that_start_at_once_lose_no_message(service: Service) -> None:
    topics = [f"t{number}" for number in range(300)]
    assert not service.start().warm_up(topics).failed
    serializer = service.start(**{"total.timeout.ms": 1000})
    service.registry.kill()
    ready = threading.Barrier(len(topics))

    def produce(topic: str) -> bytes | None:
        ready.wait(LONG)
        return serializer({"id": 1}, context(topic))

    with ThreadPoolExecutor(len(topics)) as pool:
        assert all(pool.map(produce, topics))


def test_on_an_event_loop_no_request_that_hangs_holds_a_look_at_the_file_up(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.stop()
    service.registry.fail_always(hang())

    async def produce() -> bytes | None:
        conf = {"max.in.flight": 1, "total.timeout.ms": 4000}
        serializer = AsyncAvroSerializer(service.client(**conf), ORDER)
        before = len(service.registry.requests)
        new = asyncio.create_task(serializer({"id": 1}, context("new")))
        while len(service.registry.requests) == before:
            await asyncio.sleep(0.01)
        try:
            return await serializer({"id": 1}, context())
        finally:
            service.stop()
            await asyncio.wait([new])

    assert asyncio.run(produce()) == message


def test_on_an_event_loop_a_file_that_another_process_holds_does_not_hold_the_loop_up(service: Service) -> None:
    service.start()({"id": 1}, context("a"))
    service.stop()
    other = sqlite3.connect(service.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    order: list[str] = []

    def let_go() -> None:
        other.close()
        order.append("the loop went on")

    async def produce() -> None:
        async with AsyncAvroSerializer(service.conf, ORDER) as serializer:
            await serializer({"id": 1}, context())
            asyncio.get_running_loop().call_soon(let_go)
        order.append("closed")

    asyncio.run(produce())
    assert order == ["the loop went on", "closed"]
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []


def test_a_client_with_a_small_capacity_leaves_others_their_ids(service: Service) -> None:
    topics = [f"t{number}" for number in range(20)]
    assert not service.start().warm_up(topics).failed
    service.start(**{"cache.capacity": 2})({"id": 1}, context())
    serializer = service.start()
    assert service.asked(lambda: serializer.warm_up(topics)) == []


def test_with_the_tokens_server_away_too(service: Service) -> None:
    service.conf |= {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": TokenServer.ID,
        "bearer.auth.client.secret": TokenServer.SECRET,
    }
    with TokenServer() as tokens:
        service.conf["bearer.auth.issuer.endpoint.url"] = tokens.endpoint
        message = service.start()({"id": 1}, context())
        tokens.fail_always(error(503))
        serializer = service.start(**AWAY)
        assert service.asked(lambda: serializer({"id": 1}, context())) == []
        assert serializer({"id": 1}, context()) == message
        service.stop()


def test_where_no_thread_can_be_started(service: Service) -> None:
    message = service.start()({"id": 1}, context())
    service.registry.fail_always(error(503))
    service.stop()
    code = """
        import sys, threading
        from confluent_kafka.serialization import MessageField, SerializationContext
        from kafka_sr_retry import AvroSerializer
        threading.stack_size(2**46)  # more than there is
        serializer = AvroSerializer({"url": sys.argv[1], "cache.path": sys.argv[2]}, sys.argv[3])
        print(serializer({"id": 1}, SerializationContext("orders", MessageField.VALUE)).hex())
    """
    command = [sys.executable, "-c", textwrap.dedent(code), service.registry.url, str(service.path), ORDER]
    before = len(service.registry.requests)
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    assert done.stdout.strip() == message.hex(), done.stderr
    assert len(service.registry.requests) == before + 1


# -- a registry that says otherwise ----------------------------------------------------------------


def test_another_id_than_on_disk_is_told_and_used(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.start()({"id": 1}, context("a"))
    service.start()({"id": 1}, context())
    service.registry.fail_always(answer(200, b'{"id": 99}'))
    with caplog.at_level(logging.ERROR, "kafka_sr_retry"):
        message = service.start(**{"cache.mode": "fallback"})({"id": 1}, context())
        until(lambda: told(service, IdChangedEvent))
    (event,) = told(service, IdChangedEvent)
    assert (event.schema_id, event.new_id, event.operation) == (1, 99, "register")
    (line,) = [r.getMessage() for r in caplog.records]
    assert "it was id 1" in line
    assert "is id 99 now" in line
    assert message is not None
    assert message[:5] == b"\0\0\0\0\x63"
    service.registry.recover()
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == [], "the new one is on disk"
    assert len(service.asked(lambda: serializer({"id": 1}, context("a")))) == 1, "all others are in doubt"


def test_another_id_behind_a_message_is_used_by_the_next(service: Service) -> None:
    service.start()({"id": 1}, context())
    service.registry.fail_next(error(503), answer(200, b'{"id": 99}'))
    serializer = service.start(**{"cache.mode": "fallback"})
    first = serializer({"id": 1}, context())
    until(lambda: told(service, IdChangedEvent))
    second = serializer({"id": 1}, context())
    assert [message and message[4] for message in (first, second)] == [1, 99]


def test_a_schema_that_is_refused_behind_a_message_fails_the_next(service: Service) -> None:
    service.start()({"id": 1}, context())
    service.registry.fail_next(error(503))
    serializer = service.start(**{"cache.mode": "fallback"})
    service.registry.fail_next(error(409))
    assert serializer({"id": 1}, context())
    until(lambda: told(service, IdChangedEvent))
    assert [event.new_id for event in told(service, IdChangedEvent)] == [None]
    with pytest.raises(IncompatibleSchemaError):  # remembered
        serializer({"id": 1}, context())


# -- the file is not trusted -------------------------------------------------------------------------


def rewrite(path: Path, **columns: Any) -> None:
    """Changes rows, with sums that fit."""
    from kafka_sr_retry.registry.idfile import Row

    with closing(sqlite3.connect(path)) as db:
        rows = [Row(*row[:-1]) for row in db.execute("SELECT * FROM ids")]
        for row in rows:
            values = {name: getattr(row, name) for name in Row.__slots__} | columns
            changed = Row(**values)
            db.execute(
                "UPDATE ids SET id = ?, guid = ?, version = ?, subject = ?, at = ?, schema = ?, sum = ? WHERE key = ?",
                (
                    changed.schema_id,
                    changed.guid,
                    changed.version,
                    changed.subject,
                    changed.at,
                    changed.schema,
                    changed.sum(),
                    row.key,
                ),
            )
        db.commit()


@pytest.mark.parametrize(
    "columns",
    [
        *({"schema_id": bad} for bad in (0, -1, 2**31, 2**40, "7", 7.5, b"7")),
        {"subject": "..."},
        {"subject": 5},
        *({"schema": bad} for bad in ("", "[]", "7", "{", '{"schema": 5}', '{"schema": "\\"string\\""}', b"\xff")),
        {"schema": '{"schemaType": "JSON"}'},
        {"at": "never"},
    ],
    ids=str,
)
def test_a_row_that_no_registry_would_have_answered_is_none(service: Service, columns: dict[str, Any]) -> None:
    message = service.start()({"id": 1}, context())
    service.stop()
    rewrite(service.path, **columns)
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == REGISTER
    assert serializer({"id": 1}, context()) == message


def test_trouble_with_the_file_is_told_and_costs_no_message(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.path.write_bytes(b"no database" * 1000)
    service.path.chmod(0o600)
    with caplog.at_level(logging.WARNING, "kafka_sr_retry"):
        message = service.start()({"id": 1}, context())
        until(lambda: any(isinstance(event, CacheFileEvent) for event in service.events))
    (event,) = [event for event in service.events if isinstance(event, CacheFileEvent)]
    assert (event.trouble, event.call) == ("damaged", 0)
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith("keep ids on disk: ")
    assert line.endswith("(damaged), it was set aside as .aside")
    serializer = service.start()
    assert service.asked(lambda: serializer({"id": 1}, context())) == []
    assert serializer({"id": 1}, context()) == message


def test_a_file_that_cannot_be_is_told_once_whatever_is_asked(service: Service) -> None:
    service.conf["cache.path"] = service.path / "no" / "folder"
    client = service.client()
    for number in range(5):
        assert client.register_schema(f"s{number}", Schema('"string"'))
    until(lambda: any(isinstance(event, CacheFileEvent) for event in service.events))
    service.stop()
    assert [event.trouble for event in service.events if isinstance(event, CacheFileEvent)] == ["unusable"]


def test_the_file_holds_no_credential(service: Service) -> None:
    service.conf |= {
        "basic.auth.user.info": "me:hunter2",
        "http.headers": {"X-Api-Key": "hunter2", "X-Tenant": "tenant-7"},
        "url": service.registry.url.replace("//", "//me:hunter2@"),
    }
    del service.conf["basic.auth.user.info"]
    service.start()({"id": 1}, context())
    service.stop()
    content = b"".join(path.read_bytes() for path in service.path.parent.iterdir())
    assert service.registry.url.encode() in content
    assert [word for word in (b"hunter2", b"me:", b"tenant-7", b"Basic") if word in content] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_children_of_a_fork_write_to_it_too(service: Service) -> None:
    serializer = service.start()
    serializer({"id": 1}, context())
    children = []
    for child in range(3):
        pid = os.fork()
        if not pid:
            try:
                serializer({"id": 1}, context(f"child-{child}"))
                service.stop()
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    serializer = service.start()
    topics = ["orders", *(f"child-{child}" for child in range(3))]
    assert service.asked(lambda: [serializer({"id": 1}, context(topic)) for topic in topics]) == []
