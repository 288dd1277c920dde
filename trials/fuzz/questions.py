"""Every question that a client asks, what a registry answers to it, and by what a right answer is known.

Each question is about a mark, a number that stands in its subject, its topic or its id, and in the right answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import confluent_kafka.schema_registry as confluent
from confluent_kafka.serialization import MessageField, SerializationContext

import kafka_sr_retry.confluent
from kafka_sr_retry import AvroSerializer, Schema, SchemaReference, SchemaRegistryClient

from .server import Request

RIGHT, WRONG = 77_000_000, 66_000_000
_MARK = re.compile(r"77\d{6}")
_MARK_BYTES = re.compile(rb"77\d{6}")
_WRONG = re.compile(r"66\d{6}")
Conf = Mapping[str, Any]


def text(mark: int) -> str:
    return f'{{"type":"record","name":"R{mark}","fields":[{{"name":"id","type":"long"}}]}}'


def guid(mark: int) -> str:
    return f"00000000-0000-4000-8000-0000{mark}"


def stored(mark: int) -> dict[str, Any]:
    """A version as newer registries tell it."""
    return {
        "id": mark,
        "version": 1,
        "guid": guid(mark),
        "subject": f"s-{mark}-value",
        "schema": text(mark),
        "schemaType": "AVRO",
        "references": [],
        "metadata": None,
        "ruleSet": None,
    }


@dataclass(frozen=True)
class Question:
    """
    Attributes:
        opens: makes what asks, from a client's configuration.
        ask: (what asks, mark, seconds) -> value.
        read: the id in a value.
        marked: whether a value without an id shows the mark; else it must be ``plain``.
        lies: answers with another id that must not be believed.
        patient: whether it can be told how long to wait.
    """

    name: str
    opens: Callable[[Conf], Any]
    ask: Callable[[Any, int, float], Any]
    marked: bool = True
    plain: Any = None
    read: Callable[[Any], int] | None = None
    lies: tuple[Callable[[int, int], Any], ...] = ()
    patient: bool = True

    def fault(self, mark: int, value: Any, *, exactly: bool) -> str:
        """What is wrong with a value; ``exactly``: after a right answer."""
        shown = repr(value)
        if self.read is not None and self.read(value) != mark:
            return f"a wrong id: {shown[:300]} for {mark}"
        if _WRONG.search(shown):
            return f"another question's answer: {shown[:300]} for {mark}"
        if exactly and self.read is None and not (str(mark) in shown if self.marked else value == self.plain):
            return f"no right answer: {shown[:300]} for {mark}"
        return ""


def _another_schema(mark: int, wrong: int) -> Any:
    return {"id": wrong, "schema": text(wrong)}


def _another_kind(mark: int, wrong: int) -> Any:
    return {**stored(mark), "id": wrong, "schemaType": "PROTOBUF"}


def _another_version(mark: int, wrong: int) -> Any:
    return {**stored(wrong), "version": 2}


def _subject(mark: int) -> str:
    return f"s-{mark}-value"


def _schema(mark: int) -> Schema:
    return Schema(text(mark))


def _theirs(mark: int) -> Any:
    return confluent.Schema(text(mark), "AVRO")


def _id(value: Any) -> int:
    return int(value.schema_id)


def _in_message(value: bytes) -> int:
    return int.from_bytes(value[1:5], "big") if value[:1] == b"\0" else -1


class _Owned:
    """A serializer and its client."""

    def __init__(self, conf: Conf, more: Conf, given: Callable[[int], Any]) -> None:
        self.client = SchemaRegistryClient(conf)
        self._conf, self._given = more, given
        self._made: dict[int, AvroSerializer] = {}

    def write(self, mark: int) -> bytes | None:
        conf = {key: value(mark) if callable(value) else value for key, value in self._conf.items()}
        made = self._made.get(mark) or self._made.setdefault(
            mark, AvroSerializer(self.client, self._given(mark), None, conf)
        )
        return made({"id": 1}, SerializationContext(f"s-{mark}", MessageField.VALUE))

    def clear_caches(self) -> None:
        self.client.clear_caches()

    def __enter__(self) -> _Owned:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


def _serializer(name: str, more: Conf, given: Callable[[int], Any], **kwargs: Any) -> Question:
    return Question(
        f"serializer {name}",
        lambda conf: _Owned(conf, more, given),
        lambda owned, mark, seconds: owned.write(mark),
        read=_in_message,
        patient=False,
        **kwargs,
    )


def _refers(mark: int) -> Schema:
    return Schema(
        f'{{"type":"record","name":"Top","fields":[{{"name":"id","type":"long"}},'
        f'{{"name":"r","type":["null","R{mark}"],"default":null}}]}}',
        references=[SchemaReference(f"R{mark}", _subject(mark), 1)],
    )


def _ours(name: str, ask: Callable[[Any, int, float], Any], **kwargs: Any) -> Question:
    return Question(f"ours {name}", SchemaRegistryClient, ask, **kwargs)


def _confluents(name: str, ask: Callable[[Any, int], Any], **kwargs: Any) -> Question:
    return Question(
        f"confluent {name}",
        kafka_sr_retry.confluent.SchemaRegistryClient,
        lambda client, mark, seconds: ask(client, mark),
        patient=False,
        **kwargs,
    )


_FULL_LEVEL = confluent.ConfigCompatibilityLevel.FULL
_SENT = (_another_schema, _another_kind)
_READS: Conf = {"auto.register.schemas": False}
_ID = {"read": _id}
_NUMBER: dict[str, Any] = {"read": int}

OURS = (
    _ours("register", lambda c, m, s: c.register_schema(_subject(m), _schema(m), timeout=s), read=int, lies=_SENT),
    _ours("register full", lambda c, m, s: c.register_schema_full_response(_subject(m), _schema(m), timeout=s),
          read=_id, lies=_SENT),
    _ours("look up", lambda c, m, s: c.lookup_schema(_subject(m), _schema(m), timeout=s), read=_id, lies=_SENT),
    _ours("get schema", lambda c, m, s: c.get_schema(m, timeout=s)),
    _ours("get registered", lambda c, m, s: c.get_registered(m, timeout=s), read=_id),
    _ours("latest", lambda c, m, s: c.get_latest_version(_subject(m), timeout=s), read=_id),
    _ours("metadata", lambda c, m, s: c.get_latest_with_metadata(_subject(m), {"a": "b"}, timeout=s),
          read=_id),
    _ours("version", lambda c, m, s: c.get_version(_subject(m), 1, timeout=s), read=_id, lies=(_another_version,)),
    _ours("version latest", lambda c, m, s: c.get_version(_subject(m), "latest", timeout=s), read=_id),
    _ours("compatibility", lambda c, m, s: c.test_compatibility(_subject(m), _schema(m), timeout=s),
          marked=False, plain=True),
    _ours("associated", lambda c, m, s: c.get_associated_subjects(f"s-{m}", "-", "value", timeout=s)),
)  # fmt: skip

SERIALIZERS = (
    _serializer("register", {}, text, lies=_SENT),
    _serializer("look up", _READS, text, lies=_SENT),
    _serializer("latest", {**_READS, "use.latest.version": True}, lambda m: None),
    _serializer("id", {**_READS, "use.schema.id": lambda m: m}, lambda m: None),
    _serializer("metadata", {**_READS, "use.latest.with.metadata": {"a": "b"}}, lambda m: None),
    _serializer("reference", {}, _refers),
    _serializer("associated", {"subject.name.strategy.type": "ASSOCIATED"}, text),
)

CONFLUENTS = (
    _confluents("register", lambda c, m: c.register_schema(_subject(m), _theirs(m)), lies=_SENT, **_NUMBER),
    _confluents("register full", lambda c, m: c.register_schema_full_response(_subject(m), _theirs(m)),
                lies=_SENT, **_ID),
    _confluents("look up", lambda c, m: c.lookup_schema(_subject(m), _theirs(m)), lies=_SENT, **_ID),
    _confluents("get schema", lambda c, m: c.get_schema(m)),
    _confluents("get schema by guid", lambda c, m: c.get_schema_by_guid(guid(m))),
    _confluents("latest", lambda c, m: c.get_latest_version(_subject(m)), **_ID),
    _confluents("metadata", lambda c, m: c.get_latest_with_metadata(_subject(m), {"a": "b"}), **_ID),
    _confluents("version", lambda c, m: c.get_version(_subject(m), 1), **_ID),
    _confluents("compatibility", lambda c, m: c.test_compatibility(_subject(m), _theirs(m)), marked=False, plain=True),
    _confluents("all compatibility", lambda c, m: c.test_compatibility_all_versions(_subject(m), _theirs(m)),
                marked=False, plain=True),
    _confluents("subjects of an id", lambda c, m: c.get_subjects_by_schema_id(m)),
    _confluents("id's versions", lambda c, m: c.get_schema_versions(m)),
    _confluents("subjects", lambda c, m: c.get_subjects(subject_prefix=_subject(m))),
    _confluents("versions", lambda c, m: c.get_versions(_subject(m))),
    _confluents("referenced by", lambda c, m: c.get_referenced_by(_subject(m), 1)),
    _confluents("delete subject", lambda c, m: c.delete_subject(_subject(m))),
    _confluents("delete version", lambda c, m: c.delete_version(_subject(m), 1)),
    _confluents("get compatibility", lambda c, m: c.get_compatibility(_subject(m)), marked=False, plain="FULL"),
    _confluents("set compatibility", lambda c, m: c.set_compatibility(_subject(m), "FULL")),
    _confluents("get config", lambda c, m: c.get_config(_subject(m))),
    _confluents("set config", lambda c, m: c.set_config(_subject(m),
        confluent.ServerConfig(compatibility=_FULL_LEVEL))),
    _confluents("delete config", lambda c, m: c.delete_config(_subject(m))),
    _confluents("get mode", lambda c, m: c.get_mode(_subject(m)), marked=False,
                plain="READWRITE"),
    _confluents("set mode", lambda c, m: c.update_mode(_subject(m), "READWRITE"),
                marked=False, plain="READWRITE"),
    _confluents("delete mode", lambda c, m: c.delete_mode(_subject(m)),
                marked=False, plain="READWRITE"),
    _confluents("associations", lambda c, m: c.get_associations_by_resource_name(f"s-{m}", "-")),
)  # fmt: skip

ALL = (*OURS, *SERIALIZERS, *CONFLUENTS)


def answered(request: Request) -> Any:
    """The content of the right answer."""
    found = _MARK.search(request.path)
    if found is None:
        return None
    mark, where = int(found[0]), f"{request.method} {urlsplit(request.path).path}"
    given = next((content(mark) for pattern, content in _PATHS if re.search(pattern, where)), None)
    if not isinstance(given, dict):
        return given
    version = re.search(r"/versions/(\d+)$", where)
    if version:
        given["version"] = int(version[1])
    if request.method == "POST" and "schema" in given:
        given["schema"] = json.loads(request.body)["schema"]
    return given


def anothers(body: bytes, wrong: int) -> bytes:
    """The answer to the same question about another mark."""
    body = _MARK_BYTES.sub(b"%d" % wrong, body)
    for one, other in ((b"true", b"false"), (b'"FULL"', b'"NONE"'), (b"READWRITE", b"READONLY")):
        body = body.replace(one, other)
    return body


_S = r"s-77\d{6}-value"
_FULL = {"compatibilityLevel": "FULL"}
_PATHS: tuple[tuple[str, Callable[[int], Any]], ...] = (
    (r"POST .*/compatibility/", lambda m: {"is_compatible": True}),
    (rf"POST .*/subjects/{_S}(/versions)?$", stored),
    (rf"GET .*/subjects/{_S}/(metadata|versions/(latest|\d+))$", stored),
    (rf"(GET|DELETE) .*/subjects/{_S}(/versions)?$", lambda m: [m]),
    (rf"GET .*/subjects/{_S}/versions/1/referencedby$", lambda m: [m]),
    (rf"DELETE .*/subjects/{_S}/versions/1$", lambda m: m),
    (r"GET .*/schemas/ids/77\d{6}/subjects$", lambda m: [_subject(m)]),
    (r"GET .*/schemas/ids/77\d{6}/versions$", lambda m: [{"subject": _subject(m), "version": 1}]),
    (r"GET .*/schemas/(ids|guids)/[^/]*$", stored),
    (r"GET .*/subjects$", lambda m: [_subject(m)]),
    (r"(GET|DELETE) .*/config/", lambda m: {**_FULL, "compatibilityGroup": str(m)}),
    (r"PUT .*/config/", lambda m: {"compatibility": "FULL", "compatibilityGroup": str(m)}),
    (r"/mode/", lambda m: {"mode": "READWRITE"}),
    (r"GET .*/associations/", lambda m: [{"subject": _subject(m), "resourceName": f"s-{m}"}]),
)
