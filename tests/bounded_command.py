"""Runs a command of the package with limits, and measures its processor time and its memory. On Linux."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import ecgframe

MEASURING = """
import atexit, re, runpy, sys
from pathlib import Path

kept = Path(sys.argv.pop(1))
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
atexit.register(lambda: kept.write_text(peak()))
sys.argv[0] = "ecgframe"
runpy.run_module("ecgframe", run_name="__main__", alter_sys=True)
"""


def run_bounded(arguments: list[str], path: Path, *, seconds: int = 60) -> tuple[float, int, str]:
    """Run a command on a file in a separate process; return processor seconds, MiB and its last lines.

    The process measures its memory itself: what the kernel tells its parent includes the memory of the parent.

    Args:
        arguments: those of the command; FILE is the file, OUT a path beside it, without suffix.
        path: the file.
        seconds: of processor time after which the process is ended.
    """
    words = [word.replace("FILE", str(path)).replace("OUT", str(path.with_name("out"))) for word in arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(ecgframe.__file__).parents[1]), "COLUMNS": "120"}

    def bound():
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # the machine is not to suffer from a failure
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    with path.with_suffix(".said").open("w+b") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", MEASURING, str(path.with_suffix(".memory")), *words],
            env=environment,
            cwd=path.parent,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=bound,  # noqa: PLW1509 - no other thread runs here
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(max(said.tell() - 500, 0))
        text = said.read().decode("utf-8", "replace")
    assert "Traceback" not in text
    assert process.returncode in (0, 1, 3), text
    return used.ru_utime + used.ru_stime, int(path.with_suffix(".memory").read_text()) >> 10, text
