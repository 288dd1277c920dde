"""What the client's methods ask, each as one request."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal
from urllib.parse import quote, unquote

from kafka_sr_retry.errors import ConfigurationError
from kafka_sr_retry.schema import MAX_ID, RegisteredSchema, Schema, is_subject

from . import answers
from .request import RegistryRequest

Version = int | Literal["latest"]


class Questions:
    """Requests from arguments, which raise ``ConfigurationError`` where they cannot work.

    Args:
        context: of all subjects that name none, or ``None``.
    """

    def __init__(self, context: str | None) -> None:
        self._context = context
        self._encoded: tuple[Schema | None, bytes | None] = (None, None)  # the last one; many subjects may have it

    def register(self, subject_name: str, schema: Schema, normalize: bool) -> RegistryRequest[RegisteredSchema]:
        """Answered too by the look-up of a schema that is there."""
        subject, (encoded, body) = self._subject(subject_name), self._encoded
        body = body if encoded is schema else None
        request = RegistryRequest.build(
            "POST",
            f"/subjects/{_quoted(subject)}/versions",
            query={"normalize": bool(normalize) or None},
            content=_wire(schema) if body is None else None,
            body=body,
            asked=f"register a schema under subject {subject!r}",
            operation="register",
            expects=answers.registered(subject, schema, normalized=normalize),
            registers=True,
            or_else=partial(_look_up, subject, schema, normalize, instead=True),
        )
        if type(schema) is Schema:  # Confluent's can change
            self._encoded = schema, request.body
        return request

    def look_up(
        self, subject_name: str, schema: Schema, normalize: bool, fmt: str | None = None, deleted: bool = False
    ) -> RegistryRequest[RegisteredSchema]:
        return _look_up(self._subject(subject_name), schema, normalize, fmt, deleted)

    def schema(
        self,
        schema_id: int,
        subject_name: str | None = None,
        fmt: str | None = None,
        reference_format: str | None = None,
    ) -> RegistryRequest[RegisteredSchema]:
        schema_id = _number(schema_id, "schema_id")
        return RegistryRequest.build(
            "GET",
            f"/schemas/ids/{schema_id}",
            query={
                "subject": self._context if subject_name is None else self._subject(subject_name),
                "format": _format(fmt, "fmt"),
                "referenceFormat": _format(reference_format, "reference_format"),
            },
            asked=f"get the schema with id {schema_id}",
            operation="get_schema",
            expects=answers.schema_with_id(schema_id),
        )

    def associations(self, topic: str, cluster_id: str, field: str) -> RegistryRequest[tuple[str, ...]]:
        return RegistryRequest.build(
            "GET",
            f"/associations/resources/{_quoted(cluster_id)}/{_quoted(topic)}",
            query={"resourceType": "topic", "associationType": [field]},
            asked=f"get the associations of topic {topic!r}",
            operation="associations",
            expects=answers.associated_subjects,
            optional=True,
        )

    def latest(self, subject_name: str, fmt: str | None = None) -> RegistryRequest[RegisteredSchema]:
        """The latest version, kept."""
        return self._version(subject_name, "latest", fmt=fmt, ages=True)

    def latest_with_metadata(
        self, subject_name: str, metadata: Mapping[str, str], deleted: bool, fmt: str | None = None
    ) -> RegistryRequest[RegisteredSchema]:
        subject = self._subject(subject_name)
        if not isinstance(metadata, Mapping) or not all(
            isinstance(text, str) for pair in metadata.items() for text in pair
        ):
            raise ConfigurationError("metadata must be a dict of texts, such as {'owner': 'shop'}", "metadata")
        return RegistryRequest.build(
            "GET",
            f"/subjects/{_quoted(subject)}/metadata",
            query={
                "key": list(metadata),
                "value": list(metadata.values()),
                "deleted": bool(deleted) or None,
                "format": _format(fmt, "fmt"),
            },
            asked=f"get the latest version with metadata under subject {subject!r}",
            operation="get_version",
            expects=answers.version_of(subject),
            ages=True,
        )

    def version(
        self, subject_name: str, version: Version, deleted: bool = False, fmt: str | None = None
    ) -> RegistryRequest[RegisteredSchema]:
        """A version; the latest is asked for each time."""
        version = _version(version)
        return self._version(subject_name, version, deleted, fmt, keep=version != "latest")

    def compatibility(self, subject_name: str, schema: Schema, version: Version) -> RegistryRequest[bool]:
        version = _version(version)
        subject = self._subject(subject_name)
        return RegistryRequest.build(
            "POST",
            f"/compatibility/subjects/{_quoted(subject)}/versions/{version}",
            content=_wire(schema),
            asked=f"test a schema against version {version} of subject {subject!r}",
            operation="compatibility",
            expects=answers.is_compatible,
            keep=False,
        )

    def _subject(self, name: str) -> str:
        if not is_subject(name):
            raise ConfigurationError(f"a subject must be a text that is more than dots, not {name!r}", "subject_name")
        return name if name.startswith(":.") else (self._context or "") + name

    def _version(
        self,
        subject_name: str,
        version: Version,
        deleted: bool = False,
        fmt: str | None = None,
        *,
        keep: bool = True,
        ages: bool = False,
    ) -> RegistryRequest[RegisteredSchema]:
        subject = self._subject(subject_name)
        return RegistryRequest.build(
            "GET",
            f"/subjects/{_quoted(subject)}/versions/{version}",
            query={"deleted": bool(deleted) or None, "format": _format(fmt, "fmt")},
            asked=f"get version {version} of subject {subject!r}",
            operation="get_version",
            expects=answers.version_of(subject, version if isinstance(version, int) else None),
            keep=keep,
            ages=ages,
        )


def _quoted(part: str) -> str:
    try:
        return quote(part, safe="")
    except (UnicodeEncodeError, TypeError) as error:
        raise ConfigurationError(f"{part!r} cannot stand in a request to the registry: {error}") from None


def _look_up(
    subject: str,
    schema: Schema,
    normalize: bool,
    fmt: str | None = None,
    deleted: bool = False,
    *,
    instead: bool = False,
) -> RegistryRequest[RegisteredSchema]:
    """``instead``: of a registration, and so a part of it."""
    return RegistryRequest.build(
        "POST",
        f"/subjects/{_quoted(subject)}",
        query={
            "normalize": bool(normalize) or None,
            "deleted": bool(deleted) or None,
            "format": _format(fmt, "fmt"),
        },
        content=_wire(schema),
        asked=f"look a schema up under subject {subject!r}",
        operation="register" if instead else "look_up",
        expects=answers.registered(subject, schema, normalized=normalize or fmt is not None),
    )


def look_up_of(request: RegistryRequest[RegisteredSchema]) -> RegistryRequest[RegisteredSchema]:
    """The look-up that tells the id again which ``request`` has told, made of its path and body alone."""
    path, _, query = request.path.partition("?")
    subject = unquote(path.split("/")[2])
    schema = Schema.from_dict(json.loads(request.body or b""))
    as_it_is = "normalize=true" not in query and "format=" not in query
    return replace(
        request,
        path=look_up_path(request),
        asked=f"look a schema up under subject {subject!r}",
        operation="look_up",
        expects=answers.registered(subject, schema, normalized=not as_it_is),
        registers=False,
        or_else=None,
    )


def look_up_path(request: RegistryRequest[Any]) -> str:
    """A registration's subject, as a look-up asks for it; any other question's own path."""
    path, mark, query = request.path.partition("?")
    return (path.removesuffix("/versions") if request.registers else path) + mark + query


def _wire(schema: Schema) -> dict[str, Any]:
    """The registry's JSON for a schema; Confluent's have it too."""
    try:
        wire: dict[str, Any] = schema.to_dict()
        good = isinstance(wire["schema"], str)
    except (AttributeError, KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise ConfigurationError(
            f"schema must be a kafka_sr_retry.Schema, whole, not {type(schema).__name__}", "schema"
        )
    return wire


def _format(given: str | None, name: str) -> str | None:
    if given is not None and not isinstance(given, str):
        raise ConfigurationError(f"{name} must be a text, not {given!r}", name)
    return given


def _version(given: Any) -> Version:
    """One form for each question: the registry takes -1 for the latest version."""
    if isinstance(given, str) and given == "latest":
        return "latest"
    number = given
    if isinstance(given, str) and given.isascii() and given.removeprefix("-").isdigit():
        number = int(given[:20])
    with suppress(TypeError):
        if operator.index(number) == -1:
            return "latest"
    return _number(number, "version", ', -1 or "latest"')


def _number(given: Any, name: str, other: str = "") -> int:
    with suppress(TypeError, ValueError):
        number = operator.index(given)
        if not isinstance(given, bool) and 0 < number <= MAX_ID:
            return number
    raise ConfigurationError(f"{name} must be a positive int32{other}, not {given!r}", name)
