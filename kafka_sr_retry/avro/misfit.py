"""Which field of an object does not fit its schema, and why.

Errors name types and places, never values, which may be confidential; so fastavro's own errors, which show them, are
not chained.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from fastavro import schemaless_writer
from fastavro.validation import validate
from fastavro.write import LOGICAL_WRITERS

from kafka_sr_retry.errors import AvroEncodingError, one_line

HOLDERS = frozenset(("record", "array", "map"))

_RANGES = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}

_PRIMITIVES = frozenset(("null", "boolean", "int", "long", "float", "double", "string", "bytes"))

_KEY = 50
"""Characters of a map's key that a path shows."""

NESTED = 100
"""Records, arrays and maps within one another that are written. fastavro takes up to 5 KB of the thread's stack for
each, and ends the process where there is no more: half a megabyte is enough."""


@dataclass(frozen=True)
class Misfit:
    """A place that does not fit.

    Attributes:
        path: from the value that was looked at, such as ``items[3].price``.
        expected, actual: as in ``AvroEncodingError``.
        raised: whether fastavro gave up there, without looking at a union's other branches.
    """

    path: str
    expected: str
    actual: str
    raised: bool = False

    def under(self, path: str) -> Misfit:
        return replace(self, path=joined(path, self.path))

    def error(self) -> AvroEncodingError:
        where = f"field {self.path}" if self.path else "the object"
        return AvroEncodingError(
            one_line(f"{where} does not fit the schema: expected {self.expected}", 1000)
            + f", got {one_line(self.actual, 1000)}. Nothing was sent.",
            self.path,
            self.expected,
            self.actual,
        )


class TooMuch(Exception):  # noqa: N818
    """The search has met more places than it may look at."""


