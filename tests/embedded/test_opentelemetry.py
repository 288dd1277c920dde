"""A call is a span below the caller's, each attempt one below it whose context is on the wire; the metrics agree."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest
from clocks import FastClock, SkippingClock
from confluent_kafka import SerializingProducer
from opentelemetry import context, trace
from opentelemetry.metrics import NoOpCounter, NoOpMeter, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from servers import TokenServer
from waiting import until

from kafka_sr_retry import AvroSerializerBuilder, Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.events import (
    AttemptEvent,
    AttemptStartEvent,
    CallStartEvent,
    Event,
    GiveUpEvent,
    RefusalEvent,
    SuccessEvent,
)
from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
from kafka_sr_retry.registry.clock import Clock
from kafka_sr_retry.testing import (
    Answer,
    Exchange,
    Fault,
    KafkaMockCluster,
    SchemaRegistryServer,
    drop_body,
    error,
    html,
    no_leader,
    reset,
)

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
OTHER = Schema('"string"')


class Telemetry:
    """An SDK in memory, and clients that it hears of."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])
        self.tracer = self.tracers.get_tracer("test")
        self.instrumentation = OpenTelemetryInstrumentation(self.tracers, self.meters)
        self.stack = ExitStack()
        self.stack.callback(self.meters.shutdown)
        self.stack.callback(self.tracers.shutdown)

    def client(
        self,
        *urls: str,
        hear: Callable[[Event], object] | None = None,
        listeners: list[Callable[[Event], object]] | None = None,
        clock: Clock | None = None,
        **conf: Any,
    ) -> SchemaRegistryClient:
        listeners = listeners or [self.instrumentation, *([] if hear is None else [hear])]
        named = {key.replace("_", "."): value for key, value in conf.items()}
        conf = {"url": list(urls), "event_cb": listeners, **named}
        made = SchemaRegistryClient(conf, clock=clock or SkippingClock())
        self.stack.callback(made.close)
        return made

    @property
    def spans(self) -> list[ReadableSpan]:
        """All that have ended, in the order of their beginnings."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    def calls(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith("kafka_sr_retry ")]

    def attempts(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is SpanKind.CLIENT]

    def measured(self) -> dict[str, dict[frozenset[tuple[str, Any]], float]]:
        """Values, or counts of a histogram, by name and attributes."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: {
                frozenset((point.attributes or {}).items()): getattr(point, "count", getattr(point, "value", None))
                for point in metric.data.data_points
            }
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def edges(self, name: str) -> set[tuple[float, ...]]:
        """Of a histogram's buckets."""
        data: Any = self._reader.get_metrics_data()
        metrics = [m for resource in data.resource_metrics for scope in resource.scope_metrics for m in scope.metrics]
        return {tuple(point.explicit_bounds) for m in metrics if m.name == name for point in m.data.data_points}

    def counted(self, name: str) -> dict[frozenset[tuple[str, Any]], float]:
        """Those that are not 0."""
        return {labels: value for labels, value in self.measured().get(name, {}).items() if value}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    with made.stack:
        yield made


def labels(**values: Any) -> frozenset[tuple[str, Any]]:
    return frozenset(values.items())


def fails(ask: Callable[[], object]) -> None:
    with pytest.raises(SchemaRegistryError):
        ask()


def ids(span: ReadableSpan) -> tuple[int, int]:
    return span.context.trace_id, span.context.span_id


def parent(span: ReadableSpan) -> tuple[int, int] | None:
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)


def sent(headers: Mapping[str, str]) -> tuple[int, int]:
    """The trace and span of a request's W3C trace context."""
    _, trace_id, span_id, _ = headers["traceparent"].split("-")
    return int(trace_id, 16), int(span_id, 16)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- spans -------------------------------------------------------------------------------------


