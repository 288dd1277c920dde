"""The input as it comes: batches of lines, or of CSV's rows, with their numbers."""

from __future__ import annotations

import csv
import gzip
import os
import select
import stat
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LONGEST = 16 * 1024 * 1024
"""Bytes of a line. A longer one is a line that failed, and its rest is not kept."""

BLOCK = 1 << 18
MOST = 2000
"""Items of a batch: what is read, and not yet counted, when the command is stopped."""

_BOM = b"\xef\xbb\xbf"


class Unreadable(Exception):  # noqa: N818
    """The input has ended where it should not."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read together.

    Attributes:
        numbers: of each item's first line, from 1.
        raws: each item's bytes, without the last line's end.
        last: number of the last line of each item.
        rows: of CSV: each item's cells, none for an empty line; or why there are none.
        is_cut: the last item may go on, in an input that grows: no line's end is behind it.
    """

    numbers: Sequence[int]
    raws: Sequence[bytes]
    last: Sequence[int]
    rows: Sequence[list[str] | str] | None = None
    is_cut: bool = False

    def after(self, count: int) -> Batch:
        """Without its first items."""
        rows = None if self.rows is None else self.rows[count:]
        return Batch(self.numbers[count:], self.raws[count:], self.last[count:], rows, self.is_cut)


@contextmanager
def opened(path: str | None) -> Iterator[tuple[Callable[[], bytes], int | None]]:
    """What gives the next bytes of a file, gzip's where its name ends with ``.gz``, or of the standard input; and the
    file descriptor of one that may have nothing to read for long, a pipe or a terminal."""
    if path is None:
        fd = sys.stdin.fileno()
        yield lambda: os.read(fd, BLOCK), _waits(fd)
    elif path.endswith(".gz"):
        with gzip.open(path) as file:
            yield lambda: _unpacked(file), None
    else:
        with open(path, "rb", buffering=0) as raw:
            yield lambda: raw.read(BLOCK) or b"", _waits(raw.fileno())


def _unpacked(file: gzip.GzipFile) -> bytes:
    try:
        return file.read1(BLOCK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"it is no whole gzip file: {error}") from None


def _waits(fd: int) -> int | None:
    return None if os.name == "nt" or stat.S_ISREG(os.fstat(fd).st_mode) else fd


def blocks(read: Callable[[], bytes], fd: int | None, tick: Callable[[], bool]) -> Iterator[list[bytes]]:
    """Lists of whole lines, as soon as they are there, without their ``\\n``: of ``\\r\\n`` the first is left, which in
    quotes is of a cell.

    Args:
        fd: waited for before each reading, with ``tick`` all the while.
        tick: whether to go on.

    Raises:
        Unreadable: the system, or gzip, gives no more.
    """
    pieces: list[bytes] = []  # of a line that is not whole yet
    held = 0
    first = True
    while True:
        while fd is not None and not select.select([fd], [], [], 0.1)[0]:
            if not tick():
                return
        try:
            block = read()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        if not block:
            break
        *whole, rest = block.split(b"\n")
        if whole:
            whole[0] = b"".join([*pieces, whole[0]])
            if first:
                whole[0], first = whole[0].removeprefix(_BOM), False
            pieces, held = [], 0
            for start in range(0, len(whole), MOST):
                yield whole[start : start + MOST]
        if rest and held <= LONGEST:
            pieces.append(rest)
            held += len(rest)
    if pieces:
        last = b"".join(pieces)
        yield _Cut([last.removeprefix(_BOM) if first else last])


class _Cut(list[bytes]):
    """A last line with no line's end behind it."""


def lines(given: Iterator[list[bytes]]) -> Iterator[Batch]:
    number = 1
    for block in given:
        numbers = range(number, number + len(block))
        yield Batch(numbers, [line.removesuffix(b"\r") for line in block], numbers, is_cut=isinstance(block, _Cut))
        number += len(block)


class Table:
    """A CSV file's rows.

    Attributes:
        header: the names of its columns.

    Raises:
        Unreadable: there is no header, or none of names that are there once each.
    """

    def __init__(self, given: Iterator[list[bytes]], delimiter: str) -> None:
        self._given = given
        self._feed: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self._number = 0
        self._is_cut = False
        csv.field_size_limit(LONGEST)
        # strict: what stands behind a closing quote is an error
        self._reader = csv.reader(self._texts(), delimiter=delimiter, strict=True)
        while (first := self._next()) == []:
            pass
        self.header: list[str] = first if isinstance(first, list) else []
        twins = [name for name in self.header if self.header.count(name) > 1]
        if not self.header or isinstance(first, str) or twins or _broken(self.header):
            why = first or "there is no line with the names of its columns"
            raise Unreadable(f"column {twins[0]!r} is there twice" if twins else f"its first line: {why}")

    def batches(self) -> Iterator[Batch]:
        while True:
            numbers: list[int] = []
            raws: list[bytes] = []
            ends: list[int] = []
            rows: list[list[str] | str] = []
            while not numbers or (self._feed and len(numbers) < MOST):
                before = self._number + 1
                row = self._next()
                if row is None:
                    break
                numbers.append(before)
                raws.append(b"\n".join(self._taken).removesuffix(b"\r"))
                ends.append(self._number)
                rows.append(row)
            if not numbers:
                return
            yield Batch(numbers, raws, ends, rows, is_cut=self._is_cut and not self._feed)

    def _next(self) -> list[str] | str | None:
        self._taken = []
        try:
            row = next(self._reader, None)
        except csv.Error as error:
            return f"it is no row of CSV: {error}"
        return "it is not UTF-8" if row and _broken(row) else row

    def _texts(self) -> Iterator[str]:
        while True:
            while not self._feed:
                block = next(self._given, None)
                if block is None:
                    return
                self._feed.extend(block)
                self._is_cut = isinstance(block, _Cut)
            line = self._feed.popleft()
            self._taken.append(line)
            self._number += 1
            yield line.decode("utf-8", "surrogateescape") + "\n"


def _broken(row: list[Any]) -> bool:
    """Whether bytes that are no UTF-8 are in it."""
    text = "".join(row)
    try:
        return not text.isascii() and not text.encode()
    except UnicodeEncodeError:
        return True
