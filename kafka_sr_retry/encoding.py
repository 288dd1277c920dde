"""From an object to Avro bytes, and from one that does not fit to the field at fault."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType
from fastavro.validation import validate

from .compiler import Unsuitable, Write, compile_writer, source_of
from .errors import AvroEncodingError, ConfigurationError
from .objects import as_record

_log = logging.getLogger("kafka_sr_retry")

_TOP = {"type": "record", "name": "kafka_sr_retry_top", "fields": []}
"""A record adds no bytes to its fields': one around a union or a reference spares fastavro a parsing each time. It has
no namespace, which the types inside would inherit."""


class AvroSchema:
    """A parsed schema.

    Args:
        text: of the schema.
        references: texts of the schemas whose named types it uses, each after those that it uses itself.

    Attributes:
        name: full name of a record, enum or fixed; of a union ``None``; else the type.

    Raises:
        ConfigurationError: the text is not an Avro schema.
    """

    def __init__(self, text: str, references: Iterable[str] = ()) -> None:
        self._named: dict[str, Any] = {}
        try:
            for reference in references:
                parse_schema(_json(reference), named_schemas=self._named)
            raw = _json(text)
            self._wrapped = isinstance(raw, list) or (isinstance(raw, str) and raw in self._named)
            if self._wrapped:
                raw = {**_TOP, "fields": [{"name": "value", "type": raw}]}
            self._parsed = parse_schema(raw, named_schemas=self._named)
        except UnknownType as error:
            raise ConfigurationError(f"schema_str names the unknown type {error.name!r}", "schema_str") from error
        except (ValueError, SchemaParseException, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"schema_str is not an Avro schema: {error}", "schema_str") from error
        parsed: Any = self._parsed
        self._top = parsed["fields"][0]["type"] if self._wrapped else parsed
        self._is_raw = parsed == "bytes" or (isinstance(parsed, dict) and parsed["type"] == "bytes")
        self.name = full_name(text)

    def writer(self, prefix: bytes, *, strict: bool = False, strict_allow_default: bool = False) -> Write:
        """Encodes as fastavro does, by a function of the schema's own where there is one; a top-level ``"bytes"`` is
        written raw, without Avro's length, as the Java and Confluent's serializers do.

        Args:
            prefix: written before each object.
            strict: refuse missing and additional fields.
            strict_allow_default: the same, but fields with a default may be missing.
        """
        parsed = self._parsed
        if self._is_raw:
            return lambda value, ctx: prefix + _raw(value)
        options = {"strict": strict, "strict_allow_default": strict_allow_default}

        def write_whole(value: Any, ctx: Any) -> bytes:
            out = BytesIO()
            out.write(prefix)
            try:
                schemaless_writer(out, parsed, value)
                return out.getvalue()
            except Exception:  # noqa: BLE001, S110 fastavro raises what it meets
                pass
            return prefix + self._slowly(value, options)

        def write_carefully(value: Any, ctx: Any) -> bytes:
            return prefix + self._slowly(value, options)

        if any(options.values()):
            return write_carefully
        write = write_carefully if self._wrapped else write_whole
        try:
            return compile_writer(self._top, self._named, prefix, write)
        except Unsuitable as error:
            _log.debug("schema %s is left to fastavro: %s", self.name, error)
            return write

    def source(self) -> str:
        """The function that writes its objects, for people; ``Unsuitable`` where fastavro does."""
        if self._is_raw:
            raise Unsuitable("bytes are written raw")
        return source_of(self._top, self._named, b"")

    def _slowly(self, value: Any, options: Mapping[str, bool]) -> bytes:
        """The same, for every schema and object: also objects with attributes, and with an error that says where."""
        try:
            return self._encode(value, options)
        except Exception:  # noqa: BLE001, S110 fastavro raises what it meets
            pass
        try:
            record = as_record(value)
        except Exception as error:  # noqa: BLE001 and so do objects of all kinds
            failure = _raising(self._top, value, error)
        else:
            try:
                return self._encode(record, options)
            except Exception as error:  # noqa: BLE001
                failure = _Misfit(self._named, options).of(self._top, record, error)
        raise failure  # out here, as its context would show values

    def _encode(self, value: Any, options: Mapping[str, bool]) -> bytes:
        out = BytesIO()
        schemaless_writer(out, self._parsed, {"value": value} if self._wrapped else value, **options)
        return out.getvalue()


def _json(text: str) -> Any:
    """Of a schema; without what makes fastavro take it for one that it has parsed already."""
    raw = json.loads(text)
    hidden = ("__fastavro_parsed", "__named_schemas")
    return {key: value for key, value in raw.items() if key not in hidden} if isinstance(raw, dict) else raw


def full_name(text: str) -> str | None:
    """Full name of the named type that a schema's text defines; of another that is no union its type."""
    raw = json.loads(text)
    if not isinstance(raw, dict):
        return raw if isinstance(raw, str) else None
    name, namespace = raw.get("name"), raw.get("namespace")
    if not isinstance(name, str):
        return raw.get("type") if isinstance(raw.get("type"), str) else None
    return name if "." in name or not namespace else f"{namespace}.{name}"


