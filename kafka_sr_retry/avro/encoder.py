"""From an object to Avro bytes, and from one that does not fit to the field at fault."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, overload
from weakref import WeakValueDictionary

from fastavro import parse_schema
from fastavro.schema import SchemaParseException, UnknownType
from fastavro.write import LOGICAL_WRITERS

from kafka_sr_retry.errors import ConfigurationError, one_line

from .compiler import compiled, lines_of, source_of
from .dicts import Make, by_dicts, maker
from .misfit import Judge, Misfit, TooMuch, kind_of, raising, schema_logical
from .objects import Copy, Plainness, Unfit, too_deep
from .parts import SURPRISES, write_data
from .text import Compiled, Write
from .types import DIGITS, Unsuitable

if TYPE_CHECKING:
    from ._native import Program

try:
    from .native import program
except ImportError as error:  # not built for this Python, or not loaded by it
    _no_native = f"no native encoder: {error}"
else:
    _no_native = ""

__all__ = ["Encoder"]

_log = logging.getLogger("kafka_sr_retry")

ENCODER = "KAFKA_SR_RETRY_ENCODER"
"""The environment variable that leaves encoders out: ``python`` the native one, ``fastavro`` the compiled function
too."""

NESTED = 500
"""Brackets of a schema's text within one another. fastavro follows them in C, as some versions of ``json`` do, and ends
the process where the thread's stack is too small: a quarter of a megabyte is enough."""

EXPANDED = 200_000
"""Values that all defaults of a schema may come to, where each lacks what has a default itself."""

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


@dataclass(frozen=True, slots=True)
class Encoder:
    """What writes a schema's values. What it does not take is always fastavro's.

    Attributes:
        kind: ``native`` code, the compiled ``python`` function, or ``fastavro``.
        why: it is not the first of these; empty where it is.
    """

    kind: Literal["native", "python", "fastavro"]
    why: str = ""

    def __str__(self) -> str:
        return {"native": "written by native code", "python": "written by a Python function"}.get(
            self.kind, "left to fastavro"
        ) + (f": {self.why}" if self.why else "")


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

    __slots__ = ("__weakref__", "_compiled", "_held", "_is_raw", "_make", "_parsed", "_references", "_text", "name")

    def __init__(self, text: str, references: Iterable[str] = ()) -> None:
        self._text, self._references = text, tuple(references)
        self._parsed: _Parsed | None = _parse(text, self._references)
        self._compiled: Compiled | Program | str | None = None  # why it cannot be
        self._make: Make | None = None
        self._held: tuple[Callable[[Any, int], bool], Any, bool, _Parsed] | None = None
        top = self._parsed.whole
        self._is_raw = top == "bytes" or (isinstance(top, dict) and top["type"] == "bytes")
        self.name = self._parsed.name

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
                _log.debug("schema %s is %s", self.name, self.encoder())
            if not isinstance(self._compiled, str):
                write = self._compiled.writer
                return write(prefix, by_dicts(write, self._make, self._write) if self._make else self._write)
        self._hold()
        return lambda value, ctx: self._write(value, prefix, options)

    def encoder(self, *, strict: bool = False) -> Encoder:
        """What writes its values.

        Args:
            strict: whether missing or additional fields are refused.
        """
        if self._is_raw:
            return Encoder("python", "bytes are written raw")
        if strict:
            return Encoder("fastavro", "validate.strict is set")
        if self._compiled is None:
            self._compiled = self._compile()
        if isinstance(self._compiled, Compiled):
            return Encoder("python", _no_native or f"{ENCODER} says so")
        return Encoder("fastavro", self._compiled) if isinstance(self._compiled, str) else Encoder("native")

    def source(self) -> str:
        """The function that writes its objects, for people; ``Unsuitable`` where fastavro does."""
        if self._is_raw:
            raise Unsuitable("bytes are written raw")
        parsed = self._parsed or self._parsed_again()
        return source_of(parsed.top, parsed.named)

    def _compile(self) -> Compiled | Program | str:
        parsed, wanted = self._parsed or self._parsed_again(), _wanted()
        if wanted == "fastavro":
            return f"{ENCODER} says so"
        try:
            if wanted == "native" and not _no_native:
                found: Compiled | Program = program(parsed.top, parsed.named)
            else:
                found = compiled(parsed.top, parsed.named)
                self._make = maker(parsed.top, parsed.named)
                found.show(_Lines(self._text, self._references))
        except Unsuitable as error:
            return str(error)
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
        raised: list[Exception] = []
        try:
            plain = is_plain(value, 0)
        except (*SURPRISES, RuntimeError):  # as of a dict that another thread changes
            plain = False
        except Exception as error:  # noqa: BLE001 a signal handler's, unless the value is at fault
            plain, raised = False, [error]
        if not plain:
            value = _copied(parsed, value, options)
        out = bytearray(prefix)
        try:
            write_data(out, {"value": value} if is_wrapped else value, schema, parsed.named, "", options)
        except Exception as error:  # noqa: BLE001 fastavro raises what it meets
            misfit = _misfit(parsed, value, options, error)
        else:
            if not raised:
                return bytes(out)
            raise raised.pop()  # which would hold this frame, and itself
        raised.clear()
        raise misfit.error()  # out here, as its context would show values


