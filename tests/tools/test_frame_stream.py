from __future__ import annotations

import io
import random

import numpy as np
import pytest
from cases import each_case

from ecgframe import Codec, MessageType, encode
from ecgframe.tools import frame_stream
from ecgframe.tools.frame_stream import FrameStream, Stretch

PLAIN = Codec(compression=None)
FRAMES = [PLAIN.encode(MessageType.ECG_DATA, {"signal": np.arange(n * 7), "n": n}, version=1 + n % 3) for n in range(9)]
FILE = b"".join(FRAMES)
STARTS = [sum(map(len, FRAMES[:number])) for number in range(len(FRAMES))]


class Dripping(io.RawIOBase):
    """A pipe that returns a few bytes at a time."""

    def __init__(self, octets, most):
        self.octets, self.most = octets, most

    def readable(self):
        return True

    def read(self, size=-1):
        taken, self.octets = self.octets[: self.most], self.octets[self.most :]
        return taken


def stretches(octets, **options):
    file = options.pop("file", None) or io.BytesIO(octets)
    stream = FrameStream(file, **options)
    return [(one.offset, one.nbytes, bytes(one.octets), one.error and one.error.check) for one in stream.stretches()]


GOOD = [(start, len(frame), frame, None) for start, frame in zip(STARTS, FRAMES, strict=True)]


@pytest.fixture(params=[16, 64, 1 << 20])
def window(request, monkeypatch):
    monkeypatch.setattr(frame_stream, "WINDOW", request.param)
    return request.param


def test_whole_frames(window):
    assert stretches(FILE) == GOOD
    assert stretches(b"") == []
    assert stretches(FILE[100:], begun=FILE[:100]) == GOOD


@pytest.mark.parametrize("most", [1, 5, 300])
def test_a_pipe_that_drips(window, most):
    assert stretches(b"", file=Dripping(FILE, most)) == GOOD


def test_headers_are_those_of_the_frames(window):
    assert [header.length for header in FrameStream(io.BytesIO(FILE)).headers()] == [
        len(frame) - (19 if frame[0] == 3 else 11) for frame in FRAMES
    ]


@each_case("number", range(len(FRAMES)))
@pytest.mark.parametrize(("place", "check"), [(0, 2), (1, 3), (3, 4), (7, 7), (30, 7)])
def test_only_the_broken_frame_is_lost(window, number, place, check):
    octets = bytearray(FILE)
    octets[STARTS[number] + place] ^= 0xE0
    found = stretches(bytes(octets))
    assert [one for one in found if one[3] is None] == GOOD[:number] + GOOD[number + 1 :]
    [broken] = [one for one in found if one[3] is not None]
    assert broken[:2] == GOOD[number][:2]
    assert broken[3] == check


@pytest.mark.parametrize("number", range(1, len(FRAMES) - 1))
def test_a_wrong_length_does_not_hide_the_frames_after_it(window, number):
    octets = bytearray(FILE)
    octets[STARTS[number] + 5] ^= 0x01  # 256 bytes more or fewer
    found = stretches(bytes(octets))
    assert [one for one in found if one[3] is None] == GOOD[:number] + GOOD[number + 1 :]


def test_bytes_between_frames_are_one_stretch(window):
    junk = random.Random(7).randbytes(5000)
    found = stretches(FRAMES[1] + junk + FRAMES[2])
    assert [one[3] is None for one in found] == [True, False, True]
    assert found[1][:2] == (len(FRAMES[1]), len(junk))
    assert junk.startswith(found[1][2])


@pytest.mark.parametrize("cut", [1, 5, len(FRAMES[-1]) - 3])
def test_a_file_that_ends_too_soon(window, cut):
    found = stretches(FILE[:-cut])
    assert found[:-1] == GOOD[:-1]
    assert found[-1][3] in (1, 5)
    assert FRAMES[-1][:-cut].startswith(found[-1][2])
    assert found[-1][1] == len(FRAMES[-1]) - cut


def test_a_frame_larger_than_a_window():
    large = PLAIN.encode(MessageType.ECG_DATA, {"signal": np.random.default_rng(0).normal(size=300_000)})
    assert [one[2] for one in stretches(FRAMES[0] + large + FRAMES[1])] == [FRAMES[0], large, FRAMES[1]]
    assert [one[3] for one in stretches(FRAMES[0] + large + FRAMES[1], max_payload=1000)] == [None, 4, None]


def test_errors_count_the_bytes_of_the_frame():
    octets = bytearray(FILE)
    octets[STARTS[3] + 1] = 0x13
    [broken] = [one for one in FrameStream(io.BytesIO(bytes(octets))).headers() if isinstance(one, Stretch)]
    assert broken.error.offset == 1
    assert str(broken.error) == "message type 0x13 (byte 1) is none of the thirteen"


def test_the_search_ends_where_everything_looks_like_a_frame(monkeypatch):
    monkeypatch.setattr(frame_stream, "SEARCH", 100_000)
    trap = b"\x01\x01\x00\x00\x00\x40\x00" * 20_000
    stream = FrameStream(io.BytesIO(b"\xff" + trap))
    [broken] = stream.stretches()
    assert broken.error.check == 2
    assert stream.gave_up


def test_progress_is_reported():
    stream = FrameStream(io.BytesIO(FILE))
    for _ in stream.headers():
        pass
    assert stream.position == len(FILE)


def test_memory_is_that_of_a_window(tmp_path):
    import tracemalloc

    frame = encode(MessageType.ECG_DATA, {"signal": np.zeros(500)})
    path = tmp_path / "long.frames"
    path.write_bytes(frame * (16_000_000 // len(frame)))
    with path.open("rb", buffering=0) as file:
        tracemalloc.start()
        count = sum(1 for _ in FrameStream(file).headers())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 16_000_000 // len(frame)
    assert peak < 4 * frame_stream.WINDOW
