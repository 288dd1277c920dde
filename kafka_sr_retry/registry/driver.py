"""Moves every call on: one thread for each client decides, workers do what takes time.

The driver's thread owns all state of calls and outages, so none of it has a lock. What comes in comes by one inbox,
whose ``put`` never waits: a signal handler, a finalizer or a greenlet may ask too. A caller waits on its own queue.

Foreign code (listeners, log handlers, ``http.auth``, token functions, name look-ups) runs on workers alone, in the
caller's context variables: what blocks or raises there holds its own call up, and no other.
"""

from __future__ import annotations

import _thread
import contextvars
import heapq
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kafka_sr_retry.events import Event

from .attempts import Exchange, Question, Transport, attempt
from .call import Attempt, Done, Need, Steps, Turn, Until, Walk, without_token
from .clock import Clock
from .outages import Outages
from .policy import Break, Outcome
from .request import RegistryRequest, Reply

IDLE = 2.0
"""Seconds without work after which a client's threads end."""

WATCH = 0.25
"""Seconds after which a caller who waits looks whether there is a driver; one that has not begun by then never will."""

TIME_IS_OVER = "The time given for this call is over; the request goes on"
CLOSED = "The client was closed: use a new one, or close it after the last message"

_T = TypeVar("_T")

_workers: dict[int, _Worker] = {}
"""By their threads. No ``threading.local``, which knows no greenlet where gevent has patched threads later."""


class NoThread(Exception):  # noqa: N818
    """No thread can be started."""