_Fits = Callable[[Any, Any], bool]


class _Misfit:
    """Finds where an object does not fit: fastavro itself says of each part whether it does.

    Errors name types and places, never values, which may be confidential; so fastavro's own error, which shows them, is
    not chained.
    """

    def __init__(self, named: Mapping[str, Any], options: Mapping[str, bool]) -> None:
        self._named = named
        self._options = options

    def of(self, schema: Any, value: Any, cause: Exception) -> AvroEncodingError:
        try:
            found = self._find(schema, value, "", self._writes)
        except Exception:  # noqa: BLE001 an object whose own methods raise, or one too deep to follow
            found = None
        return found or _raising(schema, value, cause)

    def _find(self, schema: Any, value: Any, path: str, fits: _Fits) -> AvroEncodingError | None:
        """The first place, in the schema's order, where the object does not fit: fastavro writes what it can, but takes
        a union's branch only for what validates."""
        if isinstance(schema, str):
            schema = self._named.get(schema, schema)
        if isinstance(schema, list):
            return self._find_in_union(schema, value, path)
        if fits(schema, value):
            return None
        kind = schema["type"] if isinstance(schema, dict) else schema
        found: Iterator[AvroEncodingError | None] = iter(())
        if kind in ("record", "error") and isinstance(value, Mapping):
            found = self._in_record(schema, value, f"{path}." if path else "", fits)
        elif kind == "array" and isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping)):
            found = (self._find(schema["items"], item, f"{path}[{i}]", fits) for i, item in enumerate(value))
        elif kind == "map" and isinstance(value, Mapping):
            found = (self._in_map(schema, key, item, path, fits) for key, item in value.items())
        return next((error for error in found if error), None) or _error(path, _shown(schema), _kind(value))

    def _in_record(
        self, schema: Any, value: Mapping[str, Any], path: str, fits: _Fits
    ) -> Iterator[AvroEncodingError | None]:
        strict = any(self._options.values())
        for field in schema["fields"]:
            name = field["name"]
            if name in value:
                yield self._find(field["type"], value[name], path + name, fits)
            elif "default" in field and not self._options["strict"]:
                continue
            elif strict or self._find(field["type"], None, "", fits):
                yield _missing(path + name, field)
        if strict:
            for name in value.keys() - {field["name"] for field in schema["fields"]}:
                yield _error(f"{path}{name}", "no such field", "one more than the schema has")

    def _in_map(self, schema: Any, key: Any, value: Any, path: str, fits: _Fits) -> AvroEncodingError | None:
        if not isinstance(key, str):
            return _error(path, "a map with string keys", f"a key of type {_kind(key)}")
        return self._find(schema["values"], value, f"{path}[{key!r}]", fits)

    def _find_in_union(self, union: list[Any], value: Any, path: str) -> AvroEncodingError | None:
        branches = union
        if isinstance(value, tuple) and len(value) == 2:
            branches, value = [b for b in union if self._name(b) == value[0]], value[1]
        elif isinstance(value, Mapping) and "-type" in value:
            maps = [b for b in union if isinstance(b, dict) and b["type"] == "map"]  # there it is a key like any other
            branches = [b for b in union if self._name(b) == value["-type"]] or maps
        if not branches:
            return _error(path, _shown(union), "a hint that names none of them")
        found = [self._find(branch, value, path, self._validates) for branch in branches]
        if None in found:
            return None
        deeper = [error for error in found if error and error.field_path != path]
        return deeper[0] if len(deeper) == 1 else _error(path, _shown(union), _kind(value))

    def _name(self, branch: Any) -> Any:
        return branch.get("name", branch["type"]) if isinstance(branch, dict) else branch

    def _writes(self, schema: Any, value: Any) -> bool:
        try:
            schemaless_writer(BytesIO(), self._whole(schema), value, **self._options)
        except Exception:  # noqa: BLE001 whatever it is, it does not fit
            return False
        return True

    def _validates(self, schema: Any, value: Any) -> bool:
        return bool(validate(value, self._whole(schema), raise_errors=False, strict=any(self._options.values())))

    def _whole(self, schema: Any) -> Any:
        """A part of a parsed schema, with the named types that it may refer to."""
        if not isinstance(schema, dict):
            return schema
        return {**schema, "__fastavro_parsed": True, "__named_schemas": self._named}


def _raw(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _error("", "bytes", _kind(value))
    return bytes(value)


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


def _raising(schema: Any, value: Any, cause: Exception) -> AvroEncodingError:
    return _error("", _shown(schema), f"{_kind(value)}, which raised {type(cause).__name__}")


def _missing(path: str, field: Mapping[str, Any]) -> AvroEncodingError:
    return _error(path, _shown(field["type"]), "nothing: the field is missing")


def _error(path: str, expected: str, actual: str) -> AvroEncodingError:
    where = f"field {path}" if path else "the object"
    return AvroEncodingError(
        f"{where} does not fit the schema: expected {expected}, got {actual}. Nothing was sent.",
        path,
        expected,
        actual,
    )
