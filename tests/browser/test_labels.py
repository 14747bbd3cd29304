"""Bed, patient, user and time of day, in the element, the monitor and the wall; hidden with one key."""

from __future__ import annotations

import datetime
import re

import numpy as np
import pytest

from browser.accessibility import check_accessible, with_axe
from browser.publishing import publishing
from browser.ward import Ward

RATE, SAMPLES = 500, 50
CLOCK = re.compile(r"\d\d:\d\d:\d\d")


def named(number):
    """A message of a sender that says which bed and patient it is of."""
    at = (np.arange(SAMPLES) + number * SAMPLES) / RATE
    signal = np.stack([np.sin(7 * at), np.cos(7 * at)]).astype(np.float32)
    fields = {"device_id": "Bed 7", "patient_id": "P-0815", "leads": ["I", "II"], "units": "mV"}
    taken = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=SAMPLES / RATE)
    return {"signal": signal, "sampling_rate": RATE, "timestamp": taken, "sequence": number, **fields}


@pytest.fixture(scope="module")
def port():
    with publishing(named, SAMPLES / RATE) as port:
        yield port


def test_the_element_names_bed_patient_and_user(open_element, port):
    element = open_element(port, leads="", clock="", user="Nurse A")
    element.wait("m.state === 'live'")
    element.wait("m.shadowRoot.querySelector('.bed').textContent === 'Bed 7'")
    assert element.text("patient") == "P-0815"
    assert element.text("user") == "Nurse A"
    assert CLOCK.fullmatch(element.text("clock"))
    element.set(bed="Intensive 2")
    assert element.text("bed") == "Intensive 2"
    check_accessible(with_axe(element.page))
    element.shot("element-labels")
    element.page.keyboard.press("Tab")
    element.page.keyboard.press("b")
    assert element.get("m.hideLabels")
    assert [element.text(part) for part in ("bed", "patient", "user")] == ["hidden"] * 3
    assert "P-0815" not in element.get("m.shadowRoot.textContent")
    element.page.keyboard.press("b")
    assert element.text("patient") == "P-0815"
    element.check_quiet()


def test_the_monitor_names_bed_and_patient(open_monitor, port):
    monitor = open_monitor(port)
    monitor.page.locator("#patient", has_text="P-0815").wait_for()
    assert monitor.page.inner_text("#bed") == "Bed 7"
    assert CLOCK.fullmatch(monitor.page.inner_text("#wall-clock"))
    monitor.shot("monitor-labels")
    monitor.page.keyboard.press("b")
    monitor.page.locator("#patient", has_text="hidden").wait_for()
    assert "P-0815" not in monitor.page.inner_text("body")
    monitor.page.reload()
    monitor.page.locator("#bed", has_text="hidden").wait_for()
    monitor.page.keyboard.press("b")
    monitor.page.locator("#bed", has_text="Bed 7").wait_for()


def test_the_address_names_the_bed(open_monitor, port):
    monitor = open_monitor(port, "?bed=Intensive+2")
    monitor.page.locator("#bed", has_text="Intensive 2").wait_for()


def test_the_wall_names_beds_and_patients(open_wall, port):
    wall = open_wall(port)
    wall.wait_for_live(1)
    wall.page.locator(".tile .who", has_text="Bed 7 · P-0815").wait_for()
    assert CLOCK.fullmatch(wall.page.inner_text("#wall-clock"))
    wall.shot("wall-labels")
    wall.page.keyboard.press("b")
    wall.page.locator(".tile .who", has_text="hidden").wait_for()
    wall.page.keyboard.press("b")


def test_the_monitor_names_who_is_signed_in_as_the_server_knows(open_monitor):
    with Ward(1, user="ward 7").running() as ward:
        monitor = open_monitor(ward.port)
        monitor.page.locator("#user", has_text="Signed in: ward 7").wait_for()
        check_accessible(with_axe(monitor.page))
        monitor.shot("monitor-signed-in")
        monitor.page.keyboard.press("b")
        monitor.page.locator("#user", has_text="hidden").wait_for()
        assert monitor.page.inner_text("#user") == "Signed in: hidden"
        assert "ward 7" not in monitor.page.inner_text("body")
        monitor.page.reload()
        monitor.page.locator("#user", has_text="Signed in: hidden").wait_for()
        monitor.page.keyboard.press("b")
        monitor.page.locator("#user", has_text="ward 7").wait_for()
        monitor.check_quiet()


def test_without_an_identity_the_monitor_names_nobody(open_monitor, port):
    monitor = open_monitor(port)
    monitor.page.locator("#patient", has_text="P-0815").wait_for()
    assert monitor.page.locator("#user").is_hidden()
