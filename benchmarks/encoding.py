"""What a message costs on a good day: ours beside fastavro, Confluent's serializer, avroc and cavro, in one run.

    python benchmarks/encoding.py [--rounds 30] [--json encoding.json]
    python benchmarks/encoding.py --plot docs/encoding.png encoding-3.10.json encoding-3.13.json

* A serializer's whole call, with its context, for a schema whose id is known. fastavro writes behind the same five
  bytes, and so do avroc and cavro where they are installed.
* Each round measures each contender for a fiftieth of a second, one after another; told are medians over the rounds,
  of microseconds and of the ratio to fastavro in the same round.
* Compiling is told apart: once for each schema. Its memory is what tracemalloc sees, without the tables that all
  schemas share.
* End to end: `SerializingProducer.produce` into librdkafka's mock cluster, deliveries included.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import make_dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import Any

from confluent_kafka import SerializingProducer
from confluent_kafka.schema_registry import SchemaRegistryClient as ConfluentClient
from confluent_kafka.schema_registry.avro import AvroSerializer as ConfluentSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from encoding_shapes import SHAPES, Shape
from fastavro import parse_schema, schemaless_writer
from rich.console import Console
from rich.table import Table

from kafka_sr_retry import AvroSerializer
from kafka_sr_retry.avro.compiler import compiled
from kafka_sr_retry.testing import KafkaMockCluster, SchemaRegistryServer

PREFIX = b"\0\0\0\0\1"
CONTEXT = SerializationContext("readings", MessageField.VALUE)
SECONDS = 0.02
"""That one contender is measured for in a round."""

OURS = "kafka_sr_retry"
LISTENED = "kafka_sr_retry, with metrics and traces"
FASTAVRO = "fastavro"
CONFLUENT = "Confluent's"
ENCODED = "no serializer: the same bytes each time"
MESSAGES = 20_000

Encode = Callable[[Any, Any], bytes | None]
"""A serializer, or what stands for one."""


@contextmanager
def contenders(shape: Shape) -> Iterator[dict[str, Encode]]:
    with ExitStack() as stack:
        url = stack.enter_context(SchemaRegistryServer()).url
        ours = stack.enter_context(AvroSerializer({"url": url}, shape.schema))
        listened = stack.enter_context(AvroSerializer({"url": url, "event_cb": listeners()}, shape.schema))
        client = stack.enter_context(ConfluentClient({"url": url}))
        conf = {"subject.name.strategy.type": "TOPIC"}
        confluent = ConfluentSerializer(client, json.dumps(shape.schema), conf=conf)
        yield {
            FASTAVRO: framed(shape.schema),
            OURS: ours,
            LISTENED: listened,
            CONFLUENT: confluent,
            **peers(shape),
        }


def framed(schema: Any) -> Encode:
    parsed = parse_schema(schema)

    def encode(record: Any, ctx: Any) -> bytes:
        out = BytesIO()
        out.write(PREFIX)
        schemaless_writer(out, parsed, record)
        return out.getvalue()

    return encode


def peers(shape: Shape) -> dict[str, Encode]:
    """The compilers that are installed and write this shape."""
    found: dict[str, Encode] = {}
    makers = {
        "avroc": lambda avroc: avroc.compile_encoder(shape.schema),
        "cavro": lambda cavro: cavro.Schema(shape.schema).binary_encode,
    }
    for name, make in makers.items():
        try:
            encode = make(importlib.import_module(name))
            if encode(shape.record) == framed(shape.schema)(shape.record, None)[len(PREFIX) :]:
                found[name] = lambda record, ctx, encode=encode: PREFIX + encode(record)
        except Exception as error:  # noqa: BLE001 not installed, or the record is none for it
            print(f"{shape.name}: {name} not measured: {type(error).__name__}")
    return found


def listeners() -> list[Any]:
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
    from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

    return [PrometheusInstrumentation(CollectorRegistry()), OpenTelemetryInstrumentation(TracerProvider())]


def measured(shape: Shape, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds and the ratio to fastavro, of each contender."""
    with contenders(shape) as encoders:
        expected = encoders[FASTAVRO](shape.record, CONTEXT)
        times: dict[str, list[float]] = {name: [] for name in encoders}
        for name, encode in encoders.items():
            assert encode(shape.record, CONTEXT) == expected, name
        numbers = {name: calibrated(encode, shape.record) for name, encode in encoders.items()}
        gc.disable()
        for turn in range(rounds):
            names = list(encoders)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                times[name].append(seconds(encoders[name], shape.record, numbers[name]) / numbers[name])
            gc.collect()
        gc.enable()
    reference = times[FASTAVRO]
    return {
        name: {
            "us": statistics.median(each) * 1e6,
            "ratio": statistics.median(a / b for a, b in zip(each, reference, strict=True)),
        }
        for name, each in times.items()
    }


