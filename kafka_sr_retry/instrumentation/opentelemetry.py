"""Traces and metrics for OpenTelemetry, over its API alone: ``pip install 'kafka-sr-retry[opentelemetry]'``.

A call is a span below the caller's, each of its attempts a client span by the semantic conventions for HTTP 1.23
and later (stable), whose context goes with the request.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from kafka_sr_retry.events import (
    AttemptEvent,
    AttemptStartEvent,
    BodyLostEvent,
    BreakerEvent,
    CallStartEvent,
    Event,
    FailoverEvent,
    GiveUpEvent,
    RefusalEvent,
    RetryEvent,
    SuccessEvent,
)
from kafka_sr_retry.registry.living import Living
from kafka_sr_retry.version import __version__

from .measures import (
    ATTEMPT_DURATION,
    BUCKETS,
    COUNTED,
    GAUGES,
    Metric,
    known_status,
    measured,
    read_gauges,
    result_of,
    series_at_zero,
)

try:
    from opentelemetry import context, metrics, propagate, trace
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
except ModuleNotFoundError as missing:
    raise ImportError(
        f"kafka_sr_retry.instrumentation.opentelemetry needs {missing.name}: "
        "pip install 'kafka-sr-retry[opentelemetry]'"
    ) from missing

if TYPE_CHECKING:
    from kafka_sr_retry.registry.client import SchemaRegistryClient

__all__ = ["OpenTelemetryInstrumentation"]

_Attributes = dict[str, Any]

_OPEN = context.create_key("kafka_sr_retry")
"""In a context, the spans of all instrumentations that are open there, the innermost last."""


@dataclass(frozen=True, slots=True, eq=False)
class _Current:
    """A span that is its thread's current one.

    Attributes:
        whose: the instrumentation that has begun it.
        own: its context, as it would be if no other instrumentation listened.
        before: the context that was the current one.
    """

    whose: object
    span: Span
    own: context.Context
    before: context.Context

    @classmethod
    def begin(cls, whose: object, span: Span, around: context.Context) -> _Current:
        made = cls(whose, span, trace.set_span_in_context(span, around), context.get_current())
        context.attach(context.set_value(_OPEN, (*_open(), made), made.own))
        return made

    def end(self, attributes: Mapping[str, Any], error: str | None, description: str | None = None) -> None:
        """``error``: its low-cardinality name, ``None`` for none."""
        try:
            self.span.set_attributes({name: value for name, value in attributes.items() if value is not None})
            if error is not None:
                self.span.set_attribute("error.type", error)
                self.span.set_status(Status(StatusCode.ERROR, description))
            self.span.end()
        finally:
            if self in _open():  # else one that began before it has ended, and its context from before is back
                context.attach(self.before)


def _open() -> tuple[_Current, ...]:
    return cast("tuple[_Current, ...]", context.get_value(_OPEN) or ())


def _around(whose: object) -> context.Context:
    """What would be the current context if no other instrumentation listened."""
    spans = _open()
    if not spans or trace.get_current_span() is not spans[-1].span:
        return context.get_current()
    return next((each.own for each in reversed(spans) if each.whose is whose), spans[0].before)


class OpenTelemetryInstrumentation:
    """A listener for ``event_cb`` that traces and measures what happens on the way to the registry.

    ::

        {"schema.registry.event_cb": OpenTelemetryInstrumentation(), ...}

    It may listen to any number of clients. A call's span is a child of the one that was current in ``produce``; while
    an attempt runs, its span is the current one. What a fork in the middle of a measurement does to the SDK is not
    mended here: set the SDK up in the child, as its own documentation advises.

    Args:
        tracer_provider, meter_provider: the global ones where none is given.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._own_providers = (tracer_provider, meter_provider) != (None, None)
        self._tracer = trace.get_tracer("kafka_sr_retry", __version__, tracer_provider)
        meter = metrics.get_meter("kafka_sr_retry", __version__, meter_provider)
        self._measures = {metric: _made(meter, metric) for metric in COUNTED if metric is not ATTEMPT_DURATION}
        self._request_duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._watched = _watched_by(meter_provider, meter)
        self._calls: dict[int, _Current] = {}
        self._attempts: dict[int, _Current] = {}
        self._refused: dict[int, SpanContext] = {}  # calls in whose place another comes

    def __call__(self, event: Event) -> None:
        try:
            self._measure(event)  # before its span ends, so that the measurement can point to it
        finally:
            self._trace(event)

    def watch(self, client: SchemaRegistryClient) -> None:
        """Given each new client that it listens to, before its first call."""
        for metric, labels in series_at_zero(client):
            if metric.unit != "s":
                self._measures[metric](0, dict(zip(metric.labels, labels, strict=True)))
        self._watched.add(client)

    def __copy__(self) -> OpenTelemetryInstrumentation:
        return self

    def __deepcopy__(self, memo: object) -> OpenTelemetryInstrumentation:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._own_providers:
            raise TypeError(
                "an OpenTelemetryInstrumentation with a provider of its own cannot be pickled: make it anew"
            )
        return type(self), ()

    def _measure(self, event: Event) -> None:
        for metric, labels, amount in measured(event):
            if metric is not ATTEMPT_DURATION:
                self._measures[metric](amount, dict(zip(metric.labels, labels, strict=True)))
        if isinstance(event, AttemptEvent) and _is_http(event):
            attributes, error = _request(event), _error(event)
            if event.status is not None:
                attributes["http.response.status_code"] = known_status(event.status)
            if error is not None:
                attributes["error.type"] = error
            self._request_duration.record(event.seconds, attributes)

    def _trace(self, event: Event) -> None:
        match event:
            case CallStartEvent():
                self._begin_call(event)
            case AttemptStartEvent():
                self._begin_attempt(event)
            case AttemptEvent():
                self._end_attempt(event)
            case SuccessEvent() | RefusalEvent() | GiveUpEvent():
                self._end_call(event)
            case RetryEvent():
                self._note(event, "retry", round=event.round, wait=event.wait, reason=event.reason)
            case FailoverEvent():
                self._note(event, "failover", failed=event.failed, next=event.next, reason=event.reason)
            case BreakerEvent():
                name = "breaker.open" if event.open else "breaker.closed"
                self._note(event, name, endpoint=event.endpoint, failures=event.failures, seconds=event.seconds)
            case BodyLostEvent():
                self._note(event, "body_lost", endpoint=event.endpoint, bytes_sent=event.bytes_sent)

    def _begin_call(self, event: CallStartEvent) -> None:
        refused = None if event.instead_of is None else self._refused.pop(event.instead_of, None)
        around = _around(self)
        span = self._tracer.start_span(
            f"kafka_sr_retry {event.operation}",
            around,
            attributes=_ours(operation=event.operation, asked=event.asked),
            links=[] if refused is None else [Link(refused)],
        )
        self._calls[event.call] = _Current.begin(self, span, around)

    def _end_call(self, event: SuccessEvent | RefusalEvent | GiveUpEvent) -> None:
        call = self._calls.pop(event.call, None)
        if call is None:
            return
        result = result_of(event)
        attributes = _ours(result=result, attempts=event.attempts)
        error = None
        if not isinstance(event, SuccessEvent):
            attributes |= _ours(reason=event.reason)
            error = None if result == "look_up" else event.reason
        if not isinstance(event, GiveUpEvent):
            attributes |= _ours(endpoint=event.endpoint)
        call.end(attributes, error)
        if result == "look_up":
            self._refused[event.call] = call.span.get_span_context()

    def _begin_attempt(self, event: AttemptStartEvent) -> None:
        attributes = _ours(endpoint=event.endpoint)
        over_http = _is_http(event)
        if over_http:
            attributes |= _request(event)
            attributes["url.full"] = event.url
            attributes["http.request.header.x-request-id"] = [event.request_id]
            if event.number > 1:
                attributes["http.request.resend_count"] = event.number - 1
        call = self._calls.get(event.call)
        around = _around(self) if call is None else call.own
        span = self._tracer.start_span(
            event.method if over_http else f"{event.method} {event.endpoint}",
            around,
            kind=SpanKind.CLIENT if over_http else SpanKind.INTERNAL,
            attributes=attributes,
        )
        self._attempts[event.call] = _Current.begin(self, span, around)
        propagate.inject(event.headers)

    def _end_attempt(self, event: AttemptEvent) -> None:
        attempt = self._attempts.pop(event.call, None)
        if attempt is None:
            return
        attributes = _ours(outcome=event.outcome, error_code=event.error_code)
        if _is_http(event):
            attributes["http.response.status_code"] = event.status
            attributes["http.request.body.size"] = event.bytes_sent or None
        # what a server has answered may quote a schema, or anything at all
        attempt.end(attributes, _error(event), event.detail if event.status is None else None)

    def _note(self, event: Event, name: str, **attributes: Any) -> None:
        call = self._calls.get(event.call)
        if call is not None:
            call.span.add_event(f"kafka_sr_retry.{name}", _ours(**attributes))


