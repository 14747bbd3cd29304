"""The plot of a comparison: size on the left, speed on the right, one row of panels for each kind of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan, nan
from typing import Any, BinaryIO

from ...foreign_text import printable
from ...libraries import library
from ...protocol import DEFAULT_VERSION
from ...tools.record_coder import VERSION
from ..formats import size
from .run import JSON, ORJSON, Case, Comparison, Samples, Way
from .views import SHORT, TIMES, TITLES, form, middle, times

FORMATS = (".svg", ".png")
SHADES = ("#9ecae1", "#4292c6", "#08519c")
ENCODE, DECODE = "#e6855e", "#4d8f8b"


def figures() -> Any:
    """Import ``matplotlib.figure``.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    return library("matplotlib.figure", extra="plot", purpose="drawing")


def draw(comparison: Comparison, title: str, file: BinaryIO, suffix: str) -> None:
    """Plot to an open file, as SVG or PNG depending on the suffix.

    Raises:
        MissingLibrary: matplotlib is not installed.
    """
    rows = len(comparison.samples)
    figure = figures().Figure(figsize=(11, 1.6 + 2.1 * rows), layout="constrained")
    figure.suptitle(printable(title), fontsize=10, parse_math=False)  # a $ in a file name does not begin a formula
    panels = figure.subplots(rows, 2, squeeze=False, sharex="col", sharey=True)
    for samples, (left, right) in zip(comparison.samples, panels, strict=True):
        _draw_size(left, comparison, samples)
        _draw_speed(right, comparison, samples)
    panels[0][0].invert_yaxis()
    speed_at = f"{middle(comparison):g} s frames"
    panels[0][0].set_title(
        f"Size (version {DEFAULT_VERSION}, records {VERSION}), % of the same message as JSON", fontsize=10
    )
    panels[0][1].set_title(f"Times as fast as orjson (bars) and json (diamonds), {speed_at}", fontsize=10)
    panels[-1][0].set_xlabel("% of JSON's bytes: left of the dashed line is smaller than JSON", fontsize=8)
    panels[-1][1].set_xlabel("right of the dashed line is faster (logarithmic)", fontsize=8)
    for column, name in ((0, "frames of"), (1, "")):
        handles, labels = panels[0][column].get_legend_handles_labels()
        panels[-1][column].legend(
            handles,
            labels,
            title=name,
            fontsize=8,
            title_fontsize=8,
            ncols=len(labels),
            loc="upper center",
            bbox_to_anchor=(0.5, -0.22),
            frameon=False,
        )
    figure.savefig(file, format=suffix.removeprefix("."), dpi=150)


def _draw_size(axes: Any, comparison: Comparison, samples: Samples) -> None:
    series = {
        f"{seconds:g} s": [100 * _against(comparison, Case(samples, seconds, way), ORJSON)[0] for way in SHORT]
        for seconds in comparison.frame_seconds
    }
    for name, color, positions, values, height in _bars(series, SHADES):
        drawn = axes.barh(positions, values, height=height, color=color, label=name)
        axes.bar_label(drawn, ["" if isnan(value) else f"{value:.0f}%" for value in values], padding=2, fontsize=7)
    axes.axvline(100, color="black", linewidth=1, linestyle="--")
    json = comparison.costs[Case(samples, middle(comparison), ORJSON)]
    axes.set_ylabel(f"{TITLES[samples]}\nJSON: {size(json.size)} for {middle(comparison):g} s", fontsize=9)
    axes.set_yticks(range(len(SHORT)), [form(way) for way in SHORT], fontsize=8)
    _finish(axes)


def _draw_speed(axes: Any, comparison: Comparison, samples: Samples) -> None:
    cases = [Case(samples, middle(comparison), way) for way in SHORT]
    speeds = {rival: [_against(comparison, case, rival)[1:] for case in cases] for rival in (ORJSON, JSON)}
    series = {
        "encode": [encode for encode, _ in speeds[ORJSON]],
        "decode": [decode for _, decode in speeds[ORJSON]],
    }
    axes.set_xscale("log")
    for name, color, positions, values, height in _bars(series, (ENCODE, DECODE)):
        axes.barh(positions, [value - 1 for value in values], left=1, height=height, color=color, label=name)
        for position, value in zip(positions, values, strict=True):
            if isnan(value):
                continue
            # left of the bar, since the diamonds lie to its right
            axes.annotate(
                times(value),
                (min(value, 1), position),
                (-3, 0),
                textcoords="offset points",
                va="center",
                ha="right",
                fontsize=7,
            )
        against_json = [speed[name == "decode"] for speed in speeds[JSON]]
        axes.plot(against_json, positions, "D", color=color, markersize=4, markeredgecolor="black", markeredgewidth=0.5)
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}{TIMES}")
    _finish(axes)


def _against(comparison: Comparison, case: Case, rival: Way) -> tuple[float, float, float]:
    """Return the ratios to the rival; NaN for what could not be sent in this way."""
    return comparison.against(case, rival) if case in comparison.costs else (nan, nan, nan)


def _bars(
    series: dict[str, list[float]], colors: Sequence[str]
) -> Iterator[tuple[str, str, list[float], list[float], float]]:
    """Yield the name, colour, positions, values and bar height of each series: one group of bars per way to send."""
    height = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        positions = [way - 0.4 + height * (number + 0.5) for way in range(len(values))]
        yield name, colors[number], positions, values, height


def _finish(axes: Any) -> None:
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
