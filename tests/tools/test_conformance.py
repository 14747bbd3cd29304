"""The suite on conforming peers, which pass, and on broken peers, which fail in the intended case."""

from __future__ import annotations

import asyncio
import re
import zlib
from functools import partial
from itertools import count, repeat
from pathlib import Path

import pytest
from programs import imported
from running import run
from tools import broken_servers
from tools.broken_servers import KEPT_SINCE, STREAM, Spoilt, changed, published, serving
from uvicorn_server import serving as serving_asgi

from ecgframe import Flag, MessageType, ProtocolError, connect, decode, encode
from ecgframe._core import build_frame
from ecgframe.client import ConnectionLost
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.session import RateLimit
from ecgframe.session import Settings as SessionSettings
from ecgframe.tools import ToolError
from ecgframe.tools.conformance.cases import Case, Result, Suite, Verdict
from ecgframe.tools.conformance.checks import alike
from ecgframe.tools.conformance.of_clients import CLIENTS
from ecgframe.tools.conformance.of_servers import SERVERS
from ecgframe.tools.conformance.report import counted, html_report
from ecgframe.tools.conformance.runner import run_on_clients, run_on_server
from ecgframe.tools.conformance.transcript import Said, Settings

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
PATIENT = Settings(patience=5)
QUICK = Settings(timeout=0.4, patience=3.0, stream=STREAM)


FOR_SERVERS = [case for case in SERVERS.cases() if case.place[0] != 14]
FOR_CLIENTS = [case for case in CLIENTS.cases() if case.place[0] != 6]
"""All cases but those about version 4, for which is ``test_conformance_v4.py``."""


async def results_of(url, cases=None, settings=QUICK):
    return [result async for result in run_on_server(url, cases or FOR_SERVERS, settings)]


def not_passed(results):
    return {one.case.number: one.reason for one in results if one.verdict is not Verdict.PASSED}


def assert_all_pass_but(results, not_applicable, *, by_chance=frozenset()):
    """All cases pass or are skipped; for some of them, this depends on timing."""
    assert not_passed(results).keys() - by_chance == not_applicable, not_passed(results)
    assert {one.verdict for one in results} <= {Verdict.PASSED, Verdict.SKIPPED}, not_passed(results)


# --- servers that keep to it ---


NOT_OF_THE_HANDLER = {"11.1", "12.3"}
"""Cases that do not apply to the handler as it is run here."""


def test_the_handler_passes_all():
    async def talk():
        limit = RateLimit(frames=100, frames_burst=5000)  # a batch of too many frames is within it, a flood is not
        settings = SessionSettings(
            heartbeat_interval=0.2,
            acknowledgement_timeout=0.1,
            rate_limit=limit,
            max_payload=1 << 20,  # both sides are on one loop, which a larger bomb would hold up until one seems silent
        )
        async with WebSocketBinaryHandler(settings=settings) as handler, serve(handler, "127.0.0.1", 0) as server:

            async def publish():
                for number in count():
                    data = {"signal": [0.5] * 600, "sampling_rate": 250}
                    await handler.publish(STREAM, MessageType.ECG_DATA, data)
                    alert = {"kind": "bradycardia", "timestamp": number}
                    await handler.publish(STREAM, MessageType.ANOMALY_ALERT, alert, Flag.ACK_REQUIRED)
                    await asyncio.sleep(0.01)

            publishing = asyncio.create_task(publish())
            port = server.sockets[0].getsockname()[1]
            results = await results_of(f"ws://127.0.0.1:{port}", settings=Settings(stream=STREAM))
            publishing.cancel()
            return results

    assert_all_pass_but(run(talk()), NOT_OF_THE_HANDLER, by_chance={"11.2"})  # does an alert come when it may overtake?


def test_who_may_broadcast():
    async def trust(connection, action, stream):
        return True

    async def talk():
        async with WebSocketBinaryHandler(authorize=trust) as handler, serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await results_of(f"ws://127.0.0.1:{port}", SERVERS.cases(("12",)), QUICK)

    assert_all_pass_but(run(talk()), {"12.1", "12.2"})


