"""Several real Redis for tests: a cluster, with or without replicas, and a master with a replica and Sentinels."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ports import unused_port
from server.redis_server import PROGRAM, RedisServer, skip_without_redis

MASTER = "ecg"
NODE_TIMEOUT = 1000
"""Milliseconds after which the nodes of a cluster take another one for lost."""


def _cluster_port() -> int:
    """An unused port, with an unused one 10,000 above it, for the bus of the cluster."""
    while True:
        port = unused_port()
        if port > 50_000:
            continue
        with socket.socket() as bus:
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        return port


def command(port: int, *words: object) -> str:
    """Send a command with redis-cli, and return what it prints."""
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *map(str, words)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


def wait_for(condition: object, seconds: float = 30) -> None:
    """Poll until a condition holds."""
    give_up = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < give_up
        time.sleep(0.05)


class Cluster:
    """A cluster of three masters.

    Attributes:
        nodes: the masters, then their replicas.
    """

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes

    @property
    def urls(self) -> list[str]:
        return [f"redis://127.0.0.1:{node.port}" for node in self.nodes]

    def is_whole(self) -> bool:
        """Return whether all running nodes know of all slots, and say so."""
        infos = [command(node.port, "cluster", "info") for node in self.nodes if node.is_running]
        return all("cluster_state:ok" in info and "cluster_slots_ok:16384" in info for info in infos)

    def masters(self) -> set[int]:
        """The ports of the nodes that are masters of slots, as the last node says."""
        [node, *_] = [node for node in reversed(self.nodes) if node.is_running]
        lines = command(node.port, "cluster", "nodes").splitlines()
        return {
            int(line.split()[1].partition("@")[0].rpartition(":")[2])
            for line in lines
            if "master" in line and "fail" not in line.split()[2] and len(line.split()) > 8
        }


@contextmanager
def redis_cluster(directory: Path, *, replicas: bool = False) -> Iterator[Cluster]:
    """Start a cluster; skip the test if redis-server is not installed."""
    skip_without_redis()
    with ExitStack() as running:
        nodes = []
        for number in range(6 if replicas else 3):
            place = directory / f"node{number}"
            place.mkdir()
            more = {
                "cluster-enabled": "yes",
                "cluster-node-timeout": NODE_TIMEOUT,
                "cluster-require-full-coverage": "no",
                "cluster-config-file": "nodes.conf",
            }
            node = RedisServer(place, port=_cluster_port(), more=more)
            running.callback(node.kill)
            node.start()
            nodes.append(node)
        places = [f"127.0.0.1:{node.port}" for node in nodes]
        words = ["--cluster-yes", *(["--cluster-replicas", "1"] if replicas else [])]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *places, *words], check=True, capture_output=True, timeout=60
        )
        cluster = Cluster(nodes)
        wait_for(cluster.is_whole)
        if replicas:
            wait_for(lambda: all("master_link_status:up" in command(one.port, "info") for one in nodes[3:]))
        yield cluster


class Watched:
    """A master with a replica, which three Sentinels watch."""

    def __init__(self, nodes: list[RedisServer], sentinels: list[int]) -> None:
        self.nodes = nodes
        self.sentinels = sentinels

    def master(self) -> int:
        """The port of the master, as the first Sentinel says."""
        return int(command(self.sentinels[0], "sentinel", "get-master-addr-by-name", MASTER).split()[1])


@contextmanager
def redis_sentinels(directory: Path) -> Iterator[Watched]:
    """Start a master, a replica and three Sentinels; skip the test if redis-server is not installed."""
    skip_without_redis()
    assert PROGRAM is not None
    with ExitStack() as running:
        nodes: list[RedisServer] = []
        for number in range(2):
            place = directory / f"redis{number}"
            place.mkdir()
            more: dict[str, object] = {"replicaof": f"127.0.0.1 {nodes[0].port}"} if nodes else {}
            node = RedisServer(place, more=more)
            running.callback(node.kill)
            node.start()
            nodes.append(node)
        wait_for(lambda: "master_link_status:up" in command(nodes[1].port, "info"))
        ports = [unused_port() for _ in range(3)]
        for port in ports:
            file = directory / f"sentinel{port}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {directory}\nlogfile {file}.log\n"
                f"sentinel monitor {MASTER} 127.0.0.1 {nodes[0].port} 2\n"
                f"sentinel down-after-milliseconds {MASTER} {NODE_TIMEOUT}\n"
                f"sentinel failover-timeout {MASTER} 3000\n"
            )
            process = subprocess.Popen([PROGRAM, str(file), "--sentinel"])
            running.callback(process.wait)
            running.callback(process.kill)
        knows_all = "num-other-sentinels\n2\n"
        wait_for(lambda: all(knows_all in command(port, "sentinel", "master", MASTER) for port in ports))
        wait_for(lambda: all("num-slaves\n1\n" in command(port, "sentinel", "master", MASTER) for port in ports))
        yield Watched(nodes, ports)
