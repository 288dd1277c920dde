"""What goes wrong, on the wire: all answers of tests/spec, no answer, and servers that repeat what they were sent."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import ssl
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import trustme

from kafka_sr_retry.testing import Fault as OnTheWire
from kafka_sr_retry.testing import SchemaRegistryServer, drip, hang, no_leader, reset, swallow, truncate
from tests.embedded.servers import RawServer
from tests.spec import cases
from tests.spec.wire import fault as spec_fault

from .credentials import Kind, Way

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "quoted": quote,
    "wholly quoted": lambda text: quote(text, safe=""),
    "quoted in small letters": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "quoted twice": lambda text: quote(quote(text, safe=""), safe=""),
    "in a form": quote_plus,
    "as HTML": html.escape,
    "in HTML's decimals": lambda text: "".join(c if c.isascii() and c.isalnum() else f"&#{ord(c)};" for c in text),
    "in HTML's hexadecimals": lambda text: "".join(
        c if c.isascii() and c.isalnum() else f"&#x{ord(c):X};" for c in text
    ),
    "as JSON": lambda text: json.dumps(text)[1:-1],
    "as JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "as Go's JSON": lambda text: re.sub("[<>&'=+]", lambda c: f"\\u{ord(c[0]):04x}", json.dumps(text)[1:-1]),
    "as PHP's JSON": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "as JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "as a repr": lambda text: repr(text.encode()),
    "in base64": lambda text: _base64(text),
    "in base64 without padding": lambda text: _base64(text).rstrip("="),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "in base64 behind one byte": lambda text: _base64(f":{text}:"),
    "in base64 behind two bytes": lambda text: _base64(f'{{"{text}"}}'),
    "in base64 with line breaks": lambda text: base64.encodebytes(
        f"Authorization: Bearer {text}\r\n".encode()
    ).decode(),
    "with line breaks": lambda text: "\n".join(text[at : at + 7] for at in range(0, len(text), 7)),
    "with indented lines": lambda text: "\r\n    ".join(text[at : at + 23] for at in range(0, len(text), 23)),
    "read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "quoted as Latin-1": lambda text: quote(text, safe="", encoding="latin-1" if max(text) <= "ÿ" else "utf-8"),
}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass(frozen=True)
class Heard:
    """A request, and the credential; and what of it the server knows without the request."""

    head: bytes
    body: bytes
    secret: str
    known: str

    def repeats(self) -> list[str]:
        """The credential, the headers' values, and what they are made of."""
        line, *headers = self.head.decode("latin-1").split("\r\n")
        values = [line.split()[1].partition("?")[2].rpartition("=")[2]] if " " in line else []
        values += [value for name, _, value in (header.partition(": ") for header in headers) if _NAMES.search(name)]
        parts = [part for value in values for part in (value, value.rpartition(" ")[2], value.rpartition("=")[2])]
        return list(dict.fromkeys(filter(None, [self.known, *parts])))


_NAMES = re.compile("auth|key|token|cookie", re.IGNORECASE)


def answer(status: str, body: str | bytes, *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape")
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(content)}", "", ""])
    return head.encode("utf-8", "surrogateescape") + content


def _line(said: str) -> str:
    return " ".join(said.split())


REPEATED_IN: dict[str, Callable[[str], bytes]] = {
    "a message": lambda said: answer("409 Conflict", json.dumps({"error_code": 409, "message": said})),
    "a long message": lambda said: answer("422 No", json.dumps({"error_code": 42201, "message": f"{said} " * 40})),
    "a page": lambda said: answer("404 Not Found", f"<p>{said}</p>"),
    "a wrapped page": lambda said: answer("403 No", textwrap.fill(f"<p>{said}</p>", 30)),
    "other JSON": lambda said: answer("502 Oh", f'{{"reason": "{said}"}}', "Content-Type: application/json"),
    "a failure": lambda said: answer("500 Oh", said),
    "a packed failure": lambda said: answer("500 Oh", gzip.compress(said.encode()), "Content-Encoding: gzip"),
    "a refusal": lambda said: answer("401 No", said, f'WWW-Authenticate: Negotiate realm="{_line(said)[:30000]}"'),
    "a schema type": lambda said: answer("200 OK", json.dumps({"id": 1, "schemaType": said})),
    "a subject": lambda said: answer("200 OK", json.dumps({"id": 1, "schema": '"string"', "subject": said})),
    "no JSON": lambda said: answer("200 OK", said),
    "a reason": lambda said: answer(f"418 {_line(said)[:30000]}", ""),
    "a status line": lambda said: f"{_line(said)[:30000]}\r\n\r\n".encode(),
    "a chunk": lambda said: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{_line(said)}\r\n".encode(),
    "a header's name": lambda said: answer("200 OK", "", _line(said)[:30000].replace(":", "")),
    "a header": lambda said: answer("503 Oh", "", f"Retry-After: {_line(said)[:30000]}"),
    "a redirect": lambda said: answer("307 There", "", f"Location: /{_line(said)[:30000]}/?q={_line(said)[:9000]}"),
    "a redirect away": lambda said: answer("307 There", "", f"Location: http://127.0.0.1:1/{_line(said)[:30000]}"),
    "a redirect to no web": lambda said: answer("307 There", "", f"Location: ftp://{_line(said)[:30000]}/"),
    "a part of an answer": lambda said: answer("200 OK", f"{said}")[:-1],
}

