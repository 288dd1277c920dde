"""Schemas, values and programs, drawn from bytes: whatever these are, they are read as something."""

from __future__ import annotations

import enum
import gc
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, make_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from kafka_sr_retry.avro.native import _OPS

_T = TypeVar("_T")


class Bytes:
    """Draws from bytes; where they end, always the first."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def below(self, count: int) -> int:
        return int.from_bytes(self.take(1 if count <= 256 else 3), "little") % count

    def choice(self, some: Sequence[_T]) -> _T:
        return some[self.below(len(some))]

    def once_in(self, count: int) -> bool:
        """Not where the bytes have ended."""
        return self.below(count) == count - 1


# -- schemas ---------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h", "-type", "é", "self", "mro")
PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "string", "bytes")
LOGICAL = (("int", "date"), ("int", "time-millis"), ("long", "time-micros"), ("long", "timestamp-millis"),
           ("long", "timestamp-micros"), ("long", "local-timestamp-millis"),
           ("long", "local-timestamp-micros"))  # fmt: skip
SIMPLE = (*PRIMITIVES, "enum", "fixed", "logical", "logical", "uuid", "decimal", "fixed-decimal", "known", "wrapped")
HOLDERS = ("array", "map", "union", "record", "record", "tree")


class Schemas:
    """One schema."""

    def __init__(self, draw: Bytes) -> None:
        self.draw = draw
        self.names: list[str] = []
        self.left = 24

    def of(self, depth: int = 3, *, in_union: bool = False) -> Any:
        self.left -= 1
        kinds = SIMPLE + HOLDERS if depth and self.left > 0 else SIMPLE
        kind = self.draw.choice([each for each in kinds if each != "union"] if in_union else kinds)
        return kind if kind in PRIMITIVES else getattr(self, kind.replace("-", "_"))(depth)

    def named(self, schema: dict[str, Any]) -> dict[str, Any]:
        self.names.append(f"N{len(self.names)}")
        return {"name": self.names[-1], **schema}

    def wrapped(self, _: int) -> Any:
        return {"type": self.draw.choice(PRIMITIVES)}

    def known(self, _: int) -> Any:
        return self.draw.choice(self.names) if self.names else "null"

    def logical(self, _: int) -> Any:
        kind, logical = self.draw.choice(LOGICAL)
        return {"type": kind, "logicalType": logical}

    def uuid(self, _: int) -> Any:
        return {"type": "string", "logicalType": "uuid"}

    def digits(self) -> dict[str, Any]:
        draw = self.draw
        return {"logicalType": "decimal", "precision": draw.choice((4, 1, 2, 9, 17, 18, 19, 38, 70_000)),
                "scale": draw.choice((0, 1, 2, 4, 9, 17, 18, 30))}  # fmt: skip

    def decimal(self, _: int) -> Any:
        return {"type": "bytes", **self.digits()}

    def fixed_decimal(self, depth: int) -> Any:
        return {**self.fixed(depth), **self.digits()}

    def fixed(self, _: int) -> Any:
        return self.named({"type": "fixed", "size": self.draw.choice((4, 0, 1, 2, 7, 8, 9, 16, 1200))})

    def enum(self, _: int) -> Any:
        return self.named({"type": "enum", "symbols": [f"S{number}" for number in range(self.draw.choice((2, 1, 70)))]})

    def array(self, depth: int) -> Any:
        return {"type": "array", "items": self.of(depth - 1)}

    def map(self, depth: int) -> Any:
        return {"type": "map", "values": self.of(depth - 1)}

    def union(self, depth: int) -> Any:
        return [self.of(depth - 1, in_union=True) for _ in range(self.draw.below(4) + 1)]

    def record(self, depth: int, *more: Mapping[str, Any]) -> Any:
        draw = self.draw
        schema = self.named({"type": "record"})
        fields: list[Any] = []
        for number in range(draw.below(5)):
            field = {"name": draw.choice(NAMES) if draw.once_in(8) else NAMES[number], "type": self.of(depth - 1)}
            if draw.once_in(4):
                field["default"] = draw.choice((None, 0, 1.5, "", "S0", [], {}, True, 2**40))
            fields.append(field)
        return {**schema, "fields": [*fields, *more]}

    def tree(self, depth: int) -> Any:
        own = f"N{len(self.names)}"
        again = self.draw.choice((["null", own], {"type": "array", "items": own}, {"type": "map", "values": own},
                                  ["null", {"type": "array", "items": ["null", own]}]))  # fmt: skip
        return self.record(depth, {"name": "again", "type": again})


# -- what runs while it is written -----------------------------------------------------------------


ERRORS = (KeyError, AttributeError, RuntimeError, KeyboardInterrupt, MemoryError, RecursionError, StopIteration,
          SystemExit, ValueError, TypeError, OverflowError)  # fmt: skip


class Stage:
    """What the objects of a value act on, once ``armed``.

    Attributes:
        acted: whether one of them has, or might.
        holders: lists and dicts of the value.
        raised: by them.
        write: the writer, for a value within a value.
    """

    def __init__(self, draw: Bytes) -> None:
        self.draw = draw
        self.armed = self.acted = False
        self.left = 20
        self.holders: list[Any] = []
        self.raised: list[BaseException] = []
        self.write: Callable[[Any, Any], bytes] | None = None
        self.actors: list[dict[str, Any]] = []

    def act(self) -> None:
        if not self.armed or self.left <= 0:
            return
        self.left -= 1
        self.draw.choice((self.empty, self.nothing, self.add, self.replace, self.raises, self.raises, self.collect,
                          self.again, self.turn, self.move))()  # fmt: skip

    def nothing(self) -> None:
        pass

    def holder(self) -> Any:
        return self.draw.choice(self.holders) if self.holders else []

    def empty(self) -> None:
        self.holder().clear()

    def add(self) -> None:
        holder = self.holder()
        for number in range(self.draw.choice((1, 9, 90))):
            if type(holder) is list:
                holder.append([])
            else:
                holder[f"{number}"] = {}

    def replace(self) -> None:
        """All items, by others of no other type."""
        holder = self.holder()
        keys = range(len(holder)) if type(holder) is list else [*holder]
        for key in keys:
            with suppress(TypeError):
                holder[key] = type(holder[key])()

    def move(self) -> None:
        """A dict's keys get another order, a list's items one place less."""
        holder = self.holder()
        if holder and type(holder) is list:
            holder.pop(0)
        elif holder:
            key = next(iter(holder))
            holder[key] = holder.pop(key)

    def turn(self) -> None:
        """An object gets another class."""
        for holder in self.holders:
            for item in holder if type(holder) is list else holder.values():
                if isinstance(item, Acts):
                    with suppress(TypeError):
                        item.__class__ = Empty

    def raises(self) -> None:
        error = self.draw.choice(ERRORS)()
        self.raised.append(error)
        raise error

    def collect(self) -> None:
        gc.collect(0)

    def again(self) -> None:
        if self.write is not None:
            with suppress(Exception):
                self.write(self.holder(), None)

    def forget(self) -> None:
        """What would hold a value in a circle."""
        self.armed = False
        self.write = None
        self.raised.clear()
        self.holders.clear()
        for each in self.actors:
            each.clear()
        self.actors.clear()


class Acts:
    """Attributes of objects of its classes act when they are read."""

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        if "stage" in own and not name.startswith("__"):
            own["stage"].act()
        return object.__getattribute__(self, name)


class Empty(Acts):
    pass


class Key:
    def __init__(self, stage: Stage, like: str) -> None:
        self.stage, self.like = stage, like

    def __hash__(self) -> int:
        return hash(self.__dict__.get("like"))

    def __eq__(self, other: object) -> bool:
        if "stage" in self.__dict__:
            self.stage.act()
        return False


class Zone(tzinfo):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def utcoffset(self, when: Any) -> Any:
        if "stage" in self.__dict__:
            self.stage.act()
        return timedelta(hours=1)

    dst = tzname = utcoffset  # type: ignore[assignment]


class Ends:
    """Acts at its end, which is when a holder lets it go, or its circle is collected."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def __del__(self) -> None:
        stage = self.__dict__.get("stage")
        if stage is not None:
            with suppress(BaseException):
                stage.act()


