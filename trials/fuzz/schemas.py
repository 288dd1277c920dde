"""Schemas as nobody should write them."""

from __future__ import annotations

import builtins
import json
import keyword
from random import Random
from typing import Any

HITS: list[str] = []
"""What has been run of a schema's text."""

PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "string", "bytes"]
LOGICAL = ["decimal", "uuid", "date", "time-millis", "time-micros", "timestamp-millis", "timestamp-micros",
           "timestamp-nanos", "local-timestamp-millis", "local-timestamp-micros", "duration", "of-nobody", "", 5, None,
           ["date"], "int-date", "decimal\n"]  # fmt: skip

_RUN = "__import__('trials.fuzz.schemas').fuzz.schemas.HITS.append('run')"
INJECTIONS = [
    f"x']; {_RUN}; y['", f'x"]; {_RUN}; y["', f"x\n{_RUN}\n", f"x'\n        {_RUN}\n        '", f"{{{_RUN}}}",
    f"\\'];{_RUN}#",
    f"');{_RUN};('", f"'''\n{_RUN}\n'''", f'"""\n{_RUN}\n"""', f"\\u0027];{_RUN};#", f"#\n{_RUN}", f"x\\\n{_RUN}",
    f"x\r{_RUN}",
    f"x\u2028{_RUN}", f"x\x0c{_RUN}", f"*[{_RUN}]", f"x:={_RUN}", f"%s' % {_RUN} + '", f"x', {_RUN}, 'y", _RUN,
    f"x;{_RUN}",
    f"lambda: {_RUN}", f"\\N{{LATIN SMALL LETTER A}}'];{_RUN}#", f"K1'] or {_RUN} or ['",
]  # fmt: skip
NAMES = [
    *keyword.kwlist, *(name for name in dir(builtins) if len(name) < 12), "__class__", "__dict__", "__init__",
    "__proto__",
    "value", "ctx", "p", "T", "join", "other", "write", "v1", "n1", "K1", "u1", "c1", "b1", "s1", "write_0",
    "write_long",
    "YES", "NO", "EMPTY", "SURPRISES", "Other", "AvroEncodingError", "deep", "f0", "depth", "v", "SCALARS", "is_leaf",
    "_",
    "", " ", "a b", "a-b", "1a", "a.b", ".a", "a.", "a..b", "ä", "\u0661", "\u2028", "\ud800", "\0", "a\0", "\n", "'",
    '"',
    "\\", "\\n", "`", "{}", "{0}", "%s", "-type", "type", "null", "string", "record", "R", "x" * 300, "ﬁ", "\U0001d569",
    "\u200b",
    "self", "cls", "items", "keys", "get", "mro", "name", "fields", "default", "self.x", "kafka_sr_retry_top",
]  # fmt: skip


def name(draw: Random) -> str:
    return draw.choice(INJECTIONS if draw.random() < 0.2 else NAMES)


def any_json(draw: Random) -> Any:
    return draw.choice([None, True, False, 0, -1, 1, 5, 1.5, 2**31, 2**63, 10**30, float("nan"), float("inf"), "",
        "x", "int",
                        "\ud800", [], {}, [None], ["int"], {"type": "int"}, [[]], "5", "ABC", ["A", "A"], [5], {"A": 1},
                        {"a": {"b": []}}, name(draw), [name(draw)], {"type": "record"}, 1e308, -0.0])  # fmt: skip


