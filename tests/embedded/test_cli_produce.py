"""``kafka-sr-retry produce``: what arrives, and that each line is delivered or reported, whatever happens."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from fastavro import parse_schema, schemaless_reader
from typer.testing import CliRunner, Result
from waiting import DEAF

from kafka_sr_retry.cli.app import app
from kafka_sr_retry.cli.produce.account import Account, CannotResume, Counts, Failure, State, Token
from kafka_sr_retry.cli.produce.reading import LONGEST, Batch, blocks, lines
from kafka_sr_retry.testing import KafkaMockCluster, SchemaRegistryServer, error, no_leader, reset

READING = {
    "type": "record",
    "name": "weather.Reading",
    "fields": [
        {"name": "station", "type": "string"},
        {"name": "count", "type": "long"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaMockCluster]:
    with KafkaMockCluster() as cluster:
        yield cluster


@pytest.fixture
def registry() -> Iterator[SchemaRegistryServer]:
    with SchemaRegistryServer() as server:
        yield server


@dataclass
class Stand:
    folder: Path
    topic: str
    servers: str
    registry: SchemaRegistryServer

    def file(self, name: str, content: str | bytes | Any) -> Path:
        path = self.folder / name
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    @property
    def environment(self) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": self.servers, "SCHEMA_REGISTRY_URL": self.registry.url}

    def arguments(self, *args: object) -> list[str]:
        schema = [] if "--schema" in args else ["--schema", str(self.file("reading.avsc", READING))]
        return ["produce", "--topic", self.topic, *schema, *map(str, args)]

    def run(self, *args: object) -> Result:
        result = CliRunner().invoke(app, self.arguments(*args), env={**self.environment, "COLUMNS": "80"})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def summary(self, *args: object, exit_code: int) -> Any:
        result = self.run("--json", *args)
        assert result.exit_code == exit_code, result.output
        return whole(result.stdout)

    def start(
        self,
        *args: object,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.PIPE,
        begin: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """A process of its own."""
        command = [*begin, sys.executable, "-m", "kafka_sr_retry.cli", *self.arguments("--json", *args)]
        env = {**os.environ, **self.environment}
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=env)

    def messages(self) -> list[Message]:
        return consumed(self.servers, self.topic)

    def values(self, schema: Any = READING) -> list[Any]:
        """Decoded, in the order in which they lie in their partitions."""
        return [decoded(message.value(), schema) for message in self.messages()]


def whole(text: str | bytes) -> Any:
    """The sum, whose parts are all there are."""
    told = json.loads(text)
    assert told["read"] == told["delivered"] + told["failed"]
    return told


def consumed(servers: str, topic: str) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "auto.offset.reset": "earliest"})
    found: list[Message] = []
    try:
        for partition in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
            place = TopicPartition(topic, partition, 0)
            low, high = consumer.get_watermark_offsets(place, timeout=20)
            consumer.assign([place])
            while low < high:
                message = consumer.poll(20)
                assert message is not None
                assert message.error() is None
                found.append(message)
                low = (message.offset() or 0) + 1
    finally:
        consumer.close()
    return found


def decoded(value: Any, schema: Any) -> Any:
    if value is None:
        return None
    assert value[:1] == b"\0"
    return schemaless_reader(BytesIO(value[5:]), parse_schema(schema), None)


@pytest.fixture
def stand(request: Any, tmp_path: Path, kafka: KafkaMockCluster, registry: SchemaRegistryServer) -> Stand:
    for name in list(os.environ):
        assert not name.startswith(("SCHEMA_REGISTRY_", "KAFKA_"))
    topic = f"t{abs(hash(request.node.name))}"
    return Stand(tmp_path, topic, kafka.bootstrap_servers, registry)


def line(count: int, **more: Any) -> str:
    return json.dumps({"station": f"s{count % 7}", "count": count, "note": None, **more}) + "\n"


def some(count: int, start: int = 0) -> str:
    return "".join(map(line, range(start, start + count)))


def counts(values: Sequence[Any]) -> list[int]:
    return sorted(value["count"] for value in values)


# -- what arrives -----------------------------------------------------------------------------------


def test_each_line_arrives(stand: Stand) -> None:
    result = stand.run(stand.file("in.jsonl", some(3000)))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("3,000 read, 3,000 delivered, 0 failed, in ")
    assert counts(stand.values()) == list(range(3000))
    assert len(stand.registry.registrations) == 1


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n \n"])
@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
def test_ends_of_lines_and_a_byte_order_mark(stand: Stand, begin: bytes, ending: str) -> None:
    lines = some(2).replace("\n", "\r\n" if ending.startswith("\r") else "\n").rstrip()
    told = stand.summary(stand.file("in.jsonl", begin + (lines + ending).encode()), exit_code=0)
    assert (told["delivered"], told["ended"]) == (2, "input")


def test_an_empty_file(stand: Stand) -> None:
    assert stand.summary(stand.file("in.jsonl", ""), exit_code=0)["read"] == 0


def test_gzip_and_a_table(stand: Stand) -> None:
    rows = 'station,count,note\n"a\nb",1,\n,2,"x,"" y"\n'
    path = stand.file("in.csv.gz", gzip.compress(rows.encode()))
    assert stand.summary(path, exit_code=0)["delivered"] == 2
    found = sorted(stand.values(), key=lambda value: value["count"])
    assert found == [
        {"station": "a\nb", "count": 1, "note": None},
        {"station": "", "count": 2, "note": 'x," y'},
    ]


def test_ends_of_lines_in_quotes_stay_what_they_are(stand: Stand) -> None:
    rows = b'station,count,note\r\n"a\r\nb",1,"c\nd"\r\n"e",2,"\r\n"\r\nf,x,\r\n"g",3,"\r\n"'
    errors = stand.folder / "errors"
    stand.summary("--errors", errors, stand.file("in.csv", rows), exit_code=1)
    found = [(value["station"], value["note"]) for value in sorted(stand.values(), key=lambda value: value["count"])]
    assert found == [("a\r\nb", "c\nd"), ("e", "\r\n"), ("g", "\r\n")]
    (failed,) = map(json.loads, errors.read_text().splitlines())
    assert (failed["line"], failed["text"]) == (7, "f,x,")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_empty_lines_between_rows_are_skipped(stand: Stand, ending: str) -> None:
    rows = '\n\nstation,count\na,1\n\n"\n\n",2\n\n\nx\n""\n\n'.replace("\n", ending).encode()
    errors = stand.folder / "errors"
    told = stand.summary("--errors", errors, stand.file("in.csv", rows), exit_code=1)
    assert (told["read"], told["delivered"]) == (4, 2)
    assert {(value["station"], value["count"]) for value in stand.values()} == {("a", 1), (ending * 2, 2)}
    assert [json.loads(each)["line"] for each in errors.read_text().splitlines()] == [11, 12]


def test_an_empty_line_goes_on_too(stand: Stand) -> None:
    path, state = stand.file("in.csv", "station,count\na,1\n\nb,2\n\n"), stand.folder / "state"
    stand.summary("--resume", state, path, exit_code=0)
    with path.open("a") as file:
        file.write("\nc,3\n")
    assert stand.summary("--resume", state, path, exit_code=0)["read"] == 1


def test_packed_files_one_behind_another(stand: Stand) -> None:
    """As gzip's own tools take them: with zeros behind one; and what is packed well does not come at once."""
    packed = b"".join(gzip.compress(part.encode()) for part in (some(1), "\n" * 600_000, line(1)[:9], line(1)[9:]))
    told = stand.summary(stand.file("in.jsonl.gz", packed + b"\0" * 700_000), exit_code=0)
    assert told["delivered"] == 2


