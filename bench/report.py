"""Measures the whole comparison, and writes RESULTS.md and its pictures. ``python -m bench`` calls it."""

import os
import platform
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ecgframe import Compression, crc32

from . import ecg, live_frames, peers, plots, small
from .measuring import Effort, Peak, Threads, Timing, by_threads, peak_of, time_together
from .peers import Peer

SIZES = [
    ecg.Size(1, 25, every=4),
    ecg.ONE_LEAD,
    ecg.Size(12, 50, every=2),
    ecg.Size(12, 125, every=2),
    ecg.ONE_SECOND,
    ecg.Size(12, 2000, every=2),
    ecg.TEN_SECONDS,
]
"""From a tenth of a second of one lead to ten seconds of twelve leads."""

LIST, BINARY = peers.ECGFRAME, peers.ECGFRAME_BINARY
COMPRESSED = [
    peers.ECGFRAME_COMPRESSED,
    peers.ecgframe_peer("ecgframe, binary form, compressed", ndarray="binary", compression=Compression()),
]
HEARTBEAT = peers.HEARTBEAT
BEAT = {"timestamp": 1705320000.25}
MSGSPEC = peers.OTHERS[3]
FLOOR = "(memcpy + CRC-32)"
X = "\N{MULTIPLICATION SIGN}"
ROOT = Path(__file__).parents[1]
LIBRARIES = [
    *("ecgframe", "numpy", "zlib-ng", "deflate", "backports.zstd", "orjson", "msgpack", "msgspec", "ormsgpack"),
    *("protobuf", "pyarrow"),
]
UNSEEN = {"protobuf", "arrow"}
"""Peers that allocate memory that tracemalloc does not see."""

Times = dict[str, Timing]


@dataclass(frozen=True)
class Floors:
    """Times of ecgframe's two forms, and of copying and computing the CRC-32 of the same bytes only."""

    frame_bytes: dict[str, int]
    times: Times


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    encode: dict[ecg.Size, Times]
    decode: dict[ecg.Size, Times]
    floors: dict[ecg.Size, Floors]
    dtypes: dict[str, dict[str, Times]]
    dtypes_bytes: dict[str, dict[str, int]]
    sizes: dict[ecg.Size, dict[str, dict[str, int]]]
    memory: dict[str, dict[str, Peak]]
    heartbeat: dict[str, Times]
    heartbeat_bytes: dict[str, int]
    into: dict[str, dict[str, Times]]
    compressed: dict[str, dict[str, Times]]
    compressed_bytes: dict[str, dict[str, int]]
    live: dict[ecg.Size, tuple[live_frames.Both, dict[str, int]]]
    filters: dict[ecg.Size, tuple[live_frames.Both, dict[str, int]]]
    threads: dict[str, Threads]
    small: list[small.Row]


def run(folder: Path, effort: Effort) -> Path:
    """Measure everything, write RESULTS.md and results/*.svg into the folder, and return the page's path."""
    results = measure(effort)
    pictures = folder / "results"
    pictures.mkdir(parents=True, exist_ok=True)
    draw(results, pictures)
    page = folder / "RESULTS.md"
    page.write_text("\n".join(write(results)), encoding="utf-8")
    return page


# --- measuring ---


def measure(effort: Effort) -> Results:
    """Measure everything. Prints to stderr what is being measured."""
    encode: dict[ecg.Size, Times] = {}
    decode: dict[ecg.Size, Times] = {}
    floors: dict[ecg.Size, Floors] = {}
    for size in SIZES:
        _tell(f"{size}: encode, decode, floors")
        encode[size], decode[size] = _encode(size, effort), _decode(size, effort)
        floors[size] = _floors(size, effort)
    _tell("float32 and int16")
    others = {dtype: _both_ways(_all_peers(), ecg.message(ecg.TEN_SECONDS, dtype), effort) for dtype in ecg.DTYPES[1:]}
    _tell("sizes, memory, heartbeat, compressed frames")
    beats = _installed([HEARTBEAT, *peers.OTHERS, peers.PROTOBUF])
    heartbeat, heartbeat_bytes = _both_ways(beats, BEAT, effort)
    packed = {
        dtype: _both_ways(_squeezed(), ecg.message(ecg.ONE_SECOND, dtype), effort.for_long_calls())
        for dtype in ("float64", "int16")
    }
    _tell("live frames, records, filters")
    live = {size: live_frames.measure(size, effort) for size in live_frames.SIZES}
    filters = {size: live_frames.measure_filters(size, effort) for size in live_frames.SIZES}
    _tell("encode_into")
    into = _into(effort)
    _tell("two threads")
    return Results(
        encode=encode,
        decode=decode,
        floors=floors,
        dtypes={dtype: times for dtype, (times, _) in others.items()},
        dtypes_bytes={dtype: nbytes for dtype, (_, nbytes) in others.items()},
        sizes={size: _sizes(size) for size in ecg.SIZES},
        memory=_memory(),
        heartbeat=heartbeat,
        heartbeat_bytes=heartbeat_bytes,
        into=into,
        compressed={dtype: times for dtype, (times, _) in packed.items()},
        compressed_bytes={dtype: nbytes for dtype, (_, nbytes) in packed.items()},
        live=live,
        filters=filters,
        threads=_threads(effort),
        small=_small(effort),
    )


