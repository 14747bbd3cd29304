"""DICOM waveforms: multiplex groups of channels, with a sensitivity and a baseline for each channel."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from ..libraries import library
from .bounds import (
    BYTES_OF_AN_ELEMENT,
    FEW_ELEMENTS,
    LONGEST_SILENCE,
    SMALL_RECORDING,
    check_annotations,
    most_annotations,
    most_bytes,
)
from .channels import EVERYTHING, Channel, Choice, Counts, Delayed, Marked, NoneMissing, join, with_samples_of
from .counted import counted
from .dicom_annotations import DicomAnnotations, GroupPlace
from .dicom_elements import count_elements
from .dicom_samples import RowCounts, samples_at, split
from .lead_comments import lead_comments
from .mapped import Reading, is_large, mapped, release
from .record import COUNTS, UNKNOWN, Record, RecordError
from .sample_buffer import SampleBuffer

COMPANDED = ("MB", "AB")
"""Sample interpretations of companded audio (mu-law and A-law), whose bytes are not counts."""

LARGEST_ROUNDING = 0.01
"""Part of a sample by which the beginning of a channel may be rounded without a note."""

FILTERS = (
    ("high-pass", "FilterLowFrequency"),
    ("low-pass", "FilterHighFrequency"),
    ("notch", "NotchFilterFrequency"),
)
"""Filters of a channel, and the elements with their frequencies in Hz; 0 if there is none."""

PREAMBLE = 132
"""Bytes before the file's meta information: the preamble and DICM."""

PIECE = 1 << 20
"""Bytes that are inflated at a time."""

TAGS = (
    "WaveformSequence",
    "WaveformAnnotationSequence",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "TimezoneOffsetFromUTC",
    "Manufacturer",
    "ManufacturerModelName",
)
"""Elements that are read; the others may be many."""


def read_dicom(path: Path, wanted: Choice = EVERYTHING) -> Record:
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
        source = _open(pydicom, path)
        dataset = pydicom.dcmread(source.without_samples or path, specific_tags=list(TAGS))
        groups = dataset.get("WaveformSequence")
        if not groups:
            raise RecordError(f"{path}: a DICOM file, but without waveforms, or cut short before their end")
        chosen = _chosen(groups)
        skewed: list[_Skewed] = []
        for number in chosen:
            if groups[number].WaveformSampleInterpretation in COMPANDED:
                raise RecordError(f"{path}: its samples are companded audio, not counts")
            skewed += _channels(groups[number], source.samples(waveforms, dataset, number))
        skewed = _with_names_of_their_own(skewed, groups, chosen)
        channels, zero = _in_time(path, skewed)
        start = _start(pydicom, dataset)
        device = _device(dataset)
        left_out = tuple(_named(number, group) for number, group in enumerate(groups) if number not in chosen)
        record = _record(path, channels, skewed, wanted)
        comments = _filters(channels, groups, chosen, record.leads) + _statuses(channels, groups, chosen, record.leads)
        places = _places(channels, groups, chosen, zero, [one.late for one in skewed])
        names = [_label(*one) for one in enumerate(groups)]
        dates = partial(_moment, pydicom, dataset)
        found = DicomAnnotations(places, names, zero, start, record.duration, dates)
        annotations = list(islice(found.read(dataset), _most(path) + 1))
    except RecordError:
        raise
    except Exception as error:  # pydicom raises many kinds of exceptions for damaged files
        raise RecordError(f"{path}: not readable as a DICOM waveform ({type(error).__name__}: {error})") from error
    check_annotations(path, len(annotations), path.stat().st_size)
    kept = (note for note in annotations if note.lead is None or note.lead in record.leads)
    return replace(
        record,
        start=None if start is None else start + timedelta(seconds=zero),
        annotations=tuple(sorted(kept, key=lambda note: note.time)),
        left_out=record.left_out
        + left_out
        + _beyond(source, groups, chosen)
        + found.left_out
        + _no_start(dataset, start),
        repaired=_rounded([one for one in skewed if one.channel.lead in record.leads]),
        device=device,
        comments=comments,
    )


