"""The examples for Spark, run with executors' processes of their own, through a real Kafka and a real registry."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from test_produce import read_back

from kafka_sr_retry.testing import SchemaRegistryServer, faults

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".engines" / "bin" / "python"
SPARK = [*ROOT.glob(".engines/lib/*/site-packages/pyspark")]
DAYS = Path(str(distribution("vega_datasets").locate_file("vega_datasets/_data/seattle-weather.csv")))
EXAMPLES = {
    "spark_foreach_partition.py": "local-cluster[2,1,1024]",
    "spark_foreach_batch.py": "local[2]",
}


@pytest.fixture
def topic(kafka_bootstrap_servers: str) -> str:
    name = f"weather-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap_servers})
    admin.create_topics([NewTopic(name, 4, 1)])[name].result(30)
    return name


@pytest.mark.skipif(not SPARK, reason="Spark is not there: make engines gets it")
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_row_arrives_once_and_each_process_asks_once(
    example: str, kafka_bootstrap_servers: str, proxy: SchemaRegistryServer, topic: str
) -> None:
    proxy.fail_next(faults.no_leader(), faults.no_leader(), faults.no_leader())
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "SCHEMA_REGISTRY_URL": proxy.url,
        "SPARK_MASTER": EXAMPLES[example],
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TOPIC": topic,
        "PYSPARK_PYTHON": str(PYTHON),
        "PYSPARK_SUBMIT_ARGS": "--conf spark.ui.enabled=false --conf spark.scheduler.minRegisteredResourcesRatio=1.0 "
        "pyspark-shell",
        "PYTHONPATH": str(ROOT),
        "JAVA_TOOL_OPTIONS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",  # for a short run
    }
    done = subprocess.run(
        [PYTHON, ROOT / "examples" / example, DAYS],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[:5000]
    assert "delivered" in done.stdout

    head, *lines = DAYS.read_text().splitlines()
    columns = head.split(",")
    days = [dict(zip(columns, line.split(","), strict=True)) for line in lines]
    expected = Counter((day["date"], float(day["temp_max"]), day["weather"]) for day in days)
    read = read_back(kafka_bootstrap_servers, proxy.url, topic, len(days))
    assert Counter((f"{day['date']:%Y/%m/%d}", day["temp_max"], day["weather"]) for _, day in read) == expected
    answers = Counter(request.answer for request in proxy.registrations)
    assert answers[200] == 2  # processes
    assert answers[500] >= 3  # of our faults; this registry says so too when two register a schema at once
