"""Live frames of 50 ms: version 4, which sends records after a template, beside version 3."""

from functools import partial

import numpy as np

from ecgframe import Codec, MessageType
from ecgframe._core import flatten, read_record_samples
from ecgframe._core._header import FlatBuffer
from ecgframe.messages.templates import Template
from ecgframe.protocol import Form, RecordFilter

from . import ecg, filters
from .measuring import Effort, Timing, time_together
from .peers import Peer, ecgframe_peer

SIZES = [ecg.Size(12, 25, every=2), ecg.Size(12, 50, every=1)]
"""50 ms of the shipped ECG at 500 Hz and at 1,000 Hz."""

BINARY = ecgframe_peer("version 3, binary form", ndarray="binary")
LIST = ecgframe_peer("version 3, list form")
NONE, DELTA = "version 4, record, filter NONE", "version 4, record, filter DELTA"
FILTER = "(the filter DELTA alone)"
ALLOWED = "(version 3, binary form, and the filter)"

_STREAM_ID = 1
_SAMPLES_AT = 16
"""Offset of the samples in a record without options."""

Both = dict[str, dict[str, Timing]]


def peers_of(message: dict) -> list[Peer]:
    """Return the candidates for a message; those of version 4 have its template."""
    fields = {name: value for name, value in message.items() if name not in {"signal", "stream", "timestamp"}}
    template = Template(1, message["stream"], message["signal"].dtype.name, len(message["signal"]), fields)
    return [BINARY, LIST, _record(NONE, template, delta=False), _record(DELTA, template, delta=True)]


def _record(name: str, template: Template, *, delta: bool) -> Peer:
    codec = Codec(version=4, compression=None)
    templates = {(_STREAM_ID, 1): template}

    def encode(message: dict) -> bytes:
        payload = template.encode(message["signal"], round(message["timestamp"] * 1_000_000), delta=delta)
        return codec.encode(MessageType.ECG_DATA, payload, stream_id=_STREAM_ID, sequence=1, form=Form.RECORD)

    return Peer(name, encode, lambda frame: codec.decode(frame, None, templates).data, "arrays")


def measure(size: ecg.Size, effort: Effort) -> tuple[Both, dict[str, int]]:
    """Return the times of encoding and decoding, and the bytes. The filter alone is measured in the same turns."""
    message = ecg.message(size, "int16")
    samples = message["signal"]
    candidates = peers_of(message)
    frames = {peer.name: peer.encode(message) for peer in candidates}
    for peer in candidates:
        assert ecg.same(peer.decode(frames[peer.name]), message), peer.name
    filtered = filters.DELTA.write(samples)
    read = partial(_read_samples, flatten(filtered), *samples.shape)
    assert np.array_equal(read(), samples)
    encode = time_together(
        {peer.name: partial(peer.encode, message) for peer in candidates}
        | {FILTER: partial(filters.DELTA.write, samples)},
        effort,
    )
    decode = time_together(
        {peer.name: partial(peer.decode, frames[peer.name]) for peer in candidates} | {FILTER: read},
        effort,
    )
    both = {"encode": encode, "decode": decode}
    for times in both.values():
        one, other = times[BINARY.name], times[FILTER]
        times[ALLOWED] = Timing(one.best + other.best, one.middle + other.middle)
    return both, {name: len(frame) for name, frame in frames.items()} | {FILTER: len(filtered)}


def _read_samples(record: FlatBuffer, rows: int, count: int) -> np.ndarray:
    """Read the samples of a record and nothing else of it."""
    samples: np.ndarray = read_record_samples(
        record, 0, record.nbytes, _SAMPLES_AT, int(RecordFilter.DELTA), "int16", rows, count, filters.LIMIT, 2, False
    )
    return samples


def measure_filters(size: ecg.Size, effort: Effort) -> tuple[Both, dict[str, int]]:
    """Return the times of writing and reading samples, and the bytes."""
    samples = ecg.signal(size, "int16")
    ways = list(filters.ways())
    written = {way.name: way.write(samples) for way in ways}
    for way in ways:
        assert np.array_equal(way.read(written[way.name], samples.shape), samples), way.name
    encode = time_together({way.name: partial(way.write, samples) for way in ways}, effort)
    decode = time_together({way.name: partial(way.read, written[way.name], samples.shape) for way in ways}, effort)
    return {"encode": encode, "decode": decode}, {name: len(found) for name, found in written.items()}
