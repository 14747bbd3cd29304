"""The corpus of the fuzzer: a file a target, an input a line, in hex, so that a change to it can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def read(target: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    path = FOLDER / f"{target}.hex"
    return [bytes.fromhex(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these, from the shortest on."""
    FOLDER.mkdir(exist_ok=True)
    lines = sorted({data.hex() for data in inputs}, key=lambda line: (len(line), line))
    (FOLDER / f"{target}.hex").write_text("".join(f"{line}\n" for line in lines))


def name_of(data: bytes) -> str:
    """The name that libFuzzer gives a file with this input."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
