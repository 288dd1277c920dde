"""A producer that runs for long while its registry comes and goes: what does it hold on to?

    python -m trials.soak [--minutes 30] [--seed 1] [--plot docs/soak.png]

One process produces: four threads, and four tasks of an event loop, each with a serializer; one client, new subjects
all the time, a cache of 1,000 subjects that is full within the first minutes. Two registries and the broker run in the
process that watches. Every twenty to forty seconds the registries' fault begins or ends: which one is drawn with the
seed.

It fails if a message is neither delivered nor reported, if one fails although the registries have been well for longer
than a call may take, or if memory, threads or sockets are not flat. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import itertools
import multiprocessing
import os
import platform
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import Message, Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AsyncAvroSerializer, AvroSerializer, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.testing import KafkaMockCluster, SchemaRegistryCluster, SchemaRegistryServer, faults

SCHEMA = '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"item","type":"string"}]}'
SPAWN = multiprocessing.get_context("spawn")
THREADS, TASKS = 4, 4
TOPICS = 16
TOTAL_TIMEOUT = 5.0
CLIENT = {
    "request.timeout.ms": 1000,
    "total.timeout.ms": int(TOTAL_TIMEOUT * 1000),
    "retries.max.wait.ms": 1000,
    "cache.capacity": 1000,
    "max.in.flight": 8,
}
MOST_THREADS = 2 * 8 + 2

FAULTS: dict[str, Callable[[], faults.Fault]] = {
    "no leader": faults.no_leader,
    "503": lambda: faults.error(503),
    "429": lambda: faults.retry_after(2),
    "hangs": faults.hang,
    "resets": faults.reset,
    "swallows": faults.swallow,
    "truncates": faults.truncate,
    "drips": lambda: faults.drip(0.3),
    "drops bodies": faults.drop_body,
    "a page": faults.html,
}

WARM = 0.3
"""The share of the time after which memory is expected to be flat."""

MOST_GROWTH = 10.0
"""MiB. A client remembers up to 10,000 questions that have failed, 0.8 KB each, and half an hour does not fill that."""


@dataclass(frozen=True)
class Phase:
    """From ``begins`` on, in seconds, the registries have this fault, or none."""

    begins: float
    fault: str | None


@dataclass(frozen=True)
class Sample:
    at: float
    rss: float
    """MiB."""
    threads: int
    sockets: int
    delivered: int
    failed: int


def schedule(seed: int, seconds: float) -> list[Phase]:
    """Well and not well in turns; the last phase is well, and longer than a call may take."""
    draw = random.Random(seed)
    phases, at = [Phase(0.0, None)], 30.0
    while at + 60 < seconds:
        phases.append(Phase(at, None if phases[-1].fault else draw.choice(tuple(FAULTS))))
        at += draw.uniform(20, 40)
    return [*phases, Phase(at, None)] if phases[-1].fault else phases


def judge(samples: Sequence[Sample], seconds: float) -> list[str]:
    """What is not flat."""
    warm = [sample for sample in samples if sample.at >= WARM * seconds]
    half, tenth = len(warm) // 2, len(warm) // 10
    before, after = (median(sample.rss for sample in part) for part in (warm[:tenth], warm[-tenth:]))
    wrong = []
    if after - before > MOST_GROWTH:
        wrong.append(f"memory grew from {before:.1f} to {after:.1f} MiB (medians of a tenth of the time at either end)")
    for name in ("threads", "sockets"):
        early, late = (max(getattr(sample, name) for sample in part) for part in (warm[:half], warm[half:]))
        if late > early + MOST_THREADS:
            wrong.append(f"{name} grew from {early} to {late}")
    if min(sample.delivered for sample in warm[1:]) <= samples[0].delivered:
        wrong.append("nothing was delivered")
    return wrong


# -- the process that produces -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """Shared by both processes."""

    given: Synchronized[int]
    delivered: Synchronized[int]
    failed: Synchronized[int]
    unreported: Synchronized[int]
    while_well: Synchronized[int]
    """Calls that failed although they began and ended while the registries were well."""
    well: Synchronized[int]
    stop: Any

    @classmethod
    def new(cls) -> Counts:
        given, delivered, failed, unreported, while_well, well = (SPAWN.Value(ctypes.c_int64, 0) for _ in range(6))
        return cls(given, delivered, failed, unreported, while_well, well, SPAWN.Event())


def add(counter: Synchronized[int]) -> None:
    with counter.get_lock():
        counter.value += 1


def produce(urls: str, bootstrap_servers: str, counts: Counts, seed: int) -> None:
    """Until it is stopped; then each message must have had an end."""
    idle = threading.active_count(), sockets(os.getpid())
    pending: set[tuple[int, int]] = set()
    client = SchemaRegistryClient({"url": urls, **CLIENT})
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "log_level": 3})

    def given(number: int) -> Iterator[tuple[tuple[int, int], SerializationContext, int]]:
        """A message's key and context, and since when the registries have been well."""
        draw = random.Random(f"{seed} {number}")
        for count in itertools.count():
            if counts.stop.is_set():
                return
            # Every twentieth message has a subject of its own; the others one of the last ten.
            subject = f"soak-{number}-{(count if count % 20 == 0 else count - 20 * draw.randrange(10)) // 20}"
            add(counts.given)
            yield (number, count), SerializationContext(subject, MessageField.VALUE), counts.well.value

    def lane(number: int) -> None:
        serializer = AvroSerializer(client, SCHEMA)
        for key, ctx, was_well in given(number):
            try:
                payload = serializer({"id": key[1], "item": "tea"}, ctx)
            except SchemaRegistryError:
                gave_up(was_well)
            else:
                send(key, payload)
            time.sleep(0.01)

    def loop() -> None:
        async def task(number: int) -> None:
            serializer = AsyncAvroSerializer(client, SCHEMA)
            for key, ctx, was_well in given(number):
                try:
                    payload = await serializer({"id": key[1], "item": "tea"}, ctx)
                except SchemaRegistryError:
                    gave_up(was_well)
                else:
                    send(key, payload)
                await asyncio.sleep(0.01)

        async def main() -> None:
            await asyncio.gather(*(task(THREADS + number) for number in range(TASKS)))

        asyncio.run(main())

    def gave_up(was_well: int) -> None:
        add(counts.failed)
        if was_well and counts.well.value == was_well:
            add(counts.while_well)

    def send(key: tuple[int, int], payload: bytes) -> None:
        pending.add(key)
        producer.produce(f"soak-{key[1] % TOPICS}", payload, on_delivery=ended(key))
        producer.poll(0)

    def ended(key: tuple[int, int]) -> Callable[[object, Message], None]:
        def on_delivery(error: object, _: Message) -> None:
            pending.remove(key)
            add(counts.failed if error else counts.delivered)

        return on_delivery

    lanes = [threading.Thread(target=lane, args=(number,)) for number in range(THREADS)]
    lanes.append(threading.Thread(target=loop))
    for each in lanes:
        each.start()
    for each in lanes:
        each.join()
    producer.flush(30)
    producer.close()
    client.close()
    counts.unreported.value = len(pending)
    until = time.monotonic() + 10
    while (left := (threading.active_count() - idle[0], sockets(os.getpid()) - idle[1])) != (0, 0):
        if time.monotonic() > until:
            sys.exit(f"{left[0]} threads and {left[1]} sockets are left ten seconds after close()")
        time.sleep(0.1)


