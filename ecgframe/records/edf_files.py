"""EDF and BDF files: 16-bit and 24-bit ADC counts, with a digital and a physical range for each signal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..libraries import library
from .bounds import LONGEST_SILENCE, SMALL_RECORDING, check_annotations, most_annotations
from .channels import EVERYTHING, Channel, Choice, NoneMissing, Samples, calibrated, join
from .edf_about import about, not_read
from .edf_annotations import read_annotations
from .edf_header import FILTER, FIXED, TRANSDUCER, EdfHeader, read_edf_header
from .edf_marks import is_ours, of_others, without_marks
from .edf_samples import DataRecords, Extended, LaidOut, StoredCounts
from .lead_comments import lead_comments
from .record import COUNTS, UNKNOWN, Record, RecordError
from .sample_buffer import SampleBuffer

SHORT: Final = 3600
"""Duration in seconds up to which any gaps are accepted."""

FEW_RECORDS: Final = 100_000
"""Annotation signals of all data records together that a file of any size may have."""

BYTES_OF_A_RECORD: Final = 32
"""Bytes of the file for each further one."""

_MICRO: Final = {"Â\N{MICRO SIGN}": "\N{MICRO SIGN}", "Î¼": "\N{MICRO SIGN}"}
"""The two micro signs in UTF-8, read as Latin-1."""


def read_edf(path: Path, wanted: Choice = EVERYTHING) -> Record:
    """Read the signals of an EDF or EDF+ file as ADC counts. The gaps of EDF+D become missing samples.

    Raises:
        MissingLibrary: edfio is not installed.
        RecordError: the file is damaged beyond repair, or its signals do not fit into one record.
    """
    return _read(path, wanted, "EDF")


def read_bdf(path: Path, wanted: Choice = EVERYTHING) -> Record:
    """Read the signals of a BDF or BDF+ file, the 24-bit variant of EDF, like ``read_edf``."""
    return _read(path, wanted, "BDF")


def _read(path: Path, wanted: Choice, name: str) -> Record:
    edfio = library("edfio", extra="edf", purpose=f"reading {name}")
    width = 3 if name == "BDF" else 2
    with path.open("rb") as file:
        start = file.read(FIXED)
        signals = start[252:256].replace(b"\0", b" ").strip()
        start += file.read(FIXED * int(signals) if signals.isdigit() else 0)
    header = read_edf_header(str(path), start, width, path.stat().st_size)
    try:
        with warnings.catch_warnings():
            # The header was checked above; any other warning of edfio may be serious.
            warnings.simplefilter("error")
            read = edfio.read_bdf if name == "BDF" else edfio.read_edf
            signals = read(header.without_records(), header_encoding="latin-1").signals
            described = [(signal.label, signal.sampling_frequency, _calibration(signal)) for signal in signals]
    except Exception as error:  # edfio raises many kinds of exceptions for damaged files
        raise RecordError(f"{path}: not readable as {name} ({type(error).__name__}: {error})") from error
    nbytes = path.stat().st_size
    _check_records(path, header, nbytes)
    records = DataRecords(path, header)
    of_annotations = set(header.annotations)
    numbers = [number for number in range(len(header.samples)) if number not in of_annotations]
    channels = [
        Channel(label, StoredCounts(records, number), rate, **calibration)
        for number, (label, rate, calibration) in zip(numbers, described, strict=True)
    ]
    leads_of_file = [channel.lead for channel in channels]
    onsets, annotations = read_annotations(records.annotations(), leads_of_file, most_annotations(nbytes))
    check_annotations(path, len(annotations), nbytes)
    per_record = header.samples_of_leads
    begins, notes = _begins(path, name, header, onsets)
    places = _places(path, name, header, begins)
    channels = [
        _laid_out(channel, count, places[count], header) for channel, count in zip(channels, per_record, strict=True)
    ]
    mark = -(1 << (8 * width - 1)) if is_ours(header.recording) else None
    if mark is not None:
        channels = [without_marks(channel, mark, annotations) for channel in channels]
        annotations = of_others(annotations)

    def stack(chosen: Sequence[int]) -> Samples | None:
        if not all(places[per_record[number]] is None for number in chosen):
            return None
        return _together(records, [numbers[number] for number in chosen], len(channels[chosen[0]].counts), mark)

    record = calibrated(join(channels, str(path), wanted, stack))
    device, comments = about(header.recording)
    late = onsets[0] if onsets and onsets[0] is not None else Fraction(0)
    return replace(
        record,
        device=device,
        comments=comments + _of_leads(header, leads_of_file, record.leads),
        left_out=record.left_out + not_read(header.patient) + _no_start(header),
        start=None if header.start is None else header.start + timedelta(seconds=float(late)),
        annotations=tuple(note for note in annotations if note.lead is None or note.lead in record.leads),
        repaired=header.repaired + notes + _not_stated(header, onsets) + _empty_ranges(channels, record.leads),
    )


def _no_start(header: EdfHeader) -> tuple[str, ...]:
    return (f"the start {header.not_a_start}, which is no valid date",) if header.not_a_start else ()


def _not_stated(header: EdfHeader, onsets: Sequence[Fraction | None]) -> tuple[str, ...]:
    """Return a note if a file with gaps does not state where they are."""
    unknown = header.all_records - sum(onset is not None for onset in onsets)
    if not header.has_gaps or not unknown:
        return ()
    return (
        f"the times of {unknown:,} of its {header.all_records:,} data records are not stated; they follow each other",
    )


def _empty_ranges(channels: Sequence[Channel], leads: Sequence[str]) -> tuple[str, ...]:
    """Return a note if the header has no range for some of the leads."""
    empty = [channel.lead for channel in channels if channel.gain is None and channel.lead in leads]
    return (f"the range of {', '.join(empty)} in the header is empty: the samples are counts",) if empty else ()


def _of_leads(header: EdfHeader, leads_of_file: Sequence[str], leads: Sequence[str]) -> tuple[str, ...]:
    """Return comments with the transducers and filters of the leads that were read."""
    chosen = [number for number, lead in enumerate(leads_of_file) if lead in leads or len(leads) == len(leads_of_file)]
    names = [leads_of_file[number] or "unnamed" for number in chosen]
    comments: tuple[str, ...] = ()
    for name, field in (("transducer", TRANSDUCER), ("filter", FILTER)):
        texts = header.texts(field)
        comments += lead_comments(name, names, [texts[number] for number in chosen]) if chosen else ()
    return comments


def _together(records: DataRecords, numbers: Sequence[int], length: int, mark: int | None) -> Samples | None:
    """Return the samples of signals without gaps, read together; None if they have to be read one by one.

    Args:
        records: the data records.
        numbers: numbers of the signals.
        length: number of samples to read of each.
        mark: count of missing samples; None if there are none.
    """
    header = records.header
    count = header.samples[numbers[0]]
    neighbours = list(range(numbers[0], numbers[0] + len(numbers)))
    alike = all(header.samples[number] == count for number in numbers)
    if header.width != 2 or header.left_over or not count or not alike or list(numbers) != neighbours:
        return None
    buffer, any_missing = SampleBuffer(len(numbers), np.int16), False
    for whole in records.signals(numbers):
        block = whole[:, : length - buffer.samples]
        any_missing = any_missing or (mark is not None and bool((block == mark).any()))
        buffer.add(block)
    signal = buffer.array()
    return signal, mark if any_missing else None


def _calibration(signal: Any) -> dict[str, Any]:
    """Return units, gain and baseline, by mapping the digital range to the physical range.

    The header states the ranges as decimals; fractions keep them exact.
    """
    digital_low, digital_high = Fraction(signal.digital_min), Fraction(signal.digital_max)
    low, high = Fraction(str(signal.physical_min)), Fraction(str(signal.physical_max))
    if low == high or digital_low == digital_high:
        return {"units": COUNTS}
    units = signal.physical_dimension.strip() or UNKNOWN
    for garbled, micro in _MICRO.items():
        units = units.replace(garbled, micro)
    gain = (digital_high - digital_low) / (high - low)
    return {"units": units, "gain": gain, "baseline": digital_low - low * gain}


# --- records with gaps, and one that is cut short ---


def _check_records(path: Path, header: EdfHeader, nbytes: int) -> None:
    """Refuse a file with more annotation signals than one of its size may have: each becomes some objects."""
    signals = header.records * len(header.annotations)
    most = FEW_RECORDS + nbytes // BYTES_OF_A_RECORD
    if signals > most:
        raise RecordError(
            f"{path}: its {header.records:,} data records have {signals:,} annotation signals, more than the {most:,} "
            "that a recording of this size is believed to hold; write it with longer data records"
        )


def _begins(
    path: Path, name: str, header: EdfHeader, onsets: Sequence[Fraction | None]
) -> tuple[list[Fraction], tuple[str, ...]]:
    """Return the start of each data record, in seconds after the first, empty if there is no gap; and what was wrong.

    A record whose start is not stated follows the one before it.
    """
    begins: list[Fraction] = []
    first = (onsets[0] if onsets else None) or Fraction(0)
    step: Fraction | int = int(header.duration) if header.duration.denominator == 1 else header.duration
    if all(onset is None or onset - first == number * step for number, onset in enumerate(onsets)):
        return begins, ()
    finest = header.duration / max(header.samples_of_leads, default=1)
    if header.is_continuous and _follow(onsets, header.duration):
        return begins, _irregular(name, header, onsets, first, finest)
    for number in range(header.all_records):
        expected = begins[-1] + header.duration if begins else Fraction(0)
        onset = onsets[number] if number < len(onsets) else None
        begin = expected if onset is None else onset - first
        if begin < expected - finest / 2:  # less than that is the rounding of a time
            raise RecordError(
                f"{path}: record {number} begins at {float(begin):g} s, where the one before it lasts until "
                f"{float(expected):g} s; its times are wrong"
            )
        begins.append(begin)
    lasts = begins[-1] + header.duration
    if lasts > SHORT and lasts > LONGEST_SILENCE * len(begins) * header.duration:
        raise RecordError(
            f"{path}: the gaps of this {name}+D file are {float(lasts):g} s long, with samples of "
            f"{float(len(begins) * header.duration):g} s; split it at the gaps, one file a piece"
        )
    return begins, ()


def _follow(onsets: Sequence[Fraction | None], duration: Fraction) -> bool:
    """Return whether each data record begins about when the one before it ends, by less than half its duration."""
    known = [(number, onset) for number, onset in enumerate(onsets) if onset is not None]
    return all(
        abs(later - earlier - (number - before) * duration) < duration / 2
        for (before, earlier), (number, later) in pairwise(known)
    )


def _irregular(
    name: str, header: EdfHeader, onsets: Sequence[Fraction | None], first: Fraction, finest: Fraction
) -> tuple[str, ...]:
    """Return a note on times of the data records of a continuous file that are away from their samples."""
    away = max(
        abs(onset - first - number * header.duration) for number, onset in enumerate(onsets) if onset is not None
    )
    if away < finest / 2:
        return ()
    return (
        f"the times of its data records are up to {float(away):g} s away from their samples, which follow each other, "
        f"as it is {name}+C",
    )


def _places(
    path: Path, name: str, header: EdfHeader, begins: Sequence[Fraction]
) -> dict[int, npt.NDArray[np.int64] | None]:
    """Return the sample at which each data record begins, by the number of samples in a record; None without gaps.

    Raises:
        RecordError: with the missing samples, the recording takes more room than one in a file of this size may.
    """
    counts = [count for count in header.samples_of_leads if count]
    seconds = begins[-1] + header.duration if begins else Fraction(0)
    samples = seconds * sum(counts) / header.duration if begins else Fraction(0)
    nbytes = path.stat().st_size
    if samples * header.width > max(SMALL_RECORDING, LONGEST_SILENCE * nbytes):
        raise RecordError(
            f"{path}: with its gaps, this {name}+D file has {int(samples):,} samples, more than one of its size is "
            "believed to hold; split it at the gaps, one file a piece"
        )
    return {count: _places_of(begins, count, header) for count in {0, *counts}}


def _places_of(begins: Sequence[Fraction], count: int, header: EdfHeader) -> npt.NDArray[np.int64] | None:
    places = np.fromiter((round(begin * count / header.duration) for begin in begins), np.int64, len(begins))
    without_gaps = np.arange(len(begins)) * count
    places = np.maximum.accumulate(places - without_gaps) + without_gaps  # rounded times never overlap
    return None if np.array_equal(places, np.arange(len(begins)) * count) else places


def _laid_out(channel: Channel, count: int, places: npt.NDArray[np.int64] | None, header: EdfHeader) -> Channel:
    """Return the channel with missing samples in the gaps between records, and at the end of an incomplete one."""
    there = NoneMissing(len(channel.counts))
    length = header.all_records * count
    if places is not None:
        is_missing = LaidOut(there, places, count, fill=True)
        return replace(channel, counts=LaidOut(channel.counts, places, count, fill=0), is_missing=is_missing)
    if length == len(there):
        return channel
    counts = Extended(channel.counts, length, fill=0)
    return replace(channel, counts=counts, is_missing=Extended(there, length, fill=True))
