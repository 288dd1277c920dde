"""JSON Schema and Protobuf through Confluent's serializers: ``python examples/json_schema_and_protobuf.py``.

Confluent's serializers ask through this client, so their requests are repeated as ours are. Needs ``pip install
'confluent-kafka[json,protobuf,schemaregistry]'``, a Kafka broker and a Schema Registry; say where with
KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import os
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.wrappers_pb2 import StringValue  # in its place: a class that protoc made for you

from kafka_sr_retry.confluent import SchemaRegistryClient

ORDER = """{"title": "Order", "type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}"""

client = SchemaRegistryClient({"url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")})
conf = {"subject.name.strategy.type": "TOPIC"}  # Confluent's default asks for associations first
as_json = JSONSerializer(ORDER, client, conf=conf)
as_protobuf = ProtobufSerializer(StringValue, client, {**conf, "use.deprecated.format": False})

outcomes = []
producer = Producer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        "delivery.timeout.ms": 10_000,
        "on_delivery": lambda error, message: outcomes.append(error and error.str()),
    }
)
orders = SerializationContext("json-orders", MessageField.VALUE)
producer.produce("json-orders", as_json({"id": 1}, orders))
names = SerializationContext("protobuf-names", MessageField.VALUE)
producer.produce("protobuf-names", as_protobuf(StringValue(value="tea"), names))
producer.flush()
if outcomes != [None, None]:
    sys.exit(f"not all delivered: {outcomes}")
print("delivered one message of each format")
