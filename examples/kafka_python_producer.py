"""Produce Avro with kafka-python: ``pip install kafka-python`` and ``python examples/kafka_python_producer.py``.

Its ``value_serializer`` takes the object alone, so ``bind`` gives the topic. The same works for aiokafka. Needs a Kafka
broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import os

from kafka import KafkaProducer

from kafka_sr_retry import AvroSerializer

READING = {
    "type": "record",
    "name": "Reading",
    "fields": [{"name": "sensor", "type": "string"}, {"name": "celsius", "type": "double"}],
}

serializer = AvroSerializer({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")}, READING)
producer = KafkaProducer(
    bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
    api_version=(2, 3),  # the mock cluster of kafka_sr_retry.testing needs it; real brokers do without
    value_serializer=serializer.bind("readings"),
)
delivery = producer.send("readings", {"sensor": "roof", "celsius": 21.5})
print(f"sent one reading, offset {delivery.get(timeout=30).offset}")
producer.close()
serializer.close()
