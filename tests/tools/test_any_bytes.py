"""For any bytes in a source, the tools show its contents, or report in one line why there are none."""

from __future__ import annotations

import io
import json
import random

import numpy as np
import orjson
import pytest
from rich.console import Console
from tools.captures import Connection, capture

from ecgframe import Codec, MessageType, encode
from ecgframe.cli.inspect.views import FrameLines, FrameTexts
from ecgframe.tools import ToolError
from ecgframe.tools.capture.wireshark_export import Recorder
from ecgframe.tools.error_report import read_error_log
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery, Origin
from ecgframe.tools.sizes import SizeAnalysis
from ecgframe.tools.sources import open_source

SIGNAL = {"signal": np.arange(40.0).reshape(2, 20), "sampling_rate": 250, "stream": "ecg/1", "leads": ["I", "II"]}
FRAMES = [
    encode(MessageType.ECG_DATA, SIGNAL),
    Codec(ndarray="binary").encode(MessageType.ECG_DATA, {**SIGNAL, "signal": np.zeros(900, "float32")}),
    encode(MessageType.PING, {"n": [1, None, {"a": b"x"}]}, version=1),
    encode(MessageType.SUBSCRIBE, {"stream": "ecg/1"}, version=2),
]


def recording():
    file = io.BytesIO()
    recorder = Recorder(file)
    for number, frame in enumerate(FRAMES):
        recorder.write(Delivery(frame, Origin(number, "10.0.0.1:5", "[::1]:6", bool(number % 2))))
    return file.getvalue()


def session(link, ng):
    connection = Connection(deflate="permessage-deflate").open()
    for number, frame in enumerate(FRAMES * 2):
        connection.send(frame, ("server", "client")[number % 2], deflated=number > 3, fragments=1 + number % 3)
    return capture(connection.packets, link, ng)


SOURCES = [b"".join(FRAMES), recording(), *(session(link, ng) for link in (0, 1, 101, 113) for ng in (False, True))]


def damaged(octets, chance):
    """Replace, remove and insert a few bytes."""
    found = bytearray(octets)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(found))
        kind = chance.random()
        if kind < 0.6:
            found[place] = chance.randrange(256)
        elif kind < 0.8:
            del found[place : place + chance.randint(1, 50)]
        else:
            found[place:place] = chance.randbytes(chance.randint(1, 30))
    return bytes(found)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_damaged_sources_are_shown_as_far_as_they_go(block, capsys):
    console = Console(file=io.StringIO(), width=120)
    shown = 0
    for seed in range(block * 50, block * 50 + 50):
        chance = random.Random(seed)
        octets = damaged(chance.choice(SOURCES), chance)
        texts, lines, analysis = FrameTexts(console, as_hex=seed % 2 == 0), FrameLines(as_hex=True), SizeAnalysis()
        examiner = Examiner(validate=seed % 3 == 0)
        try:
            with open_source("-", io.BytesIO(octets)) as source:
                for observation in source.observations():
                    if not isinstance(observation, Delivery):
                        texts.remark(observation)
                        lines.remark(observation)
                        continue
                    for frame in examiner.examine(observation):
                        texts.frame(frame)
                        lines.frame(frame)
                        analysis.add(frame)
                        shown += 1
        except ToolError:
            continue
        analysis.compare()
    printed = capsys.readouterr().out.splitlines()
    assert all(orjson.loads(line)["event"] in ("frame", "remark") for line in printed)
    assert shown > 50


def test_damaged_logs_are_read(tmp_path):
    lines = json.dumps({"code": 257, "time": 5.0, "peer": "10.0.0.1:5", "check": 7, "header": {"type": "PING"}}) + "\n"
    path = tmp_path / "errors.jsonl"
    for seed in range(100):
        path.write_bytes(damaged((lines * 3).encode(), random.Random(seed)))
        try:
            assert read_error_log(path).count <= 4
        except ToolError:
            continue