class Index:
    def __init__(self, stage: Stage, number: int) -> None:
        self.stage, self.number = stage, number

    def __index__(self) -> int:
        if "stage" in self.__dict__:
            self.stage.act()
        return self.__dict__.get("number", 0)

    __int__ = __index__

    def __bool__(self) -> bool:
        return bool(self.__index__())

    def __call__(self, *_: Any) -> Any:
        return self.__index__()


@lru_cache(maxsize=100)
def class_of(names: tuple[str, ...], *, acts: bool = False) -> Callable[..., Any]:
    try:
        return make_dataclass("Some", names, bases=(Acts,) if acts else ())
    except TypeError:  # no name of an attribute, or one that every class has
        return lambda *values: {**dict(zip(names, values, strict=True))}


IDENTIFIERS = [name for name in (*NAMES, "again", "more") if name.isidentifier() and name != "mro"]
CROWD = [make_dataclass("Some", IDENTIFIERS) for _ in range(70)]


def crowd_of(value: Any) -> list[Any]:
    """The same object, of more classes than are remembered."""
    made: list[Any] = []
    if type(value).__name__ == "Some":
        for kind in CROWD:
            one = kind.__new__(kind)
            one.__dict__.update(value.__dict__)
            made.append(one)
    return made


# -- values ----------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Items(list[Any]):
    pass


