"""Confluent's REST interface on a `SchemaStore`: which path asks what, and how its answers look as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ._messages import Answer, RecordedRequest, compact, error_answer, json_answer
from ._store import RegistryError, SchemaStore, StoredSchema, Version

Json = Any

_ACCEPTED_TYPES = {
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
    "application/octet-stream",
}


@dataclass(frozen=True)
class _Call:
    store: SchemaStore
    full_answers: bool
    query: Mapping[str, list[str]]
    body: Mapping[str, Json] = field(default_factory=dict)

    def flag(self, name: str) -> bool:
        return self.text(name).lower() == "true"

    def text(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


_Handler = Callable[..., Json]


@dataclass(frozen=True)
class _Route:
    method: str
    path: re.Pattern[str]
    handler: _Handler
    takes: str | None  # the name of the registry's method whose request must not be null


_ROUTES: list[_Route] = []


def _route(method: str, path: str, takes: str | None = None) -> Callable[[_Handler], _Handler]:
    def add(handler: _Handler) -> _Handler:
        _ROUTES.append(_Route(method, re.compile(path.replace("*", "([^/]+)")), handler, takes))
        return handler

    return add


def answer(store: SchemaStore, request: RecordedRequest, full_answers: bool = False) -> Answer:
    """What the registry answers to ``request``; ``full_answers``: as newer versions do."""
    try:
        target = urlsplit(request.path)
    except ValueError as error:
        return error_answer(400, 400, str(error))
    path = target.path.rstrip("/") or "/"
    found = {route.method: (route, match) for route in _ROUTES if (match := route.path.fullmatch(path))}
    if not found:
        return Answer(404, compact({"error_code": 404, "message": "HTTP 404 Not Found"}).encode())
    if request.method not in found:
        return error_answer(405, 405, "HTTP 405 Method Not Allowed")
    route, match = found[request.method]
    query = parse_qs(target.query, keep_blank_values=True)
    try:
        body = _read_body(request, route.takes) if route.takes else {}
        parts = [*map(unquote, match.groups())]
        if path.startswith(("/subjects/", "/compatibility/subjects/")):
            parts[0] = store.real(parts[0])
        result = route.handler(_Call(store, full_answers, query, body), *parts)
    except RegistryError as error:
        return error_answer(error.status, error.error_code, error.message)
    if isinstance(result, list) and request.method == "GET":
        try:
            result = _page(result, query)
        except ValueError:  # a number's place has something else
            return error_answer(404, 404, "HTTP 404 Not Found")
    return json_answer(200, result)


def _read_body(request: RecordedRequest, takes: str) -> Mapping[str, Json]:
    if request.body.strip() in (b"", b"null"):
        raise RegistryError(422, 422, f"{takes}.request must not be null (was null)")
    content_type = request.headers.get("Content-Type", "application/octet-stream")
    if content_type.partition(";")[0].strip().lower() not in _ACCEPTED_TYPES:
        raise RegistryError(415, 415, "HTTP 415 Unsupported Media Type")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise RegistryError(400, 400, str(error)) from error
    if not isinstance(body, dict) or not isinstance(body.get("schema") or "", str):
        raise RegistryError(400, 400, "Cannot deserialize value of the request from JSON")
    return body


def _page(result: list[Json], query: Mapping[str, list[str]]) -> list[Json]:
    offset = int(query.get("offset", ["0"])[0])
    limit = int(query.get("limit", ["-1"])[0])
    return result[offset : offset + limit if limit >= 0 else None]


def _schema(call: _Call, schema: StoredSchema) -> dict[str, Json]:
    return {**schema.fields, **({"guid": schema.guid} if call.full_answers else {})}


def _version(call: _Call, version: Version) -> dict[str, Json]:
    place = {"subject": version.subject, "version": version.number, "id": version.schema.id}
    return {**place, **_schema(call, version.schema)}


# -- schemas -------------------------------------------------------------------------------------


@_route("GET", "/schemas/types")
def _types(_call: _Call) -> Json:
    return ["JSON", "PROTOBUF", "AVRO"]


@_route("GET", "/schemas/(?:ids|guids)/*")
def _get_schema(call: _Call, id_or_guid: str) -> Json:
    return _schema(call, call.store.schema(id_or_guid))


@_route("GET", "/schemas/ids/*/subjects")
def _get_schema_subjects(call: _Call, schema_id: str) -> Json:
    return sorted({use["subject"] for use in _get_schema_versions(call, schema_id)})


@_route("GET", "/schemas/ids/*/versions")
def _get_schema_versions(call: _Call, schema_id: str) -> Json:
    uses = call.store.uses(call.store.schema(schema_id), call.flag("deleted"))
    return [
        {"subject": use.subject, "version": use.number}
        for use in uses
        if use.subject == call.text("subject", default=use.subject)
    ]


# -- subjects ------------------------------------------------------------------------------------


@_route("GET", "/subjects")
def _get_subjects(call: _Call) -> Json:
    prefix = call.text("subjectPrefix").removeprefix(":*:")
    return call.store.subjects(prefix, call.flag("deleted"), call.flag("deletedOnly"))


@_route("POST", "/subjects/*", takes="lookUpSchemaUnderSubject")
def _look_up(call: _Call, subject: str) -> Json:
    return _version(call, call.store.look_up(subject, call.body, call.flag("deleted")))


@_route("DELETE", "/subjects/*")
def _delete_subject(call: _Call, subject: str) -> Json:
    return call.store.delete_subject(subject, call.flag("permanent"))


@_route("GET", "/subjects/*/metadata")
def _get_latest_with_metadata(call: _Call, subject: str) -> Json:
    properties = dict(zip(call.query.get("key", []), call.query.get("value", []), strict=False))
    return _version(call, call.store.latest_with(subject, properties, call.flag("deleted")))


@_route("GET", "/subjects/*/versions")
def _get_versions(call: _Call, subject: str) -> Json:
    return [v.number for v in call.store.versions(subject, call.flag("deleted"), call.flag("deletedOnly"))]


@_route("POST", "/subjects/*/versions", takes="register")
def _register(call: _Call, subject: str) -> Json:
    version = call.store.register(subject, call.body)
    if not call.full_answers:
        return {"id": version.schema.id}
    return {"id": version.schema.id, "version": version.number, **_schema(call, version.schema)}


@_route("GET", "/subjects/*/versions/*")
def _get_version(call: _Call, subject: str, number: str) -> Json:
    return _version(call, call.store.version(subject, number, call.flag("deleted")))


@_route("DELETE", "/subjects/*/versions/*")
def _delete_version(call: _Call, subject: str, number: str) -> Json:
    return call.store.delete_version(subject, number, call.flag("permanent"))


@_route("GET", "/subjects/*/versions/*/referencedby")
def _get_referenced_by(call: _Call, subject: str, number: str) -> Json:
    return call.store.referrers(call.store.version(subject, number, deleted=True))


# -- compatibility -------------------------------------------------------------------------------


@_route("POST", "/compatibility/subjects/*/versions", takes="testCompatibilityForSubject")
@_route("POST", "/compatibility/subjects/*/versions/*", takes="testCompatibilityBySubjectName")
def _test_compatibility(call: _Call, subject: str, number: str | None = None) -> Json:
    messages = call.store.incompatibilities(subject, call.body, number)
    result: dict[str, Json] = {"is_compatible": not messages}
    if messages and call.flag("verbose"):
        result["messages"] = messages
    return result


# -- configuration and modes ---------------------------------------------------------------------


@_route("GET", "/config")
@_route("GET", "/config/*")
def _get_config(call: _Call, subject: str | None = None) -> Json:
    return call.store.config(subject, call.flag("defaultToGlobal"))


@_route("PUT", "/config", takes="updateTopLevelConfig")
@_route("PUT", "/config/*", takes="updateSubjectLevelConfig")
def _put_config(call: _Call, subject: str | None = None) -> Json:
    call.store.set_config(subject, call.body)
    return call.body


@_route("DELETE", "/config")
@_route("DELETE", "/config/*")
def _delete_config(call: _Call, subject: str | None = None) -> Json:
    return call.store.delete_config(subject)


@_route("GET", "/mode")
@_route("GET", "/mode/*")
def _get_mode(call: _Call, subject: str | None = None) -> Json:
    return {"mode": call.store.mode(subject, call.flag("defaultToGlobal"))}


@_route("PUT", "/mode", takes="updateTopLevelMode")
@_route("PUT", "/mode/*", takes="updateMode")
def _put_mode(call: _Call, subject: str | None = None) -> Json:
    call.store.set_mode(subject, call.body.get("mode"))
    return call.body


@_route("DELETE", "/mode/*")
def _delete_mode(call: _Call, subject: str) -> Json:
    return {"mode": call.store.delete_mode(subject)}


# -- the rest ------------------------------------------------------------------------------------


@_route("GET", "/")
def _root(_call: _Call) -> Json:
    return {}


@_route("GET", "/contexts")
def _get_contexts(call: _Call) -> Json:
    named = {match[1] for name in call.store.subjects() if (match := re.match(r":(\.[^:]*):", name))}
    return sorted({"."} | named)


@_route("GET", "/v1/metadata/version")
def _get_version_of_server(_call: _Call) -> Json:
    return {"version": "7.9.9", "commitId": "embedded"}


@_route("GET", "/v1/metadata/id")
def _get_cluster_id(_call: _Call) -> Json:
    clusters = {"kafka-cluster": "embedded", "schema-registry-cluster": "schema-registry"}
    return {"scope": {"path": [], "clusters": clusters}, "id": ""}
