"""Servers joined by several Redis: nodes of a cluster and masters of Sentinels are killed under load."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from client.servers import impatient, serving, url_of
from client.servers import until as soon
from recordings import optional
from running import run
from server.redis_groups import MASTER, command, redis_cluster, redis_sentinels

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings

redis = optional("redis.asyncio")

pytestmark = pytest.mark.slow

NAMES = [f"ecg/bed-{number}" for number in range(24)]
PAUSE = 0.05
V4 = Settings(versions=(1, 2, 3, 4))


async def until(condition, timeout=60):
    """Wait longer than other tests: many processes share the machine."""
    await soon(condition, timeout)


class Load:
    """Publishes numbered messages on all streams."""

    def __init__(self, handler):
        self.count = 0
        self.slowest = 0.0
        self._handler = handler
        self._task = asyncio.create_task(self._run())
        self._ends = False

    async def _run(self):
        while not self._ends:
            await asyncio.gather(*(self._publish(name) for name in NAMES))
            self.count += 1
            await asyncio.sleep(PAUSE)

    async def _publish(self, name):
        loop = asyncio.get_running_loop()
        asked = loop.time()
        data = {"signal": [[1, 2, 3, self.count]], "sampling_rate": 250, "sequence": self.count}
        await self._handler.publish(name, MessageType.ECG_DATA, data)
        self.slowest = max(self.slowest, loop.time() - asked)

    async def end(self):
        self._ends = True
        await self._task


class Viewer:
    """Watches all streams, and keeps what arrives."""

    def __init__(self, client):
        self.seen = {name: [] for name in NAMES}
        self.subscriptions = {name: client.subscribe(name) for name in NAMES}
        self._tasks = [asyncio.create_task(self._run(name)) for name in NAMES]

    async def _run(self, name):
        async for message in self.subscriptions[name]:
            self.seen[name].append(message.data["sequence"])

    def knows(self, count):
        return all(seen and seen[-1] >= count - 1 for seen in self.seen.values())

    def check(self, count, *, gaps):
        """Each message once and in order. Where numbers begin anew, a gap without a count may be told."""
        for name, seen in self.seen.items():
            assert seen == list(range(seen[0], count)), name
            assert gaps or self.subscriptions[name].gap_count == 0, name
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def two_servers(make, *, gaps=False, settings=V4):
    """A server that publishes, with a viewer, and another one with a viewer."""
    async with AsyncExitStack() as stack:
        handlers = [WebSocketBinaryHandler(settings=settings, backplane=make()) for _ in "ab"]
        viewers = []
        for handler in handlers:
            port = await stack.enter_async_context(serving(handler))
            viewers.append(Viewer(await stack.enter_async_context(impatient(url_of(port), settings=settings))))
        load = Load(handlers[0])
        await until(lambda: all(viewer.knows(5) for viewer in viewers))
        yield handlers, viewers, load
        await load.end()
        await until(lambda: all(viewer.knows(load.count) for viewer in viewers))
        for viewer in viewers:
            viewer.check(load.count, gaps=gaps)
        assert [handler.stats()["backplane"]["lost_total"] for handler in handlers] == [0, 0]


def lanes_up(handlers):
    return [handler.stats()["backplane"]["lanes_up"] for handler in handlers]


def of_cluster(cluster, **options):
    from ecgframe.server.redis import RedisClusterBackplane

    return lambda: RedisClusterBackplane(cluster.urls[:1], **{"version": 4, "patience": 1.0, **options})


# --- Redis Cluster ---


def test_the_streams_are_spread_over_the_nodes_and_each_lane_is_in_one_slot(tmp_path):
    async def conversation(cluster):
        async with two_servers(of_cluster(cluster)) as (handlers, _, load):
            await until(lambda: load.count > 20)
            assert lanes_up(handlers) == [12, 12]
            assert await handlers[0].watchers(NAMES[0])

    with redis_cluster(tmp_path) as cluster:
        run(conversation(cluster), timeout=200)
        keys = [command(node.port, "keys", "*").split() for node in cluster.nodes]
    tags = [{key.partition("{")[2].partition("}")[0] for key in some} for some in keys]
    assert all(3 <= len(some) <= 4 for some in tags)  # some lane may have no stream
    assert len(set.union(*tags)) == sum(map(len, tags))


@pytest.mark.parametrize("version", [3, 4])
def test_a_node_that_is_killed_and_replaced_loses_nothing(tmp_path, version):
    """Without replicas: its streams go on within each server until an empty node takes its place."""

    async def conversation(cluster):
        settings = Settings() if version == 3 else V4
        servers = two_servers(of_cluster(cluster, version=version), gaps=version == 4, settings=settings)
        async with servers as (handlers, viewers, load):
            cluster.nodes[1].kill()
            await until(lambda: lanes_up(handlers) == [8, 8])
            count = load.count
            await until(lambda: load.count > count + 20)
            assert viewers[0].knows(count + 10), "live on the server that publishes"
            behind = [seen for seen in viewers[1].seen.values() if seen[-1] < count + 10]
            assert 4 <= len(behind) < len(NAMES) * 2 / 3, "the streams of the other nodes do not notice"
            await asyncio.to_thread(cluster.nodes[1].start)
            await until(lambda: lanes_up(handlers) == [12, 12])
            count = load.count
            await until(lambda: load.count > count + 20)

    with redis_cluster(tmp_path) as cluster:
        run(conversation(cluster), timeout=200)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_replica_takes_over_and_nothing_is_lost(tmp_path, how):
    """Killed, or cut off: it goes on later, does not know that it is no master any more, and is told."""

    async def conversation(cluster):
        lost = cluster.nodes[1]
        async with two_servers(of_cluster(cluster), gaps=True) as (handlers, _, load):
            lost.kill() if how == signal.SIGKILL else lost.stop()
            await until(lambda: lanes_up(handlers) == [8, 8])
            await until(lambda: lanes_up(handlers) == [12, 12])
            count = load.count
            await until(lambda: load.count > count + 20)
            if how == signal.SIGSTOP:
                lost.go_on()
                count = load.count
                await until(lambda: load.count > count + 40)
            assert lost.port not in await asyncio.to_thread(cluster.masters)

    with redis_cluster(tmp_path, replicas=True) as cluster:
        run(conversation(cluster), timeout=200)


def test_slots_move_to_another_node_under_load(tmp_path):
    async def conversation(cluster):
        async with two_servers(of_cluster(cluster), gaps=True) as (handlers, _, load):
            ids = [command(node.port, "cluster", "myid").strip() for node in cluster.nodes]
            words = ["--cluster-from", ids[0], "--cluster-to", ids[2], "--cluster-slots", "2000", "--cluster-yes"]
            await asyncio.to_thread(
                subprocess.run,
                ["redis-cli", "--cluster", "reshard", f"127.0.0.1:{cluster.nodes[0].port}", *words],
                check=True,
                capture_output=True,
                timeout=60,
            )
            await until(lambda: lanes_up(handlers) == [12, 12])
            count = load.count
            await until(lambda: load.count > count + 20)

    with redis_cluster(tmp_path) as cluster:
        run(conversation(cluster), timeout=200)


def test_a_publisher_opens_a_stream_over_the_cluster(tmp_path):
    async def conversation(cluster):
        async def may(*_):
            return True

        make = of_cluster(cluster)
        one, other = (WebSocketBinaryHandler(settings=V4, backplane=make(), authorize=may) for _ in "ab")
        async with (
            serving(one) as here,
            serving(other) as there,
            impatient(url_of(here), settings=V4) as sender,
            impatient(url_of(there), settings=V4) as viewer,
            viewer.subscribe(NAMES[0]) as watched,
            sender.publisher(NAMES[0]) as publisher,
        ):
            for number in range(20):
                data = {"signal": [[number]], "sampling_rate": 250, "sequence": number}
                await publisher.send(MessageType.ECG_DATA, data)
            assert [(await anext(watched)).data["sequence"] for _ in range(20)] == list(range(20))

    with redis_cluster(tmp_path) as cluster:
        run(conversation(cluster), timeout=200)


def test_servers_of_a_cluster_sign_and_attest(tmp_path, monkeypatch):
    """Whichever of them has published; by a slot of each stream, as the script needs its keys together."""
    optional("cryptography")
    from ecgframe.server import attesting
    from ecgframe.signing import Attested, SigningKey

    monkeypatch.setattr(attesting, "ATTESTING_SECONDS", 0.05)
    signer = SigningKey(bytes(range(32)))

    async def conversation(cluster):
        make = of_cluster(cluster)
        one, other = (WebSocketBinaryHandler(settings=V4, backplane=make(), signer=signer) for _ in "ab")
        async with (
            serving(one),
            serving(other) as there,
            impatient(url_of(there), settings=V4, signers=[signer.public]) as viewer,
        ):
            await until(lambda: lanes_up([one, other]) == [12, 12])
            for name in NAMES[:3]:
                told = []
                async with viewer.subscribe(name, on_attestation=told.append) as watched:
                    for number, handler in enumerate((one, other, one)):
                        data = {"features": {"n": number}, "timestamp": float(number)}
                        await handler.publish(name, MessageType.FEATURE_DATA, data)
                    alert = {"kind": "asystole", "timestamp": 1.0}
                    await one.publish(name, MessageType.ANOMALY_ALERT, alert)
                    found = [await anext(watched) for _ in range(4)]
                    numbers = {message.sequence for message in found if message.type is MessageType.FEATURE_DATA}
                    [signed] = [message for message in found if message.type is MessageType.ANOMALY_ALERT]
                    assert signed.signature == "valid"
                    await until(lambda told=told, due=numbers: due <= {each for one in told for each in one.numbers})
                    assert all(isinstance(each, Attested) and each.signer == signer.name for each in told)

    with redis_cluster(tmp_path) as cluster:
        run(conversation(cluster), timeout=200)


def test_a_client_of_redis_py_names_the_cluster(tmp_path):
    from ecgframe.server.redis import RedisClusterBackplane

    async def conversation(cluster):
        client = redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[2].port)
        async with WebSocketBinaryHandler(backplane=RedisClusterBackplane(client, lanes=3)) as handler:
            assert lanes_up([handler]) == [3]
        await client.aclose()

    with redis_cluster(tmp_path) as cluster:
        run(conversation(cluster), timeout=200)


@pytest.mark.parametrize(
    ("cluster", "options", "told"),
    [
        ([], {}, "at least one node"),
        ("redis://127.0.0.1", {"lanes": 0}, "lanes is a number from 1 to 256, not 0"),
        ("redis://127.0.0.1", {"lanes": 257}, "lanes is"),
        ("redis://127.0.0.1", {"prefix": "a{b}"}, "no braces"),
        ("redis://127.0.0.1", {"version": 5}, "version is 3 or 4"),
        ("http://127.0.0.1", {}, "URL"),
    ],
)
def test_what_cannot_be_is_refused(cluster, options, told):
    from ecgframe.server.redis import RedisClusterBackplane

    with pytest.raises(ValueError, match=told):
        RedisClusterBackplane(cluster, **options)


def test_a_cluster_that_does_not_answer_is_no_reason_to_wait():
    from ecgframe.server.redis import RedisClusterBackplane

    async def conversation():
        backplane = RedisClusterBackplane("redis://127.0.0.1:1", lanes=2, patience=0.1)
        async with WebSocketBinaryHandler(backplane=backplane) as handler:
            await handler.publish(NAMES[0], MessageType.ECG_DATA, {"signal": [1], "sampling_rate": 250})
            assert lanes_up([handler]) == [0]

    run(conversation())


# --- Sentinel ---


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_master_of_sentinels_is_replaced_and_nothing_is_lost(tmp_path, how):
    from ecgframe.server.redis import RedisBackplane

    async def conversation(group):
        managers = []

        def make():
            managers.append(redis.Sentinel([("127.0.0.1", port) for port in group.sentinels], socket_timeout=0.5))
            master = managers[-1].master_for(MASTER)  # the client is not kept by anybody
            return RedisBackplane(master, version=4, patience=1.0)

        def ups():
            return [handler.stats()["backplane"]["up"] for handler in handlers]

        async with two_servers(make, gaps=True) as (handlers, _, load):
            gc.collect()
            master = group.nodes[0]
            master.kill() if how == signal.SIGKILL else master.stop()
            await until(lambda: ups() == [False, False])
            await until(lambda: ups() == [True, True])
            assert await asyncio.to_thread(group.master) == group.nodes[1].port
            count = load.count
            await until(lambda: load.count > count + 20)
            if how == signal.SIGSTOP:
                master.go_on()
                count = load.count
                await until(lambda: load.count > count + 40)
        for client in [client for manager in managers for client in manager.sentinels]:
            await client.aclose()

    with redis_sentinels(tmp_path) as group:
        run(conversation(group), timeout=200)
