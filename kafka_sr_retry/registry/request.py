"""A request to the registry, encoded once, and the reply to an attempt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from kafka_sr_retry.errors import ConfigurationError
from kafka_sr_retry.events import Operation

from .policy import Break

T = TypeVar("T")

JSON_TYPE = "application/vnd.schemaregistry.v1+json"


class BadAnswer(ValueError):  # noqa: N818
    """A 2xx whose content cannot be the answer to the request."""


@dataclass(frozen=True, slots=True)
class RegistryRequest(Generic[T]):
    """One question to the registry. Equal requests are the same question.

    The body is ``bytes``, encoded before the first attempt: each attempt builds a new HTTP request from them, so
    none can meet a body that an earlier one consumed.

    Attributes:
        method: HTTP method.
        path: path and query below an endpoint's URL.
        body: the whole body, ``None`` for none.
        asked: the question in words, for errors and events.
        operation: the kind of question, for metrics and spans.
        expects: turns the decoded JSON of a 2xx into the call's result; raises ``BadAnswer`` for anything else.
        registers: whether it needs the cluster's leader when the schema is new.
        optional: whether not every registry has the path, so that its absence is an answer.
        keep: whether memory may answer, and remembers.
        ages: whether a remembered answer is asked for again after ``cache.latest.ttl.sec``.
        or_else: makes another question whose answer serves too, for callers who may read and not write.
    """

    method: str
    path: str = field(repr=False)
    body: bytes | None = field(repr=False)
    asked: str = field(compare=False)
    operation: Operation = field(compare=False)
    expects: Callable[[Any], T] = field(compare=False, repr=False)
    registers: bool = False
    optional: bool = False
    keep: bool = field(default=True, compare=False)
    ages: bool = field(default=False, compare=False)
    or_else: Callable[[], RegistryRequest[T]] | None = field(default=None, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.method, self.path, self.body)))

    @property
    def asks_for_id(self) -> bool:
        """Whether a registry that was wiped may give another one."""
        return self.operation in ("register", "look_up")

    def __hash__(self) -> int:
        return self._hash  # each call asks for it some twenty times

    def bare(self, body: bytes | None) -> RegistryRequest[T]:
        """An equal one with this equal body, and without what is needed to ask."""
        return RegistryRequest(
            self.method,
            self.path,
            body,
            "",
            self.operation,
            _nothing,
            self.registers,
            self.optional,
            self.keep,
            self.ages,
        )

    @classmethod
    def build(
        cls,
        method: str,
        path: str,
        *,
        asked: str,
        operation: Operation,
        expects: Callable[[Any], T],
        query: Mapping[str, Any] | None = None,
        content: Any = None,
        body: bytes | None = None,
        registers: bool = False,
        optional: bool = False,
        keep: bool = True,
        ages: bool = False,
        or_else: Callable[[], RegistryRequest[T]] | None = None,
    ) -> RegistryRequest[T]:
        """Encodes ``content`` as JSON, or takes ``body``; ``query`` values may be lists; ``None`` values are left out.

        Raises:
            ConfigurationError: what cannot be encoded.
        """
        present = {name: value for name, value in (query or {}).items() if value is not None}
        pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in present.items()}
        try:
            encoded = urlencode(pairs, doseq=True) if pairs else ""
            body = body if content is None else _json(content)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"cannot {asked}: what was given cannot be sent as JSON ({error})") from None
        return cls(
            method,
            path + ("?" + encoded if encoded else ""),
            body,
            asked,
            operation,
            expects,
            registers=registers,
            optional=optional,
            keep=keep,
            ages=ages,
            or_else=or_else,
        )


def _nothing(content: Any) -> Any:
    raise BadAnswer("it is an answer to a question that nobody asks")


_ENCODER = json.JSONEncoder(allow_nan=False)


def _json(content: Any) -> bytes:
    """In ASCII, which no server on the way mistakes for another encoding."""
    text = _ENCODER.encode(content)
    if "\\ud" in text:
        json.dumps(content, ensure_ascii=False).encode()  # raises for a lone surrogate, which JSON cannot hold
    return text.encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """How an exchange ended.

    Attributes:
        url: that answered, after redirects.
        broke: why there is no answer, or ``None``.
        detail: the failure in words.
        status, headers, body: of the answer; header names in lower case.
        away: whether another origin answered, after a redirect.
        proxy: by way of which it came, if that can answer in the registry's place.
        secrets: what of the request must not be told.
        done: is told whether the answer was of use, or its connection ends.
    """

    url: str
    broke: Break | None = None
    detail: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    away: bool = False
    proxy: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    done: Callable[[bool], None] = field(default=lambda good: None, repr=False, compare=False)
