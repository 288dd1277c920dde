"""From what JSON or CSV holds to what is written for a schema. Nothing is rounded, cut or guessed: what does not fit
exactly one reading is refused (docs/produce.md has the rules)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

from kafka_sr_retry.avro.misfit import in_map, joined, kind_of, resolved, schema_logical, shown

from . import moments

Coerce = Callable[[Any], Any]

_RANGES = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_LARGEST = {"float": 3.4028235677973366e38, "double": 1.7976931348623157e308}
"""The least that would be rounded to infinity as a float, and the largest double."""

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)

_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a number", type(None): "null"}


class NoFit(Exception):  # noqa: N818
    """A value that does not fit; ``actual`` never shows it, as errors go to logs."""

    def __init__(self, expected: Any, actual: str, path: str = "") -> None:
        super().__init__(actual)
        self.expected = expected if isinstance(expected, str) else shown(expected)
        self.actual = actual
        self.path = path

    def under(self, path: str) -> NoFit:
        return NoFit(self.expected, self.actual, joined(path, self.path))

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.actual}"


@dataclass(frozen=True, slots=True)
class Rules:
    """How a text is read.

    Attributes:
        form: ``json``; ``avro-json``, Avro's own encoding; ``csv``, whose cells are texts; ``default`` for a schema's
            defaults.
        bytes_as: ``base64``, ``hex``, ``utf-8`` or ``latin-1``.
        assume_utc: of timestamps without a zone.
    """

    form: str
    bytes_as: str = "base64"
    assume_utc: bool = False


def text_of_number(text: str) -> Any:
    """What a cell is: a number as JSON has it, or the text itself."""
    stripped = text.strip(" \t")
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    return Decimal(stripped) if len(stripped) < 400 and _NUMBER.fullmatch(stripped) else text


class Coercer:
    """Builds a function for a type of the schema. It raises ``NoFit``.

    Args:
        named: the schema's named types, parsed.
    """

    def __init__(self, named: Mapping[str, Any], rules: Rules) -> None:
        self._named = named
        self._rules = rules
        self._records: dict[str, Coerce] = {}
        self._within = Coercer(named, Rules("json", rules.bytes_as, rules.assume_utc)) if rules.form == "csv" else self
        self._defaults = self if rules.form == "default" else Coercer(named, Rules("default", "latin-1"))

    def of(self, schema: Any) -> Coerce:
        kind, schema = resolved(schema, self._named)
        if kind == "":  # {"type": {...}}
            return self.of(schema["type"])
        if kind == "union":
            return self._union(schema)
        if kind in ("record", "array", "map"):
            return (
                _of_cell(self._within.of(schema), schema) if self._rules.form == "csv" else self._holder(kind, schema)
            )
        leaf = self._leaf(kind, schema)
        return _of_text(kind, leaf, schema) if self._rules.form == "csv" else leaf

    def _holder(self, kind: str, schema: Any) -> Coerce:
        if kind == "array":
            return self._array(schema)
        return self._map(schema) if kind == "map" else self.record(schema)

    # -- what holds others ------------------------------------------------------------------------

    def record(self, schema: Any) -> Coerce:
        known = self._records.get(schema["name"])
        if known is not None:
            return known
        self._records[schema["name"]] = lambda value: coerce(value)
        fields = [(field["name"], self.of(field["type"]), self._default(field), field) for field in schema["fields"]]
        names = {field["name"] for field in schema["fields"]}

        def coerce(value: Any) -> Any:
            if type(value) is not dict:
                raise NoFit(schema, told(value))
            for name in value:
                if name not in names:
                    raise NoFit("no such field", "one more than the schema has", name)
            made = {}
            for name, one, default, field in fields:
                if name in value:
                    try:
                        made[name] = one(value[name])
                    except NoFit as misfit:
                        raise misfit.under(name) from None
                else:
                    made[name] = default(field)
            return made

        self._records[schema["name"]] = coerce
        return coerce

    def _default(self, field: Mapping[str, Any]) -> Coerce:
        """What stands for a missing key; a default of no use is an error only where it is needed."""
        if "default" not in field:
            return _missing
        made: list[Any] = []

        def default(field: Mapping[str, Any]) -> Any:
            if not made:
                try:
                    made.append(self._defaults.of(field["type"])(field["default"]))
                except NoFit:
                    raise NoFit(field["type"], "nothing, and a default that does not fit", field["name"]) from None
            return made[0]

        return default

    def _array(self, schema: Any) -> Coerce:
        one = self.of(schema["items"])

        def coerce(value: Any) -> Any:
            if type(value) is not list:
                raise NoFit(schema, told(value))
            made: list[Any] = []
            try:
                for each in value:
                    made.append(one(each))  # noqa: PERF401 its length is the index of what does not fit
            except NoFit as misfit:
                raise misfit.under(f"[{len(made)}]") from None
            return made

        return coerce

    def _map(self, schema: Any) -> Coerce:
        one = self.of(schema["values"])

        def coerce(value: Any) -> Any:
            if type(value) is not dict:
                raise NoFit(schema, told(value))
            made = {}
            for key, each in value.items():
                try:
                    made[key] = one(each)
                except NoFit as misfit:
                    raise misfit.under(in_map(key)) from None
            return made

        return coerce

    def _union(self, schema: Sequence[Any]) -> Coerce:
        """A union's value goes on as ``(name, value)`` where it has more branches than null and one other."""
        branches = [(*resolved(branch, self._named), self.of(branch)) for branch in schema]
        others = [branch for branch in branches if branch[0] != "null"]
        nullable = len(others) < len(branches)
        form = self._rules.form
        is_null: Callable[[Any], bool] = (lambda value: value == "") if form == "csv" else (lambda value: value is None)
        if form == "avro-json":
            return _wrapped(schema, others, nullable)
        if form == "default":
            return _first(schema, branches)
        if len(others) == 1 and nullable:
            one = others[0][2]
            return lambda value: None if is_null(value) else one(value)

        def coerce(value: Any) -> Any:
            if nullable and is_null(value):
                return None
            if type(value) is float and value.is_integer():  # rounded, or of an integer's branch: the quick way ends
                raise NoFit(schema, told(value))
            fits: list[tuple[int, str, Any]] = []
            deepest: NoFit | None = None
            for kind, branch, one in others:
                try:
                    fits.append((_rank(kind, branch, value, form), _name(branch), one(value)))
                except NoFit as misfit:
                    if misfit.path and (deepest is None or len(misfit.path) > len(deepest.path)):
                        deepest = misfit
            if not fits:
                raise deepest or NoFit(schema, told(value))
            best = min(rank for rank, _, _ in fits)
            # a cell does not say whether it is a text
            undecided = form == "csv" and any(name == "string" for _, name, _ in fits)
            chosen = [(name, made) for rank, name, made in fits if rank == best or undecided]
            if len(chosen) > 1:
                raise NoFit(schema, f"{told(value)} that fits {' and '.join(name for name, _ in chosen)}")
            return chosen[0] if len(others) > 1 else chosen[0][1]

        return coerce

    # -- what holds none --------------------------------------------------------------------------

    def _leaf(self, kind: str, schema: Any) -> Coerce:
        logical = schema_logical(schema)
        plain = self._rules.form in ("json", "csv")
        if kind in _RANGES:
            of_time = logical in moments.LOGICAL and (kind == "int") == (logical in ("date", "time-millis"))
            return self._integer(kind, schema, logical if of_time and plain else None)
        if kind in _LARGEST:
            return _real(kind, schema)
        if kind == "string":
            return _uuid(schema) if logical == "uuid" else _exactly(str, schema)
        if kind in ("bytes", "fixed"):
            if logical == "decimal" and plain:
                return _decimal(schema)
            return _bytes(schema, self._rules.bytes_as if plain else "latin-1")
        if kind == "enum":
            return _enum(schema)
        return _exactly(bool if kind == "boolean" else type(None), schema)

    def _integer(self, kind: str, schema: Any, logical: str | None) -> Coerce:
        low, high = moments.bounds(logical) if logical else _RANGES[kind]
        assume_utc = self._rules.assume_utc

        def coerce(value: Any) -> Any:
            if type(value) is int:
                whole: int | None = value
            elif logical and type(value) is str:
                try:
                    return moments.number(logical, value.strip(" \t"), assume_utc=assume_utc)
                except ValueError as error:
                    raise NoFit(schema, str(error)) from None
            else:
                whole = _as_whole(value)
            if whole is None:
                raise NoFit(schema, told(value))
            if not low <= whole <= high:
                raise NoFit(schema, f"a number out of the range of {logical or kind}, {low} to {high}")
            return whole

        return coerce


