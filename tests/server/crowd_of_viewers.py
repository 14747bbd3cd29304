"""Viewers of many streams in a process of their own, which note how long frames take to arrive.

    python crowd_of_viewers.py URL VIEWERS STREAMS SECONDS

It prints JSON: ``ready`` once all have subscribed; then, after these seconds, ``frames``, ``messages``, and the
``median`` and the 99th percentile (``p99``) of the seconds from a frame's timestamp to its arrival.
"""

import asyncio
import json
import sys
import time

import oracle
import websockets

T = oracle.TYPES_OF_V4
CAPABILITIES = ["batch", "delta", "fragments", "ndarray-bin", "priority", "templates", "timestamps"]


async def view(url, streams, ready, late, counts):
    async with websockets.connect(url, compression=None, ping_interval=None) as connection:
        await connection.recv()
        choice = {"version": 4, "capabilities": CAPABILITIES}
        await connection.send(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], choice, 1))
        for n in range(streams):
            await connection.send(oracle.encode_frame(T["SUBSCRIBE"], {"stream": f"ecg/{n}"}, 4, 0, 1 + n))
        ready()
        async for message in connection:
            now = time.time()
            counts["messages"] += 1
            at = 0
            while at < len(message):
                if message[at + 1] == T["ECG_DATA"]:
                    counts["frames"] += 1
                    late.append(now - int.from_bytes(message[at + 11 : at + 19], "big") / 1e6)
                elif message[at + 1] == T["PING"]:
                    [ping] = oracle.decode_frames(message[at:])
                    await connection.send(oracle.encode_frame(T["PONG"], ping.data, 4, 0, 99))
                at += 32 + int.from_bytes(message[at + 3 : at + 7], "big")


async def main(url, viewers, streams, seconds):
    late, counts, waiting = [], {"frames": 0, "messages": 0}, viewers

    def ready():
        nonlocal waiting
        waiting -= 1

    tasks = [asyncio.create_task(view(url, streams, ready, late, counts)) for _ in range(viewers)]
    while waiting:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    print(json.dumps({"ready": True}), flush=True)
    late.clear()
    counts.update(frames=0, messages=0)
    await asyncio.sleep(seconds)
    late.sort()
    print(json.dumps({**counts, "median": late[len(late) // 2], "p99": late[len(late) * 99 // 100]}), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