def test_the_server_that_is_spoiled_below_passes_all_while_it_is_not():
    async def talk():
        async with serving(Spoilt()) as url:
            return await results_of(url)

    assert_all_pass_but(run(talk()), {"8.3", "8.4", "10.3", "11.1", "11.2", "12.3", "13.1"})


def test_a_server_may_ask_at_any_time():
    asked = []

    def asking(message, octets):
        if message.type is MessageType.SUBSCRIPTION_ACK:
            asked.append({"still there?": len(asked)})
            return [encode(PING, asked[-1], version=octets[0]), octets]
        return octets

    answers = []

    def note_answers(octets):
        message = decode(octets)
        if message.type is PONG:
            answers.append(message.data)
        return octets

    async def talk():
        async with serving(Spoilt(outgoing=asking, incoming=note_answers)) as url:
            return await results_of(url, SERVERS.cases(("7.1", "7.2", "7.3")))

    assert_all_pass_but(run(talk()), set())
    assert asked
    assert answers == asked


@pytest.mark.parametrize("number", ["8.3", "8.4", "11.1", "11.2", "13.1"])
def test_a_server_passes_where_what_is_tested_happens(number):
    happening = {
        "8.3": Spoilt(publish=of_frames(ALERT, ALERT)),
        "8.4": Spoilt(publish=of_frames(ALERT, ALERT)),
        "11.1": Spoilt(publish=of_frames(data_of(1), notice_of(2, 3), data_of(4))),
        "11.2": Spoilt(publish=of_frames(data_of(1), ALERT, data_of(2))),
        "13.1": Spoilt(settings=LIMITED),
    }

    async def talk():
        async with serving(happening[number]) as url:
            return await results_of(url, SERVERS.cases((number,)))

    assert_all_pass_but(run(talk()), set())


@pytest.mark.parametrize("name", ["slow_server", "fast_server"])
def test_the_example_servers_pass(name):
    async def talk():
        with imported(name) as program:
            async with serving_asgi(program.app) as port:
                return await results_of(f"ws://127.0.0.1:{port}/ws", settings=Settings())

    results = run(talk())
    assert [one.case.number for one in results if one.verdict is Verdict.FAILED] == []
    assert sum(one.verdict is Verdict.PASSED for one in results) > 60


# --- servers that do not ---


def said(type, change):
    """Change the messages of one type that the server sends."""

    def outgoing(message, octets):
        return change(message) if message is not None and message.type is type else octets

    return outgoing


def offering(**changes):
    return said(MessageType.PROTOCOL_NEGOTIATION, lambda message: changed(message, data={**message.data, **changes}))


def without(*names):
    def change(message):
        return changed(message, data={name: value for name, value in message.data.items() if name not in names})

    return said(MessageType.PROTOCOL_NEGOTIATION, change)


def answering(type, **changes):
    return said(type, lambda message: changed(message, data={**message.data, **changes}))


def another_code(code, other):
    def change(message):
        own = message.data["code"]
        return changed(message, data={**message.data, "code": other if own == code else own})

    return said(MessageType.ERROR, change)


def incoming_of(type, change):
    """Change the messages of one type that the server receives."""

    def incoming(octets):
        return change(octets) if octets[1:2] == bytes([type]) else octets

    return incoming


def mended(octets):
    """Correct the checksum, as for a server that does not verify it."""
    try:
        decode(octets)
    except ProtocolError as error:
        if error.check == 7:
            return build_frame(octets[0], octets[1], octets[2], 1, octets[19:])
    return octets


def inflated_carelessly(octets):
    """Act as a server that inflates without a limit."""
    if len(octets) > 19 and octets[2] & 1 and octets[0] == 3:
        try:
            plain = zlib.decompressobj().decompress(octets[19:])
        except zlib.error:
            return octets
        return build_frame(3, octets[1], octets[2] & ~1, 1, plain)
    return octets


def in_version(version):
    return lambda message: changed(message, version=version)


def twice(octets):
    return octets + octets


PING, PONG = MessageType.PING, MessageType.PONG
OFFER, ERROR = MessageType.PROTOCOL_NEGOTIATION, MessageType.ERROR
CHOICE = encode(OFFER, {"version": 3, "capabilities": []}, version=1)
ASKED = encode(MessageType.VERSION_CHECK, {"version": 1}, timestamp=1)
ACKNOWLEDGEMENT = encode(PONG, {"ack": 1, "type": 0x20}, timestamp=1)
PONGED = incoming_of(PONG, lambda octets: build_frame(octets[0], PING, 0, 1, octets[19:]))


