"""Watch a producer with Prometheus and OpenTelemetry: ``python examples/metrics_and_traces.py``.

Needs ``pip install 'kafka-sr-retry[prometheus,opentelemetry]' opentelemetry-sdk``, a Kafka broker and a Schema
Registry; say where with KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL. Prometheus scrapes METRICS_PORT, by default
9464. Spans are printed here; an OTLP exporter would send them on.
"""

import os
import sys
import urllib.request

from confluent_kafka import SerializingProducer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from prometheus_client import start_http_server

from kafka_sr_retry import AvroSerializerBuilder
from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
from kafka_sr_retry.instrumentation.prometheus import PrometheusInstrumentation

ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}


def line(span: ReadableSpan) -> str:
    """A span's name, its parent, and how it ended."""
    told = span.attributes or {}
    end = told.get("kafka_sr_retry.outcome") or told.get("kafka_sr_retry.result") or "done"
    parent = f"{span.parent.span_id:016x}" if span.parent else "none"
    own = span.context.span_id if span.context else 0
    return f"span {own:016x}, parent {parent}: {span.name}: {end}\n"


tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=line)))
trace.set_tracer_provider(tracers)
server, _ = start_http_server(int(os.environ.get("METRICS_PORT", "9464")), addr="127.0.0.1")

outcomes = []
producer = SerializingProducer(
    {
        "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
        "schema.registry.url": os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081"),
        "schema.registry.event_cb": [PrometheusInstrumentation(), OpenTelemetryInstrumentation()],
        "delivery.timeout.ms": 10_000,
        "on_delivery": lambda error, message: outcomes.append(error and error.str()),
        "value.serializer.builder": AvroSerializerBuilder(schema=ORDER),
    }
)
with producer:
    for number in range(1, 4):
        with trace.get_tracer("shop").start_as_current_span(f"order {number}"):
            producer.produce("orders", value={"id": number})

with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as scraped:
    for sample in scraped.read().decode().splitlines():
        if sample.startswith(("kafka_sr_retry_attempts_total", "kafka_sr_retry_known_ids")):
            print(sample)
if outcomes != [None] * 3:
    sys.exit(f"not all delivered: {outcomes}")
print("delivered 3 orders")