class Drawn:
    """One schema.

    Attributes:
        names: of the named types so far.
        spoils: the chance that a part has something wrong.
    """

    def __init__(self, draw: Random, spoils: float) -> None:
        self.draw = draw
        self.spoils = spoils
        self.names: list[str] = []
        self.left = 60

    def any(self, depth: int) -> Any:
        draw = self.draw
        self.left -= 1
        kinds = ["primitive"] * 3 + ["wrapped", "logical", "enum", "fixed"]
        if self.names:
            kinds += ["known"] * 2
        if depth > 0 and self.left > 0:
            kinds += ["record"] * 3 + ["array", "map", "union", "union", "nested"]
        schema = getattr(self, draw.choice(kinds))(depth)
        return self.spoilt(schema) if draw.random() < self.spoils else schema

    def spoilt(self, schema: Any) -> Any:
        draw = self.draw
        if not isinstance(schema, dict):
            return (
                any_json(draw)
                if not isinstance(schema, list)
                else draw.choice([schema * 2, [schema], [], any_json(draw)])
            )
        keys = [*schema, "name", "namespace", "type", "default", "size", "symbols", "logicalType", "precision",
            "scale", "aliases",
                "doc", "order", "items", "values", "fields", "__fastavro_parsed", "__named_schemas"]  # fmt: skip
        key = draw.choice(keys)
        changed = {**schema, key: any_json(draw)}
        if draw.random() < 0.3:
            changed.pop(draw.choice(list(schema)))
        return changed

    def primitive(self, depth: int) -> Any:
        return self.draw.choice(PRIMITIVES)

    def wrapped(self, depth: int) -> Any:
        return {"type": self.draw.choice(PRIMITIVES), "doc": self.draw.choice(INJECTIONS), "x": any_json(self.draw)}

    def nested(self, depth: int) -> Any:
        return {"type": self.any(depth - 1)}

    def known(self, depth: int) -> Any:
        return self.draw.choice(self.names)

    def logical(self, depth: int) -> Any:
        draw = self.draw
        base = draw.choice(["int", "long", "string", "bytes", "fixed", draw.choice(PRIMITIVES)])
        schema = {"type": base, "logicalType": draw.choice(LOGICAL)}
        if base == "fixed":
            schema |= {"name": self.new_name(), "size": draw.choice([0, 1, 4, 8, 12, 16, 10_000, 10_001])}
        if draw.random() < 0.7:
            schema["precision"] = draw.choice([1, 4, 9, 38, 10_000, 0, -1, 10**30, "4", None, 4.0, True])
        if draw.random() < 0.7:
            schema["scale"] = draw.choice([0, 2, 4, 9, 10_000, 10_001, -1, 10**30, "2", None, 2.0, True])
        return schema

    def new_name(self) -> str:
        found = name(self.draw) if self.draw.random() < 0.6 else f"N{len(self.names)}"
        self.names.append(found)
        return found

    def space(self, schema: dict[str, Any]) -> dict[str, Any]:
        if self.draw.random() < 0.2:
            schema["namespace"] = self.draw.choice(["a.b", "", ".", "a", name(self.draw)])
        return schema

    def enum(self, depth: int) -> Any:
        draw = self.draw
        count = draw.choice([1, 2, 3, 5, 0, 300, 5000] if draw.random() < 0.3 else [1, 2, 3])
        symbols = [f"S{number}" for number in range(count)]
        if draw.random() < 0.3:
            symbols += [name(draw) for _ in range(2)]
        schema = {"type": "enum", "name": self.new_name(), "symbols": symbols}
        if draw.random() < 0.2:
            schema["default"] = draw.choice([*symbols[:1], "none", 5])
        return self.space(schema)

    def fixed(self, depth: int) -> Any:
        size = self.draw.choice([0, 1, 4, 16, 16, 1000, 10**9, 2**40] if self.draw.random() < 0.2 else [1, 4, 16])
        return self.space({"type": "fixed", "name": self.new_name(), "size": size})

    def array(self, depth: int) -> Any:
        return {"type": "array", "items": self.any(depth - 1)}

    def map(self, depth: int) -> Any:
        return {"type": "map", "values": self.any(depth - 1)}

    def union(self, depth: int) -> Any:
        return [self.any(depth - 1) for _ in range(self.draw.choice([0, 1, 2, 2, 2, 3, 4]))]

    def record(self, depth: int) -> Any:
        draw = self.draw
        own = self.new_name()
        count = draw.choice([0, 1, 2, 3, 4, 16, 40, 300] if draw.random() < 0.15 else [1, 2, 3])
        fields = []
        for number in range(count):
            field: dict[str, Any] = {"name": name(draw) if draw.random() < 0.6 else f"f{number}"}
            field["type"] = self.any(depth - 1) if count < 10 else draw.choice([*PRIMITIVES, own])
            if draw.random() < 0.3:
                field["default"] = any_json(draw) if draw.random() < 0.5 else draw.choice([None, 0, "", [], {}])
            if draw.random() < 0.1:
                field |= {"order": any_json(draw), "aliases": any_json(draw), "doc": draw.choice(INJECTIONS)}
            fields.append(self.spoilt(field) if draw.random() < self.spoils / 2 else field)
        if draw.random() < 0.3:
            recursive = draw.choice(
                [["null", own], {"type": "array", "items": own}, {"type": "map", "values": own}, own]
            )
            fields.append(
                {"name": "again", "type": recursive, **({"default": any_json(draw)} if draw.random() < 0.3 else {})}
            )
        kind = "error" if draw.random() < 0.05 else "record"
        return self.space({"type": kind, "name": own, "doc": draw.choice(INJECTIONS), "fields": fields})


def deep(draw: Random) -> str:
    """Nested in each other, below and above what is followed."""
    depth = draw.choice([5, 19, 21, 90, 110, 240, 260, 490, 510, 20_000])
    before, after = draw.choice([('{"type":"array","items":', "}"), ('{"type":"map","values":', "}"), ('{"type":', "}"),
                                 ("[", "]"), ('["null",', "]"), ('{"type":"array","items":["null",',
                                     "]}")])  # fmt: skip
    return (
        before * depth + draw.choice(['"int"', '"string"', '{"type":"record","name":"R","fields":[]}']) + after * depth
    )


def wide(draw: Random) -> Any:
    count = draw.choice([20, 300, 3000])
    kind = draw.choice([*PRIMITIVES, ["null", "string"], ["int", "string", {"type": "array", "items": "long"}]])
    return {"type": "record", "name": "Wide", "fields": [{"name": f"f{n}", "type": kind} for n in range(count)]}


def doubling(draw: Random) -> Any:
    """Whose defaults come to twice as much at each level."""
    schema: Any = {"type": "record", "name": "R0", "fields": [{"name": "x", "type": "null"}]}
    for level in range(1, draw.choice([3, 10, 40])):
        fields = [{"name": "a", "type": schema, "default": {}}, {"name": "b", "type": f"R{level - 1}", "default": {}}]
        schema = {"type": "record", "name": f"R{level}", "fields": fields}
    return schema


def hostile(draw: Random) -> Any:
    """A schema, mostly one that can be parsed."""
    drawn = Drawn(draw, draw.choice([0, 0, 0.05, 0.2]))
    if draw.random() < 0.04:
        return doubling(draw) if draw.random() < 0.3 else wide(draw)
    return drawn.record(3) if draw.random() < 0.7 else drawn.any(3)


def hostile_text(draw: Random) -> str:
    if draw.random() < 0.04:
        return deep(draw)
    text = json.dumps(hostile(draw), ensure_ascii=draw.random() < 0.8)
    if draw.random() < 0.05:
        at = draw.randrange(len(text) + 1)
        return draw.choice([text[:at], text[at:], text[:at] + name(draw) + text[at:], f"{text}{text}", f"\ufeff{text}"])
    return text
