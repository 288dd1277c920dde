"""The kinds that ask nobody: hostile schemas, and objects of all kinds, given to a serializer that knows its id.

What comes out is fastavro's bytes for the same value, or a documented error.
"""

from __future__ import annotations

import ast
import copy
import datetime
import decimal
import json
import re
import time
import traceback
import uuid
from io import BytesIO
from random import Random
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from kafka_sr_retry import AvroSerializer, RegisteredSchema, Schema, SchemaRegistryClient
from kafka_sr_retry.avro.encoder import AvroSchema
from kafka_sr_retry.avro.types import Unsuitable
from kafka_sr_retry.errors import AvroEncodingError, ConfigurationError
from tests.unit.test_compiler import ODD, oddly

from . import objects as strange
from . import schemas as odd_schemas
from .asking import FAR, Fault, World
from .objects import HIDDEN, Ends

PREFIX = b"\0\0\0\0\7"
VALUE = SerializationContext("topic", MessageField.VALUE)
LIMITS = ("records, arrays and maps within one another", f"more than {10_000} digits", "too deep")
"""Words of the limits that docs/encoding.md names, which fastavro does not have."""

UTC = datetime.timezone.utc
_client: list[SchemaRegistryClient] = []


def client() -> SchemaRegistryClient:
    if not _client:
        _client.append(SchemaRegistryClient({"url": "http://127.0.0.1:1", "ssl.ca.location": False}))
    return _client[0]


class Written:
    """A schema's serializer, and fastavro beside it."""

    def __init__(self, text: str, conf: dict[str, Any]) -> None:
        self.text = text
        self.options = {key.removeprefix("validate.").replace(".", "_"): True for key in conf}
        self.serializer = AvroSerializer(client(), RegisteredSchema(7, None, None, None, Schema(text)), None, conf)
        self.raw = json.loads(text)
        top = self.raw["type"] if isinstance(self.raw, dict) else self.raw
        while isinstance(top, dict):
            top = top.get("type")
        self.compares = top != "bytes" and "__fastavro" not in text and "__named" not in text
        self._parsed: Any = None

    def ours(self, value: Any) -> bytes | AvroEncodingError | ConfigurationError | Ends:
        try:
            return self.serializer(value, VALUE)
        except (AvroEncodingError, ConfigurationError, Ends) as error:
            return error
        except BaseException as error:  # noqa: BLE001
            shown = "".join(traceback.format_exception(error))[-1500:]
            raise Fault(f"no documented error for a {type(value)}, schema {self.text[:500]}:\n{shown}") from None

    def fastavros(self, value: Any) -> bytes | None:
        out = BytesIO()
        try:
            self._parsed = self._parsed or parse_schema(copy.deepcopy(self.raw))
            schemaless_writer(out, self._parsed, value, **self.options)
        except Exception:  # noqa: BLE001 it raises what it meets
            return None
        return PREFIX + out.getvalue()

    def reads(self, message: bytes) -> bool:
        """Whether a message is a whole one of this schema."""
        rest = BytesIO(message[5:])
        try:
            schemaless_reader(rest, self._parsed or parse_schema(copy.deepcopy(self.raw)), None)
        except Exception:  # noqa: BLE001
            return False
        return not rest.read()

    def check(self, value: Any, told: bytes | BaseException, plain: Any) -> None:
        """``plain``: the same value in dicts and lists; what is plain already must be refused by both, or by none."""
        shown = f"{str(plain)[:300]} under {self.text[:700]}"
        if isinstance(told, AvroEncodingError):
            hides(told)
            if value is plain and not any(words in str(told) for words in LIMITS):
                theirs = self.fastavros(plain)
                if theirs is not None and self.compares:
                    raise Fault(f"refused: {told}; fastavro writes {theirs[:60]!r}: {shown}")
        elif isinstance(told, bytes) and self.compares:
            theirs = self.fastavros(plain)
            if told != theirs:
                raise Fault(f"other bytes: {told[:60]!r}, fastavro {theirs and theirs[:60]!r}: {shown}")


def hides(error: BaseException) -> None:
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    if HIDDEN in told:
        raise Fault(f"an error shows a value: {told[:700]}")


# -- values ----------------------------------------------------------------------------------------


