"""The names in docs/glossary.md exist in both languages, and are called the same where both have them."""

import importlib
import re
from pathlib import Path

import pytest

import ecgframe

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| `([\w.]+)` \| (`\w+`|-) \|$",
    (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
EXPORTED = re.compile(r"^export (?:abstract )?(?:class|const|function|interface|type) (\w+)", re.MULTILINE)
SOURCES = ROOT / "client" / "src"
# The specification of each side fixed these before there was the other one.
CALLED_DIFFERENTLY = {("Codec", "ProtocolHandler"), ("Session", "ClientSession"), ("Stream", "FollowedStream")}
CALLED_DIFFERENTLY |= {("Link", "WebSocketLike"), ("NdarrayForm", "NdArrayForm")}


def found(name):
    """Return the object with a dotted name below the package."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(f"ecgframe.{module}") if module else ecgframe, last)


def test_every_line_of_the_table_is_read():
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert len(ROWS) == page.count("\n| ") - 2
    assert len(ROWS) >= 25
    terms = [term for term, *_ in ROWS]
    assert terms == sorted(terms)


@pytest.mark.parametrize(("term", "meaning", "name", "other"), ROWS, ids=[row[0] for row in ROWS])
def test_the_python_name_exists(term, meaning, name, other):
    assert found(name) is not None


@pytest.mark.skipif(not SOURCES.exists(), reason="the TypeScript client is not part of an sdist")
def test_the_typescript_names_exist_and_are_the_same():
    exported = {name for path in SOURCES.rglob("*.ts") for name in EXPORTED.findall(path.read_text(encoding="utf-8"))}
    pairs = {(name.rpartition(".")[2], other.strip("`")) for _, _, name, other in ROWS if other != "-"}
    assert {other for _, other in pairs} <= exported
    assert {pair for pair in pairs if pair[0] != pair[1]} == CALLED_DIFFERENTLY
