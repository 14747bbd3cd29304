"""A test of many cases runs them all, and names those that fail."""

import inspect

import pytest
from cases import MOST_SHOWN, each_case


def test_every_combination_runs_with_the_fixtures_of_the_test():
    seen = []

    @each_case("letter", "ab")
    @each_case(("small", "large"), [(0, 10), (1, 11)], ids=["nought", "one"])
    def noted(number, small, large, letter):
        seen.append((number, letter, small, large))

    assert list(inspect.signature(noted).parameters) == ["number"]
    noted(number=7)
    assert seen == [(7, letter, small, small + 10) for letter in "ab" for small in (0, 1)]


def test_all_that_fail_are_named():
    @each_case("number", range(60), ids="number {}".format)
    def is_even(number):
        if number == 3:
            pytest.fail("told")
        if number == 5:
            pytest.skip("not here")
        assert number % 2 == 0

    with pytest.raises(BaseExceptionGroup, match="30 of 60 cases failed") as caught:
        is_even()
    failures = caught.value.exceptions
    assert [failure.__notes__ for failure in failures] == [[f"case: number {2 * n + 1}"] for n in range(MOST_SHOWN)]


def test_a_mistake_in_its_use_is_told_at_once():
    with pytest.raises(AssertionError, match="tests nothing"):
        each_case("number", [])
    with pytest.raises(AssertionError, match="not all parameters"):
        each_case(("one", "two"), [(1, 2)])(lambda one: None)
