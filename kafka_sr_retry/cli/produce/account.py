"""The account of what was read: each item is delivered or reported, and how far all is done."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from confluent_kafka import KafkaError

from .reading import LONGEST, Batch

_TOO_LARGE = (
    "; the topic takes less than message.max.bytes, and with one message the broker refuses all that came along: give "
    "-X message.max.bytes=NUMBER, so that it fails alone"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item was not delivered.

    Attributes:
        index: of the item in its batch.
        path: of the field that does not fit.
        is_own: sending it again would bring the same.
    """

    index: int
    why: str
    path: str = ""
    is_own: bool = True


class Token:
    """The callback of a batch's messages. Each message that waits for its report holds it: once it is gone, all
    have been reported. librdkafka's client calls it for those that failed alone, which spares the others a call."""

    __slots__ = ("__weakref__", "_failures", "_stop")

    def __init__(self, failures: list[Failure], stop: Callable[[str], None]) -> None:
        self._failures = failures
        self._stop = stop

    def __call__(self, index: int, error: KafkaError, _: object) -> None:
        # a broker refuses a whole batch, and does not say for which message
        why = f"Kafka: {error.str()}{_TOO_LARGE if error.code() == KafkaError.MSG_SIZE_TOO_LARGE else ''}"
        self._failures.append(Failure(index, why, is_own=False))
        self._stop(why)


@dataclass(slots=True)
class _Open:
    """A batch under way, of which the first ``count`` items were taken."""

    batch: Batch
    count: int
    failures: list[Failure]
    blanks: int
    token: weakref.ref[Token]


@dataclass(slots=True)
class Counts:
    """Of items, as far as they are known; ``read`` is ``delivered + failed`` at the end."""

    read: int = 0
    delivered: int = 0
    failed: int = 0


class CannotResume(Exception):  # noqa: N818
    """The state's file is of another input, or can be neither read nor written."""


@dataclass(slots=True)
class State:
    """How far a former run, and this one, came: kept in a file that is replaced as a whole.

    Attributes:
        lines: all up to here are delivered, or failed by themselves and were reported.
        digest: of those lines.
        is_behind: they are being read again, and the file stays as it is.
    """

    path: Path
    topic: str
    lines: int = 0
    digest: str = ""
    hash: Any = field(default_factory=hashlib.blake2b)
    is_behind: bool = False

    @classmethod
    def read(cls, path: Path, topic: str) -> State:
        state = cls(path, topic)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            state.write()
            return state
        except (OSError, ValueError) as error:
            raise CannotResume(f"{path} cannot be read: {error}") from None
        try:
            found = json.loads(text)
            state.lines, state.digest, before = found["lines"], found["digest"], found["topic"]
            if type(state.lines) is not int or state.lines < 0 or type(state.digest) is not str:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise CannotResume(f"{path} is not a file that --resume has written") from None
        if before != topic:
            raise CannotResume(f"{path} is of topic {before!r}, not {topic!r}")
        return state

    def rest(self, batches: Iterator[Batch], go_on: Callable[[], bool]) -> Iterator[Batch]:
        """What a former run has not done; nothing, where ``go_on`` ends it before.

        Raises:
            CannotResume: what it has done is not what the input begins with.
        """
        done, digest = self.lines, self.digest
        self.lines, self.is_behind = 0, bool(done)
        for batch in batches if done else ():
            count = sum(last <= done for last in batch.last) if batch.last[-1] > done else len(batch.last)
            self.add(batch, count)
            if self.lines >= done or count < len(batch.raws):
                break
            if not go_on():
                return
        else:
            if done and not go_on():
                return
            count, batch = 0, None
        if done and (self.lines != done or self.hash.hexdigest() != digest):
            raise CannotResume(
                f"{self.path} is of another input: its first {done} lines are not those that were done. For a new "
                "beginning remove it"
            )
        self.is_behind = False
        if batch is not None and count < len(batch.raws):
            yield batch.after(count)
        yield from batches

    def add(self, batch: Batch, count: int) -> None:
        """The next items are done."""
        if count:
            self.hash.update(b"\n".join(batch.raws[:count]) + b"\n")
            self.lines = batch.last[count - 1]

    def write(self) -> None:
        if self.is_behind:
            return
        self.digest = self.hash.hexdigest()
        new = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            with open(new, "x", encoding="utf-8") as file:
                json.dump({"topic": self.topic, "lines": self.lines, "digest": self.digest}, file)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                new.unlink()
            raise CannotResume(f"{self.path} cannot be written: {error.strerror}") from None


