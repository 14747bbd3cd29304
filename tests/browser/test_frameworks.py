"""The programs of docs/frameworks.md: each ends with the monitor live."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from server.test_applications import PROGRAMS, own_server


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "litestar", "django", "aiohttp"])
def test_the_monitor_is_live(tmp_path, open_monitor, framework):
    assert framework in PROGRAMS
    with own_server(tmp_path, framework, None if framework == "aiohttp" else "uvicorn") as address:
        monitor = open_monitor(urlsplit(address).port, "ecg/")
        monitor.wait("s.end > 500")
        assert monitor.state["leads"] == ["II"]
        assert monitor.page.inner_text("#connection") == "Live"
        monitor.wait("s.end > 3000")
        monitor.shot(f"framework-{framework}")
