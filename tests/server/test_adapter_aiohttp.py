"""The aiohttp adapter only."""

import asyncio
import importlib
import socket
import sys

import pytest
from recordings import optional, uninstall
from running import run
from server.engines import client, on_aiohttp

from ecgframe.libraries import MissingLibrary
from ecgframe.server import WebSocketBinaryHandler

optional("aiohttp.web")


def test_transport_and_kernel_buffers_are_small():
    async def look():
        handler = WebSocketBinaryHandler()
        async with handler, on_aiohttp(handler) as port, client(port) as peer:
            [connection] = handler.connections()
            transport = connection._connection.link._transport
            assert transport.get_write_buffer_limits()[1] <= 64 * 1024
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16 * 1024
            await peer.flush()
            await handler.close()

    run(look())


def test_a_request_that_is_not_a_websocket_is_refused():
    async def ask():
        handler = WebSocketBinaryHandler()
        async with handler, on_aiohttp(handler) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).split()[1] == b"400"
            writer.close()
            await writer.wait_closed()
            assert not handler.connections()

    run(ask())


def test_without_aiohttp(monkeypatch):
    uninstall(monkeypatch, "aiohttp")
    monkeypatch.delitem(sys.modules, "ecgframe.server.adapters.aiohttp", raising=False)
    with pytest.raises(MissingLibrary, match=r'pip install "ecgframe\[aiohttp\]"'):
        importlib.import_module("ecgframe.server.adapters.aiohttp")
