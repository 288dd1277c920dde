"""As whom the client shows itself to the registry.

A token's server is asked like a registry is: through ``Retrying``, with an outage of its own, so that its failures are
retried within the callers' deadlines and never count against the registry's endpoints.
"""

from __future__ import annotations

import base64
import os
import queue
import random
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

from kafka_sr_retry.config import ClientSettings, keys
from kafka_sr_retry.errors import ConfigurationError, Failure, RegistryUnavailableError
from kafka_sr_retry.events import Event

from . import answers
from .clock import Clock
from .endpoints import Call, Endpoints
from .flights import Flight, Flights, Overdue
from .policy import TOKENS, Break, Outcome
from .request import BadAnswer, RegistryRequest, Reply
from .retrying import Retrying, SoFar
from .tls import RotatingTls

RENEW_AT = 0.8
"""Share of a token's lifetime after which it is renewed, while it serves on."""

AZURE_IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"
"""Where Azure's instance metadata service gives tokens to the machine it is on."""

_TOKEN = "bearer.auth.token"
_FOR_EVER = float("inf")

_MARGIN = 0.05
"""Seconds, or a twentieth of the time if less: a request for a token ends so much before the call it is for."""


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """What shows a caller to a server.

    Attributes:
        headers: for one request.
        secrets: what of them must not be told.
        renew_at, expires_at: in the clock's seconds.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    renew_at: float = _FOR_EVER
    expires_at: float = _FOR_EVER


class Credentials(Protocol):
    """Where a call has its ``Access`` from.

    Attributes:
        renewable: whether another ``Access`` can be had after a 401.
    """

    renewable: bool

    def access(self, call: Call, refused: Access | None) -> Access | Failure:
        """For one request, at once or before the call's deadline; another one than was ``refused``."""

    def so_far(self) -> SoFar | None:
        """What is known while none can be had."""

    def close(self) -> None:
        """Ends all waits."""


class Fixed:
    """The same for each request: HTTP basic (RFC 7617), a static bearer token (RFC 6750), or nothing."""

    renewable = False

    def __init__(self, access: Access) -> None:
        self._access = access

    def access(self, call: Call, refused: Access | None) -> Access:
        return self._access

    def so_far(self) -> None:
        return None

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Token:
    """What a token's source gave: headers, and for how many seconds they serve, ``None`` where that is unknown."""

    access: Access
    lifetime: float | None


@dataclass(frozen=True, slots=True)
class _Fetched:
    """What came of a flight to the token's source, and for whose call it was made."""

    result: Access | Failure
    by: Call


@dataclass(frozen=True, slots=True)
class _Source:
    """Where tokens come from.

    Attributes:
        endpoint: its URL, or what stands for it in errors and events.
        request: the question; its result is a ``_Token``.
        transport: asks it once.
        read: what a reply says.
        access: what shows the client to it.
    """

    endpoint: str
    request: RegistryRequest[_Token]
    transport: Any
    read: Callable[..., Outcome]
    access: Access = Access()


