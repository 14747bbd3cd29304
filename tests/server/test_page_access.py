"""Who may read the list of streams and the metrics: of ``Pages``, of the applications, and by a file of tokens."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from recordings import optional
from running import run
from uvicorn_server import serving as serving_asgi

from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.server.pages import Pages
from ecgframe.server.token_file import TokenFile

optional("prometheus_client")

BEDS = ["ecg/bed-71", "ecg/bed-72", "ecg/bed-81"]
PEOPLE = {
    "ward 7": 'watch = ["ecg/bed-7?"]',
    "device": 'publish = ["ecg/*"]',
    "scraper": "metrics = true",
    "gone": 'watch = ["*"]\nmetrics = true\nexpires_at = 2020-01-01T00:00:00Z',
}
"""The token of each person is the name, with a dash."""


def token_of(name):
    return name.replace(" ", "-")


@pytest.fixture
def tokens(tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text(
        "".join(
            f'[[person]]\nname = "{name}"\n'
            f'token_sha256 = "{hashlib.sha256(token_of(name).encode()).hexdigest()}"\n{rest}\n'
            for name, rest in PEOPLE.items()
        )
    )
    return TokenFile(file)


def hooks_of(tokens):
    return {
        "authenticate": tokens.authenticate,
        "authorize": tokens.authorize,
        "visible_streams": tokens.visible_streams,
        "may_see_metrics": tokens.may_see_metrics,
    }


@asynccontextmanager
async def on_websockets(handler, **options):
    optional("websockets")
    from ecgframe.server.adapters.websockets import serve

    async with handler:
        pages = Pages(handler, BEDS, **options)
        async with serve(handler, "127.0.0.1", 0, process_request=pages) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def on_asgi(handler, **options):
    optional("starlette")
    from ecgframe.server.adapters.asgi import application

    async with serving_asgi(application(handler, BEDS, **options)) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def on_aiohttp(handler, **options):
    web = optional("aiohttp.web")
    from ecgframe.server.adapters.aiohttp import application, listen

    app = web.Application()
    app.add_subapp("/ecg", application(handler, BEDS, **options))
    runner = web.AppRunner(app, shutdown_timeout=5)
    await runner.setup()
    await web.SockSite(runner, listen("127.0.0.1", 0)).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/ecg"
    finally:
        await runner.cleanup()


each_server = pytest.mark.parametrize("serving", [on_websockets, on_asgi, on_aiohttp])


def get(url, name=None, **headers):
    if name is not None:
        headers["Authorization"] = f"Bearer {token_of(name)}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


async def ask(url, name=None, **headers):
    return await asyncio.to_thread(get, url, name, **headers)


@each_server
def test_each_person_sees_the_streams_that_it_may_watch(serving, tokens):
    async def asking():
        async with serving(WebSocketBinaryHandler(**hooks_of(tokens))) as place:
            for name, names in (("ward 7", BEDS[:2]), ("device", []), ("scraper", [])):
                status, headers, body = await ask(f"{place}/streams", name)
                assert (status, json.loads(body)) == (200, {"streams": names, "user": name})
                assert headers["Cache-Control"] == "no-store"
            for name in (None, "gone", "guessed"):
                status, headers, body = await ask(f"{place}/streams", name)
                assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
                assert "Authorization: Bearer TOKEN" in body
                assert "bed" not in body

    run(asking())


@each_server
def test_the_metrics_are_for_those_of_whom_the_file_says_so(serving, tokens):
    async def asking():
        async with serving(WebSocketBinaryHandler(**hooks_of(tokens))) as place:
            status, _, body = await ask(f"{place}/metrics", "scraper")
            assert (status, "ecgframe_connections" in body) == (200, True)
            for name, status in (("ward 7", 403), (None, 401), ("gone", 401), ("guessed", 401)):
                found, _, body = await ask(f"{place}/metrics", name)
                assert (found, "ecgframe_" in body) == (status, False)

    run(asking())


@each_server
def test_the_metrics_may_be_open_while_the_streams_are_not(serving, tokens):
    async def asking():
        async with serving(WebSocketBinaryHandler(**hooks_of(tokens)), open_metrics=True) as place:
            assert "ecgframe_connections" in (await ask(f"{place}/metrics"))[2]
            assert (await ask(f"{place}/streams"))[0] == 401

    run(asking())


@each_server
def test_the_overview_names_streams_only_to_those_who_may_see_them(serving, tokens):
    async def asking():
        async with serving(WebSocketBinaryHandler(**hooks_of(tokens))) as place:
            status, _, body = await ask(f"{place}/")
            assert (status, "bed" in body, "Streams: only with a token" in body) == (200, False, True)
            _, headers, body = await ask(f"{place}/", "ward 7")
            assert body.splitlines()[-3:] == ["Streams:", "  ecg/bed-71", "  ecg/bed-72"]
            assert (headers["Vary"], headers["Cache-Control"]) == ("Accept", "no-store")
            for path in ("/healthz", "/wall", "/monitor.js"):  # nothing of a patient is in them
                assert (await ask(f"{place}{path}"))[0] == 200

    run(asking())


@each_server
def test_without_authenticate_all_is_open(serving):
    async def asking():
        async with serving(WebSocketBinaryHandler()) as place:
            assert json.loads((await ask(f"{place}/streams"))[2]) == {"streams": BEDS}
            assert (await ask(f"{place}/metrics"))[0] == 200
            assert "ecg/bed-81" in (await ask(f"{place}/"))[2]

    run(asking())


def test_without_further_hooks_whoever_is_known_sees_all():
    async def authenticate(request):
        return request.bearer_token == "ann" and SimpleNamespace(name="ann")

    async def asking():
        async with on_websockets(WebSocketBinaryHandler(authenticate=authenticate)) as place:
            for path in ("/streams", "/metrics"):
                assert [(await ask(f"{place}{path}", name))[0] for name in ("ann", "bob", None)] == [200, 401, 401]
            assert json.loads((await ask(f"{place}/streams", "ann"))[2]) == {"streams": BEDS, "user": "ann"}

    run(asking())


def test_a_cookie_is_as_good_as_a_token():
    async def authenticate(request):
        return "session=7" in request.headers.get("cookie", "")

    async def asking():
        async with on_websockets(WebSocketBinaryHandler(authenticate=authenticate)) as place:
            assert (await ask(f"{place}/streams", Cookie="session=7"))[0] == 200
            assert (await ask(f"{place}/streams", Cookie="session=8"))[0] == 401

    run(asking())


def test_hooks_that_fail_or_invent_reveal_nothing(caplog):
    async def fail(*_):
        raise RuntimeError("the directory is away")

    async def invent(request, identity, streams):
        return ["ecg/bed-81", "ecg/bed-99", "ecg/bed-71"]

    async def hang(*_):
        await asyncio.Event().wait()

    async def asking(**hooks):
        handler = WebSocketBinaryHandler(limits=Limits(hook_seconds=0.05), **hooks)
        async with on_websockets(handler) as place:
            return await ask(f"{place}/streams"), await ask(f"{place}/metrics")

    for hook in (fail, hang):
        streams, metrics = run(asking(visible_streams=hook, may_see_metrics=hook))
        assert (streams[0], json.loads(streams[2])) == (200, {"streams": []})
        assert metrics[0] == 403
    assert "visible_streams" in caplog.text
    assert "may_see_metrics" in caplog.text
    streams, _ = run(asking(visible_streams=invent))
    assert json.loads(streams[2]) == {"streams": ["ecg/bed-71", "ecg/bed-81"]}
    streams, metrics = run(asking(authenticate=fail))
    assert (streams[0], metrics[0]) == (401, 401)


def test_a_token_that_is_taken_out_of_the_file_is_refused_at_once(tokens, tmp_path):
    async def asking():
        handler = WebSocketBinaryHandler(**hooks_of(tokens))
        async with on_websockets(handler) as place:
            assert (await ask(f"{place}/streams", "ward 7"))[0] == 200
            file = tmp_path / "tokens.toml"
            first = file.read_text().split("[[person]]")[1]
            file.write_text(f"[[person]]{first}".replace("ward 7", "ward 9").replace("7?", "8?"))
            assert await tokens.look(handler)
            status, _, body = await ask(f"{place}/streams", "ward 7")  # the same token, of another person now
            assert (status, json.loads(body)) == (200, {"streams": BEDS[2:], "user": "ward 9"})
            assert (await ask(f"{place}/metrics", "scraper"))[0] == 401

    run(asking())


def test_a_refusal_is_logged_with_the_peer_and_without_the_token(tokens, caplog):
    caplog.set_level(logging.INFO, "ecgframe.server")

    async def asking():
        async with on_websockets(WebSocketBinaryHandler(**hooks_of(tokens))) as place:
            await ask(f"{place}/streams", "guessed")
            await ask(f"{place}/metrics", "ward 7")

    run(asking())
    said = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert [words.rpartition(" to ")[0] for words in said] == ["refused /streams", "refused /metrics"]
    assert [words.rpartition(": ")[2] for words in said] == ["401", "403"]
    assert all("127.0.0.1:" in words for words in said)
    assert "guessed" not in caplog.text


def test_other_origins_that_may_connect_can_read_the_refusal(tokens):
    async def asking():
        async with on_websockets(WebSocketBinaryHandler(**hooks_of(tokens))) as place:
            return await ask(f"{place}/streams", Origin="http://127.0.0.1:8000")

    status, headers, _ = run(asking())
    assert (status, headers["Access-Control-Allow-Origin"]) == (401, "http://127.0.0.1:8000")
