"""The one way from a client's methods to the registry: memory, then the call that asks the question."""

from __future__ import annotations

import _thread
import copy
import math
import os
import queue
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from typing import Any, Generic, TypeVar

from kafka_sr_retry.config import ClientSettings, header_mapping
from kafka_sr_retry.errors import ConfigurationError, Failure
from kafka_sr_retry.events import AttemptStartEvent, Event, StaleEvent

from . import inline
from .attempts import Question, Transport
from .call import World
from .clock import Clock
from .driver import Driver
from .living import Living
from .log import Log
from .memory import Memory
from .outage import EndpointState
from .outages import Outages
from .request import RegistryRequest
from .steps import Answered
from .tls import Contexts, RotatingTls, contexts_of
from .tokens import CHANCE, Tokens, credentials
from .workers import NoThread

_T = TypeVar("_T")

FOR_EVER = float("inf")

_REFRESH_AGAIN = 5.0
"""Seconds until the next try to refresh a latest version after one that failed, unless its time to live is shorter."""

_REFUSALS = 1000
"""Refusals that are remembered at most: each holds its schema and the registry's words."""

_BODIES = 1000
"""Bodies that subjects share."""


@dataclass(frozen=True, slots=True)
class Remembered(Generic[_T]):
    """An answer or a refusal that is remembered: since when, and until when it needs no question."""

    value: _T
    at: float
    due: float


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """What a client asks with: connections, threads, the state of the endpoints, and whatever holds a lock."""

    driver: Driver
    transport: Transport
    world: World
    access: Question | None


@dataclass(frozen=True, slots=True, eq=False)
class Asked(Generic[_T]):
    """A question that memory could not answer.

    Attributes:
        driver: moves its call on.
        began, until: when its caller came, and leaves, in seconds of the clock.
    """

    question: Question
    driver: Driver
    clock: Clock
    began: float
    until: float

    def inline(self) -> Any:
        """Asks on this thread, where no other can be started; gives what the driver would."""
        return inline.ask(self.question, self.until, self.clock)

    def told(self, result: Any) -> _T:
        """What its caller gets, or has raised."""
        if isinstance(result, Failure):
            raise replace(result, seconds=self.clock.now() - self.began).exception()
        answer: _T = result.value
        return answer


