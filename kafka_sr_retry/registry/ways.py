"""How whoever asks waits: its thread, one thread for many, or an event loop.

What asks one thing after another is written once, as a coroutine, over a ``Way``.
"""

from __future__ import annotations

import inspect
import queue
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import coroutine
from typing import Any, Generic, Protocol, TypeVar

from kafka_sr_retry.errors import ConfigurationError

from .asked import Asked, Remembered
from .asking import FOR_EVER, Asking
from .driver import WATCH, UnderWay, returned
from .loops import Asyncio, Trio, here
from .request import RegistryRequest
from .workers import NoThread

_T = TypeVar("_T")

_PATIENCE = 10.0
"""Seconds after which a worker for a computation is no longer waited for."""

_READING = 2.0
"""Seconds for one look at the file of ids, behind which others may wait for theirs."""


class Way(Protocol):
    """Where a coroutine asks."""

    async def ask(self, request: RegistryRequest[_T], timeout: float | None) -> _T:
        """The answer, from memory or from the registry; ``timeout`` in seconds, ``None`` for ``total.timeout.ms``."""

    async def run(self, function: Callable[[], _T], seconds: float) -> _T:
        """Somebody else's function, on a worker; raises ``TimeoutError`` too. On a loop, what it gives is awaited."""

    async def compute(self, function: Callable[[], _T]) -> _T:
        """A function of ours that takes a while, and ends."""


class Blocking:
    """The thread waits."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def ask(self, request: RegistryRequest[_T], timeout: float | None) -> _T:
        return self._asking.ask(request, timeout)

    async def run(self, function: Callable[[], _T], seconds: float) -> _T:
        return self._asking.run(function, seconds)

    async def compute(self, function: Callable[[], _T]) -> _T:
        return function()


def at_once(steps: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine gives that waits for no event loop, as over ``Blocking``."""
    try:
        steps.send(None)
    except StopIteration as end:
        value: _T = end.value
        return value
    finally:
        steps.close()
    raise ConfigurationError(
        "the subject name strategy waits for an event loop: use AsyncAvroSerializer", "subject.name.strategy"
    )


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[_T]):
    steps: Coroutine[Asked[Any], Any, _T]
    asked: Asked[Any]
    under_way: UnderWay


class Together(Blocking):
    """One thread waits for many coroutines, of which each waits for a question."""

    def __init__(self, asking: Asking) -> None:
        super().__init__(asking)
        self._inbox: queue.SimpleQueue[tuple[object, Any]] = queue.SimpleQueue()
        self._waiting: dict[object, _Waiting[Any]] = {}

    async def ask(self, request: RegistryRequest[_T], timeout: float | None) -> _T:
        remembered = self._asking.recall(request) or self._asking.read(request)
        if remembered is not None:
            return remembered.value
        asked = self._asking.asked(request, timeout)
        return asked.told(await _comes(asked))

    def each(self, coroutines: Iterable[Coroutine[Any, Any, _T]], most: int) -> Generator[_T, None, None]:
        """What each gives, as they end; at most ``most`` are under way."""
        try:
            for steps in coroutines:
                yield from self._go_on(steps, None)
                while len(self._waiting) >= most:
                    yield from self._next()
            while self._waiting:
                yield from self._next()
        finally:
            for waiting in self._waiting.values():
                waiting.steps.close()
            self._waiting.clear()

    def _next(self) -> Iterator[Any]:
        lefts = {key: waiting.under_way.left() for key, waiting in self._waiting.items()}
        try:
            came = [self._inbox.get(timeout=max(0.0, min(WATCH, *lefts.values())))]
        except queue.Empty:
            came = [(key, self._looked(self._waiting[key], left)) for key, left in lefts.items()]
        for key, result in came:
            if result is not None and key in self._waiting:
                yield from self._go_on(self._waiting.pop(key).steps, result)

    def _looked(self, waiting: _Waiting[Any], left: float) -> Any:
        try:
            return waiting.under_way.look(left, WATCH)
        except NoThread:
            return waiting.asked.inline()

    def _go_on(self, steps: Coroutine[Asked[Any], Any, _T], value: Any) -> Iterator[_T]:
        """Moves it on, until it waits or ends."""
        try:
            while True:
                asked = steps.send(value)
                key = object()
                try:
                    under_way = asked.driver.begin(asked.question, asked.until, partial(self._came, key))
                except NoThread:
                    value = asked.inline()
                else:
                    self._waiting[key] = _Waiting(steps, asked, under_way)
                    return
        except StopIteration as end:
            yield end.value

    def _came(self, key: object, result: Any) -> None:
        self._inbox.put((key, result))


@coroutine
def _comes(asked: Asked[Any]) -> Generator[Asked[Any], Any, Any]:
    return returned((yield asked))


class OnLoop:
    """A task waits, and its event loop goes on. A task that is cancelled leaves the question under way."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def ask(self, request: RegistryRequest[_T], timeout: float | None = None) -> _T:
        remembered = self._asking.recall(request)
        if remembered is None and self._asking.looks is not None:
            remembered = await self._read(request)
        if remembered is not None:
            return remembered.value
        asked = self._asking.asked(request, timeout)
        mail = here()()
        try:
            under_way = asked.driver.begin(asked.question, asked.until, mail.put)
            return asked.told(await _result(mail, under_way))
        except NoThread:
            return asked.told(asked.inline())

    async def _read(self, request: RegistryRequest[_T]) -> Remembered[_T] | None:
        mail = here()()
        try:
            self._asking.begin_run(partial(self._asking.read, request), FOR_EVER, mail.put, ours=True)
        except NoThread:
            return self._asking.read(request)
        looks = None
        while not await mail.comes(_READING):
            if looks == self._asking.looks:  # the disk hangs
                return None
            looks = self._asking.looks
        with suppress(TimeoutError):  # the client was closed
            remembered: Remembered[_T] | None = returned(mail.value)
            return remembered
        return None

    async def close(self, close: Callable[[], object]) -> None:
        """On a thread of its own: it may write to the file, and no worker outlives it."""
        mail = here()()
        try:
            threading.Thread(target=lambda: mail.put(close()), name="kafka-sr-retry-close", daemon=True).start()
        except RuntimeError:
            close()
        else:
            await mail.comes(_PATIENCE)

    async def run(self, function: Callable[[], _T], seconds: float, ours: bool = False) -> _T:
        mail = here()()
        try:
            self._asking.begin_run(function, seconds, mail.put, ours)
        except NoThread:
            return function()
        if not await mail.comes(seconds):
            raise TimeoutError
        value: Any = returned(mail.value)
        if inspect.isawaitable(value):
            value = await mail.within(seconds, value)
        result: _T = value
        return result

    async def compute(self, function: Callable[[], _T]) -> _T:
        try:
            return await self.run(function, _PATIENCE, ours=True)
        except TimeoutError:  # it hangs, or the client was closed
            return function()


async def _result(mail: Asyncio | Trio, under_way: UnderWay) -> Any:
    patience = WATCH
    while True:
        left = under_way.left()
        if await mail.comes(max(0.0, min(left, patience))):
            return returned(mail.value)
        result = under_way.look(left, patience)
        if result is not None:
            return returned(result)
        patience *= 2  # thousands of tasks may wait
