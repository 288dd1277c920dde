"""What shows the caller is told nowhere, whatever a server repeats of it or fails, and where a redirect may lead."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import re
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest
import requests
from servers import RawServer, TokenServer

import kafka_sr_retry
from kafka_sr_retry import Schema, SchemaRegistryClient, SchemaRegistryError
from kafka_sr_retry.config import ClientSettings, parse, split
from kafka_sr_retry.events import AttemptEvent
from kafka_sr_retry.testing import SchemaRegistryServer, error, redirect
from kafka_sr_retry.testing import answer as faulty

ORDER = Schema('{"type":"record","name":"Order","fields":[{"name":"id","type":"long"}]}')
SECRET = 'zq-h/dden+"zq&='
PAIR = base64.b64encode(f"me:{SECRET}".encode()).decode()


class Negotiated(requests.auth.AuthBase):
    """Shows its token once the server has asked for it, as Kerberos does."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", self._again)
        return request

    def _again(self, response: requests.Response, **options: Any) -> requests.Response:
        _ = response.content  # reads it whole, so that its connection is free
        response.raw.release_conn()
        again = response.request.copy()
        again.headers["Authorization"] = f"Negotiate {SECRET}"
        return response.connection.send(again, **options)  # type: ignore[attr-defined, no-any-return]


class Signed(requests.auth.AuthBase):
    """Puts what it is given on the request, by name or as its URL's query."""

    def __init__(self, query: str = "", **headers: Any) -> None:
        self.query = query
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.query:
            request.url = f"{request.url}?sig={quote(self.query, safe='')}"
        request.headers.update(self.headers)
        return request


SHOWN: dict[str, dict[str, Any]] = {
    "user info": {"basic.auth.user.info": f"me:{SECRET}"},
    "a header": {"http.headers": {"X-Api-Key": SECRET}},
    "a header with a scheme": {"http.headers": {"Authorization": f"ApiKey {SECRET}"}},
    "basic by a header": {"http.headers": {"authorization": f"Basic {PAIR}"}},
    "a cookie": {"http.headers": {"Cookie": f"lang=en; session={SECRET}"}},
    "auth": {"http.auth": Signed(Authorization=f"Bearer {SECRET}")},
    "auth in bytes": {"http.auth": Signed(Authorization=f"Negotiate {SECRET}".encode())},
    "auth's other header": {"http.auth": Signed(X_Amz_Security_Token=SECRET)},
    "requests' own auth": {"http.auth": requests.auth.HTTPBasicAuth("me", SECRET)},
    "auth's query": {"http.auth": Signed(query=SECRET)},
    "auth that answers": {"http.auth": Negotiated()},
    "a user without a password": {"basic.auth.user.info": f"{SECRET}:"},
    "a proxy": {"proxy": f"me:{quote(SECRET, safe='')}"},
    "a proxy's user without a password": {"proxy": quote(SECRET, safe="")},
    "a token": {
        "bearer.auth.credentials.source": "CUSTOM",
        "bearer.auth.custom.provider.function": lambda _: re.sub("[^a-z-]", "x", SECRET),
    },
}

FORMS: tuple[Callable[[str], str], ...] = (str, lambda text: quote(text, safe=""))
"""All of them: tests/unit/test_masking.py, and trials.secrets."""


def answer(status: str, body: str, *headers: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body.encode())}", "", ""])
    return (head + body).encode()


