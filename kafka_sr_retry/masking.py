"""What must not be told of a request, in all the forms in which a server may repeat it."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

_SHORT = 8
"""Characters: a shorter part of a header is no credential, and masking it would spoil texts."""


def of_headers(values: Iterable[str]) -> frozenset[str]:
    """The credentials in these headers' values, whole and in parts: of ``Basic``, the password too."""
    return _forms(
        part for value in values for part in _parts(value) if len(part) >= _SHORT or _is_password(part, value)
    )


def of_proxy(url: str) -> frozenset[str]:
    """The password in a proxy's URL."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if not parts.password:
        return frozenset()
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    return _forms([parts.password, unquote(parts.password), pair])


def _parts(value: str) -> Iterator[str]:
    after_scheme = value.partition(" ")[2].strip()
    for part in {value, after_scheme, *re.split(r"[\s,;]+", value), *re.split("[&;]", after_scheme or value)}:
        content = part.partition("=")[2].strip('"')
        yield from (part, content, unquote(content))
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
