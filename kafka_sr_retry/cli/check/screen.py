"""How a report looks: for people, from 80 columns up, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from kafka_sr_retry.cli.terminal import Console

from .findings import EndpointFindings, TlsFindings, cluster_in_words
from .problems import WARN_DAYS, Problem, days_in_words
from .report import Report
from .seen import Trace

_MARKS = {"ok": "green", "warn": "yellow", "FAIL": "bold red", "-": "dim"}
_HARMLESS = {"left_behind", "certificate_ended"}
"""Errors that hold no message up: a certificate that has ended and is verified is the error ``tls``."""

_Fact = tuple[str, str, str]
"""Mark, name, what was found."""


def show(report: Report) -> None:
    """On the standard output, at once: a reader that leaves after its first line gets it all.

    Raises:
        OSError: it could not be written; ``BrokenPipeError``: the reader has left.
    """
    console = Console(highlight=False)
    with console:
        _show(console, report)


def _show(console: Console, report: Report) -> None:
    for endpoint in report.endpoints:
        console.print(Text(endpoint.url, "bold", overflow="fold"))
        table = _grid()
        for mark, name, found in _facts(endpoint, report):
            table.add_row(Text(mark, _MARKS[mark]), Text(name), Text(found, "dim" if mark == "-" else ""))
        console.print(table)
        console.print()
    if len(report.endpoints) > 1:
        console.print(_together(report))
        console.print()
    for problem in report.problems:
        _problem(console, problem, name_endpoint=len(report.endpoints) > 1)
    console.print(_verdict(report))


def _grid() -> Table:
    """Mark, name, what was found: in the same columns for every endpoint."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=4, justify="right")
    table.add_column(width=13, no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _problem(console: Console, problem: Problem, *, name_endpoint: bool) -> None:
    error = problem.level == "error"
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=4, justify="right")
    row.add_column(overflow="fold")
    if name_endpoint and problem.endpoint:
        row.add_row("", Text(problem.endpoint, "bold"))
    row.add_row(Text("FAIL", "bold red") if error else Text("warn", "yellow"), Text(problem.what))
    row.add_row("", Text(f"-> {problem.advice}", "cyan"))
    console.print(row)
    console.print()


def _verdict(report: Report) -> Text:
    errors, warnings = len(report.of("error")), len(report.of("warning"))
    requests = sum(endpoint.requests for endpoint in report.endpoints)
    effort = f" ({_count(requests, 'request')} in {report.seconds:.1f} s)"
    also = f", and {_count(warnings, 'warning')}" if warnings else ""
    colour = "bold yellow" if warnings else "bold green"
    if report.verdict == "reads_well":
        waits = any(endpoint.register == "waits" for endpoint in report.endpoints)
        writes = "new schemas wait for a leader" if waits else "writes not tried: use --write"
        return Text.assemble((f"Reads well{also}", colour), f"; {writes}.", (effort, "dim"))
    if not errors:
        return Text.assemble((f"All well{also}.", colour), (effort, "dim"))
    failing = {problem.endpoint for problem in report.of("error")}
    codes = {problem.code for problem in report.of("error")}
    if codes <= _HARMLESS:
        meaning = "Messages would go out."
    elif codes <= {*_HARMLESS, "not_ready"}:
        meaning = "Messages may be lost."
    elif "different_clusters" in codes:
        meaning = "Messages would name wrong schemas."
    elif None not in failing and len(failing) < len(report.endpoints):
        meaning = f"{len(failing)} of {len(report.endpoints)} endpoints fail{'s' if len(failing) == 1 else ''}."
    elif any(endpoint.reads for endpoint in report.endpoints):
        meaning = "Messages with a new schema would be lost."
    else:
        meaning = "Messages would be lost."
    return Text.assemble((f"{_count(errors, 'error')}{also}. {meaning}", "bold red"), (effort, "dim"))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _together(report: Report) -> Table:
    mark, found = {
        True: ("ok", "all endpoints are of one"),
        False: ("FAIL", "the endpoints are of different ones"),
        None: ("-", "not known: not every endpoint tells its own"),
    }[report.one_cluster]
    table = _grid()
    table.add_row(Text(mark, _MARKS[mark]), Text("cluster"), Text(found))
    return table


