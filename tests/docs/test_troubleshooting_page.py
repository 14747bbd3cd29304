"""docs/troubleshooting.md: its commands run, and every code has its place."""

import re

import pytest
from cli.live_server import live
from cli.talking import meanwhile
from command_line import run
from pages import arguments, blocks, inline_commands, read
from ports import unused_port
from recordings import optional
from tools.captures import Connection, capture

from ecgframe import MessageType, encode
from ecgframe.protocol import ErrorCode
from ecgframe.tools.error_report import ADVICE

optional("websockets")

PAGE = read("docs/troubleshooting.md")
BLOCKS = [block.text for block in blocks("docs/troubleshooting.md")]
SPECIFIED = ("Version mismatch", "Checksum errors", "Compression failures", "Memory issues")


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield running


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Create the files that the commands read."""
    good = encode(MessageType.ECG_DATA, {"signal": [0.5] * 300, "sampling_rate": 250, "stream": "ecg/1"})
    broken = bytes([*good[:-1], good[-1] ^ 1])
    packets = Connection().open().send(good).send(broken, "client").packets
    (tmp_path / "session.pcap").write_bytes(capture(packets))
    (tmp_path / "day.frames").write_bytes(good * 3)
    (tmp_path / "errors.jsonl").write_text('{"code": 257, "peer": "10.0.0.1:1"}\n')
    monkeypatch.chdir(tmp_path)


def test_the_issues_of_the_specification_come_first():
    headings = re.findall(r"^## (.*)$", PAGE, re.M)
    assert headings[: len(SPECIFIED)] == list(SPECIFIED)


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_its_place(code):
    assert f"`0x{code:03x}`" in PAGE


def test_every_section_has_its_command():
    for section in PAGE.split("\n## ")[1:]:
        assert len(re.findall(r"^```\necgframe ", section, re.M)) == 1, section.splitlines()[0]


IN_BLOCKS = {line for block in BLOCKS for line in block.splitlines()}
COMMANDS = IN_BLOCKS | set(inline_commands("docs/troubleshooting.md")) | {one.command for one in ADVICE.values()}
LISTENING = {command for command in COMMANDS if " proxy " in command}
SERVING = {command for command in COMMANDS if " serve " in command}  # run by the test of the page about debugging


def test_a_command_stands_in_every_block():
    assert all(command.startswith("ecgframe ") for command in IN_BLOCKS)


def test_the_options_of_the_server_exist():
    options = {word for command in SERVING for word in command.split() if word.startswith("--")}
    assert options == {"--error-log", "--ring-seconds"}
    assert options <= set(re.findall(r"--[a-z-]+", run("serve", "--help").output))


@pytest.mark.parametrize("command", sorted(COMMANDS - LISTENING - SERVING))
def test_the_commands_of_the_page_run(command, folder, server):
    ran = run(*arguments(command, server.port), code=None)
    assert ran.code in (0, 3), ran.output
    assert ran.output


@pytest.mark.parametrize("command", sorted(LISTENING))
def test_the_listening_commands_of_the_page_run(command, folder, server):
    port = unused_port()
    words = arguments(command.replace("8766", str(port)), server.port)
    thread = meanwhile(port, lambda client: client.recv())
    assert "1 valid frames relayed" in run(*words, "--force").output
    thread.join()
