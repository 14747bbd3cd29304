"""Messages in a notebook: what is drawn, that it is bounded, and that nothing of a message is taken for HTML."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from ecgframe import Message, MessageType, decode, encode
from ecgframe.notebook import COLUMNS, ROW, html_of, load_ipython_extension, unload_ipython_extension
from ecgframe.records import shipped_ecg


def message(**data):
    return Message(MessageType.ECG_DATA, data, 3, 0, 1_700_000_000_000_000)


def drawn(**data):
    """The element of a message: a page of XML."""
    text = html_of(message(**data))
    assert text is not None
    assert len(text.encode()) < 128 * 1024
    return ElementTree.fromstring(text)


def text_of(**data):
    return " ".join("".join(drawn(**data).itertext()).split())


def ecg(seconds=2.5):
    record = shipped_ecg()
    signal = record.signal[:, : round(seconds * record.sampling_rate)]
    return {
        "stream": "ecg/1",
        "signal": signal,
        "sampling_rate": record.sampling_rate,
        "leads": list(record.leads),
        "units": "mV",
        "gain": record.gain,
        "baseline": record.baseline,
    }


def test_leads_are_drawn_with_their_scale():
    found = decode(encode(MessageType.ECG_DATA, {**ecg(), "gain": 1000.0, "baseline": 0}))
    root = ElementTree.fromstring(html_of(found))
    assert [text.text for text in root.iter("text")] == list(shipped_ecg().leads)
    assert len(list(root.iter("path"))) == 13, "a bar, and the leads"
    told = "".join(root.itertext())
    assert "12 leads of" in told
    assert "width 2.5 s" in told
    assert " mV" in told
    assert "of ecg/1" in told


def test_a_sine_is_where_it_belongs():
    [_, path] = drawn(signal=np.sin(np.arange(100) / 10)[None], sampling_rate=100, units="mV").iter("path")
    points = [tuple(map(float, part.split())) for part in path.get("d")[1:].split("L")]
    assert len(points) == 100
    heights = [y for _, y in points]
    assert min(heights) >= 0
    assert max(heights) <= ROW
    assert heights[16] == min(heights), "up is up"


def test_missing_samples_leave_a_gap():
    signal = np.ones(100)
    signal[40:60] = np.nan
    [_, path] = drawn(signal=signal, sampling_rate=100).iter("path")
    assert path.get("d").count("M") == 2
    [_, path] = drawn(signal=[np.nan, 1, np.nan, 2, 3], sampling_rate=100).iter("path")
    assert path.get("d").count("h1") == 1, "a single sample is seen"
    assert list(drawn(signal=np.full(5, np.nan), sampling_rate=100).iter("path"))


def test_spikes_between_columns_are_seen():
    signal = np.zeros(100 * COLUMNS)
    signal[31_234] = 1
    [_, path] = drawn(signal=signal, sampling_rate=1000).iter("path")
    assert len({part.split()[1] for part in path.get("d")[1:].split("L")}) == 2, "one column is another one"


def test_nothing_of_a_message_is_html():
    evil = '<script>alert(1)</script>"&\x00'
    root = drawn(signal=np.ones((1, 5)), sampling_rate=1, leads=[evil], units=evil, stream=evil)
    assert not list(root.iter("script"))
    assert "<script>" in "".join(root.itertext())
    assert "<script>" not in html_of(message(signal=evil, sampling_rate=1, stream=evil))


@pytest.mark.parametrize("shape", [(300, 2000), (1, 3_000_000), (3_000_000, 1), (12, 100_000)])
def test_large_messages_are_drawn_in_part(shape):
    told = text_of(
        signal=np.random.default_rng(1).normal(size=shape).astype("f4"), sampling_rate=250, leads=["x" * 999]
    )
    assert ("more leads are not drawn" in told) is (shape[0] > 12)
    assert ("samples of" in told.partition("width")[2]) is (shape[1] * shape[0] > 1_000_000)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"signal": "x", "sampling_rate": 250},
        {"signal": [1.0]},
        {"signal": [1.0], "sampling_rate": 0},
        {"signal": [1.0], "sampling_rate": float("nan")},
        {"signal": [1.0], "sampling_rate": "fast"},
        {"signal": [[1.0], [1.0, 2.0]], "sampling_rate": 250},
    ],
)
def test_what_cannot_be_drawn_is_said(data):
    assert "cannot be drawn" in text_of(**data)


def test_signals_without_samples():
    assert "There are no samples" in text_of(signal=np.zeros((2, 0)), sampling_rate=250)


def test_other_messages_stay_as_they_are():
    assert html_of(Message(MessageType.PING, None, 3, 0, 0)) is None
    assert html_of(Message(MessageType.ECG_DATA, [1], 3, 0, 0)) is None


def test_ipython_shows_messages_once_the_extension_is_loaded():
    class Formatter(dict):
        def for_type(self, kind, function):
            self[kind] = function

    class Shell:
        display_formatter = type("Formatters", (), {"formatters": {"text/html": Formatter()}})

    load_ipython_extension(Shell)
    assert Shell.display_formatter.formatters["text/html"] == {Message: html_of}
    unload_ipython_extension(Shell)
    unload_ipython_extension(Shell)
    assert Shell.display_formatter.formatters["text/html"] == {}
