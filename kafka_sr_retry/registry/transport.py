"""One attempt: a fresh HTTP request built from a request's bytes, over requests, that ends when its time is over.

requests' timeouts count each ``recv`` and not the name look-up: a server that drips one byte at a time holds them for
ever, and so does a resolver that hangs. So who waits for an exchange looks at it when it is ``due``, and at its limit
shuts its socket down and leaves it. requests is imported here and in the two modules beneath alone.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import RequestsCookieJar
from requests.hooks import dispatch_hook
from requests.utils import get_environ_proxies, requote_uri, select_proxy

from kafka_sr_retry.config import NO_SOCKS, ClientSettings, has_socks, is_header
from kafka_sr_retry.version import __version__

from .answers import told
from .connections import Adapter, is_link_local
from .exchange import Exchange, LinkLocalError
from .masking import of_headers, of_proxy, of_query
from .policy import Break
from .request import JSON_TYPE, RegistryRequest, Reply
from .tls import RotatingTls
from .wire import OWS, Response

LARGEST_ANSWER = 1024 * 1024
"""Bytes of an answer's body that are read at most, of what a serializer asks."""

LARGEST_LISTING = 16 * LARGEST_ANSWER
"""The same of what an administrator asks: all schemas, lists of subjects."""

MAX_REDIRECTS = 5

_STANDARD_HEADERS = {
    "Accept": f"{JSON_TYPE}, application/vnd.schemaregistry+json, application/json",
    "Confluent-Accept-Unknown-Properties": "true",
    "User-Agent": f"kafka-sr-retry/{__version__}",
}


