"""No call leaks memory, whether it returns or raises.

The inputs are the fuzzer's corpus: it reaches every edge of the compiled core that anything has ever reached.
"""

from __future__ import annotations

import ctypes
import gc
import sys

import numpy as np
import pytest
from fuzzing import corpus, targets
from growth import heap_in_use, leaks

import ecgframe
from ecgframe import Codec, Flag, MessageType, ProtocolError

if not hasattr(sys, "getallocatedblocks") or not sys.getallocatedblocks():
    pytest.skip("Python does not count its blocks here", allow_module_level=True)

# What is shared by all calls, and would be lost or hoarded by a reference too few or too many.
SHARED = [
    *(np.dtype(name) for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "float32", "float64", ">f8")),
    *MessageType,
    *ecgframe.ErrorCode,
    *(Flag(bits) for bits in range(8)),
    None,
    True,
    "signal",
    "__ndarray__",
    np.ndarray,
    Codec,
]


@pytest.fixture(autouse=True, scope="module")
def only_what_is_new_is_collected():
    """The thousands of objects of the other tests stay out of each collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decode", "unpack", "batches", "round_trip"])
def test_the_inputs_that_reach_everything(name):
    for data in corpus.read(name):
        found = leaks(lambda data=data: targets.TARGETS[name](data), watched=SHARED)
        assert not found, f"{found}: {data.hex()}"


def test_views_of_received_bytes_let_go_of_them():
    codec = Codec(ndarray="binary", compression=None)
    frame = bytearray(codec.encode(0x01, {"signal": np.zeros(500), "sampling_rate": 250}))
    message = ecgframe.decode(frame)
    with pytest.raises(BufferError):
        frame.append(0)
    del message
    frame.append(0)  # nobody holds it any more
    for _ in range(20):
        with pytest.raises(ProtocolError):
            ecgframe.decode(frame)
        frame.append(0)


@pytest.mark.slow
def test_large_frames_there_and_back():
    signal = np.random.default_rng(0).normal(size=(12, 5000))
    for form in ("list", "binary"):
        codec = Codec(ndarray=form)

        def there_and_back(codec=codec):
            codec.decode(codec.encode(0x01, {"signal": signal, "sampling_rate": 500}))

        assert not leaks(there_and_back, 20, [signal, *SHARED])


# --- that a leak is seen ---

HOARD = []
SOMETHING = object()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: HOARD.append(object()), "1.0 blocks"),
        (lambda: ctypes.pythonapi.Py_IncRef(ctypes.py_object(SOMETHING)), "1.0 references"),
    ],
)
def test_leaked_references_are_detected(call, told):
    assert told in leaks(call, 100, [SOMETHING])
    HOARD.clear()


@pytest.mark.skipif(not heap_in_use(), reason="the C library does not tell")
def test_leaked_heap_memory_is_detected():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    assert "bytes of the heap a call" in leaks(lambda: HOARD.append(None) or libc.malloc(24))
    HOARD.clear()
