# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""Streams that a server seals: who gets them and their keys, over real connections."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from hashlib import sha256

import numpy as np
import pytest
from cases import each_case
from certificates import client_context, server_context
from running import run
from server.memory_link import MemoryLink

import ecgframe
from ecgframe import AuthenticationFailed, Codec, InvalidDataFormat, MessageType, PermissionDenied
from ecgframe.protocol import Capability, Form
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.key_rounds import KeyRounds
from ecgframe.server.sealing import Sealing
from ecgframe.session import Settings
from ecgframe.session.settings import EVERYTHING, OF_VERSION_4

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys

STREAM = "ecg/1"
KEY = Key(9, STREAM, bytes(range(1, 33)))
DATA, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT
BOTH = pytest.mark.parametrize("versions", [(1, 2, 3), (1, 2, 3, 4)], ids=["v3", "v4"])
V4 = (1, 2, 3, 4)


def sealing_handler(
    keys=(KEY,), *, versions=V4, keyring=None, without_tls=True, policy="required", compress=False, **options
):
    return WebSocketBinaryHandler(
        settings=Settings(versions=versions, keys_without_tls=without_tls),
        sealing=Sealing(keyring=StoredKeys(keys) if keyring is None else keyring, policy=policy, compress=compress),
        **options,
    )


@asynccontextmanager
async def serving(handler, ssl=None):
    """Serve a handler; gives the URL."""
    async with handler, serve(handler, "127.0.0.1", 0, ssl=ssl) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'ws' if ssl is None else 'wss'}://127.0.0.1:{port}/"


def ecg(n=0, **fields):
    signal = np.arange(24, dtype="int16").reshape(2, 12) + n
    return {"signal": signal, "sampling_rate": 500, "timestamp": time.time(), **fields}


async def take(subscription, count=1):
    async with asyncio.timeout(10):
        return [await anext(subscription) for _ in range(count)]


def client(url, versions=V4, capabilities=None, **options):
    supported = EVERYTHING | (OF_VERSION_4 if 4 in versions else frozenset())
    wanted = supported if capabilities is None else frozenset(capabilities)
    return ecgframe.connect(url, settings=Settings(versions=versions, capabilities=wanted), **options)


@BOTH
def test_viewers_get_keys_and_open_what_the_server_seals(versions):
    async def main():
        handler = sealing_handler(versions=versions)
        async with serving(handler) as url, client(url, versions) as viewer, client(url, versions) as other:
            async with viewer.subscribe(STREAM, sealed=True) as one, other.subscribe(STREAM) as two:
                for n in range(3):
                    await handler.publish(STREAM, DATA, ecg(n))
                await handler.publish(STREAM, ALERT, {"kind": "asystole", "timestamp": time.time()})
                for subscription in (one, two):
                    messages = await take(subscription, 4)
                    alert = next(message for message in messages if message.type is ALERT)
                    assert alert.data["kind"] == "asystole"
                    signals = [message.data["signal"] for message in messages if message.type is DATA]
                    assert [int(signal[0, 0]) for signal in signals] == [0, 1, 2]
                    assert all(message.flags & ecgframe.Flag.ENCRYPTED for message in messages)
            assert handler.stats()["sealing"]["keys_handed_out"] == 2
            sealed = 4 if versions[-1] == 3 else 5  # with a template
            assert viewer.stats()["sealed"] == {"opened": sealed}
            assert handler.stats()["sealing"]["sealed"] == sealed  # once for both viewers

    run(main())


@BOTH
def test_a_viewer_resumes_and_misses_nothing(versions):
    async def main():
        handler = sealing_handler(versions=versions)
        async with serving(handler) as url, client(url, versions, reconnect_delays=lambda: iter([0.01] * 99)) as viewer:
            gaps = []
            async with viewer.subscribe(STREAM, sealed=True, on_gap=gaps.append) as subscription:
                await handler.publish(STREAM, DATA, ecg(0))
                await take(subscription)
                viewer._reconnecting.connection._websocket.transport.abort()
                for n in range(1, 6):
                    await handler.publish(STREAM, DATA, ecg(n))
                messages = await take(subscription, 5)
                assert [int(one.data["signal"][0, 0]) for one in messages] == [1, 2, 3, 4, 5]
                assert gaps == []
                assert viewer.stats()["refused"] == {}

    run(main())


