"""docs/alerts.md: its example servers detect heartbeats, and its tables list the fields that are sent."""

import asyncio
import contextlib
import json
import re
import sys
import urllib.request
from pathlib import Path

import numpy as np
import ports
import pytest
from hearts import LEADS, RATE, Heart, sinus
from recordings import optional
from running import run
from server.engines import TYPES, client

from ecgframe import MessageType
from ecgframe.client import connect

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def post(port, data):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/ecg/bed-7", json.dumps(data).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def rows(heading):
    """Return the fields of a table: the names in its first column."""
    section = PAGE.split(heading)[1].split("\n\n")[1]
    return {name for row in section.splitlines()[2:] for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}


PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


def saved(code, directory):
    """Save a program that listens on an unused port. Return its path and the port."""
    port = ports.unused_port()
    program = directory / "program.py"
    program.write_text(code.replace("8000", str(port)), encoding="utf-8")
    return program, port


@contextlib.asynccontextmanager
async def running(program, port):
    """Run a program until the context ends, which begins once it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        env={"PYTHONPATH": ":".join(sys.path)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await ports.wait_until_used(port)
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.slow
def test_a_server_of_your_own_publishes_what_it_finds(tmp_path):
    for library in ("fastapi", "uvicorn", "websockets"):
        optional(library)
    program, port = saved(PROGRAMS[0], tmp_path)
    heart = Heart()
    heart.beat("beats", 75, 12)
    heart.add("none", 0 * sinus(75, 8))
    signal = np.round(heart.signal(), 4)

    async def ask():
        async with running(program, port), client(port) as viewer:
            await viewer.subscribe("ecg/bed-7")
            for number in range(20):
                samples = signal[:, number * RATE : (number + 1) * RATE].tolist()
                data = {"signal": samples, "sampling_rate": RATE, "leads": list(LEADS), "sequence": number}
                await asyncio.to_thread(post, port, {**data, "timestamp": 1.7e9 + number})
            found = []
            while not found or found[-1].type != TYPES["ANOMALY_ALERT"]:
                frame = await viewer.receive()
                if frame.type in (TYPES["FEATURE_DATA"], TYPES["ANOMALY_ALERT"]):
                    found.append(frame)
            return found

    *features, alert = [frame.data for frame in run(ask())]
    assert (alert["kind"], alert["severity"], alert["stream"]) == ("asystole", "critical", "ecg/bed-7")
    assert any(abs(one["features"]["heart_rate"] - 75) < 2 for one in features)
    sent = {f"features.{name}" for name in features[-1]["features"]} | (features[-1].keys() - {"features", "stream"})
    assert sent == rows("FEATURE_DATA is sent")
    assert alert.keys() - {"stream"} == rows("ANOMALY_ALERT is sent") - {"end"}


@pytest.mark.slow
def test_streams_of_peers_are_analyzed(tmp_path):
    optional("websockets")
    program, port = saved(PROGRAMS[1], tmp_path)
    heart = Heart()
    heart.beat("beats", 75, 12)
    signal = heart.signal()

    async def ask():
        url = f"ws://127.0.0.1:{port}/ws"
        async with running(program, port), connect(url) as peer, peer.subscribe("ecg/bed-7") as messages:
            for number in range(12):
                samples = signal[:, number * RATE : (number + 1) * RATE]
                data = {"stream": "ecg/bed-7", "signal": samples, "sampling_rate": RATE, "sequence": number}
                await peer.send_message(MessageType.ECG_DATA, data)
            async for message in messages:
                if message.type == MessageType.FEATURE_DATA and message.data["features"]["heart_rate"] > 0:
                    return message.data["features"]["heart_rate"]
        return None

    assert run(ask()) == pytest.approx(75, abs=2)