def bytes_of(type, change):
    """Change the bytes of the messages of one type that the server sends."""

    def outgoing(message, octets):
        return change(octets) if message is not None and message.type is type else octets

    return outgoing


def listed(message):
    return changed(message, data=getattr(message.data, "tolist", lambda: message.data)())


def acknowledging_another(message):
    is_one = isinstance(message.data, dict) and "ack" in message.data
    return changed(message, data={**message.data, "ack": 1} if is_one else message.data)


def of_frames(*frames):
    """Publish these messages on the stream for every viewer."""
    return lambda encoding, stream: frames


def data_of(timestamp):
    data = {"signal": [0.5], "sampling_rate": 250, "stream": STREAM}
    return encode(MessageType.ECG_DATA, data, timestamp=timestamp)


def notice_of(first, last, **changes):
    details = {"from": first / 1e6, "to": last / 1e6, "dropped": 2, "stream": STREAM, **changes}
    return encode(ERROR, {"code": 0x204, "message": "too slow", "details": details}, timestamp=last)


def alert_of(timestamp, kind="asystole"):
    alert = {"kind": kind, "timestamp": 1.5, "stream": STREAM}
    flags = Flag.ACK_REQUIRED | Flag.PRIORITY
    return encode(MessageType.ANOMALY_ALERT, alert, timestamp=timestamp, flags=flags)


ALERT = alert_of(9)
LIMITED = SessionSettings(rate_limit=RateLimit(frames=100, frames_burst=5000))
SUBSCRIBED = encode(MessageType.SUBSCRIBE, {"stream": STREAM}, timestamp=1)
CALLED_OUT = encode(
    MessageType.FEATURE_DATA, {"features": {"a conformance test": 1.0}}, timestamp=1, flags=Flag.BROADCAST
)


def without_the(timestamp):
    """Lose the data of a certain timestamp when a viewer resumes."""
    times = count()

    def outgoing(message, octets):
        is_it = message is not None and message.type is MessageType.ECG_DATA and message.timestamp == timestamp
        return None if is_it and next(times) else octets

    return outgoing


def first_frame(octets):
    return octets[: 19 + int.from_bytes(octets[3:7])] if octets[:1] == b"\x03" else octets


