"""Seeded schemas and values: the native encoder, the compiled function and fastavro write the same, or all refuse."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, make_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from io import BytesIO
from keyword import iskeyword
from random import Random
from typing import Any
from uuid import UUID

from fastavro import parse_schema, schemaless_writer

from kafka_sr_retry import AvroEncodingError, ConfigurationError
from kafka_sr_retry.avro.encoder import ENCODER, AvroSchema
from kafka_sr_retry.avro.native import program
from kafka_sr_retry.avro.types import Unsuitable
from tests.unit.test_compiler import ODD, oddly
from trials.fuzz import schemas
from trials.fuzz.encoding import GOOD, LIMITS, PREFIX, Values, changed

OF_A_SCHEMA = 48
"""Values."""

Write = Callable[[Any, Any], bytes]


class Left(Exception):  # noqa: N818
    """The native program has left a value to fastavro."""


def leaves(value: Any, prefix: bytes) -> bytes:
    raise Left


@dataclass(frozen=True)
class Three:
    """The writers of one schema.

    Attributes:
        native: the program alone.
        ours: by the names of encoders, the whole way of a value.
    """

    native: Write
    ours: dict[str, Write]
    parsed: Any

    def theirs(self, value: Any) -> bytes | None:
        out = BytesIO()
        try:
            schemaless_writer(out, self.parsed, value)
        except Exception:  # noqa: BLE001 it raises what it meets
            return None
        return PREFIX + out.getvalue()


def three(text: str) -> Three | None:
    """``None`` where the schema is no schema, or never the native encoder's."""
    try:
        raw, named = json.loads(text), dict[str, Any]()
        parsed = parse_schema(raw, named_schemas=named)
        ours = {}
        for encoder in ("native", "python"):
            os.environ[ENCODER] = encoder
            ours[encoder] = AvroSchema(text).writer(PREFIX)
        if parsed == "bytes" or (
            isinstance(parsed, dict) and parsed["type"] == "bytes"
        ):  # written raw, without a length
            ours = {}
        return Three(program(parsed, named).writer(PREFIX, leaves), ours, parsed)
    except (ConfigurationError, Unsuitable):
        return None
    except Exception:  # noqa: BLE001 fastavro raises what it meets in a schema
        return None


def told(write: Write, value: Any) -> bytes | str | None:
    """``None`` where it refuses; a text where that is for a limit of ours."""
    try:
        return write(value, None)
    except AvroEncodingError as error:
        return str(error) if any(words in str(error) for words in LIMITS) else None


EDGES: dict[type, list[Any]] = {
    int: [0, -1, 63, 64, -64, -65, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63, -(2**63), 10**400],
    float: [0.0, -0.0, 3.4028235e38, 3.4028236e38, 1e39, -1e300, 5e-324, float("-inf"), float("nan")],
    str: ["", "\ud800", "\U0001f600", "\0", "x" * 1024, "é" * 600],
    bytes: [b"", bytes(1024), b"\xff" * 5000],
    Decimal: [Decimal(text) for text in ("0", "-0", "0.00", "1.27", "1.28", "-1.28", "-1.29", "9" * 18, "9" * 19, "1E2",
                                         "0.001", "1E-9", "-0.01", "NaN", "Infinity")],
    UUID: [UUID(int=0), UUID(int=2**128 - 1), UUID(int=1)],
}  # fmt: skip


def at_the_edge(draw: Random, value: Any) -> Any:
    """The same, with some of what is in it at its type's edges."""
    if type(value) is list:
        return [at_the_edge(draw, item) for item in value]
    if type(value) is dict:
        return {key: at_the_edge(draw, item) for key, item in value.items()}
    return draw.choice(EDGES[type(value)]) if type(value) in EDGES and draw.random() < 0.4 else value


def with_attributes(draw: Random, value: Any) -> Any:
    """The same value, some of its dicts as objects of dataclasses."""
    if type(value) is list:
        return [with_attributes(draw, item) for item in value]
    if type(value) is dict:
        inner = {key: with_attributes(draw, item) for key, item in value.items()}
        if draw.random() < 0.6 and all(is_name(key) for key in inner):
            return class_of(tuple(inner))(*inner.values())
        return inner
    return value


