"""The cases in which a leader is killed: of two embedded nodes, or of real ones that the environment names."""

from __future__ import annotations

import math
import sys
import threading
import time
import uuid
from pathlib import Path

from resilience_driver import Contender, Driver

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.stack import nodes

SUBJECTS = 137
A_SECOND = 4
DEATHS = 2

WHOSE = "two nodes of yours" if nodes.are_real() else "two embedded nodes"


def crash_the_leader(driver: Driver, contender: Contender) -> dict[str, float | str]:
    """Five producers, each a process with one new schema, at the moment the leader is gone."""
    with nodes.running() as registry:
        killed: list[int] = []
        elections: list[float] = []
        watch = threading.Thread(target=lambda: elections.append(registry.elected()))

        def start() -> None:
            killed.append(registry.kill_leader())
            watch.start()

        lanes = [[(0.0, topic)] for topic in _topics(5)]
        done = driver.drive(contender, {"url": ",".join(registry.urls)}, lanes, spread=True, start=start)
        watch.join()
        registry.bring_back(killed[0])
    after = [one.ended - elections[0] for one in done if one.schema_id]
    lost = [one for one in done if one.schema_id is None]
    return {
        "lost": len(lost),
        "after_s": max(after, default=math.nan),
        "gave_up_s": min((one.seconds for one in lost), default=math.nan),
        "errors": "; ".join(sorted({one.error for one in lost})),
    }


def crash_it_again(driver: Driver, contender: Contender) -> dict[str, float | str]:
    """Whoever leads is killed and brought back, twice, while new subjects come, each on a thread of its own."""
    with nodes.running() as registry:
        crashes: list[float] = []

        def crash() -> None:
            began = time.monotonic()
            for _ in range(DEATHS):
                time.sleep(2)
                killed = registry.kill_leader()
                registry.elected()
                registry.bring_back(killed)
            crashes.append(time.monotonic() - began)

        crashing = threading.Thread(target=crash)
        lanes = [[(number / A_SECOND, topic)] for number, topic in enumerate(_topics(SUBJECTS))]
        done = driver.drive(contender, {"url": ",".join(registry.urls)}, lanes, start=crashing.start)
        crashing.join()
    lost = [one for one in done if one.schema_id is None]
    return {
        "sent": len(lanes),
        "lost": len(lost),
        "slowest_s": max(one.seconds for one in done),
        "crashes_s": crashes[0],
        "errors": "; ".join(sorted({one.error for one in lost})),
    }


def _topics(number: int) -> list[str]:
    run = uuid.uuid4().hex[:8]
    return [f"resilience-{run}-{one}" for one in range(number)]