def _most(path: Path) -> int:
    return most_annotations(path.stat().st_size)


@dataclass(frozen=True, eq=False, slots=True)
class _Source:
    """A file as it is read.

    Attributes:
        octets: its bytes, the elements inflated.
        is_little_endian: byte order of its elements.
        without_samples: a file without the samples, which pydicom reads; None if it may read the file itself.
        spans: position and size of the samples in ``octets``, by the number of the group, if they are not read by it.
    """

    octets: npt.NDArray[np.uint8]
    is_little_endian: bool
    without_samples: BinaryIO | None = None
    spans: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def samples(self, waveforms: Any, dataset: Any, number: int) -> npt.NDArray[Any]:
        """Return the counts of a group, [channels, samples], as a view of the file if it is large."""
        group = dataset.WaveformSequence[number]
        if number not in self.spans:
            counts: npt.NDArray[Any] = waveforms.multiplex_array(dataset, number, as_raw=True).T
            return counts.view(self._ordered(counts.dtype))
        kind = (int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation))
        dtype = np.dtype(waveforms.numpy_handler.WAVEFORM_DTYPES[kind])
        shape = int(group.NumberOfWaveformSamples), int(group.NumberOfWaveformChannels)
        return samples_at(self.octets, self.spans[number], self._ordered(dtype), *shape)

    def _ordered(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return dtype.newbyteorder("<" if self.is_little_endian else ">")


def _open(pydicom: Any, path: Path) -> _Source:
    """Open a file, and refuse it if it costs more than one of its size may: pydicom makes objects of its elements."""
    nbytes = path.stat().st_size
    with path.open("rb") as file:
        meta = pydicom.filereader.read_file_meta_info(path)
        syntax = meta.get("TransferSyntaxUID")
        file.seek(PREAMBLE)
        pydicom.filereader._read_file_meta_info(file)
        begin = file.tell()
        is_deflated = syntax == pydicom.uid.DeflatedExplicitVRLittleEndian
        octets = _inflate(path, file, most_bytes(nbytes)) if is_deflated else mapped(file, np.uint8, (nbytes,))
        file.seek(0)
        head = file.read(begin)
    first = 0 if is_deflated else begin
    most, is_little = FEW_ELEMENTS + nbytes // BYTES_OF_AN_ELEMENT, _is_little(syntax)
    if count_elements(octets, first, is_little_endian=is_little, most=most) > most:
        raise RecordError(
            f"{path}: it has more than {most:,} elements, which a recording of this size is not believed to have; "
            "take out annotations or private elements"
        )
    release(octets)
    if not is_large(octets.nbytes):
        return _Source(octets, is_little)
    rest, spans = split(octets, first, is_little_endian=is_little)
    return _Source(octets, is_little, BytesIO(head + (_deflate(rest) if is_deflated else rest)), spans)


def _inflate(path: Path, file: BinaryIO, most: int) -> npt.NDArray[np.uint8]:
    """Return the elements of a deflated file; they are in a temporary file if they are many.

    Raises:
        RecordError: they are longer than ``most`` bytes.
    """
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = SampleBuffer(1, np.uint8)
    while not inflating.eof and (piece := inflating.unconsumed_tail or file.read(PIECE)):
        inflated.add(np.frombuffer(inflating.decompress(piece, PIECE), np.uint8)[None])
        if inflated.nbytes > most:
            raise RecordError(
                f"{path}: it inflates to more than {most:,} bytes, which a file of this size is not believed to "
                "hold; if it is right, save it without compression"
            )
    octets: npt.NDArray[np.uint8] = inflated.signal()[0]
    return octets


def _deflate(octets: bytes | bytearray) -> bytes:
    deflating = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return deflating.compress(octets) + deflating.flush()


def _record(path: Path, channels: Sequence[Channel], skewed: Sequence[_Skewed], wanted: Choice) -> Record:
    """Return the record of the channels, without a copy of their samples if they are stored like this."""
    stored = [one.channel.counts for one in skewed]
    first = stored[0] if stored else None
    if (
        isinstance(first, RowCounts)
        and first.reading.signal.dtype == np.int16
        and all(isinstance(one, RowCounts) and one.reading is first.reading for one in stored)
        and all(channel.counts is one for channel, one in zip(channels, stored, strict=True))
    ):
        mark = channels[0].is_missing.mark if isinstance(channels[0].is_missing, Marked) else None
        return with_samples_of(channels, first.reading.signal, mark, str(path), wanted)
    return join(channels, str(path), wanted)


# --- groups ---


def _chosen(groups: Sequence[Any]) -> list[int]:
    """Return the numbers of the original groups, or of the longest if none is marked as original."""
    originals = [number for number, group in enumerate(groups) if group.get("WaveformOriginality") == "ORIGINAL"]
    return originals or [max(range(len(groups)), key=lambda number: _seconds(groups[number]))]


def _seconds(group: Any) -> float:
    return float(group.NumberOfWaveformSamples) / float(group.SamplingFrequency)


def _label(number: int, group: Any) -> str:
    return str(group.get("MultiplexGroupLabel") or "").strip() or f"group {number + 1}"


def _named(number: int, group: Any) -> str:
    origin = str(group.get("WaveformOriginality") or "").lower()
    count = int(group.NumberOfWaveformChannels)
    described = ", ".join(
        part
        for part in (origin, f"{count} {'channel' if count == 1 else 'channels'}", f"{_seconds(group):g} s")
        if part
    )
    return f"{_label(number, group)} ({described})"


def _with_names_of_their_own(skewed: Sequence[_Skewed], groups: Sequence[Any], chosen: Sequence[int]) -> list[_Skewed]:
    """Make lead names unique: one that occurs again, as in a rhythm strip, gets the label of its group."""
    of_group = [number for number in chosen for _ in groups[number].ChannelDefinitionSequence]
    seen: Counter[str] = Counter()
    named = []
    for (channel, begin), number in zip(skewed, of_group, strict=True):
        seen[channel.lead] += 1
        if seen[channel.lead] > 1:
            lead = f"{channel.lead} ({_label(number, groups[number])})"
            named.append(_Skewed(replace(channel, lead=lead), begin))
        else:
            named.append(_Skewed(channel, begin))
    return named


def _places(
    channels: Sequence[Channel], groups: Sequence[Any], chosen: Sequence[int], zero: float, lates: Sequence[int]
) -> dict[int, GroupPlace]:
    """Return where the channels of the chosen groups are, by the number of the group from 1."""
    places, first = {}, 0
    for number in chosen:
        last = first + len(groups[number].ChannelDefinitionSequence)
        rate = float(groups[number].SamplingFrequency)
        begins = [late / rate - zero for late in lates[first:last]]
        leads = [channel.lead for channel in channels[first:last]]
        begin = round(_offset(groups[number]) * rate) / rate  # as that of its channels
        places[number + 1] = GroupPlace(begin - zero, rate, leads, begins)
        first = last
    return places


# --- channels ---


class _Skewed(NamedTuple):
    """A channel, and the seconds by which it begins after the start of the acquisition, which may be negative."""

    channel: Channel
    begin: float

    @property
    def late(self) -> int:
        """The same in samples, rounded."""
        return round(self.begin * self.channel.sampling_rate)


def _is_little(syntax: Any) -> bool:
    return syntax is None or bool(syntax.is_little_endian)


def _channels(group: Any, counts: npt.NDArray[Any]) -> list[_Skewed]:
    rate = float(group.SamplingFrequency)
    padding = group.get("WaveformPaddingValue")
    mark = None
    if padding:  # bytes in the byte order of the file, or a number
        mark = int(np.frombuffer(padding, counts.dtype, 1)[0] if isinstance(padding, bytes) else padding)
    reading = Reading(counts)
    rows: list[Counts] = [RowCounts(reading, row) for row in range(len(counts))]
    return [
        _Skewed(_channel(definition, row, rate, mark), _begin(definition, rate, _offset(group)))
        for definition, row in zip(group.ChannelDefinitionSequence, rows, strict=True)
    ]


def _offset(group: Any) -> float:
    """Return the seconds by which a group begins after the start of the acquisition."""
    return float(group.get("MultiplexGroupTimeOffset") or 0) / 1000


def _begin(definition: Any, sampling_rate: float, offset: float) -> float:
    """Return the seconds by which a channel of a group begins after the start of the acquisition."""
    skew = float(definition.get("ChannelSampleSkew") or 0) / sampling_rate
    time_skew, alignment = (float(definition.get(name) or 0) for name in ("ChannelTimeSkew", "ChannelOffset"))
    return offset + skew + time_skew + alignment


def _rounded(skewed: Sequence[_Skewed]) -> tuple[str, ...]:
    """Return a note on channels that begin between two samples."""
    away = {
        one.channel.lead: abs(one.begin - one.late / one.channel.sampling_rate)
        for one in skewed
        if abs(one.begin * one.channel.sampling_rate - one.late) > LARGEST_ROUNDING
    }
    if not away:
        return ()
    return (f"the beginning of {', '.join(away)} is rounded to whole samples, by {max(away.values()):.3g} s at most",)


def _channel(definition: Any, counts: Counts, sampling_rate: float, mark: int | None) -> Channel:
    return Channel(
        lead=_name(definition),
        counts=counts,
        sampling_rate=sampling_rate,
        is_missing=None if mark is None else Marked(counts, mark),
        **_calibration(definition),
    )


def _in_time(path: Path, skewed: Sequence[_Skewed]) -> tuple[list[Channel], float]:
    """Return the channels with missing samples before their first ones, and the time of the first sample of all.

    The time is 0, or negative if a channel begins before the start of the acquisition.

    Raises:
        RecordError: with the missing samples, they take more room than those of a file of this size may.
    """
    zero = min((one.late / one.channel.sampling_rate for one in skewed), default=0.0)
    zero = min(zero, 0.0)
    befores = [max(one.late - round(zero * one.channel.sampling_rate), 0) for one in skewed]
    longest = max(before + len(channel.counts) for (channel, _), before in zip(skewed, befores, strict=True))
    nbytes = longest * len(skewed) * skewed[0].channel.counts[:0].itemsize
    if nbytes > max(SMALL_RECORDING, LONGEST_SILENCE * path.stat().st_size):
        raise RecordError(
            f"{path}: its groups are so far apart that they take {nbytes:,} bytes, more than a file of its size is "
            "believed to hold; are the time offsets right?"
        )
    return [_after(channel, before) for (channel, _), before in zip(skewed, befores, strict=True)], zero


def _after(channel: Channel, before: int) -> Channel:
    """Return a channel with so many missing samples before its first one."""
    if not before:
        return channel
    there = NoneMissing(len(channel.counts)) if channel.is_missing is None else channel.is_missing
    return replace(
        channel,
        counts=Delayed(channel.counts, before, 0),
        is_missing=Delayed(there, before, True),
    )


def _name(definition: Any) -> str:
    """Return the short name of a lead: I for "Lead I (Einthoven)", aVR for "aVR, augmented voltage, right"."""
    label = definition.get("ChannelLabel") or definition.ChannelSourceSequence[0].CodeMeaning
    return re.sub(r"^lead\s+|\s*\(.*\)$|,\s*augmented voltage\b.*$", "", str(label), flags=re.IGNORECASE)


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
        "units": (str(units[0].CodeValue).strip() if units else "") or UNKNOWN,
        "gain": 1 / factor,
        "baseline": -offset / factor,
    }