class Asking:
    """What a client asks, and what it remembers of the answers.

    In a child of a fork, however that was made, and in a process in which threads have been patched since (gevent), all
    that holds a lock or a connection is made anew. Memory stays.

    Args:
        settings: the client's.
        clock: time.
        contexts: TLS contexts that have been made already.

    Attributes:
        latest_ttl: seconds after which a latest version is refreshed.
    """

    def __init__(self, settings: ClientSettings, clock: Clock, contexts: Contexts) -> None:
        self._settings = settings
        self._clock = clock
        self.latest_ttl = FOR_EVER if settings.cache_latest_ttl is None else settings.cache_latest_ttl
        self._log = Log(clock)
        self._memories: Living[Memory[Any, Any]] = Living()
        self._known: Memory[RegistryRequest[Any], Remembered[Any]] = self.memory()
        self._refused: Memory[RegistryRequest[Any], Remembered[Any]] = self.memory(_REFUSALS)
        self._bodies: Memory[bytes, bytes] = self.memory(_BODIES)
        self._closed = False
        self._contexts = contexts
        self._lines = {_here(): self._made(contexts)}
        self._users: Living[Asking] = Living()
        self._users.add(self)

    def ask(self, request: RegistryRequest[_T], timeout: float | None = None) -> _T:
        """The answer, from memory or from the registry.

        Args:
            timeout: seconds, ``None`` for ``total.timeout.ms``.
        """
        remembered = self.recall(request)
        if remembered is not None:
            return remembered.value
        asked = self.asked(request, timeout)
        try:
            return asked.told(asked.driver.ask(asked.question, asked.until))
        except NoThread:
            return asked.told(asked.inline())

    def recall(self, request: RegistryRequest[_T]) -> Remembered[_T] | None:
        """What memory has; raises a refusal that it holds."""
        now = self._clock.now()
        known = self._known.get(request) if request.keep else None
        if known is not None:
            if now >= known.due:
                self._refresh(request, known, now)
            return known
        refused = self._refused.get(request)
        if refused is not None and now < refused.due:
            raise refused.value.exception(now - refused.at)
        return None

    def asked(self, request: RegistryRequest[_T], timeout: float | None) -> Asked[_T]:
        """The question to ask now."""
        lines, until = self._here(), self.deadline(timeout)
        return Asked(self._question(request, lines), lines.driver, self._clock, self._clock.now(), until)

    def deadline(self, timeout: float | None = None) -> float:
        """When what begins now ends, in seconds of the clock."""
        return self._clock.now() + (self._settings.total_timeout if timeout is None else _checked(timeout))

    def left(self, deadline: float) -> float:
        """Seconds until then."""
        return deadline - self._clock.now()

    def run(self, function: Callable[[], _T], seconds: float) -> _T:
        """Somebody else's function, on a worker; raises ``TimeoutError`` too."""
        try:
            return self._here().driver.run(function, seconds)
        except NoThread:
            return function()

    def begin_run(self, function: Callable[[], object], seconds: float, deliver: Callable[[Any], object]) -> None:
        """The same without the wait; raises ``NoThread``."""
        self._here().driver.begin_run(function, seconds, deliver)

    def memory(self, most: int | None = None) -> Memory[Any, Any]:
        """A memory of the client's capacity, or of ``most`` if that is less, that ``forget`` clears too."""
        capacity = self._settings.cache_capacity
        memory: Memory[Any, Any] = Memory(capacity if most is None else min(most, capacity))
        self._memories.add(memory)
        return memory

    def forget(self) -> None:
        for memory in self._memories:
            memory.clear()

    def shared(self) -> Asking | None:
        """Another with the same memory, threads and connections, and a ``close`` of its own; ``None`` once this is
        closed."""
        if self._closed:
            return None
        other = copy.copy(self)
        self._users.add(other)
        return other

    def close(self) -> None:
        """Ends all waits and closes the connections; where others share them, it only takes no more calls itself."""
        self._closed = True
        if any(not one._closed for one in self._users):
            self._lines = {}  # those made from now on are closed ones
        else:
            self._here().driver.close()

    def state(self) -> tuple[int, int, tuple[EndpointState, ...]]:
        """Answers remembered, calls under way, endpoints."""
        lines = self._here()
        return len(self._known), len(lines.driver), lines.world.outages.states(self._clock.now())

    def _here(self) -> _Lines:
        here = _here()
        return self._lines.get(here) or self._lines.setdefault(here, self._made(self._anew()))

    def _anew(self) -> Contexts:
        """TLS contexts have locks within. The first ones serve on where a child may not read the files any more."""
        try:
            return contexts_of(self._settings.tls)
        except ConfigurationError:
            return self._contexts

    def _made(self, contexts: Contexts) -> _Lines:
        from .transport import Transport as HttpTransport  # imports requests: not with kafka_sr_retry

        settings = self._settings
        urls = settings.urls.urls
        transport = HttpTransport(settings, RotatingTls(settings.tls, contexts))
        shown = credentials(settings, self._emit, self._wants)
        access = shown.question if isinstance(shown, Tokens) else None

        def close() -> None:
            transport.close()
            if access is not None:
                access.transport.close()

        driver = Driver(self._clock, settings.max_in_flight, settings.connect_timeout, close)
        if self._closed:
            driver.close()
        world = World(
            outages=Outages(
                urls,
                random=CHANCE.random,
                base=settings.retries_wait,
                cap=settings.retries_max_wait,
                max_retries=settings.max_retries,
                first=CHANCE.randrange(len(urls)) if settings.randomize else 0,
            ),
            credentials=shown,
            request_timeout=settings.request_timeout,
            total_timeout=settings.total_timeout,
        )
        return _Lines(driver, transport, world, access)

    def _question(self, request: RegistryRequest[Any], lines: _Lines) -> Question:
        return Question(
            request=request,
            world=lines.world,
            transport=lines.transport,
            emit=self._emit,
            wants=self._wants,
            known=partial(self._remembered, request),
            settle=partial(self._settle, request),
            access=lines.access,
        )

    def _remembered(self, request: RegistryRequest[Any], now: float) -> Answered | Failure | None:
        known, refused = self._known.get(request), self._refused.get(request)
        if request.keep and known is not None and now < known.due:
            return Answered(known.value)
        if refused is not None and now < refused.due:
            refusal: Failure = refused.value
            return refusal
        return None

    def _settle(self, request: RegistryRequest[Any], result: Answered | Failure, now: float) -> Answered | Failure:
        if isinstance(result, Answered):
            if request.keep:
                weight = len(request.body or b"") + len(repr(result.value))
                kept = Remembered(result.value, now, now + self._ttl(request))
                self._known.remember(self._kept(request), kept, weight)
            return result
        due = max(result.not_before, now + result.remembered_for * self._settings.refusal_cache_ttl)
        if due > now:
            self._refused.remember(request, Remembered(result, now, due))
        return result

    def _ttl(self, request: RegistryRequest[Any]) -> float:
        """Seconds after which its answer is asked for again."""
        return self.latest_ttl if request.ages else FOR_EVER

    def _kept(self, request: RegistryRequest[_T]) -> RegistryRequest[_T]:
        """A question as it is remembered. Many subjects may have one schema: its body is kept once."""
        body = request.body
        if body is None:
            return request.bare(None)
        shared = self._bodies.get(body)
        if shared is None:
            self._bodies.remember(body, body, len(body))
        return request.bare(shared or body)

    def _refresh(self, request: RegistryRequest[Any], known: Remembered[Any], now: float) -> None:
        """One call asks again; whoever asks meanwhile has the old answer."""
        until = now + self._settings.total_timeout
        weight = self._known.weight(request)
        self._known.remember(request, Remembered(known.value, known.at, until), weight)
        lines = self._here()

        def settle(result: Answered | Failure, then: float) -> Answered | Failure:
            if isinstance(result, Failure):
                due = then + min(self.latest_ttl, _REFRESH_AGAIN)
                self._known.remember(request, Remembered(known.value, known.at, due), weight)
                stale = StaleEvent(
                    call=0,
                    operation=request.operation,
                    asked=request.asked,
                    version=known.value.version,
                    age=then - known.at,
                    reason=result.told,
                )
                lines.driver.soon(lambda: self._emit(stale))
            return self._settle(request, result, then)

        with suppress(NoThread):  # the old one serves on
            question = self._question(request, lines)
            lines.driver.start(replace(question, known=lambda now: None, settle=settle), until)

    def _wants(self, event: Event) -> bool:
        return bool(self._settings.event_cb) or self._log.wants(event)

    def _emit(self, event: Event) -> None:
        """A listener never breaks a message, not even by SystemExit, and a logging filter that raises is one too."""
        with suppress(BaseException):
            self._log(event)
        for listener in self._settings.event_cb:
            try:
                listener(event)
                if isinstance(event, AttemptStartEvent):
                    header_mapping("a listener's headers", event.headers)
            except BaseException:  # noqa: BLE001
                if isinstance(event, AttemptStartEvent):
                    event.headers.clear()
                with suppress(BaseException):
                    self._log.raised(event)


def _here() -> tuple[Any, ...]:
    """The process, and what its threads and queues are, looked up each time: gevent replaces them."""
    return os.getpid(), _thread.start_new_thread, queue.SimpleQueue


def _checked(timeout: float) -> float:
    with suppress(OverflowError):
        if isinstance(timeout, Real) and not isinstance(timeout, bool) and not math.isnan(timeout):
            return timeout
    raise ConfigurationError(f"timeout must be a number of seconds, not {timeout!r}", "timeout")
