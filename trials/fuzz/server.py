"""A server on real sockets that says what it is told to, byte by byte."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

LARGEST_FLOOD = 24 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Flood:
    """The same bytes again and again, until nobody takes them any more."""

    part: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """A byte at a time."""

    data: bytes
    gap: float


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


class End:
    """What becomes of a connection: ``CLOSE``, ``RESET``, ``SHUT`` for one direction, ``HANG`` until the case ends."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


CLOSE, RESET, SHUT, HANG = map(End, ("CLOSE", "RESET", "SHUT", "HANG"))

Step = bytes | Flood | Drip | Pause | End
Play = Sequence[Step]
"""What is done with one request. In its bytes ``@PATH@``, ``@HERE@`` and ``@AWAY@`` stand for the request's path, and
for the URLs of this server and of another origin."""

_PLACES = re.compile(b"@(PATH|HERE|AWAY)@")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    head: bytes
    body: bytes
    connection: int


@dataclass(eq=False)
class Script:
    """What one case has a server say.

    Attributes:
        answer: gives the play for a request.
        early: steps that are taken before a request has been read, once for each.
        requests: that came.
        played: how many of them have been answered.
    """

    answer: Callable[[Request], Play]
    early: list[Play] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    played: int = 0
    away: str = ""

    @property
    def is_quiet(self) -> bool:
        """Whether all that came has been answered."""
        return self.played == len(self.requests)


class Server:
    """Serves one script after the other; what is left of a case's connections ends with it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._script: Script | None = None
        self._open: set[socket.socket] = set()
        self._numbers = itertools.count()
        threading.Thread(target=self._accept, daemon=True, name="fuzz-server").start()

    def begin(self, script: Script) -> None:
        self._script = script

    def end(self) -> None:
        script, self._script = self._script, None
        if script is not None:
            script.over.set()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            script = self._script
            if script is None:
                connection.close()
                continue
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection, script), daemon=True, name="fuzz-server").start()

    def _serve(self, connection: socket.socket, script: Script) -> None:
        number = next(self._numbers)
        connection.settimeout(60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with suppress(OSError, _Ended), connection:
                if script.early:
                    for step in script.early.pop():
                        self._take(step, connection, script, b"/")
                with connection.makefile("rb") as lines:
                    while not script.over.is_set():
                        request = _read(lines, number)
                        if request is None:
                            return
                        script.requests.append(request)
                        try:
                            for step in script.answer(request):
                                self._take(step, connection, script, request.path.encode("latin-1"))
                        finally:
                            script.played += 1
        finally:
            self._open.discard(connection)

    def _take(self, step: Step, connection: socket.socket, script: Script, path: bytes) -> None:
        if isinstance(step, bytes):
            places = {b"PATH": path, b"HERE": self.url.encode(), b"AWAY": script.away.encode()}
            connection.sendall(_PLACES.sub(lambda found: places[found[1]], step) if b"@" in step else step)
        elif isinstance(step, Pause):
            script.over.wait(step.seconds)
        elif isinstance(step, Drip):
            for byte in step.data:
                connection.sendall(bytes((byte,)))
                if script.over.wait(step.gap):
                    raise _Ended
        elif isinstance(step, Flood):
            part = step.part * (1 + 65536 // len(step.part))
            for _ in range(LARGEST_FLOOD // len(part)):
                connection.sendall(part)
        elif step is SHUT:
            connection.shutdown(socket.SHUT_WR)
        elif step is HANG:
            script.over.wait(60)
            raise _Ended
        else:
            if step is RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _Ended


class _Ended(Exception):  # noqa: N818
    """This connection has."""


def _read(lines: BinaryIO, number: int) -> Request | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = lines.readline(1 << 20)
        if not line:
            return None
        head += line
    method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    told = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    length = int(told[1]) if told else 0
    body = lines.read(length)
    return Request(method, path, head, body, number) if len(body) == length else None


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True
