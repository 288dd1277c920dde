"""A fleet of producers meets a registry that is down for a minute.

    python benchmarks/simulation.py [--producers 100000] [--plot docs/simulation.png] [--json simulation.json]

On a virtual clock, with the real policy and the real endpoints. Assumptions, the same for both clients:

* Each producer is a process of its own with one URL, and wants one schema registered. It starts at a random moment of
  the outage's first ten seconds, and has a message each second until it is through (`--interval`).
* While the registry is down, each request is answered 503 after 5 ms. Afterwards it serves 500 requests a second, one
  after another; up to 1,000 wait in its queue, and more are answered 503 after 5 ms.
* Ours: the defaults. A call that fails is an error for the application, which comes back with its next message.
* Confluent's client 2.16: 3 retries, full jitter from 1 s doubling to 20 s, no breaker. A call that fails loses its
  message; the application asks again with the next one.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kafka_sr_retry.config import ClientSettings, parse
from kafka_sr_retry.endpoints import Ask, Call, Endpoints, Stop
from kafka_sr_retry.policy import Outcome, decide

DOWN = 60.0
RATE = 500
QUEUE = 1000
REFUSAL_SECONDS = 0.005
URL = "http://registry"
SETTINGS = parse(ClientSettings, {"url": URL})


class Registry:
    """Answers a request that arrives at ``now``: when, and whether it served."""

    def __init__(self) -> None:
        self._free = DOWN
        self.load: Counter[int] = Counter()

    def ask(self, now: float) -> tuple[float, bool]:
        self.load[int(now)] += 1
        if now < DOWN or (self._free - now) * RATE > QUEUE:
            return now + REFUSAL_SECONDS, False
        self._free = max(self._free, now) + 1 / RATE
        return self._free, True


Producer = Generator[float, float, None]
"""Yields when it wants to go on, and is sent that moment; ends when its schema is registered."""


@dataclass
class Fleet:
    """What one policy did to the registry and to its producers."""

    through: list[float] = field(default_factory=list)
    failed_calls: int = 0
    registry: Registry = field(default_factory=Registry)

    def ours(self, start: float, interval: float, randoms: random.Random) -> Producer:
        endpoints = Endpoints((URL,), random=randoms.random, base=SETTINGS.retries_wait, cap=SETTINGS.retries_max_wait)
        now = yield start
        while True:
            began = now
            call = Call("schema", True, began, lambda began=began: began + SETTINGS.total_timeout)
            while not isinstance(step := endpoints.plan(call, now), Stop):
                if not isinstance(step, Ask):
                    now = yield step.until
                    continue
                asked = now
                answered, served = self.registry.ask(now)
                now = yield answered
                row = decide(Outcome(status=200 if served else 503))
                with endpoints.changed:
                    endpoints.report(call, URL, row.action, now, began=asked)
                if served:
                    self.through.append(now)
                    return
            with endpoints.changed:
                endpoints.leave(call)
            self.failed_calls += 1
            now = yield max(now, began + interval)

    def confluent(self, start: float, interval: float, randoms: random.Random) -> Producer:
        now = yield start
        while True:
            began = now
            for attempt in range(4):
                answered, served = self.registry.ask(now)
                now = yield answered
                if served:
                    self.through.append(now)
                    return
                if attempt < 3:
                    now = yield now + randoms.random() * min(20.0, 2.0**attempt)
            self.failed_calls += 1
            now = yield max(now, began + interval)


def run(policy: str, producers: int, interval: float) -> Fleet:
    fleet = Fleet()
    randoms = random.Random(1)
    order = itertools.count()
    agenda: list[tuple[float, int, Producer]] = []
    for _ in range(producers):
        producer = getattr(fleet, policy)(randoms.uniform(0, 10), interval, randoms)
        agenda.append((next(producer), next(order), producer))
    heapq.heapify(agenda)
    while agenda:
        now, _, producer = agenda[0]
        try:
            heapq.heapreplace(agenda, (max(now, producer.send(now)), next(order), producer))
        except StopIteration:
            heapq.heappop(agenda)
    return fleet


@dataclass(frozen=True)
class Figures:
    """Seconds are counted from the registry's return."""

    policy: str
    requests: int
    requests_a_second_while_down: float
    peak_while_down: int
    peak_after_return: int
    half_through: float
    all_but_one_percent_through: float
    last_through: float
    failed_calls: int


def figures(policy: str, fleet: Fleet) -> Figures:
    load = fleet.registry.load
    through = sorted(moment - DOWN for moment in fleet.through)
    settled = range(int(DOWN) - 20, int(DOWN))
    return Figures(
        policy=policy,
        requests=load.total(),
        requests_a_second_while_down=sum(load[second] for second in settled) / len(settled),
        peak_while_down=max(load[second] for second in load if second < DOWN),
        peak_after_return=max(load[second] for second in load if second >= DOWN),
        half_through=through[len(through) // 2],
        all_but_one_percent_through=through[int(len(through) * 0.99)],
        last_through=through[-1],
        failed_calls=fleet.failed_calls,
    )


def plot(path: Path, fleets: dict[str, Fleet], producers: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (load, through) = pyplot.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
    end = 0
    for name, fleet in fleets.items():
        seconds = range(int(max(fleet.registry.load)) + 1)
        end = max(end, seconds[-1])
        load.plot(seconds, [fleet.registry.load[s] for s in seconds], label=name)
        moments = sorted(fleet.through)
        through.plot(moments, [100 * (i + 1) / producers for i in range(len(moments))], label=name)
    for axes in (load, through):
        axes.axvspan(0, DOWN, color="0.92", label="registry down")
        axes.grid(alpha=0.3)
    load.axhline(RATE, color="0.4", linestyle=":", label=f"capacity, {RATE}/s")
    load.set(yscale="log", ylabel="requests a second", title=f"{producers:,} producers, registry down for {DOWN:.0f} s")
    load.legend(loc="upper right")
    through.set(xlabel="seconds", ylabel="% of producers through", ylim=(0, 101), xlim=(0, end))
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--producers", type=int, default=100_000)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between an application's messages")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    fleets = {name: run(name, arguments.producers, arguments.interval) for name in ("ours", "confluent")}
    results = [asdict(figures(name, fleet)) for name, fleet in fleets.items()]
    for name in results[0]:
        print(
            f"{name.replace('_', ' '):30}",
            *(f"{r[name]:>14,.1f}" if name != "policy" else f"{r[name]:>14}" for r in results),
        )
    if arguments.plot:
        plot(arguments.plot, {"ours": fleets["ours"], "Confluent's client": fleets["confluent"]}, arguments.producers)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
