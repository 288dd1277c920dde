"""A background process that owns a folder with its pid file, its log and its data.

The process inherits a lock on its pid file. The lock is free once the process has gone, however it went, so
it tells any later run whether the pid in the file is still this process and may be ended.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 10
LOG_LINES_SHOWN = 30


class StackError(RuntimeError):
    """The stack cannot be had; the message says why."""


def start(folder: Path, script: str) -> None:
    """Run a shell `script` in `folder`, as a process group of its own that outlives this program.

    Started again it goes on with the folder's data and log.
    """
    (folder / "log").touch()
    with open(folder / "pid", "w") as pid:
        fcntl.flock(pid, fcntl.LOCK_EX)
        subprocess.run(
            ["sh", "-c", f"{{ {script}; }} >>log 2>&1 & echo $$"],
            cwd=folder,
            stdout=pid,
            pass_fds=[pid.fileno()],
            start_new_session=True,
            check=True,
        )


def is_locked(path: Path) -> bool:
    """Whether a living process holds `path` locked; a missing file is not."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def is_alive(folder: Path) -> bool:
    return is_locked(folder / "pid")


def stop(folder: Path) -> None:
    """End the process of `folder` if there is one, forcibly when it takes too long."""
    _end(folder, signal.SIGTERM)
    kill(folder)


def kill(folder: Path) -> None:
    """End the process of `folder` if there is one, with no chance to tidy up."""
    _end(folder, signal.SIGKILL)


def pause(folder: Path) -> None:
    """Stop the process of `folder` until `resume`: it keeps its connections, and answers nothing."""
    os.killpg(int((folder / "pid").read_text()), signal.SIGSTOP)


def resume(folder: Path) -> None:
    os.killpg(int((folder / "pid").read_text()), signal.SIGCONT)


def _end(folder: Path, signal_number: signal.Signals) -> None:
    if not is_alive(folder):
        return
    with suppress(ProcessLookupError):
        os.killpg(int((folder / "pid").read_text()), signal_number)
    _wait_until(lambda: not is_alive(folder), STOP_SECONDS)


def await_ready(folder: Path, is_ready: Callable[[], bool], seconds: float) -> None:
    """Wait until `is_ready`; an error shows the end of the log."""
    if not _wait_until(lambda: is_ready() or not is_alive(folder), seconds):
        raise StackError(f"{folder.name} was not ready after {seconds:.0f} s. {_log_end(folder)}")
    if not is_alive(folder):
        raise StackError(f"{folder.name} ended while it started. {_log_end(folder)}")


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _log_end(folder: Path) -> str:
    log = folder / "log"
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return "\n".join([f"The end of {log}:", *lines])
