"""``ecgframe record`` with servers that restart, and as a process that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli.live_server import ENVIRONMENT, live
from command_line import run
from ports import unused_port
from recordings import optional, toy_ecg

from ecgframe import MessageType, PermissionDenied
from ecgframe.cli.console import Terminal
from ecgframe.frame_file import FrameFileError, constant_fields, read_frames
from ecgframe.records import Annotation, Record, RecordError, read_record, shipped_ecg
from ecgframe.tools.salvage import read_damaged

for name in ("websockets", "wfdb", "edfio", "mcap"):
    optional(name)

from recording.mcap_files import complete, incomplete, record_of  # noqa: E402 - after the skip

from ecgframe.cli.record.run import _progress, _tell  # noqa: E402 - after the skip
from ecgframe.recording import FORMATS, Recorder, StreamSummary, record  # noqa: E402 - after the skip
from ecgframe.server import Settings, WebSocketBinaryHandler  # noqa: E402
from ecgframe.server.adapters.websockets import serve  # noqa: E402

# wfdb reads annotations with a pandas call that is deprecated
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")

BEGIN = 1_700_000_000.0
HASTE = {"reconnect_delays": lambda: itertools.repeat(0.02)}


class Publisher:
    """A publisher of a recording, with a server that can stop and restart on the same port."""

    def __init__(self, recording: Record, samples: int, stream: str = "ecg/1") -> None:
        self.recording = recording
        self.samples = samples
        self.stream = stream
        self.port = unused_port()
        self.frames = -(-recording.samples // samples)
        self.lost: list[int] = []
        self._handler: WebSocketBinaryHandler | None = None
        self._stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def is_up(self) -> bool:
        return self._handler is not None

    async def up(self) -> None:
        # Room for whole recordings: a recorder on a busy machine may be slower than a publisher at full speed.
        self._handler = handler = WebSocketBinaryHandler(settings=Settings(queue_frames=100_000, queue_bytes=1 << 30))
        await self._stack.enter_async_context(handler)
        await self._stack.enter_async_context(serve(handler, "127.0.0.1", self.port))

    async def down(self) -> None:
        self._handler = None
        await self._stack.aclose()

    async def has_viewers(self, count: int = 1) -> None:
        async with asyncio.timeout(120):
            while self._handler is None or _subscribed(self._handler, self.stream) < count:
                await asyncio.sleep(0.005)

    async def publish(self, number: int) -> None:
        """Publish one frame; it is lost while the server is stopped."""
        if self._handler is None:
            self.lost.append(number)
            return
        start = number * self.samples
        data = {
            "signal": self.recording.signal[:, start : start + self.samples],
            **constant_fields(self.recording, calibrated=True),
            "sequence": number,
            "timestamp": BEGIN + start / self.recording.sampling_rate,
        }
        await self._handler.publish(self.stream, MessageType.ECG_DATA, data)

    async def alert(self, note: Annotation) -> None:
        assert self._handler is not None
        alert = {"kind": note.text, "timestamp": BEGIN + note.time}
        await self._handler.publish(self.stream, MessageType.ANOMALY_ALERT, alert)

    def gone(self) -> np.ndarray:
        """Mask of the samples that were lost."""
        gone = np.zeros(self.recording.samples, bool)
        for number in self.lost:
            gone[number * self.samples : (number + 1) * self.samples] = True
        return gone


def read(path, *, is_complete=True) -> Record:
    if path.suffix == ".mcap":
        return record_of(complete(path) if is_complete else incomplete(path))
    if path.suffix != ".frames":
        return read_record(path)
    return read_frames(path).record if is_complete else _frames_of_killed(path)


def _frames_of_killed(path) -> Record:
    """Read a file of frames whose last frame may be cut short: Linux ends a write between two pages of memory."""
    try:
        return read_frames(path).record
    except FrameFileError:
        found = read_damaged(path)
    assert (found.losses.frames, found.losses.is_cut, found.losses.gaps) == (1, True, [])
    return found.found.record


def samples_in(folder) -> int:
    """Number of samples that the file there holds while it is written; 0 while it cannot be read."""
    for path in folder.iterdir():
        if path.suffix in FORMATS.values():
            with contextlib.suppress(RecordError, FrameFileError, OSError):
                return read(path, is_complete=False).samples
    return 0


def _subscribed(handler: WebSocketBinaryHandler, stream: str) -> int:
    return sum(stream in connection.streams for connection in handler.connections())


async def until(is_so, seconds=120.0) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.005)


# --- restarts of the server ---


@pytest.mark.slow
@pytest.mark.parametrize("form", ["edf", "bdf", "wfdb", "frames", "mcap"])
def test_recording_continues_after_restarts_of_the_server(tmp_path, form):
    """A minute of 12 leads at 500 Hz, 3 restarts: equal to the original, and missing only where frames were lost."""
    random = np.random.default_rng(7)
    counts = random.integers(-30_000, 30_000, (12, 30_000), np.int16)
    original = Record(counts, 500, shipped_ecg().leads, "mV", (800.0,) * 12, (0,) * 12)
    alerts = (Annotation(10.5, "asystole"), Annotation(40.25, "lead off"))

    async def main():
        publisher = Publisher(original, 250)
        await publisher.up()
        recorder = Recorder(publisher.url, ["ecg/1"], tmp_path, format=form, **HASTE)
        stop = asyncio.Event()
        running = asyncio.create_task(recorder.run(stop=stop))
        await publisher.has_viewers()
        [summary] = recorder.summaries
        for number in range(publisher.frames):
            if number in (30, 60, 90):
                await until(lambda number=number: summary.samples + summary.missing >= number * 250)
                await publisher.down()
            if number in (33, 67, 91):
                await publisher.up()
                await publisher.has_viewers()
            await publisher.publish(number)
            for note in alerts:
                if number == int(note.time * 2) + 1:
                    await publisher.alert(note)
        await until(lambda: summary.samples + summary.missing == original.samples and summary.alerts == 2)
        stop.set()
        await running
        await publisher.down()
        return publisher, summary

    publisher, summary = asyncio.run(main())
    gone = publisher.gone()
    assert np.count_nonzero(gone) == (3 + 7 + 1) * 250
    found = read(summary.files[0])
    np.testing.assert_array_equal(found.is_missing(), np.broadcast_to(gone, found.signal.shape))
    np.testing.assert_array_equal(found.signal[:, ~gone], original.signal[:, ~gone])
    assert [note[:2] for note in found.annotations] == [note[:2] for note in alerts]
    assert (summary.gaps, summary.missing, summary.alerts, summary.annotated) == (3, 11 * 250, 2, 2)
    assert (summary.unfilled, summary.refused, summary.remarks) == (0, 0, [])
    assert found.leads == original.leads
    assert found.gain == original.gain


def test_arrhythmia_is_recorded_as_wfdb_with_annotations(tmp_path):
    """Five minutes, published, recorded as WFDB and read by the wfdb library: samples and annotations are equal."""
    wfdb = optional("wfdb")
    original = toy_ecg()
    beats = [Annotation(float(at), text) for at, text in zip(np.arange(0.5, 299, 0.8), itertools.cycle("NNV"))]

    async def main():
        publisher = Publisher(original, 360)
        await publisher.up()
        recorder = Recorder(publisher.url, ["ecg/1"], tmp_path / "toy.hea", **HASTE)
        stop = asyncio.Event()
        running = asyncio.create_task(recorder.run(stop=stop))
        await publisher.has_viewers()
        waiting = list(beats)
        [summary] = recorder.summaries
        for number in range(publisher.frames):
            await publisher.publish(number)
            while waiting and waiting[0].time < number + 1:
                await publisher.alert(waiting.pop(0))
            if number % 50 == 49:
                await until(lambda number=number: summary.samples == (number + 1) * 360)
        await until(lambda: summary.samples == original.samples and summary.alerts == len(beats))
        stop.set()
        await running
        await publisher.down()
        return summary

    summary = asyncio.run(main())
    assert summary.is_whole
    found = wfdb.rdrecord(str(tmp_path / "toy"), physical=False)
    np.testing.assert_array_equal(found.d_signal.T, original.signal)
    assert (found.fs, found.sig_name, found.adc_gain, found.baseline) == (360, ["MLII"], [200.0], [1024])
    marks = wfdb.rdann(str(tmp_path / "toy"), "atr")
    assert marks.sample.tolist() == [round(beat.time * 360) for beat in beats]
    assert marks.symbol == [beat.text for beat in beats]


@pytest.mark.slow
def test_several_streams_are_recorded_at_once(tmp_path):
    with live("--streams", 3, "--frame-ms", 100) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        names = ["ecg/1", "ecg/2", "ecg/3"]
        out = run("record", url, *names, "-o", tmp_path / "night", "--duration", 2.5, "--json").stdout
    told = json.loads(out)["streams"]
    assert [summary["stream"] for summary in told] == names
    for summary in told:
        [file] = summary["files"]
        found = read_record(file)
        assert (found.samples, found.leads) == (summary["samples"], shipped_ecg().leads)
        assert found.samples > 1000
        assert summary["is_whole"]
    assert len({read_record(summary["files"][0]).signal[:, :100].tobytes() for summary in told}) == 3


@pytest.mark.slow
def test_summary_is_printed(tmp_path):
    with live("--alerts", 0.5) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        out = run("record", url, "ecg/1", "-o", tmp_path / "bed.edf", "--duration", 1.5)
        assert out.stdout.startswith("ecg/1: recorded ")
        assert " samples per lead\n" in out.stdout
        assert " were written as annotations\n" in out.stdout
        assert f"  {tmp_path / 'bed.edf'}: " in out.stdout
        again = run("record", url, "ecg/1", "-o", tmp_path / "bed.edf", "--duration", 1, code=2)
        assert "bed.edf is there already; --force replaces it" in again.output
        before = (tmp_path / "bed.edf").read_bytes()
        run("record", url, "ecg/1", "-o", tmp_path / "bed.edf", "--duration", 1, "--force")
        assert (tmp_path / "bed.edf").read_bytes() != before
        unknown = run("record", url, "ecg/9", "-o", tmp_path / "x.edf", "--duration", 0.5, code=1).output
        assert "there is no stream 'ecg/9'; there is 'ecg/1'" in unknown
    assert not (tmp_path / "x.edf").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("ecg/1", "-o", "x.mat"), "the name of a file must end in .edf, .bdf, .hea, .frames, .mcap"),
        (("ecg/1", "-o", "x.edf", "--format", "wfdb"), "a file in the format wfdb must end in .hea"),
        (("ecg/1", "-o", "a b.hea"), "the name of a WFDB record may have letters, digits"),
        (("ecg/1", "ecg/2", "-o", "x.edf"), "can hold only one stream; name a folder for several streams"),
        (("ecg/1", "ecg/1", "-o", "x"), "each stream only once"),
        (("ecg/1", "-o", "-"), "recordings cannot be written to standard output"),
        (("ecg/1", "-o", "no/such/folder"), "No such file or directory"),
        (("", "-o", "x"), "1 to 256 characters"),
        (("ecg/1", "-o", "x", "--rotate-seconds", "0"), "0 is not above 0"),
        (("ecg/1", "-o", "x.edf"), "Connection refused"),
    ],
)
def test_invalid_arguments_are_reported_in_a_line(tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    out = run("record", f"ws://127.0.0.1:{unused_port()}/ws", *arguments, code=None)
    assert out.code in (1, 2)
    assert problem in " ".join(out.output.split())
    assert list(tmp_path.glob("*.*")) == []


def test_a_denied_stream_ends_the_recording(tmp_path):
    async def main():
        async def authorize(connection, action, stream):
            return stream != "ecg/secret"

        async with WebSocketBinaryHandler(authorize=authorize) as handler, serve(handler, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
            with pytest.raises(PermissionDenied):
                await record(url, ["ecg/secret"], tmp_path / "night", seconds=20)

    asyncio.run(main())
    assert list((tmp_path / "night").iterdir()) == []


def test_progress_is_shown_on_a_terminal():
    console = Terminal(file=io.StringIO(), width=100, force_terminal=False)
    summary = StreamSummary(
        "ecg/1\x1b[31m", samples=5000, seconds=65.5, gaps=2, unfilled=1, alerts=1234, nbytes=120_000
    )
    console.print(_progress([summary]))
    head, row = console.file.getvalue().splitlines()
    assert head.split() == ["stream", "recorded", "size", "gaps", "alerts"]
    assert row.split()[1:] == ["1", "min", "5", "s", "120", "kB", "3", "1,234"]
    assert "\x1b" not in row


@pytest.mark.slow
def test_no_progress_is_shown_without_a_terminal(tmp_path):
    """Standard error has lines about the connection only; standard output has the summary."""

    async def main():
        publisher = Publisher(shipped_ecg(), 1000)
        await publisher.up()
        recording = Recording(publisher.url, "ecg/1", "-o", tmp_path / "bed.hea", "--json")
        await publisher.has_viewers()
        await publisher.publish(0)
        recording.process.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(recording.process.communicate)
        await publisher.down()
        return out, err

    out, err = asyncio.run(main())
    assert [line.split(" ", 1)[1] for line in err.splitlines()] == ["connected"]
    [told] = json.loads(out)["streams"]
    assert (told["stream"], told["samples"], told["is_whole"]) == ("ecg/1", 1000, True)
    assert told["files"] == [str(tmp_path / f"bed{suffix}") for suffix in (".hea", ".dat")]


# --- killing the recorder ---


class Recording:
    """The command as a process."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ecgframe", "record", *map(str, arguments)],
            env=os.environ | ENVIRONMENT | {"WEBSOCKETS_BACKOFF_INITIAL_DELAY": "0.05"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out + err


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    ["edf", *(pytest.param(form, marks=SLOW) for form in ("bdf", "wfdb", "frames", "mcap"))],
)
def test_a_killed_recorder_loses_at_most_the_last_second(tmp_path, form):
    original = replace(shipped_ecg(), signal=np.tile(shipped_ecg().signal, (1, 2)))
    expected = 12_000 if form in ("edf", "bdf") else 12_500

    async def main():
        publisher = Publisher(original, 50)
        await publisher.up()
        recording = Recording(publisher.url, "ecg/1", "-o", tmp_path, "--format", form)
        await publisher.has_viewers()
        for number in range(250):  # 12.5 s
            await publisher.publish(number)
        await until(lambda: samples_in(tmp_path) >= expected)
        code, _ = await asyncio.to_thread(recording.end, signal.SIGKILL)
        await publisher.down()
        return code

    assert asyncio.run(main()) == -signal.SIGKILL
    [path] = [file for file in tmp_path.iterdir() if file.suffix in FORMATS.values()]
    found = read(path, is_complete=False)
    assert found.samples == expected
    np.testing.assert_array_equal(found.signal, original.signal[:, : found.samples])
    assert found.repaired == ()
    assert not found.is_missing().any()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["edf", "wfdb", "frames", "mcap"])
