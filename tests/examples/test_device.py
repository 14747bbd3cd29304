"""The C header for devices: it writes the frames of the vectors byte for byte, and nothing beyond its buffer."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pages import blocks

from ecgframe import Codec, MessageType, decode, decode_all

ROOT = Path(__file__).parents[2]
DEVICE = ROOT / "examples" / "device"
DRIVER = Path(__file__).with_name("device_driver.c")
VECTORS = json.loads((ROOT / "tests" / "vectors" / "frames.json").read_text(encoding="utf-8"))
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
CHECKED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
LIST, BINARY = 0, 1


def compiler(name):
    found = shutil.which(name)
    if found is None:
        assert name != "gcc" or "ECGFRAME_REQUIRE_PEERS" not in os.environ, "gcc is not installed"
        pytest.skip(f"{name} is not installed")
    return found


def build(target, source, *options, cc="gcc"):
    subprocess.run(
        [compiler(cc), *STRICT, *options, f"-I{DEVICE}", "-o", str(target), str(source)],
        check=True,
        capture_output=True,
        text=True,
    )
    return target


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return build(tmp_path_factory.mktemp("device") / "driver", DRIVER, *CHECKED, "-DECGFRAME_DEPTH=64")


def written(driver, *scripts):
    """The frames that the header writes; b"" where it refuses."""
    lines = [line for script in scripts for line in script]
    done = subprocess.run(
        [driver], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [bytes.fromhex(line) for line in done.stdout.splitlines()]


class CannotWrite(Exception):
    """The header has no function for a value."""


def steps(value, form=LIST):
    """The calls that write a value."""
    match value:
        case None:
            found = ["nil"]
        case bool():
            found = [f"bool {int(value)}"]
        case int():
            found = [f"int {value}" if value < 2**63 else f"uint {value}"]
        case float():
            found = [f"double {struct.pack('>d', value).hex()}"]
        case str():
            found = [f"text {value.encode().hex()}"]
        case bytes():
            found = [f"bytes {value.hex()}"]
        case datetime():
            found = steps({"__datetime__": value.isoformat()})
        case UUID():
            found = steps({"__uuid__": str(value)})
        case list():
            found = [f"list {len(value)}", *(step for one in value for step in steps(one, form))]
        case dict():
            flat = [one for pair in value.items() for one in pair]
            found = [f"map {len(value)}", *(step for one in flat for step in steps(one, form))]
        case np.ndarray() if str(value.dtype) in DTYPES:
            shape = "".join(f" {size}" for size in value.shape)
            number = DTYPES.index(str(value.dtype))
            found = [f"array {number} {form} {value.ndim}{shape} {value.tobytes().hex()}"]
        case _:
            raise CannotWrite(value)
    return found


def script(version, type, data, *, flags=0, timestamp=0, form=LIST, size=1 << 20):
    begin = f"begin {size} {version} {int(type)} {int(flags)} {timestamp}"
    return [begin, *steps(data, form), "end"]


def test_the_vectors_are_written_byte_for_byte(driver):
    scripts, expected, left_out = [], [], []
    for vector in VECTORS:
        frames = bytes.fromhex(vector["frames"])
        form = (vector.get("canonical") or {}).get("ndarray")
        if frames[0] > 3 or len(vector["messages"]) != 1 or form is None or frames[2] & ~0x1C or len(frames) > 1 << 19:
            left_out.append(vector["name"])
            continue
        message = decode(frames)
        try:
            calls = steps(message.data, BINARY if form.startswith("bin") else LIST)
        except CannotWrite:
            left_out.append(vector["name"])
            continue
        begin = f"begin {len(frames)} {frames[0]} {frames[1]} {frames[2]} {message.timestamp or 0}"
        scripts.append([begin, *calls, "end"])
        expected.append((vector["name"], frames))
    for (name, frames), found in zip(expected, written(driver, *scripts), strict=True):
        assert found.hex() == frames.hex(), name
    assert len(expected) > 100, left_out


arrays = st.builds(
    lambda dtype, shape, seed: (
        (np.random.default_rng(seed).integers(0, 256, int(np.prod(shape)) * np.dtype(dtype).itemsize, dtype="u1"))
        .view(dtype)
        .reshape(shape)
    ),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
    st.integers(0, 2**32),
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | arrays
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.dictionaries(st.text(max_size=40).filter(lambda key: not key.startswith("__")), inner, max_size=20)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 3), values, st.sampled_from(["list", "binary"])), min_size=1, max_size=20))
def test_any_value_is_written_as_the_codec_writes_it(driver, wanted):
    timestamp = 1_705_314_645_000_000
    scripts, expected = [], []
    for version, data, form in wanted:
        codec = Codec(version=version, compression=None, ndarray=form)
        at = timestamp if version == 3 else None
        expected.append(codec.encode(MessageType.ECG_DATA, data, timestamp=at))
        scripts.append(
            script(version, 1, data, timestamp=at or 0, form=LIST if form == "list" else BINARY, size=len(expected[-1]))
        )
    assert [frame.hex() for frame in written(driver, *scripts)] == [frame.hex() for frame in expected]


def test_a_buffer_of_any_size_is_never_written_beyond(driver):
    data = {"signal": np.arange(12, dtype="int16").reshape(2, 6), "rate": 250, "text": "x" * 40, "raw": b"12345"}
    for form in (LIST, BINARY):
        whole = len(written(driver, script(3, 1, data, form=form))[0])
        found = written(driver, *(script(3, 1, data, form=form, size=size) for size in range(whole + 2)))
        assert [len(frame) for frame in found] == [0] * whole + [whole] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        ["begin 99 0 1 0 0", "nil", "end"],
        ["begin 99 4 1 0 0", "nil", "end"],
        ["begin 99 3 5 0 0", "nil", "end"],
        ["begin 99 3 1 1 0", "nil", "end"],  # COMPRESSED
        ["begin 99 2 1 4 0", "nil", "end"],  # PRIORITY before version 3
        ["begin 99 2 1 0 7", "nil", "end"],
        ["begin 99 3 1 0 0", "nil", "nil", "end"],
        ["begin 99 3 1 0 0", "map 1", "text 61", "end"],
        ["begin 99 3 1 0 0", "list 1", "nil", "nil", "end"],
        ["begin 99 3 1 0 0", *["list 1"] * 65, "nil", "end"],
        ["begin 999 3 1 0 0", *["list 1"] * 60, "array 0 0 4 1 1 1 1 00", "end"],  # 65 deep
        ["begin 99 3 1 0 0", "array 10 0 1 1 00", "end"],
        ["begin 99 3 1 0 0", "array 0 0 33" + " 1" * 33 + " 00", "end"],
        ["begin 99 3 1 0 0", "array 1 1 2 4294967295 4294967295 00", "end"],
        ["begin 99 3 1 0 0", "array 1 0 2 4294967295 0", "end"],
    ],
)
def test_what_is_no_frame_is_refused(driver, wrong):
    refused, next_one = written(driver, wrong, script(3, 1, None))
    assert refused == b""
    assert decode(next_one).data is None


def test_no_value_is_an_empty_payload(driver):
    [frame] = written(driver, ["begin 19 3 16 0 5", "end"])
    assert decode(frame).data is None
    assert len(frame) == 19


@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_the_example_compiles_without_a_warning_and_its_frames_are_read(tmp_path, cc):
    program = build(tmp_path / "device", DEVICE / "device.c", *(CHECKED if cc == "gcc" else ["-O2"]), cc=cc)
    frames = subprocess.run([program], check=True, capture_output=True).stdout
    messages = list(decode_all(frames))
    assert len(messages) == 100
    assert {message.data["signal"].shape for message in messages} == {(3, 25)}
    assert [message.data["sequence"] for message in messages] == list(range(100))
    signal = np.concatenate([message.data["signal"] for message in messages], axis=1)
    assert signal.max(axis=1).tolist() == [333, 666, 1000]


def test_the_function_on_the_page_compiles_and_its_frame_is_read(tmp_path):
    [block] = [block for block in blocks("docs/device.md") if block.words == "c"]
    source = tmp_path / "page.c"
    source.write_text(
        "#include <stdio.h>\n"
        + block.text.replace("size_t frame_of(", "static size_t frame_of(")
        + "int main(void) { static int16_t samples[300]; static uint8_t frame[1024];\n"
        "return fwrite(frame, 1, frame_of(frame, sizeof frame, samples, 5), stdout) ? 0 : 1; }\n"
    )
    frame = subprocess.run([build(tmp_path / "page", source, *CHECKED)], check=True, capture_output=True).stdout
    assert decode(frame).data["signal"].shape == (12, 25)


def test_nothing_is_allocated_and_no_library_is_needed():
    text = (DEVICE / "ecgframe.h").read_text(encoding="utf-8")
    assert "alloc(" not in text
    assert sorted(line.split()[1] for line in text.splitlines() if line.startswith("#include")) == [
        "<stddef.h>",
        "<stdint.h>",
        "<string.h>",
    ]
