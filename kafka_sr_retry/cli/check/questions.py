"""What an endpoint is asked: requests as the client makes them, one subject of its own for each check."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from kafka_sr_retry.registry import answers
from kafka_sr_retry.registry.request import BadAnswer, RegistryRequest
from kafka_sr_retry.schema import RegisteredSchema, Schema

SCRATCH = Schema(
    '{"type": "record", "name": "Scratch", "namespace": "kafka_sr_retry", '
    '"doc": "Written by kafka-sr-retry check, which removes it again; may be deleted.", '
    '"fields": [{"name": "check", "type": "string"}]}'
)
"""The same each time, so that it uses up one id."""

REFUSED = SCRATCH.schema_str.replace('"string"', '"int", "default": "no number"').replace("Written", "Sent")
"""Whose default no type takes. A look-up reads it all the same, a registration does not."""

LONGEST = 199
"""Characters of what a registry says; an ellipsis comes after them."""

_MOST_CLUSTERS = 8

_OWN_WORDS = frozenset(
    {"READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT", "FORWARD"}
    | {"NONE", "FULL", "BACKWARD", "FULL_TRANSITIVE", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE"}
)
"""Modes and compatibility levels: no secret, even if a short password is a part of one."""


def as_told(result: Any, secrets: Sequence[str]) -> Any:
    """An answer's result with its texts as people may see them; ``None`` for one that holds nothing to see."""
    if isinstance(result, str):
        return result if result in _OWN_WORDS else answers.told(result, secrets, LONGEST) or None
    if isinstance(result, dict):
        told = {as_told(name, secrets): as_told(text, secrets) for name, text in result.items()}
        return {name: text for name, text in told.items() if name and text} or None
    return result


def _get(path: str, asked: str, expects: Any, *, optional: bool = False) -> RegistryRequest[Any]:
    return RegistryRequest.build("GET", path, asked=asked, operation="other", expects=expects, optional=optional)


def _text(name: str) -> Any:
    def expects(content: Any) -> str:
        found = content.get(name) if isinstance(content, dict) else None
        if not isinstance(found, str):
            raise BadAnswer(f"there is no {name} in it")
        return found

    return expects


def _yes_or_no(content: Any) -> bool:
    found = content.get("master_available") if isinstance(content, dict) else None
    if not isinstance(found, bool):
        raise BadAnswer("its master_available is neither true nor false")
    return found


def _cluster(content: Any) -> dict[str, str]:
    """Confluent's ``{"scope": {"clusters": {...}}, "id": ""}``."""
    scope = content.get("scope") if isinstance(content, dict) else None
    clusters = scope.get("clusters") if isinstance(scope, dict) else None
    given = {**(clusters if isinstance(clusters, dict) else {}), **({"id": content.get("id")} if scope else {})}
    found = {str(name): value for name, value in given.items() if isinstance(value, str) and value}
    if not found:
        raise BadAnswer("it names no cluster")
    return dict(sorted(found.items())[:_MOST_CLUSTERS])


CONFIG = _get("/config", "get the compatibility level", _text("compatibilityLevel"))
"""Every registry has it, and none reads Kafka for it: the first question, and the one that is timed."""

READY = _get("/status/ready", "ask whether it is ready", lambda _: True, optional=True)
"""Redpanda's."""

MASTER = _get("/master_available", "ask whether there is a leader", _yes_or_no, optional=True)
"""Karapace's."""

CLUSTER = _get("/v1/metadata/id", "get the cluster's id", _cluster, optional=True)
VERSION = _get("/v1/metadata/version", "get the server's version", _text("version"), optional=True)
MODE = _get("/mode", "get the mode", _text("mode"), optional=True)


def _subject(subject: str) -> str:
    return f"/subjects/{quote(subject, safe='')}"


def look_up(subject: str) -> RegistryRequest[RegisteredSchema]:
    """Of a schema under a subject that nobody has: answered "not found" where body and rights are well."""
    return RegistryRequest.build(
        "POST",
        _subject(subject),
        content=SCRATCH.to_dict(),
        asked=f"look a schema up under subject {subject!r}",
        operation="look_up",
        expects=answers.registered(subject, SCRATCH, normalized=False),
    )


def register(subject: str) -> RegistryRequest[RegisteredSchema]:
    """A schema that is new under its subject, so that the cluster's leader is needed."""
    return RegistryRequest.build(
        "POST",
        f"{_subject(subject)}/versions",
        content=SCRATCH.to_dict(),
        asked=f"register a schema under subject {subject!r}",
        operation="register",
        expects=answers.registered(subject, SCRATCH, normalized=False),
        registers=True,
    )


def has_leader_to_ask(cluster: Mapping[str, str] | None, version: str | None) -> bool:
    """Whether it is one of Confluent's that refuses what `ask_leader` asks: from 7.4 on, for two reasons."""
    numbers = re.match(r"(\d+)\.(\d+)\.", version or "")
    return (
        cluster is not None
        and {"kafka-cluster", "schema-registry-cluster"} <= cluster.keys()
        and numbers is not None
        and (int(numbers[1]), int(numbers[2])) >= (7, 4)
    )


def ask_leader(subject: str) -> RegistryRequest[Any]:
    """A registration that Confluent's leader alone refuses, once it has looked at the mode: of a schema that is not
    valid as a new one, as a version that cannot be the next. Nothing is left of it."""
    return RegistryRequest.build(
        "POST",
        f"{_subject(subject)}/versions",
        content={"schema": REFUSED, "version": 2**31 - 1},
        asked=f"ask the leader under subject {subject!r}",
        operation="register",
        expects=lambda content: content,
        registers=True,
    )


def remove(subject: str, *, permanent: bool) -> RegistryRequest[list[int]]:
    """Soft first, then permanent, as the registry wants it."""

    def expects(content: Any) -> list[int]:
        if not isinstance(content, list):
            raise BadAnswer("it is not a list of versions")
        return content

    return RegistryRequest.build(
        "DELETE",
        _subject(subject),
        query={"permanent": permanent or None},
        asked=f"remove subject {subject!r}",
        operation="other",
        expects=expects,
    )
