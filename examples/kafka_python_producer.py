"""Produce Avro with kafka-python: ``pip install kafka-python`` and ``python examples/kafka_python_producer.py``.

What ``bind`` gives is a ``Serializer`` of kafka-python: it writes for the topic of each message. For aiokafka there is
``aiokafka_producer.py``. Needs a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and
SCHEMA_REGISTRY_URL.
"""

import os
import sys

from kafka import KafkaProducer
from kafka.errors import KafkaError

from kafka_sr_retry import AvroSerializer

READING = {"type": "record", "name": "Reading", "fields": [{"name": "celsius", "type": "double"}]}

serializer = AvroSerializer({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}, READING)
producer = KafkaProducer(
    bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    api_version=(2, 3),  # the mock cluster of kafka_sr_retry.testing needs it; real brokers do without
    max_block_ms=10_000,
    value_serializer=serializer.bind(),
)
try:
    delivered = producer.send("readings", {"celsius": 21.5}).get(timeout=10)
except KafkaError as error:
    sys.exit(f"not delivered: {error}")
finally:
    producer.close(timeout=1)
    serializer.close()
print(f"delivered one reading, offset {delivered.offset}")
