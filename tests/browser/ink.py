"""Comparison of the drawn pixels with the recorded samples."""

from __future__ import annotations

import numpy as np

from browser.monitor import DESK

LOOK = """lead => {
  const { state, samples, point } = window.ecgframe;
  const { from, to } = state.shown;
  const places = Array.from({ length: to - from }, (_, index) => point(lead, from + index));
  const shown = places.map(place => place !== null);
  const found = places.filter(place => place !== null);
  const canvas = document.getElementById("traces");
  const ys = found.map(({ y }) => y);
  const top = Math.floor(Math.min(...ys)) - 12, bottom = Math.ceil(Math.max(...ys)) + 12;
  const { data, width } = canvas.getContext("2d").getImageData(0, top, canvas.width, bottom - top);
  const ink = Array.from({ length: width }, (_, x) => {
    const rows = [];
    for (let y = 0; y < bottom - top; y += 1) if (data[4 * (y * width + x) + 3] > 100) rows.push(top + y);
    return rows.length > 0 ? [rows[0], rows.at(-1)] : null;
  });
  const late = state.frozen ? 0 : Math.max(0, state.head - to);
  return { from, to, late, shown, values: samples(lead, from, to), places: found, ink };
}"""
"""Returns, at one moment, the shown samples of a lead, their places, and the first and last drawn pixel of each column
around the lead."""

PIXELS_A_SECOND = 50 * 4
PIXELS_A_MILLIVOLT = 10 * 4

PAGE = 1000 * (DESK[0] - 8 - 36) / PIXELS_A_SECOND
"""Samples per page: the window without the margin and the frame of a lost connection (4 pixels at each side)."""


def check_ink(monitor, leads, *, bar=None, least):
    """Check that each lead is drawn through its samples, column by column, and nowhere else.

    Args:
        monitor: a sweep on a desk, at 50 mm/s and 10 mm/mV, of few leads at 1,000 Hz.
        leads: their names.
        bar: columns of pixels that are blank between the new and the old, where the page is full.
        least: samples that are to be shown.
    """
    for lead in leads:
        look = monitor.page.evaluate(LOOK, lead)
        assert all(look["shown"])
        values = np.array(look["values"])
        x, y = (np.array([place[axis] for place in look["places"]]) for axis in "xy")
        assert len(values) >= least
        np.testing.assert_allclose(y, y[0] - (values - values[0]) * PIXELS_A_MILLIVOLT, atol=1e-6)
        moved = (x - x[0] - np.arange(len(x)) * PIXELS_A_SECOND / 1000) % (PAGE * PIXELS_A_SECOND / 1000)
        assert np.minimum(moved, PAGE * PIXELS_A_SECOND / 1000 - moved).max() < 1e-6
        blank = 0
        for column, ink in enumerate(look["ink"]):
            near = y[(x >= column - 1.2) & (x <= column + 2.2)]
            inside = y[(x >= column + 0.3) & (x <= column + 0.7)]
            if len(near) == 0:
                assert ink is None, f"{lead}: ink in column {column}, where there is no sample"
                blank += 1
            elif len(inside) > 0 and np.ptp(x[(x >= column - 3) & (x <= column + 4)]) > 5:
                assert ink is not None, f"{lead}: no ink in column {column}"
                assert near.min() - 2 <= ink[0] <= inside.min() + 1, f"{lead}, column {column}"
                assert inside.max() - 2 <= ink[1] <= near.max() + 2, f"{lead}, column {column}"
        # The paper's margin, the bar before the head, and what the head passed over because nothing came in time.
        late = look["late"] * PIXELS_A_SECOND / 1000
        assert bar is None or 30 + bar < blank < 45 + bar + late
