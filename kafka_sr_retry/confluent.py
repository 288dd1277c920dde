"""Confluent's own ``SchemaRegistryClient`` with our transport beneath it, for its other serializers and admin calls.

``JSONSerializer``, ``ProtobufSerializer``, ``AvroDeserializer`` and Confluent's ``AvroSerializer`` with its rules take
it as their client: all of its requests get the retries, failover, deadlines, events and checks of ids that ours get.

Field encryption (``confluent_kafka.schema_registry.rules.encryption``) is the exception. For its keys it builds a
``DekRegistryClient`` with Confluent's own HTTP client from ``config()``, which holds what that one understands. So
encryption works, and asks for schemas through our transport, but for keys with Confluent's retries (``max.retries``, 3
by default, for one URL after the other; ``timeout`` counts each wait for bytes), without deadline and events, and
without ``http.headers``, ``http.auth`` and ``context``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import confluent_kafka

from . import errors
from .events import Operation
from .registry import answers, client
from .registry.request import BadAnswer, RegistryRequest
from .schema import Schema

try:
    from confluent_kafka import schema_registry
    from confluent_kafka.schema_registry import SchemaRegistryClient as _ConfluentClient
except ImportError as missing:
    raise errors.ConfigurationError(
        f"kafka_sr_retry.confluent needs Confluent's client: pip install 'confluent-kafka[schemaregistry]' ({missing})"
    ) from missing

_CACHES = ("cache.capacity", "cache.latest.ttl.sec")
_SHARED = ("ssl.", "basic.auth.user.info", "bearer.auth.", "proxy", "max.retries", "retries.", *_CACHES)
"""How those of our keys begin that Confluent's clients have too."""

_OURS_ALONE = ("ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem", "bearer.auth.ssl.")


