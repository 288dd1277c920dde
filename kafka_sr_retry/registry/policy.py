"""What the outcome of an attempt means, and how long to wait. Pure: no clock, no randomness of its own, no I/O.

"Retry or not" is decided by ``TABLE``: the first row that fits an outcome says what to do. The answers behind the rows
were observed on Confluent Schema Registry 7.9.9, Apicurio Registry 2.5.11 to 3.3.3, and Karapace 6.2.0.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from kafka_sr_retry.errors import (
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegistryAuthError,
    SchemaNotFoundError,
    SchemaRegistryError,
)

OPENS_AFTER = 3
"""Failures without a success after which an outage is shared: one call probes, the others wait."""

_SUCCESS = range(200, 300)

SHORT_WAIT = 1.15
"""Seconds: longest wait in the first eleven seconds of an outage, unless ``retries.wait.ms`` is longer."""

LEADER_WAIT = 0.5
"""The same for a leader: the nodes that say there is none are well, and an election is over in seconds."""


class Break(Enum):
    """How an exchange ended without a usable answer."""

    NAME = "the name look-up failed"
    REFUSED = "the connection was refused"
    CONNECT_TIMEOUT = "no connection within connect.timeout.ms"
    TIMEOUT = "no whole answer within request.timeout.ms"
    RESET = "the connection broke"
    STALE = "a kept-alive connection had been closed"
    TLS = "TLS failed"
    BAD_ANSWER = "not the answer of a Schema Registry"
    BAD_REDIRECT = "a redirect that cannot be followed"
    CREDENTIALS = "no credentials could be had"
    UNSENDABLE = "the request could not be built"
    PROXY = "the proxy refused"
    CLIENT_CERTIFICATE = "the server does not take the client's certificate"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt brought.

    Attributes:
        broke: why there is no usable answer, or ``None``.
        status: HTTP status, or ``None`` where none came.
        error_code: of the registry's error JSON, or ``None``.
        from_registry: whether the error is a registry's JSON (``error_code`` present).
        says_empty: whether it is a 422 saying that the request was null, or no JSON, although a whole body was sent.
        retry_after: seconds the answer asks for, or ``None``.
        renewable: whether the credentials used could be renewed.
        optional: whether not every registry has the path that was asked.
        registering: whether a schema was to be registered.
        message: the registry's own words.
        detail: the answer or failure in words, for people.
        value: the call's result, where the answer is good.
    """

    broke: Break | None = None
    status: int | None = None
    error_code: int | None = None
    from_registry: bool = False
    says_empty: bool = False
    retry_after: float | None = None
    renewable: bool = False
    optional: bool = False
    registering: bool = False
    message: str = ""
    detail: str = ""
    value: Any = None

    @property
    def understood(self) -> bool:
        """Whether it is an answer that a registry gives."""
        return self.broke is None and (self.from_registry or self.status in _SUCCESS)


class Action(Enum):
    """What the loop does next."""

    ACCEPT = auto()
    """The call has its result."""
    AGAIN = auto()
    """Once more at once on the same endpoint; counts against nobody. The second time it is ``NEXT``."""
    NEXT = auto()
    """The endpoint failed: the next one at once; back off after a whole round."""
    REST = auto()
    """``NEXT``, and the endpoint is left alone as long as it asked."""
    NO_LEADER = auto()
    """The node is well, the cluster takes no new schemas: next endpoint, then back off; writes wait together."""
    SKIP = auto()
    """The endpoint failed, and is of no use to this call: never asked again by it; final when none is left."""
    ELSEWHERE = auto()
    """Final, unless another endpoint of this round serves; two registries that refuse are enough. Counts against
    nobody."""
    REFUSE = auto()
    """Final."""


