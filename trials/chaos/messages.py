"""Schemas and records, each new and drawn: no two schemas of a run are one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Json = dict[str, Any]


def _text(rng: Random) -> str:
    return "".join(rng.choices('abc xyzäß\u20ac\U0001f375\x00"', k=rng.randint(0, 30)))


def _whole(rng: Random) -> int:
    return rng.choice([0, -1, rng.randint(-(2**63), 2**63 - 1), rng.randint(-100, 100)])


_POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "double"}]}
_COLOURS = ["RED", "GREEN", "BLUE"]
_FIELDS: list[tuple[Any, Callable[[Random], Any]]] = [
    ("string", _text),
    ("long", _whole),
    ("double", lambda rng: rng.uniform(-1e9, 1e9)),
    ("boolean", lambda rng: rng.random() < 0.5),
    ("bytes", lambda rng: rng.randbytes(rng.randint(0, 40))),
    (["null", "string"], lambda rng: rng.choice([None, _text(rng)])),
    (["null", "long"], lambda rng: rng.choice([None, _whole(rng)])),
    ({"type": "array", "items": "long"}, lambda rng: [_whole(rng) for _ in range(rng.randint(0, 5))]),
    ({"type": "map", "values": "string"}, lambda rng: {_text(rng): _text(rng) for _ in range(rng.randint(0, 4))}),
    ({"type": "enum", "name": "Colour", "symbols": _COLOURS}, lambda rng: rng.choice(_COLOURS)),
    (_POINT, lambda rng: {"x": rng.randint(-(2**31), 2**31 - 1), "y": rng.random()}),
]


class Kind:
    """A schema, and what draws records for it. Its name makes it unlike any other."""

    def __init__(self, rng: Random, name: str) -> None:
        drawn = rng.sample(_FIELDS, rng.randint(1, len(_FIELDS)))
        fields = [{"name": f"f{number}", "type": kind} for number, (kind, _) in enumerate(drawn)]
        uid = {"name": "uid", "type": "string"}
        self.schema: Json = {"type": "record", "name": name, "namespace": "chaos", "fields": [uid, *fields]}
        self._draw = [draw for _, draw in drawn]

    def record(self, rng: Random, uid: str) -> Json:
        return {"uid": uid, **{f"f{number}": draw(rng) for number, draw in enumerate(self._draw)}}
