"""The benchmarks measure the compiled core, or say that they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ecgframe

ROOT = Path(__file__).parents[1]
PLAIN = {"ECGFRAME_PLAIN": "1", "PYTHONPATH": os.pathsep.join([str(Path(ecgframe.__file__).parents[1]), str(ROOT)])}
if not (ROOT / "bench").is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def ran(*arguments):
    """A benchmark on the plain core; -P and PYTHONPATH, for beside it may lie sources that are not built."""
    words = [sys.executable, "-P", "-m", *map(str, arguments)]
    return subprocess.run(
        words, cwd=ROOT, env=os.environ | PLAIN, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["bench", "bench.servers_report", "pytest bench --benchmark-disable"])
def test_the_plain_core_is_not_measured_in_silence(command, tmp_path):
    for library in ("msgspec", "matplotlib", "pytest_benchmark", "uvicorn", "picows", "websockets", "aiohttp"):
        pytest.importorskip(library)
    done = ran(*command.split(), *([] if command.startswith("pytest") else ["--output", tmp_path / "out"]))
    assert done.returncode in {2, 4}
    assert "uses the plain core" in done.stderr
    assert "--plain" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_plain_core_is_measured_when_asked_for(tmp_path):
    pytest.importorskip("pytest_benchmark")
    case = ["bench/test_heartbeat.py", "--benchmark-disable", "-q", "-p", "no:cacheprovider"]
    done = ran("pytest", *case, "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


@pytest.mark.slow
def test_other_servers_deliver_each_frame_once_and_those_that_are_missing_are_named(tmp_path):
    for library in ("matplotlib", "uvicorn", "starlette", "picows", "websockets", "aiohttp"):
        pytest.importorskip(library)
    done = ran("bench.fan_out", "--plain", "--viewers", 3, "--rounds", 1, "--output", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "FAN_OUT.md").read_text(encoding="utf-8")
    for name in (
        "(a loop of `send` in C",
        "Bun",
        "Node, `ws`",
        "Starlette by hand",
        "python-socketio",
        "handler on picows",
    ):
        assert name in page
    assert (tmp_path / "results" / "fan-out.svg").is_file()
