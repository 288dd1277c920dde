"""One attempt: a fresh HTTP request built from a request's bytes, over requests, that ends when its time is over.

requests' timeouts count each ``recv`` and not the name look-up: a server that drips one byte at a time holds them for
ever, and so does a resolver that hangs. So who waits for an exchange looks at it when it is ``due``, and at its limit
shuts its socket down and leaves it. The only module that imports requests.
"""

from __future__ import annotations

import contextvars
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from enum import Enum
from functools import cache, lru_cache, partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.hooks import dispatch_hook
from requests.utils import get_environ_proxies, requote_uri, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ClosedPoolError, HTTPError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_read

from kafka_sr_retry.config import NO_SOCKS, ClientSettings, has_socks, is_header
from kafka_sr_retry.version import __version__

from .answers import told
from .masking import of_headers, of_proxy
from .policy import Break
from .request import JSON_TYPE, RegistryRequest, Reply
from .tls import RotatingTls
from .wire import Malformed, Response

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


class _Phase(Enum):
    BUILDING = "building the request"
    LOOK_UP = "name look-up"
    CONNECTING = "connecting"
    EXCHANGING = "waiting for the answer"


_Headers = tuple[Mapping[str, str], Mapping[str, str]]
"""Headers that every server gets, and those for the configured origin alone."""

_exchange: contextvars.ContextVar[_Exchange] = contextvars.ContextVar("exchange")


class _Exchange:
    """One attempt, redirects included; made on one thread, and ended from another where its time is over.

    Attributes:
        began: in the clock's seconds.
        seconds: its limit.
    """

    def __init__(
        self,
        transport: Transport,
        request: RegistryRequest[Any],
        url: str,
        headers: _Headers,
        seconds: float,
        connect_seconds: float,
    ) -> None:
        self.began = 0.0
        self.seconds = seconds
        self.connect_seconds = connect_seconds
        self.secrets: frozenset[str] = frozenset()
        self.request, self.url, self.headers = request, url, headers
        self.redirected = False
        self.begin(away=False, proxy="")
        self._transport = transport
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._ended = False

    def begin(self, *, away: bool, proxy: str) -> None:
        """One request of the exchange: the first, or one after a redirect, to another origin if ``away``."""
        self.phase = _Phase.BUILDING
        self.connecting_until = 0.0
        self.away = away
        self.proxy = proxy
        self.reused = False
        """whether the connection had been kept alive"""
        self.tls_version = ""
        self.answer: Response | None = None
        """the one that has begun to come"""

    def run(self) -> Reply:
        _exchange.set(self)
        try:
            reply = self._transport.follow(self)
        except Exception as error:  # noqa: BLE001 whatever it is, the attempt has failed and who waits must hear of it
            reply = _diagnose(error, self, self.url)
        finally:
            self._watch(None)
        return replace(reply, secrets=tuple(self.secrets))

    def due(self, now: float) -> float:
        if self.phase is _Phase.EXCHANGING:
            return self._deadline
        return min(self._deadline, self.connecting_until or now + self.connect_seconds)

    def gave_up(self) -> Reply:
        slow_connect = self.phase is _Phase.CONNECTING and time.monotonic() < self._deadline
        broke = Break.CONNECT_TIMEOUT if slow_connect else Break.TIMEOUT
        return Reply(self.url, broke, f"{broke.value} ({self.where})")

    def end(self) -> None:
        with self._lock:
            self._ended = True
            self._shut_down()

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
            self.connecting_until = time.monotonic() + self.connect_seconds if phase is _Phase.CONNECTING else 0.0

    def left(self) -> float:
        """Seconds until the attempt's end."""
        return max(0.001, self._deadline - time.monotonic())

    def _watch(self, sock: socket.socket | None) -> None:
        with self._lock:
            if self._watched is not None:
                self._watched.close()
            self._watched = sock
            if self._ended:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._watched is not None:
            with suppress(OSError):
                self._watched.shutdown(socket.SHUT_RDWR)


