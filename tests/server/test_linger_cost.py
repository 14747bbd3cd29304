"""What it saves to let frames wait for others: 50 viewers of 16 streams at 20 frames a second."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from recordings import optional
from running import run

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

optional("websockets")
HERE = Path(__file__).parent
VIEWERS, STREAMS, SECONDS = 50, 16, 3


async def measure(linger):
    """Return the share of a processor that the server takes, and what the viewers have seen."""
    from ecgframe.server.adapters.websockets import serve

    handler = WebSocketBinaryHandler(settings=Settings(versions=(1, 2, 3, 4), linger=linger))
    async with handler, serve(handler, "127.0.0.1", 0, ping_interval=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        viewers = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "crowd_of_viewers.py"),
            url,
            *map(str, (VIEWERS, STREAMS, SECONDS)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])},
        )
        signal = np.random.default_rng(1).integers(-500, 500, (12, 25)).astype("int16")
        await viewers.stdout.readline()
        seen = asyncio.create_task(viewers.stdout.readline())
        began, used, number = time.perf_counter(), time.process_time(), 0
        while not seen.done():
            data = {"signal": signal, "sampling_rate": 500, "timestamp": number / 20, "sequence": number}
            for stream in range(STREAMS):
                await handler.publish(f"ecg/{stream}", MessageType.ECG_DATA, data)
            number += 1
            await asyncio.sleep(max(0.0, began + number / 20 - time.perf_counter()))
        share = (time.process_time() - used) / (time.perf_counter() - began)
        await viewers.wait()
        return share, json.loads(seen.result())


@pytest.mark.slow
@pytest.mark.alone
def test_most_of_the_work_is_saved_and_frames_arrive_as_soon():
    pairs = [[run(measure(linger), 60) for linger in (0.0, 0.002)] for _ in range(3)]
    for (_, without), (_, lingering) in pairs:
        assert lingering["frames"] >= 0.9 * without["frames"]
        assert lingering["messages"] < lingering["frames"] / 8  # without, frames are joined where viewers lag
    # What a system call costs differs: 0.49 to 0.62 of the processor time were seen. Without lingering, frames are sent
    # past the links, which takes 0.63 of the time before; of that, lingering took 0.34 to 0.47.
    assert min(lingering[0] / without[0] for without, lingering in pairs) <= 0.75
    assert min(lingering[1]["median"] - without[1]["median"] for without, lingering in pairs) <= 0.002
