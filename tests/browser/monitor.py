"""The monitor in a real browser: Chromium without a window, on the page of a server that runs."""

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

sync_api = optional("playwright.sync_api", extra="browser")

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
"""Where pictures are kept, for people to look at."""

LOST_SIGHT = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE", "disconnected")
"""Of what a browser writes into its console of its own accord when a server is gone."""

OWN_DOING = "willReadFrequently"
"""Of what it writes because a test looks at the canvas."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
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
        query: what follows the page's address, such as ``?view=sheet``.
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
        """Wait until this holds of ``s``, the state, and ``alerts``; give the seconds that it took.

        By asking again and again: the page's policy forbids what Playwright has for it, which is to run text as code.
        """
        began = time.monotonic()
        look = f"(() => {{ const {{ state: s, alerts }} = window.ecgframe; return Boolean({condition}); }})()"
        while not self.page.evaluate(look):
            assert time.monotonic() < began + seconds, f"{condition} did not come true: {self.state}"
            self.page.wait_for_timeout(15)
        return time.monotonic() - began

    def samples(self, first: int, last: int) -> npt.NDArray[np.float32]:
        """[leads, last - first]: what the page has of these samples, in millivolts; NaN where one is missing."""
        ask = "([first, last]) => window.ecgframe.state.leads.map(lead => window.ecgframe.samples(lead, first, last))"
        return millivolts(self.page.evaluate(ask, [first, last]))

    def last_samples(self, count: int) -> npt.NDArray[np.float32]:
        """[leads, count]: the newest samples, asked for and read at one moment: where much comes, no other will do."""
        ask = """count => {
            const { leads, end } = window.ecgframe.state;
            return leads.map(lead => window.ecgframe.samples(lead, end - count, end));
        }"""
        return millivolts(self.page.evaluate(ask, count))

    def shot(self, name: str) -> None:
        """Keep a picture."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def check_quiet(self, *, cut: bool = False) -> None:
        """The page asked nobody else for anything, and had nothing to complain of.

        Args:
            cut: whether the server went away, which the browser itself complains of.
        """
        excused = (OWN_DOING, *LOST_SIGHT) if cut else (OWN_DOING,)
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
    """What a server plays of a recording, over and over, as the page should have it."""

    def __init__(self, record: Record) -> None:
        samples = seamless(record)
        assert samples is not None
        self._loop = record.physical()[:, samples.start : samples.stop].astype(np.float32)

    def place(self, received: npt.NDArray[np.float32]) -> int:
        """The sample of the loop with which the received ones begin."""
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
        """The received samples are those of the recording, each of them once and in order."""
        start = self.place(received)
        expected = np.take(self._loop, np.arange(start, start + received.shape[1]), axis=1, mode="wrap")
        np.testing.assert_array_equal(received, expected)
