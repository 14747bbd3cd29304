"""What a case is, and what becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from .peer import ScriptedPeer
from .transcript import Said


class Verdict(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """A rule, and how it is tested.

    Attributes:
        number: under which it is known, as "3.7". It never changes its meaning.
        title: the rule.
        section: heading of docs/protocol.md under which it stands.
        test: holds a conversation; raises ``Failed`` or ``NotApplicable``.
    """

    number: str
    title: str
    section: str
    test: Callable[[ScriptedPeer], Awaitable[None]]

    @property
    def place(self) -> tuple[int, ...]:
        """Its number, to sort by."""
        return tuple(map(int, self.number.split(".")))


@dataclass(slots=True)
class Result:
    """What became of a case.

    Attributes:
        case: which.
        verdict: whether it passed.
        reason: why not; empty where it did.
        transcript: all that was said.
        seconds: how long it took.
    """

    case: Case
    verdict: Verdict
    reason: str = ""
    transcript: list[Said] = field(default_factory=list)
    seconds: float = 0.0


class Suite:
    """Cases by number."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def case(
        self, number: str, title: str, section: str
    ) -> Callable[[Callable[[ScriptedPeer], Awaitable[None]]], Callable[[ScriptedPeer], Awaitable[None]]]:
        """Make a coroutine function a case."""

        def add(test: Callable[[ScriptedPeer], Awaitable[None]]) -> Callable[[ScriptedPeer], Awaitable[None]]:
            self.add(number, title, section, test)
            return test

        return add

    def add(self, number: str, title: str, section: str, test: Callable[[ScriptedPeer], Awaitable[None]]) -> None:
        """Add a case.

        Raises:
            ValueError: the number is taken.
        """
        if number in self._cases:
            raise ValueError(f"there are two cases {number}")
        self._cases[number] = Case(number, title, section, test)

    def cases(self, wanted: tuple[str, ...] = ()) -> list[Case]:
        """All of them, or those whose number begins so: "3" is all of section 3.

        Raises:
            ValueError: no case has such a number.
        """
        for number in wanted:
            if not any(_is_within(case, number) for case in self._cases.values()):
                raise ValueError(f"there is no case {number}")
        chosen = [case for case in self._cases.values() if not wanted or any(_is_within(case, one) for one in wanted)]
        return sorted(chosen, key=lambda case: case.place)


def _is_within(case: Case, number: str) -> bool:
    return case.number == number or case.number.startswith(f"{number}.")