@lru_cache(maxsize=1000)
def class_of(names: tuple[str, ...]) -> Callable[..., Any]:
    try:
        return make_dataclass("Some", names)
    except TypeError:  # what classes have besides, such as ``mro``, is taken for a default
        return lambda *values: dict(zip(names, values, strict=True))


def with_keys_of(draw: Random, value: Any, another: Any) -> Any:
    """The same value, with items of another where both are dicts, or lack them."""
    if type(value) is not dict or type(another) is not dict:
        return value
    if value.keys() == another.keys():
        return {key: with_keys_of(draw, item, another[key]) for key, item in value.items()}
    return {**value, **{key: item for key, item in another.items() if draw.random() < 0.5}}


def as_classes(draw: Random, value: Any) -> Any:
    """The same value, some of it of classes of its types: of texts and integers as members of an ``Enum``."""
    if type(value) is list:
        return [as_classes(draw, item) for item in value]
    if type(value) is dict:
        return {key: as_classes(draw, item) for key, item in value.items()}
    if type(value) in CLASSES and draw.random() < 0.4:
        return CLASSES[type(value)](value)
    return value


class Float(float):
    pass


class Moment(datetime):
    pass


@lru_cache(maxsize=1000)
def member_of(base: type, value: Any) -> Any:
    return Enum("Some", {"ONE": value}, type=base).ONE  # type: ignore[attr-defined]


CLASSES: dict[type, Callable[[Any], Any]] = {
    str: partial(member_of, str),
    int: partial(member_of, int),
    float: Float,
    datetime: lambda given: Moment.fromisoformat(given.isoformat()),
}


