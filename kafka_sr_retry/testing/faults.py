"""What can go wrong between a client and a Schema Registry, as values for `SchemaRegistryServer.fail_next`.

Each function returns a `Fault`, for any number of uses. Your own is a `Fault` with another ``play``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from urllib.parse import urlsplit

from ._http import Connection
from ._messages import Answer, RecordedRequest, error_answer

_MESSAGES = {
    401: "Unauthorized",
    403: "User is denied operation Write on this server",
    408: "Request Timeout",
    409: "Schema being registered is incompatible with an earlier schema",
    422: "register.request must not be null (was null)",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    40401: "Subject not found.",
    40402: "Version not found.",
    40403: "Schema not found",
    42201: "Invalid schema",
    42205: "Subject is in read-only mode",
    50001: "Register schema operation failed while writing to the Kafka store",
    50002: "Register operation timed out",
    50003: "Error while forwarding register schema request to the leader",
    50004: "Leader not known.",
}


@dataclass(frozen=True)
class Exchange:
    """A request and the means to answer it, well or badly."""

    request: RecordedRequest
    connection: Connection
    closing: Event
    answer: Callable[[RecordedRequest], Answer]
    note: Callable[[int], None]

    def real_answer(self) -> Answer:
        """Let the request take effect, and return what the registry answers; nothing is sent."""
        return self.answer(self.request)

    def send(self, answer: Answer) -> None:
        """Send ``answer`` whole."""
        self.write(answer, answer.head(self.request) + answer.body)

    def write(self, answer: Answer, part: bytes) -> None:
        """Send ``part`` of ``answer``, whose status is noted before a byte of it can be seen."""
        self.note(answer.status)
        self.connection.write(part)

    def wait(self, seconds: float | None) -> bool:
        """Wait, with ``None`` for ever; ``True``, at once, when the server is being closed."""
        return self.closing.wait(seconds)

    def left(self) -> bool:
        """Whether the client has left without waiting for the answer."""
        return self.connection.left()


@dataclass(frozen=True)
class Fault:
    """What happens to one request. ``play`` deals with it, and ends the connection if it sends no answer."""

    name: str
    play: Callable[[Exchange], None] = field(repr=False)


# -- a wrong answer ------------------------------------------------------------------------------


def error(
    status: int,
    error_code: int | None = None,
    message: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """An error in the registry's JSON; the request takes no effect.

    ``error_code`` is by default ``status``, ``message`` what Confluent's registry says with that code.
    """
    code = status if error_code is None else error_code
    refusal = error_answer(status, code, message if message is not None else _MESSAGES.get(code, f"HTTP {status}"))
    return _always(replace(refusal, headers=(*refusal.headers, *(headers or {}).items())))


def no_leader() -> Fault:
    """500 with 50003: this node knows no leader to forward to. See also `SchemaRegistryServer.leaderless`."""
    return error(500, 50003)


def retry_after(value: int | str, status: int = 429) -> Fault:
    """An error with ``Retry-After``: seconds, or an HTTP date as text."""
    return error(status, headers={"Retry-After": str(value)})


def answer(
    status: int,
    body: bytes | str,
    content_type: str = "application/vnd.schemaregistry.v1+json",
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """Any answer, such as a 200 whose JSON is not the registry's; the request takes no effect."""
    content = body.encode() if isinstance(body, str) else body
    return _always(Answer(status, content, (("Content-Type", content_type), *(headers or {}).items())))


def html(status: int = 502) -> Fault:
    """A gateway's error page."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\r\n"
    return answer(status, page, "text/html")


def redirect(location: str, status: int = 307) -> Fault:
    """A redirect to ``location``; an origin without a path gets the request's path and query."""

    def play(exchange: Exchange) -> None:
        path = "" if urlsplit(location).path else exchange.request.path
        exchange.send(Answer(status, headers=(("Location", location + path),)))

    return Fault(f"redirect({location!r}, {status})", play)


def drop_body() -> Fault:
    """The request's body is lost on its way: the registry sees, and answers, an empty one."""

    def play(exchange: Exchange) -> None:
        exchange.send(exchange.answer(replace(exchange.request, body=b"")))

    return Fault("drop_body()", play)


# -- no answer -----------------------------------------------------------------------------------


def hang(seconds: float | None = None) -> Fault:
    """No answer for ``seconds``, by default until the server is closed; then the connection ends without one.
    The request takes no effect."""

    def play(exchange: Exchange) -> None:
        exchange.wait(seconds)
        exchange.connection.end()

    return Fault(f"hang({seconds})", play)


def close_connection() -> Fault:
    """The connection is closed (FIN) before any byte of an answer; the request takes no effect."""
    return Fault("close_connection()", lambda exchange: exchange.connection.end())


def reset() -> Fault:
    """The connection is reset (RST) before any byte of an answer; the request takes no effect."""
    return Fault("reset()", lambda exchange: exchange.connection.reset())


def swallow() -> Fault:
    """The request takes effect, and the connection is reset before the answer: the client cannot know."""

    def play(exchange: Exchange) -> None:
        exchange.real_answer()
        exchange.connection.reset()

    return Fault("swallow()", play)


# -- a part of the answer, or a slow one; the request takes effect -------------------------------


def truncate(keep_bytes: int = 5) -> Fault:
    """The real answer's head and ``keep_bytes`` of its body, then the connection is closed (FIN)."""

    def play(exchange: Exchange) -> None:
        real = exchange.real_answer()
        exchange.write(real, real.head(exchange.request) + real.body[:keep_bytes])
        exchange.connection.end()

    return Fault(f"truncate({keep_bytes})", play)


def drip(interval: float = 0.5, head: bool = False) -> Fault:
    """The real answer's body, with ``head`` its head too, byte by byte, ``interval`` seconds apart."""

    def play(exchange: Exchange) -> None:
        real = exchange.real_answer()
        start, rest = real.head(exchange.request), real.body
        if head:
            start, rest = b"", start + rest
        exchange.write(real, start)
        for position in range(len(rest)):
            if exchange.wait(interval):
                break
            exchange.write(real, rest[position : position + 1])

    return Fault(f"drip({interval}, head={head})", play)


def _always(given: Answer) -> Fault:
    return Fault(f"answer({given.status}, {given.body!r})", lambda exchange: exchange.send(given))
