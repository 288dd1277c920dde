"""What a reply says: an answer's content, checked, and its way into an outcome."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from kafka_sr_retry.config import is_token
from kafka_sr_retry.errors import one_line
from kafka_sr_retry.schema import (
    MAX_ID,
    RegisteredSchema,
    RuleSet,
    Schema,
    SchemaReference,
    is_avro,
    is_subject,
    is_unicode,
    same_schema,
    write_rules,
)

from .masking import BEGINNING, masked
from .policy import Break, Outcome
from .request import BadAnswer, RegistryRequest, Reply

LONGEST_NAME = 10_000
"""Characters of a subject, or of a reference's name and subject together."""

ANOTHERS = "the words of another origin"
"""Stand for what was answered there to a redirect, which is not told."""

_LONGEST_TEXT = 20_000
"""Characters of what a server says that are looked at."""

LONGEST_REST = 3600.0
"""Seconds: a longer ``Retry-After`` is taken for a mistake, and asked about again after an hour."""


def read(
    reply: Reply, request: RegistryRequest[Any], *, renewable: bool = False, secrets: Sequence[str] = ()
) -> Outcome:
    """The outcome that a reply stands for; the result is in ``value`` where it is good.

    Args:
        renewable: whether the credentials that were sent can be renewed.
        secrets: what must not be told, even if the server does.
    """
    secrets = (*secrets, *reply.secrets)
    if reply.broke is not None:
        return Outcome(broke=reply.broke, detail=told(reply.detail, secrets, 300))
    content = _json(reply.body)
    if 200 <= reply.status < 300:
        try:
            return Outcome(status=reply.status, detail=f"{reply.status}", value=request.expects(content))
        except Exception as bad:  # noqa: BLE001 an answer that cannot be read is a bad one, however it is bad
            words = f"{told(str(bad), secrets, 200)}: {_excerpt(reply.body, secrets)}"
            detail = f"{reply.status}, but {ANOTHERS if reply.away else words}{_by_way(reply)}"
            return Outcome(broke=Break.BAD_ANSWER, status=reply.status, detail=detail)
    error = content if isinstance(content, dict) else {}
    code, message = error.get("error_code"), error.get("message")
    words = message if isinstance(message, str) else ""
    text = told(words, secrets, 2000) if words else _excerpt(reply.body, secrets)
    says_empty = bool(request.body) and reply.status == 422 and (_says_null(text) or _misses(message))
    if reply.away:
        text = ANOTHERS
    if "error_code" not in error:
        text = f"{text}{_by_way(reply)}".strip()
    error_code = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) <= MAX_ID else None
    shown = f"{reply.status}" if error_code in (None, reply.status) else f"{reply.status}/{error_code}"
    return Outcome(
        status=reply.status,
        error_code=error_code,
        from_registry="error_code" in error,
        says_empty=says_empty,
        retry_after=_retry_after(reply.headers),
        renewable=renewable,
        optional=request.optional,
        registering=request.operation == "register",
        message=text,
        detail=f"{shown} {text}".strip(),
    )


def read_token(
    reply: Reply, request: RegistryRequest[Any], *, renewable: bool = False, secrets: Sequence[str] = ()
) -> Outcome:
    """Like ``read`` for a token's server (RFC 6749, sections 5.1 and 5.2). Of a 2xx nothing is told, nor of a body that
    names a token, whatever its status."""
    secrets = (*secrets, *reply.secrets)
    if reply.broke is not None:
        return Outcome(broke=reply.broke, detail=told(reply.detail, secrets, 300))
    content = _json(reply.body)
    if 200 <= reply.status < 300:
        try:
            return Outcome(status=reply.status, detail=f"{reply.status}", value=request.expects(content))
        except BadAnswer as bad:
            return Outcome(
                broke=Break.BAD_ANSWER, status=reply.status, detail=f"{reply.status}, but {bad}{_by_way(reply)}"
            )
    error = content if isinstance(content, dict) else {}
    secrets += tuple(_tokens(error, reply.body))
    words = [error[name] for name in ("error", "error_description") if isinstance(error.get(name), str)]
    if words:
        text = told(": ".join(words), secrets, 2000)
    else:
        text = "words in which there may be a token" if b"_token" in reply.body else _excerpt(reply.body, secrets)
    if reply.away:
        text = ANOTHERS
    if not words:
        text = f"{text}{_by_way(reply)}".strip()
    return Outcome(
        status=reply.status,
        from_registry=bool(words),
        retry_after=_retry_after(reply.headers),
        renewable=renewable,
        message=text,
        detail=f"{reply.status} {text}".strip(),
    )


