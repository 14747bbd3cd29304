"""The handler as an application uses it: sending, publishing, broadcasting, hooks, stats and logs."""

import asyncio
import logging
import time

import numpy as np
import oracle
import pytest
from running import run
from server.engines import EVERYTHING, TYPES, client, on_websockets, until

import ecgframe
from ecgframe import Flag, MessageType
from ecgframe.errors import PermissionDenied, RateLimitExceeded
from ecgframe.server import Limits, TooManyStreams, UnknownConnection, WebSocketBinaryHandler
from ecgframe.session import Settings

STREAM = "ecg/bed-7"
ECG = {"signal": [0.1, 0.2, 0.3], "sampling_rate": 250}
ALERT = {"kind": "asystole", "timestamp": 1705314645.5}
UNHURRIED = Settings(rate_limit=None)


def serving(conversation, *, connection_id=None, timeout=120, **options):
    """Run ``await conversation(handler, port)`` with a handler behind the websockets library."""

    async def serve():
        async with (
            WebSocketBinaryHandler(**options) as handler,
            on_websockets(handler, connection_id=connection_id) as port,
        ):
            await conversation(handler, port)
            await handler.close()
            await nothing_is_left(handler)

    run(serve(), timeout)


async def nothing_is_left(handler):
    """Check that no task, connection or stream is left, apart from this task and the server's own."""
    assert handler.connections() == []
    assert handler.stats()["streams"] == {}
    assert handler.stats()["queues"]["frames"] == 0
    tasks = {task for task in asyncio.all_tasks() if "ecgframe/server/" in str(task.get_coro().cr_code)}
    assert tasks == set()


async def allow(connection, action, stream):
    return True


# --- sending to one ---


def test_the_specifications_own_example():
    async def conversation(handler, port):
        async with client(port) as peer:
            await handler.send_message(
                connection_id="client_123",
                message_type=MessageType.ECG_DATA,
                data={"signal": [0.1, 0.2, 0.3], "timestamp": 1705314645.5, "sampling_rate": 250},
            )
            assert await peer.expect("ECG_DATA") == ECG | {"timestamp": 1705314645.5}

    serving(conversation, connection_id="client_123")


def test_an_unknown_connection_is_named():
    async def conversation(handler, port):
        with pytest.raises(UnknownConnection, match="no open connection has the id 'nobody'") as caught:
            await handler.send_message("nobody", MessageType.ECG_DATA, ECG)
        assert isinstance(caught.value, KeyError)

    serving(conversation)


def test_invalid_arguments_raise_and_nothing_is_sent():
    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.subscribe(STREAM)
            [info] = handler.connections()
            mistakes = [
                lambda: handler.send_message(info.id, MessageType.ECG_DATA, {"leads": {"I"}}),
                lambda: handler.publish(STREAM, MessageType.ECG_DATA, {"leads": {"I"}}),
                lambda: handler.broadcast(MessageType.ECG_DATA, {"leads": {"I"}}),
            ]
            for mistake in mistakes:
                with pytest.raises(TypeError, match=r'data\["leads"\]'):
                    await mistake()
            with pytest.raises(ValueError, match="19 is not"):
                await handler.send_message(info.id, 0x13, ECG)
            with pytest.raises(ValueError, match="HEARTBEAT is a control message"):
                await handler.publish(STREAM, MessageType.HEARTBEAT, None)
            with pytest.raises(ValueError, match="1 to 256 characters, not 0"):
                await handler.publish("", MessageType.ECG_DATA, ECG)
            with pytest.raises(ValueError, match="1 to 256 characters, not 257"):
                await handler.publish("x" * 257, MessageType.ECG_DATA, ECG)
            await peer.flush()

    serving(conversation)


def test_a_type_may_be_a_plain_number():
    async def conversation(handler, port):
        async with client(port) as peer:
            [info] = handler.connections()
            await handler.send_message(info.id, 0x01, ECG)
            assert await peer.expect("ECG_DATA") == ECG

    serving(conversation)


