"""Reading WFDB headers, as described by header(5) of the WFDB Applications Guide.

The wfdb library drops characters that are not ASCII: "µV" becomes "V", and "Ableitung_Ü" loses a letter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from .counted import counted
from .record import RecordError

DEFAULT_RATE = Fraction(250)
"""Frame rate in Hz if the header does not state it."""

DEFAULT_GAIN = Fraction(200)
"""Gain that WFDB assumes if the header states none, or 0, in counts per unit."""

DEVICE = "device:"
"""Beginning of the comment that names the device, as ``save_record`` writes it."""

NOTHING = "~"
"""Name of a segment or file without samples."""

_FORMAT = re.compile(r"(?P<format>\d+)(?:x(?P<per_frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?")
_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_GAIN = re.compile(rf"(?P<gain>{_NUMBER})(?:\((?P<baseline>{_NUMBER})\))?(?:/(?P<units>\S+))?")


_LONGEST_NUMBER = 320
"""Characters of a number: the largest float64 has 309 digits without an exponent."""

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class SignalLine:
    """The line of a header for one signal.

    Attributes:
        file: name of the file with the samples.
        format: format of the samples, such as "16" or "212".
        per_frame: number of samples in each frame.
        skew: number of frames by which the signal lags behind the others.
        offset: bytes of the file before the first sample.
        gain: counts per unit; None if the header does not state it.
        baseline: count of 0 units.
        units: unit as spelled in the header.
        lead: description of the signal; may be empty.
        checksum: sum of all samples modulo 2**16; None if the header states none, or 0.
    """

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: Fraction | None
    baseline: Fraction
    units: str
    lead: str
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a record.

    Attributes:
        path: path of the header.
        rate: frame rate in Hz.
        frames: number of frames; None if the header does not state it.
        start: time of the first frame, without a time zone; None if the header does not state date and time.
        signals: the lines of the signals; empty for a record with segments.
        segments: name and number of frames of each segment; empty for a record without segments.
        comments: the comments, without the mark.
        not_a_start: what the header states of the time if that is not a whole date.
        left_out: what else of the header is not read.
        states_rate: whether the header states the frame rate.
    """

    path: Path
    rate: Fraction
    frames: int | None
    start: datetime | None
    signals: tuple[SignalLine, ...]
    segments: tuple[tuple[str, int], ...]
    not_a_start: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    states_rate: bool = True


def read_header(path: Path) -> Header:
    """Read a header in UTF-8, or in Latin-1 if it is not UTF-8.

    Raises:
        RecordError: the header is invalid. The message names the line.
        OSError: the header cannot be read.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    said = (line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#"))
    comments = tuple(comment for comment in said if comment)
    lines = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise RecordError(f"{path}: not readable as WFDB, the header is empty")
    (number, first), *rest = lines
    segments, count, rate, frames, start, time = _parsed(path, number, first, _record)
    not_a_start = (f"the time {time}, which has no valid date",) if time and start is None else ()
    announced = segments or count
    left_out: tuple[str, ...] = ()
    if len(rest) > announced:
        more, what = counted(len(rest) - announced, "line"), counted(announced, "segment" if segments else "signal")
        left_out = (f"{more} of {path.name} after the {what} that it announces",)
    about = (not_a_start, comments, left_out, rate is not None)
    if segments:
        parts = tuple(_parsed(path, number, line, _segment) for number, line in rest[:segments])
        if len(parts) < segments:
            raise RecordError(
                f"{path}: not readable as WFDB, it announces {segments} segments and lists {len(parts)}; "
                "is it cut short?"
            )
        return Header(path, rate or DEFAULT_RATE, frames, start, (), parts, *about)
    signals = tuple(_parsed(path, number, line, _signal) for number, line in rest[:count])
    if len(signals) < count:
        raise RecordError(
            f"{path}: not readable as WFDB, it announces {count} signals and describes {len(signals)}; is it cut short?"
        )
    return Header(path, rate or DEFAULT_RATE, frames, start, signals, (), *about)


def _parsed(path: Path, number: int, line: str, parse: Callable[[str], _Parsed]) -> _Parsed:
    try:
        return parse(line)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise RecordError(f"{path}: not readable as WFDB, line {number} is not a header line ({error})") from error


def _record(line: str) -> tuple[int, int, Fraction | None, int | None, datetime | None, str]:
    """Parse the first line to segments, signals, frame rate, frames, start and the text of the start."""
    name, signals, *more = line.split()
    rate = _number(re.split(r"[/(]", more[0])[0]) if more else None
    if rate is not None and rate <= 0:
        raise ValueError(f"a sampling rate of {more[0]} Hz")
    frames = int(more[1]) if len(more) > 1 else None
    return int(name.partition("/")[2] or 0), int(signals), rate, frames or None, _start(more[2:]), " ".join(more[2:4])


def _number(text: str) -> Fraction:
    """Parse a number exactly. No calibration or rate has an exponent beyond that of float64."""
    number = float(text)
    is_too_small = not number and re.match(r"[-+]?[0.]*[1-9]", text)
    if len(text) > _LONGEST_NUMBER or not math.isfinite(number) or is_too_small:
        raise ValueError(f"{text[:_LONGEST_NUMBER]!r} is not believed")
    return Fraction(text) if number else Fraction(0)


def _segment(line: str) -> tuple[str, int]:
    name, length = line.split()[:2]
    return name, int(length)


def _signal(line: str) -> SignalLine:
    file, form, *rest = line.split(None, 8)
    if (described := _FORMAT.fullmatch(form)) is None:
        raise ValueError(f"{form!r} is not a sample format")
    calibration = _GAIN.fullmatch(rest[0]) if rest else None
    if rest and calibration is None:
        raise ValueError(f"{rest[0]!r} is not a gain")
    zero = _number(rest[2]) if len(rest) > 2 else Fraction(0)
    gain = _number(calibration["gain"]) if calibration else Fraction(0)
    baseline = calibration["baseline"] if calibration else None
    return SignalLine(
        file=file,
        format=described["format"],
        per_frame=int(described["per_frame"] or 1),
        skew=int(described["skew"] or 0),
        offset=int(described["offset"] or 0),
        gain=gain or None,
        baseline=_number(baseline) if baseline is not None else zero,
        units=(calibration["units"] if calibration else None) or "mV",
        lead=rest[6].strip() if len(rest) > 6 else "",
        checksum=_checksum(rest[4]) if len(rest) > 4 else None,
    )


def _checksum(text: str) -> int | None:
    """Parse a checksum. Headers that are written by hand have 0."""
    try:
        return int(text) % (1 << 16) or None
    except ValueError:  # nothing that the samples need
        return None


def _start(fields: list[str]) -> datetime | None:
    """Parse base time and base date; None without a date."""
    if len(fields) < 2:
        return None
    clock, day = fields[0].split(":"), fields[1].split("/")
    hours, minutes, seconds = ["0"] * (3 - len(clock)) + clock
    whole, _, fraction = seconds.partition(".")
    try:
        return datetime(
            int(day[2]), int(day[1]), int(day[0]), int(hours), int(minutes), int(whole), int(fraction.ljust(6, "0")[:6])
        )
    except (ValueError, IndexError):  # an invalid date, such as 00/00/0000, does not prevent reading the samples
        return None
