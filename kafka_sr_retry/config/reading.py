"""From a user's dict to settings: unknown keys, keys of others, a producer's dict taken apart."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaException, Producer

from kafka_sr_retry.errors import ConfigurationError

from .client import ClientSettings
from .keys import PREFIX, Key, keys
from .serializer import SerializerSettings
from .values import key_in

_Settings = TypeVar("_Settings")


def parse(settings: type[_Settings], conf: Mapping[str, Any], prefix: str = "") -> _Settings:
    """The typed settings of a configuration dict.

    Args:
        prefix: what the user wrote before each key, for messages.

    Raises:
        ConfigurationError: an unknown key, a wrong type or value, or settings that contradict each other.
    """
    values = _parsed(settings, conf, prefix)
    try:
        return settings(**values)
    except ConfigurationError as error:
        if not prefix:
            raise
        told = f"{str(error).rstrip('.')}: in this dict such keys begin with {prefix}"
        key = error.key and f"{prefix}{error.key}"
    raise ConfigurationError(told, key)


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
    name = _shown(str(name), known)
    instead = _NOT_SUPPORTED.get(name)
    if instead is None and str(name).startswith(PREFIX) and not prefix:
        instead = f"here it is written without {PREFIX}"
    if instead is None and name in keys(SerializerSettings):
        instead = "it is a serializer's: give it in the serializer's conf"
        instead = f"a serializer's key is written without {prefix}" if prefix else instead
    if instead is None:
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
        instead = f"did you mean {prefix}{near[0]}?" if near else f"known keys: {', '.join(sorted(known))}."
    return ConfigurationError(f"unknown configuration key {prefix}{name}: {instead}", f"{prefix}{name}")


def _shown(name: str, known: Mapping[str, Key]) -> str:
    """A key's name in an error; of a line that stands in its place its key, if it is nearly one of ours."""
    plain = key_in(name)
    if plain == name:
        return name
    return f"{plain}..." if difflib.get_close_matches(plain.removeprefix(PREFIX), known, n=1, cutoff=0.85) else "..."


_CONFLUENT_RULES = (
    "not supported here; for rules use Confluent's AvroSerializer with kafka_sr_retry.confluent.SchemaRegistryClient."
)
_NOT_SUPPORTED = dict.fromkeys(
    ("validation.rules.execution", "validation.rules.fail.fast", "validation.rules.executor"), _CONFLUENT_RULES
)


@dataclass(frozen=True, slots=True)
class SplitConf:
    """A producer's configuration dict, taken apart."""

    client: dict[str, Any] = dataclasses.field(repr=False)
    serializer: dict[str, Any] = dataclasses.field(repr=False)
    kafka: dict[str, Any] = dataclasses.field(repr=False)


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
    client = keys(ClientSettings)
    known = {*keys(SerializerSettings), *client, *(PREFIX + name for name in client)}
    for name in kafka:
        field, _, rest = str(name).partition(".")
        before, typed = (f"{field}.", rest) if field in ("key", "value") else ("", str(name))
        near = difflib.get_close_matches(typed.lower(), known, n=1, cutoff=0.85)
        if near and not is_librdkafkas(name):
            meant = near[0] if near[0].startswith(PREFIX) else (PREFIX if near[0] in client else before) + near[0]
            shown = name if name == key_in(name) else "..."
            raise ConfigurationError(
                f"unknown configuration key {shown}: did you mean {meant}? librdkafka does not know it", shown
            )


def is_librdkafkas(name: str) -> bool:
    """Asks the library itself. It takes one key after the other, and so never comes to make a producer."""
    try:
        Producer({name: "", "no.such.key": ""})
    except KafkaException as error:
        return f'No such configuration property: "{name}"' not in str(error)
    except Exception:  # noqa: BLE001 a key that wants another type is a known one
        return True
    return True
