"""Playing a recording, and showing both sides."""

from __future__ import annotations

import asyncio
import sys

from ...tools.replay import Replay, part_of
from ...tools.sources import open_source
from ..inspect.run import Wanted, looking_for, raise_plainly
from ..proxy.run import Witness, serve_until_signal
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
) -> None:
    """Play it. The arguments are those of the command; ``place`` is where to listen, or None for a server.

    Raises:
        ToolError: there is nothing to play, or no listening at that address.
        OSError: the recording cannot be read.
        MissingLibrary: websockets is not installed.
    """
    with open_source(recording, sys.stdin.buffer) as source:
        cues = part_of(source.observations(), from_server=place is not None, connection=connection)
    looking = looking_for(Wanted(), shown=not quiet, as_json=as_json)
    witness = Witness(looking.take)
    player = Replay(cues, witness, speed=speed, linger=linger)
    if place is not None:
        purpose = f"with {len(cues):,} messages for each client"
        asyncio.run(serve_until_signal(lambda: player.listen(*place), purpose, witness))
    else:
        asyncio.run(_play_to(player, to, headers, witness))


async def _play_to(player: Replay, url: str, headers: list[tuple[str, str]], witness: Witness) -> None:
    with stop_signals() as stop:
        witness.stop = stop
        playing = asyncio.ensure_future(player.to_server(url, headers))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (playing, stopping):
            task.cancel()
        await asyncio.wait((playing, stopping))
    if witness.trouble:
        raise witness.trouble
    if not playing.cancelled():
        raise_plainly(url, playing.exception())
