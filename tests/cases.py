"""Hundreds of short cases in one test: pytest takes milliseconds for each test, and most of these take less."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

MOST_SHOWN = 20
"""Failures that are shown with their tracebacks; the others are counted."""


def each_case(
    names: str | tuple[str, ...], cases: Iterable[Any], *, ids: Callable[[Any], Any] | Iterable[Any] = repr
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for each case, like ``pytest.mark.parametrize``, but all within one test.

    All cases run, whichever fail, and the failures say of which case they are. The cases share the fixtures, so use
    it only where no case changes one. A case may not be skipped.

    Args:
        names: of the parameters of the test.
        cases: their values: a value for one name, a tuple for several.
        ids: the names of the cases in failures, or what makes such a name of a case.
    """
    cases = list(cases)
    assert cases, "a test without cases tests nothing"
    labels = [ids(case) for case in cases] if callable(ids) else list(ids)
    parameters = (names,) if isinstance(names, str) else tuple(names)

    def of_each(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def all_cases(**fixtures: Any) -> None:
            failures = []
            for case, label in zip(cases, labels, strict=True):
                values = (case,) if isinstance(names, str) else case
                try:
                    test(**fixtures, **dict(zip(parameters, values, strict=True)))
                except (Exception, pytest.fail.Exception, pytest.skip.Exception) as failure:
                    failure.add_note(f"case: {label}")
                    failures.append(failure)
            if failures:
                message = f"{len(failures)} of {len(cases)} cases failed"
                raise BaseExceptionGroup(message, failures[:MOST_SHOWN])

        signature = inspect.signature(test)
        assert set(parameters) <= signature.parameters.keys(), f"{parameters} are not all parameters of {test.__name__}"
        others = [one for name, one in signature.parameters.items() if name not in parameters]
        all_cases.__signature__ = signature.replace(parameters=others)
        return all_cases

    return of_each
