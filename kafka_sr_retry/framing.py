"""How a message names its schema: Confluent's wire format, in the payload's prefix or in a header."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

__all__ = ["SchemaId", "header_schema_id_serializer", "prefix_schema_id_serializer"]

_ID_MAGIC = 0
_GUID_MAGIC = 1


@dataclass(frozen=True, slots=True)
class SchemaId:
    """What a schema id serializer is given, with the attributes and methods of Confluent's.

    Attributes:
        schema_type: ``AVRO``.
        id: the registry's id.
        guid: its UUID, where the registry told.
    """

    schema_type: str
    id: int
    guid: uuid.UUID | None = None

    def id_to_bytes(self) -> bytes:
        """Magic 0 and the id, four bytes, big-endian."""
        return struct.pack(">bI", _ID_MAGIC, self.id)

    def guid_to_bytes(self) -> bytes:
        """Magic 1 and the sixteen bytes of the UUID."""
        if self.guid is None:
            raise SerializationError(
                "the registry gave no guid for this schema: headers need one (Confluent 8.0 or newer)"
            )
        return struct.pack(">b", _GUID_MAGIC) + self.guid.bytes


def prefix_schema_id_serializer(payload: bytes, ctx: SerializationContext | None, schema_id: SchemaId) -> bytes:
    """The payload behind the id."""
    return schema_id.id_to_bytes() + payload


def header_schema_id_serializer(payload: bytes, ctx: SerializationContext | None, schema_id: SchemaId) -> bytes:
    """The payload alone; the guid goes into the header ``__key_schema_id`` or ``__value_schema_id``.

    It replaces one that is there: headers may be of a message that was read, or of a try before, and readers take the
    first.

    Raises:
        SerializationError: no context, or one without a list or dict of headers to write to.
    """
    headers = ctx.headers if ctx is not None else None
    name = "__key_schema_id" if ctx is not None and ctx.field == MessageField.KEY else "__value_schema_id"
    if isinstance(headers, list):
        own = (name, schema_id.guid_to_bytes())
        headers[:] = [*(header for header in headers if not _is_named(header, name)), own]
    elif isinstance(headers, dict):
        headers[name] = schema_id.guid_to_bytes()
    else:
        raise SerializationError(
            "header_schema_id_serializer writes to the message's headers: produce with headers=[] or headers={}"
        )
    return payload


def _is_named(header: object, name: str) -> bool:
    return isinstance(header, (tuple, list)) and tuple(header[:1]) == (name,)
