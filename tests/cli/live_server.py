"""Runs ``ecgframe serve`` as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from interpreter import PACKAGES, TESTS

URL = re.compile(r"^Live at wss?://(.+):(\d+)/ws: (.*)$", re.M)
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, TESTS))), "COLUMNS": "200", "NO_COLOR": "1"}


class LiveServer:
    """A running server.

    Attributes:
        said: what it has printed on stdout.
        port: that it listens on.
        streams: as it names them.
    """

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", "-m", "ecgframe", "serve", "--port", "0", *map(str, arguments)],
            env=os.environ | ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._logged: list[str] = []
        self._unread: SimpleQueue[str | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Next: "):
                break
        found = URL.search(self.said)
        if found is None:
            self.end(signal.SIGKILL)
            raise AssertionError("\n".join(["it did not come up:", self.said, *self._logged]))
        self.host, self.port, self.streams = found[1], int(found[2]), found[3]

    def wait_for_log(self, words: str, seconds: float = 120) -> str:
        """Return the next line of the log that contains these words."""
        while (line := self._unread.get(timeout=seconds)) is not None:
            if words in line:
                return line
        raise AssertionError("\n".join([f"it ended without {words!r}:", *self._logged]))

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and the whole log."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self, seconds: float = 120) -> tuple[int, str]:
        """Wait for the end; return the exit code and the whole log."""
        code = self.process.wait(seconds)
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code, "\n".join(self._logged)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._logged.append(line.rstrip())
            self._unread.put(line.rstrip())
        self._unread.put(None)


@contextmanager
def live(*arguments: object) -> Iterator[LiveServer]:
    """Run a server that has to exit with code 0, and log no traceback."""
    server = LiveServer(*arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
        code, log = server.ended()
    assert (code, "Traceback" in log) == (0, False), log