# -- the process that watches --------------------------------------------------------------------------------------


def sockets(pid: int) -> int:
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(link).startswith("socket:")
        except OSError:  # closed meanwhile
            continue
    return count


def look(pid: int, at: float, counts: Counts) -> Sample:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Sample(
        at,
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(list(Path(f"/proc/{pid}/task").iterdir())),
        sockets(pid),
        counts.delivered.value,
        counts.failed.value,
    )


def soak(seed: int, seconds: float) -> tuple[list[Phase], list[Sample], list[str]]:
    """The schedule, a sample a second, and what was wrong."""
    phases = schedule(seed, seconds)
    counts = Counts.new()
    samples: list[Sample] = []
    with SchemaRegistryCluster() as cluster, KafkaMockCluster() as kafka:
        arguments = (cluster.url, kafka.bootstrap_servers, counts, seed)
        process = SPAWN.Process(target=produce, args=arguments)
        process.start()
        assert process.pid is not None
        began = time.monotonic()
        for phase, following in itertools.zip_longest(phases, phases[1:]):
            begin(phase, cluster.nodes)
            until = following.begins if following else seconds
            recovered = time.monotonic() + 2 * TOTAL_TIMEOUT
            while (at := time.monotonic() - began) < until and process.is_alive():
                if not phase.fault and time.monotonic() > recovered:
                    counts.well.value = int(phase.begins) + 1
                samples.append(look(process.pid, at, counts))
                time.sleep(min(1.0, max(0.0, until - at)))
            counts.well.value = 0
        counts.stop.set()
        process.join(60)
        wrong = judge(samples, seconds)
        if process.exitcode != 0:
            wrong.append(f"the producing process ended with {process.exitcode}; see above")
            process.kill()
    ends = counts.delivered.value + counts.failed.value
    if counts.unreported.value or ends != counts.given.value:
        wrong.append(f"of {counts.given.value} messages {ends} had an end")
    if counts.while_well.value:
        wrong.append(f"{counts.while_well.value} messages failed while the registries were well")
    return phases, samples, wrong