PLACES: dict[str, Callable[[str], bytes]] = {
    "a message": lambda said: answer("409 Conflict", json.dumps({"error_code": 409, "message": said})),
    "a page": lambda said: answer("404 Not Found", f"<p>{said}</p>"),
    "a failure": lambda said: answer("500 Oh", said),
    "a schema type": lambda said: answer("200 OK", json.dumps({"id": 1, "schemaType": said})),
    "a reason": lambda said: answer(f"418 {said}", ""),
    "a status line": lambda said: f"{said}\r\n\r\n".encode(),
    "a chunk": lambda said: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{said}\r\n".encode(),
    "a header": lambda said: f"HTTP/1.1 200 OK\r\n{said.replace(':', '')}\r\nContent-Length: 0\r\n\r\n".encode(),
    "a bare return": lambda said: f"HTTP/1.1 200 OK\r\nX: x\r\r{said}\r\nContent-Length: 0\r\n\r\n".encode(),
    "a redirect": lambda said: answer("307 There", "", f"Location: /{said}/?q={said}"),
    "a redirect away": lambda said: answer("307 There", "", f"Location: http://127.0.0.1:1/{said}"),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def told(stack: ExitStack, caplog: pytest.LogCaptureFixture, url: str, conf: dict[str, Any]) -> tuple[str, list[str]]:
    """All that a failing call tells, in all loggers, events and the error, and its outcomes."""
    caplog.set_level(logging.DEBUG)
    heard: list[Any] = []
    given = {"url": url, "event_cb": heard.append, "max.retries": 0, **conf}
    client = stack.enter_context(SchemaRegistryClient(given))
    with pytest.raises(SchemaRegistryError) as caught:
        client.register_schema("s", ORDER, timeout=10)
    raised = caught.value
    again = pickle.loads(pickle.dumps(raised))
    lines = [f"{record.getMessage()} {record.args!r} {record.exc_info}" for record in caplog.records]
    words = [str(raised), repr(raised), repr(vars(raised)), repr(vars(again)), repr(client), repr(heard), *lines]
    words += _locals(raised)
    outcomes = [event.outcome for event in heard if isinstance(event, AttemptEvent)]
    return "\n".join(words).replace("\\\\", "\\"), outcomes


def _locals(error: BaseException) -> list[str]:
    """What a tool that shows the local variables of our frames would show."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame.locals for frame in told.stack if os.path.dirname(kafka_sr_retry.__file__) in frame.filename]
    assert frames
    return list(map(repr, frames))


def hidden() -> list[str]:
    plain = [SECRET, re.sub("[^a-z-]", "x", SECRET), PAIR, f"me:{SECRET}"]
    return [form(secret) for secret in plain for form in FORMS]


@pytest.mark.parametrize(
    ("shown", "place"), [*((shown, "a message") for shown in SHOWN), *(("user info", place) for place in PLACES)]
)
def test_a_server_that_repeats_the_request_tells_no_credential(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, shown: str, place: str
) -> None:
    def answers(head: bytes, _: bytes) -> bytes:
        line, *headers = head.decode("latin-1").split("\r\n")
        values = [line.split()[1].rpartition("sig=")[2]]
        values += [value for name, _, value in (header.partition(": ") for header in headers if ": " in header)]
        said = [SECRET] if shown != "a token" else []
        said += [part for value in values for part in (value, value.rpartition(" ")[2], value.rpartition("=")[2])]
        said = [form(part) for part in said for form in FORMS]
        return PLACES[place](" ".join(said) if place in ("a message", "a page", "a failure") else "/".join(said))

    server = RawServer(answers)
    stack.callback(server.close)
    conf = dict(SHOWN[shown])
    if "proxy" in conf:
        conf["proxy"] = server.url.replace("//", f"//{conf['proxy']}@")
    text, outcomes = told(stack, caplog, server.url, conf)

    assert server.heads
    assert outcomes
    assert [secret for secret in hidden() if secret in text] == []


@pytest.mark.parametrize(
    "conf",
    [
        {"http.headers": {"X-Api-Key": "zq-1"}},
        {"http.headers": {"Authorization": "Token zq-1"}},
        {"http.auth": requests.auth.HTTPBasicAuth("me", "zq")},
        {"basic.auth.user.info": "me:zq"},
    ],
)
def test_a_short_credential_is_masked_and_the_texts_about_it_are_not(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, conf: dict[str, Any]
) -> None:
    message = "Token zq-1, Basic zq-1: this Token is of no use to payments"
    server = RawServer(lambda *_: answer("409 Conflict", json.dumps({"error_code": 409, "message": message})))
    stack.callback(server.close)
    headers = {"X-Team": "use", **conf.get("http.headers", {})}
    text, _ = told(stack, caplog, server.url, {**conf, "http.headers": headers})

    assert "zq" not in text
    assert "this Token is of no use to payments" in text


@pytest.mark.parametrize("status", ["403", "407", "502"])
def test_a_proxy_that_repeats_its_password_in_a_refusal_tells_it_not(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    proxy = RawServer(lambda head, _: answer(f"{status} {SECRET} {PAIR}", head.decode()))
    stack.callback(proxy.close)
    url = proxy.url.replace("//", f"//me:{quote(SECRET, safe='')}@")
    text, outcomes = told(stack, caplog, "https://sr.example", {"proxy": url})

    assert outcomes == ["connection" if status == "502" else "proxy_refused"]
    assert f"proxy {proxy.address}" in text
    assert [secret for secret in hidden() if secret in text] == []


class _Fails(requests.auth.AuthBase):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, request: Any) -> Any:
        raise self.error


UNSENDABLE: dict[str, Any] = {
    "a line break": Signed(Authorization=f"Bearer {SECRET}\n"),
    "a line break in bytes": Signed(Authorization=f"Bearer {SECRET}\r\n".encode()),
    "a folded line": Signed(Authorization=f"Bearer {SECRET}\r\n x"),
    "a nul": Signed(Authorization=f"Bearer {SECRET}\0"),
    "no latin-1": Signed(Authorization=f"Bearer {SECRET}€"),
    "a name": Signed(**{f"X {SECRET}": "x"}),
    "no text": Signed(X_Secret=[SECRET]),
    "a value of its own": _Fails(ValueError(SECRET)),
    "its network": _Fails(requests.ConnectionError(SECRET)),
    "its time": _Fails(TimeoutError(SECRET)),
    "its file": _Fails(FileNotFoundError(2, "no", SECRET)),
    "nothing given": lambda request: None,
}


@pytest.mark.parametrize("auth", UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_an_auth_that_does_not_serve_ends_the_call_at_once_without_its_words(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, schema_registry: SchemaRegistryServer, auth: Any
) -> None:
    conf = {"http.auth": auth, "max.retries": 3}
    text, outcomes = told(stack, caplog, schema_registry.url, conf)

    assert outcomes == ["unsendable"]
    assert "the request could not be built" in text
    assert SECRET not in text
    assert not schema_registry.requests


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_a_host_that_can_be_no_name_is_not_asked_for_again(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    _, outcomes = told(stack, caplog, f"http://{host}:8081", {"max.retries": 3})
    assert outcomes == ["unsendable"]


def test_urllib3_logs_no_query(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, schema_registry: SchemaRegistryServer
) -> None:
    schema_registry.fail_next(redirect(f"{schema_registry.url}/elsewhere?key={quote(SECRET)}"))
    text, _ = told(stack, caplog, schema_registry.url, {})

    assert [request.path for request in schema_registry.requests][1].endswith(f"?key={quote(SECRET)}")
    assert "/elsewhere HTTP/1.1" in text
    assert quote(SECRET) not in text


@pytest.mark.parametrize("failing", [False, True])
def test_a_key_in_the_token_servers_url_is_not_told(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, schema_registry: SchemaRegistryServer, failing: bool
) -> None:
    def answers(head: bytes, _: bytes) -> bytes:
        target = head.decode().split()[1]
        return answer("500 Oh", f"no: {target}, {SECRET}") if failing else answer("200 OK", '{"access_token": "t"}')

    server = RawServer(answers)
    stack.callback(server.close)
    schema_registry.fail_always(error(500))
    conf = {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": "me",
        "bearer.auth.client.secret": "x",
        "bearer.auth.issuer.endpoint.url": f"{server.url}/token?key={quote(SECRET, safe='')}",
    }
    text, _ = told(stack, caplog, schema_registry.url, conf)

    assert server.heads
    assert [secret for secret in hidden() if secret in text] == []


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"access_token": SECRET}),
        json.dumps({"refresh_token": SECRET, "error": SECRET}),
        "upstream said: access_token=zq-hidden.zq-hidden",
    ],
)
def test_a_token_in_a_failure_of_its_server_is_not_told(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, schema_registry: SchemaRegistryServer, body: str
) -> None:
    tokens = stack.enter_context(TokenServer())
    tokens.fail_always(faulty(500, body))
    conf = {
        "bearer.auth.credentials.source": "OAUTHBEARER",
        "bearer.auth.client.id": TokenServer.ID,
        "bearer.auth.client.secret": TokenServer.SECRET,
        "bearer.auth.issuer.endpoint.url": tokens.endpoint,
    }
    text, _ = told(stack, caplog, schema_registry.url, conf)

    assert tokens.requests
    assert "zq" not in text


def test_what_holds_credentials_does_not_show_them() -> None:
    conf = {"schema.registry.url": f"http://me:{quote(SECRET, safe='')}@sr.example", "sasl.password": SECRET}
    parts = split(conf, is_key=False)
    settings = parse(ClientSettings, parts.client)

    assert settings.urls.user_info == ("me", SECRET)
    assert "zq" not in f"{parts} {settings} {settings.urls}"


LINK_LOCAL = [
    "169.254.169.254",
    "169.254.1.1:8081",
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where connections were begun, other than to this machine; none is made."""
    begun: list[Any] = []
    real = socket.socket.connect

    def connect(sock: socket.socket, address: Any) -> None:
        if address[0] in ("127.0.0.1", "localhost"):
            return real(sock, address)
        begun.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return begun


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "by proxy"])
@pytest.mark.parametrize("host", LINK_LOCAL)
def test_a_redirect_leads_to_no_link_local_address(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, dialled: list[Any], host: str, proxied: bool
) -> None:
    away = f"http://{host}/latest/meta-data"
    server = RawServer(lambda *_: answer("307 There", "", f"Location: {away}"))
    stack.callback(server.close)
    text, outcomes = told(stack, caplog, server.url, {"proxy": server.url if proxied else ""})

    assert "a redirect to a link-local address" in text
    assert (outcomes, dialled, len(server.heads)) == (["bad_answer"], [], 1)


