"""A server that speaks version 4: numbers, templates and records, resume by number; old viewers get the old bytes."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from itertools import chain, count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import run
from server.memory_link import MemoryLink
from server.numbered_viewer import ALL, numbered_viewer

from ecgframe import Codec, ErrorCode, Flag, MessageType, decode
from ecgframe.protocol import Capability, Form, RecordFilter
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.backplane import LocalBackplane
from ecgframe.server.numbering import Numbering, TemplatesLimit
from ecgframe.session import Numbered, RateLimit, Settings

STREAM = "ecg/bed-7"
SERVER = Settings(versions=ALL)
FIELDS = {"sampling_rate": 500, "leads": ["I", "II", "III"], "units": "mV", "gain": 200}
KINDS = {
    "V1": {"versions": (1,)},
    "V2": {"versions": (1, 2)},
    "V3 list": {"versions": (1, 2, 3), "capabilities": frozenset({Capability.PRIORITY, Capability.COMPRESSION})},
    "V3": {"versions": (1, 2, 3)},
    "V4 MessagePack": {"capabilities": frozenset({Capability.PRIORITY})},
    "V4 records": {"capabilities": frozenset({Capability.PRIORITY, Capability.TEMPLATES})},
    "V4": {},
}


def ecg(n, **fields):
    """The nth message of a stream: 3 leads of 25 samples."""
    one = np.cumsum(np.random.default_rng(n).integers(-9, 10, 25)).astype("int16")
    two = np.cumsum(np.random.default_rng(-n % 99991).integers(-9, 10, 25)).astype("int16")
    signal = np.stack([one, two, two - one])
    return {"signal": signal, "timestamp": 1705314645 + n / 20, "sequence": n, **FIELDS, **fields}


def clock():
    return count(1_705_314_660_000_000, 10).__next__


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(np.asarray(found[name]), np.asarray(value)), name


# --- numbers, templates, records ---


def test_a_stream_is_numbered_and_each_viewer_gets_its_own_form_of_the_same_messages():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, AsyncExitStack() as stack:
            viewers = {
                name: await stack.enter_async_context(numbered_viewer(handler, **kind)) for name, kind in KINDS.items()
            }
            for viewer in viewers.values():
                await viewer.subscribe(STREAM)
            published = [ecg(n) for n in range(5)]
            for data in published:
                await handler.publish(STREAM, MessageType.ECG_DATA, data)
            for name, viewer in viewers.items():
                await viewer.until(lambda: len(viewer.received) == 5)  # noqa: B023
                for message, data in zip(viewer.received, published, strict=True):
                    same(message.data, {**data, "stream": STREAM})
                if name.startswith("V4"):
                    assert viewer.numbers == [1, 2, 3, 4, 5, 6]  # 1 is the template
                    [answer] = viewer.answers
                    assert (answer.next, answer.start) == (1, None)
            assert len({viewers[name].answers[0].epoch for name in KINDS if name.startswith("V4")}) == 1
            filters = {name: viewers[name].frames[-1][34] for name in ("V4", "V4 records")}
            assert filters == {"V4": RecordFilter.DELTA, "V4 records": RecordFilter.NONE}
            assert len(viewers["V4"].frames[-1]) < len(viewers["V4 records"].frames[-1]) < len(viewers["V3"].frames[-1])
            assert viewers["V4 MessagePack"].session.encoding.record is False

    run(conversation())


@pytest.mark.parametrize("kind", ["V1", "V2", "V3 list", "V3"])
def test_viewers_of_earlier_versions_get_the_bytes_that_they_always_got(kind):
    async def frames_of(server_settings):
        handler = WebSocketBinaryHandler(settings=server_settings, clock=clock())
        async with handler, numbered_viewer(handler, **KINDS[kind]) as viewer, AsyncExitStack() as stack:
            if 4 in server_settings.versions:  # two that read records make the server write them
                for name in ("V4", "V4 records"):
                    other = await stack.enter_async_context(numbered_viewer(handler, **KINDS[name]))
                    await other.subscribe(STREAM)
            await viewer.subscribe(STREAM)
            before = len(viewer.frames)
            for n in range(12):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, gain=100 + n // 4))
                if n % 5 == 0:
                    await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "pause", "timestamp": 1.5 + n})
            await viewer.until(lambda: len(viewer.received) == 15)
            return [without_timestamp(frame) for frame in viewer.frames[before:]]

    def without_timestamp(frame):
        return frame[:11] + frame[19:] if frame[0] == 3 else frame

    before, now = run(frames_of(Settings())), run(frames_of(SERVER))
    assert now == before


def test_constant_fields_make_a_template_once_and_at_most_sixteen_a_minute():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            for n in range(40):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, gain=1 + n % 20))
            await viewer.until(lambda: len(viewer.received) == 40)
            assert [message.data["gain"] for message in viewer.received] == [1 + n % 20 for n in range(40)]
            assert viewer.numbers == list(range(1, 57))
            records = [message for message in viewer.received if message.form]
            assert [message.data["gain"] for message in records] == [*range(1, 17), *range(1, 17)]

    run(conversation())


def test_messages_other_than_records_have_a_number_too():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            unusual = [
                (MessageType.ECG_DATA, ecg(1), Flag.PRIORITY),
                (MessageType.ECG_DATA, {"signal": [1, 2], "sampling_rate": 1.0, "timestamp": 1.0}, 0),
                (MessageType.ECG_DATA, {"signal": np.zeros(3, "int64"), "sampling_rate": 1.0, "timestamp": 1.0}, 0),
                (MessageType.ECG_DATA, {"signal": np.zeros(3, "int16"), "sampling_rate": 1.0}, 0),
                (MessageType.ECG_DATA, ecg(1, note="x" * 5000), 0),
                (MessageType.ECG_DATA, ecg(1, signal=np.zeros((3, 9000), "int16")), 0),
                (MessageType.FEATURE_DATA, {"features": {"hr": 60}}, 0),
            ]
            for type, data, flags in unusual:
                await handler.publish(STREAM, type, data, flags)
            await viewer.until(lambda: len(viewer.received) == len(unusual))
            assert sorted(viewer.numbers) == list(range(1, len(unusual) + 1))
            assert [int(message.form) & ~Form.ALGORITHM for message in viewer.received] == [0] * len(unusual)

    run(conversation())


def test_a_template_that_cannot_be_sent_leaves_its_messages_in_messagepack():
    async def conversation():
        some = Settings(versions=ALL, max_payload=700)
        async with WebSocketBinaryHandler(settings=some) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            for n in range(4):  # the template of the first three, with scale and missing, is larger than they are
                data = {"signal": [0.5 * n], "timestamp": 1.0, "sequence": n, "note": "x" * (600 if n < 3 else 60)}
                await handler.publish(STREAM, MessageType.ECG_DATA, data, samples="exact")
            await viewer.until(lambda: len(viewer.received) == 4)
            assert [message.data["sequence"] for message in viewer.received] == [0, 1, 2, 3]
            assert [bool(message.form) for message in viewer.received] == [False, False, False, True]
            assert viewer.numbers == [1, 2, 3, 4, 5]
            assert not viewer.session.counters.refused

    run(conversation())


def test_a_record_stands_for_no_more_than_the_limit_for_payloads():
    async def conversation():
        some = Settings(versions=ALL, max_payload=1000)
        async with WebSocketBinaryHandler(settings=some) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            for samples in (100, 500):  # of 8 bytes each where they arrive, and of one where they are published
                data = {"signal": [n % 50 for n in range(samples)], "sampling_rate": 500, "timestamp": 5.0}
                await handler.publish(STREAM, MessageType.ECG_DATA, data, samples="exact")
            await viewer.until(lambda: len(viewer.received) == 2)
            assert [bool(message.form) for message in viewer.received] == [True, False]

    run(conversation())


def test_templates_are_counted_by_the_memory_that_they_take():
    limit = TemplatesLimit(200_000)
    numbering = Numbering(STREAM, 1, limit)
    made = 0
    for n in range(16):
        fields = {"sampling_rate": 500, "maps": [{} for _ in range(230)], "n": n}
        data = {"signal": np.zeros(3, "int16"), "timestamp": 1.0, **fields}
        record, template = numbering.record_of(data, 0.0, exact=False, max_payload=2**20)
        assert (record is None) == (template is None)
        if template is not None:
            outgoing = numbering.encode_template(template, 5 + n, SERVER)
            numbering.write_with(template, outgoing, 1, 0.0)
            made += 1
    assert 5 <= made <= 9
    assert 150_000 < limit.used <= 200_000
    numbering.close()
    assert limit.used == 0


def test_exact_samples_travel_as_counts_and_arrive_as_the_same_floats():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, AsyncExitStack() as stack:
            viewers = [
                await stack.enter_async_context(numbered_viewer(handler, **KINDS[name])) for name in ("V3", "V4")
            ]
            for viewer in viewers:
                await viewer.subscribe(STREAM)
            millivolts = ecg(3)["signal"] * 4.88 / 1000
            millivolts[1, 4] = np.nan
            data = {"signal": millivolts, "sampling_rate": 500, "timestamp": 5.0}
            await handler.publish(STREAM, MessageType.ECG_DATA, data, samples="exact")
            for viewer in viewers:
                await viewer.until(lambda: viewer.received)  # noqa: B023
                found = viewer.received[0].data["signal"]
                assert found.dtype == np.float64
                assert np.array_equal(found, millivolts, equal_nan=True)
            assert len(viewers[1].frames[-1]) < 250 < len(viewers[0].frames[-1])
            with pytest.raises(ValueError, match="samples is one of"):
                await handler.publish(STREAM, MessageType.ECG_DATA, data, samples="precise")

    run(conversation())


def test_records_are_made_from_the_first_viewer_on_that_reads_them():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler:
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
            async with numbered_viewer(handler, **KINDS["V4 MessagePack"]) as plain:
                answer = await plain.subscribe(STREAM)
                assert answer.next == 2
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(1))
                async with numbered_viewer(handler) as viewer:
                    assert (await viewer.subscribe(STREAM)).next == 3
                    await handler.publish(STREAM, MessageType.ECG_DATA, ecg(2))
                    await viewer.until(lambda: viewer.received)
                    assert viewer.numbers == [3, 4]
                    await plain.until(lambda: len(plain.received) == 2)
                    assert plain.numbers == [2, 3, 4]

    run(conversation())


def test_version_4_is_not_offered_with_a_backplane_without_numbers(caplog):
    class Engine(LocalBackplane):
        pass

    class Elsewhere:
        def now(self):
            return None

    caplog.set_level("INFO", "ecgframe.server")
    assert WebSocketBinaryHandler(settings=SERVER, backplane=Engine()).settings == SERVER
    assert "version 4" not in caplog.text
    handler = WebSocketBinaryHandler(settings=SERVER, backplane=Elsewhere(), takes_sealed=True)
    assert handler.settings == Settings(versions=(1, 2, 3))
    assert "version 4 is not offered, as the backplane does not number the messages" in caplog.text
    with pytest.raises(ValueError, match=r"version 4 needs a backplane that numbers .* RedisBackplane\(version=4\)"):
        WebSocketBinaryHandler(settings=Settings(versions=(4,)), backplane=Elsewhere())


# --- resume ---


def test_a_viewer_resumes_after_its_number_with_the_templates_that_it_needs():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler:
            async with numbered_viewer(handler) as viewer:
                answer = await viewer.subscribe(STREAM)
                for n in range(3):
                    await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
                await viewer.until(lambda: len(viewer.received) == 3)
                assert viewer.numbers[-1] == 4
            for n in range(3, 6):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            async with numbered_viewer(handler) as viewer:
                again = await viewer.subscribe(STREAM, epoch=answer.epoch, after=4)
                assert (again.epoch, again.next, again.start) == (answer.epoch, 5, None)
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(6))
                await viewer.until(lambda: len(viewer.received) == 4)
                assert viewer.numbers == [5, 6, 7, 8]
                assert [message.data["sequence"] for message in viewer.received] == [3, 4, 5, 6]

    run(conversation())


def test_messages_that_left_the_ring_are_a_counted_gap():
    async def conversation():
        limits = Limits(ring_bytes=2000)
        async with WebSocketBinaryHandler(settings=SERVER, limits=limits) as handler, numbered_viewer(handler) as first:
            answer = await first.subscribe(STREAM)
            for n in range(50):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            async with numbered_viewer(handler) as viewer:
                again = await viewer.subscribe(STREAM, epoch=answer.epoch, after=4)
                assert 40 < again.next < 51
                await viewer.until(lambda: viewer.numbers and viewer.numbers[-1] == 51)
                assert viewer.numbers == list(range(again.next, 52))
                assert not viewer.session.counters.refused  # the template came with the answer

    run(conversation())


def test_the_answer_to_who_misses_messages_says_from_when_on_they_are_kept():
    async def conversation():
        limits = Limits(ring_bytes=2000)
        async with WebSocketBinaryHandler(settings=SERVER, limits=limits) as handler, numbered_viewer(handler) as first:
            answer = await first.subscribe(STREAM)
            stamps = [await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n)) for n in range(50)]
            place = {"epoch": answer.epoch, "after": 4}
            async with numbered_viewer(handler) as viewer:
                again = await viewer.subscribe(STREAM, since=stamps[2], **place)
                await viewer.until(lambda: len(viewer.received) == 52 - again.next)
                kept = viewer.received[0].timestamp
                assert stamps[again.next - 3] < again.start <= kept == stamps[again.next - 2]
            for since, after in [(kept, 4), (stamps[-1], 51)]:  # nothing is missing after that time, or that number
                async with numbered_viewer(handler) as viewer:
                    assert (await viewer.subscribe(STREAM, since=since, epoch=answer.epoch, after=after)).start is None

    run(conversation())


@pytest.mark.parametrize("place", [{"epoch": 5, "after": 2}, {"epoch": 5, "after": 2, "since": 5}, {"after": 10**6}])
def test_an_unknown_place_gets_what_is_published_from_now_on_or_all_that_is_kept(place):
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe(STREAM)
            for n in range(3):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            async with numbered_viewer(handler) as other:
                found = await other.subscribe(STREAM, **{"epoch": answer.epoch, **place})
                assert found.epoch == answer.epoch
                assert found.next == (1 if "since" in place else 5)
                assert (found.start is None) == ("since" not in place)

    run(conversation())


def test_a_template_that_is_no_longer_kept_is_no_gap_for_a_viewer_of_version_3():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as newer:
            await newer.subscribe(STREAM)
            async with numbered_viewer(handler, **KINDS["V3"]) as viewer:
                await viewer.subscribe(STREAM)
                await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}})
                await viewer.until(lambda: viewer.received)
                last = viewer.received[0].timestamp
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
            ring = handler._streams.get(STREAM).ring
            while len(ring) > 1:  # the first message and the template
                ring._drop()
            async with numbered_viewer(handler, **KINDS["V3"]) as viewer:
                answer = await viewer.subscribe(STREAM, last)
                assert answer.start is None
                await viewer.until(lambda: viewer.received)

    run(conversation())


def test_a_forgotten_stream_goes_on_with_its_numbers():
    async def conversation():
        limits = Limits(ring_seconds=0.01)
        async with WebSocketBinaryHandler(settings=SERVER, limits=limits) as handler:
            async with numbered_viewer(handler) as viewer:
                answer = await viewer.subscribe(STREAM)
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
                await viewer.until(lambda: viewer.received)
            async with asyncio.timeout(5):
                while handler.stats()["streams"]:
                    await asyncio.sleep(0.01)
            async with numbered_viewer(handler) as viewer:
                again = await viewer.subscribe(STREAM, epoch=answer.epoch, after=2)
                assert (again.epoch, again.next) == (answer.epoch, 3)
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(1))
                await viewer.until(lambda: viewer.received)
                assert viewer.numbers == [3]  # no new template: the answer had it

    run(conversation())


def test_a_viewer_that_falls_out_of_the_ring_is_told_and_answered_again():
    async def conversation():
        limits = Limits(ring_bytes=6000)
        async with WebSocketBinaryHandler(settings=SERVER, limits=limits) as handler, numbered_viewer(handler) as first:
            answer = await first.subscribe(STREAM)
            for n in range(20):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            async with numbered_viewer(handler) as viewer:
                viewer.link.may_write.clear()
                viewer.session.subscribe(STREAM, epoch=answer.epoch, after=15)
                viewer.talk()
                for n in range(20, 120):
                    await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, gain=100 + n // 20))
                    await asyncio.sleep(0)
                viewer.link.may_write.set()
                await viewer.until(lambda: viewer.received and viewer.received[-1].data["sequence"] == 119)
                first_answer, again = viewer.answers
                assert first_answer.next == 16
                [error] = viewer.errors
                assert error.code == ErrorCode.RATE_LIMIT_EXCEEDED
                assert viewer.numbers == list(range(again.next, viewer.numbers[-1] + 1))
                assert error.details["dropped"] == again.next - 16
                assert not viewer.session.counters.refused

    run(conversation())


def test_a_loss_of_nothing_but_a_template_does_not_end_before_it_begins():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as first:
            answer = await first.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}})
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
            async with numbered_viewer(handler) as viewer:
                viewer.link.may_write.clear()
                viewer.session.subscribe(STREAM, epoch=answer.epoch, after=1)
                viewer.talk()
                stream = handler._streams.get(STREAM)
                await until(lambda: len(stream.viewers) == 2)
                while len(stream.ring) > 1:
                    stream.ring._drop()
                viewer.link.may_write.set()
                await viewer.until(lambda: viewer.received)
                [error] = viewer.errors
                assert error.details["from"] <= error.details["to"]
                assert error.details["dropped"] == 1
                assert viewer.numbers == [3]

    run(conversation())


def test_a_peer_that_agrees_on_version_4_after_it_subscribed_is_told_the_numbers():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler:
            link = MemoryLink()
            serving = asyncio.create_task(handler.handle(link))
            link.say(MessageType.SUBSCRIBE, {"stream": STREAM}, version=1)
            while not link.messages(MessageType.SUBSCRIPTION_ACK):
                await asyncio.sleep(0)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
            link.say(MessageType.PROTOCOL_NEGOTIATION, {"version": 4, "capabilities": ["templates"]}, version=1)
            while len(link.messages(MessageType.SUBSCRIPTION_ACK)) < 2:
                await asyncio.sleep(0)
            answer = link.messages(MessageType.SUBSCRIPTION_ACK)[1]
            assert (answer.version, answer.data["id"], answer.data["next"]) == (4, 1, 2)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(1))
            headers = [Codec().split(frame)[0] for frame in link.sent[-2:]]
            assert [(header.type, header.sequence) for header in headers] == [
                (MessageType.STREAM_TEMPLATE, 2),
                (MessageType.ECG_DATA, 3),
            ]
            link.abort()
            await serving

    run(conversation())


# --- against a plain list ---

actions = st.lists(
    st.one_of(
        st.tuples(st.just("ecg"), st.integers(1, 3)),
        st.tuples(st.just("alert"), st.just(0)),
        st.tuples(st.just("features"), st.just(0)),
        st.tuples(st.just("leave"), st.sampled_from(sorted(KINDS)[-3:])),
        st.tuples(st.just("come"), st.sampled_from(sorted(KINDS)[-3:])),
    ),
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(actions)
def test_every_message_arrives_once_whatever_viewers_come_and_go(actions):
    run(_once(actions))


async def _once(actions):
    published = []
    handler = WebSocketBinaryHandler(settings=SERVER)
    async with handler, AsyncExitStack() as everything:
        places = {}  # by kind: epoch, number in line, contents that arrived, and the stack that holds the viewer
        present = {}

        async def come(kind):
            stack = AsyncExitStack()
            viewer = await stack.enter_async_context(numbered_viewer(handler, **KINDS[kind]))
            place = places.get(kind)
            if place is None:
                answer = await viewer.subscribe(STREAM)
                places[kind] = [answer.epoch, answer.next - 1, len(published), []]
            else:
                answer = await viewer.subscribe(STREAM, epoch=place[0], after=place[1])
                assert (answer.epoch, answer.next) == (place[0], place[1] + 1)
            present[kind] = viewer, stack
            everything.push_async_callback(stack.aclose)

        async def leave(kind):
            viewer, stack = present.pop(kind)
            await viewer.settle()
            await stack.aclose()
            place = places[kind]
            fresh = dict.fromkeys(viewer.numbers)
            assert len(fresh) == len(viewer.numbers)
            assert sorted(fresh) == list(range(place[1] + 1, place[1] + 1 + len(fresh)))
            place[1] += len(fresh)
            in_order = sorted(viewer.received, key=lambda message: message.sequence)
            place[3] += [message.data["n"] for message in in_order]

        for n, (action, argument) in enumerate(actions):
            if action == "come" and argument not in present:
                await come(argument)
            elif action == "leave" and argument in present:
                await leave(argument)
            elif action == "ecg":
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, gain=argument, sequence=n) | {"n": argument})
                published.append(argument)
            elif action == "alert":
                await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "a", "timestamp": 1.0, "n": -n})
                published.append(-n)
            elif action == "features":
                await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}, "n": 1000 + n})
                published.append(1000 + n)
        for kind in list(places):
            if kind not in present:
                await come(kind)
            await leave(kind)
            assert places[kind][3] == published[places[kind][2] :]


def test_the_frames_of_all_viewers_of_a_kind_are_one_object():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(numbered_viewer(handler)) for _ in range(5)]
            for viewer in viewers:
                await viewer.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(1))
            for viewer in viewers:
                await viewer.until(lambda: len(viewer.received) == 2)  # noqa: B023
            assert len({id(viewer.frames[-1]) for viewer in viewers}) == 1
            header = decode(viewers[0].frames[-3])
            assert header.type is MessageType.STREAM_TEMPLATE

    run(conversation())


# --- order and loss ---


def test_large_messages_and_what_is_behind_them_keep_their_order():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, AsyncExitStack() as stack:
            viewers = {
                name: await stack.enter_async_context(numbered_viewer(handler, **KINDS[name]))
                for name in ("V4", "V4 records", "V4 MessagePack")
            }
            for viewer in viewers.values():
                await viewer.subscribe(STREAM)
            large = ecg(0, signal=np.arange(120_000, dtype="int16").reshape(3, -1))
            noise = {**large, "signal": np.random.default_rng(1).integers(-999, 999, (3, 30_000)).astype("int16")}
            publishing = [large, ecg(1), noise, ecg(2, gain=7), ecg(3, gain=8), noise, ecg(4, gain=8)]
            await asyncio.gather(*[handler.publish(STREAM, MessageType.ECG_DATA, data) for data in publishing])
            for viewer in viewers.values():
                await viewer.until(lambda: len(viewer.received) == 7)  # noqa: B023
                assert viewer.numbers == list(range(1, 11))  # three of them are templates
                found = [message.data["signal"].shape[1] for message in viewer.received]
                assert found == [data["signal"].shape[1] for data in publishing]
                assert not viewer.session.counters.refused

    run(conversation())


def test_a_viewer_that_catches_up_gets_large_messages_in_their_turn():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as first:
            answer = await first.subscribe(STREAM)
            noise = np.random.default_rng(1).integers(-999, 999, (3, 30_000)).astype("int16")
            for n in range(6):
                more = {"signal": noise} if n % 2 else {}
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, **more))
            async with numbered_viewer(handler, **KINDS["V4 MessagePack"]) as viewer:
                await viewer.subscribe(STREAM, epoch=answer.epoch, after=0)
                await viewer.until(lambda: len(viewer.received) == 6)
                assert viewer.numbers == [1, 2, 3, 4, 5, 6, 7]

    run(conversation())


def test_a_slow_viewer_loses_waveforms_and_no_template_and_counts_exactly():
    async def conversation():
        some = Settings(versions=ALL, queue_frames=50, rate_limit=None)
        async with WebSocketBinaryHandler(settings=some) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            viewer.link.may_write.clear()
            for n in range(100):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, gain=100 + n // 10))
                if n % 10 == 5:
                    await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"kind": "a", "timestamp": 1.0})
            viewer.link.may_write.set()
            await viewer.until(lambda: viewer.received and viewer.received[-1].data.get("sequence") == 99)
            templates = [event for event in viewer.events if isinstance(event, Numbered)]
            assert [event.message.data["template"] for event in templates] == list(range(1, 11))
            alerts = [message for message in viewer.received if message.type is MessageType.ANOMALY_ALERT]
            assert len(alerts) == 10
            in_line = [message.data["sequence"] for message in viewer.received if message.type is MessageType.ECG_DATA]
            assert in_line == sorted(in_line)
            assert 120 - len(viewer.numbers) == sum(error.details["dropped"] for error in viewer.errors) > 0
            assert not viewer.session.counters.refused

    run(conversation())


async def until(condition):
    """Wait for the server, while the link of the viewer takes nothing."""
    async with asyncio.timeout(25):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("place", ["since", "after", "left, since", "left"])
def test_no_message_of_a_subscription_follows_the_answer_to_the_next(place):
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
            await viewer.until(lambda: viewer.received)
            viewer.link.may_write.clear()
            for n in range(1, 100):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            if "left" in place:
                viewer.session.unsubscribe(STREAM)
            asks = {"epoch": answer.epoch, "after": 2} if place == "after" else {}
            viewer.session.subscribe(STREAM, viewer.received[0].timestamp if "since" in place else None, **asks)
            viewer.talk()
            await until(lambda: handler.stats()["queues"]["frames"] < 5)
            viewer.numbers.clear()
            viewer.link.may_write.set()
            await viewer.until(lambda: viewer.answers[-1] != answer and viewer.answers[-1].status == "subscribed")
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(100))
            await viewer.until(lambda: viewer.received[-1].data["sequence"] == 100)
            assert viewer.answers[-1].next == (102 if place == "left" else 3)
            assert viewer.numbers == list(range(viewer.answers[-1].next, 103))
            assert not viewer.errors
            assert handler.stats()["dropped"] == 0
            assert handler.stats()["queues"]["bytes"] == 0

    run(conversation())


def test_drops_of_a_subscription_are_not_reported_to_the_next():
    async def conversation():
        some = Settings(versions=ALL, queue_frames=50)
        async with WebSocketBinaryHandler(settings=some) as handler, numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe(STREAM)
            viewer.link.may_write.clear()
            for n in range(100):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            dropped = handler.stats()["dropped"]
            assert dropped > 40
            viewer.session.unsubscribe(STREAM)
            viewer.talk()
            await until(lambda: handler.stats()["queues"]["frames"] < 5)
            viewer.session.subscribe(STREAM, epoch=answer.epoch, after=0)
            viewer.talk()
            viewer.link.may_write.set()
            await viewer.until(lambda: viewer.received and viewer.received[-1].data["sequence"] == 99)
            assert viewer.numbers[-101:] == list(range(1, 102))
            assert not viewer.errors
            assert handler.stats()["dropped"] == dropped

    run(conversation())


def test_messages_that_waited_for_an_acknowledgement_are_reported_when_the_viewer_leaves():
    undelivered = []

    async def conversation():
        def note(connection, event):
            undelivered.append((event.timestamp, event.attempts))

        handler = WebSocketBinaryHandler(settings=SERVER, on_undelivered=note)
        async with handler, numbered_viewer(handler) as viewer:
            answer = await viewer.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0), Flag.ACK_REQUIRED)
            await viewer.until(lambda: viewer.received)
            viewer.link.may_write.clear()
            await handler.publish(STREAM, MessageType.FEATURE_DATA, {"features": {}}, Flag.ACK_REQUIRED)
            viewer.session.unsubscribe(STREAM)
            viewer.talk()
            await until(lambda: handler.stats()["undelivered"] == 1)
            viewer.session.acknowledge(viewer.received[0])  # that one has left before
            viewer.session.subscribe(STREAM, epoch=answer.epoch, after=2)
            viewer.talk()
            viewer.link.may_write.set()
            await viewer.until(lambda: len(viewer.received) == 2)
            viewer.session.acknowledge(viewer.received[1])
            viewer.talk()
            await until(lambda: handler.stats()["acknowledged"] == 2)
            assert undelivered == [(viewer.received[1].timestamp, 0)]
            assert viewer.received[1].sequence == 3

    run(conversation())


def test_the_answer_to_a_second_subscribe_names_the_first_message_that_waits():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0))
            await viewer.until(lambda: viewer.received)
            viewer.link.may_write.clear()
            for n in range(1, 10):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            viewer.session.subscribe(STREAM)
            viewer.talk()
            await until(lambda: handler.stats()["queues"]["frames"] == 10)
            viewer.link.may_write.set()
            await viewer.until(lambda: len(viewer.received) == 10)
            assert viewer.answers[1].next == 3
            assert viewer.numbers == list(range(1, 12))

    run(conversation())


def test_that_answer_counts_what_is_still_to_be_encoded(monkeypatch):
    async def conversation():
        held = []

        def in_thread(function, *arguments):
            held.append((asyncio.get_running_loop().create_future(), function, arguments))
            return held[-1][0]

        monkeypatch.setattr("ecgframe.server.encodings.in_thread", in_thread)
        kind = KINDS["V4 MessagePack"]
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler, **kind) as viewer:
            await viewer.subscribe(STREAM)
            noise = np.random.default_rng(1).integers(-999, 999, (3, 30_000)).astype("int16")
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(0, signal=noise))
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(1))
            answer = await viewer.subscribe(STREAM)
            assert answer.next == 1
            while held:
                future, function, arguments = held.pop()
                future.set_result(function(*arguments))
            await viewer.until(lambda: len(viewer.received) == 2)
            assert viewer.numbers == [1, 2]

    run(conversation())


def answers_of(viewer):
    """The payloads of the answers that the viewer was sent."""
    return [decode(frame).data for frame in viewer.frames if frame[1] == MessageType.SUBSCRIPTION_ACK]


def large_templates(handler):
    """Publish what makes sixteen templates of nearly 4 KiB each, which do not deflate."""
    notes = [random.Random(n).randbytes(3800) for n in range(16)]
    return [handler.publish(STREAM, MessageType.ECG_DATA, ecg(n, note=note)) for n, note in enumerate(notes)]


def test_a_subscribe_that_is_repeated_is_not_answered_with_the_templates_again():
    async def conversation():
        async with WebSocketBinaryHandler(settings=SERVER) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            for publishing in large_templates(handler):
                await publishing
            await viewer.until(lambda: len(viewer.received) == 16)
            await viewer.subscribe(STREAM)
            await viewer.subscribe(STREAM)
            assert [len(one["templates"]) for one in answers_of(viewer)] == [0, 0, 0]
            assert answers_of(viewer)[-1]["next"] == 33
            viewer.session.unsubscribe(STREAM)
            await viewer.subscribe(STREAM)
            await viewer.until(lambda: viewer.answers[-1].status == "subscribed")
            assert len(answers_of(viewer)[-1]["templates"]) == 16
            await handler.publish(STREAM, MessageType.ECG_DATA, viewer.received[-1].data)
            await viewer.until(lambda: len(viewer.received) == 17)
            assert viewer.numbers[-1] == 33

    run(conversation())


def test_templates_in_answers_count_as_bytes_of_the_peer_that_asks():
    async def conversation():
        limit = RateLimit(nbytes=1.0, nbytes_burst=300_000)
        some = Settings(versions=ALL, rate_limit=limit, max_payload=100_000)
        async with WebSocketBinaryHandler(settings=some) as handler, numbered_viewer(handler) as viewer:
            await viewer.subscribe(STREAM)
            for publishing in large_templates(handler):
                await publishing
            asked = 0
            while not viewer.errors:
                viewer.session.unsubscribe(STREAM)
                viewer.session.subscribe(STREAM)
                asked += 1
                assert asked < 20
                answers = len(viewer.answers)
                await viewer.until(lambda: viewer.errors or len(viewer.answers) >= answers + 2)  # noqa: B023
            assert viewer.errors[0].code == ErrorCode.RATE_LIMIT_EXCEEDED
            assert 4 <= asked <= 6  # each answer has some 62,000 bytes

    run(conversation())


def test_numbers_do_not_mind_a_clock_that_is_set_back():
    async def conversation():
        times = chain(range(10**15, 10**15 + 40), count(10**15 - 3600 * 10**6))
        async with WebSocketBinaryHandler(settings=SERVER, clock=times.__next__) as handler:
            async with numbered_viewer(handler) as viewer:
                answer = await viewer.subscribe(STREAM)
                for n in range(30):
                    await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
                await viewer.until(lambda: len(viewer.received) == 30)
                assert viewer.numbers == list(range(1, 32))
            async with numbered_viewer(handler) as viewer:
                again = await viewer.subscribe(STREAM, epoch=answer.epoch, after=20)
                assert again.next == 21
                await viewer.until(lambda: len(viewer.received) == 11)
                assert viewer.numbers == list(range(21, 32))

    run(conversation())