def _missing(field: Mapping[str, Any]) -> Any:
    raise NoFit(field["type"], "nothing: the key is missing, and the schema has no default", field["name"])


def _as_whole(value: Any) -> int | None:
    """A float has been rounded already, where it was read."""
    if type(value) is Decimal and value.is_finite() and value.adjusted() < 40 and value == value.to_integral_value():
        return int(value)
    return None


def _exactly(kind: type, schema: Any) -> Coerce:
    def coerce(value: Any) -> Any:
        if type(value) is not kind:
            raise NoFit(schema, told(value))
        return value

    return coerce


def _real(kind: str, schema: Any) -> Coerce:
    largest = _LARGEST[kind]

    def coerce(value: Any) -> Any:
        if type(value) in (float, int, Decimal):
            try:
                made = float(value)
            except OverflowError:
                made = float("inf")
            if not -largest <= made <= largest or (kind == "float" and abs(made) == largest):
                raise NoFit(schema, f"a number out of the range of {kind}")
            return made
        if value in _NOT_FINITE and type(value) is str:
            return float(value)
        raise NoFit(schema, told(value))

    return coerce


def _uuid(schema: Any) -> Coerce:
    def coerce(value: Any) -> Any:
        if type(value) is not str or not _UUID.fullmatch(value):
            raise NoFit(schema, f"{told(value)} that is no UUID" if type(value) is str else told(value))
        return value

    return coerce


