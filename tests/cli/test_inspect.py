from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import socket
import subprocess
import sys

import numpy as np
import pytest
from cli.live_server import ENVIRONMENT, live
from command_line import run
from recordings import optional
from tools.captures import Connection, capture

from ecgframe import Codec, Flag, MessageType, encode
from ecgframe.cli.compare.views import TIMES
from ecgframe.cli.console import Terminal
from ecgframe.cli.inspect import EPILOG
from ecgframe.cli.inspect.views import COLOURS, FrameTexts
from ecgframe.protocol import Form
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery

optional("websockets")

STAMP = 1705314645_123456
SIGNAL = {"signal": np.arange(1000, dtype="int16").reshape(2, 500), "sampling_rate": 250, "stream": "ecg/1"}
ECG = encode(MessageType.ECG_DATA, SIGNAL, timestamp=STAMP)
PING = encode(MessageType.PING, {"n": 1}, version=1)
ALERT = encode(
    MessageType.ANOMALY_ALERT,
    {"kind": "asystole", "timestamp": 1.5, "stream": "ecg/2"},
    flags=Flag.PRIORITY | Flag.ACK_REQUIRED,
    timestamp=STAMP,
)
BROKEN = bytes([*PING[:-1], PING[-1] ^ 1])


@pytest.fixture
def session(tmp_path):
    path = tmp_path / "session.pcap"
    connection = Connection(deflate="permessage-deflate").open()
    connection.send(PING, "client", fragments=2).send(ECG, deflated=True).send(BROKEN, "client").send(ALERT + PING)
    connection.send(b"\x03\xe8", opcode=8)
    path.write_bytes(capture(connection.packets))
    return path


def lines_of(output):
    return [json.loads(line) for line in output.splitlines()]


# --- for people ---


def test_a_frame_is_shown_field_by_field():
    shown = run("inspect", ECG.hex()).output.splitlines()
    assert shown[0] == "#1  ECG_DATA  byte 0"
    pattern = (
        r"    version 3  flags COMPRESSED  length ([\d,]+) inflated ([\d,]+)  checksum 0x[0-9a-f]{8} ok  "
        r"timestamp 2024-01-15T10:30:45\.123456Z"
    )
    sizes = re.fullmatch(pattern, shown[1])
    assert int(sizes[1].replace(",", "")) == len(ECG) - 19
    assert int(sizes[2].replace(",", "")) == len(Codec().pack(SIGNAL))
    assert re.fullmatch(r"    signal         int16 \[2, 500\], 0 to 999  [▁▂▃▄▅▆▇█]{40}", shown[2])
    assert shown[3:] == ["    sampling_rate  250", '    stream         "ecg/1"']


def test_a_frame_of_version_4_is_shown_field_by_field():
    place = {"version": 4, "stream_id": 7, "sequence": 57, "timestamp": STAMP}
    alert = encode(MessageType.ANOMALY_ALERT, {"kind": "pause", "timestamp": 1.5}, flags=Flag.PRIORITY, **place)
    late = encode(MessageType.FEATURE_DATA, {"features": {}}, form=Form.BULK, **place)
    shown = run("inspect", (alert + late).hex()).output.splitlines()
    assert re.fullmatch(
        r"    version 4  flags PRIORITY  length 31  checksum 0x[0-9a-f]{8} ok  "
        r"timestamp 2024-01-15T10:30:45\.123456Z  form none  stream 7  sequence 57",
        shown[1],
    )
    assert any("form BULK  stream 7  sequence 57" in line for line in shown)
    in_hex = run("inspect", "--hex", late.hex()).output
    for line in ("04                       version    4", "10                       form       BULK"):
        assert line in in_hex
    assert "00 00 00 07              stream     7" in in_hex
    assert "00 00 00 00 00 00 00 39  sequence   57" in in_hex
    [line] = lines_of(run("inspect", "--json", late.hex()).output)
    assert (line["version"], line["form"], line["stream"], line["sequence"]) == (4, ["BULK"], 7, 57)
    assert line["data"] == {"features": {}}
    [line] = lines_of(run("inspect", "--json", PING.hex()).output)
    assert "form" not in line
    assert "sequence" not in line


