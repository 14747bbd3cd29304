"""Shell commands on the pages: those of this package run, and those that install it name extras that exist.

The commands of debugging.md and troubleshooting.md run in tests of their own.
"""

import ast
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from cli.live_server import live
from cli.test_keys import signing_key
from command_line import run
from pages import ROOT, arguments, blocks, inline_commands, read
from recordings import optional

from ecgframe import MessageType, encode
from ecgframe.frame_file import ecg_messages
from ecgframe.records import shipped_ecg

optional("websockets")

from tools.captures import Connection, capture  # noqa: E402 - after the skip

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
COMMANDS = sorted(
    {
        (page, command.strip())
        for page in PAGES
        for block in blocks(page)
        if block.words == "sh"
        for line in block.text.splitlines()
        for command in line.partition("  #")[0].split("&&")
    }
)
SELF_SIGNED = next(command for _, command in COMMANDS if command.startswith("openssl req "))
NOT_OURS = {
    "python3 -m venv .venv",
    "python3 -m venv --upgrade-deps .venv",
    ". .venv/bin/activate",
    "pre-commit install",
    "python setup.py --quiet build_ext --inplace",
    "openssl genpkey -algorithm ed25519 -out signing.pem",
    SELF_SIGNED,
}
OURS = re.compile(r"(?:\.|ecgframe)\[([\w,]+)\]")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def those(pattern):
    """The commands that begin so."""
    return [pytest.param(command, id=f"{page}: {command}") for page, command in COMMANDS if re.match(pattern, command)]


INSTALLING = r"(?:\.venv/bin/)?pip install "
SERVING = r"(?:\.venv/bin/)?ecgframe serve"
WATCHING = r"ecgframe watch "
RECORDING = r"ecgframe record "
SENDING = r"ecgframe bridge lsl out "
PUBLISHING = r"ecgframe bridge lsl in "
ENCODING = r"ecgframe encode "
KEYS = r"ecgframe keys "
VERIFYING = r"ecgframe verify "
TESTING = r"(?:\.venv/bin/)?pytest "
NOX = r"nox( |$)"
PROGRAMS = r"python (?:tests/|-m bench)"
PAGES_OF_OTHERS = r"npm |npx |cd my-page$|cp .*node_modules/"
"""Run by tests/browser/test_page_frameworks.py."""


def test_every_command_has_its_test():
    known = [
        INSTALLING,
        SERVING,
        WATCHING,
        RECORDING,
        SENDING,
        PUBLISHING,
        ENCODING,
        KEYS,
        VERIFYING,
        TESTING,
        NOX,
        PROGRAMS,
        PAGES_OF_OTHERS,
    ]
    ours = re.compile("|".join(known))
    assert {command for _, command in COMMANDS if not ours.match(command)} == NOT_OURS
    assert len(COMMANDS) > 25


@pytest.mark.parametrize("command", those(INSTALLING))
def test_installed_packages_and_extras_exist(command):
    wanted = [word for word in shlex.split(command)[2:] if word == "--group" or not word.startswith("-")]
    assert wanted
    words = iter(wanted)
    for word in words:
        if word == "--group":
            assert next(words) in PROJECT["dependency-groups"]
        else:
            extras = OURS.fullmatch(word)[1].split(",")
            assert set(extras) <= PROJECT["project"]["optional-dependencies"].keys()


