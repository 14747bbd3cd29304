from __future__ import annotations

import pytest
from command_line import run

COMMANDS = {
    "conformance": ("conformance", "{}"),
    "inspect": ("inspect", "{}", "--seconds", "1"),
    "proxy": ("proxy", "0", "{}"),
    "replay": ("replay", "-", "{}"),
    "sizes": ("sizes", "{}", "--seconds", "1"),
    "top": ("top", "{}", "--once"),
    "watch": ("watch", "{}", "ecg/1", "--seconds", "1"),
}

NO_ADDRESSES = {
    "ws://127.0.0.1:0.5/ws": "Port could not be cast to integer value as '0.5'",
    "ws://127.0.0.1:99999/ws": "Port out of range 0-65535",
    "ws://127.0.0.1:0/ws": "no server is at port 0",
    "wss://[::1/ws": "Invalid IPv6 URL",
    "ws:///ws": "it names no host",
    "ws://": "it names no host",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("address", "problem"), NO_ADDRESSES.items())
def test_an_invalid_address_is_reported_with_an_example(command, address, problem):
    """Every command reports what is wrong with the address, with an example."""
    said = " ".join(run(*(part.format(address) for part in command), code=2).output.replace("│", " ").split())
    assert f"'{address}' is not the address of a server: {problem} (example: ws://127.0.0.1:8765/ws)" in said


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "127.0.0.1:1", "localhost:1/ws"])
def test_an_address_without_a_websocket_scheme_is_reported(address):
    said = " ".join(run("watch", address, "ecg/1", code=2).output.replace("│", " ").split())
    assert "it does not begin with ws:// or wss://" in said
