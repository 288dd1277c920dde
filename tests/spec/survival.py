"""Who survives what: a registration that first meets an answer of tests/spec, and then a registry that is well."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confluent_kafka
import confluent_kafka.schema_registry as confluent

from kafka_sr_retry import Schema, SchemaRegistryClient
from kafka_sr_retry.testing import Fault, SchemaRegistryServer
from tests.embedded.clocks import StandingClock

from . import ORDER, SUBJECT, cases
from .wire import GOOD, REFUSED, fault, on_the_wire

VERSION = confluent_kafka.__version__
RIGHT_ID = 41
LONGEST = 5.0
"""Seconds after which a client is taken to hang: a thousand times what the others take."""

KINDS = ("registered", "error", "wrong id", "hangs")
CONF = {"ssl.ca.location": False, "retries.wait.ms": 1, "retries.max.wait.ms": 1}

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
BEGIN, END = "<!-- written by python -m tests.spec -->", "<!-- end -->"


@dataclass(frozen=True)
class Trial:
    """What the nodes answer first: ``None`` for one where nobody listens, or a list of faults.

    Attributes:
        known: whether the schema is there already.
    """

    topic: str
    name: str
    nodes: tuple[list[Fault] | None, ...]
    known: bool = False


def trials() -> Iterator[Trial]:
    for case in cases("answers"):
        topic, _, name = case["id"].partition(": ")
        played = fault(case)
        if case["ask"] == "register" and "error" in case["means"] and "renewable" not in case and played:
            yield Trial(topic, name, ([played],))
    for case in cases("transcripts"):
        topic, _, name = case["id"].partition(": ")
        nodes = on_the_wire(case)
        asks = [line.get("ask", "register") for line in case["play"] if "call" in line]
        if nodes is None or asks != ["register"] or "world" in case or topic == "close":
            continue
        known = any(line.get("look_up") and line["answer"] == "200" for line in case["play"])
        bad = tuple(nodes and [how for word, how in nodes if word not in GOOD] for nodes in nodes)
        if any(node is None or node for node in bad):
            yield Trial(topic, name, bad, known)


def end_of(trial: Trial, *, ours: bool) -> str:
    """How the registration ends, in words."""
    with ExitStack() as stack:
        urls = []
        for node in trial.nodes:
            if node is None:
                urls.append(REFUSED)
                continue
            server = stack.enter_context(SchemaRegistryServer(first_id=RIGHT_ID))
            if trial.known:
                server.register(SUBJECT, ORDER)
            server.fail_next(*node)
            urls.append(server.url)
        client: Any
        schema: Any
        if ours:
            client = SchemaRegistryClient({"url": urls, "request.timeout.ms": 300, **CONF}, clock=StandingClock())
            schema = Schema(ORDER)
        else:
            client = confluent.SchemaRegistryClient({"url": ",".join(urls), **CONF})
            schema = confluent.Schema(ORDER, "AVRO")
        stack.enter_context(client)
        ends: list[str] = []

        def register() -> None:
            try:
                got = client.register_schema(SUBJECT, schema)
                ends.append("registered" if got == RIGHT_ID else f"**wrong id** {got}")
            except Exception as error:  # noqa: BLE001 any is an end
                ends.append(f"`{type(error).__name__}`")

        thread = threading.Thread(target=register, daemon=True)
        thread.start()
        thread.join(LONGEST)
        return ends[0] if ends else "**hangs**"


def table() -> str:
    """In Markdown: one line for all of a topic that end alike, and one each for where both clients do the same."""
    both: dict[str, dict[str, list[str]]] = {"registered": {}, "error": {}}
    rows: dict[tuple[str, str, str], list[str]] = {}
    counts = Counter[str](), Counter[str]()
    number = 0
    for number, trial in enumerate(trials(), 1):  # noqa: B007
        ours, theirs = (end_of(trial, ours=ours) for ours in (True, False))
        kinds = kind_of(ours), kind_of(theirs)
        for count, kind in zip(counts, kinds, strict=True):
            count[kind] += 1
        if kinds[0] == kinds[1] and kinds[0] in both:
            both[kinds[0]].setdefault(trial.topic, []).append(trial.name)
        else:
            rows.setdefault((trial.topic, ours, theirs), []).append(trial.name)
    ours, theirs = map(summary, counts)
    lines = [
        f"Of {number} registrations: {ours} here; {theirs} with Confluent's client {VERSION}.",
        "",
        f"| topic | what comes first | here | Confluent's {VERSION} |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {topic} | {'; '.join(names)} | {a} | {b} |" for (topic, a, b), names in sorted(rows.items())]
    for end, topics in both.items():
        lines.append("")
        lines.append(
            f"Both: {end}. " + " ".join(f"**{topic}**: {'; '.join(n)}." for topic, n in sorted(topics.items()))
        )
    return "\n".join(lines)


def kind_of(end: str) -> str:
    return "error" if end.startswith("`") else end.partition("** ")[0].strip("*")


def summary(count: Counter[str]) -> str:
    return ", ".join(f"{count[kind]} {kind}" for kind in KINDS if count[kind])


def written() -> str:
    """docs/compatibility.md with the table as it is now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"