def test_acknowledged_messages_are_counted_and_others_are_reported():
    undelivered = []

    async def conversation(handler, port):
        async with client(port) as peer:
            [info] = handler.connections()
            timestamp = await handler.send_message(info.id, MessageType.ANOMALY_ALERT, ALERT, Flag.ACK_REQUIRED)
            frame = await peer.receive()
            assert (frame.timestamp, frame.flags & oracle.ACK_REQUIRED) == (timestamp, oracle.ACK_REQUIRED)
            await peer.send("PONG", {"ack": timestamp, "type": frame.type})
            await peer.flush()
            assert handler.stats()["acknowledged"] == 1
            timestamp = await handler.send_message(info.id, MessageType.ANOMALY_ALERT, ALERT, Flag.ACK_REQUIRED)
            for _ in range(3):
                assert (await peer.receive()).timestamp == timestamp
            await until(lambda: undelivered)
            [(connection, event)] = undelivered
            assert (connection.id, event.timestamp, event.attempts) == (info.id, timestamp, 3)
            assert (handler.stats()["resent"], handler.stats()["undelivered"]) == (2, 1)
            # Messages that wait for an acknowledgement when the peer disconnects are reported as well.
            timestamp = await handler.send_message(info.id, MessageType.ANOMALY_ALERT, ALERT, Flag.ACK_REQUIRED)
            await peer.receive()
        await until(lambda: len(undelivered) == 2)
        assert undelivered[1][1].timestamp == timestamp

    settings = Settings(acknowledgement_timeout=0.05, acknowledgement_attempts=3)
    serving(conversation, settings=settings, on_undelivered=lambda *told: undelivered.append(told))


# --- publishing ---


def test_a_message_is_encoded_once_for_each_encoding_in_use():
    """Eight viewers with three different encodings: three frames are encoded, not eight."""

    async def conversation(handler, port):
        binary = [name for name in EVERYTHING if name != "batch"]
        abilities = [binary, binary, [], [], [], ["compression"], ["compression"], binary]
        async with asyncio.TaskGroup() as viewing:
            ready = asyncio.Barrier(len(abilities) + 1)
            for capabilities in abilities:
                viewing.create_task(view(port, capabilities, ready))
            await ready.wait()
            data = {"signal": np.zeros(1000), "sampling_rate": 250}
            before = handler.stats()["encoded"]
            await handler.publish(STREAM, MessageType.ECG_DATA, data)
            assert handler.stats()["encoded"] == before + 3
            await handler.publish(STREAM, MessageType.ECG_DATA, data)
            assert handler.stats()["encoded"] == before + 6
            sizes = handler.stats()["sizes"]["sent"]
            assert sizes["count"] == 2 * len(abilities)

    async def view(port, capabilities, ready):
        async with client(port, capabilities=capabilities) as viewer:
            await viewer.subscribe(STREAM)
            await ready.wait()
            for _ in range(2):
                frame = await viewer.receive()
                assert oracle.same(frame.data["signal"], np.zeros(1000))
                assert bool(frame.flags & oracle.COMPRESSED) == ("compression" in capabilities)

    serving(conversation)


def test_the_caller_may_change_the_array_afterwards():
    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            signal = np.ones(100)
            await handler.publish(STREAM, MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 250})
            signal[:] = 2
            assert oracle.same((await viewer.expect("ECG_DATA"))["signal"], np.ones(100))
        async with client(port) as late:
            await late.send("SUBSCRIBE", {"stream": STREAM, "since": 0})
            await late.expect("SUBSCRIPTION_ACK")
            assert oracle.same((await late.expect("ECG_DATA"))["signal"], np.ones(100))

    serving(conversation)


def test_published_data_has_the_name_of_its_stream():
    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            data = dict(ECG)
            await handler.publish(STREAM, MessageType.ECG_DATA, data)
            assert await viewer.expect("ECG_DATA") == ECG | {"stream": STREAM}
            assert data == ECG
            await handler.publish(STREAM, MessageType.ECG_DATA, ECG | {"stream": "its own"})
            assert (await viewer.expect("ECG_DATA"))["stream"] == "its own"
            await handler.publish(STREAM, MessageType.FEATURE_DATA, [1, 2])
            assert await viewer.expect("FEATURE_DATA") == [1, 2]

    serving(conversation)


