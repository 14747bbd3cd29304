"""The limit on open files: keeps some back from viewers, and logs when it is reached."""

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
"""Errors that mean that a resource of the system is exhausted, with advice for each."""

LOG_PAUSE: Final = 1.0
"""Least number of seconds from one log record to the next."""

MOST_KEPT_BACK: Final = 16
"""Files that viewers cannot use: for a new connection to Redis, or a new log file."""

SHARE_KEPT_BACK: Final = 16
"""With a low limit, one file in this many is kept back."""


class FailedAccepts:
    """Counts connections that could not be accepted because files or memory are exhausted, in the whole process.

    Attributes:
        count: failed attempts. Waiting connections are tried about once a second.
    """

    def __init__(self) -> None:
        self.count = 0
        self._logged_at = -math.inf

    def note(self, error: OSError) -> None:
        """Count an attempt, and log it at most once a second.

        Args:
            error: error whose ``errno`` is in ``EXHAUSTED``.
        """
        self.count += 1
        now = time.monotonic()
        if now < self._logged_at + LOG_PAUSE:
            return
        self._logged_at = now
        code = error.errno or 0
        logger.error(
            "cannot accept new connections, open ones are still served: %s; %s",
            os.strerror(code),
            EXHAUSTED[code].format(limit=limit()),
            extra={"errno": code, "failed": self.count},
        )


failed_accepts: Final = FailedAccepts()


def limit() -> float:
    """Return how many files this process may open: its soft limit, or infinity without one."""
    if sys.platform == "win32":
        return math.inf
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft


def end_of_share() -> float:
    """Return the lowest descriptor that viewers may not use. The system always assigns the lowest free one."""
    files = limit()
    return files if files == math.inf else files - min(MOST_KEPT_BACK, files // SHARE_KEPT_BACK)


class LimitWatch:
    """Checks once a second whether files can be opened: uvloop closes connections that it cannot accept silently.

    It keeps one file open, and closes it before it logs, since the log may have to open a file.
    """

    def __init__(self) -> None:
        self._timer: asyncio.Handle | None = None
        self._spare: int | None = None

    def start(self) -> None:
        """Start checking, unless the running event loop accepts from a ``ListeningSocket``, which reports by itself."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop):
            self._look(loop)

    def stop(self) -> None:
        """Stop checking."""
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
