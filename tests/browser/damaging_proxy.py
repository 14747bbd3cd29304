"""A proxy that damages a byte on request. On a thread, as the browser's driver has the event loop of this one."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress

PIECE = 64 * 1024
BINARY = 0x82
"""First byte of a WebSocket message."""
LARGER_THAN_OTHERS = 200
"""Bytes that only frames of samples exceed."""


class DamagingProxy:
    """Passes bytes on in both directions.

    Args:
        target: the server's port on 127.0.0.1.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._damages = threading.Event()
        self._ends = threading.Event()
        self._accepter = threading.Thread(target=self._accept)

    def __enter__(self) -> DamagingProxy:
        self._accepter.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepter.join()

    def damage(self) -> None:
        """Change a byte in the payload of the next frame of samples that the server sends."""
        self._damages.set()

    def _accept(self) -> None:
        passing: list[threading.Thread] = []
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                passing.append(threading.Thread(target=self._pass, args=[client]))
                passing[-1].start()
        for thread in passing:
            thread.join()

    def _pass(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self._target)) as server,
            selectors.DefaultSelector() as ready,
        ):
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            with suppress(OSError):
                while not self._ends.is_set():
                    for key, _ in ready.select(timeout=0.1):
                        piece = key.fileobj.recv(PIECE)  # type: ignore[union-attr]
                        if not piece:
                            return
                        key.data.sendall(self._passed(piece) if key.fileobj is server else piece)

    def _passed(self, piece: bytes) -> bytes:
        is_message = len(piece) > LARGER_THAN_OTHERS and piece[0] == BINARY
        if not self._damages.is_set() or not is_message:
            return piece
        self._damages.clear()
        place = LARGER_THAN_OTHERS - 1
        return piece[:place] + bytes([piece[place] ^ 1]) + piece[place + 1 :]