class Judge:
    """Says where a value does not fit, as fastavro would find it: it writes what it can, but takes a union's branch
    only for what validates. Of what holds no others, fastavro itself is asked.

    Args:
        named: the schema's named types, parsed.
        options: ``strict`` and ``strict_allow_default`` of fastavro.
        places: that it looks at before it raises ``TooMuch``, as it does where they are nested too deep.
        thorough: whether it looks at all branches that some version of fastavro may choose, and as often as fastavro.
            Else it remembers what it found for a union, so that unions in unions do not double its work.
    """

    def __init__(
        self,
        named: Mapping[str, Any],
        options: Mapping[str, bool],
        places: float = 1_000_000,
        *,
        thorough: bool = False,
    ) -> None:
        self._named = named
        self._options = options
        self._places = places
        self._nested = NESTED
        self._found: dict[tuple[int, int, bool], tuple[Any, Misfit | None]] | None = None if thorough else {}

    def find(self, schema: Any, value: Any, *, validating: bool = False) -> Misfit | None:
        """The first place, in the schema's order, where the value does not fit; ``validating``: as a union's branch."""
        self._places -= 1
        kind, schema = resolved(schema, self._named)
        if kind == "union":
            key = (id(schema), id(value), validating)
            if self._found is None:
                return self._in_union(schema, value, validating)
            if key not in self._found:
                self._found[key] = value, self._in_union(schema, value, validating)  # its id is its own that long
            return self._found[key][1]
        if kind not in HOLDERS or has_writer(schema):
            return self._leaf(kind, schema, value, validating)
        if not _holds(kind, value, validating):
            return Misfit("", shown(schema), kind_of(value))
        if self._places < 0 or self._nested == 0:
            raise TooMuch
        self._nested -= 1
        inside: Iterator[Misfit | None]
        if kind == "record":
            inside = self._in_record(schema, value, validating)
        else:
            inside = (self._in_array if kind == "array" else self._in_map)(schema, value, validating)
        found = next(filter(None, inside), None)
        self._nested += 1
        return found

    def _in_record(self, schema: Any, value: Mapping[str, Any], validating: bool) -> Iterator[Misfit | None]:
        strict = any(self._options.values())
        if validating and "-type" in value and value["-type"] != schema["name"]:
            yield Misfit("", shown(schema), kind_of(value))
        for field in schema["fields"]:
            name, kind = field["name"], field["type"]
            if name not in value and (
                self._options["strict"]
                or ("default" not in field and not validating and (strict or "null" not in kind))
            ):
                yield missing(name, field)
                continue
            one = value.get(name, field.get("default"))
            if kind in ("float", "double") and not validating:
                one = _as_float(one)
            found = self.find(kind, one, validating=validating)
            if found and name not in value:
                found = missing(name, field) if "default" not in field else replace(
                    found.under(name), actual="nothing, and a default that fastavro does not write"
                )  # fmt: skip
                yield found
            else:
                yield found and found.under(name)
        if strict and not validating:
            for name in set(value) - {field["name"] for field in schema["fields"]}:
                shown_name = name if isinstance(name, str) else ""
                yield Misfit(shown_name, "no such field", "one more than the schema has")

    def _in_array(self, schema: Any, value: Sequence[Any], validating: bool) -> Iterator[Misfit | None]:
        for index, item in enumerate(value):
            found = self.find(schema["items"], item, validating=validating)
            if found and isinstance(value, (str, bytes, bytearray)):  # which have items too
                yield Misfit("", shown(schema), kind_of(value))
            yield found and found.under(f"[{index}]")

    def _in_map(self, schema: Any, value: Mapping[Any, Any], validating: bool) -> Iterator[Misfit | None]:
        for key, item in value.items():
            if not isinstance(key, str):
                yield Misfit("", "a map with string keys", f"a key of type {kind_of(key)}")
                continue
            found = self._leaf("string", "string", key, False)
            yield found and Misfit("", "a map with string keys", f"a key: {found.actual}")
            found = self.find(schema["values"], item, validating=validating)
            yield found and found.under(in_map(key))

    def _in_union(self, union: list[Any], value: Any, validating: bool) -> Misfit | None:
        if isinstance(value, tuple):
            if len(value) != 2:
                return Misfit(
                    "", shown(union), f"{kind_of(value)}, which in a union must be (name, value)", raised=True
                )
            branch = hinted(union, value[0])
            if branch is None:
                return Misfit("", shown(union), "a hint that names none of them")
            return self.find(branch, value[1], validating=validating)
        chosen, most, failures = None, -1, []
        for branch in union:
            found = self.find(branch, value, validating=True)
            if found is None:
                if validating:
                    return None
                if self._found is None:
                    self.find(branch, value)
                kind, record = resolved(branch, self._named)
                if kind != "record":
                    chosen = branch
                    break
                fields = sum(name in value for name in {field["name"] for field in record["fields"]})
                if fields > most:
                    chosen, most = branch, fields
            elif found.raised:
                return found
            else:
                failures.append(found)
        if chosen is not None:
            return self.find(chosen, value)
        return none_of(union, value, failures)

    def _leaf(self, kind: str, schema: Any, value: Any, validating: bool) -> Misfit | None:
        raised = False
        try:
            if validating:
                if validate(value, self._whole(schema), raise_errors=False, strict=self._options["strict"]):
                    return None
            else:
                schemaless_writer(BytesIO(), self._whole(schema), value, **self._options)
                return None
        except Exception:  # noqa: BLE001 fastavro raises what it meets
            raised = True
        return Misfit("", shown(schema), _cause(kind, schema, value), raised)

    def _whole(self, schema: Any) -> Any:
        """A part of a parsed schema, with the named types that it may refer to."""
        if not isinstance(schema, dict):
            return schema
        return {**schema, "__fastavro_parsed": True, "__named_schemas": self._named}


def resolved(schema: Any, named: Mapping[str, Any]) -> tuple[str, Any]:
    """A parsed schema's kind, ``record`` for errors too, and the schema itself, a named type instead of its name."""
    if isinstance(schema, str) and schema not in _PRIMITIVES:
        schema = named.get(schema, schema)
    if isinstance(schema, list):
        return "union", schema
    kind = schema["type"] if isinstance(schema, dict) else schema
    return ("record" if kind == "error" else kind) if isinstance(kind, str) else "", schema


def has_writer(schema: Any) -> bool:
    """Whether fastavro gives a value to a logical type's function before it looks at it itself."""
    return isinstance(schema, dict) and f"{schema['type']}-{schema.get('logicalType')}" in LOGICAL_WRITERS


def hinted(union: Sequence[Any], name: Any) -> Any:
    """The branch that ``(name, value)`` means, ``None`` where there is none."""
    return next((branch for branch in union if _name(branch) == name), None)


def _name(branch: Any) -> Any:
    return branch.get("name", branch["type"]) if isinstance(branch, dict) else branch


