"""What a registration costs beside a bare ``session.post``, how many go at once, what ``state()`` costs, and how soon
``close()`` releases those who wait.

    python benchmarks/registration.py

The registry is a process of its own: processor time is the client's alone. Each figure is a median of rounds that are
taken in turns.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import queue
import statistics
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

import requests

from kafka_sr_retry import RegistryUnavailableError, Schema, SchemaRegistryClient

SCHEMA = Schema(
    '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"item","type":"string"}]}'
)
EACH, ROUNDS = 100, 15

REGISTRY = """
import socket, sys, threading, time
delay = float(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0), backlog=512)
print(server.getsockname()[1], flush=True)
BODY = b'{"id":7}'
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/vnd.schemaregistry.v1+json\\r\\nContent-Length: 8\\r\\n\\r\\n"
def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    while True:
        while b"\\r\\n\\r\\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, _, rest = data.partition(b"\\r\\n\\r\\n")
        length = int(next(l for l in head.lower().split(b"\\r\\n") if l.startswith(b"content-length")).split(b":")[1])
        while len(rest) < length:
            rest += connection.recv(65536)
        data = rest[length:]
        if delay:
            time.sleep(delay)
        connection.sendall(HEAD + BODY)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


@contextmanager
def registry(delay: float = 0.0) -> Any:
    process = subprocess.Popen([sys.executable, "-c", REGISTRY, str(delay)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def processor_time(call: Callable[[int], Any], numbers: range) -> float:
    """Seconds of all threads for one call."""
    began = time.process_time()
    for number in numbers:
        call(number)
    return (time.process_time() - began) / len(numbers)


def one_by_one() -> None:
    with registry() as url, SchemaRegistryClient({"url": url}) as client, requests.Session() as session:
        headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}

        def bare(number: int) -> Any:
            answer = session.post(f"{url}/subjects/s{number}/versions", json.dumps(SCHEMA.to_dict()), headers=headers)
            return answer.json()["id"]

        def ours(number: int) -> Any:
            return client.register_schema(f"s{number}", SCHEMA)

        ways = {"bare session.post": bare, "a registration": ours}
        theirs = confluents(url)
        if theirs is not None:
            ways["Confluent's client"] = lambda number: theirs.register_schema(f"s{number}", confluents_schema())
        took: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS + 1):
            for name, way in ways.items():
                seconds = processor_time(way, range(number * EACH, (number + 1) * EACH))
                if number:
                    took[name].append(seconds)
        for name, times in took.items():
            ratio = statistics.median(a / b for a, b in zip(times, took["bare session.post"], strict=True))
            print(f"{name:24} {statistics.median(times) * 1000:6.2f} ms of processor time, {ratio:5.2f}x")


def confluents(url: str) -> Any:
    with suppress(ImportError):
        from confluent_kafka.schema_registry import SchemaRegistryClient as Theirs

        return Theirs({"url": url})
    return None


def confluents_schema() -> Any:
    from confluent_kafka.schema_registry import Schema as Theirs

    return Theirs(SCHEMA.schema_str, "AVRO")


def together(threads: int, subjects: int, delay: float, rounds: int = 9) -> None:
    took = []
    with registry(delay) as url:
        for _ in range(rounds):
            with SchemaRegistryClient({"url": url}) as client:
                client.register_schema("first", SCHEMA)
                todo: queue.SimpleQueue[int | None] = queue.SimpleQueue()
                for number in [*range(subjects), *[None] * threads]:
                    todo.put(number)

                def work(client: SchemaRegistryClient = client, todo: Any = todo) -> None:
                    while (number := todo.get()) is not None:
                        client.register_schema(f"s{number}", SCHEMA)

                workers = [threading.Thread(target=work) for _ in range(threads)]
                began = time.monotonic()
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
                took.append(time.monotonic() - began)
    least = subjects / threads * delay
    median = statistics.median(took)
    print(
        f"{threads} threads, {subjects} subjects, {delay * 1000:.0f} ms: {median:.3f} s (limit {least:.3f}), "
        f"{subjects / median:.0f} a second; best {min(took):.3f}, worst {max(took):.3f}"
    )


def state(rounds: int = 9, each: int = 10_000) -> None:
    with registry() as url, SchemaRegistryClient({"url": [url, "http://localhost:1"]}) as client:
        client.register_schema("first", SCHEMA)
        took = min(timeit.repeat(client.state, timer=time.thread_time, number=each, repeat=rounds)) / each
    print(f"state() of two URLs: {took * 1e6:.1f} us")


def close(callers: int, rounds: int = 9) -> None:
    """From ``close()`` to the last caller's error, while the registry hangs."""
    took = []
    with registry(delay=600) as url:
        for _ in range(rounds):
            client = SchemaRegistryClient({"url": url})
            released: queue.SimpleQueue[float] = queue.SimpleQueue()

            def ask(number: int, client: SchemaRegistryClient = client, released: Any = released) -> None:
                with suppress(RegistryUnavailableError):
                    client.register_schema(f"s{number}", SCHEMA)
                released.put(time.monotonic())

            for number in range(callers):
                threading.Thread(target=ask, args=(number,), daemon=True).start()
            while client.state().waiting < callers:
                time.sleep(0.01)
            began = time.monotonic()
            client.close()
            took.append(max(released.get() for _ in range(callers)) - began)
    print(f"close() releases {callers} callers: {statistics.median(took) * 1000:.1f} ms, worst {max(took) * 1000:.1f}")


if __name__ == "__main__":
    print(f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores")
    one_by_one()
    together(8, 16, 0.05)
    together(64, 1000, 0.02, 5)
    state()
    logging.getLogger("kafka_sr_retry").setLevel(logging.CRITICAL)
    close(1)
    close(100)
