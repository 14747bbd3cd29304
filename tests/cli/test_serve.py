from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import socket
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from urllib.error import HTTPError

import numpy as np
import pytest
from cli.live_server import LiveServer, live
from command_line import run as command
from hearts import Heart, recorded, sinus
from recordings import optional, uninstall
from running import run
from server.engines import TYPES, client, until
from server.redis_groups import MASTER, redis_cluster, redis_sentinels
from server.redis_groups import command as redis_command
from server.redis_server import redis_server

from ecgframe import MessageType
from ecgframe.client import connect
from ecgframe.records import Record, shipped_ecg, write_record
from ecgframe.records.loop_point import seamless

BINARY = ["timestamps", "ndarray-bin"]


@pytest.fixture
def counting(tmp_path):
    """Write a recording of one second whose samples encode their index and lead; return path and signal."""
    signal = np.arange(500, dtype=np.int16).reshape(2, 250)
    record = Record(signal, 250, ("I", "II"), "mV", (200, 100), (0, 7), "counting")
    path = tmp_path / "counting.npz"
    with path.open("wb") as file:
        write_record(record, file, ".npz")
    return path, signal


async def frames_of(viewer, count):
    """Return the next ECG_DATA frames, answering PINGs in between."""
    frames = []
    while len(frames) < count:
        frame = await viewer.receive()
        if frame.type == TYPES["ECG_DATA"]:
            frames.append(frame)
        else:
            assert frame.type == TYPES["PING"], frame
    return frames


def watch(server, streams=("ecg/1",), frames=60):
    """Return frames of each stream, received by one viewer each."""

    async def watching():
        async with AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(client(server.port, capabilities=BINARY)) for _ in streams]
            for viewer, stream in zip(viewers, streams, strict=True):
                await viewer.subscribe(stream)
            return [await frames_of(viewer, frames) for viewer in viewers]

    return run(watching())


