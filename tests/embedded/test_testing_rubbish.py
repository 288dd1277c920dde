"""Whoever talks rubbish to the embedded registry is told so, and no traceback runs through the output of a test."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kafka_sr_retry.testing import SchemaRegistryCluster, SchemaRegistryServer

POST = b"POST /subjects/orders-value/versions HTTP/1.1\r\n"


def answer(registry: SchemaRegistryServer, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", registry.port), timeout=20) as connection:
        connection.sendall(b"".join(pieces))
        return connection.recv(65_536).partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (POST + b"Content-Length: abc\r\n\r\n{}", 400),
        (POST + b"Content-Length: -1\r\n\r\n{}", 400),
        (POST + b"Content-Length: 99999999999999\r\n\r\n{}", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nab\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\nab\r\n", 400),
        (b"GET http://[x/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /subjects?offset=abc HTTP/1.1\r\n\r\n", 404),
        (b"BREW / HTTP/1.1\r\n\r\n", 501),
        (b"\0\0\0\x10\0\x12\0\x03\r\n\r\n", 400),
    ],
)
def test_rubbish_is_refused(
    request_: bytes, status: int, schema_registry: SchemaRegistryServer, capfd: pytest.CaptureFixture[str]
) -> None:
    told = answer(schema_registry, request_)
    if told.startswith(b"HTTP/"):  # HTTP/0.9 has no status
        assert int(told.split()[1]) == status
    assert answer(schema_registry, b"GET /subjects HTTP/1.1\r\n\r\n").split()[1] == b"200"
    assert capfd.readouterr() == ("", "")


@contextmanager
def many_files(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65_536, hard))
    try:
        with ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(open("/dev/null", "rb"))
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_with_many_files_holds_what_waits_for_a_paused_leader() -> None:
    body = b'{"schema":"\\"string\\""}'
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with many_files(1100), SchemaRegistryCluster() as cluster:
        cluster.pause_leader()
        threading.Timer(0.3, cluster.resume_leader).start()
        assert answer(cluster.nodes[1], POST, head, body).split()[1] == b"200"


def test_a_cluster_whose_second_port_is_taken_leaves_the_first_free() -> None:
    with SchemaRegistryServer() as other, SchemaRegistryServer() as first:
        free = first.port
        first.close()
        with pytest.raises(OSError, match="in use"):
            SchemaRegistryCluster(ports=(free, other.port)).__enter__()
        with SchemaRegistryCluster(ports=(free, 0)) as cluster:
            assert cluster.nodes[0].port == free
