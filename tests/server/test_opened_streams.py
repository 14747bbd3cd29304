"""Streams that clients open: hostile publishers, several of them, and what viewers of each version get."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import run
from server.numbered_viewer import ALL, numbered_viewer

from ecgframe import ErrorCode, Flag, MessageType, PermissionDenied, decode, encode
from ecgframe.messages.templates import Template
from ecgframe.protocol import OPENED_TEMPLATES_PER_MINUTE, Form
from ecgframe.server import Limits, LocalBackplane, WebSocketBinaryHandler
from ecgframe.server.publisher import Publisher, Verdict
from ecgframe.session import Acknowledged, FrameRefused, Numbered, Received, Settings, StreamWriter
from ecgframe.session.outgoing import encoding_for
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

STREAM = "ecg/bed-7"
EPOCH = 4738
FIELDS = {"sampling_rate": 500, "leads": ["I", "II"]}
SIGNAL = np.arange(50, dtype="int16").reshape(2, 25)
NUMBERED = encoding_for(4, EVERYTHING | OF_VERSION_4)


async def anyone(connection, action, stream):
    return True


def server(**limits):
    return WebSocketBinaryHandler(
        settings=Settings(versions=ALL), limits=Limits(**{"rate_limit": None, **limits}), authorize=anyone
    )


def template(number=1, stream=STREAM, **fields):
    return Template(number, stream, "int16", 2, {**FIELDS, **fields})


class Peer:
    """A publisher that sends what a test wants, over a connection of a handler."""

    def __init__(self, viewer):
        self.viewer = viewer
        self._stamps = iter(range(10**6, 10**9))

    def say(self, type, data, number, *, id=1, form=0, flags=0):
        frame = encode(
            type, data, version=4, stream_id=id, sequence=number, form=form, flags=flags, timestamp=next(self._stamps)
        )
        self.viewer.link._to_receive.put_nowait(frame)

    async def open(self, epoch=EPOCH, id=1, stream=STREAM):
        """Open a stream. Returns the number that the server expects next, or the code of its refusal."""
        before = len(self.viewer.errors), len(self.answers())
        writer = StreamWriter(stream, id, Settings(versions=ALL), epoch=epoch)
        self.viewer.session.enqueue(writer.opening(next(self._stamps)))
        await self.viewer.until(lambda: (len(self.viewer.errors), len(self.answers())) != before)
        if len(self.viewer.errors) > before[0]:
            assert self.viewer.errors[-1].details == {"stream": stream, "epoch": epoch}
            return self.viewer.errors[-1].code
        return self.answers()[-1]

    def answers(self):
        return [event.next for event in self.viewer.events if isinstance(event, Acknowledged) and event.next]

    def template(self, one, number, **place):
        self.say(MessageType.STREAM_TEMPLATE, one.fields_on_the_wire(), number, **place)

    def record(self, number, one=None, **place):
        payload = (one or template()).encode(SIGNAL, 1_000_000 * number)
        self.say(MessageType.ECG_DATA, payload, number, form=Form.RECORD, **place)

    def features(self, number, **place):
        self.say(MessageType.FEATURE_DATA, {"features": {"n": number}}, number, **place)

    def alert(self, number, **place):
        fields = {"kind": "pause", "timestamp": 1.0, "n": number}
        self.say(MessageType.ANOMALY_ALERT, fields, number, **{"flags": Flag.PRIORITY, **place})

    async def codes(self):
        await self.viewer.settle()
        return [error.code for error in self.viewer.errors]


@asynccontextmanager
async def publishing(handler):
    async with numbered_viewer(handler) as viewer:
        yield Peer(viewer)


async def heard(viewer):
    await viewer.settle()
    return viewer.numbers


def test_a_publishers_numbers_and_records_reach_viewers_as_they_are():
    async def conversation():
        async with (
            server() as handler,
            numbered_viewer(handler) as viewer,
            numbered_viewer(handler, versions=(1, 2, 3)) as old,
            publishing(handler) as peer,
        ):
            await viewer.subscribe(STREAM)
            await old.subscribe(STREAM)
            assert await peer.open() == 1
            peer.template(template(), 1)
            for number in (2, 3):
                peer.record(number)
            await peer.codes()
            assert await heard(viewer) == [1, 2, 3]
            first, opened = viewer.answers
            assert (opened.epoch, opened.next, opened.ended) == (EPOCH, 1, 1)
            assert first.epoch != EPOCH
            assert viewer.frames[-3][32:] == template().encode(SIGNAL, 3_000_000)  # then two PONGs
            await old.settle()
            assert [message.data["signal"].tolist() for message in old.received] == [SIGNAL.tolist()] * 2

    run(conversation())


def test_duplicates_are_let_go_and_acknowledged_again():
    async def conversation():
        async with server() as handler, numbered_viewer(handler) as viewer, publishing(handler) as peer:
            await viewer.subscribe(STREAM)
            await peer.open()
            for number in (1, 2, 2, 1, 3):
                peer.features(number, flags=Flag.ACK_REQUIRED)
            assert await peer.codes() == []
            assert await heard(viewer) == [1, 2, 3]
            acknowledged = [frame for frame in peer.viewer.frames if frame[1] == MessageType.PONG and b"ack" in frame]
            assert len(acknowledged) == 1 + 5  # the opening, and each of them

    run(conversation())


def test_a_jump_is_a_gap_and_who_comes_too_late_is_refused():
    async def conversation():
        async with server() as handler, numbered_viewer(handler) as viewer, publishing(handler) as peer:
            await viewer.subscribe(STREAM)
            await peer.open()
            peer.features(1)
            peer.features(2**53 - 2)
            peer.features(7)
            peer.features(2**53 - 1)
            peer.template(template(), 2**53 - 1)
            assert await peer.codes() == [ErrorCode.INVALID_DATA_FORMAT] * 3
            assert await heard(viewer) == [1, 2**53 - 2]
            assert await peer.open() == 2**53 - 1

    run(conversation())


def test_alerts_overtake_and_what_they_overtook_is_not_lost():
    async def conversation():
        async with server() as handler, numbered_viewer(handler) as viewer, publishing(handler) as peer:
            await viewer.subscribe(STREAM)
            await peer.open()
            peer.alert(3)
            assert await peer.open() == 1  # asks how far it is
            for number in (1, 2, 4):
                peer.features(number)
            assert await peer.codes() == []
            assert await heard(viewer) == [3, 1, 2, 4]
            assert await peer.open() == 5
            again = await viewer.subscribe(STREAM, epoch=EPOCH, after=1)
            assert again.next == 2
            assert (await heard(viewer))[4:] == [2, 4]  # 3 came before 1, which the viewer has

    run(conversation())


def test_two_publishers_end_each_others_epochs_for_ever():
    async def conversation():
        async with (
            server() as handler,
            numbered_viewer(handler) as viewer,
            publishing(handler) as one,
            publishing(handler) as other,
        ):
            await viewer.subscribe(STREAM)
            await one.open(EPOCH)
            one.features(1)
            await one.codes()
            assert await other.open(EPOCH + 1) == 1
            one.features(2)
            assert await one.codes() == [ErrorCode.PERMISSION_DENIED]
            other.features(1)
            await other.codes()
            assert await one.open(EPOCH, id=2) == ErrorCode.PERMISSION_DENIED
            assert await heard(viewer) == [1, 1]
            assert [answer.ended for answer in viewer.answers] == [None, 1, 2]

    run(conversation())


def test_templates_of_a_stream_that_may_not_be_opened_are_forgotten():
    async def conversation():
        async def nobody(connection, action, stream):
            return False

        handler = WebSocketBinaryHandler(settings=Settings(versions=ALL), authorize=nobody)
        async with handler, publishing(handler) as peer:
            assert await peer.open() == ErrorCode.PERMISSION_DENIED
            peer.template(template(), 1)
            peer.record(2)
            assert await peer.codes() == [ErrorCode.PERMISSION_DENIED]  # discarded without another ERROR
            [connection] = handler._connections.values()
            assert len(connection.session._reader.book) == 0

    run(conversation())


def test_another_connection_goes_on_in_the_same_epoch():
    async def conversation():
        async with server() as handler, publishing(handler) as one, publishing(handler) as other:
            await one.open()
            one.template(template(), 1)
            one.record(2)
            await one.codes()
            assert await other.open(id=9) == 3
            one.record(3)
            assert await one.codes() == [ErrorCode.PERMISSION_DENIED]
            other.record(3, id=9)  # its template was told over another connection
            assert await other.codes() == [ErrorCode.INVALID_DATA_FORMAT]

    run(conversation())


@pytest.mark.parametrize("is_new_connection", [False, True])
def test_a_template_keeps_its_meaning(is_new_connection):
    async def conversation():
        async with server() as handler, publishing(handler) as one, publishing(handler) as other:
            await one.open()
            one.template(template(), 1)
            await one.codes()
            peer, id = (other, 2) if is_new_connection else (one, 1)
            assert not is_new_connection or await other.open(id=2) == 2
            peer.template(template(gain=3), 2, id=id)
            assert await peer.codes() == [ErrorCode.INVALID_DATA_FORMAT]
            peer.template(template(2, gain=3), 3, id=id)
            assert await peer.codes() == [ErrorCode.INVALID_DATA_FORMAT]
            assert await peer.open(id=id) == 4  # what is refused is passed over

    run(conversation())


def test_more_templates_than_a_minute_has_are_refused():
    async def conversation():
        async with server() as handler, publishing(handler) as peer:
            await peer.open()
            for number in range(1, OPENED_TEMPLATES_PER_MINUTE + 3):
                peer.template(template(number, gain=number), number)
            codes = await peer.codes()
            assert codes == [ErrorCode.INVALID_DATA_FORMAT] * 3  # the epoch counts as one
            assert handler._streams._templates_limit.used < 65 * 8192

    run(conversation())


def test_records_whose_template_is_not_in_force_reach_viewers_as_maps():
    async def conversation():
        async with server() as handler, numbered_viewer(handler) as viewer, publishing(handler) as peer:
            await viewer.subscribe(STREAM)
            await peer.open()
            for number in range(1, 19):
                peer.template(template(number, gain=number), number)
            peer.record(19, template(1, gain=1))
            peer.record(20, template(18, gain=18))
            assert await peer.codes() == []
            await viewer.settle()
            assert [(message.data["gain"], int(message.form)) for message in viewer.received] == [
                (1, 0),
                (18, int(Form.RECORD)),
            ]

    run(conversation())


def test_the_server_publishes_on_an_opened_stream_without_a_number():
    async def conversation():
        async with server() as handler, numbered_viewer(handler) as viewer, publishing(handler) as peer:
            await viewer.subscribe(STREAM)
            await peer.open()
            peer.features(1)
            await peer.codes()
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "pause", "timestamp": 1.0})
            peer.features(2)
            await peer.codes()
            assert await heard(viewer) == [1, 0, 2]
            assert viewer.received[1].data["stream"] == STREAM

    run(conversation())


def test_a_stream_whose_publisher_is_gone_goes_back_to_the_server():
    async def conversation():
        async with server(ring_seconds=0.05) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            async with publishing(handler) as peer:
                await peer.open()
                peer.features(1)
                await peer.codes()
            async with publishing(handler) as peer:
                for _ in range(20):
                    await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}})
                    await asyncio.sleep(0.01)
                assert await peer.open() == ErrorCode.PERMISSION_DENIED
            numbers = await heard(viewer)
            assert numbers[0] == 1
            assert numbers[-1] > 1
            assert viewer.answers[-1].ended == 2

    run(conversation())


def test_a_viewer_that_missed_the_change_of_epochs_is_told_the_end_of_the_one_before():
    async def conversation():
        async with server() as handler, publishing(handler) as one, publishing(handler) as other:
            await one.open()
            for number in range(1, 6):
                one.features(number)
            await one.codes()
            await other.open(EPOCH + 1)
            for number in range(1, 4):
                other.features(number)
            await other.codes()
            async with numbered_viewer(handler) as viewer:
                answer = await viewer.subscribe(STREAM, epoch=EPOCH, after=5)
                assert (answer.epoch, answer.ended, answer.next) == (EPOCH + 1, 6, 1)
                assert await heard(viewer) == [1, 2, 3]

    run(conversation())


def test_a_viewer_that_resumes_in_the_epoch_before_gets_what_is_kept_of_it_and_then_its_end():
    async def conversation():
        async with (
            server() as handler,
            publishing(handler) as one,
            publishing(handler) as other,
            publishing(handler) as third,
        ):
            await one.open()
            for number in range(1, 6):
                one.features(number)
            await one.codes()
            await other.open(EPOCH + 1)
            await third.open(EPOCH + 2)
            third.features(1)
            await third.codes()
            async with numbered_viewer(handler) as viewer:
                answer = await viewer.subscribe(STREAM, epoch=EPOCH, after=2)
                assert (answer.epoch, answer.ended, answer.next) == (EPOCH, None, 3)
                await viewer.until(lambda: len(viewer.numbers) == 4)
                assert viewer.numbers == [3, 4, 5, 1]
                told = [(answer.epoch, answer.ended, answer.next) for answer in viewer.answers[1:]]
                assert told == [(EPOCH + 1, 6, 1), (EPOCH + 2, 1, 1)]

    run(conversation())


def test_a_viewer_of_an_epoch_of_which_nothing_is_kept_is_told_its_end():
    async def conversation():
        async with server(ring_bytes=1) as handler, publishing(handler) as one, publishing(handler) as other:
            await one.open()
            one.features(1)
            await one.codes()
            await other.open(EPOCH + 1)
            async with numbered_viewer(handler) as viewer:
                answer = await viewer.subscribe(STREAM, epoch=EPOCH, after=0)
                assert (answer.epoch, answer.ended, answer.next) == (EPOCH + 1, 2, 1)

    run(conversation())


def test_a_viewer_that_falls_out_of_the_ring_is_told_the_end_of_the_epoch_before():
    async def conversation():
        async with (
            server(ring_bytes=2000) as handler,
            publishing(handler) as one,
            publishing(handler) as other,
            numbered_viewer(handler) as viewer,
        ):
            await one.open()
            for number in range(1, 6):
                one.features(number)
            await one.codes()
            viewer.link.may_write.clear()
            viewer.session.subscribe(STREAM, epoch=EPOCH, after=2)
            viewer.talk()
            await other.open(EPOCH + 1)
            for number in range(1, 101):
                other.features(number)
            await other.codes()
            viewer.link.may_write.set()
            await viewer.until(lambda: viewer.numbers[-1:] == [100])
            [first, second] = viewer.answers
            assert (first.epoch, first.ended, first.next) == (EPOCH, None, 3)
            assert (second.epoch, second.ended) == (EPOCH + 1, 6)
            assert viewer.numbers == list(range(second.next, 101))
            assert [error.code for error in viewer.errors] == [ErrorCode.RATE_LIMIT_EXCEEDED]

    run(conversation())


class SeveralServers:
    """A backplane that numbers messages, with one server."""

    version = 4

    def __init__(self):
        self._local = LocalBackplane()

    def __getattr__(self, name):
        """What one server has, and nothing of what is only of several."""
        return getattr(self._local, name, self._nothing)

    async def _nothing(self, *arguments, **options):
        """Do nothing."""

    async def publish(self, stream, timestamp, frame, epoch=0, record=None, *, is_bulk=None):
        return await self._local.publish(stream, timestamp, frame)

    async def open_stream(self, stream, epoch):
        raise PermissionDenied("these servers number all their streams")

    def position(self, stream):
        return None

    def templates(self, stream, epoch):
        return []


def test_a_backplane_may_refuse_openings():
    async def conversation():
        handler = WebSocketBinaryHandler(
            settings=Settings(versions=ALL),
            backplane=SeveralServers(),
            authorize=anyone,
            limits=Limits(rate_limit=None),
        )
        async with handler, numbered_viewer(handler) as viewer, publishing(handler) as peer:
            await viewer.subscribe(STREAM)
            assert await peer.open() == ErrorCode.PERMISSION_DENIED
            peer.features(1)
            assert await peer.codes() == [ErrorCode.PERMISSION_DENIED]
            await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {"n": 1}})
            assert await heard(viewer) == [1], "numbered by the servers"

    run(conversation())


# --- which numbers the server has ---


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=60))
def test_each_number_is_new_once_and_what_is_passed_is_lost(numbers):
    publisher, taken, lost = Publisher(EPOCH, None), set(), set()
    for number, overtakes in numbers:
        verdict = publisher.take(number, overtakes=overtakes)
        assert (verdict is Verdict.NEW) == (number not in taken | lost)
        assert (verdict is Verdict.LOST) == (number in lost)
        taken |= {number} - lost
        if verdict is Verdict.NEW and not overtakes:
            lost |= set(range(1, number)) - taken
        assert publisher.lost == len(lost)
        assert all(one in taken | lost for one in range(1, publisher.line + 1))
        assert publisher.line + 1 not in taken


# --- a writer and a server, cut at any step ---


@given(
    st.lists(st.sampled_from(("write", "alert", "new fields", "pass", "cut", "lose")), max_size=80), st.integers(1, 8)
)
def test_a_writer_and_the_server_count_the_same_losses(steps, frames):
    writer = StreamWriter(STREAM, 1, Settings(versions=ALL), frames=frames, epoch=EPOCH)
    publisher, clock, way, gain = Publisher(EPOCH, None), iter(range(10**9)), [], 0
    had = []

    def connect():
        way.clear()
        writer.disconnected()
        writer.opened(publisher.line + 1, publisher.lost)

    def arrive(outgoing):
        if outgoing.number is None:
            first = decode(outgoing.frame).data.get("first", 1)
            publisher.give_up_before(first)
        elif publisher.take(outgoing.number, overtakes=outgoing.type is MessageType.ANOMALY_ALERT) is Verdict.NEW:
            had.append(outgoing.number)

    def flow():
        while frames_of_one := writer.take():
            way.extend(frames_of_one)
        way.append(writer.opening(next(clock)))  # asks how far the server has got

    connect()
    for step in (*steps, "cut", "pass", "cut"):
        if step in ("write", "new fields"):
            gain += step == "new fields"
            data = {"signal": SIGNAL, "timestamp": 1.0, "gain": gain, **FIELDS}
            writer.write(NUMBERED, MessageType.ECG_DATA, data, wall_clock_us=clock.__next__, now=0.0)
        elif step == "alert":
            data = {"kind": "pause", "timestamp": 1.0}
            writer.write(NUMBERED, MessageType.ANOMALY_ALERT, data, wall_clock_us=clock.__next__, now=0.0)
        elif step == "cut":  # what is on its way is lost
            connect()
        elif step == "lose":
            flow()
            connect()
        else:
            flow()
            for outgoing in way:
                arrive(outgoing)
            way.clear()
    assert len(had) == len(set(had))
    assert writer.next == publisher.line + 1
    assert publisher.lost == writer.lost == writer.next - 1 - len(had)
    assert not writer.unsent
    assert writer.kept <= frames


# --- anything that a client may send ---


def anything(rng, epoch, count):
    """A frame of a publisher, its nth: sound, odd or broken."""
    number = max(0, count + rng.choice((0, 0, 0, 0, 1, 2, -1, -3))) if rng.random() < 0.99 else 2**53 - 1
    id = rng.choice((1, 1, 1, 1, 1, 1, 0, 2, 3))
    flags = rng.choice((0, 0, 0, Flag.ACK_REQUIRED, Flag.PRIORITY, Flag.BROADCAST))
    stamp = rng.randrange(10**6, 10**9)
    one = template(rng.choice((1, 1, 2, 3, 65_535)), rng.choice((STREAM, STREAM, "ecg/2")), gain=rng.choice((1, 1, 2)))
    kind = rng.randrange(8)
    try:
        if kind == 0:
            fields = {
                "template": 0,
                "stream": rng.choice((STREAM, "ecg/2")),
                "epoch": epoch + rng.choice((0, 0, 0, -1, 1)),
            }
            if rng.random() < 0.3:
                fields["first"] = rng.choice((1, 2, number + 2, 2**53, -1, "x", None, 1.5))
            frame = encode(0x23, fields, version=4, stream_id=id, flags=Flag.ACK_REQUIRED, timestamp=stamp)
        elif kind == 1:
            fields = one.fields_on_the_wire()
            frame = encode(0x23, fields, version=4, stream_id=id, sequence=number, timestamp=stamp)
        elif kind in (2, 3):
            payload = one.encode(SIGNAL, stamp, rng.choice((None, 4)), delta=rng.random() < 0.5)
            frame = encode(
                1, payload, version=4, stream_id=id, sequence=number, form=Form.RECORD, flags=flags, timestamp=stamp
            )
        elif kind == 4:
            fields = {"template": 1, "stream": STREAM}
            frame = encode(0x20, fields, version=4, timestamp=stamp)
        else:
            type = rng.choice((1, 2, 4))
            fields = {
                1: {"signal": SIGNAL, "sampling_rate": 500, "stream": rng.choice((STREAM, "ecg/2"))},
                2: {"kind": "pause", "timestamp": 1.0},
                4: rng.choice(({"features": {"n": 1}}, [1, 2], None)),
            }[type]
            frame = encode(type, fields, version=4, stream_id=id, sequence=number, flags=flags, timestamp=stamp)
    except ValueError:  # no sender of ours writes it
        return anything(rng, epoch, count)
    if rng.random() < 0.1:
        broken = bytearray(frame)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        frame = bytes(broken)
    return frame


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_viewers_get_valid_frames_and_each_number_once_whatever_clients_send(seed, caplog):
    async def conversation():
        rng, epoch, count = random.Random(seed), 1, 0
        handler = server(ring_seconds=60)
        async with handler, numbered_viewer(handler) as viewer, numbered_viewer(handler, versions=(1, 2, 3)) as old:
            for stream in (STREAM, "ecg/2"):
                await viewer.subscribe(stream)
                await old.subscribe(stream)
            for _ in range(25):
                async with numbered_viewer(handler) as peer:
                    epoch += rng.randrange(2)
                    count += 1
                    fields = {"template": 0, "stream": STREAM, "epoch": epoch}
                    peer.link._to_receive.put_nowait(encode(0x23, fields, version=4, stream_id=1, timestamp=1))
                    fields = template().fields_on_the_wire()
                    peer.link._to_receive.put_nowait(
                        encode(0x23, fields, version=4, stream_id=1, sequence=count, timestamp=2)
                    )
                    for _ in range(25):
                        count += 1
                        peer.link._to_receive.put_nowait(anything(rng, epoch, count))
                    for _ in range(40):
                        await asyncio.sleep(0)
                        peer.talk()
            await viewer.settle()
            await old.settle()
            for events in (viewer.events, old.events):
                assert [event for event in events if isinstance(event, FrameRefused)] == []
            places = [
                (*event.stream, event.message.sequence)
                for event in viewer.events
                if isinstance(event, (Received, Numbered)) and event.stream is not None
            ]
            assert len(places) == len(set(places))
            assert len(places) > 20
            assert handler._streams._templates_limit.used < 1 << 20

    run(conversation())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
