"""The serializer for producers that give it the object alone, or the object and its topic."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, overload

from confluent_kafka.serialization import MessageField, SerializationContext

from .errors import ConfigurationError

__all__ = ["BoundSerializer"]


class BoundSerializer:
    """What ``AvroSerializer.bind`` gives: ``bound(obj)``, and kafka-python's ``Serializer`` protocol.

    Args:
        serializer: stays the caller's to close, also where a producer closes what it was given.
        topic: of all messages; ``None`` for the topic of each call to ``serialize``.
        field: key or value.
    """

    __slots__ = ("_ctx", "_given", "_headers_are_told", "_serializer")

    def __init__(
        self, serializer: Callable[[Any, SerializationContext], bytes | None], topic: str | None, field: MessageField
    ) -> None:
        self._given = (serializer, topic, field)
        self._serializer = serializer
        self._ctx = SerializationContext(topic, field)  # type: ignore[arg-type]
        self._headers_are_told = False

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """kafka-python's class once that is loaded: it tells the topic only to what is an instance of it."""
        return getattr(sys.modules.get("kafka.serializer"), "Serializer", BoundSerializer)

    @overload
    def __call__(self, obj: None) -> None: ...

    @overload
    def __call__(self, obj: Any) -> bytes: ...

    def __call__(self, obj: Any) -> bytes | None:
        """The message's bytes.

        Raises:
            ConfigurationError: no topic was bound, and the subject name strategy needs one.
            SerializationError: as ``AvroSerializer``.
        """
        return self._serializer(obj, self._ctx)

    def serialize(self, topic: str, *headers_and_data: Any) -> bytes | None:
        """The same for a producer that tells its topic: kafka-python 2 gives (topic, data), kafka-python 3 (topic,
        headers, data).

        Raises:
            ConfigurationError: another topic is bound.
            SerializationError: as ``AvroSerializer``.
        """
        *headers, data = headers_and_data
        if headers:
            self._headers_are_told = True
        elif self._headers_are_told and isinstance(failed := sys.exc_info()[1], TypeError):
            raise failed  # kafka-python 3 tries again after any TypeError; an object's iterators can be read only once
        bound = self._ctx.topic
        if bound is not None and topic != bound:
            raise ConfigurationError(
                f"this serializer is bound to topic {bound!r}, and the message is for {topic!r}: use bind() without a "
                "topic, which writes for the topic of each call",
                "topic",
            )
        return self._serializer(data, SerializationContext(topic, self._ctx.field, *headers))

    def close(self) -> None:
        """Nothing: kafka-python calls it, and other producers may use the serializer still."""

    def __repr__(self) -> str:
        return f"{self._serializer!r}.bind({self._ctx.topic!r}, {self._ctx.field!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return BoundSerializer, self._given
