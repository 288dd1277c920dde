"""The serializer through ``value.serializer.builder`` and ``key.serializer.builder``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import confluent_kafka
from confluent_kafka import serialization

from .config import split
from .errors import ConfigurationError
from .given import SchemaStr
from .learning import ToDict
from .registry.client import AnyClient
from .serializer import AvroSerializer

__all__ = ["AvroSerializerBuilder"]

_S = TypeVar("_S", bound=AvroSerializer)

if TYPE_CHECKING:
    from confluent_kafka.serialization import SerializerBuilder
else:
    SerializerBuilder = getattr(serialization, "SerializerBuilder", object)


class AvroSerializerBuilder(SerializerBuilder):
    """Builds an ``AvroSerializer`` from the producer's own dict; the producer closes it.

    What is given here goes before the dict. Confluent's arguments and setters.

    Args:
        schema_registry_config: the client's keys, without ``schema.registry.``.
        schema_registry_client: a client to share; stays the caller's to close.
        schema: as ``schema_str`` of ``AvroSerializer``.
        to_dict: ``(object, SerializationContext) -> dict``.
        serializer_config: serializer keys.

    Raises:
        ConfigurationError: under a confluent-kafka before 2.16, whose producer knows no builders.
    """

    def __init__(
        self,
        schema_registry_config: Mapping[str, Any] | None = None,
        schema_registry_client: AnyClient | None = None,
        schema: SchemaStr | None = None,
        to_dict: ToDict | None = None,
        serializer_config: Mapping[str, Any] | None = None,
    ) -> None:
        if not hasattr(serialization, "SerializerBuilder"):
            raise ConfigurationError(
                f"confluent-kafka {confluent_kafka.__version__} knows no serializer builders (2.16 and later do): use "
                "AvroSerializer.from_config(conf, ...)",
                "value.serializer.builder",
            )
        self._client_conf = schema_registry_config
        self._client = schema_registry_client
        self._schema = schema
        self._to_dict = to_dict
        self._serializer_conf = serializer_config

    def set_schema_registry_config(self, schema_registry_conf: Mapping[str, Any]) -> AvroSerializerBuilder:
        """The client's keys; gives the builder itself, as all setters do."""
        self._client_conf = schema_registry_conf
        return self

    def set_schema_registry_client(self, schema_registry_client: AnyClient) -> AvroSerializerBuilder:
        """A client to share."""
        self._client = schema_registry_client
        return self

    def set_schema(self, schema_str: SchemaStr) -> AvroSerializerBuilder:
        """The schema."""
        self._schema = schema_str
        return self

    def set_to_dict(self, to_dict: ToDict) -> AvroSerializerBuilder:
        """What turns an object into a dict."""
        self._to_dict = to_dict
        return self

    def set_serializer_config(self, serializer_conf: Mapping[str, Any]) -> AvroSerializerBuilder:
        """The serializer's keys."""
        self._serializer_conf = serializer_conf
        return self

    def build(self, conf: Mapping[str, Any], is_key: bool) -> tuple[AvroSerializer, dict[str, Any]]:
        """Called by the producer: the serializer, and what is left of the producer's dict."""
        return self._built(AvroSerializer, conf, is_key)

    def _built(self, kind: type[_S], conf: Mapping[str, Any], is_key: bool) -> tuple[_S, dict[str, Any]]:
        if self._client is not None and self._client_conf is not None:
            raise ConfigurationError(
                "schema_registry_client and schema_registry_config contradict each other: give one of them",
                "schema_registry_config",
            )
        parts = split(conf, is_key=is_key, client=self._client_conf, serializer=self._serializer_conf)
        return kind._of(parts, self._client, self._schema, self._to_dict), parts.kafka
