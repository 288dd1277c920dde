"""One thread of a process alone is in SQLite.

SQLite has locks of its own, which a fork could leave held in the child. So the one that forks waits until nobody is in
it, and nobody waits for another process there. A child whose fork ran no hook sees by its parent's lock whether it may
use SQLite.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from kafka_sr_retry.events import CacheTrouble

_T = TypeVar("_T")

BUSY = 2.0
"""Seconds that are waited for another process which holds a file, and for a thread here which does not come out."""


class Wrong(Exception):  # noqa: N818
    """What keeps from using a file."""

    def __init__(self, kind: CacheTrouble, detail: str) -> None:
        super().__init__(kind)
        self.kind, self.detail = kind, detail


_locks: dict[int, Any] = {}
_last: list[object] = [None]  # who has come in
_forking: dict[int, Any] = {}


def alone(work: Callable[[], _T]) -> _T:
    """What it gives. It should take no longer than the disk does.

    A signal handler may raise after any call: that is within ``try`` here, and ``release`` is the first one of
    ``finally``. An ``RLock`` refuses it to who does not have it.

    Raises:
        Wrong: ``busy`` where a thread stays in for so long, ``fork`` where one was in when this process was forked.
    """
    pid = os.getpid()
    lock = _locks.get(pid) or _locks.setdefault(pid, threading.RLock())
    if lock._is_owned():
        return work()
    try:
        last = _last[0]
        while not lock.acquire(timeout=BUSY):
            if last is _last[0]:
                raise Wrong("busy", f"a thread of this process has been at the disk for {BUSY:.0f} s")
            last = _last[0]
        _last[0] = object()
        for owner, other in list(_locks.items()):
            if owner != pid:
                if not other.acquire(blocking=False):
                    raise Wrong("fork", "this process was forked while a thread was in SQLite: it does without")
                _locks.pop(owner)
        return work()
    finally:
        try:  # noqa: SIM105
            lock.release()
        except RuntimeError:
            pass


def is_inside() -> bool:
    """Whether this is a signal handler that has interrupted its own thread in there. It may come in too: handlers run
    between two steps of Python's, where SQLite holds none of its locks."""
    lock = _locks.get(os.getpid())
    return lock is not None and bool(lock._is_owned())


def _before_fork() -> None:
    lock = _locks.get(os.getpid())
    if lock is not None and not lock._is_owned():
        _forking[threading.get_ident()] = lock
        lock.acquire(timeout=1.0)


def _after_fork() -> None:
    lock = _forking.pop(threading.get_ident(), None)
    if lock is not None:
        with suppress(RuntimeError):  # it did not come in time
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
