"""What was asked for on the command line, checked, and what does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from kafka_sr_retry import SchemaRegistryClient
from kafka_sr_retry.avro.compatibility import LEVELS
from kafka_sr_retry.cli.given import all_typed, layered
from kafka_sr_retry.config import PREFIX, ClientSettings, SerializerSettings, parse, split
from kafka_sr_retry.errors import ConfigurationError
from kafka_sr_retry.schema import is_subject

from .deploy import Deployment
from .offline import Offline
from .plan import Planned, Subjects
from .run import Work


class Job:
    """Registering, its dry run, or judging offline.

    Raises:
        ConfigurationError: options or keys that cannot work.
    """

    def __init__(
        self,
        file: str,
        assignments: Sequence[str],
        environment: Mapping[str, str],
        *,
        topic: str | None,
        subject: str | None,
        is_key: bool,
        offline: bool,
        dry_run: bool,
        against: str | None,
        level: str | None,
        seconds: float | None,
    ) -> None:
        self.kind: Literal["register", "dry run", "offline"] = (
            "offline" if offline else "dry run" if dry_run else "register"
        )
        self._against, self._seconds = against, seconds
        self._level = _level(level, against, offline=offline, dry_run=dry_run)
        conf = layered([], file, assignments, environment)
        parts = split(conf, is_key=is_key)
        serializer = parse(SerializerSettings, all_typed(SerializerSettings, parts.serializer))
        self._normalize = serializer.normalize
        self.subjects = _subjects(serializer, topic, subject, is_key)
        self._client_conf: dict[str, Any] = all_typed(ClientSettings, parts.client)
        if not offline and not self._client_conf.get("url"):
            raise ConfigurationError(
                f"no registry: give SCHEMA_REGISTRY_URL, -X url=http://localhost:8081, or {PREFIX}url in --config"
            )

    def start(self, plan: Sequence[Planned]) -> tuple[Work, Callable[[], None]]:
        """What is done with each file, and what ends it early, and cleans up."""
        if self.kind == "offline":
            return Offline(str(self._against), plan, self._level).judge, _nothing
        client = SchemaRegistryClient({**self._client_conf, "refusal.cache.ttl.ms": 0})
        deployment = Deployment(client, plan, normalize=self._normalize, seconds=self._seconds)
        return deployment.try_out if self.kind == "dry run" else deployment.register, client.close


def _nothing() -> None:
    """There is nothing to end."""


def _level(level: str | None, against: str | None, *, offline: bool, dry_run: bool) -> str:
    if not offline:
        for name, value in (("--against", against), ("--compatibility", level)):
            if value is not None:
                raise ConfigurationError(f"{name} goes with --offline: a registry has its own")
        return ""
    if dry_run:
        raise ConfigurationError("--offline registers nothing: it needs no --dry-run")
    if against is None:
        raise ConfigurationError("--offline needs --against FOLDER, with the earlier versions")
    level = (level or "BACKWARD").upper()
    if level not in LEVELS:
        raise ConfigurationError(f"--compatibility takes {', '.join(LEVELS)}, not {level!r}")
    return level


def _subjects(settings: SerializerSettings, topic: str | None, subject: str | None, is_key: bool) -> Subjects:
    strategy = settings.strategy_type
    if topic is not None and subject is not None:
        raise ConfigurationError("--topic and --subject are two names for one thing: give one")
    for name, value in (("--topic", topic), ("--subject", subject)):
        if value is not None and not is_subject(value):
            raise ConfigurationError(f"{name} {value!r} cannot be a subject's name")
    if subject is not None:
        if is_key:
            raise ConfigurationError("--key goes with --topic: --subject is the whole name")
        return Subjects(strategy, fixed=subject)
    if strategy not in ("TOPIC", "RECORD", "TOPIC_RECORD"):
        raise ConfigurationError(f"subject.name.strategy.type={strategy} needs a producer: give --subject")
    if strategy == "RECORD" and topic is not None:
        raise ConfigurationError("subject.name.strategy.type=RECORD has subjects without a topic: leave --topic out")
    if strategy != "RECORD" and topic is None:
        raise ConfigurationError(
            "which subject? Give --topic or --subject, or, for each file under its type's name, "
            "-X subject.name.strategy.type=RECORD"
        )
    return Subjects(strategy, topic, is_key)
