"""Equal schemas are compiled once in a process, for all ids and serializers, and kept as long as one of them lives."""

from __future__ import annotations

import gc
import json
import linecache
import os
import subprocess
import sys
import threading
import traceback
import tracemalloc
import weakref
from types import CodeType
from typing import Any

import fastavro.write
import pytest
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_sr_retry import AvroEncodingError, AvroSerializer, RegisteredSchema, Schema, SchemaRegistryClient
from kafka_sr_retry.avro.encoder import ENCODER, AvroSchema
from kafka_sr_retry.avro.text import Write

TO = SerializationContext("orders", MessageField.VALUE)


@pytest.fixture(autouse=True)
def of_the_compiled_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Native writers have no code to be shared."""
    monkeypatch.setenv(ENCODER, "python")


def text(name: str, **types: Any) -> str:
    """Of a record; each test has a name of its own, as schemas of others may live."""
    fields = [{"name": key, "type": kind} for key, kind in types.items()]
    return json.dumps({"type": "record", "name": name, "fields": fields})


def code(write: Write) -> CodeType:
    found: CodeType = write.__code__  # type: ignore[attr-defined]
    return found


def serializer(text: str, schema_id: int, to_dict: Any = None, **conf: Any) -> AvroSerializer:
    """One that asks nobody, with a client of its own."""
    client = SchemaRegistryClient({"url": "http://localhost:1"})
    return AvroSerializer(client, RegisteredSchema(schema_id, None, None, None, Schema(text)), to_dict, conf)


def learned(serializer: AvroSerializer, value: Any) -> Write:
    serializer(value, TO)
    return serializer._by_topic[TO.topic]


def test_serializers_of_equal_schemas_have_one_code_and_each_its_id() -> None:
    order, value = text("ManyIds", id="long", item=["null", "string"]), {"id": 1, "item": None}
    serializers = {number: serializer(order, number) for number in (1, 2, 70_000)}
    codes = {code(learned(one, value)) for one in serializers.values()}
    assert len(codes) == 1
    for _ in range(2):
        for number, one in serializers.items():
            assert one(value, TO) == b"\0" + number.to_bytes(4, "big") + b"\2\0"
            assert one({"id": 1}, TO) == b"\0" + number.to_bytes(4, "big") + b"\2\0", "by fastavro"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((text("Told", a="long"), ()), (text("Told", a="long") + " ", ())),
        ((text("Told", a="A"), (text("A", x="long"),)), (text("Told", a="A"), (text("A", x="double"),))),
        (('"A"', (text("A", x="A2"), text("A2"))[::-1]), ('"A"', (text("A", x="A2"), text("A2", y="null"))[::-1])),
    ],
    ids=["text", "reference", "reference of the reference"],
)
def test_other_schemas_have_another_code(one: Any, other: Any) -> None:
    first, second = AvroSchema.of(*one).writer(b""), AvroSchema.of(*other).writer(b"")
    assert code(first) is not code(second)
    assert code(first) is code(AvroSchema.of(*one).writer(b"\1"))


def test_what_is_strict_is_not_what_is_not() -> None:
    order, value = text("Strict", id=["null", "long"], more=["null", "long"]), {"id": 1}
    lenient, strict = serializer(order, 1), serializer(order, 2, **{"validate.strict": True})
    for _ in range(2):
        assert lenient(value, TO) == b"\0\0\0\0\1\2\2\0"
        with pytest.raises(AvroEncodingError, match=r"^field more does not fit"):
            strict(value, TO)
        assert strict({**value, "more": None}, TO) == b"\0\0\0\0\2\2\2\0"


def test_each_serializer_has_its_own_to_dict_and_frame() -> None:
    framed: dict[str, Any] = {"schema.id.serializer": lambda payload, ctx, schema_id: b"%d:" % schema_id.id + payload}
    order = text("Framed", id="long")
    assert serializer(order, 1, lambda one, ctx: {"id": one}, **framed)(3, TO) == b"1:\6"
    assert serializer(order, 2, **framed)({"id": 3}, TO) == b"2:\6"
    assert serializer(order, 3, lambda one, ctx: {"id": one + 1})(3, TO) == b"\0\0\0\0\3\10"


@pytest.mark.parametrize(
    ("schema", "value", "written"),
    [
        (text("L", n="long", more=["null", "L"], again=["null", "L"]), {"n": 1, "more": None, "again": None}, "020000"),
        (text("E", e={"type": "enum", "name": "Kind", "symbols": ["A", "B"]}), {"e": "B"}, "02"),
        (text("W", **{f"f{number}": "null" for number in range(20)}), {f"f{n}": None for n in range(20)}, ""),
        ('"bytes"', b"\7", "07"),
        ('["int", "long"]', 1, "0002"),
        ('"null"', None, ""),
    ],
    ids=["recursive", "enum", "wide", "raw", "by fastavro", "nothing"],
)
def test_a_further_id_of_schemas_of_all_kinds(schema: str, value: Any, written: str) -> None:
    writers = {prefix: AvroSchema.of(schema).writer(prefix) for prefix in (b"\1", b"", b"\0\0\0\0\2")}
    for prefix, write in [*writers.items(), *writers.items()]:
        assert write(value, None) == prefix + bytes.fromhex(written)


def test_schemas_share_no_constant_and_no_function() -> None:
    def enum(name: str, *symbols: str) -> str:
        return text(name, e={"type": "enum", "name": f"{name}Kind", "symbols": [*symbols]}, more=["null", name])

    first, second = AvroSchema.of(enum("First", "A", "B")).writer(b""), AvroSchema.of(enum("Second", "B")).writer(b"")
    for _ in range(2):
        assert first({"e": "B", "more": {"e": "B", "more": None}}, None) == b"\2\2\2\0"
        assert second({"e": "B", "more": {"e": "B", "more": None}}, None) == b"\0\2\0\0"
    assert code(first) is not code(second)


def test_nothing_outlives_the_last_writer() -> None:
    def shown() -> set[str]:
        return {name for name in linecache.cache if name.startswith("<writer ")}

    before = shown()
    writers = [AvroSchema.of(text("Short", more=["null", "Short"])).writer(bytes([number])) for number in range(3)]
    schema = weakref.ref(AvroSchema.of(text("Short", more=["null", "Short"])))
    function = weakref.ref(code(writers[0]))
    for write in writers:
        write({}, None)  # parsed again, for fastavro
    assert len(shown() - before) == 1
    while writers:
        gc.collect()
        assert schema() is not None
        writers.pop()
    del write
    gc.collect()
    assert (schema(), function(), shown() - before) == (None, None, set())


def test_a_further_id_takes_less_than_a_kilobyte() -> None:
    schema = text("Wide", **{f"f{number}": ["null", "string"] for number in range(100)})
    kept = [AvroSchema.of(schema).writer(b"first")]

    def further(numbers: range) -> None:
        kept.extend(AvroSchema.of(schema).writer(number.to_bytes(5, "big")) for number in numbers)

    further(range(10))
    gc.collect()
    tracemalloc.start()
    further(range(1000, 1500))
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] / 500
    tracemalloc.stop()
    assert 40 < taken < 1024, "0.4 KB, as docs/encoding.md has it"


def test_a_schema_is_parsed_again_only_for_what_is_fastavros() -> None:
    schema = AvroSchema.of(text("Light", id="long", item="string"))
    write = schema.writer(b"")
    assert write({"id": 1, "item": "x"}, None) == b"\2\2x"
    assert (schema._parsed, schema._held) == (None, None)
    with pytest.raises(AvroEncodingError, match=r"^field item does not fit the schema: expected string, got int"):
        write({"id": 1, "item": 1}, None)
    assert schema._held is not None


def test_a_writer_for_a_logical_type_is_met_by_serializers_that_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = text("Logical", at={"type": "long", "logicalType": "ours"})
    before = AvroSchema.of(schema).writer(b"")
    assert before({"at": 1}, None) == b"\2"
    monkeypatch.setitem(fastavro.write.LOGICAL_WRITERS, "long-ours", lambda value, schema: value + 1)
    assert AvroSchema.of(schema).writer(b"")({"at": 1}, None) == b"\4"
    monkeypatch.undo()
    assert AvroSchema.of(schema).writer(b"")({"at": 1}, None) == b"\2"
    assert before({"at": 1}, None) == b"\2"


def test_the_line_in_a_traceback_is_the_one_that_ran() -> None:
    write = AvroSchema.of(text("Told", n="long", s="string")).writer(b"")
    with pytest.raises(AvroEncodingError) as caught:
        write({"n": "1", "s": ""}, None)
    (line,) = [each.line for each in traceback.extract_tb(caught.value.__traceback__) if each.name == "write"]
    assert line is not None
    assert line.startswith("if type(v")
    assert line.endswith(": return other(value, prefix)")


def test_threads_that_meet_a_schema_at_once_each_write_their_id() -> None:
    start, wrong = threading.Barrier(8), list[Any]()

    def work(number: int) -> None:
        prefix = bytes([number])
        for turn in range(30):
            start.wait()
            write = AvroSchema.of(text(f"Met{turn}", n="long", s=["null", "string"])).writer(prefix)
            for value in ({"n": turn, "s": None}, {"n": turn}):
                if write(value, None) != prefix + bytes([2 * turn, 0]):
                    wrong.append((number, turn))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert wrong == []


FORKS = """
import json, os, signal, sys, threading, warnings
warnings.simplefilter("ignore")
from fastavro import parse_schema
from kafka_sr_retry.avro.compiler import compiled
from kafka_sr_retry.avro.encoder import ENCODER, AvroSchema
sys.setswitchinterval(1e-5)
kind = ["null", "string", {"type": "array", "items": "long"}]
schema = {"type": "record", "name": "R", "fields": [{"name": f"f{n}", "type": kind} for n in range(30)]}
named = {}
parsed = parse_schema(schema, named_schemas=named)
def work():
    while True:
        compiled(parsed, named)
def written():
    return AvroSchema.of(json.dumps(schema)).writer(b"")(dict.fromkeys(f"f{n}" for n in range(30)), None)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for number in range(80):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(written() != bytes(30))
    ended = os.waitpid(child, 0)[1]
    if ended:
        break
print(f"child {number} ended with {ended}")
sys.stdout.flush()
os._exit(ended != 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_others_compile_holds_no_child() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
