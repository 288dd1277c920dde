"""The state of a Schema Registry and its rules, without HTTP: a model of Confluent Schema Registry 7.9."""

from __future__ import annotations

import copy
import itertools
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kafka_sr_retry.avro.compatibility import parse

from ._compatibility import Texts, incompatibilities
from ._messages import compact

Json = Any

COMPATIBILITY_LEVELS = (
    "NONE",
    "BACKWARD",
    "FORWARD",
    "FULL",
    "BACKWARD_TRANSITIVE",
    "FORWARD_TRANSITIVE",
    "FULL_TRANSITIVE",
)
MODES = ("READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT")


class RegistryError(ValueError):
    """A refusal: HTTP status, the registry's ``error_code`` and its message."""

    def __init__(self, status: int, error_code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.message = message


@dataclass(frozen=True)
class StoredSchema:
    """A schema under its global id. ``fields`` holds ``schema`` (its text) and, unless empty or the default,
    ``schemaType``, ``references``, ``metadata`` and ``ruleSet``, as in the registry's JSON."""

    id: int
    guid: str
    fields: Mapping[str, Json]


@dataclass(frozen=True)
class Version:
    """A schema's place in a subject; ``deleted`` is the soft delete."""

    subject: str
    number: int
    schema: StoredSchema
    deleted: bool = False


@dataclass(frozen=True)
class WriteFailure:
    """Why nothing can be written: ``error_code`` of a 500, and its message, in which ``{}`` is what was to be done.

    ``of_known``: not even a registration is answered that would change nothing.
    """

    error_code: int
    message: str
    of_known: bool = False

    def error(self, what: str) -> RegistryError:
        return RegistryError(500, self.error_code, self.message.format(what))


NO_LEADER = WriteFailure(50003, "Error while forwarding {} request to the leader")


class SchemaStore:
    """Subjects, versions, ids, configuration and modes. Not thread-safe.

    ``request`` below is a registration's JSON object: ``schema`` and the optional fields of `StoredSchema`.
    Methods raise `RegistryError` for what the registry refuses. Avro schemas are parsed, with their
    references; JSON and Protobuf ones are taken as they come. ``checks``: whether an Avro schema has to be compatible
    with those before it, as its subject's level asks; `refuse_changes` decides without looking.
    """

    def __init__(self, first_id: int = 1, checks: bool = True) -> None:
        self.failure: WriteFailure | None = None
        self.checks = checks
        self._ids = itertools.count(first_id)
        self._schemas: dict[str, StoredSchema] = {}
        self._subjects: dict[str, dict[int, Version]] = {}
        self._refusing: set[str] = set()
        self._configs: dict[str | None, dict[str, Json]] = {None: {"compatibilityLevel": "BACKWARD"}}
        self._modes: dict[str | None, str] = {None: "READWRITE"}

    def failing(self, failure: WriteFailure | None) -> SchemaStore:
        """The same schemas, seen from where nothing can be written."""
        view = copy.copy(self)
        view.failure = failure or self.failure
        return view

    def snapshot(self) -> SchemaStore:
        """What is there now, whatever happens later."""
        taken = copy.copy(self)
        taken._schemas, taken._configs, taken._modes = dict(self._schemas), dict(self._configs), dict(self._modes)
        taken._subjects = {subject: dict(versions) for subject, versions in self._subjects.items()}
        return taken

    # -- registering ------------------------------------------------------------------------------

    def register(self, subject: str, request: Mapping[str, Json]) -> Version:
        """The version of this schema under ``subject``, new if need be.

        A schema that the subject has already is answered without the leader and in any mode, as Confluent's
        ``registerOrForward`` does, which looks first.
        """
        if self.failure and self.failure.of_known:
            self._require_writable("register schema")
        if known := self.find(subject, request):
            return known
        fields = self._complete(subject, request)
        self._require_writable("register schema")
        self._check_mode(subject)
        self._check(subject, fields)
        if why := self._incompatibilities(subject, fields, self._live(subject)):
            raise RegistryError(
                409,
                409,
                "Schema being registered is incompatible with an earlier schema for subject "
                f'"{subject}", details: [{", ".join(why)}]',
            )
        key = _key(fields)
        schema = self._schemas.get(key)
        if schema is None:
            schema = StoredSchema(next(self._ids), str(uuid.uuid5(uuid.NAMESPACE_OID, key)), fields)
            self._schemas[key] = schema
        versions = self._subjects.setdefault(subject, {})
        number = max(versions, default=0) + 1
        versions[number] = Version(subject, number, schema)
        return versions[number]

    def find(self, subject: str, request: Mapping[str, Json], deleted: bool = False) -> Version | None:
        """The newest version of ``subject`` with this schema; an empty schema stands for the latest one."""
        schema = self._schemas.get(_key(self._complete(subject, request)))
        versions = reversed(self._subjects.get(subject, {}).values())
        return next((v for v in versions if v.schema is schema and (deleted or not v.deleted)), None)

    def look_up(self, subject: str, request: Mapping[str, Json], deleted: bool = False) -> Version:
        """As `find`, but what is not there is an error."""
        self.versions(subject, deleted=deleted)
        if version := self.find(subject, request, deleted):
            return version
        self._check(subject, self._complete(subject, request))
        raise RegistryError(404, 40403, "Schema not found")

    def incompatibilities(self, subject: str, request: Mapping[str, Json], version: str | None) -> list[str]:
        """Why this schema may not follow ``version`` (``None``: all versions); empty if it may."""
        latest_of_none = version in ("latest", "-1") and not self._live(subject)
        earlier = self._live(subject)
        if version is not None and not latest_of_none:
            earlier = [self.version(subject, version)]
        if subject in self._refusing and self.find(subject, request):
            return []
        fields = self._complete(subject, request)
        self._check(subject, fields)
        return self._incompatibilities(subject, fields, earlier)

    def _incompatibilities(self, subject: str, fields: Mapping[str, Json], earlier: Sequence[Version]) -> list[str]:
        if subject in self._refusing:
            return [_INCOMPATIBILITY]
        level = (
            self.config(subject, or_global=True).get("compatibilityLevel") or self._configs[None]["compatibilityLevel"]
        )
        if not self.checks or level == "NONE" or not earlier:
            return []
        compared = earlier if level.endswith("_TRANSITIVE") else earlier[-1:]
        kinds = {version.schema.fields.get("schemaType", "AVRO") for version in compared}
        kind = fields.get("schemaType", "AVRO")
        if kinds != {kind}:
            return ["Incompatible because of different schema type", f"{{compatibility: '{level}'}}"]
        if kind != "AVRO":
            return []
        return incompatibilities(
            self._texts(fields), [(version.number, self._texts(version.schema.fields)) for version in compared], level
        )

    def refuse_changes(self, subject: str) -> None:
        """From now on a new schema is incompatible under ``subject``."""
        self._refusing.add(subject)

    # -- reading ----------------------------------------------------------------------------------

    def subjects(self, prefix: str = "", deleted: bool = False, deleted_only: bool = False) -> list[str]:
        """Names of the subjects with a live version, or, if asked, with a deleted one too or only."""
        return sorted(
            subject
            for subject, versions in self._subjects.items()
            if subject.startswith(prefix) and _visible(versions.values(), deleted, deleted_only)
        )

    def versions(self, subject: str, deleted: bool = False, deleted_only: bool = False) -> list[Version]:
        """The versions of ``subject``, oldest first."""
        versions = self._subjects.get(subject, {}).values()
        if not _visible(versions, deleted or deleted_only):
            raise _no_subject(subject)
        return _visible(versions, deleted, deleted_only)

    def version(self, subject: str, number: str, deleted: bool = False) -> Version:
        """One version; ``number`` is a number, ``"latest"`` or ``"-1"``."""
        if number not in ("latest", "-1") and not (number.isdecimal() and 0 < int(number) < 2**31):
            raise RegistryError(
                422,
                42202,
                f"The specified version '{number}' is not a valid version id. "
                'Allowed values are between [1, 2^31-1] and the string "latest"',
            )
        versions = self.versions(subject, deleted)
        if number in ("latest", "-1"):
            return versions[-1]
        for version in versions:
            if version.number == int(number):
                return version
        raise RegistryError(404, 40402, f"Version {number} not found.")

    def latest_with(self, subject: str, properties: Mapping[str, str], deleted: bool = False) -> Version:
        """The latest version whose metadata has all these properties."""
        for version in reversed(self.versions(subject, deleted)):
            metadata = version.schema.fields.get("metadata") or {}
            if properties.items() <= (metadata.get("properties") or {}).items():
                return version
        raise RegistryError(404, 40403, "Schema not found")

    def schema(self, id_or_guid: str) -> StoredSchema:
        """The schema with this id or guid."""
        for schema in self._schemas.values():
            if id_or_guid in (str(schema.id), schema.guid):
                return schema
        raise RegistryError(404, 40403, f"Schema {id_or_guid} not found")

    def uses(self, schema: StoredSchema, deleted: bool = False) -> list[Version]:
        """The versions in which ``schema`` stands, over all subjects."""
        return [
            version
            for versions in self._subjects.values()
            for version in _visible(versions.values(), deleted)
            if version.schema is schema
        ]

    def referrers(self, version: Version) -> list[int]:
        """Ids of the schemas that refer to ``version``."""
        wanted = (version.subject, version.number)
        return [
            schema.id
            for schema in self._schemas.values()
            if any((r["subject"], r["version"]) == wanted for r in schema.fields.get("references", ()))
        ]

    # -- deleting ---------------------------------------------------------------------------------

    def delete_subject(self, subject: str, permanent: bool = False) -> list[int]:
        """The numbers of the versions deleted. A permanent delete needs a soft one before it."""
        versions = self.versions(subject, deleted=True)
        live = self._live(subject)
        if permanent and live:
            message = f"Subject '{subject}' was not deleted first before being permanently deleted"
            raise RegistryError(404, 40405, message)
        if not permanent and not live:
            message = f"Subject '{subject}' was soft deleted.Set permanent=true to delete permanently"
            raise RegistryError(404, 40404, message)
        self._delete(versions if permanent else live, permanent, "delete subject")
        return [version.number for version in (versions if permanent else live)]

    def delete_version(self, subject: str, number: str, permanent: bool = False) -> int:
        """The number of the version deleted. A permanent delete needs a soft one before it."""
        latest_live = number in ("latest", "-1") and not permanent
        version = self.version(subject, number, deleted=not latest_live)
        if permanent and not version.deleted:
            message = f"Subject '{subject}' Version {number} was not deleted first before being permanently deleted"
            raise RegistryError(404, 40407, message)
        if not permanent and version.deleted:
            name = f"Subject '{subject}' Version {number}"
            message = f"{name} was soft deleted.Set permanent=true to delete permanently"
            raise RegistryError(404, 40406, message)
        self._delete([version], permanent, "delete schema version")
        return version.number

    def _delete(self, versions: Sequence[Version], permanent: bool, what: str) -> None:
        self._require_writable(what)
        for version in versions:
            if self.referrers(version):
                raise RegistryError(
                    422,
                    42206,
                    "One or more references exist to the schema {magic=1,keytype=SCHEMA,"
                    f"subject={version.subject},version={version.number}}}.",
                )
        for version in versions:
            if permanent:
                del self._subjects[version.subject][version.number]
            else:
                self._subjects[version.subject][version.number] = replace(version, deleted=True)
        for key in [key for key, schema in self._schemas.items() if not self.uses(schema, deleted=True)]:
            del self._schemas[key]

    # -- configuration and modes; subject None is the global one ----------------------------------

    def config(self, subject: str | None, or_global: bool = False) -> dict[str, Json]:
        """The configuration of ``subject``; ``or_global``: the global one if it has none."""
        if subject not in self._configs and not or_global:
            message = f"Subject '{subject}' does not have subject-level compatibility configured"
            raise RegistryError(404, 40408, message)
        return self._configs.get(subject, self._configs[None])

    def set_config(self, subject: str | None, changes: Mapping[str, Json]) -> None:
        """Change what ``changes`` (the JSON of a config update) names."""
        changes = dict(changes)
        if "compatibility" in changes:
            changes["compatibilityLevel"] = changes.pop("compatibility")
        level = changes.get("compatibilityLevel", "NONE")
        if not isinstance(level, str) or level.upper() not in COMPATIBILITY_LEVELS:
            raise RegistryError(
                422,
                42203,
                "Invalid compatibility level. Valid values are none, backward, forward, full, "
                "backward_transitive, forward_transitive, and full_transitive",
            )
        self._require_writable("update config")
        if "compatibilityLevel" in changes:
            changes["compatibilityLevel"] = level.upper()
        self._configs[subject] = {**self._configs.get(subject, {}), **changes}

    def delete_config(self, subject: str | None) -> dict[str, Json]:
        """The configuration that was deleted."""
        if subject not in self._configs:
            raise _no_subject(subject)
        self._require_writable("delete config")
        old = self._configs.pop(subject)
        self._configs.setdefault(None, {"compatibilityLevel": "BACKWARD"})
        return old

    def real(self, subject: str) -> str:
        """The subject that ``subject`` stands for, if it is an alias; else itself."""
        return self._configs.get(subject, {}).get("alias") or subject

    def mode(self, subject: str | None, or_global: bool = False) -> str:
        """The mode of ``subject``; ``or_global``: the global one if it has none."""
        if subject not in self._modes and not or_global:
            message = f"Subject '{subject}' does not have subject-level mode configured"
            raise RegistryError(404, 40409, message)
        return self._modes.get(subject, self._modes[None])

    def set_mode(self, subject: str | None, mode: Json) -> None:
        """Set one of `MODES`."""
        if not isinstance(mode, str) or mode.upper() not in MODES:
            message = "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, and IMPORT"
            raise RegistryError(422, 42204, message)
        self._require_writable("update mode")
        self._modes[subject] = mode.upper()

    def delete_mode(self, subject: str) -> str:
        """The mode that was deleted."""
        if subject not in self._modes:
            raise _no_subject(subject)
        self._require_writable("delete mode")
        return self._modes.pop(subject)

    # ---------------------------------------------------------------------------------------------

    def _require_writable(self, what: str) -> None:
        if self.failure:
            raise self.failure.error(what)

    def _check_mode(self, subject: str) -> None:
        mode = self._modes.get(subject, self._modes[None])
        if mode != "READWRITE":
            told = "is in read-only mode" if mode.startswith("READONLY") else "is not in read-write mode"
            raise RegistryError(422, 42205, f"Subject {subject} in context . {told}")

    def _live(self, subject: str) -> list[Version]:
        return _visible(self._subjects.get(subject, {}).values())

    def _complete(self, subject: str, request: Mapping[str, Json]) -> dict[str, Json]:
        """The fields of `StoredSchema` that ``request`` means; without a schema, the latest's fill it up."""
        fields = {name: request[name] for name in _FIELDS if request.get(name)}
        if "schema" not in fields:
            live = self._live(subject)
            if not live:
                raise RegistryError(422, 42201, "Empty schema")
            fields = {**live[-1].schema.fields, **fields}
        if fields.get("schemaType") == "AVRO":
            del fields["schemaType"]
        return fields

    def _check(self, subject: str, fields: dict[str, Json]) -> None:
        """Raise 42201 unless ``fields`` hold a valid schema; an Avro one is left in its compact form."""
        kind = fields.get("schemaType", "AVRO")
        if kind not in ("AVRO", "JSON", "PROTOBUF"):
            raise RegistryError(422, 42201, f"Invalid schema type {kind}")
        if kind == "AVRO":
            try:
                _parse_avro(fields["schema"], self._referenced(fields))
            except ValueError as error:
                message = (
                    f"Invalid schema {{subject={subject},version=0,id=-1,schemaType=AVRO,"
                    f"schema={fields['schema']}}} with refs {compact(fields.get('references', []))} "
                    f"of type AVRO, details: {error}"
                )
                raise RegistryError(422, 42201, message) from error
            fields["schema"] = compact(json.loads(fields["schema"]))

    def _texts(self, fields: Mapping[str, Json]) -> Texts:
        return [*dict.fromkeys(self._referenced(fields)), fields["schema"]]

    def _referenced(self, fields: Mapping[str, Json]) -> list[str]:
        """The texts of the schemas referred to, each after those that it refers to itself."""
        texts: list[str] = []
        for reference in fields.get("references", ()):
            try:
                version = self.version(reference["subject"], str(reference["version"]), deleted=True)
            except (RegistryError, KeyError, TypeError) as error:
                raise ValueError(f"No schema reference found for {reference}") from error
            texts += [*self._referenced(version.schema.fields), version.schema.fields["schema"]]
        return texts


_INCOMPATIBILITY = "{errorType:'TYPE_MISMATCH', description:'as the test asked for'}"
_FIELDS = ("schema", "schemaType", "references", "metadata", "ruleSet")


def _visible(versions: Iterable[Version], deleted: bool = False, deleted_only: bool = False) -> list[Version]:
    return [v for v in versions if (v.deleted if deleted_only else deleted or not v.deleted)]


def _no_subject(subject: str | None) -> RegistryError:
    return RegistryError(404, 40401, f"Subject '{subject}' not found.")


def _key(fields: Mapping[str, Json]) -> str:
    """What makes two schemas one: equal JSON, whatever its white space and order, and equal other fields."""
    try:
        schema = json.loads(fields["schema"])
    except ValueError:
        schema = fields["schema"]
    return json.dumps({**fields, "schema": schema}, sort_keys=True)


def _parse_avro(text: str, referenced: Sequence[str]) -> None:
    """Raise ``ValueError`` if ``text`` is not an Avro schema, given the texts of those that it refers to."""
    # Imported late: it costs more than all the rest of the server.
    from fastavro.schema import SchemaParseException, parse_schema

    names: dict[str, Any] = {}
    for schema in dict.fromkeys([*referenced, text]):
        try:
            parse_schema(json.loads(schema), named_schemas=names)
        except (SchemaParseException, LookupError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error
    parse(text, referenced)  # fastavro takes more than registries do
