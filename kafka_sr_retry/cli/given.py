"""What commands are given on the command line, in the environment and in a file, as one configuration."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka_sr_retry.config import PREFIX, ClientSettings, Key, SerializerSettings, is_librdkafkas, keys
from kafka_sr_retry.errors import ConfigurationError

_NAME = r"[a-z\d._-]+"
"""A key. What else stands there may be a part of a value."""

_BROKERS = ("bootstrap.servers", "metadata.broker.list")
"""A configuration in which one of them stands is a producer's: its keys without prefix are Kafka's."""


def layered(
    urls: Sequence[str], file: str, assignments: Sequence[str], environment: Mapping[str, str]
) -> dict[str, Any]:
    """All of them as a producer's configuration; values from texts are texts."""
    conf: dict[str, Any] = {}
    for layer in (_prefixed(assigned(file)), environment_of(environment), _all_prefixed(assignments), _arguments(urls)):
        conf = {name: value for name, value in conf.items() if name.removeprefix("value.") not in layer} | layer
    return conf


def all_typed(settings: type, conf: Mapping[str, Any]) -> dict[str, Any]:
    """With each text as what its key takes."""
    known = keys(settings)
    return {name: typed(known[name], value) if name in known else value for name, value in conf.items()}


def assigned(text: str) -> dict[str, Any]:
    """What a file says: JSON, or lines of ``key=value``."""
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
    return dict(conf)


def _trouble(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, {error.msg}"
    return "it is nested too deep" if isinstance(error, RecursionError) else "wrong text"


_VARIABLE = "SCHEMA_REGISTRY_"


def environment_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """``SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO`` for ``basic.auth.user.info``, and so on."""
    names = {name: _VARIABLE + name.replace(".", "_").upper() for name in keys(ClientSettings)}
    _refuse_misspelt(environment, names.values())
    return {PREFIX + name: environment[there] for name, there in names.items() if environment.get(there)}


def _refuse_misspelt(environment: Mapping[str, str], known: Collection[str]) -> None:
    """Only what is nearly one of ours: a registry's own container, Kubernetes and other tools have variables with this
    prefix too."""
    for name in sorted(name for name, value in environment.items() if value and name not in known):
        if name.startswith(_VARIABLE):
            tails = [there.removeprefix(_VARIABLE) for there in known]
            tail = name.removeprefix(_VARIABLE)
            near = [] if "STORE_" in tail else difflib.get_close_matches(tail, tails, n=1, cutoff=0.8)
            meant = "".join(_VARIABLE + found for found in near)
        else:
            meant = "".join(difflib.get_close_matches(name, known, n=1, cutoff=0.93))
        if meant:
            raise ConfigurationError(f"unknown environment variable {name}: did you mean {meant}?", name)


def assignments_of(assignments: Sequence[str]) -> dict[str, str]:
    """Of ``-X``."""
    conf: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(_NAME, name.strip()):
            raise ConfigurationError("-X takes key=value, such as -X ssl.ca.location=ca.pem")
        conf[name.strip()] = value
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
    if any(name.startswith(PREFIX) or name in _BROKERS for name in conf):
        return dict(conf)
    client, serializer = keys(ClientSettings), keys(SerializerSettings)
    ours = {f"{field}{name}" for name in serializer for field in ("", "key.", "value.")}
    others = [name for name in conf if not name.startswith(PREFIX) and name not in ours]
    bare = {name for name in others if name not in client and is_librdkafkas(name)}
    return {name if name in ours | bare else PREFIX + name: value for name, value in conf.items()}


def _all_prefixed(assignments: Sequence[str]) -> dict[str, Any]:
    """Each by itself: one that is a producer's says nothing of the next."""
    conf: dict[str, Any] = {}
    for name, value in assignments_of(assignments).items():
        conf |= _prefixed({name: value})
    return conf


def typed(key: Key, value: Any) -> Any:
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
