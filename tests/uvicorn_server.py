"""A real uvicorn in the test's own loop, on a port of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")


@asynccontextmanager
async def serving(app: Any, *, listener: socket.socket | None = None, **options: Any) -> AsyncIterator[int]:
    """The application behind uvicorn; gives the port. ``options`` are those of ``uvicorn.Config``."""
    listener = listener or socket.create_server(("127.0.0.1", 0))  # it takes connections before uvicorn is up
    defaults = {"ws_per_message_deflate": False, "log_level": "warning", "timeout_graceful_shutdown": 5}
    server = uvicorn.Server(uvicorn.Config(app, **(defaults | options)))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()
