# ruff: noqa: SIM117 - long lists of contexts are harder to read
"""The history of sealed streams: sealed by the server, and end to end by their publisher, over real connections."""

import asyncio
import time

import numpy as np
import pytest
from cases import each_case
from client.cutting_proxy import cutting_proxy
from running import run
from server.test_sealed_end_to_end import relaying_handler
from server.test_sealed_streams import KEY, STREAM, Rotating, client, sealing_handler, serving, take, until

from ecgframe import AuthenticationFailed, Flag, MessageType, PermissionDenied
from ecgframe.protocol import Capability, Form
from ecgframe.server import Limits
from ecgframe.server.key_rounds import KeyRounds

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys

DATA, ALERT = MessageType.ECG_DATA, MessageType.ANOMALY_ALERT
NEXT = Key(10, STREAM, bytes(range(40, 72)), begins=1.0)
LONG = Limits(ring_seconds=600)
BOTH_WAYS = pytest.mark.parametrize("is_end_to_end", [False, True], ids=["by the server", "end to end"])


def ecg(n):
    return {"signal": np.full((2, 12), n, "int16"), "sampling_rate": 500, "timestamp": time.time()}


def alert(kind):
    return {"kind": kind, "timestamp": time.time()}


def values(messages):
    return [int(one.data["signal"][0, 0]) for one in messages if one.type is DATA]


class Course:
    """A sealed stream, published in one of both ways, and its viewers."""

    def __init__(self, is_end_to_end, **options):
        self.is_end_to_end = is_end_to_end
        self.keyring = StoredKeys([KEY])
        if is_end_to_end:
            self.handler = relaying_handler(limits=LONG, **options)
        else:
            self.handler = sealing_handler(keyring=self.keyring, limits=LONG, **options)

    async def __aenter__(self):
        self.serving = serving(self.handler)
        self.url = await self.serving.__aenter__()
        self.source = client(self.url, keys=self.keyring)
        if self.is_end_to_end:
            await self.source.__aenter__()
            self.publisher = self.source.publisher(STREAM)
        return self

    async def __aexit__(self, *error):
        if self.is_end_to_end:
            await self.source.__aexit__(*error)
        await self.serving.__aexit__(*error)

    def viewer(self, url=None, **options):
        """A client with the keys, its own ones or those of the server."""
        own = {"keys": self.keyring} if self.is_end_to_end else {}
        options = {**own, "reconnect_delays": lambda: iter([0.01] * 99), **options}
        return client(self.url if url is None else url, **options)

    async def publish(self, first, last, type=DATA, make=ecg):
        for n in range(first, last):
            if self.is_end_to_end:
                await self.publisher.send(type, make(n))
            else:
                await self.handler.publish(STREAM, type, make(n))
        if self.is_end_to_end:
            await self.publisher.flush()

    async def rotate(self):
        """Another key from now on; what is kept end to end stays sealed with the first one."""
        self.keyring.add(NEXT)
        if not self.is_end_to_end:
            await KeyRounds(self.handler._seals, self.handler._rights, self.handler._connections).make_round()


async def all_of(history):
    async with asyncio.timeout(8):
        return [message async for message in history]


@BOTH_WAYS
def test_a_history_beside_a_subscription(is_end_to_end):
    async def main():
        async with Course(is_end_to_end) as course, course.viewer() as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                await course.publish(0, 100)
                await course.publish(0, 1, ALERT, lambda n: alert("pause"))
                live = await take(subscription, 101)
                history = viewer.history(STREAM, live[10].timestamp)
                found = await all_of(history)
                assert values(found) == list(range(10, 100))
                assert [one.data["kind"] for one in found if one.type is ALERT] == ["pause"]
                assert all(one.flags & Flag.ENCRYPTED for one in found)
                assert all(one.form & Form.BULK for one in found if one.type is DATA)
                assert not any(one.stale for one in found)
                assert (history.lost, history.unopened, history.is_complete) == (0, 0, True)
                assert values(await all_of(viewer.history(STREAM, 0))) == list(range(100))  # and once more
                await course.publish(100, 105)
                assert values(await take(subscription, 5)) == list(range(100, 105))
                assert subscription.stats()["gaps"] == 0
                assert viewer.stats()["sealed"].keys() == {"opened"}
                assert viewer.stats()["refused"] == {}
            assert course.handler.stats()["histories"] == 2

    run(main())