def test_a_call_is_below_its_caller_and_its_attempts_below_it_and_on_the_wire(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(reset(), no_leader(), error(503))
    client = telemetry.client(schema_registry.url)
    with telemetry.tracer.start_as_current_span("place order"):
        client.register_schema("orders-value", ORDER)
        own = trace.get_current_span()
    order, call, *attempts = telemetry.spans
    assert own.get_span_context().span_id == order.context.span_id  # ours have left the caller's context as it was
    assert call.name == "kafka_sr_retry register"
    assert call.kind is SpanKind.INTERNAL
    assert parent(call) == ids(order)
    assert [parent(attempt) for attempt in attempts] == [ids(call)] * 4
    assert {attempt.kind for attempt in attempts} == {SpanKind.CLIENT}
    assert [sent(request.headers) for request in schema_registry.requests] == [ids(attempt) for attempt in attempts]
    for span in (call, *attempts):
        assert span.start_time is not None
        assert span.end_time is not None
        assert call.start_time <= span.start_time <= span.end_time <= call.end_time  # type: ignore[operator]


def test_an_attempt_is_named_and_told_as_http_clients_are(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(no_leader())
    telemetry.client(schema_registry.url).register_schema("orders-value", ORDER)
    first, second = telemetry.attempts()
    request = schema_registry.requests[0]
    assert first.name == "POST"
    assert attributes(first) == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": schema_registry.port,
        "url.full": f"{schema_registry.url}/subjects/orders-value/versions",
        "http.request.header.x-request-id": (request.headers["X-Request-ID"],),
        "http.request.body.size": len(request.body),
        "http.response.status_code": 500,
        "error.type": "500",
        "kafka_sr_retry.endpoint": schema_registry.url,
        "kafka_sr_retry.outcome": "no_leader",
        "kafka_sr_retry.error_code": 50003,
    }
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description is None
    told = attributes(second)
    assert told["http.request.resend_count"] == 1
    assert told["http.response.status_code"] == 200
    assert told["kafka_sr_retry.outcome"] == "success"
    assert not {"error.type", "kafka_sr_retry.error_code"} & told.keys()
    assert second.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("fault", "error_type", "description"),
    [(reset(), "connection", True), (html(200), "bad_answer", False), (error(599), "500", False)],
    ids=["no answer", "no registry's answer", "a status that HTTP does not define"],
)
def test_a_failed_attempt_names_its_error(
    fault: Fault,
    error_type: str,
    description: bool,
    telemetry: Telemetry,
    schema_registry: SchemaRegistryServer,
) -> None:
    schema_registry.fail_next(fault)
    telemetry.client(schema_registry.url).register_schema("orders-value", ORDER)
    failed = telemetry.attempts()[0]
    assert attributes(failed)["error.type"] == error_type
    assert failed.status.status_code is StatusCode.ERROR
    assert bool(failed.status.description) is description


def test_a_port_that_goes_without_saying_is_told(telemetry: Telemetry) -> None:
    fails(lambda: telemetry.client("https://[::1]", max_retries=0).register_schema("orders-value", ORDER))
    fails(lambda: telemetry.client("http://[::1]/path", max_retries=0).register_schema("orders-value", ORDER))
    secure, plain = map(attributes, telemetry.attempts())
    assert (secure["server.address"], secure["server.port"]) == ("::1", 443)
    assert (plain["server.address"], plain["server.port"]) == ("::1", 80)
    assert plain["url.full"] == "http://[::1]/path/subjects/orders-value/versions"


