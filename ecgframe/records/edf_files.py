"""EDF and BDF, the formats of polysomnography: 16-bit and 24-bit counts with a physical range for each signal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..libraries import library
from .channels import Channel, join
from .record import COUNTS, Record, RecordError


def read_edf(path: Path, leads: Sequence[str] | None = None) -> Record:
    """The signals of an EDF or EDF+ file, as digital counts.

    Raises:
        MissingLibrary: edfio is not installed.
        RecordError: the file is damaged or discontinuous, or its signals do not make one record.
    """
    return _read(path, leads, "EDF")


def read_bdf(path: Path, leads: Sequence[str] | None = None) -> Record:
    """The signals of a BDF or BDF+ file, the 24-bit sister of EDF; otherwise as ``read_edf``."""
    return _read(path, leads, "BDF")


def _read(path: Path, leads: Sequence[str] | None, name: str) -> Record:
    edfio = library("edfio", extra="edf", purpose=f"reading {name}")
    try:
        with warnings.catch_warnings():
            # edfio warns where a file is cut short; samples lost in silence would be worse than no record at all
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=f"{name} header indicates -1 data records")
            read = edfio.read_bdf if name == "BDF" else edfio.read_edf
            found = read(path, header_encoding="latin-1")
            continuous = found.is_continuous
            channels = [_channel(signal) for signal in found.signals]
    except Exception as error:  # edfio raises whatever its parsing stumbles over
        raise RecordError(f"{path}: not readable as {name} ({type(error).__name__}: {error})") from error
    if not continuous:
        raise RecordError(f"{path}: the recording has gaps ({name}+D); split it at the gaps, one file a piece")
    return join(channels, str(path), leads)


def _channel(signal: Any) -> Channel:
    return Channel(
        lead=signal.label,
        counts=signal.digital,
        sampling_rate=signal.sampling_frequency,
        **_calibration(signal),
    )


def _calibration(signal: Any) -> dict[str, Any]:
    """Units, gain and baseline from the two ranges, which map end to end.

    The header gives the ranges as decimals; fractions keep 3.2767 what it says until the last division.
    """
    digital_low, digital_high = Fraction(signal.digital_min), Fraction(signal.digital_max)
    low, high = Fraction(str(signal.physical_min)), Fraction(str(signal.physical_max))
    if low == high or digital_low == digital_high:
        return {"units": COUNTS}
    gain = (digital_high - digital_low) / (high - low)
    return {"units": signal.physical_dimension, "gain": gain, "baseline": digital_low - low * gain}