class Blame(Enum):
    """Against whom a failure counts."""

    ENDPOINT = auto()
    """The endpoint that was asked."""
    QUESTION = auto()
    """The question, at that endpoint; the endpoint, once another question fails there too."""
    ALONE = auto()
    """The question, whatever others do."""
    NOBODY = auto()
    """It was no failure."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; an empty condition fits everything.

    Attributes:
        name: the outcome's name in events, logs and metrics.
        action: what to do.
        blame: against whom it counts.
        broke, status, error_code, from_registry, says_empty, rests, renewable, optional, registering: conditions on the
            outcome.
        says: one of these must stand in the registry's words, in lower case.
        error: exception class where the row ends a call.
        look_up: whether a registration may still be answered by a look-up of the same schema.
        remembered_for: share of ``refusal.cache.ttl.ms`` for which the refusal answers the same question again.
        advice: what the user does next.
    """

    name: str
    action: Action
    blame: Blame = Blame.NOBODY
    broke: Collection[Break] = ()
    status: Collection[int] = ()
    error_code: Collection[int] = ()
    from_registry: bool | None = None
    says_empty: bool | None = None
    rests: bool | None = None
    renewable: bool | None = None
    optional: bool | None = None
    registering: bool | None = None
    says: Collection[str] = ()
    error: type[SchemaRegistryError] = SchemaRegistryError
    look_up: bool = False
    remembered_for: float = 0.0
    advice: str = ""

    def fits(self, outcome: Outcome) -> bool:
        return (
            (outcome.broke in self.broke if self.broke else outcome.broke is None)
            and (not self.status or outcome.status in self.status)
            and (not self.error_code or outcome.error_code in self.error_code)
            and self.from_registry in (None, outcome.from_registry)
            and self.says_empty in (None, outcome.says_empty)
            and self.rests in (None, outcome.retry_after is not None)
            and self.renewable in (None, outcome.renewable)
            and self.optional in (None, outcome.optional)
            and self.registering in (None, outcome.registering)
            and (not self.says or any(words in outcome.message.lower() for words in self.says))
        )


_CLIENT_ERROR = range(400, 500)
_NOT_A_REGISTRY = "This does not look like a Schema Registry: check the URL and its path."
_NO_REGISTRYS_ANSWER = (
    "No Schema Registry wrote this: a gateway on the way refused the request (see its words), or the URL or its path "
    "is wrong."
)
_SCHEMA_MISSING = "Register it first, or set auto.register.schemas=true. If it is there, check the URL's path."
_NOTHING_THERE = "If it should be there, check the name that was asked for and the URL's path."
_NOWHERE_TO_REGISTER = "Check the URL's path, and that what the schema refers to is registered."
_CREDENTIALS = "Check the credentials (basic.auth.*, bearer.auth.*) and their rights on the subject."
_GATEWAYS_CREDENTIALS = (
    "The registry or a gateway before it wants other credentials (basic.auth.*, bearer.auth.*, http.headers), or does "
    "not let this host or request pass."
)
_TOO_LARGE = "A gateway or server on the way takes no "
_TLS_ADVICE = "Check ssl.ca.location, the server's host name and its certificate's dates."

# fmt: off
_PROXY_REFUSED = Row("proxy_refused", Action.SKIP, Blame.ENDPOINT, status={407}, from_registry=False,
                     error=RegistryAuthError,
                     advice="Give the proxy's user and password: proxy=http://user:password@host:port.")
_NO_TUNNEL = Row("proxy_refused", Action.SKIP, Blame.ENDPOINT, broke={Break.PROXY},
                 advice="Let the proxy admit CONNECT to this host and port, or go without it: NO_PROXY, or proxy=''.")

