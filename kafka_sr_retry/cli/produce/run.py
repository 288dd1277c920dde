"""From the input to the end of the account."""

from __future__ import annotations

import gc
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.serialization import MessageField

from kafka_sr_retry import AvroSerializer, Schema, SchemaRegistryClient
from kafka_sr_retry.cli.signals import heard
from kafka_sr_retry.config import PREFIX, SerializerSettings, parse, split
from kafka_sr_retry.errors import ConfigurationError

from . import reading
from .account import Account, State
from .coercing import Rules
from .given import References
from .messages import Maker, Shape, Writer
from .outcome import Outcome
from .screen import Screen
from .sending import DEFAULTS, OURS, Sender

_KEEP = 1.0
"""Seconds between two writings of the state."""

_OF_FILES = (".location", ".file", ".keytab")
"""Ends of the keys whose values are files that are read."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done.

    Attributes:
        file: ``None`` for the standard input.
        config: the name of a file that ``conf`` comes from.
        conf: a producer's dict.
        key_schema: ``None`` for keys that are texts.
        resume: the state's file.
    """

    topic: str
    file: str | None
    config: str | None
    conf: Mapping[str, Any]
    schema: Path
    key_schema: Path | None
    references: Sequence[Path]
    rules: Rules
    shape: Shape
    delimiter: str
    partition: int
    errors: Path | None
    resume: Path | None


