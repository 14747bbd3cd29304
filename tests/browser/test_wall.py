"""The wall: a tile for each bed, over one connection, drawn in a worker."""

from __future__ import annotations

import pytest
from cli.live_server import live

from browser.accessibility import check_accessible, with_axe
from browser.monitor import DESK, PHONE
from browser.ward import Ward

NO_RATE = "\u2013\u2013"


def test_all_beds_of_the_server_are_live_over_one_connection(open_wall):
    with Ward(12).running() as ward:
        wall = open_wall(ward.port)
        wall.wait_for_live(12)
        wall.wait("s.beds.every(bed => bed.rate >= 73 && bed.rate <= 77)")
        state = wall.state
        assert [bed["name"] for bed in state["beds"]] == ward.names
        assert state["beds"][0]["shown"] == ["II", "I"]
        assert state["link"]["dropped"] == state["link"]["refused"] == 0
        texts = wall.tile("ecg/3").inner_text()
        assert "ecg/3" in texts
        assert "Live" in texts
        assert wall.page.locator("#tiles > article").count() == 12
        assert ward.connections == 1
        wall.shot("wall-12")
        wall.check_quiet()


def test_the_traces_are_drawn_in_every_tile(open_wall):
    with Ward(4).running() as ward:
        wall = open_wall(ward.port)
        wall.wait_for_live(4)
        wall.wait("s.beds.every(bed => bed.samples > 4000)")
        for bed in ward.names:
            box = wall.tile(bed).bounding_box()
            clip = {"x": box["x"] + 4, "y": box["y"] + 30, "width": box["width"] - 90, "height": box["height"] - 60}
            colours = wall.page.evaluate(INK, list(wall.page.screenshot(clip=clip)))
            assert colours > 500, bed


INK = """async bytes => {
  const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  const { data } = pen.getImageData(0, 0, picture.width, picture.height);
  let green = 0;
  for (let at = 0; at < data.length; at += 4) if (data[at + 1] > 150 && data[at] < 120) green += 1;
  return green;
}"""
"""Counts the pixels in the colour of the traces in a picture."""


def test_the_address_names_the_beds(open_wall):
    with Ward(5).running() as ward:
        wall = open_wall(ward.port, "?streams=ecg/4,ecg/2")
        wall.wait_for_live(2)
        assert [bed["name"] for bed in wall.state["beds"]] == ["ecg/4", "ecg/2"]


def test_a_bed_says_that_it_is_denied_silent_late_or_has_gaps(open_wall):
    with Ward(5, denied=["ecg/2"]).running() as ward:
        wall = open_wall(ward.port)
        wall.wait_for_live(4)
        assert "Denied" in wall.tile("ecg/2").inner_text()
        assert wall.tile("ecg/2").get_attribute("data-state") == "denied"
        ward.silent.add("ecg/3")
        ward.late["ecg/4"] = 30.0
        ward.losing.add("ecg/5")
        wall.wait("s.beds[2].condition.state === 'silent'")
        ward.losing.clear()
        wall.wait("s.beds[4].gap.startsWith('Gap of')")
        wall.wait("s.beds[3].condition.state === 'old' || s.beds[3].condition.state === 'clock'")
        assert "No signal" in wall.tile("ecg/3").inner_text()
        assert wall.tile("ecg/3").locator(".rate").inner_text() == NO_RATE
        assert "Gap of" in wall.tile("ecg/5").inner_text()
        wall.shot("wall-conditions")
        ward.silent.clear()
        wall.wait("s.beds[2].condition.state === 'live'")


@pytest.mark.parametrize("denied", [(), ("*",)])
def test_64_beds_and_their_alerts_come_over_one_connection(open_wall, denied):
    with Ward(70, denied=denied).running() as ward:
        ward.silent.update(ward.names[1:])
        wall = open_wall(ward.port)
        wall.wait("s.beds.length === 64")
        wall.wait("s.beds.slice(1).every(bed => bed.condition.state === 'silent')")
        wall.wait("s.alerts !== 'asking'")
        assert wall.state["alerts"] == ("each stream by itself" if denied else "all streams")
        assert "64 of 70 beds" in wall.page.inner_text("#beds")
        ward.publish("ecg/70", 0x02, {"kind": "test", "severity": "critical", "timestamp": 4e9})
        wall.wait("alarms.length === 1")
        assert ward.connections == 1


def test_a_lost_connection_is_shown_in_every_tile_and_restored(open_wall, free_port):
    with Ward(3, port=free_port).running():
        wall = open_wall(free_port)
        wall.wait_for_live(3)
    wall.wait("s.beds.every(bed => bed.condition.state === 'lost')")
    assert wall.page.inner_text("#connection") == "Connection lost"
    assert "Connection lost" in wall.tile("ecg/2").inner_text()
    with Ward(3, port=free_port).running():
        wall.wait_for_live(3)
        wall.check_quiet(cut=True)


def test_a_click_or_enter_opens_the_monitor_of_the_bed(open_wall):
    with Ward(3).running() as ward:
        wall = open_wall(ward.port)
        wall.wait_for_live(3)
        wall.tile("ecg/1").locator("a").focus()
        wall.page.keyboard.press("ArrowRight")
        with wall.page.context.expect_page() as opened:
            wall.page.keyboard.press("Enter")
        assert opened.value.url.endswith("/?stream=ecg%2F2")
        with wall.page.context.expect_page() as opened:
            wall.tile("ecg/3").click(position={"x": 50, "y": 60})
        assert opened.value.url.endswith("/?stream=ecg%2F3")


def test_serve_prints_the_address_of_the_wall(open_wall):
    with live("--streams", 2) as server:
        assert f"Wall: http://127.0.0.1:{server.port}/wall shows" in server.said
        wall = open_wall(server.port)
        wall.wait_for_live(2)


@pytest.mark.parametrize(("query", "size"), [("?theme=dark", DESK), ("?theme=light", DESK), ("?theme=dark", PHONE)])
def test_the_wall_is_accessible(open_wall, query, size):
    with Ward(6, denied=["ecg/2"]).running() as ward:
        ward.silent.add("ecg/3")
        wall = open_wall(ward.port, query, size=size)
        wall.wait_for_live(4)
        for number, severity in enumerate(("critical", "warning", "info")):
            ward.publish(f"ecg/{4 + number}", 0x02, {"kind": "test", "severity": severity, "timestamp": 4e9})
        wall.wait("alarms.length === 3")
        page = wall.page
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        check_accessible(with_axe(page))
        page.keyboard.press("h")
        check_accessible(page)
        page.keyboard.press("l")
        check_accessible(page)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        check_accessible(page)
        wall.shot(f"wall-accessible-{query[7:]}-{size[0]}")