# --- who is denied ---


@each_case(
    ("versions", "capabilities", "why"),
    [
        ((1,), None, "version 1 without the capability 'encryption'"),
        ((2,), None, "version 2 without the capability 'encryption'"),
        ((3,), ["ack", "ndarray-bin"], "version 3 without the capability 'encryption'"),
        ((3,), ["ack", "encryption"], "'templates' or 'ndarray-bin'"),
        ((1, 2, 3, 4), ["encryption", "delta"], "'templates' or 'ndarray-bin'"),
    ],
    ids=["v1", "v2", "v3 without encryption", "v3 without binary", "v4 without templates"],
)
def test_viewers_that_cannot_are_denied_and_told_why(versions, capabilities, why):
    async def main():
        async with serving(sealing_handler()) as url:
            wanted = None if capabilities is None else [Capability(name) for name in capabilities]
            if capabilities is None:
                wanted = EVERYTHING - {Capability.ENCRYPTION, Capability.ACK}
            async with client(url, versions, wanted) as viewer:
                with pytest.raises(AuthenticationFailed, match=why):
                    async with viewer.subscribe(STREAM):
                        pass

    run(main())


def test_lists_may_be_sent_if_sizes_may_vary():
    async def main():
        handler = sealing_handler(compress=True)
        async with serving(handler) as url, client(url, (3,), [Capability.ENCRYPTION]) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                [message] = await take(subscription)
                assert message.data["signal"][0][:3].tolist() == [0, 1, 2]

    run(main())


def test_keys_are_handed_out_over_tls_of_the_server_only():
    """Ruling 2: the address of a peer proves nothing."""

    async def main():
        async with serving(sealing_handler(without_tls=False)) as url, client(url) as viewer:
            with pytest.raises(AuthenticationFailed, match="over TLS only"):
                async with viewer.subscribe(STREAM):
                    pass
        handler = sealing_handler(without_tls=False)
        async with serving(handler, server_context()) as url, client(url, ssl=client_context()) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                await take(subscription)

    run(main())


def test_a_viewer_with_keys_of_its_own_needs_no_tls_and_gets_none():
    async def main():
        handler = sealing_handler(without_tls=False)
        async with serving(handler) as url, client(url, keys=StoredKeys([KEY])) as viewer:
            async with viewer.subscribe(STREAM) as subscription:
                await handler.publish(STREAM, DATA, ecg())
                await take(subscription)
            assert handler.stats()["sealing"]["keys_handed_out"] == 0

    run(main())


def test_an_offered_stream_is_plain_for_those_without_encryption_and_only_for_them():
    async def main():
        handler = sealing_handler(policy=lambda stream: "offered" if stream == STREAM else "required")
        async with serving(handler) as url:
            async with client(url, (1,), []) as old, client(url, (3,), [Capability.NDARRAY_BIN]) as plain:
                async with client(url) as able:
                    subscriptions = [one.subscribe(STREAM) for one in (old, plain, able)]
                    for subscription in subscriptions:
                        await subscription.__aenter__()
                    await handler.publish(STREAM, DATA, ecg())
                    sealed = [bool((await take(one))[0].flags & ecgframe.Flag.ENCRYPTED) for one in subscriptions]
                    assert sealed == [False, False, True]

    run(main())


def test_a_viewer_that_insists_fails_where_the_server_does_not_seal():
    async def main():
        async with serving(WebSocketBinaryHandler()) as url, client(url) as viewer:
            with pytest.raises(AuthenticationFailed, match="does not offer"):
                async with viewer.subscribe(STREAM, sealed=True):
                    pass
            with pytest.raises(AuthenticationFailed, match="does not offer"):
                async with client(url, keys=StoredKeys([KEY])) as other, other.subscribe(STREAM):
                    pass
            async with viewer.subscribe(STREAM):
                pass

    run(main())


