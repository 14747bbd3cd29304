"""``ecgframe bridge lsl``, with a server and LSL streams of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from bridges.loopback import pylsl, sender
from cli.live_server import ENVIRONMENT, live
from command_line import run

from ecgframe.bridges.lsl import finding

RATE = 500


@pytest.fixture(autouse=True)
def quick_sweep(monkeypatch):
    """Look for further streams for a moment only: all are on this machine."""
    monkeypatch.setattr(finding, "SWEEP", 0.1)


@contextmanager
def amplifier(name: str) -> Iterator[None]:
    """An LSL stream that another program sends, until the context is left."""
    outlet, stop = sender(name, ["I", "II"], RATE, units="microvolts"), threading.Event()

    def send() -> None:
        begin, number = pylsl.local_clock(), 0
        while not stop.wait(0.02):
            count = int((pylsl.local_clock() - begin) * RATE) - number
            if count:
                number += count
                outlet.push_chunk(np.zeros((count, 2)), begin + (number - 1) / RATE)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def address(port: int) -> str:
    return f"ws://127.0.0.1:{port}/ws"


@pytest.mark.slow
def test_a_stream_is_sent():
    with live("--alerts", 0.3) as server:
        out = run("bridge", "lsl", "out", address(server.port), "ecg/1", "--duration", 1.5).stdout
        assert out.startswith("ecg/1: sent ")
        assert " samples per lead, " in out
        told = json.loads(run("bridge", "lsl", "out", address(server.port), "ecg/1", "--duration", 1, "--json").stdout)
    [summary] = told["streams"]
    assert summary["samples"] > 300
    assert (summary["stream"], summary["is_whole"], summary["formats"]) == ("ecg/1", True, 1)
    assert told["clock_steps"] == 0


@pytest.mark.slow
def test_both_directions_speak_version_4():
    with live("--protocol", 4, "--publish") as server, amplifier("cli 4"):
        options = ("--protocol", 4, "--duration", 1.5, "--json")
        sent = run("bridge", "lsl", "out", address(server.port), "ecg/1", *options).stdout
        published = run("bridge", "lsl", "in", address(server.port), "--name", "cli 4", *options).stdout
        code, log = server.end()
    assert code == 0
    assert log.count("uses V4 (negotiated)") == 2
    for told in (sent, published):
        [summary] = json.loads(told)["streams"]
        assert summary["samples"] > 300
        assert summary["is_whole"]


@pytest.mark.slow
def test_an_lsl_stream_is_published():
    with live("--publish", "--streams", 0) as server, amplifier("cli 1"):
        url = address(server.port)
        out = run("bridge", "lsl", "in", url, "--name", "cli 1", "--duration", 2, "--frame-ms", 100).stdout
        assert out.startswith("cli 1 as lsl/cli 1: published ")
        assert " samples per channel in uV, " in out
        told = run("bridge", "lsl", "in", url, "--name", "cli 1", "--stream", "ecg/9", "--duration", 2, "--json").stdout
    [summary] = json.loads(told)["streams"]
    assert summary["samples"] > 300
    assert (summary["name"], summary["stream"], summary["units"]) == ("cli 1", "ecg/9", "uV")
    assert summary["is_whole"]


@pytest.mark.slow
def test_the_bridge_stops_on_a_signal_and_prints_the_summary():
    with live() as server:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ecgframe", "bridge", "lsl", "out", address(server.port), "ecg/1"],
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            for _ in range(120):
                is_found = bool(pylsl.resolve_byprop("name", "ecg/1", 1, 1))
                if is_found or process.poll() is not None:
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
            assert is_found, (out, err)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert out.startswith("ecg/1: sent ")
    assert "Traceback" not in err


@pytest.mark.slow
def test_errors_are_reported_in_one_line():
    with live() as server, amplifier("cli 2"):
        url = address(server.port)
        unknown = run("bridge", "lsl", "out", url, "ecg/9", "--duration", 0.3, code=1).output
        assert "there is no stream 'ecg/9'; there is 'ecg/1'" in unknown
        absent = run("bridge", "lsl", "in", url, "--name", "cli 3", "--wait", 0.1, code=1).output
        assert "error: no LSL stream named 'cli 3' was found within 0.1 s; there " in absent
        denied = run("bridge", "lsl", "in", url, "--name", "cli 2", "--duration", 20, code=1).output
        assert "the server does not let this client publish" in denied
        assert "ecgframe serve --publish does" in denied


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("out", "http://127.0.0.1:1", "ecg/1"), 2, "it does not begin with ws:// or wss://"),
        (("out", "ws://127.0.0.1:1/ws", "a", "a"), 2, "each stream only once"),
        (("out", "ws://127.0.0.1:1/ws", ""), 2, "1 to 256 characters"),
        (("out", "ws://127.0.0.1:1/ws", "ecg/1"), 1, "Connection refused"),
        (("in", "ws://127.0.0.1:1/ws"), 1, "Connection refused"),
        (("in", "ws://127.0.0.1:1/ws", "--stream", "x" * 300), 2, "1 to 256 characters"),
        (("in", "ws://127.0.0.1:1/ws", "--frame-ms", 0), 2, "0 is not above 0"),
        (("in", "ws://127.0.0.1:1/ws", "--insecure"), 2, "requires a server at wss:// or https://"),
    ],
)
def test_invalid_arguments_are_reported_in_a_line(arguments, code, problem):
    said = " ".join(run("bridge", "lsl", *arguments, code=code).output.replace("│", " ").split())
    assert problem in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("bridge",)),
        (("bridge",), ("lsl",)),
        (("bridge", "lsl"), ("in", "out", "LSLAPICFG")),
        (("bridge", "lsl", "in"), ("--name", "--predicate", "--markers", "--units", "--publish")),
        (("bridge", "lsl", "out"), ("--type", "STREAM alerts", "exit code is 0")),
    ],
)
def test_help_says_what_there_is(arguments, words):
    output = run(*arguments, "--help").output
    for word in words:
        assert word in output