class Tokens:
    """Bearer tokens from a source that gives new ones.

    One request serves all callers who need a token. From ``RENEW_AT`` of its lifetime on a token is renewed behind the
    requests that still use it; one whose lifetime was not told serves until a 401.
    """

    renewable = True

    def __init__(
        self,
        source: _Source,
        settings: ClientSettings,
        clock: Clock,
        emit: Callable[[Event], None],
    ) -> None:
        self._request = source.request
        self._transport = source.transport
        self._clock = clock
        self._total_timeout = settings.total_timeout
        self._endpoints = Endpoints(
            (source.endpoint,),
            random=random.random,
            base=settings.retries_wait,
            cap=settings.retries_max_wait,
            max_retries=settings.max_retries,
        )
        self._loop = Retrying(
            self._endpoints,
            source.transport,
            clock,
            settings.request_timeout,
            emit,
            Fixed(source.access),
            read=source.read,
            table=TOKENS,
        )
        self._flights: Flights[_Fetched] = Flights(clock)
        self._known: Access | None = None
        self._so_far: SoFar | None = None

    def access(self, call: Call, refused: Access | None) -> Access | Failure:
        known, now = self._known, self._clock.now()
        if known is None or known is refused or now >= known.expires_at:
            return self._fetch(call)
        if now >= known.renew_at:
            self._renew(now)
        return known

    def close(self) -> None:
        with self._endpoints.changed:
            self._endpoints.close()
        self._transport.close()

    def _fetch(self, call: Call) -> Access | Failure:
        while True:
            try:
                fetched = self._flights.join(self._request, lambda flight: self._ask(call, flight), call.deadline)
            except (Overdue, RuntimeError) as error:
                if isinstance(error, Overdue) and error.so_far is not None:
                    told: Failure = error.so_far.at(self._clock.now(), 0.0, "Gave up because total.timeout.ms is over")
                    return told
                why = "total.timeout.ms is over" if isinstance(error, Overdue) else str(error)
                return self._told(Failure(RegistryUnavailableError, "", (), 0, 0.0, f"Gave up because {why}."))
            result = fetched.result
            if isinstance(result, Access):
                return result
            # another's flight may have ended with that caller's time: then ours begins
            if fetched.by is call or result.error is not RegistryUnavailableError:
                return self._told(result)

    def _renew(self, now: float) -> None:
        call = Call(self._request, False, now, lambda: now + self._total_timeout)
        with suppress(RuntimeError):  # no thread now: the token still serves
            self._flights.start(self._request, lambda flight: self._ask(call, flight), call.deadline)

    def _ask(self, call: Call, flight: Flight[_Fetched]) -> _Fetched:
        def publish(so_far: SoFar) -> None:
            self._so_far = flight.so_far = so_far

        margin = min(_MARGIN, (call.deadline - self._clock.now()) / 20)
        question = Call(self._request, False, call.began, lambda: call.deadline - margin, call.spends)
        result = self._loop.send(self._request, question, publish=publish)
        if isinstance(result, Failure):
            return _Fetched(result, call)
        self._so_far = None
        token: _Token = result.value
        lifetime, now = _FOR_EVER if token.lifetime is None else token.lifetime, self._clock.now()
        self._known = replace(token.access, renew_at=now + RENEW_AT * lifetime, expires_at=now + lifetime)
        return _Fetched(self._known, call)

    def so_far(self) -> SoFar | None:
        known = self._known
        return None if known is not None and self._clock.now() < known.expires_at else self._so_far

    def _told(self, failure: Failure) -> Failure:
        heard = self._so_far
        return failure if failure.answers or heard is None else replace(failure, answers=heard.failure.answers)


def credentials(
    settings: ClientSettings,
    clock: Clock,
    emit: Callable[[Event], None],
) -> Credentials:
    """What the settings ask for.

    An OAuth token endpoint is reached through the proxy like the registry, and has TLS settings of its own. Azure's
    metadata service is on the machine itself, so it is asked without a proxy. Neither is sent ``http.headers`` or
    ``http.auth``, which are the registry's.
    """
    headers = _confluent_cloud(settings.bearer_cluster, settings.bearer_pool)
    if settings.bearer_source == "STATIC_TOKEN":
        return Fixed(_bearer(settings.bearer_token or "", headers))
    if settings.bearer_source == "CUSTOM":
        return Tokens(_custom(settings, headers), settings, clock, emit)
    if settings.bearer_source is not None:
        return Tokens(_oauth(settings, headers), settings, clock, emit)
    if settings.basic_credentials is not None:
        return Fixed(_basic(*settings.basic_credentials))
    return Fixed(Access())


def _basic(user: str, password: str) -> Access:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Access({"Authorization": f"Basic {token}"}, (token, *filter(None, [password])))


def _bearer(token: str, headers: Mapping[str, str]) -> Access:
    return Access({"Authorization": f"Bearer {token}", **headers}, (token,))


