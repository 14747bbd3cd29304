"""The C header for devices writes the bytes of the codec, stays within its buffer, and refuses invalid values."""

from __future__ import annotations

import ctypes
import json
import math
import subprocess
from ctypes import byref, c_double, c_size_t
from pathlib import Path

import numpy as np
import oracle
import pytest
from examples.device_header import COMPILER, FOLDER, Step, compiled, compiled_header, ecg_of, steps_of, written
from hypothesis import given
from hypothesis import strategies as st
from pages import blocks
from recordings import optional

import ecgframe
from ecgframe import Codec, MessageType
from ecgframe.testing import LiveServer

VECTORS = Path(__file__).parents[1] / "vectors"
TOO_SMALL, BAD_VERSION, BAD_TYPE, BAD_FLAGS, BAD_COUNT, BAD_TEXT, BAD_SIGNAL = range(1, 8)

pytestmark = pytest.mark.skipif(COMPILER is None, reason="a C compiler is not installed")


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    return compiled_header(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("program") / "publish", FOLDER / "publish.c")


TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40)
COUNTS = st.one_of(st.integers(-200, 200), st.integers(-(2**15), 2**15 - 1))


@st.composite
def messages(draw):
    leads, columns = draw(st.integers(1, 17)), draw(st.integers(0, 40))
    dtype, counts = draw(st.sampled_from([(np.int16, COUNTS), (np.int32, st.integers(-(2**31), 2**31 - 1))]))
    rows = draw(st.lists(st.lists(counts, min_size=columns, max_size=columns), min_size=leads, max_size=leads))
    message = {"signal": np.array(rows, dtype).reshape(leads, columns)}
    message["sampling_rate"] = draw(st.one_of(st.integers(1, 2**40), st.floats(0.5, 1e6).filter(lambda x: x % 1)))
    for name, values in (
        ("timestamp", st.floats(0, 4e9)),
        ("stream", TEXT),
        ("leads", st.lists(TEXT, min_size=leads, max_size=leads)),
        ("units", TEXT),
        ("gain", st.one_of(st.integers(-1000, 1000).filter(bool), st.floats(0.1, 1e4).filter(lambda x: x % 1))),
        ("baseline", st.integers(-(2**31), 2**31 - 1)),
        ("missing", st.integers(-(2**31), 2**31 - 1)),
        ("sequence", st.integers(0, 2**64 - 1)),
        ("device_id", TEXT),
    ):
        if draw(st.booleans()):
            message[name] = draw(values)
    return message


@given(message=messages(), version=st.integers(1, 3), form=st.sampled_from(["list", "binary"]), data=st.data())
def test_a_message_has_the_bytes_of_the_codec(header, message, version, form, data):
    timestamp = data.draw(st.integers(0, 2**64 - 1)) if version == 3 else 0
    flags = data.draw(st.sampled_from([0, 0x04, 0x08, 0x10, 0x1C])) if version == 3 else 0
    expected = Codec(version=version, ndarray=form, compression=None).encode(
        MessageType.ECG_DATA, message, flags=flags, timestamp=timestamp if version == 3 else None
    )
    ecg, _kept = ecg_of(message, form)
    frame, needed, error = written(header.encode_ecg, len(expected), version, 1, flags, timestamp, byref(ecg))
    assert (frame, needed, error) == (expected, len(expected), 0)
    size = data.draw(st.integers(0, len(expected) - 1))
    assert written(header.encode_ecg, size, version, 1, flags, timestamp, byref(ecg)) == (b"", needed, TOO_SMALL)


@pytest.mark.parametrize("columns", [63, 64, 127, 128, 32767, 32768, 70000])
def test_every_width_of_the_lengths(header, columns):
    message = {"signal": np.arange(columns, dtype=np.int16)[None], "sampling_rate": 250}
    for form in ("list", "binary"):
        expected = Codec(version=1, ndarray=form).encode(MessageType.ECG_DATA, message)
        ecg, _kept = ecg_of(message, form)
        assert written(header.encode_ecg, len(expected), 1, 1, 0, 0, byref(ecg))[0] == expected


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=20), st.dictionaries(TEXT, inner, max_size=20)),
    max_leaves=30,
)


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 0 if not isinstance(value, (dict, list)) else 1 + max(map(depth, inner), default=0)


