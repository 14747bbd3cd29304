"""How much memory a piece of code takes at most, in a process of its own."""

from __future__ import annotations

import sys
import textwrap

import pytest
from interpreter import python

_BEFORE = """
import sys
from pathlib import Path

def peak():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024

"""


def peak_memory(code: str, *arguments: object, first: str = "") -> int:
    """Bytes by which the memory of a process grows at most while it runs the code.

    Args:
        code: the code; its arguments are ``sys.argv[1:]``.
        arguments: arguments of the process.
        first: code that is run before, such as imports.
    """
    if sys.platform != "linux":
        pytest.skip("the peak is read from /proc")
    parts = (_BEFORE, first, "\nbefore = peak()\n", textwrap.dedent(code), "\nprint(peak() - before)\n")
    done = python("-c", "".join(parts), *arguments)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])
