"""Alerts on the screen: shown at once, by severity, one after the other, and kept."""

from __future__ import annotations

import pytest
from cli.live_server import live


@pytest.mark.alone
def test_an_alert_is_shown_within_200_ms_of_its_publishing(open_monitor):
    with live("--alerts", 0.4) as server:
        monitor = open_monitor(server.port)
        monitor.wait("alerts.length >= 4")
        alerts = monitor.page.evaluate("window.ecgframe.alerts")
        delays = [
            alert["shownAt"] - alert["timestamp"] for alert in alerts[:3]
        ]  # the first may have come from the ring
        assert all(-0.01 < delay < 0.2 for delay in delays), delays
        assert monitor.page.is_visible("#banner")
        monitor.check_quiet()


def test_the_most_severe_alert_is_in_the_banner_and_all_are_in_the_history(open_monitor):
    with live("--alerts", 0.4) as server:
        monitor = open_monitor(server.port)
        monitor.wait("alerts.some(alert => alert.severity === 'critical')")
        banner = monitor.page.locator("#banner")
        assert banner.get_attribute("role") == "alert"
        assert banner.get_attribute("data-severity") == "critical"
        assert "CRITICAL: demonstration" in banner.text_content()
        monitor.shot("alert")
        monitor.page.keyboard.press("l")
        shown = monitor.page.locator("#alert-list li").all_text_contents()
        alerts = monitor.page.evaluate("window.ecgframe.alerts")
        assert len(alerts) >= len(shown) >= 3
        assert "not based on the signal" in shown[0]


def test_alerts_that_were_seen_leave_the_banner_and_stay_in_the_history(open_monitor):
    with live("--alerts", 0.3) as server:
        monitor = open_monitor(server.port)
        monitor.wait("alerts.length >= 3")
        before = monitor.page.evaluate("window.ecgframe.alerts.length")
        seen = monitor.page.evaluate(
            """() => {
              const banner = document.getElementById("banner");
              let pressed = 0;
              while (!banner.hidden && pressed < 100) {
                document.getElementById("seen").click();
                pressed += 1;
              }
              return pressed;
            }"""
        )
        assert before <= seen <= before + 2
        assert monitor.page.evaluate("window.ecgframe.alerts.length") >= before
        monitor.page.wait_for_selector("#banner:visible")  # the next one
