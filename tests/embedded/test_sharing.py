"""A client that comes by pickle shares one of its configuration that is there: the requests are counted."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import Any

import pools
import pytest
from confluent_kafka.serialization import MessageField, SerializationContext
from requests import PreparedRequest
from requests.auth import AuthBase
from waiting import until

from kafka_sr_retry import AsyncAvroSerializer, AvroSerializer, RegistryUnavailableError, Schema, SchemaRegistryClient
from kafka_sr_retry.events import Event
from kafka_sr_retry.registry import sharing
from kafka_sr_retry.testing import SchemaRegistryServer, faults

LONG = Schema('"long"')
ORDERS = SerializationContext("orders", MessageField.VALUE)


def unpickled(given: Any) -> Any:
    return pickle.loads(pickle.dumps(given))


def collected(reference: weakref.ref[Any]) -> bool:
    gc.collect()
    return reference() is None


# -- who shares --------------------------------------------------------------------------------


@pytest.mark.parametrize("owns", [True, False], ids=["owns its client", "was given a client"])
def test_tasks_one_after_another_ask_once(owns: bool, schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    serializer = AvroSerializer({"url": schema_registry.url} if owns else client, LONG)
    brought = pickle.dumps(serializer)
    del client, serializer
    gc.collect()
    for _ in range(200):
        with pickle.loads(brought) as task:
            task(1, ORDERS)
    assert len(schema_registry.requests) == 1


def test_an_asynchronous_one_shares_too(schema_registry: SchemaRegistryServer) -> None:
    serializer = AsyncAvroSerializer({"url": schema_registry.url}, LONG)

    async def tasks() -> None:
        await serializer(1, ORDERS)
        for _ in range(3):
            async with unpickled(serializer) as task:
                await task(1, ORDERS)

    asyncio.run(tasks())
    assert len(schema_registry.requests) == 1


def test_the_client_that_a_pickle_was_made_from_goes_before_others(schema_registry: SchemaRegistryServer) -> None:
    clients = [SchemaRegistryClient({"url": schema_registry.url}) for _ in range(8)]
    for number, client in enumerate(clients):
        client.register_schema(f"s{number}", LONG)
        unpickled(client).register_schema(f"s{number}", LONG)
    assert len(schema_registry.requests) == len(clients)


def test_a_client_of_equal_settings_that_is_there_is_shared(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": [schema_registry.url], "max.retries": 3}) as there:
        there.register_schema("s", LONG)
        brought = pickle.dumps(SchemaRegistryClient({"url": schema_registry.url + "/", "max.retries": 3}))
        gc.collect()
        for _ in range(3):
            pickle.loads(brought).register_schema("s", LONG)
        assert len(schema_registry.requests) == 1
        assert SchemaRegistryClient({"url": schema_registry.url}).register_schema("s", LONG) == 1  # not unpickled
        assert len(schema_registry.requests) == 2


def test_other_settings_share_nothing(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    brought = pickle.dumps(SchemaRegistryClient({"url": schema_registry.url, "basic.auth.user.info": "ann:secret"}))
    gc.collect()
    client.register_schema("s", LONG)
    pickle.loads(brought).register_schema("s", LONG)
    assert ["Authorization" in request.headers for request in schema_registry.requests] == [False, True]


def test_another_class_shares_nothing(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    brought = pickle.dumps(OfTheLab({"url": schema_registry.url}))
    gc.collect()
    client.register_schema("s", LONG)
    copied = pickle.loads(brought)
    copied.register_schema("s", LONG)
    assert type(copied) is type(unpickled(copied)) is OfTheLab
    unpickled(copied).register_schema("s", LONG)
    assert len(schema_registry.requests) == 2


class OfTheLab(SchemaRegistryClient):
    pass


class Token(AuthBase):
    """Equal to itself alone."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = self.token
        return request


def test_objects_that_equal_themselves_alone_are_shared_by_pickles_of_one_client(
    schema_registry: SchemaRegistryServer,
) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url, "http.auth": Token("one")})
    client.register_schema("s", LONG)
    for _ in range(3):
        unpickled(client).register_schema("s", LONG)
    assert len(schema_registry.requests) == 1
    brought = [pickle.dumps(client) for _ in range(3)]
    gone = weakref.ref(client)
    del client
    assert collected(gone)
    for one in brought:
        pickle.loads(one).register_schema("s", LONG)
    assert len(schema_registry.requests) == 2
    unpickled(SchemaRegistryClient({"url": schema_registry.url, "http.auth": Token("one")})).register_schema("s", LONG)
    assert len(schema_registry.requests) == 3


