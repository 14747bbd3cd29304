"""Limits on the work that a source may cause, in proportion to its size.

Ten megabytes that are deflated twice can expand to terabytes. Each allowance is a fixed amount plus an amount per byte
of the source. Beyond it, the tools continue without inflating or unpacking, and say so. Real recordings stay far below:
ECG deflates to between a third and a tenth, and a sample takes at least one byte.
"""

from __future__ import annotations

from typing import Final

FREE_INFLATED: Final = 128 * 1024 * 1024
"""Inflated bytes that a source of any size may have."""

INFLATED_PER_BYTE: Final = 32
"""Further inflated bytes for each byte of the source."""

FREE_WORK: Final = 1 << 22
"""Unpacked values that a source of any size may have."""

WORK_PER_BYTE: Final = 2
"""Further unpacked values for each byte of the source. An uncompressed value takes at least one byte."""

WORK_PER_FRAME: Final = 60
"""Values that a frame counts as, in addition to those in it."""

WORK_PER_MESSAGE: Final = 60
"""Values that a WebSocket message of a capture counts as, in addition to its frames, for being reassembled."""

WORK_PER_RECORD: Final = 90
"""The same for a record of version 4, whose template has to be found."""

WORK_PER_SHOWN: Final = 120
"""Values that a frame counts as in addition, if it is shown; its own values count once more."""

WORK_PER_BROKEN: Final = 120
"""Values that a broken frame counts as: the error that describes it takes longer than a small frame."""


class Budget:
    """The work that one source has caused, and what it may still cause.

    Args:
        is_limited: whether there are limits. A live connection needs none, since it is limited by its own rate.
        free_work: unpacked values that a source of any size may have.
        free_inflated: inflated bytes that a source of any size may have.

    Attributes:
        nbytes: bytes of the source that were read so far.
        inflated: bytes that were inflated so far.
        work: values that were unpacked so far, and what each frame counts as in addition: ``WORK_PER_FRAME``,
            ``WORK_PER_MESSAGE``, ``WORK_PER_RECORD``, ``WORK_PER_BROKEN``, ``WORK_PER_SHOWN``.
        passed_over: bytes of messages that were not read after their first frame, since the budget was used up.
    """

    __slots__ = ("_free_inflated", "_free_work", "_is_limited", "inflated", "nbytes", "passed_over", "work")

    def __init__(
        self, *, is_limited: bool = True, free_work: int | None = None, free_inflated: int | None = None
    ) -> None:
        self._is_limited = is_limited
        self._free_inflated = FREE_INFLATED if free_inflated is None else free_inflated
        self._free_work = FREE_WORK if free_work is None else free_work
        self.nbytes = 0
        self.inflated = 0
        self.work = 0
        self.passed_over = 0

    @property
    def inflating_left(self) -> int:
        """Bytes that may still be inflated."""
        if not self._is_limited:
            return self._free_inflated
        return max(self._free_inflated + INFLATED_PER_BYTE * self.nbytes - self.inflated, 0)

    @property
    def may_work(self) -> bool:
        """True if frames may still be unpacked."""
        return not self._is_limited or self.work < self._free_work + WORK_PER_BYTE * self.nbytes


def unlimited() -> Budget:
    """Return a budget without limits, for a live connection."""
    return Budget(is_limited=False)
