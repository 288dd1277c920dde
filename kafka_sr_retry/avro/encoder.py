"""From an object to Avro bytes, and from one that does not fit to the field at fault."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from typing import Any, overload
from weakref import WeakValueDictionary

from fastavro import parse_schema, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType
from fastavro.write import LOGICAL_WRITERS

from kafka_sr_retry.errors import ConfigurationError, one_line

from .compiler import DIGITS, Compiled, Write, compiled, lines_of, source_of
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


_OPTIONS = {
    (strict, allow): {"strict": strict, "strict_allow_default": allow}
    for strict in (False, True)
    for allow in (False, True)
}
_LENIENT = _OPTIONS[False, False]
"""Options of fastavro."""


class AvroSchema:
    """A schema, and what writes its objects.

    It is held parsed only for fastavro: a schema of a compiled function is parsed once more when the first value comes
    that is not for that.

    Args:
        text: of the schema.
        references: texts of the schemas whose named types it uses, each after those that it uses itself.

    Attributes:
        name: full name of a record, enum or fixed; of a union ``None``; else the type.

    Raises:
        ConfigurationError: the text is not an Avro schema.
    """

    __slots__ = ("__weakref__", "_compiled", "_held", "_is_raw", "_parsed", "_references", "_text", "name")

    def __init__(self, text: str, references: Iterable[str] = ()) -> None:
        self._text, self._references = text, tuple(references)
        self._parsed: _Parsed | None = _parse(text, self._references)
        self._compiled: Compiled | str | None = None  # why it cannot be
        self._held: tuple[Callable[[Any, int], bool], Any, bool, _Parsed] | None = None
        top = self._parsed.whole
        self._is_raw = top == "bytes" or (isinstance(top, dict) and top["type"] == "bytes")
        self.name = full_name(text)

    @classmethod
    def of(cls, text: str, references: Iterable[str] = ()) -> AvroSchema:
        """The one of this process for these texts. It lives as long as one of its writers."""
        key = (text, tuple(references), _generation())
        found = _living.get(key)
        if found is None:
            found = _living[key] = cls(text, key[1])
        return found

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
        options = _OPTIONS[strict, strict_allow_default]
        if options is _LENIENT:
            if self._compiled is None:
                self._compiled = self._compile()
            if isinstance(self._compiled, Compiled):
                return self._compiled.writer(prefix, self._write)
            _log.debug("schema %s is left to fastavro: %s", self.name, self._compiled)
        self._hold()
        return lambda value, ctx: self._write(value, prefix, options)

    def source(self) -> str:
        """The function that writes its objects, for people; ``Unsuitable`` where fastavro does."""
        if self._is_raw:
            raise Unsuitable("bytes are written raw")
        parsed = self._parsed or self._parsed_again()
        return source_of(parsed.top, parsed.named)

    def _compile(self) -> Compiled | str:
        parsed = self._parsed or self._parsed_again()
        try:
            found = compiled(parsed.top, parsed.named)
        except Unsuitable as error:
            return str(error)
        found.show(_Lines(self._text, self._references))
        self._parsed = None
        return found

    def _parsed_again(self) -> _Parsed:
        self._parsed = parsed = _parse(self._text, self._references)
        return parsed

    def _hold(self) -> tuple[Callable[[Any, int], bool], Any, bool, _Parsed]:
        """What ``_write`` needs at once."""
        parsed = self._parsed or self._parsed_again()
        try:
            is_plain = Plainness(parsed.top, parsed.named).deep
        except (RecursionError, SyntaxError) as error:  # as CPython has it for 200 parentheses within one another
            raise ConfigurationError("schema_str is nested too deep to be followed", "schema_str") from error
        self._held = held = is_plain, parsed.whole, parsed.is_wrapped, parsed
        return held

    def _write(self, value: Any, prefix: bytes, options: Mapping[str, bool] = _LENIENT) -> bytes:
        """By fastavro."""
        is_plain, schema, is_wrapped, parsed = self._held or self._hold()
        try:
            plain = is_plain(value, 0)
        except Exception:  # noqa: BLE001 objects of all kinds raise what they like
            plain = False
        if not plain:
            value = _copied(parsed, value, options)
        out = BytesIO()
        out.write(prefix)
        try:
            whole = {"value": value} if is_wrapped else value
            if options is _LENIENT:  # a call with no options is faster
                schemaless_writer(out, schema, whole)
            else:
                schemaless_writer(out, schema, whole, **options)
            return out.getvalue()
        except Exception as error:  # noqa: BLE001 fastavro raises what it meets
            misfit = _misfit(parsed, value, options, error)
        raise misfit.error()  # out here, as its context would show values


_living: WeakValueDictionary[tuple[str, tuple[str, ...], int], AvroSchema] = WeakValueDictionary()
"""By texts and generation. No lock: what two threads make at once is made twice, and one of them found later."""

_seen: tuple[int, dict[str, Any]] = (0, {})


def _generation() -> int:
    """Another one after each change of fastavro's writers of logical types: a function is compiled for those it met."""
    global _seen
    number, before = _seen
    now = dict(LOGICAL_WRITERS)
    if now != before:
        _seen = number + 1, now
    return _seen[0]


