"""Schemas as a registry knows them, with the names and attributes of Confluent's client."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RegisteredSchema", "Schema", "SchemaReference"]

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


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema as it is sent to a registry.

    Attributes:
        schema_str: the text, registered as given.
        schema_type: ``AVRO``, ``JSON`` or ``PROTOBUF``.
        references: named types in other subjects.
        metadata, rule_set: the registry's JSON objects, as they are.
    """

    schema_str: str
    schema_type: str = "AVRO"
    references: tuple[SchemaReference, ...] = ()
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    rule_set: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "references", tuple(self.references or ()))

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
    """Names of the schema's rules that a producer would have to apply."""
    rule_set = schema.rule_set or {}
    rules = [rule for kind in ("domainRules", "encodingRules") for rule in rule_set.get(kind) or ()]
    return [
        str(rule.get("name"))
        for rule in rules
        if rule.get("mode") in ("WRITE", "WRITEREAD") and not rule.get("disabled")
    ]


def bare_subject(subject: str) -> str:
    """A subject without its registry context (``:.name:``)."""
    return re.sub(r"^:\.[^:]*:", "", subject)


def same_schema(schema: Schema, text: str) -> bool:
    """Whether ``text`` may be the same Avro schema: equal in Avro's parsing canonical form. Registries reformat what
    they store."""
    if schema.schema_type != "AVRO":
        return True
    try:
        return bool(_canonical(_avro(schema.schema_str), "") == _canonical(_avro(text), ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return True


def _avro(text: str) -> Any:
    stripped = text.strip()
    return json.loads(stripped) if stripped[:1] in ("{", "[", '"') else stripped


def _canonical(schema: Any, namespace: str) -> Any:
    """Avro's parsing canonical form (specification 1.11) as plain values, with the logical types."""
    if isinstance(schema, list):
        return [_canonical(branch, namespace) for branch in schema]
    if isinstance(schema, str):
        return schema if "." in schema or not namespace or schema in _PRIMITIVES else f"{namespace}.{schema}"
    kind = schema["type"]
    if kind == "array":
        return {"array": _canonical(schema["items"], namespace)}
    if kind == "map":
        return {"map": _canonical(schema["values"], namespace)}
    logical = [schema.get(attribute) for attribute in ("logicalType", "precision", "scale")]
    if kind not in ("record", "error", "enum", "fixed"):
        inner = _canonical(kind, namespace)
        return {"logical": logical, "type": inner} if logical[0] else inner
    name: str = schema["name"]
    if "." not in name:
        space = schema.get("namespace", namespace)
        name = f"{space}.{name}" if space else name
    space = name.rpartition(".")[0]
    if kind == "enum":
        return {"enum": name, "symbols": schema["symbols"]}
    if kind == "fixed":
        return {"fixed": name, "size": int(schema["size"]), "logical": logical}
    return {"record": name, "fields": [[f["name"], _canonical(f["type"], space)] for f in schema["fields"]]}


_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
