"""The audit log: what persons did, and nothing of what they saw."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from client.servers import impatient, serving, until, url_of
from running import run

from ecgframe import MessageType, ProtocolError
from ecgframe.audit_events import Event
from ecgframe.foreign_text import printable
from ecgframe.server import Limits, WebSocketBinaryHandler, audit
from ecgframe.server.adapters.websockets import serve as websockets_server
from ecgframe.server.alarms import Alarms
from ecgframe.server.audit_repeats import ADDRESSES, Repeats
from ecgframe.server.origins import Origins
from ecgframe.server.pages import Pages
from ecgframe.session import Settings
from ecgframe.tools import ToolError
from ecgframe.tools.audit_log import AuditLog, Span, read_audit_log, spans

ECG = MessageType.ECG_DATA
ALERT = MessageType.ANOMALY_ALERT
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


# --- alarms and pages ---

ASYSTOLE = {"kind": "asystole", "severity": "critical", "timestamp": 1000.5, "start": 996.0, "source": "ecg/1"}
PAUSE = {"kind": "pause", "severity": "info", "timestamp": 1000.5}


def test_what_persons_do_about_alarms_is_recorded(log):
    """Acknowledgements, pauses and limits, and those that are refused, over real connections."""
    limits = {"rate_high": 120.0, "rate_low": float("nan"), "asystole": 5.0, "lead_off": 1.0}

    async def may_acknowledge(connection, stream):
        return connection.identity == "ann"

    async def authenticate(request):
        return request.bearer_token

    async def conversation():
        alarms = Alarms(may_acknowledge=may_acknowledge)
        served = WebSocketBinaryHandler(
            authenticate=authenticate, authorize=alarms.authorize, on_message=alarms.on_message
        )
        alarms.attach(served)
        async with serving(served) as port:
            for person in ("ann", "eve"):
                async with impatient(url_of(port), token=person, on_error=lambda error: None) as client:
                    for type, data in (
                        (ALERT, {**ASYSTOLE, "acknowledged_by": "Ada"}),
                        (MessageType.FEATURE_DATA, {"features": limits, "source": "ecg/2", "set_by": "Ada"}),
                        (ALERT, {**PAUSE, "paused_seconds": 120.0, "paused_by": "Ada"}),
                        (ALERT, {**PAUSE, "paused_seconds": 0}),
                    ):
                        await client.send_message(type, data, acknowledged=True)
                    if person == "ann":
                        ids = [connection.id for connection in served.connections()]
            return alarms._book.alarms()[0].alarm, ids[0]

    alarm, connection = run(conversation())
    [acknowledged] = events(log, Event.ACKNOWLEDGED)
    assert {name: acknowledged[name] for name in ("person", "by", "stream", "alarm", "kind", "severity", "began")} == {
        "person": "ann",
        "by": "Ada (signed in as ann)",
        "stream": "ecg/1",
        "alarm": alarm,
        "kind": "asystole",
        "severity": "critical",
        "began": 996.0,
    }
    assert acknowledged["connection"] == connection
    assert acknowledged["peer"].startswith("127.0.0.1:")
    assert abs(acknowledged["at"] - time.time()) < 60
    [changed] = events(log, Event.LIMITS)
    assert (changed["person"], changed["by"], changed["stream"]) == ("ann", "Ada (signed in as ann)", "ecg/2")
    assert changed["limits"] == limits | {"rate_low": None}
    pauses = [(record["person"], record["by"], record["seconds"]) for record in events(log, Event.PAUSED)]
    assert pauses == [
        ("ann", "Ada (signed in as ann)", 120.0),
        ("ann", "ann", 0.0),
        ("eve", "Ada (signed in as eve)", 120.0),
        ("eve", "eve", 0.0),
    ]
    denied = events(log, Event.DENIED)
    assert {(record["person"], record["action"], record["code"]) for record in denied} == {("eve", "message", 0x203)}
    assert sum(record["times"] for record in denied) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"paused_seconds": -1},
        {"paused_seconds": True},
        {"paused_seconds": float("nan")},
        {"paused_seconds": 1e9},
        {"paused_seconds": 1, "paused_by": "x" * 81},
        {"paused_seconds": 1, "paused_by": 7},
    ],
)
def test_an_invalid_pause_is_refused(log, wrong):
    async def conversation():
        alarms, refused = Alarms(), []
        served = WebSocketBinaryHandler(authorize=alarms.authorize, on_message=alarms.on_message)
        alarms.attach(served)
        async with serving(served) as port, impatient(url_of(port), on_error=refused.append) as client:
            await client.send_message(ALERT, PAUSE | wrong, acknowledged=True)
        return [error.code for error in refused]

    assert run(conversation()) == [0x200]
    assert events(log, Event.PAUSED) == []


def test_refused_requests_of_pages_are_recorded_once_a_second(log):
    pytest.importorskip("prometheus_client")

    async def authenticate(request):
        return request.bearer_token or False

    async def may_see_metrics(request, identity):
        return identity == "ann"

    def get(url, **headers):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    async def conversation():
        served = WebSocketBinaryHandler(authenticate=authenticate, may_see_metrics=may_see_metrics)
        async with served:
            pages = Pages(served, ["ecg/1"], Origins((), host="127.0.0.1"))
            async with websockets_server(served, "127.0.0.1", 0, process_request=pages) as server:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

                async def ask(path, **headers):
                    return await asyncio.to_thread(get, f"{url}{path}", **headers)

                assert await ask("/streams", Authorization="Bearer ann") == 200
                assert await ask("/metrics", Authorization="Bearer ann") == 200
                assert await ask("/") == 200  # without its list
                assert events(log, Event.PAGE_REFUSED) == []
                assert await ask("/metrics", Authorization="Bearer eve") == 403
                for _ in range(3):
                    assert await ask("/streams") == 401
                assert await ask("/ws", Origin="https://evil.example") == 403

    began = time.monotonic()
    run(conversation())
    told = events(log, Event.PAGE_REFUSED)
    assert len(told) <= 2 + (time.monotonic() - began)
    assert (told[0]["person"], told[0]["page"], told[0]["status"]) == ("eve", "/metrics", 403)
    assert (told[-1]["person"], told[-1]["page"], told[-1]["status"]) == (None, "/ws", 403)
    assert told[-1]["origin"] == "https://evil.example"
    assert all(record["peer"].startswith("127.0.0.1") for record in told)
    assert sum(record["times"] for record in told) == 5


def test_refusals_of_many_addresses_are_bounded_and_all_recorded():
    told = []
    repeats = Repeats(told.append)
    for round in range(3):
        for peer in range(2 * ADDRESSES):
            repeats.note(peer, {"peer": peer}, 0.1 * round)
    repeats.flush()
    assert sum(record["times"] for record in told) == 6 * ADDRESSES
    assert len(repeats._by_key) == 0

    told.clear()
    for tenth in range(35):
        repeats.note("one", {"peer": "one"}, tenth / 10)
    repeats.flush()
    assert [record["times"] for record in told] == [1, 10, 10, 10, 4]
