"""Measures the size and speed of the frames of a recording against the same messages as JSON.

Both start from arrays and end with arrays: ``json`` encodes ``array.tolist()``, ``orjson`` the array itself, and what
either decodes is converted to an array.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from ...codec import Codec, NdarrayForm
from ...compression import Compression, zstd
from ...frame_file import constant_fields, ecg_messages, samples_per_frame
from ...protocol import FLAG_SINCE, STANDALONE_VERSIONS, Algorithm, Flag, MessageType
from ...records import Record, RecordError
from ...tools.record_coder import VERSION, Filter, RecordCoder

FRAME_SECONDS = (0.05, 1.0, 10.0)
MOST_FRAMES = 16
"""Frames of each length that are measured, spread over the recording. A single frame would stay in the processor's
caches and branch predictors, and make everything look faster than it is."""

MOST_SAMPLES = 1 << 18
"""Samples over which the sizes of a kind and a frame length are measured, spread over the recording."""

FEWEST_PASSES = 3
Samples = Literal["float64", "float32", "counts"]
READ_AS: dict[Samples, type[np.generic]] = {"float64": np.float64, "float32": np.float32, "counts": np.int64}
Message = dict[str, Any]
Coder = tuple[Callable[[Message], bytes], Callable[[bytes], npt.NDArray[Any]], Callable[[], int]]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to send a message.

    Attributes:
        name: "json", "orjson" or "ecgframe".
        version: protocol version; None for JSON.
        ndarray: form of the arrays, "list" or "binary"; None for JSON and records.
        compressed: whether the codec may compress; None for JSON.
        filter: filter of the records; None if the messages are not sent as records.
        algorithm: the compression algorithm; zlib if None.
    """

    name: Literal["json", "orjson", "ecgframe"]
    version: int | None = None
    ndarray: NdarrayForm | None = None
    compressed: bool | None = None
    filter: Filter | None = None
    algorithm: Algorithm | None = None

    def coder(self, samples: Samples) -> Coder:
        """Return a function that encodes a message, one that decodes it to its array, and one that counts extra bytes.

        Those are sent once, before the messages: the template of records.
        """
        # With a dtype, NumPy need not find one, and accepts the null that orjson writes for NaN.
        dtype = READ_AS[samples]
        if self.name == "json":
            return _json_encode, lambda text: np.array(json.loads(text)["signal"], dtype), int
        if self.name == "orjson":
            return _orjson_encode, lambda text: np.array(orjson.loads(text)["signal"], dtype), int
        if self.filter is not None:
            records = RecordCoder(self.filter, compressed=bool(self.compressed))
            return records.encode, records.decode, lambda: records.template_bytes
        codec = Codec(
            version=self.version or 0,
            ndarray=self.ndarray or "list",
            compression=Compression(algorithms=(self.algorithm or Algorithm.ZLIB,)) if self.compressed else None,
        )
        return (
            lambda message: codec.encode(MessageType.ECG_DATA, message),
            lambda frame: codec.decode(frame).data["signal"],
            int,
        )