def _small(effort: Effort) -> list[small.Row]:
    _tell("small messages")
    return list(small.rows(effort))


def _tell(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


def _installed(candidates: Sequence[Peer]) -> list[Peer]:
    return [peer for peer in candidates if peer.installed]


def _all_peers() -> list[Peer]:
    return _installed([LIST, BINARY, *peers.OTHERS, *peers.RAW_BYTES, *peers.SCHEMAS])


def _squeezed() -> list[Peer]:
    return [*COMPRESSED, peers.ZLIB, *(peer.deflated() for peer in _installed([*peers.OTHERS, *peers.SCHEMAS]))]


def _encode(size: ecg.Size, effort: Effort) -> Times:
    message, samples = ecg.message(size, "float64"), ecg.signal(size, "float64")
    calls = {peer.name: partial(peer.encode, message) for peer in _all_peers()}
    return time_together({**calls, FLOOR: lambda: crc32(samples.tobytes())}, effort)


def _decode(size: ecg.Size, effort: Effort) -> Times:
    message, samples = ecg.message(size, "float64"), ecg.signal(size, "float64")
    calls: dict[str, Callable[[], object]] = {}
    for peer in _all_peers():
        encoded, reader = peer.encode(message), peer.then_array("float64")
        assert ecg.same(reader.decode(encoded), message), reader.name
        calls[reader.name] = partial(reader.decode, encoded)
    return time_together({**calls, FLOOR: lambda: crc32(samples.tobytes())}, effort)


def _floors(size: ecg.Size, effort: Effort) -> Floors:
    message = ecg.message(size, "float64")
    frames = {"list": LIST.encode(message), "binary": BINARY.encode(message)}
    calls: dict[str, Callable[[], object]] = {}
    for form, peer in (("list", LIST), ("binary", BINARY)):
        calls |= {
            f"encode {form}": partial(peer.encode, message),
            f"decode {form}": partial(peer.decode, frames[form]),
            f"copy and sum {form}": lambda frame=frames[form]: crc32(bytearray(frame)),
            f"sum {form}": partial(crc32, frames[form]),
        }
    return Floors({form: len(frame) for form, frame in frames.items()}, time_together(calls, effort))


def _both_ways(candidates: Sequence[Peer], message: dict[str, Any], effort: Effort) -> tuple[dict[str, Times], Any]:
    encoded = {peer.name: peer.encode(message) for peer in candidates}
    dtype = message["signal"].dtype.name if "signal" in message else "float64"
    readers = {peer.name: peer.then_array(dtype) if "signal" in message else peer for peer in candidates}
    for name, reader in readers.items():
        assert ecg.same(reader.message(reader.decode(encoded[name])), message), name
    encode = time_together({peer.name: partial(peer.encode, message) for peer in candidates}, effort)
    decode = time_together({name: partial(readers[name].decode, encoded[name]) for name in readers}, effort)
    return {"encode": encode, "decode": decode}, {name: len(found) for name, found in encoded.items()}


def _into(effort: Effort) -> dict[str, dict[str, Times]]:
    """Return the times by content of the message, then by its size."""
    jobs = {
        "ndarray": ([LIST, BINARY, MSGSPEC], {str(size): ecg.message(size, "float64") for size in ecg.SIZES}),
        "plain lists": ([LIST, MSGSPEC], {str(size): ecg.message(size, "float64", "list") for size in ecg.SIZES}),
        "heartbeat": ([HEARTBEAT, MSGSPEC], {"": BEAT}),
    }
    return {
        job: {
            name: time_together(peers.writers(_installed(candidates), message), effort)
            for name, message in messages.items()
        }
        for job, (candidates, messages) in jobs.items()
    }


def _sizes(size: ecg.Size) -> dict[str, dict[str, int]]:
    plain = [LIST, BINARY, *COMPRESSED, *_installed([*peers.OTHERS, *peers.SCHEMAS])]
    candidates = [*plain, *(peer.deflated() for peer in _installed([peers.OTHERS[1], peers.PROTOBUF]))]
    return {
        peer.name: {dtype: len(peer.encode(ecg.message(size, dtype))) for dtype in ecg.DTYPES} for peer in candidates
    }


def _memory() -> dict[str, dict[str, Peak]]:
    message = ecg.message(ecg.TEN_SECONDS, "float64")
    found: dict[str, dict[str, Peak]] = {"encode": {}, "decode": {}}
    for peer in [LIST, BINARY, COMPRESSED[0], *_all_peers()[2:]]:
        reader, encoded = peer.then_array("float64"), peer.encode(message)
        found["encode"][peer.name] = peak_of(partial(peer.encode, message), len)
        found["decode"][reader.name] = peak_of(partial(reader.decode, encoded), _own_samples)
    return found


def _own_samples(message: dict[str, Any]) -> int:
    """Return the bytes of the decoded array; 0 if it is a view of the received bytes."""
    signal = message["signal"]
    return 0 if not signal.flags.writeable else signal.nbytes


def _threads(effort: Effort) -> dict[str, Threads]:
    message = ecg.message(ecg.TEN_SECONDS, "float64")
    candidates = _installed([LIST, BINARY, COMPRESSED[0], peers.OTHERS[1], peers.OTHERS[4]])
    encode = {f"{peer.name}: encode": partial(peer.encode, message) for peer in candidates}
    readers = [(peer.then_array("float64"), peer.encode(message)) for peer in candidates]
    decode = {f"{peer.name}: decode": partial(peer.decode, encoded) for peer, encoded in readers}
    return by_threads(encode | decode, effort)


# --- drawing ---


def draw(results: Results, folder: Path) -> None:
    """Write the pictures."""
    nbytes = [8 * size.leads * size.samples for size in SIZES]
    shapes = [str(size) for size in SIZES]
    for verb, title, found in (
        ("encode", "An ECG message of float64 samples, ndarray to bytes", results.encode),
        ("decode", "An ECG message of float64 samples, bytes to ndarray", results.decode),
    ):
        lines = {name: [found[size][name].best for size in SIZES] for name in found[SIZES[0]]}
        plots.over_size(folder / f"{verb}.svg", title, nbytes, shapes, lines)
    sizes = results.sizes[ecg.ONE_SECOND]
    shares = {
        dtype: {name: 100 * found[dtype] / sizes["orjson"][dtype] for name, found in sizes.items()}
        for dtype in ecg.DTYPES
    }
    plots.sizes(
        folder / "size.svg",
        f"A second of a real ECG on the wire, {ecg.ONE_SECOND} samples",
        shares,
        {name: [found[dtype] for dtype in ecg.DTYPES] for name, found in sizes.items()},
    )
    plots.memory(
        folder / "memory.svg",
        f"Memory needed while it runs, beyond frame and array: {ecg.TEN_SECONDS} float64",
        {
            verb: {name: peak.on_top for name, peak in found.items() if name not in UNSEEN}
            for verb, found in results.memory.items()
        },
    )


# --- writing ---


def write(results: Results) -> Iterator[str]:
    """Return the lines of RESULTS.md."""
    yield from _top()
    yield from _over_size("Encode: ndarray to bytes", "encode", results.encode)
    yield from _over_size("Decode: bytes to array", "decode", results.decode)
    yield from _other_dtypes(results)
    yield from _against_the_floor(results.floors)
    yield from _on_the_wire(results.sizes)
    yield from _in_memory(results.memory)
    yield from _small_frames(results)
    yield from _into_a_buffer(results.into)
    yield from _compressed_frames(results)
    yield from _live_frames(results.live)
    yield from _filters(results.filters)
    yield from _two_threads(results.threads)
    yield from _small_messages(results.small)


def _small_messages(found: list[small.Row]) -> Iterator[str]:
    yield """
## Small messages

Each row is one comparison, whose candidates take turns; the times are those of the fastest slice. Maps are decoded from
a complete frame, and compared with the bare payload in the fastest other library. `bench/small.py` has the messages.
"""
    yield from small.table(found)


def _top() -> Iterator[str]:
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    yield f"""# What was measured

Written by `python -m bench` (see [README.md](README.md)). The samples are those of the 12-lead ECG in the package.
"12{X}500" means 12 leads with 500 samples each.

| | |
| --- | --- |
| date | {datetime.now(UTC):%Y-%m-%d} |
| processor | {_processor()} |
| cores | {os.cpu_count()} |
| system | {platform.system()} {platform.machine()} |
| Python | {platform.python_implementation()} {platform.python_version()} |
| libraries | {libraries} |

"ecgframe" without further words is the list form, which every peer reads. ecgframe encodes, decodes and validates
complete V3 frames: header, timestamp, CRC-32, dtype and shape. The other libraries encode and decode only a payload
with the same message. Calls are timed in many slices. A time is that of the fastest slice, or of the median slice if
the table says so. `{X}` is the ratio to the time of ecgframe's list form. The other serializers decode lists, which are
then converted by `np.array`. Arrays from "binary form", "+ tobytes" and arrow are views of the received bytes.
"{FLOOR}" copies the samples and computes the checksum of the copy, and nothing else.
"""


def _version(name: str) -> str:
    if name == "ecgframe":  # of this source tree, not of an installed package
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _over_size(title: str, verb: str, found: Mapping[ecg.Size, Times]) -> Iterator[str]:
    names = list(found[SIZES[0]])
    yield f"## {title}\n\n![{title}](results/{verb}.svg)\n\nTime of the fastest slice:\n"
    yield from _table(
        ["", *map(str, SIZES)],
        [[name, *(_with_ratio(found[size], name) for size in SIZES)] for name in names],
    )
    yield "Time of the median slice:\n"
    yield from _table(
        ["", *map(str, SIZES)], [[name, *(_time(found[size][name].middle) for size in SIZES)] for name in names]
    )


def _with_ratio(times: Times, name: str) -> str:
    return f"{_time(times[name].best)} {_ratio(times[name].best / times[LIST.name].best)}"


def _other_dtypes(results: Results) -> Iterator[str]:
    yield f"""## float32 and int16

{ecg.TEN_SECONDS} samples, ndarray to bytes and bytes to array.
"""
    for dtype, times in results.dtypes.items():
        yield f"{dtype}:\n"
        yield from _both_ways_table(times, results.dtypes_bytes[dtype], LIST.name)


def _against_the_floor(floors: Mapping[ecg.Size, Floors]) -> Iterator[str]:
    yield f"""## Against the floor

Encoding and decoding compared to the least work possible: copying the same frame and computing the CRC-32 of the copy
(`memcpy + CRC`). Decoding the binary form copies nothing, so it is compared to the CRC-32 alone. `{X}` is the ratio to
this least work.
"""
    for form in ("list", "binary"):
        yield f"{form.capitalize()} form:\n"
        under = f"copy and sum {form}" if form == "list" else f"sum {form}"
        rows = []
        for size, found in floors.items():
            best = {name: timing.best for name, timing in found.times.items()}
            copied, read = best[f"copy and sum {form}"], best[under]
            encode, decode = best[f"encode {form}"], best[f"decode {form}"]
            rows.append(
                [
                    str(size),
                    f"{found.frame_bytes[form]:,}",
                    _time(copied),
                    f"{_time(encode)} {_ratio(encode / copied)}",
                    _time(read),
                    f"{_time(decode)} {_ratio(decode / read)}",
                ]
            )
        floor_of_decode = "memcpy + CRC" if form == "list" else "CRC"
        yield from _table(["", "bytes", "memcpy + CRC", "encode", floor_of_decode, "decode"], rows)


def _on_the_wire(sizes: Mapping[ecg.Size, dict[str, dict[str, int]]]) -> Iterator[str]:
    yield """## Size on the wire

![Size on the wire](results/size.svg)

Bytes of one message, and the percentage of the size of orjson's JSON, which is the shortest JSON. json writes spaces
after commas and colons, and float32 samples with the digits of float64. The floats are millivolts with up to five
decimals; the int16 samples are ADC counts. "compressed" means zlib at level 6.
"""
    for size, found in sizes.items():
        yield f"{size}:\n"
        rows = [
            [name, *(f"{nbytes[dtype]:,} ({nbytes[dtype] / found['orjson'][dtype]:.0%})" for dtype in ecg.DTYPES)]
            for name, nbytes in found.items()
        ]
        yield from _table(["", "float64 mV", "float32 mV", "int16 counts"], rows)


def _in_memory(memory: Mapping[str, Mapping[str, Peak]]) -> Iterator[str]:
    samples = _size(ecg.signal(ecg.TEN_SECONDS, "float64").nbytes)
    yield f"""## Memory

![Memory](results/memory.svg)

Memory of one call with {ecg.TEN_SECONDS} float64 samples ({samples}), measured by tracemalloc: the size of the result
(the frame, or the decoded array unless it is a view), and the peak in addition to it. tracemalloc counts what Python
and NumPy allocate. protobuf, arrow and the library for zlib allocate other memory, too. The figures for protobuf and
arrow are therefore lower bounds, and not in the picture.
"""
    for verb, found in memory.items():
        rows = [
            [name, _size(peak.kept), ("≥ " if name in UNSEEN else "") + _size(peak.on_top)]
            for name, peak in found.items()
        ]
        yield from _table([verb, "result", "peak in addition"], rows)


def _small_frames(results: Results) -> Iterator[str]:
    yield """## Heartbeat

A message with one float, `{"timestamp": 1705320000.25}`. 19 bytes of ecgframe's frame are the header.
"""
    yield from _both_ways_table(results.heartbeat, results.heartbeat_bytes, LIST.name)


def _into_a_buffer(into: Mapping[str, Mapping[str, Times]]) -> Iterator[str]:
    yield f"""## Encoding into a buffer of the caller

`encode_into` writes each frame into the same `bytearray`, while `encode` returns a new `bytes` for each. msgspec offers
the same for its payload. `{X}` is the ratio to ecgframe's `encode`.
"""
    for job, found in into.items():
        columns = list(found)
        yield from _table(
            [job, *columns],
            [[name, *(_with_ratio(found[column], name) for column in columns)] for name in found[columns[0]]],
        )


def _compressed_frames(results: Results) -> Iterator[str]:
    yield f"""## Compressed frame

{ecg.ONE_SECOND} samples. The payloads of the other libraries are compressed with zlib at level 6. `{X}` is the ratio to
ecgframe's compressed list form.
"""
    for dtype, times in results.compressed.items():
        yield f"{dtype}:\n"
        yield from _both_ways_table(times, results.compressed_bytes[dtype], COMPRESSED[0].name)


def _live_frames(live: Mapping[ecg.Size, tuple[live_frames.Both, Mapping[str, int]]]) -> Iterator[str]:
    yield f"""## Live frame

50 ms of int16 counts. Version 4 sends what never changes once, in a template, so its frame has the samples and little
else. `{X}` is the ratio to the binary form of version 3. "{live_frames.FILTER}" has no frame: it writes a record of
the samples, and reads the samples of it. "{live_frames.ALLOWED}" is the sum of two other lines.
"""
    for size, (times, nbytes) in live.items():
        yield f"{size}:\n"
        yield from _both_ways_table(times, nbytes, live_frames.BINARY.name)


def _filters(found: Mapping[ecg.Size, tuple[live_frames.Both, Mapping[str, int]]]) -> Iterator[str]:
    yield f"""## Filter of records

The same samples without frames: records, and general compressors of differences between the samples, all high bytes
before all low ones. `{X}` is the ratio to the record with the filter.
"""
    for size, (times, nbytes) in found.items():
        yield f"{size}, {_size(ecg.signal(size, 'int16').nbytes)}:\n"
        yield from _both_ways_table(times, nbytes, live_frames.filters.DELTA.name)


def _both_ways_table(times: Mapping[str, Times], nbytes: Mapping[str, int], base: str) -> Iterator[str]:
    rows = []
    for name in times["encode"]:
        cells = [name, f"{nbytes[name]:,}" if name in nbytes else ""]
        for verb in ("encode", "decode"):
            timing = times[verb][name]
            cells += [f"{_time(timing.best)} {_ratio(timing.best / times[verb][base].best)}", _time(timing.middle)]
        rows.append(cells)
    yield from _table(["", "bytes", "encode", "median", "decode", "median"], rows)


def _two_threads(threads: Mapping[str, Threads]) -> Iterator[str]:
    yield f"""## Two threads

The same call with {ecg.TEN_SECONDS} float64 samples in one thread, and in two at the same time. 2.00 means twice as
many calls in the same time. A library that holds the GIL all the time reaches 1.00. The longer a call releases the GIL,
the closer it comes to 2.00.
"""
    rows = [
        [name, f"{found.one:,.0f}", f"{found.two:,.0f}", f"{found.two / found.one:.2f}"]
        for name, found in threads.items()
    ]
    yield from _table(["", "calls per second, one thread", "two threads", "ratio"], rows)


# --- words and numbers ---


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _time(seconds: float) -> str:
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{_three_digits(seconds / unit)} {name}"
    return f"{_three_digits(seconds / 1e-9)} ns"


def _ratio(ratio: float) -> str:
    return f"({_three_digits(ratio) if ratio >= 10 else f'{ratio:.2f}'}{X})"


def _three_digits(value: float) -> str:
    return np.format_float_positional(value, 3, unique=False, fractional=False, trim="-")


def _size(nbytes: float) -> str:
    for unit, name in ((1e6, "MB"), (1e3, "kB")):
        if nbytes >= unit:
            return f"{_three_digits(nbytes / unit)} {name}"
    return f"{nbytes:.0f} B"
