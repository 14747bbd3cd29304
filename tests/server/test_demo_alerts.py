"""Demonstration alerts: on every stream, with each severity in turn, and a text that says what they are."""

import asyncio
from contextlib import suppress

from running import run

from ecgframe.messages import check_sent
from ecgframe.protocol import MessageType
from ecgframe.server.demo_alerts import DemoAlerts


def test_every_stream_gets_every_alert_in_a_separate_message():
    published = []

    async def playing():
        enough = asyncio.Event()

        async def publish(stream, type, data):
            published.append((stream, type, data))
            data["stream"] = stream  # a publisher may change the data afterwards
            if len(published) == 8:
                enough.set()

        task = asyncio.create_task(DemoAlerts(["a", "b"], publish, seconds=0.001, wall_clock=lambda: 12.5).run())
        await enough.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    run(playing())
    assert [stream for stream, _, _ in published[:8]] == ["a", "b"] * 4
    assert {type for _, type, _ in published} == {MessageType.ANOMALY_ALERT}
    assert [data["severity"] for _, _, data in published[:8:2]] == ["info", "warning", "critical", "info"]
    for stream, type, data in published:
        check_sent(type, data)
        assert data["stream"] == stream
        assert data["kind"] == "demonstration"
        assert "not based on the signal" in data["message"]
        assert data["timestamp"] == 12.5
