"""Times of messages, as the server, the tools and frame files read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ecgframe.messages.times import unix_seconds


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def zone(request, monkeypatch):
    """The time zone of the machine."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set here")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (0, 0.0),
        (1.5, 1.5),
        (-3, -3.0),
        (datetime(2024, 1, 15, 10, 30), 1705314600.0),
        (datetime(2024, 1, 15, 10, 30, tzinfo=UTC), 1705314600.0),
        (datetime(2024, 1, 15, 12, 30, tzinfo=timezone(timedelta(hours=2))), 1705314600.0),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        ("2024-01-15", None),
        (None, None),
    ],
)
def test_a_date_without_a_time_zone_is_utc_wherever_the_machine_stands(zone, moment, seconds):
    assert unix_seconds(moment) == seconds