TABLE: tuple[Row, ...] = (
    # no usable answer
    Row("stale_connection", Action.AGAIN, broke={Break.STALE}),
    Row("tls", Action.SKIP, Blame.ENDPOINT, broke={Break.CLIENT_CERTIFICATE},
        advice="The server asks for a client's certificate, and does not take what it was shown, or nothing: check "
               "ssl.certificate.location and ssl.key.location."),
    Row("tls", Action.SKIP, Blame.ENDPOINT, broke={Break.TLS},
        advice=_TLS_ADVICE),
    _NO_TUNNEL,
    Row("unsendable", Action.SKIP, Blame.ALONE, broke={Break.UNSENDABLE},
        advice="Check http.headers, http.auth and proxy."),
    Row("bad_answer", Action.NEXT, Blame.QUESTION, broke={Break.BAD_ANSWER, Break.BAD_REDIRECT}),
    Row("timeout", Action.NEXT, Blame.ENDPOINT, broke={Break.CONNECT_TIMEOUT}),
    Row("timeout", Action.NEXT, Blame.QUESTION, broke={Break.TIMEOUT}),
    Row("connection", Action.NEXT, Blame.QUESTION, broke={Break.RESET}),
    Row("connection", Action.NEXT, Blame.ENDPOINT, broke=frozenset(Break)),
    # answers
    Row("success", Action.ACCEPT, status=_SUCCESS),
    Row("no_leader", Action.NO_LEADER, status={500}, error_code={50003, 50004}),
    Row("rate_limited", Action.REST, Blame.ENDPOINT, status={429}),
    Row("unavailable", Action.REST, Blame.ENDPOINT, status={503}, rests=True),
    Row("absent", Action.REFUSE, status={404, 405, 501}, optional=True, error=SchemaNotFoundError,
        advice="This registry has no such path."),
    Row("server_error", Action.NEXT, Blame.QUESTION, status={408, 425, *range(500, 600)}),
    Row("token_expired", Action.AGAIN, status={401}, renewable=True),
    Row("unauthorized", Action.ELSEWHERE, status={401}, from_registry=True, error=RegistryAuthError,
        advice=_CREDENTIALS),
    Row("unauthorized", Action.ELSEWHERE, status={401}, error=RegistryAuthError, advice=_GATEWAYS_CREDENTIALS),
    Row("body_lost", Action.ELSEWHERE, Blame.ALONE, status={422}, says_empty=True, error=InvalidSchemaError,
        advice="The body was sent whole: a proxy or gateway on the way drops request bodies. Repair or bypass it."),
    Row("read_only", Action.REFUSE, status={422}, error_code={42205}, says={"read-only", "read only", "readonly"},
        error=InvalidSchemaError, look_up=True, remembered_for=1,
        advice="The registry or subject is read-only: register where it may be written, or set its mode to READWRITE."),
    Row("not_permitted", Action.REFUSE, status={422}, error_code={42205}, says={"import mode", "read-write mode"},
        error=InvalidSchemaError, look_up=True, remembered_for=1,
        advice="In mode IMPORT a schema is registered with its id, in no other mode: set the subject's mode to "
               "READWRITE to register without one."),
    Row("not_permitted", Action.REFUSE, status={422}, error_code={42205}, error=InvalidSchemaError, look_up=True,
        remembered_for=1, advice="Correct what the registry's words name: a mode, or an id that another schema has."),
    Row("forbidden", Action.ELSEWHERE, status={403}, from_registry=True, error=RegistryAuthError, look_up=True,
        remembered_for=1 / 6, advice=_CREDENTIALS),
    Row("forbidden", Action.ELSEWHERE, status={403}, error=RegistryAuthError, look_up=True, remembered_for=1 / 6,
        advice=_GATEWAYS_CREDENTIALS),
    # Apicurio, where two requests at once make a subject, such as an attempt that was given up and the next one
    Row("server_error", Action.NEXT, Blame.QUESTION, status={409}, registering=True, says={"an artifact with id "}),
    Row("incompatible", Action.REFUSE, status={409}, from_registry=True, error=IncompatibleSchemaError,
        remembered_for=1, advice="Make the schema compatible, or change the subject's compatibility level."),
    Row("invalid", Action.REFUSE, status={422}, error_code={0, 422, 42201}, error=InvalidSchemaError, remembered_for=1,
        advice="Correct the schema as the registry says."),
    Row("invalid", Action.REFUSE, status={422}, from_registry=True, error=InvalidSchemaError, remembered_for=1,
        advice="Correct what the registry's words name."),
    _PROXY_REFUSED,
    Row("not_found", Action.ELSEWHERE, status={404}, from_registry=True, registering=True, error=SchemaNotFoundError,
        remembered_for=1 / 6, advice=_NOWHERE_TO_REGISTER),
    Row("not_found", Action.ELSEWHERE, status={404}, error_code={0, 404, 40401, 40402, 40403},
        error=SchemaNotFoundError, remembered_for=1 / 6, advice=_SCHEMA_MISSING),
    Row("not_found", Action.ELSEWHERE, status={404}, from_registry=True, error=SchemaNotFoundError,
        remembered_for=1 / 6, advice=_NOTHING_THERE),
    Row("too_large", Action.ELSEWHERE, Blame.ALONE, status={413},
        advice=_TOO_LARGE + "body of this size: raise its limit (nginx: client_max_body_size), or shorten the schema."),
    Row("too_large", Action.ELSEWHERE, Blame.ALONE, status={414},
        advice=_TOO_LARGE + "URL this long: raise its limit, or shorten the subject's name."),
    Row("too_large", Action.ELSEWHERE, Blame.ALONE, status={431},
        advice=_TOO_LARGE + "headers this large: raise its limit, or shorten http.headers or the token."),
    Row("refused", Action.REFUSE, status={405, 406, 415}, from_registry=True,
        advice="Check the URL's path, and that nothing on the way changes the request's method and headers."),
    Row("refused", Action.REFUSE, status=_CLIENT_ERROR, from_registry=True,
        advice="The registry will not change its mind: correct what its message names."),
    Row("not_a_registry", Action.ELSEWHERE, Blame.ALONE, status={404}, error=SchemaNotFoundError,
        advice=_NOT_A_REGISTRY),
    Row("not_a_registry", Action.ELSEWHERE, Blame.ALONE, status=_CLIENT_ERROR, advice=_NO_REGISTRYS_ANSWER),
    # 1xx and 3xx that the transport did not follow, and whatever else HTTP may bring
    Row("bad_answer", Action.NEXT, Blame.QUESTION),
)

