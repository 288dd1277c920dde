"""What is done with a file at a registry, or, in a dry run, what would be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from kafka_sr_retry import (
    IncompatibleSchemaError,
    InvalidSchemaError,
    RegisteredSchema,
    Schema,
    SchemaNotFoundError,
    SchemaReference,
    SchemaRegistryClient,
    SchemaRegistryError,
)
from kafka_sr_retry.avro.compatibility import LEVELS, Clash, Type, clashes, parse
from kafka_sr_retry.errors import ConfigurationError, one_line
from kafka_sr_retry.registry.request import RegistryRequest

from .judging import guarded, new_schema
from .outcome import Outcome
from .plan import Planned, Reference, beneath

_MOST_VERSIONS = 50
"""Of a subject, that a difference is looked for in."""

_MOST_REFERENCES = 100

_LOOKS = 10
"""For a version just registered: a node that follows may not know it yet."""


class Deployment:
    """A registry, and what it is to be given.

    Args:
        client: whose refusals are not remembered: what is not there now may be there next.
        seconds: for each question, ``None`` for the client's own time.
    """

    def __init__(
        self, client: SchemaRegistryClient, plan: Sequence[Planned], *, normalize: bool, seconds: float | None
    ) -> None:
        self._client, self._plan, self._normalize = client, plan, normalize
        self._ask: dict[str, Any] = {"timeout": seconds}
        self._only_there: dict[str, RegisteredSchema | None] = {}

    def register(self, planned: Planned, done: Mapping[int, Outcome]) -> Outcome:
        return guarded(planned, partial(self._register, planned, done))

    def try_out(self, planned: Planned, done: Mapping[int, Outcome]) -> Outcome:
        return guarded(planned, partial(self._try_out, planned, done))

    def _register(self, planned: Planned, done: Mapping[int, Outcome]) -> Outcome:
        subject, schema = str(planned.subject), self._schema(planned, done)
        there = self._look_up(subject, schema)
        if there is not None:
            return Outcome(planned, "unchanged", there.version, there.schema_id)
        try:
            given = self._client.register_schema_full_response(subject, schema, self._normalize, **self._ask)
        except IncompatibleSchemaError as error:
            return self._incompatible(planned, None, error.error_message)
        version = given.version or self._version_of(subject, schema)
        return Outcome(planned, "new subject" if version == 1 else "new version", version, given.schema_id)

    def _try_out(self, planned: Planned, done: Mapping[int, Outcome]) -> Outcome:
        subject = str(planned.subject)
        new = [other for other in beneath(planned, self._plan) if done[other.number].result != "unchanged"]
        if new:  # the registry cannot read a schema that refers to what it has not
            return self._judge(planned, self._latest(subject))
        schema = self._schema(planned, done)
        there = self._look_up(subject, schema)
        if there is not None:
            return Outcome(planned, "unchanged", there.version, there.schema_id)
        latest = self._latest(subject)
        if latest is None:
            return self._judge(planned, None)
        level = self._level(subject)
        newest = latest.version or 1
        oldest = max(1, newest - _MOST_VERSIONS + 1) if level and level.endswith("_TRANSITIVE") else newest
        for number in range(newest, oldest - 1, -1):
            try:
                if not self._client.test_compatibility(subject, schema, number, **self._ask):
                    return self._incompatible(planned, latest, "", level)
            except SchemaNotFoundError:
                continue  # deleted
            except InvalidSchemaError:
                if not schema.references:
                    raise
                return self._judge(planned, latest)  # Apicurio's test does not resolve references
        return Outcome(planned, "new version", _after(latest), level=level)

    def _judge(self, planned: Planned, latest: RegisteredSchema | None) -> Outcome:
        """By our own rules, where the registry cannot be asked."""
        try:
            self._read(planned, new_schema)
        except ValueError as error:
            return Outcome(planned, "failed", why=f"no Avro schema: {one_line(str(error), 300)}")
        if latest is None:
            return Outcome(planned, "new subject", 1)
        level = self._level(str(planned.subject))
        if level is None:
            return Outcome(planned, "failed", why="the registry does not tell the subject's level of compatibility")
        try:
            found = self._clashes(planned, latest, level)
        except ValueError as error:
            return Outcome(planned, "failed", why=f"an earlier version cannot be read: {one_line(str(error), 300)}")
        if found:
            return Outcome(planned, "incompatible", why=_REFUSED.format("would refuse"), level=level, clashes=found)
        return Outcome(planned, "new version", _after(latest), level=level)

    def _incompatible(
        self, planned: Planned, latest: RegisteredSchema | None, words: str, level: str | None = None
    ) -> Outcome:
        told = re.search(r"compatibility: '([A-Z_]+)'", words)
        level = level or (told[1] if told and told[1] in LEVELS else self._level(str(planned.subject)))
        why = f"the registry refused it: {one_line(words, 400)}" if words else _REFUSED.format("would refuse")
        try:
            found = self._clashes(planned, latest or self._latest(str(planned.subject)), level)
        except (SchemaRegistryError, ValueError):  # it was refused, whatever more there is to say
            found = []
        if found and words:
            why = _REFUSED.format("refused")
        return Outcome(planned, "incompatible", why=why, level=level, clashes=found)

    # -- what is there ----------------------------------------------------------------------------

    def _look_up(self, subject: str, schema: Schema) -> RegisteredSchema | None:
        try:
            return self._client.lookup_schema(subject, schema, self._normalize, **self._ask)
        except SchemaNotFoundError:
            return None

    def _latest(self, subject: str) -> RegisteredSchema | None:
        try:
            return self._client.get_version(subject, **self._ask)
        except SchemaNotFoundError:
            return None

    def _version_of(self, subject: str, schema: Schema) -> int | None:
        for look in range(_LOOKS):
            if look:
                time.sleep(0.3)
            there = self._look_up(subject, schema)
            if there is not None:
                return there.version
        return None

    def _level(self, subject: str) -> str | None:
        """As the registry says, ``None`` where it does not."""
        request = RegistryRequest.build(
            "GET",
            f"/config/{quote(self._whole(subject), safe='')}",
            query={"defaultToGlobal": True},
            asked=f"read the compatibility level of subject {subject!r}",
            operation="other",
            expects=_level_told,
            optional=True,
            keep=False,
        )
        try:
            level = self._client._ask(request, self._ask["timeout"])
        except SchemaRegistryError:
            return None
        return level if level in LEVELS else None

    def _whole(self, subject: str) -> str:
        """With its context, as the client asks for it."""
        return subject if subject.startswith(":.") else (self._client.config().get("context") or "") + subject

    # -- what a schema refers to ------------------------------------------------------------------

    def _schema(self, planned: Planned, done: Mapping[int, Outcome]) -> Schema:
        references = []
        for reference in planned.references:
            if reference.file is None:
                there = self._known(reference)
                references.append(SchemaReference(there[0], there[1].subject or there[0], there[1].version or 1))
                continue
            subject, version = self._plan[reference.file].subject, done[reference.file].version
            if version is None:
                raise ConfigurationError(f"the registry does not tell the version of {subject}, which it refers to")
            references.append(SchemaReference(reference.name, self._whole(str(subject)), version))
        return Schema(planned.file.text, references=references)

    def _known(self, reference: Reference) -> tuple[str, RegisteredSchema]:
        """The newest version of the subject that is called like the type."""
        for name in reference.names:
            if name not in self._only_there:
                self._only_there[name] = self._latest(name)
            there = self._only_there[name]
            if there is not None:
                return name, there
        names = " or ".join(reference.names)
        raise ConfigurationError(f"it refers to {names}, which no file defines, and no subject is called so")

    def _texts(self, schema: Schema, seen: set[tuple[str, int]] | None = None) -> list[str]:
        """Of all that a registered schema refers to, each after those that it refers to itself."""
        found: list[str] = []
        seen = set() if seen is None else seen
        for reference in schema.references:
            if (reference.subject, reference.version) in seen:
                continue
            seen.add((reference.subject, reference.version))
            if len(seen) > _MOST_REFERENCES:
                raise ValueError(f"it refers to more than {_MOST_REFERENCES} others")
            there = self._client.get_version(reference.subject, reference.version, deleted=True, **self._ask).schema
            found += [*self._texts(there, seen), there.schema_str]
        return found

    def _read(self, planned: Planned, how: Callable[[str, Collection[str]], Type] = parse) -> Type:
        texts: list[str] = []
        for each in (*beneath(planned, self._plan), planned):
            for reference in each.references:
                if reference.file is None:
                    there = self._known(reference)[1].schema
                    texts += [*self._texts(there), there.schema_str]
            texts.append(each.file.text)
        return how(texts[-1], list(dict.fromkeys(texts[:-1])))

    def _clashes(self, planned: Planned, latest: RegisteredSchema | None, level: str | None) -> list[Clash]:
        if latest is None or level is None:
            return []
        newest = latest.version or 1
        earlier = [(newest, self._read_earlier(latest))]
        oldest = max(1, newest - _MOST_VERSIONS + 1) if level.endswith("_TRANSITIVE") else newest
        for number in range(newest - 1, oldest - 1, -1):
            try:
                there = self._client.get_version(str(planned.subject), number, **self._ask)
            except SchemaNotFoundError:
                continue  # deleted
            earlier.insert(0, (number, self._read_earlier(there)))
        return list(clashes(self._read(planned), earlier, level))

    def _read_earlier(self, there: RegisteredSchema) -> Type:
        if there.schema.schema_type != "AVRO":
            raise ValueError("no Avro schema")
        return parse(there.schema.schema_str, self._texts(there.schema))


def _level_told(content: Any) -> Any:
    """Apicurio has either name, by its version."""
    return (content.get("compatibilityLevel") or content.get("compatibility")) if isinstance(content, dict) else None


_REFUSED = "the registry {} it"


def _after(latest: RegisteredSchema) -> int | None:
    return latest.version + 1 if latest.version else None
