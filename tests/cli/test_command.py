from __future__ import annotations

import runpy
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from command_line import run
from interpreter import python
from recordings import assert_same, toy_ecg, uninstall

from ecgframe.__main__ import main
from ecgframe.cli import own_version
from ecgframe.cli.formats import duration, size
from ecgframe.cli.plain_errors import plain_errors
from ecgframe.records import read_record, write_record


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python("-m", "ecgframe", *arguments, cwd=cwd)


@pytest.mark.slow
def test_a_recording_goes_through_the_real_command(tmp_path):
    with (tmp_path / "toy.csv").open("wb") as file:
        write_record(toy_ecg(20), file, ".csv")
    encoded = command("encode", tmp_path / "toy.csv", "-o", tmp_path / "toy.frames")
    assert (encoded.returncode, encoded.stderr) == (0, "")
    decoded = command("decode", tmp_path / "toy.frames", "-o", tmp_path / "back.npz")
    assert (decoded.returncode, decoded.stderr) == (0, "")
    assert_same(read_record(tmp_path / "back.npz"), toy_ecg(20))


def test_errors_go_to_stderr(tmp_path):
    failed = command("decode", tmp_path / "nothing")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == f"error: {tmp_path / 'nothing'}: No such file or directory\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_libraries_the_command_says_what_to_install(monkeypatch, missing):
    for name in list(sys.modules):
        if name.startswith("ecgframe.cli"):
            monkeypatch.delitem(sys.modules, name)
    uninstall(monkeypatch, missing)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == (
        f'ecgframe: the command line needs {missing}, which is not installed: pip install "ecgframe[cli]"'
    )


def test_without_orjson_only_the_comparison_is_refused(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("ecgframe.cli.compare."):
            monkeypatch.delitem(sys.modules, name)
    uninstall(monkeypatch, "orjson")
    run("--version")
    said = run("compare", code=1).output
    assert said == 'error: comparing with JSON needs orjson, which is not installed: pip install "ecgframe[cli]"\n'


def test_the_module_runs_as_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ecgframe", "--version"])
    monkeypatch.delitem(sys.modules, "ecgframe.__main__")
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("ecgframe", run_name="__main__")
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("ecgframe ")


def test_the_version_is_the_installed_one_or_unknown(monkeypatch):
    monkeypatch.setattr(own_version, "version", lambda _name: "1.2.3")
    assert run("--version").output == "ecgframe 1.2.3\n"

    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(own_version, "version", not_installed)
    assert run("--version").output == "ecgframe unknown\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("compare", "encode", "decode", "ecgframe encode 100.hea -o 100.frames")),
        (("compare",), ("12-lead ECG that ships", "--all", "--json", "--plot", "--budget", "--sampling-rate")),
        (
            ("encode",),
            (
                "DICOM, CSV, NPY, NPZ, a file of frames, or a capture",
                "--frame-seconds",
                "--no-compression",
                "--ndarray",
            ),
        ),
        (("decode",), ("FILE.npz|csv|edf|bdf|hea", "Without this option, print a summary", "--force")),
    ],
)
def test_help_says_what_there_is(arguments, words):
    output = run(*arguments, "--help").output
    for word in words:
        assert word in output


def test_a_closed_pipe_is_no_error_of_the_data():
    with pytest.raises(BrokenPipeError), plain_errors():
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3139, "0.3139 s"),
        (10, "10 s"),
        (60, "1 min"),
        (1806, "30 min 6 s"),
        (86_400, "24 h"),
        (3_661, "1 h 1 min 1 s"),
    ],
)
def test_lengths_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(905, "905 B"), (9_730, "9.73 kB"), (4_190_000, "4.19 MB"), (999_999, "1 MB"), (1_234_000_000, "1.23 GB")],
)
def test_sizes_read_as_people_say_them(count, text):
    assert size(count) == text