def get(server, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.headers["Content-Type"], response.read().decode()


def refusal(server, path):
    with pytest.raises(HTTPError) as refused:
        get(server, path)
    with refused.value as error:
        return error.code, error.read().decode()


# --- what is played ---


@pytest.mark.slow
def test_samples_arrive_once_in_order_over_many_rounds(counting):
    path, signal = counting
    with live(path, "--whole", "--speed", 10) as server:
        [frames] = watch(server, frames=100)
    numbers = [frame.data["sequence"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 100))
    first = [number * 25 // 2 for number in (*numbers, numbers[-1] + 1)]
    for frame, (start, stop) in zip(frames, itertools.pairwise(first), strict=True):
        expected = np.take(signal, range(start, stop), axis=1, mode="wrap")
        np.testing.assert_array_equal(frame.data["signal"], expected)
    timestamps = np.array([frame.data["timestamp"] for frame in frames])
    expected = (np.array(first[:-1]) - first[0]) / 250 / 10
    assert timestamps - timestamps[0] == pytest.approx(expected, abs=2e-6)


@pytest.mark.slow
def test_messages_say_what_the_counts_mean(counting):
    path, _ = counting
    with live(path, "--whole") as server:
        [[frame]] = watch(server, frames=1)
    described = {key: value for key, value in frame.data.items() if key not in ("signal", "sequence", "timestamp")}
    assert described == {
        "sampling_rate": 250,
        "leads": ["I", "II"],
        "units": "mV",
        "gain": [200, 100],
        "baseline": [0, 7],
        "stream": "ecg/1",
    }
    assert frame.data["signal"].dtype == np.int16


@pytest.mark.slow
def test_the_shipped_ecg_goes_round_without_a_seam_at_its_true_rate():
    with live("--streams", 3) as server:
        assert server.streams == "ecg/1 to ecg/3"
        began = time.time()
        streams = watch(server, ("ecg/1", "ecg/2", "ecg/3"), frames=30)
        took = time.time() - began
    assert took >= 29 * 0.05
    record = shipped_ecg()
    samples = seamless(record)
    played = record.signal[:, samples.start : samples.stop]
    for index, frames in enumerate(streams):
        assert [frame.data["signal"].shape for frame in frames] == [(12, 50)] * 30
        start = index * len(samples) // 3 + frames[0].data["sequence"] * 50
        received = np.concatenate([frame.data["signal"] for frame in frames], axis=1)
        np.testing.assert_array_equal(received, np.take(played, range(start, start + 1500), axis=1, mode="wrap"))
    one, two = ({frame.data["sequence"]: frame.data["timestamp"] for frame in frames} for frames in streams[:2])
    shared = one.keys() & two.keys()
    assert len(shared) > 10
    assert {number: one[number] for number in shared} == {number: two[number] for number in shared}
    for frame in streams[0]:
        assert began - 31 < frame.data["timestamp"] < time.time()
        assert 0.049 < frame.timestamp / 1e6 - frame.data["timestamp"] < 5  # published when its last sample was due


@pytest.mark.slow
def test_frames_are_as_long_as_they_are_wanted(counting):
    with live(counting[0], "--frame-ms", 20, "--speed", 4) as server:
        [frames] = watch(server, frames=20)
    assert {frame.data["signal"].shape for frame in frames} == {(2, 5)}


@pytest.mark.slow
def test_leads_can_be_chosen():
    with live("--leads", "V5, II") as server:
        [[frame]] = watch(server, frames=1)
    assert frame.data["leads"] == ["V5", "II"]
    assert frame.data["signal"].shape == (2, 50)


@pytest.mark.slow
def test_a_returning_viewer_gets_the_missed_messages(counting):
    async def watching(port):
        async with client(port, capabilities=BINARY) as viewer:
            await viewer.subscribe("ecg/1")
            before = await frames_of(viewer, 5)
        async with client(port, capabilities=BINARY) as viewer:
            await viewer.send("SUBSCRIBE", {"stream": "ecg/1", "since": before[-1].timestamp / 1e6})
            assert await viewer.expect("SUBSCRIPTION_ACK") == {"stream": "ecg/1", "status": "subscribed"}
            return before + await frames_of(viewer, 5)

    with live(counting[0]) as server:
        numbers = [frame.data["sequence"] for frame in run(watching(server.port))]
    assert numbers == list(range(numbers[0], numbers[0] + 10))


# --- what it says ---


@pytest.mark.slow
def test_the_start_prints_address_streams_and_next_steps(counting):
    with live("--streams", 2) as server:
        lines = server.said.splitlines()
    assert re.fullmatch(r"the shipped 12-lead ECG: 12 leads .*; 7.89 s of it in a loop, without a jump", lines[0])
    assert lines[1:] == [
        f"Live at ws://127.0.0.1:{server.port}/ws: ecg/1 to ecg/2",
        f"Wall: http://127.0.0.1:{server.port}/wall shows all streams on one page, with their alarms",
        f"Next: open http://127.0.0.1:{server.port}/ in a browser, "
        f"or run ecgframe watch ws://127.0.0.1:{server.port}/ws ecg/1",
    ]
    with live(counting[0], "--host", "0.0.0.0") as server:
        first, where, _, _ = server.said.splitlines()
    assert first.endswith("; in a loop, with a jump: no place near its end resembles one near its beginning")
    assert where == f"Live at ws://127.0.0.1:{server.port}/ws: ecg/1"
    with live(counting[0], "--whole") as server:
        assert server.said.splitlines()[0].endswith("= 1 s; in a loop")


def test_the_log_has_connections():
    server = LiveServer()
    watch(server, frames=1)
    code, log = server.end()
    assert code == 0
    assert "INFO    listening at 127.0.0.1, port" in log
    assert re.search(r"INFO    connection \w+ from 127.0.0.1:\d+ opened", log)
    assert "stopping, closing 0 connections" in log
    assert "signal" not in log


@pytest.mark.slow
def test_the_log_can_be_json():
    optional("pythonjsonlogger")
    server = LiveServer("--log-json")
    watch(server, frames=1)
    _, log = server.end()
    records = [json.loads(line) for line in log.splitlines()]
    assert all(record.keys() >= {"time", "level", "logger", "message"} for record in records)
    [opened] = [record for record in records if record["message"].endswith(" opened")]
    assert opened["logger"] == "ecgframe.server"
    assert {"connection", "peer"} <= opened.keys()


@pytest.mark.slow
def test_the_log_can_be_quiet():
    server = LiveServer("--log-level", "warning")
    watch(server, frames=1)
    assert server.end() == (0, "")


@pytest.mark.slow
def test_no_log_holds_what_messages_hold():
    server = LiveServer("--log-level", "debug", "--leads", "V5")
    watch(server, frames=3)
    _, log = server.end()
    assert "connection" in log
    for words in ("V5", "signal", "BINARY"):
        assert words not in log


# --- its pages ---


@pytest.fixture(scope="module")
def alerting():
    """A server of two streams, with alerts for demonstration."""
    with live("--streams", 2, "--alerts", 0.05) as server:
        yield server


def test_pages(alerting):
    assert get(alerting, "/healthz") == ("text/plain; charset=utf-8", "ok\n")
    content_type, page = get(alerting, "/")
    assert content_type == "text/plain; charset=utf-8"
    for words in (f"ws://127.0.0.1:{alerting.port}/ws", "/healthz", "/metrics", "ecg/1", "ecg/2"):
        assert words in page
    content_type, page = get(alerting, "/", Accept="text/html,*/*;q=0.8")
    assert content_type == "text/html; charset=utf-8"
    assert "<title>ecgframe monitor</title>" in page
    assert get(alerting, "/streams") == ("application/json", '{"streams": ["ecg/1", "ecg/2"]}')
    assert refusal(alerting, "/nothing?x=1")[0] == 404
    assert refusal(alerting, "/ws")[0] == 426


@pytest.mark.slow
def test_metrics_are_scraped():
    text = optional("prometheus_client.parser").text_string_to_metric_families
    open_metrics = optional("prometheus_client.openmetrics.parser").text_string_to_metric_families

    async def scrape(server):
        async with client(server.port, capabilities=BINARY) as viewer:
            await viewer.subscribe("ecg/1")
            await frames_of(viewer, 3)
            return [
                await asyncio.to_thread(get, server, "/metrics"),
                await asyncio.to_thread(get, server, "/metrics", Accept="application/openmetrics-text; version=1.0.0"),
            ]

    with live() as server:
        plain, open_ = run(scrape(server))
    assert plain[0].startswith("text/plain; version=0.0.4")
    assert open_[0].startswith("application/openmetrics-text; version=1.0.0")
    for parse, body in ((text, plain[1]), (open_metrics, open_[1])):
        values = {
            (sample.name, *sample.labels.values()): sample.value for family in parse(body) for sample in family.samples
        }
        assert values["ecgframe_messages_sent_total", "ECG_DATA"] >= 3
        assert values["ecgframe_messages_received_total", "SUBSCRIBE"] == 1
        assert values["ecgframe_connections",] == 1
        assert values["ecgframe_streams",] == 1
        assert values["ecgframe_message_size_bytes_count", "sent"] >= 3
        assert values["ecgframe_processing_seconds_count", "publish"] >= 3
        assert values["ecgframe_compression_ratio", "sent"] <= 1


# --- its alerts ---


def test_alerts_for_demonstration_say_that_they_are(alerting):
    async def watching(server):
        async with client(server.port, capabilities=["timestamps", "priority"]) as viewer:
            await viewer.subscribe("ecg/2")
            alerts = []
            while len(alerts) < 4:
                frame = await viewer.receive()
                if frame.type == TYPES["ANOMALY_ALERT"]:
                    alerts.append(frame)
            return alerts

    alerts = run(watching(alerting))
    assert {alert.data["kind"] for alert in alerts} == {"demonstration"}
    severities = ["info", "warning", "critical"]
    first = severities.index(alerts[0].data["severity"])
    assert [alert.data["severity"] for alert in alerts] == [severities[(first + number) % 3] for number in range(4)]
    for alert in alerts:
        assert "not based on the signal" in alert.data["message"]
        assert abs(alert.data["timestamp"] - alert.timestamp / 1e6) < 1


@pytest.mark.slow
def test_annotations_are_sent_as_alerts(tmp_path):
    noted = tmp_path / "noted.csv"
    notes = '[[0.5, "N", null, null], [1.0, "V", "II", null], [1.5, "(AFIB", null, 0.5]]'
    lines = "".join(f"{number % 100}\n" for number in range(500))
    noted.write_text(f"# sampling rate: 250\n# annotations: {notes}\nII [mV]\n{lines}")

    async def watching(port):
        async with client(port) as viewer:
            await viewer.subscribe("ecg/1")
            alerts = []
            while len(alerts) < 3:
                frame = await viewer.receive()
                if frame.type == TYPES["ANOMALY_ALERT"]:
                    alerts.append(frame.data)
            return alerts

    with live(noted, "--whole", "--annotations", "--speed", 4) as server:
        assert "Annotations: 2 are sent as alerts; not 1 that mark normal beats" in server.said
        assert "Not taken along" not in server.said
        alerts = run(watching(server.port))
    assert {alert["message"] for alert in alerts} == {"V", "(AFIB"}
    assert {alert.get("lead") for alert in alerts if alert["message"] == "V"} == {"II"}


def test_annotations_have_to_be_there(tmp_path):
    plain = tmp_path / "plain.csv"
    plain.write_text("# sampling rate: 250\nII [mV]\n" + "1\n" * 500)
    done = command("serve", plain, "--annotations", code=1)
    assert "plain.csv: it has no annotations to send (--annotations)" in done.output
    assert "--annotations" in command("serve", "--streams", 0, "--publish", "--annotations", code=2).output


# --- how it ends ---


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_viewers_are_notified_when_it_ends(number):
    async def watching(server):
        async with client(server.port) as viewer, client(server.port) as other:
            await viewer.subscribe("ecg/1")
            server.process.send_signal(number)
            return [await viewer.closed(), await other.closed()]

    server = LiveServer()
    assert run(watching(server)) == [(1001, "the server is stopping")] * 2
    assert server.ended()[0] == 0


@pytest.mark.alone
def test_a_silent_connection_does_not_delay_the_end():
    server = LiveServer()
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        get(server, "/healthz")  # so the silent one, who came first, has been accepted
        began = time.monotonic()
        code, log = server.end()
        assert (code, time.monotonic() - began < 4) == (0, True)
        assert silent.recv(1) == b""
    assert [line.partition("INFO")[2].split()[0] for line in log.splitlines()] == ["listening", "stopping,"]


@pytest.mark.alone
def test_a_second_interrupt_ends_it_at_once():
    async def watching(server):
        async with client(server.port, close_timeout=0.1) as viewer:
            await viewer.subscribe("ecg/1")
            viewer.connection.transport.pause_reading()
            server.process.send_signal(signal.SIGINT)
            await asyncio.to_thread(server.wait_for_log, "stopping")
            server.process.send_signal(signal.SIGINT)
            await asyncio.to_thread(server.process.wait, 3)

    server = LiveServer()
    run(watching(server))
    assert server.ended()[0] == -signal.SIGINT


# --- what can go wrong ---


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert command("serve", "--port", port, code=1).output.splitlines()[-1] == (
            f"error: cannot listen at 127.0.0.1, port {port}: another program does; "
            "choose another port, or 0 for any that is free (--port)"
        )


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine(host):
    output = command("serve", "--host", host, "--port", 0, code=1).output
    assert f"error: cannot listen at {host}, port 0: that is no address of this machine; 127.0.0.1 is" in output


def test_frames_too_short_and_too_long(counting, tmp_path):
    output = command("serve", counting[0], "--frame-ms", 1, code=1).output
    assert "a frame of 1 ms holds no sample at 250 Hz; 4 ms is the least" in output
    assert "--frame-ms" in command("serve", "--frame-ms", 60_001, code=2).output
    assert "--frame-ms" in command("serve", "--frame-ms", 0, code=2).output
    dense = Record(np.zeros((80, 1000), np.int64), 2000, tuple(map(str, range(80))), source="dense")
    with (tmp_path / "dense.npz").open("wb") as file:
        write_record(dense, file, ".npz")
    output = command("serve", tmp_path / "dense.npz", "--frame-ms", 60_000, "--port", 0, code=1).output
    assert "shorter frames are smaller (--frame-ms)" in output


def test_a_recording_that_is_not_there():
    assert "error: nowhere.hea: no such file" in command("serve", "nowhere.hea", code=1).output


def test_without_streams_there_must_be_others():
    refused = command("serve", "--streams", 0, code=2).output
    assert "0 streams require --redis, --nats or --publish" in refused
    assert "--publish" in refused


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("websockets", (), "server"),
        ("redis", ("--redis", "redis://127.0.0.1"), "redis"),
        ("nats", ("--nats", "nats://127.0.0.1"), "nats"),
        ("pythonjsonlogger", ("--log-json",), "logs"),
    ],
)
def test_without_a_library_it_says_what_to_install(monkeypatch, library, arguments, extra):
    uninstall(monkeypatch, library)
    for name in list(sys.modules):
        if name.startswith(("ecgframe.server", "ecgframe.cli.serve.")):
            monkeypatch.delitem(sys.modules, name)
    output = command("serve", *arguments, code=1).output
    assert f'needs {library}, which is not installed: pip install "ecgframe[{extra}]"' in output


