"""The client for programs without an event loop, against a real server in another thread."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from certificates import client_context, server_context
from interpreter import python
from recordings import optional

optional("websockets")

import ecgframe  # noqa: E402 - after the skip
from ecgframe import MessageType, PermissionDenied  # noqa: E402
from ecgframe.client import ConnectionLost, DataLost, Gap, Lost, State  # noqa: E402
from ecgframe.server import Limits, WebSocketBinaryHandler  # noqa: E402
from ecgframe.session import Settings  # noqa: E402
from ecgframe.testing import CuttingProxy, LiveServer  # noqa: E402

ECG = MessageType.ECG_DATA
STREAM = "ecg/1"
SOON = 10
NUMBERED = Settings(versions=(1, 2, 3, 4))
QUICK = {"reconnect_delays": lambda: iter([0.002] * 1000)}


def data(number):
    return {"signal": np.full((1, 4), number, np.int16), "sampling_rate": 250}


def number_of(message):
    return int(message.data["signal"][0, 0])


async def allow(connection, action, stream):
    return True


async def deny(connection, action, stream):
    return False


@pytest.fixture
def server():
    with LiveServer(WebSocketBinaryHandler(authorize=allow)) as running:
        yield running


@pytest.fixture
def client(server):
    with ecgframe.connect_sync(server.url) as connected:
        yield connected


def until(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_messages_arrive(server, client):
    with client.subscribe(STREAM) as stream:
        assert stream.status == "subscribed"
        for number in range(5):
            server.publish(STREAM, ECG, data(number))
        assert [number_of(stream.recv(timeout=SOON)) for _ in range(3)] == [0, 1, 2]
        assert number_of(next(stream)) == 3
        assert number_of(next(iter(stream))) == 4
        assert stream.received == 5
    assert stream.status == "unsubscribed"


@pytest.mark.parametrize("is_tls", [False, True], ids=["ws", "wss"])
def test_a_publisher_and_a_viewer(is_tls):
    options = {"settings": NUMBERED, **({"ssl": client_context()} if is_tls else {})}
    handler = WebSocketBinaryHandler(authorize=allow, settings=NUMBERED)
    with (
        LiveServer(handler, ssl=server_context() if is_tls else None) as server,
        ecgframe.connect_sync(server.url, **options) as client,
        ecgframe.connect_sync(server.url, **options) as other,
        client.subscribe(STREAM) as stream,
    ):
        assert server.url.startswith("wss:" if is_tls else "ws:")
        with other.publisher(STREAM, samples="exact") as publisher:
            for number in range(20):
                publisher.send(ECG, data(number))
            publisher.flush()
            assert publisher.stats()["confirmed"] >= 20
        assert publisher.status == "over"
        assert [number_of(stream.recv(timeout=SOON)) for _ in range(20)] == list(range(20))


def test_a_time_limit_loses_nothing(server, client):
    """Many short waits while messages arrive: each message is returned once."""
    with client.subscribe(STREAM) as stream:
        publishing = threading.Thread(target=lambda: [server.publish(STREAM, ECG, data(n)) for n in range(300)])
        publishing.start()
        found, timeouts = [], 0
        end = time.monotonic() + SOON
        while len(found) < 300 and time.monotonic() < end:
            try:
                found.append(number_of(stream.recv(timeout=0.0002)))
            except TimeoutError:
                timeouts += 1
        publishing.join()
        assert found == list(range(300))


def test_the_error_names_the_time_limit(client):
    with (
        client.subscribe(STREAM) as stream,
        pytest.raises(TimeoutError, match=r"^no message within 0\.01 s$"),
    ):
        stream.recv(timeout=0.01)


def test_iterating_with_limits(server, client):
    with client.subscribe(STREAM) as stream:
        for number in range(3):
            server.publish(STREAM, ECG, data(number))
        assert [number_of(message) for message in stream.iterate(seconds=0.3)] == [0, 1, 2]
        assert list(stream.iterate(seconds=0)) == []
        server.publish(STREAM, ECG, data(3))
        patient = stream.iterate(timeout=0.3)
        assert number_of(next(patient)) == 3
        with pytest.raises(TimeoutError):
            next(patient)


def test_an_iteration_ends_in_time_also_where_messages_always_wait(server, client):
    with client.subscribe(STREAM) as stream:
        for number in range(50):
            server.publish(STREAM, ECG, data(number))
        until(lambda: stream.waiting == 50)
        slow = (time.sleep(0.02) for _ in stream.iterate(seconds=0.1))
        assert 0 < len(list(slow)) <= 6
        assert stream.waiting >= 44


def test_a_message_that_waits_is_there_at_once(server, client):
    with client.subscribe(STREAM) as stream:
        server.publish(STREAM, ECG, data(1))
        until(lambda: stream.waiting)
        assert number_of(stream.recv(timeout=0)) == 1
        with pytest.raises(TimeoutError):
            stream.recv(timeout=0)


def test_errors_arrive_where_they_belong():
    with LiveServer(WebSocketBinaryHandler(authorize=deny)) as server, ecgframe.connect_sync(server.url) as client:
        with pytest.raises(PermissionDenied), client.subscribe(STREAM):
            pass
        denied = client.subscribe("ecg/2")
        for _ in range(2):
            with pytest.raises(PermissionDenied):
                next(denied)
        with pytest.raises(ValueError, match="1 to"):
            client.subscribe("")
        with pytest.raises(ValueError, match="is not a data message"):
            client.send_message(MessageType.PING, {})
        with pytest.raises(TypeError):
            client.send_message(ECG, {"signal": object()})
        with pytest.raises(ValueError, match="there is no subscription"):
            client.unsubscribe("nothing")


def test_no_server():
    before = threading.active_count()
    with LiveServer() as server:
        pass
    with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
        ecgframe.connect_sync(server.url)
    assert threading.active_count() == before


def test_options_that_are_none():
    before = threading.active_count()
    with pytest.raises(TypeError, match="compression is not an option"):
        ecgframe.connect_sync("ws://127.0.0.1:1/", compression="deflate")
    assert threading.active_count() == before


def test_closing_ends_iterators_and_the_thread(server):
    before = threading.active_count()
    client = ecgframe.connect_sync(server.url)
    stream = client.subscribe(STREAM).__enter__()
    found = []
    waiting = threading.Thread(target=lambda: found.append(list(stream)))
    waiting.start()
    until(stream._waiting.locked)
    client.close()
    waiting.join(SOON)
    assert found == [[]]
    client.close()
    assert client.state is State.CLOSED
    assert threading.active_count() == before
    assert client.stats()["state"] == "closed"
    assert client.version is None
    with pytest.raises(EOFError):
        stream.recv()
    for use in (client.ping, lambda: client.subscribe(STREAM), lambda: client.publisher(STREAM)):
        with pytest.raises(ConnectionLost, match="the client is closed"):
            use()


def test_the_connection_is_cut(server):
    states = []
    with (
        CuttingProxy(server.url) as proxy,
        ecgframe.connect_sync(proxy.url, on_state=states.append, **QUICK) as client,
        client.subscribe(STREAM) as stream,
    ):
        found = []
        for number in range(30):
            if number % 10 == 5:
                assert proxy.cut() >= 1
            server.publish(STREAM, ECG, data(number))
            found.append(number_of(stream.recv(timeout=SOON)))
        assert found == list(range(30))
        assert client.stats()["connections"] == 4
    assert State.RECONNECTING in states


def test_a_connection_that_is_not_opened_again(server):
    with CuttingProxy(server.url) as proxy, ecgframe.connect_sync(proxy.url, reconnect=False) as client:
        with client.subscribe(STREAM) as stream:
            proxy.cut()
            with pytest.raises(ConnectionLost):
                next(stream)
        with pytest.raises(ConnectionLost):
            client.send_message(ECG, data(1))


# --- what is lost ---


@pytest.fixture
def forgetful():
    """A server that keeps nothing for viewers who come again."""
    with LiveServer(WebSocketBinaryHandler(authorize=allow, limits=Limits(ring_bytes=1))) as running:
        yield running


def lose(server, proxy, stream):
    """One message before a gap, and one behind it."""
    server.publish(STREAM, ECG, data(1))
    assert number_of(stream.recv(timeout=SOON)) == 1
    proxy.refuses = True
    proxy.cut()
    for number in range(2, 5):
        server.publish(STREAM, ECG, data(number))
    proxy.refuses = False


def test_a_gap_is_reported_in_the_thread_of_the_application(forgetful):
    told = []
    with (
        CuttingProxy(forgetful.url) as proxy,
        ecgframe.connect_sync(proxy.url, **QUICK) as client,
        client.subscribe(STREAM, on_gap=lambda gap: told.append((gap, threading.current_thread()))) as stream,
    ):
        lose(forgetful, proxy, stream)
        with pytest.raises(TimeoutError):
            stream.recv(timeout=0.5)
        [(gap, thread)] = told  # before the message behind it
        assert isinstance(gap, Gap)
        assert thread is threading.current_thread()
        assert stream.gaps == [gap]
        assert stream.stats()["gaps"] == 1


def test_a_gap_that_nobody_asks_for_is_a_warning(forgetful):
    with (
        CuttingProxy(forgetful.url) as proxy,
        ecgframe.connect_sync(proxy.url, **QUICK) as client,
        client.subscribe(STREAM) as stream,
    ):
        lose(forgetful, proxy, stream)
        until(lambda: stream.waiting)
        forgetful.publish(STREAM, ECG, data(5))
        with pytest.warns(DataLost, match=r"^'ecg/1': .* lost between 20\d\d-.* UTC$") as warned:
            message = stream.recv(timeout=SOON)
        [warning] = [one for one in warned if issubclass(one.category, DataLost)]
        assert warning.filename == __file__
        assert isinstance(warning.message.what, Gap)
        assert number_of(message) == 5


def test_an_error_of_the_callback_is_raised_and_loses_no_message(forgetful):
    def refuse(gap):
        raise LookupError("no place for gaps")

    with (
        CuttingProxy(forgetful.url) as proxy,
        ecgframe.connect_sync(proxy.url, **QUICK) as client,
        client.subscribe(STREAM, on_gap=refuse) as stream,
    ):
        lose(forgetful, proxy, stream)
        until(lambda: stream.waiting)
        forgetful.publish(STREAM, ECG, data(5))
        with pytest.raises(LookupError, match="no place for gaps"):
            stream.recv(timeout=SOON)
        assert number_of(stream.recv(timeout=SOON)) == 5


@pytest.mark.parametrize("has_callback", [True, False])
def test_losses_of_a_publisher_are_reported(has_callback):
    told = []
    options = {"on_lost": told.append} if has_callback else {}
    with (
        LiveServer(WebSocketBinaryHandler(authorize=allow, settings=NUMBERED)) as server,
        CuttingProxy(server.url) as proxy,
        ecgframe.connect_sync(proxy.url, settings=NUMBERED, **QUICK) as client,
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        publisher = client.publisher(STREAM, memory_frames=4, **options)
        publisher.send(ECG, data(0))
        publisher.flush()
        proxy.refuses = True
        proxy.cut()
        until(lambda: client.state is State.RECONNECTING)
        for number in range(1, 20):
            publisher.send(ECG, data(number))
        proxy.refuses = False
        publisher.close(timeout=SOON)
        said = [one.message.what for one in warned if issubclass(one.category, DataLost)]
        assert (told if has_callback else said) == [Lost(STREAM, publisher.lost)]
        assert publisher.lost > 0
        assert not (said if has_callback else told)


# --- what goes wrong in other ways ---


def test_one_thread_at_a_time(client):
    with client.subscribe(STREAM) as stream:
        waiting = threading.Thread(target=lambda: list(stream.iterate(seconds=0.5)))
        waiting.start()
        until(stream._waiting.locked)
        with pytest.raises(RuntimeError, match="another thread waits"):
            stream.recv()
        waiting.join()


def test_a_callback_that_would_wait_for_itself(server):
    said = []

    def on_state(state):
        if state is State.CONNECTED:
            try:
                clients[0].ping()
            except Exception as error:
                said.append(error)

    clients = []
    with CuttingProxy(server.url) as proxy, ecgframe.connect_sync(proxy.url, on_state=on_state, **QUICK) as client:
        clients.append(client)
        said.clear()
        proxy.cut()
        until(lambda: said)
    assert isinstance(said[0], RuntimeError)
    assert str(said[0]) == "this is the thread of the client, which cannot wait for itself"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_an_error(client):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.ping()
        except RuntimeError as error:
            os.write(write, str(error).encode())
        client.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1000) == b"the client was opened before this process was forked: open one in each process"
    os.close(read)
    os.close(write)
    assert client.ping() > 0


def test_a_client_that_is_not_closed_is_reported(server):
    clients = [ecgframe.connect_sync(server.url)]
    thread = clients[0]._thread
    with pytest.warns(ResourceWarning, match="unclosed <SyncClient of ws://127"):
        clients.clear()
    thread.stop()


def test_a_synchronous_client_works_beside_a_running_event_loop(server):
    async def cell():
        with ecgframe.connect_sync(server.url) as client:
            return client.ping()

    assert asyncio.run(cell()) > 0


INTERRUPTED = """
import os, signal, sys, threading
import ecgframe
with ecgframe.connect_sync(sys.argv[1]) as client:
    with client.subscribe("ecg/1") as stream:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            stream.recv()
        except KeyboardInterrupt:
            print("interrupted")
        client.send_message(ecgframe.MessageType.ECG_DATA, {"stream": "ecg/1", "signal": [[7]], "sampling_rate": 250})
        print(stream.recv(timeout=10).data["signal"])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_interrupts_a_wait(server):
    done = python("-c", INTERRUPTED, server.url, seconds=30)
    assert (done.stdout, done.returncode) == ("interrupted\n[[7]]\n", 0), done.stderr


def test_importing_the_package_imports_no_client():
    asked = "import sys, ecgframe; print([name for name in ('asyncio', 'ecgframe.client') if name in sys.modules])"
    assert python("-c", asked).stdout == "[]\n"
    assert {"connect_sync", "SyncClient"} <= set(dir(ecgframe))


def test_messages_of_no_stream(server, client):
    with client.messages() as messages:
        with ecgframe.connect_sync(server.url) as other:
            other.send_message(MessageType.FEATURE_DATA, {"features": {"x": 1.0}}, ecgframe.Flag.BROADCAST)
        assert messages.recv(timeout=SOON).data["features"] == {"x": 1.0}


def test_measurements(client):
    assert client.ping() > 0
    assert client.version in (3, 4)
    assert client.capabilities
    assert client.state is State.CONNECTED
    assert repr(client).startswith("<SyncClient of ws://127.0.0.1")
    assert client.stats()["connections"] == 1
    until(lambda: client.round_trip is not None)
    assert abs(client.clock_offset) < SOON