def test_a_recorder_can_be_killed_at_any_moment(tmp_path, form):
    """Killed while receiving at full speed, it leaves files that hold the beginning of the stream.

    Only the last frame or data record may be cut short.
    """
    rng = np.random.default_rng(3)
    original = Record(
        rng.integers(-9999, 9999, (8, 400_000), np.int16), 500, tuple("ABCDEFGH"), "mV", (1000.0,) * 8, (0,) * 8
    )

    async def one(folder):
        publisher = Publisher(original, 250)
        await publisher.up()
        recording = Recording(publisher.url, "ecg/1", "-o", folder, "--format", form)
        await publisher.has_viewers()
        deadline = time.monotonic() + rng.uniform(0.05, 0.6)
        for number in range(publisher.frames):
            await publisher.publish(number)
            await publisher.alert(Annotation(number / 2, f"note {number}"))
            await asyncio.sleep(0)
            if time.monotonic() > deadline:
                break
        await asyncio.to_thread(recording.end, signal.SIGKILL)
        await publisher.down()

    recorded = 0
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        asyncio.run(one(folder))
        for path in folder.iterdir():
            if path.suffix in FORMATS.values() and path.stat().st_size:
                found = read(path, is_complete=False)
                is_missing = found.is_missing()
                assert not is_missing[:, : -original.sampling_rate].any()  # the last data record may be incomplete
                expected = np.where(is_missing, found.signal, original.signal[:, : found.samples])
                np.testing.assert_array_equal(found.signal, expected)
                # killed while writing a data record, or before updating the number of them in the header
                expected_repairs = "its header announces", "bytes of a record that is cut short"
                assert all(any(repair in what for repair in expected_repairs) for what in found.repaired)
                recorded += found.samples
    assert recorded > 0


