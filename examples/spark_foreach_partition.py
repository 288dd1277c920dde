"""Write a Spark DataFrame to Kafka from its executors: ``python examples/spark_foreach_partition.py DAYS``.

The serializer is made once, in the driver, and goes out with each task. In a process of an executor all tasks share one
client: a subject is asked for once for each process, not once for each task. A task that fails is run again by Spark,
so a row may be sent twice, and is never lost. DAYS is a CSV file such as vega_datasets' ``seattle-weather.csv``. Needs
``pip install pyspark``, Java, a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and
SCHEMA_REGISTRY_URL, which cluster with SPARK_MASTER, and which Python its executors have with PYSPARK_PYTHON.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka.serialization import MessageField, SerializationContext
from pyspark.errors import PySparkException
from pyspark.sql import Row, SparkSession

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
    """Runs in an executor's process, once for each partition."""
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


spark = SparkSession.builder.master(os.environ.get("SPARK_MASTER", "local[2]")).getOrCreate()
columns = "date DATE, precipitation DOUBLE, temp_max DOUBLE, temp_min DOUBLE, wind DOUBLE, weather STRING"
days = spark.read.schema(columns).csv(str(DAYS), header=True, dateFormat="yyyy/MM/dd")
days = days.select("date", "temp_max", "weather").repartition(12)
try:
    days.foreachPartition(send)
    count = days.count()
except PySparkException as error:
    sys.exit(f"not delivered: {error}")
finally:
    spark.stop()
print(f"delivered {count} days")
