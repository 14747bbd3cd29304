"""Common frames in bytes take a faster path, which gives the same messages as other buffers."""

import numpy as np
import pytest
from oracle import same

from ecgframe import Codec, Flag, MessageType, ProtocolError
from ecgframe.protocol import Form

ALERT = {"kind": "pause", "timestamp": 1705320000.25, "confidence": 0.5, "lead": "V2"}
SIGNAL = {"signal": np.arange(24, dtype="i2").reshape(2, 12), "sampling_rate": 500.0, "leads": ["I", "II"]}
PLAIN = Codec(compression=None)
FRAMES = {
    "v1": PLAIN.encode(MessageType.ANOMALY_ALERT, ALERT, version=1),
    "v2": PLAIN.encode(MessageType.ANOMALY_ALERT, ALERT, version=2),
    "v3": PLAIN.encode(MessageType.ANOMALY_ALERT, ALERT, version=3, flags=Flag.PRIORITY | Flag.ACK_REQUIRED),
    "v4": PLAIN.encode(MessageType.ANOMALY_ALERT, ALERT, version=4, stream_id=3, sequence=7),
    "bulk": PLAIN.encode(MessageType.ECG_DATA, SIGNAL, version=4, stream_id=3, sequence=7, form=Form.BULK),
    "list form": PLAIN.encode(MessageType.ECG_DATA, SIGNAL),
    "binary form": Codec(compression=None, ndarray="binary").encode(MessageType.ECG_DATA, SIGNAL),
    "empty": PLAIN.encode(MessageType.PING, None),
    "compressed": Codec().encode(MessageType.ECG_DATA, SIGNAL | {"units": "m" * 4000}),
    "large": PLAIN.encode(MessageType.ECG_DATA, {"signal": np.zeros((12, 5000)), "sampling_rate": 500.0}),
}
CODECS = {
    "default": Codec(),
    "version 3": Codec(versions=[3]),
    "checks fields": Codec(validate=True),
    "small": Codec(max_payload=60),
    "lists as arrays": Codec(numeric_lists="ndarray"),
    "copies": Codec(copy=True),
}


def what_becomes(codec, buffer):
    """Return the message as a tuple, or the error."""
    try:
        message = codec.decode(buffer)
    except ProtocolError as error:
        return type(error), str(error), error.check, error.offset, error.path
    return (
        *(message.type, message.version, message.flags, message.timestamp, message.nbytes, message.stream_id),
        *(message.sequence, message.form, message.stale, message.signature, message.data),
    )


def assert_alike(codec, frame):
    one, other = what_becomes(codec, frame), what_becomes(codec, bytearray(frame))
    assert one[:-1] == other[:-1]
    assert same(one[-1], other[-1])


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_bytes_and_other_buffers_give_the_same(codec, frame):
    assert_alike(codec, frame)


@pytest.mark.parametrize("name", ["v1", "v3", "v4", "bulk"])
def test_every_change_of_a_byte_is_judged_alike(name):
    frame, codec = FRAMES[name], CODECS["default"]
    for place in range(len(frame)):
        for bits in (0x01, 0x02, 0x04, 0x08, 0x10, 0x40, 0x80, 0xFF):
            changed = bytearray(frame)
            changed[place] ^= bits
            assert_alike(codec, bytes(changed))


@pytest.mark.parametrize("name", FRAMES)
def test_every_cut_and_a_byte_too_many_are_judged_alike(name):
    frame = FRAMES[name]
    for end in range(min(len(frame), 90)):
        assert_alike(CODECS["default"], frame[:end])
    assert_alike(CODECS["default"], frame + b"\0")


def test_a_view_of_bytes_keeps_them_alive():
    frame = bytes(bytearray(FRAMES["binary form"]))
    array = CODECS["default"].decode(frame).data["signal"]
    expected = SIGNAL["signal"]
    del frame
    assert np.array_equal(array, expected)
    assert not array.flags.writeable
    assert CODECS["copies"].decode(FRAMES["binary form"]).data["signal"].flags.writeable
