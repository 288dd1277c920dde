"""One question's walk to its answer, as a generator: no thread, no clock, no I/O.

It yields what it wants next, and is sent the time and what came of it. Whoever drives it may do so on threads
(``driver.py``), on the caller's own (``inline.py``), or on a virtual clock, in tests.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

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
from .access import Access
from .holds import HANGS_AFTER
from .outage import Ask, Call, Stop, Wait
from .outages import Outages
from .policy import TABLE, Action, Blame, Break, Outcome, Row, decide
from .request import RegistryRequest
from .steps import Answered, Attempt, Done, Need, Steps, Turn, Until

MARGIN = 0.1
"""Seconds, or a twentieth of the time if less: a call ends so much before its callers, so that they hear how."""

_NOTHING_YET = "no answer yet"
_TRY_AGAIN = "Nothing was sent to Kafka: produce the object again later."

_numbers = itertools.count(1)


class Credentials(Protocol):
    """Where a call has its ``Access`` from.

    Attributes:
        renewable: whether another ``Access`` can be had after a 401.
    """

    renewable: bool

    def at_hand(self, now: float, denied: Access | None) -> Access | None:
        """For one request, where it needs no question; another one than was ``denied``."""

    def renews(self, now: float) -> bool:
        """Whether it is time to ask for another, while the one at hand serves on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all walks to one registry share.

    Attributes:
        outages: whom to ask, and when.
        credentials: what shows the caller.
        request_timeout, total_timeout: seconds of an attempt and of a call.
        read: what a reply says.
        table: what its outcome means.
    """

    outages: Outages
    credentials: Credentials
    request_timeout: float
    total_timeout: float
    read: Callable[..., Outcome] = answers.read
    table: tuple[Row, ...] = TABLE


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

    def __init__(self, request: RegistryRequest[Any], refused: Failure | None, instead_of: int | None) -> None:
        self.number = next(_numbers)
        self.request = request
        self.registration = refused
        self.instead_of = instead_of
        self.common: dict[str, Any] = {"call": self.number, "operation": request.operation, "asked": request.asked}
        self.body_sha256 = hashlib.sha256(request.body).hexdigest() if request.body else ""
        self.rounds = 0
        self.attempts = 0
        self.repeated = False
        self.asking = ""
        self.last: _Heard | None = None
        self.refusal: _Heard | None = None
        self.answers: Mapping[str, str] = {}
        self.request_id = ""

    @property
    def reason(self) -> str:
        return self.last.row.name if self.last else "outage"

    def end(self, seconds: float) -> dict[str, Any]:
        """What the events of its end share."""
        return {**self.common, "attempts": self.attempts, "seconds": seconds, "request_id": self.request_id}

    @property
    def told(self) -> str:
        """What the endpoints answered, in words."""
        return self.failure(None, RegistryUnavailableError, 0.0, "").told

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
        self.answers = {**self.answers, endpoint: outcome.detail}  # a new one: callers who leave read it
        if row.action is Action.ELSEWHERE and (self.refusal is None or heard.weight >= self.refusal.weight):
            self.refusal = heard

    def so_far(self, seconds: float) -> Failure:
        """As if the call ended now."""
        asking, refused = self.asking, self.registration
        known = self.failure(self.last, RegistryUnavailableError, seconds, "")
        if refused is not None:
            attempts = refused.attempts + self.attempts
            known = replace(refused, error=known.error, attempts=attempts, seconds=seconds, remembered_for=0.0)
        if not asking:
            return known
        answers = known.answers if asking in dict(known.answers) else (*known.answers, (asking, _NOTHING_YET))
        return replace(known, answers=answers, attempts=known.attempts + 1, url=known.url or asking)

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


class Walk:
    """The walk of one question.

    Args:
        request: the question.
        world: where it goes.
        began: when the first caller asked.
        tell: takes each event.
        served: whether who asks is served without an answer too.

    Attributes:
        deadline: when it ends; callers who join can move it.
        due: when an endpoint may be asked next.
    """

    def __init__(
        self,
        request: RegistryRequest[Any],
        world: World,
        began: float,
        tell: Callable[[Event], None],
        *,
        served: bool = False,
    ) -> None:
        self._served = served
        self.request = request
        self.began = began
        self.due = 0.0
        self._world = world
        self._tell = tell
        self.deadline = began
        self._story = _Story(request, None, None)
        self._call: Call | None = None

    def last_until(self, until: float) -> None:
        """The walk goes on for a caller who waits until then."""
        self.deadline = max(self.deadline, until - min(MARGIN, (until - self.began) / 20))
        if self._call is not None:
            self._call.deadline = self.deadline

    def so_far(self, now: float, seconds: float, why: str) -> Failure:
        """What is known, for a caller who leaves after ``seconds``; may be called on any thread."""
        retry_after = max(0.0, self.due - now) or None
        known = self._story.so_far(seconds)
        return replace(known, advice=_given_up(why, retry_after), retry_after=retry_after)

    def steps(self, now: float) -> Steps:
        """The way, from ``now`` on. A registration that is refused may still be answered by a look-up."""
        result = yield from self._steps(self._story, now)
        if isinstance(result, Failure) and result.look_up and self.request.or_else is not None:
            self._story = _Story(self.request.or_else(), result, self._story.number)
            found = yield from self._steps(self._story, self._now)
            return found if isinstance(found, Answered) else result
        return result

    def _steps(self, story: _Story, now: float) -> Steps:
        world, outages, request = self._world, self._world.outages, story.request
        call = Call(hash(request), request.registers, self.began, self.deadline, world.total_timeout)
        self._call, self._now = call, now
        denied: Access | None = None
        access: Access | None = None
        asked_for: Access | None = None
        self._tell(CallStartEvent(**story.common, instead_of=story.instead_of))
        try:
            while True:
                if isinstance(outages.look(call, now), Ask):
                    access = asked_for or world.credentials.at_hand(now, denied)
                    if access is None or (asked_for is None and world.credentials.renews(now)):
                        now, needed = yield Need(denied, waits=access is None)
                        if access is None:
                            access = asked_for = needed
                        if isinstance(access, Failure):
                            return self._not_admitted(story, access, now)
                    now, _ = yield Turn()
                step = outages.plan(call, now)
                self._tell_of_round(story, call, step, now)
                if isinstance(step, Stop):
                    return self._end(story, call, step, now)
                if isinstance(step, Wait):
                    self.due = outages.due(call)
                    now, _ = yield Until(step.until)
                    continue
                renewable = world.credentials.renewable and denied is None
                assert access is not None  # it was asked for before the turn
                attempt = self._attempt(story, call, step.endpoint, access, renewable)
                asked_for, story.asking = None, step.endpoint
                now, done = yield attempt
                story.asking = ""
                self._now = now
                heard = self._take(story, call, attempt, done, now)
                self.due = outages.due(call)
                if heard is None:
                    continue
                row, outcome = heard.row, heard.outcome
                if row.name == "token_expired":
                    denied = access
                elif row.action is Action.ACCEPT:
                    schema_id = getattr(outcome.value, "schema_id", None)
                    end = story.end(now - self.began)
                    self._tell(SuccessEvent(**end, endpoint=step.endpoint, schema_id=schema_id))
                    return Answered(outcome.value)
                elif row.action is Action.REFUSE:
                    return self._refused(story, call, heard, now)
        finally:
            outages.leave(call)

    def _tell_of_round(self, story: _Story, call: Call, step: Ask | Wait | Stop, now: float) -> None:
        if call.rounds != story.rounds:
            if not isinstance(step, Stop):
                wait = step.until - now if isinstance(step, Wait) and not step.for_others else 0.0
                why: dict[str, Any] = {"reason": story.reason, "detail": story.told}
                self._tell(RetryEvent(**story.common, round=call.rounds, wait=wait, **why))
                story.rounds = call.rounds
        elif isinstance(step, Ask) and call.asked and step.endpoint != story.endpoint:
            last: dict[str, Any] = {"reason": story.reason, "detail": story.answers.get(story.endpoint, "")}
            self._tell(FailoverEvent(**story.common, failed=story.endpoint, next=step.endpoint, **last))

    def _attempt(self, story: _Story, call: Call, endpoint: str, access: Access, renewable: bool) -> Attempt:
        request = story.request
        start = AttemptStartEvent(
            **story.common,
            method=request.method,
            endpoint=endpoint,
            number=story.attempts + 1,
            request_id=str(uuid.uuid4()),
            url=_shown(request, endpoint + request.path),
            headers={},
        )
        self._tell(start)
        return Attempt(call, endpoint, request, self._world.request_timeout, access, start, self._world.read, renewable)

    def _take(self, story: _Story, call: Call, attempt: Attempt, done: Done, now: float) -> _Heard | None:
        """Takes in how an attempt went."""
        world, start = self._world, attempt.start
        outcome = done.outcome
        if outcome is None:
            world.outages.report(call, attempt.endpoint, Action.AGAIN, now, began=done.began, blame=Blame.NOBODY)
            return None
        if outcome.broke is Break.STALE and story.repeated:
            outcome = replace(outcome, broke=Break.RESET)
        row = decide(outcome, world.table)
        story.request_id = start.request_id
        story.add(attempt.endpoint, row, outcome, cut_short=done.seconds < attempt.seconds)
        rest = outcome.retry_after if row.action is Action.REST else None
        changes = world.outages.report(
            call,
            attempt.endpoint,
            row.action,
            now,
            began=done.began,
            blame=row.blame,
            rest=rest,
            answered=outcome.from_registry,
            silent=outcome.broke in (Break.TIMEOUT, Break.CONNECT_TIMEOUT),
            hung=outcome.broke is Break.TIMEOUT and done.seconds >= min(attempt.seconds, HANGS_AFTER),
            words=outcome.detail,
        )
        sent = len(attempt.request.body or b"")
        self._tell(
            AttemptEvent(
                **story.common,
                method=start.method,
                endpoint=start.endpoint,
                number=start.number,
                request_id=start.request_id,
                url=_shown(attempt.request, done.url),
                status=outcome.status,
                error_code=outcome.error_code,
                outcome=row.name,
                detail=outcome.detail,
                seconds=done.ended - done.began,
                bytes_sent=sent,
                body_sha256=story.body_sha256,
            )
        )
        if row.name == "body_lost":
            lost: dict[str, Any] = {"bytes_sent": sent, "request_id": start.request_id}
            self._tell(BodyLostEvent(**story.common, endpoint=attempt.endpoint, **lost))
        for change in changes:
            told: dict[str, Any] = {"open": change.open, "failures": change.failures, "seconds": change.seconds}
            detail = story.told if change.open else ""
            self._tell(BreakerEvent(**story.common, endpoint=change.endpoint, **told, detail=detail))
        return _Heard(attempt.endpoint, row, outcome)

    def _end(self, story: _Story, call: Call, stop: Stop, now: float) -> Failure:
        """A call that no endpoint has answered."""
        useless = len(call.skipped) == len(self._world.outages.urls)
        final = story.refusal or (story.last if useless else None)
        if final is not None:
            return self._refused(story, call, final, now)
        seconds = now - self.began
        advice = _given_up(f"Gave up because {stop.why}", stop.retry_after)
        failure = story.failure(story.last, RegistryUnavailableError, seconds, advice, stop.retry_after)
        failure = failure if failure.answers else replace(failure, answers=self._world.outages.heard(now))
        if story.registration is not None:
            self._tell_of_refusal(story, story.registration, seconds)
        else:
            self._tell_of_giving_up(story, failure, seconds)
        return failure

    def _not_admitted(self, story: _Story, lost: Failure, now: float) -> Failure:
        """A call for which no credentials could be had."""
        seconds = now - self.began
        if story.registration is not None:
            self._tell_of_refusal(story, story.registration, seconds)
        elif issubclass(lost.error, RegistryUnavailableError):
            self._tell_of_giving_up(story, replace(lost, reason="credentials"), seconds)
        else:
            unknown = SchemaRegistryError.UNKNOWN
            refusal = replace(lost, asked=story.request.asked, reason="credentials", error_code=unknown, look_up=False)
            self._tell_of_refusal(story, refusal, seconds)
        return without_token(story.so_far(seconds), lost)

    def _refused(self, story: _Story, call: Call, final: _Heard, now: float) -> Failure:
        seconds, row = now - self.began, final.row
        failure = replace(
            story.failure(final, row.error, seconds, row.advice),
            remembered_for=row.remembered_for,
            not_before=self._world.outages.due(call) if row.blame is Blame.ALONE else 0.0,
            look_up=row.look_up,
        )
        self._tell_of_refusal(story, story.registration or failure, seconds)
        return failure

    def _tell_of_giving_up(self, story: _Story, failure: Failure, seconds: float) -> None:
        why: dict[str, Any] = {"reason": failure.reason, "detail": failure.told, "retry_after": failure.retry_after}
        self._tell(GiveUpEvent(**story.end(seconds), **why, served=self._served))

    def _tell_of_refusal(self, story: _Story, refusal: Failure, seconds: float) -> None:
        unknown = refusal.error_code == SchemaRegistryError.UNKNOWN
        self._tell(
            RefusalEvent(
                **{**story.end(seconds), "asked": refusal.asked},
                endpoint=refusal.url,
                status=refusal.http_status_code,
                error_code=None if unknown else refusal.error_code,
                reason=refusal.reason,
                look_up=refusal.look_up and story.request.or_else is not None,
                detail=refusal.told,
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


def _given_up(why: str, retry_after: float | None) -> str:
    again = f" The next attempt is due in {retry_after:.1f} s." if retry_after else ""
    return f"{why}.{again} {_TRY_AGAIN}"


def _shown(request: RegistryRequest[Any], url: str) -> str:
    """A token server's URL may hold a key in its query."""
    return url.partition("?")[0] if request.operation == "token" else url