def test_publish_returns_the_timestamp_of_the_message():
    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            timestamps = [await handler.publish(STREAM, MessageType.ECG_DATA, ECG) for _ in range(5)]
            assert [(await viewer.receive()).timestamp for _ in range(5)] == timestamps
            assert timestamps == sorted(set(timestamps))

    serving(conversation)


def test_after_unsubscribe_no_more_messages_arrive():
    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            [info] = handler.connections()
            assert info.streams == (STREAM,)
            await viewer.send("UNSUBSCRIBE", {"stream": STREAM})
            assert await viewer.expect("SUBSCRIPTION_ACK") == {"stream": STREAM, "status": "unsubscribed"}
            assert info.streams == ()
            await handler.publish(STREAM, MessageType.ECG_DATA, ECG)
            await viewer.flush()
            await viewer.send("UNSUBSCRIBE", {"stream": "never heard of"})
            assert (await viewer.expect("SUBSCRIPTION_ACK"))["status"] == "unsubscribed"

    serving(conversation)


def test_publishing_leaves_other_tasks_their_turn():
    async def conversation(handler, port):
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        began = time.thread_time()  # processor time, since others may use the processor as well
        while time.thread_time() < began + 0.2:
            await handler.publish(STREAM, MessageType.ECG_DATA, ECG)
        counting.cancel()
        assert turns > 10

    serving(conversation)


# --- broadcasting ---


def test_a_broadcast_reaches_every_connection():
    async def conversation(handler, port):
        async with client(port) as one, client(port, capabilities=[]) as other:
            await handler.broadcast(MessageType.ANOMALY_ALERT, ALERT)
            frame = await one.receive()
            assert (frame.data, frame.flags) == (ALERT, oracle.BROADCAST | oracle.PRIORITY)
            frame = await other.receive()
            assert (frame.data, frame.flags) == (ALERT, 0)
            assert handler.stats()["streams"] == {}

    serving(conversation)


def test_a_client_can_broadcast_with_permission():
    async def conversation(handler, port):
        async with client(port) as one, client(port) as other:
            await one.send("ANOMALY_ALERT", ALERT, flags=oracle.BROADCAST | oracle.PRIORITY)
            assert await other.expect("ANOMALY_ALERT") == ALERT
            await one.flush()  # it does not get its own message

    serving(conversation, authorize=allow)


@pytest.mark.parametrize("how", [{}, {"on_message": None}], ids=["by default", "without on_message"])
def test_a_client_cannot_broadcast_without_permission(how):
    async def conversation(handler, port):
        async with client(port) as one, client(port) as other:
            await one.send("ANOMALY_ALERT", ALERT, flags=oracle.BROADCAST)
            assert (await one.expect("ERROR"))["code"] == 0x203
            await other.flush()
            assert handler.stats()["errors"]["sent"] == {"0x203": 1}

    serving(conversation, **how)


# --- what clients publish ---


def test_a_client_can_publish_with_permission():
    seen = []

    async def see(connection, message):
        seen.append(message.data)

    async def conversation(handler, port):
        async with client(port) as device, client(port) as viewer:
            await viewer.subscribe(STREAM)
            data = ECG | {"stream": STREAM, "signal": np.arange(5)}
            await device.send("ECG_DATA", data, flags=oracle.PRIORITY | oracle.ACK_REQUIRED, timestamp=77)
            frame = await viewer.receive()
            assert oracle.same(frame.data, data)
            assert frame.flags == oracle.PRIORITY  # ACK_REQUIRED applies between the device and the server only
            assert frame.timestamp > 77
            assert await device.expect("PONG") == {"ack": 77, "type": TYPES["ECG_DATA"]}
            [message] = seen
            assert oracle.same(message, data)

    serving(conversation, authorize=allow, on_message=see)


def test_by_default_no_client_can_publish():
    async def conversation(handler, port):
        async with client(port) as device:
            await device.send("ECG_DATA", ECG | {"stream": STREAM})
            error = await device.expect("ERROR")
            assert (error["code"], error["message"]) == (0x203, "this connection may not publish")
            assert handler.stats()["streams"] == {}

    serving(conversation)


