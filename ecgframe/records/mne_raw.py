"""Records as ``Raw`` objects of MNE, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..libraries import library
from .annotation import Annotation
from .channels import MILLIVOLTS
from .edf_marks import GAP
from .record import Record, RecordError, check_one_unit

_IN_VOLTS: Final = frozenset({"ecg", "eeg", "eog", "emg", "bio", "ecog", "seeg", "dbs"})
"""Types of channels that MNE keeps in volts. The unit of a channel does not show that: a trigger has volts as well."""
_MICROSECOND: Final = timedelta(microseconds=1)


def to_mne(record: Record) -> Any:
    """Convert a record to an ``mne.io.RawArray``, of channels of the type "ecg", in volts. It needs ``ecgframe[mne]``.

    Missing samples are NaN; a stretch of them has the annotation ``BAD_gap``, which MNE leaves out of an analysis: of
    all channels, or with the names of those that it concerns. A lead without any sample is in ``raw.info["bads"]``
    instead. The start becomes ``meas_date``, in UTC; a start without a time zone is taken for UTC. MNE keeps times of
    annotations to the microsecond. An annotation without a duration has the duration 0; one of a lead that the record
    does not have is one of all channels, and its text ends in ``@@`` and the name of the lead.

    Not kept: counts with their gain and baseline (the values are ``record.physical()``), ``source``, ``left_out``,
    ``repaired``, ``device`` and ``comments``. MNE warns of annotations that lie outside the recording, and leaves them
    out.

    Args:
        record: the record; its unit is a voltage.

    Raises:
        RecordError: the unit is no voltage, leads have different units, or two leads have the same name.
        MissingLibrary: MNE is not installed.
    """
    mne = library("mne", extra="mne", purpose="converting to MNE")
    where = record.source or "record"
    check_one_unit(record, "MNE")
    millivolts = MILLIVOLTS.get(record.units.lower())
    if millivolts is None:
        raise RecordError(
            f"{where}: its unit is {record.units!r}, and ECG channels of MNE are in volts. If the samples are a "
            'voltage, say so: dataclasses.replace(record, units="mV"), with gain and baseline if they are counts'
        )
    if twice := sorted({lead for lead in record.leads if record.leads.count(lead) > 1}):
        raise RecordError(
            f"{where}: several leads are called {', '.join(map(repr, twice))}, and channels of MNE have names of their "
            "own: rename them, with dataclasses.replace(record, leads=...)"
        )
    volts = record.physical()
    volts /= float(1000 / millivolts)  # units per volt, a whole number: each value is rounded once
    info = mne.create_info(list(record.leads), float(record.sampling_rate), "ecg")
    raw = mne.io.RawArray(volts, info, verbose="WARNING")
    if record.start is not None:
        start = record.start if record.start.tzinfo else record.start.replace(tzinfo=UTC)
        raw.set_meas_date(start.astimezone(UTC))
    is_missing = record.is_missing()
    is_empty = is_missing.all(axis=1)
    raw.info["bads"] = [lead for lead, empty in zip(record.leads, is_empty, strict=True) if empty]
    notes = [*map(_for_mne(record.leads), record.annotations), *_gaps(record, is_missing, is_empty)]
    raw.set_annotations(
        mne.Annotations(
            onset=[note.time for note in notes],
            duration=[_duration(note, record) for note in notes],
            description=[note.text for note in notes],
            ch_names=[() if note.lead is None else (note.lead,) for note in notes],
        )
    )
    return raw


def from_mne(raw: Any, leads: Sequence[str] | None = None) -> Record:
    """Convert a ``Raw`` object of MNE to a record of float64, in mV. It needs ``ecgframe[mne]``.

    Values are multiplied by 1000, and not changed otherwise. NaN are missing samples; ``BAD_gap`` where all samples
    are NaN is not repeated as an annotation. An annotation of several channels becomes one for each of them, and one
    without a duration has None. The start is ``meas_date`` and the time of the first sample after it, in UTC. Channels
    in ``raw.info["bads"]`` are read like the others; that they are bad is not kept, and neither are filters, positions
    and the rest of ``raw.info``.

    Args:
        raw: any ``mne.io.Raw``, loaded or not.
        leads: names of the channels to read, which are in volts; by default all of the type "ecg".

    Returns:
        The record; ``left_out`` has the names of the other channels, whose annotations are left out, too.

    Raises:
        RecordError: there is no channel of the type "ecg", or not the named one, or it is not in volts.
        TypeError: ``raw`` is something else, such as epochs.
        MissingLibrary: MNE is not installed.
    """
    mne = library("mne", extra="mne", purpose="converting from MNE")
    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(f"a record is made of an mne.io.Raw, not of {type(raw).__name__}")
    source = next((str(name) for name in raw.filenames if name), "MNE")
    rows = _chosen(raw, source, leads)
    names = tuple(raw.ch_names[row] for row in rows)
    millivolts = raw.get_data(picks=rows)
    millivolts *= 1000
    rate = float(raw.info["sfreq"])
    first = raw.first_samp / rate
    start = raw.info["meas_date"]
    is_missing = np.isnan(millivolts)
    notes = []
    for onset, duration, text, about in zip(
        raw.annotations.onset,
        raw.annotations.duration,
        raw.annotations.description,
        raw.annotations.ch_names,
        strict=True,
    ):
        for lead in about or (None,):
            note = Annotation(float(onset) - first, str(text), lead, float(duration) or None)
            if (lead is None or lead in names) and not _repeats_missing(note, is_missing, names, rate):
                notes.append(note)
    return Record(
        signal=millivolts,
        sampling_rate=rate,
        leads=names,
        source=source,
        left_out=tuple(name for name in raw.ch_names if name not in names),
        start=None if start is None else start + timedelta(seconds=first),
        annotations=tuple(sorted(notes, key=lambda note: note.time)),
    )


def _for_mne(leads: Sequence[str]) -> Any:
    def converted(note: Annotation) -> Annotation:
        if note.lead is None or note.lead in leads:
            return note
        return note._replace(text=f"{note.text}@@{note.lead}", lead=None)

    return converted


def _duration(note: Annotation, record: Record) -> float:
    """Return the duration of an annotation, shortened if rounding by MNE would end it after the signal."""
    onset, duration = timedelta(seconds=note.time), timedelta(seconds=note.duration or 0)
    end = timedelta(seconds=(record.samples - 1) / record.sampling_rate + 1 / record.sampling_rate)
    if end < onset + duration <= end + 2 * _MICROSECOND and onset <= end:
        return (end - onset).total_seconds()
    return note.duration or 0.0


def _gaps(record: Record, is_missing: npt.NDArray[np.bool_], is_empty: npt.NDArray[np.bool_]) -> Iterator[Annotation]:
    """Yield the stretches of missing samples. Leads without any sample are ignored, unless all leads are."""
    counted = is_missing if is_empty.all() else is_missing[~is_empty]
    all_missing = counted.all(axis=0)
    for start, stop in _stretches(all_missing):
        yield Annotation(start / record.sampling_rate, GAP, None, (stop - start) / record.sampling_rate)
    for lead, missing, empty in zip(record.leads, is_missing, is_empty, strict=True):
        if not empty:
            for start, stop in _stretches(missing & ~all_missing):
                yield Annotation(start / record.sampling_rate, GAP, lead, (stop - start) / record.sampling_rate)


def _stretches(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the indices of the beginning and of the end of each stretch of True."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _chosen(raw: Any, source: str, leads: Sequence[str] | None) -> list[int]:
    """Return the rows of the channels to read."""
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    listed = ", ".join(f"{name!r} ({kind})" for name, kind in kinds.items())
    wanted = [name for name, kind in kinds.items() if kind == "ecg"] if leads is None else list(leads)
    if not wanted:
        raise RecordError(
            f'{source}: no channel of the type "ecg". Name those to read (leads), or tell MNE with '
            f'raw.set_channel_types({{name: "ecg"}}); it has {listed}'
        )
    for name in wanted:
        if name not in kinds:
            raise RecordError(f"{source}: no channel {name!r} there; it has {listed}")
        if kinds[name] not in _IN_VOLTS:
            raise RecordError(f"{source}: channel {name!r} of the type {kinds[name]!r} is not in volts; leave it out")
    return [raw.ch_names.index(name) for name in wanted]


def _repeats_missing(note: Annotation, is_missing: npt.NDArray[np.bool_], names: Sequence[str], rate: float) -> bool:
    """Return True if an annotation marks only samples that are missing (NaN) anyway."""
    if note.text != GAP:
        return False
    start, stop = round(note.time * rate), round((note.time + (note.duration or 0)) * rate)
    counted = is_missing[~is_missing.all(axis=1)] if note.lead is None else is_missing[[names.index(note.lead)]]
    return bool(start < stop and counted[:, max(start, 0) : stop].all())
