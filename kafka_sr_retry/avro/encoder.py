"""From an object to Avro bytes, and from one that does not fit to the field at fault."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from io import BytesIO
from itertools import accumulate
from typing import Any

from fastavro import parse_schema, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType

from kafka_sr_retry.errors import ConfigurationError, one_line

from .compiler import DIGITS, Write, compile_writer, source_of
from .misfit import Judge, Misfit, TooMuch, kind_of, raising, schema_logical
from .objects import Copy, Plainness, Unfit, too_deep
from .types import Unsuitable

_log = logging.getLogger("kafka_sr_retry")

NESTED = 500
"""Brackets of a schema's text within one another. fastavro follows them in C, as some versions of ``json`` do, and ends
the process where the thread's stack is too small: a quarter of a megabyte is enough."""

EXPANDED = 100_000
"""Values that a schema's defaults may come to, where each lacks what has a default itself."""

LARGEST_DECIMAL = 10_000
"""Bytes of a fixed decimal: fastavro makes a number of that size for each."""

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
            self._refuse_scales()
            self._refuse_endless()
        except UnknownType as error:
            told = one_line(f"schema_str names the unknown type {error.name!r}")
            raise ConfigurationError(told, "schema_str") from error
        except (ValueError, SchemaParseException, TypeError, KeyError, AttributeError, RecursionError) as error:
            told = one_line(f"schema_str is not an Avro schema: {error}")
            raise ConfigurationError(told, "schema_str") from error
        parsed: Any = self._parsed
        self._top = parsed["fields"][0]["type"] if self._wrapped else parsed
        self._is_raw = parsed == "bytes" or (isinstance(parsed, dict) and parsed["type"] == "bytes")
        self.name = full_name(text)

    def _refuse_scales(self) -> None:
        left, seen = [self._parsed, *self._named.values()], set()
        while left:
            part = left.pop()
            if not isinstance(part, (dict, list)) or id(part) in seen:
                continue
            seen.add(id(part))
            if isinstance(part, list):
                left += part
                continue
            scale = part.get("scale")
            if schema_logical(part) == "decimal" and isinstance(scale, int) and scale > DIGITS:
                raise ValueError(f"it has a decimal with a scale of more than {DIGITS}")
            left += [part.get(key) for key in ("type", "items", "values", "fields")]

    def _refuse_endless(self) -> None:
        """What a schema can make fastavro do without end, which it does in C, and so ends the process."""
        for name, kind in self._named.items():
            if kind["type"] == "fixed" and schema_logical(kind) == "decimal" and kind["size"] > LARGEST_DECIMAL:
                raise ValueError(f"{name} is a decimal of more than {LARGEST_DECIMAL} bytes")
            for field in kind.get("fields", ()):
                if not isinstance(field["name"], str):  # fastavro takes any
                    raise ValueError(f"{name} has a field whose name is no string")
                if not isinstance(field.get("default"), (dict, list)):
                    continue
                judge = Judge(self._named, _LENIENT, EXPANDED, thorough=True)
                try:
                    for validating in (False, True):
                        judge.find(field["type"], field["default"], validating=validating)
                except (TooMuch, RecursionError):
                    raise ValueError(
                        f"the default of field {field['name']} of {name} leads to itself, or to more than {EXPANDED} "
                        "values"
                    ) from None

    def writer(self, prefix: bytes, *, strict: bool = False, strict_allow_default: bool = False) -> Write:
        """Encodes as fastavro does, by a function of the schema's own where there is one; a top-level ``"bytes"`` is
        written raw, without Avro's length, as the Java and Confluent's serializers do.

        Args:
            prefix: written before each object.
            strict: refuse missing and additional fields.
            strict_allow_default: the same, but fields with a default may be missing.

        Raises:
            ConfigurationError: types that are nested deeper than the interpreter follows.
        """
        if self._is_raw:
            return lambda value, ctx: prefix + _raw(value)
        parsed, wrapped = self._parsed, self._wrapped
        options = {"strict": strict, "strict_allow_default": strict_allow_default}
        given = options if strict or strict_allow_default else {}
        try:
            plainness = Plainness(self._top, self._named)
        except (RecursionError, SyntaxError) as error:  # as CPython has it for 200 parentheses within one another
            raise ConfigurationError("schema_str is nested too deep to be followed", "schema_str") from error
        deep = plainness.deep

        def write(value: Any, ctx: Any) -> bytes:
            try:
                is_plain = deep(value, 0)
            except Exception:  # noqa: BLE001 objects of all kinds raise what they like
                is_plain = False
            if not is_plain:
                value = self._copied(value, options)
            out = BytesIO()
            out.write(prefix)
            try:
                whole = {"value": value} if wrapped else value
                if given:
                    schemaless_writer(out, parsed, whole, **given)
                else:  # a call with no options is faster
                    schemaless_writer(out, parsed, whole)
                return out.getvalue()
            except Exception as error:  # noqa: BLE001 fastavro raises what it meets
                misfit = self._misfit(value, options, error)
            raise misfit.error()  # out here, as its context would show values

        if given:
            return write
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

    def _copied(self, value: Any, options: Mapping[str, bool]) -> Any:
        try:
            return Copy(self._named, options).of(self._top, value)
        except Unfit as unfit:
            misfit = unfit.misfit
        except RecursionError:
            misfit = too_deep()
        except Exception as error:  # noqa: BLE001 objects of all kinds raise what they like
            misfit = raising("", self._top, value, error)
        raise misfit.error()

    def _misfit(self, value: Any, options: Mapping[str, bool], cause: Exception) -> Misfit:
        try:
            found = Judge(self._named, options).find(self._top, value)
        except Exception:  # noqa: BLE001 too much to look at, too deep to follow, or its own methods raise
            found = None
        return found or raising("", self._top, value, cause)


_LENIENT = {"strict": False, "strict_allow_default": False}

_HIDDEN = ("__fastavro_parsed", "__named_schemas")
"""Keys that make fastavro take a schema for one that it has parsed already."""


def _json(text: str) -> Any:
    """Of a schema."""
    # no backslash stands outside of a JSON text's strings
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", outside))
    if max(accumulate(steps), default=0) > NESTED:
        raise ValueError(f"it is nested more than {NESTED} levels deep")
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(key): _interned(value) for key, value in pairs if key not in _HIDDEN}


def _interned(value: Any) -> Any:
    """fastavro looks a schema's texts up for each value: the same text is found sooner than an equal one."""
    if isinstance(value, list):
        return [sys.intern(each) if isinstance(each, str) else each for each in value]
    return sys.intern(value) if isinstance(value, str) else value


def full_name(text: str) -> str | None:
    """Full name of the named type that a schema's text defines; of another that is no union its type.

    Raises:
        ConfigurationError: the text is not JSON.
    """
    try:
        raw = _json(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"schema_str is not an Avro schema: {error}", "schema_str") from error
    if not isinstance(raw, dict):
        return raw if isinstance(raw, str) else None
    name, namespace = raw.get("name"), raw.get("namespace")
    if not isinstance(name, str):
        return raw.get("type") if isinstance(raw.get("type"), str) else None
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _raw(value: Any) -> bytes:
    try:
        if isinstance(value, str):
            return str.encode(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        misfit = Misfit("", "bytes", kind_of(value))
    except UnicodeEncodeError:
        misfit = Misfit("", "bytes", f"{kind_of(value)} with a surrogate, which UTF-8 does not hold")
    except Exception as error:  # noqa: BLE001 objects of all kinds raise what they like
        misfit = raising("", "bytes", value, error)
    raise misfit.error()
