"""docs/debugging.md: its outputs are what the commands print, and its programs and commands run."""

import json
import re
import shlex
from importlib.metadata import version

import pytest
from cli.live_server import live
from cli.talking import connecting_again, meanwhile
from command_line import run
from interpreter import python
from pages import arguments, blocks, inline_commands, read
from ports import unused_port
from recordings import optional
from tools.captures import Connection, capture
from tools.tshark import Tshark

from ecgframe import MessageType, encode
from ecgframe._core import build_frame

optional("websockets")

PAGE = "docs/debugging.md"
SHOWN = [
    block.text.removeprefix("$ ").partition("\n") for block in blocks(PAGE) if block.text.startswith("$ ecgframe ")
]
MAKES_THE_FILE, KEEPS_ERRORS = [block.text for block in blocks(PAGE) if block.words == "python"]
COMMANDS = inline_commands(PAGE)
# The release whose bytes the page shows. Others deflate to a few bytes more or fewer.
DEFLATE = ("deflate", "0.9.0")

PING = encode(MessageType.PING, None, version=1)
BROKEN = bytes([*PING[:-1], PING[-1] ^ 1])
ECG = {"signal": [0.5] * 2000, "sampling_rate": 250, "stream": "ecg/1"}

# A server for the handler of the page, and a peer that it has something to answer.
TALKS = """
import asyncio, sys
import websockets
from ecgframe.server.adapters.websockets import serve

async def main():
    async with handler, serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://127.0.0.1:{port}") as peer:
            await peer.recv()  # the offer
            await peer.send(bytes.fromhex(sys.argv[1]))
            print((await peer.recv()).hex())

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The file that the page makes, and a session with an alert, a subscription and a frame that is broken."""
    folder = tmp_path_factory.mktemp("made")
    assert python("-c", MAKES_THE_FILE, cwd=folder).stderr == ""
    subscribe = encode(MessageType.SUBSCRIBE, {"stream": "ecg/1"}, version=1)
    alert = encode(MessageType.ANOMALY_ALERT, {"kind": "asystole", "timestamp": 1.5, "stream": "ecg/1"})
    ecg = encode(MessageType.ECG_DATA, ECG | {"signal": [n * 0.731 for n in range(2000)]})
    connection = Connection().open().send(subscribe, "client").send(alert).send(ecg)
    connection.send(build_frame(4, 1, 0x02, 0, (9).to_bytes(4) + bytes(60), 0, 7, 1))  # sealed
    connection.send(build_frame(4, 2, 0x40, 0, bytes.fromhex("80") + bytes(72), 0, 7, 2))  # signed
    connection.send(BROKEN, "client").send(PING[:-1], "client")
    (folder / "session.pcap").write_bytes(capture(connection.packets))
    (folder / "errors.jsonl").write_text('{"code": 257, "peer": "10.0.0.1:1"}\n')
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_every_block_is_one_of_those_below():
    assert len(SHOWN) == 4
    assert len(blocks(PAGE)) == len(SHOWN) + 2


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), [(command, shown) for command, _, shown in SHOWN])
def test_the_shown_output_is_the_printed_one(command, shown, folder, server):
    printed = run(*arguments(command, server.port), code=None).output
    lines = [line.rstrip() for line in printed.rstrip().splitlines()]
    expected = shown.splitlines()
    assert sum(map(is_measured, lines)) == sum(map(is_measured, expected))
    lines, expected = ([line for line in all_lines if not is_measured(line)] for all_lines in (lines, expected))
    if version(DEFLATE[0]) == DEFLATE[1] or "compressed" not in printed.lower():
        assert lines == expected
    else:
        assert list(map(words_of, lines)) == list(map(words_of, expected))


def is_measured(line):
    """Return True if a line has times, which differ from machine to machine."""
    return (
        re.match(r"  compression of a payload in (list|binary) form: zlib .*; version 4 takes \w+ at ", line)
        is not None
    )


def words_of(line):
    """A line without its numbers."""
    return re.sub(r"0x[0-9a-f]+|[-+]?[\d,.]+", "0", line).split()


def test_a_handler_made_so_keeps_the_errors(tmp_path, monkeypatch):
    done = python("-c", KEEPS_ERRORS + TALKS, BROKEN.hex(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ["frame refused (0x101, check 7" in line for line in done.stderr.splitlines()] == [True]
    [line] = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert (line["code"], line["check"], line["header"]["type"]) == (0x101, 7, "PING")
    assert "data" not in line["header"]
    monkeypatch.chdir(tmp_path)
    assert "0x101" in run("errors", "errors.jsonl", code=3).output


def listens(command):
    """Return True if a command waits for connections at a port."""
    return bool(re.search(r" proxy | --listen | \d{4}$", command))


def test_the_commands_are_those_that_are_known():
    assert {command.split()[1] for command in COMMANDS} >= {"inspect", "replay", "proxy", "serve", "errors", "top"}
    assert sum(map(listens, COMMANDS)) == 3


@pytest.mark.parametrize("command", [one for one in COMMANDS if not listens(one) and " serve " not in one])
def test_a_command_runs(command, folder, server):
    if " wireshark " in command:
        Tshark(folder)  # or a skip: it is asked where its plugins belong
    words = arguments(command, server.port)
    if words[:2] == ["inspect", f"ws://127.0.0.1:{server.port}/ws"]:
        words += ["--count", "3"]
    ran = run(*words, code=None, stdin=(folder / "day.frames").read_bytes())
    assert ran.code == (3 if words[-1] in {"session.pcap", "c2", "errors.jsonl"} else 0), ran.output
    assert ran.output


@pytest.mark.parametrize("command", [one for one in COMMANDS if listens(one)])
def test_a_command_that_listens_runs(command, folder, server):
    port = unused_port()
    words = arguments(re.sub(r"\b876[67]\b", str(port), command), server.port)
    if "--listen" in words:
        with connecting_again(port):
            assert "passed" in run(*words, "--case", "1.1").output
    else:
        thread = meanwhile(port, lambda client: client.recv())
        assert f"Listening at ws://127.0.0.1:{port}" in run(*words).output
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for one in COMMANDS if " serve " in one])
def test_a_server_keeps_the_errors(command, folder):
    (folder / "errors.jsonl").unlink()
    with live(*shlex.split(command)[2:]) as running:
        run("replay", BROKEN.hex(), f"ws://127.0.0.1:{running.port}/ws", "--linger", 0.3, code=None)
    assert json.loads((folder / "errors.jsonl").read_text())["code"] == 0x101


@pytest.mark.parametrize("section", read(PAGE).split("\n## ")[1:], ids=lambda section: section.partition("\n")[0])
def test_the_options_that_it_names_exist(section):
    commands = set(re.findall(r"(?:`|\$ )ecgframe (\w+)", section))
    known = set(re.findall(r"--[a-z-]+", "".join(run(command, "--help").output for command in commands)))
    assert set(re.findall(r"`(--[a-z-]+)", section)) <= known


FILTERS = re.findall(r"`(ecgframe[ .][^`]*|ecgframe)`", read(PAGE).split("| filter | shows |")[1].split("\n\n")[0])


def test_the_page_has_display_filters():
    assert len(FILTERS) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("words", FILTERS)
def test_a_filter_finds_something(words, folder):
    found = Tshark(folder).run(folder / "session.pcap", "-Y", words)
    if words == "ecgframe.expert.tag" and not found:  # Wireshark has no cipher before 4.6
        found = Tshark(folder).run(folder / "session.pcap", "-Y", "ecgframe.sealed.not_opened")
    assert found
