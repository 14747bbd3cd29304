"""Runs tshark with the dissector of this package."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from ecgframe import Flag
from ecgframe.protocol import Form
from ecgframe.tools.capture.pcap import read_capture
from ecgframe.tools.dissector import dissector
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery

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
    """Return the path of a program; skip the test if it is missing, or fail if it is required."""
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

    @property
    def version(self):
        """The version of tshark: two numbers."""
        said = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
        return tuple(int(number) for number in re.search(r"(\d+)\.(\d+)", said).groups())

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
        """Return the fields of each packet as text; those of several frames are separated by '|'."""
        wanted = [word for field in FIELDS for word in ("-e", field)]
        output = self.run(capture, "-Y", "ecgframe", "-T", "fields", "-E", "aggregator=|", *wanted, *options)
        return [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in output.splitlines()]


def _knock(port, path):
    """Connect repeatedly until a packet is in the file, since the capture may start with a delay."""
    size = path.stat().st_size
    deadline = time.monotonic() + 20
    while path.stat().st_size == size:
        assert time.monotonic() < deadline
        socket.create_connection(("127.0.0.1", port)).close()
        time.sleep(0.01)


@contextmanager
def tcpdump(port, path):
    """Capture the traffic of a port on the loopback interface; on exit, all of it is in the file."""
    arguments = [program("tcpdump"), "-i", "lo", "-B", "65536", "-U", "--immediate-mode", "-Z", "root", "-w", str(path)]
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


def examined(path):
    """Return all frames of a capture as ``inspect`` reads them."""
    examiner = Examiner()
    with path.open("rb") as file:
        return [
            frame
            for observation in read_capture(file)
            if isinstance(observation, Delivery)
            for frame in examiner.examine(observation)
        ]


def as_tshark_says(frame):
    """Return the expected fields of the dissector."""
    fields, message = frame.fields, frame.message
    return {
        "ecgframe.version": str(fields["version"]),
        "ecgframe.type": f"0x{fields['type']:02x}",
        "ecgframe.length": str(fields["length"]),
        "ecgframe.checksum": f"0x{fields['checksum']:08x}",
        "ecgframe.timestamp_us": str(fields.get("timestamp", "")),
        "ecgframe.inflated": str(message.nbytes) if message and Flag.COMPRESSED in message.flags else "",
        "ecgframe.error": f"0x{frame.error.code:04x}" if frame.error else "",
        "ecgframe.error.check": str(frame.error.check) if frame.error else "",
        "ecgframe.data.stream": "" if fields.get("form", 0) & Form.RECORD else frame.stream or "",
    }


def assert_alike(tshark, path):
    """Return the values of each field over all frames, since a packet may have several messages and frames."""
    lines = tshark.frames(path)
    expected = [as_tshark_says(frame) for frame in examined(path)]
    for name in expected[0]:
        found = [value for line in lines for value in line[name].split("|") if value]
        assert found == [frame[name] for frame in expected if frame[name]], name
