"""Annotations of DICOM waveforms, each of which refers to groups or channels and counts from their first sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

from .annotation import Annotation
from .counted import counted

_UNREADABLE: Final = "a form that cannot be read"


@dataclass(frozen=True, slots=True)
class GroupPlace:
    """Where the samples of a group are in the record.

    Attributes:
        begin: time of the first sample of the group, in seconds from the first sample of the record.
        sampling_rate: sampling rate in Hz.
        leads: name of each channel.
        begins: time of the first sample of each channel, which has a skew, in seconds.
    """

    begin: float
    sampling_rate: float
    leads: Sequence[str]
    begins: Sequence[float]


@dataclass(slots=True)
class DicomAnnotations:
    """Reads the annotations of a file.

    Attributes:
        places: where the groups are that were read, by number from 1.
        names: names of all groups.
        zero: time of the first sample of the record, in seconds from the start of the acquisition.
        start: start of the acquisition; None if unknown.
        duration: duration of the record in seconds.
        moment: parses a date; None for an invalid one.
        lost: number of annotations that are not read, by what they refer to.
    """

    places: dict[int, GroupPlace]
    names: Sequence[str]
    zero: float
    start: datetime | None
    duration: float
    moment: Callable[[str], datetime | None]
    lost: Counter[str] = field(default_factory=Counter)

    def read(self, dataset: Any) -> Iterator[Annotation]:
        """Yield the annotations of a file. Those without a time, such as measurements, are at 0 s of the group.

        What cannot be read is counted in ``lost``: pydicom raises many kinds of exceptions, also for a single value.
        """
        try:
            items = dataset.get("WaveformAnnotationSequence") or ()
        except Exception:
            self.lost[_UNREADABLE] += 1
            return
        for item in items:
            try:
                found = self._of_item(item)
            except Exception:
                self.lost[_UNREADABLE] += 1
            else:
                yield from found

    def _of_item(self, item: Any) -> list[Annotation]:
        text = _text(item)
        kind = str(item.get("TemporalRangeType") or "")
        found: list[Annotation] = []
        for lead, begin, rate in self._targets(item):
            times = self._times(item, begin, rate)
            if times is None:
                self.lost["a date that is invalid, or without a start of the recording"] += 1
            else:
                found += self._spans(kind, times, text, lead)
        return found

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is not read, for the user."""
        return tuple(f"{counted(count, 'annotation')} of {what}" for what, count in self.lost.items())

    def _targets(self, item: Any) -> Iterator[tuple[str | None, float, float]]:
        """Yield lead, time of the first sample, and sampling rate of everything that an annotation refers to."""
        numbers = [int(number) for number in _each(item.get("ReferencedWaveformChannels"))]
        pairs = list(dict.fromkeys(zip(numbers[::2], numbers[1::2], strict=False)))
        for group, channel in pairs or [(min(self.places), 0)]:
            place = self.places.get(group)
            if place is None:
                known = 1 <= group <= len(self.names)
                self.lost[self.names[group - 1] if known else f"group {group}, which is not there"] += 1
            elif not channel:
                yield None, place.begin, place.sampling_rate
            elif channel <= len(place.leads):
                yield place.leads[channel - 1], place.begins[channel - 1], place.sampling_rate
            else:
                self.lost[f"channel {channel} of {self.names[group - 1]}, which is not there"] += 1

    def _times(self, item: Any, begin: float, rate: float) -> list[float] | None:
        """Return the times of an annotation from the first sample of the record; None if they are dates without use."""
        if positions := _each(item.get("ReferencedSamplePositions")):
            return [begin + (float(position) - 1) / rate for position in positions]
        if offsets := _each(item.get("ReferencedTimeOffsets")):
            return [float(offset) - self.zero for offset in offsets]  # in seconds, other than the offsets of groups
        if dates := _each(item.get("ReferencedDateTime")):
            moments = [self.moment(str(date)) for date in dates]
            if self.start is None or None in moments:
                return None
            return [_seconds(moment, self.start) - self.zero for moment in moments if moment is not None]
        return [begin]

    def _spans(self, kind: str, times: Sequence[float], text: str, lead: str | None) -> Iterator[Annotation]:
        """Yield what a temporal range type makes of these times."""
        if kind in ("SEGMENT", "MULTISEGMENT"):
            for first, last in zip_longest(times[::2], times[1::2]):
                yield Annotation(first, text, lead, None if last is None or last < first else last - first)
        elif kind == "BEGIN":
            yield from (Annotation(time, text, lead, max(self.duration - time, 0.0)) for time in times)
        elif kind == "END":
            yield from (Annotation(min(time, 0.0), text, lead, max(time, 0.0)) for time in times)
        else:
            yield from (Annotation(time, text, lead) for time in times)


def _text(item: Any) -> str:
    """Return the text of an annotation, or the name, value and unit of its measurement."""
    if text := str(item.get("UnformattedTextValue") or ""):
        return text
    values = " ".join(str(value) for value in _each(item.get("NumericValue")))
    units = _codes(item.get("MeasurementUnitsCodeSequence"), "CodeValue") if values else ""
    meaning = _codes(item.get("ConceptCodeSequence"), "CodeMeaning")
    name = _codes(item.get("ConceptNameCodeSequence"), "CodeMeaning")
    parts = (name, values, "" if units == "1" else units, meaning)
    return " ".join(part for part in parts if part)


def _codes(codes: Any, element: str) -> str:
    """Return an element of a code, with its modifiers in brackets."""
    if not codes:
        return ""
    modifiers = ", ".join(str(one.get("CodeMeaning") or "") for one in codes[0].get("ModifierCodeSequence") or ())
    text = str(codes[0].get(element) or "")
    return f"{text} ({modifiers})" if modifiers else text


def _seconds(date: datetime, start: datetime) -> float:
    """Return seconds from the start; a time zone that only one of both has is that of both."""
    if (date.tzinfo is None) != (start.tzinfo is None):
        date, start = date.replace(tzinfo=None), start.replace(tzinfo=None)
    return (date - start).total_seconds()


def _each(values: Any) -> Sequence[Any]:
    """Return the values of an element, which has none, one or several."""
    if values is None or values == "":
        return ()
    return (values,) if isinstance(values, (int, float, str, datetime)) else tuple(values)
