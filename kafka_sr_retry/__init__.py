"""Avro for Kafka producers, with Schema Registry retries that carry the whole request."""

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
from .registry.client import SchemaRegistryClient
from .schema import RegisteredSchema, Schema, SchemaReference
from .serializer import AvroSerializer
from .subjects import (
    record_subject_name_strategy,
    topic_record_subject_name_strategy,
    topic_subject_name_strategy,
)
from .version import __version__

__all__ = [
    "AvroEncodingError",
    "AvroSerializer",
    "AvroSerializerBuilder",
    "ConfigurationError",
    "IncompatibleSchemaError",
    "InvalidSchemaError",
    "RegisteredSchema",
    "RegistryAuthError",
    "RegistryUnavailableError",
    "Schema",
    "SchemaNotFoundError",
    "SchemaReference",
    "SchemaRegistryClient",
    "SchemaRegistryError",
    "__version__",
    "header_schema_id_serializer",
    "prefix_schema_id_serializer",
    "record_subject_name_strategy",
    "topic_record_subject_name_strategy",
    "topic_subject_name_strategy",
]
