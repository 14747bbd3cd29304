from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest
from cli.live_server import live
from command_line import run
from tools.captures import Connection, capture

from ecgframe import MessageType, encode
from ecgframe.cli.sizes import EPILOG

SIGNAL = np.round(np.sin(np.arange(500) / 9), 3)
ECG = encode(MessageType.ECG_DATA, {"signal": SIGNAL, "sampling_rate": 250, "stream": "ecg/1"})
PING = encode(MessageType.PING, {f"field{n}": n for n in range(12)})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "day.frames").write_bytes(ECG * 5 + PING)
    packets = Connection().open().send(ECG).send(PING).send(b"\x07").packets
    (tmp_path / "session.pcap").write_bytes(capture(packets))
    return tmp_path


def test_a_table_for_each_type_and_a_line_of_advice(folder):
    output = run("sizes", folder / "day.frames").output
    assert re.search(
        rf"^ECG_DATA  5 frames, .* of all; {len(ECG) / 1000:.3g} kB a frame, 100% compressed$", output, re.M
    )
    assert re.search(r"^  signal +4,5\d\d +99%$", output, re.M)
    assert re.search(rf"^  sent: float64, list, compressed +{len(ECG):,} *$", output, re.M)
    assert re.search(r"^  JSON +\d,\d{3} +\+\d+%$", output, re.M)
    assert re.search(r"^  int16 with a gain of 1000, list +[\d,]+ +[\d,]+ +-\d+%$", output, re.M)
    assert re.search(
        r"^  advice send signal as int16 with a gain of 1000, in \w+ form, compressed: \d+% smaller", output, re.M
    )
    assert "  4 more fields" in output


def test_json(folder):
    told = json.loads(run("sizes", folder / "session.pcap", "--json").stdout)
    assert told["broken"] == 1
    ecg, ping = told["types"]
    assert (ecg["type"], ecg["frames"], ecg["wire_bytes"]) == ("ECG_DATA", 1, len(ECG))
    assert ecg["integers"] == {"dtype": "int16", "gain": 1000, "error": 0.0}
    assert ping["numbers"] is None
    assert "left out: 1 broken" in run("sizes", folder / "session.pcap").output


@pytest.mark.slow
def test_a_server_is_measured():
    with live("--protocol", 3) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        told = json.loads(run("sizes", url, "--stream", "ecg/1", "--seconds", 0.5, "--json").stdout)
    assert told["types"][0]["type"] == "ECG_DATA"
    assert told["types"][0]["sent_as"].keys() == {"int16, binary, compressed"}


def test_sources_without_frames_are_reported(folder):
    assert "ff: no valid frame in it" in run("sizes", "ff", code=1).output
    assert "there is no such file" in run("sizes", "nothing", code=1).output
    connection = Connection().open().send(ECG).send(ECG).send(PING)
    del connection.packets[5]
    (folder / "hole.pcap").write_bytes(capture(connection.packets))
    assert "note: " in run("sizes", folder / "hole.pcap").output


@pytest.mark.slow
def test_the_examples_of_the_help_run_as_printed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    examples = re.findall(r"^\*\*ecgframe (.*?)\*\*", EPILOG, re.M)
    assert len(examples) == 3
    with live() as server:
        for example in examples:
            here = example.replace(":8765/", f":{server.port}/").replace("--seconds 5", "--seconds 0.5")
            assert "ECG_DATA" in run(*shlex.split(here)).stdout
