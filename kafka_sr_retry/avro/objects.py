"""Objects of all kinds as plain lists and dicts, which can be read again.

A value is read **once**: what is written is what one pass over it gave. fastavro may read it several times, as it looks
for a union's branch or for the place that does not fit; by then an iterator is used up. So what is not made of exact
dicts and lists, or holds its fields as attributes, is copied first, by the schema: nothing is read but what the schema
asks for.
"""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from .attributes import Attributes, is_record
from .compiler import DIGITS
from .misfit import (
    HOLDERS,
    NESTED,
    Judge,
    Misfit,
    has_writer,
    hinted,
    in_map,
    is_sequence,
    joined,
    kind_of,
    missing,
    none_of,
    raising,
    resolved,
    shown,
)

_SHALLOW = 30

_LOOKED_AT = 200
"""Types within an array's that are looked at; where there are more, the array is copied."""

_SCALARS = frozenset(
    (type(None), bool, int, float, str, bytes, bytearray, Decimal, date, datetime, time, UUID)
)  # fmt: skip
_NO_DECIMALS = _SCALARS - {Decimal}
_DICT, _LIST = _SCALARS | {dict}, _SCALARS | {list, tuple}

_WHOLE = ("int", "long")

_Deep = Callable[[Any, int], bool]
"""(value, depth) -> whether it can be read again."""

_Check = tuple[frozenset[type], _Deep]
"""The exact types of what surely can be read again, and what says so of others."""


class Plainness:
    """Whether a schema's values are plain already. Only what can hold others is looked at.

    Attributes:
        types: the exact types of those that surely are.
        deep: (value, 0) -> whether another is. It may raise: another thread changes the value, or it has methods of its
            own.
    """

    def __init__(self, schema: Any, named: Mapping[str, Any]) -> None:
        self._named = named
        self._records: dict[int, list[tuple[str, frozenset[type], _Deep]]] = {}
        self.types, self.deep = self._of(schema) or (_SCALARS, lambda value, depth: True)

    def _of(self, schema: Any) -> _Check | None:
        """``None`` where all values can be read again."""
        kind, schema = resolved(schema, self._named)
        if has_writer(schema) or kind in _WHOLE:
            return _NO_DECIMALS, _is_leafs
        if kind == "fixed":
            return _SCALARS, _is_leafs
        if kind == "union":
            return self._of_union(schema)
        if kind == "record":
            return self._of_record(schema)
        if kind not in HOLDERS:
            return None
        items = self._of(schema["items" if kind == "array" else "values"])
        if items is None:
            return (_LIST if kind == "array" else _DICT), _is_leafs
        types, deep = items
        own = (dict,) if kind == "map" else (tuple,) if self._lets_others_run(schema["items"]) else (list, tuple)

        def holder(value: Any, depth: int) -> bool:
            if type(value) not in own:
                return type(value) in _SCALARS or _is_leaf(type(value))
            if depth >= _SHALLOW:
                return False
            for item in value.values() if type(value) is dict else value:
                if type(item) not in types and not deep(item, depth + 1):
                    return False
            return True

        return _SCALARS, holder

    def _lets_others_run(self, schema: Any) -> bool:
        """Whether writing it may run Python, and so another thread, which may change the list that it stands in."""
        left, seen = [schema], set[int]()
        while left and len(seen) < _LOOKED_AT:
            kind, schema = resolved(left.pop(), self._named)
            if has_writer(schema):
                if schema["logicalType"] not in ("decimal", "date"):
                    return True
            elif kind == "union":
                left += schema
            elif kind in HOLDERS and id(schema) not in seen:
                seen.add(id(schema))
                left += (
                    [field["type"] for field in schema["fields"]]
                    if kind == "record"
                    else [schema["items" if kind == "array" else "values"]]
                )
        return bool(left)

    def _of_record(self, schema: Any) -> _Check:
        key = id(schema)
        if key not in self._records:
            fields = self._records[key] = []
            for field in schema["fields"]:
                check = self._of(field["type"])
                if check is not None:
                    fields.append((field["name"], *check))
            if not fields:
                del self._records[key]
                return _DICT, _is_leafs
        fields = self._records[key]

        def record(value: Any, depth: int) -> bool:
            if type(value) is not dict:
                return type(value) in _SCALARS or _is_leaf(type(value))
            if depth >= _SHALLOW:
                return False
            for name, types, deep in fields:
                one = value.get(name)
                if type(one) not in types and not deep(one, depth + 1):
                    return False
            return True

        return _SCALARS, record

    def _of_union(self, union: list[Any]) -> _Check | None:
        branches = [branch for branch in union if branch not in _WHOLE]  # which take no decimal here
        checks = [check for check in map(self._of, branches) if check is not None]
        if len(checks) != 1:
            return (_NO_DECIMALS, _is_leafs if self._lets_others_run(union) else _is_plain) if checks else None
        types, deep = checks[0]
        return types - {tuple}, lambda value, depth: (_is_plain if type(value) is tuple else deep)(value, depth)


