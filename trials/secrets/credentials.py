"""The kinds of credentials that a client can be given, each with a word in it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal
from urllib.parse import quote

import requests
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

Shown = Literal["registry", "tokens", "proxy", "nobody", "own"]
"""Which server is shown it; ``own``: it is a server's own."""

SHAPES: dict[str, Callable[[str], str]] = {
    "plain": lambda word: f"a{word}-b{word}",
    "special": lambda word: f"a{word}/h+\"b{word}&='<%~?c{word}",
    "latin": lambda word: f"a{word}éb{word}ü",
    "foreign": lambda word: f"a{word}é€b{word}漢",
    "blanks": lambda word: f"a{word} b{word}",
    "long": lambda word: "".join(f"{number}{word}" for number in range(1500)),
}
"""The word stands in it more than once: so it is found too where a piece of the credential is left."""

ASCII = ("plain", "special", "long")
HEADER = ("plain", "special", "latin", "blanks", "long")
ANY = ("plain", "special", "foreign", "blanks")


@dataclass(frozen=True)
class Way:
    """Where the servers are: ``host:port`` of the registry, and the token endpoint's URL."""

    registry: str
    tokens: str
    secure: bool = False

    def url(self, user_info: str = "") -> str:
        return f"http{'s' if self.secure else ''}://{user_info}{self.registry}"


@dataclass(frozen=True)
class Kind:
    """A kind of credential.

    Attributes:
        conf: (secret, way) -> the client's keys, without ``schema.registry.``; ``sasl.`` ones are the producer's.
        written: whether it can be given as a text: in a file, by the environment.
        environment: variables in which it stands instead.
        made: (word) -> (secret, marks), where the secret is no text of a user's choice.
        asks: whether a request is ever sent with it.
        gives_token: whether it is what the token's server gives.
        sent: whether it goes over the wire with the first request. What is never sent, the client cannot know.
        held_by: places that hold it because their use is to hold it.
    """

    name: str
    conf: Callable[[str, Way], dict[str, Any]]
    shapes: tuple[str, ...] = ("plain",)
    shown: Shown = "registry"
    written: bool = True
    environment: Callable[[str, Way], Mapping[str, str]] = field(default=lambda secret, way: {})
    made: Callable[[str], tuple[str, tuple[str, ...]]] | None = None
    asks: bool = True
    gives_token: bool = False
    sent: bool = True
    held_by: tuple[str, ...] = ()

    @property
    def asks_for_tokens(self) -> bool:
        return self.shown == "tokens" or self.gives_token

    def secret(self, word: str, shape: str) -> tuple[str, tuple[str, ...]]:
        """The credential, and what of it is searched for."""
        return self.made(word) if self.made else (SHAPES[shape](word), (word,))


class Signed(requests.auth.AuthBase):
    """Puts what it is given on the request: as headers, or as its URL's query."""

    def __init__(self, query: str = "", **headers: Any) -> None:
        self.query = query
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.query:
            mark = "&" if "?" in str(request.url) else "?"
            request.url = f"{request.url}{mark}sig={quote(self.query, safe='')}"
        request.headers.update(self.headers)
        return request


class Negotiated(requests.auth.AuthBase):
    """Shows its token once the server has asked for it, as Kerberos does."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", self._again)
        return request

    def _again(self, response: requests.Response, **options: Any) -> requests.Response:
        if "Authorization" in response.request.headers:
            return response
        response.content  # noqa: B018 reads it, as requests-kerberos does
        response.raw.release_conn()
        again = response.request.copy()
        again.headers["Authorization"] = f"Negotiate {self.token}"
        answer: requests.Response = response.connection.send(again, **options)  # type: ignore[attr-defined]
        answer.history.append(response)
        return answer


class Raising(requests.auth.AuthBase):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, request: Any) -> Any:
        raise self.error


class Trace:
    """A listener that puts a header on each request."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __call__(self, event: Any) -> None:
        if hasattr(event, "headers"):
            event.headers["X-Gateway-Token"] = self._secret


def _basic(secret: str, way: Way) -> dict[str, Any]:
    return {"url": way.url(), "basic.auth.user.info": f"me:{secret}"}


