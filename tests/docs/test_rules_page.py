"""docs/rules.md: it is current, no rule is without a test, and each test that it names exists."""

from __future__ import annotations

import re

import pytest
from pages import ROOT
from recordings import optional

optional("websockets")

import make_rules  # noqa: E402 - after the skip
from tools import test_conformance as suite  # noqa: E402

PAGE = make_rules.PAGE.read_text(encoding="utf-8")


def test_the_page_is_current():
    assert make_rules.rules() == PAGE, "python tests/make_rules.py writes it"


def test_no_section_is_without_tests():
    assert make_rules.sections_without_tests() == set()


def test_every_case_has_its_row():
    numbers = re.findall(r"^\| (\d+\.\d+) \|", PAGE, re.M)
    assert numbers == [case.number for cases in (suite.SERVERS, suite.CLIENTS) for case in cases.cases()]
    assert not re.search(r"^\| \d+\.\d+ \|.*\|  \| [^|]*\|$", PAGE, re.M)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`((?:[\w-]+/)+[\w.-]+\.(?:py|ts)(?:::\w+)?)`", PAGE))))
def test_the_tests_named_on_the_page_exist(named):
    path, _, name = named.partition("::")
    if path.startswith("client/") and not (ROOT / "client").exists():
        pytest.skip("the client is not here")
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not name or re.search(rf"^(async )?def {name}\(", text, re.M)


def test_cases_that_do_not_apply_to_the_handler_are_tested_elsewhere():
    assert make_rules.ELSEWHERE.keys() == suite.NOT_OF_THE_HANDLER
    assert all(hasattr(suite, name) for name in make_rules.ELSEWHERE.values())
