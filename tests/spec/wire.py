"""The cases' answers on the wire, as faults of the embedded registry."""

from __future__ import annotations

from typing import Any

from kafka_sr_retry.testing import Exchange, Fault, close_connection, hang, reset, truncate
from kafka_sr_retry.testing._messages import CONTENT_TYPE, Answer

from . import WORDS, body_of

_BROKEN = {"stale": close_connection(), "reset": reset(), "timeout": hang(), "half": truncate()}
REFUSED = "http://127.0.0.1:1"
"""Where nobody listens."""


GOOD = [word for word in WORDS if word.startswith("200") and word != "200 html"]


def fault(case: dict[str, Any]) -> Fault | None:
    """What plays the answer of ``case`` on the wire, if that can be played."""
    if "wire" in case:
        raw = "\r\n".join(case["wire"]).encode()
        return Fault(f"wire({raw!r})", lambda exchange: _write(exchange, raw))
    answer = case["answer"]
    if "broke" in answer:
        return _BROKEN.get(answer["broke"])
    headers = dict(answer.get("headers", {}))
    if "json" in answer:
        headers.setdefault("Content-Type", CONTENT_TYPE)
    whole = Answer(answer["status"], body_of(answer), tuple(headers.items()))
    return Fault(f"answer({answer['status']})", lambda exchange: exchange.send(whole))


def sequences(case: dict[str, Any]) -> dict[str, list[str]]:
    """Node -> its answers, of a transcript."""
    found: dict[str, list[str]] = {node: [] for node in case["nodes"]}
    for node, answer in attempts(case):
        found[node].append(answer)
    return found


def attempts(case: dict[str, Any]) -> list[tuple[str, str]]:
    """(node, answer) of each attempt of a transcript."""
    found = []
    for line in case["play"]:
        nodes = line.get("to", "").split()
        found += [
            (nodes[number % len(nodes)], line["answer"]) for number in range(line.get("times", 1) if nodes else 0)
        ]
    return found


def on_the_wire(case: dict[str, Any]) -> list[list[tuple[str, Fault]] | None] | None:
    """What each node of a transcript answers, ``None`` where nobody listens.

    Given is nothing for a transcript that the wire cannot play, or that hangs on the time or on chance.
    """
    calls = [line for line in case["play"] if "call" in line or "close" in line]
    if len(calls) > 1 or "token" in case:
        return None
    given = sequences(case)
    last = case["play"][-1]
    in_vain = last.get("fails") == "RegistryUnavailableError" and "max_retries" not in case.get("world", {})
    several = len(given) > 1 and any(len(answers) > 2 for answers in given.values())
    if in_vain or several:
        return None
    found: list[list[tuple[str, Fault]] | None] = []
    for answers in given.values():
        played = [(answer, how) for answer in answers if (how := fault({"answer": WORDS[answer]}))]
        if answers and set(answers) == {"refused"}:
            found.append(None)
        elif len(played) == len(answers) and not {"stale", "timeout"} & {*answers}:
            found.append(played)
        else:
            return None
    return found


def _write(exchange: Exchange, raw: bytes) -> None:
    exchange.connection.write(raw)
    exchange.connection.end()
