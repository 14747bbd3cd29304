"""Clients older than the server: they know one version, and do not know negotiation.

They use ``struct``, ``zlib`` and the MessagePack reader below, and nothing of ecgframe. They raise an error for every
byte that their version does not define, so that the test fails if the server sends one.
"""

import struct
import zlib

import websockets

HEADER = struct.Struct(">BBBII")
TIMESTAMP = struct.Struct(">Q")
ECG_DATA, ANOMALY_ALERT, PREDICTION_RESULT, FEATURE_DATA = 0x01, 0x02, 0x03, 0x04
HEARTBEAT, PING, PONG = 0x10, 0x11, 0x12
SUBSCRIBE, UNSUBSCRIBE, SUBSCRIPTION_ACK = 0x20, 0x21, 0x22
VERSION_CHECK, PROTOCOL_NEGOTIATION, ERROR = 0xFD, 0xFE, 0xFF
TYPES = {
    *(ECG_DATA, ANOMALY_ALERT, PREDICTION_RESULT, FEATURE_DATA, HEARTBEAT, PING, PONG),
    *(SUBSCRIBE, UNSUBSCRIBE, SUBSCRIPTION_ACK, VERSION_CHECK, PROTOCOL_NEGOTIATION, ERROR),
}
COMPRESSED, PRIORITY, BROADCAST, ACK_REQUIRED = 0x01, 0x04, 0x08, 0x10
FLAGS_A_SERVER_MAY_SEND = {1: 0, 2: COMPRESSED, 3: COMPRESSED | PRIORITY | BROADCAST | ACK_REQUIRED}
NEGOTIATED_ONLY = {"since", "from"}
"""Fields of protocol extensions, which must not be sent to a client that has not negotiated them."""


class Undefined(AssertionError):
    """The server sent something that this version does not define."""


# --- MessagePack ---


def unpack(payload):
    value, end = read_value(payload, 0)
    if end != len(payload):
        raise Undefined(f"{len(payload) - end} bytes behind the value")
    return value


SCALARS = {
    **{0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"},
    **{0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"},
}
SIZED = {
    **{0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I")},
    **{0xD9: ("str", ">B"), 0xDA: ("str", ">H"), 0xDB: ("str", ">I")},
    **{0xDC: ("array", ">H"), 0xDD: ("array", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I")},
}


def read_value(data, at):  # noqa: PLR0911 - one for each kind
    first = data[at]
    at += 1
    if first <= 0x7F:
        return first, at
    if first >= 0xE0:
        return first - 256, at
    if first <= 0x8F:
        return read_sized("map", first & 0x0F, data, at)
    if first <= 0x9F:
        return read_sized("array", first & 0x0F, data, at)
    if first <= 0xBF:
        return read_sized("str", first & 0x1F, data, at)
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at
    if first in SCALARS:
        [value] = struct.unpack_from(SCALARS[first], data, at)
        return value, at + struct.calcsize(SCALARS[first])
    if first in SIZED:
        kind, form = SIZED[first]
        [size] = struct.unpack_from(form, data, at)
        return read_sized(kind, size, data, at + struct.calcsize(form))
    raise Undefined(f"MessagePack has no 0x{first:02x} here")


def read_sized(kind, size, data, at):
    if kind in ("str", "bin"):
        raw = bytes(data[at : at + size])
        if len(raw) != size:
            raise Undefined("cut short")
        return (raw.decode() if kind == "str" else raw), at + size
    values = []
    for _ in range(size if kind == "array" else 2 * size):
        value, at = read_value(data, at)
        values.append(value)
    return (values if kind == "array" else dict(zip(values[::2], values[1::2], strict=True))), at


def pack(value):
    """Pack the values that these clients send."""
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(pack(key) + pack(entry) for key, entry in value.items())
    if isinstance(value, str):
        return bytes([0xD9, len(value.encode())]) + value.encode()
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    return b"\xd3" + struct.pack(">q", value)


# --- the client ---


class OldClient:
    """A client of one version. ``received`` holds (type, flags, data) of each frame."""

    def __init__(self, version, connection):
        self.version = version
        self.connection = connection
        self.received = []
        self.inflated = 0
        self.last_timestamp = 0

    @classmethod
    async def connect(cls, version, url):
        """Open a connection, and skip the server's offer without answering it."""
        client = cls(version, await websockets.connect(url, compression=None, max_size=None))
        kind, _, data = client.read(await client.connection.recv(), version=1)
        assert kind == PROTOCOL_NEGOTIATION
        assert version in data["versions"]
        client.received.clear()
        return client

    async def send(self, kind, data, flags=0):
        payload = pack(data)
        header = HEADER.pack(self.version, kind, flags, len(payload), zlib.crc32(payload))
        if self.version == 3:
            self.last_timestamp += 1
            header += TIMESTAMP.pack(self.last_timestamp)
        await self.connection.send(header + payload)

    async def receive(self):
        return self.read(await self.connection.recv(), self.version)

    async def subscribe(self, stream):
        await self.send(SUBSCRIBE, {"stream": stream})
        kind, _, answer = await self.receive()
        assert kind == SUBSCRIPTION_ACK
        assert answer == {"stream": stream, "status": "subscribed"}

    async def close(self):
        await self.connection.close()
        assert self.connection.close_code == 1000

    def read(self, message, version):
        """Read one message, which must be one frame of this version."""
        if not isinstance(message, bytes):
            raise Undefined("a text message")
        size = HEADER.size + (TIMESTAMP.size if version == 3 else 0)
        of, kind, flags, length, checksum = HEADER.unpack_from(message)
        payload = message[size:]
        if of != version:
            raise Undefined(f"a frame of version {of}")
        if kind not in TYPES:
            raise Undefined(f"a frame of type 0x{kind:02x}")
        if flags & ~FLAGS_A_SERVER_MAY_SEND[version]:
            raise Undefined(f"flags 0x{flags:02x}")
        if len(payload) != length or zlib.crc32(payload) != checksum:
            raise Undefined("a payload that is not the header's")
        if flags & COMPRESSED:
            payload = zlib.decompress(payload)
            self.inflated += 1
        data = unpack(payload)
        if kind != ERROR:  # details of an ERROR may have any fields
            check_words(data)
        self.received.append((kind, flags, data))
        return self.received[-1]


def check_words(data, path="data"):
    """Check that there is no array in binary form, and no field of an extension."""
    if isinstance(data, dict):
        if isinstance(data.get("__ndarray__"), bytes):
            raise Undefined(f"{path} is an array in binary form")
        if extensions := NEGOTIATED_ONLY & data.keys():
            raise Undefined(f"{path} has {extensions}")
        for key, value in data.items():
            check_words(value, f"{path}[{key!r}]")
    elif isinstance(data, list):
        for index, value in enumerate(data):
            check_words(value, f"{path}[{index}]")
