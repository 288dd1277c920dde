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

Then what our settings cost, with smaller fleets (`SWEEP`), in plots beside the first: `simulation-settings.png`,
`simulation-deadline.png`.

* `retries.max.wait.ms` and the number of URLs, in an outage of ten minutes. The URLs are nodes of one cluster: all are
  down together, and together they serve 500 requests a second.
* A cold start (`--starts` prints it alone): so many processes begin within so many seconds, and the registry is well. A
  process with several new subjects counts as several.
* `total.timeout.ms` and the outage's length. Each producer begins at a random moment of the outage; what is told is
  whether its first message was lost.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import platform
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from kafka_sr_retry.config import ClientSettings, parse
from kafka_sr_retry.registry.outages import Ask, Call, Outages, Stop
from kafka_sr_retry.registry.policy import Outcome, decide

DOWN = 60.0
RATE = 500
QUEUE = 1000
REFUSAL_SECONDS = 0.005
SETTINGS = parse(ClientSettings, {"url": "http://registry"})

SWEEP = 500
"""Producers of a fleet where settings are compared."""

LONG = 600.0
"""Seconds: an outage in which the longest of the waits compared is reached."""

MAX_WAITS = (1, 2, 5, 10, 20, 60)
URLS = (1, 2, 3)
TOTAL_TIMEOUTS = (5, 10, 30, 60, 120)
OUTAGES = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180)
STARTS = ((1_000, 1), (1_000, 10), (10_000, 1), (10_000, 10), (10_000, 60), (50_000, 10), (50_000, 120))


class Registry:
    """Answers a request that arrives at ``now``: when, and whether it served."""

    def __init__(self, down: float) -> None:
        self.down = down
        self._free = down
        self.load: Counter[int] = Counter()

    def ask(self, now: float) -> tuple[float, bool]:
        self.load[int(now)] += 1
        if now < self.down or (self._free - now) * RATE > QUEUE:
            return now + REFUSAL_SECONDS, False
        self._free = max(self._free, now) + 1 / RATE
        return self._free, True


Producer = Generator[float, float, None]
"""Yields when it wants to go on, and is sent that moment; ends when its schema is registered."""


@dataclass
class Fleet:
    """What one policy did to the registry and to its producers."""

    settings: ClientSettings = SETTINGS
    registry: Registry = field(default_factory=lambda: Registry(DOWN))
    through: list[float] = field(default_factory=list)
    failed_calls: int = 0
    lost_first: int = 0

    def ours(self, start: float, interval: float, randoms: random.Random) -> Producer:
        settings = self.settings
        outages = Outages(
            settings.urls.urls, random=randoms.random, base=settings.retries_wait, cap=settings.retries_max_wait
        )
        now = yield start
        while True:
            began = now
            call = Call("schema", True, began, began + settings.total_timeout, settings.total_timeout)
            while not isinstance(step := outages.plan(call, now), Stop):
                if not isinstance(step, Ask):
                    now = yield step.until
                    continue
                asked = now
                answered, served = self.registry.ask(now)
                now = yield answered
                row = decide(Outcome(status=200 if served else 503))
                outages.report(call, step.endpoint, row.action, now, began=asked, blame=row.blame)
                if served:
                    self.through.append(now)
                    return
            outages.leave(call)
            self.failed_calls += 1
            self.lost_first += began == start
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


