"""The one way from a client's methods to the registry: memory, the file, then the call that asks the question."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from kafka_sr_retry.config import ClientSettings, header_mapping
from kafka_sr_retry.errors import ConfigurationError, Failure
from kafka_sr_retry.events import (
    AttemptStartEvent,
    CacheFileEvent,
    CacheTrouble,
    Event,
    IdChangedEvent,
    StaleEvent,
    StoredIdEvent,
)

from . import again
from .answers import alike
from .asked import Asked, Remembered, about, checked_timeout, weight_of
from .attempts import Question
from .clock import Clock
from .living import Living
from .log import Log
from .means import Means
from .memory import Clears, Memory
from .outage import EndpointState
from .questions import look_up_of
from .request import RegistryRequest
from .steps import Answered
from .tls import Contexts, contexts_of
from .tokens import CHANCE
from .workers import NoThread, here, ignore

_T = TypeVar("_T")

FOR_EVER = float("inf")

_REFRESH_AGAIN = 5.0
"""Seconds until the next try to refresh a latest version after one that failed, unless its time to live is shorter."""

_AGAIN = 300.0
"""Seconds, or up to a half less, until the next try to confirm an id after one that failed, unless its time to live is
shorter."""

_AT_ONCE = 16
"""Ids that are asked for again at once."""

_REFUSALS = 1000
"""Refusals that are remembered at most: each holds its schema and the registry's words."""

