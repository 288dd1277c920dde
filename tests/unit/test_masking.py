"""A secret is found in a text however it is written there, and nothing else is masked."""

from __future__ import annotations

import base64
import functools
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from kafka_sr_retry.registry.masking import masked, of_headers, of_proxy

SECRET = "zqhidden/h+\"é&='<% zq"

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "quoted": quote,
    "wholly quoted": lambda text: quote(text, safe=""),
    "quoted in small letters": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text)),
    "quoted twice": lambda text: quote(quote(text)),
    "quoted by each of many redirects": lambda text: functools.reduce(lambda text, _: quote(text), range(20), text),
    "quoted as Latin-1": lambda text: quote(text, encoding="latin-1"),
    "in a form": quote_plus,
    "as HTML": html.escape,
    "in HTML's numbers": lambda text: "".join(c if c.isalnum() and c.isascii() else f"&#{ord(c)};" for c in text),
    "as JSON": lambda text: json.dumps(text)[1:-1],
    "as JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "as Go's JSON": lambda text: re.sub("[<>&+]", lambda c: f"\\u{ord(c[0]):04x}", json.dumps(text)[1:-1]),
    "as PHP's JSON": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "as JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "as a repr": lambda text: repr(text.encode())[2:-1],
    "in base64": lambda text: _base64(text),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "with line breaks": lambda text: "\r\n ".join(text),
    "as JSON, with line breaks": lambda text: json.dumps("\n".join(text))[1:-1],
    "quoted, with line breaks": lambda text: "\n".join(quote(text)),
    "read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "read as Latin-1 three times, by a redirect's": lambda text: quote(_misread(_misread(_misread(text)))),
    "in Latin-1": lambda text: text.encode("latin-1").decode(errors="surrogateescape"),
}


def _misread(text: str) -> str:
    return text.encode().decode("latin-1")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_as_it_may_be_repeated(form: str) -> None:
    text = f"<p>no such user: {FORMS[form](SECRET)}, 100 %</p>"
    assert masked(text, [SECRET]) == "<p>no such user: ***, 100 %</p>"


def test_a_secret_that_is_not_latin_is_masked_with_line_breaks_in_json() -> None:
    secret = "zqhidden\u00e9\u20aczqword\u6f22"
    broken = "\n".join(secret[at : at + 7] for at in range(0, len(secret), 7))
    assert masked(f"no such user: {json.dumps(broken)[1:-1]}, 100 %", [secret]) == "no such user: ***, 100 %"


def test_a_secret_with_quoted_percent_signs_is_masked() -> None:
    secret = "zq%25hidden%2525zq"
    assert masked(f"no: {secret}, {quote(secret)}, {quote(quote(secret))}", [secret]) == "no: ***, ***, ***"


@pytest.mark.parametrize("before", ["", "x", "xy"])
def test_base64_is_masked_wherever_in_it_the_secret_stands(before: str) -> None:
    text = masked(f"sent {_base64(before + SECRET + before)}", [SECRET])
    assert text.startswith("sent ")
    assert "***" in text
    assert len(text) < len("sent ***") + 16


def test_the_beginning_of_a_long_secret_is_masked() -> None:
    token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
    assert masked(f"a bad token: {token[:20]}... is of no use", [token]) == "a bad token: ***... is of no use"
    assert masked("eyJ is how they begin", [token]) == "eyJ is how they begin"


def test_a_short_secret_is_masked_as_a_whole_alone() -> None:
    assert masked("z q, zq and enE=: a quiz", ["zq"]) == "z q, *** and ***: a quiz"


@pytest.mark.parametrize("text", ["", "100 % of \\d &amp; \\u00", "\\ud83d\\ude00 \ud800 é %zz &nosuch; \\x \\"])
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert masked(text, [SECRET, "zq"]) == text
    assert masked(text, []) == text


@pytest.mark.parametrize("password", ["zq", "zqé-hidden", "z:q"])
def test_basic_credentials_hide_their_password(password: str) -> None:
    for encoding in ("utf-8", "latin-1"):
        value = base64.b64encode(f"me:{password}".encode(encoding)).decode()
        assert password in of_headers([("Authorization", f"Basic {value}")])


def test_a_user_without_a_password_is_a_key() -> None:
    assert "zq-key" in of_headers([("Authorization", f"Basic {_base64('zq-key:')}")])
    assert of_proxy("http://zq%2Dkey:@proxy:3128") == {"zq%2Dkey", "zq-key"}
    assert of_proxy("http://proxy:3128") == frozenset()
    assert "me" not in of_headers([("Authorization", f"Basic {_base64('me:zq-hidden')}")])
    assert "me" not in of_proxy("http://me:zq@proxy:3128")
