"""The heart rate on the page: that of the beats, and none without beats."""

from __future__ import annotations

import numpy as np
from cli.live_server import live
from heart_signals import P, beats_at, ecg, fibrillation, noise, spikes

from browser.monitor import saved
from ecgframe.records import Record

RATE = 250
BEATING, SILENT = 8, 12
SPEED = 6
COUNTS = 1000
"""Counts of a millivolt."""

LOOKS = """seconds => new Promise(resolve => {
    const looks = [], until = performance.now() + 1000 * seconds;
    const look = () => {
        const { state: s } = window.ecgframe;
        const place = window.ecgframe.samples("PLACE", s.end - 1, s.end)[0];
        const shown = document.getElementById("rate").textContent;
        looks.push([place, Number.isNaN(s.rate) ? null : s.rate, s.heart?.rhythm, shown]);
        if (performance.now() < until) setTimeout(look, 25); else resolve(looks);
    };
    look();
})"""
"""Where in the recording the newest sample stands, and what the page tells of the heart then."""


def without_beats():
    """What an electrode has to tell where the heart does not beat, each [samples] in mV."""
    rng, count = np.random.default_rng(5), SILENT * RATE
    quiet = noise("smoothed", 0.005, count, RATE, rng)
    yield "noise", noise("smoothed", 0.05, count, RATE, rng)
    yield "hum", noise("50 Hz", 0.05, count, RATE, rng)
    yield "P waves", quiet + ecg(beats_at(75, 0, SILENT), SILENT, RATE, [(*P[:2], 0.15)])
    yield "pacing spikes", quiet + spikes(beats_at(75, 0, SILENT), 0.002, 5, SILENT, RATE)
    yield "fibrillation", quiet + fibrillation("sum", 0.6, count, RATE, rng)


def test_no_rate_is_shown_without_beats(open_monitor, tmp_path):
    parts = list(without_beats())
    beats = ecg(beats_at(75, 0, BEATING), BEATING, RATE)
    row = np.concatenate([piece for _, part in parts for piece in (beats, part)])
    counts = np.stack([np.round(COUNTS * row), np.arange(len(row))]).astype(np.int16)
    record = Record(counts, RATE, ("II", "PLACE"), "mV", (COUNTS, COUNTS), (0, 0), "no beats")
    with live(saved(record, tmp_path), "--speed", SPEED) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 1000")
        looks = monitor.page.evaluate(LOOKS, len(row) / RATE / SPEED + 1)
        monitor.shot("no-beats")
        monitor.check_quiet()
    period, last = BEATING + SILENT, beats_at(75, 0, BEATING)[-1]
    seen = {name: 0 for name, _ in parts}
    for place, rate, rhythm, _ in looks:
        part, second = divmod(place * COUNTS / RATE, period)
        name = parts[int(part)][0]
        if last + 4 <= second:
            assert (name, rate) == (name, None)
            assert rhythm == ("fibrillation" if name == "fibrillation" else "asystole")
            seen[name] += 1
        elif 6 < second < last:
            assert 73 < rate < 77
    assert min(seen.values()) > 0
    # the figure on the page is drawn twice a second, and lags by so much of the recording
    shown = [text for place, _, _, text in looks if (place * COUNTS / RATE) % period > last + 4 + SPEED]
    assert shown
    assert not [text for text in shown if text.isdigit()]
