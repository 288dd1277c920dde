"""What asyncio and trio each do in their own way. trio is no dependency: its tasks have loaded it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


class Asyncio:
    """Takes one value from any thread, for a task of asyncio."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] = self._loop.create_future()

    def put(self, value: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._set, value)

    def _set(self, value: Any) -> None:
        if not self._future.done():
            self._future.set_result(value)

    async def comes(self, seconds: float) -> bool:
        """Whether it has come within that time."""
        done, _ = await asyncio.wait([self._future], timeout=seconds)
        return bool(done)

    @property
    def value(self) -> Any:
        return self._future.result()

    @staticmethod
    async def within(seconds: float, awaitable: Awaitable[_T]) -> _T:
        """Raises ``TimeoutError`` too."""
        try:
            return await asyncio.wait_for(awaitable, seconds)
        except asyncio.TimeoutError:  # another one than TimeoutError before Python 3.11
            raise TimeoutError from None

    @staticmethod
    async def side_by_side(work: Callable[[], Awaitable[None]], times: int) -> None:
        """Until all have ended; what one raises ends the others."""
        workers = [asyncio.ensure_future(work()) for _ in range(times)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()


class Trio:
    """The same for a task of trio."""

    def __init__(self) -> None:
        import trio

        self._token, self._event = trio.lowlevel.current_trio_token(), trio.Event()
        self.value: Any = None

    def put(self, value: Any) -> None:
        with suppress(RuntimeError):  # trio.RunFinishedError
            self._token.run_sync_soon(self._set, value)

    def _set(self, value: Any) -> None:
        if not self._event.is_set():
            self.value = value
            self._event.set()

    async def comes(self, seconds: float) -> bool:
        import trio

        with trio.move_on_after(max(0.0, seconds)):
            await self._event.wait()
        return self._event.is_set()

    @staticmethod
    async def within(seconds: float, awaitable: Awaitable[_T]) -> _T:
        import trio

        with trio.move_on_after(max(0.0, seconds)):
            return await awaitable
        raise TimeoutError

    @staticmethod
    async def side_by_side(work: Callable[[], Awaitable[None]], times: int) -> None:
        import trio

        failed: list[Exception] = []  # a nursery would raise a group

        async def noted() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 raised below
                failed.append(error)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for _ in range(times):
                nursery.start_soon(noted)
        if failed:
            raise failed.pop()  # which would hold this frame, and itself


def here() -> type[Asyncio] | type[Trio]:
    """That of the task which asks."""
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)  # another thread may be importing it
    in_trio_task = getattr(lowlevel, "in_trio_task", None)  # trio 0.23 and later
    return Trio if in_trio_task is not None and in_trio_task() else Asyncio
