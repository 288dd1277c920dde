"""Schemas and records whose encoding is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Sku(str):
    """A text that is not exactly ``str``: its record falls back to fastavro."""

    __slots__ = ()


@dataclass(frozen=True)
class Shape:
    """A schema and a record of it; ``falls_back``: whether the compiled function leaves the record to fastavro."""

    name: str
    schema: dict[str, Any]
    record: dict[str, Any]
    falls_back: bool = False


def _record(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    written = [{"name": field, **(kind if "default" in kind else {"type": kind})} for field, kind in fields.items()]
    return {"type": "record", "name": name, "fields": written}


_READING = _record("Reading", {"station": "string", "date": "string", "count": "long"})
_reading = {"station": "Seattle-Tacoma", "date": "2010-01-01 00:00", "count": 39_300}

_ITEM = _record("Item", {"sku": "string", "quantity": "int", "cents": "long"})
_ORDER = _record(
    "Order",
    {
        "id": "string",
        "customer": "long",
        "placed": {"type": "long", "logicalType": "timestamp-millis"},
        "note": ["null", "string"],
        "items": {"type": "array", "items": _ITEM},
        "tags": {"type": "map", "values": "string"},
    },
)
_order = {
    "id": "2026-11-22/000042",
    "customer": 1_048_577,
    "placed": 1_795_305_600_000,
    "note": None,
    "items": [{"sku": f"sku-{n:04}", "quantity": n + 1, "cents": 100 * n + 99} for n in range(10)],
    "tags": {"channel": "web", "campaign": "autumn", "currency": "EUR"},
}
_order_with_a_late_surprise = {**_order, "tags": {**_order["tags"], "currency": Sku("EUR")}}


def _wide() -> tuple[dict[str, Any], dict[str, Any]]:
    """A hundred fields, those of nested records included: seven times what stands below, and nine texts."""
    fields: dict[str, Any] = {f"text{n}": "string" for n in range(9)}
    record: dict[str, Any] = dict.fromkeys(fields, "some text")
    for n in range(7):
        position = _record(f"Position{n}", {"lat": "double", "lon": "double", "place": ["null", "string"]})
        kinds: list[tuple[Any, Any]] = [
            ("string", f"text {n}"),
            ("long", 1000 * n),
            ("double", n / 7),
            ("boolean", n % 2 == 0),
            (["null", "string"], f"perhaps {n}"),
            (["null", "string"], None),
            (["null", "long"], n),
            (["null", {"type": "array", "items": ["null", "string"]}], ["a", None, "b"]),
            (["null", "string", "long", "double"], [None, "x", 5, 0.5][n % 4]),
            (["null", position], {"lat": 47.6, "lon": -122.3, "place": "Seattle"} if n % 2 else None),
        ]
        for kind, value in kinds:
            name = f"field{len(fields)}"
            fields[name], record[name] = kind, value
    return _record("Wide", fields), record


_FLOATS = _record("Floats", {"values": {"type": "array", "items": "double"}})
_TEXT = _record("Text", {"text": "string"})
_DEFAULT = _record("Reading", {"station": "string", "date": "string", "count": {"type": "long", "default": 0}})

SHAPES = (
    Shape("3 fields", _READING, _reading),
    Shape("order of 10 items", _ORDER, _order),
    Shape("100 fields", *_wide()),
    Shape("1,000 floats", _FLOATS, {"values": [n / 3 for n in range(1000)]}),
    Shape("text of 100 KB", _TEXT, {"text": "x" * 100_000}),
    Shape("3 fields, one missing", _DEFAULT, {k: v for k, v in _reading.items() if k != "count"}, falls_back=True),
    Shape("3 fields, a float for the long", _READING, {**_reading, "count": 39_300.0}, falls_back=True),
    Shape("order, last tag a str subclass", _ORDER, _order_with_a_late_surprise, falls_back=True),
)
