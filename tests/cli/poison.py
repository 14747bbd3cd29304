"""Hostile text in everything that the commands read."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from cli.server_thread import listening, within_a_thread
from recordings import optional
from tools.captures import Connection, capture

from ecgframe import MessageType, encode
from ecgframe.records import Record, write_record
from ecgframe.tools.capture.wireshark_export import Recorder
from ecgframe.tools.observation import Delivery, Origin

optional("websockets")

from websockets.asyncio.server import serve  # noqa: E402 - after the skip

POISON = "=p\x1b]0;x\x07\x1b[2J\x9b31m\u202e\u2028\x7f[/bold][red]:heart:\r\nerror: forged\x85"
"""An OSC and CSI sequence, C1, bidi and line separators, DEL, markup, an emoji code, and a line of its own."""

NAME = POISON.replace("/", "\\").replace("\x00", "")
"""The part of it that a file name may contain."""

ACTED_UPON = ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\u202e", "\u2028", "\x7f", "\x85", "\nerror: forged")
"""Parts of it that may not reach a terminal, other than the colours and cursor movements of a command."""

OFFER = {
    "versions": [1, 2, 3],
    "preferred": 3,
    "capabilities": ["compression", "timestamps", "priority", "ndarray-bin", POISON],
    "max_payload": 1 << 20,
    "heartbeat_interval": 15.0,
    POISON: POISON,
}
METRICS = "".join(
    f'ecgframe_{name}{{{label}="{value}"}} 1.0\n'
    for value in [POISON.replace("\r", "").replace("\n", "\\n").replace("\x85", "").replace("\u2028", "")]
    for name, label in (
        ("connections_by_version", "version"),
        ("messages_sent_total", "type"),
        ("messages_received_total", "type"),
        ("compression_ratio", "direction"),
        ("errors_sent_total", "code"),
        ("errors_received_total", "code"),
        ("message_size_bytes_count", "direction"),
        ("processing_seconds_count", "stage"),
    )
)


def signal(stream: str = POISON) -> dict[str, Any]:
    """Return a payload of ECG_DATA in which every text is hostile."""
    return {
        "signal": np.arange(80, dtype="int16").reshape(2, 40),
        "sampling_rate": 400,
        "leads": [POISON, f"-{POISON}"],
        "units": POISON,
        "gain": 200,
        "baseline": 0,
        "stream": stream,
        POISON: {POISON: [POISON]},
    }


def alert(stream: str = POISON) -> dict[str, Any]:
    """Return a payload of ANOMALY_ALERT in which every text is hostile."""
    words = dict.fromkeys(("kind", "severity", "lead", "message", POISON), POISON)
    return {**words, "timestamp": 1.0, "stream": stream}


def frames(stream: str = POISON) -> list[bytes]:
    """Return frames of many kinds, valid and broken."""
    return [
        encode(MessageType.ECG_DATA, signal(stream)),
        encode(MessageType.ANOMALY_ALERT, alert(stream)),
        encode(MessageType.ERROR, {"code": 0x101, "message": POISON, "details": {POISON: POISON}}),
        encode(MessageType.ECG_DATA, {"signal": POISON, "sampling_rate": POISON, "stream": stream}),
        encode(MessageType.SUBSCRIPTION_ACK, {"stream": POISON, POISON: 1}),
        _broken(),
    ]


def _broken() -> bytes:
    """Return a frame whose error quotes its payload."""
    payload = msgpack.packb({"a": {"__datetime__": POISON}, POISON: {"__uuid__": POISON}})
    return struct.pack(">BBBII", 1, MessageType.PING, 0, len(payload), zlib.crc32(payload)) + payload


class Poisoned:
    """Write files with hostile names and contents.

    Attributes:
        recordings: that ``encode`` reads.
        frames: of a recording, and any.
        captures: of the network, and of the proxy.
        error_log: with lines of an attacker's.
        audit_log: with names of an attacker's.
        keys: a file of keys, of a stream with a hostile name.
        junk: files that are none of these.
    """

    def __init__(self, folder: Path) -> None:
        folder = folder / NAME
        folder.mkdir()
        record = Record(
            np.arange(2000, dtype="int16").reshape(2, 1000), 250, (POISON, f"-{POISON}"), POISON, (200, 200), (0, 0)
        )
        self.recordings = []
        for suffix in (".npz", ".csv"):
            with (folder / f"{NAME}{suffix}").open("wb") as file:
                write_record(record, file, suffix)
            self.recordings.append(folder / f"{NAME}{suffix}")
        (folder / "raw.csv").write_text(f'# units: {POISON[:20]}\ntime,"{POISON[:8]}",-II\n0,1,2\n0.004,3,4\n', "utf-8")
        self.recordings.append(folder / "raw.csv")
        whole, mixed = folder / "whole.frames", folder / f"{NAME}.frames"
        parts = [signal() | {"sequence": number, "timestamp": number / 10} for number in range(3)]
        whole.write_bytes(b"".join(encode(MessageType.ECG_DATA, part) for part in parts))
        mixed.write_bytes(b"".join(frames()))
        self.frames = [whole, mixed]
        ethernet, recorded = folder / f"{NAME}.pcap", folder / "recorded.pcap"
        connection = Connection().open()
        for number, frame in enumerate(frames()):
            connection.send(frame, "client" if number % 2 else "server")
        connection.send(POISON.encode(), opcode=1).send(b"\x0f\xa0" + POISON.encode(), opcode=8)
        ethernet.write_bytes(capture(connection.packets))
        with recorded.open("wb") as file:
            recorder = Recorder(file)
            for number, frame in enumerate(frames()):
                recorder.write(Delivery(frame, Origin(1.0 + number, "127.0.0.1:1", "127.0.0.1:2", number % 2 == 0)))
        self.captures = [ethernet, recorded]
        self.error_log = folder / f"{NAME}.jsonl"
        self.error_log.write_text("".join(json.dumps(line) + "\n" for line in _log_lines()))
        self.audit_log = folder / f"{NAME}.audit"
        self.audit_log.write_text("".join(json.dumps(line) + "\n" for line in _audit_lines()))
        self.keys = folder / f"{NAME}.keys"
        self.keys.write_text(json.dumps([{"stream": POISON, "id": 5, "key": "07" * 32}]))
        self.junk = [folder / f"{NAME}.junk", folder / f"nowhere {NAME}"]
        self.junk[0].write_text(POISON)


def _log_lines() -> Iterator[dict[str, Any]]:
    for code in (0x101, 0x106, 7, 10**30):
        yield {
            "time": 1.0,
            "code": code,
            "name": POISON,
            "check": 12,
            "peer": POISON,
            "path": POISON,
            "message": POISON + "\ud800",
            "bytes": f"00; echo {POISON}",
            "header": {"type": POISON, POISON: POISON},
            POISON: [POISON],
        }


def _audit_lines() -> Iterator[dict[str, Any]]:
    whose = {"connection": POISON, "peer": POISON, "person": POISON, "stream": POISON, "run": POISON}
    yield {"event": "watches", "at": 1.0, "since": None, **whose}
    yield {"event": "watched", "at": 2.0, "from": 1.0, "messages": 5, "why": POISON, **whose}
    yield {"event": "publishes", "at": 3.0, **whose, POISON: [POISON]}
    yield {"event": POISON, "at": 4.0, **whose}


@contextmanager
def poisoned_server() -> Iterator[int]:
    """Run a server that sends hostile text over WebSocket and HTTP; yield its port."""

    async def talk(connection: Any) -> None:
        await connection.send(encode(MessageType.PROTOCOL_NEGOTIATION, OFFER, version=1))
        await connection.recv()
        for frame in frames():
            await connection.send(frame)
        await connection.send(POISON)
        await asyncio.wait([asyncio.ensure_future(connection.recv())], timeout=0.3)
        await connection.close(4000, POISON)

    def page(connection: Any, request: Any) -> Any:
        path = request.path.partition("?")[0]
        bodies = {"/metrics": METRICS, "/streams": json.dumps({"streams": [POISON, f"{POISON} 2"]})}
        if path not in bodies:
            return None
        return connection.respond(HTTPStatus.OK, bodies[path])

    with within_a_thread(lambda: serve(talk, "127.0.0.1", 0, process_request=page, compression=None)) as port:
        yield port


@contextmanager
def refusing_server() -> Iterator[int]:
    """Run a server that answers every request with a hostile status line and headers."""
    words = POISON.replace("\r", "").replace("\n", "").encode("latin-1", "replace")

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 " + words + b"\r\nX-A: " + words + b"\r\nConnection: close\r\n\r\n" + words)
        await writer.drain()
        writer.close()

    with within_a_thread(lambda: listening(refuse)) as port:
        yield port
