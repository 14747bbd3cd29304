"""``<ecg-monitor>`` in a page of plain HTML, as docs/parts.md has it, under a strict Content-Security-Policy."""

from __future__ import annotations

import signal

import pytest
from cli.live_server import LiveServer, live

from browser.accessibility import check_accessible, with_axe
from browser.own_server import own_server


def test_the_plain_page_shows_its_leads_live(open_element):
    with live() as server:
        element = open_element(server.port)
        element.wait("m.signal?.buffer.end > 3000 && m.state === 'live'")
        assert element.get("[...m.signal.buffer.leads]") == ["I", "II", "V1"]
        assert element.page.inner_text("#said") == "Live"
        assert element.text("state") == "Live"
        element.shot("element-html")
        assert element.events("ecg-loss") == []
        assert element.events("ecg-error") == []
        element.check_quiet()


LATER = ("tools", "unpacking", "crc32-fold", "all-parts")
"""The parts that are loaded when they are needed."""


def loaded_later(element):
    """The parts of ``LATER`` that the page has loaded."""
    names = element.page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name.split('/').pop())")
    return {part for part in LATER if any(name.startswith(f"{part}-") for name in names)}


def test_a_live_display_of_version_4_loads_nothing_later(open_element):
    with live("--protocol", "4") as server:
        element = open_element(server.port)
        element.page.evaluate("document.querySelector('ecg-monitor').options = { versions: [4] }")
        element.wait("m.signal?.buffer.end > 3000 && m.state === 'live' && m.service === null")
        assert loaded_later(element) == {"tools"}  # the example has `calipers`
        assert element.events("ecg-error") == []
        element.check_quiet()


def test_parts_are_loaded_when_they_are_needed(open_element):
    with live("--protocol", "3") as server:
        element = open_element(server.port)
        element.wait("m.signal?.buffer.end > 1000 && m.state === 'live'")
        assert loaded_later(element) == {"tools", "unpacking"}  # version 3 compresses
        element.set(view="sheet")
        element.wait("m.screen.sheet !== null")
        element.shot("element-sheet")
        element.page.evaluate("document.querySelector('ecg-monitor').options = { capabilities: [] }")
        element.wait("m.signal?.buffer.end > 1000 && m.state === 'live'")
        assert loaded_later(element) == {"tools", "unpacking", "all-parts"}
        assert element.events("ecg-error") == []
        element.check_quiet()


def test_a_part_that_cannot_be_loaded_is_told(open_element):
    with live() as server:
        element = open_element(server.port)
        element.wait("m.signal?.buffer.end > 1000 && m.state === 'live'")
        element.page.route("**/ecg-monitor/all-parts-*", lambda route: route.abort())
        element.page.evaluate("document.querySelector('ecg-monitor').options = { capabilities: [] }")
        element.wait("window.told.some(({ detail }) => String(detail.error).includes('cannot be loaded'))")
        element.wait("m.state === 'lost'")
        element.check_quiet("Failed to load resource")


def test_messages_wait_for_a_part_that_is_loaded_at_the_second_attempt(open_element):
    with live("--protocol", "3") as server:
        element = open_element(server.port)
        element.page.route("**/ecg-monitor/unpacking-*", lambda route: route.abort())
        element.page.reload()
        element.wait("window.told.some(({ detail }) => String(detail.error).includes('cannot load what reads'))")
        element.page.unroute("**/ecg-monitor/unpacking-*")
        element.wait("m.signal?.buffer.end > 1000 && m.state === 'live'")
        assert loaded_later(element) == {"tools", "unpacking"}
        element.check_quiet("Failed to load resource")


def test_the_samples_are_those_of_the_whole_stream(open_element):
    with live() as server:
        element = open_element(server.port, leads="aVF, ii")
        element.wait("m.signal?.buffer.end > 2000 && m.signal.buffer.leads.length === 2")
        assert element.get("[...m.signal.buffer.leads]") == ["aVF", "II"]
        element.set(leads="")
        element.wait("m.signal?.buffer.leads.length === 12")
        five, two, six = (f"m.signal.buffer.at({lead}, m.signal.buffer.end - 100)" for lead in (5, 1, 11))
        assert element.get(f"[{five}, {two}, {six}].every(Number.isFinite)")
        element.check_quiet()


def test_a_server_that_goes_is_said_and_what_is_missing_when_it_is_back(open_element, free_port):
    server = LiveServer("--port", free_port)
    element = open_element(free_port)
    element.wait("m.state === 'live'")
    server.end(signal.SIGKILL)
    element.wait("m.state === 'lost'", 5)
    assert element.text("title") == "Connection lost"
    assert element.is_shown("notice")
    element.page.wait_for_timeout(500)
    element.shot("element-lost")
    with live("--port", free_port):
        element.wait("m.state === 'live'", 30)
        assert not element.is_shown("notice")
        assert element.text("gaps").startswith("Gaps: 1 (")
        assert len(element.events("ecg-loss")) == 1
        states = [event["state"] for event in element.events("ecg-state")]
        assert states[0] == "connecting"
        assert states.index("live") < states.index("lost") < len(states) - 1
        element.shot("element-back")
    element.check_quiet("messages are lost", "WebSocket")


def test_a_first_connection_is_retried_and_said(open_element, free_port):
    element = open_element(free_port)
    element.wait("m.state === 'lost'")
    assert element.text("reason").startswith("no connection")
    with live("--port", free_port):
        element.wait("m.state === 'live'", 40)
    element.check_quiet("WebSocket")


