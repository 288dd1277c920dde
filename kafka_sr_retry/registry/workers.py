"""A call that is under way: who waits for it, and the workers that do for it what takes time."""

from __future__ import annotations

import _thread
import contextvars
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kafka_sr_retry.events import Event

from .attempts import Exchange, Question
from .call import Walk, without_token
from .policy import Outcome
from .steps import Attempt, Done, Steps

TIME_IS_OVER = "The time given for this call is over (its timeout, else total.timeout.ms); the request goes on"


SOMEBODY_LEAVES = object()
"""Comes into an inbox when one of several clients that share it was closed."""


def here() -> tuple[Any, ...]:
    """The process, and what its threads and queues are, looked up each time: gevent replaces them."""
    return os.getpid(), _thread.start_new_thread, queue.SimpleQueue


workers_by_thread: dict[int, Worker] = {}
"""No ``threading.local``, which knows no greenlet where gevent has patched threads later."""


class NoThread(Exception):  # noqa: N818
    """No thread can be started."""


def ignore(_: Any) -> None:
    pass


@dataclass(eq=False, slots=True)
class Caller:
    """Who waits for a question's answer until a time of the clock."""

    question: Question
    began: float
    until: float
    deliver: Callable[[Any], object]
    context: contextvars.Context
    running: Running | None = None

    def leave(self, now: float, advice: str = TIME_IS_OVER) -> Any:
        """What it hears before the answer is there."""
        running = self.running
        if running is not None and running.over:
            return running.result
        walk = running.walk if running else Walk(self.question.request, self.question.world, self.began, ignore)
        known = walk.so_far(now, now - self.began, advice)
        needed = running.needs if running else None
        known = without_token(known, needed.walk.so_far(now, 0.0, advice)) if needed else known
        at_hand = self.question.at_hand if advice is TIME_IS_OVER else None
        return (at_hand and at_hand(known, now)) or known


@dataclass(eq=False, slots=True)
class Running:
    """A walk under way.

    Attributes:
        at: what it wants, ``None`` before its first step.
        needs: the walk of the access that it waits for.
        job: what a worker does for it now.
        woken: whether it goes on as soon as that is done.
        over: whether ``result`` is there, and only its events are still to be told.
    """

    question: Question
    walk: Walk
    steps: Steps
    context: contextvars.Context
    events: list[Event]
    callers: list[Caller] = field(default_factory=list)
    at: Any = None
    needs: Running | None = None
    job: Job | None = None
    woken: bool = False
    over: bool = False
    result: Any = None

    def hand_over(self, now: float) -> None:
        """What serves in an answer's place, to all who wait, if there is something; the walk goes on behind them."""
        at_hand = self.question.at_hand
        found = at_hand(self.walk.so_far(now, now - self.walk.began, ""), now) if at_hand and self.callers else None
        if found is not None:
            callers, self.callers = self.callers, []
            for caller in callers:
                caller.deliver(found)

    def take_events(self) -> list[Event]:
        """All of them, or none where nobody wants any."""
        taken, self.events[:] = self.events[:], ()
        return taken if any(map(self.question.wants, taken)) else []


@dataclass(eq=False, slots=True)
class Job:
    """What a worker does: tells a call's events, then works.

    Attributes:
        deliver: to those who wait for it without a call.
        shared: what is one and the same job for all of them.
        exchange: of an attempt, once it has begun.
        given_up: whether nobody waits for it any more.
    """

    work: Callable[[Job], Any]
    pool: Pool
    running: Running | None = None
    events: list[Event] = field(default_factory=list)
    deliver: list[Callable[[Any], object]] = field(default_factory=list)
    shared: Any = None
    limit: float | None = None
    worker: Worker | None = None
    exchange: Exchange | None = None
    given_up: bool = False
    value: Any = None

    def hold(self, exchange: Exchange) -> None:
        """So that the driver can end it."""
        self.exchange = exchange

    def no_answer(self, step: Attempt, now: float) -> Done:
        """For an attempt whose limit has passed."""
        if self.exchange is None:
            return Done(None, step.start.url, now, now, 0.0)
        reply = self.exchange.gave_up()
        outcome = Outcome(broke=reply.broke, detail=reply.detail)
        return Done(outcome, reply.url, self.exchange.began, now, self.exchange.seconds)

    def do(self) -> None:
        try:
            if self.running is None:
                self.value = self.work(self)
                return
            context = self.running.context
            if self.events:
                context.run(self._tell, self.running.question.emit)
            # a copy: a worker that was given up may still be inside its own
            self.value = context.copy().run(self.work, self)
        except BaseException as error:  # noqa: BLE001 whatever it is, who waits must hear of it
            self.value = error

    def _tell(self, emit: Callable[[Event], None]) -> None:
        for event in self.events:
            emit(event)


class Worker:
    """A daemon thread that does one job after another."""

    def __init__(self, done: Callable[[Job], object]) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.put = self._jobs.put
        self._done = done
        threading.Thread(target=self._run, name="kafka-sr-retry-worker", daemon=True).start()

    def _run(self) -> None:
        here = _thread.get_ident()
        workers_by_thread[here] = self
        while (job := self._jobs.get()) is not None:
            job.do()
            self._done(job)
            del job
        workers_by_thread.pop(here, None)


class Pool:
    """Workers: at most ``places`` that can be had.

    Args:
        lost: those that were written off, and are not back; shared by pools.
        most: that none is started beyond so many of these.

    Attributes:
        jobs: that wait for a worker.
        turns: calls that wait until one is to be had.
    """

    def __init__(self, places: int, lost: set[Worker], most: int, done: Callable[[Any], object]) -> None:
        self._places, self._lost, self._most, self._done = places, lost, most, done
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self.jobs: deque[Job] = deque()
        self.turns: deque[Running] = deque()

    @property
    def works(self) -> bool:
        return bool(self._busy or self._lost or self.jobs)

    def has_place(self) -> bool:
        """Whether a worker is to be had; raises ``NoThread`` where none can be started and none will come back."""
        if self._idle:
            return True
        if len(self._busy) >= self._places or len(self._lost) > self._most:
            return False
        try:
            self._idle.append(Worker(self._done))
        except RuntimeError:
            if self._busy:
                return False
            raise NoThread from None
        return True

    def start(self, job: Job) -> None:
        job.worker = self._idle.pop()
        self._busy.add(job.worker)
        job.worker.put(job)

    def write_off(self, worker: Worker) -> None:
        if worker in self._busy:
            self._busy.discard(worker)
            self._lost.add(worker)

    def is_back(self, worker: Worker | None) -> None:
        for workers in (self._busy, self._lost):
            if worker in workers:
                workers.discard(worker)
                if len(self._busy) + len(self._idle) < self._places:
                    self._idle.append(worker)
                else:
                    worker.put(None)

    def end(self) -> None:
        """Lets them go, each when it has done what it is at."""
        for worker in (*self._idle, *self._busy, *self._lost):
            worker.put(None)
        for workers in (self._idle, self._busy, self._lost):
            workers.clear()
