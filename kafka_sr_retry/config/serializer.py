"""The serializer's keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka_sr_retry.errors import ConfigurationError
from kafka_sr_retry.schema import MAX_ID

from . import values
from .keys import setting


@dataclass(frozen=True, kw_only=True)
class SerializerSettings:
    """What a serializer works by; Confluent's keys and meanings."""

    auto_register: bool = setting(
        "auto.register.schemas",
        values.boolean,
        "bool",
        True,
        "Register the schema; otherwise look it up, and fail where it is not registered.",
    )
    normalize: bool = setting(
        "normalize.schemas", values.boolean, "bool", False, "Let the registry normalize the schema first."
    )
    use_schema_id: int | None = setting(
        "use.schema.id",
        values.number(1, MAX_ID, whole=True),
        "id",
        None,
        "Write with the schema of this id, whatever schema_str says.",
    )
    use_latest: bool = setting(
        "use.latest.version",
        values.boolean,
        "bool",
        False,
        "Write with the subject's latest version, whatever schema_str says; needs auto.register.schemas=False.",
    )
    use_latest_with_metadata: Mapping[str, str] | None = setting(
        "use.latest.with.metadata",
        values.properties,
        "dict",
        None,
        "Write with the subject's latest version that has these metadata properties.",
    )
    subject_name_strategy: Callable[..., Any] | None = setting(
        "subject.name.strategy",
        values.function,
        "callable",
        None,
        "(SerializationContext, record name) -> subject.",
        shown="topic_subject_name_strategy",
    )
    strategy_type: str = setting(
        "subject.name.strategy.type",
        values.strategy_type,
        "TOPIC, RECORD, TOPIC_RECORD or ASSOCIATED",
        "TOPIC",
        "The built-in strategies by name; subject.name.strategy goes first.",
    )
    strategy_conf: Mapping[str, str] = setting(
        "subject.name.strategy.conf",
        values.strategy_conf,
        "dict",
        {},
        "For ASSOCIATED: subject.name.strategy.kafka.cluster.id and subject.name.strategy.fallback.type (TOPIC).",
    )
    schema_id_serializer: Callable[..., Any] | None = setting(
        "schema.id.serializer",
        values.function,
        "callable",
        None,
        "(payload, SerializationContext, schema id) -> bytes.",
        shown="prefix_schema_id_serializer",
    )
    strict: bool = setting(
        "validate.strict", values.boolean, "bool", False, "Refuse records with missing or additional fields."
    )
    strict_allow_default: bool = setting(
        "validate.strict.allow.default",
        values.boolean,
        "bool",
        False,
        "The same, but fields with a default may be missing.",
    )

    def __post_init__(self) -> None:
        chosen = {
            "use.schema.id": self.use_schema_id,
            "use.latest.version": self.use_latest,
            "use.latest.with.metadata": self.use_latest_with_metadata,
        }
        given = [name for name, value in chosen.items() if value]
        if len(given) > 1:
            raise ConfigurationError(f"{' and '.join(given)} contradict each other: give one of them", given[1])
        if self.use_latest and self.auto_register:
            raise ConfigurationError(
                "use.latest.version=True and auto.register.schemas=True contradict each other: set "
                "auto.register.schemas=False",
                "use.latest.version",
            )
        confluents = hasattr(self.subject_name_strategy, "set_cluster_id_resolver")  # its AssociatedNameStrategy
        if self.strategy_conf and self.strategy_type != "ASSOCIATED" and not confluents:
            raise ConfigurationError(
                f"subject.name.strategy.conf and subject.name.strategy.type={self.strategy_type} contradict each "
                "other: it is for ASSOCIATED",
                "subject.name.strategy.conf",
            )

    @property
    def reads_schema(self) -> bool:
        """Whether the schema comes from the registry, so that none need be given."""
        return bool(self.use_schema_id or self.use_latest or self.use_latest_with_metadata)