@BOTH_WAYS
def test_a_key_rotation_in_between(is_end_to_end):
    async def main():
        async with Course(is_end_to_end) as course, course.viewer() as viewer:
            async with viewer.subscribe(STREAM, sealed=True) as subscription:
                await course.publish(0, 50)
                await course.rotate()
                await course.publish(50, 100)
                await take(subscription, 100)
                history = viewer.history(STREAM, 0)
                assert values(await all_of(history)) == list(range(100))
                assert history.lost == 0
            async with course.viewer() as late:  # that never subscribes, nor had the first key of a server
                history = late.history(STREAM, 0)
                assert values(await all_of(history)) == list(range(100))
                assert (history.lost, late.stats()["sealed"].keys()) == (0, {"opened"})

    run(main())


def test_the_next_key_is_handed_out_to_who_only_gets_a_history():
    async def main():
        keyring = Rotating([Key(9, STREAM, bytes(range(32)), ends=1100.0)])
        handler = sealing_handler(keyring=keyring, limits=LONG)
        handler._seals._clock = lambda: keyring.time
        async with serving(handler) as url, client(url) as viewer:
            for n in range(1500):
                await handler.publish(STREAM, DATA, ecg(n))
            history = viewer.history(STREAM, 0, capacity=10_000)
            first = await anext(history)
            keyring.add(Key(10, STREAM, bytes(32), begins=1050.0))
            await KeyRounds(handler._seals, handler._rights, handler._connections).make_round()
            keyring.time = 1051.0
            assert values([first, *await all_of(history)]) == list(range(1500))
            assert viewer.stats()["sealed"].keys() == {"opened"}
            assert handler.stats()["sealing"]["keys_handed_out"] == 3  # with the answer one, in the round two

    run(main())


@BOTH_WAYS
@pytest.mark.slow
def test_a_history_goes_on_over_the_next_connection_and_alerts_come_once(is_end_to_end):
    async def main():
        async with Course(is_end_to_end) as course:
            await course.publish(0, 700)
            await course.publish(0, 1, ALERT, lambda n: alert("pause"))
            await course.publish(700, 1500)
            async with cutting_proxy(int(course.url.rpartition(":")[2].strip("/"))) as proxy:
                proxy.rate = 50_000
                async with course.viewer(proxy.url) as viewer:
                    history = viewer.history(STREAM, 0)
                    found = [await anext(history) for _ in range(50)]
                    while not any(one.type is ALERT for one in found):
                        found.append(await anext(history))
                    await course.rotate()
                    proxy.cut()
                    found += await all_of(history)
                    assert values(found) == list(range(1500))
                    assert sum(one.type is ALERT for one in found) == 1
                    assert history.lost == 0
                    assert viewer.stats()["connections"] >= 2
                    assert viewer.stats()["refused"] == {}

    run(main(), 60)


@BOTH_WAYS
@pytest.mark.slow
def test_what_the_application_does_not_take_comes_later(is_end_to_end):
    async def main():
        async with Course(is_end_to_end) as course, course.viewer() as viewer:
            await course.publish(0, 1500)
            history = viewer.history(STREAM, 0, capacity=40)
            await until(lambda: viewer.stats()["histories"] == {"open": 0, "paused": 1})
            assert values(await all_of(history)) == list(range(1500))
            assert history.lost == 0
            assert history.pauses > 1

    run(main(), 60)


@BOTH_WAYS
@pytest.mark.slow
def test_what_overfills_the_queue_is_let_go_and_comes_again(is_end_to_end, monkeypatch):
    monkeypatch.setattr("ecgframe.client.message_queue.OVERDRAFT_MESSAGES", 20)

    async def main():
        async with Course(is_end_to_end) as course, course.viewer() as viewer:
            await course.publish(0, 1500)
            history = viewer.history(STREAM, 0, capacity=10)
            await until(lambda: viewer.stats()["histories"] == {"open": 0, "paused": 1})
            assert 30 <= history.waiting < 200
            assert values(await all_of(history)) == list(range(1500))
            assert history.lost == 0

    run(main(), 60)


# --- who gets none, and what is told ---


@BOTH_WAYS
def test_permission_is_that_of_a_subscription(is_end_to_end):
    async def may(info, action, stream):
        return action == "publish"

    async def main():
        async with Course(is_end_to_end, authorize=may) as course, course.viewer() as viewer:
            await course.publish(0, 5)
            with pytest.raises(PermissionDenied):
                await anext(viewer.history(STREAM, 0))
            assert course.handler.stats().get("sealing", {}).get("keys_handed_out", 0) == 0

    run(main())


