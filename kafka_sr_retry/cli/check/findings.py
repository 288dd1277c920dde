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
Told = Literal["yes", "no", "not tried", "unknown"]


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
        register: whether a new schema can be registered; ``not tried`` without ``--write``.
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
    register: Told
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


def findings(seen: Seen, now: datetime) -> EndpointFindings:
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
        register=_register(seen),
        leader=_leader(seen),
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
    kinds = {_kind(seen, name) for name in ("config", "look_up", "register")}
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
    kinds = {_kind(seen, name) for name in ("look_up", "register")}
    if "body_lost" in kinds:
        return "lost"
    return "arrives" if kinds & {"success", "not_found"} else "unknown"


def _register(seen: Seen) -> Told:
    if "register" in seen.answers:
        return "yes" if _kind(seen, "register") == "success" else "no"
    mode = _value(seen, "mode")
    if mode not in (None, "READWRITE") or _kind(seen, "look_up") in ("body_lost", "forbidden", "unauthorized"):
        return "no"
    return "not tried" if _kind(seen, "look_up") in ("not_found", "success") else "unknown"


def _leader(seen: Seen) -> Told:
    if _kind(seen, "register") == "success" or _value(seen, "master") is True:
        return "yes"
    if _value(seen, "master") is False or any(answer.kind == "no_leader" for answer in seen.answers.values()):
        return "no"
    return "unknown" if seen.written else "not tried"
