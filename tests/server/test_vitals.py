"""Vital signs of a demonstration: signals that are looped without a jump, and the numbers that fit them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from running import run

from ecgframe.messages import check_sent
from ecgframe.protocol import MessageType
from ecgframe.records import RecordError, shipped_ecg
from ecgframe.records.loop_point import seamless
from ecgframe.server.vitals import DemoVitals, Vitals, with_vitals


def test_two_signals_are_added_that_a_loop_continues_without_a_jump():
    record = shipped_ecg()
    played = seamless(record)
    found, vitals = with_vitals(record, played)
    assert found.leads == (*record.leads, "RESP", "PLETH")
    assert found.lead_units == (*["mV"] * 12, "Ohm", "NU")
    np.testing.assert_array_equal(found.signal[:12], record.signal)
    for row in found.physical()[12:, played.start : played.stop]:
        steps = np.abs(np.diff(row))
        assert abs(row[0] - row[-1]) <= 1.5 * steps.max()
        assert np.ptp(row) > 0.5
    assert 58 < vitals.pulse_rate < 64
    assert 10 < vitals.respiration_rate < 20


def test_what_has_no_beats_or_no_unit_is_refused():
    record = shipped_ecg()
    with pytest.raises(RecordError, match="no heartbeats are found"):
        with_vitals(replace(record, signal=np.zeros_like(record.signal)))
    with pytest.raises(RecordError, match="need samples in mV, or a gain"):
        with_vitals(replace(record, gain=None, baseline=None, units="counts"))


def test_the_numbers_are_published_once_a_second_with_the_names_of_ieee_11073():
    published = []

    async def publish(stream, message_type, data):
        published.append((stream, message_type, data))

    async def play():
        playing = asyncio.create_task(
            DemoVitals(["ecg/1", "ecg/2"], publish, Vitals(14.6, 61.2, 97), wall_clock=lambda: 1000.0).run()
        )
        while len(published) < 2:
            await asyncio.sleep(0)
        playing.cancel()

    run(play())
    assert [stream for stream, _, _ in published] == ["ecg/1", "ecg/2"]
    (_, message_type, data), _ = published
    check_sent(message_type, data)
    assert message_type is MessageType.FEATURE_DATA
    assert data["features"] == {"MDC_PULS_OXIM_SAT_O2": 97, "MDC_RESP_RATE": 15, "MDC_PULS_OXIM_PULS_RATE": 61}
    assert data["timestamp"] + data["window"] == 1000
