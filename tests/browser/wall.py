"""The wall in headless Chromium, with the page of a running server."""

from __future__ import annotations

import time
from typing import Any

from browser.monitor import Monitor


class Wall(Monitor):
    """The page with all beds, opened.

    Args:
        page: of the browser, blank so far.
        port: of the server.
        query: of the page, such as ``?streams=ecg/1,ecg/2``.
    """

    def __init__(self, page: Any, port: int, query: str = "") -> None:
        super().__init__(page, port, f"wall{query}")

    @property
    def state(self) -> dict[str, Any]:
        """``window.ecgframeWall.state``."""
        found: dict[str, Any] = self.page.evaluate("window.ecgframeWall.state")
        return found

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """``window.ecgframeWall.alarms``."""
        found: list[dict[str, Any]] = self.page.evaluate("window.ecgframeWall.alarms")
        return found

    def wait(self, condition: str, seconds: float = 15) -> float:
        """Wait until a condition of ``s``, the state, and ``alarms`` holds. Return the seconds that it took."""
        began = time.monotonic()
        look = f"(() => {{ const {{ state: s, alarms }} = window.ecgframeWall; return Boolean({condition}); }})()"
        while not self.page.evaluate(look):
            assert time.monotonic() < began + seconds, f"{condition} did not come true: {self.state} {self.alarms}"
            self.page.wait_for_timeout(15)
        return time.monotonic() - began

    def wait_for_live(self, count: int) -> None:
        """Wait until so many beds are live."""
        self.wait(f"s.beds.filter(bed => bed.condition.state === 'live').length === {count}")

    def tile(self, bed: str) -> Any:
        """The tile of a bed."""
        return self.page.locator(f'[data-bed="{bed}"]')

    def sign(self, name: str) -> None:
        """Enter the name of who acknowledges."""
        self.page.fill("#who", name)
        self.page.keyboard.press("Tab")
