"""The serializer for an event loop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, overload

from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from .avro.text import Write
from .builder import AvroSerializerBuilder
from .registry.ways import OnLoop
from .serializer import AvroSerializer
from .warming import OnProgress, Warming, WarmUp

__all__ = ["AsyncAvroSerializer", "AsyncAvroSerializerBuilder"]

_VALUE = MessageField.VALUE


class AsyncAvroSerializer(AvroSerializer):
    """``AvroSerializer``, awaited: ``await serializer(obj, ctx)``. The loop goes on while the registry is asked.

    A message whose id is known never leaves the loop. A schema is compiled on a worker. Cancelling a task that waits
    leaves its question under way, for others who wait for it. ``await AsyncAvroSerializer(...)`` works as with
    Confluent's, and is not needed.

    Args:
        schema_registry_client: an ``AsyncSchemaRegistryClient``, a ``SchemaRegistryClient`` or a dict of its
            configuration: then ``aclose()`` closes it.
        schema_str: as for ``AvroSerializer``, and so are ``to_dict`` and ``conf``. A ``subject.name.strategy`` may be a
            coroutine function; one that asks somebody itself should be.

    Raises:
        ConfigurationError: as ``AvroSerializer``.
    """

    def __await__(self) -> Generator[Any, None, AsyncAvroSerializer]:
        return self
        yield

    @overload  # type: ignore[override]
    async def __call__(self, obj: None, ctx: SerializationContext | None = None) -> None: ...

    @overload
    async def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes: ...

    async def __call__(self, obj: Any, ctx: SerializationContext | None = None) -> bytes | None:
        """The message's bytes; ``None`` stays ``None``, a tombstone.

        Raises:
            AvroEncodingError: the object does not fit the schema.
            SchemaRegistryError: the registry refused, or was not there in time. Nothing was sent: produce again later.
        """
        if obj is None:
            return None
        try:  # written out as in AvroSerializer: a call to share it would cost as much as awaiting does
            write = self._by_topic[ctx.topic] if ctx.field is _VALUE else None  # type: ignore[union-attr]
        except (KeyError, AttributeError, TypeError):
            write = None
        try:
            if write is None:
                write = await self._find(ctx)
            return write(obj, ctx)
        except Exception as error:
            self._learning.failed(ctx, error)
            raise

    async def _find(self, ctx: SerializationContext | None) -> Write:  # type: ignore[override]
        subject, write = self._learning.look(ctx)
        return write or (await self._learning.learn(ctx, subject, OnLoop(self._asking)))[1]

    async def warm_up(  # type: ignore[override]
        self,
        topics: Iterable[str],
        *,
        field: MessageField = _VALUE,
        timeout: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> WarmUp:
        """As ``AvroSerializer.warm_up``, awaited; ``on_progress`` is called on the loop."""
        return await Warming(self._learning, self._asking, topics, field, timeout, on_progress).run_on_loop()

    @property
    def _direct(self) -> Callable[[Any, SerializationContext | None], bytes | None]:
        return self._write_known

    def _write_known(self, obj: Any, ctx: SerializationContext | None) -> bytes | None:
        """For producers that call their serializer on the loop: a wait would hold up all of it."""
        if obj is None:
            return None
        try:
            return self._find_known(ctx)(obj, ctx)
        except Exception as error:
            self._learning.failed(ctx, error)
            raise

    def _find_known(self, ctx: SerializationContext | None) -> Write:
        write = self._learning.known(ctx)
        if write is not None:
            return write
        topic = None if ctx is None else ctx.topic
        raise SerializationError(
            f"the schema's id for topic {topic!r} is not known yet, and asking here would hold the event loop up: "
            f"await serializer.warm_up([{topic!r}]) before, or send what `await serializer(obj, ctx)` gives"
        )

    def set_async_cluster_id_resolver(self, resolver: Callable[[], Any]) -> None:
        """Called by ``AsyncSerializingProducer`` with what tells its cluster's id, for ``ASSOCIATED``."""
        self.set_cluster_id_resolver(resolver)

    async def aclose(self) -> None:
        """Closes the client, if this serializer made it."""
        await OnLoop(self._asking).close(self.close)

    async def __aenter__(self) -> AsyncAvroSerializer:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class AsyncAvroSerializerBuilder(AvroSerializerBuilder):
    """Builds an ``AsyncAvroSerializer`` for ``AsyncSerializingProducer``: ``value.serializer.builder`` in its dict.

    Args, setters, errors: as ``AvroSerializerBuilder``.
    """

    async def build(  # type: ignore[override]
        self, conf: Mapping[str, Any], is_key: bool
    ) -> tuple[AsyncAvroSerializer, dict[str, Any]]:
        """Called by the producer: the serializer, and what is left of the producer's dict."""
        return self._built(AsyncAvroSerializer, conf, is_key)
