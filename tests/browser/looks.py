"""Samples of the page's texts, taken at each frame of the display while a recording is played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.live_server import live
from hearts import RATE, Heart

from browser.monitor import DESK, Monitor

LATE = 0.3
"""Seconds of signal that may arrive together on a machine that is not too busy."""

LOOKING = """() => {
  const looks = window.looks = [];
  const text = selector => document.querySelector(selector).innerText.replace(/\\s+/g, " ");
  const look = () => {
    const { end, heart, quality } = window.ecgframe.state;
    const rate = document.getElementById("rate").textContent;
    const now = { second: end, rate, said: text(".vital"), line: text("#signal-line"), quality };
    looks.push(now);
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
"""Records the texts in each frame of the display, after the page has updated them."""


@dataclass(frozen=True)
class Look:
    """The texts of the page when that second of the signal had arrived.

    Attributes:
        second: of the signal.
        rate: as it is written.
        said: in the place of the heart rate, with the rate.
        line: above the paper.
        quality: of each lead, as the page has it.
    """

    second: float
    rate: str
    said: str
    line: str
    quality: Sequence[str]

    @property
    def bpm(self) -> int | None:
        return int(self.rate) if self.rate.isdigit() else None


@dataclass
class Session:
    """A recording, and the looks at the page."""

    heart: Heart
    looks: list[Look]
    alerts: list[dict[str, Any]]
    state: dict[str, Any]

    def during(self, name: str, after: float = 0.0) -> list[Look]:
        """The looks at a part of the recording: from ``after`` seconds after its beginning, or before its end."""
        begin, end = self.heart.begins[name], self.heart.ends[name]
        first = begin + after if after >= 0 else end + after
        found = [look for look in self.looks if first < look.second < end]
        assert len(found) > 1, name
        return found


@contextmanager
def watching(browser: Any, heart: Heart, path: Path, *options: object, speed: float) -> Iterator[Monitor]:
    """Open the page of a server that plays the recording from its first sample, and record looks."""
    with live(path, "--whole", "--speed", speed, *options) as server:
        context = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]})
        monitor = Monitor(context.new_page(), server.port)
        monitor.wait("s.end > 0")
        monitor.page.evaluate(LOOKING)
        # The samples are numbered from the first that was played: the page came in time for it.
        assert monitor.state["end"] < 10 * speed * RATE
        yield monitor
        monitor.check_quiet()
        context.close()


def session(monitor: Monitor, heart: Heart) -> Session:
    """Return all looks, once the recording was played."""
    monitor.wait(f"s.end > {RATE * heart.seconds}", 90)
    seen = monitor.page.evaluate("window.looks")
    looks = [Look(**{**look, "second": look["second"] / RATE}) for look in seen]
    looks = [look for look in looks if look.second < heart.seconds]  # then it begins anew
    return Session(heart, looks, monitor.page.evaluate("window.ecgframe.alerts"), monitor.state)
