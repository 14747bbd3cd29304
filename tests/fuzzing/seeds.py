"""Inputs with which the fuzzer starts, besides the kept corpus: the vectors, and inputs made for each target."""

from __future__ import annotations

import json
import random
from itertools import islice, pairwise

import hostile_files
import twin_fuzz
from fuzz import header_size
from fuzzing import targets
from rendering import VECTORS

FRAMES = 400
LONGEST = 2000


def of(target: str) -> list[bytes]:  # noqa: PLR0911 - one for each sort of target
    """The same each time."""
    frames = _frames()
    if target == "unpack":
        return [frame[header_size(frame[:1]) :] for frame in frames]
    if target == "batches":
        return [*frames, *(one + two for one, two in pairwise(frames))]
    if target in ("captures", "sources"):
        kinds = hostile_files.KINDS if target == "sources" else {"pcap": hostile_files.CAPTURES}
        made = [make(600)[:LONGEST] for of_kind in kinds.values() for make in _quick(of_kind)]
        return [*made, *frames[::8]] if target == "sources" else made
    if target == "conversations":
        said = b"".join(hostile_files.message(frame) for frame in frames[:40])
        return [bytes([64 | size]) + said[start : start + 1 + size] * 4 for start in (0, 40, 90) for size in range(60)]
    if target == "records":
        return _records()
    if target == "round_trip":
        rng = random.Random(0)
        return [rng.randbytes(rng.randrange(4, 300)) for _ in range(FRAMES)]
    return frames


def _records() -> list[bytes]:
    """The vectors of records, each behind the byte that chooses its template, or one that is like it."""
    lists = json.loads((VECTORS / "v4-records.json").read_text())
    found = []
    for vector in (*lists["accepted"], *lists["refused"]):
        dtype, rows = vector["template"]["dtype"], vector["template"]["rows"]
        which = targets.RECORD_DTYPES.index(dtype) + 7 * targets.RECORD_ROWS.index(rows if rows in (0, 1, 2, 3) else 12)
        found.append(bytes([which]) + bytes.fromhex(vector["record"])[2:])
    return [data for data in found if len(data) <= LONGEST]


def _quick(of_kind: dict) -> list:
    """The makers that need not deflate a file to make a small one."""
    return [make for name, make in of_kind.items() if "deflated" not in name and "names" not in name]


def _frames() -> list[bytes]:
    rendered = [vector["frames"] for vector in json.loads((VECTORS / "frames.json").read_text())]
    rendered += [vector["frame"] for vector in json.loads((VECTORS / "refused.json").read_text())]
    of_v4 = json.loads((VECTORS / "v4.json").read_text())
    rendered += [vector.get("frames") or vector["frame"] for kind in of_v4.values() for vector in kind]
    frozen = [bytes.fromhex(text) for text in rendered]
    made = islice(twin_fuzz.starts(random.Random(0)), FRAMES)
    return [frame for frame in [*frozen, *made] if 0 < len(frame) <= LONGEST]
