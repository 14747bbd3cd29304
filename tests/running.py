"""Runs coroutines in tests, with a time limit; errors that asyncio would only log fail the test."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(
    coroutine: Coroutine[Any, Any, Result],
    timeout: float = 120,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Result:
    """Run a coroutine in the event loop of asyncio, or in one of ``loop_factory``, and return its result.

    Raises:
        TimeoutError: it took longer than ``timeout`` seconds.
        AssertionError: a task or a callback failed and nobody looked.
    """
    unhandled: list[str] = []

    async def limited() -> Result:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(_told(context)))
        async with asyncio.timeout(timeout):
            return await coroutine

    with asyncio.Runner(loop_factory=loop_factory, debug=False) as runner:
        result = runner.run(limited())
    gc.collect()  # a task tells of an exception that nobody asked for when it is collected
    assert not unhandled, "\n".join(unhandled)
    return result


def _told(context: dict[str, Any]) -> str:
    return f"{context['message']}: {context.get('exception')!r}"
