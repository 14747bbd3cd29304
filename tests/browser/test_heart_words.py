"""The texts about the heart: no rate without beats, and an alarm that cannot be overlooked."""

from __future__ import annotations

import re

import pytest
from cli.live_server import live
from hearts import RATE, Heart, fibrillation, p_waves, pacing_spikes, recorded, sinus

from browser.looks import LATE, session, watching
from browser.monitor import Monitor

SPEED = 6
WORDS_WITHIN = 4.0
"""Seconds after the last beat within which the page shows an alarm."""

TOLD = 0.4
"""Seconds after a beat within which the detector reports it."""

NO_BEATS = {
    "asystole": 0 * sinus(75, 12),
    "P waves": p_waves(75, 12),
    "pacing spikes": pacing_spikes(75, 12),
    "fibrillation": fibrillation(12),
    "faint": sinus(75, 12, 0.05),
}

LOSING = """(() => {
  const Whole = WebSocket;
  window.WebSocket = class extends Whole {
    constructor(...address) {
      super(...address);
      let came = 0;
      this.addEventListener("message", event => {
        came += 1;
        if (came > 20 && came % 33 === 0) event.stopImmediatePropagation();
      });
    }
  };
})()"""
"""Loses every 33rd message after the negotiation."""

RATES = """() => {
  const rates = window.rates = new Set();
  setInterval(() => rates.add(document.getElementById("rate").textContent), 20);
}"""


@pytest.fixture(scope="module")
def heart():
    """What is no beat, each after beats, and a rate that falls."""
    heart = Heart()
    for name, part in NO_BEATS.items():
        heart.beat(f"before {name}", 75, 12 if heart.beats else 36)  # the page has to come up first
        heart.add(name, part)
    heart.beat("80", 80, 12)
    heart.beat("40", 40, 12)
    heart.beat("30", 30, 14)
    return heart


@pytest.fixture(scope="module")
def seen(heart, browser, tmp_path_factory):
    """The looks at one page that plays everything."""
    path = recorded(heart.signal(), tmp_path_factory.mktemp("heart"))
    with watching(browser, heart, path, speed=SPEED) as monitor:
        for name in ("asystole", "fibrillation"):
            monitor.wait(f"s.end > {RATE * (heart.begins[name] + 8)}", 60)
            monitor.shot(name)
        return session(monitor, heart)


def test_a_beating_heart_has_its_rate(seen):
    for name, bpm in (("before asystole", 75), ("before faint", 75), ("80", 80), ("40", 40), ("30", 30)):
        told = [look.bpm for look in seen.during(name, -3)]
        assert all(rate is not None and abs(rate - bpm) <= 2 for rate in told), (name, told)


@pytest.mark.parametrize("name", NO_BEATS)
def test_without_beats_there_is_no_rate_and_an_alarm_within_four_seconds(seen, heart, name):
    last = heart.last_beat(heart.ends[name])
    late = [look for look in seen.during(name) if look.second > last + WORDS_WITHIN + LATE]
    assert {look.rate for look in late if look.bpm is not None} == set()
    for look in late:
        found = re.search(r"Asystole: no beat for (\d+) s|Ventricular fibrillation\?", look.said)
        assert found, look
        if found[1]:
            assert abs(int(found[1]) - (look.second - last)) < 1 + LATE, look


def test_alarms_end_when_the_heart_beats_again(seen):
    for name in ("before P waves", "before pacing spikes", "80"):
        late = [look.said for look in seen.during(name, 6)]
        assert not [said for said in late if re.search("asystole|fibrillation", said, re.I)], name


def test_no_rate_is_higher_than_the_silence_allows(seen, heart):
    for look in seen.looks:
        silence = look.second - heart.last_beat(look.second)
        if heart.begins["fibrillation"] < look.second < heart.ends["fibrillation"]:
            continue  # its waves may be taken for beats until it is told
        if look.bpm is not None and look.second > 3:
            assert look.bpm <= 60 / max(silence - TOLD - LATE, 0.01), (look, silence)


def test_each_episode_is_one_critical_alert_with_its_beginning_and_end(seen):
    alerts = [alert for alert in reversed(seen.alerts) if alert["severity"] == "critical"]
    assert [alert["kind"] for alert in alerts if alert["kind"] == "asystole"] == ["asystole"] * 4
    assert {alert["kind"] for alert in alerts} == {"asystole", "ventricular_fibrillation"}
    for alert in alerts:
        assert alert["origins"] == ["page"]
        assert alert["end"] > alert["start"]
    assert all("beats again" in alert["ending"] for alert in alerts if alert["kind"] == "asystole")


def test_a_lost_message_does_not_blank_the_rate(browser, tmp_path):
    """Three of a hundred, of 50 ms each. Over version 4, the page would ask the server for them."""
    heart = Heart()
    heart.beat("all", 75, 60)
    options = ("--whole", "--speed", 3, "--protocol", 3)
    with live(recorded(heart.signal(), tmp_path), *options) as server:
        context = browser.new_context()
        context.add_init_script(LOSING)
        monitor = Monitor(context.new_page(), server.port)
        monitor.wait(f"s.end > {20 * RATE} && s.gaps.length > 2", 30)
        monitor.page.evaluate(RATES)
        monitor.wait("s.gaps.length > 12", 60)
        rates = monitor.page.evaluate("[...window.rates]")
        longest = max(gap["to"] - gap["from"] for gap in monitor.state["gaps"])
        context.close()
    assert longest < RATE, "the page was too slow: the server left out more than the test does"
    assert all(rate.isdigit() and abs(int(rate) - 75) <= 2 for rate in rates), rates