@pytest.mark.slow
def test_sigterm_ends_a_recording_with_complete_files(tmp_path):
    async def main():
        publisher = Publisher(shipped_ecg(), 50)
        await publisher.up()
        recording = Recording(publisher.url, "ecg/1", "-o", tmp_path / "bed.edf")
        await publisher.has_viewers()
        for number in range(30):
            await publisher.publish(number)
        code, out = await asyncio.to_thread(recording.end, signal.SIGTERM)
        await publisher.down()
        return code, out

    code, out = asyncio.run(main())
    assert (code, "Traceback" in out) == (0, False), out
    found = read_record(tmp_path / "bed.edf")
    np.testing.assert_array_equal(found.signal, shipped_ecg().signal[:, :1500])
    assert "ecg/1: recorded 1.5 s, 1,500 samples per lead" in out


def test_signatures_need_version_4(tmp_path):
    with live("--protocol", 3) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        said = run("record", url, "ecg/1", "-o", tmp_path / "a.frames", "--signatures", "--duration", 5, code=1).output
        assert "signatures and attestations need version 4" in said
    for options in (("--rotate-seconds", 1), ("--format", "mcap")):
        place = tmp_path / "folder"
        said = run("record", url, "ecg/1", "-o", place, "--signatures", *options, code=2).output
        assert "signatures" in said


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """A recording with signatures of a stream whose numbers did not begin with it, and the public key."""
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ecgframe.signing import SigningKey

    folder = tmp_path_factory.mktemp("signed")
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "signing.pem").write_bytes(private.private_bytes(*form))
    place = folder / "bed.frames"
    with live("--signing-key", folder / "signing.pem", "--protocol", 4, "--alerts", 1) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        run("record", url, "ecg/1", "-o", place, "--signatures", "--duration", 4)
    return place, SigningKey(bytes(range(32))).public.hex()