def _or(value: Any, default: int) -> Any:
    """Return the value of an element; the default if it is absent or empty."""
    return default if value in (None, "") else value


def _filters(
    channels: Sequence[Channel], groups: Sequence[Any], chosen: Sequence[int], leads: Sequence[str]
) -> tuple[str, ...]:
    """Return comments with the filters of the leads that were read."""
    definitions = [definition for number in chosen for definition in groups[number].ChannelDefinitionSequence]
    texts = {
        channel.lead: ", ".join(
            f"{name} {float(frequency):g} Hz" for name, element in FILTERS if (frequency := definition.get(element))
        )
        for channel, definition in zip(channels, definitions, strict=True)
    }
    return lead_comments("filter", leads, [texts.get(lead, "") for lead in leads])


def _statuses(
    channels: Sequence[Channel], groups: Sequence[Any], chosen: Sequence[int], leads: Sequence[str]
) -> tuple[str, ...]:
    """Return comments with the status of the leads that were read, such as DISCONNECTED, if it is not OK."""
    definitions = [definition for number in chosen for definition in groups[number].ChannelDefinitionSequence]
    texts = {}
    for channel, definition in zip(channels, definitions, strict=True):
        status = definition.get("ChannelStatus") or ()
        each = (status,) if isinstance(status, str) else status
        texts[channel.lead] = ", ".join(str(one) for one in each if str(one) != "OK")
    return lead_comments("status", leads, [texts.get(lead, "") for lead in leads])


