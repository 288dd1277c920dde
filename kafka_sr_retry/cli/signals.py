"""Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal


def heard() -> list[int]:
    """Those of the two that end a command: not what it was started to ignore, as a script's ``&`` does."""
    return [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
