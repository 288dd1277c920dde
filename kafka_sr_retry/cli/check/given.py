"""What was given on the command line, in the environment and in a file, as the client's settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from kafka_sr_retry.config import PREFIX, ClientSettings, Key, SerializerSettings, keys, parse, split
from kafka_sr_retry.errors import ConfigurationError

_AUTO_REGISTER = keys(SerializerSettings)["auto.register.schemas"]

_NAME = r"[a-z\d._-]+"
"""A key. What else stands there may be a part of a value."""

_BROKERS = ("bootstrap.servers", "metadata.broker.list")
"""A configuration in which one of them stands is a producer's: its keys without prefix are Kafka's."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the check works by.

    Attributes:
        settings: the client's.
        registers: whether the producer would register its schemas.
    """

    settings: ClientSettings
    registers: bool


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
    conf: dict[str, Any] = {}
    for layer in (_file(file), _environment(environment), _assignments(assignments), _arguments(urls)):
        conf = {name: value for name, value in conf.items() if name.removeprefix("value.") not in layer} | layer
    if f"{PREFIX}url" not in conf:
        raise ConfigurationError("no URL: give one, such as http://localhost:8081, or SCHEMA_REGISTRY_URL", "url")
    parts = split(conf, is_key=False)
    known = keys(ClientSettings)
    settings = parse(ClientSettings, {n: _typed(known[n], v) if n in known else v for n, v in parts.client.items()})
    for url in settings.urls.urls:
        _check_host(urlsplit(url).hostname or "")
    if timeout is not None:
        settings = replace(settings, total_timeout=timeout)
    given = parts.serializer.get(_AUTO_REGISTER.name)
    registers = True if given is None else _AUTO_REGISTER.parse(_AUTO_REGISTER.name, _typed(_AUTO_REGISTER, given))
    return Given(settings, registers)


def _file(text: str) -> dict[str, Any]:
    """JSON, or lines of ``key=value``; of a producer's file only what concerns the registry."""
    text = text.removeprefix("\ufeff")  # a byte order mark
    if text.lstrip().startswith("{"):
        try:
            conf = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"--config holds JSON that cannot be read: {_trouble(error)}") from None
    else:
        lines = [line.strip() for line in text.splitlines()]
        conf = {}
        for number, line in enumerate(lines, 1):
            if not line or line[0] in "#!":
                continue
            found = re.fullmatch(rf"({_NAME})\s*[=:]\s*(.*)", line)
            if found is None:  # it may be a part of a value
                raise ConfigurationError(f"--config, line {number}: it is not of the form key=value")
            if line.endswith("\\"):
                raise ConfigurationError(f"--config, line {number}: a value goes on in no other line; JSON can hold it")
            conf[found[1]] = found[2]
    return _prefixed(conf)


def _trouble(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, {error.msg}"
    return "it is nested too deep" if isinstance(error, RecursionError) else "wrong text"


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """``SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO`` for ``basic.auth.user.info``, and so on."""
    names = {name: "SCHEMA_REGISTRY_" + name.replace(".", "_").upper() for name in keys(ClientSettings)}
    return {PREFIX + name: environment[there] for name, there in names.items() if environment.get(there)}


def _assignments(assignments: Sequence[str]) -> dict[str, Any]:
    conf: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(_NAME, name.strip()):
            raise ConfigurationError("-X takes key=value, such as -X ssl.ca.location=ca.pem")
        conf |= _prefixed({name.strip(): value})
    return conf


def _arguments(urls: Sequence[str]) -> dict[str, Any]:
    for number, url in enumerate(urls, 1):
        if "://" not in url:  # what it is instead may be a credential
            raise ConfigurationError(
                f"argument {number} is no URL, which begins with http:// or https://; a key has -X before it", "url"
            )
    return {f"{PREFIX}url": ",".join(urls)} if urls else {}


def _prefixed(conf: Mapping[str, Any]) -> dict[str, Any]:
    """A producer's configuration as it is; a client's, whose keys stand without the prefix, as a producer's."""
    serializer = keys(SerializerSettings)
    ours = {f"{field}{name}" for name in serializer for field in ("", "key.", "value.")}
    if any(name.startswith(PREFIX) or name in _BROKERS for name in conf):
        return dict(conf)
    return {name if name in ours else PREFIX + name: value for name, value in conf.items()}


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


def _typed(key: Key, value: Any) -> Any:
    """A text as what its key takes: a number, true or false, a JSON object, or the text itself."""
    if not isinstance(value, str):
        return value
    try:
        key.parse(key.name, value)
    except ConfigurationError:
        try:
            return json.loads(value.lower() if value.lower() in ("true", "false") else value)
        except (ValueError, RecursionError):
            pass
    return value
