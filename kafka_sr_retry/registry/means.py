"""What a client asks with: connections, threads, the state of the endpoints, and whatever holds a lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kafka_sr_retry.config import ClientSettings
from kafka_sr_retry.events import Event

from .attempts import Question, Transport
from .call import World
from .clock import Clock
from .driver import Driver
from .outages import Outages
from .tls import Contexts, RotatingTls
from .tokens import CHANCE, Tokens, credentials


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """One process's: a fork's child has others."""

    driver: Driver
    transport: Transport
    world: World
    access: Question | None

    @classmethod
    def made(
        cls,
        settings: ClientSettings,
        clock: Clock,
        contexts: Contexts,
        emit: Callable[[Event], None],
        wants: Callable[[Event], bool],
    ) -> Means:
        from .transport import Transport as HttpTransport  # imports requests: not with kafka_sr_retry

        urls = settings.urls.urls
        transport = HttpTransport(settings, RotatingTls(settings.tls, contexts))
        shown = credentials(settings, emit, wants)
        access = shown.question if isinstance(shown, Tokens) else None

        def close() -> None:
            transport.close()
            if access is not None:
                access.transport.close()

        driver = Driver(clock, settings.max_in_flight, settings.connect_timeout, close)
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
        return cls(driver, transport, world, access)
