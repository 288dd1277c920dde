"""What further topics, ids and serializers take, and whether memory is flat: ours, and Confluent's beside it.

    python benchmarks/memory.py [--share 10] [ROW ...]

Each row is a process of its own, and so is its registry. Bytes are tracemalloc's, RSS is the process's, from /proc
(Linux). Milliseconds are processor time, medians, for subjects that the client knows: without the request.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import multiprocessing
import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from confluent_kafka.schema_registry import Schema as TheirSchema
from confluent_kafka.schema_registry import SchemaRegistryClient as TheirClient
from confluent_kafka.schema_registry.avro import AvroSerializer as TheirSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.testing import SchemaRegistryServer, faults

SPAWN = multiprocessing.get_context("spawn")
OURS, CONFLUENTS = "kafka_sr_retry", "Confluent's"

NULLABLE = [{"name": f"f{n}", "type": ["null", "string"], "default": None} for n in range(100)]
WIDE = json.dumps({"type": "record", "name": "Wide", "fields": NULLABLE})
ONE_WIDE = {f"f{n}": None for n in range(100)}

KINDS: list[tuple[Any, Any]] = [
    ("long", 1), ("string", "tea"), ("double", 4.5), (["null", "string"], None), ("boolean", True),
    ({"type": "array", "items": "string"}, ["a"]), (["null", "long"], None), ({"type": "map", "values": "long"}, {}),
    ("bytes", b"x"), ("int", 1),
]  # fmt: skip


def small(number: int) -> tuple[str, dict[str, Any]]:
    """A schema of its own, of three to ten fields, and a value."""
    kinds = KINDS[: 3 + number % 8]
    fields = [{"name": f"f{place}", "type": kind} for place, (kind, _) in enumerate(kinds)]
    text = json.dumps({"type": "record", "name": f"Small{number}", "fields": fields})
    return text, {f"f{place}": value for place, (_, value) in enumerate(kinds)}


# -- a client of either kind ------------------------------------------------------------------------


class Side:
    def __init__(self, kind: str, url: str) -> None:
        self._ours = kind == OURS
        self.client: Any = (SchemaRegistryClient if self._ours else TheirClient)({"url": url})

    def register(self, subject: str, text: str) -> None:
        self.client.register_schema(subject, Schema(text) if self._ours else TheirSchema(text, "AVRO"))

    def serializer(self, text: str) -> Any:
        if self._ours:
            return AvroSerializer(self.client, text)
        conf = {"subject.name.strategy.type": "TOPIC"}  # its default asks the registry for the subject's name
        return TheirSerializer(self.client, text, conf=conf)


def value_of(topic: str) -> SerializationContext:
    return SerializationContext(topic, MessageField.VALUE)


# -- rows: run in a process of their own, with a registry's URL, and give lines to print -------------


def further_topic(url: str, share: int) -> Iterator[str]:
    for kind in (OURS, CONFLUENTS):
        side = Side(kind, url)
        serializer = side.serializer(WIDE)
        kept: list[Any] = []

        def topic(name: str, serializer: Any = serializer) -> None:
            serializer(ONE_WIDE, value_of(name))

        def another(name: str, side: Side = side, kept: list[Any] = kept) -> None:
            kept.append(side.serializer(WIDE))
            kept[-1](ONE_WIDE, value_of(name))

        for what, call in (("of one serializer", topic), ("with a serializer of its own", another)):
            each = milliseconds(call, side, f"known-{call.__name__}")
            taken = kept_bytes(call, f"new-{call.__name__}", 1_000 // share)
            yield f"{kind}: a topic {what}: {taken:,.0f} bytes, {each:.3f} ms"


def milliseconds(call: Callable[[str], None], side: Side, name: str) -> float:
    took = []
    for number in range(120):
        side.register(f"{name}-{number}-value", WIDE)
        began = time.thread_time()
        call(f"{name}-{number}")
        took.append(time.thread_time() - began)
    return statistics.median(took[20:]) * 1e3


def kept_bytes(call: Callable[[str], None], name: str, number: int) -> float:
    call(name)
    gc.collect()
    tracemalloc.start()
    for each in range(number):
        call(f"{name}-{each}")
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept / number


def serializers(kind: str, url: str, share: int) -> Iterator[str]:
    number, side = 2_000 // share, Side(kind, url)
    schemas = [small(each) for each in range(2 * number + 100)]

    def made(part: range) -> list[Any]:
        found = []
        for each in part:
            text, value = schemas[each]
            found.append(side.serializer(text))
            found[-1](value, value_of(f"topic-{each}"))
        gc.collect()
        return found

    kept = [made(range(100))]
    before = rss()
    kept.append(made(range(100, 100 + number)))
    resident = (rss() - before) / number
    tracemalloc.start(1)
    kept.append(made(range(100 + number, 100 + 2 * number)))
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    by_file = Counter[str]()
    for each in snapshot.statistics("filename"):
        by_file[place(each.traceback[0].filename)] += each.size
    text = statistics.mean(len(text) for text, _ in schemas)
    yield (
        f"{kind}: {number:,} serializers with a schema each, of {text:.0f} characters: "
        f"{resident:.1f} KiB of RSS each, {sum(by_file.values()) / number / 1024:.1f} KiB by tracemalloc"
    )
    yield f"  {', '.join(f'{name} {size / number / 1024:.1f}' for name, size in by_file.most_common(6))}"


def place(filename: str) -> str:
    path = Path(filename)
    return path.name if "kafka_sr_retry" in path.parts else "/".join(path.parts[-2:])


def topics(url: str, share: int) -> Iterator[str]:
    serializer = AvroSerializer({"url": url, "cache.capacity": 1_000 // share}, WIDE)
    yield from watched(
        f"{10_000 // share:,} topics at cache.capacity {1_000 // share:,}",
        10_000 // share,
        lambda number: serializer(ONE_WIDE, value_of(f"topic-{number}")),
    )


def messages(url: str, share: int) -> Iterator[str]:
    text, value = small(7)
    serializer = AvroSerializer({"url": url}, text)
    contexts = [value_of(f"topic-{number}") for number in range(20)]
    yield from watched(
        f"{2_000_000 // share:,} messages of 20 topics",
        2_000_000 // share,
        lambda number: serializer(value, contexts[number % 20]),
    )


def refused(url: str, share: int) -> Iterator[str]:
    yield from failing(url, "refused (409)", {}, 10_000 // share)


def given_up(url: str, share: int) -> Iterator[str]:
    """More than a client remembers of them."""
    yield from failing(url, "given up (503)", {"total.timeout.ms": 20}, 30_000 // share)


def failing(url: str, what: str, conf: dict[str, Any], number: int) -> Iterator[str]:
    text, value = small(7)
    serializer = AvroSerializer({"url": url, **conf}, text)

    def register(number: int) -> None:
        with suppress(SchemaRegistryError):
            serializer(value, value_of(f"topic-{number}"))
            sys.exit("it was registered")

    yield from watched(f"{number:,} registrations {what}", number, register)


def watched(what: str, number: int, call: Callable[[int], Any]) -> Iterator[str]:
    """RSS after each fifth of the calls."""
    samples = []
    for each in range(number):
        call(each)
        if (each + 1) % (number // 5) == 0:
            gc.collect()
            samples.append(rss())
    yield f"{what}: RSS {', '.join(f'{sample / 1024:.1f}' for sample in samples)} MiB"


def rss() -> float:
    """KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


