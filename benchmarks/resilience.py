"""The registry's bad days: Confluent's client and this one, with their defaults, against the same scripted registry.

    python benchmarks/resilience.py [--case NAME ...] [--rounds 5] [--peer-seconds 30] [--json resilience.json]

* The registry is in this process, each client in one of its own. The clock starts once that process has used another
  client of the same kind, so that no case measures imports.
* Short cases are measured in several rounds, each in a new process, and their medians told; the others once.
* Nobody waits longer than `--peer-seconds` for Confluent's client, after the last message began. Ours has a minute.
* Confluent's serializer has `subject.name.strategy.type=TOPIC`: its default asks the registry for the subject's name.

In two cases the leader of two nodes is killed. They are embedded ones; real ones, where the environment names them (see
tests/integration/stack/nodes.py), keep the subjects:

    SCHEMA_REGISTRY_URL=http://one:8081,http://two:8081 REGISTRY_LOG_COMMAND='...$NODE' REGISTRY_KILL_COMMAND='...' \
        REGISTRY_RESTART_COMMAND='...' python benchmarks/resilience.py --case leader-killed rolling-crash
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from resilience_cases import CASES, Case, Numbers
from resilience_driver import Contender, Driver
from rich.console import Console
from rich.table import Table

from kafka_sr_retry.testing import SchemaRegistryServer

PACKAGES = ("kafka-sr-retry", "confluent-kafka", "fastavro", "requests", "httpx2", "httpx")
OURS = Contender("ours", 60.0)


@dataclass(frozen=True)
class Result:
    """What one client made of one case.

    Attributes:
        numbers: medians of the rounds; infinity is what took longer than ``limit`` seconds, ``nan`` what was not.
        reached: whether that is the goal.
    """

    case: str
    client: str
    rounds: int
    limit: float
    shown: str
    reached: bool
    numbers: Numbers


def measure(case: Case, contender: Contender, driver: Driver, rounds: int) -> Result:
    rounds = rounds if case.short else 1
    numbers = _medians([case.measure(driver, contender) for _ in range(rounds)])
    shown = case.shown.format(**{name: _text(name, value, contender.limit) for name, value in numbers.items()})
    return Result(case.name, contender.name, rounds, contender.limit, shown, case.reached(numbers), numbers)


def _medians(rounds: Sequence[Numbers]) -> Numbers:
    """Of words, what was said most often."""
    return {
        name: statistics.mode(each[name] for each in rounds)
        if isinstance(value, str)
        else statistics.median(float(each[name]) for each in rounds)
        for name, value in rounds[0].items()
    }


def _text(name: str, value: float | str, limit: float) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return f"> {limit:g} s"
    if not name.endswith("_s"):
        return f"{value:.3g}"
    return f"{value:.2f} s" if abs(value) >= 1 else f"{value * 1000:.3g} ms"


# -- what is shown --------------------------------------------------------------------------------


def table(cases: Sequence[Case], results: Sequence[Result]) -> Table:
    made = Table(show_lines=True, expand=True)
    made.add_column("Case", ratio=5)
    made.add_column("Confluent's client", ratio=6)
    made.add_column("ours", ratio=6)
    made.add_column("goal", ratio=4)
    for case in cases:
        mine = {result.client: result for result in results if result.case == case.name}
        verdict = "[green]reached[/]" if mine["ours"].reached else "[red]missed[/]"
        goal = f"{case.goal}: {verdict}{_ratio(case, mine['confluent'], mine['ours'])}"
        made.add_row(case.about, mine["confluent"].shown, mine["ours"].shown, goal)
    return made


def _ratio(case: Case, peer: Result, ours: Result) -> str:
    if not case.ratio:
        return ""
    theirs, own = (float(result.numbers[case.ratio]) for result in (peer, ours))
    if math.isfinite(theirs):
        return f", {theirs / own:.3g}x"
    return f", > {peer.limit / own:.3g}x"


def report(results: Sequence[Result], arguments: argparse.Namespace) -> str:
    """The results and where they come from, as strict JSON."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "memory_gib": round(memory / 2**30, 1),
        },
        "rounds": arguments.rounds,
        "peer_seconds": arguments.peer_seconds,
        "results": [
            {
                **dataclasses.asdict(result),
                "numbers": {name: _finite(value, result.limit) for name, value in result.numbers.items()},
            }
            for result in results
        ],
    }
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _finite(value: float | str, limit: float) -> float | str | None:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return None
    return f"> {limit:g}" if math.isinf(value) else round(value, 6)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:
            continue
    return found


# -- the command ----------------------------------------------------------------------------------


def run(cases: Sequence[Case], rounds: int, peer_seconds: float) -> list[Result]:
    results = []
    with SchemaRegistryServer() as healthy:
        driver = Driver(healthy.url)
        for case in cases:
            for contender in (Contender("confluent", peer_seconds), OURS):
                print(f"{case.name}: {contender.name} ...", file=sys.stderr)
                results.append(measure(case, contender, driver, rounds))
                print(f"    {results[-1].shown}", file=sys.stderr)
    return results


def _case(name: str) -> Case:
    for case in CASES:
        if case.name == name:
            return case
    raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(case.name for case in CASES)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=_case, nargs="+", default=list(CASES), metavar="NAME", help="only these")
    parser.add_argument("--rounds", type=int, default=5, help="of each short case; the median is told")
    parser.add_argument("--peer-seconds", type=float, default=30.0, help="how long to wait for Confluent's client")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    results = run(arguments.case, arguments.rounds, arguments.peer_seconds)
    if arguments.json:
        arguments.json.write_text(report(results, arguments), encoding="utf-8")
    console = Console()
    console.print(table(arguments.case, results))
    told = ", ".join(f"{name} {number}" for name, number in _versions().items())
    console.print(f"{datetime.now(timezone.utc):%Y-%m-%d}, Python {platform.python_version()}, {told}")


if __name__ == "__main__":
    main()