class _Lines(Sequence[str]):
    """Of a function, for ``linecache``: put together when a traceback asks."""

    __slots__ = ("_lines", "_references", "_text")

    def __init__(self, text: str, references: tuple[str, ...]) -> None:
        self._text, self._references = text, references
        self._lines: list[str] | None = None

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._all()[index]

    def _all(self) -> list[str]:
        if self._lines is None:
            try:
                parsed = _parse(self._text, self._references)
                self._lines = lines_of(parsed.top, parsed.named)
            except (ConfigurationError, Unsuitable):  # fastavro has got other writers since, or the stack is short
                return []
        return self._lines


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A schema as fastavro takes it.

    Attributes:
        whole: with ``_TOP`` around it if it ``is_wrapped``.
        named: its named types.
    """

    whole: Any
    named: dict[str, Any]
    is_wrapped: bool

    @property
    def top(self) -> Any:
        return self.whole["fields"][0]["type"] if self.is_wrapped else self.whole


def _parse(text: str, references: Iterable[str]) -> _Parsed:
    named: dict[str, Any] = {}
    try:
        for reference in references:
            parse_schema(_json(reference), named_schemas=named)
        raw = _json(text)
        is_wrapped = isinstance(raw, list) or (isinstance(raw, str) and raw in named)
        if is_wrapped:
            raw = {**_TOP, "fields": [{"name": "value", "type": raw}]}
        parsed = _Parsed(parse_schema(raw, named_schemas=named), named, is_wrapped)
        _refuse_scales(parsed)
        _refuse_endless(parsed)
    except UnknownType as error:
        told = one_line(f"schema_str names the unknown type {error.name!r}")
        raise ConfigurationError(told, "schema_str") from error
    except (ValueError, SchemaParseException, TypeError, KeyError, AttributeError, RecursionError) as error:
        told = one_line(f"schema_str is not an Avro schema: {error}")
        raise ConfigurationError(told, "schema_str") from error
    return parsed


def _refuse_scales(parsed: _Parsed) -> None:
    left, seen = [parsed.whole, *parsed.named.values()], set()
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


def _refuse_endless(parsed: _Parsed) -> None:
    """What a schema can make fastavro do without end, which it does in C, and so ends the process."""
    for name, kind in parsed.named.items():
        if kind["type"] == "fixed" and schema_logical(kind) == "decimal" and kind["size"] > LARGEST_DECIMAL:
            raise ValueError(f"{name} is a decimal of more than {LARGEST_DECIMAL} bytes")
        for field in kind.get("fields", ()):
            if not isinstance(field["name"], str):  # fastavro takes any
                raise ValueError(f"{name} has a field whose name is no string")
            if not isinstance(field.get("default"), (dict, list)):
                continue
            judge = Judge(parsed.named, _LENIENT, EXPANDED, thorough=True)
            try:
                for validating in (False, True):
                    judge.find(field["type"], field["default"], validating=validating)
            except (TooMuch, RecursionError):
                raise ValueError(
                    f"the default of field {field['name']} of {name} leads to itself, or to more than {EXPANDED} values"
                ) from None


def _copied(parsed: _Parsed, value: Any, options: Mapping[str, bool]) -> Any:
    try:
        return Copy(parsed.named, options).of(parsed.top, value)
    except Unfit as unfit:
        misfit = unfit.misfit
    except RecursionError:
        misfit = too_deep()
    except Exception as error:  # noqa: BLE001 objects of all kinds raise what they like
        misfit = raising("", parsed.top, value, error)
    raise misfit.error()


def _misfit(parsed: _Parsed, value: Any, options: Mapping[str, bool], cause: Exception) -> Misfit:
    try:
        found = Judge(parsed.named, options).find(parsed.top, value)
    except Exception:  # noqa: BLE001 too much to look at, too deep to follow, or its own methods raise
        found = None
    return found or raising("", parsed.top, value, cause)


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
    living = _living.get((text, (), _generation()))
    if living is not None:
        return living.name
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
