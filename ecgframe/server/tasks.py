"""Coroutines that are to run on their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

if sys.version_info >= (3, 12):

    def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the coroutine as a task, up to its first real wait at once: one that never waits costs no turn."""
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the coroutine as a task, from the next turn of the loop on."""
        return asyncio.get_running_loop().create_task(coroutine)