def _tokens(content: dict[str, Any], body: bytes) -> Iterator[str]:
    """Those that stand in an answer that should hold none."""
    yield from (text for name, text in content.items() if name.endswith("_token") and isinstance(text, str))
    yield from _A_TOKEN.findall(body[:_LONGEST_TEXT].decode("latin-1"))[:4]


_A_TOKEN = re.compile(r"(?:access|refresh|id)_token\W{1,8}([\w.~+/=-]{4,})", re.ASCII)


def access_token(content: Any) -> tuple[str, float | None]:
    """Reads the answer to a request for a token into the token and its lifetime in seconds, where that is told.

    Azure's instance metadata service tells numbers as texts.
    """
    answer = _object(content)
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise BadAnswer("there is no access_token in it")
    if not is_token(token):
        raise BadAnswer("its access_token cannot stand in a header")
    kind = answer.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise BadAnswer("its token_type is not Bearer")
    lifetime = _seconds(answer.get("expires_in"))
    at = _seconds(answer.get("expires_on"))
    return token, lifetime if lifetime is not None or at is None else max(0.0, at - time.time())


def _seconds(given: Any) -> float | None:
    try:
        seconds = float(given) if isinstance(given, (str, int, float)) and not isinstance(given, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None


def registered(subject: str, schema: Schema, *, normalized: bool) -> Callable[[Any], RegisteredSchema]:
    """Reads the answer to a registration or a look-up into a ``RegisteredSchema``.

    Older registries answer with the id alone; newer ones add subject, version, guid and schema. The schema must be the
    one that was asked for: a request whose schema got lost on the way is answered 200 with the id of the latest
    version. The subject may be another one: where ``subject`` is an alias, the registry names what it stands for.
    """

    def expects(content: Any) -> RegisteredSchema:
        answer = _object(content)
        kind, text = _kind(answer), _text(answer, "schema")
        if kind not in (None, schema.schema_type):
            raise BadAnswer(f"it returns a schema of type {kind}")
        if text is not None and not normalized and not same_schema(schema, text):
            raise BadAnswer("it returns another schema than the one that was sent")
        rule_set = _rule_set(answer)
        stored = replace(schema, rule_set=rule_set) if rule_set is not None and not schema.rule_set else schema
        return RegisteredSchema(_id(answer), _guid(answer), _subject(answer) or subject, _version(answer), stored)

    return expects


def alike(one: object, other: object) -> bool:
    """Whether messages are written in the same way after both answers."""
    if not isinstance(one, RegisteredSchema) or not isinstance(other, RegisteredSchema):
        return True
    return (one.schema_id, one.schema.schema_str) == (other.schema_id, other.schema.schema_str)


def version_of(subject: str, number: int | None = None) -> Callable[[Any], RegisteredSchema]:
    """Reads the answer to a question for a version of ``subject``, which may be an alias, into a
    ``RegisteredSchema``. ``number``: of the version, where one was asked for by its number."""

    def expects(content: Any) -> RegisteredSchema:
        answer = _object(content)
        schema, named, told = _schema(answer), _subject(answer) or subject, _version(answer)
        if number is not None and told not in (None, number):
            raise BadAnswer(f"it is version {told}")
        return RegisteredSchema(_id(answer), _guid(answer), named, told, schema)

    return expects


def schema_with_id(schema_id: int) -> Callable[[Any], RegisteredSchema]:
    """Reads the answer to a question for a schema by its id."""

    def expects(content: Any) -> RegisteredSchema:
        answer = _object(content)
        return RegisteredSchema(schema_id, _guid(answer), None, None, _schema(answer))

    return expects


def associated_subjects(content: Any) -> tuple[str, ...]:
    """Reads the answer to a question for a topic's associations into the subjects they name."""
    if not isinstance(content, list):
        raise BadAnswer("it is not a JSON array")
    subjects = [association.get("subject") for association in map(_object, content)]
    if not all(is_subject(subject) and len(str(subject)) <= LONGEST_NAME for subject in subjects):
        raise BadAnswer("an association names no subject")
    return tuple(map(str, subjects))


def is_compatible(content: Any) -> bool:
    """Reads the answer to a compatibility check."""
    compatible = _object(content).get("is_compatible")
    if not isinstance(compatible, bool):
        raise BadAnswer("its is_compatible is neither true nor false")
    return compatible


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BadAnswer("it is not a JSON object")
    return content


def _id(answer: dict[str, Any]) -> int:
    schema_id: Any = answer.get("id")
    if not _is_int32(schema_id):
        raise BadAnswer("its id is not a positive int32")
    return int(schema_id)


def _is_int32(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID


def _schema(answer: dict[str, Any]) -> Schema:
    text, kind = _text(answer, "schema"), _kind(answer) or "AVRO"
    if text is None:
        raise BadAnswer("it holds no schema")
    if kind == "AVRO" and not is_avro(text):
        raise BadAnswer("its schema is not Avro's")
    return Schema(text, kind, _references(answer), _mapping(answer, "metadata"), _rule_set(answer))


def _references(answer: dict[str, Any]) -> tuple[SchemaReference, ...]:
    given = answer.get("references") or []
    if not isinstance(given, list) or not all(map(_is_reference, given)):
        raise BadAnswer("its references cannot be read")
    return tuple(SchemaReference(each["name"], each["subject"], each["version"]) for each in given)


def _is_reference(given: Any) -> bool:
    if not isinstance(given, dict):
        return False
    name, subject, version = (given.get(each) for each in ("name", "subject", "version"))
    return (
        isinstance(name, str)
        and is_unicode(name)
        and is_subject(subject)
        and len(name) + len(str(subject)) <= LONGEST_NAME
        and (_is_int32(version) or (version == -1 and isinstance(version, int)))
    )


def _rule_set(answer: dict[str, Any]) -> RuleSet | None:
    schema = Schema("", rule_set=_mapping(answer, "ruleSet"))
    write_rules(schema)  # raises for rules that cannot be read
    return schema.rule_set


def _subject(answer: dict[str, Any]) -> str | None:
    named = answer.get("subject")
    if named is not None and not is_subject(named):
        raise BadAnswer("its subject is none")
    return named


def _text(answer: dict[str, Any], name: str) -> str | None:
    text = answer.get(name)
    if text is not None and not (isinstance(text, str) and text and is_unicode(text)):
        raise BadAnswer(f"its {name} is not a text")
    return text


def _kind(answer: dict[str, Any]) -> str | None:
    kind = _text(answer, "schemaType")
    if kind is not None and not (kind.isidentifier() and len(kind) < 100):
        raise BadAnswer("its schemaType is not a name")
    return kind


def _mapping(answer: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = answer.get(name)
    if value is not None and not (isinstance(value, dict) and _is_within(value, 64)):
        raise BadAnswer(f"its {name} is not a JSON object of at most 64 levels")
    return value


def _is_within(value: Any, levels: int) -> bool:
    """Deeper ones cannot be compared: Python's own recursion ends there."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_within(each, levels - 1) for each in inner)


def _version(answer: dict[str, Any]) -> int | None:
    """No message depends on it, so an odd one is one that was not told; a guid likewise."""
    version = answer.get("version")
    return version if _is_int32(version) else None


def _guid(answer: dict[str, Any]) -> str | None:
    try:
        return str(uuid.UUID(answer.get("guid")))
    except (ValueError, TypeError, AttributeError):
        return None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _by_way(reply: Reply) -> str:
    """Names the proxy that may have answered in the registry's place."""
    if not reply.proxy:
        return ""
    return f" (from the proxy {reply.proxy}{', or from behind it' if reply.status != 407 else ''})"


def _excerpt(body: bytes, secrets: Sequence[str] = ()) -> str:
    return told(body[: 2 * _LONGEST_TEXT].decode(errors="surrogateescape"), secrets, 200)


def told(text: str, secrets: Sequence[str], longest: int) -> str:
    """What a server says, as it may stand in an error or a log: no secret, no line break, no escape, no end of it."""
    whole = masked(text[:_LONGEST_TEXT], secrets)
    return one_line(whole if len(text) <= _LONGEST_TEXT else whole[:-BEGINNING], longest)  # where one may have been cut


def _says_null(message: str) -> bool:
    """Confluent's ``register.request`` (older versions: ``register.arg4``), and Apicurio's words."""
    return "must not be null (was null)" in message or "schema provided is null" in message


def _misses(message: Any) -> bool:
    """Karapace's list of what is wrong with a body: none came, none with a schema in it, or no JSON."""
    wrong = [each for each in message if isinstance(each, dict)] if isinstance(message, list) else []
    return any(
        each.get("type") == "json_invalid"
        or (each.get("type") == "missing" and each.get("loc") in (["body"], ["body", "schema"]))
        for each in wrong
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from RFC 9110's delay or date; a date is measured against the answer's own ``Date``, not our clock."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return min(float(given[:9]), LONGEST_REST)
    asked, now = _date(given), _date(headers.get("date", "")) or datetime.now(timezone.utc)
    return min(max(0.0, (asked - now).total_seconds()), LONGEST_REST) if asked else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)