BROKEN_SERVERS = {
    "says nothing first": ("1.1", Spoilt(outgoing=said(OFFER, lambda message: None))),
    "offers without versions": ("1.1", Spoilt(outgoing=without("versions"))),
    "offers in version 3": ("1.2", Spoilt(outgoing=said(OFFER, in_version(3)))),
    "prefers what it does not speak": ("1.3", Spoilt(outgoing=offering(preferred=9))),
    "talks in version 1 whatever was agreed": ("1.6", Spoilt(outgoing=said(PONG, in_version(1)))),
    "talks in version 3 whatever was agreed": ("1.4", Spoilt(outgoing=said(PONG, in_version(3)))),
    "takes any version": ("1.7", Spoilt(incoming=incoming_of(OFFER, lambda octets: CHOICE))),
    "closes with another code": ("1.7", Spoilt(closing=lambda code: 1008)),
    "serves old clients in version 3": ("2.1", Spoilt(outgoing=said(PONG, in_version(3)))),
    "sends version 1 clients data in version 3": ("2.4", Spoilt(publish=partial(published, version=3))),
    "stays open after a fatal error": ("3.3", Spoilt(closing=lambda code: None)),
    "closes too large as any other": ("3.5", Spoilt(closing=lambda code: 1002)),
    "says 0x200 for an unknown type": ("3.4", Spoilt(outgoing=another_code(0x104, 0x200))),
    "does not look at the checksum": ("3.20", Spoilt(incoming=mended)),
    "says 0x200 for a wrong checksum": ("3.20", Spoilt(outgoing=another_code(0x101, 0x200))),
    "closes for a wrong checksum": ("3.20", Spoilt(outgoing=said(ERROR, lambda message: None))),
    "takes a zlib stream that is cut short": ("3.23", Spoilt(incoming=inflated_carelessly)),
    "takes bytes behind a zlib stream": ("3.24", Spoilt(incoming=inflated_carelessly)),
    "says 0x103 for a bomb": ("3.26", Spoilt(outgoing=another_code(0x102, 0x103))),
    "says 0x200 for a missing field": ("3.39", Spoilt(outgoing=another_code(0x201, 0x200))),
    "answers an error twice": ("3.27", Spoilt(outgoing=bytes_of(ERROR, twice))),
    "takes the first frame of a batch only": ("4.1", Spoilt(incoming=first_frame)),
    "speaks every version": ("5.2", Spoilt(outgoing=answering(MessageType.VERSION_CHECK, compatible=True))),
    "answers about another version": ("5.1", Spoilt(outgoing=answering(MessageType.VERSION_CHECK, version=2))),
    "answers answers": ("5.3", Spoilt(incoming=incoming_of(MessageType.VERSION_CHECK, lambda octets: ASKED))),
    "loses what a PING held": ("6.2", Spoilt(outgoing=said(PONG, lambda message: changed(message, data=None)))),
    "makes lists of arrays": ("6.6", Spoilt(outgoing=said(PONG, listed))),
    "answers PONG": ("6.9", Spoilt(incoming=PONGED)),
    "never beats": ("6.10", Spoilt(outgoing=said(MessageType.HEARTBEAT, lambda message: None))),
    "answers about another stream": ("7.1", Spoilt(outgoing=answering(MessageType.SUBSCRIPTION_ACK, stream="other"))),
    "is still subscribed": ("7.2", Spoilt(outgoing=answering(MessageType.SUBSCRIPTION_ACK, status="subscribed"))),
    "takes any name": ("7.3", Spoilt(outgoing=answering(MessageType.SUBSCRIPTION_ACK, status="subscribed"))),
    "names another stream": ("7.4", Spoilt(publish=partial(published, name="other"))),
    "stamps backwards": ("7.5", Spoilt(publish=partial(published, timestamps=(3, 2, 1)))),
    "sends binary arrays to all": ("7.6", Spoilt(publish=partial(published, binary=True))),
    "compresses for all": ("7.7", Spoilt(publish=partial(published, compressed=True))),
    "sets flags for all": ("7.8", Spoilt(outgoing=said(MessageType.ECG_DATA, partial(changed, flags=Flag.PRIORITY)))),
    "sends other bytes again": ("8.3", Spoilt(publish=of_frames(ALERT, alert_of(9, "bradycardia")))),
    "sends again as if it were new": ("8.3", Spoilt(publish=of_frames(ALERT, alert_of(10)))),
    "hears no acknowledgement": (
        "8.4",
        Spoilt(publish=of_frames(ALERT, ALERT), outgoing=bytes_of(PONG, lambda octets: octets + ALERT)),
    ),
    "resumes from the beginning": (
        "10.1",
        Spoilt(incoming=incoming_of(MessageType.SUBSCRIBE, lambda octets: SUBSCRIBED)),
    ),
    "loses one that was missed": (
        "10.1",
        Spoilt(
            publish=partial(published, timestamps=range(KEPT_SINCE, KEPT_SINCE + 5)),
            outgoing=without_the(KEPT_SINCE + 2),
        ),
    ),
    "names a time before the present": (
        "10.3",
        Spoilt(
            outgoing=answering(MessageType.SUBSCRIPTION_ACK, **{"from": 0.00005}),
            publish=partial(published, timestamps=range(KEPT_SINCE, 1_000_000, 200_000)),
        ),
    ),
    "sends what was before from": ("10.2", Spoilt(outgoing=answering(MessageType.SUBSCRIPTION_ACK, **{"from": 1.0}))),
    "loses what was after from": ("10.2", Spoilt(outgoing=without_the(KEPT_SINCE))),
    "tells of drops too late": ("11.1", Spoilt(publish=of_frames(data_of(4), notice_of(2, 3)))),
    "tells of drops from the end": ("11.1", Spoilt(publish=of_frames(notice_of(3, 2)))),
    "tells of no drops": ("11.1", Spoilt(publish=of_frames(notice_of(2, 3, dropped=0)))),
    "lets anything overtake": ("11.2", Spoilt(publish=of_frames(data_of(2), ALERT, data_of(1)))),
    "takes broadcasts, and nobody gets them": (
        "12.1",
        Spoilt(incoming=incoming_of(MessageType.FEATURE_DATA, lambda octets: None)),
    ),
    "says 0x202 for the lack of a right": ("12.1", Spoilt(outgoing=another_code(0x203, 0x202))),
    "says 0x202 to who may not publish": ("12.2", Spoilt(outgoing=another_code(0x203, 0x202))),
    "broadcasts to the sender": ("12.3", Spoilt(outgoing=bytes_of(PONG, lambda octets: CALLED_OUT + octets))),
    "says 0x200 for too much": ("13.1", Spoilt(settings=LIMITED, outgoing=another_code(0x204, 0x200))),
    "says too often that it is too much": (
        "13.1",
        Spoilt(settings=LIMITED, outgoing=bytes_of(ERROR, lambda octets: octets * 6)),
    ),
    "acknowledges another message": ("8.1", Spoilt(outgoing=said(PONG, acknowledging_another))),
    "acknowledges what it refuses": ("8.2", Spoilt(outgoing=bytes_of(ERROR, lambda octets: octets + ACKNOWLEDGEMENT))),
    "answers an ERROR": (
        "9.1",
        Spoilt(incoming=incoming_of(ERROR, lambda octets: b"\x03\x11\x00" + bytes(4) + b"\x01" * 4 + bytes(8))),
    ),
    "forgives everything": ("9.2", Spoilt(closing=lambda code: None)),
    "takes what servers send": (
        "9.3",
        Spoilt(incoming=incoming_of(MessageType.SUBSCRIPTION_ACK, lambda octets: None)),
    ),
    "sends broken frames": ("6.1", Spoilt(outgoing=bytes_of(PONG, lambda octets: octets[:-1]))),
    "sends text": ("6.1", Spoilt(outgoing=bytes_of(PONG, lambda octets: "pong"))),
    "sends nothing in a message": ("6.1", Spoilt(outgoing=bytes_of(PONG, lambda octets: b""))),
    "sends an ERROR without text": (
        "3.41",
        Spoilt(outgoing=said(ERROR, lambda message: changed(message, data={"code": message.data["code"]}))),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN_SERVERS)
def test_a_broken_server_fails_in_the_case_that_is_meant_for_it(name):
    number, spoilt = BROKEN_SERVERS[name]

    async def talk():
        async with serving(spoilt) as url:
            return await results_of(url, SERVERS.cases((number,)), Settings(timeout=0.3, patience=3, stream=STREAM))

    [result] = run(talk())
    assert result.verdict is Verdict.FAILED, (result.verdict, result.reason)
    assert result.reason


def test_a_slow_heartbeat_is_waited_for():
    async def talk():
        async with serving(Spoilt(settings=SessionSettings(heartbeat_interval=0.5))) as url:
            return await results_of(url, SERVERS.cases(("6.10",)), Settings(timeout=0.3, patience=1))

    assert_all_pass_but(run(talk()), set())


def test_every_section_has_a_broken_server():
    assert {number.split(".")[0] for number, _ in BROKEN_SERVERS.values()} == {
        case.number.split(".")[0] for case in FOR_SERVERS
    }


# --- clients ---


async def run_client(live, cases=None, settings=PATIENT):
    """Run the suite for clients with a client that runs ``live`` for each of its connections."""
    port = asyncio.get_running_loop().create_future()

    async def again():
        url = f"ws://127.0.0.1:{await port}"
        while True:
            await live(url)

    client = asyncio.create_task(again())
    try:
        suite = run_on_clients("127.0.0.1", 0, cases or FOR_CLIENTS, settings, port.set_result)
        return [result async for result in suite]
    finally:
        client.cancel()
        await asyncio.wait({client})


async def take(messages):
    async for _ in messages:  # what an application does not take is not acknowledged
        pass


async def our_client(url, *, reconnect=True):
    try:
        async with connect(url, reconnect=reconnect, reconnect_delays=lambda: repeat(0.01)) as client:
            await asyncio.gather(take(client.subscribe(STREAM, catch_up=10)), take(client.messages()))
    except (ConnectionLost, OSError):
        pass


def test_our_client_passes_all():
    assert not_passed(run(run_client(our_client))) == {}


async def mute_client(url):
    async with broken_servers.websockets.connect(url) as websocket:
        async for _ in websocket:
            pass


def spoilt_client(change):
    async def live(url):
        async with broken_servers.websockets.connect(url) as websocket:
            try:
                async for octets in websocket:
                    for answer in change(decode(octets)):
                        await websocket.send(answer)
            except (ProtocolError, broken_servers.websockets.ConnectionClosed):
                await websocket.close()

    return live


def negotiated(version, **changes):
    return encode(OFFER, {"version": version, "capabilities": [], **changes}, **{"version": 1})


def acknowledging_all(message):
    refusal = encode(ERROR, {"code": 0x201, "message": "no status"}, timestamp=1)
    acknowledgement = encode(PONG, {"ack": message.timestamp, "type": int(message.type)}, timestamp=2)
    return [refusal, acknowledgement]


def is_in_line(message):
    return message.type is MessageType.ECG_DATA


def viewer(counts, answer=lambda message: [], **wish):
    """Follow a stream across lost connections, resuming after the last message."""
    last = None

    def change(message):
        nonlocal last
        if message.type is OFFER:
            since = {} if last is None else {"since": last / 1e6}
            return [negotiated(3), encode(MessageType.SUBSCRIBE, {"stream": STREAM, **since, **wish}, timestamp=1)]
        if message.type is PING:
            return [encode(PONG, message.data, timestamp=1)]
        if counts(message):
            last = message.timestamp
        return answer(message)

    return spoilt_client(change)


BROKEN_CLIENTS = {
    "says nothing": ("1.1", mute_client),
    "chooses the lowest": ("1.1", spoilt_client(lambda message: [negotiated(1)])),
    "chooses what was not offered": ("1.2", spoilt_client(lambda message: [negotiated(3)])),
    "names what was not offered": ("1.5", spoilt_client(lambda message: [negotiated(3, capabilities=["batch"])])),
    "takes any offer": ("1.6", spoilt_client(lambda message: [negotiated(3)])),
    "does not answer PING": ("2.1", spoilt_client(lambda m: [negotiated(3)] if m.type is OFFER else [])),
    "never beats": ("2.11", spoilt_client(lambda m: [negotiated(3)] if m.type is OFFER else [])),
    "leaves for a wrong checksum": ("3.1", spoilt_client(lambda m: [negotiated(3)] if m.type is OFFER else [])),
    "acknowledges what it refuses": (
        "4.6",
        spoilt_client(lambda m: [negotiated(3, capabilities=["ack"])] if m.type is OFFER else acknowledging_all(m)),
    ),
    "does not acknowledge control messages": (
        "4.5",
        spoilt_client(lambda m: [negotiated(3, capabilities=["ack"])] if m.type is OFFER else []),
    ),
    "comes back from what overtook": ("5.2", viewer(lambda message: True)),
    "comes back from elsewhere": ("5.1", viewer(lambda message: message.type is MessageType.SUBSCRIPTION_ACK)),
    "takes an answer for a message": ("5.3", viewer(lambda message: message.type is not OFFER)),
    "takes a notice for a message": ("5.4", viewer(lambda message: message.type in (MessageType.ECG_DATA, ERROR))),
    "comes back from before the gap": (
        "5.5",
        viewer(lambda message: message.type is MessageType.SUBSCRIPTION_ACK, catch_up=5.0),
    ),
    "answers a notice": (
        "5.4",
        viewer(is_in_line, answer=lambda message: [ACKNOWLEDGEMENT] if message.type is ERROR else []),
    ),
    "announces what it does not do": (
        "4.1",
        spoilt_client(lambda m: [negotiated(3, capabilities=["ack"])] if m.type is OFFER else []),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN_CLIENTS)
def test_a_broken_client_fails_in_the_case_that_is_meant_for_it(name):
    number, live = BROKEN_CLIENTS[name]
    [result] = run(run_client(live, CLIENTS.cases((number,)), Settings(timeout=0.3, patience=3)))
    assert result.verdict is Verdict.FAILED, (result.verdict, result.reason)


@pytest.mark.parametrize("number", ["5.1", "5.2", "5.3", "5.4", "5.5"])
def test_the_viewer_that_is_spoiled_above_passes_while_it_is_not(number):
    assert_all_pass_but(run(run_client(viewer(is_in_line, catch_up=5.0), CLIENTS.cases((number,)))), set())


def test_a_client_that_subscribes_to_nothing_or_begins_anew_is_not_said_to_resume():
    idle = spoilt_client(lambda message: [negotiated(3)])
    anew = viewer(lambda message: False)
    for live in (idle, anew):
        assert_all_pass_but(
            run(run_client(live, CLIENTS.cases(("5",)), Settings(timeout=0.3))), {"5.1", "5.2", "5.3", "5.4", "5.5"}
        )


def test_cases_of_capabilities_that_a_client_lacks_are_skipped():
    live = spoilt_client(lambda message: [negotiated(3)])
    results = run(run_client(live, CLIENTS.cases(("4",)), Settings(timeout=0.3)))
    assert {one.verdict for one in results} == {Verdict.SKIPPED}


def test_a_client_that_does_not_come_again():
    async def once(url):
        await our_client(url, reconnect=False)
        await asyncio.sleep(60)

    results = run(run_client(once, CLIENTS.cases(("2.1", "2.2")), Settings(patience=0.2)))
    assert [one.verdict for one in results] == [Verdict.PASSED, Verdict.FAILED]
    assert results[1].reason == "no connection came for it within 0.2 s"


def test_a_place_that_is_taken():
    async def talk():
        async with serving(Spoilt()) as url:
            suite = run_on_clients("127.0.0.1", int(url.rpartition(":")[2]), CLIENTS.cases(), QUICK, print)
            with pytest.raises(ToolError, match="cannot listen"):
                await anext(suite)

    run(talk())


# --- the suites themselves ---


@pytest.mark.parametrize("suite", [SERVERS, CLIENTS])
def test_every_case_stands_in_a_section_of_the_protocol(suite):
    headings = set(re.findall(r"^#+ (.*)$", PAGE, re.M))
    assert {case.section for case in suite.cases()} <= headings


def test_the_page_about_debugging_counts_right():
    page = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text(encoding="utf-8")
    assert f"There are {len(SERVERS.cases())} cases for servers and {len(CLIENTS.cases())} for clients" in page


def test_every_code_that_a_frame_can_have_is_tested():
    text = " ".join(case.title for case in SERVERS.cases())
    for check in range(1, 13):
        assert f"check {check}:" in text, check


def test_cases_are_chosen_by_number():
    assert [case.number for case in SERVERS.cases(("5",))] == ["5.1", "5.2", "5.3"]
    assert [case.number for case in SERVERS.cases(("3.2",))] == ["3.2"]
    with pytest.raises(ValueError, match="no case 99"):
        SERVERS.cases(("99",))
    suite = Suite()
    suite.add("1.1", "x", "y", mute_client)
    with pytest.raises(ValueError, match="two cases"):
        suite.add("1.1", "x", "y", mute_client)


@pytest.mark.parametrize(
    ("found", "expected", "same"), [(1, 1, True), (1, 1.0, False), (True, 1, False), (None, ..., True)]
)
def test_alike(found, expected, same):
    assert alike(found, expected) is same


def test_the_report_shows_the_bytes_and_is_safe():
    case = Case("3.7", "A <rule>", "Opening", mute_client)
    frame = encode(MessageType.PING, {"x": "<script>"}, version=1)
    transcript = [
        Said(0.001, True, frame),
        Said(0.002, False, frame * 9),
        Said(0.0, False, b"", "1002 <no>"),
        Said(0.0, True, b"\x07"),
    ]
    results = [
        Result(case, Verdict.FAILED, "because of <b>", transcript),
        Result(case, Verdict.PASSED, "", [Said(0.0, True, bytes(1000))]),
        Result(case, Verdict.SKIPPED, "not offered"),
    ]
    page = html_report(results, "ws://<peer>", "1.2.3")
    assert "<script>" not in page
    assert "A &lt;rule&gt;" in page
    assert "because of &lt;b&gt;" in page
    assert frame.hex(" ") in page
    assert "9 frames, the first: PING" in page
    assert "488 bytes more" in page
    assert "1 passed, 1 failed, 1 skipped" in page
    assert counted([]) == "no cases"