@pytest.mark.parametrize("content", [b"\0" * 20, b"x", gzip.compress(b"\n") + b"x"])
def test_what_is_no_gzip_is_told(stand: Stand, content: bytes) -> None:
    told = stand.summary(stand.file("in.jsonl.gz", content), exit_code=3)
    assert "no whole gzip file" in told["why"]


def test_avros_own_json(stand: Stand) -> None:
    path = stand.file("in.jsonl", line(1, note={"string": "x"}) + line(2, note="x"))
    told = stand.summary("--format", "avro-json", path, exit_code=1)
    assert (told["delivered"], told["failed"]) == (1, 1)
    assert stand.values() == [{"station": "s1", "count": 1, "note": "x"}]


def test_keys_headers_times_and_tombstones(stand: Stand) -> None:
    path = stand.file("in.txt", f"a:1,b:NULL\tk|{line(1)}NULL\tgone|NULL\n\tNULL|{line(2)}")
    options = ("--key-separator", "|", "--headers-separator", "\t", "--null-marker", "NULL", "--header", "all=yes")
    stand.summary(*options, "--partition", 0, path, exit_code=0)
    found = [(message.key(), message.value() is None, message.headers()) for message in stand.messages()]
    assert found == [
        (b"k", False, [("all", b"yes"), ("a", b"1"), ("b", None)]),
        (b"gone", True, [("all", b"yes")]),
        (None, False, [("all", b"yes")]),
    ]


def test_fields_are_key_header_and_time(stand: Stand) -> None:
    key = stand.file("key.avsc", '"long"')
    path = stand.file("in.jsonl", line(1, at="1970-01-01T00:00:01Z"))
    options = ("--key-schema", key, "--key-field", "count", "--header-field", "station", "--timestamp-field", "at")
    stand.summary(*options, path, exit_code=0)
    (message,) = stand.messages()
    assert decoded(message.key(), "long") == 1
    assert (message.headers(), message.timestamp()[1]) == ([("station", b"s1")], 1000)
    assert {request.path for request in stand.registry.registrations} == {
        f"/subjects/{stand.topic}-{field}/versions?normalize=false" for field in ("key", "value")
    } or len(stand.registry.registrations) == 2


def test_schemas_that_it_uses_are_registered_before_it(stand: Stand) -> None:
    item = stand.file("item.avsc", {"type": "record", "name": "shop.Item", "fields": [{"name": "n", "type": "long"}]})
    order = {
        "type": "record",
        "name": "shop.Order",
        "fields": [{"name": "items", "type": {"type": "array", "items": "Item"}}],
    }
    path = stand.file("in.jsonl", '{"items": [{"n": 1}]}\n{"items": [{"m": 1}]}\n')
    schema = stand.file("order.avsc", order)
    told = stand.summary("--schema", schema, "--reference", item, path, exit_code=1)
    assert told["delivered"] == 1
    first, second = stand.registry.registrations
    assert "/subjects/shop.Item/" in first.path
    assert json.loads(second.body)["references"] == [{"name": "shop.Item", "subject": "shop.Item", "version": 1}]


