"""The tokens of a server in a file: who may do what, and rights that end when the file changes."""

from __future__ import annotations

import hashlib
import os

import pytest
from client.servers import impatient, serving, until, url_of
from pages import blocks
from running import run

from ecgframe import MessageType, PermissionDenied
from ecgframe.client import ConnectionLost
from ecgframe.server import Request, WebSocketBinaryHandler
from ecgframe.server.token_file import MAX_TOKEN, TokenFile

ECG = MessageType.ECG_DATA
BEAT = {"signal": [1], "sampling_rate": 250}


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


def person(name, token, rest=""):
    return f'[[person]]\nname = "{name}"\ntoken_sha256 = "{digest(token)}"\n{rest}\n'


WARD = person("ward 7", "w7", 'watch = ["ecg/bed-7?"]\nwatchers = true')
PUMP = person("device", "dev", 'publish = ["ecg/bed-7*"]')


def handler_of(tokens):
    return WebSocketBinaryHandler(
        authenticate=tokens.authenticate,
        authorize=tokens.authorize,
        may_publish=tokens.may_publish,
        may_see_watchers=tokens.may_see_watchers,
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(WARD + PUMP)
    return path


def write(path, text):
    """Replace the file as editors do, so that it has another stamp whatever the clock says."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_people_may_do_what_the_file_says(path):
    async def conversation():
        handler = handler_of(TokenFile(path))
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="w7") as viewer,
            impatient(url_of(port), token="dev") as device,
            viewer.subscribe("ecg/bed-71") as watched,
        ):
            await device.send_message(ECG, BEAT | {"stream": "ecg/bed-71"})
            assert (await anext(watched)).data["signal"] == [1]
            for one, stream in ((viewer, "ecg/bed-7"), (viewer, "ecg/bed-711"), (device, "ecg/bed-71")):
                with pytest.raises(PermissionDenied):
                    await anext(one.subscribe(stream))
            assert [one.identity.name for one in handler.connections()] == ["ward 7", "device"]
            with pytest.raises(ConnectionLost) as refused:
                await impatient(url_of(port), token="guessed").open()
            assert refused.value.code == 1008

    run(conversation())


def test_a_token_that_is_taken_away_ends_its_connections_and_a_pattern_its_subscriptions(path):
    async def conversation():
        tokens = TokenFile(path)
        handler = handler_of(tokens)
        async with (
            serving(handler) as port,
            impatient(url_of(port), token="w7") as viewer,
            impatient(url_of(port), token="dev") as device,
            viewer.subscribe("ecg/bed-71") as lost,
            viewer.subscribe("ecg/bed-72") as kept,
        ):
            assert not await tokens.look(handler)
            write(path, person("ward 7", "w7", 'watch = ["ecg/bed-72"]'))
            assert await tokens.look(handler)
            with pytest.raises(PermissionDenied):
                await anext(lost)
            with pytest.raises(ConnectionLost):
                await device.closed
            assert kept.status == "subscribed"
            write(path, person("ward 7", "another token", 'watch = ["ecg/bed-72"]'))
            assert await tokens.look(handler)
            await until(lambda: not handler.connections())

    run(conversation())


def test_a_damaged_file_takes_no_rights_away_and_is_told_once(path, caplog):
    async def conversation():
        tokens = TokenFile(path)
        handler = handler_of(tokens)
        async with handler:
            write(path, "[[person]]")
            assert not await tokens.look(handler)
            assert not await tokens.look(handler)
            path.unlink()
            assert not await tokens.look(handler)
            request = Request(headers={"authorization": "Bearer w7"})
            assert (await tokens.authenticate(request)).name == "ward 7"
            write(path, WARD)
            assert await tokens.look(handler)

    run(conversation())
    assert sum("present rights stay" in record.message for record in caplog.records) == 1


def test_the_file_on_the_page_is_one(path):
    [block] = [block for block in blocks("docs/servers.md") if block.words == "toml"]
    write(path, block.text)
    assert list(TokenFile(path)._by_name) == ["ward 7", "monitor of bed 71"]


def test_identities_expire(path):
    async def conversation():
        write(path, person("past", "p", 'watch = ["*"]\nexpires_at = 2020-01-01T00:00:00Z'))
        handler = handler_of(TokenFile(path))
        async with serving(handler) as port:
            with pytest.raises(ConnectionLost):
                await impatient(url_of(port), token="p").open()

    run(conversation())


def test_those_who_may_ask_are_told_who_watches_what_they_may_watch(path):
    async def conversation():
        tokens = TokenFile(path)
        async with handler_of(tokens) as handler:

            async def ask(token, query):
                headers = {"authorization": f"Bearer {token}"}
                return (await handler.answer_watchers(Request(headers=headers, query=query)))[0]

            assert await ask("w7", "stream=ecg/bed-71") == 200
            assert await ask("w7", "stream=ecg/bed-8") == 403
            assert await ask("w7", "") == 403
            assert await ask("dev", "stream=ecg/bed-71") == 403
            assert await ask("x" * (MAX_TOKEN + 1), "") == 401

    run(conversation())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "at least one"),
        ("a = 1", "at least one"),
        ("[[person", "it is not TOML"),
        ("\udcff", "it is not TOML"),
        ('[[person]]\nname = "a"', "person 1 has no token_sha256"),
        ("person = [1]", "person 1"),
        (person("", "t"), "name is a text"),
        ('[[person]]\nname = "a"\ntoken_sha256 = "t"', "token_sha256 is the SHA-256"),
        (person("a", "t", 'watch = "*"'), "watch is a list"),
        (person("a", "t", 'publish = [""]'), "publish is a list"),
        (person("a", "t", "watchers = 1"), "watchers is true or false"),
        (person("a", "t", "expires_at = 2020-01-01T00:00:00"), "with a time zone"),
        (person("a", "t", "color = 1"), "unknown field: color"),
        (person("a", "t") + person("a", "u"), "person 2 has the name or the token"),
        (person("a", "t") + person("b", "t"), "person 2 has the name or the token"),
    ],
)
def test_what_is_no_file_of_tokens_is_refused(path, text, told):
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=told) as refused:
        TokenFile(path)
    assert str(path) in str(refused.value)