# --- with others ---


@pytest.mark.slow
def test_without_redis_local_viewers_are_served(counting):
    optional("redis")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    with live(counting[0], "--redis", f"redis://127.0.0.1:{nobody}") as server:
        server.wait_for_log("Redis is unreachable")
        [frames] = watch(server, frames=5)
    numbers = [frame.data["sequence"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 5))


@pytest.mark.slow
def test_viewers_of_one_server_see_what_another_plays(counting, tmp_path):
    optional("redis")
    with (
        redis_server(tmp_path) as redis,
        live(counting[0], "--redis", redis.url),
        live("--streams", 0, "--redis", redis.url) as other,
    ):
        assert other.streams == "what other servers publish"
        [frames] = watch(other, frames=20)
    numbers = [frame.data["sequence"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 20))


def sees_all(server, meanwhile, frames=200):
    """Watch while something is called; no frame may be missing."""
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(watch, server, frames=frames)
        meanwhile()
        [found] = watching.result()
    numbers = [frame.data["sequence"] for frame in found]
    assert numbers == list(range(numbers[0], numbers[0] + frames))


@pytest.mark.slow
def test_servers_find_each_other_through_sentinels_also_after_the_master_is_lost(counting, tmp_path):
    optional("redis")
    with redis_sentinels(tmp_path) as group:
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in group.sentinels)}/{MASTER}"
        with live(counting[0], "--redis", url) as first, live("--streams", 0, "--redis", url) as other:
            other.wait_for_log("connected to Redis")

            def lose_the_master():
                group.nodes[0].kill()
                for server in (first, other):
                    server.wait_for_log("Redis is unreachable")
                    server.wait_for_log("connected to Redis")

            sees_all(other, lose_the_master)
            assert group.master() == group.nodes[1].port


