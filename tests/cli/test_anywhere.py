"""The commands with various encodings of the output, and without each optional library."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.live_server import ENVIRONMENT
from recordings import toy_ecg
from typer.main import get_command

from ecgframe import MessageType, encode
from ecgframe.cli.app import app
from ecgframe.records import Record, write_record

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it forks")
COMMANDS = get_command(app).commands
OPTIONAL = [
    *("typer", "rich", "orjson", "matplotlib", "wfdb", "edfio", "pydicom", "websockets", "starlette", "aiohttp"),
    *(
        "picows",
        "redis",
        "nats",
        "prometheus_client",
        "opentelemetry",
        "pythonjsonlogger",
        "textual",
        "deflate",
        "uvloop",
    ),
]
ENCODINGS = ["cp1252", "ascii", "latin-1", "cp437", "utf-8"]

RUN_ALL = """
import json, os, sys, traceback
blocked, watched, commands = json.loads(sys.argv[1])
wanted = set(watched) & set(sys.modules)
class Watch:
    def find_spec(name, path=None, target=None):
        wanted.update({name.partition(".")[0]} & set(watched))
sys.meta_path.insert(0, Watch)
sys.modules.update(dict.fromkeys(blocked))
import asyncio, numpy, ecgframe  # what the commands share is imported once, for all children
if not {"typer", "rich"} & set(blocked):
    import ecgframe.cli.app
for command in commands:
    print("=====", command[0], flush=True)
    child = os.fork()
    if not child:
        try:
            from ecgframe.__main__ import main
            sys.argv = ["ecgframe", *(os.fsdecode(part.encode()) for part in command)]
            main()
        except SystemExit as stopped:
            code = stopped.code
            print("code", 0 if code is None else code if isinstance(code, int) else f"1 {code}", flush=True)
        except BaseException:
            print("Traceback within", command, traceback.format_exc(), flush=True)
        print("wanted", *sorted(wanted), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
"""Runs commands in separate processes, as if some modules were not installed."""


def run_all(commands, *, blocked=(), folder, environment=None):
    """Return the output of each command, with its exit code."""
    return [part.rpartition(b"wanted")[0] for part in run_watched(commands, blocked, folder, environment)]


def run_watched(commands, blocked, folder, environment=None):
    """Return the output of each command, with its exit code, and which optional libraries it tried to import."""
    arguments = json.dumps([list(blocked), OPTIONAL, [list(map(str, one)) for one in commands]])
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN_ALL, arguments],
        check=False,
        cwd=folder,
        env=os.environ | ENVIRONMENT | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    parts = done.stdout.split(b"===== ")[1:]
    assert len(parts) == len(commands), done.stdout
    return parts


@pytest.fixture
def folder(tmp_path):
    return filled(tmp_path)


def filled(folder):
    """Write what the commands read."""
    signal = np.round(100 * np.sin(np.arange(800) / 9)).astype("int16").reshape(2, 400)
    data = {"signal": signal, "sampling_rate": 400, "leads": ["Ableitung_Ü", "心電図"], "units": "µV", "stream": "Ü"}
    (folder / "a.frames").write_bytes(encode(MessageType.ECG_DATA, data))
    with (folder / "a.csv").open("wb") as file:
        write_record(Record(signal, 400, ("Ü", "II"), "µV", (1, 1), (0, 0)), file, ".csv")
    with (folder / "Ü心.npz").open("wb") as file:
        write_record(toy_ecg(), file, ".npz")
    (folder / "e.jsonl").write_text("")
    (folder / "audit.jsonl").write_text("")
    (folder / "r.hea").write_text("r 1 250 2\nr.dat 16 200/mV 16 0 40 0 0 II\n")
    (folder / "r.dat").write_bytes(bytes(4))
    (folder / "r.edf").write_bytes(b"0       " + bytes(300))
    (folder / "r.dcm").write_bytes(bytes(128) + b"DICM")
    (folder / "a.pcap").write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_encoding_of_the_output_will_do(folder, encoding):
    commands = [
        ("inspect", "a.frames", "--hex"),
        ("inspect", "a.frames", "--json"),
        ("inspect", "a.frames", "--summary"),
        ("sizes", "a.frames"),
        ("decode", "a.frames"),
        ("decode", "a.frames", "-o", "b.csv"),
        ("encode", "Ü心.npz", "-o", "c.frames"),
        ("compare", "a.csv", "--budget", "0"),
        ("compare", "a.csv", "--budget", "0", "--json"),
        ("compare", "--help"),
        ("decode", "nowhere Ü心"),
        ("wireshark",),
    ]
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    said = run_all(commands, folder=folder, environment=environment)
    for command, text in zip(commands, said, strict=True):
        assert b"Traceback" not in text, text.decode(encoding)
        expected = b"code 1" if command[1:] == ("nowhere Ü心",) else b"code 0"
        assert expected == text.splitlines()[-1], (command, text.decode(encoding))
        text.decode(encoding)
    lines = [line for line in said[1].splitlines() if line.startswith(b"{")]
    assert json.loads(lines[0])["data"]["leads"] == ["Ableitung_Ü", "心電図"]
    if encoding not in ("utf-8", "cp437"):  # which have some of the blocks
        assert re.search(rb"[_.,=+*#-]{30}", said[0])  # a sparkline
    assert "Ableitung_Ü" in (folder / "b.csv").read_text("utf-8")