def test_without_authorize_messages_go_to_the_application_only():
    seen = []

    async def see(connection, message):
        seen.append(message.data["stream"])

    async def conversation(handler, port):
        async with client(port) as device:
            await device.send("ECG_DATA", ECG | {"stream": STREAM})
            await device.flush()
            assert seen == [STREAM]
            assert handler.stats()["streams"] == {}

    serving(conversation, on_message=see)


def test_refused_messages_do_not_reach_the_application():
    seen = []

    async def see(connection, message):
        seen.append(message)

    async def refuse_publishing(connection, action, stream):
        return action == "subscribe"

    async def conversation(handler, port):
        async with client(port) as device:
            await device.send("ECG_DATA", ECG | {"stream": STREAM})
            assert (await device.expect("ERROR"))["code"] == 0x203
            assert seen == []

    serving(conversation, on_message=see, authorize=refuse_publishing)


# --- hooks ---


def test_authorize_decides_by_stream_and_identity():
    asked = []

    async def authenticate(request):
        return request.headers["x-user"]

    async def authorize(connection, action, stream):
        asked.append((connection.identity, action, stream))
        return stream == f"of/{connection.identity}"

    async def conversation(handler, port):
        async with client(port, additional_headers={"X-User": "ann"}) as viewer:
            await viewer.subscribe("of/ann")
            await viewer.send("SUBSCRIBE", {"stream": "of/bob"})
            assert await viewer.expect("SUBSCRIPTION_ACK") == {"stream": "of/bob", "status": "denied", "code": 0x203}
            assert asked == [("ann", "subscribe", "of/ann"), ("ann", "subscribe", "of/bob")]

    serving(conversation, authenticate=authenticate, authorize=authorize)


@pytest.mark.parametrize("answer", [None, False])
def test_a_peer_that_is_not_authenticated_gets_nothing(answer):
    async def authenticate(request):
        return answer

    async def conversation(handler, port):
        import websockets

        async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as stranger:
            await handler.broadcast(MessageType.ANOMALY_ALERT, ALERT)
            error = oracle.decode_frame(await stranger.recv())
            assert (error.type, error.data["code"]) == (TYPES["ERROR"], 0x202)
            assert handler.connections() == []
            await stranger.wait_closed()
            assert stranger.close_code == 1008

    serving(conversation, authenticate=authenticate)


def test_a_hook_that_takes_too_long_refuses():
    cancelled = []

    async def forever(*args):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(args)
            raise

    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.send("SUBSCRIBE", {"stream": STREAM})
            assert await viewer.expect("SUBSCRIPTION_ACK") == {"stream": STREAM, "status": "denied"}
            await viewer.send("ECG_DATA", ECG | {"stream": STREAM})
            error = await viewer.expect("ERROR")
            assert error == {"code": 0x200, "message": "the message could not be handled in time"}
            assert len(cancelled) == 2
            await viewer.flush()

    serving(conversation, authorize=forever, limits=Limits(hook_seconds=0.05))

    async def no_one_gets_in(handler, port):
        import websockets

        async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as stranger:
            assert oracle.decode_frame(await stranger.recv()).data["code"] == 0x202

    serving(no_one_gets_in, authenticate=forever, limits=Limits(hook_seconds=0.05))


def test_failing_hooks_are_answered_and_logged_without_their_text(caplog):
    secret = "patient 4711"

    async def fail(*args):
        raise KeyError(secret)

    async def conversation(handler, port):
        async with client(port) as unlucky, client(port) as other:
            await unlucky.send("SUBSCRIBE", {"stream": STREAM})
            assert await unlucky.expect("SUBSCRIPTION_ACK") == {"stream": STREAM, "status": "denied", "code": 0x203}
            await unlucky.send("ECG_DATA", ECG, flags=oracle.ACK_REQUIRED, timestamp=5)
            assert await unlucky.expect("ERROR") == {"code": 0x200, "message": "the message could not be handled"}
            assert await unlucky.expect("PONG") == {"ack": 5, "type": TYPES["ECG_DATA"]}
            await unlucky.flush()
            await other.flush()

    with caplog.at_level(logging.INFO, "ecgframe.server"):
        serving(conversation, authorize=fail, on_message=fail)
    failures = [record for record in caplog.records if "failed" in record.getMessage()]
    assert {(record.error, record.levelname) for record in failures} == {("KeyError", "ERROR")}
    assert all("test_handler.py" in record.getMessage() for record in failures)
    assert secret not in caplog.text


