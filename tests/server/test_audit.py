"""The audit log: what persons did, and nothing of what they saw."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from client.servers import impatient, serving, until, url_of
from running import run

from ecgframe import MessageType, ProtocolError
from ecgframe.audit_events import Event
from ecgframe.foreign_text import printable
from ecgframe.server import Limits, WebSocketBinaryHandler, audit
from ecgframe.session import Settings
from ecgframe.tools import ToolError
from ecgframe.tools.audit_log import AuditLog, Span, read_audit_log, spans

ECG = MessageType.ECG_DATA
BEAT = {"signal": [[1, 2]], "sampling_rate": 250, "leads": ["the lead of nobody"]}
PERSONS = ["ann", "bob", "eve"]
STREAMS = ["ecg/1", "ecg/2", "ecg/3"]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "audit.jsonl"
    with AuditLog(path):
        yield path


def handler(**options):
    """A handler where eve may do nothing, and bob may not publish."""

    async def authenticate(request):
        return request.bearer_token

    async def authorize(connection, action, stream):
        return connection.identity == "ann" or (connection.identity == "bob" and action == "subscribe")

    return WebSocketBinaryHandler(authenticate=authenticate, authorize=authorize, **options)


def events(log, *names):
    return [record for record in read_audit_log(log) if not names or record["event"] in names]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("versions", [(1, 2, 3), (1, 2, 3, 4)], ids=["V3", "V4"])
def test_every_action_of_a_person_is_recorded(log, seed, versions):
    """Random actions of three persons, and the same counted by the test."""
    chance = random.Random(seed)
    watched, published, denied = Counter(), Counter(), Counter()

    async def conversation():
        settings = Settings(versions=versions, rate_limit=None)
        served = handler(settings=settings)
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(serving(served))
            clients = {
                name: await stack.enter_async_context(impatient(url_of(port), token=name, settings=settings))
                for name in PERSONS
            }
            watching = {}
            for _ in range(60):
                person, stream = chance.choice(PERSONS), chance.choice(STREAMS)
                match chance.choice(["subscribe", "unsubscribe", "publish", "server"]):
                    case "subscribe" if (person, stream) not in watching:
                        subscription = clients[person].subscribe(stream)
                        try:
                            await subscription.__aenter__()
                        except ProtocolError:
                            denied[person, "subscribe", stream] += 1
                        else:
                            watching[person, stream] = subscription
                            watched[person, stream] += 0
                    case "unsubscribe" if (person, stream) in watching:
                        await clients[person].unsubscribe(stream)
                        del watching[person, stream]
                    case "publish":
                        await clients[person].send_message(ECG, {**BEAT, "stream": stream}, acknowledged=True)
                        if person == "ann":
                            published[person, stream] += 1
                            watched.update(key for key in watching if key[1] == stream)
                        else:
                            denied[person, "publish", stream] += 1
                    case "server":
                        await served.publish(stream, ECG, BEAT)
                        watched.update(key for key in watching if key[1] == stream)

    run(conversation())
    told = spans(read_audit_log(log))
    assert all(span.is_complete for span in told)
    counts = {"watched": Counter(), "published": Counter()}
    for span in told:
        counts[span.kind][span.person, span.stream] += span.messages
    assert counts["published"] == published
    templates = versions[-1] >= 4  # they are messages of a stream, too
    for key in watched | counts["watched"]:
        assert watched[key] <= counts["watched"][key] <= watched[key] + 10 * templates, key
    times = Counter()
    for record in events(log, Event.DENIED):
        times[record["person"]] += record["times"]
    assert times == Counter(person for person, *_ in denied.elements())
    assert Counter(record["person"] for record in events(log, Event.OPENED)) == Counter(PERSONS)
    assert Counter(record["person"] for record in events(log, Event.CLOSED)) == Counter(PERSONS)
    assert "the lead of nobody" not in log.read_text()


def test_refusals_and_commands_are_recorded(log):
    async def conversation():
        served = handler()
        async with serving(served) as port:
            with pytest.raises(Exception, match="authentication failed"):
                await impatient(url_of(port)).open()
            async with impatient(url_of(port), token="ann") as ann, ann.subscribe("ecg/1"):
                await served.disconnect("ann")
                await until(lambda: not served.connections())

    run(conversation())
    names = [record["event"] for record in read_audit_log(log)]
    assert names[0] == "server_started"
    assert names[-1] == "server_stopped"
    assert [record["person"] for record in events(log, Event.REFUSED)] == [None]
    [rights] = events(log, Event.RIGHTS)
    assert (rights["command"], rights["of"], rights["ended"]) == ("disconnect", "ann", 1)
    [watched] = events(log, Event.WATCHED)
    assert watched["why"] == "closed"


def test_an_expired_identity_is_refused_and_recorded(log):
    async def authenticate(request):
        return {"sub": "ann", "exp": 1}

    async def conversation():
        async with serving(WebSocketBinaryHandler(authenticate=authenticate)) as port:
            with pytest.raises(Exception, match="expired"):
                await impatient(url_of(port)).open()

    run(conversation())
    assert [record["person"] for record in events(log, Event.REFUSED)] == ["ann"]
    assert events(log, Event.OPENED) == []


def test_a_peer_cannot_fill_the_disk_with_denials(log):
    async def conversation():
        async with serving(handler()) as port, impatient(url_of(port), token="eve") as eve:
            for _ in range(200):
                await eve.send_message(ECG, {**BEAT, "stream": "ecg/1"}, acknowledged=True)

    began = time.monotonic()
    run(conversation())
    records = events(log, Event.DENIED)
    assert sum(record["times"] for record in records) == 200
    assert len(records) <= 2 + (time.monotonic() - began) / audit.DENIALS_EVERY


def test_the_streams_of_a_publisher_are_counted_in_bounded_memory(log, monkeypatch):
    monkeypatch.setattr(audit, "STREAMS", 2)

    async def conversation():
        async with serving(handler(limits=Limits())) as port, impatient(url_of(port), token="ann") as ann:
            for stream in ("a", "b", "a", "c", "a"):
                await ann.send_message(ECG, {**BEAT, "stream": stream}, acknowledged=True)

    run(conversation())
    told = sorted((span.stream, span.messages) for span in spans(read_audit_log(log)))
    assert told == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]


def test_a_server_says_that_it_is_alive(log, monkeypatch):
    monkeypatch.setattr(audit, "ALIVE_EVERY", 0.01)

    async def conversation():
        async with serving(handler()):
            await until(lambda: len(events(log, Event.SERVER_ALIVE)) > 2)

    run(conversation())


def test_no_record_is_made_without_a_listener(caplog):
    async def conversation():
        with caplog.at_level(logging.WARNING, "ecgframe.audit"):
            async with serving(handler()) as port, impatient(url_of(port), token="ann") as ann, ann.subscribe("ecg/1"):
                await asyncio.sleep(0)

    run(conversation())
    assert not [record for record in caplog.records if record.name == "ecgframe.audit"]


def test_names_of_peers_cannot_forge_lines(log):
    name = 'ann\n{"event":"opened"} \N{RIGHT-TO-LEFT OVERRIDE}'

    async def authenticate(request):
        return name

    async def conversation():
        async with serving(WebSocketBinaryHandler(authenticate=authenticate)) as port, impatient(url_of(port)):
            pass

    run(conversation())
    [opened] = events(log, Event.OPENED)
    assert opened["person"] == name
    assert log.read_bytes().isascii()
    assert printable(name) != name


# --- reading ---


def record(event, at, run="r", **fields):
    defaults = {"connection": "c", "peer": "p", "person": "ann", "stream": "ecg/1"}
    return {"event": event, "run": run, "at": at, **defaults, **fields}


def test_a_server_that_was_killed_was_alive_until_its_last_record():
    log = [record("watches", 10), record("server_alive", 40), record("opened", 50, run="other")]
    assert spans(log) == [Span("watched", "ecg/1", "ann", "p", "c", 10, 40, None, is_complete=False)]


def test_a_log_that_begins_later_has_the_beginning_in_its_end():
    [span] = spans([record("watched", 20, messages=5, why="closed", **{"from": 3.5})])
    assert (span.start, span.stop, span.messages) == (3.5, 20, 5)


def test_a_line_that_is_no_record_is_named(tmp_path):
    path = tmp_path / "audit.jsonl"
    good = json.dumps(record("opened", 1))
    path.write_text(f"{good}\nnonsense\n{good}\n")
    with pytest.raises(ToolError, match="line 2 is no record"):
        list(read_audit_log(path))
    for wrong in ({"at": 1e300}, {"at": float("nan")}, {"at": "1"}, {"run": 5}, {"peer": None}, {"person": 7}):
        path.write_text(json.dumps(record("watches", 1) | wrong) + "\n")
        with pytest.raises(ToolError, match="line 1"):
            list(read_audit_log(path))
    path.write_text(json.dumps(record("watched", 1)) + "\n")  # without from and messages
    with pytest.raises(ToolError, match="line 1"):
        list(read_audit_log(path))
    path.write_text(f"{good}\n{good[:20]}")  # the disk was full, or the machine lost its power
    assert len(list(read_audit_log(path))) == 1
