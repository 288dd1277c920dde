"""A schema, compiled to one Python function that writes its values.

fastavro walks the schema again for each message. Here it is walked once, and what it asks for is written down as
straight-line Python: checks, an expression for each piece of the bytes, and one ``join`` of them all.

The function is **optimistic**. It takes only values whose exact type it knows, and writes what fastavro writes. At
anything else - another type, a missing key, a number out of range, tuple notation, a ``-type`` hint, an error - it
gives the *whole* value to ``other``, which is fastavro, or gives it an object's dict. So it never decides what is
right; it only knows what is fast.

How each type is written:

* A record's fields one after another. Their types are checked first, and what holds no others is written first: a value
  that is ``other``'s should be found out before much is done.
* A number or size of at most two bytes is looked up in the table ``T``; one of up to six is put together.
* What fastavro writes no slower is its part: larger numbers, arrays of large or many integers, maps of them, arrays and
  maps of such again (``fastavros_from``). Fields of one type behind one another are written as an array.
* A string or bytes is two pieces, its size and itself, so that a long one is copied by the ``join`` alone.
* Another array or map is a loop that adds its items' pieces to the list ``p``; an array of floats is one expression.
* A union is an ``if`` for each Python type. Where a type does not decide the branch, the schema is not compiled.
* A record that is used more than once is a function of its own, and that is how recursion goes.
* Where a schema has many fields, those of one type in a record are one loop, and one call puts their pieces into order.
* A logical type's object, such as a ``datetime``, is turned into its base type by fastavro's own function.

No text of a schema becomes code: field names enter as the ``repr`` of a string, everything else is a constant bound by
number. A schema can come from a registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from itertools import chain, count
from operator import itemgetter
from types import CodeType
from typing import Any

from fastavro.write import LOGICAL_WRITERS

from .parts import part_of
from .pieces import not_all, number_of, run_of, shared_scope, shared_set, varint
from .text import Compiled, Text, listed
from .types import DIGITS, LOOP, OBJECTS, OWN, PRIMITIVES, SHORT, WIDE, Type, Types, Unsuitable, decided

_functions = count(1)


def compiled(schema: Any, named: Mapping[str, Any]) -> Compiled:
    """The function that writes values of a schema.

    Args:
        schema: as ``fastavro.parse_schema`` gives it; a list for a union.
        named: its named types, parsed too.

    Raises:
        Unsuitable: the schema is too large or too deep, or has a union that no exact type decides.
    """
    source, pieces = _compiled(schema, named)
    scope = shared_scope()
    if source.constants or source.functions:
        scope = {**scope, **source.constants}
    made: dict[str, Any] = {}
    for code in pieces:
        exec(code, scope, made)
    make = made.pop("make")
    scope.update(made)
    return Compiled(make)


def source_of(schema: Any, named: Mapping[str, Any]) -> str:
    """The text of the function, for people; raises ``Unsuitable`` as ``compiled`` does."""
    return _compiled(schema, named)[0].text


def lines_of(schema: Any, named: Mapping[str, Any]) -> list[str]:
    """The lines that are compiled."""
    return "".join(_Source(schema, named).within_make()).splitlines(keepends=True)


def _compiled(schema: Any, named: Mapping[str, Any]) -> tuple[_Source, list[CodeType]]:
    """One piece after another: each holds up all other threads."""
    source, filename = _Source(schema, named), f"<writer {next(_functions)} of kafka_sr_retry>"
    pieces, above = [], ""
    try:
        for text in source.within_make():
            pieces.append(compile(above + text, filename, "exec"))
            above += "\n" * text.count("\n")  # for the numbers of its lines
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # more nested blocks than CPython compiles
        raise Unsuitable(str(error)) from error
    return source, pieces


class _Source(Text):
    """A schema's function."""

    def __init__(self, schema: Any, named: Mapping[str, Any]) -> None:
        super().__init__()
        self._types = Types(named)
        self._symbols: dict[int, str] = {}
        self.functions: list[str] = []
        self._under_union = 0
        try:
            self._program(self._types.of(schema))
        except Unsuitable:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise Unsuitable(f"{type(error).__name__}: {error}") from error

    def _program(self, whole: Type) -> None:
        self._is_long = self._types.are_long()
        self._types.mark(whole)
        for record in self._types.records.values():
            record.is_apart = self._is_long and record is not whole and len(record.inner) >= OWN
        parts = ["prefix"]
        self._expect(whole, "value")
        if whole.kind == "record":  # a missing key costs an exception, which is much for a small record
            self._other_if(("type(value) is not dict or " * whole.is_function) + f"len(value) < {len(whole.inner)}")
        self._write(whole, "value", parts)
        if any(line.lstrip().startswith(("p +=", "write_")) for line in self._lines):
            self._flush(parts)
            lines = ["        p = []", *self._lines, "        return join(p)"]
        else:
            self._line(f"return join({listed(parts)})")
            lines = self._lines
        head = ["def write(value, ctx):", "    try:"]
        tail = [
            "    except AvroEncodingError:",
            "        raise",
            "    except SURPRISES:",
            "        raised = []",
            "    except Exception as error:  # a signal handler's, unless the value is at fault",
            "        raised = [error]",
            "    try:",
            "        message = other(value, prefix)",
            "        if raised: raise raised[0]",
            "        return message",
            "    finally: raised.clear()  # an error holds this frame, and so would hold itself",
        ]
        self._write_lines, self._others = [*head, *lines, *tail], list[list[str]]()
        for number, name in enumerate(self.functions):  # it grows meanwhile
            self._others.append(["", f"def write_{number}(value, p):", *self._function(name)])

    @property
    def text(self) -> str:
        return "\n".join([*self._write_lines, *chain.from_iterable(self._others)]) + "\n"

    def within_make(self) -> list[str]:
        """The texts of all functions; ``write`` is inside of one whose arguments are its free variables."""
        inside = ["    " + line for line in self._write_lines]
        make = ["def make(prefix, other):", *inside, "    return write"]
        return ["\n".join([*lines, ""]) for lines in (make, *self._others)]

    def _function(self, name: str) -> list[str]:
        """The body of a record's own function, which adds to ``p``."""
        record, parts = self._types.records[name], list[str]()
        self._lines, self._indent, self._bail, self._under_union = [], 1, "raise Other", int(record.in_union)
        self._other_if("type(value) is not dict")
        self._fields(record, "value", parts)
        self._flush(parts)
        return self._lines

    # -- types: ``_expect`` adds the checks of a value's type, ``_write`` the pieces of a value that is as expected --

    def _expect(self, kind: Type, value: str, *, known: bool = False) -> None:
        """Arrays, maps, logical types and most unions check what they hold while they write.

        Args:
            known: whether the type of the value itself has been checked.
        """
        if (kind.kind == "union" and not kind.nullable) or kind.logical or kind.is_function:
            return
        if not known:
            self._other_if(self._is_none_of(value, kind.takes))

    def _write(self, kind: Type, value: str, parts: list[str]) -> None:
        """Adds to ``parts``, or flushes them and adds to ``p``."""
        if kind.kind == "union":
            self._union(kind, value, parts)
        elif kind.is_function:
            self._flush(parts)
            if kind.schema["name"] not in self.functions:
                self.functions.append(kind.schema["name"])
            self._line(f"write_{self.functions.index(kind.schema['name'])}({value}, {self._out})")
        elif kind.kind == "record":
            self._fields(kind, value, parts)
        elif kind.kind in ("array", "map"):
            self._many(kind, value, parts)
        else:
            parts += self._scalar(kind, value)

    def _fields(self, record: Type, value: str, parts: list[str]) -> None:
        if self._under_union:  # fastavro looks for hints in all records of a union's branch
            self._other_if(f"'-type' in {value}")
        keys = [each["name"] for each in record.schema["fields"]]
        found = [] if self._under_union else record.runs()
        numbers = [run for run in found if not record.inner[run[0]].inner and not self._is_long]
        runs = [run for run in found if run not in numbers]
        alike: dict[Any, list[int]] = {}
        for place in sorted({*range(len(keys) if self._is_long else 0)}.difference(*runs)):
            alike.setdefault(record.inner[place].shape, []).append(place)
        loops = [places for places in alike.values() if len(places) >= LOOP]
        singles = sorted(set(range(len(keys))).difference(*loops, *runs))
        names = {place: self._new("v") for place in singles}
        self._read(list(names.values()), [keys[place] for place in singles], value)
        for place, name in names.items():
            self._expect(record.inner[place], name)
        pieces: dict[int, list[str]] = {place: [] for place in singles if not record.inner[place].holds}
        for run in runs:
            pieces[run[0]] = [self._run(record.inner[run[0]], [keys[place] for place in run], value)]
        for place in pieces.keys() & names.keys():
            self._write(record.inner[place], names[place], pieces[place])
        for run in numbers:
            given = [names[place] for place in run]
            one_by_one = listed([piece for place in run for piece in pieces.pop(place)])
            by_fastavro = f"(write_run({listed(given)}, {len(varint(len(given)))}),)"
            pieces[run[0]] = [f"*({run_of(given[0], given[-1], one_by_one, by_fastavro)})"]
        if loops:
            self._loops(record, keys, loops, value, pieces)
        for place, kind in enumerate(record.inner):
            if place in names and kind.holds:
                self._write(kind, names[place], parts)
            else:
                parts += pieces.get(place, [])

    def _run(self, kind: Type, keys: list[str], value: str) -> str:
        """Fields of one type behind one another, as the items of an array."""
        items = self._new("r")
        self._line(f"{items} = {self._constant(itemgetter(*keys))}({value})")
        self._other_if(not_all(items, items, kind.takes))
        size = len(varint(len(keys)))
        if not kind.inner:
            one_by_one = f"join([{number_of('long', 'i')} for i in {items}])"
            return run_of(f"{items}[0]", f"{items}[-1]", one_by_one, f"write_run({items}, {size})")
        return f"{self._constant(part_of(Type('array', None, [kind])))}({items})[{size}:-1]"

    def _loops(
        self, record: Type, keys: list[str], loops: list[list[int]], value: str, pieces: dict[int, list[str]]
    ) -> None:
        """Fields of one type are a loop over their values; one call puts the pieces of all into the record's order."""
        columns = [self._new("c") for _ in loops]
        kinds = [record.inner[places[0]] for places in loops]
        for column, kind, places in zip(columns, kinds, loops, strict=True):
            self._line(f"{column} = {self._constant(itemgetter(*[keys[place] for place in places]))}({value})")
            if kind.is_exact:
                self._other_if(f"not {shared_set(*kind.takes)}.issuperset(map(type, {column}))")
        whole = self._new("q")
        self._line(f"{whole} = []")
        order: list[int] = []
        for column, kind, places in zip(columns, kinds, loops, strict=True):
            number = self._loop(kind, column, whole)
            order += [place for place in places for _ in range(number)]
        ranks = sorted(range(len(order)), key=order.__getitem__)
        if ranks != list(range(len(order))):
            self._line(f"{whole} = {self._constant(itemgetter(*ranks))}({whole})")
        numbers, looped = Counter(order), set(chain.from_iterable(loops))
        first = start = stop = 0
        for place in sorted(looped):
            if place - 1 not in looped:
                first, start = place, stop
            stop += numbers[place]
            pieces[first] = [f"*{whole}" + f"[{start}:{stop}]" * ((start, stop) != (0, len(order)))]

    def _loop(self, kind: Type, column: str, whole: str) -> int:
        """Adds the pieces of each value to ``whole``; gives how many they are."""
        item, pieces = self._new("v"), list[str]()
        self._line(f"for {item} in {column}:")
        body = len(self._lines)
        self._indent += 1
        if not kind.is_exact:
            self._expect(kind, item)
        out, self._out = self._out, self._new("p")
        self._write(kind, item, pieces)
        if any(self._out in line for line in self._lines[body:]):
            self._lines.insert(body, "    " * self._indent + f"{self._out} = []")
            self._flush(pieces)
            pieces = [f"join({self._out})"]
        self._check()
        self._out = out
        if len(pieces) == 1 and len(self._lines) == body:
            self._lines.pop()
            self._indent -= 1
            self._line(f"{whole} += [{pieces[0]} for {item} in {column}]")
        else:
            self._line(f"{whole} += {listed(pieces)}")
            self._indent -= 1
        return len(pieces)

    def _read(self, names: list[str], keys: list[str], value: str) -> None:
        if len(keys) >= WIDE:
            self._line(f"{', '.join(names)} = {self._constant(itemgetter(*keys))}({value})")
            return
        for name, key in zip(names, keys, strict=True):
            self._line(f"{name} = {value}[{key!r}]")

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
                return [number_of(kind.kind, value)]
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
        takes = (*kind.takes, bytearray) if kind.logical == "fixed-decimal" else kind.takes
        call = f"{self._constant(LOGICAL_WRITERS[kind.logical])}({value}, {self._constant(kind.schema)})"
        self._line(f"{base} = {call} if {self._is(value, OBJECTS[kind.logical])} else {value}")
        self._other_if(self._is_none_of(base, takes))
        return base

    def _many(self, kind: Type, value: str, parts: list[str]) -> None:
        """Of an array or map. fastavro lets no other thread run, so that what it writes need not be copied."""
        items, start = kind.inner[0], kind.fastavros_from
        if self._under_union:  # it looks for the branch by all items, and writes an int that is out of range elsewhere
            start = SHORT if start == SHORT else None
            if start:
                self._other_if(f"{value} and ({self._not_all(kind, value)})")
            if start and items.kind == "int":
                numbers = f"{value}.values()" if kind.kind == "map" else value
                self._other_if(f"{value} and (min({numbers}) < {-1 << 31} or max({numbers}) >= {1 << 31})")
        if kind.are_longs and start is not None:
            parts.append(f"write_longs({value})")
        elif start == 0:
            parts.append(f"{self._constant(part_of(kind))}({value})")
        elif kind.kind == "array" and items.is_plain and items.kind in ("float", "double"):
            self._other_if(f"{value} and {self._not_all(kind, value)}")
            size = self._new("n")  # another number of items than this is an error of struct's
            packed = f"pack(f'<{{{size}}}{items.kind[0]}', *{value})"
            parts.append(f"join(({number_of('long', size)}, {packed}, NO)) if ({size} := len({value})) else NO")
        elif start:
            self._flush(parts)
            self._line(f"if len({value}) >= {start}: {self._out} += ({self._constant(part_of(kind))}({value}),)")
            self._line("else:")
            self._indent += 1
            self._looped(kind, value, parts)
            self._indent -= 1
        else:
            self._looped(kind, value, parts)

    def _not_all(self, kind: Type, value: str) -> str:
        """Whether keys or items have other types than these, as an expression."""
        found = [not_all(value, value, (str,))] if kind.kind == "map" else []
        if kind.inner[0].is_plain:
            items = f"{value}.values()" if kind.kind == "map" else value
            found.append(not_all(items, value, kind.inner[0].takes))
        return " or ".join(found)

    def _looped(self, kind: Type, value: str, parts: list[str]) -> None:
        """Another thread may change a list or dict between its size and its items, so it is copied."""
        self._flush(parts)
        items, copy, item = kind.inner[0], self._new("c"), self._new("v")
        self._line(f"{copy} = {value}.copy()")
        self._line(f"if {copy}:")
        self._indent += 1
        self._line(f"{self._out} += ({self._sized(copy)},)")
        if kind.kind == "map":
            key = self._new("v")
            self._line(f"for {key}, {item} in {copy}.items():")
            self._items({key: PRIMITIVES["string"], item: items})
        else:
            self._line(f"for {item} in {copy}:")
            self._items({item: items})
        self._indent -= 1
        self._line(f"{self._out} += (NO,)")

    def _items(self, types: Mapping[str, Type]) -> None:
        """The body of a loop."""
        self._indent += 1
        pieces: list[str] = []
        for item, kind in types.items():
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
        taken = decided(union)
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