class Fields(dict[Any, Any]):
    pass


class Mood(str, enum.Enum):
    GOOD = "S0"


class Rank(enum.IntEnum):
    ONE = 1


class Same(type):
    """Its classes call themselves equal."""

    def __eq__(cls, other: object) -> bool:
        return True

    def __hash__(cls) -> int:
        return 1


class Pair(NamedTuple):
    a: Any
    b: Any


UTC = timezone.utc
NUMBERS = tuple(sign * 2**bits + more for bits in (0, 6, 7, 13, 14, 20, 27, 31, 32, 34, 41, 48, 55, 62, 63)
                for sign in (1, -1) for more in (0, -1, 1))  # fmt: skip
REALS = (0.0, -0.0, 1.5, 3.4028235e38, 3.4028236e38, 1e39, -1e300, 5e-324, float("inf"), float("nan"), 1, 2**53 + 1,
         10**400)  # fmt: skip
TEXTS = ("", "a", "é", "\ud800", "\U0001f600", "\0", "x" * 1010, "é" * 600, "y" * 5000)
DECIMALS = tuple(map(Decimal, (
    "0", "-0", "0.00", "1", "-1", "1.27", "1.28", "-1.28", "-1.29", "12.5", "9" * 17, "9" * 18, "9" * 19,
    "-" + "9" * 18, "1E2", "0.001", "1E-9", "-0.01", "NaN", "Infinity", "655.36", "0.0000000000000001",
    "922337203685477580.8", "-92233720368547758.08", "32767", "-32768", "8388608",
)))  # fmt: skip
WHOLE_UUIDS = (0, 1, 2**128 - 1, 2**64, 0x12345678123456781234567812345678)
UUID_NUMBERS = (-1, 2**128, 2**200, "5", 5.0, True, None, Number(7))
ODD = (
    None, True, 0, -1, 2**70, 1.5, "", "a", b"", b"1234", bytearray(b"x"), memoryview(b"xy"), (), ("string", "x"),
    ("null", None), ("N0", {}), ("int", 1), Text("a"), Number(1), Mood.GOOD, Rank.ONE, Pair(1, 2), 1j, ..., int,
    object(), Decimal("1.5"), date(2020, 1, 2), time(1, 2), datetime(2020, 1, 2, tzinfo=UTC),
    UUID(int=5), frozenset((1,)),
    range(3), "2020-01-02", "00000000-0000-0000-0000-000000000005", MappingProxyType({"a": 1}),
)  # fmt: skip
MAKES: tuple[Callable[[], Any], ...] = (
    list, dict, Items, Fields, lambda: Fields(a=1), lambda: Items([1]), lambda: OrderedDict(a=1), lambda: deque([1]),
    lambda: iter([1]), lambda: (each for each in (1, 2)), lambda: {"-type": "N0"}, lambda: {"-type": 5, "a": 1},
    lambda: {1: 2}, lambda: [[]], lambda: [None], lambda: {"a": {}}, lambda: {1}, lambda: bytearray(b"1234"), object,
    Same("Called", (), {"a": 1}),
)  # fmt: skip


