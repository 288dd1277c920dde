"""What a key may be given: (name, given value) -> the setting; each raises ``ConfigurationError``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from kafka_sr_retry.errors import ConfigurationError

from .keys import Parse
from .tls import Pem


def _wrong(name: str, value: Any, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{name} must be {expected}, not {type(value).__name__} {_shown(name, value)}", name)


def _shown(name: str, value: Any) -> str:
    """A value in an error's text; what may be or hold a secret is not shown."""
    secret = any(word in name for word in ("auth", "password", "token", "secret", "url", "proxy", "headers"))
    return "" if secret or not isinstance(value, (bool, int, float, str)) else repr(value)


def key_in(name: str) -> str:
    """What of it is written as a key is. Where more is behind, it may be a whole line, with a value in it."""
    return re.match(r"[\w.-]*", name)[0]  # type: ignore[index]


def number(low: float, high: float, *, scale: float = 1.0, whole: bool = False) -> Parse:
    def parse(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise _wrong(name, value, f"a number from {low:g} to {high:g}")
        if whole and value != int(value):
            raise _wrong(name, value, "a whole number")
        return int(value) if whole else value * scale

    return parse


def milliseconds(name: str, value: Any) -> float:
    return cast(float, number(0, 86_400_000, scale=0.001)(name, value))


def positive_milliseconds(name: str, value: Any) -> float:
    return cast(float, number(1, 86_400_000, scale=0.001)(name, value))


def boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(name, value, "a text that is not empty")
    return value


def function(name: str, value: Any) -> Any:
    if not callable(value):  # a text in its place may be anything
        raise ConfigurationError(f"{name} must be callable, not {type(value).__name__}", name)
    return value


def _mapping(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise _wrong(name, value, "a dict from text to text")
    return dict(value)


def properties(name: str, value: Any) -> dict[str, str]:
    properties = _mapping(name, value)
    if not properties:
        raise _wrong(name, value, "a dict that is not empty")
    return properties


def listeners(name: str, value: Any) -> tuple[Any, ...]:
    listeners = value if isinstance(value, list | tuple) and not callable(value) else (value,)
    return tuple(function(name, listener) for listener in listeners)


def header_mapping(name: str, value: Any) -> dict[str, str]:
    """Headers that may be added to a request; ``name`` says who gave them."""
    headers = _mapping(name, value)
    for header, content in headers.items():
        if not is_header(header, ""):  # it may be a whole line, with the value in it
            shown = re.match(f"({_HEADER.pattern})?", header)[0]  # type: ignore[index]
            raise ConfigurationError(
                f"{name} must name headers as HTTP allows, not {shown!r} with more behind it", name
            )
        if header.lower() in ("content-length", "transfer-encoding", "host"):
            raise ConfigurationError(f"{name} must not set {header}: it belongs to each request", name)
        if not is_header(header, content):
            raise ConfigurationError(f"{name} must give {header} a value without line breaks or outer blanks", name)
    return headers


def is_header(name: str, value: str) -> bool:
    """Whether they can be sent as RFC 9110, sections 5.5 and 5.6.2, has it."""
    return bool(_HEADER.fullmatch(name) and _HEADER_VALUE.fullmatch(value))


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?")


def header_value(name: str, value: Any) -> str:
    given = text(name, value)
    if not given.isascii() or not given.isprintable():
        raise ConfigurationError(f"{name} must be of ASCII characters, without line breaks", name)
    return given


def token(name: str, value: Any) -> str:
    given = text(name, value)
    if not is_token(given):
        raise ConfigurationError(f"{name} must be of ASCII characters, without white space or line breaks", name)
    return given


def is_token(text: str) -> bool:
    """Whether a text can be sent as a bearer token (RFC 6750, section 2.1, and what else is printable)."""
    return bool(text) and all("!" <= character <= "~" for character in text)


def pool(name: str, value: Any) -> str:
    pools = value if isinstance(value, (list, tuple)) else [value]
    if not pools:
        raise _wrong(name, value, "a text or a list of texts that is not empty")
    return ",".join(header_value(name, pool) for pool in pools)


def any_mapping(name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "a dict")
    return value


def issuer(name: str, value: Any) -> str:
    url = text(name, value)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.fragment
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc:
        raise ConfigurationError(
            f"{name} must begin with http:// or https:// and name a host, without credentials and fragment", name
        )
    return url


NO_SOCKS = "a SOCKS proxy needs the extra socks: pip install 'kafka-sr-retry[socks]'"


def has_socks() -> bool:
    """Whether the extra ``socks`` is installed."""
    return find_spec("socks") is not None


def proxy(name: str, value: Any) -> str:
    if isinstance(value, str) and not value:
        return value
    proxy = text(name, value)
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        usable = parts.scheme in ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
        usable = usable and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"{name} must be of the form http://host:port or http://user:password@host:port", name)
    if parts.scheme.startswith("socks") and not has_socks():
        raise ConfigurationError(f"{name}: {NO_SOCKS}", name)
    return proxy


def file(name: str, value: Any) -> str:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(path, str) or not os.path.exists(path):
        shown = f", not {value!r}" if path and "-----" not in path else ""
        raise ConfigurationError(f"{name} must be the path of a file that exists{shown}", name)
    return path


def path(name: str, value: Any) -> str:
    given = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(given, str) or not given or "\0" in given or os.path.isdir(given):
        raise _wrong(name, value, "the path of a file")
    return os.path.abspath(given)


def ca(name: str, value: Any) -> str | bool:
    return value if isinstance(value, bool) else file(name, value)


def pem(name: str, value: Any) -> Pem:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or "-----BEGIN " not in text:
        raise ConfigurationError(f"{name} must be a PEM text, which holds -----BEGIN; a path is for .location", name)
    return Pem(text)


def user_info(name: str, value: Any) -> tuple[str, str]:
    user, colon, password = text(name, value).partition(":")
    if not colon:
        raise ConfigurationError(f"{name} must be of the form user:password", name)
    return user, password


def choice(*choices: str) -> Parse:
    def parse(name: str, value: Any) -> str:
        if value not in choices:
            raise _wrong(name, value, f"one of {', '.join(choices)}")
        return cast(str, value)

    return parse


def strategy_type(name: str, value: Any) -> str:
    types = ("TOPIC", "RECORD", "TOPIC_RECORD", "ASSOCIATED")
    chosen = value.upper() if isinstance(value, str) else value
    if chosen not in types:
        raise _wrong(name, value, f"one of {', '.join(types)}")
    return str(getattr(chosen, "value", chosen))


CLUSTER_ID = "subject.name.strategy.kafka.cluster.id"
FALLBACK_TYPE = "subject.name.strategy.fallback.type"


def strategy_conf(name: str, value: Any) -> dict[str, str]:
    conf = _mapping(name, value)
    for key in conf:
        if key not in (CLUSTER_ID, FALLBACK_TYPE):
            shown = key if key == key_in(key) else "..."
            raise ConfigurationError(
                f"{name} holds the unknown key {shown}; known: {CLUSTER_ID}, {FALLBACK_TYPE}", name
            )
    fallback = conf.get(FALLBACK_TYPE, "TOPIC").upper()
    if fallback not in ("TOPIC", "RECORD", "TOPIC_RECORD", "NONE"):
        raise ConfigurationError(f"{FALLBACK_TYPE} must be one of TOPIC, RECORD, TOPIC_RECORD, NONE", name)
    return conf and conf | {FALLBACK_TYPE: fallback}


@dataclass(frozen=True, slots=True)
class Urls:
    """The endpoints' URLs, without the credentials that stood in them."""

    urls: tuple[str, ...]
    user_info: tuple[str, str] | None = field(repr=False)


def urls(name: str, value: Any) -> Urls:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(url, str) for url in given):
        raise _wrong(name, value, "a URL, a comma-separated list of URLs, or a list of URLs")
    safe = not any(mark in url for url in given for mark in "@?#")
    parsed = [_url(name, url.strip(), safe) for url in given if url.strip()]
    if not parsed:
        raise ConfigurationError(f"{name} names no URL: give one such as http://localhost:8081", name)
    infos = {info for _, info in parsed if info is not None}
    if len(infos) > 1:
        raise ConfigurationError(f"{name} holds URLs with differing credentials: give one pair for all", name)
    return Urls(tuple(dict.fromkeys(url for url, _ in parsed)), next(iter(infos), None))


def _url(name: str, url: str, safe: bool) -> tuple[str, tuple[str, str] | None]:
    shown = f", not {url!r}" if safe else ""  # elsewhere there may be credentials in it
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        is_readable = True
    except ValueError:
        is_readable = False
    if not is_readable:  # out here, as its context would show credentials
        raise ConfigurationError(f"{name} holds a URL whose host or port cannot be read{shown}", name)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if parts.scheme == "mock":
        raise ConfigurationError(
            f"{name}: there is no mock:// here; kafka_sr_retry.testing.SchemaRegistryServer is a registry "
            "for tests, over real HTTP",
            name,
        )
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ConfigurationError(f"{name} must begin with http:// or https:// and name a host{shown}", name)
    if "@" in parts.path:
        raise ConfigurationError(f"{name} must not hold an @ behind its host: encode a / in a password as %2F", name)
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{name} must not hold a query or a fragment", name)
    info = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return bare.rstrip("/"), info


def context(name: str, value: Any) -> str:
    context = text(name, value).strip(":")
    return f":{context if context.startswith('.') else '.' + context}:"
