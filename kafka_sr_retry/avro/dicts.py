"""Dicts of objects, for the compiled function, which takes no objects.

Only of objects whose classes declare all fields of their records: what else an object may be is for ``objects.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from operator import attrgetter
from typing import Any

from .attributes import are_fields, by_class
from .parts import SURPRISES
from .text import Write, WriteOther
from .types import Type, Types

Make = Callable[[Any, Iterator[None]], Any]
"""(value, a step for each object): an object of such a class becomes a dict, and so does each one in it; any other
value stays as it is."""

MOST = 10_000
"""Objects that are made dicts in one value: those that share others may come to twice as many with each level."""

_CLASSES = 64
"""That each record remembers."""


def maker(schema: Any, named: Mapping[str, Any]) -> Make:
    """What makes dicts of a schema's objects.

    Args:
        schema: as ``fastavro.parse_schema`` gives it; a list for a union.
        named: its named types, parsed too.

    Raises:
        Unsuitable: as ``compiled`` does, for whose function it is.
    """
    try:
        return _Makers().of(Types(named).of(schema)) or _as_it_is
    except RecursionError:  # it follows a schema deeper than the compiler
        return _as_it_is


def _as_it_is(value: Any, steps: Iterator[None]) -> Any:
    return value


def by_dicts(writer: Callable[[bytes, WriteOther], Write], make: Make, other: WriteOther) -> WriteOther:
    """What writes objects as dicts, by a compiled function. What this does not take goes to ``other`` as it was, which
    knows of an object's type.
    """

    def write_object(value: Any, prefix: bytes) -> bytes:
        raised: list[Exception] = []
        try:
            made = make(value, repeat(None, MOST))
        except (*SURPRISES, StopIteration):
            made = value
        except Exception as error:  # noqa: BLE001 a signal handler's, unless the value is at fault
            made, raised = value, [error]
        if made is not value:
            return writer(prefix, lambda _, prefix: other(value, prefix))(made, None)
        try:
            message = other(value, prefix)
            if raised:
                raise raised[0]
            return message
        finally:
            raised.clear()  # an error holds this frame, and so would hold itself

    return write_object


class _Makers:
    def __init__(self) -> None:
        self._records: dict[str, Make] = {}

    def of(self, kind: Type) -> Make | None:
        """``None`` for a type that holds no record."""
        if kind.kind == "record":
            name = kind.schema["name"]
            if name not in self._records:
                self._records[name] = lambda value, steps: self._records[name](value, steps)  # within itself
                self._records[name] = self._record(kind)
            return self._records[name]
        if kind.kind == "union":
            return self._union(kind)
        item = self.of(kind.inner[0]) if kind.kind in ("array", "map") else None
        if item is None:
            return None
        return _array(item) if kind.kind == "array" else _map(item)

    def _record(self, record: Type) -> Make:
        names = tuple(field["name"] for field in record.schema["fields"])
        inner = [(name, inside) for name, kind in zip(names, record.inner, strict=True) if (inside := self.of(kind))]
        read = _reading(names)
        are_declared = by_class(lambda kind: are_fields(kind, names), _CLASSES)

        def make(value: Any, steps: Iterator[None]) -> Any:
            if not are_declared(type(value)):
                return value
            next(steps)
            made = dict(zip(names, read(value)))  # noqa: B905 to ask costs a third more
            for name, of in inner:
                made[name] = of(made[name], steps)
            return made

        return make

    def _union(self, union: Type) -> Make | None:
        """A compiled function has at most one branch for a dict, and one for a list."""
        found = [made for branch in union.inner if (made := self.of(branch))]

        def make(value: Any, steps: Iterator[None]) -> Any:
            for each in found:
                value = each(value, steps)
            return value

        return make if found else None


def _array(item: Make) -> Make:
    def make(value: Any, steps: Iterator[None]) -> Any:
        if type(value) is not list:
            return value
        return [item(each, steps) for each in value.copy()]  # an attribute or another thread may change it

    return make


def _map(item: Make) -> Make:
    def make(value: Any, steps: Iterator[None]) -> Any:
        if type(value) is not dict:
            return value
        return {key: item(each, steps) for key, each in value.copy().items()}

    return make


def _reading(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1 and not any("." in name for name in names):
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)
