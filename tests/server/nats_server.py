"""A real NATS with JetStream for tests, in a separate process, which can be killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import unused_port

PROGRAM = shutil.which("nats-server")


class NatsServer:
    """A nats-server on a port of 127.0.0.1, which stays the same after a restart.

    Args:
        directory: directory for what it keeps, and for its log.
        words: further arguments.
        jetstream: whether JetStream is enabled.
    """

    def __init__(self, directory: Path, *words: object, jetstream: bool = True) -> None:
        self._directory = directory
        self._words = [*(["-js", "-sd", directory / "kept"] if jetstream else []), *words]
        self._has_jetstream = jetstream
        self._process: subprocess.Popen[bytes] | None = None
        self.port = unused_port()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return once it answers."""
        assert PROGRAM is not None
        log = self._directory / "nats.log"
        words = ["-a", "127.0.0.1", "-p", str(self.port), "-l", str(log), *map(str, self._words)]
        self._process = subprocess.Popen([PROGRAM, *words])
        give_up = time.monotonic() + 20
        while not self._answers():
            told = log.read_text() if log.exists() else ""
            assert self._process.poll() is None, f"nats-server ended:\n{told}"
            assert time.monotonic() < give_up, f"nats-server does not answer:\n{told}"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Suspend it: connections stay open, but nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # until all of its threads have stopped

    def go_on(self) -> None:
        """Continue it after ``stop``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        """Remove all that it keeps; it is not running."""
        assert self._process is None
        shutil.rmtree(self._directory / "kept")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(1)
                told = connection.recv(4096)
                return b'"jetstream":true' in told or (not self._has_jetstream and told.startswith(b"INFO"))
        except OSError:
            return False


@contextmanager
def nats_server(directory: Path, *words: object, started: bool = True, jetstream: bool = True) -> Iterator[NatsServer]:
    """Start a server with these further arguments; skip the test if nats-server is not installed."""
    if PROGRAM is None:
        missing = "nats-server is not installed (Debian, Ubuntu: apt install nats-server)"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    server = NatsServer(directory, *words, jetstream=jetstream)
    try:
        if started:
            server.start()
        yield server
    finally:
        server.kill()
