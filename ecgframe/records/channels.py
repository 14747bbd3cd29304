"""Combining the channels of a file, each with its own rate and unit, to one record.

Clinical files mix signals: an EDF file of a sleep study has EEG at 256 Hz, ECG at 512 Hz and airflow at 32 Hz; a WFDB
record of an intensive care unit has blood pressure as well as ECG. A record has one rate and one unit, so this module
selects channels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .record import COUNTS, PORTION, Record, RecordError, has_missing
from .sample_buffer import SampleBuffer, rows_of

_PREFIXES = {
    "": Fraction(1000),
    "m": Fraction(1),
    "u": Fraction(1, 1000),
    "\N{MICRO SIGN}": Fraction(1, 1000),
    "\N{GREEK SMALL LETTER MU}": Fraction(1, 1000),
    "n": Fraction(1, 1_000_000),
    "milli": Fraction(1),
    "micro": Fraction(1, 1000),
    "nano": Fraction(1, 1_000_000),
}

MILLIVOLTS = {f"{prefix}{name}": size for prefix, size in _PREFIXES.items() for name in ("v", "volt", "volts")}
"""Millivolts per unit, by its spelling in lower case. The two micro signs look alike, and both occur."""

ECG_NAME = re.compile(r"ecg|ekg|^(lead\s*)?(i|ii|iii|avr|avl|avf|v[1-9]r?|m[lc]l?(i|ii|iii|[1-6]))$", re.IGNORECASE)


class Counts(Protocol):
    """Integers or booleans, [samples], in memory or read when they are asked for."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        """Return samples ``start`` to ``stop``, which are consecutive."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Cut:
    """The first samples of others, at most ``length``."""

    counts: Counts
    length: int

    def __len__(self) -> int:
        return min(self.length, len(self.counts))

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(len(self))
        return self.counts[start:stop]


@dataclass(frozen=True, eq=False, slots=True)
class Marked:
    """Which samples are missing: those of one count, and those that are missing anyway."""

    counts: Counts
    mark: int
    is_missing: Counts | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, place: slice, /) -> npt.NDArray[np.bool_]:
        start, stop, _ = place.indices(len(self))
        is_missing: npt.NDArray[np.bool_] = self.counts[start:stop] == self.mark
        return is_missing if self.is_missing is None else is_missing | self.is_missing[start:stop]


class NoneMissing:
    """The mark that no sample is missing, for this number of samples."""

    def __init__(self, samples: int) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, place: slice, /) -> npt.NDArray[np.bool_]:
        return np.zeros(len(range(*place.indices(self._samples))), np.bool_)


class Delayed:
    """``fill`` a number of times, and then counts."""

    def __init__(self, counts: Counts, before: int, fill: int) -> None:
        self._counts = counts
        self._before = before
        self._fill = fill

    def __len__(self) -> int:
        return self._before + len(self._counts)

    def __getitem__(self, place: slice, /) -> npt.NDArray[Any]:
        start, stop, _ = place.indices(len(self))
        counts = self._counts[max(start - self._before, 0) : max(stop - self._before, 0)]
        early = np.full(max(min(stop, self._before) - start, 0), self._fill, counts.dtype)
        return np.concatenate([early, counts]) if len(early) else counts


@dataclass(frozen=True, slots=True)
class Choice:
    """Which channels of a file to read.

    Attributes:
        leads: their names, in that order; None for all, or only the ECG if not all fit together.
        every_unit: whether channels of other units fit together with the ECG, if they have its sampling rate.
    """

    leads: Sequence[str] | None = None
    every_unit: bool = False


EVERYTHING: Final = Choice()
"""All channels, or only the ECG if not all fit together."""


@dataclass(frozen=True, eq=False, slots=True)
class Channel:
    """One channel of a file.

    Attributes:
        lead: name of the channel; may be empty.
        counts: ADC counts, integers of shape [samples].
        sampling_rate: sampling rate in Hz.
        units: unit as spelled in the file, such as "uV"; "counts" if the file has no calibration.
        gain: exact counts per unit; None without calibration.
        baseline: exact count of 0 units.
        is_missing: which samples are missing, of shape [samples]; None if none is.
    """

    lead: str
    counts: Counts
    sampling_rate: float
    units: str = COUNTS
    gain: Fraction | None = None
    baseline: Fraction = Fraction(0)
    is_missing: Counts | None = None

    @property
    def is_voltage(self) -> bool:
        """True if the unit is volts or a fraction of it."""
        return self.units.lower() in MILLIVOLTS

    @property
    def is_ecg(self) -> bool:
        """True if the channel is a voltage with the name of an ECG lead."""
        return self.is_voltage and ECG_NAME.search(self.lead.strip()) is not None

    @property
    def kind(self) -> tuple[float, str]:
        """Sampling rate and unit. Channels of the same kind fit into one record."""
        return self.sampling_rate, "mV" if self.is_voltage else self.units

    def __str__(self) -> str:
        return f"{self.lead or 'unnamed'!r} ({self.sampling_rate:g} Hz, {self.units})"


