"""What must not be told of a request, in all the forms in which a server may repeat it."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

_LONG, _LONG_IN_CREDENTIALS = 8, 4
"""Characters from which on a header's value, or a part of it, is masked: masking shorter ones would spoil texts."""

_CREDENTIALS = re.compile("auth|key|token|secret|cookie|session|passw|credential|signature|jwt", re.IGNORECASE)
"""In the names of headers that hold credentials."""


def of_headers(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The credentials in these headers' values, whole and in parts: of ``Basic``, the password too, however short."""
    return frozenset().union(*(_of_header(name, value) for name, value in headers))


@lru_cache(maxsize=64)
def _of_header(name: str, value: str) -> frozenset[str]:
    least = _LONG_IN_CREDENTIALS if _CREDENTIALS.search(name) else _LONG
    return _forms(part for part in _parts(value) if len(part) >= least or _is_password(part, value))


def of_proxy(url: str) -> frozenset[str]:
    """The password in a proxy's URL."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if not parts.password:
        return frozenset()
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return _forms([parts.password, unquote(parts.password), pair])


def _parts(value: str) -> Iterator[str]:
    content = value.partition(" ")[2].strip() or value  # behind a scheme, such as Bearer
    for part in {value, content, *re.split(r"[\s,;]+", content), *re.split("[&;]", content)}:
        named = part.partition("=")[2].strip('"')
        yield from (part, named, unquote(named))
        decoded = _decoded(part)
        if decoded:
            yield decoded
            yield decoded.partition(":")[2]


def _is_password(part: str, value: str) -> bool:
    scheme, _, rest = value.partition(" ")
    return bool(part) and scheme.lower() == "basic" and _decoded(rest.strip()).partition(":")[2] == part


def _decoded(text: str) -> str:
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return decoded if decoded.isprintable() else ""


def _forms(secrets: Iterable[str]) -> frozenset[str]:
    return frozenset(
        form
        for secret in secrets
        for form in (
            secret,
            quote(secret),
            quote(secret, safe=""),
            quote_plus(secret),
            html.escape(secret),
            json.dumps(secret)[1:-1],
            base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode(),
        )
    )
