from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from cli.live_server import LiveServer, live
from cli.watching import Watching
from command_line import ESCAPES, run
from recordings import optional

from ecgframe import Flag, Message, MessageType, RateLimitExceeded
from ecgframe.cli.console import Terminal
from ecgframe.cli.watch.stream_stats import NOW, StreamStats
from ecgframe.cli.watch.views import Lines, LiveTable, _shown
from ecgframe.client import Gap, connect

optional("websockets")


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield running


@pytest.fixture
def url(server):
    return url_of(server)


def url_of(server):
    return f"ws://127.0.0.1:{server.port}/ws"


def lines_of(output):
    return [json.loads(line) for line in output.splitlines()]


def of(lines, event):
    return [line for line in lines if line["event"] == event]


# --- the command ---


@pytest.mark.slow
def test_lines_say_how_it_comes(url):
    output = run("watch", url, "ecg/1", "--seconds", 2.5).output
    assert re.search(r"connected, V4$", output, re.M)
    assert len(re.findall(r"messages/s, .* samples/s, .*B/s +latency .* ms median, .* ms p99 +0 gaps", output)) == 2
    came = re.search(r"^total +(\d+) messages, ([\d,]+) samples, .* in 2.5\d* s: ([\d.]+) messages/s", output, re.M)
    assert 40 <= int(came[1]) <= 52
    assert int(came[2].replace(",", "")) == 600 * int(came[1])
    assert re.search(r"^lost +0 gaps, 0 dropped frames, 0 reconnections$", output, re.M)


@pytest.mark.slow
def test_json_lines_say_all(url):
    lines = lines_of(run("watch", url, "ecg/1", "--seconds", 1.3, "--json").stdout)
    assert [line["state"] for line in of(lines, "state")] == ["connecting", "connected", "closed"]
    messages = of(lines, "message")
    numbers = [message["data"]["sequence"] for message in messages]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    first = messages[0]
    assert first["type"] == "ECG_DATA"
    assert first["data"]["signal"] == {"dtype": "int16", "shape": [12, 50]}
    assert first["data"]["leads"][:2] == ["I", "II"]
    assert all(0 <= message["latency"] < 1 for message in messages)
    (now,) = of(lines, "now")
    assert now["messages_per_second"] > 10
    summary = lines[-1]
    assert summary["event"] == "summary"
    assert summary["messages"] == len(messages)
    assert summary["samples"] == 600 * len(messages)
    assert 0 <= summary["latency"]["median"] <= summary["latency"]["p99"] <= summary["latency"]["largest"] < 1
    assert summary["round_trip"] > 0
    assert abs(summary["clock_offset"]) < 1
    assert (summary["gaps"], summary["dropped"], summary["reconnections"]) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("as_time", [False, True])
def test_since_begins_before_now(url, as_time):
    time.sleep(1)  # for a past to be there
    moment = datetime.now(UTC) - timedelta(seconds=1)
    since = moment.isoformat() if as_time else "1"
    lines = lines_of(run("watch", url, "ecg/1", "--seconds", 0.5, "--json", "--since", since).stdout)
    past = [message for message in of(lines, "message") if message["latency"] is None]
    assert len(past) >= 15
    connected = next(state["time"] for state in of(lines, "state") if state["state"] == "connected")
    first = past[0]["timestamp"] / 1e6
    # A number of seconds is taken off the moment at which the program asks: after it was started and has connected.
    assert moment.timestamp() <= first < (moment.timestamp() if as_time else connected - 1) + 0.5
    assert not of(lines, "gap")


@pytest.mark.slow
def test_a_server_that_is_killed_is_connected_to_again():
    first = LiveServer()
    with Watching(url_of(first), "ecg/1", "--json") as watching:
        watching.wait_for("message")
        first.end(signal.SIGKILL)
        watching.wait_for("state", state="reconnecting")
        with live("--port", first.port):
            watching.wait_for("state", state="connected")
            gap = watching.wait_for("gap")
            assert gap["frames"] is None
            assert gap["stop"] > gap["start"]
            watching.wait_for("message")
            code, output, errors = watching.end()
    assert (code, errors) == (0, "")
    summary = lines_of(output)[-1]
    assert (summary["gaps"], summary["reconnections"]) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary(url, number):
    with Watching(url, "ecg/1", "--json") as watching:
        watching.wait_for("message")
        code, output, errors = watching.end(number)
    assert (code, errors) == (0, "")
    assert lines_of(output)[-1]["event"] == "summary"


