"""Sign each request to the registry: ``python examples/request_signing.py``.

``http.auth`` takes any scheme that exists for requests, such as SigV4 or Kerberos. This one is SigV4 in miniature: a
keyed hash of method, path, date and body. Each attempt is signed afresh, so a retry is never refused for its age.
Needs confluent-kafka 2.16 or newer, a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and
SCHEMA_REGISTRY_URL.
"""

import hashlib
import hmac
import os
import sys
from datetime import datetime, timezone

from confluent_kafka import SerializingProducer
from requests import PreparedRequest
from requests.auth import AuthBase

from kafka_sr_retry import AvroSerializerBuilder

READING = {"type": "record", "name": "Reading", "fields": [{"name": "celsius", "type": "double"}]}


def signature(secret: bytes, method: str, path: str, date: str, body: bytes) -> str:
    """What a server computes too, to compare."""
    signed = "\n".join([method, path, date, hashlib.sha256(body).hexdigest()])
    return hmac.new(secret, signed.encode(), hashlib.sha256).hexdigest()


class SignedRequests(AuthBase):
    """Adds ``X-Date`` and an ``Authorization`` that holds for this one request."""

    def __init__(self, key_id: str, secret: bytes) -> None:
        self.key_id = key_id
        self.secret = secret

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        date = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        body = request.body if isinstance(request.body, bytes) else b""
        signed = signature(self.secret, request.method or "", request.path_url, date, body)
        request.headers["X-Date"] = date
        request.headers["Authorization"] = f"HMAC-SHA256 {self.key_id}:{signed}"
        return request


if __name__ == "__main__":
    outcomes = []
    producer = SerializingProducer(
        {
            "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
            "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
            "schema.registry.http.auth": SignedRequests("demo", os.environ.get("SIGNING_SECRET", "demo").encode()),
            "delivery.timeout.ms": 10_000,
            "on_delivery": lambda error, message: outcomes.append(error and error.str()),
            "value.serializer.builder": AvroSerializerBuilder(schema=READING),
        }
    )
    with producer:
        producer.produce("signed-readings", value={"celsius": 21.5})
    if outcomes != [None]:
        sys.exit(f"not delivered: {outcomes}")
    print("delivered one reading")
