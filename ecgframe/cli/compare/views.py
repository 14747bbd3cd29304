"""The comparison as a table: a short one, and a long one with every measurement."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from ...protocol import COMPRESSION_LEVEL, COMPRESSION_THRESHOLD, DEFAULT_VERSION, HEADER_SIZES, STANDALONE_VERSIONS
from ...tools.record_coder import VERSION
from ..console import Terminal
from ..formats import size
from .run import JSON, ORJSON, WAYS, Case, Comparison, Cost, Samples, Way

TIMES = "\N{MULTIPLICATION SIGN}"
TITLES: dict[Samples, str] = {"float64": "float64 mV", "float32": "float32 mV", "counts": "ADC counts"}
SHORT = [way for way in WAYS if way.version == DEFAULT_VERSION or way.filter is not None]
"""The ways that the short table shows: those of the newest version that needs no session, and records. Older versions
save a few bytes of header."""


def print_short(console: Terminal, comparison: Comparison) -> None:
    """Print sizes for every frame length and speeds for one: a line for each kind of samples and way to send them."""
    speed_at = middle(comparison)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("\nSamples", no_wrap=True)
    for seconds in comparison.frame_seconds:
        table.add_column(f"Size\n{seconds:g} s", justify="right", no_wrap=True)
    for direction in ("Encode", "Decode"):
        for rival in ("json", "orjson"):
            table.add_column(f"{direction}\n{rival}", justify="right", no_wrap=True)
    for samples in comparison.samples:
        table.add_row(*_json_line(comparison, samples, speed_at), style="bold")
        for way in short(comparison, samples):
            table.add_row(*_frame_line(comparison, samples, way, speed_at))
        table.add_row()
    console.print(table)
    for word, rest in _in_short(comparison, speed_at):
        console.print(Text.assemble((word, "bold"), rest))
    console.print()
    console.print(_legend(comparison, speed_at))


def print_all(console: Terminal, comparison: Comparison) -> None:
    """Print every measurement: a line for each kind of samples, frame length and way to send them."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("\nSamples", no_wrap=True)
    table.add_column("\nFrame", justify="right", no_wrap=True)
    table.add_column("\nSent as", no_wrap=True)
    for heading in ("\nBytes", "of\nJSON", "\nEncode", "vs\njson", "vs\norjson", "\nDecode", "vs\njson", "vs\norjson"):
        table.add_column(heading, justify="right", no_wrap=True)
    for samples in comparison.samples:
        for seconds in comparison.frame_seconds:
            for way in comparison.ways(samples):
                table.add_row(*_full_line(comparison, Case(samples, seconds, way)))
            table.add_row()
    console.print(table)
    console.print(
        "Bytes, encode and decode are per frame. vs: how many times as fast as json or orjson on the same message; "
        f"below 1{TIMES} is slower.",
        highlight=False,
    )


def short(comparison: Comparison, samples: Samples) -> list[Way]:
    """Return the ways that the short table shows for samples of a kind."""
    return [way for way in comparison.ways(samples) if way in SHORT]


def middle(comparison: Comparison) -> float:
    """Return the frame length whose speeds are shown: one second, if the recording is that long."""
    return comparison.frame_seconds[min(1, len(comparison.frame_seconds) - 1)]


def form(way: Way) -> str:
    """Describe how the samples are sent, such as "binary, compressed" or "record, delta"."""
    name = str(way.ndarray) if way.filter is None else "record, delta" if way.filter == "delta" else "record"
    if way.algorithm is not None:
        return f"{name}, {way.algorithm.name}"
    return f"{name}, compressed" if way.compressed else name


def _json_line(comparison: Comparison, samples: Samples, speed_at: float) -> Iterator[str]:
    yield f"{TITLES[samples]} as JSON"
    for seconds in comparison.frame_seconds:
        yield size(comparison.costs[Case(samples, seconds, ORJSON)].size)
    json, orjson = (comparison.costs[Case(samples, speed_at, rival)] for rival in (JSON, ORJSON))
    yield from map(_time, (json.encode, orjson.encode, json.decode, orjson.decode))


def _frame_line(comparison: Comparison, samples: Samples, way: Way, speed_at: float) -> Iterator[Text | str]:
    yield f"  {form(way)}"
    for seconds in comparison.frame_seconds:
        yield _share(comparison.against(Case(samples, seconds, way), ORJSON)[0])
    case = Case(samples, speed_at, way)
    _, encode_json, decode_json = comparison.against(case, JSON)
    _, encode_orjson, decode_orjson = comparison.against(case, ORJSON)
    yield from map(_times, (encode_json, encode_orjson, decode_json, decode_orjson))