@each_case(
    ("is_end_to_end", "wanted", "why"),
    [
        (False, [Capability.TEMPLATES], "without the capability 'encryption'"),
        (False, [Capability.ENCRYPTION, Capability.DELTA], "'templates' or 'ndarray-bin'"),
        (True, [Capability.TEMPLATES], "sealed by its publisher, and this server has no key of it"),
    ],
    ids=["no cipher", "no constant sizes", "no cipher, end to end"],
)
def test_viewers_that_cannot_are_denied_and_told_why(is_end_to_end, wanted, why):
    async def main():
        async with Course(is_end_to_end) as course, client(course.url, capabilities=wanted) as viewer:
            await course.publish(0, 5)
            with pytest.raises(AuthenticationFailed, match=why):
                await anext(viewer.history(STREAM, 0))

    run(main())


def test_keys_are_handed_out_over_tls_only():
    async def main():
        handler = sealing_handler(without_tls=False)
        async with serving(handler) as url, client(url) as viewer:
            await handler.publish(STREAM, DATA, ecg(0))
            with pytest.raises(AuthenticationFailed, match="handed out over TLS only"):
                await anext(viewer.history(STREAM, 0))
        async with serving(handler := sealing_handler(without_tls=False)) as url:
            async with client(url, keys=StoredKeys([KEY])) as viewer:  # with keys of its own
                await handler.publish(STREAM, DATA, ecg(0))
                assert values(await all_of(viewer.history(STREAM, 0))) == [0]
                assert handler.stats()["sealing"]["keys_handed_out"] == 0

    run(main())


def test_a_client_with_keys_takes_the_history_only_sealed():
    async def main():
        handler = sealing_handler(keys=[Key(3, "another", bytes(32))])
        async with serving(handler) as url:
            await handler.publish(STREAM, DATA, ecg(0))
            wanted = [Capability.TEMPLATES]
            async with client(url, capabilities=wanted, keys=StoredKeys([KEY])) as viewer:
                with pytest.raises(AuthenticationFailed, match="is to be sealed, but this client cannot open"):
                    await anext(viewer.history(STREAM, 0))
            async with client(url, keys=StoredKeys([KEY])) as viewer:
                history = viewer.history(STREAM, 0)
                assert await all_of(history) == []
                assert history.lost == 1
                assert viewer.stats()["refused"] == {0x202: 1}

    run(main())


def test_messages_whose_key_is_not_known_are_told():
    async def main():
        async with Course(is_end_to_end=True) as course:
            await course.publish(0, 30)
            await course.rotate()
            await course.publish(30, 70)
            async with client(course.url, keys=StoredKeys([NEXT])) as viewer:
                async with viewer.subscribe(STREAM, sealed=True) as subscription:
                    history = viewer.history(STREAM, 0)
                    assert values(await all_of(history)) == list(range(30, 70))
                    assert history.lost == history.unopened == 31  # and their template
                    await course.publish(70, 75)
                    assert values(await take(subscription, 5)) == list(range(70, 75))
                    assert viewer.stats()["refused"] == {}

    run(main())


def test_what_was_published_in_plain_before_is_not_sent_and_counts_as_lost():
    async def main():
        keyring = StoredKeys([])
        handler = sealing_handler(keyring=keyring, limits=LONG)
        async with serving(handler) as url, client(url) as viewer:
            for n in range(20):
                await handler.publish(STREAM, DATA, ecg(n))
            keyring.add(KEY)
            for n in range(20, 40):
                await handler.publish(STREAM, DATA, ecg(n))
            history = viewer.history(STREAM, 0)
            assert values(await all_of(history)) == list(range(20, 40))
            assert history.lost >= 20
            assert viewer.stats()["refused"] == {}

    run(main())


def test_a_stream_that_becomes_sealed_ends_the_histories_of_those_that_cannot():
    async def main():
        course = Course(is_end_to_end=True)
        async with course:
            handler = course.handler
            for n in range(6000):
                await handler.publish(STREAM, DATA, ecg(n))
            async with client(course.url, capabilities=[Capability.TEMPLATES]) as old:
                history = old.history(STREAM, 0, capacity=100_000)
                await anext(history)
                await course.publish(0, 5)
                assert len(await all_of(history)) < 5_999
                assert not any(one.flags & Flag.ENCRYPTED for one in await all_of(history))

    run(main())


def test_policy_offered_gives_plain_histories_to_those_without_encryption():
    async def main():
        handler = sealing_handler(policy="offered")
        async with serving(handler) as url, client(url, capabilities=[Capability.TEMPLATES]) as old:
            for n in range(5):
                await handler.publish(STREAM, DATA, ecg(n))
            found = await all_of(old.history(STREAM, 0))
            assert values(found) == list(range(5))
            assert not any(one.flags & Flag.ENCRYPTED for one in found)

    run(main())
