"""The annotations of a recording, played as alerts at their moments."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run_virtually

from ecgframe.frame_file import alert_annotation, annotation_alert
from ecgframe.messages import check_sent
from ecgframe.protocol import MessageType
from ecgframe.records import Annotation, Record
from ecgframe.server.annotation_alerts import Annotations
from ecgframe.server.player import Loop, Player

EPOCH = 1_705_314_645.0


def noted(*annotations: Annotation, seconds: float = 4, rate: float = 250) -> Record:
    signal = np.zeros((1, int(seconds * rate)), np.int16)
    return replace(Record(signal, rate, ("I",), "mV", (200,), (0,), "noted"), annotations=annotations)


@given(
    places=st.lists(st.integers(-5, 45), max_size=12),
    begin=st.integers(0, 10),
    length=st.integers(1, 30),
    start=st.integers(0, 200),
    count=st.integers(0, 100),
)
def test_annotations_between_two_samples_belong_to_the_next_frame(places, begin, length, start, count):
    record = noted(*(Annotation(place / 250, str(number)) for number, place in enumerate(places)), seconds=0.2)
    annotations = Annotations(record, range(begin, begin + length))
    expected = []
    for sample in range(start, start + count):
        here = sorted(number for number, place in enumerate(places) if place - begin == sample % length)
        expected += [(sample, str(number)) for number in here]
    assert [(sample, note.text) for sample, note in annotations.between(start, start + count)] == expected
    assert annotations.sent + annotations.outside == len(places)


def test_normal_beats_are_counted_and_not_sent():
    record = noted(Annotation(0.1, "N"), Annotation(0.2, "V"), Annotation(9, "N"))
    annotations = Annotations(record, range(1000))
    assert (annotations.sent, annotations.normal_beats, annotations.outside) == (1, 1, 1)


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_each_is_published_behind_its_frame_with_the_time_of_its_moment(speed):
    record = noted(Annotation(0.132, "V"), Annotation(1.5, "(AFIB", "I", 2.0), Annotation(1.5, "~"))
    loop = Loop(record)
    published = []

    async def playing():
        clock = asyncio.get_running_loop().time
        enough = asyncio.Event()

        async def publish(stream, type, data):
            published.append((stream, type, data))
            if len([1 for _, type, _ in published if type is MessageType.ANOMALY_ALERT]) == 7:
                enough.set()
                await asyncio.Future()

        player = Player(
            loop,
            ("a",),
            publish,
            speed=speed,
            annotations=Annotations(record, loop.played),
            wall_clock=lambda: clock() + EPOCH,
        )
        task = asyncio.create_task(player.run())
        await enough.wait()
        task.cancel()

    run_virtually(playing())
    first = published[0][2]["timestamp"]
    alerts = [(index, data) for index, (_, type, data) in enumerate(published) if type is MessageType.ANOMALY_ALERT]
    assert [data["message"] for _, data in alerts] == ["V", "(AFIB", "~"] * 2 + ["V"]
    moments = [0.132, 1.5, 1.5, 4.132, 5.5, 5.5, 8.132]
    for (index, data), moment in zip(alerts, moments, strict=True):
        check_sent(MessageType.ANOMALY_ALERT, data)
        assert data["timestamp"] - first == pytest.approx(moment / speed, abs=2e-6)
        frame = next(data for _, type, data in reversed(published[:index]) if type is MessageType.ECG_DATA)
        assert frame["timestamp"] <= data["timestamp"] < frame["timestamp"] + 0.05
    assert alerts[1][1]["end"] - alerts[1][1]["start"] == pytest.approx(2 / speed, abs=1e-6)
    assert alerts[1][1]["lead"] == "I"
    assert "lead" not in alerts[0][1]


@pytest.mark.parametrize("note", [Annotation(1, "V", "II"), Annotation(2.5, "(AFIB", None, 0.5), Annotation(0, "N")])
def test_a_recording_of_the_alerts_has_the_same_annotations(note):
    assert alert_annotation(annotation_alert(note, EPOCH + note.time, 1), EPOCH) == note


def test_an_alert_says_what_was_noted():
    assert annotation_alert(Annotation(1, "V"), 12.5, 1) == {
        "kind": "annotation",
        "severity": "info",
        "message": "V",
        "timestamp": 12.5,
        "start": 12.5,
    }
