"""Connections that tell their exchange how far it is: urllib3's, and requests' adapter over them."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Collection
from functools import cache
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ClosedPoolError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.wait import wait_for_read

from .answers import told
from .exchange import LinkLocalError, Phase, current
from .wire import Malformed, Response


class _Path(str):
    """A request's target as it may be logged: without its query, and what a redirect repeats of the request.

    Attributes:
        target: as it is sent.
    """

    target: str

    @classmethod
    def of(cls, target: str, secrets: Collection[str]) -> _Path:
        path = cls(told(target.partition("?")[0], tuple(secrets), 1000))
        path.target = target
        return path


class _Dialled:
    """An urllib3 connection that tells its exchange how far it is, and shares its time out among a name's addresses."""

    def _new_conn(self: Any) -> socket.socket:
        exchange = current.get()
        exchange.mark(Phase.LOOK_UP)
        host = self._dns_host.strip("[]")
        addresses = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        exchange.mark(Phase.CONNECTING)
        if exchange.away and not exchange.proxy:
            addresses = [found for found in addresses if not is_link_local(str(found[-1][0]))]
            if not addresses:
                raise LinkLocalError
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
                exchange.mark(Phase.CONNECTING, sock)
                return sock
            except OSError as refused:
                sock.close()
                error = refused
        raise error


class _Tunnelled:
    """The same by way of a SOCKS proxy, which PySocks dials."""

    def _new_conn(self) -> socket.socket:
        exchange = current.get()
        exchange.mark(Phase.CONNECTING)
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        exchange.mark(Phase.CONNECTING, sock)
        return sock


class _Noted:
    """An urllib3 connection that tells its exchange what happens on it."""

    def _respond(self, *args: Any, **kwargs: Any) -> Response:
        answer = current.get().answer = Response(*args, **kwargs)
        return answer

    response_class: Any = _respond

    def connect(self: Any) -> None:
        exchange = current.get()
        try:
            super().connect()  # type: ignore[misc]
        finally:
            if exchange.answer is not None:  # a proxy's, to CONNECT; Python 3.10 would leave its socket open
                exchange.answer.close()
                exchange.answer = None
        exchange.tls_version = getattr(self.sock, "version", str)()
        self.sock.settimeout(exchange.left())  # for sending; it was the time to connect
        exchange.mark(Phase.EXCHANGING)
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
        exchange = current.get()
        again = exchange.answer is not None  # http.auth asks once more, on whichever connection is at hand
        if self.sock is not None and (exchange.phase is Phase.BUILDING or again):
            exchange.reused, exchange.answer = True, None
            self.sock.settimeout(exchange.left())
            exchange.mark(Phase.EXCHANGING, self.sock)
        super().putrequest(method, getattr(url, "target", url), *args, **kwargs)  # type: ignore[misc]


class _HTTPConnection(_Dialled, _Noted, HTTPConnection):
    pass


class _HTTPSConnection(_Dialled, _Noted, HTTPSConnection):
    pass


class _Quiet:
    """An urllib3 pool that logs no query, and warns of no server that may be anyone. Who has it when it is closed still
    gets a connection."""

    def _ask(self, conn: Any, method: str, url: str, **kwargs: Any) -> Any:
        exchange = current.get()
        path = _Path.of(url, exchange.secrets if exchange.redirected else ())
        return super()._make_request(conn, method, path, **kwargs)  # type: ignore[misc]

    _make_request: Any = _ask

    def _get_conn(self, timeout: float | None = None) -> Any:
        try:
            return super()._get_conn(timeout)  # type: ignore[misc]
        except ClosedPoolError:
            return self._new_conn()  # type: ignore[attr-defined]

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


class Adapter(HTTPAdapter):
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

    def close(self) -> None:
        """urllib3 itself leaves the connections of pools that an error refers to to the garbage collector."""
        managers = (self.poolmanager, *self.proxy_manager.values())
        pools = [manager.pools.get(key) for manager in managers for key in manager.pools.keys()]  # noqa: SIM118
        super().close()
        for pool in filter(None, pools):
            pool.close()

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Would add the CA certificates that come with requests to the context."""


def is_link_local(host: str) -> bool:
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
