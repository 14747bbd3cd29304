"""The gate for text of others: nothing that a terminal, a log or a spreadsheet would act upon comes through."""

import json
import logging
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgframe.foreign_text import (
    from_spreadsheet_cell,
    gated_logger,
    json_text,
    printable,
    printable_lines,
    spreadsheet_cell,
)

ANY_TEXT = st.text(st.characters())  # lone surrogates among them
ACTED_UPON = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_control_characters_are_shown_as_escapes():
    assert printable("I\x1b]0;x\x07\x1b[2J") == r"I\x1b]0;x\x07\x1b[2J"
    assert printable("a\x9b31m\u202eb\u2028c\x7f\udc80") == r"a\x9b31m\u202eb\u2028c\x7f\udc80"
    assert printable("one\r\ntwo\tthree") == r"one\r\ntwo\tthree"


def test_printable_characters_are_unchanged():
    assert printable("Ableitung_Ü µV 心電図 [/bold] C:\\x1b 🫀") == "Ableitung_Ü µV 心電図 [/bold] C:\\x1b 🫀"
    assert printable(ValueError("\x1b")) == r"\x1b"
    assert printable_lines("one\n\x1btwo") == "one\n\\x1btwo"


@given(st.characters())
def test_every_character_is_plain_afterwards(character):
    assert {unicodedata.category(one) for one in printable(character)}.isdisjoint(ACTED_UPON)


@given(ANY_TEXT)
def test_no_cell_begins_like_a_formula_and_each_comes_back(text):
    cell = spreadsheet_cell(text)
    assert re.match(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]", cell) is None
    assert from_spreadsheet_cell(cell) == printable(text)


@pytest.mark.parametrize("text", ["=1+1", "'=1", "''@x", "-5", "+I", "\t=x", "'I'", "I", " =1", "' =1"])
def test_a_quote_before_a_formula_is_taken_away_again(text):
    cell = spreadsheet_cell(text)
    assert cell == ("'" if text not in ("'I'", "I", "\t=x") else "") + printable(text)
    assert from_spreadsheet_cell(cell) == printable(text)


@given(st.recursive(ANY_TEXT | st.integers() | st.none(), lambda one: st.lists(one) | st.dictionaries(ANY_TEXT, one)))
def test_json_is_printable_ascii_and_gives_everything_back(value):
    text = json_text(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == value


def test_json_has_no_nan():
    assert json_text({"a": [float("nan"), float("inf"), 1.5]}) == '{"a":[null,null,1.5]}'


def test_a_record_of_a_log_quotes_nothing_raw(caplog):
    logger = gated_logger("ecgframe.test")
    assert gated_logger("ecgframe.test").filters == logger.filters  # one gate, however many ask
    try:
        raise ValueError("said \x1b[2J\nTraceback forged")
    except ValueError as error:
        logger.warning("%s of %r has %d, %.1f s", "\x1b[31m\n", "\u202e", 7, 0.5, exc_info=error)
    record = caplog.records[0]
    assert record.getMessage() == r"\x1b[31m\n of '\\u202e' has 7, 0.5 s"
    shown = logging.Formatter().format(record)
    assert "\x1b" not in shown
    assert r"ValueError: said \x1b[2J" in shown
