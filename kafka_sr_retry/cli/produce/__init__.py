"""``kafka-sr-retry produce``: JSON lines or CSV to Kafka, each line delivered or reported.

given.py      command line, environment and file as a producer's dict; schemas and those they use
reading.py    the input as batches of numbered lines or rows
messages.py   what of a line is key, headers, time and value
coercing.py   from JSON or a cell to what is written, exactly; moments.py: dates and times
quick.py      the same for most JSON lines, by a function made for the schema
sending.py    to Kafka's client, and the wait where it has enough
account.py    what became of each line; the files of --errors and --resume
outcome.py    how a run ended; screen.py: how that is shown
run.py        from the beginning to the end
"""

from __future__ import annotations

import os
import re
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from kafka_sr_retry.cli.terminal import begin, write_no_more
from kafka_sr_retry.errors import ConfigurationError, SchemaRegistryError


class Format(str, Enum):
    """Of the input."""

    JSON = "json"
    AVRO_JSON = "avro-json"
    CSV = "csv"


class BytesAs(str, Enum):
    """How a text stands for bytes."""

    BASE64 = "base64"
    HEX = "hex"
    UTF_8 = "utf-8"
    LATIN_1 = "latin-1"


def produce(
    topic: Annotated[str, typer.Option("--topic", "-t", metavar="TOPIC", help="Where the messages go.")],
    schema: Annotated[Path, typer.Option("--schema", "-s", metavar="FILE", help="The value's schema (.avsc).")],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="One record a line; .gz is unpacked. - or none: the standard input."),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="FORM",
            help="json, avro-json or csv.",
            show_default="csv for *.csv, else json",
        ),
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference", metavar="FILE", help="A schema that it uses; each after those that it uses itself."
        ),
    ] = None,
    key_schema: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key's schema. Without it a key is its text.")
    ] = None,
    key_separator: Annotated[str | None, typer.Option(metavar="TEXT", help="A line is key, TEXT, value.")] = None,
    key_field: Annotated[str | None, typer.Option(metavar="NAME", help="The field or column that is the key.")] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A header of each message.")] = None,
    header_field: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A field or column that is a header too.")
    ] = None,
    headers_separator: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A line begins with name:value,name:value and TEXT.")
    ] = None,
    timestamp_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="The field or column that is the message's time.")
    ] = None,
    null_marker: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A value of this text is none: a tombstone.")
    ] = None,
    partition: Annotated[
        int, typer.Option(min=-1, max=2**31 - 1, help="For all messages.", show_default="by the key")
    ] = -1,
    bytes_as: Annotated[
        BytesAs, typer.Option(metavar="FORM", help="Texts for bytes: base64, hex, utf-8, latin-1.")
    ] = BytesAs.BASE64,
    utc: Annotated[bool, typer.Option("--utc", help="A timestamp without a zone is UTC, not an error.")] = False,
    delimiter: Annotated[str, typer.Option(metavar="CHAR", help="Between CSV's cells.")] = ",",
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Takes the lines that failed: JSON, one a line.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keeps here how far all is done, and goes on from there."),
    ] = None,
    config: Annotated[
        typer.FileText | None,
        typer.Option(
            metavar="FILE",
            encoding="utf-8",
            help="A producer's configuration: lines of key=value, or JSON.",
        ),
    ] = None,
    assignment: Annotated[
        list[str] | None,
        typer.Option("-X", metavar="KEY=VALUE", help="A key of it, such as linger.ms=5."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sum as one JSON document.")] = False,
) -> None:
    """Send JSON lines or CSV to Kafka as Avro.

    Each line is delivered or reported: read = delivered + failed. What does not
    fit its schema exactly is refused, never changed in silence.

    The first Ctrl-C or SIGTERM ends the reading and sends what was read; the
    second one ends that too, and reports what is not known to have arrived.

    KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL are read; SCHEMA_REGISTRY_...
    stands for any of the registry client's keys. -X goes before them, and they
    before --config's FILE.

    Exit codes: 0 all delivered. 1 some lines failed. 2 a wrong option, key,
    schema or column; nothing was sent. 3 it had to stop: registry, Kafka or the
    input failed. 130 and 143 ended by Ctrl-C and SIGTERM.
    """
    from confluent_kafka import KafkaException

    from . import given, screen
    from .account import CannotResume
    from .coercing import Rules
    from .messages import Failed, Shape
    from .reading import Unreadable
    from .run import Task, run

    shown = screen.Screen(begin("produce"))

    def end(error: Exception, code: int) -> NoReturn:
        shown.say(" ".join(str(error).split()))
        raise typer.Exit(code)

    if sys.stdin is None and (file is None or str(file) == "-"):
        end(ConfigurationError("the standard input is closed"), 2)
    path = None if file is None or str(file) == "-" else str(file)
    if form is None:
        form = Format.CSV if re.search(r"\.csv(\.gz)?$", path or "", re.IGNORECASE) else Format.JSON
    is_csv = form is Format.CSV
    try:
        for name, given_one in (
            ("--key-separator", key_separator),
            ("--headers-separator", headers_separator),
            ("--null-marker", null_marker),
        ):
            if is_csv and given_one is not None:
                raise ConfigurationError(f"{name} is for lines of JSON")
            if given_one == "" and name != "--null-marker":
                raise ConfigurationError(f"{name} needs a text")
        if key_separator is not None and key_field is not None:
            raise ConfigurationError("--key-separator and --key-field: a message has one key")
        if key_schema is not None and key_separator is None and key_field is None:
            raise ConfigurationError("--key-schema needs --key-separator or --key-field: where is the key?")
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ConfigurationError("--delimiter takes one character")
        if path is None and config is not None and config.name == "<stdin>":
            raise ConfigurationError("--config - and the lines would both be read from the standard input: give FILE")
        for pair in header or ():
            if "=" not in pair:
                raise ConfigurationError("--header takes NAME=VALUE")
        shape = Shape(
            key_separator,
            key_field,
            headers_separator,
            tuple(header_field or ()),
            tuple((name, value.encode()) for name, _, value in (pair.partition("=") for pair in header or ())),
            timestamp_field,
            null_marker,
        )
        conf = given.configuration(config.read() if config else "", assignment or [], os.environ)
        rules = Rules(form.value, bytes_as.value, utc)
        task = Task(
            topic,
            path,
            config.name if config else None,
            conf,
            schema,
            key_schema,
            reference or [],
            rules,
            shape,
            delimiter,
            partition,
            errors,
            resume,
        )
        outcome = run(task, shown)
    except SchemaRegistryError as error:
        end(error, 3)
    except (ConfigurationError, CannotResume, Failed, Unreadable, UnicodeError, KafkaException, OSError) as error:
        end(error, 2)
    if outcome.why:
        shown.say(f"stopped: {outcome.why}")
    try:
        sys.stdout.write((screen.as_json(outcome) if as_json else screen.summary(outcome)) + "\n")
        sys.stdout.flush()
    except OSError:  # its reader has left; the exit code tells
        write_no_more(sys.stdout)
    raise typer.Exit(outcome.exit_code)
