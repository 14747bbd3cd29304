"""A server of many beds within the test: whom it admits, which it plays, and when they fall silent or lose samples."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from browser.loop_thread import LoopThread
from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.alarm_file import AlarmFile
from ecgframe.server.alarms import Alarms
from ecgframe.server.origins import Origins
from ecgframe.server.pages import Pages

RATE = 500
SAMPLES = 25
"""Samples a second, and of each message."""

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def beats(leads: int, seconds: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    """[leads, samples]: 75 beats a minute in millivolts, as a loop."""
    at = np.arange(round(seconds * RATE)) / RATE % 0.8
    one = 1.2 * np.exp(-(((at - 0.3) / 0.012) ** 2)) - 0.2 * np.exp(-(((at - 0.33) / 0.012) ** 2))
    one += 0.15 * np.exp(-(((at - 0.15) / 0.03) ** 2)) + 0.3 * np.exp(-(((at - 0.55) / 0.05) ** 2))
    scales = np.linspace(1, 0.5, leads)[:, None]
    found: np.ndarray[Any, np.dtype[np.float32]] = (scales * one).astype(np.float32)
    return found


class Ward(LoopThread):
    """Plays beds ``ecg/1`` and so on.

    Args:
        beds: number of beds.
        leads: number of leads of each.
        denied: names of streams that nobody may watch.
        port: to listen on; 0 for any.
        listed: number of beds that the list of streams has; None for all.
        file: keeps alarms over a restart; None to take no acknowledgements.
        has_alarms: whether alerts are passed on at all.
        user: name of the identity of every connection; None for none.
        scale: factor of the signal; with 10, the traces of the wall reach the edges of their room.

    Attributes:
        silent: beds that send nothing for now.
        losing: beds whose messages are lost for now, so that there is a gap afterwards.
        late: seconds by which the samples of a bed are late.
        sent: number of messages that were published on each bed.
    """

    def __init__(
        self,
        beds: int,
        leads: int = 2,
        *,
        denied: Sequence[str] = (),
        port: int = 0,
        listed: int | None = None,
        file: Path | None = None,
        has_alarms: bool = True,
        user: str | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.names = [f"ecg/{number}" for number in range(1, beds + 1)]
        self.silent: set[str] = set()
        self.losing: set[str] = set()
        self.late: dict[str, float] = {}
        self.sent = dict.fromkeys(self.names, 0)
        self._listed = self.names[:listed]
        self._denied = denied
        self._leads = LEADS[:leads]
        self._asked_port = port
        self._file = file
        self._has_alarms = has_alarms
        self._user = user
        self._scale = scale
        self._handler: WebSocketBinaryHandler | None = None
        self._alarms: Alarms | None = None

    @property
    def connections(self) -> int:
        """Number of open connections."""
        assert self._handler is not None
        return len(self._handler.connections())

    def publish(self, stream: str, message_type: MessageType, data: dict[str, Any]) -> None:
        """Publish a message now, from the thread of the test."""
        asyncio.run_coroutine_threadsafe(self._pass(stream, message_type, data), self._loop).result(10)

    async def _pass(self, stream: str, message_type: MessageType, data: dict[str, Any]) -> None:
        assert self._handler is not None
        await (self._alarms or self._handler).publish(stream, message_type, data)

    async def _may(self, connection: object, action: str, stream: str | None) -> bool:
        return action == "subscribe" and stream not in self._denied

    async def _authenticate(self, request: object) -> object:
        return self._user

    async def _anybody(self, connection: object, stream: str) -> bool:
        return True

    async def _run(self) -> None:
        if not self._has_alarms:
            await self._serve(WebSocketBinaryHandler(authorize=self._may))
            return
        kept = None if self._file is None else AlarmFile(self._file)
        may_acknowledge = None if kept is None else self._anybody
        alarms = self._alarms = Alarms(authorize=self._may, may_acknowledge=may_acknowledge, file=kept)
        handler = WebSocketBinaryHandler(
            authenticate=None if self._user is None else self._authenticate,
            authorize=alarms.authorize,
            on_message=alarms.on_message,
        )
        alarms.attach(handler)
        await self._serve(handler)
        await alarms.close()

    async def _serve(self, unopened: WebSocketBinaryHandler) -> None:
        async with unopened as handler:
            self._handler = handler
            pages = Pages(handler, self._listed, Origins((), host="127.0.0.1"))
            async with serve(handler, "127.0.0.1", self._asked_port, process_request=pages) as server:
                self.port = server.sockets[0].getsockname()[1]
                playing = asyncio.create_task(self._play())
                await self._listen_until_end()
                playing.cancel()
                await asyncio.wait([playing])
                if not playing.cancelled():
                    playing.result()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        signal = np.float32(self._scale) * beats(len(self._leads))
        length = signal.shape[1] // SAMPLES
        begun, wall = loop.time(), time.time()
        for number in count():
            seconds = number * SAMPLES / RATE
            await asyncio.sleep(max(0.0, begun + seconds - loop.time()))
            for place, name in enumerate(self.names):
                if name in self.silent or name in self.losing:
                    continue
                first = (number + 3 * place) % length * SAMPLES
                data = {
                    "signal": signal[:, first : first + SAMPLES],
                    "sampling_rate": RATE,
                    "leads": list(self._leads),
                    "units": "mV",
                    "sequence": number,
                    "timestamp": wall + seconds - SAMPLES / RATE - self.late.get(name, 0.0),
                }
                await self._pass(name, MessageType.ECG_DATA, data)
                self.sent[name] += 1
