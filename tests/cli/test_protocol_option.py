"""``--protocol``: the highest version that a command speaks."""

from __future__ import annotations

import json
import re
import socket

import pytest
from cli.live_server import live
from command_line import run
from recordings import optional
from server.redis_server import redis_server

from ecgframe.cli.protocol_versions import served_versions, versions_up_to
from ecgframe.records import read_record

optional("websockets")

COMMANDS = (
    "serve",
    "watch ws://127.0.0.1:1/ws",
    "record ws://127.0.0.1:1/ws ecg/1 -o never.edf",
    "inspect ws://127.0.0.1:1/ws",
    "sizes ws://127.0.0.1:1/ws",
    "bridge lsl out ws://127.0.0.1:1/ws ecg/1",
    "bridge lsl in ws://127.0.0.1:1/ws",
)


@pytest.fixture(scope="module")
def urls():
    """URLs of two servers, by the highest version that each speaks."""
    with live("--ring-seconds", 300) as new, live("--protocol", 3) as old:
        yield {4: f"ws://127.0.0.1:{new.port}/ws", 3: f"ws://127.0.0.1:{old.port}/ws"}


def test_the_versions_up_to_the_highest():
    assert [versions_up_to(highest) for highest in (1, 3, 4)] == [(1,), (1, 2, 3), (1, 2, 3, 4)]


def test_a_server_speaks_version_4_unless_it_shares_redis_with_others():
    """A server of an earlier release may read there. The option says that none does."""
    assert served_versions(None, shared=False) == (1, 2, 3, 4)
    assert served_versions(None, shared=True) == (1, 2, 3)
    for shared in (False, True):
        assert [served_versions(highest, shared=shared)[-1] for highest in (1, 3, 4)] == [1, 3, 4]


@pytest.mark.parametrize("command", COMMANDS)
def test_versions_that_do_not_exist_are_refused(command):
    for version in (0, 5):
        assert "Invalid value for '--protocol'" in run(*command.split(), "--protocol", version, code=2).output


LOSES_NOTHING = r"^lost +0 gaps, 0 dropped frames, 0 reconnections$"


def watched(url):
    """Watch a stream, again if it was interrupted: on a busy machine, Redis may not answer for half a second."""
    for _ in range(5):
        output = run("watch", url, "ecg/1", "--seconds", 0.6).output
        if re.search(LOSES_NOTHING, output, re.M):
            break
    return output


@pytest.mark.slow
@pytest.mark.parametrize(("options", "spoken"), [(["--protocol", 4], 4), (["--protocol", 3], 3), ([], 3)])
def test_servers_share_streams_of_version_4_through_redis(options, spoken, tmp_path):
    optional("redis")
    with (
        redis_server(tmp_path) as redis,
        live("--protocol", 4, "--redis", redis.url),
        live("--streams", 0, *options, "--redis", redis.url) as other,
    ):
        url = f"ws://127.0.0.1:{other.port}/ws"
        output = watched(url)
        assert re.search(rf"connected, V{spoken}$", output, re.M)
        assert re.search(LOSES_NOTHING, output, re.M)
        if spoken == 4:
            output = run("inspect", url, "--stream", "ecg/1", "--seconds", 0.7).output
            assert "form RECORD" in output


@pytest.mark.slow
def test_servers_that_seal_share_their_streams_through_redis(tmp_path):
    optional("redis")
    optional("cryptography")
    file = tmp_path / "keys.json"
    run("keys", "new", file, "ecg/1")
    options = ["--protocol", 4, "--stream-keys", file, "--keys-without-tls"]
    with (
        redis_server(tmp_path) as redis,
        live(*options, "--redis", redis.url),
        live("--streams", 0, *options, "--redis", redis.url) as other,
    ):
        url = f"ws://127.0.0.1:{other.port}/ws"
        assert re.search(LOSES_NOTHING, watched(url), re.M)
        with socket.create_connection(("127.0.0.1", redis.port)) as connection:
            connection.sendall(b"XRANGE ecgframe:stream:ecg/1 - + COUNT 20\r\n")
            entries = connection.recv(65536)
        assert b"ecgframe" not in entries
        assert b"sampling_rate" not in entries
        assert entries.count(b"\x04\x01\x02") + entries.count(b"\x04\x23\x02") >= 1  # sealed data and templates


def test_viewers_need_no_option_whatever_the_server_speaks():
    with live("--protocol", 3) as server:
        assert server.said.rstrip().endswith(f"ecgframe watch ws://127.0.0.1:{server.port}/ws ecg/1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "options", "spoken"),
    [(4, [], 4), (4, ["--protocol", 3], 3), (3, [], 3), (4, ["--protocol", 2], 2)],
)
def test_both_sides_speak_the_highest_that_they_have_in_common(urls, server, options, spoken):
    output = run("watch", urls[server], "ecg/1", "--seconds", 0.6, *options).output
    assert re.search(rf"connected, V{spoken}$", output, re.M)
    assert re.search(r"^lost +0 gaps, 0 dropped frames, 0 reconnections$", output, re.M)


@pytest.mark.slow
def test_the_samples_are_the_same_in_every_version(urls):
    new, old = (rows(urls[4], "--since", 300, "--seconds", 1, "--protocol", version) for version in (4, 3))
    common = new.keys() & old.keys()
    assert len(common) > 500
    assert all(new[time] == old[time] for time in common)


def rows(url, *options):
    """Return the lines of samples by their time."""
    lines = run("watch", url, "ecg/1", "--samples", *options, code=3).stdout.splitlines()  # a gap at the beginning
    return {line.partition(",")[0]: line for line in lines if not line.startswith("#")}


@pytest.mark.slow
def test_records_are_recorded_inspected_and_measured(urls, tmp_path):
    run("record", urls[4], "ecg/1", "--duration", 1, "-o", tmp_path / "bed.edf")
    assert read_record(tmp_path / "bed.edf").signal.shape[0] == 12
    output = run("inspect", urls[4], "--stream", "ecg/1", "--seconds", 0.7).output
    assert "form RECORD" in output
    sizes = run("sizes", urls[4], "--stream", "ecg/1", "--seconds", 0.7, "--json").stdout
    types = {one["type"]: one for one in json.loads(sizes)["types"]}
    assert types["ECG_DATA"]["wire_bytes"] < 330 * types["ECG_DATA"]["frames"]
