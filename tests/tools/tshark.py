"""Wireshark's command line, with the dissector that this package writes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from ecgframe.tools.dissector import dissector

FIELDS = (
    "frame.number",
    "tcp.srcport",
    "ecgframe.version",
    "ecgframe.type",
    "ecgframe.length",
    "ecgframe.checksum",
    "ecgframe.timestamp_us",
    "ecgframe.inflated",
    "ecgframe.error",
    "ecgframe.error.check",
    "ecgframe.data.stream",
    "_ws.expert.message",
)


def program(name):
    """A program of Debian's, or a skip; a failure where the peers of the tests have to be there."""
    found = shutil.which(name)
    if found is None:
        missing = f"{name} is not installed (Debian has it as a package of that name)"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    return found


class Tshark:
    def __init__(self, folder):
        self.path = program("tshark")
        self.script = folder / "ecgframe.lua"
        self.script.write_text(dissector("test"))
        # a home of its own: no plugin of this user's is loaded besides
        self.environment = os.environ | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}

    def run(self, capture, *options):
        done = subprocess.run(
            [self.path, "-X", f"lua_script:{self.script}", "-r", str(capture), *options],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "Lua" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done.stdout

    def frames(self, capture, *options):
        """Each frame of each message as a map from field to text; fields of several frames are told apart by '|'."""
        wanted = [word for field in FIELDS for word in ("-e", field)]
        output = self.run(capture, "-Y", "ecgframe", "-T", "fields", "-E", "aggregator=|", *wanted, *options)
        return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in output.splitlines()]


def _knock(port, path):
    """Connect, and part, until a packet of it is in the file: the capture may begin later than it says."""
    size = path.stat().st_size
    deadline = time.monotonic() + 20
    while path.stat().st_size == size:
        assert time.monotonic() < deadline
        socket.create_connection(("127.0.0.1", port)).close()
        time.sleep(0.01)


@contextmanager
def tcpdump(port, path):
    """Capture what goes over a port of the loopback device; on leaving, all of it is in the file."""
    arguments = [program("tcpdump"), "-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w", str(path)]
    process = subprocess.Popen([*arguments, f"tcp port {port}"], stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()
        if "listening" not in said:
            process.wait(10)
            reason = f"no capturing here: {said.strip()}"
            assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, reason
            pytest.skip(reason)
        _knock(port, path)
        yield
        _knock(port, path)  # what was captured before is then in the file as well
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()
