"""The Avro serializer that plugs into a producer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, overload

from confluent_kafka.serialization import MessageField, SerializationContext, Serializer

from .avro.encoder import Encoder
from .avro.text import Write
from .binding import BoundSerializer
from .config import PREFIX, SerializerSettings, SplitConf, check_agreement, parse, split
from .errors import ConfigurationError
from .framing import header_schema_id_serializer
from .given import SchemaStr, given_schema
from .learning import Learning, ToDict
from .registry.client import AnyClient, SchemaRegistryClient, ours
from .registry.ways import Blocking, at_once
from .warming import OnProgress, Warming, WarmUp

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AvroSerializer"]

_VALUE = MessageField.VALUE
_DEFAULTS = SerializerSettings()


class AvroSerializer(Serializer):
    """Serializes objects to Avro behind the schema's id, which it learns from the registry once for each subject.

    Args:
        schema_registry_client: a ``SchemaRegistryClient``, of ``kafka_sr_retry`` or of ``kafka_sr_retry.confluent``, or
            a dict of its configuration: then ``close()`` closes it.
        schema_str: JSON text, a dict or list, a ``Schema`` (Confluent's too), the ``Path`` of an ``.avsc`` file, or a
            ``RegisteredSchema`` whose id is known: then no request is ever made.
        to_dict: ``(object, SerializationContext) -> dict``.
        conf: serializer keys, as in docs/configuration.md.

    Raises:
        ConfigurationError: a schema that is not Avro, an unknown key, a wrong value; before any request.
    """

    def __init__(
        self,
        schema_registry_client: AnyClient | Mapping[str, Any],
        schema_str: SchemaStr | None = None,
        to_dict: ToDict | None = None,
        conf: Mapping[str, Any] | None = None,
    ) -> None:
        settings = _DEFAULTS if conf is None or conf == {} else parse(SerializerSettings, conf)
        if to_dict is not None and not callable(to_dict):
            raise ConfigurationError(
                "to_dict must be callable: to_dict(object, SerializationContext) -> dict", "to_dict"
            )
        needs_none = schema_str is None and settings.reads_schema
        given, parsed = (None, None) if needs_none else given_schema(schema_str)
        self._given = (given, to_dict, dict(conf) if conf else None)
        given_client = ours(schema_registry_client)
        self._owns_client = given_client is None
        self._client = given_client or SchemaRegistryClient(schema_registry_client)  # type: ignore[arg-type]
        self._asking = self._client._asking
        self._learning = Learning(self._client, settings, given, parsed, to_dict)
        self._by_topic = self._learning.by_topic

    def set_cluster_id_resolver(self, resolver: Callable[[], Any]) -> None:
        """Called by ``SerializingProducer`` (2.16 and later) with what tells its cluster's id, for ``ASSOCIATED``."""
        if self._learning.associated is not None:
            self._learning.associated.resolve_cluster_id = resolver

    @classmethod
    def from_config(
        cls,
        conf: Mapping[str, Any],
        schema_str: SchemaStr | None = None,
        to_dict: ToDict | None = None,
        *,
        is_key: bool = False,
        schema_registry_client: AnyClient | None = None,
    ) -> tuple[Self, dict[str, Any]]:
        """A serializer from one flat producer dict, and the rest of the dict for the producer.

        ``schema.registry.*`` keys and all serializer keys (bare, ``key.``, ``value.``) are gone from the rest, whatever
        ``is_key`` says. For key and value call it twice on the original dict, and give both the same client to share
        its memory and connections. Beside a client, ``schema.registry.*`` keys are not needed.

        Raises:
            ConfigurationError: as the constructor; a ``schema.registry.*`` key that says something else than the client
                that was given; a key that is nearly one of these and none of librdkafka's.
        """
        parts = split(conf, is_key=is_key)
        return cls._of(parts, schema_registry_client, schema_str, to_dict), parts.kafka

    @classmethod
    def _of(cls, parts: SplitConf, client: AnyClient | None, schema: SchemaStr | None, to_dict: ToDict | None) -> Self:
        """One for a producer's dict; its ``close()`` closes the client, unless that was given."""
        if client is None:
            serializer = cls(SchemaRegistryClient(parts.client, prefix=PREFIX), schema, to_dict, parts.serializer)
            serializer._owns_client = True
            return serializer
        given = ours(client)
        if given is None:
            raise ConfigurationError(
                f"schema_registry_client must be a kafka_sr_retry.SchemaRegistryClient, not {type(client).__name__}",
                "schema_registry_client",
            )
        check_agreement(parts.client, given._settings, PREFIX)
        return cls(given, schema, to_dict, parts.serializer)

    @overload
    def __call__(self, obj: None, ctx: SerializationContext | None = None) -> None: ...

    @overload
    def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes: ...

    def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes | None:
        """The message's bytes; ``None`` stays ``None``, a tombstone.

        Raises:
            AvroEncodingError: the object does not fit the schema.
            SchemaRegistryError: the registry refused, or was not there in time. Nothing was sent: produce again later.
        """
        if obj is None:
            return None
        try:
            write = self._by_topic[ctx.topic] if ctx.field is _VALUE else None  # type: ignore[union-attr]
        except (KeyError, AttributeError, TypeError):
            write = None
        try:
            if write is None:
                write = self._find(ctx)
            return write(obj, ctx)
        except Exception as error:
            self._learning.failed(ctx, error)
            raise

    def bind(self, topic: str | None = None, field: MessageField = _VALUE) -> BoundSerializer:
        """The serializer for producers whose ``value_serializer`` takes the object alone (aiokafka), or the topic and
        the object (kafka-python).

        Args:
            topic: of all messages. A call for another one is refused where the producer tells it, as kafka-python does.
                ``None`` for the topic of each call.

        Raises:
            ConfigurationError: with ``header_schema_id_serializer``: such producers give no headers to write to.
        """
        if self._learning.frame is header_schema_id_serializer:
            raise ConfigurationError(
                "bind() gives no headers to write to: use prefix_schema_id_serializer", "schema.id.serializer"
            )
        if topic is not None and (not isinstance(topic, str) or not topic):
            raise ConfigurationError(f"a topic must be a text that is not empty, not {topic!r}", "topic")
        return BoundSerializer(self._direct, topic, field)

    @property
    def _direct(self) -> Callable[[Any, SerializationContext | None], bytes | None]:
        """What writes for a producer that cannot await."""
        return self

    def warm_up(
        self,
        topics: Iterable[str],
        *,
        field: MessageField = _VALUE,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> WarmUp:
        """Learns what the messages of these topics will need, several at a time; nothing stops at the first failure.

        Args:
            timeout: seconds for all of it. ``None``: each topic has ``total.timeout.ms``, as its first message would.
            on_progress: called on this thread, in the order in which topics end: ``(outcome, how many, of how many)``.
                What it raises ends the warm-up.
        """
        return Warming(self._learning, self._asking, topics, field, timeout, on_progress).run()

    def knows(self, topic: str, field: MessageField = _VALUE) -> bool:
        """Whether a message of this topic will ask nobody."""
        return self._learning.known(SerializationContext(topic, field)) is not None

    def encoder(self, topic: str, field: MessageField = _VALUE) -> Encoder | None:
        """What makes the bytes of this topic's messages, and why it is not the fastest; asks nobody. ``None`` where a
        message would have to ask.
        """
        return self._learning.encoder(SerializationContext(topic, field))

    def close(self) -> None:
        """Closes the client, if this serializer made it."""
        if self._owns_client:
            self._client.close()

    def __enter__(self) -> AvroSerializer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getstate__(self) -> tuple[Any, ...]:
        ours = vars(AvroSerializer(self._client, *self._given)).keys() - {"_owns_client"}
        own = {name: value for name, value in vars(self).items() if name not in ours}
        return (self._client, *self._given), own

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        (client, *given), own = state
        # its own to close: copy.copy gives the client itself
        AvroSerializer.__init__(self, copy(client) if own["_owns_client"] else client, *given)
        vars(self).update(own)

    def _find(self, ctx: SerializationContext | None) -> Write:
        subject, write = self._learning.look(ctx)
        return write or at_once(self._learning.learn(ctx, subject, Blocking(self._asking)))[1]
