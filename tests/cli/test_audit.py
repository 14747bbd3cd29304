"""``ecgframe audit``, with the log of a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cli.live_server import LiveServer, live
from client.servers import impatient, until, url_of
from command_line import run
from running import run as run_coroutine

from ecgframe.tools.audit_log import read_audit_log


def watch(port, *, then):
    """Watch ecg/1 until some frames have come, and call ``then`` while the subscription stands."""

    async def conversation():
        async with impatient(url_of(port), reconnect=False) as client, client.subscribe("ecg/1") as subscription:
            for _ in range(5):
                await anext(subscription)
            await then()

    run_coroutine(conversation())


async def nothing():
    pass


@pytest.mark.slow
def test_who_saw_a_bed_between_two_moments(tmp_path):
    log = tmp_path / "audit.jsonl"
    with live("--audit-log", log) as server:
        before = datetime.now(UTC)
        watch(server.port, then=nothing)
        after = datetime.now(UTC)
        server.end()
    assert log.stat().st_mode & 0o777 == 0o600
    out = run("audit", log, "--stream", "ecg/1").stdout
    assert out.startswith("somebody without a name at 127.0.0.1:")
    assert " watched ecg/1 from " in out
    inside = ("--from", before.isoformat(), "--to", after.isoformat())
    [span] = json.loads(run("audit", log, *inside, "--json").stdout)["spans"]
    assert before.timestamp() <= span["start"] < after.timestamp()
    assert span["messages"] >= 5
    earlier = ("--to", (before - timedelta(seconds=1)).isoformat())
    assert run("audit", log, *earlier, code=3).stdout == "nobody\n"
    assert run("audit", log, "--stream", "ecg/2", code=3).stdout == "nobody\n"
    assert run("audit", log, "--person", "ann", code=3).stdout == "nobody\n"


@pytest.mark.slow
def test_the_answer_is_right_after_a_server_was_killed(tmp_path):
    log = tmp_path / "audit.jsonl"
    killed = LiveServer("--audit-log", log)

    async def kill():
        killed.process.kill()
        await until(lambda: killed.process.poll() is not None)

    watch(killed.port, then=kill)
    killed.ended()
    with live("--audit-log", log) as server:  # the next run appends
        watch(server.port, then=nothing)
        server.end()
    first, second = json.loads(run("audit", log, "--json").stdout)["spans"]
    assert not first["is_complete"]
    assert second["is_complete"]
    records = list(read_audit_log(log))
    assert first["stop"] == max(record["at"] for record in records if record["run"] == records[0]["run"])
    assert "at least to" in run("audit", log).stdout


def test_a_time_that_is_none_and_a_file_that_is_none(tmp_path):
    log = tmp_path / "audit.jsonl"
    log.write_text("nonsense\n")
    assert "'noon' is no time such as" in run("audit", log, "--from", "noon", code=2).output
    assert "line 1 is no record of an audit log" in run("audit", log, code=1).output
