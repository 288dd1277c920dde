"""Every configuration key, declared once, for validation, the docs' reference and ``kafka-sr-retry config``."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from confluent_kafka import KafkaException, Producer

from .errors import ConfigurationError
from .events import Event
from .registry.answers import is_token
from .registry.tls import Pem, Tls
from .schema import MAX_ID

PREFIX = "schema.registry."
"""Before a client's key in a producer's configuration."""

Parse = Callable[[str, Any], Any]
_Settings = TypeVar("_Settings")


@dataclass(frozen=True, slots=True)
class Key:
    """A configuration key.

    Attributes:
        name: as users write it, without a prefix.
        parse: (name, given value) -> the setting; raises ``ConfigurationError``.
        default: in the words of the documentation.
        takes: what it may be given, with the unit.
        meaning: one line.
    """

    name: str
    parse: Parse
    default: str
    takes: str
    meaning: str


def _key(name: str, parse: Parse, takes: str, default: Any, meaning: str, *, shown: str | None = None) -> Any:
    """A dataclass field that is set by a key; a default is parsed like a given value, unless it is ``None``."""
    if shown is None:
        shown = "-" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
    key = Key(name, parse, shown, takes, meaning)
    initial = default if default is None else parse(name, default)
    return dataclasses.field(default_factory=lambda: initial, metadata={"key": key})


def keys(settings: type) -> dict[str, Key]:
    """The keys of ``ClientSettings`` or ``SerializerSettings``, by name."""
    fields = [f.metadata["key"] for f in dataclasses.fields(settings) if "key" in f.metadata]
    return {key.name: key for key in fields}


def parse(settings: type[_Settings], conf: Mapping[str, Any], prefix: str = "") -> _Settings:
    """The typed settings of a configuration dict.

    Args:
        prefix: what the user wrote before each key, for messages.

    Raises:
        ConfigurationError: an unknown key, a wrong type or value, or settings that contradict each other.
    """
    return settings(**_parsed(settings, conf, prefix))


def _parsed(settings: type, conf: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The settings that are given, by the names of their fields."""
    known = keys(settings)
    _refuse_no_dict(conf)
    for name in conf:
        if name not in known:
            raise _unknown(name, prefix, known)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        key: Key = field.metadata["key"]
        given = conf.get(key.name)
        if given is not None and (key.name in _EMPTY_COUNTS or not (isinstance(given, str) and given == "")):
            values[field.name] = key.parse(prefix + key.name, conf[key.name])
    return values


def _refuse_no_dict(*given: object) -> None:
    for conf in given:
        if not isinstance(conf, Mapping):
            raise ConfigurationError(f"a configuration must be a dict, not {type(conf).__name__}", "conf")


def check_agreement(conf: Mapping[str, Any], settings: ClientSettings, prefix: str) -> None:
    """Refuses what a dict says of the client, where another client is used than the one that it describes.

    Raises:
        ConfigurationError: an unknown key, a wrong value, or one that differs from the client's.
    """
    given = _parsed(ClientSettings, conf, prefix)
    if "timeout" in given:
        given["request_timeout"] = given["timeout"]
    names = {field.name: field.metadata["key"].name for field in dataclasses.fields(ClientSettings)}
    for field, value in given.items():
        if not settings.has(field, value):
            raise ConfigurationError(
                f"{prefix}{names[field]} differs from the setting of the client that is given: leave it out, or make "
                "the client with it",
                f"{prefix}{names[field]}",
            )


_EMPTY_COUNTS = ("url", "proxy")
"""Keys for which an empty text does not stand for the default."""


def _unknown(name: str, prefix: str, known: Mapping[str, Key]) -> ConfigurationError:
    instead = _NOT_SUPPORTED.get(name)
    if instead is None and str(name).startswith(PREFIX) and not prefix:
        instead = f"here it stands without {PREFIX}"
    if instead is None and prefix and name in keys(SerializerSettings):
        instead = f"a serializer's key stands without {prefix}"
    if instead is None:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        instead = f"did you mean {prefix}{near[0]}?" if near else f"known keys: {', '.join(sorted(known))}."
    return ConfigurationError(f"unknown configuration key {prefix}{name}: {instead}", f"{prefix}{name}")