def test_a_record_of_version_4_needs_its_template():
    record = encode(
        MessageType.ECG_DATA, bytes([0, 1]) + bytes(22), version=4, form=Form.RECORD, stream_id=7, sequence=1
    )
    output = run("inspect", record.hex(), code=3).output
    assert "form RECORD  stream 7  sequence 1" in output
    assert (
        "✗ 0x200 INVALID_DATA_FORMAT, check 11 at byte 0 of the payload: template 1 of stream 7 is not known" in output
    )
    summary = run("inspect", "--summary", (record + ALERT).hex(), code=0).output
    assert "versions V3 1, V4 1" in summary


def test_digits_may_stand_apart():
    assert run("inspect", *PING.hex(" ").split()).output == run("inspect", PING.hex()).output


def test_a_capture_is_shown_with_directions_and_times(session):
    output = run("inspect", session, code=3).output
    assert "connection 1: 10.0.0.1:50000 to server 10.0.0.2:8765" in output
    heads = re.findall(r"^#(\d+)  (\w+)  [\d:]{8}\.\d{6}  (.*)$", output, re.M)
    assert heads == [
        ("1", "PING", "client 1 → server"),
        ("2", "ECG_DATA", "server → client 1"),
        ("3", "PING", "client 1 → server"),
        ("4", "ANOMALY_ALERT", "server → client 1"),
        ("5", "PING", f"server → client 1  byte {len(ALERT)} of the message"),
    ]
    assert re.search(r"server → client 1  closes: 1000$", output, re.M)


def test_a_broken_frame_says_where_and_what_a_receiver_does():
    output = run("inspect", (PING + BROKEN + PING).hex(), code=3).output
    assert re.search(r"checksum 0x[0-9a-f]{8} WRONG, that of the payload is 0x[0-9a-f]{8}", output)
    assert re.search(
        r"✗ 0x101 CHECKSUM_MISMATCH, check 7 at byte 7 of the frame: .*; the frame is lost, the connection goes on$",
        output,
        re.M,
    )
    assert len(re.findall(r"^#\d  PING", output, re.M)) == 3


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("01130000000000000000", "✗ 0x200 INVALID_DATA_FORMAT, check 1"),
        (
            "0113000000000000000000",
            "message type 0x13 (byte 1) is none of the thirteen; the connection is closed",
        ),
        ("0211000100000100000000", "check 4 at byte 3 of the frame"),
        (PING[:-1].hex(), "length 4 of which 3 are present"),
        ("ff", "version 255"),
        ("0211000100000100000000", "closed with 1009"),
        ("", "no header"),
    ],
)
def test_damaged_frames_are_explained(digits, words, tmp_path):
    if not digits:
        octets = Connection().open().send(b"", "client").packets
        (tmp_path / "empty.pcap").write_bytes(capture(octets))
    source = digits or tmp_path / "empty.pcap"
    limit = ("--max-payload", 1000) if "0100" in digits else ()
    assert words in run("inspect", source, *limit, code=3).output


def test_a_text_message_and_a_time_beyond_all_calendars(tmp_path):
    late = encode(MessageType.PING, [1, 2], timestamp=2**64 - 1)
    packets = Connection().open().send(b"hello", opcode=1).send(late).packets
    (tmp_path / "session.pcap").write_bytes(capture(packets))
    output = run("inspect", tmp_path / "session.pcap", code=3).output
    assert re.search(r"^#1  text message .*\n    text \"hello\"\n    ✗ 0x200", output, re.M)
    assert "timestamp 18,446,744,073,709,551,615" in output
    assert "    [1, 2]\n" in output


def test_a_summary_of_nothing_but_faults():
    output = run("inspect", "--summary", "ff" * 20 + ("0113" + "00" * 9) * 8, code=3).output
    assert "frames   0 good, 0 B" in output
    assert "versions none" in output
    many = run("inspect", "--summary", (BROKEN + PING).hex() * 8, code=3).output
    assert "… 3 more" in many


