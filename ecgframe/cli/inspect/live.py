"""Observing a connection to a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from ssl import SSLContext
from typing import TYPE_CHECKING

from ...tools.connecting import why_not
from ...tools.listening import listen
from ...tools.observation import Observation
from ...tools.sources import SourceError
from ..stopping import stop_signals

if TYPE_CHECKING:
    from ...seal import Keyring


def follow_live(
    url: str,
    streams: Iterable[str],
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    seconds: float | None,
    take: Callable[[Observation], bool],
    trusted: SSLContext | None = None,
    *,
    keyring: Keyring | None = None,
    signatures: bool = False,
) -> None:
    """Connect to a server, and pass what both sides send to ``take``. Keys and signatures are those of ``listen``.

    Returns once ``take`` returns True, after ``seconds``, when the connection ends, or on SIGINT or SIGTERM.

    Raises:
        SourceError: the server cannot be reached.
        MissingLibrary: websockets is not installed.
    """
    asyncio.run(_follow(url, streams, versions, headers, seconds, take, trusted, keyring, signatures=signatures))


async def _follow(
    url: str,
    streams: Iterable[str],
    versions: tuple[int, ...],
    headers: list[tuple[str, str]],
    seconds: float | None,
    take: Callable[[Observation], bool],
    trusted: SSLContext | None,
    keyring: Keyring | None,
    *,
    signatures: bool,
) -> None:
    async def follow() -> None:
        listening = listen(url, sorted(streams), headers, trusted, versions, keyring=keyring, signatures=signatures)
        async with aclosing(listening) as observations:
            async for observation in observations:
                if take(observation):
                    return

    with stop_signals() as stop:
        tasks = [asyncio.ensure_future(follow()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    if not tasks[0].cancelled():
        raise_plainly(url, tasks[0].exception())


def raise_plainly(url: str, error: BaseException | None) -> None:
    """Raise the error of a connection, as ``SourceError`` if it can be explained in one line; None is no error."""
    if error is None:
        return
    if (why := why_not(url, error)) is not None:
        raise SourceError(why) from error
    raise error
