"""Write a Spark stream to Kafka, batch by batch: ``python examples/spark_foreach_batch.py DAYS``.

``foreachBatch`` runs in the driver, and what it gives to ``foreachPartition`` in the executors' processes. The
serializer goes out with each task of each batch; in a process all of them share one client, as long as the process
lives. After a failure Spark begins with the batch that was not done, so a row may be sent twice, and is never lost.
DAYS is a CSV file such as vega_datasets' ``seattle-weather.csv``. Needs ``pip install pyspark``, Java, a Kafka broker
and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL, which cluster with SPARK_MASTER,
and which Python its executors have with PYSPARK_PYTHON.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from confluent_kafka.serialization import MessageField, SerializationContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row, SparkSession

from kafka_sr_retry import AvroSerializer

DAY = {
    "type": "record",
    "name": "Day",
    "fields": [
        {"name": "date", "type": {"type": "int", "logicalType": "date"}},
        {"name": "temp_max", "type": "double"},
        {"name": "weather", "type": "string"},
    ],
}
DAYS = Path(sys.argv[1])
SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
TO = SerializationContext(os.environ.get("TOPIC", "weather"), MessageField.VALUE)
serializer = AvroSerializer({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}, DAY)


def send(rows: Iterable[Row]) -> None:
    """Runs in an executor's process, once for each partition of each batch."""
    from confluent_kafka import Producer  # here: cloudpickle cannot take its class to another process

    failed = []
    producer = Producer({"bootstrap.servers": SERVERS, "delivery.timeout.ms": 10_000})
    for row in rows:
        value = serializer(row.asDict(recursive=True), TO)
        while len(producer) > 10_000:
            producer.poll(0.1)
        producer.produce(TO.topic, value, on_delivery=lambda error, _: failed.append(error.str()) if error else None)
    producer.flush()
    if failed:
        raise RuntimeError(f"{len(failed)} rows are not delivered, such as: {failed[0]}")


def send_batch(batch: DataFrame, number: int) -> None:
    """Runs in the driver."""
    batch.repartition(4).foreachPartition(send)


def files(folder: Path) -> None:
    """A year's days in each, for the stream to find."""
    head, *lines = DAYS.read_text().splitlines(keepends=True)
    left = iter(lines)
    while days := list(islice(left, 366)):
        (folder / f"{days[0][:4]}.csv").write_text(head + "".join(days))


with tempfile.TemporaryDirectory() as home:
    source = Path(home, "days")
    source.mkdir()
    files(source)
    spark = SparkSession.builder.master(os.environ.get("SPARK_MASTER", "local[2]")).getOrCreate()
    columns = "date DATE, precipitation DOUBLE, temp_max DOUBLE, temp_min DOUBLE, wind DOUBLE, weather STRING"
    files_of_days = spark.readStream.schema(columns).option("maxFilesPerTrigger", 1)
    days = files_of_days.csv(str(source), header=True, dateFormat="yyyy/MM/dd")
    stream = days.select("date", "temp_max", "weather").writeStream.foreachBatch(send_batch)
    try:
        query = stream.option("checkpointLocation", str(Path(home, "done"))).trigger(availableNow=True).start()
        query.awaitTermination()
        batches = len({progress["batchId"] for progress in query.recentProgress})
    except PySparkException as error:
        sys.exit(f"not delivered: {error}")
    finally:
        spark.stop()
print(f"delivered {batches} batches")
