"""On an event loop: the registry is waited for by tasks, and the loop goes on."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from kafka_sr_retry import (
    AsyncAvroSerializer,
    AsyncSchemaRegistryClient,
    AvroEncodingError,
    AvroSerializer,
    ConfigurationError,
    IncompatibleSchemaError,
    RegisteredSchema,
    RegistryUnavailableError,
    Schema,
    SchemaNotFoundError,
    SchemaReference,
    SchemaRegistryClient,
)
from kafka_sr_retry.testing import SchemaRegistryServer, faults
from kafka_sr_retry.testing.faults import Exchange, Fault

_T = TypeVar("_T")

TEXT = '"string"'
WIDE = json.dumps({"type": "record", "name": "Wide", "fields": [{"name": f"f{n}", "type": "long"} for n in range(50)]})
ROW = dict.fromkeys((f"f{n}" for n in range(50)), 1)
SECONDS = 60


def to(topic: str) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE)


def run(steps: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(asyncio.wait_for(steps, SECONDS))


async def until(condition: Callable[[], object]) -> None:
    for _ in range(SECONDS * 100):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


def conf(registry: SchemaRegistryServer, **keys: Any) -> dict[str, Any]:
    return {"url": registry.url, "retries.wait.ms": 10, **keys}


def test_a_message_is_what_the_other_serializer_writes(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> list[bytes]:
        async with AsyncAvroSerializer(conf(schema_registry), WIDE) as serializer:
            return [await serializer(dict.fromkeys((f"f{n}" for n in range(50)), n), to("orders")) for n in range(3)]

    written = run(main())
    with AvroSerializer(conf(schema_registry), WIDE) as serializer:
        expected = [serializer(dict.fromkeys((f"f{n}" for n in range(50)), n), to("orders")) for n in range(3)]
    assert written == expected
    assert len(schema_registry.requests) == 2


def test_it_can_be_awaited_where_it_is_made_as_confluents_must_be(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> bytes:
        serializer = await AsyncAvroSerializer(conf(schema_registry), TEXT)
        return await serializer("tea", to("orders"))

    assert run(main()) == b"\0\0\0\0\1\6tea"


def test_none_is_a_tombstone_and_asks_nobody(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> tuple[Any, Any]:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)
        return await serializer(None, to("orders")), serializer.bind("orders")(None)

    assert run(main()) == (None, None)
    assert schema_registry.requests == []


def test_an_object_that_does_not_fit_is_told_as_by_the_other(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> None:
        await AsyncAvroSerializer(conf(schema_registry), WIDE)({"f0": "tea"}, to("orders"))

    with pytest.raises(AvroEncodingError) as failed:
        run(main())
    assert failed.value.field_path == "f0"


# -- the loop goes on ---------------------------------------------------------------------------


def held(come: threading.Event) -> Fault:
    """The real answer, once ``come`` is set."""

    def play(exchange: Exchange) -> None:
        assert come.wait(SECONDS)
        exchange.send(exchange.real_answer())

    return Fault("held", play)


BASE = Schema(json.dumps({"type": "enum", "name": "Base", "symbols": ["A"]}))
REFERRING = Schema('"Base"', "AVRO", (SchemaReference("Base", "base", 1),))


@pytest.mark.parametrize(
    ("given", "keys", "asks", "expected"),
    [
        (TEXT, {}, "/versions", b"\6tea"),
        (TEXT, {"auto.register.schemas": False}, "/subjects/orders-value", b"\6tea"),
        (None, {"use.latest.version": True, "auto.register.schemas": False}, "/versions/latest", b"\6tea"),
        (None, {"use.schema.id": 1}, "/schemas/ids/1", b"\6tea"),
        (TEXT, {"subject.name.strategy.type": "ASSOCIATED"}, "/associations/", b"\6tea"),
        (REFERRING, {}, "/subjects/base/versions/1", b"\0"),
    ],
)
def test_the_loop_goes_on_while_a_message_waits(
    schema_registry: SchemaRegistryServer, given: Any, keys: dict[str, Any], asks: str, expected: bytes
) -> None:
    schema_registry.check_compatibility = False
    schema_registry.register("orders-value", TEXT)
    schema_registry.register("base", BASE.schema_str)
    come = threading.Event()
    schema_registry.fail_next(held(come), matching=lambda request: asks in request.path)

    async def main() -> bytes:
        serializer = AsyncAvroSerializer(conf(schema_registry), given, None, keys)
        message = asyncio.ensure_future(serializer("A" if given is REFERRING else "tea", to("orders")))
        await until(lambda: any(asks in request.path for request in schema_registry.requests))
        for _ in range(100):
            await asyncio.sleep(0)
            assert not message.done()
        come.set()
        return await message

    assert run(main())[5:] == expected


def test_tasks_that_wait_take_none_of_the_loops_threads(schema_registry: SchemaRegistryServer) -> None:
    come = threading.Event()
    schema_registry.fail_always(held(come))

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)
        messages = [asyncio.ensure_future(serializer("tea", to(f"orders-{n}"))) for n in range(20)]
        await until(lambda: len(schema_registry.requests) >= 5)
        for _ in range(100):
            await asyncio.to_thread(int)
        assert not any(message.done() for message in messages)
        come.set()
        await asyncio.gather(*messages)

    run(main())


def test_a_known_message_never_leaves_the_loop(schema_registry: SchemaRegistryServer) -> None:
    """Its coroutine ends at the first step, with no wait at all."""

    async def main() -> AsyncAvroSerializer:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)
        await serializer("first", to("orders"))
        return serializer

    steps = run(main())("tea", to("orders"))
    with pytest.raises(StopIteration) as ended:
        steps.send(None)
    assert ended.value.value == b"\0\0\0\0\1\6tea"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The thread of each function that is compiled for a schema: its audit event (``compile``, of Python) tells."""
    monkeypatch.setenv("KAFKA_SR_RETRY_ENCODER", "python")  # native code has no such event
    where: list[str] = []
    watching = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "compile" and "of kafka_sr_retry" in str(arguments[1]):
            where.append(threading.current_thread().name)

    sys.addaudithook(hook)  # it cannot be taken away
    yield where
    watching.clear()