def _beyond(source: _Source, groups: Sequence[Any], chosen: Sequence[int]) -> tuple[str, ...]:
    """Name the samples that groups have after those that they announce."""
    beyond = []
    for number in chosen:
        group = groups[number]
        nbytes = source.spans[number][1] if number in source.spans else len(group.WaveformData)
        width = int(group.NumberOfWaveformChannels) * int(group.WaveformBitsAllocated) // 8
        more = nbytes // width - int(group.NumberOfWaveformSamples)
        if more > 0:
            announced = int(group.NumberOfWaveformSamples)
            beyond.append(
                f"{counted(more, 'sample')} of {_label(number, group)} after the {announced:,} that it announces"
            )
    return tuple(beyond)


# --- by what, and when ---


def _device(dataset: Any) -> str:
    """Return manufacturer and model."""
    names = [str(dataset.get(element) or "").strip() for element in ("Manufacturer", "ManufacturerModelName")]
    return " ".join(filter(None, names))


def _start(pydicom: Any, dataset: Any) -> datetime | None:
    """Return when the acquisition began, with the time zone of the file if it has one; None for an invalid date."""
    return _moment(pydicom, dataset, _stated_start(dataset))


def _stated_start(dataset: Any) -> str:
    moment = str(dataset.get("AcquisitionDateTime") or "").strip()
    if not moment and dataset.get("AcquisitionDate"):
        moment = str(dataset.AcquisitionDate) + str(dataset.get("AcquisitionTime") or "")
    return moment


def _no_start(dataset: Any, start: datetime | None) -> tuple[str, ...]:
    stated = _stated_start(dataset)
    return (f"the start {stated}, which is no valid date",) if stated and start is None else ()


def _moment(pydicom: Any, dataset: Any, text: str) -> datetime | None:
    """Return a date of a file, with its own time zone or else that of the file; None if it is invalid or empty."""
    if text and "+" not in text and "-" not in text:
        text += str(dataset.get("TimezoneOffsetFromUTC") or "").strip()
    try:
        parsed = pydicom.valuerep.DT(text) if text else None
    except (ValueError, TypeError):
        return None
    if parsed is None:
        return None
    date: datetime = datetime.combine(parsed.date(), parsed.time(), parsed.tzinfo)
    return date
