"""An HTTP/1.1 server on threads whose connections can also be ended badly."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from ._messages import Headers, RecordedRequest

_LARGEST_BODY = 64 << 20
_LONGEST_LINE = 65_536

Serve = Callable[["Connection", RecordedRequest], None]


class HttpServer(socketserver.ThreadingTCPServer):
    """Listens from its construction until `close`, and calls ``serve`` for each request, on the daemon thread
    of its connection, which is kept alive until ``serve`` ends it or the client does.

    Not ``http.server.HTTPServer``, which looks up its host's name when it starts.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, ssl_context: ssl.SSLContext | None, serve: Serve) -> None:
        self.serve = serve
        self.closing = threading.Event()
        self.killed = False
        self._host = host
        self._ssl_context = ssl_context
        self._connections: dict[Any, threading.Thread] = {}
        super().__init__((host, port), Connection)
        self._accepting = threading.Thread(target=self._accept, name=f"http-{self.port}", daemon=True)
        self._accepting.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def close(self, *, kill: bool = False) -> None:
        """Stop listening and end all connections; whoever waits for ``closing`` wakes up at once.

        ``kill``: as the end of a process does it. No byte of an answer goes out any more, connections are reset.
        """
        self.killed = kill
        self.closing.set()
        # Wakes the accepting thread, which blocks until someone connects.
        with contextlib.suppress(OSError):
            socket.create_connection((self._host, self.port), timeout=1).close()
        self._accepting.join()
        self.server_close()
        for connection, thread in list(self._connections.items()):
            with contextlib.suppress(OSError):
                # It wakes whoever reads; what ends the other half is sent by the connection's own thread.
                connection.shutdown(socket.SHUT_RD if kill else socket.SHUT_RDWR)
            thread.join(timeout=5)

    def _accept(self) -> None:
        while not self.closing.is_set():
            self.handle_request()

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._ssl_context:
            # The handshake happens with the first read, on the connection's own thread.
            connection = self._ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._connections[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        if self.killed:
            _reset(request)
        else:
            super().shutdown_request(request)
        self._connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that leave, or fail the TLS handshake, are what tests are about.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Connection(BaseHTTPRequestHandler):
    """A client's connection, for as long as it is kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: HttpServer

    def write(self, data: bytes) -> None:
        """Send ``data`` as it is."""
        if self.server.killed:
            raise ConnectionResetError("the server was killed")
        self.wfile.write(data)

    def end(self) -> None:
        """End the connection after what was sent so far (FIN)."""
        self.close_connection = True

    def reset(self) -> None:
        """End the connection with a RST: the client's system throws away what it has not read yet."""
        self.end()
        # Before the server shuts it down, which would send a FIN first.
        _reset(self.connection)

    def left(self) -> bool:
        """Whether the client, which says nothing while it waits for an answer, has closed the connection."""
        with selectors.DefaultSelector() as selector:  # select.select knows no file beyond the 1024th
            selector.register(self.connection, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _serve(self) -> None:
        try:
            body = self._read_body()
        except ValueError as error:
            self.send_error(400, str(error))  # and the connection ends, as nobody knows where the next request begins
            return
        headers = Headers(self.headers.items())
        self.server.serve(self, RecordedRequest(self.command, self.path, headers, body, time.monotonic()))

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(_size(self.headers.get("Content-Length", "0"), 10))
        body = b""
        while size := _size(self.rfile.readline(_LONGEST_LINE).partition(b";")[0].decode("latin-1"), 16, len(body)):
            body += self._read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return body

    def _read(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError("the client left in the middle of its request")
        return data

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def _size(digits: str, base: int, so_far: int = 0) -> int:
    size = int(digits, base)
    if not 0 <= size <= _LARGEST_BODY - so_far:
        raise ValueError("not the size of a body that is read here")
    return size


def _reset(connection: Any) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