def test_a_schema_is_compiled_on_a_worker(schema_registry: SchemaRegistryServer, compiled: list[str]) -> None:
    run(AsyncAvroSerializer(conf(schema_registry), WIDE.replace("Wide", "NeverSeen"))(ROW, to("orders")))
    assert set(compiled) == {"kafka-sr-retry-worker"}


def test_a_schema_is_compiled_on_a_worker_also_when_the_calls_time_is_over(
    schema_registry: SchemaRegistryServer, compiled: list[str]
) -> None:
    known = RegisteredSchema(7, None, "orders-value", 1, Schema(WIDE.replace("Wide", "Late")))
    run(AsyncAvroSerializer(conf(schema_registry, **{"total.timeout.ms": 1}), known)(ROW, to("orders")))
    assert set(compiled) == {"kafka-sr-retry-worker"}


@pytest.mark.parametrize("topics", [1, 100])
def test_a_schema_is_compiled_once_for_all_tasks(
    schema_registry: SchemaRegistryServer, compiled: list[str], topics: int
) -> None:
    fields = [{"name": f"f{n}", "type": "long"} for n in range(500)]  # for longer than threads take turns
    schema = {"type": "record", "name": f"NeverSeen{topics}", "fields": fields}
    row = dict.fromkeys((field["name"] for field in fields), 1)

    async def main() -> None:
        serializer = AsyncAvroSerializer(conf(schema_registry), schema)
        await asyncio.gather(*(serializer(row, to(f"orders-{n % topics}")) for n in range(200)))

    run(main())
    assert len(compiled) == 1


def test_nothing_is_lost_while_there_is_no_leader(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> list[bytes]:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)
        with schema_registry.leaderless():
            messages = [asyncio.ensure_future(serializer("tea", to(f"orders-{n}"))) for n in range(5)]
            await until(lambda: len(schema_registry.requests) >= 12)
            assert not any(message.done() for message in messages)
        return await asyncio.gather(*messages)

    assert [message[5:] for message in run(main())] == [b"\6tea"] * 5


def test_tasks_with_the_same_question_share_one_request(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> None:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)
        await asyncio.gather(*(serializer("tea", to("orders")) for _ in range(1000)))

    run(main())
    assert len(schema_registry.requests) == 1


