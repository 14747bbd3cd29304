from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from cli.live_server import ENVIRONMENT, live
from cli.talking import meanwhile
from command_line import run
from ports import unused_port
from recordings import optional

from ecgframe import MessageType, encode
from ecgframe.cli.proxy import EPILOG as PROXY
from ecgframe.cli.replay import EPILOG as REPLAY
from ecgframe.tools.capture.wireshark_export import Recorder

optional("websockets")


class Listening:
    """A listening command as a process. Its output is available after its end."""

    def __init__(self, *arguments, cwd=None, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", "-m", "ecgframe", *map(str, arguments)],
            env=os.environ | ENVIRONMENT,
            text=True,
            cwd=cwd,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )
        said = self.process.stderr.readline()
        found = re.match(r"Listening at (ws://127\.0\.0\.1:\d+)\s", said)
        assert found, said + self.process.stderr.read()
        self.url = found[1]

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.output, self.errors = self.process.communicate(timeout=120)
        return self.process.returncode


@contextmanager
def listening(*arguments, **options):
    started = Listening(*arguments, **options)
    try:
        yield started
        assert started.end() == 0, started.errors
    finally:
        if started.process.poll() is None:
            started.process.kill()
            started.process.communicate()


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield f"ws://127.0.0.1:{running.port}"


@pytest.mark.slow
def test_version_4_is_relayed_and_shown(tmp_path):
    """What both ends agree on; records are read by the templates that passed before."""
    record = tmp_path / "session.pcap"
    with live("--protocol", 4) as server:
        with listening("proxy", 0, f"ws://127.0.0.1:{server.port}", "--record", record) as proxy:
            watched = run("watch", f"{proxy.url}/ws", "ecg/1", "--seconds", 1, "--protocol", 4).output
        assert re.search(r"connected, V4$", watched, re.M)
    assert "form RECORD" in proxy.output
    assert re.search(r"^\d+ valid frames relayed, 0 broken$", proxy.errors, re.M)
    types = {one["type"]: one for one in json.loads(run("sizes", record, "--json").stdout)["types"]}
    assert types["ECG_DATA"]["advice"] == "nothing to gain: signal is sent as int16, delta record"


@pytest.mark.slow
def test_a_session_is_shown_recorded_and_played_again(server, tmp_path):
    record = tmp_path / "session.pcap"
    with listening("proxy", 0, server, "--record", record) as proxy:
        watched = run("watch", f"{proxy.url}/ws", "ecg/1", "--seconds", 1, "--json").stdout
    assert '"event":"message"' in watched
    heads = re.findall(r"^#\d+  (\w+)  \S+  (client|server) ", proxy.output, re.M)
    assert heads[:2] == [("PROTOCOL_NEGOTIATION", "server"), ("PROTOCOL_NEGOTIATION", "client")]
    assert ("SUBSCRIBE", "client") in heads
    assert re.search(r"^\d+ valid frames relayed, 0 broken$", proxy.errors, re.M)
    assert f"Next: ecgframe inspect {record}" in proxy.errors

    lines = [json.loads(line) for line in run("inspect", record, "--json").stdout.splitlines()]
    assert [(line["type"], "server" if line["from_server"] else "client") for line in lines] == heads
    signals = sum(line["type"] == "ECG_DATA" for line in lines)
    assert signals > 10

    with listening("replay", record, 0, "--speed", 20, "--linger", 0, "--quiet") as player:
        again = run("inspect", f"{player.url}/ws", "--type", "ECG_DATA", "--json").stdout
    assert player.output == ""
    assert again.count('"type":"ECG_DATA"') == signals

    played = run("replay", record, f"{server}/ws", "--speed", 20, "--linger", 0.3, "--json").stdout
    answered = [json.loads(line)["type"] for line in played.splitlines() if '"from_server":true' in line]
    assert {"PROTOCOL_NEGOTIATION", "SUBSCRIPTION_ACK", "ECG_DATA"} <= set(answered)


@pytest.mark.slow
def test_frames_that_name_no_stream_are_reported(server, tmp_path):
    """``encode`` and ``record`` write such files."""
    for stream in ({}, {"stream": "a"}):
        signal = {"signal": [1, 2], "sampling_rate": 250, **stream}
        (tmp_path / "a.frames").write_bytes(encode(MessageType.ECG_DATA, signal))
        output = run("replay", tmp_path / "a.frames", f"{server}/ws", "--linger", 0.1).output
        assert ("the frames name no stream" in output) is not bool(stream)


