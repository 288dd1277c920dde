"""A token server and a proxy on loopback."""

from __future__ import annotations

import base64
import itertools
import json
import select
import socket
import ssl
import threading
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
