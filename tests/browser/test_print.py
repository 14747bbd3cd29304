"""Printed and saved strips: to scale, with all texts, and sample for sample as served."""

from __future__ import annotations

import io
import re
import signal
import time
import zipfile

import numpy as np
import pytest
from cli.live_server import LiveServer, live
from recordings import optional

from browser.accessibility import check_accessible, with_axe
from browser.monitor import PHONE, Played, fifteen_leads, saved
from browser.paper import PER_MILLIMETRE, ink_off, measure, printed
from browser.publishing import publishing
from ecgframe.records import Record, read_record, shipped_ecg

HOSTILE = ('=HYPERLINK("http://127.0.0.1/")', "@SUM(1,2)", "a very long name " * 30, "µ\u202e\n2", "II")

OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("#print .preview text.lead")].map(each => each.getBoundingClientRect());
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return [boxes.length, boxes.filter((one, i) => boxes.some((other, j) => i < j && meet(one, other))).length];
}"""


def pdf_of(monitor):
    return printed(monitor.page.pdf(prefer_css_page_size=True))


def download(monitor, button):
    """The name and the bytes of what a button of the dialog saves."""
    with monitor.page.expect_download() as found:
        monitor.page.click(f"#{button}")
    assert found.value.failure() is None
    return found.value.suggested_filename, found.value.path().read_bytes()


def wfdb_of(monitor, directory):
    """The record in the zip, unpacked, as ``read_record`` has it; and its path without a suffix."""
    _, packed = download(monitor, "save-wfdb")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        archive.extractall(directory)
        [header] = [name for name in archive.namelist() if name.endswith(".hea")]
    return read_record(directory / header), directory / header.removesuffix(".hea")


def test_the_browsers_own_print_is_a_sheet_and_not_the_screen(open_monitor):
    with live("--leads", "II", "--speed", 4) as server:
        monitor = open_monitor(server.port)
        monitor.wait("s.end > 10500")
        [sheet] = pdf_of(monitor)
        for text in ("Stream ecg/1", "25 mm/s", "Patient not stated", "Filter not stated", "When taken: live"):
            assert text in sheet.text
        assert "Freeze" not in sheet.text
        assert monitor.page.locator("#print-pages svg").count() == 0  # nothing of it stays
        monitor.check_quiet()


def test_a_printed_sheet_is_to_scale_and_shows_what_is_saved(open_monitor, tmp_path):
    with live("--speed", 4) as server:
        monitor = open_monitor(server.port)
        page = monitor.page
        monitor.wait("s.end > 12000")
        page.keyboard.press("e")
        assert page.is_visible("#print")
        record, _ = wfdb_of(monitor, tmp_path)
        a4, letter = ("a4", (297, 210)), ("letter", (279.4, 215.9))
        for (paper, size), layout, rows in (
            (a4, "rhythm", 4),
            (a4, "six", 6),
            (a4, "single", 12),
            (letter, "single", 12),
        ):
            page.select_option("#print-paper", paper)
            page.select_option("#print-layout", layout)
            [sheet] = pdf_of(monitor)
            np.testing.assert_allclose((sheet.width, sheet.height), size, atol=0.3)
            assert sheet.pictures == 0
            found = measure(sheet.pixels)
            for places, length in ((found.across, 260), (found.down, 160 if paper == "a4" else 165)):
                assert len(places) > 20  # one that a flat trace lies on is not seen as red
                np.testing.assert_allclose(places, 5 * np.round(places / 5), atol=0.1)
                assert places[-1] == pytest.approx(length, abs=0.2)
            assert len(found.pulses) == rows
            for height, width, _ in found.pulses:
                assert height == pytest.approx(10, abs=0.2)
                assert width == pytest.approx(5, abs=0.2)
            for name in record.leads:
                assert name in sheet.text.split()
            assert re.search(r"HR \d\d/min \(II", sheet.text)
            # The ink of the last row is where the samples are, all over the ten seconds.
            if layout == "six":
                continue
            values = record.physical()[record.leads.index("II" if layout == "rhythm" else "V6")]
            at = np.arange(5, len(values) - 5, 97)
            x = found.left + 10 + 25 * at / record.sampling_rate
            y = found.pulses[-1][2] - 10 * values[at]
            assert ink_off(sheet, x, y).max() < 0.4
        page.select_option("#print-paper", "a4")
        page.select_option("#print-order", "cabrera")
        page.select_option("#print-layout", "single")
        [sheet] = pdf_of(monitor)
        assert "upside down" in sheet.text
        order = "aVL I \u2212aVR II aVF III V1 V2 V3 V4 V5 V6"
        assert order in " ".join(word for word in sheet.text.split() if word in order.split())
        page.select_option("#print-layout", "rhythm")
        page.select_option("#print-gain", "20")
        assert [height for height, *_ in measure(pdf_of(monitor)[0].pixels).pulses] == pytest.approx([20] * 4, abs=0.2)
        page.evaluate("window.print = () => { window.wasPrinted = true; }")
        page.click("#print-now")
        assert page.evaluate("window.wasPrinted")
        monitor.shot("print-dialog")
        monitor.check_quiet()


def test_the_files_are_what_was_served_and_of_the_same_strip(open_monitor, tmp_path):
    image = optional("PIL.Image", group="browser")
    wfdb = optional("wfdb")
    served = fifteen_leads()
    with live(saved(served, tmp_path), "--speed", 4) as server:
        monitor = open_monitor(server.port)
        page = monitor.page
        monitor.wait("s.end > 11500")
        page.keyboard.press("Space")
        page.keyboard.press("Home")
        monitor.wait("s.frozen && s.shown.from === s.start")
        page.keyboard.press("e")
        page.select_option("#print-paper", "a4")
        assert page.locator("#print .notes li").all_text_contents() == ["Missing: nothing."]

        record, path = wfdb_of(monitor, tmp_path)
        assert (record.leads, record.sampling_rate, record.units) == (served.leads, 1000, "mV")
        assert record.gain == served.gain
        assert record.baseline == served.baseline
        assert record.signal.shape == (15, 10_000)
        Played(served).check(record.physical().astype(np.float32))
        np.testing.assert_array_equal(monitor.samples(0, 10_000), record.physical().astype(np.float32))
        theirs = wfdb.rdrecord(str(path))
        np.testing.assert_allclose(theirs.p_signal.T, record.physical())
        digital = wfdb.rdrecord(str(path), physical=False)
        assert [number % 65536 for number in digital.checksum] == digital.calc_checksum()
        seconds = page.evaluate("window.ecgframe.timeOf(0)")
        assert abs(
            np.datetime64(theirs.base_datetime, "us") - np.datetime64(int(seconds * 1e6), "us")
        ) < np.timedelta64(5, "ms")
        assert "counts: those of the messages, unchanged" in theirs.comments

        name, text = download(monitor, "save-csv")
        (tmp_path / name).write_bytes(text)
        table = read_record(tmp_path / name)
        assert table.leads == served.leads
        assert (table.units, table.sampling_rate) == ("mV", 1000)
        np.testing.assert_array_equal(table.signal, record.physical())

        name, picture = download(monitor, "save-png")
        assert name.endswith(".png")
        shown = image.open(io.BytesIO(picture))
        assert shown.size == (round(297 / 25.4 * 300), round(210 / 25.4 * 300))
        assert shown.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        for height, width, _ in measure(np.asarray(shown.convert("RGB"))).pulses:
            assert height == pytest.approx(10, abs=0.2)
            assert width == pytest.approx(5, abs=0.2)

        page.select_option("#print-length", "0")
        sheets = pdf_of(monitor)
        assert len(sheets) > 1
        assert f"Page 1 of {len(sheets)}" in sheets[0].text
        name, packed = download(monitor, "save-png")
        assert len(zipfile.ZipFile(io.BytesIO(packed)).namelist()) == len(sheets)
        assert f"Saved as {name}." in page.text_content("#print .status")
        page.keyboard.press("Escape")
        assert page.is_hidden("#print")
        assert monitor.state["frozen"]
        monitor.check_quiet()


def test_gaps_and_names_of_any_kind_are_printed_safely(open_monitor, tmp_path):
    wfdb = optional("wfdb")
    of = shipped_ecg().take(["I", "II", "V1", "V2", "V3"])
    values = of.physical()[:, :8000].astype(np.float32)
    values[4, 1000:2300] = np.nan
    values[1, 5000:5200] = np.nan
    record = Record(values, 1000, HOSTILE, "mV", None, None, "holes")
    with live(saved(record, tmp_path), "--speed", 4) as server:
        monitor = open_monitor(server.port, size=PHONE, has_touch=True)
        monitor.wait("s.end > 11000")
        page = monitor.page
        page.tap("#freeze")
        page.keyboard.press("Home")
        monitor.wait("s.frozen && s.shown.from === s.start")
        page.tap("#open-menu")  # where a phone has what does not fit
        page.tap("#open-print")
        notes = page.text_content("#print .notes")
        assert re.search(r"Missing: .*\(II\)", notes)
        assert "rounded to steps of" in notes
        for layout in ("rhythm", "six", "single"):
            page.select_option("#print-layout", layout)
            assert page.evaluate(OVERLAPS) == [6 if layout == "rhythm" else 5, 0]
        [sheet] = pdf_of(monitor)
        said = " ".join(sheet.text.split())
        assert "missing 1.30 s" in said
        assert "Missing, hatched:" in said
        assert "Name in full of a very long name" in said
        grey = (np.abs(sheet.pixels.astype(int) - 0xEE) < 3).all(axis=2).sum() / PER_MILLIMETRE**2
        assert grey > 100  # square millimetres

        _, text = download(monitor, "save-csv")
        rows = [line for line in text.decode().splitlines() if not line.startswith("#")]
        assert "\n".join(rows).count(",,") + sum(row.endswith(",") for row in rows) > 1300
        for cell in re.findall(r'(?:^|[,;\t])\s*"?\s*([=+@]|-\D)', text.decode(), re.M):
            raise AssertionError(f"a cell begins with {cell}")
        assert "'=HYPERLINK" in rows[0]

        _, path = wfdb_of(monitor, tmp_path)
        theirs = wfdb.rdrecord(str(path))
        expected = monitor.samples(0, 10_000)
        assert theirs.sig_name[4] == "II"
        assert theirs.sig_name[2] == HOSTILE[2].strip()
        found = theirs.p_signal.T.astype(np.float32)
        gaps = np.isnan(found[4])
        assert gaps.sum() >= 1300
        np.testing.assert_allclose(expected, found, atol=1e-4)
        check_accessible(with_axe(page))
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        monitor.shot("print-dialog-phone")
        monitor.check_quiet()


def test_a_strip_of_a_signal_that_is_lost_says_so_and_no_signal_prints_no_ecg(open_monitor, free_port):
    server = LiveServer("--leads", "II", "--port", free_port)
    monitor = open_monitor(free_port)
    monitor.wait("s.end > 3000")
    server.end(signal.SIGKILL)
    monitor.wait("s.lost")
    monitor.page.wait_for_timeout(2500)
    monitor.page.keyboard.press("e")
    [sheet] = pdf_of(monitor)
    assert re.search(r"signal lost \(Lost\), newest sample [2-9] s old", " ".join(sheet.text.split()))
    monitor.page.keyboard.press("Escape")
    with live("--leads", "II", "--port", free_port):
        elsewhere = open_monitor(free_port, "?stream=nothing")
        elsewhere.page.wait_for_timeout(300)
        elsewhere.page.click("#open-print")
        assert "no signal yet" in elsewhere.page.text_content("#print .about")
        assert elsewhere.page.is_disabled("#save-csv")
        [sheet] = pdf_of(elsewhere)
        assert "there is no signal to print" in sheet.text


def test_a_sheet_has_what_the_messages_say_and_the_age_of_old_data(open_monitor, tmp_path):
    """Data 24 s old, whose gain changes: what is drawn is late, and no calibration holds for all of it."""
    rate, samples = 500, 50
    began = time.time() - 24

    def message(number):
        gain = 1000 if number % 2 else 500
        wave = np.sin(np.arange(number * samples, (number + 1) * samples) / 20)
        return {
            "signal": np.round(gain * np.stack([wave, -wave])).astype(np.int16),
            "sampling_rate": rate,
            "timestamp": began + number * samples / rate,
            "sequence": number,
            "leads": ["I", "II"],
            "units": "mV",
            "gain": gain,
            "patient_id": 4711,
            "device_id": "cart 3",
            "filter": {"highpass": "0.05 Hz", "lowpass": "150 Hz"},
        }

    with publishing(message, samples / rate) as port:
        monitor = open_monitor(port)
        monitor.wait("s.end > 600")
        page = monitor.page
        monitor.wait("document.getElementById('connection').textContent.startsWith('Delayed')")
        page.keyboard.press("e")
        [sheet] = pdf_of(monitor)
        said = " ".join(sheet.text.split())
        for words in (
            "Patient 4711",
            "device cart 3",
            "Filter highpass 0.05 Hz, lowpass 150 Hz",
            "The strip ends",
        ):
            assert words in said
        age = re.search(r"When taken: delayed (\d+) s", said)
        assert age is not None, said
        assert 23 <= int(age[1]) <= 40
        assert "rounded to steps of 0.00005 mV" in page.text_content("#print .notes")
        record, path = wfdb_of(monitor, tmp_path)
        start = page.evaluate("window.ecgframe.state.start")
        expected = monitor.samples(start, start + record.samples)
        np.testing.assert_allclose(record.physical(), expected, atol=0.5 / 20_000 + 1e-6)
        header = path.with_suffix(".hea").read_text()
        for line in ("# patient: 4711", "# filter: highpass 0.05 Hz, lowpass 150 Hz", "# signal when taken: delayed"):
            assert line in header
        assert "# counts of I: rounded to steps of 0.00005 mV" in header
        monitor.check_quiet()


MARKS = ("chest pain", "given 300 mg of amiodarone over twenty minutes, " * 4, "")

FLAGS = """() => {
  const box = at => at.getBoundingClientRect();
  const texts = [...document.querySelectorAll("#print .preview text.flag")];
  const grid = Math.min(...[...document.querySelectorAll("#print .preview .bold")].map(at => box(at).top));
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const all = [...document.querySelectorAll("#print .preview text")].map(box);
  return {
    texts: texts.map(at => at.textContent),
    over: texts.filter(at => box(at).bottom > grid + 1).length,
    overlapping: texts.filter(at => all.filter(other => meet(box(at), other)).length > 1).length,
  };
}"""
"""The texts of the flags, and how many of them are over the grid or over other texts."""


def test_the_marks_of_the_printed_stretch_are_on_the_sheet_and_in_the_files(open_monitor):
    with live("--speed", 4) as server:
        monitor = open_monitor(server.port)
        page = monitor.page
        monitor.wait("s.end > 11500")
        page.keyboard.press("Space")
        monitor.wait("s.frozen")
        first = page.evaluate("window.ecgframe.state.shown.from")
        ask = "samples => samples.map(sample => window.ecgframe.timeOf(sample))"
        earlier, *times = page.evaluate(ask, [first - 30_000, *(first + 1000 * second for second in (1, 3, 6))])
        moments = [(earlier, "not in this strip"), *zip(times, MARKS, strict=True)]
        page.evaluate(
            """marks => {
              const server = location.host, stream = document.querySelector("#stream").value;
              const made = marks.map(([at, text]) => ({ at, text: text.slice(0, 200).trim(), made: at }));
              localStorage.setItem("ecgframe.marks", JSON.stringify([[`${server} ${stream}`, made]]));
              dispatchEvent(new StorageEvent("storage"));
            }""",
            moments,
        )
        page.locator("#scroller .flag").first.wait_for(state="attached")
        page.keyboard.press("e")
        page.locator("#print .preview text.flag").first.wait_for()
        found = page.evaluate(FLAGS)
        assert (found["over"], found["overlapping"]) == (0, 0)
        assert found["texts"][0] == "1 chest pain"
        assert re.fullmatch(r"2 given 300 mg .*…", found["texts"][1])
        assert found["texts"][2] == "3"
        monitor.shot("print-marks")
        [sheet] = pdf_of(monitor)
        said = " ".join(sheet.text.split())
        assert re.search(r"Marks: 1 at \d\d:\d\d:\d\d\.\d{3} chest pain; 2 at .* given 300 mg", said)
        assert "not in this strip" not in said
        _, text = download(monitor, "save-csv")
        marked = [line for line in text.decode().splitlines() if "mark at" in line]
        assert len(marked) == 3
        assert "chest pain" in marked[0]
        assert marked[1].count("amiodarone") == 4
        monitor.check_quiet()
