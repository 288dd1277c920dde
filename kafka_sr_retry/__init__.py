"""Avro for Kafka producers, with Schema Registry retries that carry the whole request."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .aio import AsyncAvroSerializer, AsyncAvroSerializerBuilder
    from .avro.encoder import Encoder
    from .builder import AvroSerializerBuilder
    from .errors import (
        AvroEncodingError,
        ConfigurationError,
        IncompatibleSchemaError,
        InvalidSchemaError,
        RegistryAuthError,
        RegistryUnavailableError,
        SchemaNotFoundError,
        SchemaRegistryError,
    )
    from .framing import header_schema_id_serializer, prefix_schema_id_serializer
    from .registry.async_client import AsyncSchemaRegistryClient
    from .registry.client import SchemaRegistryClient
    from .registry.clock import is_testing, set_testing
    from .schema import Metadata, RegisteredSchema, RuleSet, Schema, SchemaReference
    from .serializer import AvroSerializer
    from .subjects import (
        record_subject_name_strategy,
        topic_record_subject_name_strategy,
        topic_subject_name_strategy,
    )

__all__ = [
    "AsyncAvroSerializer",
    "AsyncAvroSerializerBuilder",
    "AsyncSchemaRegistryClient",
    "AvroEncodingError",
    "AvroSerializer",
    "AvroSerializerBuilder",
    "ConfigurationError",
    "Encoder",
    "IncompatibleSchemaError",
    "InvalidSchemaError",
    "Metadata",
    "RegisteredSchema",
    "RegistryAuthError",
    "RegistryUnavailableError",
    "RuleSet",
    "Schema",
    "SchemaNotFoundError",
    "SchemaReference",
    "SchemaRegistryClient",
    "SchemaRegistryError",
    "__version__",
    "header_schema_id_serializer",
    "is_testing",
    "prefix_schema_id_serializer",
    "record_subject_name_strategy",
    "set_testing",
    "topic_record_subject_name_strategy",
    "topic_subject_name_strategy",
]

_ROOMS = (
    "errors",
    "schema",
    "framing",
    "registry.client",
    "subjects",
    "serializer",
    "builder",
    "aio",
    "registry.async_client",
    "registry.clock",
    "avro.encoder",
)


def __getattr__(name: str) -> Any:
    # On demand: a process that never makes a serializer, such as each run of pytest, should not pay for one.
    if name in __all__:
        for room in _ROOMS:  # in the order of what is asked for most
            module = import_module(f"{__name__}.{room}")
            if name in module.__all__:
                found = globals()[name] = getattr(module, name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
