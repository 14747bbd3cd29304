"""WFDB, the format of PhysioNet: a text header (100.hea) beside the files of samples it names (100.dat)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ..libraries import library
from .channels import Channel, join
from .record import Record, RecordError


def without_suffix(path: Path) -> Path:
    """The record's name, by which wfdb knows it: 100.hea and 100.dat are both 100."""
    return path.with_suffix("") if path.suffix in (".hea", ".dat") else path


def read_wfdb(path: Path, leads: Sequence[str] | None = None) -> Record:
    """The record of that name, as digital counts.

    Raises:
        MissingLibrary: wfdb is not installed.
        RecordError: wfdb cannot read the record, or its signals do not make one record.
    """
    name = without_suffix(path)
    wfdb = library("wfdb", extra="wfdb", purpose="reading WFDB")
    try:
        # not smoothed: a signal sampled several times a frame would come averaged, which is not what was recorded
        found = wfdb.rdrecord(str(name), physical=False, smooth_frames=False)
        channels = [
            Channel(
                lead=lead or "",
                counts=counts,
                sampling_rate=found.fs * per_frame,
                units=units,
                gain=Fraction(gain),
                baseline=Fraction(baseline),
            )
            for lead, counts, per_frame, units, gain, baseline in zip(
                found.sig_name,
                found.e_d_signal,
                found.samps_per_frame,
                found.units,
                found.adc_gain,
                found.baseline,
                strict=True,
            )
        ]
    except Exception as error:  # wfdb raises whatever its parsing stumbles over
        raise RecordError(
            f"{name}.hea: not readable as WFDB ({type(error).__name__}: {error}); "
            "are the files that the header names beside it, and whole?"
        ) from error
    return join(channels, f"{name}.hea", leads)
