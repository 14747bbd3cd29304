"""Signals that are read together, as they are stored, are those that are read one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgframe.records import read_record, wfdb_blocks, wfdb_files, wfdb_frames
from ecgframe.records.wfdb_blocks import FORMATS, sums_of_frames

# bytes of common counts, of the mark of missing samples, and of one that only a wider dtype can hold
COMMON = {
    "16": ["0500", "fbff", "0080"],
    "61": ["0005", "fffb", "8000"],
    "24": ["050000", "fbffff", "000080", "0080ff", "ff7f00", "00ff7f"],
    "32": ["05000000", "fbffffff", "00000080", "0080ffff", "ffff0000"],
    "80": ["05", "00", "ff"],
    "160": ["0500", "0000", "ff80"],
    "212": ["050005", "008800", "ff8fff"],
    "310": ["0a00f6ff", "00040004", "fe07fe07"],
    "311": ["05000000", "00020820", "ff0f0000"],
}


@st.composite
def segments(draw):
    """Return a segment: format, number of signals, frames, skews and the bytes of its samples."""
    form = draw(st.sampled_from(sorted(FORMATS)))
    signals, length = draw(st.integers(1, 3)), draw(st.integers(1, 90))
    skews = draw(st.sampled_from([[0] * signals, [number % 3 for number in range(signals)]]))
    of_format = FORMATS[form]
    more = draw(st.sampled_from([0, max(skews)]))  # frames behind the announced ones, which a skew moves forward
    groups = -(-(length + more) * signals // of_format.samples)
    common = COMMON[form][: draw(st.integers(1, len(COMMON[form])))]
    return form, signals, length, skews, bytes.fromhex("".join(itertools.islice(cycled(draw, common), groups)))


def cycled(draw, common):
    pattern = draw(st.lists(st.sampled_from(common), min_size=1, max_size=12))
    return itertools.cycle(pattern)


def write_segment(folder, name, segment, signals):
    form, _, frames, skews, octets = segment
    (folder / f"{name}.dat").write_bytes(octets)
    lines = [f"{name}.dat {form}:{skews[number]} 200 16 0 0 {number * 7} 0 L{number}" for number in range(signals)]
    (folder / f"{name}.hea").write_text("\n".join([f"{name} {signals} 250 {frames}", *lines, ""]))


def both_ways(monkeypatch, path, leads=None):
    """Read a record together and one by one; return both records, and whether the first was read together."""
    together = []
    found = wfdb_frames.frames_of
    with monkeypatch.context() as patch:
        patch.setattr(wfdb_files, "frames_of", lambda counts: together.append(found(counts)) or together[-1])
        first = read_record(path, leads=leads)
        patch.setattr(wfdb_files, "frames_of", lambda counts: None)
        second = read_record(path, leads=leads)
    return first, second, together and together[0] is not None


def assert_alike(first, second):
    assert np.array_equal(first.signal, second.signal)
    assert first.signal.dtype == second.signal.dtype
    assert (first.missing, first.repaired, first.leads) == (second.missing, second.repaired, second.leads)
    assert (first.gain, first.baseline, first.left_out) == (second.gain, second.baseline, second.left_out)


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
@given(data=st.data())
@settings(deadline=None)
def test_one_segment(tmp_path_factory, block, data):
    folder = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(wfdb_blocks, "_AT_ONCE", block)
        segment = data.draw(segments())
        write_segment(folder, "r", segment, segment[1])
        leads = data.draw(st.sampled_from([None, ["L0"], [f"L{number}" for number in reversed(range(segment[1]))]]))
        first, second, _ = both_ways(monkeypatch, folder / "r.hea", leads)
        assert_alike(first, second)


@given(data=st.data())
@settings(deadline=None)
def test_several_segments_and_gaps(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(wfdb_blocks, "_AT_ONCE", 16)
        parts = data.draw(st.lists(st.one_of(st.integers(1, 40), segments()), min_size=1, max_size=4))
        stored = [part for part in parts if not isinstance(part, int)]
        if not stored:
            return
        signals = min(part[1] for part in stored)
        lines = []
        for number, part in enumerate(parts):
            if isinstance(part, int):
                lines.append(f"~ {part}")
                continue
            form, _, frames, skews, octets = part
            write_segment(folder, f"s{number}", (form, signals, frames, skews[:signals], octets), signals)
            lines.append(f"s{number} {frames}")
        samples = sum(part if isinstance(part, int) else part[2] for part in parts)
        text = "\n".join([f"r/{len(parts)} {signals} 250 {samples}", *lines, ""])
        (folder / "r.hea").write_text(text)
        first, second, _ = both_ways(monkeypatch, folder / "r.hea")
        assert_alike(first, second)


def test_segments_and_skews_are_really_read_together(tmp_path, monkeypatch):
    octets = np.arange(600, dtype="<i2").tobytes()
    write_segment(tmp_path, "s0", ("16", 2, 200, [0, 0], octets), 2)
    write_segment(tmp_path, "s1", ("16", 2, 200, [0, 1], octets), 2)
    (tmp_path / "r.hea").write_text("r/3 2 250 410\ns0 200\n~ 10\ns1 200\n")
    for name in ("s1", "r"):
        first, second, is_together = both_ways(monkeypatch, tmp_path / f"{name}.hea")
        assert is_together
        assert_alike(first, second)
    assert first.missing == -(1 << 15)
    assert np.all(first.signal[:, 200:210] == first.missing)


def test_a_checksum_of_a_segment_is_still_checked(tmp_path, monkeypatch):
    samples = np.array([[1, -5], [3, 40_000 - 65_536], [-7, 9]], "<i2")
    samples.tofile(tmp_path / "s.dat")
    sums = samples.sum(axis=0, dtype=int) % 65_536
    for right in (True, False):
        checksum = sums + (not right)
        lines = [f"s.dat 16 200 16 0 {first} {sum} 0 L{first}" for first, sum in zip("12", checksum, strict=True)]
        (tmp_path / "s.hea").write_text("\n".join(["s 2 250 3", *lines, ""]))
        (tmp_path / "r.hea").write_text("r/1 2 250 3\ns 3\n")
        first, second, is_together = both_ways(monkeypatch, tmp_path / "r.hea")
        assert is_together
        assert first.repaired == second.repaired
        assert (first.repaired == ()) is right


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<i4"])
@pytest.mark.parametrize("frames", [0, 1, 63, 64, 130, 1000])
def test_sums_are_those_of_integers_modulo_the_checksum(dtype, frames):
    stored = np.random.default_rng(frames).integers(-(1 << 15), 1 << 15, (frames, 3)).astype(dtype)
    assert sums_of_frames(stored).tolist() == (stored.sum(axis=0, dtype=np.int64) % (1 << 16)).tolist()
