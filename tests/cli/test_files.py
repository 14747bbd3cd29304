"""Files that the commands write: private modes, no overwriting of inputs, and ``-`` for standard streams."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys

import pytest
from cli.live_server import ENVIRONMENT
from command_line import run
from recordings import assert_same, toy_ecg

from ecgframe import InvalidDataFormat, MessageType, encode, private_files
from ecgframe.frame_file import read_frames
from ecgframe.private_files import growing_file, whole_file
from ecgframe.records import read_record, write_record
from ecgframe.records.files import files_of
from ecgframe.tools.error_log import ErrorLog

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


SECONDS = 20
"""Duration of the recording in these tests."""


@pytest.fixture
def toy(tmp_path):
    with (tmp_path / "toy.csv").open("wb") as file:
        write_record(toy_ecg(SECONDS), file, ".csv")
    return tmp_path / "toy.csv"


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def command(*arguments, cwd, stdin=b""):
    return subprocess.run(
        [sys.executable, "-P", "-m", "ecgframe", *map(str, arguments)],
        check=False,
        cwd=cwd,
        env=os.environ | ENVIRONMENT,
        input=stdin,
        capture_output=True,
        timeout=240,
    )


# --- modes ---


@posix
def test_files_are_their_owners_whatever_the_umask(tmp_path, toy, umask):
    run("encode", toy, "-o", tmp_path / "a.frames")
    run("decode", tmp_path / "a.frames", "-o", tmp_path / "a.npz")
    run("decode", tmp_path / "a.frames", "-o", tmp_path / "a.csv")
    (tmp_path / "old.csv").write_text("")
    (tmp_path / "old.csv").chmod(0o666)
    run("decode", tmp_path / "a.frames", "-o", tmp_path / "old.csv", "--force")
    assert {mode(tmp_path / name) for name in ("a.frames", "a.npz", "a.csv", "old.csv")} == {0o600}


@posix
def test_a_file_is_its_owners_before_anything_is_in_it(tmp_path, umask):
    with whole_file(tmp_path / "a") as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    with growing_file(tmp_path / "b") as file:
        assert mode(tmp_path / "b") == 0o600
        file.write(b"x")
        file.flush()
        assert (tmp_path / "b").read_bytes() == b"x"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@posix
def test_a_file_for_everybody_has_the_mode_of_any_other(tmp_path):
    before = os.umask(0o022)
    try:
        run("wireshark", "-o", tmp_path / "a.lua")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a.lua") == 0o644


@posix
@pytest.mark.parametrize("payload", [False, True])
def test_an_error_log_and_those_that_follow_it_are_their_owners(tmp_path, umask, payload):
    class Peer:
        id, peer, version = "1", "10.0.0.1:5", 3

    path = tmp_path / "errors.jsonl"
    with ErrorLog(path, payload=payload, file_bytes=300) as log:
        for _ in range(4):
            log(Peer(), InvalidDataFormat("cut short"), encode(MessageType.PING, None))
    files = list(tmp_path.iterdir())
    assert len(files) > 1
    assert {mode(file) for file in files} == {0o600}


@posix
def test_a_log_that_is_there_keeps_its_mode(tmp_path):
    path = tmp_path / "errors.jsonl"
    path.write_text("before\n")
    path.chmod(0o640)
    ErrorLog(path).close()
    assert (mode(path), path.read_text()) == (0o640, "before\n")


def test_a_name_that_somebody_took_meanwhile_is_refused(tmp_path):
    (tmp_path / "a").write_text("theirs")
    with pytest.raises(FileExistsError):
        private_files.create(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "theirs"


@posix
def test_the_target_of_a_link_is_replaced_and_not_the_link(tmp_path):
    (tmp_path / "real").write_text("before")
    (tmp_path / "link").symlink_to("real")
    with whole_file(tmp_path / "link") as file:
        file.write(b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "after"


# --- what is read is never replaced ---


def links(path):
    """Return other names of the same file."""
    path.with_name("symbolic.csv").symlink_to(path.name)
    path.with_name("hard.csv").hardlink_to(path)
    return [path, path.parent / "." / path.name, path.with_name("symbolic.csv"), path.with_name("hard.csv")]


@posix
@pytest.mark.parametrize("which", range(4))
def test_a_recording_is_never_replaced_by_what_is_made_of_it(toy, which):
    before, name = toy.read_bytes(), links(toy)[which]
    for arguments in (
        ("encode", toy, "-o", name, "-f"),
        ("encode", name, "-o", toy, "-f"),
        ("serve", toy, "--error-log", name),
    ):
        assert "is read, and would be lost" in run(*arguments, code=2, columns=2000).output
    assert toy.read_bytes() == before
    assert name.samefile(toy)


@posix
def test_frames_are_never_replaced_by_what_is_made_of_them(tmp_path, toy):
    frames = tmp_path / "frames.csv"
    run("encode", toy, "-o", frames)
    before = frames.read_bytes()
    (tmp_path / "link.npz").symlink_to(frames)
    for name in (frames, tmp_path / "link.npz"):
        assert "would be lost" in run("decode", frames, "-o", name, "-f", code=2, columns=2000).output
    assert frames.read_bytes() == before


def test_no_file_of_a_wfdb_record_is_replaced(tmp_path):
    for name in ("m.hea", "p.hea", "p.dat", "q.hea", "q.dat", "m.atr", "m.frames"):
        (tmp_path / name).write_text("")
    (tmp_path / "m.hea").write_text("# of\nm/2 1 250 4\np 2\nq 2\n")
    (tmp_path / "p.hea").write_text("p 1 250 2\np.dat 16 200/mV 16 0 40 0 0 II\n")
    (tmp_path / "q.hea").write_text(f"q 1 250 2\nq.dat 16\nm 2\n{'x' * 5000} 16\n")
    found = {path.name for path in files_of(tmp_path / "m")}
    assert found == {"m.hea", "p.hea", "p.dat", "q.hea", "q.dat", "m.atr"}
    for name in ("p.dat", "m.atr"):
        assert (
            "would be lost"
            in run("encode", tmp_path / "m.hea", "-o", tmp_path / name, "-f", code=2, columns=2000).output
        )


# --- standard input and output ---


@pytest.mark.slow
def test_a_recording_goes_through_pipes(tmp_path, toy):
    encoded = command("encode", "-", "-o", "-", cwd=tmp_path, stdin=toy.read_bytes())
    assert encoded.returncode == 0, encoded.stderr
    assert b"standard input: " in encoded.stderr
    assert b"standard output: 20 frames" in encoded.stderr
    (tmp_path / "kept").write_bytes(encoded.stdout)
    assert_same(read_frames(tmp_path / "kept").record, toy_ecg(SECONDS))
    decoded = command("decode", "-", "-o", "-", cwd=tmp_path, stdin=encoded.stdout)
    assert decoded.returncode == 0, decoded.stderr
    assert decoded.stdout == toy.read_bytes()
    packed = command("decode", "-", "-o", "-", "--format", "npz", cwd=tmp_path, stdin=encoded.stdout)
    (tmp_path / "back.npz").write_bytes(packed.stdout)
    assert_same(read_record(tmp_path / "back.npz"), toy_ecg(SECONDS))
    summed = command("decode", "-", cwd=tmp_path, stdin=encoded.stdout)
    assert summed.stdout.startswith(b"file    standard input, ")
    shown = command("inspect", "-", cwd=tmp_path, stdin=encoded.stdout)
    assert b"ECG_DATA" in shown.stdout
    assert sorted(os.listdir(tmp_path)) == ["back.npz", "kept", "toy.csv"]


def test_errors_in_standard_input_name_it(tmp_path):
    for name, words in (("encode", "standard input: "), ("decode", "standard input: empty, it holds no frames")):
        failed = run(name, "-", "-o", tmp_path / "a.csv", code=1)
        assert words in failed.output
        assert "ecgframe-" not in failed.output
    bad = run("decode", "-", stdin=b"\x63" * 40, code=1)
    assert "standard input: frame 0" in bad.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("conformance", "ws://127.0.0.1:1/ws", "--report", "-"),
        ("proxy", "0", "ws://127.0.0.1:1", "--record", "-"),
        ("serve", "--error-log", "-"),
    ],
)
def test_no_command_makes_a_file_called_minus(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    assert "standard output is taken" in run(*arguments, code=2).output
    assert not (tmp_path / "-").exists()


def test_the_dissector_goes_to_standard_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("wireshark", "-o", "-").stdout == run("wireshark").stdout
    assert os.listdir(tmp_path) == []


@posix
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("encode", "toy.csv", "-o", "-"), "frames would go to a terminal"),
        pytest.param(("decode", "a.frames", "-o", "-", "--format", "npz"), "NPZ would go", marks=pytest.mark.slow),
    ],
)
def test_bytes_are_kept_from_a_terminal(tmp_path, toy, arguments, words):
    run("encode", toy, "-o", tmp_path / "a.frames")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ecgframe", *arguments],
        cwd=tmp_path,
        env=os.environ | ENVIRONMENT,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, said = process.communicate(timeout=240)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert words in " ".join(said.split())


def test_a_csv_may_go_to_a_terminal(tmp_path, toy):
    run("encode", toy, "-o", tmp_path / "a.frames")
    assert run("decode", tmp_path / "a.frames", "-o", "-").stdout.startswith("# sampling_rate: ")