def _holds(kind: str, value: Any, validating: bool) -> bool:
    """Whether a value is of the sort that a record, map or array is written from."""
    if kind != "array":
        return isinstance(value, Mapping)
    if validating:
        return is_sequence(value)
    return isinstance(value, Collection) and not isinstance(value, Mapping)


def is_sequence(value: Any) -> bool:
    """Whether a union's array is written from it."""
    return isinstance(value, (Sequence, array)) and not isinstance(value, str)


def _as_float(value: Any) -> Any:
    """A record's field of a number is given to ``float`` first."""
    try:
        return float(value)
    except Exception:  # noqa: BLE001 an object of any kind
        return value


def none_of(union: list[Any], value: Any, failures: list[Misfit]) -> Misfit:
    """A value that no branch takes: the place within the only branch that came further, else the union itself."""
    deeper = [failure for failure in failures if failure.path]
    if len(deeper) == 1:
        return deeper[0]
    if isinstance(value, Mapping) and "-type" in value and hinted(union, value["-type"]) is None:
        return Misfit("", shown(union), "a hint that names none of them")
    told = (failure.actual for failure in failures if not failure.path and failure.actual != kind_of(value))
    return Misfit("", shown(union), next(told, kind_of(value)))


def _cause(kind: str, schema: Any, value: Any) -> str:
    """A value's type, and what is wrong with it where the type is right."""
    name = kind_of(value)
    if kind in _RANGES and isinstance(value, int) and not isinstance(value, bool):
        low, high = _RANGES[kind]
        return name if low <= value <= high else f"{name} out of the range of {kind}, {low} to {high}"
    if kind in ("float", "double") and isinstance(value, int):
        return f"{name} out of the range of {kind}"
    if kind == "string" and isinstance(value, str):
        return f"{name} with a surrogate, which UTF-8 does not hold"
    if kind == "fixed" and isinstance(value, (bytes, bytearray)):
        return f"{name} of {len(value)} bytes"
    if kind in ("bytes", "fixed") and schema_logical(schema) == "decimal" and hasattr(value, "as_tuple"):
        return f"{name} {_decimals_cause(schema, value)}"
    return name


def schema_logical(schema: Any) -> Any:
    return schema.get("logicalType") if isinstance(schema, dict) else None


def _decimals_cause(schema: Mapping[str, Any], value: Any) -> str:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return "that is no finite number"
    if len(digits) > schema["precision"]:
        return f"with more digits than its precision, {schema['precision']}"
    if -exponent > schema.get("scale", 0):
        return f"with more digits after the point than its scale, {schema.get('scale', 0)}"
    return f"that its {schema['size']} bytes do not hold" if "size" in schema else "that its type does not hold"


def kind_of(value: Any) -> str:
    return "None" if value is None else _class_name(type(value))


_class_name: Callable[[type], str] = vars(type)["__name__"].__get__
"""Not by the class's own way, which a metaclass may have bent."""


def shown(schema: Any) -> str:
    if isinstance(schema, list):
        return "one of " + ", ".join(shown(branch) for branch in schema)
    if not isinstance(schema, dict):
        return str(schema)
    kind = schema["type"]
    if schema_logical(schema) == "decimal":
        size = f" of {schema['size']} bytes" if kind == "fixed" else ""
        return f"{kind}{size} (decimal, precision {schema.get('precision')}, scale {schema.get('scale', 0)})"
    if kind == "enum":
        return f"one of the symbols {', '.join(schema['symbols'])} of enum {schema['name']}"
    if kind == "fixed":
        return f"{schema['size']} bytes of fixed {schema['name']}"
    if "name" in schema:
        return f"{kind} {schema['name']}"
    return f"{kind} ({schema['logicalType']})" if "logicalType" in schema else str(kind)


def missing(path: str, field: Mapping[str, Any]) -> Misfit:
    return Misfit(path, shown(field["type"]), "nothing: the field is missing")


def raising(path: str, schema: Any, value: Any, cause: Exception) -> Misfit:
    return Misfit(path, shown(schema), f"{kind_of(value)}, which raised {type(cause).__name__}")


def joined(path: str, inner: str) -> str:
    return f"{path}.{inner}" if path and inner and not inner.startswith("[") else path + inner


def in_map(key: Any) -> str:
    """The part of a path that is a map's key, as Python writes it, cut where it is long."""
    if not isinstance(key, str):
        return "[...]"
    return f"[{str.__repr__(key)}]" if len(key) <= _KEY else f"[{str.__repr__(key[:_KEY])}...]"