@pytest.mark.slow
@pytest.mark.parametrize("command", those(SERVING))
def test_a_server_comes_up(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "100.hea" in command:
        optional("wfdb")
        write_record(tmp_path)
    if "signing.pem" in command:
        pytest.importorskip("cryptography")
        signing_key(tmp_path / "signing.pem")
    if "keys.json" in command:
        make_keys_and_certificate()
    with live(*shlex.split(command)[2:]) as server:
        assert server.streams.split(" to ")[0] == "ecg/1"


def write_record(folder):
    """A recording of somebody's: 100.hea, and its samples beside it."""
    lead = shipped_ecg().signal[1].astype("<i2")
    (folder / "100.hea").write_text(f"100 1 1000 {len(lead)}\n100.dat 16 800 16 0 0 0 0 II\n")
    (folder / "100.dat").write_bytes(lead.tobytes())


def make_keys_and_certificate():
    """Run the commands of the page that come before in the present folder."""
    pytest.importorskip("cryptography")
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    run("keys", "new", "keys.json", "ecg/1")
    subprocess.run(shlex.split(SELF_SIGNED), check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", those(WATCHING))
def test_a_stream_is_watched(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sealed = ()
    if "wss://" in command:
        make_keys_and_certificate()
        sealed = ("--stream-keys", "keys.json", "--ssl-certfile", "tls.pem", "--ssl-keyfile", "tls-key.pem")
    with live(*sealed) as server:
        assert run(*arguments(command, server.port)).output


@pytest.mark.slow
@pytest.mark.parametrize("command", those(RECORDING))
def test_a_stream_is_recorded(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with live(*(("--protocol", 4) if "--signatures" in command else ())) as server:
        assert "ecg/1: " in run(*arguments(command, server.port)).output
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".edf", ".hea", ".mcap", ".frames")]


@pytest.mark.parametrize("command", those(KEYS))
def test_keys_are_made(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if " new " not in command:
        run("keys", "new", "keys.json", "ecg/1")
    assert run(*shlex.split(command)[1:]).output


@pytest.mark.parametrize("command", those(VERIFYING))
def test_a_recording_is_verified(command, tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    monkeypatch.chdir(tmp_path)
    Path(shlex.split(command)[2]).write_bytes(encode(MessageType.PING, None))
    Path("public-keys.txt").write_text(f"{31 * '00'}01\n")
    assert "NOT proven" in run(*shlex.split(command)[1:], code=3).output


@pytest.mark.parametrize("command", those(ENCODING))
def test_a_recording_is_encoded(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path)
    connection = Connection().open()
    for stream in ("ecg/1", "ecg/2"):
        for message in ecg_messages(shipped_ecg(), 1000):
            connection.send(encode(MessageType.ECG_DATA, {**message, "stream": stream}))
    (tmp_path / "session.pcap").write_bytes(capture(connection.packets))
    assert "frames of 1 s" in run(*shlex.split(command)[1:]).output


@pytest.mark.slow
@pytest.mark.parametrize("command", those(SENDING))
def test_a_stream_is_sent_to_lsl(command):
    from bridges import loopback

    assert loopback.pylsl
    with live() as server:
        assert "ecg/1: sent " in run(*arguments(command, server.port)).output


@pytest.mark.slow
@pytest.mark.parametrize("command", those(PUBLISHING))
def test_an_lsl_stream_is_published(command):
    from bridges.loopback import sender

    outlet = sender("Polar H10", ["ECG"], 130, units="")
    with live("--publish", "--streams", "0") as server:
        assert "Polar H10 as lsl/Polar H10: published " in run(*arguments(command, server.port)).output
    del outlet


@pytest.mark.parametrize("command", those(f"{TESTING}|{PROGRAMS}"))
def test_programs_that_are_run_exist(command):
    words = shlex.split(command)
    paths = [word for word in words[1:] if "/" in word]
    assert all((ROOT / path).exists() for path in paths)
    if words[0] == "python":
        program = ROOT / (paths[0] if paths else f"{words[2]}/__main__.py")
        options = {word for word in words if word.startswith("--")}
        assert options <= set(re.findall(r"--[a-z]+", program.read_text(encoding="utf-8")))


@pytest.mark.parametrize("command", those(NOX))
def test_the_sessions_of_nox_exist(command):
    sessions = sessions_of_nox()
    words = shlex.split(command.partition(" -- ")[0])[1:]
    assert {word.partition("-")[0] for word in words if not word.startswith("-")} <= sessions


def sessions_of_nox():
    """The names of the sessions that the noxfile defines."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.decorator_list}


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_that_it_names_are_known(page):
    known = set(re.findall(r"^│ (\w+) ", run("--help").output, re.M))
    assert known >= {"inspect", "serve", "top"}
    assert set(re.findall(r"`ecgframe (\w+)", read(page))) <= known
    if page not in {"docs/debugging.md", "docs/troubleshooting.md"}:
        assert inline_commands(page) == []  # where nobody would run it
