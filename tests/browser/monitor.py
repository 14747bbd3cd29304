"""The monitor in headless Chromium, with the page of a running server."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from recordings import optional

from ecgframe.records import Record, shipped_ecg, write_record
from ecgframe.records.loop_point import seamless

sync_api = optional("playwright.sync_api", group="browser")

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-precise-memory-info",
)

DESK = (1440, 900)
PHONE = (390, 844)

SCREENSHOTS = Path(os.environ.get("ECGFRAME_SCREENSHOTS", Path.cwd() / "build" / "screenshots"))
"""The folder for screenshots."""

UNAUTHORIZED = "the server responded with a status of 401"
"""What the browser logs of a list of streams that takes a token."""

LOST_SIGHT = (
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "ERR_EMPTY_RESPONSE",
    "ERR_SOCKET_NOT_CONNECTED",
    "disconnected",
)
"""Parts of the messages that a browser logs when a server is gone."""

OWN_DOING = "willReadFrequently"
"""Part of the message that it logs because a test reads the canvas."""


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser; the test is skipped if there is none."""
    if PROGRAM is None:
        missing = "Chromium is not installed (Debian: apt install chromium)"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


class Monitor:
    """The page, opened.

    Args:
        page: of the browser, blank so far.
        port: of the server.
        query: what follows the server's address, such as ``?view=sheet``; it may begin with a path.
    """

    def __init__(self, page: Any, port: int, query: str = "") -> None:
        self.page = page
        self.origin = f"http://127.0.0.1:{port}/"
        self.said: list[str] = []
        self.asked_for: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.asked_for.append(request.url))
        page.goto(self.origin + query)

    @property
    def state(self) -> dict[str, Any]:
        """``window.ecgframe.state``."""
        found: dict[str, Any] = self.page.evaluate("window.ecgframe.state")
        return found

    def wait(self, condition: str, seconds: float = 15) -> float:
        """Wait until a condition of ``s``, the state, and ``alerts`` holds. Return the seconds that it took.

        It polls, as the page's policy forbids Playwright's own way, which evaluates text as code.
        """
        began = time.monotonic()
        look = f"(() => {{ const {{ state: s, alerts }} = window.ecgframe; return Boolean({condition}); }})()"
        while not self.page.evaluate(look):
            assert time.monotonic() < began + seconds, f"{condition} did not come true: {self.state}"
            self.page.wait_for_timeout(15)
        return time.monotonic() - began

    def samples(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """[leads, last - first]: these samples of the page in millivolts; NaN if one is missing."""
        ask = "([first, last]) => window.ecgframe.state.leads.map(lead => window.ecgframe.samples(lead, first, last))"
        return millivolts(self.page.evaluate(ask, [first, last]))

    def last_samples(self, count: int) -> npt.NDArray[np.float32]:
        """[leads, count]: the newest samples, read at one moment."""
        ask = """count => {
            const { leads, end } = window.ecgframe.state;
            return leads.map(lead => window.ecgframe.samples(lead, end - count, end));
        }"""
        return millivolts(self.page.evaluate(ask, count))

    def shot(self, name: str) -> None:
        """Save a screenshot."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def check_quiet(self, *, cut: bool = False, refused: int = 0) -> None:
        """Check that the page sent no requests to other servers, and logged nothing.

        Args:
            cut: whether the server went away, which the browser logs.
            refused: how many requests without an accepted token the browser has logged.
        """
        excused = (OWN_DOING, *LOST_SIGHT) if cut else (OWN_DOING,)
        if refused:
            assert sum(UNAUTHORIZED in text for text in self.said) == refused, self.said
            excused = (*excused, UNAUTHORIZED)
        said = [text for text in self.said if not any(words in text for words in excused)]
        assert said == []
        assert {url[: len(self.origin)] for url in self.asked_for} == {self.origin}


def millivolts(rows: list[list[float | None]]) -> npt.NDArray[np.float32]:
    return np.array(rows, np.float64).astype(np.float32)


def fifteen_leads() -> Record:
    """The shipped ECG with three more leads, made of the twelve: [15, samples] at 1,000 Hz, as counts."""
    record = shipped_ecg()
    lead = dict(zip(record.leads, record.signal, strict=True))
    more = np.stack([lead["V6"] // 2 + lead["I"] // 3, lead["aVF"] // 2 + 11, -(lead["V2"] // 2) - 5])
    gain, baseline = record.gain, record.baseline
    assert gain is not None
    assert baseline is not None
    return Record(
        np.concatenate([record.signal, more]).astype(np.int16),
        record.sampling_rate,
        (*record.leads, "X", "Y", "Z"),
        "mV",
        (*gain, *gain[:3]),
        (*baseline, *baseline[:3]),
        "fifteen",
    )


def saved(record: Record, directory: Path) -> Path:
    """The recording as a file."""
    path = directory / "record.npz"
    with path.open("wb") as file:
        write_record(record, file, ".npz")
    return path


class Played:
    """A recording that a server plays in a loop, as the page should have it.

    Args:
        record: the recording.
        is_whole: whether all of it is played, not only what can be joined without a seam.
    """

    def __init__(self, record: Record, *, is_whole: bool = False) -> None:
        samples = slice(None) if is_whole else seamless(record)
        assert samples is not None
        self._loop = record.physical()[:, samples.start : samples.stop].astype(np.float32)

    def place(self, received: npt.NDArray[np.float32]) -> int:
        """Find the sample of the loop with which the received samples begin."""
        length = self._loop.shape[1]
        head = received[:, :100]
        twice = np.concatenate([self._loop, self._loop[:, :100]], axis=1)
        found = [
            start
            for start in np.flatnonzero((twice[:, :length] == head[:, :1]).all(axis=0))
            if (twice[:, start : start + head.shape[1]] == head).all()
        ]
        assert len(found) == 1, f"the first samples are found {len(found)} times in the recording"
        return int(found[0])

    def check(self, received: npt.NDArray[np.float32]) -> None:
        """Check that the received samples are those of the recording, each once and in order."""
        start = self.place(received)
        expected = np.take(self._loop, np.arange(start, start + received.shape[1]), axis=1, mode="wrap")
        np.testing.assert_array_equal(received, expected)
