"""The quick way for JSON lines of records: a function made for the schema looks at exact types and changes what must
be changed. Whatever it does not take goes the exact way (``coercing.py``), which decides alone what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from kafka_sr_retry.avro.misfit import resolved, schema_logical

from .coercing import Coercer, no_constant, no_twins

_EXACT = {"string": "str", "boolean": "bool", "int": "int", "long": "int"}
_LARGEST = {"float": "3.4028234663852886e38", "double": "1.7976931348623157e308"}


class NotQuick(Exception):  # noqa: N818
    """The exact way decides."""


def quick(schema: Any, named: Mapping[str, Any], exact: Coercer) -> Callable[[str], Any] | None:
    """From a line to what is written; ``None`` for a schema that is no record.

    Raises, when called: anything, for a line that goes the exact way.
    """
    kind, top = resolved(schema, named)
    if kind != "record":
        return None
    making = _Making(named, exact)
    name = making.record(top)
    space = {"NotQuick": NotQuick, **making.functions}
    exec("\n\n".join(making.sources), space)  # names of ours, and the schema's as literals
    options: dict[str, Any] = {
        "parse_constant": no_constant,
        "parse_float": Decimal if any(map(_is_decimal, making.seen)) else None,
    }
    scan = json.JSONDecoder(object_pairs_hook=no_twins, **options).raw_decode
    check = space[name]
    # each key has its colon: a line with as many colons as the record has fields, which are all there, has none twice
    scan_flat = json.JSONDecoder(**options).raw_decode
    colons = len(top["fields"])

    def read(text: str) -> Any:
        value, end = scan_flat(text) if text.count(":") == colons else scan(text)
        if end != len(text):
            raise NotQuick
        check(value)
        return value

    return read


def _is_decimal(schema: Any) -> bool:
    return bool(schema_logical(schema) == "decimal")


class _Making:
    """The functions of a schema's records: each looks at a dict, and changes it in place."""

    def __init__(self, named: Mapping[str, Any], exact: Coercer) -> None:
        self._named = named
        self._exact = exact
        self._records: dict[str, str] = {}
        self.sources: list[str] = []
        self.functions: dict[str, Any] = {}
        self.seen: list[Any] = list(named.values())

    def record(self, schema: Any) -> str:
        if schema["name"] in self._records:
            return self._records[schema["name"]]
        name = self._records[schema["name"]] = f"record_{len(self._records)}"
        lines = [f"def {name}(v):", f"    if type(v) is not dict or len(v) != {len(schema['fields'])}: raise NotQuick"]
        for field in schema["fields"]:
            place = f"v[{field['name']!r}]"
            lines += [f"    x = {place}", *(f"    {line}" for line in self._field(field["type"], place))]
        self.sources.append("\n".join(lines))
        return name

    def _field(self, schema: Any, place: str) -> list[str]:
        kind, schema = resolved(schema, self._named)
        if kind == "union":
            kinds = [resolved(branch, self._named)[0] for branch in schema]
            if len(schema) == 2 and kinds.count("null") == 1:
                inner = self._field(schema[1 - kinds.index("null")], place)
                return ["if x is not None:", *(f"    {line}" for line in inner)]
        elif kind == "record":
            return [f"{self.record(schema)}(x)"]
        elif kind in _EXACT and not schema_logical(schema):
            return [f"if type(x) is not {_EXACT[kind]}: raise NotQuick"]
        elif kind in _LARGEST:
            largest = _LARGEST[kind]
            # a Decimal, in a schema with decimals, is of neither type
            return [
                f"if type(x) is not float or not -{largest} <= x <= {largest}: {place} = {self._function(schema)}(x)"
            ]
        self._look(schema)
        return [f"{place} = {self._function(schema)}(x)"]

    def _function(self, schema: Any) -> str:
        name = f"exactly_{len(self.functions)}"
        self.functions[name] = self._exact.of(schema)
        return name

    def _look(self, schema: Any) -> None:
        """For decimals, wherever they are; named types are looked at anyway."""
        self.seen.append(schema)
        if isinstance(schema, list):
            for branch in schema:
                self._look(branch)
        elif isinstance(schema, dict):
            for key in ("type", "items", "values"):
                if isinstance(schema.get(key), (dict, list)):
                    self._look(schema[key])
            for field in schema.get("fields", ()):
                self._look(field["type"])
