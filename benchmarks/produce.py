"""What ``kafka-sr-retry produce`` sends in a second, and the memory that it takes, for each form of the input.

    python benchmarks/produce.py [--records 1000000] [--form json] [--rounds 3]

The command runs as a user runs it, in a process of its own, against librdkafka's mock cluster and the embedded registry
in another one. Its seconds are its own: from the first line to the last report. CPU is that of the whole process, with
its start; the rate by CPU is what one would see where it has a core for itself, and is the figure to compare on a
machine that others use too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import confluent_kafka
from rich.console import Console
from rich.table import Table

SCHEMA = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "sensor", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "value", "type": "double"},
        {"name": "ok", "type": "boolean"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}
FORMS = ("json", "avro-json", "csv")

_SERVERS = """
import sys
from kafka_sr_retry.testing import KafkaMockCluster, SchemaRegistryServer
with KafkaMockCluster() as kafka, SchemaRegistryServer() as registry:
    print(kafka.bootstrap_servers, registry.url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The environment that leads to both."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    kafka, registry = process.stdout.readline().split()
    try:
        yield {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka, "SCHEMA_REGISTRY_URL": registry}
    finally:
        process.kill()
        process.communicate()


def write(path: Path, form: str, records: int) -> None:
    with path.open("w") as file:
        if form == "csv":
            file.write("sensor,at,value,ok,note\n")
        for number in range(records):
            sensor, at, value, ok = f"s{number % 100}", 1_700_000_000_000 + number, number * 0.5, number % 2 == 0
            note = None if number % 3 else "x"
            if form == "csv":
                file.write(f"{sensor},{at},{value},{'true' if ok else 'false'},{note or ''}\n")
            else:
                union = {"string": note} if form == "avro-json" and note else note
                record = {"sensor": sensor, "at": at, "value": value, "ok": ok, "note": union}
                file.write(json.dumps(record) + "\n")


def measure(folder: Path, form: str, records: int) -> tuple[int, int, float]:
    """Records a second by its own clock, by CPU, and the largest memory in MB."""
    schema, data = folder / "reading.avsc", folder / f"readings.{form}"
    with servers() as environment:
        command = [sys.executable, "-m", "kafka_sr_retry.cli", "produce", "--topic", "readings", "--json"]
        process = subprocess.Popen(
            [*command, "--schema", str(schema), "--format", form, str(data)], env=environment, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        told = json.loads(process.stdout.read())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert told["delivered"] == records, told
    return told["rate"], round(records / cpu(used)), used.ru_maxrss / 1024


def cpu(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--form", choices=FORMS, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    table = Table("form", "records/s", "records/s of CPU", "MB at most", "load before", box=None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "reading.avsc").write_text(json.dumps(SCHEMA))
        for form in args.form or FORMS:
            write(folder / f"readings.{form}", form, args.records)
            for _ in range(args.rounds):
                load = os.getloadavg()[0]
                rate, by_cpu, memory = measure(folder, form, args.records)
                table.add_row(form, f"{rate:,}", f"{by_cpu:,}", f"{memory:.0f}", f"{load:.1f}")
            (folder / f"readings.{form}").unlink()
    print(
        f"{args.records:,} records, {datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, "
        f"confluent-kafka {confluent_kafka.__version__}, {os.cpu_count()} CPUs"
    )
    Console().print(table)


if __name__ == "__main__":
    main()
