"""A token server, proxies, and a server at the level of bytes, all on loopback."""

from __future__ import annotations

import base64
import itertools
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kafka_sr_retry.testing import SchemaRegistryServer
from kafka_sr_retry.testing._messages import Answer, RecordedRequest


class TokenServer(SchemaRegistryServer):
    """An OAuth token endpoint (RFC 6749) with the faults of the embedded registry.

    Gives ``token-1``, ``token-2`` ... to a client that shows id and secret, or like Azure's metadata service.

    Args:
        lifetime: the ``expires_in`` of each, ``None`` for none.
        more: what else stands in the answer.
    """

    ID, SECRET = "our-client", "s3cret/with=signs"

    def __init__(self, lifetime: Any = 3600, more: dict[str, Any] | None = None, **server: Any) -> None:
        super().__init__(**server)
        self.lifetime = lifetime
        self.more = more or {}
        self._tokens = itertools.count(1)

    @property
    def endpoint(self) -> str:
        return f"{self.url}/oauth/token"

    def _answer(self, request: RecordedRequest) -> Answer:
        if request.method == "POST":
            basic = base64.b64encode(f"{self.ID}:{self.SECRET}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {basic}":
                return _json(401, {"error": "invalid_client", "error_description": "unknown client or secret"})
            if dict(parse_qsl(request.body.decode())).get("grant_type") != "client_credentials":
                return _json(400, {"error": "unsupported_grant_type"})
        elif request.headers.get("Metadata") != "true":
            return _json(400, {"error": "invalid_request", "error_description": "Required metadata header"})
        given = {"access_token": f"token-{next(self._tokens)}", "token_type": "Bearer", **self.more}
        return _json(200, given if self.lifetime is None else {**given, "expires_in": self.lifetime})


def _json(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(content).encode(), (("Content-Type", "application/json"),))


class Proxy:
    """An HTTP proxy: CONNECT, and requests with an absolute URI.

    Args:
        user_info: ``user:password`` that it asks for; without them it answers 407.
        ssl_context: serve HTTPS.

    Attributes:
        heads: of the requests it was sent.
    """

    def __init__(self, user_info: str | None = None, ssl_context: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        self._basic = None if user_info is None else base64.b64encode(user_info.encode())
        self._ssl_context = ssl_context
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    def __enter__(self) -> Proxy:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.url = f"{'https' if self._ssl_context else 'http'}://{self.address}"
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [self._server, *self._open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._server.close()

    def _run(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._ssl_context:
                connection = self._ssl_context.wrap_socket(connection, server_side=True)
            with connection:
                self._forward(connection)

    def _forward(self, connection: socket.socket) -> None:
        head, rest = b"", b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data:
                return
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        self.heads.append(head)
        first, *lines = head.split(b"\r\n")
        method, target, _ = first.split()
        if self._basic and b"proxy-authorization: basic " + self._basic.lower() not in head.lower():
            connection.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            return
        if method == b"CONNECT":
            host, _, port = target.decode().partition(":")
        else:
            parts = urlsplit(target.decode())
            host, port = str(parts.hostname), str(parts.port)
            first = first.replace(target, parts._replace(scheme="", netloc="").geturl().encode())
            kept = [line for line in lines if not line.lower().startswith((b"proxy-", b"connection:"))]
            rest = b"\r\n".join([first, *kept, b"Connection: close", b"", rest])
        with socket.create_connection((host, int(port))) as upstream:
            self._open.append(upstream)
            if method == b"CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            upstream.sendall(rest)
            _tunnel(connection, upstream)


def _tunnel(a: socket.socket, b: socket.socket) -> None:
    """On one thread, because two must not use a TLS connection at the same time."""
    other = {a: b, b: a}
    while True:
        ready = [end for end in other if isinstance(end, ssl.SSLSocket) and end.pending()]
        for end in ready or select.select(list(other), [], [])[0]:
            data = end.recv(65536)
            if not data:
                return
            other[end].sendall(data)


class SocksProxy(Proxy):
    """A SOCKS5 proxy (RFC 1928), with ``heads`` of the addresses it was asked for."""

    def _forward(self, connection: socket.socket) -> None:
        connection.recv(262)
        connection.sendall(b"\x05\x02" if self._basic else b"\x05\x00")
        if self._basic:
            asked = connection.recv(513)
            user, password = asked[2 : 2 + asked[1]], asked[3 + asked[1] :]
            right = base64.b64encode(user + b":" + password) == self._basic
            connection.sendall(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        asked = connection.recv(262)
        named = asked[3] == 3
        host = asked[5:-2].decode() if named else socket.inet_ntoa(asked[4:-2])
        port = int.from_bytes(asked[-2:], "big")
        self.heads.append(f"{host}:{port}".encode())
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            self._open.append(upstream)
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            _tunnel(connection, upstream)


class RawServer:
    """Answers each request on a kept-alive connection with the bytes that ``answers`` gives for its head and body.

    Attributes:
        heads: of the requests.
        sent: bytes of the answers, as far as they were taken.
    """

    def __init__(
        self, answers: Callable[[bytes, bytes], bytes | Iterable[bytes]], greeting: bytes = b"", ssl_context: Any = None
    ) -> None:
        self.heads: list[bytes] = []
        self.sent = 0
        self._answers = answers
        self._greeting = greeting
        self._ssl_context = ssl_context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{'https' if ssl_context else 'http'}://{self.address}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self._connections)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._ssl_context:
                connection = self._ssl_context.wrap_socket(connection, server_side=True)
            connection.sendall(self._greeting)
            with connection, connection.makefile("rb") as lines:
                self._converse(connection, lines)

    def _converse(self, connection: socket.socket, lines: Any) -> None:
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = lines.readline()
                if not line:
                    return
                head += line
            self.heads.append(head)
            length = head.lower().partition(b"content-length:")[2].split()
            answer = self._answers(head, lines.read(int(length[0]) if length else 0))
            for part in [answer] if isinstance(answer, bytes) else answer:
                connection.sendall(part)
                self.sent += len(part)

    def close(self) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.close()
