"""Runs ``ecgframe watch`` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from cli.live_server import ENVIRONMENT

HASTE = {"WEBSOCKETS_BACKOFF_INITIAL_DELAY": "0.1", "WEBSOCKETS_BACKOFF_MIN_DELAY": "0.1"}


class Watching:
    """The command as a process, which is killed at the end of the context."""

    def __init__(self, *arguments: object, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", "-m", "ecgframe", "watch", *map(str, arguments)],
            env=os.environ | ENVIRONMENT | HASTE,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Return the next JSON line of that event with those fields."""
        for line in self.process.stdout:
            found = json.loads(line)
            if found["event"] == event and fields.items() <= found.items():
                return found
        raise AssertionError(self.process.stderr.read())

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Send a signal; return the exit code and the remaining output."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait(20)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
