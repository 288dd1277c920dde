"""Objects of all kinds, made anew for each use."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import types
import uuid
import weakref
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple
from unittest import mock

HIDDEN = "zq-hidden-value"
"""Stands in values and in what they raise: an error must not show it."""


class Ends(BaseException):
    """Is no ``Exception``: it belongs to whoever raised it."""


ERRORS: list[type[BaseException]] = [
    RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, StopIteration, RecursionError,
    MemoryError,
    OverflowError, ZeroDivisionError, AssertionError, OSError, UnicodeError, NotImplementedError, LookupError, Ends,
]  # fmt: skip
DUNDERS = [
    "__iter__", "__len__", "__getitem__", "__getattr__", "__getattribute__", "__eq__", "__hash__", "__bool__",
    "__str__",
    "__repr__", "__int__", "__index__", "__float__", "__bytes__", "__contains__", "__next__", "__length_hint__",
    "__format__",
    "__reversed__", "__dir__", "__neg__", "__lt__", "__sub__", "__call__", "__complex__", "__round__", "__trunc__",
]  # fmt: skip
METHODS = ["items", "keys", "values", "get", "encode", "adjusted", "as_tuple", "isoformat", "utcoffset", "timestamp",
    "toordinal",
           "copy", "tobytes", "hex", "__copy__", "__reduce_ex__", "__dict__", "__class__", "__dataclass_fields__",
           "__attrs_attrs__", "__pydantic_fields__", "__fields__", "model_fields", "__slots__", "__annotations__",
           "__pydantic_extra__", "root", "__pydantic_root_model__", "name", "value", "tzinfo", "scale", "hour",
           "year"]  # fmt: skip
BASES: list[type] = [object, object, dict, list, str, int, float, bytes, tuple, set, collections.OrderedDict, bytearray,
                     collections.UserDict, collections.UserList, decimal.Decimal, datetime.datetime, datetime.date,
                     datetime.time, uuid.UUID, array.array]  # fmt: skip

_FILLED: dict[type, tuple[Any, ...]] = {
    dict: ({"id": 1},), list: ([1],), str: ("x",), int: (1,), float: (1.5,), bytes: (b"x",), tuple: ((1, 2),),
    set: ([1],),
    collections.OrderedDict: ({"id": 1},), bytearray: (b"x",), collections.UserDict: ({"id": 1},),
    collections.UserList: ([1],), decimal.Decimal: ("1.5",), datetime.datetime: (2026, 1, 2), datetime.date: (2026, 1,
        2),
    datetime.time: (1, 2), uuid.UUID: ("0" * 32,), array.array: ("i", [1]),
}  # fmt: skip


def raising(draw: Random) -> Any:
    """An object of some class whose methods raise, or give what they should not."""
    base = draw.choice(BASES)
    error = draw.choice(ERRORS)
    names = draw.sample([*DUNDERS, *METHODS], draw.choice([1, 1, 2, 5]))
    if draw.random() < 0.05:
        names = list(DUNDERS)

    def raises(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error(HIDDEN)

    gives = draw.choice(
        [raises, raises, raises, lambda self, *a, **k: draw.choice([None, 5, "", -1, [], self, {}, 2**70, b"", "x"])]
    )
    body: dict[str, Any] = {}
    for name in names:
        is_attribute = name in METHODS[METHODS.index("__dict__") :]
        if name in ("__slots__", "__dict__", "__annotations__"):
            continue
        body[name] = (
            (property(gives) if draw.random() < 0.7 else draw.choice([None, 5, (), {"id": None}]))
            if is_attribute
            else gives
        )
    made = type("Odd", (base,), body)
    filled = _FILLED.get(base, ())
    try:
        return made(*filled)
    except BaseException:  # noqa: BLE001
        return base.__new__(made) if base is object else base(*filled)


class Meta(type):
    """A class that does not tell its name, or what it is."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__mro__", "__module__", "__dataclass_fields__", "__iter__"):
            raise RuntimeError(HIDDEN)
        return super().__getattribute__(name)

    def __instancecheck__(cls, instance: Any) -> bool:
        raise RuntimeError(HIDDEN)


class Nameless(metaclass=Meta):
    id = 1


