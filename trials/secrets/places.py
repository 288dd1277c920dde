"""Where something could be told of a call: what is written, raised, logged, measured and shown of its objects."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from confluent_kafka import SerializingProducer
from confluent_kafka.serialization import MessageField, SerializationContext
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

import kafka_sr_retry
from kafka_sr_retry import AvroSerializer, AvroSerializerBuilder, Schema, SchemaRegistryClient, confluent
from kafka_sr_retry.config import PREFIX
from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

from .faults import ASKS

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
HOME = str(Path(kafka_sr_retry.__file__).parent)
WAYS = ("client", "serializer", "confluent", "client", "builder")
"""By whom a call is made, in turn."""

Told = dict[str, str]
"""What is told, by place."""


class Watch:
    """All that a process tells while it is watched: log records, warnings, what ends a thread, the standard streams."""

    def __init__(self) -> None:
        self._records: list[str] = []
        self._warned: list[str] = []
        self._hooked: list[str] = []
        self._streams = tempfile.TemporaryFile()  # noqa: SIM115 closed with the watch

    @contextmanager
    def on(self) -> Iterator[Watch]:
        """From here on; file descriptors too, as C libraries write to them."""
        handler = logging.Handler()
        handler.emit = self._log  # type: ignore[method-assign]
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        sys.excepthook = lambda *raised: self._hook(raised[1])
        threading.excepthook = lambda args: self._hook(args.exc_value, args.exc_value, args.thread)
        sys.unraisablehook = lambda args: self._hook(args.exc_value, args.object, args.err_msg)
        kept = [os.dup(number) for number in (1, 2)]
        sys.stdout.flush()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.showwarning = lambda message, *where, **_: self._warned.append(f"{message} {where}")
                for number in (1, 2):
                    os.dup2(self._streams.fileno(), number)
                yield self
        finally:
            for number, stream in zip((1, 2), kept, strict=True):
                os.dup2(stream, number)
                os.close(stream)
            sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
            root.removeHandler(handler)
            self._streams.close()

    def taken(self) -> Told:
        """What was told since it was taken before."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._streams.seek(0)
        written = self._streams.read().decode(errors="replace")
        self._streams.seek(0)
        self._streams.truncate()
        told = {
            "logs": "\n".join(self._records),
            "warnings": "\n".join(self._warned),
            "hooks": "\n".join(self._hooked),
            "streams": written,
        }
        self._records.clear()
        self._warned.clear()
        self._hooked.clear()
        return told

    def _log(self, record: logging.LogRecord) -> None:
        self._records.append(f"{record.name} {record.getMessage()} {record.args!r}")
        if record.exc_info and record.exc_info[1]:
            self._records.append(raised(record.exc_info[1]))

    def _hook(self, error: BaseException | None, *more: object) -> None:
        self._hooked.append(f"{raised(error) if error else ''} {more!r}")


def raised(error: BaseException) -> str:
    """A traceback with all its causes, and the local variables in the package's own frames: those of others are
    theirs."""
    written = "".join(traceback.format_exception(error))
    return written + "\n".join(_locals(traceback.TracebackException.from_exception(error, capture_locals=True), set()))


def _locals(told: traceback.TracebackException, seen: set[int]) -> Iterator[str]:
    for frame in told.stack:
        if frame.filename.startswith(HOME):
            yield f"{frame.filename}:{frame.lineno} {frame.locals}"
    for other in (told.__cause__, told.__context__):
        if other is not None and id(other) not in seen:
            seen.add(id(other))
            yield from _locals(other, seen)


def chain(error: BaseException) -> list[BaseException]:
    """The error, its causes and contexts."""
    found: list[BaseException] = [error]
    for each in found:
        found += [e for e in (each.__cause__, each.__context__) if e is not None and e not in found]
    return found


