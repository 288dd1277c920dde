"""Clients that come by pickle: one for each configuration in a process, however many tasks bring it.

Each that comes is an object of its own, with a ``close`` of its own, over the memory, threads and connections of one
that is there.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from kafka_sr_retry.config import ClientSettings, parse

from .asking import Asking
from .living import Living
from .memory import Memory

KEPT = 16
"""Clients that a process keeps for tasks to come."""

Mark = tuple[str, bytes]
"""The client that a pickle was made of, and how its configuration was then."""


class Shared:
    """What is shared of a client: ``_asking``, and what tells whether another would do as it does."""

    _conf: dict[str, Any]
    _settings: ClientSettings
    _asking: Asking
    _origin: str


_S = TypeVar("_S", bound=Shared)

living: Living[Shared] = Living()
"""All clients of this process that are not copies of others."""

_kept: Memory[Mark, Shared] = Memory(KEPT)

_turns: dict[Any, Any] = {}
"""A lock for each process, as a fork may leave its parent's held; and for each kind of them, as gevent patches them."""


def pickled(client: Shared) -> tuple[Any, ...]:
    """For ``__reduce__``."""
    return unpickled, (type(client), client._conf, _mark(client))


def unpickled(cls: type[_S], conf: Mapping[str, Any], mark: Mark | None) -> _S:
    """A client over one of this process: made from the same client, or of equal settings. Else over a new one, which is
    kept; or a new one by itself, where ``mark`` cannot tell it again.
    """
    with _turns.setdefault((os.getpid(), threading.RLock), threading.RLock()):
        kept = None if mark is None else _kept.get(mark)
        if kept is not None and (shared := _over(cls, kept)) is not None:
            return shared
        settings = parse(ClientSettings, conf)
        for one in sorted(living, key=lambda one: mark is None or one._origin != mark[0]):
            if _is_same(one, mark, settings) and (shared := _over(cls, one)) is not None:
                return shared
        new = cls(conf)  # type: ignore[call-arg]
        if mark is None:
            return new
        new._origin = mark[0]
        _kept.remember(mark, new)
        return _over(cls, new) or new


def _over(cls: type[_S], one: Shared) -> _S | None:
    """Another client over ``one``'s, which lives on with it; ``None`` where that was closed, or is of another class."""
    asking = one._asking.shared() if type(one) is cls else None
    if asking is None:
        return None
    client = cls.__new__(cls)
    vars(client).update(vars(one), _asking=asking, _beneath=one)
    return client


def _is_same(one: Shared, mark: Mark | None, settings: ClientSettings) -> bool:
    if mark is not None and one._origin == mark[0]:
        return _mark(one) == mark
    with suppress(Exception):  # what somebody's objects say of each other
        return bool(one._settings == settings)
    return False


def _mark(client: Shared) -> Mark | None:
    """None where pickle itself cannot tell how the configuration is, as of a lambda that cloudpickle takes."""
    try:
        return client._origin, hashlib.sha256(pickle.dumps(client._conf)).digest()
    except Exception:  # noqa: BLE001
        return None