def test_a_hook_can_raise_an_error_of_the_protocol():
    async def complain(connection, message):
        raise (PermissionDenied("not on Sundays") if message.data["sequence"] else RateLimitExceeded("too often"))

    async def conversation(handler, port):
        async with client(port) as peer:
            for sequence, expected in enumerate([(0x204, "too often"), (0x203, "not on Sundays")]):
                await peer.send("ECG_DATA", ECG | {"sequence": sequence})
                error = await peer.expect("ERROR")
                assert (error["code"], error["message"]) == expected

    serving(conversation, on_message=complain)


def test_slow_hooks_keep_the_order_and_do_not_block_others():
    gate, order = asyncio.Event(), []

    async def slowly(connection, message):
        await gate.wait()
        order.append(message.data["sequence"])

    async def conversation(handler, port):
        async with client(port) as slow, client(port) as other:
            for sequence in range(20):
                await slow.send("ECG_DATA", ECG | {"sequence": sequence})
            await slow.flush()  # PINGs are answered while messages wait
            await other.subscribe(STREAM)
            assert order == []
            gate.set()
            await until(lambda: len(order) == 20)
            assert order == list(range(20))

    serving(conversation, on_message=slowly)


def test_messages_received_before_the_end_are_handled():
    gate, handled = asyncio.Event(), []

    async def slowly(connection, message):
        await gate.wait()
        handled.append(message.data["sequence"])

    async def conversation(handler, port):
        async with client(port) as peer:
            for sequence in range(10):
                await peer.send("ECG_DATA", ECG | {"sequence": sequence})
            await peer.flush()
        gate.set()
        await until(lambda: not handler.connections())
        await until(lambda: handled == list(range(10)))

    serving(conversation, on_message=slowly)


# --- limits ---


def test_an_id_in_use_is_refused():
    async def conversation(handler, port):
        import websockets

        async with client(port) as first, websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as second:
            await second.wait_closed()
            assert (second.close_code, second.close_reason) == (1008, "another connection has this id")
            await first.flush()
            assert handler.stats()["connections"]["refused"] == 1

    serving(conversation, connection_id="bed-7")


def test_streams_of_a_connection_are_limited():
    async def conversation(handler, port):
        async with client(port) as viewer:
            for number in range(3):
                await viewer.subscribe(f"ecg/{number}")
            await viewer.send("SUBSCRIBE", {"stream": "ecg/3"})
            assert await viewer.expect("SUBSCRIPTION_ACK") == {"stream": "ecg/3", "status": "denied", "code": 0x204}
            await viewer.subscribe("ecg/1")  # subscribing to the same stream again does not count
            await viewer.send("UNSUBSCRIBE", {"stream": "ecg/0"})
            await viewer.expect("SUBSCRIPTION_ACK")
            await viewer.subscribe("ecg/3")

    serving(conversation, limits=Limits(streams_per_connection=3))


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_names_of_streams_are_limited(name):
    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.send("SUBSCRIBE", {"stream": name})
            answer = await viewer.expect("SUBSCRIPTION_ACK")
            assert answer == {"stream": name[:256], "status": "denied", "code": 0x200}
            await viewer.subscribe("x" * 256)
            assert list(handler.stats()["streams"]) == ["x" * 256]

    serving(conversation)


def test_streams_that_clients_invent_are_forgotten():
    async def conversation(handler, port):
        async with client(port) as viewer:
            for number in range(300):
                await viewer.subscribe(f"made up {number}")
                await viewer.send("UNSUBSCRIBE", {"stream": f"made up {number}"})
                await viewer.expect("SUBSCRIPTION_ACK")
            assert handler.stats()["streams"] == {}
            await viewer.subscribe(STREAM)
        await until(lambda: handler.stats()["streams"] == {})

    serving(conversation, settings=UNHURRIED)


