"""The server by hand and the same server with ecgframe differ in few lines, and send the same bytes."""

import difflib
import time
from itertools import pairwise

import numpy as np
import oracle
import pytest
from programs import EXAMPLES, imported
from running import run
from uvicorn_server import serving

websockets = pytest.importorskip("websockets")
pytest.importorskip("fastapi")

SERVERS = ["slow_server", "fast_server"]
STREAM = "ecg/bed-7"
TYPES = oracle.TYPES
RECENT = 60_000_000  # microseconds
RNG = np.random.default_rng(7)


def ecg(signal, **others):
    return ("ECG_DATA", {"signal": signal, "sampling_rate": 250, "stream": STREAM, **others})


PUBLISHED = [
    ecg(np.array([0.0, 0.125, -0.25])),
    ecg([0.5, 1, -2]),
    ecg(RNG.normal(size=(12, 150)).round(3), leads=["I", "II"]),
    ecg(np.zeros(700, "float32")),
    ecg(RNG.normal(size=30).astype("float32")),
    ecg(np.arange(600, dtype="int16").reshape(2, 300), gain=1000.0, baseline=0),
    ecg(np.empty((0, 12)), device_id="monitor-3"),
    ("ANOMALY_ALERT", {"kind": "asystole", "timestamp": 1705314645.5, "stream": STREAM, "severity": "critical"}),
    ("PREDICTION_RESULT", {"label": "sinus", "probabilities": {"sinus": 0.75}, "stream": STREAM}),
    ("FEATURE_DATA", {"features": {"rr": np.array([0.8, 0.81]), "rate": 74}, "stream": STREAM}),
    ("ECG_DATA", {"signal": [1.0], "sampling_rate": 250, "stream": "ecg/bed-8"}),
]


