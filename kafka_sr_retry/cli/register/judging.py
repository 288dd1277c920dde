"""What judging a file has in common, whether a registry is asked or not."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kafka_sr_retry.avro.compatibility import Type, parse
from kafka_sr_retry.avro.encoder import AvroSchema
from kafka_sr_retry.errors import ConfigurationError, SchemaRegistryError, one_line

from .outcome import Outcome
from .plan import Planned


def guarded(planned: Planned, work: Callable[[], Outcome]) -> Outcome:
    try:
        return work()
    except (SchemaRegistryError, ConfigurationError) as error:
        words, _, _ = str(error).partition(" Nothing was sent to Kafka")  # that is for producers
        return Outcome(planned, "failed", why=one_line(words, 1000))
    except Exception as error:  # noqa: BLE001 one file's trouble stops no other
        return Outcome(planned, "failed", why=one_line(f"{type(error).__name__}: {error}", 400))


def new_schema(text: str, referenced: Collection[str]) -> Type:
    """As `parse`, but its defaults are checked too, which those of an earlier version need not be.

    Raises:
        ValueError: it is no Avro schema.
    """
    read = parse(text, referenced)
    AvroSchema(text, referenced)
    return read
