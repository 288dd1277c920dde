"""What is to be told of all endpoints together. Pure: time is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from .findings import EndpointFindings, cluster_in_words, findings
from .problems import Problem, problems
from .seen import Seen


@dataclass(frozen=True, slots=True)
class Report:
    """The whole check.

    Attributes:
        wrote: whether registrations were tried.
        registers: whether the producer would register its schemas.
        one_cluster: whether all endpoints are of one, ``None`` where that is not known.
        seconds: that it took.
    """

    wrote: bool
    registers: bool
    endpoints: tuple[EndpointFindings, ...]
    one_cluster: bool | None
    problems: tuple[Problem, ...]
    seconds: float

    def of(self, level: Literal["error", "warning"]) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.level == level)

    @property
    def verdict(self) -> Literal["well", "warnings", "reads_well", "errors"]:
        if self.of("error"):
            return "errors"
        if (self.registers or self.wrote) and any(endpoint.register != "yes" for endpoint in self.endpoints):
            return "reads_well"
        return "warnings" if self.problems else "well"


def report(
    seen: Sequence[Seen], now: datetime, *, wrote: bool, registers: bool, patience: str, seconds: float
) -> Report:
    """Concludes. ``registers``: where the producer does not, neither mode nor leader need allow it; ``patience``: how
    long its messages wait for a registry, in words."""
    needs_writes = registers or wrote
    endpoints = tuple(findings(each, now, needs_writes=needs_writes) for each in seen)
    clusters = [endpoint.cluster for endpoint in endpoints]
    known = [cluster for cluster in clusters if cluster is not None]
    one = None if len(known) < 2 else all(cluster == known[0] for cluster in known)
    if one and len(known) < len(clusters):
        one = None
    found = [
        problem
        for each, endpoint in zip(seen, endpoints, strict=True)
        for problem in problems(each, endpoint, needs_writes=needs_writes, patience=patience)
    ]
    if one is False:
        found.append(
            Problem(
                "error",
                "different_clusters",
                None,
                "The endpoints are not of one cluster: " + "; ".join(_named(e) for e in endpoints if e.cluster) + ".",
                "Ids differ between clusters, so messages would name wrong schemas: give the URLs of one cluster.",
            )
        )
    order = {"error": 0, "warning": 1}
    told = tuple(sorted(found, key=lambda p: order[p.level]))
    return Report(wrote, registers, endpoints, one, told, seconds)


def _named(endpoint: EndpointFindings) -> str:
    return f"{endpoint.url} is of {cluster_in_words(endpoint.cluster or {})}"