def test_a_cancelled_task_leaves_the_question_under_way_and_does_not_hold_the_loop(
    schema_registry: SchemaRegistryServer,
) -> None:
    come = threading.Event()
    schema_registry.fail_next(held(come))
    client = SchemaRegistryClient(conf(schema_registry))

    async def main() -> None:
        message = asyncio.ensure_future(AsyncAvroSerializer(client, TEXT)("tea", to("orders")))
        await until(lambda: schema_registry.requests)
        message.cancel()
        with pytest.raises(asyncio.CancelledError):
            await message

    run(main())  # ends although the registry still hangs
    assert client.state().waiting == 1
    come.set()
    assert AvroSerializer(client, TEXT)("tea", to("orders")) == b"\0\0\0\0\1\6tea"
    assert len(schema_registry.requests) == 1


def test_a_call_that_outlives_its_loop_troubles_nobody(
    schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    come = threading.Event()
    schema_registry.fail_next(held(come))
    client = SchemaRegistryClient(conf(schema_registry))
    loop = asyncio.new_event_loop()
    message = loop.create_task(AsyncAvroSerializer(client, TEXT)("tea", to("orders")))
    loop.run_until_complete(until(lambda: schema_registry.requests))
    message.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    come.set()
    assert client.register_schema("orders-value", Schema(TEXT)) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_one_client_serves_loops_and_threads_at_once(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient(conf(schema_registry))
    written: list[bytes] = []

    def on_a_thread(number: int) -> None:
        topics = [f"orders-{n}" for n in range(20)]

        async def main() -> list[bytes]:
            serializer = AsyncAvroSerializer(client, TEXT)
            return await asyncio.gather(*(serializer("tea", to(topic)) for topic in topics))

        if number % 2:
            written.extend(run(main()))
        else:
            written.extend(AvroSerializer(client, TEXT)("tea", to(topic)) for topic in topics)

    threads = [threading.Thread(target=on_a_thread, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert set(written) == {b"\0\0\0\0\1\6tea"}
    assert len(written) == 120
    assert len(schema_registry.requests) == 20


def test_a_call_ends_with_its_time_and_says_why(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(faults.no_leader())
    client = AsyncSchemaRegistryClient(conf(schema_registry))
    with pytest.raises(RegistryUnavailableError, match="50003") as failed:
        run(client.register_schema("orders-value", Schema(TEXT), timeout=0.5))
    assert failed.value.attempts >= 1


def test_closing_releases_the_tasks_that_wait(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_always(faults.hang())

    async def main() -> None:
        async with AsyncSchemaRegistryClient(conf(schema_registry)) as client:
            message = asyncio.ensure_future(AsyncAvroSerializer(client, TEXT)("tea", to("orders")))
            await until(lambda: schema_registry.requests)
        with pytest.raises(RegistryUnavailableError, match="closed"):
            await message

    run(main())


def test_a_refusal_is_the_same_error(schema_registry: SchemaRegistryServer) -> None:
    schema_registry.incompatible("orders-value")

    async def main() -> None:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)
        for _ in range(3):
            with pytest.raises(IncompatibleSchemaError):
                await serializer("tea", to("orders"))

    run(main())
    assert len(schema_registry.requests) == 1


# -- the client ---------------------------------------------------------------------------------


def test_the_client_answers_as_the_other_does(schema_registry: SchemaRegistryServer) -> None:
    async def main(client: AsyncSchemaRegistryClient) -> list[Any]:
        schema = Schema(TEXT)
        return [
            await client.register_schema("orders-value", schema),
            await client.register_schema_full_response("orders-value", schema),
            await client.lookup_schema("orders-value", schema),
            await client.get_schema(1),
            await client.get_registered(1),
            await client.get_associated_subjects("orders", "-", "value"),
            await client.get_latest_version("orders-value"),
            await client.get_version("orders-value", 1),
            await client.test_compatibility("orders-value", schema),
        ]

    def same(client: SchemaRegistryClient) -> list[Any]:
        schema = Schema(TEXT)
        return [
            client.register_schema("orders-value", schema),
            client.register_schema_full_response("orders-value", schema),
            client.lookup_schema("orders-value", schema),
            client.get_schema(1),
            client.get_registered(1),
            client.get_associated_subjects("orders", "-", "value"),
            client.get_latest_version("orders-value"),
            client.get_version("orders-value", 1),
            client.test_compatibility("orders-value", schema),
        ]

    mine = AsyncSchemaRegistryClient(conf(schema_registry))
    assert run(main(mine)) == same(SchemaRegistryClient(conf(schema_registry)))
    assert mine.state().known > 0
    mine.clear_caches()
    assert mine.state().known == 0
    with pytest.raises(SchemaNotFoundError):
        run(mine.get_latest_with_metadata("orders-value", {"owner": "shop"}))


def test_it_has_each_method_of_the_other_awaitable_with_the_same_parameters() -> None:
    other = {
        name: inspect.signature(method)
        for name, method in vars(SchemaRegistryClient).items()
        if inspect.isfunction(method) and "timeout" in inspect.signature(method).parameters and name[0] != "_"
    }
    assert len(other) == 10
    for name, signature in other.items():
        method = vars(AsyncSchemaRegistryClient)[name]
        assert inspect.iscoroutinefunction(method), name
        assert inspect.signature(method) == signature, name


def test_pickled_they_are_their_configuration(schema_registry: SchemaRegistryServer) -> None:
    client = AsyncSchemaRegistryClient(conf(schema_registry))
    assert pickle.loads(pickle.dumps(client)).config() == client.config()
    serializer = pickle.loads(pickle.dumps(AsyncAvroSerializer(client, TEXT)))
    assert type(serializer) is AsyncAvroSerializer
    assert run(serializer("tea", to("orders"))) == b"\0\0\0\0\1\6tea"


# -- strategies ---------------------------------------------------------------------------------


def test_a_strategy_may_be_awaited(schema_registry: SchemaRegistryServer) -> None:
    async def strategy(ctx: SerializationContext, record_name: str | None) -> str:
        await asyncio.sleep(0)
        return f"{ctx.topic}.mine"

    keys = {"subject.name.strategy": strategy}

    async def main() -> list[bytes]:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT, None, keys)
        return [await serializer("tea", to("orders")) for _ in range(3)]

    assert run(main()) == [b"\0\0\0\0\1\6tea"] * 3
    assert [request.path for request in schema_registry.requests] == ["/subjects/orders.mine/versions"]
    with pytest.raises(ConfigurationError, match="AsyncAvroSerializer"):
        AvroSerializer(conf(schema_registry), TEXT, None, keys)("tea", to("orders"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert AsyncAvroSerializer(conf(schema_registry), TEXT, None, keys).knows("orders") is False
        gc.collect()


@pytest.mark.parametrize("resolver_awaits", [True, False])
def test_the_cluster_id_may_be_awaited(schema_registry: SchemaRegistryServer, resolver_awaits: bool) -> None:
    async def awaited() -> str:
        await asyncio.sleep(0)
        return "cluster-7"

    async def main() -> None:
        keys = {"subject.name.strategy.type": "ASSOCIATED"}
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT, None, keys)
        serializer.set_async_cluster_id_resolver(awaited if resolver_awaits else lambda: "cluster-7")
        await serializer("tea", to("orders"))

    run(main())
    assert schema_registry.requests[0].path.startswith("/associations/resources/cluster-7/orders?")


def test_a_cluster_id_that_does_not_come_is_told(schema_registry: SchemaRegistryServer) -> None:
    async def never() -> str:
        await asyncio.sleep(3600)
        raise AssertionError

    async def main() -> None:
        keys = {"subject.name.strategy.type": "ASSOCIATED"}
        serializer = AsyncAvroSerializer(conf(schema_registry, **{"total.timeout.ms": 200}), TEXT, None, keys)
        serializer.set_async_cluster_id_resolver(never)
        with pytest.raises(SerializationError, match="no broker told the Kafka cluster's id in time"):
            await serializer("tea", to("orders"))

    run(main())


# -- producers ----------------------------------------------------------------------------------


def test_bound_it_writes_what_is_known_and_never_waits(schema_registry: SchemaRegistryServer) -> None:
    async def main() -> None:
        serializer = AsyncAvroSerializer(conf(schema_registry), TEXT)
        write = serializer.bind("orders")
        with pytest.raises(SerializationError, match=r"await serializer.warm_up\(\['orders'\]\)"):
            write("tea")
        assert schema_registry.requests == []
        await serializer.warm_up(["orders"])
        assert write("tea") == b"\0\0\0\0\1\6tea"
        assert pickle.loads(pickle.dumps(write)) is not None

    run(main())


def test_a_wrong_configuration_is_told_before_the_loop(schema_registry: SchemaRegistryServer) -> None:
    with pytest.raises(ConfigurationError, match=r"max\.retries"):
        AsyncSchemaRegistryClient({"url": schema_registry.url, "max.retrie": 1})
    with pytest.raises(ConfigurationError, match="schema_str"):
        AsyncAvroSerializer({"url": schema_registry.url}, "{")
