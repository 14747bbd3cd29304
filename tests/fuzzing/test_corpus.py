"""Replays the inputs that the fuzzer kept: each reached code of the core that no input before had reached."""

from __future__ import annotations

from types import SimpleNamespace

import oracle
import pytest
from fuzzing import seeds, targets
from fuzzing.corpus import read

import ecgframe


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_kept_inputs(name):
    if name == "twins" and not ecgframe.accelerated:
        pytest.skip("there is but one core here")
    inputs = read(name)
    assert len(inputs) > 20
    for data in inputs:
        try:
            targets.TARGETS[name](data)
        except BaseException as error:
            error.add_note(f"{name}: {data.hex()}")
            raise


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in ("twins", "sizes") else ()) for name in targets.TARGETS],
)
def test_the_inputs_to_start_with(name):
    if name == "twins" and not ecgframe.accelerated:
        pytest.skip("there is but one core here")
    for data in seeds.of(name):
        try:
            targets.TARGETS[name](data)
        except BaseException as error:
            error.add_note(f"{name}: {data.hex()}")
            raise


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_frames_of_every_version_are_sealed(version):
    frame = oracle.frame(version, 0x11, 0, oracle.pack("a text"), 7)
    damaged = frame[:3] + bytes(8) + frame[11:]
    assert targets.sealed(damaged) == frame


class Broken:
    """A codec that lets another exception out, and packs another value than it was given."""

    def decode(self, *_):
        raise IndexError("out of the buffer")

    decode_each = unpack = decode

    def pack(self, _):
        return b"\x07"


@pytest.mark.parametrize("name", ["decode", "unpack", "batches"])
def test_another_exception_comes_out(name, monkeypatch):
    for codec in ("PLAIN", "ARRAYS"):
        monkeypatch.setattr(targets, codec, Broken())
    with pytest.raises(IndexError):
        targets.TARGETS[name](b"\xc0")


def test_a_value_that_comes_back_otherwise_is_seen(monkeypatch):
    monkeypatch.setattr(targets, "PACKER", Broken())
    with pytest.raises(targets.Wrong, match="None came back as 7"):
        targets.unpack(b"\xc0")


def test_twins_that_differ_are_seen(monkeypatch):
    monkeypatch.setattr(targets, "plain_package", lambda: SimpleNamespace(Codec=lambda **_: Broken()))
    with pytest.raises(targets.Wrong, match=r"compiled .* plain Refusal"):
        targets.twins(b"\xc0")


def test_the_builder_builds_all_sorts_of_objects():
    kinds = {
        type(targets.Builder(bytes([kind, *range(1, 200)])).value(0)).__name__
        for kind in range(len(targets.Builder.SCALARS) + 2)
    }
    assert kinds >= {
        "NoneType",
        "bool",
        "int",
        "float",
        "str",
        "bytes",
        "ndarray",
        "list",
        "dict",
        "UUID",
        "datetime",
        "set",
    }
