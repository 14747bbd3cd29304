"""The room of the traces on the wall: nothing of a tile covers them, whatever it says."""

from __future__ import annotations

import time

import pytest

from browser.accessibility import check_accessible, with_axe
from browser.monitor import DESK, PHONE
from browser.ward import Ward
from ecgframe import MessageType

SEVERITIES = ("critical", "warning", "info")

NUMBERS = {"MDC_PULS_OXIM_SAT_O2": 97, "MDC_RESP_RATE": 15, "MDC_PULS_OXIM_PULS_RATE": 75, "ABP mean": 93.4}

TEXTS = """() => [...document.querySelectorAll("#tiles .tile")].flatMap(tile =>
  [...tile.querySelectorAll(".name, .who, .condition, .rate, .leads, .numbers, .gap, .alarm")]
    .filter(at => at.checkVisibility() && at.textContent !== "")
    .map(at => [`${tile.dataset.bed} ${at.className}`, at.getBoundingClientRect().toJSON()]))"""
"""The name and the box of each text of a tile."""

INK = """async ([bytes, boxes]) => {
  const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
  const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d", { willReadFrequently: true });
  pen.drawImage(picture, 0, 0);
  return boxes.map(([name, box]) => {
    const width = Math.floor(Math.min(picture.width, box.right) - box.left);
    const height = Math.floor(Math.min(picture.height, box.bottom) - box.top);
    if (width < 1 || height < 1) return [name, 0];
    const { data } = pen.getImageData(Math.ceil(box.left), Math.ceil(box.top), width, height);
    let ink = 0;
    for (let at = 0; at < data.length; at += 4) if (data[at + 1] > 150 && data[at] < 120) ink += 1;
    return [name, ink];
  });
}"""
"""The pixels in the colour of the traces, in boxes of a picture."""


def ink(wall):
    """Return the pixels of traces behind each text, and those of the whole page, with all texts hidden."""
    texts = wall.page.evaluate(TEXTS)
    wall.page.evaluate("document.getElementById('tiles').style.visibility = 'hidden'")
    picture = list(wall.page.screenshot())
    wall.page.evaluate("document.getElementById('tiles').style.visibility = ''")
    page = ["page", {"left": 0, "top": 0, "right": 10_000, "bottom": 10_000}]
    found = dict(wall.page.evaluate(INK, [picture, [*texts, page]]))
    return found, found.pop("page")


@pytest.mark.parametrize(("beds", "size"), [(6, DESK), (36, DESK), (64, (1024, 768)), (4, PHONE)])
def test_nothing_covers_a_trace(open_wall, tmp_path, beds, size):
    with Ward(beds, file=tmp_path / "alarms.json", scale=10).running() as ward:
        names = ",".join(f"Bed {number} of the east wing" for number in range(1, beds + 1))
        wall = open_wall(ward.port, f"?streams={','.join(ward.names)}&beds={names}&theme=dark", size=size)
        wall.wait_for_live(beds)
        wall.wait("s.beds.every(bed => bed.samples > 2500)")
        behind, total = ink(wall)
        assert total > 200 * min(beds, 20)
        assert {text: seen for text, seen in behind.items() if seen} == {}
        now = time.time()
        for bed, severity in zip(ward.names, SEVERITIES, strict=False):
            alert = {"kind": "test", "severity": severity, "message": "a long text of an alarm", "lead": "II"}
            ward.publish(bed, MessageType.ANOMALY_ALERT, {**alert, "timestamp": now, "start": now})
            ward.publish(bed, MessageType.FEATURE_DATA, {"features": NUMBERS})
        ward.losing.update(ward.names[3:4])
        wall.wait("alarms.length === 3")
        wall.page.wait_for_timeout(1000)
        ward.losing.clear()
        wall.wait("s.beds[3].gap !== ''")
        behind = {"": 1}
        give_up = time.monotonic() + 30
        while any(behind.values()) and time.monotonic() < give_up:  # until the traces are drawn in their new room
            wall.page.wait_for_timeout(500)
            behind, _ = ink(wall)
        wall.shot(f"wall-room-{beds}-{size[0]}")
        assert {text.split()[0] for text in behind if "alarm" in text} == set(ward.names[:3])
        assert {text: seen for text, seen in behind.items() if seen} == {}
        check_accessible(with_axe(wall.page))
        wall.check_quiet()


def test_a_trace_has_its_room_back_after_the_alarm(open_wall):
    with Ward(2).running() as ward:
        wall = open_wall(ward.port)
        wall.wait_for_live(2)
        height = "bed => document.querySelector(`[data-bed='${bed}'] .traces`).clientHeight"
        before = wall.page.evaluate(height, "ecg/1")
        now = time.time()
        alert = {"kind": "test", "severity": "warning", "lead": "II", "timestamp": now, "start": now}
        ward.publish("ecg/1", MessageType.ANOMALY_ALERT, alert)
        wall.wait("alarms.length === 1")
        wall.page.locator("[data-bed='ecg/1'] .alarm").wait_for()
        assert 20 <= before - wall.page.evaluate(height, "ecg/1") <= 50
        assert wall.page.evaluate(height, "ecg/2") == before
        ward.publish("ecg/1", MessageType.ANOMALY_ALERT, {**alert, "end": now + 1})
        wall.page.locator("[data-bed='ecg/1'] .alarm").wait_for(state="hidden")
        assert wall.page.evaluate(height, "ecg/1") == before
