"""What the questions brought: values, which the probe makes and the findings read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from kafka_sr_retry.registry.policy import Outcome, Row

from .certificate import Handshake


@dataclass(frozen=True, slots=True)
class Answer:
    """What one question brought.

    Attributes:
        row: of the policy's table: what a producer would make of it.
        seconds: from the request to the last byte, of the last try.
        redirected_to: the endpoint that answered, where it is another one.
    """

    row: Row
    outcome: Outcome
    seconds: float
    redirected_to: str | None = None

    @property
    def kind(self) -> str:
        """The row's name. A 404 whose code names no subject, version or schema is a server's that knows no such path:
        Apicurio's 404 and 0, Confluent's 404."""
        wrong_path = self.row.name == "not_found" and self.outcome.error_code not in range(40400, 40500)
        return "wrong_path" if wrong_path else self.row.name


class Trace(Enum):
    """What a check has left of its scratch subject."""

    NEVER_THERE = "never there"
    REMOVED = "removed"
    LEFT = "left"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """An endpoint as its answers show it.

    Attributes:
        url: without credentials.
        written: whether a registration was asked for.
        subject: the scratch subject.
        answers: by question; one that was not asked is not there.
        latencies: seconds of equal requests over an open connection.
        requests: attempts in all.
        failures: what attempts brought that a producer would have repeated.
        handshake: with the endpoint's host, ``None`` without TLS.
        verifies: whether the server's certificate has to be trusted.
        shows_credentials: whether a user, a token or an Authorization header is configured.
        no_token: why no access token could be had, or empty.
        trace: of the scratch subject.
        trace_why: why it could not be removed, or empty.
    """

    url: str
    written: bool
    subject: str
    answers: Mapping[str, Answer] = field(default_factory=dict)
    latencies: tuple[float, ...] = ()
    requests: int = 0
    failures: tuple[str, ...] = ()
    handshake: Handshake | None = None
    verifies: bool = True
    shows_credentials: bool = False
    no_token: str = ""
    trace: Trace = Trace.NEVER_THERE
    trace_why: str = ""