@given(VALUES.filter(lambda value: depth(value) <= 8))
def test_any_value_has_the_bytes_of_the_oracle(header, value):
    steps = steps_of(value)
    expected = oracle.frame(3, 0x04, 0, oracle.pack(value), 7)
    found = written(header.encode_steps, len(expected), 3, 4, 0, 7, (Step * len(steps))(*steps), c_size_t(len(steps)))
    assert found == (expected, len(expected), 0)


def as_it_travels(value):
    """Return a value of the vectors without dates, UUIDs, floats and arrays of their own: what the header writes."""
    match value:
        case {"$float": text}:
            return float(text)
        case {"$datetime": text}:
            return {"__datetime__": text}
        case {"$uuid": text}:
            return {"__uuid__": text}
        case {"$ndarray": {"dtype": dtype, "shape": shape, "data": data}}:
            array = np.frombuffer(bytes.fromhex(data), dtype).reshape(shape)
            return {"__ndarray__": array.tolist(), "dtype": dtype, "shape": shape}
        case dict():
            return {key: as_it_travels(each) for key, each in value.items()}
    return [as_it_travels(each) for each in value] if isinstance(value, list) else value


def vectors():
    """Yield the frames of a device among the vectors, with what they say."""
    for vector in json.loads((VECTORS / "frames.json").read_text()):
        [message, *others] = vector["messages"]
        if vector["canonical"] == {"ndarray": "list"} and not others and message["type"] in (1, 2, 3, 4, 0x10):
            yield vector["name"], bytes.fromhex(vector["frames"]), message | {"data": as_it_travels(message["data"])}


def test_the_vectors_have_the_bytes_that_the_header_writes(header):
    found = list(vectors())
    assert len(found) > 30
    for name, expected, message in found:
        steps = steps_of(message["data"])
        fields = (message["version"], message["type"], message["flags"], int(message["timestamp"] or 0))
        calls = (Step * len(steps))(*steps), c_size_t(len(steps))
        assert written(header.encode_steps, len(expected), *fields, *calls)[0] == expected, name


@given(st.lists(st.sampled_from([0, 2, 6, 7]), max_size=12), st.integers(0, 3))
def test_a_frame_comes_out_only_if_all_announced_values_were_written(header, kinds, length):
    steps = [Step(kind, 1, length) for kind in kinds]
    frame, _needed, error = written(
        header.encode_steps, 500, 3, 4, 0, 7, (Step * len(steps))(*steps), c_size_t(len(steps))
    )
    missing, is_bad = [1], False
    for kind in kinds:
        if not missing:
            is_bad = True
            break
        missing[-1] -= 1
        if kind >= 6 and length:
            missing.append(length * (kind - 5))
        is_bad = is_bad or len(missing) > 9
        while missing and missing[-1] == 0:
            missing.pop()
    assert (error, bool(frame)) == ((BAD_COUNT, False) if missing or is_bad else (0, True))


@pytest.mark.parametrize(
    ("version", "type", "flags", "error"),
    [
        *((version, 1, 0, BAD_VERSION) for version in (0, 4, 255, -1)),
        *((3, type, 0, BAD_TYPE) for type in (0, 5, 0x11, 0x20, 0xFE, 256, -1)),
        *((3, 1, flags, BAD_FLAGS) for flags in (0x01, 0x02, 0x20, 0x40, 0x80, 0x100)),
        *((2, 1, flags, BAD_FLAGS) for flags in (0x01, 0x04, 0x10)),
    ],
)
def test_headers_that_cannot_be_are_refused(header, version, type, flags, error):
    assert written(header.encode_steps, 99, version, type, flags, 0, (Step * 1)(Step(0)), c_size_t(1))[::2] == (
        b"",
        error,
    )


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\x80"]
)
def test_text_that_is_not_utf8_is_refused(header, text):
    found = written(header.encode_steps, 99, 3, 4, 0, 0, (Step * 1)(Step(5, text=text)), c_size_t(1))
    assert found[::2] == (b"", BAD_TEXT)


@given(st.binary(max_size=12).filter(lambda text: 0 not in text))
def test_text_is_utf8_as_python_reads_it(header, text):
    error = written(header.encode_steps, 99, 3, 4, 0, 0, (Step * 1)(Step(5, text=text)), c_size_t(1))[2]
    try:
        text.decode()
    except UnicodeDecodeError:
        assert error == BAD_TEXT
    else:
        assert error == 0