class Values:
    """Draws values for a schema as it is written, as well as it goes."""

    def __init__(self, draw: Random, raw: Any) -> None:
        self.draw = draw
        self.named: dict[str, Any] = {}
        self.left = 300
        self._learn(raw, 0)

    def _learn(self, schema: Any, depth: int) -> None:
        if depth > 60:
            return
        if isinstance(schema, list):
            for each in schema:
                self._learn(each, depth + 1)
        elif isinstance(schema, dict):
            if isinstance(schema.get("name"), str) and "type" in schema:
                self.named.setdefault(schema["name"], schema)
            for key in ("type", "items", "values"):
                self._learn(schema.get(key), depth + 1)
            fields = schema.get("fields")
            for each in fields if isinstance(fields, list) else ():
                self._learn(each.get("type") if isinstance(each, dict) else None, depth + 1)

    def of(self, schema: Any, depth: int = 0) -> Any:
        draw = self.draw
        self.left -= 1
        if depth > 12 or self.left < 0 or draw.random() < 0.02:
            return draw.choice(ODD) if draw.random() < 0.3 else None
        if isinstance(schema, list):
            null = [each for each in schema if each == "null"]
            branch = draw.choice(null if null and (depth > 5 or self.left < 100) else schema) if schema else None
            return self.of(branch, depth + 1)
        if isinstance(schema, str) and schema in self.named and schema not in odd_schemas.PRIMITIVES:
            schema = self.named[schema]
        kind = schema.get("type") if isinstance(schema, dict) else schema
        if isinstance(kind, (dict, list)):
            return self.of(kind, depth + 1)
        if isinstance(schema, dict) and isinstance(schema.get("logicalType"), str) and draw.random() < 0.7:
            return self.logical(schema)
        match kind:
            case "boolean":
                return draw.random() < 0.5
            case "int" | "long":
                bits = draw.choice([3, 6, 7, 13, 14, 31, 31 if kind == "int" else 63])
                return draw.randrange(-(2**bits), 2**bits)
            case "float" | "double":
                return draw.choice([0.0, -1.5, 5, float("nan"), float("inf"), draw.uniform(-1e9, 1e9)])
            case "string":
                return draw.choice(
                    ["", "x", "é", HIDDEN, "y" * draw.choice([63, 64, 9000]), draw.choice(odd_schemas.INJECTIONS)]
                )
            case "bytes":
                return bytes(draw.choice([0, 1, 63, 64, 9000]))
            case "fixed":
                size = schema.get("size")
                return bytes(size if isinstance(size, int) and 0 <= size <= 100_000 else 3)
            case "enum":
                symbols = schema.get("symbols")
                return draw.choice(symbols) if isinstance(symbols, list) and symbols else HIDDEN
            case "array":
                return [self.of(schema.get("items"), depth + 1) for _ in range(draw.choice([0, 1, 1, 2, 4]))]
            case "map":
                return {draw.choice(["k", "", "é", HIDDEN[:3]]): self.of(schema.get("values"), depth + 1)
                        for _ in range(draw.choice([0, 1, 2]))}  # fmt: skip
            case "record" | "error":
                fields = schema.get("fields")
                found = {}
                for each in fields if isinstance(fields, list) else ():
                    if isinstance(each, dict) and isinstance(each.get("name"), str) and draw.random() < 0.97:
                        found[each["name"]] = self.of(each.get("type"), depth + 1)
                return found
        return None

    def logical(self, schema: Any) -> Any:
        draw = self.draw
        when = datetime.datetime(draw.randrange(1, 9999), 5, 6, 7, 8, 9, draw.randrange(10**6))
        scale = schema.get("scale")
        scale = scale if isinstance(scale, int) and 0 <= scale < 40 else 2
        return draw.choice(
            {
                "decimal": [decimal.Decimal(draw.randrange(-999, 999)).scaleb(-scale), decimal.Decimal("NaN"),
                    decimal.Decimal(1)],
                "uuid": [uuid.UUID(int=draw.getrandbits(128)), "0" * 32, HIDDEN],
                "date": [when.date(), when, "2026-01-02", 5],
                "time-millis": [when.time(), 5],
                "time-micros": [when.time(), 5],
            }.get(schema["logicalType"], [when, when.replace(tzinfo=UTC), 5, HIDDEN])
        )  # fmt: skip


def changed(draw: Random, value: Any, new: Any) -> Any:
    """The value with something else at some place in it."""
    if isinstance(value, dict) and value and draw.random() < 0.75:
        key = draw.choice(list(value))
        return {**value, key: changed(draw, value[key], new)}
    if isinstance(value, list) and value and draw.random() < 0.75:
        at = draw.randrange(len(value))
        return [*value[:at], changed(draw, value[at], new), *value[at + 1 :]]
    return new


# -- kinds -----------------------------------------------------------------------------------------

_KNOWN = re.compile(
    r"[a-zA-Z]\d+|write(_\d+|_longs?|_int|_run)?|pack(_float|_double)?|[A-Z][A-Z_]*|value|ctx|prefix|p|i|join|other|message|raised|error"
    r"|type|len|map|str|int|float|bool|bytes|list|dict|Other|AvroEncodingError|Exception|count_of|min|max"
)
_METHODS = {"encode", "copy", "items", "values", "issuperset", "adjusted", "clear"}


def harmless(text: str) -> None:
    """The function of a schema holds nothing of its text but constants."""
    try:
        source = AvroSchema(text).source()
    except Unsuitable:
        return
    for node in ast.walk(ast.parse(source)):
        name = node.id if isinstance(node, ast.Name) else node.name if isinstance(node, ast.FunctionDef) else None
        if name is not None and not _KNOWN.fullmatch(name):
            raise Fault(f"the name {name!r} in the function of {text[:500]}")
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Lambda, ast.ClassDef, ast.Global)):
            raise Fault(f"a {type(node).__name__} in the function of {text[:500]}")
        if isinstance(node, ast.Attribute) and node.attr not in _METHODS:
            raise Fault(f"the attribute {node.attr!r} in the function of {text[:500]}")


