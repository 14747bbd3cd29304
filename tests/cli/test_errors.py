from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from cli.live_server import live
from command_line import run
from recordings import optional

from ecgframe import ChecksumMismatch, MessageType, RateLimitExceeded, encode
from ecgframe.tools.error_log import ErrorLog

PING = encode(MessageType.PING, {"n": 1}, version=1)
BROKEN = bytes([*PING[:-1], PING[-1] ^ 1])


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "errors.jsonl"
    with ErrorLog(path, payload=True) as write:
        for number in range(7):
            peer = SimpleNamespace(id=f"c{number}", peer=f"10.0.0.{number}:5000", version=1)
            write(peer, ChecksumMismatch("the \x1b[31msum", check=7, offset=7), BROKEN)
        write(peer, RateLimitExceeded("slower"), None)
    return path


def test_groups_with_what_to_do(log):
    output = run("errors", log, code=3).output
    assert "0x101 CHECKSUM_MISMATCH  7 times" in output
    assert "0x204 RATE_LIMIT_EXCEEDED  1 time\n" in output
    assert "  peers   10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 2 more" in output
    assert "  checks  check 7 (7)" in output
    assert "  types   PING (7)" in output
    assert "  command ecgframe inspect session.pcap --errors --hex" in output
    assert "the \\x1b[31msum" in output
    [digits] = re.findall(r"latest  ecgframe inspect (\w+) --hex", output)
    assert "check 7" in run("inspect", digits, "--hex", code=3).output


def test_json(log):
    told = json.loads(run("errors", log, "--json", code=3).stdout)
    assert (told["errors"], [group["code"] for group in told["groups"]]) == (8, [0x101, 0x204])
    assert told["groups"][0]["advice"]["command"].startswith("ecgframe inspect")


def test_no_errors_and_no_log(tmp_path):
    (tmp_path / "empty").write_text("")
    assert run("errors", tmp_path / "empty").output == f"{tmp_path / 'empty'}: no errors\n"
    (tmp_path / "other").write_text("hello\n")
    assert "not an error log" in run("errors", tmp_path / "other", code=1).output
    assert "No such file" in run("errors", tmp_path / "nothing", code=1).output
    (tmp_path / "both").write_text('hello\n{"code": 999}\n')
    output = run("errors", tmp_path / "both", code=3).output
    assert "1 lines are not records of errors" in output
    assert "0x3e7 not a code of the protocol  1 time" in output


@pytest.mark.slow
@pytest.mark.parametrize("payloads", [False, True])
def test_a_server_keeps_its_errors(tmp_path, payloads):
    optional("websockets")
    from websockets.sync.client import connect

    path = tmp_path / "errors.jsonl"
    asked = ("--error-payloads",) if payloads else ()
    with live("--error-log", path, *asked) as server, connect(f"ws://127.0.0.1:{server.port}/ws") as client:
        client.recv()
        client.send(BROKEN)
        client.recv()
    output = run("errors", path, code=3).output
    assert "0x101 CHECKSUM_MISMATCH  1 time" in output
    assert "127.0.0.1" in output
    assert ("CRC-32" in output) == payloads
    [line] = map(json.loads, path.read_text().splitlines())
    assert line["bytes"] == (BROKEN if payloads else BROKEN[:11]).hex()


def test_payloads_go_with_a_log():
    assert "requires --error-log" in run("serve", "--error-payloads", code=2).output
