"""Each fault as a client's socket sees it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from kafka_sr_retry.testing import (
    Exchange,
    Fault,
    RecordedRequest,
    SchemaRegistryServer,
    answer,
    close_connection,
    drip,
    drop_body,
    error,
    hang,
    html,
    no_leader,
    redirect,
    reset,
    retry_after,
    swallow,
    truncate,
)

BODY = json.dumps({"schema": '"string"'}).encode()
REAL_ANSWER = b'{"id":1}'


@pytest.fixture
def client(schema_registry: SchemaRegistryServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", schema_registry.port), timeout=10) as connection:
        yield connection


def register(client: socket.socket) -> None:
    head = "POST /subjects/x/versions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)


def read_answer(client: socket.socket) -> tuple[int, http.client.HTTPMessage, bytes]:
    found = http.client.HTTPResponse(client)
    found.begin()
    body = found.read()
    found.close()
    return found.status, found.headers, body


def read_to_the_end(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(4096), b""))


def read_until_silence(client: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            data = client.recv(4096)
        except TimeoutError:
            return received
        assert data, "the connection ended"
        received += data


def was_registered(server: SchemaRegistryServer) -> bool:
    """Without a leader only a schema that is there is registered."""
    try:
        with server.leaderless():
            server.register("x", '"string"')
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("fault", "status", "error_code", "message"),
    [
        (error(500, 50001), 500, 50001, "Register schema operation failed while writing to the Kafka store"),
        (error(500, 50002), 500, 50002, "Register operation timed out"),
        (no_leader(), 500, 50003, "Error while forwarding register schema request to the leader"),
        (error(500, 50004), 500, 50004, "Leader not known."),
        (error(422), 422, 422, "register.request must not be null (was null)"),
        (error(409, message="no"), 409, 409, "no"),
        (error(418), 418, 418, "HTTP 418"),
        (retry_after(7), 429, 429, "Too Many Requests"),
    ],
)
def test_an_error_is_the_registrys_json(
    schema_registry: SchemaRegistryServer,
    client: socket.socket,
    fault: Fault,
    status: int,
    error_code: int,
    message: str,
) -> None:
    schema_registry.fail_next(fault)
    register(client)
    found, headers, body = read_answer(client)
    assert (found, json.loads(body)) == (status, {"error_code": error_code, "message": message})
    assert headers["Content-Type"] == "application/vnd.schemaregistry.v1+json"
    assert not was_registered(schema_registry)


def test_headers_of_an_error(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    schema_registry.fail_next(
        retry_after("Sun, 06 Nov 1994 08:49:37 GMT", status=503),
        error(401, headers={"WWW-Authenticate": "Basic"}),
        answer(200, b"{}", headers={"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    )
    register(client)
    status, headers, _ = read_answer(client)
    assert (status, headers["Retry-After"]) == (503, "Sun, 06 Nov 1994 08:49:37 GMT")
    register(client)
    assert read_answer(client)[1]["WWW-Authenticate"] == "Basic"
    register(client)
    assert read_answer(client)[1].get_all("Date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]


def test_any_answer_and_a_gateways_page(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    schema_registry.fail_next(answer(200, '{"id":"one"}'), html(504))
    register(client)
    status, _, body = read_answer(client)
    assert (status, body) == (200, b'{"id":"one"}')
    register(client)
    status, headers, body = read_answer(client)
    assert (status, headers["Content-Type"]) == (504, "text/html")
    assert body.startswith(b"<html>")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://other:1", "http://other:1/subjects/x/versions"),
        ("http://other:1/a", "http://other:1/a"),
        ("/", "/"),
    ],
)
def test_a_redirect_keeps_the_requests_path_unless_it_has_one(
    schema_registry: SchemaRegistryServer, client: socket.socket, location: str, expected: str
) -> None:
    schema_registry.fail_next(redirect(location, 308))
    register(client)
    status, headers, _ = read_answer(client)
    assert (status, headers["Location"]) == (308, expected)


def test_a_dropped_body_is_seen_as_empty(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    schema_registry.fail_next(drop_body())
    register(client)
    status, _, body = read_answer(client)
    assert (status, json.loads(body)["message"]) == (422, "register.request must not be null (was null)")
    assert schema_registry.requests[0].body == BODY


@pytest.mark.parametrize(("fault", "registered"), [(reset(), False), (swallow(), True)], ids=["reset", "swallow"])
def test_a_reset_leaves_no_byte(
    schema_registry: SchemaRegistryServer, client: socket.socket, fault: Fault, registered: bool
) -> None:
    schema_registry.fail_next(fault)
    register(client)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert schema_registry.requests[0].answer is None
    assert was_registered(schema_registry) is registered


def test_a_close_is_an_end_without_a_byte(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    schema_registry.fail_next(close_connection())
    register(client)
    assert client.recv(1) == b""
    assert not was_registered(schema_registry)


def test_a_hang_for_some_time_ends_without_an_answer(
    schema_registry: SchemaRegistryServer, client: socket.socket
) -> None:
    schema_registry.fail_next(hang(0.01))
    register(client)
    assert client.recv(1) == b""


def test_a_truncated_answer_is_shorter_than_it_says(
    schema_registry: SchemaRegistryServer, client: socket.socket
) -> None:
    schema_registry.fail_next(truncate(3))
    register(client)
    with pytest.raises(http.client.IncompleteRead) as caught:
        read_answer(client)
    assert (caught.value.partial, caught.value.expected) == (b'{"i', 5)
    assert was_registered(schema_registry)


@pytest.mark.parametrize("head", [True, False])
def test_a_dripping_answer_comes_byte_by_byte(
    schema_registry: SchemaRegistryServer, client: socket.socket, head: bool
) -> None:
    schema_registry.fail_next(drip(0.002, head=head))
    register(client)
    first = client.recv(4096)
    assert (len(first) == 1) is head
    rest = first
    while not rest.endswith(REAL_ANSWER):
        rest += client.recv(4096)
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("fault", [hang(), drip(3600), drip(3600, head=True)], ids=lambda fault: fault.name)
def test_what_takes_long_ends_when_the_server_closes(fault: Fault) -> None:
    threads = set(threading.enumerate())
    with SchemaRegistryServer() as server:
        server.fail_always(fault)
        with socket.create_connection(("127.0.0.1", server.port), timeout=0.05) as client:
            register(client)
            received = read_until_silence(client)
            server.close()
            assert read_to_the_end(client) == b""
    assert not received.endswith(REAL_ANSWER)
    assert set(threading.enumerate()) <= threads


def test_faults_come_once_and_in_order(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    schema_registry.fail_next(error(500), error(503))
    schema_registry.fail_next(error(504))
    statuses = []
    for _ in range(4):
        register(client)
        statuses.append(read_answer(client)[0])
    assert statuses == [500, 503, 504, 200]
    assert [request.answer for request in schema_registry.requests] == statuses


def test_a_fault_waits_for_the_request_that_it_matches(
    schema_registry: SchemaRegistryServer, client: socket.socket
) -> None:
    def second(request: RecordedRequest) -> bool:
        return request.method == "GET" and len(schema_registry.requests) == 2

    schema_registry.fail_next(error(500), matching=second)
    register(client)
    assert read_answer(client)[0] == 200
    client.sendall(b"GET /subjects HTTP/1.1\r\n\r\n")
    assert read_answer(client)[0] == 500


def test_a_lasting_fault_lasts_until_recovery(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    schema_registry.fail_always(error(503))
    schema_registry.fail_next(error(500))
    statuses = []
    for _ in range(3):
        register(client)
        statuses.append(read_answer(client)[0])
    schema_registry.recover()
    register(client)
    statuses.append(read_answer(client)[0])
    assert statuses == [500, 503, 503, 200]


def test_a_fault_of_ones_own(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    def play(exchange: Exchange) -> None:
        exchange.connection.write(b"SSH-2.0-OpenSSH\r\n")
        exchange.connection.end()

    schema_registry.fail_next(Fault("not HTTP at all", play))
    register(client)
    assert read_to_the_end(client) == b"SSH-2.0-OpenSSH\r\n"


def test_a_delay_is_before_each_answer(schema_registry: SchemaRegistryServer, client: socket.socket) -> None:
    schema_registry.delay = 0.02
    register(client)
    read_answer(client)
    assert time.monotonic() - schema_registry.requests[0].time >= 0.02


def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_no_request(
    schema_registry: SchemaRegistryServer, client: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    client.sendall(b"POST /subjects/x/versions HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    schema_registry.close()
    assert schema_registry.requests == []
    assert capfd.readouterr() == ("", "")


def test_an_error_in_a_fault_of_ones_own_is_shown(
    schema_registry: SchemaRegistryServer, client: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    def play(exchange: Exchange) -> None:
        raise LookupError("a mistake")

    schema_registry.fail_next(Fault("wrong", play))
    register(client)
    assert client.recv(1) == b""
    assert "a mistake" in capfd.readouterr().err
