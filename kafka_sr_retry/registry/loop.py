"""What the driver's thread does: it owns all state of calls and outages, so none of it has a lock."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable
from typing import Any

from kafka_sr_retry.events import Event

from .attempts import attempt
from .call import Walk
from .clock import Clock
from .outages import Outages
from .policy import Break, Outcome
from .request import Reply
from .steps import Attempt, Done, Need, Turn, Until, follows_a_round
from .timers import Timers
from .workers import SOMEBODY_LEAVES, Caller, Job, NoThread, Pool, Running, Worker, ignore

IDLE = 2.0
"""Seconds without work after which a client's threads end."""

CLOSED = "The client was closed: use a new one, or close it after the last message"


class Loop:
    """Takes what comes in, moves calls on, and gives workers what takes time.

    Args:
        inbox: callers and jobs of others, jobs that are done, ``SOMEBODY_LEAVES``, and ``None`` to end all.

    Attributes:
        pool: for jobs of others; ``ours``: for work of our own.
        closed: whether no more calls are taken.
    """

    def __init__(
        self,
        clock: Clock,
        max_in_flight: int,
        look_again: float,
        inbox: queue.SimpleQueue[Any],
        on_close: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._look_again = look_again
        self._inbox = inbox
        self._on_close = on_close
        self._calls: dict[Any, Running] = {}
        self._telling: set[Running] = set()
        self._waiting: dict[Running, None] = {}
        self._shared: dict[Any, Job] = {}
        self._timers: Timers[Running] = Timers()
        self._limits: Timers[Job] = Timers()
        self._worlds: dict[Outages, int] = {}
        lost: set[Worker] = set()
        self._pools = [Pool(places, lost, max_in_flight, inbox.put) for places in (max_in_flight, 1, 1)]
        self.pool, self.ours, self._tokens = self._pools
        self.closed = False

    def __len__(self) -> int:
        """Calls under way."""
        return len(self._calls) + len(self._telling)

    def serve(self) -> None:
        while True:
            try:
                message = self._next_message()
            except queue.Empty:
                if not self._calls and not self._works:
                    break
            else:
                if message is None:
                    self._end_all()
                    return
                if message is SOMEBODY_LEAVES:
                    self._release()
                elif isinstance(message, Caller):
                    self._join(message)
                elif isinstance(message, Worker):
                    for pool in self._pools:
                        pool.write_off(message)
                elif message.worker is None:
                    self._errand(message)
                else:
                    self._finished(message)
                message = None  # while it waits it holds no client
            self._look_at_limits()
            self._look_at_timers()
            self._wake_stirred()
            self._serve_pools()
        self._end_workers()

    @property
    def _works(self) -> bool:
        return any(pool.works for pool in self._pools)

    def _next_message(self) -> Any:
        if not self._calls and not self._works:
            return self._inbox.get(timeout=IDLE)
        timer, limit = self._timers.first(), self._limits.first()
        seconds = min(
            IDLE if timer is None else timer - self._clock.now(),
            IDLE if limit is None else limit - time.monotonic(),
        )
        return self._clock.take(self._inbox, max(0.0, seconds), idle=not self._works)

    def _join(self, caller: Caller) -> None:
        question, now = caller.question, self._clock.now()
        running = self._calls.get(question.request)
        if question.left() or (self.closed and running is None):
            caller.deliver(caller.leave(now, CLOSED))
            return
        if running is None:
            known = question.known(now)
            if known is not None:
                caller.deliver(known)
                return
            events: list[Event] = []
            served = question.at_hand is not None
            walk = Walk(question.request, question.world, caller.began, events.append, served=served)
            running = Running(question, walk, walk.steps(now), caller.context, events)
            self._calls[question.request] = running
            self._worlds.setdefault(question.world.outages, question.world.outages.stirred)
        caller.running = running
        running.callers.append(caller)
        running.walk.last_until(caller.until)
        self._arm(running)
        if running.at is None:
            self._advance(running)

    def _advance(self, running: Running, value: Any = None) -> None:
        """Moves it on until it wants something that takes time."""
        self._waiting.pop(running, None)
        self._step(running, value)
        if not running.over:
            self._arm(running)

    def _step(self, running: Running, value: Any) -> None:
        pool = self._tokens if running.question.is_token else self.pool
        now = self._clock.now()
        if isinstance(value, Done) and value.outcome is not None and value.outcome.broke is Break.TIMEOUT:
            running.hand_over(now)
        while True:
            try:
                step = running.steps.send(None if running.at is None else (now, value))
            except StopIteration as end:
                self._ended(running, end.value, now)
                return
            except BaseException as error:  # noqa: BLE001 a fault of ours fails its own call
                self._ended(running, error, now)
                return
            running.at, value = step, None
            if follows_a_round(step):
                for each in (running, *(other for other in self._calls.values() if other.needs is running)):
                    each.hand_over(now)
            if isinstance(step, Turn):
                try:
                    if now < running.walk.deadline and (pool.turns or not pool.has_place()):
                        pool.turns.append(running)
                        return
                except NoThread as error:
                    self._ended(running, error, now)
                    return
            elif isinstance(step, Attempt):
                self._attempt(running, step, pool)
                return
            elif isinstance(step, Until):
                self._waiting[running] = None
                self._tell(running, pool)
                return
            else:
                if step.waits:
                    self._tell(running, pool)
                    if running.job is None:
                        self._need(running, step)
                    return
                self._need(running, step)

    def _need(self, running: Running, need: Need) -> None:
        """Access for a call, which may be asked for by others too."""
        access = running.question.access
        if access is None or (not need.waits and access.request in self._calls):
            return
        at_hand = running.question.world.credentials.at_hand(self._clock.now(), need.denied)
        if need.waits and at_hand is not None:  # another call's, which came meanwhile
            self._advance(running, at_hand)
            return
        until = running.walk.deadline if need.waits else self._clock.now() + access.world.total_timeout

        def deliver(value: Any) -> None:
            running.needs = None
            if need.waits and running.at is need and not running.over:
                if isinstance(value, BaseException):
                    self._ended(running, value, self._clock.now())
                else:
                    self._advance(running, value)

        asks = Caller(access, self._clock.now(), until, deliver, running.context.copy())
        self._join(asks)
        running.needs = asks.running if need.waits else None

    def _attempt(self, running: Running, step: Attempt, pool: Pool) -> None:
        question, clock = running.question, self._clock
        job = Job(lambda job: attempt(question, step, clock, job.hold), pool, running, running.take_events())
        self._limits.set(job, time.monotonic() + min(self._look_again, step.seconds))
        self._dispatch(job)

    def _tell(self, running: Running, pool: Pool) -> None:
        events = running.take_events()
        if events:
            self._dispatch(Job(ignore, pool, running, events))

    def _errand(self, job: Job) -> None:
        """A job without a call."""
        if job.shared is not None:
            first = self._shared.setdefault(job.shared, job)
            if first is not job:
                first.deliver += job.deliver
                return
        if job.limit is not None:
            self._limits.set(job, job.limit)
        self._dispatch(job)

    def _errand_done(self, job: Job, value: Any) -> None:
        if job.shared is not None:
            self._shared.pop(job.shared, None)
        for deliver in job.deliver:
            deliver(value)

    def _dispatch(self, job: Job) -> None:
        if job.running is not None:
            job.running.job = job
        try:
            if job.pool.has_place():
                job.pool.start(job)
            else:
                job.pool.jobs.append(job)
        except NoThread as error:
            self._limits.cancel(job)
            if job.running is None:
                self._errand_done(job, error)
            else:
                job.running.job = None
                if job.running.over:
                    self._deliver(job.running)
                elif isinstance(job.running.at, Attempt):
                    self._ended(job.running, error, self._clock.now())

    def _finished(self, job: Job) -> None:
        job.pool.is_back(job.worker)
        self._limits.cancel(job)
        value, job.value = job.value, None
        if job.given_up:
            return
        if job.running is None:
            self._errand_done(job, value)
        else:
            self._go_on(job.running, value)

    def _go_on(self, running: Running, value: Any) -> None:
        """Its job is done."""
        running.job = None
        if running.over:
            self._deliver(running)
        elif isinstance(running.at, Attempt):
            if not isinstance(value, Done):
                now = self._clock.now()
                outcome = Outcome(broke=Break.UNSENDABLE, detail=f"{Break.UNSENDABLE.value}: {type(value).__name__}")
                value = Done(outcome, running.at.start.url, now, now, running.at.seconds)
            self._advance(running, value)
        elif isinstance(running.at, Need):
            self._need(running, running.at)
        elif running.woken:
            running.woken = False
            self._advance(running)

    def _ended(self, running: Running, result: Any, now: float) -> None:
        self._calls.pop(running.question.request, None)
        self._waiting.pop(running, None)
        running.steps.close()
        if not isinstance(result, BaseException):
            try:
                result = running.question.settle(result, now)
            except BaseException as error:  # noqa: BLE001
                result = error
        running.result = result
        running.over = True  # a caller who leaves meanwhile reads the result then
        pool = self._tokens if running.question.is_token else self.pool
        self._telling.add(running)
        if running.job is None:
            self._tell(running, pool)
        if running.job is None:
            self._deliver(running)

    def _deliver(self, running: Running) -> None:
        """To all who wait, once its events are told."""
        self._telling.discard(running)
        self._timers.cancel(running)
        callers, running.callers = running.callers, []
        for caller in callers:
            caller.deliver(running.result)

    # -- time ---------------------------------------------------------------------------------

    def _arm(self, running: Running) -> None:
        at = running.walk.deadline
        self._timers.set(running, min(at, running.at.at) if isinstance(running.at, Until) else at)

    def _look_at_timers(self) -> None:
        now = self._clock.now()
        for running in self._timers.due(now):
            if now >= running.walk.deadline:
                self._out_of_time(running, now)
            elif isinstance(running.at, Until) and now >= running.at.at:
                self._wake(running)
            elif not running.over:
                self._arm(running)

    def _out_of_time(self, running: Running, now: float) -> None:
        job, running.job = running.job, None
        if job is not None:
            self._give_up(job)
        if running.over:
            self._deliver(running)
        elif isinstance(running.at, Attempt):
            done = Done(None, running.at.start.url, now, now, 0.0)
            self._advance(running, job.no_answer(running.at, now) if job else done)
        elif isinstance(running.at, Need):
            needed, running.needs = running.needs, None
            self._advance(running, needed and needed.walk.so_far(now, 0.0, "Gave up because total.timeout.ms is over"))
        else:
            self._advance(running)

    def _wake(self, running: Running) -> None:
        if running.job is None:
            self._advance(running)
        else:
            running.woken = True

    def _wake_stirred(self) -> None:
        """An outage has ended, or a probe has: waiting calls look again. Or one has begun that ends attempts."""
        for outages, seen in tuple(self._worlds.items()):
            while outages.stirred != seen:
                self._worlds[outages] = seen = outages.stirred
                self._end_attempts(outages)
                for running in tuple(self._waiting):
                    if running.question.world.outages is outages:
                        self._wake(running)

    def _end_attempts(self, outages: Outages) -> None:
        """Registrations at endpoints that hang: their questions are better asked elsewhere, if there is time."""
        hanging, outages.holds.hanging = outages.holds.hanging, {}
        now = self._clock.now()
        for running in tuple(self._calls.values()) if hanging else ():
            job, step = running.job, running.at
            exchange = None if job is None else job.exchange
            if job is None or exchange is None or not isinstance(step, Attempt) or not step.request.registers:
                continue
            waited, longest = now - exchange.began, hanging.get(step.endpoint, math.inf)
            is_here = running.question.world.outages is outages and job.value is None
            is_late = running.walk.deadline - now < 1.0
            if waited >= longest and is_here and not is_late and exchange.gave_up().broke is Break.TIMEOUT:
                running.job = None
                self._give_up(job)
                outcome = Outcome(broke=Break.TIMEOUT, detail=f"no answer in {waited:.1f} s, nor to others there")
                self._advance(running, Done(outcome, step.start.url, exchange.began, now, waited))

    def _look_at_limits(self) -> None:
        now = time.monotonic()
        for job in self._limits.due(now):
            exchange, running = job.exchange, job.running
            due = now + self._look_again if exchange is None else exchange.due(now)
            if due > now and (running is not None or exchange is not None):
                self._limits.set(job, due)
            elif running is None:
                self._give_up(job)
                self._errand_done(job, TimeoutError() if exchange is None else exchange.gave_up())
            elif isinstance(running.at, Attempt):
                running.job = None
                self._give_up(job)
                self._advance(running, job.no_answer(running.at, self._clock.now()))

    def _give_up(self, job: Job) -> None:
        """What does not end is left to its worker, which another takes the place of."""
        job.given_up = True
        self._limits.cancel(job)
        if job.exchange is not None:
            job.exchange.end()
        if job.worker is not None:
            job.pool.write_off(job.worker)

    # -- workers ------------------------------------------------------------------------------

    def _serve_pools(self) -> None:
        for pool in self._pools:
            while pool.jobs and _may_go_on(pool):
                job = pool.jobs.popleft()
                if not job.given_up:
                    self._dispatch(job)
            while pool.turns and not pool.jobs and _may_go_on(pool):
                running = pool.turns.popleft()
                if not running.over and isinstance(running.at, Turn):
                    self._advance(running)

    def _release(self) -> None:
        """Those who left; their questions go on for others, and for memory."""
        now = self._clock.now()
        for running in self._calls.values():
            for caller in [each for each in running.callers if each.question.left()]:
                running.callers.remove(caller)
                caller.deliver(caller.leave(now, CLOSED))

    def _end_all(self) -> None:
        for outages in self._worlds:
            outages.close()
        now = self._clock.now()
        for running in tuple(self._calls.values()):
            if running.job is not None:
                self._give_up(running.job)
                running.job = None
            for caller in running.callers:
                caller.deliver(caller.leave(now, CLOSED))
            running.callers.clear()
            outcome = Outcome(broke=Break.RESET, detail="the client was closed")
            self._advance(running, Done(outcome, "", now, now, 0.0))  # to its last events
        for job in self._limits.items():
            self._give_up(job)
            if job.running is None:
                closed = Reply("", Break.RESET, "the client was closed")
                self._errand_done(job, closed if job.exchange else TimeoutError())
        self._end_workers()
        self._on_close()

    def _end_workers(self) -> None:
        for pool in self._pools:
            pool.end()
        self._worlds.clear()


def _may_go_on(pool: Pool) -> bool:
    """What waited: also to hear that no worker can be started."""
    try:
        return pool.has_place()
    except NoThread:
        return True