def test_another_delimiter(stand: Stand) -> None:
    path = stand.file("in.csv", "station;count\na;1\n")
    assert stand.summary("--delimiter", ";", path, exit_code=0)["delivered"] == 1


def test_a_configuration_comes_from_file_environment_and_command_line(stand: Stand) -> None:
    """The later goes before the earlier."""
    config = stand.file(
        "producer.properties",
        f"bootstrap.servers={stand.servers}\nschema.registry.url=http://127.0.0.1:1\nvalue.auto.register.schemas=false\n",
    )
    path = stand.file("in.jsonl", some(1))
    stand.registry.register(f"{stand.topic}-value", json.dumps(READING))
    environment = {"SCHEMA_REGISTRY_URL": stand.registry.url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    arguments = stand.arguments("--config", config, "-X", f"bootstrap.servers={stand.servers}", path)
    result = CliRunner().invoke(app, arguments, env=environment)
    assert result.exit_code == 0, result.output
    assert not stand.registry.registrations


def test_a_schema_may_begin_with_a_byte_order_mark(stand: Stand) -> None:
    schema = stand.file("marked.avsc", b"\xef\xbb\xbf" + json.dumps(READING).encode())
    key = stand.file("key.avsc", b'\xef\xbb\xbf"long"')
    options = ("--schema", schema, "--key-schema", key, "--key-field", "count")
    assert stand.summary(*options, stand.file("in.jsonl", some(1)), exit_code=0)["delivered"] == 1
    assert all("\ufeff" not in json.loads(each.body)["schema"] for each in stand.registry.registrations)


def test_the_standard_input_is_read_for_one_thing(stand: Stand) -> None:
    config = f"bootstrap.servers={stand.servers}\nschema.registry.url={stand.registry.url}\n"
    for file in ([], ["-"]):
        result = CliRunner().invoke(app, stand.arguments("--config", "-", *file), input=config)
        assert result.exit_code == 2
        assert "both be read from the standard input" in result.stderr
    path = stand.file("in.jsonl", some(1))
    assert CliRunner().invoke(app, stand.arguments("--config", "-", path), input=config).exit_code == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("linger.mss=7", 'No such configuration property: "linger.mss"'),
        ("linger.ms=soon", 'Invalid value for configuration property "queue.buffering.max.ms"'),
        ("total.timeout.ms=5", "did you mean schema.registry.total.timeout.ms?"),
    ],
)
def test_a_wrong_key_is_told_before_the_registry_is_asked(stand: Stand, wrong: str, told: str) -> None:
    reference = stand.file("other.avsc", {"type": "fixed", "name": "shop.Item", "size": 1})
    result = stand.run("-X", wrong, "--reference", reference, stand.file("in.jsonl", some(1)))
    assert result.exit_code == 2
    assert told in result.stderr
    assert not stand.registry.requests


# -- the registry -----------------------------------------------------------------------------------


def test_an_election_loses_nothing(stand: Stand) -> None:
    stand.registry.fail_next(no_leader(), error(503), reset(), no_leader())
    told = stand.summary(stand.file("in.jsonl", some(100)), exit_code=0)
    assert told["delivered"] == 100
    assert len({request.body for request in stand.registry.registrations}) == 1
    assert len(stand.registry.requests) == 5


def test_a_refused_schema_ends_it_before_anything_is_read(stand: Stand) -> None:
    stand.registry.fail_always(error(409, 409))
    result = stand.run("--json", stand.file("in.jsonl", some(5)))
    assert (result.exit_code, result.stdout) == (3, "")
    assert "409" in result.stderr


# -- what fails -------------------------------------------------------------------------------------

BAD = [
    (b'{"station": "a", "count": "5"}', "count", "expected long, got a text"),
    (b'{"station": "a", "count": 9223372036854775808}', "count", "out of the range of long"),
    (b'{"station": "a", "count": 1.5}', "count", "a number with a fraction"),
    (b'{"station": "a", "count": true}', "count", "a boolean"),
    (b'{"station": "a", "count": NaN}', "", "NaN is no JSON"),
    (b'{"station": "a", "count": 1, "count": 2}', "", "a key stands twice"),
    (b'{"station": "a", "count": 1, "note": null, "count": 2}', "", "a key stands twice"),
    (b'{"station": "a", "cuont": 1}', "cuont", "no such field"),
    (b'{"station": "a"}', "count", "the key is missing"),
    (b'{"station": "\xff", "count": 1}', "", "not UTF-8, from byte 14"),
    (b'{"station": "\\ud800", "count": 1}', "station", "surrogate"),
    (b'{"station": "a", "count": 1', "", "Expecting ',' delimiter, at character"),
    (b"null", "", "--null-marker null"),
    (b"[1]", "", "a list"),
]


