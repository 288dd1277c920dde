"""One attempt: a fresh HTTP request built from a request's bytes, over requests, that ends when its time is over.

requests' timeouts count each ``recv`` and not the name look-up: a server that drips one byte at a time holds them for
ever, and so does a resolver that hangs. So an exchange runs on a daemon thread of its own; its starter leaves it at the
limit and shuts its socket down. The only module that imports requests.
"""

from __future__ import annotations

import contextvars
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import allowed_gai_family

from .config import ClientSettings
from .credentials import CredentialsError
from .policy import Break
from .request import JSON_TYPE, RegistryRequest, Reply
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


_exchange: contextvars.ContextVar[_Exchange] = contextvars.ContextVar("exchange")


class _Exchange:
    """What the starter of an exchange and its thread tell each other."""

    def __init__(self, connect_seconds: float) -> None:
        self.connect_seconds = connect_seconds
        self.phase = _Phase.BUILDING
        self.reused = False
        """whether the connection was kept alive, and not a byte of the answer has come"""
        self.marks: queue.SimpleQueue[_Phase | Reply] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._abandoned = False

    def mark(self, phase: _Phase, sock: socket.socket | None = None) -> None:
        if sock is not None:
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

    def connect(self: Any) -> None:
        super().connect()  # type: ignore[misc]
        _exchange.get().mark(_Phase.EXCHANGING)

    def putrequest(self: Any, *args: Any, **kwargs: Any) -> None:
        exchange = _exchange.get()
        if self.sock is not None and exchange.phase is _Phase.LOOK_UP:
            exchange.reused = True
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

    def __init__(self, context: ssl.SSLContext, pool_size: int) -> None:
        self._context = context
        super().__init__(pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        if manager.pool_classes_by_scheme.keys() == self._pools.keys():
            manager.pool_classes_by_scheme = self._pools
        return manager

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Would add the CA certificates that come with requests to the context."""


class Transport:
    """Sends requests to one endpoint at a time; connections are pooled.

    Args:
        settings: the client's.
        authorization: headers that name the caller; called for each request, inside the attempt's time.
    """

    def __init__(self, settings: ClientSettings, authorization: Callable[[], Mapping[str, str]]) -> None:
        self._settings = settings
        self._authorization = authorization
        self._under_way: set[_Exchange] = set()
        self._session = self._open()

    def attempt(self, request: RegistryRequest[Any], endpoint: str, *, request_id: str, seconds: float) -> Reply:
        """One attempt of at most ``seconds``, from the name look-up to the last byte, redirects included."""
        url = endpoint + request.path
        exchange = _Exchange(self._settings.connect_timeout)
        limit = deadline = time.monotonic() + seconds
        self._under_way.add(exchange)
        try:
            context = contextvars.Context()
            threading.Thread(
                target=context.run,
                args=(self._exchange, exchange, request, url, request_id, deadline),
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
            return Reply(url, broke, f"{broke.value} ({exchange.phase.value})")
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

    def _open(self, *, client_certificate: bool = True) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.cookies = RequestsCookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
        adapter = _Adapter(self._settings.tls.context(client_certificate), self._settings.max_in_flight)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session

    def _exchange(
        self, exchange: _Exchange, request: RegistryRequest[Any], url: str, request_id: str, deadline: float
    ) -> None:
        _exchange.set(exchange)
        try:
            reply = self._follow(exchange, request, url, request_id, deadline)
        except Exception as error:  # noqa: BLE001 whatever it is, the attempt has failed and its starter must hear of it
            broke, detail = _diagnose(error, exchange)
            reply = Reply(url, broke, detail)
        exchange.end(reply)

    def _follow(
        self, exchange: _Exchange, request: RegistryRequest[Any], url: str, request_id: str, deadline: float
    ) -> Reply:
        origin = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._send(exchange, request, url, request_id, deadline, at_home=_origin(url) == origin)
            if reply.status not in (301, 302, 307, 308) or "location" not in reply.headers:
                return reply
            target = urljoin(url, reply.headers["location"])
            if urlsplit(target).scheme not in ("http", "https") or (
                url.startswith("https:") > target.startswith("https:")
            ):
                return Reply(url, Break.BAD_REDIRECT, f"HTTP {reply.status} away from {urlsplit(url).scheme}")
            url = _without_credentials(target)
        return Reply(url, Break.BAD_REDIRECT, f"more than {MAX_REDIRECTS} redirects")

    def _send(
        self,
        exchange: _Exchange,
        request: RegistryRequest[Any],
        url: str,
        request_id: str,
        deadline: float,
        *,
        at_home: bool,
    ) -> Reply:
        settings = self._settings
        exchange.phase, exchange.reused = _Phase.BUILDING, False
        headers = {**_STANDARD_HEADERS, "X-Request-ID": request_id}
        if request.body is not None:
            headers["Content-Type"] = JSON_TYPE
        if at_home:
            headers |= settings.http_headers
            headers |= self._authorization()
        prepared = requests.Request(
            request.method, url, headers, data=request.body, auth=settings.http_auth if at_home else None
        ).prepare()
        exchange.phase = _Phase.LOOK_UP
        session = self._session if at_home else self._open(client_certificate=False)
        proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else get_environ_proxies(url)
        timeout = (settings.connect_timeout, max(0.001, deadline - time.monotonic()))
        with session.send(
            prepared,
            stream=True,
            timeout=timeout,
            verify=settings.tls.verify,
            proxies=proxies,
            allow_redirects=False,
        ) as response:
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


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the way requests and urllib3 wrap."""
    seen: list[BaseException | None] = [error]
    for link in seen:
        if link is not None:
            yield link
            within = [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
            seen += [e for e in within if isinstance(e, BaseException) and e not in seen]


def _diagnose(error: Exception, exchange: _Exchange) -> tuple[Break, str]:
    """What went wrong, told by how far the exchange had come and by the first cause."""
    causes = list(_causes(error))
    first = next((e for e in reversed(causes) if isinstance(e, OSError)), causes[-1])
    detail = f"{getattr(first, 'strerror', None) or first}"
    hard = [
        e for e in causes if isinstance(e, ssl.SSLError) and not isinstance(e, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    ]
    if any(isinstance(e, CredentialsError) for e in causes):
        return Break.CREDENTIALS, f"{Break.CREDENTIALS.value}: {error}"
    if exchange.phase is _Phase.BUILDING:
        return Break.UNSENDABLE, f"{Break.UNSENDABLE.value}: {type(error).__name__}"  # its text may show a header
    if any(isinstance(e, TimeoutError) for e in causes):
        broke = Break.CONNECT_TIMEOUT if exchange.phase is _Phase.CONNECTING else Break.TIMEOUT
        return broke, f"{broke.value} ({exchange.phase.value})"
    if hard:
        return Break.TLS, f"{Break.TLS.value}: {hard[-1]}"
    if exchange.phase is _Phase.LOOK_UP:
        return Break.NAME, f"{Break.NAME.value}: {detail}"
    if exchange.phase is _Phase.CONNECTING:
        return Break.REFUSED, f"{Break.REFUSED.value}: {detail}"
    return (Break.STALE if exchange.reused else Break.RESET), f"{Break.RESET.value}: {detail}"
