"""One flight a question: callers who ask the same thing at the same time share one request."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .clock import Clock

_T = TypeVar("_T")


class Overdue(Exception):  # noqa: N818
    """The caller's deadline came before the flight's end.

    Attributes:
        so_far: what the flight had published by then.
    """

    def __init__(self, so_far: Any) -> None:
        super().__init__()
        self.so_far = so_far


@dataclass(eq=False, slots=True)
class Flight(Generic[_T]):
    """A question under way on a daemon thread of its own, which no caller's end can take down.

    Attributes:
        so_far: what is known before its end, for callers who leave earlier; frozen, and replaced by ``publish``.
    """

    deadline: float
    so_far: Any = None
    future: Future[_T] = field(default_factory=Future)
    thread: threading.Thread = field(default_factory=threading.Thread)
    """not started yet where an interrupt came between; such a flight is not joined"""

    def publish(self, so_far: Any) -> None:
        self.so_far = so_far


class Flights(Generic[_T]):
    """The questions under way.

    A ``ThreadPoolExecutor`` would join its threads at the interpreter's exit; a daemon thread behind a future does not.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Flight[_T]] = {}

    def join(self, question: Hashable, work: Callable[[Flight[_T]], _T], deadline: float) -> _T:
        """What ``work`` returns for this question, from the flight under way or from a new one.

        Args:
            work: done once for all callers; it reads the flight's deadline, which later callers can move.
            deadline: when this caller leaves, in the clock's seconds.

        Raises:
            Overdue: the caller's deadline has passed; the flight goes on.
            RuntimeError: no thread can be started.
        """
        flight = self.start(question, work, deadline)
        try:
            return flight.future.result(min(max(0.0, deadline - self._clock.now()), threading.TIMEOUT_MAX))
        except FutureTimeoutError:
            if flight.future.done():
                return flight.future.result()
            raise Overdue(flight.so_far) from None

    def start(self, question: Hashable, work: Callable[[Flight[_T]], _T], deadline: float) -> Flight[_T]:
        """The flight that ``join`` waits for."""
        if sys.is_finalizing():
            raise RuntimeError("the interpreter is shutting down")  # a new thread would never begin, and be waited for
        with self._lock:
            flight = self._under_way.get(question)
            if flight is not None and flight.thread.ident is not None:
                flight.deadline = max(flight.deadline, deadline)
                return flight
            flight = Flight(deadline)
            flight.thread = threading.Thread(
                target=contextvars.copy_context().run,  # the caller's, so that a trace goes on
                args=(self._fly, question, work, flight),
                name="kafka-sr-retry-flight",
                daemon=True,
            )
            self._under_way[question] = flight
            flight.thread.start()
            return flight

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)

    def end_all(self, result: Callable[[Any, Any], _T]) -> None:
        """Gives every waiting caller ``result(question, so_far)`` at once."""
        with self._lock:
            flights = list(self._under_way.items())
            self._under_way.clear()
        for question, flight in flights:
            _settle(flight.future, result(question, flight.so_far))

    def _fly(self, question: Hashable, work: Callable[[Flight[_T]], _T], flight: Flight[_T]) -> None:
        try:
            result = work(flight)
        except BaseException as error:  # noqa: BLE001 the callers must hear of it, whatever it is
            self._land(question, flight)
            with suppress(InvalidStateError):
                flight.future.set_exception(error)
        else:
            self._land(question, flight)
            _settle(flight.future, result)

    def _land(self, question: Hashable, flight: Flight[_T]) -> None:
        """Later callers begin anew."""
        with self._lock:
            if self._under_way.get(question) is flight:
                del self._under_way[question]


def _settle(future: Future[_T], result: _T) -> None:
    with suppress(InvalidStateError):  # its callers may have been released by end_all meanwhile
        future.set_result(result)