# --- what may be published ---


def test_a_sealed_stream_refuses_what_it_cannot_seal():
    async def main():
        handler = sealing_handler([KEY, Key(1, "over", bytes(32), ends=1.0)])
        async with handler:
            for data in ({"kind": "x"}, {"kind": "x", "timestamp": None}, 5):
                with pytest.raises(ValueError, match="timestamp"):
                    await handler.publish(STREAM, ALERT, data)
            with pytest.raises(ValueError, match="another stream"):
                await handler.publish(STREAM, ALERT, {"kind": "x", "timestamp": 1.0, "stream": "ecg/2"})
            with pytest.raises(ValueError, match="valid now"):
                await handler.publish("over", ALERT, {"kind": "x", "timestamp": 1.0})
            await handler.publish("ecg/2", ALERT, {"kind": "x"})  # not sealed

    run(main())


def test_a_client_that_publishes_without_a_time_is_told():
    async def main():
        async def authorize(*_):
            return True

        errors = []
        async with (
            serving(sealing_handler(authorize=authorize)) as url,
            client(url, on_error=errors.append) as publisher,
        ):
            await publisher.send_message(ALERT, {"kind": "x", "stream": STREAM})
            async with asyncio.timeout(10):
                while not errors:
                    await asyncio.sleep(0.01)
        assert isinstance(errors[0], InvalidDataFormat)
        assert "timestamp" in str(errors[0])

    run(main())


def test_messages_that_clients_publish_are_sealed_for_viewers():
    async def main():
        async def authorize(*_):
            return True

        async with (
            serving(sealing_handler(authorize=authorize)) as url,
            client(url) as publisher,
            client(url) as viewer,
            viewer.subscribe(STREAM, sealed=True) as subscription,
        ):
            async with publisher.publisher(STREAM) as own:
                for n in range(3):
                    await own.send(DATA, ecg(n))
            messages = await take(subscription, 3)
            assert [int(one.data["signal"][0, 0]) for one in messages] == [0, 1, 2]
            assert all(int(one.form) == 4 for one in messages)

    run(main())


# --- sizes ---


@BOTH
def test_sizes_do_not_depend_on_the_samples(versions):
    async def main():
        handler = sealing_handler(versions=versions)
        capabilities = [*EVERYTHING, Capability.ENCRYPTION, *(OF_VERSION_4 if 4 in versions else ())]
        async with handler:
            link = MemoryLink()
            task = asyncio.create_task(handler.handle(link))
            link.say(
                MessageType.PROTOCOL_NEGOTIATION,
                {"version": versions[-1], "capabilities": [str(one) for one in capabilities]},
                version=1,
            )
            link.say(MessageType.SUBSCRIBE, {"stream": STREAM}, version=versions[-1])
            await until(lambda: any(message[1] == MessageType.SUBSCRIPTION_ACK for message in link.sent))
            rng = np.random.default_rng(5)
            signals = [np.zeros((12, 25), "int16"), rng.integers(-30000, 30000, (12, 25), "int16")]
            for signal in (*signals, *signals):
                await handler.publish(STREAM, DATA, ecg(signal=signal))
            lists = [[0] * 300, [1.5] * 300, list(range(300))]
            for signal in lists:
                await handler.publish(STREAM, DATA, ecg(signal=signal))
            codec = Codec(max_payload=1 << 24)
            frames = [one for message in link.sent for one in split_all(codec, message) if one[0] == DATA]
            assert len(frames) == 7
            assert len({size for _, size in frames[:4]}) == 1
            assert len({size for _, size in frames[4:]}) == 1
            link.abort()
            await task

    run(main())


def split_all(codec, message):
    """Type and size of each frame in a WebSocket message."""
    sizes = {1: 11, 2: 11, 3: 19, 4: 32}
    at = 0
    while at < len(message):
        size = sizes[message[at]] + int.from_bytes(message[at + 3 : at + 7], "big")
        yield message[at + 1], size
        at += size


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


# --- rotation ---


