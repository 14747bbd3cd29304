from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from command_line import run
from tools.captures import Connection, capture
from tools.tshark import Tshark

from ecgframe import MessageType, encode
from ecgframe.cli.wireshark import EPILOG


def test_the_dissector_is_written_to_stdout():
    output = run("wireshark").stdout
    assert output.startswith("-- Wireshark's dissector")
    assert output.endswith('register_heuristic("ws", looks_like_one)\n')


def test_the_dissector_is_written_to_a_file(tmp_path):
    path = tmp_path / "ecgframe.lua"
    output = run("wireshark", "--output", path).output
    assert output == f"{path}\nNext: tshark -X lua_script:{path} -r session.pcap\n"
    assert path.read_text() == run("wireshark").stdout
    assert "is there already; --force replaces it" in run("wireshark", "--output", path, code=2).output
    run("wireshark", "--output", path, "--force")


def test_the_dissector_is_installed_and_replaced(tmp_path):
    folder = tmp_path / "wireshark" / "plugins"
    for _ in range(2):
        output = run("wireshark", "--install", "--folder", folder).output
        assert output == f"{folder / 'ecgframe.lua'}\nNext: restart Wireshark\n"
    assert (folder / "ecgframe.lua").read_text() == run("wireshark").stdout


def test_mistakes(tmp_path):
    assert "requires --install" in run("wireshark", "--folder", tmp_path, code=2).output
    (tmp_path / "file").write_text("")
    assert "error: " in run("wireshark", "--install", "--folder", tmp_path / "file" / "x", code=1).output


@pytest.mark.slow
def test_the_examples_of_the_help_run_as_printed(tmp_path):
    tshark = Tshark(tmp_path)
    frame = encode(MessageType.SUBSCRIBE, {"stream": "ecg/1"})
    broken = bytes([*frame[:-1], frame[-1] ^ 1])
    packets = Connection().open().send(frame, "client").send(broken, "client").packets
    (tmp_path / "session.pcap").write_bytes(capture(packets))
    examples = re.findall(r"^\*\*tshark (.*?)\*\* ", EPILOG, re.M)
    for example, number in zip(examples, (5, 6), strict=True):
        arguments = [tshark.path, *shlex.split(example)]
        done = subprocess.run(
            arguments, cwd=tmp_path, env=tshark.environment, capture_output=True, text=True, check=True
        )
        assert [line.split()[0] for line in done.stdout.splitlines()] == [str(number)]
