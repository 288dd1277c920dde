"""What happens on the way to the registry, as frozen values for ``event_cb``.

One call can have many attempts; events of one call carry the same ``call`` number. A call begins with a
``CallStartEvent`` and ends with one of ``SuccessEvent``, ``RefusalEvent`` and ``GiveUpEvent``; each of its attempts
begins with an ``AttemptStartEvent`` and ends with an ``AttemptEvent``. All come one after another, on threads of the
client that take turns, in one copy of the first caller's context variables.
``MessageFailedEvent`` is of no call, and comes on the thread that serializes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "AttemptEvent",
    "AttemptStartEvent",
    "BodyLostEvent",
    "BreakerEvent",
    "CacheFileEvent",
    "CacheTrouble",
    "CallStartEvent",
    "Event",
    "FailoverEvent",
    "GiveUpEvent",
    "IdChangedEvent",
    "MessageFailedEvent",
    "Operation",
    "RefusalEvent",
    "RetryEvent",
    "StaleEvent",
    "StoredIdEvent",
    "SuccessEvent",
]


Operation = Literal[
    "register", "look_up", "get_schema", "get_version", "associations", "compatibility", "token", "other"
]
"""What a request is for, as metrics and spans name it; the look-up in place of a registration is one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events carry.

    Attributes:
        call: number of the call in this process, from 1.
        operation: the kind of question.
        asked: the question in words, with the subject; no schema, no message content.
    """

    call: int
    operation: Operation
    asked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStartEvent(Event):
    """A call begins: a question that memory does not answer.

    Attributes:
        instead_of: number of the call in whose place it is: a registration was refused, and its schema is looked up.
    """

    instead_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStartEvent(Event):
    """A request is about to be sent.

    Attributes:
        method, url: of the request, without credentials.
        endpoint: the configured URL it belongs to.
        number: of the attempt in its call, from 1.
        request_id: the ``X-Request-ID`` that the registry logs and echoes.
        headers: empty; a listener may put headers of the request into it, such as a trace's context.
    """

    method: str
    url: str
    endpoint: str
    number: int
    request_id: str
    headers: dict[str, str] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEvent(Event):
    """One HTTP exchange has ended.

    Attributes:
        method, url: of the request, without credentials.
        endpoint: the configured URL it belongs to.
        number: of the attempt in its call, from 1.
        status: HTTP status, ``None`` without an answer.
        error_code: the registry's code, ``None`` without one.
        outcome: one of the policy's outcome names, such as ``no_leader``.
        detail: the answer or failure in words.
        seconds: how long it took.
        bytes_sent: length of the body; ``body_sha256`` its hash, empty without a body.
        request_id: the ``X-Request-ID`` that the registry logs and echoes.
    """

    method: str
    url: str
    endpoint: str
    number: int
    status: int | None
    error_code: int | None
    outcome: str
    detail: str
    seconds: float
    bytes_sent: int
    body_sha256: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryEvent(Event):
    """A round is over without an answer; the next begins after a wait.

    Attributes:
        round: number of the round to come, from 1 for the first retry.
        wait: seconds until it, 0 when it waits for another call's probe.
        reason: outcome name of the last attempt.
        detail: what each endpoint answered last, in words; masked and cut, and may quote a schema.
    """

    round: int
    wait: float
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverEvent(Event):
    """The next endpoint is asked at once because this one did not serve.

    Attributes:
        failed, next: the endpoints' URLs.
        reason: outcome name of the failed one.
        detail: what the failed one answered, in words; masked and cut.
    """

    failed: str
    next: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessEvent(Event):
    """The call has its answer.

    Attributes:
        endpoint: who gave it.
        attempts: requests made, 1 on a good day.
        seconds: from the call's beginning.
        schema_id: that the answer tells, ``None`` without one.
        request_id: the ``X-Request-ID`` of the last attempt, empty where none was made.
    """

    endpoint: str
    attempts: int
    seconds: float
    schema_id: int | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalEvent(Event):
    """The registry has refused for good.

    Attributes:
        endpoint: who refused.
        status, error_code: of the answer.
        reason: outcome name.
        attempts, seconds: the call's effort.
        look_up: whether the schema that may not be registered is now looked up, in a call of its own.
        detail: what each endpoint answered last, in words; masked and cut, and may quote a schema.
        request_id: the ``X-Request-ID`` of the last attempt, empty where none was made.
    """

    endpoint: str
    status: int | None
    error_code: int | None
    reason: str
    attempts: int
    seconds: float
    look_up: bool
    detail: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpEvent(Event):
    """The call has ended without an answer: deadline, retries or a lasting outage.

    Attributes:
        reason: outcome name of the last attempt, ``outage`` when none was made.
        attempts, seconds: the call's effort.
        retry_after: seconds until it is worth asking again, or ``None``.
        served: whether who asked has what was known before, so that no message is lost.
        detail: what each endpoint answered last, in words; masked and cut, and may quote a schema.
        request_id: the ``X-Request-ID`` of the last attempt, empty where none was made.
    """

    reason: str
    attempts: int
    seconds: float
    retry_after: float | None
    served: bool = False
    detail: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerEvent(Event):
    """An outage has been recognised (``open``) or is over.

    Attributes:
        endpoint: the URL, or ``writes`` for the cluster's leader.
        open: whether calls now wait for one probe.
        failures: attempts that failed in the outage.
        seconds: age of the outage.
        detail: what each endpoint answered last, in words, where it opens; masked and cut, and may quote a schema.
    """

    endpoint: str
    open: bool
    failures: int
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleEvent(Event):
    """A subject's latest version could not be refreshed: the old one stays in use.

    Attributes:
        version: the old one's number, ``None`` where the registry told none.
        age: seconds since it was read.
        reason: the failure's text.
    """

    version: int | None
    age: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIdEvent(Event):
    """Nobody has answered yet: what is on disk under ``cache.path`` serves, and the registry is asked behind it.

    Attributes:
        schema_id: that serves.
        age: seconds since the registry said so.
        reason: what each endpoint answered.
    """

    schema_id: int
    age: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdChangedEvent(Event):
    """The registry says otherwise than before: it was wiped or restored, or a subject was deleted. All that was known
    is asked for anew; messages that went out since have an id that readers may not find.

    Attributes:
        schema_id: that was known.
        new_id: that it is now; ``None`` where the registry does not know the schema any more.
        age: seconds since the old one was told.
        reason: the registry's words, where it does not know it.
    """

    schema_id: int
    new_id: int | None
    age: float
    reason: str


CacheTrouble = Literal["damaged", "foreign", "newer", "refused", "unusable", "busy", "removed", "fork", "no_wal"]
"""What can be wrong with the file under ``cache.path``. ``damaged``, ``foreign`` and ``newer`` ones are set aside,
``refused`` ones left alone; ``unusable``: a full or read-only disk, a missing folder; ``busy``: another process holds
it, or a thread hangs at the disk; ``removed``: ids in it are in doubt, and it could not be written to; ``fork``: the
process was forked while a thread was in SQLite; ``no_wal``: the file works, with a rollback journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFileEvent(Event):
    """Something is wrong with the file under ``cache.path``; told once of each kind. No message fails for it.

    Attributes:
        trouble: what.
        detail: in words.
    """

    trouble: CacheTrouble
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLostEvent(Event):
    """The registry says that the request was empty, though a body was sent: something on the way drops bodies.

    Attributes:
        endpoint: on the way to which.
        bytes_sent: length of the body that was sent.
        request_id: of the attempt.
    """

    endpoint: str
    bytes_sent: int
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFailedEvent(Event):
    """A serializer has raised: the message was not sent. Told on the thread that serializes, for each message, those of
    a remembered refusal too. ``call`` is 0.

    Attributes:
        reason: an outcome's name where the registry is why, ``misfit`` for an object that does not fit the schema,
            ``configuration``, or ``other``, such as an error of the caller's ``to_dict``.
        topic: of the message, ``None`` where the caller gave none.
        field: ``key`` or ``value``.
    """

    reason: str
    topic: str | None
    field: str
