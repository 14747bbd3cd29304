"""The ASGI adapter only: options inherited from the listening socket; connections that cannot be dropped."""

import asyncio
import socket

import pytest
from recordings import optional
from running import run

optional("starlette")

from ecgframe.server.adapters.starlette import listen  # noqa: E402 - after the skip


def test_connections_inherit_the_options_of_the_listening_socket():
    with listen("127.0.0.1", 0, stall_seconds=7) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            for option, value in (("TCP_NODELAY", 1), ("TCP_NOTSENT_LOWAT", 16 * 1024), ("TCP_USER_TIMEOUT", 7000)):
                if hasattr(socket, option):
                    assert accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) == value, option


def test_a_host_name_is_resolved():
    with listen("localhost", 0) as listener:
        assert listener.getsockname()[1]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system does not have it")
def test_a_peer_that_does_not_read_is_dropped():
    async def stall():
        loop = asyncio.get_running_loop()
        with listen("127.0.0.1", 0, stall_seconds=0.3) as listener, socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(listener.getsockname())
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            with accepted, pytest.raises(OSError, match="timed out"):
                await loop.sock_sendall(accepted, bytes(64 * 1024 * 1024))

    run(stall())