def _enum(schema: Any) -> Coerce:
    symbols = frozenset(schema["symbols"])

    def coerce(value: Any) -> Any:
        if type(value) is not str or value not in symbols:
            raise NoFit(schema, "a text that is none of them" if type(value) is str else told(value))
        return value

    return coerce


def _decimal(schema: Any) -> Coerce:
    scale, precision = schema.get("scale", 0), schema["precision"]
    unit, context = Decimal(1).scaleb(-scale), Context(prec=precision, traps=[Inexact, InvalidOperation])

    def coerce(value: Any) -> Any:
        if type(value) is str:
            stripped = value.strip(" \t")
            number = Decimal(stripped) if len(stripped) < 400 and _NUMBER.fullmatch(stripped) else None
        else:
            number = value if type(value) is Decimal else Decimal(value) if type(value) is int else None
        if number is None:
            raise NoFit(schema, told(value))
        try:
            return number.quantize(unit, context=context)
        except ArithmeticError:
            many = number.adjusted() + 1 > precision - scale
            where = "before the point than its precision" if many else "after the point than its scale"
            raise NoFit(schema, f"a number with more digits {where} holds") from None

    return coerce


def _bytes(schema: Any, bytes_as: str) -> Coerce:
    size = schema["size"] if isinstance(schema, dict) and schema["type"] == "fixed" else None

    def coerce(value: Any) -> Any:
        if type(value) is not str:
            raise NoFit(schema, told(value))
        try:
            made = _decoded(value, bytes_as)
        except (ValueError, binascii.Error):
            raise NoFit(schema, f"a text that is not {bytes_as}") from None
        if size is not None and len(made) != size:
            raise NoFit(schema, f"{len(made)} bytes")
        return made

    return coerce


