"""Learning what the messages of many topics will need, before the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter

from confluent_kafka.serialization import MessageField, SerializationContext

from .errors import ConfigurationError
from .learning import Learning
from .registry.asking import Asking
from .registry.loops import here
from .registry.ways import OnLoop, Together, Way

AT_ONCE = 16
"""Topics under way: a fleet that starts should not fall on its registry with all it has."""


@dataclass(frozen=True, slots=True)
class WarmedTopic:
    """How it went for one topic.

    Attributes:
        topic: as given.
        subject: of its messages, where that was found.
        error: why a message of it would still have to ask; ``None`` where it will ask nobody.
    """

    topic: str
    subject: str | None
    error: Exception | None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How it went.

    Attributes:
        outcomes: one for each topic, in the order given.
    """

    outcomes: tuple[WarmedTopic, ...]

    @property
    def failed(self) -> tuple[WarmedTopic, ...]:
        """Those whose messages would still have to ask."""
        return tuple(outcome for outcome in self.outcomes if outcome.error is not None)


OnProgress = Callable[[WarmedTopic, int, int], object]
"""(outcome, how many there are so far, how many there will be)."""


class Warming:
    """One warm-up.

    Args:
        timeout: seconds for all of it; ``None``: each topic has what its first message would have.

    Raises:
        ConfigurationError: what cannot be topics, or a time.
    """

    def __init__(
        self,
        learning: Learning,
        asking: Asking,
        topics: Iterable[str],
        field: MessageField,
        timeout: float | None,
        on_progress: OnProgress | None,
    ) -> None:
        if isinstance(topics, (str, bytes)) or not isinstance(topics, Iterable):
            raise ConfigurationError(f"topics must be a list of them, such as ['orders'], not {topics!r}", "topics")
        self._topics = tuple(topics)
        self._learning, self._asking, self._field = learning, asking, field
        self._until = None if timeout is None else asking.deadline(timeout)
        self._on_progress = on_progress
        self._outcomes: dict[int, WarmedTopic] = {}

    def run(self) -> WarmUp:
        """On this thread, which waits."""
        together = Together(self._asking)
        each = (self._one(number, together) for number in range(len(self._topics)))
        with closing(together.each(each, AT_ONCE)) as ended:
            for number, outcome in ended:
                self._ended(number, outcome)
        return self._result()

    async def run_on_loop(self) -> WarmUp:
        """On an event loop, which goes on."""
        numbers, way = iter(range(len(self._topics))), OnLoop(self._asking)

        async def work() -> None:
            for number in numbers:
                self._ended(*await self._one(number, way))

        await here().side_by_side(work, min(AT_ONCE, len(self._topics)))
        return self._result()

    async def _one(self, number: int, way: Way) -> tuple[int, WarmedTopic]:
        topic, subject = self._topics[number], None
        ctx = SerializationContext(topic, self._field)
        try:
            timeout = None if self._until is None else self._asking.left(self._until)
            subject, write = self._learning.look(ctx)
            if write is None:
                subject, _ = await self._learning.learn(ctx, subject, way, timeout)
        except Exception as error:  # noqa: BLE001 a strategy raises what it likes
            return number, WarmedTopic(topic, subject if isinstance(subject, str) else None, error)
        return number, WarmedTopic(topic, subject, None)

    def _ended(self, number: int, outcome: WarmedTopic) -> None:
        self._outcomes[number] = outcome
        if self._on_progress is not None:
            self._on_progress(outcome, len(self._outcomes), len(self._topics))

    def _result(self) -> WarmUp:
        return WarmUp(tuple(outcome for _, outcome in sorted(self._outcomes.items(), key=itemgetter(0))))
