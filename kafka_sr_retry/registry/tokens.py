"""Bearer tokens from a source that gives new ones.

A token's server is asked like a registry is: by a walk of its own with outages of its own, so that its failures are
retried within the callers' deadlines and never count against the registry's endpoints.
"""

from __future__ import annotations

import os
import random
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from kafka_sr_retry.config import ClientSettings, keys
from kafka_sr_retry.errors import ConfigurationError, Failure
from kafka_sr_retry.events import Event

from . import answers
from .access import Access, Fixed, basic, bearer
from .attempts import Question, Transport
from .call import Credentials, World
from .outages import Outages
from .policy import TOKENS, Break, Outcome
from .request import BadAnswer, RegistryRequest, Reply
from .steps import Answered
from .tls import RotatingTls

RENEW_AT = 0.8
"""Share of a token's lifetime after which it is renewed, while it serves on."""

AZURE_IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"
"""Where Azure's instance metadata service gives tokens to the machine it is on."""

CHANCE = random.SystemRandom()
"""Has no state that a fork could copy: all children would wait for the same times."""

_TOKEN = "bearer.auth.token"
_FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class _Token:
    """What a token's source gave: headers, and for how many seconds they serve, ``None`` where that is unknown."""

    access: Access
    lifetime: float | None


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
    transport: Transport
    read: Callable[..., Outcome]
    access: Access = Access()


class Tokens:
    """One request serves all callers who need a token. From ``RENEW_AT`` of its lifetime on a token is renewed behind
    the requests that still use it; one whose lifetime was not told serves until a 401.

    Attributes:
        question: for another token.
    """

    renewable = True

    def __init__(
        self,
        source: _Source,
        settings: ClientSettings,
        emit: Callable[[Event], None],
        wants: Callable[[Event], bool],
    ) -> None:
        outages = Outages(
            (source.endpoint,),
            random=CHANCE.random,
            base=settings.retries_wait,
            cap=settings.retries_max_wait,
            max_retries=settings.max_retries,
        )
        self.question = Question(
            request=source.request,
            world=World(
                outages=outages,
                credentials=Fixed(source.access),
                request_timeout=settings.request_timeout,
                total_timeout=settings.total_timeout,
                read=source.read,
                table=TOKENS,
            ),
            transport=source.transport,
            emit=emit,
            wants=wants,
            known=lambda now: None,
            settle=self._settle,
            is_token=True,
        )
        self._known: Access | None = None

    def at_hand(self, now: float, denied: Access | None) -> Access | None:
        known = self._known
        return None if known is None or known is denied or now >= known.expires_at else known

    def renews(self, now: float) -> bool:
        return self._known is not None and now >= self._known.renew_at

    def _settle(self, result: Answered | Failure, now: float) -> Access | Failure:
        if isinstance(result, Failure):
            return result
        token: _Token = result.value
        lifetime = _FOR_EVER if token.lifetime is None else token.lifetime
        self._known = replace(token.access, renew_at=now + RENEW_AT * lifetime, expires_at=now + lifetime)
        return self._known


def credentials(settings: ClientSettings, emit: Callable[[Event], None], wants: Callable[[Event], bool]) -> Credentials:
    """What the settings ask for.

    An OAuth token endpoint is reached through the proxy like the registry, and has TLS settings of its own. Azure's
    metadata service is on the machine itself, so it is asked without a proxy. Neither is sent ``http.headers`` or
    ``http.auth``, which are the registry's.
    """
    headers = _confluent_cloud(settings.bearer_cluster, settings.bearer_pool)
    if settings.bearer_source == "STATIC_TOKEN":
        return Fixed(bearer(settings.bearer_token or "", headers))
    if settings.bearer_source == "CUSTOM":
        return Tokens(_custom(settings, headers), settings, emit, wants)
    if settings.bearer_source is not None:
        return Tokens(_oauth(settings, headers), settings, emit, wants)
    if settings.basic_credentials is not None:
        return Fixed(basic(*settings.basic_credentials))
    return Fixed(Access())


def _oauth(settings: ClientSettings, headers: Mapping[str, str]) -> _Source:
    """The client credentials grant (RFC 6749, section 4.4), or Azure's metadata service.

    Id and secret go into HTTP basic as they are, as Confluent's and Kafka's own clients send them; section 2.3.1 would
    have them form-encoded first, which makes a difference for few characters and to few servers.
    """
    from .transport import Transport as HttpTransport  # imports requests: not with kafka_sr_retry, but with a client

    def expects(content: Any) -> _Token:
        token, lifetime = answers.access_token(content)
        return _Token(bearer(token, headers), lifetime)

    azure = settings.bearer_source == "OAUTHBEARER_AZURE_IMDS"
    endpoint = settings.bearer_issuer or AZURE_IMDS
    body = None
    if azure:
        access = Access({"Metadata": "true", "Accept": "application/json"})
        if settings.bearer_query:
            endpoint = urlsplit(endpoint)._replace(query=settings.bearer_query).geturl()
    else:
        secret = settings.bearer_client_secret or ""
        shown = basic(settings.bearer_client_id or "", secret)
        form = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        access = Access({**shown.headers, **form}, shown.secrets)
        fields = {"grant_type": "client_credentials", "scope": settings.bearer_scope}
        body = urlencode({name: value for name, value in fields.items() if value}).encode()
    name, mark, query = endpoint.partition("?")  # a query may hold a key
    return _Source(
        name,
        RegistryRequest("GET" if azure else "POST", mark + query, body, "get an access token", "token", expects),
        HttpTransport(
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
        return _Token(bearer(token, {**headers, **_confluent_cloud(cluster, pool)}), 0.0)

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
    """The transport to a function of the user's."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def begin(
        self,
        request: RegistryRequest[Any],
        endpoint: str,
        headers: Mapping[str, str],
        *,
        request_id: str,
        seconds: float,
    ) -> _Called:
        return _Called(self._function, endpoint, seconds)

    def forget_connections(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Called:
    """One call of it. It cannot be ended: a worker is left to one that hangs."""

    def __init__(self, function: Callable[[], Any], endpoint: str, seconds: float) -> None:
        self.began = 0.0
        self.seconds = seconds
        self._function = function
        self._endpoint = endpoint
        self._limit = time.monotonic() + seconds

    def run(self) -> Reply:
        try:
            return _Given(self._endpoint, value=self._function())
        except BaseException as error:  # noqa: BLE001 whatever it is, those who wait must hear of it
            # not its text, in which there may be a secret
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(last.filename)}, line {last.lineno}"
            return Reply(self._endpoint, Break.CREDENTIALS, f"{type(error).__name__} ({place})")

    def due(self, now: float) -> float:
        return self._limit

    def gave_up(self) -> Reply:
        return Reply(self._endpoint, Break.TIMEOUT, "nothing within request.timeout.ms")

    def end(self) -> None:
        pass


def _read_given(reply: Reply, request: RegistryRequest[Any], **_: Any) -> Outcome:
    if not isinstance(reply, _Given):
        return Outcome(broke=reply.broke, detail=reply.detail)
    try:
        return Outcome(status=200, detail="a token", value=request.expects(reply.value))
    except BadAnswer as bad:
        return Outcome(broke=Break.CREDENTIALS, detail=str(bad))
