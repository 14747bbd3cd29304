"""The other side for the TypeScript client's tests: the Python codec, and a real server, told what to do by JSON lines.

Each line on stdin is ``{"id": n, "do": name, ...arguments}``; the line on stdout with the same id is the answer.
Values are rendered as ``tests/vectors/README.md`` says.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))

import msgpack
import numpy as np
from rendering import from_json, to_json

import ecgframe
from ecgframe import Codec, Compression, Flag, Message, MessageType, ProtocolError
from ecgframe.client import Gap
from ecgframe.client.cursor import StreamCursor
from ecgframe.messages import check_received
from ecgframe.protocol import MAX_DTYPE_LETTERS
from ecgframe.seal import Key, StoredKeys
from ecgframe.server import Limits, Sealing, WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.session import RateLimit, Settings


class Peer:
    """Does what it is told."""

    def __init__(self) -> None:
        self.handler: WebSocketBinaryHandler | None = None
        self.listening: Any = None
        self.port = 0
        self.received: list[dict[str, Any]] = []
        self.undelivered: list[str] = []
        self.may_take = asyncio.Event()
        self.may_take.set()
        self.forbidden: set[str] = set()
        self.keys = StoredKeys()

    # --- the codec ---

    async def encode(self, *, type, data, version, flags=0, timestamp=None, ndarray="list", compress=False):
        codec = Codec(version=version, ndarray=ndarray, compression=Compression() if compress else None)
        stamp = None if timestamp is None else int(timestamp)
        return {"frame": codec.encode(type, from_json(data), flags=flags, timestamp=stamp).hex()}

    async def decode(self, *, frame):
        try:
            message = Codec().decode(bytes.fromhex(frame))
        except ProtocolError as error:
            return {"code": int(error.code), "check": error.check}
        return {
            "version": message.version,
            "type": int(message.type),
            "flags": int(message.flags),
            "timestamp": None if message.timestamp is None else str(message.timestamp),
            "data": to_json(message.data),
        }

    async def check_control(self, *, type, data):
        """What a receiver that validates makes of a control message."""
        try:
            return {"data": to_json(check_received(type, from_json(data)))}
        except ProtocolError as error:
            return {"code": int(error.code), "check": error.check}

    async def dtypes(self, *, spellings):
        """What NumPy makes of each spelling; null where it is no dtype that travels."""
        return {"names": [_dtype_name(spelling) for spelling in spellings]}

    async def place(self, *, since, steps):
        """What a viewer's place in a stream makes of a course of events."""
        cursor = StreamCursor("ecg", _moment(since))
        return {"told": [[_step(cursor, **step), _cursor_told(cursor)] for step in steps]}

    # --- a server ---

    async def serve(self, *, settings=None, limits=None, streams_denied=(), stream_keys=None, takes_sealed=False):
        """A handler of its own, and a server that listens for it.

        ``stream_keys`` is a list as in a file of keys; the streams in it are sealed, and their keys handed out without
        TLS.
        With ``takes_sealed``, clients may publish streams that they seal.
        """
        if self.listening:
            await self.go_away()
            await self.handler.close()
        self.port, self.received, self.undelivered, self.forbidden = 0, [], [], set(streams_denied)
        self.may_take.set()
        sealing = None
        if stream_keys is not None:
            self.keys = StoredKeys([_key(**one) for one in stream_keys])
            sealing = Sealing(keyring=self.keys)
            settings = {**(settings or {}), "keys_without_tls": True}
        self.handler = WebSocketBinaryHandler(
            sealing=sealing,
            takes_sealed=takes_sealed,
            settings=Settings(
                rate_limit=RateLimit(frames=1e6, frames_burst=10**6, nbytes=1e9, nbytes_burst=10**9),
                **_settings(settings or {}),
            ),
            limits=Limits(**(limits or {})),
            authorize=self._authorize,
            on_message=self._take,
            on_undelivered=lambda _, undelivered: self.undelivered.append(str(undelivered.timestamp)),
        )
        await self.handler.__aenter__()
        return await self.listen()

    async def replace_keys(self, *, stream_keys):
        """Use other keys, as at a rotation."""
        self.keys.replace([_key(**one) for one in stream_keys])
        return {}

    async def listen(self):
        """Listen, on the same port as before."""
        self.listening = await serve(self.handler, "127.0.0.1", self.port)
        self.port = self.listening.sockets[0].getsockname()[1]
        return {"port": self.port}

    async def go_away(self):
        """Close all connections and the port, and keep what the streams hold."""
        self.listening.close()
        await self.listening.wait_closed()
        return {}

    async def cut(self):
        """Break all connections off."""
        cut = [connection.transport.abort() for connection in list(self.listening.connections)]
        return {"connections": len(cut)}

    async def view(self, *, stream, stream_keys, signers):
        """Watch a stream of the server with a Python client, with keys and public keys (hexadecimal) of its own."""
        keys = StoredKeys([_key(**one) for one in stream_keys])
        known = [bytes.fromhex(one) for one in signers]
        url = f"ws://127.0.0.1:{self.port}/ws"
        client = ecgframe.connect(url, settings=Settings(versions=(1, 2, 3, 4)), keys=keys, signers=known)
        await client.__aenter__()
        self.viewed, self.attested = [], []
        subscription = client.subscribe(stream, on_attestation=self.attested.append)
        await subscription.__aenter__()
        self.viewing = asyncio.create_task(self._view(subscription))
        return {}

    async def _view(self, subscription):
        async for message in subscription:
            self.viewed.append({"type": int(message.type), "number": message.sequence, "signature": message.signature})

    async def seen(self):
        """What the Python client has seen: messages, and what was attested or not."""
        told = [
            {
                "kind": type(one).__name__,
                "numbers": list(one.numbers),
                "unseen": getattr(one, "unseen", 0),
                "missing": getattr(one, "missing", 0),
                "last": getattr(one, "last", False),
            }
            for one in self.attested
        ]
        return {"messages": self.viewed, "told": told}

    async def publish(self, *, stream, type=MessageType.ECG_DATA, data, flags=0):
        return {"timestamp": str(await self.handler.publish(stream, MessageType(type), from_json(data), flags))}

    async def publish_numbers(self, *, stream, first, last, leads=1, samples=1, timestamp=None):
        """Messages with the numbers from first to last - 1, in ECG_DATA whose every sample is the message's number."""
        times = {} if timestamp is None else {"timestamp": timestamp}
        for number in range(first, last):
            signal = np.full((leads, samples), number, "int16")
            data = {"signal": signal, "sampling_rate": 1000, "sequence": number, **times}
            await self.handler.publish(stream, MessageType.ECG_DATA, data)
        return {}

    async def send(self, *, type, data, flags=0):
        """To every connection, by itself."""
        sent = [
            await self.handler.send_message(connection.id, MessageType(type), from_json(data), flags)
            for connection in self.handler.connections()
        ]
        return {"timestamps": [str(timestamp) for timestamp in sent]}

    async def hold_messages(self):
        self.may_take.clear()
        return {}

    async def take_messages(self):
        self.may_take.set()
        return {}

    async def state(self):
        """What has come, and who is there."""
        return {
            "received": self.received,
            "undelivered": self.undelivered,
            "connections": [
                {"version": connection.version, "capabilities": sorted(connection.capabilities)}
                for connection in self.handler.connections()
            ],
        }

    async def _authorize(self, connection, action, stream):
        return stream not in self.forbidden

    async def _take(self, connection, message):
        await self.may_take.wait()
        self.received.append(
            {"type": int(message.type), "timestamp": str(message.timestamp), "data": to_json(message.data)}
        )