class Driver:
    """The threads of one client: the driver's, at most ``max_in_flight`` workers, as many again in place of such as
    hang beyond their limits, and one for tokens. Idle ones end.

    Args:
        clock: for deadlines and waits.
        max_in_flight: attempts under way at once.
        look_again: seconds after which an attempt is looked at first, as its connecting may have a limit of its own.
        on_close: closes the connections.
    """

    def __init__(
        self, clock: Clock, max_in_flight: int, look_again: float, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._look_again = look_again
        self._on_close = on_close
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._claim = threading.Lock()  # held by the driver's thread while it is one
        self._booting = threading.Lock()
        self._boot_until = 0.0
        self._unbooted = 0.0
        self._calls: dict[Any, _Running] = {}
        self._telling: set[_Running] = set()
        self._waiting: dict[_Running, None] = {}
        self._shared: dict[Any, _Job] = {}
        self._timers: _Timers[_Running] = _Timers()
        self._limits: _Timers[_Job] = _Timers()
        self._worlds: dict[Outages, int] = {}
        lost: set[_Worker] = set()
        self._pool = _Pool(max_in_flight, lost, max_in_flight, self._inbox.put)
        self._tokens = _Pool(1, lost, max_in_flight, self._inbox.put)
        self._closed = False

    def __len__(self) -> int:
        """Calls under way."""
        return len(self._calls) + len(self._telling)

    # -- on the callers' threads --------------------------------------------------------------

    def ask(self, question: Question, until: float) -> Any:
        """What ``question.settle`` makes of the answer; where ``until`` comes first, a ``Failure`` with what is known.

        Raises:
            NoThread: none can be started.
        """
        self._leave_place()
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        caller = _Caller(question, self._clock.now(), until, reply.put, contextvars.copy_context())
        sent = time.monotonic()
        self._send(caller)
        while True:
            left = until - self._clock.now()
            try:
                return _returned(reply.get(timeout=max(0.0, min(left, WATCH))))
            except queue.Empty:
                if left <= WATCH:
                    return _returned(caller.leave(self._clock.now()))
            if not self._boot_unless_there() or self._unbooted > sent:
                raise NoThread

    def start(self, question: Question, until: float) -> None:
        """``ask`` without a wait for the answer."""
        self._send(_Caller(question, self._clock.now(), until, _ignore, contextvars.copy_context()))

    def run(self, function: Callable[[], _T], seconds: float) -> _T:
        """What somebody else's function returns or raises, on a worker; called once for all who wait for it.

        Raises:
            TimeoutError: it has not ended in time, and goes on.
            NoThread: none can be started.
        """
        self._leave_place()
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        context = contextvars.copy_context()
        limit = time.monotonic() + seconds
        self._send(_Job(lambda _: context.run(function), self._pool, deliver=[reply.put], limit=limit, shared=function))
        try:
            value: _T = _returned(reply.get(timeout=max(0.0, seconds)))
        except queue.Empty:
            raise TimeoutError from None
        return value

    def attempt(
        self,
        transport: Transport,
        request: RegistryRequest[Any],
        endpoint: str,
        headers: Mapping[str, str],
        *,
        request_id: str,
        seconds: float,
    ) -> Reply:
        """One attempt, without a call around it; raises ``NoThread``."""
        exchange = transport.begin(request, endpoint, headers, request_id=request_id, seconds=seconds)
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        limit = time.monotonic() + min(self._look_again, seconds)
        self._send(_Job(lambda _: exchange.run(), self._pool, deliver=[answer.put], limit=limit, exchange=exchange))
        reply: Reply = _returned(answer.get())
        return reply

    def soon(self, function: Callable[[], object]) -> None:
        """Has a worker call it; for the driver's own thread."""
        self._inbox.put(_Job(lambda _: function(), self._pool))

    def close(self) -> None:
        """Ends all waits, attempts and threads; waits for none of them."""
        self._closed = True
        self._inbox.put(None)
        if not self._claim.locked() and not self._booting.locked():
            self._on_close()

    def _leave_place(self) -> None:
        """Of a worker whose listener, or whatever it runs, asks its own client, and would wait for its own place."""
        worker = _workers.get(_thread.get_ident())
        if worker is not None:
            self._inbox.put(worker)

    def _send(self, message: _Caller | _Job) -> None:
        if not self._boot_unless_there():
            raise NoThread
        self._inbox.put(message)
        self._boot_unless_there()  # the one that was there may have ended meanwhile

    def _boot_unless_there(self) -> bool:
        """False where no thread can be started. A bare thread starts the driver's: ``Thread.start`` takes a lock that a
        signal handler may find held by the very thread that it has interrupted.
        """
        now = time.monotonic()
        if self._claim.locked() or not (self._booting.acquire(blocking=False) or now > self._boot_until):
            return True
        try:
            self._boot_until = now + WATCH
            _thread.start_new_thread(self._boot, ())
        except BaseException as error:
            self._booted()
            if isinstance(error, RuntimeError) and error.__traceback__ and error.__traceback__.tb_next is None:
                return False
            raise  # a signal handler's
        return True

    def _boot(self) -> None:
        try:
            threading.Thread(target=self._drive, name="kafka-sr-retry-driver", daemon=True).start()
        except RuntimeError:
            self._unbooted = time.monotonic()
        self._booted()

    def _booted(self) -> None:
        with suppress(RuntimeError):  # another has, who was started although this one was about to
            self._booting.release()

    # -- on the driver's thread ---------------------------------------------------------------

    def _drive(self) -> None:
        while self._claim.acquire(blocking=False):
            try:
                self._serve()
            finally:
                self._claim.release()
            if self._inbox.empty():
                return

    def _serve(self) -> None:
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
                if isinstance(message, _Caller):
                    self._join(message)
                elif isinstance(message, _Worker):
                    self._pool.write_off(message)
                    self._tokens.write_off(message)
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
        return self._pool.works or self._tokens.works

    def _next_message(self) -> Any:
        if not self._calls and not self._works:
            return self._inbox.get(timeout=IDLE)
        timer, limit = self._timers.first(), self._limits.first()
        seconds = min(
            IDLE if timer is None else timer - self._clock.now(),
            IDLE if limit is None else limit - time.monotonic(),
        )
        return self._clock.take(self._inbox, max(0.0, seconds), idle=not self._works)

    def _join(self, caller: _Caller) -> None:
        question, now = caller.question, self._clock.now()
        running = self._calls.get(question.request)
        if running is None and not self._closed:
            known = question.known(now)
            if known is not None:
                caller.deliver(known)
                return
            events: list[Event] = []
            walk = Walk(question.request, question.world, caller.began, events.append)
            running = _Running(question, walk, walk.steps(now), caller.context, events)
            self._calls[question.request] = running
            self._worlds.setdefault(question.world.outages, question.world.outages.stirred)
        if running is None:
            caller.deliver(caller.leave(now, CLOSED))
            return
        caller.running = running
        running.callers.append(caller)
        running.walk.last_until(caller.until)
        self._arm(running)
        if running.at is None:
            self._advance(running)

    def _advance(self, running: _Running, value: Any = None) -> None:
        """Moves it on until it wants something that takes time."""
        self._waiting.pop(running, None)
        self._step(running, value)
        if not running.over:
            self._arm(running)

    def _step(self, running: _Running, value: Any) -> None:
        pool = self._tokens if running.question.is_token else self._pool
        now = self._clock.now()
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

    def _need(self, running: _Running, need: Need) -> None:
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
            if need.waits and running.at is need:
                if isinstance(value, BaseException):
                    self._ended(running, value, self._clock.now())
                else:
                    self._advance(running, value)

        asks = _Caller(access, self._clock.now(), until, deliver, running.context.copy())
        self._join(asks)
        running.needs = asks.running if need.waits else None

    def _attempt(self, running: _Running, step: Attempt, pool: _Pool) -> None:
        question, clock = running.question, self._clock
        job = _Job(lambda job: attempt(question, step, clock, job.hold), pool, running, running.take_events())
        self._limits.set(job, time.monotonic() + min(self._look_again, step.seconds))
        self._dispatch(job)

    def _tell(self, running: _Running, pool: _Pool) -> None:
        events = running.take_events()
        if events:
            self._dispatch(_Job(_ignore, pool, running, events))

    def _errand(self, job: _Job) -> None:
        """A job without a call."""
        if job.shared is not None:
            first = self._shared.setdefault(job.shared, job)
            if first is not job:
                first.deliver += job.deliver
                return
        if job.limit is not None:
            self._limits.set(job, job.limit)
        self._dispatch(job)

    def _errand_done(self, job: _Job, value: Any) -> None:
        if job.shared is not None:
            self._shared.pop(job.shared, None)
        for deliver in job.deliver:
            deliver(value)

    def _dispatch(self, job: _Job) -> None:
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

    def _finished(self, job: _Job) -> None:
        job.pool.is_back(job.worker)
        self._limits.cancel(job)
        value, job.value = job.value, None
        if job.given_up:
            return
        if job.running is None:
            self._errand_done(job, value)
        else:
            self._go_on(job.running, value)

    def _go_on(self, running: _Running, value: Any) -> None:
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

    def _ended(self, running: _Running, result: Any, now: float) -> None:
        self._calls.pop(running.question.request, None)
        self._waiting.pop(running, None)
        running.steps.close()
        running.over = True
        if not isinstance(result, BaseException):
            try:
                result = running.question.settle(result, now)
            except BaseException as error:  # noqa: BLE001
                result = error
        running.result = result
        pool = self._tokens if running.question.is_token else self._pool
        self._telling.add(running)
        if running.job is None:
            self._tell(running, pool)
        if running.job is None:
            self._deliver(running)

    def _deliver(self, running: _Running) -> None:
        """To all who wait, once its events are told."""
        self._telling.discard(running)
        self._timers.cancel(running)
        callers, running.callers = running.callers, []
        for caller in callers:
            caller.deliver(running.result)

    # -- time ---------------------------------------------------------------------------------

    def _arm(self, running: _Running) -> None:
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

    def _out_of_time(self, running: _Running, now: float) -> None:
        job, running.job = running.job, None
        if job is not None:
            self._give_up(job)
        if running.over:
            self._deliver(running)
        elif isinstance(running.at, Attempt):
            self._advance(running, _no_answer(running.at, job, now))
        elif isinstance(running.at, Need):
            needed, running.needs = running.needs, None
            self._advance(running, needed and needed.walk.so_far(now, 0.0, "Gave up because total.timeout.ms is over"))
        else:
            self._advance(running)

    def _wake(self, running: _Running) -> None:
        if running.job is None:
            self._advance(running)
        else:
            running.woken = True

    def _wake_stirred(self) -> None:
        """An outage has ended, or a probe has: waiting calls look again."""
        for outages, seen in tuple(self._worlds.items()):
            while outages.stirred != seen:
                self._worlds[outages] = seen = outages.stirred
                for running in tuple(self._waiting):
                    if running.question.world.outages is outages:
                        self._wake(running)

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
                self._advance(running, _no_answer(running.at, job, self._clock.now()))

    def _give_up(self, job: _Job) -> None:
        """What does not end is left to its worker, which another takes the place of."""
        job.given_up = True
        self._limits.cancel(job)
        if job.exchange is not None:
            job.exchange.end()
        if job.worker is not None:
            job.pool.write_off(job.worker)

    # -- workers ------------------------------------------------------------------------------

    def _serve_pools(self) -> None:
        for pool in (self._pool, self._tokens):
            while pool.jobs and pool.has_place():
                job = pool.jobs.popleft()
                if not job.given_up:
                    pool.start(job)
            while pool.turns and not pool.jobs and pool.has_place():
                running = pool.turns.popleft()
                if not running.over and isinstance(running.at, Turn):
                    self._advance(running)

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
        self._pool.end()
        self._tokens.end()
        self._worlds.clear()


def _no_answer(step: Attempt, job: _Job | None, now: float) -> Done:
    """For an attempt whose limit has passed."""
    outcome = Outcome(broke=Break.TIMEOUT, detail=Break.TIMEOUT.value)
    if job is None or job.exchange is None:
        return Done(None, step.start.url, now, now, 0.0)
    exchange = job.exchange
    reply = exchange.gave_up()
    outcome = Outcome(broke=reply.broke, detail=reply.detail)
    return Done(outcome, reply.url, exchange.began, now, exchange.seconds)


def _returned(value: Any) -> Any:
    if isinstance(value, BaseException):
        raise value
    return value


def _ignore(_: Any) -> None:
    pass


@dataclass(eq=False, slots=True)
class _Caller:
    """Who waits for a question's answer until a time of the clock."""

    question: Question
    began: float
    until: float
    deliver: Callable[[Any], object]
    context: contextvars.Context
    running: _Running | None = None

    def leave(self, now: float, advice: str = TIME_IS_OVER) -> Any:
        """What it hears before the answer is there."""
        running = self.running
        if running is not None and running.over:
            return running.result
        walk = running.walk if running else Walk(self.question.request, self.question.world, self.began, _ignore)
        known = walk.so_far(now, now - self.began, advice)
        needed = running.needs if running else None
        return without_token(known, needed.walk.so_far(now, 0.0, advice)) if needed else known


@dataclass(eq=False, slots=True)
class _Running:
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
    callers: list[_Caller] = field(default_factory=list)
    at: Any = None
    needs: _Running | None = None
    job: _Job | None = None
    woken: bool = False
    over: bool = False
    result: Any = None

    def take_events(self) -> list[Event]:
        """All of them, or none where nobody wants any."""
        taken, self.events[:] = self.events[:], ()
        return taken if any(map(self.question.wants, taken)) else []


@dataclass(eq=False, slots=True)
class _Job:
    """What a worker does: tells a call's events, then works.

    Attributes:
        deliver: to those who wait for it without a call.
        shared: what is one and the same job for all of them.
        exchange: of an attempt, once it has begun.
        given_up: whether nobody waits for it any more.
    """

    work: Callable[[_Job], Any]
    pool: _Pool
    running: _Running | None = None
    events: list[Event] = field(default_factory=list)
    deliver: list[Callable[[Any], object]] = field(default_factory=list)
    shared: Any = None
    limit: float | None = None
    worker: _Worker | None = None
    exchange: Exchange | None = None
    given_up: bool = False
    value: Any = None

    def hold(self, exchange: Exchange) -> None:
        """So that the driver can end it."""
        self.exchange = exchange

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


class _Worker:
    """A daemon thread that does one job after another."""

    def __init__(self, done: Callable[[_Job], object]) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.put = self._jobs.put
        self._done = done
        threading.Thread(target=self._run, name="kafka-sr-retry-worker", daemon=True).start()

    def _run(self) -> None:
        here = _thread.get_ident()
        _workers[here] = self
        while (job := self._jobs.get()) is not None:
            job.do()
            self._done(job)
            del job
        _workers.pop(here, None)


class _Pool:
    """Workers: at most ``places`` that can be had.

    Args:
        lost: those that were written off, and are not back; shared by pools.
        most: that none is started beyond so many of these.

    Attributes:
        jobs: that wait for a worker.
        turns: calls that wait until one is to be had.
    """

    def __init__(self, places: int, lost: set[_Worker], most: int, done: Callable[[Any], object]) -> None:
        self._places, self._lost, self._most, self._done = places, lost, most, done
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self.jobs: deque[_Job] = deque()
        self.turns: deque[_Running] = deque()

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
            self._idle.append(_Worker(self._done))
        except RuntimeError:
            if self._busy:
                return False
            raise NoThread from None
        return True

    def start(self, job: _Job) -> None:
        job.worker = self._idle.pop()
        self._busy.add(job.worker)
        job.worker.put(job)

    def write_off(self, worker: _Worker) -> None:
        if worker in self._busy:
            self._busy.discard(worker)
            self._lost.add(worker)

    def is_back(self, worker: _Worker | None) -> None:
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


class _Timers(Generic[_T]):
    """One time for each of many items."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _T]] = []
        self._times: dict[_T, tuple[float, int]] = {}
        self._order = itertools.count()

    def set(self, item: _T, at: float) -> None:
        if item in self._times and self._times[item][0] == at:
            return
        order = next(self._order)
        self._times[item] = at, order
        heapq.heappush(self._heap, (at, order, item))
        self._sweep()

    def cancel(self, item: _T) -> None:
        self._times.pop(item, None)
        self._sweep()

    def _sweep(self) -> None:
        """So that items whose time was set anew, or that have none, take no memory."""
        if len(self._heap) > 64 + 2 * len(self._times):
            self._heap = [(at, order, item) for item, (at, order) in self._times.items()]
            heapq.heapify(self._heap)

    def items(self) -> list[_T]:
        return list(self._times)

    def first(self) -> float | None:
        """The earliest time."""
        while self._heap:
            at, order, item = self._heap[0]
            if self._times.get(item) == (at, order):
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[_T]:
        """The items whose time has come, and that have none any more."""
        found: list[_T] = []
        while (at := self.first()) is not None and at <= now:
            item = heapq.heappop(self._heap)[2]
            del self._times[item]
            found.append(item)
        return found
