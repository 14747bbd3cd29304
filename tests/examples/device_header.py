"""The C header for devices, compiled, and its structures: what the tests of the device call."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int16, c_int32, c_int64, c_size_t, c_uint32, c_uint64
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[2] / "examples" / "device"
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-O2")


class Ecg(ctypes.Structure):
    _fields_ = (
        ("samples16", POINTER(c_int16)),
        ("samples32", POINTER(c_int32)),
        ("leads", c_uint32),
        ("columns", c_uint32),
        ("stride", c_size_t),
        ("sampling_rate", c_double),
        ("timestamp", POINTER(c_double)),
        ("stream", c_char_p),
        ("names", POINTER(c_char_p)),
        ("units", c_char_p),
        ("gain", c_double),
        ("baseline", POINTER(c_int32)),
        ("missing", POINTER(c_int32)),
        ("sequence", POINTER(c_uint64)),
        ("device_id", c_char_p),
        ("form", c_int),
    )


class Step(ctypes.Structure):
    _fields_ = (
        ("kind", c_int),
        ("integer", c_int64),
        ("natural", c_uint64),
        ("real", c_double),
        ("text", c_char_p),
    )


def compiled(target, source, *options):
    command = [COMPILER, *STRICT, *options, "-I", str(FOLDER), "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def compiled_header(folder):
    """Return the header as a library, with the functions of device_shim.c."""
    library = ctypes.CDLL(
        str(compiled(folder / "shim.so", Path(__file__).with_name("device_shim.c"), "-shared", "-fPIC"))
    )
    for function in (library.encode_ecg, library.encode_steps):
        function.restype = c_size_t
    library.error_text.restype = c_char_p
    return library


GUARD = b"\xa5" * 64


def written(function, size, version, type, flags, timestamp, *what):
    """Return the frame, how many bytes it needs, and the error; nothing is written behind the buffer."""
    buffer = ctypes.create_string_buffer(bytes(size) + GUARD, size + len(GUARD))
    needed, error = c_size_t(), c_int()
    header = (c_int(version), c_int(type), c_int(flags), c_uint64(timestamp))
    end = function(buffer, c_size_t(size), *header, *what, byref(needed), byref(error))
    assert buffer.raw[size:] == GUARD
    return buffer.raw[:end], needed.value, error.value


def ecg_of(message, form):
    """Return the structure of a message, and what it points to."""
    signal = message["signal"]
    leads, columns = signal.shape
    wide = (
        np.ascontiguousarray(np.concatenate([signal, signal[:, :1]], axis=1)) if columns else signal
    )  # a larger stride
    ecg = Ecg(leads=leads, columns=columns, stride=wide.shape[1], sampling_rate=message["sampling_rate"])
    if signal.dtype == np.int16:
        ecg.samples16 = wide.ctypes.data_as(POINTER(c_int16))
    else:
        ecg.samples32 = wide.ctypes.data_as(POINTER(c_int32))
    if "leads" in message:
        ecg.names = (c_char_p * leads)(*(name.encode() for name in message["leads"]))
    for name, kind in (("timestamp", c_double), ("baseline", c_int32), ("missing", c_int32), ("sequence", c_uint64)):
        if name in message:
            setattr(ecg, name, ctypes.pointer(kind(message[name])))
    for name in ("stream", "units", "device_id"):
        if name in message:
            setattr(ecg, name, message[name].encode())
    ecg.gain = message.get("gain", 0)
    ecg.form = 1 if form == "binary" else 0
    return ecg, wide


def steps_of(value):
    """Return the calls that write a value."""
    match value:
        case None:
            steps = [Step(0)]
        case bool():
            steps = [Step(1, int(value))]
        case int() if value < 2**63 and value % 2 == 0:
            steps = [Step(2, value)]
        case int() if value < 0:
            steps = [Step(2, value)]
        case int():
            steps = [Step(3, natural=value)]
        case float():
            steps = [Step(4, real=value)]
        case str():
            steps = [Step(5, text=value.encode())]
        case list():
            steps = [Step(6, natural=len(value)), *(step for each in value for step in steps_of(each))]
        case _:
            pairs = [each for pair in value.items() for each in pair]
            steps = [Step(7, natural=len(value)), *(step for each in pairs for step in steps_of(each))]
    return steps
