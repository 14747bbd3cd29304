"""WFDB records, the format of PhysioNet: a text header (100.hea) and the sample files that it names (100.dat)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..libraries import library
from .annotation import Annotation
from .channels import MILLIVOLTS, Channel, Counts, Marked, calibrated, join, with_samples_of
from .mapped import is_large, mapped
from .record import Record, RecordError
from .wfdb_blocks import FORMATS, BlockCounts, Blocks
from .wfdb_header import DEFAULT_GAIN, NOTHING, Header, SignalLine, read_header

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

MAPPED: Final = {"16": "<i2", "61": ">i2"}
"""Formats that NumPy can read as they are, and their dtypes."""

BIG_ENDIAN: Final = "61"
"""A format that the wfdb library cannot read."""

SUFFIXES: Final = (".hea", ".dat")


def without_suffix(path: Path) -> Path:
    """Return the name of the record, which is 100 for both 100.hea and 100.dat."""
    return path.with_suffix("") if path.suffix in SUFFIXES else path


def read_wfdb(path: Path, leads: Sequence[str] | None = None) -> Record:
    """Read a WFDB record as ADC counts, with missing samples and the annotations of its ``.atr`` file.

    Segments with different gains are converted to a common gain, without loss.

    Raises:
        MissingLibrary: wfdb is not installed.
        RecordError: the record cannot be read, or its signals do not fit into one record.
    """
    name = without_suffix(path)
    header = read_header(Path(f"{name}.hea"))
    record = calibrated(_mapped(name, header, leads) or _joined_channels(name, header, leads))
    annotations, left_out = _annotations(name, float(header.rate))
    assumed = [signal.lead or "unnamed" for signal in header.signals if signal.gain is None]
    note = f"no gain stands in the header for {', '.join(assumed)}: {DEFAULT_GAIN} counts a unit, as WFDB assumes"
    return replace(
        record,
        start=header.start,
        annotations=annotations,
        left_out=record.left_out + left_out,
        repaired=(note,) if assumed else (),
    )


def _joined_channels(name: Path, header: Header, leads: Sequence[str] | None) -> Record:
    wfdb = library("wfdb", extra="wfdb", purpose="reading WFDB")
    if header.segments:
        return join(_of_segments(wfdb, name, header), f"{name}.hea", leads)
    if not _is_in_blocks(header):
        return join(_of_one(wfdb, name, header), f"{name}.hea", leads)
    blocks = Blocks(wfdb, name, header)
    counts = [BlockCounts(blocks, number) for number in range(len(header.signals))]
    channels = [
        _channel(header, signal, values, Marked(values, MISSING[signal.format]))
        for signal, values in zip(header.signals, counts, strict=True)
    ]
    try:
        return join(channels, f"{name}.hea", leads)
    except RecordError:
        raise
    except Exception as error:  # wfdb raises many kinds of exceptions for damaged files
        raise _not_readable(name, error) from error


def _is_in_blocks(header: Header) -> bool:
    """Whether a record is large and can be read in blocks."""
    samples = (header.frames or 0) * sum(signal.per_frame for signal in header.signals)
    return is_large(2 * samples) and all(signal.format in FORMATS and not signal.skew for signal in header.signals)


def _mapped(name: Path, header: Header, leads: Sequence[str] | None) -> Record | None:
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
        raise _not_readable(name, error) from error
    channels = [_channel(header, signal, row) for signal, row in zip(signals, counts, strict=True)]
    return with_samples_of(channels, counts, MISSING[signals[0].format], f"{name}.hea", leads)


def _not_readable(name: Path, error: Exception) -> RecordError:
    return RecordError(
        f"{name}.hea: not readable as WFDB ({type(error).__name__}: {error}); "
        "are the files that the header names beside it, and whole?"
    )


# --- one segment ---


def _of_one(wfdb: Any, name: Path, header: Header) -> list[Channel]:
    """Read the channels of a record without segments."""
    signals = header.signals
    try:
        read = _samples(wfdb, name, header)
    except Exception as error:  # wfdb raises many kinds of exceptions for damaged files
        raise _not_readable(name, error) from error
    return [
        _channel(header, signal, counts, is_missing) for signal, (counts, is_missing) in zip(signals, read, strict=True)
    ]


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


Samples = tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.bool_]]
"""The counts of a signal, and which of them are missing."""


def _samples(wfdb: Any, name: Path, header: Header) -> list[Samples]:
    by_library = [number for number, signal in enumerate(header.signals) if signal.format != BIG_ENDIAN]
    found: dict[int, npt.NDArray[np.integer[Any]]] = {}
    if by_library:
        # smooth_frames would average a signal with several samples per frame
        record = wfdb.rdrecord(str(name), physical=False, smooth_frames=False, channels=by_library)
        found = dict(zip(by_library, record.e_d_signal, strict=True))
    if len(by_library) < len(header.signals):
        found |= _big_endian(name, header)
    return [(found[number], _is_missing(found[number], signal)) for number, signal in enumerate(header.signals)]


def _is_missing(counts: npt.NDArray[np.integer[Any]], signal: SignalLine) -> npt.NDArray[np.bool_]:
    mark = MISSING.get(signal.format)
    is_missing: npt.NDArray[np.bool_] = np.zeros(len(counts), np.bool_) if mark is None else counts == mark
    return is_missing


def _big_endian(name: Path, header: Header) -> dict[int, npt.NDArray[np.integer[Any]]]:
    """Read the signals of format 61 (16 bits, big-endian), by signal number."""
    found: dict[int, npt.NDArray[np.integer[Any]]] = {}
    numbered = [(number, signal) for number, signal in enumerate(header.signals) if signal.format == BIG_ENDIAN]
    for file in {signal.file for _, signal in numbered}:
        of_file = [(number, signal) for number, signal in enumerate(header.signals) if signal.file == file]
        if any(signal.format != BIG_ENDIAN for _, signal in of_file):
            raise ValueError(f"{file} is said to hold samples of several formats")
        width = sum(signal.per_frame for _, signal in of_file)
        stored = np.fromfile(name.parent / file, ">i2", offset=of_file[0][1].offset)
        frames = len(stored) // width if header.frames is None else header.frames
        if len(stored) < frames * width:
            raise ValueError(f"{file} holds {len(stored) // width} of {frames} frames; is it cut short?")
        table = stored[: frames * width].reshape(frames, width).astype(np.int16)
        first = 0
        for number, signal in of_file:
            counts = table[:, first : first + signal.per_frame].reshape(-1)
            late = signal.skew * signal.per_frame
            found[number] = np.append(counts[late:], np.full(min(late, len(counts)), MISSING[BIG_ENDIAN], np.int16))
            first += signal.per_frame
    return found


# --- several segments ---


def _of_segments(wfdb: Any, name: Path, header: Header) -> list[Channel]:
    """Read the channels of a record with segments. Samples that no segment has are missing."""
    first, length = header.segments[0]
    is_variable = length == 0 and first != NOTHING
    pieces: list[tuple[int, list[Channel] | None]] = []
    for segment, frames in header.segments[is_variable:]:
        pieces.append((frames, None if segment == NOTHING else _segment(wfdb, name, segment, frames)))
    if is_variable:
        layout = read_header(name.parent / f"{first}.hea")
        models = [(signal.lead, signal.units, float(layout.rate * signal.per_frame)) for signal in layout.signals]
        by_lead = [
            [next((channel for channel in piece or () if channel.lead == lead), None) for _, piece in pieces]
            for lead, _, _ in models
        ]
    else:
        whole = [piece for _, piece in pieces if piece is not None]
        if not whole:
            raise RecordError(f"{name}.hea: none of its segments holds samples")
        if len({len(piece) for piece in whole}) > 1:
            raise RecordError(f"{name}.hea: its segments differ in their number of signals")
        models = [(channel.lead, channel.units, channel.sampling_rate) for channel in whole[0]]
        by_lead = [
            [piece[number] if piece is not None else None for _, piece in pieces] for number in range(len(models))
        ]
    lengths = [frames for frames, _ in pieces]
    return [
        _joined(name, header, lead, units, rate, lengths, channels)
        for (lead, units, rate), channels in zip(models, by_lead, strict=True)
    ]


def _segment(wfdb: Any, name: Path, segment: str, frames: int) -> list[Channel]:
    path = name.parent / segment
    header = read_header(Path(f"{path}.hea"))
    if header.segments:
        raise RecordError(f"{path}.hea: a segment that is made of segments")
    if header.frames is None or header.frames < frames:
        header = replace(header, frames=frames)
    return _of_one(wfdb, path, header)


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
    factors = iter(gains)
    counts = np.zeros(sum(lengths) * per_frame, np.int64)
    is_missing = np.ones(len(counts), np.bool_)
    end = 0
    for frames, channel in zip(lengths, channels, strict=True):
        begin, end = end, end + frames * per_frame
        if channel is None:
            continue
        factor = gain / next(factors)
        if len(channel.counts) < end - begin:
            raise RecordError(f"{name}.hea: a segment of {lead!r} has {len(channel.counts)} of {end - begin} samples")
        piece = channel.counts[: end - begin].astype(np.int64)
        if not same:
            piece = _scaled(name, lead, piece, channel.baseline, factor)
        counts[begin:end] = piece
        is_missing[begin:end] = False if channel.is_missing is None else channel.is_missing[: end - begin]
    return Channel(lead, counts, rate, units, gain, baseline, is_missing)


def _scaled(
    name: Path, lead: str, counts: npt.NDArray[np.int64], baseline: Fraction, factor: Fraction
) -> npt.NDArray[np.int64]:
    """Return ``(counts - baseline) * factor``, which has to be integral."""
    largest = int(np.abs(counts).max()) + abs(baseline) if len(counts) else abs(baseline)
    if factor.denominator != 1 or baseline.denominator != 1 or largest * factor >= 1 << 62:
        raise RecordError(
            f"{name}.hea: the segments of {lead!r} differ in their gains, and no gain holds them all exactly; "
            "read its segments one by one"
        )
    scaled: npt.NDArray[np.int64] = (counts - int(baseline)) * int(factor)
    return scaled


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


def _annotations(name: Path, rate: float) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Return the annotations of the ``.atr`` file, and a note if it cannot be read."""
    file = Path(f"{name}.atr")
    if not file.is_file():
        return (), ()
    wfdb = library("wfdb", extra="wfdb", purpose="reading annotations of WFDB")
    try:
        found = wfdb.rdann(str(name), "atr")
        notes = [
            Annotation(sample / rate, _utf8(text.rstrip("\0")).strip() or symbol)
            for sample, symbol, text in zip(found.sample.tolist(), found.symbol, found.aux_note, strict=True)
        ]
    except Exception as error:  # wfdb raises many kinds of exceptions for damaged files
        return (), (f"the annotations of {file.name}, which cannot be read ({type(error).__name__}: {error})",)
    return tuple(notes), ()


def _utf8(text: str) -> str:
    """Return a text that the library decoded as Latin-1, decoded as UTF-8 if possible."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
