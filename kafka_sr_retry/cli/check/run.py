"""All endpoints at once, and the clean end when the command is interrupted."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from kafka_sr_retry.cli.signals import heard
from kafka_sr_retry.registry.clock import Clock
from kafka_sr_retry.registry.driver import Driver
from kafka_sr_retry.registry.tokens import credentials

from .given import Given
from .probe import Probe
from .report import Report, report


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check brought; ``interrupted`` by which signal, 0 where by none."""

    report: Report
    interrupted: int


def check(given: Given, *, write: bool, subject: str, on_interrupt: Callable[[bool], object]) -> Checked:
    """Asks all endpoints.

    Args:
        subject: what the scratch subjects' names begin with.
        on_interrupt: called once Ctrl-C or SIGTERM has ended the questions, with whether something is left to remove.

    Raises:
        ConfigurationError: a TLS file that cannot be read.
    """
    settings, clock = given.settings, Clock()
    began = time.monotonic()
    shown = credentials(settings, lambda _: None, lambda _: False)
    asks = Driver(clock, len(settings.urls.urls), settings.connect_timeout)
    probes = [
        Probe(
            *(settings, url, shown, asks, clock),
            subject=f"{subject}-{uuid.uuid4().hex[:12]}",
            write=write,
            ask_leader=given.registers and not write,
        )
        for url in settings.urls.urls
    ]

    def stop() -> None:
        for probe in probes:
            probe.stop()
        asks.close()
        on_interrupt(any(probe.writes for probe in probes))

    with _interrupts(stop) as signals, ThreadPoolExecutor(len(probes)) as pool:
        futures = [pool.submit(probe.look) for probe in probes]
        while wait(futures, timeout=1).not_done:  # a wait without end hears no Ctrl-C on Windows
            pass
    asks.close()
    found = report(
        [future.result() for future in futures],
        datetime.now(timezone.utc),
        wrote=write,
        registers=given.registers,
        patience=given.patience,
        seconds=time.monotonic() - began,
    )
    return Checked(found, signals[0] if signals else 0)


@contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Calls ``stop`` at the first SIGINT or SIGTERM; later ones do not break what is being removed."""
    came: list[int] = []

    def handle(number: int, _frame: object) -> None:
        came.append(number)
        if len(came) == 1:
            stop()

    before = {number: signal.signal(number, handle) for number in heard()}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