def test_a_failed_line_is_written_with_its_number_field_and_text(stand: Stand) -> None:
    lines = b"".join(bad + b"\n" + line(number).encode() for number, (bad, _, _) in enumerate(BAD))
    errors = stand.folder / "errors.jsonl"
    told = stand.summary("--errors", errors, stand.file("in.jsonl", lines), exit_code=1)
    assert (told["delivered"], told["failed"]) == (len(BAD), len(BAD))
    assert counts(stand.values()) == list(range(len(BAD)))
    written = [json.loads(each) for each in errors.read_text().splitlines()]
    assert [each["line"] for each in written] == list(range(1, 2 * len(BAD), 2))
    for each, (bad, field, why) in zip(written, BAD, strict=True):
        assert (each["field"], each["text"].encode("utf-8", "surrogateescape")) == (field, bad)
        assert why in each["error"]


def test_failed_lines_are_told_on_the_standard_error_without_their_values(stand: Stand) -> None:
    result = stand.run(stand.file("in.jsonl", line(1) + '{"station": "secret", "count": "secret"}\n' * 30))
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert told[0] == "kafka-sr-retry produce: line 2, field count: expected long, got a text"
    assert [each.split()[3] for each in told] == [f"{number}," for number in range(2, 32)]
    assert "secret" not in result.output


def test_what_the_input_says_neither_moves_the_terminal_nor_begins_a_line(stand: Stand) -> None:
    fields = ["\x1b[2J", "a\nkafka-sr-retry produce: line 9", "\u202e", ":fire:", "[red]"]
    lines = "".join(line(1, **{name: 1}) for name in fields)
    told = stand.run(stand.file("in.jsonl", lines)).stderr.splitlines()
    assert [each.split("field ")[1].partition(": expected no such field")[0] for each in told] == [
        "\\u001b[2J",
        "a\\nkafka-sr-retry produce: line 9",
        "\\u202e",
        ":fire:",
        "[red]",
    ]


def test_rows_that_fail(stand: Stand) -> None:
    rows = b'station,count,note\na,1,\na,x,\na\na,2,\xff\n"a"b,3,\na,4,\n"a,5\n'
    errors = stand.folder / "errors.jsonl"
    told = stand.summary("--errors", errors, stand.file("in.csv", rows), exit_code=1)
    assert (told["delivered"], told["failed"]) == (2, 5)
    found = [json.loads(each) for each in errors.read_text().splitlines()]
    assert [(each["line"], each["field"]) for each in found] == [(3, "count"), (4, ""), (5, ""), (6, ""), (8, "")]


def test_a_message_that_is_too_large_and_a_line_that_is_too_long(stand: Stand) -> None:
    path = stand.folder / "in.jsonl"
    with path.open("w") as file:
        file.write(line(1) + line(2, note="x" * 2_000_000) + line(3) + line(4, note="x" * 17 * 1024 * 1024) + line(5))
    errors = stand.folder / "errors.jsonl"
    told = stand.summary("--errors", errors, path, exit_code=1)
    assert (told["delivered"], told["failed"], told["ended"]) == (3, 2, "input")
    assert counts(stand.values()) == [1, 3, 5]
    first, second = map(json.loads, errors.read_text().splitlines())
    assert (first["line"], second["line"]) == (2, 4)
    assert "too large" in first["error"]
    assert "longer than 16777216 bytes" in second["error"]


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_of_a_line_that_is_too_long_the_beginning_is_kept(stand: Stand, begin: bytes, ending: bytes) -> None:
    text = "".join(map(str, range(3_000_000))).encode()
    rows = b"station,count\n" + text[:LONGEST] + b",1" + ending
    for name, content, number in (("in.jsonl", text + ending, 1), ("in.csv", rows, 2)):
        errors = stand.folder / f"errors.{name}"
        told = stand.summary("--errors", errors, stand.file(name, begin + content), exit_code=1)
        assert (told["read"], told["failed"]) == (1, 1)
        (failed,) = map(json.loads, errors.read_text().splitlines())
        assert (failed["line"], failed["text"]) == (number, text[:LONGEST].decode())
        assert "longer than 16777216 bytes, and its rest is not kept" in failed["error"]


def test_a_line_as_long_as_may_be_is_none_that_is_too_long() -> None:
    for content in (b"x" * LONGEST, b"\xef\xbb\xbf" + b"x" * LONGEST + b"\r\n", b"x" * LONGEST + b"\r\n"):
        (batch,) = lines(blocks(BytesIO(content).read, lambda: False, lambda: True))
        assert batch.raws == [b"x" * LONGEST]


