"""Starting coroutines as tasks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

if sys.version_info >= (3, 12):

    def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the coroutine as a task. It runs at once, up to its first wait; one that never waits costs no turn."""
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)

else:

    def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the coroutine as a task, which begins in the next turn of the event loop."""
        return asyncio.get_running_loop().create_task(coroutine)