def test_a_configuration_whose_objects_have_changed_since_is_another(schema_registry: SchemaRegistryServer) -> None:
    token = Token("old")
    client = SchemaRegistryClient({"url": schema_registry.url, "http.auth": token})
    brought = [pickle.dumps(client)]
    token.token = "new"
    brought.append(pickle.dumps(client))
    del client
    gc.collect()
    for one in (*brought, *brought):
        pickle.loads(one).register_schema("s", LONG)
    assert [request.headers["Authorization"] for request in schema_registry.requests] == ["old", "new"]


def listener() -> Callable[[Event], None]:
    return lambda event: None


class ByValue(pickle.Pickler):
    """As cloudpickle pickles a lambda: a new one comes out each time."""

    def reducer_override(self, given: Any) -> Any:
        return (listener, ()) if isinstance(given, FunctionType) and given.__name__ == "<lambda>" else NotImplemented


def test_what_pickle_cannot_tell_again_shares_nothing(schema_registry: SchemaRegistryServer) -> None:
    brought = BytesIO()
    ByValue(brought).dump(SchemaRegistryClient({"url": schema_registry.url, "event_cb": lambda event: None}))
    for _ in range(2):
        with pickle.loads(brought.getvalue()) as client:
            client.register_schema("s", LONG)
    assert len(schema_registry.requests) == 2


