"""What a command tells while it is busy."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from functools import partial

import pytest
from interpreter import PACKAGES

from ecgframe.cli import waiting
from ecgframe.cli.console import Terminal


def test_short_steps_are_not_reported(caplog):
    with caplog.at_level(logging.INFO), waiting.telling("reading day.csv"):
        pass
    assert caplog.messages == []


def test_without_a_terminal_it_goes_to_the_log(caplog, monkeypatch):
    monkeypatch.setattr(waiting, "MOMENT", 0)
    monkeypatch.setattr(waiting, "BETWEEN", 0.001)
    told = waiting.threading.Event()
    monkeypatch.setattr(
        caplog.handler, "emit", lambda record: told.set() if "for 0 s so far" in record.getMessage() else None
    )
    with caplog.at_level(logging.INFO), waiting.telling("reading day.csv"):
        assert told.wait(120)


def test_in_a_terminal_it_stands_on_the_last_line_and_goes_away(monkeypatch):
    shown, appeared = io.StringIO(), waiting.threading.Event()
    write = shown.write
    shown.write = lambda text: (appeared.set() if "day [1].csv" in text else None, write(text))[1]
    terminal = partial(Terminal, file=shown, force_terminal=True, width=80)
    monkeypatch.setattr(waiting, "Terminal", lambda stderr: terminal())
    monkeypatch.setattr(waiting, "MOMENT", 0)
    with waiting.telling("reading day [1].csv"):
        assert appeared.wait(120)
    assert shown.getvalue().endswith("\x1b[2K")  # erased


@pytest.mark.slow
def test_a_server_shows_that_it_reads_until_it_is_live():
    command = [sys.executable, "-P", "-m", "ecgframe", "serve", "-", "--port", "0", "--sampling-rate", "250"]
    environment = os.environ | {"PYTHONPATH": str(PACKAGES), "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as server:
        assert "reading standard input, for 1 s so far" in server.stderr.readline()
        server.stdin.write("II\n" + "1\n2\n" * 1000)
        server.stdin.close()
        assert any(line.startswith("Live at ws://127.0.0.1") for line in server.stdout)
        server.terminate()
        server.stderr.read()
    assert server.returncode == 0
