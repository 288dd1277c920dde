"""Schemas as a registry knows them, with the names and attributes of Confluent's client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errors import ConfigurationError

__all__ = ["Metadata", "RegisteredSchema", "RuleSet", "Schema", "SchemaReference"]

_W = TypeVar("_W", bound="_Wire")

MAX_ID = 2**31 - 1
"""Of a schema: ids are positive and fit into the four bytes of the wire format as an int32."""


@dataclass(frozen=True, slots=True)
class SchemaReference:
    """A named type that another subject's version holds.

    Attributes:
        name: of the type, as the referring schema writes it.
        subject, version: where it is registered.
    """

    name: str
    subject: str
    version: int

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "subject": self.subject, "version": self.version}


class _Wire(Mapping[str, Any]):
    """A registry's JSON object as it is, with names for what is known of it."""

    __slots__ = ("_wire",)

    def __init__(self, **members: Any) -> None:
        self._wire = {name: _plain(value) for name, value in members.items() if value is not None}

    @classmethod
    def from_dict(cls: type[_W], wire: Mapping[str, Any]) -> _W:
        """From the registry's JSON; what is not known of it stays in it."""
        made = cls.__new__(cls)
        made._wire = dict(wire)
        return made

    def to_dict(self) -> dict[str, Any]:
        """The registry's JSON for it."""
        return dict(self._wire)

    def __getitem__(self, name: str) -> Any:
        return self._wire[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._wire)

    def __len__(self) -> int:
        return len(self._wire)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.from_dict({self._wire!r})"


class Metadata(_Wire):
    """A schema's metadata: names and meanings of Confluent's, and a read-only mapping of the registry's JSON.

    Args:
        tags: tags by the paths of fields.
        properties: texts by their names, such as ``{"owner": "shop"}``.
        sensitive: names of properties that are.
    """

    __slots__ = ()

    def __init__(
        self,
        tags: Mapping[str, Sequence[str]] | None = None,
        properties: Mapping[str, str] | None = None,
        sensitive: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tags=tags, properties=properties, sensitive=sensitive)

    @property
    def tags(self) -> Mapping[str, Sequence[str]] | None:
        return self.get("tags")

    @property
    def properties(self) -> Mapping[str, str] | None:
        return self.get("properties")

    @property
    def sensitive(self) -> Sequence[str] | None:
        return self.get("sensitive")


class RuleSet(_Wire):
    """A schema's rules: names and meanings of Confluent's, and a read-only mapping of the registry's JSON.

    Args:
        migration_rules, domain_rules, encoding_rules: rules in the registry's JSON, or Confluent's ``Rule``.
        enable_at: as in Confluent's.
    """

    __slots__ = ()

    def __init__(
        self,
        migration_rules: Sequence[Any] | None = None,
        domain_rules: Sequence[Any] | None = None,
        encoding_rules: Sequence[Any] | None = None,
        enable_at: str | None = None,
    ) -> None:
        super().__init__(
            migrationRules=migration_rules,
            domainRules=domain_rules,
            encodingRules=encoding_rules,
            enableAt=enable_at,
        )

    @property
    def migration_rules(self) -> Sequence[Mapping[str, Any]] | None:
        return self.get("migrationRules")

    @property
    def domain_rules(self) -> Sequence[Mapping[str, Any]] | None:
        return self.get("domainRules")

    @property
    def encoding_rules(self) -> Sequence[Mapping[str, Any]] | None:
        return self.get("encodingRules")

    @property
    def enable_at(self) -> str | None:
        return self.get("enableAt")


def _plain(given: Any) -> Any:
    """As JSON has it; what of it is Confluent's turns itself into that."""
    if hasattr(given, "to_dict"):
        return given.to_dict()
    if isinstance(given, Mapping):
        return {name: _plain(value) for name, value in given.items()}
    return [_plain(each) for each in given] if isinstance(given, (list, tuple)) else given


