"""From a line or a row to what a message holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext, Serializer
from fastavro import parse_schema

from kafka_sr_retry.avro.misfit import resolved
from kafka_sr_retry.errors import AvroEncodingError

from . import moments, reading
from .coercing import Coerce, Coercer, NoFit, Rules, parse, told
from .quick import quick

Headers = list[tuple[str, bytes | None]]


class Failed(Exception):  # noqa: N818
    """A line of which no message can be made: why, and where in the record."""

    def __init__(self, why: str, path: str = "") -> None:
        super().__init__(why)
        self.path = path


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent; ``timestamp`` 0 for the time of sending."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """Where key, headers and timestamp are.

    Attributes:
        key_separator, headers_separator: what ends the key, and the headers, at a line's beginning.
        key_field, timestamp_field, header_fields: names of the record's fields, or of columns.
        headers: of each message.
        null_marker: what stands for no value, no key, a header without value.
    """

    key_separator: str | None = None
    key_field: str | None = None
    headers_separator: str | None = None
    header_fields: Sequence[str] = ()
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_field: str | None = None
    null_marker: str | None = None

    @property
    def taken(self) -> list[str]:
        return [name for name in (self.key_field, *self.header_fields, self.timestamp_field) if name is not None]

    @property
    def is_value_alone(self) -> bool:
        return not self.taken and not self.headers and self.key_separator is self.headers_separator is None


class Writer:
    """One serializer, and what coerces for it.

    Args:
        text: the schema's; ``references``: of those that it uses, each after those that it uses itself.
    """

    def __init__(
        self, serialize: Serializer, topic: str, field: MessageField, text: str, references: Sequence[str], rules: Rules
    ) -> None:
        self.serialize = serialize
        self.context = SerializationContext(topic, field)
        self.named: dict[str, Any] = {}
        for each in references:
            parse_schema(json.loads(each), named_schemas=self.named)
        self.schema = parse_schema(json.loads(text), named_schemas=self.named)
        self.kind = resolved(self.schema, self.named)[0]
        self.coercer = Coercer(self.named, rules)
        self.coerce = self.coercer.of(self.schema) if rules.form != "csv" else None

    @property
    def fields(self) -> dict[str, Any]:
        """Of a record, by their names."""
        if self.kind != "record":
            return {}
        return {field["name"]: field for field in resolved(self.schema, self.named)[1]["fields"]}

    def write(self, value: Any) -> bytes:
        """Of a value as JSON has it."""
        if value is None:
            raise NoFit(self.schema, "null, which would be a message without a value: --null-marker null sends those")
        assert self.coerce is not None
        return self.encode(self.coerce(value))

    def encode(self, value: Any) -> bytes:
        """Of a value as the serializer takes it."""
        encoded = self.serialize(value, self.context)
        assert encoded is not None
        return encoded


class Maker:
    """Makes messages.

    Args:
        key: of a key that has a schema.
        header: of a CSV file.

    Raises:
        Failed: a column that is no field, or a field for which there is neither a column nor a default.
    """

    def __init__(
        self,
        value: Writer,
        key: Writer | None,
        shape: Shape,
        *,
        rules: Rules,
        header: Sequence[str] | None = None,
    ) -> None:
        self._value, self._key, self._shape = value, key, shape
        self._rules = rules
        self._quick: Callable[[str], Any] | None = None
        if rules.form == "json" and shape.is_value_alone:
            self._quick = quick(value.schema, value.named, value.coercer)
        self._only_taken = set(shape.taken) - set(value.fields)
        self._cells: list[tuple[str, int, Coerce]] = []
        if header is not None:
            self._read_header(header)

    def _read_header(self, header: Sequence[str]) -> None:
        fields = self._value.fields
        if not fields:
            raise Failed("CSV needs a schema that is a record")
        known = {*fields, *self._shape.taken}
        for name in header:
            if name not in known:
                raise Failed(f"column {name!r} is no field of the schema")
        for name in self._shape.taken:
            if name not in header:
                raise Failed(f"there is no column {name!r}")
        for name, field in fields.items():
            if name in header:
                self._cells.append((name, header.index(name), self._value.coercer.of(field["type"])))
            elif "default" not in field:
                raise Failed(f"there is no column for field {name!r}, which has no default")
        self._columns = {name: index for index, name in enumerate(header)}
        plain = Coercer(self._value.named, Rules("default"))
        lacking = {name: field for name, field in fields.items() if name not in header}
        try:
            self._defaults = {name: plain.of(field["type"])(field["default"]) for name, field in lacking.items()}
        except NoFit as misfit:
            raise Failed(f"a default of the schema does not fit: {misfit}") from None

    @property
    def alone(self) -> Callable[[bytes], bytes | None] | None:
        """What makes a message's value from a line, where that is all; it raises anything for a line that
        ``of_line`` must judge."""
        read = self._quick
        if read is None:
            return None
        serialize, context = self._value.serialize, self._value.context
        if self._shape.null_marker is None:
            return lambda raw: serialize(read(raw.decode()), context)
        marker = self._shape.null_marker.encode()
        return lambda raw: None if raw == marker else serialize(read(raw.decode()), context)

    def of_line(self, raw: bytes) -> Message:
        """Raises ``Failed``."""
        with _failures():
            text = _text(raw)
            shape = self._shape
            headers: Headers = list(shape.headers)
            if shape.headers_separator is not None:
                before, found, text = text.partition(shape.headers_separator)
                if not found:
                    raise Failed("there is no separator behind its headers")
                headers += self._parse_headers(before)
            key: bytes | None = None
            if shape.key_separator is not None:
                before, found, text = text.partition(shape.key_separator)
                if not found:
                    raise Failed("there is no separator behind its key")
                key = self._key_of_text(before)
            if text == shape.null_marker:
                if shape.taken:
                    raise Failed("it has no value, in which the fields for key, headers and time would be")
                return Message(None, key, headers or None)
            value = parse(text)
            timestamp = 0
            if shape.taken:
                if type(value) is not dict:
                    raise NoFit(self._value.schema, told(value))
                if shape.key_field is not None:
                    key = self._key_of_value(self._field(value, shape.key_field))
                headers += [(name, _plain(name, self._field(value, name))) for name in shape.header_fields]
                if shape.timestamp_field is not None:
                    timestamp = self._time(self._field(value, shape.timestamp_field))
                value = {name: each for name, each in value.items() if name not in self._only_taken}
            return Message(self._value.write(value), key, headers or None, timestamp)

    def of_row(self, row: list[str] | str) -> Message:
        """Raises ``Failed``."""
        with _failures():
            if isinstance(row, str):
                raise Failed(row)
            shape, columns = self._shape, self._columns
            if len(row) != len(columns):
                raise Failed(f"it has {len(row)} cells, and the first line {len(columns)}")
            headers: Headers = list(shape.headers)
            key: bytes | None = None
            timestamp = 0
            if shape.key_field is not None:
                key = self._key_of_cell(row[columns[shape.key_field]])
            headers += [(name, row[columns[name]].encode()) for name in shape.header_fields]
            if shape.timestamp_field is not None:
                cell = row[columns[shape.timestamp_field]]
                timestamp = self._time(int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 30 else cell)
            made = dict(self._defaults)
            for name, index, coerce in self._cells:
                try:
                    made[name] = coerce(row[index])
                except NoFit as misfit:
                    raise misfit.under(name) from None
            return Message(self._value.encode(made), key, headers or None, timestamp)

    def _field(self, value: dict[str, Any], name: str) -> Any:
        if name not in value:
            raise Failed("the key is missing, from which a key, header or time is taken", name)
        return value[name]

    def _parse_headers(self, text: str) -> Headers:
        """``name:value,name:value`` as Kafka's console producer has them."""
        marker = self._shape.null_marker
        if not text or text == marker:
            return []
        made: Headers = []
        for pair in text.split(","):
            name, colon, value = pair.partition(":")
            if not colon:
                raise Failed("a header that is not name:value")
            made.append((name, None if value == marker else value.encode()))
        return made

    def _key_of_text(self, text: str) -> bytes | None:
        if text == self._shape.null_marker:
            return None
        if self._key is None:
            return text.encode()
        with _failures("the key"):
            value = parse(text)
            return None if value is None else self._key.write(value)

    def _key_of_value(self, value: Any) -> bytes | None:
        name = self._shape.key_field or ""
        if self._key is None or value is None:
            return _plain(name, value)
        with _failures("the key", name):
            return self._key.write(value)

    def _key_of_cell(self, cell: str) -> bytes | None:
        name = self._shape.key_field or ""
        if cell == "":
            return None
        if self._key is None:
            return cell.encode()
        with _failures("the key", name):
            return self._key.encode(self._key.coercer.of(self._key.schema)(cell))

    def _time(self, value: Any) -> int:
        """Milliseconds since 1970."""
        name = self._shape.timestamp_field or ""
        try:
            if type(value) is str:
                made = moments.number("timestamp-millis", value, assume_utc=self._rules.assume_utc)
            elif type(value) is int:
                made = value
            else:
                raise ValueError(told(value))
        except ValueError as error:
            raise Failed(f"expected the message's time, got {error}", name) from None
        if not 0 < made < 2**62:
            raise Failed("expected the message's time, got one that Kafka does not take", name)
        return made


class _failures:  # noqa: N801
    """Turns what is wrong with a line into ``Failed``, whose words show no value of it."""

    def __init__(self, what: str = "", name: str = "") -> None:
        self._what, self._name = f"{what}: " if what else "", name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, NoFit):
            path = f"{self._name}.{error.path}" if self._name and error.path else self._name or error.path
            raise Failed(f"{self._what}{error}", path) from None
        if isinstance(error, AvroEncodingError):
            raise Failed(f"{self._what}expected {error.expected}, got {error.actual}", error.field_path) from None
        if isinstance(error, RecursionError):
            raise Failed(f"{self._what}it is nested too deep") from None
        if isinstance(error, ValueError):
            raise Failed(f"{self._what}{error}") from None


def _text(raw: bytes) -> str:
    if len(raw) > reading.LONGEST:
        raise Failed(reading.TOO_LONG)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Failed(f"it is not UTF-8, from byte {error.start + 1}") from None


def _plain(name: str, value: Any) -> bytes | None:
    """A key or header without a schema, from a field."""
    if value is None:
        return None
    if type(value) is int:
        return str(value).encode()
    if type(value) is str:
        return value.encode()
    raise Failed(f"expected a text, a whole number or null, got {told(value)}", name)