def test_a_denied_token_is_said_and_another_one_is_taken(open_element):
    with own_server(token="right") as server:
        element = open_element(server.port, leads="")
        element.get("m.token = 'wrong'")
        element.wait("m.state === 'denied'")
        assert element.text("title") == "Denied"
        assert element.is_shown("notice")
        element.shot("element-denied")
        element.get("m.token = 'right'")
        element.wait("m.state === 'live'")
    element.check_quiet("WebSocket")


def test_what_is_invalid_is_said(open_element):
    with live("--leads", "I,II") as server:
        element = open_element(server.port, speed="30", leads="V9")
        element.wait("m.state === 'lost'")
        assert element.text("reason") == "the stream has no lead V9; it has I, II"
        assert element.get("m.speed") == 25
        assert element.events("ecg-error")[0]["error"] == 'speed is one of 12.5, 25, 50, not "30"'
        element.set(leads="V9, II")
        element.wait("m.state === 'live'")
        assert "Not in the stream: V9" in element.text("faults")
        element.shot("element-absent-lead")
    element.check_quiet("speed is one of", "messages are lost")


def test_calipers_measure_by_pointer_and_by_keys(open_element):
    with live() as server:
        element = open_element(server.port)
        element.wait("m.signal?.buffer.end > 4000 && m.state === 'live'")
        box = element.get("m.shadowRoot.querySelector('.overlay').getBoundingClientRect().toJSON()")
        mouse = element.page.mouse
        mouse.move(box["x"] + 200, box["y"] + 60)
        mouse.down()
        mouse.move(box["x"] + 300, box["y"] + 20, steps=4)
        mouse.up()
        element.wait("m.frozen")
        [*_, measured] = element.events("ecg-measure")
        assert measured["milliseconds"] == pytest.approx(1000, abs=20)  # 100 px of 4 px/mm at 25 mm/s
        assert measured["value"] == pytest.approx(1, abs=0.05)
        assert element.text("reading") == f"Frozen · {measured['text']}"
        element.shot("element-calipers")
        element.page.evaluate("document.querySelector('ecg-monitor').shadowRoot.querySelector('.overlay').focus()")
        element.page.keyboard.press("Shift+ArrowRight")
        [*_, moved] = element.events("ecg-measure")
        assert moved["milliseconds"] == pytest.approx(measured["milliseconds"] + 200, abs=20)
        element.page.keyboard.press("Escape")
        assert not element.get("m.frozen")
        assert element.events("ecg-freeze") == [{"frozen": True}, {"frozen": False}]
        element.check_quiet()


def test_colours_follow_css_variables(open_element):
    with live() as server:
        element = open_element(server.port)
        element.wait("m.state === 'live'")
        element.page.evaluate(
            "document.querySelector('ecg-monitor').style.setProperty('--ecg-trace', 'rgb(1, 200, 255)')"
        )
        seen = """(() => { const c = m.shadowRoot.querySelector('.traces');
          const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
          for (let at = 0; at < data.length; at += 4)
            if (data[at] === 1 && data[at + 1] === 200 && data[at + 2] === 255 && data[at + 3] === 255) return true;
          return false; })()"""
        element.wait(seen)
        element.page.evaluate("document.querySelector('ecg-monitor').style.setProperty('--ecg-trace', 'nonsense')")
        element.wait("window.told.some(({ detail }) => String(detail.error).includes('--ecg-trace: nonsense'))")
        element.check_quiet("nonsense")


def test_a_removed_element_leaves_and_a_moved_one_stays(open_element):
    with live() as server:
        element = open_element(server.port)
        element.wait("m.state === 'live'")
        kept = element.get("(window.kept = m).signal.buffer.end")
        element.page.evaluate("document.body.prepend(document.querySelector('ecg-monitor'))")
        element.wait(f"m.signal?.buffer.end > {kept} && m.state === 'live'")
        assert [event["state"] for event in element.events("ecg-state")] == ["connecting", "live"]
        element.page.evaluate("window.kept.remove()")
        element.page.wait_for_timeout(100)
        assert element.page.evaluate("[window.kept.state, window.kept.signal]") == ["idle", None]
        element.page.evaluate("document.body.append(window.kept)")
        element.wait("m.state === 'live'")
        element.check_quiet()


def test_the_element_is_accessible_and_the_keyboard_does_everything(open_element, free_port):
    server = LiveServer("--port", free_port)
    element = open_element(free_port, user="Nurse A", clock="", bed="7", patient="P-0815")
    element.wait("m.signal?.buffer.end > 4000 && m.state === 'live'")
    page = with_axe(element.page)
    press = page.keyboard.press
    check_accessible(page)
    press("Tab")
    focused = "m.shadowRoot.activeElement?.getAttribute('part')"
    assert element.get(focused) == "overlay"
    press("c")
    element.wait("m.frozen && m.screen.reading !== ''")
    before = element.text("reading")
    press("ArrowRight")
    assert element.text("reading") != before
    press("x")
    press("Escape")
    assert not element.get("m.frozen")
    press(" ")
    assert element.get("m.frozen")
    press("b")
    assert element.text("bed") == "hidden"
    check_accessible(page)
    press(" ")
    for theme, view in (("light", "sweep"), ("light", "sheet"), ("dark", "sheet")):
        element.set(theme=theme, view=view)
        page.wait_for_timeout(300)
        check_accessible(page)
    server.end(signal.SIGKILL)
    element.wait("m.state === 'lost'", 5)
    for theme in ("dark", "light"):
        element.set(theme=theme)
        page.wait_for_timeout(300)
        check_accessible(page)
    press("Shift+Tab")
    assert element.get(focused) == "reconnect"
    with live("--port", free_port):
        press("Enter")
        element.wait("m.state === 'live'", 30)
    element.check_quiet("messages are lost")
