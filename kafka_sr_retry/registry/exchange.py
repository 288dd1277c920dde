"""One attempt as it goes: how far it is, when its time is over, and what went wrong."""

from __future__ import annotations

import contextvars
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ClosedPoolError, HTTPError

from .policy import Break
from .request import RegistryRequest, Reply
from .wire import Malformed, Response


class Phase(Enum):
    BUILDING = "building the request"
    LOOK_UP = "name look-up"
    CONNECTING = "connecting"
    EXCHANGING = "waiting for the answer"


Headers = tuple[Mapping[str, str], Mapping[str, str]]
"""Headers that every server gets, and those for the configured origin alone."""

current: contextvars.ContextVar[Exchange] = contextvars.ContextVar("exchange")


class Exchange:
    """One attempt, redirects included; made on one thread, and ended from another where its time is over.

    Attributes:
        began: in the clock's seconds.
        seconds: its limit.
    """

    def __init__(
        self,
        follow: Callable[[Exchange], Reply],
        request: RegistryRequest[Any],
        url: str,
        headers: Headers,
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
        self._follow = follow
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._ended = False

    def begin(self, *, away: bool, proxy: str) -> None:
        """One request of the exchange: the first, or one after a redirect, to another origin if ``away``."""
        self.phase = Phase.BUILDING
        self.connecting_until = 0.0
        self.away = away
        self.proxy = proxy
        self.reused = False
        """whether the connection had been kept alive"""
        self.tls_version = ""
        self.answer: Response | None = None
        """the one that has begun to come"""

    def run(self) -> Reply:
        current.set(self)
        try:
            reply = self._follow(self)
        except Exception as error:  # noqa: BLE001 whatever it is, the attempt has failed and who waits must hear of it
            reply = _diagnose(error, self, self.url)
        finally:
            self._watch(None)
        return replace(reply, secrets=tuple(self.secrets)) if self.secrets else reply

    def due(self, now: float) -> float:
        if self.phase is Phase.EXCHANGING:
            return self._deadline
        return min(self._deadline, self.connecting_until or now + self.connect_seconds)

    def gave_up(self) -> Reply:
        slow_connect = self.phase is Phase.CONNECTING and time.monotonic() < self._deadline
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

    def mark(self, phase: Phase, sock: socket.socket | None = None) -> None:
        if sock is not None:
            sock = getattr(sock, "socket", sock)  # of TLS within a proxy's TLS
            # a duplicate: the original is replaced when TLS wraps it, and may be closed and its number given away
            self._watch(socket.fromfd(sock.fileno(), sock.family, sock.type))
        if phase is not self.phase:
            self.phase = phase
            self.connecting_until = time.monotonic() + self.connect_seconds if phase is Phase.CONNECTING else 0.0

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


class LinkLocalError(OSError):
    """A redirect to where only this machine's own services are, such as a cloud's metadata."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, the way requests and urllib3 wrap."""
    seen: list[BaseException | None] = [error]
    for link in seen:
        if link is not None:
            yield link
            within = [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
            seen += [e for e in within if isinstance(e, BaseException) and e not in seen]


def _diagnose(error: Exception, exchange: Exchange, url: str) -> Reply:
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


def _broke(error: Exception, causes: list[BaseException], exchange: Exchange) -> tuple[Break, str]:
    detail = _words(causes) + (f", proxy {exchange.proxy}" if exchange.proxy else "")
    hard = [
        e for e in causes if isinstance(e, ssl.SSLError) and not isinstance(e, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    ]
    malformed = next((e for e in causes if isinstance(e, Malformed)), None)
    if malformed:
        return Break.BAD_ANSWER, f"{Break.BAD_ANSWER.value}: {malformed}"
    if any(isinstance(e, LinkLocalError) for e in causes):
        return Break.BAD_REDIRECT, "a redirect to a link-local address"
    if exchange.phase is Phase.BUILDING or not any(map(_is_of_the_network, causes)):
        broke = Break.BAD_REDIRECT if exchange.redirected else Break.UNSENDABLE
        return broke, f"{broke.value}: {type(error).__name__}"  # its text may show a header
    if any(isinstance(e, ClosedPoolError) for e in causes):
        return Break.STALE, Break.STALE.value
    if any(isinstance(e, TimeoutError) for e in causes):
        broke = Break.CONNECT_TIMEOUT if exchange.phase is Phase.CONNECTING else Break.TIMEOUT
        return broke, f"{broke.value} ({exchange.where})"
    if hard:
        alert = str(hard[-1]).upper().replace(" ", "_")
        wants = "ALERT" in alert and any(word in alert for word in _ALERTS)
        return Break.CLIENT_CERTIFICATE if wants else Break.TLS, f"{Break.TLS.value}: {hard[-1]}"
    if exchange.phase is Phase.LOOK_UP:
        return Break.NAME, f"{Break.NAME.value}: {detail}"
    if exchange.phase is Phase.CONNECTING:
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
    ours = [e for e in known if isinstance(e, OSError | http.client.IncompleteRead) and not isinstance(e, HTTPError)]
    first = ours[-1] if ours else causes[-1]
    return str(getattr(first, "strerror", None) or first) if ours else type(first).__name__


def _is_of_the_network(error: BaseException) -> bool:
    if isinstance(error, requests.RequestException | ValueError | http.client.InvalidURL):
        return False
    return isinstance(error, OSError | http.client.HTTPException | HTTPError)