@pytest.mark.slow
def test_servers_find_each_other_through_a_cluster(counting, tmp_path):
    optional("redis")
    with redis_cluster(tmp_path) as cluster:
        url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in cluster.nodes[:2])}?lanes=6"
        with live(counting[0], "--redis", url), live("--streams", 0, "--redis", url) as other:
            sees_all(other, lambda: None, frames=20)
        keys = [key for node in cluster.nodes for key in redis_command(node.port, "keys", "*").split()]
        assert any(key.endswith("stream:ecg/1") for key in keys)


@pytest.mark.parametrize("address", ["localhost", "redis+sentinel://localhost", "redis+cluster://localhost/1"])
def test_a_url_that_is_none(address):
    optional("redis")
    assert "--redis" in command("serve", "--redis", address, code=2).output


# --- what is found in it ---


@pytest.mark.slow
def test_beats_and_alerts_of_what_is_played_are_published_with_detect(tmp_path):
    heart = Heart()
    heart.beat("before", 75, 14)
    heart.add("asystole", 0 * sinus(75, 10))
    heart.beat("after", 75, 10)

    async def watching(port):
        async with client(port, capabilities=BINARY) as viewer:
            await viewer.subscribe("ecg/1")
            features, alerts = [], []
            while len(alerts) < 2:
                frame = await viewer.receive()
                if frame.type == TYPES["FEATURE_DATA"]:
                    features.append(frame.data)
                elif frame.type == TYPES["ANOMALY_ALERT"]:
                    alerts.append(frame.data)
            return features, alerts

    with live(recorded(heart.signal(), tmp_path), "--whole", "--speed", 8, "--detect") as server:
        features, [begun, ended] = run(watching(server.port))
    assert {message["stream"] for message in (*features, begun, ended)} == {"ecg/1"}
    assert (begun["kind"], begun["severity"], begun["lead"]) == ("asystole", "critical", "II")
    assert (ended["kind"], ended["severity"], ended["start"]) == ("asystole", "info", begun["start"])
    assert 3.5 / 8 < begun["timestamp"] - begun["start"] < 4.1 / 8
    rates = [message["features"]["heart_rate"] for message in features if message["timestamp"] < begun["start"] - 0.2]
    assert np.nanmedian(rates) == pytest.approx(75, abs=1)


