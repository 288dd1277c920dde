"""What to do about each error: ``python examples/error_handling.py``.

``SerializingProducer.produce`` wraps what a serializer raises; ours is in ``.exception``. Nothing of a message that
failed has reached Kafka, and the object is still yours. What the broker did not take is told by ``on_delivery``, and is
yours too. Needs a Kafka broker and a Schema Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from confluent_kafka import SerializingProducer
from confluent_kafka.error import ValueSerializationError

from kafka_sr_retry import (
    AvroEncodingError,
    AvroSerializerBuilder,
    ConfigurationError,
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    RegistryUnavailableError,
    SchemaNotFoundError,
    SchemaRegistryError,
)

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
ORDERS: list[dict[str, Any]] = [{"id": 1}, {"id": "two"}, {"id": 3}]


def what_to_do(error: BaseException) -> str:
    """``skip`` this object, try it ``later``, or ``stop``, because no object will pass."""
    if isinstance(error, AvroEncodingError):
        print(f"skip: {error.field_path} should be {error.expected}, not {error.actual}")
        return "skip"
    if isinstance(error, RegistryUnavailableError):  # down, or without a leader: after all retries
        when = f"in {error.retry_after:.0f} s" if error.retry_after else "in a while"
        print(f"later: the registry did not serve in {error.attempts} attempts, again {when}")
        return "later"
    if isinstance(error, IncompatibleSchemaError):
        print(f"stop: the schema breaks the subject's compatibility rule: {error.error_message}")
    elif isinstance(error, InvalidSchemaError):
        print(f"stop: the registry does not take the schema: {error.error_message}")
    elif isinstance(error, SchemaNotFoundError):
        print("stop: the schema is not registered: register it, or set auto.register.schemas")
    elif isinstance(error, RegistryAuthError):
        print(f"stop: the credentials do not serve at {error.url}")
    elif isinstance(error, SchemaRegistryError):  # what else a registry may refuse
        print(f"stop: the registry answered {error.http_status_code}/{error.error_code}: {error.error_message}")
    else:
        raise error
    return "stop"


def main() -> int:
    try:
        producer = SerializingProducer(
            {
                "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
                "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
                "delivery.timeout.ms": 10_000,
                "value.serializer.builder": AvroSerializerBuilder(schema=ORDER),
            }
        )
    except ConfigurationError as error:
        print(f"stop: correct the configuration key {error.key}: {error}")
        return 2

    delivered: list[dict[str, Any]] = []
    later: list[dict[str, Any]] = []

    def noting(order: dict[str, Any]) -> Callable[..., None]:
        return lambda error, message: (later if error else delivered).append(order)

    with producer:
        for number, order in enumerate(ORDERS):
            try:
                producer.produce("orders", value=order, on_delivery=noting(order))
            except ValueSerializationError as failed:
                action = what_to_do(failed.exception or failed)
                if action == "stop":
                    later.extend(ORDERS[number:])
                    break
                if action == "later":
                    later.append(order)
    print(f"to be sent later: {later}")
    print(f"delivered: {delivered}")
    return 1 if later else 0


if __name__ == "__main__":
    sys.exit(main())