FORMS: dict[type, tuple[Callable[[Any], Any], ...]] = {
    list: (tuple, Items, iter, deque),
    bytes: (bytearray, memoryview),
    dict: (Fields, OrderedDict, MappingProxyType),
    str: (Text, lambda value: value.encode() if value.isascii() else Text(value)),
    int: (Number,),
}


class OfAnObject(dict[str, Any]):
    """Its fields. No other form of it is made, as there is none of the object."""


@dataclass
class Values:
    """Values of one schema.

    Attributes:
        draw: what decides.
        stage: for what acts; ``None`` where nothing does.
        odd: one in how many is something else than the schema has; 0 for none.
        as_dicts: no object holds its fields as attributes.
    """

    draw: Bytes
    named: Mapping[str, Any]
    stage: Stage | None
    odd: int
    as_dicts: bool = False
    left: int = 60

    def of(self, schema: Any) -> Any:
        self.left -= 1
        if self.left < -60:  # a record that holds itself
            return None
        if self.odd and self.draw.once_in(self.odd):
            return self.strange(schema)
        if isinstance(schema, list):
            return self.of(self.draw.choice(schema))
        if isinstance(schema, str):
            return self.of(self.named[schema]) if schema in self.named else getattr(self, schema)(schema)
        kind = schema["type"]
        if "logicalType" in schema and not self.draw.once_in(4):
            return self.object(schema)
        return self.of(kind) if isinstance(kind, (list, dict)) else getattr(self, kind)(schema)

    def strange(self, schema: Any) -> Any:
        draw, stage = self.draw, self.stage
        how = draw.below(6 if stage is None else 9)
        if how < 2:
            return draw.choice(ODD)
        if how == 2:
            return draw.choice(MAKES)()
        if how == 3:  # what it might be, in another form
            value, form = self.but(schema), draw.below(12)
            forms = FORMS.get(type(value), ())
            return forms[form % len(forms)](value) if forms else value
        if how == 4:
            return draw.choice(("int", "string", "N0", "N1")), self.but(schema)
        if how == 5:
            return self.raw_uuid(draw.choice(UUID_NUMBERS))
        assert stage is not None
        stage.acted = True
        if how == 6:
            return self.acting(Ends(stage))
        if how == 7:
            return datetime(2026, 1, 1, tzinfo=self.acting(Zone(stage)))
        return self.acting(Index(stage, draw.choice(NUMBERS)))

    def but(self, schema: Any) -> Any:
        before, self.odd = self.odd, 0
        try:
            return self.of(schema)
        finally:
            self.odd = before

    def acting(self, made: Any) -> Any:
        assert self.stage is not None
        self.stage.actors.append(made.__dict__)
        return made

    def held(self, holder: Any) -> Any:
        if self.stage is not None:
            self.stage.holders.append(holder)
        return holder

    def null(self, _: Any) -> Any:
        return None

    def boolean(self, _: Any) -> Any:
        return self.draw.once_in(2)

    def number(self, bits: int) -> int:
        draw = self.draw
        if draw.once_in(3):
            return int.from_bytes(draw.take(bits // 8), "little", signed=True)
        found = draw.choice(NUMBERS)
        return found if self.odd or -(2 ** (bits - 1)) <= found < 2 ** (bits - 1) else 1

    def int(self, _: Any) -> Any:
        return self.number(32)

    def long(self, _: Any) -> Any:
        return self.number(64)

    def double(self, _: Any) -> Any:
        return self.draw.choice(REALS) if not self.draw.once_in(3) else float(self.number(64))

    float = double

    def string(self, _: Any) -> Any:
        if self.draw.once_in(3):
            return self.draw.take(self.draw.below(200)).decode("utf-16" if self.odd else "utf-8", "replace")
        return self.draw.choice(TEXTS)

    def bytes(self, _: Any) -> Any:
        return bytes(self.draw.choice((0, 1, 63, 64, 1015, 1020, 1024, 4000)))

    def fixed(self, schema: Any) -> Any:
        return b"\x80" * (schema["size"] + (self.draw.once_in(8) if self.odd else 0))

    def enum(self, schema: Any) -> Any:
        return self.draw.choice(schema["symbols"]) if not (self.odd and self.draw.once_in(8)) else "none"

    def count(self) -> int:
        """Of items."""
        if self.left <= 0:
            return 0
        return self.draw.choice((1, 0, 2, 3, 5, 70))

    def array(self, schema: Any) -> Any:
        items = self.held([])
        count = self.count()
        items += [self.of(schema["items"]) for _ in range(min(count, 5))]
        if count > 5:
            items += items[-1:] * (count - len(items))
        return tuple(items) if self.draw.once_in(8) else items

    def map(self, schema: Any) -> Any:
        pairs, item = self.held({}), None
        for number in range(self.count()):
            key: Any = f"k{number}" if number or not self.draw.once_in(4) else self.draw.choice(TEXTS)
            if self.odd and self.draw.once_in(16):
                key = self.draw.choice((5, Text("a"), None, b"a"))
            if number < 5:
                item = self.of(schema["values"])
            pairs[key] = item
            if self.stage is not None and self.draw.once_in(8):
                self.stage.acted = True
                pairs[self.acting(Key(self.stage, "k1"))] = 1
        return pairs

    def record(self, schema: Any) -> Any:
        draw, stage = self.draw, self.stage
        names = [field["name"] for field in schema["fields"]]
        if self.odd and names and draw.once_in(6):
            names.remove(draw.choice(names))
        if draw.once_in(8):
            names.reverse()
        types = {field["name"]: field["type"] for field in schema["fields"]}
        form = draw.below(6)
        fields = self.held({})
        if stage is not None and names and draw.once_in(4):
            stage.acted = True
            fields[self.acting(Key(stage, draw.choice(names)))] = 1
        for name in names:
            fields["".join([*name]) if form == 1 else name] = self.of(types[name])
        if draw.once_in(16):
            fields["more"] = 1
        if form > 3 and all(type(name) is str for name in fields):
            if self.as_dicts:
                return OfAnObject(fields)
            if stage is None:
                return class_of(tuple(fields))(*fields.values())
            made = class_of(tuple(fields), acts=True)(*fields.values())
            if isinstance(made, Acts):
                stage.acted = True
                own = object.__getattribute__(made, "__dict__")
                own["stage"] = stage
                stage.actors.append(own)
            return made
        return fields

    error = record

    def object(self, schema: Any) -> Any:
        draw, stage = self.draw, self.stage
        kind, base = schema["logicalType"], schema["type"]
        if stage is not None and draw.once_in(4) and kind.startswith("t"):
            stage.acted = True
            zone = self.acting(Zone(stage))
            return time(1, 2, tzinfo=zone) if kind.startswith("time-") else datetime(2026, 1, 1, tzinfo=zone)
        if kind == "uuid":
            return self.raw_uuid(draw.choice(UUID_NUMBERS if self.odd and draw.once_in(4) else WHOLE_UUIDS))
        if kind == "decimal":
            if draw.once_in(3):
                return Decimal(int.from_bytes(draw.take(8), "little", signed=True)).scaleb(-schema.get("scale", 0))
            return draw.choice(DECIMALS)
        if kind == "date":
            return draw.choice((date(2026, 1, 1), date.min, date.max, datetime(2026, 1, 1),
                                datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01"))  # fmt: skip
        if kind.startswith("time-"):
            return draw.choice((time(1, 2, 3, 4), time.max, time(5, tzinfo=UTC)))
        if base == "long":
            return draw.choice((datetime(2026, 1, 1, 1, 1, 1, 999_999, tzinfo=UTC), datetime(1960, 1, 1), datetime.max,
                                datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))))  # fmt: skip
        return None

    def raw_uuid(self, number: Any) -> UUID:
        made = UUID(int=0)
        object.__setattr__(made, "int", number)
        return made


def deepened(draw: Bytes, schema: Any, value: Any) -> Any:
    """A tree's value within one another, below and above what is followed."""
    if not isinstance(schema, dict) or schema["type"] != "record" or not schema["fields"]:
        return value
    last = schema["fields"][-1]
    if last["name"] != "again" or not draw.once_in(3):
        return value
    is_dict = type(value) is dict or type(value) is OfAnObject  # a class may call itself equal to them
    own = value if is_dict else getattr(value, "__dict__", None)
    if own is None:
        return value
    fields = {name: each for name, each in own.items() if name != "stage"}
    for _ in range(draw.choice((7, 8, 9, 48, 49, 50, 98, 99, 100, 101, 300))):
        kind = last["type"][1] if isinstance(last["type"], list) else last["type"]
        around: Any = value
        if isinstance(kind, dict):
            around = [value] if kind["type"] == "array" else {"k": value}
        value = {**fields, "again": around}
    return value


# -- programs --------------------------------------------------------------------------------------

WHAT = (
    None, ..., dict, list, str, int, float, bytes, Decimal, UUID, datetime, Number, "a", "b", {}, {"a": 0},
    {"a": 2**70}, {"a": 1, "b": 2}, {Text("a"): 1}, str.upper, 5, (), lambda value, schema: value,
    lambda value, schema: 5, lambda value, schema: "a",
)  # fmt: skip
BAD = (None, -1, 2**31, 2**63 - 1, -(2**63), 2**64, (), "a", 1.5, [], (0,), (6,), (-1,), (2**70,), ("a",), (None,) * 9,
       (2**20,), (True,))  # fmt: skip
SIZES = (0, 1, 2, 3, 4, 9, 1100, 2**17, 2**50)


OPS = tuple(_OPS)


def any_node(draw: Bytes, count: int) -> tuple[Any, ...]:
    """Mostly of the sizes that are asked."""
    op = draw.below(len(_OPS))
    name, fields = OPS[op], draw.below(4)
    holds, is_logical = name in ("record", "union"), op >= _OPS["logical"]
    single = is_logical or name in ("array", "map")
    names = tuple(draw.choice("abcd") for _ in range(fields)) if name == "record" else ()
    more = fields if holds else 3 + (name == "moment") if is_logical else name == "enum"
    objects = names + tuple(draw.choice(WHAT) for _ in range(more))
    nodes = tuple(draw.below(count) for _ in range(fields if holds else single))
    counted = fields if name == "union" else {"decimal": 2, "moment": 2, "time": 1}.get(name, 0)
    numbers = tuple(draw.below(300) for _ in range(counted))
    return op, draw.once_in(2), fields if holds else draw.choice(SIZES), objects, nodes, numbers


def spoilt(draw: Bytes, nodes: tuple[Any, ...], stage: Stage | None) -> tuple[Any, ...]:
    """With up to three places changed."""
    made: list[Any] = [*nodes]
    for _ in range(draw.below(4)):
        at = draw.below(len(made))
        if type(made[at]) is not tuple or draw.once_in(32):
            made[at] = draw.choice((None, (), [], made[at], (0, False, 0, (), ())))
            continue
        node = [*made[at]]
        part = draw.below(len(node)) if node else 0
        if node and type(node[part]) is tuple and node[part] and not draw.once_in(4):
            inner = [*node[part]]
            numbers = (draw.below(len(made)), -1, len(made), len(made) + 1, 2**63 - 1, 2**20, 7)
            inner[draw.below(len(inner))] = draw.choice(numbers if draw.once_in(2) else WHAT)
            node[part] = tuple(inner)
        elif node:
            node[part] = draw.below(20) if draw.once_in(2) else draw.choice(BAD)
            if stage is not None and part < 3:
                stage.acted = True
                index = Index(stage, draw.below(17))
                stage.actors.append(index.__dict__)
                node[part] = index
        made[at] = tuple(node)
    return () if draw.once_in(64) else tuple(made)


def any_value(draw: Bytes, depth: int = 4) -> Any:
    """For a program that no schema made."""
    how = draw.below(10)
    if how == 0 or not depth:
        return draw.choice(ODD)
    if how == 1:
        return draw.choice(NUMBERS)
    if how == 2:
        return draw.choice((*TEXTS, *REALS, *DECIMALS))
    inside = [any_value(draw, depth - 1) for _ in range(draw.below(4))]
    if how < 5:
        return inside if how == 3 else tuple(inside)
    fields = {**dict(zip("abcd", inside, strict=False))}
    return class_of(tuple(fields))(*inside) if how == 5 else fields


def iterate(value: Any) -> Iterator[Any]:
    """All that a program's nodes hold."""
    yield value
    if type(value) in (tuple, list):
        for each in value:
            yield from iterate(each)
    elif type(value) is dict:
        for key, each in value.items():
            yield key
            yield from iterate(each)
