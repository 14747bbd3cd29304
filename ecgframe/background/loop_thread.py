"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads, until it is stopped. The thread does not keep the interpreter alive.

    Args:
        name: of the thread.
        stopped: makes the error that is raised once the thread is stopped, from its text.
    """

    def __init__(self, name: str, stopped: Callable[[str], Exception] = RuntimeError) -> None:
        self._name = name
        self._error = stopped
        self._process = os.getpid()
        self._changing = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(started)), name=name, daemon=True)
        self._thread.start()
        started.wait()

    @property
    def is_running(self) -> bool:
        """True until it is stopped."""
        return self._loop is not None

    @property
    def is_elsewhere(self) -> bool:
        """True in a process that was forked since: threads stay behind."""
        return os.getpid() != self._process

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, **options: Any) -> T:
        """Run a coroutine function in the loop, and wait for its result.

        If the waiting is interrupted (Ctrl-C), the coroutine is cancelled.

        Raises:
            RuntimeError: the caller is a callback in this thread, or was forked from the process of the thread. Unless
                there is another error for it, also: the thread is stopped, or was stopped in the meantime.
            Exception: any of the coroutine.
        """
        if self.is_elsewhere:
            raise RuntimeError(f"the {self._name} was opened before this process was forked: open one in each process")
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"this is the thread of the {self._name}, which cannot wait for itself")
        with self._changing:
            if self._loop is None:
                raise self._error(f"the {self._name} is closed")
            future = asyncio.run_coroutine_threadsafe(function(*arguments, **options), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise self._error(f"the {self._name} was closed in the meantime") from None
        except BaseException:
            future.cancel()  # without effect, unless the waiting was interrupted
            raise

    def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call a function in the thread, and return its result. Raises what ``run`` raises."""

        async def called() -> T:
            return function(*arguments, **options)

        return self.run(called)

    def stop(self) -> None:
        """End the loop, which cancels what still runs in it, and wait for the end of the thread."""
        with self._changing:
            loop, self._loop = self._loop, None
        if loop is not None and not self.is_elsewhere:
            loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    async def _live(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        started.set()
        await self._stopped.wait()
