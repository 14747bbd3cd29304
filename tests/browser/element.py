"""A page with ``<ecg-monitor>`` in headless Chromium."""

from __future__ import annotations

import time
from typing import Any

from browser.monitor import LOST_SIGHT, OWN_DOING, SCREENSHOTS

NAMES = ("ecg-state", "ecg-loss", "ecg-error", "ecg-freeze", "ecg-measure", "ecg-rate")

WATCHING = f"""
window.told = [];
for (const name of {list(NAMES)})
  addEventListener(name, ({{ type, detail }}) => window.told.push({{ type, detail: JSON.parse(JSON.stringify(detail,
    (_, value) => (typeof value === "bigint" ? String(value) : value instanceof Error ? value.message : value))) }}));
"""
"""Keeps the events of all elements of a page, in ``window.told``."""


class Element:
    """The first ``<ecg-monitor>`` of a page.

    Attributes:
        page: of the browser.
        said: what the page logged.
    """

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.add_init_script(WATCHING)
        page.goto(address)

    def get(self, expression: str) -> Any:
        """Evaluate an expression of ``m``, the element."""
        return self.page.evaluate(
            f"(() => {{ const m = document.querySelector('ecg-monitor'); return {expression}; }})()"
        )

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Wait until a condition of ``m`` holds."""
        began = time.monotonic()
        while not self.get(f"Boolean(m && ({condition}))"):
            late = f"{condition} did not come true: {self.get('m && m.state')}, {self.said}"
            assert time.monotonic() < began + seconds, f"{late}, {self.page.evaluate('window.told')}"
            self.page.wait_for_timeout(20)

    def set(self, **attributes: str) -> None:
        """Set attributes."""
        for name, value in attributes.items():
            self.page.evaluate(
                "([name, value]) => document.querySelector('ecg-monitor').setAttribute(name, value)", [name, value]
            )

    def events(self, name: str) -> list[Any]:
        """The details of the events of a name, in order; numbers of more than 53 bits are text."""
        told = self.page.evaluate("window.told")
        return [event["detail"] for event in told if event["type"] == name]

    def text(self, part: str) -> str:
        """The text of a part of its shadow root."""
        return str(self.get(f"m.shadowRoot.querySelector('[part={part}]').textContent"))

    def is_shown(self, part: str) -> bool:
        return bool(self.get(f"m.shadowRoot.querySelector('[part={part}]').checkVisibility()"))

    def shot(self, name: str) -> None:
        """Save a screenshot."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def check_quiet(self, *excused: str) -> None:
        """Check that the page logged nothing else: no violation of its policy, no error."""
        known = (OWN_DOING, *excused, *(LOST_SIGHT if excused else ()))
        assert [text for text in self.said if not any(words in text for words in known)] == []