def calibrated(encode: Encode, record: Any) -> int:
    seconds(encode, record, 20)
    return max(1, round(SECONDS * 20 / seconds(encode, record, 20)))


def seconds(encode: Encode, record: Any, number: int) -> float:
    began = time.perf_counter()
    for _ in range(number):
        encode(record, CONTEXT)
    return time.perf_counter() - began


def compiling(shape: Shape) -> dict[str, float]:
    """Milliseconds to compile the schema, and the bytes that its function keeps."""
    named: dict[str, Any] = {}
    parsed = parse_schema(shape.schema, named_schemas=named)
    compiled(parsed, named)  # the tables are made here
    each = []
    for _ in range(20):
        began = time.perf_counter()
        compiled(parsed, named)
        each.append(time.perf_counter() - began)
    gc.collect()
    tracemalloc.start()
    write = compiled(parsed, named).writer(PREFIX, framed)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert write
    return {"ms": statistics.median(each) * 1e3, "kept_bytes": kept}


def threads(shape: Shape, rounds: int) -> dict[str, float]:
    """Time of four threads that share the work, over the time of one that does it all."""
    with contenders(shape) as encoders:
        ratios = {}
        for name in (FASTAVRO, OURS):
            encode = encoders[name]
            number = calibrated(encode, shape.record) * 4
            each = []
            for _ in range(rounds):
                alone = seconds(encode, shape.record, number)
                workers = [threading.Thread(target=seconds, args=(encode, shape.record, number // 4)) for _ in range(4)]
                began = time.perf_counter()
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
                each.append((time.perf_counter() - began) / alone)
            ratios[name] = statistics.median(each)
    return ratios


def objects(shape: Shape, rounds: int) -> float:
    """Time of a dataclass's object, over fastavro's of the dict of its fields."""
    one = make_dataclass("Reading", shape.record)(**shape.record)
    with contenders(shape) as encoders:
        assert encoders[OURS](one, CONTEXT) == encoders[FASTAVRO](shape.record, CONTEXT)
        number = calibrated(encoders[OURS], one)
        pairs = [
            (seconds(encoders[OURS], one, number), seconds(encoders[FASTAVRO], shape.record, number))
            for _ in range(rounds)
        ]
    return statistics.median(ours / fastavro for ours, fastavro in pairs)


TABLES = """
import tracemalloc
from kafka_sr_retry.avro.encoder import AvroSchema
schema = AvroSchema('{"type": "record", "name": "R", "fields": [{"name": "f", "type": "long"}]}')
tracemalloc.start()
write = schema.writer(b"")
print(tracemalloc.get_traced_memory()[0])
"""


def tables() -> int:
    """Bytes that the first function of a process keeps: nearly all of them for those that come."""
    return int(subprocess.run([sys.executable, "-c", TABLES], check=True, capture_output=True, text=True).stdout)


def end_to_end(shape: Shape, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds of a message from ``produce`` to its delivery, many at a time."""
    with (
        KafkaMockCluster() as cluster,
        SchemaRegistryServer() as registry,
        ConfluentClient({"url": registry.url}) as client,
    ):
        conf = {"subject.name.strategy.type": "TOPIC"}
        encoded = framed(shape.schema)(shape.record, None)
        serializers = {
            ENCODED: lambda record, ctx: encoded,
            OURS: AvroSerializer({"url": registry.url}, shape.schema),
            CONFLUENT: ConfluentSerializer(client, json.dumps(shape.schema), conf=conf),
        }
        times: dict[str, list[float]] = {name: [] for name in serializers}
        for turn in range(rounds + 1):
            for name, serializer in serializers.items():
                took = produced(cluster.bootstrap_servers, serializer, shape.record)
                if turn:
                    times[name].append(took / MESSAGES)
        serializers[OURS].close()
    return {
        name: {
            "us": statistics.median(each) * 1e6,
            "ratio": statistics.median(a / b for a, b in zip(each, times[CONFLUENT], strict=True)),
        }
        for name, each in times.items()
    }


def produced(bootstrap_servers: str, serializer: Any, record: Any) -> float:
    conf = {"bootstrap.servers": bootstrap_servers, "linger.ms": 5, "queue.buffering.max.messages": 2 * MESSAGES}
    producer = SerializingProducer({**conf, "value.serializer": serializer})
    producer.produce("readings", value=record)
    assert producer.flush(60) == 0
    began = time.perf_counter()
    for _ in range(MESSAGES):
        producer.produce("readings", value=record)
    assert producer.flush(60) == 0
    return time.perf_counter() - began


def run(rounds: int) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: found for name in PACKAGES if (found := installed(name))},
        "shapes": {
            shape.name: {
                "bytes": len(framed(shape.schema)(shape.record, None)),
                "encoding": measured(shape, rounds),
                **({} if shape.falls_back else {"compiling": compiling(shape)}),
            }
            for shape in SHAPES
        },
        "objects": {shape.name: objects(shape, rounds) for shape in (SHAPES[0], SHAPES[2])},
        "tables_bytes": tables(),
        "threads": threads(SHAPES[0], 5),
        "end_to_end": {shape.name: end_to_end(shape, 5) for shape in SHAPES[:2]},
    }


PACKAGES = ("kafka-sr-retry", "fastavro", "confluent-kafka", "avroc", "cavro")


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def show(result: dict[str, Any], console: Console) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    console.print(
        f"{result['date']}, Python {result['python']}, {result['cores']} cores; {versions}\n", highlight=False
    )
    table = Table(title="A message, in microseconds (ratio to fastavro)", title_justify="left")
    names = list(dict.fromkeys(name for shape in result["shapes"].values() for name in shape["encoding"]))
    for heading in ("", "bytes", *names):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, shape in result["shapes"].items():
        cells = [shape["encoding"].get(contender) for contender in names]
        shown = ["-" if cell is None else f"{cell['us']:.2f} ({cell['ratio']:.2f})" for cell in cells]
        table.add_row(name, f"{shape['bytes']:,}", *shown)
    console.print(table)
    for name, shape in result["shapes"].items():
        if "compiling" in shape:
            each = shape["compiling"]
            console.print(
                f"compiling {name}: {each['ms']:.1f} ms, keeps {each['kept_bytes'] / 1024:.0f} KB", highlight=False
            )
    for name, ratio in result["objects"].items():
        console.print(f"an object of a dataclass, {name}: {ratio:.2f} of fastavro's time for a dict", highlight=False)
    console.print(f"tables of all functions: {result['tables_bytes'] / 1e6:.1f} MB", highlight=False)
    for name, ratio in result["threads"].items():
        console.print(f"four threads / one, the same work, {name}: {ratio:.2f}", highlight=False)
    for shape, contenders in result["end_to_end"].items():
        for name, each in contenders.items():
            console.print(
                f"end to end, {shape}, {name}: {each['us']:.2f} us ({each['ratio']:.2f} of Confluent's)",
                highlight=False,
            )


def plot(path: Path, results: list[dict[str, Any]]) -> None:
    import matplotlib.pyplot as plt

    colours = {CONFLUENT: "#d55e00", "cavro": "#999999", "avroc": "#e69f00", OURS: "#0072b2"}
    figure, axes = plt.subplots(1, len(results), figsize=(8, 5), dpi=100, sharex=True, sharey=True, squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        shapes = list(result["shapes"])
        for place, (name, colour) in enumerate(colours.items()):
            bars = [(n, result["shapes"][shape]["encoding"].get(name)) for n, shape in enumerate(shapes)]
            there = [(n + (place - 1.5) * 0.2, cell["ratio"]) for n, cell in bars if cell]
            axis.barh([n for n, _ in there], [ratio for _, ratio in there], 0.2, color=colour, label=name)
        axis.axvline(1, color="black", linewidth=1, linestyle=":")
        axis.set_yticks(range(len(shapes)), shapes)
        axis.set_title(f"Python {result['python']}", fontsize=10)
        axis.set_xlabel("time, as a multiple of fastavro's")
    axes[0][0].invert_yaxis()
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=Path, help="files of earlier runs: nothing is measured")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    results = [json.loads(path.read_text()) for path in given.results] or [run(given.rounds)]
    for result in results:
        show(result, Console(width=140))
    if given.json:
        given.json.write_text(json.dumps(results[0], indent=1) + "\n")
    if given.plot:
        plot(given.plot, results)


if __name__ == "__main__":
    main()
