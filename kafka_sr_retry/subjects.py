"""Subject name strategies, with the names and signatures of Confluent's."""

from __future__ import annotations

from confluent_kafka.serialization import SerializationContext

__all__ = [
    "record_subject_name_strategy",
    "topic_record_subject_name_strategy",
    "topic_subject_name_strategy",
]


def topic_subject_name_strategy(ctx: SerializationContext | None, record_name: str | None) -> str:
    """``{topic}-key`` or ``{topic}-value``.

    Raises:
        ValueError: without a context.
    """
    return _needed(ctx).topic + "-" + _needed(ctx).field


def record_subject_name_strategy(ctx: SerializationContext | None, record_name: str | None) -> str | None:
    """``{record name}``, fully qualified; needs no context."""
    return record_name


def topic_record_subject_name_strategy(ctx: SerializationContext | None, record_name: str | None) -> str | None:
    """``{topic}-{record name}``.

    Raises:
        ValueError: without a context.
    """
    return None if record_name is None else f"{_needed(ctx).topic}-{record_name}"


def _needed(ctx: SerializationContext | None) -> SerializationContext:
    if ctx is None:
        raise ValueError(
            "this subject name strategy needs a SerializationContext(topic, field): give one, or use "
            "subject.name.strategy.type=RECORD"
        )
    return ctx


BY_TYPE = {
    "TOPIC": topic_subject_name_strategy,
    "RECORD": record_subject_name_strategy,
    "TOPIC_RECORD": topic_record_subject_name_strategy,
}
