"""The states of leads: off, saturated, missing; and one alert for each episode, by whichever detector."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hearts import LEADS, RATE, Heart, recorded, sinus

from browser.looks import session, watching

SPEED = 5
MISSING = 400
"""Samples of the stretch "missing", of 10,000."""


@pytest.fixture(scope="module")
def heart():
    heart = Heart()
    for name, seconds in (("good", 30), ("off", 14), ("on", 12), ("saturated", 12), ("between", 10), ("all off", 14)):
        heart.beat(name, 75, seconds)
    heart.beat("back", 61, 14)
    heart.beat("missing", 61, 40)
    heart.add("asystole", 0 * sinus(75, 10))
    heart.beat("end", 75, 8)
    return heart


@pytest.fixture(scope="module")
def seen(heart, browser, tmp_path_factory):
    signal = heart.signal()
    rows = {name: row for row, name in enumerate(LEADS)}
    stretch = {name: slice(round(begin * RATE), round(heart.ends[name] * RATE)) for name, begin in heart.begins.items()}
    signal[rows["II"], stretch["off"]] = 0.02
    signal[rows["V2"], stretch["saturated"]] = 5
    signal[:, stretch["all off"]] = np.nan
    places = stretch["missing"].start + missing_places()
    signal[:, places] = np.nan
    path = recorded(signal, tmp_path_factory.mktemp("leads"))
    with watching(browser, heart, path, "--detect", speed=SPEED) as monitor:
        for name in ("off", "saturated", "all off", "missing"):
            monitor.wait(f"s.end > {RATE * (heart.begins[name] + 8)}", 60)
            monitor.shot(name.replace(" ", "-"))
        return session(monitor, heart)


def missing_places():
    """Half of them in one stretch, half of them one by one."""
    single = np.random.default_rng(5).choice(np.arange(2000, 10_000), MISSING // 2, replace=False)
    return np.concatenate([np.arange(600, 600 + MISSING // 2), single])


def test_a_lead_that_is_off_is_named_and_another_one_used(seen):
    late = seen.during("off", 7)
    assert all("Lead off: II" in look.line for look in late)
    assert all(re.search("Heart rate from lead (I|V2) ", look.line) for look in late)
    assert all(look.bpm is not None and abs(look.bpm - 75) <= 3 for look in late), {look.rate for look in late}
    assert all("Lead off" not in look.line for look in seen.during("on", 5))
    assert all("Heart rate from lead II" in look.line for look in seen.during("good", -3))


def test_a_saturated_lead_is_named(seen):
    assert all("Saturated: V2" in look.line for look in seen.during("saturated", 3))
    assert all("Saturated" not in look.line for look in seen.during("between", 4))


def test_leads_that_are_all_off_are_no_asystole(seen):
    late = seen.during("all off", 4)
    assert all(look.bpm is None for look in late)
    assert all("Leads off: no heart rate" in look.said for look in late), {look.said for look in late}
    assert all("Lead off: all leads" in look.line for look in late)
    begin, end = seen.heart.begins["off"], seen.heart.ends["back"]
    said = " ".join(look.said for look in seen.looks if begin < look.second < end)
    assert not re.search("asystole|fibrillation", said, re.I)


def test_missing_samples_are_gaps_and_make_no_rate(seen):
    last = seen.heart.ends["missing"] - 1.5  # then the silence of the next stretch begins
    rates = {look.rate for look in seen.during("missing", 6) if look.second < last}
    assert all(rate.isdigit() and abs(int(rate) - 61) <= 2 for rate in rates), rates
    begin, end = (RATE * place["missing"] for place in (seen.heart.begins, seen.heart.ends))
    gaps = [gap for gap in seen.state["gaps"] if begin <= gap["from"] < end]
    assert sum(gap["to"] - gap["from"] for gap in gaps) == MISSING


def test_one_episode_is_one_alert_though_server_and_page_found_it(seen):
    alerts = [(alert["kind"], alert["severity"], alert["lead"]) for alert in reversed(seen.alerts)]
    assert alerts == [
        ("lead_off", "warning", "II"),
        ("lead_off", "warning", ""),
        ("asystole", "critical", "II"),
    ]
    for alert in seen.alerts:
        assert sorted(alert["origins"]) == ["page", "server"]
        assert alert["end"] > alert["start"]
