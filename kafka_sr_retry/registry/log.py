"""Events as lines of the logger ``kafka_sr_retry``; every client has this listener."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from kafka_sr_retry.events import (
    AttemptEvent,
    AttemptStartEvent,
    BodyLostEvent,
    BreakerEvent,
    CacheFileEvent,
    CallStartEvent,
    Event,
    FailoverEvent,
    GiveUpEvent,
    IdChangedEvent,
    RefusalEvent,
    RetryEvent,
    StaleEvent,
    StoredIdEvent,
    SuccessEvent,
)

from .clock import Clock
from .outage import WRITES

LINES = 10
"""Lines of one kind that are written in a minute; the next one tells how many were left out. DEBUG has no limit."""

PERIOD = 60.0
"""Seconds."""

LONGEST = 500
"""Characters of the endpoints' words in a line."""

_log = logging.getLogger("kafka_sr_retry")


@dataclass(slots=True)
class _Told:
    """What the log has told of a call: at most three lines before it ends, and one then.

    Attributes:
        waits: that it waits.
        changed: that the reason has changed.
        reason: the last that was told.
        over: outages that it has ended.
    """

    waits: bool = False
    changed: bool = False
    reason: str = ""
    over: list[str] = field(default_factory=list)


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
        self._calls: dict[int, _Told] = {}  # only those with trouble, until they end

    def wants(self, event: Event) -> bool:
        """Whether an event may become a line, or changes what becomes one."""
        match event:
            case CallStartEvent() | AttemptStartEvent():
                return False
            case AttemptEvent():
                return _log.isEnabledFor(logging.DEBUG)
            case SuccessEvent():
                return event.attempts > 1 or event.call in self._calls
        return True

    def __call__(self, event: Event) -> None:
        match event:
            case AttemptEvent():
                if _log.isEnabledFor(logging.DEBUG):
                    _log.debug(
                        "%s: attempt %d, %s %s: %s (%s) in %.3f s, X-Request-ID %s",
                        *(event.asked, event.number, event.method, event.url),
                        *(event.outcome, event.detail, event.seconds, event.request_id),
                    )
            case FailoverEvent():
                self._tell_of_failover(event)
            case RetryEvent() if event.round > 1:
                self._tell_of_waiting(event)
            case BreakerEvent():
                self._tell_of_outage(event)
            case BodyLostEvent():
                text = (
                    "%s: %s got an empty request though %d bytes were sent (X-Request-ID %s): "
                    "a proxy or gateway on the way drops request bodies, repair or bypass it"
                )
                self._write(logging.WARNING, event, text, event.endpoint, event.bytes_sent, event.request_id)
            case CacheFileEvent():
                kind = event.trouble
                then = ", it was set aside as .aside" if kind in ("damaged", "foreign", "newer") else ""
                if kind in ("refused", "unusable", "busy"):
                    then = ", messages go on without it"
                self._write(logging.WARNING, event, "%s: %s (%s)%s", event.detail, kind, then)
            case StoredIdEvent():
                text = "%s: id %d of %.0f s ago serves from the file, the registry is asked on: %s"
                self._write(logging.WARNING, event, text, event.schema_id, event.age, event.reason)
            case IdChangedEvent():
                now = f"is id {event.new_id} now" if event.new_id else f"is not there any more ({event.reason})"
                text = "%s: it was id %d %.0f s ago and %s: was the registry wiped or restored? All is asked for anew"
                self._write(logging.ERROR, event, text, event.schema_id, event.age, now)
            case StaleEvent():
                text = "%s: version %s of %.0f s ago serves on, no newer one could be had: %s"
                self._write(logging.WARNING, event, text, event.version, event.age, event.reason)
            case SuccessEvent():
                self._tell_of_end(event)
            case RefusalEvent():
                self._tell_of_end(event)
                if event.operation == "register" and not event.look_up:
                    text = "%s: refused for good by %s (%s) after %s in %.1f s, the message was not sent: %s"
                    effort = _count(event.attempts, "attempt"), event.seconds
                    self._write(logging.ERROR, event, text, event.endpoint, event.reason, *effort, _words(event))
            case GiveUpEvent():
                self._calls.pop(event.call, None)
                served = ", what was known serves on" if event.served else ""
                text = f"%s: gave up after %s in %.1f s (%s){served}: %s"
                level = logging.WARNING if event.served else logging.ERROR
                effort = _count(event.attempts, "attempt"), event.seconds
                self._write(level, event, text, *effort, event.reason, _words(event))

    def _tell_of_failover(self, event: FailoverEvent) -> None:
        text = "%s: %s does not serve (%s), %s is asked next: %s"
        values = event.failed, event.reason, event.next, _cut(event.detail)
        if (
            event.reason == "not_found" or self._told(event).reason
        ):  # an answer, which another node may confirm; or no news
            _log.debug(text, event.asked, *values)
        else:
            self._told(event).reason = event.reason
            self._write(logging.WARNING, event, text, *values)

    def _tell_of_waiting(self, event: RetryEvent) -> None:
        told = self._told(event)
        if not told.waits:
            text = "%s: no endpoint has served it (%s), retrying: %s"
        elif event.reason != told.reason and not told.changed:
            text, told.changed = "%s: still no endpoint has served it (%s), the reason has changed: %s", True
        else:
            return
        told.waits, told.reason = True, event.reason
        self._write(logging.WARNING, event, text, event.reason, _cut(event.detail))

    def _tell_of_outage(self, event: BreakerEvent) -> None:
        told = self._told(event)
        where = "the cluster has no leader for writes" if event.endpoint == WRITES else f"outage of {event.endpoint}"
        failures = _count(event.failures, "failure")
        if not event.open:
            what = "the time without a leader for writes" if event.endpoint == WRITES else where
            told.over.append(f"{what} is over after {failures} in {event.seconds:.1f} s")
        elif not told.waits:
            told.waits = True
            text = "%s: %s, %s in %.1f s; calls now wait for one probe: %s"
            self._write(logging.WARNING, event, text, where, failures, event.seconds, _cut(event.detail))

    def _tell_of_end(self, event: SuccessEvent | RefusalEvent) -> None:
        """That it was answered, where that was not so at once."""
        told = self._calls.pop(event.call, _Told())
        over = "".join(f"; {each}" for each in told.over)
        if over or (isinstance(event, SuccessEvent) and event.attempts > 1):
            number = event.schema_id if isinstance(event, SuccessEvent) else None
            what = "answered" if number is None else f"answered with id {number}"
            effort = _count(event.attempts, "attempt"), event.seconds
            self._write(
                logging.INFO,
                event,
                "%s: recovered, %s has %s after %s in %.1f s%s",
                event.endpoint,
                what,
                *effort,
                over,
            )

    def _told(self, event: Event) -> _Told:
        return self._calls.setdefault(event.call, _Told())

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


def _words(end: RefusalEvent | GiveUpEvent) -> str:
    return _cut(end.detail) + (f" (X-Request-ID {end.request_id})" if end.request_id else "")


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}..."


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
