"""The site's own pages: each of their programs runs, as it stands, and each page can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Those with tests of their own know more of what their examples should do.
TESTED_ELSEWHERE = {"protocol", "servers", "monitor", "debugging", "troubleshooting"}
PAGES = {page.stem: page for page in DOCS.glob("*.md")}


@pytest.mark.parametrize("name", sorted(PAGES.keys() - TESTED_ELSEWHERE))
def test_the_programs_of_a_page_run_one_after_the_other(name, capsys):
    if name in {"index", "tutorial"}:
        pytest.importorskip("websockets")
    names = {}
    for program in PROGRAMS.findall(PAGES[name].read_text(encoding="utf-8")):
        exec(compile(program, f"{name}.md", "exec"), names)
    assert "Traceback" not in capsys.readouterr().err


def test_the_pages_with_programs():
    found = {name for name, page in PAGES.items() if PROGRAMS.search(page.read_text(encoding="utf-8"))}
    assert found >= {"index", "tutorial", "moving-over"}


def test_every_page_can_be_reached_from_the_first():
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", PAGES["index"].read_text(encoding="utf-8"), re.M | re.S)
    listed = {line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")}
    assert listed == (PAGES.keys() - {"index"}) | {"reference/index"}