def test_hex_names_the_fields():
    shown = run("inspect", PING.hex(), "--hex").output.splitlines()
    fields = [(line[4:29].strip(), *line[29:].split(maxsplit=1)) for line in shown[1:6]]
    assert fields == [
        ("01", "version", "1"),
        ("11", "type", "PING"),
        ("00", "flags", "none"),
        ("00 00 00 04", "length", "4"),
        (PING[7:11].hex(" "), "checksum", f"0x{PING[7:11].hex()} ok"),
    ]
    assert shown[6] == f"    00000b  {PING[11:].hex(' '):48} ··n·"


def test_hex_of_a_long_payload_is_cut():
    long = encode(MessageType.PING, bytes(1000), version=1)
    assert "… 491 bytes more" in run("inspect", long.hex(), "--hex").output


def test_colours_of_a_terminal():
    console = Terminal(force_terminal=True, color_system="standard", width=200, record=True, file=io.StringIO())
    for frame in Examiner().examine(Delivery(ECG)):
        FrameTexts(console, as_hex=True).frame(frame)
    shown = console.export_text(styles=True)
    assert f"\x1b[35m{'03':25}\x1b[0m" in shown
    assert COLOURS["version"] == "magenta"


# --- what is wanted ---


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ((), [1, 2, 3, 4, 5]),
        (("--type", "ping"), [1, 3, 5]),
        (("--type", "0x01", "--type", "ANOMALY_ALERT"), [2, 4]),
        (("--stream", "ecg/2"), [4]),
        (("--errors",), [3]),
        (("--count", 2), [1, 2]),
        (("--type", "ECG_DATA", "--errors"), []),
    ],
)
def test_filters(session, options, numbers):
    lines = lines_of(run("inspect", session, "--json", *options, code=3 if 3 in numbers else 0).stdout)
    assert [line["number"] for line in lines if line["event"] == "frame"] == numbers


def test_json_says_all(session):
    lines = lines_of(run("inspect", session, "--json", "--hex", code=3).stdout)
    assert [line["event"] for line in lines] == ["frame"] * 5 + ["remark"]
    signal, broken = lines[1], lines[2]
    assert signal["data"]["signal"] == {"dtype": "int16", "shape": [2, 500], "min": 0, "max": 999, "missing": 0}
    assert (signal["type"], signal["flags"], signal["from_server"]) == ("ECG_DATA", ["COMPRESSED"], True)
    assert (signal["nbytes"], signal["hex"], signal["intact"]) == (len(ECG), ECG.hex(), True)
    assert (signal["time"], signal["timestamp"]) == (pytest.approx(1000.05), STAMP)
    assert (broken["error"]["code"], broken["error"]["check"], broken["data"]) == (0x101, 7, None)
    assert broken["checksum_found"] != broken["checksum"]


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--type", "ERROR"), "no matching frame among 1"), (("--errors",), "no broken frame among 1")],
)
def test_an_empty_source_is_reported(options, words):
    assert run("inspect", PING.hex(), *options).output == f"{words}\n"
    assert run("inspect", PING.hex(), *options, "--json").output == ""


# --- totals ---


@pytest.fixture
def day(tmp_path):
    path = tmp_path / "day.frames"
    path.write_bytes(PING * 5000 + BROKEN + ECG * 3 + b"\xff\xff")
    return path


@pytest.mark.parametrize("options", [(), ("--unpack",)])
def test_a_summary(day, options):
    output = run("inspect", day, "--summary", *options, code=3).output
    assert re.search(r"^PING +5,000 +9\d\.\d% +75 kB +15 B +0%", output, re.M)
    assert re.search(r"^ECG_DATA +3 .* 100%", output, re.M)
    assert (TIMES in output) == bool(options)
    assert "frames   5,003 good" in output
    assert "versions V1 5,000, V3 3" in output
    assert "from     2024-01-15T10:30:45.123456Z" in output
    assert "broken   2 frames, 17 B" in output
    assert "  0x101 CHECKSUM_MISMATCH: 1" in output
    assert ("--unpack checks payloads too" in output) != bool(options)


