"""A viewer in a separate process that reads at a given rate until an alert arrives, and reports the times of arrival.

    python slow_viewer.py URL BYTES_PER_SECOND PONG|SILENT

It prints JSON: ``alert``, when the alert arrived; ``published``, when it was published; and ``frames``, when each ECG
frame before it arrived; all in seconds of a clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import oracle
import websockets
from oracle import TYPES

CAPABILITIES = ["compression", "timestamps", "priority", "broadcast"]


async def view(url: str, rate: float, answers: bool) -> None:
    async with websockets.connect(url, compression=None, ping_interval=None, max_queue=1) as connection:
        await connection.recv()
        for type, data in [
            ("PROTOCOL_NEGOTIATION", {"version": 3, "capabilities": CAPABILITIES}),
            ("SUBSCRIBE", {"stream": "ecg/bed-7"}),
        ]:
            await connection.send(oracle.encode_frame(TYPES[type], data, 3, 0, 1))
        frames: list[float] = []
        taken, began = 0, time.monotonic()
        while True:
            message = await connection.recv()
            for frame in oracle.decode_frames(message, 2**32):
                if frame.type == TYPES["PING"] and answers:
                    await connection.send(oracle.encode_frame(TYPES["PONG"], frame.data, 3, 0, 2))
                elif frame.type == TYPES["ECG_DATA"]:
                    if not frames:
                        taken, began = 0, time.monotonic()
                    frames.append(time.monotonic())
                elif frame.type == TYPES["ANOMALY_ALERT"]:
                    came = time.monotonic()
                    print(json.dumps({"alert": came, "published": frame.data["timestamp"], "frames": frames}))
                    connection.transport.abort()  # closing would wait for megabytes in transit
                    return
            taken += len(message)
            await asyncio.sleep(max(0.0, taken / rate - (time.monotonic() - began)))


if __name__ == "__main__":
    asyncio.run(view(sys.argv[1], float(sys.argv[2]), sys.argv[3] == "PONG"))
