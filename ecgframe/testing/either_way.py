"""What runs in the event loop of a test, with ``async with``, or in a thread of its own, with ``with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ..background.loop_thread import LoopThread

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class EitherWay(ABC):
    """A context manager of both kinds; with ``with``, ``_start`` and ``_stop`` run in the loop of a new thread."""

    _thread_name: ClassVar[str]
    _thread: LoopThread | None = None

    @abstractmethod
    async def _start(self) -> None: ...

    @abstractmethod
    async def _stop(self) -> None: ...

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    def __enter__(self) -> Self:
        self._thread = LoopThread(self._thread_name)
        try:
            self._thread.run(self._start)
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._thread is not None
        try:
            self._thread.run(self._stop)
        finally:
            self._thread.stop()
