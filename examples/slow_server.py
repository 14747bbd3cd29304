"""A hub for ECGs on FastAPI: whoever sends a message with a stream's name has it sent to all who subscribed to it.

    pip install fastapi uvicorn websockets numpy msgpack
    python slow_server.py 8000

It trusts its network: everybody may subscribe, and everybody may publish.
"""

import asyncio
import sys
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from slow_codec import ErrorCode, Flag, Message, MessageType, ProtocolError, decode, encode

HEARTBEAT_INTERVAL = 15.0  # seconds
MAX_PAYLOAD = 16 * 1024 * 1024
MAX_MESSAGE = MAX_PAYLOAD + 19
CAPABILITIES = ["compression", "timestamps", "priority"]
DATA = {MessageType.ECG_DATA, MessageType.ANOMALY_ALERT, MessageType.PREDICTION_RESULT, MessageType.FEATURE_DATA}
FATAL_CHECKS = range(1, 7)  # past one of these, nothing is known of where the next frame begins
MOST_ERRORS, WITHIN = 5, 10.0  # seconds
LONGEST_NAME = 256


class Refused(Exception):
    """What a client asked for cannot be."""

    def __init__(self, code: ErrorCode) -> None:
        self.code = code


class Connection:
    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.version: int | None = None
        self.has_negotiated = False
        self.errors: list[float] = []
        self.streams: set[str] = set()
        self.sent_at = 0.0

    async def send(self, type: MessageType, data: object, *, version: int | None = None) -> None:
        version = version or self.version or 1
        urgent = type is MessageType.ANOMALY_ALERT and version == 3
        frame = encode(type, data, version=version, flags=Flag.PRIORITY if urgent else 0)
        self.sent_at = asyncio.get_running_loop().time()
        try:
            await self.websocket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError):  # gone: its own loop ends with it
            connections.discard(self)

    async def refuse(self, code: ErrorCode) -> None:
        await self.send(MessageType.ERROR, {"code": int(code), "message": code.name.replace("_", " ").lower()})

    def has_erred_too_often(self) -> bool:
        now = asyncio.get_running_loop().time()
        self.errors = [*(time for time in self.errors if time > now - WITHIN), now]
        return len(self.errors) >= MOST_ERRORS


connections: set[Connection] = set()


@asynccontextmanager
async def heartbeats(app: FastAPI):
    task = asyncio.create_task(beat())
    yield
    task.cancel()


async def beat() -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL / 2)
        silent_since = asyncio.get_running_loop().time() - HEARTBEAT_INTERVAL
        for connection in [one for one in connections if one.sent_at <= silent_since]:
            await connection.send(MessageType.HEARTBEAT, None)


app = FastAPI(lifespan=heartbeats)


@app.websocket("/ws")
async def serve(websocket: WebSocket) -> None:
    await websocket.accept()
    connection = Connection(websocket)
    await connection.send(MessageType.PROTOCOL_NEGOTIATION, negotiation(), version=1)
    connections.add(connection)
    try:
        while (event := await websocket.receive())["type"] == "websocket.receive":
            if not await receive(connection, event.get("bytes")):
                break
    finally:
        connections.discard(connection)


def negotiation() -> dict:
    return {
        "versions": [1, 2, 3],
        "preferred": 3,
        "capabilities": CAPABILITIES,
        "max_payload": MAX_PAYLOAD,
        "heartbeat_interval": HEARTBEAT_INTERVAL,
    }


async def receive(connection: Connection, frame: bytes | None) -> bool:
    """Deal with one frame. False: nothing more is to be read from this client."""
    try:
        if frame is None:  # a text message
            raise Refused(ErrorCode.INVALID_DATA_FORMAT)
        await answer(connection, decode(frame))
        return True
    except ProtocolError as error:
        code, is_fatal = error.code, error.check in FATAL_CHECKS
    except Refused as refused:
        code, is_fatal = refused.code, refused.code == ErrorCode.INVALID_PROTOCOL_VERSION
    await connection.refuse(code)
    if is_fatal or connection.has_erred_too_often():
        await connection.websocket.close(1009 if is_fatal and code == ErrorCode.MESSAGE_TOO_LARGE else 1002)
        return False
    return True


async def answer(connection: Connection, message: Message) -> None:
    if connection.version is None and message.type is not MessageType.PROTOCOL_NEGOTIATION:
        connection.version = message.version  # an old client, which does not negotiate
    match message.type:
        case MessageType.PROTOCOL_NEGOTIATION:
            if connection.has_negotiated:
                raise Refused(ErrorCode.INVALID_DATA_FORMAT)
            connection.version = chosen(field(message, "version", int))
            connection.has_negotiated = True
        case MessageType.VERSION_CHECK if isinstance(message.data, dict) and "compatible" in message.data:
            pass  # an answer
        case MessageType.VERSION_CHECK:
            version = field(message, "version", int)
            known = {"version": version, "compatible": version in (1, 2, 3), "versions": [1, 2, 3]}
            await connection.send(MessageType.VERSION_CHECK, known)
        case MessageType.PING:
            await connection.send(MessageType.PONG, message.data)
        case MessageType.SUBSCRIBE:
            await subscribe(connection, field(message, "stream", str))
        case MessageType.UNSUBSCRIBE:
            stream = field(message, "stream", str)
            connection.streams.discard(stream)
            await connection.send(MessageType.SUBSCRIPTION_ACK, {"stream": stream, "status": "unsubscribed"})
        case MessageType.SUBSCRIPTION_ACK:
            raise Refused(ErrorCode.INVALID_DATA_FORMAT)  # it is for servers to send
        case type if type in DATA:
            await publish(message, field(message, "stream", str))
    if message.flags & Flag.ACK_REQUIRED:
        await connection.send(MessageType.PONG, {"ack": message.timestamp, "type": int(message.type)})


async def subscribe(connection: Connection, stream: str) -> None:
    if 0 < len(stream) <= LONGEST_NAME:
        await connection.send(MessageType.SUBSCRIPTION_ACK, {"stream": stream, "status": "subscribed"})
        connection.streams.add(stream)
    else:
        denied = {"stream": stream, "status": "denied", "code": int(ErrorCode.INVALID_DATA_FORMAT)}
        await connection.send(MessageType.SUBSCRIPTION_ACK, denied)


def chosen(version: int) -> int:
    if version not in (1, 2, 3):
        raise Refused(ErrorCode.INVALID_PROTOCOL_VERSION)
    return version


def field(message: Message, name: str, kind: type):
    if not isinstance(message.data, dict) or name not in message.data:
        raise Refused(ErrorCode.MISSING_REQUIRED_FIELDS)
    if not isinstance(message.data[name], kind):
        raise Refused(ErrorCode.INVALID_DATA_FORMAT)
    return message.data[name]


async def publish(message: Message, stream: str) -> None:
    for connection in [one for one in connections if stream in one.streams]:
        await connection.send(message.type, message.data)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), ws_max_size=MAX_MESSAGE, ws_per_message_deflate=False)
