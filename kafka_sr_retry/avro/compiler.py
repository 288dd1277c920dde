"""A schema, compiled to one Python function that writes its values.

fastavro walks the schema again for each message. Here it is walked once, and what it asks for is written down as
straight-line Python: checks, an expression for each piece of the bytes, and one ``join`` of them all.

The function is **optimistic**. It takes only values whose exact type it knows, and writes what fastavro writes. At
anything else - another type, a missing key, a number out of range, tuple notation, a ``-type`` hint, an error - it
gives the *whole* value to ``other``, which is fastavro. So it never decides what is right; it only knows what is fast.

How each type is written:

* A record's fields one after another. Their types are checked first, and what holds no others is written first: a value
  that is ``other``'s should be found out before much is done.
* A number or size of at most two bytes is looked up in the table ``T``; a larger one is put together.
* A string or bytes is two pieces, its size and itself, so that a long one is copied by the ``join`` alone.
* An array or map is a loop that adds its items' pieces to the list ``p``; an array of numbers is one expression.
* A union is an ``if`` for each Python type. Where a type does not decide the branch, the schema is not compiled.
* A record that is used more than once is a function of its own, and that is how recursion goes.
* A logical type's object, such as a ``datetime``, is turned into its base type by fastavro's own function.

No text of a schema becomes code: field names enter as the ``repr`` of a string, everything else is a constant bound by
number. A schema can come from a registry.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from operator import itemgetter
from types import CodeType
from typing import Any

from fastavro.write import LOGICAL_WRITERS

from .pieces import shared_scope, shared_set, varint
from .types import OBJECTS, PRIMITIVES, Type, Types, Unsuitable, branches

Write = Callable[[Any, Any], bytes]
"""(value, the message's context) -> prefix and Avro binary."""

WriteOther = Callable[[Any, bytes], bytes]
"""(value, prefix) -> prefix and Avro binary; or it refuses with ``AvroEncodingError``."""

LARGEST = 150_000
"""Characters of a function that is still compiled."""

DIGITS = 10_000
"""Exponent of a ``Decimal`` for bytes or a whole number: fastavro writes out what ``1E+999999999`` stands for."""

WIDE = 16
"""Fields of a record from which on one call gets them all: no faster, but quicker compiled."""

_functions = count(1)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema's function, compiled once. Tracebacks show its text as long as this object lives.

    Attributes:
        writer: (prefix, other) -> the function that writes the prefix and a value, or gives the value to ``other``. A
            function for another prefix is one more closure of the same code.
    """

    writer: Callable[[bytes, WriteOther], Write]

    @property
    def filename(self) -> str:
        return self.writer.__code__.co_filename

    def show(self, lines: Sequence[str]) -> None:
        linecache.cache[self.filename] = (0, None, lines, self.filename)  # type: ignore[assignment]

    def __del__(self, forget: Callable[..., Any] = linecache.cache.pop) -> None:
        forget(self.filename, None)


def compiled(schema: Any, named: Mapping[str, Any]) -> Compiled:
    """The function that writes values of a schema.

    Args:
        schema: as ``fastavro.parse_schema`` gives it; a list for a union.
        named: its named types, parsed too.

    Raises:
        Unsuitable: the schema is too large or too deep, or has a union that no exact type decides.
    """
    source, code = _compiled(schema, named)
    scope = shared_scope()
    if source.constants or source.functions:
        scope = {**scope, **source.constants}
    made: dict[str, Any] = {}
    exec(code, scope, made)
    make = made.pop("make")
    scope.update(made)
    return Compiled(make)


def source_of(schema: Any, named: Mapping[str, Any]) -> str:
    """The text of the function, for people; raises ``Unsuitable`` as ``compiled`` does."""
    return _compiled(schema, named)[0].text


def lines_of(schema: Any, named: Mapping[str, Any]) -> list[str]:
    """The lines that are compiled."""
    return _Source(schema, named).within_make().splitlines(keepends=True)


def _compiled(schema: Any, named: Mapping[str, Any]) -> tuple[_Source, CodeType]:
    source = _Source(schema, named)
    try:
        return source, compile(source.within_make(), f"<writer {next(_functions)} of kafka_sr_retry>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # more nested blocks than CPython compiles
        raise Unsuitable(str(error)) from error


class _Source:
    """The text of a schema's function, as it grows."""

    def __init__(self, schema: Any, named: Mapping[str, Any]) -> None:
        self.constants: dict[str, Any] = {}
        self._types = Types(named)
        self._symbols: dict[int, str] = {}
        self.functions: list[str] = []
        self._under_union = 0
        self._size = 0
        self._lines: list[str] = []
        self._conditions: list[str] = []
        self._indent = 2
        self._bail = "return other(value, prefix)"
        self._names = count(1)
        try:
            self._program(self._types.of(schema))
        except Unsuitable:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise Unsuitable(f"{type(error).__name__}: {error}") from error

    def _program(self, whole: Type) -> None:
        parts = ["prefix"]
        self._expect(whole, "value")
        if whole.kind == "record":  # a missing key costs an exception, which is much for a small record
            self._other_if(("type(value) is not dict or " * whole.is_function) + f"len(value) < {len(whole.inner)}")
        self._write(whole, "value", parts)
        if any(line.lstrip().startswith(("p +=", "write_")) for line in self._lines):
            self._flush(parts)
            lines = ["        p = []", *self._lines, "        return join(p)"]
        else:
            self._line(f"return join({_tuple(parts)})")
            lines = self._lines
        head = ["def write(value, ctx):", "    try:"]
        tail = [
            "    except AvroEncodingError:",
            "        raise",
            "    except SURPRISES:",
            "        raised = []",
            "    except Exception as error:  # a signal handler's, unless the value is at fault",
            "        raised = [error]",
            "    message = other(value, prefix)",
            "    if raised: raise raised[0]",
            "    return message",
        ]
        self._write_lines, self._others = [*head, *lines, *tail], list[str]()
        for number, name in enumerate(self.functions):  # it grows meanwhile
            self._others += ["", f"def write_{number}(value, p):", *self._function(name)]

    @property
    def text(self) -> str:
        return "\n".join([*self._write_lines, *self._others]) + "\n"

    def within_make(self) -> str:
        """The text with ``write`` inside a function, whose arguments are its free variables."""
        inside = ["    " + line for line in self._write_lines]
        return "\n".join(["def make(prefix, other):", *inside, "    return write", *self._others]) + "\n"

    def _function(self, name: str) -> list[str]:
        """The body of a record's own function, which adds to ``p``."""
        self._lines, self._indent, self._bail, self._under_union = [], 1, "raise Other", 1
        parts: list[str] = []
        self._other_if("type(value) is not dict")
        self._fields(self._types.records[name], "value", parts)
        self._flush(parts)
        return self._lines

    # -- lines ---------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        if self._conditions:
            self._check()
        self._size += len(text)
        if self._size > LARGEST:
            raise Unsuitable(f"a function of more than {LARGEST} characters")
        self._lines.append("    " * self._indent + text)

    def _other_if(self, condition: str) -> None:
        """A value for which the condition holds is ``other``'s; ``_check`` comes before the next line."""
        self._conditions.append(condition)

    def _check(self) -> None:
        if self._conditions:
            conditions, self._conditions = self._conditions, []
            self._line(f"if {' or '.join(conditions)}: {self._bail}")

    def _new(self, letter: str) -> str:
        return f"{letter}{next(self._names)}"

    def _constant(self, value: Any) -> str:
        name = self._new("K")
        self.constants[name] = value
        return name

    def _flush(self, parts: list[str]) -> None:
        self._check()
        if parts:
            self._line(f"p += {_tuple(parts)}")
            parts.clear()

    # -- types: ``_expect`` adds the checks of a value's type, ``_write`` the pieces of a value that is as expected --

    def _expect(self, kind: Type, value: str, *, known: bool = False) -> None:
        """Checks its items' types too, where each has one. Logical types and most unions check while they write.

        Args:
            known: whether the type of the value itself has been checked.
        """
        nullable = kind.nullable
        if nullable is not None:
            self._other_if(self._is_none_of(value, (type(None), *nullable.takes)))
        if kind.kind == "union" or kind.logical or kind.is_function:
            return
        if not known:
            self._other_if(self._is_none_of(value, kind.takes))
        if kind.kind == "map":
            self._other_if(f"not {shared_set(str)}.issuperset(map(type, {value}))")
        if kind.kind in ("array", "map") and kind.inner[0].is_plain:
            items = value if kind.kind == "array" else f"{value}.values()"
            self._other_if(f"not {shared_set(*kind.inner[0].takes)}.issuperset(map(type, {items}))")

    def _write(self, kind: Type, value: str, parts: list[str]) -> None:
        """Adds to ``parts``, or flushes them and adds to ``p``."""
        if kind.kind == "union":
            self._union(kind, value, parts)
        elif kind.is_function:
            self._flush(parts)
            if kind.schema["name"] not in self.functions:
                self.functions.append(kind.schema["name"])
            self._line(f"write_{self.functions.index(kind.schema['name'])}({value}, p)")
        elif kind.kind == "record":
            self._fields(kind, value, parts)
        elif kind.kind == "array":
            self._array(kind.inner[0], value, parts)
        elif kind.kind == "map":
            self._map(kind.inner[0], value, parts)
        else:
            parts += self._scalar(kind, value)

    def _fields(self, record: Type, value: str, parts: list[str]) -> None:
        if self._under_union:  # fastavro looks for hints in all records of a union's branch
            self._other_if(f"'-type' in {value}")
        fields = [(self._new("v"), kind) for kind in record.inner]
        keys = [each["name"] for each in record.schema["fields"]]
        if len(keys) < WIDE:
            for (name, _), key in zip(fields, keys, strict=True):
                self._line(f"{name} = {value}[{key!r}]")
        else:
            self._line(f"{', '.join(name for name, _ in fields)} = {self._constant(itemgetter(*keys))}({value})")
        for name, kind in fields:
            self._expect(kind, name)
        scalars: dict[str, list[str]] = {name: [] for name, kind in fields if not kind.holds}
        for name, kind in fields:
            if name in scalars:
                self._write(kind, name, scalars[name])
        for name, kind in fields:
            if name in scalars:
                parts += scalars[name]
            else:
                self._write(kind, name, parts)

    def _scalar(self, kind: Type, value: str) -> list[str]:
        """The expressions of a primitive's, an enum's or a fixed's pieces."""
        if kind.logical:
            value = self._prepared(kind, value)
        match kind.kind:
            case "null":
                return []
            case "boolean":
                return [f"YES if {value} else NO"]
            case "int" | "long":
                return [_number(kind.kind, value)]
            case "float" | "double":
                return [f"pack_{kind.kind}({value})"]
            case "enum":
                symbols = kind.schema["symbols"]
                if id(symbols) not in self._symbols:
                    indices = {symbol: varint(index) for index, symbol in reversed(list(enumerate(symbols)))}
                    self._symbols[id(symbols)] = self._constant(indices)
                return [f"{self._symbols[id(symbols)]}[{value}]"]
            case "fixed":
                self._other_if(f"len({value}) != {kind.schema['size']}")
                return [value]
            case "string":
                encoded = self._new("s")
                return [self._sized(f"{encoded} := {value}.encode()"), encoded]
            case _:
                return [self._sized(value), value]

    def _sized(self, value: str) -> str:
        size = self._new("n")
        return f"T[{size}] if ({size} := len({value})) < 8192 else write_long({size})"

    def _prepared(self, kind: Type, value: str) -> str:
        """A logical type's object becomes what its base type holds, by fastavro's own function."""
        base = self._new("b")
        if OBJECTS[kind.logical] is Decimal:
            self._other_if(f"{self._is(value, Decimal)} and {value}.adjusted() > {DIGITS}")
        call = f"{self._constant(LOGICAL_WRITERS[kind.logical])}({value}, {self._constant(kind.schema)})"
        self._line(f"{base} = {call} if {self._is(value, OBJECTS[kind.logical])} else {value}")
        self._other_if(self._is_none_of(base, kind.takes))
        return base

    def _array(self, items: Type, value: str, parts: list[str]) -> None:
        value = self._copied(value)
        parts.append(self._sized(value))
        if items.is_plain and items.kind in ("float", "double"):
            parts.append(f"pack('<%d{items.kind[0]}' % len({value}), *{value})")
        elif items.is_plain and items.kind in ("int", "long"):
            parts.append(f"join([{_number(items.kind, 'i')} for i in {value}])")
        elif items.kind != "null":  # whose values have no bytes
            self._flush(parts)
            item = self._new("v")
            self._line(f"for {item} in {value}:")
            self._items({item: items}, [item] if items.is_plain else [])
        parts.append(f"NO if {value} else EMPTY")

    def _copied(self, value: str) -> str:
        """Another thread may change a list or dict between its size and its items; fastavro lets no other run."""
        copy = self._new("c")
        self._line(f"{copy} = {value}.copy()")
        return copy

    def _map(self, values: Type, value: str, parts: list[str]) -> None:
        value = self._copied(value)
        parts.append(self._sized(value))
        self._flush(parts)
        key, item = self._new("v"), self._new("v")
        self._line(f"for {key}, {item} in {value}.items():")
        self._items({key: PRIMITIVES["string"], item: values}, [key, item] if values.is_plain else [key])
        parts.append(f"NO if {value} else EMPTY")

    def _items(self, types: Mapping[str, Type], checked: list[str]) -> None:
        """The body of a loop."""
        self._indent += 1
        pieces: list[str] = []
        for item, kind in types.items():
            if item not in checked:
                self._expect(kind, item)
        for item, kind in types.items():
            self._write(kind, item, pieces)
        self._flush(pieces)
        self._indent -= 1

    def _union(self, union: Type, value: str, parts: list[str]) -> None:
        """Branches that hold others add to ``p``; the bytes of others are one expression, or a variable."""
        nullable = union.nullable
        if nullable is not None:
            index = union.inner.index(nullable)
            parts.append(f"{varint(1 - index)!r} if {value} is None else {self._sum(index, nullable, value)}")
            return
        taken = branches(union)
        result = self._new("u")
        if union.holds:
            self._flush(parts)
        for word, index in zip(["if", *["elif"] * len(taken)], dict.fromkeys(taken.values()), strict=False):
            branch = union.inner[index]
            types = [python_type for python_type, taker in taken.items() if taker == index]
            self._line(f"{word} {' or '.join(self._is(value, python_type) for python_type in types)}:")
            self._indent += 1
            self._expect(branch, value, known=True)
            if branch.kind == "map":
                self._other_if(f"'-type' in {value}")
            if union.holds:
                pieces = [repr(varint(index))]
                self._under_union += 1
                self._write(branch, value, pieces)
                self._under_union -= 1
                self._flush(pieces)
            else:
                self._line(f"{result} = {self._sum(index, branch, value)}")
            self._indent -= 1
        self._line(f"else: {self._bail}")
        if not union.holds:
            parts.append(result)

    def _sum(self, index: int, branch: Type, value: str) -> str:
        """All bytes of a branch that holds no others, in one expression."""
        return " + ".join([repr(varint(index)), *(f"({piece})" for piece in self._scalar(branch, value))])

    def _is_none_of(self, value: str, types: tuple[type, ...]) -> str:
        return (
            self._is(value, *types, word="is not") if len(types) == 1 else f"type({value}) not in {shared_set(*types)}"
        )

    def _is(self, value: str, python_type: type, word: str = "is") -> str:
        if python_type is type(None):
            return f"{value} {word} None"
        known = python_type.__module__ == "builtins"
        return f"type({value}) {word} {python_type.__name__ if known else self._constant(python_type)}"


def _number(kind: str, value: str) -> str:
    return f"T[{value}] if -8192 <= {value} < 8192 else write_{kind}({value})"


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)},)" if parts else "()"
