"""DICOM waveforms, the format of hospital archives: groups of channels, each with sensitivity and baseline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..libraries import library
from .channels import Channel, join
from .record import COUNTS, Record, RecordError

COMPANDED = ("MB", "AB")
"""Sample interpretations whose bytes are mu-law and A-law codes, not counts."""


def read_dicom(path: Path, leads: Sequence[str] | None = None) -> Record:
    """The longest original waveform of a DICOM file, as digital counts.

    A resting ECG often holds a second group, a median beat that was computed from the first; it is not the recording.

    Raises:
        MissingLibrary: pydicom is not installed.
        RecordError: the file is damaged, or holds no waveform, or its channels do not make one record.
    """
    pydicom = library("pydicom", extra="dicom", purpose="reading DICOM")
    waveforms = library("pydicom.waveforms", extra="dicom", purpose="reading DICOM")
    try:
        dataset = pydicom.dcmread(path)
        groups = dataset.get("WaveformSequence")
        if not groups:
            raise RecordError(f"{path}: a DICOM file, but without waveforms")
        chosen = max(range(len(groups)), key=lambda number: _rank(groups[number]))
        group = groups[chosen]
        if group.WaveformSampleInterpretation in COMPANDED:
            raise RecordError(f"{path}: its samples are companded audio, not counts")
        counts = waveforms.multiplex_array(dataset, chosen, as_raw=True).T
        channels = [
            _channel(definition, samples, float(group.SamplingFrequency))
            for definition, samples in zip(group.ChannelDefinitionSequence, counts, strict=True)
        ]
    except RecordError:
        raise
    except Exception as error:  # pydicom raises whatever its parsing stumbles over
        raise RecordError(f"{path}: not readable as a DICOM waveform ({type(error).__name__}: {error})") from error
    return join(channels, str(path), leads)


def _rank(group: Any) -> tuple[bool, float]:
    seconds = float(group.NumberOfWaveformSamples) / float(group.SamplingFrequency)
    return group.get("WaveformOriginality") == "ORIGINAL", seconds


def _channel(definition: Any, samples: Any, sampling_rate: float) -> Channel:
    return Channel(
        lead=_name(definition),
        counts=samples,
        sampling_rate=sampling_rate,
        **_calibration(definition),
    )


def _name(definition: Any) -> str:
    """The lead's short name: "Lead I (Einthoven)" is what the coding scheme calls I."""
    label = definition.get("ChannelLabel") or definition.ChannelSourceSequence[0].CodeMeaning
    return re.sub(r"^lead\s+|\s*\(.*\)$", "", str(label), flags=re.IGNORECASE)


def _calibration(definition: Any) -> dict[str, Any]:
    """Units, gain and baseline. DICOM multiplies, value = count * sensitivity + baseline, and we divide."""
    if "ChannelSensitivity" not in definition:
        return {"units": COUNTS}
    correction = definition.get("ChannelSensitivityCorrectionFactor", 1)
    sensitivity = Fraction(str(definition.ChannelSensitivity)) * Fraction(str(correction))
    offset = Fraction(str(definition.get("ChannelBaseline", 0)))
    return {
        "units": str(definition.ChannelSensitivityUnitsSequence[0].CodeValue),
        "gain": 1 / sensitivity,
        "baseline": -offset / sensitivity,
    }
