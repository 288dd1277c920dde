"""Other encoders, where they are installed: each writes whole messages, in Avro those of fastavro with its prefix."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from copy import deepcopy
from functools import cache
from io import BytesIO, StringIO
from typing import Any

from encoding_shapes import Shape

Write = Callable[[Any], bytes]

LONGEST = 2000
"""Characters of a schema that cerializer is given: it takes seconds for a thousand, by Cython and a C compiler."""


class NotWritten(Exception):  # noqa: N818
    """Why a peer has no figure for a shape."""


def peer(name: str, shape: Shape, message: bytes) -> tuple[Write, Any]:
    """What writes the shape, and the value that it is given.

    Raises:
        NotWritten: the peer is not there, or does not write this.
    """
    try:
        if name in OTHERS:
            write, value = OTHERS[name](), shape.object
            write(value)
            return write, value
        if shape.given is not None:
            raise NotWritten("no objects")
        record = deepcopy(shape.record)  # cerializer adds to it what is missing
        write = AVRO[name](shape.schema, message[:5])
        if write(record) != message:
            raise NotWritten("other bytes")
        return write, record
    except NotWritten:
        raise
    except ImportError as error:
        raise NotWritten(f"not there: {error}") from None
    except Exception as error:  # noqa: BLE001 whatever it raises for what it does not write
        raise NotWritten(type(error).__name__) from None


def _avroc(schema: Any, prefix: bytes) -> Write:
    encode = importlib.import_module("avroc").compile_encoder(schema)
    return lambda record: prefix + encode(record)


def _cavro(schema: Any, prefix: bytes) -> Write:
    encode = importlib.import_module("cavro").Schema(schema).binary_encode
    return lambda record: prefix + encode(record)


def _cerializer(schema: Any, prefix: bytes) -> Write:
    if isinstance(schema, list):
        raise NotWritten("no union on top")
    if len(json.dumps(schema)) > LONGEST:
        raise NotWritten("compiles too long")
    os.environ.setdefault("CYTHON_CACHE_DIR", _folder().name)
    handler = importlib.import_module("cerializer.cerializer_handler")
    schemata = importlib.import_module("cerializer.schema_handler").CerializerSchemata
    namespace = schema.get("namespace", "benchmark")
    named = f"{namespace}.{schema['name']}"
    with redirect_stderr(StringIO()):  # Cython's, of what it does not compile
        known = schemata([(named, {**schema, "namespace": namespace})])
        encode = handler.Cerializer(known, namespace, schema["name"])
    return lambda record: prefix + encode.serialize(record)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _spavro(schema: Any, prefix: bytes) -> Write:
    parsed = importlib.import_module("spavro.schema").parse(json.dumps(schema))
    encode = importlib.import_module("spavro.io").DatumWriter(parsed).write_datum

    def write(record: Any) -> bytes:
        out = BytesIO()
        out.write(prefix)
        encode(out, record)
        return out.getvalue()

    return write


AVRO: dict[str, Callable[[Any, bytes], Write]] = {
    "avroc": _avroc,
    "cavro": _cavro,
    "cerializer": _cerializer,
    "spavro": _spavro,
}
OTHERS: dict[str, Callable[[], Write]] = {
    "orjson": lambda: importlib.import_module("orjson").dumps,
    "msgspec JSON": lambda: importlib.import_module("msgspec.json").Encoder().encode,
    "msgspec msgpack": lambda: importlib.import_module("msgspec.msgpack").Encoder().encode,
}
PEERS = (*AVRO, *OTHERS)