class Account:
    """What became of each item; everything happens on one thread.

    Args:
        state: of ``--resume``.
        report: told of each failure that no file takes, with the number of the item's line; whether it could be said.

    Attributes:
        errors: where failed items are written.
        stopped: why no more should be read: a failure that the next message would have too.
    """

    def __init__(self, state: State | None, report: Callable[[int, Failure], bool]) -> None:
        self.counts = Counts()
        self.stopped = ""
        self.errors: IO[bytes] | None = None
        self._state = state
        self._report = report
        self._open: deque[_Open] = deque()
        self._whole = True

    def take(self, batch: Batch, count: int, blanks: int, failures: list[Failure], token: Token) -> None:
        """The first ``count`` items of a batch were read, and sent but for ``failures`` and the blank ones."""
        self._open.append(_Open(batch, count, failures, blanks, weakref.ref(token)))
        self.counts.read += count - blanks

    def stop(self, why: str) -> None:
        """No more should be read; the first reason is told."""
        self.stopped = self.stopped or why

    def settle(self, *, all_told: bool = False) -> None:
        """Counts the batches of which all is known, in their order.

        Args:
            all_told: no message waits for its report, whoever still holds a batch's token.
        """
        while self._open and (all_told or self._open[0].token() is None):
            self._close(self._open.popleft())

    def _close(self, done: _Open) -> None:
        failures = sorted(done.failures, key=lambda failure: failure.index)
        self.counts.failed += len(failures)
        self.counts.delivered += done.count - done.blanks - len(failures)
        for failure in failures:
            self._write(done.batch, failure)
        if self._state is not None and self._whole:
            cut = len(done.batch.raws) - 1 if done.batch.is_cut else None
            open_ends = [failure.index for failure in failures if not failure.is_own or failure.index == cut]
            if cut is not None and done.batch.rows is None and not done.batch.raws[cut].strip():
                open_ends.append(cut)
            self._state.add(done.batch, min(open_ends, default=done.count))
            self._whole = not open_ends and done.count == len(done.batch.raws)

    def _write(self, batch: Batch, failure: Failure) -> None:
        number = batch.numbers[failure.index]
        if self.errors is not None:
            told = {
                "line": number,
                "field": failure.path,
                "error": failure.why,
                "text": batch.raws[failure.index][:LONGEST].decode("utf-8", "surrogateescape"),
            }
            try:
                left = memoryview(json.dumps(told).encode() + b"\n")
                while left:
                    left = left[self.errors.write(left) :]
                return
            except OSError as error:
                self._lose_errors(error)  # the rest is told on the standard error
        if not self._report(number, failure):
            self._whole = False  # it is not done

    def _lose_errors(self, error: OSError) -> None:
        """And leave the state where it was."""
        self.errors = None
        self._whole = False
        self.stop(f"the file of --errors cannot be written: {error.strerror}")

    def keep(self) -> None:
        """Writes the state, behind the errors that it counts as done."""
        if self._state is None:
            return
        try:
            if self.errors is not None:
                _sync(self.errors)
            self._state.write()
        except OSError as error:
            self._state = None
            self._lose_errors(error)
        except CannotResume as error:
            self._state = None
            self.stop(str(error))


def _sync(file: IO[bytes]) -> None:
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a pipe or a device, which keeps nothing
            raise