class Rotating(StoredKeys):
    """Keys by a clock that is moved by hand."""

    def __init__(self, keys):
        self.time = 1000.0
        super().__init__(keys, now=lambda: self.time)


@BOTH
def test_rotation_without_a_gap(versions):
    async def main():
        keyring = Rotating([Key(9, STREAM, bytes(range(32)), ends=1100.0)])
        handler = sealing_handler(keyring=keyring, versions=versions)
        handler._seals._clock = lambda: keyring.time
        async with serving(handler) as url, client(url, versions) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                rounds = KeyRounds(handler._seals, handler._rights, handler._connections)
                await handler.publish(STREAM, DATA, ecg(0))
                keyring.add(Key(10, STREAM, bytes(32), begins=1100.0))
                await rounds.make_round()
                assert handler.stats()["sealing"]["keys_handed_out"] == 1  # it begins in more than a minute
                keyring.time = 1050.0
                await rounds.make_round()
                assert handler.stats()["sealing"]["keys_handed_out"] == 3
                keyring.time = 1101.0
                await handler.publish(STREAM, DATA, ecg(1))
                await take(subscription, 2)
                assert subscription.stats()["gaps"] == 0
                assert viewer.stats()["sealed"].keys() == {"opened"}
                # What is kept is sealed anew: who comes now needs no ended key.
                async with client(url, versions) as late:
                    since = 1
                    async with late.subscribe(STREAM, since) as resumed:
                        messages = await take(resumed, 2)
                        assert [int(one.data["signal"][0, 0]) for one in messages] == [0, 1]
                        assert late.stats()["sealed"].keys() == {"opened"}

    run(main())


@pytest.mark.parametrize("hangs", [False, True])
def test_a_viewer_is_locked_out_by_a_rotation(hangs):
    """Ruling 8: ``authorize`` is asked before each hand-out, and "no" ends the subscription, as no answer does."""

    async def main():
        allowed = True

        async def authorize(connection, action, stream):
            if hangs and not allowed:
                await asyncio.Event().wait()
            return allowed

        keyring = Rotating([Key(9, STREAM, bytes(range(32)), ends=1100.0)])
        handler = sealing_handler(keyring=keyring, authorize=authorize, limits=Limits(hook_seconds=0.1))
        handler._seals._clock = lambda: keyring.time
        async with serving(handler) as url, client(url) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                allowed = False
                keyring.add(Key(10, STREAM, bytes(32), begins=1050.0))
                await KeyRounds(handler._seals, handler._rights, handler._connections).make_round()
                keyring.time = 1060.0
                await handler.publish(STREAM, DATA, ecg(1))
                with pytest.raises(PermissionDenied):
                    await take(subscription)
            assert handler.stats()["sealing"]["keys_handed_out"] == 1

    run(main())


def test_a_key_that_was_not_handed_out_is_asked_for_and_nothing_is_lost():
    async def main():
        keyring = StoredKeys([KEY])
        handler = sealing_handler(keyring=keyring)
        async with serving(handler) as url, client(url) as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                await handler.publish(STREAM, DATA, ecg(0))
                keyring.replace([Key(10, STREAM, bytes(32))])  # at once, before the next round
                for n in range(1, 4):
                    await handler.publish(STREAM, DATA, ecg(n))
                messages = await take(subscription, 4)
                assert [int(one.data["signal"][0, 0]) for one in messages] == [0, 1, 2, 3]
                assert subscription.stats()["gaps"] == 0

    run(main())


def test_a_stream_that_becomes_sealed_ends_the_subscriptions_of_those_that_cannot():
    async def main():
        keyring = StoredKeys([])
        handler = sealing_handler(keyring=keyring)
        async with serving(handler) as url, client(url, (3,), [Capability.NDARRAY_BIN]) as old, client(url) as viewer:
            async with old.subscribe(STREAM) as plain, viewer.subscribe(STREAM) as subscription:
                await handler.publish(STREAM, DATA, ecg(0))
                keyring.add(KEY)
                await KeyRounds(handler._seals, handler._rights, handler._connections).make_round()
                await handler.publish(STREAM, DATA, ecg(1))
                messages = await take(subscription, 2)
                assert [int(one.data["signal"][0, 0]) for one in messages] == [0, 1]
                assert int((await take(plain))[0].data["signal"][0][0]) == 0
                with pytest.raises(AuthenticationFailed):
                    await take(plain)

    run(main())


