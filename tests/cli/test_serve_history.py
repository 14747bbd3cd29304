"""``ecgframe serve --history``: what it says, and with which options it does not go."""

from __future__ import annotations

import time

import pytest
from cli.live_server import live
from command_line import run as command


def test_it_says_what_is_kept_and_for_how_long(tmp_path):
    folder = tmp_path / "kept"
    with live("--history", folder, "--history-hours", 8, "--history-megabytes", 500) as server:
        while not list(folder.glob("ecg%2F1-*/*.frames")):  # what is played is written once a second
            assert server.process.poll() is None
            time.sleep(0.05)
        assert f"History: what is published is kept in {folder} for 8 hours, up to 500 MB; for viewers" in server.said
    with live("--history", folder) as server:
        assert "for 24 hours, up to 4,000 MB, with 0 MB from before" in server.said


def test_a_folder_in_use_is_an_error(tmp_path):
    with live("--history", tmp_path):
        done = command("serve", "--history", tmp_path, "--port", 0, code=2, columns=400)
    assert "another server keeps its history there" in done.output


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    done = command("serve", "--history", tmp_path / "file" / "kept", "--port", 0, code=None)
    assert done.code != 0
    assert str(tmp_path / "file") in done.output


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--signing-key", "key.pem"), "keeps no signatures"),
        (("--workers", 2, "--redis", "redis://localhost"), "several workers cannot keep one history"),
    ],
)
def test_what_does_not_go_with_it_is_an_error(tmp_path, options, why):
    assert why in command("serve", "--history", tmp_path, *options, code=2).output
