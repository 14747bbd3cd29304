"""Who watches a stream now, over one server and over several; and subscriptions that are ended by name."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from client.servers import at_once, impatient, serving, until, url_of
from recordings import optional
from running import run
from server.engines import client
from server.redis_server import redis_server
from server.test_rights import STREAM, VERSIONS, Ward

from ecgframe import InvalidDataFormat, MessageType, PermissionDenied
from ecgframe.server import Request, WebSocketBinaryHandler, presence
from ecgframe.server.backplane import PRESENCE, LocalBackplane
from ecgframe.server.pages import Pages
from ecgframe.session import Settings
from ecgframe.tools.audit_log import AuditLog

ECG = MessageType.ECG_DATA


def names(answer):
    return [(one.stream, one.name) for one in answer.watchers]


# --- one server ---


@pytest.mark.parametrize("versions", VERSIONS)
def test_those_who_watch_are_named_until_they_leave(versions):
    async def conversation():
        ward, settings = Ward(), Settings(versions=versions)
        handler = ward.handler(settings=settings)
        async with serving(handler) as port:
            assert await handler.watchers(STREAM) == ((), 0, 1, 0, True)
            before = time.time()
            async with (
                impatient(url_of(port), token="ann", settings=settings) as ann,
                impatient(url_of(port), token="bob", settings=settings) as bob,
                ann.subscribe(STREAM),
                ann.subscribe("ecg/bed-8"),
                bob.subscribe(STREAM),
            ):
                answer = await handler.watchers(STREAM)
                assert names(answer) == [(STREAM, "ann"), (STREAM, "bob")]
                [first, _] = answer.watchers
                [connection] = [one for one in handler.connections() if one.identity == "ann"]
                assert (first.connection, first.peer) == (connection.id, connection.peer)
                assert before <= first.since <= time.time()
                assert names(await handler.watchers()) == [(STREAM, "ann"), (STREAM, "bob"), ("ecg/bed-8", "ann")]
                await ann.unsubscribe(STREAM)
                await until(lambda: connection.streams == ("ecg/bed-8",))
                assert names(await handler.watchers(STREAM)) == [(STREAM, "bob")]
            await until(lambda: not handler.connections())
            assert (await handler.watchers()).total == 0

    run(conversation())


def test_one_who_begins_anew_has_watched_since_the_first_time():
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with serving(handler) as port, client(port) as viewer:
            await viewer.subscribe(STREAM)
            [first] = (await handler.watchers(STREAM)).watchers
            await viewer.send("SUBSCRIBE", {"stream": STREAM, "since": 1.5})
            await viewer.expect("SUBSCRIPTION_ACK")
            [second] = (await handler.watchers(STREAM)).watchers
            assert first.since == second.since

    run(conversation())


def test_a_crowd_is_counted_and_listed_in_part(monkeypatch):
    monkeypatch.setattr(presence, "LISTED", 2)

    async def conversation():
        handler = WebSocketBinaryHandler()
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(serving(handler))
            for _ in range(3):
                viewer = await stack.enter_async_context(impatient(url_of(port)))
                await stack.enter_async_context(viewer.subscribe(STREAM))
            answer = await handler.watchers(STREAM)
            assert (len(answer.watchers), answer.total) == (2, 3)

    run(conversation())


def test_a_subscription_is_ended_by_name_and_no_other(caplog):
    async def conversation():
        ward = Ward()
        handler = ward.handler()
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="ann") as ann,
            impatient(url_of(port), token="bob") as bob,
            ann.subscribe(STREAM) as lost,
            ann.subscribe("ecg/bed-8") as kept,
            bob.subscribe(STREAM) as other,
        ):
            assert await handler.unsubscribe("ann", STREAM, "the shift is over") == (1, 0, True)
            with pytest.raises(PermissionDenied, match="the shift is over"):
                await anext(lost)
            assert (kept.status, other.status) == ("subscribed", "subscribed")
            assert names(await handler.watchers(STREAM)) == [(STREAM, "bob")]
            assert await handler.unsubscribe("ann", STREAM) == (0, 0, True)
            async with ann.subscribe(STREAM) as again:  # authorize decides
                assert again.status == "subscribed"

    with caplog.at_level(logging.INFO, "ecgframe.audit"):
        run(conversation())
    [first, _] = [record for record in caplog.records if getattr(record, "event", "") == "rights"]
    assert (first.command, first.of, first.stream, first.ended) == ("unsubscribe", "ann", STREAM, 1)


def test_peers_and_applications_cannot_use_the_stream_of_the_servers():
    async def conversation():
        ward = Ward()
        ward.may.add(("ann", PRESENCE))
        handler = ward.handler()
        async with serving(handler) as port, impatient(url_of(port), token="ann") as ann:
            with pytest.raises(InvalidDataFormat):
                await anext(ann.subscribe(PRESENCE))
            with pytest.raises(ValueError, match="between servers only"):
                await handler.publish(PRESENCE, MessageType.FEATURE_DATA, {"features": {}})

    run(conversation())


# --- several servers, joined by a backplane in memory ---


class Wire:
    """What joins the servers of a test."""

    def __init__(self):
        self.ends = []


class JoinedBackplane(LocalBackplane):
    """Delivers what a server publishes to all servers of a wire; one that is cut off hears and says nothing."""

    def __init__(self, wire):
        super().__init__()
        self.wire = wire
        self.is_cut = False
        wire.ends.append(self)

    async def publish(self, stream, timestamp, frame):
        for end in list(self.wire.ends):
            if end is self or not (self.is_cut or end.is_cut or end._deliver is None):
                end._deliver(stream, timestamp, frame if end is self else frame.frame)
        return timestamp

    async def catch_up(self, stream):
        return not self.is_cut


@pytest.fixture
def joins(monkeypatch):
    """Let servers on a backplane in memory ask each other."""
    monkeypatch.setattr(presence, "LocalBackplane", type(None))
    monkeypatch.setattr(presence, "ANSWER_SECONDS", 0.2)


@asynccontextmanager
async def two_servers(stack, **options):
    wire, ward = Wire(), Ward()
    one, other = (ward.handler(backplane=JoinedBackplane(wire), **options) for _ in "ab")
    await stack.enter_async_context(serving(one))
    port = await stack.enter_async_context(serving(other))
    ann = await stack.enter_async_context(impatient(url_of(port), token="ann"))
    await stack.enter_async_context(ann.subscribe(STREAM))
    yield one, other, wire


@pytest.mark.usefixtures("joins")
def test_all_servers_answer_or_are_missed():
    async def conversation():
        async with AsyncExitStack() as stack, two_servers(stack) as (one, other, wire):
            answer = await one.watchers(STREAM)
            assert (names(answer), answer[2:]) == ([(STREAM, "ann")], (2, 0, True))
            assert {watcher.server for watcher in answer.watchers} == {other.audit.run}
            wire.ends[1].is_cut = True  # it is killed, or hangs
            assert await one.watchers(STREAM) == ((), 0, 1, 1, False)
            one._presence._servers[other.audit.run] -= presence.GONE_AFTER
            assert await one.watchers(STREAM) == ((), 0, 1, 0, True)
            wire.ends[0].is_cut = True
            assert not (await one.watchers(STREAM)).is_everywhere

    run(conversation())


@pytest.mark.usefixtures("joins")
def test_a_server_that_stops_is_not_waited_for():
    async def conversation():
        async with AsyncExitStack() as stack, two_servers(stack) as (one, other, _):
            await other.close()
            assert await one.watchers(STREAM) == ((), 0, 1, 0, True)

    run(conversation())


@pytest.mark.usefixtures("joins")
def test_those_who_ask_at_once_share_one_question():
    async def conversation():
        async with AsyncExitStack() as stack, two_servers(stack) as (one, _, wire):
            asked = []
            deliver = wire.ends[1]._deliver
            wire.ends[1]._deliver = lambda *arguments: (asked.append(arguments), deliver(*arguments))
            answers = await asyncio.gather(*(one.watchers(STREAM) for _ in range(50)))
            assert {len(answer.watchers) for answer in answers} == {1}
            assert len(asked) == 2  # the question, and its own answer

    run(conversation())


@pytest.mark.usefixtures("joins")
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"says": "asks", "run": 5},
        {"says": "asks", "run": "x"},
        {"says": "answers", "run": "x", "question": "q", "count": -1, "watchers": []},
        {"says": "answers", "run": "x", "question": "q", "count": 1, "watchers": [["a"]]},
        {"says": "answers", "run": "x", "question": "q", "count": 1, "watchers": [[1, 2, 3, 4, 5]]},
        {"says": "answers", "run": "x", "question": ["q"], "count": 1, "watchers": []},
    ],
)
def test_a_damaged_message_is_logged(said, caplog):
    async def conversation():
        async with WebSocketBinaryHandler() as handler:
            handler._presence._questions["q"] = presence._Question()
            frame = presence._codec.encode(MessageType.FEATURE_DATA, {"stream": PRESENCE, "features": said})
            handler._presence.hear(frame)
            handler._presence.hear(frame[:-1])

    run(conversation())
    assert sum("damaged message about presence" in record.message for record in caplog.records) == 2


# --- several servers, on Redis ---


def serve_and_tell(url, versions, told):
    """Serve in a process of its own, which the test kills."""
    from ecgframe.server.redis import RedisBackplane

    async def serve():
        handler = Ward().handler(
            settings=Settings(versions=versions), backplane=RedisBackplane(url, version=versions[-1])
        )
        async with serving(handler) as port:
            told.send(port)
            await asyncio.Event().wait()

    asyncio.run(serve())


@pytest.mark.slow
@pytest.mark.parametrize("versions", VERSIONS)
def test_a_killed_server_is_missed_and_its_viewers_are_gone(tmp_path, monkeypatch, versions):
    optional("redis")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where the process finds this module
    from ecgframe.server.redis import RedisBackplane

    async def conversation(redis, process, port):
        here = Ward().handler(
            settings=Settings(versions=versions), backplane=RedisBackplane(redis.url, version=versions[-1])
        )
        async with serving(here) as own:
            async with (
                impatient(url_of(port), token="ann", reconnect=False) as ann,
                impatient(url_of(own), token="bob", reconnect_delays=at_once) as bob,
                ann.subscribe(STREAM),
                bob.subscribe(STREAM),
            ):
                answer = await here.watchers(STREAM)
                assert sorted(names(answer)) == [(STREAM, "ann"), (STREAM, "bob")]
                assert answer[1:] == (2, 2, 0, True)
                process.kill()
                process.join()
                began = time.monotonic()
                answer = await here.watchers(STREAM)
                assert (names(answer), answer[1:]) == ([(STREAM, "bob")], (1, 1, 1, False))
                assert time.monotonic() - began < presence.ANSWER_SECONDS + 1
            while not (await here.watchers(STREAM)).is_everywhere:
                assert time.monotonic() - began < presence.GONE_AFTER + 5

    with redis_server(tmp_path) as redis:
        mine, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=serve_and_tell, args=(redis.url, versions, theirs)
        )
        process.start()
        try:
            assert mine.poll(60)
            run(conversation(redis, process, mine.recv()))
        finally:
            process.kill()
            process.join()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("versions", VERSIONS)
def test_a_right_that_is_taken_away_ends_delivery_on_another_server_within_100_ms(tmp_path, versions):
    optional("redis")
    from ecgframe.server.redis import RedisBackplane

    async def once(here, ward, ann, take_away):
        ward.may.add(("ann", STREAM))
        async with ann.subscribe(STREAM) as watched:
            ward.may.discard(("ann", STREAM))
            began = time.monotonic()
            await take_away(here)
            await until(lambda: watched.status == "denied")
            return time.monotonic() - began

    async def conversation(redis):
        ward, settings = Ward(), Settings(versions=versions)
        here, there = (
            ward.handler(settings=settings, backplane=RedisBackplane(redis.url, version=versions[-1])) for _ in "ab"
        )
        async with (
            serving(here),
            serving(there) as port,
            impatient(url_of(port), token="ann", settings=settings) as ann,
        ):
            ways = [lambda handler: handler.recheck(STREAM), lambda handler: handler.unsubscribe("ann", STREAM)]
            return [await once(here, ward, ann, way) for way in ways * 10]

    with redis_server(tmp_path) as redis:
        took = sorted(run(conversation(redis)))
    assert took[-1] < 0.1, took


# --- over HTTP ---


async def may_see(request, identity, stream):
    return identity == "head nurse" and stream == STREAM


async def ask(handler, query, token=None):
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    answer = await Pages(handler, []).answer(
        Request(path="/watchers", query=query, headers=headers, peer="10.1.2.3:4"), secure=False
    )
    return int(answer.status), answer


def test_the_page_answers_those_who_may_know_and_the_audit_log_has_it(tmp_path):
    async def conversation():
        ward = Ward()
        handler = ward.handler(may_see_watchers=may_see)
        async with serving(handler) as port, impatient(url_of(port), token="ann") as ann, ann.subscribe(STREAM):
            status, answer = await ask(handler, "stream=ecg/bed-7", "head nurse")
            assert (status, answer.all_headers["Cache-Control"]) == (200, "no-store")
            told = json.loads(answer.body)
            assert (told["total"], told["is_everywhere"], told["watchers"][0]["name"]) == (1, True, "ann")
            assert (await ask(handler, "stream=ecg/bed-8", "head nurse"))[0] == 403
            assert (await ask(handler, "", "head nurse"))[0] == 403
            assert (await ask(handler, "stream=ecg/bed-7", "ann"))[0] == 403
            status, answer = await ask(handler, "stream=ecg/bed-7")
            assert (status, answer.headers) == (401, {"WWW-Authenticate": "Bearer"})
            for query in ("stream=", "stream=a&stream=b", "stream=" + 300 * "x", "stream=%ff", 9 * "x=1&"):
                assert (await ask(handler, query, "head nurse"))[0] == 400
        assert (await ask(handler, "stream=ecg/bed-7", "head nurse"))[0] == 503
        async with WebSocketBinaryHandler() as closed_to_all:
            assert (await ask(closed_to_all, ""))[0] == 404

    with AuditLog(tmp_path / "audit.jsonl"):
        run(conversation())
    records = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    asked = [record for record in records if record["event"] == "asked"]
    assert [(one["person"], one["stream"], one["granted"]) for one in asked] == [
        ("head nurse", STREAM, True),
        ("head nurse", "ecg/bed-8", False),
        ("head nurse", None, False),
        ("ann", STREAM, False),
        (None, STREAM, False),
        ("head nurse", STREAM, True),
    ]
    assert {one["peer"] for one in asked} == {"10.1.2.3:4"}


def test_a_hook_that_fails_or_an_identity_that_has_expired_sees_nothing():
    async def fails(request, identity, stream):
        raise OSError("the database does not answer")

    async def authenticate(request):
        return {"name": "head nurse", "exp": 1}

    async def conversation():
        async with Ward().handler(may_see_watchers=fails) as handler:
            assert (await ask(handler, "", "head nurse"))[0] == 403
        async with WebSocketBinaryHandler(authenticate=authenticate, may_see_watchers=may_see) as handler:
            assert (await ask(handler, "", "head nurse"))[0] == 401

    run(conversation())