def test_a_call_that_succeeds_tells_what_it_took(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    with SchemaRegistryServer() as first:
        first.fail_always(error(502))
        schema_registry.fail_next(error(503))
        telemetry.client(first.url, schema_registry.url).register_schema("orders-value", ORDER)
    (call,) = telemetry.calls()
    assert call.status.status_code is StatusCode.UNSET
    assert attributes(call) == {
        "kafka_sr_retry.operation": "register",
        "kafka_sr_retry.asked": "register a schema under subject 'orders-value'",
        "kafka_sr_retry.result": "success",
        "kafka_sr_retry.attempts": len(first.requests) + len(schema_registry.requests),
        "kafka_sr_retry.endpoint": schema_registry.url,
    }
    told = [(event.name, dict(event.attributes or {})) for event in call.events]
    failover, retry, *_ = told
    assert failover == (
        "kafka_sr_retry.failover",
        {
            "kafka_sr_retry.failed": first.url,
            "kafka_sr_retry.next": schema_registry.url,
            "kafka_sr_retry.reason": "server_error",
        },
    )
    assert retry[0] == "kafka_sr_retry.retry"
    assert retry[1].keys() == {"kafka_sr_retry.round", "kafka_sr_retry.wait", "kafka_sr_retry.reason"}


def test_an_outage_is_told_on_the_calls_that_met_its_ends(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(*[error(502)] * 4)
    telemetry.client(schema_registry.url).register_schema("orders-value", ORDER)
    (call,) = telemetry.calls()
    breaker = {event.name: dict(event.attributes or {}) for event in call.events if "breaker" in event.name}
    assert breaker.keys() == {"kafka_sr_retry.breaker.open", "kafka_sr_retry.breaker.closed"}
    assert breaker["kafka_sr_retry.breaker.open"]["kafka_sr_retry.failures"] == 3
    assert breaker["kafka_sr_retry.breaker.closed"]["kafka_sr_retry.endpoint"] == schema_registry.url


def test_a_lost_body_is_told(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(drop_body())
    fails(lambda: telemetry.client(schema_registry.url).register_schema("orders-value", ORDER))
    (call,) = telemetry.calls()
    (event,) = call.events
    assert event.name == "kafka_sr_retry.body_lost"
    assert dict(event.attributes or {})["kafka_sr_retry.bytes_sent"] == len(schema_registry.requests[0].body)


@pytest.mark.parametrize(
    ("fault", "result", "reason"),
    [
        (error(409), "refusal", "incompatible"),
        (error(401), "refusal", "unauthorized"),
        (reset(), "give_up", "connection"),
    ],
)
def test_a_call_that_fails_names_its_error(
    fault: Fault, result: str, reason: str, telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(fault)
    fails(lambda: telemetry.client(schema_registry.url, max_retries=0).register_schema("orders-value", ORDER))
    (call,) = telemetry.calls()
    told = attributes(call)
    assert call.status.status_code is StatusCode.ERROR
    assert told["error.type"] == told["kafka_sr_retry.reason"] == reason
    assert told["kafka_sr_retry.result"] == result


def test_a_look_up_in_place_of_a_registration_is_linked_to_it_and_neither_call_is_an_error(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.register("orders-value", ORDER.schema_str or "")
    schema_registry.fail_next(error(403))
    client = telemetry.client(
        schema_registry.url,
        bearer_auth_credentials_source="CUSTOM",
        bearer_auth_custom_provider_function=lambda config: "token",
        bearer_auth_custom_provider_config={},
    )
    with telemetry.tracer.start_as_current_span("place order"):
        client.register_schema("orders-value", ORDER)
    refused, token, found, other_token = telemetry.calls()
    assert [call.status.status_code for call in (refused, found)] == [StatusCode.UNSET] * 2
    assert "error.type" not in attributes(refused)
    assert attributes(refused)["kafka_sr_retry.result"] == "look_up"
    assert attributes(refused)["kafka_sr_retry.reason"] == "forbidden"
    assert attributes(found)["kafka_sr_retry.result"] == "success"
    assert parent(refused) == parent(found) == ids(telemetry.spans[0])
    assert [(link.context.trace_id, link.context.span_id) for link in found.links] == [ids(refused)]
    assert not any(call.links for call in (refused, token, other_token))
    assert telemetry.attempts()[0].status.status_code is StatusCode.ERROR


def test_a_look_up_that_finds_nothing_is_the_error(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(error(403))
    fails(lambda: telemetry.client(schema_registry.url).register_schema("orders-value", ORDER))
    refused, not_found = telemetry.calls()
    assert refused.status.status_code is StatusCode.UNSET
    assert not_found.status.status_code is StatusCode.ERROR
    assert attributes(not_found)["error.type"] == "forbidden"


def test_a_token_is_fetched_below_the_call_that_needs_it(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    with TokenServer() as tokens:
        client = telemetry.client(
            schema_registry.url,
            bearer_auth_credentials_source="OAUTHBEARER",
            bearer_auth_client_id=tokens.ID,
            bearer_auth_client_secret=tokens.SECRET,
            bearer_auth_issuer_endpoint_url=f"{tokens.endpoint}?key=s3cret",
        )
        client.register_schema("orders-value", ORDER)
    register, token = telemetry.calls()
    asked, registered = telemetry.attempts()
    assert (register.name, token.name) == ("kafka_sr_retry register", "kafka_sr_retry token")
    assert parent(token) == ids(register)
    assert parent(asked) == ids(token)
    assert parent(registered) == ids(register)
    assert sent(tokens.requests[0].headers) == ids(asked)
    assert attributes(asked)["url.full"] == tokens.endpoint
    assert not any("s3cret" in str(attributes(span)) for span in telemetry.spans)


def test_a_function_that_gives_tokens_is_no_request(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    client = telemetry.client(
        schema_registry.url,
        bearer_auth_credentials_source="CUSTOM",
        bearer_auth_custom_provider_function=lambda config: "token",
        bearer_auth_custom_provider_config={},
    )
    client.register_schema("orders-value", ORDER)
    assert len(telemetry.attempts()) == 1
    (called,) = [span for span in telemetry.spans if span.name.startswith("CALL")]
    assert called.name == "CALL bearer.auth.custom.provider.function"
    assert called.kind is SpanKind.INTERNAL
    assert not any(name.startswith(("http.", "server.", "url.")) for name in attributes(called))
    assert sum(telemetry.counted("http.client.request.duration").values()) == len(schema_registry.requests) == 1


def test_an_attempts_span_is_the_current_one_where_the_request_is_sent(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    current: list[int] = []

    def sign(request: Any) -> Any:
        current.append(trace.get_current_span().get_span_context().span_id)
        return request

    schema_registry.fail_next(no_leader())
    telemetry.client(schema_registry.url, http_auth=sign).register_schema("orders-value", ORDER)
    assert current == [span.context.span_id for span in telemetry.attempts()]


def test_the_callers_context_comes_back_on_the_calls_thread(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    current: list[tuple[type[Event], str]] = []

    def hear(event: Event) -> None:
        span: Any = trace.get_current_span()
        current.append((type(event), span.name))

    client = telemetry.client(schema_registry.url, hear=hear)
    with telemetry.tracer.start_as_current_span("place order"):
        client.register_schema("orders-value", ORDER)
    assert current == [
        (CallStartEvent, "kafka_sr_retry register"),
        (AttemptStartEvent, "POST"),
        (AttemptEvent, "kafka_sr_retry register"),
        (SuccessEvent, "place order"),
    ]


@pytest.mark.parametrize("order", [1, -1], ids=["first begun, first ended", "first begun, last ended"])
def test_each_of_two_builds_the_trace_that_it_would_build_alone(
    order: int, telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    other = Telemetry()
    both = [telemetry.instrumentation, other.instrumentation]
    before: list[context.Context] = []
    ended: list[bool] = []

    def hear(event: Event) -> None:
        ends = isinstance(event, AttemptEvent | SuccessEvent | RefusalEvent)
        if isinstance(event, CallStartEvent | AttemptStartEvent):
            before.append(context.get_current())
        for listener in both[:: order if ends else 1]:
            listener(event)
        if ends:
            ended.append(context.get_current() is before.pop())

    schema_registry.register("orders-value", ORDER.schema_str or "")
    schema_registry.fail_next(error(503), error(503), error(403))
    client = telemetry.client(
        schema_registry.url,
        listeners=[hear],
        bearer_auth_credentials_source="CUSTOM",
        bearer_auth_custom_provider_function=lambda config: "token",
        bearer_auth_custom_provider_config={},
    )
    with other.stack, telemetry.tracer.start_as_current_span("place order"):
        client.register_schema("orders-value", ORDER)
    caller = telemetry.spans[0]
    assert ended == [True] * 14  # register, look up and four tokens, and the attempts of each
    for spans in (telemetry.spans[1:], other.spans):
        names = {ids(caller): "caller"} | {ids(span): span.name for span in spans}
        assert Counter((span.name, names.get(parent(span) or (0, 0))) for span in spans) == {
            ("kafka_sr_retry register", "caller"): 2,
            ("kafka_sr_retry token", "kafka_sr_retry register"): 4,
            ("CALL bearer.auth.custom.provider.function", "kafka_sr_retry token"): 4,
            ("POST", "kafka_sr_retry register"): 4,
        }
        (link,) = [link for span in spans for link in span.links]  # of the look-up to the registration
        assert (link.context.trace_id, link.context.span_id) == ids(spans[0])


@pytest.mark.parametrize("spanned", [True, False])
def test_a_call_that_a_request_brings_about_is_below_the_users_span_or_else_the_attempts(
    spanned: bool, telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    with SchemaRegistryServer() as other:
        inner = telemetry.client(other.url)

        def sign(request: Any) -> Any:
            with telemetry.tracer.start_as_current_span("sign") if spanned else nullcontext():
                inner.register_schema("keys-value", ORDER)
            return request

        telemetry.client(schema_registry.url, http_auth=sign).register_schema("orders-value", ORDER)
    _, within = telemetry.calls()
    assert parent(within) == ids(next(span for span in telemetry.spans if span.name == ("sign" if spanned else "POST")))


def test_no_credential_is_in_a_span_or_metric(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    url = schema_registry.url.replace("://", "://someone:s3cret@")
    schema_registry.fail_next(error(503), reset())
    telemetry.client(url).register_schema("orders-value", ORDER)
    assert all(request.headers["Authorization"].startswith("Basic ") for request in schema_registry.requests)
    told = "".join(span.to_json() for span in telemetry.spans) + str(telemetry.measured())
    assert schema_registry.url in told
    assert "s3cret" not in told
    assert "someone" not in told


def test_every_span_that_begins_ends(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    begun: list[int] = []

    class Begun(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            begun.append(span.context.span_id)

    telemetry.tracers.add_span_processor(Begun())
    faults = [no_leader(), error(403), error(409), html(), drop_body(), reset(), error(429), html(200), error(401)]
    schema_registry.fail_next(*faults * 10)
    client = telemetry.client(
        schema_registry.url,
        clock=FastClock(),
        max_retries=1,
        request_timeout_ms=1_000_000,
        total_timeout_ms=10_000_000,
    )

    def register(number: int) -> bool:
        try:
            return client.register_schema(f"s{number}", ORDER) > 0
        except SchemaRegistryError:
            return False

    with ThreadPoolExecutor(8) as pool:
        ends = Counter(pool.map(register, range(100)))
    client.close()
    assert ends[False] > 0
    assert ends[True] > 0
    assert Counter(begun) == Counter(span.context.span_id for span in telemetry.spans)
    asked = [sent(request.headers) for request in schema_registry.requests]
    assert Counter(asked) == Counter(ids(span) for span in telemetry.attempts())


def test_no_span_is_kept(schema_registry: SchemaRegistryServer) -> None:
    begun: list[weakref.ref[Any]] = []

    class Begun(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            begun.append(weakref.ref(span))

    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(Begun())
    schema_registry.fail_next(error(503), error(403))
    conf = {"url": schema_registry.url, "event_cb": OpenTelemetryInstrumentation(tracers)}
    before = {*threading.enumerate()}
    with SchemaRegistryClient(conf, clock=SkippingClock()) as client:
        fails(lambda: client.register_schema("orders-value", ORDER))
        until(lambda: not [each for each in {*threading.enumerate()} - before if "kafka-sr-retry" in each.name])
        gc.collect()
        assert [span() for span in begun] == [None] * 5


def test_a_client_closed_in_the_middle_ends_its_spans(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    arrived, over = threading.Event(), threading.Event()

    def never(exchange: Exchange) -> None:
        arrived.set()
        exchange.wait(None)

    def hear(event: Event) -> None:
        if isinstance(event, GiveUpEvent):
            over.set()

    schema_registry.fail_next(Fault("never", never))
    client = telemetry.client(schema_registry.url, hear=hear)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.register_schema, "orders-value", ORDER)
        assert arrived.wait(20)
        client.close()
        assert isinstance(asked.exception(20), SchemaRegistryError)
    assert over.wait(20)
    assert [span.name for span in telemetry.spans] == ["kafka_sr_retry register", "POST"]


def test_a_metric_that_fails_leaves_no_span_open(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(NoOpCounter):
        def add(self, amount: float, *more: Any, **named: Any) -> None:
            if amount:
                raise RuntimeError("no room")

    class Meter(NoOpMeter):
        def create_counter(self, name: str, *more: Any, **named: Any) -> Broken:
            return Broken(name)

    class Meters(NoOpMeterProvider):
        def get_meter(self, name: str, *more: Any, **named: Any) -> Meter:
            return Meter(name)

    conf = {"url": schema_registry.url, "event_cb": OpenTelemetryInstrumentation(telemetry.tracers, Meters())}
    with SchemaRegistryClient(conf) as client, telemetry.tracer.start_as_current_span("place order"):
        client.register_schema("orders-value", ORDER)
        client.register_schema("other-value", ORDER)
    order, *calls = telemetry.spans
    assert [span.name for span in calls] == ["kafka_sr_retry register", "POST"] * 2
    assert [parent(call) for call in telemetry.calls()] == [ids(order)] * 2
    assert "no room" in caplog.text


def test_an_error_code_that_no_exporter_can_send_is_left_out(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(error(500, 2**63), error(500, 2**31 - 1))
    telemetry.client(schema_registry.url).register_schema("orders-value", ORDER)
    codes = [attributes(attempt).get("kafka_sr_retry.error_code") for attempt in telemetry.attempts()]
    assert codes == [None, 2**31 - 1, None]


def test_without_an_sdk_nothing_is_sent_or_broken(schema_registry: SchemaRegistryServer) -> None:
    code = """
import sys
from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation
with SchemaRegistryClient({"url": sys.argv[1], "event_cb": OpenTelemetryInstrumentation()}) as client:
    client.register_schema("orders-value", Schema('"string"'))
"""
    done = run(code, schema_registry.url)
    assert (done.returncode, done.stderr) == (0, "")
    (request,) = schema_registry.requests
    assert "traceparent" not in request.headers


def test_it_can_be_pickled_with_its_client(schema_registry: SchemaRegistryServer) -> None:
    client = SchemaRegistryClient({"url": schema_registry.url, "event_cb": OpenTelemetryInstrumentation()})
    with client, pickle.loads(pickle.dumps(client)) as copy:
        assert copy.register_schema("orders-value", ORDER) == 1


def test_a_copy_of_a_configuration_has_the_same_providers(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    conf = {"url": schema_registry.url, "event_cb": [telemetry.instrumentation]}
    for copied in (copy.copy(conf), copy.deepcopy(conf)):
        with SchemaRegistryClient(copied) as client:
            client.register_schema("orders-value", ORDER)
    assert len(telemetry.calls()) == 2


def test_one_with_a_provider_of_its_own_says_why_it_cannot_be_pickled(telemetry: Telemetry) -> None:
    for own in (OpenTelemetryInstrumentation(telemetry.tracers), OpenTelemetryInstrumentation(None, telemetry.meters)):
        with pytest.raises(TypeError, match="a provider of its own cannot be pickled"):
            pickle.dumps(own)


# -- metrics -----------------------------------------------------------------------------------


def test_the_metrics_tell_what_the_registry_saw(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    client = telemetry.client(schema_registry.url)
    schema_registry.fail_next(reset(), no_leader())
    client.register_schema("orders-value", ORDER)
    fails(lambda: client.lookup_schema("orders-value", OTHER))
    url, port = schema_registry.url, schema_registry.port
    measured = telemetry.measured()
    assert measured["kafka_sr_retry.attempts"] == {
        labels(endpoint=url, status="none", error_code="none", outcome="connection"): 1,
        labels(endpoint=url, status="500", error_code="50003", outcome="no_leader"): 1,
        labels(endpoint=url, status="200", error_code="none", outcome="success"): 1,
        labels(endpoint=url, status="404", error_code="40403", outcome="not_found"): 1,
    }
    server = {"http.request.method": "POST", "server.address": "127.0.0.1", "server.port": port}
    assert measured["http.client.request.duration"] == {
        labels(**server, **{"error.type": "connection"}): 1,
        labels(**server, **{"http.response.status_code": 500, "error.type": "500"}): 1,
        labels(**server, **{"http.response.status_code": 200}): 1,
        labels(**server, **{"http.response.status_code": 404, "error.type": "404"}): 1,
    }
    assert len(schema_registry.requests) == 4
    assert measured["kafka_sr_retry.call.duration"] == {
        labels(operation="register", result="success"): 1,
        labels(operation="look_up", result="refusal"): 1,
    }
    assert telemetry.counted("kafka_sr_retry.retries") == {
        labels(reason="connection"): 1,
        labels(reason="no_leader"): 1,
    }
    assert measured["kafka_sr_retry.known_ids"] == {labels(): 1}
    assert measured["kafka_sr_retry.calls_waiting"] == {labels(): 0}
    assert measured["kafka_sr_retry.endpoint.up"] == {labels(endpoint=url): 1}
    assert measured["kafka_sr_retry.breaker.open"] == {labels(endpoint=url): 0, labels(endpoint="writes"): 0}


def test_counters_exist_before_the_first_request(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    telemetry.client(schema_registry.url)
    measured = telemetry.measured()
    for name, some in {
        "failed_registrations": labels(reason="incompatible"),
        "retries": labels(reason="no_leader"),
        "lost_bodies": labels(endpoint=schema_registry.url),
        "stale_reads": labels(),
    }.items():
        assert measured[f"kafka_sr_retry.{name}"][some] == 0
    assert "kafka_sr_retry.call.duration" not in measured  # a measurement of 0 s would be a false one


@pytest.mark.parametrize("name", ["kafka_sr_retry.call.duration", "http.client.request.duration"])
def test_the_buckets_reach_from_milliseconds_over_a_minute(
    name: str, telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    telemetry.client(schema_registry.url).register_schema("orders-value", ORDER)
    (edges,) = telemetry.edges(name)
    assert edges[0] == 0.005
    assert edges[-1] >= 60


def test_failed_registrations_are_counted(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    schema_registry.fail_next(error(409))
    fails(lambda: telemetry.client(schema_registry.url).register_schema("orders-value", ORDER))
    assert telemetry.counted("kafka_sr_retry.failed_registrations") == {labels(reason="incompatible"): 1}


def test_a_hostile_registry_cannot_multiply_the_attributes(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer
) -> None:
    def play(exchange: Exchange) -> None:
        number = len(schema_registry.requests)
        body = b'{"error_code":%d,"message":"no"}' % (50_000 + number)
        exchange.send(Answer(500 + number % 500, body, (("Content-Type", "application/json"),)))

    schema_registry.fail_next(*[Fault("hostile", play)] * 600)
    telemetry.client(schema_registry.url, total_timeout_ms=86_400_000).register_schema("orders-value", ORDER)
    assert len(schema_registry.requests) == 601
    measured = telemetry.measured()
    for name in ("kafka_sr_retry.attempts", "http.client.request.duration"):
        assert sum(measured[name].values()) == 601
        assert len(measured[name]) < 60


def test_the_gauges_follow_the_clients_that_live(telemetry: Telemetry, schema_registry: SchemaRegistryServer) -> None:
    url = schema_registry.url
    other = OpenTelemetryInstrumentation(telemetry.tracers, telemetry.meters)
    telemetry.client(url).register_schema("a", ORDER)
    conf = {"url": url, "event_cb": other, "max.retries": 4}
    ill = SchemaRegistryClient(conf, clock=SkippingClock())
    ill.register_schema("b", ORDER)
    schema_registry.fail_next(*[error(502)] * 5)
    with pytest.raises(SchemaRegistryError):
        ill.register_schema("c", ORDER)
    measured = telemetry.measured()
    assert measured["kafka_sr_retry.known_ids"] == {labels(): 2}
    assert measured["kafka_sr_retry.endpoint.up"] == {labels(endpoint=url): 0}
    assert measured["kafka_sr_retry.breaker.open"][labels(endpoint=url)] == 1
    ill.close()
    del ill, conf
    gc.collect()
    measured = telemetry.measured()
    assert measured["kafka_sr_retry.known_ids"] == {labels(): 1}
    assert measured["kafka_sr_retry.endpoint.up"] == {labels(endpoint=url): 1}


@pytest.mark.parametrize("early", ["", "O()", "O(meter_provider=metrics.get_meter_provider())", "O(meter_provider=mp)"])
def test_the_gauges_show_the_clients_of_a_provider_however_it_was_given(
    early: str, schema_registry: SchemaRegistryServer
) -> None:
    code = f"""
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.instrumentation.opentelemetry import OpenTelemetryInstrumentation as O
reader = InMemoryMetricReader()
mp = MeterProvider([reader])
listeners = [{early}]
metrics.set_meter_provider(mp)
listeners += [O(), O(meter_provider=mp), O(meter_provider=MeterProvider())]
clients = [SchemaRegistryClient({{"url": sys.argv[1], "event_cb": each}}) for each in listeners]
clients.append(SchemaRegistryClient({{"url": sys.argv[1], "event_cb": listeners[:-1]}}))
for client in clients:
    client.register_schema("orders-value", Schema('"string"'))
data = reader.get_metrics_data()
found = [m for resource in data.resource_metrics for scope in resource.scope_metrics for m in scope.metrics]
print([p.value for m in found if m.name == "kafka_sr_retry.known_ids" for p in m.data.data_points])
"""
    done = run(code, schema_registry.url)
    assert (done.stdout.strip(), done.stderr) == (f"[{4 if early else 3}]", "")


def test_a_producer_is_traced_by_its_configuration(
    telemetry: Telemetry, schema_registry: SchemaRegistryServer, kafka_cluster: KafkaMockCluster
) -> None:
    schema_registry.fail_next(error(503))
    producer = SerializingProducer(
        {
            "bootstrap.servers": kafka_cluster.bootstrap_servers,
            "schema.registry.url": schema_registry.url,
            "schema.registry.event_cb": telemetry.instrumentation,
            "value.serializer.builder": AvroSerializerBuilder(schema=ORDER.schema_str),
        }
    )
    topic = f"orders-{uuid.uuid4().hex}"
    with producer:
        for number in range(100):
            with telemetry.tracer.start_as_current_span(f"order {number}"):
                producer.produce(topic, value={"id": number})
    (call,) = telemetry.calls()
    assert parent(call) == ids(telemetry.spans[0])
    assert telemetry.spans[0].name == "order 0"
    assert len(telemetry.attempts()) == len(schema_registry.requests) == 2
    assert len(telemetry.spans) == 103
