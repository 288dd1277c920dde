"""One attempt: a fresh HTTP request built from a request's bytes, over requests, that ends when its time is over.

requests' timeouts count each ``recv`` and not the name look-up: a server that drips one byte at a time holds them for
ever, and so does a resolver that hangs. So an exchange runs on a daemon thread of its own; its starter leaves it at the
limit and shuts its socket down. The only module that imports requests.
"""

from __future__ import annotations

import contextvars
import http.client
import queue
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from enum import Enum
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.utils import get_environ_proxies, requote_uri, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ClosedPoolError
from urllib3.util.connection import allowed_gai_family

from .config import ClientSettings
from .policy import Break
from .request import JSON_TYPE, RegistryRequest, Reply
from .tls import RotatingTls
from .version import __version__

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer's body that are read at most."""

MAX_REDIRECTS = 5

_STANDARD_HEADERS = {
    "Accept": f"{JSON_TYPE}, application/vnd.schemaregistry+json, application/json",
    "Confluent-Accept-Unknown-Properties": "true",
    "User-Agent": f"kafka-sr-retry/{__version__}",
}


class _Phase(Enum):
    BUILDING = "building the request"
    LOOK_UP = "name look-up"
    CONNECTING = "connecting"
    EXCHANGING = "waiting for the answer"


_Headers = tuple[Mapping[str, str], Mapping[str, str]]
"""Headers that every server gets, and those for the configured origin alone."""

_exchange: contextvars.ContextVar[_Exchange] = contextvars.ContextVar("exchange")


class _Exchange:
    """What the starter of an exchange and its thread tell each other."""

    def __init__(self, connect_seconds: float, deadline: float) -> None:
        self.connect_seconds = connect_seconds
        self._deadline = deadline
        self.phase = _Phase.BUILDING
        self.proxy = ""
        self.reused = False
        """whether the connection was kept alive, and not a byte of the answer has come"""
        self.marks: queue.SimpleQueue[_Phase | Reply] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._abandoned = False

    @property
    def where(self) -> str:
        """How far it is, and by which proxy."""
        return self.phase.value + (f", proxy {self.proxy}" if self.proxy else "")

    def mark(self, phase: _Phase, sock: socket.socket | None = None) -> None:
        if sock is not None:
            sock = getattr(sock, "socket", sock)  # of TLS within a proxy's TLS
            # a duplicate: the original is replaced when TLS wraps it, and may be closed and its number given away
            self._watch(socket.fromfd(sock.fileno(), sock.family, sock.type))
        if phase is not self.phase:
            self.phase = phase
            self.marks.put(phase)

    def _watch(self, sock: socket.socket | None) -> None:
        with self._lock:
            if self._watched is not None:
                self._watched.close()
            self._watched = sock
            if self._abandoned:
                self._shut_down()

    def left(self) -> float:
        """Seconds until the attempt's end."""
        return max(0.001, self._deadline - time.monotonic())

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._watched is not None:
            with suppress(OSError):
                self._watched.shutdown(socket.SHUT_RDWR)

    def end(self, reply: Reply) -> None:
        self._watch(None)
        self.marks.put(reply)


