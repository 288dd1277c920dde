"""What is given as ``schema_str``, in all its forms."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Protocol

from .avro.encoder import AvroSchema, full_name
from .errors import ConfigurationError, one_line
from .schema import MAX_ID, RegisteredSchema, Schema, SchemaReference, write_rules


class _Shape(Protocol):
    """Confluent's ``Schema``."""

    @property
    def schema_str(self) -> str | None: ...

    @property
    def schema_type(self) -> str | None: ...


class _RegisteredShape(Protocol):
    """Confluent's ``RegisteredSchema``."""

    @property
    def schema_id(self) -> int | None: ...

    @property
    def schema(self) -> _Shape | None: ...


SchemaStr = str | dict[str, Any] | list[Any] | Path | Schema | RegisteredSchema | _Shape | _RegisteredShape
"""What may be given as ``schema_str``."""


def given_schema(given: Any) -> tuple[Schema | RegisteredSchema, AvroSchema | None]:
    """What it stands for, checked as far as that needs no registry; and as it was parsed, where it refers to none."""
    if given is None:
        raise ConfigurationError(
            "schema_str is required: JSON text, a dict, a Schema or the Path of an .avsc", "schema_str"
        )
    try:
        schema = _read(given)
        plain = schema.schema if isinstance(schema, RegisteredSchema) else schema
        refuse_rules(plain)
        parsed = None if plain.references else AvroSchema.of(plain.schema_str)  # they need the registry
        full_name(plain.schema_str)
        json.dumps(plain.to_dict())
    except ConfigurationError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        told = one_line(f"schema_str cannot be sent as a schema: {error}")
        raise ConfigurationError(told, "schema_str") from error
    return schema, parsed


def _read(given: Any) -> Schema | RegisteredSchema:
    if isinstance(given, str):
        if given.endswith(".avsc"):
            raise ConfigurationError(
                f"schema_str is a text, and {one_line(given)!r} is no schema's: for a file give its pathlib.Path",
                "schema_str",
            )
        return Schema(given)
    if isinstance(given, Path):
        try:
            return Schema(given.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"schema_str {str(given)!r} cannot be read: {error}", "schema_str") from error
    if isinstance(given, (dict, list)):
        return Schema(json.dumps(given, allow_nan=False))
    if not hasattr(given, "schema_id"):
        return _as_ours(given)
    if type(given.schema_id) is not int or not 0 < given.schema_id <= MAX_ID:
        raise ConfigurationError(
            f"schema_str is a RegisteredSchema whose schema_id is {given.schema_id!r}, not a positive int32",
            "schema_str",
        )
    guid = getattr(given, "guid", None)  # that of an older confluent-kafka has none
    guid = None if guid is None else str(uuid.UUID(str(guid)))
    return RegisteredSchema(given.schema_id, guid, given.subject, given.version, _as_ours(given.schema))


def refuse_rules(schema: Schema) -> None:
    rules = write_rules(schema)
    if rules:
        raise ConfigurationError(
            f"the schema has rules for writing ({', '.join(rules)}), and its data must not go out without them: use "
            "Confluent's AvroSerializer with kafka_sr_retry.confluent.SchemaRegistryClient",
            "schema_str",
        )


def _as_ours(schema: Any) -> Schema:
    """Confluent's ``Schema``, known by its shape."""
    if not hasattr(schema, "schema_str") or not hasattr(schema, "schema_type"):
        raise ConfigurationError(
            f"schema_str must be JSON text, a dict, a list, a Schema, a RegisteredSchema or a Path, not "
            f"{type(schema).__name__}",
            "schema_str",
        )
    if not isinstance(schema.schema_str, str):
        raise ConfigurationError(
            f"schema_str is a Schema whose text is of type {type(schema.schema_str).__name__}", "schema_str"
        )
    if isinstance(schema, Schema):
        ours = schema
    elif hasattr(schema, "to_dict"):
        ours = Schema.from_dict(schema.to_dict())
    else:  # confluent-kafka before 2.7
        references = [SchemaReference(r.name, r.subject, r.version) for r in schema.references or ()]
        ours = Schema(schema.schema_str, schema.schema_type, tuple(references))
    for reference in ours.references:
        name, subject, version = reference.name, reference.subject, reference.version
        if not all(isinstance(text, str) and text.strip(".") for text in (name, subject)) or type(version) is not int:
            raise ConfigurationError(
                f"schema_str has a reference that is not of a name, a subject and a version: {reference!r}",
                "schema_str",
            )
    return avro_only(ours)


def avro_only(schema: Schema) -> Schema:
    if schema.schema_type != "AVRO":
        raise ConfigurationError(f"the schema is of type {schema.schema_type}, not AVRO", "schema_str")
    return schema