TOKENS_REPEAT_IN: dict[str, Callable[[str], bytes]] = {
    "a description": lambda said: answer(
        "401 No", json.dumps({"error": "invalid_client", "error_description": f"not {said}"})
    ),
    "an error's name": lambda said: answer("400 No", json.dumps({"error": said})),
    "a page": REPEATED_IN["a page"],
    "a failure": REPEATED_IN["a failure"],
    "an answer of no use": lambda said: answer("200 OK", json.dumps({"message": said, "expires_in": said})),
    "a type": lambda said: answer("200 OK", json.dumps({"access_token": [said], "token_type": said})),
    "a reason": REPEATED_IN["a reason"],
    "a redirect": REPEATED_IN["a redirect"],
}

GIVEN_IN: dict[str, Callable[[str], bytes]] = {
    "a failure": lambda token: answer("500 Oh", json.dumps({"access_token": token, "expires_in": 60})),
    "a redirect's body": lambda token: answer("302 There", json.dumps({"access_token": token}), "X-None: x"),
    "half an answer": lambda token: answer("200 OK", json.dumps({"access_token": token}))[:-5],
    "a wrong lifetime": lambda token: answer("200 OK", json.dumps({"access_token": token, "expires_in": token})),
    "bad JSON": lambda token: answer("200 OK", json.dumps({"access_token": token})[:-1]),
    "a list": lambda token: answer("200 OK", json.dumps([{"access_token": token}])),
    "a token of no use": lambda token: answer("200 OK", json.dumps({"access_token": f"{token}\n"})),
    "a proxy's failure": lambda token: answer("503 Oh", f"upstream said: access_token={token}"),
}
"""Answers that bring a token, and are of no use."""

OWN_IN: dict[str, Callable[[str], bytes]] = {
    "a redirect's user": lambda said: answer("307 There", "", f"Location: http://me:{quote(said)}@127.0.0.1:1/"),
    "a redirect's user, back here": lambda said: answer("307 There", "", f"Location: http://me:{quote(said)}@HERE/"),
    "a redirect's odd user": lambda said: answer("307 There", "", f"Location: http://me:p@{said}:@127.0.0.1:1/x"),
    "a redirect's odd port": lambda said: answer("307 There", "", f"Location: http://127.0.0.1:{said}/"),
    "a redirect's query": lambda said: answer("307 There", "", f"Location: /elsewhere?key={said}#{said}"),
    "a redirect's host": lambda said: answer("307 There", "", f"Location: http://[{said}/"),
    "a redirect to a file": lambda said: answer("307 There", "", f"Location: file://me:{said}@host/{said}"),
    "a cookie": lambda said: answer("401 No", "", f"Set-Cookie: session={said}; Path=/"),
    "a challenge": lambda said: answer("401 No", "", f'WWW-Authenticate: Basic realm="{said}"'),
}
"""Secrets of a server's own, where only credentials and queries stand."""


@dataclass(frozen=True)
class Fault:
    """One of them.

    Attributes:
        at: which server has it; ``own``: a registry, and the credential is its own.
        replies: (what was heard) -> bytes.
        wire: or what the embedded registry does.
        address: or where the registry is.
        form: in which the server repeats it, empty where it does not.
    """

    name: str
    at: Literal["registry", "tokens", "proxy", "own"]
    ask: str = "register"
    replies: Callable[[Heard], bytes] | None = None
    wire: OnTheWire | None = None
    address: str = ""
    secure: bool = False
    form: str = ""

    def fits(self, kind: Kind) -> bool:
        if self.at == "own":
            return kind.shown == "own"
        if kind.shown == "own":
            return False
        if self.at == "tokens":
            known = not kind.gives_token or self.form.startswith("given") or not self.form
            return kind.asks_for_tokens and known
        if self.at == "proxy":
            return kind.shown == "proxy"
        if not kind.asks:
            return not self.form
        return kind.shown in ("registry", "proxy") or not self.form


def _repeating(place: Callable[[str], bytes], form: Callable[[str], str]) -> Callable[[Heard], bytes]:
    return lambda heard: place(" ".join(map(form, heard.repeats())))


def _first(place: Callable[[str], bytes]) -> Callable[[Heard], bytes]:
    return lambda heard: place(heard.secret).replace(b"HERE", heard.head.partition(b"Host: ")[2].split()[0])


def _whole_request(form: Callable[[str], str]) -> Callable[[Heard], bytes]:
    return lambda heard: answer("500 Oh", form(heard.head.decode("latin-1")))