ROWS: dict[str, tuple[Callable[[str, int], Iterator[str]], int | None]] = {
    "topic": (further_topic, None),
    "serializers": (partial(serializers, OURS), None),
    "confluents-serializers": (partial(serializers, CONFLUENTS), None),
    "topics": (topics, None),
    "messages": (messages, None),
    "refused": (refused, 409),
    "given-up": (given_up, 503),
}
"""What is measured, and the error that the registry answers."""


def serve(error: int | None, urls: Any, stop: Any) -> None:
    with SchemaRegistryServer() as server:
        if error:
            server.fail_always(faults.error(error))
        urls.put(server.url)
        while not stop.wait(0.5):
            server.clear_requests()


@contextmanager
def registry(error: int | None) -> Iterator[str]:
    urls, stop = SPAWN.Queue(), SPAWN.Event()
    process = SPAWN.Process(target=serve, args=(error, urls, stop), daemon=True)
    process.start()
    try:
        yield urls.get(timeout=60)
    finally:
        stop.set()
        process.join()


def run(row: str, url: str, share: int) -> None:
    logging.getLogger("kafka_sr_retry").setLevel(logging.CRITICAL)
    for line in ROWS[row][0](url, share):
        print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; default all")
    parser.add_argument("--share", type=int, default=1, help="a tenth of the numbers with 10; default 1")
    given = parser.parse_args()
    unknown = [row for row in given.rows if row not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    versions = ", ".join(f"{name} {version(name)}" for name in ("confluent-kafka", "fastavro"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {versions}")
    print(f"{os.cpu_count()} cores, {memory:.1f} GiB\n")
    failed = 0
    for row in given.rows or ROWS:
        with registry(ROWS[row][1]) as url:
            process = SPAWN.Process(target=run, args=(row, url, given.share))
            process.start()
            process.join()
            failed += process.exitcode != 0
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
