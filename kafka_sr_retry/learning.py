"""What a serializer learns of a subject before it can write, and what it knows."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from .avro.encoder import AvroSchema, Encoder, full_name
from .avro.text import Write
from .config import SerializerSettings
from .errors import AvroEncodingError, ConfigurationError, SchemaRegistryError
from .events import MessageFailedEvent
from .framing import SchemaId, header_schema_id_serializer, prefix_schema_id_serializer
from .given import avro_only, refuse_rules
from .registry.asking import FOR_EVER
from .registry.client import SchemaRegistryClient
from .registry.memory import Memory
from .registry.request import RegistryRequest
from .registry.ways import Way
from .schema import RegisteredSchema, Schema, SchemaReference
from .subjects import BY_TYPE, AssociatedSubjects, topic_subject_name_strategy

Strategy = Callable[[Any, Any], Any]
"""(context, record name) -> subject, or an awaitable of it."""

ToDict = Callable[[Any, Any], Any]
"""(object, SerializationContext) -> dict; the context is ``None`` where the caller gave none."""

_MOST_REFERRED, _MOST_CHARACTERS, _DEEPEST = 1000, 16 * 1024 * 1024, 100
"""Bounds of what a schema may refer to, itself or by others: schemas, characters, levels."""

_Place = tuple[str, int]
"""(subject, version)."""


class Learning:
    """What writes the messages of each subject.

    Args:
        client: asked for what is not known.
        settings: the serializer's.
        given: the schema that the user gave, with its id if that is known.
        parsed: the same, for the first message to find.
        to_dict: turns objects into dicts.

    Attributes:
        frame: names the schema in the message; ``None`` for the usual prefix.
        by_topic: the writers of values under the topic strategy: saves most messages the making of a subject's name.
    """

    def __init__(
        self,
        client: SchemaRegistryClient,
        settings: SerializerSettings,
        given: Schema | RegisteredSchema | None,
        parsed: AvroSchema | None,
        to_dict: ToDict | None,
    ) -> None:
        self._settings = settings
        self._to_dict = to_dict
        self._parsed = None if settings.reads_schema else parsed
        self._schema = given.schema if isinstance(given, RegisteredSchema) else given
        self._record_name = None if self._schema is None else full_name(self._schema.schema_str)
        frame = _ours(settings.schema_id_serializer)
        self.frame = None if frame is prefix_schema_id_serializer else frame
        self._asking = asking = client._asking
        self._questions = client._questions
        self.associated: AssociatedSubjects | None = None
        self._strategy = self._choose_strategy(client)
        self._request = self._choose_request()
        self._registered = given if isinstance(given, RegisteredSchema) and not settings.reads_schema else None
        self._refreshes = settings.use_latest and asking.latest_ttl < FOR_EVER
        self._latest: Memory[str, RegistryRequest[RegisteredSchema]] | None = (
            asking.memory() if self._refreshes else None  # else asked for once
        )
        self._known: Memory[str | RegisteredSchema, Write] = asking.memory()
        # by what they are made of: many subjects may have one schema
        self._made: Memory[tuple[Any, ...], Write] = asking.memory()
        self._values: Memory[str, Write] = asking.memory()
        self.by_topic: Mapping[str, Write] = self._values.entries
        asking.attend(self)

    def clear(self) -> None:
        """Forgets all writers: what was asked for is in doubt."""
        for memory in (self._latest, self._known, self._made, self._values):
            if memory is not None:
                memory.clear()

    def _choose_strategy(self, client: SchemaRegistryClient) -> Strategy:
        """How a message's subject is found."""
        settings = self._settings
        given: Strategy | None = _ours(settings.subject_name_strategy)
        confluents = hasattr(given, "set_cluster_id_resolver") or hasattr(given, "set_async_cluster_id_resolver")
        if given is not None and not confluents:  # its AssociatedNameStrategy takes its own client
            return given
        if settings.strategy_type == "ASSOCIATED" or confluents:
            self.associated = AssociatedSubjects(client, settings.strategy_conf)
            return self.associated.known
        if self._schema is not None and self._record_name is None and settings.strategy_type != "TOPIC":
            raise ConfigurationError(
                f"subject.name.strategy.type={settings.strategy_type} needs a schema with a name; a union or primitive "
                "has none: use TOPIC",
                "subject.name.strategy.type",
            )
        return BY_TYPE[settings.strategy_type]

    def _choose_request(self) -> Callable[[str], RegistryRequest[RegisteredSchema]]:
        """What tells a subject's schema and id."""
        ask, schema, settings = self._questions, self._schema, self._settings
        normalize, schema_id, metadata = settings.normalize, settings.use_schema_id, settings.use_latest_with_metadata
        if schema_id is not None:
            return lambda subject: ask.schema(schema_id)
        if metadata is not None:
            return lambda subject: ask.latest_with_metadata(subject, metadata, True)
        if settings.use_latest or schema is None:
            return self._latest_of
        question = ask.register if settings.auto_register else ask.look_up
        return lambda subject: question(subject, schema, normalize)

    def look(self, ctx: SerializationContext | None) -> tuple[Any, Write | None]:
        """A message's subject, as far as that is known, and what writes it, where that needs no question."""
        subject = self._strategy(ctx, self._record_name)
        if not isinstance(subject, str) or not subject:
            return subject, None
        key: str | RegisteredSchema = subject
        if self._refreshes:
            latest = self._asking.recall(self._latest_of(subject))
            if latest is None:
                return subject, None
            key = latest.value
        write = self._known.get(key)
        if write is not None:
            self._remember_topic(ctx, subject, write)
        return subject, write

    def failed(self, ctx: SerializationContext | None, error: Exception) -> None:
        """Tells of a message that is not sent."""
        reason = "other"
        if isinstance(error, SchemaRegistryError):
            reason = error.reason or reason
        elif isinstance(error, AvroEncodingError):
            reason = "misfit"
        elif isinstance(error, ConfigurationError):
            reason = "configuration"
        topic = getattr(ctx, "topic", None)
        field = "key" if getattr(ctx, "field", None) == MessageField.KEY else "value"
        asked = f"serialize the {field} of a message" + (f" to topic {topic!r}" if topic else "")
        common: dict[str, Any] = {"call": 0, "operation": "other", "asked": asked}
        self._asking.tell_here(MessageFailedEvent(**common, reason=reason, topic=topic, field=field))

    def known(self, ctx: SerializationContext | None) -> Write | None:
        """What writes a message, where that needs no question and no wait for the user's strategy."""
        try:
            subject, write = self.look(ctx)
        except SchemaRegistryError:  # a refusal that is remembered
            return None
        if inspect.iscoroutine(subject):
            subject.close()
        return write

    def encoder(self, ctx: SerializationContext | None) -> Encoder | None:
        """What makes a message's bytes, where its writer is known."""
        write, strict = self.known(ctx), self._settings.strict or self._settings.strict_allow_default
        for (_, _, text, *texts), made in list(self._made.entries.items()):
            if made is write:
                return AvroSchema.of(text, texts).encoder(strict=strict)
        return None

    async def learn(
        self, ctx: SerializationContext | None, subject: Any, way: Way, timeout: float | None = None
    ) -> tuple[str, Write]:
        """What ``look`` did not give.

        Args:
            subject: what it gave.
            way: where to ask.
            timeout: seconds, ``None`` for ``total.timeout.ms``.
        """
        deadline, era = self._asking.deadline(timeout), self._asking.era
        if subject is None and self.associated is not None:
            subject = await self.associated.ask(ctx, self._record_name, way, deadline)
        elif not isinstance(subject, str) and inspect.isawaitable(subject):
            subject = await subject
        if not isinstance(subject, str) or not subject:
            shown = "an empty text" if subject == "" else type(subject).__name__
            raise SerializationError(
                f"the subject name strategy gave {shown} for record {self._record_name!r}: it must give a text"
            )
        write = None if self._refreshes else self._known.get(subject)
        if write is None:
            registered = self._registered
            if registered is None:
                registered = await way.ask(self._request(subject), self._asking.left(deadline))
            key: str | RegisteredSchema = registered if self._refreshes else subject
            write = self._known.get(key) or await self._writer(key, registered, deadline, way)
        self._remember_topic(ctx, subject, write)
        if era != self._asking.era:  # what it was made of was put in doubt meanwhile
            self.clear()
        return subject, write

    def _remember_topic(self, ctx: SerializationContext | None, subject: str, write: Write) -> None:
        is_value = ctx is not None and ctx.field is MessageField.VALUE
        if is_value and self._strategy is topic_subject_name_strategy and not self._refreshes:
            self._values.remember(ctx.topic, write, self._known.weight(subject))  # type: ignore[union-attr]

    def _latest_of(self, subject: str) -> RegistryRequest[RegisteredSchema]:
        request = None if self._latest is None else self._latest.get(subject)
        if request is None:
            request = self._questions.latest(subject)
            if self._latest is not None:
                self._latest.remember(subject, request)
        return request

    async def _writer(
        self, key: str | RegisteredSchema, registered: RegisteredSchema, deadline: float, way: Way
    ) -> Write:
        """Puts together what each message with this schema goes through."""
        schema = avro_only(registered.schema)
        refuse_rules(schema)
        texts: dict[_Place, str] = {}
        await self._resolve(schema.references, deadline, way, (), texts)
        characters = len(schema.schema_str) + sum(map(len, texts.values()))
        content = (registered.schema_id, registered.guid, schema.schema_str, *texts.values())
        write = self._made.get(content)
        if write is None:
            write = await way.compute(_Making(self, content, characters))
        self._known.remember(key, write, characters)
        return write

    def made(self, content: tuple[Any, ...], characters: int) -> Write:
        """What writes with this schema; made once, whoever waits for it."""
        write = self._made.get(content)
        if write is None:
            write = self._make(*content)
            self._made.remember(content, write, characters)
        return write

    def _make(self, number: int, guid: str | None, text: str, *texts: str) -> Write:
        schema_id = SchemaId("AVRO", number, uuid.UUID(guid) if guid else None)
        write = AvroSchema.of(text, texts).writer(
            schema_id.id_to_bytes() if self.frame is None else b"",
            strict=self._settings.strict,
            strict_allow_default=self._settings.strict_allow_default,
        )
        if self._to_dict is not None:
            write = _converting(self._to_dict, write)
        if self.frame is not None:
            write = _framing(write, self.frame, schema_id)
        return write

    async def _resolve(
        self,
        references: Iterable[SchemaReference],
        deadline: float,
        way: Way,
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
            request = self._questions.version(*place, True)
            referred = (await way.ask(request, self._asking.left(deadline))).schema
            texts[place] = referred.schema_str
            await self._resolve(referred.references, deadline, way, (*path, place), texts)
            texts[place] = texts.pop(place)  # behind those


_OURS = {
    function.__name__: function
    for function in (*BY_TYPE.values(), prefix_schema_id_serializer, header_schema_id_serializer)
}


@dataclass(frozen=True, slots=True)
class _Making:
    """``Learning.made``; equal ones are one job of a worker."""

    learning: Learning
    content: tuple[Any, ...]
    characters: int

    def __call__(self) -> Write:
        return self.learning.made(self.content, self.characters)


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
