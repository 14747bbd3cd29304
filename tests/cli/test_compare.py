from __future__ import annotations

import gc
import itertools
import json
import re
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import command_line
import numpy as np
import pytest
from peak_memory import peak_memory
from recordings import optional, toy_ecg, uninstall

from ecgframe import MessageType, encode
from ecgframe.cli.compare import plot
from ecgframe.cli.compare import run as comparison
from ecgframe.cli.compare import views as table
from ecgframe.cli.compare.run import JSON, ORJSON, WAYS, Case, Comparison, Cost, Way
from ecgframe.cli.console import Terminal
from ecgframe.compression import zstd
from ecgframe.frame_file import ecg_messages
from ecgframe.protocol import Algorithm
from ecgframe.records import Record, RecordError, shipped_ecg, write_record

README = Path(__file__).parents[2] / "README.md"
DOCS = README.parent / "docs"
FRAMES = [way for way in WAYS if way.name == "ecgframe"]


def run(*arguments: object, code: int = 0, columns: int = 80) -> command_line.Ran:
    return command_line.run("compare", *arguments, code=code, columns=columns)


@pytest.fixture(scope="module")
def shipped() -> Comparison:
    """Measure the shipped ECG in one pass, since these tests do not depend on the accuracy of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "FEWEST_PASSES", 1)
        return comparison.compare(shipped_ecg(), 0)


@pytest.fixture
def measured(shipped, monkeypatch):
    """Let the command print and plot the measurements of ``shipped``."""

    def compare(_record, _budget, track, **_options):
        assert list(track(["a case"])) == ["a case"]
        return shipped

    monkeypatch.setattr(comparison, "compare", compare)


def made_up(samples=("float64", "counts"), lengths=(0.1, 1.0)) -> Comparison:
    """JSON: 1000 bytes, 4 ms and 2 ms; orjson a quarter of the time; frames: 500 bytes, 0.5 ms, 3 ms."""
    costs = {
        JSON: Cost(1000, 4e-3, 2e-3),
        ORJSON: Cost(1000, 1e-3, 0.5e-3),
        **dict.fromkeys(FRAMES, Cost(500, 0.5e-3, 3e-3)),
    }
    cases = itertools.product(samples, lengths, WAYS)
    return Comparison({Case(*parts): costs[parts[2]] for parts in cases}, samples, lengths, ())


def printed(comparison: Comparison, width: int = 80, print_table=table.print_short) -> str:
    console = Terminal(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        print_table(console, comparison)
        return console.export_text()


# --- measuring ---


@pytest.mark.slow
def test_every_form_length_version_and_compression_is_measured(shipped):
    assert set(shipped.costs) == {
        Case(*parts) for parts in itertools.product(("float64", "float32", "counts"), (0.05, 1, 10), WAYS)
    }
    assert {(way.version, way.compressed) for way in FRAMES} == {
        (1, False), (2, False), (2, True), (3, False), (3, True), (4, False), (4, True)
    }  # fmt: skip
    assert {way.ndarray for way in FRAMES} == {"list", "binary", None}
    algorithms = {None, Algorithm.LZ4} | ({Algorithm.ZSTD} if zstd.is_available() else set())
    assert {way.algorithm for way in FRAMES} == algorithms
    assert {way.filter for way in FRAMES} == {None, "none", "delta"}
    assert not shipped.notes


@pytest.mark.slow
def test_costs_are_of_one_frame(shipped):
    """A second of 12 leads in binary float64 takes 96,000 bytes and a small overhead."""
    cost = shipped.costs[Case("float64", 1.0, Way("ecgframe", 1, "binary", False))]
    assert 96_000 < cost.size < 96_300
    later = shipped.costs[Case("float64", 1.0, Way("ecgframe", 3, "binary", False))]
    assert later.size == cost.size + 8
    assert 0 < cost.encode < 1
    assert 0 < cost.decode < 1


@pytest.mark.slow
def test_json_is_written_without_spaces_and_orjson_alike(shipped):
    frame = shipped_ecg().physical()[:, :1000]
    bare = len(json.dumps(frame.tolist(), separators=(",", ":")))
    for rival in (JSON, ORJSON):
        assert bare < shipped.costs[Case("float64", 10.0, rival)].size / 10 < bare + 500


@pytest.mark.slow
def test_a_live_frame_of_version_4_has_the_size_that_is_promised(shipped):
    """Header included, lossless, mean over the record: 50 ms and 1 s of the shipped ECG."""
    for samples in ("counts", "float64"):  # float64 millivolts are found to be counts
        delta = {
            seconds: shipped.costs[Case(samples, seconds, Way("ecgframe", 4, None, False, "delta"))]
            for seconds in (0.05, 1.0)
        }
        assert delta[0.05].size <= 315
        assert delta[1.0].size <= 4300
        assert 100 < delta[0.05].once < 200
    share, _, _ = shipped.against(Case("float64", 0.05, Way("ecgframe", 4, None, False, "delta")), ORJSON)
    assert share <= 0.072
    none = shipped.costs[Case("counts", 0.05, Way("ecgframe", 4, None, False, "none"))]
    assert none.size == 32 + 24 + 12 * 50 * 2


def test_the_readme_has_these_sizes(shipped):
    rows = re.findall(r"^\| (float.*?|ADC.*?), (.*?) \| (\d+%) \| (\d+%) \|", README.read_text("utf-8"), re.M)
    titles = {title: samples for samples, title in table.TITLES.items()} | {"ADC counts (int16)": "counts"}
    found = {(titles[title], form): sizes for title, form, *sizes in rows}
    measured = {
        (samples, table.form(way)): [
            f"{shipped.against(Case(samples, seconds, way), ORJSON)[0]:.0%}" for seconds in (0.05, 1.0)
        ]
        for samples in table.TITLES
        for way in table.SHORT
        if (samples, way.filter) != ("float32", "delta")  # the filter is for integers
    }
    assert found == measured


def test_the_front_page_has_these_figures(shipped):
    path = DOCS / "draw_front_page.py"
    script = module_from_spec(spec := spec_from_file_location("draw_front_page", path))
    spec.loader.exec_module(script)
    for file, text in script.written(shipped).items():
        assert file.read_text("utf-8") == text, f"run python docs/{path.name}"


def test_sizes_are_means_over_the_recording(shipped):
    """Those of all 200 frames of 50 ms, not of the 16 that are timed."""
    messages = list(ecg_messages(shipped_ecg(), 50))
    assert len(messages) == 200
    sizes = [len(encode(MessageType.ECG_DATA, message, version=1)) for message in messages]
    found = shipped.costs[Case("counts", 0.05, Way("ecgframe", 1, "list", False))].size
    assert found == sum(sizes) / 200
    assert found != sum(sizes[:16]) / 16


@pytest.mark.slow
def test_long_recordings_are_sized_in_part_unless_all_is_asked_for(monkeypatch):
    monkeypatch.setattr(comparison, "MOST_SAMPLES", 40 * 18)
    record = Record(toy_ecg().signal[:, :3600], 360, ("MLII",), gain=(200.0,), baseline=(0,))
    part = comparison.compare(record, 0)
    note = "Sizes for 0.05 s: of 40 of 200 frames, spread over the recording; --whole measures all."
    assert note in part.notes
    whole = comparison.compare(record, 0, whole=True)
    assert not whole.notes
    case = Case("counts", 0.05, Way("ecgframe", 4, None, False, "delta"))
    assert part.costs[case].size != whole.costs[case].size
    unnumbered = comparison.compare(record, 0, whole=True, sequence=False)
    assert whole.costs[case].size - unnumbered.costs[case].size == 8


def test_ratios_are_shares_of_size_and_factors_of_speed():
    share, encode, decode = made_up().against(Case("counts", 1.0, FRAMES[0]), JSON)
    assert (share, encode, decode) == (0.5, 8, pytest.approx(2 / 3))


def test_a_short_recording_leaves_out_the_frames_it_cannot_fill():
    found = comparison.compare(Record(shipped_ecg().signal[:, :500], 1000, shipped_ecg().leads), 0)
    assert found.frame_seconds == (0.05,)
    assert "No frames of 1 s and 10 s: the recording is 0.5 s long." in found.notes


def test_a_recording_shorter_than_any_frame_is_refused():
    with pytest.raises(RecordError, match=r"0\.04 s long, shorter than the shortest frame, 0\.05 s"):
        comparison.compare(Record(shipped_ecg().signal[:, :40], 1000, shipped_ecg().leads), 0)


def test_a_physical_recording_has_no_counts():
    found = comparison.compare(Record(toy_ecg().physical()[:, :400], 360, ("MLII",)), 0)
    assert found.samples == ("float64", "float32")
    assert "No ADC counts: the recording holds physical values." in found.notes


def test_counts_of_unknown_gain_have_no_millivolts():
    found = comparison.compare(Record(toy_ecg().signal[:, :400], 360, ("MLII",), "counts"), 0)
    assert found.samples == ("counts",)
    assert any("does not say its gain" in note for note in found.notes)


def test_frames_without_a_sample_are_left_out():
    found = comparison.compare(Record(np.arange(60, dtype="int16").reshape(2, 30), 10, ("I", "II")), 0)
    assert found.frame_seconds == (1.0,)
    assert "No frames of 0.05 s: they hold no sample at 10 Hz." in found.notes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "lead", "why"),
    [("int64", "I", "this message cannot be a record"), ("int16", "I" * 5000, "a template of 50")],
)
def test_samples_that_cannot_be_a_record_are_compared_in_the_other_forms(tmp_path, dtype, lead, why):
    record = Record(np.arange(600).reshape(2, 300).astype(dtype), 250, (lead, "II"), "counts")
    found = comparison.compare(record, 0)
    assert any(note.startswith(f"No records of counts: {why}") for note in found.notes)
    assert {way.version for way in found.ways("counts")} == {None, 1, 2, 3, 4}
    assert "list, compressed" in printed(found)
    assert "V1 binary" in printed(found, 200, table.print_all)
    optional("matplotlib.figure")
    with (tmp_path / "x.svg").open("wb") as file:
        plot.draw(found, "title", file, ".svg")


def test_missing_samples_can_be_compared():
    physical = toy_ecg().physical()[:, :400].copy()
    physical[0, 3] = np.nan
    assert comparison.compare(Record(physical, 360, ("MLII",)), 0).costs


def test_long_recordings_are_sampled_all_over():
    record = toy_ecg()
    chosen = [message["sequence"] for message in comparison._spread(record, 1.0, "counts")]
    assert len(chosen) == comparison.MOST_FRAMES
    assert (chosen[0], chosen[-1]) == (0, 299)
    assert len(comparison._spread(shipped_ecg(), 10.0, "counts")) == 1


def test_a_way_that_does_not_give_back_its_samples_stops_the_comparison(monkeypatch):
    monkeypatch.setattr(Way, "coder", lambda _way, _samples: (lambda _message: b"", lambda _frame: np.zeros(3), int))
    with pytest.raises(AssertionError, match="does not give back what it was given"):
        comparison.compare(shipped_ecg(), 0)


def test_the_best_pass_counts_and_three_are_made(monkeypatch):
    # the start; before and after each of three passes of 8, 4 and 10; then, whether there is time for a fourth
    times = iter([0, 0, 8, 10, 14, 20, 30, 31])
    monkeypatch.setattr(comparison, "perf_counter", lambda: next(times))
    calls = []
    assert comparison._best(calls.append, ["a", "b"], 0) == 2
    assert calls == ["a", "b"] * 3


def test_the_time_given_is_used(monkeypatch):
    times = iter(range(1000))
    monkeypatch.setattr(comparison, "perf_counter", lambda: next(times))
    calls = []
    comparison._best(calls.append, ["a"], 20)
    assert len(calls) > comparison.FEWEST_PASSES


@pytest.mark.parametrize("collecting", [True, False])
def test_measuring_leaves_the_garbage_collector_as_it_was(collecting):
    before = gc.isenabled()
    (gc.enable if collecting else gc.disable)()
    try:
        seen = []
        comparison._best(lambda _item: seen.append(gc.isenabled()), [0], 0)
        assert gc.isenabled() == collecting
        assert not any(seen)
    finally:
        (gc.enable if before else gc.disable)()


# --- showing ---


def test_the_short_table_says_what_json_costs_and_what_frames_do_to_it():
    lines = [line.split() for line in printed(made_up()).splitlines()]
    assert ["float64", "mV", "as", "JSON", *"1 kB 1 kB 4 ms 1 ms 2 ms 500 µs".split()] in lines  # noqa: SIM905
    factors = [f"{factor}{table.TIMES}" for factor in ("8.0", "2.0", "0.7", "0.2")]
    assert ["list,", "compressed", "50%", "50%", *factors] in lines


def test_the_short_table_is_short_and_fits_a_terminal(shipped):
    text = printed(shipped)
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 56
    assert "…" not in text
    for word in ("Size", "Encode", "Decode", "list", "binary", "compressed", "orjson", "array.tolist()", "--all"):
        assert word in text


def test_the_short_table_ends_with_the_smallest_and_the_fastest():
    text = printed(made_up(), 200)
    assert "Smallest for 1 s: float64 mV as a list, 500 B; float64 mV as JSON takes 1 kB." in text
    assert "Fastest for 1 s: float64 mV as a list, 500 µs to encode and 3 ms to decode; orjson takes 1 ms" in text


def test_speeds_are_shown_at_the_only_length_there_is():
    assert "orjson take for 0.1 s" in printed(made_up(lengths=(0.1,)), 200)


def test_the_long_table_has_every_measurement(shipped):
    text = printed(shipped, 120, table.print_all)
    assert "…" not in text
    rows = [line for line in text.splitlines() if line.startswith(("float64", "float32", "ADC"))]
    assert len(rows) == len(shipped.costs) == 9 * len(WAYS)


@pytest.mark.slow
def test_by_default_the_shipped_ecg_is_measured():
    out = run("--budget", 0).output
    assert out.startswith("the shipped 12-lead ECG: 12 leads (I, II, III, aVR, ")
    assert "ADC counts as JSON" in out


@pytest.mark.usefixtures("measured")
def test_a_terminal_says_itself_how_wide_it_is(monkeypatch):
    monkeypatch.setattr(Terminal, "is_terminal", True)
    lines = run(columns=80).output.splitlines()
    assert max(len(line) for line in lines if not line.startswith("the shipped 12-lead ECG")) <= 80


@pytest.mark.usefixtures("measured")
def test_everything_can_be_shown():
    assert "V1 binary" in run("--all").output


@pytest.mark.usefixtures("measured")
def test_leads_of_the_shipped_ecg_can_be_chosen():
    assert run("--leads", "V5,II").output.startswith("the shipped 12-lead ECG: 2 leads (V5, II), ")


@pytest.mark.usefixtures("measured")
def test_json_is_all_that_goes_to_stdout(shipped):
    result = run("--json")
    found = json.loads(result.stdout)
    assert found["record"]["leads"] == list(shipped_ecg().leads)
    assert found["measured_with"]["numpy"] == np.__version__
    assert len(found["measurements"]) == 9 * len(WAYS)
    binary = next(
        entry
        for entry in found["measurements"]
        if (entry["samples"], entry["frame_seconds"], entry["version"], entry["ndarray"], entry["compressed"])
        == ("counts", 1.0, 3, "binary", False)
    )
    case = Case("counts", 1.0, Way("ecgframe", 3, "binary", False))
    assert binary["bytes"] == shipped.costs[case].size
    assert binary["of_json"] == shipped.against(case, JSON)[0]
    assert binary["encode_us"] > 0


def test_a_recording_of_ones_own_is_measured(tmp_path):
    with (tmp_path / "toy.npz").open("wb") as file:
        write_record(Record(toy_ecg().signal[:, :500], 360, ("MLII",), "counts"), file, ".npz")
    out = run(tmp_path / "toy.npz", "--budget", 0, columns=300).output
    assert "No frames of 10 s: the recording is 1.389 s long." in out
    assert "Counts only" in out
    assert "error: " in run(tmp_path / "nothing", code=1).output


# --- drawing ---


@pytest.mark.slow
@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_the_comparison_can_be_drawn(tmp_path, suffix, magic):
    optional("matplotlib.figure")
    target = tmp_path / f"plot{suffix}"
    run("--plot", target)
    assert target.read_bytes().startswith(magic)
    assert "is there already" in run("--plot", target, code=2, columns=200).output


@pytest.mark.slow
def test_a_drawing_of_one_kind_of_samples_and_one_length(tmp_path):
    optional("matplotlib.figure")
    with (tmp_path / "x.svg").open("wb") as file:
        plot.draw(made_up(samples=("counts",), lengths=(0.1,)), "title", file, ".svg")
    assert "<svg" in (tmp_path / "x.svg").read_text()


def test_other_formats_of_drawings_are_refused():
    assert "must end in .svg or .png" in run("--plot", "x.pdf", code=2, columns=200).output


def test_without_matplotlib_nothing_is_measured_in_vain(tmp_path, monkeypatch):
    uninstall(monkeypatch, "matplotlib")
    monkeypatch.setattr(comparison, "compare", lambda *_args: pytest.fail("measured"))
    out = run("--budget", 0, "--plot", tmp_path / "x.png", code=1, columns=200).output
    assert 'drawing needs matplotlib, which is not installed: pip install "ecgframe[plot]"' in out
    assert not list(tmp_path.iterdir())


def test_frames_of_floats_are_the_physical_values():
    record = replace(shipped_ecg(), missing=int(shipped_ecg().signal[0, 1500]))
    for samples, dtype in (("float64", np.float64), ("float32", np.float32)):
        frames = comparison._spread(record, 1.0, samples)
        for frame in frames:
            start = frame["sequence"] * 1000
            expected = record.physical()[:, start : start + 1000].astype(dtype)
            np.testing.assert_array_equal(frame["signal"], expected, strict=True)
            assert not {"gain", "baseline", "missing"} & set(frame)


@pytest.mark.slow
def test_a_large_recording_is_compared_in_little_memory(tmp_path):
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.int16, (12, 6_000_000)).flush()
    code = """
    app(["compare", sys.argv[1], "--sampling-rate", "250", "--gain", "200", "--budget", "1"], standalone_mode=False)
    """
    first = "from ecgframe.cli.app import app; import ecgframe.cli.compare.run"
    assert peak_memory(code, tmp_path / "a.npy", first=first) < 160 * 1024 * 1024
