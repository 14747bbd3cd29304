"""The receiver's table of checks: each row, and the earlier row when two of them fail."""

import itertools
import zlib

import oracle
import pytest
from cases import each_case
from verdicts import verdict

import ecgframe
from ecgframe import Codec, decode, decode_all, split

LIMIT = 4096
CODEC = Codec(max_payload=LIMIT)


class Frame:
    """A sound frame to be spoilt: each fault changes one thing that its row of the table looks at."""

    def __init__(self):
        self.version, self.type, self.flags, self.payload = 3, 0x11, 0, oracle.pack({"n": 1})
        self.length = self.checksum = None
        self.tail = b""
        self.cut = None

    def bytes(self):
        payload = bytes(self.payload)
        length = len(payload) if self.length is None else self.length
        whole = (
            oracle.frame(self.version, self.type, self.flags, payload, 7, length=length, checksum=self.checksum)
            + self.tail
        )
        return whole[: self.cut]


def short(frame):
    frame.cut = 10


def wrong_version(frame):
    frame.version = 9


def wrong_type(frame):
    frame.type = 0x55


def long(frame):
    frame.length = LIMIT + 1


def left_over(frame):
    frame.tail = b"\0"


def flag_too_new(frame):
    frame.version = 2
    frame.flags |= oracle.ENCRYPTED


def wrong_checksum(frame):
    frame.checksum = zlib.crc32(frame.payload) ^ 1


def encrypted(frame):
    frame.flags |= oracle.ENCRYPTED


def not_zlib(frame):
    frame.flags |= oracle.COMPRESSED
    frame.payload = b"\x79" + frame.payload


def inflates_too_far(frame):
    frame.flags |= oracle.COMPRESSED
    frame.payload = zlib.compress(frame.payload + bytes(LIMIT))


def no_message(frame):
    frame.payload = b"\xc1"


FAULTS = [
    (short, 0x200, 1),
    (wrong_version, 0x100, 2),
    (wrong_type, 0x104, 3),
    (long, 0x102, 4),
    (left_over, 0x200, 5),
    (flag_too_new, 0x200, 6),
    (wrong_checksum, 0x101, 7),
    (encrypted, 0x202, 8),
    (not_zlib, 0x103, 9),
    (inflates_too_far, 0x102, 10),
    (no_message, 0x200, 11),
]


def test_the_frame_to_be_spoilt_is_sound():
    assert CODEC.decode(Frame().bytes()).data == {"n": 1}


@pytest.mark.parametrize(("fault", "code", "check"), FAULTS)
def test_each_row_has_its_code(fault, code, check):
    frame = Frame()
    fault(frame)
    assert verdict(CODEC.decode, frame.bytes()) == (code, check)


PAIRS = list(itertools.combinations(FAULTS, 2))


@each_case(("earlier", "later"), PAIRS, ids=[f"{one[0].__name__}-{two[0].__name__}" for one, two in PAIRS])
def test_the_earlier_check_of_two_faults_is_reported(earlier, later):
    frame = Frame()
    later[0](frame)
    earlier[0](frame)
    assert verdict(CODEC.decode, frame.bytes()) == earlier[1:]


@pytest.mark.parametrize(("fault", "code", "check"), FAULTS[:7])
def test_split_makes_the_first_seven_checks(fault, code, check):
    frame = Frame()
    fault(frame)
    assert verdict(CODEC.split, frame.bytes()) == (code, check)


@pytest.mark.parametrize(("fault", "code", "check"), FAULTS[7:])
def test_split_makes_no_later_check(fault, code, check):
    frame = Frame()
    fault(frame)
    header, payload = CODEC.split(frame.bytes())
    assert bytes(payload) == frame.payload
    assert header.flags == frame.flags


@pytest.mark.parametrize(("fault", "code", "check"), [fault for fault in FAULTS if fault[0] is not left_over])
def test_decode_all_refuses_alike_after_the_frames_before(fault, code, check):
    frame = Frame()
    fault(frame)
    good = Frame().bytes()
    messages = CODEC.decode_all(good + good + frame.bytes())
    assert next(messages).data == {"n": 1}
    assert next(messages).data == {"n": 1}
    assert verdict(next, messages) == (code, check)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_prefix_of_a_frame_is_refused(version):
    frame = oracle.encode_frame(0x11, {"n": [1, 2, 3]}, version)
    for end in range(len(frame)):
        check = 1 if end < oracle.header_size(version) else 5
        assert verdict(decode, frame[:end]) == verdict(split, frame[:end]) == (0x200, check)
        if end:
            assert verdict(list, decode_all(frame[:end])) == (0x200, check)


@each_case("bit", range(32))
def test_every_bit_of_the_checksum_counts(bit):
    payload = oracle.pack({"n": 1})
    frame = oracle.frame(3, 0x11, 0, payload, checksum=zlib.crc32(payload) ^ 1 << bit)
    assert verdict(decode, frame) == (0x101, 7)


def test_every_bit_of_the_payload_counts():
    frame = bytearray(oracle.encode_frame(0x11, {"signal": [1.5, 2.5]}))
    for bit in range(19 * 8, len(frame) * 8):
        frame[bit // 8] ^= 1 << bit % 8
        assert verdict(decode, frame) == (0x101, 7)
        frame[bit // 8] ^= 1 << bit % 8
    decode(frame)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_the_limit_is_inclusive(version):
    codec = Codec(max_payload=100)
    for size, outcome in ((100, None), (101, (0x102, 4))):
        frame = oracle.frame(version, 0x11, 0, oracle.pack(bytes(size - 2)), 1)
        if outcome:
            assert verdict(codec.decode, frame) == outcome
        else:
            assert len(codec.decode(frame).data) == 98


def test_the_default_limit_is_sixteen_mebibytes():
    size = 16 * 1024 * 1024
    frame = oracle.frame(2, 0x11, 0, oracle.pack(bytes(size - 5)))
    assert len(decode(frame).data) == size - 5
    assert verdict(decode, oracle.frame(2, 0x11, 0, b"", length=size + 1)) == (0x102, 4)
    assert verdict(decode, oracle.frame(2, 0x11, 0, b"", length=size)) == (0x200, 5)


def test_a_fifteen_byte_v3_frame_is_short_whatever_its_other_bytes_say():
    assert verdict(decode, b"\x03" + b"\xff" * 14) == (0x200, 1)


def test_an_unknown_version_needs_eleven_bytes_before_it_is_called_unknown():
    assert verdict(decode, b"\x09" + bytes(9)) == (0x200, 1)
    assert verdict(decode, b"\x09" + bytes(10)) == (0x100, 2)


def test_errors_say_where():
    with pytest.raises(ecgframe.InvalidDataFormat) as caught:
        decode(oracle.frame(3, 0x01, 0, oracle.pack({"leads": [1, {"__uuid__": "x"}]})))
    assert caught.value.path == 'data["leads"][1]'
    assert 'data["leads"][1]' in str(caught.value)
    with pytest.raises(ecgframe.ChecksumMismatch, match="0x") as caught:
        decode(oracle.frame(3, 0x01, 0, b"\xc0", checksum=0))
    assert "49662d3d" in str(caught.value).lower()
