"""Schemas and records whose encoding is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel


class Sku(str):
    """A text that is not exactly ``str``."""

    __slots__ = ()


@dataclass(frozen=True)
class Shape:
    """A schema and a record of it.

    Attributes:
        given: the object that our serializers get in place of the dict, as does Confluent's, with ``to_dict``.
    """

    name: str
    schema: dict[str, Any] | list[Any]
    record: dict[str, Any]
    given: Any = None
    to_dict: Callable[[Any, Any], Any] | None = None

    @property
    def object(self) -> Any:
        return self.record if self.given is None else self.given


def _record(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    written = [
        {"name": field, **(kind if isinstance(kind, dict) and "default" in kind else {"type": kind})}
        for field, kind in fields.items()
    ]
    return {"type": "record", "name": name, "fields": written}


def _nullable(kind: Any) -> dict[str, Any]:
    return {"type": ["null", kind], "default": None}


def _logical(kind: str, logical: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical, **more}


_READING = _record("Reading", {"station": "string", "date": "string", "count": "long"})
_reading = {"station": "Seattle-Tacoma", "date": "2010-01-01 00:00", "count": 39_300}

_ITEM = _record("Item", {"sku": "string", "quantity": "int", "cents": "long"})
_ORDER = _record(
    "Order",
    {
        "id": "string",
        "customer": "long",
        "placed": _logical("long", "timestamp-millis"),
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


def _very_wide() -> tuple[dict[str, Any], dict[str, Any]]:
    kinds: list[Any] = ["long", "string", ["null", "double"], {"type": "array", "items": "int"}]
    values = (1, "tea", 4.5, [1, 2])
    names = [f"field{n}" for n in range(1000)]
    fields = {name: kinds[n % 4] for n, name in enumerate(names)}
    return _record("VeryWide", fields), {name: values[n % 4] for n, name in enumerate(names)}


_FLOATS = _record("Floats", {"values": {"type": "array", "items": "double"}})
_TEXT = _record("Text", {"text": "string"})
_DEFAULT = _record("Reading", {"station": "string", "date": "string", "count": {"type": "long", "default": 0}})

# -- objects --------------------------------------------------------------------------------------


@dataclass
class Item:
    sku: str
    quantity: int
    cents: int


@dataclass
class Order:
    id: str
    customer: int
    placed: int
    note: str | None
    items: list[Item]
    tags: dict[str, str]


class ItemModel(BaseModel):
    sku: str
    quantity: int
    cents: int


class OrderModel(BaseModel):
    id: str
    customer: int
    placed: int
    note: str | None
    items: list[ItemModel]
    tags: dict[str, str]


class Status(str, Enum):
    OPEN = "OPEN"
    PAID = "PAID"
    SENT = "SENT"


_order_object = Order(**{**_order, "items": [Item(**item) for item in _order["items"]]})
_STATES = _record(
    "States",
    {
        "id": "string",
        "status": "string",
        "state": {"type": "enum", "name": "State", "symbols": [status.value for status in Status]},
        "at": "long",
    },
)
_states = {"id": "2026-11-22/000042", "status": Status.PAID, "state": Status.SENT, "at": 1_795_305_600_000}

# -- what comes from databases and browsers -------------------------------------------------------


def _envelope() -> tuple[dict[str, Any], dict[str, Any]]:
    """As Debezium's Avro converter writes a change of a row."""
    row = _record(
        "Value",
        {
            "id": "int",
            "first_name": "string",
            "last_name": "string",
            "email": "string",
            "phone": _nullable("string"),
            "balance": _nullable("double"),
            "updated_at": _nullable(
                {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.Timestamp"}
            ),
            "active": _nullable("boolean"),
        },
    )
    texts = ("version", "connector", "name", "db", "table", "file")
    source = _record(
        "Source",
        {
            **dict.fromkeys(texts, "string"),
            "ts_ms": "long",
            "snapshot": {"type": ["string", "null"], "default": "false"},
            "sequence": _nullable("string"),
            "server_id": "long",
            "gtid": _nullable("string"),
            "pos": "long",
            "row": "int",
            "thread": _nullable("long"),
            "query": _nullable("string"),
        },
    )
    block = _record("block", {"id": "string", "total_order": "long", "data_collection_order": "long"})
    envelope = _record(
        "Envelope",
        {
            "before": _nullable(row | {"namespace": "dbserver1.inventory.customers"}),
            "after": _nullable("dbserver1.inventory.customers.Value"),
            "source": source | {"namespace": "io.debezium.connector.mysql"},
            "op": "string",
            "ts_ms": _nullable("long"),
            "transaction": _nullable(block | {"namespace": "event"}),
        },
    )
    before = {
        "id": 1004,
        "first_name": "Anne",
        "last_name": "Kretchmar",
        "email": "annek@example.com",
        "phone": None,
        "balance": 1027.5,
        "updated_at": 1_795_305_600_000,
        "active": True,
    }
    record = {
        "before": before,
        "after": {**before, "email": "anne@example.com", "phone": "+49 30 123456"},
        "source": {
            **dict(
                zip(texts, ("2.7.0.Final", "mysql", "dbserver1", "inventory", "customers", "bin.000003"), strict=True)
            ),
            "ts_ms": 1_795_305_600_123,
            "snapshot": "false",
            "sequence": None,
            "server_id": 223_344,
            "gtid": None,
            "pos": 484_123,
            "row": 0,
            "thread": 7,
            "query": None,
        },
        "op": "u",
        "ts_ms": 1_795_305_600_456,
        "transaction": {"id": "file=bin.000003,pos=484001", "total_order": 1, "data_collection_order": 1},
    }
    return envelope | {"namespace": "dbserver1.inventory.customers"}, record


_CLICK = _record(
    "Click",
    {
        "user": "long",
        "session": "string",
        "at": "long",
        "url": "string",
        "referrer": ["null", "string"],
        "x": "int",
        "y": "int",
        "button": {"type": "enum", "name": "Button", "symbols": ["LEFT", "MIDDLE", "RIGHT"]},
        "mobile": "boolean",
        "dwell": "double",
        "experiments": {"type": "array", "items": "string"},
        "params": {"type": "map", "values": "string"},
    },
)
_click = {
    "user": 81_237_461,
    "session": "5f2b8c1e9a7d4f60",
    "at": 1_795_305_600_123,
    "url": "https://shop.example.com/products/tea/earl-grey?sort=price",
    "referrer": "https://shop.example.com/",
    "x": 412,
    "y": 1290,
    "button": "LEFT",
    "mobile": False,
    "dwell": 3.75,
    "experiments": ["checkout-b", "search-a"],
    "params": {"sort": "price", "page": "2", "utm_source": "newsletter"},
}


def _columns() -> tuple[dict[str, Any], dict[str, Any]]:
    """A table's row: every third column is null."""
    kinds: list[tuple[str, Any]] = [("long", 42), ("string", "some text"), ("double", 0.5), ("boolean", True)]
    names = [f"column_{n}" for n in range(300)]
    fields = {name: _nullable(kinds[n % 4][0]) for n, name in enumerate(names)}
    return _record("Row", fields), {name: None if n % 3 == 2 else kinds[n % 4][1] for n, name in enumerate(names)}


def _event(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return _record(name, {"order": "string", "at": "long", **fields})


_EVENTS = [
    _event("Placed", {"customer": "long", "total": "double"}),
    _event("Paid", {"method": "string", "cents": "long"}),
    _event("Packed", {"warehouse": "string", "parcels": "int"}),
    _event("Shipped", {"carrier": "string", "tracking": "string"}),
    _event("Cancelled", {"reason": ["null", "string"], "by": "string"}),
]
_shipped = {"order": "2026-11-22/000042", "at": 1_795_305_600_000, "carrier": "DHL", "tracking": "JJD000390007"}

# -- many of one type -----------------------------------------------------------------------------


def _many(kind: str, values: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return _record("Many", {"values": {"type": "array", "items": kind}}), {"values": values}


def _map(kind: str, values: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    entries = {f"key-{n:05}": value for n, value in enumerate(values)}
    return _record("Map", {"values": {"type": "map", "values": kind}}), {"values": entries}


_EPOCHS = [1_795_305_600_000 + 137 * n for n in range(10_000)]
_STRINGS = [f"a text of {n}" for n in range(10_000)]

_IN_BYTES = _logical("bytes", "decimal", precision=12, scale=2)
_PRICES = _record("Prices", {f"price{n}": _IN_BYTES for n in range(5)})
_AMOUNTS = _record(
    "Amounts",
    {f"price{n}": _logical("fixed", "decimal", name=f"Amount{n}", size=8, precision=12, scale=2) for n in range(5)},
)
_prices = {f"price{n}": Decimal(f"{10**n}.99") for n in range(5)}

_TIMES = _record(
    "Times",
    {
        "day": _logical("int", "date"),
        "opens": _logical("int", "time-millis"),
        "closes": _logical("long", "time-micros"),
        "created": _logical("long", "timestamp-millis"),
        "changed": _logical("long", "timestamp-micros"),
        "local": _logical("long", "local-timestamp-millis"),
    },
)
_times = {
    "day": date(2026, 11, 22),
    "opens": time(8, 30),
    "closes": time(20, 15, 30, 123_456),
    "created": datetime(2026, 11, 22, 12, 30, 15, 123_000, timezone.utc),
    "changed": datetime(2026, 11, 22, 12, 30, 15, 123_456, timezone(timedelta(hours=1))),
    "local": datetime(2026, 11, 22, 12, 30, 15, 123_000),
}
_UUIDS = _record("Uuids", {f"id{n}": _logical("string", "uuid") for n in range(5)})
_uuids = {f"id{n}": UUID(int=0x1234_5678_9ABC_4DEF_8123_4567_89AB_CDEF + n) for n in range(5)}

_NODE = _record("Node", {"value": "long", "left": ["null", "Node"], "right": ["null", "Node"]})


def _tree(depth: int, value: int = 1) -> dict[str, Any] | None:
    if not depth:
        return None
    return {"value": value, "left": _tree(depth - 1, 2 * value), "right": _tree(depth - 1, 2 * value + 1)}


_NUMBERS = _record("Numbers", {f"number{n}": ["int", "long"] for n in range(5)})
_numbers = {f"number{n}": 1000 ** (n + 1) % 2**40 for n in range(5)}


SHAPES = (
    Shape("3 fields", _READING, _reading),
    Shape("order of 10 items", _ORDER, _order),
    Shape("order, as a dataclass", _ORDER, _order, _order_object, lambda order, ctx: asdict(order)),
    Shape("order, as pydantic", _ORDER, _order, OrderModel(**_order), lambda order, ctx: order.model_dump()),
    Shape("Debezium envelope", *_envelope()),
    Shape("click stream", _CLICK, _click),
    Shape("union of 5 events", _EVENTS, _shipped),
    Shape("100 fields", *_wide()),
    Shape("300 nullable columns", *_columns()),
    Shape("1,000 fields", *_very_wide()),
    Shape("1,000 floats", _FLOATS, {"values": [n / 3 for n in range(1000)]}),
    Shape("10,000 small longs", *_many("long", [n % 1000 for n in range(10_000)])),
    Shape("10,000 epoch longs", *_many("long", _EPOCHS)),
    Shape("10,000 strings", *_many("string", _STRINGS)),
    Shape("map of 10,000 longs", *_map("long", _EPOCHS)),
    Shape("map of 10,000 strings", *_map("string", _STRINGS)),
    Shape("text of 100 KB", _TEXT, {"text": "x" * 100_000}),
    Shape("5 decimals in bytes", _PRICES, _prices),
    Shape("5 decimals in fixed", _AMOUNTS, _prices),
    Shape("6 datetimes", _TIMES, _times),
    Shape("5 uuids", _UUIDS, _uuids),
    Shape("tree of 255 nodes", _NODE, _tree(8) or {}),
    Shape("str enums", _STATES, _states),
    Shape("unions of int and long", _NUMBERS, _numbers),
    Shape("3 fields, one missing", _DEFAULT, {k: v for k, v in _reading.items() if k != "count"}),
    Shape("3 fields, a float for the long", _READING, {**_reading, "count": 39_300.0}),
    Shape("order, last tag a str subclass", _ORDER, _order_with_a_late_surprise),
)