class Measures:
    """Both back ends, which listen to all clients of a trial."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.listeners: list[Callable[[Any], None]] = [
            PrometheusInstrumentation(self._registry),
            OpenTelemetryInstrumentation(traces, MeterProvider([self._reader], shutdown_on_exit=False)),
        ]

    def told(self, *, metrics: bool) -> Told:
        told = {"spans": "\n".join(span.to_json() for span in self._spans.get_finished_spans())}
        self._spans.clear()
        if metrics:
            data = self._reader.get_metrics_data()
            told["metrics"] = generate_latest(self._registry).decode() + (data.to_json() if data else "")
        return told


def call(conf: dict[str, Any], ask: str, way: str, measures: Measures) -> Told:
    """What one call tells that a configuration's client makes."""
    heard: list[Any] = []
    listeners = [*conf.get("event_cb", []), heard.append, *measures.listeners, _raise_at_an_attempt]
    given = {**_QUICK, **conf, "event_cb": listeners}
    client, objects, error = _called(given, ask, way)
    assert heard, "nothing was asked"
    told = {
        "objects": "\n".join(f"{shown!r} {shown}" for shown in (*objects, *_within(client))),
        "state": f"{client.state()!r}",
        "events": "\n".join(map(repr, heard)),
        "events' pickles": "\n".join(pickle.dumps(event).decode("latin-1") for event in heard),
    }
    return told | (of_error(error) if error else {})


def _raise_at_an_attempt(event: Any) -> None:
    if type(event).__name__ == "AttemptEvent":
        raise RuntimeError("a listener")


def of_error(error: BaseException) -> Told:
    """What an error tells, itself and by its causes."""
    errors = chain(error)
    told = {
        "error": "\n".join(f"{each} {each!r} {each.args!r}" for each in errors),
        "error's attributes": "\n".join(repr(vars(each)) for each in errors),
        "traceback": raised(error),
    }
    with suppress(Exception):  # of KafkaException
        again = pickle.loads(pickle.dumps(error))
        told["error's pickle"] = f"{pickle.dumps(error).decode('latin-1')} {again!r} {vars(again)!r}"
    return told


_QUICK = {
    "ssl.ca.location": False,
    "request.timeout.ms": 300,
    "connect.timeout.ms": 300,
    "total.timeout.ms": 5000,
    "retries.wait.ms": 1,
    "retries.max.wait.ms": 1,
    "max.retries": 0,
}


def _called(conf: dict[str, Any], ask: str, way: str) -> tuple[SchemaRegistryClient, list[Any], BaseException | None]:
    """Asks, and gives the client, what stands before it, and the error."""
    producers = {name: value for name, value in conf.items() if name.startswith("sasl.")}
    flat = {PREFIX + name: value for name, value in conf.items() if name not in producers} | producers
    if way == "client" and producers:
        way = "serializer"
    if ask != "register" and not producers:
        way = "client"
    if way == "client":
        client = SchemaRegistryClient(conf)
        with client:
            return client, [client], _error(lambda: ASKS[ask](client, ORDER))
    if way == "confluent" and not producers:
        theirs = confluent.SchemaRegistryClient(conf)
        with theirs:
            return theirs._ours, [theirs], _error(lambda: theirs.register_schema("orders-value", _confluents()))
    message = {"id": 1}
    if way == "builder":
        builder = AvroSerializerBuilder(schema=ORDER)
        made: list[AvroSerializer] = []
        build = builder.build

        def noting(conf: Any, is_key: bool) -> Any:
            serializer, rest = build(conf, is_key)
            made.append(serializer)
            return serializer, rest

        builder.build = noting  # type: ignore[method-assign]
        producer = SerializingProducer(
            {"bootstrap.servers": "127.0.0.1:1", "value.serializer.builder": builder, **flat}
        )
        error = _error(lambda: producer.produce("orders", value=message))
        made[0].close()
        return made[0]._client, [producer, builder, *made], error
    serializer, rest = AvroSerializer.from_config(flat, ORDER)
    with serializer:
        context = SerializationContext("orders", MessageField.VALUE)
        objects = [serializer, serializer.bind("orders"), sorted(rest)]
        return serializer._client, objects, _error(lambda: serializer(message, context))


def _confluents() -> Any:
    from confluent_kafka.schema_registry import Schema as ConfluentSchema

    return ConfluentSchema(ORDER.schema_str, "AVRO")


def _error(ask: Callable[[], Any]) -> BaseException | None:
    try:
        ask()
    except Exception as error:  # noqa: BLE001 whatever it is, what it tells is looked at
        return error
    return None


def _within(client: SchemaRegistryClient) -> list[Any]:
    """What a debugger or a reporter of errors meets behind the client."""
    settings = client._settings
    asking = client._asking
    return [settings, settings.tls, settings.token_tls, settings.urls, asking, *vars(asking).values()]
