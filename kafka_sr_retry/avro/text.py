"""The text of a function as it grows, line by line, and the function that it becomes."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from .types import LARGEST, Unsuitable

Write = Callable[[Any, Any], bytes]
"""(value, the message's context) -> prefix and Avro binary."""

WriteOther = Callable[[Any, bytes], bytes]
"""(value, prefix) -> prefix and Avro binary; or it refuses with ``AvroEncodingError``."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema's function, compiled once. Tracebacks show its text as long as this object lives.

    Attributes:
        writer: (prefix, other) -> the function that writes the prefix and a value, or gives the value to ``other``. A
            function for another prefix is one more closure of the same code.
    """

    writer: Callable[[bytes, WriteOther], Write]

    @property
    def filename(self) -> str:
        return self.writer.__code__.co_filename

    def show(self, lines: Sequence[str]) -> None:
        linecache.cache[self.filename] = (0, None, lines, self.filename)  # type: ignore[assignment]

    def __del__(self, forget: Callable[..., Any] = linecache.cache.pop) -> None:
        forget(self.filename, None)


class Text:
    """Lines of Python, and what they name.

    Attributes:
        constants: the values that they name.
    """

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {}
        self._lines: list[str] = []
        self._conditions: list[str] = []
        self._size = 0
        self._indent = 2
        self._bail = "return other(value, prefix)"
        self._out = "p"
        self._names = count(1)

    def _line(self, text: str) -> None:
        if self._conditions:
            self._check()
        self._size += len(text)
        if self._size > LARGEST:
            raise Unsuitable(f"a function of more than {LARGEST} characters")
        self._lines.append("    " * self._indent + text)

    def _other_if(self, condition: str) -> None:
        """A value for which the condition holds is ``other``'s; ``_check`` comes before the next line."""
        self._conditions.append(condition)

    def _check(self) -> None:
        if self._conditions:
            conditions, self._conditions = self._conditions, []
            self._line(f"if {' or '.join(conditions)}: {self._bail}")

    def _new(self, letter: str) -> str:
        return f"{letter}{next(self._names)}"

    def _constant(self, value: Any) -> str:
        name = self._new("K")
        self.constants[name] = value
        return name

    def _flush(self, parts: list[str]) -> None:
        """Adds the pieces to the list that they go to."""
        self._check()
        if parts:
            self._line(f"{self._out} += {listed(parts)}")
            parts.clear()


def listed(parts: list[str]) -> str:
    """A tuple of them."""
    return f"({', '.join(parts)},)" if parts else "()"