def _oauth(settings: ClientSettings, headers: Mapping[str, str]) -> _Source:
    """The client credentials grant (RFC 6749, section 4.4), or Azure's metadata service.

    Id and secret go into HTTP basic as they are, as Confluent's and Kafka's own clients send them; section 2.3.1 would
    have them form-encoded first, which makes a difference for few characters and to few servers.
    """
    from .transport import Transport  # which imports requests: not with kafka_sr_retry, but with a client

    def expects(content: Any) -> _Token:
        token, lifetime = answers.access_token(content)
        return _Token(_bearer(token, headers), lifetime)

    azure = settings.bearer_source == "OAUTHBEARER_AZURE_IMDS"
    endpoint = settings.bearer_issuer or AZURE_IMDS
    body = None
    if azure:
        access = Access({"Metadata": "true", "Accept": "application/json"})
        if settings.bearer_query:
            endpoint = urlsplit(endpoint)._replace(query=settings.bearer_query).geturl()
    else:
        secret = settings.bearer_client_secret or ""
        basic = _basic(settings.bearer_client_id or "", secret)
        form = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        access = Access({**basic.headers, **form}, (*basic.secrets, secret, quote_plus(secret)))
        fields = {"grant_type": "client_credentials", "scope": settings.bearer_scope}
        body = urlencode({name: value for name, value in fields.items() if value}).encode()
    name, mark, query = endpoint.partition("?")  # a query may hold a key
    return _Source(
        name,
        RegistryRequest("GET" if azure else "POST", mark + query, body, "get an access token", "token", expects),
        Transport(
            replace(settings, http_headers={}, http_auth=None, max_in_flight=1),
            RotatingTls(settings.token_tls),
            direct=azure,
        ),
        answers.read_token,
        access,
    )


def _custom(settings: ClientSettings, headers: Mapping[str, str]) -> _Source:
    """A function of the user's: called for each request, it keeps by itself what lasts."""
    parsers = keys(ClientSettings)

    def expects(given: Any) -> _Token:
        fields = {_TOKEN: given} if isinstance(given, str) else given
        if not isinstance(fields, Mapping) or fields.get(_TOKEN) is None:
            raise BadAnswer(f"it gave {type(given).__name__}, and in it no {_TOKEN}")
        try:
            token = parsers[_TOKEN].parse(_TOKEN, fields[_TOKEN])
            cluster, pool = (
                None if fields.get(name) is None else parsers[name].parse(name, fields[name])
                for name in ("bearer.auth.logical.cluster", "bearer.auth.identity.pool.id")
            )
        except ConfigurationError as error:
            raise BadAnswer(str(error)) from None
        return _Token(_bearer(token, {**headers, **_confluent_cloud(cluster, pool)}), 0.0)

    function: Any = settings.bearer_function
    config = {} if settings.bearer_config is None else settings.bearer_config
    return _Source(
        "bearer.auth.custom.provider.function",
        RegistryRequest("CALL", "", None, "get an access token", "token", expects),
        _Function(lambda: function(config)),
        _read_given,
    )


def _confluent_cloud(cluster: str | None, pool: str | None) -> dict[str, str]:
    headers = {"target-sr-cluster": cluster, "Confluent-Identity-Pool-Id": pool}
    return {name: value for name, value in headers.items() if value}


@dataclass(frozen=True, slots=True)
class _Given(Reply):
    """What the user's function gave."""

    value: Any = field(default=None, repr=False)


class _Function:
    """The transport to a function of the user's, that ends when its time is over even if the function does not."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def attempt(self, request: RegistryRequest[Any], endpoint: str, *, seconds: float, **_: Any) -> Reply:
        reply: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        try:
            threading.Thread(
                target=lambda: reply.put(self._call(endpoint)), name="kafka-sr-retry-token", daemon=True
            ).start()
            return reply.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return Reply(endpoint, Break.TIMEOUT, "nothing within request.timeout.ms")
        except RuntimeError as error:
            return Reply(endpoint, Break.CREDENTIALS, f"no thread for it: {error}")

    def forget_connections(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _call(self, endpoint: str) -> Reply:
        try:
            return _Given(endpoint, value=self._function())
        except BaseException as error:  # noqa: BLE001 whatever it is, those who wait must hear of it
            # not its text, in which there may be a secret
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(last.filename)}, line {last.lineno}"
            return Reply(endpoint, Break.CREDENTIALS, f"{type(error).__name__} ({place})")


def _read_given(reply: Reply, request: RegistryRequest[Any], **_: Any) -> Outcome:
    if not isinstance(reply, _Given):
        return Outcome(broke=reply.broke, detail=reply.detail)
    try:
        return Outcome(status=200, detail="a token", value=request.expects(reply.value))
    except BadAnswer as bad:
        return Outcome(broke=Break.CREDENTIALS, detail=str(bad))