def _facts(endpoint: EndpointFindings, report: Report) -> Iterator[_Fact]:
    codes = {problem.code for problem in report.problems if problem.endpoint == endpoint.url}
    if not endpoint.reachable:
        where = {"name": "its name is not known", "connect": "no connection", "tls": "no TLS connection"}
        yield "FAIL", "reachable", next((where[code] for code in where if code in codes), "no answer")
    elif endpoint.latency is None:
        yield "ok", "reachable", "yes"
    else:
        yield "ok", "reachable", f"answers in {endpoint.latency * 1000:.1f} ms"
    if endpoint.tls is not None:
        yield _tls(endpoint.tls, codes)
    elif endpoint.reachable and endpoint.url.startswith("https:"):
        yield "-", "TLS", "not seen through the proxy's own"
    if not endpoint.reachable:
        return
    if endpoint.redirected_to:
        yield "warn", "redirected", f"to {endpoint.redirected_to}"
    if endpoint.ready is not None:
        yield ("ok", "ready", "yes") if endpoint.ready else ("FAIL", "ready", "no")
    mark = {"refused": "FAIL", "missing": "FAIL", "unknown": "-"}.get(endpoint.credentials, "ok")
    words = {"missing": "needed, and none are given", "unknown": "not known"}
    yield mark, "credentials", words.get(endpoint.credentials, endpoint.credentials)
    mark = {"arrives": "ok", "lost": "FAIL", "unknown": "-"}[endpoint.body]
    words = {"arrives": "arrives whole", "lost": "something on the way drops it", "unknown": "not known"}
    yield mark, "body", words[endpoint.body]
    yield _register(endpoint, report)
    yield _leader(endpoint)
    if endpoint.mode is not None:
        yield "FAIL" if "read_only" in codes else "ok", "mode", endpoint.mode
    else:
        yield "-", "mode", "not told"
    yield _told("compatibility", endpoint.compatibility)
    yield _told("cluster", cluster_in_words(endpoint.cluster) if endpoint.cluster else None)
    yield _told("version", endpoint.version)


def _told(name: str, found: str | None) -> _Fact:
    return ("ok", name, found) if found else ("-", name, "not told")


def _tls(tls: TlsFindings, codes: set[str]) -> _Fact:
    if tls.days is None or tls.ends is None:
        ends = "the certificate's end is not known"
    elif tls.days < 0:
        ends = f"the certificate ended on {tls.ends:%Y-%m-%d}"
    else:
        ends = f"the certificate ends in {days_in_words(tls.days)}, on {tls.ends:%Y-%m-%d}"
    if codes & {"tls", "certificate_ended"}:
        return "FAIL", "TLS", ends if tls.version else f"not trusted; {ends}"
    warn = not tls.trusted or (tls.days is not None and tls.days < WARN_DAYS)
    checked = "" if tls.trusted else ", not verified"
    return "warn" if warn else "ok", "TLS", f"{tls.version}{checked}; {ends}"


_NOT_NEEDED = "not needed: auto.register.schemas=false"


def _register(endpoint: EndpointFindings, report: Report) -> _Fact:
    if endpoint.register == "yes":
        trace = {Trace.REMOVED: ", and removed again", Trace.LEFT: ", and could not be removed"}.get(endpoint.trace, "")
        return "ok", "registering", f"a schema was registered{trace}"
    words = {
        "no": "failed" if report.wrote else "would fail",
        "waits": "waits for a leader",
        "not tried": "not tried: use --write",
        "not needed": _NOT_NEEDED,
        "expected": "not tried: use --write",
        "unknown": "not known",
    }
    mark = {"no": "FAIL", "waits": "warn"}.get(endpoint.register, "-")
    return mark, "registering", words[endpoint.register]


def _leader(endpoint: EndpointFindings) -> _Fact:
    if endpoint.leader == "no":
        return "FAIL" if not endpoint.reads else "warn", "leader", "there is none now"
    if endpoint.register == "expected":
        return "ok", "leader", "there is one: it refused an invalid schema, as it should"
    words = {
        "yes": "there is one",
        "not tried": "not tried: use --write",
        "not needed": _NOT_NEEDED,
        "unknown": "not known",
    }
    return "ok" if endpoint.leader == "yes" else "-", "leader", words[endpoint.leader]


def as_json(report: Report) -> str:
    """One document. Fields are added between versions, and none goes or changes its meaning."""
    return json.dumps(
        {
            "verdict": report.verdict,
            "wrote": report.wrote,
            "one_cluster": report.one_cluster,
            "seconds": round(report.seconds, 3),
            "endpoints": [_endpoint(endpoint) for endpoint in report.endpoints],
            "problems": [
                {"level": p.level, "code": p.code, "endpoint": p.endpoint, "what": p.what, "advice": p.advice}
                for p in report.problems
            ],
        },
        indent=2,
    )


def _endpoint(endpoint: EndpointFindings) -> dict[str, Any]:
    tls = endpoint.tls
    return {
        "url": endpoint.url,
        "reachable": endpoint.reachable,
        "ready": endpoint.ready,
        "tls": tls
        and {
            "version": tls.version or None,
            "trusted": tls.trusted,
            "certificate_ends": tls.ends and tls.ends.isoformat(),
            "certificate_days": tls.days,
        },
        "credentials": endpoint.credentials.replace(" ", "_"),
        "latency_ms": None if endpoint.latency is None else round(endpoint.latency * 1000, 3),
        "cluster": endpoint.cluster and dict(endpoint.cluster),
        "version": endpoint.version,
        "mode": endpoint.mode,
        "compatibility": endpoint.compatibility,
        "body": endpoint.body,
        "register": endpoint.register.replace(" ", "_"),
        "leader": endpoint.leader.replace(" ", "_"),
        "redirected_to": endpoint.redirected_to,
        "scratch_subject": endpoint.subject,
        "scratch_left": {Trace.LEFT: True, Trace.UNKNOWN: None}.get(endpoint.trace, False),
        "requests": endpoint.requests,
        "failed_requests": endpoint.failed_requests,
    }