def test_a_gap_begins_no_new_file_where_signatures_are_kept(capsys):
    for signatures, told in (
        (True, "not filled: 1 gap\n"),
        (False, "not filled: 1 gap, each followed by a new file\n"),
    ):
        summary = StreamSummary("ecg/1", unfilled=1)
        summary.files.append(Path(__file__))
        _tell([summary], signatures=signatures, as_json=False)
        assert told in capsys.readouterr().out


@pytest.mark.slow
def test_a_recording_with_signatures_is_read_as_any_other(signed, tmp_path):
    place, public = signed
    assert "proven up to" in run("verify", place, "--signer", public, code=3).output
    found = read_frames(place)
    record, original = found.record, shipped_ecg()
    assert found.versions == (4,)
    assert record.leads == original.leads
    assert record.samples >= 3000
    np.testing.assert_array_equal(record.gain, original.gain)
    begin, everything = record.signal[:, :200], original.signal
    start = next(at for at in range(original.samples) if np.array_equal(everything[:, at : at + 200], begin))
    length = min(record.samples, original.samples - start)
    np.testing.assert_array_equal(record.signal[:, :length], everything[:, start : start + length])
    assert len(record.annotations) >= 2  # the alerts, which are signed one by one
    assert any("signatures and" in what and "ecgframe verify" in what for what in record.left_out)
    again = tmp_path / "again.edf"
    run("decode", place, "-o", again)
    np.testing.assert_array_equal(read_record(again).signal, record.signal)
    with live(place) as server:
        assert "ecg/1" in server.streams


@pytest.mark.slow
def test_a_damaged_recording_with_signatures_is_read_as_far_as_it_goes(signed, tmp_path):
    octets = bytearray(signed[0].read_bytes())
    octets[len(octets) // 2] ^= 1
    place = tmp_path / "damaged.frames"
    place.write_bytes(octets)
    with pytest.raises(FrameFileError):
        read_frames(place)
    whole, damaged = read_frames(signed[0]).record, read_damaged(place)
    assert damaged.losses.frames == 1
    assert abs(damaged.found.record.samples - whole.samples) <= 50
