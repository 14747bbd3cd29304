"""The phases on docs/protocol.md are those of the table in ecgframe/session/state.py."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = "draw_phases.py"


def draw(folder, *arguments):
    command = [sys.executable, str(folder / SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def test_picture_and_tables_are_those_of_the_code():
    done = draw(DOCS, "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_page_that_says_something_else_is_found(tmp_path):
    for name in (SCRIPT, "protocol.md", "phases.svg"):
        shutil.copy(DOCS / name, tmp_path)
    page = tmp_path / "protocol.md"
    committed = page.read_text(encoding="utf-8")
    page.write_text(committed.replace("| frame | assume, then assumed |", "| frame | proceed |"), encoding="utf-8")
    assert page.read_text(encoding="utf-8") != committed
    done = draw(tmp_path, "--check")
    assert done.returncode == 1
    assert "protocol.md" in done.stderr
    assert draw(tmp_path).returncode == 0
    assert page.read_text(encoding="utf-8") == committed
