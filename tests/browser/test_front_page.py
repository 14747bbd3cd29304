"""The moving picture of the front page is a recording of the monitor that can be made again."""

import subprocess
import sys
from pathlib import Path

import pytest
from recordings import optional

DOCS = Path(__file__).parents[2] / "docs"
Image = optional("PIL.Image", group="browser")

from browser.monitor import PROGRAM  # noqa: E402 - after the skip


def pictures(path):
    with Image.open(path) as image:
        return image.n_frames, image.size


def test_the_picture_moves():
    number, size = pictures(DOCS / "monitor.webp")
    assert number > 30
    assert size == (840, 472)


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
def test_the_picture_can_be_recorded(tmp_path):
    written = tmp_path / "monitor.webp"
    command = [sys.executable, str(DOCS / "record_monitor.py"), "--seconds", "0.5", "--output", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    number, size = pictures(written)
    assert number > 1
    assert size == (840, 472)
