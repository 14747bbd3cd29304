"""Respiration, plethysmograms and pressures: drawn to their own scales, and never taken for an ECG."""

from __future__ import annotations

import pytest

from browser.mixed import RATE, SAMPLES, mixed
from browser.publishing import publishing


@pytest.fixture(scope="module")
def port():
    with publishing(mixed, SAMPLES / RATE) as port:
        yield port


def test_each_signal_is_kept_in_its_unit_and_drawn_within_its_scale(open_monitor, port):
    monitor = open_monitor(port)
    monitor.wait("s.shown.to - s.shown.from > 1200 && s.rate > 0")
    monitor.shot("other-signals-dark")
