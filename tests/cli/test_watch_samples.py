"""``ecgframe watch --samples``: rows of samples, as CSV and as JSON lines."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import threading

import numpy as np
import pytest
from cli.live_server import LiveServer, live
from cli.watching import Watching
from recordings import optional

from ecgframe import Flag, Message, MessageType
from ecgframe.cli.console import Terminal
from ecgframe.recording.timeline import Break
from ecgframe.records import read_record, shipped_ecg

optional("websockets")

from ecgframe.cli.watch.sample_views import CsvSamples, FormatChanged, JsonSamples  # noqa: E402 - after the skip
from ecgframe.cli.watch.stream_stats import StreamStats  # noqa: E402
from ecgframe.client import Gap  # noqa: E402

BEGIN = 1_768_473_045


def message(signal, number=None, *, type=MessageType.ECG_DATA, published=None, **more):
    """Return a message of a stream of 4 Hz; with a number, also with its time."""
    counted = {} if number is None else {"sequence": number, "timestamp": BEGIN + number / 2}
    data = {"signal": signal, "sampling_rate": 4, **counted, **more}
    return Message(type, data, 1 if published is None else 3, Flag(0), published)


def written(kind, *events, after=()):
    """Let a view take messages and gaps; return what it wrote, what it said, and whether it is whole."""
    file, said = io.BytesIO(), io.StringIO()
    console = Terminal(file=said, width=200, color_system=None, force_terminal=False)
    view = kind("ecg/1", file, console)

    async def take():
        for event in events:
            view.gap(event) if isinstance(event, Gap) else view.message(event, None)
            await view.flush()
        view.sum_up(None, StreamStats(0.0))
        await view.finish()

    asyncio.run(take())
    return file.getvalue().decode(), said.getvalue(), view.is_whole


def test_csv_has_names_units_and_times():
    calibrated = {"leads": ["II", "V5"], "units": "mV", "gain": [200, 100], "baseline": [0, 7], "missing": -9}
    first = message(np.array([[100, -9], [7, 107]], np.int16), 0, **calibrated)
    second = message(np.array([[-50, 1], [-9, 8]], np.int16), 1, **calibrated)
    assert written(CsvSamples, first, second) == (
        "time,II (mV),V5 (mV)\n"
        "1768473045.0,0.5,0.0\n"
        "1768473045.25,,1.0\n"
        "1768473045.5,-0.25,\n"
        "1768473045.75,0.005,0.01\n",
        "",
        True,
    )


def test_json_lines_name_each_value():
    calibrated = {"leads": ["II", "II"], "units": "uV", "missing": -9}
    output, said, is_whole = written(JsonSamples, message(np.array([[100, -9], [7, 8]], np.int16), 0, **calibrated))
    assert list(map(json.loads, output.splitlines())) == [
        {"event": "header", "stream": "ecg/1", "sampling_rate": 4, "leads": ["II", "II (2)"], "units": "uV"},
        {"event": "sample", "time": BEGIN, "values": {"II": 100, "II (2)": 7}},
        {"event": "sample", "time": BEGIN + 0.25, "values": {"II": None, "II (2)": 8}},
    ]
    assert (said, is_whole) == ("", True)


@pytest.mark.parametrize(
    ("signal", "fields", "header", "cells"),
    [
        (np.array([[2**62 + 1, 2]]), {}, "ch1 (counts)", [str(2**62 + 1), "2"]),
        ([0.1, float("nan")], {}, "ch1 (mV)", ["0.1", ""]),
        (np.array([[1, 2]], "f4"), {"units": "=cmd()\n"}, "ch1 (=cmd()\\n)", ["1.0", "2.0"]),
        (np.array([[1, 2]]), {"leads": ["=cmd()"], "gain": 2}, "'=cmd() (mV)", ["0.5", "1.0"]),
        (np.array([[1, 2]]), {"leads": ["\x1b[2J,"], "gain": 2}, '"\\x1b[2J, (mV)"', ["0.5", "1.0"]),
    ],
)
def test_cells_are_exact_and_safe(signal, fields, header, cells):
    output, _, _ = written(CsvSamples, message(signal, 0, **fields))
    first, *rows = output.splitlines()
    assert first == f"time,{header}"
    assert [row.partition(",")[2] for row in rows] == cells


def test_gaps_are_reported_at_their_positions():
    events = [
        message([0.0, 0.0], 0),
        message([1.0, 1.0], 3),
        Gap("ecg/1", 1, 2, 5),
        message([2.0, 2.0], 5),
        message([3.0, 3.0], 5, published=None),
        message([4.0, 4.0], 0, timestamp=BEGIN + 100),
        Gap("ecg/1", 1, 2, None),
    ]
    output, said, is_whole = written(CsvSamples, *events)
    assert [row.partition(",")[2] for row in output.splitlines()[1:]] == [f"{n}.0" for n in (0, 0, 1, 1, 2, 2, 4, 4)]
    lines = [line.partition(" ")[2] for line in said.splitlines()]
    assert lines == [
        "gap: 4 samples of each lead, 1 s, from 1768473045.500000 (2026-01-15T10:30:45Z) on",
        "gap: 2 samples of each lead, 0.5 s, from 1768473047.000000 (2026-01-15T10:30:47Z) on "
        "(5 messages dropped by the server)",
        "gap: 388 samples of each lead, 1 min 37 s, from 1768473048.000000 (2026-01-15T10:30:48Z) on",
        "gap: an unknown number of samples, because no message followed, from 1768473145.500000 "
        "(2026-01-15T10:32:25Z) on",
        "repeated: 1 message, written only once",
    ]
    assert not is_whole
    gaps = [line for line in map(json.loads, written(JsonSamples, *events)[0].splitlines()) if line["event"] == "gap"]
    assert gaps[0] == {
        "event": "gap",
        "time": BEGIN + 0.5,
        "until": BEGIN + 1.5,
        "samples": 4,
        "frames": None,
        "reason": None,
    }
    assert (gaps[1]["samples"], gaps[1]["frames"]) == (2, 5)
    assert (gaps[3]["until"], gaps[3]["samples"], gaps[3]["reason"]) == (None, None, "no message followed")


def test_losses_before_the_first_message_are_reported():
    gap = Gap("ecg/1", 1_768_473_044_000_000, 1_768_473_044_900_000, 3)
    for after in ((), (message([0.0, 0.0], 0),)):
        found = [json.loads(line) for line in written(JsonSamples, gap, *after)[0].splitlines()]
        [told] = [line for line in found if line["event"] == "gap"]
        assert (told["time"], told["samples"], told["frames"]) == (BEGIN - 1, None, 3)
        assert told["until"] == (BEGIN if after else None)


def test_samples_without_number_and_time_count_from_the_beginning():
    output, _, _ = written(JsonSamples, message([0.0, 1.0]), Gap("ecg/1", 1, 2, 3), message([2.0, 3.0]))
    found = list(map(json.loads, output.splitlines()))
    assert [line["time"] for line in found if line["event"] == "sample"] == [0, 0.25, 0.5, 0.75]
    [gap] = [line for line in found if line["event"] == "gap"]
    assert (gap["samples"], gap["frames"], gap["reason"]) == (None, 3, Break.UNCOUNTED.value)


def test_without_times_of_measurement_those_of_publication_are_smoothed():
    published = [BEGIN + 1, BEGIN + 1.51, BEGIN + 1.99, BEGIN + 10]
    messages = [message([0.0, 0.0], published=round(at * 1e6), sequence=n) for n, at in enumerate(published)]
    output, _, _ = written(CsvSamples, *messages)
    times = [float(row.partition(",")[0]) - BEGIN for row in output.splitlines()[1:]]
    assert times == [0.5, 0.75, 1, 1.25, 1.5, 1.75, 9.5, 9.75]


def test_a_stream_that_changes_its_leads_ends_a_table():
    one, other = message([0.0, 0.0], 0, leads=["I"]), message([1.0, 1.0], 1, leads=["II"])
    with pytest.raises(FormatChanged, match=r"changed its leads or its unit, .* --json"):
        written(CsvSamples, one, other)
    lines = list(map(json.loads, written(JsonSamples, one, other)[0].splitlines()))
    assert [line["leads"] for line in lines if line["event"] == "header"] == [["I"], ["II"]]
    faster = message(np.zeros(2), 1, sampling_rate=8)
    assert "the sampling rate changed from 4 to 8 Hz" in written(CsvSamples, message(np.zeros(2), 0), faster)[1]


def test_messages_that_are_not_written_are_named():
    alert = message([], type=MessageType.ANOMALY_ALERT)
    broken = [message("no", 1), message([0.0], 1, sampling_rate=1e-9), message([0.0], 1, gain=0)]
    output, said, is_whole = written(CsvSamples, message([0.0, 0.0], 0), alert, *broken)
    assert output.count("\n") == 3
    assert "not written: 1 ANOMALY_ALERT message" in said
    assert "a message of 'ecg/1' cannot be shown: ECG_DATA: " in said
    assert "refused: 3 messages that cannot be shown" in said
    assert not is_whole


class SlowFile(io.BytesIO):
    """A file that takes nothing until it is released."""

    def __init__(self):
        super().__init__()
        self.begun, self.released = threading.Event(), threading.Event()

    def write(self, text):
        self.begun.set()
        assert self.released.wait(20)
        return super().write(text)


def test_a_reader_that_is_slow_stops_neither_the_client_nor_the_end():
    file = SlowFile()

    async def take():
        view = CsvSamples("ecg/1", file, Terminal(file=io.StringIO()))
        view.message(message([0.0, 0.5], 0), None)
        flushing = asyncio.create_task(view.flush())
        assert await asyncio.to_thread(file.begun.wait, 20)  # so the loop goes on meanwhile
        flushing.cancel()
        await asyncio.wait([flushing])
        view.sum_up(None, StreamStats(0.0))
        file.released.set()
        await view.finish()

    asyncio.run(take())
    assert file.getvalue().count(b"\n") == 3


# --- of a server ---


@pytest.fixture(scope="module")
def server():
    with live() as running:
        yield running


@pytest.fixture
def url(server):
    return f"ws://127.0.0.1:{server.port}/ws"


@pytest.mark.slow
def test_rows_of_a_server_are_those_of_its_recording_until_the_pipe_is_closed(url, tmp_path):
    """The only stream need not be named, and what was written can be read as a recording."""
    with Watching(url, "--samples") as watching:
        (tmp_path / "live.csv").write_text("".join(watching.process.stdout.readline() for _ in range(121)))
        watching.process.stdout.close()
        assert watching.process.wait(20) == 1
        assert watching.process.stderr.read().endswith(" connected\n")
    found, played = read_record(tmp_path / "live.csv"), shipped_ecg()
    assert (found.leads, found.units, found.sampling_rate, found.samples) == (played.leads, "mV", 1000, 120)
    rows = {tuple(row) for row in played.physical().T}
    assert all(tuple(row) in rows for row in found.signal.T)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_whole_rows(url, number):
    with Watching(url, "ecg/1", "--samples") as watching:
        for _ in range(120):
            watching.process.stdout.readline()
        watching.process.send_signal(number)
        output, errors = watching.process.stdout.read(), watching.process.stderr.read()
        assert watching.process.wait(20) == 0
    assert len(errors.splitlines()) == 1  # connected
    assert output.endswith("\n")
    assert {line.count(",") for line in output.splitlines()} == {12}


@pytest.mark.slow
def test_a_server_that_is_started_again_leaves_a_gap():
    first = LiveServer()
    url = f"ws://127.0.0.1:{first.port}/ws"
    with Watching(url, "ecg/1", "--samples", "--json") as watching:
        watching.wait_for("sample")
        first.end(signal.SIGKILL)
        with live("--port", first.port):
            gap = watching.wait_for("gap")
            watching.wait_for("sample")
            code, _, errors = watching.end()
    assert gap["until"] > gap["time"]
    assert code == 3
    assert "connection lost; reconnecting" in errors
