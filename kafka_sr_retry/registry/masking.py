"""What must not be told of a request, in all the forms in which a server may repeat it."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote, urlsplit

_LONG, _LONG_IN_CREDENTIALS = 8, 4
"""Characters from which on a header's value, or a part of it, is masked: masking shorter ones would spoil texts."""

_CREDENTIALS = re.compile("auth|key|token|secret|cookie|session|passw|credential|signature|jwt", re.IGNORECASE)
"""In the names of headers that hold credentials."""

BEGINNING = 12
"""Characters of a longer secret's beginning that are masked where no more of it stands, as a server may cut it."""

_DEEPEST = 10
"""How often a text may have been quoted: JSON in JSON, a URL in HTML, a redirect that repeats another one's."""


def names_credentials(header: str) -> bool:
    """Whether a header of that name may hold some."""
    return _CREDENTIALS.search(header) is not None


def of_headers(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The credentials in these headers' values, whole and in parts: of ``Basic``, the password too, however short."""
    return frozenset().union(*(_of_header(name, value) for name, value in headers))


@lru_cache(maxsize=64)
def _of_header(name: str, value: str) -> frozenset[str]:
    least = _LONG_IN_CREDENTIALS if names_credentials(name) else _LONG
    scheme, _, rest = value.partition(" ")
    password = of_pair(*_pair(_decoded(rest.strip()))) if scheme.lower() == "basic" else ""
    return frozenset(part for part in _parts(value) if len(part) >= least or (part and part == password))


def of_pair(user: str, password: str) -> str:
    """The secret of the two: a user's name without a password is one, as that of a service's key."""
    return password or user


def of_query(url: str) -> frozenset[str]:
    """The credentials in a URL's query, which is there for them: a signature, a key."""
    return of_headers([("key", urlsplit(url).query)])


def of_proxy(url: str) -> frozenset[str]:
    """The password in a proxy's URL."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    secret = of_pair(parts.username or "", parts.password or "")
    return frozenset(filter(None, (secret, unquote(secret))))


def masked(text: str, secrets: Iterable[str]) -> str:
    """A text with ``***`` where a secret stands in it: as it is, with line breaks, quoted for a URL, HTML, JSON or
    Python, or in base64, on its own or within something longer."""
    needles = {needle for secret in secrets if secret for needle in _needles(secret)}
    if not needles:
        return text
    short = {needle for needle in needles if len(needle) < _LONG}
    whole = _Reading.of(text)
    spans = [*whole.spans(short, _QUOTED), *whole.replacing(_BLANKS).spans(needles - short, _QUOTED_OR_BLANK)]
    shown, end = "", 0
    for start, stop in sorted(spans):
        if start >= end:
            shown += f"{text[end:start]}***"
        end = max(end, stop)
    return shown + text[end:]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text's bytes, one in each character, once it is read in some way, and from where to where each stood."""

    text: str
    starts: list[int]
    stops: list[int]

    @classmethod
    def of(cls, text: str) -> _Reading:
        places = range(len(text))
        return cls(text, [*places], [at + 1 for at in places]).replacing(_NO_ASCII)

    def replacing(self, what: re.Pattern[str]) -> _Reading:
        """What it is with that read as what it means."""
        texts: list[str] = []
        starts: list[int] = []
        stops: list[int] = []
        at = 0
        for found in what.finditer(self.text):
            start, stop = found.span()
            meant = _meant(found[0])
            texts += (self.text[at:start], meant)
            starts += self.starts[at:start] + [self.starts[start]] * len(meant)
            stops += self.stops[at:start] + [self.stops[stop - 1]] * len(meant)
            at = stop
        return _Reading("".join(texts) + self.text[at:], starts + self.starts[at:], stops + self.stops[at:])

    def spans(self, needles: Collection[str], what: re.Pattern[str]) -> Iterator[tuple[int, int]]:
        """Where one of them stands, however often what is around it is quoted."""
        read = self
        for _ in range(_DEEPEST if needles else 0):
            for needle in needles:
                yield from read.places(needle)
            before, read = read, read.replacing(what)
            if read.text == before.text:
                read = before.replacing(_MISREAD)
            if read.text == before.text:
                break

    def places(self, needle: str) -> Iterator[tuple[int, int]]:
        """Where it stands, or the beginning of a long one."""
        looked_for = needle if len(needle) < 16 else needle[:BEGINNING]
        at = self.text.find(looked_for)
        while at >= 0:
            stop = at + len(needle)
            if not self.text.startswith(needle, at):
                alike = zip(needle, self.text[at:stop], strict=False)
                stop = at + next((n for n, (one, other) in enumerate(alike) if one != other), len(self.text) - at)
            yield self.starts[at], self.stops[stop - 1]
            at = self.text.find(looked_for, stop)


_NO_ASCII = re.compile(r"[^\x00-\x7f]")
_BLANKS = re.compile(r"\s+")
_MISREAD = re.compile("[\xc2\xc3][\x80-\xbf]")
_QUOTED = re.compile(
    r"%(?:25){4,}(?=[0-9a-f]{2})|%[0-9a-f]{2}|&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});|\\x[0-9a-f]{2}"
    r"|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u[0-9a-f]{4}|\\[nrt]|\\(?=[^\w\s]).",
    re.IGNORECASE,
)
_QUOTED_OR_BLANK = re.compile(rf"{_QUOTED.pattern}|\s+", re.IGNORECASE)


def _meant(written: str) -> str:
    """A character as its bytes; a blank as nothing."""
    match written[0]:
        case "\xc2" | "\xc3" if len(written) == 2:  # UTF-8 that was taken for Latin-1, and written in UTF-8 again
            return written.encode("latin-1").decode()
        case "%":
            return chr(int(written[1:], 16)) if len(written) == 3 else "%"
        case "&":
            return _bytes(html.unescape(written))
        case "\\":
            match written[1].lower():
                case "x":
                    return chr(int(written[2:], 16))
                case "u":
                    return _bytes(json.loads(f'"{written.lower()}"'))
                case "n" | "r" | "t":
                    return " "
            return written[1]
    return "" if written.isspace() else _bytes(written)


def _bytes(text: str) -> str:
    """A text's bytes, one in each character."""
    try:
        return text.encode(errors="surrogateescape").decode("latin-1")
    except UnicodeEncodeError:  # half a character
        return text.encode(errors="surrogatepass").decode("latin-1")


@lru_cache(maxsize=256)
def _needles(secret: str) -> frozenset[str]:
    """A secret's bytes in UTF-8, taken for Latin-1, and in Latin-1; and each of them in base64."""
    plain = {_bytes(secret), _bytes(_bytes(secret))} | ({secret} if max(secret) <= "\xff" else set())
    plain |= {text.replace(" ", "+") for text in plain}
    written = plain | {form for text in plain for form in _in_base64(text.encode("latin-1"))}
    return frozenset(_BLANKS.sub("", text) if len(text) > _LONG else text for text in written)


def _in_base64(secret: bytes) -> Iterator[str]:
    whole = base64.b64encode(secret).decode()
    yield whole
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret).decode()
        part = encoded[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]  # the same, whatever is around it
        if len(part) >= _LONG:
            yield part
            yield part.translate(_FOR_URLS)
    yield whole.translate(_FOR_URLS)


_FOR_URLS = str.maketrans("+/", "-_")


def _parts(value: str) -> Iterator[str]:
    content = value.partition(" ")[2].strip() or value  # behind a scheme, such as Bearer
    for part in {value, content, *re.split(r"[\s,;]+", content), *re.split("[&;]", content)}:
        named = part.partition("=")[2].strip('"')
        yield from (part, named, unquote(named))
        decoded = _decoded(part)
        if decoded:
            yield decoded
            yield of_pair(*_pair(decoded))


def _pair(text: str) -> tuple[str, str]:
    user, colon, password = text.partition(":")
    return (user, password) if colon else ("", "")


def _decoded(text: str) -> str:
    try:
        decoded = base64.b64decode(text, validate=True)
        read = decoded.decode()
    except UnicodeDecodeError:
        read = decoded.decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
    return read if read.isprintable() else ""
