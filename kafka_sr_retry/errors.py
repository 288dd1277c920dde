"""The errors a user meets: all ``SerializationError``s, so code written for Confluent's serializer keeps working."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from confluent_kafka.serialization import SerializationError

__all__ = [
    "AvroEncodingError",
    "ConfigurationError",
    "IncompatibleSchemaError",
    "InvalidSchemaError",
    "RegistryAuthError",
    "RegistryUnavailableError",
    "SchemaNotFoundError",
    "SchemaRegistryError",
]


def one_line(text: str, longest: int = 2000) -> str:
    """What others have written, a registry's schema too, as it may stand in an error: no line break, no escape, no end
    of it."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return text if len(text) <= longest else text[:longest] + "…"


class ConfigurationError(SerializationError, ValueError):
    """A setting that cannot work; raised at construction, before any network.

    Attributes:
        key: the configuration key or argument at fault.
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class AvroEncodingError(SerializationError, ValueError, TypeError):
    """An object that does not fit its schema; nothing of it was written.

    Attributes:
        field_path: where, such as ``items[3].price``; empty for the object itself.
        expected: what the schema asks for there.
        actual: what was found, by type; never the value, which may be confidential.
    """

    def __init__(self, message: str, field_path: str = "", expected: str = "", actual: str = "") -> None:
        super().__init__(message)
        self.field_path = field_path
        self.expected = expected
        self.actual = actual


class SchemaRegistryError(SerializationError):
    """A registry's answer that ends a call.

    Where Confluent's ``confluent_kafka.schema_registry.error`` is loaded when one is made, it is Confluent's
    ``SchemaRegistryError`` too, so that handlers written for it are reached. Pickles hold neither class nor module of
    Confluent's: what an unpickled one is depends on what is loaded there.

    Attributes:
        http_status_code: of the answer, ``None`` where there was none.
        error_code: the registry's own code, -1 where it gave none (as Confluent's client has it).
        error_message: the registry's words, or the failure's.
        url: the endpoint that gave the answer.
        attempts: HTTP requests made for the call.
        retriable: whether the same call may succeed later without a change.
        retry_after: seconds until it is worth asking again, or ``None``.
        reason: the failure's name, as events and metrics have it, such as ``no_leader``.
    """

    UNKNOWN = -1

    __str__ = Exception.__str__  # Confluent's class has its own
    __repr__ = Exception.__repr__

    def __new__(cls, *args: Any, **kwargs: Any) -> SchemaRegistryError:
        kind: Any = cls
        theirs = getattr(sys.modules.get("confluent_kafka.schema_registry.error"), "SchemaRegistryError", None)
        if isinstance(theirs, type):
            kind = _confluents_too(kind, theirs)
        made: SchemaRegistryError = SerializationError.__new__(kind, *args)
        return made

    def __init__(
        self,
        message: str,
        *,
        http_status_code: int | None = None,
        error_code: int = UNKNOWN,
        error_message: str = "",
        url: str = "",
        attempts: int = 0,
        retriable: bool = False,
        retry_after: float | None = None,
        reason: str = "",
    ) -> None:
        Exception.__init__(self, message)
        self.http_status_code = http_status_code
        self.error_code = error_code
        self.error_message = error_message
        self.url = url
        self.attempts = attempts
        self.retriable = retriable
        self.retry_after = retry_after
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self)
        return vars(kind).get("_alone", kind), self.args, vars(self)


@lru_cache
def _confluents_too(kind: Any, theirs: Any) -> Any:
    """``kind`` as a subclass of ``theirs`` too; ``kind`` itself where it is one already, or the two do not fit."""
    try:
        if issubclass(kind, theirs):
            return kind
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        both: Any = type(kind.__name__, (kind, theirs), {**names, "_alone": kind})
        SchemaRegistryError.__init__(both.__new__(both), "fits")
    except (TypeError, AttributeError):
        return kind
    return both


class IncompatibleSchemaError(SchemaRegistryError):
    """409: the schema breaks the subject's compatibility rule."""


class InvalidSchemaError(SchemaRegistryError):
    """422: the registry does not take the schema."""


class SchemaNotFoundError(SchemaRegistryError):
    """404: no such subject, version, id or schema."""


class RegistryAuthError(SchemaRegistryError):
    """401 or 403: credentials missing, wrong, or without the right."""


class RegistryUnavailableError(SchemaRegistryError):
    """The deadline or the retries ran out, or an outage goes on. The object is still the caller's: produce it again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed, as a value: each caller who shares it raises an exception of its own.

    Attributes:
        error: the class to raise.
        asked: what the call wanted, such as ``register a schema under subject 'a-value'``.
        answers: the last answer of each endpoint, as (url, text).
        seconds: from the call's beginning to its end.
        advice: what to do next.
        reason: outcome name of the last attempt, as events have it.
        not_before: when the question may be asked again, in the client's clock: until then the refusal answers it.
        remembered_for: share of ``refusal.cache.ttl.ms`` for which it answers the same question again.
        look_up: whether a registration may still be answered by a look-up of the same schema.
    """

    error: type[SchemaRegistryError]
    asked: str
    answers: tuple[tuple[str, str], ...]
    attempts: int
    seconds: float
    advice: str
    reason: str = ""
    http_status_code: int | None = None
    error_code: int = SchemaRegistryError.UNKNOWN
    error_message: str = ""
    url: str = ""
    retry_after: float | None = None
    not_before: float = 0.0
    remembered_for: float = 0.0
    look_up: bool = False

    @property
    def by_registry(self) -> bool:
        """Whether a registry has answered, and did not just fail."""
        by_another = self.http_status_code is None or self.reason in ("not_a_registry", "proxy_refused")
        return not (by_another or issubclass(self.error, RegistryUnavailableError))

    @property
    def told(self) -> str:
        """The endpoints' last answers in words; an answer's begin with its status."""
        told = (f"{url}{' answered' if text[:1].isdigit() else ':'} {text}" for url, text in self.answers)
        return "; ".join(told) or "no endpoint was asked"

    def exception(self, remembered_seconds: float | None = None) -> SchemaRegistryError:
        """A new exception; ``remembered_seconds`` says how long ago the registry gave this answer."""
        effort = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'} in {self.seconds:.2f} s"
        if remembered_seconds is not None:
            effort += f", {remembered_seconds:.1f} s ago: a remembered refusal, not asked again"
        return self.error(
            f"could not {self.asked}: {self.told} ({effort}). {self.advice}",
            http_status_code=self.http_status_code,
            error_code=self.error_code,
            error_message=self.error_message,
            url=self.url,
            attempts=self.attempts,
            retriable=issubclass(self.error, RegistryUnavailableError),
            retry_after=self.retry_after,
            reason=self.reason,
        )
