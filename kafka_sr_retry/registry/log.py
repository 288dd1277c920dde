"""Events as lines of the logger ``kafka_sr_retry``; every client has this listener."""

from __future__ import annotations

import logging

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
    StaleEvent,
    SuccessEvent,
)

from .clock import Clock
from .outage import WRITES

LINES = 10
"""Lines of one kind that are written in a minute; the next one tells how many were left out. DEBUG has no limit."""

PERIOD = 60.0
"""Seconds."""

_log = logging.getLogger("kafka_sr_retry")


class Log:
    """Writes INFO for a recovery, WARNING for trouble on the way, ERROR for a call that failed, DEBUG for each attempt.

    No line holds a credential or a message's content. A registry's words stand in it, masked and cut, and may quote a
    schema.

    Args:
        clock: tells when a minute is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written: dict[object, tuple[float, int]] = {}  # no lock: a fork could leave it held in the child
        self._told: set[int] = set()

    def wants(self, event: Event) -> bool:
        """Whether an event may become a line, or changes what becomes one."""
        match event:
            case CallStartEvent():
                return False
            case AttemptStartEvent():
                return event.number > 1
            case AttemptEvent():
                return _log.isEnabledFor(logging.DEBUG)
            case SuccessEvent():
                return event.attempts > 1
        return True

    def __call__(self, event: Event) -> None:
        match event:
            case AttemptStartEvent():
                self._told.discard(event.call)
            case AttemptEvent():
                if _log.isEnabledFor(logging.DEBUG):
                    _log.debug(
                        "%s: attempt %d, %s %s: %s (%s) in %.3f s, X-Request-ID %s",
                        *(event.asked, event.number, event.method, event.url),
                        *(event.outcome, event.detail, event.seconds, event.request_id),
                    )
            case FailoverEvent():
                text = "%s: %s does not serve (%s), %s is asked next"
                if event.reason == "not_found":  # an answer, which another node may confirm
                    _log.debug(text, event.asked, event.failed, event.reason, event.next)
                else:
                    self._write(logging.WARNING, event, text, event.failed, event.reason, event.next)
            case RetryEvent() if event.round > 1:
                when = f"in {event.wait:.1f} s" if event.wait else "at once, or when another call has probed"
                text = "%s: nobody has served (%s), retry %d comes %s"
                self._write(logging.WARNING, event, text, event.reason, event.round, when)
            case BreakerEvent():
                self._tell_of_outage(event)
            case BodyLostEvent():
                text = (
                    "%s: %s got an empty request though %d bytes were sent (X-Request-ID %s): "
                    "a proxy or gateway on the way drops request bodies, mend or bypass it"
                )
                self._write(logging.WARNING, event, text, event.endpoint, event.bytes_sent, event.request_id)
            case StaleEvent():
                text = "%s: version %s of %.0f s ago serves on, no newer one could be had: %s"
                self._write(logging.WARNING, event, text, event.version, event.age, event.reason)
            case SuccessEvent():
                if event.attempts > 1 and event.call not in self._told:
                    text = "%s: recovered, %s has answered attempt %d after %.2f s"
                    self._write(logging.INFO, event, text, event.endpoint, event.attempts, event.seconds)
                self._told.discard(event.call)
            case RefusalEvent():
                if event.operation == "register" and not event.look_up:
                    text = "%s: refused for good by %s (%s, HTTP %s, error_code %s), the caller has the error"
                    answer = (event.endpoint, event.reason, event.status, event.error_code)
                    self._write(logging.ERROR, event, text, *answer)
                self._told.discard(event.call)
            case GiveUpEvent():
                text = "%s: gave up after %s in %.1f s (%s)"
                self._write(logging.ERROR, event, text, _count(event.attempts, "attempt"), event.seconds, event.reason)
                self._told.discard(event.call)

    def _tell_of_outage(self, event: BreakerEvent) -> None:
        where = "the cluster has no leader for writes" if event.endpoint == WRITES else f"outage of {event.endpoint}"
        if event.open:
            text = "%s: %s, %s in %.1f s; calls now wait for one probe"
            self._write(logging.WARNING, event, text, where, _count(event.failures, "failure"), event.seconds)
        else:
            self._told.add(event.call)
            text = "%s: recovered, %s is over after %s in %.1f s"
            self._write(logging.INFO, event, text, where, _count(event.failures, "failure"), event.seconds)

    def raised(self, event: Event) -> None:
        """Called while an exception of another listener is handled."""
        self._limited("raised", logging.ERROR, "event_cb raised on %s", type(event).__name__, exc_info=True)

    def _write(self, level: int, event: Event, text: str, *values: object) -> None:
        self._limited((type(event), level), level, text, event.asked, *values)

    def _limited(self, kind: object, level: int, text: str, *values: object, exc_info: bool = False) -> None:
        now = self._clock.now()
        since, lines = self._written.get(kind, (now, 0))
        left_out = 0
        if now - since >= PERIOD:
            left_out = max(0, lines - LINES)
            since, lines = now, 0
        self._written[kind] = since, lines + 1
        if lines < LINES:
            more = f" ({left_out} more lines like this one were left out)" if left_out else ""
            _log.log(level, text + more, *values, exc_info=exc_info)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
