"""Records the monitor for the front page: serves the shipped ECG, opens it in Chromium, and writes docs/monitor.webp.

python docs/record_monitor.py [--seconds 6] [--output FILE]

Each picture is shown for as long as it was on the page, so that the sweep moves at its true speed, however many the
machine manages. It needs the extras ``cli`` and ``server``, the dependency group ``browser``, and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import Any, Final

from PIL import Image
from playwright.async_api import Page, async_playwright

SIZE: Final = (1120, 630)
PUBLISHED_WIDTH: Final = 840
PICTURES_A_SECOND: Final = 15
QUALITY: Final = 55
WARM_UP: Final = 12.0
"""Seconds before the recording."""
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Record and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the recording")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("monitor.webp"))
    options = parser.parse_args()
    program = next(filter(None, map(which, BROWSERS)), None)
    if program is None:
        sys.exit("Chromium is not installed (Debian: apt install chromium)")
    with _served() as address:
        pictures = asyncio.run(_watched(address, program, options.seconds))
    _write(options.output, pictures)
    print(f"{options.output}: {len(pictures)} pictures, {options.output.stat().st_size:,} bytes")


@contextmanager
def _served() -> Iterator[str]:
    command = [sys.executable, "-m", "ecgframe", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if found := re.search(r"http://[\d.]+:\d+/", line):
                    yield found[0]
                    return
            sys.exit("the server did not start")
        finally:
            server.terminate()


async def _watched(address: str, program: str, seconds: float) -> list[tuple[float, Image.Image]]:
    """Open the monitor, wait until its paper is full and the heart rate is known, and return the pictures."""
    width, height = SIZE
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page(viewport={"width": width, "height": height})
        await page.goto(address)
        await page.wait_for_timeout(1000 * WARM_UP)
        pictures = await _recorded(page, seconds)
        await browser.close()
        return pictures


async def _recorded(page: Page, seconds: float) -> list[tuple[float, Image.Image]]:
    """Return the pictures of the page, each with its time in seconds."""
    session = await page.context.new_cdp_session(page)
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    session.on("Page.screencastFrame", events.put_nowait)
    await session.send("Page.startScreencast", {"format": "png"})
    pictures: list[tuple[float, bytes]] = []
    while not pictures or pictures[-1][0] - pictures[0][0] < seconds:
        event = await events.get()
        await session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})  # asks for the next one
        time = event["metadata"]["timestamp"]
        if not pictures or time - pictures[-1][0] >= 0.9 / PICTURES_A_SECOND:
            pictures.append((time, base64.b64decode(event["data"])))
    return [(time, Image.open(io.BytesIO(data)).convert("RGB")) for time, data in pictures]


def _write(path: Path, pictures: list[tuple[float, Image.Image]]) -> None:
    width, height = SIZE
    small = (PUBLISHED_WIDTH, round(height * PUBLISHED_WIDTH / width))
    images = [image.resize(small, Image.Resampling.LANCZOS) for _, image in pictures]
    times = [time for time, _ in pictures]
    steps = [later - earlier for earlier, later in pairwise(times)]
    durations = [max(1, round(1000 * step)) for step in [*steps, sum(steps) / max(1, len(steps))]]
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        quality=QUALITY,
        method=6,
        minimize_size=True,
    )


if __name__ == "__main__":
    main()