CONFS: list[dict[str, Any]] = [{}] * 6 + [{"validate.strict": True}, {"validate.strict.allow.default": True}]


def _made(text: str, conf: dict[str, Any]) -> Written | None:
    try:
        return Written(text, conf)
    except ConfigurationError as error:
        if len(str(error)) > 20_000 or not str(error).isprintable():
            raise Fault(f"an error of no printable line, or too long: {str(error)[:500]!r}") from None
        return None
    except Fault:
        raise
    except BaseException as error:  # noqa: BLE001
        shown = "".join(traceback.format_exception(error))[-1500:]
        raise Fault(f"no documented error for the schema {text[:1000]!r}:\n{shown}") from None


def _timed(world: World, began: float) -> None:
    """Of the processor's time, as nothing here waits."""
    world.late = time.thread_time() - began
    if world.late > FAR:
        raise Fault(f"took {world.late:.1f} s")


def schemas(world: World, draw: Random) -> None:
    began = time.thread_time()
    text = odd_schemas.hostile_text(draw)
    odd_schemas.HITS.clear()
    written = _made(text, draw.choice(CONFS))
    world.calls += 1
    if written is None:
        world.refused += 1
    else:
        for number in range(4):
            value = Values(draw, written.raw).of(written.raw)
            if number == 2:
                value = changed(draw, value, draw.choice(ODD))
            if value is None:
                continue
            plain = value
            if number == 3:
                value = oddly(Random(draw.random()), value)
            world.calls += 1
            told = written.ours(value)
            if isinstance(told, AvroEncodingError):
                world.refused += 1
            written.check(value, told, plain)
        if len(text) < 100_000:
            harmless(text)
    if odd_schemas.HITS:
        raise Fault(f"the schema's text was run: {text[:1000]}")
    _timed(world, began)


GOOD = [
    '{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"s","type":["null","string"],"default":null},'
    '{"name":"again","type":["null","R"],"default":null}]}',
    '{"type":"record","name":"R","fields":[{"name":"id","type":{"type":"array","items":"long"}},'
    '{"name":"s","type":{"type":"map","values":["null","string","R"]}}]}',
    '{"type":"record","name":"R","fields":[{"name":"id","type":["null",{"type":"array","items":"double"},"bytes"]},'
    '{"name":"s","type":[{"type":"record","name":"A","fields":[{"name":"id","type":"int"}]},'
    '{"type":"record","name":"B","fields":[{"name":"id","type":"int"},{"name":"s","type":["null","string"]}]}]}]}',
    '{"type":"record","name":"R","fields":[{"name":"id","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},'
    '{"name":"s","type":{"type":"string","logicalType":"uuid"}},{"name":"d","type":{"type":"int","logicalType":"date"}},'
    '{"name":"t","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},'
    '{"name":"m","type":{"type":"int","logicalType":"time-millis"}}]}',
    '{"type":"record","name":"R","fields":[{"name":"id","type":{"type":"enum","name":"E","symbols":["S0","x"]}},'
    '{"name":"s","type":{"type":"fixed","name":"F","size":4}},{"name":"b","type":"boolean"},{"name":"f","type":"float"},'
    '{"name":"y","type":"bytes"},{"name":"n","type":"null"}]}',
    '{"type":"array","items":{"type":"map","values":{"type":"array","items":["null","string"]}}}',
    '["null","string","long",{"type":"map","values":"string"},{"type":"array","items":"string"}]',
    '"string"', '"long"', '"double"', '"bytes"', '"boolean"', '{"type":"map","values":"long"}',
    '{"type":"array","items":"string"}',
]  # fmt: skip


def objects(world: World, draw: Random) -> None:
    """One strange object somewhere in a value that else fits."""
    began = time.thread_time()
    text = draw.choice(GOOD)
    written = _made(text, draw.choice(CONFS))
    assert written is not None
    for _ in range(3):
        value = Values(draw, written.raw).of(written.raw)
        make, place = strange.odd(draw), draw.random()
        world.calls += 1
        given = changed(Random(place), value, make())
        if given is None:
            continue
        told = written.ours(given)
        if isinstance(told, AvroEncodingError):
            world.refused += 1
            hides(told)
        elif (
            isinstance(told, bytes)
            and written.compares
            and told != _theirs(written, changed(Random(place), value, make()))
            and not written.reads(told)
        ):
            raise Fault(f"neither fastavro's bytes nor a whole message: {told[:60]!r} for {type(make())} under {text}")
    _timed(world, began)


def _theirs(written: Written, value: Any) -> bytes | None:
    try:
        return written.fastavros(value)
    except Ends:
        return None


KINDS = {"schemas": schemas, "objects": objects}
