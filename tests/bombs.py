"""Small inputs that stand for large data, read under a limit on the process's memory.

Run by codec/test_bombs.py in a process of its own, since a ceiling cannot be lifted again. Prints what came of each as
JSON.
"""

import json
import resource
import struct
import sys
import tracemalloc
import zlib

import oracle

import ecgframe

MIB = 1024 * 1024


def frame(payload, flags=0):
    return oracle.frame(2, 0x01, flags, payload)


def deflated(payload):
    return frame(zlib.compress(payload, 9), oracle.COMPRESSED)


def list_of(count, item=b"", says=None):
    return b"\xdd" + struct.pack(">I", count if says is None else says) + item * count


def wrapper(data, dtype, shape):
    return frame(oracle.pack({"__ndarray__": data, "dtype": dtype, "shape": shape}))


def small_bombs():
    """Payloads that must be rejected or read within a few times the limit of 16 MiB."""
    rows = (
        b"\x83" + oracle.pack("__ndarray__") + list_of(15 * MIB, b"\x90") + oracle.pack("dtype") + oracle.pack("int8")
    )
    return {
        "64 MiB behind 64 KiB": deflated(oracle.pack(bytes(64 * MIB))),
        "64 MiB behind 64 KiB, no end": oracle.frame(2, 1, 1, zlib.compress(bytes(64 * MIB), 9)[:-9]),
        "64 MiB of blocks stored": oracle.frame(2, 1, 1, zlib.compress(bytes(64 * MIB), 9) * 200),
        "a header of 2^32-1": oracle.frame(3, 1, 0, b"", length=2**32 - 1),
        "a header of 16 MiB": oracle.frame(3, 1, 0, b"", length=16 * MIB),
        "lists 100,000 deep": frame(b"\x91" * 100_000),
        "maps 100,000 deep": frame(b"\x81\xa1a" * 100_000),
        "lists 16 million deep": deflated(b"\x91" * (16 * MIB - 1)),
        "wrappers 100,000 deep": frame((b"\x81" + oracle.pack("__ndarray__")) * 100_000),
        "lists of 2^32-1, 64 deep": frame(list_of(0, says=2**32 - 1) * 64),
        "maps of 2^32-1, 64 deep": frame(b"\xdf\xff\xff\xff\xff\xa1a" * 64),
        "lists of 65,535, 3,000 of them": frame(b"\xdc\xff\xff" * 3000),
        "text of 2^32-1": frame(b"\xdb\xff\xff\xff\xff"),
        "bytes of 2^32-1": frame(b"\xc6\xff\xff\xff\xff"),
        "extension of 2^32-1": frame(b"\xc9\xff\xff\xff\xff\x05"),
        "a shape of 2^62": wrapper([1], "float64", [2**31, 2**31]),
        "a shape of 2^32-1 in bytes": wrapper(b"", "float64", [2**32 - 1]),
        "a shape of 2^32-1 bools": wrapper([], "bool", [2**32 - 1]),
        "a shape that wraps around": wrapper(bytes(8), "float64", [2**31, 2**31, 4]),
        "a shape of a million": wrapper([1], "int8", [1] * MIB),
        "a dtype of a million": wrapper([1], "f8" + "x" * MIB, [1]),
        "a dtype that asks for much": wrapper([1], "999999999f8", [1]),
        "15 million rows of nothing": frame(rows + oracle.pack("shape") + oracle.pack([15 * MIB, 0])),
        "15 million rows of nothing that lie": frame(rows + oracle.pack("shape") + oracle.pack([15 * MIB, 1])),
        "15 million rows of nothing that are deflated": deflated(
            rows + oracle.pack("shape") + oracle.pack([15 * MIB, 1])
        ),
        "a datetime of 8 MiB": frame(oracle.pack({"__datetime__": "2024-01-15T" + "x" * 8 * MIB})),
    }


def container_bombs():
    """Payloads that must be rejected after 2^20 empty containers.

    They take 56 to 64 bytes each, and the list around them 8 bytes an entry.
    """
    return {
        "a million empty maps": frame(list_of(2**20, b"\x80")),
        "sixteen million empty maps behind 16 KiB": deflated(list_of(16 * MIB - 5, b"\x80")),
        "sixteen million empty lists behind 16 KiB": deflated(list_of(16 * MIB - 5, b"\x90")),
        "eight million rows of what is no wrapper": deflated(
            b"\x82" + oracle.pack("__ndarray__") + list_of(8 * MIB, b"\x90") + oracle.pack("n") + b"\x01"
        ),
    }


def size_of_process():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def bites(greedy):
    """The control: whether the ceiling stops what an unguarded reader would do."""
    try:
        greedy()
    except MemoryError:
        return True
    return False


def read(data):
    tracemalloc.start()
    try:
        message = ecgframe.decode(data)
        outcome = {"shape": getattr(message.data, "shape", None)}
    except ecgframe.ProtocolError as error:
        outcome = {"code": int(error.code), "check": error.check}
    except BaseException as error:
        outcome = {"error": repr(error)[:200]}
    outcome["peak"] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return outcome


def main(kind):
    bombs, room = {"small": (small_bombs, 48 * MIB), "containers": (container_bombs, 448 * MIB)}[kind]
    bombs = bombs()
    ecgframe.decode(ecgframe.encode(1, {"signal": [1.5] * 2000}))
    ceiling = size_of_process() + room
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    control = {
        "plain allocation": bites(lambda: bytes(2 * room)),
        "unbounded inflate": bites(lambda: zlib.decompress(GIBIBYTE, -15)),
        "a list for each element": bites(lambda: [{} for _ in range(16 * MIB)]),
    }
    json.dump({"control": control, "bombs": {name: read(data) for name, data in bombs.items()}}, sys.stdout)


def zeros(mebibytes):
    """A raw stream of nothing but zeros: blocks that end in a full flush may be repeated."""
    stream = zlib.compressobj(9, wbits=-15)
    return (stream.compress(bytes(MIB)) + stream.flush(zlib.Z_FULL_FLUSH)) * mebibytes + stream.flush()


GIBIBYTE = zeros(1024)

if __name__ == "__main__":
    main(sys.argv[1])
