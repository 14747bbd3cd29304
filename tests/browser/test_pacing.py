"""Pacing spikes: stated by the sender or detected in the signal, and marked below the traces."""

from __future__ import annotations

import numpy as np
from cli.live_server import live
from heart_signals import WIDE, beats_at, ecg, spikes

from browser.geometry import check_page, resize
from browser.monitor import saved
from browser.publishing import publishing
from ecgframe.records import Record

RATE, SECONDS = 500, 20
BEATS = beats_at(70, 0.5, SECONDS)
LINE = "document.getElementById('signal-line').innerText"
SEEN = "Pacing spikes detected in the signal"

MARKS = """samples => {
    const canvas = document.getElementById("traces"), context = canvas.getContext("2d");
    const { leads } = window.ecgframe.state;
    return samples.map(sample => leads.map(lead => {
        const place = window.ecgframe.point(lead, sample);
        if (place === null) return null;
        const { data } = context.getImageData(Math.round(place.x) - 4, 0, 9, canvas.height);
        let marked = 0;
        for (let at = 0; at < data.length; at += 4)
            if (data[at + 2] > 200 && data[at] < 180 && data[at + 3] > 200) marked += 1;
        return marked;
    }));
}"""
"""Of each sample, on each lead: how many pixels near it have the colour of the mark."""


def paced():
    base = ecg(np.array(BEATS) + 0.06, SECONDS, RATE, WIDE) + spikes(BEATS, 0.001, 2, SECONDS, RATE)
    rng = np.random.default_rng(1)
    return np.stack([share * base + rng.normal(0, 0.01, SECONDS * RATE) for share in (0.6, 1, -0.5)])


def test_detected_spikes_are_reported_and_marked(open_monitor, tmp_path):
    record = Record(paced(), RATE, ("I", "II", "V1"), "mV", None, None, "paced")
    with live(saved(record, tmp_path), "--whole") as server:
        monitor = open_monitor(server.port)
        monitor.wait(f"s.spikes.length >= 4 && s.end > {5 * RATE}", 30)
        monitor.wait(f"{LINE}.includes({SEEN!r})")
        assert "Pacing:" not in monitor.page.evaluate(LINE)  # that is what the sender says
        monitor.page.keyboard.press(" ")
        monitor.wait("s.frozen")
        state = monitor.state
        shown = [one for one in state["spikes"] if state["shown"]["from"] < one["sample"] < state["shown"]["to"] - RATE]
        assert len(shown) >= 3
        assert all(one["seen"] for one in shown)
        marked = monitor.page.evaluate(MARKS, [one["sample"] for one in shown])
        assert min(map(min, marked)) > 5
        between = monitor.page.evaluate(MARKS, [one["sample"] - 60 for one in shown])
        assert max(map(max, between)) == 0
        monitor.shot("pacing-seen")
        for size in ((1366, 768), (390, 844), (683, 384)):
            resize(monitor.page, *size)
            check_page(monitor.page, f"pacing, {size}")
        monitor.check_quiet()


def test_spikes_that_the_sender_marks_are_reported_as_such(open_monitor):
    signal, each = paced(), RATE // 4

    def message(number):
        first = number * each % signal.shape[1]
        places = [int(beat * RATE) - first for beat in BEATS if first <= int(beat * RATE) < first + each]
        return {
            "signal": signal[:, first : first + each],
            "sampling_rate": RATE,
            "leads": ["I", "II", "V1"],
            "units": "mV",
            "pacing": places,
            "sequence": number,
        }

    with publishing(message, each / RATE) as port:
        monitor = open_monitor(port)
        monitor.wait("s.spikes.length >= 4", 30)
        monitor.wait(f"{LINE}.includes('Pacing: spikes are marked')")
        assert SEEN not in monitor.page.evaluate(LINE)
        assert not any(one["seen"] for one in monitor.state["spikes"])
        monitor.check_quiet()