def _step(cursor: StreamCursor, *, do: str, **given: Any) -> Any:
    match do:
        case "take":
            message = Message(MessageType(given["type"]), None, 3, Flag(given["flags"]), given["timestamp"])
            return [_told(item) for item in cursor.take(message, given["now"])]
        case "answered":
            return [_told(gap) for gap in cursor.answered(given["start"], given["timestamp"])]
        case "answered_untimed":
            return [_told(gap) for gap in cursor.answered_untimed(given["start"], given["now"])]
        case "started_anew":
            return [_told(gap) for gap in cursor.started_anew(given["now"])]
        case "noticed":
            gap = cursor.noticed(given["start"], given["stop"], given["frames"], timed=given["timed"])
            return [] if gap is None else [_told(gap)]
    raise ValueError(do)


def _key(*, id: int, stream: str, key: str, begins: float | None = None, ends: float | None = None) -> Key:
    return Key(id, stream, bytes.fromhex(key), begins, ends)


def _moment(since: int | str | None) -> int | datetime | None:
    return datetime.fromisoformat(since) if isinstance(since, str) else since


def _cursor_told(cursor: StreamCursor) -> list[int | str | None]:
    asked = cursor.asks_since()
    return [cursor.since(), asked.isoformat() if isinstance(asked, datetime) else None]


def _told(item: Message | Gap) -> Any:
    return [item.start, item.stop, item.frames] if isinstance(item, Gap) else "message"


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    as_given = {name: value for name, value in given.items() if name not in {"versions", "capabilities"}}
    versions = {"versions": tuple(given["versions"])} if "versions" in given else {}
    capabilities = {"capabilities": frozenset(given["capabilities"])} if "capabilities" in given else {}
    return {**as_given, **versions, **capabilities}


def _dtype_name(spelling: str) -> str | None:
    payload = {"__ndarray__": [], "dtype": spelling, "shape": [0]}
    try:
        return str(Codec().unpack(msgpack.packb(payload)).dtype) if len(spelling) <= MAX_DTYPE_LETTERS else None
    except ProtocolError:
        return None


async def main() -> None:
    """Read commands until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer = Peer()
    while line := await reader.readline():
        command = json.loads(line)
        number, name = command.pop("id"), command.pop("do")
        try:
            answer = await getattr(peer, name)(**command)
        except Exception as error:
            answer = {"failure": repr(error)}
        print(json.dumps({"id": number, **answer}), flush=True)
    if peer.listening:
        await peer.go_away()
        await peer.handler.close()


asyncio.run(main())
