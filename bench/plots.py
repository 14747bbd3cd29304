"""Plots of the measurements. A candidate has the same colour in all of them."""

from collections.abc import Callable, Mapping, Sequence
from math import log10
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

ECGFRAME = "#0b5cad"
FLOOR = "#5f5f5f"
COLOURS = {
    "ecgframe": ECGFRAME,
    "json": "#8c564b",
    "orjson": "#d95f02",
    "msgpack": "#b8860b",
    "msgspec": "#1b9e77",
    "ormsgpack": "#c2185b",
    "protobuf": "#7b3fa0",
    "arrow": "#3f9bc4",
    "handler": ECGFRAME,
    "`websockets`": "#8c564b",
    "picows": "#d95f02",
    "Bun": "#c2185b",
    "Node": "#1b9e77",
    "Starlette": "#7b3fa0",
    "python-socketio": "#b8860b",
}
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "ecgframe",  # the same numbers give the same file
}
NO_DATE = {"Date": None}
OURS = ("ecgframe", "handler")
"""How the names of our own lines begin, which are drawn wide."""
LEADER = {"arrowstyle": "-", "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 3}

Series = Mapping[str, Sequence[float]]


def colour(name: str) -> str:
    """Return the colour of a peer, the same for all its variants."""
    return FLOOR if name.startswith("(") else COLOURS[name.split(maxsplit=1)[0].rstrip(",")]


def dashes(name: str) -> str:
    """Return the line style: dashed for samples as raw bytes and for version 3, dotted for the floor."""
    if name.startswith("("):
        return ":"
    return "--" if name.endswith(("binary form", "+ tobytes", ", version 3")) else "-"


def over_size(path: Path, title: str, nbytes: Sequence[int], shapes: Sequence[str], seconds: Series) -> None:
    """Plot times over message size, both logarithmic, with the name of each line at its end."""
    ticks = [f"{shape}\n{_size(n)}" for shape, n in zip(shapes, nbytes, strict=True)]
    names = {"xlabel": "samples of a message, as float64", "ylabel": "time a message"}
    _over(path, title, nbytes, ticks, seconds, _time, names)


def over_counts(path: Path, title: str, counts: Sequence[int], microseconds: Series, what: str) -> None:
    """Plot the cost of a delivered frame over the number of something, such as viewers, both logarithmic."""
    ticks = [f"{count:,}" for count in counts]
    _over(path, title, counts, ticks, microseconds, lambda value: f"{value:g} µs", {"xlabel": what})


def _over(
    path: Path,
    title: str,
    places: Sequence[int],
    ticks: Sequence[str],
    series: Series,
    in_words: Callable[[float], str],
    names: Mapping[str, str],
) -> None:
    """Plot series over places that have ticks, both logarithmic; ``names`` are those of the axes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 6), layout="constrained")
        axes = figure.subplots()
        for name, values in series.items():
            wide = 2.4 if name.startswith(OURS) else 1.4
            axes.plot(places, values, dashes(name), color=colour(name), linewidth=wide, marker="o", markersize=3)
        axes.set(xscale="log", yscale="log", **names)
        axes.set_title(title, loc="left", fontsize=11, pad=12)
        axes.set_xticks(places, ticks)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_words(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(which="major")
        axes.grid(which="minor", axis="y", alpha=0.4)
        _name_the_ends(axes, places[-1], {name: values[-1] for name, values in series.items()})
        figure.savefig(path, metadata=NO_DATE)


def _name_the_ends(axes: Axes, x: float, ends: Mapping[str, float]) -> None:
    low, high = map(log10, axes.get_ylim())
    places = spread({name: (log10(value) - low) / (high - low) for name, value in ends.items()}, 0.042)
    for name, place in places.items():
        axes.annotate(
            name,
            xy=(x, ends[name]),
            xytext=(1.035, place),
            textcoords="axes fraction",
            color=colour(name),
            va="center",
            weight="bold" if name.startswith(OURS) else "normal",
            arrowprops={"color": colour(name), **LEADER},
            annotation_clip=False,
        )


def spread(wanted: Mapping[str, float], apart: float) -> dict[str, float]:
    """Return positions as near as possible to the wanted ones, in the same order, with a minimum distance."""
    names = sorted(wanted, key=wanted.__getitem__)
    clusters: list[tuple[list[str], float]] = []  # names, and where their middle lies
    for name in names:
        clusters.append(([name], wanted[name]))
        while len(clusters) > 1:
            (lower, below), (upper, above) = clusters[-2:]
            if above - below >= apart * (len(lower) + len(upper)) / 2:
                break
            both = lower + upper
            clusters[-2:] = [(both, sum(wanted[one] for one in both) / len(both))]
    return {
        name: middle + apart * (i - (len(group) - 1) / 2) for group, middle in clusters for i, name in enumerate(group)
    }


def sizes(path: Path, title: str, percent: Mapping[str, Mapping[str, float]], nbytes: Series) -> None:
    """Plot sizes as bars, in percent of JSON, with a panel for each dtype."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.9 + 0.27 * len(nbytes)), layout="constrained")
        panels = figure.subplots(1, len(percent), sharey=True)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        for i, (axes, (dtype, shares)) in enumerate(zip(panels, percent.items(), strict=True)):
            names = list(shares)
            bars = axes.barh(names, list(shares.values()), color=[colour(name) for name in names], height=0.72)
            labels = axes.bar_label(bars, [f"{nbytes[name][i]:,.0f}" for name in names], padding=3, fontsize=8)
            for label in labels:
                label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
            axes.axvline(100, color=FLOOR, linewidth=0.8, linestyle=":", zorder=0)
            axes.set_title(dtype, fontsize=10, loc="left")
            axes.set_xlim(0, 1.28 * max(max(found.values()) for found in percent.values()))
            axes.set_xlabel("% of JSON's bytes; bytes at the bars", fontsize=8)
            axes.tick_params(axis="y", length=0)
        panels[0].invert_yaxis()
        for label in panels[0].get_yticklabels():
            label.set_weight("bold" if label.get_text().startswith("ecgframe") else "normal")
        figure.savefig(path, metadata=NO_DATE)


def memory(path: Path, title: str, panels: Mapping[str, Mapping[str, float]]) -> None:
    """Plot memory as bars on a logarithmic axis, with a panel for each direction."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.9 + 0.27 * max(map(len, panels.values()))), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        for axes, (heading, nbytes) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
            names = list(nbytes)
            shown = [max(nbytes[name], 100) for name in names]
            bars = axes.barh(names, shown, color=[colour(name) for name in names], height=0.72)
            axes.bar_label(bars, [_size(nbytes[name]) for name in names], padding=3, fontsize=8)
            axes.set_xscale("log")
            axes.set_xlim(100, 6 * max(shown))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(heading, fontsize=10, loc="left")
            axes.tick_params(axis="y", length=0)
            axes.invert_yaxis()
            for label in axes.get_yticklabels():
                label.set_weight("bold" if label.get_text().startswith("ecgframe") else "normal")
        figure.savefig(path, metadata=NO_DATE)


def _time(seconds: float) -> str:
    for unit, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds / 1e-9:g} ns"


def _size(nbytes: float) -> str:
    for unit, name in ((1e6, "MB"), (1e3, "kB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.3g} {name}"
    return f"{nbytes:.0f} B"