def test_a_long_row_ends_at_its_line(stand: Stand) -> None:
    """Whatever quotes are open there."""
    long = "x" * (LONGEST // 2)
    rows = f'station,count,note\n"a\n{long}{long}y,1,\nb,2,\n"{long}\n{long}",3,\nc,4,\n'
    errors = stand.folder / "errors"
    told = stand.summary("--errors", errors, stand.file("in.csv", rows), exit_code=1)
    assert (told["delivered"], counts(stand.values())) == (2, [2, 4])
    found = [json.loads(each) for each in errors.read_text().splitlines()]
    assert [each["line"] for each in found] == [2, 5]
    assert all("longer than" in each["error"] and len(each["text"]) == LONGEST for each in found)


def test_a_long_line_is_the_same_however_the_pipe_was_cut(stand: Stand) -> None:
    state = stand.folder / "state"
    text = (line(1, note="x" * (LONGEST + 1_000_000)) + line(2)).encode()
    stand.summary("--resume", state, stand.file("in.jsonl", text), exit_code=1)

    def again(text: bytes) -> tuple[int, bytes, bytes]:
        process = stand.start("--resume", state, stdin=subprocess.PIPE)
        out, err = process.communicate(text, timeout=60)
        return process.returncode, out, err

    code, out, err = again(text + line(3).encode())
    assert (code, whole(out)["read"]) == (0, 1), err
    code, _, err = again(text[: LONGEST + 500_000] + b"y" + text[LONGEST + 500_001 :])
    assert code == 2
    assert b"of another input" in err


def test_a_full_queue_is_waited_for(stand: Stand) -> None:
    told = stand.summary("-X", "queue.buffering.max.messages=10", stand.file("in.jsonl", some(500)), exit_code=0)
    assert told["delivered"] == 500
    assert len(stand.messages()) == 500


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_the_errors_ends_it_and_tells_them(stand: Stand) -> None:
    path = stand.file("in.jsonl", some(1) + "x\n" * 100 + some(5000))
    result = stand.run("--json", "--errors", "/dev/full", "--resume", stand.folder / "state", path)
    assert result.exit_code == 3
    told = whole(result.stdout)
    assert (told["failed"], told["ended"]) == (100, "failure")
    *failed, last = result.stderr.splitlines()
    assert [each.partition("produce: ")[2] for each in failed] == [
        f"line {number}: Expecting value, at character 1" for number in range(2, 102)
    ]
    assert "the file of --errors cannot be written: No space left on device" in last
    assert json.loads((stand.folder / "state").read_text())["lines"] == 0


def test_errors_that_do_not_reach_the_disk_are_not_done(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    errors, state = stand.folder / "errors", stand.folder / "state"
    sync = os.fsync

    def fails(file: int) -> None:
        if os.path.sameopenfile(file, errors_file.fileno()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(file)

    with errors.open("ab") as errors_file:
        monkeypatch.setattr(os, "fsync", fails)
        told = stand.summary("--errors", errors, "--resume", state, stand.file("in.jsonl", "x\n"), exit_code=3)
    assert told["why"] == f"the file of --errors cannot be written: {os.strerror(errno.EIO)}"
    assert json.loads(state.read_text())["lines"] == 0


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_errors_may_go_to_a_pipe(stand: Stand) -> None:
    reader, writer = os.pipe()
    path, state = stand.file("in.jsonl", "x\n"), stand.folder / "state"
    stand.summary("--errors", f"/dev/fd/{writer}", "--resume", state, path, exit_code=1)
    os.close(writer)
    with os.fdopen(reader) as file:
        assert json.loads(file.read())["line"] == 1
    assert json.loads(state.read_text())["lines"] == 1


def test_half_a_gzip_file_is_told(stand: Stand) -> None:
    packed = gzip.compress(some(2000).encode(), mtime=0)
    told = stand.summary(stand.file("in.jsonl.gz", packed[: len(packed) // 2]), exit_code=3)
    assert "no whole gzip file" in told["why"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--key-separator", "|", "--key-field", "a"], "one key"),
        (["--key-schema", "reading.avsc"], "where is the key?"),
        (["--header", "x"], "NAME=VALUE"),
        (["--format", "csv", "--null-marker", "x"], "for lines of JSON"),
        (["-X", "schema.registry.ulr=http://localhost:1"], "schema.registry.url"),
        (["-X", "no.such.key=1"], "no.such.key"),
        (["-X", "use.latest.version=true", "-X", "auto.register.schemas=false"], "leave out use.latest"),
        (["--partition", "2147483648"], "for '--partition'"),
        (["--schema", "missing.avsc"], "cannot be read"),
        (["missing.jsonl"], "No such file"),
        (["--errors", "/no/such/folder/errors"], "No such file"),
    ],
)
def test_a_wrong_option_sends_nothing(stand: Stand, options: list[str], why: str) -> None:
    result = stand.run(*options, *([] if options[-1].endswith("jsonl") else [stand.file("in.jsonl", some(1))]))
    assert result.exit_code == 2
    assert why in result.stderr
    assert "Traceback" not in result.stderr


# -- go on where it ended ---------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(stand: Stand) -> None:
    path, state = stand.file("in.jsonl", some(3000)), stand.folder / "state"
    assert stand.summary("--resume", state, path, exit_code=0)["resumed_after"] == 0
    with path.open("a") as file:
        file.write(some(10, 3000))
    told = stand.summary("--resume", state, path, exit_code=0)
    assert (told["resumed_after"], told["read"]) == (3000, 10)
    assert counts(stand.values()) == list(range(3010))


def test_what_is_done_and_failed_was_told(stand: Stand) -> None:
    path, state = stand.file("in.jsonl", "x\n" * 100), stand.folder / "state"
    result = stand.run("--resume", state, path)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 100)
    assert stand.summary("--resume", state, path, exit_code=0)["resumed_after"] == 100


@pytest.mark.parametrize(
    ("name", "half", "rest", "failed"),
    [
        ("in.jsonl", line(1)[:20], line(1)[20:], 1),
        ("in.jsonl", "  ", line(1), 0),
        ("in.csv", "a,", "1\n", 1),
        ("in.csv", '"a', '\nb",1\n', 1),
        ("in.csv", '"a\n', 'b",1\n', 1),
        ("in.csv", '"a\r\n\r\n', 'b",1\r\n', 1),
    ],
)
def test_a_last_line_that_was_not_whole_yet_is_sent_once_it_is(
    stand: Stand, name: str, half: str, rest: str, failed: int
) -> None:
    begin = "station,count\na,0\n" if name.endswith("csv") else some(1)
    path, state = stand.file(name, begin + half), stand.folder / "state"
    told = stand.summary("--resume", state, path, exit_code=failed)
    assert (told["delivered"], told["failed"]) == (1, failed)
    path.write_bytes((begin + half + rest).encode())
    assert stand.summary("--resume", state, path, exit_code=0)["read"] == 1
    assert counts(stand.values()) == [0, 1]


def test_a_last_line_that_was_sent_is_done_and_must_stay(stand: Stand) -> None:
    path, state = stand.file("in.csv", "station,count\na,12"), stand.folder / "state"
    stand.summary("--resume", state, path, exit_code=0)
    path.write_text("station,count\na,12\nb,3")
    assert stand.summary("--resume", state, path, exit_code=0)["read"] == 1
    path.write_text("station,count\na,12\nb,34\n")
    assert "of another input" in stand.run("--resume", state, path).stderr


def test_errors_go_on_behind_a_line_that_a_kill_has_cut(stand: Stand) -> None:
    errors = stand.file("errors", '{"line": 1, "fi')
    path = stand.file("in.jsonl", "x\n")
    stand.summary("--errors", errors, "--resume", stand.folder / "state", path, exit_code=1)
    assert [each[:12] for each in errors.read_text().splitlines()] == ['{"line": 1, ', '{"line": 1, ']


def test_a_file_that_is_read_is_not_written(stand: Stand) -> None:
    path = stand.file("in.jsonl", some(3))
    linked = stand.folder / "linked.jsonl"
    linked.hardlink_to(path)
    config = stand.file("producer.properties", "linger.ms=5\n")
    other = stand.file("other.avsc", '"long"')
    certificate = stand.file("ca.pem", "")
    given = ("--config", config, "--reference", stand.folder / "reading.avsc", "--key-schema", other)
    given = (*given, "--key-field", "count", "-X", f"ssl.ca.location={certificate}", path)
    stand.file("reading.avsc", READING)
    for option in ("--errors", "--resume"):
        for written in (path, linked, config, other, certificate, stand.folder / "reading.avsc"):
            before = written.read_bytes()
            result = stand.run(option, written, *given)
            assert (result.exit_code, written.read_bytes()) == (2, before)
            assert "are the same file" in result.stderr


def test_a_file_of_the_standard_streams_is_not_written(stand: Stand) -> None:
    path = stand.file("in.jsonl", some(3))
    for option in ("--errors", "--resume"):
        with path.open("rb") as file:
            process = stand.start(option, path, stdin=file)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert b"and the standard input are the same file" in err
    assert path.read_text() == some(3)
    assert stand.summary("--errors", os.devnull, path, exit_code=0)["delivered"] == 3


def test_a_file_is_told_by_its_name(stand: Stand) -> None:
    errors = stand.folder / "run:100:x"
    assert f"1 line failed: see {errors}\n" in stand.run("--errors", errors, stand.file("in.jsonl", "x\n")).stderr


def test_errors_and_state_are_two_files(stand: Stand) -> None:
    path, state = stand.file("in.jsonl", some(3)), stand.folder / "state"
    assert stand.run("--errors", state, "--resume", state, path).exit_code == 2
    assert not state.exists()


def test_a_state_is_written_beside_no_other_file(stand: Stand) -> None:
    """Whatever the names are."""
    state, errors = stand.folder / "state", stand.folder / "state.new"
    path = stand.file("in.jsonl", some(3) + "x\n")
    stand.summary("--errors", errors, "--resume", state, path, exit_code=1)
    assert json.loads(errors.read_text())["line"] == 4
    assert {each.name for each in stand.folder.iterdir()} == {"in.jsonl", "reading.avsc", "state", "state.new"}


def test_a_state_that_cannot_be_written_leaves_nothing_behind(stand: Stand) -> None:
    state = State(stand.folder / "state", "t")
    state.path.mkdir()
    with pytest.raises(CannotResume, match="cannot be written"):
        state.write()
    assert list(stand.folder.iterdir()) == [state.path]


def test_another_input_is_refused(stand: Stand) -> None:
    path, state = stand.file("in.jsonl", some(30)), stand.folder / "state"
    stand.summary("--resume", state, path, exit_code=0)
    for changed in (some(30).replace("s1", "s2"), some(29), some(29) + some(1, 29)[:-3]):
        path.write_text(changed)
        result = stand.run("--resume", state, path)
        assert result.exit_code == 2
        assert "of another input" in result.stderr
    assert len(stand.messages()) == 30


def test_a_table_goes_on_at_a_row(stand: Stand) -> None:
    rows = "station,count\n" + "".join(f'"a\nb",{count}\n' for count in range(10))
    path, state = stand.file("in.csv", rows), stand.folder / "state"
    stand.summary("--resume", state, path, exit_code=0)
    with path.open("a") as file:
        file.write("c,10\n")
    assert stand.summary("--resume", state, path, exit_code=0)["read"] == 1
    path.write_text(path.read_text().replace("station", "other", 1))
    assert stand.run("--resume", state, path).exit_code == 2


# -- the worst --------------------------------------------------------------------------------------

BROKER = (
    "import sys\n"
    "from kafka_sr_retry.testing import KafkaMockCluster\n"
    "with KafkaMockCluster() as cluster:\n"
    "    print(cluster.bootstrap_servers, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture
def broker() -> Iterator[subprocess.Popen[str]]:
    """A cluster that can be killed or stopped."""
    process = subprocess.Popen([sys.executable, "-c", BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def away(stand: Stand, broker: subprocess.Popen[str]) -> Stand:
    """A stand on that."""
    assert broker.stdout is not None
    stand.servers = broker.stdout.readline().strip()
    return stand


def feed(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.flush()


def wait_for_lines(state: Path, lines: int) -> None:
    """Until so much is known to be delivered."""
    for _ in range(600):
        if state.exists() and json.loads(state.read_text())["lines"] >= lines:
            return
        time.sleep(0.1)
    raise AssertionError("it never came so far")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_reading_and_sends_what_was_read(stand: Stand, number: int) -> None:
    state = stand.folder / "state"
    process = stand.start("--resume", state, stdin=subprocess.PIPE)
    feed(process, some(3000))
    wait_for_lines(state, 3000)
    feed(process, some(5, 3000))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    told = whole(out)
    assert told["ended"] == "signal"
    assert counts(stand.values()) == list(range(told["read"]))


def test_a_signal_that_it_was_started_to_ignore_ends_nothing(stand: Stand) -> None:
    state = stand.folder / "state"
    process = stand.start("--resume", state, stdin=subprocess.PIPE, begin=DEAF)
    feed(process, some(10))
    wait_for_lines(state, 10)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    feed(process, some(5, 10))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert whole(out)["delivered"] == 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_a_packed_pipe_has_nothing(stand: Stand, number: int) -> None:
    pipe, state = stand.folder / "in.jsonl.gz", stand.folder / "state"
    os.mkfifo(pipe)
    process = stand.start("--resume", state, pipe)
    packer = zlib.compressobj(wbits=31)
    writer = os.open(pipe, os.O_RDWR)
    try:
        os.write(writer, packer.compress(some(3).encode()) + packer.flush(zlib.Z_SYNC_FLUSH))
        wait_for_lines(state, 3)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        os.close(writer)
        process.kill()
    assert process.returncode == 128 + number, err
    assert (whole(out)["delivered"], whole(out)["ended"]) == (3, "signal")


def feed_until_it_ends(process: subprocess.Popen[bytes], text: str, number: int) -> None:
    """With a signal in between. A pipe holds less: the text is being read by then."""
    with suppress(BrokenPipeError):
        for index in range(20):
            if index == 3:
                process.send_signal(number)
            feed(process, text)


@pytest.mark.parametrize("is_long", [False, True])
def test_a_signal_is_heard_while_what_is_done_is_read_again(stand: Stand, is_long: bool) -> None:
    """Nothing is told of the input, and the state stays."""
    kept = json.dumps({"topic": stand.topic, "lines": 10**9, "digest": "d"})
    state = stand.file("state", kept)
    process = stand.start("--resume", state, stdin=subprocess.PIPE)
    feed_until_it_ends(process, "x" * 2_000_000 if is_long else some(20_000), signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert (whole(out)["read"], whole(out)["resumed_after"], whole(out)["ended"]) == (0, 10**9, "signal")
    assert state.read_text() == kept


@pytest.mark.parametrize("most", [100_000, 20])
def test_a_second_signal_ends_it_at_once_and_reports_what_waits(
    away: Stand, broker: subprocess.Popen[str], most: int
) -> None:
    """Where the queue is full, the line that waits for its place is not read yet."""
    state, errors = away.folder / "state", away.folder / "errors"
    queue = f"queue.buffering.max.messages={most}"
    process = away.start("--resume", state, "--errors", errors, "-X", queue, stdin=subprocess.PIPE)
    feed(process, some(100))
    wait_for_lines(state, 100)
    broker.send_signal(signal.SIGSTOP)
    feed(process, some(50, 100))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    told = whole(out)
    assert (told["read"], told["delivered"]) == (100 + min(most, 50), 100)
    assert [json.loads(each)["line"] for each in errors.read_text().splitlines()] == [*range(101, told["read"] + 1)]
    assert json.loads(state.read_text())["lines"] == 100


def test_a_broker_that_goes_away_leaves_no_line_out_of_the_account(away: Stand, broker: subprocess.Popen[str]) -> None:
    state, errors = away.folder / "state", away.folder / "errors"
    process = away.start("--resume", state, "--errors", errors, "-X", "message.timeout.ms=2000", stdin=subprocess.PIPE)
    feed(process, some(1000))
    wait_for_lines(state, 1000)
    broker.kill()
    feed(process, some(500, 1000))
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    told = whole(out)
    assert told["delivered"] == 1000
    assert told["why"].startswith("Kafka: ")
    lines = [json.loads(each)["line"] for each in errors.read_text().splitlines()]
    assert lines == list(range(1001, 1001 + told["failed"]))
    assert json.loads(state.read_text())["lines"] == 1000


def test_after_a_kill_it_goes_on_without_a_gap(stand: Stand) -> None:
    path, state = stand.file("in.jsonl", some(60_000)), stand.folder / "state"
    slow = ("-X", "queue.buffering.max.messages=1000", "-X", "linger.ms=100")
    process = stand.start("--resume", state, *slow, path)
    wait_for_lines(state, 1)
    process.kill()
    process.communicate()
    done = json.loads(state.read_text())["lines"]
    assert 0 < done < 60_000
    told = stand.summary("--resume", state, path, exit_code=0)
    assert (told["resumed_after"], told["read"]) == (done, 60_000 - done)
    found = counts(stand.values())
    assert sorted(set(found)) == list(range(60_000))
    assert len([count for count in found if count < done]) == done


def test_the_standard_input_is_sent_as_it_comes(stand: Stand) -> None:
    process = stand.start("-", stdin=subprocess.PIPE)
    feed(process, some(3))
    for _ in range(600):
        if len(stand.messages()) == 3:
            break
        time.sleep(0.1)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert whole(out)["delivered"] == 3


def test_the_standard_input_goes_on_too(stand: Stand) -> None:
    state = stand.folder / "state"
    stand.summary("--resume", state, stand.file("in.jsonl", some(10)), exit_code=0)
    with stand.file("more.jsonl", some(15)).open("rb") as file:
        out, err = stand.start("--resume", state, stdin=file).communicate(timeout=60)
    assert err == b""
    assert (whole(out)["resumed_after"], whole(out)["read"]) == (10, 5)


@pytest.mark.parametrize("colour", [{}, {"NO_COLOR": "1"}])
def test_progress_is_shown_on_a_terminal_alone(stand: Stand, colour: dict[str, str]) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, **stand.environment, **colour, "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "kafka_sr_retry.cli", *stand.arguments(stand.file("in.jsonl", some(30_000)))]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        told = b""
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            told += block
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"30,000 read")
    os.close(ours)
    assert b" read  " in told
    assert max(len(line) for line in re.sub(rb"\x1b\[[\d;?]*[a-zA-Z]", b"", told).splitlines()) <= 80


@pytest.mark.parametrize("forced", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_progress_is_no_part_of_a_file(stand: Stand, monkeypatch: pytest.MonkeyPatch, forced: str) -> None:
    monkeypatch.setenv(forced, "1")
    out, err = stand.start(stand.file("in.jsonl", some(30_000))).communicate(timeout=60)
    assert err == b""
    assert whole(out)["delivered"] == 30_000


@pytest.fixture(params=["/dev/full", "a pipe"])
def deaf(request: Any) -> Iterator[IO[bytes]]:
    """What nobody hears is written here."""
    if request.param == "/dev/full":
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full")
        with open("/dev/full", "wb", buffering=0) as file:
            yield file
    else:
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb", buffering=0) as file:
            yield file


def test_where_nobody_hears_of_failed_lines_the_others_are_sent(stand: Stand, deaf: IO[bytes]) -> None:
    path = stand.file("in.jsonl", some(5) + "x\n" * 30 + some(5, 5))
    state = stand.folder / "state"
    process = stand.start("--resume", state, path, stderr=deaf)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert (whole(out)["delivered"], whole(out)["failed"]) == (10, 30)
    assert counts(stand.values()) == list(range(10))
    assert json.loads(state.read_text())["lines"] == 0


# -- the page ---------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs/produce.md").read_text(encoding="utf-8")


def shown(text: str) -> list[tuple[str, str]]:
    """The commands of the page, each with what it prints."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    parts = [part for block in blocks for part in block.split("$ ")[1:] if part]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def timeless(text: str) -> str:
    return re.sub(r"[\d.]+ s \(\d+ a second\)|\"seconds\": [\d.]+, \"rate\": \d+", "", text)


def test_every_command_of_the_page_prints_what_stands_there(stand: Stand) -> None:
    # "$ " in a quoted separator would part a command: there is none
    environment = {**os.environ, **stand.environment}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ran = 0
    for command, output in shown(PAGE):
        if command.startswith("cat "):
            stand.file(command.removeprefix("cat "), output)
            continue
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=stand.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        assert timeless(done.stdout) == timeless(output), command
        ran += 1
    assert ran == 7


def test_the_page_has_every_option() -> None:
    import typer

    command = typer.main.get_command(app).commands["produce"]  # type: ignore[attr-defined]
    for parameter in command.params:
        assert parameter.name in ("file", "help") or max(parameter.opts, key=len) in PAGE, parameter.opts


def test_the_page_has_every_field_of_the_sum(stand: Stand) -> None:
    told = stand.summary(stand.file("in.jsonl", some(1)), exit_code=0)
    assert all(f'"{name}"' in PAGE for name in told)


def test_a_batch_is_counted_at_the_end_whoever_holds_its_token() -> None:
    """Such as an error whose frames nobody has collected yet."""
    failed: list[tuple[int, str]] = []

    def report(number: int, failure: Failure) -> bool:
        failed.append((number, failure.why))
        return True

    account = Account(None, report)
    failures = [Failure(1, "no record")]
    token = Token(failures, account.stop)
    account.take(Batch([1, 2, 3], [b"a", b"b", b"c"], [1, 2, 3]), 3, 0, failures, token)
    account.settle()
    assert account.counts == Counts(read=3)
    account.settle(all_told=True)
    assert account.counts == Counts(read=3, delivered=2, failed=1)
    assert failed == [(2, "no record")]
    del token  # held until here