_BODIES = 1000
"""Bodies that subjects share."""


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
        self._memories: Living[Clears] = Living()
        self._known: Memory[RegistryRequest[Any], Remembered[Any]] = self.memory()
        self._refused: Memory[RegistryRequest[Any], Remembered[Any]] = self.memory(_REFUSALS)
        self._bodies: Memory[bytes, bytes] = self.memory(_BODIES)
        self._found: Memory[RegistryRequest[Any], Remembered[Any]] = self.memory()
        self._own = (self._known, self._refused, self._bodies, self._found)
        self._stored = None
        if settings.cache_path is not None:
            from .stored import Stored  # imports sqlite3

            self._stored = Stored(settings, clock, self._tell_of_file)
        self._closed = False
        self._contexts = contexts
        self._lines = {here(): self._made(contexts)}
        self._users: Living[Asking] = Living()
        self._users.add(self)
        self._again = again.OneOf(self._users)

    def ask(self, request: RegistryRequest[_T], timeout: float | None = None) -> _T:
        """The answer, from memory or from the registry.

        Args:
            timeout: seconds, ``None`` for ``total.timeout.ms``.
        """
        remembered = self.recall(request) or self.read(request)
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

    @property
    def looks(self) -> int | None:
        """At the disk, so far; ``None`` without one."""
        return None if self._stored is None else self._stored.looks

    def read(self, request: RegistryRequest[_T]) -> Remembered[_T] | None:
        """What the file has that needs no question; what else it has is kept for when nobody answers."""
        era = self.era
        found = None if self._stored is None else self._stored.find(request)
        if found is None:
            return None
        now = self._clock.now()
        at = now - found.age
        known: Remembered[Any] = Remembered(found.value, at, at + self._ttl(request))
        trusted = self._settings.cache_mode == "first" and now < at + self._trusted(request)
        if trusted:
            self._remember(request, known)
        else:
            self._found.remember(request, known, weight_of(request, known))
        if era != self.era:  # forgotten while it was read
            self._known.forget(request)
            self._found.forget(request)
            return None
        return known if trusted else None

    def asked(self, request: RegistryRequest[_T], timeout: float | None) -> Asked[_T]:
        """The question to ask now."""
        lines, until = self._here(), self.deadline(timeout)
        return Asked(self._question(request, lines), lines.driver, self._clock, self._clock.now(), until)

    def deadline(self, timeout: float | None = None) -> float:
        """When what begins now ends, in seconds of the clock."""
        return self._clock.now() + (self._settings.total_timeout if timeout is None else checked_timeout(timeout))

    def left(self, deadline: float) -> float:
        """Seconds until then."""
        return deadline - self._clock.now()

    def run(self, function: Callable[[], _T], seconds: float) -> _T:
        """Somebody else's function, on a worker; raises ``TimeoutError`` too."""
        try:
            return self._here().driver.run(function, seconds)
        except NoThread:
            return function()

    def begin_run(
        self, function: Callable[[], object], seconds: float, deliver: Callable[[Any], object], ours: bool = False
    ) -> None:
        """The same without the wait; raises ``NoThread``."""
        self._here().driver.begin_run(function, seconds, deliver, ours)

    def memory(self, most: int | None = None) -> Memory[Any, Any]:
        """A memory of the client's capacity, or of ``most`` if that is less."""
        capacity = self._settings.cache_capacity
        return Memory(capacity if most is None else min(most, capacity))

    def attend(self, memory: Clears) -> None:
        """``forget`` clears it too, for as long as it lives."""
        self._memories.add(memory)

    @property
    def era(self) -> int:
        """Another once all answers were put in doubt: what was asked for before is not to be remembered then."""
        return self._known.era

    def forget(self) -> None:
        """All answers, in memory and in the file."""
        self._forget_memory()
        if self._stored is not None:
            self._stored.drop()
            self._begin(self._stored.write)

    def _forget_memory(self) -> None:
        for memory in (*self._own, *self._memories):
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
        """Ends all its waits; the last of those that share connections closes them."""
        self._closed = True
        if any(not one._closed for one in self._users):
            self._here().driver.release()
            self._lines = {}  # those made from now on are closed ones
        else:
            self._here().driver.close()
        again.look()  # it may have been the last
        if self._stored is not None:
            self._stored.write()

    def ask_again(self) -> float | None:
        """Begins to look up known ids whose time is over; gives seconds until the next one's is."""
        now = self._clock.now()
        ids = [(request, known) for request, known in list(self._known.entries.items()) if request.asks_for_id]
        # a latest version of the file, which nobody has confirmed
        latest = [(request, self._known.get(request)) for request in list(self._found.entries) if request.ages]
        known = [(request, each) for request, each in [*ids, *latest] if each is not None and each.due < FOR_EVER]
        if self._closed or not known:
            return None
        due = sorted((each for each in known if each[1].due <= now), key=lambda each: each[1].due)
        for request, remembered in due[:_AT_ONCE]:
            self._refresh(request, remembered, now)
        pause = min(10.0, self._settings.cache_id_ttl / 1000)
        return max(pause, min(each.due for _, each in known) - now)

    def state(self) -> tuple[int, int, tuple[EndpointState, ...]]:
        """Answers remembered, calls under way, endpoints."""
        lines = self._here()
        return len(self._known), len(lines.driver), lines.world.outages.states(self._clock.now())

    def _here(self) -> Means:
        place = here()
        return self._lines.get(place) or self._lines.setdefault(place, self._made(self._anew()))

    def _anew(self) -> Contexts:
        """TLS contexts have locks within. The first ones serve on where a child may not read the files any more."""
        try:
            return contexts_of(self._settings.tls)
        except ConfigurationError:
            return self._contexts

    def _made(self, contexts: Contexts) -> Means:
        means = Means.made(self._settings, self._clock, contexts, self._emit, self._wants)
        if self._closed:
            means.driver.close()
        return means

    def _question(self, request: RegistryRequest[Any], lines: Means) -> Question:
        era, found = self.era, self._found.get(request)
        return Question(
            request=request,
            world=lines.world,
            transport=lines.transport,
            emit=self._emit,
            wants=self._wants,
            known=partial(self._remembered, request),
            settle=partial(self._settle, request, era),
            at_hand=None if found is None else partial(self._fall_back, request, era, found),
            left=lambda: self._closed,
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

    def _settle(
        self, request: RegistryRequest[Any], era: int, result: Answered | Failure, now: float
    ) -> Answered | Failure:
        if era != self.era:
            return result
        known = self._known.get(request)
        before = known or self._found.get(request)
        if isinstance(result, Answered):
            if request.keep:
                if before is not None and not alike(before.value, result.value):
                    self._changed(request, before, result.value.schema_id, "", now)
                self._remember(request, Remembered(result.value, now, now + self._ttl(request)))
                self._found.forget(request)
                if self._stored is not None and self._stored.keep(request, result.value):
                    self._begin(self._stored.write)
            return result
        if before is not None and not result.by_registry:
            return self._fall_back(request, era, before, result, now) or result
        if known is not None and result.reason in ("not_found", "incompatible", "invalid"):
            self._changed(request, known, None, result.told, now)
        due = max(result.not_before, now + result.remembered_for * self._settings.refusal_cache_ttl)
        if due > now:
            self._refused.remember(request, Remembered(result, now, due))
        return result

    def _kept(self, request: RegistryRequest[_T]) -> RegistryRequest[_T]:
        """A question as it is remembered. Many subjects may have one schema: its body is kept once."""
        body = request.body
        if body is None:
            return request.bare(None)
        shared = self._bodies.get(body)
        if shared is None:
            self._bodies.remember(body, body, len(body))
        return request.bare(shared or body)

    def _fall_back(
        self, request: RegistryRequest[Any], era: int, found: Remembered[Any], failure: Failure, now: float
    ) -> Answered | None:
        """What is on disk serves, as nobody has answered."""
        if era != self.era:
            return None
        if self._known.get(request) is None:
            self._remember(request, replace(found, due=now + self._until_next_try(request)))
            self._tell(
                StoredIdEvent(
                    **about(request),
                    schema_id=found.value.schema_id,
                    age=now - found.at,
                    reason=failure.told,
                )
            )
        return Answered(found.value)

    def _changed(
        self, request: RegistryRequest[Any], known: Remembered[Any], new_id: int | None, reason: str, now: float
    ) -> None:
        """What was known is in doubt, all of it; but a latest version has a right to change."""
        if request.ages:
            if self.latest_ttl == FOR_EVER:  # serializers hold it
                self._forget_memory()
            return
        self.forget()
        self._tell(
            IdChangedEvent(
                **about(request),
                schema_id=known.value.schema_id,
                new_id=new_id,
                age=now - known.at,
                reason=reason,
            )
        )

    def _remember(self, request: RegistryRequest[Any], known: Remembered[Any]) -> None:
        self._known.remember(self._kept(request), known, weight_of(request, known))
        if known.due < FOR_EVER and self._watches(request):
            again.attend(self._again, known.due - self._clock.now())

    def _watches(self, request: RegistryRequest[Any]) -> bool:
        """Whether its answer is asked for again though nobody asks: serializers hold it."""
        return request.asks_for_id or (request.ages and self.latest_ttl == FOR_EVER)

    def _ttl(self, request: RegistryRequest[Any]) -> float:
        """Seconds after which its answer is asked for again."""
        return self._trusted(request) if request.asks_for_id else self.latest_ttl if request.ages else FOR_EVER

    def _trusted(self, request: RegistryRequest[Any]) -> float:
        """Seconds for which the file answers in the registry's place."""
        if request.ages:
            return 0.0 if self.latest_ttl == FOR_EVER else self.latest_ttl
        return self._settings.cache_id_ttl * (1 - CHANCE.random() / 4)

    def _until_next_try(self, request: RegistryRequest[Any]) -> float:
        if request.ages:
            return min(self.latest_ttl, _REFRESH_AGAIN)
        return min(self._settings.cache_id_ttl, _AGAIN) * (1 - CHANCE.random() / 2)

    def _refresh(self, request: RegistryRequest[Any], known: Remembered[Any], now: float) -> None:
        """One call asks again, an id by look-up; whoever asks meanwhile has the old answer."""
        until = now + self._settings.total_timeout
        weight = self._known.weight(request)
        self._known.remember(request, replace(known, due=until), weight)
        lines, era = self._here(), self.era
        asks = look_up_of(request) if request.asks_for_id else request
        request = replace(request, asked=asks.asked, operation=asks.operation)  # it may be bare

        def settle(result: Answered | Failure, then: float) -> Answered | Failure:
            if isinstance(result, Answered) or era != self.era:
                return self._settle(request, era, result, then)
            if result.reason == "not_found" and not request.ages:
                self._changed(request, known, None, result.told, then)
            elif self._known.get(request) is not None:
                refused = result.by_registry and not request.ages
                due = then + (self._ttl(request) if refused else self._until_next_try(request))
                self._known.remember(request, replace(known, due=due), weight)
            if request.ages:
                self._tell(
                    StaleEvent(
                        **about(request),
                        version=known.value.version,
                        age=then - known.at,
                        reason=result.told,
                    )
                )
            return result

        question = replace(self._question(asks, lines), known=lambda now: None, settle=settle)
        with suppress(NoThread):  # the old one serves on
            lines.driver.start(replace(question, at_hand=lambda failure, now: Answered(known.value)), until)

    def _tell_of_file(self, trouble: CacheTrouble, detail: str) -> None:
        self._tell(CacheFileEvent(call=0, operation="other", asked="keep ids on disk", trouble=trouble, detail=detail))

    def _tell(self, event: Event) -> None:
        """Beside all calls."""
        self._begin(partial(self._emit, event))

    def tell_here(self, event: Event) -> None:
        """On the caller's thread, for what no call has part in."""
        if self._settings.event_cb:
            self._emit(event)

    def _begin(self, function: Callable[[], object]) -> None:
        """Has a worker call it, beside all calls."""
        try:
            self.begin_run(lambda: function(), self._settings.total_timeout, ignore)  # each a job of its own
        except NoThread:
            function()

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