def frame(name, data, version=3, **options):
    return oracle.encode_frame(TYPES[name], data, version, timestamp=time.time_ns() // 1000, **options)


FAULTS = {
    "a checksum that is wrong": oracle.frame(3, TYPES["PING"], 0, b"\xc0", checksum=1),
    "a payload that is no zlib stream": oracle.frame(2, TYPES["PING"], oracle.COMPRESSED, b"\xc0"),
    "a payload that is no MessagePack": oracle.frame(1, TYPES["PING"], 0, b"\xc1"),
    "encrypted": oracle.frame(3, TYPES["PING"], oracle.ENCRYPTED, b"\xc0"),
    "no stream": frame("SUBSCRIBE", {}),
    "a stream that is no text": frame("SUBSCRIBE", {"stream": 7}),
    "text": "hello",
}
FATAL = {
    "nothing": b"",
    "a version of the future": oracle.frame(9, TYPES["PING"], 0, b""),
    "a type of the future": oracle.frame(1, 0x42, 0, b""),
    "too long": oracle.frame(2, TYPES["PING"], 0, b"", length=2**31),
    "cut short": oracle.frame(1, TYPES["PING"], 0, b"\xc0", length=2),
    "a flag that V1 lacks": oracle.frame(1, TYPES["PING"], oracle.COMPRESSED, b"\xc0"),
    "a choice that was not offered": frame("PROTOCOL_NEGOTIATION", {"version": 9, "capabilities": []}, 1),
}


# --- one client, whatever the server ---


class Peer:
    """A connection, and everything that came over it."""

    def __init__(self, connection):
        self.connection = connection
        self.received = []

    async def send(self, message):
        await self.connection.send(message)

    async def receive(self):
        frame = await self.connection.recv()
        self.received.append(frame)
        return oracle.decode_frame(frame)

    async def ask(self, message):
        await self.send(message)
        return await self.receive()

    async def flush(self, version):
        """Receive everything that was sent to this peer up to now."""
        await self.send(frame("PING", {"last": True}, version))
        while (await self.receive()).type != TYPES["PONG"]:
            pass

    async def closed(self):
        await self.connection.wait_closed()
        self.received.append(self.connection.close_code)


async def conversation(port):
    """Return the messages that each of many clients of a server receives, by name."""
    peers = {}

    async def peer(name):
        url = f"ws://127.0.0.1:{port}/ws"
        peers[name] = Peer(await websockets.connect(url, compression=None, max_size=None))
        assert (await peers[name].receive()).type == TYPES["PROTOCOL_NEGOTIATION"]
        return peers[name]

    async def viewer(name, version, negotiates):
        one = await peer(name)
        if negotiates:
            await one.send(frame("PROTOCOL_NEGOTIATION", {"version": version, "capabilities": ["compression"]}, 1))
        assert (await one.ask(frame("SUBSCRIBE", {"stream": STREAM}, version))).type == TYPES["SUBSCRIPTION_ACK"]
        return one, version

    viewers = [
        await viewer(f"V{version}, negotiates: {negotiates}", version, negotiates)
        for version in oracle.VERSIONS
        for negotiates in (False, True)
    ]
    device = await peer("device")
    for version in (3, 1):
        await device.ask(frame("VERSION_CHECK", {"version": version}))
    await device.ask(frame("VERSION_CHECK", {"version": 4}))
    for name, data in PUBLISHED:
        await device.send(frame(name, data))
        await device.send(frame(name, data, ndarray="binary"))
        await device.send(frame(name, data, 1, compression=False))
    await device.send(frame("HEARTBEAT", {"timestamp": 1.5}))
    acknowledged = ("ECG_DATA", {"signal": [1], "sampling_rate": 1, "stream": "ecg/nobody"})
    await device.ask(oracle.encode_frame(TYPES[acknowledged[0]], acknowledged[1], 3, oracle.ACK_REQUIRED, 12345))
    await device.flush(3)
    for one, version in viewers:
        await one.flush(version)
        await one.ask(frame("UNSUBSCRIBE", {"stream": STREAM}, version))
    await device.send(frame(*PUBLISHED[0]))
    await device.flush(3)
    for name, fault in FAULTS.items():
        faulty = await peer(name)
        assert (await faulty.ask(fault)).type == TYPES["ERROR"]
        await faulty.flush(2)
    for name, fault in FATAL.items():
        faulty = await peer(name)
        assert (await faulty.ask(fault)).type == TYPES["ERROR"]
        await faulty.closed()
    for one, version in viewers:
        await one.flush(version)  # nothing more came
    for one in peers.values():
        await one.connection.close()
    return {name: one.received for name, one in peers.items()}


async def converse(module):
    async with serving(module.app, ws_max_size=module.MAX_MESSAGE) as port:
        return await conversation(port)


@pytest.fixture(scope="module")
def transcripts():
    found = {}
    for name in SERVERS:
        with imported(name) as module:
            found[name] = run(converse(module))
    return found


# --- what they received ---


def comparable(message):
    """A frame without what two honest servers may do differently: when they send it, and how they deflate it."""
    if isinstance(message, int):
        return message
    version, type, flags, _, payload, _ = oracle.split(message)
    if flags & oracle.COMPRESSED:
        return version, type, flags, oracle.inflate(payload)
    return message[:11] + message[oracle.header_size(version) :]


def test_the_bytes_on_the_wire_are_the_same(transcripts):
    slow, fast = (transcripts[name] for name in SERVERS)
    assert slow.keys() == fast.keys()
    for name in slow:
        assert list(map(comparable, fast[name])) == list(map(comparable, slow[name])), name


@pytest.mark.parametrize("server", SERVERS)
def test_everything_was_said(transcripts, server):
    """Or else two servers that say nothing would pass."""
    transcript = transcripts[server]
    seen = [version for version in oracle.VERSIONS for negotiates in (False, True)]
    for name, version in zip(transcript, seen, strict=False):
        messages = [oracle.decode_frame(one) for one in transcript[name]]
        of_stream = [one for one in messages if one.type <= TYPES["FEATURE_DATA"]]
        sent = [(TYPES[kind], data) for kind, data in PUBLISHED if data["stream"] == STREAM for _ in range(3)]
        assert len(of_stream) == len(sent)
        for one, (kind, data) in zip(of_stream, sent, strict=True):
            assert (one.version, one.type) == (version, kind)
            assert oracle.same(one.data, data)
        compressed = any(one.flags & oracle.COMPRESSED for one in messages)
        assert compressed == (version >= 2)
    closes = [transcript[name][-1] for name in FATAL]
    assert closes == [1009 if name == "too long" else 1002 for name in FATAL]


@pytest.mark.parametrize("server", SERVERS)
def test_timestamps_are_of_now(transcripts, server):
    now = time.time_ns() // 1000
    for messages in transcripts[server].values():
        stamps = [oracle.split(one)[3] for one in messages if isinstance(one, bytes) and one[0] == 3]
        assert all(0 <= now - stamp < RECENT for stamp in stamps)
        assert all(earlier <= later for earlier, later in pairwise(stamps))


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_silence_is_filled_with_heartbeats(server, monkeypatch):
    async def listen(module):
        async with serving(module.app) as port, websockets.connect(f"ws://127.0.0.1:{port}/ws") as connection:
            kinds = [oracle.decode_frame(await connection.recv()).type for _ in range(3)]
        assert kinds == [TYPES["PROTOCOL_NEGOTIATION"], TYPES["HEARTBEAT"], TYPES["HEARTBEAT"]]

    with imported(server) as module:
        monkeypatch.setattr(module, "HEARTBEAT_INTERVAL", 0.05)
        run(listen(module))


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_a_viewer_that_is_gone_stops_nobody(server):
    async def talk(module):
        async with serving(module.app) as port:
            url = f"ws://127.0.0.1:{port}/ws"
            gone, stays = [Peer(await websockets.connect(url, compression=None)) for _ in range(2)]
            for one in (gone, stays):
                await one.receive()
                await one.ask(frame("SUBSCRIBE", {"stream": STREAM}))
            gone.connection.transport.abort()
            for _ in range(3):
                got = await stays.ask(frame(*PUBLISHED[0]))
                assert got.type == TYPES["ECG_DATA"]
            await stays.connection.close()

    with imported(server) as module:
        run(talk(module))


# --- and in the editor ---


def test_the_difference_is_a_few_lines():
    texts = [(EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines() for name in SERVERS]
    code = [lines[lines.index("import asyncio") :] for lines in texts]  # without the docstrings
    changed = [line for line in difflib.unified_diff(*code, lineterm="", n=0) if line[:3] not in ("---", "+++")]
    changed = [line[1:] for line in changed if line[0] in "+-" and line[1:].strip()]
    names = "ErrorCode, Flag, Message, MessageType, ProtocolError, decode, encode"
    assert changed == [f"from slow_codec import {names}", f"from ecgframe import {names}"]