@dataclass(frozen=True, slots=True, init=False)
class Schema:
    """A schema as it is sent to a registry.

    Attributes:
        schema_str: the text, registered as given.
        schema_type: ``AVRO``, ``JSON`` or ``PROTOBUF``.
        references: named types in other subjects.
        metadata, rule_set: given as JSON objects too, or as Confluent's of that name.
    """

    schema_str: str
    schema_type: str = "AVRO"
    references: tuple[SchemaReference, ...] = ()
    metadata: Metadata | None = field(default=None, hash=False)
    rule_set: RuleSet | None = field(default=None, hash=False)

    def __init__(
        self,
        schema_str: str,
        schema_type: str = "AVRO",
        references: Iterable[SchemaReference] | None = None,
        metadata: Mapping[str, Any] | None = None,
        rule_set: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (
            ("schema_str", schema_str),
            ("schema_type", schema_type),
            ("references", tuple(references or ())),
            ("metadata", _named(Metadata, metadata)),
            ("rule_set", _named(RuleSet, rule_set)),
        ):
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """The registry's JSON for it."""
        wire: dict[str, Any] = {"schema": self.schema_str, "schemaType": self.schema_type}
        wire["references"] = [reference.to_dict() for reference in self.references]
        if self.metadata is not None:
            wire["metadata"] = dict(self.metadata)
        if self.rule_set is not None:
            wire["ruleSet"] = dict(self.rule_set)
        return wire

    @classmethod
    def from_dict(cls, wire: Mapping[str, Any]) -> Schema:
        references = wire.get("references") or ()
        return cls(
            schema_str=wire["schema"],
            schema_type=wire.get("schemaType") or "AVRO",
            references=tuple(SchemaReference(r["name"], r["subject"], r["version"]) for r in references),
            metadata=wire.get("metadata"),
            rule_set=wire.get("ruleSet"),
        )


def _named(kind: type[_Wire], given: Any) -> Any:
    """What is no JSON object stays as it is, for whoever sends it to refuse."""
    wire = given.to_dict() if hasattr(given, "to_dict") else given
    return kind.from_dict(wire) if isinstance(wire, Mapping) else given


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema that a registry has given an id.

    Attributes:
        schema_id: positive int32.
        guid: its UUID, where the registry gives one.
        subject, version: where it is registered, where that is known.
    """

    schema_id: int
    guid: str | None
    subject: str | None
    version: int | None
    schema: Schema


def write_rules(schema: Schema) -> list[str]:
    """Names of the schema's rules that a producer would have to apply.

    Raises:
        ConfigurationError: rules that cannot be read, and so may be for writing.
    """
    rule_set = schema.rule_set
    if rule_set is None:
        return []
    if not isinstance(rule_set, Mapping):
        raise ConfigurationError("the schema's rule set is not a JSON object", "schema_str")
    names = []
    for kind in ("domainRules", "encodingRules"):
        rules = rule_set.get(kind) or ()
        if not isinstance(rules, (list, tuple)) or not all(map(_is_rule, rules)):
            raise ConfigurationError(f"{kind} of the schema's rule set are not a list of rules", "schema_str")
        names += [
            repr(rule.get("name"))[1:-1][:100]
            for rule in rules
            if rule.get("mode") in ("WRITE", "WRITEREAD") and not rule.get("disabled")
        ]
    return names


def _is_rule(rule: object) -> bool:
    return (
        isinstance(rule, Mapping)
        and isinstance(rule.get("name", ""), str)
        and isinstance(rule.get("mode", ""), (str, type(None)))
        and isinstance(rule.get("disabled"), (bool, type(None)))
    )


def is_subject(name: object) -> bool:
    """Whether a registry can be asked for it: in a path, dots alone lead elsewhere."""
    return isinstance(name, str) and name.strip(".") != "" and is_unicode(name)


def is_unicode(text: str) -> bool:
    """Whether a text can be sent: a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_avro(text: str) -> bool:
    """Whether it has the shape of an Avro schema."""
    try:
        _canonical(json.loads(text), "", set())
    except _UNREADABLE:
        return False
    return True


def same_schema(schema: Schema, text: str) -> bool:
    """Whether ``text`` is the same Avro schema: equal in Avro's parsing canonical form, with the logical types that
    change what is written. Registries reformat what they store. Where ``schema`` itself cannot be read, it may be."""
    if schema.schema_type != "AVRO" or schema.schema_str == text:
        return True
    try:
        ours = _canonical(_avro(schema.schema_str), "", set())
    except _UNREADABLE:
        return True
    try:
        return bool(ours == _canonical(_avro(text), "", set()))
    except _UNREADABLE:
        return False


_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def _avro(text: str) -> Any:
    """Some registries write a primitive's bare name."""
    stripped = text.strip()
    return stripped if stripped in _PRIMITIVES else json.loads(stripped)


def _canonical(schema: Any, namespace: str, known: set[str]) -> Any:
    """Avro's parsing canonical form (specification 1.11) as plain values, with the logical types. ``known`` collects
    the named types on the way, as a name without a namespace may be one of the enclosing one or of none."""
    if isinstance(schema, list):
        return [_canonical(branch, namespace, known) for branch in schema]
    if isinstance(schema, str):
        full = _full(schema, namespace)
        return schema if schema in _PRIMITIVES or (full not in known and schema in known) else full
    kind = schema["type"]
    if kind == "array":
        return {"array": _canonical(schema["items"], namespace, known)}
    if kind == "map":
        return {"map": _canonical(schema["values"], namespace, known)}
    logical = _logical(schema)
    if kind not in ("record", "error", "enum", "fixed"):
        inner = _canonical(kind, namespace, known)
        return {"logical": logical, "type": inner} if logical else inner
    space = schema.get("namespace")
    name = _full(schema["name"], namespace if space is None else space)
    known.add(name)
    if kind == "enum":
        return {"enum": name, "symbols": schema["symbols"]}
    if kind == "fixed":
        return {"fixed": name, "size": int(schema["size"]), "logical": logical}
    space = name.rpartition(".")[0]
    return {"record": name, "fields": [[f["name"], _canonical(f["type"], space, known)] for f in schema["fields"]]}


def _full(name: str, namespace: str) -> str:
    return name.removeprefix(".") if "." in name or not namespace else f"{namespace}.{name}"


def _logical(schema: Mapping[str, Any]) -> list[Any]:
    """The logical type where Avro knows it for the type: another one changes nothing, and may be dropped."""
    kind, base = schema.get("logicalType"), schema["type"]
    if not isinstance(kind, str) or not isinstance(base, str) or base not in _LOGICAL.get(kind, ()):
        return []
    if kind != "decimal":
        return [kind]
    try:
        return [kind, int(schema["precision"]), int(schema.get("scale") or 0)]
    except _UNREADABLE:
        return []


_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_LOGICAL = {
    "decimal": ("bytes", "fixed"),
    "uuid": ("string", "fixed"),
    "duration": ("fixed",),
    **dict.fromkeys(("date", "time-millis"), ("int",)),
    "time-micros": ("long",),
    **{f"{local}timestamp-{unit}": ("long",) for local in ("", "local-") for unit in ("millis", "micros", "nanos")},
}
"""Logical types of Avro 1.12, and what they stand on."""
