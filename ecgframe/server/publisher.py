"""The publisher of an opened stream, as the server sees it: its epoch, and which of its messages the server has.

Section "Publishing with numbers" of the specification.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from itertools import pairwise
from typing import Final

from ..protocol import LARGEST_SEQUENCE, OPENED_TEMPLATES_PER_MINUTE

REMEMBERED: Final = 1024
"""Numbers of messages that overtook which are remembered until those before them have come."""

LOSSES: Final = 64
"""Ranges of lost numbers that are remembered, so that a message that comes too late is not acknowledged."""

MINUTE: Final = 60.0


class Verdict(Enum):
    """The state of a message that has arrived, by its number."""

    NEW = auto()
    RECEIVED = auto()
    """It was received before."""
    LOST = auto()
    """It comes too late: it was reported to viewers as lost."""


class Publisher:
    """The numbers of one epoch of a stream that a client has opened.

    Args:
        epoch: of the numbers.
        owner: the connection that opened the stream.

    Attributes:
        epoch: as passed.
        owner: the connection that has opened the stream last; None once it has ended.
        left_at: when it ended, in seconds of the loop's clock.
        line: the server has every message up to this number, or will never get it.
        lost: number of the messages among these that it will never get.
        latest_template: the largest number of a template.
    """

    __slots__ = ("_ahead", "_losses", "epoch", "latest_template", "left_at", "line", "lost", "owner")

    def __init__(self, epoch: int, owner: object) -> None:
        self.epoch = epoch
        self.owner: object | None = owner
        self.left_at = 0.0
        self.line = 0
        self.lost = 0
        self.latest_template = 0
        self._ahead: set[int] = set()
        self._losses: deque[range] = deque(maxlen=LOSSES)

    def look(self, number: int) -> Verdict:
        """Return what a number says about its message. This changes nothing."""
        if number > self.line:
            return Verdict.RECEIVED if number in self._ahead else Verdict.NEW
        return Verdict.LOST if any(number in lost for lost in self._losses) else Verdict.RECEIVED

    def take(self, number: int, *, overtakes: bool) -> Verdict:
        """Note that a message arrived. Numbers that one in line passes are lost, and so are those before 1,024 ahead.

        Args:
            number: of the message.
            overtakes: whether it may arrive before others with lower numbers.
        """
        verdict = self.look(number)
        if verdict is not Verdict.NEW:
            return verdict
        if not overtakes:
            self._reach(number)
            return verdict
        self._ahead.add(number)
        self._go_on()
        if len(self._ahead) > REMEMBERED:
            self._reach(min(self._ahead))
        return verdict

    def pass_over(self, number: int, *, overtakes: bool) -> None:
        """Note that a message is refused: sending it again would not help."""
        if number < LARGEST_SEQUENCE and self.take(number, overtakes=overtakes) is Verdict.NEW:
            self._losses.append(range(number, number + 1))
            self.lost += 1

    def missing_before(self, number: int) -> int:
        """Return how many messages are lost if the one with that number, in line, is the next that arrives."""
        return max(0, number - 1 - self.line) - sum(self.line < one < number for one in self._ahead)

    def give_up_before(self, first: int) -> None:
        """Note that messages before that number will not be sent any more."""
        if first > self.line + 1:
            self._reach(first, is_there=first in self._ahead)

    def state(self) -> tuple[int, int, list[int], list[tuple[int, int]], int]:
        """Return what another server needs to go on in this epoch.

        Returns:
            ``line``, ``lost``, the numbers ahead of the line, the ranges that are lost, and ``latest_template``.
        """
        losses = [(one.start, one.stop) for one in self._losses]
        return self.line, self.lost, sorted(self._ahead), losses, self.latest_template

    def restore(self, line: int, lost: int, ahead: list[int], losses: list[tuple[int, int]], template: int) -> None:
        """Go on from the ``state`` of another server."""
        self.line, self.lost, self.latest_template = line, lost, template
        self._ahead = set(ahead)
        self._losses.extend(range(first, end) for first, end in losses)

    def begin_at(self, number: int) -> None:
        """Note that the first message that this server gets is in line with that number."""
        if self.line == 0 and number > 1:
            self.line = number - 1

    def _reach(self, number: int, *, is_there: bool = True) -> None:
        """Go on to a number in line: those before it that have not come are lost."""
        missing = [self.line + 1, *sorted(one for one in self._ahead if one < number), number]
        for begin, end in pairwise(missing):
            begin = begin + 1 if begin in self._ahead else begin  # noqa: PLW2901
            if begin < end:
                self._losses.append(range(begin, end))
                self.lost += end - begin
        self.line = number if is_there else number - 1
        self._ahead = {one for one in self._ahead if one > number}
        self._go_on()

    def _go_on(self) -> None:
        while self.line + 1 in self._ahead:
            self.line += 1
            self._ahead.remove(self.line)


class Novelties:
    """A limit on what is announced to the viewers of one stream: its new templates and epochs in a minute."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """Count another one. Returns False, and does not count it, if there are too many."""
        while self._at and self._at[0] <= now - MINUTE:
            self._at.popleft()
        if len(self._at) >= OPENED_TEMPLATES_PER_MINUTE:
            return False
        self._at.append(now)
        return True
