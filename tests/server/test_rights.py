"""Rights that end while a connection is open: identities that expire, subscriptions and connections that are ended."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from client.servers import at_once, impatient, serving, until, url_of
from running import run
from server.engines import ENGINES
from server.redis_server import redis_server

from ecgframe import MessageType, PermissionDenied, encode
from ecgframe.client import ConnectionLost
from ecgframe.server import Limits, LocalBackplane, WebSocketBinaryHandler
from ecgframe.server.backplane import COMMANDS
from ecgframe.server.identity import expiry_of, name_of
from ecgframe.server.rights import AT_ONCE, TOO_LATE
from ecgframe.session import Settings

ECG = MessageType.ECG_DATA
STREAM = "ecg/bed-7"
BEAT = {"signal": [1], "sampling_rate": 250}
VERSIONS = [pytest.param((1, 2, 3), id="V3"), pytest.param((1, 2, 3, 4), id="V4")]


class Ward:
    """The rights of an application: who may watch which stream."""

    def __init__(self):
        self.may = {("ann", STREAM), ("bob", STREAM), ("ann", "ecg/bed-8")}
        self.asked = []
        self.fails = False

    async def authenticate(self, request):
        return request.bearer_token

    async def authorize(self, connection, action, stream):
        self.asked.append((connection.identity, action, stream))
        if self.fails:
            raise OSError("the database does not answer")
        return (connection.identity, stream) in self.may

    def handler(self, **options):
        return WebSocketBinaryHandler(authenticate=self.authenticate, authorize=self.authorize, **options)


# --- rights that are taken away ---


@pytest.mark.parametrize("versions", VERSIONS)
def test_a_right_that_is_taken_away_ends_its_subscription(versions):
    async def conversation():
        ward, settings = Ward(), Settings(versions=versions)
        handler = ward.handler(settings=settings)
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="ann", settings=settings) as ann,
            impatient(url_of(port), token="bob", settings=settings) as bob,
            ann.subscribe(STREAM) as lost,
            ann.subscribe("ecg/bed-8") as kept,
            bob.subscribe(STREAM) as other,
        ):
            ward.may.discard(("ann", STREAM))
            assert await handler.recheck() == (1, 0, True)
            with pytest.raises(PermissionDenied, match="denied the stream 'ecg/bed-7'"):
                await anext(lost)
            assert lost.status == "denied"
            await handler.publish(STREAM, ECG, BEAT)
            await handler.publish("ecg/bed-8", ECG, BEAT)
            assert (await anext(kept)).data["stream"] == "ecg/bed-8"
            assert (await anext(other)).data["stream"] == STREAM
            assert ann.stats()["unclaimed"] == 0
            assert [connection.streams for connection in handler.connections()] == [("ecg/bed-8",), (STREAM,)]

    run(conversation())


def test_only_the_streams_in_question_are_asked_about():
    async def conversation():
        ward = Ward()
        handler = ward.handler()
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="ann") as ann,
            ann.subscribe(STREAM) as one,
            ann.subscribe("ecg/bed-8"),
        ):
            ward.may.clear()
            ward.asked.clear()
            assert await handler.recheck("ecg/bed-8") == (1, 0, True)
            assert ward.asked == [("ann", "subscribe", "ecg/bed-8")]
            assert one.status == "subscribed"

    run(conversation())


def test_an_application_that_cannot_answer_ends_nothing():
    async def conversation():
        ward = Ward()
        handler = ward.handler()
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="ann") as ann,
            ann.subscribe(STREAM) as subscription,
        ):
            ward.fails = True
            assert await handler.recheck() == (0, 1, True)
            await handler.publish(STREAM, ECG, BEAT)
            assert (await anext(subscription)).data["stream"] == STREAM

    run(conversation())


# --- an application that does not answer ---


class Hanging(Ward):
    """Does not answer about the streams in ``hangs``, nor end when it is cancelled if it is ``stubborn``."""

    def __init__(self, stubborn=False):
        super().__init__()
        self.hangs = set()
        self.stubborn = stubborn
        self.goes_on = asyncio.Event()

    async def authorize(self, connection, action, stream):
        self.asked.append((connection.identity, action, stream))
        if stream in self.hangs:
            while not self.goes_on.is_set():
                try:
                    await self.goes_on.wait()
                except asyncio.CancelledError:
                    if not self.stubborn:
                        raise
        return True


@pytest.mark.parametrize("stubborn", [False, True])
def test_an_application_that_does_not_answer_ends_the_subscription(stubborn, caplog):
    async def conversation():
        ward = Hanging(stubborn)
        handler = ward.handler(limits=Limits(hook_seconds=0.1))
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="ann") as ann,
            ann.subscribe(STREAM) as hung,
            ann.subscribe("ecg/bed-8") as kept,
        ):
            ward.hangs = {STREAM}
            with caplog.at_level(logging.INFO):
                async with asyncio.timeout(10):
                    assert await handler.recheck() == (1, 0, True)
            assert [connection.streams for connection in handler.connections()] == [("ecg/bed-8",)]
            await handler.publish(STREAM, ECG, BEAT)
            await handler.publish("ecg/bed-8", ECG, BEAT)
            assert (await anext(kept)).data["stream"] == "ecg/bed-8"
            with pytest.raises(PermissionDenied, match=f"denied the stream '{STREAM}': {TOO_LATE}"):
                await anext(hung)
            ward.goes_on.set()  # who asks anew is granted it once the application answers
            async with ann.subscribe(STREAM) as again:
                await handler.publish(STREAM, ECG, BEAT)
                assert (await anext(again)).data["stream"] == STREAM

    run(conversation())
    said = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert ("ERROR", "authorize took more than 0.1 s and was cancelled") in said
    assert (
        "ERROR",
        "asked authorize again: 1 subscriptions ended, of which 1 had no answer in time; 0 undecided",
    ) in said
    rights = [one for one in caplog.records if getattr(one, "event", None) == "rights"]
    assert [(one.ended, one.late) for one in rights] == [(1, 1)]
    denied = [one for one in caplog.records if getattr(one, "event", None) == "denied"]
    assert [(one.stream, one.code, one.person) for one in denied] == [(STREAM, 0x203, "ann")]


def test_an_application_that_answers_nobody_takes_its_time_once():
    """Those that waited for their turn while it was silent are not asked about."""

    async def conversation():
        ward = Hanging()
        streams = [f"ecg/{number}" for number in range(3 * AT_ONCE)]
        handler = ward.handler(limits=Limits(hook_seconds=0.3, streams_per_connection=len(streams)))
        async with serving(handler) as port, impatient(url_of(port), token="ann") as ann:
            held = [ann.subscribe(stream) for stream in streams]
            await until(lambda: all(one.status == "subscribed" for one in held))
            ward.hangs = set(streams)
            ward.asked.clear()
            assert await handler.recheck() == (len(streams), 0, True)
            assert len(ward.asked) == AT_ONCE
            assert [connection.streams for connection in handler.connections()] == [()]
            await until(lambda: not any(one.status == "subscribed" for one in held))  # until the client has read it
            ward.asked.clear()
            ward.hangs.clear()
            async with ann.subscribe("ecg/0"):
                ward.asked.clear()
                assert await handler.recheck() == (0, 0, True)  # it is asked again
                assert len(ward.asked) == 1

    run(conversation())


def test_a_right_that_is_taken_away_while_its_subscription_begins():
    class Slow(LocalBackplane):
        """Lets the test act after ``authorize`` has answered and before the subscription begins."""

        def __init__(self):
            super().__init__()
            self.waits, self.goes_on = asyncio.Event(), asyncio.Event()

        async def catch_up(self, stream):
            if stream == STREAM:
                self.waits.set()
                await self.goes_on.wait()
            return await super().catch_up(stream)

    async def conversation():
        ward, engine = Ward(), Slow()
        handler = ward.handler(backplane=engine, settings=Settings(versions=(1, 2, 3)))
        async with serving(handler) as port, impatient(url_of(port), token="ann") as ann:
            subscription = ann.subscribe(STREAM, since=datetime.now(UTC) - timedelta(seconds=1))
            begins = asyncio.create_task(anext(subscription))
            await engine.waits.wait()
            ward.may.clear()
            assert await handler.recheck() == (0, 0, True)
            engine.goes_on.set()
            with pytest.raises(PermissionDenied):
                await begins
            assert len(ward.asked) == 2

    run(conversation())


@pytest.mark.parametrize("of", ["name", "id"])
def test_a_person_is_disconnected_and_does_not_return(of):
    async def conversation():
        ward = Ward()
        handler = ward.handler()
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="ann") as ann,
            impatient(url_of(port), token="bob") as bob,
        ):
            [connection] = [each for each in handler.connections() if each.identity == "ann"]
            told = await handler.disconnect("ann" if of == "name" else connection.id, "your account is closed")
            assert told == (1, 0, True)
            with pytest.raises(ConnectionLost) as lost:
                await ann.closed
            assert lost.value.code == 1008
            assert "your account is closed" in str(lost.value)
            assert bob.stats()["connections"] == 1
            assert await handler.disconnect("nobody") == (0, 0, True)

    run(conversation())


def test_peers_cannot_watch_or_send_commands():
    async def conversation():
        ward = Ward()
        ward.may.add(("ann", COMMANDS))
        handler = ward.handler()
        async with serving(handler) as port, impatient(url_of(port), token="ann") as ann:
            with pytest.raises(Exception, match="denied the stream"):
                await anext(ann.subscribe(COMMANDS))
            features = {"id": "", "command": "disconnect", "of": "ann", "reason": ""}
            await ann.send_message(MessageType.FEATURE_DATA, {"stream": COMMANDS, "features": features})
            with pytest.raises(ValueError, match="servers only"):
                await handler.publish(COMMANDS, MessageType.FEATURE_DATA, {"features": features})
            await ann.ping()
            assert len(handler.connections()) == 1

    run(conversation())


def test_a_damaged_or_unknown_command_is_logged(caplog):
    async def conversation():
        handler = Ward().handler()
        async with handler:
            handler._delivery.deliver(COMMANDS, 1, b"no frame")
            features = {"id": "", "command": "dance", "of": None, "reason": ""}
            encoded = encode(MessageType.FEATURE_DATA, {"features": features})
            handler._delivery.deliver(COMMANDS, 1, encoded)
            await asyncio.sleep(0)
        assert "delivered a damaged command" in caplog.text
        assert "a command that this one does not know" in caplog.text

    run(conversation())


@pytest.mark.slow
@pytest.mark.parametrize("versions", VERSIONS)
def test_another_server_ends_what_it_may_not_deliver_any_more(tmp_path, versions):
    from ecgframe.server.redis import RedisBackplane

    async def conversation(redis):
        ward, settings = Ward(), Settings(versions=versions)
        here, there = (
            ward.handler(settings=settings, backplane=RedisBackplane(redis.url, version=versions[-1])) for _ in "ab"
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(here))
            port = await stack.enter_async_context(serving(there))
            ann = await stack.enter_async_context(impatient(url_of(port), token="ann", settings=settings))
            bob = await stack.enter_async_context(impatient(url_of(port), token="bob", settings=settings))
            lost = await stack.enter_async_context(ann.subscribe(STREAM))
            ward.may.discard(("ann", STREAM))
            began = time.monotonic()
            assert await here.recheck() == (0, 0, True)
            await until(lambda: lost.status == "denied")
            took = time.monotonic() - began
            assert await here.disconnect("bob") == (0, 0, True)
            with pytest.raises(ConnectionLost):
                await bob.closed
            redis.kill()
            await here.publish(STREAM, ECG, BEAT)
            assert not (await here.recheck()).is_everywhere
            return took

    with redis_server(tmp_path) as redis:
        assert run(conversation(redis)) < 1  # the measured time is some milliseconds


# --- identities that expire ---


class Pass:
    def __init__(self, seconds):
        self.name = "ann"
        self.expires_at = time.time() + seconds


def test_an_identity_expires_and_a_client_with_fresh_tokens_goes_on():
    async def conversation():
        identities = []

        async def authenticate(request):
            identities.append(Pass(0.05 if len(identities) < 3 else 60))
            return identities[-1]

        handler = WebSocketBinaryHandler(authenticate=authenticate)
        async with (
            serving(handler) as port,
            impatient(url_of(port), token=lambda: "fresh", reconnect_delays=at_once) as client,
            client.subscribe(STREAM) as subscription,
        ):
            await until(lambda: client.stats()["connections"] == 4)
            await handler.publish(STREAM, ECG, BEAT)
            await anext(subscription)
            assert subscription.gap_count == 0
        assert handler.stats()["errors"]["sent"]["0x202"] == 3

    run(conversation())


@pytest.mark.parametrize(
    "identity",
    [
        {"sub": "ann", "exp": 1},
        {"name": "ann", "expires_at": datetime(2024, 1, 1)},
        {"exp": "tomorrow"},
        {"exp": float("nan")},
        {"exp": True},
    ],
    ids=["expired", "naive", "text", "nan", "bool"],
)
def test_an_identity_that_has_expired_or_says_nonsense_is_refused(identity):
    async def conversation():
        async def authenticate(request):
            return identity

        async with serving(WebSocketBinaryHandler(authenticate=authenticate)) as port:
            with pytest.raises(ConnectionLost) as lost:
                await impatient(url_of(port)).open()
        assert lost.value.code == 1008

    run(conversation())


def test_a_clock_that_was_set_back_prolongs_it():
    """A token says a time of day, so the clock of the server counts."""

    async def conversation():
        now = [1_700_000_000.0]

        async def authenticate(request):
            return {"exp": now[0] + 0.02}

        handler = WebSocketBinaryHandler(authenticate=authenticate, clock=lambda: int(now[0] * 1e6))
        async with serving(handler) as port, impatient(url_of(port), reconnect=False) as client:
            now[0] -= 3600
            await asyncio.sleep(0.05)
            assert client.state == "connected"
            assert len(handler.connections()) == 1

    run(conversation())


def test_names_and_expiries():
    assert name_of("ann") == name_of({"sub": "ann"}) == name_of(Pass(1)) == "ann"
    assert name_of(None) is name_of({"sub": 5}) is name_of(True) is None
    assert expiry_of("ann") is expiry_of(None) is expiry_of({"exp": None}) is None
    assert expiry_of({"exp": 5}) == 5.0
    assert expiry_of({"expires_at": datetime(1970, 1, 2, tzinfo=UTC), "exp": 5}) == 86400.0


# --- identities that the application knows ---


@pytest.mark.parametrize("engine", ["websockets", "starlette", "aiohttp"])
def test_an_identity_that_is_passed_is_not_asked_for(engine):
    async def conversation():
        asked = []

        async def authenticate(request):
            asked.append(request)

        handler = WebSocketBinaryHandler(authenticate=authenticate)
        async with handler, ENGINES[engine](handler, identity={"sub": "ann"}) as port, impatient(f"{port.url}/ws"):
            assert [connection.identity for connection in handler.connections()] == [{"sub": "ann"}]
            await handler.close()
        assert not asked

    run(conversation())
