"""Large messages do not block the event loop, and messages stay in order."""

import asyncio
import random

import numpy as np
import pytest
from running import run
from server.engines import client, on_websockets, until
from server.memory_link import ALL, MemoryLink, viewing
from ticker import LONGEST, Ticker, holds_nobody_up

import ecgframe
from ecgframe import Codec, ErrorCode, Flag, MessageTooLarge, MessageType
from ecgframe.protocol import Capability
from ecgframe.server import Limits, UnknownConnection, WebSocketBinaryHandler
from ecgframe.session import Settings

accelerated = pytest.mark.skipif(not ecgframe.accelerated, reason="the plain core takes ten times as long to encode")

STREAM, OTHER = "ecg/bed-7", "ecg/bed-8"
ECG, ALERT, FEATURES = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT, MessageType.FEATURE_DATA
MiB = 1024 * 1024
LARGEST = 16 * MiB - 1024
UNHURRIED = Settings(rate_limit=None)
ROOMY = Settings(rate_limit=None, queue_bytes=256 * MiB)
WITHOUT_ARRAYS = [capability for capability in ALL if capability != Capability.NDARRAY_BIN]
NOISE = np.random.default_rng(7).standard_normal(LARGEST // 8)


def kinds():
    """Payloads of nearly the largest size that the default limits allow."""
    in_lists = LARGEST // 9 - 10
    yield "an array", lambda: NOISE
    yield "an array of leads", lambda: np.round(NOISE[: len(NOISE) // 12 * 12].reshape(12, -1), 3)
    yield "an array of integers", lambda: (NOISE * 1000).astype("i4").repeat(2)[: LARGEST // 4]
    yield "a view with gaps", lambda: np.broadcast_to(NOISE, (3, len(NOISE)))[::2, ::2]
    yield "a list of floats", NOISE[:in_lists].tolist
    yield "a list of integers", lambda: (NOISE * 1000).astype("i8").tolist()[: LARGEST // 5]
    yield "lists in a list", lambda: [NOISE[i : i + 10].tolist() for i in range(0, in_lists - in_lists // 9, 10)]
    yield "texts", lambda: [f"text {number}" for number in range(LARGEST // 16)]
    yield "short texts", lambda: ["ab"] * 1_000_000
    yield "a long text", lambda: "äb€" * (LARGEST // 6)
    yield "bytes", NOISE.tobytes
    yield "many bytes", lambda: [bytes(1000)] * (LARGEST // 1003)
    yield "maps", lambda: [{"a": number, "b": 1.5} for number in range(340_000)]
    yield "nothings", lambda: [None] * LARGEST
    yield "small arrays", lambda: [NOISE[:2]] * 130_000


async def published(data, **options):
    """Publish it on a new handler."""
    async with WebSocketBinaryHandler(**options) as handler:
        await handler.publish(STREAM, ECG, {"signal": data, "sampling_rate": 500})


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in kinds()])
@accelerated
@pytest.mark.alone
def test_publishing_does_not_block_the_loop(make):
    data = make()
    run(holds_nobody_up(lambda: published(data)), 60)


@accelerated
@pytest.mark.alone
def test_a_map_of_a_million_keys_does_not_block_the_loop():
    data = {f"key {number}": None for number in range(1_000_000)}

    async def publish():
        async with WebSocketBinaryHandler() as handler:
            for _ in range(4):
                await handler.publish(STREAM, FEATURES, data)

    run(holds_nobody_up(publish), 120)
    assert len(data) == 1_000_000


@pytest.mark.parametrize("make", [make for name, make in kinds() if name in ("an array", "a list of floats")])
@accelerated
@pytest.mark.alone
def test_broadcasts_and_messages_to_one_connection_do_not_block_the_loop(make):
    data = {"signal": make(), "sampling_rate": 500}

    async def conversation():
        async with WebSocketBinaryHandler(settings=UNHURRIED) as handler, viewing(handler) as link:
            [info] = handler.connections()
            await holds_nobody_up(lambda: handler.broadcast(ECG, data))
            await holds_nobody_up(lambda: handler.send_message(info.id, ECG, data))
            assert link.count(ECG) >= 2

    run(conversation(), 60)


@accelerated
@pytest.mark.alone
def test_other_encodings_for_old_viewers_do_not_block_the_loop():
    data = {"signal": NOISE[: MiB // 2], "events": NOISE[: MiB // 4].tolist()}

    async def conversation():
        async with (
            WebSocketBinaryHandler(settings=ROOMY) as handler,
            viewing(handler, STREAM) as new,
            viewing(handler, STREAM, capabilities=WITHOUT_ARRAYS) as old,
            viewing(handler, STREAM, version=1, capabilities=[]) as oldest,
            viewing(handler, STREAM, version=2, capabilities=["compression"]) as older,
        ):
            links = new, old, oldest, older
            sent = 0

            async def publish():
                nonlocal sent
                sent += 1
                await handler.publish(STREAM, ECG, data)
                await until(lambda: all(link.count(ECG) == sent for link in links), 30)

            await holds_nobody_up(publish)
            for link in links:
                first = link.messages(ECG)[0]
                assert np.array_equal(first.data["signal"], data["signal"])
                assert first.data["events"] == data["events"]
                assert first.data["stream"] == STREAM
            assert handler.stats()["encoded"] == 4 * sent

    run(conversation(), 90)


@accelerated
@pytest.mark.alone
def test_a_backlog_of_an_old_viewer_does_not_block_the_loop():
    data = {"signal": NOISE[: MiB // 4], "events": NOISE[: MiB // 4].tolist()}
    settings, limits = ROOMY, Limits(ring_bytes=64 * MiB)

    async def conversation():
        async with WebSocketBinaryHandler(settings=settings, limits=limits) as handler:
            before = await handler.publish(STREAM, ECG, {"number": -1})
            for number in range(3):
                await handler.publish(STREAM, ECG, data | {"number": number})
                await handler.publish(STREAM, ECG, {"number": number + 0.5})

            async with viewing(handler, capabilities=WITHOUT_ARRAYS) as link:
                link.say(MessageType.SUBSCRIBE, {"stream": STREAM, "since": before / 1e6})
                await until(lambda: link.count(ECG) >= 3, 20)
                await handler.publish(STREAM, ECG, {"number": 3})
                await until(lambda: len(link.messages(ECG)) == 7, 20)
                numbers = [message.data["number"] for message in link.messages(ECG)]
                assert numbers == [half / 2 for half in range(7)]

            async def come_back():
                async with viewing(handler, capabilities=WITHOUT_ARRAYS) as link:
                    link.say(MessageType.SUBSCRIBE, {"stream": STREAM, "since": before / 1e6})
                    await until(lambda: link.count(ECG) >= 3, 20)

            await holds_nobody_up(come_back)

    run(conversation(), 90)


@accelerated
@pytest.mark.alone
def test_a_large_frame_is_written_to_one_viewer_at_a_time():
    copying = 0.008 / MiB

    async def conversation():
        async with WebSocketBinaryHandler(settings=ROOMY) as handler:
            links = [MemoryLink(copying) for _ in range(12)]
            tasks = [asyncio.create_task(handler.handle(link)) for link in links]
            for link in links:
                link.say(MessageType.PROTOCOL_NEGOTIATION, {"version": 3, "capabilities": ALL}, version=1)
                link.say(MessageType.SUBSCRIBE, {"stream": STREAM})
            await until(lambda: all(link.count(MessageType.SUBSCRIPTION_ACK) for link in links))
            sent = 0

            async def publish():
                nonlocal sent
                sent += 1
                await handler.publish(STREAM, ECG, {"signal": NOISE[: MiB // 8]})
                await handler.publish(STREAM, ALERT, {"kind": "VT"})
                await handler.publish(STREAM, FEATURES, {"number": sent})
                await until(lambda: all(link.count(FEATURES) == sent for link in links))

            await holds_nobody_up(publish)
            for link in links:
                order = [message.type for message in link.messages(ECG, ALERT, FEATURES)]
                assert [type for type in order if type is not ALERT] == [ECG, FEATURES] * sent
                assert order.count(ALERT) == sent
                link.abort()
            # An alert overtakes frames that wait for a turn, and needs no turn itself.
            first_alerts = max(link.first[ALERT] for link in links)
            assert sum(link.first[ECG] < first_alerts for link in links) <= 3
            await asyncio.wait(tasks)

    run(conversation(), 60)


def test_a_connection_that_is_closed_meanwhile_gets_its_close_code():
    async def conversation():
        async with WebSocketBinaryHandler(settings=ROOMY) as handler:
            async with viewing(handler, STREAM) as link:
                await handler.publish(STREAM, ECG, {"signal": NOISE[: MiB // 8]})
                link.say(ECG, {"stream": STREAM})  # nobody may publish
                await until(lambda: link.count(MessageType.ERROR))
            await until(lambda: not handler.connections())

    run(conversation())


# --- order ---


def large(number, size=MiB // 4):
    return {"number": number, "signal": NOISE[:size]}


def numbers_of(link, *types):
    return [message.data["number"] for message in link.messages(*(types or (ECG,)))]


def test_messages_after_a_large_one_wait_only_on_the_same_stream():
    async def conversation():
        async with (
            WebSocketBinaryHandler(settings=UNHURRIED) as handler,
            viewing(handler, STREAM) as link,
            viewing(handler, OTHER) as other,
        ):
            first = asyncio.create_task(handler.publish(STREAM, ECG, large(0)))
            await asyncio.sleep(0)
            behind = [asyncio.create_task(handler.publish(STREAM, ECG, {"number": number})) for number in (1, 2)]
            late = asyncio.create_task(handler.publish(STREAM, ECG, large(3)))
            elsewhere = await handler.publish(OTHER, ECG, {"number": 0})
            alert = await handler.publish(STREAM, ALERT, {"number": 9})
            assert not any(task.done() for task in (first, *behind, late))
            assert numbers_of(other) == [0]
            assert numbers_of(link, ALERT) == [9]
            stamps = [await task for task in (first, *behind, late)]
            await until(lambda: link.count(ECG) == 4)
            assert numbers_of(link) == [0, 1, 2, 3]
            assert [message.timestamp for message in link.messages(ECG)] == stamps == sorted(stamps)
            assert elsewhere < alert < stamps[0]  # by the moment at which each was published

    run(conversation())


def test_messages_to_one_connection_stay_in_order():
    async def conversation():
        async with WebSocketBinaryHandler(settings=UNHURRIED) as handler, viewing(handler) as link:
            [info] = handler.connections()
            sends = [handler.send_message(info.id, ECG, data) for data in (large(0), {"number": 1}, large(2))]
            stamps = await asyncio.gather(*sends)
            await until(lambda: link.count(ECG) == 3)
            assert numbers_of(link) == [0, 1, 2]
            assert stamps == sorted(stamps)
            gone = asyncio.create_task(handler.send_message(info.id, ECG, large(3)))
            await asyncio.sleep(0)
            link.abort()
            with pytest.raises(UnknownConnection, match="was closed while the message was encoded"):
                await gone

    run(conversation())


@pytest.mark.parametrize("which", [0, 1, 2])
@accelerated
@pytest.mark.alone
def test_a_cancelled_publish_does_not_delay_later_messages(which):
    async def conversation():
        async with WebSocketBinaryHandler(settings=UNHURRIED) as handler, viewing(handler, STREAM) as link:
            payloads = [large(0), {"number": 1}, large(2), {"number": 3}]
            tasks = [asyncio.create_task(handler.publish(STREAM, ECG, data)) for data in payloads]
            await asyncio.sleep(0.005)
            tasks[which].cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(one, asyncio.CancelledError) for one in done] == [n == which for n in range(4)]
            await until(lambda: link.count(ECG) == 3)
            assert numbers_of(link) == [number for number in range(4) if number != which]
            assert await handler.publish(STREAM, ECG, {"number": 4}) > max(one for one in done if isinstance(one, int))

    run(conversation())


def test_an_error_is_raised_only_for_its_caller():
    async def conversation():
        async with WebSocketBinaryHandler(settings=UNHURRIED) as handler, viewing(handler, STREAM) as link:
            mistake = {"number": 1, "signal": [1.0] * MiB, "leads": [{"I"}]}
            too_much = {"number": 2, "signal": bytes(17 * MiB)}
            payloads = [large(0), mistake, {"number": 2}, too_much, {"number": 3}]
            done = await asyncio.gather(
                *(handler.publish(STREAM, ECG, data) for data in payloads), return_exceptions=True
            )
            assert [type(one) for one in done] == [int, TypeError, int, MessageTooLarge, int]
            assert 'data["leads"][0]' in str(done[1])
            assert "the limit of 16777216 bytes" in str(done[3])
            await until(lambda: link.count(ECG) == 3)
            assert numbers_of(link) == [0, 2, 3]
            with pytest.raises(ValueError, match="HEARTBEAT is a control message"):
                await handler.publish(STREAM, MessageType.HEARTBEAT, bytes(MiB))

    run(conversation())


def test_a_small_max_payload_is_enforced():
    async def conversation():
        settings = Settings(max_payload=1000, rate_limit=None)
        async with WebSocketBinaryHandler(settings=settings) as handler:
            with pytest.raises(MessageTooLarge, match="the limit of 1000 bytes"):
                await handler.publish(STREAM, ECG, {"signal": bytes(2000)})

    run(conversation())


def test_closing_the_handler_cancels_messages_that_are_being_encoded():
    async def conversation():
        handler = WebSocketBinaryHandler(settings=UNHURRIED)
        async with handler:
            publishing = [asyncio.create_task(handler.publish(STREAM, ECG, large(n))) for n in range(2)]
            await asyncio.sleep(0.005)
        done = await asyncio.gather(*publishing, return_exceptions=True)
        assert [type(one) for one in done] == [RuntimeError, RuntimeError]

    run(conversation())


def test_a_small_message_does_not_wait_and_starts_no_task():
    async def conversation():
        async with WebSocketBinaryHandler(settings=UNHURRIED) as handler:
            await handler.publish(STREAM, ECG, {"number": 0})

            def is_done_at_once():
                publishing = handler.publish(STREAM, ECG, {"number": 1})
                try:
                    publishing.send(None)  # it yields to other tasks every 5 ms
                except StopIteration:
                    return True
                publishing.close()
                return False

            tasks = asyncio.all_tasks()
            assert sum(is_done_at_once() for _ in range(20)) > 10
            assert asyncio.all_tasks() == tasks

    run(conversation())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_each_stream_keeps_its_order_with_cancelled_and_refused_messages(seed):
    """Compared with a simple model: a message whose call has returned arrives once, in the order of the calls."""
    dice = random.Random(seed)
    sizes = [1, 100, 6_000, 20_000, 60_000]

    async def conversation():
        async with (
            WebSocketBinaryHandler(settings=ROOMY) as handler,
            viewing(handler, STREAM, OTHER) as new,
            viewing(handler, STREAM, OTHER, capabilities=WITHOUT_ARRAYS) as old,
            viewing(handler, STREAM, OTHER, version=1, capabilities=[]) as oldest,
        ):
            calls = []
            for number in range(40):
                stream = dice.choice([STREAM, STREAM, OTHER])
                type = ALERT if dice.random() < 0.2 else ECG
                data = {"number": number, "signal": NOISE[: dice.choice(sizes)]}
                if dice.random() < 0.3:
                    data["signal"] = data["signal"].tolist()
                if refused := dice.random() < 0.1:
                    data["wrong"] = {1}
                task = asyncio.create_task(handler.publish(stream, type, data))
                calls.append((number, stream, type, task, refused))
                if dice.random() < 0.15:
                    asyncio.get_running_loop().call_later(dice.random() / 100, task.cancel)
                if dice.random() < 0.3:
                    await asyncio.sleep(dice.random() / 100)
            await asyncio.wait([task for *_, task, _ in calls])
            for number, _, _, task, refused in calls:
                if not task.cancelled():
                    assert isinstance(task.exception(), TypeError) == refused, number
            returned = {number for number, _, _, task, refused in calls if not task.cancelled() and not refused}
            await until(lambda: all(returned <= set(numbers_of(link, ECG, ALERT)) for link in (new, old, oldest)), 20)
            for link in (new, old, oldest):
                for stream in (STREAM, OTHER):
                    for type in (ECG, ALERT):
                        called = [
                            number for number, *where, _, refused in calls if where == [stream, type] and not refused
                        ]
                        messages = [message for message in link.messages(type) if message.data["stream"] == stream]
                        came = [message.data["number"] for message in messages]
                        assert came == [number for number in called if number in came]  # in order, each once
                        assert returned.intersection(called) <= set(came)
                        stamps = [message.timestamp for message in messages if message.timestamp is not None]
                        assert stamps == sorted(set(stamps))

    run(conversation(), 60)


# --- receiving ---


@accelerated
@pytest.mark.alone
def test_receiving_a_large_message_does_not_block_the_loop_and_keeps_the_order():
    received = []

    async def take(connection, message):
        received.append((message.data["number"], message.nbytes))

    settings = Settings(rate_limit=None)
    frames = [
        Codec().encode(ECG, {"number": 0, "signal": NOISE[: MiB // 2].tolist()}),
        Codec(ndarray="binary").encode(ECG, {"number": 1, "signal": NOISE}),
        Codec().encode(ECG, {"number": 2, "zeros": bytes(15 * MiB)}),  # small until it is inflated
        Codec().encode(ECG, {"number": 3}),
    ]

    async def conversation():
        async with WebSocketBinaryHandler(settings=settings, on_message=take) as handler, viewing(handler) as link:

            async def receive():
                received.clear()
                for frame in frames:
                    link._to_receive.put_nowait(frame)
                await until(lambda: len(received) == 4)
                assert [number for number, _ in received] == [0, 1, 2, 3]

            await holds_nobody_up(receive)

    run(conversation(), 60)


def test_a_damaged_large_message_is_refused_like_a_small_one():
    frame = bytearray(Codec(compression=None).encode(ECG, {"signal": NOISE[: MiB // 4]}))
    frame[-1] ^= 1

    async def take(connection, message):
        pass

    async def conversation():
        async with WebSocketBinaryHandler(settings=UNHURRIED, on_message=take) as handler, viewing(handler) as link:
            link._to_receive.put_nowait(bytes(frame))
            await until(lambda: link.count(MessageType.ERROR))
            [error] = link.messages(MessageType.ERROR)
            assert error.data["code"] == ErrorCode.CHECKSUM_MISMATCH
            assert handler.connections()

    run(conversation())


@pytest.mark.slow
def test_over_a_real_network():
    async def conversation():
        async with (
            WebSocketBinaryHandler(settings=UNHURRIED) as handler,
            on_websockets(handler) as port,
            client(port, max_size=None) as viewer,
        ):
            await viewer.subscribe(STREAM)
            publishing = asyncio.create_task(handler.publish(STREAM, ECG, large(0, 100_000)))
            await asyncio.sleep(0)
            await handler.publish(STREAM, ECG, {"number": 1})
            await publishing
            assert np.array_equal((await viewer.expect("ECG_DATA"))["signal"], NOISE[:100_000])
            assert (await viewer.expect("ECG_DATA"))["number"] == 1

    run(conversation())


def test_large_messages_have_the_flags_and_counters_of_small_ones():
    async def conversation():
        async with WebSocketBinaryHandler(settings=UNHURRIED) as handler, viewing(handler, STREAM) as link:
            await handler.publish(STREAM, ALERT, {"number": 0, "signal": NOISE[:MiB]})
            await handler.broadcast(ECG, {"number": 1, "signal": NOISE[:MiB]}, Flag.ACK_REQUIRED)
            await until(lambda: link.count(ECG) == link.count(ALERT) == 1)
            [alert, broadcast] = link.messages(ECG, ALERT)
            assert alert.flags == Flag.PRIORITY | Flag.COMPRESSED
            assert broadcast.flags == Flag.BROADCAST | Flag.ACK_REQUIRED | Flag.COMPRESSED
            stats = handler.stats()
            compression = stats["compression"]["sent"]
            assert compression["frames"] == 2
            assert compression["before"] == alert.nbytes + broadcast.nbytes
            assert compression["after"] == sum(len(sent) - 19 for sent in link.sent if sent[1] in (ECG, ALERT))
            assert stats["messages"]["sent"]["ECG_DATA"] == stats["messages"]["sent"]["ANOMALY_ALERT"] == 1
            assert stats["sizes"]["sent"]["count"] == 2

    run(conversation())


@accelerated
@pytest.mark.alone
def test_the_ticker_measures_how_long_the_loop_is_blocked():
    async def conversation():
        async with Ticker() as ticker:
            ecgframe.encode(ECG, {"signal": NOISE[:MiB]})
        assert ticker.longest > LONGEST

    run(conversation())
