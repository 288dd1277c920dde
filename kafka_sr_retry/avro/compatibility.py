"""Whether a schema may follow others: Avro's resolution rules, as Java's ``SchemaCompatibility``, which registries run,
has them, and what each of the registry's levels asks.

Apache Avro's own module for Python differs from Java's (a union's findings, two aliases that both fit, aliases without
their namespace), and says neither where in words nor what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

LEVELS = (
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
)

PRIMITIVES = frozenset(("null", "boolean", "int", "long", "float", "double", "bytes", "string"))

_PROMOTED = {
    "long": ("int",),
    "float": ("int", "long"),
    "double": ("int", "long", "float"),
    "bytes": ("string",),
    "string": ("bytes",),
}
"""What a reader of a type takes besides it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a reader cannot read of what a writer writes.

    Attributes:
        rule: Java's name of it, such as ``READER_FIELD_MISSING_DEFAULT_VALUE``.
        path: where, such as ``Order.items[].price``.
        pointer: where in the reader's schema, as Java tells it.
        reader, writer: what they have there.
        detail: Java's words.
        inside: of a branch of a union that was meant, why that does not fit.
    """

    rule: str
    path: str
    pointer: str
    reader: str
    writer: str
    detail: str
    inside: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Clash:
    """A version that a new schema may not follow.

    Attributes:
        version: as it was given.
        new_reads: whether the new schema cannot read what that version wrote; else the other way round.
        findings: why.
    """

    version: Any
    new_reads: bool
    findings: tuple[Finding, ...]


@dataclass(eq=False, slots=True)
class Type:
    """A type of a schema, its names resolved. ``inner``: of its items, values, branches or fields."""

    kind: str
    name: str = ""
    aliases: frozenset[str] = frozenset()
    inner: list[Type] = field(default_factory=list)
    fields: list[Mapping[str, Any]] = field(default_factory=list)
    symbols: tuple[str, ...] = ()
    default: str | None = None
    size: int = 0

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]

    def __str__(self) -> str:
        if self.kind == "union":
            return f"[{', '.join(map(str, self.inner))}]"
        if self.kind in ("array", "map"):
            return f"{self.kind} of {self.inner[0]}"
        return f"{self.kind} {self.name}" if self.name else self.kind


def parse(text: str, referenced: Iterable[str] = ()) -> Type:
    """A schema, given the texts of those that it refers to, each after those that it refers to itself.

    Raises:
        ValueError: it is none, as Java's parser has it, in 1.11 and in 1.12. Defaults of fields, and types that are
            defined twice, are for others.
    """
    named: dict[str, Type] = {}
    try:
        for each in referenced:
            _read(_loaded(each), "", named)
        return _read(_loaded(text), "", named)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no Avro schema: {error!r}") from error
    except RecursionError:
        raise ValueError("the schema is nested too deep") from None


def _loaded(text: str) -> Any:
    return text.strip() if text.strip() in PRIMITIVES else json.loads(text)


def _read(schema: Any, space: str, named: dict[str, Type]) -> Type:
    if isinstance(schema, list):
        return Type("union", inner=_branches([_read(branch, space, named) for branch in schema]))
    if isinstance(schema, str):
        if schema in PRIMITIVES:
            return Type(schema)
        found = named.get(_full(schema, space)) or named.get(schema)
        if found is None:
            raise ValueError(f"the type {schema} is not known")
        return found
    kind = schema["type"]
    if not isinstance(kind, str):
        raise ValueError('a type\'s "type" is no text')
    if kind in ("array", "map"):
        return Type(kind, inner=[_read(schema["items" if kind == "array" else "values"], space, named)])
    if kind not in ("record", "error", "enum", "fixed"):
        return _read(kind, space, named)
    own = schema.get("namespace")
    name = _full(_text(schema["name"]), own if isinstance(own, str) else space)
    space, _, short = name.rpartition(".")
    _identifier(short)
    if name in PRIMITIVES:
        raise ValueError(f"a type of one's own is called {name}")
    made = Type("record" if kind == "error" else kind, name)
    made.aliases = frozenset(_full(alias, space) for alias in _aliases(schema))
    for alias in made.aliases:
        _identifier(alias.rpartition(".")[2])
    named[name] = made
    if kind == "enum":
        made.symbols = _different("symbol", map(_identifier, _listed(schema, "symbols")))
        made.default = schema.get("default") if isinstance(schema.get("default"), str) else None
        if made.default is not None and made.default not in made.symbols:
            raise ValueError(f"the enum's default {made.default} is none of its symbols")
    elif kind == "fixed":
        made.size = schema["size"]
        if type(made.size) is not int or not 0 <= made.size < 2**31:
            raise ValueError(f"the size of {name} is no number from 0 to {2**31 - 1}")
    else:
        made.fields = _listed(schema, "fields")
        _different("field", (_identifier(each["name"]) for each in made.fields))
        for each in made.fields:
            _aliases(each)
            if _text(each.get("order", "ignore")).lower() not in ("ascending", "descending", "ignore"):
                raise ValueError(f"the order of field {each['name']} is none of ascending, descending and ignore")
            made.inner.append(_read(each["type"], space, named))
    return made


def _branches(branches: list[Type]) -> list[Type]:
    if any(branch.kind == "union" for branch in branches):
        raise ValueError("a union stands in a union")
    _different("branch", (branch.name or branch.kind for branch in branches))
    return branches


def _different(what: str, names: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        if name in found:
            raise ValueError(f"the {what} {name} is there twice")
        found[name] = None
    return tuple(found)


def _identifier(value: Any) -> str:
    """Letters of all alphabets, but one UTF-16 unit each, as Java looks at them."""
    name = _text(value)
    plain = name.replace("_", "a")
    if not plain or not all((c.isalpha() or c.isdecimal()) and c <= "\uffff" for c in plain) or plain[0].isdecimal():
        raise ValueError(f"{name!r} is no name: it takes letters, digits and _, and no digit in front")
    return name


def _aliases(schema: Mapping[str, Any]) -> list[str]:
    return list(map(_text, _listed(schema, "aliases"))) if "aliases" in schema else []


def _listed(schema: Mapping[str, Any], key: str) -> list[Any]:
    found = schema[key]
    if not isinstance(found, list):
        raise ValueError(f"{key} is no list")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{json.dumps(value)} is no text")
    return value


def _full(name: str, space: str) -> str:
    return name.removeprefix(".") if "." in name or not space else f"{space}.{name}"


def clashes(new: Type, earlier: Sequence[tuple[Any, Type]], level: str) -> Iterator[Clash]:
    """Those of the versions, given with their names and the oldest first, that ``new`` may not follow; the newest
    first, and of each what its readers cannot read before what the new reader cannot.

    Raises:
        ValueError: the schemas are nested too deep.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no compatibility level; there are {', '.join(LEVELS)}")
    direction, _, transitive = level.partition("_")
    if direction == "NONE":
        return
    for version, schema in reversed(earlier if transitive else earlier[-1:]):
        for new_reads in (False, True):
            if direction in ("FULL", "BACKWARD" if new_reads else "FORWARD"):
                reader, writer = (new, schema) if new_reads else (schema, new)
                if found := unread(reader, writer):
                    yield Clash(version, new_reads, found)