class Interrupts:
    """SIGINT and SIGTERM, as they come."""

    def __init__(self) -> None:
        self.came: list[int] = []

    @contextmanager
    def heard(self) -> Iterator[None]:
        before = {number: signal.signal(number, lambda number, _: self.came.append(number)) for number in heard()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


def run(task: Task, screen: Screen) -> Outcome:
    """All of it.

    Raises:
        ConfigurationError: what cannot work; nothing was sent.
        CannotResume, Unreadable, Failed: the same.
        SchemaRegistryError: the registry gave no id; nothing was read.
    """
    _refuse_same(task)
    references = References(task.references)
    text = references.check(task.schema)
    key_text = references.check(task.key_schema) if task.key_schema is not None else None
    interrupts = Interrupts()
    with ExitStack() as stack:
        state = State.read(task.resume, task.topic) if task.resume is not None else None
        resumed_after = None if state is None else state.lines
        account = Account(state, screen.failure)
        producer: Producer | None = None
        next_keep = time.monotonic() + _KEEP

        def go_on() -> bool:
            nonlocal next_keep
            if producer is not None:
                producer.poll(0)
                account.settle()
                screen.show(account.counts, len(producer))
            if state is not None and time.monotonic() >= next_keep:
                account.keep()
                next_keep = time.monotonic() + _KEEP
            return not interrupts.came and not account.stopped

        try:
            read, idle = stack.enter_context(reading.opened(task.file))
        except OSError as error:
            raise ConfigurationError(f"{task.file}: {error.strerror}", "file") from None
        given = reading.blocks(read, idle, go_on)
        table = reading.Table(given, task.delimiter) if task.rules.form == "csv" else None
        if table is not None and state is not None:
            state.hash.update("\0".join(table.header).encode())
        batches = _after(reading.lines(given) if table is None else table.batches(), state, go_on)

        producer = _producer(task)
        value, key = _serializers(stack, task, references, text, key_text)
        maker = Maker(
            Writer(value, task.topic, MessageField.VALUE, text, references.texts, task.rules),
            Writer(key, task.topic, MessageField.KEY, key_text, references.texts, task.rules)
            if key is not None and key_text is not None
            else None,
            task.shape,
            rules=task.rules,
            header=None if table is None else table.header,
        )
        account.errors = _errors(stack, task)
        sender = Sender(
            producer,
            task.topic,
            maker,
            account,
            go_on,
            partition=task.partition,
            keeps_blanks=task.shape.null_marker == "",
        )
        began, why = time.monotonic(), ""
        with interrupts.heard(), screen.progress(), _few_collections():
            try:
                for batch in batches:
                    if not sender.send(batch):
                        break
            except reading.Unreadable as error:
                why = f"the input cannot be read on: {error}"
            sender.finish(lambda: len(interrupts.came) > 1, go_on)
            account.keep()
        seconds = time.monotonic() - began
        failed = account.counts.failed
        if failed and account.errors is not None:  # which has them all
            screen.say(f"{failed:,} line{'' if failed == 1 else 's'} failed: see {task.errors}")
        number = interrupts.came[0] if interrupts.came else 0
        why = why or account.stopped
        ended = "signal" if number else "failure" if why else "input"
        return Outcome(task.topic, account.counts, seconds, resumed_after, ended, why, number)


def _producer(task: Task) -> Producer:
    """Made before the registry is asked: Kafka's client alone knows all of its keys."""
    kafka = split(task.conf, is_key=False).kafka
    try:
        return Producer(DEFAULTS | kafka | OURS)
    except (KafkaException, TypeError, ValueError) as error:
        told = error.args[0].str() if isinstance(error, KafkaException) else error
        raise ConfigurationError(f"Kafka's client: {told}") from None


def _refuse_same(task: Task) -> None:
    """What is written must be none of what is read, by whatever name, and nothing else that is written."""
    given = [
        *(("the standard input", 0), ("the standard output", 1), ("the standard error", 2)),
        *(("the input", task.file), ("--config", task.config)),
        *(("--schema", task.schema), ("--key-schema", task.key_schema)),
        *(("--reference", path) for path in task.references),
        *((name, value) for name, value in task.conf.items() if name.endswith(_OF_FILES) and type(value) is str),
    ]
    known = {_identity(each): name for name, each in given if each is not None}
    for name, path in (("--resume", task.resume), ("--errors", task.errors)):
        other = name if path is None else known.setdefault(_identity(path), name)
        if other != name:
            raise ConfigurationError(f"{name} and {other} are the same file: {path}", name)


def _identity(given: str | Path | int) -> object:
    """The same for all names of a regular file; for what is not there, or is something else, its path."""
    with suppress(OSError, ValueError):
        found = os.stat(given)
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino
    return given if isinstance(given, int) or "\0" in str(given) else os.path.realpath(given)


def _errors(stack: ExitStack, task: Task) -> IO[bytes] | None:
    """With ``--resume`` it goes on where it ended, on a line of its own."""
    if task.errors is None:
        return None
    try:
        file = stack.enter_context(task.errors.open("wb" if task.resume is None else "ab", buffering=0))
        if task.resume is not None and file.seekable() and file.tell():
            with task.errors.open("rb") as before:
                before.seek(-1, 2)
                if before.read(1) != b"\n":  # the former run was killed
                    file.write(b"\n")
    except OSError as error:
        raise ConfigurationError(f"{task.errors}: {error.strerror}", "errors") from None
    return file


def _after(batches: Iterator[reading.Batch], state: State | None, go_on: Callable[[], bool]) -> Iterator[reading.Batch]:
    """What a former run has not done.

    Raises:
        CannotResume: what it has done is not what the input begins with.
    """
    if state is None:
        return batches
    return state.rest(batches, go_on)


def _serializers(
    stack: ExitStack, task: Task, references: References, text: str, key_text: str | None
) -> tuple[AvroSerializer, AvroSerializer | None]:
    """Of value and key; they know their ids."""
    parts = split(task.conf, is_key=False)
    for is_key in (False, True):
        if parse(SerializerSettings, split(task.conf, is_key=is_key).serializer).reads_schema:
            raise ConfigurationError(
                "produce writes with the schema of its file: leave out use.latest.version, use.schema.id and "
                "use.latest.with.metadata",
                "schema",
            )
    client = stack.enter_context(SchemaRegistryClient(parts.client, prefix=PREFIX))
    references.register(client, task.conf)
    made = []
    for each, field in ((text, MessageField.VALUE), (key_text, MessageField.KEY)):
        if each is None:
            continue
        schema = Schema(each, "AVRO", references.used_by(each))
        serializer, _ = AvroSerializer.from_config(
            task.conf, schema, is_key=field is MessageField.KEY, schema_registry_client=client
        )
        (warmed,) = serializer.warm_up([task.topic], field=field).outcomes
        if warmed.error is not None:
            raise warmed.error
        made.append(serializer)
    return made[0], made[1] if len(made) > 1 else None


@contextmanager
def _few_collections() -> Iterator[None]:
    """What waits for its report would be looked at by each of them, and has no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
