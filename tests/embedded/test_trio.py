"""Under trio, which is no dependency: the same serializer, awaited."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeVar

import pytest
import trio
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from kafka_sr_retry import (
    AsyncAvroSerializer,
    AsyncSchemaRegistryClient,
    AvroSerializer,
    IncompatibleSchemaError,
    RegistryUnavailableError,
    Schema,
)
from kafka_sr_retry.registry.loops import Asyncio, here
from kafka_sr_retry.testing import SchemaRegistryServer, faults
from kafka_sr_retry.testing.faults import Exchange, Fault

_T = TypeVar("_T")

TEXT = '"string"'
TEA = b"\0\0\0\0\1\6tea"
TOPICS = [f"orders-{n}" for n in range(100)]
SECONDS = 60


def to(topic: str) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE)


def run(main: Callable[[], Awaitable[_T]]) -> _T:
    async def limited() -> _T:
        with trio.fail_after(SECONDS):
            return await main()

    return trio.run(limited)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await trio.sleep(0.01)


def conf(registry: SchemaRegistryServer, **keys: Any) -> dict[str, Any]:
    return {"url": registry.url, "retries.wait.ms": 10, **keys}


def held(come: threading.Event) -> Fault:
    """The real answer, once ``come`` is set."""

    def play(exchange: Exchange) -> None:
        assert come.wait(SECONDS)
        exchange.send(exchange.real_answer())

    return Fault("held", play)


def test_the_loop_goes_on_while_messages_wait(schema_registry: SchemaRegistryServer) -> None:
    come, written = threading.Event(), []
    schema_registry.fail_next(held(come))

    async def main() -> None:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)

        async def write() -> None:
            written.append(await serializer("tea", to("orders")))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(write)
            await until(lambda: schema_registry.requests)
            for _ in range(100):
                await trio.lowlevel.checkpoint()
            assert written == []
            come.set()

    run(main)
    assert written == [TEA] * 100
    assert len(schema_registry.requests) == 1


def test_a_cancelled_task_leaves_the_question_under_way(schema_registry: SchemaRegistryServer) -> None:
    come = threading.Event()
    schema_registry.fail_next(held(come))
    serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serializer, "tea", to("orders"))
            await until(lambda: schema_registry.requests)
            nursery.cancel_scope.cancel()

    run(main)  # ends although the registry still hangs
    come.set()

    async def again() -> bytes:
        return await serializer("tea", to("orders"))

    assert run(again) == TEA
    assert len(schema_registry.requests) == 1


def test_a_call_ends_with_its_time(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(faults.no_leader())

    async def main() -> None:
        await AsyncAvroSerializer(conf(schema_registry, **{"total.timeout.ms": 500}), TEXT)("tea", to("orders"))

    with pytest.raises(RegistryUnavailableError, match="50003"):
        run(main)


def test_the_client_is_awaited_too(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> int:
        async with AsyncSchemaRegistryClient(conf(schema_registry)) as client:
            return await client.register_schema("orders-value", Schema(TEXT))

    assert run(main) == 1


def test_a_warm_up(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.incompatible("orders-7-value")

    async def main() -> None:
        async with AsyncAvroSerializer(conf(schema_registry), TEXT) as serializer:
            warmed = await serializer.warm_up(TOPICS)
            (failed,) = warmed.failed
            assert failed.topic == "orders-7"
            assert isinstance(failed.error, IncompatibleSchemaError)
            assert serializer.bind("orders-1")("tea") == TEA
            await serializer.warm_up([])

    run(main)
    assert len(schema_registry.requests) == len(TOPICS)


def test_what_the_progress_raises_ends_a_warm_up(schema_registry: SchemaRegistryServer) -> None:
    def on_progress(*told: Any) -> None:
        raise LookupError

    async def main() -> None:
        await AsyncAvroSerializer(conf(schema_registry), TEXT).warm_up(TOPICS, on_progress=on_progress)

    with pytest.raises(LookupError):
        run(main)
    assert len(schema_registry.requests) < len(TOPICS)


@pytest.mark.parametrize("comes", [True, False])
def test_a_strategys_question_may_be_awaited(schema_registry: SchemaRegistryServer, comes: bool) -> None:
    async def cluster_id() -> str:
        await trio.sleep(0 if comes else 3600)
        return "cluster-7"

    async def main() -> bytes:
        serializer = AsyncAvroSerializer(
            conf(schema_registry, **({} if comes else {"total.timeout.ms": 200})),
            TEXT,
            None,
            {"subject.name.strategy.type": "ASSOCIATED"},
        )
        serializer.set_async_cluster_id_resolver(cluster_id)
        return await serializer("tea", to("orders"))

    if comes:
        assert run(main) == TEA
        assert schema_registry.requests[0].path.startswith("/associations/resources/cluster-7/orders?")
    else:
        with pytest.raises(SerializationError, match="no broker told the Kafka cluster's id in time"):
            run(main)


def test_a_thread_beside_it_is_not_taken_for_it(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> None:
        assert await trio.to_thread.run_sync(here) is Asyncio
        with AvroSerializer(conf(schema_registry), TEXT) as serializer:
            assert await trio.to_thread.run_sync(serializer, "tea", to("orders")) == TEA

    run(main)


@pytest.mark.parametrize("loaded", [{}, {"lowlevel": ModuleType("trio.lowlevel")}])
def test_one_that_is_too_old_or_half_imported_troubles_no_other_loop(
    monkeypatch: pytest.MonkeyPatch, loaded: dict[str, ModuleType]
) -> None:
    module = ModuleType("trio")
    vars(module).update(loaded)
    monkeypatch.setitem(sys.modules, "trio", module)
    assert here() is Asyncio


class Local:
    """What a frame holds."""


def test_what_one_of_several_tasks_raises_holds_no_frames() -> None:
    held: list[weakref.ref[Local]] = []

    async def fails() -> None:
        local = Local()
        held.append(weakref.ref(local))
        raise LookupError

    async def main() -> None:
        with pytest.raises(LookupError):
            await here().side_by_side(fails, 1)

    gc.collect()
    gc.disable()
    try:
        trio.run(main)
        assert held[0]() is None
    finally:
        gc.enable()