@pytest.mark.slow
def test_a_sparkline_in_ascii(folder):
    said = run_all([("inspect", "a.frames")], folder=folder, environment={"PYTHONIOENCODING": "cp1252"})[0]
    assert re.search(rb"[_.,=+*#-]{30}", said)
    assert said.splitlines()[-1] == b"code 0"


def commands_of_the_table():
    """Return a call of each command, and further ones that need other libraries."""
    calls = {
        "compare": [("a.csv", "--budget", "0"), ("a.csv", "--budget", "0", "--plot", "p.svg", "-f")],
        "encode": [
            ("a.csv", "-o", "x", "-f"),
            ("r.hea", "-o", "x", "-f"),
            ("r.edf", "-o", "x", "-f"),
            ("r.dcm", "-o", "x", "-f"),
        ],
        "decode": [("a.frames",)],
        "verify": [("a.frames", "--signer", "00" * 32)],
        "serve": [
            ("a.csv", "--host", "192.0.2.1"),
            ("a.csv", "--redis", "redis://127.0.0.1:1", "--host", "192.0.2.1"),
            ("a.csv", "--nats", "nats://127.0.0.1:1", "--host", "192.0.2.1"),
        ],
        "watch": [("ws://127.0.0.1:1/ws", "a")],
        "record": [("ws://127.0.0.1:1/ws", "a", "-o", "a.edf"), ("ws://127.0.0.1:1/ws", "a", "-o", "a.hea")],
        "bridge": [("lsl", "out", "ws://127.0.0.1:1/ws", "a", "--duration", "0.1")],
        "top": [("ws://127.0.0.1:1/ws", "--once"), ("ws://127.0.0.1:1/ws",)],
        "inspect": [("a.frames",), ("a.pcap",), ("ws://127.0.0.1:1/ws",)],
        "sizes": [("a.frames",), ("ws://127.0.0.1:1/ws",)],
        "wireshark": [("-o", "x.lua", "-f")],
        "proxy": [("192.0.2.1:0", "ws://127.0.0.1:1")],
        "replay": [("a.frames", "192.0.2.1:0"), ("a.frames", "ws://127.0.0.1:1/ws")],
        "errors": [("e.jsonl",)],
        "audit": [("audit.jsonl",)],
        "keys": [("new", "k.json", "ecg/1"), ("list", "k.json")],
        "conformance": [("ws://127.0.0.1:1/ws",), ("--listen", "192.0.2.1:0")],
    }
    assert calls.keys() == COMMANDS.keys(), "a new command has to be called here as well"
    return [(name, *arguments) for name, ways in calls.items() for arguments in ways]


@pytest.fixture(scope="module")
def with_all(tmp_path_factory):
    """The output of each command of the table where no library is missing, and which ones it tried to import."""
    parts = run_watched(commands_of_the_table(), (), filled(tmp_path_factory.mktemp("with all")))
    outputs, _, wanted = zip(*(part.rpartition(b"wanted") for part in parts), strict=True)
    return outputs, [set(names.decode().split()) for names in wanted]


@pytest.mark.slow
@pytest.mark.parametrize("missing", OPTIONAL)
def test_a_library_that_is_missing_is_no_traceback(folder, with_all, missing):
    """A command that does not try to import the library does the same without it: it ran once, for all libraries."""
    commands = commands_of_the_table()
    outputs, wanted = map(list, with_all)
    wanting = [place for place, names in enumerate(wanted) if missing in names]
    if wanting:
        said_without = run_all([commands[place] for place in wanting], blocked=[missing], folder=folder)
        for place, text in zip(wanting, said_without, strict=True):
            outputs[place] = text
    for command, text in zip(commands, outputs, strict=True):
        said = text.decode()
        assert "Traceback" not in said, (command, said)
        assert re.search(r"^code [013]", said, re.M), (command, said)
        if missing == "websockets" and command[:2] in (("inspect", "a.frames"), ("sizes", "a.frames")):
            assert "code 0" in said
        if "not installed" in said:
            assert missing in said


@pytest.mark.slow
def test_a_plain_file_needs_no_network(folder):
    said = run_all([("inspect", "a.frames"), ("sizes", "a.frames")], blocked=["websockets"], folder=folder)
    for text in said:
        assert text.splitlines()[-1] == b"code 0", text.decode()
    refused = run_all([("watch", "ws://127.0.0.1:1/ws", "a")], blocked=["websockets"], folder=folder)[0].decode()
    assert 'pip install "ecgframe[client]"' in refused
    assert Path(folder / "a.frames").exists()


@pytest.mark.slow
def test_what_the_commands_try_to_import_is_seen(with_all):
    wanted = dict(zip(commands_of_the_table(), with_all[1], strict=True))
    assert all({"typer", "rich"} <= names for names in wanted.values())
    assert "matplotlib" in wanted["compare", "a.csv", "--budget", "0", "--plot", "p.svg", "-f"]
    assert "edfio" in wanted["encode", "r.edf", "-o", "x", "-f"]
    assert "pydicom" in wanted["encode", "r.dcm", "-o", "x", "-f"]
    assert "websockets" in wanted["inspect", "ws://127.0.0.1:1/ws"]
    assert "websockets" not in wanted["inspect", "a.frames"]
    assert any("redis" in names for names in wanted.values())
    assert any("nats" in names for names in wanted.values())