def faults() -> Iterator[Fault]:
    """All of them."""
    for case in cases("answers"):
        played = spec_fault(case)
        if played is not None:
            of_tokens = case["ask"] == "token"
            ask = "register" if of_tokens else case["ask"]
            yield Fault(case["id"], "tokens" if of_tokens else "registry", ask, wire=played)
    for wire in (hang(), reset(), swallow(), truncate(), drip(0.2), drip(0.2, head=True), no_leader()):
        yield Fault(f"faults: {wire.name}", "registry", wire=wire)
        yield Fault(f"token server: {wire.name}", "tokens", wire=wire)
    for form, written in FORMS.items():
        for place, repeated in REPEATED_IN.items():
            yield Fault(f"{place}, {form}", "registry", replies=_repeating(repeated, written), form=form)
        for place, repeated in TOKENS_REPEAT_IN.items():
            yield Fault(f"token server: {place}, {form}", "tokens", replies=_repeating(repeated, written), form=form)
        yield Fault(f"the whole request, {form}", "registry", replies=_whole_request(written), form=form)
        for status in (403, 407, 502):
            replies = _repeating(_status(status), written)
            yield Fault(f"proxy: {status}, {form}", "proxy", replies=replies, form=form)
            yield Fault(f"proxy: {status} to CONNECT, {form}", "proxy", replies=replies, secure=True, form=form)
    for place, given in GIVEN_IN.items():
        yield Fault(f"token in {place}", "tokens", replies=_first(given), form=f"given in {place}")
    for place, own in OWN_IN.items():
        yield Fault(f"its own in {place}", "own", replies=_first(own))
    for name, address, secure in (
        ("nobody listens", "127.0.0.1:1", False),
        ("nobody listens, HTTPS", "127.0.0.1:1", True),
        ("no such name", f"{'a' * 64}.example:8081", False),
        ("no such host", "registry.invalid:8081", False),
        ("HTTPS to a plain server", "", True),
        ("an unknown certificate", "tls", True),
        ("a client's certificate is asked for", "mutual", True),
    ):
        yield Fault(name, "registry", address=address, secure=secure, replies=_repeating(REPEATED_IN["a failure"], str))


def _status(status: int) -> Callable[[str], bytes]:
    return lambda said: answer(f"{status} {_line(said)[:30000]}", said)


class Stage:
    """The servers; each plays one fault at a time."""

    def __init__(self, stack: ExitStack) -> None:
        self._replies: Callable[[Heard], bytes] = lambda heard: b""
        self._tokens: Callable[[Heard], bytes] = lambda heard: b""
        self._secret = self._known = ""
        self._raw = self._serve(stack, lambda: self._replies)
        self._raw_tokens = self._serve(stack, lambda: self._tokens)
        self._embedded = stack.enter_context(SchemaRegistryServer())
        ca = trustme.CA()
        plain, mutual = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        for context in (plain, mutual):
            ca.issue_cert("127.0.0.1").configure_cert(context)
        mutual.verify_mode = ssl.CERT_REQUIRED
        self._secure = {
            "tls": stack.enter_context(SchemaRegistryServer(ssl_context=plain)),
            "mutual": stack.enter_context(SchemaRegistryServer(ssl_context=mutual)),
        }

    def _serve(self, stack: ExitStack, now: Callable[[], Callable[[Heard], bytes]]) -> RawServer:
        server = RawServer(lambda head, body: now()(Heard(head, body, self._secret, self._known)))
        stack.callback(server.close)
        return server

    def play(self, fault: Fault, kind: Kind, secret: str) -> Way:
        """Where the servers are that play a fault, until the next one is played."""
        self._secret, self._known = secret, secret if kind.sent else ""
        self._embedded.recover()
        self._embedded.clear_requests()
        token = json.dumps({"access_token": secret if kind.gives_token else "token-1", "expires_in": 3600})
        self._tokens = lambda heard: answer("200 OK", token)
        self._replies = lambda heard: answer("200 OK", '{"id": 1}')
        registry, tokens = self._raw.address, self._raw_tokens.url
        if fault.wire is not None:
            self._embedded.fail_always(fault.wire)
            if fault.at == "tokens":
                tokens = self._embedded.url
            else:
                registry = self._embedded.url.partition("//")[2]
        elif fault.replies is not None and fault.at == "tokens":
            self._tokens = fault.replies
        elif fault.replies is not None:
            self._replies = fault.replies
        if fault.address:
            server = self._secure.get(fault.address)
            registry = server.url.partition("//")[2] if server else fault.address
        return Way(registry, f"{tokens}/oauth/token", fault.secure)


ASKS: dict[str, Callable[[Any, Any], Any]] = {
    "register": lambda client, schema: client.register_schema("orders-value", schema),
    "look_up": lambda client, schema: client.lookup_schema("orders-value", schema),
    "get_version": lambda client, schema: client.get_version("orders-value", 1),
    "get_latest": lambda client, schema: client.get_latest_version("orders-value"),
    "get_schema": lambda client, schema: client.get_schema(1),
    "associations": lambda client, schema: client.get_associated_subjects("orders", "cluster", "value"),
    "compatibility": lambda client, schema: client.test_compatibility("orders-value", schema),
}