def _given(**conf: Any) -> Callable[[str, Way], dict[str, Any]]:
    """Keys beside the URL; callables are called with the secret."""
    named = {name.replace("_", "."): value for name, value in conf.items()}
    return lambda secret, way: {
        "url": way.url(),
        **{name: value(secret) if callable(value) else value for name, value in named.items()},
    }


def _headers(form: Callable[[str], dict[str, str]]) -> Callable[[str, Way], dict[str, Any]]:
    return _given(http_headers=form)


def _auth(form: Callable[[str], Any]) -> Callable[[str, Way], dict[str, Any]]:
    return _given(http_auth=form)


def _oauth(secret: str, way: Way) -> dict[str, Any]:
    return {
        "url": way.url(),
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": "our-client",
        "bearer.auth.client.secret": secret,
        "bearer.auth.scope": "schemas",
        "bearer.auth.issuer.endpoint.url": way.tokens,
    }


def _function(form: Callable[[str], Callable[[Any], Any]], **config: Any) -> Callable[[str, Way], dict[str, Any]]:
    return lambda secret, way: {
        "url": way.url(),
        "bearer.auth.credentials.source": "CUSTOM",
        "bearer.auth.custom.provider.function": form(secret),
        "bearer.auth.custom.provider.config": {"password": secret},
    }


def _raises(error: BaseException) -> Callable[[Any], Any]:
    def function(config: Any) -> Any:
        raise error

    return function


def _proxied(user_info: Callable[[str], str]) -> Callable[[str, Way], dict[str, Any]]:
    return lambda secret, way: {
        "url": f"http{'s' if way.secure else ''}://registry.invalid:8081",
        "proxy": f"http://{user_info(quote(secret, safe=''))}@{way.registry}",
    }


def _pair(secret: str) -> str:
    return base64.b64encode(f"me:{secret}".encode()).decode()


@cache
def _certificate() -> tuple[str, str]:
    """A certificate and its private key."""
    issued = trustme.CA().issue_cert("me@example.org")
    return issued.cert_chain_pems[0].bytes().decode(), issued.private_key_pem.bytes().decode()


def _key(_: str) -> tuple[str, tuple[str, ...]]:
    key = _certificate()[1]
    return key, tuple(line for line in key.splitlines() if "-" not in line and len(line) > 40)


def _locked(password: str) -> str:
    key = load_pem_private_key(_certificate()[1].encode(), None)
    form = BestAvailableEncryption(password.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, form).decode()


def _tls(secret: str, way: Way) -> dict[str, Any]:
    return {"url": way.url(), "ssl.certificate.pem": _certificate()[0], "ssl.key.pem": secret}


def _tls_with_password(secret: str, way: Way) -> dict[str, Any]:
    return {
        "url": way.url(),
        "ssl.certificate.pem": _certificate()[0],
        "ssl.key.pem": _locked(secret),
        "ssl.key.password": secret,
    }


