"""The loop: one attempt after another, until the answer, the refusal or the deadline."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from kafka_sr_retry.errors import Failure, RegistryUnavailableError, SchemaRegistryError
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

from . import answers
from .clock import Clock
from .endpoints import Ask, Call, Endpoints, Stop, Wait
from .policy import TABLE, Action, Break, Outcome, Row, decide
from .request import RegistryRequest, Reply

if TYPE_CHECKING:
    from .credentials import Access, Credentials

_numbers = itertools.count(1)

_NOTHING_YET = "nothing yet"
_TRY_AGAIN = "Nothing was sent to Kafka: produce the object again later."


class Transport(Protocol):
    """What makes one attempt."""

    def attempt(
        self,
        request: RegistryRequest[Any],
        endpoint: str,
        *,
        request_id: str,
        seconds: float,
        headers: Mapping[str, str],
    ) -> Reply: ...

    def forget_connections(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answered:
    """The call's result."""

    value: Any


@dataclass(frozen=True, slots=True)
class SoFar:
    """What is known of a call that goes on, for a caller who leaves it.

    Attributes:
        failure: as if it ended now.
        due: when the next attempt may begin, in the clock's seconds.
    """

    failure: Failure
    due: float

    def at(self, now: float, seconds: float, why: str) -> Failure:
        """How it failed for a caller who has waited ``seconds``."""
        retry_after = max(0.0, self.due - now)
        return replace(
            self.failure, seconds=seconds, advice=_given_up(why, retry_after), retry_after=retry_after or None
        )