class _Path(str):
    """A request's target, which urllib3 logs without its query, and without what a redirect repeats of the request."""

    shown = ""

    def __str__(self) -> str:
        return self.shown


class _Dialled:
    """An urllib3 connection that tells its exchange how far it is, and shares its time out among a name's addresses."""

    def _new_conn(self: Any) -> socket.socket:
        exchange = _exchange.get()
        exchange.mark(_Phase.LOOK_UP)
        host = self._dns_host.strip("[]")
        addresses = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        exchange.mark(_Phase.CONNECTING)
        if exchange.away and not exchange.proxy:
            addresses = [found for found in addresses if not _is_link_local(str(found[-1][0]))]
            if not addresses:
                raise _LinkLocalError
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


class _Tunnelled:
    """The same by way of a SOCKS proxy, which PySocks dials."""

    def _new_conn(self) -> socket.socket:
        exchange = _exchange.get()
        exchange.mark(_Phase.CONNECTING)
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        exchange.mark(_Phase.CONNECTING, sock)
        return sock


class _Noted:
    """An urllib3 connection that tells its exchange what happens on it."""

    def _respond(self, *args: Any, **kwargs: Any) -> Response:
        answer = _exchange.get().answer = Response(*args, **kwargs)
        return answer

    response_class: Any = _respond

    def connect(self: Any) -> None:
        exchange = _exchange.get()
        try:
            super().connect()  # type: ignore[misc]
        finally:
            if exchange.answer is not None:  # a proxy's, to CONNECT; Python 3.10 would leave its socket open
                exchange.answer.close()
                exchange.answer = None
        exchange.tls_version = getattr(self.sock, "version", str)()
        self.sock.settimeout(exchange.left())  # for sending; it was the time to connect
        exchange.mark(_Phase.EXCHANGING)
        if not exchange.tls_version and wait_for_read(self.sock, 0) and self.sock.recv(1, socket.MSG_PEEK):
            raise Malformed("an answer before anything was asked")

    def send(self: Any, data: Any) -> None:
        """Lets urllib3 read on where sending breaks off: an alert or an answer may be there that says why."""
        if self.sock is None:
            self.connect()
        try:
            super().send(data)  # type: ignore[misc]
        except (ssl.SSLEOFError, ConnectionError) as broken:
            raise BrokenPipeError(broken.errno, str(broken)) from broken

    @property
    def is_connected(self: Any) -> bool:
        """A kept-alive connection on which bytes wait that nobody asked for is none: they would be the next answer."""
        waiting = getattr(self.sock, "pending", int)()
        return not waiting and super().is_connected  # type: ignore[misc]

    def putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        exchange = _exchange.get()
        again = exchange.answer is not None  # http.auth asks once more, on whichever connection is at hand
        if self.sock is not None and (exchange.phase is _Phase.BUILDING or again):
            exchange.reused, exchange.answer = True, None
            self.sock.settimeout(exchange.left())
            exchange.mark(_Phase.EXCHANGING, self.sock)
        super().putrequest(method, str.__str__(url), *args, **kwargs)  # type: ignore[misc]


class _HTTPConnection(_Dialled, _Noted, HTTPConnection):
    pass


class _HTTPSConnection(_Dialled, _Noted, HTTPSConnection):
    pass


class _Quiet:
    """An urllib3 pool that logs no query, and warns of no server that may be anyone."""

    def _ask(self, conn: Any, method: str, url: str, **kwargs: Any) -> Any:
        path = _Path(url)
        path.shown = told(url.partition("?")[0], tuple(_exchange.get().secrets), 1000)
        return super()._make_request(conn, method, path, **kwargs)  # type: ignore[misc]

    _make_request: Any = _ask

    def _validate_conn(self, conn: Any) -> None:
        if conn.is_closed and isinstance(conn, HTTPSConnection):
            conn.connect()


