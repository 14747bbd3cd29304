"""Calls of the application's callbacks, whose exceptions do not stop the client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def call_safely(callback: Callable[[T], object], argument: T) -> None:
    """Call a callback of the application. Its exceptions are passed to the event loop's exception handler.

    That includes ``CancelledError``, which the result of a cancelled future raises: it must not cancel the client.
    """
    try:
        callback(argument)
    except (Exception, asyncio.CancelledError) as error:
        context = {"message": "a callback of the client failed", "exception": error, "callback": callback}
        asyncio.get_running_loop().call_exception_handler(context)
