"""All that the demo shows, for 80 columns and up, on a terminal or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from kafka_sr_retry.events import AttemptEvent, Event, FailoverEvent, RetryEvent
from kafka_sr_retry.testing import RecordedRequest

from .readings import Comparison

_T = TypeVar("_T")

_SHOWN_DIFFERENCES = 10


@dataclass(frozen=True)
class Attempt:
    """A request as it is shown; ``waited`` in seconds before it, ``digest`` of the ``sent`` bytes of its body."""

    number: int
    endpoint: str
    sent: int
    digest: str
    waited: float
    status: int | None
    answer: str


@dataclass(frozen=True)
class Outcome:
    """What a client made of a message: an id, or what its ``error`` says; ``moment``: seconds after the leader's end,
    ``seconds``: how long it took."""

    client: str
    topic: str
    moment: float
    seconds: float
    schema_id: int | None
    error: str


@dataclass(frozen=True)
class Score:
    """A client's messages in all; ``slowest`` in seconds."""

    title: str
    messages: int
    lost: int
    slowest: float
    requests: int


class Screen:
    """The terminal, or what stands in for it."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._wait = 0.0

    def say(self, text: str, style: str = "") -> None:
        """A paragraph."""
        self._console.print(Text(text, style))

    def fail(self, text: str) -> None:
        """Why the demo failed, to the standard error."""
        Console(stderr=True, highlight=False).print(Text(text, "bold red"))

    def title(self, text: str) -> None:
        """The head of a section."""
        self._console.print()
        self._console.rule(Text(text, "bold"), align="left")

    def attempts(self) -> None:
        """The head of the attempts that follow."""
        self._row(*(Text(head, "dim") for head in ("#", "registry", "bytes", "sha256", "waited", "answer")))

    def attempt(self, attempt: Attempt) -> None:
        """An attempt that has just ended."""
        style = _style(attempt.status)
        self._row(
            Text(str(attempt.number)),
            Text(attempt.endpoint.partition("://")[2]),
            Text(str(attempt.sent), "" if attempt.sent else "bold red"),
            Text(attempt.digest[:8] if attempt.sent else "-"),
            Text("-" if attempt.number == 1 else f"{attempt.waited:.2f} s"),
            Text(attempt.answer, style),
        )

    def on_event(self, event: Event) -> None:
        """Shows our client's attempts: an ``event_cb``."""
        if isinstance(event, RetryEvent):
            self._wait = event.wait
        elif isinstance(event, FailoverEvent):
            self._wait = 0.0
        elif isinstance(event, AttemptEvent):
            self.attempt(
                Attempt(
                    event.number,
                    event.endpoint,
                    event.bytes_sent,
                    event.body_sha256,
                    self._wait,
                    event.status,
                    event.detail,
                )
            )

    def outcomes(self) -> None:
        """The head of what follows the leader's end."""
        self._moment(*(Text(head, "dim") for head in ("after", "topic", "what its message gets")))

    def happened(self, moment: float, what: str) -> None:
        """Something that befell the registry."""
        self._moment(Text(f"{moment:.2f} s"), Text("-"), Text(what, "bold"))

    def outcome(self, outcome: Outcome) -> None:
        """A message that has just ended."""
        told = (
            Text(outcome.error, "bold red") if outcome.schema_id is None else Text(f"id {outcome.schema_id}", "green")
        )
        self._moment(Text(f"{outcome.moment:.2f} s"), Text(outcome.topic), told)

    def scores(self, scores: Sequence[Score]) -> None:
        """The clients side by side."""
        table = Table()
        table.add_column()
        for score in scores:
            table.add_column(score.title, justify="right")
        table.add_row("messages", *(str(score.messages) for score in scores))
        table.add_row("lost", *(Text(str(score.lost), "bold red" if score.lost else "green") for score in scores))
        table.add_row("slowest", *(f"{score.slowest:.2f} s" for score in scores))
        table.add_row("requests", *(str(score.requests) for score in scores))
        self._console.print(table)

    def progress(self, what: str, items: Iterable[_T], total: int) -> Iterator[_T]:
        """``items``, with a bar that counts them."""
        columns = TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn()
        with Progress(*columns, console=self._console, expand=True) as bar:
            yield from bar.track(items, total, description=f"{what:<10}")

    def requests(self, ours: Sequence[RecordedRequest], naive: Sequence[RecordedRequest]) -> None:
        """What arrived from both senders, side by side."""
        table = Table(title="Registrations as they arrived", title_justify="left")
        table.add_column("#", justify="right")
        for sender in ("AvroSerializer", "naive loop"):
            table.add_column(f"{sender}:\nContent-Length")
            table.add_column("\nbody", justify="right")
            table.add_column("\nanswer", justify="right")
        for number, pair in enumerate(zip_longest(ours, naive), 1):
            table.add_row(str(number), *(cell for request in pair for cell in _cells(request)))
        self._console.print(table)

    def rows(self, comparison: Comparison, seconds: float) -> None:
        """What was sent against what was read back."""
        table = Table(
            title="Rows through Kafka, decoded by Apache's avro",
            title_justify="left",
            show_header=False,
        )
        table.add_column()
        table.add_column(justify="right")
        table.add_row("sent", f"{comparison.sent:,}")
        table.add_row("read back", f"{comparison.received:,}")
        table.add_row("equal to the csv, once and in order", f"{comparison.equal:,}")
        table.add_row("time, there and back", f"{seconds:.2f} s")
        self._console.print(table)
        for difference in comparison.differences[:_SHOWN_DIFFERENCES]:
            self.say(difference, "red")

    def _row(self, *cells: Text) -> None:
        self._line((2, 21, 5, 8, 6), cells)

    def _moment(self, *cells: Text) -> None:
        self._line((7, 11), cells)

    def _line(self, widths: Sequence[int], cells: Sequence[Text]) -> None:
        """What fits these widths, and one more cell."""
        row = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for width in widths:
            row.add_column(width=width, no_wrap=True)
        row.add_column(ratio=1)
        row.add_row(*cells)
        self._console.print(row)


def _cells(request: RecordedRequest | None) -> tuple[Text, Text, Text]:
    if request is None:
        return Text(), Text(), Text()
    length = request.headers.get("Content-Length") or request.headers.get("Transfer-Encoding", "-")
    body = Text(f"{len(request.body)} B", "" if request.body else "bold red")
    return Text(length), body, Text(str(request.answer or "-"), _style(request.answer))


def _style(status: int | None) -> str:
    if status is None or status >= 500:
        return "yellow"
    return "green" if status < 300 else "bold red"
