"""What an endpoint's answers mean. Pure: time is given."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kafka_sr_retry.registry.answers import told
from kafka_sr_retry.registry.policy import Action

from .questions import LONGEST
from .seen import Seen, Trace

Credentials = Literal["accepted", "refused", "missing", "not needed", "unknown"]
Told = Literal["yes", "no", "not tried", "not needed", "unknown"]
Registers = Literal["yes", "expected", "waits", "no", "not tried", "not needed", "unknown"]


@dataclass(frozen=True, slots=True)
class TlsFindings:
    """``days``: until the certificate's end, rounded down, negative after it; ``None`` where it was not seen."""

    version: str
    trusted: bool
    ends: datetime | None
    days: int | None


@dataclass(frozen=True, slots=True)
class EndpointFindings:
    """What is known of an endpoint; ``None`` where it was not told.

    Attributes:
        reachable: whether an HTTP answer came.
        ready: what it says of itself.
        latency: seconds of a request over an open connection, the median.
        cluster: names of the cluster, by kind.
        body: whether a request's body arrives.
        reads: whether a schema's look-up is answered.
        register: whether a new schema can be registered. ``expected``: the leader answers, and has not been given one
            to write; ``waits``: there is no leader now; ``not tried`` without ``--write``;
            ``not needed`` by a producer that only looks schemas up, as the leader then.
        leader: whether the cluster has one.
        redirected_to: the endpoint that answers in its place.
        trace: of the scratch subject.
        failed_requests: of all ``requests``, what a producer would have repeated.
    """

    url: str
    reachable: bool
    ready: bool | None
    tls: TlsFindings | None
    credentials: Credentials
    latency: float | None
    cluster: Mapping[str, str] | None
    version: str | None
    mode: str | None
    compatibility: str | None
    body: Literal["arrives", "lost", "unknown"]
    reads: bool
    register: Registers
    leader: Told
    redirected_to: str | None
    subject: str
    trace: Trace
    requests: int
    failed_requests: int


def cluster_in_words(cluster: Mapping[str, str]) -> str:
    """As ``schema-registry, Kafka MkU3OEVBNTcwNTJENDM2Qg``."""
    rest = {name: value for name, value in cluster.items() if name not in ("schema-registry-cluster", "kafka-cluster")}
    parts = [cluster.get("schema-registry-cluster", "")]
    parts += [f"Kafka {cluster['kafka-cluster']}"] if "kafka-cluster" in cluster else []
    return told(", ".join([part for part in parts if part] + [f"{n} {v}" for n, v in rest.items()]), (), LONGEST)


def findings(seen: Seen, now: datetime, *, needs_writes: bool) -> EndpointFindings:
    answers = seen.answers
    redirected = next((answer.redirected_to for answer in answers.values() if answer.redirected_to), None)
    return EndpointFindings(
        url=seen.url,
        reachable=any(answer.outcome.status is not None for answer in answers.values()),
        ready=_ready(seen),
        tls=_tls(seen, now),
        credentials=_credentials(seen),
        latency=statistics.median(seen.latencies) if seen.latencies else None,
        cluster=_value(seen, "cluster"),
        version=_value(seen, "version"),
        mode=_value(seen, "mode"),
        compatibility=_value(seen, "config"),
        body=_body(seen),
        reads=_kind(seen, "look_up") in ("not_found", "success"),
        register=_register(seen) if needs_writes else "not needed",
        leader=_leader(seen) if needs_writes else "not needed",
        redirected_to=redirected,
        subject=seen.subject,
        trace=seen.trace,
        requests=seen.requests,
        failed_requests=len(seen.failures),
    )


_ANSWERED = {"success", "forbidden", "not_found"}
"""Rows of the policy's table that a registry's own answer has, to a caller whom it knows."""


def _value(seen: Seen, name: str) -> Any:
    answer = seen.answers.get(name)
    return answer.outcome.value if answer is not None and answer.row.action is Action.ACCEPT else None


def _status(seen: Seen, name: str) -> int:
    answer = seen.answers.get(name)
    return 0 if answer is None or answer.outcome.broke is not None else answer.outcome.status or 0


def _kind(seen: Seen, name: str) -> str:
    answer = seen.answers.get(name)
    return "" if answer is None else answer.kind


def _ready(seen: Seen) -> bool | None:
    if _value(seen, "ready"):
        return True
    says_no = _status(seen, "ready") >= 500 and _kind(seen, "ready") != "absent"
    # where nothing else is answered either, this tells nothing more
    return False if says_no and _kind(seen, "config") in _ANSWERED else None


def _tls(seen: Seen, now: datetime) -> TlsFindings | None:
    shaken = seen.handshake
    if shaken is None:
        return None
    days = None if shaken.ends is None else (shaken.ends - now).days
    return TlsFindings(shaken.version, seen.verifies and not shaken.why, shaken.ends, days)


def _credentials(seen: Seen) -> Credentials:
    kinds = {_kind(seen, name) for name in ("config", "look_up", "register", "leader")}
    if seen.no_token:
        return "unknown"
    if "unauthorized" in kinds:
        return "refused" if seen.shows_credentials else "missing"
    if not kinds & _ANSWERED:
        return "unknown"
    if not seen.shows_credentials or _kind(seen, "anonymous") == "success":
        return "not needed"
    return "accepted"


def _body(seen: Seen) -> Literal["arrives", "lost", "unknown"]:
    kinds = {_kind(seen, name) for name in ("look_up", "register", "leader")}
    if "body_lost" in kinds:
        return "lost"
    return "arrives" if kinds & {"success", "not_found", "invalid"} else "unknown"


_OF_LEADER: dict[str, Registers] = {"success": "yes", "invalid": "expected", "no_leader": "waits"}


def _register(seen: Seen) -> Registers:
    if "register" in seen.answers:
        kind = _kind(seen, "register")
        return "yes" if kind == "success" else "waits" if kind == "no_leader" else "no"
    if _value(seen, "master") is False:
        return "waits"
    if "leader" in seen.answers:
        return _OF_LEADER.get(_kind(seen, "leader"), "no")
    mode = _value(seen, "mode")
    if mode not in (None, "READWRITE") or _kind(seen, "look_up") in ("body_lost", "forbidden", "unauthorized"):
        return "no"
    return "not tried" if _kind(seen, "look_up") in ("not_found", "success") else "unknown"


def _leader(seen: Seen) -> Told:
    asked = {_kind(seen, "register"), _kind(seen, "leader")}
    if asked & _BY_LEADER or _kind(seen, "leader") == "invalid" or _value(seen, "master") is True:
        return "yes"
    if _value(seen, "master") is False or any(answer.kind == "no_leader" for answer in seen.answers.values()):
        return "no"
    return "unknown" if asked - {""} else "not tried"


_BY_LEADER = {"success", "read_only", "not_permitted"}
"""What only a leader answers to a registration."""
