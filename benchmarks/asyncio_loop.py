"""What an event loop feels of the registry: ours beside Confluent's.

    python benchmarks/asyncio_loop.py [--case no-leader wide] [--rounds 9]

All cases take four minutes: known, no-leader, hang, wide, warm-up.

* The registry is in a process of its own, and so is each contender, which has
  made one message before: no case measures imports. Confluent's serializer has
  `subject.name.strategy.type=TOPIC`: its default asks for the subject's name.
* The loop's delay: a task sleeps for a millisecond, again and again, and notes
  how much later it goes on. Beside it stands that of the same loop while
  nothing else goes on, for as long, right before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import platform
import queue
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AsyncAvroSerializer, AvroSerializer, SchemaRegistryClient
from kafka_sr_retry.testing import SchemaRegistryServer, faults

READING = json.dumps({"type": "record", "name": "Reading", "fields": [{"name": "count", "type": "long"}]})
OBJECT = {"count": 1}
OURS, THEIRS, BLOCKING = "ours", "Confluent's", "ours, AvroSerializer on the loop"
TICK = 0.001
NO_LEADER, HANGS, LIMIT = 10.25, 5.0, 30.0
SUBJECTS, DELAY, AT_ONCE, THREADS = 1000, 0.02, 16, 64
FIELDS = 1000

Serialize = Callable[[Any, SerializationContext], Any]
OURS_BY_NAME: dict[str, Callable[..., Serialize]] = {OURS: AsyncAvroSerializer, BLOCKING: AvroSerializer}


def to(topic: str) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


# -- the processes --------------------------------------------------------------------------------


def _begin(target: Callable[..., None], *given: Any) -> None:
    """What goes wrong is told by the figures, not by log lines between them."""
    logging.getLogger().addHandler(logging.NullHandler())
    target(*given)


def _serve(pipe: Connection, delay: float) -> None:
    """A registry that is told what to do."""
    with SchemaRegistryServer(delay=delay) as registry:
        pipe.send(registry.url)
        while True:
            match pipe.recv():
                case "hang":
                    registry.fail_always(faults.hang())
                case "no leader":
                    with registry.leaderless():
                        time.sleep(NO_LEADER)
                    pipe.send(time.monotonic())


@contextmanager
def process(target: Callable[..., None], *given: Any) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_begin, args=(target, there, *given), daemon=True)
    child.start()
    there.close()
    try:
        yield here
    finally:
        child.kill()
        child.join()
        here.close()


@contextmanager
def registry(delay: float = 0.0) -> Iterator[tuple[str, Connection]]:
    with process(_serve, delay) as pipe:
        yield pipe.recv(), pipe


async def made(name: str, url: str, *schemas: str) -> list[Serialize]:
    """Serializers of a contender, with one client."""
    if name != THEIRS:
        client = SchemaRegistryClient({"url": url})
        return [(OURS_BY_NAME[name])(client, schema) for schema in schemas]
    from confluent_kafka.schema_registry import AsyncSchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AsyncAvroSerializer as Theirs

    theirs, conf = AsyncSchemaRegistryClient({"url": url}), {"subject.name.strategy.type": "TOPIC"}
    return [await Theirs(theirs, schema, conf=conf) for schema in schemas]


async def used(name: str, healthy: str) -> None:
    """All that is imported with the first message is."""
    (serializer,) = await made(name, healthy, READING)
    await done(serializer(OBJECT, to("imports")))


async def done(value: Any) -> Any:
    return await value if asyncio.iscoroutine(value) else value


# -- the loop's delay -----------------------------------------------------------------------------


async def watched(work: Callable[[], Awaitable[Any]]) -> tuple[Any, list[float]]:
    """What it gives, and the loop's delays meanwhile."""
    late: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)
            late.append(time.perf_counter() - began - TICK)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(10 * TICK)
    value = await work()
    await asyncio.sleep(10 * TICK)
    watching.cancel()
    return value, late


