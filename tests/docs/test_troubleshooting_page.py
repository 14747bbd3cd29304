"""docs/troubleshooting.md and docs/debugging.md: their commands exist and run, and every code has its place."""

import re
import shlex
from pathlib import Path

import pytest
from cli.live_server import live
from command_line import run
from recordings import optional
from tools.captures import Connection, capture

from ecgframe import MessageType, encode
from ecgframe.protocol import ErrorCode
from ecgframe.tools.error_report import ADVICE

optional("websockets")

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
DEBUGGING = (DOCS / "debugging.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(ecgframe .*?)^```$", PAGE, re.M | re.S)
SPECIFIED = ("Version mismatch", "Checksum errors", "Compression failures", "Memory issues")


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield running


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What the commands read."""
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


COMMANDS = {line for block in BLOCKS for line in block.splitlines()} | {one.command for one in ADVICE.values()}


@pytest.mark.parametrize("command", sorted(command for command in COMMANDS if " proxy " not in command))
def test_its_commands_run(command, folder, server):
    here = re.sub(r"--seconds \d+", "--seconds 0.3", command).replace(":8765/", f":{server.port}/")
    arguments = shlex.split(here)[1:]
    if arguments[0] == "watch" and "--seconds" not in arguments:
        arguments += ["--seconds", "0.3"]
    ran = run(*arguments, code=None)
    assert ran.code in (0, 3), ran.output
    assert ran.output


def test_the_commands_of_the_other_page_are_known():
    known = set(re.findall(r"^│ (\w+) ", run("--help").output, re.M))
    named = set(re.findall(r"`ecgframe (\w+)", DEBUGGING + PAGE))
    assert named <= known, named - known
    assert named >= {"inspect", "wireshark", "sizes", "proxy", "replay", "errors", "conformance", "top"}


def test_the_output_that_is_shown_is_what_is_printed(server):
    examples = re.findall(r"^```\n\$ ecgframe (.*?)\n(.*?)^```$", DEBUGGING, re.M | re.S)
    assert len(examples) == 2
    for command, shown in examples:
        here = command.replace(":8765/", f":{server.port}/")
        assert run(*shlex.split(here), code=None).output == shown
