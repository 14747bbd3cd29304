"""Hostile peers in a separate process, whose messages cost their sender very little.

``python -m server.floods PORT KIND CONNECTIONS BYTES SECONDS``: opens the connections, then prints the size
of a frame of that kind. After a line on its standard input, each connection sends such frames at BYTES a second for
SECONDS, and reads the answers; or, for 0 seconds, sends BYTES in total and reads nothing. Then the program prints a
line, and ends after another line on its standard input.

The WebSocket frames are masked with zeros, so that each is built only once.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
import zlib
from collections.abc import Callable
from uuid import UUID

import numpy as np
import oracle

T = oracle.TYPES
MIB = 2**20


def masked(message: bytes) -> bytes:
    """One WebSocket frame of a client."""
    size = len(message)
    head = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else None
    head = head or b"\x7f" + struct.pack(">Q", size)
    return b"\x82" + bytes([head[0] | 0x80]) + head[1:] + bytes(4) + message


def deflated(type: str, payload: bytes, version: int = 3) -> bytes:
    return oracle.frame(version, T[type], oracle.COMPRESSED, zlib.compress(payload, 9))


def many(value: bytes, limit: int = 16 * MIB - 5) -> bytes:
    """An array with as many copies of a value as fit into a payload."""
    return b"\xdd" + struct.pack(">I", limit // len(value)) + value * (limit // len(value))


def packed(value: object) -> bytes:
    return oracle.pack(value, "binary")


DATA: dict[str, Callable[[], bytes]] = {
    "texts": lambda: many(b"\xa2ab"),
    "maps": lambda: many(b"\x81\x01\x02", 2**20 * 3),
    "empty maps": lambda: many(b"\x80", 2**20 - 8),
    "nested lists": lambda: many(b"\x91" * 20 + b"\x90", 2**20 - 64),
    "dates": lambda: many(packed({"__datetime__": "2024-01-15T10:30:45"})),
    "UUIDs": lambda: many(packed(UUID(int=7))),
    "ndarrays": lambda: many(packed(np.zeros(1, "u1"))),
    "ndarrays as lists": lambda: many(oracle.pack(np.zeros(16, "u1"), "list")),
    "nothing": lambda: many(b"\xc4\x00"),
    "zeros": lambda: b"\xc6" + struct.pack(">I", 16 * MIB - 5) + bytes(16 * MIB - 5),
}
CONTROL: dict[str, Callable[[], bytes]] = {
    "long names": lambda: deflated("SUBSCRIBE", packed({"stream": "x" * (15 << 20)})),
    "long names given up": lambda: deflated("UNSUBSCRIBE", packed({"stream": "x" * (4 << 20)})),
    "names": lambda: oracle.encode_frame(T["UNSUBSCRIBE"], {"stream": "x" * 256}),
    "small texts in PING": lambda: deflated("PING", many(b"\xa2ab", 16000)),
    "PING": lambda: oracle.encode_frame(T["PING"], None),
    "PING of 15 KB": lambda: oracle.encode_frame(T["PING"], np.random.default_rng(1).bytes(15_000)),
    "version checks": lambda: oracle.encode_frame(T["VERSION_CHECK"], {"version": 3}),
    "PONG": lambda: oracle.encode_frame(T["PONG"], {"ack": 1, "type": 1}),
    "ERROR": lambda: oracle.encode_frame(T["ERROR"], {"code": 0x204, "message": "x" * 500, "details": {"stream": "a"}}),
    "negotiations": lambda: oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3, "capabilities": []}, 1),
    "resubscribing": lambda: (
        oracle.encode_frame(T["SUBSCRIBE"], {"stream": "ecg/bed-7", "since": 0.0})
        + oracle.encode_frame(T["UNSUBSCRIBE"], {"stream": "ecg/bed-7"})
    ),
    "subscribing again": lambda: oracle.encode_frame(T["SUBSCRIBE"], {"stream": "ecg/bed-7", "since": 0.0}),
    "two in one": lambda: oracle.encode_frame(T["HEARTBEAT"], None) + deflated("ECG_DATA", many(b"\xa2ab")),
}


def frame_of(kind: str) -> bytes:
    return deflated("ECG_DATA", DATA[kind]()) if kind in DATA else CONTROL[kind]()


async def connect(port: int, *, limit: int = 2**16) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection that has negotiated version 3."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    writer.write(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(masked(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3, "capabilities": []}, 1)))
    return reader, writer


async def swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**16):
        pass


async def flood(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes, nbytes: float, seconds: float
) -> None:
    swallowing = asyncio.create_task(swallow(reader)) if seconds else None
    frame = masked(message)
    at_once = frame * max(1, min(2**14, int(nbytes / 20)) // len(frame))
    sent, began = 0, time.monotonic()
    try:
        while sent < nbytes if seconds == 0 else time.monotonic() < began + seconds:
            writer.write(at_once)
            await writer.drain()
            sent += len(at_once)
            if seconds:
                await asyncio.sleep(max(0.0, began + sent / nbytes - time.monotonic()))
    except OSError:
        pass  # the server has closed the connection
    if swallowing is not None:
        writer.transport.abort()
        swallowing.cancel()


async def main(port: int, kind: str, connections: int, nbytes: float, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    message = frame_of(kind)
    opened = [await connect(port) for _ in range(connections)]
    print(len(message), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    sending = asyncio.gather(*[flood(*ends, message, nbytes, seconds) for ends in opened])
    try:
        async with asyncio.timeout(seconds + 5):
            await sending
    except TimeoutError:
        pass  # the server does not read this connection
    print("sent", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)


if __name__ == "__main__":
    port, kind, connections, nbytes, seconds = sys.argv[1:]
    asyncio.run(main(int(port), kind, int(connections), float(nbytes), float(seconds)))
