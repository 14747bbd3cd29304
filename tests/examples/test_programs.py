"""The programs of ``examples/``, run as their docstrings say, each in a process of its own."""

import ast
import asyncio

import numpy as np
import oracle
import pytest
from programs import EXAMPLES, port_of, running
from recordings import optional
from running import run
from server import old_clients
from server.engines import TYPES, client
from server.old_clients import OldClient

for name in ("fastapi", "uvicorn"):
    optional(name)

SERVERS = ["slow_server", "fast_server", "handler_server"]
STREAM = "ecg/bed-7"
ECG = {"signal": np.arange(20, dtype="int16"), "sampling_rate": 250, "stream": STREAM}
ALERT = {"kind": "asystole", "timestamp": 1705314645.5, "stream": STREAM}

each_server = pytest.mark.parametrize("server", SERVERS)


@pytest.mark.slow
@each_server
def test_a_server_runs_and_ends(server):
    async def talk(port):
        url = f"ws://127.0.0.1:{port}/ws"
        async with client(port) as device, client(port) as viewer:
            old = await OldClient.connect(1, url)
            await viewer.subscribe(STREAM)
            await old.subscribe(STREAM)
            for sequence in range(50):
                await device.send("ECG_DATA", ECG | {"sequence": sequence})
            await device.send("ANOMALY_ALERT", ALERT)
            frames = [await viewer.receive() for _ in range(51)]  # of which the alert may come before its turn
            [alert] = [frame for frame in frames if frame.type == TYPES["ANOMALY_ALERT"]]
            assert (alert.flags, alert.data) == (oracle.PRIORITY, ALERT)
            frames.remove(alert)
            for sequence, frame in enumerate(frames):
                assert oracle.same(frame.data, ECG | {"sequence": sequence})
            kinds = [(await old.receive())[0] for _ in range(51)]
            assert sorted(kinds) == [old_clients.ECG_DATA] * 50 + [old_clients.ANOMALY_ALERT]
            await old.close()

    with running(f"{server}.py", "0") as process:
        run(talk(port_of(process)))
        process.terminate()
        assert process.wait(timeout=120) in (0, -15)


@pytest.mark.slow
def test_viewers_of_a_server_that_ends_are_notified():
    async def talk(process):
        async with client(port_of(process)) as viewer:
            await viewer.subscribe(STREAM)
            process.terminate()
            async with asyncio.timeout(60):
                code, _ = await viewer.closed()
            assert code in (1001, 1012)

    with running("handler_server.py", "0") as process:
        run(talk(process))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_a_program_says_what_it_is_and_how_to_run_it(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    if path.stem != "slow_codec":
        assert f"python {path.name}" in text


def test_the_server_on_the_handler_is_short():
    lines = (EXAMPLES / "handler_server.py").read_text(encoding="utf-8").splitlines()
    code = [line for line in lines[lines.index("import sys") :] if line.strip()]
    assert len(code) < 30
