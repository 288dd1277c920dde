"""python -m trials.fuzz: see the package."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from collections import defaultdict
from contextlib import suppress
from importlib.metadata import version
from multiprocessing.connection import wait

from .work import KINDS, LARGEST, Played, kind_of, work

Left = tuple[int, int]
"""KiB and open files that a process holds."""

SILENT = 120.0
"""Seconds after which a case that says nothing is given up."""

PACKAGES = ("confluent-kafka", "fastavro", "requests", "urllib3")


class Lane:
    """A process, and the cases that it has still to play."""

    def __init__(self, seed: int, numbers: list[int]) -> None:
        self.seed = seed
        self.left = numbers
        self.start()

    def start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.heard, to = spawn.Pipe(duplex=False)
        self.process = spawn.Process(target=work, args=(self.seed, list(self.left), to), daemon=True)
        self.process.start()
        to.close()
        self.at: int | None = None
        self.since = time.monotonic()

    def lost(self, how: str) -> Played:
        """The process ended, or hangs, in a case: that one is a fault, and another process goes on behind it."""
        self.process.kill()
        self.process.join()
        number = self.left[0] if self.at is None else self.at
        self.left = self.left[self.left.index(number) + 1 :]
        self.start()
        return Played(number, fault=f"the process {how}")


def run(
    seed: int, numbers: list[int], processes: int, played: list[Played], ends: list[tuple[Left | None, Left]]
) -> None:
    """Adds to ``played`` and ``ends`` as it goes, so that an interrupt loses nothing."""
    lanes = [Lane(seed, share) for each in range(processes) if (share := numbers[each::processes])]
    while lanes:
        ready = wait([lane.heard for lane in lanes], timeout=5)
        for lane in list(lanes):
            if lane.heard not in ready:
                if time.monotonic() - lane.since > SILENT:
                    played.append(tell(seed, lane.lost("hangs")))
                continue
            lane.since = time.monotonic()
            try:
                told = lane.heard.recv()
            except EOFError:
                lane.process.join(10)
                played.append(tell(seed, lane.lost(f"ended with {lane.process.exitcode}")))
                continue
            if isinstance(told, int):
                lane.at = told
            elif isinstance(told, Played):
                played.append(tell(seed, told))
                lane.left = lane.left[1:]
                if len(played) % 2000 == 0:
                    print(f"... {len(played)} of {len(numbers)}", flush=True)
            else:
                ends.append(told)
                lanes.remove(lane)
                lane.process.join(30)


def tell(seed: int, one: Played) -> Played:
    if one.fault:
        print(f"\ncase {one.number} ({kind_of(one.number)}): {one.fault}")
        print(f"again: python -m trials.fuzz --seed {seed} --case {one.number}", flush=True)
    return one


def table(played: list[Played]) -> None:
    by_kind: dict[str, list[Played]] = defaultdict(list)
    for one in played:
        by_kind[kind_of(one.number)].append(one)
    print(
        f"\n{'kind':<11}{'cases':>7}{'calls':>8}{'errors':>8}{'rested':>8}{'slowest':>9}{'latest':>8}{'grew':>9}{'faults':>8}"
    )
    for kind, ones in [*by_kind.items(), ("all", played)]:
        print(
            f"{kind:<11}{len(ones):>7}{sum(one.calls for one in ones):>8}{sum(one.refused for one in ones):>8}"
            f"{sum(one.rested for one in ones):>8}{max(one.seconds for one in ones):>7.1f} s"
            f"{max(one.late for one in ones):>6.1f} s{max(one.grown for one in ones) / 1024:>5.0f} MiB"
            f"{sum(bool(one.fault) for one in ones):>8}"
        )


def shown(left: Left) -> str:
    return f"{left[0] / 1024:.0f} MiB, {left[1]} files"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trials.fuzz", description="Generated answers, schemas and objects."
    )
    parser.add_argument("--cases", type=int, default=40_000, help="default 40000")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--only", choices=KINDS, metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--case", type=int, help="play this one again")
    parser.add_argument("--processes", type=int, default=2 * (os.cpu_count() or 1), help="default: two for each core")
    given = parser.parse_args()
    numbers = range(given.cases) if given.case is None else [given.case]
    chosen = [number for number in numbers if given.only in (None, kind_of(number))]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(f"seed {given.seed}: {len(chosen)} cases, Python {platform.python_version()}")
    print(versions, flush=True)
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")  # else most of what a process holds is glibc's, one for each thread
    began = time.monotonic()
    played: list[Played] = []
    ends: list[tuple[Left | None, Left]] = []
    with suppress(KeyboardInterrupt):
        run(given.seed, chosen, given.processes, played, ends)
    if not played:
        print("no cases")
        return 2
    table(played)
    for first, last in ends:
        if first is not None:
            print(f"a process: {shown(first)} after 300 cases, {shown(last)} at its end")
    faults = [one for one in played if one.fault]
    seconds = time.monotonic() - began
    print(f"{len(played)} of {len(chosen)} cases in {seconds:.0f} s, limit {LARGEST // 1024} MiB: {len(faults)} faults")
    for one in faults[:50]:
        print(f"  python -m trials.fuzz --seed {given.seed} --case {one.number}   # {kind_of(one.number)}")
    return 1 if faults or len(played) < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