@pytest.mark.slow
def test_faults_are_shown(server):
    with listening("proxy", 0, server, "--corrupt", 1, "--seed", 1, "--errors") as proxy:
        run("inspect", f"{proxy.url}/ws", "--stream", "ecg/1", "--seconds", 0.5, code=None)
    assert "is flipped" in proxy.output
    assert "✗ 0x" in proxy.output
    assert re.search(r"0 valid frames relayed, [1-9]\d* broken", proxy.errors)


@pytest.fixture
def port():
    return unused_port()


def test_within_this_process(server, port, tmp_path):
    """The same within this process, for coverage."""
    record = tmp_path / "session.pcap"
    thread = meanwhile(port, lambda client: client.recv())
    output = run("proxy", port, server, "--record", record).output
    thread.join()
    assert f"Listening at ws://127.0.0.1:{port} to {server}" in output
    assert re.search(r"^#1  PROTOCOL_NEGOTIATION .* server → client 1$", output, re.M)
    assert "1 valid frames relayed, 0 broken" in output

    thread = meanwhile(port, lambda client: client.recv())
    output = run("replay", record, port, "--linger", 0.1).output
    thread.join()
    assert "with 1 messages for each client" in output
    assert re.search(r"^#1  PROTOCOL_NEGOTIATION .* server → client 1$", output, re.M)


def test_an_output_that_cannot_be_written_ends_the_proxy(server, port, tmp_path, monkeypatch):
    def fail(recorder, delivery):
        raise OSError(28, "No space left on device", "session.pcap")

    monkeypatch.setattr(Recorder, "write", fail)
    thread = meanwhile(port, lambda client: client.recv(), interrupts=False)
    output = run("proxy", port, server, "--record", tmp_path / "session.pcap", code=1).output
    thread.join()
    assert "error: session.pcap: No space left on device" in output


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_json_and_quiet(server, port, option):
    thread = meanwhile(port, lambda client: client.recv())
    ran = run("proxy", port, server, option)
    thread.join()
    events = [json.loads(line)["event"] for line in ran.stdout.splitlines()]
    assert events[:1] == (["frame"] if option == "--json" else [])
    assert ("relayed" in ran.output) == (option == "--quiet")


@pytest.mark.slow
def test_a_closed_pipe_ends_it(server):
    proxy = Listening("proxy", 0, server, "--json")
    proxy.process.stdout.close()
    run("watch", f"{proxy.url}/ws", "ecg/1", "--seconds", 0.3, code=None)
    assert proxy.process.wait(120) == 1
    assert "Traceback" not in proxy.process.stderr.read()
    proxy.process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("proxy", "here", "ws://h"), 2, "'here' is not an address to listen on (examples: 8766, 127.0.0.1:8766)"),
        (
            ("proxy", "0", "http://h"),
            2,
            "'http://h' is not the address of a server: it does not begin with ws:// or wss://",
        ),
        (("proxy", "0", "ws://h", "--drop", "2"), 2, "2 is not from 0 to 1"),
        (("proxy", "0", "ws://h", "--throttle", "0"), 2, "0 is not above 0"),
        (("proxy", "192.0.2.1:0", "ws://h"), 1, "error: cannot listen at 192.0.2.1, port 0"),
        (("replay", "nothing", "0"), 1, "error: nothing: there is no such file"),
        (("replay", encode(MessageType.PING, None).hex(), "ws://127.0.0.1:1/"), 1, "error: ws://127.0.0.1:1/: "),
        (("replay", encode(MessageType.PING, None).hex(), "0", "--connection", "2"), 1, "there is no connection 2"),
        (("replay", "-", "99999"), 2, "'99999' is not an address to listen on"),
    ],
)
def test_mistakes(arguments, code, words):
    assert words in run(*arguments, code=code).output


@pytest.mark.slow
def test_the_examples_of_the_help_run_as_printed(server, port, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "day.frames").write_bytes(encode(MessageType.PING, None))
    examples = re.findall(r"^\*\*ecgframe (.*?)\*\* ", PROXY + REPLAY, re.M)
    assert len(examples) == 6

    def answer(client):
        client.recv()
        client.send(encode(MessageType.PROTOCOL_NEGOTIATION, {"version": 3, "capabilities": []}, version=1))

    for example in examples:
        here = example.replace("ws://127.0.0.1:8765", server).replace("8766", str(port))
        if "/ws" in here:
            run(*shlex.split(here))
        else:
            thread = meanwhile(port, answer if "proxy" in here else lambda client: client.recv())
            run(*shlex.split(here))
            thread.join()
