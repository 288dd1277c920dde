"""The registry client for an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_sr_retry.schema import RegisteredSchema, Schema

from .client import ClientState, SchemaRegistryClient, associated
from .questions import Version
from .ways import OnLoop

__all__ = ["AsyncSchemaRegistryClient"]


class AsyncSchemaRegistryClient:
    """``SchemaRegistryClient`` with its methods awaitable: the loop goes on while the registry is asked.

    One may be used from several loops and threads. A task that is cancelled leaves its question under way, for others
    who wait for it.

    Args:
        conf: as for ``SchemaRegistryClient``.

    Raises:
        ConfigurationError: a key or value that cannot work; no request has been made then.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        self._use(SchemaRegistryClient(conf))

    def _use(self, client: SchemaRegistryClient) -> None:
        self._ours = client
        self._ask = OnLoop(client._asking).ask
        self._questions = client._questions

    def config(self) -> dict[str, Any]:
        """The configuration it was given."""
        return self._ours.config()

    async def register_schema(
        self, subject_name: str, schema: Schema, normalize_schemas: bool = False, *, timeout: float | None = None
    ) -> int:
        """Registers ``schema`` under ``subject_name``, or finds it there; gives its id."""
        return (
            await self.register_schema_full_response(subject_name, schema, normalize_schemas, timeout=timeout)
        ).schema_id

    async def register_schema_full_response(
        self, subject_name: str, schema: Schema, normalize_schemas: bool = False, *, timeout: float | None = None
    ) -> RegisteredSchema:
        """As ``SchemaRegistryClient``'s."""
        return await self._ask(self._questions.register(subject_name, schema, normalize_schemas), timeout)

    async def lookup_schema(
        self,
        subject_name: str,
        schema: Schema,
        normalize_schemas: bool = False,
        fmt: str | None = None,
        deleted: bool = False,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """Where ``schema`` is registered under ``subject_name``; ``SchemaNotFoundError`` where it is not."""
        return await self._ask(self._questions.look_up(subject_name, schema, normalize_schemas, fmt, deleted), timeout)

    async def get_schema(
        self,
        schema_id: int,
        subject_name: str | None = None,
        fmt: str | None = None,
        reference_format: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Schema:
        """The schema with this id."""
        return (await self.get_registered(schema_id, subject_name, fmt, reference_format, timeout=timeout)).schema

    async def get_registered(
        self,
        schema_id: int,
        subject_name: str | None = None,
        fmt: str | None = None,
        reference_format: str | None = None,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """``get_schema`` with all that the registry tells."""
        return await self._ask(self._questions.schema(schema_id, subject_name, fmt, reference_format), timeout)

    async def get_associated_subjects(
        self, topic: str, cluster_id: str, field: str, *, timeout: float | None = None
    ) -> tuple[str, ...]:
        """As ``SchemaRegistryClient``'s."""
        request = self._questions.associations(topic, cluster_id, field)
        return await associated(OnLoop(self._ours._asking), request, timeout)

    async def get_latest_version(
        self, subject_name: str, fmt: str | None = None, *, timeout: float | None = None
    ) -> RegisteredSchema:
        """The newest version under ``subject_name``, kept for ``cache.latest.ttl.sec``."""
        return await self._ask(self._questions.latest(subject_name, fmt), timeout)

    async def get_latest_with_metadata(
        self,
        subject_name: str,
        metadata: Mapping[str, str],
        deleted: bool = False,
        fmt: str | None = None,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """The newest version whose metadata hold these properties; kept like ``get_latest_version``'s."""
        return await self._ask(self._questions.latest_with_metadata(subject_name, metadata, deleted, fmt), timeout)

    async def get_version(
        self,
        subject_name: str,
        version: Version = "latest",
        deleted: bool = False,
        fmt: str | None = None,
        *,
        timeout: float | None = None,
    ) -> RegisteredSchema:
        """A version under ``subject_name``; the latest (-1 too) is asked for each time."""
        return await self._ask(self._questions.version(subject_name, version, deleted, fmt), timeout)

    async def test_compatibility(
        self, subject_name: str, schema: Schema, version: Version = "latest", *, timeout: float | None = None
    ) -> bool:
        """Whether ``schema`` could follow ``version`` under ``subject_name``."""
        return await self._ask(self._questions.compatibility(subject_name, schema, version), timeout)

    def clear_caches(self) -> None:
        """Forgets all answers, those that serializers hold too."""
        self._ours.clear_caches()

    async def aclose(self) -> None:
        """Ends all waits with a ``RegistryUnavailableError`` and closes the connections. What is known stays known."""
        await OnLoop(self._ours._asking).close(self._ours.close)

    async def __aenter__(self) -> AsyncSchemaRegistryClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __getstate__(self) -> SchemaRegistryClient:
        return self._ours

    def __setstate__(self, client: SchemaRegistryClient) -> None:
        self._use(client)

    def state(self) -> ClientState:
        """How it is now, for gauges and health checks; asks nobody."""
        return self._ours.state()