@pytest.mark.parametrize(
    "change",
    [
        {"samples16": None},
        {"stride": 1},
        {"sampling_rate": 0},
        {"sampling_rate": -1},
        {"sampling_rate": math.nan},
        {"sampling_rate": math.inf},
        {"gain": math.nan},
        {"timestamp": ctypes.pointer(c_double(math.inf))},
    ],
)
def test_signals_that_cannot_be_are_refused(header, change):
    ecg, _kept = ecg_of({"signal": np.zeros((2, 3), np.int16), "sampling_rate": 250}, "list")
    for name, value in change.items():
        setattr(ecg, name, value)
    assert written(header.encode_ecg, 500, 3, 1, 0, 0, byref(ecg))[::2] == (b"", BAD_SIGNAL)


@given(st.floats())
def test_numbers_are_integers_where_they_are_whole(header, value):
    found = written(header.encode_steps, 99, 1, 4, 0, 0, (Step * 1)(Step(8, real=value)), c_size_t(1))[0]
    is_whole = math.isfinite(value) and value.is_integer() and abs(value) < 9e15
    assert found == oracle.frame(1, 4, 0, oracle.pack(int(value) if is_whole else value))


def test_every_error_has_a_text(header):
    texts = [header.error_text(error).decode() for error in range(8)]
    assert len(set(texts)) == 8
    assert header.error_text(8) == header.error_text(-1) == b"an unknown error"


async def allow(*_):
    return True


def test_a_viewer_gets_every_sample_of_the_program(program):
    client = optional("websockets.sync.client")
    frames = subprocess.run([program, "ecg/bed-7", "25"], capture_output=True, check=True).stdout
    sent = list(ecgframe.decode_all(frames))
    assert [message.data["sequence"] for message in sent] == list(range(25))
    handler = ecgframe.server.WebSocketBinaryHandler(authorize=allow)
    with (
        LiveServer(handler) as server,
        ecgframe.connect_sync(server.url) as viewer,
        viewer.subscribe("ecg/bed-7") as stream,
        client.connect(server.url) as device,
    ):
        start = 0
        for _ in sent:
            end = start + 19 + int.from_bytes(frames[start + 3 : start + 7], "big")
            device.send(frames[start:end])
            start = end
        received = [stream.recv(timeout=10) for _ in sent]
    for ours, theirs in zip(sent, received, strict=True):
        assert np.array_equal(theirs.data["signal"], ours.data["signal"])
        assert theirs.data["sequence"] == ours.data["sequence"]


def test_the_program_on_the_page_writes_a_frame(tmp_path):
    [block] = [block for block in blocks("docs/devices.md") if block.words == "c"]
    source = tmp_path / "page.c"
    source.write_text(
        """#include "ecgframe.h"
#include <stdio.h>
#include <stdlib.h>
static void fail(const char *text, size_t needed) { printf("%s: %lu", text, (unsigned long)needed); exit(1); }
int main(void) {
static const int16_t counts[50] = {1, 2, 3};
uint64_t number = 7, microseconds_since_1970 = 1767225600000000;
"""
        + block.text
        + "return fwrite(buffer, 1, size, stdout) != size; }\n"
    )
    frame = subprocess.run([compiled(tmp_path / "page", source)], capture_output=True, check=True).stdout
    message = ecgframe.decode(frame)
    assert message.timestamp == 1767225600000000
    assert message.data["signal"].shape == (2, 25)
    assert message.data["signal"][0, :4].tolist() == [1, 2, 3, 0]
    assert {**message.data, "signal": 0} == {
        "signal": 0,
        "sampling_rate": 250,
        "stream": "ecg/bed-7",
        "units": "mV",
        "gain": 200,
        "sequence": 7,
    }


@pytest.mark.slow
def test_the_program_is_clean_under_sanitizers(tmp_path):
    program = compiled(
        tmp_path / "publish", FOLDER / "publish.c", "-fsanitize=address,undefined", "-fno-sanitize-recover"
    )
    done = subprocess.run([program, "ecg/" + "7" * 300, "20"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"frame 0: the buffer is too small for the frame (515 bytes)\n")
    done = subprocess.run([program, "ecg/1", "200"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list(ecgframe.decode_all(done.stdout))) == 200
