"""What was given on the command line, in the environment and in a file, as a producer's dict, and as schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kafka_sr_retry import Schema, SchemaReference, SchemaRegistryClient
from kafka_sr_retry.avro.encoder import AvroSchema
from kafka_sr_retry.cli.given import assigned, assignments_of, environment_of, typed
from kafka_sr_retry.config import PREFIX, ClientSettings, SerializerSettings, keys, split
from kafka_sr_retry.errors import ConfigurationError

_SERVERS = "bootstrap.servers"


def configuration(file: str, assignments: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """One producer's dict; the later goes before the earlier: the file, the environment, ``-X``.

    Raises:
        ConfigurationError: what cannot work; its text holds no credential.
    """
    servers = environment.get("KAFKA_BOOTSTRAP_SERVERS")
    conf = assigned(file) | environment_of(environment) | ({_SERVERS: servers} if servers else {})
    conf |= assignments_of(assignments)
    if not conf.get(_SERVERS) and not conf.get("metadata.broker.list"):
        raise ConfigurationError(f"no Kafka: give -X {_SERVERS}=HOST:PORT, or KAFKA_BOOTSTRAP_SERVERS", _SERVERS)
    if not conf.get(f"{PREFIX}url"):
        raise ConfigurationError(
            f"no registry: give -X {PREFIX}url=http://localhost:8081, or SCHEMA_REGISTRY_URL", f"{PREFIX}url"
        )
    known = {PREFIX + name: key for name, key in keys(ClientSettings).items()}
    for name, key in keys(SerializerSettings).items():
        known |= {f"{field}{name}": key for field in ("", "key.", "value.")}
    return {name: typed(known[name], value) if name in known else value for name, value in conf.items()}


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # with or without a byte order mark
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", "schema") from None


def schema_of(text: str, path: Path, others: Sequence[tuple[Path, str]]) -> AvroSchema:
    try:
        return AvroSchema(text, [other for _, other in others])
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}", "schema") from None


class References:
    """The schemas that others use: each is registered under its own full name, as Confluent's examples have it.

    Args:
        files: each after those that it uses itself.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [(path, text_of(path)) for path in files]
        self._names = [
            schema_of(text, path, self._files[:index]).name or "" for index, (path, text) in enumerate(self._files)
        ]
        self._registered: dict[str, SchemaReference] = {}

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self._files]

    def check(self, path: Path) -> str:
        """A schema's text, which may use them."""
        text = text_of(path)
        schema_of(text, path, self._files)
        return text

    def register(self, client: SchemaRegistryClient, conf: Mapping[str, Any]) -> None:
        """Or look them up, with ``auto.register.schemas=false``."""
        registers = split(conf, is_key=False).serializer.get("auto.register.schemas", True)
        for name, text in zip(self._names, self.texts, strict=True):
            schema = Schema(text, "AVRO", self.used_by(text))
            if registers:
                client.register_schema(name, schema)
            version = client.lookup_schema(name, schema).version
            if version is None:
                raise ConfigurationError(f"the registry tells no version of subject {name!r}", "reference")
            self._registered[name] = SchemaReference(name, name, version)

    def used_by(self, text: str) -> list[SchemaReference]:
        words = set(_words(json.loads(text), ""))
        return [reference for name, reference in self._registered.items() if name in words]


def _words(schema: Any, namespace: str) -> list[str]:
    """All that may name a type in a schema, with and without the namespace around it."""
    if isinstance(schema, str):
        return [schema, f"{namespace}.{schema}"]
    if isinstance(schema, list):
        return [word for each in schema for word in _words(each, namespace)]
    if not isinstance(schema, dict):
        return []
    name = schema.get("name")
    if isinstance(schema.get("namespace"), str):
        namespace = schema["namespace"]
    elif isinstance(name, str) and "." in name and "fields" in schema:
        namespace = name.rpartition(".")[0]
    return [word for key in ("type", "items", "values", "fields") for word in _words(schema.get(key), namespace)]