@pytest.mark.slow
def test_all_streams_together_are_limited():
    async def conversation(handler, port):
        for number in range(4):
            await handler.publish(f"ecg/{number}", MessageType.ECG_DATA, ECG)
        with pytest.raises(TooManyStreams):
            await handler.publish("ecg/4", MessageType.ECG_DATA, ECG)
        async with client(port) as peer:
            await peer.send("SUBSCRIBE", {"stream": "ecg/4"})
            assert (await peer.expect("SUBSCRIPTION_ACK"))["code"] == 0x204
            await peer.send("ECG_DATA", ECG | {"stream": "ecg/4"})
            assert (await peer.expect("ERROR"))["code"] == 0x204
        # A stream with an empty ring and without viewers is forgotten to make room.
        await until(lambda: "ecg/0" not in handler.stats()["streams"])
        await handler.publish("ecg/4", MessageType.ECG_DATA, ECG)

    serving(conversation, authorize=allow, limits=Limits(streams=4, ring_seconds=1))


def test_a_stream_is_forgotten_once_its_ring_has_run_out():
    async def conversation(handler, port):
        await handler.publish(STREAM, MessageType.ECG_DATA, ECG)
        assert handler.stats()["streams"][STREAM]["frames"] == 1
        await until(lambda: handler.stats()["streams"] == {})

    serving(conversation, limits=Limits(ring_seconds=0.1))


@pytest.mark.parametrize("name", ["connections", "hook_seconds", "ring_bytes"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_limits_are_positive_numbers(name, value):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


# --- closing ---


def test_closing_sends_urgent_messages_and_a_close_frame():
    async def conversation(handler, port):
        async with client(port) as viewer:
            await viewer.subscribe(STREAM)
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, ALERT)
            await handler.close(reason="maintenance")
            assert (await viewer.expect("ANOMALY_ALERT"))["kind"] == "asystole"
            assert await viewer.closed() == (1001, "maintenance")

    serving(conversation)


def test_a_peer_without_a_close_frame_is_dropped():
    async def conversation(handler, port):
        async with client(port) as deaf, client(port) as hears:
            deaf.connection.transport.pause_reading()
            began = asyncio.get_running_loop().time()
            await handler.close()
            assert asyncio.get_running_loop().time() - began < 5
            assert await hears.closed() == (1001, "the server goes away")
            deaf.connection.transport.abort()

    serving(conversation, limits=Limits(close_seconds=0.2))


def test_a_hook_that_never_returns_does_not_delay_closing():
    async def forever(connection, message):
        await asyncio.Event().wait()

    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.send("ECG_DATA", ECG)
            await peer.flush()
            began = asyncio.get_running_loop().time()
            await handler.close()
            assert asyncio.get_running_loop().time() - began < 5
            assert (await peer.closed())[0] == 1001

    serving(conversation, on_message=forever, limits=Limits(close_seconds=0.2, hook_seconds=60))


def test_a_closed_handler_refuses_connections_and_messages():
    async def conversation(handler, port):
        import websockets

        await handler.close()
        await handler.close()
        with pytest.raises(RuntimeError, match="closed"):
            await handler.publish(STREAM, MessageType.ECG_DATA, ECG)
        async with websockets.connect(f"ws://127.0.0.1:{port}", compression=None) as late:
            await late.wait_closed()
            assert late.close_code == 1013

    serving(conversation)


def test_a_handler_opens_itself_when_it_is_first_used():
    async def use():
        handler = WebSocketBinaryHandler()
        await handler.publish(STREAM, MessageType.ECG_DATA, ECG)
        assert handler.stats()["streams"][STREAM]["frames"] == 1
        await handler.close()
        await nothing_is_left(handler)

    run(use())


# --- numbers and logs ---


def test_stats_count_messages():
    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.subscribe(STREAM)
            signal = np.zeros(1000)
            for _ in range(3):
                await handler.publish(STREAM, MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 250})
                await peer.expect("ECG_DATA")
            await peer.send("ECG_DATA", ECG)
            await peer.flush()
            damaged = bytearray(oracle.encode_frame(TYPES["ECG_DATA"], ECG, 3))
            damaged[-1] ^= 1
            await peer.connection.send(bytes(damaged))
            assert (await peer.expect("ERROR"))["code"] == 0x101
            await peer.send("ERROR", {"code": 0x101, "message": "you too"})
            await peer.flush()
            stats = handler.stats()
            assert stats["messages"]["sent"]["ECG_DATA"] == 3
            assert stats["messages"]["received"]["ECG_DATA"] == 1
            assert stats["messages"]["received"]["SUBSCRIBE"] == 1
            assert stats["errors"] == {"sent": {"0x101": 1}, "received": {"0x101": 1}}
            assert stats["connections"]["by_version"] == {"3": 1}
            assert stats["compression"]["sent"]["frames"] == 3
            assert stats["compression"]["sent"]["before"] > 3 * signal.nbytes
            assert stats["compression"]["sent"]["after"] < signal.nbytes
            assert stats["sizes"]["sent"]["count"] == 3
            assert stats["sizes"]["received"]["count"] == stats["messages"]["received"]["PING"] + 5
            assert stats["latency"]["receive"]["count"] == 1
            assert stats["latency"]["publish"]["count"] == 3
            assert stats["streams"][STREAM]["frames"] == 3
            assert stats["streams"][STREAM]["viewers"] == 1
            assert stats["backplane"] == {"published_total": 3}
            total = stats["messages"]["sent"]
        await until(lambda: handler.stats()["connections"]["open"] == 0)
        stats = handler.stats()
        assert stats["messages"]["sent"] == total  # closed connections count as well
        assert stats["connections"]["closed"] == {"1000": 1}
        assert stats["connections"]["accepted"] == 1

    async def take(connection, message):
        pass

    serving(conversation, on_message=take)


