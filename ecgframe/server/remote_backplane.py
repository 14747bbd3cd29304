"""What backplanes have in common whose engine is reached over a network, such as Redis and NATS."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from ..plural import counted
from .logs import log_failure, logger

if TYPE_CHECKING:
    from .backplane import Deliver


class RemoteBackplane(ABC):
    """Connects to an engine, again and again; meanwhile, and while it does not answer, this server continues alone.

    Args:
        patience: seconds without an answer after which the engine counts as unreachable.
        bounds: further arguments that have to be finite and above 0, by their names.

    Attributes:
        engine: name of the engine.

    Raises:
        ValueError: a number is not finite and above 0.
    """

    engine: ClassVar[str]

    def __init__(self, *, patience: float, **bounds: float) -> None:
        for name, value in {"patience": patience, **bounds}.items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is a finite number above 0, not {value}")
        self._patience = patience
        self._deliver: Deliver | None = None
        self._running: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._up = False
        self._times_up = 0
        self._closing = False

    async def open(self, deliver: Deliver) -> None:
        """Start the backplane. If the engine does not answer within ``patience``, return anyway and keep trying.

        Raises:
            RuntimeError: another handler has opened it.
        """
        if self._running is not None:
            raise RuntimeError(f"a backplane of {self.engine} serves one handler; make another one for this")
        self._deliver = deliver
        self._running = asyncio.create_task(self._run(), name=f"ecgframe {self.engine} backplane")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self._tried.wait()

    async def _run(self) -> None:
        failures = 0
        while not self._closing:
            try:
                await self._converse()
            except Exception as error:
                failures = 1 if self._up else failures + 1
                self._continue_alone(error)
            if not self._closing:
                self._tried.set()
                await asyncio.sleep(self._pause(failures))

    @abstractmethod
    async def _converse(self) -> None:
        """Connect to the engine, and use it until the connection fails or the backplane is closed."""

    @abstractmethod
    def _pause(self, failures: int) -> float:
        """Seconds until the next attempt to connect, after so many failures in succession."""

    @abstractmethod
    def _continue_alone(self, error: BaseException) -> None:
        """Continue without the engine: log why, and deliver what waits for it."""

    @abstractmethod
    def _is_absence(self, error: BaseException) -> bool:
        """Return whether an error means that the engine is unreachable or cannot be used."""

    def _opened(self) -> Deliver:
        """Return what takes the messages.

        Raises:
            RuntimeError: the backplane is not open.
        """
        if self._deliver is None:
            raise RuntimeError("the backplane is not open")
        return self._deliver

    def _note_connected(self, lost: int) -> None:
        """Note that messages go through the engine from now on; ``lost`` of this server did not."""
        self._up = True
        self._times_up += 1
        self._tried.set()
        logger.info("connected to %s; other servers have missed %d messages so far", self.engine, lost)

    def _note_failure(self, error: BaseException) -> BaseException:
        """Note that messages stay on this server, log the reason once, and return the error without its groups."""
        was_up, self._up = self._up, False
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if not self._is_absence(error):
            log_failure(f"the {self.engine} backplane", error)
        elif was_up or not self._tried.is_set():
            text = str(error) or f"no answer within {self._patience} s"
            logger.warning("%s is unreachable, messages stay on this server until it is back: %s", self.engine, text)
        return error

    def _note_left_behind(self, lost: int) -> None:
        """Log how many messages the engine has not taken before the backplane was closed."""
        if lost:
            text = "closed with %s that other servers will not get: %s did not take them"
            logger.warning(text, counted(lost, "message"), self.engine)

    async def _finish(self, waiting: Callable[[], int], tasks: Callable[[], Iterable[asyncio.Future[Any]]]) -> None:
        """Wait until all messages are written, as long as the engine takes some of them within ``patience``.

        Args:
            waiting: returns the number of messages that wait.
            tasks: returns what ends when they are written.
        """
        left = math.inf
        while self._is_connected() and (unfinished := set(tasks())) and (now := waiting()) < left:
            left = now
            await asyncio.wait(unfinished, timeout=self._patience)

    @abstractmethod
    def _is_connected(self) -> bool:
        """Return whether messages that wait are being written."""

    async def _stop(self) -> None:
        """End the task that talks to the engine."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    @property
    def _reconnections(self) -> int:
        return max(0, self._times_up - 1)