KINDS: list[Any] = [
    "int", "long", "string", "double", "bytes", ["null", "int"], ["int", "string"], ["int", "long"],
    ["float", "double"],
    *({"type": "enum", "name": name, "symbols": ["A", name]} for name in ("E", "F")),
    *({"type": "fixed", "name": f"Fixed{size}", "size": size} for size in (1, 2)),
    *({"type": base, "logicalType": name} for base, name in (("int", "date"), ("string", "uuid"),
      ("int", "time-millis"), ("long", "timestamp-millis"), ("long", "timestamp-micros"),
      ("long", "local-timestamp-millis"))),
    *({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": scale} for scale in (0, 2)),
    {"type": "array", "items": "int"}, {"type": "array", "items": ["null", {"type": "int", "logicalType": "date"}]},
    {"type": "map", "values": "long"}, {"type": "record", "name": "I", "fields": [{"name": "a", "type": "string"}]},
]  # fmt: skip
"""Of fields that events have in common, by name at least."""


def events(draw: Random) -> str:
    """A union of records with fields of the same names, and of what else a union has."""
    defined: set[str] = set()

    def kind() -> Any:
        found = draw.choice(KINDS)
        name = found.get("name") if isinstance(found, dict) else None
        if name in defined:
            return name
        defined.update([name] if name else [])
        return found

    records = []
    for number in range(draw.randrange(2, 5)):
        fields = [{"name": name, "type": kind()} for name in draw.sample("abcd", draw.randrange(4))]
        for field in fields:
            if draw.random() < 0.1 and field["type"] in ("int", "long"):
                field["default"] = 7
        records.append({"type": "error" if draw.random() < 0.05 else "record", "name": f"R{number}", "fields": fields})
    union = [*records, *draw.sample(["null", "string", {"type": "map", "values": "int"}], draw.randrange(2))]
    draw.shuffle(union)
    text = json.dumps(union)
    try:
        parse_schema(json.loads(text))
    except Exception:  # noqa: BLE001 shuffled, a name may stand before what it names
        return events(draw)
    return (
        text
        if draw.random() < 0.5
        else json.dumps({"type": "record", "name": "Top", "fields": [{"name": "u", "type": union}]})
    )


def is_name(key: Any) -> bool:
    return type(key) is str and key.isascii() and key.isidentifier() and not iskeyword(key) and not key.startswith("__")


def one(draw: Random, counts: Counter[str]) -> str:
    """The values of one schema; says what differs."""
    which = draw.random()
    text = draw.choice(GOOD) if which < 0.3 else events(draw) if which < 0.5 else schemas.hostile_text(draw)
    if len(text) > 50_000 or "__fastavro" in text or "__named" in text:
        return ""
    found = three(text)
    if found is None:
        counts["schemas left out"] += 1
        return ""
    counts["schemas"] += 1
    raw = json.loads(text)
    for number in range(OF_A_SCHEMA):
        plain = Values(draw, raw).of(raw)
        if number % 2:
            plain = at_the_edge(draw, plain) if draw.random() < 0.5 else changed(draw, plain, draw.choice(ODD))
        if draw.random() < 0.3:
            plain = with_keys_of(draw, plain, Values(draw, raw).of(raw))
        if draw.random() < 0.2:
            plain = as_classes(draw, plain)
        how, seed = number % 4, draw.random()

        def value(plain: Any = plain, how: int = how, seed: float = seed) -> Any:
            """Anew each time: some are used up when they are read."""
            if how == 2:
                return with_attributes(Random(seed), plain)
            if how == 3 and seed < 0.3:
                with suppress(TypeError):  # a class cannot have fields of some of these names
                    return oddly(Random(seed), plain)
            return plain

        difference = compared(found, plain, value, counts)
        if difference:
            return f"{difference}\nvalue: {plain!r:.500}, in form {how}\nschema: {text:.2000}"
    return ""


def compared(found: Three, plain: Any, value: Callable[[], Any], counts: Counter[str]) -> str:
    counts["values"] += 1
    try:
        alone: bytes | None = found.native(value(), None)
        counts["written by native code"] += 1
    except Left:
        alone = None
        counts["left to fastavro"] += 1
    ours = {name: told(write, value()) for name, write in found.ours.items()}
    is_plain = value() is plain
    theirs = found.theirs(plain) if is_plain or alone is not None else None
    counts["refused by all"] += set(ours.values()) == {None}
    if alone is not None and alone != theirs:
        return f"native {alone!r:.200}, fastavro {theirs!r:.200}"
    if len({*ours.values()}) > 1:
        return f"by encoder: {ours!r:.600}"
    if is_plain and ours and not isinstance(ours["native"], str) and ours["native"] != theirs and not has_set(plain):
        return f"ours {ours!r:.400}, fastavro {theirs!r:.200}"
    return ""


def has_set(value: Any) -> bool:
    """Which turns no union of ours to another branch, as docs/encoding.md says, but fastavro's."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, set) or any(map(has_set, inner))


def run(values: int, seed: int, case: int | None = None) -> int:
    print(f"seed {seed}", flush=True)
    counts: Counter[str] = Counter()
    began, number, shown = time.monotonic(), case or 0, 0
    while counts["values"] < values:
        difference = one(Random(f"{seed}/{number}"), counts)
        if difference:
            print(f"python -m trials.native --seed {seed} --case {number}\n{difference}")
            counts["differences"] += 1
        if case is not None or counts["differences"] == 10:
            break
        number += 1
        if counts["values"] // 50_000 > shown and sys.stdout.isatty():
            shown = counts["values"] // 50_000
            print(f"{counts['values']:,} values, {counts['differences']} differences", flush=True)
    for name in ("schemas", "schemas left out", "values", "written by native code", "left to fastavro",
                 "refused by all", "differences"):  # fmt: skip
        print(f"{name:24}{counts[name]:>12,}")
    print(f"{'seconds':24}{time.monotonic() - began:>12,.0f}")
    return 1 if counts["differences"] else 0


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m trials.native", description=__doc__)
    arguments.add_argument("--values", type=int, default=20_000, help="to compare at least (20,000)")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--case", type=int, help="one schema of the seed again, with its values")
    given = arguments.parse_args()
    return run(given.values, given.seed, given.case)


if __name__ == "__main__":
    raise SystemExit(main())
