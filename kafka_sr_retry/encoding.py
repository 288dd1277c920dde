"""From an object to Avro bytes, and from one that does not fit to the field at fault.

The only module that imports fastavro.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType
from fastavro.validation import validate

from .errors import AvroEncodingError, ConfigurationError

Write = Callable[[Any, Any], bytes]
"""(object, the message's context) -> the message's bytes."""


class AvroSchema:
    """A parsed schema.

    Attributes:
        name: full name of a record, enum or fixed; of a primitive in ``{"type": ...}`` form its type; else ``None``.

    Raises:
        ConfigurationError: the text is not an Avro schema.
    """

    def __init__(self, text: str) -> None:
        try:
            raw = json.loads(text)
            self._named: dict[str, Any] = {}
            self._parsed = parse_schema(raw, named_schemas=self._named)
        except UnknownType as error:
            raise ConfigurationError(f"schema_str names the unknown type {error.name!r}", "schema_str") from error
        except (
            ValueError,
            SchemaParseException,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ) as error:
            raise ConfigurationError(f"schema_str is not an Avro schema: {error}", "schema_str") from error
        named = self._parsed if isinstance(self._parsed, dict) else {}
        self.name: str | None = named.get("name") or (raw.get("type") if isinstance(raw, dict) else None)

    def writer(self, prefix: bytes, *, strict: bool = False, strict_allow_default: bool = False) -> Write:
        """Encodes as fastavro does; a top-level ``"bytes"`` is written raw, without Avro's length, as the Java and
        Confluent's serializers do.

        Args:
            prefix: written before each object.
            strict: refuse missing and additional fields.
            strict_allow_default: the same, but fields with a default may be missing.
        """
        parsed = self._parsed
        if parsed == "bytes" or (isinstance(parsed, dict) and parsed["type"] == "bytes"):
            return lambda value, ctx: prefix + _raw(value)

        def write(value: Any, ctx: Any) -> bytes:
            out = BytesIO()
            out.write(prefix)
            try:
                schemaless_writer(out, parsed, value)
            except Exception as error:
                raise self._misfit(value, error) from error
            return out.getvalue()

        def write_strictly(value: Any, ctx: Any) -> bytes:
            out = BytesIO()
            out.write(prefix)
            try:
                schemaless_writer(out, parsed, value, strict=strict, strict_allow_default=strict_allow_default)
            except Exception as error:
                raise self._misfit(value, error) from error
            return out.getvalue()

        return write_strictly if strict or strict_allow_default else write

    def _misfit(self, value: Any, cause: Exception) -> AvroEncodingError:
        try:
            found = self._find(self._parsed, value, "")
        except Exception:  # noqa: BLE001 an object whose own methods raise: what fastavro said must do
            found = None
        return found or AvroEncodingError(
            f"the object does not fit its schema: {cause}", "", _shown(self._parsed), _kind(value)
        )

    def _find(self, schema: Any, value: Any, path: str) -> AvroEncodingError | None:
        """The first place, in the schema's order, where the object does not fit."""
        if isinstance(schema, str):
            schema = self._named.get(schema, schema)
        if isinstance(schema, list):
            return self._find_in_union(schema, value, path)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind in ("record", "error"):
            if not isinstance(value, Mapping):
                return _error(path, _shown(schema), _kind(value))
            for field in schema["fields"]:
                name = field["name"]
                if name in value:
                    found = self._find(field["type"], value[name], f"{path}.{name}" if path else name)
                elif "default" in field:
                    found = None
                else:
                    found = self._find(field["type"], None, f"{path}.{name}" if path else name)
                    if found is not None:
                        found = _error(found.field_path, found.expected, "nothing: the field is missing")
                if found is not None:
                    return found
            return None
        if kind == "array" and isinstance(value, (list, tuple)):
            return _first(self._find(schema["items"], item, f"{path}[{i}]") for i, item in enumerate(value))
        if kind == "map" and isinstance(value, Mapping):
            return _first(
                self._find(schema["values"], item, f"{path}[{key!r}]")
                if isinstance(key, str)
                else _error(path, "a map with string keys", f"a key of type {_kind(key)}")
                for key, item in value.items()
            )
        fits = validate(value, schema, raise_errors=False) and self._writes(schema, value)
        return None if fits else _error(path, _shown(schema), _kind(value))

    def _find_in_union(self, union: list[Any], value: Any, path: str) -> AvroEncodingError | None:
        found = [self._find(branch, value, path) for branch in union]
        if None in found:
            return None
        deeper = [error for error in found if error is not None and error.field_path != path]
        return deeper[0] if len(deeper) == 1 else _error(path, _shown(union), _kind(value))

    def _writes(self, schema: Any, value: Any) -> bool:
        try:
            schemaless_writer(BytesIO(), schema, value)
        except Exception:  # noqa: BLE001 whatever it is, it does not fit
            return False
        return True


def _raw(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _error("", "bytes", _kind(value))
    return bytes(value)


def _first(found: Any) -> AvroEncodingError | None:
    return next((error for error in found if error is not None), None)


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _shown(schema: Any) -> str:
    if isinstance(schema, list):
        return "one of " + ", ".join(_shown(branch) for branch in schema)
    if not isinstance(schema, dict):
        return str(schema)
    kind = schema["type"]
    if kind == "enum":
        return f"one of the symbols {', '.join(schema['symbols'])} of enum {schema['name']}"
    if kind == "fixed":
        return f"{schema['size']} bytes of fixed {schema['name']}"
    if "name" in schema:
        return f"{kind} {schema['name']}"
    return f"{kind} ({schema['logicalType']})" if "logicalType" in schema else str(kind)


def _error(path: str, expected: str, actual: str) -> AvroEncodingError:
    where = f"field {path}" if path else "the object"
    return AvroEncodingError(
        f"{where} does not fit the schema: expected {expected}, got {actual}. Nothing was sent.",
        path,
        expected,
        actual,
    )
