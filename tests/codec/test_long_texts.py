"""Texts that are packed part by part: the same bytes as in one go, and the same refusals."""

import msgpack
import pytest
from cases import each_case

from ecgframe import Codec, InvalidDataFormat, MessageTooLarge, MessageType

PART = 65536
"""Letters."""

CODEC = Codec(compression=None)


@each_case("length", [PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1, 3 * PART + 7])
@each_case("letters", ["a", "aä", "€", "a😀", "\x00\x7f\x80\u07ff\u0800\uffff\U00010000\U0010ffff"])
def test_any_letters_in_any_number(length, letters):
    text = (letters * length)[:length]
    packed = CODEC.pack({"t": text, "u": text})
    assert packed == msgpack.packb({"t": text, "u": text})
    frame = CODEC.encode(MessageType.PING, {"t": text, "u": text}, timestamp=1)
    assert CODEC.decode(frame).data == {"t": text, "u": text}
    buffer = bytearray(len(frame))
    assert CODEC.encode_into(buffer, 0, MessageType.PING, {"t": text, "u": text}, timestamp=1) == len(frame)
    assert buffer == frame
    with pytest.raises(BufferError, match=r'data\["u"\]: the buffer ends 1 bytes'):
        CODEC.encode_into(bytearray(len(frame) - 1), 0, MessageType.PING, {"t": text, "u": text}, timestamp=1)


@pytest.mark.parametrize("at", [0, PART - 1, PART, 2 * PART + 10])
def test_half_a_letter_is_refused_wherever_it_stands(at):
    text = "ä" * at + "\ud800" + "ä" * PART
    with pytest.raises(ValueError, match=rf"data: the text has no UTF-8 form .*position {at}"):
        CODEC.pack(text)


def test_a_text_beyond_the_limit_is_refused_before_it_is_read():
    with pytest.raises(MessageTooLarge, match="the limit of 100000 bytes at data"):
        Codec(max_payload=100_000).pack("ä" * 100_001 + "\ud800")
    with pytest.raises(MessageTooLarge, match="the limit of 150000 bytes at data"):
        Codec(max_payload=150_000).pack("ä" * 100_000)


READ_PART = 262_144
"""Bytes."""


@pytest.mark.parametrize("lead", range(5))
@pytest.mark.parametrize("letter", ["ä", "€", "😀"])
def test_a_long_text_is_read_part_by_part_wherever_a_letter_stands(lead, letter):
    text = "a" * lead + letter * (READ_PART // 2)
    assert CODEC.unpack(msgpack.packb([text, 7])) == [text, 7]


@each_case("at", [0, READ_PART - 3, READ_PART - 2, READ_PART - 1, READ_PART, 2 * READ_PART + 100])
@each_case("wrong", [b"\xff", b"\x80" * 9, b"\xe2\x82A", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80"])
def test_invalid_text_is_refused_alike_in_parts_and_as_a_whole(at, wrong):
    for after in (b"", b"a" * READ_PART):
        octets = b"a" * at + wrong + after
        packed = b"\x91\xdb" + len(octets).to_bytes(4, "big") + octets
        with pytest.raises(UnicodeDecodeError) as whole:
            octets.decode()
        with pytest.raises(InvalidDataFormat, match=rf"text that is not UTF-8 \({whole.value.reason}\)"):
            CODEC.unpack(packed)