def _is_leafs(value: Any, depth: int) -> bool:
    return (type(value) in _SCALARS or _is_leaf(type(value))) and not is_vast(value)


def _is_plain(value: Any, depth: int) -> bool:
    """The same, whatever the schema."""
    kind = type(value)
    if kind not in (dict, list, tuple):
        return _is_leafs(value, depth)
    inner = value.values() if kind is dict else value
    return _NO_DECIMALS.issuperset(map(type, inner)) or (
        depth < _SHALLOW and all(_is_plain(item, depth + 1) for item in inner)
    )


def _again(value: Any) -> Any:
    """A plain value in lists and dicts of its own, which no other thread changes."""
    if type(value) is dict:
        return {key: _again(item) for key, item in value.copy().items()}
    if type(value) in (list, tuple):
        return type(value)([_again(item) for item in list(value)])
    return value


def is_vast(value: Any) -> bool:
    return isinstance(value, Decimal) and value.adjusted() > DIGITS


def _holds_nothing(kind: type) -> bool:
    """Whether nothing can be read from such an object that another reading would not find."""
    if issubclass(kind, (str, bytes, bytearray, int, float)):
        return True
    return not any(hasattr(kind, name) for name in ("__iter__", "__getitem__", "get", "items")) and not is_record(kind)


_is_leaf: Callable[[type], bool] = lru_cache(maxsize=512)(_holds_nothing)


class Unfit(Exception):  # noqa: N818
    """A value that cannot be copied, whichever of a union's branches it is for: another that takes less would be
    written in silence."""

    def __init__(self, misfit: Misfit) -> None:
        super().__init__()
        self.misfit = misfit


class _Lacks(Unfit):
    """An object without a field of a record: another branch may be for it, as for a dict."""


def _is_read_once(value: Any) -> bool:
    """Whether it has items, and no kind that fastavro takes in a union: an iterator, a set, a view."""
    known = isinstance(value, (Mapping, Sequence, array, memoryview)) or is_record(type(value))
    return not known and not _is_leaf(type(value))


