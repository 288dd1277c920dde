"""What passes between a client and the embedded registry: recorded requests, and answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses
from typing import Any

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"

# JAX-RS 2, on which the registry is built, knows no 422: its phrase is empty.
_REASONS = {**responses, 422: ""}


class Headers(Mapping[str, str]):
    """Header fields, found whatever the case of their names; repeated ones are joined with ", "."""

    def __init__(self, items: list[tuple[str, str]]) -> None:
        self._items: dict[str, tuple[str, str]] = {}
        for name, value in items:
            known = self._items.get(name.lower())
            self._items[name.lower()] = (name, f"{known[1]}, {value}" if known else value)

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({dict(self)})"


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it arrived.

    ``path`` is the request's target with its query, ``body`` the bytes without chunking, ``time`` when the
    last of them was read (``time.monotonic()``, seconds), ``answer`` the status that was sent, if one was.
    """

    method: str
    path: str
    headers: Headers
    body: bytes
    time: float
    answer: int | None = None


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. ``Date``, ``X-Request-ID`` and ``Content-Length`` are added when it is sent."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str | None = None

    def head(self, request: RecordedRequest) -> bytes:
        """The bytes before the body, in answer to ``request``, whose ``X-Request-ID`` is echoed."""
        fields = list(self.headers)
        names = {name.lower() for name, _ in fields}
        if "date" not in names:
            fields.append(("Date", formatdate(usegmt=True)))
        if "x-request-id" not in names:
            fields.append(("X-Request-ID", request.headers.get("X-Request-ID") or str(uuid.uuid4())))
        fields.append(("Content-Length", str(len(self.body))))
        reason = _REASONS.get(self.status, "") if self.reason is None else self.reason
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_answer(status: int, value: Any) -> Answer:
    """``value`` as JSON under the registry's content type."""
    return Answer(status, compact(value).encode(), (("Content-Type", CONTENT_TYPE),))


def error_answer(status: int, error_code: int, message: str) -> Answer:
    """The registry's form of an error."""
    return json_answer(status, {"error_code": error_code, "message": message})


def compact(value: Any) -> str:
    """JSON without white space, as the registry writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