JSON = Way("json")
ORJSON = Way("orjson")
FORMS: tuple[NdarrayForm, ...] = ("list", "binary")
WAYS = (
    JSON,
    ORJSON,
    *(
        Way("ecgframe", version, ndarray, compressed)
        for version, ndarray, compressed in product(STANDALONE_VERSIONS, FORMS, (False, True))
        if not compressed or version >= FLAG_SINCE[Flag.COMPRESSED]
    ),
    *(
        Way("ecgframe", VERSION, ndarray, True, algorithm=algorithm)
        for algorithm, ndarray in product((Algorithm.ZSTD, Algorithm.LZ4), FORMS)
        if algorithm is Algorithm.LZ4 or zstd.is_available()
    ),
    Way("ecgframe", VERSION, None, False, "none"),
    Way("ecgframe", VERSION, None, True, "none"),
    Way("ecgframe", VERSION, None, False, "delta"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: samples of one kind, in frames of one length, sent in one way."""

    samples: Samples
    frame_seconds: float
    way: Way


@dataclass(frozen=True, slots=True)
class Cost:
    """Size and time of one frame.

    Attributes:
        size: bytes, the mean over the recording, header included.
        encode: seconds, the mean over the timed frames in the fastest pass.
        decode: seconds, likewise.
        once: bytes that are sent once before the frames: the template of records.
    """

    size: float
    encode: float
    decode: float
    once: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """All measurements, and notes on what could not be compared.

    Attributes:
        costs: the measurements by case, without those of records where the messages cannot be records.
        samples: the kinds of samples that the recording allows.
        frame_seconds: the frame lengths, in seconds, that the recording is long enough for.
        notes: sentences about what could not be compared, and why.
    """

    costs: dict[Case, Cost]
    samples: tuple[Samples, ...]
    frame_seconds: tuple[float, ...]
    notes: tuple[str, ...]

    def ways(self, samples: Samples) -> tuple[Way, ...]:
        """Return the ways in which samples of a kind were sent, in frames of every length."""
        return tuple(
            way for way in WAYS if all(Case(samples, seconds, way) in self.costs for seconds in self.frame_seconds)
        )

    def against(self, case: Case, rival: Way) -> tuple[float, float, float]:
        """Return the size as a share of the rival's, and how many times as fast encoding and decoding are."""
        cost, other = self.costs[case], self.costs[Case(case.samples, case.frame_seconds, rival)]
        return cost.size / other.size, other.encode / cost.encode, other.decode / cost.decode


def compare(
    record: Record,
    budget: float,
    track: Callable[[Sequence[Case]], Iterable[Case]] = iter,
    *,
    whole: bool = False,
    sequence: bool = True,
) -> Comparison:
    """Measure every way to send the recording.

    Args:
        record: the recording.
        budget: approximate duration in seconds; large frames may take longer.
        track: called with the cases; yields them one by one and may show the progress.
        whole: whether to measure the sizes of all frames; otherwise, those of ``MOST_SAMPLES`` samples.
        sequence: whether the messages have the optional field ``sequence``.

    Raises:
        RecordError: the recording is shorter than the shortest frame.
    """
    kinds, notes = _kinds(record)
    lengths = [seconds for seconds in FRAME_SECONDS if seconds <= record.duration]
    if not lengths:
        raise RecordError(
            f"{record.source}: {record.duration:g} s long, shorter than the shortest frame, {FRAME_SECONDS[0]:g} s"
        )
    if missing := FRAME_SECONDS[len(lengths) :]:
        which = " and ".join(f"{seconds:g} s" for seconds in missing)
        notes.append(f"No frames of {which}: the recording is {record.duration:.4g} s long.")
    while len(lengths) > 1 and round(lengths[0] * record.sampling_rate) < 1:
        notes.append(f"No frames of {lengths.pop(0):g} s: they hold no sample at {record.sampling_rate:g} Hz.")
    sized_frames = {seconds: _sized_frames(record, seconds, whole=whole) for seconds in lengths}
    for seconds, chosen in sized_frames.items():
        frames = record.samples // samples_per_frame(record, seconds)
        if len(chosen) < frames:
            notes.append(
                f"Sizes for {seconds:g} s: of {len(chosen):,} of {frames:,} frames, spread over the recording; --whole "
                "measures all."
            )
    cases = [Case(*parts) for parts in product(kinds, lengths, WAYS)]
    each = budget / len(cases) / 2
    last: tuple[Samples, float] | None = None
    timed: list[Message] = []
    sized: Iterable[Message] = ()
    costs = {}
    for case in track(cases):
        samples, seconds = case.samples, case.frame_seconds
        if last != (samples, seconds):  # one pass over the recording for all ways
            last = samples, seconds
            timed = list(
                _numbered(_messages(record, seconds, samples, _evenly(record, seconds, MOST_FRAMES)), sequence)
            )
            if not whole:
                sized = list(_numbered(_messages(record, seconds, samples, sized_frames[seconds]), sequence))
        if whole:
            sized = _numbered(_messages(record, seconds, samples, sized_frames[seconds]), sequence)
        try:
            costs[case] = _measure(case, timed, sized, each)
        except ValueError as error:
            if case.way.filter is None:
                raise
            if (note := f"No records of {case.samples}: {error}") not in notes:
                notes.append(note)
    return Comparison(costs, kinds, tuple(lengths), tuple(notes))


def _kinds(record: Record) -> tuple[tuple[Samples, ...], list[str]]:
    """Return the kinds of samples that the recording allows, and notes on the others."""
    if not record.is_counts:
        return ("float64", "float32"), ["No ADC counts: the recording holds physical values."]
    if record.gain is None:
        return ("counts",), ["Counts only: the recording does not say its gain, so there are no mV."]
    return ("float64", "float32", "counts"), []


def _spread(record: Record, seconds: float, samples: Samples) -> list[Message]:
    """Return up to ``MOST_FRAMES`` full frames, spread over the recording."""
    return list(_messages(record, seconds, samples, _evenly(record, seconds, MOST_FRAMES)))


def _sized_frames(record: Record, seconds: float, *, whole: bool) -> frozenset[int]:
    """Return the numbers of the full frames whose sizes are measured."""
    samples = samples_per_frame(record, seconds)
    full = record.samples // samples
    most = MOST_SAMPLES // (samples * len(record.leads))
    return _evenly(record, seconds, full if whole else max(most, MOST_FRAMES))


def _evenly(record: Record, seconds: float, most: int) -> frozenset[int]:
    """Return the numbers of at most so many full frames, spread over the recording."""
    full = record.samples // samples_per_frame(record, seconds)
    return frozenset(np.linspace(0, full - 1, min(full, most)).round().astype(int).tolist())


def _messages(record: Record, seconds: float, samples: Samples, chosen: frozenset[int]) -> Iterator[Message]:
    """Yield the frames with these numbers, with their samples as counts or as physical values."""
    for message in ecg_messages(record, samples_per_frame(record, seconds)):
        if message["sequence"] in chosen:
            yield _converted(record, message, samples)


def _converted(record: Record, message: Message, samples: Samples) -> Message:
    """Return a message with its samples as counts or as physical values, without copies of all others."""
    if samples == "counts":
        return message
    values = replace(record, signal=message["signal"]).physical().astype(READ_AS[samples])
    constant = constant_fields(record, calibrated=False)
    return {"signal": values, **constant, "sequence": message["sequence"], "timestamp": message["timestamp"]}


def _numbered(messages: Iterable[Message], sequence: bool) -> Iterator[Message]:
    """Yield the messages with their sequence, or without it."""
    for message in messages:
        if not sequence:
            del message["sequence"]
        yield message


def _measure(case: Case, messages: list[Message], sized: Iterable[Message], seconds: float) -> Cost:
    encode, decode, once = case.way.coder(case.samples)
    nbytes = count = 0
    for message in sized:
        frame = encode(message)
        _check_equal(case, message["signal"], decode(frame))
        nbytes += len(frame)
        count += 1
    frames = [encode(message) for message in messages]
    return Cost(
        size=nbytes / count,
        encode=_best(encode, messages, seconds),
        decode=_best(decode, frames, seconds),
        once=once(),
    )


def _check_equal(case: Case, sent: npt.NDArray[Any], received: npt.NDArray[Any]) -> None:
    """Check that encoding and decoding lose nothing, since only then the comparison is fair."""
    if not np.array_equal(sent, received, equal_nan=sent.dtype.kind == "f"):
        raise AssertionError(f"{case} does not give back what it was given")


def _best(call: Callable[[Any], object], items: Sequence[Any], seconds: float) -> float:
    """Return the seconds per call in the fastest pass over all items; at least three passes are made."""
    best = math.inf
    collecting = gc.isenabled()
    gc.disable()  # as timeit does: a collection would distort the measurement during which it happens
    try:
        start = perf_counter()
        passes = 0
        while passes < FEWEST_PASSES or perf_counter() - start < seconds:
            before = perf_counter()
            for item in items:
                call(item)
            best = min(best, perf_counter() - before)
            passes += 1
    finally:
        if collecting:
            gc.enable()
    return best / len(items)


def _json_encode(message: Message) -> bytes:
    return json.dumps(message | {"signal": message["signal"].tolist()}, separators=(",", ":")).encode()


def _orjson_encode(message: Message) -> bytes:
    signal = np.ascontiguousarray(message["signal"])
    return orjson.dumps(message | {"signal": signal}, option=orjson.OPT_SERIALIZE_NUMPY)
