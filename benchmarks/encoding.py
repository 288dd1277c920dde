"""What a message costs on a good day: ours beside other encoders, in one run.

    python benchmarks/encoding.py [--shapes order "10,000"] [--json run.json]
    python benchmarks/encoding.py run.json --markdown --plot docs/encoding.png

* A whole call of each serializer, with its context, for a schema whose id is
  known, in CPU of the calling thread. fastavro, avroc, cavro, cerializer and
  spavro write the same bytes behind the same five. orjson and msgspec write
  the same object in their formats.
* Each round measures each contender for a fiftieth of a second, one after
  another; told are medians over the rounds, of microseconds and of the ratio
  to fastavro in the same round.
* Of an object fastavro gets the dict, whose making is not counted; Confluent's
  serializer makes it in its call.
* Compiling is told apart: once for each schema. Its memory is what tracemalloc
  sees, without the tables that all schemas share.
* End to end: CPU of the thread that produces into librdkafka's mock cluster,
  with each serializer and producer.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import ExitStack
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from encoding_contenders import (
    FASTAVRO,
    NATIVE,
    PREFIX,
    PYTHON,
    Contender,
    calibrated,
    contenders,
    framed,
    maker,
    measured,
    ours,
    seconds,
)
from encoding_end_to_end import end_to_end
from encoding_report import markdown, plot, show
from encoding_shapes import SHAPES, Shape
from fastavro import parse_schema
from rich.console import Console
from rich.progress import track

from kafka_sr_retry.avro.encoder import ENCODER
from kafka_sr_retry.testing import SchemaRegistryServer

COMPILED = ("3 fields", "order of 10 items", "100 fields", "300 nullable columns", "1,000 fields", "1,000 floats")
PRODUCED = ("3 fields", "order of 10 items")
PACKAGES = (
    "kafka-sr-retry",
    "fastavro",
    "confluent-kafka",
    "avroc",
    "cavro",
    "cerializer",
    "spavro",
    "orjson",
    "msgspec",
)


def run(shapes: list[Shape], rounds: int) -> dict[str, Any]:
    absent: dict[str, dict[str, str]] = {}
    screen = Console(stderr=True)
    encoding = {
        shape.name: encoded(shape, rounds, absent)
        for shape in track(shapes, "encoding", console=screen, transient=True, disable=not screen.is_terminal)
    }
    kinds = [name for name in (NATIVE, PYTHON) if name not in absent]
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[1],
        "versions": {name: found for name in PACKAGES if (found := installed(name))},
        "shapes": encoding,
        "absent": absent,
        "compiling": {
            shape.name: {name: compiling(name, shape) for name in kinds} for shape in shapes if shape.name in COMPILED
        },
        "tables_bytes": tables(),
        "listened": {shape.name: listened(kinds[0], shape, rounds) for shape in shapes if shape.name in PRODUCED},
        "threads": {name: threads(name, shapes[0], max(1, rounds // 4)) for name in (FASTAVRO, *kinds)},
        "end_to_end": {
            shape.name: end_to_end(shape, max(1, rounds // 3), kinds) for shape in shapes if shape.name in PRODUCED
        },
    }


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def encoded(shape: Shape, rounds: int, absent: dict[str, dict[str, str]]) -> dict[str, Any]:
    with contenders(shape, absent) as found:
        figures = measured(found, FASTAVRO, rounds)
        return {
            "bytes": len(framed(shape.schema)(shape.record, None) or b""),
            "left": [name for name, each in found.items() if each.left],
            "encoding": figures,
        }


def compiling(name: str, shape: Shape) -> dict[str, float]:
    """Milliseconds for the schema, and the bytes that its encoder keeps."""
    make, named = maker(name), dict[str, Any]()
    parsed = parse_schema(shape.schema, named_schemas=named)
    make(parsed, named)  # the tables are made here
    each = []
    for _ in range(20):
        began = time.thread_time()
        make(parsed, named)
        each.append(time.thread_time() - began)
    gc.collect()
    tracemalloc.start()
    write = make(parsed, named).writer(PREFIX, framed)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert write
    return {"ms": statistics.median(each) * 1e3, "kept_bytes": kept}


TABLES = """
import tracemalloc
from kafka_sr_retry.avro.encoder import AvroSchema
schema = AvroSchema('{"type": "record", "name": "R", "fields": [{"name": "f", "type": "long"}]}')
tracemalloc.start()
write = schema.writer(b"")
print(tracemalloc.get_traced_memory()[0])
"""


def tables() -> int:
    """Bytes that the first Python function of a process keeps: nearly all of them for those that come."""
    environment = {**os.environ, ENCODER: "python"}
    command = [sys.executable, "-c", TABLES]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def listened(name: str, shape: Shape, rounds: int) -> float:
    """Time with metrics and traces, over the time without."""
    with SchemaRegistryServer() as registry, ExitStack() as stack:
        confs = {"without": {"url": registry.url}, "with": {"url": registry.url, "event_cb": listeners()}}
        found = {
            which: Contender(stack.enter_context(ours(name, shape, conf)), shape.object)
            for which, conf in confs.items()
        }
        return measured(found, "without", rounds)["with"]["ratio"]


def listeners() -> list[Any]:
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
    from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

    return [PrometheusInstrumentation(CollectorRegistry()), OpenTelemetryInstrumentation(TracerProvider())]


def threads(name: str, shape: Shape, rounds: int) -> float:
    """Time of four threads that share the work, over the time of one that does it all; by the clock."""
    with contenders(shape, {}, peers=()) as found:
        one = found[name]
        number, each = calibrated(one) * 4, []
        for _ in range(rounds):
            alone = elapsed(one, [number])
            each.append(elapsed(one, [number // 4] * 4) / alone)
    return statistics.median(each)


def elapsed(one: Contender, shares: list[int]) -> float:
    workers = [threading.Thread(target=seconds, args=(one, number)) for number in shares]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=Path, help="files of earlier runs: nothing is measured")
    parser.add_argument("--shapes", nargs="+", metavar="NAME", help="those alone whose names begin so")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--plot", type=Path, help="where a picture of the last result is written")
    parser.add_argument("--markdown", action="store_true", help="print the tables of README.md and docs/encoding.md")
    given = parser.parse_args()
    if given.results:
        results = [json.loads(path.read_text()) for path in given.results]
    else:
        shapes = [shape for shape in SHAPES if not given.shapes or shape.name.startswith(tuple(given.shapes))]
        if not shapes:
            parser.error(f"no shape begins so; there are: {'; '.join(shape.name for shape in SHAPES)}")
        results = [run(shapes, given.rounds)]
    if given.json:
        given.json.write_text(json.dumps(results[-1], indent=1) + "\n")
    for result in results:
        if given.markdown:
            print(markdown(result))
        else:
            show(result, Console(width=112))
    if given.plot:
        plot(given.plot, results[-1])


if __name__ == "__main__":
    main()