def begin(phase: Phase, registries: Sequence[SchemaRegistryServer]) -> None:
    for registry in registries:
        registry.recover()
        registry.clear_requests()
        if phase.fault:
            registry.fail_always(FAULTS[phase.fault]())


def plot(phases: Sequence[Phase], samples: Sequence[Sample], to: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    minutes = [sample.at / 60 for sample in samples]
    rates = [
        (later.delivered - earlier.delivered) / max(later.at - earlier.at, 0.001)
        for earlier, later in itertools.pairwise(samples)
    ]
    rows: list[tuple[str, Sequence[float], Sequence[float]]] = [
        ("messages a second", minutes[1:], rates),
        ("failed calls, in all", minutes, [sample.failed for sample in samples]),
        ("memory (RSS), MiB", minutes, [sample.rss for sample in samples]),
        ("threads", minutes, [sample.threads for sample in samples]),
        ("sockets", minutes, [sample.sockets for sample in samples]),
    ]
    figure, axes = pyplot.subplots(len(rows), sharex=True, figsize=(9, 10), layout="constrained")
    for axis, (title, across, up) in zip(axes, rows, strict=True):
        axis.plot(across, up, linewidth=0.8)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylim(bottom=0)
        for phase, following in itertools.zip_longest(phases, phases[1:]):
            if phase.fault:
                end = following.begins if following else samples[-1].at
                axis.axvspan(phase.begins / 60, end / 60, color="tab:red", alpha=0.12, linewidth=0)
    axes[-1].set_xlabel("minutes; red: the registries have a fault")
    figure.savefig(to, dpi=100)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trials.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="default 30")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--plot", type=Path, help="where to draw memory, threads and sockets")
    arguments = parser.parse_args()
    if arguments.minutes < 2:
        parser.error("--minutes: at least 2")
    print(f"soak: seed {arguments.seed}, {arguments.minutes:g} minutes", flush=True)
    phases, samples, wrong = soak(arguments.seed, arguments.minutes * 60)
    if arguments.plot and samples:
        plot(phases, samples, arguments.plot)
    last, warm = samples[-1], [sample for sample in samples if sample.at >= WARM * arguments.minutes * 60]
    print(
        f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores:"
        f" {last.delivered:,} delivered, {last.failed:,} failed, {sum(bool(phase.fault) for phase in phases)} faults"
    )
    for name in ("rss", "threads", "sockets"):
        values = [getattr(sample, name) for sample in warm]
        print(f"  {name:8} {min(values):8.1f} to {max(values):8.1f} after the first {WARM:.0%}, {values[-1]:.1f} last")
    print("\n".join(f"WRONG: {each}" for each in wrong) or "flat, and every message had an end")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