def test_the_log_describes_connections_but_quotes_no_payload(caplog):
    secret = "patient 4711"

    async def slowly(connection, message):
        await asyncio.sleep(0.02)

    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.subscribe(STREAM)
            await peer.send("ECG_DATA", {"note": secret})
            await handler.publish(STREAM, MessageType.ECG_DATA, {"note": secret})
            await peer.expect("ECG_DATA")
            await peer.send("SUBSCRIBE", {"name": secret})
            assert (await peer.expect("ERROR"))["code"] == 0x201
            await peer.flush()
        await until(lambda: not handler.connections())

    with caplog.at_level(logging.DEBUG, "ecgframe.server"):
        serving(conversation, on_message=slowly, connection_id="bed-7", limits=Limits(slow_message_seconds=0.01))
    told = [record.getMessage().split("127.0.0.1")[0].strip() for record in caplog.records]
    assert told[0] == "connection bed-7 from"
    assert "connection bed-7 uses V3 (negotiated)" in told
    assert any(record.getMessage().endswith("closed: 1000") for record in caplog.records)
    [slow] = [record for record in caplog.records if hasattr(record, "seconds")]
    assert (slow.levelname, slow.connection, slow.type) == ("WARNING", "bed-7", "ECG_DATA")
    [refused] = [record for record in caplog.records if getattr(record, "check", None) is not None]
    assert (refused.code, refused.check, refused.connection) == (0x201, 12, "bed-7")
    assert all(record.connection == "bed-7" and record.peer.startswith("127.0.0.1:") for record in caplog.records)
    assert secret not in caplog.text


def test_connection_info_has_the_current_values():
    async def conversation(handler, port):
        async with client(port) as peer:
            await peer.subscribe(STREAM)
            [info] = handler.connections()
            assert (info.version, info.negotiated, info.streams) == (3, True, (STREAM,))
            assert ecgframe.protocol.Capability.NDARRAY_BIN not in info.capabilities
            assert (info.queued_frames, info.queued_bytes, info.dropped) == (0, 0, 0)
            assert info.request.path == "/ws"
            assert repr(info).startswith(f"ConnectionInfo(id='{info.id}', peer='127.0.0.1:")

    serving(conversation)
