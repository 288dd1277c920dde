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
from operator import countOf
from typing import Any
from uuid import UUID

from .attributes import Attributes, by_class, is_record
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
from .types import DIGITS, LARGEST

_SHALLOW = 30

_LOOKED_AT = 200
"""Types within an array's that are looked at; where there are more, the array is copied."""

_SCALARS = frozenset((type(None), bool, int, float, str, bytes, bytearray, Decimal, date, datetime, time, UUID))
_NO_DECIMALS = _SCALARS - {Decimal}
_DICT, _LIST = _SCALARS | {dict}, _SCALARS | {list, tuple}
_WHOLE = ("int", "long")


class Plainness:
    """Whether a schema's values are plain already. Only what can hold others is looked at, by functions that are made
    for the schema.

    Attributes:
        deep: (value, 0) -> whether it can be read again. It may raise: another thread changes the value, or it has
            methods of its own.
    """

    def __init__(self, schema: Any, named: Mapping[str, Any]) -> None:
        self._named = named
        self._names: dict[int, str] = {}
        self._calls = 0
        self._text: list[str] = []
        self._text.append(f"def deep(v, depth): return {self._test(schema, 'v')}")
        scope: dict[str, Any] = {**_SCOPE}
        if sum(map(len, self._text)) > LARGEST:  # compiling it would take hundreds of megabytes: all is copied
            self.deep: Callable[[Any, int], bool] = lambda value, depth: False
            return
        exec("\n".join(self._text), scope)
        top = self._names.get(id(resolved(schema, named)[1]), "deep")
        self.deep = scope[top]

    def _test(self, schema: Any, value: str) -> str | None:
        """An expression, of one for the value; ``None`` where all values can be read again."""
        kind, schema = resolved(schema, self._named)
        if has_writer(schema) or kind in _WHOLE:
            return f"(type({value}) in NO_DECIMALS or is_leafs({value}))"
        if kind == "fixed":
            return f"(type({value}) in SCALARS or is_leafs({value}))"
        if kind == "union":
            return self._of_union(schema, value)
        if kind == "record":
            return self._of_record(schema, value)
        if kind not in HOLDERS:
            return None
        items = self._test(schema["items" if kind == "array" else "values"], "v")
        if items is None:
            return f"(type({value}) in {'LIST' if kind == 'array' else 'DICT'} or is_leafs({value}))"
        own = "DICTS" if kind == "map" else "TUPLES" if self._lets_others_run(schema["items"]) else "LISTS"
        each = "v.values()" if kind == "map" else "v"
        test = f"(count(map(type, {each}), int) == len(v) or not [1 for v in {each} if not {items}])"
        return self._function(schema, value, f"type(v) in {own}", test)

    def _of_record(self, schema: Any, value: str) -> str:
        """One that holds no others is looked at on the spot where it is an array's or a map's."""
        if id(schema) in self._names:
            return self._call(schema, value)
        self._names[id(schema)] = f"f{len(self._names)}"
        calls = self._calls
        found = [self._test(field["type"], f"v.get({field['name']!r})") for field in schema["fields"]]
        tests = [test for test in found if test is not None]
        if self._calls > calls or (tests and value != "v"):
            return self._function(schema, value, "type(v) is dict", " and ".join(tests))
        del self._names[id(schema)]
        if not tests:
            return f"(type({value}) in DICT or is_leafs({value}))"
        return f"({' and '.join(tests)} if type(v) is dict else type(v) in SCALARS or is_leaf(type(v)))"

    def _function(self, schema: Any, value: str, is_own: str, test: str) -> str:
        """One for each schema, as they may hold themselves, or be nested deeper than Python compiles."""
        self._text.append(
            f"def {self._names.setdefault(id(schema), f'f{len(self._names)}')}(v, depth):\n"
            f"    if {is_own}: return depth < {_SHALLOW} and {test}\n"
            f"    return type(v) in SCALARS or is_leaf(type(v))"
        )
        return self._call(schema, value)

    def _call(self, schema: Any, value: str) -> str:
        self._calls += 1
        return f"{self._names[id(schema)]}({value}, depth + 1)"

    def _of_union(self, union: list[Any], value: str) -> str | None:
        branches = [branch for branch in union if branch not in _WHOLE]  # which take no decimal here
        tests = [test for test in (self._test(branch, value) for branch in branches) if test is not None]
        if len(tests) == 1:
            return f"(is_plain({value}, 0) if type({value}) is tuple else {tests[0]})"
        rest = f"is_leafs({value})" if self._lets_others_run(union) else f"is_plain({value}, 0)"
        return f"(type({value}) in NO_DECIMALS or {rest})" if tests else None

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


def _is_leafs(value: Any) -> bool:
    return (type(value) in _SCALARS or _is_leaf(type(value))) and not is_vast(value)


def _is_plain(value: Any, depth: int) -> bool:
    """The same, whatever the schema."""
    kind = type(value)
    if kind not in (dict, list, tuple):
        return _is_leafs(value)
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


_is_leaf = by_class(_holds_nothing)


_SCOPE = {
    "SCALARS": _SCALARS,
    "NO_DECIMALS": _NO_DECIMALS,
    "DICT": _DICT,
    "LIST": _LIST,
    "DICTS": frozenset((dict,)),
    "LISTS": frozenset((list, tuple)),
    "TUPLES": frozenset((tuple,)),
    "count": countOf,
    "is_leaf": _is_leaf,
    "is_leafs": _is_leafs,
    "is_plain": _is_plain,
}


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
            if name in found and type(found[name]) not in _NO_DECIMALS:  # which stay what they are
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
                found[name] = self._attribute(field["type"], fields, attribute, path, name)
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

    def _attribute(self, schema: Any, fields: Attributes, attribute: str, path: str, name: str) -> Any:
        try:
            return fields.read(attribute)
        except Exception as error:  # noqa: BLE001 a property raises what it likes
            raise Unfit(raising(joined(path, name), schema, fields.value, error)) from None

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
            pairs = [(name, self._attribute(schema, fields, name, path, name)) for name in fields.own]
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
        """The copy for the branch that fastavro would choose for the dict of it: the first map or error, or the record
        with most of its fields; a record's with its name."""
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
            schema = resolved(branch, self._named)[1]
            if schema["type"] != "record":  # an error's is none for fastavro here
                chosen, lacking = copied, absent
                break
            fields = len(copied.keys() & {field["name"] for field in schema["fields"]})
            if fields > most:
                most, lacking = fields, absent
                chosen = schema["name"], copied
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
                copied = lacks.with_traceback(None)  # which would hold this frame, and so itself
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
