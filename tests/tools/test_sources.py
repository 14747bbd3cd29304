"""Sources of the tools: files of frames, hexadecimal text, standard input and captures; and their summaries."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from tools.captures import Connection, capture

from ecgframe import MessageType, ProtocolError, encode
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.frame_stream import FrameStream
from ecgframe.tools.observation import Delivery, Remark
from ecgframe.tools.sources import CaptureSource, FrameSource, SourceError, open_source
from ecgframe.tools.summary import Summary

FRAMES = [encode(MessageType.PING, {"n": number}, version=1) for number in range(3)]
FILE = b"".join(FRAMES)


def observations(text, stdin=b"", **options):
    with open_source(str(text), io.BytesIO(stdin), **options) as source:
        return list(source.observations())


def frames(text, stdin=b""):
    return [one.octets for one in observations(text, stdin) if isinstance(one, Delivery)]


def test_a_file_of_frames(tmp_path):
    path = tmp_path / "three.frames"
    path.write_bytes(FILE)
    with open_source(str(path), io.BytesIO()) as source:
        assert isinstance(source, FrameSource)
        assert (source.name, source.nbytes) == (str(path), len(FILE))
        found = list(source.observations())
    assert [(one.octets, one.offset, one.fault) for one in found] == [
        (frame, number * len(frame), None) for number, frame in enumerate(FRAMES)
    ]


@pytest.mark.parametrize("times", [1, 9000])
def test_standard_input(times):
    octets = FILE * times
    assert frames("-", octets) == FRAMES * times
    assert frames("-", octets.hex().encode()) == FRAMES * times
    packets = Connection().open().send(FILE * min(times, 900)).packets
    with open_source("-", io.BytesIO(capture(packets))) as source:
        assert isinstance(source, CaptureSource)
        assert [one.octets for one in source.observations()] == [FILE * min(times, 900)]


@pytest.mark.parametrize(
    "digits",
    [
        FILE.hex(),
        FILE.hex(" ").upper(),
        "0x" + FILE.hex(":"),
        "# as in the documentation\n" + "\n".join(f"{frame.hex(' ')}    a frame, in a map" for frame in FRAMES),
    ],
)
def test_hexadecimal_text(digits, tmp_path):
    assert frames(digits) == FRAMES
    (tmp_path / "frames.txt").write_text(digits)
    assert frames(tmp_path / "frames.txt") == FRAMES


def test_bytes_between_frames_are_reported():
    broken, remark, good = observations("ff" * 7 + FRAMES[0].hex())
    assert (broken.octets, broken.fault.check) == (b"\xff" * 7, 2)
    assert remark == Remark("7 bytes are not frames, from byte 0 to 7")
    assert (good.octets, good.offset) == (FRAMES[0], 7)


def test_the_last_remark_says_that_the_search_for_a_frame_was_given_up(monkeypatch):
    from ecgframe.tools import frame_stream

    monkeypatch.setattr(frame_stream, "SEARCH", 5)
    assert observations("ff" + "0101" * 100)[-1].text.startswith("too many bytes without a valid frame")


@pytest.mark.parametrize(
    ("text", "stdin", "message"),
    [
        ("nothing.frames", b"", "nothing.frames: there is no such file, and it is neither a ws:// address nor hexa"),
        ("-", b"", "standard input is empty"),
        ("-", b"hello\nyou", 'standard input is text, neither frames nor hexadecimal digits: it begins with "hello"'),
        (".", b"", ". is a folder"),
        ("z" * 5000, b"", "there is no such file"),
    ],
)
def test_other_files_are_refused(text, stdin, message):
    with pytest.raises(SourceError) as failed:
        observations(text, stdin)
    assert message in str(failed.value)


def test_a_summary_by_headers_and_one_by_frames_agree():
    octets = (
        FILE
        + b"\xff" * 5
        + b"".join(
            encode(MessageType.ECG_DATA, {"signal": [0.25] * 500, "sampling_rate": 250}, timestamp=time)
            for time in (5_000_000, 1_000_000, 4_000_000)
        )
    )
    quick, slow, examiner = Summary(), Summary(), Examiner()
    assert list(quick.add_all(FrameStream(io.BytesIO(octets)).headers())) == []
    for observation in observations(octets.hex()):
        if isinstance(observation, Delivery):
            for frame in examiner.examine(observation):
                slow.add_examined(frame)
    by_frames, by_headers = slow.as_dict(), quick.as_dict()
    signals = by_frames["types"]["ECG_DATA"]
    assert (signals["frames"], signals["compressed"]) == (3, 3)
    assert signals["inflated_bytes"] > 3 * 4500 > signals["deflated_bytes"]
    signals["inflated_bytes"] = None
    assert by_frames.pop("places") == {"0x100": [f"frame 4: {quick.places[0x100][0].partition(': ')[2]}"]}
    assert by_headers.pop("places").keys() == {"0x100"}
    assert by_frames == by_headers
    assert (quick.frames, quick.nbytes, quick.broken_bytes) == (6, len(octets) - 5, 5)
    assert (quick.first, quick.last, quick.seconds) == (1_000_000, 5_000_000, 4.0)
    assert quick.flags == {"COMPRESSED": 3}


def test_both_summaries_name_the_flags_of_version_4_alike():
    octets = bytes([4, 0x10, 0x18]) + bytes(29)
    [header] = FrameStream(io.BytesIO(octets)).headers()
    quick, slow = Summary(), Summary()
    quick.add(header)
    [frame] = Examiner().examine(Delivery(octets))
    slow.add_examined(replace(frame, error=None))  # such a frame is refused, as these flags have no use yet
    assert slow.flags == quick.flags != {}


def test_a_summary_remembers_the_first_places_only():
    summary = Summary()
    for number in range(9):
        summary.add_error(ProtocolError("x"), f"byte {number}", 10)
    assert summary.as_dict()["errors"] == {"0x200": 9}
    assert summary.as_dict()["places"] == {"0x200": [f"byte {number}: x" for number in range(5)]}
    assert summary.seconds is None