def test_a_summary_as_json(day, session):
    [told] = lines_of(run("inspect", day, "--summary", "--json", code=3).stdout)
    assert (told["frames"], told["errors"]) == (
        5003,
        {"0x100": 1, "0x101": 1} if "0x100" in told["errors"] else told["errors"],
    )
    [told] = lines_of(run("inspect", session, "--summary", "--json", code=3).stdout)
    assert {name: kind["frames"] for name, kind in told["types"].items()} == {
        "ECG_DATA": 1,
        "ANOMALY_ALERT": 1,
        "PING": 2,
    }


def test_a_summary_reports_what_a_capture_lacks(tmp_path):
    connection = Connection().open().send(PING).send(PING)
    del connection.packets[4]
    (tmp_path / "hole.pcap").write_bytes(capture(connection.packets))
    assert (
        "note     17 bytes are missing from the capture here"
        in run("inspect", tmp_path / "hole.pcap", "--summary").output
    )
    [told] = lines_of(run("inspect", tmp_path / "hole.pcap", "--summary", "--json").stdout)
    assert told["notes"] == ["17 bytes are missing from the capture here"]


@pytest.mark.slow
def test_in_a_terminal_there_is_a_bar_of_bytes(day):
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-P", "-m", "ecgframe", "inspect", str(day), "--summary"]
    done = subprocess.run(arguments, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 3
    assert "counting" in shown
    assert "kB" in shown


# --- a server ---


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield running


def test_a_server_is_listened_to(server):
    url = f"ws://127.0.0.1:{server.port}/ws"
    lines = lines_of(run("inspect", url, "--stream", "ecg/1", "--json", "--count", 4).stdout)
    asked, answered, *others = lines
    assert [asked["type"], answered["type"]] == ["SUBSCRIBE", "SUBSCRIPTION_ACK"]
    assert {line["type"] for line in others} <= {"STREAM_TEMPLATE", "ECG_DATA"}
    assert [line["from_server"] for line in lines] == [False, True, True, True]
    assert others[-1]["data"]["signal"]["shape"] == [12, 50]
    output = run("inspect", url, "--count", 2).output
    assert re.search(r"^#1  PROTOCOL_NEGOTIATION .* server → client 1$", output, re.M)
    assert re.search(r"^#2  PROTOCOL_NEGOTIATION .* client 1 → server$", output, re.M)
    refused = run("inspect", url.replace("/ws", "/elsewhere"), code=1).output
    assert "HTTP 404" in refused


def test_a_server_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}/ws"
        output = run("inspect", url, code=1).output
    assert output.startswith(f"error: {url}: ")


# --- what goes wrong, and help ---


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nothing.pcap",), 1, "error: nothing.pcap: there is no such file, and it is neither"),
        ((PING.hex(), "--type", "WAVE"), 2, "'WAVE' is neither a number nor one of ECG_DATA"),
        ((PING.hex(), "--type", "999"), 2, "'999' is neither"),
        ((PING.hex(), "--header", "x"), 2, "is not a header"),
        ((PING.hex(), "--seconds", 0), 2, "is not above 0"),
    ],
)
def test_mistakes(arguments, code, words):
    assert words in run("inspect", *arguments, code=code).output


def test_the_examples_of_the_help_run_as_printed(session, server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.frames").write_bytes(PING * 3)
    examples = re.findall(r"^\*\*ecgframe (.*?)\*\*", EPILOG, re.M)
    assert len(examples) == 5
    for example in examples:
        here = example.replace(":8765/", f":{server.port}/").replace("--seconds 5", "--seconds 0.5")
        assert run(*shlex.split(here), code=3 if "--errors" in example else 0).stdout
    assert "--errors --hex" in run("inspect", "--help").output