def _decoded(text: str, bytes_as: str) -> bytes:
    if bytes_as == "base64":
        return base64.b64decode(text, validate=True)
    if bytes_as == "hex":
        if not text.isascii() or (not text.isalnum() and text):
            raise ValueError
        return bytes.fromhex(text)
    return text.encode(bytes_as)


# -- unions -----------------------------------------------------------------------------------------


def _wrapped(union: Sequence[Any], others: Sequence[tuple[str, Any, Coerce]], nullable: bool) -> Coerce:
    """Of Avro's JSON encoding: null, or an object whose only key names the branch."""
    by_name = {_name(branch): one for _, branch, one in others}

    def coerce(value: Any) -> Any:
        if nullable and value is None:
            return None
        if type(value) is not dict or len(value) != 1:
            raise NoFit(union, f'{told(value)}, not {{"the branch\'s name": value}}')
        ((name, inner),) = value.items()
        one = by_name.get(name)
        if one is None:
            raise NoFit(union, "an object whose key names none of them")
        made = one(inner)
        return (name, made) if len(by_name) > 1 else made

    return coerce


def _first(union: Sequence[Any], branches: Sequence[tuple[str, Any, Coerce]]) -> Coerce:
    """Of a default: the first branch that it fits."""
    several = sum(kind != "null" for kind, _, _ in branches) > 1

    def coerce(value: Any) -> Any:
        for kind, branch, one in branches:
            try:
                made = one(value)
            except NoFit:
                continue
            return made if kind == "null" or not several else (_name(branch), made)
        raise NoFit(union, told(value))

    return coerce


def _name(branch: Any) -> str:
    return str(branch.get("name", branch["type"]) if isinstance(branch, dict) else branch)


def _rank(kind: str, branch: Any, value: Any, form: str) -> int:
    """Of the branches that a value fits the lowest is taken: it changes the least."""
    if form == "csv":
        value = text_of_number(value)
    decimal = schema_logical(branch) == "decimal"
    if type(value) in (int, Decimal, float):
        return 2 if decimal else {"int": 0, "long": 1, "double": 3, "float": 4}.get(kind, 5)
    if type(value) is str and form != "csv":
        return 0 if kind == "string" else 1 if kind == "enum" else 2
    return 0


# -- cells ------------------------------------------------------------------------------------------


def _of_cell(one: Coerce, schema: Any) -> Coerce:
    """A record, list or map in a cell is JSON."""

    def coerce(cell: Any) -> Any:
        try:
            value = parse(cell)
        except ValueError as error:
            raise NoFit(schema, f"a cell that is no JSON: {error}") from None
        return one(value)

    return coerce


def _of_text(kind: str, one: Coerce, schema: Any) -> Coerce:
    if kind in ("string", "enum"):
        return one
    number = kind not in ("bytes", "fixed") or schema_logical(schema) == "decimal"
    words: dict[str, Any] = {"true": True, "false": False} if kind == "boolean" else {"": None}

    def coerce(cell: Any) -> Any:
        if kind in ("boolean", "null"):
            return one(words.get(cell.strip(" \t").lower(), cell))
        if not cell:
            raise NoFit(schema, "an empty cell")
        return one(text_of_number(cell) if number else cell)

    return coerce


# -- JSON -------------------------------------------------------------------------------------------


def told(value: Any) -> str:
    if type(value) in (float, Decimal):
        return "a number with a fraction" if _as_whole(value) is None else "a number"
    return _KINDS.get(type(value), kind_of(value))


def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once each."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return made


def no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; as a text, {name!r}, it is taken for a float or double".replace("'", '"'))


_decode = json.JSONDecoder(
    object_pairs_hook=no_twins, parse_float=Decimal, parse_constant=no_constant, strict=True
).decode


def parse(text: str) -> Any:
    """Exact: a number with a fraction is a ``Decimal``.

    Raises:
        ValueError: it is no JSON, or its keys are not there once each; in words.
    """
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ArithmeticError:
        raise ValueError("a number that is too large") from None