class Transport:
    """Sends requests to one endpoint at a time; connections are pooled, and made anew once the TLS files change.

    Args:
        settings: the client's.
        tls: the contexts for new connections.
        direct: whether no proxy is used, whatever is configured.
    """

    def __init__(self, settings: ClientSettings, tls: RotatingTls, *, direct: bool = False) -> None:
        self._settings = settings
        self._tls = tls
        self._direct = direct
        self._environ_proxies: dict[tuple[str, str | None, int | None], dict[str, str]] = {}
        self._opening = threading.Lock()
        self._contexts = tls.current()
        self._adapter = self._open(self._contexts.home)

    def begin(
        self,
        request: RegistryRequest[Any],
        endpoint: str,
        headers: Mapping[str, str],
        *,
        request_id: str,
        seconds: float,
    ) -> Exchange:
        """One attempt of at most ``seconds``, from the name look-up to the last byte, redirects included.

        Args:
            headers: that name the caller; not sent to another origin.
        """
        given = {"X-Request-ID": request_id}, {**self._settings.http_headers, **headers}
        url = endpoint + request.path
        return Exchange(self._follow, request, url, given, seconds, self._settings.connect_timeout)

    def close(self) -> None:
        """Closes the connections that wait for the next request."""
        self._adapter.close()

    def forget_connections(self) -> None:
        """Closes pooled connections, so that the next attempt opens a fresh one."""
        self._adapter.close()

    def _open(self, context: ssl.SSLContext) -> Adapter:
        return Adapter(context, self._contexts.away, self._settings.max_in_flight)

    def _current(self, *, secure: bool) -> Adapter:
        """The adapter whose connections were made with the TLS files as they are now, where that matters."""
        if not secure:
            return self._adapter
        with self._opening:
            contexts = self._tls.current()
            if contexts is not self._contexts:
                self._contexts = contexts
                before, self._adapter = self._adapter, self._open(contexts.home)
                before.close()
            return self._adapter

    def _proxies(self, url: str) -> dict[str, str]:
        if self._direct:
            return {}
        proxy = self._settings.proxy
        if proxy is not None:
            return {"http": proxy, "https": proxy} if proxy else {}
        origin = _origin(url)
        if origin not in self._environ_proxies:  # looking through the environment costs a quarter of an attempt
            self._environ_proxies[origin] = get_environ_proxies(url)
        return self._environ_proxies[origin]

    def _follow(self, exchange: Exchange) -> Reply:
        """The exchange's answer, redirects followed."""
        url = exchange.url
        if exchange.request.operation == "token":
            exchange.secrets |= of_query(url)
        origin, shown = _origin(url), url
        for _ in range(MAX_REDIRECTS + 1):
            away = _origin(url) != origin
            reply = self._send(exchange, url, shown, away=away)
            if reply.status not in (301, 302, 307, 308) or "location" not in reply.headers:
                return reply
            reply.done(False)
            exchange.redirected = True
            target = urljoin(url, reply.headers["location"])
            if urlsplit(target).scheme not in ("http", "https") or (
                url.startswith("https:") > target.startswith("https:")
            ):
                return Reply(shown, Break.BAD_REDIRECT, f"HTTP {reply.status} away from {urlsplit(url).scheme}")
            url = _without_credentials(target)
            shown = told(requote_uri(url.partition("?")[0]), tuple(exchange.secrets), 1000)
            if _origin(url) != origin and is_link_local(urlsplit(url).hostname or ""):
                raise LinkLocalError
        return Reply(shown, Break.BAD_REDIRECT, f"more than {MAX_REDIRECTS} redirects")

    def _send(self, exchange: Exchange, url: str, shown: str, *, away: bool) -> Reply:
        settings, request = self._settings, exchange.request
        exchange.begin(away=away, proxy="")
        anywhere, here = exchange.headers
        headers = {**_STANDARD_HEADERS, **anywhere}
        if request.body is not None:
            headers["Content-Type"] = JSON_TYPE
        if not away:
            headers |= here
            exchange.secrets |= of_headers(here.items())
        prepared = _prepared(request, url, headers)
        if not away and settings.http_auth:
            before, bare = dict(prepared.headers), prepared.url
            prepared.prepare_auth(settings.http_auth)
            exchange.secrets |= _put(before, prepared.headers)
            if prepared.url and prepared.url != bare:
                exchange.secrets |= of_query(prepared.url)
        for name, value in prepared.headers.lower_items():
            if not is_header(_text(name), _text(value)):
                raise requests.exceptions.InvalidHeader
        proxies = self._proxies(url)
        proxy = select_proxy(url, proxies) if proxies else None
        exchange.proxy = _shown_proxy(proxy)
        if proxy is not None:
            exchange.secrets |= of_proxy(proxy)
            if proxy.lower().startswith("socks") and not has_socks():
                return Reply(shown, Break.UNSENDABLE, f"proxy {exchange.proxy}: {NO_SOCKS}")
        with ExitStack() as stack:
            adapter = (
                stack.enter_context(closing(self._open(self._contexts.away)))
                if away
                else self._current(secure=url.startswith("https:") or bool(proxy and proxy.startswith("https:")))
            )
            options: dict[str, Any] = {
                "stream": True,
                "timeout": (settings.connect_timeout, exchange.left()),
                "verify": self._tls.verify,
                "proxies": proxies,
            }
            response = adapter.send(prepared, **options)
            stack.callback(response.raw.close)
            response = dispatch_hook("response", prepared.hooks, response, **options)  # type: ignore[no-untyped-call]
            stack.callback(response.raw.close)  # of another one, where http.auth has asked again
            exchange.secrets |= _put(prepared.headers, response.request.headers)
            answer = exchange.answer
            assert answer is not None
            if vars(response)["_content_consumed"]:  # by a hook of http.auth
                body = response.content
            else:
                body = answer.whole(LARGEST_LISTING if request.operation == "other" else LARGEST_ANSWER)
            if not away:
                stack.pop_all()
            return Reply(
                shown,
                status=response.status_code,
                headers={name: value.strip(OWS) for name, value in response.headers.lower_items()},
                body=body,
                away=away,
                proxy=exchange.proxy if url.startswith("http:") else "",
                done=partial(_settle, response.raw, answer),
            )


def _prepared(request: RegistryRequest[Any], url: str, headers: Mapping[str, str]) -> requests.PreparedRequest:
    """A new one, without what ``prepare`` does for cookies."""
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    prepared.prepare_url(url, None)
    prepared.prepare_headers(headers)
    vars(prepared)["_cookies"] = RequestsCookieJar()  # digest authentication puts some there
    prepared.prepare_body(request.body, None)
    return prepared


def _settle(raw: Any, answer: Response, good: bool) -> None:
    """Puts an answer's connection back for the next request, or ends it."""
    if good and answer.reusable:
        raw.release_conn()
    else:
        raw.close()


def _put(before: Mapping[str, Any], headers: Mapping[str, Any]) -> frozenset[str]:
    """The credentials in what ``http.auth`` has put on a request."""
    return of_headers((name, _text(value)) for name, value in headers.items() if before.get(name) != value)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    return _origin_of("/".join(url.split("/", 3)[:3]))


@lru_cache
def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _shown_proxy(proxy: str | None) -> str:
    return "" if proxy is None else proxy.rpartition("@")[2].rpartition("//")[2]
