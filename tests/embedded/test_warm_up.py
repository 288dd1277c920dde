"""Learning before the first message what it will need."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext

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
from kafka_sr_retry.testing import SchemaRegistryServer, faults
from kafka_sr_retry.testing.faults import Exchange, Fault
from kafka_sr_retry.warming import AT_ONCE, WarmedTopic, WarmUp

TEXT = '"string"'
SECONDS = 60
TOPICS = [f"orders-{n}" for n in range(100)]


def conf(registry: SchemaRegistryServer, **keys: Any) -> dict[str, Any]:
    return {"url": registry.url, "retries.wait.ms": 10, **keys}


def to(topic: str, field: MessageField = MessageField.VALUE) -> SerializationContext:
    return SerializationContext(topic, field)


def done(value: Any) -> Any:
    """What either serializer gives: at once, or awaited."""
    return asyncio.run(asyncio.wait_for(value, SECONDS)) if inspect.iscoroutine(value) else value


Kind = type[AvroSerializer]


@pytest.fixture(params=[AvroSerializer, AsyncAvroSerializer])
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


class Crowd:
    """A fault that holds answers back until so many requests wait at once; counts the most that did."""

    def __init__(self, size: int) -> None:
        self._size, self._here, self.most = size, 0, 0
        self._changed = threading.Condition()

    def play(self, exchange: Exchange) -> None:
        with self._changed:
            self._here += 1
            self.most = max(self.most, self._here)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._size, SECONDS)
            self._here -= 1
        exchange.send(exchange.real_answer())


def test_afterwards_a_message_asks_nobody(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    with kind(conf(schema_registry), TEXT) as serializer:
        assert serializer.knows("orders-1") is False
        warmed = done(serializer.warm_up(TOPICS))
        assert len(schema_registry.requests) == len(TOPICS)
        assert [serializer.knows(topic) for topic in TOPICS] == [True] * len(TOPICS)
        assert [done(serializer("tea", to(topic))) for topic in TOPICS] == [b"\0\0\0\0\1\6tea"] * len(TOPICS)
    assert len(schema_registry.requests) == len(TOPICS)
    assert warmed == WarmUp(tuple(WarmedTopic(topic, f"{topic}-value", None) for topic in TOPICS))
    assert warmed.failed == ()


def test_it_asks_so_many_at_once_and_no_more(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    crowd = Crowd(AT_ONCE)
    schema_registry.fail_always(Fault("crowd", crowd.play))
    under_way: list[int] = [0]

    def strategy(ctx: SerializationContext, _: str | None) -> str:
        under_way.append(under_way[-1] + 1)
        return f"{ctx.topic}-value"

    def on_progress(*_: Any) -> None:
        under_way.append(under_way[-1] - 1)

    with kind(conf(schema_registry), TEXT, None, {"subject.name.strategy": strategy}) as serializer:
        assert done(serializer.warm_up(TOPICS, on_progress=on_progress)).failed == ()
    assert (crowd.most, max(under_way)) == (AT_ONCE, AT_ONCE)


def test_nothing_stops_at_the_first_failure(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    bad = {3, 50, 99}
    for number in bad:
        schema_registry.incompatible(f"orders-{number}-value")
    with kind(conf(schema_registry), TEXT) as serializer:
        warmed = done(serializer.warm_up(iter(TOPICS)))
        assert [serializer.knows(topic) for topic in TOPICS] == [number not in bad for number in range(100)]
    assert [outcome.topic for outcome in warmed.outcomes] == TOPICS
    assert all(isinstance(outcome.error, IncompatibleSchemaError) for outcome in warmed.failed)
    assert [outcome.topic for outcome in warmed.failed] == ["orders-3", "orders-50", "orders-99"]


def test_progress_is_told_for_each_topic_as_it_ends(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    told: list[tuple[WarmedTopic, int, int]] = []
    held = threading.Event()

    def last(exchange: Exchange) -> None:
        assert held.wait(SECONDS)
        exchange.send(exchange.real_answer())

    schema_registry.fail_next(Fault("last", last), matching=lambda request: "orders-0-" in request.path)

    def on_progress(outcome: WarmedTopic, done: int, total: int) -> None:
        told.append((outcome, done, total))
        if done == total - 1:
            held.set()

    with kind(conf(schema_registry), TEXT) as serializer:
        warmed = done(serializer.warm_up(TOPICS, on_progress=on_progress))
    assert [(done, total) for _, done, total in told] == [(n, 100) for n in range(1, 101)]
    assert told[-1][0] == warmed.outcomes[0]
    assert {outcome for outcome, _, _ in told} == set(warmed.outcomes)


def test_what_the_progress_raises_ends_it(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    def on_progress(outcome: WarmedTopic, done: int, total: int) -> None:
        if done == 5:
            raise StopAsyncIteration

    with kind(conf(schema_registry), TEXT) as serializer:
        with pytest.raises(StopAsyncIteration):
            done(serializer.warm_up(TOPICS, on_progress=on_progress))
        assert len(schema_registry.requests) < len(TOPICS)
        assert done(serializer.warm_up(TOPICS)).failed == ()


def test_its_time_is_for_all_of_it(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    schema_registry.fail_always(faults.hang())
    with kind(conf(schema_registry, **{"total.timeout.ms": 3_600_000}), TEXT) as serializer:
        warmed = done(serializer.warm_up(TOPICS, timeout=0.3))
    assert all(isinstance(outcome.error, RegistryUnavailableError) for outcome in warmed.outcomes)
    assert len(warmed.failed) == len(TOPICS)
    assert len(schema_registry.requests) <= 2 * AT_ONCE  # a call ends a little before its time


def test_without_a_leader_it_waits_as_a_message_would(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    schema_registry.fail_next(*[faults.no_leader()] * 10)
    with kind(conf(schema_registry), TEXT) as serializer:
        assert done(serializer.warm_up(TOPICS[:5])).failed == ()


@pytest.mark.parametrize(
    ("given", "keys", "requests"),
    [
        (None, {"use.latest.version": True, "auto.register.schemas": False}, 10),
        (TEXT, {"auto.register.schemas": False}, 10),
        (Schema('"Base"', "AVRO", (SchemaReference("Base", "base", 1),)), {}, 11),
        (TEXT, {"subject.name.strategy.type": "ASSOCIATED"}, 20),
    ],
)
def test_all_that_a_message_may_need_is_learned(
    schema_registry: SchemaRegistryServer, kind: Kind, given: Any, keys: dict[str, Any], requests: int
) -> None:
    schema_registry.check_compatibility = False
    topics = TOPICS[:10]
    schema_registry.register("base", json.dumps({"type": "enum", "name": "Base", "symbols": ["A"]}))
    for topic in topics:
        schema_registry.register(f"{topic}-value", TEXT)
    with kind(conf(schema_registry), given, None, keys) as serializer:
        warmed = done(serializer.warm_up(topics))
        asked = len(schema_registry.requests)
        assert warmed.failed == ()
        assert asked == requests
        assert [serializer.knows(topic) for topic in topics] == [True] * len(topics)
        done(serializer("A" if isinstance(given, Schema) else "tea", to("orders-1")))
        assert len(schema_registry.requests) == asked


def test_serializers_of_one_client_share_what_is_known(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    client = SchemaRegistryClient(conf(schema_registry))
    keys, values, more = (kind(client, TEXT) for _ in range(3))
    assert done(keys.warm_up(TOPICS, field=MessageField.KEY)).failed == ()
    assert done(values.warm_up(TOPICS)).failed == ()
    assert done(more.warm_up(TOPICS)).failed == ()
    assert len(schema_registry.requests) == 2 * len(TOPICS)
    assert keys.knows("orders-1", MessageField.KEY) is True
    assert keys.knows("orders-1") is False


def test_the_same_topic_twice_is_one_question(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    with kind(conf(schema_registry), TEXT) as serializer:
        assert len(done(serializer.warm_up(["orders"] * 50)).outcomes) == 50
    assert len(schema_registry.requests) == 1


def test_no_topics_are_no_request(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    with kind(conf(schema_registry), TEXT) as serializer:
        assert done(serializer.warm_up([])) == WarmUp(())


@pytest.mark.parametrize("topics", ["orders", b"orders", None, 7])
def test_one_text_is_no_list_of_topics(schema_registry: SchemaRegistryServer, kind: Kind, topics: Any) -> None:
    with kind(conf(schema_registry), TEXT) as serializer, pytest.raises(ConfigurationError, match="topics"):
        done(serializer.warm_up(topics))


@pytest.mark.parametrize("timeout", ["5", float("nan"), True])
def test_a_time_that_is_none_is_told(schema_registry: SchemaRegistryServer, kind: Kind, timeout: Any) -> None:
    with kind(conf(schema_registry), TEXT) as serializer, pytest.raises(ConfigurationError, match="timeout"):
        done(serializer.warm_up(TOPICS, timeout=timeout))
    assert schema_registry.requests == []


def test_a_topic_that_is_none_is_told_beside_the_others(schema_registry: SchemaRegistryServer, kind: Kind) -> None:
    with kind(conf(schema_registry), TEXT) as serializer:
        warmed = done(serializer.warm_up(["orders", 7, ""]))
    assert [type(outcome.error) for outcome in warmed.outcomes] == [type(None), ConfigurationError, ConfigurationError]


def test_where_no_thread_can_be_started_it_asks_on_its_own(schema_registry: SchemaRegistryServer) -> None:
    code = """
import atexit, os, sys, threading
from kafka_sr_retry import AvroSerializer
serializer = AvroSerializer({"url": sys.argv[1]}, '"string"')
def last():
    print(serializer.warm_up([f"orders-{n}" for n in range(5)]).failed)
atexit.register(last)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, schema_registry.url], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.stdout, done.stderr) == ("()\n", "")
    assert len(schema_registry.requests) == 5
