"""DICOM waveforms: multiplex groups of channels, with a sensitivity and a baseline for each channel."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..libraries import library
from .annotation import Annotation
from .bounds import most_bytes
from .channels import Channel, join
from .record import COUNTS, UNKNOWN, Record, RecordError

COMPANDED = ("MB", "AB")
"""Sample interpretations of companded audio (mu-law and A-law), whose bytes are not counts."""

PREAMBLE = 132
"""Bytes before the file's meta information: the preamble and DICM."""

PIECE = 1 << 20
"""Bytes that are inflated at a time."""


def read_dicom(path: Path, leads: Sequence[str] | None = None) -> Record:
    """Read the original waveforms of a DICOM file as ADC counts, in one record if they have one sampling rate.

    The groups of a printed ECG, with three leads each for 2.5 seconds, become one record in which the rest of each lead
    is missing. Derived groups, such as the median beat of a resting ECG, are left out.

    Raises:
        MissingLibrary: pydicom is not installed.
        RecordError: the file is damaged or has no waveform, or its channels do not fit into one record.
    """
    pydicom = library("pydicom", extra="dicom", purpose="reading DICOM")
    waveforms = library("pydicom.waveforms", extra="dicom", purpose="reading DICOM")
    try:
        _check_inflated(pydicom, path)
        dataset = pydicom.dcmread(path)
        groups = dataset.get("WaveformSequence")
        if not groups:
            raise RecordError(f"{path}: a DICOM file, but without waveforms")
        chosen = _chosen(groups)
        channels: list[Channel] = []
        for number in chosen:
            if groups[number].WaveformSampleInterpretation in COMPANDED:
                raise RecordError(f"{path}: its samples are companded audio, not counts")
            counts = waveforms.multiplex_array(dataset, number, as_raw=True).T
            channels += _channels(groups[number], counts, _is_little_endian(dataset))
        left_out = tuple(_named(number, group) for number, group in enumerate(groups) if number not in chosen)
        start = _start(pydicom, dataset)
        annotations = _annotations(dataset, groups, chosen)
    except RecordError:
        raise
    except Exception as error:  # pydicom raises many kinds of exceptions for damaged files
        raise RecordError(f"{path}: not readable as a DICOM waveform ({type(error).__name__}: {error})") from error
    record = join(_with_names_of_their_own(channels, groups, chosen), str(path), leads)
    return replace(record, start=start, annotations=annotations, left_out=record.left_out + left_out)


def _check_inflated(pydicom: Any, path: Path) -> None:
    """Refuse a deflated file that is larger than one of its size may be: pydicom inflates it in one piece."""
    with path.open("rb") as file:
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != pydicom.uid.DeflatedExplicitVRLittleEndian:
            return
        file.seek(PREAMBLE)
        pydicom.filereader._read_file_meta_info(file)
        most = most_bytes(path.stat().st_size)
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        nbytes = 0
        while not inflating.eof and (piece := inflating.unconsumed_tail or file.read(PIECE)):
            nbytes += len(inflating.decompress(piece, PIECE))
            if nbytes > most:
                raise RecordError(
                    f"{path}: it inflates to more than {most:,} bytes, which a file of this size is not believed to "
                    "hold; if it is right, save it without compression"
                )


# --- groups ---


def _chosen(groups: Sequence[Any]) -> list[int]:
    """Return the numbers of the original groups, or of the longest if none is marked as original."""
    originals = [number for number, group in enumerate(groups) if group.get("WaveformOriginality") == "ORIGINAL"]
    return originals or [max(range(len(groups)), key=lambda number: _seconds(groups[number]))]


def _seconds(group: Any) -> float:
    return float(group.NumberOfWaveformSamples) / float(group.SamplingFrequency)


def _named(number: int, group: Any) -> str:
    label = str(group.get("MultiplexGroupLabel") or "").strip()
    origin = str(group.get("WaveformOriginality") or "").lower()
    count = int(group.NumberOfWaveformChannels)
    described = ", ".join(
        part
        for part in (origin, f"{count} {'channel' if count == 1 else 'channels'}", f"{_seconds(group):g} s")
        if part
    )
    return f"{label or f'group {number + 1}'} ({described})"


def _with_names_of_their_own(
    channels: Sequence[Channel], groups: Sequence[Any], chosen: Sequence[int]
) -> list[Channel]:
    """Make lead names unique: one that occurs again, as in a rhythm strip, gets the label of its group."""
    of_group = [number for number in chosen for _ in groups[number].ChannelDefinitionSequence]
    seen: Counter[str] = Counter()
    named = []
    for channel, number in zip(channels, of_group, strict=True):
        seen[channel.lead] += 1
        if seen[channel.lead] > 1:
            label = str(groups[number].get("MultiplexGroupLabel") or "").strip() or f"group {number + 1}"
            named.append(replace(channel, lead=f"{channel.lead} ({label})"))
        else:
            named.append(channel)
    return named


# --- channels ---


def _is_little_endian(dataset: Any) -> bool:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    return syntax is None or bool(syntax.is_little_endian)