def _full_line(comparison: Comparison, case: Case) -> Iterator[Text | str]:
    cost: Cost = comparison.costs[case]
    _, encode_json, decode_json = comparison.against(case, JSON)
    share, encode_orjson, decode_orjson = comparison.against(case, ORJSON)
    yield TITLES[case.samples]
    yield f"{case.frame_seconds:g} s"
    yield case.way.name if case.way.version is None else f"V{case.way.version} {form(case.way)}"
    yield f"{cost.size:,.0f}"
    yield _share(share)
    yield _time(cost.encode)
    yield from map(_times, (encode_json, encode_orjson))
    yield _time(cost.decode)
    yield from map(_times, (decode_json, decode_orjson))


def _share(share: float) -> Text:
    return Text(f"{share:.0%}", style="green" if share <= 1 else "red")


def times(factor: float) -> str:
    """Format a factor with two significant digits and a multiplication sign, such as 0.05, 0.6, 63 or 1,209."""
    digits = 0 if factor >= 9.95 else 1 if factor >= 0.095 else 2
    return f"{factor:,.{digits}f}{TIMES}"


def _times(factor: float) -> Text:
    return Text(times(factor), style="green" if factor >= 1 else "red")


def _time(seconds: float) -> str:
    unit, factor = ("ms", 1e-3) if seconds >= 0.9995e-3 else ("µs", 1e-6)
    value = seconds / factor
    return f"{value:,.0f} {unit}" if value >= 99.95 else f"{value:.3g} {unit}"


def _in_short(comparison: Comparison, seconds: float) -> Iterator[tuple[str, str]]:
    """Yield the smallest and the fastest frame, each as a heading and its text."""
    frames = {
        Case(samples, seconds, way): comparison.costs[Case(samples, seconds, way)]
        for samples in comparison.samples
        for way in short(comparison, samples)
    }
    smallest = min(frames, key=lambda case: frames[case].size)
    quickest = min(frames, key=lambda case: frames[case].encode + frames[case].decode)
    first = comparison.samples[0]
    orjson = comparison.costs[Case(first, seconds, ORJSON)]
    yield (
        "Smallest",
        f" for {seconds:g} s: {_sent(smallest)}, {size(frames[smallest].size)}; "
        f"{TITLES[first]} as JSON takes {size(orjson.size)}.",
    )
    yield (
        "Fastest",
        f" for {seconds:g} s: {_sent(quickest)}, {_time(frames[quickest].encode)} to encode and "
        f"{_time(frames[quickest].decode)} to decode; orjson takes {_time(orjson.encode)} and {_time(orjson.decode)} "
        f"for {TITLES[first]}.",
    )


def _sent(case: Case) -> str:
    compressed = "compressed " if case.way.compressed else ""
    if case.way.filter is not None:
        return f"{TITLES[case.samples]} as a {compressed}{'delta ' if case.way.filter == 'delta' else ''}record"
    return f"{TITLES[case.samples]} as {'a ' if case.way.ndarray == 'list' else ''}{compressed}{case.way.ndarray}"


def _template_bytes(comparison: Comparison) -> int:
    """Bytes of the largest template."""
    return max((cost.once for cost in comparison.costs.values()), default=0)


def _legend(comparison: Comparison, speed_at: float) -> Table:
    lengths = " and ".join(f"{seconds:g}" for seconds in comparison.frame_seconds[-2:])
    lengths = ", ".join([f"{seconds:g}" for seconds in comparison.frame_seconds[:-2]] + [lengths])
    fewer = HEADER_SIZES[DEFAULT_VERSION] - HEADER_SIZES[STANDALONE_VERSIONS[0]]
    lines = {
        "Bold lines": f"One message as JSON: its size for {lengths} s of samples, and the time that json (of Python) "
        f"and orjson take for {speed_at:g} s. The indented lines below are the same message as a frame of version "
        f"{DEFAULT_VERSION}:",
        "Size": "Share of the size of JSON. Above 100%, the frame is larger than JSON.",
        "Encode": f"Array to bytes: how many times as fast as json and orjson. Below 1{TIMES} is slower.",
        "Decode": "Bytes to array, likewise.",
        "list": "Samples as a list of numbers, which every receiver reads.",
        "binary": "Samples as raw bytes, read without a copy, for receivers that announce the capability.",
        "record": f"Version {VERSION}: samples without the fields that never change, which a template of "
        f"{_template_bytes(comparison):,} bytes holds, sent once.",
        "delta": "With the filter for ECG. float64 that were counts travel as these, and arrive as the same floats; "
        "float32 stays as it is.",
        "compressed": f"zlib at level {COMPRESSION_LEVEL}, for payloads above {COMPRESSION_THRESHOLD} bytes.",
        "JSON": "Written without spaces, by orjson from the array and by json from array.tolist(). The decoded list is "
        "converted to an array.",
        "--all": "Shows every version, algorithm and number. "
        f"Frames of versions 1 and 2 are {fewer} bytes shorter; version 1 never compresses.",
    }
    legend = Table.grid(padding=(0, 2, 0, 0))
    for name, meaning in lines.items():
        legend.add_row(Text(name, style="bold"), meaning)
    return legend
