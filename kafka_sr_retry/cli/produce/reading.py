"""The input as it comes: batches of lines, or of CSV's rows, with their numbers."""

from __future__ import annotations

import csv
import hashlib
import os
import select
import stat
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from typing import Any

LONGEST = 16 * 1024 * 1024
"""Bytes of a line, or of a row. A longer one has failed."""

TOO_LONG = f"it is longer than {LONGEST} bytes, and its rest is not kept"

_KEPT = LONGEST + 4
"""Of a longer one: the first of these, a byte order mark and a line's end may be taken from it."""

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
        is_cut: the last item may go on, in an input that grows: no line's end is behind it, or quotes are open.
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
def opened(path: str | None) -> Iterator[tuple[Callable[[], bytes | None], Callable[[], bool]]]:
    """What gives the next bytes of a file, gzip's where its name ends with ``.gz``, or of the standard input, ``None``
    for not yet; and what waits a moment for a pipe or a terminal, and tells whether there is nothing to read."""
    if path is None:
        fd = sys.stdin.fileno()
        yield lambda: os.read(fd, BLOCK), _idle(fd)
        return
    with open(path, "rb", buffering=0) as raw:
        idle = _idle(raw.fileno())
        if path.endswith(".gz"):
            unpacked = _Unpacked(raw)
            yield unpacked.read, lambda: not unpacked.has_more and idle()
        else:
            yield lambda: raw.read(BLOCK), idle


def _idle(fd: int) -> Callable[[], bool]:
    if os.name == "nt" or stat.S_ISREG(os.fstat(fd).st_mode):
        return lambda: False
    return lambda: not select.select([fd], [], [], 0.1)[0]


class _Unpacked:
    """Files of gzip, one behind another. Python's own reader would wait for a pipe, deaf to signals.

    Attributes:
        has_more: the next reading takes nothing from the file.
    """

    def __init__(self, raw: FileIO) -> None:
        self._raw = raw
        self._one: Any = None
        self._packed = b""
        self._padding = b""
        self.has_more = False

    def read(self) -> bytes | None:
        if not self.has_more:
            self._packed = self._raw.read(BLOCK) or b""
            if not self._packed and self._one is not None:
                raise Unreadable("it is no whole gzip file: its end is missing")
            if not self._packed:
                return b""
        if self._one is None:
            self._packed = self._packed.lstrip(self._padding)
            if not self._packed:
                self.has_more = False
                return None
            self._one = zlib.decompressobj(wbits=31)
        try:
            made: bytes = self._one.decompress(self._packed, BLOCK)
        except zlib.error as error:
            raise Unreadable(f"it is no whole gzip file: {error}") from None
        if self._one.eof:
            self._packed, self._one, self._padding = self._one.unused_data, None, b"\0"
        else:
            self._packed = self._one.unconsumed_tail
        self.has_more = bool(self._packed) or len(made) == BLOCK
        return made or None


def blocks(
    read: Callable[[], bytes | None], idle: Callable[[], bool], tick: Callable[[], bool]
) -> Iterator[list[bytes]]:
    """Lists of whole lines, as soon as they are there, without their ``\\n``: of ``\\r\\n`` the first is left, which in
    quotes is of a cell.

    Args:
        idle: asked before each reading, with ``tick`` all the while.
        tick: whether to go on; asked too while a line grows.

    Raises:
        Unreadable: the system, or gzip, gives no more.
    """
    line, first = _Line(), True
    while True:
        while idle():
            if not tick():
                return
        try:
            block = read()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        if block == b"":
            break
        *whole, rest = (block or b"").split(b"\n")
        if whole:
            line.add(whole[0])
            whole[0], line = line.whole(), _Line()
            if first:
                whole[0], first = whole[0].removeprefix(_BOM), False
            for start in range(0, len(whole), MOST):
                yield whole[start : start + MOST]
        elif not tick():
            return
        line.add(rest)
    if last := line.whole():
        yield _Cut([last.removeprefix(_BOM) if first else last])


class _Line:
    """A line whose end has not come. Of one that is too long, a digest stands for the rest: what reads it again must
    know whether it is the same."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._room = _KEPT
        self._rest: Any = None

    def add(self, piece: bytes) -> None:
        if len(piece) > self._room:
            self._rest = self._rest or hashlib.blake2b()
            self._rest.update(piece[self._room :])
            piece = piece[: self._room]
        self._pieces.append(piece)
        self._room -= len(piece)

    def whole(self) -> bytes:
        return b"".join(self._pieces) + (self._rest.hexdigest().encode() if self._rest else b"")


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
                raw = b"\n".join(self._taken).removesuffix(b"\r")
                numbers.append(before)
                raws.append(raw)
                ends.append(self._number)
                rows.append(row if len(raw) <= LONGEST else TOO_LONG)
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

    def _texts(self) -> Iterator[Any]:
        while True:
            while not self._feed:
                block = next(self._given, None)
                if block is None:
                    self._is_cut = self._is_cut or bool(self._taken)  # in quotes
                    return
                self._feed.extend(block)
                self._is_cut = isinstance(block, _Cut)
            line = self._feed.popleft()
            self._taken.append(line)
            self._number += 1
            # what is no text ends the row, as an error of CSV
            yield line.decode("utf-8", "surrogateescape") + "\n" if len(line) <= LONGEST + 1 else line


def _broken(row: list[Any]) -> bool:
    """Whether bytes that are no UTF-8 are in it."""
    text = "".join(row)
    try:
        return not text.isascii() and not text.encode()
    except UnicodeEncodeError:
        return True
