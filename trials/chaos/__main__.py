"""Seeded faults between real producers, a real registry and a real Kafka; a reader tells what came of the messages."""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
from collections import Counter
from pathlib import Path

import confluent_kafka
import fastavro

from tests.integration import stack

from . import schedule, stand
from .run import Result, run

SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trials.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of all that is drawn")
    parser.add_argument("--seconds", type=float, default=120, help="of chaos (default: 120)")
    parser.add_argument("--schedule", type=Path, metavar="FILE", help="play this one, as a run has saved it")
    given = parser.parse_args()
    again = f"make chaos SEED={given.seed} SECONDS={given.seconds:g}"
    changes = schedule.load(given.schedule) if given.schedule else schedule.make(given.seed, given.seconds)
    try:
        with stand.running() as running:
            saved = running.folder / "schedule.jsonl"
            schedule.save(saved, changes)
            kills = sum(change.action == schedule.KILL for change in changes)
            print(f"seed {given.seed}; changes of the proxies: {len(changes) - kills}, kills: {kills}", flush=True)
            print(f"schedule and logs: {os.path.relpath(running.folder)}", flush=True)
            result = run(given.seed, changes, running)
    except stack.StackError as error:
        sys.exit(f"chaos: {error}")
    _show(result)
    for fault in result.faults[:SHOWN]:
        print(f"FAULT {fault.kind}: {fault.uid}: {fault.detail}")
    if result.faults:
        kinds = Counter(fault.kind for fault in result.faults)
        print("faults: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) + f". Again: {again}")
        print(f"or: python -m trials.chaos --seed {given.seed} --schedule {os.path.relpath(saved)}")
        return 1
    print("no fault")
    return 0


def _show(result: Result) -> None:
    schemas = len({message.schema["name"] for message in result.sent})
    print(f"messages: {len(result.sent)} of {schemas} schemas under {result.subjects} subjects")
    told = Counter((report.outcome, report.error) for sent in result.sent for report in sent.reports)
    for (outcome, error), count in sorted(told.items()):
        print(f"  {outcome}: {count}  {error}".rstrip())
    print(f"read back: {len(result.arrived)}")
    ended = [message.late for message in result.sent]
    print(f"calls that came to their deadline: {sum(late > -0.1 for late in ended)}", end="; ")
    print(f"the latest ended {max(ended) * 1000:+.0f} ms from its own")
    left = sum(fault.kind == "left behind" for fault in result.faults)
    print(f"before the first call: {result.before}; more than that afterwards: {left}")
    print(f"the latest change of the proxies came {result.delayed:.1f} s after its time")
    print(f"Python {platform.python_version()}, confluent-kafka {confluent_kafka.__version__}", end=", ")
    print(f"fastavro {fastavro.__version__}, {os.cpu_count()} cores")


if __name__ == "__main__":
    sys.exit(main())
