"""The Avro serializer that plugs into a producer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError, Serializer

from .avro.compiler import Write
from .avro.encoder import AvroSchema, full_name
from .binding import BoundSerializer
from .config import PREFIX, SerializerSettings, SplitConf, check_agreement, parse, split
from .errors import ConfigurationError
from .framing import SchemaId, header_schema_id_serializer, prefix_schema_id_serializer
from .given import SchemaStr, avro_only, given_schema, refuse_rules
from .registry.asking import FOR_EVER
from .registry.client import AnyClient, SchemaRegistryClient, ours
from .registry.memory import Memory
from .registry.request import RegistryRequest
from .schema import RegisteredSchema, Schema, SchemaReference
from .subjects import BY_TYPE, AssociatedSubjects, topic_subject_name_strategy

__all__ = ["AvroSerializer"]

_VALUE = MessageField.VALUE

Strategy = Callable[[Any, Any], Any]
"""(context, record name) -> subject."""

_MOST_REFERRED, _MOST_CHARACTERS, _DEEPEST = 1000, 16 * 1024 * 1024, 100
"""Bounds of what a schema may refer to, itself or by others: schemas, characters, levels."""

_Place = tuple[str, int]
"""(subject, version)."""


ToDict = Callable[[Any, Any], Any]
"""(object, SerializationContext) -> dict; the context is ``None`` where the caller gave none."""


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
        self._settings = settings = parse(SerializerSettings, {} if conf is None else conf)
        if to_dict is not None and not callable(to_dict):
            raise ConfigurationError(
                "to_dict must be callable: to_dict(object, SerializationContext) -> dict", "to_dict"
            )
        self._to_dict = to_dict
        given = None if schema_str is None and settings.reads_schema else given_schema(schema_str)
        self._given = (given, to_dict, dict(conf or {}))
        self._registered = given if isinstance(given, RegisteredSchema) else None
        self._schema = given.schema if isinstance(given, RegisteredSchema) else given
        self._record_name = None if self._schema is None else full_name(self._schema.schema_str)
        self._frame = _ours(settings.schema_id_serializer)
        if self._frame is prefix_schema_id_serializer:
            self._frame = None
        given_client = ours(schema_registry_client)
        self._owns_client = given_client is None
        self._client = given_client or SchemaRegistryClient(schema_registry_client)  # type: ignore[arg-type]
        self._asking = self._client._asking
        self._strategy = self._choose_strategy(settings)
        self._source = self._choose_source(settings)
        self._refreshes = settings.use_latest and self._asking.latest_ttl < FOR_EVER
        self._latest: Memory[str, RegistryRequest[RegisteredSchema]] = self._asking.memory()
        self._known: Memory[str | RegisteredSchema, Write] = self._asking.memory()
        # by what they are made of: many subjects may have one schema
        self._made: Memory[tuple[Any, ...], Write] = self._asking.memory()
        # by topic, for values under the topic strategy: saves most messages the making of their subject's name
        self._values: Memory[str, Write] = self._asking.memory()
        self._by_topic = self._values.entries

    def _choose_strategy(self, settings: SerializerSettings) -> Strategy:
        """How a message's subject is found."""
        given: Strategy | None = _ours(settings.subject_name_strategy)
        confluents = hasattr(given, "set_cluster_id_resolver")  # its AssociatedNameStrategy takes its own client
        if given is not None and not confluents:
            return given
        if settings.strategy_type == "ASSOCIATED" or confluents:
            return AssociatedSubjects(self._client, settings.strategy_conf)
        if self._schema is not None and self._record_name is None and settings.strategy_type != "TOPIC":
            raise ConfigurationError(
                f"subject.name.strategy.type={settings.strategy_type} needs a schema with a name; a union or primitive "
                "has none: use TOPIC",
                "subject.name.strategy.type",
            )
        return BY_TYPE[settings.strategy_type]

    def _choose_source(self, settings: SerializerSettings) -> Callable[[str, float], RegisteredSchema]:
        """Where a subject's schema and id come from: (subject, seconds) -> registered schema."""
        client, registered, schema = self._client, self._registered, self._schema
        normalize, schema_id, metadata = settings.normalize, settings.use_schema_id, settings.use_latest_with_metadata
        if schema_id is not None:
            return lambda subject, seconds: client.get_registered(schema_id, timeout=seconds)
        if metadata is not None:
            return lambda subject, seconds: client.get_latest_with_metadata(subject, metadata, True, timeout=seconds)
        if settings.use_latest or schema is None:
            return lambda subject, seconds: client.get_latest_version(subject, timeout=seconds)
        if registered is not None:
            return lambda subject, seconds: registered
        ask = client.register_schema_full_response if settings.auto_register else client.lookup_schema
        return lambda subject, seconds: ask(subject, schema, normalize, timeout=seconds)

    def set_cluster_id_resolver(self, resolver: Callable[[], Any]) -> None:
        """Called by ``SerializingProducer`` (2.16 and later) with what tells its cluster's id, for ``ASSOCIATED``."""
        if isinstance(self._strategy, AssociatedSubjects):
            self._strategy.resolve_cluster_id = resolver

    @classmethod
    def from_config(
        cls,
        conf: Mapping[str, Any],
        schema_str: SchemaStr | None = None,
        to_dict: ToDict | None = None,
        *,
        is_key: bool = False,
        schema_registry_client: AnyClient | None = None,
    ) -> tuple[AvroSerializer, dict[str, Any]]:
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
    def _of(
        cls, parts: SplitConf, client: AnyClient | None, schema: SchemaStr | None, to_dict: ToDict | None
    ) -> AvroSerializer:
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
        if write is None:
            write = self._find(ctx)
        return write(obj, ctx)

    def bind(self, topic: str | None = None, field: MessageField = _VALUE) -> BoundSerializer:
        """The serializer for producers whose ``value_serializer`` takes the object alone (aiokafka, FastStream), or the
        topic and the object (kafka-python).

        Args:
            topic: of all messages. A call for another one is refused where the producer tells it, as kafka-python does.
                ``None`` for the topic of each call.

        Raises:
            ConfigurationError: with ``header_schema_id_serializer``: such producers give no headers to write to.
        """
        if self._frame is header_schema_id_serializer:
            raise ConfigurationError(
                "bind() gives no headers to write to: use prefix_schema_id_serializer", "schema.id.serializer"
            )
        if topic is not None and (not isinstance(topic, str) or not topic):
            raise ConfigurationError(f"a topic must be a text that is not empty, not {topic!r}", "topic")
        return BoundSerializer(self, topic, field)

    def close(self) -> None:
        """Closes the client, if this serializer made it."""
        if self._owns_client:
            self._client.close()

    def __enter__(self) -> AvroSerializer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __getstate__(self) -> tuple[Any, ...]:
        client = self._client.config() if self._owns_client else self._client
        ours = vars(AvroSerializer(self._client, *self._given))
        return (client, *self._given), {name: value for name, value in vars(self).items() if name not in ours}

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        given, of_a_subclass = state
        AvroSerializer.__init__(self, *given)
        vars(self).update(of_a_subclass)

    def _find(self, ctx: SerializationContext | None) -> Write:
        subject = self._strategy(ctx, self._record_name)
        if not isinstance(subject, str) or not subject:
            shown = "an empty text" if subject == "" else type(subject).__name__
            raise SerializationError(
                f"the subject name strategy gave {shown} for record {self._record_name!r}: it must give a text"
            )
        deadline = self._asking.deadline()
        if self._refreshes:
            registered = self._ask_latest(subject)
            return self._known.get(registered) or self._learn(registered, registered, deadline)
        write = self._known.get(subject)
        if write is None:
            write = self._learn(subject, self._source(subject, self._asking.left(deadline)), deadline)
        if self._strategy is topic_subject_name_strategy and ctx is not None and ctx.field is _VALUE:
            self._values.remember(ctx.topic, write, self._known.weight(subject))
        return write

    def _ask_latest(self, subject: str) -> RegisteredSchema:
        request = self._latest.get(subject)
        if request is None:
            request = self._client._version(subject, "latest")
            self._latest.remember(subject, request)
        return self._asking.ask(request, ttl=self._asking.latest_ttl)

    def _learn(self, key: str | RegisteredSchema, registered: RegisteredSchema, deadline: float) -> Write:
        """Puts together what each message with this schema goes through."""
        schema = avro_only(registered.schema)
        refuse_rules(schema)
        texts: dict[_Place, str] = {}
        self._resolve(schema.references, deadline, (), texts)
        characters = len(schema.schema_str) + sum(map(len, texts.values()))
        content = (registered.schema_id, registered.guid, schema.schema_str, *texts.values())
        write = self._made.get(content)
        if write is None:
            write = self._make(registered, schema, texts.values())
            self._made.remember(content, write, characters)
        self._known.remember(key, write, characters)
        return write

    def _make(self, registered: RegisteredSchema, schema: Schema, texts: Iterable[str]) -> Write:
        schema_id = SchemaId("AVRO", registered.schema_id, uuid.UUID(registered.guid) if registered.guid else None)
        write = AvroSchema(schema.schema_str, texts).writer(
            schema_id.id_to_bytes() if self._frame is None else b"",
            strict=self._settings.strict,
            strict_allow_default=self._settings.strict_allow_default,
        )
        if self._to_dict is not None:
            write = _converting(self._to_dict, write)
        if self._frame is not None:
            write = _framing(write, self._frame, schema_id)
        return write

    def _resolve(
        self,
        references: Iterable[SchemaReference],
        deadline: float,
        path: tuple[_Place, ...],
        texts: dict[_Place, str],
    ) -> None:
        """Puts the texts of referred schemas into ``texts``, each after those that it refers to itself."""
        for reference in references:
            place = (reference.subject, reference.version)
            if place in path:
                loop = " -> ".join(f"{subject!r} version {version}" for subject, version in (*path, place))
                raise ConfigurationError(f"schema references form a loop: {loop}", "schema_str")
            if place in texts:
                continue
            if (
                len(path) >= _DEEPEST
                or len(texts) >= _MOST_REFERRED
                or sum(map(len, texts.values())) > _MOST_CHARACTERS
            ):
                raise ConfigurationError(
                    f"the schema refers to more than {_MOST_REFERRED} schemas, {_MOST_CHARACTERS} characters or "
                    f"{_DEEPEST} levels, by version {reference.version} of subject {reference.subject!r}",
                    "schema_str",
                )
            seconds = self._asking.left(deadline)
            referred = self._client.get_version(*place, True, timeout=seconds).schema
            texts[place] = referred.schema_str
            self._resolve(referred.references, deadline, (*path, place), texts)
            texts[place] = texts.pop(place)  # behind those


_OURS = {
    function.__name__: function
    for function in (*BY_TYPE.values(), prefix_schema_id_serializer, header_schema_id_serializer)
}


def _ours(given: Any) -> Any:
    """For a function of Confluent's ours of that name, which means the same; anything else as it is."""
    theirs = str(getattr(given, "__module__", None)).startswith("confluent_kafka.")
    return _OURS.get(getattr(given, "__name__", ""), given) if theirs else given


def _converting(to_dict: ToDict, write: Write) -> Write:
    return lambda obj, ctx: write(to_dict(obj, ctx), ctx)


def _framing(write: Write, frame: Callable[..., bytes], schema_id: SchemaId) -> Write:
    def framed(obj: Any, ctx: Any) -> bytes:
        message = frame(write(obj, ctx), ctx, schema_id)
        if not isinstance(message, (bytes, bytearray)):  # None would be a tombstone
            raise SerializationError(f"schema.id.serializer gave {type(message).__name__}: it must give bytes")
        return message

    return framed
