"""A device with the C header keeps the rules of a sender: judged by the suite of ``conformance``, and by a real server.

The device does not answer the offer of the server, so it is what docs/protocol.md calls an old peer. The cases for
clients of ``ecgframe conformance --listen`` begin with that answer; these are the rules that hold without it, with the
same judge.
"""

from __future__ import annotations

import asyncio
import subprocess
import urllib.request
from contextlib import suppress
from ctypes import byref, c_size_t
from itertools import pairwise

import numpy as np
import pytest
from cli.live_server import live
from examples.device_header import COMPILER, FOLDER, Step, compiled, compiled_header, ecg_of, steps_of, written
from recordings import optional
from running import run
from server.engines import TYPES, client

import ecgframe
from ecgframe import Codec, MessageType
from ecgframe.protocol import DATA_TYPES, HEADER_SIZES, Flag
from ecgframe.session import Settings as SessionSettings
from ecgframe.testing import LiveServer

websockets = optional("websockets")

from ecgframe.tools.conformance.cases import Suite, Verdict  # noqa: E402 - after the skip
from ecgframe.tools.conformance.checks import require  # noqa: E402
from ecgframe.tools.conformance.runner import run_on_clients  # noqa: E402
from ecgframe.tools.conformance.transcript import Settings  # noqa: E402

pytestmark = pytest.mark.skipif(COMPILER is None, reason="a C compiler is not installed")

STREAM = "ecg/bed-7"
BEGIN = 1_767_225_600_000_000
LARGEST = 64 * 1024
OFFER = {
    "versions": [1, 2, 3],
    "preferred": 3,
    "capabilities": ["compression", "timestamps", "priority", "broadcast", "ack", "batch"],
    "max_payload": LARGEST,
    "heartbeat_interval": 15.0,
}
"""Of a server that has no arrays in binary form."""

ALERT = {"stream": STREAM, "kind": "lead_off", "severity": "warning", "timestamp": BEGIN / 1e6, "lead": "II"}