def _ours(**attributes: Any) -> _Attributes:
    return {f"kafka_sr_retry.{name}": value for name, value in attributes.items()}


def _is_http(event: AttemptStartEvent | AttemptEvent) -> bool:
    """Whether it is a request, and not a call of the user's function for tokens."""
    return "://" in event.endpoint


def _request(event: AttemptStartEvent | AttemptEvent) -> _Attributes:
    parts = urlsplit(event.endpoint)
    return {
        "http.request.method": event.method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
    }


def _error(event: AttemptEvent) -> str | None:
    """``error.type``: the status of an error's answer, else the outcome's name."""
    if event.outcome == "success":
        return None
    return event.outcome if event.status is None or event.status < 400 else str(known_status(event.status))


def _made(meter: metrics.Meter, metric: Metric) -> Callable[[float, _Attributes], None]:
    name = f"kafka_sr_retry.{metric.name}"
    if metric.unit == "s":
        return meter.create_histogram(
            name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=BUCKETS
        ).record
    return meter.create_counter(name, metric.unit, metric.meaning).add


_GLOBAL = metrics.get_meter_provider
"""Stands for the global provider, which may be set later."""

_watched: weakref.WeakKeyDictionary[object, Living[SchemaRegistryClient]] = weakref.WeakKeyDictionary()


def _watched_by(provider: metrics.MeterProvider | None, meter: metrics.Meter) -> Living[SchemaRegistryClient]:
    """The clients behind a provider's gauges; the SDK ignores the callback of a gauge that is there already."""
    whose = _GLOBAL if provider is None or provider is _GLOBAL() else provider
    for metric in GAUGES:
        meter.create_observable_gauge(f"kafka_sr_retry.{metric.name}", [_reading(whose, metric)], "", metric.meaning)
    return _watched.setdefault(whose, Living())


def _reading(whose: object, metric: Metric) -> Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]:
    def read(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        both = _GLOBAL, _GLOBAL()  # a provider may have become the global one
        watched = [_watched.get(each) for each in (both if whose in both else (whose,))]
        return [
            metrics.Observation(value, dict(zip(metric.labels, labels, strict=True)))
            for measure, labels, value in read_gauges(*filter(None, watched))
            if measure is metric
        ]

    return read
