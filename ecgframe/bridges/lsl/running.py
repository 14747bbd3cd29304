"""Running a bridge until it ends, a time has passed, or it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

LEAVING_SECONDS: Final = 3.0
"""Maximum time in seconds that the work may take to end by itself after it was stopped."""


async def run_until(
    work: Coroutine[Any, Any, None], seconds: float | None, stop: asyncio.Event | None, ending: asyncio.Event
) -> None:
    """Run until the work is done, ``seconds`` have passed, or ``stop`` is set.

    Args:
        work: the work.
        seconds: how long to run; None for no limit.
        stop: ends the work when it is set.
        ending: set when the work is to end; it is cancelled if it has not ended within ``LEAVING_SECONDS``.

    Raises:
        Exception: the first error of the work.
    """
    working = asyncio.create_task(work)
    stopping = asyncio.create_task((stop or asyncio.Event()).wait())
    try:
        await asyncio.wait([working, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ending.set()
        await asyncio.wait([working], timeout=LEAVING_SECONDS)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait([working, stopping])
    if not working.cancelled() and (error := working.exception()) is not None:
        raise _first(error)


def _first(error: BaseException) -> BaseException:
    """Return the first error of a group that a task group raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
