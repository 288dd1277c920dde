"""The standard streams, which may be closed, lack letters, or lose their readers."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

import typer

SIGPIPE = 13
"""POSIX's number, on a system without this signal too."""


def begin(command: str) -> Callable[[str], None]:
    """Sees to the standard output; gives what says something on the standard error, in the command's name.

    Raises:
        typer.Exit: the standard output is closed.
    """

    def say(text: str) -> None:
        try:
            typer.echo(f"kafka-sr-retry {command}: {text}", err=True)
        except OSError:  # nobody hears it: the exit code still tells
            write_no_more(sys.stderr)

    if sys.stdout is None:
        say("the standard output is closed")
        raise typer.Exit(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has not all letters
    return say


def write_no_more(stream: TextIO) -> None:
    """What is buffered cannot be written, and Python would try once more at its end."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
