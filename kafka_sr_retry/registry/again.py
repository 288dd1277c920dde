"""When known ids are asked for again: one thread for the whole process, which sleeps until the next is due.

It keeps no client alive, ends when there is none, and is not there while a process forks, so that a child's lock is
never held by it. A child has its own; one whose fork ran no hook has none before it asks something itself.
"""

from __future__ import annotations

import _thread
import os
import queue
import threading
import time
from contextlib import suppress
from types import BuiltinFunctionType
from typing import Any, Protocol

from .living import Living
from .workers import here


class Asks(Protocol):
    """Who may have to ask again."""

    def ask_again(self) -> float | None:
        """Begins what is due; gives the seconds until the next is, ``None`` where there is nothing to ask for."""


class OneOf:
    """Whichever is still there of several with one memory."""

    def __init__(self, several: Living[Any]) -> None:
        self._several = several

    def ask_again(self) -> float | None:
        return next((left for each in self._several if (left := each.ask_again()) is not None), None)


class _Timer:
    def __init__(self) -> None:
        self.asking: Living[Asks] = Living()
        self._inbox: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._claim = threading.Lock()  # held by the thread while it is there
        self._wakes = 0.0
        self._stops = False

    @property
    def is_there(self) -> bool:
        return self._claim.locked()

    def attend(self, seconds: float) -> None:
        """There is something to do in so many seconds."""
        if not self.is_there:
            with suppress(RuntimeError):  # no thread can be started: without
                _thread.start_new_thread(self._run, ())
        elif time.monotonic() + seconds < self._wakes:
            self.look()

    def look(self) -> None:
        self._inbox.put(None)

    def stop(self) -> bool:
        """Whether it was there, and is not any more."""
        if not self.is_there or not isinstance(_thread.start_new_thread, BuiltinFunctionType):
            return False
        self._stops = True
        self.look()
        ended = self._claim.acquire(timeout=1.0)
        self._stops = False
        if ended:
            self._claim.release()
        return ended

    def _run(self) -> None:
        while not self._stops and self._claim.acquire(blocking=False):
            try:
                self._ask_and_sleep()
            finally:
                self._claim.release()
            if self._inbox.empty():
                return

    def _ask_and_sleep(self) -> None:
        while not self._stops:
            self._wakes = float("inf")  # whoever comes now must be heard
            times = [seconds for each in self.asking if (seconds := _asked(each)) is not None]
            if not times:
                return
            self._wakes = time.monotonic() + min(times)
            with suppress(queue.Empty):
                self._inbox.get(timeout=min(times))
                while True:
                    self._inbox.get_nowait()


def _asked(asking: Asks) -> float | None:
    with suppress(Exception):
        return asking.ask_again()
    return None


_timers: dict[tuple[Any, ...], _Timer] = {}


def attend(asking: Asks, seconds: float) -> None:
    """Has ``asking`` asked again in so many seconds."""
    place = here()
    timer = _timers.get(place) or _timers.setdefault(place, _Timer())
    timer.asking.add(asking)
    timer.attend(seconds)


def look() -> None:
    """Has the thread see whether it is needed."""
    timer = _timers.get(here())
    if timer is not None and timer.is_there:
        timer.look()


_stopped: list[_Timer] = []


def _before_fork() -> None:
    _stopped.extend(timer for timer in list(_timers.values()) if timer.stop())


def _after_fork() -> None:
    """In the parent, and in the child, where the timers of before are another process's."""
    timers = [*_stopped] if here() in _timers else [*_timers.values()]
    _stopped.clear()
    if here() not in _timers:
        _timers.clear()
    for timer in timers:
        for asking in timer.asking:
            attend(asking, 0.0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