@pytest.mark.slow
def test_in_a_terminal_there_is_a_table(url):
    ours, theirs = pty.openpty()
    output = b""
    with Watching(url, "ecg/1", "--seconds", 1.5, stdout=theirs, stderr=theirs) as watching:
        os.close(theirs)
        while select.select([ours], [], [], 120)[0]:
            try:
                output += os.read(ours, 65536)
            except OSError:  # its other end is closed
                break
        assert watching.process.wait(120) == 0
    os.close(ours)
    shown = ESCAPES.sub("", output.decode())
    for words in (
        "stream   ecg/1: 12 leads at 1000 Hz",
        "state    connected, V4, 1 s",
        "round trip",
        "the server's clock",
        "messages/s",
        "ms median",
        "0 gaps, 0 dropped frames, 0 reconnections",
    ):
        assert words in shown
    assert shown.rstrip().splitlines()[-3].lstrip("\r").startswith("total ")


@pytest.mark.slow
def test_a_closed_pipe_ends_it(url):
    with Watching(url, "ecg/1", "--json") as watching:
        watching.wait_for("message")
        watching.process.stdout.close()
        assert watching.process.wait(120) == 1
        assert watching.process.stderr.read() == ""


# --- what goes wrong ---


def test_an_unreachable_server_is_reported_in_one_line(url):
    refused = run("watch", "ws://127.0.0.1:1/ws", "ecg/1", code=1)
    assert refused.output == "error: ws://127.0.0.1:1/ws: Connection refused\n"
    elsewhere = run("watch", url.replace("/ws", "/elsewhere"), "ecg/1", code=1)
    assert "HTTP 404" in elsewhere.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ecg/1", "--since", "tomorrow"), "'tomorrow' is neither a number of seconds nor a time"),
        (("ecg/1", "--since", "-5"), "is not a number of seconds from 0"),
        (("ecg/1", "--seconds", "0"), "is not above 0"),
        (("ecg/1", "--header", "nonsense"), "'nonsense' is not a header"),
        (("",), "1 to 256 characters"),
        (("ecg/1", "ecg/2", "--samples"), "one stream is followed at a time; ecgframe record"),
    ],
)
def test_mistakes_of_usage(arguments, words):
    assert words in run("watch", "ws://127.0.0.1:1/ws", *arguments, code=2).output


def test_a_header_is_passed_on(url):
    assert "connected" in run("watch", url, "ecg/1", "--seconds", 0.3, "--header", "Authorization: Bearer 7").output


# --- what is counted ---


def wave(signal, **more):
    return Message(MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 250} | more, 3, Flag(0), 1)


@pytest.fixture(scope="module")
def signing(tmp_path_factory):
    """A server that signs, its URL, and its public key."""
    signing = pytest.importorskip("ecgframe.signing")
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path_factory.mktemp("signing") / "signing.pem"
    path.write_bytes(private.private_bytes(*form))
    with live("--signing-key", path, "--protocol", 4, "--alerts", 1) as running:
        yield url_of(running), signing.SigningKey(bytes(range(32))).public.hex()


@pytest.mark.slow
def test_signatures_are_verified(signing):
    url, public = signing
    done = run("watch", url, "ecg/1", "--signer", public, "--seconds", 4)
    found = re.search(r"^signed +(\d+) signed, (\d+) attested$", done.output, re.M)
    assert int(found[1]) >= 2
    assert int(found[2]) >= 40
    assert "UNSIGNED" not in done.output


@pytest.mark.slow
def test_an_unknown_signer_is_reported_and_sets_the_exit_code(signing):
    url, _ = signing
    done = run("watch", url, "ecg/1", "--signer", "11" * 32, "--seconds", 13, "--json", code=3)
    lines = lines_of(done.stdout)
    assert {line["signature"] for line in of(lines, "message") if line["type"] == "ANOMALY_ALERT"} == {"unknown signer"}
    assert of(lines, "attested") == []
    assert len(of(lines, "unattested")[0]["numbers"]) > 0
    [summary] = of(lines, "summary")
    assert summary["proofs"].keys() == {"unsigned", "unattested"}


@pytest.mark.slow
def test_a_server_before_version_4_proves_nothing(signing):
    with live("--protocol", 3) as old:
        done = run("watch", url_of(old), "ecg/1", "--signer", signing[1], "--seconds", 1, code=3)
    assert re.search(r"nothing can be verified: the server speaks version 3$", done.output, re.M)
    assert re.search(r"^signed +0 signed, 0 attested, \d+ UNVERIFIABLE$", done.output, re.M)


