"""``ecgframe serve --nats``: servers and workers that share their streams through NATS."""

from __future__ import annotations

import re
import urllib.request

import pytest
from cli.live_server import live
from command_line import run as command
from recordings import optional
from running import run
from server.engines import TYPES, client
from server.nats_server import nats_server

optional("nats")


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as response:
        return response.read().decode()


def numbers_of(server, frames):
    """The numbers of the next frames of the first stream; none may be missing."""

    async def watching():
        async with client(server.port, capabilities=["timestamps", "ndarray-bin"]) as viewer:
            await viewer.subscribe("ecg/1")
            found = []
            while len(found) < frames:
                frame = await viewer.receive()
                assert frame.type == TYPES["ECG_DATA"], frame
                found.append(frame.data["sequence"])
            return found

    numbers = run(watching())
    assert numbers == list(range(numbers[0], numbers[0] + frames))
    return numbers


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--nats", "localhost"), "begins with nats://"),
        (("--nats", "nats://h", "--redis", "redis://h"), "not both"),
        (("--nats", "nats://h", "--protocol", 4), "versions 1 to 3"),
        (("--nats", "nats://h", "--stream-keys", "keys.json"), "sealed streams require --redis"),
        (("--nats", "nats://h", "--signing-key", "key.pem"), "signing requires --redis"),
        (("--nats", "nats://h", "--streams", 0, "--detect"), "requires a stream"),
        (("--nats", "nats://h", "--workers", 2, "--alarms", "alarms.json"), "one file of alarms"),
    ],
)
def test_what_nats_does_not_carry_is_refused_at_the_start(arguments, words):
    assert words in command("serve", *arguments, code=2).output


@pytest.mark.slow
def test_viewers_of_one_server_see_what_another_plays(tmp_path):
    with (
        nats_server(tmp_path) as nats,
        live("--nats", nats.url),
        live("--streams", 0, "--nats", nats.url) as other,
    ):
        assert other.streams == "what other servers publish"
        numbers_of(other, 20)


@pytest.mark.slow
def test_without_nats_local_viewers_are_served_and_all_is_well_when_it_comes(tmp_path):
    optional("prometheus_client")
    with nats_server(tmp_path, started=False) as nats, live("--nats", nats.url) as server:
        assert "messages stay on this server until it is back" in server.wait_for_log("NATS is unreachable")
        first = numbers_of(server, 5)
        assert get(server, "/healthz") == "ok\n"
        assert "\necgframe_backplane_up 0.0\n" in get(server, "/metrics")
        nats.start()
        server.wait_for_log("connected to NATS")
        assert numbers_of(server, 5)[0] > first[0]
        page = get(server, "/metrics")
        assert "\necgframe_backplane_up 1.0\n" in page
        assert re.search(r"^ecgframe_backplane_missed_total 0\.0$", page, re.M)


@pytest.mark.slow
def test_workers_share_their_streams(tmp_path):
    with (
        nats_server(tmp_path) as nats,
        live("--workers", 2, "--streams", 2, "--nats", nats.url) as server,
    ):
        assert server.said.startswith("Workers: 2, joined by NATS\n")
        for _ in range(4):  # the kernel decides which worker accepts; the other one plays the stream, or this one
            numbers_of(server, 10)


@pytest.mark.slow
def test_a_server_without_jetstream_is_told(tmp_path):
    with nats_server(tmp_path, jetstream=False) as nats, live("--nats", nats.url) as server:
        assert "nats-server -js" in server.wait_for_log("NATS is unreachable")