async def threads(took: list[float]) -> None:
    """Unrelated work in threads, and what it takes until it is back."""
    while True:
        began = time.perf_counter()
        await asyncio.to_thread(int)
        took.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)


def summary(late: Sequence[float]) -> tuple[float, float, float]:
    """Median, 99 % and most."""
    ordered = sorted(late)
    return statistics.median(ordered), ordered[len(ordered) * 99 // 100], ordered[-1]


def told(late: Sequence[float]) -> str:
    return " / ".join(f"{value * 1000:.1f}" for value in summary(late))


# -- a known message ------------------------------------------------------------------------------


def _known(pipe: Connection, url: str, rounds: int) -> None:
    async def main() -> dict[str, list[float]]:
        ways = {name: (await made(name, url, READING))[0] for name in (BLOCKING, OURS, THEIRS)}
        for way in ways.values():
            await done(way(OBJECT, to("known")))
        took: dict[str, list[float]] = {name: [] for name in ways}
        each, ctx, obj, clock = 100_000, to("known"), OBJECT, time.thread_time
        for _ in range(rounds):
            for name, way in ways.items():
                times = range(each if name != THEIRS else each // 10)
                began = clock()
                if name == BLOCKING:
                    for _ in times:
                        way(obj, ctx)
                else:
                    for _ in times:
                        await way(obj, ctx)
                took[name].append((clock() - began) / len(times))
        return took

    pipe.send(asyncio.run(main()))


def known(rounds: int) -> None:
    """A message whose id is known."""
    with registry() as (url, _), process(_known, url, rounds) as pipe:
        took = pipe.recv()
    more = statistics.median(a - b for a, b in zip(took[OURS], took[BLOCKING], strict=True))
    for name, label in ((BLOCKING, "ours, called"), (OURS, "ours, awaited"), (THEIRS, "Confluent's, awaited")):
        print(f"  {label:22} {statistics.median(took[name]) * 1e6:6.3f} us")
    print(f"  awaited, not called: {more * 1e6:.3f} us more (goal: at most 0.1)")


# -- a registry without a leader ------------------------------------------------------------------


def _outage(pipe: Connection, name: str, healthy: str, url: str) -> None:
    async def main() -> dict[str, Any]:
        await used(name, healthy)
        serializers = await made(name, url, *[READING] * 5)
        took: list[float] = []
        unrelated = asyncio.ensure_future(threads(took))
        _, idle = await watched(lambda: asyncio.sleep(NO_LEADER))
        idle_threads = took.copy()
        pipe.send("ready")
        pipe.recv()
        took.clear()
        began = time.monotonic()

        async def message(number: int) -> tuple[float, str]:
            try:
                await done(serializers[number](OBJECT, to(f"topic-{number}")))
            except Exception as error:  # noqa: BLE001 what comes out of the client is what is measured
                return time.monotonic(), type(error).__name__
            return time.monotonic(), ""

        async def messages() -> Any:
            each = [asyncio.ensure_future(message(number)) for number in range(5)]
            return await asyncio.wait(each, timeout=LIMIT)

        (ended, waiting), late = await watched(messages)
        unrelated.cancel()
        return {
            "idle": idle,
            "late": late,
            "threads": took,
            "idle threads": idle_threads,
            "lost": [error for _, error in (one.result() for one in ended) if error] + ["still waiting"] * len(waiting),
            "ended": max((one.result()[0] for one in ended), default=began + LIMIT),
            "began": began,
        }

    pipe.send(asyncio.run(main()))


def no_leader(_: int) -> None:
    """No leader for 10.25 s, five new subjects of five serializers with one client."""
    for name in (OURS, THEIRS, BLOCKING):
        with (
            registry() as (healthy, _pipe),
            registry() as (url, control),
            process(_outage, name, healthy, url) as pipe,
        ):
            pipe.recv()
            control.send("no leader")
            time.sleep(0.05)
            pipe.send("go")
            over = control.recv()
            got = pipe.recv()
        end = ", ".join(sorted(set(got["lost"]))) or f"{got['ended'] - over:+.2f} s after the election"
        print(f"  {name}: {len(got['lost'])} of 5 lost, the last ends after {got['ended'] - got['began']:.2f} s")
        print(f"    {end}")
        tell_delays(got)


def tell_delays(got: dict[str, Any]) -> None:
    more = summary(got["late"])[2] - summary(got["idle"])[2]
    print("    loop's delay, median / 99 % / most, in ms:")
    print(f"      idle {told(got['idle'])}, meanwhile {told(got['late'])}")
    print(f"      {more * 1000:+.1f} at most (goal: 5 more)")
    print("    a to_thread, median / 99 % / most, in ms:")
    print(
        f"      idle {told(got['idle threads'])}, meanwhile {told(got['threads']) if got['threads'] else 'none ended'}"
    )


# -- a registry that hangs ------------------------------------------------------------------------


def _hang(pipe: Connection, name: str, healthy: str, url: str) -> None:
    async def main() -> dict[str, Any]:
        await used(name, healthy)
        serializers = await made(name, url, *[READING] * 5)
        took: list[float] = []
        unrelated = asyncio.ensure_future(threads(took))
        _, idle = await watched(lambda: asyncio.sleep(HANGS))
        idle_threads = took.copy()
        took.clear()

        async def hanging() -> list[asyncio.Future[Any]]:
            each = [
                asyncio.ensure_future(done(one(OBJECT, to(f"topic-{number}"))))
                for number, one in enumerate(serializers)
            ]
            await asyncio.sleep(HANGS)
            return each

        messages, late = await watched(hanging)
        unrelated.cancel()
        cancelled = time.perf_counter()
        for one in messages:
            one.cancel()
        await asyncio.wait(messages)
        return {
            "idle": idle, "late": late, "threads": took, "idle threads": idle_threads, "cancelled": cancelled,
            "released": time.perf_counter() - cancelled,
        }  # fmt: skip

    got = asyncio.run(main())
    pipe.send({**got, "ended": time.perf_counter() - got["cancelled"]})


def hang(_: int) -> None:
    """Accepts, and never answers; five new subjects, cancelled after 5 s."""
    for name in (OURS, THEIRS):
        with registry() as (healthy, _pipe), registry() as (url, control):
            control.send("hang")
            with process(_hang, name, healthy, url) as pipe:
                got = pipe.recv()
        print(f"  {name}: the cancelled tasks ended after {ms(got['released'])}, asyncio.run after {ms(got['ended'])}")
        tell_delays(got)


# -- a wide schema --------------------------------------------------------------------------------


def wide_schema(number: int) -> str:
    types: list[Any] = ["long", "string", ["null", "double"], {"type": "array", "items": "int"}]
    fields = [{"name": f"field_{field}", "type": types[field % 4]} for field in range(FIELDS)]
    return json.dumps({"type": "record", "name": f"Wide{number}", "fields": fields})


def _wide(pipe: Connection, name: str, url: str, rounds: int) -> None:
    row = {f"field_{field}": (1, "tea", 4.5, [1, 2])[field % 4] for field in range(FIELDS)}

    async def main() -> dict[str, Any]:
        took, late, idle = [], [], []
        for number in range(rounds + 1):
            (serializer,) = await made(name, url, wide_schema(number))

            async def message(serializer: Serialize = serializer, number: int = number) -> float:
                began = time.perf_counter()
                await done(serializer(row, to(f"{name}-{number}".replace(" ", ""))))
                return time.perf_counter() - began

            seconds, delays = await watched(message)
            _, quiet = await watched(partial(asyncio.sleep, seconds))
            if number:  # the first one learns, too
                took.append(seconds)
                late.append(max(delays))
                idle.append(max(quiet))
        return {"took": took, "late": late, "idle": idle}

    pipe.send(asyncio.run(main()))


def wide(rounds: int) -> None:
    """The first message of a schema with 1,000 fields."""
    for name in (OURS, THEIRS, BLOCKING):
        with registry() as (url, _), process(_wide, name, url, rounds) as pipe:
            got = pipe.recv()
        print(
            f"  {name}: {ms(statistics.median(got['took']))}\n    the loop's longest delay: "
            f"median {ms(statistics.median(got['late']))}, worst {ms(max(got['late']))}\n"
            f"    idle for as long: median {ms(statistics.median(got['idle']))}, worst {ms(max(got['idle']))}"
        )


# -- a warm-up ------------------------------------------------------------------------------------


def _warm_up(pipe: Connection, name: str, healthy: str, url: str) -> None:
    topics = [f"topic-{number}" for number in range(SUBJECTS)]
    if name == THEIRS:
        failed, seconds, cpu = _by_threads(healthy, url, topics)
    elif name == OURS:

        async def main() -> tuple[int, float, float]:
            await AsyncAvroSerializer({"url": healthy}, READING)(OBJECT, to("imports"))
            serializer = AsyncAvroSerializer({"url": url}, READING)
            began, cpu = time.perf_counter(), time.process_time()
            warmed = await serializer.warm_up(topics)
            return len(warmed.failed), time.perf_counter() - began, time.process_time() - cpu

        failed, seconds, cpu = asyncio.run(main())
    else:
        AvroSerializer({"url": healthy}, READING)(OBJECT, to("imports"))
        serializer = AvroSerializer({"url": url}, READING)
        began, cpu = time.perf_counter(), time.process_time()
        failed = len(serializer.warm_up(topics).failed)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    pipe.send((failed, seconds, cpu))


def _by_threads(healthy: str, url: str, topics: Sequence[str]) -> tuple[int, float, float]:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroSerializer as Theirs

    conf = {"subject.name.strategy.type": "TOPIC"}
    Theirs(SchemaRegistryClient({"url": healthy}), READING, conf=conf)(OBJECT, to("imports"))
    serializer = Theirs(SchemaRegistryClient({"url": url}), READING, conf=conf)
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for topic in topics:
        todo.put(topic)

    def work() -> None:
        try:
            while True:
                serializer(OBJECT, to(todo.get_nowait()))
        except queue.Empty:
            return

    workers = [threading.Thread(target=work) for _ in range(THREADS)]
    began, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return 0, time.perf_counter() - began, time.process_time() - cpu


def warm_up(_: int) -> None:
    """1,000 subjects, a registry that takes 20 ms, 16 at a time."""
    least = SUBJECTS * DELAY / AT_ONCE
    for name, label in (
        (BLOCKING, "ours, called"),
        (OURS, "ours, awaited"),
        (THEIRS, f"Confluent's, {THREADS} threads"),
    ):
        with (
            registry() as (healthy, _pipe),
            registry(DELAY) as (url, _control),
            process(_warm_up, name, healthy, url) as pipe,
        ):
            failed, seconds, cpu = pipe.recv()
        print(
            f"  {label:23} {seconds:6.2f} s = {seconds / least:5.2f} x {least:.2f} s, {failed} failed, "
            f"{cpu / SUBJECTS * 1000:.2f} ms of CPU"
        )
    print(f"  goal: at most 1.3 x {least:.2f} s")


# -- the command ----------------------------------------------------------------------------------

CASES = {"known": known, "no-leader": no_leader, "hang": hang, "wide": wide, "warm-up": warm_up}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES), metavar="CASE", help="only these")
    parser.add_argument("--rounds", type=int, default=9, help="of a known message and a wide schema")
    arguments = parser.parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in ("confluent-kafka", "fastavro", "requests"))
    print(f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores")
    print(packages)
    for name in arguments.case:
        print(f"\n{name}: {CASES[name].__doc__}")
        CASES[name](arguments.rounds)


if __name__ == "__main__":
    main()