CHECKED = Codec(validate=True, versions=(1, 2, 3), compression=None)


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    return compiled_header(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def frames_of_program(tmp_path_factory):
    """What examples/device/publish.c sends, frame by frame."""
    program = compiled(tmp_path_factory.mktemp("program") / "publish", FOLDER / "publish.c")
    written = subprocess.run([program, STREAM, "20"], capture_output=True, check=True).stdout
    return list(split(written))


def split(octets):
    while octets:
        end = HEADER_SIZES[octets[0]] + int.from_bytes(octets[3:7], "big")
        yield octets[:end]
        octets = octets[end:]


def control(header, version, type, value, number, flags=0):
    """A message that is written value by value."""
    steps = steps_of(value)
    calls = (Step * len(steps))(*steps), c_size_t(len(steps))
    stamp = BEGIN + number * 100_000 if version == 3 else 0
    frame, _, error = written(header.encode_steps, 4096, version, type, flags, stamp, *calls)
    assert error == 0
    return frame


def measurement(header, version, number, form="list", sequence=None):
    """A message with samples; ``number`` counts all messages, ``sequence`` those with samples."""
    message = {
        "signal": np.arange(50, dtype=np.int16).reshape(2, 25) + number,
        "sampling_rate": 250,
        "stream": STREAM,
        "sequence": number if sequence is None else sequence,
        "timestamp": BEGIN / 1e6 + number / 10,
    }
    ecg, _kept = ecg_of(message, form)
    stamp = BEGIN + number * 100_000 if version == 3 else 0
    frame, _, error = written(header.encode_ecg, 4096, version, 1, 0, stamp, byref(ecg))
    assert error == 0
    return frame


def day_of(header, version):
    """All types that a device sends, in one version."""
    sent = [
        control(header, version, int(MessageType.HEARTBEAT), None, 0),
        *(measurement(header, version, number) for number in range(1, 6)),
        control(header, version, int(MessageType.ANOMALY_ALERT), ALERT, 6, int(Flag.PRIORITY) if version == 3 else 0),
        control(header, version, int(MessageType.FEATURE_DATA), {"stream": STREAM, "features": {"heart_rate": 61}}, 7),
    ]
    return [*sent, *(measurement(header, version, number, sequence=number - 2) for number in range(8, 11))]


# --- the rules, with the judge of the conformance suite ---

SENDER = Suite()


async def everything(peer):
    """Offer, as every server does, and return all messages of the device, which leaves after them."""
    await peer.say(MessageType.PROTOCOL_NEGOTIATION, OFFER, version=1)
    messages = []
    while not await peer.is_left():
        messages.append(await peer.hear("a message"))
    require(messages, "the device sent nothing")
    return messages, [said.octets for said in peer.transcript if said.octets and not said.ours]


@SENDER.case("1.1", "Each WebSocket message is whole frames, which the strict decoder takes", "Frame")
async def _decodes(peer):
    messages, sent = await everything(peer)  # hear() has decoded them, with all checks of a receiver
    require(sum(len(list(split(octets))) for octets in sent) == len(messages), "there are bytes between the frames")


@SENDER.case("1.2", "It keeps to one version, which is that of its first frame", "Old peers")
async def _keeps_its_version(peer):
    messages, _ = await everything(peer)
    require(len({message.version for message in messages}) == 1, "the version changes")


@SENDER.case("1.3", "It sends data and heartbeats only: it has not negotiated, and asked for nothing", "Message types")
async def _sends_its_types(peer):
    messages, _ = await everything(peer)
    strange = {message.type.name for message in messages} - {type.name for type in DATA_TYPES} - {"HEARTBEAT"}
    require(not strange, f"it sends {strange}")


@SENDER.case("1.4", "It sets no flag that its version lacks, or that takes a negotiation or a key", "Flags")
async def _sets_its_flags(peer):
    messages, sent = await everything(peer)
    allowed = {1: 0, 2: 0, 3: Flag.PRIORITY | Flag.BROADCAST | Flag.ACK_REQUIRED}[messages[0].version]
    for octets in sent:
        for frame in split(octets):
            require(not frame[2] & ~int(allowed), f"a frame has the flags 0x{frame[2]:02x}")


@SENDER.case("1.5", "Alerts have PRIORITY from version 3 on", "Flags")
async def _hurries_alerts(peer):
    messages, _ = await everything(peer)
    for message in messages:
        if message.type is MessageType.ANOMALY_ALERT and message.version >= 3:
            require(message.flags & Flag.PRIORITY, "an alert has no PRIORITY")


@SENDER.case("1.6", "Timestamps increase", "Timestamp")
async def _counts_time(peer):
    messages, _ = await everything(peer)
    stamps = [message.timestamp for message in messages if message.timestamp is not None]
    require(all(one < other for one, other in pairwise(stamps)), "a timestamp does not increase")


@SENDER.case("1.7", "Arrays are in list form where the server did not offer ndarray-bin", "Binary form")
async def _lists_samples(peer):
    _, sent = await everything(peer)
    msgpack = optional("msgpack")
    for octets in sent:
        for frame in split(octets):
            data = msgpack.unpackb(frame[HEADER_SIZES[frame[0]] :], strict_map_key=False)
            if frame[1] == MessageType.ECG_DATA:
                require(isinstance(data["signal"]["__ndarray__"], list), "an array is in binary form")


@SENDER.case("1.8", "No payload exceeds max_payload of the offer", "Limits")
async def _keeps_the_limit(peer):
    _, sent = await everything(peer)
    for octets in sent:
        for frame in split(octets):
            size = len(frame) - HEADER_SIZES[frame[0]]
            require(size <= LARGEST, f"a payload has {size} bytes of at most {LARGEST}")


@SENDER.case("1.9", "Data messages have the fields of their types", "What each message holds")
async def _holds_its_fields(peer):
    _, sent = await everything(peer)
    for octets in sent:
        for item in CHECKED.decode_each(octets):
            require(not isinstance(item, ecgframe.ProtocolError), f"a message is refused: {item}")


@SENDER.case("1.10", "sequence increases by one with each message with samples", "What each message holds")
async def _counts_messages(peer):
    messages, _ = await everything(peer)
    numbers = [message.data["sequence"] for message in messages if message.type is MessageType.ECG_DATA]
    require(numbers, "no message has samples")
    require(all(other - one == 1 for one, other in pairwise(numbers)), "a number is left out")


def judge(frames, wanted=()):
    """Have a device send the frames, each as a message, over a WebSocket for each case; return the results."""
    cases = SENDER.cases(wanted)

    async def judging():
        port = asyncio.get_running_loop().create_future()

        async def device():
            url = f"ws://127.0.0.1:{await port}"
            for _ in cases:
                async with websockets.connect(url, compression=None, ping_interval=None) as link:
                    with suppress(websockets.ConnectionClosed):
                        for frame in frames:
                            await link.send(frame)

        sending = asyncio.create_task(device())
        judged = run_on_clients("127.0.0.1", 0, cases, Settings(), port.set_result)
        results = {result.case.number: result async for result in judged}
        await sending
        return results

    return run(judging())


def reasons(results):
    return {number: result.reason for number, result in results.items() if result.verdict is not Verdict.PASSED}


def test_the_program_keeps_all_rules(frames_of_program):
    assert reasons(judge(frames_of_program)) == {}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_each_version_keeps_all_rules(header, version):
    assert reasons(judge(day_of(header, version))) == {}


def changed(frame, place, value):
    return frame[:place] + bytes([value]) + frame[place + 1 :]


def broken(header):
    """Devices that break one rule each, with its number."""
    good = day_of(header, 3)
    text, deflated = Codec(compression=None), Codec(compression=ecgframe.Compression(threshold=1))
    yield "1.1", [*good[:3], changed(good[3], len(good[3]) - 1, good[3][-1] ^ 1)]
    yield "1.1", [*good[:3], good[3] + b"\0"]
    yield "1.2", [good[1], measurement(header, 2, 2)]
    yield "1.3", [*good, text.encode(MessageType.SUBSCRIBE, {"stream": STREAM})]
    yield "1.4", [good[1], deflated.encode(MessageType.FEATURE_DATA, {"features": {"text": 999 * "x"}})]
    yield "1.5", [*good, control(header, 3, int(MessageType.ANOMALY_ALERT), ALERT, 11)]
    yield "1.6", [good[1], good[1]]
    yield "1.7", [measurement(header, 3, 1, "binary")]
    yield "1.8", [text.encode(MessageType.FEATURE_DATA, {"features": {"text": LARGEST * "x"}})]
    yield "1.9", [control(header, 3, 1, {"signal": 7, "sampling_rate": 250}, 1)]
    yield "1.10", [good[1], good[3]]


def test_the_judge_finds_each_broken_rule(header):
    found = set()
    for number, frames in broken(header):
        [result] = judge(frames, (number,)).values()
        assert result.verdict is Verdict.FAILED, number
        found.add(number)
    assert found == {case.number for case in SENDER.cases()}


# --- a real server ---


@pytest.mark.slow
def test_the_command_takes_every_version_and_form_and_refuses_nothing(header, frames_of_program):
    """``ecgframe serve --publish``: a viewer gets each message, and the server sends no error."""
    optional("prometheus_client")

    async def sending(server, frames):
        async with (
            client(server.port, capabilities=["timestamps", "ndarray-bin"]) as viewer,
            websockets.connect(f"ws://127.0.0.1:{server.port}/ws", compression=None) as device,
        ):
            await viewer.subscribe(STREAM)
            for frame in frames:
                await device.send(frame)
            return [await viewer.receive() for frame in frames if frame[1] in tuple(DATA_TYPES)]

    with live("--streams", 0, "--publish") as server:
        days = [frames_of_program, *(day_of(header, version) for version in (1, 2, 3))]
        days.append([measurement(header, 3, number, "binary") for number in range(5)])
        for frames in days:
            received = run(sending(server, frames))
            sent = [item for frame in frames for item in ecgframe.decode_all(frame) if item.type in DATA_TYPES]
            assert [frame.type for frame in received] == [TYPES[item.type.name] for item in sent]
            for theirs, ours in zip(received, sent, strict=True):
                if ours.type is MessageType.ECG_DATA:
                    assert theirs.data["sequence"] == ours.data["sequence"]
                    assert np.array_equal(np.asarray(theirs.data["signal"]), ours.data["signal"])
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as page:
            told = page.read().decode()
    errors = [line for line in told.splitlines() if line.startswith("ecgframe_errors_sent_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in errors) == 0, errors


async def allow(*_):
    return True


def test_an_alert_that_needs_an_acknowledgement_gets_it(header):
    frame = control(header, 3, int(MessageType.ANOMALY_ALERT), ALERT, 1, int(Flag.PRIORITY | Flag.ACK_REQUIRED))

    async def sending(url):
        async with websockets.connect(url, compression=None) as device:
            await device.send(frame)
            async with asyncio.timeout(10):
                while True:
                    for message in ecgframe.decode_all(await device.recv()):
                        if message.type is MessageType.PONG:
                            return message

    with LiveServer(ecgframe.server.WebSocketBinaryHandler(authorize=allow)) as server:
        answer = run(sending(server.url))
    assert answer.version == 3
    assert answer.data["type"] == MessageType.ANOMALY_ALERT
    assert answer.data["ack"] == BEGIN + 100_000


def test_heartbeats_keep_the_connection_and_silence_ends_it(header):
    """The page says: a heartbeat in each interval, or the server closes the connection after three of them."""
    settings = SessionSettings(heartbeat_interval=0.3)

    async def staying(url):
        async with (
            websockets.connect(url, compression=None, ping_interval=None) as device,
            websockets.connect(url, compression=None, ping_interval=None) as silent,
        ):
            for one in (device, silent):
                await one.send(control(header, 3, int(MessageType.HEARTBEAT), None, 0))

            async def read(one):
                with suppress(websockets.ConnectionClosed):
                    while True:
                        await one.recv()

            reading = [asyncio.create_task(read(one)) for one in (device, silent)]
            number = 0
            async with asyncio.timeout(30):
                while not reading[1].done():
                    number += 1
                    await device.send(control(header, 3, int(MessageType.HEARTBEAT), None, number))
                    await asyncio.wait({reading[1]}, timeout=0.1)
            is_open = not reading[0].done()
            reading[0].cancel()
            return number, is_open, silent.close_code

    with LiveServer(ecgframe.server.WebSocketBinaryHandler(authorize=allow, settings=settings)) as server:
        number, is_open, code = run(staying(server.url))
    assert is_open
    assert number >= 7
    assert code is not None