# --- keys stay where they belong ---


def parts_of(secret, size=4):
    """The parts of a secret of so many bytes, in each form in which a text could have them."""
    parts = [secret[at : at + size] for at in range(len(secret) - size + 1)]
    return {form for part in parts for form in (part.hex(), part.hex(" "), part.hex(":"), repr(part)[2:-1])}


@BOTH
def test_no_key_is_in_logs_reports_or_representations(versions, caplog):
    """Nor four bytes of it in a row; the library for WebSockets logs the first and the last bytes of each message."""
    caplog.set_level(logging.DEBUG)
    reported = []
    key = Key(9, STREAM, sha256(b"a key that is no sequence").digest())

    async def main():
        handler = sealing_handler([key], on_error=lambda *said: reported.append(repr(said)))
        async with serving(handler) as url:
            async with client(url, versions) as viewer, viewer.subscribe(STREAM, sealed=True) as subscription:
                await handler.publish(STREAM, DATA, ecg(0))
                await take(subscription)
                viewer_keys = viewer._reconnecting.connection.session._sealed._keys
                assert viewer_keys == {key.id: key}, "the viewer has got the key"
                [connection] = handler._connections.values()
                connection.hand_out(STREAM, [key])
                await handler.publish(STREAM, DATA, ecg(0))
                await take(subscription)
                everything = [handler._seals, handler._seals._sealing, viewer._reconnecting.connection.session._sealed]
                reported.extend(map(repr, everything))
                reported.append(repr(viewer.stats()) + repr(handler.stats()))
            async with client(url, (3,), [Capability.ACK]) as old:
                with pytest.raises(AuthenticationFailed) as caught:
                    async with old.subscribe(STREAM):
                        pass
                reported.append(repr(caught.value))

    run(main())
    text = caplog.text + "".join(reported)
    assert "BINARY" in text, "the library logs messages"
    assert not [part for part in parts_of(key.secret) if part in text]


def test_several_servers_are_refused_until_they_can():
    class Numbering:
        version = 4

    class Plain:
        """A backplane of servers that numbers nothing."""

    with pytest.raises(ValueError, match="in plain"):
        sealing_handler(backplane=Plain())
    with pytest.raises(ValueError, match=r"lacks .*seal_with"):
        sealing_handler(backplane=Numbering())


def test_the_limits_on_streams_are_told_first():
    async def main():
        handler = sealing_handler(limits=Limits(streams_per_connection=1))
        async with serving(handler) as url, client(url) as viewer, viewer.subscribe(STREAM):
            with pytest.raises(ecgframe.RateLimitExceeded):
                async with viewer.subscribe("ecg/2"):
                    pass

    run(main())


@pytest.mark.parametrize("compress", [False, True])
def test_a_sealed_stream_may_be_of_the_class_bulk(compress):
    async def main():
        handler = sealing_handler(compress=compress)
        async with serving(handler) as url, client(url) as viewer, viewer.subscribe(STREAM) as subscription:
            await handler.publish(STREAM, DATA, ecg(1), bulk=True)
            await handler.publish(STREAM, MessageType.FEATURE_DATA, {"pad": bytes(40_000), **ecg()}, bulk=True)
            messages = await take(subscription, 2)
            assert [bool(message.form & Form.BULK) for message in messages] == [True, True]
            assert np.array_equal(messages[0].data["signal"], ecg(1)["signal"])
            assert messages[1].data["pad"] == bytes(40_000)
            await handler.publish(STREAM, ALERT, {"kind": "asystole", "timestamp": time.time()}, bulk=True)
            [alert] = await take(subscription)
            assert (alert.type, alert.form & Form.BULK) == (ALERT, 0)

    run(main())
