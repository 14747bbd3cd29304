"""Names on the wall: of beds, as the page's address gives them, and of who is signed in, as the server knows."""

from __future__ import annotations

import time

from browser.accessibility import check_accessible, with_axe
from browser.ward import Ward
from ecgframe import MessageType
from ecgframe.tools.audit_log import AuditLog, read_audit_log

ASYSTOLE = {"kind": "asystole", "severity": "critical", "message": "no beat", "lead": "II"}


def alarm(ward, bed="ecg/1"):
    now = time.time()
    ward.publish(bed, MessageType.ANOMALY_ALERT, {**ASYSTOLE, "timestamp": now, "start": now})


def test_who_is_signed_in_comes_from_the_server_and_acknowledges(open_wall, tmp_path):
    with Ward(1, file=tmp_path / "alarms.json", user="ward 7").running() as ward:
        wall, other = open_wall(ward.port), open_wall(ward.port)
        wall.page.locator("#user", has_text="Signed in: ward 7").wait_for()
        other.page.locator("#user", has_text="Signed in: ward 7").wait_for()
        alarm(ward)
        for page in (wall, other):
            page.wait("alarms.length === 1 && alarms[0].isSignalling")
        wall.shot("wall-signed-in")
        check_accessible(with_axe(wall.page))
        wall.tile("ecg/1").locator("button").click()  # without a name in the field
        for page in (wall, other):
            page.wait("alarms[0].acknowledged?.by === 'ward 7'")
        wall.sign("Ada")
        alarm(ward)
        wall.wait("alarms.filter(one => one.isSignalling).length === 1")
        wall.tile("ecg/1").locator("button").click()
        for page in (wall, other):
            page.wait("alarms[0].acknowledged?.by === 'Ada (signed in as ward 7)'")
        wall.page.keyboard.press("Tab")
        wall.page.keyboard.press("b")
        wall.page.locator("#user", has_text="Signed in: hidden").wait_for()
        assert wall.page.locator("#user").inner_text() == "Signed in: hidden"


def test_without_an_identity_nobody_is_signed_in(open_wall, tmp_path):
    with Ward(1, file=tmp_path / "alarms.json").running() as ward:
        wall = open_wall(ward.port)
        wall.wait("s.takesAcknowledgements === true")
        assert wall.page.locator("#user").is_hidden()


def test_the_address_names_the_beds_and_their_monitors_too(open_wall):
    with Ward(2).running() as ward:
        wall = open_wall(ward.port, "?streams=ecg/2,ecg/1&beds=Bed 12,Bed 11")
        wall.wait_for_live(2)
        for bed, name in (("ecg/1", "Bed 11"), ("ecg/2", "Bed 12")):
            wall.tile(bed).locator(".who", has_text=name).wait_for()
            address = wall.tile(bed).locator(".open").get_attribute("href")
            assert f"bed={name.replace(' ', '+')}" in address
        wall.page.keyboard.press("b")
        wall.tile("ecg/1").locator(".who", has_text="hidden").wait_for()
        wall.page.keyboard.press("b")


def test_pauses_and_acknowledgements_are_in_the_audit_log(open_wall, tmp_path):
    with AuditLog(tmp_path / "audit.jsonl"), Ward(1, file=tmp_path / "alarms.json", user="ward 7").running() as ward:
        wall = open_wall(ward.port)
        wall.wait("s.takesAcknowledgements === true")
        alarm(ward)
        wall.wait("alarms.length === 1 && alarms[0].isSignalling")
        wall.sign("Ada")
        wall.page.click("#pause")
        wall.page.click("#pause")
        wall.tile("ecg/1").locator("button").click()
        wall.wait("alarms[0].acknowledged?.by === 'Ada (signed in as ward 7)'")
        wall.check_quiet()
    told = [record for record in read_audit_log(tmp_path / "audit.jsonl") if record.get("by")]
    assert [record["event"] for record in told] == ["paused", "paused", "acknowledged"]
    assert {record["by"] for record in told} == {"Ada (signed in as ward 7)"}
    assert {record["person"] for record in told} == {"ward 7"}
    assert [round(record["seconds"]) for record in told[:2]] == [120, 0]
    assert (told[2]["stream"], told[2]["kind"]) == ("ecg/1", "asystole")
