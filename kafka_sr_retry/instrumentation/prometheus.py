"""Metrics for Prometheus, with the official client: ``pip install 'kafka-sr-retry[prometheus]'``."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kafka_sr_retry.events import Event
from kafka_sr_retry.registry.living import Living

from .measures import BUCKETS, COUNTED, GAUGES, Labels, Metric, measured, read_gauges, series_at_zero

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise ImportError(
        f"kafka_sr_retry.instrumentation.prometheus needs {missing.name}: pip install 'kafka-sr-retry[prometheus]'"
    ) from missing

if TYPE_CHECKING:
    from kafka_sr_retry.registry.client import SchemaRegistryClient

__all__ = ["PrometheusInstrumentation"]

# The official client has a lock in each metric, which a fork could leave held in the child. All that is done to ours is
# done under one of ours, which the thread that forks takes first. A child whose fork ran no hook has a lock of its own.
_locks: dict[int, threading.RLock] = {}
_forking: threading.RLock


def _lock() -> threading.RLock:
    """This process's."""
    pid = os.getpid()
    return _locks.get(pid) or _locks.setdefault(pid, threading.RLock())


def _before_fork() -> None:
    global _forking
    lock = _lock()
    lock.acquire()
    _forking = lock


def _after_fork() -> None:
    _locks[os.getpid()] = _forking
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class PrometheusInstrumentation:
    """A listener for ``event_cb`` that counts what happens on the way to the registry.

    ::

        {"schema.registry.event_cb": PrometheusInstrumentation(), ...}

    It may listen to any number of clients; all with the same ``registry`` count together, and an event once. The gauges
    show the clients that are alive when they are read.

    A forked child goes on from its parent's numbers and needs an endpoint of its own to be scraped. With
    ``PROMETHEUS_MULTIPROC_DIR`` the counters and histograms of all processes are added up; the gauges are left out
    there, as the official client leaves out all custom collectors.

    Args:
        registry: where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        with _lock():
            known = _collectors.get(registry)
            self._collector = known or _Collector()
            try:
                registry.register(self._collector)  # anew where it has been unregistered
            except ValueError:
                if known is None:
                    raise
            _collectors[registry] = self._collector

    def __call__(self, event: Event) -> None:
        self._collector.take(event)

    def watch(self, client: SchemaRegistryClient) -> None:
        """Given each new client that it listens to, before its first call."""
        self._collector.watch(client)

    def __copy__(self) -> PrometheusInstrumentation:
        return self

    def __deepcopy__(self, memo: object) -> PrometheusInstrumentation:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._registry is not REGISTRY:
            raise TypeError("a PrometheusInstrumentation with a registry of its own cannot be pickled: make it anew")
        return type(self), ()


class _Collector(Collector):
    """The metrics of one registry."""

    def __init__(self) -> None:
        self._watched: Living[SchemaRegistryClient] = Living()
        self._thread = threading.local()
        self._counted = _lock(), _new_metrics()

    def take(self, event: Event) -> None:
        if getattr(self._thread, "last", None) is event:  # another listener with this registry has given it
            return
        self._thread.last = event
        with _lock():
            for metric, labels, amount in measured(event):
                series = self._series(metric, labels)
                if isinstance(series, Counter):
                    series.inc(amount)
                else:
                    series.observe(amount)

    def watch(self, client: SchemaRegistryClient) -> None:
        with _lock():
            for metric, labels in series_at_zero(client):
                self._series(metric, labels)
        self._watched.add(client)

    def describe(self) -> Iterator[Family]:
        for metric in self._counted[1].values():
            yield from metric.describe()
        yield from _families().values()

    def collect(self) -> Iterator[Family]:
        with _lock():
            counted = [family for metric in self._metrics().values() for family in metric.collect()]
        yield from counted
        gauges = _families()
        for metric, labels, value in read_gauges(self._watched):
            gauges[metric].add_metric(labels, value)
        yield from gauges.values()

    def _metrics(self) -> dict[Metric, Counter | Histogram]:
        """The parent's numbers go on, unless somebody stood among them when a fork ran no hook: they stay locked."""
        lock, metrics = self._counted
        if lock is not _lock():
            free = lock.acquire(blocking=False)
            if free:
                lock.release()
            self._counted = _lock(), metrics if free else _new_metrics()
        return self._counted[1]

    def _series(self, metric: Metric, labels: Labels) -> Counter | Histogram:
        made = self._metrics()[metric]
        return made.labels(*labels) if labels else made


def _name(metric: Metric) -> str:
    return f"kafka_sr_retry_{metric.name.replace('.', '_')}" + ("_seconds" if metric.unit == "s" else "")


def _made(metric: Metric) -> Counter | Histogram:
    if metric.unit == "s":
        return Histogram(_name(metric), metric.meaning, metric.labels, registry=None, buckets=BUCKETS)
    return Counter(_name(metric), metric.meaning, metric.labels, registry=None)


def _new_metrics() -> dict[Metric, Counter | Histogram]:
    return {metric: _made(metric) for metric in COUNTED}


def _families() -> dict[Metric, GaugeMetricFamily]:
    return {metric: GaugeMetricFamily(_name(metric), metric.meaning, labels=metric.labels) for metric in GAUGES}


_collectors: weakref.WeakKeyDictionary[CollectorRegistry, _Collector] = weakref.WeakKeyDictionary()
