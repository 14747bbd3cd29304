"""Every command, taken from the table of commands, is given hostile text, none of which may take effect.

A new command joins by itself, if its arguments are of kinds that are known here; otherwise the test says so.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from urllib.parse import quote

import pytest
from cli.poison import ACTED_UPON, POISON, Poisoned, frames, poisoned_server, refusing_server
from command_line import run
from ports import unused_port
from typer.main import get_command
from typer.testing import CliRunner
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from ecgframe.cli.app import app
from ecgframe.foreign_text import printable
from ecgframe.frame_file import read_frames
from ecgframe.records import read_record


def commands_of(group, *words):
    """Return the commands of a group by their names, those of inner groups too: "bridge lsl out"."""
    found = {}
    for name, command in group.commands.items():
        inner = hasattr(command, "commands")
        found |= commands_of(command, *words, name) if inner else {" ".join((*words, name)): command}
    return found


COMMANDS = commands_of(get_command(app))
POSIX = os.name == "posix"
pytestmark = pytest.mark.skipif(not POSIX, reason="names of files that only POSIX allows")

QUICK = {
    "seconds": ("--seconds", "0.6"),
    "duration": ("--duration", "0.6"),
    "once": ("--once",),
    "interval": ("--interval", "0.05"),
    "budget": ("--budget", "0"),
    "timeout": ("--timeout", "0.3"),
    "patience": ("--patience", "0.5"),
    "linger": ("--linger", "0.3"),
    "wait": ("--wait", "0.3"),
    "speed": ("--speed", "1000"),
    "case": ("--case", "1.1"),
    "error_log": ("--error-log", "{folder}/e.jsonl", "--error-payloads", "--log-level", "debug"),
    "log_json": (),
    "record": ("--record", "{folder}/r.pcap"),
    "report": ("--report", "{folder}/r.html"),
    "as_hex": ("--hex",),
}
"""Options that let a command end soon, and show and write as much as possible."""

REQUIRED = {
    "encode": ("--output", "{folder}/a.frames"),
    "record": ("--output", "{folder}"),
    "verify": ("--signer", "00" * 32),
    "watch": (),
}
"""Options that a command requires."""

ENDED_BY_ERRORS = {"wireshark", "bridge lsl in", "bridge lsl out"}
"""Commands that take no input, find no LSL stream, or first measure the clock of the server, which ends before that."""


ENDING = {"conformance"}
"""Commands that listen until one client has come: Ctrl-C while asyncio closes its loop would leave the loop open."""


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    return Poisoned(tmp_path_factory.mktemp("poisoned"))


@pytest.fixture(scope="module")
def servers():
    with poisoned_server() as talking, refusing_server() as refusing:
        yield [f"ws://127.0.0.1:{talking}/ws", f"ws://127.0.0.1:{refusing}/ws"]


def values(metavar, poisoned, servers):
    """Return the value for an argument of that kind."""
    kinds = {
        "RECORD": [*poisoned.recordings, *poisoned.frames, *poisoned.junk],
        "FILE": [*poisoned.frames, poisoned.error_log, *poisoned.junk],
        "FILE...": [poisoned.audit_log, *poisoned.junk],
        "KEYS": [poisoned.keys, "FOLDER/keys.json", poisoned.junk[0]],
        "STREAM...": [POISON, "other"],
        "SOURCE": [*poisoned.frames, *poisoned.captures, *servers, *poisoned.junk, POISON],
        "RECORDING": [*poisoned.captures, poisoned.frames[0], *poisoned.junk],
        "URL": [*servers, f"ws://{POISON}/"],
        "[URL]": servers,
        "TARGET": servers,
        "TO": servers,
        "STREAM": [POISON, "other"],
        "LISTEN": ["PORT"],
        "PLACE": ["PORT"],
    }
    if metavar not in kinds:
        pytest.fail(f"an argument of a kind that this test does not know: {metavar}; tell it what to give for it")
    return [str(one) for one in kinds[metavar]]


def invocations(name, poisoned, servers, folder):
    """Yield calls of a command, each with the port that it listens on, or None."""
    parameters = COMMANDS[name].params
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    names = {one.name for one in parameters if one.param_type_name != "argument"}
    quick = [part.format(folder=folder) for one in sorted(names & QUICK.keys()) for part in QUICK[one]]
    quick += [part.format(folder=folder) for part in REQUIRED.get(name, ())]
    lists = [values(one.metavar, poisoned, servers) for one in arguments]
    for number in range(max(map(len, lists), default=1)):
        given = [one[number % len(one)] for one in lists]
        yield given + quick, None
    if "port" in names:  # it serves
        for one in lists[0][:3]:
            port = unused_port()
            yield [one, *quick, "--port", str(port)], port
    if "listen" in names:  # it tests those that connect
        port = unused_port()
        yield [*quick, "--listen", str(port)], port
    if name == "replay":
        port = unused_port()
        yield [str(poisoned.captures[1]), str(port), *quick], port


def modes(name):
    """Call it for text, for a terminal, and for JSON; and for samples, as text and as JSON."""
    names = {one.name for one in COMMANDS[name].params}
    json_options = [("--json",)] if "as_json" in names else [("--log-json",)] if "log_json" in names else []
    samples = [("--samples",), ("--samples", "--json")] if "samples" in names else []
    return [((), False), ((), True), *((option, False) for option in (*json_options, *samples))]


def with_port(name, command, port, poisoned):
    """Return the command with a port filled in, and the port that it will listen on."""
    if "PORT" in command:
        port = unused_port()
        return [str(port) if one == "PORT" else one for one in command], port
    if name == "serve" and port is None:
        is_recording = command[1] in map(str, (*poisoned.recordings, *poisoned.frames))
        port = unused_port()
        return [*command, "--port", str(port)], port if is_recording else None
    return command, port


def called(arguments, port, *, terminal):
    """Call a command in this process. If it listens, a client sends hostile text, and stops it."""
    environment = {"COLUMNS": "120", "NO_COLOR": "1", "FORCE_COLOR": None}
    if terminal:
        environment |= {"TTY_COMPATIBLE": "1", "TERM": "xterm-256color"}
    over = threading.Event()
    visitor = threading.Thread(target=visit, args=(port, over, 20 if arguments[0] in ENDING else 0))
    if port is not None:
        visitor.start()
    try:
        return CliRunner().invoke(app, arguments, env=environment)
    finally:
        over.set()
        if port is not None:
            visitor.join(20)


def visit(port, over, patience):
    """Send hostile text to a listening command, and stop it like Ctrl-C, unless it ends within ``patience`` seconds."""
    while not over.wait(0.05):
        try:
            with connect(f"ws://127.0.0.1:{port}/ws?{quote(POISON)}", user_agent_header="a\x9b31mb") as client:
                talk(client)
        except OSError:
            continue
        except WebSocketException:
            pass
        if not over.wait(patience):
            os.kill(os.getpid(), signal.SIGINT)
        over.wait(20)


def talk(client):
    with suppress(TimeoutError, WebSocketException):
        for said in (POISON, b"\x01\x10", POISON.encode(), *frames()):
            client.send(said)
        for _ in range(3):
            client.recv(timeout=0.3)


def check(text, *, terminal, where):
    """Check the output: on a terminal, no part of the hostile text is effective; otherwise no control character."""
    lines = text.replace("\r\n", "\n") if terminal else text
    found = [one for one in ACTED_UPON if one in lines]
    assert not found, (where, found, lines[-2000:])
    if not terminal:
        strange = {one for one in lines if not one.isprintable() and one != "\n"}
        assert not strange, (where, strange, lines[-2000:])


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_text_of_a_hostile_peer_takes_effect(name, poisoned, servers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = []
    for options, terminal in modes(name):
        for number, (arguments, port) in enumerate(invocations(name, poisoned, servers, "FOLDER")):
            folder = tmp_path / f"{len(codes)}-{number}"
            folder.mkdir()
            command = [*name.split(), *(one.replace("FOLDER", str(folder)) for one in arguments), *options]
            command, listens = with_port(name, command, port, poisoned)
            result = called(command, listens, terminal=terminal)
            where = (command, result.exit_code)
            assert result.exception is None or isinstance(result.exception, SystemExit), (where, result.exc_info)
            assert "Traceback" not in result.output or "--log-level" in command, (where, result.output)
            check(result.stdout, terminal=terminal, where=where)
            check(result.stderr, terminal=terminal, where=where)
            for path in folder.rglob("*"):
                if path.suffix in (".html", ".jsonl", ".csv"):
                    check(path.read_text(), terminal=False, where=(where, path))
            if "--json" in options and result.exit_code in (0, 3):
                for line in [result.stdout] if name in ("compare",) else result.stdout.splitlines():
                    json.loads(line)
            codes.append(result.exit_code)
    assert codes
    if name not in ENDED_BY_ERRORS:
        assert 0 in codes or 3 in codes, "it never got as far as to show anything"


def test_the_commands_are_those_of_the_table():
    assert len(COMMANDS) >= 13
    assert {"watch", "sizes", "decode", "compare", "inspect", "conformance", "top", "proxy", "replay"} <= set(COMMANDS)


def test_json_gives_everything_back(poisoned):
    lines = [json.loads(line) for line in run("inspect", poisoned.frames[1], "--json", code=None).stdout.splitlines()]
    assert lines[0]["data"]["leads"] == [POISON, f"-{POISON}"]
    assert lines[0]["data"][POISON] == {POISON: [POISON]}
    assert lines[2]["data"]["message"] == POISON
    found = json.loads(run("errors", poisoned.error_log, "--json", code=3).stdout)
    assert found["groups"][0]["latest"]["message"] == POISON + "\ud800"


def test_decoding_keeps_the_names(poisoned, tmp_path):
    whole = read_frames(poisoned.frames[0]).record
    for suffix in (".csv", ".npz"):
        run("decode", poisoned.frames[0], "-o", tmp_path / f"a{suffix}")
        back = read_record(tmp_path / f"a{suffix}")
        assert (back.leads, back.units) == (whole.leads, whole.units)
    cells = (tmp_path / "a.csv").read_text().splitlines()[-121].split(",")
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_a_file_of_a_certificate_may_have_any_name(poisoned):
    for options in (("--ssl-certfile", poisoned.junk[0]), ("--ssl-certfile", poisoned.junk[1])):
        refused = run("serve", *options, code=1).output
        assert refused.startswith("error: ")
        check(refused, terminal=False, where=options)


def test_markup_is_text(poisoned):
    for arguments in (("sizes", poisoned.frames[1]), ("inspect", poisoned.frames[1]), ("decode", poisoned.frames[0])):
        assert "[/bold][red]:heart:" in run(*arguments, code=None).output
    assert printable(POISON)[:6] == r"=p\x1b"