@pytest.mark.slow
def test_samples_are_written_and_proofs_are_reported(signing):
    url, public = signing
    done = run("watch", url, "ecg/1", "--signer", public, "--seconds", 2.5, "--samples")
    assert re.search(r"signatures: \d+ signed, \d+ attested$", done.output, re.M)


def test_rates_are_those_of_late():
    seen = StreamStats(100.0)
    assert seen.rates(100.0) == (0, 0, 0)
    for second in range(1, 11):
        for _ in range(second):
            seen.note(wave(np.zeros((2, 5))), None)
        seen.nbytes += 1000
        rates = seen.rates(100.0 + second)
    assert rates == (9.0, 90.0, 1000.0)  # 8, 9 and 10 messages
    assert NOW == 3
    assert seen.average(110.0) == (5.5, 55.0, 1000.0)
    assert (seen.leads, seen.sampling_rate) == (2, 250)


def test_latencies():
    seen = StreamStats(0.0)
    assert seen.latency() is None
    for milliseconds in range(1, 1001):
        seen.note(wave([1, 2]), milliseconds / 1000)
    assert seen.latency().median == pytest.approx(0.5, abs=0.001)
    assert seen.latency().p99 == pytest.approx(0.99, abs=0.001)
    assert seen.latency().largest == 1
    assert seen.latency(recent=True).median == pytest.approx(0.9, abs=0.001)


@pytest.mark.parametrize("data", [None, [1, 2], {}, {"signal": None}, {"signal": [1, 2], "sampling_rate": "fast"}])
def test_any_payload_is_counted(data):
    seen = StreamStats(0.0)
    seen.note(Message(MessageType.ECG_DATA, data, 1, Flag(0), None), None)
    seen.note(Message(MessageType.ANOMALY_ALERT, data, 1, Flag(0), None), None)
    assert (seen.messages, seen.alerts) == (2, 1)


# --- what is said ---


def said_by(view_class, tell):
    console = Terminal(record=True, width=120, file=io.StringIO(), color_system=None, force_terminal=False)
    seen = StreamStats(time.monotonic())
    view = view_class(console)
    tell(view, seen, connect("ws://localhost"))
    return console.export_text()


def test_alerts_gaps_and_errors_are_lines():
    def tell(view, seen, client):
        alert = {"kind": "asystole", "severity": "critical", "lead": "II", "timestamp": 0.0}
        view.message(Message(MessageType.ANOMALY_ALERT, alert, 3, Flag(0), 1), None)
        view.gap(Gap("ecg/1", 0, 2_000_000, 40))
        view.gap(Gap("ecg/1", 0, 2_000_000, None))
        view.error(RateLimitExceeded("too [slow]"))
        seen.note_gap(Gap("ecg/1", 0, 2_000_000, 40))
        view.sum_up(client, seen)

    said = said_by(Lines, tell)
    assert "critical, asystole, II" in said
    assert "40 frames were dropped by the server: 2 s from" in said
    assert "messages are lost: 2 s from" in said
    assert "error 0x204: too [slow]" in said
    assert "1 gap, 40 dropped frames, 0 reconnections" in said


def test_the_table_shows_the_last_alert():
    def tell(view, seen, client):
        seen.note(Message(MessageType.ANOMALY_ALERT, {"kind": "[b]asystole"}, 3, Flag(0), 1), None)
        view._console.print(view._table(client, seen))

    said = said_by(LiveTable, tell)
    assert "1; last: [b]asystole" in said
    assert "no signal yet" in said
    assert "not measured yet" in said


def test_payloads_as_json():
    uuid = UUID(int=7)
    moment = datetime(2026, 1, 15, tzinfo=UTC)
    data = {
        1: np.zeros((2, 3), "float32"),
        "short": [1, [2]],
        "long": [0] * 100,
        "raw": b"abc",
        "id": uuid,
        "at": moment,
    }
    assert _shown(data) == {
        "1": {"dtype": "float32", "shape": [2, 3]},
        "short": [1, [2]],
        "long": {"length": 100},
        "raw": {"bytes": 3},
        "id": str(uuid),
        "at": "2026-01-15T00:00:00+00:00",
    }


def test_help_says_what_there_is():
    output = run("watch", "--help").output
    for words in ("--seconds", "--json", "--since", "--header", "Ctrl-C"):
        assert words in output