class Block(NamedTuple):
    """Samples of several channels.

    Attributes:
        counts: ADC counts, integers of shape [samples, channels].
        mark: count of missing samples; no sample has a smaller one.
    """

    counts: npt.NDArray[Any]
    mark: int


Samples = tuple[npt.NDArray[Any], int | None]
"""Samples of several channels, [channels, samples], and the count of missing ones; None if none is missing."""


def join(
    channels: Sequence[Channel],
    source: str,
    wanted: Choice = EVERYTHING,
    stack: Callable[[Sequence[int]], Samples | None] = lambda _: None,
) -> Record:
    """Combine the wanted channels to a record; by default all, or only the ECG if not all fit together.

    Args:
        channels: the channels.
        source: name of the file, for messages.
        wanted: which channels.
        stack: returns the samples of the channels with these numbers, or None if they are to be read one by one.

    Raises:
        RecordError: the selected channels do not fit into one record. The message lists the channels.
    """
    chosen = _choose(channels, source, wanted)
    if (found := stack(_numbers(channels, chosen))) is None:
        length = max(len(channel.counts) for channel in chosen)
        found = stacked([channel.counts for channel in chosen], [channel.is_missing for channel in chosen], length)
    signal, missing = found
    return _record(channels, chosen, source, signal, missing)


def with_samples_of(
    channels: Sequence[Channel],
    counts: npt.NDArray[np.integer[Any]],
    mark: int | None,
    source: str,
    wanted: Choice = EVERYTHING,
) -> Record:
    """Combine the wanted channels to a record as ``join`` does, without converting their samples.

    Args:
        channels: the channels, all of one length.
        counts: the samples of all, [channels, samples].
        mark: count of missing samples; None if there is none.
        source: name of the file, for messages.
        wanted: which channels.

    Raises:
        RecordError: the selected channels do not fit into one record.
    """
    chosen = _choose(channels, source, wanted)
    record = _record(channels, chosen, source, rows_of(counts, _numbers(channels, chosen)), mark)
    return record if mark is None or has_missing(record) else replace(record, missing=None)


def _numbers(channels: Sequence[Channel], chosen: Sequence[Channel]) -> list[int]:
    numbers = {id(channel): number for number, channel in enumerate(channels)}
    return [numbers[id(one)] for one in chosen]


def _record(
    channels: Sequence[Channel],
    chosen: Sequence[Channel],
    source: str,
    signal: npt.NDArray[np.integer[Any]],
    missing: int | None,
) -> Record:
    taken = set(map(id, chosen))
    rate, units = next((channel for channel in chosen if channel.is_voltage), chosen[0]).kind
    each = tuple(channel.kind[1] for channel in chosen)
    gains = [channel.gain for channel in chosen]
    calibrated = all(gain is not None for gain in gains)
    return Record(
        signal=signal,
        sampling_rate=rate,
        leads=tuple(channel.lead or f"ch{number}" for number, channel in enumerate(chosen, 1)),
        units=units,
        gain=tuple(_per_millivolt(channel) for channel in chosen) if calibrated else None,
        baseline=tuple(float(channel.baseline) for channel in chosen) if calibrated else None,
        source=source,
        left_out=tuple(channel.lead for channel in channels if id(channel) not in taken),
        missing=missing,
        lead_units=each if set(each) != {units} else None,
    )


def calibrated(record: Record) -> Record:
    """Remove the calibration of a record if it has no information: units are counts, gain is 1 and baseline 0."""
    if (
        record.units == COUNTS
        and record.gain is not None
        and set(record.gain) == {1.0}
        and set(record.baseline or ()) == {0}
    ):
        return replace(record, gain=None, baseline=None)
    return record


_KINDS: Final = (np.int16, np.int32, np.int64)
"""Dtypes of counts, of which the narrowest that holds all counts is taken."""


def stacked(counts: Sequence[Counts], is_missing: Sequence[Counts | None], length: int) -> Samples:
    """Return samples of several channels, [channels, length], and the count of missing ones, as ``with_missing`` does.

    Channels that are shorter, as groups of channels may be, have missing samples at their end.

    Args:
        counts: the counts of each channel; those of missing samples are ignored.
        is_missing: which samples of each channel are missing; None if none is.
        length: number of samples.
    """
    return next(found for kind in _KINDS if (found := _in_dtype(counts, is_missing, length, kind)) is not None)


