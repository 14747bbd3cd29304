"""Recordings that cost far more than their size to read: NPY, NPZ, CSV, EDF, DICOM. Each kind in about the
size that it is asked for.

Used by records/test_hostile_recordings.py. ``python tests/hostile_recordings.py FOLDER [MEBIBYTES]`` writes them all.
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

MIB = 1 << 20
Files = dict[str, bytes]
"""The files of a recording by suffix; the first is the one that is opened."""


# --- NumPy ---


def npy(shape: tuple[int, ...], content: bytes = b"", dtype: str = "<i2") -> bytes:
    """An NPY file that claims a shape, whatever follows."""
    file = io.BytesIO()
    np.lib.format.write_array_header_2_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def npz(members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Files:
    """An archive of these NPY files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return {".npz": file.getvalue()}


def array(value: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(value))
    return file.getvalue()


RATE = {"sampling_rate": array(250)}


def zeros(nbytes: int, said: int | None = None) -> Files:
    """One that holds nothing but zeros, deflated to about so many bytes, and up to 4 GiB."""
    piece = 32 * MIB
    count = max(1, min(nbytes // 33_000, 120))
    header = npy((1, count * piece // 2))
    squeezing = zlib.compressobj(9, wbits=-15)
    parts = [squeezing.compress(header), squeezing.flush(zlib.Z_FULL_FLUSH)]
    same = squeezing.compress(bytes(piece)) + squeezing.flush(zlib.Z_FULL_FLUSH)
    parts += [same] * count + [squeezing.flush()]
    octets = b"".join(parts)
    crc, left = zlib.crc32(header), bytes(piece)
    for _ in range(count):
        crc = zlib.crc32(left, crc)
    size = len(header) + count * piece if said is None else said
    name = b"signal.npy"
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, crc, len(octets), size, len(name), 0)
    begin = b"PK\x03\x04" + fields + name + octets
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(begin), 0)
    return {".npz": begin + entry + end}


def pickled(_: int) -> Files:
    file = io.BytesIO()
    np.save(file, np.array([{}, []], object), allow_pickle=True)
    return npz({"signal": file.getvalue(), **RATE})


def many_members(nbytes: int) -> Files:
    small = array([1])
    return npz({f"{number:x}": small for number in range(nbytes // 260)}, zipfile.ZIP_STORED)


SIGNAL = array(np.zeros((1, 100), np.int16))


def noted(annotations: str, **more: bytes) -> Files:
    return npz({"signal": SIGNAL, **RATE, "annotations": array(annotations), **more})


NUMPY: dict[str, Callable[[int], Files]] = {
    "deflated zeros": zeros,
    "deflated zeros, said to be few": lambda n: zeros(n, said=1000),
    "a shape that is not there": lambda n: {".npy": npy((1, 1 << 40), bytes(n))},
    "a shape of the memory's size": lambda n: {".npy": npy((1, 1 << 32), bytes(n))},
    "a deflated shape that is not there": lambda n: npz({"signal": npy((1, 1 << 40), bytes(n)), **RATE}),
    "a shape of no samples": lambda _: {".npy": npy((1 << 40, 0))},
    "a negative shape": lambda _: {".npy": npy((-1, 5), bytes(100))},
    "objects": pickled,
    "an archive of bzip2": lambda n: npz({"signal": npy((1, 75 * MIB), bytes(150 * MIB)), **RATE}, zipfile.ZIP_BZIP2),
    "an archive of xz": lambda n: npz({"signal": npy((1, 75 * MIB), bytes(150 * MIB)), **RATE}, zipfile.ZIP_LZMA),
    "many members": many_members,
    "many leads": lambda n: {".npy": npy((n // 4, n // 4 // (n // 4) + 1), bytes(n))},
    "many names": lambda n: npz(
        {"signal": SIGNAL, **RATE, "leads": npy((20 * MIB,), bytes(80 * MIB), "<U1")}, zipfile.ZIP_DEFLATED
    ),
    "many gains": lambda n: npz({"signal": SIGNAL, **RATE, "gain": npy((10 * MIB,), bytes(80 * MIB), "<f8")}),
    "many annotations": lambda n: noted("[" + '[0,"a"],' * (2 * MIB) + '[0,"a"]]'),
    "deep annotations": lambda n: noted("[" * (n // 4)),
    "a long text": lambda n: noted("[]", units=array("x" * (n // 4)), start=array("x" * (n // 4))),
    "a header of brackets": lambda _: {
        ".npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", 9000) + b"[" * 8999 + b"\n",
    },
    "a header of megabytes": lambda n: {".npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", n) + b"(" * n},
}


# --- CSV ---


def table(line: bytes, nbytes: int, head: bytes = b"# sampling_rate: 250\n") -> Files:
    return {".csv": head + line * (nbytes // len(line))}


CSV: dict[str, Callable[[int], Files]] = {
    "rows of a digit": lambda n: table(b"1\n", n),
    "rows of two digits": lambda n: table(b"1,2\n", n),
    "rows of gaps": lambda n: table(b"1,,,,,,,,,,,,,,,\n", n),
    "one long row": lambda n: {".csv": b"# sampling_rate: 250\n" + b"1," * (n // 2) + b"1\n"},
    "long rows": lambda n: table(b"1," * 50_000 + b"1\n", n),
    "rows of blanks": lambda n: {".csv": b"# sampling_rate: 250\n1 2\n" + b" " * n},
    "empty lines": lambda n: {".csv": b"# sampling_rate: 250\n1,2\n" + b"\n" * n},
    "comments": lambda n: table(b"#a\n", n, b"# sampling_rate: 250\n1,2\n"),
    "comments of many names": lambda n: {
        ".csv": b"# sampling_rate: 250\n1,2\n" + b"".join(b"#%x:1\n" % number for number in range(n // 9))
    },
    "an open quote": lambda n: {".csv": b'# sampling_rate: 250\n1,2\n"' + b"1\n" * (n // 2)},
    "quotes": lambda n: table(b'"1","2"\n', n),
    "digits without end": lambda n: {".csv": b"# sampling_rate: 250\n" + b"9" * n + b"\n"},
    "digits without end in rows": lambda n: table(b"9" * 4000 + b"\n", n),
    "text": lambda n: table(b"a,b,c\n", n),
    "times": lambda n: table(b"12:30:45.123,1\n", n),
    "names above": lambda n: {".csv": b"a,b\n" * (n // 8) + b"1,2\n" * (n // 8)},
    "decimal commas": lambda n: table(b"1,5;2,5\n", n),
    "deep annotations": lambda n: {".csv": b"# sampling_rate: 250\n# annotations: " + b"[" * n + b"\n1\n"},
    "many annotations": lambda n: {
        ".csv": b"# sampling_rate: 250\n# annotations: [" + b'[0,""],' * (n // 7) + b'[0,""]]\n1\n'
    },
    "deep JSON": lambda n: {".csv": b"# " + b'{"a":' * (n // 5) + b"\n1\n"},
    "many gains": lambda n: {".csv": b"# sampling_rate: 250\n# units: mV\n# gain: " + b"1," * (n // 2) + b"1\n1\n"},
    "a wide character set": lambda n: {".csv": b"\xff\xfe" + "1,2\n".encode("utf-16-le") * (n // 8)},
    "bytes of no text": lambda n: {".csv": np.random.default_rng(0).bytes(n)},
}


# --- EDF ---


def edf(
    signals: list[tuple[bytes, bytes]],
    content: bytes,
    *,
    records: bytes = b"-1",
    duration: bytes = b"1",
    ours: bytes = b"Startdate 01-JAN-2026 X X X",
    kind: bytes = b"EDF+C",
    magic: bytes = b"0",
) -> Files:
    """A file with these labels and samples of a record."""
    fixed = [(magic, 8), (b"X X X X", 80), (ours, 80), (b"01.01.26", 8), (b"00.00.00", 8)]
    fixed += [(b"%d" % (256 * (1 + len(signals))), 8), (kind, 44), (records, 8), (duration, 8)]
    fixed += [(b"%d" % len(signals), 4)]
    head = b"".join(text.ljust(width) for text, width in fixed)
    each = [(16, [label for label, _ in signals]), (80, [b""] * len(signals)), (8, [b"mV"] * len(signals))]
    each += [(8, [number] * len(signals)) for number in (b"-1", b"1", b"-32768", b"32767")]
    each += [(80, [b""] * len(signals)), (8, [count for _, count in signals]), (32, [b""] * len(signals))]
    return {".edf": head + b"".join(text.ljust(width) for width, texts in each for text in texts) + content}


LEAD = (b"I", b"1")


def noted_edf(content: bytes) -> Files:
    """One record, whose annotations are these bytes."""
    return edf([(b"I", b"2"), (b"EDF Annotations", b"%d" % (len(content) // 2))], bytes(4) + content)


EDF: dict[str, Callable[[int], Files]] = {
    "tiny records": lambda n: edf([LEAD], bytes(n)),
    "tiny records with annotations": lambda n: edf([LEAD, (b"EDF Annotations", b"1")], bytes(n)),
    "tiny records, each at a time": lambda n: edf(
        [LEAD, (b"EDF Annotations", b"6")],
        b"".join(b"\0\0" + b"+%d\x14\x14" % second + bytes(10 - len(str(second)) - 1) for second in range(n // 14)),
    ),
    "gaps": lambda n: edf(
        [LEAD, (b"EDF Annotations", b"8")],
        b"".join(b"\0\0" + (b"+%d\x14\x14" % (second * 9)).ljust(16, b"\0") for second in range(n // 18)),
        kind=b"EDF+D",
    ),
    "many signals": lambda n: edf([(b"%d" % number, b"1") for number in range(9998)], bytes(n)),
    "many signals of one name": lambda n: edf([LEAD] * 9998, bytes(n)),
    "many signals of annotations": lambda n: edf([LEAD] + [(b"EDF Annotations", b"3")] * 9000, bytes(n)),
    "annotations that do not end": lambda n: noted_edf(b"+0\x14\x14\0" + b"+1\x14" * (n // 3) + b"x"),
    "annotations of nothing": lambda n: noted_edf(b"+0\x14\x14\0" + b"+0\x14a\x14\0" * (n // 6) + b"\0"),
    "annotations in one list": lambda n: noted_edf(b"+0\x14\x14\0+0" + b"\x14a" * (n // 2) + b"\x14\0\0"),
    "times without end": lambda n: noted_edf(b"+0\x14\x14\0+" + b"9" * n + b"\x14a\x14\0\0"),
    "long times": lambda n: noted_edf(b"+0\x14\x14\0" + (b"+" + b"9" * 4000 + b"\x14a\x14\0") * (n // 4006) + b"\0"),
    "a long record's time": lambda n: edf([LEAD], bytes(n), duration=b"1e999999"),
    "a short record's time": lambda n: edf([LEAD], bytes(n), duration=b"1e-99999"),
    "samples without end": lambda n: edf([(b"I", b"1e999999")], bytes(n)),
    "records without end": lambda n: edf([LEAD], bytes(n), records=b"1e999999"),
    "BDF of tiny records": lambda n: {".bdf": edf([LEAD], bytes(n), magic=b"\xffBIOSEMI")[".edf"]},
}


# --- DICOM ---


def element(tag: int, kind: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind
    value += b"\0" * (len(value) % 2)
    if kind in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return head + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def items(*each: bytes) -> bytes:
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(one)) + one for one in each)


def dicom(content: bytes, syntax: bytes = b"1.2.840.10008.1.2.1") -> Files:
    meta = element(0x00020002, b"UI", b"1.2.840.10008.5.1.4.1.1.9.1.1") + element(0x00020010, b"UI", syntax)
    length = element(0x00020000, b"UL", struct.pack("<I", len(meta)))
    return {".dcm": bytes(128) + b"DICM" + length + meta + content}


def group(samples: bytes, count: int, channels: int = 1, rate: bytes = b"250", said: int | None = None) -> bytes:
    source = element(0x003A0208, b"SQ", items(element(0x00080104, b"LO", b"Lead I")))
    channel = source + element(0x003A021A, b"US", struct.pack("<H", 16))
    fields = element(0x003A0004, b"CS", b"ORIGINAL") + element(0x003A0005, b"US", struct.pack("<H", channels & 0xFFFF))
    fields += element(0x003A0010, b"UL", struct.pack("<I", count)) + element(0x003A001A, b"DS", rate)
    fields += element(0x003A0200, b"SQ", items(*[channel] * (channels if said is None else said)))
    fields += element(0x54001004, b"US", struct.pack("<H", 16)) + element(0x54001006, b"CS", b"SS")
    return fields + element(0x54001010, b"OW", samples)


def waveforms(*groups: bytes) -> bytes:
    return element(0x54000100, b"SQ", items(*groups))


def private_tags(count: int) -> Iterator[int]:
    """So many tags, ascending, of groups that the standard leaves free."""
    for number in range(count):
        group, place = divmod(number, 200)
        yield (9 + 2 * group) << 16 | 0x1000 + place


def nested(depth: int) -> bytes:
    """Sequences within sequences, of undefined length."""
    begin = struct.pack("<HH", 0x5400, 0x0100) + b"SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return begin * depth


def deflated_dicom(nbytes: int) -> Files:
    """One of so many bytes of samples, all zero."""
    squeezing = zlib.compressobj(9, wbits=-15)
    content = squeezing.compress(waveforms(group(bytes(nbytes), nbytes // 2))) + squeezing.flush()
    return dicom(content, b"1.2.840.10008.1.2.1.99")


DICOM: dict[str, Callable[[int], Files]] = {
    "samples": lambda n: dicom(waveforms(group(bytes(n), n // 2))),
    "deflated": lambda _: deflated_dicom(300 * MIB),
    "samples that are not there": lambda n: dicom(waveforms(group(bytes(n), 1 << 31))),
    "many groups": lambda n: dicom(waveforms(*[group(b"\0\0", 1)] * (n // 220))),
    "many channels": lambda n: dicom(waveforms(group(bytes(2 * 60_000), 1, 60_000))),
    "many channels of nothing": lambda n: dicom(waveforms(group(bytes(n // 2), n // 4, 1, said=n // 100))),
    "deep sequences": lambda n: dicom(nested(n // 20)),
    "many elements": lambda n: dicom(b"".join(element(tag, b"LO", b"") for tag in private_tags(n // 8))),
    "a time offset without end": lambda n: dicom(
        waveforms(element(0x00181068, b"DS", b"1e30") + group(bytes(n), n // 2))
    ),
    "a rate of nothing": lambda n: dicom(waveforms(group(bytes(n), n // 2, rate=b"0"))),
    "many annotations": lambda n: dicom(
        waveforms(group(bytes(100), 50))
        + element(0x0040B020, b"SQ", items(*[element(0x00700006, b"UT", b"a")] * (n // 22)))
    ),
    "many positions": lambda n: dicom(
        waveforms(group(bytes(100), 50))
        + element(
            0x0040B020,
            b"SQ",
            items(
                *[element(0x0040A132, b"UN", struct.pack("<I", 1) * 10_000) + element(0x00700006, b"UT", b"a")]
                * (n // 40_030)
            ),
        )
    ),
}

KINDS: dict[str, dict[str, Callable[[int], Files]]] = {
    "numpy": NUMPY,
    "csv": CSV,
    "edf": EDF,
    "dicom": DICOM,
}


def write(folder: Path, kind: str, name: str, nbytes: int) -> Path:
    """Write the files of one; return the one that is opened."""
    stem = f"{kind}-{name.replace(' ', '-').replace(',', '')}"
    paths = []
    for suffix, octets in KINDS[kind][name](nbytes).items():
        path = folder / f"{stem}{suffix}"
        path.write_bytes(octets)
        paths.append(path)
    return paths[0]


def main() -> None:
    """Write them all."""
    folder, nbytes = Path(sys.argv[1]), int(float(sys.argv[2]) * MIB) if len(sys.argv) > 2 else MIB
    for kind, made in KINDS.items():
        for name in made:
            print(write(folder, kind, name, nbytes))


if __name__ == "__main__":
    main()
