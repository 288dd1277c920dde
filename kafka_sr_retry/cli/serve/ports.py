"""Which ports: those that were asked for, else the usual ones, else any."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

HOST = "127.0.0.1"
_T = TypeVar("_T")


class PortError(Exception):
    """A port that was asked for cannot be had; why."""


def opened(made: Callable[[int], _T], what: str, asked: int | None, usual: int, count: int = 1) -> tuple[_T, str]:
    """What ``made`` listens with, on so many ports in a row, and a word where nobody asked for one and it is not the
    usual."""
    port = usual if asked is None else asked
    named = f"port {port}" if count == 1 else f"port {port} or {port + 1}"
    try:
        return made(port), ""
    except OSError as error:
        if asked is None:
            return made(0), f"{named} is taken: the {what} has another"
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken" if taken else f"cannot be had: {os.strerror(error.errno or 0)}"
        if error.errno == errno.EACCES and port < 1024:
            reason += " (ports below 1024 are root's)"
        option = "--kafka-port" if what == "broker" else "--registry-port"
        raise PortError(f"{named} {reason}: give another with {option}, or 0 for any") from None


class Doorway:
    """A port before the mock broker, which lets nobody choose its own.

    Clients come here first; the broker's answer then names its own port, where they go on.
    """

    def __init__(self, port: int, broker: str) -> None:
        host, _, far = broker.rpartition(":")
        self._broker = host, int(far)
        self._socket = socket.create_server((HOST, port), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="doorway", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(5)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        await asyncio.start_server(self._carry, sock=self._socket)
        await self._closing.wait()
        self._socket.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._broker)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer, writer), _pump(far_reader, writer, far_writer))


async def _pump(source: asyncio.StreamReader, *writers: asyncio.StreamWriter) -> None:
    """To the first of ``writers``; both are closed at the end."""
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            writers[0].write(data)
            await writers[0].drain()
    for writer in writers:
        writer.close()
