"""Both serializers with the same schema, keys and objects: the same bytes and the same questions, or a difference.

What may differ is in ``KNOWN``, and with its reason in docs/compatibility.md.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import confluent_kafka.schema_registry as confluent
from confluent_kafka.schema_registry.avro import AvroSerializer as ConfluentsSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from kafka_sr_retry import AvroSerializer, SchemaRegistryClient
from kafka_sr_retry.testing import RecordedRequest, SchemaRegistryServer

_DEFAULTS = {("normalize", "false"), ("deleted", "false"), ("offset", "0"), ("limit", "-1")}
"""Parameters that say what the registry does without them: Confluent's client sends them, ours does not."""


@dataclass(frozen=True)
class Asked:
    """A request, by what it means to the registry."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: str

    @classmethod
    def of(cls, request: RecordedRequest) -> Asked:
        target = urlsplit(request.path)
        given = {
            (name, value.lower() if value in ("True", "False") else value)
            for name, value in parse_qsl(target.query, keep_blank_values=True)
        }
        content = json.loads(request.body) if request.body else None
        return cls(request.method, target.path, tuple(sorted(given - _DEFAULTS)), json.dumps(content, sort_keys=True))

    def schema(self) -> Any:
        """What the body registers or looks up, as JSON; ``None`` where there is none."""
        content = json.loads(self.body)
        return json.loads(content["schema"]) if content else None

    def text(self) -> str:
        return str((json.loads(self.body) or {}).get("schema", ""))

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.query)
        return f"{self.method} {self.path}{'?' if query else ''}{query} {self.body}"


@dataclass(frozen=True)
class Refused:
    """An object, or the whole schema, that was not taken."""

    kind: str
    text: str
    serialization_error: bool = field(compare=False)

    @classmethod
    def by(cls, error: Exception) -> Refused:
        return cls(type(error).__name__, str(error)[:300], isinstance(error, SerializationError))


Outcome = bytes | Refused | None


@dataclass(frozen=True)
class Run:
    """What one serializer did."""

    refused: Refused | None
    outcomes: tuple[Outcome, ...]
    asked: tuple[Asked, ...]


@dataclass(frozen=True)
class Difference:
    """Where the two part.

    Attributes:
        name: of an entry of ``KNOWN``, or empty: then it is one that nobody has explained.
    """

    name: str
    what: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        name = self.name or "UNEXPLAINED"
        return f"{name}: {self.what}\n    ours:        {self.ours}\n    Confluent's: {self.theirs}"


@dataclass(frozen=True)
class Comparison:
    """What came of a schema and some objects.

    Attributes:
        written: objects of which both made the same message.
        refusals: what ours said of the others, once each.
    """

    differences: tuple[Difference, ...]
    written: int
    refusals: tuple[str, ...]

    @property
    def unexplained(self) -> list[Difference]:
        return [one for one in self.differences if not one.name]

    @property
    def known(self) -> set[str]:
        return {one.name for one in self.differences if one.name}


KNOWN = (
    "a primitive's text",
    "white space around the text",
    "bytes-like objects",
    "objects that are no dicts",
    "a schema from the registry without a context",
    "one serializer for several subjects",
    "keys that contradict each other",
    "associations that may not be read",
    "use.schema.id",
    "references are resolved later",
    "a refusal is remembered",
    "to_dict without a context",
)
"""Names of the differences that this suite meets; docs/compatibility.md has each as a heading."""

_FROM_REGISTRY = {"use.schema.id", "use.latest.version", "use.latest.with.metadata"}


class SideBySide:
    """Both serializers, each with a client and a registry of its own. The registries are in the same state."""

    def __init__(self) -> None:
        self._topics = 0
        self._open()

    def _open(self) -> None:
        self.registries = tuple(
            SchemaRegistryServer(full_answers=True, check_compatibility=False).start() for _ in range(2)
        )
        ours, theirs = self.registries
        self._ours = SchemaRegistryClient({"url": ours.url, "max.retries": 0})
        self._theirs = confluent.SchemaRegistryClient({"url": theirs.url, "max.retries": 0})

    def _reopen(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()
        for registry in self.registries:
            registry.close()

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def topic(self) -> str:
        """One that neither registry knows."""
        self._topics += 1
        return f"topic-{self._topics}"

    def compare(
        self,
        schema: Any,
        objects: Iterable[Any],
        conf: Mapping[str, Any] | None = None,
        *,
        topic: str | None = None,
        before: Callable[[SchemaRegistryServer], object] = lambda registry: None,
        to_dict: Any = None,
        contexts: Sequence[SerializationContext | None] | None = None,
    ) -> Comparison:
        """Gives the schema and the objects to both.

        Args:
            schema: a text or a Confluent ``Schema``, given to both as it is; ``None`` for none.
            conf: serializer keys.
            before: makes the state that both registries are in, such as registered schemas.
            contexts: one after the other for the objects; by default a value's of ``topic``.
        """
        objects = list(objects)
        contexts = contexts or [SerializationContext(topic or self.topic(), MessageField.VALUE, [])]
        conf = dict(conf or {})
        if "subject.name.strategy" not in conf:
            conf.setdefault("subject.name.strategy.type", "TOPIC")
        calls = [(one, contexts[i % len(contexts)]) for i, one in enumerate(objects)]
        if isinstance(schema, str) and schema.strip()[:1] == '"':
            # Confluent's sends {"type": "long"} for "long": one schema to a real registry, two to the embedded one
            self._reopen()
        for registry in self.registries:
            before(registry)
            registry.clear_requests()
        self._ours.clear_caches()
        self._theirs.clear_caches()
        makers = (
            lambda: AvroSerializer(self._ours, schema, to_dict, conf),
            lambda: ConfluentsSerializer(self._theirs, schema, to_dict, conf),
        )
        ours, theirs = (_run(make, calls, registry) for make, registry in zip(makers, self.registries, strict=True))
        differences = tuple(_differences(schema, conf, calls, ours, theirs))
        sent = [[Asked.of(request).body for request in registry.registrations] for registry in self.registries]
        if sent[0] != sent[1]:  # the ids of later schemas would part
            self._reopen()
        both = zip(ours.outcomes, theirs.outcomes, strict=False)
        written = sum(isinstance(our, bytes) and our == their for our, their in both)
        refused = [ours.refused, *ours.outcomes]
        refusals = dict.fromkeys(one.text for one in refused if isinstance(one, Refused))
        return Comparison(differences, written, tuple(refusals))


def _run(
    make: Callable[[], Any], calls: Sequence[tuple[Any, SerializationContext | None]], registry: SchemaRegistryServer
) -> Run:
    refused: Refused | None = None
    outcomes: list[Outcome] = []
    try:
        serializer = make()
        outcomes = [_outcome(serializer, one, ctx) for one, ctx in calls]
    except Exception as error:  # noqa: BLE001 a serializer raises what it raises
        refused = Refused.by(error)
    return Run(refused, tuple(outcomes), tuple(map(Asked.of, registry.requests)))


def _outcome(serializer: Any, one: Any, ctx: SerializationContext | None) -> Outcome:
    try:
        message: bytes | None = serializer(one, ctx)
    except Exception as error:  # noqa: BLE001 a serializer raises what it raises
        return Refused.by(error)
    return message


def _differences(
    schema: Any, conf: Mapping[str, Any], calls: Sequence[tuple[Any, Any]], ours: Run, theirs: Run
) -> Iterable[Difference]:
    if ours.refused or theirs.refused:
        yield from _refusals(conf, ours, theirs)
        return
    for (one, ctx), our, their in zip(calls, ours.outcomes, theirs.outcomes, strict=True):
        if isinstance(our, Refused) and not our.serialization_error and ctx is not None:
            yield Difference("", f"an error of no class of ours for {type(one).__name__}", str(our), str(their))
        if our == their or (isinstance(our, Refused) and isinstance(their, Refused)):
            continue
        yield Difference(_known_outcome(conf, one, ctx, our, their), f"{one!r:.200}", _shown(our), _shown(their))
    if ours.asked != theirs.asked:
        name = _known_request(schema, conf, ours, theirs)
        yield Difference(name, "what is asked", _listed(ours.asked), _listed(theirs.asked))


def _refusals(conf: Mapping[str, Any], ours: Run, theirs: Run) -> Iterable[Difference]:
    """One of them did not take the schema at construction. The other must take no object, or not take it either."""
    if ours.refused and not ours.refused.serialization_error:
        yield Difference("", "an error of no class of ours", str(ours.refused), str(theirs.refused))
    for run in (ours, theirs):
        if not run.refused and any(isinstance(outcome, bytes) for outcome in run.outcomes):
            name = "keys that contradict each other" if len(_FROM_REGISTRY & conf.keys()) > 1 else ""
            yield Difference(name, "the schema", _shown(ours.refused), _shown(theirs.refused))


def _known_outcome(conf: Mapping[str, Any], one: Any, ctx: Any, our: Outcome, their: Outcome) -> str:
    if isinstance(our, bytes) and isinstance(their, Refused):
        if isinstance(one, (bytearray, memoryview)):
            return "bytes-like objects"
        if dataclasses.is_dataclass(one) or hasattr(one, "__attrs_attrs__") or hasattr(type(one), "model_fields"):
            return "objects that are no dicts"
        if ctx is None and "SerializationContext cannot be None" in their.text:
            return "to_dict without a context"
        if conf.get("subject.name.strategy.type") == "ASSOCIATED" and "HTTP status code 403" in their.text:
            return "associations that may not be read"
    if ctx is None and _FROM_REGISTRY & conf.keys():
        return "a schema from the registry without a context"
    return ""


def _known_request(schema: Any, conf: Mapping[str, Any], ours: Run, theirs: Run) -> str:
    if conf.get("use.schema.id"):
        return "use.schema.id"
    if sorted(map(str, ours.asked)) == sorted(map(str, theirs.asked)) and getattr(schema, "references", None):
        return "references are resolved later"
    refused = any(isinstance(one, Refused) and one.kind == "SchemaRegistryError" for one in theirs.outcomes)
    if refused and conf.get("subject.name.strategy.type") == "ASSOCIATED":
        return "associations that may not be read"
    if refused and ours.asked == tuple(dict.fromkeys(theirs.asked)):
        return "a refusal is remembered"
    if len(ours.asked) != len(theirs.asked) or not isinstance(schema, str):
        return ""
    pairs = [(our, their) for our, their in zip(ours.asked, theirs.asked, strict=True) if our != their]
    if any((our.method, our.path, our.query) != (their.method, their.path, their.query) for our, their in pairs):
        return ""
    if all(our.text().strip() == their.text() for our, their in pairs):
        return "white space around the text"
    if all({"type": our.schema()} == their.schema() for our, their in pairs):
        return "a primitive's text"
    return ""


def _shown(outcome: Outcome) -> str:
    return outcome.hex(" ") if isinstance(outcome, bytes) else str(outcome)


def _listed(asked: Sequence[Asked]) -> str:
    return " | ".join(map(str, asked)) or "nothing"