KINDS = (
    Kind("user and password", _basic, ANY),
    Kind("a password in the URL", lambda s, way: {"url": way.url(f"me:{quote(s, safe='')}@")}, ANY),
    Kind(
        "SASL_INHERIT",
        lambda s, way: {
            "url": way.url(),
            "basic.auth.credentials.source": "SASL_INHERIT",
            "sasl.username": "me",
            "sasl.password": s,
        },
        ANY,
    ),
    Kind("a user without a password", lambda s, way: {"url": way.url(), "basic.auth.user.info": f"{s}:"}, ANY),
    Kind(
        "STATIC_TOKEN",
        lambda s, way: {
            "url": way.url(),
            "bearer.auth.credentials.source": "STATIC_TOKEN",
            "bearer.auth.token": s,
        },
        ASCII,
    ),
    Kind("OAuth's client secret", _oauth, ANY, shown="tokens"),
    Kind("the token that was given", lambda s, way: _oauth("else", way), ASCII, written=False, gives_token=True),
    Kind(
        "a key in the issuer's URL",
        lambda s, way: {
            **_oauth("else", way),
            "bearer.auth.issuer.endpoint.url": f"{way.tokens}?key={quote(s, safe='')}",
        },
        ANY,
        shown="tokens",
    ),
    Kind(
        "a key in Azure's query",
        lambda s, way: {
            "url": way.url(),
            "bearer.auth.credentials.source": "OAUTHBEARER_AZURE_IMDS",
            "bearer.auth.issuer.endpoint.url": way.tokens,
            "bearer.auth.issuer.endpoint.query": f"resource=x&key={quote(s, safe='')}",
        },
        ANY,
        shown="tokens",
    ),
    Kind("a function's token", _function(lambda s: lambda config: s), ASCII, written=False),
    Kind(
        "a function's token in a dict",
        _function(lambda s: lambda config: {"bearer.auth.token": s, "bearer.auth.logical.cluster": "lsrc-1"}),
        ASCII,
        written=False,
    ),
    Kind("a function's config", _function(lambda s: lambda config: "another-token"), written=False, sent=False),
    Kind("a function that raises", _function(lambda s: _raises(ValueError(s))), written=False, asks=False),
    Kind("a function that exits", _function(lambda s: _raises(SystemExit(s))), written=False, asks=False),
    Kind("a function of no use", _function(lambda s: lambda config: {"token": s}), written=False, asks=False),
    Kind(
        "a function's odd token",
        _function(lambda s: lambda config: {"bearer.auth.token": f"{s}\n", "bearer.auth.logical.cluster": f"{s}é"}),
        written=False,
        asks=False,
    ),
    Kind("a header", _headers(lambda s: {"X-Api-Key": s}), HEADER),
    Kind("a header with a scheme", _headers(lambda s: {"Authorization": f"ApiKey {s}"}), HEADER),
    Kind("basic by a header", _headers(lambda s: {"authorization": f"Basic {_pair(s)}"}), ANY),
    Kind("a cookie", _headers(lambda s: {"Cookie": f"lang=en; session={s}"}), ("plain", "special", "latin")),
    Kind("auth", _auth(lambda s: Signed(Authorization=f"Bearer {s}")), HEADER, written=False),
    Kind(
        "auth in bytes", _auth(lambda s: Signed(Authorization=f"Bearer {s}".encode("latin-1"))), HEADER, written=False
    ),
    Kind("auth's other header", _auth(lambda s: Signed(X_Amz_Security_Token=s)), HEADER, written=False),
    Kind(
        "requests' own auth", _auth(lambda s: requests.auth.HTTPBasicAuth("me", s)), ("plain", "latin"), written=False
    ),
    Kind("auth's query", _auth(lambda s: Signed(query=s)), ANY, written=False),
    Kind("auth that answers", _auth(Negotiated), ASCII, written=False, sent=False),
    Kind(
        "digest",
        _auth(lambda s: requests.auth.HTTPDigestAuth("me", s)),
        ("plain", "special"),
        written=False,
        sent=False,
    ),
    Kind("auth that raises", _auth(lambda s: Raising(ValueError(s))), written=False, asks=False),
    Kind("auth that exits", _auth(lambda s: Raising(SystemExit(s))), written=False, asks=False),
    Kind("auth of no use", _auth(lambda s: Signed(X_Secret=[s])), written=False, asks=False),
    Kind("auth's odd header", _auth(lambda s: Signed(Authorization=f"Bearer {s}\r\n x")), written=False, asks=False),
    Kind(
        "a listener's header",
        lambda s, way: {"url": way.url(), "event_cb": [Trace(s)]},
        HEADER,
        written=False,
        held_by=("events' pickles",),
    ),
    Kind("a proxy's password", _proxied(lambda quoted: f"me:{quoted}"), ANY, shown="proxy"),
    Kind("a proxy's user alone", _proxied(lambda quoted: quoted), ANY, shown="proxy"),
    Kind(
        "the environment's proxy",
        lambda s, way: {"url": f"http{'s' if way.secure else ''}://registry.invalid:8081"},
        ANY,
        shown="proxy",
        environment=lambda s, way: dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), f"http://me:{quote(s, safe='')}@{way.registry}"
        ),
    ),
    Kind("a server's own", lambda s, way: {"url": way.url()}, shown="own"),
    Kind("a private key", _tls, made=_key, shown="nobody"),
    Kind("a private key's password", _tls_with_password, ANY, shown="nobody"),
)