class Liar:
    """Says that it is another class."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._kind


class Zone(datetime.tzinfo):
    def __init__(self, offset: Any) -> None:
        self.offset = offset

    def utcoffset(self, when: Any) -> Any:
        if isinstance(self.offset, BaseException):
            raise self.offset
        return self.offset

    dst = tzname = utcoffset  # type: ignore[assignment]


@dataclasses.dataclass
class Some:
    id: Any = 1
    s: Any = "x"
    again: Any = None


class Pair(NamedTuple):
    id: Any
    s: Any


class Colour(str, enum.Enum):
    RED = "S0"


class Many(enum.IntEnum):
    ONE = 1


class Hinted:
    """An iterator that tells a wrong length."""

    def __init__(self, hint: Any) -> None:
        self.hint, self.left = hint, 2

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return 1

    def __length_hint__(self) -> Any:
        return self.hint


class Long(list[Any]):
    def __len__(self) -> int:
        return 2**40


class Shy(dict[Any, Any]):
    """Holds more than it shows."""

    def items(self) -> Any:
        return {}.items()

    def keys(self) -> Any:
        return {}.keys()

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Missing(dict[Any, Any]):
    def __missing__(self, key: Any) -> Any:
        return HIDDEN


def itself(kind: type) -> Any:
    made: Any = kind()
    if kind is list:
        made.append(made)
    else:
        made |= {"id": made, "again": made, "s": made}
    return made


def breaks_off(error: type[BaseException]) -> Iterator[int]:
    yield 1
    raise error(HIDDEN)


def released() -> memoryview:
    view = memoryview(b"xxxx")
    view.release()
    return view


_alive = Some()
UTC = datetime.timezone.utc
Make = Callable[[], Any]

MAKERS: list[Make] = [
    *[lambda each=each: each for each in (
        None, True, False, 0, -1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2**100_000, 1.5, -0.0, float("nan"),
        float("inf"),
        1e39, 1e308, "", HIDDEN, "\ud800", "\0", "x" * 1_000_000, b"", b"x", HIDDEN.encode(), (), (1,), (1, 2), (1, 2,
            3),
        ("string", HIDDEN), ("null", None), ("R", {}), (None, None), ((), ()), [], {}, {1: 2}, {None: 1},
        {"-type": "R"},
        {"-type": 5}, {"-type": None}, {(1, 2): 3}, {"\ud800": 1}, {"x" * 100_000: HIDDEN}, ..., NotImplemented, 1j,
        object, int, len,
        Some, types, range(3), range(10**12, 10**12 + 2), fractions.Fraction(1, 3),
        decimal.Decimal("NaN"), decimal.Decimal("sNaN"), decimal.Decimal("-Infinity"), decimal.Decimal("1E+999999"),
        decimal.Decimal("1E-999999"), decimal.Decimal("0E+999999999"), decimal.Decimal("-0"),
        decimal.Decimal("1.234567890123"),
        decimal.Decimal("1" * 5000), datetime.datetime.min, datetime.datetime.max,
        datetime.datetime.min.replace(tzinfo=UTC),
        datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=23, minutes=59))),
        datetime.date.min,
        datetime.date.max, datetime.time.max, datetime.time(1, tzinfo=UTC), datetime.timedelta.max,
        datetime.datetime(2026, 10, 25, 2, 30, fold=1), uuid.UUID(int=2**128 - 1), "0" * 32, "{" + "0" * 32 + "}",
        "urn:uuid:x",
        "2026-13-45", "2026-01-02T03:04:05Z", frozenset([1]), Colour.RED, Many.ONE, Pair(1, HIDDEN),
    )],
    *[lambda error=error: breaks_off(error) for error in ERRORS],
    *[lambda hint=hint: Hinted(hint) for hint in (0, 5, -1, 2**62, 10**9, "x", None, 2**70)],
    *[lambda kind=kind: Liar(kind) for kind in (dict, list, str, int, float, bytes, type(None), Some, decimal.Decimal,
        datetime.datetime)],
    *[lambda offset=offset: datetime.datetime(2026, 1, 2, tzinfo=Zone(offset)) for offset in (
        None, datetime.timedelta(days=5), 5, "x", RuntimeError(HIDDEN), datetime.timedelta(microseconds=1))],
    *[lambda value=value: Some(value, HIDDEN) for value in (None, "x", 2**70, [], HIDDEN, object())],
    *[lambda kind=kind: itself(kind) for kind in (list, dict)],
    Nameless, Some, object, mock.Mock, mock.MagicMock, lambda: mock.MagicMock(spec=dict),
    lambda: mock.MagicMock(spec=list),
    lambda: weakref.proxy(_alive), lambda: weakref.proxy(Some()), lambda: weakref.ref(_alive), released, Long,
    lambda: Long([1]),
    lambda: Shy(id=1, s=HIDDEN), lambda: Missing(id=1), lambda: collections.defaultdict(dict, id=1), lambda: iter([1,
        2]),
    lambda: (n for n in (1, 2)), lambda: map(int, "12"), lambda: zip("a", [1], strict=True), lambda: reversed([1]),
    lambda: {1, 2},
    lambda: {"a": 1}.keys(), lambda: {"a": 1}.items(), lambda: {"id": 1}.values(),
    lambda: types.MappingProxyType({"id": 1}),
    lambda: types.SimpleNamespace(id=1, s=HIDDEN), lambda: collections.ChainMap({"id": 1}),
    lambda: collections.deque([1], 1),
    lambda: array.array("d", [1.5]), lambda: array.array("u", "x"), lambda: bytearray(b"xxxx"),
    lambda: memoryview(b"xxxx"),
    lambda: memoryview(b"xxxxxxxx")[::2], lambda: memoryview(array.array("i", [1])), lambda: collections.Counter("aab"),
    lambda: type("é\n" + HIDDEN[:2], (), {})(), lambda: Some(Some(Some())), lambda: [HIDDEN] * 1000,
    lambda: {"id": {"id": {}}},
    lambda: (lambda: 5), lambda: type("T", (), {"__iter__": None})(), lambda: type("T", (dict,),
        {"__contains__": None})(),
    lambda: type("T", (), {"__slots__": ("id",)})(), lambda: type("T", (Some,), {"id": property(lambda self: 1 / 0)}),
]  # fmt: skip


def odd(draw: Random) -> Make:
    """What makes an odd object, the same each time."""
    if draw.random() < 0.45:
        seed = draw.random()
        return lambda: raising(Random(seed))
    return draw.choice(MAKERS)
