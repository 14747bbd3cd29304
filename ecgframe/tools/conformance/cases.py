"""Cases, their results, and suites of cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from .peer import ScriptedPeer
from .transcript import Said


class Verdict(StrEnum):
    """Outcome of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """A rule of the protocol and its test.

    Attributes:
        number: number of the case, such as "3.7". Its meaning never changes.
        title: the rule.
        section: heading of the rule in docs/protocol.md.
        test: coroutine function that tests a peer; raises ``Failed`` or ``NotApplicable``.
    """

    number: str
    title: str
    section: str
    test: Callable[[ScriptedPeer], Awaitable[None]]

    @property
    def place(self) -> tuple[int, ...]:
        """The number as a sort key."""
        return tuple(map(int, self.number.split(".")))


@dataclass(slots=True)
class Result:
    """Result of a case.

    Attributes:
        case: the case.
        verdict: the outcome.
        reason: why it failed or was skipped; empty if it passed.
        transcript: all messages and events.
        seconds: duration of the case.
    """

    case: Case
    verdict: Verdict
    reason: str = ""
    transcript: list[Said] = field(default_factory=list)
    seconds: float = 0.0


class Suite:
    """A collection of cases with unique numbers."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def case(
        self, number: str, title: str, section: str
    ) -> Callable[[Callable[[ScriptedPeer], Awaitable[None]]], Callable[[ScriptedPeer], Awaitable[None]]]:
        """Decorate a coroutine function as the test of a case."""

        def add(test: Callable[[ScriptedPeer], Awaitable[None]]) -> Callable[[ScriptedPeer], Awaitable[None]]:
            self.add(number, title, section, test)
            return test

        return add

    def add(self, number: str, title: str, section: str, test: Callable[[ScriptedPeer], Awaitable[None]]) -> None:
        """Add a case.

        Raises:
            ValueError: the number is in use.
        """
        if number in self._cases:
            raise ValueError(f"there are two cases {number}")
        self._cases[number] = Case(number, title, section, test)

    def cases(self, wanted: tuple[str, ...] = ()) -> list[Case]:
        """Return the cases in order: all of them, or those of the wanted numbers or sections, such as "3.7" or "3".

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