_CONFLUENT_RULES = (
    "not supported here; for rules use Confluent's AvroSerializer with kafka_sr_retry.confluent.SchemaRegistryClient."
)
_NOT_SUPPORTED = dict.fromkeys(
    ("validation.rules.execution", "validation.rules.fail.fast", "validation.rules.executor"), _CONFLUENT_RULES
)


def _wrong(name: str, value: Any, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{name} must be {expected}, not {type(value).__name__} {_shown(name, value)}", name)


def _shown(name: str, value: Any) -> str:
    """A value in an error's text; what may be or hold a secret is not shown."""
    secret = any(word in name for word in ("auth", "password", "token", "secret", "url", "proxy", "headers"))
    return "" if secret or not isinstance(value, (bool, int, float, str)) else repr(value)


def _number(low: float, high: float, *, scale: float = 1.0, whole: bool = False) -> Parse:
    def parse(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise _wrong(name, value, f"a number from {low:g} to {high:g}")
        if whole and value != int(value):
            raise _wrong(name, value, "a whole number")
        return int(value) if whole else value * scale

    return parse


def _milliseconds(name: str, value: Any) -> float:
    return cast(float, _number(0, 86_400_000, scale=0.001)(name, value))


def _positive_milliseconds(name: str, value: Any) -> float:
    return cast(float, _number(1, 86_400_000, scale=0.001)(name, value))


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(name, value, "a text that is not empty")
    return value


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise _wrong(name, value, "callable")
    return value


def _mapping(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise _wrong(name, value, "a dict from text to text")
    return dict(value)


def _properties(name: str, value: Any) -> dict[str, str]:
    properties = _mapping(name, value)
    if not properties:
        raise _wrong(name, value, "a dict that is not empty")
    return properties


def _listeners(name: str, value: Any) -> tuple[Any, ...]:
    listeners = value if isinstance(value, list | tuple) and not callable(value) else (value,)
    return tuple(_callable(name, listener) for listener in listeners)


def header_mapping(name: str, value: Any) -> dict[str, str]:
    """Headers that may be added to a request; ``name`` says who gave them."""
    headers = _mapping(name, value)
    for header, content in headers.items():
        if not is_header(header, ""):
            raise ConfigurationError(f"{name} must name headers as HTTP allows, not {header!r}", name)
        if header.lower() in ("content-length", "transfer-encoding", "host"):
            raise ConfigurationError(f"{name} must not set {header}: it belongs to each request", name)
        if not is_header(header, content):
            raise ConfigurationError(f"{name} must give {header} a value without line breaks or outer blanks", name)
    return headers


def is_header(name: str, value: str) -> bool:
    """Whether they can be sent as RFC 9110, sections 5.5 and 5.6.2, has it."""
    return bool(
        re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        and re.fullmatch(r"([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?", value)
    )


def _header_value(name: str, value: Any) -> str:
    text = _text(name, value)
    if not text.isascii() or not text.isprintable():
        raise ConfigurationError(f"{name} must be of ASCII characters, without line breaks", name)
    return text


def _token(name: str, value: Any) -> str:
    token = _text(name, value)
    if not is_token(token):
        raise ConfigurationError(f"{name} must be of ASCII characters, without white space or line breaks", name)
    return token


def _pool(name: str, value: Any) -> str:
    pools = value if isinstance(value, (list, tuple)) else [value]
    if not pools:
        raise _wrong(name, value, "a text or a list of texts that is not empty")
    return ",".join(_header_value(name, pool) for pool in pools)


def _any_mapping(name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "a dict")
    return value


def _issuer(name: str, value: Any) -> str:
    url = _text(name, value)
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


def _proxy(name: str, value: Any) -> str:
    if isinstance(value, str) and not value:
        return value
    proxy = _text(name, value)
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


def _file(name: str, value: Any) -> str:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else ""
    if not isinstance(path, str) or not os.path.exists(path):
        shown = f", not {value!r}" if path and "-----" not in path else ""
        raise ConfigurationError(f"{name} must be the path of a file that exists{shown}", name)
    return path


def _ca(name: str, value: Any) -> str | bool:
    return value if isinstance(value, bool) else _file(name, value)


def _pem(name: str, value: Any) -> Pem:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or "-----BEGIN " not in text:
        raise ConfigurationError(f"{name} must be a PEM text, which holds -----BEGIN; a path is for .location", name)
    return Pem(text)


def _user_info(name: str, value: Any) -> tuple[str, str]:
    user, colon, password = _text(name, value).partition(":")
    if not colon:
        raise ConfigurationError(f"{name} must be of the form user:password", name)
    return user, password


def _choice(*choices: str) -> Parse:
    def parse(name: str, value: Any) -> str:
        if value not in choices:
            raise _wrong(name, value, f"one of {', '.join(choices)}")
        return cast(str, value)

    return parse


def _strategy_type(name: str, value: Any) -> str:
    types = ("TOPIC", "RECORD", "TOPIC_RECORD", "ASSOCIATED")
    chosen = value.upper() if isinstance(value, str) else value
    if chosen not in types:
        raise _wrong(name, value, f"one of {', '.join(types)}")
    return str(getattr(chosen, "value", chosen))


CLUSTER_ID = "subject.name.strategy.kafka.cluster.id"
FALLBACK_TYPE = "subject.name.strategy.fallback.type"


def _strategy_conf(name: str, value: Any) -> dict[str, str]:
    conf = _mapping(name, value)
    for key in conf:
        if key not in (CLUSTER_ID, FALLBACK_TYPE):
            raise ConfigurationError(f"{name} holds the unknown key {key}; known: {CLUSTER_ID}, {FALLBACK_TYPE}", name)
    fallback = conf.get(FALLBACK_TYPE, "TOPIC").upper()
    if fallback not in ("TOPIC", "RECORD", "TOPIC_RECORD", "NONE"):
        raise ConfigurationError(f"{FALLBACK_TYPE} must be one of TOPIC, RECORD, TOPIC_RECORD, NONE", name)
    return conf and conf | {FALLBACK_TYPE: fallback}


@dataclass(frozen=True, slots=True)
class Urls:
    """The endpoints' URLs, without the credentials that stood in them."""

    urls: tuple[str, ...]
    user_info: tuple[str, str] | None


def _urls(name: str, value: Any) -> Urls:
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
    except ValueError:
        raise ConfigurationError(f"{name} holds a URL whose host or port cannot be read{shown}", name) from None
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


def _context(name: str, value: Any) -> str:
    context = _text(name, value).strip(":")
    return f":{context if context.startswith('.') else '.' + context}:"


_OWN_TLS = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password")

_BEARER: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "STATIC_TOKEN": (("token",), ()),
    "OAUTHBEARER": (("client.id", "client.secret", "issuer.endpoint.url"), ("scope", *_OWN_TLS)),
    "OAUTHBEARER_AZURE_IMDS": ((), ("issuer.endpoint.url", "issuer.endpoint.query", *_OWN_TLS)),
    "CUSTOM": (("custom.provider.function",), ("custom.provider.config",)),
}
"""The sources of bearer tokens: which of the keys under ``bearer.auth.`` each needs, and which it takes besides."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ClientSettings:
    """What a registry client works by; times in seconds."""

    urls: Urls = _key(
        "url",
        _urls,
        "URL(s)",
        None,
        "One URL or those of a cluster's nodes, comma-separated or a list. A path is kept; credentials are taken out.",
        shown="required",
    )
    randomize: bool = _key(
        "url.randomize",
        _boolean,
        "bool",
        False,
        "Begin at a random URL, so that a fleet spreads over the nodes.",
    )
    max_retries: int | None = _key(
        "max.retries",
        _number(0, 1_000_000, whole=True),
        "rounds",
        None,
        "Rounds after the first; a round asks each admitted endpoint once. Without it the deadline bounds.",
    )
    retries_wait: float = _key(
        "retries.wait.ms",
        _positive_milliseconds,
        "ms",
        100,
        "Base of the backoff: at most so much after the first failure, twice after the second, then about ten times, "
        "up to 1.15 s.",
    )
    retries_max_wait: float = _key(
        "retries.max.wait.ms",
        _positive_milliseconds,
        "ms",
        20000,
        "Cap of the backoff: in a longer outage the wait grows to a tenth of its age.",
    )
    connect_timeout: float = _key(
        "connect.timeout.ms",
        _positive_milliseconds,
        "ms",
        2000,
        "TCP and TLS, over all addresses of a name together.",
    )
    request_timeout: float = _key(
        "request.timeout.ms",
        _positive_milliseconds,
        "ms",
        10000,
        "One attempt, from the name look-up to the last byte, also when bytes drip.",
    )
    total_timeout: float = _key(
        "total.timeout.ms",
        _positive_milliseconds,
        "ms",
        30000,
        "One call with everything in it: references, token, waits, failovers.",
    )
    timeout: float | None = _key(
        "timeout", _number(0.001, 86_400), "s", None, "Confluent's key: sets request.timeout.ms, in seconds."
    )
    credentials_source: str | None = _key(
        "basic.auth.credentials.source",
        _choice("USER_INFO", "URL", "SASL_INHERIT"),
        "USER_INFO, URL or SASL_INHERIT",
        None,
        "Where the user and password stand; SASL_INHERIT reads the producer's sasl.username and sasl.password.",
    )
    user_info: tuple[str, str] | None = _key(
        "basic.auth.user.info", _user_info, "user:password", None, "HTTP basic credentials."
    )
    bearer_source: str | None = _key(
        "bearer.auth.credentials.source",
        _choice(*_BEARER),
        ", ".join(_BEARER),
        None,
        "Where the bearer token comes from. OAuth tokens are renewed at 80% of their lifetime, and once after a 401.",
    )
    bearer_token: str | None = _key("bearer.auth.token", _token, "text", None, "STATIC_TOKEN: the token.")
    bearer_client_id: str | None = _key(
        "bearer.auth.client.id", _text, "text", None, "OAUTHBEARER: the client of the client credentials grant."
    )
    bearer_client_secret: str | None = _key(
        "bearer.auth.client.secret", _text, "text", None, "OAUTHBEARER: the client's secret."
    )
    bearer_scope: str | None = _key(
        "bearer.auth.scope", _text, "text", None, "OAUTHBEARER: scopes, with spaces between them; may be left out."
    )
    bearer_issuer: str | None = _key(
        "bearer.auth.issuer.endpoint.url",
        _issuer,
        "URL",
        None,
        "OAUTHBEARER: the token endpoint. OAUTHBEARER_AZURE_IMDS: in place of Azure's own.",
    )
    bearer_query: str | None = _key(
        "bearer.auth.issuer.endpoint.query",
        _header_value,
        "text",
        None,
        "OAUTHBEARER_AZURE_IMDS: such as api-version=2018-02-01&resource=...; may be left out with a URL of your own.",
    )
    bearer_function: Callable[[Any], Any] | None = _key(
        "bearer.auth.custom.provider.function",
        _callable,
        "callable",
        None,
        "CUSTOM: config -> dict with bearer.auth.token, or the token; called for each request, so it keeps what lasts.",
    )
    bearer_config: Mapping[Any, Any] | None = _key(
        "bearer.auth.custom.provider.config",
        _any_mapping,
        "dict",
        None,
        "CUSTOM: what the function is given.",
        shown="{}",
    )
    bearer_cluster: str | None = _key(
        "bearer.auth.logical.cluster",
        _header_value,
        "id",
        None,
        "Confluent Cloud: the registry's logical cluster (target-sr-cluster); may be left out elsewhere.",
    )
    bearer_pool: str | None = _key(
        "bearer.auth.identity.pool.id",
        _pool,
        "id(s)",
        None,
        "Confluent Cloud: identity pools, comma-separated or a list.",
    )
    bearer_ca: str | bool | None = _key(
        "bearer.auth.ssl.ca.location",
        _ca,
        "path",
        None,
        "CA certificates for the token's server, then the only ones it is judged by.",
        shown="system trust and ssl.ca.*",
    )
    bearer_certificate: str | None = _key(
        "bearer.auth.ssl.certificate.location",
        _file,
        "path",
        None,
        "The client's certificate (PEM) for the token's server, which is not shown the registry's.",
    )
    bearer_key: str | None = _key("bearer.auth.ssl.key.location", _file, "path", None, "Its private key (PEM).")
    bearer_key_password: str | None = _key(
        "bearer.auth.ssl.key.password", _text, "text", None, "Password of that private key."
    )
    ca: str | bool | None = _key(
        "ssl.ca.location",
        _ca,
        "path",
        None,
        "File or folder of CA certificates, then the only ones trusted. False trusts any server: never in production.",
        shown="system trust",
    )
    certificate: str | None = _key(
        "ssl.certificate.location", _file, "path", None, "The client's certificate (PEM) for mutual TLS."
    )
    private_key: str | None = _key(
        "ssl.key.location", _file, "path", None, "Its private key (PEM); may stand in the certificate's file."
    )
    key_password: str | None = _key("ssl.key.password", _text, "text", None, "Password of the private key.")
    ca_pem: Pem | None = _key("ssl.ca.pem", _pem, "PEM", None, "CA certificates as a text, in place of the file.")
    certificate_pem: Pem | None = _key("ssl.certificate.pem", _pem, "PEM", None, "The client's certificate as a text.")
    private_key_pem: Pem | None = _key("ssl.key.pem", _pem, "PEM", None, "Its private key as a text.")
    proxy: str | None = _key(
        "proxy",
        _proxy,
        "URL",
        None,
        "HTTP or SOCKS proxy for all requests, those for tokens too; with user:password@ where it asks for them; an "
        "empty text for none.",
        shown="HTTP(S)_PROXY, NO_PROXY",
    )
    http_headers: Mapping[str, str] = _key(
        "http.headers", header_mapping, "dict", {}, "Extra headers, sent to the configured origins only."
    )
    http_auth: Callable[[Any], Any] | None = _key(
        "http.auth", _callable, "requests.auth.AuthBase", None, "Any signing scheme that exists for requests."
    )
    max_in_flight: int = _key(
        "max.in.flight",
        _number(1, 10_000, whole=True),
        "requests",
        64,
        "Requests under way at once; more wait their turn.",
    )
    context: str | None = _key("context", _context, "name", None, "A registry context for all subjects (:.name:).")
    cache_capacity: int = _key(
        "cache.capacity",
        _number(1, 1_000_000_000, whole=True),
        "entries",
        100_000,
        "Ids and schemas kept in memory, 128 Mi characters of schemas at most; the oldest goes first.",
    )
    cache_latest_ttl: float | None = _key(
        "cache.latest.ttl.sec",
        _number(0.001, 31_536_000),
        "s",
        None,
        "For use.latest.version: after it the old version serves on, and one request refreshes it.",
    )
    refusal_cache_ttl: float = _key(
        "refusal.cache.ttl.ms",
        _milliseconds,
        "ms",
        30000,
        "How long a final refusal of a schema (409, 422) answers again; 403 and 404 for a sixth of it; 401 never.",
    )
    event_cb: tuple[Callable[[Event], object], ...] = _key(
        "event_cb",
        _listeners,
        "callable or list",
        (),
        "Called with one frozen event for each thing that happens on the way; each of a list is.",
        shown="-",
    )

    def __post_init__(self) -> None:
        if self.urls is None:
            raise ConfigurationError("url is required, such as http://localhost:8081", "url")
        if self.timeout is not None:
            object.__setattr__(self, "request_timeout", self.timeout)
        self._check_tls()
        if self.user_info and self.urls.user_info:
            raise ConfigurationError(
                "basic.auth.user.info and credentials in the URL contradict each other: give one of them",
                "basic.auth.user.info",
            )
        if self.credentials_source == "SASL_INHERIT" and not self.user_info:
            raise ConfigurationError(
                "basic.auth.credentials.source=SASL_INHERIT needs the producer's sasl.username and sasl.password",
                "basic.auth.credentials.source",
            )
        if self.credentials_source == "URL" and not self.urls.user_info:
            raise ConfigurationError(
                "basic.auth.credentials.source=URL needs credentials in the URL", "basic.auth.credentials.source"
            )
        if self.credentials_source == "USER_INFO" and not self.user_info:
            raise ConfigurationError(
                "basic.auth.credentials.source=USER_INFO needs basic.auth.user.info", "basic.auth.user.info"
            )
        if self.http_auth and self.basic_credentials:
            raise ConfigurationError("http.auth and basic credentials contradict each other", "http.auth")
        self._check_bearer()

    def _check_tls(self) -> None:
        certificate = self.certificate or self.certificate_pem
        for key, given, needs in (
            ("ssl.key.location", self.private_key, certificate),
            ("ssl.key.pem", self.private_key_pem, certificate),
            ("ssl.key.password", self.key_password, certificate),
            ("bearer.auth.ssl.key.location", self.bearer_key, self.bearer_certificate),
            ("bearer.auth.ssl.key.password", self.bearer_key_password, self.bearer_certificate),
        ):
            if given and not needs:
                needed = f"{key.rpartition('key.')[0]}certificate.location"
                raise ConfigurationError(f"{key} needs {needed}", key)
        for key, text, location in (
            ("ssl.ca", self.ca_pem, self.ca),
            ("ssl.certificate", self.certificate_pem, self.certificate),
            ("ssl.key", self.private_key_pem, self.private_key),
        ):
            if text is not None and location is not None:
                raise ConfigurationError(
                    f"{key}.pem and {key}.location contradict each other: give one of them", f"{key}.pem"
                )

    def _check_bearer(self) -> None:
        prefix, source = "bearer.auth.", self.bearer_source
        given = {
            field.metadata["key"].name.removeprefix(prefix)
            for field in dataclasses.fields(self)
            if field.metadata["key"].name.startswith(prefix) and getattr(self, field.name) is not None
        }
        if source is None:
            if given:
                first = prefix + min(given)
                raise ConfigurationError(
                    f"{first} needs bearer.auth.credentials.source: one of {', '.join(_BEARER)}", first
                )
            return
        needed, taken = _BEARER[source]
        if source == "OAUTHBEARER_AZURE_IMDS" and "issuer.endpoint.url" not in given:
            needed = ("issuer.endpoint.query",)
        missing = [prefix + name for name in needed if name not in given]
        if missing:
            raise ConfigurationError(f"bearer.auth.credentials.source={source} needs {', '.join(missing)}", missing[0])
        strange = sorted(given - {*needed, *taken, "credentials.source", "logical.cluster", "identity.pool.id"})
        if strange:
            raise ConfigurationError(
                f"bearer.auth.credentials.source={source} has no use for {prefix}{strange[0]}", prefix + strange[0]
            )
        rivals = {
            "basic credentials": self.basic_credentials,
            "basic.auth.credentials.source": self.credentials_source,
            "http.auth": self.http_auth,
            "an Authorization in http.headers": any(name.lower() == "authorization" for name in self.http_headers),
        }
        for rival, there in rivals.items():
            if there:
                raise ConfigurationError(
                    f"bearer.auth.credentials.source and {rival} contradict each other: give one of them",
                    "bearer.auth.credentials.source",
                )

    @property
    def basic_credentials(self) -> tuple[str, str] | None:
        return self.user_info or self.urls.user_info

    def has(self, field: str, value: Any) -> bool:
        """Whether a client with this value under ``field`` would do as this one does."""
        match field:
            case "urls":
                return bool(value.urls == self.urls.urls and value.user_info in (None, self.basic_credentials))
            case "user_info":
                return bool(value == self.basic_credentials)
            case "credentials_source":
                return self.basic_credentials is not None
            case "timeout":
                return bool(value == self.request_timeout)
        return bool(value == getattr(self, field))

    @property
    def tls(self) -> Tls:
        return Tls(
            self.ca if self.ca_pem is None else self.ca_pem,
            self.certificate or self.certificate_pem,
            self.private_key or self.private_key_pem,
            self.key_password,
        )

    @property
    def asks_for_tokens(self) -> bool:
        """Whether tokens come from a server, over ``token_tls``."""
        return self.bearer_source in ("OAUTHBEARER", "OAUTHBEARER_AZURE_IMDS")

    @property
    def token_tls(self) -> Tls:
        own = self.bearer_ca is not None
        return Tls(
            self.bearer_ca if own else self.tls.ca,
            self.bearer_certificate,
            self.bearer_key,
            self.bearer_key_password,
            system_too=not own,
            prefix="bearer.auth.ssl.",
        )


@dataclass(frozen=True, kw_only=True)
class SerializerSettings:
    """What a serializer works by; Confluent's keys and meanings."""

    auto_register: bool = _key(
        "auto.register.schemas",
        _boolean,
        "bool",
        True,
        "Register the schema; otherwise look it up, and fail where it is not registered.",
    )
    normalize: bool = _key("normalize.schemas", _boolean, "bool", False, "Let the registry normalize the schema first.")
    use_schema_id: int | None = _key(
        "use.schema.id",
        _number(1, MAX_ID, whole=True),
        "id",
        None,
        "Write with the schema of this id, whatever schema_str says.",
    )
    use_latest: bool = _key(
        "use.latest.version",
        _boolean,
        "bool",
        False,
        "Write with the subject's latest version, whatever schema_str says; needs auto.register.schemas=False.",
    )
    use_latest_with_metadata: Mapping[str, str] | None = _key(
        "use.latest.with.metadata",
        _properties,
        "dict",
        None,
        "Write with the subject's latest version that has these metadata properties.",
    )
    subject_name_strategy: Callable[..., Any] | None = _key(
        "subject.name.strategy",
        _callable,
        "callable",
        None,
        "(SerializationContext, record name) -> subject.",
        shown="topic_subject_name_strategy",
    )
    strategy_type: str = _key(
        "subject.name.strategy.type",
        _strategy_type,
        "TOPIC, RECORD, TOPIC_RECORD or ASSOCIATED",
        "TOPIC",
        "The built-in strategies by name; subject.name.strategy goes first.",
    )
    strategy_conf: Mapping[str, str] = _key(
        "subject.name.strategy.conf",
        _strategy_conf,
        "dict",
        {},
        "For ASSOCIATED: subject.name.strategy.kafka.cluster.id and subject.name.strategy.fallback.type (TOPIC).",
    )
    schema_id_serializer: Callable[..., Any] | None = _key(
        "schema.id.serializer",
        _callable,
        "callable",
        None,
        "(payload, SerializationContext, schema id) -> bytes.",
        shown="prefix_schema_id_serializer",
    )
    strict: bool = _key("validate.strict", _boolean, "bool", False, "Refuse records with missing or additional fields.")
    strict_allow_default: bool = _key(
        "validate.strict.allow.default",
        _boolean,
        "bool",
        False,
        "The same, but fields with a default may be missing.",
    )

    def __post_init__(self) -> None:
        chosen = {
            "use.schema.id": self.use_schema_id,
            "use.latest.version": self.use_latest,
            "use.latest.with.metadata": self.use_latest_with_metadata,
        }
        given = [name for name, value in chosen.items() if value]
        if len(given) > 1:
            raise ConfigurationError(f"{' and '.join(given)} contradict each other: give one of them", given[1])
        if self.use_latest and self.auto_register:
            raise ConfigurationError(
                "use.latest.version=True and auto.register.schemas=True contradict each other: set "
                "auto.register.schemas=False",
                "use.latest.version",
            )
        confluents = hasattr(self.subject_name_strategy, "set_cluster_id_resolver")  # its AssociatedNameStrategy
        if self.strategy_conf and self.strategy_type != "ASSOCIATED" and not confluents:
            raise ConfigurationError(
                f"subject.name.strategy.conf and subject.name.strategy.type={self.strategy_type} contradict each "
                "other: it is for ASSOCIATED",
                "subject.name.strategy.conf",
            )

    @property
    def reads_schema(self) -> bool:
        """Whether the schema comes from the registry, so that none need be given."""
        return bool(self.use_schema_id or self.use_latest or self.use_latest_with_metadata)


@dataclass(frozen=True, slots=True)
class SplitConf:
    """A producer's configuration dict, taken apart."""

    client: dict[str, Any]
    serializer: dict[str, Any]
    kafka: dict[str, Any]


def split(
    conf: Mapping[str, Any],
    *,
    is_key: bool,
    client: Mapping[str, Any] | None = None,
    serializer: Mapping[str, Any] | None = None,
) -> SplitConf:
    """Takes one flat producer dict apart: the client's keys without their prefix, the serializer's keys for this field,
    and the rest for the producer. A key with ``key.`` or ``value.`` before it goes before the bare one; what stands in
    ``client`` and ``serializer`` goes before both.

    Raises:
        ConfigurationError: a key that is nearly one of ours, and none of librdkafka's.
    """
    client, serializer = client or {}, serializer or {}
    _refuse_no_dict(conf, client, serializer)
    ours = keys(SerializerSettings).keys() | _NOT_SUPPORTED.keys()
    registry: dict[str, Any] = {}
    bare: dict[str, Any] = {}
    own: dict[str, Any] = {}
    kafka: dict[str, Any] = {}
    for name, value in conf.items():
        field, _, rest = str(name).partition(".")
        if str(name).startswith(PREFIX):
            registry[name[len(PREFIX) :]] = value
        elif name in ours:
            bare[name] = value
        elif field in ("key", "value") and rest in ours:
            if (field == "key") is is_key:
                own[rest] = value
        else:
            kafka[name] = value
    if "plugin.library.paths" not in kafka:  # a plugin may have keys of any name
        _refuse_misspelt(kafka)
    registry |= client
    if registry.get("basic.auth.credentials.source") == "SASL_INHERIT" and "sasl.username" in conf:
        if registry.get("basic.auth.user.info"):
            raise ConfigurationError(
                "basic.auth.credentials.source=SASL_INHERIT and basic.auth.user.info contradict each other",
                f"{PREFIX}basic.auth.user.info",
            )
        registry["basic.auth.user.info"] = f"{conf['sasl.username']}:{conf.get('sasl.password', '')}"
    return SplitConf(registry, bare | own | dict(serializer), kafka)


def _refuse_misspelt(kafka: Mapping[str, Any]) -> None:
    known = {*keys(SerializerSettings), *(PREFIX + name for name in keys(ClientSettings))}
    for name in kafka:
        field, _, rest = str(name).partition(".")
        before, typed = (f"{field}.", rest) if field in ("key", "value") else ("", str(name))
        near = difflib.get_close_matches(typed.lower(), known, n=1, cutoff=0.85)
        if near and not _is_librdkafkas(name):
            meant = near[0] if near[0].startswith(PREFIX) else before + near[0]
            raise ConfigurationError(
                f"unknown configuration key {name}: did you mean {meant}? librdkafka does not know it", name
            )


def _is_librdkafkas(name: str) -> bool:
    """Asks the library itself. It takes one key after the other, and so never comes to make a producer."""
    try:
        Producer({name: "", "no.such.key": ""})
    except KafkaException as error:
        return f'No such configuration property: "{name}"' not in str(error)
    except Exception:  # noqa: BLE001 a key that wants another type is a known one
        return True
    return True
