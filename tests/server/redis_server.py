"""A real Redis for tests, in a separate process, which can be killed, stopped and started again."""

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

PROGRAM = shutil.which("redis-server")


class RedisServer:
    """A redis-server on a port of 127.0.0.1, which stays the same after a restart.

    Args:
        directory: directory for its files and logs.
        keeps: whether it keeps its data over a restart, in an append-only file that is synced with every command.
        port: its port; None for an unused one.
        more: further settings.
    """

    def __init__(
        self, directory: Path, *, keeps: bool = False, port: int | None = None, more: dict[str, object] | None = None
    ) -> None:
        self._directory = directory
        self._keeps = keeps
        self._process: subprocess.Popen[bytes] | None = None
        self.port = unused_port() if port is None else port
        self._more = more or {}

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start it, and return once it answers."""
        assert PROGRAM is not None
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._directory,
            "logfile": self._directory / "redis.log",
            "save": "",
            "appendonly": "yes" if self._keeps else "no",
            "appendfsync": "always",
            **self._more,
        }
        words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([PROGRAM, *words])
        self._wait_until_it_answers()

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

    def go_on(self) -> None:
        """Continue it after ``stop``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        give_up = time.monotonic() + 20
        while not self._answers():
            log = self._directory / "redis.log"
            told = log.read_text() if log.exists() else ""
            assert self._process.poll() is None, f"redis-server ended:\n{told}"
            assert time.monotonic() < give_up, f"redis-server does not answer:\n{told}"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def redis_server(directory: Path, *, keeps: bool = False, started: bool = True) -> Iterator[RedisServer]:
    """Start a server; skip the test if redis-server is not installed."""
    skip_without_redis()
    server = RedisServer(directory, keeps=keeps)
    try:
        if started:
            server.start()
        yield server
    finally:
        server.kill()


def skip_without_redis() -> None:
    """Skip the test if redis-server is not installed."""
    if PROGRAM is None:
        missing = "redis-server is not installed (Debian, Ubuntu: apt install redis-server)"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