def unread(reader: Type, writer: Type) -> tuple[Finding, ...]:
    """Why ``reader`` cannot read all that ``writer`` writes; empty where it can.

    Raises:
        ValueError: the schemas are nested too deep.
    """
    at = _Place(("/",), reader.short or ("" if reader.kind in ("array", "map") else "(the schema)"))
    try:
        return _Comparison().of(reader, writer, at)
    except _AmbiguousError as ambiguous:
        return (ambiguous.finding,)
    except RecursionError:
        raise ValueError("the schema is nested too deep") from None


class _AmbiguousError(Exception):
    """Java ends with an exception, whatever else fits."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


@dataclass(frozen=True, slots=True)
class _Place:
    tokens: tuple[str, ...]
    path: str

    def to(self, *tokens: str, path: str = "") -> _Place:
        return _Place((*self.tokens, *tokens), self.path + path)

    def finding(self, rule: str, reader: object, writer: object, detail: str) -> Finding:
        pointer = "/" + "/".join(token.replace("~", "~0").replace("/", "~1") for token in self.tokens[1:])
        return Finding(rule, self.path, pointer, str(reader), str(writer), detail)


class _Comparison:
    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Finding, ...]] = {}

    def of(self, reader: Type, writer: Type, at: _Place) -> tuple[Finding, ...]:
        pair = id(reader), id(writer)
        if pair not in self._known:
            self._known[pair] = ()  # of a schema that holds itself: it fits, unless something else does not
            self._known[pair] = tuple(dict.fromkeys(self._compare(reader, writer, at)))
        return self._known[pair]

    def _compare(self, reader: Type, writer: Type, at: _Place) -> Iterator[Finding]:
        if writer.kind == "union":
            for number, branch in enumerate(writer.inner):
                found = self.of(reader, branch, at.to(str(number)))
                if reader.kind != "union":
                    yield from found
                elif found:
                    lacking = at.to(str(number)).finding(*_lacking(reader, branch))
                    yield replace(lacking, inside=found[0].inside)
        elif reader.kind == "union":
            anew = replace(at, tokens=("/",))  # so Java tells the places in there
            tried = [self.of(branch, writer, anew) for branch in reader.inner]
            if all(tried):
                meant = [found for branch, found in zip(reader.inner, tried, strict=True) if branch.kind == writer.kind]
                inside = meant[0] if len(meant) == 1 and writer.kind not in PRIMITIVES else ()
                yield replace(at.finding(*_lacking(reader, writer)), inside=inside)
        elif reader.kind != writer.kind:
            if writer.kind not in _PROMOTED.get(reader.kind, ()):
                kinds = f"reader type: {reader.kind.upper()} not compatible with writer type: {writer.kind.upper()}"
                yield at.finding("TYPE_MISMATCH", reader, writer, kinds)
        elif reader.kind in ("array", "map"):
            token, path = ("items", "[]") if reader.kind == "array" else ("values", "{}")
            yield from self.of(reader.inner[0], writer.inner[0], at.to(token, path=path))
        elif reader.name:
            yield from self._named(reader, writer, at)

    def _named(self, reader: Type, writer: Type, at: _Place) -> Iterator[Finding]:
        if reader.short != writer.short and writer.name not in reader.aliases:
            yield at.to("name").finding("NAME_MISMATCH", reader.name, writer.name, f"expected: {writer.name}")
        if reader.size != writer.size:
            sizes = f"expected: {writer.size}, found: {reader.size}"
            yield at.to("size").finding("FIXED_SIZE_MISMATCH", reader.size, writer.size, sizes)
        more = sorted(set(writer.symbols) - set(reader.symbols))
        if more and reader.default not in reader.symbols:
            symbols = ", ".join(more)
            yield at.to("symbols").finding("MISSING_ENUM_SYMBOLS", ", ".join(reader.symbols), symbols, f"[{symbols}]")
        there = {each["name"]: of for each, of in zip(writer.fields, writer.inner, strict=True)}
        for number, (wanted, inner) in enumerate(zip(reader.fields, reader.inner, strict=True)):
            here = at.to("fields", str(number), path=f".{wanted['name']}")
            names = [n for n in dict.fromkeys((wanted["name"], *(wanted.get("aliases") or ()))) if n in there]
            if len(names) > 1:
                words = f"the reader's field {wanted['name']} matches several of the writer's: {', '.join(names)}"
                raise _AmbiguousError(here.finding("AMBIGUOUS_FIELD", wanted["name"], ", ".join(names), words))
            if names:
                yield from self.of(inner, there[names[0]], here.to("type"))
            elif "default" in wanted:
                continue
            elif inner.kind == "enum" and inner.default is not None:  # so does Java: this enum and the whole record
                yield from self.of(inner, writer, here.to("type"))
            else:
                rule = "READER_FIELD_MISSING_DEFAULT_VALUE"
                yield here.finding(rule, f"{inner}, without a default", "no such field", wanted["name"])


def _lacking(reader: Type, writer: Type) -> tuple[str, Type, Type, str]:
    return "MISSING_UNION_BRANCH", reader, writer, f"reader union lacking writer type: {writer.kind.upper()}"
