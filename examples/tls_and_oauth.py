"""A registry with TLS, whose tokens come from an OAuth server: ``python examples/tls_and_oauth.py``.

Needs a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL. CA_FILE is a
PEM file with the CA of both servers, TOKEN_URL the OAuth server's token endpoint, CLIENT_ID and CLIENT_SECRET are the
producer's. For mutual TLS set ``ssl.certificate.location`` and ``ssl.key.location`` too.
"""

import os
import sys

from confluent_kafka import Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroSerializer, SchemaRegistryClient


def given(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"not delivered: {name} is not set")


client = SchemaRegistryClient(
    {
        "url": given("SCHEMA_REGISTRY_URL"),
        "ssl.ca.location": given("CA_FILE"),
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.issuer.endpoint.url": given("TOKEN_URL"),
        "bearer.auth.client.id": given("CLIENT_ID"),
        "bearer.auth.client.secret": given("CLIENT_SECRET"),
        "bearer.auth.scope": "schema-registry",
    }
)
serializer = AvroSerializer(client, '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}')
outcomes = []
producer = Producer(
    {
        "bootstrap.servers": given("KAFKA_BOOTSTRAP_SERVERS"),
        "delivery.timeout.ms": 10_000,
        "on_delivery": lambda error, message: outcomes.append(error and error.str()),
    }
)
producer.produce("orders", serializer({"id": 1}, SerializationContext("orders", MessageField.VALUE)))
producer.flush()
if outcomes != [None]:
    sys.exit(f"not delivered: {outcomes}")
print("delivered one order")
