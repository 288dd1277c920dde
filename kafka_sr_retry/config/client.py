"""The client's keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka_sr_retry.errors import ConfigurationError
from kafka_sr_retry.events import Event

from . import values
from .keys import setting
from .tls import Pem, Tls

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

    urls: values.Urls = setting(
        "url",
        values.urls,
        "URL(s)",
        None,
        "One URL or those of a cluster's nodes, comma-separated or a list. A path is kept; credentials are taken out.",
        shown="required",
    )
    randomize: bool = setting(
        "url.randomize",
        values.boolean,
        "bool",
        False,
        "Begin at a random URL, so that a fleet spreads over the nodes.",
    )
    max_retries: int | None = setting(
        "max.retries",
        values.number(0, 1_000_000, whole=True),
        "rounds",
        None,
        "Rounds after the first; a round asks each admitted endpoint once. Without it only the deadline limits.",
    )
    retries_wait: float = setting(
        "retries.wait.ms",
        values.positive_milliseconds,
        "ms",
        100,
        "Base of the backoff: at most so much after the first failure, twice after the second, then about ten times, "
        "up to 1.15 s.",
    )
    retries_max_wait: float = setting(
        "retries.max.wait.ms",
        values.positive_milliseconds,
        "ms",
        20000,
        "Cap of the backoff: in a longer outage the wait grows to a tenth of its age.",
    )
    connect_timeout: float = setting(
        "connect.timeout.ms",
        values.positive_milliseconds,
        "ms",
        2000,
        "TCP and TLS, over all addresses of a name together.",
    )
    request_timeout: float = setting(
        "request.timeout.ms",
        values.positive_milliseconds,
        "ms",
        14000,
        "One attempt, from the name look-up to the last byte, also when bytes come one at a time.",
    )
    total_timeout: float = setting(
        "total.timeout.ms",
        values.positive_milliseconds,
        "ms",
        30000,
        "One call with everything in it: references, token, waits, failovers.",
    )
    timeout: float | None = setting(
        "timeout", values.number(0.001, 86_400), "s", None, "Confluent's key: sets request.timeout.ms, in seconds."
    )
    credentials_source: str | None = setting(
        "basic.auth.credentials.source",
        values.choice("USER_INFO", "URL", "SASL_INHERIT"),
        "USER_INFO, URL or SASL_INHERIT",
        None,
        "Where the user and password stand; SASL_INHERIT reads the producer's sasl.username and sasl.password.",
    )
    user_info: tuple[str, str] | None = setting(
        "basic.auth.user.info", values.user_info, "user:password", None, "HTTP basic credentials."
    )
    bearer_source: str | None = setting(
        "bearer.auth.credentials.source",
        values.choice(*_BEARER),
        ", ".join(_BEARER),
        None,
        "Where the bearer token comes from. OAuth tokens are renewed at 80% of their lifetime, and once after a 401.",
    )
    bearer_token: str | None = setting("bearer.auth.token", values.token, "text", None, "STATIC_TOKEN: the token.")
    bearer_client_id: str | None = setting(
        "bearer.auth.client.id", values.text, "text", None, "OAUTHBEARER: the client of the client credentials grant."
    )
    bearer_client_secret: str | None = setting(
        "bearer.auth.client.secret", values.text, "text", None, "OAUTHBEARER: the client's secret."
    )
    bearer_scope: str | None = setting(
        "bearer.auth.scope",
        values.text,
        "text",
        None,
        "OAUTHBEARER: scopes, with spaces between them; may be left out.",
    )
    bearer_issuer: str | None = setting(
        "bearer.auth.issuer.endpoint.url",
        values.issuer,
        "URL",
        None,
        "OAUTHBEARER: the token endpoint. OAUTHBEARER_AZURE_IMDS: in place of Azure's own.",
    )
    bearer_query: str | None = setting(
        "bearer.auth.issuer.endpoint.query",
        values.header_value,
        "text",
        None,
        "OAUTHBEARER_AZURE_IMDS: such as api-version=2018-02-01&resource=...; may be left out with a URL of your own.",
    )
    bearer_function: Callable[[Any], Any] | None = setting(
        "bearer.auth.custom.provider.function",
        values.function,
        "callable",
        None,
        "CUSTOM: config -> dict with bearer.auth.token, or the token; called for each request, so it keeps what lasts.",
    )
    bearer_config: Mapping[Any, Any] | None = setting(
        "bearer.auth.custom.provider.config",
        values.any_mapping,
        "dict",
        None,
        "CUSTOM: what the function is given.",
        shown="{}",
    )
    bearer_cluster: str | None = setting(
        "bearer.auth.logical.cluster",
        values.header_value,
        "id",
        None,
        "Confluent Cloud: the registry's logical cluster (target-sr-cluster); may be left out elsewhere.",
    )
    bearer_pool: str | None = setting(
        "bearer.auth.identity.pool.id",
        values.pool,
        "id(s)",
        None,
        "Confluent Cloud: identity pools, comma-separated or a list.",
    )
    bearer_ca: str | bool | None = setting(
        "bearer.auth.ssl.ca.location",
        values.ca,
        "path",
        None,
        "CA certificates for the token's server, then the only ones it is judged by.",
        shown="system trust and ssl.ca.*",
    )
    bearer_certificate: str | None = setting(
        "bearer.auth.ssl.certificate.location",
        values.file,
        "path",
        None,
        "The client's certificate (PEM) for the token's server, which is not shown the registry's.",
    )
    bearer_key: str | None = setting(
        "bearer.auth.ssl.key.location", values.file, "path", None, "Its private key (PEM)."
    )
    bearer_key_password: str | None = setting(
        "bearer.auth.ssl.key.password", values.text, "text", None, "Password of that private key."
    )
    ca: str | bool | None = setting(
        "ssl.ca.location",
        values.ca,
        "path",
        None,
        "File or folder of CA certificates, then the only ones trusted. False trusts any server: never in production.",
        shown="system trust",
    )
    certificate: str | None = setting(
        "ssl.certificate.location", values.file, "path", None, "The client's certificate (PEM) for mutual TLS."
    )
    private_key: str | None = setting(
        "ssl.key.location", values.file, "path", None, "Its private key (PEM); may stand in the certificate's file."
    )
    key_password: str | None = setting("ssl.key.password", values.text, "text", None, "Password of the private key.")
    ca_pem: Pem | None = setting(
        "ssl.ca.pem", values.pem, "PEM", None, "CA certificates as a text, in place of the file."
    )
    certificate_pem: Pem | None = setting(
        "ssl.certificate.pem", values.pem, "PEM", None, "The client's certificate as a text."
    )
    private_key_pem: Pem | None = setting("ssl.key.pem", values.pem, "PEM", None, "Its private key as a text.")
    proxy: str | None = setting(
        "proxy",
        values.proxy,
        "URL",
        None,
        "HTTP or SOCKS proxy for all requests, those for tokens too; with user:password@ where it asks for them; an "
        "empty text for none.",
        shown="HTTP(S)_PROXY, NO_PROXY",
    )
    http_headers: Mapping[str, str] = setting(
        "http.headers", values.header_mapping, "dict", {}, "Extra headers, sent to the configured origins only."
    )
    http_auth: Callable[[Any], Any] | None = setting(
        "http.auth", values.function, "requests.auth.AuthBase", None, "Any signing scheme that exists for requests."
    )
    max_in_flight: int = setting(
        "max.in.flight",
        values.number(1, 10_000, whole=True),
        "requests",
        64,
        "Requests under way at once; more wait their turn.",
    )
    context: str | None = setting(
        "context", values.context, "name", None, "A registry context for all subjects (:.name:)."
    )
    cache_capacity: int = setting(
        "cache.capacity",
        values.number(1, 1_000_000_000, whole=True),
        "entries",
        100_000,
        "Ids and schemas kept in memory, 128 Mi characters of schemas at most; the oldest goes first.",
    )
    cache_latest_ttl: float | None = setting(
        "cache.latest.ttl.sec",
        values.number(0.001, 31_536_000),
        "s",
        None,
        "For use.latest.version: after it the old version stays in use, and one request refreshes it.",
    )
    cache_path: str | None = setting(
        "cache.path",
        values.path,
        "path",
        None,
        "A file (SQLite) that keeps ids and schemas for the next process. It is made where there is none.",
    )
    cache_mode: str | None = setting(
        "cache.mode",
        values.choice("fallback", "first"),
        "fallback or first",
        None,
        "When that file answers. fallback: once no URL has. first: before any is asked, for what is younger than "
        "cache.id.ttl.sec.",
        shown="fallback",
    )
    cache_id_ttl: float = setting(
        "cache.id.ttl.sec",
        values.number(1, 31_536_000),
        "s",
        86400,
        "Known ids are looked up again in the background after so long, or up to a quarter sooner.",
    )
    refusal_cache_ttl: float = setting(
        "refusal.cache.ttl.ms",
        values.milliseconds,
        "ms",
        30000,
        "How long a final refusal of a schema (409, 422) answers again; 403 and 404 for a sixth of it; 401 never.",
    )
    event_cb: tuple[Callable[[Event], object], ...] = setting(
        "event_cb",
        values.listeners,
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
        if self.cache_mode and not self.cache_path:
            raise ConfigurationError("cache.mode needs cache.path", "cache.mode")
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
            case "cache_mode":
                return bool(value == (self.cache_mode or "fallback"))
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
