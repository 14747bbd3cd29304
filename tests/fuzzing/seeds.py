"""Where the fuzzer starts, beside the kept corpus: the vectors, and what is made for each of the targets."""

from __future__ import annotations

import json
import random
from itertools import islice, pairwise

import twin_fuzz
from rendering import VECTORS

FRAMES = 400
LONGEST = 2000


def of(target: str) -> list[bytes]:
    """The same each time."""
    frames = _frames()
    if target == "unpack":
        return [frame[19 if frame[0] == 3 else 11 :] for frame in frames]
    if target == "batches":
        return [*frames, *(one + two for one, two in pairwise(frames))]
    if target == "round_trip":
        rng = random.Random(0)
        return [rng.randbytes(rng.randrange(4, 300)) for _ in range(FRAMES)]
    return frames


def _frames() -> list[bytes]:
    rendered = [vector["frames"] for vector in json.loads((VECTORS / "frames.json").read_text())]
    rendered += [vector["frame"] for vector in json.loads((VECTORS / "refused.json").read_text())]
    frozen = [bytes.fromhex(text) for text in rendered]
    made = islice(twin_fuzz.starts(random.Random(0)), FRAMES)
    return [frame for frame in [*frozen, *made] if 0 < len(frame) <= LONGEST]