def _wanted() -> str:
    wanted = os.environ.get(ENCODER) or "native"
    if wanted not in ("native", "python", "fastavro"):
        raise ConfigurationError(one_line(f"{ENCODER} is {wanted!r}: it may be native, python or fastavro"), ENCODER)
    return wanted


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
        name: as ``full_name`` gives it.
    """

    whole: Any
    named: dict[str, Any]
    is_wrapped: bool
    name: str | None

    @property
    def top(self) -> Any:
        return self.whole["fields"][0]["type"] if self.is_wrapped else self.whole


def _parse(text: str, references: Iterable[str]) -> _Parsed:
    named: dict[str, Any] = {}
    try:
        for reference in references:
            parse_schema(_json(reference), named_schemas=named)
        raw = _json(text)
        name = _full_name(raw)
        is_wrapped = isinstance(raw, list) or (isinstance(raw, str) and raw in named)
        if is_wrapped:
            raw = {**_TOP, "fields": [{"name": "value", "type": raw}]}
        parsed = _Parsed(parse_schema(raw, named_schemas=named), named, is_wrapped, name)
        if any("scale" in each or "\\" in each for each in (text, *references)):  # a backslash can spell it
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
    judge = Judge(parsed.named, _LENIENT, EXPANDED, thorough=True)
    for name, kind in parsed.named.items():
        if kind["type"] == "fixed" and schema_logical(kind) == "decimal" and kind["size"] > LARGEST_DECIMAL:
            raise ValueError(f"{name} is a decimal of more than {LARGEST_DECIMAL} bytes")
        for field in kind.get("fields", ()):
            if not isinstance(field["name"], str):  # fastavro takes any
                raise ValueError(f"{name} has a field whose name is no string")
            if not isinstance(field.get("default"), (dict, list)):
                continue
            try:
                for validating in (False, True):
                    judge.find(field["type"], field["default"], validating=validating)
            except (TooMuch, RecursionError):
                raise ValueError(
                    f"the default of field {field['name']} of {name} leads to itself, or with those before it to more "
                    f"than {EXPANDED} values"
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
    """fastavro looks a schema's texts up for each value: the same text is found sooner than an equal one."""
    intern, made = sys.intern, dict[str, Any]()
    for key, value in pairs:
        if type(value) is str:
            value = intern(value)
        elif type(value) is list:
            value = [intern(each) if type(each) is str else each for each in value]
        made[intern(key)] = value
    for hidden in _HIDDEN:
        made.pop(hidden, None)
    return made


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
    return _full_name(raw)


def _full_name(raw: Any) -> str | None:
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
