"""Subject name strategies, with the names and signatures of Confluent's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from .config import CLUSTER_ID, FALLBACK_TYPE
from .errors import ConfigurationError
from .registry.client import SchemaRegistryClient, associated
from .registry.memory import Memory
from .registry.ways import Way

__all__ = [
    "record_subject_name_strategy",
    "topic_record_subject_name_strategy",
    "topic_subject_name_strategy",
]


def topic_subject_name_strategy(ctx: SerializationContext | None, record_name: str | None) -> str:
    """``{topic}-key`` or ``{topic}-value``.

    Raises:
        ConfigurationError: no context, or one without a topic or field.
    """
    ctx = _needed(ctx)
    return f"{ctx.topic}-{ctx.field}"


def record_subject_name_strategy(ctx: SerializationContext | None, record_name: str | None) -> str | None:
    """``{record name}``, fully qualified; needs no context."""
    return record_name


def topic_record_subject_name_strategy(ctx: SerializationContext | None, record_name: str | None) -> str | None:
    """``{topic}-{record name}``.

    Raises:
        ConfigurationError: no context, or one without a topic or field.
    """
    return None if record_name is None else f"{_needed(ctx).topic}-{record_name}"


def _needed(ctx: SerializationContext | None) -> SerializationContext:
    topic, field = getattr(ctx, "topic", None), getattr(ctx, "field", None)
    if isinstance(topic, str) and topic and field in _FIELDS:
        return ctx  # type: ignore[return-value]
    if ctx is None:
        raise ConfigurationError(
            "this subject name strategy needs a SerializationContext(topic, field): give one, or use "
            "subject.name.strategy.type=RECORD",
            "ctx",
        )
    if not isinstance(topic, str) or not topic:
        raise ConfigurationError(
            f"the topic in a SerializationContext, or of bind(), must be a text, not {_shown(topic)}", "ctx"
        )
    raise ConfigurationError(f"the field in a SerializationContext must be a MessageField, not {_shown(field)}", "ctx")


_FIELDS = (MessageField.KEY, MessageField.VALUE, MessageField.NONE)  # texts, and equal to texts


def _shown(given: Any) -> str:
    return repr(given) if given is None or isinstance(given, str) else type(given).__name__


BY_TYPE = {
    "TOPIC": topic_subject_name_strategy,
    "RECORD": record_subject_name_strategy,
    "TOPIC_RECORD": topic_record_subject_name_strategy,
}


_NAMED, _SHOWN = 5, 200
"""Subjects, and characters of each, that an error names."""


class AssociatedSubjects:
    """The ``ASSOCIATED`` strategy of Confluent's client: the registry says which subject belongs to a topic.

    Where it knows none, has no associations at all, or does not let this caller read them, another strategy decides
    (``subject.name.strategy.fallback.type``, default ``TOPIC``).

    Args:
        client: asked once for each topic and field, until its ``clear_caches``.
        conf: ``subject.name.strategy.conf``.
    """

    def __init__(self, client: SchemaRegistryClient, conf: Mapping[str, str]) -> None:
        self._client = client
        self._cluster_id = conf.get(CLUSTER_ID)
        self._fallback = conf.get(FALLBACK_TYPE, "TOPIC")
        self._subjects: Memory[tuple[str, str, str | None], str | None] = client._asking.memory()
        client._asking.attend(self._subjects)
        self.resolve_cluster_id: Callable[[], Any] | None = None

    def known(self, ctx: SerializationContext | None, record_name: str | None) -> str | None:
        """The subject, where that needs no question."""
        ctx = _needed(ctx)
        return self._subjects.get((ctx.topic, _named(ctx), record_name))

    async def ask(
        self, ctx: SerializationContext | None, record_name: str | None, way: Way, deadline: float
    ) -> str | None:
        """The subject, kept."""
        ctx = _needed(ctx)
        field, left, era = _named(ctx), self._client._asking.left, self._subjects.era
        cluster_id = self._cluster_id or await self._resolve(way, left(deadline))
        request = self._client._questions.associations(ctx.topic, cluster_id, field)
        subject = self._chosen(await associated(way, request, left(deadline)), ctx, field, record_name)
        self._subjects.remember((ctx.topic, field, record_name), subject)
        if era != self._subjects.era:
            self._subjects.clear()
        return subject

    def _chosen(
        self, subjects: tuple[str, ...], ctx: SerializationContext, field: str, record_name: str | None
    ) -> str | None:
        if len(subjects) > 1:
            named = ", ".join(repr(subject)[1:-1][:_SHOWN] for subject in subjects[:_NAMED])
            more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
            raise SerializationError(f"topic {ctx.topic!r} has more than one associated {field} subject: {named}{more}")
        if subjects:
            return subjects[0]
        if self._fallback == "NONE":
            raise SerializationError(
                f"topic {ctx.topic!r} has no associated {field} subject, and {FALLBACK_TYPE} is NONE: create the "
                "association, or set another fallback"
            )
        return BY_TYPE[self._fallback](ctx, record_name)

    async def _resolve(self, way: Way, seconds: float) -> str:
        """The id of the producer's Kafka cluster; ``-``, any, where nobody can tell."""
        resolve = self.resolve_cluster_id
        if resolve is None:
            return "-"
        try:
            cluster_id = await way.run(resolve, seconds)
        except TimeoutError:
            raise SerializationError(f"no broker told the Kafka cluster's id in time; set {CLUSTER_ID}") from None
        except Exception as error:
            raise SerializationError(f"the Kafka cluster's id could not be had ({error}); set {CLUSTER_ID}") from error
        if not cluster_id:
            raise SerializationError(f"the Kafka cluster's id is empty; set {CLUSTER_ID}")
        return str(cluster_id)


def _named(ctx: SerializationContext) -> str:
    return "key" if ctx.field == MessageField.KEY else "value"