def test_a_redirect_by_a_name_leads_to_no_link_local_address(
    stack: ExitStack,
    caplog: pytest.LogCaptureFixture,
    dialled: list[Any],
    schema_registry: SchemaRegistryServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any) -> Any:
        return real("169.254.169.254" if host == "metadata.example" else host, port, *args)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    schema_registry.fail_always(redirect("http://metadata.example/"))
    text, outcomes = told(stack, caplog, schema_registry.url, {"proxy": ""})

    assert "a redirect to a link-local address" in text
    assert (outcomes, dialled) == (["bad_answer"], [])


@pytest.mark.parametrize("where", ["http://[::1", "http://a..b/", f"http://{'a' * 64}/", "http://a:99999/"])
def test_a_redirect_to_where_nobody_can_be_is_the_servers_fault(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    server = RawServer(lambda *_: answer("307 There", "", f"Location: {where}"))
    stack.callback(server.close)
    text, outcomes = told(stack, caplog, server.url, {"max.retries": 1})

    assert outcomes == ["bad_answer"] * 2
    assert "a redirect that cannot be followed" in text


def test_a_registry_may_have_a_link_local_address(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, dialled: list[Any]
) -> None:
    told(stack, caplog, "http://169.254.7.7:8081", {"proxy": "", "total.timeout.ms": 2000})
    assert dialled == [("169.254.7.7", 8081)]


THEIRS = "zq-not-ours-zq"


@pytest.mark.parametrize(
    "theirs",
    [
        answer("404 Not Found", THEIRS),
        answer("409 Conflict", json.dumps({"error_code": 409, "message": THEIRS})),
        answer("500 Oh", json.dumps({"error_code": 50001, "message": THEIRS})),
        answer("200 OK", json.dumps({"id": THEIRS})),
        answer("200 OK", json.dumps({"id": 1, "schemaType": THEIRS})),
        f"{THEIRS}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{THEIRS}\r\n".encode(),
    ],
)
def test_what_another_origin_answers_to_a_redirect_is_not_told(
    stack: ExitStack, caplog: pytest.LogCaptureFixture, schema_registry: SchemaRegistryServer, theirs: bytes
) -> None:
    other = RawServer(lambda *_: theirs)
    stack.callback(other.close)
    schema_registry.fail_always(redirect(other.url))
    text, outcomes = told(stack, caplog, schema_registry.url, {"basic.auth.user.info": f"me:{SECRET}"})

    assert other.heads
    assert outcomes
    assert THEIRS not in text
    assert not any(b"authorization" in head.lower() for head in other.heads)
