"""Opening, refusing and closing connections, and the tasks that remain."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
import sys
from os import urandom

import pytest
from client.cutting_proxy import cutting_proxy
from client.servers import NEGOTIATION, STREAM, impatient, scripted, serving, stay, until, url_of, websockets
from ports import unused_port
from recordings import uninstall
from running import run

import ecgframe
from ecgframe import AuthenticationFailed, InvalidProtocolVersion, MessageType
from ecgframe.client import Client, ConnectionLost, State
from ecgframe.libraries import MissingLibrary
from ecgframe.protocol import CloseCode
from ecgframe.server import Limits, WebSocketBinaryHandler
from ecgframe.session import Settings

OPENSSL = shutil.which("openssl")


def test_connect_is_a_name_of_the_package():
    assert ecgframe.Client is Client
    assert isinstance(ecgframe.connect("ws://localhost"), Client)


def test_both_sides_agree():
    async def conversation():
        async with serving() as port:
            client = impatient(url_of(port))
            assert client.state is State.NEW
            assert client.version is None
            async with client:
                assert client.state is State.CONNECTED
                assert client.version == 4
                assert "ndarray-bin" in client.capabilities
            assert client.state is State.CLOSED
            assert client.capabilities == frozenset()

    run(conversation())


def test_states_are_reported():
    states = []

    async def conversation():
        async with serving() as port, cutting_proxy(port) as proxy, impatient(proxy.url, on_state=states.append):
            proxy.cut()
            await until(lambda: len(states) == 4)

    run(conversation())
    assert states == ["connecting", "connected", "reconnecting", "connected", "closed"]


def test_a_failing_callback_goes_to_the_event_loop_and_the_client_continues():
    def fail(state):
        raise RuntimeError(f"no widget for {state}")

    async def conversation():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with serving() as port, impatient(url_of(port), on_state=fail) as client:
            await client.ping()
        assert [str(context["exception"]) for context in told] == [
            "no widget for connecting",
            "no widget for connected",
            "no widget for closed",
        ]
        assert "callback" in told[0]["message"]

    run(conversation())


# --- the first connection ---


def test_a_refused_first_connection_is_not_retried():
    async def conversation():
        client = impatient(url_of(unused_port()))
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await client.open()
        assert client.state is State.CLOSED
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await client.closed
        await client.close()

    run(conversation())


def test_another_kind_of_server_answers():
    async def conversation():
        async with websockets.serve(stay, "127.0.0.1", 0, process_request=lambda c, _: c.respond(404, "")) as server:
            with pytest.raises(websockets.InvalidStatus):
                await impatient(url_of(server.sockets[0].getsockname()[1])).open()

    run(conversation())


def test_a_server_that_says_nothing_in_time_is_taken_for_an_old_one():
    async def conversation():
        async with scripted(stay) as url, impatient(url, settings=Settings(negotiation_timeout=0.05)) as client:
            assert client.version == 1
            assert client.capabilities == frozenset()

    run(conversation())


def test_a_refused_client_learns_why():
    async def nobody(request):
        return None

    async def conversation():
        async with serving(WebSocketBinaryHandler(authenticate=nobody)) as port:
            client = impatient(url_of(port))
            with pytest.raises(ConnectionLost) as lost:
                await client.open()
            assert lost.value.code == CloseCode.POLICY
            assert isinstance(lost.value.error, AuthenticationFailed)
            assert lost.value.__cause__ is lost.value.error
            assert str(lost.value) == "closed with 1008 (0x202: authentication failed)"

    run(conversation())


def test_headers_reach_the_server():
    seen = []

    async def authenticate(request):
        seen.append(request.headers["authorization"])
        return "nurse"

    async def conversation():
        handler = WebSocketBinaryHandler(authenticate=authenticate)
        headers = {"Authorization": "Bearer 7"}
        async with serving(handler) as port, impatient(url_of(port), additional_headers=headers):
            assert seen == ["Bearer 7"]

    run(conversation())


def test_without_a_common_version_the_connection_fails():
    async def of_the_future(talk):
        await talk.say(MessageType.PROTOCOL_NEGOTIATION, NEGOTIATION | {"versions": [5, 6], "preferred": 6})
        error = await talk.hear(MessageType.ERROR)
        assert error.data["code"] == 0x100
        await talk.websocket.wait_closed()

    async def conversation():
        async with scripted(of_the_future) as url:
            with pytest.raises(ConnectionLost) as lost:
                await impatient(url).open()
            assert isinstance(lost.value.error, InvalidProtocolVersion)
            assert lost.value.code == CloseCode.PROTOCOL_ERROR

    run(conversation())


def test_a_full_server_is_not_waited_for_at_first():
    async def conversation():
        handler = WebSocketBinaryHandler(limits=Limits(connections=1))
        async with serving(handler) as port, impatient(url_of(port)):
            with pytest.raises(ConnectionLost) as lost:
                await impatient(url_of(port)).open()
            assert lost.value.code == CloseCode.TRY_LATER
            assert lost.value.error is None

    run(conversation())


# --- options ---


def test_frames_are_never_compressed_twice():
    with pytest.raises(TypeError, match="compressed already"):
        impatient("ws://localhost", compression="deflate")

    async def conversation():
        extensions = []

        async def note(talk):
            extensions.append(talk.websocket.request.headers.get("Sec-WebSocket-Extensions"))
            await talk.negotiate()
            await stay(talk)

        async with scripted(note) as url, impatient(url):
            assert extensions == [None]

    run(conversation())


@pytest.mark.skipif(OPENSSL is None, reason="openssl makes the certificate, and is not installed")
def test_tls_is_the_librarys(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    extension = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([OPENSSL, *request, *extension], check=True, capture_output=True)
    of_the_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    of_the_server.load_cert_chain(certificate, key)
    of_the_client = ssl.create_default_context(cafile=certificate)

    async def conversation():
        async with serving(ssl=of_the_server) as port:
            url = f"wss://localhost:{port}/ws"
            async with impatient(url, ssl=of_the_client) as client:
                assert await client.ping() > 0
            with pytest.raises(ssl.SSLCertVerificationError):
                await impatient(url).open()

    run(conversation())


def test_without_the_library_it_says_what_to_install(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("ecgframe.client"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(ecgframe, "client", raising=False)
    uninstall(monkeypatch, "websockets")
    with pytest.raises(MissingLibrary, match=r'the client needs websockets.*pip install "ecgframe\[client\]"'):
        ecgframe.connect("ws://localhost")


def test_logs_name_the_server_without_its_secrets(caplog):
    async def conversation():
        async with serving() as port:
            client = impatient(f"ws://user:geheim@127.0.0.1:{port}/ws?token=geheim")
            with caplog.at_level(logging.DEBUG, logger="ecgframe.client"):
                async with client:
                    await client.ping()
            assert repr(client) == f"<Client of ws://127.0.0.1:{port}/ws, closed>"

    run(conversation())
    assert "connected to ws://127.0.0.1" in caplog.text
    assert "geheim" not in "".join(record.getMessage() for record in caplog.records if "client" in record.name)


# --- the end ---


def test_closing_ends_the_iterators():
    async def conversation():
        async with serving() as port, impatient(url_of(port)) as client:
            subscription = client.subscribe(STREAM)
            queue = client.messages()

            async def watch(messages):
                return [message async for message in messages]

            async with asyncio.TaskGroup() as group:
                watching = [group.create_task(watch(messages)) for messages in (subscription, queue)]
                await client.ping()
                await client.close()
            assert [task.result() for task in watching] == [[], []]
            assert subscription.status == "closed"
            await client.closed
            with pytest.raises(ConnectionLost, match="closed"):
                client.subscribe("another")
            with pytest.raises(ConnectionLost, match="closed"):
                await client.ping()

    run(conversation())


def test_the_server_sees_a_normal_closure():
    codes = []

    async def note(talk):
        await talk.negotiate()
        await talk.websocket.wait_closed()
        codes.append(talk.websocket.close_code)

    async def conversation():
        async with scripted(note) as url, impatient(url):
            pass

    run(conversation())
    assert codes == [1000]


def test_a_client_is_opened_once():
    async def conversation():
        async with serving() as port, impatient(url_of(port)) as client:
            with pytest.raises(RuntimeError, match="opened once"):
                await client.open()
        with pytest.raises(RuntimeError, match="never opened"):
            await impatient(url_of(port)).closed
        unopened = impatient(url_of(port))
        await unopened.close()
        await unopened.closed

    run(conversation())


def tasks():
    return {task for task in asyncio.all_tasks() if "ecgframe client" in task.get_name()}


@pytest.mark.parametrize("held", [False, True], ids=["before it answers", "in the middle"])
def test_cancelled_anywhere_it_leaves_no_task(held):
    async def conversation():
        async with serving() as port, cutting_proxy(port) as proxy:

            async def use():
                client = impatient(proxy.url, close_timeout=0.05)
                async with client, client.subscribe(STREAM) as subscription:
                    if held:
                        proxy.hold()
                    used.set()
                    async for _ in subscription:
                        pass

            for patience in (0, 0.001, 0.002, 0.005):
                used = asyncio.Event()
                using = asyncio.create_task(use())
                if held:
                    await used.wait()
                await asyncio.sleep(patience)
                using.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await using
                assert not tasks()
                proxy.release()

    run(conversation())


def test_a_server_that_is_gone_does_not_hold_up_the_end():
    async def conversation():
        async with serving() as port, cutting_proxy(port) as proxy:
            async with asyncio.timeout(5), impatient(proxy.url, close_timeout=0.1) as client:
                await client.ping()
                proxy.hold()
            assert not tasks()

    run(conversation())


@pytest.mark.slow
def test_a_server_that_reads_nothing_holds_up_the_end_for_the_timeout_and_no_longer():
    closed = asyncio.Event()

    async def deaf(talk):
        await talk.negotiate(capabilities=[])
        talk.websocket.transport.pause_reading()
        await closed.wait()
        talk.websocket.transport.abort()  # a closing handshake would wait ten seconds for what it does not read

    async def conversation():
        async with scripted(deaf) as url:
            client = impatient(url, close_timeout=1.0)
            await client.open()
            filler = asyncio.create_task(fill(client))
            await until(lambda: client._reconnecting.connection.session.queued_bytes > 1 << 20)
            began = asyncio.get_running_loop().time()
            await client.close()
            # Half of it to wait for what is to leave and the same again for the goodbye would be 2 s.
            assert asyncio.get_running_loop().time() - began < 1.8
            assert not tasks()
            filler.cancel()
            closed.set()

    async def fill(client):
        while True:
            await client.send_message(
                MessageType.ECG_DATA, {"signal": [0], "sampling_rate": 1, "filler": urandom(50_000)}
            )

    run(conversation())


def test_closing_while_it_reconnects():
    async def conversation():
        async with serving() as port, cutting_proxy(port) as proxy:
            async with impatient(proxy.url) as client:
                proxy.refuses = True
                proxy.cut()
                await until(lambda: client.state is State.RECONNECTING)
            assert client.state is State.CLOSED
            assert not tasks()

    run(conversation())


def test_an_error_in_the_block_comes_out_of_it():
    async def conversation():
        async with serving() as port:
            with pytest.raises(ZeroDivisionError):
                async with impatient(url_of(port)):
                    _ = 1 / 0
            assert not tasks()

    run(conversation())
