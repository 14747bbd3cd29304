"""Runs ``ecgframe serve`` and checks that it sends messages."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from .running import Failed, inherited, run


def serve_and_watch(
    command: list[object], ecgframe: Path, cwd: Path, environment: Mapping[str, str], seconds: float = 30
) -> str:
    """Start a server, watch it for a second, and stop it; return a remark on the result.

    Args:
        command: the command that runs ``ecgframe serve``.
        ecgframe: the program that watches the server.
        cwd: working directory of both.
        environment: additional environment variables.
        seconds: time within which the server has to listen.

    Raises:
        Failed: the server did not start, or sent no message.
    """
    server = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=inherited(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log: list[str] = []
    assert server.stdout is not None
    assert server.stderr is not None
    reader = threading.Thread(target=log.extend, args=(server.stderr,))
    reader.start()
    stop = threading.Timer(seconds, server.kill)  # otherwise, reading its output could block for ever
    stop.start()
    try:
        live = next((found for line in server.stdout if (found := re.match(r"Live at (\S+): (\S+)", line))), None)
        if live is None:
            server.kill()
            reader.join()
            raise Failed(f"ecgframe serve did not come up\n{''.join(log)}")
        watch = ("watch", live[1], live[2], "--seconds", "1", "--json")
        said = run(ecgframe, *watch, cwd=cwd, environment=environment, seconds=60)
    finally:
        stop.cancel()
        server.terminate()
        server.wait(timeout=10)
        reader.join()
        server.stdout.close()
        server.stderr.close()
    messages = sum(json.loads(line)["event"] == "message" for line in said.splitlines())
    if not messages:
        raise Failed(f"ecgframe watch saw no message of ecgframe serve: {said}")
    return f"serve and watch: {messages} messages in a second"
