"""A relay between two ends of TCP that keeps every byte that passes, as a capture of the network would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

BINARY = 2
"""The opcode of binary frames; nothing is sent in WebSocket fragments here."""


class RecordingRelay:
    """Passes bytes on in both directions.

    Args:
        target: port on 127.0.0.1 to which connections are passed on.

    Attributes:
        port: where it listens, on 127.0.0.1.
        passed: for each connection, what came from its client, and what came from the server.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.passed: list[tuple[bytearray, bytearray]] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = bytearray(), bytearray()
        self.passed.append((there, back))
        try:
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._pass_on(reader, far_writer, there))
                        group.create_task(self._pass_on(far_reader, writer, back))
                finally:
                    far_writer.close()
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                kept += data
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def recording_relay(target: int) -> AsyncIterator[RecordingRelay]:
    relay = RecordingRelay(target)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()


def without_masks(sent: bytes) -> list[bytes]:
    """The payloads of the binary WebSocket frames of one direction behind the handshake, as their sender had them."""
    at = sent.index(b"\r\n\r\n") + 4
    found = []
    while at < len(sent):
        opcode = sent[at] & 0x0F
        is_masked, size, at = sent[at + 1] & 0x80, sent[at + 1] & 0x7F, at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(sent[at : at + width], "big"), at + width
        mask, at = (sent[at : at + 4], at + 4) if is_masked else (bytes(4), at)
        if opcode == BINARY:
            found.append(bytes(byte ^ mask[n % 4] for n, byte in enumerate(sent[at : at + size])))
        at += size
    return found
