"""Replaying a recording, and showing both sides."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from ssl import SSLContext

from ...protocol import MessageType
from ...tools.budget import Budget
from ...tools.frame_analysis import Examiner
from ...tools.observation import Delivery
from ...tools.replay import Cue, Replay, part_of
from ...tools.sources import open_source
from ..console import say
from ..inspect.live import raise_plainly
from ..inspect.run import Wanted, frame_reporter
from ..proxy.run import ObservationSink, serve_until_signal
from ..stopping import stop_signals


def run_replay(
    recording: str,
    to: str,
    place: tuple[str, int] | None,
    *,
    speed: float,
    connection: int,
    linger: float,
    quiet: bool,
    as_json: bool,
    headers: list[tuple[str, str]],
    trusted: SSLContext | None = None,
) -> None:
    """Replay a recording. The arguments are those of the command.

    ``place`` is the host and port to listen on; None to connect to the server ``to``.

    Raises:
        ToolError: there is nothing to replay, or the address cannot be listened on.
        OSError: the recording cannot be read.
        MissingLibrary: websockets is not installed.
    """
    with open_source(recording, sys.stdin.buffer) as source:
        from_server = place is not None
        cues = part_of(source.observations(), from_server=from_server, connection=connection, budget=source.budget)
    reporter = frame_reporter(Wanted(), shown=not quiet, as_json=as_json)
    sink = ObservationSink(reporter.take)
    player = Replay(cues, sink, speed=speed, linger=linger)
    if place is not None:
        purpose = f"with {len(cues):,} messages for each client"
        asyncio.run(serve_until_signal(lambda: player.listen(*place), purpose, sink))
    else:
        if names_no_stream(cues):
            say("note: the frames name no stream, so the server publishes none; ecgframe serve plays them", err=True)
        asyncio.run(_play_to(player, to, headers, sink, trusted))


def names_no_stream(cues: Sequence[Cue]) -> bool:
    """Return whether the first message is ECG_DATA without a stream, as in files of ``encode`` and ``record``."""
    frame = next(Examiner(budget=Budget()).examine(Delivery(cues[0].octets)))
    first = frame.message
    if first is None or frame.unread is not None:
        return False
    return first.type is MessageType.ECG_DATA and isinstance(first.data, dict) and "stream" not in first.data


async def _play_to(
    player: Replay,
    url: str,
    headers: list[tuple[str, str]],
    sink: ObservationSink,
    trusted: SSLContext | None,
) -> None:
    with stop_signals() as stop:
        sink.stop = stop
        playing = asyncio.ensure_future(player.to_server(url, headers, trusted))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (playing, stopping):
            task.cancel()
        await asyncio.wait((playing, stopping))
    if sink.trouble:
        raise sink.trouble
    if not playing.cancelled():
        raise_plainly(url, playing.exception())
