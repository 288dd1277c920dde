"""Moves every call on: one thread for each client decides, workers do what takes time.

The driver's thread owns all state of calls and outages, so none of it has a lock. What comes in comes by one inbox,
whose ``put`` never waits: a signal handler, a finalizer or a greenlet may ask too. A caller waits on its own queue.

Foreign code (listeners, log handlers, ``http.auth``, token functions, name look-ups) runs on workers alone, in the
caller's context variables: what blocks or raises there holds its own call up, and no other.
"""

from __future__ import annotations

import _thread
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from .attempts import Question, Transport
from .clock import Clock
from .loop import Loop
from .request import RegistryRequest, Reply
from .workers import SOMEBODY_LEAVES, Caller, Job, NoThread, ignore, workers_by_thread

WATCH = 0.25
"""Seconds after which a caller who waits looks whether there is a driver; one that has not begun by then never will."""

_T = TypeVar("_T")


class Driver:
    """The threads of one client: the driver's, at most ``max_in_flight`` workers, as many again in place of such as
    hang beyond their limits, one for tokens and one for work of our own. Idle ones end.

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
        self._loop = Loop(clock, max_in_flight, look_again, self._inbox, on_close)

    def __len__(self) -> int:
        """Calls under way."""
        return len(self._loop)

    # -- on the callers' threads --------------------------------------------------------------

    def ask(self, question: Question, until: float) -> Any:
        """What ``question.settle`` makes of the answer; where ``until`` comes first, a ``Failure`` with what is known.

        Raises:
            NoThread: none can be started.
        """
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        under_way = self.begin(question, until, reply.put)
        while True:
            left = under_way.left()
            try:
                return returned(reply.get(timeout=max(0.0, min(left, WATCH))))
            except queue.Empty:
                result = under_way.look(left, WATCH)
                if result is not None:
                    return returned(result)

    def begin(self, question: Question, until: float, deliver: Callable[[Any], object]) -> UnderWay:
        """``ask`` without the wait.

        Args:
            deliver: given the result once, on any thread.
        """
        self._leave_place()
        caller = Caller(question, self._clock.now(), until, deliver, contextvars.copy_context())
        under_way = UnderWay(self, self._clock, caller, time.monotonic())
        self._send(caller)
        return under_way

    def start(self, question: Question, until: float) -> None:
        """``ask`` without a wait for the answer."""
        self._send(Caller(question, self._clock.now(), until, ignore, contextvars.copy_context()))

    def run(self, function: Callable[[], _T], seconds: float) -> _T:
        """What somebody else's function returns or raises, on a worker; called once for all who wait for it.

        Raises:
            TimeoutError: it has not ended in time, and goes on.
            NoThread: none can be started.
        """
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.begin_run(function, seconds, reply.put)
        try:
            value: _T = returned(reply.get(timeout=max(0.0, seconds)))
        except queue.Empty:
            raise TimeoutError from None
        return value

    def begin_run(
        self, function: Callable[[], object], seconds: float, deliver: Callable[[Any], object], ours: bool = False
    ) -> None:
        """``run`` without the wait; ``ours`` is what waits for no registry, and for none of those who do."""
        self._leave_place()
        context = contextvars.copy_context()
        limit = time.monotonic() + seconds
        pool = self._loop.ours if ours else self._loop.pool
        self._send(Job(lambda _: context.run(function), pool, deliver=[deliver], limit=limit, shared=function))

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
        self._send(Job(lambda _: exchange.run(), self._loop.pool, deliver=[answer.put], limit=limit, exchange=exchange))
        reply: Reply = returned(answer.get())
        return reply

    def soon(self, function: Callable[[], object]) -> None:
        """Has a worker call it; for the driver's own thread."""
        self._inbox.put(Job(lambda _: function(), self._loop.pool))

    def release(self) -> None:
        """Ends the waits of those whose ``Question.left`` says so."""
        self._inbox.put(SOMEBODY_LEAVES)

    def close(self) -> None:
        """Ends all waits, attempts and threads; waits for none of them."""
        self._loop.closed = True
        self._inbox.put(None)
        if not self._claim.locked() and not self._booting.locked():
            self._on_close()

    def attend(self, sent: float) -> None:
        """Sees to it that there is a driver for what was sent at that time; raises ``NoThread``."""
        if not self._boot_unless_there() or self._unbooted > sent:
            raise NoThread

    def _leave_place(self) -> None:
        """Of a worker whose listener, or whatever it runs, asks its own client, and would wait for its own place."""
        worker = workers_by_thread.get(_thread.get_ident())
        if worker is not None:
            self._inbox.put(worker)

    def _send(self, message: Caller | Job) -> None:
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
                self._loop.serve()
            finally:
                self._claim.release()
            if self._inbox.empty():
                return


@dataclass(frozen=True, slots=True, eq=False)
class UnderWay:
    """A question under way, as its caller sees it.

    Attributes:
        sent: in ``time.monotonic``'s seconds.
    """

    driver: Driver
    clock: Clock
    caller: Caller
    sent: float

    def left(self) -> float:
        """Seconds until its caller leaves."""
        return self.caller.until - self.clock.now()

    def look(self, left: float, waited: float) -> Any:
        """When nothing has come for so long, or for all that was ``left``: what the caller leaves with, or ``None``.

        Raises:
            NoThread: there is no driver, and none can be started.
        """
        if left <= waited:
            return self.caller.leave(self.clock.now())
        self.driver.attend(self.sent)
        return None


def returned(value: Any) -> Any:
    """A result, or raised where it is an exception."""
    if isinstance(value, BaseException):
        raise value
    return value
