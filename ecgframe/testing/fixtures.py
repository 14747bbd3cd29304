"""Fixtures for pytest: ``pytest_plugins = ["ecgframe.testing.fixtures"]`` in ``conftest.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .proxy import CuttingProxy
from .server import LiveServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ecg_server() -> Iterator[LiveServer]:
    """Run a live server in a thread."""
    with LiveServer() as server:
        yield server


@pytest.fixture
def ecg_proxy(ecg_server: LiveServer) -> Iterator[CuttingProxy]:
    """Run a proxy in front of the live server."""
    with CuttingProxy(ecg_server.url) as proxy:
        yield proxy
