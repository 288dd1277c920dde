"""All files, each once those that it refers to are through; as many at once as there can be."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from kafka_sr_retry.cli.signals import heard

from .outcome import INTERRUPTED, Outcome
from .plan import Planned

AT_ONCE = 16
"""Files under way: a deployment should not fall on its registry with all it has."""

Work = Callable[[Planned, Mapping[int, Outcome]], Outcome]
"""(file, what came of those that it refers to)."""


def each(
    plan: Sequence[Planned], work: Work, on_outcome: Callable[[Outcome], None], stop: Callable[[], None]
) -> tuple[list[Outcome], int]:
    """What came of each, in the plan's order, and the signal that ended it early, or 0.

    Args:
        on_outcome: called in the plan's order, on this thread, as soon as all before are through.
        stop: called at the first Ctrl-C or SIGTERM; it ends the waits of what is under way.
    """
    done: dict[int, Outcome] = {}
    told = 0
    running: dict[Future[Outcome], int] = {}
    waiting = list(range(len(plan)))
    with _interrupts(stop) as signals, ThreadPoolExecutor(AT_ONCE) as pool:
        while waiting or running:
            left = []
            for number in waiting:
                outcome = _without_trying(plan[number], plan, done, bool(signals))
                if outcome is not None:
                    done[number] = outcome
                elif len(running) < AT_ONCE and all(r.file is None or r.file in done for r in plan[number].references):
                    running[pool.submit(work, plan[number], done)] = number
                else:
                    left.append(number)
            progress = len(left) < len(waiting)
            waiting = left
            if running and not (progress and len(running) < AT_ONCE and waiting):
                finished, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)  # without end: deaf on Windows
                for future in finished:
                    done[running.pop(future)] = future.result()
            while told in done:
                on_outcome(done[told])
                told += 1
    return [done[number] for number in range(len(plan))], (signals[0] if signals else 0)


def _without_trying(
    planned: Planned, plan: Sequence[Planned], done: Mapping[int, Outcome], interrupted: bool
) -> Outcome | None:
    if planned.wrong:
        return Outcome(planned, "failed", why=planned.wrong)
    for reference in planned.references:
        if reference.file is not None and reference.file in done and not done[reference.file].is_good:
            other = plan[reference.file].file.path
            return Outcome(planned, "not tried", why=f"it refers to {reference.name}, in {other}, which has failed")
    return Outcome(planned, "not tried", why=INTERRUPTED) if interrupted else None


@contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM calls ``stop``; a second one ends the command as it would without us."""
    came: list[int] = []
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in heard()}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: object) -> None:
        came.append(number)
        restore()
        stop()

    for number in before:
        signal.signal(number, handle)
    try:
        yield came
    finally:
        restore()
