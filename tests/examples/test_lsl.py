"""The example of the Lab Streaming Layer, with pylsl and its library."""

from __future__ import annotations

import re

import pytest
from bridges.loopback import pylsl
from programs import output_of


def round_trip(seconds: int) -> list[str]:
    """Return the lines that the example prints."""
    assert pylsl.protocol_version() >= 100
    return output_of("lsl_round_trip.py", seconds).splitlines()


@pytest.mark.slow
def test_the_round_trip_keeps_the_samples():
    channels, published, received, times = round_trip(2)
    assert channels == "channels: I II III aVR aVL aVF V1 V2 V3 V4 V5 V6"
    assert " samples in mV; sent back: " in published
    found = re.fullmatch(r"([\d,]+) samples received, (\d+) of them differ", received)
    assert found
    assert int(found[1]) == 2000
    assert re.fullmatch(r"timestamps: at most [\d.]+ ms from those of the amplifier", times)


@pytest.mark.alone
def test_the_round_trip_keeps_the_timestamps():
    *_, received, times = round_trip(5)
    assert received == "5000 samples received, 0 of them differ"
    found = re.fullmatch(r"timestamps: at most ([\d.]+) ms from those of the amplifier", times)
    assert found
    assert float(found[1]) < 2