def _given_up(why: str, retry_after: float | None) -> str:
    again = f" The next attempt is due in {retry_after:.1f} s." if retry_after else ""
    return f"{why}.{again} {_TRY_AGAIN}"


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one attempt brought."""

    endpoint: str
    row: Row
    outcome: Outcome

    @property
    def weight(self) -> tuple[bool, bool]:
        """Of two refusals the one with more is told, or else the later."""
        return self.row.look_up, self.outcome.from_registry


class _Story:
    """What has happened in one call so far, for its events and its error."""

    def __init__(
        self, number: int, request: RegistryRequest[Any], refused: Failure | None, publish: Callable[[SoFar], None]
    ) -> None:
        self.request = request
        self.publish = publish
        self.registration = refused
        self.common: dict[str, Any] = {"call": number, "operation": request.operation, "asked": request.asked}
        self.body_sha256 = hashlib.sha256(request.body).hexdigest() if request.body else ""
        self.rounds = 0
        self.attempts = 0
        self.repeated = False
        self.denied: Access | None = None
        self.last: _Heard | None = None
        self.refusal: _Heard | None = None
        self.answers: dict[str, str] = {}

    @property
    def reason(self) -> str:
        return self.last.row.name if self.last else "outage"

    @property
    def endpoint(self) -> str:
        """Who was asked last."""
        return self.last.endpoint if self.last else ""

    def add(self, endpoint: str, row: Row, outcome: Outcome, *, cut_short: bool) -> None:
        """``cut_short``: whether the call's deadline left less than an attempt's whole time."""
        self.attempts += 1
        self.repeated = outcome.broke is Break.STALE
        if cut_short and outcome.broke is Break.TIMEOUT and endpoint in self.answers:
            return  # what it answered before tells more
        self.last = heard = _Heard(endpoint, row, outcome)
        self.answers[endpoint] = outcome.detail
        if row.action is Action.ELSEWHERE and (self.refusal is None or heard.weight >= self.refusal.weight):
            self.refusal = heard

    def tell(self, seconds: float, due: float, asking: str = "") -> None:
        """Publishes what is known; ``asking``: the endpoint that has not answered yet."""
        if self.registration is None:
            failure = self.failure(self.last, RegistryUnavailableError, seconds, "")
        else:
            attempts = self.registration.attempts + self.attempts
            failure = replace(self.registration, error=RegistryUnavailableError, attempts=attempts, remembered_for=0.0)
        if asking:
            answers = failure.answers if asking in dict(failure.answers) else (*failure.answers, (asking, _NOTHING_YET))
            failure = replace(failure, answers=answers, attempts=failure.attempts + 1)
        self.publish(SoFar(failure, due))

    def refused(self, heard: _Heard, seconds: float) -> Failure:
        """The call ends with this answer."""
        row = heard.row
        failure = self.failure(heard, row.error, seconds, row.advice)
        return replace(failure, remembered_for=row.remembered_for, look_up=row.look_up)

    def failure(
        self,
        heard: _Heard | None,
        error: type[SchemaRegistryError],
        seconds: float,
        advice: str,
        retry_after: float | None = None,
    ) -> Failure:
        outcome = heard.outcome if heard else Outcome()
        return Failure(
            error=error,
            asked=self.request.asked,
            answers=tuple(self.answers.items()),
            attempts=self.attempts,
            seconds=seconds,
            advice=advice,
            reason=heard.row.name if heard else "outage",
            http_status_code=outcome.status,
            error_code=SchemaRegistryError.UNKNOWN if outcome.error_code is None else outcome.error_code,
            error_message=outcome.message or outcome.detail,
            url=heard.endpoint if heard else "",
            retry_after=retry_after,
        )


class Retrying:
    """Sends a request until it is answered.

    Args:
        endpoints: whom to ask, and when.
        transport: makes one attempt.
        clock: for deadlines and waits.
        request_timeout: seconds of one attempt.
        emit: takes each event.
        credentials: what shows the caller.
        read: what a reply says.
        table: what its outcome means.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        transport: Transport,
        clock: Clock,
        request_timeout: float,
        emit: Callable[[Event], None],
        credentials: Credentials,
        *,
        read: Callable[..., Outcome] = answers.read,
        table: tuple[Row, ...] = TABLE,
    ) -> None:
        self._endpoints = endpoints
        self._transport = transport
        self._clock = clock
        self._request_timeout = request_timeout
        self._emit = emit
        self._credentials = credentials
        self._read = read
        self._table = table

    def send(
        self,
        request: RegistryRequest[Any],
        call: Call,
        refused: Failure | None = None,
        publish: Callable[[SoFar], None] = lambda so_far: None,
    ) -> Answered | Failure:
        """The request's result, or how it failed; raises nothing.

        Args:
            call: says until when.
            refused: the registration in whose place this is a look-up; if that fails too, its refusal is told.
            publish: told what is known, with each attempt and each wait.
        """
        story = _Story(next(_numbers), request, refused, publish)
        self._emit(CallStartEvent(**story.common))
        try:
            while True:
                step = self._next(call, story)
                if isinstance(step, Stop):
                    return self._end(call, story, step)
                access = self._credentials.access(call, story.denied)
                if isinstance(access, Failure) or self._clock.now() >= call.deadline:
                    with self._endpoints.changed:  # the endpoint was not asked, and has not failed
                        now = self._clock.now()
                        self._endpoints.report(call, step.endpoint, Action.AGAIN, now, began=now)
                    if isinstance(access, Failure):
                        return self._not_admitted(call, story, access)
                    continue
                row, outcome = self._attempt(call, story, step.endpoint, access)
                if row.action is Action.ACCEPT:
                    seconds = self._clock.now() - call.began
                    self._emit(
                        SuccessEvent(**story.common, endpoint=step.endpoint, attempts=story.attempts, seconds=seconds)
                    )
                    return Answered(outcome.value)
                if row.action is Action.REFUSE:
                    return self._refused(call, story, _Heard(step.endpoint, row, outcome))
        finally:
            with self._endpoints.changed:
                self._endpoints.leave(call)

    def _next(self, call: Call, story: _Story) -> Ask | Stop:
        """Waits until the call may ask an endpoint, or is over."""
        while True:
            with self._endpoints.changed:
                now = self._clock.now()
                step = self._endpoints.plan(call, now)
                told = call.rounds == story.rounds
                if isinstance(step, Wait):
                    story.tell(now - call.began, self._endpoints.due(call))
                if isinstance(step, Wait) and told:
                    self._clock.wait(self._endpoints.changed, step.until - now)
            if not told and not isinstance(step, Stop):
                wait = step.until - now if isinstance(step, Wait) and not step.for_others else 0.0
                self._emit(RetryEvent(**story.common, round=call.rounds, wait=wait, reason=story.reason))
                story.rounds = call.rounds
            elif isinstance(step, Ask) and call.asked and step.endpoint != story.endpoint:
                self._emit(
                    FailoverEvent(**story.common, failed=story.endpoint, next=step.endpoint, reason=story.reason)
                )
            if not isinstance(step, Wait):
                return step

    def _attempt(self, call: Call, story: _Story, endpoint: str, access: Access) -> tuple[Row, Outcome]:
        request = story.request
        request_id = str(uuid.uuid4())
        given: dict[str, str] = {}
        common = {
            **story.common,
            "method": request.method,
            "endpoint": endpoint,
            "number": story.attempts + 1,
            "request_id": request_id,
        }
        self._emit(AttemptStartEvent(**common, url=_shown(request, endpoint + request.path), headers=given))
        began = self._clock.now()
        story.tell(began - call.began, 0.0, asking=endpoint)
        seconds = min(self._request_timeout, call.deadline - began)
        reply = self._transport.attempt(
            request, endpoint, request_id=request_id, seconds=seconds, headers={**given, **access.headers}
        )
        renewable = self._credentials.renewable and story.denied is None
        outcome = self._read(reply, request, renewable=renewable, secrets=access.secrets)
        reply.done(outcome.understood)
        if outcome.broke is Break.STALE:
            self._transport.forget_connections()
            if story.repeated:
                outcome = replace(outcome, broke=Break.RESET)
        row = decide(outcome, self._table)
        story.add(endpoint, row, outcome, cut_short=seconds < self._request_timeout)
        if row.name == "token_expired":
            story.denied = access
        now = self._clock.now()
        rest = outcome.retry_after if row.action is Action.REST else None
        with self._endpoints.changed:
            changes = self._endpoints.report(
                call, endpoint, row.action, now, began=began, rest=rest, answered=outcome.from_registry
            )
            story.tell(now - call.began, self._endpoints.due(call))
        self._emit(
            AttemptEvent(
                **common,
                url=_shown(request, reply.url),
                status=outcome.status,
                error_code=outcome.error_code,
                outcome=row.name,
                detail=outcome.detail,
                seconds=now - began,
                bytes_sent=len(request.body or b""),
                body_sha256=story.body_sha256,
            )
        )
        if row.name == "body_lost":
            self._emit(
                BodyLostEvent(
                    **story.common,
                    endpoint=endpoint,
                    bytes_sent=len(request.body or b""),
                    request_id=request_id,
                )
            )
        for change in changes:
            self._emit(
                BreakerEvent(
                    **story.common,
                    endpoint=change.endpoint,
                    open=change.open,
                    failures=change.failures,
                    seconds=change.seconds,
                )
            )
        return row, outcome

    def _end(self, call: Call, story: _Story, stop: Stop) -> Failure:
        """A call that no endpoint has answered."""
        final = story.refusal or (story.last if len(call.skipped) == len(self._endpoints.urls) else None)
        if final is not None:
            return self._refused(call, story, final)
        seconds = self._clock.now() - call.began
        if story.registration is not None:
            self._tell_of_refusal(story, story.registration, seconds)
        else:
            common: dict[str, Any] = {**story.common, "attempts": story.attempts, "seconds": seconds}
            self._emit(GiveUpEvent(**common, reason=story.reason, retry_after=stop.retry_after))
        advice = _given_up(f"Gave up because {stop.why}", stop.retry_after)
        return story.failure(story.last, RegistryUnavailableError, seconds, advice, stop.retry_after)

    def _not_admitted(self, call: Call, story: _Story, lost: Failure) -> Failure:
        """A call for which no credentials could be had."""
        seconds = self._clock.now() - call.began
        common: dict[str, Any] = {**story.common, "attempts": story.attempts, "seconds": seconds}
        if story.registration is not None:
            self._tell_of_refusal(story, story.registration, seconds)
        elif issubclass(lost.error, RegistryUnavailableError):
            self._emit(GiveUpEvent(**common, reason="credentials", retry_after=lost.retry_after))
        else:
            status = lost.http_status_code
            common |= {"reason": "credentials", "endpoint": lost.url, "status": status, "error_code": None}
            self._emit(RefusalEvent(**common, look_up=False))
        known = story.failure(story.last, RegistryUnavailableError, seconds, "")
        return without_token(known, lost)

    def _refused(self, call: Call, story: _Story, final: _Heard) -> Failure:
        seconds = self._clock.now() - call.began
        failure = story.refused(final, seconds)
        self._tell_of_refusal(story, story.registration or failure, seconds)
        return failure

    def _tell_of_refusal(self, story: _Story, refusal: Failure, seconds: float) -> None:
        unknown = refusal.error_code == SchemaRegistryError.UNKNOWN
        self._emit(
            RefusalEvent(
                **{**story.common, "asked": refusal.asked},
                endpoint=refusal.url,
                status=refusal.http_status_code,
                error_code=None if unknown else refusal.error_code,
                reason=refusal.reason,
                attempts=story.attempts,
                seconds=seconds,
                look_up=refusal.look_up and story.request.or_else is not None,
            )
        )


def without_token(known: Failure, lost: Failure) -> Failure:
    """How a call failed, of which this was ``known``, for which no access token could be had."""
    return replace(
        lost,
        asked=known.asked,
        answers=(*known.answers, *lost.answers),
        attempts=known.attempts + lost.attempts,
        seconds=known.seconds,
        advice=f"No access token could be had. {lost.advice}",
    )


def _shown(request: RegistryRequest[Any], url: str) -> str:
    """A token server's URL may hold a key in its query."""
    return url.partition("?")[0] if request.operation == "token" else url
