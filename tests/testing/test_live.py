"""What ecgframe offers for the tests of others: each part runs with and without an event loop of the test."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import repeat

import pytest
from certificates import client_context, server_context
from interpreter import python
from recordings import optional
from running import run

optional("websockets")

import ecgframe  # noqa: E402 - after the skip
from ecgframe import MessageType  # noqa: E402
from ecgframe.server import WebSocketBinaryHandler  # noqa: E402
from ecgframe.testing import CuttingProxy, LiveServer, run_virtually, spend  # noqa: E402

FEATURES = MessageType.FEATURE_DATA
DATA = {"features": {"x": 1.0}}


def at_once():
    return repeat(0.002)


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_server_in_an_event_loop(is_tls):
    async def test():
        ssl = {"ssl": client_context()} if is_tls else {}
        async with LiveServer(ssl=server_context() if is_tls else None) as server, CuttingProxy(server.url) as proxy:
            async with (
                ecgframe.connect(proxy.url, reconnect_delays=at_once, **ssl) as client,
                client.subscribe("ecg/1") as stream,
            ):
                assert proxy.cut() == 1
                await server.handler.publish("ecg/1", FEATURES, DATA)
                assert (await anext(stream)).data["features"] == DATA["features"]
                assert proxy.accepted == 2
            with pytest.raises(RuntimeError, match="no thread of its own"):
                server.publish("ecg/1", FEATURES, DATA)

    run(test())


def test_the_handler_is_yours_and_closed_at_the_end():
    handler = WebSocketBinaryHandler()
    before = threading.active_count()
    with LiveServer(handler) as server:
        assert server.handler is handler
        assert server.run(asyncio.sleep, 0, "done") == "done"
        assert server.publish("ecg/1", FEATURES, DATA) > 0
    assert threading.active_count() == before
    with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
        ecgframe.connect_sync(server.url)


def test_an_option_that_is_wrong_leaves_no_thread():
    before = threading.active_count()
    with pytest.raises(TypeError), LiveServer(no_such_option=1):
        pass
    assert threading.active_count() == before


OF_A_USER = """
import ecgframe

def test_the_fixtures_work_in_a_test_of_a_user(ecg_server, ecg_proxy):
    with ecgframe.connect_sync(ecg_proxy.url) as client, client.subscribe("ecg/1") as stream:
        ecg_server.publish("ecg/1", ecgframe.MessageType.FEATURE_DATA, {"features": {"x": 1.0}})
        assert stream.recv(timeout=10).data["features"] == {"x": 1.0}
    assert ecg_proxy.accepted == 1
    assert repr(ecg_proxy).startswith(f"<CuttingProxy {ecg_proxy.port} to [{ecg_server.port}]")
"""


@pytest.mark.slow
def test_the_fixtures_in_the_tests_of_a_user(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["ecgframe.testing.fixtures"]\n')
    (tmp_path / "test_user.py").write_text(OF_A_USER)
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path, cwd=tmp_path)
    assert done.stdout.rstrip().rpartition("\n")[2].startswith("1 passed"), done.stdout + done.stderr


@pytest.fixture
def ecg_server():
    with LiveServer() as server:
        yield server


@pytest.fixture
def ecg_proxy(ecg_server):
    with CuttingProxy(ecg_server.url) as proxy:
        yield proxy


@pytest.mark.parametrize("target", ["ws://192.0.2.1:80/ws", "ws://127.0.0.1/ws", "http://example.org:80"])
def test_a_proxy_is_for_this_machine_alone(target):
    with pytest.raises(ValueError, match=r"a server at a port of 127\.0\.0\.1"):
        CuttingProxy(target)


def test_a_proxy_that_holds_refuses_and_delays(ecg_server, ecg_proxy):
    with ecgframe.connect_sync(ecg_proxy.url, reconnect_delays=at_once) as client:
        with client.subscribe("ecg/1") as stream:
            ecg_proxy.hold()
            ecg_server.publish("ecg/1", FEATURES, DATA)
            with pytest.raises(TimeoutError):
                stream.recv(timeout=0.1)
            ecg_proxy.release()
            stream.recv(timeout=10)
        ecg_proxy.delay = 0.05
        assert client.ping() >= 0.1
        ecg_proxy.delay = 0.0
        ecg_proxy.rate = 500
        begin = time.monotonic()
        client.send_message(FEATURES, {"features": dict.fromkeys(map(str, range(10)), 1.0)})
        client.ping()
        assert time.monotonic() - begin > 0.1
        ecg_proxy.refuses = True
        ecg_proxy.cut()
        with pytest.raises(TimeoutError):
            client.ping(timeout=0.1)


def test_the_same_seed_cuts_alike():
    assert CuttingProxy(1, seed=7).random.random() == CuttingProxy(2, seed=7).random.random()


def test_virtual_time():
    async def hours():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(3600)
        spend(60)
        return loop.time()

    assert run_virtually(hours()) == 3660


def test_a_deadlock_in_virtual_time_is_reported():
    async def wait():
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing will ever happen again"):
        run_virtually(wait())
    with pytest.raises(RuntimeError, match="has no virtual clock"):
        run(spending())


async def spending():
    spend(1)


def test_pytest_is_not_needed_without_the_fixtures():
    done = python("-c", "import sys, ecgframe.testing; print('pytest' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")
