"""URLs, tokens and headers that are asked for before each attempt to connect."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import STREAM, impatient, numbers, serving, until, url_of, websockets
from running import run

from ecgframe import MessageType
from ecgframe.client import ConnectionLost, State
from ecgframe.server import WebSocketBinaryHandler

ECG = MessageType.ECG_DATA


class Tokens:
    """A function that returns one token after the other, the last one for ever."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)
        self.calls = 0

    async def __call__(self):
        await asyncio.sleep(0)
        self.calls += 1
        token = self.tokens[min(self.calls, len(self.tokens)) - 1]
        if isinstance(token, Exception):
            raise token
        return token


def door(*valid):
    """A handler that lets these tokens in, and the tokens that it has seen."""
    seen = []

    async def authenticate(request):
        seen.append(request.bearer_token)
        return request.bearer_token if request.bearer_token in valid else None

    return WebSocketBinaryHandler(authenticate=authenticate), seen


def test_each_attempt_has_a_fresh_token():
    async def conversation():
        handler, seen = door("one", "two")
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, token=Tokens("one", "two")) as client,
            client.subscribe(STREAM) as subscription,
        ):
            await handler.publish(STREAM, ECG, {"signal": [1], "sampling_rate": 250})
            assert numbers([await anext(subscription)]) == [1]
            proxy.cut()
            await until(lambda: client.stats()["connections"] == 2)
            await handler.publish(STREAM, ECG, {"signal": [2], "sampling_rate": 250})
            assert numbers([await anext(subscription)]) == [2]
        assert seen == ["one", "two"]

    run(conversation())


def test_a_token_that_is_a_text_stays():
    async def conversation():
        handler, seen = door("one")
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, token="one") as client,
        ):
            proxy.cut()
            await until(lambda: client.stats()["connections"] == 2)
        assert seen == ["one", "one"]

    run(conversation())


def test_headers_and_url_are_asked_for_as_well():
    async def conversation():
        handler = WebSocketBinaryHandler()
        requests = []

        async def authenticate(request):
            requests.append((request.path, request.query, request.headers["x-attempt"]))
            return True

        handler = WebSocketBinaryHandler(authenticate=authenticate)
        attempts = []

        async with serving(handler) as port, cutting_proxy(port) as proxy:

            def url():
                attempts.append(None)
                return f"{proxy.url}?secret={len(attempts)}"

            async with impatient(url, additional_headers=lambda: {"X-Attempt": str(len(attempts))}) as client:
                assert "secret" not in repr(client)
                assert proxy.url in repr(client)
                proxy.cut()
                await until(lambda: client.stats()["connections"] == 2)
        assert requests == [("/ws", "secret=1", "1"), ("/ws", "secret=2", "2")]

    run(conversation())


def test_a_client_that_was_never_opened_has_no_url_to_show():
    assert "a URL that is not known yet" in repr(impatient(lambda: "ws://127.0.0.1/ws"))


def test_after_a_refused_token_it_asks_once_more():
    async def conversation():
        handler, seen = door("fresh")
        async with serving(handler) as port, impatient(url_of(port), token=Tokens("stale", "fresh")) as client:
            assert client.state is State.CONNECTED
        assert seen == ["stale", "fresh"]

    run(conversation())


def test_a_token_that_is_refused_again_ends_the_client():
    async def conversation():
        handler, seen = door("fresh")
        async with serving(handler) as port:
            with pytest.raises(ConnectionLost) as lost:
                await impatient(url_of(port), token=Tokens("stale")).open()
        assert lost.value.code == 1008
        assert seen == ["stale", "stale"]

    run(conversation())


@pytest.mark.parametrize("options", [{"token": "stale"}, {"token": Tokens("stale"), "reconnect": False}])
def test_without_another_token_it_does_not_ask(options):
    async def conversation():
        handler, seen = door("fresh")
        async with serving(handler) as port:
            with pytest.raises(ConnectionLost):
                await impatient(url_of(port), **options).open()
        assert seen == ["stale"]

    run(conversation())


def test_each_connection_tries_a_fresh_token_once():
    async def conversation():
        handler, seen = door("fresh")
        tokens = Tokens("stale", "fresh", "stale", "fresh")
        async with (
            serving(handler) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, token=tokens) as client,
        ):
            proxy.cut()
            await until(lambda: client.stats()["connections"] == 2)
        assert seen == ["stale", "fresh", "stale", "fresh"]

    run(conversation())


@pytest.mark.parametrize("tokens", [("fresh", "stale", "fresh"), ("fresh", RuntimeError("no token now"), "fresh")])
def test_a_server_that_answers_401_and_a_function_that_fails(tokens):
    """While it reconnects, the client tries again."""

    async def conversation():
        def check(connection, request):
            if request.headers.get("Authorization") != "Bearer fresh":
                return connection.respond(HTTPStatus.UNAUTHORIZED, "who are you?\n")
            return None

        asked = Tokens(*tokens)
        async with (
            serving(process_request=check) as port,
            cutting_proxy(port) as proxy,
            impatient(proxy.url, token=asked) as client,
        ):
            proxy.cut()
            await until(lambda: client.stats()["connections"] == 2)
        assert asked.calls == 3

    run(conversation())


def test_an_error_of_the_first_attempt_is_raised():
    async def conversation():
        handler, seen = door("fresh")
        async with serving(handler) as port:
            with pytest.raises(RuntimeError, match="no token now"):
                await impatient(url_of(port), token=Tokens(RuntimeError("no token now"))).open()

            async def slow():
                await asyncio.sleep(60)

            with pytest.raises(TimeoutError, match=r"took longer than 0\.01 s"):
                await impatient(url_of(port), token=slow, open_timeout=0.01).open()
            with pytest.raises(TypeError, match="a token is a str, not int"):
                await impatient(url_of(port), token=lambda: 5).open()
            with pytest.raises(TypeError, match="a URL is a str, not NoneType"):
                await impatient(lambda: None).open()
            with pytest.raises(websockets.InvalidStatus):
                async with serving(process_request=lambda c, r: c.respond(403, "no\n")) as other:
                    await impatient(url_of(other), token=Tokens("stale")).open()
        assert seen == []

    run(conversation())


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Admin: yes", "ü", "a=b"])
def test_an_error_about_a_token_does_not_show_it(token):
    async def conversation():
        with pytest.raises(ValueError, match="a token has letters") as raised:
            await impatient("ws://127.0.0.1:1/ws", token=token).open()
        assert not token or token not in str(raised.value)

    run(conversation())