class _FinalResponse(http.client.HTTPResponse):
    """Reads on over interim answers (1xx, RFC 9110 section 15.2). http.client skips 100 alone and takes another for the
    whole answer; the real one would then answer the connection's next request."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == http.client.SWITCHING_PROTOCOLS:
                raise http.client.BadStatusLine("101, to a request for no other protocol")
            if status == http.client.CONTINUE or not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Noted:
    """An urllib3 connection that tells its exchange how far it is, and shares its time out among a name's addresses."""

    def _new_conn(self: Any) -> socket.socket:
        exchange = _exchange.get()
        exchange.mark(_Phase.LOOK_UP)
        host = self._dns_host.strip("[]")
        addresses = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        exchange.mark(_Phase.CONNECTING)
        until = time.monotonic() + exchange.connect_seconds
        error: OSError = OSError(f"{host} has no address")
        for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            sock = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(max(0.001, (until - time.monotonic()) / left))
                sock.connect(address)
                sock.settimeout(exchange.connect_seconds)
                exchange.mark(_Phase.CONNECTING, sock)
                return sock
            except OSError as refused:
                sock.close()
                error = refused
        raise error

    response_class: Any = _FinalResponse

    def connect(self: Any) -> None:
        super().connect()  # type: ignore[misc]
        exchange = _exchange.get()
        self.sock.settimeout(exchange.left())  # for sending; it was the time to connect
        exchange.mark(_Phase.EXCHANGING)

    @property
    def is_connected(self: Any) -> bool:
        """A kept-alive connection on which bytes wait that nobody asked for is none: they would be the next answer."""
        waiting = getattr(self.sock, "pending", int)()
        return not waiting and super().is_connected  # type: ignore[misc]

    def putrequest(self: Any, *args: Any, **kwargs: Any) -> None:
        exchange = _exchange.get()
        if self.sock is not None and exchange.phase is _Phase.LOOK_UP:
            exchange.reused = True
            self.sock.settimeout(exchange.left())
            exchange.mark(_Phase.EXCHANGING, self.sock)
        super().putrequest(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().getresponse(*args, **kwargs)  # type: ignore[misc]
        _exchange.get().reused = False
        return response


class _NotedHTTPConnection(_Noted, HTTPConnection):
    pass


class _NotedHTTPSConnection(_Noted, HTTPSConnection):
    pass


class _NotedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _NotedHTTPConnection


class _NotedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _NotedHTTPSConnection


class _Adapter(HTTPAdapter):
    """requests' adapter over noted connections, which trust whom the given context trusts and nobody else."""

    _pools = {"http": _NotedHTTPPool, "https": _NotedHTTPSPool}  # noqa: RUF012

    def __init__(self, context: ssl.SSLContext, to_proxy: ssl.SSLContext, pool_size: int) -> None:
        self._context = context
        self._to_proxy = to_proxy
        super().__init__(pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        if not proxy.lower().startswith("socks"):
            kwargs["proxy_ssl_context"] = self._to_proxy
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        if manager.pool_classes_by_scheme.keys() == self._pools.keys():
            manager.pool_classes_by_scheme = self._pools
        return manager

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Would add the CA certificates that come with requests to the context."""


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
        self._under_way: set[_Exchange] = set()
        self._environ_proxies: dict[tuple[str, str | None, int | None], dict[str, str]] = {}
        self._opening = threading.Lock()
        self._contexts = tls.current()
        self._session = self._open(self._contexts.home)

    def attempt(
        self,
        request: RegistryRequest[Any],
        endpoint: str,
        *,
        request_id: str,
        seconds: float,
        headers: Mapping[str, str],
    ) -> Reply:
        """One attempt of at most ``seconds``, from the name look-up to the last byte, redirects included.

        Args:
            headers: that name the caller; not sent to another origin.
        """
        url = endpoint + request.path
        given = {"X-Request-ID": request_id}, {**self._settings.http_headers, **headers}
        limit = deadline = time.monotonic() + seconds
        exchange = _Exchange(self._settings.connect_timeout, deadline)
        if sys.is_finalizing():
            return Reply(url, Break.RESET, "the interpreter is shutting down")
        self._under_way.add(exchange)
        try:
            threading.Thread(
                target=contextvars.copy_context().run,
                args=(self._exchange, exchange, request, url, given, deadline),
                name="kafka-sr-retry-attempt",
                daemon=True,
            ).start()
            while True:
                mark = exchange.marks.get(timeout=max(0.0, limit - time.monotonic()))
                if isinstance(mark, Reply):
                    return mark
                limit = deadline
                if mark is _Phase.CONNECTING:
                    limit = min(limit, time.monotonic() + exchange.connect_seconds)
        except queue.Empty:
            slow_connect = exchange.phase is _Phase.CONNECTING and limit < deadline
            broke = Break.CONNECT_TIMEOUT if slow_connect else Break.TIMEOUT
            return Reply(url, broke, f"{broke.value} ({exchange.where})")
        except RuntimeError as error:
            return Reply(url, Break.RESET, f"no thread for the attempt: {error}")
        finally:
            exchange.abandon()
            self._under_way.discard(exchange)

    def close(self) -> None:
        """Ends the exchanges under way and closes the connections."""
        for exchange in tuple(self._under_way):
            exchange.abandon()
            exchange.end(Reply("", Break.RESET, "the client was closed"))
        self._session.close()

    def forget_connections(self) -> None:
        """Closes pooled connections, so that the next attempt opens a fresh one."""
        self._session.close()

    def _open(self, context: ssl.SSLContext) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.cookies = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter(context, self._contexts.away, self._settings.max_in_flight)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def _current(self) -> requests.Session:
        """The session whose connections were made with the files as they are now."""
        with self._opening:
            contexts = self._tls.current()
            if contexts is not self._contexts:
                self._contexts = contexts
                before, self._session = self._session, self._open(contexts.home)
                before.close()
            return self._session

    def _proxies(self, url: str) -> dict[str, str]:
        if self._direct:
            return {}
        proxy = self._settings.proxy
        if proxy:
            return {"http": proxy, "https": proxy}
        origin = _origin(url)
        if origin not in self._environ_proxies:  # looking through the environment costs a quarter of an attempt
            self._environ_proxies[origin] = get_environ_proxies(url)
        return self._environ_proxies[origin]

    def _exchange(
        self, exchange: _Exchange, request: RegistryRequest[Any], url: str, headers: _Headers, deadline: float
    ) -> None:
        _exchange.set(exchange)
        try:
            reply = self._follow(exchange, request, url, headers, deadline)
        except Exception as error:  # noqa: BLE001 whatever it is, the attempt has failed and its starter must hear of it
            reply = _diagnose(error, exchange, url)
        exchange.end(reply)

    def _follow(
        self, exchange: _Exchange, request: RegistryRequest[Any], url: str, headers: _Headers, deadline: float
    ) -> Reply:
        origin, shown = _origin(url), url
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._send(exchange, request, url, headers, deadline, at_home=_origin(url) == origin)
            reply = replace(reply, url=shown)
            if reply.status not in (301, 302, 307, 308) or "location" not in reply.headers:
                return reply
            target = urljoin(url, reply.headers["location"])
            if urlsplit(target).scheme not in ("http", "https") or (
                url.startswith("https:") > target.startswith("https:")
            ):
                return Reply(shown, Break.BAD_REDIRECT, f"HTTP {reply.status} away from {urlsplit(url).scheme}")
            url = _without_credentials(target)
            shown = requote_uri(url.partition("?")[0])
        return Reply(shown, Break.BAD_REDIRECT, f"more than {MAX_REDIRECTS} redirects")

    def _send(
        self,
        exchange: _Exchange,
        request: RegistryRequest[Any],
        url: str,
        given: _Headers,
        deadline: float,
        *,
        at_home: bool,
    ) -> Reply:
        settings = self._settings
        exchange.phase, exchange.reused = _Phase.BUILDING, False
        anywhere, here = given
        headers = {**_STANDARD_HEADERS, **anywhere}
        if request.body is not None:
            headers["Content-Type"] = JSON_TYPE
        if at_home:
            headers |= here
        prepared = requests.Request(
            request.method, url, headers, data=request.body, auth=settings.http_auth if at_home else None
        ).prepare()
        proxies = self._proxies(url)
        exchange.proxy = _shown_proxy(select_proxy(url, proxies))
        with ExitStack() as stack:
            session = self._current() if at_home else stack.enter_context(self._open(self._contexts.away))
            exchange.phase = _Phase.LOOK_UP
            response = stack.enter_context(
                session.send(
                    prepared,
                    stream=True,
                    timeout=(settings.connect_timeout, max(0.001, deadline - time.monotonic())),
                    verify=settings.tls.verify,
                    proxies=proxies,
                    allow_redirects=False,
                )
            )
            body = response.raw.read(MAX_ANSWER + 1, decode_content=True)
            if len(body) > MAX_ANSWER:
                return Reply(url, Break.BAD_ANSWER, f"an answer of more than {MAX_ANSWER} bytes")
            return Reply(
                url,
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=body,
            )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _shown_proxy(proxy: str | None) -> str:
    return "" if proxy is None else proxy.rpartition("@")[2].rpartition("//")[2]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the way requests and urllib3 wrap."""
    seen: list[BaseException | None] = [error]
    for link in seen:
        if link is not None:
            yield link
            within = [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
            seen += [e for e in within if isinstance(e, BaseException) and e not in seen]


def _diagnose(error: Exception, exchange: _Exchange, url: str) -> Reply:
    """What went wrong, told by how far the exchange had come and by the first cause."""
    causes = list(_causes(error))
    if any(str(e).startswith("Tunnel connection failed: 407") for e in causes):
        return Reply(url, status=407, body=f"from the proxy {exchange.proxy}".encode())
    broke, detail = _broke(error, causes, exchange)
    return Reply(url, broke, detail)


def _broke(error: Exception, causes: list[BaseException], exchange: _Exchange) -> tuple[Break, str]:
    first = next((e for e in reversed(causes) if isinstance(e, OSError)), causes[-1])
    detail = f"{getattr(first, 'strerror', None) or first}" + (f", proxy {exchange.proxy}" if exchange.proxy else "")
    hard = [
        e for e in causes if isinstance(e, ssl.SSLError) and not isinstance(e, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    ]
    if exchange.phase is _Phase.BUILDING:
        return Break.UNSENDABLE, f"{Break.UNSENDABLE.value}: {type(error).__name__}"  # its text may show a header
    if any(isinstance(e, ClosedPoolError) for e in causes):
        return Break.STALE, Break.STALE.value
    if any(isinstance(e, TimeoutError) for e in causes):
        broke = Break.CONNECT_TIMEOUT if exchange.phase is _Phase.CONNECTING else Break.TIMEOUT
        return broke, f"{broke.value} ({exchange.where})"
    if hard:
        return Break.TLS, f"{Break.TLS.value}: {hard[-1]}"
    if exchange.phase is _Phase.LOOK_UP:
        return Break.NAME, f"{Break.NAME.value}: {detail}"
    if exchange.phase is _Phase.CONNECTING:
        return Break.REFUSED, f"{Break.REFUSED.value}: {detail}"
    return (Break.STALE if exchange.reused else Break.RESET), f"{Break.RESET.value}: {detail}"
