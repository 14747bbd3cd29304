"""The limit of open files: what of it is kept back from viewers, and what is told when it is reached."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import sys
import time
from typing import Final

from .logs import logger

if sys.platform != "win32":
    import resource

EXHAUSTED: Final = {
    errno.EMFILE: "raise the limit of open files, which is {limit} (ulimit -n, LimitNOFILE= of systemd)",
    errno.ENFILE: "raise the limit of open files of the whole system (fs.file-max)",
    errno.ENOBUFS: "the system has no memory for more sockets",
    errno.ENOMEM: "the system has no memory for more sockets",
}
"""Errors by which the system says that it has nothing left, and the way out of each."""

LOG_PAUSE: Final = 1.0
"""Seconds after a line in the log until the next one."""

MOST_KEPT_BACK: Final = 16
"""Files that viewers leave to the rest of the process: a connection to Redis that is made anew, a file for the log."""

SHARE_KEPT_BACK: Final = 16
"""At most one file in so many is kept back, where the limit is low."""


class FailedAccepts:
    """The connections that could not be accepted, for want of open files or memory: of the whole process, as those are.

    Attributes:
        count: attempts that failed. What waits to be accepted is tried about once a second.
    """

    def __init__(self) -> None:
        self.count = 0
        self._logged_at = -math.inf

    def note(self, error: OSError) -> None:
        """Count one, and tell the log of it, once a second at most.

        Args:
            error: with one of the numbers in ``EXHAUSTED``.
        """
        self.count += 1
        now = time.monotonic()
        if now < self._logged_at + LOG_PAUSE:
            return
        self._logged_at = now
        code = error.errno or 0
        logger.error(
            "no new connections, those that are open are served: %s; %s",
            os.strerror(code),
            EXHAUSTED[code].format(limit=limit()),
            extra={"errno": code, "failed": self.count},
        )


failed_accepts: Final = FailedAccepts()


def limit() -> float:
    """How many files this process may have open: its soft limit, infinity where there is none."""
    if sys.platform == "win32":
        return math.inf
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft


def end_of_share() -> float:
    """The first descriptor that is not for viewers. The system always gives the lowest that is free."""
    files = limit()
    return files if files == math.inf else files - min(MOST_KEPT_BACK, files // SHARE_KEPT_BACK)


class LimitWatch:
    """Notices that the limit is reached where nobody else tells: uvloop closes what it cannot accept, without a word.

    It holds one file, and lets it go for the line in the log, which may have to open its own.
    """

    def __init__(self) -> None:
        self._timer: asyncio.Handle | None = None
        self._spare: int | None = None

    def start(self) -> None:
        """Look once a second, unless the running event loop accepts by our sockets."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop):
            self._look(loop)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_go()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(LOG_PAUSE, self._look, loop)
        try:
            spare = os.open(os.devnull, os.O_RDONLY)
        except OSError as error:
            self._let_go()
            if error.errno in EXHAUSTED:
                failed_accepts.note(error)
        else:
            self._let_go()
            self._spare = spare

    def _let_go(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
