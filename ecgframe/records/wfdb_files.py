"""WFDB records, the format of PhysioNet: a text header (100.hea) and the sample files that it names (100.dat)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import chain
from math import lcm
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..libraries import MissingLibrary, library
from .annotation import Annotation
from .bounds import LONGEST_SILENCE, SMALL_RECORDING, most_annotations
from .channels import (
    EVERYTHING,
    MILLIVOLTS,
    Channel,
    Choice,
    Counts,
    Marked,
    Samples,
    calibrated,
    join,
    stacked_blocks,
    with_samples_of,
)
from .compressed import compressed_beside
from .counted import counted
from .files import without_suffix
from .mapped import Reading, mapped
from .record import PORTION, Record, RecordError
from .wfdb_annotation_files import READ, annotation_files, read_annotations
from .wfdb_blocks import FORMATS, Blocks, SignalCounts, sample_file, sums_of_frames
from .wfdb_frames import frames_of
from .wfdb_header import DEFAULT_GAIN, DEFAULT_RATE, DEVICE, NOTHING, Header, SignalLine, read_header
from .wfdb_segments import JoinedCounts, JoinedMissing, Piece

MISSING: Final = {
    "80": -(1 << 7),
    "508": -(1 << 7),
    "310": -(1 << 9),
    "311": -(1 << 9),
    "212": -(1 << 11),
    "16": -(1 << 15),
    "61": -(1 << 15),
    "160": -(1 << 15),
    "516": -(1 << 15),
    "24": -(1 << 23),
    "524": -(1 << 23),
    "32": -(1 << 31),
}
"""The count of missing samples in each format. Format 8 (differences) has none."""

BITS: Final = {"8": 8, "80": 8, "212": 12, "16": 16, "61": 16, "160": 16, "24": 24, "32": 32}
"""Bits of a sample in the formats of a fixed width."""

MAPPED: Final = {"16": "<i2", "61": ">i2"}
"""Formats that NumPy can read as they are, and their dtypes."""

BY_LIBRARY: Final = ("8", "508", "516", "524")
"""Formats that the wfdb library reads, as a whole: differences, and those that are compressed as FLAC."""

MOST_COUNTS: Final = 1 << 32
"""More than the largest count of any format."""


def read_wfdb(path: Path, wanted: Choice = EVERYTHING) -> Record:
    """Read a WFDB record as ADC counts, with missing samples and the annotations of its ``.atr`` file.

    Segments with different gains are converted to a common gain, without loss.

    Raises:
        MissingLibrary: wfdb is not installed.
        RecordError: the record cannot be read, or its signals do not fit into one record.
    """
    name = without_suffix(path)
    header = read_header(Path(f"{name}.hea"))
    source = _segments(name, header) if header.segments else _Source(header.signals, _assumed(header, ""))
    start = header.start or source.start
    blocks = Blocks()
    record = calibrated(_mapped(blocks, name, header, wanted) or _joined_channels(blocks, name, header, source, wanted))
    annotations, left_out = _annotations(name, header, source, record)
    if start is None:
        left_out += header.not_a_start
    return replace(
        record,
        start=start,
        annotations=annotations,
        left_out=record.left_out + header.left_out + source.left_out + _beyond(name, header) + left_out,
        repaired=source.repaired + _wrong_sums(blocks, name, source.segments.values() or [header]),
        **_about(header, source),
    )


def _beyond(name: Path, header: Header) -> tuple[str, ...]:
    """Name the frames that files have after the last one of the header, for formats of a known width."""
    beyond = []
    for file in dict.fromkeys(signal.file for signal in header.signals):
        of_file = [signal for signal in header.signals if signal.file == file]
        path = name.parent / file
        if header.frames is None or any(signal.format not in BITS for signal in of_file) or not path.is_file():
            continue
        bits = sum(BITS[signal.format] * signal.per_frame for signal in of_file)
        last = header.frames + max(signal.skew for signal in of_file)
        more = 8 * (path.stat().st_size - of_file[0].offset) // bits - last
        if more > 0:
            beyond.append(f"{counted(more, 'frame')} of {file} after the {header.frames:,} that the header announces")
    return tuple(beyond)


def _about(header: Header, source: _Source) -> dict[str, Any]:
    """Return device and comments of the headers. Comments of segments are often those of the record."""
    every = chain(header.comments, *(of_segment.comments for of_segment in source.segments.values()))
    comments = list(dict.fromkeys(every))
    device = next((comment for comment in comments if comment.startswith(DEVICE)), "")
    return {
        "device": device.removeprefix(DEVICE).strip(),
        "comments": tuple(comment for comment in comments if comment != device),
    }


@dataclass(frozen=True, slots=True)
class _Source:
    """What the headers of a record and of its segments say.

    Attributes:
        signals: the signals that annotations number.
        repaired: what was assumed or corrected, one sentence each.
        left_out: what is not read.
        start: time of the first sample, of the segments.
        segments: the headers of the segments with samples, by name.
    """

    signals: tuple[SignalLine, ...]
    repaired: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    start: datetime | None = None
    segments: Mapping[str, Header] = field(default_factory=dict)


def _assumed(header: Header, of: str) -> tuple[str, ...]:
    """Return notes on the rate and on the gains that a header does not state."""
    notes = []
    if not header.states_rate:
        notes.append(f"no sampling rate stands in the header{of}: {DEFAULT_RATE} Hz, as WFDB assumes")
    assumed = [signal.lead or "unnamed" for signal in header.signals if signal.gain is None]
    if assumed:
        leads = ", ".join(assumed)
        notes.append(f"no gain stands in the header{of} for {leads}: {DEFAULT_GAIN} counts a unit, as WFDB assumes")
    return tuple(notes)


def _joined_channels(blocks: Blocks, name: Path, header: Header, source: _Source, wanted: Choice) -> Record:
    channels = _of_segments(blocks, name, header, source) if header.segments else _of_one(blocks, name, header)

    def stack(chosen: Sequence[int]) -> Samples | None:
        frames = frames_of([channels[number].counts for number in chosen])
        return None if frames is None else stacked_blocks(len(chosen), lambda: frames.blocks(blocks))

    try:
        return join(channels, f"{name}.hea", wanted, stack)
    except OSError as error:
        raise _not_readable(name, header, error) from error


def _mapped(blocks: Blocks, name: Path, header: Header, wanted: Choice) -> Record | None:
    """Return the record with its samples as they are in the file; None if they have to be unpacked.

    The wfdb library cannot map a file.
    """
    signals = header.signals
    alike = {(signal.file, signal.format, signal.per_frame, signal.skew, signal.offset) for signal in signals}
    if len(alike) != 1 or signals[0].format not in MAPPED or (signals[0].per_frame, signals[0].skew) != (1, 0):
        return None
    try:
        with (name.parent / signals[0].file).open("rb") as file:
            frames = header.frames or (os.fstat(file.fileno()).st_size - signals[0].offset) // (2 * len(signals))
            counts = mapped(file, MAPPED[signals[0].format], (frames, len(signals)), signals[0].offset).T
    except (OSError, ValueError) as error:
        raise _not_readable(name, header, error) from error
    channels = [_channel(header, signal, row) for signal, row in zip(signals, counts, strict=True)]
    if any(signal.checksum is not None for signal in signals):
        blocks.totals |= {(header.path, number): total for number, total in enumerate(_totals(counts))}
    return with_samples_of(channels, counts, MISSING[signals[0].format], f"{name}.hea", wanted)


def _totals(counts: npt.NDArray[Any]) -> list[int]:
    """Return the sum of the samples of each signal."""
    reading, totals = Reading(counts), np.zeros(len(counts), np.int64)
    for start in range(0, counts.shape[1], PORTION):
        totals += sums_of_frames(reading.samples(start, start + PORTION).T)
    return [int(total) for total in totals]


def _wrong_sums(blocks: Blocks, name: Path, headers: Iterable[Header]) -> tuple[str, ...]:
    """Return a note on each header with checksums that the samples do not have, of those that were read.

    A skew is left out, since programs do not agree which samples count.
    """
    notes = []
    for header in headers:
        wrong = [
            signal.lead or "an unnamed signal"
            for number, signal in enumerate(header.signals)
            if signal.checksum is not None
            and not signal.skew
            and (total := _total(blocks, name, header, number)) is not None
            and total % (1 << 16) != signal.checksum
        ]
        if wrong:
            notes.append(
                f"the samples of {', '.join(wrong)} do not have the checksum of {header.path.name}; are they damaged?"
            )
    return tuple(notes)


def _total(blocks: Blocks, name: Path, header: Header, number: int) -> int | None:
    """Return the sum of the samples of a signal, modulo 2**16; None if not all of them have been read."""
    signal = header.signals[number]
    if (header.path, number) in blocks.totals:
        return blocks.totals[header.path, number]
    if signal.format not in FORMATS:
        return None
    of_file = [one for one in enumerate(header.signals) if one[1].file == signal.file]
    sums = blocks.sums(sample_file(name.parent, [one for _, one in of_file], header.frames))
    if sums is None:
        return None
    column = sum(one.per_frame for other, one in of_file if other < number)
    return int(sums[column : column + signal.per_frame].sum())


def _not_readable(name: Path, header: Header, error: Exception) -> RecordError:
    for signal in header.signals:
        if packed := compressed_beside(name.parent / signal.file):
            return RecordError(f"{name}.hea: {signal.file} is not beside it, and {packed}")
    return RecordError(
        f"{name}.hea: not readable as WFDB ({type(error).__name__}: {error}); "
        "are the files that the header names beside it, and whole?"
    )


# --- one segment ---


def _of_one(blocks: Blocks, name: Path, header: Header) -> list[Channel]:
    """Return the channels of a record without segments."""
    signals = header.signals
    _check_skew(name, header)
    try:
        found = _counts_by_library(blocks, name, header) | _counts(blocks, name, header)
    except MissingLibrary:
        raise
    except Exception as error:  # wfdb raises many kinds of exceptions for damaged files
        raise _not_readable(name, header, error) from error
    return [
        _channel(header, signal, found[number], _marked(found[number], signal)) for number, signal in enumerate(signals)
    ]


def _bytes_of(name: Path, signals: Iterable[SignalLine]) -> int:
    """Return the size of the files of these signals."""
    return sum(path.stat().st_size for path in {name.parent / signal.file for signal in signals} if path.is_file())


def _check_skew(name: Path, header: Header) -> None:
    """Refuse a skew that leaves little but missing samples, for which the wfdb library takes memory."""
    most = max((signal.skew * signal.per_frame for signal in header.signals), default=0)
    nbytes = _bytes_of(name, header.signals)
    if 2 * most * len(header.signals) > max(SMALL_RECORDING, LONGEST_SILENCE * nbytes):
        raise RecordError(f"{name}.hea: a skew of {most:,} samples is not believed")


def _channel(
    header: Header,
    signal: SignalLine,
    counts: Counts,
    is_missing: Counts | None = None,
) -> Channel:
    return Channel(
        lead=signal.lead,
        counts=counts,
        sampling_rate=float(header.rate * signal.per_frame),
        units=signal.units,
        gain=signal.gain or DEFAULT_GAIN,
        baseline=signal.baseline,
        is_missing=is_missing,
    )


def _marked(counts: Counts, signal: SignalLine) -> Counts | None:
    """Return which samples are missing; None if the format has no count for them."""
    mark = MISSING.get(signal.format)
    return None if mark is None else Marked(counts, mark)


def _counts_by_library(blocks: Blocks, name: Path, header: Header) -> dict[int, Counts]:
    """Read the signals of formats that only the wfdb library reads, by signal number."""
    numbers = [number for number, signal in enumerate(header.signals) if signal.format not in FORMATS]
    if not numbers:
        return {}
    for signal in (header.signals[number] for number in numbers):
        if signal.format not in BY_LIBRARY:
            raise ValueError(f"{signal.file} has the format {signal.format}, which is not known")
    wfdb = library("wfdb", extra="wfdb", purpose="reading WFDB")
    # smooth_frames would average a signal with several samples per frame
    record = wfdb.rdrecord(str(name), physical=False, smooth_frames=False, channels=numbers)
    found: dict[int, Counts] = dict(zip(numbers, record.e_d_signal, strict=True))
    blocks.totals |= {(header.path, number): int(np.sum(counts[:])) for number, counts in found.items()}
    return found


def _counts(blocks: Blocks, name: Path, header: Header) -> dict[int, Counts]:
    """Return the signals of all other formats, by signal number; they are read when they are asked for."""
    found: dict[int, Counts] = {}
    for name_of_file in dict.fromkeys(signal.file for signal in header.signals if signal.format in FORMATS):
        of_file = [(number, signal) for number, signal in enumerate(header.signals) if signal.file == name_of_file]
        file = sample_file(name.parent, [signal for _, signal in of_file], header.frames)
        if file.frames < file.announced:
            raise ValueError(f"{name_of_file} holds {file.frames} of {file.announced} frames; is it cut short?")
        column = 0
        for number, signal in of_file:
            found[number] = SignalCounts(blocks, file, column, signal, file.announced, MISSING[signal.format])
            column += signal.per_frame
    return found


# --- several segments ---


def _segments(name: Path, header: Header) -> _Source:
    """Read the headers of the segments, and compare them with the header of the record.

    Raises:
        RecordError: a segment is itself made of segments, or no segment has samples.
    """
    segments: dict[str, Header] = {}
    repaired = list(_assumed(header, ""))
    left_out: list[str] = []
    layout = _layout(name, header)
    start: datetime | None = None
    begin = 0
    for segment, frames in header.segments[layout is not None :]:
        if segment != NOTHING and segment not in segments:
            path = name.parent / f"{segment}.hea"
            try:
                of_segment = read_header(path)
            except OSError as error:
                raise RecordError(
                    f"{name}.hea: the header of its segment {segment}, {path}: {error.strerror}"
                ) from error
            if of_segment.segments:
                raise RecordError(f"{path}: a segment that is made of segments")
            segments[segment] = of_segment
            left_out += of_segment.left_out
            repaired += _assumed(of_segment, f" of {segment}")
            if of_segment.start is not None and start is None:
                start = of_segment.start - timedelta(seconds=float(begin / header.rate))
            if of_segment.frames is not None and of_segment.frames > frames:
                left_out.append(f"the last {of_segment.frames - frames:,} of {of_segment.frames:,} frames of {segment}")
        begin += frames
    if not segments:
        raise RecordError(f"{name}.hea: none of its segments holds samples")
    if header.frames not in (None, begin):
        repaired.append(f"its header announces {header.frames:,} frames, and its segments have {begin:,}")
    signals = layout.signals if layout is not None else next(iter(segments.values())).signals
    known = _numbered(signals)
    others = [lead for of_segment in segments.values() for lead in _numbered(of_segment.signals) if lead not in known]
    if layout is not None:
        left_out += [
            f"{lead or 'an unnamed signal'} of segments, which is not in the layout {header.segments[0][0]}"
            for lead, _ in dict.fromkeys(others)
        ]
    elif others or any(_numbered(of_segment.signals) != known for of_segment in segments.values()):
        signals += _by_name(name, segments, known)
        repaired.append("its segments have different signals; they are joined by name")
    return _Source(signals, tuple(repaired), tuple(left_out), start, segments)


def _layout(name: Path, header: Header) -> Header | None:
    """Return the header that lists the signals of all segments; None if each segment has the same ones."""
    first, length = header.segments[0]
    return read_header(name.parent / f"{first}.hea") if length == 0 and first != NOTHING else None


def _numbered(signals: Sequence[SignalLine]) -> list[tuple[str, int]]:
    """Return the name of each signal, and how many of that name come before it."""
    seen: Counter[str] = Counter()
    numbered = []
    for signal in signals:
        numbered.append((signal.lead, seen[signal.lead]))
        seen[signal.lead] += 1
    return numbered


def _by_name(name: Path, segments: Mapping[str, Header], known: Sequence[tuple[str, int]]) -> tuple[SignalLine, ...]:
    """Return the signals that the first segment does not have.

    Raises:
        RecordError: names do not show which signals belong together.
    """
    more: dict[tuple[str, int], SignalLine] = {}
    for of_segment in segments.values():
        numbered = _numbered(of_segment.signals)
        if any(not lead or number for lead, number in (*known, *numbered)):
            raise RecordError(
                f"{name}.hea: its segments have different signals, and names that are empty or the same do not tell "
                "which belong together; read its segments one by one"
            )
        more |= {key: line for key, line in zip(numbered, of_segment.signals, strict=True) if key not in known}
    return tuple(more.values())


def _of_segments(blocks: Blocks, name: Path, header: Header, source: _Source) -> list[Channel]:
    """Read the channels of a record with segments. Samples that no segment has are missing."""
    layout = _layout(name, header)
    parts = header.segments[layout is not None :]
    _check_room(name, header, source, sum(frames for _, frames in parts))
    pieces: list[dict[tuple[str, int], Channel]] = []
    known: dict[tuple[str, int], dict[tuple[str, int], Channel]] = {}
    for segment, frames in parts:
        if segment == NOTHING:
            pieces.append({})
            continue
        if (segment, frames) not in known:
            of_segment = source.segments[segment]
            if of_segment.frames is None or of_segment.frames < frames:
                of_segment = replace(of_segment, frames=frames)
            channels = _of_one(blocks, name.parent / segment, of_segment)
            known[segment, frames] = dict(zip(_numbered(of_segment.signals), channels, strict=True))
        pieces.append(known[segment, frames])
    rate = header.rate if layout is None else layout.rate
    lengths = [frames for _, frames in parts]
    return [
        _joined(
            name,
            header,
            signal.lead,
            signal.units,
            float(rate * signal.per_frame),
            lengths,
            [piece.get(key) for piece in pieces],
        )
        for signal, key in zip(source.signals, _numbered(source.signals), strict=True)
    ]


def _check_room(name: Path, header: Header, source: _Source, frames: int) -> None:
    """Refuse a record that would be little but missing samples."""
    nbytes = _bytes_of(name, chain.from_iterable(of_segment.signals for of_segment in source.segments.values()))
    samples = frames * sum(signal.per_frame for signal in source.signals)
    if min((frames, *(length for _, length in header.segments))) < 0:
        raise RecordError(f"{name}.hea: not readable as WFDB, a segment has a negative number of frames")
    if 2 * samples > max(SMALL_RECORDING, LONGEST_SILENCE * nbytes):
        raise RecordError(
            f"{name}.hea: its segments have {samples:,} samples, more than files of {nbytes:,} bytes are believed to "
            "hold; read its segments one by one"
        )


def _joined(
    name: Path,
    header: Header,
    lead: str,
    units: str,
    rate: float,
    lengths: Sequence[int],
    channels: Sequence[Channel | None],
) -> Channel:
    """Join one signal across all segments."""
    per_frame = round(rate / float(header.rate))
    there = [channel for channel in channels if channel is not None]
    if any(channel.sampling_rate != rate for channel in there):
        raise RecordError(f"{name}.hea: the segments of {lead!r} differ in their sampling rates")
    to_units = [_units_ratio(channel.units, units) for channel in there]
    if any(ratio is None for ratio in to_units):
        raise RecordError(f"{name}.hea: the segments of {lead!r} differ in their units")
    gains = [(channel.gain or DEFAULT_GAIN) / (ratio or 1) for channel, ratio in zip(there, to_units, strict=True)]
    gain = _common_multiple(gains)
    same = len({(gain, channel.baseline) for gain, channel in zip(gains, there, strict=True)}) <= 1
    baseline = there[0].baseline if there and same else Fraction(0)
    pieces, end = [], 0
    factors = iter(gains)
    for frames, channel in zip(lengths, channels, strict=True):
        begin, end = end, end + frames * per_frame
        if channel is None:
            continue
        if len(channel.counts) < end - begin:
            raise RecordError(f"{name}.hea: a segment of {lead!r} has {len(channel.counts)} of {end - begin} samples")
        factor = gain / next(factors)
        zero = Fraction(0) if same else channel.baseline
        if factor.denominator != 1 or zero.denominator != 1 or MOST_COUNTS * factor + abs(zero) * factor >= 1 << 62:
            raise RecordError(
                f"{name}.hea: the segments of {lead!r} differ in their gains, and no gain holds them all exactly; "
                "read its segments one by one"
            )
        pieces.append(Piece(begin, end, channel.counts, channel.is_missing, int(zero), int(factor)))
    counts = JoinedCounts(pieces, end)
    return Channel(lead, counts, rate, units, gain, baseline, JoinedMissing(pieces, end))


def _units_ratio(units: str, wanted: str) -> Fraction | None:
    """Return the value of one ``units`` in ``wanted`` units; None if they are not convertible."""
    if units == wanted:
        return Fraction(1)
    one, other = MILLIVOLTS.get(units.lower()), MILLIVOLTS.get(wanted.lower())
    return None if one is None or other is None else one / other


def _common_multiple(gains: Sequence[Fraction]) -> Fraction:
    """Return the smallest gain that is an integral multiple of each gain."""
    common = gains[0] if gains else DEFAULT_GAIN
    for gain in gains[1:]:
        # lcm(a/b, c/d) = lcm(ad, cb) / bd
        a, b, c, d = common.numerator, common.denominator, gain.numerator, gain.denominator
        common = Fraction(lcm(a * d, c * b), b * d)
    return common


# --- annotations ---


def _annotations(
    name: Path, header: Header, source: _Source, record: Record
) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Return the reference annotations, of the leads that were read, and what is left out of all annotations."""
    leads = [signal.lead for signal in source.signals]
    if len(leads) == len(record.leads):
        leads = [lead or f"ch{number}" for number, lead in enumerate(leads, 1)]
    annotations: tuple[Annotation, ...] = ()
    left_out: list[str] = []
    files = {signal.file for signal in header.signals}
    for path in annotation_files(name, files):
        if path.suffix == READ:
            most = most_annotations(record.signal.nbytes)
            annotations, unread = read_annotations(path, float(header.rate), leads, most)
            left_out += unread
        else:
            left_out.append(f"the annotations of {path.name}")
    for segment, of_segment in source.segments.items():
        files = {signal.file for signal in of_segment.signals}
        left_out += [f"the annotations of {path.name}" for path in annotation_files(name.parent / segment, files)]
    kept = tuple(note for note in annotations if note.lead is None or note.lead in record.leads)
    return kept, tuple(left_out)
