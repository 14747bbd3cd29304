"""An hour of a 12-lead stream, recorded through restarts of the server and the death of the recorder."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
from cli.test_record import BEGIN, Publisher, Recording
from recordings import optional

from ecgframe.records import Annotation, Record, read_record, shipped_ecg

for name in ("websockets", "edfio"):
    optional(name)

RATE = 500
FRAME = 250
FRAMES = 3600 * RATE // FRAME
DOWN = {1200: 1207, 3000: 3121, 5400: 5401}
"""Frames at which the server stops, and at which it is back."""

KILLED = 4000
"""The frame after which the recorder is killed."""

UNSEEN = 20
"""Frames that are published before there is another recorder."""

ALERTS = (Annotation(100.25, "asystole"), Annotation(1990.5, "lead off"), Annotation(3599.0, "VT"))


@dataclass
class File:
    """A recorded file.

    Attributes:
        path: the file.
        first: number of its first sample in what was published.
        record: the recording, as ``read_record`` reads it.
    """

    path: str
    first: int
    record: Record


def published() -> Record:
    """The shipped ECG over and over, each time with other noise, and with counts up to the limits of 16 bits."""
    random = np.random.default_rng(11)
    samples = FRAMES * FRAME
    ecg = shipped_ecg().signal
    counts = np.tile(ecg, (1, -(-samples // ecg.shape[1])))[:, :samples].astype(np.int16)
    counts += random.integers(-50, 51, counts.shape, np.int16)
    counts[:, ::7919] = random.integers(-32_000, 32_001, counts[:, ::7919].shape, np.int16)
    return Record(counts, RATE, shipped_ecg().leads, "mV", (1000.0,) * 12, (0,) * 12)


def recorded(folder) -> int:
    """The second of what was published, rounded down, up to which the files have data records of a second each."""
    latest = 0
    for path in folder.glob("*.edf"):
        with path.open("rb") as file:
            header = file.read(256).decode("ascii")
        if header:
            start = datetime.strptime(header[168:184], "%d.%m.%y%H.%M.%S").replace(tzinfo=UTC)
            latest = max(latest, int(start.timestamp() - BEGIN) + int(header[236:244]))
    return latest


async def until_recorded(folder, frames: int) -> None:
    """Wait until these frames are recorded, except for two seconds."""
    async with asyncio.timeout(120):
        while recorded(folder) < frames * FRAME // RATE - 2:
            await asyncio.sleep(0.05)


async def play(original: Record, folder) -> tuple[Publisher, tuple[int, str]]:
    """Publish all frames as fast as the recorder writes them."""
    publisher = Publisher(original, FRAME)
    arguments = (publisher.url, "ecg/1", "-o", folder, "--since", 25, "--json")
    await publisher.up()
    recordings = [Recording(*arguments)]
    try:
        await publisher.has_viewers()
        return publisher, await publish(publisher, folder, arguments, recordings)
    finally:
        for recording in recordings:
            recording.process.kill()
            recording.process.communicate()
        await publisher.down()


async def publish(publisher, folder, arguments, recordings) -> tuple[int, str]:
    alerts = {int(note.time * RATE) // FRAME: note for note in ALERTS}
    for number in range(FRAMES):
        if number in DOWN:
            await until_recorded(folder, number)
            await publisher.down()
        if number in DOWN.values():
            await publisher.up()
            await publisher.has_viewers()
        await publisher.publish(number)
        if number in alerts:
            await publisher.alert(alerts[number])
        if number == KILLED:
            await until_recorded(folder, number)
            code, _ = await asyncio.to_thread(recordings[-1].end, signal.SIGKILL)
            assert code == -signal.SIGKILL
        if number == KILLED + UNSEEN:
            recordings.append(Recording(*arguments))
            await publisher.has_viewers()
        if number % 100 == 99 and publisher.is_up and recordings[-1].process.poll() is None:
            await until_recorded(folder, number)
    await until_recorded(folder, FRAMES)
    return await asyncio.to_thread(recordings[-1].end, signal.SIGTERM)


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """What was published, which samples of it were told as lost, and the recorded files."""
    folder = tmp_path_factory.mktemp("hour")
    original = published()
    publisher, (code, out) = asyncio.run(play(original, folder))
    assert code == 3, out
    gone = publisher.gone()
    assert np.count_nonzero(gone) == sum(up - down for down, up in DOWN.items()) * FRAME
    files = []
    for path in sorted(folder.iterdir()):
        record = read_record(path)
        begins = record.start.replace(tzinfo=UTC).timestamp() - BEGIN
        files.append(File(str(path), round(begins * RATE), record))
    return original, gone, files


pytestmark = pytest.mark.slow


def test_every_sample_is_in_a_file_and_equal(hour):
    original, gone, files = hour
    assert len(files) == 2
    covered = np.zeros(original.samples, bool)
    for file in files:
        last = file.first + file.record.samples
        covered[file.first : last] = True
        expected = np.where(gone, np.int16(file.record.missing), original.signal)[:, file.first : last]
        np.testing.assert_array_equal(file.record.signal, expected)
    assert covered.all()
    assert files[0].record.samples >= KILLED * FRAME - 2 * RATE  # what was recorded when it was killed


def test_pyedflib_reads_the_same_counts(hour):
    pyedflib = optional("pyedflib")
    original, gone, files = hour
    for file in files:
        with pyedflib.EdfReader(file.path) as reader:
            begins = (
                reader.getStartdatetime() - datetime.fromtimestamp(BEGIN, UTC).replace(tzinfo=None)
            ).total_seconds()
            assert int(begins) == file.first // RATE  # pyedflib takes half a second for five hundredths
            assert reader.getSignalLabels() == list(original.leads)
            assert set(reader.getSampleFrequencies()) == {RATE}
            times, durations, texts = reader.readAnnotations()
            assert gaps_of(zip(times, durations, texts, strict=True), file) == gaps_in(gone, file)
            assert alerts_of(zip(times, texts, strict=True), file) == alerts_in(file)
            lost = gone[file.first : file.first + file.record.samples]
            for number, counts in enumerate(original.signal[:, file.first : file.first + len(lost)]):
                found = reader.readSignal(number, digital=True)[: len(lost)]
                np.testing.assert_array_equal(found, np.where(lost, -32768, counts))
                physical = reader.readSignal(number)[: len(lost)][~lost]
                np.testing.assert_allclose(physical, counts[~lost] / 1000, rtol=0, atol=1e-9)


def test_mne_reads_the_same_values(hour):
    mne = optional("mne", extra="mne")
    original, gone, files = hour
    for file in files:
        raw = mne.io.read_raw_edf(file.path, verbose="error")
        assert raw.ch_names == list(original.leads)
        assert raw.info["sfreq"] == RATE
        begins = raw.info["meas_date"].timestamp() - BEGIN
        assert begins == file.first // RATE  # MNE reads whole seconds
        notes = [(note["onset"], note["duration"], note["description"]) for note in raw.annotations]
        assert gaps_of(notes, file) == gaps_in(gone, file)
        assert alerts_of([(time, text) for time, _, text in notes], file) == alerts_in(file)
        lost = gone[file.first : file.first + file.record.samples]
        for number, counts in enumerate(original.signal[:, file.first : file.first + len(lost)]):
            found = raw.get_data([number], reject_by_annotation="NaN")[0, : len(lost)]
            np.testing.assert_array_equal(np.isnan(found), lost)
            np.testing.assert_allclose(found[~lost] * 1000, counts[~lost] / 1000, rtol=0, atol=1e-9)


def gaps_of(notes, file) -> list[tuple[int, int]]:
    """First and last sample of each gap that annotations tell, in numbers of what was published."""
    return [
        (file.first + round(time * RATE), file.first + round((time + duration) * RATE))
        for time, duration, text in notes
        if text == "BAD_gap"
    ]


def gaps_in(gone, file) -> list[tuple[int, int]]:
    lost = gone[file.first : file.first + file.record.samples]
    changes = np.flatnonzero(np.diff(lost, prepend=False, append=False)) + file.first
    return [(int(start), int(stop)) for start, stop in changes.reshape(-1, 2)]


def alerts_of(notes, file) -> list[tuple[float, str]]:
    return [(file.first / RATE + time, text) for time, text in notes if text not in ("BAD_gap", "Recording ends")]


def alerts_in(file) -> list[tuple[float, str]]:
    end = file.first + file.record.samples
    return [note[:2] for note in ALERTS if file.first <= note.time * RATE < end]