class SchemaRegistryClient(_ConfluentClient):
    """Confluent's client over our transport. Its errors are ours, and Confluent's ``SchemaRegistryError`` too.

    Args:
        conf: the keys of ``kafka_sr_retry.SchemaRegistryClient``; ``cache.capacity`` (1000 by default) and
            ``cache.latest.ttl.sec`` are for the caches that Confluent's client has.

    Raises:
        ConfigurationError: a key or value that cannot work, or a confluent-kafka that does not fit.
    """

    def __init__(self, conf: Mapping[str, Any]) -> None:
        self._ours = client.SchemaRegistryClient(conf)
        settings = self._ours._settings
        shared = {
            key: value
            for key, value in conf.items()
            if key.startswith(_SHARED) and not key.startswith(_OURS_ALONE) and value not in (None, "")
        }
        caches = {key: shared[key] for key in _CACHES if key in shared}
        try:
            super().__init__({"url": settings.urls.urls[0], **caches})
            _ = self._rest_client.get, self._rest_client.post, self._rest_client.put, self._rest_client.delete
        except (AttributeError, TypeError, ValueError) as misfit:
            raise errors.ConfigurationError(
                f"confluent-kafka {confluent_kafka.__version__} does not fit kafka_sr_retry.confluent: {misfit}"
            ) from misfit
        self._rest_client: Any = _RestClient(self._ours, settings.context)
        urls = conf["url"] if isinstance(conf["url"], str) else ",".join(conf["url"])
        self._conf = {"url": urls, "timeout": settings.request_timeout, **shared}

    def config(self) -> dict[str, Any]:
        """What Confluent's own HTTP client understands of the configuration: rules build theirs from it."""
        return dict(self._conf)

    def clear_caches(self) -> None:
        """Forgets all answers and refusals."""
        super().clear_caches()  # type: ignore[no-untyped-call]
        self._ours.clear_caches()

    def close(self) -> None:
        """Ends all waits with an error, and closes the connections."""
        self._ours.close()

    def __enter__(self) -> SchemaRegistryClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _RestClient:
    """Stands where Confluent's client has its REST layer."""

    def __init__(self, ours: client.SchemaRegistryClient, context: str | None) -> None:
        self._ours = ours
        self._context = context or ""
        self._root = f"/contexts/{quote(context, safe=':')}/" if context else "/"

    def get(self, url: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._ask("GET", url, query)

    def post(self, url: str, body: Any, **_: Any) -> Any:
        return self._ask("POST", url, None, body)

    def put(self, url: str, body: Any = None) -> Any:
        return self._ask("PUT", url, None, body)

    def delete(self, url: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._ask("DELETE", url, query)

    def _ask(self, method: str, url: str, query: Mapping[str, Any] | None, body: Any = None) -> Any:
        path, _, given = url.strip("/").partition("?")
        request = self._request(method, path, {**dict(parse_qsl(given)), **(query or {})}, body)
        if method in ("PUT", "DELETE"):
            self._ours.clear_caches()  # remembered refusals are for serializers, who ask with each message
        answer = self._ours._ask(request)
        if request.registers:
            self._ours.clear_caches()  # what was refused before this change may be taken after it
        if isinstance(answer, dict) and isinstance(answer.get("subject"), str):
            return answer | {"subject": answer["subject"].removeprefix(self._context)}
        return answer

    def _request(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> RegistryRequest[Any]:
        check: Callable[[Any], object] = _is_there
        operation: Operation = "other"
        writes, or_else = method != "GET", None
        match method, *path.split("/"):
            case "POST", "subjects", subject, *versions:
                writes = bool(versions)
                schema = Schema(body.get("schema") or "", body.get("schemaType") or "AVRO")
                reformatted = str(query.get("normalize")).lower() == "true" or "format" in query
                check = answers.registered(unquote(subject), schema, normalized=reformatted)
                operation = "register" if writes else "look_up"
                if writes:
                    look_up = self._request(method, f"subjects/{subject}", query, body)
                    or_else = partial(replace, look_up, operation="register")
            case "POST", "compatibility", *_:
                writes, operation, check = False, "compatibility", answers.is_compatible
            case ("GET", "subjects", subject, "metadata") | ("GET", "subjects", subject, "versions", _):
                operation, check = "get_version", answers.version_of(unquote(subject))
            case "GET", "schemas", "ids" | "guids", _:
                operation, check = "get_schema", answers.schema_with_id(0)
            case "GET", "associations", *_:
                operation, check = "associations", _each("Association")
            case "POST", "associations":
                check = _like("AssociationResponse")
            case "GET", "schemas", "ids", _, "versions":
                check = _each("SchemaVersion")
            case "GET", "schemas" | "contexts" | "subjects", *_:
                check = _is_list
            case _, "mode", *_:
                check = _is_object("mode")
            case "GET", "config", *_:
                check = _like("ServerConfig", "compatibilityLevel")
            case "DELETE", "config", *_:
                check = _like("ServerConfig")
            case "PUT", "config", *_:
                check = _is_object()
            case "DELETE", *_:
                check = bool  # of anything: some of its answers are empty

        def expects(content: Any) -> Any:
            check(content)
            if operation in _SCHEMAS:
                _read(content)
            return content

        return RegistryRequest.build(
            method,
            self._root + path,
            asked=f"{method} /{path}",
            operation=operation,
            expects=expects,
            query=query,
            content=body,
            registers=writes,
            optional=path.startswith("associations"),
            keep=False,
            or_else=or_else,
        )


def _is_there(content: Any) -> None:
    if content is None:
        raise BadAnswer("it is not JSON")


def _is_list(content: Any) -> None:
    if not isinstance(content, list):
        raise BadAnswer("it is not a JSON array")


def _is_object(*names: str) -> Callable[[Any], None]:
    def check(content: Any) -> None:
        if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in names):
            raise BadAnswer(f"it is not a JSON object{''.join(f' with a text {name}' for name in names)}")

    return check


def _like(kind: str, *names: str) -> Callable[[Any], None]:
    """A JSON object that Confluent's class of this name can be made from, where it has one."""

    def check(content: Any) -> None:
        _is_object(*names)(content)
        _from_dict(kind)(content)

    return check


def _each(kind: str) -> Callable[[Any], None]:
    """The same for all items of a JSON array."""

    def check(content: Any) -> None:
        _is_list(content)
        for item in content:
            _like(kind)(item)

    return check


def _from_dict(kind: str) -> Callable[[Any], object]:
    return getattr(getattr(schema_registry, kind, None), "from_dict", bool)


_SCHEMAS = ("register", "look_up", "get_version", "get_schema")


def _read(content: Any) -> None:
    """Raises what Confluent's client would raise over an odd answer: so it is asked again."""
    if hasattr(schema_registry.RegisteredSchema, "from_dict"):
        schema = schema_registry.RegisteredSchema.from_dict(content).schema
        hash((schema, content.get("id"), content.get("guid"), content.get("version")))  # as its cache does