def _in_dtype(
    counts: Sequence[Counts], is_missing: Sequence[Counts | None], length: int, dtype: type[np.signedinteger[Any]]
) -> Samples | None:
    """Return the same in this dtype; None if it cannot hold the counts, and one more for missing samples."""
    mark, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    is_widest = dtype is np.int64
    buffer = SampleBuffer(len(counts), dtype)
    any_missing = has_mark = False
    for start in range(0, length, PORTION):
        block = np.full((len(counts), min(PORTION, length - start)), mark, dtype)
        for number, (of_channel, missing_of_channel) in enumerate(zip(counts, is_missing, strict=True)):
            there = of_channel[start : start + PORTION]
            row = block[number, : len(there)]
            any_missing |= len(there) < block.shape[1]
            is_gone = None if missing_of_channel is None else missing_of_channel[start : start + PORTION]
            if is_gone is not None and is_gone.any():
                any_missing = True
                there = there[~is_gone]
                row[~is_gone] = there
            else:
                row[:] = there
            if there.size and not is_widest:
                least = int(there.min())
                has_mark |= least == mark
                if least < mark or int(there.max()) > highest:
                    return None
        if any_missing and has_mark:
            return None
        buffer.add(block)
    return buffer.array(), mark if any_missing else None


def stacked_blocks(channels: int, blocks: Callable[[], Iterable[Block]]) -> Samples:
    """Return the same as ``stacked`` of channels that are stored together.

    Args:
        channels: number of channels.
        blocks: returns all samples, from the first to the last. It may be called several times.
    """
    return next(found for kind in _KINDS if (found := _blocks_in_dtype(channels, blocks(), kind)) is not None)


def _blocks_in_dtype(channels: int, blocks: Iterable[Block], dtype: type[np.signedinteger[Any]]) -> Samples | None:
    """Do for blocks what ``_in_dtype`` does for channels."""
    mark, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    buffer = SampleBuffer(channels, dtype)
    any_missing = has_mark = False
    for counts, mark_of_block in blocks:
        there, is_missing, least = counts, None, int(counts.min())
        if least == mark_of_block:
            any_missing = True
            if mark_of_block != mark:
                is_missing = counts == mark_of_block
                there = counts[~is_missing]
                least = int(there.min(initial=0))
        if least < mark or int(there.max(initial=0)) > highest:
            return None
        has_mark |= least == mark and mark != mark_of_block
        if any_missing and has_mark:
            return None
        converted = counts.astype(dtype, copy=False)
        buffer.add((converted if is_missing is None else np.where(is_missing, dtype(mark), converted)).T)
    return buffer.array(), mark if any_missing else None


def _per_millivolt(channel: Channel) -> float:
    gain = channel.gain or Fraction(0)
    return float(gain / MILLIVOLTS[channel.units.lower()] if channel.is_voltage else gain)


def _choose(channels: Sequence[Channel], source: str, wanted: Choice) -> Sequence[Channel]:
    if not channels:
        raise RecordError(f"{source}: it holds no signals")
    if wanted.leads is not None:
        chosen = _named(channels, source, wanted.leads)
    elif _fit(channels):
        return channels
    else:
        chosen = [channel for channel in channels if channel.is_ecg]
        if wanted.every_unit:
            chosen = _beside(chosen or channels[:1], channels)
    if chosen and (_fit(chosen) or (wanted.every_unit and _fit_in_time(chosen))):
        return chosen
    raise RecordError(
        f"{source}: its signals differ in rate or unit, and which of them are the ECG is not clear. "
        f"Name the leads to take (--leads), all of one rate and unit, from: {_listed(channels)}"
    )


def _named(channels: Sequence[Channel], source: str, wanted: Sequence[str]) -> list[Channel]:
    names = {channel.lead for channel in channels}
    for name in wanted:
        if name not in names:
            raise RecordError(f"{source}: no lead {name!r} there; it has {_listed(channels)}")
    return [channel for name in wanted for channel in channels if channel.lead == name]


def _fit(channels: Sequence[Channel]) -> bool:
    return len({channel.kind for channel in channels}) == 1


def _beside(ecg: Sequence[Channel], channels: Sequence[Channel]) -> list[Channel]:
    """Return the ECG and all channels with its sampling rate that are calibrated, in the order of the file."""
    rates = {channel.sampling_rate for channel in ecg}
    return [
        channel
        for channel in channels
        if channel in ecg or (channel.sampling_rate in rates and channel.gain is not None)
    ]


def _fit_in_time(channels: Sequence[Channel]) -> bool:
    """Return whether channels have one sampling rate, and are all calibrated or all not."""
    return len({(channel.sampling_rate, channel.gain is None) for channel in channels}) == 1


def _listed(channels: Sequence[Channel]) -> str:
    return ", ".join(map(str, channels))