def test_detect_without_a_source_is_refused():
    done = command("serve", "--streams", 0, "--redis", "redis://localhost", "--detect", code=2)
    assert "--detect" in done.output


@pytest.mark.slow
def test_streams_of_clients_are_analyzed_listed_and_sent_with_their_alerts():
    heart = Heart()
    heart.beat("before", 75, 14)
    heart.add("asystole", 0 * sinus(75, 8))
    signal = heart.signal()

    async def publishing_and_watching(port):
        async with connect(f"ws://127.0.0.1:{port}/ws") as client, client.subscribe("bed/7") as messages:
            for number, first in enumerate(range(0, signal.shape[1], 125)):
                data = {
                    "stream": "bed/7",
                    "signal": signal[:, first : first + 125].astype(np.float32),
                    "sampling_rate": 250,
                    "leads": ["I", "II", "V2"],
                    "units": "mV",
                    "sequence": number,
                    "timestamp": 1.7e9 + first / 250,
                }
                await client.send_message(MessageType.ECG_DATA, data, acknowledged=True)
            found = []
            async for message in messages:
                found.append(message)
                if message.type == MessageType.ANOMALY_ALERT:
                    break
            return found

    with live("--streams", 0, "--publish", "--detect") as server:
        assert "what clients publish" in server.said
        found = run(publishing_and_watching(server.port))
        assert json.loads(get(server, "/streams")[1]) == {"streams": ["bed/7"]}
    assert (found[-1].data["kind"], found[-1].data["stream"]) == ("asystole", "bed/7")
    rates = [message.data["features"]["heart_rate"] for message in found if message.type == MessageType.FEATURE_DATA]
    assert np.nanmax(rates[5:]) == pytest.approx(75, abs=2)


@pytest.mark.slow
def test_clients_publish_only_on_allowed_streams_that_are_not_played(counting):
    async def publishing(port, stream):
        async with connect(f"ws://127.0.0.1:{port}/ws", on_error=errors.append) as client:
            data = {"stream": stream, "signal": [1.0], "sampling_rate": 250}
            await client.send_message(MessageType.ECG_DATA, data)
            await until(lambda: errors)

    for options, stream in ((("--publish",), "ecg/1"), ((), "bed/7")):
        errors = []
        with live(counting[0], *options) as server:
            run(publishing(server.port, stream))
            assert json.loads(get(server, "/streams")[1]) == {"streams": ["ecg/1"]}
        assert re.search(r"may not (publish|send ECG_DATA)", str(errors[0]))
