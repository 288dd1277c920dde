"""The standard streams, which may be closed, lack letters, or lose their readers."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from typing import TextIO

import rich.console
import typer

SIGPIPE = 13
"""POSIX's number, on a system without this signal too."""


class Console(rich.console.Console):
    """Rich's own ends the process with 1 where the reader has left."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def begin(command: str) -> Callable[[str], bool]:
    """Sees to the standard output; gives what says something on the standard error, in the command's name, and whether
    it could be said.

    Raises:
        typer.Exit: the standard output is closed.
    """

    def say(text: str) -> bool:
        return write_error(f"kafka-sr-retry {command}: {printable(text)}\n")

    if sys.stdout is None:
        say("the standard output is closed")
        raise typer.Exit(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has not all letters
    return say


def write_error(text: str) -> bool:
    """On the standard error. Whether it could be: where nobody hears it, the exit code still tells."""
    try:
        typer.echo(text, nl=False, err=True)
    except OSError:
        write_no_more(sys.stderr)
        return False
    return sys.stderr is not None


def printable(text: str) -> str:
    """``text`` with all escaped that is not to be seen, or moves the cursor or the reading order."""
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def write_no_more(stream: TextIO) -> None:
    """What is buffered cannot be written, and Python would try once more at its end."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