class _HTTPPool(_Quiet, HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(_Quiet, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


@cache
def _socks_pools() -> dict[str, type[HTTPConnectionPool]]:
    from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection  # needs PySocks

    class Plain(_Tunnelled, _Noted, SOCKSConnection):
        pass

    class Secure(_Tunnelled, _Noted, SOCKSHTTPSConnection):
        pass

    class PlainPool(_Quiet, HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(_Quiet, HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _Adapter(HTTPAdapter):
    """requests' adapter over noted connections, which trust whom the given context trusts and nobody else."""

    _pools = {"http": _HTTPPool, "https": _HTTPSPool}  # noqa: RUF012

    def __init__(self, context: ssl.SSLContext, to_proxy: ssl.SSLContext, pool_size: int) -> None:
        self._context = context
        self._to_proxy = to_proxy
        super().__init__(pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        socks = proxy.lower().startswith("socks")
        if not socks:
            kwargs["proxy_ssl_context"] = self._to_proxy
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = _socks_pools() if socks else self._pools
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
    ) -> _Exchange:
        """One attempt of at most ``seconds``, from the name look-up to the last byte, redirects included.

        Args:
            headers: that name the caller; not sent to another origin.
        """
        given = {"X-Request-ID": request_id}, {**self._settings.http_headers, **headers}
        url = endpoint + request.path
        return _Exchange(self, request, url, given, seconds, self._settings.connect_timeout)

    def close(self) -> None:
        """Closes the connections that wait for the next request."""
        self._adapter.close()

    def forget_connections(self) -> None:
        """Closes pooled connections, so that the next attempt opens a fresh one."""
        self._adapter.close()

    def _open(self, context: ssl.SSLContext) -> _Adapter:
        return _Adapter(context, self._contexts.away, self._settings.max_in_flight)

    def _current(self, *, secure: bool) -> _Adapter:
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

    def follow(self, exchange: _Exchange) -> Reply:
        """The exchange's answer, redirects followed."""
        url = exchange.url
        origin, shown = _origin(url), url
        for _ in range(MAX_REDIRECTS + 1):
            away = _origin(url) != origin
            reply = self._send(exchange, url, away=away)
            reply = replace(reply, url=shown)
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
            if _origin(url) != origin and _is_link_local(urlsplit(url).hostname or ""):
                raise _LinkLocalError
        return Reply(shown, Break.BAD_REDIRECT, f"more than {MAX_REDIRECTS} redirects")

    def _send(self, exchange: _Exchange, url: str, *, away: bool) -> Reply:
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
            put = [(name, _text(value)) for name, value in prepared.headers.items() if before.get(name) != value]
            if prepared.url and prepared.url != bare:
                put.append(("signature", urlsplit(prepared.url).query))
            exchange.secrets |= of_headers(put)
        for name, value in prepared.headers.items():
            if not is_header(_text(name), _text(value)):
                raise requests.exceptions.InvalidHeader
        proxies = self._proxies(url)
        proxy = select_proxy(url, proxies)
        exchange.proxy = _shown_proxy(proxy)
        if proxy is not None:
            exchange.secrets |= of_proxy(proxy)
            if proxy.lower().startswith("socks") and not has_socks():
                return Reply(url, Break.UNSENDABLE, f"proxy {exchange.proxy}: {NO_SOCKS}")
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
            answer = exchange.answer
            assert answer is not None
            if vars(response)["_content_consumed"]:  # by a hook of http.auth
                body = response.content
            else:
                body = answer.whole(LARGEST_LISTING if request.operation == "other" else LARGEST_ANSWER)
            if not away:
                stack.pop_all()
            return Reply(
                url,
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
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


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


class _LinkLocalError(OSError):
    """A redirect to where only this machine's own services are, such as a cloud's metadata."""


def _is_link_local(host: str) -> bool:
    """Of an address in any of its forms; a name is none."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 0xA9FEA9FE, 2852039166, 169.254.43518
        except (OSError, ValueError):
            return False
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if within is None and address in _NAT64:
            within = ipaddress.IPv4Address(address.packed[-4:])
        return address.is_link_local or address in _METADATA or (within is not None and within.is_link_local)
    return address.is_link_local


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_METADATA = {ipaddress.ip_address("fd00:ec2::254")}
"""Of Amazon, beside the link-local one."""


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
    refused = next(filter(None, (_TUNNEL.match(str(e)) for e in causes if isinstance(e, OSError))), None)
    if refused:
        status = int(refused[1])
        if status == 407:
            return Reply(url, status=407, proxy=exchange.proxy)
        broke = Break.PROXY if 400 <= status < 500 and status not in (408, 425, 429) else Break.REFUSED
        host = urlsplit(url).hostname
        return Reply(url, broke, f"the proxy {exchange.proxy} answered {refused[1]} to CONNECT {host}: {refused[2]}")
    broke, detail = _broke(error, causes, exchange)
    return Reply(url, broke, detail)


_TUNNEL = re.compile(r"Tunnel connection failed: (\d+)(.*)", re.DOTALL)

_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")
"""What a server's alert says when it lacks the client's certificate, or does not take it."""


def _broke(error: Exception, causes: list[BaseException], exchange: _Exchange) -> tuple[Break, str]:
    detail = _words(causes) + (f", proxy {exchange.proxy}" if exchange.proxy else "")
    hard = [
        e for e in causes if isinstance(e, ssl.SSLError) and not isinstance(e, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    ]
    malformed = next((e for e in causes if isinstance(e, Malformed)), None)
    if malformed:
        return Break.BAD_ANSWER, f"{Break.BAD_ANSWER.value}: {malformed}"
    if any(isinstance(e, _LinkLocalError) for e in causes):
        return Break.BAD_REDIRECT, "a redirect to a link-local address"
    if exchange.phase is _Phase.BUILDING or not any(map(_is_of_the_network, causes)):
        broke = Break.BAD_REDIRECT if exchange.redirected else Break.UNSENDABLE
        return broke, f"{broke.value}: {type(error).__name__}"  # its text may show a header
    if any(isinstance(e, ClosedPoolError) for e in causes):
        return Break.STALE, Break.STALE.value
    if any(isinstance(e, TimeoutError) for e in causes):
        broke = Break.CONNECT_TIMEOUT if exchange.phase is _Phase.CONNECTING else Break.TIMEOUT
        return broke, f"{broke.value} ({exchange.where})"
    if hard:
        alert = str(hard[-1]).upper().replace(" ", "_")
        wants = "ALERT" in alert and any(word in alert for word in _ALERTS)
        return Break.CLIENT_CERTIFICATE if wants else Break.TLS, f"{Break.TLS.value}: {hard[-1]}"
    if exchange.phase is _Phase.LOOK_UP:
        return Break.NAME, f"{Break.NAME.value}: {detail}"
    if exchange.phase is _Phase.CONNECTING:
        return Break.REFUSED, f"{Break.REFUSED.value}: {detail}"
    unanswered = exchange.answer is None or exchange.answer.headers is None
    if unanswered and exchange.reused:
        return Break.STALE, f"{Break.RESET.value}: {detail}"
    if (
        unanswered and exchange.tls_version == "TLSv1.3"
    ):  # in which a refusal comes after the handshake, and can be lost
        detail += "; so ends a server that misses the client's certificate (ssl.certificate.location)"
    return Break.RESET, f"{Break.RESET.value}: {detail}"


def _words(causes: list[BaseException]) -> str:
    """The first cause's, if they are the system's; of one that quotes the server, its class."""
    known = [e for e in causes if not isinstance(e, requests.RequestException)]
    ours = [e for e in known if isinstance(e, OSError | http.client.IncompleteRead)]
    first = ours[-1] if ours else causes[-1]
    return str(getattr(first, "strerror", None) or first) if ours else type(first).__name__


def _is_of_the_network(error: BaseException) -> bool:
    if isinstance(error, requests.RequestException | ValueError | http.client.InvalidURL):
        return False
    return isinstance(error, OSError | http.client.HTTPException | HTTPError)
