"""What was given, as the client's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from kafka_sr_retry.cli.given import all_typed, layered, typed
from kafka_sr_retry.config import PREFIX, ClientSettings, SerializerSettings, keys, parse, split
from kafka_sr_retry.errors import ConfigurationError

_AUTO_REGISTER = keys(SerializerSettings)["auto.register.schemas"]


@dataclass(frozen=True, slots=True)
class Given:
    """What the check works by.

    Attributes:
        settings: the client's.
        registers: whether the producer would register its schemas.
        patience: how long the producer's messages wait for a registry, in words.
    """

    settings: ClientSettings
    registers: bool
    patience: str


def read(
    urls: Sequence[str],
    file: str,
    assignments: Sequence[str],
    environment: Mapping[str, str],
    timeout: float | None,
) -> Given:
    """The later goes before the earlier: ``file``'s content, ``environment``, ``assignments``, ``urls``.

    Raises:
        ConfigurationError: what cannot work; its text holds no credential.
    """
    conf = layered(urls, file, assignments, environment)
    if f"{PREFIX}url" not in conf:
        raise ConfigurationError("no URL: give one, such as http://localhost:8081, or SCHEMA_REGISTRY_URL", "url")
    parts = split(conf, is_key=False)
    settings = parse(ClientSettings, all_typed(ClientSettings, parts.client))
    for url in settings.urls.urls:
        _check_host(urlsplit(url).hostname or "")
    patience = f"up to {settings.total_timeout:g} s (total.timeout.ms)"
    if settings.max_retries is not None:
        patience += f", or {settings.max_retries} more rounds (max.retries)"
    if timeout is not None:
        settings = replace(settings, total_timeout=timeout)
    given = parts.serializer.get(_AUTO_REGISTER.name)
    registers = True if given is None else _AUTO_REGISTER.parse(_AUTO_REGISTER.name, typed(_AUTO_REGISTER, given))
    return Given(settings, registers, patience)


def _check_host(host: str) -> None:
    """Where no machine can have this name, says why: a request to it could not even be written."""
    if ":" in host:
        return  # an IPv6 address, which the URL's reading has checked
    odd = next((c for c in host if (c.isascii() and not c.isalnum() and c not in "-._") or not c.isprintable()), "")
    labels = host.removesuffix(".").split(".")
    if odd:
        why = f"{odd!r} is in it"
    elif not all(labels):
        why = "there is nothing between its dots"
    elif max(map(len, labels)) > 63:
        why = "a part of it has more than 63 characters"
    elif len(host) > 254:
        why = "it has more than 253 characters"
    else:
        return
    raise ConfigurationError(f"url: {host[:300]!r} cannot be a host's name: {why}", "url")