_TOKEN_REFUSED = Row("token_refused", Action.REFUSE, error=RegistryAuthError,
                     advice="Check bearer.auth.*: client.id, client.secret, scope and issuer.endpoint.url.")

TOKENS: tuple[Row, ...] = (
    Row("stale_connection", Action.AGAIN, broke={Break.STALE}),
    Row("tls", Action.SKIP, Blame.ENDPOINT, broke={Break.CLIENT_CERTIFICATE},
        advice="The token's server asks for a client's certificate, and does not take what it was shown, or nothing: "
               "check bearer.auth.ssl.certificate.location and bearer.auth.ssl.key.location."),
    Row("tls", Action.SKIP, Blame.ENDPOINT, broke={Break.TLS},
        advice="Check bearer.auth.ssl.ca.location and ssl.ca.location, the server's host name and its certificate's "
               "dates."),
    _NO_TUNNEL,
    Row("unsendable", Action.SKIP, Blame.ALONE, broke={Break.UNSENDABLE}, advice="Check bearer.auth.* and proxy."),
    Row("bad_answer", Action.NEXT, Blame.ENDPOINT, broke={Break.BAD_ANSWER, Break.BAD_REDIRECT}),
    Row("timeout", Action.NEXT, Blame.ENDPOINT, broke={Break.TIMEOUT, Break.CONNECT_TIMEOUT}),
    Row("credentials", Action.NEXT, Blame.ENDPOINT, broke={Break.CREDENTIALS}),
    Row("connection", Action.NEXT, Blame.ENDPOINT, broke=frozenset(Break)),
    Row("success", Action.ACCEPT, status=_SUCCESS),
    Row("rate_limited", Action.REST, Blame.ENDPOINT, status={429}),
    Row("unavailable", Action.REST, Blame.ENDPOINT, status={503}, rests=True),
    Row("server_error", Action.NEXT, Blame.ENDPOINT, status={408, 425, *range(500, 600)}),
    _PROXY_REFUSED,
    replace(_TOKEN_REFUSED, status=_CLIENT_ERROR, from_registry=True),
    replace(_TOKEN_REFUSED, status={400, 401, 403}),
    Row("bad_answer", Action.NEXT, Blame.ENDPOINT),
)
"""The same for a token's server, which has no leader and no schemas; ``from_registry``: the error is OAuth's JSON."""
# fmt: on


def decide(outcome: Outcome, table: tuple[Row, ...] = TABLE) -> Row:
    """The first row of the table that fits; the last row fits every answer, so there always is one."""
    return next(row for row in table if row.fits(outcome))


def wait_after(
    failures: int, age: float, random: float, *, base: float, cap: float, longest: float = SHORT_WAIT
) -> float:
    """Seconds until the next attempt after a failure.

    Full jitter over ``base`` and twice ``base`` after the first two, as most failures are over then. From the third on
    about ten times ``base``, up to ``longest``: a fleet that starts in an outage would ask too often else. After
    ten seconds a tenth of the outage's age, up to ``cap``, so that a fleet has spread by the time its registry is back.

    Args:
        failures: without a success so far, from 1.
        age: seconds since the first of them.
        random: uniform in [0, 1).
        base: ``retries.wait.ms`` in seconds.
        cap: ``retries.max.wait.ms`` in seconds.
        longest: in seconds, of a young outage, unless ``base`` is longer.
    """
    longest = max(longest, base)
    if failures < OPENS_AFTER:
        return random * min(cap, base * 2.0 ** (failures - 1), longest)
    steady = min(cap, 10 * base * 2.0 ** min(failures - OPENS_AFTER, 32), longest)
    least = 0.5 if failures == OPENS_AFTER else 0.87
    return max((least + (1 - least) * random) * steady, (0.5 + random / 2) * min(cap, age / 10))
