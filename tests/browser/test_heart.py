"""What the page says of the heart is so: no rate without beats, and words for it that nobody can overlook."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from cli.live_server import live
from hearts import RATE, Heart, fibrillation, p_waves, pacing_spikes, recorded, sinus

SPEED = 6
WORDS_WITHIN = 4.0
"""Seconds after the last beat within which the page has words for it."""
LOOK = 0.6
"""Seconds of the signal that pass from one look to the next, and from the signal to the screen, on a busy machine."""

LOOKING = """() => {
  const looks = window.looks = [];
  const look = () => {
    const { end } = window.ecgframe.state;
    const said = document.querySelector(".vital").innerText.replace(/\\s+/g, " ");
    looks.push([end, document.getElementById("rate").textContent, said]);
  };
  setInterval(look, 20);
}"""


@dataclass(frozen=True)
class Look:
    """What stood on the page when that second of the signal had arrived."""

    second: float
    rate: str
    said: str

    @property
    def bpm(self) -> int | None:
        return int(self.rate) if self.rate.isdigit() else None


@pytest.fixture(scope="module")
def heart():
    """Twelve stretches; beats stand before each that has none."""
    heart = Heart()
    for name, part in {
        "asystole": 0 * sinus(75, 12),
        "P waves": p_waves(75, 12),
        "pacing spikes": pacing_spikes(75, 12),
        "fibrillation": fibrillation(12),
        "faint": sinus(75, 12, 0.05),
    }.items():
        heart.beat(f"before {name}", 75, 12)
        heart.add(name, part)
    heart.beat("80", 80, 12)
    heart.beat("40", 40, 12)
    heart.beat("30", 30, 14)
    return heart


@pytest.fixture(scope="module")
def looks(heart, browser, tmp_path_factory):
    """What stood on the page while it was played: one page for all."""
    from browser.monitor import DESK, Monitor

    path = recorded(heart.signal(), tmp_path_factory.mktemp("heart"))
    with live(path, "--whole", "--speed", SPEED) as server:
        context = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]})
        monitor = Monitor(context.new_page(), server.port)
        monitor.wait("s.end > 0")
        monitor.page.evaluate(LOOKING)
        for name in ("asystole", "fibrillation"):
            monitor.wait(f"s.end > {RATE * (heart.begins[name] + 8)}", 60)
            monitor.shot(name)
        monitor.wait(f"s.end > {RATE * heart.seconds}", 60)
        found = [Look(end / RATE, rate, said) for end, rate, said in monitor.page.evaluate("window.looks")]
        alerts = monitor.page.evaluate("window.ecgframe.alerts")
        monitor.check_quiet()
        context.close()
    assert len(found) > 300
    return found, alerts


def during(looks, heart, name, after=0.0):
    """The looks at a stretch, from so many seconds after its beginning on."""
    found = [look for look in looks[0] if heart.begins[name] + after < look.second < heart.ends[name]]
    assert len(found) > 10, name
    return found


def test_a_beating_heart_has_its_rate(looks, heart):
    for name, bpm in (("before asystole", 75), ("before faint", 75), ("80", 80), ("40", 40), ("30", 30)):
        told = [look.bpm for look in during(looks, heart, name, 9)]
        assert all(rate is not None and abs(rate - bpm) <= 2 for rate in told), (name, told)


@pytest.mark.parametrize("name", ["asystole", "P waves", "pacing spikes", "fibrillation", "faint"])
def test_what_is_no_beat_has_no_rate_and_words_within_four_seconds(looks, heart, name):
    last = heart.last_beat(heart.ends[name])
    late = [look for look in during(looks, heart, name) if look.second > last + WORDS_WITHIN + LOOK]
    assert {look.rate for look in late if look.bpm is not None} == set()
    for look in late:
        found = re.search(r"Asystole: no beat for (\d+) s|Ventricular fibrillation\?", look.said)
        assert found, look
        if found[1]:
            assert abs(int(found[1]) - (look.second - last)) < 1 + LOOK, look


def test_words_go_when_the_heart_beats_again(looks, heart):
    for name in ("before P waves", "before pacing spikes", "80"):
        assert not [
            look for look in during(looks, heart, name, 6) if re.search("asystole|fibrillation", look.said, re.I)
        ]


def test_no_rate_is_faster_than_the_silence_allows(looks, heart):
    for look in looks[0]:
        silence = look.second - heart.last_beat(look.second)
        if look.bpm is not None and look.second > 3:
            assert look.bpm <= max(60 / max(silence - LOOK, 0.01), 1), (look, silence)


def test_each_episode_is_one_critical_alert_with_its_beginning_and_end(looks, heart):
    alerts = [alert for alert in looks[1] if alert["severity"] == "critical"]
    kinds = [alert["kind"] for alert in reversed(alerts)]
    assert kinds == ["asystole", "asystole", "asystole", "ventricular_fibrillation", "asystole"]
    for alert in alerts:
        assert alert["origins"] == ["page"]
        assert alert["end"] > alert["start"]
        assert "beats again" in alert["ending"]