class Copy:
    """One object's way to plain values.

    A union's branch is chosen here only for objects with attributes, or for mappings that hold some; else the copy
    keeps what fastavro chooses by.
    """

    def __init__(self, named: Mapping[str, Any], options: Mapping[str, bool]) -> None:
        self._named = named
        self._options = options
        self._judge = Judge(named, options, math.inf)
        self._kept: list[Any] = []  # what is known by its id
        self._read: dict[int, list[Any]] = {}
        self._tried: dict[tuple[int, int], tuple[Any, Misfit | None]] = {}
        self._absent: list[Misfit] | None = None  # of the branch that is tried

    def of(self, schema: Any, value: Any, path: str = "", depth: int = 0, *, in_union: bool = False) -> Any:
        """The copy.

        Args:
            path, depth: where it stands.
            in_union: as a union's branch, for which fastavro takes less.

        Raises:
            Unfit: an object lacks a field, it could not be read, or it is nested too deep.
        """
        kind, schema = resolved(schema, self._named)
        if kind in ("bytes", "fixed", "union", *_WHOLE) and is_vast(value):
            raise Unfit(Misfit(path, shown(schema), f"{kind_of(value)} of more than {DIGITS} digits"))
        if type(value) in _SCALARS:
            return value
        if depth > NESTED:
            raise Unfit(too_deep())
        if has_writer(schema):
            return self._once(schema, value, path, iter) if isinstance(value, Iterator) else value
        if in_union and (kind == "union" or kind in HOLDERS) and _is_read_once(value):
            raise Unfit(Misfit(path, shown(schema), f"{kind_of(value)}: within a union give a list or a dict"))
        if kind == "union":
            return self._in_union(schema, value, path, depth, in_union)
        if kind not in HOLDERS:
            return _fixed(value) if kind == "fixed" and not in_union else value
        while getattr(type(value), "__pydantic_root_model__", False):
            value = value.root
        copy = self._record if kind == "record" else self._array if kind == "array" else self._map
        return copy(schema, value, path, depth + 1, in_union)

    def _record(self, schema: Any, value: Any, path: str, depth: int, in_union: bool) -> Any:
        names = [field["name"] for field in schema["fields"]]
        if isinstance(value, Mapping) or (hasattr(type(value), "get") and not in_union and not is_record(type(value))):
            found = self._by_keys(schema, names, value, path)
        elif is_record(type(value)):
            found = self._by_attributes(schema, names, value, path)
        else:
            return value
        for field in schema["fields"]:
            name = field["name"]
            if name in found:
                found[name] = self.of(field["type"], found[name], joined(path, name), depth, in_union=in_union)
        return found

    def _by_keys(self, schema: Any, names: list[str], value: Any, path: str) -> dict[Any, Any]:
        if type(value) is dict:
            return value.copy()
        try:
            found = {name: value.get(name) for name in [*names, "-type"] if name in value}
            if any(self._options.values()):
                more = [key for key, _ in self._pairs(schema, value, path)]
                found |= dict.fromkeys(key for key in more if key not in found)
            return found
        except Unfit:
            raise
        except Exception as error:  # noqa: BLE001 objects raise what they like
            raise Unfit(raising(path, schema, value, error)) from None

    def _by_attributes(self, schema: Any, names: list[str], value: Any, path: str) -> dict[Any, Any]:
        fields = Attributes(value)
        found: dict[Any, Any] = {}
        for field in schema["fields"]:
            name = field["name"]
            attribute = fields.attribute(name)
            if attribute is not None:
                found[name] = self._attribute(field["type"], fields, attribute, joined(path, name))
            elif "default" not in field:
                if self._judge.find(field["type"], None, validating=True):
                    raise _Lacks(missing(joined(path, name), field))
                self._has_not(missing(joined(path, name), field))
        if any(self._options.values()):
            taken = {fields.attribute(name) for name in names}
            found |= dict.fromkeys(name for name in fields.own if name not in taken)
        return found

    def _has_not(self, absent: Misfit) -> None:
        """An object lacks a field that may be ``null``. A dict may, so fastavro may choose the branch; but it is a
        mistake."""
        if self._absent is None:
            raise Unfit(absent)
        self._absent.append(absent)

    def _attribute(self, schema: Any, fields: Attributes, name: str, path: str) -> Any:
        try:
            return fields.read(name)
        except Exception as error:  # noqa: BLE001 a property raises what it likes
            raise Unfit(raising(path, schema, fields.value, error)) from None

    def _array(self, schema: Any, value: Any, path: str, depth: int, in_union: bool) -> Any:
        if isinstance(value, (memoryview, array)) or _is_leaf(type(value)) or (in_union and not is_sequence(value)):
            return value
        if not hasattr(type(value), "__iter__") and not hasattr(type(value), "__getitem__"):
            return value
        if isinstance(value, Mapping):
            items = [key for key, _ in self._pairs(schema, value, path)]
        else:
            items = self._once(schema, value, path, iter)
        kind, _ = resolved(schema["items"], self._named)
        is_leaf = kind not in HOLDERS and kind not in ("union", "fixed") and not has_writer(schema["items"])
        if is_leaf and not (kind in _WHOLE and any(map(is_vast, items))):
            return items
        return [
            self.of(schema["items"], item, f"{path}[{index}]", depth, in_union=in_union)
            for index, item in enumerate(items)
        ]

    def _map(self, schema: Any, value: Any, path: str, depth: int, in_union: bool) -> Any:
        if is_record(type(value)) and not isinstance(value, Mapping):
            fields = Attributes(value)
            pairs = [(name, self._attribute(schema, fields, name, joined(path, name))) for name in fields.own]
        elif isinstance(value, Mapping) or (hasattr(type(value), "items") and not in_union):
            pairs = self._pairs(schema, value, path)
        elif is_sequence(value):  # fastavro writes one without items as an empty map
            return self._once(schema, value, path, iter)
        else:
            return value
        copied = {
            key: self.of(schema["values"], item, path + in_map(key), depth, in_union=in_union) for key, item in pairs
        }
        if len(copied) < len(pairs):
            raise Unfit(Misfit(path, shown(schema), f"{kind_of(value)} that has a key twice"))
        return copied

    def _pairs(self, schema: Any, value: Any, path: str) -> list[Any]:
        return self._once(schema, value, path, lambda mapping: mapping.items())

    def _once(self, schema: Any, value: Any, path: str, read: Callable[[Any], Any]) -> list[Any]:
        """What one pass over it gives, however often it is asked for."""
        if id(value) not in self._read:
            try:
                found = list(read(value))
            except Exception as error:  # noqa: BLE001 iterators raise what they like
                raise Unfit(raising(path, schema, value, error)) from None
            self._kept.append(value)
            self._read[id(value)] = found
        return self._read[id(value)]

    def _in_union(self, union: list[Any], value: Any, path: str, depth: int, in_union: bool) -> Any:
        if isinstance(value, tuple):
            branch = hinted(union, value[0]) if len(value) == 2 else None
            if branch is None:
                return value
            return value[0], self.of(branch, value[1], path, depth, in_union=in_union)
        kinds = ("array",) if is_sequence(value) else ("record", "map")
        branches = [branch for branch in union if resolved(branch, self._named)[0] in kinds]
        is_object = is_record(type(value)) and not isinstance(value, Mapping)
        if not branches or not (is_object or isinstance(value, (Mapping, Sequence, array))):
            return value
        if _is_plain(value, 0):
            return _again(value)
        if len(branches) == 1 and not is_object:
            return self.of(branches[0], value, path, depth, in_union=True)
        return self._chosen(union, branches, value, path, depth)

    def _chosen(self, union: list[Any], branches: list[Any], value: Any, path: str, depth: int) -> Any:
        """The copy for the branch that fastavro would choose for the dict of it: the first map, or the record with
        most of its fields; a record's with its name."""
        chosen, most, failures, lacking = None, -1, [], None
        for branch in branches:
            copied, absent = self._try(branch, value, path, depth)
            if isinstance(copied, _Lacks):
                inner = copied.misfit.path.removeprefix(path).removeprefix(".")
                failure: Misfit | None = dataclasses.replace(copied.misfit, path=inner)
            else:
                failure = self._judge.find(branch, copied, validating=True)
            if failure and failure.raised:  # so fastavro looks at no other
                raise Unfit(failure.under(path))
            if failure:
                failures.append(failure)
                continue
            kind, schema = resolved(branch, self._named)
            if kind != "record":
                chosen, lacking = copied, absent
                break
            fields = sum(field["name"] in copied for field in schema["fields"])
            if fields > most:
                most, lacking = fields, absent
                chosen = (schema["name"], copied) if schema["type"] == "record" else copied
        if chosen is None:
            raise _Lacks(none_of(union, value, failures).under(path))
        if lacking:
            self._has_not(lacking)
        return chosen

    def _try(self, branch: Any, value: Any, path: str, depth: int) -> tuple[Any, Misfit | None]:
        """The copy for a branch, or why there is none; and a field that an object should have. Made once, as unions in
        unions would double the work."""
        key = (id(resolved(branch, self._named)[1]), id(value))
        if key not in self._tried:
            self._kept.append(value)
            outer, self._absent = self._absent, []
            try:
                copied = self.of(branch, value, path, depth, in_union=True)
            except _Lacks as lacks:
                copied = lacks
            self._tried[key] = copied, next(iter(self._absent), None)
            self._absent = outer
        return self._tried[key]


def too_deep() -> Misfit:
    return Misfit("", f"at most {NESTED} records, arrays and maps within one another", "more")


def _fixed(value: Any) -> Any:
    """The bytes that fastavro would take: it compares the size of a fixed with the number of items."""
    try:
        return bytes(memoryview(value))
    except TypeError:
        return value