def _channels(group: Any, counts: npt.NDArray[Any], is_little_endian: bool) -> list[Channel]:
    rate = float(group.SamplingFrequency)
    padding = group.get("WaveformPaddingValue")
    if counts.dtype.itemsize > 1 and not is_little_endian:
        counts = counts.byteswap()
    mark = None
    if padding:  # bytes in the byte order of the file, or a number
        dtype = counts.dtype.newbyteorder("<" if is_little_endian else ">")
        mark = int(np.frombuffer(padding, dtype, 1)[0] if isinstance(padding, bytes) else padding)
    offset = float(group.get("MultiplexGroupTimeOffset") or 0) / 1000
    return [
        _channel(definition, samples, rate, mark, offset)
        for definition, samples in zip(group.ChannelDefinitionSequence, counts, strict=True)
    ]


def _channel(
    definition: Any, samples: npt.NDArray[Any], sampling_rate: float, mark: int | None, offset: float
) -> Channel:
    is_missing = np.zeros(len(samples), np.bool_) if mark is None else samples == mark
    skew = float(definition.get("ChannelSampleSkew") or 0) / sampling_rate + float(
        definition.get("ChannelTimeSkew") or 0
    )
    late = round((offset + skew) * sampling_rate)
    if late > 0:
        samples = np.append(np.zeros(late, samples.dtype), samples)
        is_missing = np.append(np.ones(late, np.bool_), is_missing)
    return Channel(
        lead=_name(definition),
        counts=samples,
        sampling_rate=sampling_rate,
        is_missing=is_missing,
        **_calibration(definition),
    )


def _name(definition: Any) -> str:
    """Return the short name of a lead: I for "Lead I (Einthoven)" of the coding scheme."""
    label = definition.get("ChannelLabel") or definition.ChannelSourceSequence[0].CodeMeaning
    return re.sub(r"^lead\s+|\s*\(.*\)$", "", str(label), flags=re.IGNORECASE)


def _calibration(definition: Any) -> dict[str, Any]:
    """Return units, gain and baseline. In DICOM, value = count * sensitivity + baseline."""
    sensitivity = definition.get("ChannelSensitivity")
    if sensitivity in (None, "") or Fraction(str(sensitivity)) == 0:
        return {"units": COUNTS}
    correction = _or(definition.get("ChannelSensitivityCorrectionFactor"), 1)
    factor = Fraction(str(sensitivity)) * Fraction(str(correction))
    offset = Fraction(str(_or(definition.get("ChannelBaseline"), 0)))
    units = definition.get("ChannelSensitivityUnitsSequence")
    return {
        "units": str(units[0].CodeValue) if units else UNKNOWN,
        "gain": 1 / factor,
        "baseline": -offset / factor,
    }


def _or(value: Any, default: int) -> Any:
    """Return the value of an element; the default if it is absent or empty."""
    return default if value in (None, "") else value


# --- when ---


def _start(pydicom: Any, dataset: Any) -> datetime | None:
    """Return when the acquisition began, with the time zone of the file if it has one; None for an invalid date."""
    moment = str(dataset.get("AcquisitionDateTime") or "").strip()
    if not moment and dataset.get("AcquisitionDate"):
        moment = str(dataset.AcquisitionDate) + str(dataset.get("AcquisitionTime") or "")
    if moment and "+" not in moment and "-" not in moment:
        moment += str(dataset.get("TimezoneOffsetFromUTC") or "").strip()
    try:
        parsed = pydicom.valuerep.DT(moment) if moment else None
    except (ValueError, TypeError):
        return None
    if parsed is None:
        return None
    return datetime(
        parsed.year,
        parsed.month,
        parsed.day,
        parsed.hour,
        parsed.minute,
        parsed.second,
        parsed.microsecond,
        parsed.tzinfo,
    )


def _annotations(dataset: Any, groups: Sequence[Any], chosen: Sequence[int]) -> tuple[Annotation, ...]:
    """Return the annotations. Those without a time, such as global measurements, are at 0 s."""
    found: list[Annotation] = []
    rate = float(groups[chosen[0]].SamplingFrequency)
    for note in dataset.get("WaveformAnnotationSequence") or ():
        text = str(note.get("UnformattedTextValue") or "")
        names = note.get("ConceptNameCodeSequence")
        if not text and names:
            values = note.get("NumericValue")
            text = " ".join(str(part) for part in (names[0].get("CodeMeaning"), values) if part is not None)
        times = [0.0]
        if positions := note.get("ReferencedSamplePositions"):
            times = [(float(position) - 1) / rate for position in _each(positions)]
        elif offsets := note.get("ReferencedTimeOffsets"):
            times = [float(offset) / 1000 for offset in _each(offsets)]
        if len(times) == 2 and note.get("TemporalRangeType") == "SEGMENT":
            found.append(Annotation(times[0], text, None, times[1] - times[0]))
        else:
            found += [Annotation(time, text) for time in times]
    return tuple(sorted(found, key=lambda note: note.time))


def _each(values: Any) -> Sequence[Any]:
    return (values,) if isinstance(values, (int, float, str)) else tuple(values)