def run(policy: str, producers: int, interval: float, fleet: Fleet, begin_within: float = 10) -> Fleet:
    randoms = random.Random(1)
    order = itertools.count()
    agenda: list[tuple[float, int, Producer]] = []
    for _ in range(producers):
        producer = getattr(fleet, policy)(randoms.uniform(0, begin_within), interval, randoms)
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
    down = fleet.registry.down
    through = sorted(moment - down for moment in fleet.through)
    settled = range(int(down) - 20, int(down))
    return Figures(
        policy=policy,
        requests=load.total(),
        requests_a_second_while_down=sum(load[second] for second in settled) / len(settled),
        peak_while_down=max(load[second] for second in load if second < down),
        peak_after_return=max(load[second] for second in load if second >= down),
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


@dataclass(frozen=True)
class Cost:
    """Of ``retries.max.wait.ms`` and of the number of URLs. Requests are those to all URLs together."""

    max_wait: int
    urls: int
    requests_a_second_while_down: float
    peak_after_return: int
    half_through: float
    all_but_one_percent_through: float


def costs() -> list[Cost]:
    found = []
    for urls, max_wait in itertools.product(URLS, MAX_WAITS):
        names = [f"http://registry-{number}" for number in range(urls)]
        settings = parse(ClientSettings, {"url": names, "retries.max.wait.ms": max_wait * 1000})
        one = figures("ours", run("ours", SWEEP, 1.0, Fleet(settings, Registry(LONG))))
        found.append(
            Cost(
                max_wait,
                urls,
                one.requests_a_second_while_down,
                one.peak_after_return,
                one.half_through,
                one.all_but_one_percent_through,
            )
        )
    return found


@dataclass(frozen=True)
class Lost:
    """Share of first messages that were lost, in an outage of so many seconds under a ``total.timeout.ms``."""

    total_timeout: int
    outage: int
    percent: float


def losses() -> list[Lost]:
    found = []
    for total_timeout, outage in itertools.product(TOTAL_TIMEOUTS, OUTAGES):
        settings = parse(ClientSettings, {"url": "http://registry", "total.timeout.ms": total_timeout * 1000})
        fleet = run("ours", SWEEP, 1.0, Fleet(settings, Registry(outage)), begin_within=outage)
        found.append(Lost(total_timeout, outage, 100 * fleet.lost_first / SWEEP))
    return found


@dataclass(frozen=True)
class ColdStart:
    """Of ``processes`` that begin within ``seconds``; the last is through so many seconds after the first began."""

    policy: str
    processes: int
    seconds: int
    requests: int
    peak_a_second: int
    all_but_one_percent_through: float
    last_through: float
    failed_calls: int


def cold_starts() -> list[ColdStart]:
    found = []
    for (processes, seconds), policy in itertools.product(STARTS, ("ours", "confluent")):
        fleet = run(policy, processes, 1.0, Fleet(registry=Registry(0.0)), begin_within=seconds)
        load, through = fleet.registry.load, sorted(fleet.through)
        almost = through[int(len(through) * 0.99)]
        found.append(
            ColdStart(
                policy, processes, seconds, load.total(), max(load.values()), almost, through[-1], fleet.failed_calls
            )
        )
    return found


# distinguishable with any colour vision (Okabe and Ito), and in grey by their marks
_LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"))


_LOADS = (20, 50, 100, 200, 500, 1000, 2000, 5000)
_SECONDS = (1, 2, 5, 10, 20, 50, 100)


def plot_costs(path: Path, found: list[Cost]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (load, through) = pyplot.subplots(2, 1, figsize=(8, 7.5), sharex=True, layout="constrained")
    for urls, (colour, mark) in zip(URLS, _LINES, strict=False):
        mine = [cost for cost in found if cost.urls == urls]
        waits = [cost.max_wait for cost in mine]
        style: dict[str, Any] = {"color": colour, "marker": mark, "label": f"{urls} URL{'s' if urls > 1 else ''}"}
        load.plot(waits, [1000 / SWEEP * cost.requests_a_second_while_down for cost in mine], **style)
        through.plot(waits, [cost.all_but_one_percent_through for cost in mine], **style)
    for axes in (load, through):
        axes.axvline(20, color="0.4", linestyle=":", label="default")
        axes.grid(alpha=0.3)
        axes.set(xscale="log", yscale="log", xticks=MAX_WAITS, xticklabels=MAX_WAITS)
        axes.minorticks_off()
    load.set(yticks=_LOADS, yticklabels=_LOADS)
    through.set(yticks=_SECONDS, yticklabels=_SECONDS)
    load.set_title(f"Registry down for {LONG:.0f} s: what retries.max.wait.ms and the number of URLs cost")
    load.set_ylabel("requests per second while down,\nper 1,000 producers")
    load.legend()
    through.set(
        xlabel="retries.max.wait.ms, in seconds", ylabel="seconds after the return\nuntil 99 % of producers are through"
    )
    figure.savefig(path, dpi=100)


def plot_losses(path: Path, found: list[Lost]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for total_timeout, (colour, mark) in zip(TOTAL_TIMEOUTS, _LINES, strict=True):
        mine = [lost for lost in found if lost.total_timeout == total_timeout]
        label = f"total.timeout.ms = {total_timeout} s" + (" (default)" if total_timeout == 30 else "")
        axes.plot([o.outage for o in mine], [o.percent for o in mine], color=colour, marker=mark, label=label)
    axes.grid(alpha=0.3)
    axes.set(
        xlabel="length of the outage, in seconds",
        ylabel="first messages that failed, in %",
        title="Messages with a new schema, begun during an outage",
        ylim=(0, 101),
        xlim=(0, OUTAGES[-1] + 2),
    )
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--producers", type=int, default=100_000)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between an application's messages")
    parser.add_argument("--plot", type=Path, help="of the fleets; those of the settings are written beside it")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--starts", action="store_true", help="cold starts alone")
    arguments = parser.parse_args()
    starts = cold_starts()
    _print(starts)
    if arguments.starts:
        return
    found, lost = costs(), losses()
    _print(found)
    _print(lost)
    fleets = {name: run(name, arguments.producers, arguments.interval, Fleet()) for name in ("ours", "confluent")}
    results = [asdict(figures(name, fleet)) for name, fleet in fleets.items()]
    for name in results[0]:
        print(
            f"{name.replace('_', ' '):30}",
            *(f"{r[name]:>14,.1f}" if name != "policy" else f"{r[name]:>14}" for r in results),
        )
    if arguments.plot:
        plot(arguments.plot, {"ours": fleets["ours"], "Confluent's client": fleets["confluent"]}, arguments.producers)
        plot_costs(arguments.plot.with_stem(f"{arguments.plot.stem}-settings"), found)
        plot_losses(arguments.plot.with_stem(f"{arguments.plot.stem}-deadline"), lost)
    if arguments.json:
        told = {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "fleets": results,
            "starts": [asdict(each) for each in starts],
            "costs": [asdict(cost) for cost in found],
            "losses": [asdict(each) for each in lost],
        }
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")


def _print(rows: list[Any]) -> None:
    names = list(asdict(rows[0]))
    print(*(f"{name.replace('_', ' '):>29}" for name in names))
    for row in rows:
        print(*(f"{value:>29}" if isinstance(value, str) else f"{value:>29,.1f}" for value in asdict(row).values()))
    print()


if __name__ == "__main__":
    main()