class Odd(Token):
    """What it says of others is no answer."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        raise RuntimeError("compared")


def test_an_object_that_cannot_be_compared_is_no_fault(schema_registry: SchemaRegistryServer) -> None:
    there = SchemaRegistryClient({"url": schema_registry.url, "http.auth": Odd("one")})
    brought = pickle.dumps(SchemaRegistryClient({"url": schema_registry.url, "http.auth": Odd("one")}))
    gc.collect()
    there.register_schema("s", LONG)
    pickle.loads(brought).register_schema("s", LONG)
    assert len(schema_registry.requests) == 2


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_shares_too(copied: Callable[[Any], Any], schema_registry: SchemaRegistryServer) -> None:
    with AvroSerializer({"url": schema_registry.url, "event_cb": lambda event: None}, LONG) as serializer:
        serializer(1, ORDERS)
        copied(serializer)(1, ORDERS)
    assert len(schema_registry.requests) == 1


def test_a_listener_hears_once_of_what_a_copy_asks(schema_registry: SchemaRegistryServer) -> None:
    heard: list[Event] = []
    with SchemaRegistryClient({"url": schema_registry.url, "event_cb": heard.append}) as client:
        copy.copy(client).register_schema("s", LONG)
        told = [*heard]
        client.register_schema("s", LONG)
    assert heard == told
    assert told


# -- closing -----------------------------------------------------------------------------------


def test_each_is_closed_by_itself(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    clients = [client, *(unpickled(client) for _ in range(3))]
    clients.append(unpickled(clients[-1]))
    for number, one in enumerate(clients):
        one.close()
        one.close()
        with pytest.raises(RegistryUnavailableError, match="closed"):
            one.register_schema(f"s{number}", LONG)
        for other in clients[number + 1 :]:
            other.register_schema(f"s{number}", LONG)
        if number < len(clients) - 1:
            assert one.register_schema(f"s{number}", LONG) == 1  # what is known stays known
    assert len(schema_registry.requests) == len(clients) - 1
    assert unpickled(client).register_schema("s", LONG) == 1


def test_the_last_one_closes_all(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    gone = unpickled(client)
    closed = unpickled(client)
    closed.close()
    del gone
    gc.collect()
    schema_registry.fail_next(faults.hang())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.register_schema, "s", LONG)
        until(lambda: bool(schema_registry.requests))
        client.close()
        with pytest.raises(RegistryUnavailableError, match="closed"):
            waiting.result(20)


def test_a_client_that_its_maker_closes_ends_no_wait_of_a_copy(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url, "request.timeout.ms": 1000})
    copied = unpickled(client)
    schema_registry.fail_next(faults.hang())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(copied.register_schema, "s", LONG)
        until(lambda: bool(schema_registry.requests))
        client.close()
        assert waiting.result(20) == 1


@pytest.mark.parametrize("asked", ["the same", "something else"])
def test_who_is_closed_waits_no_longer_while_another_does(asked: str, schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url, "request.timeout.ms": 60_000})
    copied = unpickled(client)
    schema_registry.fail_always(faults.hang())
    subject = "s" if asked == "the same" else "t"
    with ThreadPoolExecutor(2) as pool:
        stays = pool.submit(copied.register_schema, "s", LONG)
        leaves = pool.submit(client.register_schema, subject, LONG)
        until(lambda: client.state().waiting == len({"s", subject}) and bool(schema_registry.requests))
        client.close()
        with pytest.raises(RegistryUnavailableError, match="The client was closed"):
            leaves.result(20)
        assert not stays.done()
        copied.close()
        with pytest.raises(RegistryUnavailableError, match="The client was closed"):
            stays.result(20)


# -- how long ----------------------------------------------------------------------------------


def test_a_client_that_its_maker_lets_go_is_not_kept(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url})
    copied = unpickled(client)
    gone = weakref.ref(client)
    del client
    assert not collected(gone)  # its copy still uses it
    copied.register_schema("s", LONG)
    del copied
    assert collected(gone)


def test_a_process_keeps_a_bounded_number(schema_registry: SchemaRegistryServer) -> None:
    brought = [
        pickle.dumps(SchemaRegistryClient({"url": schema_registry.url, "cache.capacity": 10 + number}))
        for number in range(sharing.KEPT + 1)
    ]
    gc.collect()
    for one in (*brought, brought[-1], brought[1], brought[0]):
        pickle.loads(one).register_schema("s", LONG)
        gc.collect()
    assert len(schema_registry.requests) == sharing.KEPT + 2


# -- threads and processes ---------------------------------------------------------------------


def test_threads_that_unpickle_together_share_one(schema_registry: SchemaRegistryServer) -> None:
    brought = pickle.dumps(AvroSerializer({"url": schema_registry.url}, LONG))
    gc.collect()
    together = threading.Barrier(16)

    def work(_: int) -> bytes | None:
        together.wait(30)
        message: bytes = pickle.loads(brought)(1, ORDERS)
        return message

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(work, range(16)))) == 1
    assert len(schema_registry.requests) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on this system")
def test_a_child_of_a_fork_is_not_held_by_a_thread_that_was_unpickling(schema_registry: SchemaRegistryServer) -> None:
    code = """
        import os, pickle, sys, threading, warnings
        warnings.simplefilter("ignore")
        from kafka_sr_retry import SchemaRegistryClient, Schema
        inside, go = threading.Event(), threading.Event()
        class Slow:
            def __call__(self, event): pass
            def watch(self, client):
                inside.set()
                go.wait(20)
        known = pickle.loads(pickle.dumps(SchemaRegistryClient({"url": sys.argv[1]})))
        known.register_schema("known", Schema('"long"'))
        go.set()
        slow = pickle.dumps(SchemaRegistryClient({"url": sys.argv[1], "event_cb": Slow()}))
        inside.clear(), go.clear()
        thread = threading.Thread(target=pickle.loads, args=(slow,))
        thread.start()
        inside.wait(20)
        child = os.fork()
        if not child:
            copied = pickle.loads(pickle.dumps(known))
            copied.register_schema("known", Schema('"long"'))
            copied.register_schema("new", Schema('"long"'))
            os._exit(0)
        done = os.waitpid(child, 0)[1]
        go.set()
        thread.join()
        sys.exit(done)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), schema_registry.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [request.path.split("/")[2] for request in schema_registry.requests] == ["known", "new"]


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver", "executor"])
def test_the_tasks_of_a_pool_ask_once_for_each_process_and_subject(
    kind: str, schema_registry: SchemaRegistryServer
) -> None:
    command = [sys.executable, Path(pools.__file__), schema_registry.url, kind, "200", "orders", "returns"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    tasks = json.loads(done.stdout)
    processes = {process for process, _ in tasks}
    assert {identifier for _, identifiers in tasks for identifier in identifiers} == {1}
    assert len(tasks) == 200
    assert len(processes) <= pools.PROCESSES
    assert len(schema_registry.requests) == 2 * len(processes)


def test_a_serializer_that_was_given_the_id_asks_in_no_process(schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryClient({"url": schema_registry.url}) as client:
        known = client.register_schema_full_response("orders-value", LONG)
        brought = pickle.dumps(AvroSerializer(client, known))
    code = """
        import pickle, sys
        from confluent_kafka.serialization import SerializationContext
        sys.stdout.buffer.write(pickle.load(sys.stdin.buffer)(1, SerializationContext("orders", "value")))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, input=brought, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"\0\0\0\0\x01\x02"
    assert len(schema_registry.requests) == 1
